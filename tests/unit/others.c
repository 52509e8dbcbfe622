/*
 * Certifications by other keys: which are kept where they are, in what form,
 * how many, and that no forged one ever counts for more or takes a place.
 */
#include "tests/unit/pgp_octets.h"
#include "tests/unit/same_cert.h"

#define CREATED 1577880000u /* alice's key */
#define LATER	(CREATED + 1000)
#define BY_ID	"09 10 05E825E4425612B5"
#define BOB	"09 10 642CBF5CDDB5EA9E"
#define BOB_FPR "16 21 04 88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E"
#define EVE	"09 10 0102030405060708"
#define EVE_FPR "16 21 04 000102030405060708090A0B0C0D0E0F10111213"
/* Ends in alice's key ID and is not hers. */
#define TWIN_FPR "16 21 04 00000000000000000000000005E825E4425612B5"

static struct pgp_policy all, self;

static int
policies(void **state)
{
	(void)state;
	self = all = pgp_policy_default;
	all.certifications = 1000;
	return 0;
}

/* ---- certificates -------------------------------------------------------- */

/* What stands on alice's user ID "a", the left 16 bits of its digest right. */
static void
row_other(struct row *r, const struct pgp_cert *alice, struct forged s)
{
	const struct pgp_component *key = &alice->components[0];
	unsigned char body[1024], digest[PGP_SHA256_LEN];
	size_t len = forged_body(body, sizeof(body), &s), n, at;
	struct pgp_blob b;
	struct row signs;

	n = 6u + ((size_t)body[4] << 8 | body[5]);
	row_open(&signs);
	fputc(0x99, signs.f);
	fputc((int)(key->len >> 8), signs.f);
	fputc((int)(key->len & 255), signs.f);
	fwrite(key->body, 1, key->len, signs.f);
	fwrite("\xb4\0\0\0\1a", 1, 6, signs.f);
	fwrite(body, 1, n, signs.f);
	fwrite("\4\xff\0\0", 1, 4, signs.f);
	fputc((int)(n >> 8), signs.f);
	fputc((int)(n & 255), signs.f);
	b = row_close(&signs);
	assert_int_equal(pgp_sha256(b.data, b.len, digest), 0);
	at = n + 2 + ((size_t)body[n] << 8 | body[n + 1]);
	memcpy(body + at, digest, 2);
	row_packet(r, PGP_TAG_SIGNATURE, body, len);
	pgp_blob_free(&b, false);
}

/* alice's key, "a", a self-signature, and what is to come. */
static void
begin(struct row *r, const struct pgp_cert *alice, const char *hashed)
{
	row_open(r);
	row_primary(r, alice);
	row_packet(r, PGP_TAG_USERID, "a", 1);
	row_forged(r, (struct forged){0x13, LATER, hashed, BY_ID, 1});
}

/* Parsed, verified as far as it can be, cleaned. */
static struct pgp_cert *
end(struct row *r, const struct pgp_policy *policy, struct pgp_left_out *left)
{
	struct pgp_blob b = row_close(r);
	struct pgp_cert *cert = NULL;

	memset(left, 0, sizeof(*left));
	assert_int_equal(pgp_cert_parse(b.data, b.len, policy, PGP_CLAIMED, NOW,
			     left, &cert),
	    PGP_OK);
	verify_all(cert);
	assert_int_equal(pgp_cert_clean(cert, policy, left), PGP_OK);
	pgp_blob_free(&b, false);
	return cert;
}

static struct pgp_cert *
with(const struct forged *others, size_t n, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct row row;
	size_t i;

	begin(&row, alice, NULL);
	for (i = 0; i < n; i++)
		row_other(&row, alice, others[i]);
	cert = end(&row, policy, left);
	pgp_cert_free(alice);
	return cert;
}

/* n of bob's, a second apart, from `first` on. */
static struct pgp_cert *
many(unsigned first, unsigned n, unsigned value,
    const struct pgp_policy *policy, struct pgp_left_out *left)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct row row;
	unsigned i;

	begin(&row, alice, NULL);
	for (i = 0; i < n; i++)
		row_other(&row, alice,
		    (struct forged){0x10, LATER + first + i, NULL, BOB, value});
	cert = end(&row, policy, left);
	pgp_cert_free(alice);
	return cert;
}

static struct pgp_blob
octets_of(const struct pgp_cert *cert)
{
	struct pgp_blob b;

	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	return b;
}

static void
assert_same(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_blob x = octets_of(a), y = octets_of(b);

	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	pgp_blob_free(&x, false);
	pgp_blob_free(&y, false);
}

/* As the store gives it back. */
static struct pgp_cert *
read_again(const struct pgp_cert *cert)
{
	struct pgp_blob b = octets_of(cert);
	struct pgp_left_out left = {0};
	struct pgp_cert *again = NULL;

	assert_int_equal(pgp_cert_parse(b.data, b.len, &all, PGP_VERIFIED,
			     UINT32_MAX, &left, &again),
	    PGP_OK);
	assert_true(reads_alike(again));
	pgp_blob_free(&b, false);
	return again;
}

/* ---- one of them --------------------------------------------------------- */

struct case_kept {
	const char *name;
	struct forged sig;
	size_t n;   /* that are kept */
	int reason; /* that it is not */
};

static const struct case_kept kept[] = {
    {"a certification", {0x10, LATER, NULL, BOB, 1}, 1, -1},
    {"a positive one", {0x13, LATER, NULL, BOB, 1}, 1, -1},
    {"a revocation", {0x30, LATER, NULL, BOB, 1}, 1, -1},
    {"issuer hashed", {0x10, LATER, BOB_FPR, NULL, 1}, 1, -1},
    {"fingerprint not hashed", {0x10, LATER, NULL, BOB_FPR, 1}, 1, -1},
    {"not to be published", {0x10, LATER, "02 04 00", BOB, 1}, 0,
	PGP_LEFT_LOCAL},
    {"older than the key", {0x10, CREATED - 1, NULL, BOB, 1}, 0,
	PGP_LEFT_TOO_OLD},
    {"two days ahead", {0x10, NOW + 2 * 86400, NULL, BOB, 1}, 0,
	PGP_LEFT_FUTURE},
    {"a binding", {0x18, LATER, NULL, BOB, 1}, 0, PGP_LEFT_THIRD_PARTY},
    {"a key revocation", {0x20, LATER, NULL, BOB, 1}, 0, PGP_LEFT_THIRD_PARTY},
    {"a direct-key signature", {0x1f, LATER, NULL, BOB, 1}, 0,
	PGP_LEFT_THIRD_PARTY},
    {"an approval", {0x16, LATER, NULL, BOB, 1}, 0, PGP_LEFT_THIRD_PARTY},
    /* Read again, its key ID would make it alice's own. */
    {"a fingerprint with our key ID", {0x13, LATER, NULL, TWIN_FPR, 1}, 0,
	PGP_LEFT_THIRD_PARTY},
    {"the same, hashed", {0x13, LATER, TWIN_FPR, NULL, 1}, 1, -1},
    {"a fingerprint hashed, our key ID not", {0x13, LATER, EVE_FPR, BY_ID, 1},
	1, -1},
};
#define KEPT (sizeof(kept) / sizeof(*kept))

static void
kept_one(void **state)
{
	const struct case_kept *c = *state;
	struct pgp_left_out left;
	struct pgp_cert *cert = with(&c->sig, 1, &all, &left), *again;
	int i;

	assert_int_equal(cert->components[1].nsigs, 1);
	assert_int_equal(cert->components[1].nothers, c->n);
	for (i = 0; i < PGP_LEFT_REASONS; i++)
		assert_int_equal(left.n[i], i == c->reason);
	again = read_again(cert);
	assert_same(again, cert);
	assert_int_equal(again->components[1].nsigs, 1);
	assert_int_equal(again->components[1].nothers, c->n);
	if (c->n > 0) {
		assert_int_equal(
		    again->components[1].others[0]->type, c->sig.type);
		assert_false(again->components[1].others[0]->verified);
	}
	pgp_cert_free(again);
	pgp_cert_free(cert);
	cert = with(&c->sig, 1, &self, &left);
	assert_int_equal(cert->components[1].nothers, 0);
	assert_int_equal(left.n[PGP_LEFT_THIRD_PARTY], 1);
	pgp_cert_free(cert);
}

/* What is not of this user ID, or on one without its owner's signature. */
static void
stands_on_its_own(void **state)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct forged s = {0x10, LATER, NULL, BOB, 1};
	struct pgp_left_out left;
	struct row row;

	(void)state;
	begin(&row, alice, NULL);
	row_forged(&row, s); /* of the digest nothing is right */
	row_packet(&row, PGP_TAG_USERID, "b", 1);
	row_other(&row, alice, s); /* "a" was certified */
	row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, 1});
	row_packet(&row, PGP_TAG_USERID, "c", 1);
	row_forged(&row, s);
	cert = end(&row, &all, &left);
	assert_int_equal(left.n[PGP_LEFT_THIRD_PARTY], 3);
	assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 1);
	assert_int_equal(cert->ncomponents, 3);
	assert_int_equal(cert->components[1].nothers, 0);
	assert_int_equal(cert->components[2].nothers, 0);
	pgp_cert_free(cert);
	pgp_cert_free(alice);
}

/* Whatever a stranger changes that is not signed. */
static void
variants(void **state)
{
	static const struct forged two[] = {
	    {0x10, LATER, BOB_FPR, NULL, 1}, {0x10, LATER, BOB_FPR, EVE, 1}};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert, *one;
	struct pgp_left_out left;
	struct row row;
	char notation[64];
	unsigned i;

	(void)state;
	one = with(two, 1, &all, &left);
	cert = with(two, 2, &all, &left);
	assert_int_equal(left.n[PGP_LEFT_DUPLICATE], 1);
	assert_same(one, cert);
	pgp_cert_free(cert);
	begin(&row, alice, NULL);
	for (i = 0; i < 1000; i++) {
		snprintf(notation, sizeof(notation), "05 64 0000%04x", i);
		row_other(&row, alice,
		    (struct forged){0x10, LATER, BOB_FPR, notation, 1});
	}
	cert = end(&row, &all, &left);
	assert_int_equal(left.n[PGP_LEFT_DUPLICATE], 999);
	assert_same(one, cert);
	pgp_cert_free(cert);
	/* Forged values: one of them stays. */
	begin(&row, alice, NULL);
	for (i = 0; i < 1000; i++)
		row_other(&row, alice,
		    (struct forged){0x10, LATER, BOB_FPR, NULL, 256 + i});
	cert = end(&row, &all, &left);
	assert_int_equal(cert->components[1].nothers, 1);
	pgp_cert_free(cert);
	pgp_cert_free(one);
	pgp_cert_free(alice);
}

/* A forged copy does not take the place of what is stored. */
static void
first_stays(void **state)
{
	struct pgp_left_out left;
	struct pgp_cert *genuine = many(0, 5, 300, &all, &left);
	struct pgp_cert *forged = many(0, 5, 299, &all, &left);
	struct pgp_cert *stored = pgp_cert_dup(genuine);
	struct pgp_added added;

	(void)state;
	assert_int_equal(pgp_cert_merge(stored, forged, &all, &added), PGP_OK);
	assert_same(stored, genuine);
	assert_int_equal(added.certifications, 0);
	assert_int_equal(added.signatures, 0);
	pgp_cert_free(genuine);
	pgp_cert_free(forged);
	pgp_cert_free(stored);
}

/* ---- how many ------------------------------------------------------------ */

static void
number_at_and_past_cap(void **state)
{
	struct pgp_policy few = all;
	struct pgp_left_out left;
	struct pgp_cert *cert, *newer;
	struct pgp_added added;
	struct pgp_signature **others;

	(void)state;
	few.certifications = 10;
	cert = many(0, 10, 1, &few, &left);
	assert_int_equal(cert->components[1].nothers, 10);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 0);
	pgp_cert_free(cert);
	cert = many(0, 11, 1, &few, &left);
	others = cert->components[1].others;
	assert_int_equal(cert->components[1].nothers, 10);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 1);
	assert_int_equal(others[0]->created, LATER + 10);
	assert_int_equal(others[9]->created, LATER + 1);
	/* Newer ones that nobody verified push none of these out. */
	newer = many(100, 10, 1, &few, &left);
	assert_int_equal(pgp_cert_merge(cert, newer, &few, &added), PGP_OK);
	others = cert->components[1].others;
	assert_int_equal(added.certifications, 0);
	assert_int_equal(cert->components[1].nothers, 10);
	assert_int_equal(others[0]->created, LATER + 10);
	/* Room for two: the newest. */
	few.certifications = 12;
	assert_int_equal(pgp_cert_merge(cert, newer, &few, &added), PGP_OK);
	others = cert->components[1].others;
	assert_int_equal(added.certifications, 2);
	assert_int_equal(others[0]->created, LATER + 109);
	assert_int_equal(others[1]->created, LATER + 108);
	assert_int_equal(others[2]->created, LATER + 10);
	pgp_cert_free(newer);
	pgp_cert_free(cert);
}

/* Over the size they go first, those that were there last; what the key itself
 * signed finds room. */
static void
size_at_and_past_cap(void **state)
{
	struct pgp_policy tight = all;
	struct pgp_left_out left;
	struct pgp_cert *cert = many(0, 10, 1, &all, &left), *newer;
	struct pgp_cert *alice = cert_of_key("alice.asc");
	struct pgp_blob b = octets_of(cert);
	struct pgp_added added;
	struct row row;

	(void)state;
	tight.certificate_size = b.len;
	assert_int_equal(pgp_cert_clean(cert, &tight, &left), PGP_OK);
	assert_int_equal(cert->components[1].nothers, 10);
	tight.certificate_size = b.len - 1;
	assert_int_equal(pgp_cert_clean(cert, &tight, &left), PGP_OK);
	assert_int_equal(cert->components[1].nothers, 9);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 1);
	assert_int_equal(cert->components[1].others[8]->created, LATER + 1);
	newer = many(100, 10, 1, &all, &left);
	assert_int_equal(pgp_cert_merge(cert, newer, &tight, &added), PGP_OK);
	assert_int_equal(added.certifications, 0);
	assert_int_equal(cert->components[1].nothers, 9);
	pgp_cert_free(newer);
	/* A user ID more, of the key's own. */
	row_open(&row);
	row_primary(&row, alice);
	row_packet(&row, PGP_TAG_USERID, "b", 1);
	row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, 1});
	newer = end(&row, &tight, &left);
	assert_int_equal(pgp_cert_merge(cert, newer, &tight, &added), PGP_OK);
	assert_int_equal(added.userids, 1);
	assert_int_equal(cert->ncomponents, 3);
	assert_true(cert->components[1].nothers < 9);
	assert_int_equal(cert->components[1].others[0]->created, LATER + 9);
	pgp_blob_free(&b, false);
	pgp_cert_free(newer);
	pgp_cert_free(alice);
	pgp_cert_free(cert);
}

/* The key's owner wants none: neither now nor when that comes later. */
static void
no_modify(void **state)
{
	struct forged other = {0x10, LATER, NULL, BOB, 1};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert, *stored;
	struct pgp_left_out left;
	struct pgp_added added;
	struct row row;

	(void)state;
	begin(&row, alice, "02 17 80");
	row_other(&row, alice, other);
	cert = end(&row, &all, &left);
	assert_int_equal(cert->components[1].nothers, 0);
	assert_int_equal(left.n[PGP_LEFT_NO_MODIFY], 1);
	stored = with(&other, 1, &all, &left);
	assert_int_equal(stored->components[1].nothers, 1);
	assert_int_equal(pgp_cert_merge(stored, cert, &all, &added), PGP_OK);
	assert_int_equal(stored->components[1].nsigs, 2);
	assert_int_equal(stored->components[1].nothers, 0);
	pgp_cert_free(cert);
	/* Another preference is nothing to us. */
	begin(&row, alice, "02 17 40");
	row_other(&row, alice, other);
	cert = end(&row, &all, &left);
	assert_int_equal(cert->components[1].nothers, 1);
	/* Nobody here keeps them any more. */
	assert_int_equal(pgp_cert_merge(cert, stored, &self, &added), PGP_OK);
	assert_int_equal(cert->components[1].nothers, 0);
	pgp_cert_free(cert);
	pgp_cert_free(stored);
	pgp_cert_free(alice);
}

/* ---- merging ------------------------------------------------------------- */

static struct pgp_cert *
merged(const struct pgp_cert *into, const struct pgp_cert *from)
{
	struct pgp_cert *cert = pgp_cert_dup(into);
	struct pgp_added added;

	assert_non_null(cert);
	assert_int_equal(pgp_cert_merge(cert, from, &all, &added), PGP_OK);
	return cert;
}

/* Some of forty, of two issuers; every third with no-modify in some rounds. */
static struct pgp_cert *
piece(uint64_t *seed, unsigned round)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left;
	struct row row;
	unsigned i;

	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	begin(&row, alice,
	    round % 4 == 0 && *seed >> 60 < 5 ? "02 17 80" : "02 17 00");
	for (i = 0; i < 40; i++)
		if ((*seed >> i & 1) != 0)
			row_other(&row, alice,
			    (struct forged){i % 5 == 0 ? 0x30 : 0x10,
				LATER + i / 2, NULL, i % 2 == 0 ? BOB : EVE,
				i});
	cert = end(&row, &all, &left);
	pgp_cert_free(alice);
	return cert;
}

static void
union_of_pieces(void **state)
{
	struct pgp_cert *a, *b, *c, *ab, *ba, *bc, *x, *y, *again;
	uint64_t seed = 88172645463325252u;
	unsigned round;

	(void)state;
	for (round = 0; round < 40; round++) {
		a = piece(&seed, round);
		b = piece(&seed, round);
		c = piece(&seed, round);
		ab = merged(a, b);
		ba = merged(b, a);
		bc = merged(b, c);
		x = merged(ab, c);
		y = merged(a, bc);
		again = merged(x, b);
		assert_same(ab, ba);
		assert_same(x, y);
		assert_same(x, again);
		pgp_cert_free(a);
		pgp_cert_free(b);
		pgp_cert_free(c);
		pgp_cert_free(ab);
		pgp_cert_free(ba);
		pgp_cert_free(bc);
		pgp_cert_free(x);
		pgp_cert_free(y);
		pgp_cert_free(again);
	}
}

/* What was new is enough for one who had the rest, and brings the key's own
 * signature with it, or nobody could tell whose user ID it is. */
static void
news(void **state)
{
	struct pgp_left_out left;
	struct pgp_cert *a = many(0, 3, 1, &all, &left), *one, *sum;
	struct pgp_cert *b = many(2, 3, 1, &all, &left), *ab = merged(a, b);
	unsigned char(*digest)[PGP_DIGEST_LEN];
	struct row row;
	size_t n;

	(void)state;
	assert_int_equal(pgp_cert_news(a, ab, &digest, &n), PGP_OK);
	assert_int_equal(n, 2);
	row_open(&row);
	assert_int_equal(pgp_cert_select(row.f, ab,
			     (const unsigned char(*)[PGP_DIGEST_LEN])digest, n),
	    0);
	one = end(&row, &all, &left);
	assert_int_equal(one->ncomponents, 2);
	assert_int_equal(one->components[1].nsigs, 1);
	assert_int_equal(one->components[1].nothers, 2);
	sum = merged(a, one);
	assert_same(sum, ab);
	free(digest);
	pgp_cert_free(a);
	pgp_cert_free(b);
	pgp_cert_free(ab);
	pgp_cert_free(one);
	pgp_cert_free(sum);
}

int
main(void)
{
	struct CMUnitTest tests[KEPT + 16] = {
	    cmocka_unit_test(stands_on_its_own), cmocka_unit_test(variants),
	    cmocka_unit_test(first_stays),
	    cmocka_unit_test(number_at_and_past_cap),
	    cmocka_unit_test(size_at_and_past_cap), cmocka_unit_test(no_modify),
	    cmocka_unit_test(union_of_pieces), cmocka_unit_test(news)};
	size_t i, n = 8;

	for (i = 0; i < KEPT; i++)
		tests[n++] = (struct CMUnitTest){kept[i].name, kept_one, NULL,
		    NULL, (void *)(uintptr_t)&kept[i]};
	return _cmocka_run_group_tests("others", tests, n, policies, NULL);
}
