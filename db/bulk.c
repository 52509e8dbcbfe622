/*
 * Many certificates into an empty store, past the transactions: sorted outside
 * of memory, written in the order of their keys into new files beside the
 * store's, synced, verified, and moved into their place.
 *
 * The new files lie in db/bulk.  As long as there is no file `ready` among
 * them the load has not happened: whoever opens the store removes them.  Once
 * it is there the load has happened: whoever opens the store moves what was
 * not moved yet, writes the counters, and removes it.  Until then the load
 * holds the store's lock.
 */
#include "db/bulk.h"
#include "db/internal.h"
#include "db/sort.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READY	  "ready"
#define READY_LEN 24
#define CACHE	  (96u << 20) /* octets, for each of two threads */
#define CHUNK	  (4u << 20)  /* octets handed to Berkeley DB at once */
/* Certificates in the order of their keys: large pages waste least. */
#define CERT_PAGE 32768

static const enum table bulk_tables[] = {
    T_CERTS, T_CHANGE, T_KEYID, T_SUBKEY, T_EMAIL, T_WORD};
#define NTABLES (sizeof(bulk_tables) / sizeof(bulk_tables[0]))

void (*bulk_fault)(const char *point);

static void
fault_point(const char *point)
{
	if (bulk_fault != NULL)
		bulk_fault(point);
}

struct ks_bulk {
	struct keystore *ks;
	char *dir;
	struct ks_origin origin;
	struct sorter *certs, *entries;
	uint64_t *seen; /* open addressing, of fingerprints; 0: free */
	size_t nseen, size;
	FILE *again; /* certificates of keys that came before */
	uint64_t nagain, octets;
	/* of the thread that writes certificates, and of the other */
	enum ks_status certs_status, entries_status;
};

static enum ks_status
status_of_errno(void)
{
	switch (errno) {
	case ENOMEM:
		return KS_NOMEM;
	case ENOSPC:
	case EDQUOT:
		return KS_FULL;
	case EACCES:
	case EPERM:
		return KS_DENIED;
	case EROFS:
		return KS_READ_ONLY;
	default:
		return KS_IO;
	}
}

static enum ks_status
status_of_ret(int ret)
{
	if (ret == 0)
		return KS_OK;
	if (ret == DB_VERIFY_BAD)
		return KS_CORRUPT;
	errno = ret;
	return status_of_errno();
}

/* ---- directories --------------------------------------------------------- */

static char *
path_in(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) == -1 ? NULL : path;
}

static int
directory_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv;

	if (fd == -1)
		return -1;
	rv = fsync(fd);
	close(fd);
	return rv;
}

/* Removes all that is there: Berkeley DB makes a file under another name, which
 * stays when it ends half-way.  The mark goes first: without it the rest is
 * nothing. */
static enum ks_status
bulk_empty(DIR *dir)
{
	enum ks_status st = KS_OK;
	struct dirent *entry;

	if (unlinkat(dirfd(dir), READY, 0) == -1 && errno != ENOENT)
		return status_of_errno();
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == -1 &&
		    errno != ENOENT)
			st = status_of_errno();
	}
	return st;
}

/* Removes the new files and their directory. */
static enum ks_status
bulk_remove(const char *name)
{
	DIR *dir = opendir(name);
	enum ks_status st;

	if (dir == NULL)
		return errno == ENOENT ? KS_OK : status_of_errno();
	st = bulk_empty(dir);
	closedir(dir);
	if (rmdir(name) == -1 && errno != ENOENT && st == KS_OK)
		st = status_of_errno();
	return st;
}

/* Moves the files that were not moved yet into their places. */
static enum ks_status
bulk_move(const struct keystore *ks, const char *dir)
{
	enum ks_status st = KS_OK;

	for (size_t i = 0; i < NTABLES && st == KS_OK; i++) {
		char *from = path_in(dir, table_file(bulk_tables[i]));
		char *to = path_in(ks->dir, table_file(bulk_tables[i]));

		if (from == NULL || to == NULL)
			st = KS_NOMEM;
		else if (rename(from, to) == -1 && errno != ENOENT)
			st = status_of_errno();
		free(from);
		free(to);
		fault_point("moved");
	}
	if (st == KS_OK && directory_sync(ks->dir) == -1)
		st = status_of_errno();
	return st;
}

/* 1: it is there; 0; -1: errno. */
static int
ready_read(const char *dir, unsigned char out[READY_LEN])
{
	char *path = path_in(dir, READY);
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC), rv;

	free(path);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	rv = read(fd, out, READY_LEN) == READY_LEN ? 1 : -1;
	close(fd);
	return rv;
}

/* Written under another name: it is whole, or not there. */
static enum ks_status
ready_write(const char *dir, const unsigned char value[READY_LEN])
{
	char *part = path_in(dir, READY ".part"), *path = path_in(dir, READY);
	enum ks_status st = KS_OK;
	int fd;

	if (part == NULL || path == NULL) {
		free(part);
		free(path);
		return KS_NOMEM;
	}
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, value, READY_LEN) != READY_LEN ||
	    fsync(fd) == -1 || directory_sync(dir) == -1 ||
	    rename(part, path) == -1 || directory_sync(dir) == -1)
		st = status_of_errno();
	if (fd != -1)
		close(fd);
	if (st != KS_OK)
		unlink(part);
	free(part);
	free(path);
	return st;
}

enum ks_status
bulk_recover(struct keystore *ks)
{
	char *dir = path_in(ks->dir, "bulk");
	unsigned char value[READY_LEN];
	enum ks_status st = KS_OK;
	int ready;

	if (dir == NULL)
		return KS_NOMEM;
	ready = ready_read(dir, value);
	if (ready == -1)
		st = status_of_errno();
	else if (ready == 1)
		st = bulk_move(ks, dir);
	else
		st = bulk_remove(dir);
	free(dir);
	return st;
}

enum ks_status
bulk_settle(struct keystore *ks)
{
	char *dir = path_in(ks->dir, "bulk");
	unsigned char value[READY_LEN];
	enum ks_status st;
	int ready;

	if (dir == NULL)
		return KS_NOMEM;
	ready = ready_read(dir, value);
	if (ready != 1) {
		free(dir);
		return ready == 0 ? KS_OK : status_of_errno();
	}
	st = ks_begin(ks, KS_ROOM_NONE);
	if (st == KS_OK) {
		ks->counters.certificates = be64_get(value);
		ks->counters.serial = be64_get(value + 8);
		ks->counters.last_change = be64_get(value + 16);
		st = ks_commit(ks);
	}
	fault_point("settled");
	if (st == KS_OK)
		st = bulk_remove(dir);
	if (st == KS_OK && directory_sync(ks->dir) == -1)
		st = status_of_errno();
	free(dir);
	return st;
}

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

enum ks_status
ks_bulk_begin(struct keystore *ks, size_t memory,
    const struct ks_origin *origin, struct ks_bulk **out)
{
	struct ks_bulk *b;
	enum ks_status st = KS_NOMEM;
	int fd;

	assert(ks->txn == NULL);
	if (ks->closed != KS_OK)
		return ks->closed;
	if (!is_blank(ks))
		return KS_BUSY;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return KS_NOMEM;
	b->ks = ks;
	b->origin = *origin;
	b->origin.sent = NULL;
	b->dir = path_in(ks->dir, "bulk");
	if (b->dir == NULL)
		goto fail;
	if (mkdir(b->dir, 0700) == -1) {
		st = status_of_errno();
		goto fail;
	}
	b->size = 1u << 16;
	b->seen = calloc(b->size, sizeof(uint64_t));
	b->certs = sorter_new(b->dir, memory / 3 * 2);
	b->entries = sorter_new(b->dir, memory / 3);
	fd = sort_file(b->dir);
	if (fd != -1)
		b->again = fdopen(fd, "w+");
	if (b->again == NULL && fd != -1)
		close(fd);
	if (b->again != NULL && b->seen != NULL && b->certs != NULL &&
	    b->entries != NULL) {
		*out = b;
		return KS_OK;
	}
	st = fd == -1 ? status_of_errno() : KS_NOMEM;
fail:
	ks_bulk_drop(b);
	return st;
}

static void
bulk_free(struct ks_bulk *b)
{
	sorter_free(b->certs);
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

static enum ks_status
put_again(struct ks_bulk *b, const struct pgp_blob *value)
{
	unsigned char len[4];

	be32_put(len, (uint32_t)value->len);
	if (fwrite(len, 1, 4, b->again) != 4 ||
	    fwrite(value->data, 1, value->len, b->again) != value->len)
		return status_of_errno();
	b->nagain++;
	return KS_OK;
}

static enum ks_status
put_entries(struct ks_bulk *b, const struct pgp_cert *cert)
{
	const struct pgp_fpr *fpr = pgp_cert_fpr(cert);
	struct entries entries = {0};
	enum ks_status st = entries_of(cert, &entries);
	unsigned char key[1 + sizeof(entries.entry->key)];

	for (size_t i = 0; st == KS_OK && i < entries.n; i++) {
		const struct entry *e = &entries.entry[i];

		key[0] = e->table;
		memcpy(key + 1, e->key, e->len);
		if (sorter_add(b->entries, key, 1 + (size_t)e->len, fpr->octet,
			fpr->len) == -1)
			st = status_of_errno();
	}
	entries_free(&entries);
	return st;
}

enum ks_status
ks_bulk_put(struct ks_bulk *b, const struct pgp_cert *cert)
{
	const struct ks_meta meta = {
	    .changed = b->origin.now, .unverified = cert->unverified};
	const struct pgp_fpr *fpr = pgp_cert_fpr(cert);
	struct pgp_blob value = {0};
	enum ks_status st;
	bool first;

	if (is_blocked(b->ks, fpr))
		return KS_OK;
	if ((st = first_seen(b, fpr, &first)) != KS_OK ||
	    (st = cert_value(cert, &meta, &value)) != KS_OK)
		return st;
	b->octets += value.len;
	if (!first)
		st = put_again(b, &value);
	else if (sorter_add(b->certs, fpr->octet, fpr->len, value.data,
		     value.len) == -1)
		st = status_of_errno();
	else
		st = put_entries(b, cert);
	pgp_blob_free(&value, false);
	return st;
}

/* ---- writing ------------------------------------------------------------- */

/* One new file that is filled in the order of its keys. */
struct writer {
	DB_ENV *env;
	DB *db;
	DBT chunk;
	void *next;
	enum table table;
};

/* What is wrong the status says. */
static void
say_nothing(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)env;
	(void)prefix;
	(void)text;
}

static int
env_begin(const char *dir, DB_ENV **out)
{
	DB_ENV *env;
	int ret = db_env_create(&env, 0);

	if (ret != 0)
		return ret;
	env->set_errcall(env, say_nothing);
	ret = env->set_cachesize(env, 0, CACHE, 1);
	if (ret == 0)
		ret = env->open(
		    env, dir, DB_CREATE | DB_PRIVATE | DB_INIT_MPOOL, 0600);
	if (ret != 0) {
		env->close(env, 0);
		return ret;
	}
	*out = env;
	return 0;
}

static int
writer_begin(struct writer *w, DB_ENV *env, enum table table)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->env = env;
	w->table = table;
	w->chunk.ulen = CHUNK;
	w->chunk.flags = DB_DBT_USERMEM;
	w->chunk.data = malloc(CHUNK);
	if (w->chunk.data == NULL)
		return ENOMEM;
	DB_MULTIPLE_WRITE_INIT(w->next, &w->chunk);
	if ((ret = db_create(&w->db, env, 0)) != 0)
		return ret;
	ret = table_shape(w->db, table, table == T_CERTS ? CERT_PAGE : 0);
	if (ret == 0)
		ret = w->db->open(w->db, NULL, table_file(table), NULL,
		    DB_BTREE, DB_CREATE | DB_EXCL, 0600);
	return ret;
}

static int
writer_flush(struct writer *w)
{
	int ret = w->db->put(w->db, NULL, &w->chunk, NULL, DB_MULTIPLE_KEY);

	DB_MULTIPLE_WRITE_INIT(w->next, &w->chunk);
	return ret;
}

static int
writer_put(struct writer *w, const void *key, size_t klen, const void *value,
    size_t vlen)
{
	int ret;

	DB_MULTIPLE_KEY_WRITE_NEXT(w->next, &w->chunk, key, klen, value, vlen);
	if (w->next != NULL)
		return 0;
	if ((ret = writer_flush(w)) != 0)
		return ret;
	DB_MULTIPLE_KEY_WRITE_NEXT(w->next, &w->chunk, key, klen, value, vlen);
	return w->next == NULL ? ENOMEM : 0;
}

/* Syncs and closes; `ret` is how it went so far. */
static int
writer_end(struct writer *w, int ret)
{
	int closed;

	if (w->db != NULL) {
		if (ret == 0)
			ret = writer_flush(w);
		if (ret == 0)
			ret = w->db->sync(w->db, 0);
		closed = w->db->close(w->db, 0);
		ret = ret == 0 ? closed : ret;
	}
	free(w->chunk.data);
	return ret;
}

/* Berkeley DB's own look at the whole file. */
static int
file_verify(DB_ENV *env, enum table table)
{
	DB *db;
	int ret = db_create(&db, env, 0);

	if (ret != 0)
		return ret;
	return db->verify(db, table_file(table), NULL, NULL, 0);
}

/* Certificates and the change log, which count on together. */
static int
certs_fill(struct ks_bulk *b, struct writer *certs, struct writer *changes)
{
	unsigned char key[8], *value;
	struct sort_record r;
	uint64_t serial = 0;
	int got, ret = 0;

	while (ret == 0 && (got = sorter_next(b->certs, &r)) != 0) {
		struct pgp_fpr fpr = {.len = (unsigned char)r.klen};
		size_t len;

		if (got == -1)
			return errno;
		memcpy(fpr.octet, r.key, r.klen);
		be64_put(key, ++serial);
		/* it lies in the sorter's own buffer */
		be64_put(
		    (unsigned char *)(uintptr_t)r.value + CERT_SERIAL, serial);
		ret = writer_put(certs, r.key, r.klen, r.value, r.vlen);
		value = change_value(&fpr, &b->origin, NULL, 0, &len);
		if (value == NULL)
			return ENOMEM;
		if (ret == 0)
			ret = writer_put(changes, key, sizeof(key), value, len);
		free(value);
	}
	return ret;
}

static void *
certs_thread(void *arg)
{
	struct ks_bulk *b = arg;
	struct writer certs, changes;
	DB_ENV *env;
	int ret = env_begin(b->dir, &env);

	if (ret == 0) {
		memset(&changes, 0, sizeof(changes));
		ret = writer_begin(&certs, env, T_CERTS);
		if (ret == 0)
			ret = writer_begin(&changes, env, T_CHANGE);
		if (ret == 0)
			ret = certs_fill(b, &certs, &changes);
		ret = writer_end(&changes, ret);
		ret = writer_end(&certs, ret);
		if (ret == 0)
			ret = file_verify(env, T_CHANGE);
		if (ret == 0)
			ret = file_verify(env, T_CERTS);
		env->close(env, 0);
	}
	b->certs_status = status_of_ret(ret);
	return NULL;
}

/* The indexes, one after the other: so they come out of the sorter. */
static int
entries_fill(struct ks_bulk *b, DB_ENV *env)
{
	struct sort_record r = {0};
	int got = sorter_next(b->entries, &r), ret = 0;

	for (size_t i = 2; ret == 0 && i < NTABLES; i++) {
		struct writer w;

		ret = writer_begin(&w, env, bulk_tables[i]);
		while (ret == 0 && got == 1 && r.key[0] == bulk_tables[i]) {
			ret = writer_put(
			    &w, r.key + 1, r.klen - 1, r.value, r.vlen);
			got = sorter_next(b->entries, &r);
		}
		if (got == -1)
			ret = errno;
		ret = writer_end(&w, ret);
		if (ret == 0)
			ret = file_verify(env, bulk_tables[i]);
	}
	/* an entry of a table that is none of these */
	return ret == 0 && got == 1 ? DB_VERIFY_BAD : ret;
}

static void *
entries_thread(void *arg)
{
	struct ks_bulk *b = arg;
	DB_ENV *env;
	int ret = env_begin(b->dir, &env);

	if (ret == 0) {
		ret = entries_fill(b, env);
		env->close(env, 0);
	}
	b->entries_status = status_of_ret(ret);
	return NULL;
}

/* ---- the end ------------------------------------------------------------- */

/* The sorted files go when they are read, not before. */
static enum ks_status
check_room(const struct ks_bulk *b)
{
	struct statvfs fs;

	if (statvfs(b->dir, &fs) == -1)
		return status_of_errno();
	return (uint64_t)fs.f_bavail * fs.f_frsize < b->octets / 2 * 3 ? KS_FULL
								       : KS_OK;
}

static enum ks_status
files_write(struct ks_bulk *b)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, entries_thread, b) != 0)
		return KS_NOMEM;
	certs_thread(b);
	pthread_join(thread, NULL);
	return b->certs_status != KS_OK ? b->certs_status : b->entries_status;
}

/* What came of keys that had come before, as any other change; `counts` as far
 * as it is. */
static enum ks_status
again_put(struct ks_bulk *b, struct ks_bulk_counts *counts)
{
	struct keystore *ks = b->ks;
	enum ks_status st = KS_OK;
	unsigned char len[4];
	struct pgp_added added;
	enum ks_change change;

	rewind(b->again);
	while (st == KS_OK && b->nagain > 0) {
		st = ks_begin(ks, KS_ROOM_ADD);
		if (st != KS_OK)
			return st;
		for (int n = 0; st == KS_OK && n < 100 && b->nagain > 0; n++) {
			struct pgp_blob value = {0};
			struct pgp_cert *cert = NULL;
			struct ks_meta meta;

			if (fread(len, 1, 4, b->again) != 4)
				st = KS_IO;
			value.len = be32_get(len);
			value.data = malloc(value.len + 1);
			if (st == KS_OK && value.data == NULL)
				st = KS_NOMEM;
			if (st == KS_OK && fread(value.data, 1, value.len,
					       b->again) != value.len)
				st = KS_IO;
			if (st == KS_OK)
				st = cert_read(ks, &value, &cert, &meta);
			if (st == KS_OK)
				st = ks_put(
				    ks, cert, &b->origin, &change, &added);
			if (st == KS_OK && change == KS_MERGED)
				counts->changed++;
			else if (st == KS_OK)
				counts->unchanged++;
			pgp_cert_free(cert);
			pgp_blob_free(&value, false);
			b->nagain--;
		}
		if (st == KS_OK)
			st = ks_commit(ks);
		else
			ks_abort(ks);
	}
	return st;
}

enum ks_status
ks_bulk_finish(struct ks_bulk *b, struct ks_bulk_counts *counts)
{
	struct keystore *ks = b->ks;
	unsigned char value[READY_LEN];
	enum ks_status st, up;

	memset(counts, 0, sizeof(*counts));
	st = check_room(b);
	if (st == KS_OK)
		st = files_write(b);
	fault_point("written");
	if (st == KS_OK) {
		be64_put(value, b->nseen);
		be64_put(value + 8, b->nseen);
		be64_put(value + 16, b->nseen == 0 ? 0 : moment(b->origin.now));
		st = ready_write(b->dir, value);
	}
	if (st != KS_OK) {
		ks_bulk_drop(b);
		return st;
	}
	fault_point("ready");
	counts->added = b->nseen;
	/* What opens the store again does the rest. */
	st = store_down(ks);
	fault_point("down");
	up = store_up(ks);
	ks->closed = up;
	st = st == KS_OK ? up : st;
	if (st == KS_OK)
		st = again_put(b, counts);
	bulk_free(b);
	return st;
}
