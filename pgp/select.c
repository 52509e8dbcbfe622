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
		n += cert->components[i].nsigs;
	return n;
}

enum pgp_status
pgp_cert_news(const struct pgp_cert *old, const struct pgp_cert *now,
    unsigned char (**digest)[PGP_DIGEST_LEN], size_t *n)
{
	const struct pgp_component *c, *had;
	unsigned char(*out)[PGP_DIGEST_LEN];
	size_t i, k;

	*digest = NULL;
	*n = 0;
	out = calloc(signatures_of(now) + 1, sizeof(*out));
	if (out == NULL)
		return PGP_NOMEM;
	for (i = 0; i < now->ncomponents; i++) {
		c = &now->components[i];
		had = cert_find(old, c);
		for (k = 0; k < c->nsigs; k++) {
			if (had != NULL && component_has(had, c->sigs[k]))
				continue;
			if (!signature_digest(c->sigs[k], out[*n])) {
				free(out);
				return PGP_NOMEM;
			}
			(*n)++;
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
	unsigned char (*wanted)[PGP_DIGEST_LEN]; /* sorted */
	size_t n;
	bool begun; /* the primary key is written */
};

static bool
write_body(struct selection *s, const struct pgp_component *c)
{
	return pgp_packet_write(s->f, component_tag(c), c->body, c->len) == 0;
}

static bool
select_component(struct selection *s, const struct pgp_component *c)
{
	unsigned char digest[PGP_DIGEST_LEN];
	bool begun = false;
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		if (!signature_digest(c->sigs[i], digest))
			return false;
		if (bsearch(digest, s->wanted, s->n, sizeof(*s->wanted),
			digest_cmp) == NULL)
			continue;
		if (!s->begun && !write_body(s, s->primary))
			return false;
		if (!begun && c != s->primary && !write_body(s, c))
			return false;
		s->begun = begun = true;
		fwrite(c->sigs[i]->packet, 1, c->sigs[i]->len, s->f);
	}
	return true;
}

int
pgp_cert_select(FILE *f, const struct pgp_cert *cert,
    const unsigned char (*digest)[PGP_DIGEST_LEN], size_t n)
{
	struct selection s = {.f = f, .primary = &cert->components[0], .n = n};
	bool good = true;
	size_t i;

	if (n == 0)
		return 0;
	s.wanted = calloc(n, sizeof(*s.wanted));
	if (s.wanted == NULL)
		return -1;
	memcpy(s.wanted, digest, n * sizeof(*s.wanted));
	qsort(s.wanted, n, sizeof(*s.wanted), digest_cmp);
	for (i = 0; i < cert->ncomponents && good; i++)
		good = select_component(&s, &cert->components[i]);
	free(s.wanted);
	return good && !ferror(f) ? 0 : -1;
}
