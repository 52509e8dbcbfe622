/*
 * A mailbox by POP3 (RFC 1939): a session fetches what is there, deletes what
 * was answered, and ends, which is when the server deletes.
 *
 * Of libetpan only the stream is used: its POP3 takes a server's numbers for
 * places in memory.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/password.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION_MS (5 * 60 * 1000L) /* then what was done is made certain */
#define MAILS_MAX  50000u	    /* that one session looks at */
#define KEPT	   16384u	    /* octets */

struct listed {
	uint32_t number, size;
	bool named;	     /* by the server */
	char key[LATER_KEY]; /* the name, else number and size */
};

struct pop3 {
	struct fetcher *f;
	mailstream *stream;
	MMAPString *line;     /* the last that was read, without its end */
	struct listed *mails; /* in the order of their numbers */
	size_t n, size;
	bool removed; /* mails, which it takes QUIT to be certain of */
	bool enough;  /* the rest is for the next session */
	bool again;   /* a mail may be had whole now */
	bool made_sure;
};

/* ---- commands ------------------------------------------------------------ */

/* What an answer that refuses says. */
static const char *
answer_text(const struct pop3 *p)
{
	const char *text = p->line->str;

	if (strncmp(text, "-ERR", 4) == 0)
		text += 4;
	text += strspn(text, " ");
	return *text != '\0' ? text : "refused";
}

static bool
refused(const struct pop3 *p, const char *what)
{
	return fetch_trouble(p->f, "%s: %s", what, answer_text(p));
}

static bool
broken(const struct pop3 *p, const char *what)
{
	return fetch_trouble(p->f, "%s: %s", what,
	    p->f->wire.broken ? wire_trouble(&p->f->wire) : "no memory");
}

/* A line, without its CRLF.  NULL: trouble. */
static const char *
read_line(const struct pop3 *p, const char *what)
{
	MMAPString *line = p->line;

	if (mailstream_read_line(p->stream, line) == NULL) {
		broken(p, what);
		return NULL;
	}
	if (line->len > 0 && line->str[line->len - 1] == '\n')
		line->len--;
	if (line->len > 0 && line->str[line->len - 1] == '\r')
		line->len--;
	line->str[line->len] = '\0';
	return line->str;
}

/* The first line of an answer; *good: it is +OK. */
static bool
read_answer(const struct pop3 *p, const char *what, bool *good)
{
	const char *line = read_line(p, what);

	*good = line != NULL && strncmp(line, "+OK", 3) == 0 &&
		(line[3] == ' ' || line[3] == '\0');
	return line != NULL;
}

/* What is there before a command was said is not the answer to it: some mail
 * would speak for the server. */
static bool
in_step(const struct pop3 *p, const char *what)
{
	if (!wire_has_rest(&p->f->wire, p->stream))
		return true;
	p->f->wire.broken = true;
	return fetch_trouble(
	    p->f, "%s: the answer before it did not end where it should", what);
}

/* Says a command of a word and at most one argument.  False: trouble. */
static bool
say(const struct pop3 *p, const char *what, const char *argument)
{
	char line[PASSWORD_MAX + 32]; /* a user is as long at most */
	int n = snprintf(line, sizeof(line), "%s%s%s\r\n", what,
	    *argument != '\0' ? " " : "", argument);
	bool good = in_step(p, what) && n > 0 && (size_t)n < sizeof(line) &&
		    mailstream_write(p->stream, line, (size_t)n) == n &&
		    mailstream_flush(p->stream) == 0;

	explicit_bzero(line, sizeof(line));
	return good || broken(p, what);
}

/* A command that must be answered by +OK. */
static bool
command(const struct pop3 *p, const char *what, const char *argument)
{
	bool good;

	fetch_step(p->f, 0);
	return say(p, what, argument) && read_answer(p, what, &good) &&
	       (good || refused(p, what));
}

/* ---- the beginning ------------------------------------------------------- */

static bool
greet(struct pop3 *p)
{
	bool good;

	p->stream = fetch_connect(p->f);
	if (p->stream == NULL)
		return false;
	if (!read_answer(p, "greeting", &good) ||
	    (!good && !refused(p, "greeting")))
		return false;
	return p->f->tls != RECEIVE_TLS_STARTTLS ||
	       (command(p, "STLS", "") && fetch_start_tls(p->f, p->stream));
}

/* USER or PASS. */
static bool
identify(const struct pop3 *p, const char *what, const char *argument)
{
	bool good;

	fetch_step(p->f, 0);
	return say(p, what, argument) && read_answer(p, what, &good) &&
	       (good || fetch_refused(p->f, what, answer_text(p)));
}

static bool
log_in(const struct pop3 *p)
{
	char *password;
	bool good;

	if (!identify(p, "USER", p->f->user))
		return false;
	password = fetch_password(p->f);
	if (password == NULL)
		return false;
	good = identify(p, "PASS", password);
	password_free(password);
	return good;
}

/* ---- what there is ------------------------------------------------------- */

/* A number and the blank behind it; false: the line is something else.  What
 * is larger than we can say becomes UINT32_MAX. */
static bool
read_number(const char **line, uint32_t *number)
{
	unsigned long long n;
	char *end;

	if (**line < '0' || **line > '9')
		return false;
	n = strtoull(*line, &end, 10);
	*number = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	*line = end + strspn(end, " ");
	return true;
}

/* 1: a line of an answer of several, 0: its end, -1: trouble. */
static int
next_line(const struct pop3 *p, const char *what)
{
	const char *line = read_line(p, what);

	if (line == NULL)
		return -1;
	return strcmp(line, ".") != 0;
}

static bool
add(struct pop3 *p, uint32_t number, uint32_t size)
{
	struct listed *m;

	if (p->n == p->size) {
		size_t most = p->size == 0 ? 64 : 2 * p->size;
		struct listed *mails =
		    reallocarray(p->mails, most, sizeof(*mails));

		if (mails == NULL)
			return fetch_trouble(p->f, "no memory");
		p->mails = mails;
		p->size = most;
	}
	m = &p->mails[p->n++];
	*m = (struct listed){.number = number, .size = size};
	/* no name that a server gives has a blank */
	snprintf(m->key, sizeof(m->key), "%" PRIu32 " %" PRIu32, number, size);
	return true;
}

static bool
list(struct pop3 *p)
{
	bool good;
	int more;

	fetch_step(p->f, FETCH_LIST);
	p->n = 0;
	if (!say(p, "LIST", "") || !read_answer(p, "LIST", &good))
		return false;
	if (!good)
		return refused(p, "LIST");
	while ((more = next_line(p, "LIST")) == 1) {
		const char *line = p->line->str;
		uint32_t number, size, last;

		last = p->n == 0 ? 0 : p->mails[p->n - 1].number;
		if (read_number(&line, &number) && read_number(&line, &size) &&
		    number > last && number < UINT32_MAX && p->n < MAILS_MAX &&
		    !add(p, number, size))
			return false;
	}
	return more == 0;
}

static int
by_number(const void *key, const void *mail)
{
	uint32_t a = *(const uint32_t *)key,
		 b = ((const struct listed *)mail)->number;

	return a < b ? -1 : a > b;
}

static void
name_mail(const struct pop3 *p)
{
	const char *line = p->line->str;
	struct listed *mail;
	uint32_t number;

	if (!read_number(&line, &number) || strlen(line) >= LATER_KEY ||
	    p->n == 0)
		return;
	mail = bsearch(&number, p->mails, p->n, sizeof(*p->mails), by_number);
	if (mail == NULL || *line == '\0')
		return;
	mail->named = true;
	snprintf(mail->key, sizeof(mail->key), "%s", line);
}

/* The names by which mails are known again.  Not every server has them. */
static bool
list_names(const struct pop3 *p)
{
	bool good;
	int more;

	fetch_step(p->f, FETCH_LIST);
	if (!say(p, "UIDL", "") || !read_answer(p, "UIDL", &good))
		return false;
	if (!good)
		return true;
	while ((more = next_line(p, "UIDL")) == 1)
		name_mail(p);
	return more == 0;
}

/* ---- one mail ------------------------------------------------------------ */

/* What was read of a mail and is not in its memfd yet: of many short lines
 * each would cost a call of write(2). */
struct kept {
	int fd;
	size_t len;
	char data[KEPT];
};

static bool
keep(struct kept *k, const char *data, size_t len)
{
	if (len > sizeof(k->data) - k->len) {
		if (ipc_write_all(k->fd, k->data, k->len) == -1)
			return false;
		k->len = 0;
	}
	if (len > sizeof(k->data))
		return ipc_write_all(k->fd, data, len) == 0;
	memcpy(k->data + k->len, data, len);
	k->len += len;
	return true;
}

/*
 * Keeps the first `most` octets of a mail, without the dots that were put
 * before dots, and counts all of them.  Where the connection broke behind
 * those, they are as good.
 *
 * Only CR LF ends a line: a server that takes no bare LF for the end of one
 * puts no dot behind it, and a mail could end itself there and go on as answers
 * of the server.
 */
static bool
keep_lines(
    const struct pop3 *p, const char *what, int fd, size_t most, size_t *octets)
{
	const MMAPString *line = p->line;
	struct kept kept = {.fd = fd};
	bool good = true, begins = true; /* a line, by CR LF */

	for (*octets = 0;;) {
		size_t dot, n, room = *octets < most ? most - *octets : 0;

		if (mailstream_read_line(p->stream, p->line) == NULL) {
			if (*octets <= most)
				return broken(p, what);
			break;
		}
		dot = begins && line->str[0] == '.';
		if (dot == 1 && strcmp(line->str, ".\r\n") == 0)
			break;
		begins = line->len > 1 && line->str[line->len - 2] == '\r';
		n = line->len - dot;
		*octets += n;
		good =
		    good && keep(&kept, line->str + dot, n < room ? n : room);
	}
	good = good && ipc_write_all(fd, kept.data, kept.len) == 0;
	return good || fetch_trouble(p->f, "no memory for a mail");
}

/* Says a command for a mail, and keeps what comes.  A memfd, -2 where the
 * server refuses, -1: trouble. */
static int
retrieve(const struct pop3 *p, const char *what, const char *argument,
    size_t most, size_t *octets)
{
	bool good = false;
	int fd = ipc_memfd("mail", NULL, 0, false);

	if (fd == -1) {
		fetch_trouble(p->f, "no memory for a mail");
		return -1;
	}
	if (say(p, what, argument) && read_answer(p, what, &good) && good &&
	    keep_lines(p, what, fd, most, octets))
		return fd;
	close(fd);
	return good || p->f->wire.broken ? -1 : -2;
}

/* What a session ended over is put off, even where enough of it came: so the
 * next one gets to the mails behind it. */
static bool
fetch_mail(const struct pop3 *p, const struct listed *m)
{
	struct fetcher *f = p->f;
	bool cut = m->size > f->most;
	const char *what = cut ? "TOP" : "RETR";
	size_t most = cut ? FETCH_HEADER : (size_t)f->most, octets, all = most;
	char argument[16];
	int fd;

	if (cut) /* a header may be all of a mail */
		all = m->size < FETCH_OCTETS ? m->size : FETCH_OCTETS;
	fetch_step(f, all);
	snprintf(argument, sizeof(argument), "%" PRIu32 "%s", m->number,
	    cut ? " 0" : "");
	fd = retrieve(p, what, argument, most, &octets);
	if (fd >= 0)
		fetch_offer(f, m->number, m->named ? m->key : "", fd,
		    cut && m->size > octets ? m->size : octets,
		    cut || octets > most);
	if (fd == -1 || f->wire.broken) {
		broken(p, what);
		fetch_broke(f, m->number, m->key);
		return false;
	}
	if (fd == -2)
		fetch_put_off(
		    f, m->number, m->key, "%s: %s", what, answer_text(p));
	return true;
}

static bool
delete_mail(struct pop3 *p, uint32_t number)
{
	char argument[16];
	bool good; /* or not: it is tried again later */

	p->removed = true;
	fetch_step(p->f, 0);
	snprintf(argument, sizeof(argument), "%" PRIu32, number);
	return say(p, "DELE", argument) && read_answer(p, "DELE", &good);
}

/* ---- one look ------------------------------------------------------------ */

static bool
settle(struct pop3 *p)
{
	struct fetcher *f = p->f;
	bool good = true;

	fetch_settle(f);
	for (size_t k = 0; good && k < f->nbatch; k++) {
		p->again |= f->batch[k].fate == FETCH_WHOLE;
		if (f->batch[k].fate == FETCH_DONE)
			good = delete_mail(p, f->batch[k].number);
	}
	f->nbatch = f->octets = 0;
	p->enough |= f->paused;
	return good;
}

static bool
consider(struct pop3 *p, const struct listed *m, enum fetch_turn turn)
{
	if (fetch_turn(p->f, m->key) != turn)
		return true;
	if (turn == TURN_REMOVE) {
		later_add(&p->f->later, m->key, true);
		return delete_mail(p, m->number);
	}
	/* It may end the session, and then nothing was deleted.  Not twice in a
	 * row: the server may be one that never deletes. */
	if (turn == TURN_AGAIN && p->removed && !p->made_sure)
		p->enough = p->f->made_sure = true;
	return p->enough || fetch_mail(p, m);
}

/* Goes through all mails whose turn it is. */
static bool
go_through(struct pop3 *p, enum fetch_turn turn, int64_t until)
{
	const struct fetcher *f = p->f;
	bool good = true;

	for (size_t k = 0; good && !p->enough && k < p->n; k++) {
		good = consider(p, &p->mails[k], turn);
		if (good && fetch_is_full(f)) {
			good = settle(p);
			p->enough |= loop_now_ms() > until;
		}
	}
	/* What the core was given is settled, whatever the server does. */
	if (f->nbatch > 0)
		good = settle(p) && good;
	return good;
}

/*
 * What was deleted is gone when the session ends well.  So one that only makes
 * up for what the last one left has its end at once, and those that could not
 * be had before come last, in a session that has deleted nothing.
 */
static bool
empty(struct pop3 *p)
{
	struct fetcher *f = p->f;
	int64_t until = loop_now_ms() + SESSION_MS;
	bool good;

	f->paused = false;
	p->made_sure = f->made_sure;
	f->made_sure = false;
	fetch_whole(f, fetch_batch_ms(f));
	good = list(p) && list_names(p) && go_through(p, TURN_REMOVE, until);
	p->enough = p->removed;
	good = good && go_through(p, TURN_NEW, until) &&
	       go_through(p, TURN_AGAIN, until);
	if (good && !p->enough)
		later_sweep(&f->later);
	return good;
}

long
fetch_pop3(struct fetcher *f)
{
	struct pop3 p = {.f = f, .line = mmap_string_new("")};
	bool good;

	if (p.line == NULL) {
		fetch_trouble(f, "no memory");
		return -1;
	}
	good = greet(&p) && log_in(&p);
	if (good) {
		fetch_is_open(f);
		good = empty(&p);
		/* now the server deletes, which most say, but not all */
		fetch_whole(f, f->timeout_ms);
		if (!f->wire.broken)
			command(&p, "QUIT", "");
	}
	if (p.stream != NULL)
		mailstream_close(p.stream);
	mmap_string_free(p.line);
	free(p.mails);
	alarm(0);
	if (!good)
		return -1;
	if (f->paused)
		return f->pause_ms;
	return p.enough || p.again ? 0
				   : later_wait(&f->later, (long)f->poll_ms);
}
