/*
 * Public keys of OpenPGP (RFC 9580, 5.5.5), made keys of libcrypto.
 */
#include "pgp/verify.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <assert.h>
#include <string.h>

#define ELGAMAL	       16
#define ECDH	       18
#define ELGAMAL_SIGN   20
#define ED448_LEN      57
#define POINT_NATIVE   0x40 /* before a native point, RFC 9580, 11.2.2 */
#define POINT_UNPACKED 0x04 /* before both coordinates, SEC 1 */
#define MPIS	       4    /* the most that a key has: DSA */

/* What GnuPG 2.2 reads of a key packet. */
#define KEY_LEN_MIN	12
#define NUMBER_BITS_MAX 16384

/* A stranger chooses the numbers: these bound what they cost. */
#define RSA_BITS_MIN 1024
#define RSA_BITS_MAX 16384
#define RSA_E_BITS   33
#define DSA_BITS_MAX 4096

/*
 * RFC 9580, 9.2, without those that only encrypt.  A digest may not be shorter
 * than the order, but for P-521, which no digest reaches.
 */
static const struct curve {
	const char *name; /* as OpenSSL calls it */
	unsigned char oid[11];
	unsigned char len, octets, digest_min;
	unsigned cost;
} curves[] = {
    {"P-256", {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 8, 32, 32, 100},
    {"P-384", {0x2b, 0x81, 0x04, 0x00, 0x22}, 5, 48, 48, 900},
    {"P-521", {0x2b, 0x81, 0x04, 0x00, 0x23}, 5, 66, 64, 900},
    {"secp256k1", {0x2b, 0x81, 0x04, 0x00, 0x0a}, 5, 32, 32, 500},
    {"brainpoolP256r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07},
	9, 32, 32, 500},
    {"brainpoolP384r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b},
	9, 48, 48, 900},
    {"brainpoolP512r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d},
	9, 64, 64, 1500},
};
static const unsigned char oid_ed25519[] = {
    0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01};

/* ---- numbers ------------------------------------------------------------- */

static unsigned
bits_of(struct cursor mpi)
{
	unsigned bits = (unsigned)mpi.len * 8;
	unsigned char top;

	if (mpi.len == 0)
		return 0;
	for (top = mpi.p[0]; bits > 0 && (top & 0x80) == 0; top <<= 1)
		if (--bits % 8 == 0)
			break;
	return bits;
}

/* An MPI that says its length right; a zero is none that a key would have, and
 * GnuPG reads none that is longer. */
static bool
take_number(struct cursor *c, struct cursor *mpi)
{
	const unsigned char *said = c->p;

	return cursor_mpi(c, mpi) && mpi->len > 0 && mpi->p[0] != 0 &&
	       get16(said) == bits_of(*mpi) && bits_of(*mpi) <= NUMBER_BITS_MAX;
}

static bool
take_numbers(struct cursor *c, struct cursor *mpi, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!take_number(c, &mpi[i]))
			return false;
	return true;
}

/* One octet of length, then as many, at least two as GnuPG has it. */
static bool
take_counted(struct cursor *c, struct cursor *out)
{
	const unsigned char *len = cursor_take(c, 1);

	if (len == NULL)
		return false;
	out->len = *len;
	out->p = cursor_take(c, out->len);
	return out->p != NULL && out->len >= 2;
}

/* Version and algorithm; the cursor is left at what the algorithm has. */
static bool
take_header(struct cursor *c, uint8_t *version, uint8_t *pkalgo)
{
	const unsigned char *p = cursor_take(c, 6);

	if (p == NULL)
		return false;
	*version = p[0];
	*pkalgo = p[5];
	if (p[0] < 4) { /* two octets of validity stand before it */
		p = cursor_take(c, 2);
		if (p == NULL)
			return false;
		*pkalgo = p[1];
	}
	if (*version != 6)
		return *version >= 2 && *version <= 4;
	p = cursor_take(c, 4);
	return p != NULL && get32(p) == c->len;
}

bool
key_is_exact(struct cursor c)
{
	struct cursor mpi[MPIS], part;
	uint8_t version, pkalgo;
	bool good = true;

	if (c.len < KEY_LEN_MIN || !take_header(&c, &version, &pkalgo))
		return false;
	switch (pkalgo) {
	case 1:
	case 2:
	case 3:
		good = take_numbers(&c, mpi, 2);
		break;
	case ELGAMAL:
	case ELGAMAL_SIGN:
		good = take_numbers(&c, mpi, 3);
		break;
	case PK_DSA:
		good = take_numbers(&c, mpi, 4);
		break;
	case ECDH:
		good = take_counted(&c, &part) && take_number(&c, mpi) &&
		       take_counted(&c, &part);
		break;
	case PK_ECDSA:
	case PK_EDDSA:
		good = take_counted(&c, &part) && take_number(&c, mpi);
		break;
	default: /* hashed as it came */
		return true;
	}
	return good && c.len == 0;
}

/* ---- keys ---------------------------------------------------------------- */

static EVP_PKEY *
pkey_of(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

/* A key of `n` numbers, which OpenSSL calls `names`. */
static EVP_PKEY *
pkey_of_numbers(const char *type, const struct cursor *mpi,
    const char *const *names, size_t n)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn[MPIS] = {NULL};
	EVP_PKEY *key = NULL;
	size_t i;

	for (i = 0; bld != NULL && i < n; i++) {
		bn[i] = BN_bin2bn(mpi[i].p, (int)mpi[i].len, NULL);
		if (bn[i] == NULL ||
		    OSSL_PARAM_BLD_push_BN(bld, names[i], bn[i]) != 1)
			break;
	}
	if (bld != NULL && i == n)
		key = pkey_of(type, bld);
	for (i = 0; i < n; i++)
		BN_free(bn[i]);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

static bool
open_rsa(struct public_key *k, struct cursor c)
{
	static const char *const names[] = {
	    OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E};
	struct cursor mpi[2];
	unsigned n, e;

	if (!take_numbers(&c, mpi, 2) || c.len != 0)
		return false;
	n = bits_of(mpi[0]);
	e = bits_of(mpi[1]);
	if (n < RSA_BITS_MIN || n > RSA_BITS_MAX || e > RSA_E_BITS)
		return false;
	k->size = mpi[0].len;
	k->cost = 1 + n / 128 * (n / 128) * (e + 15) / 448;
	k->pkey = pkey_of_numbers("RSA", mpi, names, 2);
	return true;
}

/* GnuPG wants a digest as long as q; OpenSSL knows these lengths of q. */
static bool
open_dsa(struct public_key *k, struct cursor c)
{
	static const char *const names[] = {OSSL_PKEY_PARAM_FFC_P,
	    OSSL_PKEY_PARAM_FFC_Q, OSSL_PKEY_PARAM_FFC_G,
	    OSSL_PKEY_PARAM_PUB_KEY};
	struct cursor mpi[4];
	unsigned p, q;

	if (!take_numbers(&c, mpi, 4) || c.len != 0)
		return false;
	p = bits_of(mpi[0]);
	q = bits_of(mpi[1]);
	if (p < RSA_BITS_MIN || p > DSA_BITS_MAX ||
	    (q != 160 && q != 224 && q != 256) || bits_of(mpi[2]) > p ||
	    bits_of(mpi[3]) > p)
		return false;
	k->digest_min = q / 8;
	k->cost = 1 + p / 128 * (p / 128) * q / 100;
	k->pkey = pkey_of_numbers("DSA", mpi, names, 4);
	return true;
}

/* An OID with its length in front, and a point (5.5.5.4). */
static bool
take_point(struct cursor *c, struct cursor *oid, struct cursor *point)
{
	return take_counted(c, oid) && take_number(c, point) && c->len == 0;
}

static EVP_PKEY *
pkey_of_curve(const char *name, const unsigned char *point, size_t len)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	if (bld != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(
		bld, OSSL_PKEY_PARAM_GROUP_NAME, name, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, point, len) == 1)
		key = pkey_of("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

static bool
open_ecdsa(struct public_key *k, struct cursor c)
{
	const struct curve *curve = NULL;
	struct cursor oid, point;

	if (!take_point(&c, &oid, &point))
		return false;
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (octets_cmp(oid.p, oid.len, curves[i].oid, curves[i].len) ==
		    0)
			curve = &curves[i];
	if (curve == NULL || point.len != 1 + 2 * (size_t)curve->octets ||
	    point.p[0] != POINT_UNPACKED)
		return false;
	k->digest_min = curve->digest_min;
	k->cost = curve->cost;
	k->pkey = pkey_of_curve(curve->name, point.p, point.len);
	return true;
}

/*
 * Under a point of small order anybody signs.  OpenSSL verifies with these,
 * GnuPG does not; nor with a point that is not written in the one way.
 */
static bool
weak_ed25519(const unsigned char *point)
{
	static const unsigned char weak[][ED25519_LEN] = {
	    {0x00},
	    {0x01},
	    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
		0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3,
		0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc,
		0x05},
	    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
		0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c,
		0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03,
		0x7a},
	};
	unsigned char y[ED25519_LEN];
	size_t i;

	memcpy(y, point, sizeof(y));
	y[ED25519_LEN - 1] &= 0x7f; /* the sign of x */
	for (i = 0; i < sizeof(weak) / sizeof(weak[0]); i++)
		if (memcmp(y, weak[i], sizeof(y)) == 0)
			return true;
	for (i = ED25519_LEN - 2; i > 0 && y[i] == 0xff; i--)
		;
	/* 2^255 - 20, which is -1, and more */
	return i == 0 && y[ED25519_LEN - 1] == 0x7f && y[0] >= 0xec;
}

static bool
open_octets(struct public_key *k, int type, struct cursor c, size_t len)
{
	if (c.len != len || (type == EVP_PKEY_ED25519 && weak_ed25519(c.p)))
		return false;
	k->size = len;
	k->digest_min = type == EVP_PKEY_ED448 ? 64 : 32;
	/* of Ed25519 that of both libraries, as a bad one takes */
	k->cost = type == EVP_PKEY_ED448 ? 400 : 180;
	if (type == EVP_PKEY_ED25519)
		memcpy(k->point, c.p, ED25519_LEN);
	k->pkey = EVP_PKEY_new_raw_public_key(type, NULL, c.p, c.len);
	return true;
}

static bool
open_eddsa(struct public_key *k, struct cursor c)
{
	struct cursor oid, point;

	if (!take_point(&c, &oid, &point) ||
	    octets_cmp(oid.p, oid.len, oid_ed25519, sizeof(oid_ed25519)) != 0 ||
	    point.len == 0 || point.p[0] != POINT_NATIVE)
		return false;
	point.p++;
	point.len--;
	if (!open_octets(k, EVP_PKEY_ED25519, point, ED25519_LEN))
		return false;
	k->digest_min = 0; /* GnuPG takes any */
	return true;
}

bool
gpg_knows(unsigned version, unsigned pkalgo)
{
	return version == 4 && pkalgo != PK_ED25519 && pkalgo != PK_ED448;
}

/* What a version 6 key may not have, RFC 9580 has retired (9.1). */
static bool
open_material(struct public_key *k, struct cursor c)
{
	k->gpg = gpg_knows(k->version, k->pkalgo);
	if (k->version < 4 && k->pkalgo != PK_RSA && k->pkalgo != PK_RSA_SIGN)
		return false;
	if (k->version == 6 && (k->pkalgo == PK_DSA || k->pkalgo == PK_EDDSA))
		return false;
	switch (k->pkalgo) {
	case PK_RSA:
	case PK_RSA_SIGN:
		return open_rsa(k, c);
	case PK_DSA:
		return open_dsa(k, c);
	case PK_ECDSA:
		return open_ecdsa(k, c);
	case PK_EDDSA:
		return open_eddsa(k, c);
	case PK_ED25519:
		return open_octets(k, EVP_PKEY_ED25519, c, ED25519_LEN);
	case PK_ED448:
		return open_octets(k, EVP_PKEY_ED448, c, ED448_LEN);
	}
	return false;
}

static bool
is_eddsa(const struct public_key *k)
{
	return k->pkalgo == PK_EDDSA || k->pkalgo == PK_ED25519 ||
	       k->pkalgo == PK_ED448;
}

bool
public_key_open(struct public_key *k, struct cursor c)
{
	bool good;

	memset(k, 0, sizeof(*k));
	good = take_header(&c, &k->version, &k->pkalgo) &&
	       open_material(k, c) && k->pkey != NULL;
	if (good && !is_eddsa(k)) {
		k->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
		good = k->ctx != NULL && EVP_PKEY_verify_init(k->ctx) == 1;
	}
	if (good && (k->pkalgo == PK_RSA || k->pkalgo == PK_RSA_SIGN))
		good = EVP_PKEY_CTX_set_rsa_padding(
			   k->ctx, RSA_PKCS1_PADDING) == 1;
	ERR_clear_error();
	if (!good)
		public_key_close(k);
	return good;
}

void
public_key_close(struct public_key *k)
{
	EVP_PKEY_CTX_free(k->ctx);
	EVP_PKEY_free(k->pkey);
	memset(k, 0, sizeof(*k));
}

/* ---- before a jail is locked --------------------------------------------- */

/* A key packet that is put together. */
struct body {
	unsigned char octets[512];
	size_t len;
};

static void
body_add(struct body *b, const void *p, size_t n)
{
	assert(n <= sizeof(b->octets) - b->len);
	memcpy(b->octets + b->len, p, n);
	b->len += n;
}

static void
body_mpi(struct body *b, const unsigned char *p, size_t n)
{
	struct cursor mpi = {p, n};
	unsigned char bits[2];

	put16(bits, (uint16_t)bits_of(mpi));
	body_add(b, bits, 2);
	body_add(b, p, n);
}

static void
body_begin(struct body *b, unsigned pkalgo)
{
	const unsigned char header[6] = {4, [5] = (unsigned char)pkalgo};

	b->len = 0;
	body_add(b, header, sizeof(header));
}

/* Numbers of nobody: all that counts is that libcrypto works on them. */
static void
prepare_verify(const struct body *b, const unsigned char *value, size_t len)
{
	static const unsigned char digest[DIGEST_MAX] = {1};
	struct public_key k;

	if (!public_key_open(&k, (struct cursor){b->octets, b->len}))
		return;
	for (unsigned algo = 0; algo < HASHER_ALGOS; algo++)
		if (digest_algorithm(algo) != NULL)
			public_key_verify(&k, algo, digest,
			    (size_t)EVP_MD_get_size(digest_algorithm(algo)),
			    (struct cursor){value, len});
	public_key_close(&k);
}

static void
prepare_curve(const struct curve *curve)
{
	static const unsigned char one_one[] = {0, 1, 1, 0, 1, 1};
	EC_GROUP *group = EC_GROUP_new_by_curve_name(OBJ_sn2nid(curve->name));
	unsigned char point[1 + 2 * 66];
	struct body b;
	size_t n = 0;

	if (group != NULL)
		n = EC_POINT_point2oct(group, EC_GROUP_get0_generator(group),
		    POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point), NULL);
	EC_GROUP_free(group);
	body_begin(&b, PK_ECDSA);
	body_add(&b, &curve->len, 1);
	body_add(&b, curve->oid, curve->len);
	body_mpi(&b, point, n);
	prepare_verify(&b, one_one, sizeof(one_one));
}

static void
prepare_numbers(unsigned pkalgo, const size_t *octets, size_t n)
{
	static const unsigned char value[] = {0, 2, 3, 0, 2, 3};
	unsigned char number[128];
	struct body b;

	memset(number, 0xff, sizeof(number));
	body_begin(&b, pkalgo);
	for (size_t i = 0; i < n; i++)
		body_mpi(&b, number, octets[i]);
	prepare_verify(&b, value, pkalgo == PK_RSA ? 3 : sizeof(value));
}

static void
prepare_octets(unsigned pkalgo, size_t octets)
{
	static const unsigned char value[2 * ED448_LEN] = {1};
	unsigned char point[ED448_LEN] = {3}; /* on both curves */
	struct body b;

	body_begin(&b, pkalgo);
	body_add(&b, point, octets);
	prepare_verify(&b, value, 2 * octets);
}

void
pgp_verifier_prepare(void)
{
	static const size_t rsa[] = {128, 3}, dsa[] = {128, 20, 127, 127};

	pgp_prepare();
	prepare_numbers(PK_RSA, rsa, 2);
	prepare_numbers(PK_DSA, dsa, 4);
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		prepare_curve(&curves[i]);
	prepare_octets(PK_ED25519, ED25519_LEN);
	prepare_octets(PK_ED448, ED448_LEN);
}
