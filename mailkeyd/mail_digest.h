/*
 * What a mail is known by: SHA-256 digests over what stays the same from one
 * delivery to the next.
 */
#ifndef MAIL_DIGEST_H
#define MAIL_DIGEST_H

#include "db/outbox.h"
#include "mailkeyd/mail.h"

/* Of what follows the header of the raw mail in a sealed memfd, of which the
 * first `len` octets count.  0, or -1. */
int mail_digest_body(int fd, size_t len, unsigned char out[DIGEST_LEN]);

/*
 * What tells a repeat: the envelope sender (may be NULL), Message-ID, Subject,
 * Resent-Message-ID and body, never Received or Delivered-To, which change on
 * the way.  A mail without Message-ID goes by its topmost Received field, the
 * same on a retry, another when the user asks again; one with neither by the
 * name that its source has it under.  False for a mail without that (NULL),
 * which is never taken for a repeat, or without memory.
 */
bool mail_digest_repeat(const struct mail *, const char *sender,
    const char *name, const unsigned char body[DIGEST_LEN],
    unsigned char out[DIGEST_LEN]);

/* What a mail that killed its reader is counted by: envelope sender and body,
 * since headers differ between tries.  0, or -1: no memory. */
int mail_digest_poison(const char *sender, const unsigned char body[DIGEST_LEN],
    unsigned char out[DIGEST_LEN]);

/* Lower-case digits and a NUL. */
void mail_digest_hex(
    const unsigned char *, size_t n, char *out /* 2 * n + 1 octets */);

#endif
