/* Certificates: read, merged in, removed. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the record ---------------------------------------------------------- */

static enum ks_status
status_of_pgp(enum pgp_status st)
{
	switch (st) {
	case PGP_OK:
		return KS_OK;
	case PGP_NOMEM:
		return KS_NOMEM;
	default:
		return KS_CORRUPT;
	}
}

static enum ks_status
header_read(const struct pgp_blob *value, struct ks_meta *meta)
{
	if (value->len < CERT_HEADER || value->data[0] != KS_SCHEMA ||
	    value->data[CERT_FPR_LEN] > PGP_FPR_MAX)
		return KS_CORRUPT;
	meta->unverified = (value->data[CERT_FLAGS] & CERT_UNVERIFIED) != 0;
	meta->changed = (time_t)be64_get(value->data + 4);
	meta->serial = be64_get(value->data + CERT_SERIAL);
	return KS_OK;
}

enum ks_status
cert_read(
    const struct pgp_blob *value, struct pgp_cert **cert, struct ks_meta *meta)
{
	enum ks_status st;

	if ((st = header_read(value, meta)) != KS_OK)
		return st;
	return status_of_pgp(pgp_cert_read(value->data + CERT_HEADER,
	    value->len - CERT_HEADER, meta->unverified, cert));
}

bool
cert_is_whole(const struct pgp_blob *value)
{
	unsigned char digest[PGP_SHA256_LEN];

	return value->len > CERT_HEADER &&
	       pgp_sha256(value->data + CERT_HEADER, value->len - CERT_HEADER,
		   digest) == 0 &&
	       memcmp(digest, value->data + CERT_DIGEST, sizeof(digest)) == 0;
}

static struct pgp_fpr
header_fpr(const unsigned char *value)
{
	struct pgp_fpr fpr = {.len = value[CERT_FPR_LEN]};

	memcpy(fpr.octet, value + CERT_FPR, fpr.len);
	return fpr;
}

/* The whole value: header and canonical octets. */
static enum ks_status
value_write(const struct pgp_fpr *fpr, const struct pgp_blob *octets,
    const struct ks_meta *meta, struct pgp_blob *out)
{
	unsigned char *value = malloc(CERT_HEADER + octets->len);

	if (value == NULL)
		return KS_NOMEM;
	memset(value, 0, CERT_HEADER);
	value[0] = KS_SCHEMA;
	value[CERT_FLAGS] = meta->unverified ? CERT_UNVERIFIED : 0;
	be64_put(value + 4, moment(meta->changed));
	be64_put(value + CERT_SERIAL, meta->serial);
	value[CERT_FPR_LEN] = fpr->len;
	memcpy(value + CERT_FPR, fpr->octet, fpr->len);
	if (pgp_sha256(octets->data, octets->len, value + CERT_DIGEST) != 0) {
		free(value);
		return KS_NOMEM;
	}
	memcpy(value + CERT_HEADER, octets->data, octets->len);
	out->data = value;
	out->len = CERT_HEADER + octets->len;
	return KS_OK;
}

enum ks_status
cert_value(const struct pgp_cert *cert, const struct ks_meta *meta,
    struct pgp_blob *out)
{
	struct pgp_blob octets = {0};
	enum ks_status st = status_of_pgp(pgp_cert_octets(cert, &octets));

	if (st == KS_OK)
		st = value_write(pgp_cert_fpr(cert), &octets, meta, out);
	pgp_blob_free(&octets, false);
	return st;
}

static enum ks_status
cert_write(struct keystore *ks, uint64_t number, const struct pgp_fpr *fpr,
    const struct pgp_blob *octets, const struct ks_meta *meta)
{
	unsigned char key[NUMBER_LEN];
	struct pgp_blob value = {0};
	enum ks_status st = value_write(fpr, octets, meta, &value);

	number_put(key, number);
	if (st == KS_OK)
		st = table_put(
		    ks, T_CERTS, key, sizeof(key), value.data, value.len);
	pgp_blob_free(&value, false);
	return st;
}

/* ---- reading ------------------------------------------------------------- */

enum ks_status
cert_number(struct keystore *ks, const struct pgp_fpr *fpr, uint64_t *number)
{
	unsigned char v[NUMBER_LEN];
	enum ks_status st;
	size_t len;

	/* The first is the one whose primary key it is. */
	st = table_get(ks, T_FPR, fpr->octet, fpr->len, v, sizeof(v), &len);
	if (st != KS_OK)
		return st;
	if (len != sizeof(v))
		return KS_CORRUPT;
	*number = number_get(v);
	return (*number & NUMBER_SUBKEY) != 0 ? KS_NOT_FOUND : KS_OK;
}

enum ks_status
cert_head(struct keystore *ks, uint64_t number, struct pgp_fpr *fpr,
    struct ks_meta *meta)
{
	unsigned char key[NUMBER_LEN], head[CERT_HEADER];
	struct pgp_blob value = {.data = head};
	struct ks_meta ignored;
	enum ks_status st;

	number_put(key, number);
	st = table_get_part(
	    ks, T_CERTS, key, sizeof(key), head, sizeof(head), &value.len);
	if (st == KS_OK)
		st = header_read(&value, meta == NULL ? &ignored : meta);
	if (st == KS_OK && fpr != NULL)
		*fpr = header_fpr(head);
	return st;
}

enum ks_status
cert_meta(struct keystore *ks, const struct pgp_fpr *fpr, struct ks_meta *meta)
{
	uint64_t number;
	enum ks_status st = cert_number(ks, fpr, &number);

	if (st != KS_OK)
		return st;
	st = cert_head(ks, number, NULL, meta);
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

enum ks_status
cert_blob(struct keystore *ks, uint64_t number, struct pgp_blob *value)
{
	unsigned char key[NUMBER_LEN];
	enum ks_status st;

	number_put(key, number);
	st = table_get_blob(ks, T_CERTS, key, sizeof(key), value);
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

enum ks_status
cert_get(struct keystore *ks, const struct pgp_fpr *fpr, struct pgp_cert **cert,
    struct ks_meta *meta)
{
	struct pgp_blob value = {0};
	struct ks_meta ignored;
	enum ks_status st;
	uint64_t number;

	if ((st = cert_number(ks, fpr, &number)) != KS_OK ||
	    (st = cert_blob(ks, number, &value)) != KS_OK)
		return st;
	st = cert_read(&value, cert, meta == NULL ? &ignored : meta);
	pgp_blob_free(&value, false);
	return st;
}

enum ks_status
ks_get(struct keystore *ks, const struct pgp_fpr *fpr, struct pgp_cert **cert,
    struct ks_meta *meta)
{
	return is_blocked(ks, fpr) ? KS_NOT_FOUND
				   : cert_get(ks, fpr, cert, meta);
}

enum ks_status
ks_get_searched(struct keystore *ks, uint64_t at, struct pgp_blob *out)
{
	struct pgp_blob value = {0};
	struct ks_meta meta;
	enum ks_status st;

	if ((st = cert_blob(ks, at, &value)) != KS_OK)
		return st;
	if ((st = header_read(&value, &meta)) != KS_OK) {
		pgp_blob_free(&value, false);
		return st;
	}
	value.len = meta.unverified ? 0 : value.len - CERT_HEADER;
	memmove(value.data, value.data + CERT_HEADER, value.len);
	*out = value;
	return KS_OK;
}

/* To begin by DB_SET_RANGE with the first behind a number. */
static enum ks_status
walk_certs(struct keystore *ks, uint64_t number, struct walk *c)
{
	enum ks_status st;

	if (number >= NUMBER_MAX)
		return KS_NOT_FOUND;
	if ((st = walk_open(ks, T_CERTS, c)) != KS_OK)
		return st;
	number_put(c->key, number + 1);
	c->klen = NUMBER_LEN;
	return KS_OK;
}

enum ks_status
cert_next(struct keystore *ks, uint64_t *number, struct pgp_fpr *fpr)
{
	struct walk c;
	enum ks_status st;

	if ((st = walk_certs(ks, *number, &c)) != KS_OK)
		return st;
	st = walk_get(&c, DB_SET_RANGE);
	if (st == KS_OK &&
	    (c.klen != NUMBER_LEN || c.vlen < CERT_FPR + PGP_FPR_MAX ||
		c.value[CERT_FPR_LEN] > PGP_FPR_MAX))
		st = KS_CORRUPT;
	if (st == KS_OK) {
		*number = number_get(c.key);
		*fpr = header_fpr(c.value);
	}
	walk_close(&c);
	return st;
}

enum ks_status
ks_next(struct keystore *ks, uint64_t *at, struct pgp_fpr *next)
{
	enum ks_status st;

	do
		st = cert_next(ks, at, next);
	while (st == KS_OK && is_blocked(ks, next));
	return st;
}

static bool
each_visit(struct keystore *ks, struct pgp_blob value,
    bool (*visit)(void *ctx, const struct pgp_fpr *, const struct pgp_blob *),
    void *ctx)
{
	const struct pgp_fpr fpr = header_fpr(value.data);

	value.data += CERT_HEADER;
	value.len -= CERT_HEADER;
	return is_blocked(ks, &fpr) || visit(ctx, &fpr, &value);
}

enum ks_status
ks_each(struct keystore *ks, uint64_t *at,
    bool (*visit)(void *ctx, const struct pgp_fpr *, const struct pgp_blob *),
    void *ctx)
{
	struct pgp_blob value = {NULL, 0};
	struct ks_meta ignored;
	enum ks_status st;
	bool go_on = true;
	struct walk c;

	if ((st = walk_certs(ks, *at, &c)) != KS_OK)
		return st;
	for (st = walk_get_blob(&c, DB_SET_RANGE, &value); st == KS_OK && go_on;
	     st = go_on ? walk_get_blob(&c, DB_NEXT, &value) : KS_OK) {
		if (c.klen != NUMBER_LEN)
			st = KS_CORRUPT;
		else
			st = header_read(&value, &ignored);
		if (st != KS_OK)
			break;
		*at = number_get(c.key);
		go_on = each_visit(ks, value, visit, ctx);
	}
	walk_close(&c);
	pgp_blob_free(&value, false);
	return st;
}

/* ---- indexes ------------------------------------------------------------- */

uint64_t
entry_number(const struct entry *e, uint64_t number)
{
	return e->subkey ? number | NUMBER_SUBKEY : number;
}

static enum ks_status
entry_apply(
    struct keystore *ks, const struct entry *e, uint64_t number, bool add)
{
	number = entry_number(e, number);
	if (add)
		return pair_add(ks, e->table, e->key, e->len, number);
	return pair_remove(ks, e->table, e->key, e->len, number);
}

/* Touches only what differs: most merges change no entry at all. */
static enum ks_status
reindex(struct keystore *ks, uint64_t number, const struct entries *old,
    const struct entries *new)
{
	enum ks_status st = KS_OK;
	size_t o = 0, n = 0;

	while ((o < old->n || n < new->n) && st == KS_OK) {
		int d = o == old->n ? 1
			: n == new->n
			    ? -1
			    : entry_cmp(&old->entry[o], &new->entry[n]);

		if (d < 0)
			st = entry_apply(ks, &old->entry[o++], number, false);
		else if (d > 0)
			st = entry_apply(ks, &new->entry[n++], number, true);
		else
			o++, n++;
	}
	/* An entry that should be there and is not: the indexes are off. */
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

enum ks_status
cert_store(struct keystore *ks, uint64_t number, const struct pgp_cert *cert,
    const struct pgp_blob *octets, const struct pgp_cert *old,
    const struct ks_meta *meta)
{
	const struct pgp_fpr *fpr = pgp_cert_fpr(cert);
	struct entries before = {0}, after = {0};
	enum ks_status st;

	if (old != NULL && (st = entries_of(old, &before)) != KS_OK)
		return st;
	if ((st = entries_of(cert, &after)) == KS_OK &&
	    (st = cert_write(ks, number, fpr, octets, meta)) == KS_OK)
		st = reindex(ks, number, &before, &after);
	if (st == KS_OK && old == NULL)
		ks->counters.certificates++;
	entries_free(&before);
	entries_free(&after);
	return st;
}

/* ---- writing ------------------------------------------------------------- */

/* The change that was just logged. */
static struct ks_meta
meta_new(const struct keystore *ks)
{
	struct ks_meta meta = {.changed = (time_t)ks->counters.last_change,
	    .serial = ks->counters.serial};

	return meta;
}

/* As pgp_cert_merge() counts: a new component is counted as itself. */
static void
count_all(const struct pgp_cert *cert, struct pgp_added *added)
{
	memset(added, 0, sizeof(*added));
	added->key = true;
	for (size_t i = 0; i < cert->ncomponents; i++) {
		const struct pgp_component *c = &cert->components[i];

		added->userids += c->kind == PGP_USERID;
		added->subkeys += c->kind == PGP_SUBKEY;
		added->attributes += c->kind == PGP_ATTRIBUTE;
		added->certifications += (unsigned)c->nothers;
	}
}

static enum ks_status
put_new(struct keystore *ks, const struct pgp_cert *cert,
    const struct ks_origin *origin, enum ks_change *change,
    struct pgp_added *added)
{
	struct pgp_blob octets = {0};
	struct ks_meta meta;
	enum ks_status st;

	if (ks->counters.number == NUMBER_MAX)
		return KS_FULL;
	st = status_of_pgp(pgp_cert_octets(cert, &octets));
	if (st != KS_OK)
		return st;
	st = change_add(ks, pgp_cert_fpr(cert), origin, NULL, 0);
	meta = meta_new(ks);
	meta.unverified = cert->unverified;
	if (st == KS_OK)
		st = cert_store(
		    ks, ++ks->counters.number, cert, &octets, NULL, &meta);
	pgp_blob_free(&octets, false);
	if (st == KS_OK) {
		*change = KS_NEW;
		count_all(cert, added);
	}
	return st;
}

static bool
same_octets(const struct pgp_blob *value, const struct pgp_blob *octets)
{
	return value->len - CERT_HEADER == octets->len &&
	       memcmp(value->data + CERT_HEADER, octets->data, octets->len) ==
		   0;
}

/*
 * Logs what is new in `merged`; then that is its last change.  The entry is for
 * others, so what made only our copy smaller is none.
 */
static enum ks_status
log_news(struct keystore *ks, const struct pgp_cert *old,
    const struct pgp_cert *merged, const struct ks_origin *origin,
    struct ks_meta *meta)
{
	unsigned char(*digest)[KS_DIGEST];
	enum ks_status st;
	size_t n;

	st = status_of_pgp(pgp_cert_news(old, merged, &digest, &n));
	if (st != KS_OK || n == 0)
		return st;
	st = change_add(ks, pgp_cert_fpr(merged), origin,
	    (const unsigned char(*)[KS_DIGEST])digest, n);
	free(digest);
	if (st == KS_OK) {
		*meta = meta_new(ks);
		meta->unverified = merged->unverified;
	}
	return st;
}

/* Merges into what `value`, the stored record, holds. */
static enum ks_status
put_merged(struct keystore *ks, uint64_t number, const struct pgp_blob *value,
    const struct pgp_cert *cert, const struct ks_origin *origin,
    enum ks_change *change, struct pgp_added *added)
{
	struct pgp_cert *old = NULL, *merged = NULL;
	struct pgp_added news = {0};
	struct pgp_blob octets = {0};
	struct ks_meta meta;
	enum ks_status st;

	if ((st = cert_read(value, &old, &meta)) != KS_OK)
		return st;
	st = KS_NOMEM;
	if ((merged = pgp_cert_dup(old)) == NULL)
		goto done;
	if ((st = status_of_pgp(pgp_cert_merge(
		 merged, cert, &ks->options.policy, &news))) != KS_OK ||
	    (st = status_of_pgp(pgp_cert_octets(merged, &octets))) != KS_OK)
		goto done;
	meta.unverified = merged->unverified;
	if (same_octets(value, &octets) &&
	    old->unverified == merged->unverified)
		*change = KS_UNCHANGED;
	else if ((st = log_news(ks, old, merged, origin, &meta)) == KS_OK &&
		 (st = cert_store(ks, number, merged, &octets, old, &meta)) ==
		     KS_OK)
		*change = KS_MERGED;
	if (st == KS_OK)
		*added = news;
done:
	pgp_blob_free(&octets, false);
	pgp_cert_free(merged);
	pgp_cert_free(old);
	return st;
}

static enum ks_status
put_welcome(struct keystore *ks, const struct pgp_cert *cert,
    const struct ks_origin *origin, enum ks_change *change,
    struct pgp_added *added)
{
	struct pgp_blob value = {0};
	enum ks_status st;
	uint64_t number;

	st = cert_number(ks, pgp_cert_fpr(cert), &number);
	if (st == KS_NOT_FOUND)
		return put_new(ks, cert, origin, change, added);
	if (st != KS_OK || (st = cert_blob(ks, number, &value)) != KS_OK)
		return st;
	st = put_merged(ks, number, &value, cert, origin, change, added);
	pgp_blob_free(&value, false);
	return st;
}

/* Of what was forgotten: its revocations. */
static enum ks_status
put_forgotten(struct keystore *ks, const struct pgp_cert *cert,
    const struct ks_origin *origin, enum ks_change *change,
    struct pgp_added *added)
{
	struct pgp_cert *bare = pgp_cert_dup(cert);
	enum ks_status st = KS_OK;

	if (bare == NULL)
		return KS_NOMEM;
	if (pgp_cert_strip(bare))
		st = put_welcome(ks, bare, origin, change, added);
	else
		*change = KS_REFUSED;
	pgp_cert_free(bare);
	return st;
}

enum ks_status
ks_put(struct keystore *ks, const struct pgp_cert *cert,
    const struct ks_origin *origin, enum ks_change *change,
    struct pgp_added *added)
{
	enum ks_standing standing;
	enum ks_status st;

	assert(ks->txn != NULL);
	memset(added, 0, sizeof(*added));
	st = ks_standing(ks, pgp_cert_fpr(cert), &standing);
	if (st == KS_OK && standing == KS_WELCOME)
		st = put_welcome(ks, cert, origin, change, added);
	else if (st == KS_OK && standing == KS_FORGOTTEN)
		st = put_forgotten(ks, cert, origin, change, added);
	else
		*change = KS_REFUSED;
	/* A certificate half written must not be committed. */
	if (st != KS_OK && ks->failed == KS_OK)
		ks->failed = st;
	return st;
}

enum ks_status
ks_delete(struct keystore *ks, const struct pgp_fpr *fpr)
{
	struct entries before = {0}, none = {0};
	unsigned char key[NUMBER_LEN];
	struct pgp_cert *cert;
	enum ks_status st;
	uint64_t number;

	assert(ks->txn != NULL);
	if ((st = cert_number(ks, fpr, &number)) != KS_OK ||
	    (st = cert_get(ks, fpr, &cert, NULL)) != KS_OK)
		return st;
	number_put(key, number);
	if ((st = entries_of(cert, &before)) == KS_OK &&
	    (st = reindex(ks, number, &before, &none)) == KS_OK)
		st = table_delete(ks, T_CERTS, key, sizeof(key));
	if (st == KS_OK)
		ks->counters.certificates--;
	else if (ks->failed == KS_OK)
		ks->failed = st;
	entries_free(&before);
	pgp_cert_free(cert);
	return st;
}
