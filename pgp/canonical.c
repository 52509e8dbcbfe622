/*
 * The one form of a signature that is kept: numbers without leading zeros and
 * the smaller one where there are two, the left 16 bits of the digest right,
 * the unhashed area made anew.
 */
#include "pgp/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The left 16 bits as they must be, or as they came for an unknown hash and
 * where nothing is judged. */
static enum pgp_status
left16(
    struct hasher *h, const struct signature_parts *parts, unsigned char out[2])
{
	unsigned char digest[DIGEST_MAX];
	enum pgp_status status = PGP_UNSUPPORTED;
	size_t len;

	memcpy(out, parts->left16, 2);
	if (!h->opaque)
		status = hasher_digest(h, parts, digest, &len);
	if (status == PGP_OK)
		memcpy(out, digest, 2);
	return status == PGP_UNSUPPORTED ? PGP_OK : status;
}

/*
 * Where a body is written.  It grows on what came by no more than two
 * subpackets for the issuer and the length of a third, of the signature
 * and of its back-signature: GROWTH octets at most.
 */
struct out {
	unsigned char *p;
	size_t len, size;
};
#define GROWTH 192

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

/* A length, in as many octets as the version of the signature has for it. */
static void
out_length(struct out *o, unsigned version, size_t v)
{
	if (version == 6)
		out_16(o, v >> 16);
	out_16(o, v & 0xffff);
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

/* What stands behind the value is no part of it, and goes.  Of what is not
 * judged nobody knows. */
static bool
out_value(struct out *o, const struct signature_parts *parts,
    const struct pgp_component *issuer, bool opaque)
{
	struct cursor c = parts->value, mpi;
	unsigned char smaller[ECDSA_MAX];
	int i, n = opaque ? -1 : value_mpis(parts->pkalgo);

	if (!opaque && (parts->pkalgo == 27 || parts->pkalgo == 28)) {
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
		if (n == 1 && !rsa_fits(issuer, mpi))
			return false;
		if (parts->pkalgo == 19 && i == 1)
			mpi = ecdsa_smaller(issuer, mpi, smaller);
		out_mpi(o, mpi);
	}
	return true;
}

static void
out_issuer(struct out *o, const struct signature_parts *parts,
    const struct pgp_component *issuer)
{
	struct issuer_names names;

	area_named(parts->hashed, &names);
	/* 5.2.3.12: with v6 the fingerprint alone; of v3 keys the key ID. */
	if (parts->version != 6 && names.keyid == NULL) {
		out_octet(o, 9);
		out_octet(o, SUB_ISSUER);
		out_add(o, issuer->keyid, 8);
	}
	if (issuer->version > 3 && names.fpr.len == 0) {
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

/* What is embedded in the unhashed area. */
struct embedded {
	struct out out;
	bool found;
};

/* Writes a v4, v5 or v6 body; back may be NULL. */
static bool
out_v4(struct out *o, const struct signature_parts *parts,
    const struct hasher *h, const struct pgp_component *issuer,
    const struct embedded *back, const unsigned char left[2])
{
	size_t at, n;
	bool v6 = parts->version == 6;

	out_octet(o, parts->version);
	out_octet(o, parts->type);
	out_octet(o, parts->pkalgo);
	out_octet(o, parts->hashalgo);
	out_length(o, parts->version, parts->hashed.len);
	out_add(o, parts->hashed.p, parts->hashed.len);
	at = o->len;
	out_length(o, parts->version, 0);
	n = o->len;
	out_issuer(o, parts, issuer);
	if (back != NULL && back->found)
		out_embedded(o, &back->out);
	n = o->len - n;
	if (!v6 && n > UINT16_MAX)
		return false;
	if (v6)
		put32(o->p + at, (uint32_t)n);
	else
		put16(o->p + at, (uint16_t)n);
	out_add(o, left, 2);
	if (v6) {
		out_octet(o, (unsigned)parts->salt.len);
		out_add(o, parts->salt.p, parts->salt.len);
	}
	return out_value(o, parts, issuer, h->opaque);
}

static bool
out_v3(struct out *o, const struct signature_parts *parts,
    const struct hasher *h, const struct pgp_component *issuer,
    const unsigned char left[2])
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
	return out_value(o, parts, issuer, h->opaque);
}

/*
 * Finds the back-signature that anybody may have added or changed: of several
 * the first that fits what it should stand on.
 */
static enum pgp_status
find_back(struct hasher *h, const struct signature_parts *parts, bool *found,
    struct subpacket *best)
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
	while (!fits && area_next_back(&area, &sub)) {
		signature_split(sub.body, sub.len, &candidate);
		if (signature_issuer(&candidate, h->on) == ISSUER_OTHER ||
		    !signature_version_fits(candidate.version, h->on->version))
			continue;
		status = left16(h, &candidate, left);
		if (status != PGP_OK)
			return status;
		fits = memcmp(left, candidate.left16, 2) == 0;
		if (fits || !*found)
			*best = sub;
		*found = true;
	}
	return PGP_OK;
}

static enum pgp_status
canonical_back(struct hasher *h, const struct signature_parts *parts,
    struct embedded *back)
{
	struct signature_parts sig;
	enum pgp_status status;
	struct subpacket sub = {0};
	unsigned char left[2];

	status = find_back(h, parts, &back->found, &sub);
	if (status != PGP_OK || !back->found)
		return status;
	if (h->opaque) {
		out_add(&back->out, sub.body, sub.len);
		return PGP_OK;
	}
	signature_split(sub.body, sub.len, &sig);
	status = left16(h, &sig, left);
	if (status == PGP_OK && !out_v4(&back->out, &sig, h, h->on, NULL, left))
		back->found = false;
	return status;
}

static size_t
parts_size(const struct signature_parts *parts)
{
	return parts->hashed.len + parts->unhashed.len + parts->salt.len +
	       parts->value.len + GROWTH;
}

/* `issuer` is whom the signature names. */
static enum pgp_status
canonical_by(const struct signature_parts *parts, struct hasher *h,
    const struct pgp_component *issuer, struct pgp_signature **out)
{
	size_t size = parts_size(parts);
	struct out body = {NULL, 0, size};
	struct embedded back = {.out = {NULL, 0, size}};
	struct signature_parts made;
	enum pgp_status status;
	unsigned char left[2];
	bool good;

	body.p = malloc(2 * size);
	if (body.p == NULL)
		return PGP_NOMEM;
	back.out.p = body.p + size;
	status = canonical_back(h, parts, &back);
	if (status == PGP_OK)
		status = left16(h, parts, left);
	if (status == PGP_OK) {
		good = parts->version == 3
			   ? out_v3(&body, parts, h, issuer, left)
			   : out_v4(&body, parts, h, issuer, &back, left);
		*out = good ? signature_new(body.p, body.len, &made) : NULL;
		if (*out == NULL)
			status = good ? PGP_NOMEM : PGP_MALFORMED;
	}
	free(body.p);
	return status;
}

enum pgp_status
signature_canonical(const struct signature_parts *parts, struct hasher *h,
    struct pgp_signature **out)
{
	return canonical_by(parts, h, h->primary, out);
}

/* ---- by another key ------------------------------------------------------ */

/*
 * What is hashed decides.  Of an unhashed fingerprint the key ID is left, so
 * that there are fewer ways to write the same: which makes it an issuer of
 * version 3, as far as out_issuer() is concerned.
 */
static void
other_issuer(const struct signature_parts *parts, struct pgp_component *issuer)
{
	const unsigned char *id = parts->keyid;
	struct issuer_names hashed, unhashed;

	memset(issuer, 0, sizeof(*issuer));
	issuer->version = 3;
	if (id == NULL) {
		area_named(parts->hashed, &hashed);
		area_named(parts->unhashed, &unhashed);
		id = hashed.fpr.len > 0	      ? fpr_keyid(&hashed.fpr)
		     : hashed.keyid != NULL   ? hashed.keyid
		     : unhashed.keyid != NULL ? unhashed.keyid
		     : unhashed.fpr.len > 0   ? fpr_keyid(&unhashed.fpr)
					      : NULL;
	}
	if (id != NULL)
		memcpy(issuer->keyid, id, 8);
}

enum pgp_status
signature_canonical_other(const struct signature_parts *parts, struct hasher *h,
    struct pgp_signature **out)
{
	struct pgp_component issuer;
	struct signature_parts again;
	enum pgp_status status;

	other_issuer(parts, &issuer);
	status = canonical_by(parts, h, &issuer, out);
	if (status != PGP_OK)
		return status;
	/* What the store gives back as the key's own counts as verified. */
	if (signature_split((*out)->packet + (*out)->body,
		(*out)->len - (*out)->body, &again) &&
	    signature_issuer(&again, h->primary) == ISSUER_OTHER &&
	    memcmp(again.left16, parts->left16, 2) == 0)
		return PGP_OK;
	signature_free(*out);
	return PGP_MALFORMED;
}
