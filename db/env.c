/* The one environment: recovery, tables, checkpoints. */
#include "db/fault.h"
#include "db/internal.h"

#include <sys/random.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BUFFER	   (1U << 20)
#define CHECKPOINT_KB	   (8U << 10)
#define CHECKPOINT_MINUTES 1U
#define RECOVERY_ROOM	   (64U << 20)

static const struct {
	const char *file;
	uint32_t page;
	bool duplicates;
} tables[T_TABLES] = {
    [T_META] = {"meta.db", 4096, false},
    /* Certificates go to overflow pages: small ones waste least. */
    [T_CERTS] = {"certs.db", SMALL_PAGE, false},
    [T_FPR] = {"fpr.db", 4096, true},
    [T_KEYID] = {"keyid.db", 4096, true},
    [T_EMAIL] = {"email.db", 4096, true},
    [T_WORD] = {"word.db", 4096, true},
    [T_CHANGE] = {"change.db", 4096, false},
    [T_OUTBOX] = {"outbox.db", 4096, false},
    [T_OUTBOX_ID] = {"outbox_id.db", 4096, false},
    [T_SEEN] = {"seen.db", 4096, false},
    [T_LIMIT] = {"limit.db", 4096, false},
    [T_POISON] = {"poison.db", 4096, false},
    [T_PEER] = {"peer.db", 4096, false},
    [T_FORGOTTEN] = {"forgotten.db", 4096, false},
    [T_EXPIRE] = {"expire.db", 4096, false},
};

/* ---- meta ---------------------------------------------------------------- */

#define COUNTERS_LEN 48

enum ks_status
counters_write(struct keystore *ks)
{
	const struct counters *c = &ks->counters;
	unsigned char v[COUNTERS_LEN];

	be64_put(v, c->serial);
	be64_put(v + 8, c->last_change);
	be64_put(v + 16, c->certificates);
	be64_put(v + 24, c->number);
	be64_put(v + 32, c->outbox);
	be64_put(v + 40, c->outbox_id);
	return table_put(ks, T_META, "counters", 8, v, sizeof(v));
}

static enum ks_status
counters_read(struct keystore *ks)
{
	struct counters *c = &ks->counters;
	unsigned char v[COUNTERS_LEN];
	enum ks_status st;
	size_t len;

	st = table_get(ks, T_META, "counters", 8, v, sizeof(v), &len);
	if (st != KS_OK)
		return st;
	if (len != sizeof(v))
		return KS_CORRUPT;
	c->serial = be64_get(v);
	c->last_change = be64_get(v + 8);
	c->certificates = be64_get(v + 16);
	c->number = be64_get(v + 24);
	c->outbox = be64_get(v + 32);
	c->outbox_id = be64_get(v + 40);
	return KS_OK;
}

static void
site_hex(struct keystore *ks, const unsigned char id[16])
{
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(ks->site + 2 * i, 3, "%02x", id[i]);
}

static enum ks_status
meta_create(struct keystore *ks)
{
	unsigned char schema[4], id[16];
	enum ks_status st;

	be32_put(schema, KS_SCHEMA);
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return KS_IO;
	site_hex(ks, id);
	if ((st = table_put(ks, T_META, "schema", 6, schema, 4)) != KS_OK ||
	    (st = table_put(ks, T_META, "site", 4, id, 16)) != KS_OK)
		return st;
	return counters_write(ks);
}

/* Reads T_META, or writes it for a store that is new. */
static enum ks_status
meta_load(struct keystore *ks)
{
	unsigned char schema[4], id[16];
	enum ks_status st;
	size_t len;

	st = table_get(ks, T_META, "schema", 6, schema, 4, &len);
	if (st == KS_NOT_FOUND)
		return meta_create(ks);
	if (st != KS_OK)
		return st;
	if (len != 4 || be32_get(schema) == 0)
		return KS_CORRUPT;
	if (be32_get(schema) > KS_SCHEMA)
		return KS_TOO_NEW;
	if (be32_get(schema) < KS_SCHEMA)
		return KS_TOO_OLD;
	st = table_get(ks, T_META, "site", 4, id, sizeof(id), &len);
	if (st == KS_OK && len == sizeof(id)) {
		site_hex(ks, id);
		st = counters_read(ks);
	} else if (st == KS_OK) {
		st = KS_CORRUPT;
	}
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

const char *
store_site(const struct keystore *ks)
{
	return ks->site;
}

/* ---- checkpoints --------------------------------------------------------- */

static void
checkpoint(struct keystore *ks, bool all)
{
	DB_ENV *env = ks->env;

	fault(all ? "checkpoint" : "");
	if (all)
		(void)env->txn_checkpoint(env, 0, 0, DB_FORCE);
	else
		(void)env->txn_checkpoint(
		    env, CHECKPOINT_KB, CHECKPOINT_MINUTES, 0);
	fault(all ? "checkpointed" : "");
}

/*
 * Looks every second whether enough was logged or enough time has passed.  A
 * failure (a full disk) is noted, and tried again: the logs still hold all.
 */
static void *
checkpoint_loop(void *arg)
{
	struct keystore *ks = arg;
	struct timespec t;
	bool scrub;

	pthread_mutex_lock(&ks->mutex);
	while (!ks->stop) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_sec++;
		if (!ks->scrub && pthread_cond_timedwait(
				      &ks->wake, &ks->mutex, &t) != ETIMEDOUT)
			continue;
		scrub = ks->scrub;
		ks->scrub = false;
		pthread_mutex_unlock(&ks->mutex);
		checkpoint(ks, scrub);
		pthread_mutex_lock(&ks->mutex);
	}
	pthread_mutex_unlock(&ks->mutex);
	return NULL;
}

void
ks_scrub(struct keystore *ks)
{
	pthread_mutex_lock(&ks->mutex);
	ks->scrub = true;
	pthread_cond_signal(&ks->wake);
	pthread_mutex_unlock(&ks->mutex);
}

/* Signals are for the thread that runs the loop. */
static enum ks_status
checkpointer_start(struct keystore *ks)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ks->running =
	    pthread_create(&ks->checkpointer, NULL, checkpoint_loop, ks) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ks->running ? KS_OK : KS_NOMEM;
}

static void
checkpointer_stop(struct keystore *ks)
{
	if (!ks->running)
		return;
	pthread_mutex_lock(&ks->mutex);
	ks->stop = true;
	pthread_cond_signal(&ks->wake);
	pthread_mutex_unlock(&ks->mutex);
	pthread_join(ks->checkpointer, NULL);
	ks->running = ks->stop = false;
}

/* ---- open and close ------------------------------------------------------ */

static struct keystore *
store_new(const struct ks_options *options)
{
	struct keystore *ks = calloc(1, sizeof(*ks));
	pthread_condattr_t attr;

	if (ks == NULL)
		return NULL;
	if (!error_new(ks)) {
		free(ks);
		return NULL;
	}
	ks->syncer = syncer_new();
	if (ks->syncer == NULL) {
		error_free(ks);
		free(ks);
		return NULL;
	}
	ks->lock = -1;
	ks->options = *options;
	pthread_mutex_init(&ks->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ks->wake, &attr);
	pthread_condattr_destroy(&attr);
	return ks;
}

/* Of opening: our arguments are always the same, so what is not valid lies in
 * the files. */
static enum ks_status
open_status(struct keystore *ks, int ret)
{
	return table_status(ks, ret == EINVAL ? DB_VERIFY_BAD : ret);
}

/* May come from any thread. */
static void
note_event(DB_ENV *env, uint32_t event, void *info)
{
	struct keystore *ks = env->app_private;

	(void)info;
	if (event == DB_EVENT_PANIC)
		atomic_store(&ks->panicked, true);
}

#ifdef FAULTS
static void
note_recovery(DB_ENV *env, int what, int percent)
{
	(void)env;
	if (what == DB_RECOVER && percent > 0)
		fault("recovering");
}
#endif

static atomic_uint stores; /* open here: the store, and a copy to verify */
static atomic_bool lost;   /* since the first of them was opened */

int (*sync_file)(int fd) = fdatasync;
_Thread_local bool sync_is_of_copy;

/*
 * Linux says once what it has lost, and takes it for written from then on.  So
 * no later sync may succeed, or a checkpoint would be behind it that vouches
 * for all.  (Of a page that it puts out to make room Berkeley DB tells nobody.)
 */
static int
sync_hook(int fd)
{
	int error = EIO;

	if (!atomic_load(&lost)) {
		if (sync_file(fd) == 0)
			return 0;
		error = errno;
		if (error != EINTR && !sync_is_of_copy)
			atomic_store(&lost, true);
	}
	errno = error;
	return error;
}

static enum ks_status
env_open(struct keystore *ks)
{
	const uint32_t flags = DB_CREATE | DB_PRIVATE | DB_RECOVER | DB_THREAD |
			       DB_INIT_TXN | DB_INIT_LOCK | DB_INIT_LOG |
			       DB_INIT_MPOOL;
	DB_ENV *env;
	int ret;

	if (db_env_set_func_fsync(sync_hook) != 0 ||
	    db_env_create(&env, 0) != 0)
		return KS_NOMEM;
	ks->env = env;
	if (atomic_fetch_add(&stores, 1) == 0)
		atomic_store(&lost, false);
	env->app_private = ks;
	env->set_errcall(env, note_error);
	atomic_store(&ks->panicked, false);
	(void)env->set_event_notify(env, note_event);
#ifdef FAULTS
	(void)env->set_feedback(env, note_recovery);
#endif
	if ((ret = env->set_cachesize(env, (uint32_t)(ks->options.cache >> 30),
		 (uint32_t)(ks->options.cache & ((1U << 30) - 1)), 1)) != 0 ||
	    (ret = env->set_mp_pagesize(env, SMALL_PAGE)) != 0 ||
	    (ret = env->set_lg_bsize(env, LOG_BUFFER)) != 0 ||
	    (ret = env->set_lg_max(env, LOG_FILE)) != 0 ||
	    (ret = env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1)) != 0 ||
	    (ret = env->set_lk_detect(env, DB_LOCK_MINWRITE)) != 0)
		return table_status(ks, ret);
	return open_status(ks, env->open(env, ks->dir, flags, 0600));
}

const char *
table_file(enum table t)
{
	return tables[t].file;
}

int
table_shape(DB *db, enum table t)
{
	int ret = db->set_pagesize(db, tables[t].page);

	if (ret == 0)
		ret = db->set_flags(db, DB_CHKSUM);
	if (ret == 0 && tables[t].duplicates)
		ret = db->set_flags(db, DB_DUPSORT);
	return ret;
}

static enum ks_status
table_open(struct keystore *ks, enum table t)
{
	DB *db;
	int ret;

	if ((ret = db_create(&db, ks->env, 0)) != 0)
		return table_status(ks, ret);
	ks->table[t] = db;
	if ((ret = table_shape(db, t)) == 0)
		ret = db->open(db, ks->txn, tables[t].file, NULL, DB_BTREE,
		    DB_CREATE | DB_THREAD, 0600);
	return open_status(ks, ret);
}

/* All or none: a store that died while it was made is made anew. */
static enum ks_status
tables_open(struct keystore *ks)
{
	enum ks_status st;
	int ret;

	fault("recovered");
	if ((ret = ks->env->txn_begin(ks->env, NULL, &ks->txn, 0)) != 0)
		return table_status(ks, ret);
	/* What a newer schema means by the other tables is not known. */
	st = table_open(ks, T_META);
	if (st == KS_OK)
		st = meta_load(ks);
	if (st == KS_OK)
		st = secret_load(ks);
	ks->before = ks->counters;
	for (int t = T_META + 1; t < T_TABLES && st == KS_OK; t++)
		st = table_open(ks, (enum table)t);
	fault("opened");
	if (st == KS_OK)
		return ks_commit(ks);
	ks_abort(ks);
	return st;
}

enum ks_status
store_up(struct keystore *ks)
{
	enum ks_status st;

	if ((st = store_files(ks)) == KS_OK &&
	    (st = bulk_recover(ks)) == KS_OK && (st = env_open(ks)) == KS_OK &&
	    (st = tables_open(ks)) == KS_OK && (st = bulk_settle(ks)) == KS_OK)
		st = checkpointer_start(ks);
	if (st == KS_OK)
		st = syncer_start(ks);
	if (st == KS_CORRUPT && atomic_load(&lost))
		st = KS_IO;
	/* Recovery that ran out of disk says so in many ways. */
	if ((st == KS_IO || st == KS_CORRUPT) &&
	    room(ks, RECOVERY_ROOM, KS_ROOM_ADD) == KS_FULL)
		st = KS_FULL;
	return st;
}

/* What may be otherwise soon, without anybody's doing to the store. */
static bool
may_pass(enum ks_status st)
{
	return st == KS_FULL || st == KS_READ_ONLY || st == KS_NOMEM;
}

/* With *out, or the reason why there is none. */
static enum ks_status
open_at(const char *dir, const struct ks_options *options, bool later,
    struct keystore **out, const char **error)
{
	struct keystore *ks = store_new(options);
	enum ks_status st;

	if (ks == NULL) {
		*error = advice(NULL, KS_NOMEM);
		return KS_NOMEM;
	}
	ks->name = strdup(dir);
	st = ks->name == NULL ? KS_NOMEM : store_directory(ks, dir);
	if (st == KS_OK)
		st = store_up(ks);
	if (later && ks->name != NULL && may_pass(st)) {
		ks->closed = st;
		ks->tried_with = room_left(ks);
		(void)store_down(ks);
	} else if (st != KS_OK) {
		*error = advice(ks, st);
		(void)ks_close(ks);
		return st;
	}
	*out = ks;
	return KS_OK;
}

enum ks_status
ks_open(const char *dir, const struct ks_options *options,
    struct keystore **out, const char **error)
{
	return open_at(dir, options, false, out, error);
}

enum ks_status
ks_open_later(const char *dir, const struct ks_options *options,
    struct keystore **out, const char **error)
{
	return open_at(dir, options, true, out, error);
}

enum ks_status
ks_closed(struct keystore *ks, const char **why)
{
	if (ks->closed == KS_OK &&
	    (atomic_load(&ks->panicked) || atomic_load(&lost)))
		ks->closed = KS_IO;
	if (why != NULL)
		*why = ks->closed == KS_OK ? "" : advice(ks, ks->closed);
	return ks->closed;
}

enum ks_status
ks_mend(struct keystore *ks)
{
	enum ks_status st = ks_closed(ks, NULL);

	assert(ks->txn == NULL);
	if (st == KS_OK)
		return KS_OK;
	/* Recovery fills a log file up; it is not tried with the same room. */
	if (st == KS_FULL && ks->dir != NULL &&
	    (room(ks, ks->options.free_space, KS_ROOM_QUERY) != KS_OK ||
		room_left(ks) < LOG_FILE || room_left(ks) <= ks->tried_with))
		return st;
	ks->tried_with = room_left(ks);
	(void)store_down(ks);
	forget_error(ks);
	ks->closed = KS_OK;
	st = store_directory(ks, ks->name);
	if (st == KS_OK)
		st = store_up(ks);
	if (st != KS_OK)
		(void)store_down(ks);
	ks->closed = st;
	return st;
}

static void
store_free(struct keystore *ks)
{
	if (ks->lock >= 0)
		close(ks->lock);
	backup_drop(ks);
	syncer_free(ks->syncer);
	pthread_cond_destroy(&ks->wake);
	pthread_mutex_destroy(&ks->mutex);
	error_free(ks);
	free(ks->blocked);
	free(ks->hidden);
	free(ks->dir);
	free(ks->name);
	free(ks);
}

void
ks_set_limits(
    struct keystore *ks, uint64_t free_space, const struct pgp_policy *policy)
{
	ks->options.free_space = free_space;
	ks->options.policy = *policy;
}

enum ks_status
store_down(struct keystore *ks)
{
	enum ks_status st = KS_OK, closed;

	backup_end(ks);
	checkpointer_stop(ks);
	syncer_stop(ks);
	ks_abort(ks);
	if (ks->table[T_EXPIRE] != NULL)
		st =
		    table_status(ks, ks->env->txn_checkpoint(ks->env, 0, 0, 0));
	/* When it closes, Berkeley DB writes pages without asking whether the
	 * log is on the disk; it does not once it has given up. */
	if (ks->env != NULL && (st != KS_OK || atomic_load(&lost)))
		(void)ks->env->set_flags(ks->env, DB_PANIC_ENVIRONMENT, 1);
	for (int t = 0; t < T_TABLES; t++) {
		if (ks->table[t] == NULL)
			continue;
		closed = table_status(ks, ks->table[t]->close(ks->table[t], 0));
		st = st == KS_OK ? closed : st;
		ks->table[t] = NULL;
	}
	if (ks->env != NULL) {
		closed = table_status(ks, ks->env->close(ks->env, 0));
		st = st == KS_OK ? closed : st;
		ks->env = NULL;
		atomic_fetch_sub(&stores, 1);
		if (st == KS_OK && !atomic_load(&lost))
			st = store_ended_well(ks);
	}
	return st;
}

enum ks_status
ks_close(struct keystore *ks)
{
	enum ks_status st;

	if (ks == NULL)
		return KS_OK;
	st = store_down(ks);
	store_free(ks);
	return st;
}

/* ---- the whole -------------------------------------------------------------
 */

enum ks_status
ks_info(struct keystore *ks, struct ks_info *info)
{
	const struct counters *c = &ks->counters;

	info->certificates = c->certificates;
	info->serial = c->serial;
	info->last_change = (time_t)c->last_change;
	info->outbox = c->outbox;
	info->disk = 0;
	return ks->dir == NULL ? KS_OK : disk_used(ks, &info->disk);
}
