/*
 * Backups: a copy made while the store is written to is one state of it.
 */
#include "tests/unit/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BEFORE 600 /* certificates that are stored when it begins */

static void
put(struct tempstore *t, unsigned number)
{
	char id[64];
	struct pgp_cert *cert;

	snprintf(id, sizeof(id), "Number %u <n%u@example.net>", number, number);
	cert = store_cert(number, id, NULL);
	assert_int_equal(tempstore_put(t, cert, NOW + (time_t)number), KS_OK);
	pgp_cert_free(cert);
}

/* Milliseconds of a moment. */
static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
path_in(const struct tempstore *t, const char *name, char path[300])
{
	(void)snprintf(path, 300, "%s/%s", t->dir, name);
}

/* What a store in a directory holds; it must be without a fault. */
static uint64_t
count_in(const char *dir)
{
	struct ks_options o = store_options();
	const char *error = "";
	struct keystore *ks;
	struct ks_info info;
	uint64_t wrong = 1;

	if (ks_open(dir, &o, &ks, &error) != KS_OK)
		fail_msg("%s: %s", dir, error);
	assert_int_equal(ks_verify(ks, &wrong), KS_OK);
	assert_int_equal(wrong, 0);
	assert_int_equal(ks_info(ks, &info), KS_OK);
	assert_int_equal(ks_close(ks), KS_OK);
	return info.certificates;
}

/* Whether old logs are removed. */
static bool
logs_go(DB_ENV *env)
{
	int on = 0;

	assert_int_equal(env->log_get_config(env, DB_LOG_AUTO_REMOVE, &on), 0);
	return on != 0;
}

static int (*copy_table)(DB_ENV *, const char *, const char *, uint32_t);
static bool logs_went; /* while a table was copied */

static int
copy_table_watched(
    DB_ENV *env, const char *name, const char *target, uint32_t flags)
{
	logs_went |= logs_go(env);
	return copy_table(env, name, target, flags);
}

static void
while_written_to(void **state)
{
	struct tempstore *t = *state;
	char path[300], db[300], *error = NULL;
	double worst = 0, began;
	unsigned n = 0;
	uint64_t copied;

	while (n < BEFORE)
		put(t, n++);
	path_in(t, "backup", path);
	copy_table = t->ks->env->dbbackup;
	t->ks->env->dbbackup = copy_table_watched;
	assert_true(logs_go(t->ks->env));
	assert_int_equal(ks_backup_start(t->ks, path), KS_OK);
	do {
		began = now_ms();
		put(t, n++);
		/* Pages go to disk, and into the logs, under its hands. */
		if (n % 50 == 0)
			t->ks->env->txn_checkpoint(t->ks->env, 0, 0, DB_FORCE);
		if (now_ms() - began > worst)
			worst = now_ms() - began;
	} while (!ks_backup_done(t->ks, &error));
	if (error != NULL)
		fail_msg("%s", error);
	print_message("# %u were put meanwhile, the slowest in %.1f ms\n",
	    n - BEFORE, worst);
	/* Which the copy needed. */
	assert_false(logs_went);
	assert_true(logs_go(t->ks->env));
	put(t, n++);
	path_in(t, "backup/db", db);
	copied = count_in(db);
	assert_in_range(copied, BEFORE, n - 1);
	assert_int_equal(wrong_in(t), 0);
	/* It opens a second time, and the lock of the store is still held. */
	assert_int_equal(count_in(db), copied);
	if (fork() == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		char file[300];
		int fd;

		path_in(t, "db/lock", file);
		fd = open(file, O_RDWR);
		_exit(fd != -1 && fcntl(fd, F_GETLK, &lock) == 0 &&
			      lock.l_type == F_WRLCK
			  ? 0
			  : 1);
	} else {
		int status = -1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
}

/* Waits for the end; its error. */
static char *
backup(struct tempstore *t, const char *path)
{
	const struct timespec a_moment = {.tv_nsec = 2000000};
	char *error;

	assert_int_equal(ks_backup_start(t->ks, path), KS_OK);
	while (!ks_backup_done(t->ks, &error))
		nanosleep(&a_moment, NULL);
	return error;
}

/* Of what the store has itself nothing fails. */
static int
sync_fails_on_the_stick(int fd)
{
	char path[64], name[400] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, name, sizeof(name) - 1) == -1 ||
	    strstr(name, "/stick.new/") == NULL)
		return fdatasync(fd);
	errno = EIO;
	return -1;
}

static void
to_a_bad_stick(void **state)
{
	struct tempstore *t = *state;
	char path[300], *error;

	put(t, 0);
	path_in(t, "stick", path);
	sync_file = sync_fails_on_the_stick;
	error = backup(t, path);
	assert_non_null(error);
	assert_non_null(strstr(error, "recovery: "));
	free(error);
	put(t, 1);
	sync_file = fdatasync;
	assert_int_equal(ks_closed(t->ks, NULL), KS_OK);
}

static void
places(void **state)
{
	struct tempstore *t = *state;
	char path[300], inner[320], *error;
	struct stat st;

	put(t, 1);
	path_in(t, "none/backup", path);
	error = backup(t, path);
	assert_non_null(error);
	assert_non_null(strstr(error, "cannot make"));
	free(error);
	/* What one that was killed has left does not matter. */
	path_in(t, "b", path);
	path_in(t, "b.new", inner);
	assert_int_equal(mkdir(inner, 0700), 0);
	path_in(t, "b.new/db", inner);
	assert_int_equal(mkdir(inner, 0700), 0);
	path_in(t, "b.new/db/certs.db", inner);
	assert_int_equal(close(open(inner, O_CREAT | O_WRONLY, 0600)), 0);
	assert_null(backup(t, path));
	path_in(t, "b/db", inner);
	assert_int_equal(count_in(inner), 1);
	path_in(t, "b.new", inner);
	assert_int_equal(lstat(inner, &st), -1);
	/* Nothing is written over. */
	error = backup(t, path);
	assert_non_null(error);
	assert_non_null(strstr(error, "is there already"));
	free(error);
}

static double deadline; /* ms */

/* The same table again and again, until it is told to end. */
static int
copy_without_end(
    DB_ENV *env, const char *name, const char *target, uint32_t flags)
{
	char path[400];
	int ret;

	(void)snprintf(path, sizeof(path), "%s/%s", target, name);
	do {
		unlink(path);
		ret = copy_table(env, name, target, flags);
	} while (ret == 0 && now_ms() < deadline);
	return ret;
}

static void
endless(struct tempstore *t)
{
	deadline = now_ms() + 20000;
	copy_table = t->ks->env->dbbackup;
	t->ks->env->dbbackup = copy_without_end;
}

static void
assert_nothing_at(const struct tempstore *t, const char *name)
{
	char path[300];
	struct stat st;

	path_in(t, name, path);
	assert_int_equal(lstat(path, &st), -1);
}

/* The store is closed while one is under way, which is not waited for. */
static void
closed(void **state)
{
	struct tempstore *t = *state;
	char path[300];

	put(t, 1);
	endless(t);
	path_in(t, "c", path);
	assert_int_equal(ks_backup_start(t->ks, path), KS_OK);
	assert_int_equal(ks_backup_start(t->ks, path), KS_BUSY);
	store_reopen(t);
	assert_nothing_at(t, "c");
	assert_nothing_at(t, "c.new");
}

static void
mend(struct tempstore *t)
{
	atomic_store(&t->ks->panicked, true);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	assert_int_equal(ks_mend(t->ks), KS_OK);
}

/* It is opened again meanwhile: that is no good end. */
static void
mended(void **state)
{
	struct tempstore *t = *state;
	char path[300], *error;

	put(t, 1);
	endless(t);
	path_in(t, "m", path);
	assert_int_equal(ks_backup_start(t->ks, path), KS_OK);
	mend(t);
	assert_true(ks_backup_done(t->ks, &error));
	assert_non_null(error);
	assert_string_equal(error, "the store was closed meanwhile");
	free(error);
	assert_nothing_at(t, "m.new");
	assert_null(backup(t, path));
}

static struct keystore *opened;
static atomic_bool syncing;

/* The first waits until the store is to be closed. */
static int
late_sync(int fd)
{
	sync_file = fdatasync;
	deadline = now_ms() + 20000;
	atomic_store(&syncing, true);
	while (!atomic_load(&opened->closing) && now_ms() < deadline)
		usleep(1000);
	return fdatasync(fd);
}

/* What is looked at is a copy that was made before. */
static void
verify_mended(void **state)
{
	struct tempstore *t = *state;
	uint64_t wrong;
	char *error;

	put(t, 1);
	assert_int_equal(t->ks->env->log_flush(t->ks->env, NULL), 0);
	opened = t->ks;
	atomic_store(&syncing, false);
	sync_file = late_sync;
	assert_int_equal(ks_verify_start(t->ks), KS_OK);
	while (!atomic_load(&syncing))
		usleep(1000);
	mend(t);
	assert_true(ks_verify_done(t->ks, &wrong, &error));
	assert_non_null(error);
	assert_string_equal(error, "the store was closed meanwhile");
	free(error);
	assert_nothing_at(t, "verify.new");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(while_written_to),
	    store_test(places),
	    store_test(to_a_bad_stick),
	    store_test(closed),
	    store_test(mended),
	    store_test(verify_mended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
