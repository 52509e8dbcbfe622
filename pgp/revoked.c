/*
 * Does a revocation by a designated revoker verify (RFC 9580, 5.2.3.23)?
 */
#include "pgp/verify.h"

#include <string.h>

static bool
algorithms_fit(unsigned key, unsigned sig)
{
	return key == sig || (key == PK_RSA && sig == PK_RSA_SIGN) ||
	       (key == PK_RSA_SIGN && sig == PK_RSA);
}

/* MD5 never; SHA-1 and RIPEMD-160 where nothing better was known. */
static bool
digest_fits(const struct public_key *key, unsigned hashalgo)
{
	return hashalgo != 1 && ((hashalgo != 2 && hashalgo != 3) || key->gpg);
}

/* Whether all that is hashed speaks for the revoker. */
static bool
may_count(const struct signature_parts *sig, const struct public_key *key,
    const struct pgp_component *primary, const struct pgp_component *revoker)
{
	struct hashed_words words;

	hashed_words(sig, revoker, &words);
	return signature_version_fits(sig->version, revoker->version) &&
	       signature_issuer(sig, revoker) == ISSUER_MATCHES &&
	       algorithms_fit(key->pkalgo, sig->pkalgo) &&
	       digest_fits(key, sig->hashalgo) && !words.other_issuer &&
	       words.understood && !words.local && words.dated &&
	       words.created >= revoker->created &&
	       words.created >= primary->created;
}

/* A component that lends the body. */
static bool
key_of(
    const struct pgp_packet *p, enum pgp_kind kind, struct pgp_component *key)
{
	memset(key, 0, sizeof(*key));
	key->kind = kind;
	key->body = (unsigned char *)(uintptr_t)p->body;
	key->len = p->len;
	return p->tag == (kind == PGP_SUBKEY ? PGP_TAG_PUBLIC_SUBKEY
					     : PGP_TAG_PUBLIC_KEY) &&
	       key_fill(key, p->body, p->len) == PGP_OK;
}

static bool
fits(const struct signature_parts *sig, struct public_key *key,
    const struct pgp_component *primary, const struct pgp_component *on)
{
	unsigned char digest[DIGEST_MAX];
	struct hasher h;
	size_t len;
	bool good;

	hasher_init(&h, primary, on);
	good = hasher_digest(&h, sig, digest, &len) == PGP_OK &&
	       public_key_verify(key, sig->hashalgo, digest, len, sig->value) ==
		   PGP_GOOD;
	hasher_free(&h);
	return good;
}

enum pgp_verdict
pgp_revoker_verify(const struct pgp_packet *primary,
    const struct pgp_packet *on, const struct pgp_packet *signature,
    const struct pgp_packet *revoker)
{
	struct pgp_component key, subkey, by;
	struct signature_parts sig;
	struct public_key public;
	bool good;

	if (signature->tag != PGP_TAG_SIGNATURE ||
	    !signature_split(signature->body, signature->len, &sig) ||
	    sig.type != (on->tag == 0 ? 0x20 : 0x28) ||
	    !key_of(primary, PGP_PRIMARY, &key) ||
	    !key_of(revoker, PGP_PRIMARY, &by) ||
	    (on->tag != 0 && !key_of(on, PGP_SUBKEY, &subkey)) ||
	    !public_key_open(&public, (struct cursor){by.body, by.len}))
		return PGP_BAD;
	good = may_count(&sig, &public, &key, &by) &&
	       fits(&sig, &public, &key, on->tag == 0 ? &key : &subkey);
	public_key_close(&public);
	return good ? PGP_GOOD : PGP_BAD;
}
