/*
 * Revocations that another key made, which the owner has named for that: a
 * designated revoker (RFC 9580, 5.2.3.23).
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_SET 0x80 /* else the subpacket means nothing */
#define V4_FPR	  20

/* The next revoker that a hashed area names, from *area on. */
static bool
next_revoker(struct cursor *area, struct pgp_fpr *out)
{
	struct subpacket sub;

	while (subpacket_next(area, &sub) == 1)
		if (sub.type == SUB_REVOKER && sub.len == 2 + V4_FPR &&
		    (sub.body[0] & CLASS_SET) != 0) {
			out->len = V4_FPR;
			memcpy(out->octet, sub.body + 2, V4_FPR);
			return true;
		}
	return false;
}

static struct cursor
hashed_of(const struct pgp_signature *sig)
{
	struct signature_parts parts;

	if (sig->type != 0x1f || sig->by_revoker || sig->version != 4 ||
	    !signature_split(
		sig->packet + sig->body, sig->len - sig->body, &parts))
		return (struct cursor){NULL, 0};
	return parts.hashed;
}

bool
revoker_may(unsigned type)
{
	return type == 0x20 || type == 0x28;
}

bool
revoker_names(const struct pgp_signature *sig)
{
	struct cursor area = hashed_of(sig);
	struct pgp_fpr fpr;

	return next_revoker(&area, &fpr);
}

/* Whether the owner, as far as that is verified, names who claims to have
 * made it. */
static bool
is_named(const struct pgp_component *primary, const struct pgp_signature *sig)
{
	struct cursor area;
	struct pgp_fpr fpr;
	size_t i;

	for (i = 0; i < primary->nsigs; i++) {
		/* what settle() has dropped is NULL */
		if (primary->sigs[i] == NULL || !primary->sigs[i]->verified)
			continue;
		area = hashed_of(primary->sigs[i]);
		while (next_revoker(&area, &fpr))
			if (memcmp(fpr.octet + V4_FPR - 8, sig->issuer, 8) == 0)
				return true;
	}
	return false;
}

const struct pgp_component *
revoker_of(const struct pgp_cert *cert, const struct pgp_signature *sig)
{
	size_t i;

	for (i = 0; i < cert->nrevokers; i++)
		if (memcmp(cert->revokers[i].keyid, sig->issuer, 8) == 0)
			return &cert->revokers[i];
	return NULL;
}

static void
settle(struct pgp_cert *cert, struct pgp_component *c, bool judged,
    struct pgp_left_out *left)
{
	struct pgp_signature *sig;
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		sig = c->sigs[i];
		if (!sig->by_revoker ||
		    (sig->verified
			    ? !judged || is_named(&cert->components[0], sig)
			    : revoker_of(cert, sig) != NULL))
			continue;
		signature_free(sig);
		c->sigs[i] = NULL;
		left_note(left, PGP_LEFT_THIRD_PARTY, c, false);
	}
	component_pack(c);
}

void
revoker_settle(struct pgp_cert *cert, bool judged, struct pgp_left_out *left)
{
	size_t i;

	for (i = 0; i < cert->ncomponents; i++)
		settle(cert, &cert->components[i], judged, left);
}

/* Whether there is anything by another key. */
static bool
has_any(const struct pgp_cert *cert)
{
	size_t i, j;

	for (i = 0; i < cert->ncomponents; i++)
		for (j = 0; j < cert->components[i].nsigs; j++)
			if (cert->components[i].sigs[j]->by_revoker)
				return true;
	return false;
}

void
revoker_known(struct pgp_cert *cert, const struct pgp_cert *stored)
{
	const struct pgp_component *from = &stored->components[0];
	struct pgp_component *to = &cert->components[0];
	size_t i;

	if (!has_any(cert))
		return;
	for (i = 0; i < from->nsigs; i++)
		/* Without memory it is left out this time: no harm. */
		if (from->sigs[i]->verified && revoker_names(from->sigs[i]) &&
		    !component_has(to, from->sigs[i]))
			component_add(to, signature_dup(from->sigs[i]));
	component_sort(to);
}

static bool
listed(const struct pgp_fpr *list, size_t n, const struct pgp_fpr *fpr)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (pgp_fpr_cmp(&list[i], fpr) == 0)
			return true;
	return false;
}

size_t
pgp_cert_revokers(const struct pgp_cert *cert, struct pgp_fpr *out, size_t max)
{
	const struct pgp_component *primary = &cert->components[0];
	struct cursor area;
	struct pgp_fpr fpr;
	size_t i, n = 0;

	if (!has_any(cert))
		return 0;
	for (i = 0; i < primary->nsigs; i++) {
		area = hashed_of(primary->sigs[i]);
		while (n < max && next_revoker(&area, &fpr))
			if (!listed(out, n, &fpr))
				out[n++] = fpr;
	}
	return n;
}

bool
pgp_cert_revoker(struct pgp_cert *cert, const struct pgp_component *key)
{
	struct pgp_component bare = *key, *more;

	more = realloc(cert->revokers, (cert->nrevokers + 1) * sizeof(*more));
	if (more == NULL)
		return false;
	cert->revokers = more;
	bare.sigs = NULL;
	bare.nsigs = 0;
	if (!component_dup(&more[cert->nrevokers], &bare))
		return false;
	cert->nrevokers++;
	return true;
}
