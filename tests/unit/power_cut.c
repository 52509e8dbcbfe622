/*
 * The disk fails to take what a file has, once, and some time later the power
 * goes: what was acknowledged is there.
 *
 * Linux forgets what it could not write: what it shows of the file is new,
 * what the disk has is old, and the next sync finds nothing to do.
 */
#include "tests/unit/store.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BLOCK  4096
#define BEFORE 40 /* certificates before it fails, in two halves */
#define AFTER  10

/* ---- a disk -------------------------------------------------------------- */

/* Beside each file, by its inode: what the disk has of it, and what Linux
 * takes the disk to have. */
static char disk_dir[300];
static pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
static ino_t failing; /* the next sync of this file; 0: none */

static int
beside(ino_t ino, const char *what)
{
	char path[400];
	int fd;

	(void)snprintf(
	    path, sizeof(path), "%s/%ju.%s", disk_dir, (uintmax_t)ino, what);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1)
		abort();
	return fd;
}

/* Zeros where there is nothing. */
static void
block_read(int fd, off_t at, char block[BLOCK])
{
	memset(block, 0, BLOCK);
	if (pread(fd, block, BLOCK, at) == -1)
		abort();
}

static void
block_write(int fd, off_t at, off_t end, const char block[BLOCK])
{
	size_t len = end - at < BLOCK ? (size_t)(end - at) : BLOCK;

	if (pwrite(fd, block, len, at) != (ssize_t)len)
		abort();
}

/* What was written since the last time goes to the disk, or is lost. */
static void
write_back(int fd, const struct stat *st, bool fails)
{
	int disk = beside(st->st_ino, "disk"),
	    known = beside(st->st_ino, "known");
	char now[BLOCK], then[BLOCK];

	for (off_t at = 0; at < st->st_size; at += BLOCK) {
		block_read(fd, at, now);
		block_read(known, at, then);
		if (memcmp(now, then, BLOCK) == 0)
			continue;
		block_write(known, at, st->st_size, now);
		if (!fails)
			block_write(disk, at, st->st_size, now);
	}
	if (ftruncate(known, st->st_size) == -1 ||
	    ftruncate(disk, st->st_size) == -1)
		abort();
	close(known);
	close(disk);
}

static int
disk_sync(int fd)
{
	struct stat st;
	bool fails;

	pthread_mutex_lock(&disk_mutex);
	if (fstat(fd, &st) == -1)
		abort();
	fails = failing != 0 && st.st_ino == failing;
	write_back(fd, &st, fails);
	if (fails)
		failing = 0;
	pthread_mutex_unlock(&disk_mutex);
	errno = EIO;
	return fails ? -1 : 0;
}

/* What Linux need not write it reads again. */
static int
disk_drop(int fd)
{
	char now[BLOCK], then[BLOCK];
	struct stat st;
	int disk, known;

	if (fstat(fd, &st) == -1)
		abort();
	disk = beside(st.st_ino, "disk");
	known = beside(st.st_ino, "known");
	for (off_t at = 0; at < st.st_size; at += BLOCK) {
		block_read(fd, at, now);
		block_read(known, at, then);
		if (memcmp(now, then, BLOCK) != 0)
			continue;
		block_read(disk, at, then);
		block_write(fd, at, st.st_size, then);
		block_write(known, at, st.st_size, then);
	}
	close(disk);
	close(known);
	return 0;
}

static void
copy_file(int from, int to)
{
	char block[BLOCK];
	ssize_t n;

	while ((n = read(from, block, BLOCK)) > 0)
		assert_int_equal(write(to, block, (size_t)n), n);
	close(from);
	close(to);
}

static bool
is_table_or_log(const char *name)
{
	return strstr(name, ".db") != NULL || strncmp(name, "log.", 4) == 0;
}

/* Puts what the disk has into a new directory. */
static void
disk_after(const struct tempstore *t, const char *to)
{
	struct stat st;
	struct dirent *d;
	char path[700];
	DIR *dir;

	store_path(t, path);
	assert_int_equal(mkdir(to, 0700), 0);
	assert_non_null(dir = opendir(path));
	pthread_mutex_lock(&disk_mutex);
	while ((d = readdir(dir)) != NULL) {
		if (!is_table_or_log(d->d_name))
			continue;
		assert_int_equal(fstatat(dirfd(dir), d->d_name, &st, 0), 0);
		snprintf(path, sizeof(path), "%s/%s", to, d->d_name);
		copy_file(beside(st.st_ino, "disk"),
		    open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	}
	pthread_mutex_unlock(&disk_mutex);
	closedir(dir);
}

/* ---- a store on it ------------------------------------------------------- */

static void
open_on_disk(struct tempstore *t)
{
	const char *error = "";

	if (store_try_open(t, &error) != KS_OK)
		fail_msg("ks_open: %s", error);
	t->ks->options.sync = true;
}

static int
disk_setup(void **state)
{
	struct tempstore *t;
	char path[300];

	if (store_setup(state) != 0)
		return -1;
	t = *state;
	if (ks_close(t->ks) != KS_OK)
		return -1;
	t->ks = NULL;
	store_path(t, path);
	nftw(path, tempstore_unlink, 16, FTW_DEPTH | FTW_PHYS);
	(void)snprintf(disk_dir, sizeof(disk_dir), "%s/disk", t->dir);
	if (mkdir(disk_dir, 0700) == -1)
		return -1;
	failing = 0;
	sync_file = disk_sync;
	drop_file = disk_drop;
	open_on_disk(t);
	return 0;
}

static int
disk_teardown(void **state)
{
	sync_file = fdatasync;
	return store_teardown(state);
}

#define disk_test(name)                                                        \
	cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

static enum ks_status
try_put(struct tempstore *t, unsigned n)
{
	char text[64];
	struct pgp_cert *cert;
	enum ks_status st;

	snprintf(text, sizeof(text), "Name%u <n%u@example.org>", n, n);
	cert = store_cert(n + 1, text, NULL);
	st = tempstore_put(t, cert, NOW);
	pgp_cert_free(cert);
	return st;
}

static void
put(struct tempstore *t, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++)
		assert_int_equal(try_put(t, n), KS_OK);
}

static int
checkpoint(struct tempstore *t)
{
	return t->ks->env->txn_checkpoint(t->ks->env, 0, 0, DB_FORCE);
}

static void
fail_next(const struct tempstore *t, const char *name)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/db/%s", t->dir, name);
	assert_int_equal(stat(path, &st), 0);
	pthread_mutex_lock(&disk_mutex);
	failing = st.st_ino;
	pthread_mutex_unlock(&disk_mutex);
}

/* The sync of a table fails within a checkpoint, and a second later there is
 * another. */
static void
lose(struct tempstore *t, const char *name)
{
	put(t, 0, BEFORE / 2);
	assert_int_equal(checkpoint(t), 0);
	put(t, BEFORE / 2, BEFORE);
	fail_next(t, name);
	assert_int_not_equal(checkpoint(t), 0);
	assert_int_equal(failing, 0);
	assert_int_not_equal(checkpoint(t), 0);
}

static void
goes_on(struct tempstore *t)
{
	put(t, BEFORE, BEFORE + AFTER);
	assert_int_equal(checkpoint(t), 0);
}

/* The first n certificates are there after it, and all agrees. */
static void
power_cut(struct tempstore *t, unsigned n)
{
	struct ks_options o = store_options();
	const char *error = "";
	struct keystore *ks;
	uint64_t wrong = 1;
	char path[400];

	snprintf(path, sizeof(path), "%s/after", t->dir);
	disk_after(t, path);
	(void)ks_close(t->ks);
	t->ks = NULL;
	sync_file = fdatasync;
	if (ks_open(path, &o, &ks, &error) != KS_OK)
		fail_msg("after the power cut: %s", error);
	for (unsigned i = 0; i < n; i++) {
		struct pgp_cert *cert = store_cert(i + 1, NULL, NULL);
		struct pgp_cert *found = NULL;

		if (ks_get(ks, pgp_cert_fpr(cert), &found, NULL) != KS_OK)
			fail_msg("certificate %u is lost", i);
		pgp_cert_free(found);
		pgp_cert_free(cert);
	}
	assert_int_equal(ks_verify(ks, &wrong), KS_OK);
	assert_int_equal(wrong, 0);
	assert_int_equal(ks_close(ks), KS_OK);
}

/* ---- the tests ----------------------------------------------------------- */

static void
nothing_fails(void **state)
{
	struct tempstore *t = *state;

	put(t, 0, BEFORE / 2);
	assert_int_equal(checkpoint(t), 0);
	put(t, BEFORE / 2, BEFORE);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

static void
at_once(void **state)
{
	struct tempstore *t = *state;

	lose(t, "certs.db");
	power_cut(t, BEFORE);
}

static void
mended(struct tempstore *t, const char *name)
{
	lose(t, name);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	assert_int_equal(ks_mend(t->ks), KS_OK);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

static void
mended_certs(void **state)
{
	mended(*state, "certs.db");
}

static void
mended_index(void **state)
{
	mended(*state, "word.db");
}

static void
mended_meta(void **state)
{
	mended(*state, "meta.db");
}

/* Recovery, too, meets a disk that fails. */
static void
mended_at_last(void **state)
{
	struct tempstore *t = *state;

	lose(t, "certs.db");
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	fail_next(t, "certs.db");
	assert_int_equal(ks_mend(t->ks), KS_IO);
	assert_int_equal(ks_mend(t->ks), KS_OK);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

/* What was committed meanwhile was not acknowledged. */
static void
mended_log(void **state)
{
	struct tempstore *t = *state;

	put(t, 0, BEFORE / 2);
	assert_int_equal(checkpoint(t), 0);
	put(t, BEFORE / 2, BEFORE);
	fail_next(t, "log.0000000001");
	assert_int_equal(try_put(t, BEFORE), KS_IO);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	assert_int_not_equal(checkpoint(t), 0);
	assert_int_equal(ks_mend(t->ks), KS_OK);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

/* The tables have nothing of what the log lost, though the store was closed. */
static void
ahead_of_the_log(void **state)
{
	struct tempstore *t = *state;

	put(t, 0, BEFORE);
	assert_int_equal(checkpoint(t), 0);
	t->ks->options.sync = false;
	put(t, BEFORE, BEFORE + AFTER);
	t->ks->options.sync = true;
	fail_next(t, "log.0000000001");
	assert_int_equal(try_put(t, BEFORE + AFTER), KS_IO);
	assert_int_equal(ks_close(t->ks), KS_IO);
	t->ks = NULL;
	open_on_disk(t);
	put(t, BEFORE, BEFORE + AFTER);
	power_cut(t, BEFORE + AFTER);
}

static void
shut_down(void **state)
{
	struct tempstore *t = *state;

	lose(t, "certs.db");
	assert_int_equal(ks_close(t->ks), KS_IO);
	t->ks = NULL;
	open_on_disk(t);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

static void
killed(void **state)
{
	struct tempstore *t = *state;
	int status;

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	if (fork() == 0) {
		open_on_disk(t);
		lose(t, "certs.db");
		_exit(0);
	}
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	open_on_disk(t);
	goes_on(t);
	power_cut(t, BEFORE + AFTER);
}

/* What recovery finds in the log was never synced, and cannot be. */
static void
killed_before_a_sync(void **state)
{
	struct tempstore *t = *state;
	const char *error = "";
	int status;

	put(t, 0, BEFORE);
	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	if (fork() == 0) {
		open_on_disk(t);
		t->ks->options.sync = false;
		put(t, BEFORE, BEFORE + AFTER);
		_exit(0);
	}
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	fail_next(t, "log.0000000001");
	assert_int_equal(store_try_open(t, &error), KS_IO);
	open_on_disk(t);
	put(t, BEFORE, BEFORE + AFTER);
	power_cut(t, BEFORE + AFTER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    disk_test(nothing_fails),
	    disk_test(at_once),
	    disk_test(mended_certs),
	    disk_test(mended_index),
	    disk_test(mended_meta),
	    disk_test(mended_at_last),
	    disk_test(mended_log),
	    disk_test(ahead_of_the_log),
	    disk_test(shut_down),
	    disk_test(killed),
	    disk_test(killed_before_a_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
