/*
 * Mails over LMTP: the connections, the memfd that a mail grows in, and the
 * status that its source hears after the commit.  What is said stands in
 * lmtp_session.c.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/lmtp_session.h"
#include "mailkeyd/lmtp_socket.h"
#include "mailkeyd/log.h"
#include "mailkeyd/receive.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE	 65536 /* read at most in one round of the loop */
#define OUTPUT_MAX	 16384 /* not sent yet: take no more commands */
#define ACCEPT_PER_ROUND 16
#define ACCEPT_PAUSE	 1000 /* ms, when descriptors have run out */

struct lmtp {
	struct loop *loop;
	struct gateway *gateway;
	const struct config *config;
	const char *host; /* in the greeting */
	struct lmtp_socket socket;
	struct loop_io *io;
	struct loop_timer *pause;
	struct connection *connections;
	bool stopping;
};

struct connection {
	struct lmtp *lmtp;
	struct connection *prev, *next;
	int fd;
	struct loop_io *io;
	struct loop_timer *idle;
	struct lmtp_session *session;
	bool eof, dead;
	int mail;	   /* memfd, or -1 */
	bool mail_failed;  /* it could not be written */
	struct job *job;   /* in the gateway */
	size_t begin, end; /* of what waits in input */
	size_t hold, held; /* where octets of the mail lie in it, and how many:
			      they go into the memfd together */
	char input[INPUT_SIZE];
};

/* Of all sockets together: limits.connections. */
static unsigned nconnections;

/* ---- one mail ------------------------------------------------------------ */

static void
begin_mail(struct connection *c)
{
	assert(c->mail == -1);
	c->mail_failed = false;
	if ((c->mail = ipc_memfd("mail", NULL, 0, false)) == -1)
		c->mail_failed = true;
}

static void
drop_mail(struct connection *c)
{
	if (c->mail != -1)
		close(c->mail);
	c->mail = -1;
}

static void
write_mail(struct connection *c, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0 && !c->mail_failed) {
		n = write(c->mail, data, len);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n == 0 || errno != EINTR)
			c->mail_failed = true;
	}
}

static void
flush_mail(struct connection *c)
{
	if (c->mail != -1)
		write_mail(c, c->input + c->hold, c->held);
	c->hold = c->begin;
	c->held = 0;
}

/* Moves octets of the mail to the others, where the dots between them were: a
 * mail of many short lines would make as many calls of write(2). */
static void
add_mail(struct connection *c, const char *data, size_t len)
{
	if (c->hold + c->held + len > c->begin) {
		/* A CR that came with the input before this one. */
		flush_mail(c);
		write_mail(c, data, len);
		return;
	}
	memmove(c->input + c->hold + c->held, data, len);
	c->held += len;
}

static void connection_turn(struct connection *, bool readable);

/* It has the whole of idle_timeout again. */
static void
rest(struct connection *c)
{
	loop_timer_set(
	    c->idle, (long)c->lmtp->config->limits.idle_timeout * 1000);
}

/* Of a mail that is to come again. */
static const char *
status_later(const char *why)
{
	return strcmp(why, ks_strerror(KS_FULL)) == 0 ? "452 4.3.1"
						      : "451 4.3.0";
}

static void
on_done(void *ctx, enum fate fate, const char *why)
{
	struct connection *c = ctx;

	c->job = NULL;
	rest(c);
	lmtp_session_answer(c->session,
	    fate == FATE_DONE ? "250 2.0.0" : status_later(why), why);
	if (c->lmtp->stopping)
		lmtp_session_end(c->session, "4.3.2 Shutting down");
	connection_turn(c, false);
}

static void
submit_mail(struct connection *c)
{
	const struct envelope envelope = {
	    .sender = lmtp_session_sender(c->session),
	    .recipient = lmtp_session_recipient(c->session),
	    .source = "lmtp"};
	const char *why;

	if (c->mail_failed) {
		drop_mail(c);
		lmtp_session_answer(
		    c->session, "452 4.3.1", "no memory for this mail");
		return;
	}
	c->job =
	    gateway_submit(c->lmtp->gateway, c->mail, &envelope, on_done, c);
	if (c->job != NULL) {
		c->mail = -1; /* the gateway's now */
		return;
	}
	why = gateway_refusal(errno);
	lmtp_session_answer(
	    c->session, errno == EBUSY ? "451 4.3.2" : "452 4.3.1", why);
	drop_mail(c);
}

/* ---- one connection ------------------------------------------------------ */

static void
connection_free(struct connection *c)
{
	if (c->job != NULL)
		gateway_forget(c->job);
	drop_mail(c);
	loop_io_free(c->io);
	loop_timer_free(c->idle);
	lmtp_session_free(c->session);
	close(c->fd);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		c->lmtp->connections = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	nconnections--;
	free(c);
}

static void
read_input(struct connection *c)
{
	ssize_t n;

	memmove(c->input, c->input + c->begin, c->end - c->begin);
	c->end -= c->begin;
	c->begin = 0;
	if (c->end == INPUT_SIZE)
		return;
	n = recv(c->fd, c->input + c->end, INPUT_SIZE - c->end, MSG_DONTWAIT);
	if (n > 0) {
		c->end += (size_t)n;
		rest(c);
	} else if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		c->dead = true;
}

static void
write_output(struct connection *c)
{
	const char *text;
	size_t len;
	ssize_t n;

	for (;;) {
		text = lmtp_session_output(c->session, &len);
		if (len == 0)
			return;
		n = send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			c->dead = errno != EAGAIN;
			return;
		}
		lmtp_session_sent(c->session, (size_t)n);
		rest(c);
	}
}

static void
on_event(
    struct connection *c, enum lmtp_event event, const char *data, size_t size)
{
	switch (event) {
	case LMTP_BEGIN:
		begin_mail(c);
		c->hold = c->begin;
		break;
	case LMTP_DATA:
		add_mail(c, data, size);
		break;
	case LMTP_MAIL:
		flush_mail(c);
		submit_mail(c);
		break;
	case LMTP_DROP:
		c->held = 0;
		drop_mail(c);
		break;
	case LMTP_NOTHING:
	case LMTP_CLOSE:
		break;
	}
}

/* Of a mail that the gateway never saw, and for which its sender hears 552. */
static void
log_refused(const struct connection *c, const char *sender)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f, "lmtp: from=");
	log_value(f, sender);
	fprintf(f,
	    " source=lmtp outcome=refused note=\"over the size limit of %zu "
	    "octets\"",
	    config_message_size(c->lmtp->config));
	if (fclose(f) == 0)
		log_line(LOG_INFO, "%s", line);
	free(line);
}

/* Feeds what was read; stops for the fate of a mail, and for a client that
 * does not read what we say. */
static void
feed_input(struct connection *c)
{
	enum lmtp_event event = LMTP_NOTHING;
	const char *data = NULL, *refused;
	size_t size = 0, pending;

	c->hold = c->begin;
	while (!lmtp_session_waiting(c->session) && event != LMTP_CLOSE) {
		lmtp_session_output(c->session, &pending);
		if (pending > OUTPUT_MAX || c->begin == c->end)
			break;
		c->begin += lmtp_session_feed(c->session, c->input + c->begin,
		    c->end - c->begin, &event, &data, &size);
		on_event(c, event, data, size);
		refused = lmtp_session_refused(c->session);
		if (refused != NULL)
			log_refused(c, refused);
	}
	flush_mail(c);
}

/* What to wait for next: the peer's octets when there is room for them and
 * nothing stands before them; its reading when there is something to say. */
static void
connection_wait(struct connection *c)
{
	uint32_t events = 0;
	size_t pending;

	lmtp_session_output(c->session, &pending);
	if (pending > 0)
		events |= EPOLLOUT;
	if (!c->eof && c->job == NULL && pending <= OUTPUT_MAX &&
	    c->end - c->begin < INPUT_SIZE && !lmtp_session_closed(c->session))
		events |= EPOLLIN;
	if (loop_io_events(c->io, events) == -1)
		c->dead = true;
	if (c->job != NULL && pending == 0)
		loop_timer_set(c->idle, -1); /* it waits for us */
}

/* One turn in a round of the loop; may free the connection. */
static void
connection_turn(struct connection *c, bool readable)
{
	size_t pending;

	if (readable && c->job == NULL && !lmtp_session_closed(c->session))
		read_input(c);
	do {
		feed_input(c);
		write_output(c);
		lmtp_session_output(c->session, &pending);
		/* Go on with what stood behind a full output. */
	} while (pending == 0 && c->job == NULL && c->begin < c->end &&
		 !c->dead && !lmtp_session_closed(c->session));
	if (pending == 0 &&
	    (lmtp_session_closed(c->session) || (c->eof && c->job == NULL)))
		c->dead = true;
	if (lmtp_session_broken(c->session))
		c->dead = true;
	if (!c->dead)
		connection_wait(c);
	if (c->dead)
		connection_free(c);
}

static void
on_connection(void *ctx, uint32_t events)
{
	struct connection *c = ctx;

	/* A half-closed peer may still listen; one that is gone does not. */
	if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0)
		connection_free(c);
	else
		connection_turn(c, (events & EPOLLIN) != 0);
}

static void
on_idle(void *ctx)
{
	struct connection *c = ctx;

	lmtp_session_end(c->session, "4.4.2 Nothing heard for too long");
	write_output(c);
	connection_free(c);
}

static struct connection *
connection_new(struct lmtp *l, int fd)
{
	struct connection *c;
	const size_t head = offsetof(struct connection, input);

	if ((c = malloc(sizeof(*c))) == NULL)
		return NULL;
	memset(c, 0, head); /* the input is not touched before it is needed */
	c->lmtp = l;
	c->fd = fd;
	c->mail = -1;
	c->session = lmtp_session_new(l->host, config_message_size(l->config));
	c->idle = loop_timer_new(l->loop, on_idle, c);
	c->io = loop_io_new(l->loop, fd, EPOLLIN, on_connection, c);
	if (c->session == NULL || c->idle == NULL || c->io == NULL) {
		loop_io_free(c->io);
		loop_timer_free(c->idle);
		lmtp_session_free(c->session);
		free(c);
		return NULL;
	}
	c->next = l->connections;
	if (c->next != NULL)
		c->next->prev = c;
	l->connections = c;
	nconnections++;
	return c;
}

/* ---- listening ----------------------------------------------------------- */

static void
turn_away(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		/* It has gone by itself. */
	}
	close(fd);
}

static void
on_pause_over(void *ctx)
{
	struct lmtp *l = ctx;

	if (l->io != NULL)
		loop_io_events(l->io, EPOLLIN);
}

static void
welcome(struct lmtp *l, int fd)
{
	const int on = 1;
	struct connection *c;

	if (nconnections >= l->config->limits.connections) {
		turn_away(fd, "421 4.3.2 Too many connections, try later\r\n");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if ((c = connection_new(l, fd)) == NULL)
		turn_away(fd, "421 4.3.0 No memory, try later\r\n");
	else {
		rest(c);
		connection_turn(c, false);
	}
}

static void
on_listen(void *ctx, uint32_t events)
{
	struct lmtp *l = ctx;
	int fd;

	(void)events;
	for (int i = 0; i < ACCEPT_PER_ROUND; i++) {
		fd = accept4(
		    l->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			welcome(l, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			log_line(LOG_WARNING,
			    "lmtp: event=no_connection why=\"%s\"",
			    strerror(errno));
			loop_io_events(l->io, 0);
			loop_timer_set(l->pause, ACCEPT_PAUSE);
		}
		return;
	}
}

struct lmtp *
lmtp_listen(struct loop *loop, struct gateway *gateway,
    const struct config *config, const struct config_receive *r, int fd,
    char **error)
{
	const char *at = strrchr(config->address, '@');
	struct lmtp *l = calloc(1, sizeof(*l));
	int ok;

	if (l == NULL) {
		receive_error(config, r, error, "no memory; free some");
		return NULL;
	}
	l->loop = loop;
	l->gateway = gateway;
	l->config = config;
	l->host = at != NULL ? at + 1 : config->address;
	ok = lmtp_socket_open(&l->socket, config, r, fd, error);
	if (ok == 0) {
		l->pause = loop_timer_new(loop, on_pause_over, l);
		l->io = loop_io_new(loop, l->socket.fd, EPOLLIN, on_listen, l);
		if (l->pause == NULL || l->io == NULL)
			ok = receive_error(config, r, error,
			    "cannot watch the socket: %s", strerror(errno));
	}
	if (ok == 0)
		return l;
	lmtp_free(l);
	return NULL;
}

static void
close_listener(struct lmtp *l)
{
	loop_io_free(l->io);
	l->io = NULL;
	lmtp_socket_close(&l->socket);
}

void
lmtp_stop(struct lmtp *l)
{
	struct connection *c, *next;

	if (l->stopping)
		return;
	l->stopping = true;
	close_listener(l);
	for (c = l->connections; c != NULL; c = next) {
		next = c->next;
		if (c->job != NULL)
			continue; /* hears its status first */
		lmtp_session_end(c->session, "4.3.2 Shutting down");
		connection_turn(c, false);
	}
}

void
lmtp_free(struct lmtp *l)
{
	struct connection *c, *next;

	if (l == NULL)
		return;
	close_listener(l);
	for (c = l->connections; c != NULL; c = next) {
		next = c->next;
		connection_free(c);
	}
	loop_timer_free(l->pause);
	free(l);
}
