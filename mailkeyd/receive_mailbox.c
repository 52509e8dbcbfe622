/*
 * Mails from mailboxes on other servers: each has a mailkeyd-fetcher, which is
 * told of a mail after its commit, and then deletes it there.
 */
#include "mailkeyd/fetch.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/log.h"
#include "mailkeyd/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A mail that was fetched and is worked on. */
struct fetched {
	struct mailbox *mailbox;
	uint64_t id;
	struct job *job; /* NULL: free */
};

struct mailbox {
	const struct config *config;
	const struct config_receive *receive;
	struct gateway *gateway;
	struct helper *helper;
	struct fetched mails[FETCH_BATCH];
	uint64_t count;
	bool open, stopping;
	time_t since;
	char why[IPC_TEXT];
};

struct mailboxes {
	size_t n;
	struct mailbox mailbox[];
};

/* ---- what is said -------------------------------------------------------- */

static void
say(const struct mailbox *m, int level, const char *what, const char *why)
{
	log_event(level, "mailbox", what, "name", m->receive->title, "host",
	    m->receive->host, "why", why, (char *)NULL);
}

/* The step that failed, with its colon; behind it the server has its say. */
static size_t
step_of(const char *why)
{
	return strcspn(why, ":");
}

/* Said is what changes: not a server that is away and tried again, and not
 * one that answers with the time of day. */
static void
set_state(struct mailbox *m, bool open, const char *why)
{
	bool other = step_of(m->why) != step_of(why) ||
		     strncmp(m->why, why, step_of(why)) != 0;

	if (m->open != open)
		m->since = time(NULL);
	if (m->open != open || other)
		say(m, open ? LOG_NOTICE : LOG_WARNING,
		    open ? "open" : "closed", why);
	m->open = open;
	snprintf(m->why, sizeof(m->why), "%s", why);
}

/* ---- one mail ------------------------------------------------------------ */

static void
tell_fate(struct mailbox *m, uint64_t id, enum fetch_fate fate)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, FETCH_FATE, id);
	msg.status = fate;
	msg.a = config_message_size(m->config);
	if (helper_send(m->helper, &msg) == -1)
		helper_kill(m->helper);
}

static void
mail_done(void *ctx, enum fate fate, const char *why)
{
	struct fetched *mail = ctx;

	(void)why; /* the line of the mail has it */
	mail->job = NULL;
	tell_fate(mail->mailbox, mail->id,
	    fate == FATE_DONE ? FETCH_DONE : FETCH_LATER);
}

/* Makes the beginning of a mail as long as one that is too large, so that it
 * gets the answer that names the limit. */
static bool
stretch(const struct mailbox *m, int fd)
{
	off_t size = (off_t)config_message_size(m->config) + 1;

	return ftruncate(fd, size) == 0;
}

static void
take_mail(struct mailbox *m, struct ipc_msg *msg)
{
	const struct envelope envelope = {
	    .source = m->receive->type == RECEIVE_IMAP ? "imap" : "pop3"};
	struct fetched *mail = m->mails;

	while (mail < m->mails + FETCH_BATCH && mail->job != NULL)
		mail++;
	if (mail == m->mails + FETCH_BATCH || msg->fd[0] == -1) {
		helper_kill(m->helper);
		return;
	}
	if (msg->b != 0 && msg->a <= config_message_size(m->config)) {
		tell_fate(m, msg->id, FETCH_WHOLE);
		return;
	}
	mail->id = msg->id;
	if (!m->stopping && (msg->b == 0 || stretch(m, msg->fd[0])))
		mail->job = gateway_submit(
		    m->gateway, msg->fd[0], &envelope, mail_done, mail);
	if (mail->job == NULL) {
		tell_fate(m, msg->id, FETCH_BUSY);
		return;
	}
	msg->fd[0] = -1; /* the gateway's now */
	m->count++;
}

/* ---- the fetcher --------------------------------------------------------- */

static int
mailbox_up(void *ctx, struct helper *helper)
{
	const struct mailbox *m = ctx;
	const struct config_receive *r = m->receive;
	struct ipc_out out = {0};
	struct ipc_msg msg;
	int rv = -1;

	ipc_msg_init(&msg, FETCH_CONFIG, 0);
	ipc_put_u32(&out, r->type);
	ipc_put_str(&out, r->host);
	ipc_put_u32(&out, r->port);
	ipc_put_u32(&out, r->tls);
	ipc_put_str(&out, r->user);
	ipc_put_str(&out, r->password_file);
	ipc_put_str(&out, r->folder);
	ipc_put_str(&out, r->ca_file);
	ipc_put_u32(&out, r->poll);
	ipc_put_u32(&out, r->timeout);
	ipc_put_u64(&out, config_message_size(m->config));
	if (!out.failed)
		msg.fd[0] = ipc_memfd("fetch-config", out.data, out.len, true);
	ipc_out_free(&out);
	if (msg.fd[0] != -1)
		rv = helper_send(helper, &msg);
	ipc_msg_close(&msg);
	return rv;
}

static void
mailbox_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct mailbox *m = ctx;

	switch (msg->type) {
	case FETCH_STATE:
		set_state(m, msg->status == 1, msg->text);
		break;
	case FETCH_NOTE:
		say(m, LOG_WARNING, "not_fetched", msg->text);
		break;
	case FETCH_MAIL:
		take_mail(m, msg);
		break;
	default:
		helper_kill(helper);
	}
}

/* What it had fetched is finished; the mails are still there, and known when
 * they come again. */
static void
mailbox_down(void *ctx, struct helper *helper)
{
	struct mailbox *m = ctx;

	(void)helper;
	for (size_t i = 0; i < FETCH_BATCH; i++) {
		if (m->mails[i].job != NULL)
			gateway_forget(m->mails[i].job);
		m->mails[i].job = NULL;
	}
	set_state(m, false, "the fetcher ended");
}

static const struct helper_calls mailbox_calls = {
    mailbox_up, mailbox_message, mailbox_down};

/* ---- all of them --------------------------------------------------------- */

static int
start(struct mailbox *m, struct loop *loop, struct gateway *gateway,
    const struct config *config, const struct config_receive *r)
{
	m->config = config;
	m->receive = r;
	m->gateway = gateway;
	m->since = time(NULL);
	snprintf(m->why, sizeof(m->why), "not connected yet");
	for (size_t i = 0; i < FETCH_BATCH; i++)
		m->mails[i].mailbox = m;
	m->helper = helper_new(
	    loop, config->libexec, "mailkeyd-fetcher", &mailbox_calls, m);
	return m->helper != NULL ? 0 : -1;
}

struct mailboxes *
mailboxes_new(
    struct loop *loop, struct gateway *gateway, const struct config *config)
{
	struct mailboxes *all =
	    calloc(1, sizeof(*all) + config->nreceive * sizeof(struct mailbox));

	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < config->nreceive; i++) {
		if (!config_is_mailbox(&config->receive[i]))
			continue;
		if (start(&all->mailbox[all->n++], loop, gateway, config,
			&config->receive[i]) == -1) {
			int error = errno;

			mailboxes_free(all);
			errno = error;
			return NULL;
		}
	}
	return all;
}

void
mailboxes_stop(struct mailboxes *all)
{
	for (size_t i = 0; all != NULL && i < all->n; i++)
		all->mailbox[i].stopping = true;
}

void
mailboxes_free(struct mailboxes *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->n; i++) {
		struct mailbox *m = &all->mailbox[i];

		for (size_t k = 0; k < FETCH_BATCH; k++)
			if (m->mails[k].job != NULL)
				gateway_forget(m->mails[k].job);
		helper_free(m->helper);
	}
	free(all);
}

size_t
mailboxes_count(const struct mailboxes *all)
{
	return all == NULL ? 0 : all->n;
}

void
mailboxes_state(
    const struct mailboxes *all, size_t i, struct mailbox_state *state)
{
	const struct mailbox *m = &all->mailbox[i];

	*state = (struct mailbox_state){.title = m->receive->title,
	    .open = m->open,
	    .why = m->why,
	    .since = m->since,
	    .mails = m->count,
	    .deaths = helper_deaths(m->helper)};
}
