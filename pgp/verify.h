/*
 * Does a signature's value fit a key and a digest?  Arithmetic only: what was
 * hashed, and whether it may count, is the caller's business.
 */
#ifndef PGP_VERIFY_H
#define PGP_VERIFY_H

#include "pgp/internal.h"

/*
 * `key` is the body of a v4 key packet, `value` the signature's MPIs, the
 * digest was made with `hashalgo`.  RSA, DSA, ECDSA over the curves of NIST,
 * Brainpool and secp256k1, and EdDSA over Ed25519 with its number from before
 * RFC 9580 (22): what GnuPG 2.2 knows.  False for everything else.
 */
bool verify_digest(struct cursor key, unsigned pkalgo, unsigned hashalgo,
    const unsigned char *digest, size_t len, struct cursor value);

/* Whether every critical subpacket of a hashed area is known (5.2.3.7). */
bool all_understood(struct cursor hashed);

#endif
