/*
 * Does a signature's value fit a key and a digest?  Keys and values as
 * libcrypto wants them, and what of a signature goes into its digest.
 */
#ifndef PGP_VERIFY_H
#define PGP_VERIFY_H

#include "pgp/internal.h"

enum pubkey_algo {
	PK_RSA = 1,
	PK_RSA_SIGN = 3,
	PK_DSA = 17,
	PK_ECDSA = 19,
	PK_EDDSA = 22, /* EdDSALegacy of RFC 9580 */
	PK_ED25519 = 27,
	PK_ED448 = 28
};

#define ED25519_LEN 32 /* octets of a point; a value has twice as many */

/* ---- material.c ---------------------------------------------------------- */

/* A public key as libcrypto wants it. */
struct public_key {
	struct evp_pkey_st *pkey;
	struct evp_pkey_ctx_st *ctx; /* ready to verify; of EdDSA NULL */
	uint8_t version, pkalgo;
	bool gpg;	  /* gpg_knows() it */
	uint8_t hashalgo; /* what RSA's padding was set to last */
	/* Of Ed25519. */
	unsigned char point[ED25519_LEN];
	size_t size;	   /* octets of RSA's modulus, of a point of EdDSA */
	size_t digest_min; /* octets of the shortest digest that may count */
	unsigned cost;	   /* microseconds that a verification may take */
};

/* Whether a key is of a kind that GnuPG 2.2 knows. */
bool gpg_knows(unsigned version, unsigned pkalgo);

/*
 * Takes the body of a key packet of version 2, 3, 4 or 6.  False: not one that
 * is verified here, or no memory; nothing is to be freed then.
 */
bool public_key_open(struct public_key *, struct cursor body);
void public_key_close(struct public_key *);

/*
 * Whether GnuPG 2.2 reads a key packet of version 4, and hashes it as it came:
 * it writes the numbers anew, as it would have them.
 */
bool key_is_exact(struct cursor body);

/* ---- verify.c ------------------------------------------------------------ */

/*
 * Whether `value` is the key's signature of a digest made with `hashalgo`.
 * What is hashed, and whether it may count, is the caller's business.
 */
enum pgp_verdict public_key_verify(struct public_key *, unsigned hashalgo,
    const unsigned char *digest, size_t len, struct cursor value);

/* ---- ed25519.c ----------------------------------------------------------- */

/* Whether the value is good beyond any doubt; OpenSSL may know better. */
bool ed25519_good(const unsigned char point[ED25519_LEN],
    const unsigned char value[2 * ED25519_LEN], const unsigned char *message,
    size_t len);

/* ---- hashed.c ------------------------------------------------------------ */

/* What the hashed area of a signature says that matters to verifying. */
struct hashed_words {
	bool understood;   /* no critical subpacket is unknown (5.2.3.7) */
	bool local;	   /* not exportable: GnuPG passes none */
	bool signs;	   /* key flags: the subkey is to sign */
	bool other_issuer; /* names another key */
	bool dated;	   /* has one creation time or more, */
	uint32_t created;  /* the oldest of them */
};
/* `issuer` may be NULL: then nobody is another. */
void hashed_words(const struct signature_parts *,
    const struct pgp_component *issuer, struct hashed_words *);

/* ---- backsig.c ----------------------------------------------------------- */

/* As pgp_binding_backed(), of a sound binding of the subkey that the hasher is
 * on; *cost grows. */
enum pgp_verdict binding_backed(
    struct hasher *, const struct signature_parts *binding, uint64_t *cost);

#endif
