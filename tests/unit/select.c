/* What is new in a certificate, and the packets that carry it elsewhere. */
#include "tests/unit/pgp_octets.h"

static const struct pgp_policy *const policy = &pgp_policy_default;

typedef unsigned char digest_t[PGP_DIGEST_LEN];

static struct pgp_cert *
clean_key(const char *name)
{
	struct pgp_cert *cert = cert_of_key(name);
	struct pgp_left_out left = {0};

	verify_all(cert);
	assert_int_equal(pgp_cert_clean(cert, policy, &left), PGP_OK);
	return cert;
}

static struct pgp_blob
selected(const struct pgp_cert *cert, digest_t *digest, size_t n)
{
	struct row row;

	row_open(&row);
	assert_int_equal(
	    pgp_cert_select(row.f, cert, (const digest_t *)digest, n), 0);
	return row_close(&row);
}

/* The tags of packets, with a blank before each. */
static void
tags_of(struct pgp_blob b, char *out, size_t size)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet p;
	enum pgp_status status;
	size_t pos = 0, len = 0;

	*out = '\0';
	while ((status = pgp_packet_read(b.data, b.len, &pos, &joined, &p)) ==
	       PGP_OK)
		len += (size_t)snprintf(out + len, size - len, " %u", p.tag);
	assert_int_equal(status, PGP_END);
	pgp_blob_free(&joined, false);
}

struct case_news {
	const char *name, *old, *from;
	size_t n;
	const char *tags;
};

static const struct case_news cases[] = {
    {"the same again", "alice.asc", "alice.asc", 0, ""},
    {"older", "carol-revoked.asc", "carol.asc", 0, ""},
    {"user IDs signed again, one revoked", "alice.asc", "alice-later.asc", 3,
	" 6 13 2 13 2 2"},
    {"a revocation of the key", "carol.asc", "carol-revoked.asc", 1,
	" 6 2 13 2"},
};
#define CASES (sizeof(cases) / sizeof(*cases))

static void
news_one(void **state)
{
	const struct case_news *c = *state;
	struct pgp_cert *old = clean_key(c->old), *from = clean_key(c->from);
	struct pgp_cert *now = pgp_cert_dup(old);
	struct pgp_added added;
	struct pgp_blob b;
	digest_t *digest;
	char tags[100];
	size_t n;

	assert_non_null(now);
	assert_int_equal(pgp_cert_merge(now, from, policy, &added), PGP_OK);
	assert_int_equal(pgp_cert_news(old, now, &digest, &n), PGP_OK);
	assert_int_equal(n, c->n);
	assert_true((digest == NULL) == (n == 0));
	b = selected(now, digest, n);
	tags_of(b, tags, sizeof(tags));
	assert_string_equal(tags, c->tags);
	pgp_blob_free(&b, false);
	free(digest);
	pgp_cert_free(old);
	pgp_cert_free(from);
	pgp_cert_free(now);
}

/* The key alone, as something to compare with. */
static struct pgp_cert *
bare(const struct pgp_cert *cert)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *key;
	struct pgp_blob b;
	struct row row;

	row_open(&row);
	row_primary(&row, cert);
	b = row_close(&row);
	key = parse(b, &left);
	pgp_blob_free(&b, false);
	return key;
}

static void
all_is_new(void **state)
{
	struct pgp_cert *alice = clean_key("alice.asc"), *key = bare(alice);
	struct pgp_blob all, b;
	digest_t *digest;
	size_t n;

	(void)state;
	assert_int_equal(pgp_cert_news(key, alice, &digest, &n), PGP_OK);
	b = selected(alice, digest, n);
	assert_int_equal(pgp_cert_octets(alice, &all), PGP_OK);
	assert_int_equal(b.len, all.len);
	assert_memory_equal(b.data, all.data, all.len);
	pgp_blob_free(&all, false);
	pgp_blob_free(&b, false);
	free(digest);
	pgp_cert_free(key);
	pgp_cert_free(alice);
}

/*
 * Each signature by itself: what is written can be read and judged alone, and
 * has a user ID.
 */
static void
one_at_a_time(void **state)
{
	static const char *const want[] = {
	    " 6 13 2", " 6 13 2", " 6 13 2 14 2", " 6 13 2 14 2"};
	struct pgp_cert *alice = clean_key("alice.asc"), *key = bare(alice);
	struct pgp_left_out left = {0};
	struct pgp_cert *got;
	struct pgp_claim *claims;
	digest_t *digest;
	struct pgp_blob b;
	size_t i, n, nclaims;
	char tags[100];

	(void)state;
	assert_int_equal(pgp_cert_news(key, alice, &digest, &n), PGP_OK);
	assert_int_equal(n, 4);
	for (i = 0; i < n; i++) {
		b = selected(alice, &digest[i], 1);
		tags_of(b, tags, sizeof(tags));
		assert_string_equal(tags, want[i]);
		got = parse(b, &left);
		claims = pgp_cert_claims(got, policy, &left, &nclaims);
		assert_int_equal(nclaims, got->ncomponents - 1);
		free(claims);
		pgp_cert_free(got);
		pgp_blob_free(&b, false);
	}
	free(digest);
	pgp_cert_free(key);
	pgp_cert_free(alice);
}

/* A certificate's packets without the component at `skip`. */
static struct pgp_cert *
without(const struct pgp_cert *cert, size_t skip)
{
	static const unsigned tags[] = {[PGP_PRIMARY] = PGP_TAG_PUBLIC_KEY,
	    [PGP_USERID] = PGP_TAG_USERID,
	    [PGP_ATTRIBUTE] = PGP_TAG_ATTRIBUTE,
	    [PGP_SUBKEY] = PGP_TAG_PUBLIC_SUBKEY};
	const struct pgp_component *c;
	struct pgp_left_out left = {0};
	struct pgp_cert *rest;
	struct pgp_blob b;
	struct row row;

	row_open(&row);
	for (size_t i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		if (i == skip)
			continue;
		row_packet(&row, tags[c->kind], c->body, c->len);
		for (size_t k = 0; k < c->nsigs; k++)
			fwrite(c->sigs[k]->packet, 1, c->sigs[k]->len, row.f);
	}
	b = row_close(&row);
	rest = parse(b, &left);
	verify_all(rest);
	pgp_blob_free(&b, false);
	return rest;
}

/* The digest of the first signature of a certificate's last component. */
static void
last_digest(const struct pgp_cert *cert, digest_t out)
{
	const struct pgp_component *c =
	    &cert->components[cert->ncomponents - 1];
	struct pgp_cert *before = without(cert, cert->ncomponents - 1);
	digest_t *digest;
	size_t n;

	assert_int_equal(c->kind, PGP_SUBKEY);
	assert_int_equal(pgp_cert_news(before, cert, &digest, &n), PGP_OK);
	assert_int_equal(n, c->nsigs);
	memcpy(out, digest[0], PGP_DIGEST_LEN);
	free(digest);
	pgp_cert_free(before);
}

/*
 * Which user ID goes along: one that is not revoked; a revoked one, when there
 * is no other, not without its revocation; none, when there is none.
 */
static void
which_userid(void **state)
{
	struct pgp_cert *alice = clean_key("alice-later.asc"), *one, *none;
	const struct pgp_component *primary = pgp_cert_primary_userid(alice);
	size_t at = (size_t)(primary - alice->components);
	struct pgp_left_out left = {0};
	struct pgp_cert *got;
	struct pgp_blob b;
	digest_t digest;
	char tags[100];

	(void)state;
	last_digest(alice, digest);
	b = selected(alice, &digest, 1);
	tags_of(b, tags, sizeof(tags));
	assert_string_equal(tags, " 6 13 2 14 2");
	got = parse(b, &left);
	assert_int_equal(got->components[1].len, primary->len);
	assert_memory_equal(
	    got->components[1].body, primary->body, primary->len);
	pgp_cert_free(got);
	pgp_blob_free(&b, false);

	one = without(alice, at);
	b = selected(one, &digest, 1);
	tags_of(b, tags, sizeof(tags));
	assert_string_equal(tags, " 6 13 2 2 14 2");
	pgp_blob_free(&b, false);

	none = without(one, 1);
	b = selected(none, &digest, 1);
	tags_of(b, tags, sizeof(tags));
	assert_string_equal(tags, " 6 14 2");
	pgp_blob_free(&b, false);
	pgp_cert_free(none);
	pgp_cert_free(one);
	pgp_cert_free(alice);
}

/* Of what is not there any more nothing comes, not even the key. */
static void
digests_of_nothing(void **state)
{
	struct pgp_cert *alice = clean_key("alice.asc"), *key = bare(alice);
	digest_t *digest, wanted[4] = {{0}, {1}, {0xff}};
	struct pgp_blob b, want;
	size_t n;

	(void)state;
	b = selected(alice, wanted, 0);
	assert_int_equal(b.len, 0);
	pgp_blob_free(&b, false);
	b = selected(alice, wanted, 4);
	assert_int_equal(b.len, 0);
	pgp_blob_free(&b, false);
	/* one that is there, among them and twice */
	assert_int_equal(pgp_cert_news(key, alice, &digest, &n), PGP_OK);
	memcpy(wanted[0], digest[1], PGP_DIGEST_LEN);
	memcpy(wanted[3], digest[1], PGP_DIGEST_LEN);
	b = selected(alice, wanted, 4);
	want = selected(alice, &digest[1], 1);
	assert_true(want.len > 0);
	assert_int_equal(b.len, want.len);
	assert_memory_equal(b.data, want.data, want.len);
	pgp_blob_free(&b, false);
	pgp_blob_free(&want, false);
	free(digest);
	pgp_cert_free(key);
	pgp_cert_free(alice);
}

static void
full_stream(void **state)
{
	struct pgp_cert *alice = clean_key("alice.asc"), *key = bare(alice);
	FILE *f = fopen("/dev/full", "w");
	digest_t *digest;
	size_t n;

	(void)state;
	assert_non_null(f);
	setbuf(f, NULL);
	assert_int_equal(pgp_cert_news(key, alice, &digest, &n), PGP_OK);
	assert_int_equal(
	    pgp_cert_select(f, alice, (const digest_t *)digest, n), -1);
	fclose(f);
	free(digest);
	pgp_cert_free(key);
	pgp_cert_free(alice);
}

int
main(void)
{
	struct CMUnitTest tests[CASES + 5] = {
	    [CASES] = cmocka_unit_test(all_is_new),
	    [CASES + 1] = cmocka_unit_test(one_at_a_time),
	    [CASES + 2] = cmocka_unit_test(digests_of_nothing),
	    [CASES + 3] = cmocka_unit_test(full_stream),
	    [CASES + 4] = cmocka_unit_test(which_userid),
	};
	size_t i;

	for (i = 0; i < CASES; i++) {
		tests[i] = (struct CMUnitTest)cmocka_unit_test(news_one);
		tests[i].name = cases[i].name;
		tests[i].initial_state = (void *)(uintptr_t)&cases[i];
	}
	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
