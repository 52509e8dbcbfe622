/* Certificates by key ID, fingerprint, address and words. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BULK_SIZE (64U << 10)

/*
 * One search must not hold up all others for more than some milliseconds.  So
 * one for several words that has a limit says that there are too many, before
 * it reads them, where the rarest word has more certificates than this and
 * more entries than that would have to be read.
 */
#define INTERSECT_MAX 5000
#define READ_MAX      200000
/* Looking one up in an index takes as long as reading so many in a row. */
#define SEEK_COST   32
#define SUBKEY_MAX  1000 /* certificates with one and the same subkey */
#define BLOCKED_MAX 1000 /* of the block list, read in vain at most */

/* ---- certificates found -------------------------------------------------- */

/* What is on the block list is not found. */
enum ks_status
hits_add(struct hits *h, uint64_t number)
{
	uint64_t *grown;
	size_t size;

	if (is_hidden(h->ks, number))
		return KS_OK;
	if (h->n == h->size) {
		size = h->size == 0 ? 16 : 2 * h->size;
		grown = reallocarray(h->number, size, sizeof(*grown));
		if (grown == NULL)
			return KS_NOMEM;
		h->number = grown;
		h->size = size;
	}
	h->number[h->n++] = number;
	return KS_OK;
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What one key has comes in order, each once. */
static bool
in_order(const struct hits *h)
{
	for (size_t i = 1; i < h->n; i++)
		if (h->number[i - 1] >= h->number[i])
			return false;
	return true;
}

void
hits_unique(struct hits *h)
{
	size_t kept = 0;

	if (h->n == 0 || in_order(h))
		return;
	qsort(h->number, h->n, sizeof(*h->number), by_number);
	for (size_t i = 1; i < h->n; i++)
		if (h->number[kept] != h->number[i])
			h->number[++kept] = h->number[i];
	h->n = kept + 1;
}

static int
by_fpr_order(const void *a, const void *b)
{
	return fpr_order(a, b);
}

enum ks_status
hits_found(struct keystore *ks, const struct hits *h, struct ks_found *found)
{
	enum ks_status st;

	found->n = 0;
	found->fpr = reallocarray(NULL, h->n + 1, sizeof(*found->fpr));
	if (found->fpr == NULL)
		return KS_NOMEM;
	for (size_t i = 0; i < h->n; i++) {
		st = cert_head(ks, h->number[i], &found->fpr[found->n], NULL);
		if (st == KS_OK) {
			found->n++;
		} else if (st != KS_NOT_FOUND) {
			ks_found_free(found);
			return st;
		}
	}
	qsort(found->fpr, found->n, sizeof(*found->fpr), by_fpr_order);
	return KS_OK;
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

/* The fingerprints of one key in their order, a buffer full at a time. */
struct stream {
	struct walk walk;
	DBT bulk;
	void *at; /* in the buffer; NULL: it is used up */
	uint32_t flag;
};

static void
stream_close(struct stream *s)
{
	walk_close(&s->walk);
	free(s->bulk.data);
}

static enum ks_status
stream_open(struct keystore *ks, enum table t, const void *key, size_t klen,
    struct stream *s)
{
	enum ks_status st;

	memset(s, 0, sizeof(*s));
	if ((s->bulk.data = malloc(BULK_SIZE)) == NULL)
		return KS_NOMEM;
	s->bulk.ulen = BULK_SIZE;
	s->bulk.flags = DB_DBT_USERMEM;
	s->flag = DB_SET;
	if ((st = walk_open(ks, t, &s->walk)) != KS_OK) {
		stream_close(s);
		return st;
	}
	memcpy(s->walk.key, key, klen);
	s->walk.klen = klen;
	return KS_OK;
}

static enum ks_status
stream_fill(struct stream *s)
{
	struct walk *w = &s->walk;
	DBT k = {0};
	int ret;

	k.data = w->key;
	k.size = (uint32_t)w->klen;
	k.ulen = sizeof(w->key);
	k.flags = DB_DBT_USERMEM;
	ret = w->dbc->get(w->dbc, &k, &s->bulk, s->flag | DB_MULTIPLE);
	s->flag = DB_NEXT_DUP;
	if (ret == 0)
		DB_MULTIPLE_INIT(s->at, &s->bulk);
	return table_status(w->ks, ret);
}

/* The next one; KS_NOT_FOUND behind the last. */
static enum ks_status
stream_next(struct stream *s, uint64_t *number)
{
	enum ks_status st;
	void *data = NULL;
	size_t len = 0;

	for (;;) {
		if (s->at != NULL)
			DB_MULTIPLE_NEXT(s->at, &s->bulk, data, len);
		if (s->at != NULL)
			break;
		if ((st = stream_fill(s)) != KS_OK)
			return st;
	}
	if (len != NUMBER_LEN)
		return KS_CORRUPT;
	*number = number_get(data);
	return KS_OK;
}

static enum ks_status
duplicates_read(struct keystore *ks, enum table t, const void *key, size_t klen,
    struct hits *h)
{
	uint64_t number;
	struct stream s;
	enum ks_status st;

	if ((st = stream_open(ks, t, key, klen, &s)) != KS_OK)
		return st;
	while ((st = stream_next(&s, &number)) == KS_OK)
		if ((st = hits_add(h, number & NUMBER_MAX)) != KS_OK)
			break;
	stream_close(&s);
	return st == KS_NOT_FOUND ? KS_OK : st;
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

/* What begins with these digits of a key ID; `own`: as the primary key's. */
static enum ks_status
by_digits(struct keystore *ks, const unsigned char *digits, size_t len,
    bool own, struct hits *h)
{
	struct walk w;
	enum ks_status st;
	uint64_t number;

	if ((st = walk_open(ks, T_KEYID, &w)) != KS_OK)
		return st;
	memcpy(w.key, digits, len);
	w.klen = len;
	st = walk_get(&w, DB_SET_RANGE);
	while (st == KS_OK && w.klen == 8 && memcmp(w.key, digits, len) == 0) {
		bool subkey;

		if ((st = walk_number(&w, &number)) != KS_OK)
			break;
		subkey = (number & NUMBER_SUBKEY) != 0;
		if (!own || !subkey)
			st = hits_add(h, number & NUMBER_MAX);
		if (st == KS_OK)
			st = walk_get(
			    &w, own && subkey ? DB_NEXT_NODUP : DB_NEXT);
	}
	walk_close(&w);
	hits_unique(h);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* The first octets of a key of T_KEYID; returns their number. */
static size_t
keyid_key(const struct ks_query *q, unsigned char key[8])
{
	if (q->ndigits == 8) {
		memcpy(key, q->octet, 4);
		return 4;
	}
	memcpy(key, q->octet + 4, 4);
	memcpy(key + 4, q->octet, 4);
	return 8;
}

static enum ks_status
by_keyid(struct keystore *ks, const struct ks_query *q, size_t max,
    struct hits *h, uint64_t *total)
{
	unsigned char key[8];
	size_t len = keyid_key(q, key);

	if (len < sizeof(key))
		return by_digits(ks, key, len, false, h);
	return duplicates_take(ks, T_KEYID, key, len, max, h, total);
}

/* Anybody can bind anybody's subkey to a certificate that is not checked: such
 * ones must not make the others too many.  The one whose primary key it is
 * stays. */
static enum ks_status
leave_verified(struct keystore *ks, const unsigned char *octets, size_t len,
    struct hits *h)
{
	struct pgp_fpr fpr = {.len = (unsigned char)len};
	struct ks_meta meta;
	size_t kept = 0;
	uint64_t own = 0;
	enum ks_status st;

	memcpy(fpr.octet, octets, len);
	st = cert_number(ks, &fpr, &own);
	if (st == KS_NOT_FOUND)
		st = KS_OK;
	for (size_t i = 0; i < h->n && st == KS_OK; i++) {
		st = cert_head(ks, h->number[i], NULL, &meta);
		if (st == KS_OK && (!meta.unverified || h->number[i] == own))
			h->number[kept++] = h->number[i];
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
	enum ks_status st;

	st = duplicates_take(ks, T_FPR, q->octet, len,
	    max > 0 && max < SUBKEY_MAX ? SUBKEY_MAX : max, h, total);
	if (st != KS_OK || max == 0 || h->n <= max)
		return st;
	return leave_verified(ks, q->octet, len, h);
}

/*
 * Anybody can bind anybody's key to his own as a subkey that does not sign, as
 * often as he likes.  Where that makes too many, the digits mean those whose
 * primary key has them, which he cannot make, but for 8 digits.
 */
static enum ks_status
leave_own(
    struct keystore *ks, const struct ks_query *q, size_t max, struct hits *h)
{
	struct pgp_fpr fpr = {.len = (unsigned char)(q->ndigits / 2)};
	unsigned char key[8];
	uint64_t number;
	enum ks_status st;

	h->n = 0;
	if (q->kind == KS_BY_KEYID) {
		st = by_digits(ks, key, keyid_key(q, key), true, h);
	} else {
		memcpy(fpr.octet, q->octet, fpr.len);
		if ((st = cert_number(ks, &fpr, &number)) == KS_OK)
			st = hits_add(h, number);
	}
	if (st != KS_OK && st != KS_NOT_FOUND)
		return st;
	return h->n == 0 || h->n > max ? KS_TOO_MANY : KS_OK;
}

enum ks_status
ks_short_id_count(
    struct keystore *ks, const unsigned char low32[4], unsigned *n)
{
	struct hits h = {.ks = ks};
	enum ks_status st = hidden_load(ks);

	if (st == KS_OK)
		st = by_digits(ks, low32, 4, false, &h);

	if (st == KS_OK)
		*n = h.n > UINT32_MAX ? UINT32_MAX : (unsigned)h.n;
	free(h.number);
	return st;
}

/* ---- words --------------------------------------------------------------- */

static int
rarer(const void *a, const void *b)
{
	const struct word_count *x = a, *y = b;

	return (x->n > y->n) - (x->n < y->n);
}

/* Drops the candidates that do not have the word, of which each is looked up:
 * for few of them, and a word that many have.  Both lists are sorted, so each
 * step skips all that the other one does not have. */
static enum ks_status
intersect_few(struct keystore *ks, const char *word, struct hits *h)
{
	size_t klen = strlen(word), i = 0, kept = 0;
	enum ks_status st = KS_OK;
	uint64_t there;
	struct walk w;

	if ((st = walk_open(ks, T_WORD, &w)) != KS_OK)
		return st;
	while (i < h->n && st == KS_OK) {
		memcpy(w.key, word, klen);
		w.klen = klen;
		number_put(w.value, h->number[i]);
		w.vlen = NUMBER_LEN;
		if ((st = walk_get(&w, DB_GET_BOTH_RANGE)) != KS_OK ||
		    (st = walk_number(&w, &there)) != KS_OK)
			break;
		while (i < h->n && h->number[i] < there)
			i++;
		if (i < h->n && h->number[i] == there)
			h->number[kept++] = h->number[i++];
	}
	walk_close(&w);
	h->n = kept;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* The same by reading all that have the word. */
static enum ks_status
intersect_many(struct keystore *ks, const char *word, struct hits *h)
{
	size_t i = 0, kept = 0;
	uint64_t there;
	enum ks_status st;
	struct stream s;

	if ((st = stream_open(ks, T_WORD, word, strlen(word), &s)) != KS_OK)
		return st;
	while (i < h->n && (st = stream_next(&s, &there)) == KS_OK) {
		while (i < h->n && h->number[i] < there)
			i++;
		if (i < h->n && h->number[i] == there)
			h->number[kept++] = h->number[i++];
	}
	stream_close(&s);
	h->n = kept;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* How many entries are read, or might have been meanwhile, to leave of n
 * certificates those that have the word. */
static uint64_t
intersect_cost(const struct word_count *word, uint64_t n)
{
	return word->n / SEEK_COST < n ? word->n : n * SEEK_COST;
}

static enum ks_status
intersect(struct keystore *ks, const struct word_count *word, struct hits *h)
{
	return word->n / SEEK_COST < h->n ? intersect_many(ks, word->word, h)
					  : intersect_few(ks, word->word, h);
}

bool
words_too_long(const struct word_count *word, size_t n)
{
	uint64_t cost = word[0].n;

	if (word[0].n <= INTERSECT_MAX)
		return false;
	for (size_t i = 1; i < n; i++)
		cost += intersect_cost(&word[i], word[0].n);
	return cost > READ_MAX;
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
	enum ks_status st;
	bool many;

	assert(q->nwords > 0);
	st = words_count(ks, q, word);
	if (st != KS_OK)
		return st == KS_NOT_FOUND ? KS_OK : st;
	*total = word[0].n;
	many =
	    q->nwords == 1 ? word[0].n > max : words_too_long(word, q->nwords);
	if (max > 0 && many)
		return KS_TOO_MANY;
	st = duplicates_read(ks, T_WORD, word[0].word, strlen(word[0].word), h);
	for (size_t i = 1; i < q->nwords && st == KS_OK && h->n > 0; i++)
		st = intersect(ks, &word[i], h);
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
	if ((st = hidden_load(ks)) != KS_OK)
		return st;
	st = by_query(ks, q, max_with_blocked(ks, max), &h, &total);
	if (st == KS_OK) {
		hits_unique(&h);
		total = h.n;
		if (h.n == 0)
			st = KS_NOT_FOUND;
		else if (max > 0 && h.n > max)
			st = KS_TOO_MANY;
	}
	if (st == KS_TOO_MANY &&
	    (q->kind == KS_BY_KEYID || q->kind == KS_BY_FPR))
		st = leave_own(ks, q, max, &h);
	found->total = total;
	if (st == KS_OK)
		st = hits_found(ks, &h, found);
	free(h.number);
	return st;
}

void
ks_found_free(struct ks_found *found)
{
	free(found->fpr);
	memset(found, 0, sizeof(*found));
}
