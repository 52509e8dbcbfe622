/*
 * The back-signature of a signing subkey.  GnuPG 2.2 looks at it only when it
 * checks a message signed by that subkey, and tells nobody before; so this is
 * verified here, by its rules: the newest one counts, hashed ones come first.
 */
#include "pgp/verify.h"

#define BINDING 0x18
#define BACKSIG 0x19
#define MD5	1

struct backsig {
	struct signature_parts parts;
	struct hashed_words words;
	uint32_t created; /* 0: none was found */
};

static void
newest(struct cursor area, unsigned version, struct backsig *best)
{
	struct subpacket sub;
	struct backsig one;

	while (subpacket_next(&area, &sub) == 1) {
		if (sub.type != SUB_EMBEDDED ||
		    !signature_split(sub.body, sub.len, &one.parts) ||
		    !signature_version_fits(one.parts.version, version) ||
		    one.parts.type != BACKSIG)
			continue;
		hashed_words(&one.parts, NULL, &one.words);
		one.created = one.words.created;
		if (one.created > best->created)
			*best = one;
	}
}

static enum pgp_verdict
verifies(struct hasher *h, const struct signature_parts *back, uint64_t *cost)
{
	struct cursor body = {h->on->body, h->on->len};
	enum pgp_verdict verdict = PGP_UNDECIDED;
	unsigned char digest[DIGEST_MAX];
	struct public_key key;
	size_t len;

	if (!public_key_open(&key, body))
		return PGP_UNDECIDED;
	*cost += key.cost;
	if (hasher_digest(h, back, digest, &len) == PGP_OK)
		verdict = public_key_verify(
		    &key, back->hashalgo, digest, len, back->value);
	public_key_close(&key);
	return verdict;
}

enum pgp_verdict
binding_backed(
    struct hasher *h, const struct signature_parts *sig, uint64_t *cost)
{
	struct backsig back = {.created = 0};
	struct hashed_words words;

	hashed_words(sig, NULL, &words);
	if (!words.signs)
		return PGP_GOOD; /* v3 has no flags */
	newest(sig->hashed, h->on->version, &back);
	newest(sig->unhashed, h->on->version, &back);
	if (back.created == 0 || back.created < h->on->created ||
	    !back.words.understood || back.parts.hashalgo == MD5 ||
	    back.parts.pkalgo != h->on->pkalgo)
		return PGP_BAD;
	return verifies(h, &back.parts, cost);
}

/* Lent from the packet. */
static bool
key_lend(
    struct pgp_component *c, enum pgp_kind kind, const struct pgp_packet *p)
{
	*c = (struct pgp_component){.kind = kind,
	    .body = (unsigned char *)(uintptr_t)p->body,
	    .len = p->len};
	return key_fill(c, p->body, p->len) == PGP_OK;
}

bool
pgp_binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct pgp_packet *binding)
{
	struct pgp_component key, on;
	struct signature_parts sig;
	struct hasher h;
	uint64_t cost = 0;
	bool backed;

	if (!signature_split(binding->body, binding->len, &sig) ||
	    sig.type != BINDING || !key_lend(&key, PGP_PRIMARY, primary) ||
	    !key_lend(&on, PGP_SUBKEY, subkey))
		return false;
	hasher_init(&h, &key, &on);
	backed = binding_backed(&h, &sig, &cost) == PGP_GOOD;
	hasher_free(&h);
	return backed;
}
