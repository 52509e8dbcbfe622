/*
 * What stays of a certificate that was forgotten: that its key is revoked.
 */
#include "pgp/internal.h"

#include <stdlib.h>

/* One by a key that the owner has named counts beside the signature that does
 * so. */
static bool
needs_naming(const struct pgp_component *primary)
{
	size_t i;

	for (i = 0; i < primary->nsigs; i++)
		if (primary->sigs[i]->type == 0x20 &&
		    primary->sigs[i]->by_revoker)
			return true;
	return false;
}

bool
pgp_cert_strip(struct pgp_cert *cert)
{
	struct pgp_component *primary = &cert->components[0];
	bool naming = needs_naming(primary), revoked = false;
	size_t i;

	for (i = 1; i < cert->ncomponents; i++)
		component_free(&cert->components[i]);
	cert->ncomponents = 1;
	for (i = 0; i < primary->nsigs; i++) {
		if (primary->sigs[i]->type == 0x20) {
			revoked = true;
			continue;
		}
		if (naming && primary->sigs[i]->type == 0x1f)
			continue;
		signature_free(primary->sigs[i]);
		primary->sigs[i] = NULL;
	}
	component_pack(primary);
	return revoked;
}
