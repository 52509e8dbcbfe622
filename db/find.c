/* Certificates by key ID, fingerprint, address and words. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BULK_SIZE (64U << 10)

/*
 * Above these many candidates of the rarest word, a search with a limit says
 * that they are too many, before it reads them: one search must not hold up
 * all others for more than some milliseconds.
 */
#define INTERSECT_MAX 5000
#define SUBKEY_MAX    1000 /* certificates with one and the same subkey */
#define BLOCKED_MAX   1000 /* of the block list, read in vain at most */

/* ---- fingerprints found -------------------------------------------------- */

/* What is on the block list is not found. */
enum ks_status
hits_add(struct hits *h, const void *octets, size_t len)
{
	struct pgp_fpr fpr = {.len = (unsigned char)len}, *grown;
	size_t size;

	if (len == 0 || len > PGP_FPR_MAX)
		return KS_CORRUPT;
	memcpy(fpr.octet, octets, len);
	if (is_blocked(h->ks, &fpr))
		return KS_OK;
	if (h->n == h->size) {
		size = h->size == 0 ? 16 : 2 * h->size;
		grown = realloc(h->fpr, size * sizeof(*grown));
		if (grown == NULL)
			return KS_NOMEM;
		h->fpr = grown;
		h->size = size;
	}
	h->fpr[h->n++] = fpr;
	return KS_OK;
}

static int
by_order(const void *a, const void *b)
{
	return fpr_order(a, b);
}

void
hits_unique(struct hits *h)
{
	size_t kept = 0;

	if (h->n == 0)
		return;
	qsort(h->fpr, h->n, sizeof(*h->fpr), by_order);
	for (size_t i = 1; i < h->n; i++)
		if (fpr_order(&h->fpr[kept], &h->fpr[i]) != 0)
			h->fpr[++kept] = h->fpr[i];
	h->n = kept + 1;
}

/* ---- duplicates of one key ----------------------------------------------- */

enum ks_status
duplicates_count(struct keystore *ks, enum table t, const void *key,
    size_t klen, uint64_t *n)
{
	db_recno_t count = 0;
	struct walk w;
	enum ks_status st;

	*n = 0;
	if ((st = walk_open(ks, t, &w)) != KS_OK)
		return st;
	memcpy(w.key, key, klen);
	w.klen = klen;
	st = walk_get(&w, DB_SET);
	if (st == KS_OK)
		st = table_status(ks, w.dbc->count(w.dbc, &count, 0));
	walk_close(&w);
	*n = count;
	return st;
}

static enum ks_status
bulk_take(DBT *bulk, struct hits *h)
{
	enum ks_status st = KS_OK;
	void *at, *data;
	size_t len;

	DB_MULTIPLE_INIT(at, bulk);
	while (st == KS_OK) {
		DB_MULTIPLE_NEXT(at, bulk, data, len);
		if (at == NULL)
			break;
		st = hits_add(h, data, len);
	}
	return st;
}

static enum ks_status
duplicates_read(struct keystore *ks, enum table t, const void *key, size_t klen,
    struct hits *h)
{
	DBT k = {0}, bulk = {0};
	struct walk w;
	enum ks_status st;
	uint32_t flag = DB_SET;

	if ((bulk.data = malloc(BULK_SIZE)) == NULL)
		return KS_NOMEM;
	bulk.ulen = BULK_SIZE;
	bulk.flags = k.flags = DB_DBT_USERMEM;
	if ((st = walk_open(ks, t, &w)) != KS_OK)
		goto done;
	memcpy(w.key, key, klen);
	k.data = w.key;
	k.size = (uint32_t)klen;
	k.ulen = sizeof(w.key);
	while ((st = table_status(ks, w.dbc->get(w.dbc, &k, &bulk,
					  flag | DB_MULTIPLE))) == KS_OK) {
		if ((st = bulk_take(&bulk, h)) != KS_OK)
			break;
		flag = DB_NEXT_DUP;
	}
	walk_close(&w);
	if (st == KS_NOT_FOUND)
		st = KS_OK;
done:
	free(bulk.data);
	return st;
}

/* Reads them when they are at most `max`; else KS_TOO_MANY and *total. */
static enum ks_status
duplicates_take(struct keystore *ks, enum table t, const void *key, size_t klen,
    size_t max, struct hits *h, uint64_t *total)
{
	enum ks_status st = duplicates_count(ks, t, key, klen, total);

	if (st != KS_OK)
		return st == KS_NOT_FOUND ? KS_OK : st;
	if (max > 0 && *total > max)
		return KS_TOO_MANY;
	return duplicates_read(ks, t, key, klen, h);
}

/* ---- digits -------------------------------------------------------------- */

static enum ks_status
by_short_id(struct keystore *ks, const unsigned char low32[4], struct hits *h)
{
	struct walk w;
	enum ks_status st;

	if ((st = walk_open(ks, T_KEYID, &w)) != KS_OK)
		return st;
	memcpy(w.key, low32, 4);
	w.klen = 4;
	for (st = walk_get(&w, DB_SET_RANGE); st == KS_OK;
	     st = walk_get(&w, DB_NEXT)) {
		if (w.klen != 8 || memcmp(w.key, low32, 4) != 0)
			break;
		if ((st = hits_add(h, w.value, w.vlen)) != KS_OK)
			break;
	}
	walk_close(&w);
	hits_unique(h);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status
by_keyid(struct keystore *ks, const struct ks_query *q, size_t max,
    struct hits *h, uint64_t *total)
{
	unsigned char key[8];

	if (q->ndigits == 8)
		return by_short_id(ks, q->octet, h);
	memcpy(key, q->octet + 4, 4);
	memcpy(key + 4, q->octet, 4);
	return duplicates_take(ks, T_KEYID, key, sizeof(key), max, h, total);
}

/* Anybody can bind anybody's subkey to a certificate that is not checked: such
 * ones must not make the others too many. */
static enum ks_status
leave_verified(struct keystore *ks, struct hits *h)
{
	enum ks_status st = KS_OK;
	struct ks_meta meta;
	size_t kept = 0;

	for (size_t i = 0; i < h->n && st == KS_OK; i++) {
		st = cert_meta(ks, &h->fpr[i], &meta);
		if (st == KS_OK && !meta.unverified)
			h->fpr[kept++] = h->fpr[i];
	}
	if (st == KS_OK && kept > 0)
		h->n = kept;
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

static enum ks_status
by_fpr(struct keystore *ks, const struct ks_query *q, size_t max,
    struct hits *h, uint64_t *total)
{
	const size_t len = q->ndigits / 2;
	unsigned char head[CERT_HEADER];
	enum ks_status st;
	size_t got;

	st = table_get_part(
	    ks, T_CERTS, q->octet, len, head, sizeof(head), &got);
	if (st == KS_OK)
		st = hits_add(h, q->octet, len);
	if (st != KS_OK && st != KS_NOT_FOUND)
		return st;
	st = duplicates_take(ks, T_SUBKEY, q->octet, len,
	    max > 0 && max < SUBKEY_MAX ? SUBKEY_MAX : max, h, total);
	return st == KS_OK && max > 0 && h->n > max ? leave_verified(ks, h)
						    : st;
}

enum ks_status
ks_short_id_count(
    struct keystore *ks, const unsigned char low32[4], unsigned *n)
{
	struct hits h = {.ks = ks};
	enum ks_status st = by_short_id(ks, low32, &h);

	if (st == KS_OK)
		*n = h.n > UINT32_MAX ? UINT32_MAX : (unsigned)h.n;
	free(h.fpr);
	return st;
}

/* ---- words --------------------------------------------------------------- */

struct word_count {
	const char *word;
	uint64_t n;
};

static int
rarer(const void *a, const void *b)
{
	const struct word_count *x = a, *y = b;

	return (x->n > y->n) - (x->n < y->n);
}

/* Drops the candidates that do not have the word.  Both lists are sorted, so
 * each step skips all that the other one does not have. */
static enum ks_status
intersect(struct keystore *ks, const char *word, struct hits *h)
{
	size_t klen = strlen(word), i = 0, kept = 0;
	enum ks_status st = KS_OK;
	struct walk w;

	if ((st = walk_open(ks, T_WORD, &w)) != KS_OK)
		return st;
	while (i < h->n && st == KS_OK) {
		struct pgp_fpr there;

		memcpy(w.key, word, klen);
		w.klen = klen;
		memcpy(w.value, h->fpr[i].octet, h->fpr[i].len);
		w.vlen = h->fpr[i].len;
		st = walk_get(&w, DB_GET_BOTH_RANGE);
		if (st != KS_OK)
			break;
		if (w.vlen > PGP_FPR_MAX) {
			st = KS_CORRUPT;
			break;
		}
		there.len = (unsigned char)w.vlen;
		memcpy(there.octet, w.value, w.vlen);
		while (i < h->n && fpr_order(&h->fpr[i], &there) < 0)
			i++;
		if (i < h->n && fpr_order(&h->fpr[i], &there) == 0)
			h->fpr[kept++] = h->fpr[i++];
	}
	walk_close(&w);
	h->n = kept;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Counts each word; KS_NOT_FOUND when there is one that nobody has. */
static enum ks_status
words_count(struct keystore *ks, const struct ks_query *q,
    struct word_count word[KS_QUERY_WORDS])
{
	enum ks_status st = KS_OK;

	for (size_t i = 0; i < q->nwords && st == KS_OK; i++) {
		word[i].word = q->word[i];
		st = duplicates_count(
		    ks, T_WORD, q->word[i], strlen(q->word[i]), &word[i].n);
	}
	if (st == KS_OK)
		qsort(word, q->nwords, sizeof(*word), rarer);
	return st;
}

static enum ks_status
by_words(struct keystore *ks, const struct ks_query *q, size_t max,
    struct hits *h, uint64_t *total)
{
	struct word_count word[KS_QUERY_WORDS] = {{NULL, 0}};
	size_t bound = INTERSECT_MAX;
	enum ks_status st;

	assert(q->nwords > 0);
	st = words_count(ks, q, word);
	if (st != KS_OK)
		return st == KS_NOT_FOUND ? KS_OK : st;
	*total = word[0].n;
	if (q->nwords == 1)
		bound = max;
	if (max > 0 && word[0].n > bound)
		return KS_TOO_MANY;
	st = duplicates_read(ks, T_WORD, word[0].word, strlen(word[0].word), h);
	for (size_t i = 1; i < q->nwords && st == KS_OK && h->n > 0; i++)
		st = intersect(ks, word[i].word, h);
	return st;
}

/* ---- the whole ----------------------------------------------------------- */

static enum ks_status
by_query(struct keystore *ks, const struct ks_query *q, size_t max,
    struct hits *h, uint64_t *total)
{
	enum ks_status st = KS_OK;

	switch (q->kind) {
	case KS_BY_KEYID:
		st = by_keyid(ks, q, max, h, total);
		break;
	case KS_BY_FPR:
		st = by_fpr(ks, q, max, h, total);
		break;
	case KS_BY_EMAIL:
		return duplicates_take(
		    ks, T_EMAIL, q->text, strlen(q->text), max, h, total);
	case KS_BY_WORDS:
		return by_words(ks, q, max, h, total);
	case KS_BY_LITERAL:
		assert(false); /* ks_find() has search.c do it */
	}
	if (st == KS_OK && h->n == 0 && q->bare && q->nwords > 0)
		return by_words(ks, q, max, h, total);
	return st;
}

/* What is counted before it is read may be on the block list. */
static size_t
max_with_blocked(const struct keystore *ks, size_t max)
{
	return max == 0			    ? 0
	       : ks->nblocked < BLOCKED_MAX ? max + ks->nblocked
					    : max + BLOCKED_MAX;
}

enum ks_status
ks_find(struct keystore *ks, const struct ks_query *q, size_t max,
    struct ks_found *found)
{
	struct hits h = {.ks = ks};
	uint64_t total = 0;
	enum ks_status st;

	memset(found, 0, sizeof(*found));
	if (q->kind == KS_BY_LITERAL)
		return literal_find(ks, q, max, found);
	st = by_query(ks, q, max_with_blocked(ks, max), &h, &total);
	if (st == KS_OK) {
		hits_unique(&h);
		total = h.n;
		if (h.n == 0)
			st = KS_NOT_FOUND;
		else if (max > 0 && h.n > max)
			st = KS_TOO_MANY;
	}
	found->total = total;
	if (st == KS_OK) {
		found->fpr = h.fpr;
		found->n = h.n;
	} else {
		free(h.fpr);
	}
	return st;
}

void
ks_found_free(struct ks_found *found)
{
	free(found->fpr);
	memset(found, 0, sizeof(*found));
}
