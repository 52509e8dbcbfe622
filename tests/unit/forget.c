/* What the store will not have: blocked certificates, forgotten ones. */
#include "tests/unit/store.h"

#include <dirent.h>

static struct pgp_cert *
revoked_cert(unsigned number, const char *id)
{
	struct forged what = {.seed = number,
	    .created = 1500000000 + number,
	    .bits = 512,
	    .revoked = true,
	    .id = {{.text = id}}};
	struct pgp_cert *cert = forge(&what);

	assert_non_null(cert);
	return cert;
}

static enum ks_change
put(struct tempstore *t, const struct pgp_cert *cert, time_t now)
{
	const struct ks_origin origin = {.now = now};
	struct pgp_added added;
	enum ks_change change;

	begin(t);
	assert_int_equal(ks_put(t->ks, cert, &origin, &change, &added), KS_OK);
	commit(t);
	return change;
}

/* As the operator's command does it, few entries at a time. */
static bool
forget(struct tempstore *t, const struct pgp_fpr *fpr)
{
	uint64_t after = 0;
	bool had, more = true;

	begin(t);
	assert_int_equal(ks_forget(t->ks, fpr, &had), KS_OK);
	commit(t);
	while (more) {
		begin(t);
		assert_int_equal(
		    ks_forget_changes(t->ks, fpr, &after, 2, &more), KS_OK);
		commit(t);
	}
	return had;
}

static void
unforget(struct tempstore *t, const struct pgp_fpr *fpr, enum ks_status want)
{
	begin(t);
	assert_int_equal(ks_unforget(t->ks, fpr), want);
	commit(t);
}

static struct pgp_cert *
get(struct tempstore *t, const struct pgp_fpr *fpr)
{
	struct pgp_cert *cert = NULL;
	enum ks_status st = ks_get(t->ks, fpr, &cert, NULL);

	assert_true(st == KS_OK || st == KS_NOT_FOUND);
	return cert;
}

static uint64_t
found(struct tempstore *t, const char *text, size_t max)
{
	struct ks_found f;
	struct ks_query q;
	const char *why;
	enum ks_status st;
	uint64_t n;

	assert_int_equal(ks_query_parse(text, &q, &why), KS_OK);
	st = ks_find(t->ks, &q, max, &f);
	assert_true(st == KS_OK || st == KS_NOT_FOUND || st == KS_TOO_MANY);
	n = f.total;
	ks_query_free(&q);
	ks_found_free(&f);
	return n;
}

static size_t
changed(struct tempstore *t)
{
	struct ks_found f;
	enum ks_status st = ks_since(t->ks, 0, 0, &f);
	size_t n = f.n;

	assert_true(st == KS_OK || st == KS_NOT_FOUND);
	ks_found_free(&f);
	return n;
}

static size_t
listed(struct tempstore *t)
{
	struct pgp_fpr fpr;
	uint64_t at = 0;
	size_t n = 0;

	while (ks_next(t->ks, &at, &fpr) == KS_OK)
		n++;
	return n;
}

struct tally {
	size_t n, whole, digests;
};

static bool
count_entry(void *ctx, const struct ks_entry *e)
{
	struct tally *tally = ctx;

	tally->n++;
	tally->whole += e->whole;
	tally->digests += e->ndigests;
	return true;
}

static struct tally
entries(struct tempstore *t)
{
	struct tally tally = {0};

	assert_int_equal(ks_changes(t->ks, 0, count_entry, &tally), KS_OK);
	return tally;
}

static enum ks_standing
standing(struct tempstore *t, const struct pgp_fpr *fpr)
{
	enum ks_standing s;

	assert_int_equal(ks_standing(t->ks, fpr, &s), KS_OK);
	return s;
}

/* ---- forgotten ----------------------------------------------------------- */

static void
forgotten(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice <alice@example.org>", NULL);
	struct pgp_cert *two = store_cert(1, "Alice Two", NULL);
	struct pgp_cert *bob = store_cert(2, "Bob <bob@example.org>", NULL);
	const struct pgp_fpr *fpr = pgp_cert_fpr(one);
	char hex[PGP_FPR_HEX];

	assert_int_equal(put(t, one, NOW), KS_NEW);
	assert_int_equal(put(t, bob, NOW), KS_NEW);
	assert_int_equal(put(t, two, NOW), KS_MERGED);
	assert_int_equal(entries(t).n, 3);
	assert_int_equal(standing(t, fpr), KS_WELCOME);

	assert_true(forget(t, fpr));
	assert_int_equal(wrong_in(t), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(standing(t, fpr), KS_FORGOTTEN);
		assert_null(get(t, fpr));
		assert_int_equal(found(t, "alice@example.org", 0), 0);
		assert_int_equal(found(t, "alice", 0), 0);
		assert_int_equal(found(t, pgp_fpr_hex(fpr, hex), 0), 0);
		assert_int_equal(found(t, "bob", 0), 1);
		assert_int_equal(changed(t), 1);
		assert_int_equal(listed(t), 1);
		assert_int_equal(entries(t).n, 1);
		assert_int_equal(put(t, one, NOW), KS_REFUSED);
		assert_int_equal(put(t, two, NOW), KS_REFUSED);
		assert_int_equal(put(t, bob, NOW), KS_UNCHANGED);
		assert_int_equal(entries(t).n, 1);
		store_reopen(t);
	}
	/* Once more does no harm, nor does it for one that was never here. */
	assert_false(forget(t, fpr));
	unforget(t, fpr, KS_OK);
	unforget(t, fpr, KS_NOT_FOUND);
	assert_int_equal(standing(t, fpr), KS_WELCOME);
	assert_int_equal(put(t, one, NOW), KS_NEW);
	assert_int_equal(found(t, "alice@example.org", 0), 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(two);
	pgp_cert_free(bob);
}

/* It is revoked: that stays, is found by its key ID, and peers that are behind
 * get it. */
static void
forgotten_revoked(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice <alice@example.org>", NULL);
	struct pgp_cert *revoked = revoked_cert(1, "Alice Two");
	const struct pgp_fpr *fpr = pgp_cert_fpr(one);
	struct pgp_cert *got;
	char hex[PGP_FPR_HEX];

	assert_int_equal(put(t, one, NOW), KS_NEW);
	assert_int_equal(put(t, revoked, NOW), KS_MERGED);
	assert_int_equal(entries(t).digests, 2);
	assert_true(forget(t, fpr));
	got = get(t, fpr);
	assert_non_null(got);
	assert_int_equal(got->ncomponents, 1);
	assert_int_equal(got->components[0].nsigs, 1);
	assert_int_equal(got->components[0].sigs[0]->type, 0x20);
	pgp_cert_free(got);
	assert_int_equal(found(t, pgp_fpr_hex(fpr, hex), 0), 1);
	assert_int_equal(found(t, "alice", 0), 0);
	assert_int_equal(entries(t).n, 1);
	assert_int_equal(entries(t).whole, 1);
	assert_int_equal(put(t, revoked, NOW), KS_UNCHANGED);
	assert_int_equal(put(t, one, NOW), KS_REFUSED);
	assert_int_equal(wrong_in(t), 0);
	unforget(t, fpr, KS_OK);
	assert_int_equal(put(t, one, NOW), KS_MERGED);
	assert_int_equal(found(t, "alice@example.org", 0), 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(revoked);
}

/* Its revocation comes later, with the primary key and all else beside it. */
static void
revoked_afterwards(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *revoked = revoked_cert(1, "Alice <alice@example.org>");
	const struct pgp_fpr *fpr = pgp_cert_fpr(revoked);
	struct pgp_cert *got;

	assert_false(forget(t, fpr));
	assert_int_equal(put(t, revoked, NOW), KS_NEW);
	got = get(t, fpr);
	assert_non_null(got);
	assert_int_equal(got->ncomponents, 1);
	assert_true(got->components[0].sigs[0]->hard);
	pgp_cert_free(got);
	assert_int_equal(found(t, "alice@example.org", 0), 0);
	assert_int_equal(entries(t).n, 1);
	assert_int_equal(changed(t), 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(revoked);
}

static bool
has(const void *in, size_t n, const void *octets, size_t len)
{
	return memmem(in, n, octets, len) != NULL;
}

/* Records of all tables in which these octets stand. */
static unsigned
traces(struct tempstore *t, const void *octets, size_t len)
{
	struct pgp_blob value = {0};
	unsigned n = 0;
	struct walk w;

	for (int table = 0; table < T_TABLES; table++) {
		assert_int_equal(
		    walk_open(t->ks, (enum table)table, &w), KS_OK);
		while (walk_get(&w, DB_NEXT) == KS_OK) {
			n += has(w.key, w.klen, octets, len) ||
			     has(w.value,
				 w.vlen < sizeof(w.value) ? w.vlen
							  : sizeof(w.value),
				 octets, len);
			if (table_get_blob(t->ks, (enum table)table, w.key,
				w.klen, &value) == KS_OK)
				n += has(value.data, value.len, octets, len);
			pgp_blob_free(&value, false);
		}
		walk_close(&w);
	}
	return n;
}

/* Neither a fingerprint nor anything that can be made of it without the key of
 * the store, which is another one in each. */
static void
no_list_to_be_read(void **state)
{
	struct tempstore *t = *state, other = {0};
	struct pgp_cert *one = store_cert(1, "Alice <alice@example.org>", NULL);
	const struct pgp_fpr *fpr = pgp_cert_fpr(one);
	unsigned char digest[PGP_SHA256_LEN];

	assert_int_equal(pgp_sha256(fpr->octet, fpr->len, digest), 0);
	put(t, one, NOW);
	assert_true(traces(t, fpr->octet, fpr->len) > 0);
	assert_true(traces(t, "alice@example.org", 17) > 0);
	forget(t, fpr);
	assert_int_equal(traces(t, fpr->octet, fpr->len), 0);
	assert_int_equal(traces(t, fpr->octet + fpr->len - 4, 4), 0);
	assert_int_equal(traces(t, "alice@example.org", 17), 0);
	assert_int_equal(traces(t, digest, 8), 0);

	assert_int_equal(tempstore_open(&other), 0);
	assert_memory_not_equal(
	    t->ks->secret, other.ks->secret, sizeof(t->ks->secret));
	assert_int_equal(tempstore_close(&other), 0);
	memcpy(digest, t->ks->secret, sizeof(digest));
	store_reopen(t);
	assert_memory_equal(t->ks->secret, digest, sizeof(digest));
	pgp_cert_free(one);
}

/* Nothing of a transaction that was given up. */
static void
given_up(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice", NULL);
	bool had;

	put(t, one, NOW);
	begin(t);
	assert_int_equal(ks_forget(t->ks, pgp_cert_fpr(one), &had), KS_OK);
	assert_true(had);
	ks_abort(t->ks);
	assert_int_equal(standing(t, pgp_cert_fpr(one)), KS_WELCOME);
	assert_int_equal(found(t, "alice", 0), 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
}

/* ks_verify() sees what should not be. */
static void
verified(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice", NULL);
	const struct pgp_fpr *fpr = pgp_cert_fpr(one);
	unsigned char key[PGP_SHA256_LEN];

	put(t, one, NOW);
	begin(t);
	assert_int_equal(
	    table_put(t->ks, T_FORGOTTEN, "short", 5, "", 0), KS_OK);
	commit(t);
	assert_int_equal(wrong_in(t), 1);
	begin(t);
	assert_int_equal(table_delete(t->ks, T_FORGOTTEN, "short", 5), KS_OK);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
	/* A tombstone, and the user ID is there all the same. */
	assert_int_equal(pgp_hmac_sha256(t->ks->secret, sizeof(t->ks->secret),
			     fpr->octet, fpr->len, key),
	    0);
	begin(t);
	assert_int_equal(
	    table_put(t->ks, T_FORGOTTEN, key, sizeof(key), "", 0), KS_OK);
	commit(t);
	assert_int_equal(standing(t, fpr), KS_FORGOTTEN);
	assert_int_equal(wrong_in(t), 1);
	pgp_cert_free(one);
}

/* ---- blocked ------------------------------------------------------------- */

static void
blocked(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert[3] = {
	    store_cert(1, "Same <one@example.org>", NULL),
	    store_cert(2, "Same <two@example.org>", NULL),
	    store_cert(3, "Same <three@example.org>", NULL)};
	struct pgp_fpr list[2] = {
	    *pgp_cert_fpr(cert[2]), *pgp_cert_fpr(cert[0])};
	struct pgp_blob octets;
	char hex[PGP_FPR_HEX];
	unsigned n;

	put(t, cert[0], NOW);
	put(t, cert[1], NOW);
	assert_int_equal(ks_block(t->ks, list, 2), KS_OK);
	assert_int_equal(standing(t, &list[0]), KS_BLOCKED);
	assert_int_equal(standing(t, &list[1]), KS_BLOCKED);
	assert_int_equal(put(t, cert[2], NOW), KS_REFUSED);
	assert_int_equal(put(t, cert[0], NOW), KS_REFUSED);
	assert_int_equal(put(t, cert[1], NOW), KS_UNCHANGED);
	/* What is stored is there for nobody. */
	assert_null(get(t, &list[1]));
	assert_int_equal(store_octets(t->ks, &list[1], &octets), KS_NOT_FOUND);
	assert_int_equal(found(t, "one@example.org", 0), 0);
	assert_int_equal(found(t, "same", 0), 1);
	assert_int_equal(found(t, "\"same <\"", 0), 1);
	assert_int_equal(found(t, pgp_fpr_hex(&list[1], hex), 0), 0);
	assert_int_equal(found(t, hex + 24, 0), 0);
	assert_int_equal(found(t, hex + 32, 0), 0);
	assert_int_equal(
	    ks_short_id_count(t->ks, list[1].octet + 16, &n), KS_OK);
	assert_int_equal(n, 0);
	assert_int_equal(changed(t), 1);
	assert_int_equal(listed(t), 1);
	/* It takes no place among those that are asked for. */
	assert_int_equal(found(t, "same", 1), 1);
	assert_int_equal(wrong_in(t), 0);
	/* Off the list, it is there again; the other can come. */
	assert_int_equal(ks_block(t->ks, list, 1), KS_OK);
	assert_int_equal(found(t, "one@example.org", 0), 1);
	assert_int_equal(ks_block(t->ks, NULL, 0), KS_OK);
	assert_int_equal(put(t, cert[2], NOW), KS_NEW);
	assert_int_equal(found(t, "same", 0), 3);
	/* A blocked one can be forgotten. */
	assert_int_equal(ks_block(t->ks, list, 2), KS_OK);
	assert_true(forget(t, &list[1]));
	assert_int_equal(ks_block(t->ks, NULL, 0), KS_OK);
	assert_int_equal(found(t, "same", 0), 2);
	assert_int_equal(standing(t, &list[1]), KS_FORGOTTEN);
	assert_int_equal(wrong_in(t), 0);
	for (int i = 0; i < 3; i++)
		pgp_cert_free(cert[i]);
}

/* ---- digests ------------------------------------------------------------- */

/* RFC 4231, test cases 1 and 2. */
static void
hmac(void **state)
{
	static const unsigned char one[] =
	    "\xb0\x34\x4c\x61\xd8\xdb\x38\x53\x5c\xa8\xaf\xce\xaf\x0b"
	    "\xf1\x2b\x88\x1d\xc2\x00\xc9\x83\x3d\xa7\x26\xe9\x37\x6c"
	    "\x2e\x32\xcf\xf7";
	static const unsigned char two[] =
	    "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95"
	    "\x75\xc7\x5a\x00\x3f\x08\x9d\x27\x39\x83\x9d\xec\x58\xb9"
	    "\x64\xec\x38\x43";
	unsigned char key[20], out[PGP_SHA256_LEN];

	(void)state;
	memset(key, 0x0b, sizeof(key));
	assert_int_equal(pgp_hmac_sha256(key, 20, "Hi There", 8, out), 0);
	assert_memory_equal(out, one, sizeof(out));
	memcpy(key, "Jefe", 4);
	assert_int_equal(
	    pgp_hmac_sha256(key, 4, "what do ya want for nothing?", 28, out),
	    0);
	assert_memory_equal(out, two, sizeof(out));
}

/* ---- log files ----------------------------------------------------------- */

static unsigned
logs(const struct tempstore *t)
{
	char path[300];
	struct dirent *d;
	unsigned n = 0;
	DIR *dir;

	store_path(t, path);
	assert_non_null(dir = opendir(path));
	while ((d = readdir(dir)) != NULL)
		n += strncmp(d->d_name, "log.", 4) == 0;
	closedir(dir);
	return n;
}

static void
scrubbed(void **state)
{
	struct tempstore *t = *state;
	static char octets[1 << 20];

	for (int i = 0; i < 12; i++) {
		begin(t);
		assert_int_equal(table_put(t->ks, T_OUTBOX, "0123456789abcdef",
				     16, octets, sizeof(octets)),
		    KS_OK);
		commit(t);
	}
	assert_true(logs(t) > 1);
	ks_scrub(t->ks);
	for (int i = 0; i < 3000 && logs(t) > 1; i++)
		usleep(10000);
	assert_int_equal(logs(t), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    store_test(forgotten),
	    store_test(forgotten_revoked),
	    store_test(revoked_afterwards),
	    store_test(no_list_to_be_read),
	    store_test(given_up),
	    store_test(verified),
	    store_test(blocked),
	    cmocka_unit_test(hmac),
	    store_test(scrubbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
