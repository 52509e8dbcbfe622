/*
 * What mailkeyctl asks for, answered by whoever holds the store.
 */
#include "mailkeyd/control.h"
#include "handlers/handler.h"
#include "mailkeyd/import.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define CONNECTIONS 64
#define ASK_MS	    30000 /* until the command must have come */
#define PAUSE_MS    1000  /* when descriptors have run out */
#define ENVELOPE    (2 * (CONTROL_ADDRESS + 4)) /* octets of its record */
#define SLICE	    (512u << 10) /* octets of a dump in one message */
#define SLICE_MS    10
#define NOTES	    64 /* lines that wait for a slow reader */
#define ENDING	    "the daemon is ending"
#define SEND_BUFFER 8192 /* a few messages: each may hold a SLICE in memory */

struct control {
	struct gateway_parts parts;
	struct gateway *gateway;
	int sock; /* -1: it attends one connection */
	struct loop_io *io;
	struct loop_timer *pause; /* until connections are taken again */
	LIST_HEAD(, client) clients;
	unsigned nclients;
	bool stopping;
	time_t started;
};

/* One connection and its one command. */
struct client {
	struct control *control;
	LIST_ENTRY(client) next;
	int sock;
	struct loop_io *io;
	struct loop_timer *idle; /* until its command has come */
	bool asked, ended;
	STAILQ_HEAD(, message) queue; /* not sent yet */
	unsigned nqueue;
	struct job *job;       /* DELIVER */
	struct import *import; /* IMPORT */
	int file;
	bool dumps;	       /* DUMP */
	struct pgp_fpr dumped; /* the last one sent */
};

struct message {
	STAILQ_ENTRY(message) next;
	struct ipc_msg msg;
};

static void client_free(struct client *);

/* ---- what is said -------------------------------------------------------- */

/* Sends what waits; whether everything has gone. */
static bool
client_flush(struct client *client)
{
	struct message *m;

	while ((m = STAILQ_FIRST(&client->queue)) != NULL) {
		if (ipc_send(client->sock, &m->msg) == -1)
			break;
		STAILQ_REMOVE_HEAD(&client->queue, next);
		client->nqueue--;
		ipc_msg_close(&m->msg);
		free(m);
	}
	loop_io_events(client->io,
	    m == NULL && !client->dumps ? EPOLLIN : EPOLLIN | EPOLLOUT);
	return m == NULL;
}

/* Takes the message's descriptors over. */
static void
client_say(struct client *client, struct ipc_msg *msg)
{
	struct message *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		ipc_msg_close(msg);
		return;
	}
	m->msg = *msg;
	STAILQ_INSERT_TAIL(&client->queue, m, next);
	client->nqueue++;
	client_flush(client);
}

static void __attribute__((format(printf, 3, 4)))
client_end(struct client *client, int status, const char *format, ...)
{
	struct ipc_msg msg;
	va_list ap;

	ipc_msg_init(&msg, CONTROL_END, 0);
	msg.status = (uint32_t)status;
	va_start(ap, format);
	vsnprintf(msg.text, sizeof(msg.text), format, ap);
	va_end(ap);
	client->ended = true;
	client->dumps = false;
	client_say(client, &msg);
}

static void
client_data(struct client *client, const char *data, size_t len)
{
	struct ipc_msg msg;

	if (len == 0)
		return;
	ipc_msg_init(&msg, CONTROL_DATA, 0);
	msg.fd[0] = ipc_memfd("data", data, len, true);
	if (msg.fd[0] == -1)
		client_end(client, EX_OSERR, "no memory for the answer");
	else
		client_say(client, &msg);
}

/* ---- deliver ------------------------------------------------------------- */

static void
deliver_done(void *ctx, enum fate fate, const char *why)
{
	struct client *client = ctx;

	client->job = NULL;
	client_end(client, fate == FATE_DONE ? EX_OK : EX_TEMPFAIL, "%s",
	    fate == FATE_DONE ? "" : why);
}

static void
do_deliver(struct client *client, struct ipc_msg *msg)
{
	struct envelope envelope = {.source = "deliver"};
	char *data = NULL, *sender = NULL, *recipient = NULL;
	struct ipc_in in = {0};

	if (msg->fd[0] == -1 || msg->fd[1] == -1 ||
	    ipc_slurp(msg->fd[1], ENVELOPE, &data, &in.len) == -1) {
		client_end(client, EX_TEMPFAIL, "no mail came with it");
		return;
	}
	in.data = (unsigned char *)data;
	envelope.sender = sender = ipc_get_str(&in, CONTROL_ADDRESS);
	envelope.recipient = recipient = ipc_get_str(&in, CONTROL_ADDRESS);
	if (!in.failed)
		client->job = gateway_submit(client->control->gateway,
		    msg->fd[0], &envelope, deliver_done, client);
	if (client->job != NULL)
		msg->fd[0] = -1;
	else
		client_end(client, EX_TEMPFAIL, "too much is under way");
	free(data);
	free(sender);
	free(recipient);
}

/* ---- import -------------------------------------------------------------- */

static void
import_problem(void *ctx, const char *line)
{
	struct client *client = ctx;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_NOTE, 0);
	snprintf(msg.text, sizeof(msg.text), "%s", line);
	if (client->nqueue < NOTES)
		client_say(client, &msg);
}

static void
import_progress(void *ctx, const struct import_counts *counts, uint64_t offset)
{
	struct client *client = ctx;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_PROGRESS, 0);
	msg.a = offset;
	msg.b = counts->certificates;
	if (client->nqueue < 2)
		client_say(client, &msg);
}

static void
print_left(FILE *f, const char *head, const struct pgp_left_out *left)
{
	for (int i = 0; i < PGP_LEFT_REASONS; i++) {
		if (left->n[i] == 0 || i == PGP_LEFT_DUPLICATE)
			continue;
		if (head != NULL)
			fprintf(f, "%s\n", head);
		head = NULL;
		fprintf(f, "  %8u  %s\n", left->n[i], pgp_left_text(i));
	}
}

static void
print_counts(FILE *f, const struct import_counts *counts)
{
	fprintf(f,
	    "%" PRIu64 " certificates: %" PRIu64 " new, %" PRIu64
	    " changed, %" PRIu64 " unchanged, %" PRIu64 " refused\n",
	    counts->certificates, counts->added, counts->changed,
	    counts->unchanged, counts->refused);
	if (counts->secret > 0)
		fprintf(f,
		    "%" PRIu64 " secret keys were found and not stored: treat "
		    "them as exposed\n",
		    counts->secret);
	print_left(f, "refused certificates had:", &counts->refused_for);
	print_left(f, "left out of the others:", &counts->left);
}

static void
import_done(void *ctx, const struct import_counts *counts, const char *why)
{
	struct client *client = ctx;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f != NULL) {
		print_counts(f, counts);
		if (fclose(f) == 0)
			client_data(client, text, len);
	}
	free(text);
	if (why != NULL)
		client_end(client, EX_TEMPFAIL,
		    "stopped: %s; what was counted is stored", why);
	else if (counts->problems > 0)
		client_end(client, EX_DATAERR,
		    "not all of the file was taken: %" PRIu64 " problem%s",
		    counts->problems, counts->problems == 1 ? "" : "s");
	else if (counts->certificates == 0)
		client_end(client, EX_DATAERR, "no certificate in it");
	else
		client_end(client, EX_OK, "%s", "");
	/* `why` and the counts are the import's. */
	import_free(client->import);
	client->import = NULL;
}

static const struct import_calls import_calls = {
    import_progress, import_problem, import_done};

static void
do_import(struct client *client, struct ipc_msg *msg)
{
	if (msg->fd[0] == -1) {
		client_end(client, EX_USAGE, "no file came with it");
		return;
	}
	client->file = msg->fd[0];
	msg->fd[0] = -1;
	client->import = import_new(&client->control->parts, client->file,
	    msg->a == 1, &import_calls, client);
	if (client->import == NULL)
		client_end(client, EX_OSERR, "no memory");
}

/* ---- dump ---------------------------------------------------------------- */

/* Some certificates, or KS_NOT_FOUND behind the last. */
static enum ks_status
dump_slice(struct client *client, FILE *f)
{
	struct keystore *ks = client->control->parts.ks;
	int64_t began = loop_now_ms();
	enum ks_status status = KS_OK;
	struct pgp_fpr next;
	struct pgp_blob blob;

	while (status == KS_OK && ftell(f) < (long)SLICE &&
	       loop_now_ms() - began < SLICE_MS) {
		status = ks_next(ks, &client->dumped, &next);
		if (status != KS_OK)
			break;
		status = ks_get_octets(ks, &next, &blob);
		client->dumped = next;
		if (status == KS_NOT_FOUND) {
			status = KS_OK; /* gone in between */
			continue;
		}
		if (status == KS_OK) {
			fwrite(blob.data, 1, blob.len, f);
			pgp_blob_free(&blob, false);
		}
	}
	return status;
}

static void
dump_more(struct client *client)
{
	enum ks_status status = KS_NOMEM;
	char *data = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&data, &len);

	if (f != NULL) {
		status = dump_slice(client, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK || status == KS_NOT_FOUND)
		client_data(client, data, len);
	free(data);
	if (status == KS_NOT_FOUND)
		client_end(client, EX_OK, "%s", "");
	else if (status != KS_OK)
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

/* ---- get, index: the same handlers that mails reach ---------------------- */

static void
reply_say(struct client *client, const struct reply *reply)
{
	char *armor = NULL;
	size_t len = 0;
	FILE *f;

	if (reply->nkeys == 0) {
		client_data(client, reply->text_data, reply->text_len);
		return;
	}
	f = open_memstream(&armor, &len);
	if (f == NULL)
		return;
	pgp_armor(f, (const unsigned char *)reply->keys_data, reply->keys_len);
	if (fclose(f) == 0)
		client_data(client, armor, len);
	free(armor);
}

static void
do_command(struct client *client, const char *name, const char *argument)
{
	const struct config *config = client->control->parts.config;
	const struct command *command;
	struct request request = {0};
	struct reply reply;
	enum outcome outcome = TRY_LATER;
	char subject[IPC_TEXT + 32];

	snprintf(subject, sizeof(subject), "%s %s", name, argument);
	command = request_parse(subject, &request);
	request.sender = "";
	request.address = config->address;
	request.site = request.admin = "";
	request.now = time(NULL);
	request.limits.max_reply_keys = UINT32_MAX;
	request.limits.keys_per_mail = UINT32_MAX;
	request.limits.reply_size = SIZE_MAX / 2;
	request.limits.max_parts = UINT32_MAX;
	if (command == NULL || reply_new(&reply) == -1) {
		client_end(client, EX_USAGE, "what is to be looked up?");
		request_free(&request);
		return;
	}
	outcome = command->run(client->control->parts.ks, &request, &reply);
	if (reply_finish(&reply) == -1)
		outcome = TRY_LATER;
	if (outcome == DONE)
		reply_say(client, &reply);
	if (outcome == DONE)
		client_end(client, EX_OK, "%s", "");
	else if (outcome == REFUSED)
		client_end(client, EX_UNAVAILABLE, "%.*s",
		    (int)strcspn(reply.text_data, "\n"), reply.text_data);
	else
		client_end(client, EX_IOERR, "the store cannot be read");
	reply_free(&reply);
	request_free(&request);
}

/* ---- stats, queue -------------------------------------------------------- */

static void
print_time(FILE *f, time_t t)
{
	char text[32];
	struct tm tm;

	if (t == 0 || gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		fputs("never", f);
	else
		fputs(text, f);
}

static void
print_running(FILE *f, const struct control *control)
{
	const struct gateway_parts *parts = &control->parts;
	struct gateway_counts gc;
	struct despatch_counts dc = {0};

	gateway_count(control->gateway, &gc);
	despatch_count(parts->despatch, &dc);
	fputs("running since         ", f);
	print_time(f, control->started);
	fprintf(f,
	    "\nmails                 %" PRIu64 "\n"
	    "  answered            %" PRIu64 "\n"
	    "  refused             %" PRIu64 "\n"
	    "  silent              %" PRIu64 "\n"
	    "  repeats             %" PRIu64 "\n"
	    "  put off             %" PRIu64 "\n"
	    "  quarantined         %" PRIu64 "\n"
	    "mails in hand         %zu\n"
	    "commits               %" PRIu64 "\n"
	    "answers sent          %" PRIu64 "\n"
	    "  put off             %" PRIu64 "\n"
	    "  given up            %" PRIu64 "\n"
	    "signatures asked of gpg %" PRIu64 "\n"
	    "helpers that died     parser %u, checker %u, senders %u\n",
	    gc.mails, gc.done, gc.refused, gc.silent, gc.repeats, gc.later,
	    gc.quarantined, gateway_busy(control->gateway), gc.commits, dc.sent,
	    dc.deferred, dc.refused, judge_asked(parts->judge),
	    reader_deaths(parts->reader), judge_deaths(parts->judge),
	    dc.deaths);
}

static void
do_stats(struct client *client)
{
	struct control *control = client->control;
	struct ks_info info;
	enum ks_status status = ks_info(control->parts.ks, &info);
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (status != KS_OK) {
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
		return;
	}
	f = open_memstream(&text, &len);
	if (f == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	fprintf(f, "certificates          %" PRIu64 "\n", info.certificates);
	fprintf(f, "changes               %" PRIu64 "\n", info.serial);
	fputs("last change           ", f);
	print_time(f, info.last_change);
	fprintf(f, "\nmails waiting         %" PRIu64 "\n", info.outbox);
	fprintf(f, "octets on disk        %" PRIu64 "\n", info.disk);
	if (control->parts.despatch != NULL)
		print_running(f, control);
	if (fclose(f) == 0)
		client_data(client, text, len);
	free(text);
	client_end(client, EX_OK, "%s", "");
}

static bool
queue_line(void *ctx, const struct outbox_item *item)
{
	FILE *f = ctx;

	fprintf(f, "%-8s %8zu ", item->log_id, item->message.len);
	print_time(f, item->queued);
	fprintf(f, "  %s\n", item->recipient);
	if (item->attempts > 0) {
		fprintf(f, "         tried %u times, again ", item->attempts);
		print_time(f, item->due);
		fprintf(f, ": %s\n", item->last_error);
	}
	return true;
}

static void
do_queue(struct client *client)
{
	enum ks_status status = KS_NOMEM;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f != NULL) {
		status = outbox_each(client->control->parts.ks, queue_line, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK)
		client_data(client, text, len);
	free(text);
	if (status == KS_OK)
		client_end(
		    client, EX_OK, "%s", len == 0 ? "no mail waits" : "");
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

/* ---- sync ---------------------------------------------------------------- */

static void
do_sync(struct client *client)
{
	const struct gateway_parts *parts = &client->control->parts;
	enum ks_status status = KS_NOMEM;
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (parts->sync == NULL) {
		client_end(client, EX_UNAVAILABLE,
		    "no daemon runs; it sends what waits once it is started");
		return;
	}
	if (parts->config->npeer == 0) {
		client_end(client, EX_UNAVAILABLE,
		    "no peer is configured; mailkeyd.conf(5) has an example");
		return;
	}
	f = open_memstream(&text, &len);
	if (f != NULL) {
		status = sync_now(parts->sync);
		if (status == KS_OK)
			status = sync_print(parts->sync, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK)
		client_data(client, text, len);
	free(text);
	if (status == KS_OK)
		client_end(client, EX_OK, "%s", "");
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

/* ---- connections --------------------------------------------------------- */

static void
client_ask(struct client *client, struct ipc_msg *msg)
{
	client->asked = true;
	loop_timer_set(client->idle, -1);
	if (client->control->stopping) {
		client_end(client, EX_TEMPFAIL, ENDING);
		return;
	}
	switch (msg->type) {
	case CONTROL_DELIVER:
		do_deliver(client, msg);
		break;
	case CONTROL_IMPORT:
		do_import(client, msg);
		break;
	case CONTROL_DUMP:
		client->dumps = true;
		client_flush(client);
		break;
	case CONTROL_GET:
		do_command(client, "GET", msg->text);
		break;
	case CONTROL_INDEX:
		do_command(
		    client, msg->a == 1 ? "VERBOSE INDEX" : "INDEX", msg->text);
		break;
	case CONTROL_STATS:
		do_stats(client);
		break;
	case CONTROL_QUEUE:
		do_queue(client);
		break;
	case CONTROL_SYNC:
		do_sync(client);
		break;
	default:
		client_end(client, EX_PROTOCOL,
		    "the daemon does not know that command: mailkeyctl and "
		    "mailkeyd are of different versions");
	}
}

static void
client_event(void *ctx, uint32_t events)
{
	struct client *client = ctx;
	struct ipc_msg msg;
	int got;

	if (events & EPOLLOUT) {
		if (client_flush(client) && client->dumps)
			dump_more(client);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	got = ipc_recv(client->sock, &msg);
	if (got == -1 && errno == EAGAIN)
		return;
	if (got != 1) {
		client_free(client);
		return;
	}
	if (!client->asked)
		client_ask(client, &msg);
	ipc_msg_close(&msg);
}

static void
client_idle(void *ctx)
{
	struct client *client = ctx;

	client_end(client, EX_TEMPFAIL, "no command came");
	client_free(client);
}

static struct client *
client_new(struct control *control, int sock)
{
	struct client *client = calloc(1, sizeof(*client));
	const int size = SEND_BUFFER;

	if (client == NULL)
		return NULL;
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	client->control = control;
	client->sock = sock;
	client->file = -1;
	STAILQ_INIT(&client->queue);
	client->io = loop_io_new(
	    control->parts.loop, sock, EPOLLIN, client_event, client);
	client->idle = loop_timer_new(control->parts.loop, client_idle, client);
	if (client->io == NULL || client->idle == NULL) {
		loop_io_free(client->io);
		loop_timer_free(client->idle);
		free(client);
		return NULL;
	}
	loop_timer_set(client->idle, ASK_MS);
	LIST_INSERT_HEAD(&control->clients, client, next);
	control->nclients++;
	return client;
}

static void
client_free(struct client *client)
{
	struct control *control = client->control;
	struct message *m;

	if (client->job != NULL)
		gateway_forget(client->job);
	import_free(client->import);
	if (client->file != -1)
		close(client->file);
	while ((m = STAILQ_FIRST(&client->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&client->queue, next);
		ipc_msg_close(&m->msg);
		free(m);
	}
	loop_timer_free(client->idle);
	loop_io_free(client->io);
	close(client->sock);
	LIST_REMOVE(client, next);
	control->nclients--;
	free(client);
	if (control->sock == -1)
		loop_stop(control->parts.loop);
}

/* One too many: it is told why. */
static void
control_refuse(int sock, const char *why)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_END, 0);
	msg.status = EX_TEMPFAIL;
	snprintf(msg.text, sizeof(msg.text), "%s", why);
	ipc_send(sock, &msg);
	close(sock);
}

static void
control_pause_over(void *ctx)
{
	struct control *control = ctx;

	loop_io_events(control->io, EPOLLIN);
}

static void
control_accept(void *ctx, uint32_t events)
{
	struct control *control = ctx;
	int sock;

	(void)events;
	sock = accept4(control->sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (sock != -1) {
		if (control->nclients >= CONNECTIONS)
			control_refuse(sock, "too many connections, try again");
		else if (client_new(control, sock) == NULL)
			control_refuse(sock, "no memory");
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	log_line(LOG_WARNING,
	    "control: no connection taken: %s; trying again in a second",
	    strerror(errno));
	loop_io_events(control->io, 0);
	loop_timer_set(control->pause, PAUSE_MS);
}

static char *__attribute__((format(printf, 1, 2)))
error_line(const char *format, ...)
{
	char *line = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) == -1)
		line = NULL;
	va_end(ap);
	return line;
}

/* The store's lock is held: a socket that is there already is a dead one's. */
static int
control_bind(const char *path, char **error)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int sock;
	mode_t mask;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		*error =
		    error_line("control socket %s: the path is longer than "
			       "%zu octets; set `control` to a shorter one",
			path, sizeof(sun.sun_path) - 1);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	sock =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock == -1) {
		*error = error_line("socket: %s", strerror(errno));
		return -1;
	}
	unlink(path);
	mask = umask(0177);
	if (bind(sock, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    listen(sock, 64) == -1) {
		*error = error_line("control socket %s: %s; see that its "
				    "directory is there and can be written",
		    path, strerror(errno));
		umask(mask);
		close(sock);
		return -1;
	}
	umask(mask);
	return sock;
}

static struct control *
control_new(const struct gateway_parts *parts, struct gateway *gateway)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return NULL;
	control->parts = *parts;
	control->gateway = gateway;
	control->sock = -1;
	control->started = time(NULL);
	LIST_INIT(&control->clients);
	return control;
}

struct control *
control_listen(
    const struct gateway_parts *parts, struct gateway *gateway, char **error)
{
	struct control *control = control_new(parts, gateway);

	if (control == NULL) {
		*error = error_line("no memory");
		return NULL;
	}
	control->sock = control_bind(parts->config->control, error);
	if (control->sock == -1) {
		free(control);
		return NULL;
	}
	control->io = loop_io_new(
	    parts->loop, control->sock, EPOLLIN, control_accept, control);
	control->pause =
	    loop_timer_new(parts->loop, control_pause_over, control);
	if (control->io == NULL || control->pause == NULL) {
		*error = error_line("no memory");
		control_free(control);
		return NULL;
	}
	return control;
}

struct control *
control_attend(
    const struct gateway_parts *parts, struct gateway *gateway, int sock)
{
	struct control *control = control_new(parts, gateway);
	int flags = fcntl(sock, F_GETFL);

	if (control == NULL)
		return NULL;
	if (flags == -1 || fcntl(sock, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    client_new(control, sock) == NULL) {
		free(control);
		return NULL;
	}
	return control;
}

void
control_stop(struct control *control)
{
	struct client *client;

	control->stopping = true;
	LIST_FOREACH(client, &control->clients, next)
	{
		if (client->import == NULL)
			continue;
		import_free(client->import);
		client->import = NULL;
		client_end(client, EX_TEMPFAIL,
		    "stopped: %s; what was committed before is stored", ENDING);
	}
}

void
control_free(struct control *control)
{
	struct client *client;

	if (control == NULL)
		return;
	loop_io_free(control->io);
	loop_timer_free(control->pause);
	while ((client = LIST_FIRST(&control->clients)) != NULL)
		client_free(client); /* NOLINT: it leaves the list */
	if (control->sock != -1) {
		close(control->sock);
		unlink(control->parts.config->control);
	}
	free(control);
}
