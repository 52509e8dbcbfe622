/*
 * Files that are filled in the order of their keys.
 *
 * Berkeley DB then fills each page to the brim, and in an index, where later
 * keys fall anywhere, each of them would split a page for a long time.  So
 * records that nobody wants are written among the others, and removed again
 * when the pages behind them are begun: they leave room.
 */
#include "db/bulk_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (4u << 20) /* octets handed to Berkeley DB at once */
#define PAD   600	 /* octets of a record that leaves room */
#define EVERY 3300	 /* octets after which one comes: a page, nearly */
/* What a pair takes on a page beside its octets, about. */
#define PAIR 12

/* What is wrong the status says. */
static void
say_nothing(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)env;
	(void)prefix;
	(void)text;
}

int
bulk_env(const char *dir, uint32_t cache, DB_ENV **out)
{
	DB_ENV *env;
	int ret = db_env_create(&env, 0);

	if (ret != 0)
		return ret;
	env->set_errcall(env, say_nothing);
	ret = env->set_cachesize(env, 0, cache, 1);
	if (ret == 0)
		ret = env->set_mp_pagesize(env, SMALL_PAGE);
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

int
bulk_writer_begin(struct bulk_writer *w, DB_ENV *env, enum table table)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->table = table;
	w->chunk.ulen = CHUNK;
	w->chunk.flags = DB_DBT_USERMEM;
	w->chunk.data = malloc(CHUNK);
	if (w->chunk.data == NULL)
		return ENOMEM;
	DB_MULTIPLE_WRITE_INIT(w->next, &w->chunk);
	if ((ret = db_create(&w->db, env, 0)) != 0)
		return ret;
	ret = table_shape(w->db, table);
	if (ret == 0)
		ret = w->db->open(w->db, NULL, table_file(table), NULL,
		    DB_BTREE, DB_CREATE | DB_EXCL, 0600);
	return ret;
}

/* ---- room ---------------------------------------------------------------- */

static int
pads_add(struct pads *p, const unsigned char *key, size_t len)
{
	size_t size = p->size == 0 ? 4096 : 2 * p->size;
	unsigned char *grown;

	if (p->size - p->len < len + 2) {
		if ((grown = realloc(p->key, size)) == NULL)
			return ENOMEM;
		p->key = grown;
		p->size = size;
	}
	p->key[p->len++] = (unsigned char)(len >> 8);
	p->key[p->len++] = (unsigned char)len;
	memcpy(p->key + p->len, key, len);
	p->len += len;
	return 0;
}

static int
pads_remove(struct bulk_writer *w, struct pads *p)
{
	int ret = 0;

	for (size_t at = 0; at < p->len && ret == 0;) {
		DBT key = {0};

		key.size = (uint32_t)(p->key[at] << 8 | p->key[at + 1]);
		key.data = p->key + at + 2;
		at += 2 + key.size;
		ret = w->db->del(w->db, NULL, &key, 0);
	}
	p->len = 0;
	return ret;
}

static int
writer_flush(struct bulk_writer *w)
{
	struct pads before = w->pads_before;
	int ret = w->db->put(w->db, NULL, &w->chunk, NULL, DB_MULTIPLE_KEY);

	DB_MULTIPLE_WRITE_INIT(w->next, &w->chunk);
	if (ret == 0)
		ret = pads_remove(w, &before);
	w->pads_before = w->pads;
	w->pads = before;
	return ret;
}

static int
writer_add(struct bulk_writer *w, const void *key, size_t klen,
    const void *value, size_t vlen)
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

/* Before a key that is another than the last: right behind the last, where no
 * other is. */
static int
writer_pad(struct bulk_writer *w)
{
	static const unsigned char zeros[PAD];
	int ret;

	w->last[w->last_len++] = 0;
	if ((ret = pads_add(&w->pads, w->last, w->last_len)) != 0)
		return ret;
	w->unpadded = 0;
	return writer_add(w, w->last, w->last_len, zeros, sizeof(zeros));
}

int
bulk_writer_put(struct bulk_writer *w, const void *key, size_t klen,
    const void *value, size_t vlen)
{
	bool same = klen == w->last_len && memcmp(key, w->last, klen) == 0;
	int ret = 0;

	if (w->table == T_CERTS || w->table == T_CHANGE)
		return writer_add(w, key, klen, value, vlen);
	if (klen >= sizeof(w->last))
		return EINVAL;
	if (!same && w->unpadded > EVERY)
		ret = writer_pad(w);
	w->unpadded += PAIR + vlen + (same ? 0 : klen);
	memcpy(w->last, key, klen);
	w->last_len = klen;
	return ret == 0 ? writer_add(w, key, klen, value, vlen) : ret;
}

/* ---- the end ------------------------------------------------------------- */

int
bulk_writer_end(struct bulk_writer *w, int ret)
{
	int closed;

	if (w->db != NULL) {
		if (ret == 0)
			ret = writer_flush(w);
		if (ret == 0)
			ret = pads_remove(w, &w->pads_before);
		if (ret == 0)
			ret = w->db->sync(w->db, 0);
		/* What is given up need not be written. */
		closed = w->db->close(w->db, ret == 0 ? 0 : DB_NOSYNC);
		ret = ret == 0 ? closed : ret;
	}
	free(w->chunk.data);
	free(w->pads.key);
	free(w->pads_before.key);
	memset(w, 0, sizeof(*w));
	return ret;
}

int
bulk_file_verify(DB_ENV *env, enum table table)
{
	DB *db;
	int ret = db_create(&db, env, 0);

	if (ret != 0)
		return ret;
	return db->verify(db, table_file(table), NULL, NULL, 0);
}
