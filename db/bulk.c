/*
 * Many certificates into an empty store, past the transactions, into new files
 * beside the store's that are synced, verified, and moved into their place.
 *
 * Certificates are numbered and written as they come, the change log with
 * them; index entries are sorted outside of memory, and written at the end.
 * Until then the load holds the store's lock.
 */
#include "db/bulk.h"
#include "db/bulk_write.h"
#include "db/sort.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Octets: certificates are read again at the end, indexes gone back to. */
#define CERTS_CACHE (64u << 20)
#define INDEX_CACHE (96u << 20)
#define LOOK_EACH   (16u << 20) /* octets, whether there is room */

struct ks_bulk {
	struct keystore *ks;
	char *dir;
	struct ks_origin origin;
	DB_ENV *env; /* of what is written as it comes */
	struct bulk_writer certs, changes;
	struct sorter *entries;
	uint64_t *seen; /* open addressing, of fingerprints; 0: free */
	size_t nseen, size;
	FILE *again;		 /* certificates of keys that came before */
	uint64_t octets, looked; /* so far; when the room was looked at */
	/* of the thread that ends the certificates, and of the other */
	enum ks_status certs_status, entries_status;
};

/* ---- collecting ---------------------------------------------------------- */

/* Tables that say nothing of certificates. */
static bool
is_other(enum table t)
{
	return t == T_META || t == T_OUTBOX || t == T_OUTBOX_ID ||
	       t == T_SEEN || t == T_LIMIT || t == T_POISON || t == T_PEER ||
	       t == T_EXPIRE;
}

static bool
is_blank(struct keystore *ks)
{
	bool blank = ks->counters.serial == 0 && ks->counters.certificates == 0;
	struct walk w;

	for (int t = 0; blank && t < T_TABLES; t++) {
		if (is_other((enum table)t))
			continue;
		blank = walk_open(ks, (enum table)t, &w) == KS_OK;
		if (!blank)
			break;
		blank = walk_get(&w, DB_FIRST) == KS_NOT_FOUND;
		walk_close(&w);
	}
	return blank;
}

static enum ks_status
writers_begin(struct ks_bulk *b)
{
	int ret = bulk_env(b->dir, CERTS_CACHE, &b->env);

	if (ret == 0)
		ret = bulk_writer_begin(&b->certs, b->env, T_CERTS);
	if (ret == 0)
		ret = bulk_writer_begin(&b->changes, b->env, T_CHANGE);
	return bulk_status(ret);
}

static bool
is_sound(const DBT *key, const DBT *value, uint64_t number)
{
	const struct pgp_blob blob = {value->data, value->size};

	return key->size == NUMBER_LEN && number_get(key->data) == number &&
	       cert_is_whole(&blob);
}

/*
 * Reads all certificates again: so many, in their order, each with its digest.
 * Berkeley DB's own look at the file takes six times as long, for the many
 * pages, and sees less.
 */
static int
certs_verify(DB_ENV *env, uint64_t n)
{
	DBT key = {0}, value = {.flags = DB_DBT_REALLOC};
	DBC *dbc = NULL;
	DB *db;
	int ret = db_create(&db, env, 0), closed;

	if (ret != 0)
		return ret;
	ret = db->open(
	    db, NULL, table_file(T_CERTS), NULL, DB_BTREE, DB_RDONLY, 0);
	if (ret == 0)
		ret = db->cursor(db, NULL, &dbc, 0);
	for (uint64_t i = 1; ret == 0 && i <= n; i++) {
		ret = dbc->get(dbc, &key, &value, DB_NEXT);
		if (ret == 0 && !is_sound(&key, &value, i))
			ret = DB_VERIFY_BAD;
	}
	if (ret == 0)
		ret = dbc->get(dbc, &key, &value, DB_NEXT) == DB_NOTFOUND
			  ? 0
			  : DB_VERIFY_BAD;
	else if (ret == DB_NOTFOUND)
		ret = DB_VERIFY_BAD;
	if (dbc != NULL)
		(void)dbc->close(dbc);
	closed = db->close(db, 0);
	free(value.data);
	return ret == 0 ? closed : ret;
}

/* Syncs, closes and verifies, when it went well so far; may be called again. */
static int
writers_end(struct ks_bulk *b, int ret)
{
	int closed;

	ret = bulk_writer_end(&b->changes, ret);
	ret = bulk_writer_end(&b->certs, ret);
	if (ret == 0)
		ret = bulk_file_verify(b->env, T_CHANGE);
	if (ret == 0)
		ret = certs_verify(b->env, b->nseen);
	if (b->env != NULL) {
		closed = b->env->close(b->env, 0);
		ret = ret == 0 ? closed : ret;
	}
	b->env = NULL;
	return ret;
}

enum ks_status
ks_bulk_begin(struct keystore *ks, size_t memory,
    const struct ks_origin *origin, struct ks_bulk **out)
{
	struct ks_bulk *b;
	enum ks_status st;

	assert(ks->txn == NULL);
	if (ks->closed != KS_OK)
		return ks->closed;
	if (!is_blank(ks))
		return KS_BUSY;
	st = room(ks, ks->options.free_space, KS_ROOM_ADD);
	if (st != KS_OK)
		return st;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return KS_NOMEM;
	b->ks = ks;
	b->origin = *origin;
	b->origin.sent = NULL;
	b->dir = bulk_path(ks->dir, "bulk");
	if (b->dir == NULL) {
		st = KS_NOMEM;
		goto fail;
	}
	if (mkdir(b->dir, 0700) == -1) {
		st = bulk_errno();
		goto fail;
	}
	if ((st = writers_begin(b)) != KS_OK)
		goto fail;
	b->again = again_open(b->dir, O_WRONLY | O_CREAT | O_EXCL);
	if (b->again == NULL) {
		st = bulk_errno();
		goto fail;
	}
	b->size = 1u << 16;
	b->seen = calloc(b->size, sizeof(uint64_t));
	b->entries = sorter_new(b->dir, memory);
	if (b->seen != NULL && b->entries != NULL) {
		*out = b;
		return KS_OK;
	}
	st = KS_NOMEM;
fail:
	ks_bulk_drop(b);
	return st;
}

static void
bulk_free(struct ks_bulk *b)
{
	sorter_free(b->entries);
	if (b->again != NULL)
		fclose(b->again);
	free(b->seen);
	free(b->dir);
	free(b);
}

void
ks_bulk_drop(struct ks_bulk *b)
{
	if (b == NULL)
		return;
	(void)writers_end(b, ECANCELED);
	if (b->dir != NULL)
		(void)bulk_remove(b->dir);
	bulk_free(b);
}

static uint64_t
mark_of(const struct pgp_fpr *fpr)
{
	uint64_t mark = be64_get(fpr->octet);

	return mark == 0 ? 1 : mark;
}

static bool
set_add(uint64_t *set, size_t size, uint64_t mark)
{
	size_t i = (size_t)(mark * 0x9e3779b97f4a7c15u >> 20) & (size - 1);

	while (set[i] != 0 && set[i] != mark)
		i = (i + 1) & (size - 1);
	if (set[i] == mark)
		return false;
	set[i] = mark;
	return true;
}

/* Whether the key is new; one in 2^64 that is taken for another goes the long
 * way, and that is all. */
static enum ks_status
first_seen(struct ks_bulk *b, const struct pgp_fpr *fpr, bool *first)
{
	if (b->nseen > b->size / 2) {
		uint64_t *more = calloc(2 * b->size, sizeof(*more));

		if (more == NULL)
			return KS_NOMEM;
		for (size_t i = 0; i < b->size; i++)
			if (b->seen[i] != 0)
				set_add(more, 2 * b->size, b->seen[i]);
		free(b->seen);
		b->seen = more;
		b->size *= 2;
	}
	*first = set_add(b->seen, b->size, mark_of(fpr));
	b->nseen += *first;
	return KS_OK;
}

/* Certificates and the change log count on together. */
static enum ks_status
put_cert(struct ks_bulk *b, const struct pgp_fpr *fpr,
    const struct pgp_blob *value, uint64_t number)
{
	unsigned char key[NUMBER_LEN], serial[8], *change;
	size_t len;
	int ret;

	number_put(key, number);
	be64_put(serial, number);
	change = change_value(fpr, &b->origin, NULL, 0, &len);
	if (change == NULL)
		return KS_NOMEM;
	ret = bulk_writer_put(
	    &b->certs, key, sizeof(key), value->data, value->len);
	if (ret == 0)
		ret = bulk_writer_put(
		    &b->changes, serial, sizeof(serial), change, len);
	free(change);
	return bulk_status(ret);
}

static enum ks_status
put_entries(struct ks_bulk *b, const struct pgp_cert *cert, uint64_t number)
{
	struct entries entries = {0};
	enum ks_status st = entries_of(cert, &entries);
	unsigned char key[1 + sizeof(entries.entry->key)], value[NUMBER_LEN];

	for (size_t i = 0; st == KS_OK && i < entries.n; i++) {
		const struct entry *e = &entries.entry[i];

		key[0] = e->table;
		memcpy(key + 1, e->key, e->len);
		number_put(value, entry_number(e, number));
		if (sorter_add(b->entries, key, 1 + (size_t)e->len, value,
			sizeof(value)) == -1)
			st = bulk_errno();
	}
	entries_free(&entries);
	return st;
}

/* Nobody asks ks_begin(), and there may be more to come than there is room. */
static enum ks_status
look_for_room(struct ks_bulk *b)
{
	if (b->octets - b->looked < LOOK_EACH)
		return KS_OK;
	b->looked = b->octets;
	return room(b->ks, b->ks->options.free_space, KS_ROOM_ADD);
}

enum ks_status
ks_bulk_put(struct ks_bulk *b, const struct pgp_cert *cert)
{
	struct ks_meta meta = {
	    .changed = b->origin.now, .unverified = cert->unverified};
	const struct pgp_fpr *fpr = pgp_cert_fpr(cert);
	struct pgp_blob value = {0};
	enum ks_status st;
	bool first;

	if (is_blocked(b->ks, fpr))
		return KS_OK;
	if ((st = look_for_room(b)) != KS_OK ||
	    (st = first_seen(b, fpr, &first)) != KS_OK)
		return st;
	meta.serial = b->nseen;
	if ((st = cert_value(cert, &meta, &value)) != KS_OK)
		return st;
	b->octets += value.len;
	if (!first)
		st = again_add(b->again, &value);
	else if ((st = put_cert(b, fpr, &value, b->nseen)) == KS_OK)
		st = put_entries(b, cert, b->nseen);
	pgp_blob_free(&value, false);
	return st == KS_NOMEM ? memory_status(b->ks) : st;
}

/* ---- writing ------------------------------------------------------------- */

/* The indexes, one after the other: so they come out of the sorter. */
static int
entries_fill(struct ks_bulk *b, DB_ENV *env)
{
	struct sort_record r = {0};
	int got = sorter_next(b->entries, &r), ret = 0;

	for (size_t i = 2; ret == 0 && i < BULK_TABLES; i++) {
		struct bulk_writer w;

		ret = bulk_writer_begin(&w, env, bulk_tables[i]);
		while (ret == 0 && got == 1 && r.key[0] == bulk_tables[i]) {
			ret = bulk_writer_put(
			    &w, r.key + 1, r.klen - 1, r.value, r.vlen);
			got = sorter_next(b->entries, &r);
		}
		if (got == -1)
			ret = errno;
		ret = bulk_writer_end(&w, ret);
		if (ret == 0)
			ret = bulk_file_verify(env, bulk_tables[i]);
	}
	/* an entry of a table that is none of these */
	return ret == 0 && got == 1 ? DB_VERIFY_BAD : ret;
}

static void *
entries_thread(void *arg)
{
	struct ks_bulk *b = arg;
	DB_ENV *env;
	int ret = bulk_env(b->dir, INDEX_CACHE, &env);

	if (ret == 0) {
		ret = entries_fill(b, env);
		env->close(env, 0);
	}
	b->entries_status = bulk_status(ret);
	return NULL;
}

/* ---- the end ------------------------------------------------------------- */

/* For the indexes, and a log; the sorted entries go when they are read, not
 * before. */
static enum ks_status
check_room(const struct ks_bulk *b)
{
	return room_for(b->ks, b->octets / 2 + LOG_FILE);
}

static enum ks_status
files_write(struct ks_bulk *b)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, entries_thread, b) != 0)
		return KS_NOMEM;
	b->certs_status = bulk_status(writers_end(b, 0));
	pthread_join(thread, NULL);
	return b->certs_status != KS_OK ? b->certs_status : b->entries_status;
}

enum ks_status
ks_bulk_finish(struct ks_bulk *b, struct ks_bulk_counts *counts)
{
	const struct bulk_done done = {b->nseen, b->origin};
	struct keystore *ks = b->ks;
	enum ks_status st, up;

	memset(counts, 0, sizeof(*counts));
	st = check_room(b);
	bulk_point("checked");
	if (st == KS_OK)
		st = files_write(b);
	if (st == KS_OK)
		st = again_sync(b->again);
	bulk_point("written");
	if (st == KS_OK)
		st = bulk_ready(b->dir, &done);
	if (st == KS_NOMEM)
		st = memory_status(ks);
	if (st != KS_OK) {
		ks_bulk_drop(b);
		return st;
	}
	bulk_point("ready");
	/* What opens the store again does the rest. */
	st = store_down(ks);
	bulk_point("down");
	up = store_up(ks);
	ks->closed = up;
	counts->added = b->nseen;
	counts->unchanged = ks->again[0];
	counts->changed = ks->again[1];
	bulk_free(b);
	return st == KS_OK ? up : st;
}
