/* The change log: what changed when, and how far each peer has got in it. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Value of T_CHANGE: time 8, flags 1, length of the fingerprint 1, the
 * fingerprint; length of `sent` 2, `sent` and a NUL; number of digests 4, the
 * digests.  What stands up to the fingerprint fits into a walk's value.
 */
#define WHOLE 1U
#define QUIET 2U
#define HEAD  10

/* Above these many changes a search with a limit does not count one by one:
 * it must not hold up all others for more than some milliseconds. */
#define COUNT_MAX 1000

/*
 * A clock that was wrong for a while leaves entries that look old among newer
 * ones.  Not until so many in a row are too old do those before them count as
 * old, too.
 */
#define OLD_ENOUGH 1000

/* ---- the record ---------------------------------------------------------- */

/* Octets of the addresses that are kept: whole ones. */
static size_t
sent_length(const char *sent)
{
	size_t len = strlen(sent);

	if (len <= KS_SENT_MAX)
		return len;
	for (len = KS_SENT_MAX; len > 0 && sent[len] != '\n'; len--)
		;
	return len;
}

unsigned char *
change_value(const struct pgp_fpr *fpr, const struct ks_origin *origin,
    const unsigned char (*digest)[KS_DIGEST], size_t ndigests, size_t *len)
{
	const char *sent = origin->sent == NULL ? "" : origin->sent;
	const size_t slen = sent_length(sent), dlen = ndigests * KS_DIGEST;
	const size_t total = HEAD + fpr->len + 2 + slen + 1 + 4 + dlen;
	unsigned char *value, *p;

	assert((digest == NULL) == (ndigests == 0));
	if ((value = malloc(total)) == NULL)
		return NULL;
	be64_put(value, moment(origin->now));
	value[8] = (unsigned char)((digest == NULL ? WHOLE : 0) |
				   (origin->quiet ? QUIET : 0));
	value[9] = fpr->len;
	p = value + HEAD;
	memcpy(p, fpr->octet, fpr->len);
	p += fpr->len;
	*p++ = (unsigned char)(slen >> 8);
	*p++ = (unsigned char)slen;
	memcpy(p, sent, slen);
	p += slen;
	*p++ = '\0';
	be32_put(p, (uint32_t)ndigests);
	if (digest != NULL)
		memcpy(p + 4, digest, dlen);
	*len = total;
	return value;
}

enum ks_status
change_add(struct keystore *ks, const struct pgp_fpr *fpr,
    const struct ks_origin *origin, const unsigned char (*digest)[KS_DIGEST],
    size_t ndigests)
{
	unsigned char key[8], *value;
	enum ks_status st;
	size_t len;

	value = change_value(fpr, origin, digest, ndigests, &len);
	if (value == NULL)
		return KS_NOMEM;
	ks->counters.serial++;
	ks->counters.last_change = moment(origin->now);
	be64_put(key, ks->counters.serial);
	st = table_put(ks, T_CHANGE, key, sizeof(key), value, len);
	free(value);
	return st;
}

static enum ks_status
head_parse(const unsigned char *key, size_t klen, const unsigned char *value,
    size_t vlen, struct ks_entry *e)
{
	if (klen != 8 || vlen < HEAD || value[9] == 0 ||
	    value[9] > PGP_FPR_MAX || vlen - HEAD < value[9])
		return KS_CORRUPT;
	e->serial = be64_get(key);
	e->time = (time_t)be64_get(value);
	e->whole = (value[8] & WHOLE) != 0;
	e->quiet = (value[8] & QUIET) != 0;
	e->fpr.len = value[9];
	memcpy(e->fpr.octet, value + HEAD, e->fpr.len);
	return KS_OK;
}

enum ks_status
change_parse(const unsigned char *key, size_t klen, unsigned char *value,
    size_t vlen, struct ks_entry *e)
{
	size_t pos, slen;

	memset(e, 0, sizeof(*e));
	if (head_parse(key, klen, value, vlen, e) != KS_OK)
		return KS_CORRUPT;
	pos = HEAD + e->fpr.len;
	if (vlen - pos < 2)
		return KS_CORRUPT;
	slen = (size_t)value[pos] << 8 | value[pos + 1];
	pos += 2;
	if (vlen - pos < slen + 5 ||
	    memchr(value + pos, '\0', slen + 1) != value + pos + slen)
		return KS_CORRUPT;
	e->sent = (char *)value + pos;
	pos += slen + 1;
	e->ndigests = be32_get(value + pos);
	pos += 4;
	if ((vlen - pos) % KS_DIGEST != 0 ||
	    (vlen - pos) / KS_DIGEST != e->ndigests ||
	    e->whole != (e->ndigests == 0))
		return KS_CORRUPT;
	e->digest = (unsigned char(*)[KS_DIGEST])(value + pos);
	return KS_OK;
}

enum ks_status
change_head(const struct walk *w, struct ks_entry *e)
{
	return head_parse(w->key, w->klen, w->value, w->vlen, e);
}

enum ks_status
change_whole(struct keystore *ks, uint64_t serial)
{
	struct pgp_blob value = {0};
	unsigned char key[8];
	struct ks_entry e;
	enum ks_status st;

	be64_put(key, serial);
	st = table_get_blob(ks, T_CHANGE, key, sizeof(key), &value);
	if (st != KS_OK)
		return st == KS_NOT_FOUND ? KS_OK : st;
	st = change_parse(key, sizeof(key), value.data, value.len, &e);
	if (st == KS_OK && !e.whole) {
		value.data[8] |= WHOLE;
		value.len -= e.ndigests * KS_DIGEST;
		be32_put(value.data + value.len - 4, 0);
		st = table_put(
		    ks, T_CHANGE, key, sizeof(key), value.data, value.len);
	}
	pgp_blob_free(&value, false);
	return st;
}

/* ---- in order ------------------------------------------------------------ */

/* The whole of the entry that the walk stands on. */
static enum ks_status
entry_visit(struct walk *w, bool (*visit)(void *ctx, const struct ks_entry *),
    void *ctx, bool *go_on)
{
	struct pgp_blob value = {0};
	struct ks_entry e;
	enum ks_status st;

	st = table_get_blob(w->ks, T_CHANGE, w->key, w->klen, &value);
	if (st != KS_OK)
		return st;
	st = change_parse(w->key, w->klen, value.data, value.len, &e);
	if (st == KS_OK)
		*go_on = visit(ctx, &e);
	pgp_blob_free(&value, false);
	return st;
}

enum ks_status
ks_changes(struct keystore *ks, uint64_t after,
    bool (*visit)(void *ctx, const struct ks_entry *), void *ctx)
{
	enum ks_status st;
	bool go_on = true;
	struct walk w;

	if (after == UINT64_MAX)
		return KS_OK;
	if ((st = walk_open(ks, T_CHANGE, &w)) != KS_OK)
		return st;
	be64_put(w.key, after + 1);
	w.klen = 8;
	for (st = walk_get(&w, DB_SET_RANGE); st == KS_OK && go_on;
	     st = walk_get(&w, DB_NEXT))
		if ((st = entry_visit(&w, visit, ctx, &go_on)) != KS_OK)
			break;
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- the newest ---------------------------------------------------------- */

struct newest {
	struct ks_found *found;
	size_t max, size;
	uint64_t since;
	unsigned walked, old; /* entries; those too old, in a row */
};

static enum ks_status
newest_add(struct newest *n, const struct pgp_fpr *fpr)
{
	struct ks_found *f = n->found;
	struct pgp_fpr *grown;
	size_t size;

	f->total++;
	if (n->max != 0 && f->n == n->max)
		return KS_OK;
	if (f->n == n->size) {
		size = n->size == 0 ? 16 : 2 * n->size;
		grown = realloc(f->fpr, size * sizeof(*grown));
		if (grown == NULL)
			return KS_NOMEM;
		f->fpr = grown;
		n->size = size;
	}
	f->fpr[f->n++] = *fpr;
	return KS_OK;
}

/* Takes an entry that is the last one of its certificate. */
static enum ks_status
newest_take(struct walk *w, struct newest *n)
{
	struct ks_entry e = {0};
	struct ks_meta meta;
	enum ks_status st;

	n->walked++;
	if ((st = change_head(w, &e)) != KS_OK)
		return st;
	if (moment(e.time) < n->since) {
		n->old++;
		return KS_OK;
	}
	n->old = 0;
	if (is_blocked(w->ks, &e.fpr))
		return KS_OK;
	st = cert_meta(w->ks, &e.fpr, &meta);
	if (st == KS_OK && meta.serial == e.serial && !meta.unverified)
		return newest_add(n, &e.fpr);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/*
 * How many serials there are from that of the first entry at `since` or later
 * up to `last`, by halves, as if times only grew.
 */
static enum ks_status
count_about(
    struct walk *w, const struct newest *n, uint64_t last, uint64_t *count)
{
	/* The first one is in (low, high]. */
	uint64_t low = 0, high = last + 1, middle;
	struct ks_entry e = {0};
	enum ks_status st;

	while (high - low > 1) {
		middle = low + (high - low) / 2;
		be64_put(w->key, middle);
		w->klen = 8;
		if ((st = walk_get(w, DB_SET_RANGE)) != KS_OK ||
		    (st = change_head(w, &e)) != KS_OK)
			return st;
		if (moment(e.time) >= n->since)
			high = middle;
		else
			low = middle;
	}
	*count = last + 1 - high;
	return KS_OK;
}

static enum ks_status
newest_walk(struct walk *w, struct newest *n)
{
	uint64_t before, count;
	enum ks_status st;

	for (st = walk_get(w, DB_LAST); st == KS_OK;
	     st = walk_get(w, DB_PREV)) {
		if ((st = newest_take(w, n)) != KS_OK || n->old == OLD_ENOUGH)
			return st;
		if (n->max == 0 || n->found->total <= n->max ||
		    n->walked < COUNT_MAX)
			continue;
		before = be64_get(w->key) - 1;
		if ((st = count_about(w, n, before, &count)) != KS_OK)
			return st;
		n->found->total += count;
		if (n->found->total > w->ks->counters.certificates)
			n->found->total = w->ks->counters.certificates;
		return KS_OK;
	}
	return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status
ks_since(struct keystore *ks, time_t since, size_t max, struct ks_found *found)
{
	struct newest n = {.found = found, .max = max, .since = moment(since)};
	enum ks_status st;
	struct walk w;

	memset(found, 0, sizeof(*found));
	if ((st = walk_open(ks, T_CHANGE, &w)) != KS_OK)
		return st;
	st = newest_walk(&w, &n);
	walk_close(&w);
	if (st == KS_OK && found->total == 0)
		st = KS_NOT_FOUND;
	if (st == KS_OK && max != 0 && found->total > max)
		st = KS_TOO_MANY;
	if (st != KS_OK) {
		free(found->fpr);
		found->fpr = NULL;
		found->n = 0;
	}
	return st;
}

/* ---- peers --------------------------------------------------------------- */

/* Value of T_PEER: the fields in their order. */
#define PEER_LEN 44

enum ks_status
peer_parse(const unsigned char *v, size_t len, struct ks_peer *peer)
{
	if (len != PEER_LEN)
		return KS_CORRUPT;
	peer->handed = be64_get(v);
	peer->window = be64_get(v + 8);
	peer->waiting = be32_get(v + 16);
	peer->failed = be32_get(v + 20);
	peer->hour = (time_t)be64_get(v + 24);
	peer->mails = be32_get(v + 32);
	peer->again = (time_t)be64_get(v + 36);
	return KS_OK;
}

enum ks_status
ks_peer_get(struct keystore *ks, const char *name, struct ks_peer *peer)
{
	const size_t klen = strlen(name);
	unsigned char v[PEER_LEN];
	enum ks_status st;
	size_t len;

	assert(klen > 0 && klen <= KS_PEER_NAME);
	memset(peer, 0, sizeof(*peer));
	st = table_get(ks, T_PEER, name, klen, v, sizeof(v), &len);
	return st == KS_OK ? peer_parse(v, len, peer) : st;
}

enum ks_status
ks_peer_put(struct keystore *ks, const char *name, const struct ks_peer *peer)
{
	const size_t klen = strlen(name);
	unsigned char v[PEER_LEN];

	assert(klen > 0 && klen <= KS_PEER_NAME);
	be64_put(v, peer->handed);
	be64_put(v + 8, peer->window);
	be32_put(v + 16, peer->waiting);
	be32_put(v + 20, peer->failed);
	be64_put(v + 24, moment(peer->hour));
	be32_put(v + 32, peer->mails);
	be64_put(v + 36, moment(peer->again));
	return table_put(ks, T_PEER, name, klen, v, sizeof(v));
}

/* ---- thinning out -------------------------------------------------------- */

/* Whether nobody asks for the entry any more: it is not the last one of a
 * certificate that is there. */
static enum ks_status
entry_superseded(struct keystore *ks, const struct ks_entry *e, bool *yes)
{
	struct ks_meta meta;
	enum ks_status st = cert_meta(ks, &e->fpr, &meta);

	*yes = st == KS_NOT_FOUND || (st == KS_OK && meta.serial != e->serial);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* KS_NOT_FOUND: the entry is beyond what may be thinned out. */
static enum ks_status
thin_entry(struct walk *w, uint64_t passed, time_t older, unsigned *removed)
{
	struct ks_entry e = {0};
	enum ks_status st;
	bool superseded;

	if ((st = change_head(w, &e)) != KS_OK)
		return st;
	if (e.serial > passed)
		return KS_NOT_FOUND;
	w->ks->thinned = e.serial;
	if (moment(e.time) >= moment(older))
		return KS_OK;
	if ((st = entry_superseded(w->ks, &e, &superseded)) != KS_OK ||
	    !superseded)
		return st;
	if ((st = walk_delete(w)) == KS_OK)
		(*removed)++;
	return st;
}

enum ks_status
ks_thin(struct keystore *ks, uint64_t passed, time_t older, unsigned max,
    unsigned *removed)
{
	enum ks_status st;
	struct walk w;

	assert(ks->txn != NULL);
	*removed = 0;
	if (max == 0)
		return KS_OK;
	if ((st = walk_open(ks, T_CHANGE, &w)) != KS_OK)
		return st;
	be64_put(w.key, ks->thinned + 1);
	w.klen = 8;
	for (st = walk_get(&w, DB_SET_RANGE); st == KS_OK;
	     st = walk_get(&w, DB_NEXT))
		if ((st = thin_entry(&w, passed, older, removed)) != KS_OK ||
		    --max == 0)
			break;
	walk_close(&w);
	if (st == KS_NOT_FOUND) {
		ks->thinned = 0;
		st = KS_OK;
	}
	return st;
}
