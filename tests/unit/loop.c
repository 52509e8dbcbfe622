/*
 * The event loop: who is called, in which order, and what may be freed when.
 */
#include "mailkeyd/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct loop *l;
static char trace[256];

static int
setup(void **state)
{
	(void)state;
	trace[0] = '\0';
	l = loop_new();
	return l == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(l);
	return 0;
}

static void
note(const char *s)
{
	size_t n = strlen(trace), k = strlen(s);

	assert_true(n + k < sizeof(trace));
	memcpy(trace + n, s, k + 1);
}

/* One end of a pipe with an octet in it, watched. */
struct watch {
	const char *name;
	int fd[2];
	struct loop_io *io;
	struct watch *kill[2]; /* freed when called */
	bool stop;
	unsigned calls;
};

static void
on_watch(void *ctx, uint32_t events)
{
	struct watch *w = ctx;

	assert_true(events & EPOLLIN);
	w->calls++;
	note(w->name);
	for (size_t i = 0; i < 2; i++)
		if (w->kill[i] != NULL && w->kill[i]->io != NULL) {
			loop_io_free(w->kill[i]->io);
			w->kill[i]->io = NULL;
		}
	if (w->stop)
		loop_stop(l);
}

static void
watch_open(struct watch *w, const char *name)
{
	memset(w, 0, sizeof(*w));
	w->name = name;
	assert_int_equal(pipe(w->fd), 0);
	assert_int_equal(write(w->fd[1], "x", 1), 1);
	w->io = loop_io_new(l, w->fd[0], EPOLLIN, on_watch, w);
	assert_non_null(w->io);
}

static void
watch_close(struct watch *w)
{
	loop_io_free(w->io);
	w->io = NULL;
	close(w->fd[0]);
	close(w->fd[1]);
}

static void
stop(void *ctx)
{
	(void)ctx;
	loop_stop(l);
}

static void
free_own_io(void **state)
{
	struct watch a;
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	(void)state;
	watch_open(&a, "a");
	a.kill[0] = &a;
	loop_timer_set(t, 20);
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "a");
	watch_close(&a);
}

/* Both are ready in one round: whoever comes first frees the other. */
static void
free_another_io(void **state)
{
	struct watch a, b;
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	(void)state;
	watch_open(&a, "a");
	watch_open(&b, "b");
	a.kill[0] = &b;
	a.kill[1] = &a;
	b.kill[0] = &a;
	b.kill[1] = &b;
	loop_timer_set(t, 20);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(a.calls + b.calls, 1);
	watch_close(&a);
	watch_close(&b);
}

/* A descriptor number used again within a round is not taken for the old. */
static struct watch *heir;

static void
on_replace(void *ctx, uint32_t events)
{
	struct watch *w = ctx;

	(void)events;
	note(w->name);
	for (size_t i = 0; i < 2; i++) {
		loop_io_free(w->kill[i]->io);
		w->kill[i]->io = NULL;
	}
	close(w->kill[0]->fd[0]);
	close(w->kill[0]->fd[1]);
	close(w->kill[1]->fd[0]);
	close(w->kill[1]->fd[1]);
	watch_open(heir, "h");
	heir->stop = true;
}

static void
number_used_again(void **state)
{
	struct watch a = {.name = "r"}, b = {.name = "r"}, h;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct watch *w = i == 0 ? &a : &b;

		assert_int_equal(pipe(w->fd), 0);
		assert_int_equal(write(w->fd[1], "x", 1), 1);
		w->kill[0] = &a;
		w->kill[1] = &b;
		w->io = loop_io_new(l, w->fd[0], EPOLLIN, on_replace, w);
		assert_non_null(w->io);
	}
	heir = &h;
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "rh");
	assert_int_equal(h.calls, 1);
	watch_close(&h);
}

static void
change_events(void **state)
{
	struct watch a;
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	(void)state;
	watch_open(&a, "a");
	a.stop = true;
	assert_int_equal(loop_io_events(a.io, 0), 0);
	loop_timer_set(t, 20);
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "");
	assert_int_equal(loop_io_events(a.io, EPOLLIN), 0);
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "a");
	watch_close(&a);
}

static void
bad_descriptor(void **state)
{
	(void)state;
	assert_null(loop_io_new(l, -1, EPOLLIN, on_watch, NULL));
	loop_io_free(NULL);
	loop_timer_free(NULL);
	loop_free(NULL);
}

/* ---- timers -------------------------------------------------------------- */

struct tick {
	const char *name;
	struct loop_timer *timer, *kill;
	long again; /* -1: not */
	unsigned calls, stop_at;
};

static void
on_tick(void *ctx)
{
	struct tick *t = ctx;

	t->calls++;
	note(t->name);
	if (t->kill != NULL) {
		loop_timer_free(t->kill);
		t->kill = NULL;
	} else if (t->again >= 0)
		loop_timer_set(t->timer, t->again);
	if (t->calls == t->stop_at)
		loop_stop(l);
}

static void
in_order_of_due_time(void **state)
{
	struct tick t[] = {{.name = "d", .again = -1, .stop_at = 1},
	    {.name = "b", .again = -1}, {.name = "c", .again = -1},
	    {.name = "a", .again = -1}, {.name = "x", .again = -1}};
	const long due[] = {200, 100, 100, 20, 150};
	int64_t begin = loop_now_ms();

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		t[i].timer = loop_timer_new(l, on_tick, &t[i]);
		assert_non_null(t[i].timer);
		loop_timer_set(t[i].timer, due[i]);
	}
	loop_timer_set(t[4].timer, -1); /* disarmed */
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "abcd");
	assert_true(loop_now_ms() - begin >= 200);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(t[i].calls, 1); /* one-shot */
}

static void
rearmed_and_freed_in_callback(void **state)
{
	struct tick a = {.name = "", .again = 0},
		    b = {.name = "b", .again = -1},
		    c = {.name = "c", .again = -1},
		    d = {.name = "d", .again = -1},
		    e = {.name = "e", .again = -1, .stop_at = 1};

	(void)state;
	a.timer = loop_timer_new(l, on_tick, &a);
	b.timer = loop_timer_new(l, on_tick, &b);
	c.timer = loop_timer_new(l, on_tick, &c);
	d.timer = loop_timer_new(l, on_tick, &d);
	e.timer = loop_timer_new(l, on_tick, &e);
	b.kill = b.timer; /* frees itself */
	c.kill = d.timer; /* frees one that is due in the same round */
	loop_timer_set(a.timer, 0);
	loop_timer_set(b.timer, 0);
	loop_timer_set(c.timer, 0);
	loop_timer_set(d.timer, 0);
	loop_timer_set(e.timer, 15);
	assert_int_equal(loop_run(l), 0);
	assert_true(a.calls > 1);
	assert_string_equal(trace, "bce");
}

/* A timer that is always due starves neither descriptors nor loop_after(). */
static void
timer_does_not_starve(void **state)
{
	struct tick a = {.name = "", .again = 0};
	struct watch w;

	(void)state;
	a.timer = loop_timer_new(l, on_tick, &a);
	loop_timer_set(a.timer, 0);
	watch_open(&w, "w");
	w.stop = true;
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "w");
	watch_close(&w);
}

/* The heap against a plain search: 200 timers in a wild order. */
static int64_t last_due;
static unsigned fired;

static void
on_wild(void *ctx)
{
	int64_t due = *(int64_t *)ctx;

	assert_true(due >= last_due);
	last_due = due;
	if (++fired == 150)
		loop_stop(l);
}

static void
many_timers(void **state)
{
	struct loop_timer *t[200];
	int64_t due[200], base;
	unsigned x = 7;

	(void)state;
	last_due = 0;
	fired = 0;
	for (size_t i = 0; i < 200; i++) {
		x = x * 1103515245u + 12345u;
		due[i] = (x >> 16) % 10;
		t[i] = loop_timer_new(l, on_wild, &due[i]);
		assert_non_null(t[i]);
	}
	for (size_t i = 0; i < 200; i++)
		loop_timer_set(t[i], 5000 - (long)i);
	for (size_t i = 0; i < 200; i += 4)
		loop_timer_free(t[i]);
	/* Far enough apart that the order does not hang on a busy machine. */
	base = loop_now_ms() + 50;
	for (size_t i = 0; i < 200; i++)
		if (i % 4 != 0)
			loop_timer_set(
			    t[i], base + due[i] * 60 - loop_now_ms());
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(fired, 150);
}

/* ---- rounds -------------------------------------------------------------- */

static void
after_one(void *ctx)
{
	note(ctx);
}

static void
after_each_round(void **state)
{
	struct watch a;
	char one[] = "1", two[] = "2";

	(void)state;
	loop_after(l, after_one, one);
	loop_after(l, after_one, two);
	watch_open(&a, "a");
	a.stop = true;
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "a12"); /* also when told to stop */
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(trace, "a12a12");
	watch_close(&a);
}

static void
stop_before_run(void **state)
{
	(void)state;
	loop_stop(l);
	assert_int_equal(loop_run(l), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {CASE(free_own_io),
	    CASE(free_another_io), CASE(number_used_again), CASE(change_events),
	    CASE(bad_descriptor), CASE(in_order_of_due_time),
	    CASE(rearmed_and_freed_in_callback), CASE(timer_does_not_starve),
	    CASE(many_timers), CASE(after_each_round), CASE(stop_before_run)};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
