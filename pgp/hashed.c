/*
 * What a signature stands on, as it goes into the digest (RFC 9580, 5.2.4),
 * and what its hashed area says about itself.
 */
#include "pgp/verify.h"

#include <string.h>

/* RFC 9580, 5.2.3.24 and 5.2.3.29. */
#define SUB_NOTATION	20
#define FLAG_SIGN	0x02
#define NOTATION_HEADER 8 /* flags, length of name, length of value */

/* A key's version decides over its header, a signature's over the others'. */
static size_t
packet_head(unsigned char head[5], const struct pgp_packet *p,
    unsigned signature_version)
{
	switch (p->tag) {
	case PGP_TAG_PUBLIC_KEY:
	case PGP_TAG_PUBLIC_SUBKEY:
		if (p->len == 0 || p->body[0] != 6) {
			head[0] = 0x99;
			put16(head + 1, (uint16_t)p->len);
			return 3;
		}
		head[0] = 0x9b;
		break;
	case PGP_TAG_USERID:
		head[0] = 0xb4;
		break;
	default:
		head[0] = 0xd1;
		break;
	}
	put32(head + 1, (uint32_t)p->len);
	return signature_version == 3 ? 0 : 5;
}

bool
hash_packet(struct evp_md_ctx_st *md, const struct pgp_packet *p,
    unsigned signature_version)
{
	unsigned char head[5];

	if (p->tag == 0)
		return true;
	return digest_update(
		   md, head, packet_head(head, p, signature_version)) &&
	       digest_update(md, p->body, p->len);
}

bool
hash_trailer(struct evp_md_ctx_st *md, const struct signature_parts *sig,
    const unsigned char *body)
{
	unsigned char v3[5] = {sig->type}, tail[6] = {sig->version, 0xff};
	size_t len;

	if (sig->version == 3) {
		put32(v3 + 1, sig->created);
		return digest_update(md, v3, sizeof(v3));
	}
	/* from the version to the end of the hashed area */
	len = (size_t)(sig->hashed.p - body) + sig->hashed.len;
	put32(tail + 2, (uint32_t)len);
	return digest_update(md, body, len) &&
	       digest_update(md, tail, sizeof(tail));
}

/* GnuPG takes this one notation when it is critical, and no other. */
static bool
notation_understood(const struct subpacket *sub)
{
	static const char name[] = "preferred-email-encoding@pgp.com";
	size_t len;

	if (sub->len < NOTATION_HEADER)
		return false;
	len = get16(sub->body + 4);
	return len == sizeof(name) - 1 && sub->len - NOTATION_HEADER >= len &&
	       memcmp(sub->body + NOTATION_HEADER, name, len) == 0;
}

/* What GnuPG 2.2 lets be critical; not the preferences of key servers, and not
 * the signer's user ID. */
static bool
understood(const struct subpacket *sub)
{
	static const unsigned char known[] = {2, 3, 4, 5, 6, 7, 9, 11, 12, 16,
	    21, 22, 24, 25, 26, 27, 29, 30, 32, 33};

	if (!sub->critical)
		return true;
	if (sub->type == SUB_NOTATION)
		return notation_understood(sub);
	for (size_t i = 0; i < sizeof(known); i++)
		if (known[i] == sub->type)
			return true;
	return false;
}

static void
take_created(struct hashed_words *w, const struct subpacket *sub)
{
	uint32_t created = sub->len == 4 ? get32(sub->body) : 0;

	if (!w->dated || created < w->created)
		w->created = created;
	w->dated = true;
}

/* 5.2.3.12 and 5.2.3.35: the one has eight octets, the other its version. */
static bool
names_another(const struct subpacket *sub, const struct pgp_component *issuer)
{
	if (sub->type == SUB_ISSUER)
		return octets_cmp(sub->body, sub->len, issuer->keyid, 8) != 0;
	if (sub->type == SUB_ISSUER_FPR)
		return sub->len == 0 || sub->body[0] != issuer->version ||
		       octets_cmp(sub->body + 1, sub->len - 1,
			   issuer->fpr.octet, issuer->fpr.len) != 0;
	return false;
}

static void
take_word(struct hashed_words *w, const struct subpacket *sub)
{
	uint8_t first = sub->len > 0 ? sub->body[0] : 0;

	switch (sub->type) {
	case SUB_CREATED:
		take_created(w, sub);
		break;
	case SUB_EXPORTABLE:
		w->local = w->local || first == 0;
		break;
	case SUB_KEY_FLAGS:
		w->signs = w->signs || (first & FLAG_SIGN) != 0;
		break;
	}
}

void
hashed_words(const struct signature_parts *sig,
    const struct pgp_component *issuer, struct hashed_words *w)
{
	struct cursor hashed = sig->hashed;
	struct subpacket sub;

	memset(w, 0, sizeof(*w));
	w->understood = true;
	w->dated = sig->version == 3;
	w->created = sig->created;
	while (subpacket_next(&hashed, &sub) == 1) {
		take_word(w, &sub);
		if (!understood(&sub))
			w->understood = false;
		if (issuer != NULL && names_another(&sub, issuer))
			w->other_issuer = true;
	}
}
