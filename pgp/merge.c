/*
 * Two copies of one certificate into one, in canonical order.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

/* Puts copies of the other's signatures behind those of `to`, unsorted. */
static bool
add_copies(struct pgp_component *to, const struct pgp_component *from)
{
	size_t i;

	for (i = 0; i < from->nsigs; i++)
		if (!component_add(to, signature_dup(from->sigs[i])))
			return false;
	return true;
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

enum pgp_status
pgp_cert_merge(struct pgp_cert *into, const struct pgp_cert *from,
    const struct pgp_policy *policy, struct pgp_added *added)
{
	struct pgp_left_out left = {{0}};
	struct pgp_cert *cert, old;

	if (pgp_fpr_cmp(pgp_cert_fpr(into), pgp_cert_fpr(from)) != 0)
		return PGP_NOT_CERT;
	cert = unite(into, from);
	if (cert == NULL)
		return PGP_NOMEM;
	cert_cap_signatures(cert, policy, &left);
	if (!cert_cap_components(cert, policy, into, &left) ||
	    !cert_cap_size(cert, policy, into, &left)) {
		pgp_cert_free(cert);
		return PGP_NOMEM;
	}
	count_added(cert, into, added);
	old = *into;
	*into = *cert;
	*cert = old;
	pgp_cert_free(cert);
	return PGP_OK;
}
