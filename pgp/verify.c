/*
 * Public keys and signature values of OpenPGP, put to OpenSSL's libcrypto.
 */
#include "pgp/verify.h"

#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <string.h>

#define RSA	   1
#define RSA_SIGN   3
#define DSA_ALGO   17
#define ECDSA_ALGO 19
#define EDDSA_ALGO 22

#define ED25519_LEN   32
#define ED25519_POINT 0x40 /* before a native point, RFC 9580, 11.2.2 */
#define MPIS	      4	   /* the most that a key has: DSA */

#define KEY_HEADER 6 /* version, creation, algorithm */

/* RFC 9580, 9.2, without those that only encrypt. */
static const struct curve {
	const char *name; /* as OpenSSL calls it */
	unsigned char oid[11];
	unsigned char len;
} curves[] = {
    {"P-256", {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 8},
    {"P-384", {0x2b, 0x81, 0x04, 0x00, 0x22}, 5},
    {"P-521", {0x2b, 0x81, 0x04, 0x00, 0x23}, 5},
    {"secp256k1", {0x2b, 0x81, 0x04, 0x00, 0x0a}, 5},
    {"brainpoolP256r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07},
	9},
    {"brainpoolP384r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b},
	9},
    {"brainpoolP512r1", {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d},
	9},
};
static const unsigned char oid_ed25519[] = {
    0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01};

static bool
take_mpis(struct cursor *c, struct cursor *mpi, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!cursor_mpi(c, &mpi[i]))
			return false;
	return c->len == 0;
}

static BIGNUM *
number(struct cursor mpi)
{
	return BN_bin2bn(mpi.p, (int)mpi.len, NULL);
}

static EVP_PKEY *
key_of(const char *type, OSSL_PARAM_BLD *bld)
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

/* A key of `n` numbers, which OpenSSL calls `names` (RFC 9580, 5.5.5). */
static EVP_PKEY *
key_of_numbers(
    const char *type, struct cursor c, const char *const *names, size_t n)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	struct cursor mpi[MPIS];
	BIGNUM *bn[MPIS] = {NULL};
	EVP_PKEY *key = NULL;
	size_t i;

	if (bld == NULL || !take_mpis(&c, mpi, n))
		goto done;
	for (i = 0; i < n; i++) {
		bn[i] = number(mpi[i]);
		if (bn[i] == NULL ||
		    OSSL_PARAM_BLD_push_BN(bld, names[i], bn[i]) != 1)
			goto done;
	}
	key = key_of(type, bld);
done:
	for (i = 0; i < n; i++)
		BN_free(bn[i]);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

/* RFC 9580, 5.5.5.4: an OID with its length in front, and a point. */
static bool
take_point(struct cursor *c, struct cursor *oid, struct cursor *point)
{
	const unsigned char *len = cursor_take(c, 1);

	if (len == NULL)
		return false;
	oid->len = *len;
	oid->p = cursor_take(c, oid->len);
	return oid->p != NULL && take_mpis(c, point, 1);
}

static EVP_PKEY *
key_ecdsa(struct cursor c)
{
	const struct curve *curve = NULL;
	struct cursor oid, point;
	OSSL_PARAM_BLD *bld;
	EVP_PKEY *key = NULL;

	if (!take_point(&c, &oid, &point))
		return NULL;
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (octets_cmp(oid.p, oid.len, curves[i].oid, curves[i].len) ==
		    0)
			curve = &curves[i];
	if (curve == NULL)
		return NULL;
	bld = OSSL_PARAM_BLD_new();
	if (bld != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(
		bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len) == 1)
		key = key_of("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

static EVP_PKEY *
key_eddsa(struct cursor c)
{
	struct cursor oid, point;

	if (!take_point(&c, &oid, &point) ||
	    octets_cmp(oid.p, oid.len, oid_ed25519, sizeof(oid_ed25519)) != 0 ||
	    point.len != 1 + ED25519_LEN || point.p[0] != ED25519_POINT)
		return NULL;
	return EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, point.p + 1, ED25519_LEN);
}

static EVP_PKEY *
key_new(struct cursor body, unsigned pkalgo)
{
	static const char *const rsa[] = {
	    OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E};
	static const char *const dsa[] = {OSSL_PKEY_PARAM_FFC_P,
	    OSSL_PKEY_PARAM_FFC_Q, OSSL_PKEY_PARAM_FFC_G,
	    OSSL_PKEY_PARAM_PUB_KEY};
	const unsigned char *header = cursor_take(&body, KEY_HEADER);

	if (header == NULL || header[0] != 4 ||
	    header[KEY_HEADER - 1] != pkalgo)
		return NULL;
	switch (pkalgo) {
	case RSA:
	case RSA_SIGN:
		return key_of_numbers("RSA", body, rsa, 2);
	case DSA_ALGO:
		return key_of_numbers("DSA", body, dsa, 4);
	case ECDSA_ALGO:
		return key_ecdsa(body);
	case EDDSA_ALGO:
		return key_eddsa(body);
	}
	return NULL;
}

/* What the MPIs of a value are to OpenSSL; to be freed with OPENSSL_free(). */
struct value {
	unsigned char *octets;
	size_t len;
};

/* At the full length of the modulus, as PKCS #1 wants it. */
static bool
value_rsa(struct cursor c, size_t size, struct value *out)
{
	struct cursor mpi;

	if (!take_mpis(&c, &mpi, 1) || mpi.len > size)
		return false;
	out->octets = OPENSSL_zalloc(size);
	out->len = size;
	if (out->octets == NULL)
		return false;
	memcpy(out->octets + size - mpi.len, mpi.p, mpi.len);
	return true;
}

/* r and s as DER; DSA's and ECDSA's look the same. */
static bool
value_dsa(struct cursor c, struct value *out)
{
	struct cursor mpi[2];
	DSA_SIG *sig = DSA_SIG_new();
	BIGNUM *r = NULL, *s = NULL;
	int len = 0;

	if (sig == NULL || !take_mpis(&c, mpi, 2))
		goto done;
	r = number(mpi[0]);
	s = number(mpi[1]);
	if (r == NULL || s == NULL || DSA_SIG_set0(sig, r, s) != 1)
		goto done;
	r = s = NULL; /* now the signature's */
	len = i2d_DSA_SIG(sig, &out->octets);
	out->len = len > 0 ? (size_t)len : 0;
done:
	BN_free(r);
	BN_free(s);
	DSA_SIG_free(sig);
	return len > 0;
}

/* RFC 9580, 5.2.3.3: R and S as MPIs, without their leading zeros. */
static bool
value_eddsa(struct cursor c, struct value *out)
{
	struct cursor mpi[2];

	if (!take_mpis(&c, mpi, 2) || mpi[0].len > ED25519_LEN ||
	    mpi[1].len > ED25519_LEN)
		return false;
	out->len = (size_t)2 * ED25519_LEN;
	out->octets = OPENSSL_zalloc(out->len);
	if (out->octets == NULL)
		return false;
	memcpy(out->octets + ED25519_LEN - mpi[0].len, mpi[0].p, mpi[0].len);
	memcpy(out->octets + out->len - mpi[1].len, mpi[1].p, mpi[1].len);
	return true;
}

static bool
value_new(EVP_PKEY *key, unsigned pkalgo, struct cursor c, struct value *out)
{
	int size = EVP_PKEY_get_size(key);

	switch (pkalgo) {
	case RSA:
	case RSA_SIGN:
		return size > 0 && value_rsa(c, (size_t)size, out);
	case DSA_ALGO:
	case ECDSA_ALGO:
		return value_dsa(c, out);
	case EDDSA_ALGO:
		return value_eddsa(c, out);
	}
	return false;
}

/* What RSA's padding names the digest; NULL: gpg 2.2 lets none of these count,
 * MD5 among them. */
static const char *
digest_name_of(unsigned hashalgo)
{
	switch (hashalgo) {
	case 2:
		return "SHA1";
	case 3:
		return "RIPEMD160";
	case 8:
		return "SHA256";
	case 9:
		return "SHA384";
	case 10:
		return "SHA512";
	case 11:
		return "SHA224";
	}
	return NULL;
}

static bool
fits(EVP_PKEY *key, bool rsa, const char *md, const struct value *value,
    const unsigned char *digest, size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool good = false;

	if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1)
		goto done;
	if (rsa && (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
		       EVP_PKEY_CTX_set_signature_md(
			   ctx, EVP_get_digestbyname(md)) != 1))
		goto done;
	good =
	    EVP_PKEY_verify(ctx, value->octets, value->len, digest, len) == 1;
done:
	EVP_PKEY_CTX_free(ctx);
	return good;
}

/* OpenPGP's EdDSA signs the digest as if it were the message. */
static bool
fits_eddsa(EVP_PKEY *key, const struct value *value,
    const unsigned char *digest, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	good =
	    ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, value->octets, value->len, digest, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

bool
verify_digest(struct cursor body, unsigned pkalgo, unsigned hashalgo,
    const unsigned char *digest, size_t len, struct cursor c)
{
	const char *md = digest_name_of(hashalgo);
	EVP_PKEY *key = md == NULL ? NULL : key_new(body, pkalgo);
	struct value value = {NULL, 0};
	bool good = false;

	if (key != NULL && value_new(key, pkalgo, c, &value)) {
		if (pkalgo == EDDSA_ALGO)
			good = fits_eddsa(key, &value, digest, len);
		else
			good = fits(key, pkalgo == RSA || pkalgo == RSA_SIGN,
			    md, &value, digest, len);
	}
	OPENSSL_free(value.octets);
	EVP_PKEY_free(key);
	return good;
}
