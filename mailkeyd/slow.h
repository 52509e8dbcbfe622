/*
 * Domains at which handing over takes long, and the answers that wait because
 * of them: so that a few such addresses never hold all senders.
 */
#ifndef SLOW_H
#define SLOW_H

#include <stdbool.h>
#include <stdint.h>

struct slow;

struct slow *slow_new(void); /* NULL: no memory */
void slow_free(struct slow *);

/* An attempt at this address took so long, or takes it already; `now` in
 * milliseconds, as loop_now_ms() has it, here and below. */
void slow_note(struct slow *, const char *address, int64_t took, int64_t now);

/* Whether one at the domain of this address did within the last hour.  Its last
 * two labels count: whoever has a domain has all below it. */
bool slow_domain(const struct slow *, const char *address, int64_t now);

/* Answers that wait, by the number in the outbox.  false: they are too many,
 * this one is not noted. */
bool slow_hold(struct slow *, uint64_t id);
bool slow_holds(const struct slow *, uint64_t id);
void slow_release(struct slow *); /* all of them */

#endif
