/*
 * Where a store lies: read-only and full file systems, small ones in a mount
 * namespace of this process, and an environment that Berkeley DB gives up.
 */
#include "tests/unit/mounts.h"
#include "tests/unit/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* A store of one certificate on a file system of 24 MB, closed. */
static int
small_setup(void **state)
{
	struct tempstore *t = calloc(1, sizeof(*t));

	*state = t;
	if (t == NULL || !mounts)
		return t == NULL ? -1 : 0;
	snprintf(t->dir, sizeof(t->dir), "/tmp/mailkeyd-test.XXXXXX");
	return mkdtemp(t->dir) != NULL && mount("none", t->dir, "tmpfs", 0,
					      "size=24m,mode=700") == 0
		   ? 0
		   : -1;
}

static int
small_teardown(void **state)
{
	struct tempstore *t = *state;

	ks_close(t->ks);
	if (mounts) {
		umount2(t->dir, MNT_DETACH);
		rmdir(t->dir);
	}
	free(t);
	return 0;
}

#define small_test(name)                                                       \
	cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)

static void
fill_store(struct tempstore *t, struct pgp_fpr *fpr)
{
	struct pgp_cert *cert = store_cert(1, "Ann <ann@example.org>", NULL);
	const char *error = "";

	if (store_try_open(t, &error) != KS_OK)
		fail_msg("ks_open: %s", error);
	assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
	*fpr = *pgp_cert_fpr(cert);
	pgp_cert_free(cert);
	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
}

static void
remount(const struct tempstore *t, unsigned long flags)
{
	assert_int_equal(
	    mount(NULL, t->dir, NULL, MS_REMOUNT | flags, NULL), 0);
}

static enum ks_status
open_later(struct tempstore *t)
{
	struct ks_options o = store_options();
	const char *error = "";
	char path[300];

	store_path(t, path);
	return ks_open_later(path, &o, &t->ks, &error);
}

static void
assert_closed(struct keystore *ks, const struct pgp_fpr *fpr, enum ks_status st)
{
	struct pgp_blob blob = {0};
	struct ks_found found;
	struct ks_query query;
	struct ks_info info;
	const char *why;
	uint64_t wrong;

	assert_int_equal(ks_closed(ks, &why), st);
	assert_string_not_equal(why, "");
	assert_int_equal(ks_begin(ks, KS_ROOM_NONE), st);
	assert_int_equal(store_octets(ks, fpr, &blob), st);
	assert_int_equal(
	    ks_query_parse("ann@example.org", &query, &why), KS_OK);
	assert_int_equal(ks_find(ks, &query, 10, &found), st);
	ks_query_free(&query);
	assert_int_equal(ks_verify(ks, &wrong), st);
	assert_int_equal(ks_backup_start(ks, "/nowhere/at/all"), st);
	assert_int_equal(ks_verify_start(ks), st);
	assert_int_equal(ks_info(ks, &info), KS_OK);
	assert_int_equal(ks_mend(ks), st);
}

static void
assert_open(struct tempstore *t, const struct pgp_fpr *fpr)
{
	struct pgp_blob blob = {0};

	assert_int_equal(ks_mend(t->ks), KS_OK);
	assert_int_equal(ks_closed(t->ks, NULL), KS_OK);
	assert_int_equal(store_octets(t->ks, fpr, &blob), KS_OK);
	pgp_blob_free(&blob, false);
	assert_int_equal(wrong_in(t), 0);
	begin(t);
	commit(t);
}

static void
read_only(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	struct pgp_fpr fpr;

	if (!mounts)
		skip();
	fill_store(t, &fpr);
	remount(t, MS_RDONLY);
	assert_int_equal(store_try_open(t, &error), KS_READ_ONLY);
	assert_non_null(strstr(error, "mount it for writing"));
	assert_null(t->ks);
	assert_int_equal(open_later(t), KS_OK);
	assert_closed(t->ks, &fpr, KS_READ_ONLY);
	remount(t, 0);
	assert_open(t, &fpr);
}

/* Nothing is there yet, and nothing can be made. */
static void
read_only_and_new(void **state)
{
	struct tempstore *t = *state;
	struct pgp_fpr fpr = {.len = 20};

	if (!mounts)
		skip();
	remount(t, MS_RDONLY);
	assert_int_equal(open_later(t), KS_OK);
	assert_closed(t->ks, &fpr, KS_READ_ONLY);
	remount(t, 0);
	assert_int_equal(ks_mend(t->ks), KS_OK);
	assert_int_equal(wrong_in(t), 0);
}

/* Whoever has it can be seen where it may only be read, too. */
static void
read_only_and_locked(void **state)
{
	struct tempstore *t = *state, other = *t;
	const char *error = "";
	struct pgp_fpr fpr;
	int pair[2], status;
	char octet;
	pid_t pid;

	if (!mounts)
		skip();
	fill_store(t, &fpr);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (store_try_open(t, &error) == KS_OK &&
		    write(pair[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pair[0], &octet, 1), 1);
	snprintf(other.dir, sizeof(other.dir), "/tmp/mailkeyd-test.XXXXXX");
	assert_non_null(mkdtemp(other.dir));
	assert_int_equal(mount(t->dir, other.dir, NULL, MS_BIND, NULL), 0);
	remount(&other, MS_BIND | MS_RDONLY);
	assert_int_equal(store_try_open(&other, &error), KS_BUSY);
	assert_int_equal(open_later(&other), KS_BUSY);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_int_equal(store_try_open(&other, &error), KS_READ_ONLY);
	umount2(other.dir, MNT_DETACH);
	rmdir(other.dir);
	close(pair[0]);
	close(pair[1]);
}

/* Takes all the room there is, but that. */
static void
fill_disk(const struct tempstore *t, const char *name, off_t less)
{
	char path[300], block[4096] = {0};
	off_t size = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		size += (off_t)sizeof(block);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(ftruncate(fd, size - less), 0);
	close(fd);
}

/* Recovery finds no room; there is little, then enough. */
static void
full(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	struct pgp_fpr fpr;
	char path[300];

	if (!mounts)
		skip();
	fill_store(t, &fpr);
	fill_disk(t, "ballast", 0);
	assert_int_equal(store_try_open(t, &error), KS_FULL);
	assert_non_null(strstr(error, "is full"));
	assert_int_equal(open_later(t), KS_OK);
	assert_closed(t->ks, &fpr, KS_FULL);
	snprintf(path, sizeof(path), "%s/ballast", t->dir);
	assert_int_equal(unlink(path), 0);
	assert_open(t, &fpr);
}

/* A transaction meets the full disk: it is undone, and the next one works. */
static void
full_in_the_middle(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct tempstore *t = *state;
	struct pgp_added added;
	enum ks_change change;
	enum ks_status st = KS_OK;
	struct pgp_fpr fpr;
	char path[300];
	unsigned n = 2;

	if (!mounts)
		skip();
	fill_store(t, &fpr);
	assert_int_equal(open_later(t), KS_OK);
	fill_disk(t, "ballast", 1 << 16);
	while (st == KS_OK && n < 5000) {
		struct pgp_cert *cert = store_cert(n++, "Bob <b@c.de>", NULL);

		begin(t);
		st = ks_put(t->ks, cert, &origin, &change, &added);
		if (st == KS_OK)
			st = ks_commit(t->ks);
		else
			ks_abort(t->ks);
		pgp_cert_free(cert);
	}
	assert_int_equal(st, KS_FULL);
	snprintf(path, sizeof(path), "%s/ballast", t->dir);
	assert_int_equal(unlink(path), 0);
	assert_open(t, &fpr);
}

/* The next log file cannot be opened: what was committed before is there, and
 * it goes on when it can. */
static void
no_descriptor(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct tempstore *t = *state;
	struct rlimit before, none;
	enum ks_status st = KS_OK;
	struct pgp_added added;
	struct pgp_fpr last = {0};
	enum ks_change change;
	unsigned n = 1;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (st == KS_OK && n < 20000) {
		struct pgp_cert *cert = store_cert(n++, "Bob <b@c.de>", NULL);

		st = ks_begin(t->ks, KS_ROOM_ADD);
		if (st == KS_OK)
			st = ks_put(t->ks, cert, &origin, &change, &added);
		if (st == KS_OK)
			st = ks_commit(t->ks);
		else
			ks_abort(t->ks);
		if (st == KS_OK)
			last = *pgp_cert_fpr(cert);
		pgp_cert_free(cert);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	print_message("# %s after %u\n", ks_strerror(st), n);
	assert_int_not_equal(st, KS_OK);
	assert_int_not_equal(last.len, 0);
	assert_open(t, &last);
}

/* What Berkeley DB gives up is opened anew. */
static void
given_up(void **state)
{
	struct pgp_cert *cert = store_cert(1, "Ann <ann@example.org>", NULL);
	struct tempstore *t = *state;
	DB_ENV *env = t->ks->env;
	struct pgp_fpr fpr = *pgp_cert_fpr(cert);

	assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
	pgp_cert_free(cert);
	assert_int_equal(env->set_flags(env, DB_PANIC_ENVIRONMENT, 1), 0);
	assert_int_not_equal(ks_begin(t->ks, KS_ROOM_NONE), KS_OK);
	assert_int_not_equal(ks_closed(t->ks, NULL), KS_OK);
	assert_open(t, &fpr);
}

/* A copy is looked at, and nothing of it stays. */
static void
verified_beside(void **state)
{
	struct pgp_cert *cert = store_cert(1, "Ann <ann@example.org>", NULL);
	struct tempstore *t = *state;
	uint64_t wrong = 7;
	char path[300], *error;

	assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ks_verify_start(t->ks), KS_OK);
		assert_int_equal(ks_verify_start(t->ks), KS_BUSY);
		while (!ks_verify_done(t->ks, &wrong, &error))
			usleep(1000);
		assert_null(error);
		assert_int_equal(wrong, i);
		snprintf(path, sizeof(path), "%s/verify.new", t->dir);
		assert_int_equal(access(path, F_OK), -1);
		/* An address that leads nowhere. */
		begin(t);
		assert_int_equal(pair_add(t->ks, T_EMAIL, "x@y", 3, 1), KS_OK);
		commit(t);
	}
	pgp_cert_free(cert);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    small_test(read_only),
	    small_test(read_only_and_new),
	    small_test(read_only_and_locked),
	    small_test(full),
	    small_test(full_in_the_middle),
	    store_test(no_descriptor),
	    store_test(given_up),
	    store_test(verified_beside),
	};

	return cmocka_run_group_tests(tests, mounts_setup, NULL);
}
