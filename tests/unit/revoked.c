/*
 * A hard revocation of the primary key beats everything: it is taken at every
 * cap, stays in every merge, and stands first.
 */
#include "tests/unit/store.h"

#define CREATED 1500000000u
#define ROUNDS	300
#define STEPS	30

/* What a certificate of one and the same key may have on it. */
struct made {
	unsigned soft;	       /* revocations: superseded, retired ... */
	unsigned direct;       /* signatures on the key itself */
	unsigned first, names; /* user IDs: the number of the first, how many */
	bool hard;	       /* revoked, and that is the oldest of all */
	bool forged;	       /* nothing on it is verified */
};

static void
make_signatures(FILE *f, const struct made *m, const unsigned char *issuer)
{
	struct forged_sig sig = {.type = 0x20, .issuer = issuer};

	for (unsigned i = 0; i < m->soft; i++) {
		sig.reason = i % 2 == 0 ? 1 : 3;
		sig.created = CREATED + 1000 + i;
		forge_sig(f, &sig);
	}
	if (m->hard) {
		sig.reason = 2;
		sig.created = CREATED + 1;
		forge_sig(f, &sig);
	}
	sig.type = 0x1f;
	for (unsigned i = 0; i < m->direct; i++) {
		sig.created = CREATED + 2000 + i;
		forge_sig(f, &sig);
	}
}

static void
make_userids(FILE *f, const struct made *m, const unsigned char *issuer)
{
	const struct forged_sig sig = {
	    .type = 0x13, .flags = 3, .created = CREATED + 5, .issuer = issuer};
	char name[32];

	for (unsigned i = 0; i < m->names; i++) {
		snprintf(name, sizeof(name), "User %06u", m->first + i);
		forge_packet(f, PGP_TAG_USERID, name, strlen(name));
		forge_sig(f, &sig);
	}
}

static struct pgp_cert *
make(const struct made *m)
{
	const struct forged key = {.seed = 1, .created = CREATED, .bits = 512};
	struct pgp_cert *bare = forge(&key), *cert = NULL;
	struct pgp_left_out left = {0};
	char *octets = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&octets, &len);

	assert_non_null(bare);
	assert_non_null(f);
	forge_key(f, PGP_TAG_PUBLIC_KEY, 1, 1, 512, CREATED);
	make_signatures(f, m, bare->components[0].keyid);
	make_userids(f, m, bare->components[0].keyid);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(
	    pgp_cert_parse((unsigned char *)octets, len, &pgp_policy_default,
		m->forged ? PGP_CLAIMED : PGP_VERIFIED, FORGE_NOW, &left,
		&cert),
	    PGP_OK);
	free(octets);
	pgp_cert_free(bare);
	return cert;
}

static bool
is_revoked(const struct pgp_cert *cert)
{
	const struct pgp_component *primary = &cert->components[0];
	struct pgp_state state;

	pgp_component_state(cert, primary, FORGE_NOW, &state);
	return primary->nsigs > 0 && primary->sigs[0]->type == 0x20 &&
	       primary->sigs[0]->hard && state.revoked && state.hard;
}

static size_t
size_of(const struct pgp_cert *cert)
{
	struct pgp_blob b;
	size_t len;

	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	len = b.len;
	pgp_blob_free(&b, false);
	return len;
}

/* ---- at each cap --------------------------------------------------------- */

static const struct {
	const char *name;
	struct made held, comes;
	bool full; /* what is held is as large as it may be */
} caps[] = {
    {"size", {.names = 20}, {.hard = true}, true},
    {"size, from a full one", {.names = 20}, {.names = 20, .hard = true}, true},
    {"size, with others beside it", {.names = 20},
	{.first = 100, .names = 20, .soft = 3, .direct = 3, .hard = true},
	true},
    {"user IDs", {.names = 256}, {.first = 300, .names = 5, .hard = true},
	false},
    {"revocations", {.names = 1, .soft = 10}, {.hard = true}, false},
    {"revocations that come along", {.names = 1}, {.soft = 40, .hard = true},
	false},
    {"signatures", {.names = 1, .direct = 10, .soft = 10},
	{.direct = 30, .soft = 30, .hard = true}, false},
    {"all of them, full", {.names = 256, .soft = 10, .direct = 10},
	{.first = 300, .names = 200, .soft = 40, .direct = 40, .hard = true},
	true},
};

static void
taken_at_each_cap(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		struct pgp_cert *into = make(&caps[i].held);
		struct pgp_cert *from = make(&caps[i].comes);
		struct pgp_policy policy = pgp_policy_default;
		struct pgp_left_out left = {0};
		struct pgp_added added;

		assert_int_equal(pgp_cert_clean(into, &policy, &left), PGP_OK);
		if (caps[i].full)
			policy.certificate_size = size_of(into);
		assert_int_equal(pgp_cert_clean(from, &policy, &left), PGP_OK);
		if (!is_revoked(from))
			fail_msg("%s: gone before the merge", caps[i].name);
		assert_int_equal(
		    pgp_cert_merge(into, from, &policy, &added), PGP_OK);
		if (!is_revoked(into))
			fail_msg("%s: not taken", caps[i].name);
		pgp_cert_free(into);
		pgp_cert_free(from);
	}
}

/* Among more claims than are looked at it is the first. */
static void
judged_first(void **state)
{
	const struct made m = {.names = 2,
	    .soft = 600,
	    .direct = 100,
	    .hard = true,
	    .forged = true};
	struct pgp_cert *cert = make(&m);
	struct pgp_left_out left = {0};
	struct pgp_claim *claims;
	size_t n;

	(void)state;
	claims = pgp_cert_claims(cert, &pgp_policy_default, &left, &n);
	assert_non_null(claims);
	assert_true(n < 600);
	assert_true(claims[0].on == claims[0].primary);
	assert_true(claims[0].sig->hard);
	free(claims);
	pgp_cert_free(cert);
}

/* ---- in every merge ------------------------------------------------------ */

static unsigned
dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % sides;
}

/* Random certificates of one key, one after the other, under caps that they
 * all break: once one was revoked, the key is and stays so. */
static void
stays_in_every_merge(void **state)
{
	unsigned seed = 1, taken = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct pgp_policy policy = pgp_policy_default;
		struct made m = {.names = 1};
		struct pgp_cert *into = make(&m);
		struct pgp_left_out left = {0};
		struct pgp_added added;
		bool revoked = false;

		policy.certificate_size = 200 + dice(&seed, 1500);
		policy.userids = 1 + dice(&seed, 5);
		policy.revocations = 1 + dice(&seed, 3);
		policy.self_signatures = 1 + dice(&seed, 3);
		for (unsigned step = 0; step < STEPS; step++) {
			struct pgp_cert *from;
			enum pgp_status status;

			m = (struct made){.soft = dice(&seed, 6),
			    .direct = dice(&seed, 6),
			    .first = dice(&seed, 20),
			    .names = dice(&seed, 6),
			    .hard = dice(&seed, STEPS / 2) == 0};
			from = make(&m);
			status = pgp_cert_clean(from, &policy, &left);
			assert_true(status == PGP_OK || status == PGP_NOT_CERT);
			assert_int_equal(
			    pgp_cert_merge(into, from, &policy, &added),
			    PGP_OK);
			revoked |= m.hard;
			if (is_revoked(into) != revoked)
				fail_msg("round %u, step %u: %d", round, step,
				    revoked);
			pgp_cert_free(from);
		}
		taken += revoked;
		pgp_cert_free(into);
	}
	assert_true(taken > ROUNDS / 2 && taken < ROUNDS);
}

/* ---- in the store -------------------------------------------------------- */

static void
stays_in_the_store(void **state)
{
	const struct made full = {.names = 256, .soft = 10, .direct = 10},
			  hard = {.hard = true},
			  old = {.names = 3, .direct = 2};
	const struct made *const order[] = {&full, &hard, &old, &full};
	const struct ks_origin origin = {.now = NOW};
	struct tempstore *t = *state;
	struct pgp_cert *cert = make(&hard), *got;
	const struct pgp_fpr fpr = *pgp_cert_fpr(cert);
	struct pgp_added added;
	enum ks_change change;

	pgp_cert_free(cert);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		cert = make(order[i]);
		begin(t);
		assert_int_equal(
		    ks_put(t->ks, cert, &origin, &change, &added), KS_OK);
		commit(t);
		pgp_cert_free(cert);
		store_reopen(t);
		assert_int_equal(ks_get(t->ks, &fpr, &got, NULL), KS_OK);
		assert_int_equal(is_revoked(got), i > 0);
		pgp_cert_free(got);
	}
	assert_int_equal(wrong_in(t), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(taken_at_each_cap),
	    cmocka_unit_test(judged_first),
	    cmocka_unit_test(stays_in_every_merge),
	    store_test(stays_in_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
