/*
 * What may be kept: caps, claims, and the cleaning that follows judgement.
 */
#include "pgp/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct pgp_policy pgp_policy_default = {
    .certificate_size = 256 << 10,
    .packet_size = 8383,
    .userid_size = 1024,
    .attribute_size = 0,
    .signature_size = 64 << 10,
    .userids = 256,
    .subkeys = 64,
    .self_signatures = 10,
    .revocations = 10,
    .claims = 32,
    .all_claims = 2048,
    .future = 86400,
};

/* ---- what the store holds already ---------------------------------------- */

static int
same_qcmp(const void *a, const void *b)
{
	return signature_same(*(struct pgp_signature *const *)a,
	    *(struct pgp_signature *const *)b);
}

static bool
identical(const struct pgp_signature *a, const struct pgp_signature *b)
{
	return a->len == b->len && memcmp(a->packet, b->packet, a->len) == 0;
}

/* The stored signature, or a copy of it, in place of one that is the same. */
static void
know_signature(struct pgp_signature **slot, struct pgp_signature *stored)
{
	struct pgp_signature *copy;

	if (!identical(*slot, stored)) {
		copy = signature_dup(stored);
		/* Without memory it is judged again: slow, not wrong. */
		if (copy == NULL)
			return;
		signature_free(*slot);
		*slot = copy;
	}
	(*slot)->verified = true;
}

/* After variants gave way to what is stored, there may be several of it. */
static void
drop_repeated(struct pgp_component *c)
{
	struct pgp_signature *last = NULL;
	size_t i;

	component_sort(c);
	for (i = 0; i < c->nsigs; i++) {
		if (last != NULL && last->verified && c->sigs[i]->verified &&
		    identical(last, c->sigs[i])) {
			signature_free(c->sigs[i]);
			c->sigs[i] = NULL;
		} else
			last = c->sigs[i];
	}
	component_pack(c);
}

static void
know_component(struct pgp_component *c, const struct pgp_component *stored)
{
	struct pgp_signature **sorted, **found;
	size_t i;

	if (c->nsigs == 0 || stored->nsigs == 0)
		return;
	sorted = malloc(stored->nsigs * sizeof(*sorted));
	if (sorted == NULL)
		return;
	memcpy(sorted, stored->sigs, stored->nsigs * sizeof(*sorted));
	qsort(sorted, stored->nsigs, sizeof(*sorted), same_qcmp);
	for (i = 0; i < c->nsigs; i++) {
		found = bsearch(&c->sigs[i], sorted, stored->nsigs,
		    sizeof(*sorted), same_qcmp);
		if (found != NULL && (*found)->verified)
			know_signature(&c->sigs[i], *found);
	}
	free(sorted);
	drop_repeated(c);
}

void
pgp_cert_known(struct pgp_cert *cert, const struct pgp_cert *stored)
{
	const struct pgp_component *same;
	size_t i;

	if (!same_key(&cert->components[0], &stored->components[0]))
		return;
	for (i = 0; i < cert->ncomponents; i++) {
		same = cert_find(stored, &cert->components[i]);
		if (same == NULL)
			continue;
		cert->components[i].stored = true;
		know_component(&cert->components[i], same);
	}
	revoker_known(cert, stored);
}

/* ---- claims -------------------------------------------------------------- */

static bool
has_verified(const struct pgp_component *c)
{
	size_t i;

	for (i = 0; i < c->nsigs; i++)
		if (c->sigs[i]->verified)
			return true;
	return false;
}

/*
 * A genuine revocation of the key among forged ones that look newer is worth
 * more work than anything else, so that many times the claims are looked at,
 * and they are counted apart from all others.
 */
#define KEY_REVOCATIONS 16

/* They stand in order: the newest come first. */
static void
cap_claims(struct pgp_component *c, unsigned cap, unsigned revocations,
    struct pgp_left_out *left)
{
	unsigned most[2] = {cap, revocations}, n[2] = {0, 0};
	bool revokes;
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		revokes = signature_is_revocation(c->sigs[i]);
		if (c->sigs[i]->verified || n[revokes]++ < most[revokes])
			continue;
		signature_free(c->sigs[i]);
		c->sigs[i] = NULL;
		left_note(left, PGP_LEFT_TOO_MANY, c, false);
	}
	component_pack(c);
}

/* How many claims a cap on those of each component leaves, but for revocations
 * of the key. */
static size_t
count_claims(const struct pgp_cert *cert, unsigned cap)
{
	const struct pgp_component *c;
	size_t i, j, all = 0;

	for (i = 0; i < cert->ncomponents; i++) {
		unsigned n[2] = {0, 0};

		c = &cert->components[i];
		for (j = 0; j < c->nsigs; j++)
			if (!c->sigs[j]->verified)
				n[signature_is_revocation(c->sigs[j])]++;
		all += n[0] < cap ? n[0] : cap;
		if (i > 0)
			all += n[1] < cap ? n[1] : cap;
	}
	return all;
}

static struct pgp_claim *
list_claims(struct pgp_cert *cert, size_t *n)
{
	const struct pgp_component *c;
	struct pgp_claim *claims;
	size_t i, j, max = 1;

	for (i = 0; i < cert->ncomponents; i++)
		max += cert->components[i].nsigs;
	claims = calloc(max, sizeof(*claims));
	if (claims == NULL)
		return NULL;
	*n = 0;
	for (i = 0; i < cert->ncomponents && !pgp_cert_opaque(cert); i++) {
		c = &cert->components[i];
		for (j = 0; j < c->nsigs; j++) {
			if (c->sigs[j]->verified)
				continue;
			claims[*n].primary = &cert->components[0];
			claims[*n].on = c;
			claims[*n].issuer = c->sigs[j]->by_revoker
						? revoker_of(cert, c->sigs[j])
						: NULL;
			claims[(*n)++].sig = c->sigs[j];
		}
	}
	return claims;
}

struct pgp_claim *
pgp_cert_claims(struct pgp_cert *cert, const struct pgp_policy *policy,
    struct pgp_left_out *left, size_t *n)
{
	struct pgp_claim *claims;
	unsigned cap = policy->claims;
	size_t i;

	*n = SIZE_MAX;
	revoker_settle(cert, false, left);
	if (!cert_cap_components(cert, policy, NULL, left))
		return NULL;
	while (cap > 1 && count_claims(cert, cap) > policy->all_claims)
		cap--;
	for (i = 0; i < cert->ncomponents; i++)
		cap_claims(&cert->components[i], cap,
		    i == 0 ? policy->claims * KEY_REVOCATIONS : cap, left);
	claims = list_claims(cert, n);
	if (claims != NULL && *n == 0) {
		free(claims);
		claims = NULL;
	}
	return claims;
}

/* ---- caps ---------------------------------------------------------------- */

/* Of signatures that are the same, and so neighbours, leaves the smallest. */
static void
collapse_same(struct pgp_component *c, struct pgp_left_out *left)
{
	size_t i, kept = 0, drop;

	for (i = 1; i < c->nsigs; i++) {
		if (signature_same(c->sigs[kept], c->sigs[i]) != 0) {
			kept = i;
			continue;
		}
		drop = i;
		if (signature_preferred(c->sigs[i], c->sigs[kept])) {
			drop = kept;
			kept = i;
		}
		signature_free(c->sigs[drop]);
		c->sigs[drop] = NULL;
		left->n[PGP_LEFT_DUPLICATE]++;
	}
	component_pack(c);
}

static void
cap_signatures(struct pgp_component *c, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	unsigned n[2] = {0, 0};
	unsigned cap[2] = {policy->self_signatures, policy->revocations};
	bool revocation;
	size_t i;

	component_sort(c);
	collapse_same(c, left);
	for (i = 0; i < c->nsigs; i++) {
		revocation = signature_is_revocation(c->sigs[i]);
		if (n[revocation]++ < cap[revocation])
			continue;
		signature_free(c->sigs[i]);
		c->sigs[i] = NULL;
		left_note(left, PGP_LEFT_SUPERSEDED, c, false);
	}
	component_pack(c);
}

void
cert_cap_signatures(struct pgp_cert *cert, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	size_t i;

	for (i = 0; i < cert->ncomponents; i++)
		cap_signatures(&cert->components[i], policy, left);
}

static bool
is_held(const struct pgp_cert *held, const struct pgp_component *c)
{
	if (held != NULL)
		return cert_find(held, c) != NULL;
	return c->stored || has_verified(c);
}

/* Marks the components of a kind over their number: user IDs from the end,
 * subkeys from the oldest. */
static void
mark_over(const struct pgp_cert *cert, enum pgp_kind kind, unsigned cap,
    const struct pgp_cert *held, bool *drop, struct pgp_left_out *left)
{
	size_t i, at, n = cert->ncomponents;
	bool first;
	size_t kept = 0;
	int pass;

	/* Those that are held are counted first. */
	for (pass = 0; pass < 2; pass++) {
		first = pass == 0;
		for (i = 0; i < n; i++) {
			at = kind == PGP_SUBKEY ? n - 1 - i : i;
			if (cert->components[at].kind != kind ||
			    is_held(held, &cert->components[at]) != first)
				continue;
			if (kept++ < cap || (first && held != NULL))
				continue;
			drop[at] = true;
			left_note(left, PGP_LEFT_TOO_MANY,
			    &cert->components[at], true);
		}
	}
}

bool
cert_cap_components(struct pgp_cert *cert, const struct pgp_policy *policy,
    const struct pgp_cert *held, struct pgp_left_out *left)
{
	bool *drop;

	if (cert->ncomponents - 1 <= policy->userids &&
	    cert->ncomponents - 1 <= policy->subkeys)
		return true;
	drop = calloc(cert->ncomponents, sizeof(*drop));
	if (drop == NULL)
		return false;
	mark_over(cert, PGP_USERID, policy->userids, held, drop, left);
	mark_over(cert, PGP_ATTRIBUTE, policy->userids, held, drop, left);
	mark_over(cert, PGP_SUBKEY, policy->subkeys, held, drop, left);
	cert_drop(cert, drop);
	free(drop);
	return true;
}

/* ---- octets -------------------------------------------------------------- */

/* What goes first when a certificate is over its size, in this order. */
enum worth {
	WORTH_ATTRIBUTE,
	WORTH_OLDER,   /* self-signatures but the newest of their component */
	WORTH_USERID,  /* from the end, but not the first */
	WORTH_SUBKEY,  /* from the oldest */
	WORTH_REVOKED, /* user IDs but the first, and subkeys */
	WORTH_PRIMARY, /* what stands on the key itself */
	WORTH_REST,
	WORTH_ALL
};

struct diet {
	struct pgp_cert *cert;
	const struct pgp_cert *held;
	struct pgp_left_out *left;
	size_t size, cap;
	bool *drop;
};

static bool
has_revocation(const struct pgp_component *c)
{
	return c->nsigs > 0 && signature_is_revocation(c->sigs[0]);
}

/* Whether the component at i goes in this step. */
static bool
component_goes(const struct diet *d, size_t i, enum worth worth)
{
	const struct pgp_component *c = &d->cert->components[i];

	if (d->drop[i] || c->kind == PGP_PRIMARY ||
	    (d->held != NULL && cert_find(d->held, c) != NULL))
		return false;
	switch (worth) {
	case WORTH_ATTRIBUTE:
		return c->kind == PGP_ATTRIBUTE;
	case WORTH_USERID:
		return c->kind == PGP_USERID && i > 1 && !has_revocation(c);
	case WORTH_SUBKEY:
		return c->kind == PGP_SUBKEY && !has_revocation(c);
	case WORTH_REVOKED:
		return c->kind != PGP_USERID || i > 1;
	default:
		return true;
	}
}

static void
shed_components(struct diet *d, enum worth worth)
{
	size_t i, at, n = d->cert->ncomponents;

	for (i = 0; i < n && d->size > d->cap; i++) {
		at = worth == WORTH_SUBKEY ? i : n - 1 - i;
		if (!component_goes(d, at, worth))
			continue;
		d->drop[at] = true;
		d->size -= component_size(&d->cert->components[at]);
		left_note(d->left, PGP_LEFT_TOO_LARGE, &d->cert->components[at],
		    true);
	}
}

/* Whether `held` has a signature of this component. */
static bool
holds_signature(
    const struct pgp_component *held, const struct pgp_signature *sig)
{
	size_t i;

	for (i = 0; held != NULL && i < held->nsigs; i++)
		if (signature_same(held->sigs[i], sig) == 0)
			return true;
	return false;
}

/* Drops the oldest signatures of a component, those before `from` stay. */
static void
shed_signatures(struct diet *d, struct pgp_component *c, size_t from)
{
	const struct pgp_component *held = NULL;
	size_t i;

	if (d->held != NULL)
		held = cert_find(d->held, c);
	for (i = c->nsigs; i-- > from && d->size > d->cap;) {
		if (holds_signature(held, c->sigs[i]))
			continue;
		d->size -= c->sigs[i]->len;
		signature_free(c->sigs[i]);
		c->sigs[i] = NULL;
		left_note(d->left, PGP_LEFT_TOO_LARGE, c, false);
	}
	component_pack(c);
}

/* Behind all revocations and the newest self-signature. */
static size_t
behind_newest(const struct pgp_component *c)
{
	size_t i = 0;

	while (i < c->nsigs && signature_is_revocation(c->sigs[i]))
		i++;
	return i + 1;
}

static void
shed(struct diet *d, enum worth worth)
{
	struct pgp_component *primary = &d->cert->components[0];
	size_t i;

	if (worth == WORTH_OLDER) {
		for (i = d->cert->ncomponents; i-- > 0;)
			if (!d->drop[i])
				shed_signatures(d, &d->cert->components[i],
				    behind_newest(&d->cert->components[i]));
	} else if (worth == WORTH_PRIMARY) {
		/* A hard revocation, if there is one, is the first. */
		shed_signatures(
		    d, primary, primary->nsigs > 0 && primary->sigs[0]->hard);
	} else
		shed_components(d, worth);
}

bool
cert_cap_size(struct pgp_cert *cert, const struct pgp_policy *policy,
    const struct pgp_cert *held, struct pgp_left_out *left)
{
	struct diet d = {.cert = cert,
	    .held = held,
	    .left = left,
	    .size = cert_size(cert),
	    .cap = policy->certificate_size};
	enum worth worth;

	if (!others_shed(cert, held, &d.size, d.cap, left))
		return false;
	if (d.size <= d.cap)
		return true;
	d.drop = calloc(cert->ncomponents, sizeof(*d.drop));
	if (d.drop == NULL)
		return false;
	for (worth = 0; worth < WORTH_ALL && d.size > d.cap; worth++)
		shed(&d, worth);
	cert_drop(cert, d.drop);
	free(d.drop);
	return true;
}

/* ---- cleaning ------------------------------------------------------------ */

static void
drop_unverified(struct pgp_component *c, struct pgp_left_out *left)
{
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		if (c->sigs[i]->verified)
			continue;
		signature_free(c->sigs[i]);
		c->sigs[i] = NULL;
		left_note(left, PGP_LEFT_UNVERIFIED, c, false);
	}
	component_pack(c);
}

static bool
drop_bare(struct pgp_cert *cert, struct pgp_left_out *left)
{
	bool *drop = calloc(cert->ncomponents, sizeof(*drop));
	size_t i;

	if (drop == NULL)
		return false;
	for (i = 1; i < cert->ncomponents; i++) {
		drop[i] = cert->components[i].nsigs == 0;
		if (drop[i])
			left_note(left, PGP_LEFT_NO_SELFSIG,
			    &cert->components[i], true);
	}
	cert_drop(cert, drop);
	free(drop);
	return true;
}

static bool
worth_keeping(const struct pgp_cert *cert)
{
	/* What stands on the key itself is a revocation or a direct-key
	 * signature. */
	return cert->components[0].nsigs > 0 ||
	       (cert->ncomponents > 1 &&
		   cert->components[1].kind == PGP_USERID);
}

enum pgp_status
pgp_cert_clean(struct pgp_cert *cert, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	size_t i;

	assert(cert->ncomponents > 0);
	for (i = 0; i < cert->ncomponents && !pgp_cert_opaque(cert); i++)
		drop_unverified(&cert->components[i], left);
	revoker_settle(cert, true, left);
	if (!drop_bare(cert, left))
		return PGP_NOMEM;
	cert_cap_signatures(cert, policy, left);
	if (!cert_cap_components(cert, policy, NULL, left) ||
	    !others_cap(cert, policy, NULL, left) ||
	    !cert_cap_size(cert, policy, NULL, left))
		return PGP_NOMEM;
	return worth_keeping(cert) ? PGP_OK : PGP_NOT_CERT;
}
