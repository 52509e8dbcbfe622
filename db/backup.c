/* A copy of the store while it is in use, made in a thread of its own: to be
 * kept, or to be verified. */
#include "db/fault.h"
#include "db/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK	     262144
#define SYNC_EACH    (1u << 20) /* octets of a copy */
#define VERIFY_CACHE (16u << 20)

struct backup {
	struct keystore *ks;
	pthread_t thread;
	char *dir;   /* where it is to be at the end */
	char *tmp;   /* where it is made: DIR.new, a state directory */
	char *store; /* DIR.new/db */
	char *error; /* NULL: none yet */
	bool verify; /* it is looked at, and removed */
	uint64_t wrong;
	atomic_bool done;
	bool joined; /* the thread is no more */
};

static int __attribute__((format(printf, 2, 3)))
fail(struct backup *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (b->error == NULL && vasprintf(&b->error, format, ap) == -1)
		b->error = NULL;
	va_end(ap);
	return -1;
}

/* What an interrupted one left: files in db/, and nothing else. */
static void
remove_rest(const struct backup *b)
{
	DIR *dir = opendir(b->store);
	const struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), d->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(b->store);
	rmdir(b->tmp);
}

static int
make_folders(struct backup *b)
{
	struct stat st;

	if (lstat(b->dir, &st) == 0)
		return fail(
		    b, "%s is there already; name a new directory", b->dir);
	remove_rest(b);
	if (mkdir(b->tmp, 0700) == -1 || mkdir(b->store, 0700) == -1)
		return fail(b, "cannot make %s: %s", b->tmp, strerror(errno));
	return 0;
}

/* A file of the copy. */
struct target {
	int fd;
	size_t unsynced;
	const atomic_bool *halt;
};

/* It goes to the disk bit by bit: a sync of all of it at the end would hold up
 * those of mails for as long.  0, or errno. */
static int
target_write(struct target *to, const void *data, size_t len, off_t at)
{
	const char *p = data;

	if (atomic_load(to->halt))
		return ECANCELED;
	for (size_t done = 0; done < len;) {
		ssize_t n =
		    pwrite(to->fd, p + done, len - done, at + (off_t)done);

		if (n == -1)
			return errno;
		done += (size_t)n;
	}
	to->unsynced += len;
	if (to->unsynced < SYNC_EACH)
		return 0;
	to->unsynced = 0;
	return fdatasync(to->fd) == -1 ? errno : 0;
}

static int
copy_octets(const struct backup *b, int to, int from)
{
	struct target target = {.fd = to, .halt = &b->ks->closing};
	char *buf = malloc(CHUNK);
	off_t at = 0;
	ssize_t n;

	if (buf == NULL)
		return -1;
	while ((n = read(from, buf, CHUNK)) > 0) {
		errno = target_write(&target, buf, (size_t)n, at);
		if (errno != 0)
			break;
		at += n;
	}
	free(buf);
	return n == 0 ? 0 : -1;
}

static int
copy_log(struct backup *b, const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];
	int in, out, ok = -1;

	if (snprintf(from, sizeof(from), "%s/%s", b->ks->dir, name) >=
		(int)sizeof(from) ||
	    snprintf(to, sizeof(to), "%s/%s", b->store, name) >=
		(int)sizeof(to))
		return fail(b, "%s: the path is too long", b->store);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in != -1 && out != -1)
		ok = copy_octets(b, out, in);
	if (ok == -1)
		fail(b, "cannot copy %s to %s: %s", from, to, strerror(errno));
	if (in != -1)
		close(in);
	if (out != -1)
		close(out);
	return ok;
}

/* After the tables: the logs hold what changed while these were copied. */
static int
copy_logs(struct backup *b)
{
	DB_ENV *env = b->ks->env;
	char **names = NULL;
	int ret = env->log_flush(env, NULL), ok = 0;

	if (ret == 0)
		ret = env->log_archive(env, &names, DB_ARCH_LOG);
	if (ret != 0)
		return fail(b, "the logs: %s", db_strerror(ret));
	for (size_t i = 0; names != NULL && names[i] != NULL && ok == 0; i++)
		ok = copy_log(b, names[i]);
	free(names);
	return ok;
}

static int
table_open(DB_ENV *env, const char *name, const char *dir, void **handle)
{
	struct target *to = calloc(1, sizeof(*to));
	const struct keystore *ks = env->app_private;
	char path[PATH_MAX];

	if (to == NULL)
		return ENOMEM;
	to->halt = &ks->closing;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    (int)sizeof(path))
		errno = ENAMETOOLONG;
	else if ((to->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		      0600)) != -1) {
		*handle = to;
		return 0;
	}
	free(to);
	return errno;
}

static int
table_write(DB_ENV *env, uint32_t gigabytes, uint32_t octets, uint32_t size,
    uint8_t *data, void *handle)
{
	(void)env;
	return target_write(
	    handle, data, size, ((off_t)gigabytes << 30) + (off_t)octets);
}

static int
table_close(DB_ENV *env, const char *name, void *handle)
{
	struct target *to = handle;
	int rv = close(to->fd) == -1 ? errno : 0;

	(void)env;
	(void)name;
	free(to);
	return rv;
}

/*
 * By name, and not by DB_ENV->backup(), which looks into every file there is:
 * closing another descriptor of the lock file would end the lock.
 */
static int
copy_tables(struct backup *b)
{
	DB_ENV *env = b->ks->env;
	const char *name;
	int ret = env->set_backup_callbacks(
	    env, table_open, table_write, table_close);

	if (ret != 0)
		return fail(b, "%s: %s", b->store, db_strerror(ret));
	for (int t = 0; t < T_TABLES; t++) {
		DB *table = b->ks->table[t];

		ret = table->get_dbname(table, &name, NULL);
		if (ret == 0)
			ret = env->dbbackup(env, name, b->store, DB_EXCL);
		if (ret != 0)
			return fail(b, "%s: %s", b->store, db_strerror(ret));
	}
	return 0;
}

static void
no_word(const DB_ENV *env, const char *prefix, const char *message)
{
	(void)env;
	(void)prefix;
	(void)message;
}

/* Pages were copied at different moments: every log from the beginning makes
 * them one state. */
static int
recover(struct backup *b)
{
	const uint32_t flags = DB_CREATE | DB_PRIVATE | DB_RECOVER_FATAL |
			       DB_THREAD | DB_INIT_TXN | DB_INIT_LOCK |
			       DB_INIT_LOG | DB_INIT_MPOOL;
	DB_ENV *env;
	int ret = db_env_create(&env, 0), closed;

	if (ret == 0) {
		env->set_errcall(env, no_word);
		ret = env->open(env, b->store, flags, 0600);
		closed = env->close(env, 0);
		ret = ret == 0 ? closed : ret;
	}
	return ret == 0
		   ? 0
		   : fail(b, "%s: recovery: %s", b->store, db_strerror(ret));
}

static int
sync_path(struct backup *b, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ok = fd == -1 ? -1 : fsync(fd);

	if (ok == -1)
		fail(b, "%s: %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	return ok;
}

static int
sync_store(struct backup *b)
{
	DIR *dir = opendir(b->store);
	const struct dirent *d;
	char path[PATH_MAX];
	int ok = 0;

	while (dir != NULL && ok == 0 && (d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", b->store, d->d_name) <
			(int)sizeof(path))
			ok = sync_path(b, path);
	if (dir == NULL)
		return fail(b, "%s: %s", b->store, strerror(errno));
	closedir(dir);
	if (ok == 0)
		ok = sync_path(b, b->store);
	return ok == 0 ? sync_path(b, b->tmp) : -1;
}

/* Whole, or not there. */
static int
put_in_place(struct backup *b)
{
	char *copy = strdup(b->dir);
	int ok;

	ok = renameat2(AT_FDCWD, b->tmp, AT_FDCWD, b->dir, RENAME_NOREPLACE);
	if (ok == -1 && errno == EINVAL)
		ok = rename(b->tmp, b->dir);
	if (ok == -1)
		fail(b, "%s: %s", b->dir, strerror(errno));
	else if (copy != NULL)
		ok = sync_path(b, dirname(copy));
	free(copy);
	return ok;
}

static int
look_into(struct backup *b)
{
	const struct ks_options options = {
	    .cache = VERIFY_CACHE, .policy = pgp_policy_default};
	struct keystore *copy;
	const char *error = "";
	enum ks_status st = ks_open(b->store, &options, &copy, &error);

	if (st != KS_OK)
		return fail(b, "%s: %s", b->store, error);
	copy->halt = &b->ks->closing;
	st = ks_verify(copy, &b->wrong);
	if (st != KS_OK)
		fail(b, "%s: %s", ks_strerror(st), ks_last_error(copy));
	(void)ks_close(copy);
	return st == KS_OK ? 0 : -1;
}

/* What becomes of a copy that is there. */
static int
use_copy(struct backup *b)
{
	int ok;

	fault("copied");
	sync_is_of_copy = true;
	ok = recover(b);
	sync_is_of_copy = false;
	if (ok == 0 && b->verify) {
		ok = look_into(b);
		remove_rest(b);
	} else if (ok == 0) {
		ok = sync_store(b);
		fault("backup_synced");
		if (ok == 0)
			ok = put_in_place(b);
		fault("backup_renamed");
	}
	return ok;
}

/* No log goes while it runs: the copy needs all since its beginning. */
static void *
backup_run(void *arg)
{
	struct backup *b = arg;
	DB_ENV *env = b->ks->env;
	int ok = make_folders(b);

	if (ok == 0) {
		env->log_set_config(env, DB_LOG_AUTO_REMOVE, 0);
		ok = copy_tables(b);
		if (ok == 0)
			ok = copy_logs(b);
		env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
		if (ok == 0)
			ok = use_copy(b);
		if (ok == -1)
			remove_rest(b);
	}
	if (ok == -1 && atomic_load(&b->ks->closing)) {
		free(b->error);
		b->error = strdup("the store was closed meanwhile");
	}
	if (ok == -1 && b->error == NULL)
		fail(b, "no memory");
	atomic_store(&b->done, true);
	return NULL;
}

/* ---- what the header offers ---------------------------------------------- */

static void
backup_free(struct backup *b)
{
	free(b->dir);
	free(b->tmp);
	free(b->store);
	free(b->error);
	free(b);
}

void
backup_end(struct keystore *ks)
{
	if (ks->backup == NULL || ks->backup->joined)
		return;
	atomic_store(&ks->closing, true);
	pthread_join(ks->backup->thread, NULL);
	atomic_store(&ks->closing, false);
	ks->backup->joined = true;
}

void
backup_drop(struct keystore *ks)
{
	if (ks->backup == NULL)
		return;
	backup_end(ks);
	backup_free(ks->backup);
	ks->backup = NULL;
}

/* Signals are for the thread that runs the loop. */
static int
backup_thread(struct backup *b)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&b->thread, NULL, backup_run, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

static enum ks_status
backup_start(struct keystore *ks, const char *dir, bool verify)
{
	struct backup *b;

	if (ks->closed != KS_OK)
		return ks->closed;
	/* One that nobody waited for any more. */
	if (ks->backup != NULL && atomic_load(&ks->backup->done))
		backup_drop(ks);
	if (ks->backup != NULL)
		return KS_BUSY;
	if ((b = calloc(1, sizeof(*b))) == NULL)
		return KS_NOMEM;
	b->ks = ks;
	b->verify = verify;
	b->dir = strdup(dir);
	if (asprintf(&b->tmp, "%s.new", dir) == -1)
		b->tmp = NULL;
	if (asprintf(&b->store, "%s.new/db", dir) == -1)
		b->store = NULL;
	if (b->dir == NULL || b->tmp == NULL || b->store == NULL ||
	    backup_thread(b) != 0) {
		backup_free(b);
		return KS_NOMEM;
	}
	ks->backup = b;
	return KS_OK;
}

enum ks_status
ks_backup_start(struct keystore *ks, const char *dir)
{
	return backup_start(ks, dir, false);
}

enum ks_status
ks_verify_start(struct keystore *ks)
{
	enum ks_status st;
	uint64_t octets;
	char *dir;

	if (ks->closed != KS_OK)
		return ks->closed;
	if ((st = disk_used(ks, &octets)) != KS_OK ||
	    (st = room_for(ks, octets)) != KS_OK)
		return st;
	if (asprintf(&dir, "%s/../verify", ks->dir) == -1)
		return KS_NOMEM;
	st = backup_start(ks, dir, true);
	free(dir);
	return st;
}

bool
ks_verify_done(struct keystore *ks, uint64_t *wrong, char **error)
{
	const struct backup *b = ks->backup;

	*wrong = b != NULL && atomic_load(&b->done) ? b->wrong : 0;
	return ks_backup_done(ks, error);
}

bool
ks_backup_done(struct keystore *ks, char **error)
{
	struct backup *b = ks->backup;

	*error = NULL;
	if (b == NULL)
		return true;
	if (!atomic_load(&b->done))
		return false;
	*error = b->error;
	b->error = NULL;
	backup_drop(ks);
	return true;
}
