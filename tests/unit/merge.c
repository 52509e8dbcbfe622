/*
 * Merging: a set union, whatever the order, the splitting and the repetition;
 * and what caps do to it.
 */
#include "tests/unit/pgp_octets.h"

#define BY_ALICE "09 10 05E825E4425612B5"
#define LATER	 1577881000u

static const struct pgp_policy *const policy = &pgp_policy_default;

static struct pgp_blob
octets_of_cert(const struct pgp_cert *cert)
{
	struct pgp_blob b;

	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	return b;
}

static void
assert_same(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_blob x = octets_of_cert(a), y = octets_of_cert(b);

	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	pgp_blob_free(&x, false);
	pgp_blob_free(&y, false);
}

static struct pgp_cert *
merged(const struct pgp_cert *into, const struct pgp_cert *from)
{
	struct pgp_cert *cert = pgp_cert_dup(into);
	struct pgp_added added;

	assert_non_null(cert);
	assert_int_equal(pgp_cert_merge(cert, from, policy, &added), PGP_OK);
	return cert;
}

static struct pgp_cert *
cleaned(struct pgp_blob b)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = parse(b, &left);

	verify_all(cert);
	pgp_cert_clean(cert, policy, &left);
	return cert;
}

/* ---- chance -------------------------------------------------------------- */

static uint64_t seed;

/* xorshift64: the same numbers in every run. */
static unsigned
chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static size_t
u16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

/*
 * A signature with a stranger's unhashed subpackets and, when `value`, an end
 * of its value that is not the same: as ECDSA's n - s is.
 */
static void
write_variant(struct row *row, const struct pgp_signature *sig, bool value)
{
	const unsigned char *b = sig->packet + sig->body;
	size_t hashed = 6 + u16(b + 4), rest, n = chance(20);
	struct pgp_blob body;
	struct row one;

	if (sig->version != 4) {
		fwrite(sig->packet, 1, sig->len, row->f);
		return;
	}
	rest = hashed + 2 + u16(b + hashed);
	row_open(&one);
	fwrite(b, 1, hashed, one.f);
	fputc(0, one.f);
	fputc((int)(u16(b + hashed) + n + 2), one.f);
	fwrite(b + hashed + 2, 1, rest - hashed - 2, one.f);
	fputc((int)n + 1, one.f);
	fputc(100, one.f);
	while (n-- > 0)
		fputc((int)chance(256), one.f);
	fwrite(b + rest, 1, sig->len - sig->body - rest - 1, one.f);
	fputc(value ? (int)chance(4) : b[sig->len - sig->body - 1], one.f);
	body = row_close(&one);
	row_packet(row, PGP_TAG_SIGNATURE, body.data, body.len);
	pgp_blob_free(&body, false);
}

static void
write_some_signatures(
    struct row *row, const struct pgp_component *c, bool values)
{
	const struct pgp_signature *sig;
	unsigned i, n = (unsigned)c->nsigs;

	/* Some of them, in any order, some more than once. */
	for (i = 0; n > 0 && i < 1 + chance(2 * n); i++) {
		sig = c->sigs[chance(n)];
		if (chance(3) == 0 && u16(sig->packet + sig->body + 4) < 60)
			write_variant(row, sig, values);
		else
			fwrite(sig->packet, 1, sig->len, row->f);
	}
}

/* A certificate of some parts of another, in any order. */
static struct pgp_cert *
piece(const struct pgp_cert *whole, bool values)
{
	const struct pgp_component *c = &whole->components[0];
	unsigned i, n = (unsigned)whole->ncomponents;
	struct pgp_cert *cert;
	struct pgp_blob b;
	struct row row;
	unsigned tags[] = {PGP_TAG_PUBLIC_KEY, PGP_TAG_USERID,
	    PGP_TAG_ATTRIBUTE, PGP_TAG_PUBLIC_SUBKEY};

	row_open(&row);
	row_packet(&row, PGP_TAG_PUBLIC_KEY, c->body, c->len);
	write_some_signatures(&row, c, values);
	for (i = 0; i < chance(2 * n); i++) {
		c = &whole->components[chance(n)];
		if (c->kind == PGP_PRIMARY)
			continue;
		row_packet(&row, tags[c->kind], c->body, c->len);
		write_some_signatures(&row, c, values);
	}
	b = row_close(&row);
	cert = cleaned(b);
	pgp_blob_free(&b, false);
	return cert;
}

/* ---- the property -------------------------------------------------------- */

/* Far more signatures than are kept, of one user ID and of the key. */
static struct pgp_cert *
flooded(void)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left = {0};
	struct pgp_blob b;
	struct row row;
	unsigned i;

	row_open(&row);
	row_primary(&row, alice);
	for (i = 0; i < 25; i++)
		row_forged(
		    &row, (struct forged){0x20, LATER + i / 2,
			      i % 3 == 0 ? NULL : "02 1d 01", BY_ALICE, i});
	row_packet(&row, PGP_TAG_USERID, "a", 1);
	for (i = 0; i < 25; i++)
		row_forged(&row, (struct forged){i % 2 == 0 ? 0x13 : 0x10,
				     LATER + i / 3, NULL, BY_ALICE, i});
	b = row_close(&row);
	cert = parse(b, &left);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	return cert;
}

static void
check_pieces(const struct pgp_cert *a, const struct pgp_cert *b,
    const struct pgp_cert *c)
{
	struct pgp_cert *ab = merged(a, b), *ba = merged(b, a);
	struct pgp_cert *bc = merged(b, c), *aa = merged(a, a);
	struct pgp_cert *ab_c = merged(ab, c), *a_bc = merged(a, bc);
	struct pgp_cert *c_ba = merged(c, ba), *again = merged(ab_c, b);

	assert_same(aa, a);
	assert_same(ab, ba);
	assert_same(ab_c, a_bc);
	assert_same(ab_c, c_ba);
	assert_same(ab_c, again);
	pgp_cert_free(ab);
	pgp_cert_free(ba);
	pgp_cert_free(bc);
	pgp_cert_free(aa);
	pgp_cert_free(ab_c);
	pgp_cert_free(a_bc);
	pgp_cert_free(c_ba);
	pgp_cert_free(again);
}

#define ROUNDS 100

static void
check_cert(const struct pgp_cert *whole)
{
	struct pgp_cert *a, *b, *c;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		a = piece(whole, i % 2 == 0);
		b = piece(whole, i % 2 == 0);
		c = piece(whole, i % 2 == 0);
		check_pieces(a, b, c);
		pgp_cert_free(a);
		pgp_cert_free(b);
		pgp_cert_free(c);
	}
}

static const char *const files[] = {"alice.asc", "alice-later.asc", "bob.asc",
    "carol-revoked.asc", "dave-expired.asc", "frank-v3sig.asc",
    "debian-dsa-elgamal.asc", "debian-ecdsa-photo.asc",
    "debian-rsa1024-expired.asc", "debian-rsa2048.asc", "debian-rsa4096.asc",
    "debian-utf8.asc"};
#define FILES (sizeof(files) / sizeof(*files))

static void
union_of_pieces(void **state)
{
	const char *name = *state;
	struct pgp_cert *cert;

	seed = 88172645463325252u;
	cert = name == NULL ? flooded() : cert_of_key(name);
	check_cert(cert);
	pgp_cert_free(cert);
}

/* What was new in a merge makes the same of the copy that did not have it. */
static void
check_news(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_cert *ab = merged(a, b), *news, *sum;
	unsigned char(*digest)[PGP_DIGEST_LEN];
	struct pgp_blob octets;
	struct row row;
	size_t n;

	assert_int_equal(pgp_cert_news(a, ab, &digest, &n), PGP_OK);
	row_open(&row);
	assert_int_equal(pgp_cert_select(row.f, ab,
			     (const unsigned char(*)[PGP_DIGEST_LEN])digest, n),
	    0);
	octets = row_close(&row);
	if (n == 0) {
		assert_int_equal(octets.len, 0);
		assert_same(a, ab);
	} else {
		news = cleaned(octets);
		sum = merged(a, news);
		assert_same(sum, ab);
		pgp_cert_free(news);
		pgp_cert_free(sum);
	}
	pgp_blob_free(&octets, false);
	free(digest);
	pgp_cert_free(ab);
}

static void
news_of_pieces(void **state)
{
	struct pgp_cert *whole = cert_of_key(*state), *a, *b;
	unsigned i;

	seed = 88172645463325252u;
	for (i = 0; i < ROUNDS; i++) {
		a = piece(whole, false);
		b = piece(whole, false);
		check_news(a, b);
		pgp_cert_free(a);
		pgp_cert_free(b);
	}
	pgp_cert_free(whole);
}

/* Every part once, one by one from behind: the whole again. */
static void
whole_of_parts(void **state)
{
	struct pgp_cert *whole = cert_of_key("debian-ecdsa-photo.asc"), *sum,
			*one;
	struct pgp_left_out left = {0};
	struct pgp_added added;
	struct pgp_claim *claims;
	size_t i, n;
	struct pgp_blob b;
	struct row row;

	(void)state;
	claims = pgp_cert_claims(whole, policy, &left, &n);
	assert_true(n > 4);
	row_open(&row);
	row_primary(&row, whole);
	b = row_close(&row);
	sum = cleaned(b);
	pgp_blob_free(&b, false);
	for (i = 0; i < n; i++) {
		row_open(&row);
		pgp_claim_write(row.f, &claims[n - 1 - i]);
		b = row_close(&row);
		one = cleaned(b);
		pgp_blob_free(&b, false);
		assert_int_equal(
		    pgp_cert_merge(sum, one, policy, &added), PGP_OK);
		pgp_cert_free(one);
	}
	free(claims);
	assert_same(sum, whole);
	pgp_cert_free(whole);
	pgp_cert_free(sum);
}

/* Of two that are the same, the smaller in octets: ends of the value. */
static void
smaller_stays(void **state)
{
	/* The last one comes first by octets. */
	static const char *const value[] = {"0009 01ff 0001 01",
	    "0008 ff 0001 01", "0008 fe 0001 01", "0007 7f 0018 800000"};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert[4], *sum;
	unsigned char head[64], tail[16];
	struct pgp_blob b;
	struct row row;
	size_t i, j, n, m;

	(void)state;
	for (i = 0; i < 4; i++) {
		row_open(&row);
		row_primary(&row, alice);
		row_packet(&row, PGP_TAG_USERID, "a", 1);
		n = octets_of_hex(
		    "04131608 0006 05025e0c90a0 0000 0000", head, sizeof(head));
		m = octets_of_hex(value[i], tail, sizeof(tail));
		memcpy(head + n, tail, m);
		row_packet(&row, PGP_TAG_SIGNATURE, head, n + m);
		b = row_close(&row);
		cert[i] = cleaned(b);
		pgp_blob_free(&b, false);
	}
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			sum = merged(cert[i], cert[j]);
			assert_same(sum, i == 2 || j == 2   ? cert[2]
					 : i == 1 || j == 1 ? cert[1]
					 : i == 0 || j == 0 ? cert[0]
							    : cert[3]);
			pgp_cert_free(sum);
		}
	for (i = 0; i < 4; i++)
		pgp_cert_free(cert[i]);
	pgp_cert_free(alice);
}

/* ---- what was added ------------------------------------------------------ */

static struct pgp_cert *
clean_key(const char *name)
{
	struct pgp_blob b = octets_of_key(name);
	struct pgp_cert *cert = cleaned(b);

	pgp_blob_free(&b, false);
	return cert;
}

struct case_added {
	const char *name, *into, *from;
	struct pgp_added added;
};

static const struct case_added adds[] = {
    {"the same again", "alice.asc", "alice.asc", {0}},
    {"newer signatures, a revocation", "alice.asc", "alice-later.asc",
	{.signatures = 2, .revocations = 1}},
    {"older signatures", "alice-later.asc", "alice.asc", {.signatures = 2}},
    {"a key revocation", "carol.asc", "carol-revoked.asc", {.revocations = 1}},
    {"nothing new", "carol-revoked.asc", "carol.asc", {0}},
};
#define ADDS (sizeof(adds) / sizeof(*adds))

static void
added_one(void **state)
{
	const struct case_added *c = *state;
	struct pgp_cert *into = clean_key(c->into), *from = clean_key(c->from);
	struct pgp_cert *before = pgp_cert_dup(from);
	struct pgp_added added;

	memset(&added, 0xff, sizeof(added));
	assert_int_equal(pgp_cert_merge(into, from, policy, &added), PGP_OK);
	assert_int_equal(added.key, false);
	assert_int_equal(added.userids, c->added.userids);
	assert_int_equal(added.subkeys, c->added.subkeys);
	assert_int_equal(added.attributes, c->added.attributes);
	assert_int_equal(added.signatures, c->added.signatures);
	assert_int_equal(added.revocations, c->added.revocations);
	assert_same(from, before);
	pgp_cert_free(into);
	pgp_cert_free(from);
	pgp_cert_free(before);
}

static void
added_components(void **state)
{
	struct pgp_cert *alice = clean_key("alice.asc"), *bare;
	struct pgp_added added;
	struct pgp_blob b;
	struct row row;

	(void)state;
	row_open(&row);
	row_primary(&row, alice);
	b = row_close(&row);
	bare = cleaned(b);
	assert_int_equal(pgp_cert_merge(bare, alice, policy, &added), PGP_OK);
	assert_int_equal(added.userids, 2);
	assert_int_equal(added.subkeys, 2);
	assert_int_equal(added.signatures, 0);
	assert_same(bare, alice);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	pgp_cert_free(bare);
}

static void
two_keys(void **state)
{
	struct pgp_cert *alice = clean_key("alice.asc");
	struct pgp_cert *same = clean_key("alice.asc");
	struct pgp_cert *bob = clean_key("bob.asc");
	struct pgp_added added;

	(void)state;
	assert_int_equal(
	    pgp_cert_merge(alice, bob, policy, &added), PGP_NOT_CERT);
	assert_same(alice, same);
	pgp_cert_free(alice);
	pgp_cert_free(same);
	pgp_cert_free(bob);
}

/* ---- caps ---------------------------------------------------------------- */

/* n user IDs of alice, named from `first` on. */
static struct pgp_cert *
userids(unsigned first, unsigned n)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_blob b;
	struct row row;
	char name[16];
	unsigned i;

	row_open(&row);
	row_primary(&row, alice);
	for (i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "%06u", i);
		row_packet(&row, PGP_TAG_USERID, name, 6);
		row_forged(
		    &row, (struct forged){0x13, LATER, NULL, BY_ALICE, i});
	}
	b = row_close(&row);
	cert = cleaned(b);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	return cert;
}

/* What is held stays, and of the newcomers as many as there is room for. */
static void
held_userids_stay(void **state)
{
	struct pgp_cert *into = userids(1000, 255), *from = userids(1, 5);
	struct pgp_added added;

	(void)state;
	assert_int_equal(pgp_cert_merge(into, from, policy, &added), PGP_OK);
	assert_int_equal(added.userids, 1);
	assert_int_equal(into->ncomponents, 257);
	assert_memory_equal(into->components[1].body, "000001", 6);
	assert_memory_equal(into->components[2].body, "001000", 6);
	assert_memory_equal(into->components[256].body, "001254", 6);
	pgp_cert_free(from);
	from = userids(1, 5);
	assert_int_equal(pgp_cert_merge(into, from, policy, &added), PGP_OK);
	assert_int_equal(added.userids, 0);
	assert_int_equal(into->ncomponents, 257);
	pgp_cert_free(into);
	pgp_cert_free(from);
}

/* A full certificate takes nothing but the revocation of its key. */
static void
full_takes_revocation(void **state)
{
	struct pgp_cert *into = clean_key("carol.asc");
	struct pgp_cert *from = clean_key("carol-revoked.asc");
	struct pgp_cert *more = clean_key("carol.asc");
	struct pgp_policy tight = pgp_policy_default;
	struct pgp_blob b = octets_of_cert(into);
	struct pgp_added added;

	(void)state;
	tight.certificate_size = b.len;
	assert_int_equal(pgp_cert_merge(into, more, &tight, &added), PGP_OK);
	assert_same(into, more);
	assert_int_equal(pgp_cert_merge(into, from, &tight, &added), PGP_OK);
	assert_int_equal(added.revocations, 1);
	assert_same(into, from);
	pgp_blob_free(&b, false);
	pgp_cert_free(into);
	pgp_cert_free(from);
	pgp_cert_free(more);
}

static void
full_takes_nothing_else(void **state)
{
	struct pgp_cert *into = userids(1000, 10), *from = userids(1, 5);
	struct pgp_cert *before = pgp_cert_dup(into);
	struct pgp_policy tight = pgp_policy_default;
	struct pgp_blob b = octets_of_cert(into);
	struct pgp_added added;

	(void)state;
	tight.certificate_size = b.len;
	assert_int_equal(pgp_cert_merge(into, from, &tight, &added), PGP_OK);
	assert_int_equal(added.userids, 0);
	assert_same(into, before);
	/* Room for one: the first of them. */
	tight.certificate_size = b.len + 80;
	assert_int_equal(pgp_cert_merge(into, from, &tight, &added), PGP_OK);
	assert_int_equal(added.userids, 1);
	assert_memory_equal(into->components[1].body, "000001", 6);
	pgp_blob_free(&b, false);
	pgp_cert_free(into);
	pgp_cert_free(from);
	pgp_cert_free(before);
}

int
main(void)
{
	static char names[FILES][64];
	struct CMUnitTest tests[2 * FILES + ADDS + 16] = {
	    {"a flooded certificate", union_of_pieces, NULL, NULL, NULL},
	    cmocka_unit_test(whole_of_parts),
	    cmocka_unit_test(added_components), cmocka_unit_test(two_keys),
	    cmocka_unit_test(smaller_stays),
	    cmocka_unit_test(held_userids_stay),
	    cmocka_unit_test(full_takes_revocation),
	    cmocka_unit_test(full_takes_nothing_else)};
	size_t i, n = 8;

	for (i = 0; i < FILES; i++)
		tests[n++] = (struct CMUnitTest){files[i], union_of_pieces,
		    NULL, NULL, (void *)(uintptr_t)files[i]};
	for (i = 0; i < FILES; i++) {
		snprintf(names[i], sizeof(names[i]), "%s, news", files[i]);
		tests[n++] = (struct CMUnitTest){names[i], news_of_pieces, NULL,
		    NULL, (void *)(uintptr_t)files[i]};
	}
	for (i = 0; i < ADDS; i++)
		tests[n++] = (struct CMUnitTest){adds[i].name, added_one, NULL,
		    NULL, (void *)(uintptr_t)&adds[i]};
	return _cmocka_run_group_tests("merge", tests, n, NULL, NULL);
}
