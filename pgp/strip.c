/*
 * What stays of a certificate that was forgotten: that its key is revoked.
 */
#include "pgp/internal.h"

#include <stdlib.h>

bool
pgp_cert_strip(struct pgp_cert *cert)
{
	struct pgp_component *primary = &cert->components[0];
	size_t i;

	for (i = 1; i < cert->ncomponents; i++)
		component_free(&cert->components[i]);
	cert->ncomponents = 1;
	for (i = 0; i < primary->nsigs; i++) {
		if (primary->sigs[i]->type == 0x20)
			continue;
		signature_free(primary->sigs[i]);
		primary->sigs[i] = NULL;
	}
	component_pack(primary);
	return primary->nsigs > 0;
}
