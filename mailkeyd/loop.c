/*
 * The event loop: epoll(7) for descriptors, a heap of timers whose first one
 * is the time-out of epoll_wait(2), and what runs after each round.
 */
#include "mailkeyd/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_ROUND 64
#define AFTER_MAX	 8
#define NEVER		 INT64_MAX

struct loop_io {
	struct loop *loop;
	struct loop_io *prev, *next;
	int fd;
	uint32_t events;
	loop_io_fn *fn; /* NULL: freed, but an event may still name it */
	void *ctx;
};

struct loop_timer {
	struct loop *loop;
	size_t place;  /* in the heap */
	int64_t due;   /* NEVER: disarmed */
	uint64_t turn; /* armed in this order: first come, first served */
	loop_fn *fn;
	void *ctx;
};

struct loop {
	int epoll;
	bool stop;
	struct loop_io *ios;	  /* watched */
	struct loop_io *dead;	  /* freed in this round */
	struct loop_timer **heap; /* all of them, the disarmed ones too */
	size_t ntimers, room;
	uint64_t turn;
	struct {
		loop_fn *fn;
		void *ctx;
	} after[AFTER_MAX];
	size_t nafter;
};

int64_t
loop_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct loop *
loop_new(void)
{
	struct loop *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		free(l);
		return NULL;
	}
	return l;
}

/* Frees for good what was freed while events could still name it. */
static void
bury(struct loop *l)
{
	struct loop_io *io;

	while ((io = l->dead) != NULL) {
		l->dead = io->next;
		free(io);
	}
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->ios != NULL)
		loop_io_free(l->ios);
	bury(l);
	for (size_t i = 0; i < l->ntimers; i++)
		free(l->heap[i]);
	free(l->heap);
	close(l->epoll);
	free(l);
}

/* ---- descriptors --------------------------------------------------------- */

struct loop_io *
loop_io_new(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *ctx)
{
	struct epoll_event ev = {.events = events};
	struct loop_io *io;

	assert(fn != NULL);
	if ((io = calloc(1, sizeof(*io))) == NULL)
		return NULL;
	*io = (struct loop_io){.loop = l,
	    .next = l->ios,
	    .fd = fd,
	    .events = events,
	    .fn = fn,
	    .ctx = ctx};
	ev.data.ptr = io;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
		free(io);
		return NULL;
	}
	if (l->ios != NULL)
		l->ios->prev = io;
	l->ios = io;
	return io;
}

int
loop_io_events(struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events};

	if (events == io->events)
		return 0;
	ev.data.ptr = io;
	if (epoll_ctl(io->loop->epoll, EPOLL_CTL_MOD, io->fd, &ev) == -1)
		return -1;
	io->events = events;
	return 0;
}

void
loop_io_free(struct loop_io *io)
{
	struct loop *l;

	if (io == NULL)
		return;
	l = io->loop;
	assert(io->fn != NULL); /* not freed before */
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, io->fd, NULL);
	if (io->prev != NULL)
		io->prev->next = io->next;
	else
		l->ios = io->next;
	if (io->next != NULL)
		io->next->prev = io->prev;
	io->fn = NULL;
	io->next = l->dead;
	l->dead = io;
}

/* ---- timers -------------------------------------------------------------- */

static bool
sooner(const struct loop_timer *a, const struct loop_timer *b)
{
	if (a->due != b->due)
		return a->due < b->due;
	return a->turn < b->turn;
}

static void
place(struct loop *l, struct loop_timer *t, size_t i)
{
	l->heap[i] = t;
	t->place = i;
}

/* Moves a timer whose due time has changed to where it belongs. */
static void
settle(struct loop *l, struct loop_timer *t)
{
	size_t i = t->place, child;

	while (i > 0 && sooner(t, l->heap[(i - 1) / 2])) {
		place(l, l->heap[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	while ((child = 2 * i + 1) < l->ntimers) {
		if (child + 1 < l->ntimers &&
		    sooner(l->heap[child + 1], l->heap[child]))
			child++;
		if (!sooner(l->heap[child], t))
			break;
		place(l, l->heap[child], i);
		i = child;
	}
	place(l, t, i);
}

struct loop_timer *
loop_timer_new(struct loop *l, loop_fn *fn, void *ctx)
{
	struct loop_timer *t, **heap;
	size_t room = l->room > 0 ? 2 * l->room : 16;

	if (l->ntimers == l->room) {
		heap = reallocarray(l->heap, room, sizeof(*heap));
		if (heap == NULL)
			return NULL;
		l->heap = heap;
		l->room = room;
	}
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	*t = (struct loop_timer){.loop = l,
	    .place = l->ntimers,
	    .due = NEVER,
	    .turn = l->turn++,
	    .fn = fn,
	    .ctx = ctx};
	l->heap[l->ntimers++] = t;
	settle(l, t);
	return t;
}

void
loop_timer_set(struct loop_timer *t, long ms)
{
	int64_t now = loop_now_ms();

	if (ms < 0)
		t->due = NEVER;
	else if (ms >= NEVER - now)
		t->due = NEVER - 1;
	else
		t->due = now + ms;
	t->turn = t->loop->turn++;
	settle(t->loop, t);
}

void
loop_timer_free(struct loop_timer *t)
{
	struct loop *l;
	struct loop_timer *last;

	if (t == NULL)
		return;
	l = t->loop;
	last = l->heap[--l->ntimers];
	if (last != t) {
		place(l, last, t->place);
		settle(l, last);
	}
	free(t);
}

/* What a callback arms for "at once" waits for the next round, so that
 * descriptors have their turn between. */
static void
run_timers(struct loop *l)
{
	int64_t now = loop_now_ms();
	uint64_t turn = l->turn;
	struct loop_timer *t;

	while (l->ntimers > 0) {
		t = l->heap[0];
		if (t->due > now || t->turn >= turn)
			break;
		t->due = NEVER;
		settle(l, t);
		t->fn(t->ctx); /* may free it */
	}
}

static int
time_out(const struct loop *l)
{
	int64_t left;

	if (l->ntimers == 0 || l->heap[0]->due == NEVER)
		return -1;
	left = l->heap[0]->due - loop_now_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* ---- turning ------------------------------------------------------------- */

void
loop_after(struct loop *l, loop_fn *fn, void *ctx)
{
	assert(l->nafter < AFTER_MAX);
	l->after[l->nafter].fn = fn;
	l->after[l->nafter++].ctx = ctx;
}

static int
turn_once(struct loop *l)
{
	struct epoll_event ev[EVENTS_PER_ROUND];
	struct loop_io *io;
	int n;

	n = epoll_wait(l->epoll, ev, EVENTS_PER_ROUND, time_out(l));
	if (n == -1 && errno != EINTR)
		return -1;
	for (int i = 0; i < n; i++) {
		io = ev[i].data.ptr;
		if (io->fn != NULL)
			io->fn(io->ctx, ev[i].events);
	}
	run_timers(l);
	bury(l);
	for (size_t i = 0; i < l->nafter; i++)
		l->after[i].fn(l->after[i].ctx);
	return 0;
}

int
loop_run(struct loop *l)
{
	while (!l->stop)
		if (turn_once(l) == -1)
			return -1;
	l->stop = false;
	return 0;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
