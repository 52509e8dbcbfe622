/*
 * Signature packets: read, and brought into the one form that is kept (RFC
 * 9580, 5.2).
 */
#include "pgp/internal.h"

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

/* `n` octets of length, then as many octets as they say. */
static bool
take_area(struct cursor *c, size_t n, struct cursor *area)
{
	const unsigned char *p = cursor_take(c, n);

	if (p == NULL)
		return false;
	area->len = n == 1 ? p[0] : n == 2 ? get16(p) : get32(p);
	area->p = cursor_take(c, area->len);
	return area->p != NULL;
}

/* RFC 9580, 9.5; 0: no hash algorithm for v6. */
static size_t
salt_len(unsigned hashalgo)
{
	switch (hashalgo) {
	case 8:	 /* SHA-256 */
	case 11: /* SHA-224 */
	case 12: /* SHA3-256 */
		return 16;
	case 9: /* SHA-384 */
		return 24;
	case 10: /* SHA-512 */
	case 14: /* SHA3-512 */
		return 32;
	}
	return 0;
}

/* v5 looks as v4 does; v6 has more octets of length, and a salt. */
static bool
split_v4(struct cursor c, struct signature_parts *out)
{
	const unsigned char *p = cursor_take(&c, 4);
	size_t octets = out->version == 6 ? 4 : 2;

	if (p == NULL)
		return false;
	out->type = p[1];
	out->pkalgo = p[2];
	out->hashalgo = p[3];
	if (!take_area(&c, octets, &out->hashed) ||
	    !take_area(&c, octets, &out->unhashed))
		return false;
	out->left16 = cursor_take(&c, 2);
	if (out->version == 6 &&
	    (!take_area(&c, 1, &out->salt) || out->salt.len == 0 ||
		out->salt.len != salt_len(out->hashalgo)))
		return false;
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
	if (out->version < 4 || out->version > 6 || !split_v4(c, out))
		return false;
	for (area = out->hashed; (r = subpacket_next(&area, &sub)) == 1;)
		;
	return r == 0;
}

/* ---- what a signature says ----------------------------------------------- */

void
area_named(struct cursor area, struct issuer_names *out)
{
	struct subpacket sub;
	size_t len;

	memset(out, 0, sizeof(*out));
	while (subpacket_next(&area, &sub) == 1) {
		if (sub.type == SUB_ISSUER && sub.len >= 8) {
			out->keyid = sub.len == 8 ? sub.body : NULL;
		} else if (sub.type == SUB_ISSUER_FPR && sub.len >= 2) {
			len = sub.body[0] == 4 ? 20 : 32;
			out->fpr.len =
			    sub.len == len + 1 ? (unsigned char)len : 0;
			memcpy(out->fpr.octet, sub.body + 1, out->fpr.len);
		}
	}
}

static enum issuer
area_issuer(struct cursor area, const struct pgp_component *key)
{
	struct issuer_names names;

	area_named(area, &names);
	if (names.keyid != NULL && memcmp(names.keyid, key->keyid, 8) == 0)
		return ISSUER_MATCHES;
	if (names.fpr.len > 0)
		return pgp_fpr_cmp(&names.fpr, &key->fpr) == 0 ? ISSUER_MATCHES
							       : ISSUER_OTHER;
	return names.keyid != NULL ? ISSUER_OTHER : ISSUER_NONE;
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

bool
signature_version_fits(unsigned version, unsigned key_version)
{
	if (key_version < 5)
		return version < 5;
	if (key_version == 5)
		return version == 4 || version == 5;
	return version == key_version;
}

void
signature_issuer_named(const struct signature_parts *parts,
    unsigned char keyid[8], struct pgp_fpr *fpr)
{
	struct issuer_names names, more = {0};
	const unsigned char *id = parts->keyid;

	memset(keyid, 0, 8);
	memset(fpr, 0, sizeof(*fpr));
	if (id == NULL) {
		area_named(parts->hashed, &names);
		if (names.keyid == NULL || names.fpr.len == 0)
			area_named(parts->unhashed, &more);
		*fpr = names.fpr.len > 0 ? names.fpr : more.fpr;
		id = names.keyid != NULL ? names.keyid : more.keyid;
	}
	if (id == NULL && fpr->len > 0)
		id = fpr_keyid(fpr);
	if (id != NULL)
		memcpy(keyid, id, 8);
}

bool
area_next_back(struct cursor *area, struct subpacket *out)
{
	struct signature_parts back;

	while (subpacket_next(area, out) == 1)
		if (out->type == SUB_EMBEDDED &&
		    signature_split(out->body, out->len, &back) &&
		    back.version >= 4 && back.type == TYPE_BACK_SIGNATURE)
			return true;
	return false;
}

bool
area_has_back(struct cursor area)
{
	struct subpacket sub;

	return area_next_back(&area, &sub);
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

static void
signature_read(struct pgp_signature *sig, const struct signature_parts *parts)
{
	struct subpacket sub;
	struct cursor area;

	sig->version = parts->version;
	sig->type = parts->type;
	sig->pkalgo = parts->pkalgo;
	sig->hashalgo = parts->hashalgo;
	sig->created = parts->created;
	sig->exportable = true;
	for (area = parts->hashed; subpacket_next(&area, &sub) == 1;)
		read_subpacket(sig, &sub);
	/* 5.2.3.31: a missing reason is as hard as 0 and 2. */
	sig->hard = signature_is_revocation(sig) &&
		    (sig->reason == 0 || sig->reason == 2);
	signature_issuer_named(parts, sig->issuer, &sig->issuer_fpr);
}

/* ---- signatures as things ------------------------------------------------ */

struct pgp_signature *
signature_new(
    const unsigned char *body, size_t len, struct signature_parts *parts)
{
	struct pgp_signature *sig;
	unsigned char header[PACKET_HEADER_MAX];
	size_t n = packet_header(header, PGP_TAG_SIGNATURE, len);

	sig = malloc(sizeof(*sig) + n + len);
	if (sig == NULL)
		return NULL;
	memset(sig, 0, sizeof(*sig));
	sig->packet = (unsigned char *)(sig + 1);
	sig->body = n;
	sig->len = n + len;
	memcpy(sig->packet, header, n);
	memcpy(sig->packet + n, body, len);
	if (signature_split(sig->packet + n, len, parts))
		signature_read(sig, parts);
	return sig;
}

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
	if (a->by_revoker || b->by_revoker) {
		int r = memcmp(a->issuer, b->issuer, sizeof(a->issuer));

		if (r != 0)
			return r;
	}
	/* v3: the octets to the end of the time; the key ID is the same. */
	if (a->version == 3)
		return memcmp(pa, pb, 7);
	if (a->version == 6)
		return octets_cmp(
		    pa, 8u + get32(pa + 4), pb, 8u + get32(pb + 4));
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
