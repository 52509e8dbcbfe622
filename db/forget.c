/*
 * Certificates that the store will not have: those on the block list, and those
 * that were forgotten.
 *
 * Of what was forgotten T_FORGOTTEN has HMAC-SHA256 of the fingerprint under a
 * random key, which is made once with the store and lies in T_META.  Whoever
 * has the store can ask it about a fingerprint that he knows, but cannot list
 * those that were forgotten.
 */
#include "db/internal.h"

#include <sys/random.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECRET	   "forgotten"
#define SECRET_LEN (sizeof(SECRET) - 1)

enum ks_status
secret_load(struct keystore *ks)
{
	const size_t want = sizeof(ks->secret);
	enum ks_status st;
	size_t len;

	st = table_get(ks, T_META, SECRET, SECRET_LEN, ks->secret, want, &len);
	if (st == KS_OK)
		return len == want ? KS_OK : KS_CORRUPT;
	if (st != KS_NOT_FOUND)
		return st;
	if (getrandom(ks->secret, want, 0) != (ssize_t)want)
		return KS_IO;
	return table_put(ks, T_META, SECRET, SECRET_LEN, ks->secret, want);
}

/* ---- the block list ------------------------------------------------------ */

static int
by_order(const void *a, const void *b)
{
	return fpr_order(a, b);
}

enum ks_status
ks_block(struct keystore *ks, const struct pgp_fpr *fpr, size_t n)
{
	struct pgp_fpr *list = NULL;

	if (n > 0) {
		list = calloc(n, sizeof(*list));
		if (list == NULL)
			return KS_NOMEM;
		memcpy(list, fpr, n * sizeof(*list));
		qsort(list, n, sizeof(*list), by_order);
	}
	free(ks->blocked);
	ks->blocked = list;
	ks->nblocked = n;
	ks->hidden_known = n == 0;
	return KS_OK;
}

bool
is_blocked(const struct keystore *ks, const struct pgp_fpr *fpr)
{
	return ks->nblocked > 0 && bsearch(fpr, ks->blocked, ks->nblocked,
				       sizeof(*ks->blocked), by_order) != NULL;
}

static int
by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

enum ks_status
hidden_load(struct keystore *ks)
{
	uint64_t *list;
	size_t n = 0;

	if (ks->nblocked == 0 || ks->hidden_known)
		return KS_OK;
	list = reallocarray(NULL, ks->nblocked, sizeof(*list));
	if (list == NULL)
		return KS_NOMEM;
	for (size_t i = 0; i < ks->nblocked; i++) {
		enum ks_status st = cert_number(ks, &ks->blocked[i], &list[n]);

		if (st != KS_OK && st != KS_NOT_FOUND) {
			free(list);
			return st;
		}
		n += st == KS_OK;
	}
	qsort(list, n, sizeof(*list), by_size);
	free(ks->hidden);
	ks->hidden = list;
	ks->nhidden = n;
	ks->hidden_known = true;
	return KS_OK;
}

bool
is_hidden(const struct keystore *ks, uint64_t number)
{
	return ks->nblocked > 0 && bsearch(&number, ks->hidden, ks->nhidden,
				       sizeof(*ks->hidden), by_size) != NULL;
}

/* ---- what was forgotten -------------------------------------------------- */

static enum ks_status
tombstone(const struct keystore *ks, const struct pgp_fpr *fpr,
    unsigned char out[PGP_SHA256_LEN])
{
	return pgp_hmac_sha256(ks->secret, sizeof(ks->secret), fpr->octet,
		   fpr->len, out) == 0
		   ? KS_OK
		   : KS_NOMEM;
}

enum ks_status
is_forgotten(struct keystore *ks, const struct pgp_fpr *fpr, bool *yes)
{
	unsigned char key[PGP_SHA256_LEN], none[1];
	enum ks_status st;
	size_t len;

	if ((st = tombstone(ks, fpr, key)) != KS_OK)
		return st;
	st = table_get(
	    ks, T_FORGOTTEN, key, sizeof(key), none, sizeof(none), &len);
	*yes = st == KS_OK;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

enum ks_status
ks_standing(
    struct keystore *ks, const struct pgp_fpr *fpr, enum ks_standing *standing)
{
	enum ks_status st;
	bool forgotten;

	*standing = KS_BLOCKED;
	if (is_blocked(ks, fpr))
		return KS_OK;
	st = is_forgotten(ks, fpr, &forgotten);
	*standing = st == KS_OK && forgotten ? KS_FORGOTTEN : KS_WELCOME;
	return st;
}

/* Leaves the revocations of a stored certificate, or nothing. */
static enum ks_status
reduce(struct keystore *ks, const struct pgp_fpr *fpr)
{
	struct pgp_cert *old, *bare;
	struct pgp_blob octets = {0};
	struct ks_meta meta;
	enum ks_status st;
	uint64_t number;

	if ((st = cert_number(ks, fpr, &number)) != KS_OK ||
	    (st = cert_get(ks, fpr, &old, &meta)) != KS_OK)
		return st;
	st = KS_NOMEM;
	if ((bare = pgp_cert_dup(old)) == NULL)
		goto done;
	if (!pgp_cert_strip(bare))
		st = ks_delete(ks, fpr);
	else if (pgp_cert_octets(bare, &octets) == PGP_OK &&
		 (st = change_whole(ks, meta.serial)) == KS_OK)
		st = cert_store(ks, number, bare, &octets, old, &meta);
done:
	pgp_blob_free(&octets, false);
	pgp_cert_free(bare);
	pgp_cert_free(old);
	return st;
}

enum ks_status
ks_forget(struct keystore *ks, const struct pgp_fpr *fpr, bool *had)
{
	unsigned char key[PGP_SHA256_LEN];
	enum ks_status st;

	assert(ks->txn != NULL);
	if ((st = tombstone(ks, fpr, key)) == KS_OK &&
	    (st = table_put(ks, T_FORGOTTEN, key, sizeof(key), "", 0)) == KS_OK)
		st = reduce(ks, fpr);
	*had = st == KS_OK;
	if (st == KS_NOT_FOUND)
		st = KS_OK;
	/* Half of it must not be committed. */
	if (st != KS_OK && ks->failed == KS_OK)
		ks->failed = st;
	return st;
}

enum ks_status
ks_unforget(struct keystore *ks, const struct pgp_fpr *fpr)
{
	unsigned char key[PGP_SHA256_LEN];
	enum ks_status st;

	if ((st = tombstone(ks, fpr, key)) != KS_OK)
		return st;
	return table_delete(ks, T_FORGOTTEN, key, sizeof(key));
}

/* Removes the entry that the walk stands on when it is of this key. */
static enum ks_status
forget_entry(struct walk *w, const struct pgp_fpr *fpr, uint64_t stays)
{
	struct ks_entry e = {0};
	enum ks_status st;

	if ((st = change_head(w, &e)) != KS_OK)
		return st;
	if (e.serial == stays || fpr_order(&e.fpr, fpr) != 0)
		return KS_OK;
	return walk_delete(w);
}

enum ks_status
ks_forget_changes(struct keystore *ks, const struct pgp_fpr *fpr,
    uint64_t *after, unsigned max, bool *more)
{
	struct ks_meta meta = {0};
	enum ks_status st;
	struct walk w;

	assert(ks->txn != NULL);
	*more = false;
	st = cert_meta(ks, fpr, &meta);
	if (st != KS_OK && st != KS_NOT_FOUND)
		return st;
	if ((st = walk_open(ks, T_CHANGE, &w)) != KS_OK)
		return st;
	be64_put(w.key, *after + 1);
	w.klen = 8;
	for (st = walk_get(&w, DB_SET_RANGE); st == KS_OK;
	     st = walk_get(&w, DB_NEXT)) {
		*more = max-- == 0;
		if (*more || (st = forget_entry(&w, fpr, meta.serial)) != KS_OK)
			break;
		*after = be64_get(w.key);
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}
