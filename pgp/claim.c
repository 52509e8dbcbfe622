/*
 * Is a self-signature what it claims to be?  The rules of RFC 9580, 5.2.4,
 * where GnuPG 2.2 has the same ones; what it would see in another way is left
 * to it.
 */
#include "pgp/verify.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

struct pgp_verifier {
	struct pgp_component primary; /* body not set */
};

struct pgp_verifier *
pgp_verifier_new(void)
{
	return calloc(1, sizeof(struct pgp_verifier));
}

void
pgp_verifier_free(struct pgp_verifier *v)
{
	free(v);
}

/* RFC 9580, 5.2.1: which type may stand on what. */
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
		return type == 0x18 || type == 0x28;
	}
	return false;
}

/* 5.2.4: what a signature stands on, in front of its own octets. */
static bool
hash_packet(EVP_MD_CTX *md, const struct pgp_packet *p, bool v3)
{
	unsigned char head[5];
	size_t n = 5;

	switch (p->tag) {
	case PGP_TAG_PUBLIC_KEY:
	case PGP_TAG_PUBLIC_SUBKEY:
		head[0] = 0x99;
		put16(head + 1, (uint16_t)p->len);
		n = 3;
		break;
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
		head[0] = p->tag == PGP_TAG_USERID ? 0xb4 : 0xd1;
		put32(head + 1, (uint32_t)p->len);
		n = v3 ? 0 : 5;
		break;
	default:
		return true;
	}
	return digest_update(md, head, n) && digest_update(md, p->body, p->len);
}

/* 5.2.4: what of the signature itself goes into its digest. */
static bool
hash_trailer(EVP_MD_CTX *md, const struct signature_parts *sig,
    const unsigned char *body)
{
	unsigned char v3[5] = {sig->type}, v4[6] = {4, 0xff};
	size_t len;

	if (sig->version == 3) {
		put32(v3 + 1, sig->created);
		return digest_update(md, v3, sizeof(v3));
	}
	/* from the version to the end of the hashed area */
	len = (size_t)(sig->hashed.p - body) + sig->hashed.len;
	put32(v4 + 2, (uint32_t)len);
	return digest_update(md, body, len) &&
	       digest_update(md, v4, sizeof(v4));
}

static enum pgp_verdict
judge(const struct pgp_packet *primary, const struct pgp_packet *on,
    const struct pgp_packet *signature, const struct signature_parts *sig)
{
	struct cursor key = {primary->body, primary->len};
	unsigned char digest[DIGEST_MAX];
	enum pgp_verdict verdict = PGP_UNDECIDED;
	EVP_MD_CTX *md;
	bool nomem;

	md = digest_new(sig->hashalgo, &nomem);
	if (md == NULL)
		return PGP_UNDECIDED;
	if (hash_packet(md, primary, sig->version == 3) &&
	    hash_packet(md, on, sig->version == 3) &&
	    hash_trailer(md, sig, signature->body) &&
	    digest_final(md, digest) && memcmp(digest, sig->left16, 2) == 0 &&
	    verify_digest(key, sig->pkalgo, sig->hashalgo, digest,
		(size_t)EVP_MD_CTX_get_size(md), sig->value))
		verdict = PGP_GOOD;
	digest_free(md);
	return verdict;
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
	memset(&v->primary, 0, sizeof(v->primary));
	if (primary->len > UINT16_MAX || on->len > UINT16_MAX ||
	    key_fill(&v->primary, primary->body, primary->len) != PGP_OK ||
	    v->primary.version != 4 ||
	    !signature_split(signature->body, signature->len, &sig) ||
	    !all_understood(sig.hashed))
		return PGP_UNDECIDED;
	if (!type_fits(on->tag, sig.type) ||
	    signature_issuer(&sig, &v->primary) != ISSUER_MATCHES)
		return PGP_BAD;
	verdict = judge(primary, on, signature, &sig);
	if (verdict == PGP_GOOD && sig.type == 0x18 &&
	    !pgp_binding_backed(primary, on, signature))
		return PGP_BAD;
	return verdict;
}
