/* Certificates in the store: put, merged, removed; crashes and locks. */
#include "tests/unit/store.h"

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>

#define MAX_KEYS 4000

static enum ks_change
put(struct tempstore *t, const struct pgp_cert *cert, time_t now,
    struct pgp_added *added)
{
	const struct ks_origin origin = {.now = now};
	enum ks_change change;

	assert_int_equal(ks_put(t->ks, cert, &origin, &change, added), KS_OK);
	return change;
}

static bool
there(struct tempstore *t, const struct pgp_fpr *fpr)
{
	struct pgp_cert *cert = NULL;
	enum ks_status st = ks_get(t->ks, fpr, &cert, NULL);

	assert_true(st == KS_OK || st == KS_NOT_FOUND);
	pgp_cert_free(cert);
	return st == KS_OK;
}

static size_t
count_found(struct tempstore *t, const char *text)
{
	struct ks_found found;
	struct ks_query q;
	const char *why;
	size_t n;

	assert_int_equal(ks_query_parse(text, &q, &why), KS_OK);
	(void)ks_find(t->ks, &q, 0, &found);
	n = found.n;
	ks_query_free(&q);
	ks_found_free(&found);
	return n;
}

static struct ks_info
info_of(struct tempstore *t)
{
	struct ks_info info;

	assert_int_equal(ks_info(t->ks, &info), KS_OK);
	return info;
}

/* ---- one certificate ----------------------------------------------------- */

static void
put_and_get(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert = store_cert(1, "Alice <a@b.c>", "Alice Two");
	struct pgp_cert *got = NULL;
	struct pgp_blob want, octets;
	struct ks_meta meta;
	struct pgp_added added;

	assert_false(there(t, pgp_cert_fpr(cert)));
	assert_int_equal(info_of(t).certificates, 0);
	assert_int_equal(info_of(t).last_change, 0);
	begin(t);
	assert_int_equal(put(t, cert, NOW, &added), KS_NEW);
	assert_true(added.key);
	assert_int_equal(added.userids, 2);
	assert_int_equal(added.subkeys + added.signatures, 0);
	assert_true(there(t, pgp_cert_fpr(cert)));
	commit(t);
	store_reopen(t);

	assert_int_equal(ks_get(t->ks, pgp_cert_fpr(cert), &got, &meta), KS_OK);
	assert_int_equal(meta.changed, NOW);
	assert_int_equal(meta.serial, 1);
	assert_int_equal(pgp_cert_octets(cert, &want), PGP_OK);
	assert_int_equal(
	    store_octets(t->ks, pgp_cert_fpr(cert), &octets), KS_OK);
	assert_int_equal(octets.len, want.len);
	assert_memory_equal(octets.data, want.data, want.len);
	pgp_blob_free(&octets, false);
	assert_int_equal(pgp_cert_octets(got, &octets), PGP_OK);
	assert_int_equal(octets.len, want.len);
	assert_memory_equal(octets.data, want.data, want.len);
	pgp_blob_free(&octets, false);
	pgp_blob_free(&want, false);
	pgp_cert_free(got);
	pgp_cert_free(cert);
	assert_int_equal(info_of(t).certificates, 1);
	assert_int_equal(info_of(t).serial, 1);
	assert_int_equal(info_of(t).last_change, NOW);
	assert_true(info_of(t).disk > 10000);
	assert_int_equal(wrong_in(t), 0);
}

/* What is tried is seen while it lasts, and leaves the rest alone. */
static void
trial(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *two = store_cert(2, "Bob <bob@example.org>", NULL);
	struct pgp_added added;

	begin(t);
	assert_int_equal(put(t, one, NOW, &added), KS_NEW);
	assert_int_equal(ks_try(t->ks), KS_OK);
	assert_int_equal(put(t, two, NOW + 1, &added), KS_NEW);
	assert_true(there(t, pgp_cert_fpr(two)));
	assert_int_equal(count_found(t, "bob@example.org"), 1);
	assert_int_equal(info_of(t).certificates, 2);
	assert_int_equal(ks_untry(t->ks), KS_OK);
	assert_false(there(t, pgp_cert_fpr(two)));
	assert_int_equal(count_found(t, "bob@example.org"), 0);
	assert_true(there(t, pgp_cert_fpr(one)));
	assert_int_equal(put(t, one, NOW, &added), KS_UNCHANGED);
	commit(t);
	assert_int_equal(info_of(t).certificates, 1);
	assert_int_equal(info_of(t).serial, 1);
	assert_int_equal(info_of(t).last_change, NOW);
	/* Who gives up gives up both. */
	begin(t);
	assert_int_equal(ks_try(t->ks), KS_OK);
	assert_int_equal(put(t, two, NOW + 1, &added), KS_NEW);
	ks_abort(t->ks);
	store_reopen(t);
	assert_true(there(t, pgp_cert_fpr(one)));
	assert_false(there(t, pgp_cert_fpr(two)));
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(two);
}

static void
merge(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *two = store_cert(1, "Alice Two <a@two.example>", NULL);
	struct pgp_added added;
	struct ks_meta meta;
	struct pgp_cert *got;

	assert_int_equal(pgp_fpr_cmp(pgp_cert_fpr(one), pgp_cert_fpr(two)), 0);
	begin(t);
	assert_int_equal(put(t, one, NOW, &added), KS_NEW);
	commit(t);
	begin(t);
	assert_int_equal(put(t, one, NOW + 5, &added), KS_UNCHANGED);
	assert_false(added.key);
	assert_int_equal(added.userids + added.signatures, 0);
	commit(t);
	assert_int_equal(info_of(t).serial, 1);
	assert_int_equal(info_of(t).last_change, NOW);

	begin(t);
	assert_int_equal(put(t, two, NOW + 9, &added), KS_MERGED);
	assert_false(added.key);
	assert_int_equal(added.userids, 1);
	commit(t);
	assert_int_equal(info_of(t).serial, 2);
	assert_int_equal(info_of(t).certificates, 1);
	assert_int_equal(ks_get(t->ks, pgp_cert_fpr(one), &got, &meta), KS_OK);
	assert_int_equal(got->ncomponents, 3);
	assert_int_equal(meta.serial, 2);
	assert_int_equal(meta.changed, NOW + 9);
	pgp_cert_free(got);
	assert_int_equal(count_found(t, "alice one two"), 1);
	assert_int_equal(count_found(t, "a@two.example"), 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(two);
}

static void
deletion(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice <a@b.c>", NULL);
	struct pgp_cert *two = store_cert(2, "Alice <a@b.c>", NULL);
	struct pgp_added added;

	begin(t);
	assert_int_equal(ks_delete(t->ks, pgp_cert_fpr(one)), KS_NOT_FOUND);
	put(t, one, NOW, &added);
	put(t, two, NOW, &added);
	commit(t);
	assert_int_equal(count_found(t, "alice"), 2);
	begin(t);
	assert_int_equal(ks_delete(t->ks, pgp_cert_fpr(one)), KS_OK);
	commit(t);
	assert_false(there(t, pgp_cert_fpr(one)));
	assert_true(there(t, pgp_cert_fpr(two)));
	assert_int_equal(count_found(t, "alice"), 1);
	assert_int_equal(count_found(t, "a@b.c"), 1);
	assert_int_equal(info_of(t).certificates, 1);
	assert_int_equal(wrong_in(t), 0);
	/* and back again, with a serial of its own */
	begin(t);
	assert_int_equal(put(t, one, NOW, &added), KS_NEW);
	commit(t);
	assert_int_equal(info_of(t).serial, 3);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(two);
}

static void
aborted(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *more = store_cert(1, "Alice More", NULL);
	struct pgp_cert *two = store_cert(2, "Alice Two", NULL);
	struct pgp_added added;

	begin(t);
	put(t, one, NOW, &added);
	commit(t);
	begin(t);
	put(t, two, NOW + 1, &added);
	assert_int_equal(put(t, more, NOW + 1, &added), KS_MERGED);
	assert_int_equal(info_of(t).certificates, 2);
	ks_abort(t->ks);
	ks_abort(t->ks);
	assert_int_equal(info_of(t).certificates, 1);
	assert_int_equal(info_of(t).serial, 1);
	assert_int_equal(info_of(t).last_change, NOW);
	assert_int_equal(count_found(t, "alice"), 1);
	assert_int_equal(count_found(t, "more"), 0);
	assert_int_equal(wrong_in(t), 0);

	begin(t);
	assert_int_equal(ks_delete(t->ks, pgp_cert_fpr(one)), KS_OK);
	ks_abort(t->ks);
	assert_true(there(t, pgp_cert_fpr(one)));
	store_reopen(t);
	assert_int_equal(info_of(t).serial, 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(one);
	pgp_cert_free(more);
	pgp_cert_free(two);
}

/* What failed half way cannot be committed, whatever the caller does. */
static void
failed_write_cannot_be_committed(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct tempstore *t = *state;
	struct pgp_cert *one = store_cert(1, "Alice One", NULL);
	struct pgp_cert *two = store_cert(2, "Bob Two", NULL);
	unsigned char junk[CERT_HEADER + 5] = {KS_SCHEMA};
	const struct pgp_fpr *fpr = pgp_cert_fpr(two);
	unsigned char key[NUMBER_LEN];
	struct pgp_added added;
	enum ks_change change;

	begin(t);
	number_put(key, 7);
	assert_int_equal(
	    pair_add(t->ks, T_FPR, fpr->octet, fpr->len, 7), KS_OK);
	assert_int_equal(
	    table_put(t->ks, T_CERTS, key, sizeof(key), junk, sizeof(junk)),
	    KS_OK);
	commit(t);
	begin(t);
	put(t, one, NOW, &added);
	assert_int_equal(
	    ks_put(t->ks, two, &origin, &change, &added), KS_CORRUPT);
	assert_int_equal(ks_commit(t->ks), KS_CORRUPT);
	assert_false(there(t, pgp_cert_fpr(one)));
	assert_int_equal(info_of(t).certificates, 0);
	assert_int_equal(info_of(t).serial, 0);
	pgp_cert_free(one);
	pgp_cert_free(two);
}

/* In the order of their arrival, whatever goes and comes meanwhile. */
static void
in_order(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert[100];
	struct pgp_fpr fpr;
	struct pgp_added added;
	uint64_t at = 0;

	assert_int_equal(ks_next(t->ks, &at, &fpr), KS_NOT_FOUND);
	begin(t);
	for (unsigned i = 0; i < 100; i++) {
		cert[i] = store_cert(i, "Somebody", NULL);
		put(t, cert[i], NOW, &added);
	}
	commit(t);
	for (unsigned i = 0; i < 100; i++) {
		if (i == 50 || i == 51)
			continue;
		assert_int_equal(ks_next(t->ks, &at, &fpr), KS_OK);
		assert_int_equal(pgp_fpr_cmp(&fpr, pgp_cert_fpr(cert[i])), 0);
		if (i != 49)
			continue;
		begin(t); /* the one it stands at, and the two behind it */
		for (unsigned j = 49; j < 52; j++)
			assert_int_equal(
			    ks_delete(t->ks, pgp_cert_fpr(cert[j])), KS_OK);
		commit(t);
		store_reopen(t);
	}
	assert_int_equal(ks_next(t->ks, &at, &fpr), KS_NOT_FOUND);
	begin(t); /* it is a new one now, and has another number */
	assert_int_equal(put(t, cert[50], NOW, &added), KS_NEW);
	commit(t);
	assert_int_equal(ks_next(t->ks, &at, &fpr), KS_OK);
	assert_int_equal(at, 101);
	assert_int_equal(pgp_fpr_cmp(&fpr, pgp_cert_fpr(cert[50])), 0);
	assert_int_equal(ks_next(t->ks, &at, &fpr), KS_NOT_FOUND);
	assert_int_equal(wrong_in(t), 0);
	for (unsigned i = 0; i < 100; i++)
		pgp_cert_free(cert[i]);
}

/* As many locks and pages as 100 mails of 50 certificates can want. */
static void
large_transaction(void **state)
{
	struct tempstore *t = *state;
	struct pgp_added added;
	char userid[100];

	begin(t);
	for (unsigned i = 0; i < MAX_KEYS; i++) {
		struct pgp_cert *cert;

		(void)snprintf(userid, sizeof(userid),
		    "Person%u Number%u (at work) <p%u@host%u.example.org>", i,
		    i, i, i);
		cert = store_cert(i, userid, NULL);
		put(t, cert, NOW, &added);
		pgp_cert_free(cert);
	}
	commit(t);
	assert_int_equal(info_of(t).certificates, MAX_KEYS);
	assert_int_equal(count_found(t, "example work"), MAX_KEYS);
	assert_int_equal(wrong_in(t), 0);
}

/* ---- ks_verify ----------------------------------------------------------- */

/* How many octets stand behind the last signature's unhashed area: first those
 * that begin the digest. */
static size_t
behind_unhashed(const struct pgp_cert *cert)
{
	const struct pgp_signature *sig =
	    cert->components[cert->ncomponents - 1].sigs[0];
	const unsigned char *p = sig->packet + sig->body;
	size_t at = 6u + (size_t)(p[4] << 8 | p[5]);

	at += 2u + (size_t)(p[at] << 8 | p[at + 1]);
	return sig->len - sig->body - at;
}

static void
verify_sees(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert = store_cert(1, "Alice <a@b.c>", NULL);
	const struct pgp_fpr *fpr = pgp_cert_fpr(cert);
	struct pgp_added added;
	struct pgp_blob value;
	unsigned char serial[8], key[NUMBER_LEN];

	begin(t);
	put(t, cert, NOW, &added);
	commit(t);
	assert_int_equal(wrong_in(t), 0);

	begin(t); /* an entry that is missing */
	assert_int_equal(pair_remove(t->ks, T_WORD, "alice", 5, 1), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* one that nobody has */
	assert_int_equal(pair_add(t->ks, T_EMAIL, "x@y", 3, 1), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* a fingerprint that leads nowhere */
	assert_int_equal(
	    pair_remove(t->ks, T_FPR, fpr->octet, fpr->len, 1), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* a number that was not given yet */
	t->ks->counters.number--;
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* a change that was not logged */
	be64_put(serial, 1);
	assert_int_equal(table_delete(t->ks, T_CHANGE, serial, 8), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t); /* an octet that is another */
	number_put(key, 1);
	assert_int_equal(
	    table_get_blob(t->ks, T_CERTS, key, sizeof(key), &value), KS_OK);
	value.data[value.len - 1] ^= 1;
	assert_int_equal(
	    table_put(t->ks, T_CERTS, key, sizeof(key), value.data, value.len),
	    KS_OK);
	assert_true(wrong_in(t) > 0);
	ks_abort(t->ks);
	begin(t); /* what was written, but not canonical */
	value.data[value.len - 1] ^= 1;
	value.data[value.len - behind_unhashed(cert)] ^= 1;
	assert_int_equal(pgp_sha256(value.data + CERT_HEADER,
			     value.len - CERT_HEADER, value.data + CERT_DIGEST),
	    0);
	assert_int_equal(
	    table_put(t->ks, T_CERTS, key, sizeof(key), value.data, value.len),
	    KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	pgp_blob_free(&value, false);
	begin(t); /* a count that is off */
	t->ks->counters.certificates++;
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(cert);
}

/* ---- opening ------------------------------------------------------------- */

/* Opens the store in a child, which keeps it until `fd` is closed. */
static void
hold_open(struct tempstore *t, int ready, int fd)
{
	const char *error = "";
	char c = 'x';

	if (store_try_open(t, &error) != KS_OK || write(ready, &c, 1) != 1)
		_exit(1);
	(void)!read(fd, &c, 1);
	_exit(ks_close(t->ks) == KS_OK ? 0 : 2);
}

static void
second_open_is_busy(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	int ready[2], hold[2], status;
	char c;
	pid_t pid;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		close(hold[1]);
		hold_open(t, ready[1], hold[0]);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(store_try_open(t, &error), KS_BUSY);
	assert_null(t->ks);
	assert_non_null(strstr(error, "another process"));
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(store_try_open(t, &error), KS_OK);
	close(hold[0]);
	close(ready[0]);
	close(ready[1]);
}

/* Of another schema; closes it. */
static void
write_schema(struct tempstore *t, uint32_t number)
{
	unsigned char schema[4];

	begin(t);
	be32_put(schema, number);
	assert_int_equal(
	    table_put(t->ks, T_META, "schema", 6, schema, 4), KS_OK);
	commit(t);
	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
}

static void
newer_schema_is_refused(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";

	write_schema(t, KS_SCHEMA + 1);
	assert_int_equal(store_try_open(t, &error), KS_TOO_NEW);
	assert_non_null(strstr(error, "newer"));
	assert_null(t->ks);
}

static void
older_schema_is_refused(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";

	write_schema(t, KS_SCHEMA - 1);
	assert_int_equal(store_try_open(t, &error), KS_TOO_OLD);
	assert_non_null(strstr(error, "dump"));
	assert_null(t->ks);
	/* and nothing of it was changed */
	assert_int_equal(store_try_open(t, &error), KS_TOO_OLD);
}

static void
site_stays(void **state)
{
	struct tempstore *t = *state;
	char site[33];

	assert_int_equal(strlen(store_site(t->ks)), 32);
	memcpy(site, store_site(t->ks), sizeof(site));
	store_reopen(t);
	assert_string_equal(store_site(t->ks), site);
}

static void
no_directory_to_make(void **state)
{
	struct ks_options o = store_options();
	struct keystore *ks = NULL;
	const char *error = NULL;

	(void)state;
	assert_int_equal(
	    ks_open("/nonexistent/at/all", &o, &ks, &error), KS_IO);
	assert_non_null(strstr(error, "/nonexistent/at/all: No such file"));
	assert_null(ks);
}

static void
damaged_file(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	char path[320];
	FILE *f;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	store_path(t, path);
	strncat(path, "/word.db", sizeof(path) - strlen(path) - 1);
	assert_non_null(f = fopen(path, "r+"));
	for (int i = 0; i < 4096; i++)
		putc('x', f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(store_try_open(t, &error), KS_CORRUPT);
	assert_non_null(strstr(error, "restore a backup"));
	assert_null(t->ks);
}

/* As a user that the mode of a file holds for; 0: denied, and the file is
 * named. */
static int
open_as_nobody(struct tempstore *t, const char *name)
{
	const char *error = "";
	enum ks_status st;

	if (geteuid() == 0 && setuid(65534) != 0)
		return 1;
	st = store_try_open(t, &error);
	if (st != KS_DENIED || strstr(error, name) == NULL)
		return 2;
	return strstr(error, "Permission denied") == NULL ||
	       strstr(error, "damaged") != NULL;
}

static int
give_away(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return geteuid() == 0 ? chown(path, 65534, (gid_t)-1) : 0;
}

static void
not_ours_to_read_or_write(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {
	    {"certs.db", 0400}, {"log.0000000001", 0000}, {"lock", 0400}};
	struct tempstore *t = *state;
	const char *error = "";
	char path[320];
	int status;
	pid_t pid;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	assert_int_equal(nftw(t->dir, give_away, 16, FTW_PHYS), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		store_path(t, path);
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		strncat(path, files[i].name, sizeof(path) - strlen(path) - 1);
		assert_int_equal(chmod(path, files[i].mode), 0);
		assert_true((pid = fork()) >= 0);
		if (pid == 0)
			_exit(open_as_nobody(t, files[i].name));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) != 0)
			fail_msg("%s: %d", files[i].name, WEXITSTATUS(status));
		assert_int_equal(chmod(path, 0600), 0);
	}
	assert_int_equal(store_try_open(t, &error), KS_OK);
}

#define MB (UINT64_C(1) << 20)

static const struct {
	const char *name;
	uint64_t free_space, total;
	enum ks_room purpose;
	uint64_t need;
} rooms[] = {
    {"large disk, ADD", 256 * MB, 100000 * MB, KS_ROOM_ADD, 256 * MB},
    {"large disk, query", 256 * MB, 100000 * MB, KS_ROOM_QUERY, 64 * MB},
    {"large disk, removal", 256 * MB, 100000 * MB, KS_ROOM_NONE, 0},
    {"small disk, ADD", 256 * MB, 1000 * MB, KS_ROOM_ADD, 100 * MB},
    {"small disk, query", 256 * MB, 1000 * MB, KS_ROOM_QUERY, 25 * MB},
    {"none asked for", 0, 1000 * MB, KS_ROOM_ADD, 0},
};

static void
room_to_begin(void **state)
{
	struct tempstore *t = *state;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++)
		if (room_needed(rooms[i].free_space, rooms[i].total,
			rooms[i].purpose) != rooms[i].need)
			fail_msg("%s", rooms[i].name);
	assert_int_equal(ks_begin(t->ks, KS_ROOM_ADD), KS_OK);
	ks_abort(t->ks);
}

/* ---- crashes ------------------------------------------------------------- */

/* Commits one certificate after the other and reports each, until killed. */
static void
put_for_ever(const char *dir, int report)
{
	const struct ks_origin origin = {.now = NOW};
	struct ks_options o = store_options();
	struct tempstore t;
	const char *error;
	struct pgp_added added;
	enum ks_change change;

	o.sync = true;
	if (ks_open(dir, &o, &t.ks, &error) != KS_OK)
		_exit(1);
	for (unsigned i = 0;; i++) {
		char userid[64];
		struct pgp_cert *cert;

		(void)snprintf(userid, sizeof(userid),
		    "Person %u <p%u@example.org>", i, i);
		cert = store_cert(i, userid, NULL);
		if (ks_begin(t.ks, KS_ROOM_ADD) != KS_OK ||
		    ks_put(t.ks, cert, &origin, &change, &added) != KS_OK ||
		    (i % 2 == 0 ? ks_commit(t.ks) : ks_commit_lazy(t.ks)) !=
			KS_OK)
			_exit(2);
		if (write(report, &i, sizeof(i)) != (ssize_t)sizeof(i))
			_exit(3);
		pgp_cert_free(cert);
	}
}

static unsigned
reported_before_kill(const char *dir, unsigned enough)
{
	unsigned i = 0, n = 0;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		close(fd[0]);
		put_for_ever(dir, fd[1]);
	}
	close(fd[1]);
	while (n < enough && read(fd[0], &i, sizeof(i)) == (ssize_t)sizeof(i))
		n++;
	assert_int_equal(kill(pid, SIGKILL), 0);
	/* what it still said before it died */
	while (read(fd[0], &i, sizeof(i)) == (ssize_t)sizeof(i))
		n++;
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_true(n >= enough);
	return n;
}

static void
killed(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	char path[300];

	store_path(t, path);
	for (unsigned round = 1; round <= 3; round++) {
		unsigned n;

		assert_int_equal(ks_close(t->ks), KS_OK);
		t->ks = NULL;
		n = reported_before_kill(path, 100 * round);
		assert_int_equal(store_try_open(t, &error), KS_OK);
		for (unsigned i = 0; i < n; i++) {
			struct pgp_cert *cert = store_cert(i, "x", NULL);

			assert_true(there(t, pgp_cert_fpr(cert)));
			pgp_cert_free(cert);
		}
		assert_true(info_of(t).certificates >= n);
		assert_int_equal(wrong_in(t), 0);
	}
}

/* Writes, flushes pages and logs to disk, and waits for its end. */
static void
stay_in_a_transaction(
    struct tempstore *t, const struct pgp_cert *cert, int ready)
{
	const struct ks_origin origin = {.now = NOW};
	struct pgp_added added;
	enum ks_change change;
	const char *error = "";

	if (store_try_open(t, &error) != KS_OK ||
	    ks_begin(t->ks, KS_ROOM_ADD) != KS_OK ||
	    ks_put(t->ks, cert, &origin, &change, &added) != KS_OK ||
	    t->ks->env->txn_checkpoint(t->ks->env, 0, 0, DB_FORCE) != 0 ||
	    write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void
killed_in_a_transaction(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert = store_cert(1, "Alice", NULL);
	const char *error = "";
	int ready[2], status;
	pid_t pid;
	char c;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	assert_int_equal(pipe(ready), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0)
		stay_in_a_transaction(t, cert, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(store_try_open(t, &error), KS_OK);
	assert_false(there(t, pgp_cert_fpr(cert)));
	assert_int_equal(info_of(t).certificates, 0);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(cert);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(put_and_get),
	    store_test(trial),
	    store_test(merge),
	    store_test(deletion),
	    store_test(aborted),
	    store_test(failed_write_cannot_be_committed),
	    store_test(in_order),
	    store_test(large_transaction),
	    store_test(verify_sees),
	    store_test(second_open_is_busy),
	    store_test(newer_schema_is_refused),
	    store_test(older_schema_is_refused),
	    store_test(site_stays),
	    cmocka_unit_test(no_directory_to_make),
	    store_test(damaged_file),
	    store_test(not_ours_to_read_or_write),
	    store_test(room_to_begin),
	    store_test(killed),
	    store_test(killed_in_a_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
