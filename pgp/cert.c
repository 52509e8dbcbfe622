/*
 * Certificates: their components, and how they become packets in canonical form
 * (RFC 9580, 10.1).
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- components ---------------------------------------------------------- */

int
component_cmp(const struct pgp_component *a, const struct pgp_component *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == PGP_USERID || a->kind == PGP_ATTRIBUTE)
		return octets_cmp(a->body, a->len, b->body, b->len);
	if (a->created != b->created)
		return a->created < b->created ? -1 : 1;
	return pgp_fpr_cmp(&a->fpr, &b->fpr);
}

static int
component_qcmp(const void *a, const void *b)
{
	return component_cmp(a, b);
}

bool
component_init(struct pgp_component *c, enum pgp_kind kind,
    const unsigned char *body, size_t len)
{
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->body = malloc(len + 1);
	if (c->body == NULL)
		return false;
	if (len > 0)
		memcpy(c->body, body, len);
	c->len = len;
	return true;
}

void
component_free(struct pgp_component *c)
{
	size_t i;

	for (i = 0; i < c->nsigs; i++)
		signature_free(c->sigs[i]);
	for (i = 0; i < c->nothers; i++)
		signature_free(c->others[i]);
	free(c->sigs);
	free(c->others);
	free(c->body);
	memset(c, 0, sizeof(*c));
}

bool
component_dup(struct pgp_component *to, const struct pgp_component *from)
{
	struct pgp_component copy = *from;
	size_t i;

	copy.nsigs = copy.nothers = 0;
	copy.sigs = copy.others = NULL;
	copy.body = malloc(from->len + 1);
	if (copy.body == NULL)
		return false;
	if (from->len > 0)
		memcpy(copy.body, from->body, from->len);
	for (i = 0; i < from->nsigs; i++)
		if (!component_add(&copy, signature_dup(from->sigs[i])))
			goto nomem;
	for (i = 0; i < from->nothers; i++)
		if (!others_add(&copy, signature_dup(from->others[i])))
			goto nomem;
	*to = copy;
	return true;
nomem:
	component_free(&copy);
	return false;
}

bool
signatures_add(
    struct pgp_signature ***row, size_t *len, struct pgp_signature *sig)
{
	struct pgp_signature **sigs = *row;
	size_t n = *len;

	/* Room is doubled whenever a power of two is full. */
	if (sig != NULL && (n & (n - 1)) == 0)
		sigs = realloc(sigs, (n == 0 ? 1 : 2 * n) * sizeof(*sigs));
	if (sig == NULL || sigs == NULL) {
		signature_free(sig);
		return false;
	}
	sigs[n] = sig;
	*row = sigs;
	*len = n + 1;
	return true;
}

bool
component_add(struct pgp_component *c, struct pgp_signature *sig)
{
	return signatures_add(&c->sigs, &c->nsigs, sig);
}

static int
signature_qcmp(const void *a, const void *b)
{
	return signature_cmp(*(struct pgp_signature *const *)a,
	    *(struct pgp_signature *const *)b);
}

void
signatures_sort(struct pgp_signature **sigs, size_t n)
{
	if (n > 1)
		qsort(sigs, n, sizeof(*sigs), signature_qcmp);
}

void
component_sort(struct pgp_component *c)
{
	signatures_sort(c->sigs, c->nsigs);
}

void
signatures_pack(struct pgp_signature **sigs, size_t *len)
{
	size_t i, n = 0;

	for (i = 0; i < *len; i++)
		if (sigs[i] != NULL)
			sigs[n++] = sigs[i];
	/* signatures_add() counts on room for the next power of two. */
	*len = n;
}

void
component_pack(struct pgp_component *c)
{
	signatures_pack(c->sigs, &c->nsigs);
}

unsigned
component_tag(const struct pgp_component *c)
{
	switch (c->kind) {
	case PGP_PRIMARY:
		return PGP_TAG_PUBLIC_KEY;
	case PGP_USERID:
		return PGP_TAG_USERID;
	case PGP_ATTRIBUTE:
		return PGP_TAG_ATTRIBUTE;
	case PGP_SUBKEY:
		break;
	}
	return PGP_TAG_PUBLIC_SUBKEY;
}

size_t
component_size(const struct pgp_component *c)
{
	unsigned char header[PACKET_HEADER_MAX];
	size_t i, n;

	n = packet_header(header, component_tag(c), c->len) + c->len;
	for (i = 0; i < c->nsigs; i++)
		n += c->sigs[i]->len;
	for (i = 0; i < c->nothers; i++)
		n += c->others[i]->len;
	return n;
}

/* ---- certificates as things ---------------------------------------------- */

void
pgp_cert_free(struct pgp_cert *cert)
{
	size_t i;

	if (cert == NULL)
		return;
	for (i = 0; i < cert->ncomponents; i++)
		component_free(&cert->components[i]);
	for (i = 0; i < cert->nrevokers; i++)
		component_free(&cert->revokers[i]);
	free(cert->components);
	free(cert->revokers);
	free(cert);
}

struct pgp_cert *
pgp_cert_dup(const struct pgp_cert *from)
{
	struct pgp_cert *cert = calloc(1, sizeof(*cert));
	size_t n = from->ncomponents;

	if (cert == NULL)
		return NULL;
	cert->components = calloc(n, sizeof(*cert->components));
	while (cert->components != NULL && cert->ncomponents < n) {
		if (!component_dup(&cert->components[cert->ncomponents],
			&from->components[cert->ncomponents]))
			break;
		cert->ncomponents++;
	}
	cert->unverified = from->unverified;
	if (cert->ncomponents == n)
		return cert;
	pgp_cert_free(cert);
	return NULL;
}

const struct pgp_fpr *
pgp_cert_fpr(const struct pgp_cert *cert)
{
	return &cert->components[0].fpr;
}

bool
pgp_cert_opaque(const struct pgp_cert *cert)
{
	return cert->unverified && cert->components[0].version > 3;
}

size_t
cert_size(const struct pgp_cert *cert)
{
	size_t i, n = 0;

	for (i = 0; i < cert->ncomponents; i++)
		n += component_size(&cert->components[i]);
	return n;
}

void
cert_drop(struct pgp_cert *cert, const bool *drop)
{
	size_t i, n = 0;

	for (i = 0; i < cert->ncomponents; i++) {
		if (drop[i])
			component_free(&cert->components[i]);
		else
			cert->components[n++] = cert->components[i];
	}
	cert->ncomponents = n;
}

void
components_sort(struct pgp_component *c, size_t n)
{
	if (n > 1)
		qsort(c, n, sizeof(*c), component_qcmp);
}

void
cert_sort(struct pgp_cert *cert)
{
	components_sort(cert->components, cert->ncomponents);
}

bool
component_has(const struct pgp_component *c, const struct pgp_signature *sig)
{
	size_t i;

	for (i = 0; i < c->nsigs; i++)
		if (signature_same(c->sigs[i], sig) == 0)
			return true;
	return false;
}

bool
same_key(const struct pgp_component *a, const struct pgp_component *b)
{
	return octets_cmp(a->body, a->len, b->body, b->len) == 0;
}

struct pgp_component *
cert_find(const struct pgp_cert *cert, const struct pgp_component *c)
{
	return bsearch(
	    c, cert->components, cert->ncomponents, sizeof(*c), component_qcmp);
}

static int
component_write(FILE *f, const struct pgp_component *c)
{
	size_t i;

	if (pgp_packet_write(f, component_tag(c), c->body, c->len) != 0)
		return -1;
	for (i = 0; i < c->nsigs; i++)
		fwrite(c->sigs[i]->packet, 1, c->sigs[i]->len, f);
	for (i = 0; i < c->nothers; i++)
		fwrite(c->others[i]->packet, 1, c->others[i]->len, f);
	return ferror(f) ? -1 : 0;
}

int
pgp_cert_write(FILE *f, const struct pgp_cert *cert)
{
	size_t i;

	for (i = 0; i < cert->ncomponents; i++)
		if (component_write(f, &cert->components[i]) != 0)
			return -1;
	return 0;
}

enum pgp_status
pgp_cert_octets(const struct pgp_cert *cert, struct pgp_blob *out)
{
	size_t i, j, size = cert_size(cert);
	const struct pgp_component *c;
	unsigned char *p = malloc(size + 1);

	if (p == NULL)
		return PGP_NOMEM;
	out->data = p;
	out->len = size;
	for (i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		p += packet_header(p, component_tag(c), c->len);
		if (c->len > 0)
			memcpy(p, c->body, c->len);
		p += c->len;
		for (j = 0; j < c->nsigs; p += c->sigs[j++]->len)
			memcpy(p, c->sigs[j]->packet, c->sigs[j]->len);
		for (j = 0; j < c->nothers; p += c->others[j++]->len)
			memcpy(p, c->others[j]->packet, c->others[j]->len);
	}
	return PGP_OK;
}

int
pgp_claim_write(FILE *f, const struct pgp_claim *claim)
{
	const struct pgp_component *c = claim->primary;

	if (pgp_packet_write(f, component_tag(c), c->body, c->len) != 0)
		return -1;
	c = claim->on;
	if (c != claim->primary &&
	    pgp_packet_write(f, component_tag(c), c->body, c->len) != 0)
		return -1;
	fwrite(claim->sig->packet, 1, claim->sig->len, f);
	c = claim->issuer;
	if (c != NULL &&
	    pgp_packet_write(f, PGP_TAG_PUBLIC_KEY, c->body, c->len) != 0)
		return -1;
	return ferror(f) ? -1 : 0;
}
