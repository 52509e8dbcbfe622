/*
 * How far an import is, so that it can go on after an interruption.
 */
#include "db/internal.h"

#include <assert.h>
#include <string.h>

#define MARK	 "import", 6
#define MARK_LEN (KS_MARK_CHAIN + 8)

enum ks_status
ks_mark_get(struct keystore *ks, struct ks_mark *mark)
{
	unsigned char v[MARK_LEN];
	enum ks_status st;
	size_t len;

	memset(mark, 0, sizeof(*mark));
	st = table_get(ks, T_META, MARK, v, sizeof(v), &len);
	if (st != KS_OK)
		return st;
	if (len != sizeof(v))
		return KS_CORRUPT;
	memcpy(mark->chain, v, KS_MARK_CHAIN);
	mark->offset = be64_get(v + KS_MARK_CHAIN);
	return KS_OK;
}

enum ks_status
ks_mark_put(struct keystore *ks, const struct ks_mark *mark)
{
	unsigned char v[MARK_LEN];

	assert(ks->txn != NULL);
	memcpy(v, mark->chain, KS_MARK_CHAIN);
	be64_put(v + KS_MARK_CHAIN, mark->offset);
	return table_put(ks, T_META, MARK, v, sizeof(v));
}

enum ks_status
ks_mark_remove(struct keystore *ks)
{
	enum ks_status st;

	assert(ks->txn != NULL);
	st = table_delete(ks, T_META, MARK);
	return st == KS_NOT_FOUND ? KS_OK : st;
}
