/*
 * Which signatures of a certificate verify?  The jailed verifier says what
 * arithmetic can tell (native.h), and gpg, asked through the checker, the rest.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/native.h"
#include "mailkeyd/trial.h"

struct judge;

struct judge *judge_new(struct loop *, const struct config *);
void judge_free(struct judge *); /* what is still under way: later */

/* Counts the claims first (pgp_cert_claims), so that a certificate with
 * nothing new is done at once. */
void trial_start(struct judge *, struct trial *);

bool judge_is_up(const struct judge *);
bool judge_is_idle(const struct judge *); /* no trial under way */
unsigned judge_deaths(const struct judge *);
/* Signatures that gpg was asked about since the start. */
uint64_t judge_asked(const struct judge *);
/* What the verifier said. */
void judge_native(const struct judge *, struct native_counts *);

#endif
