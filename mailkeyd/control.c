/*
 * The control socket: connections of mailkeyctl, each with its one command,
 * which a file of its own answers (control_*.c).
 */
#include "mailkeyd/control.h"
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"

#include <errno.h>
#include <fcntl.h>
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
#define SEND_BUFFER 8192  /* a few messages: each may hold a slice in memory */

static const struct control_command *const commands[] = {
    &control_deliver,
    &control_import,
    &control_dump,
    &control_get,
    &control_index,
    &control_stats,
    &control_queue,
    &control_sync,
    &control_check,
    &control_forget,
    &control_unforget,
    &control_pause,
    &control_backup,
    &control_reload,
    &control_quarantine,
    &control_verify,
};

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
	control_reload_fn *reload;
	void *reload_ctx;
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
	    m == NULL && !client->streams ? EPOLLIN : EPOLLIN | EPOLLOUT);
	return m == NULL;
}

/* Takes the message's descriptors over. */
void
client_say(struct client *client, struct ipc_msg *msg)
{
	struct message *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		ipc_msg_close(msg);
		/* Better no END than one behind a gap: our end of the
		 * connection is told by the loop, as when it was the other's.
		 */
		shutdown(client->sock, SHUT_RDWR);
		return;
	}
	m->msg = *msg;
	STAILQ_INSERT_TAIL(&client->queue, m, next);
	client->nqueue++;
	client_flush(client);
}

void
client_end(struct client *client, int status, const char *format, ...)
{
	struct ipc_msg msg;
	va_list ap;

	ipc_msg_init(&msg, CONTROL_END, 0);
	msg.status = (uint32_t)status;
	va_start(ap, format);
	vsnprintf(msg.text, sizeof(msg.text), format, ap);
	va_end(ap);
	client->streams = false;
	loop_timer_set(client->idle, -1);
	client_say(client, &msg);
}

void
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

void
client_stream(struct client *client)
{
	client->streams = true;
	client_flush(client);
}

FILE *
client_print(struct client *client)
{
	FILE *f = pgp_memstream(&client->text, &client->text_len);

	if (f == NULL)
		client_end(client, EX_OSERR, "no memory");
	return f;
}

void
client_printed(
    struct client *client, FILE *f, enum ks_status status, const char *nothing)
{
	if (fclose(f) != 0 && status == KS_OK)
		status = KS_NOMEM;
	if (status == KS_OK)
		client_data(client, client->text, client->text_len);
	free(client->text);
	client->text = NULL;
	if (status == KS_OK)
		client_end(
		    client, EX_OK, "%s", client->text_len == 0 ? nothing : "");
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

void
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

/* ---- connections --------------------------------------------------------- */

static void
client_ask(struct client *client, struct ipc_msg *msg)
{
	client->asked = true;
	loop_timer_set(client->idle, CONTROL_ALIVE_MS);
	if (client->control->stopping) {
		client_end(client, EX_TEMPFAIL, CONTROL_ENDING);
		return;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (commands[i]->type == msg->type) {
			client->command = commands[i];
			client->command->run(client, msg);
			return;
		}
	client_end(client, EX_PROTOCOL,
	    "the daemon does not know that command: mailkeyctl and "
	    "mailkeyd are of different versions");
}

static void
client_event(void *ctx, uint32_t events)
{
	struct client *client = ctx;
	struct ipc_msg msg;
	int got;

	if (events & EPOLLOUT) {
		if (client_flush(client) && client->streams)
			client->command->more(client);
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
	else if (client->work != NULL && client->command->said != NULL)
		client->command->said(client, &msg);
	ipc_msg_close(&msg);
}

/* Its command takes a while: mailkeyctl need not think that we hang. */
static void
client_alive(struct client *client)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_ALIVE, 0);
	loop_timer_set(client->idle, CONTROL_ALIVE_MS);
	if (client->nqueue == 0)
		client_say(client, &msg);
}

static void
client_idle(void *ctx)
{
	struct client *client = ctx;

	if (client->asked) {
		client_alive(client);
		return;
	}
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
	client->parts = &control->parts;
	client->gateway = control->gateway;
	client->started = control->started;
	client->reload = control->reload;
	client->reload_ctx = control->reload_ctx;
	client->sock = sock;
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

	if (client->work != NULL)
		client->command->gone(client);
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
	log_line(LOG_WARNING, "control: event=no_connection why=\"%s\"",
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
control_on_reload(struct control *control, control_reload_fn *fn, void *ctx)
{
	control->reload = fn;
	control->reload_ctx = ctx;
}

void
control_stop(struct control *control)
{
	struct client *client;

	control->stopping = true;
	LIST_FOREACH(client, &control->clients, next) {
		if (client->work != NULL && client->command->stop != NULL)
			client->command->stop(client);
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
