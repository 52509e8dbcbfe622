/*
 * libsodium's word on Ed25519: what it calls good OpenSSL calls good, and what
 * is written in another way than the one it does not.
 */
#include "pgp/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <string.h>

#define DIGEST 32

struct signed_digest {
	unsigned char point[ED25519_LEN], value[2 * ED25519_LEN];
	unsigned char digest[DIGEST];
};

/* The order of the base point, the lowest octet first (RFC 8032, 5.1). */
static const unsigned char order[ED25519_LEN] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,
    0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
    0x14, [31] = 0x10};

static void
make(struct signed_digest *s, unsigned char seed)
{
	unsigned char secret[ED25519_LEN] = {seed, 1};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(
	    EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = sizeof(s->value), plen = sizeof(s->point);

	memset(s->digest, seed, sizeof(s->digest));
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, s->point, &plen), 1);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
	assert_int_equal(
	    EVP_DigestSign(ctx, s->value, &len, s->digest, DIGEST), 1);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static bool
openssl_good(const struct signed_digest *s)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, s->point, sizeof(s->point));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, s->value, sizeof(s->value), s->digest,
			DIGEST) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

static bool
good(const struct signed_digest *s)
{
	return ed25519_good(s->point, s->value, s->digest, DIGEST);
}

/* ---- what is done to one ------------------------------------------------- */

static void
nothing(struct signed_digest *s)
{
	(void)s;
}

static void
other_digest(struct signed_digest *s)
{
	s->digest[DIGEST - 1] ^= 0x80;
}

static void
other_point(struct signed_digest *s)
{
	s->point[ED25519_LEN - 1] ^= 0x80;
}

static void
no_point(struct signed_digest *s)
{
	/* no point of the curve has this y */
	memset(s->point, 0, ED25519_LEN);
	s->point[0] = 2;
}

/* The same number to whoever reduces it. */
static void
long_s(struct signed_digest *s)
{
	unsigned char *number = s->value + ED25519_LEN;
	unsigned carry = 0;

	for (size_t i = 0; i < ED25519_LEN; i++) {
		carry += number[i] + order[i];
		number[i] = (unsigned char)carry;
		carry >>= 8;
	}
}

/* Under the neutral point R = B and S = 1 fit any digest. */
static void
neutral(struct signed_digest *s)
{
	memset(s->point, 0, ED25519_LEN);
	s->point[0] = 1;
	memset(s->value, 0x66, ED25519_LEN);
	s->value[0] = 0x58;
	memset(s->value + ED25519_LEN, 0, ED25519_LEN);
	s->value[ED25519_LEN] = 1;
}

/* The same, with a y that is p + 1. */
static void
neutral_long(struct signed_digest *s)
{
	neutral(s);
	memset(s->point, 0xff, ED25519_LEN);
	s->point[0] = 0xee;
	s->point[ED25519_LEN - 1] = 0x7f;
}

static const struct {
	const char *name;
	void (*change)(struct signed_digest *);
	bool sodium, openssl;
} cases[] = {
    {"as it was signed", nothing, true, true},
    {"another digest", other_digest, false, false},
    {"another point", other_point, false, false},
    {"no point", no_point, false, false},
    {"S above the order", long_s, false, false},
    {"the neutral point", neutral, false, true},
    {"the neutral point, not in the one way", neutral_long, false, true},
};

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct signed_digest s;

		make(&s, 7);
		cases[i].change(&s);
		if (good(&s) != cases[i].sodium ||
		    openssl_good(&s) != cases[i].openssl)
			fail_msg("%s: %d, %d", cases[i].name, good(&s),
			    openssl_good(&s));
	}
}

/* Many keys, and each bit of a value turned over. */
static void
test_agree(void **state)
{
	struct signed_digest s;

	(void)state;
	for (unsigned seed = 0; seed < 64; seed++) {
		make(&s, (unsigned char)seed);
		assert_true(good(&s));
	}
	for (size_t bit = 0; bit < sizeof(s.value) * 8; bit++) {
		s.value[bit / 8] ^= (unsigned char)(1 << bit % 8);
		if (good(&s) || openssl_good(&s))
			fail_msg("good with bit %zu turned over", bit);
		s.value[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_true(good(&s));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_agree),
	};

	return cmocka_run_group_tests_name("ed25519", tests, NULL, NULL);
}
