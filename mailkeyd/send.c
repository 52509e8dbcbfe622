/*
 * mailkeyd-sender: hands answers on, one at a time, over SMTP on a connection
 * that it keeps, to the sendmail command or into a Maildir.  What it says to
 * the core stands in send.h; descriptor 3 is its socket, and when that is
 * closed it ends.
 */
#include "mailkeyd/send.h"
#include "mailkeyd/config.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/mail.h"
#include "mailkeyd/send_local.h"
#include "mailkeyd/wire.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libetpan/libetpan.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define CORE	    3
#define MESSAGE_MAX ((size_t)128 << 20)
#define MEMORY_MAX  ((rlim_t)512 << 20)
#define REPLY_MAX   ((size_t)64 << 10) /* octets of the answer to a command */
#define QUIT_MS	    2000

struct way {
	enum send_type type;
	char *host, *helo, *path;
	char port[6];
	unsigned connect_ms, command_ms, final_ms, whole_ms, idle_ms;
};

/* ---- SMTP (RFC 5321) ------------------------------------------------------
 */

struct smtp {
	const struct way *way;
	mailsmtp *session; /* NULL: not connected */
	struct wire wire;
	bool pipelining;  /* the server offers it (RFC 2920) */
	unsigned to_come; /* replies to what has been said already */
	bool lost;	  /* the connection is of no more use */
};

static void
step(struct smtp *s, unsigned ms)
{
	wire_step(&s->wire, ms, REPLY_MAX);
	if (s->session != NULL)
		s->session->response_code = 0;
}

static void
smtp_close(struct smtp *s)
{
	if (s->session == NULL)
		return;
	if (s->session->stream != NULL)
		mailstream_close(s->session->stream);
	s->session->stream = NULL; /* else mailsmtp_free() would say QUIT */
	mailsmtp_free(s->session);
	s->session = NULL;
}

static void
smtp_quit(struct smtp *s)
{
	if (s->session == NULL)
		return;
	s->wire.whole = loop_now_ms() + QUIT_MS;
	step(s, QUIT_MS);
	mailsmtp_quit(s->session);
	smtp_close(s);
}

#define NOT_SO 530 /* without TLS (RFC 3207, 4), or a log-in (RFC 4954, 6) */

/*
 * What the reply means to the message: the class that lets us go on (RFC 5321,
 * 4.2.1) is SEND_OK, 5yz SEND_REFUSED, all else SEND_LATER; and NOT_SO, which
 * refuses us as such, and not this message.
 */
static enum send_status
heard(struct smtp *s, const char *what, int class, struct send_result *r)
{
	int code = s->session->response_code;
	enum send_status status = SEND_LATER;

	if (code == 0) {
		s->lost = true;
		send_result(
		    r, SEND_LATER, "%s: %s", what, wire_trouble(&s->wire));
		return SEND_LATER;
	}
	/* More than one answer to one question, if only begun: we should take
	 * the rest for the answer to the next. */
	if (s->session->stream != NULL && s->to_come == 0 &&
	    s->session->stream->read_buffer_len > 0)
		s->lost = true;
	if (code / 100 == class)
		status = SEND_OK;
	else if (code / 100 == 5 && code != NOT_SO)
		status = SEND_REFUSED;
	else if (code == 421 || code / 100 != 4)
		s->lost = true;
	send_result(r, status, "%s: %d %s", what, code, s->session->response);
	return status;
}

static bool
say(struct smtp *s, const char *text)
{
	return mailstream_write(s->session->stream, text, strlen(text)) != -1;
}

/* A line of a reply: its code, or 0 where it is none. */
static int
reply_line(struct smtp *s, const char *line, bool *last)
{
	MMAPString *text = s->session->response_buffer;
	char *end;
	long code = strtol(line, &end, 10);

	if (end != line + 3 || code < 100)
		return 0;
	*last = *end != '-';
	if (*end != '\0')
		end++;
	if (strcasecmp(end, "PIPELINING") == 0)
		s->pipelining = true;
	if ((text->len > 0 && mmap_string_append_c(text, '\n') == NULL) ||
	    mmap_string_append(text, end) == NULL)
		return 0;
	return (int)code;
}

/* A server that writes each reply by itself may hold back the next until it
 * hears that the first has come: 40 ms, as long as we have nothing to say. */
static void
acknowledge(struct smtp *s)
{
	int on = 1;

	setsockopt(s->wire.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

/* Reads a reply to what has been said.  libetpan says EHLO only with the name
 * of this machine, hangs on a tab in an AUTH line, and waits after each
 * command. */
static void
hear(struct smtp *s)
{
	mailsmtp *m = s->session;
	bool last = false;
	int code = 0;

	step(s, s->way->command_ms);
	if (mailstream_flush(m->stream) == -1)
		return;
	mmap_string_assign(m->response_buffer, "");
	do {
		const char *got =
		    mailstream_read_line_remove_eol(m->stream, m->line_buffer);

		if (got == NULL)
			return;
		code = reply_line(s, got, &last);
	} while (code != 0 && !last);
	m->response = m->response_buffer->str;
	m->response_code = code;
	if (s->to_come > 0 && m->stream->read_buffer_len == 0)
		acknowledge(s);
}

static void
ask(struct smtp *s, const char *verb, const char *argument)
{
	s->pipelining = false;
	if (say(s, verb) && say(s, " ") && say(s, argument) && say(s, "\r\n"))
		hear(s);
}

/* Whether the next command may follow. */
static bool
passed(struct smtp *s, const char *what, int class, struct send_result *r)
{
	if (heard(s, what, class, r) == SEND_OK && s->lost)
		send_result(r, SEND_LATER, "%s: more than one reply", what);
	return r->status == SEND_OK;
}

/* A server that refuses us as such does not refuse this message. */
static bool
welcome(struct smtp *s, const char *what, struct send_result *r)
{
	bool ok = passed(s, what, 2, r);

	if (!ok)
		r->status = SEND_LATER;
	return ok;
}

static bool
greet(struct smtp *s, struct send_result *r)
{
	mailstream *stream = wire_stream(&s->wire);

	if (stream != NULL)
		s->session = mailsmtp_new(0, NULL);
	if (s->session == NULL) {
		if (stream != NULL)
			mailstream_close(stream);
		else
			wire_close(&s->wire);
		send_result(r, SEND_LATER, "out of memory");
		return false;
	}
	step(s, s->way->command_ms);
	mailsmtp_connect(s->session, stream); /* takes the stream over */
	if (!welcome(s, "greeting", r))
		return false;
	if (s->session->stream == NULL) { /* 2yz, but not 220 */
		r->status = SEND_LATER;
		return false;
	}
	ask(s, "EHLO", s->way->helo);
	if (passed(s, "EHLO", 2, r))
		return true;
	if (s->lost || r->status == SEND_LATER)
		return false;
	ask(s, "HELO", s->way->helo); /* 4.1.1.1 */
	return welcome(s, "HELO", r);
}

static bool
smtp_open(struct smtp *s, struct send_result *r)
{
	const char *why;

	s->lost = false;
	if (wire_connect(&s->wire, s->way->host, s->way->port,
		s->way->connect_ms, &why) == -1) {
		if (why != NULL)
			send_result(r, SEND_LATER, "%s: %s", s->way->host, why);
		else
			send_result(r, SEND_LATER, "connect to %s port %s: %s",
			    s->way->host, s->way->port, wire_trouble(&s->wire));
		return false;
	}
	if (greet(s, r))
		return true;
	smtp_close(s);
	return false;
}

/* Whether the connection of the last message still serves: a server that has
 * something to say unasked is about to close it. */
static bool
smtp_kept(struct smtp *s)
{
	if (s->session != NULL && wire_has_data(&s->wire, s->session->stream))
		smtp_close(s);
	return s->session != NULL;
}

enum { MAIL, RCPT, DATA, COMMANDS };
static const struct {
	const char *name;
	int class;
} commands[] = {{"MAIL", 2}, {"RCPT", 2}, {"DATA", 3}};

static bool
say_command(struct smtp *s, int which, const char *from, const char *to)
{
	switch (which) {
	case MAIL:
		return say(s, "MAIL FROM:<") && say(s, from) && say(s, ">\r\n");
	case RCPT:
		return say(s, "RCPT TO:<") && say(s, to) && say(s, ">\r\n");
	default:
		return say(s, "DATA\r\n");
	}
}

/* The replies to what was said before one was a no.  A server may still be
 * ready for the message then: it gets an empty one, which is for nobody
 * (RFC 2920, 3.1). */
static void
hear_rest(struct smtp *s)
{
	struct send_result none;

	while (s->to_come > 0 && !s->lost) {
		int which = COMMANDS - (int)s->to_come--;

		hear(s);
		if (heard(s, "", commands[which].class, &none) != SEND_OK ||
		    which != DATA)
			continue;
		if (say(s, ".\r\n"))
			hear(s);
		heard(s, "", 2, &none);
	}
}

/* Up to the yes to DATA.  *which is the command that was the last. */
static bool
say_envelope(struct smtp *s, const char *from, const char *to,
    struct send_result *r, int *which)
{
	bool ok = true;
	int said = 0;

	for (*which = MAIL; *which < COMMANDS; ++*which) {
		while (ok && said <= (s->pipelining ? DATA : *which))
			ok = say_command(s, said++, from, to);
		s->to_come = (unsigned)(said - *which - 1);
		step(s, s->way->command_ms);
		if (ok)
			hear(s);
		if (!passed(
			s, commands[*which].name, commands[*which].class, r)) {
			hear_rest(s);
			return false;
		}
	}
	return true;
}

static void
say_message(
    struct smtp *s, const char *message, size_t len, struct send_result *r)
{
	/* libetpan puts CR LF before the final dot, whatever stands there */
	if (len >= 2 && memcmp(message + len - 2, "\r\n", 2) == 0)
		len -= 2;
	step(s, s->way->final_ms);
	mailsmtp_data_message(s->session, message, len);
	heard(s, "message", 2, r);
}

static void
smtp_send(struct smtp *s, const char *from, const char *to, const char *message,
    size_t len, struct send_result *r)
{
	bool kept, ok;
	int which;

	s->wire.whole = loop_now_ms() + s->way->whole_ms;
	kept = smtp_kept(s);
	s->lost = false;
	s->to_come = 0;
	if (!kept && !smtp_open(s, r))
		return;
	ok = say_envelope(s, from, to, r, &which);
	if (kept && !ok && s->lost && which == MAIL) {
		/* it had grown tired of us: once more */
		smtp_close(s);
		s->to_come = 0;
		if (!smtp_open(s, r))
			return;
		ok = say_envelope(s, from, to, r, &which);
	}
	if (ok)
		say_message(s, message, len, r);
	if (!s->lost && r->status != SEND_OK) {
		step(s, s->way->command_ms);
		mailsmtp_reset(s->session); /* calls each reply good */
		if (s->session->response_code / 100 != 2)
			s->lost = true;
	}
	if (s->lost)
		smtp_close(s);
}

/* ---- what the core asks ---------------------------------------------------
 */

static unsigned
time_or(struct ipc_in *in, unsigned otherwise)
{
	uint32_t ms = in->pos < in->len ? ipc_get_u32(in) : 0;

	return ms > 0 ? ms : otherwise;
}

static void
way_read(struct way *way, const char *record, size_t len)
{
	struct ipc_in in = {.data = (const unsigned char *)record, .len = len};
	uint32_t type = ipc_get_u32(&in), port;

	way->host = ipc_get_str(&in, 255);
	port = ipc_get_u32(&in);
	way->helo = ipc_get_str(&in, 255);
	way->path = ipc_get_str(&in, PATH_MAX);
	way->connect_ms = time_or(&in, 30 * 1000);
	way->command_ms = time_or(&in, 30 * 1000);
	way->final_ms = time_or(&in, 10 * 60 * 1000);
	way->whole_ms = time_or(&in, 15 * 60 * 1000);
	way->idle_ms = time_or(&in, 20 * 1000);
	if (in.failed || type > SEND_MAILDIR || port > UINT16_MAX)
		errx(EX_CONFIG, "a configuration that cannot be");
	way->type = (enum send_type)type;
	snprintf(way->port, sizeof(way->port), "%u", (unsigned)port);
	if (way->type != SEND_SMTP && way->path == NULL)
		errx(EX_CONFIG, "no path is configured");
	if (way->type == SEND_SMTP &&
	    (way->host == NULL || way->helo == NULL || *way->helo == '\0' ||
		way->helo[strcspn(way->helo, " \t\r\n")] != '\0'))
		errx(EX_CONFIG, "no host, or no name to greet with");
}

static void
configure(struct way *way)
{
	struct ipc_msg m;
	char *record;
	size_t len;
	int got = ipc_recv(CORE, &m);

	if (got == 0)
		exit(EX_OK);
	if (got == -1)
		err(EX_USAGE, "descriptor 3 is no socket of mailkeyd");
	if (m.type != SEND_CONFIG || ipc_slurp(m.fd[0], 65536, &record, &len))
		errx(EX_PROTOCOL, "the first message is no configuration");
	way_read(way, record, len);
	free(record);
	ipc_msg_close(&m);
}

static bool
is_address(const char *s)
{
	return mail_address_strict(s) || mail_address_envelope(s);
}

static void
hand_on(const struct way *way, struct smtp *s, char *to, int fd,
    struct send_result *r)
{
	char *message, *blank = strchr(to, ' ');
	const char *from = ""; /* RFC 3834, 3.3: the null sender */
	size_t len;

	if (blank != NULL && blank[1] != '\0') {
		*blank = '\0';
		from = blank + 1;
	}

	if (ipc_slurp(fd, MESSAGE_MAX, &message, &len) != 0) {
		send_result(r, SEND_LATER, "message: %s", strerror(errno));
		return;
	}
	if (!is_address(to))
		send_result(r, SEND_REFUSED, "no address to write to: %s", to);
	else if (*from != '\0' && !is_address(from))
		send_result(
		    r, SEND_REFUSED, "no address to write from: %s", from);
	else if (way->type == SEND_SMTP)
		smtp_send(s, from, to, message, len, r);
	else if (way->type == SEND_SENDMAIL)
		send_sendmail(
		    way->path, from, to, message, len, way->final_ms, CORE, r);
	else
		send_maildir(way->path, message, len, r);
	free(message);
}

static void
serve(const struct way *way, struct smtp *s, struct ipc_msg *m)
{
	struct send_result r = {.status = SEND_LATER};
	struct ipc_msg answer;

	if (m->type != SEND_MESSAGE)
		errx(EX_PROTOCOL, "message of type %u", (unsigned)m->type);
	hand_on(way, s, m->text, m->fd[0], &r);
	ipc_msg_init(&answer, SEND_RESULT, m->id);
	answer.status = r.status;
	snprintf(answer.text, sizeof(answer.text), "%s", r.text);
	ipc_msg_close(m);
	if (ipc_send(CORE, &answer) != 0)
		exit(EX_OK); /* the core has gone */
}

/* Waits for the core; meanwhile a connection that is not used any more, or
 * closed from the far side, is given up. */
static void
wait_for_work(const struct way *way, struct smtp *s)
{
	for (;;) {
		struct pollfd p[] = {{CORE, POLLIN, 0}, {-1, POLLIN, 0}};
		int n;

		if (s->session != NULL)
			p[1].fd = s->wire.fd;
		n = poll(p, 2, s->session != NULL ? (int)way->idle_ms : -1);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "poll");
		if (n == 0)
			smtp_quit(s);
		if (n > 0 && p[1].revents != 0)
			smtp_close(s);
		if (n > 0 && p[0].revents != 0)
			return;
	}
}

static void
prepare(void)
{
#ifndef SANITIZED
	struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};

	if (setrlimit(RLIMIT_AS, &memory) == -1)
		warn("RLIMIT_AS");
#endif
	ipc_helper(CORE);
}

int
main(void)
{
	struct way way = {.type = SEND_SMTP};
	struct smtp s = {.way = &way, .wire = {.fd = -1, .core = CORE}};
	struct ipc_msg m;
	int got;

	prepare();
	configure(&way);
	for (;;) {
		wait_for_work(&way, &s);
		got = ipc_recv(CORE, &m);
		if (got == 1) {
			serve(&way, &s, &m);
			continue;
		}
		if (got == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		break;
	}
	smtp_quit(&s);
	free(way.host);
	free(way.helo);
	free(way.path);
	return got == 0 ? EX_OK : EX_PROTOCOL;
}
