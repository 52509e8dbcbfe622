/* Transactions: begun, committed, synced, undone, and trials within them. */
#include "db/internal.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum ks_status
ks_begin(struct keystore *ks, enum ks_room purpose)
{
	enum ks_status st;
	int ret;

	assert(ks->txn == NULL);
	if (ks->closed != KS_OK)
		return ks->closed;
	if ((st = room(ks, ks->options.free_space, purpose)) != KS_OK)
		return st;
	ret = ks->env->txn_begin(ks->env, NULL, &ks->txn, 0);
	if (ret != 0) {
		ks->txn = NULL;
		return table_status(ks, ret);
	}
	ks->failed = KS_OK;
	ks->before = ks->counters;
	return KS_OK;
}

enum ks_status
ks_try(struct keystore *ks)
{
	DB_TXN *trial;
	int ret;

	assert(ks->txn != NULL && ks->outer == NULL);
	ret = ks->env->txn_begin(ks->env, ks->txn, &trial, 0);
	if (ret != 0)
		return table_status(ks, ret);
	ks->outer = ks->txn;
	ks->txn = trial;
	ks->untried = ks->counters;
	return KS_OK;
}

enum ks_status
ks_untry(struct keystore *ks)
{
	DB_TXN *trial = ks->txn;

	assert(ks->outer != NULL);
	ks->txn = ks->outer;
	ks->outer = NULL;
	ks->counters = ks->untried;
	return table_status(ks, trial->abort(trial));
}

static enum ks_status
finish(struct keystore *ks, uint32_t flags)
{
	DB_TXN *txn = ks->txn;
	enum ks_status st;

	assert(txn != NULL && ks->outer == NULL);
	if (memcmp(&ks->counters, &ks->before, sizeof(ks->before)) != 0)
		(void)counters_write(ks);
	if ((st = ks->failed) != KS_OK) {
		ks_abort(ks);
		return st;
	}
	/* The handle is gone, whatever commit() returns. */
	ks->txn = NULL;
	st = table_status(ks, txn->commit(txn, flags));
	if (st != KS_OK)
		ks->counters = ks->before;
	return st;
}

enum ks_status
ks_commit(struct keystore *ks)
{
	enum ks_status st =
	    finish(ks, ks->options.sync ? DB_TXN_SYNC : DB_TXN_WRITE_NOSYNC);

	if (st == KS_OK && (st = ks_closed(ks, NULL)) == KS_OK)
		ks->durable = ks->counters.outbox_id;
	return st;
}

enum ks_status
ks_commit_lazy(struct keystore *ks)
{
	return finish(ks, DB_TXN_WRITE_NOSYNC);
}

void
ks_abort(struct keystore *ks)
{
	DB_TXN *txn = ks->txn;

	if (txn == NULL)
		return;
	if (ks->outer != NULL) {
		(void)ks_untry(ks);
		txn = ks->txn;
	}
	ks->txn = NULL;
	ks->counters = ks->before;
	ks->failed = KS_OK;
	/* Should this fail, Berkeley DB refuses all that follows. */
	(void)table_status(ks, txn->abort(txn));
}

/* ---- syncing beside other work ------------------------------------------- */

struct syncer {
	pthread_t thread;
	pthread_mutex_t mutex; /* for what follows */
	pthread_cond_t wake;
	enum { IDLE, WANTED, ENDED } state;
	bool running, stop;
	unsigned starts, begun; /* so far; when what is WANTED was */
	int result;		/* once it has ENDED */
	int fd;			/* readable then */
};

struct syncer *
syncer_new(void)
{
	struct syncer *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd == -1) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->wake, NULL);
	return s;
}

void
syncer_free(struct syncer *s)
{
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mutex);
	close(s->fd);
	free(s);
}

/* The log is written already; what is left is to sync its file. */
static void *
sync_loop(void *arg)
{
	struct keystore *ks = arg;
	struct syncer *s = ks->syncer;
	int result;

	pthread_mutex_lock(&s->mutex);
	while (s->state == WANTED || !s->stop) {
		if (s->state != WANTED) {
			pthread_cond_wait(&s->wake, &s->mutex);
			continue;
		}
		pthread_mutex_unlock(&s->mutex);
		result =
		    ks->options.sync ? ks->env->log_flush(ks->env, NULL) : 0;
		pthread_mutex_lock(&s->mutex);
		s->result = result;
		s->state = ENDED;
		pthread_cond_broadcast(&s->wake);
		(void)eventfd_write(s->fd, 1);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* Signals are for the thread that runs the loop. */
enum ks_status
syncer_start(struct keystore *ks)
{
	struct syncer *s = ks->syncer;
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	s->starts++;
	s->running = pthread_create(&s->thread, NULL, sync_loop, ks) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s->running ? KS_OK : KS_NOMEM;
}

void
syncer_stop(struct keystore *ks)
{
	struct syncer *s = ks->syncer;

	if (!s->running)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	s->running = s->stop = false;
}

enum ks_status
ks_commit_begin(struct keystore *ks)
{
	struct syncer *s = ks->syncer;
	enum ks_status st = finish(ks, DB_TXN_WRITE_NOSYNC);

	if (st != KS_OK)
		return st;
	ks->begun = ks->counters.outbox_id;
	pthread_mutex_lock(&s->mutex);
	assert(s->state == IDLE);
	s->state = WANTED;
	s->begun = s->starts;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	return KS_OK;
}

enum ks_status
ks_commit_end(struct keystore *ks)
{
	struct syncer *s = ks->syncer;
	enum ks_status st;
	eventfd_t n;
	int result;

	pthread_mutex_lock(&s->mutex);
	assert(s->state != IDLE);
	while (s->state != ENDED)
		pthread_cond_wait(&s->wake, &s->mutex);
	s->state = IDLE;
	result = s->result;
	(void)eventfd_read(s->fd, &n);
	pthread_mutex_unlock(&s->mutex);
	st = table_status(ks, result);
	if (st == KS_OK && (st = ks_closed(ks, NULL)) == KS_OK) {
		if (ks->durable < ks->begun)
			ks->durable = ks->begun;
		return KS_OK;
	}
	/* Berkeley DB need not have given up. */
	if (s->begun == s->starts) {
		atomic_store(&ks->panicked, true);
		(void)ks_closed(ks, NULL);
	}
	return st;
}

int
ks_sync_fd(const struct keystore *ks)
{
	return ks->syncer->fd;
}
