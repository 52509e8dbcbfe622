/*
 * Whether two certificates are the same, down to what is believed of each
 * signature.  What else is known of one follows from its octets.
 */
#ifndef SAME_CERT_H
#define SAME_CERT_H

#include "pgp/pgp.h"

#include <string.h>

static inline bool
same_signatures(struct pgp_signature *const *a, size_t na,
    struct pgp_signature *const *b, size_t nb)
{
	for (size_t i = 0; i < na && i < nb; i++)
		if (a[i]->len != b[i]->len ||
		    memcmp(a[i]->packet, b[i]->packet, a[i]->len) != 0 ||
		    a[i]->verified != b[i]->verified ||
		    a[i]->by_revoker != b[i]->by_revoker)
			return false;
	return na == nb;
}

static inline bool
same_cert(const struct pgp_cert *a, const struct pgp_cert *b)
{
	for (size_t i = 0; i < a->ncomponents && i < b->ncomponents; i++) {
		const struct pgp_component *x = &a->components[i];
		const struct pgp_component *y = &b->components[i];

		if (x->kind != y->kind || x->len != y->len ||
		    memcmp(x->body, y->body, x->len) != 0 ||
		    pgp_fpr_cmp(&x->fpr, &y->fpr) != 0 ||
		    !same_signatures(x->sigs, x->nsigs, y->sigs, y->nsigs) ||
		    !same_signatures(
			x->others, x->nothers, y->others, y->nothers))
			return false;
	}
	return a->ncomponents == b->ncomponents &&
	       a->unverified == b->unverified;
}

/* Whether pgp_cert_read() makes of its octets what it is. */
static inline bool
reads_alike(const struct pgp_cert *cert)
{
	struct pgp_cert *again;
	struct pgp_blob b;
	bool same;

	if (pgp_cert_octets(cert, &b) != PGP_OK)
		return false;
	same = pgp_cert_read(b.data, b.len, cert->unverified, &again) == PGP_OK;
	pgp_blob_free(&b, false);
	if (!same)
		return false;
	same = same_cert(cert, again);
	pgp_cert_free(again);
	return same;
}

#endif
