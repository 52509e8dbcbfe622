/* Records of the store's tables: reading, writing, walking. */
#include "db/internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum ks_status
memory_status(const struct keystore *ks)
{
	return room(ks, LOG_FILE, KS_ROOM_ADD) == KS_FULL ? KS_FULL : KS_NOMEM;
}

enum ks_status
table_status(struct keystore *ks, int ret)
{
	enum ks_status st;

	switch (ret) {
	case 0:
		return KS_OK;
	case DB_NOTFOUND:
		return KS_NOT_FOUND;
	case ENOMEM:
		st = memory_status(ks);
		break;
	case ENOSPC:
	case EDQUOT:
		st = KS_FULL;
		break;
	case EROFS:
		st = KS_READ_ONLY;
		break;
	case DB_RUNRECOVERY:
		/* Of an open store this says only that it gave up. */
		st = ks->running ? KS_IO : KS_CORRUPT;
		break;
	case DB_PAGE_NOTFOUND:
	case DB_CHKSUM_FAIL:
	case DB_VERIFY_BAD:
	case DB_LOG_VERIFY_BAD:
	case DB_BUFFER_SMALL:
		st = KS_CORRUPT;
		break;
	case DB_VERSION_MISMATCH:
		st = KS_TOO_NEW;
		break;
	default:
		st = KS_IO;
	}
	if (ks->txn != NULL && ks->failed == KS_OK)
		ks->failed = st;
	return st;
}

int
fpr_order(const struct pgp_fpr *a, const struct pgp_fpr *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int d = memcmp(a->octet, b->octet, n);

	return d != 0 ? d : (a->len > b->len) - (a->len < b->len);
}

/* Berkeley DB does not write through data of a DBT that it only reads. */
static DBT
dbt_in(const void *data, size_t len)
{
	DBT dbt;

	assert(len <= UINT32_MAX);
	memset(&dbt, 0, sizeof(dbt));
	dbt.data = (void *)(uintptr_t)data;
	dbt.size = (uint32_t)len;
	return dbt;
}

static DBT
dbt_room(void *data, size_t size)
{
	DBT dbt = dbt_in(data, 0);

	dbt.ulen = (uint32_t)size;
	dbt.flags = DB_DBT_USERMEM;
	return dbt;
}

enum ks_status
table_get(struct keystore *ks, enum table t, const void *key, size_t klen,
    void *buf, size_t size, size_t *len)
{
	DBT k = dbt_in(key, klen), v = dbt_room(buf, size);
	int ret;

	if (ks->closed != KS_OK)
		return ks->closed;
	ret = ks->table[t]->get(ks->table[t], ks->txn, &k, &v, 0);
	if (ret == 0)
		*len = v.size;
	return table_status(ks, ret);
}

enum ks_status
table_get_part(struct keystore *ks, enum table t, const void *key, size_t klen,
    void *buf, size_t size, size_t *len)
{
	DBT k = dbt_in(key, klen), v = dbt_room(buf, size);
	int ret;

	if (ks->closed != KS_OK)
		return ks->closed;
	v.flags |= DB_DBT_PARTIAL;
	v.dlen = (uint32_t)size;
	ret = ks->table[t]->get(ks->table[t], ks->txn, &k, &v, 0);
	if (ret == 0)
		*len = v.size;
	return table_status(ks, ret);
}

enum ks_status
table_get_blob(struct keystore *ks, enum table t, const void *key, size_t klen,
    struct pgp_blob *out)
{
	DBT k = dbt_in(key, klen), v = dbt_in(NULL, 0);
	int ret;

	if (ks->closed != KS_OK)
		return ks->closed;
	v.flags = DB_DBT_MALLOC;
	ret = ks->table[t]->get(ks->table[t], ks->txn, &k, &v, 0);
	if (ret == 0) {
		out->data = v.data;
		out->len = v.size;
	}
	return table_status(ks, ret);
}

enum ks_status
table_put(struct keystore *ks, enum table t, const void *key, size_t klen,
    const void *value, size_t vlen)
{
	DBT k = dbt_in(key, klen), v = dbt_in(value, vlen);

	assert(ks->txn != NULL);
	assert(klen <= KEY_MAX);
	return table_status(
	    ks, ks->table[t]->put(ks->table[t], ks->txn, &k, &v, 0));
}

enum ks_status
table_delete(struct keystore *ks, enum table t, const void *key, size_t klen)
{
	DBT k = dbt_in(key, klen);

	assert(ks->txn != NULL);
	return table_status(
	    ks, ks->table[t]->del(ks->table[t], ks->txn, &k, 0));
}

enum ks_status
pair_add(struct keystore *ks, enum table t, const void *key, size_t klen,
    uint64_t number)
{
	unsigned char octets[NUMBER_LEN];
	DBT k = dbt_in(key, klen), v = dbt_in(octets, sizeof(octets));
	int ret;

	number_put(octets, number);

	assert(ks->txn != NULL);
	ret = ks->table[t]->put(ks->table[t], ks->txn, &k, &v, DB_NODUPDATA);
	return ret == DB_KEYEXIST ? KS_OK : table_status(ks, ret);
}

/* Sets a cursor on a pair; the caller closes it when that is KS_OK. */
static enum ks_status
pair_seek(struct keystore *ks, enum table t, const void *key, size_t klen,
    uint64_t number, struct walk *c)
{
	enum ks_status st;

	assert(klen <= sizeof(c->key));
	if ((st = walk_open(ks, t, c)) != KS_OK)
		return st;
	memcpy(c->key, key, klen);
	c->klen = klen;
	number_put(c->value, number);
	c->vlen = NUMBER_LEN;
	if ((st = walk_get(c, DB_GET_BOTH)) != KS_OK)
		walk_close(c);
	return st;
}

enum ks_status
pair_remove(struct keystore *ks, enum table t, const void *key, size_t klen,
    uint64_t number)
{
	struct walk c;
	enum ks_status st;

	assert(ks->txn != NULL);
	if ((st = pair_seek(ks, t, key, klen, number, &c)) != KS_OK)
		return st;
	st = walk_delete(&c);
	walk_close(&c);
	return st;
}

enum ks_status
pair_find(struct keystore *ks, enum table t, const void *key, size_t klen,
    uint64_t number)
{
	struct walk c;
	enum ks_status st;

	if ((st = pair_seek(ks, t, key, klen, number, &c)) == KS_OK)
		walk_close(&c);
	return st;
}

enum ks_status
walk_open(struct keystore *ks, enum table t, struct walk *c)
{
	memset(c, 0, sizeof(*c));
	c->ks = ks;
	if (ks->closed != KS_OK)
		return ks->closed;
	return table_status(
	    ks, ks->table[t]->cursor(ks->table[t], ks->txn, &c->dbc, 0));
}

enum ks_status
walk_get(struct walk *c, uint32_t flag)
{
	DBT k = dbt_room(c->key, sizeof(c->key));
	DBT v = dbt_room(c->value, sizeof(c->value));
	int ret;

	k.size = (uint32_t)c->klen;
	v.size = (uint32_t)c->vlen;
	if (flag != DB_GET_BOTH && flag != DB_GET_BOTH_RANGE) {
		v.flags |= DB_DBT_PARTIAL;
		v.dlen = sizeof(c->value);
	}
	if (c->ks->halt != NULL && atomic_load(c->ks->halt))
		return KS_IO;
	ret = c->dbc->get(c->dbc, &k, &v, flag);
	if (ret == 0) {
		c->klen = k.size;
		c->vlen = v.size;
	}
	return table_status(c->ks, ret);
}

enum ks_status
walk_get_blob(struct walk *c, uint32_t flag, struct pgp_blob *out)
{
	DBT k = dbt_room(c->key, sizeof(c->key));
	DBT v = dbt_in(out->data, 0);
	int ret;

	k.size = (uint32_t)c->klen;
	v.flags = DB_DBT_REALLOC;
	ret = c->dbc->get(c->dbc, &k, &v, flag);
	out->data = v.data;
	if (ret == 0) {
		c->klen = k.size;
		out->len = v.size;
	}
	return table_status(c->ks, ret);
}

enum ks_status
walk_delete(struct walk *c)
{
	assert(c->ks->txn != NULL);
	return table_status(c->ks, c->dbc->del(c->dbc, 0));
}

void
walk_close(struct walk *c)
{
	if (c->dbc != NULL)
		(void)table_status(c->ks, c->dbc->close(c->dbc));
	c->dbc = NULL;
}

enum ks_status
walk_number(const struct walk *c, uint64_t *number)
{
	if (c->vlen != NUMBER_LEN)
		return KS_CORRUPT;
	*number = number_get(c->value);
	return KS_OK;
}

enum ks_status
table_count(struct keystore *ks, enum table t, uint64_t *n)
{
	struct walk c;
	enum ks_status st;

	*n = 0;
	if ((st = walk_open(ks, t, &c)) != KS_OK)
		return st;
	while ((st = walk_get(&c, DB_NEXT)) == KS_OK)
		(*n)++;
	walk_close(&c);
	return st == KS_NOT_FOUND ? KS_OK : st;
}
