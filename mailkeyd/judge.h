/*
 * The core's side of the checker: which signatures of a certificate verify?
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"

#include <sys/queue.h>

struct judge;

/*
 * One certificate to be judged; part of the caller's own struct, which must
 * live until `done` was called.
 */
struct trial {
	struct pgp_cert *cert;	   /* lent; its signatures get `verified` */
	struct pgp_left_out *left; /* lent */
	/*
	 * From the loop, from judge_free(), or at once when there is nothing
	 * to ask.  `later`: gpg cannot be asked at all, `why` says it.
	 */
	void (*done)(struct trial *, bool later, const char *why);
	/* the judge's own */
	enum { TRIAL_IDLE, TRIAL_WAITS, TRIAL_AWAY } state;
	struct pgp_claim *claims;
	size_t nclaims;
	bool alone; /* after a run that failed: one certificate at a time */
	unsigned deaths; /* of the checker while it had this one alone */
	TAILQ_ENTRY(trial) next;
};

struct judge *judge_new(struct loop *, const struct config *);
void judge_free(struct judge *); /* what is still under way: later */

/* Counts the claims first (pgp_cert_claims), so that a certificate with
 * nothing new is done without gpg. */
void trial_start(struct judge *, struct trial *);

bool judge_is_up(const struct judge *);
bool judge_is_idle(const struct judge *); /* no trial under way */
unsigned judge_deaths(const struct judge *);
/* Signatures that gpg was asked about since the start. */
uint64_t judge_asked(const struct judge *);

#endif
