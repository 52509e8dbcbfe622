/*
 * Revocations by a key that the owner has named for it: taken, verified with
 * that key, kept and merged; and those by anybody else.
 */
#include "tests/unit/pgp_octets.h"
#include "tests/unit/same_cert.h"

static struct pgp_cert *
oscar(void)
{
	return cert_of_key("oscar.asc");
}

/* Judges all claims as the verifier does, the owner's own as good. */
static size_t
judge(struct pgp_cert *cert, struct pgp_left_out *left)
{
	struct pgp_claim *claims;
	size_t i, n, by_others = 0;

	claims = pgp_cert_claims(cert, &pgp_policy_default, left, &n);
	assert_true(n != SIZE_MAX);
	for (i = 0; i < n; i++) {
		struct pgp_packet p[3] = {{.tag = PGP_TAG_PUBLIC_KEY,
					      .body = claims[i].primary->body,
					      .len = claims[i].primary->len},
		    {.tag = 0},
		    {.tag = PGP_TAG_SIGNATURE,
			.body = claims[i].sig->packet + claims[i].sig->body,
			.len = claims[i].sig->len - claims[i].sig->body}};
		struct pgp_packet by = {.tag = PGP_TAG_PUBLIC_KEY};

		claims[i].sig->verified = true;
		if (claims[i].issuer == NULL)
			continue;
		if (claims[i].on->kind == PGP_SUBKEY) {
			p[1].tag = PGP_TAG_PUBLIC_SUBKEY;
			p[1].body = claims[i].on->body;
			p[1].len = claims[i].on->len;
		}
		by.body = claims[i].issuer->body;
		by.len = claims[i].issuer->len;
		claims[i].sig->verified =
		    pgp_revoker_verify(&p[0], &p[1], &p[2], &by) == PGP_GOOD;
		by_others++;
	}
	free(claims);
	return by_others;
}

/* Finds oscar when he is asked for. */
static size_t
ask_oscar(struct pgp_cert *cert)
{
	struct pgp_fpr fpr[PGP_REVOKERS];
	size_t n = pgp_cert_revokers(cert, fpr, PGP_REVOKERS);
	struct pgp_cert *by = oscar();

	for (size_t i = 0; i < n; i++)
		if (pgp_fpr_cmp(&fpr[i], pgp_cert_fpr(by)) == 0)
			assert_true(pgp_cert_revoker(cert, &by->components[0]));
	pgp_cert_free(by);
	return n;
}

static struct pgp_cert *
nora_stored(void)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = cert_of_key("nora.asc");

	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	return cert;
}

static bool
is_revoked(const struct pgp_cert *cert)
{
	struct pgp_state state;

	pgp_component_state(cert, &cert->components[0], NOW, &state);
	return state.revoked && state.hard;
}

static void
taken(void **state)
{
	struct pgp_cert *cert = cert_of_key("nora-revoked.asc"), *again;
	struct pgp_cert *stored = nora_stored();
	struct pgp_left_out left = {0};
	struct pgp_added added;
	struct pgp_blob one, two;

	(void)state;
	assert_int_equal(ask_oscar(cert), 1);
	assert_int_equal(judge(cert, &left), 1);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->components[0].nsigs, 2);
	assert_int_equal(
	    pgp_cert_merge(stored, cert, &pgp_policy_default, &added), PGP_OK);
	assert_int_equal(added.revocations, 1);
	assert_true(is_revoked(stored));
	/* It is what the store gives back. */
	assert_int_equal(pgp_cert_octets(stored, &one), PGP_OK);
	assert_int_equal(pgp_cert_parse(one.data, one.len, &pgp_policy_default,
			     PGP_VERIFIED, NOW, &left, &again),
	    PGP_OK);
	assert_true(is_revoked(again));
	assert_true(reads_alike(again));
	assert_int_equal(pgp_cert_octets(again, &two), PGP_OK);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	/* Once more, nothing is to be judged. */
	pgp_cert_free(cert);
	cert = cert_of_key("nora-revoked.asc");
	pgp_cert_known(cert, again);
	assert_int_equal(judge(cert, &left), 0);
	assert_true(is_revoked(cert));
	pgp_blob_free(&one, false);
	pgp_blob_free(&two, false);
	pgp_cert_free(again);
	pgp_cert_free(stored);
	pgp_cert_free(cert);
}

/* nora's key with what stands behind it in the file, but for the packet that
 * is given. */
static struct pgp_cert *
without(unsigned number, unsigned flip)
{
	struct pgp_blob b = octets_of_key("nora-revoked.asc"),
			joined = {NULL, 0};
	struct pgp_left_out left = {0};
	struct pgp_packet p;
	struct pgp_cert *cert;
	struct row r;
	size_t pos = 0;

	row_open(&r);
	for (unsigned i = 0;
	     pgp_packet_read(b.data, b.len, &pos, &joined, &p) == PGP_OK; i++) {
		if (i == flip)
			b.data[p.end - 5] ^= 1;
		if (i != number)
			row_packet(&r, p.tag, p.body, p.len);
	}
	pgp_blob_free(&b, false);
	b = row_close(&r);
	cert = parse(b, &left);
	pgp_blob_free(&b, false);
	return cert;
}

/* By what is stored: the mail has no more than the revocation. */
static void
named_in_the_store(void **state)
{
	struct pgp_cert *cert = without(2, 9), *stored = nora_stored();
	struct pgp_left_out left = {0};

	(void)state;
	assert_int_equal(ask_oscar(cert), 0);
	pgp_cert_known(cert, stored);
	assert_int_equal(ask_oscar(cert), 1);
	assert_int_equal(judge(cert, &left), 1);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_true(is_revoked(cert));
	pgp_cert_free(stored);
	pgp_cert_free(cert);
}

/* Dropped, each for its reason. */
static void
refused(struct pgp_cert *cert, bool found, size_t judged)
{
	struct pgp_left_out left = {0};

	if (found)
		ask_oscar(cert);
	assert_int_equal(judge(cert, &left), judged);
	pgp_cert_clean(cert, &pgp_policy_default, &left);
	assert_false(is_revoked(cert));
	assert_int_equal(
	    left.n[PGP_LEFT_THIRD_PARTY] + left.n[PGP_LEFT_UNVERIFIED], 1);
	pgp_cert_free(cert);
}

static void
not_named(void **state)
{
	(void)state;
	refused(without(2, 9), true, 0);
}

static void
not_stored(void **state)
{
	(void)state;
	refused(cert_of_key("nora-revoked.asc"), false, 0);
}

static void
bent(void **state)
{
	(void)state;
	refused(without(9, 1), true, 1);
}

/* The name is there, but the owner did not sign it. */
static void
named_by_a_forgery(void **state)
{
	struct pgp_cert *cert = cert_of_key("nora-revoked.asc");
	struct pgp_left_out left = {0};

	(void)state;
	ask_oscar(cert);
	assert_int_equal(judge(cert, &left), 1);
	for (size_t i = 0; i < cert->components[0].nsigs; i++)
		if (cert->components[0].sigs[i]->type == 0x1f)
			cert->components[0].sigs[i]->verified = false;
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_NOT_CERT);
	assert_false(is_revoked(cert));
	assert_int_equal(left.n[PGP_LEFT_THIRD_PARTY], 1);
	assert_int_equal(left.n[PGP_LEFT_UNVERIFIED], 1);
	pgp_cert_free(cert);
}

/* Several of them go, one after the other. */
static void
none_is_named(void **state)
{
	struct pgp_blob b = octets_of_key("nora-revoked.asc"),
			joined = {NULL, 0};
	struct pgp_left_out left = {.n = {0}};
	struct pgp_cert *cert;
	struct pgp_packet p;
	struct row r;
	size_t pos = 0;

	(void)state;
	row_open(&r);
	for (unsigned i = 0;
	     pgp_packet_read(b.data, b.len, &pos, &joined, &p) == PGP_OK; i++) {
		row_packet(&r, p.tag, p.body, p.len);
		if (i != 1)
			continue;
		b.data[p.end - 5] ^= 1;
		row_packet(&r, p.tag, p.body, p.len);
	}
	pgp_blob_free(&b, false);
	b = row_close(&r);
	cert = parse(b, &left);
	pgp_blob_free(&b, false);
	assert_int_equal(cert->components[0].nsigs, 3);
	verify_all(cert);
	for (size_t i = 0; i < 3; i++)
		if (cert->components[0].sigs[i]->type == 0x1f)
			cert->components[0].sigs[i]->verified = false;
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_NOT_CERT);
	assert_int_equal(cert->components[0].nsigs, 0);
	assert_int_equal(left.n[PGP_LEFT_THIRD_PARTY], 2);
	pgp_cert_free(cert);
}

/* Another key's signature is no owner's, whoever is put in the owner's place.
 */
static void
not_by_the_owner(void **state)
{
	struct pgp_blob b = octets_of_key("nora-revoked.asc"),
			joined = {NULL, 0};
	struct pgp_packet primary, sig, none = {.tag = 0}, by;
	struct pgp_cert *cert = oscar();
	size_t pos = 0;

	(void)state;
	by = (struct pgp_packet){.tag = PGP_TAG_PUBLIC_KEY,
	    .body = cert->components[0].body,
	    .len = cert->components[0].len};
	assert_int_equal(
	    pgp_packet_read(b.data, b.len, &pos, &joined, &primary), PGP_OK);
	assert_int_equal(
	    pgp_packet_read(b.data, b.len, &pos, &joined, &sig), PGP_OK);
	assert_int_equal(
	    pgp_revoker_verify(&primary, &none, &sig, &by), PGP_GOOD);
	assert_int_equal(pgp_revoker_verify(&by, &none, &sig, &by), PGP_BAD);
	assert_int_equal(
	    pgp_revoker_verify(&primary, &none, &sig, &primary), PGP_BAD);
	/* on a subkey there is none of this type */
	primary.tag = PGP_TAG_PUBLIC_SUBKEY;
	assert_int_equal(pgp_revoker_verify(&by, &primary, &sig, &by), PGP_BAD);
	pgp_cert_free(cert);
	pgp_blob_free(&b, false);
}

/* A flood of them costs no more than the first. */
static void
flooded(void **state)
{
	struct pgp_blob b = octets_of_key("nora-revoked.asc"),
			joined = {NULL, 0};
	struct pgp_left_out left = {0};
	struct pgp_packet primary, sig;
	struct pgp_cert *cert;
	struct row r;
	size_t pos = 0;

	(void)state;
	pgp_packet_read(b.data, b.len, &pos, &joined, &primary);
	pgp_packet_read(b.data, b.len, &pos, &joined, &sig);
	row_open(&r);
	row_packet(&r, primary.tag, primary.body, primary.len);
	for (unsigned i = 0; i < 5000; i++)
		row_packet(&r, sig.tag, sig.body, sig.len);
	pgp_blob_free(&b, false);
	b = row_close(&r);
	cert = parse(b, &left);
	pgp_blob_free(&b, false);
	assert_int_equal(cert->components[0].nsigs, 1);
	assert_int_equal(left.n[PGP_LEFT_THIRD_PARTY], 5000 - 64);
	pgp_cert_free(cert);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(taken),
	    cmocka_unit_test(named_in_the_store),
	    cmocka_unit_test(not_named),
	    cmocka_unit_test(not_stored),
	    cmocka_unit_test(bent),
	    cmocka_unit_test(named_by_a_forgery),
	    cmocka_unit_test(none_is_named),
	    cmocka_unit_test(not_by_the_owner),
	    cmocka_unit_test(flooded),
	};

	return cmocka_run_group_tests_name("revoker", tests, NULL, NULL);
}
