/*
 * Keys that came before in the same load: kept in a file beside the new ones,
 * and merged by transactions once those are in their places.
 */
#include "db/bulk_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN "again"
#define BATCH 100 /* certificates in a transaction */

/* ---- keeping them -------------------------------------------------------- */

FILE *
again_open(const char *dir, int flags)
{
	char *path = bulk_path(dir, AGAIN);
	int fd = path == NULL ? -1 : open(path, flags | O_CLOEXEC, 0600);
	FILE *f = NULL;

	free(path);
	if (fd != -1)
		f = fdopen(fd, (flags & O_CREAT) != 0 ? "w" : "r");
	if (f == NULL && fd != -1)
		close(fd);
	return f;
}

enum ks_status
again_add(FILE *f, const struct pgp_blob *value)
{
	unsigned char len[4];

	be32_put(len, (uint32_t)value->len);
	if (fwrite(len, 1, 4, f) != 4 ||
	    fwrite(value->data, 1, value->len, f) != value->len)
		return bulk_errno();
	return KS_OK;
}

enum ks_status
again_sync(FILE *f)
{
	return fflush(f) == EOF || fsync(fileno(f)) == -1 ? bulk_errno()
							  : KS_OK;
}

/* ---- merging them -------------------------------------------------------- */

/* KS_NOT_FOUND: that was the last. */
static enum ks_status
again_next(FILE *f, struct pgp_blob *value)
{
	unsigned char len[4];
	size_t n = fread(len, 1, 4, f);

	if (n == 0 && feof(f))
		return KS_NOT_FOUND;
	value->len = n == 4 ? be32_get(len) : 0;
	if (value->len <= CERT_HEADER)
		return KS_CORRUPT;
	if ((value->data = malloc(value->len)) == NULL)
		return KS_NOMEM;
	if (fread(value->data, 1, value->len, f) == value->len &&
	    cert_is_whole(value))
		return KS_OK;
	pgp_blob_free(value, false);
	return KS_CORRUPT;
}

static enum ks_status
again_put(struct keystore *ks, const struct pgp_blob *value,
    const struct ks_origin *origin)
{
	struct pgp_cert *cert;
	struct pgp_added added;
	enum ks_change change;
	struct ks_meta meta;
	enum ks_status st = cert_read(value, &cert, &meta);

	if (st != KS_OK)
		return st;
	st = ks_put(ks, cert, origin, &change, &added);
	pgp_cert_free(cert);
	if (st == KS_OK)
		ks->again[change == KS_MERGED]++;
	return st;
}

/* One transaction; KS_NOT_FOUND: it was the last one. */
static enum ks_status
again_batch(struct keystore *ks, FILE *f, const struct ks_origin *origin)
{
	struct pgp_blob value = {0};
	enum ks_status st = ks_begin(ks, KS_ROOM_NONE), committed;

	for (int n = 0; st == KS_OK && n < BATCH; n++) {
		if ((st = again_next(f, &value)) != KS_OK)
			break;
		st = again_put(ks, &value, origin);
		pgp_blob_free(&value, false);
	}
	if (st != KS_OK && st != KS_NOT_FOUND) {
		ks_abort(ks);
		return st;
	}
	committed = ks_commit(ks);
	bulk_point("merged");
	return committed == KS_OK ? st : committed;
}

enum ks_status
again_merge(
    struct keystore *ks, const char *dir, const struct ks_origin *origin)
{
	FILE *f = again_open(dir, O_RDONLY);
	enum ks_status st;

	if (f == NULL)
		return bulk_errno();
	memset(ks->again, 0, sizeof(ks->again));
	do
		st = again_batch(ks, f, origin);
	while (st == KS_OK);
	fclose(f);
	return st == KS_NOT_FOUND ? KS_OK : st;
}
