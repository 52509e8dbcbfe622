/*
 * What the core and mailkeyd-checker say to each other: which signatures
 * verify?  The checker asks gpg through GPGME.
 *
 *   core -> checker  CHECKER_CONFIG  text: the private home directory (0700),
 *                                    fd[0]: memfd with the gpg program's path,
 *                                    or none; a: deadline in ms for a JUDGE
 *                                    (0: 10,000)
 *   core -> checker  CHECKER_JUDGE   id, fd[0]: sealed record: u32 n, then n
 *                                    times a blob: a small certificate of
 *                                    primary key, [user ID or subkey,] one
 *                                    signature (pgp_claim_write());
 *                                    a: deadline in ms for this one (0: the
 *                                    configured one)
 *   checker -> core  CHECKER_JUDGED  id, status below, fd[0]: sealed record: n
 *                                    octets of enum checker_verdict
 *
 * One JUDGE is under way at a time; the core puts what waits together in the
 * next.  A claim is judged by what it says and not by its neighbours: one that
 * gpg cannot read, or dies of, is CHECKER_BAD and costs the others only time.
 * Where the machine is short of something, or somebody else kills gpg, that is
 * no claim's fault, and nothing is said of it.  CHECKER_GOOD
 * means that gpg checked the signature itself; of a binding whose key flags say
 * that the subkey signs (0x02), that its newest back-signature is good, too.
 * Of v4 keys and v3 and v4 signatures only: all others are CHECKER_BAD.  What
 * expired or lies in the future counts, and so does what is older than its key.
 */
#ifndef CHECKER_H
#define CHECKER_H

#include <stdint.h>

enum checker_type { CHECKER_CONFIG = 1, CHECKER_JUDGE, CHECKER_JUDGED };

enum checker_status {
	CHECKER_OK,
	CHECKER_FAILED, /* passed the deadline, which is for the whole JUDGE:
			   ask again with less; or a damaged record */
	CHECKER_NO_GPG	/* gpg cannot be run, or memory, processes, descriptors
			   or a processor ran short: ask later; text says why */
};

enum checker_verdict {
	CHECKER_BAD, /* not vouched for */
	CHECKER_GOOD,
	CHECKER_UNHEARD /* gpg was kept from judging it: ask later */
};

#define CHECKER_RECORD_MAX (256u << 20)

#endif
