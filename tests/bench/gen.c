/*
 * gen: makes distinct, valid version 4 certificates for measurements.
 *
 *   gen [-a] [-u MORE] [-l LIST] FIRST N > CERTIFICATES
 *
 *   FIRST, N  numbers of the certificates; number I is always the same
 *   -a        armored, each in a block of its own
 *   -u MORE   each with so many user IDs more, signed later
 *   -l LIST   write a line for each: octets written, fingerprint, first user
 *             ID, with tabs between
 *
 * They are 2.2 KB each on average: mostly RSA of 4096 bits, with RSA of 3072
 * and Ed25519 among them, each with a subkey and one or two user IDs.  The
 * names follow Zipf's law, so that a few words are on very many keys.
 *
 * All signatures verify, and none is worth anything: each RSA modulus is one of
 * a few products of primes of 64 bits, with which a signature takes a few
 * microseconds, so that such keys differ by their creation time only.
 */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRIMES_MAX 64
#define POOL	   6
#define ED25519	   22
#define ECDH	   18
#define RSA	   1

typedef unsigned __int128 u128;

struct octets {
	unsigned char p[8192];
	size_t n;
};

struct modulus {
	size_t n; /* primes */
	uint64_t p[PRIMES_MAX];
	uint64_t inverse[PRIMES_MAX]; /* of p modulo 2^64 */
	uint64_t one[PRIMES_MAX];     /* 2^64 mod p: 1 in Montgomery's form */
	uint64_t square[PRIMES_MAX];  /* 2^128 mod p */
	uint64_t d[PRIMES_MAX];	      /* the secret exponent mod p - 1 */
	uint64_t pad[PRIMES_MAX];     /* what stands before the digest, mod p */
	uint64_t crt[PRIMES_MAX][PRIMES_MAX]; /* 1 / p[j] mod p[i], in form */
	unsigned char octets[PRIMES_MAX * 8];
};

struct key {
	int algorithm;
	const struct modulus *m; /* RSA */
	EVP_PKEY *ed;		 /* Ed25519 */
	uint32_t created;
	unsigned char fpr[20];
	struct octets body;
};

static struct modulus pool[POOL];

/* ---- numbers ------------------------------------------------------------- */

/* splitmix64 */
static uint64_t
random64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
below(uint64_t *state, uint64_t n)
{
	return (uint64_t)(((u128)random64(state) * n) >> 64);
}

static uint64_t
mulmod(uint64_t a, uint64_t b, uint64_t p)
{
	return (uint64_t)((u128)a * b % p);
}

/* a * b / 2^64 mod p (Montgomery), with inverse * p = 1 mod 2^64. */
static uint64_t
mont(uint64_t a, uint64_t b, uint64_t p, uint64_t inverse)
{
	u128 t = (u128)a * b;
	uint64_t high = (uint64_t)(t >> 64);
	uint64_t q = (uint64_t)(((u128)((uint64_t)t * inverse) * p) >> 64);

	return high >= q ? high - q : high - q + p;
}

/* Base and result in Montgomery's form. */
static uint64_t
mont_power(
    uint64_t base, uint64_t e, uint64_t one, uint64_t p, uint64_t inverse)
{
	uint64_t r = one;

	for (int bit = 63; bit >= 0; bit--) {
		r = mont(r, r, p, inverse);
		if (e >> bit & 1)
			r = mont(r, base, p, inverse);
	}
	return r;
}

static uint64_t
power(uint64_t base, uint64_t e, uint64_t p)
{
	uint64_t r = 1;

	for (; e != 0; e >>= 1, base = mulmod(base, base, p))
		if (e & 1)
			r = mulmod(r, base, p);
	return r;
}

/* Miller and Rabin; the first twelve primes decide below 2^64. */
static bool
is_prime(uint64_t n)
{
	static const unsigned witness[] = {
	    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
	uint64_t d = n - 1;
	int twos = 0;

	for (; d % 2 == 0; d /= 2)
		twos++;
	for (size_t i = 0; i < 12; i++) {
		uint64_t x;
		int k;

		if (n % witness[i] == 0)
			return n == witness[i];
		x = power(witness[i], d, n);
		for (k = 0; k < twos && x != n - 1; k++) {
			if (k == 0 && x == 1)
				break;
			x = mulmod(x, x, n);
		}
		if (k == twos || (k > 0 && x == 1))
			return false;
	}
	return true;
}

/* 1 / a mod p, for a below p and without a common factor. */
static uint64_t
invert(uint64_t a, uint64_t p)
{
	__int128 r0 = p, r1 = a, t0 = 0, t1 = 1;

	while (r1 != 0) {
		__int128 q = r0 / r1, r = r0 - q * r1, t = t0 - q * t1;

		r0 = r1;
		r1 = r;
		t0 = t1;
		t1 = t;
	}
	return (uint64_t)(t0 < 0 ? t0 + p : t0);
}

/* number[n] (least limb first) = number * factor + more. */
static void
multiply(uint64_t *number, size_t n, uint64_t factor, uint64_t more)
{
	for (size_t i = 0; i < n; i++) {
		u128 t = (u128)number[i] * factor + more;

		number[i] = (uint64_t)t;
		more = (uint64_t)(t >> 64);
	}
}

static void
to_octets(unsigned char *out, const uint64_t *number, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < 8; j++)
			out[8 * (n - 1 - i) + j] =
			    (unsigned char)(number[i] >> (56 - 8 * j));
}

/* ---- RSA ----------------------------------------------------------------- */

/* What EMSA-PKCS1-v1_5 puts before a SHA-256 digest (RFC 8017, 9.2). */
static void
encoding(unsigned char *em, size_t len)
{
	static const unsigned char info[] = {0x00, 0x30, 0x31, 0x30, 0x0d, 0x06,
	    0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
	    0x00, 0x04, 0x20};

	memset(em, 0xff, len);
	em[0] = 0;
	em[1] = 1;
	memcpy(em + len - 32 - sizeof(info), info, sizeof(info));
	memset(em + len - 32, 0, 32);
}

static bool
usable(const struct modulus *m, size_t i)
{
	uint64_t p = m->p[i];

	for (size_t j = 0; j < i; j++)
		if (m->p[j] == p)
			return false;
	return (p - 1) % 65537 != 0 && is_prime(p);
}

static void
prime_setup(struct modulus *m, size_t i, const unsigned char *em)
{
	uint64_t p = m->p[i], x = p, pad = 0;

	for (int k = 0; k < 6; k++)
		x *= 2 - p * x; /* Newton, from 3 good bits */
	m->inverse[i] = x;
	m->one[i] = (uint64_t)(((u128)1 << 64) % p);
	m->square[i] = mulmod(m->one[i], m->one[i], p);
	m->d[i] = invert(65537, p - 1);
	for (size_t k = 0; k < m->n * 8; k++)
		pad = (uint64_t)(((u128)pad << 8 | em[k]) % p);
	m->pad[i] = pad;
	for (size_t j = 0; j < i; j++)
		m->crt[i][j] =
		    mulmod(invert(m->p[j] >= p ? m->p[j] - p : m->p[j], p),
			m->one[i], p);
}

static void
modulus_make(struct modulus *m, unsigned bits, uint64_t seed)
{
	unsigned char em[PRIMES_MAX * 8];
	uint64_t number[PRIMES_MAX] = {1};

	m->n = bits / 64;
	encoding(em, bits / 8);
	for (size_t i = 0; i < m->n; i++) {
		/* Near 2^64, so that the product has all its bits. */
		do
			m->p[i] = random64(&seed) | 0xff80000000000001u;
		while (!usable(m, i));
		prime_setup(m, i, em);
		multiply(number, m->n, m->p[i], 0);
	}
	to_octets(m->octets, number, m->n);
}

/* The signature of a digest: by each prime, then together (Garner). */
static void
rsa_sign(
    const struct modulus *m, const unsigned char digest[32], unsigned char *out)
{
	uint64_t limb[4], digit[PRIMES_MAX], number[PRIMES_MAX] = {0};

	for (size_t i = 0; i < 4; i++) {
		limb[i] = 0;
		for (size_t j = 0; j < 8; j++)
			limb[i] = limb[i] << 8 | digest[8 * i + j];
	}
	for (size_t i = 0; i < m->n; i++) {
		uint64_t p = m->p[i], inv = m->inverse[i], x = 0;

		for (size_t k = 0; k < 4; k++)
			x = (uint64_t)(((u128)x << 64 | limb[k]) % p);
		x = (uint64_t)(((u128)x + m->pad[i]) % p);
		x = mont_power(
		    mont(x, m->square[i], p, inv), m->d[i], m->one[i], p, inv);
		x = mont(x, 1, p, inv);
		for (size_t j = 0; j < i; j++) {
			uint64_t v = digit[j] >= p ? digit[j] - p : digit[j];

			x = x >= v ? x - v : x - v + p;
			x = mont(x, m->crt[i][j], p, inv);
		}
		digit[i] = x;
	}
	for (size_t i = m->n; i-- > 0;)
		multiply(number, m->n, m->p[i], digit[i]);
	to_octets(out, number, m->n);
}

/* ---- packets ------------------------------------------------------------- */

static void
put(struct octets *o, const void *p, size_t n)
{
	if (o->n + n > sizeof(o->p))
		errx(1, "too large");
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

/* The low n octets of a number, the highest first. */
static void
put_number(struct octets *o, uint64_t number, size_t n)
{
	while (n-- > 0)
		put(o, &(unsigned char){(unsigned char)(number >> (8 * n))}, 1);
}

static void
put_mpi(struct octets *o, const unsigned char *p, size_t n)
{
	unsigned bits;

	while (n > 1 && *p == 0) {
		p++;
		n--;
	}
	bits = (unsigned)n * 8;
	for (unsigned bit = 0x80; bit > 1 && !(*p & bit); bit >>= 1)
		bits--;
	put_number(o, bits, 2);
	put(o, p, n);
}

/* With the old header, and two octets of length when one is not enough. */
static void
put_packet(struct octets *o, unsigned tag, const void *body, size_t n)
{
	put_number(o, 0x80 | tag << 2 | (n > 255), 1);
	put_number(o, n, n > 255 ? 2 : 1);
	put(o, body, n);
}

static void
put_subpacket(struct octets *o, unsigned type, const void *body, size_t n)
{
	put_number(o, n + 1, 1);
	put_number(o, type, 1);
	put(o, body, n);
}

/* ---- keys ---------------------------------------------------------------- */

static void
key_hashed(struct octets *o, const struct key *k)
{
	put_number(o, 0x99, 1);
	put_number(o, k->body.n, 2);
	put(o, k->body.p, k->body.n);
}

static void
put_point(struct key *k, const char *oid, size_t oidlen, unsigned char raw[33])
{
	put_number(&k->body, oidlen, 1);
	put(&k->body, oid, oidlen);
	raw[0] = 0x40;
	put_mpi(&k->body, raw, 33);
}

static void
key_curve(struct key *k, uint64_t *state)
{
	unsigned char seed[32], raw[33];
	size_t len = 32;

	for (size_t i = 0; i < 4; i++) {
		uint64_t r = random64(state);

		memcpy(seed + 8 * i, &r, 8);
	}
	if (k->algorithm == ECDH) {
		memcpy(raw + 1, seed, 32);
		put_point(k, "\x2b\6\1\4\1\x97\x55\1\5\1", 10, raw);
		put(&k->body, "\3\1\10\7", 4); /* SHA-256, AES-128 */
		return;
	}
	k->ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (k->ed == NULL ||
	    EVP_PKEY_get_raw_public_key(k->ed, raw + 1, &len) != 1)
		errx(1, "Ed25519");
	put_point(k, "\x2b\6\1\4\1\xda\x47\x0f\1", 9, raw);
}

static void
key_make(struct key *k, int algorithm, const struct modulus *m,
    uint32_t created, uint64_t *state)
{
	struct octets hashed = {.n = 0};

	*k = (struct key){.algorithm = algorithm, .m = m, .created = created};
	put_number(&k->body, 4, 1);
	put_number(&k->body, created, 4);
	put_number(&k->body, (uint64_t)algorithm, 1);
	if (algorithm == RSA) {
		put_mpi(&k->body, m->octets, m->n * 8);
		put_mpi(&k->body, (const unsigned char *)"\1\0\1", 3);
	} else {
		key_curve(k, state);
	}
	key_hashed(&hashed, k);
	SHA1(hashed.p, hashed.n, k->fpr);
}

static void
put_signed(
    struct octets *body, const struct key *k, const unsigned char digest[32])
{
	unsigned char out[PRIMES_MAX * 8];
	size_t len = 64;
	EVP_MD_CTX *ctx;

	if (k->algorithm == RSA) {
		rsa_sign(k->m, digest, out);
		put_mpi(body, out, k->m->n * 8);
		return;
	}
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->ed) != 1 ||
	    EVP_DigestSign(ctx, out, &len, digest, 32) != 1)
		errx(1, "Ed25519");
	EVP_MD_CTX_free(ctx);
	put_mpi(body, out, 32);
	put_mpi(body, out + 32, 32);
}

/* A self-signature of version 4 over `data`, which it adds itself to. */
static void
put_signature(struct octets *out, const struct key *k, unsigned type,
    uint32_t time, unsigned flags, struct octets *data)
{
	struct octets body = {.n = 0}, area = {.n = 0};
	unsigned char fpr[21] = {4}, created[4], digest[32], flag[1];
	size_t hashed;

	memcpy(fpr + 1, k->fpr, 20);
	for (int i = 0; i < 4; i++)
		created[i] = (unsigned char)(time >> (24 - 8 * i));
	flag[0] = (unsigned char)flags;
	put_subpacket(&area, 33, fpr, 21);
	put_subpacket(&area, 2, created, 4);
	put_subpacket(&area, 27, flag, 1);
	if (type == 0x13) {
		put_subpacket(&area, 11, "\11\10\7\2", 4);
		put_subpacket(&area, 21, "\12\11\10\13\2", 5);
		put_subpacket(&area, 22, "\2\3\1", 3);
		put_subpacket(&area, 30, "\1", 1);
	}
	put_number(&body, 4, 1);
	put_number(&body, type, 1);
	put_number(&body, (uint64_t)k->algorithm, 1);
	put_number(&body, 8, 1); /* SHA-256 */
	put_number(&body, area.n, 2);
	put(&body, area.p, area.n);
	hashed = body.n;

	put(data, body.p, hashed);
	put_number(data, 0x04ff, 2);
	put_number(data, hashed, 4);
	SHA256(data->p, data->n, digest);

	put_number(&body, 10, 2);
	put_subpacket(&body, 16, k->fpr + 12, 8);
	put(&body, digest, 2);
	put_signed(&body, k, digest);
	put_packet(out, 2, body.p, body.n);
}

/* ---- certificates -------------------------------------------------------- */

/* One of the numbers below n: k with a weight of 1 / (k + 4), about. */
static uint64_t
zipf(uint64_t *state, uint64_t n)
{
	/* 4 * ((n + 4) / 4) ^ u - 4, by halving u bit by bit. */
	double factor = (double)(n + 4) / 4, x = 4;
	uint64_t u = random64(state), k;

	for (int bit = 63; bit >= 40; bit--) {
		double root = factor / 2 + 0.5;

		for (int i = 0; i < 20; i++)
			root = (root + factor / root) / 2;
		factor = root;
		if (u >> bit & 1)
			x *= factor;
	}
	k = (uint64_t)(x - 4);
	return k < n ? k : n - 1;
}

/* A word that is this number and no other. */
static void
word(char *out, uint64_t number)
{
	static const char first[] = "bdfgklmnprstvz", second[] = "aeiou";
	size_t n = 0;

	number += 14 * 5; /* two syllables at least */
	for (; number > 0 && n < 20; number /= 14 * 5) {
		out[n++] = first[number % 14];
		out[n++] = second[number / 14 % 5];
	}
	out[n] = '\0';
}

static size_t
user_id(char *out, size_t size, uint64_t number, unsigned which)
{
	uint64_t state = number * 31 + which;
	char given[24], family[24], host[24], more[16] = "";
	int n;

	word(given, zipf(&state, 2000));
	word(family, 2000 + zipf(&state, 200000));
	word(host, 300000 + zipf(&state, 5000));
	/* Two of one certificate are never the same. */
	if (which > 0)
		(void)snprintf(more, sizeof(more), "-%u", which);
	n = snprintf(out, size, "%c%s %c%s <%s.%llu%s@%s.example>",
	    given[0] - 'a' + 'A', given + 1, family[0] - 'a' + 'A', family + 1,
	    given, (unsigned long long)number, more, host);
	return (size_t)n;
}

static void
put_user_id(
    struct octets *out, const struct key *k, uint64_t number, unsigned which)
{
	struct octets data = {.n = 0};
	char text[200];
	size_t n = user_id(text, sizeof(text), number, which);

	put_packet(out, 13, text, n);
	key_hashed(&data, k);
	put_number(&data, 0xb4, 1);
	put_number(&data, n, 4);
	put(&data, text, n);
	put_signature(out, k, 0x13, k->created + which * 86400u, 3, &data);
}

static void
put_subkey(struct octets *out, const struct key *k, const struct key *sub)
{
	struct octets data = {.n = 0};

	put_packet(out, 14, sub->body.p, sub->body.n);
	key_hashed(&data, k);
	key_hashed(&data, sub);
	put_signature(out, k, 0x18, sub->created, 0x0c, &data);
}

static void
certificate(
    uint64_t number, unsigned more, struct octets *out, unsigned char fpr[20])
{
	uint64_t state = number ^ 0x6d61696c6b657964u;
	unsigned kind = (unsigned)below(&state, 100), nids;
	const struct modulus *m = NULL, *subm = NULL;
	/* Another one for each number below 2^29. */
	uint32_t created =
	    1104537600u + ((uint32_t)number * 2246822519u & 0x1fffffff);
	struct key primary, sub;

	if (kind >= 25)
		m = &pool[2 + below(&state, 4)];
	else if (kind >= 10)
		m = &pool[below(&state, 2)];
	if (m != NULL)
		subm = m == &pool[0]   ? &pool[1]
		       : m == &pool[1] ? &pool[0]
		       : m == &pool[5] ? &pool[2]
				       : m + 1;
	nids = kind < 10 || kind >= 70 ? 2 : 1;
	key_make(&primary, m != NULL ? RSA : ED25519, m, created, &state);
	key_make(&sub, m != NULL ? RSA : ECDH, subm, created + 1, &state);
	put_packet(out, 6, primary.body.p, primary.body.n);
	for (unsigned i = 0; i < nids + more; i++)
		put_user_id(out, &primary, number, i);
	put_subkey(out, &primary, &sub);
	memcpy(fpr, primary.fpr, 20);
	EVP_PKEY_free(primary.ed);
}

/* The checksum of RFC 9580, 6.1. */
static unsigned long
crc24(const unsigned char *p, size_t n)
{
	unsigned long crc = 0xb704ce;

	while (n-- > 0) {
		crc ^= (unsigned long)*p++ << 16;
		for (int i = 0; i < 8; i++)
			crc = crc << 1 ^ (crc & 0x800000 ? 0x1864cfb : 0);
	}
	return crc & 0xffffff;
}

/* Returns the octets written. */
static size_t
armor(const struct octets *o)
{
	unsigned char text[65];
	unsigned long crc = crc24(o->p, o->n);
	unsigned char sum[3] = {(unsigned char)(crc >> 16),
	    (unsigned char)(crc >> 8), (unsigned char)crc};
	int n = printf("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n");

	for (size_t i = 0; i < o->n; i += 48) {
		EVP_EncodeBlock(
		    text, o->p + i, (int)(o->n - i < 48 ? o->n - i : 48));
		n += printf("%s\n", text);
	}
	EVP_EncodeBlock(text, sum, 3);
	n += printf("=%s\n-----END PGP PUBLIC KEY BLOCK-----\n", text);
	return (size_t)n;
}

static void
list(FILE *f, uint64_t number, size_t n, const unsigned char fpr[20])
{
	char text[200];

	user_id(text, sizeof(text), number, 0);
	fprintf(f, "%zu\t", n);
	for (int i = 0; i < 20; i++)
		fprintf(f, "%02X", fpr[i]);
	fprintf(f, "\t%s\n", text);
}

static void __attribute__((noreturn)) usage(void)
{
	errx(2, "usage: gen [-a] [-u MORE] [-l LIST] FIRST N");
}

/* Returns the octets written. */
static size_t
write_out(const struct octets *out, bool armored)
{
	if (armored)
		return armor(out);
	return fwrite(out->p, 1, out->n, stdout);
}

int
main(int argc, char **argv)
{
	uint64_t first, n;
	FILE *to = NULL;
	unsigned more = 0;
	bool armored = false;
	int c;

	while ((c = getopt(argc, argv, "al:u:")) != -1) {
		if (c == 'a')
			armored = true;
		else if (c == 'u')
			more = (unsigned)strtoul(optarg, NULL, 10);
		else if (c != 'l' || (to = fopen(optarg, "w")) == NULL)
			usage();
	}
	if (argc - optind != 2)
		usage();
	first = strtoull(argv[optind], NULL, 10);
	n = strtoull(argv[optind + 1], NULL, 10);
	for (unsigned i = 0; i < POOL; i++)
		modulus_make(&pool[i], i < 2 ? 3072 : 4096, i + 1);
	for (uint64_t i = first; i < first + n; i++) {
		struct octets out = {.n = 0};
		unsigned char fpr[20];
		size_t len;

		certificate(i, more, &out, fpr);
		len = write_out(&out, armored);
		if (to != NULL)
			list(to, i, len, fpr);
	}
	if (fflush(stdout) != 0 || ferror(stdout) ||
	    (to != NULL && fclose(to) != 0))
		err(1, "write");
	return 0;
}
