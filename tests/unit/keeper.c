/*
 * How often a store that Berkeley DB has given up is opened again.
 */
#include "mailkeyd/keeper.h"
#include "mailkeyd/log.h"
#include "tests/unit/store.h"

#define PATIENCE 60000 /* ms until a test has failed */

struct watch {
	struct tempstore *store;
	struct loop *loop;
	struct keeper *keeper;
	struct loop_timer *stop;
	bool opened;
};

static void
on_opened(void *ctx)
{
	struct watch *w = ctx;

	w->opened = true;
	loop_stop(w->loop);
}

static void
on_stop(void *ctx)
{
	struct watch *w = ctx;

	loop_stop(w->loop);
}

static void
watch(struct watch *w, struct tempstore *t)
{
	*w = (struct watch){.store = t, .loop = loop_new()};
	assert_non_null(w->loop);
	w->stop = loop_timer_new(w->loop, on_stop, w);
	w->keeper = keeper_new(w->loop, t->ks, on_opened, w);
	assert_non_null(w->stop);
	assert_non_null(w->keeper);
}

static void
watch_end(struct watch *w)
{
	keeper_free(w->keeper);
	loop_timer_free(w->stop);
	loop_free(w->loop);
}

/* Lets so much time pass, or less when the store was opened. */
static void
pass(struct watch *w, long ms)
{
	w->opened = false;
	loop_timer_set(w->stop, ms);
	assert_int_equal(loop_run(w->loop), 0);
	loop_timer_set(w->stop, -1);
}

static void
is_opened(struct watch *w, unsigned times)
{
	while (times-- > 0) {
		atomic_store(&w->store->ks->panicked, true);
		pass(w, PATIENCE);
		assert_true(w->opened);
	}
}

static void
gives_up(void **state)
{
	struct watch w;

	keeper_second = 1;
	watch(&w, *state);
	is_opened(&w, 7);
	atomic_store(&w.store->ks->panicked, true);
	pass(&w, 1000);
	assert_false(w.opened);
	assert_int_equal(ks_closed(w.store->ks, NULL), KS_IO);
	watch_end(&w);
}

static void
forgives(void **state)
{
	struct watch w;

	keeper_second = 1;
	watch(&w, *state);
	is_opened(&w, 7);
	pass(&w, 4000); /* more than an hour of them */
	assert_false(w.opened);
	is_opened(&w, 7);
	watch_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(gives_up),
	    store_test(forgives),
	};

	log_open("keeper", 0, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
