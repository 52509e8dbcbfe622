/*
 * The back-signature of a signing subkey.  GnuPG 2.2 looks at it only when it
 * checks a message signed by that subkey, and tells nobody before; so this is
 * verified here, by its rules: the newest one counts, hashed ones come first.
 */
#include "pgp/verify.h"

#include <openssl/evp.h>

#define BINDING 0x18
#define BACKSIG 0x19
#define MD5	1

struct backsig {
	struct signature_parts parts;
	struct hashed_words words;
	struct cursor body;
	uint32_t created; /* 0: none was found */
};

/* 5.2: which versions of signature a key of that version makes. */
static bool
version_fits(unsigned key, unsigned sig)
{
	return key == 6 ? sig == 6 : sig == 3 || sig == 4;
}

static void
newest(struct cursor area, unsigned version, struct backsig *best)
{
	struct subpacket sub;
	struct backsig one;

	while (subpacket_next(&area, &sub) == 1) {
		if (sub.type != SUB_EMBEDDED || sub.len == 0 ||
		    !version_fits(version, sub.body[0]) ||
		    !signature_split(sub.body, sub.len, &one.parts) ||
		    one.parts.type != BACKSIG)
			continue;
		one.body = (struct cursor){sub.body, sub.len};
		hashed_words(&one.parts, NULL, &one.words);
		one.created = one.words.created;
		if (one.created > best->created)
			*best = one;
	}
}

static enum pgp_verdict
verifies(const struct backsig *back, const struct pgp_packet *primary,
    const struct pgp_packet *subkey, uint64_t *cost)
{
	const struct signature_parts *sig = &back->parts;
	enum pgp_verdict verdict = PGP_UNDECIDED;
	unsigned char digest[DIGEST_MAX];
	struct public_key key;
	EVP_MD_CTX *md;
	bool nomem;

	if (!public_key_open(&key, (struct cursor){subkey->body, subkey->len}))
		return PGP_UNDECIDED;
	*cost += key.cost;
	md = digest_new(sig->hashalgo, &nomem);
	if (md != NULL && hash_packet(md, primary, sig->version) &&
	    hash_packet(md, subkey, sig->version) &&
	    hash_trailer(md, sig, back->body.p) && digest_final(md, digest))
		verdict = public_key_verify(&key, sig->hashalgo, digest,
		    (size_t)EVP_MD_CTX_get_size(md), sig->value);
	digest_free(md);
	public_key_close(&key);
	return verdict;
}

enum pgp_verdict
binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct signature_parts *sig,
    uint64_t *cost)
{
	struct backsig back = {.created = 0};
	struct hashed_words words;
	struct pgp_component id = {.body = NULL};

	hashed_words(sig, NULL, &words);
	if (!words.signs)
		return PGP_GOOD; /* v3 has no flags */
	if (key_fill(&id, subkey->body, subkey->len) != PGP_OK)
		return PGP_UNDECIDED;
	newest(sig->hashed, id.version, &back);
	newest(sig->unhashed, id.version, &back);
	if (back.created == 0 || back.created < id.created ||
	    !back.words.understood || back.parts.hashalgo == MD5 ||
	    back.parts.pkalgo != id.pkalgo)
		return PGP_BAD;
	return verifies(&back, primary, subkey, cost);
}

bool
pgp_binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct pgp_packet *binding)
{
	struct signature_parts sig;
	uint64_t cost = 0;

	return signature_split(binding->body, binding->len, &sig) &&
	       sig.type == BINDING &&
	       binding_backed(primary, subkey, &sig, &cost) == PGP_GOOD;
}
