/* A text that stands just so in one user ID: looked for in steps. */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

/* Of one step, so that it takes less than a millisecond. */
#define STEP_WORDS  500
#define STEP_CERTS  20
#define STEP_OCTETS 65536 /* or the certificate with which it is more */

#define FOUND_MAX 1000 /* more need not be counted */

struct ks_search {
	const struct ks_query *q;
	struct keystore *ks;
	const char *whole; /* its rarest word; NULL: it has none */
	bool counted;
	/* Where it is: a word, a certificate of it or, without words, of all */
	unsigned char word[WORD_MAX];
	size_t wlen;
	bool within; /* its certificates are being looked at */
	uint64_t at; /* 0: before the first */
	struct hits hits;
	size_t octets; /* looked at in this step */
	bool ended, stopped;
};

enum ks_status
ks_search_new(const struct ks_query *q, struct ks_search **out)
{
	struct ks_search *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return KS_NOMEM;
	s->q = q;
	*out = s;
	return KS_OK;
}

void
ks_search_free(struct ks_search *s)
{
	if (s == NULL)
		return;
	free(s->hits.number);
	free(s);
}

/* ---- one certificate ----------------------------------------------------- */

static enum ks_status
userid_has(const struct pgp_packet *p, const char *literal, bool *has)
{
	enum ks_status st = KS_NOMEM;
	char *text, *folded = NULL;
	size_t len;

	if ((text = text_utf8(p->body, p->len, &len)) != NULL &&
	    (folded = text_fold(text, len, &len)) != NULL) {
		*has = memmem(folded, len, literal, strlen(literal)) != NULL;
		st = KS_OK;
	}
	free(folded);
	free(text);
	return st;
}

/* Whether one user ID of a certificate has the text in it. */
static enum ks_status
cert_has(struct keystore *ks, uint64_t number, const char *literal, bool *has,
    size_t *len)
{
	struct pgp_blob octets = {0}, joined = {0};
	enum pgp_status ret;
	struct pgp_packet p;
	enum ks_status st;
	size_t pos = 0;

	*has = false;
	if ((st = ks_get_searched(ks, number, &octets)) != KS_OK)
		return st;
	*len = octets.len;
	while (st == KS_OK && !*has &&
	       (ret = pgp_packet_read(
		    octets.data, octets.len, &pos, &joined, &p)) != PGP_END) {
		if (ret != PGP_OK)
			st = ret == PGP_NOMEM ? KS_NOMEM : KS_CORRUPT;
		else if (p.tag == PGP_TAG_USERID)
			st = userid_has(&p, literal, has);
	}
	pgp_blob_free(&joined, false);
	pgp_blob_free(&octets, false);
	return st;
}

static enum ks_status
look_at(struct keystore *ks, struct ks_search *s, uint64_t number)
{
	enum ks_status st;
	size_t len;
	bool has;

	s->at = number;
	if (is_hidden(ks, number))
		return KS_OK;
	st = cert_has(ks, number, s->q->text, &has, &len);
	if (st != KS_OK)
		return st;
	s->octets += len;
	return has ? hits_add(&s->hits, number) : KS_OK;
}

/* Whether a step may look at one more. */
static bool
has_room(const struct ks_search *s, unsigned n)
{
	return n < STEP_CERTS && s->octets < STEP_OCTETS;
}

/* ---- all certificates ---------------------------------------------------- */

/* Of what nobody vouches for, no user ID is looked at. */
static enum ks_status
look_at_verified(struct keystore *ks, struct ks_search *s, uint64_t number)
{
	struct ks_meta meta;
	enum ks_status st = cert_head(ks, number, NULL, &meta);

	if (st != KS_OK)
		return st;
	s->at = number;
	return meta.unverified ? KS_OK : look_at(ks, s, number);
}

static enum ks_status
step_all(struct keystore *ks, struct ks_search *s)
{
	enum ks_status st = KS_OK;
	struct pgp_fpr ignored;
	uint64_t next;

	for (unsigned i = 0; has_room(s, i) && st == KS_OK; i++) {
		next = s->at;
		st = cert_next(ks, &next, &ignored);
		if (st == KS_OK)
			st = look_at_verified(ks, s, next);
		else if (st == KS_NOT_FOUND)
			s->ended = true;
	}
	return s->ended ? KS_OK : st;
}

/* ---- words --------------------------------------------------------------- */

/* Of what is whole, the word that fewest have: one look at each. */
static enum ks_status
choose(struct keystore *ks, struct ks_search *s)
{
	uint64_t n, least = UINT64_MAX;
	enum ks_status st = KS_OK;

	for (size_t i = 0; i < s->q->nwords && st == KS_OK; i++) {
		const char *word = s->q->word[i];

		st = duplicates_count(ks, T_WORD, word, strlen(word), &n);
		if (st == KS_OK && n < least) {
			least = n;
			s->whole = word;
		}
	}
	s->counted = true;
	if (st == KS_NOT_FOUND) {
		s->ended = true;
		st = KS_OK;
	}
	return st;
}

/* Whether the text may stand in a user ID with this word.  *past: nor in one
 * with any of the words behind it. */
static bool
may_have(const struct ks_search *s, const struct walk *w, bool *past)
{
	const char *part = s->whole != NULL ? s->whole : s->q->part;
	size_t len = strlen(part);
	bool begins = w->klen >= len && memcmp(w->key, part, len) == 0;

	*past = false;
	if (s->whole != NULL || s->q->at == KS_PART_BEGIN) {
		*past = !begins || (s->whole != NULL && w->klen != len);
		return !*past;
	}
	/* What was cut off of a word is not known. */
	if (WORD_CUT(w->klen))
		return true;
	if (s->q->at == KS_PART_WITHIN)
		return memmem(w->key, w->klen, part, len) != NULL;
	return w->klen >= len && memcmp(w->key + w->klen - len, part, len) == 0;
}

/* To the word behind the one that was looked at last, or to the first one. */
static enum ks_status
word_seek(struct ks_search *s, struct walk *w)
{
	const char *from = s->whole;
	enum ks_status st;

	if (s->wlen > 0) {
		memcpy(w->key, s->word, s->wlen);
		w->klen = s->wlen;
		st = walk_get(w, DB_SET_RANGE);
		if (st == KS_OK && w->klen == s->wlen &&
		    memcmp(w->key, s->word, s->wlen) == 0)
			st = walk_get(w, DB_NEXT_NODUP);
		return st;
	}
	if (from == NULL && s->q->at == KS_PART_BEGIN)
		from = s->q->part;
	if (from == NULL)
		return walk_get(w, DB_FIRST);
	w->klen = strlen(from);
	memcpy(w->key, from, w->klen);
	return walk_get(w, DB_SET_RANGE);
}

/* Goes on to the next word that will do. */
static enum ks_status
step_words(struct keystore *ks, struct ks_search *s)
{
	bool past = false;
	enum ks_status st;
	struct walk w;

	if ((st = walk_open(ks, T_WORD, &w)) != KS_OK)
		return st;
	st = word_seek(s, &w);
	for (unsigned i = 0; st == KS_OK; i++) {
		if (w.klen > sizeof(s->word)) {
			st = KS_CORRUPT;
			break;
		}
		memcpy(s->word, w.key, w.klen);
		s->wlen = w.klen;
		s->within = may_have(s, &w, &past);
		if (s->within || past || i == STEP_WORDS)
			break;
		st = walk_get(&w, DB_NEXT_NODUP);
	}
	walk_close(&w);
	s->at = 0;
	s->ended = past || st == KS_NOT_FOUND;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Reads the next certificates of the word; fewer than there is room for: these
 * were the last. */
static enum ks_status
word_read(struct keystore *ks, const struct ks_search *s,
    uint64_t number[STEP_CERTS], unsigned *n)
{
	enum ks_status st;
	struct walk w;

	*n = 0;
	if ((st = walk_open(ks, T_WORD, &w)) != KS_OK)
		return st;
	memcpy(w.key, s->word, s->wlen);
	w.klen = s->wlen;
	number_put(w.value, s->at + 1);
	w.vlen = NUMBER_LEN;
	for (st = walk_get(&w, DB_GET_BOTH_RANGE);
	     st == KS_OK && *n < STEP_CERTS; st = walk_get(&w, DB_NEXT_DUP)) {
		if ((st = walk_number(&w, &number[*n])) != KS_OK)
			break;
		++*n;
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status
step_within(struct keystore *ks, struct ks_search *s)
{
	uint64_t number[STEP_CERTS];
	unsigned n, i;
	enum ks_status st = word_read(ks, s, number, &n);

	for (i = 0; i < n && has_room(s, i) && st == KS_OK; i++)
		st = look_at(ks, s, number[i]);
	s->within = n == STEP_CERTS || i < n;
	return st;
}

/* ---- the whole ----------------------------------------------------------- */

static enum ks_status
step(struct keystore *ks, struct ks_search *s)
{
	enum ks_status st = hidden_load(ks);

	if (st != KS_OK)
		return st;
	s->ks = ks;
	s->hits.ks = ks;
	s->octets = 0;
	if (!s->counted)
		return choose(ks, s);
	if (s->whole == NULL && s->q->part == NULL)
		return step_all(ks, s);
	return s->within ? step_within(ks, s) : step_words(ks, s);
}

/* A user ID may have several of the words, and be found with each. */
static bool
enough(struct ks_search *s, size_t max)
{
	if (max == 0 || s->hits.n <= max || s->hits.n <= FOUND_MAX)
		return false;
	hits_unique(&s->hits);
	return s->hits.n > max && s->hits.n > FOUND_MAX;
}

enum ks_status
ks_search_step(struct keystore *ks, struct ks_search *s, size_t max, bool *more)
{
	enum ks_status st = KS_OK;

	if (!s->ended && !s->stopped)
		st = step(ks, s);
	if (st == KS_OK && !s->ended)
		s->stopped = enough(s, max);
	*more = st == KS_OK && !s->ended && !s->stopped;
	return st;
}

enum ks_status
ks_search_found(struct ks_search *s, size_t max, struct ks_found *found)
{
	memset(found, 0, sizeof(*found));
	hits_unique(&s->hits);
	found->total = s->hits.n;
	found->more = !s->ended;
	if (s->hits.n == 0)
		return KS_NOT_FOUND;
	if (max > 0 && s->hits.n > max)
		return KS_TOO_MANY;
	return hits_found(s->ks, &s->hits, found);
}

enum ks_status
literal_find(struct keystore *ks, const struct ks_query *q, size_t max,
    struct ks_found *found)
{
	struct ks_search *s;
	enum ks_status st = ks_search_new(q, &s);
	bool more = true;

	if (st != KS_OK)
		return st;
	while (more && st == KS_OK)
		st = ks_search_step(ks, s, max, &more);
	if (st == KS_OK)
		st = ks_search_found(s, max, found);
	ks_search_free(s);
	return st;
}
