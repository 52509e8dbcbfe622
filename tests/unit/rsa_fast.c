/*
 * RSA by AVX-512, beside OpenSSL: powers of random and of extreme numbers to
 * random and to extreme moduli of all lengths, and signatures.
 */
#include "pgp/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#define MAX 512 /* octets of the longest modulus */

static void
skip_without(const struct rsa_fast *rsa)
{
	if (rsa == NULL) {
		print_message("this processor has no AVX-512 IFMA\n");
		skip();
	}
}

/* ---- powers -------------------------------------------------------------- */

static BN_CTX *ctx;

/* The power by OpenSSL, one more, and one less. */
static void
check_power(const BIGNUM *n, const BIGNUM *value)
{
	unsigned char octets[MAX], v[MAX], p[MAX];
	int len = BN_num_bytes(n);
	BIGNUM *power = BN_new(), *f4 = BN_new();
	struct rsa_fast *rsa;

	BN_bn2bin(n, octets);
	BN_bn2binpad(value, v, len);
	BN_set_word(f4, RSA_F4);
	assert_int_equal(BN_mod_exp(power, value, f4, n, ctx), 1);
	rsa = rsa_fast_new(octets, (size_t)len);
	assert_non_null(rsa);
	BN_bn2binpad(power, p, len);
	if (!rsa_fast_power(rsa, v, p))
		fail_msg("%s: %s", BN_bn2hex(n), BN_bn2hex(value));
	BN_add_word(power, 1);
	BN_bn2binpad(power, p, len);
	if (BN_cmp(power, n) < 0 && rsa_fast_power(rsa, v, p))
		fail_msg("%s: %s: 1 more", BN_bn2hex(n), BN_bn2hex(value));
	if (BN_sub_word(power, 2) == 1 && !BN_is_negative(power)) {
		BN_bn2binpad(power, p, len);
		if (rsa_fast_power(rsa, v, p))
			fail_msg("1 less");
	}
	rsa_fast_free(rsa);
	BN_free(power);
	BN_free(f4);
}

/* 0, 1, n - 1, all bits that fit, and at random. */
static void
check_values(const BIGNUM *n)
{
	BIGNUM *value = BN_new();

	BN_zero(value);
	check_power(n, value);
	BN_one(value);
	check_power(n, value);
	BN_sub(value, n, BN_value_one());
	check_power(n, value);
	BN_one(value);
	BN_lshift(value, value, BN_num_bits(n) - 1);
	BN_sub_word(value, 1);
	check_power(n, value);
	for (int i = 0; i < 3; i++) {
		BN_rand_range(value, n);
		check_power(n, value);
	}
	BN_free(value);
}

static void
test_powers(void **state)
{
	BIGNUM *n = BN_new();
	struct rsa_fast *rsa = rsa_fast_new((const unsigned char *)"\xff", 1);

	(void)state;
	skip_without(rsa);
	rsa_fast_free(rsa);
	ctx = BN_CTX_new();
	for (int bits = 16; bits <= 8 * MAX; bits += bits < 1000 ? 120 : 16) {
		BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
		check_values(n);
		BN_one(n); /* all ones */
		BN_lshift(n, n, bits);
		BN_sub_word(n, 1);
		check_values(n);
		BN_one(n); /* hardly any */
		BN_lshift(n, n, bits - 1);
		BN_add_word(n, 1);
		check_values(n);
	}
	BN_free(n);
	BN_CTX_free(ctx);
}

/* ---- moduli -------------------------------------------------------------- */

static void
test_moduli(void **state)
{
	unsigned char n[MAX + 1];
	struct rsa_fast *rsa;

	(void)state;
	memset(n, 0xff, sizeof(n));
	rsa = rsa_fast_new(n, MAX);
	skip_without(rsa);
	assert_int_equal(rsa_fast_modulus(rsa).len, MAX);
	assert_memory_equal(rsa_fast_modulus(rsa).p, n, MAX);
	rsa_fast_free(rsa);
	assert_null(rsa_fast_new(n, MAX + 1));
	assert_null(rsa_fast_new(n, 0));
	n[MAX - 1] = 0xfe;
	assert_null(rsa_fast_new(n, MAX));
}

/* ---- signatures ---------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned hashalgo, len;
	bool good; /* taken by us */
} digests[] = {
    {"MD5", 1, 16, false},
    {"SHA1", 2, 20, true},
    {"RIPEMD160", 3, 20, false},
    {"SHA256", 8, 32, true},
    {"SHA384", 9, 48, true},
    {"SHA512", 10, 64, true},
    {"SHA224", 11, 28, true},
    {"SHA3-256", 12, 32, false},
};
#define NDIGESTS (sizeof(digests) / sizeof(digests[0]))

static void
sign(EVP_PKEY *key, const char *name, const unsigned char *digest, size_t len,
    unsigned char *out, size_t size)
{
	EVP_PKEY_CTX *sign = EVP_PKEY_CTX_new(key, NULL);
	const EVP_MD *md = EVP_get_digestbyname(name);

	assert_int_equal(EVP_PKEY_sign_init(sign), 1);
	assert_int_equal(
	    EVP_PKEY_CTX_set_rsa_padding(sign, RSA_PKCS1_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(sign, md), 1);
	assert_int_equal(EVP_PKEY_sign(sign, out, &size, digest, len), 1);
	EVP_PKEY_CTX_free(sign);
}

/* Good as it is; not with a bit of the value or the digest turned over, not
 * with the modulus added, not under another algorithm. */
static void
check_signature(const struct rsa_fast *rsa, EVP_PKEY *key, size_t at)
{
	unsigned char digest[64], value[MAX];
	size_t size = rsa_fast_modulus(rsa).len, len = digests[at].len;
	BIGNUM *n, *s;

	memset(digest, (int)at + 1, sizeof(digest));
	sign(key, digests[at].name, digest, len, value, size);
	for (size_t i = 0; i < NDIGESTS; i++)
		if (rsa_fast_good(rsa, digests[i].hashalgo, digest, len,
			value) != (digests[i].good && i == at))
			fail_msg("%s as %s", digests[at].name, digests[i].name);
	for (size_t bit = 0; bit < 8 * size; bit += 37) {
		value[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_false(rsa_fast_good(
		    rsa, digests[at].hashalgo, digest, len, value));
		value[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	digest[len - 1] ^= 1;
	assert_false(
	    rsa_fast_good(rsa, digests[at].hashalgo, digest, len, value));
	digest[len - 1] ^= 1;
	n = BN_bin2bn(rsa_fast_modulus(rsa).p, (int)size, NULL);
	s = BN_bin2bn(value, (int)size, NULL);
	BN_add(s, s, n);
	if (BN_bn2binpad(s, value, (int)size) != -1)
		assert_false(rsa_fast_good(
		    rsa, digests[at].hashalgo, digest, len, value));
	BN_free(n);
	BN_free(s);
}

static void
test_signatures(void **state)
{
	(void)state;
	for (unsigned bits = 1024; bits <= 2048; bits += 512) {
		EVP_PKEY *key = EVP_RSA_gen(bits);
		unsigned char octets[MAX];
		struct rsa_fast *rsa;
		BIGNUM *n = NULL;

		assert_int_equal(EVP_PKEY_get_bn_param(key, "n", &n), 1);
		BN_bn2bin(n, octets);
		rsa = rsa_fast_new(octets, bits / 8);
		skip_without(rsa);
		for (size_t i = 0; i < NDIGESTS; i++)
			check_signature(rsa, key, i);
		rsa_fast_free(rsa);
		BN_free(n);
		EVP_PKEY_free(key);
	}
}

/* Of a small modulus there may be no room for the padding. */
static void
test_no_room(void **state)
{
	unsigned char n[62], digest[32] = {1}, value[62] = {1};
	struct rsa_fast *rsa;

	(void)state;
	memset(n, 0xff, sizeof(n));
	for (size_t len = 1; len <= sizeof(n); len++) {
		rsa = rsa_fast_new(n, len);
		skip_without(rsa);
		assert_false(rsa_fast_good(rsa, 8, digest, 32, value));
		rsa_fast_free(rsa);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_powers),
	    cmocka_unit_test(test_moduli),
	    cmocka_unit_test(test_signatures),
	    cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests_name("rsa_fast", tests, NULL, NULL);
}
