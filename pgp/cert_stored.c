/*
 * Certificates that are canonical already are read as they stand.
 */
#include "pgp/internal.h"

#include <stdlib.h>

/* Room is doubled whenever a power of two is full. */
static struct pgp_component *
add_component(
    struct pgp_cert *cert, enum pgp_kind kind, const struct pgp_packet *packet)
{
	struct pgp_component *c = cert->components;
	size_t n = cert->ncomponents;

	if ((n & (n - 1)) == 0)
		c = realloc(c, (n == 0 ? 1 : 2 * n) * sizeof(*c));
	if (c == NULL)
		return NULL;
	cert->components = c;
	if (!component_init(&c[n], kind, packet->body, packet->len))
		return NULL;
	cert->ncomponents++;
	return &c[n];
}

static enum pgp_status
add_key(
    struct pgp_cert *cert, enum pgp_kind kind, const struct pgp_packet *packet)
{
	struct pgp_component *c = add_component(cert, kind, packet);

	return c == NULL ? PGP_NOMEM : key_fill(c, packet->body, packet->len);
}

/* It stands behind its component; one by another key either revokes, or nobody
 * has verified it. */
static enum pgp_status
add_signature(struct pgp_cert *cert, const struct pgp_packet *packet)
{
	const struct pgp_component *primary = &cert->components[0];
	struct pgp_component *on = &cert->components[cert->ncomponents - 1];
	struct signature_parts parts;
	struct pgp_signature *sig;
	bool other;

	if ((sig = signature_new(packet->body, packet->len, &parts)) == NULL)
		return PGP_NOMEM;
	if (sig->version == 0) {
		signature_free(sig);
		return PGP_MALFORMED;
	}
	other = signature_issuer(&parts, primary) == ISSUER_OTHER;
	if (other && !revoker_may(sig->type))
		return others_add(on, sig) ? PGP_OK : PGP_NOMEM;
	sig->by_revoker = other;
	sig->verified =
	    !cert->unverified || (!other && key_class(primary) == KEY_WEAK);
	return component_add(on, sig) ? PGP_OK : PGP_NOMEM;
}

static enum pgp_status
add_packet(struct pgp_cert *cert, const struct pgp_packet *packet)
{
	if (cert->ncomponents == 0)
		return packet->tag == PGP_TAG_PUBLIC_KEY
			   ? add_key(cert, PGP_PRIMARY, packet)
			   : PGP_NOT_CERT;
	switch (packet->tag) {
	case PGP_TAG_SIGNATURE:
		return add_signature(cert, packet);
	case PGP_TAG_USERID:
		return add_component(cert, PGP_USERID, packet) == NULL
			   ? PGP_NOMEM
			   : PGP_OK;
	case PGP_TAG_ATTRIBUTE:
		return add_component(cert, PGP_ATTRIBUTE, packet) == NULL
			   ? PGP_NOMEM
			   : PGP_OK;
	case PGP_TAG_PUBLIC_SUBKEY:
		return add_key(cert, PGP_SUBKEY, packet);
	}
	return PGP_MALFORMED;
}

enum pgp_status
pgp_cert_read(const unsigned char *octets, size_t len, bool unverified,
    struct pgp_cert **out)
{
	struct pgp_cert *cert = calloc(1, sizeof(*cert));
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet packet;
	enum pgp_status status;
	size_t pos = 0;

	if (cert == NULL)
		return PGP_NOMEM;
	cert->unverified = unverified;
	do {
		status = pgp_packet_read(octets, len, &pos, &joined, &packet);
		if (status == PGP_OK)
			status = add_packet(cert, &packet);
	} while (status == PGP_OK);
	pgp_blob_free(&joined, false);
	if (status == PGP_END && cert->ncomponents > 0) {
		*out = cert;
		return PGP_OK;
	}
	pgp_cert_free(cert);
	return status == PGP_END ? PGP_NOT_CERT : status;
}
