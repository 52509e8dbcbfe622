/*
 * Claims and what became of them: small certificates out of a record, one
 * stream of them for gpg, and which of their signatures gpg let through.
 */
#ifndef VOUCH_H
#define VOUCH_H

#include "mailkeyd/ipc.h"
#include "pgp/pgp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define VOUCH_CLAIMS_MAX 1000000u

/* What a signature is known by: all of it that is signed, and its value. */
struct vouch_sig {
	const unsigned char *head, *value; /* lent */
	size_t headlen, valuelen;
};

/* Everything lent from the record. */
struct vouch_claim {
	struct pgp_packet primary, on, packet; /* on: of the primary, tag 0 */
	struct pgp_packet issuer; /* tag 0: the primary key itself */
	struct vouch_sig sig;
	bool fit;      /* a small certificate that can be put to gpg */
	bool returned; /* gpg gave the signature back */
	bool unheard;  /* gpg was kept from reading it */
};

struct vouch {
	struct vouch_claim *claim;
	size_t n;
};

/*
 * Reads the record of CHECKER_JUDGE; what is no small certificate of the kinds
 * that gpg 2.2 judges stays in its place, not fit.  0, or -1 with errno:
 * EBADMSG for a record that is damaged, ENOMEM.
 */
int vouch_read(struct ipc_in *, struct vouch *);
void vouch_free(struct vouch *);

/*
 * Tells the packets of one small certificate apart: a primary key, perhaps what
 * the signature is on, the signature, and perhaps the key of another issuer.
 * Nothing else of the claim is set.
 */
bool vouch_split(struct vouch_claim *, const unsigned char *, size_t);

/*
 * Writes claims [first, first + n) in a form that nobody but this program
 * chose, and behind them a certificate that proves, when it comes back, that
 * gpg read to the end.  0, or -1 on an error of the stream.
 */
int vouch_write(FILE *, const struct vouch *, size_t first, size_t n);

/* A subkey binding (0x18). */
bool vouch_is_binding(const struct vouch_claim *);

enum vouch_end {
	VOUCH_WHOLE, /* everything was judged: `returned` is set */
	VOUCH_SHORT, /* gpg did not get to the end; nothing is set */
	VOUCH_NOMEM
};

/*
 * Pairs gpg's output with the claims it was given, by content: the same
 * signature on the same component of the same primary key.
 */
enum vouch_end vouch_match(struct vouch *, size_t first, size_t n,
    const unsigned char *output, size_t len);

#endif
