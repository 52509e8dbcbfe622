/*
 * QUARANTINE: mails that killed two readers.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"
#include "mailkeyd/quarantine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define MAIL_MAX (64u << 20) /* octets of a mail that is shown */

/* A mail that is tried once more. */
struct work {
	struct job *job;
	char hex[QUARANTINE_NAME];
	uint64_t inode;
	char *sender, *recipient;
	size_t size;
};

static void
work_free(struct client *client)
{
	struct work *work = client->work;

	if (work->job != NULL)
		gateway_forget(work->job);
	free(work->sender);
	free(work->recipient);
	free(work);
	client->work = NULL;
}

/* ---- list, show, drop ---------------------------------------------------- */

static void
print_one(void *ctx, const struct quarantined *q)
{
	FILE *f = ctx;

	fprintf(f, "%.12s ", q->hex);
	print_time(f, q->when);
	fprintf(f, " %zu from ", q->size);
	log_value(f, q->sender == NULL ? "unknown" : q->sender);
	fprintf(f, "\n  %s\n", q->why);
}

static void
do_list(struct client *client)
{
	const struct config *config = client->parts->config;
	FILE *f = client_print(client);

	if (f != NULL)
		client_printed(client, f,
		    quarantine_each(config, print_one, f) == 0 ? KS_OK : KS_IO,
		    "no mail is there");
}

static void
do_show(struct client *client, const char *hex)
{
	int fd = quarantine_mail(client->parts->config, hex);
	char *data = NULL;
	size_t len = 0;

	if (fd == -1 || ipc_slurp(fd, MAIL_MAX, &data, &len) == -1) {
		client_end(client, EX_IOERR, "%s", strerror(errno));
	} else {
		client_data(client, data, len);
		client_end(client, EX_OK, "%s", "");
	}
	if (fd != -1)
		close(fd);
	free(data);
}

static void
do_drop(struct client *client, const char *hex)
{
	if (quarantine_drop(client->parts->config, hex, 0) == -1) {
		client_end(client, EX_IOERR, "%s", strerror(errno));
		return;
	}
	log_line(LOG_NOTICE, "event=quarantine_drop file=%s.eml", hex);
	client_end(client, EX_OK, "%s", "");
}

/* ---- retry --------------------------------------------------------------- */

/* It goes once it was worked on; when it has killed its reader again, it was
 * set aside anew. */
static void
retry_done(void *ctx, enum fate fate, const char *why)
{
	struct client *client = ctx;
	struct work *work = client->work;
	bool gone;

	work->job = NULL;
	gone = fate == FATE_DONE && quarantine_drop(client->parts->config,
					work->hex, work->inode) == 0;
	if (fate == FATE_LATER)
		client_end(client, EX_TEMPFAIL, "not taken: %s", why);
	else if (!gone)
		client_end(client, EX_DATAERR,
		    "it killed its reader again, and stays there");
	else
		client_end(client, EX_OK, "%s", why);
	work_free(client);
}

static void
remember(void *ctx, const struct quarantined *q)
{
	struct work *work = ctx;

	if (strcmp(q->hex, work->hex) != 0)
		return;
	work->inode = q->inode;
	work->size = q->size;
	work->sender = q->sender == NULL ? NULL : strdup(q->sender);
	work->recipient = q->recipient == NULL ? NULL : strdup(q->recipient);
}

static void
retry_submit(struct client *client, int mail)
{
	struct work *work = client->work;
	const struct envelope envelope = {.sender = work->sender,
	    .recipient = work->recipient,
	    .source = "quarantine"};
	int memfd = ipc_drain(mail, work->size);

	if (memfd == -1) {
		client_end(client, EX_IOERR, "%s", strerror(errno));
		work_free(client);
		return;
	}
	work->job = gateway_submit(
	    client->gateway, memfd, &envelope, retry_done, client);
	if (work->job != NULL)
		return;
	client_end(client, EX_TEMPFAIL, "%s", gateway_refusal(errno));
	close(memfd);
	work_free(client);
}

static void
do_retry(struct client *client, const char *hex)
{
	const struct config *config = client->parts->config;
	struct work *work;
	int mail;

	if (client->parts->despatch == NULL) {
		client_end(client, EX_UNAVAILABLE,
		    "no daemon runs that could answer it");
		return;
	}
	work = calloc(1, sizeof(*work));
	mail = quarantine_mail(config, hex);
	client->work = work;
	if (work == NULL || mail == -1) {
		client_end(client, EX_IOERR, "%s", strerror(errno));
		free(work);
		client->work = NULL;
	} else {
		memcpy(work->hex, hex, sizeof(work->hex));
		quarantine_each(config, remember, work);
		retry_submit(client, mail);
	}
	if (mail != -1)
		close(mail);
}

static void
do_quarantine(struct client *client, struct ipc_msg *msg)
{
	char hex[QUARANTINE_NAME];

	if (msg->a == QUARANTINE_LIST)
		do_list(client);
	else if (msg->a > QUARANTINE_DROP || *msg->text == '\0')
		client_end(client, EX_USAGE, "which mail?");
	else if (quarantine_find(client->parts->config, msg->text, hex) == -1)
		client_end(client, EX_UNAVAILABLE, "%s",
		    errno == ENOENT   ? "no mail of that name is there; "
					"`mailkeyctl quarantine` lists them"
		    : errno == EEXIST ? "there are more that begin so"
				      : strerror(errno));
	else if (msg->a == QUARANTINE_SHOW)
		do_show(client, hex);
	else if (msg->a == QUARANTINE_RETRY)
		do_retry(client, hex);
	else
		do_drop(client, hex);
}

const struct control_command control_quarantine = {
    .type = CONTROL_QUARANTINE, .run = do_quarantine, .gone = work_free};
