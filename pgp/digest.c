/*
 * Digests, by OpenSSL's libcrypto: the one file that asks it for them.
 */
#include "pgp/verify.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* RFC 9580, 9.5, by number; RIPEMD-160 and MD5 sign old keys. */
static const char *const digest_name[HASHER_ALGOS] = {
    [1] = "MD5",
    [2] = "SHA1",
    [3] = "RIPEMD160",
    [8] = "SHA256",
    [9] = "SHA384",
    [10] = "SHA512",
    [11] = "SHA224",
    [12] = "SHA3-256",
    [14] = "SHA3-512",
};
#define MD5    1
#define SHA256 8

static EVP_MD *digest_md[HASHER_ALGOS];
static pthread_once_t digest_once = PTHREAD_ONCE_INIT;

static void
digest_fetch(void)
{
	size_t i;

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG |
				OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
				OPENSSL_INIT_NO_ATEXIT,
	    NULL);
	for (i = 0; i < HASHER_ALGOS; i++)
		if (digest_name[i] != NULL)
			digest_md[i] = EVP_MD_fetch(NULL, digest_name[i], NULL);
}

void
pgp_prepare(void)
{
	unsigned char out[PGP_SHA256_LEN];

	/* The first digest makes OpenSSL set up what it keeps for a thread. */
	pgp_sha256("", 0, out);
}

const EVP_MD *
digest_algorithm(unsigned hashalgo)
{
	pthread_once(&digest_once, digest_fetch);
	return hashalgo < HASHER_ALGOS ? digest_md[hashalgo] : NULL;
}

EVP_MD_CTX *
digest_new(unsigned hashalgo, bool *nomem)
{
	const EVP_MD *md = digest_algorithm(hashalgo);
	EVP_MD_CTX *ctx;

	*nomem = false;
	if (md == NULL)
		return NULL;
	ctx = EVP_MD_CTX_new();
	if (ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	*nomem = true;
	return NULL;
}

EVP_MD_CTX *
digest_dup(const EVP_MD_CTX *from)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx != NULL && EVP_MD_CTX_copy_ex(ctx, from) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

bool
digest_update(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	return n == 0 || EVP_DigestUpdate(ctx, p, n) == 1;
}

bool
digest_final(EVP_MD_CTX *ctx, unsigned char out[DIGEST_MAX])
{
	return EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

size_t
digest_len(const EVP_MD_CTX *ctx)
{
	return (size_t)EVP_MD_CTX_get_size(ctx);
}

void
digest_free(EVP_MD_CTX *ctx)
{
	EVP_MD_CTX_free(ctx);
}

struct pgp_sha256_ctx {
	EVP_MD_CTX *md;
	bool failed;
};

static struct pgp_sha256_ctx *
in_pieces(unsigned hashalgo)
{
	struct pgp_sha256_ctx *ctx = calloc(1, sizeof(*ctx));
	bool nomem;

	if (ctx == NULL)
		return NULL;
	ctx->md = digest_new(hashalgo, &nomem);
	if (ctx->md == NULL) {
		free(ctx);
		return NULL;
	}
	return ctx;
}

struct pgp_sha256_ctx *
pgp_sha256_new(void)
{
	return in_pieces(SHA256);
}

struct pgp_sha256_ctx *
pgp_md5_new(void)
{
	return in_pieces(MD5);
}

void
pgp_sha256_update(struct pgp_sha256_ctx *ctx, const void *p, size_t n)
{
	if (!digest_update(ctx->md, p, n))
		ctx->failed = true;
}

int
pgp_sha256_final(struct pgp_sha256_ctx *ctx, unsigned char out[PGP_SHA256_LEN])
{
	if (ctx->failed || EVP_DigestFinal_ex(ctx->md, out, NULL) != 1)
		return -1;
	return 0;
}

void
pgp_sha256_free(struct pgp_sha256_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->md);
	free(ctx);
}

int
pgp_sha256(const void *p, size_t n, unsigned char out[PGP_SHA256_LEN])
{
	struct pgp_sha256_ctx *ctx = pgp_sha256_new();
	int r;

	if (ctx == NULL)
		return -1;
	pgp_sha256_update(ctx, p, n);
	r = pgp_sha256_final(ctx, out);
	pgp_sha256_free(ctx);
	return r;
}

#define BLOCK 64 /* octets that SHA-256 works on at once */

static int
hmac_part(const unsigned char pad[BLOCK], const void *p, size_t n,
    unsigned char out[PGP_SHA256_LEN])
{
	struct pgp_sha256_ctx *ctx = pgp_sha256_new();
	int r;

	if (ctx == NULL)
		return -1;
	pgp_sha256_update(ctx, pad, BLOCK);
	pgp_sha256_update(ctx, p, n);
	r = pgp_sha256_final(ctx, out);
	pgp_sha256_free(ctx);
	return r;
}

int
pgp_hmac_sha256(const unsigned char *key, size_t keylen, const void *p,
    size_t n, unsigned char out[PGP_SHA256_LEN])
{
	unsigned char inner[BLOCK], outer[BLOCK], digest[PGP_SHA256_LEN];
	size_t i;

	assert(keylen <= BLOCK);
	for (i = 0; i < BLOCK; i++) {
		inner[i] = (unsigned char)((i < keylen ? key[i] : 0) ^ 0x36);
		outer[i] = (unsigned char)((i < keylen ? key[i] : 0) ^ 0x5c);
	}
	if (hmac_part(inner, p, n, digest) != 0)
		return -1;
	return hmac_part(outer, digest, sizeof(digest), out);
}
