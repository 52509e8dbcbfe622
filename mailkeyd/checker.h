/*
 * What the core and mailkeyd-checker say to each other: which signatures
 * verify?  The checker asks gpg through GPGME.
 *
 *   core -> checker  CHECKER_CONFIG  text: the private home directory (0700),
 *                                    fd[0]: memfd with the gpg program's path,
 *                                    or none; a: deadline in ms for a run
 *   core -> checker  CHECKER_JUDGE   id, fd[0]: sealed record: u32 n, then n
 *                                    times a blob: a small certificate of
 *                                    primary key, [user ID or subkey,] one
 *                                    signature (pgp_claim_write())
 *   checker -> core  CHECKER_JUDGED  id, status below, fd[0]: sealed record: n
 *                                    octets, 1 = verified
 *
 * One JUDGE is under way at a time; the core puts what waits together in the
 * next.
 */
#ifndef CHECKER_H
#define CHECKER_H

#include <stdint.h>

enum checker_type { CHECKER_CONFIG = 1, CHECKER_JUDGE, CHECKER_JUDGED };

enum checker_status {
	CHECKER_OK,
	CHECKER_FAILED,	 /* gpg crashed, came back short, passed its deadline:
			    ask again with less */
	CHECKER_NO_GPG	 /* gpg cannot be run at all; text says why */
};

#define CHECKER_RECORD_MAX (256u << 20)

#endif
