/*
 * The core's side of mailkeyd-verifier: which signatures are good, as far as
 * arithmetic in a jail can tell?
 */
#ifndef NATIVE_H
#define NATIVE_H

#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/trial.h"

#include <stdint.h>

struct native;

/* With claims left it is gpg's turn; without, all were decided. */
typedef void native_done(void *ctx, struct trial *);

struct native *native_new(
    struct loop *, const struct config *, native_done *, void *ctx);
/* What is under way: as it is, undecided.  Accepts NULL. */
void native_free(struct native *);

/*
 * Judges the claims of a trial; `done` comes from the loop.  Signatures that
 * are good get `verified`, bad ones are dropped from the claims, the others
 * stay there.  So do all of a certificate that a child has died of, alone, and,
 * `unasked`, all when there is no verifier.  Where that cannot make a child,
 * for lack of processes or memory, the trial itself is told to come later.
 */
void native_start(struct native *, struct trial *);

bool native_is_idle(const struct native *);

struct native_counts {
	uint64_t good, bad, undecided; /* signatures since the start */
	uint64_t killers;	       /* certificates that a child died of */
	unsigned deaths;	       /* of the helper itself */
};
void native_count(const struct native *, struct native_counts *);

#endif
