/*
 * Signature packets: read, and brought into the one form that is kept (RFC
 * 9580, 5.2).
 */
#include "pgp/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9580, 5.2.1. */
#define TYPE_BACK_SIGNATURE 0x19

/* RFC 9580, 5.2.3.7 and 5.2.3.25. */
#define SUB_CRITICAL 0x80
#define NO_MODIFY    0x80

/* 5.2.3.7: as new packets have it, but with two octets up to 254 and without
 * partial lengths. */
static bool
subpacket_length(struct cursor *area, size_t *len)
{
	const unsigned char *first = cursor_take(area, 1), *more;

	if (first == NULL)
		return false;
	if (*first < 192) {
		*len = *first;
		return true;
	}
	more = cursor_take(area, *first < 255 ? 1 : 4);
	if (more == NULL)
		return false;
	*len = *first < 255 ? (*first - 192u) * 256 + *more + 192 : get32(more);
	return true;
}

int
subpacket_next(struct cursor *area, struct subpacket *out)
{
	const unsigned char *p;
	size_t len;

	if (area->len == 0)
		return 0;
	p = subpacket_length(area, &len) ? cursor_take(area, len) : NULL;
	if (p == NULL || len == 0) {
		area->len = 0;
		return -1;
	}
	out->type = p[0] & ~SUB_CRITICAL;
	out->critical = (p[0] & SUB_CRITICAL) != 0;
	out->body = p + 1;
	out->len = len - 1;
	return 1;
}

static bool
split_v3(struct cursor c, struct signature_parts *out)
{
	const unsigned char *p = cursor_take(&c, 18);

	if (p == NULL || p[1] != 5)
		return false;
	out->type = p[2];
	out->created = get32(p + 3);
	out->keyid = p + 7;
	out->pkalgo = p[15];
	out->hashalgo = p[16];
	/* 18 octets so far: the last one begins the digest. */
	out->left16 = p + 17;
	out->value = c;
	return cursor_take(&out->value, 1) != NULL;
}

static bool
take_area(struct cursor *c, struct cursor *area)
{
	const unsigned char *p = cursor_take(c, 2);

	if (p == NULL)
		return false;
	area->len = get16(p);
	area->p = cursor_take(c, area->len);
	return area->p != NULL;
}

static bool
split_v4(struct cursor c, struct signature_parts *out)
{
	const unsigned char *p = cursor_take(&c, 4);

	if (p == NULL)
		return false;
	out->type = p[1];
	out->pkalgo = p[2];
	out->hashalgo = p[3];
	if (!take_area(&c, &out->hashed) || !take_area(&c, &out->unhashed))
		return false;
	out->left16 = cursor_take(&c, 2);
	out->value = c;
	return out->left16 != NULL;
}

bool
signature_split(
    const unsigned char *body, size_t len, struct signature_parts *out)
{
	struct cursor c = {body, len}, area;
	struct subpacket sub;
	int r;

	memset(out, 0, sizeof(*out));
	if (len == 0)
		return false;
	/* A v2 signature differs from v3 in nothing but this octet, which is
	 * not signed: one of the two would be a free copy. */
	out->version = body[0] == 2 ? 3 : body[0];
	if (out->version == 3)
		return split_v3(c, out);
	if (out->version != 4 || !split_v4(c, out))
		return false;
	for (area = out->hashed; (r = subpacket_next(&area, &sub)) == 1;)
		;
	return r == 0;
}

/* ---- what a signature says ----------------------------------------------- */

/* The last subpacket of a type and length in an area; 5.2.3.9. */
static bool
area_find(
    struct cursor area, unsigned type, size_t minlen, struct subpacket *out)
{
	struct subpacket sub;
	bool found = false;

	while (subpacket_next(&area, &sub) == 1)
		if (sub.type == type && sub.len >= minlen) {
			*out = sub;
			found = true;
		}
	return found;
}

static bool
area_keyid(struct cursor area, struct subpacket *out)
{
	return area_find(area, SUB_ISSUER, 8, out) && out->len == 8;
}

/* One octet with the version of the key, then the fingerprint. */
static bool
area_fpr(struct cursor area, struct pgp_fpr *out)
{
	struct subpacket sub;

	if (!area_find(area, SUB_ISSUER_FPR, 2, &sub) ||
	    sub.len != (sub.body[0] == 4 ? 21u : 33u))
		return false;
	out->len = (unsigned char)(sub.len - 1);
	memcpy(out->octet, sub.body + 1, out->len);
	return true;
}

static enum issuer
area_issuer(struct cursor area, const struct pgp_component *key)
{
	struct subpacket sub;
	struct pgp_fpr fpr;
	enum issuer issuer = ISSUER_NONE;

	if (area_keyid(area, &sub)) {
		issuer = ISSUER_OTHER;
		if (memcmp(sub.body, key->keyid, 8) == 0)
			return ISSUER_MATCHES;
	}
	if (area_fpr(area, &fpr))
		return pgp_fpr_cmp(&fpr, &key->fpr) == 0 ? ISSUER_MATCHES
							 : ISSUER_OTHER;
	return issuer;
}

enum issuer
signature_issuer(
    const struct signature_parts *parts, const struct pgp_component *key)
{
	enum issuer issuer;

	if (parts->keyid != NULL)
		return memcmp(parts->keyid, key->keyid, 8) == 0 ? ISSUER_MATCHES
								: ISSUER_OTHER;
	issuer = area_issuer(parts->hashed, key);
	if (issuer == ISSUER_NONE)
		issuer = area_issuer(parts->unhashed, key);
	return issuer;
}

void
signature_issuer_named(const struct signature_parts *parts,
    unsigned char keyid[8], struct pgp_fpr *fpr)
{
	struct subpacket sub;

	memset(keyid, 0, 8);
	memset(fpr, 0, sizeof(*fpr));
	if (parts->keyid != NULL) {
		memcpy(keyid, parts->keyid, 8);
		return;
	}
	if (!area_fpr(parts->hashed, fpr))
		area_fpr(parts->unhashed, fpr);
	if (area_keyid(parts->hashed, &sub) ||
	    area_keyid(parts->unhashed, &sub))
		memcpy(keyid, sub.body, 8);
	else if (fpr->len == 20)
		memcpy(keyid, fpr->octet + 12, 8);
}

/* The octets of a back-signature embedded in an area, from *area on. */
static bool
next_back(struct cursor *area, struct subpacket *out)
{
	struct signature_parts back;

	while (subpacket_next(area, out) == 1)
		if (out->type == SUB_EMBEDDED &&
		    signature_split(out->body, out->len, &back) &&
		    back.version == 4 && back.type == TYPE_BACK_SIGNATURE)
			return true;
	return false;
}

static bool
area_has_back(struct cursor area)
{
	struct subpacket sub;

	return next_back(&area, &sub);
}

bool
signature_has_back(const struct pgp_signature *sig)
{
	struct signature_parts parts;

	return signature_split(
		   sig->packet + sig->body, sig->len - sig->body, &parts) &&
	       (area_has_back(parts.hashed) || area_has_back(parts.unhashed));
}

bool
signature_is_revocation(const struct pgp_signature *sig)
{
	return sig->type == 0x20 || sig->type == 0x28 || sig->type == 0x30;
}

static uint32_t
sub32(const struct subpacket *sub)
{
	return sub->len == 4 ? get32(sub->body) : 0;
}

static void
read_subpacket(struct pgp_signature *sig, const struct subpacket *sub)
{
	uint8_t first = sub->len > 0 ? sub->body[0] : 0;

	switch (sub->type) {
	case SUB_CREATED:
		sig->created = sub32(sub);
		break;
	case SUB_EXPIRES:
		sig->expires = sub32(sub);
		break;
	case SUB_EXPORTABLE:
		sig->exportable = first != 0;
		break;
	case SUB_KEY_EXPIRES:
		sig->key_expires = sub32(sub);
		break;
	case SUB_KEY_SERVER:
		sig->no_modify = (first & NO_MODIFY) != 0;
		break;
	case SUB_PRIMARY_USERID:
		sig->primary_userid = first != 0;
		break;
	case SUB_KEY_FLAGS:
		sig->has_key_flags = true;
		sig->key_flags = first;
		break;
	case SUB_REASON:
		sig->reason = first;
		break;
	}
}

/* Fills in the fields from the canonical packet. */
static void
read_fields(struct pgp_signature *sig)
{
	struct signature_parts parts;
	struct subpacket sub;
	struct cursor area;

	if (!signature_split(
		sig->packet + sig->body, sig->len - sig->body, &parts))
		return;
	sig->version = parts.version;
	sig->type = parts.type;
	sig->pkalgo = parts.pkalgo;
	sig->hashalgo = parts.hashalgo;
	sig->created = parts.created;
	sig->exportable = true;
	for (area = parts.hashed; subpacket_next(&area, &sub) == 1;)
		read_subpacket(sig, &sub);
	/* 5.2.3.31: a missing reason is as hard as 0 and 2. */
	sig->hard = signature_is_revocation(sig) &&
		    (sig->reason == 0 || sig->reason == 2);
	signature_issuer_named(&parts, sig->issuer, &sig->issuer_fpr);
}

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

/* v3 signatures have nothing before a user ID, v4 ones its kind and length. */
static bool
hash_component(struct evp_md_ctx_st *md, const struct pgp_component *c, bool v4)
{
	unsigned char head[5];
	size_t n = 0;

	if (c->kind == PGP_PRIMARY || c->kind == PGP_SUBKEY) {
		head[0] = 0x99;
		put16(head + 1, (uint16_t)c->len);
		n = 3;
	} else if (v4) {
		head[0] = c->kind == PGP_USERID ? 0xb4 : 0xd1;
		put32(head + 1, (uint32_t)c->len);
		n = 5;
	}
	return digest_update(md, head, n) && digest_update(md, c->body, c->len);
}

/* PGP_UNSUPPORTED: the hash algorithm is not known. */
static enum pgp_status
hasher_begin(
    struct hasher *h, bool v4, unsigned algo, struct evp_md_ctx_st **out)
{
	struct evp_md_ctx_st *md;
	bool nomem;

	if (algo >= HASHER_ALGOS)
		return PGP_UNSUPPORTED;
	if (h->begun[v4][algo] == NULL) {
		md = digest_new(algo, &nomem);
		if (md == NULL)
			return nomem ? PGP_NOMEM : PGP_UNSUPPORTED;
		h->begun[v4][algo] = md;
		if (!hash_component(md, h->primary, v4) ||
		    (h->on != h->primary && !hash_component(md, h->on, v4)))
			return PGP_NOMEM;
	}
	*out = digest_dup(h->begun[v4][algo]);
	return *out != NULL ? PGP_OK : PGP_NOMEM;
}

static bool
hash_trailer(struct evp_md_ctx_st *md, const struct signature_parts *parts)
{
	unsigned char head[6] = {
	    4, parts->type, parts->pkalgo, parts->hashalgo};
	unsigned char tail[6] = {4, 0xff};

	if (parts->version == 3) {
		head[0] = parts->type;
		put32(head + 1, parts->created);
		return digest_update(md, head, 5);
	}
	put16(head + 4, (uint16_t)parts->hashed.len);
	put32(tail + 2, (uint32_t)parts->hashed.len + 6);
	return digest_update(md, head, 6) &&
	       digest_update(md, parts->hashed.p, parts->hashed.len) &&
	       digest_update(md, tail, 6);
}

/* The left 16 bits as they must be, or as they came for an unknown hash. */
static enum pgp_status
left16(
    struct hasher *h, const struct signature_parts *parts, unsigned char out[2])
{
	unsigned char digest[DIGEST_MAX];
	struct evp_md_ctx_st *md;
	enum pgp_status status;

	memcpy(out, parts->left16, 2);
	status = hasher_begin(h, parts->version == 4, parts->hashalgo, &md);
	if (status != PGP_OK)
		return status == PGP_UNSUPPORTED ? PGP_OK : status;
	if (hash_trailer(md, parts) && digest_final(md, digest))
		memcpy(out, digest, 2);
	else
		status = PGP_NOMEM;
	digest_free(md);
	return status;
}

/* ---- the canonical form -------------------------------------------------- */

/*
 * Where a body is written.  It grows on what came by no more than two
 * subpackets for the issuer and the length of a third, of the signature
 * and of its back-signature: GROWTH octets at most.
 */
struct out {
	unsigned char *p;
	size_t len, size;
};
#define GROWTH 128

static void
out_add(struct out *o, const void *p, size_t n)
{
	assert(n <= o->size - o->len);
	if (n > 0)
		memcpy(o->p + o->len, p, n);
	o->len += n;
}

static void
out_octet(struct out *o, unsigned v)
{
	unsigned char c = (unsigned char)v;

	out_add(o, &c, 1);
}

static void
out_16(struct out *o, size_t v)
{
	unsigned char c[2];

	put16(c, (uint16_t)v);
	out_add(o, c, 2);
}

static void
out_mpi(struct out *o, struct cursor mpi)
{
	unsigned char top;
	size_t bits;

	for (; mpi.len > 0 && mpi.p[0] == 0; mpi.p++)
		mpi.len--;
	bits = mpi.len * 8;
	if (mpi.len > 0)
		for (top = mpi.p[0]; (top & 0x80) == 0; top <<= 1)
			bits--;
	out_16(o, bits);
	out_add(o, mpi.p, mpi.len);
}

/* MPIs of a signature, or -1: an algorithm that is not known. */
static int
value_mpis(unsigned pkalgo)
{
	switch (pkalgo) {
	case 1:
	case 2:
	case 3:
		return 1;
	case 16:
	case 17:
	case 19:
	case 20:
	case 22:
		return 2;
	}
	return -1;
}

/* What stands behind the value is no part of it, and goes. */
static bool
out_value(struct out *o, const struct signature_parts *parts)
{
	struct cursor c = parts->value, mpi;
	int i, n = value_mpis(parts->pkalgo);

	if (parts->pkalgo == 27 || parts->pkalgo == 28) {
		/* 5.2.3.3.4, 5.2.3.3.5: Ed25519 and Ed448 have octets. */
		mpi.len = parts->pkalgo == 27 ? 64 : 114;
		mpi.p = cursor_take(&c, mpi.len);
		if (mpi.p == NULL)
			return false;
		out_add(o, mpi.p, mpi.len);
		return true;
	}
	if (n < 0)
		out_add(o, c.p, c.len);
	for (i = 0; i < n; i++) {
		if (!cursor_mpi(&c, &mpi))
			return false;
		out_mpi(o, mpi);
	}
	return true;
}

static void
out_issuer(struct out *o, const struct signature_parts *parts,
    const struct pgp_component *issuer)
{
	struct subpacket sub;
	struct pgp_fpr fpr;

	if (!area_keyid(parts->hashed, &sub)) {
		out_octet(o, 9);
		out_octet(o, SUB_ISSUER);
		out_add(o, issuer->keyid, 8);
	}
	if (!area_fpr(parts->hashed, &fpr)) {
		out_octet(o, 2u + issuer->fpr.len);
		out_octet(o, SUB_ISSUER_FPR);
		out_octet(o, issuer->version);
		out_add(o, issuer->fpr.octet, issuer->fpr.len);
	}
}

static void
out_embedded(struct out *o, const struct out *back)
{
	unsigned char length[PACKET_HEADER_MAX];
	size_t n;

	/* The lengths of subpackets are those of new packet headers. */
	n = packet_header(length, 63, back->len + 1);
	out_add(o, length + 1, n - 1);
	out_octet(o, SUB_EMBEDDED);
	out_add(o, back->p, back->len);
}

/* Writes a v4 body; back may be NULL. */
static bool
out_v4(struct out *o, const struct signature_parts *parts,
    const struct pgp_component *issuer, const struct out *back,
    const unsigned char left[2])
{
	size_t at, n;

	out_octet(o, 4);
	out_octet(o, parts->type);
	out_octet(o, parts->pkalgo);
	out_octet(o, parts->hashalgo);
	out_16(o, parts->hashed.len);
	out_add(o, parts->hashed.p, parts->hashed.len);
	at = o->len;
	out_16(o, 0);
	out_issuer(o, parts, issuer);
	if (back != NULL)
		out_embedded(o, back);
	n = o->len - at - 2;
	if (n > UINT16_MAX)
		return false;
	put16(o->p + at, (uint16_t)n);
	out_add(o, left, 2);
	return out_value(o, parts);
}

static bool
out_v3(struct out *o, const struct signature_parts *parts,
    const struct pgp_component *issuer, const unsigned char left[2])
{
	unsigned char created[4];

	put32(created, parts->created);
	out_octet(o, 3);
	out_octet(o, 5);
	out_octet(o, parts->type);
	out_add(o, created, 4);
	out_add(o, issuer->keyid, 8);
	out_octet(o, parts->pkalgo);
	out_octet(o, parts->hashalgo);
	out_add(o, left, 2);
	return out_value(o, parts);
}

/*
 * Finds the back-signature that anybody may have added or changed: of several
 * the first that fits what it should stand on.  False: there is none.
 */
static enum pgp_status
find_back(struct hasher *h, const struct signature_parts *parts, bool *found,
    struct signature_parts *back)
{
	struct cursor area = parts->unhashed;
	struct signature_parts candidate;
	enum pgp_status status;
	struct subpacket sub;
	unsigned char left[2];
	bool fits = false;

	*found = false;
	if (parts->type != 0x18 || area_has_back(parts->hashed))
		return PGP_OK;
	while (!fits && next_back(&area, &sub)) {
		signature_split(sub.body, sub.len, &candidate);
		if (signature_issuer(&candidate, h->on) == ISSUER_OTHER)
			continue;
		status = left16(h, &candidate, left);
		if (status != PGP_OK)
			return status;
		fits = memcmp(left, candidate.left16, 2) == 0;
		if (fits || !*found)
			*back = candidate;
		*found = true;
	}
	return PGP_OK;
}

static enum pgp_status
canonical_back(struct hasher *h, const struct signature_parts *parts,
    struct out *o, bool *found)
{
	struct signature_parts back;
	enum pgp_status status;
	unsigned char left[2];

	status = find_back(h, parts, found, &back);
	if (status != PGP_OK || !*found)
		return status;
	status = left16(h, &back, left);
	if (status == PGP_OK && !out_v4(o, &back, h->on, NULL, left))
		*found = false;
	return status;
}

static struct pgp_signature *
signature_new(const struct out *body)
{
	struct pgp_signature *sig;
	unsigned char header[PACKET_HEADER_MAX];
	size_t n = packet_header(header, PGP_TAG_SIGNATURE, body->len);

	sig = calloc(1, sizeof(*sig) + n + body->len);
	if (sig == NULL)
		return NULL;
	sig->packet = (unsigned char *)(sig + 1);
	sig->body = n;
	sig->len = n + body->len;
	memcpy(sig->packet, header, n);
	memcpy(sig->packet + n, body->p, body->len);
	read_fields(sig);
	return sig;
}

static size_t
parts_size(const struct signature_parts *parts)
{
	return parts->hashed.len + parts->unhashed.len + parts->value.len +
	       GROWTH;
}

enum pgp_status
signature_canonical(const struct signature_parts *parts, struct hasher *h,
    struct pgp_signature **out)
{
	size_t size = parts_size(parts);
	struct out body = {NULL, 0, size}, back = {NULL, 0, size};
	enum pgp_status status;
	unsigned char left[2];
	bool has_back, good;

	body.p = malloc(2 * size);
	if (body.p == NULL)
		return PGP_NOMEM;
	back.p = body.p + size;
	status = canonical_back(h, parts, &back, &has_back);
	if (status == PGP_OK)
		status = left16(h, parts, left);
	if (status == PGP_OK) {
		good = parts->version == 3
			   ? out_v3(&body, parts, h->primary, left)
			   : out_v4(&body, parts, h->primary,
				 has_back ? &back : NULL, left);
		*out = good ? signature_new(&body) : NULL;
		if (*out == NULL)
			status = good ? PGP_NOMEM : PGP_MALFORMED;
	}
	free(body.p);
	return status;
}

/* ---- signatures as things ------------------------------------------------ */

void
signature_free(struct pgp_signature *sig)
{
	free(sig); /* the packet stands behind the struct */
}

struct pgp_signature *
signature_dup(const struct pgp_signature *from)
{
	struct pgp_signature *sig = malloc(sizeof(*sig) + from->len);

	if (sig == NULL)
		return NULL;
	*sig = *from;
	sig->packet = (unsigned char *)(sig + 1);
	memcpy(sig->packet, from->packet, from->len);
	return sig;
}

static int
body_cmp(const struct pgp_signature *a, const struct pgp_signature *b)
{
	return octets_cmp(a->packet + a->body, a->len - a->body,
	    b->packet + b->body, b->len - b->body);
}

int
signature_cmp(const struct pgp_signature *a, const struct pgp_signature *b)
{
	bool ra = signature_is_revocation(a), rb = signature_is_revocation(b);

	if (ra != rb)
		return ra ? -1 : 1;
	if (a->hard != b->hard)
		return a->hard ? -1 : 1;
	if (a->created != b->created)
		return a->created > b->created ? -1 : 1;
	/* What makes signatures the same stands first in the body, and those
	 * that differ there differ before either ends. */
	return body_cmp(a, b);
}

int
signature_same(const struct pgp_signature *a, const struct pgp_signature *b)
{
	const unsigned char *pa = a->packet + a->body;
	const unsigned char *pb = b->packet + b->body;

	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	/* v3: the octets to the end of the time; the key ID is the same. */
	if (a->version == 3)
		return memcmp(pa, pb, 7);
	return octets_cmp(pa, 6u + get16(pa + 4), pb, 6u + get16(pb + 4));
}

bool
signature_preferred(
    const struct pgp_signature *a, const struct pgp_signature *b)
{
	if (a->len != b->len)
		return a->len < b->len;
	return body_cmp(a, b) < 0;
}
