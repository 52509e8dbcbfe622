/*
 * Two copies of one certificate into one, in canonical order.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

/* Puts copies of the other's signatures behind those of `to`, unsorted; of the
 * certifications by other keys those that `to` has stay. */
static bool
add_copies(struct pgp_component *to, const struct pgp_component *from)
{
	size_t i;

	for (i = 0; i < from->nsigs; i++)
		if (!component_add(to, signature_dup(from->sigs[i])))
			return false;
	return others_unite(to, from);
}

/* Appends a copy of a, with the signatures of b (may be NULL). */
static bool
append(struct pgp_cert *to, const struct pgp_component *a,
    const struct pgp_component *b)
{
	struct pgp_component *c = &to->components[to->ncomponents];

	if (!component_dup(c, a))
		return false;
	to->ncomponents++;
	return b == NULL || add_copies(c, b);
}

/* The union of components in canonical order; signatures unsorted. */
static struct pgp_cert *
unite(const struct pgp_cert *a, const struct pgp_cert *b)
{
	struct pgp_cert *cert = calloc(1, sizeof(*cert));
	size_t i = 0, j = 0;
	bool good = true;
	int r;

	if (cert == NULL)
		return NULL;
	cert->components =
	    calloc(a->ncomponents + b->ncomponents, sizeof(*cert->components));
	good = cert->components != NULL;
	while (good && (i < a->ncomponents || j < b->ncomponents)) {
		if (i == a->ncomponents)
			r = 1;
		else if (j == b->ncomponents)
			r = -1;
		else
			r = component_cmp(&a->components[i], &b->components[j]);
		if (r > 0)
			good = append(cert, &b->components[j++], NULL);
		else if (r < 0)
			good = append(cert, &a->components[i++], NULL);
		else
			good = append(
			    cert, &a->components[i++], &b->components[j++]);
	}
	if (good)
		return cert;
	pgp_cert_free(cert);
	return NULL;
}

static void
count_signatures(const struct pgp_component *now,
    const struct pgp_component *had, struct pgp_added *added)
{
	size_t i;

	for (i = 0; i < now->nsigs; i++) {
		if (component_has(had, now->sigs[i]))
			continue;
		if (signature_is_revocation(now->sigs[i]))
			added->revocations++;
		else
			added->signatures++;
	}
}

static unsigned
count_others(const struct pgp_component *now, const struct pgp_component *had)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < now->nothers; i++)
		n += had == NULL || !others_have(had, now->others[i]);
	return n;
}

static void
count_added(const struct pgp_cert *now, const struct pgp_cert *had,
    struct pgp_added *added)
{
	const struct pgp_component *c, *same;
	size_t i;

	memset(added, 0, sizeof(*added));
	for (i = 0; i < now->ncomponents; i++) {
		c = &now->components[i];
		same = cert_find(had, c);
		added->certifications += count_others(c, same);
		if (same != NULL)
			count_signatures(c, same, added);
		else if (c->kind == PGP_USERID)
			added->userids++;
		else if (c->kind == PGP_SUBKEY)
			added->subkeys++;
		else
			added->attributes++;
	}
}

static void
replace(struct pgp_cert *into, struct pgp_cert *cert, struct pgp_added *added)
{
	struct pgp_cert old = *into;

	count_added(cert, into, added);
	*into = *cert;
	*cert = old;
	pgp_cert_free(cert);
}

static enum pgp_status
merge_verified(struct pgp_cert *into, const struct pgp_cert *from,
    const struct pgp_policy *policy, struct pgp_added *added)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = unite(into, from);

	if (cert == NULL)
		return PGP_NOMEM;
	cert->unverified = into->unverified;
	cert_cap_signatures(cert, policy, &left);
	if (!cert_cap_components(cert, policy, into, &left) ||
	    !others_cap(cert, policy, into, &left) ||
	    !cert_cap_size(cert, policy, into, &left)) {
		pgp_cert_free(cert);
		return PGP_NOMEM;
	}
	replace(into, cert, added);
	return PGP_OK;
}

/* ---- what nobody has checked --------------------------------------------- */

/* Room that is left in a certificate. */
struct room {
	const struct pgp_policy *policy;
	size_t octets;
	size_t components[PGP_SUBKEY + 1];
};

static struct room
room_of(const struct pgp_cert *cert, const struct pgp_policy *policy)
{
	size_t i, size = cert_size(cert);
	struct room room = {.policy = policy,
	    .components = {[PGP_USERID] = policy->userids,
		[PGP_ATTRIBUTE] = policy->userids,
		[PGP_SUBKEY] = policy->subkeys}};

	if (size < policy->certificate_size)
		room.octets = policy->certificate_size - size;
	for (i = 1; i < cert->ncomponents; i++)
		if (room.components[cert->components[i].kind] > 0)
			room.components[cert->components[i].kind]--;
	return room;
}

/* Whether the component may have one more of this kind. */
static bool
has_room(const struct room *room, const struct pgp_component *c,
    const struct pgp_signature *sig)
{
	bool revokes = signature_is_revocation(sig);
	unsigned cap =
	    revokes ? room->policy->revocations : room->policy->self_signatures;
	size_t i;

	if (sig->len > room->octets || component_has(c, sig))
		return false;
	for (i = 0; i < c->nsigs && cap > 0; i++)
		if (signature_is_revocation(c->sigs[i]) == revokes)
			cap--;
	return cap > 0;
}

static bool
add_what_fits(struct pgp_component *to, const struct pgp_component *from,
    struct room *room)
{
	size_t i;

	for (i = 0; i < from->nsigs; i++) {
		if (!has_room(room, to, from->sigs[i]))
			continue;
		if (!component_add(to, signature_dup(from->sigs[i])))
			return false;
		room->octets -= from->sigs[i]->len;
	}
	component_sort(to);
	return true;
}

/* A copy with room for so many components more; NULL: no memory. */
static struct pgp_cert *
dup_with_room(const struct pgp_cert *from, size_t more)
{
	struct pgp_cert *cert = pgp_cert_dup(from);
	struct pgp_component *components;

	if (cert == NULL)
		return NULL;
	components = realloc(
	    cert->components, (from->ncomponents + more) * sizeof(*components));
	if (components != NULL) {
		cert->components = components;
		return cert;
	}
	pgp_cert_free(cert);
	return NULL;
}

/* `cert` began as a copy of `into`: what that has stands at the same place. */
static bool
add_component(struct pgp_cert *cert, const struct pgp_cert *into,
    const struct pgp_component *c, struct room *room)
{
	const struct pgp_component *same = cert_find(into, c);

	if (same != NULL)
		return add_what_fits(
		    &cert->components[same - into->components], c, room);
	if (room->components[c->kind] == 0 || component_size(c) > room->octets)
		return true;
	room->components[c->kind]--;
	room->octets -= component_size(c);
	return append(cert, c, NULL);
}

static enum pgp_status
merge_opaque(struct pgp_cert *into, const struct pgp_cert *from,
    const struct pgp_policy *policy, struct pgp_added *added)
{
	struct pgp_cert *cert = dup_with_room(into, from->ncomponents);
	struct room room = room_of(into, policy);
	size_t i;

	for (i = 0; cert != NULL && i < from->ncomponents; i++)
		if (!add_component(cert, into, &from->components[i], &room)) {
			pgp_cert_free(cert);
			cert = NULL;
		}
	if (cert == NULL)
		return PGP_NOMEM;
	cert_sort(cert);
	replace(into, cert, added);
	return PGP_OK;
}

/* ---- both ---------------------------------------------------------------- */

enum pgp_status
pgp_cert_merge(struct pgp_cert *into, const struct pgp_cert *from,
    const struct pgp_policy *policy, struct pgp_added *added)
{
	struct pgp_cert *cert;

	if (pgp_fpr_cmp(pgp_cert_fpr(into), pgp_cert_fpr(from)) != 0)
		return PGP_NOT_CERT;
	memset(added, 0, sizeof(*added));
	if (into->unverified && !from->unverified) {
		cert = pgp_cert_dup(from);
		if (cert == NULL)
			return PGP_NOMEM;
		replace(into, cert, added);
		return PGP_OK;
	}
	if (into->unverified != from->unverified ||
	    !same_key(&into->components[0], &from->components[0]))
		return PGP_OK;
	return pgp_cert_opaque(into)
		   ? merge_opaque(into, from, policy, added)
		   : merge_verified(into, from, policy, added);
}
