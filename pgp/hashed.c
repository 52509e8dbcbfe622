/*
 * What is signed: what a signature stands on, as it goes into the digest, and
 * what its hashed area says about itself.
 */
#include "pgp/verify.h"

#include <string.h>

/* RFC 9580, 5.2.3.24 and 5.2.3.29. */
#define SUB_NOTATION	20
#define FLAG_SIGN	0x02
#define NOTATION_HEADER 8 /* flags, length of name, length of value */

/* ---- digests (RFC 9580, 5.2.4) ------------------------------------------- */

void
hasher_init(struct hasher *h, const struct pgp_component *primary,
    const struct pgp_component *on)
{
	memset(h, 0, sizeof(*h));
	h->primary = primary;
	h->on = on;
}

void
hasher_free(struct hasher *h)
{
	size_t i;

	for (i = 0; i < HASHER_ALGOS; i++) {
		digest_free(h->begun[0][i]);
		digest_free(h->begun[1][i]);
	}
}

/* RFC 9580, 5.2.4, and LibrePGP for 5: what stands before a key. */
static size_t
key_head(const struct pgp_component *key, unsigned char head[5])
{
	if (key->version < 5) {
		head[0] = 0x99;
		put16(head + 1, (uint16_t)key->len);
		return 3;
	}
	head[0] = key->version == 5 ? 0x9a : 0x9b;
	put32(head + 1, (uint32_t)key->len);
	return 5;
}

/* v3 signatures have nothing before a user ID, later ones its kind and
 * length. */
static bool
hash_component(struct evp_md_ctx_st *md, const struct pgp_component *c, bool v3)
{
	unsigned char head[5];
	size_t n = 0;

	if (c->kind == PGP_PRIMARY || c->kind == PGP_SUBKEY) {
		n = key_head(c, head);
	} else if (!v3) {
		head[0] = c->kind == PGP_USERID ? 0xb4 : 0xd1;
		put32(head + 1, (uint32_t)c->len);
		n = 5;
	}
	return digest_update(md, head, n) && digest_update(md, c->body, c->len);
}

/* Behind a salt nothing can be begun for several signatures at once. */
static enum pgp_status
salted_begin(const struct hasher *h, const struct signature_parts *parts,
    struct evp_md_ctx_st **out)
{
	bool nomem;

	*out = digest_new(parts->hashalgo, &nomem);
	if (*out == NULL)
		return nomem ? PGP_NOMEM : PGP_UNSUPPORTED;
	if (digest_update(*out, parts->salt.p, parts->salt.len) &&
	    hash_component(*out, h->primary, false) &&
	    (h->on == h->primary || hash_component(*out, h->on, false)))
		return PGP_OK;
	digest_free(*out);
	return PGP_NOMEM;
}

/* PGP_UNSUPPORTED: the hash algorithm is not known. */
static enum pgp_status
hasher_begin(struct hasher *h, const struct signature_parts *parts,
    struct evp_md_ctx_st **out)
{
	const unsigned algo = parts->hashalgo;
	const bool v3 = parts->version == 3;
	struct evp_md_ctx_st *md;
	bool nomem;

	if (parts->version == 6)
		return salted_begin(h, parts, out);
	if (algo >= HASHER_ALGOS)
		return PGP_UNSUPPORTED;
	if (h->begun[v3][algo] == NULL) {
		md = digest_new(algo, &nomem);
		if (md == NULL)
			return nomem ? PGP_NOMEM : PGP_UNSUPPORTED;
		h->begun[v3][algo] = md;
		if (!hash_component(md, h->primary, v3) ||
		    (h->on != h->primary && !hash_component(md, h->on, v3)))
			return PGP_NOMEM;
	}
	*out = digest_dup(h->begun[v3][algo]);
	return *out != NULL ? PGP_OK : PGP_NOMEM;
}

static bool
hash_trailer(struct evp_md_ctx_st *md, const struct signature_parts *parts)
{
	unsigned char head[8] = {
	    parts->version, parts->type, parts->pkalgo, parts->hashalgo};
	unsigned char tail[6] = {parts->version, 0xff};
	size_t n = parts->version == 6 ? 8 : 6;

	if (parts->version == 3) {
		head[0] = parts->type;
		put32(head + 1, parts->created);
		return digest_update(md, head, 5);
	}
	if (n == 8)
		put32(head + 4, (uint32_t)parts->hashed.len);
	else
		put16(head + 4, (uint16_t)parts->hashed.len);
	put32(tail + 2, (uint32_t)(parts->hashed.len + n));
	return digest_update(md, head, n) &&
	       digest_update(md, parts->hashed.p, parts->hashed.len) &&
	       digest_update(md, tail, 6);
}

enum pgp_status
hasher_digest(struct hasher *h, const struct signature_parts *parts,
    unsigned char out[DIGEST_MAX], size_t *len)
{
	struct evp_md_ctx_st *md;
	enum pgp_status status = hasher_begin(h, parts, &md);

	if (status != PGP_OK)
		return status;
	*len = digest_len(md);
	if (!hash_trailer(md, parts) || !digest_final(md, out))
		status = PGP_NOMEM;
	digest_free(md);
	return status;
}

/* ---- words --------------------------------------------------------------- */

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
