/*
 * Records of claims, what is written of them for gpg, and back-signatures.
 * What was written is also taken as gpg's answer: then every claim that is fit
 * must be found in it.
 */
#include "mailkeyd/vouch.h"
#include "pgp/pgp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
through(struct vouch *v)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL || vouch_write(f, v, 0, v->n) == -1 || fclose(f) != 0)
		abort();
	if (vouch_match(v, 0, v->n, (unsigned char *)text, len) != VOUCH_WHOLE)
		abort();
	for (size_t i = 0; i < v->n; i++) {
		const struct vouch_claim *c = &v->claim[i];

		if (c->returned != c->fit)
			abort();
		if (vouch_is_binding(c))
			pgp_binding_backed(&c->primary, &c->on, &c->packet);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_in in = {.data = data, .len = size};
	struct vouch v;

	if (vouch_read(&in, &v) == 0) {
		through(&v);
		vouch_free(&v);
	}
	return 0;
}
