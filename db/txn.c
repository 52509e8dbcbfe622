/* Transactions: begun, committed, undone, and trials within them. */
#include "db/internal.h"

#include <assert.h>
#include <string.h>

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
	return finish(ks, ks->options.sync ? DB_TXN_SYNC : DB_TXN_WRITE_NOSYNC);
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
