/*
 * The back-signature of a signing subkey.  GnuPG 2.2 looks at it only when it
 * checks a message signed by that subkey, and tells nobody before; so this is
 * verified here, by its rules: the newest one counts, hashed ones come first.
 */
#include "pgp/pgp.h"
#include "pgp/verify.h"

#include <openssl/evp.h>

#define BINDING	      0x18
#define BACKSIG	      0x19
#define FLAG_SIGN     0x02
#define KEY_CREATED   1 /* offset in a key packet's body */
#define V4_KEY_HEADER 5

static bool
says_sign(struct cursor hashed)
{
	struct subpacket sub;

	while (subpacket_next(&hashed, &sub) == 1)
		if (sub.type == SUB_KEY_FLAGS && sub.len > 0 &&
		    (sub.body[0] & FLAG_SIGN))
			return true;
	return false;
}

/*
 * A critical subpacket that is not understood makes a signature invalid
 * (5.2.3.7).  These are all that GnuPG lets pass and that make sense here.
 */
static bool
understood(unsigned type)
{
	static const unsigned char known[] = {
	    2, 3, 4, 7, 9, 11, 16, 21, 22, 23, 24, 25, 26, 27, 28, 30, 33};

	for (size_t i = 0; i < sizeof(known); i++)
		if (known[i] == type)
			return true;
	return false;
}

bool
all_understood(struct cursor hashed)
{
	struct subpacket sub;

	while (subpacket_next(&hashed, &sub) == 1)
		if (sub.critical && !understood(sub.type))
			return false;
	return true;
}

/* 0 when the hashed area does not say. */
static uint32_t
created(const struct signature_parts *sig)
{
	struct cursor hashed = sig->hashed;
	struct subpacket sub;

	if (sig->version == 3)
		return sig->created;
	while (subpacket_next(&hashed, &sub) == 1)
		if (sub.type == SUB_CREATED && sub.len == 4)
			return get32(sub.body);
	return 0;
}

struct backsig {
	struct signature_parts parts;
	struct cursor body;
	uint32_t created; /* 0: none was found */
};

static void
newest(struct cursor area, struct backsig *best)
{
	struct subpacket sub;
	struct backsig one;

	while (subpacket_next(&area, &sub) == 1) {
		if (sub.type != SUB_EMBEDDED || sub.len == 0 ||
		    (sub.body[0] != 3 && sub.body[0] != 4) ||
		    !signature_split(sub.body, sub.len, &one.parts) ||
		    one.parts.type != BACKSIG)
			continue;
		one.body = (struct cursor){sub.body, sub.len};
		one.created = created(&one.parts);
		if (one.created > best->created)
			*best = one;
	}
}

/* RFC 9580, 5.2.4: a v4 key as it goes into a digest. */
static bool
hash_key(EVP_MD_CTX *md, const struct pgp_packet *key)
{
	unsigned char head[3] = {0x99};

	if (key->len > UINT16_MAX)
		return false;
	put16(head + 1, (uint16_t)key->len);
	return digest_update(md, head, sizeof(head)) &&
	       digest_update(md, key->body, key->len);
}

/* RFC 9580, 5.2.4: what of the signature itself goes into its digest. */
static bool
hash_trailer(EVP_MD_CTX *md, const struct backsig *back)
{
	const struct signature_parts *sig = &back->parts;
	unsigned char v3[5] = {sig->type}, v4[6] = {4, 0xff};
	size_t len;

	if (sig->version == 3) {
		put32(v3 + 1, sig->created);
		return digest_update(md, v3, sizeof(v3));
	}
	/* from the version to the end of the hashed area */
	len = (size_t)(sig->hashed.p - back->body.p) + sig->hashed.len;
	put32(v4 + 2, (uint32_t)len);
	return digest_update(md, back->body.p, len) &&
	       digest_update(md, v4, sizeof(v4));
}

static bool
verifies(const struct backsig *back, const struct pgp_packet *primary,
    const struct pgp_packet *subkey)
{
	const struct signature_parts *sig = &back->parts;
	unsigned char digest[DIGEST_MAX];
	struct cursor key = {subkey->body, subkey->len};
	bool nomem, good = false;
	EVP_MD_CTX *md;

	md = digest_new(sig->hashalgo, &nomem);
	if (md == NULL)
		return false;
	if (hash_key(md, primary) && hash_key(md, subkey) &&
	    hash_trailer(md, back) && digest_final(md, digest))
		good = verify_digest(key, sig->pkalgo, sig->hashalgo, digest,
		    (size_t)EVP_MD_CTX_get_size(md), sig->value);
	digest_free(md);
	return good;
}

static bool
may_count(const struct signature_parts *sig)
{
	if (sig->version == 4)
		return all_understood(sig->hashed);
	return sig->version == 3;
}

bool
pgp_binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct pgp_packet *binding)
{
	struct signature_parts sig;
	struct backsig back = {.created = 0};

	if (!signature_split(binding->body, binding->len, &sig) ||
	    sig.type != BINDING)
		return false;
	if (sig.version == 3 || !says_sign(sig.hashed))
		return true; /* v3 has no flags */
	newest(sig.hashed, &back);
	newest(sig.unhashed, &back);
	if (back.created == 0 || subkey->len < V4_KEY_HEADER ||
	    back.created < get32(subkey->body + KEY_CREATED))
		return false;
	return may_count(&back.parts) && verifies(&back, primary, subkey);
}
