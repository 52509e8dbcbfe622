/*
 * Is a self-signature what it claims to be?  The rules are those of RFC 9580,
 * 5.2.4, as GnuPG 2.2 has them; what it would see in another way, or what
 * nobody writes, is left to it.
 */
#include "pgp/verify.h"

#include <stdlib.h>
#include <string.h>

#define BINDING 0x18

/* What GnuPG 2.2 reads: up to 2,037 octets it was seen to take, and this. */
#define USERID_MAX 2000
#define AREA_MAX   10000

/* Microseconds for the claims of one certificate, as the costs are estimated:
 * no honest certificate comes near it, and gpg would take longer. */
#define COST_MAX    2000000
#define COST_OCTETS 256 /* hashed in a microsecond, at the least */

/* A component that is kept, to be known again. */
struct kept {
	struct pgp_component c;
	unsigned tag; /* 0: nothing is kept */
	size_t size;  /* of the body's memory */
	bool sound;   /* of a key: it can be read */
	bool exact;   /* GnuPG would hash it in the same way */
};

struct pgp_verifier {
	struct kept primary, on;
	struct public_key key;
	bool usable; /* the key can be verified with */
	uint64_t cost;
	struct hasher hasher; /* over what is kept */
};

struct pgp_verifier *
pgp_verifier_new(void)
{
	return calloc(1, sizeof(struct pgp_verifier));
}

void
pgp_verifier_free(struct pgp_verifier *v)
{
	if (v == NULL)
		return;
	hasher_free(&v->hasher);
	public_key_close(&v->key);
	free(v->primary.c.body);
	free(v->on.c.body);
	free(v);
}

/* ---- the certificate under way ------------------------------------------- */

static bool
kept_is(const struct kept *k, const struct pgp_packet *p)
{
	return k->tag == p->tag && k->c.len == p->len &&
	       (p->len == 0 || memcmp(k->c.body, p->body, p->len) == 0);
}

static enum pgp_kind
kind_of(unsigned tag)
{
	switch (tag) {
	case PGP_TAG_PUBLIC_KEY:
		return PGP_PRIMARY;
	case PGP_TAG_PUBLIC_SUBKEY:
		return PGP_SUBKEY;
	case PGP_TAG_USERID:
		return PGP_USERID;
	}
	return PGP_ATTRIBUTE;
}

/* False: no memory, and nothing is kept. */
static bool
keep(struct kept *k, const struct pgp_packet *p)
{
	struct pgp_component new = {
	    .kind = kind_of(p->tag), .body = k->c.body, .len = p->len};
	struct cursor body = {p->body, p->len};

	k->tag = 0;
	if (p->len > k->size) {
		new.body = realloc(k->c.body, p->len);
		if (new.body == NULL)
			return false;
		k->size = p->len;
	}
	if (p->len > 0)
		memcpy(new.body, p->body, p->len);
	k->sound = k->exact = true;
	if (new.kind == PGP_PRIMARY || new.kind == PGP_SUBKEY) {
		k->sound = key_fill(&new, p->body, p->len) == PGP_OK;
		k->exact = key_is_exact(body);
	}
	k->c = new;
	k->tag = p->tag;
	return true;
}

/* The digests that were begun are over something else now. */
static void
begin_anew(struct pgp_verifier *v, const struct pgp_component *on)
{
	hasher_free(&v->hasher);
	hasher_init(&v->hasher, &v->primary.c, on);
}

static bool
take_primary(struct pgp_verifier *v, const struct pgp_packet *primary)
{
	if (kept_is(&v->primary, primary))
		return true;
	public_key_close(&v->key);
	v->cost = 0;
	v->usable = false;
	if (!keep(&v->primary, primary))
		return false;
	begin_anew(v, &v->primary.c);
	v->usable = v->primary.sound &&
		    public_key_open(
			&v->key, (struct cursor){primary->body, primary->len});
	return true;
}

static bool
take_on(struct pgp_verifier *v, const struct pgp_packet *on)
{
	if (on->tag == 0) {
		if (v->hasher.on != &v->primary.c)
			begin_anew(v, &v->primary.c);
		return true;
	}
	if (v->hasher.on == &v->on.c && kept_is(&v->on, on))
		return true;
	begin_anew(v, &v->primary.c);
	if (!keep(&v->on, on))
		return false;
	begin_anew(v, &v->on.c);
	return true;
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

/* 10.1: a key's version decides over its signatures' and its subkeys'. */
static bool
versions_fit(const struct pgp_verifier *v, unsigned tag,
    const struct signature_parts *sig)
{
	unsigned version = v->primary.c.version;

	if (tag == PGP_TAG_PUBLIC_SUBKEY &&
	    (version < 4 || v->on.c.version != version))
		return false;
	return signature_version_fits(sig->version, version);
}

/* The two numbers of RSA mean the same key. */
static bool
algorithms_fit(unsigned key, unsigned sig)
{
	return key == sig || (key == PK_RSA && sig == PK_RSA_SIGN) ||
	       (key == PK_RSA_SIGN && sig == PK_RSA);
}

bool
pgp_claim_is_for_gpg(const struct pgp_claim *claim)
{
	return claim->issuer == NULL &&
	       gpg_knows(claim->primary->version, claim->primary->pkalgo);
}

/* Broken digests count where nothing better was known. */
static bool
digest_fits(const struct pgp_verifier *v, unsigned hashalgo)
{
	switch (hashalgo) {
	case 1: /* MD5 */
		return v->primary.c.version < 4;
	case 2: /* SHA-1 */
	case 3: /* RIPEMD-160 */
		return v->primary.c.version < 4 || v->key.gpg;
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

/* Whether GnuPG 2.2 would read it as we do: it drops what is longer than it
 * likes, and hashes numbers as it would write them. */
static bool
plain(const struct pgp_verifier *v, const struct signature_parts *sig)
{
	const struct pgp_component *on = v->hasher.on;
	struct cursor area = sig->unhashed;
	struct subpacket sub;
	int r;

	if (v->key.gpg && !v->primary.exact)
		return false;
	if ((on->kind == PGP_USERID && on->len > USERID_MAX) ||
	    (on->kind == PGP_ATTRIBUTE && on->len == 0) ||
	    (on->kind == PGP_SUBKEY &&
		(!v->on.sound || (v->key.gpg && !v->on.exact))) ||
	    sig->hashed.len > AREA_MAX || sig->unhashed.len > AREA_MAX)
		return false;
	while ((r = subpacket_next(&area, &sub)) == 1)
		;
	return r == 0;
}

/* Before any arithmetic: PGP_GOOD when nothing speaks against it. */
static enum pgp_verdict
may_count(const struct pgp_verifier *v, unsigned tag,
    const struct signature_parts *sig)
{
	struct hashed_words words;

	hashed_words(sig, &v->primary.c, &words);
	if (!type_fits(tag, sig->type) || !versions_fit(v, tag, sig) ||
	    !algorithms_fit(v->key.pkalgo, sig->pkalgo) ||
	    signature_issuer(sig, &v->primary.c) != ISSUER_MATCHES ||
	    words.other_issuer || !words.understood || words.local ||
	    !words.dated || words.created < v->primary.c.created ||
	    !digest_fits(v, sig->hashalgo))
		return PGP_BAD;
	return digest_known(v, sig->hashalgo) && plain(v, sig) ? PGP_GOOD
							       : PGP_UNDECIDED;
}

/* ---- arithmetic ---------------------------------------------------------- */

static enum pgp_verdict
verify(struct pgp_verifier *v, const struct signature_parts *sig, size_t octets)
{
	unsigned char digest[DIGEST_MAX];
	size_t len;

	if (sig->version == 6) /* a salt stands before all */
		octets += v->primary.c.len + v->hasher.on->len;
	v->cost += octets / COST_OCTETS + v->key.cost;
	/* The left 16 bits are a hint that GnuPG does not look at, and we
	 * write them anew. */
	if (hasher_digest(&v->hasher, sig, digest, &len) != PGP_OK)
		return PGP_UNDECIDED;
	return public_key_verify(
	    &v->key, sig->hashalgo, digest, len, sig->value);
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
	if (!take_primary(v, primary) || !v->usable || !take_on(v, on))
		return PGP_UNDECIDED;
	if (v->cost > COST_MAX)
		return PGP_BAD;
	if (!signature_split(signature->body, signature->len, &sig))
		return PGP_UNDECIDED;
	verdict = may_count(v, on->tag, &sig);
	if (verdict == PGP_GOOD)
		verdict = verify(v, &sig, signature->len);
	if (verdict == PGP_GOOD && sig.type == BINDING)
		verdict = binding_backed(&v->hasher, &sig, &v->cost);
	return verdict;
}
