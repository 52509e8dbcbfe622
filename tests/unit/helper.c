/*
 * Helpers that work, die, hang: this program is its own helper, by the role
 * that stands in its environment.
 */
#include "mailkeyd/helper.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "some-helper"
#define ROLE "HELPER_TEST_ROLE"
#define SOCK 3

/* ---- the helper ---------------------------------------------------------- */

static unsigned
descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 3; /* . and .. and its own */
}

static int
be_helper(const char *role)
{
	struct ipc_msg msg;

	if (strcmp(role, "dies") == 0)
		return 7;
	while (ipc_recv(SOCK, &msg) == 1) {
		msg.a = descriptors();
		ipc_msg_close(&msg);
		if (ipc_send(SOCK, &msg) == -1)
			return 1;
		if (strcmp(role, "answers once") == 0)
			raise(SIGKILL);
	}
	while (strcmp(role, "hangs") == 0)
		pause();
	return 0;
}

/* ---- its owner ----------------------------------------------------------- */

static struct {
	struct loop *loop;
	struct helper *helper;
	struct loop_timer *late;
	char dir[256];
	unsigned ups, downs, messages;
	unsigned want_ups, want_downs, want_messages; /* the loop stops then */
	int64_t up_at[16];
	uint64_t last_id, last_a;
	bool refuses, kills; /* from within up, from within message */
	bool kills_up;	     /* from within up */
	bool is_late;
} t;

static int
on_up(void *ctx, struct helper *h)
{
	assert_ptr_equal(ctx, &t);
	assert_true(helper_is_up(h));
	if (t.ups < 16)
		t.up_at[t.ups] = loop_now_ms();
	t.ups++;
	if (t.kills_up) {
		helper_kill(h);
		assert_false(helper_is_up(h));
	}
	return t.refuses ? -1 : 0;
}

static void
on_message(void *ctx, struct helper *h, struct ipc_msg *msg)
{
	assert_ptr_equal(ctx, &t);
	t.messages++;
	t.last_id = msg->id;
	t.last_a = msg->a;
	if (!t.kills)
		return;
	helper_kill(h);
	assert_false(helper_is_up(h));
	assert_int_equal(helper_send(h, msg), -1);
	assert_int_equal(t.downs, 0); /* not before this returns */
}

static void
on_down(void *ctx, struct helper *h)
{
	struct ipc_msg msg;

	assert_ptr_equal(ctx, &t);
	t.downs++;
	assert_false(helper_is_up(h));
	assert_int_equal(helper_pid(h), 0);
	ipc_msg_init(&msg, 1, 1);
	errno = 0;
	assert_int_equal(helper_send(h, &msg), -1);
	assert_int_equal(errno, ENOTCONN);
	helper_kill(h); /* there is none: nothing happens */
}

static const struct helper_calls calls = {on_up, on_message, on_down};

static void
check(void *ctx)
{
	(void)ctx;
	if (t.ups >= t.want_ups && t.downs >= t.want_downs &&
	    t.messages >= t.want_messages)
		loop_stop(t.loop);
}

static void
on_late(void *ctx)
{
	(void)ctx;
	t.is_late = true;
	loop_stop(t.loop);
}

/* Turns until at least so many calls have come. */
static void
turn_until(unsigned ups, unsigned downs, unsigned messages)
{
	t.want_ups = ups;
	t.want_downs = downs;
	t.want_messages = messages;
	t.is_late = false;
	loop_timer_set(t.late, 20000);
	assert_int_equal(loop_run(t.loop), 0);
	loop_timer_set(t.late, -1);
	assert_false(t.is_late);
}

static void
say(uint64_t id)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, 1, id);
	assert_int_equal(helper_send(t.helper, &msg), 0);
}

static void
start(const char *role)
{
	assert_int_equal(setenv(ROLE, role, 1), 0);
	t.helper = helper_new(t.loop, t.dir, NAME, &calls, &t);
	assert_non_null(t.helper);
}

static int
setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char self[256], path[300];
	ssize_t n;

	(void)state;
	memset(&t, 0, sizeof(t));
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n == -1)
		return -1;
	self[n] = '\0';
	snprintf(t.dir, sizeof(t.dir), "%s/mailkeyd-test.XXXXXX",
	    base != NULL ? base : "/tmp");
	if (mkdtemp(t.dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/" NAME, t.dir);
	t.loop = loop_new();
	if (t.loop == NULL || symlink(self, path) == -1)
		return -1;
	t.late = loop_timer_new(t.loop, on_late, NULL);
	loop_after(t.loop, check, NULL);
	return t.late == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	helper_free(t.helper);
	loop_timer_free(t.late);
	loop_free(t.loop);
	nftw(t.dir, tempstore_unlink, 16, FTW_DEPTH | FTW_PHYS);
	/* No child is left, nor a dead one that nobody waited for. */
	return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

/* ---- the tests ----------------------------------------------------------- */

static void
it_answers(void **state)
{
	(void)state;
	start("answers");
	assert_int_equal(t.ups, 1);
	assert_true(helper_pid(t.helper) > 0);
	for (uint64_t i = 1; i <= 100; i++)
		say(i);
	turn_until(1, 0, 100);
	assert_int_equal(t.last_id, 100);
	assert_int_equal(t.downs, 0);
	assert_int_equal(helper_deaths(t.helper), 0);
}

static void
it_inherits_four_descriptors(void **state)
{
	int extra[2];

	(void)state;
	assert_int_equal(pipe(extra), 0); /* not close-on-exec */
	start("answers");
	say(1);
	turn_until(1, 0, 1);
	close(extra[0]);
	close(extra[1]);
	assert_int_equal(t.last_a, 4);
}

static void
it_comes_back(void **state)
{
	int pid;

	(void)state;
	start("answers");
	pid = helper_pid(t.helper);
	assert_int_equal(kill(pid, SIGKILL), 0);
	turn_until(2, 1, 0);
	assert_int_equal(helper_deaths(t.helper), 1);
	assert_true(helper_pid(t.helper) > 0);
	assert_int_not_equal(helper_pid(t.helper), pid);
	say(5);
	turn_until(2, 1, 1);
	assert_int_equal(t.last_id, 5);
}

static void
back_off(void **state)
{
	unsigned before = descriptors();

	(void)state;
	start("dies");
	turn_until(5, 4, 0);
	assert_true(helper_deaths(t.helper) >= 4);
	for (unsigned i = 1; i < 5; i++) {
		long wait = (long)(t.up_at[i] - t.up_at[i - 1]);
		long least = 100L << (i - 1);

		if (wait < least || wait > 2 * least + 5000)
			fail_msg("start %u after %ld ms", i, wait);
	}
	helper_free(t.helper);
	t.helper = NULL;
	assert_int_equal(descriptors(), before);
}

/* What it said before it died still counts. */
static void
last_words(void **state)
{
	(void)state;
	start("answers once");
	say(1);
	turn_until(1, 1, 1);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.downs, 1);
	turn_until(2, 1, 1);
	say(2);
	turn_until(2, 2, 2);
	assert_int_equal(t.last_id, 2);
}

static void
killed_from_outside_a_call(void **state)
{
	(void)state;
	start("answers");
	helper_kill(t.helper);
	assert_int_equal(t.downs, 1); /* at once */
	helper_kill(t.helper);
	assert_int_equal(t.downs, 1);
	turn_until(2, 1, 0);
	say(1);
	turn_until(2, 1, 1);
}

static void
killed_from_within_a_call(void **state)
{
	(void)state;
	start("answers");
	for (uint64_t i = 1; i <= 10; i++)
		say(i);
	t.kills = true;
	turn_until(1, 1, 1);
	assert_int_equal(t.messages, 1); /* the others are lost */
	t.kills = false;
	turn_until(2, 1, 1);
	assert_int_equal(helper_deaths(t.helper), 1);
}

static void
up_fails(void **state)
{
	(void)state;
	t.refuses = true;
	start("answers");
	assert_int_equal(t.downs, 1);
	turn_until(2, 2, 0);
	t.refuses = false;
	turn_until(3, 2, 0);
	say(1);
	turn_until(3, 2, 1);
}

/* One death, whatever up() says of it: the second one of no process would be
 * that of our group. */
static void
killed_from_within_up(void **state)
{
	pid_t group = getpgrp();

	(void)state;
	if (group != getpid())
		assert_int_equal(setpgid(0, 0), 0);
	t.kills_up = true;
	start("answers");
	assert_int_equal(t.downs, 1);
	t.refuses = true;
	turn_until(2, 2, 0);
	assert_int_equal(t.downs, 2);
	assert_int_equal(helper_deaths(t.helper), 2);
	if (group != getpid())
		assert_int_equal(setpgid(0, group), 0);
	t.kills_up = t.refuses = false;
	turn_until(3, 2, 0);
	say(1);
	turn_until(3, 2, 1);
}

static void
no_such_program(void **state)
{
	(void)state;
	errno = 0;
	assert_null(helper_new(t.loop, t.dir, "none", &calls, &t));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(t.ups, 0);
}

/* A program that is gone later is tried again, not given up. */
static void
program_goes_and_comes(void **state)
{
	char path[300], away[300];

	(void)state;
	start("answers");
	snprintf(path, sizeof(path), "%s/" NAME, t.dir);
	snprintf(away, sizeof(away), "%s/away", t.dir);
	assert_int_equal(rename(path, away), 0);
	helper_kill(t.helper);
	loop_timer_set(t.late, 400);
	t.want_ups = 2;
	assert_int_equal(loop_run(t.loop), 0);
	assert_true(t.is_late);
	assert_int_equal(t.ups, 1);
	assert_int_equal(t.downs, 1);
	assert_int_equal(rename(away, path), 0);
	turn_until(2, 1, 0);
}

/* The end does not wait for one that does not listen. */
static void
it_hangs(void **state)
{
	int64_t began;

	(void)state;
	start("hangs");
	say(1);
	turn_until(1, 0, 1);
	began = loop_now_ms();
	helper_free(t.helper);
	t.helper = NULL;
	assert_true(loop_now_ms() - began < 15000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(it_answers),
	    TEST(it_inherits_four_descriptors), TEST(it_comes_back),
	    TEST(back_off), TEST(last_words), TEST(killed_from_outside_a_call),
	    TEST(killed_from_within_a_call), TEST(up_fails),
	    TEST(killed_from_within_up), TEST(no_such_program),
	    TEST(program_goes_and_comes), TEST(it_hangs)};
	const char *role = getenv(ROLE);

	if (role != NULL)
		return be_helper(role);
	return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}
