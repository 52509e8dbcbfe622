/*
 * Mails that killed two readers, set aside as evidence: STATE/quarantine.
 */
#ifndef QUARANTINE_H
#define QUARANTINE_H

#include "mailkeyd/config.h"

#define QUARANTINE_NAME 65 /* a digest: 64 digits and a NUL */

struct quarantined {
	const char *hex;		/* the digest */
	const char *sender, *recipient; /* of the envelope; NULL = not known */
	const char *why;		/* one line */
	/* of one that is read back: */
	time_t when;
	size_t size;
	uint64_t inode; /* of the mail: another one, when it came again */
};

/*
 * Writes DIGEST.eml (the raw mail), DIGEST.why (one line) and DIGEST.from (the
 * envelope, two lines) into the quarantine, mode 0600, synced with their
 * directory; a repeat overwrites them.  0, or -1 with errno; EDQUOT: with it
 * the quarantine would be larger than quarantine_size.
 */
int quarantine_add(
    const struct config *, const struct quarantined *, int memfd);

/* Visits all, in no order; 0, or -1 with errno.  Strings are lent. */
int quarantine_each(const struct config *,
    void (*visit)(void *ctx, const struct quarantined *), void *ctx);

/* The one whose digest begins so.  0; -1 with ENOENT, EEXIST (more than one) or
 * another errno. */
int quarantine_find(
    const struct config *, const char *begin, char hex[QUARANTINE_NAME]);

/* The mail itself, to be read; -1 with errno. */
int quarantine_mail(const struct config *, const char *hex);

/* Removes it when it is still this one (0: whichever).  0, or -1 with errno,
 * EEXIST: it is another one by now. */
int quarantine_drop(const struct config *, const char *hex, uint64_t inode);

/* Removes what is older than 30 days. */
void quarantine_expire(const struct config *, time_t now);

#endif
