/*
 * One certificate on its way through those who judge its signatures, and how
 * several of them travel together.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include "pgp/pgp.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/*
 * Part of the caller's own struct, which must live until `done` was called.
 */
struct trial {
	struct pgp_cert *cert;	   /* lent; its signatures get `verified` */
	struct pgp_left_out *left; /* lent */
	/*
	 * From the loop, from judge_free(), or at once when there is nothing
	 * to ask.  `later`: nobody can be asked, `why` says it.
	 */
	void (*done)(struct trial *, bool later, const char *why);
	/* the judges' own */
	enum { TRIAL_IDLE, TRIAL_NATIVE, TRIAL_WAITS, TRIAL_AWAY } state;
	struct pgp_claim *claims; /* that nobody has decided yet */
	size_t nclaims;
	bool unasked; /* no verifier could be asked */
	bool alone;   /* after a run that failed: one certificate at a time */
	unsigned deaths; /* of a helper while it had this one alone */
	TAILQ_ENTRY(trial) next;
};
TAILQ_HEAD(trial_list, trial);

size_t trial_octets(const struct trial *); /* about, of its claims */

/* A sealed memfd with the claims of all of a list, which are `nclaims`, in the
 * form of checker.h; -1 when memory ran out. */
int trials_record(const struct trial_list *, size_t nclaims);

/* Frees the claims and calls `done`, in which the caller may free it. */
void trial_end(struct trial *, bool later, const char *why);

/* Ends all of a list; who is told may start others. */
void trials_later(struct trial_list *, const char *why);

#endif
