/* Loading an empty store past the transactions, and dying on the way. */
#include "db/bulk.h"
#include "tests/unit/store.h"

#include <sys/wait.h>

#include <fcntl.h>
#include <unistd.h>

#define KEYS   300
#define AGAIN  120	   /* that come twice: in two transactions */
#define MEMORY (64u << 10) /* so that it goes to the disk */
#define DIED   77

static const struct ks_origin origin = {.now = NOW, .quiet = true};

static struct pgp_cert *
cert_of(unsigned i)
{
	char one[64], two[64];

	snprintf(one, sizeof(one), "Name%u Common <n%u@example.org>", i, i);
	snprintf(two, sizeof(two), "Other%u <n%u@example.org>", i % 7, i);
	return store_cert(i + 1, one, two);
}

/* The same key with another user ID. */
static struct pgp_cert *
again_of(unsigned i)
{
	char text[64];

	snprintf(text, sizeof(text), "Again%u <a%u@example.org>", i, i);
	return store_cert(i + 1, text, NULL);
}

/* What is written depends on nothing but the certificates. */
static struct ks_bulk *
load(struct tempstore *t, unsigned keys, unsigned again)
{
	struct ks_bulk *bulk;

	assert_int_equal(ks_bulk_begin(t->ks, MEMORY, &origin, &bulk), KS_OK);
	for (unsigned i = 0; i < keys; i++) {
		struct pgp_cert *cert = cert_of(i);

		assert_int_equal(ks_bulk_put(bulk, cert), KS_OK);
		pgp_cert_free(cert);
	}
	for (unsigned i = 0; i < again; i++) {
		struct pgp_cert *cert = again_of(i);

		assert_int_equal(ks_bulk_put(bulk, cert), KS_OK);
		pgp_cert_free(cert);
	}
	return bulk;
}

/* `changes`: of those that were there, since. */
static uint64_t
certificates(struct tempstore *t, uint64_t changes)
{
	struct ks_info info;
	uint64_t wrong;

	assert_int_equal(ks_verify(t->ks, &wrong), KS_OK);
	assert_int_equal(wrong, 0);
	assert_int_equal(ks_info(t->ks, &info), KS_OK);
	if (info.certificates > 0)
		assert_int_equal(info.serial, info.certificates + changes);
	return info.certificates;
}

static bool
has_bulk(const struct tempstore *t)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/db/bulk", t->dir);
	return access(path, F_OK) == 0;
}

/* A store of the same certificates, put by themselves. */
static void
put_all(struct tempstore *t, unsigned keys, unsigned again)
{
	assert_int_equal(tempstore_open(t), 0);
	for (unsigned i = 0; i < keys + again; i++) {
		struct pgp_cert *cert =
		    i < keys ? cert_of(i) : again_of(i - keys);

		assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
		pgp_cert_free(cert);
	}
}

/* All of a store that others see: certificates in order, and what finds them.
 */
static void
same_stores(const struct tempstore *t, const struct tempstore *other)
{
	struct pgp_fpr a, b;
	uint64_t at = 0, bt = 0;
	enum ks_status st;

	while ((st = ks_next(other->ks, &at, &a)) == KS_OK) {
		struct pgp_blob x, y;

		assert_int_equal(ks_next(t->ks, &bt, &b), KS_OK);
		assert_int_equal(fpr_order(&a, &b), 0);
		assert_int_equal(store_octets(other->ks, &a, &x), KS_OK);
		assert_int_equal(store_octets(t->ks, &b, &y), KS_OK);
		assert_int_equal(x.len, y.len);
		assert_memory_equal(x.data, y.data, x.len);
		pgp_blob_free(&x, false);
		pgp_blob_free(&y, false);
	}
	assert_int_equal(st, KS_NOT_FOUND);
	assert_int_equal(ks_next(t->ks, &bt, &b), KS_NOT_FOUND);
	for (enum table table = T_CERTS; table <= T_CHANGE; table++) {
		uint64_t x, y;

		assert_int_equal(table_count(other->ks, table, &x), KS_OK);
		assert_int_equal(table_count(t->ks, table, &y), KS_OK);
		assert_int_equal(x, y);
	}
}

static void
test_load(void **state)
{
	struct tempstore *t = *state;
	struct ks_bulk_counts counts;
	struct ks_bulk *bulk = load(t, KEYS, 0);
	struct tempstore other = {0};
	struct pgp_cert *cert;

	assert_int_equal(ks_bulk_finish(bulk, &counts), KS_OK);
	assert_int_equal(counts.added, KEYS);
	assert_false(has_bulk(t));
	assert_int_equal(certificates(t, 0), KEYS);
	put_all(&other, KEYS, 0);
	same_stores(t, &other);
	assert_int_equal(tempstore_close(&other), 0);
	store_reopen(t);
	assert_int_equal(certificates(t, 0), KEYS);
	/* It goes on as any store. */
	cert = cert_of(KEYS);
	assert_int_equal(tempstore_put(t, cert, NOW + 1), KS_OK);
	pgp_cert_free(cert);
	store_reopen(t);
	assert_int_equal(certificates(t, 0), KEYS + 1);
	/* And no load goes into it any more. */
	assert_int_equal(ks_bulk_begin(t->ks, MEMORY, &origin, &bulk), KS_BUSY);
	assert_false(has_bulk(t));
}

static void
test_nothing(void **state)
{
	struct tempstore *t = *state;
	struct ks_bulk_counts counts;
	struct ks_bulk *bulk = load(t, 0, 0);

	assert_int_equal(ks_bulk_finish(bulk, &counts), KS_OK);
	assert_int_equal(counts.added, 0);
	assert_int_equal(certificates(t, 0), 0);
	bulk = load(t, 3, 0);
	ks_bulk_drop(bulk);
	assert_false(has_bulk(t));
	assert_int_equal(certificates(t, 0), 0);
	ks_bulk_drop(NULL);
}

/* What comes a second time is merged as it would be by itself. */
static void
test_again(void **state)
{
	struct tempstore *t = *state;
	struct ks_bulk_counts counts;
	struct ks_bulk *bulk = load(t, KEYS, 0);
	struct pgp_cert *same = cert_of(5);
	struct pgp_cert *more = store_cert(8, "Another <x@y.example>", NULL);
	struct pgp_cert *got;
	struct ks_info info;
	uint64_t wrong;

	assert_int_equal(ks_bulk_put(bulk, same), KS_OK);
	assert_int_equal(ks_bulk_put(bulk, more), KS_OK);
	assert_int_equal(ks_bulk_finish(bulk, &counts), KS_OK);
	assert_int_equal(counts.added, KEYS);
	assert_int_equal(counts.changed, 1);
	assert_int_equal(counts.unchanged, 1);
	assert_int_equal(ks_verify(t->ks, &wrong), KS_OK);
	assert_int_equal(wrong, 0);
	assert_int_equal(ks_info(t->ks, &info), KS_OK);
	assert_int_equal(info.certificates, KEYS);
	assert_int_equal(ks_get(t->ks, pgp_cert_fpr(more), &got, NULL), KS_OK);
	assert_int_equal(got->ncomponents, 4);
	pgp_cert_free(got);
	pgp_cert_free(same);
	pgp_cert_free(more);
}

/* ---- dying --------------------------------------------------------------- */

static int countdown;

static void
die(const char *point)
{
	(void)point;
	if (countdown-- == 0)
		_exit(DIED);
}

/* A load that dies at its n-th point, in a process of its own, on a store that
 * is closed here.  Whether it died. */
static bool
load_and_die(struct tempstore *t, int n)
{
	pid_t pid = fork();
	int status;

	assert_true(pid != -1);
	if (pid == 0) {
		struct ks_bulk_counts counts;
		struct ks_bulk *bulk;
		const char *error;

		if (store_try_open(t, &error) != KS_OK)
			_exit(1);
		bulk = load(t, KEYS, AGAIN);
		if (n == 0)
			_exit(DIED);
		countdown = n - 1;
		bulk_fault = die;
		_exit(ks_bulk_finish(bulk, &counts) == KS_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
	return WEXITSTATUS(status) == DIED;
}

static void
test_dying(void **state)
{
	struct tempstore other = {0};
	unsigned empty = 0, whole = 0;
	bool died = true;

	(void)state;
	put_all(&other, KEYS, AGAIN);
	for (int n = 0; died; n++) {
		struct tempstore one = {0};
		const char *error;
		uint64_t found;

		assert_int_equal(tempstore_open(&one), 0);
		assert_int_equal(ks_close(one.ks), KS_OK);
		died = load_and_die(&one, n);
		assert_int_equal(store_try_open(&one, &error), KS_OK);
		found = certificates(&one, AGAIN);
		assert_true(found == 0 || found == KEYS);
		assert_false(has_bulk(&one));
		empty += found == 0;
		whole += found == KEYS;
		if (found == KEYS)
			same_stores(&one, &other);
		else {
			struct ks_bulk_counts counts;

			assert_int_equal(
			    ks_bulk_finish(load(&one, 9, 0), &counts), KS_OK);
			assert_int_equal(certificates(&one, 0), 9);
		}
		assert_int_equal(tempstore_close(&one), 0);
	}
	assert_int_equal(tempstore_close(&other), 0);
	/* before: nothing, checked, written; after: ready, down, six moves, two
	 * transactions, settled, and once without */
	assert_int_equal(empty, 3);
	assert_int_equal(whole, 12);
}

/* What another version has begun it shall end. */
static void
test_other_version(void **state)
{
	static const struct {
		uint64_t schema;
		enum ks_status status;
	} cases[] = {{KS_SCHEMA + 1, KS_TOO_NEW}, {KS_SCHEMA - 1, KS_TOO_OLD},
	    {KS_SCHEMA, KS_OK}};
	struct tempstore *t = *state;
	unsigned char schema[8];
	char path[320];
	int fd;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	assert_true(load_and_die(t, 3));
	snprintf(path, sizeof(path), "%s/db/bulk/ready", t->dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *error;

		be64_put(schema, cases[i].schema);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_int_not_equal(fd, -1);
		assert_int_equal(write(fd, schema, 8), 8);
		close(fd);
		assert_int_equal(store_try_open(t, &error), cases[i].status);
	}
	assert_int_equal(certificates(t, AGAIN), KEYS);
}

/* A mark that is cut says nothing, and what came again is not believed when it
 * is another. */
static void
test_damaged(void **state)
{
	struct tempstore *t = *state;
	const char *error;
	char path[320];
	FILE *f;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	assert_true(load_and_die(t, 3));
	snprintf(path, sizeof(path), "%s/db/bulk/again", t->dir);
	assert_non_null(f = fopen(path, "r+"));
	assert_int_equal(fseek(f, -1, SEEK_END), 0);
	assert_int_equal(putc('x', f), 'x');
	assert_int_equal(fclose(f), 0);
	assert_int_equal(store_try_open(t, &error), KS_CORRUPT);
	snprintf(path, sizeof(path), "%s/db/bulk/ready", t->dir);
	assert_int_equal(truncate(path, 9), 0);
	assert_int_equal(store_try_open(t, &error), KS_CORRUPT);
}

/* While a load is under way nobody else opens the store. */
static void
test_locked(void **state)
{
	struct tempstore *t = *state;
	struct ks_bulk *bulk = load(t, 10, 0);
	struct ks_bulk_counts counts;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct tempstore other = *t;
		const char *error;

		other.ks = NULL;
		_exit(store_try_open(&other, &error) == KS_BUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(ks_bulk_finish(bulk, &counts), KS_OK);
	assert_int_equal(certificates(t, 0), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(test_load),
	    store_test(test_nothing),
	    store_test(test_again),
	    store_test(test_dying),
	    store_test(test_other_version),
	    store_test(test_damaged),
	    store_test(test_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
