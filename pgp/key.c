/*
 * Key packets: version, algorithm, size, fingerprint and key ID (RFC 9580,
 * 5.5.2 and 5.5.4; version 5 as LibrePGP has it).
 */
#include "pgp/internal.h"

#include <string.h>

#define MD5    1
#define SHA1   2
#define SHA256 8

/* A v4 fingerprint hashes the length in two octets. */
#define V4_BODY_MAX 65535

enum material { M_UNKNOWN, M_MPIS, M_CURVE, M_CURVE_KDF, M_OCTETS };

static const struct algorithm {
	uint8_t id;
	enum material material;
	unsigned n; /* MPIs or octets */
	unsigned bits;
} algorithms[] = {
    {1, M_MPIS, 2, 0},					      /* RSA */
    {2, M_MPIS, 2, 0}, {3, M_MPIS, 2, 0}, {16, M_MPIS, 3, 0}, /* Elgamal */
    {17, M_MPIS, 4, 0},					      /* DSA */
    {18, M_CURVE_KDF, 1, 0},				      /* ECDH */
    {19, M_CURVE, 1, 0},				      /* ECDSA */
    {20, M_MPIS, 3, 0},	     /* Elgamal, sign and encrypt */
    {22, M_CURVE, 1, 0},     /* EdDSALegacy */
    {25, M_OCTETS, 32, 255}, /* X25519 */
    {26, M_OCTETS, 56, 448}, /* X448 */
    {27, M_OCTETS, 32, 255}, /* Ed25519 */
    {28, M_OCTETS, 57, 448}, /* Ed448 */
};

/* RFC 9580, 9.2. */
static const struct curve {
	uint8_t len;
	unsigned char oid[10];
	unsigned bits;
} curves[] = {
    {8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 256},
    {5, {0x2b, 0x81, 0x04, 0x00, 0x22}, 384},
    {5, {0x2b, 0x81, 0x04, 0x00, 0x23}, 521},
    {5, {0x2b, 0x81, 0x04, 0x00, 0x0a}, 256},
    {9, {0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7}, 256},
    {9, {0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11}, 384},
    {9, {0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13}, 512},
    {9, {0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1}, 255},
    {10, {0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1}, 255},
    {3, {0x2b, 0x65, 0x6f}, 448},
    {3, {0x2b, 0x65, 0x71}, 448},
};

static const struct algorithm *
algorithm_find(uint8_t id)
{
	size_t i;

	for (i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++)
		if (algorithms[i].id == id)
			return &algorithms[i];
	return NULL;
}

static unsigned
curve_bits(const unsigned char *oid, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(curves) / sizeof(*curves); i++)
		if (curves[i].len == len &&
		    memcmp(curves[i].oid, oid, len) == 0)
			return curves[i].bits;
	return 0;
}

/* The value's bits, whatever its header says. */
static unsigned
mpi_bits(struct cursor mpi)
{
	unsigned bits;
	unsigned char top;

	for (; mpi.len > 0 && mpi.p[0] == 0; mpi.p++)
		mpi.len--;
	if (mpi.len == 0)
		return 0;
	bits = (unsigned)(mpi.len - 1) * 8;
	for (top = mpi.p[0]; top != 0; top >>= 1)
		bits++;
	return bits;
}

/* One octet of length, then as many; 0 and 255 are reserved. */
static const unsigned char *
take_counted(struct cursor *c, size_t *len)
{
	const unsigned char *n = cursor_take(c, 1);

	if (n == NULL || *n == 0 || *n == 255)
		return NULL;
	*len = *n;
	return cursor_take(c, *len);
}

/* Reads what the algorithm has; it must fill the packet (RFC 9580, 5.5.5). */
static bool
material_read(struct cursor c, uint8_t pkalgo, unsigned *bits)
{
	const struct algorithm *a = algorithm_find(pkalgo);
	const unsigned char *oid;
	struct cursor mpi;
	size_t len;
	unsigned i;

	*bits = 0;
	if (a == NULL)
		return true;
	if (a->material == M_OCTETS) {
		*bits = a->bits;
		return c.len == a->n;
	}
	if (a->material == M_CURVE || a->material == M_CURVE_KDF) {
		oid = take_counted(&c, &len);
		if (oid == NULL)
			return false;
		*bits = curve_bits(oid, len);
	}
	for (i = 0; i < a->n; i++) {
		if (!cursor_mpi(&c, &mpi))
			return false;
		if (i == 0 && a->material == M_MPIS)
			*bits = mpi_bits(mpi);
	}
	if (a->material == M_CURVE_KDF && take_counted(&c, &len) == NULL)
		return false;
	return c.len == 0;
}

static enum pgp_status
fingerprint(struct pgp_component *key, unsigned hashalgo, size_t fprlen,
    const struct cursor *part, size_t nparts)
{
	struct evp_md_ctx_st *md;
	unsigned char out[DIGEST_MAX];
	bool nomem, good = true;
	size_t i;

	md = digest_new(hashalgo, &nomem);
	if (md == NULL)
		return nomem ? PGP_NOMEM : PGP_UNSUPPORTED;
	for (i = 0; i < nparts; i++)
		good = good && digest_update(md, part[i].p, part[i].len);
	good = good && digest_final(md, out);
	digest_free(md);
	if (!good)
		return PGP_NOMEM;
	key->fpr.len = (unsigned char)fprlen;
	memcpy(key->fpr.octet, out, fprlen);
	return PGP_OK;
}

/* v2 and v3: MD5 over n and e, key ID from n. */
static enum pgp_status
fill_v3(struct pgp_component *key, struct cursor c)
{
	struct cursor mpi[2];
	size_t n;

	/* Two octets of validity in days stand before the algorithm. */
	if (cursor_take(&c, 2) == NULL || c.len == 0)
		return PGP_MALFORMED;
	key->pkalgo = *cursor_take(&c, 1);
	if (key->pkalgo < 1 || key->pkalgo > 3 || !cursor_mpi(&c, &mpi[0]) ||
	    !cursor_mpi(&c, &mpi[1]) || c.len > 0)
		return PGP_MALFORMED;
	key->bits = mpi_bits(mpi[0]);
	n = mpi[0].len < 8 ? mpi[0].len : 8;
	memcpy(key->keyid + 8 - n, mpi[0].p + mpi[0].len - n, n);
	return fingerprint(key, MD5, 16, mpi, 2);
}

static enum pgp_status
fill_v4(struct pgp_component *key, struct cursor body, struct cursor c)
{
	unsigned char head[3] = {0x99};
	struct cursor part[2] = {{head, 3}, body};
	enum pgp_status status;

	if (body.len > V4_BODY_MAX ||
	    !material_read(c, key->pkalgo, &key->bits))
		return PGP_MALFORMED;
	put16(head + 1, (uint16_t)body.len);
	status = fingerprint(key, SHA1, 20, part, 2);
	memcpy(key->keyid, key->fpr.octet + 12, 8);
	return status;
}

/* v5 and v6 differ in the octet that the digest begins with. */
static enum pgp_status
fill_v6(struct pgp_component *key, struct cursor body, struct cursor c)
{
	unsigned char head[5];
	struct cursor part[2] = {{head, 5}, body};
	const unsigned char *count = cursor_take(&c, 4);
	enum pgp_status status;

	if (count == NULL || get32(count) != c.len ||
	    !material_read(c, key->pkalgo, &key->bits))
		return PGP_MALFORMED;
	head[0] = key->version == 5 ? 0x9a : 0x9b;
	put32(head + 1, (uint32_t)body.len);
	status = fingerprint(key, SHA256, 32, part, 2);
	memcpy(key->keyid, key->fpr.octet, 8);
	return status;
}

enum pgp_status
key_fill(struct pgp_component *key, const unsigned char *octets, size_t len)
{
	struct cursor body = {octets, len}, c = body;
	const unsigned char *p = cursor_take(&c, 1);

	if (p == NULL || len > UINT32_MAX)
		return PGP_MALFORMED;
	key->version = *p;
	if (key->version < 2 || key->version > 6)
		return PGP_UNSUPPORTED;
	p = cursor_take(&c, 4);
	if (p == NULL)
		return PGP_MALFORMED;
	key->created = get32(p);
	if (key->version < 4)
		return fill_v3(key, c);
	p = cursor_take(&c, 1);
	if (p == NULL)
		return PGP_MALFORMED;
	key->pkalgo = *p;
	return key->version == 4 ? fill_v4(key, body, c)
				 : fill_v6(key, body, c);
}

/* An algorithm and curve that libcrypto verifies signatures of. */
static bool
signs(const struct pgp_component *key)
{
	switch (key->pkalgo) {
	case 1:	 /* RSA */
	case 3:	 /* RSA, to sign only */
	case 17: /* DSA */
	case 27: /* Ed25519 */
	case 28: /* Ed448 */
		return true;
	case 19: /* ECDSA: only curves that are known have a size */
		return key->bits > 0;
	case 22: /* EdDSALegacy */
		return key->bits == 255;
	}
	return false;
}

enum key_class
key_class(const struct pgp_component *key)
{
	if (key->version < 4)
		return KEY_WEAK;
	return key->version != 5 && signs(key) ? KEY_JUDGED : KEY_OPAQUE;
}

bool
key_welcome(const struct pgp_component *key, const struct pgp_policy *policy)
{
	return policy->keep_unverified || key_class(key) == KEY_JUDGED;
}

enum pgp_status
pgp_key_identify(
    const unsigned char *packets, size_t len, struct pgp_component *info)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet packet;
	enum pgp_status status;
	size_t pos = 0;

	memset(info, 0, sizeof(*info));
	do {
		status = pgp_packet_read(packets, len, &pos, &joined, &packet);
	} while (status == PGP_OK && packet.tag == PGP_TAG_MARKER);
	if (status == PGP_OK) {
		if (packet.tag == PGP_TAG_SECRET_KEY ||
		    packet.tag == PGP_TAG_SECRET_SUBKEY)
			status = PGP_SECRET;
		else if (packet.tag == PGP_TAG_PUBLIC_KEY ||
			 packet.tag == PGP_TAG_PUBLIC_SUBKEY)
			status = key_fill(info, packet.body, packet.len);
		else
			status = PGP_NOT_CERT;
		info->kind = packet.tag == PGP_TAG_PUBLIC_SUBKEY ? PGP_SUBKEY
								 : PGP_PRIMARY;
	} else if (status == PGP_END)
		status = PGP_NOT_CERT;
	pgp_blob_free(&joined, status == PGP_SECRET);
	return status;
}
