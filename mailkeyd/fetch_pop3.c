/*
 * A mailbox by POP3 (RFC 1939): a session fetches what is there, deletes what
 * was answered, and ends, which is when the server deletes.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION_MS (5 * 60 * 1000L) /* then what was done is made certain */

static bool
trouble(struct fetcher *f, mailpop3 *p, const char *what)
{
	if (f->wire.broken)
		return fetch_trouble(f, "%s: %s", what, wire_trouble(&f->wire));
	return fetch_trouble(f, "%s: %s", what,
	    p->pop3_response != NULL && *p->pop3_response != '\0'
		? p->pop3_response
		: "refused");
}

static bool
ok(struct fetcher *f, mailpop3 *p, const char *what, int error)
{
	return error == MAILPOP3_NO_ERROR && !f->wire.broken
		   ? true
		   : trouble(f, p, what);
}

static bool
greet(struct fetcher *f, mailpop3 *p)
{
	mailstream *stream = fetch_connect(f);

	if (stream == NULL ||
	    !ok(f, p, "greeting", mailpop3_connect(p, stream)))
		return false;
	if (f->tls != RECEIVE_TLS_STARTTLS)
		return true;
	fetch_step(f, 0);
	return ok(f, p, "STLS", mailpop3_stls(p)) && fetch_start_tls(f, stream);
}

static bool
log_in(struct fetcher *f, mailpop3 *p)
{
	char *password;
	int e;

	fetch_step(f, 0);
	if (!ok(f, p, "USER", mailpop3_user(p, f->user)))
		return false;
	password = fetch_password(f);
	if (password == NULL)
		return false;
	fetch_step(f, 0);
	e = mailpop3_pass(p, password);
	password_free(password);
	return ok(f, p, "PASS", e);
}

/* A memfd, -2 where the mail cannot be had, -1: trouble. */
static int
retrieve(
    struct fetcher *f, mailpop3 *p, const struct mailpop3_msg_info *m, bool cut)
{
	char *text = NULL;
	size_t len = 0;
	int e, fd;

	fetch_step(f, cut ? FETCH_HEADER : (size_t)f->most);
	e = cut ? mailpop3_top(p, m->msg_index, 0, &text, &len)
		: mailpop3_retr(p, m->msg_index, &text, &len);
	if (e != MAILPOP3_NO_ERROR || f->wire.broken) {
		if (!f->wire.broken && e == MAILPOP3_ERROR_NO_SUCH_MESSAGE)
			return -2;
		trouble(f, p, cut ? "TOP" : "RETR");
		return -1;
	}
	fd = ipc_memfd("mail", text, len, false);
	mailpop3_retr_free(text);
	if (fd == -1)
		fetch_trouble(f, "no memory for a mail");
	return fd;
}

static bool
fetch_mail(struct fetcher *f, mailpop3 *p, const struct mailpop3_msg_info *m,
    const char *key)
{
	bool cut = m->msg_size > f->most;
	int fd = retrieve(f, p, m, cut);

	if (fd == -2 && later_add(&f->later, key, false))
		fetch_note(f, "%s refused for mail %u", cut ? "TOP" : "RETR",
		    m->msg_index);
	if (fd < 0)
		return fd == -2;
	fetch_offer(f, m->msg_index, key, fd, m->msg_size, cut);
	return true;
}

static bool
delete_mail(struct fetcher *f, mailpop3 *p, unsigned number)
{
	fetch_step(f, 0);
	mailpop3_dele(p, number); /* refused: it is tried again later */
	return f->wire.broken ? trouble(f, p, "DELE") : true;
}

static bool
consider(struct fetcher *f, mailpop3 *p, const struct mailpop3_msg_info *m)
{
	const char *key = m->msg_uidl != NULL ? m->msg_uidl : "";
	const struct later_mail *later;

	if (strlen(key) >= LATER_KEY)
		key = "";
	later = later_find(&f->later, key);
	if (later != NULL && later->due > loop_now_ms())
		return true;
	if (later != NULL && later->done) {
		later_add(&f->later, key, true);
		return delete_mail(f, p, m->msg_index);
	}
	return fetch_mail(f, p, m, key);
}

static bool
settle(struct fetcher *f, mailpop3 *p, bool *again)
{
	bool good = true;

	fetch_settle(f);
	for (size_t k = 0; good && k < f->nbatch; k++) {
		*again |= f->batch[k].fate == FETCH_WHOLE;
		if (f->batch[k].fate == FETCH_DONE)
			good = delete_mail(f, p, f->batch[k].number);
	}
	f->nbatch = f->octets = 0;
	return good;
}

/* Goes through all mails; *all: there is nothing more to be done. */
static bool
empty(struct fetcher *f, mailpop3 *p, bool *all)
{
	int64_t until = loop_now_ms() + SESSION_MS;
	carray *mails = NULL;
	bool good, again = false;

	f->paused = false;
	fetch_whole(f, fetch_batch_ms(f));
	fetch_step(f, 2 * FETCH_LIST);
	if (!ok(f, p, "LIST", mailpop3_list(p, &mails)))
		return false;
	good = true;
	for (unsigned k = 0; good && k < carray_count(mails); k++) {
		const struct mailpop3_msg_info *m = carray_get(mails, k);

		good = m == NULL || consider(f, p, m);
		if (good && fetch_is_full(f)) {
			good = settle(f, p, &again);
			if (f->paused || loop_now_ms() > until)
				return good;
		}
	}
	/* What the core was given is settled, whatever the server does. */
	if (f->nbatch > 0)
		good = settle(f, p, &again) && good;
	if (good)
		later_sweep(&f->later);
	*all = good && !again;
	return good;
}

long
fetch_pop3(struct fetcher *f)
{
	mailpop3 *p = mailpop3_new(0, NULL);
	bool good, all = false;

	if (p == NULL) {
		fetch_trouble(f, "no memory");
		return -1;
	}
	good = greet(f, p) && log_in(f, p);
	if (good) {
		fetch_is_open(f);
		good = empty(f, p, &all);
	}
	if (!good)
		f->wire.broken = true; /* nothing more is said */
	fetch_whole(f, f->timeout_ms);
	fetch_step(f, 0);
	mailpop3_quit(p); /* whatever came of it: it hangs up */
	mailpop3_free(p);
	alarm(0);
	if (!good)
		return -1;
	if (f->paused)
		return f->pause_ms;
	return all ? later_wait(&f->later, (long)f->poll_ms) : 0;
}
