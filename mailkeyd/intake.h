/*
 * From the certificates that a reader found to what may be stored: parsed
 * again by the core, what is stored already struck out, the rest judged by
 * gpg, cleaned.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "handlers/handler.h"
#include "mailkeyd/judge.h"

struct intake;

/* `later`: nothing could be judged, the fault is ours; come again. */
typedef void intake_done(void *ctx, bool later, const char *why);

/*
 * For all certificates of a mail (lent until `done`).  `done` is
 * called once, from the loop or, when there is nothing to ask, from within
 * intake_start().  NULL: no memory.
 */
struct intake *intake_new(struct judge *, struct keystore *,
    const struct config *, const struct mail *, time_t now, intake_done *,
    void *ctx);

/* What is left out is wanted part by part: the parts are the mail's, or where
 * that has none the intake's.  Before intake_start(). */
void intake_parts(struct intake *);

/* Begins the work. */
void intake_start(struct intake *);

/* The same in slices: so many milliseconds of it.  False: that was the last
 * one, and `done` may have been called. */
bool intake_more(struct intake *, int ms);

/* Instead of another slice: `done` comes, with `later`. */
void intake_stop(struct intake *, const char *why);

/* What came of it: one for each certificate of the mail, then one for each
 * stored key that a bare revocation was tried on; lent. */
const struct submission *intake_submissions(const struct intake *, size_t *n);

/* Whether something of submission i would count beside what is not stored: a
 * revocation by a key that the owner named, and neither the store nor the mail
 * has; or what verifies but cannot stand by itself, such as one new subkey. */
bool intake_waits(const struct intake *, size_t i);

/* The mail's problems, and what the store had to say; lent. */
const char *const *intake_problems(const struct intake *, size_t *n);

/* After `done`, or before intake_start(). */
void intake_free(struct intake *);

#endif
