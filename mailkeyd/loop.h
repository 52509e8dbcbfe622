/*
 * The event loop of the core: epoll(7), timers, nothing else.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdint.h>

struct loop;
struct loop_io;
struct loop_timer;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR (sys/epoll.h). */
typedef void loop_io_fn(void *ctx, uint32_t events);
typedef void loop_fn(void *ctx);

struct loop *loop_new(void); /* NULL: errno */
/* Frees what is still registered, too: nothing of it may be used later. */
void loop_free(struct loop *);

/* Watches fd (not owned).  loop_io_free() may be called from any callback,
 * its own included; NULL is fine.  Free the io before closing fd. */
struct loop_io *loop_io_new(
    struct loop *, int fd, uint32_t events, loop_io_fn *, void *ctx);
int loop_io_events(struct loop_io *, uint32_t events);
void loop_io_free(struct loop_io *);

/* Calls fn once after ms milliseconds, or again when rearmed by loop_timer_set
 * (ms < 0 disarms).  A new timer is disarmed. */
struct loop_timer *loop_timer_new(struct loop *, loop_fn *, void *ctx);
void loop_timer_set(struct loop_timer *, long ms);
void loop_timer_free(struct loop_timer *);

/* Called after each round of events: where the group commit runs.  Several
 * run in the order of their coming. */
void loop_after(struct loop *, loop_fn *, void *ctx);

/* Turns until loop_stop(), the round of which is finished. 0, or -1 with
 * errno. */
int loop_run(struct loop *);
void loop_stop(struct loop *);

int64_t loop_now_ms(void); /* CLOCK_MONOTONIC */

#endif
