/* What is new in a certificate, as digests, and these turned into packets. */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

static bool
signature_digest(
    const struct pgp_signature *sig, unsigned char out[PGP_DIGEST_LEN])
{
	unsigned char digest[PGP_SHA256_LEN];

	if (pgp_sha256(sig->packet, sig->len, digest) != 0)
		return false;
	memcpy(out, digest, PGP_DIGEST_LEN);
	return true;
}

/* ---- what is new --------------------------------------------------------- */

static size_t
signatures_of(const struct pgp_cert *cert)
{
	size_t i, n = 0;

	for (i = 0; i < cert->ncomponents; i++)
		n += cert->components[i].nsigs + cert->components[i].nothers;
	return n;
}

/* Adds the digests of what `had` (may be NULL) does not have. */
static bool
component_news(const struct pgp_component *had, const struct pgp_component *c,
    unsigned char (*out)[PGP_DIGEST_LEN], size_t *n)
{
	size_t k;

	for (k = 0; k < c->nsigs; k++) {
		if (had != NULL && component_has(had, c->sigs[k]))
			continue;
		if (!signature_digest(c->sigs[k], out[(*n)++]))
			return false;
	}
	for (k = 0; k < c->nothers; k++) {
		if (had != NULL && others_have(had, c->others[k]))
			continue;
		if (!signature_digest(c->others[k], out[(*n)++]))
			return false;
	}
	return true;
}

enum pgp_status
pgp_cert_news(const struct pgp_cert *old, const struct pgp_cert *now,
    unsigned char (**digest)[PGP_DIGEST_LEN], size_t *n)
{
	const struct pgp_component *c;
	unsigned char(*out)[PGP_DIGEST_LEN];
	size_t i;

	*digest = NULL;
	*n = 0;
	out = calloc(signatures_of(now) + 1, sizeof(*out));
	if (out == NULL)
		return PGP_NOMEM;
	for (i = 0; i < now->ncomponents; i++) {
		c = &now->components[i];
		if (!component_news(cert_find(old, c), c, out, n)) {
			free(out);
			return PGP_NOMEM;
		}
	}
	if (*n == 0) {
		free(out);
		out = NULL;
	}
	*digest = out;
	return PGP_OK;
}

/* ---- packets ------------------------------------------------------------- */

static int
digest_cmp(const void *a, const void *b)
{
	return memcmp(a, b, PGP_DIGEST_LEN);
}

struct selection {
	FILE *f;
	const struct pgp_component *primary;
	const struct pgp_component *along;	 /* goes along, may be NULL */
	unsigned char (*wanted)[PGP_DIGEST_LEN]; /* sorted */
	size_t n;
};

static bool
is_wanted(const struct selection *s, const struct pgp_signature *sig, bool *yes)
{
	unsigned char digest[PGP_DIGEST_LEN];

	if (!signature_digest(sig, digest))
		return false;
	*yes = bsearch(digest, s->wanted, s->n, sizeof(*s->wanted),
		   digest_cmp) != NULL;
	return true;
}

/* Adds to *yes whether one of a row of signatures is wanted. */
static bool
look_row(const struct selection *s, struct pgp_signature *const *sigs, size_t n,
    bool *yes)
{
	bool one;

	for (size_t k = 0; k < n && !*yes; k++) {
		if (!is_wanted(s, sigs[k], &one))
			return false;
		*yes |= one;
	}
	return true;
}

/* What there is to write: anything, and a user ID or attribute among it. */
static bool
look(const struct selection *s, const struct pgp_cert *cert, bool *any,
    bool *named)
{
	const struct pgp_component *c;
	bool yes;

	*any = *named = false;
	for (size_t i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		yes = false;
		if (!look_row(s, c->sigs, c->nsigs, &yes) ||
		    !look_row(s, c->others, c->nothers, &yes))
			return false;
		*any |= yes;
		*named |=
		    yes && (c->kind == PGP_USERID || c->kind == PGP_ATTRIBUTE);
	}
	return true;
}

/* Of what goes along, the newest revocation and the newest self-signature. */
static bool
goes_along(const struct pgp_component *c, size_t i)
{
	return i == 0 || (signature_is_revocation(c->sigs[i - 1]) &&
			     !signature_is_revocation(c->sigs[i]));
}

static bool
write_body(const struct selection *s, const struct pgp_component *c)
{
	return pgp_packet_write(s->f, component_tag(c), c->body, c->len) == 0;
}

/* A certification by another key is nothing without the key's own. */
static bool
select_component(const struct selection *s, const struct pgp_component *c)
{
	bool begun = c == s->primary, along = c == s->along, yes;

	if (!look_row(s, c->others, c->nothers, &along))
		return false;
	for (size_t i = 0; i < c->nsigs; i++) {
		if (!is_wanted(s, c->sigs[i], &yes))
			return false;
		if (!yes && !(along && goes_along(c, i)))
			continue;
		if (!begun && !write_body(s, c))
			return false;
		begun = true;
		fwrite(c->sigs[i]->packet, 1, c->sigs[i]->len, s->f);
	}
	for (size_t i = 0; i < c->nothers; i++) {
		if (!is_wanted(s, c->others[i], &yes))
			return false;
		if (yes)
			fwrite(
			    c->others[i]->packet, 1, c->others[i]->len, s->f);
	}
	return true;
}

static bool
select_all(struct selection *s, const struct pgp_cert *cert)
{
	bool any, named;

	if (!look(s, cert, &any, &named))
		return false;
	if (!any)
		return true;
	/* onak drops a key without a user ID, a revocation with it. */
	if (!named)
		s->along = pgp_cert_primary_userid(cert);
	if (!write_body(s, s->primary))
		return false;
	for (size_t i = 0; i < cert->ncomponents; i++)
		if (!select_component(s, &cert->components[i]))
			return false;
	return true;
}

int
pgp_cert_select(FILE *f, const struct pgp_cert *cert,
    const unsigned char (*digest)[PGP_DIGEST_LEN], size_t n)
{
	struct selection s = {.f = f, .primary = &cert->components[0], .n = n};
	bool good;

	if (n == 0)
		return 0;
	s.wanted = calloc(n, sizeof(*s.wanted));
	if (s.wanted == NULL)
		return -1;
	memcpy(s.wanted, digest, n * sizeof(*s.wanted));
	qsort(s.wanted, n, sizeof(*s.wanted), digest_cmp);
	good = select_all(&s, cert);
	free(s.wanted);
	return good && !ferror(f) ? 0 : -1;
}
