/*
 * Is a self-signature what it claims to be?  The rules are those of RFC 9580,
 * 5.2.4, as GnuPG 2.2 has them; what it would see in another way, or what
 * nobody writes, is left to it.
 */
#include "pgp/verify.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#define BINDING 0x18

/* What GnuPG 2.2 reads, or less. */
#define USERID_MAX 2048
#define AREA_MAX   10000

/* Microseconds for the claims of one certificate, as the costs are estimated:
 * no honest certificate comes near it. */
#define COST_MAX    5000000
#define COST_OCTETS 256 /* hashed in a microsecond, at the least */

/* Octets that were looked at, kept to be known again. */
struct copy {
	unsigned tag;
	unsigned char *octets;
	size_t len, size;
};

struct pgp_verifier {
	struct copy primary, on;
	struct pgp_component id; /* of the primary key; body not set */
	struct public_key key;
	bool usable; /* id and key are set */
	bool exact;  /* GnuPG would hash both in the same way */
	uint64_t cost;
	EVP_MD_CTX *begun[2][HASHER_ALGOS]; /* over both; v3 and later */
	EVP_MD_CTX *md;
};

struct pgp_verifier *
pgp_verifier_new(void)
{
	struct pgp_verifier *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->md = EVP_MD_CTX_new();
	if (v->md == NULL) {
		free(v);
		return NULL;
	}
	return v;
}

static void
forget_begun(struct pgp_verifier *v)
{
	for (size_t i = 0; i < HASHER_ALGOS; i++) {
		digest_free(v->begun[0][i]);
		digest_free(v->begun[1][i]);
		v->begun[0][i] = v->begun[1][i] = NULL;
	}
}

static void
forget_primary(struct pgp_verifier *v)
{
	forget_begun(v);
	public_key_close(&v->key);
	v->usable = false;
	v->cost = 0;
	v->primary.tag = 0;
}

void
pgp_verifier_free(struct pgp_verifier *v)
{
	if (v == NULL)
		return;
	forget_primary(v);
	digest_free(v->md);
	free(v->primary.octets);
	free(v->on.octets);
	free(v);
}

/* ---- the certificate under way ------------------------------------------- */

static bool
copy_is(const struct copy *c, const struct pgp_packet *p)
{
	return c->tag == p->tag && c->len == p->len &&
	       (p->len == 0 || memcmp(c->octets, p->body, p->len) == 0);
}

static bool
copy_set(struct copy *c, const struct pgp_packet *p)
{
	unsigned char *octets;

	if (p->len > c->size) {
		octets = realloc(c->octets, p->len);
		if (octets == NULL)
			return false;
		c->octets = octets;
		c->size = p->len;
	}
	if (p->len > 0)
		memcpy(c->octets, p->body, p->len);
	c->len = p->len;
	c->tag = p->tag;
	return true;
}

/* False: no memory; the next call begins anew. */
static bool
take_primary(struct pgp_verifier *v, const struct pgp_packet *primary)
{
	struct cursor body = {primary->body, primary->len};

	if (copy_is(&v->primary, primary))
		return true;
	forget_primary(v);
	v->on.tag = PGP_TAG_PADDING; /* which no claim stands on */
	memset(&v->id, 0, sizeof(v->id));
	v->usable = key_fill(&v->id, primary->body, primary->len) == PGP_OK &&
		    public_key_open(&v->key, body);
	v->exact = v->usable && (!v->key.gpg || key_is_exact(body));
	return copy_set(&v->primary, primary);
}

static bool
take_on(struct pgp_verifier *v, const struct pgp_packet *on)
{
	if (copy_is(&v->on, on))
		return true;
	forget_begun(v);
	v->on.tag = PGP_TAG_PADDING;
	return copy_set(&v->on, on);
}

/* ---- rules --------------------------------------------------------------- */

/* 5.2.1: which type may stand on what. */
static bool
type_fits(unsigned tag, unsigned type)
{
	switch (tag) {
	case 0:
		return type == 0x1f || type == 0x20;
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
		return (type >= 0x10 && type <= 0x13) || type == 0x30;
	case PGP_TAG_PUBLIC_SUBKEY:
		return type == BINDING || type == 0x28;
	}
	return false;
}

/* 10.1.2 and 5.2: a key's version decides over its signatures' and subkeys'. */
static bool
versions_fit(const struct pgp_verifier *v, const struct pgp_packet *on,
    const struct signature_parts *sig)
{
	if (on->tag == PGP_TAG_PUBLIC_SUBKEY &&
	    (v->id.version < 4 || on->len == 0 || on->body[0] != v->id.version))
		return false;
	return v->id.version == 6 ? sig->version == 6
				  : sig->version == 3 || sig->version == 4;
}

/* The two numbers of RSA mean the same key. */
static bool
algorithms_fit(unsigned key, unsigned sig)
{
	return key == sig || (key == PK_RSA && sig == PK_RSA_SIGN) ||
	       (key == PK_RSA_SIGN && sig == PK_RSA);
}

/* Broken digests count where nothing better was known. */
static bool
digest_fits(const struct pgp_verifier *v, unsigned hashalgo)
{
	switch (hashalgo) {
	case 1: /* MD5 */
		return v->id.version == 3;
	case 2: /* SHA-1 */
	case 3: /* RIPEMD-160 */
		return v->id.version == 3 || v->key.gpg;
	}
	return true;
}

/* SHA-3 is news to GnuPG 2.2. */
static bool
digest_known(const struct pgp_verifier *v, unsigned hashalgo)
{
	return digest_algorithm(hashalgo) != NULL &&
	       !(v->key.gpg && hashalgo > 11);
}

/* How GnuPG 2.2 would read it, which drops what is longer than it likes. */
static bool
plain(const struct pgp_packet *on, const struct signature_parts *sig)
{
	struct cursor area = sig->unhashed;
	struct subpacket sub;
	int r;

	if (sig->hashed.len > AREA_MAX || sig->unhashed.len > AREA_MAX ||
	    (on->tag == PGP_TAG_USERID && on->len > USERID_MAX) ||
	    (on->tag == PGP_TAG_ATTRIBUTE && on->len == 0) ||
	    (on->tag == PGP_TAG_PUBLIC_SUBKEY && on->body[0] != 6 &&
		on->len > UINT16_MAX))
		return false;
	while ((r = subpacket_next(&area, &sub)) == 1)
		;
	return r == 0;
}

/* Before any arithmetic: PGP_GOOD when nothing speaks against it. */
static enum pgp_verdict
may_count(const struct pgp_verifier *v, const struct pgp_packet *on,
    const struct signature_parts *sig)
{
	struct hashed_words words;

	hashed_words(sig, &v->id, &words);
	if (!type_fits(on->tag, sig->type) || !versions_fit(v, on, sig) ||
	    !algorithms_fit(v->key.pkalgo, sig->pkalgo) ||
	    signature_issuer(sig, &v->id) != ISSUER_MATCHES ||
	    words.other_issuer || !words.understood || words.local ||
	    !words.dated || words.created < v->id.created ||
	    !digest_fits(v, sig->hashalgo))
		return PGP_BAD;
	if (!v->exact || !digest_known(v, sig->hashalgo) || !plain(on, sig) ||
	    (on->tag == PGP_TAG_PUBLIC_SUBKEY && v->key.gpg &&
		!key_is_exact((struct cursor){on->body, on->len})))
		return PGP_UNDECIDED;
	return PGP_GOOD;
}

/* ---- arithmetic ---------------------------------------------------------- */

/* Leaves the digest of all but the signature's own octets in v->md. */
static bool
begin(struct pgp_verifier *v, const struct pgp_packet *primary,
    const struct pgp_packet *on, const struct signature_parts *sig)
{
	EVP_MD_CTX **begun = &v->begun[sig->version == 3][sig->hashalgo];
	bool nomem;

	if (*begun != NULL)
		return EVP_MD_CTX_copy_ex(v->md, *begun) == 1;
	*begun = digest_new(sig->hashalgo, &nomem);
	if (*begun == NULL)
		return false;
	v->cost += (primary->len + on->len) / COST_OCTETS;
	if (hash_packet(*begun, primary, sig->version) &&
	    hash_packet(*begun, on, sig->version))
		return EVP_MD_CTX_copy_ex(v->md, *begun) == 1;
	digest_free(*begun);
	*begun = NULL;
	return false;
}

static enum pgp_verdict
verify(struct pgp_verifier *v, const struct pgp_packet *primary,
    const struct pgp_packet *on, const struct pgp_packet *signature,
    const struct signature_parts *sig)
{
	unsigned char digest[DIGEST_MAX];

	v->cost += signature->len / COST_OCTETS;
	if (!begin(v, primary, on, sig) ||
	    !hash_trailer(v->md, sig, signature->body) ||
	    !digest_final(v->md, digest))
		return PGP_UNDECIDED;
	/* The left 16 bits are a hint that GnuPG does not look at, and we
	 * write them anew. */
	v->cost += v->key.cost;
	return public_key_verify(&v->key, sig->hashalgo, digest,
	    (size_t)EVP_MD_CTX_get_size(v->md), sig->value);
}

enum pgp_verdict
pgp_claim_verify(struct pgp_verifier *v, const struct pgp_packet *primary,
    const struct pgp_packet *on, const struct pgp_packet *signature)
{
	struct signature_parts sig;
	enum pgp_verdict verdict;

	if (primary->tag != PGP_TAG_PUBLIC_KEY ||
	    signature->tag != PGP_TAG_SIGNATURE)
		return PGP_BAD;
	if (!take_primary(v, primary) || !v->usable || !take_on(v, on) ||
	    v->cost > COST_MAX ||
	    !signature_split(signature->body, signature->len, &sig))
		return PGP_UNDECIDED;
	verdict = may_count(v, on, &sig);
	if (verdict == PGP_GOOD)
		verdict = verify(v, primary, on, signature, &sig);
	if (verdict == PGP_GOOD && sig.type == BINDING)
		verdict = binding_backed(primary, on, &sig, &v->cost);
	return verdict;
}
