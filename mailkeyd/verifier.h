/*
 * What the core and mailkeyd-verifier say to each other: jailer.h in the words
 * of signatures.  A jailed child judges them with libcrypto.
 *
 *   VERIFIER_JUDGE   fd[0]: the sealed record that CHECKER_JUDGE takes, too
 *                    (checker.h), fd[1]: an empty memfd
 *   VERIFIER_JUDGED  the memfd holds an octet for each claim: what is in enum
 *                    pgp_verdict
 */
#ifndef VERIFIER_H
#define VERIFIER_H

#include "mailkeyd/jailer.h"

enum verifier_type {
	VERIFIER_CONFIG = JAILER_CONFIG,
	VERIFIER_JUDGE = JAILER_JOB,
	VERIFIER_JUDGED = JAILER_DONE
};

/* Octets of verdicts. */
#define VERIFIER_RECORD_MAX (1u << 20)

#endif
