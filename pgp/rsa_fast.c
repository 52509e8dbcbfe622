/*
 * RSA with the exponent 65537, on processors that multiply 52 bits eight times
 * at once (AVX-512 IFMA): a third of the time that OpenSSL 3.0 takes.
 *
 * Only a yes counts: a mistake here would give some number, which is not the
 * one that is padded in the one way, and OpenSSL would decide.
 *
 * Numbers have limbs of 52 bits, the lowest first, in vectors of eight.
 * Products are Montgomery's, a * b / R mod n with R = 2^(52 * limbs), and lie
 * below 2 n, as do their factors, since R is above 4 n.
 */
#include "pgp/verify.h"

#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>

#define IFMA	    __attribute__((target("avx512f,avx512ifma")))
#define LIMB_BITS   52
#define LIMB_MASK   ((UINT64_C(1) << LIMB_BITS) - 1)
#define LANES	    8
#define VECTORS_MAX 10 /* 4096 bits */
#define LIMBS_MAX   (LANES * VECTORS_MAX)
#define OCTETS_MAX  512
#define SQUARINGS   16 /* 65537 = 2^16 + 1 */

/* j counts; written out, since what it works on is to stay in registers. */
#define EACH(n) _Pragma("GCC unroll 10") for (unsigned j = 0; j < (n); j++)

struct number {
	_Alignas(64) uint64_t limb[LIMBS_MAX];
};

struct rsa_fast {
	struct number n;
	struct number one; /* 1, and all that is divided by on the way */
	uint64_t inverse;  /* -1 / n mod 2^52 */
	unsigned vectors;
	size_t len;
	unsigned char octets[OCTETS_MAX]; /* of n */
};

/* ---- arithmetic ---------------------------------------------------------- */

/* Brings each limb below 2^52. */
static void
carry(struct number *x, const uint64_t *limb, unsigned n)
{
	uint64_t c = 0;

	for (unsigned i = 0; i < n; i++) {
		c += limb[i];
		x->limb[i] = c & LIMB_MASK;
		c >>= LIMB_BITS;
	}
}

/* `vectors` is a constant wherever this is put in.  A sum has at most 4 * 80
 * numbers of 52 bits. */
IFMA static inline __attribute__((always_inline)) void
multiply_by(struct number *out, const struct number *a, const struct number *b,
    const struct rsa_fast *rsa, const unsigned vectors)
{
	_Alignas(64) uint64_t limb[LIMBS_MAX];
	const __m512i zero = _mm512_setzero_si512();
	__m512i sum[VECTORS_MAX], x[VECTORS_MAX], n[VECTORS_MAX];

	EACH(vectors)
	{
		x[j] = _mm512_load_si512(&a->limb[LANES * j]);
		n[j] = _mm512_load_si512(&rsa->n.limb[LANES * j]);
		sum[j] = zero;
	}
	for (unsigned i = 0; i < LANES * vectors; i++) {
		__m512i y = _mm512_set1_epi64((long long)b->limb[i]), q, up;

		EACH(vectors)
		sum[j] = _mm512_madd52lo_epu64(sum[j], x[j], y);
		q = _mm512_set1_epi64(
		    (long long)(((uint64_t)_mm_cvtsi128_si64(
				     _mm512_castsi512_si128(sum[0])) *
				    rsa->inverse) &
				LIMB_MASK));
		EACH(vectors)
		sum[j] = _mm512_madd52lo_epu64(sum[j], n[j], q);
		/* The lowest limb is zero but for its carry: it goes. */
		up = _mm512_maskz_srli_epi64(1, sum[0], LIMB_BITS);
		EACH(vectors - 1)
		sum[j] = _mm512_alignr_epi64(sum[j + 1], sum[j], 1);
		sum[vectors - 1] =
		    _mm512_alignr_epi64(zero, sum[vectors - 1], 1);
		sum[0] = _mm512_add_epi64(sum[0], up);
		EACH(vectors)
		{
			sum[j] = _mm512_madd52hi_epu64(sum[j], x[j], y);
			sum[j] = _mm512_madd52hi_epu64(sum[j], n[j], q);
		}
	}
	EACH(vectors)
	_mm512_store_si512(&limb[LANES * j], sum[j]);
	carry(out, limb, LANES * vectors);
}

IFMA static void
multiply(struct number *out, const struct number *a, const struct number *b,
    const struct rsa_fast *rsa)
{
	if (rsa->vectors == 5)
		multiply_by(out, a, b, rsa, 5);
	else if (rsa->vectors == 8)
		multiply_by(out, a, b, rsa, 8);
	else
		multiply_by(out, a, b, rsa, 10);
}

/* Squared so often; x^65536 / R^65535. */
static void
square(struct number *out, const struct number *x, const struct rsa_fast *rsa)
{
	multiply(out, x, x, rsa);
	for (unsigned i = 1; i < SQUARINGS; i++)
		multiply(out, out, out, rsa);
}

static int
compare(const struct number *a, const struct number *b)
{
	for (size_t i = LIMBS_MAX; i-- > 0;)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

/* From below 2 n to below n. */
static void
reduce(struct number *x, const struct rsa_fast *rsa)
{
	uint64_t borrow = 0;

	if (compare(x, &rsa->n) < 0)
		return;
	for (size_t i = 0; i < LIMBS_MAX; i++) {
		uint64_t limb = x->limb[i] - rsa->n.limb[i] - borrow;

		borrow = limb >> 63;
		x->limb[i] = limb & LIMB_MASK;
	}
}

/* From octets, the highest first. */
static void
number_of(struct number *x, const unsigned char *octets, size_t len)
{
	memset(x, 0, sizeof(*x));
	for (size_t i = 0; i < len; i++) {
		uint64_t octet = octets[len - 1 - i];
		size_t at = 8 * i / LIMB_BITS, bit = 8 * i % LIMB_BITS;

		x->limb[at] |= octet << bit & LIMB_MASK;
		if (bit > LIMB_BITS - 8)
			x->limb[at + 1] |= octet >> (LIMB_BITS - bit);
	}
}

/* ---- keys ---------------------------------------------------------------- */

static unsigned
vectors_for(size_t len)
{
	if (len > OCTETS_MAX || !__builtin_cpu_supports("avx512ifma"))
		return 0;
	return len <= 256 ? 5 : len <= 384 ? 8 : 10;
}

struct rsa_fast *
rsa_fast_new(const unsigned char *n, size_t len)
{
	const struct number one = {.limb = {1}};
	unsigned vectors = vectors_for(len);
	struct rsa_fast *rsa;

	if (vectors == 0 || len == 0 || (n[len - 1] & 1) == 0)
		return NULL;
	rsa = aligned_alloc(_Alignof(struct rsa_fast), sizeof(*rsa));
	if (rsa == NULL)
		return NULL;
	number_of(&rsa->n, n, len);
	memcpy(rsa->octets, n, len);
	rsa->len = len;
	rsa->vectors = vectors;
	/* Newton: each step has twice as many bits right, of 3 at first. */
	rsa->inverse = rsa->n.limb[0];
	for (int i = 0; i < 5; i++)
		rsa->inverse *= 2 - rsa->n.limb[0] * rsa->inverse;
	rsa->inverse = -rsa->inverse & LIMB_MASK;
	memset(&rsa->one, 0, sizeof(rsa->one));
	square(&rsa->one, &one, rsa);
	return rsa;
}

void
rsa_fast_free(struct rsa_fast *rsa)
{
	free(rsa);
}

struct cursor
rsa_fast_modulus(const struct rsa_fast *rsa)
{
	return (struct cursor){rsa->octets, rsa->len};
}

/* Not brought into Montgomery's form, the power is divided by R^65536; so is
 * what it is compared with. */
bool
rsa_fast_power(const struct rsa_fast *rsa, const unsigned char *value,
    const unsigned char *power_is)
{
	struct number x, power = {.limb = {0}}, want, out = {.limb = {0}};

	number_of(&x, value, rsa->len);
	number_of(&want, power_is, rsa->len);
	square(&power, &x, rsa);
	multiply(&power, &power, &x, rsa);
	multiply(&out, &want, &rsa->one, rsa);
	reduce(&power, rsa);
	reduce(&out, rsa);
	return compare(&power, &out) == 0;
}

/* ---- padding ------------------------------------------------------------- */

/* RFC 9580, 5.2.2: what stands before a digest (PKCS #1: DigestInfo). */
#define NIST 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02
static const struct {
	unsigned char hashalgo, digest, len, octets[19];
} infos[] = {
    {2, 20, 15,
	{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05,
	    0x00, 0x04, 0x14}},
    {8, 32, 19,
	{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, NIST, 0x01, 0x05, 0x00, 0x04,
	    0x20}},
    {9, 48, 19,
	{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, NIST, 0x02, 0x05, 0x00, 0x04,
	    0x30}},
    {10, 64, 19,
	{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, NIST, 0x03, 0x05, 0x00, 0x04,
	    0x40}},
    {11, 28, 19,
	{0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, NIST, 0x04, 0x05, 0x00, 0x04,
	    0x1c}},
};

/* RFC 8017, 9.2.  False: no such digest, or no room. */
static bool
pad(unsigned char *out, size_t room, unsigned hashalgo,
    const unsigned char *digest, size_t len)
{
	size_t i, n = sizeof(infos) / sizeof(infos[0]), at;

	for (i = 0; i < n && infos[i].hashalgo != hashalgo; i++)
		;
	if (i == n || infos[i].digest != len || room < infos[i].len + len + 11)
		return false;
	at = room - len - infos[i].len;
	memset(out, 0xff, at);
	out[0] = 0;
	out[1] = 1;
	out[at - 1] = 0;
	memcpy(out + at, infos[i].octets, infos[i].len);
	memcpy(out + at + infos[i].len, digest, len);
	return true;
}

bool
rsa_fast_good(const struct rsa_fast *rsa, unsigned hashalgo,
    const unsigned char *digest, size_t len, const unsigned char *value)
{
	unsigned char padded[OCTETS_MAX];

	return memcmp(value, rsa->octets, rsa->len) < 0 &&
	       pad(padded, rsa->len, hashalgo, digest, len) &&
	       rsa_fast_power(rsa, value, padded);
}

#else /* other processors */

struct rsa_fast *
rsa_fast_new(const unsigned char *n, size_t len)
{
	(void)n;
	(void)len;
	return NULL;
}

void
rsa_fast_free(struct rsa_fast *rsa)
{
	(void)rsa;
}

struct cursor
rsa_fast_modulus(const struct rsa_fast *rsa)
{
	(void)rsa;
	return (struct cursor){NULL, 0};
}

bool
rsa_fast_power(const struct rsa_fast *rsa, const unsigned char *value,
    const unsigned char *power_is)
{
	(void)rsa;
	(void)value;
	(void)power_is;
	return false;
}

bool
rsa_fast_good(const struct rsa_fast *rsa, unsigned hashalgo,
    const unsigned char *digest, size_t len, const unsigned char *value)
{
	(void)rsa;
	(void)hashalgo;
	(void)digest;
	(void)len;
	(void)value;
	return false;
}

#endif
