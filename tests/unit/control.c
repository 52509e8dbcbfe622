/*
 * The control socket when connections are too many, or silent, or cannot be
 * taken.  The loop is the test's own: it turns when told to.
 */
#include "mailkeyd/control.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define SLOTS 64 /* connections that are served at a time */

/* ---- a loop without a clock ---------------------------------------------- */

struct loop_io {
	loop_io_fn *fn;
	void *ctx;
	uint32_t events;
};

struct loop_timer {
	loop_fn *fn;
	void *ctx;
	long ms; /* -1: disarmed */
};

static struct loop_io *newest_io;
static struct loop_timer *newest_timer;

struct loop_io *
loop_io_new(
    struct loop *loop, int fd, uint32_t events, loop_io_fn *fn, void *ctx)
{
	(void)loop;
	(void)fd;
	newest_io = calloc(1, sizeof(*newest_io));
	assert_non_null(newest_io);
	*newest_io = (struct loop_io){fn, ctx, events};
	return newest_io;
}

int
loop_io_events(struct loop_io *io, uint32_t events)
{
	io->events = events;
	return 0;
}

void
loop_io_free(struct loop_io *io)
{
	free(io);
}

struct loop_timer *
loop_timer_new(struct loop *loop, loop_fn *fn, void *ctx)
{
	(void)loop;
	newest_timer = calloc(1, sizeof(*newest_timer));
	assert_non_null(newest_timer);
	*newest_timer = (struct loop_timer){fn, ctx, -1};
	return newest_timer;
}

void
loop_timer_set(struct loop_timer *timer, long ms)
{
	timer->ms = ms;
}

void
loop_timer_free(struct loop_timer *timer)
{
	free(timer);
}

void
loop_after(struct loop *loop, loop_fn *fn, void *ctx)
{
	(void)loop;
	(void)fn;
	(void)ctx;
}

void
loop_stop(struct loop *loop)
{
	(void)loop;
}

int64_t
loop_now_ms(void)
{
	return 0;
}

/* ---- the room ------------------------------------------------------------ */

struct room {
	char dir[64], path[80];
	struct config config;
	struct control *control;
	struct loop_io *io;	  /* of the listening socket */
	struct loop_timer *pause; /* likewise */
};

static int
setup(void **state)
{
	struct room *room = calloc(1, sizeof(*room));
	const char *tmp = getenv("TMPDIR");
	struct gateway_parts parts = {0};
	char *error = NULL;

	assert_non_null(room);
	snprintf(room->dir, sizeof(room->dir), "%s/control.XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(room->dir));
	snprintf(room->path, sizeof(room->path), "%s/control", room->dir);
	room->config.control = room->path;
	parts.config = &room->config;
	room->control = control_listen(&parts, NULL, &error);
	if (room->control == NULL)
		fail_msg("%s", error);
	room->io = newest_io;
	room->pause = newest_timer;
	log_open("control", 0, 0);
	*state = room;
	return 0;
}

static int
teardown(void **state)
{
	struct room *room = *state;
	int rv;

	control_free(room->control);
	rv = rmdir(room->dir);
	free(room);
	return rv;
}

static int
dial(const struct room *room)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	assert_int_not_equal(sock, -1);
	memcpy(sun.sun_path, room->path, strlen(room->path) + 1);
	assert_int_equal(
	    connect(sock, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return sock;
}

static int
dial_in(const struct room *room)
{
	int sock = dial(room);

	room->io->fn(room->io->ctx, EPOLLIN);
	return sock;
}

/* The next message is an END, and nothing comes behind it. */
static void
assert_ended(int sock, const char *text)
{
	struct ipc_msg msg;

	assert_int_equal(ipc_recv(sock, &msg), 1);
	assert_int_equal(msg.type, CONTROL_END);
	assert_int_equal(msg.status, EX_TEMPFAIL);
	assert_non_null(strstr(msg.text, text));
	assert_int_equal(ipc_recv(sock, &msg), 0);
	close(sock);
}

/* ---- cases --------------------------------------------------------------- */

static void
test_silent(void **state)
{
	struct room *room = *state;
	int sock = dial_in(room);

	assert_int_equal(newest_timer->ms, 30000);
	newest_timer->fn(newest_timer->ctx);
	assert_ended(sock, "no command came");
}

static void
test_asked(void **state)
{
	struct room *room = *state;
	int sock = dial_in(room);
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_SYNC, 0);
	assert_int_equal(ipc_send(sock, &msg), 0);
	newest_io->fn(newest_io->ctx, EPOLLIN);
	assert_int_equal(newest_timer->ms, -1);
	assert_int_equal(ipc_recv(sock, &msg), 1);
	assert_int_equal(msg.type, CONTROL_END);
	assert_int_equal(msg.status, EX_UNAVAILABLE);
	close(sock);
}

/* A command that takes a while tells that we are there, once until it is
 * read. */
static void
test_alive(void **state)
{
	struct room *room = *state;
	int sock = dial_in(room);
	struct loop_timer *alive = newest_timer;
	struct loop_io *io = newest_io;
	struct ipc_msg msg;
	unsigned n = 0;

	ipc_msg_init(&msg, CONTROL_DUMP, 0);
	assert_int_equal(ipc_send(sock, &msg), 0);
	io->fn(io->ctx, EPOLLIN);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(alive->ms, CONTROL_ALIVE_MS);
		alive->fn(alive->ctx);
	}
	for (; ipc_recv(sock, &msg) == 1; n++)
		assert_int_equal(msg.type, CONTROL_ALIVE);
	assert_in_range(n, 1, 100);
	close(sock);
}

#ifndef SANITIZED
struct block {
	struct block *next;
};

/* Takes all memory that there is. */
static struct block *
memory_take(void)
{
	struct block *all = NULL, *block;

	for (size_t size = 1 << 16; size >= sizeof(*block); size /= 2)
		while ((block = malloc(size)) != NULL) {
			block->next = all;
			all = block;
		}
	return all;
}

/* What cannot be said for want of memory ends the connection: nobody waits for
 * it. */
static void
test_no_memory(void **state)
{
	struct room *room = *state;
	int sock = dial_in(room);
	struct loop_io *io = newest_io;
	struct block *all, *next;
	struct rlimit was, none;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_SYNC, 0);
	assert_int_equal(ipc_send(sock, &msg), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
	none = (struct rlimit){0, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	all = memory_take();
	io->fn(io->ctx, EPOLLIN);
	for (; all != NULL; all = next) {
		next = all->next;
		free(all);
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
	assert_int_equal(ipc_recv(sock, &msg), 0);
	io->fn(io->ctx, EPOLLIN | EPOLLHUP);
	close(sock);
}
#endif

static void
test_too_many(void **state)
{
	struct room *room = *state;
	int sock[SLOTS];

	for (int i = 0; i < SLOTS; i++)
		sock[i] = dial_in(room);
	assert_ended(dial_in(room), "too many connections");
	newest_timer->fn(newest_timer->ctx);
	assert_ended(sock[SLOTS - 1], "no command came");
	sock[SLOTS - 1] = dial_in(room);
	assert_int_equal(newest_timer->ms, 30000);
	for (int i = 0; i < SLOTS; i++)
		close(sock[i]);
}

/* Out of descriptors: it does not spin on what it cannot take. */
static void
test_no_descriptor(void **state)
{
	struct room *room = *state;
	struct rlimit was, none;
	int sock = dial(room);
	struct ipc_msg msg;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){0, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	room->io->fn(room->io->ctx, EPOLLIN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(room->io->events, 0);
	assert_int_equal(room->pause->ms, 1000);
	room->pause->fn(room->pause->ctx);
	assert_int_equal(room->io->events, EPOLLIN);
	room->io->fn(room->io->ctx, EPOLLIN);
	assert_int_equal(ipc_recv(sock, &msg), -1);
	assert_int_equal(errno, EAGAIN); /* it was taken, and waits for us */
	close(sock);
}

#define control_test(name)                                                     \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    control_test(test_silent),
	    control_test(test_asked),
	    control_test(test_alive),
#ifndef SANITIZED
	    control_test(test_no_memory),
#endif
	    control_test(test_too_many),
	    control_test(test_no_descriptor),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
