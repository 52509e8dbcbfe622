/*
 * LMTP (RFC 2033) as a machine of states: commands are lines, a mail is all up
 * to CR LF "." CR LF.
 */
#include "mailkeyd/lmtp_session.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state {
	COMMAND,
	SKIPPING, /* the rest of a line that was too long */
	DATA,
	WAITING, /* for the fate of a mail */
	CLOSED
};

/* Where in a line of DATA we are.  Only CR LF ends one: whoever takes a bare
 * LF for it can be made to see a mail inside a mail (SMTP smuggling). */
enum place {
	LINE,	   /* anywhere else */
	LINE_CR,   /* behind a CR */
	BEGIN,	   /* behind CR LF */
	BEGIN_DOT, /* behind CR LF "." */
	BEGIN_DOT_CR
};

struct lmtp_session {
	const char *host;
	size_t message_size;
	enum state state;
	enum place place;
	bool greeted, broken;
	unsigned errors;
	char line[LMTP_LINE_MAX + 1];
	size_t linelen;
	char *sender;  /* NULL: no MAIL yet */
	char *refused; /* sender of a mail that was too large just now */
	char *recipient[LMTP_RECIPIENTS_MAX];
	size_t nrecipients;
	size_t size; /* of the mail so far */
	bool over;
	char *out;
	size_t outlen, outroom, outsent;
};

/* ---- answers ------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
say(struct lmtp_session *s, const char *format, ...)
{
	char text[2 * LMTP_LINE_MAX], *more;
	va_list ap;
	size_t len, room;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text) - 2, format, ap);
	va_end(ap);
	len = n < 0 ? 0 : (size_t)n;
	if (len > sizeof(text) - 3)
		len = sizeof(text) - 3;
	/* What came in, or from other rooms, cannot end our line. */
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	text[len++] = '\r';
	text[len++] = '\n';
	if (s->outlen + len > s->outroom) {
		room = 2 * s->outroom + len;
		if ((more = realloc(s->out, room)) == NULL) {
			s->broken = true;
			return;
		}
		s->out = more;
		s->outroom = room;
	}
	memcpy(s->out + s->outlen, text, len);
	s->outlen += len;
}

/* Multi-line answers apart, RFC 2034 codes stand in all of them. */
static void
error(struct lmtp_session *s, const char *text)
{
	if (++s->errors < LMTP_ERRORS_MAX)
		say(s, "%s", text);
	else
		lmtp_session_end(s, "4.7.0 Too many errors");
}

const char *
lmtp_session_output(const struct lmtp_session *s, size_t *len)
{
	*len = s->outlen - s->outsent;
	return s->out + s->outsent;
}

void
lmtp_session_sent(struct lmtp_session *s, size_t len)
{
	s->outsent += len;
	if (s->outsent == s->outlen)
		s->outsent = s->outlen = 0;
}

bool
lmtp_session_broken(const struct lmtp_session *s)
{
	return s->broken;
}

/* ---- the envelope -------------------------------------------------------- */

static void
forget_mail(struct lmtp_session *s)
{
	free(s->sender);
	s->sender = NULL;
	for (size_t i = 0; i < s->nrecipients; i++)
		free(s->recipient[i]);
	s->nrecipients = 0;
	s->size = 0;
	s->over = false;
}

/* The end of a path: the > outside of a quoted string (RFC 5321, 4.1.2). */
static const char *
path_end(const char *p)
{
	bool quoted = false;

	for (; *p != '\0'; p++) {
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '>' && !quoted)
			return p;
	}
	return NULL;
}

/*
 * Reads "FROM:<path> parameters": *address is malloc'ed, without a source
 * route (RFC 5321, appendix C), and the parameters are returned; NULL when it
 * is no path.
 */
static const char *
read_path(
    struct lmtp_session *s, const char *p, const char *keyword, char **address)
{
	size_t n = strlen(keyword);
	const char *end, *colon;

	if (strncasecmp(p, keyword, n) != 0)
		return NULL;
	p += n;
	p += strspn(p, " \t");
	if (*p++ != '<' || (end = path_end(p)) == NULL)
		return NULL;
	if (end[1] != '\0' && end[1] != ' ' && end[1] != '\t')
		return NULL;
	if (*p == '@') {
		colon = memchr(p, ':', (size_t)(end - p));
		if (colon == NULL)
			return NULL;
		p = colon + 1;
	}
	if ((*address = strndup(p, (size_t)(end - p))) == NULL) {
		s->broken = true;
		return NULL;
	}
	return end + 1;
}

/* Whether a parameter has this name; *value is what follows "=". */
static bool
is_parameter(const char *p, size_t len, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(p, name, n) != 0 || p[n] != '=')
		return false;
	*value = p + n + 1;
	return true;
}

/* SIZE=digits (RFC 1870); saturates. */
static bool
read_size(const char *p, size_t len, uint64_t *size)
{
	*size = 0;
	if (len == 0 || len > 20)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		if (__builtin_mul_overflow(*size, 10, size) ||
		    __builtin_add_overflow(*size, p[i] - '0', size))
			*size = UINT64_MAX;
	}
	return true;
}

static const char over_limit[] = "552 5.3.4 The mail is over the size limit";

/* The answer that refuses one parameter of MAIL, or NULL. */
static const char *
refuse_parameter(const struct lmtp_session *s, const char *p, size_t len)
{
	const char *value;
	size_t n;
	uint64_t size;

	if (is_parameter(p, len, "SIZE", &value)) {
		if (!read_size(value, (size_t)(p + len - value), &size))
			return "501 5.5.4 Bad SIZE";
		return size > s->message_size ? over_limit : NULL;
	}
	if (is_parameter(p, len, "BODY", &value)) {
		n = (size_t)(p + len - value);
		if ((n == 4 && strncasecmp(value, "7BIT", 4) == 0) ||
		    (n == 8 && strncasecmp(value, "8BITMIME", 8) == 0))
			return NULL;
		return "501 5.5.4 Bad BODY";
	}
	return "555 5.5.4 Unknown parameter";
}

static const char *
refuse_parameters(const struct lmtp_session *s, const char *p)
{
	const char *why = NULL;
	size_t len;

	for (p += strspn(p, " \t"); *p != '\0' && why == NULL;
	     p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		why = refuse_parameter(s, p, len);
		p += len;
	}
	return why;
}

/* ---- commands ------------------------------------------------------------ */

static void
do_lhlo(struct lmtp_session *s, const char *argument)
{
	if (*argument == '\0') {
		error(s, "501 5.5.4 LHLO needs your name");
		return;
	}
	forget_mail(s);
	s->greeted = true;
	say(s, "250-%s", s->host);
	say(s, "250-PIPELINING");
	say(s, "250-8BITMIME");
	say(s, "250-ENHANCEDSTATUSCODES");
	say(s, "250 SIZE %zu", s->message_size);
}

/* RFC 2033, 4.1: an LMTP server must not take them. */
static void
do_helo(struct lmtp_session *s, const char *argument)
{
	(void)argument;
	error(s, "500 5.5.1 This is LMTP: say LHLO");
}

static void
do_mail(struct lmtp_session *s, const char *argument)
{
	char *sender = NULL;
	const char *rest, *why;

	if (!s->greeted || s->sender != NULL) {
		error(s, s->greeted ? "503 5.5.1 One MAIL at a time"
				    : "503 5.5.1 Say LHLO first");
		return;
	}
	if ((rest = read_path(s, argument, "FROM:", &sender)) == NULL) {
		error(s, "501 5.5.4 Say MAIL FROM:<address>");
		return;
	}
	if ((why = refuse_parameters(s, rest)) != NULL) {
		error(s, why);
		if (why == over_limit)
			s->refused = sender;
		else
			free(sender);
		return;
	}
	s->sender = sender;
	say(s, "250 2.1.0 Sender taken");
}

static void
do_rcpt(struct lmtp_session *s, const char *argument)
{
	char *recipient = NULL;
	const char *rest;

	if (s->sender == NULL) {
		error(s, "503 5.5.1 Say MAIL first");
		return;
	}
	rest = read_path(s, argument, "TO:", &recipient);
	if (rest == NULL || *recipient == '\0')
		error(s, "501 5.1.3 Say RCPT TO:<address>");
	else if (rest[strspn(rest, " \t")] != '\0')
		error(s, "555 5.5.4 Unknown parameter");
	else if (s->nrecipients == LMTP_RECIPIENTS_MAX)
		say(s, "452 4.5.3 Too many recipients");
	else {
		s->recipient[s->nrecipients++] = recipient;
		say(s, "250 2.1.5 Recipient taken");
		return;
	}
	free(recipient);
}

static void
do_data(struct lmtp_session *s, const char *argument)
{
	if (*argument != '\0')
		error(s, "501 5.5.4 DATA stands alone");
	else if (s->nrecipients == 0)
		error(s, "503 5.5.1 No valid recipients");
	else {
		s->state = DATA;
		s->place = BEGIN;
		say(s, "354 End data with <CR><LF>.<CR><LF>");
	}
}

static void
do_rset(struct lmtp_session *s, const char *argument)
{
	if (*argument != '\0') {
		error(s, "501 5.5.4 RSET stands alone");
		return;
	}
	forget_mail(s);
	say(s, "250 2.0.0 Forgotten");
}

static void
do_noop(struct lmtp_session *s, const char *argument)
{
	(void)argument;
	say(s, "250 2.0.0 OK");
}

static void
do_vrfy(struct lmtp_session *s, const char *argument)
{
	if (*argument == '\0')
		error(s, "501 5.5.4 VRFY needs an address");
	else
		say(s, "252 2.5.2 Send a mail and see");
}

static void
do_quit(struct lmtp_session *s, const char *argument)
{
	if (*argument != '\0') {
		error(s, "501 5.5.4 QUIT stands alone");
		return;
	}
	say(s, "221 2.0.0 Goodbye");
	s->state = CLOSED;
}

static const struct {
	const char *verb;
	void (*run)(struct lmtp_session *, const char *argument);
} verbs[] = {{"LHLO", do_lhlo}, {"HELO", do_helo}, {"EHLO", do_helo},
    {"MAIL", do_mail}, {"RCPT", do_rcpt}, {"DATA", do_data}, {"RSET", do_rset},
    {"NOOP", do_noop}, {"VRFY", do_vrfy}, {"QUIT", do_quit}};

static void
run_line(struct lmtp_session *s)
{
	char *p = s->line;
	size_t len = s->linelen;

	s->linelen = 0;
	while (len > 0 && strchr(" \t", p[len - 1]) != NULL && p[len - 1])
		len--;
	p[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((p[i] >= 0 && p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f) {
			error(s, "500 5.5.2 A control character");
			return;
		}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strncasecmp(p, verbs[i].verb, 4) == 0 &&
		    (p[4] == '\0' || p[4] == ' ' || p[4] == '\t')) {
			p += 4;
			verbs[i].run(s, p + strspn(p, " \t"));
			return;
		}
	error(s, "500 5.5.1 Unknown command");
}

/* Up to one line.  A bare LF ends it too: in commands that harms nobody. */
static size_t
feed_command(struct lmtp_session *s, const char *octets, size_t len)
{
	const char *lf = memchr(octets, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf + 1 - octets) : len;
	size_t text = lf != NULL ? n - 1 : n;

	if (s->state == SKIPPING || text > LMTP_LINE_MAX - s->linelen) {
		if (s->state == COMMAND)
			s->linelen = 0;
		s->state = SKIPPING;
		if (lf != NULL) {
			s->state = COMMAND;
			error(s, "500 5.5.2 Line too long");
		}
		return n;
	}
	memcpy(s->line + s->linelen, octets, text);
	s->linelen += text;
	if (lf != NULL) {
		if (s->linelen > 0 && s->line[s->linelen - 1] == '\r')
			s->linelen--;
		run_line(s);
	}
	return n;
}

/* ---- the mail ------------------------------------------------------------ */

/* The octets up to the next line that begins with a dot, or all. */
static size_t
feed_text(struct lmtp_session *s, const char *octets, size_t len)
{
	const char *p = octets, *end = octets + len, *lf;

	while (p < end) {
		if (s->place == BEGIN && *p == '.')
			break;
		lf = memchr(p, '\n', (size_t)(end - p));
		if (lf == NULL) {
			s->place = end[-1] == '\r' ? LINE_CR : LINE;
			return len;
		}
		if (lf > p)
			s->place = lf[-1] == '\r' ? LINE_CR : LINE;
		s->place = s->place == LINE_CR ? BEGIN : LINE;
		p = lf + 1;
	}
	return (size_t)(p - octets);
}

/* Behind CR LF ".": the end, or a dot that was stuffed in front of something
 * (RFC 5321, 4.5.2).  Takes at most one octet; *data is a CR that turned out
 * to be text. */
static size_t
feed_dot(struct lmtp_session *s, char c, enum lmtp_event *event,
    const char **data, size_t *size)
{
	if (s->place == BEGIN) {
		s->place = BEGIN_DOT;
		return 1;
	}
	if (s->place == BEGIN_DOT) {
		s->place = c == '\r' ? BEGIN_DOT_CR : LINE;
		return c == '\r';
	}
	if (c == '\n') {
		*event = LMTP_MAIL;
		return 1;
	}
	s->place = LINE_CR;
	*event = LMTP_DATA;
	*data = "\r";
	*size = 1;
	return 0;
}

static void
count(struct lmtp_session *s, enum lmtp_event *event, size_t size)
{
	if (s->over || size > s->message_size - s->size) {
		s->over = true;
		*event = LMTP_NOTHING;
	} else
		s->size += size;
}

static void
end_mail(struct lmtp_session *s, enum lmtp_event *event)
{
	s->state = WAITING;
	if (!s->over)
		return;
	s->refused = s->sender;
	s->sender = NULL;
	lmtp_session_answer(s, "552 5.3.4", "the mail is over the size limit");
	*event = LMTP_DROP;
}

static size_t
feed_data(struct lmtp_session *s, const char *octets, size_t len,
    enum lmtp_event *event, const char **data, size_t *size)
{
	size_t n;

	if (s->place == BEGIN_DOT || s->place == BEGIN_DOT_CR ||
	    (s->place == BEGIN && *octets == '.'))
		n = feed_dot(s, *octets, event, data, size);
	else {
		n = feed_text(s, octets, len);
		*event = LMTP_DATA;
		*data = octets;
		*size = n;
	}
	if (*event == LMTP_DATA)
		count(s, event, *size);
	else if (*event == LMTP_MAIL)
		end_mail(s, event);
	return n;
}

/* ---- the session --------------------------------------------------------- */

size_t
lmtp_session_feed(struct lmtp_session *s, const char *octets, size_t len,
    enum lmtp_event *event, const char **data, size_t *size)
{
	size_t n = 0;

	*event = LMTP_NOTHING;
	free(s->refused);
	s->refused = NULL;
	if (s->state == CLOSED) {
		*event = LMTP_CLOSE;
		return len;
	}
	if (len == 0 || s->state == WAITING)
		return 0;
	if (s->state == DATA) {
		/* Turns that take nothing are ours alone. */
		while (n == 0 && *event == LMTP_NOTHING)
			n = feed_data(s, octets, len, event, data, size);
		return n;
	}
	n = feed_command(s, octets, len);
	if (s->state == DATA)
		*event = LMTP_BEGIN;
	else if (s->state == CLOSED)
		*event = LMTP_CLOSE;
	return n;
}

struct lmtp_session *
lmtp_session_new(const char *host, size_t message_size)
{
	struct lmtp_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->host = host;
	s->message_size = message_size;
	say(s, "220 %s LMTP mailkeyd", host);
	return s;
}

void
lmtp_session_free(struct lmtp_session *s)
{
	if (s == NULL)
		return;
	forget_mail(s);
	free(s->refused);
	free(s->out);
	free(s);
}

void
lmtp_session_answer(struct lmtp_session *s, const char *status, const char *why)
{
	if (s->state != WAITING)
		return;
	/* RFC 2033, 4.2: one for each RCPT that was taken, in their order. */
	for (size_t i = 0; i < s->nrecipients; i++)
		say(s, "%s <%.256s> %.256s", status, s->recipient[i], why);
	forget_mail(s);
	s->state = COMMAND;
}

void
lmtp_session_end(struct lmtp_session *s, const char *why)
{
	if (s->state == CLOSED)
		return;
	say(s, "421 %s", why);
	s->state = CLOSED;
}

const char *
lmtp_session_sender(const struct lmtp_session *s)
{
	return s->sender;
}

const char *
lmtp_session_recipient(const struct lmtp_session *s)
{
	return s->nrecipients > 0 ? s->recipient[0] : NULL;
}

const char *
lmtp_session_refused(const struct lmtp_session *s)
{
	return s->refused;
}

bool
lmtp_session_waiting(const struct lmtp_session *s)
{
	return s->state == WAITING;
}

bool
lmtp_session_closed(const struct lmtp_session *s)
{
	return s->state == CLOSED;
}
