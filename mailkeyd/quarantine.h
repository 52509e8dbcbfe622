/*
 * Mails that killed two readers, set aside as evidence: STATE/quarantine.
 */
#ifndef QUARANTINE_H
#define QUARANTINE_H

#include "mailkeyd/config.h"

/*
 * Writes DIGEST.eml (the raw mail) and DIGEST.why (one line) into the
 * quarantine, mode 0600, synced with their directory; a repeat overwrites
 * them.  `hex` is the digest, 64 digits.  0, or -1 with errno.
 */
int quarantine_add(
    const struct config *, const char *hex, int memfd, const char *why);

/* Removes what is older than 30 days. */
void quarantine_expire(const struct config *, time_t now);

#endif
