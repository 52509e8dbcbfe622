/*
 * Signature values of OpenPGP (RFC 9580, 5.2.3.3), put to libcrypto.
 */
#include "pgp/verify.h"

#include <openssl/dsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <string.h>

/* What the MPIs of a value are to OpenSSL; to be freed with OPENSSL_free(). */
struct value {
	unsigned char *octets;
	size_t len;
};

static bool
take_mpis(struct cursor *c, struct cursor *mpi, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!cursor_mpi(c, &mpi[i]))
			return false;
		for (; mpi[i].len > 0 && mpi[i].p[0] == 0; mpi[i].p++)
			mpi[i].len--;
	}
	return c->len == 0;
}

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
	r = BN_bin2bn(mpi[0].p, (int)mpi[0].len, NULL);
	s = BN_bin2bn(mpi[1].p, (int)mpi[1].len, NULL);
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

/* 5.2.3.3: R and S as MPIs, without their leading zeros. */
static bool
value_eddsa(struct cursor c, size_t size, struct value *out)
{
	struct cursor mpi[2];

	if (!take_mpis(&c, mpi, 2) || mpi[0].len > size || mpi[1].len > size)
		return false;
	out->len = 2 * size;
	out->octets = OPENSSL_zalloc(out->len);
	if (out->octets == NULL)
		return false;
	memcpy(out->octets + size - mpi[0].len, mpi[0].p, mpi[0].len);
	memcpy(out->octets + out->len - mpi[1].len, mpi[1].p, mpi[1].len);
	return true;
}

/* 5.2.3.3.4 and 5.2.3.3.5: octets as they are. */
static bool
value_octets(struct cursor c, size_t size, struct value *out)
{
	if (c.len != 2 * size)
		return false;
	out->len = c.len;
	out->octets = OPENSSL_memdup(c.p, c.len);
	return out->octets != NULL;
}

static bool
value_new(const struct public_key *key, struct cursor c, struct value *out)
{
	switch (key->pkalgo) {
	case PK_RSA:
	case PK_RSA_SIGN:
		return value_rsa(c, key->size, out);
	case PK_DSA:
	case PK_ECDSA:
		return value_dsa(c, out);
	case PK_EDDSA:
		return value_eddsa(c, key->size, out);
	}
	return value_octets(c, key->size, out);
}

/* PKCS #1 names the hash algorithm within what is signed. */
static bool
set_padding(struct public_key *key, unsigned hashalgo)
{
	const EVP_MD *md = digest_algorithm(hashalgo);

	if (key->hashalgo == hashalgo)
		return true;
	if (md == NULL || EVP_PKEY_CTX_set_signature_md(key->ctx, md) != 1)
		return false;
	key->hashalgo = (uint8_t)hashalgo;
	return true;
}

static bool
fits(struct public_key *key, unsigned hashalgo, const struct value *value,
    const unsigned char *digest, size_t len)
{
	if ((key->pkalgo == PK_RSA || key->pkalgo == PK_RSA_SIGN) &&
	    !set_padding(key, hashalgo))
		return false;
	return EVP_PKEY_verify(
		   key->ctx, value->octets, value->len, digest, len) == 1;
}

/* OpenPGP's EdDSA signs the digest as if it were the message. */
static bool
fits_eddsa(const struct public_key *key, const struct value *value,
    const unsigned char *digest, size_t len)
{
	EVP_MD_CTX *ctx;
	bool good;

	if (key->size == ED25519_LEN &&
	    ed25519_good(key->point, value->octets, digest, len))
		return true;
	ctx = EVP_MD_CTX_new();
	good =
	    ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
	    EVP_DigestVerify(ctx, value->octets, value->len, digest, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

/* A refusal for want of memory says nothing about the signature. */
static enum pgp_verdict
refusal(void)
{
	enum pgp_verdict verdict = PGP_BAD;
	unsigned long e;

	while ((e = ERR_get_error()) != 0)
		if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
			verdict = PGP_UNDECIDED;
	return verdict;
}

enum pgp_verdict
public_key_verify(struct public_key *key, unsigned hashalgo,
    const unsigned char *digest, size_t len, struct cursor c)
{
	enum pgp_verdict verdict = PGP_UNDECIDED;
	struct value value = {NULL, 0};
	bool good;

	if (len < key->digest_min)
		return PGP_BAD;
	if (value_new(key, c, &value)) {
		good = key->ctx == NULL
			   ? fits_eddsa(key, &value, digest, len)
			   : fits(key, hashalgo, &value, digest, len);
		verdict = good ? PGP_GOOD : refusal();
	}
	OPENSSL_free(value.octets);
	return verdict;
}
