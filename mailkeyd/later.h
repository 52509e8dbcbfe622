/*
 * Mails that stay in their mailbox for now, and those that were answered but
 * cannot be removed: when each is next looked at.
 */
#ifndef LATER_H
#define LATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATER_KEY 72 /* octets of a name, with its NUL (RFC 1939: 70) */
#define LATER_MAX 4096

struct later_mail {
	char key[LATER_KEY];
	int64_t due; /* loop_now_ms() */
	unsigned tries;
	bool done; /* answered: it is only to be removed */
	bool seen; /* by the look under way */
};

struct later { /* sorted by key */
	struct later_mail *mail;
	size_t n, size;
};

/* NULL: it is not there.  It counts as seen. */
const struct later_mail *later_find(struct later *, const char *key);

/* Puts a mail off, each time for twice as long: one second to ten minutes.
 * Whether it is the first time.  Where there are too many, or without a key,
 * nothing is noted.  A new one counts as seen unless it is done, and so should
 * be gone. */
bool later_add(struct later *, const char *key, bool done);
void later_drop(struct later *, const char *key);

/* After a look at the whole mailbox: what was not seen is forgotten. */
void later_sweep(struct later *);
void later_clear(struct later *);

/* The time in ms until one is due, `most` if that is longer. */
long later_wait(const struct later *, long most);

#endif
