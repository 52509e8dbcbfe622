/* What is kept for a time: digests of mails, counters, deaths of readers. */
#include "db/internal.h"

#include <assert.h>
#include <string.h>

#define HOUR	    3600U
#define DAY	    (24U * HOUR)
#define SEEN_LIFE   (30U * DAY)
#define POISON_LIFE (30U * DAY)
#define LIMIT_LIFE  (25U * HOUR)
#define HOURS	    24U /* of a day's sum, the one that runs among them */

/* ---- ends ---------------------------------------------------------------- */

size_t
expire_key(unsigned char out[KEY_MAX], uint64_t when, enum table t,
    const unsigned char *key, size_t klen)
{
	assert(klen <= KEY_MAX - 9);
	be64_put(out, when);
	out[8] = (unsigned char)t;
	memcpy(out + 9, key, klen);
	return 9 + klen;
}

static enum ks_status
expire_add(struct keystore *ks, uint64_t when, enum table t,
    const unsigned char *key, size_t klen)
{
	unsigned char k[KEY_MAX];
	size_t len = expire_key(k, when, t, key, klen);

	return table_put(ks, T_EXPIRE, k, len, "", 0);
}

static enum ks_status
expire_remove(struct keystore *ks, uint64_t when, enum table t,
    const unsigned char *key, size_t klen)
{
	unsigned char k[KEY_MAX];
	size_t len = expire_key(k, when, t, key, klen);
	enum ks_status st = table_delete(ks, T_EXPIRE, k, len);

	return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status
expires_at(enum table t, const unsigned char *key, size_t klen,
    const unsigned char *value, size_t vlen, uint64_t *when)
{
	switch (t) {
	case T_SEEN:
		if (vlen != 8)
			return KS_CORRUPT;
		*when = be64_get(value) + SEEN_LIFE;
		return KS_OK;
	case T_POISON:
		if (vlen != 12)
			return KS_CORRUPT;
		*when = be64_get(value + 4) + POISON_LIFE;
		return KS_OK;
	case T_LIMIT:
		if (klen < 9)
			return KS_CORRUPT;
		*when = be64_get(key + klen - 8) * HOUR + LIMIT_LIFE;
		return KS_OK;
	default:
		return KS_CORRUPT;
	}
}

static bool
expire_sound(const struct walk *w)
{
	return w->klen > 9 && (w->key[8] == T_SEEN || w->key[8] == T_LIMIT ||
				  w->key[8] == T_POISON);
}

enum ks_status
store_expire(struct keystore *ks, time_t now, unsigned max, unsigned *removed)
{
	enum ks_status st, gone;
	struct walk w;

	assert(ks->txn != NULL);
	*removed = 0;
	if ((st = walk_open(ks, T_EXPIRE, &w)) != KS_OK)
		return st;
	while (*removed < max && (st = walk_get(&w, DB_NEXT)) == KS_OK) {
		if (!expire_sound(&w)) {
			st = KS_CORRUPT;
			break;
		}
		if (be64_get(w.key) > moment(now))
			break;
		gone = table_delete(
		    ks, (enum table)w.key[8], w.key + 9, w.klen - 9);
		st = gone == KS_NOT_FOUND ? KS_OK : gone;
		if (st != KS_OK || (st = walk_delete(&w)) != KS_OK)
			break;
		++*removed;
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- seen ---------------------------------------------------------------- */

enum ks_status
seen_find(
    struct keystore *ks, const unsigned char digest[DIGEST_LEN], bool *seen)
{
	unsigned char value[8];
	enum ks_status st;
	size_t len;

	st = table_get(
	    ks, T_SEEN, digest, DIGEST_LEN, value, sizeof(value), &len);
	if (st != KS_OK && st != KS_NOT_FOUND)
		return st;
	*seen = st == KS_OK;
	return KS_OK;
}

/* Replaces a record of a digest and the moment at which it ends. */
static enum ks_status
digest_put(struct keystore *ks, enum table t,
    const unsigned char digest[DIGEST_LEN], const unsigned char *value,
    size_t vlen)
{
	unsigned char old[12];
	enum ks_status st;
	uint64_t when;
	size_t len;

	st = table_get(ks, t, digest, DIGEST_LEN, old, sizeof(old), &len);
	if (st == KS_OK &&
	    (st = expires_at(t, digest, DIGEST_LEN, old, len, &when)) == KS_OK)
		st = expire_remove(ks, when, t, digest, DIGEST_LEN);
	if (st != KS_OK && st != KS_NOT_FOUND)
		return st;
	if ((st = expires_at(t, digest, DIGEST_LEN, value, vlen, &when)) !=
		KS_OK ||
	    (st = table_put(ks, t, digest, DIGEST_LEN, value, vlen)) != KS_OK)
		return st;
	return expire_add(ks, when, t, digest, DIGEST_LEN);
}

enum ks_status
seen_add(
    struct keystore *ks, const unsigned char digest[DIGEST_LEN], time_t now)
{
	unsigned char value[8];

	be64_put(value, moment(now));
	return digest_put(ks, T_SEEN, digest, value, sizeof(value));
}

/* ---- limit --------------------------------------------------------------- */

/* Address or domain, a NUL that none contains, the hour. */
#define WHO_MAX	  254
#define COUNT_LEN 16

static size_t
limit_key(unsigned char key[KEY_MAX], const char *who, uint64_t hour)
{
	size_t n = strnlen(who, WHO_MAX);

	memcpy(key, who, n);
	key[n] = '\0';
	be64_put(key + n + 1, hour);
	return n + 9;
}

static uint32_t
add32(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static void
count_add(struct limit_count *sum, const struct limit_count *more)
{
	sum->replies = add32(sum->replies, more->replies);
	sum->helps = add32(sum->helps, more->helps);
	sum->octets = sum->octets > UINT64_MAX - more->octets
			  ? UINT64_MAX
			  : sum->octets + more->octets;
}

static enum ks_status
count_parse(const unsigned char *value, size_t len, struct limit_count *out)
{
	if (len != COUNT_LEN)
		return KS_CORRUPT;
	out->replies = be32_get(value);
	out->helps = be32_get(value + 4);
	out->octets = be64_get(value + 8);
	return KS_OK;
}

enum ks_status
limit_get(struct keystore *ks, const char *who, time_t now,
    struct limit_count *hour, struct limit_count *day)
{
	uint64_t running = moment(now) / HOUR, of, first;
	struct limit_count count;
	unsigned char last[KEY_MAX];
	struct walk w;
	enum ks_status st;
	size_t len;

	memset(hour, 0, sizeof(*hour));
	memset(day, 0, sizeof(*day));
	if ((st = walk_open(ks, T_LIMIT, &w)) != KS_OK)
		return st;
	first = running < HOURS ? 0 : running - (HOURS - 1);
	w.klen = limit_key(w.key, who, first);
	len = limit_key(last, who, running);
	for (st = walk_get(&w, DB_SET_RANGE); st == KS_OK;
	     st = walk_get(&w, DB_NEXT)) {
		if (w.klen != len || memcmp(w.key, last, len - 8) != 0)
			break;
		if ((of = be64_get(w.key + len - 8)) > running)
			break;
		if ((st = count_parse(w.value, w.vlen, &count)) != KS_OK)
			break;
		count_add(day, &count);
		if (of == running)
			count_add(hour, &count);
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status
limit_add(struct keystore *ks, const char *who, time_t now,
    const struct limit_count *more)
{
	unsigned char key[KEY_MAX], value[COUNT_LEN];
	struct limit_count sum = {0};
	enum ks_status st;
	uint64_t when;
	size_t klen, len;
	bool new;

	klen = limit_key(key, who, moment(now) / HOUR);
	st = table_get(ks, T_LIMIT, key, klen, value, sizeof(value), &len);
	new = st == KS_NOT_FOUND;
	if (!new &&
	    (st != KS_OK || (st = count_parse(value, len, &sum)) != KS_OK))
		return st;
	count_add(&sum, more);
	be32_put(value, sum.replies);
	be32_put(value + 4, sum.helps);
	be64_put(value + 8, sum.octets);
	st = table_put(ks, T_LIMIT, key, klen, value, sizeof(value));
	if (st != KS_OK || !new)
		return st;
	st = expires_at(T_LIMIT, key, klen, value, sizeof(value), &when);
	return st != KS_OK ? st : expire_add(ks, when, T_LIMIT, key, klen);
}

/* ---- poison -------------------------------------------------------------- */

enum ks_status
poison_add(struct keystore *ks, const unsigned char digest[DIGEST_LEN],
    time_t now, unsigned *count)
{
	unsigned char value[12];
	uint32_t deaths = 0;
	enum ks_status st;
	size_t len;

	st = table_get(
	    ks, T_POISON, digest, DIGEST_LEN, value, sizeof(value), &len);
	if (st == KS_OK && len != sizeof(value))
		return KS_CORRUPT;
	if (st == KS_OK)
		deaths = be32_get(value);
	else if (st != KS_NOT_FOUND)
		return st;
	deaths = add32(deaths, 1);
	be32_put(value, deaths);
	be64_put(value + 4, moment(now));
	st = digest_put(ks, T_POISON, digest, value, sizeof(value));
	if (st == KS_OK)
		*count = deaths;
	return st;
}

enum ks_status
poison_forget(struct keystore *ks, const unsigned char digest[DIGEST_LEN])
{
	unsigned char value[12];
	enum ks_status st;
	uint64_t when;
	size_t len;

	st = table_get(
	    ks, T_POISON, digest, DIGEST_LEN, value, sizeof(value), &len);
	if (st != KS_OK)
		return st == KS_NOT_FOUND ? KS_OK : st;
	if ((st = expires_at(
		 T_POISON, digest, DIGEST_LEN, value, len, &when)) != KS_OK ||
	    (st = expire_remove(ks, when, T_POISON, digest, DIGEST_LEN)) !=
		KS_OK)
		return st;
	return table_delete(ks, T_POISON, digest, DIGEST_LEN);
}
