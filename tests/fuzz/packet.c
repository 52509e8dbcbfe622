/*
 * Any octets as packets: those that are read, written, read back the same.
 */
#include "pgp/pgp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
there_and_back(const struct pgp_packet *p)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet again;
	size_t len, pos = 0;
	char *out;
	FILE *f = open_memstream(&out, &len);

	require(f != NULL && pgp_packet_write(f, p->tag, p->body, p->len) == 0);
	fclose(f);
	require(pgp_packet_read((unsigned char *)out, len, &pos, &joined,
		    &again) == PGP_OK);
	require(pos == len && joined.data == NULL);
	require(again.tag == p->tag && again.len == p->len);
	require(p->len == 0 || memcmp(again.body, p->body, p->len) == 0);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_component info;
	enum pgp_status status;
	struct pgp_packet p;
	unsigned char keyid[8];
	struct pgp_fpr fpr;
	size_t pos = 0, before = 0;

	while ((status = pgp_packet_read(data, size, &pos, &joined, &p)) ==
	       PGP_OK) {
		require(p.start == before && p.end == pos && pos > before);
		require(pos <= size && p.len < pos - before);
		there_and_back(&p);
		before = pos;
	}
	require(pos == before);
	require((status == PGP_END) == (pos == size));
	pgp_blob_free(&joined, true);
	if (pgp_key_identify(data, size, &info) == PGP_OK)
		require(info.fpr.len >= 16 && info.fpr.len <= PGP_FPR_MAX);
	pgp_revocation_issuer(data, size, keyid, &fpr);
	return 0;
}
