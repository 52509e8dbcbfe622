/*
 * Back-signatures (type 0x19): a subkey that signs must say itself that it
 * belongs to the primary key, or anybody could claim what another one signed.
 */
#ifndef PGP_BACKSIG_H
#define PGP_BACKSIG_H

#include "pgp/pgp.h"

/*
 * Judges a subkey binding (type 0x18) that is known to be the primary key's.
 * True when its key flags do not say that the subkey signs, or when the newest
 * back-signature embedded in it verifies (RFC 9580, 5.2.1.8 and 5.2.1.9).
 * False for what cannot be judged, running out of memory included.
 */
bool pgp_binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct pgp_packet *binding);

#endif
