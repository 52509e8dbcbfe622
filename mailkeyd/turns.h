/*
 * Whose answer goes next: the due ones by domain and address, which take
 * turns, so that ten thousand for one address do not hold up another one; and
 * how long handing over takes at each domain, so that those at which it takes
 * long never hold all senders.
 *
 * A domain is the last two labels of one: whoever has it has all below it.
 * `now` is in milliseconds, as loop_now_ms() has it.
 *
 * Of more than two senders, domains at which it took long in the last hour may
 * have all but two, and with those of which nothing is known all but one; that
 * one is left to domains that took theirs soon.  None of which nothing is known
 * has all but one for itself.  Of two senders, one is left to those that did
 * not take long.
 */
#ifndef TURNS_H
#define TURNS_H

#include "db/outbox.h"

struct turns;
struct domain;

struct turns *turns_new(size_t senders); /* NULL: no memory */
void turns_free(struct turns *);

/* One that is due waits from now on, behind those for the same address, in some
 * 32 octets.  -1: no memory. */
int turns_add(struct turns *, const char *address, const struct outbox_place *);

/* All that wait are forgotten; what is known of the domains is not. */
void turns_clear(struct turns *);

/* The next one, for a sender that is free; NULL: none may go now.  A
 * turns_done() for this domain must follow. */
struct domain *turns_take(struct turns *, int64_t now, struct outbox_place *);

/* It has taken so long so far, or in the end; -1: it was not tried. */
void turns_running(struct turns *, struct domain *, int64_t took, int64_t now);
void turns_done(struct turns *, struct domain *, int64_t took, int64_t now);

/* Whether, while so many senders are stuck, one waits that has deserved no
 * wait. */
bool turns_press(struct turns *, size_t stuck, int64_t now);

#endif
