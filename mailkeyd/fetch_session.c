/*
 * What sessions by IMAP and POP3 have in common: the reason of their end, and
 * the time and the octets that each step may take.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/loop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALARM_S 15 /* behind the deadline that the wire keeps */
/* A mail that ended a session waits for 8 seconds, 16, 32; the next session
 * comes after one, two, four. */
#define BROKE_STEPS 3
#define QUIET_MS    60000 /* between two notes of mails that cannot be had */

void
fetch_clean(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && (unsigned char)text[n - 1] <= ' ')
		text[--n] = '\0';
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

bool
fetch_trouble(struct fetcher *f, const char *format, ...)
{
	va_list ap;

	if (f->why[0] != '\0') /* the first is the reason */
		return false;
	va_start(ap, format);
	vsnprintf(f->why, sizeof(f->why), format, ap);
	va_end(ap);
	fetch_clean(f->why);
	return false;
}

bool
fetch_refused(struct fetcher *f, const char *what, const char *said)
{
	/* a line of the log has room for 200 octets of it */
	return fetch_trouble(f,
	    "%s: %.90s; look at user and password_file; OAuth is not known "
	    "here: have the server make a password for programs",
	    what, said);
}

/* The alarm ends what the wire does not: a library that goes in circles. */
void
fetch_whole(struct fetcher *f, unsigned ms)
{
	f->wire.whole = loop_now_ms() + ms;
	alarm(ms / 1000 + ALARM_S);
}

/* 4 octets in a millisecond is a slow modem. */
unsigned
fetch_batch_ms(const struct fetcher *f)
{
	return 30 * 60 * 1000 + (unsigned)((FETCH_OCTETS + f->most) / 4);
}

void
fetch_step(struct fetcher *f, size_t octets)
{
	wire_step(&f->wire, f->timeout_ms + (unsigned)(octets / 4),
	    2 * octets + FETCH_REPLY);
}

bool
fetch_is_full(const struct fetcher *f)
{
	return f->nbatch == FETCH_BATCH || f->octets >= FETCH_OCTETS;
}

/* ---- which mail when ----------------------------------------------------- */

enum fetch_turn
fetch_turn(struct fetcher *f, const char *key)
{
	const struct later_mail *later = later_find(&f->later, key);

	if (later == NULL)
		return TURN_NEW;
	if (later->due > loop_now_ms())
		return TURN_NOT;
	return later->done ? TURN_REMOVE : TURN_AGAIN;
}

/* As if it had been that often before, at the least.  Whether to note it: once
 * it was, and not for each of thousands. */
static bool
put_off(struct fetcher *f, const char *key, unsigned before)
{
	const struct later_mail *later;
	int64_t now = loop_now_ms();

	do {
		later_add(&f->later, key, false);
		later = later_find(&f->later, key);
	} while (later != NULL && later->tries <= before);
	if (later == NULL || later->tries != before + 2 || now < f->quiet_until)
		return false;
	f->quiet_until = now + QUIET_MS;
	return true;
}

void
fetch_put_off(struct fetcher *f, uint32_t number, const char *key,
    const char *format, ...)
{
	char why[IPC_TEXT];
	va_list ap;

	if (!put_off(f, key, 0))
		return;
	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	fetch_note(f, "mail %" PRIu32 ": %s", number, why);
}

void
fetch_broke(struct fetcher *f, uint32_t number, const char *key)
{
	if (put_off(f, key, BROKE_STEPS))
		fetch_note(f, "mail %" PRIu32 ": %s", number, f->why);
}
