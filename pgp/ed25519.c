/*
 * Ed25519 by libsodium, which takes half the time of OpenSSL 3: the one file
 * that asks it.
 */
#include "pgp/verify.h"

#include <sodium/crypto_sign_ed25519.h>

/*
 * What it calls good everybody calls good: it computes R from S, the point and
 * the digest, wants the very octets of it, and refuses besides what is not
 * written in the one way, an S above the order, and points of small order.  It
 * needs none of its library's set-up, which only random numbers do.
 */
bool
ed25519_good(const unsigned char point[ED25519_LEN],
    const unsigned char value[2 * ED25519_LEN], const unsigned char *message,
    size_t len)
{
	return crypto_sign_ed25519_verify_detached(
		   value, message, len, point) == 0;
}
