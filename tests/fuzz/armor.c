/*
 * Any text as armored blocks: what is decoded, armored and decoded again, is
 * the same; the reader, which decodes line by line, agrees.
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
there_and_back(const struct pgp_blob *b)
{
	struct pgp_armored a;
	size_t len, pos = 0;
	char *text;
	FILE *f = open_memstream(&text, &len);

	require(f != NULL && pgp_armor(f, b->data, b->len) == 0);
	fclose(f);
	require(pgp_dearmor(text, len, &pos, &a) == PGP_OK);
	require(a.crc == PGP_CRC_GOOD && a.line == 1 && pos == len);
	require(a.blob.len == b->len);
	require(memcmp(a.blob.data, b->data, b->len) == 0);
	pgp_blob_free(&a.blob, false);
	free(text);
}

struct source {
	const uint8_t *p;
	size_t len;
};

static long
read_source(void *ctx, unsigned char *buf, size_t size)
{
	struct source *s = ctx;
	size_t n = size < s->len ? size : s->len;

	if (n > 0)
		memcpy(buf, s->p, n);
	s->p += n;
	s->len -= n;
	return (long)n;
}

static void
read_all(const uint8_t *data, size_t size)
{
	struct source s = {data, size};
	struct pgp_left_out left = {0};
	struct pgp_reader *r =
	    pgp_reader_new(read_source, &s, &pgp_policy_default);
	const unsigned char *packets;
	enum pgp_status status;
	size_t len, n = 0;
	bool bare;

	require(r != NULL);
	do {
		status = pgp_reader_next(r, &left, &packets, &len, &bare);
		require(n++ <= size);
		require(status != PGP_OK || len > 0);
	} while (status != PGP_END);
	require(pgp_reader_offset(r) == size);
	pgp_reader_free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_armored a;
	enum pgp_status status;
	size_t pos = 0, before, line = 0;

	do {
		before = pos;
		status = pgp_dearmor((const char *)data, size, &pos, &a);
		require(pos <= size && (status == PGP_END || pos > before));
		require(status == PGP_END || a.line > line);
		line = a.line;
		require((a.blob.data != NULL) == (status == PGP_OK));
		if (status == PGP_OK)
			there_and_back(&a.blob);
		pgp_blob_free(&a.blob, false);
	} while (status != PGP_END);
	read_all(data, size);
	return 0;
}
