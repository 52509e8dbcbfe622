/* The change log: what is written, what is new, and how far each peer is. */
#include "tests/unit/store.h"

/* ---- what the tests share ------------------------------------------------ */

static enum ks_change
put_as(struct tempstore *t, const struct pgp_cert *cert,
    const struct ks_origin *origin)
{
	struct pgp_added added;
	enum ks_change change;

	begin(t);
	assert_int_equal(ks_put(t->ks, cert, origin, &change, &added), KS_OK);
	commit(t);
	return change;
}

static enum ks_change
put(struct tempstore *t, const struct pgp_cert *cert, time_t now)
{
	const struct ks_origin origin = {.now = now};

	return put_as(t, cert, &origin);
}

/* Key `number` with a user ID of this name; returns its fingerprint. */
static struct pgp_fpr
put_key(struct tempstore *t, unsigned number, const char *name, time_t now)
{
	struct pgp_cert *cert = store_cert(number, name, NULL);
	struct pgp_fpr fpr = *pgp_cert_fpr(cert);

	assert_int_not_equal(put(t, cert, now), KS_UNCHANGED);
	pgp_cert_free(cert);
	return fpr;
}

static void delete (struct tempstore *t, const struct pgp_fpr *fpr)
{
	begin(t);
	assert_int_equal(ks_delete(t->ks, fpr), KS_OK);
	commit(t);
}

#define LOG_MAX 16

/* A copy of what ks_changes() shows, but for the addresses of each. */
struct log {
	struct ks_entry entry[LOG_MAX];
	unsigned char digest[LOG_MAX][KS_DIGEST]; /* the first of each */
	char sent[LOG_MAX][100];
	size_t n, stop;
};

static bool
note(void *ctx, const struct ks_entry *e)
{
	struct log *log = ctx;
	const size_t i = log->n++;

	assert_true(i < LOG_MAX);
	log->entry[i] = *e;
	if (e->ndigests > 0)
		memcpy(log->digest[i], e->digest[0], KS_DIGEST);
	(void)snprintf(log->sent[i], sizeof(log->sent[i]), "%s", e->sent);
	return log->n != log->stop;
}

static void
read_log(struct tempstore *t, uint64_t after, struct log *log)
{
	memset(log, 0, sizeof(*log));
	assert_int_equal(ks_changes(t->ks, after, note, log), KS_OK);
}

static bool
count_one(void *ctx, const struct ks_entry *e)
{
	(void)e;
	++*(size_t *)ctx;
	return true;
}

static size_t
entries(struct tempstore *t)
{
	size_t n = 0;

	assert_int_equal(ks_changes(t->ks, 0, count_one, &n), KS_OK);
	return n;
}

static uint64_t
serial_now(struct tempstore *t)
{
	struct ks_info info;

	assert_int_equal(ks_info(t->ks, &info), KS_OK);
	return info.serial;
}

static bool
same_fpr(const struct pgp_fpr *a, const struct pgp_fpr *b)
{
	return fpr_order(a, b) == 0;
}

/* ---- entries ------------------------------------------------------------- */

static void
entry_of_each_change(void **state)
{
	const struct ks_origin first = {
	    .now = NOW, .sent = "pgp@one.example\nkeys@two.example"};
	const struct ks_origin second = {.now = NOW + 5, .quiet = true};
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *more = store_cert(1, "Alice More", NULL);
	const struct pgp_signature *sig = more->components[1].sigs[0];
	unsigned char digest[PGP_SHA256_LEN];
	struct tempstore *t = *state;
	struct log log;

	read_log(t, 0, &log);
	assert_int_equal(log.n, 0);
	assert_int_equal(put_as(t, one, &first), KS_NEW);
	assert_int_equal(put_as(t, one, &second), KS_UNCHANGED);
	assert_int_equal(put_as(t, more, &second), KS_MERGED);
	store_reopen(t);
	read_log(t, 0, &log);
	assert_int_equal(log.n, 2);

	assert_int_equal(log.entry[0].serial, 1);
	assert_int_equal(log.entry[0].time, NOW);
	assert_true(same_fpr(&log.entry[0].fpr, pgp_cert_fpr(one)));
	assert_true(log.entry[0].whole);
	assert_false(log.entry[0].quiet);
	assert_string_equal(log.sent[0], first.sent);
	assert_int_equal(log.entry[0].ndigests, 0);

	assert_int_equal(log.entry[1].serial, 2);
	assert_int_equal(log.entry[1].time, NOW + 5);
	assert_true(same_fpr(&log.entry[1].fpr, pgp_cert_fpr(one)));
	assert_false(log.entry[1].whole);
	assert_true(log.entry[1].quiet);
	assert_string_equal(log.sent[1], "");
	assert_int_equal(log.entry[1].ndigests, 1);
	assert_int_equal(pgp_sha256(sig->packet, sig->len, digest), 0);
	assert_memory_equal(log.digest[1], digest, KS_DIGEST);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(more);
}

static void
from_a_serial_on(void **state)
{
	struct tempstore *t = *state;
	struct log log;

	for (unsigned i = 1; i <= 5; i++)
		put_key(t, i, "Somebody", NOW + i);
	read_log(t, 3, &log);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.entry[0].serial, 4);
	assert_int_equal(log.entry[1].serial, 5);
	read_log(t, 5, &log);
	assert_int_equal(log.n, 0);
	read_log(t, UINT64_MAX, &log);
	assert_int_equal(log.n, 0);
	memset(&log, 0, sizeof(log));
	log.stop = 2;
	assert_int_equal(ks_changes(t->ks, 1, note, &log), KS_OK);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.entry[1].serial, 3);
	/* within a transaction, what it wrote is there, and goes with it */
	begin(t);
	assert_int_equal(
	    table_delete(t->ks, T_CHANGE, "\0\0\0\0\0\0\0\2", 8), KS_OK);
	assert_int_equal(entries(t), 4);
	ks_abort(t->ks);
	assert_int_equal(entries(t), 5);
}

static void
abort_takes_the_entry_back(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *more = store_cert(1, "Alice More", NULL);
	const struct ks_peer peer = {.handed = 1};
	struct tempstore *t = *state;
	struct ks_peer got;
	struct pgp_added added;
	enum ks_change change;

	put(t, one, NOW);
	begin(t);
	assert_int_equal(ks_put(t->ks, more, &origin, &change, &added), KS_OK);
	assert_int_equal(ks_peer_put(t->ks, "one", &peer), KS_OK);
	assert_int_equal(entries(t), 2);
	ks_abort(t->ks);
	assert_int_equal(entries(t), 1);
	assert_int_equal(serial_now(t), 1);
	assert_int_equal(ks_peer_get(t->ks, "one", &got), KS_NOT_FOUND);
	/* the next one gets the serial that was not used */
	put(t, more, NOW);
	assert_int_equal(serial_now(t), 2);
	assert_int_equal(entries(t), 2);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(more);
}

/* A cap that is smaller than it was: nobody else has any use for that. */
static void
no_entry_for_what_only_went(void **state)
{
	/* As the second user ID, its signature is a second older. */
	struct pgp_cert *newer = store_cert(1, "Alice", NULL);
	struct pgp_cert *older = store_cert(1, "Bob", "Alice");
	struct tempstore *t = *state;
	struct ks_meta meta;
	struct pgp_cert *got;

	put(t, newer, NOW);
	put(t, older, NOW + 1);
	t->ks->options.policy.self_signatures = 1;
	assert_int_equal(put(t, newer, NOW + 2), KS_MERGED);
	assert_int_equal(
	    ks_get(t->ks, pgp_cert_fpr(newer), &got, &meta), KS_OK);
	assert_int_equal(got->ncomponents, 3);
	assert_int_equal(got->components[1].nsigs, 1);
	assert_int_equal(meta.serial, 2);
	assert_int_equal(meta.changed, NOW + 1);
	assert_int_equal(entries(t), 2);
	assert_int_equal(serial_now(t), 2);
	assert_int_equal(put(t, older, NOW + 3), KS_UNCHANGED);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(got);
	pgp_cert_free(newer);
	pgp_cert_free(older);
}

/* The same signature with another value, which no hashed octet tells. */
static struct pgp_cert *
smaller_variant(const struct pgp_cert *cert)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *variant = NULL;
	struct pgp_blob octets;

	assert_int_equal(pgp_cert_octets(cert, &octets), PGP_OK);
	assert_true(octets.data[octets.len - 1] > 0);
	octets.data[octets.len - 1]--;
	assert_int_equal(pgp_cert_parse(octets.data, octets.len,
			     &pgp_policy_default, true, NOW, &left, &variant),
	    PGP_OK);
	pgp_blob_free(&octets, false);
	return variant;
}

static void
no_entry_for_a_variant(void **state)
{
	struct pgp_cert *one = store_cert(1, "Alice", NULL);
	struct pgp_cert *two = smaller_variant(one);
	struct tempstore *t = *state;
	struct pgp_blob want, got;

	put(t, one, NOW);
	assert_int_equal(put(t, two, NOW + 1), KS_MERGED);
	assert_int_equal(put(t, one, NOW + 2), KS_UNCHANGED);
	assert_int_equal(entries(t), 1);
	assert_int_equal(pgp_cert_octets(two, &want), PGP_OK);
	assert_int_equal(store_octets(t->ks, pgp_cert_fpr(one), &got), KS_OK);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	assert_int_equal(wrong_in(t), 0);
	pgp_blob_free(&want, false);
	pgp_blob_free(&got, false);
	pgp_cert_free(one);
	pgp_cert_free(two);
}

static void
long_list_of_servers(void **state)
{
	struct pgp_cert *cert = store_cert(1, "Alice", NULL);
	struct ks_origin origin = {.now = NOW};
	struct tempstore *t = *state;
	static char sent[3 * KS_SENT_MAX];
	size_t len[] = {KS_SENT_MAX, KS_SENT_MAX + 1, sizeof(sent) - 1};

	/* lines of 64 octets, LF and all: the last one is whole or gone */
	for (size_t i = 0; i + 1 < sizeof(sent); i++)
		sent[i] = i % 64 == 63 ? '\n' : 'a';
	for (size_t i = 0; i < 3; i++) {
		struct pgp_fpr fpr = *pgp_cert_fpr(cert);
		struct pgp_blob value;
		unsigned char key[8];
		struct ks_entry e;

		origin.sent = sent + (sizeof(sent) - 1 - len[i]) / 64 * 64;
		put_as(t, cert, &origin);
		be64_put(key, serial_now(t));
		assert_int_equal(
		    table_get_blob(t->ks, T_CHANGE, key, 8, &value), KS_OK);
		assert_int_equal(
		    change_parse(key, 8, value.data, value.len, &e), KS_OK);
		assert_true(strlen(e.sent) <= KS_SENT_MAX);
		assert_true(strlen(e.sent) >= KS_SENT_MAX - 64);
		assert_int_equal(
		    strncmp(e.sent, origin.sent, strlen(e.sent)), 0);
		assert_true(origin.sent[strlen(e.sent)] == '\n' ||
			    origin.sent[strlen(e.sent)] == '\0');
		pgp_blob_free(&value, false);
		delete (t, &fpr);
	}
	memset(sent, 'a', sizeof(sent) - 1);
	origin.sent = sent; /* one that is too long by itself */
	put_as(t, cert, &origin);
	origin.sent = NULL;
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(cert);
}

/* A record that was cut, anywhere, is none; nor is one with more behind it. */
static void
damaged_entry(void **state)
{
	const unsigned char digest[2][KS_DIGEST] = {{1}, {2}};
	const struct ks_origin origin = {.now = NOW, .sent = "pgp@one.example"};
	struct pgp_fpr fpr = {.len = 20, .octet = {7}};
	struct tempstore *t = *state;
	struct pgp_blob value;
	unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, 1};
	struct ks_entry e;
	size_t n = 0;

	begin(t);
	assert_int_equal(change_add(t->ks, &fpr, &origin, digest, 2), KS_OK);
	assert_int_equal(
	    table_get_blob(t->ks, T_CHANGE, key, 8, &value), KS_OK);
	assert_int_equal(
	    change_parse(key, 8, value.data, value.len, &e), KS_OK);
	assert_string_equal(e.sent, origin.sent);
	assert_int_equal(e.ndigests, 2);
	assert_memory_equal(e.digest, digest, sizeof(digest));
	for (size_t len = 0; len <= value.len + KS_DIGEST; len++) {
		unsigned char *cut = calloc(1, len + 1);

		assert_non_null(cut);
		memcpy(cut, value.data, len < value.len ? len : value.len);
		cut = realloc(cut, len == 0 ? 1 : len);
		assert_non_null(cut);
		assert_int_equal(change_parse(key, 8, cut, len, &e),
		    len == value.len ? KS_OK : KS_CORRUPT);
		free(cut);
	}
	assert_int_equal(wrong_in(t), 0);
	assert_int_equal(
	    table_put(t->ks, T_CHANGE, key, 8, value.data, value.len - 1),
	    KS_OK);
	assert_int_equal(wrong_in(t), 1);
	assert_int_equal(ks_changes(t->ks, 0, count_one, &n), KS_CORRUPT);
	assert_int_equal(n, 0);
	ks_abort(t->ks);
	pgp_blob_free(&value, false);
}

/* ---- ks_since ------------------------------------------------------------ */

static void
assert_since(
    struct tempstore *t, time_t since, const struct pgp_fpr *want, size_t n)
{
	struct ks_found found;

	assert_int_equal(
	    ks_since(t->ks, since, 10, &found), n == 0 ? KS_NOT_FOUND : KS_OK);
	assert_int_equal(found.n, n);
	assert_int_equal(found.total, n);
	for (size_t i = 0; i < n; i++)
		assert_true(same_fpr(&found.fpr[i], &want[i]));
	ks_found_free(&found);
}

static void
newest_change_first(void **state)
{
	struct tempstore *t = *state;
	struct pgp_fpr a, b, c;

	assert_since(t, 0, NULL, 0);
	a = put_key(t, 1, "Alice", NOW);
	b = put_key(t, 2, "Bob", NOW + 1);
	c = put_key(t, 3, "Carol", NOW + 2);
	assert_since(t, NOW, (struct pgp_fpr[]){c, b, a}, 3);
	assert_since(t, -5, (struct pgp_fpr[]){c, b, a}, 3);
	assert_since(t, NOW + 1, (struct pgp_fpr[]){c, b}, 2);
	assert_since(t, NOW + 2, (struct pgp_fpr[]){c}, 1);
	assert_since(t, NOW + 3, NULL, 0);
	/* each once, where its last change was */
	put_key(t, 1, "Alice More", NOW + 3);
	assert_since(t, NOW, (struct pgp_fpr[]){a, c, b}, 3);
	assert_since(t, NOW + 3, (struct pgp_fpr[]){a}, 1);
	/* what was deleted is not there, and comes back with a new change */
	delete (t, &c);
	assert_since(t, NOW, (struct pgp_fpr[]){a, b}, 2);
	assert_int_equal(entries(t), 4);
	put_key(t, 3, "Carol", NOW + 4);
	assert_since(t, NOW, (struct pgp_fpr[]){c, a, b}, 3);
	store_reopen(t);
	assert_since(t, NOW, (struct pgp_fpr[]){c, a, b}, 3);
}

static void
too_many_changes(void **state)
{
	struct tempstore *t = *state;
	struct ks_found found;

	for (unsigned i = 0; i < 5; i++)
		put_key(t, i, "Somebody", NOW + i);
	assert_int_equal(ks_since(t->ks, NOW + 1, 4, &found), KS_OK);
	assert_int_equal(found.n, 4);
	ks_found_free(&found);
	assert_int_equal(ks_since(t->ks, NOW, 4, &found), KS_TOO_MANY);
	assert_int_equal(found.n, 0);
	assert_null(found.fpr);
	assert_int_equal(found.total, 5);
	assert_int_equal(ks_since(t->ks, NOW, 0, &found), KS_OK);
	assert_int_equal(found.n, 5);
	ks_found_free(&found);
}

/* More than are counted one by one: a bound that is not below the number. */
static void
very_many_changes(void **state)
{
	const struct ks_origin origin = {.now = NOW + 100, .quiet = true};
	struct tempstore *t = *state;
	struct ks_found found;
	struct pgp_added added;
	enum ks_change change;

	for (unsigned i = 0; i < 10; i++)
		put_key(t, i, "Old", NOW);
	begin(t);
	for (unsigned i = 10; i < 2010; i++) {
		struct pgp_cert *cert = store_cert(i, "New", NULL);

		assert_int_equal(
		    ks_put(t->ks, cert, &origin, &change, &added), KS_OK);
		pgp_cert_free(cert);
	}
	commit(t);
	assert_int_equal(ks_since(t->ks, NOW + 1, 100, &found), KS_TOO_MANY);
	assert_int_equal(found.total, 2000);
	assert_int_equal(ks_since(t->ks, NOW, 100, &found), KS_TOO_MANY);
	assert_int_equal(found.total, 2010);
	assert_int_equal(ks_since(t->ks, NOW + 1, 0, &found), KS_OK);
	assert_int_equal(found.n, 2000);
	ks_found_free(&found);
	/* never more than there are */
	for (unsigned i = 0; i < 5; i++)
		put_key(t, i, "Old, but newer", NOW + 200);
	assert_int_equal(ks_since(t->ks, NOW, 100, &found), KS_TOO_MANY);
	assert_int_equal(found.total, 2010);
}

/* An hour in which the clock was wrong hides nothing that was before. */
static void
wrong_clock(void **state)
{
	struct tempstore *t = *state;
	struct pgp_fpr a, b, d, e;

	a = put_key(t, 1, "Before", NOW);
	put_key(t, 2, "In 1970", 100);
	b = put_key(t, 3, "After", NOW + 1);
	d = put_key(t, 4, "In 2099", NOW + 2400000000);
	e = put_key(t, 5, "Later", NOW + 2);
	assert_since(t, NOW, (struct pgp_fpr[]){e, d, b, a}, 4);
	assert_since(t, NOW + 2, (struct pgp_fpr[]){e, d}, 2);
}

/* ---- peers --------------------------------------------------------------- */

static void
peers(void **state)
{
	const struct ks_peer want = {.handed = 1,
	    .window = 2,
	    .waiting = 3,
	    .failed = UINT32_MAX,
	    .hour = NOW,
	    .mails = 6,
	    .again = NOW + 7};
	const struct ks_peer none = {0};
	char name[KS_PEER_NAME + 1];
	struct tempstore *t = *state;
	struct ks_peer got;

	put_key(t, 1, "Alice", NOW);
	put_key(t, 2, "Bob", NOW);
	memset(name, 'n', KS_PEER_NAME);
	name[KS_PEER_NAME] = '\0';
	memset(&got, 0xff, sizeof(got));
	assert_int_equal(ks_peer_get(t->ks, name, &got), KS_NOT_FOUND);
	assert_memory_equal(&got, &none, sizeof(got));
	begin(t);
	assert_int_equal(ks_peer_put(t->ks, name, &none), KS_OK);
	assert_int_equal(ks_peer_put(t->ks, name, &want), KS_OK);
	name[1] = '\0';
	assert_int_equal(ks_peer_put(t->ks, name, &none), KS_OK);
	commit(t);
	store_reopen(t);
	name[1] = 'n';
	assert_int_equal(ks_peer_get(t->ks, name, &got), KS_OK);
	assert_int_equal(got.handed, want.handed);
	assert_int_equal(got.window, want.window);
	assert_int_equal(got.waiting, want.waiting);
	assert_int_equal(got.failed, want.failed);
	assert_int_equal(got.hour, want.hour);
	assert_int_equal(got.mails, want.mails);
	assert_int_equal(got.again, want.again);
	assert_int_equal(wrong_in(t), 0);
}

/* ---- thinning out -------------------------------------------------------- */

static unsigned
thin(struct tempstore *t, uint64_t passed, time_t older, unsigned max)
{
	unsigned removed = 99;

	begin(t);
	assert_int_equal(ks_thin(t->ks, passed, older, max, &removed), KS_OK);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
	return removed;
}

static void
thin_out(void **state)
{
	struct tempstore *t = *state;
	struct pgp_fpr a, b;
	struct log log;

	assert_int_equal(thin(t, 100, NOW + 1000, 10), 0);
	a = put_key(t, 1, "Alice", NOW);    /* 1, superseded */
	b = put_key(t, 2, "Bob", NOW);	    /* 2, gone */
	put_key(t, 1, "Alice 2", NOW + 10); /* 3, superseded */
	put_key(t, 3, "Carol", NOW + 10);   /* 4, stays */
	put_key(t, 1, "Alice 3", NOW + 20); /* 5, stays */
	delete (t, &b);

	assert_int_equal(thin(t, 0, NOW + 1000, 10), 0);
	assert_int_equal(thin(t, 5, NOW, 10), 0);
	assert_int_equal(thin(t, 1, NOW + 1000, 10), 1); /* 1 */
	assert_int_equal(thin(t, 5, NOW + 10, 10), 1);	 /* 2, not 3 */
	read_log(t, 0, &log);
	assert_int_equal(log.n, 3);
	assert_int_equal(log.entry[0].serial, 3);
	assert_since(t, NOW, (struct pgp_fpr[]){a, log.entry[1].fpr}, 2);

	/* what was aborted is there again */
	begin(t);
	{
		unsigned removed;

		assert_int_equal(
		    ks_thin(t->ks, 5, NOW + 1000, 10, &removed), KS_OK);
		assert_int_equal(removed, 1);
	}
	ks_abort(t->ks);
	assert_int_equal(entries(t), 3);
	assert_int_equal(thin(t, 5, NOW + 1000, 10), 1); /* 3 */
	assert_int_equal(thin(t, 5, NOW + 1000, 10), 0);
	read_log(t, 0, &log);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.entry[0].serial, 4);
	assert_int_equal(log.entry[1].serial, 5);
	/* a serial is not given twice, though nothing has it any more */
	delete (t, &a);
	assert_int_equal(thin(t, 5, NOW + 1000, 10), 1);
	store_reopen(t);
	put_key(t, 1, "Alice", NOW);
	assert_int_equal(serial_now(t), 6);
}

/* A few at a time: every entry gets its turn, and then the first again. */
static void
thin_out_in_slices(void **state)
{
	struct tempstore *t = *state;
	unsigned removed = 0;

	for (unsigned i = 0; i < 10; i++)
		put_key(t, i, "One", NOW);
	for (unsigned i = 0; i < 10; i += 2)
		put_key(t, i, "Two", NOW);
	assert_int_equal(entries(t), 15);
	for (unsigned i = 0; i < 4; i++) {
		unsigned now = thin(t, 10, NOW + 1, 3);

		assert_true(now <= 3);
		removed += now;
	}
	assert_int_equal(removed, 5);
	assert_int_equal(entries(t), 10);
	put_key(t, 1, "Two", NOW);
	for (unsigned i = 0; i < 3; i++)
		removed += thin(t, 10, NOW + 1, 3);
	assert_int_equal(removed, 6);
	assert_int_equal(thin(t, 10, NOW + 1, 0), 0);
}

/* ---- ks_verify ----------------------------------------------------------- */

static void
verify_sees(void **state)
{
	const struct ks_peer ahead = {.handed = 2}, window = {.window = 2};
	struct tempstore *t = *state;
	struct pgp_blob value;
	unsigned char key[8];

	put_key(t, 1, "Alice", NOW);
	assert_int_equal(wrong_in(t), 0);
	be64_put(key, 1);
	assert_int_equal(
	    table_get_blob(t->ks, T_CHANGE, key, 8, &value), KS_OK);

	begin(t); /* an entry that is ahead of the counter */
	be64_put(key, 2);
	assert_int_equal(
	    table_put(t->ks, T_CHANGE, key, 8, value.data, value.len), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* a counter that is behind the certificates */
	t->ks->counters.serial = 0;
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* an entry with another time */
	be64_put(key, 1);
	value.data[7] ^= 1;
	assert_int_equal(
	    table_put(t->ks, T_CHANGE, key, 8, value.data, value.len), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* peers that were told what never was */
	assert_int_equal(ks_peer_put(t->ks, "one", &ahead), KS_OK);
	assert_int_equal(ks_peer_put(t->ks, "two", &window), KS_OK);
	assert_int_equal(wrong_in(t), 2);
	ks_abort(t->ks);
	begin(t); /* one that cannot be read */
	assert_int_equal(table_put(t->ks, T_PEER, "one", 3, "x", 1), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	assert_int_equal(wrong_in(t), 0);
	pgp_blob_free(&value, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(entry_of_each_change),
	    store_test(from_a_serial_on),
	    store_test(abort_takes_the_entry_back),
	    store_test(no_entry_for_what_only_went),
	    store_test(no_entry_for_a_variant),
	    store_test(long_list_of_servers),
	    store_test(damaged_entry),
	    store_test(newest_change_first),
	    store_test(too_many_changes),
	    store_test(very_many_changes),
	    store_test(wrong_clock),
	    store_test(peers),
	    store_test(thin_out),
	    store_test(thin_out_in_slices),
	    store_test(verify_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
