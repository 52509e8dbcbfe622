/*
 * Any octets as certificates: the canonical form is a fixed point of reading,
 * a merge with itself changes nothing, and the order of a merge makes no
 * difference; where nobody has checked anything, nothing is lost by it.
 */
#include "tests/unit/same_cert.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1767225600u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static struct pgp_policy policy;

static struct pgp_cert *
read_cert(const uint8_t *data, size_t size, enum pgp_trust trust)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;

	if (pgp_cert_parse(data, size, &policy, trust, NOW, &left, &cert) !=
	    PGP_OK)
		return NULL;
	return cert;
}

static void
require_same(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_blob x, y;

	require(pgp_cert_octets(a, &x) == PGP_OK);
	require(pgp_cert_octets(b, &y) == PGP_OK);
	require(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
	pgp_blob_free(&x, false);
	pgp_blob_free(&y, false);
}

static void
fixed_point(const struct pgp_cert *cert)
{
	struct pgp_cert *again;
	struct pgp_blob b;

	require(pgp_cert_octets(cert, &b) == PGP_OK);
	again = read_cert(
	    b.data, b.len, cert->unverified ? PGP_UNVERIFIED : PGP_VERIFIED);
	require(again != NULL);
	require_same(cert, again);
	require(reads_alike(again));
	pgp_blob_free(&b, false);
	pgp_cert_free(again);
}

/* What the disk gives back may be anything. */
static void
stored(const uint8_t *data, size_t size)
{
	struct pgp_state state;
	struct pgp_cert *cert;

	for (int unverified = 0; unverified < 2; unverified++) {
		if (pgp_cert_read(data, size, unverified, &cert) != PGP_OK)
			continue;
		require_same(cert, cert);
		for (size_t i = 0; i < cert->ncomponents; i++)
			pgp_component_state(
			    cert, &cert->components[i], NOW, &state);
		(void)pgp_cert_primary_userid(cert);
		pgp_cert_free(cert);
	}
}

/* Whoever is named has a key here, if only by its key ID. */
static void
name_revokers(struct pgp_cert *cert)
{
	struct pgp_component key = cert->components[0];
	struct pgp_fpr fpr[PGP_REVOKERS];
	size_t i, n = pgp_cert_revokers(cert, fpr, PGP_REVOKERS);

	key.others = NULL;
	key.nothers = 0;
	for (i = 0; i < n; i++) {
		memcpy(key.keyid, fpr[i].octet + 12, 8);
		require(pgp_cert_revoker(cert, &key));
	}
}

/* Every other signature is taken for verified, as `salt` says. */
static void
judge(struct pgp_cert *cert, unsigned salt)
{
	struct pgp_left_out left = {0};
	struct pgp_claim *claims;
	size_t i, n;

	name_revokers(cert);
	claims = pgp_cert_claims(cert, &policy, &left, &n);
	require(n != SIZE_MAX);
	for (i = 0; i < n; i++)
		claims[i].sig->verified = (i + salt) % 3 != 0;
	free(claims);
	pgp_cert_clean(cert, &policy, &left);
}

static void
look(const struct pgp_cert *cert)
{
	struct pgp_state state;
	size_t i;

	for (i = 0; i < cert->ncomponents; i++)
		pgp_component_state(cert, &cert->components[i], NOW, &state);
	pgp_cert_primary_userid(cert);
}

/* b is another cleaned form of a. */
static void
merge_opaque(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_cert *ab = pgp_cert_dup(a);
	struct pgp_added added;
	size_t i;

	require(pgp_cert_merge(ab, b, &policy, &added) == PGP_OK);
	require(ab->ncomponents >= a->ncomponents);
	for (i = 0; i < ab->ncomponents; i++)
		require(ab->components[i].nsigs <=
			policy.self_signatures + policy.revocations);
	fixed_point(ab);
	require(pgp_cert_merge(ab, a, &policy, &added) == PGP_OK);
	require(added.userids == 0 && added.subkeys == 0);
	require(added.signatures == 0 && added.revocations == 0);
	pgp_cert_free(ab);
}

static void
merge(const uint8_t *data, size_t size)
{
	struct pgp_cert *a = read_cert(data, size, PGP_CLAIMED);
	struct pgp_cert *b = pgp_cert_dup(a), *ab, *ba, *c = pgp_cert_dup(a);
	struct pgp_added added;

	judge(a, 0);
	judge(b, 1);
	fixed_point(a);
	look(a);
	if (pgp_cert_opaque(a)) {
		merge_opaque(a, c);
		pgp_cert_free(a);
		pgp_cert_free(b);
		pgp_cert_free(c);
		return;
	}
	ab = pgp_cert_dup(a);
	ba = pgp_cert_dup(b);
	require(pgp_cert_merge(ab, b, &policy, &added) == PGP_OK);
	require(pgp_cert_merge(ba, a, &policy, &added) == PGP_OK);
	require_same(ab, ba);
	require(pgp_cert_merge(ab, a, &policy, &added) == PGP_OK);
	require(added.userids == 0 && added.subkeys == 0);
	require(added.signatures == 0 && added.revocations == 0);
	require(added.certifications == 0);
	require_same(ab, ba);
	pgp_cert_known(c, ab);
	judge(c, 0);
	pgp_cert_free(a);
	pgp_cert_free(b);
	pgp_cert_free(c);
	pgp_cert_free(ab);
	pgp_cert_free(ba);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_cert *cert;

	policy = pgp_policy_default;
	policy.attribute_size = 65536;
	policy.self_signatures = policy.revocations = 2;
	policy.certifications = 3;
	policy.keep_unverified = true;
	stored(data, size);
	cert = read_cert(data, size, PGP_CLAIMED);
	if (cert == NULL)
		return 0;
	fixed_point(cert);
	pgp_cert_free(cert);
	merge(data, size);
	return 0;
}
