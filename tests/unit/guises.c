/*
 * One genuine signature in a thousand guises, all of which verify: a stranger
 * must not grow a certificate by what is not signed.
 */
#include "pgp/internal.h"
#include "tests/unit/pgp_octets.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#define GUISES 1000 /* of each signature */

static size_t
u16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void
put_u16(FILE *f, size_t v)
{
	putc((int)(v >> 8 & 255), f);
	putc((int)(v & 255), f);
}

/* ---- judged and cleaned -------------------------------------------------- */

static void
judge(struct pgp_verifier *v, struct pgp_claim *c)
{
	struct pgp_packet primary = {.tag = PGP_TAG_PUBLIC_KEY,
	    .body = c->primary->body,
	    .len = c->primary->len};
	struct pgp_packet on = {0}, sig = {.tag = PGP_TAG_SIGNATURE,
					.body = c->sig->packet + c->sig->body,
					.len = c->sig->len - c->sig->body};

	if (c->on != c->primary)
		on = (struct pgp_packet){.tag = component_tag(c->on),
		    .body = c->on->body,
		    .len = c->on->len};
	c->sig->verified = pgp_claim_verify(v, &primary, &on, &sig) == PGP_GOOD;
}

/* What would be stored of it, where `stored` (may be NULL) is. */
static struct pgp_cert *
taken(struct pgp_blob b, const struct pgp_cert *stored, size_t *asked)
{
	struct pgp_verifier *v = pgp_verifier_new();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = parse(b, &left);
	struct pgp_claim *claims;

	assert_non_null(v);
	if (stored != NULL)
		pgp_cert_known(cert, stored);
	claims = pgp_cert_claims(cert, &pgp_policy_default, &left, asked);
	for (size_t i = 0; i < *asked; i++)
		judge(v, &claims[i]);
	free(claims);
	pgp_verifier_free(v);
	pgp_cert_clean(cert, &pgp_policy_default, &left);
	return cert;
}

static void
assert_same(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_blob x, y;

	assert_int_equal(pgp_cert_octets(a, &x), PGP_OK);
	assert_int_equal(pgp_cert_octets(b, &y), PGP_OK);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	pgp_blob_free(&x, false);
	pgp_blob_free(&y, false);
}

/* ---- guises -------------------------------------------------------------- */

/* The order of a curve less a number, in as many octets as the order has. */
static size_t
order_less(int nid, const unsigned char *s, size_t len, unsigned char *out)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(nid);
	BIGNUM *n = BN_bin2bn(s, (int)len, NULL);
	size_t size;

	assert_non_null(group);
	assert_non_null(n);
	assert_int_equal(BN_sub(n, EC_GROUP_get0_order(group), n), 1);
	size = (size_t)BN_num_bytes(EC_GROUP_get0_order(group));
	assert_int_equal(BN_bn2binpad(n, out, (int)size), size);
	BN_free(n);
	EC_GROUP_free(group);
	return size;
}

/* An MPI with so many zeros before it; *p moves behind it. */
static void
put_mpi(FILE *f, const unsigned char **p, int nid, size_t zeros)
{
	size_t len = (u16(*p) + 7) / 8;
	const unsigned char *octets = *p + 2;
	unsigned char less[ECDSA_MAX];

	*p += 2 + len;
	if (nid != 0) {
		len = order_less(nid, octets, len, less);
		octets = less;
	}
	put_u16(f, (zeros + len) * 8);
	for (size_t i = 0; i < zeros; i++)
		putc(0, f);
	fwrite(octets, 1, len, f);
}

/* The i-th guise of a v4 signature; nid: of ECDSA's curve, 0: another key. */
static void
write_guise(struct row *row, const struct pgp_packet *p, int nid, unsigned i)
{
	const unsigned char *b = p->body, *value;
	size_t hashed = 6 + u16(b + 4), unhashed = u16(b + hashed);
	struct pgp_blob body;
	struct row one;

	value = b + hashed + 2 + unhashed + 2;
	row_open(&one);
	fwrite(b, 1, hashed, one.f);
	put_u16(one.f, unhashed + 4);
	fwrite("\3\x64", 1, 2, one.f); /* private use */
	put_u16(one.f, i);
	fwrite(b + hashed + 2, 1, unhashed, one.f);
	put_u16(one.f, i); /* the left 16 bits */
	put_mpi(one.f, &value, 0, i % 3);
	if (b[2] != 1)
		put_mpi(one.f, &value, i % 2 == 1 ? nid : 0, i % 4);
	assert_ptr_equal(value, b + p->len);
	body = row_close(&one);
	row_packet(row, PGP_TAG_SIGNATURE, body.data, body.len);
	pgp_blob_free(&body, false);
}

static struct pgp_blob
guises_of(struct pgp_blob plain, int nid, unsigned n)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet p;
	struct row row;
	size_t pos = 0;

	row_open(&row);
	while (pgp_packet_read(plain.data, plain.len, &pos, &joined, &p) ==
	       PGP_OK) {
		row_packet(&row, p.tag, p.body, p.len);
		for (unsigned i = 0; p.tag == PGP_TAG_SIGNATURE && i < n; i++)
			write_guise(&row, &p, nid, i);
	}
	pgp_blob_free(&joined, false);
	return row_close(&row);
}

struct case_guise {
	const char *name, *file;
	int nid;
};

static const struct case_guise guises[] = {
    {"EdDSA, with back-signatures", "alice.asc", 0},
    {"RSA, with back-signatures", "bob.asc", 0},
    {"DSA", "debian-dsa-elgamal.asc", 0},
    {"ECDSA, P-256", "dave-expired.asc", NID_X9_62_prime256v1},
    {"ECDSA, P-384", "debian-ecdsa-photo.asc", NID_secp384r1},
};
#define CASES (sizeof(guises) / sizeof(*guises))

static void
thousand_guises(void **state)
{
	const struct case_guise *c = *state;
	struct pgp_blob plain = octets_of_key(c->file);
	struct pgp_blob many = guises_of(plain, c->nid, GUISES);
	struct pgp_cert *stored, *cert;
	struct pgp_added added;
	size_t asked, all;

	assert_true(many.len > plain.len * 10);
	stored = taken(plain, NULL, &all);
	assert_true(all > 1);
	/* Nothing was stored: the same is, and nothing is judged twice. */
	cert = taken(many, NULL, &asked);
	assert_int_equal(asked, all);
	assert_same(cert, stored);
	pgp_cert_free(cert);
	/* What is stored stays, and costs nothing. */
	cert = taken(many, stored, &asked);
	assert_int_equal(asked, 0);
	assert_int_equal(
	    pgp_cert_merge(cert, stored, &pgp_policy_default, &added), PGP_OK);
	assert_same(cert, stored);
	pgp_cert_free(cert);
	pgp_cert_free(stored);
	pgp_blob_free(&plain, false);
	pgp_blob_free(&many, false);
}

/* ---- ECDSA --------------------------------------------------------------- */

static const struct {
	int nid;
	const char *oid;
} curves[] = {{NID_X9_62_prime256v1, "08 2a8648ce3d030107"},
    {NID_secp384r1, "05 2b81040022"}, {NID_secp521r1, "05 2b81040023"},
    {NID_secp256k1, "05 2b8104000a"},
    {NID_brainpoolP256r1, "09 2b2403030208010107"},
    {NID_brainpoolP384r1, "09 2b240303020801010b"},
    {NID_brainpoolP512r1, "09 2b240303020801010d"}};

/* The smaller of s and n - s, as a number of OpenSSL's. */
static void
check_smaller(
    const struct pgp_component *key, const BIGNUM *s, const BIGNUM *want)
{
	unsigned char octets[ECDSA_MAX + 1], out[ECDSA_MAX];
	struct cursor c = {octets, sizeof(octets)}, got;
	BIGNUM *n;

	assert_int_equal(
	    BN_bn2binpad(s, octets, sizeof(octets)), sizeof(octets));
	got = ecdsa_smaller(key, c, out);
	assert_true(got.len == 0 || got.p[0] != 0);
	n = BN_bin2bn(got.p, (int)got.len, NULL);
	assert_int_equal(BN_cmp(n, want), 0);
	BN_free(n);
}

static void
smaller_of_two(void **state)
{
	unsigned char body[32] = {4, 0, 0, 0, 0, 19};
	struct pgp_component key = {.body = body, .version = 4, .pkalgo = 19};
	BIGNUM *s = BN_new(), *t = BN_new();
	EC_GROUP *group;
	const BIGNUM *n;

	(void)state;
	for (size_t i = 0; i < sizeof(curves) / sizeof(*curves); i++) {
		key.len = 6 + octets_of_hex(curves[i].oid, body + 6, 26);
		group = EC_GROUP_new_by_curve_name(curves[i].nid);
		n = EC_GROUP_get0_order(group);
		BN_one(s);
		BN_sub(t, n, s);
		check_smaller(&key, s, s);
		check_smaller(&key, t, s);
		BN_rshift1(s, n); /* (n - 1) / 2, and one more */
		BN_sub(t, n, s);
		assert_int_equal(BN_cmp(s, t), -1);
		check_smaller(&key, s, s);
		check_smaller(&key, t, s);
		/* Not below n: no such signature verifies. */
		BN_zero(s);
		check_smaller(&key, s, s);
		check_smaller(&key, n, n);
		BN_add(s, n, BN_value_one());
		check_smaller(&key, s, s);
		/* Another curve, and a key packet that is too short. */
		BN_sub(t, n, BN_value_one());
		body[8] ^= 1;
		check_smaller(&key, t, t);
		body[8] ^= 1;
		key.len--;
		check_smaller(&key, t, t);
		EC_GROUP_free(group);
	}
	BN_free(s);
	BN_free(t);
}

/* ---- RSA ----------------------------------------------------------------- */

/* s, s + n, s + 2n ... of each signature of bob's: none but s is taken, be it
 * alone or among the others. */
static struct pgp_blob
with_multiples(const struct pgp_blob *plain, bool genuine)
{
	struct pgp_cert *bob = cert_of_key("bob.asc");
	const unsigned char *n = bob->components[0].body + 6, *value;
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet p;
	struct row row;
	size_t pos = 0, len;
	unsigned char body[2048];
	BIGNUM *modulus = BN_bin2bn(n + 2, (u16(n) + 7) / 8, NULL), *s;

	row_open(&row);
	while (pgp_packet_read(plain->data, plain->len, &pos, &joined, &p) ==
	       PGP_OK) {
		if (p.tag != PGP_TAG_SIGNATURE || genuine)
			row_packet(&row, p.tag, p.body, p.len);
		if (p.tag != PGP_TAG_SIGNATURE)
			continue;
		len = 8 + u16(p.body + 4);
		len += u16(p.body + len - 2) + 2;
		value = p.body + len;
		s = BN_bin2bn(value + 2, (u16(value) + 7) / 8, NULL);
		for (unsigned i = 0; i < 100; i++) {
			BN_add(s, s, modulus);
			memcpy(body, p.body, len);
			body[len] = (unsigned char)(BN_num_bits(s) >> 8);
			body[len + 1] = (unsigned char)BN_num_bits(s);
			row_packet(&row, p.tag, body,
			    len + 2 + (size_t)BN_bn2bin(s, body + len + 2));
		}
		BN_free(s);
	}
	BN_free(modulus);
	pgp_blob_free(&joined, false);
	pgp_cert_free(bob);
	return row_close(&row);
}

static void
multiples_of_the_modulus(void **state)
{
	struct pgp_blob plain = octets_of_key("bob.asc");
	struct pgp_blob many = with_multiples(&plain, true);
	struct pgp_blob alone = with_multiples(&plain, false);
	struct pgp_cert *stored, *cert;
	size_t asked, all;

	(void)state;
	stored = taken(plain, NULL, &all);
	cert = taken(many, NULL, &asked);
	assert_int_equal(asked, all);
	assert_same(cert, stored);
	pgp_cert_free(cert);
	cert = taken(alone, NULL, &asked);
	assert_int_equal(asked, 0);
	assert_int_equal(cert->ncomponents, 1);
	pgp_cert_free(cert);
	pgp_cert_free(stored);
	pgp_blob_free(&plain, false);
	pgp_blob_free(&many, false);
	pgp_blob_free(&alone, false);
}

static void
below_the_modulus(void **state)
{
	/* n = 0x0100, with and without a zero before it */
	static const unsigned char bodies[][16] = {
	    {4, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 2, 3},
	    {4, 0, 0, 0, 0, 3, 0, 17, 0, 1, 0, 0, 2, 3},
	    {3, 0, 0, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 2, 3}};
	static const unsigned char max[] = {0, 0xff}, n[] = {1, 0},
				   more[] = {1, 0, 0};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct pgp_component key = {.len = sizeof(bodies[i]),
		    .body = (unsigned char *)(uintptr_t)bodies[i],
		    .version = bodies[i][0],
		    .pkalgo = 1};

		assert_true(rsa_fits(&key, (struct cursor){max, 2}));
		assert_false(rsa_fits(&key, (struct cursor){n, 2}));
		assert_false(rsa_fits(&key, (struct cursor){more, 3}));
		key.pkalgo = 17;
		assert_true(rsa_fits(&key, (struct cursor){more, 3}));
		key.pkalgo = 1;
		key.body = NULL;
		assert_true(rsa_fits(&key, (struct cursor){more, 3}));
	}
}

/* ---- others' user IDs ---------------------------------------------------- */

/* A user ID of Eve's with a copy of alice's signature, before and behind. */
static void
copied_signature(void **state)
{
	struct pgp_blob plain = octets_of_key("alice.asc"), bent;
	struct pgp_cert *alice = cert_of_key("alice.asc"), *stored, *cert;
	const struct pgp_component *c = &alice->components[1];
	struct pgp_added added;
	struct row row;
	size_t asked;

	(void)state;
	stored = taken(plain, NULL, &asked);
	for (int behind = 0; behind < 2; behind++) {
		row_open(&row);
		row_primary(&row, alice);
		if (behind)
			fwrite(plain.data + 53, 1, plain.len - 53, row.f);
		row_packet(&row, PGP_TAG_USERID, "Eve <eve@example.org>", 21);
		for (size_t i = 0; i < c->nsigs; i++)
			fwrite(c->sigs[i]->packet, 1, c->sigs[i]->len, row.f);
		if (!behind)
			fwrite(plain.data + 53, 1, plain.len - 53, row.f);
		bent = row_close(&row);
		cert = taken(bent, NULL, &asked);
		assert_same(cert, stored);
		pgp_cert_free(cert);
		cert = taken(bent, stored, &asked);
		assert_int_equal(asked, c->nsigs);
		assert_int_equal(
		    pgp_cert_merge(stored, cert, &pgp_policy_default, &added),
		    PGP_OK);
		assert_same(cert, stored);
		assert_int_equal(added.userids, 0);
		pgp_cert_free(cert);
		pgp_blob_free(&bent, false);
	}
	pgp_blob_free(&plain, false);
	pgp_cert_free(stored);
	pgp_cert_free(alice);
}

int
main(void)
{
	struct CMUnitTest tests[CASES + 4] = {cmocka_unit_test(smaller_of_two),
	    cmocka_unit_test(multiples_of_the_modulus),
	    cmocka_unit_test(below_the_modulus),
	    cmocka_unit_test(copied_signature)};
	size_t i, n = 4;

	for (i = 0; i < CASES; i++)
		tests[n++] = (struct CMUnitTest){guises[i].name,
		    thousand_guises, NULL, NULL, (void *)(uintptr_t)&guises[i]};
	return _cmocka_run_group_tests("guises", tests, n, NULL, NULL);
}
