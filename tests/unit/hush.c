/*
 * Lines of the log that say the same over and over, with a clock that the test
 * moves.
 */
#include "mailkeyd/hush.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

/* ---- a loop of one timer ------------------------------------------------- */

struct loop_timer {
	loop_fn *fn;
	void *ctx;
	int64_t due; /* -1: it does not run */
};

static struct loop_timer timer;
static int64_t clock_now;

int64_t
loop_now_ms(void)
{
	return clock_now;
}

struct loop_timer *
loop_timer_new(struct loop *loop, loop_fn *fn, void *ctx)
{
	(void)loop;
	timer = (struct loop_timer){.fn = fn, .ctx = ctx, .due = -1};
	return &timer;
}

void
loop_timer_set(struct loop_timer *t, long ms)
{
	t->due = ms == -1 ? -1 : clock_now + ms;
}

void
loop_timer_free(struct loop_timer *t)
{
	t->due = -1;
}

static void
move_to(int64_t when)
{
	while (timer.due != -1 && timer.due <= when) {
		clock_now = timer.due;
		timer.due = -1;
		timer.fn(timer.ctx);
	}
	clock_now = when;
}

/* ---- what the log gets --------------------------------------------------- */

static int err_before, err_now;

static void
log_catch(void)
{
	fflush(stderr);
	err_before = dup(2);
	err_now = memfd_create("log", MFD_CLOEXEC);
	assert_true(err_before != -1 && err_now != -1);
	dup2(err_now, 2);
}

/* Its lines, each without what is before "event=". */
static void
log_caught(char *text, size_t size)
{
	static char all[1 << 19];
	char *line, *rest = all;
	ssize_t n;

	fflush(stderr);
	dup2(err_before, 2);
	close(err_before);
	n = pread(err_now, all, sizeof(all) - 1, 0);
	close(err_now);
	assert_true(n >= 0);
	all[n] = '\0';
	*text = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		const char *event = strstr(line, "event=");
		size_t used = strlen(text);

		if (event != NULL)
			snprintf(text + used, size - used, "%s\n", event);
	}
}

/* ---- the cases ----------------------------------------------------------- */

#define STEPS 10

static const struct step_case {
	const char *name;
	unsigned lines; /* that pass in an hour */
	struct {
		int64_t at;
		const char *who, *what;
		bool passes;
	} step[STEPS]; /* who NULL: the end of them */
	int64_t until; /* that is looked at the log */
	const char *log;
} cases[] = {
    {"the first lines pass", 2, {{0, "a", "x", true}, {1, "a", "x", true}},
	2 * HOUR, ""},
    {"of the next a line tells", 1,
	{{0, "a", "x", true}, {0, "a", "x", false}, {500, "a", "x", false}},
	75 * SECOND, "event=more who=a note=x mails=2 seconds=1\n"},
    {"not while they come", 1,
	{{0, "a", "x", true}, {MINUTE / 2, "a", "x", false},
	    {MINUTE, "a", "x", false}, {3 * MINUTE / 2, "a", "x", false}},
	2 * MINUTE, ""},
    {"but when they have ended", 1,
	{{0, "a", "x", true}, {MINUTE / 2, "a", "x", false},
	    {MINUTE, "a", "x", false}, {3 * MINUTE / 2, "a", "x", false}},
	3 * MINUTE, "event=more who=a note=x mails=3 seconds=60\n"},
    {"again, when they come again", 1,
	{{0, "a", "x", true}, {0, "a", "x", false},
	    {5 * MINUTE, "a", "x", false}, {5 * MINUTE, "a", "x", false}},
	10 * MINUTE,
	"event=more who=a note=x mails=1 seconds=0\n"
	"event=more who=a note=x mails=2 seconds=0\n"},
    {"another sender", 1,
	{{0, "a", "x", true}, {0, "b", "x", true}, {1, "b", "x", false}},
	2 * MINUTE, "event=more who=b note=x mails=1 seconds=0\n"},
    {"another reason", 1,
	{{0, "a", "x", true}, {0, "a", "y", true}, {1, "a", "x", false}},
	2 * MINUTE, "event=more who=a note=x mails=1 seconds=0\n"},
    {"an hour later they pass again", 1,
	{{0, "a", "x", true}, {HOUR - 1, "a", "x", false},
	    {HOUR, "a", "x", true}, {HOUR + 1, "a", "x", false}},
	HOUR + 2 * MINUTE,
	"event=more who=a note=x mails=1 seconds=0\n"
	"event=more who=a note=x mails=1 seconds=0\n"},
    {"none passes", 0, {{0, "a", "x", false}}, 2 * MINUTE,
	"event=more who=a note=x mails=1 seconds=0\n"},
    {"a reason in words", 1,
	{{0, "a b", "over budget, not answered", true},
	    {0, "a b", "over budget, not answered", false}},
	2 * MINUTE,
	"event=more who=\"a b\" note=\"over budget, not answered\" mails=1 "
	"seconds=0\n"},
    {"a sender who would write a line of his own", 1,
	{{0, "a\nevent=b", "x", true}, {0, "a\nevent=b", "x", false}},
	2 * MINUTE,
	"event=more who=\"a\\x0Aevent=b\" note=x mails=1 seconds=0\n"},
    {"at the end", 1, {{0, "a", "x", true}, {0, "a", "x", false}}, 1, ""},
};

static struct hush *
start(void)
{
	struct hush *h;

	clock_now = HOUR; /* any */
	h = hush_new(NULL);
	assert_non_null(h);
	return h;
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct step_case *c = &cases[i];
		struct hush *h = start();
		char text[4096];

		log_catch();
		for (size_t k = 0; k < STEPS && c->step[k].who != NULL; k++) {
			move_to(HOUR + c->step[k].at);
			if (hush_passes(h, c->step[k].who, c->step[k].what,
				c->lines) != c->step[k].passes)
				fail_msg("%s: step %zu", c->name, k);
		}
		move_to(HOUR + c->until);
		log_caught(text, sizeof(text));
		if (strcmp(text, c->log) != 0)
			fail_msg("%s: the log has\n%s", c->name, text);
		log_catch(); /* what was not told yet */
		hush_free(h);
		log_caught(text, sizeof(text));
		assert_int_equal(*text != '\0',
		    strcmp(c->name, "at the end") == 0 ||
			strcmp(c->name, "not while they come") == 0);
	}
}

/* More senders than are known at a time: what was counted of those that are
 * forgotten is told, and nothing is lost. */
static void
test_many(void **state)
{
	static char text[1 << 19];
	struct hush *h = start();
	unsigned told = 0, passed = 0, mails;
	char who[64];

	(void)state;
	log_catch();
	for (int i = 0; i < 1000; i++) {
		move_to(HOUR + i);
		snprintf(who, sizeof(who), "u%d@example.net", i);
		for (int k = 0; k < 3; k++)
			passed += hush_passes(h, who, "x", 1);
	}
	hush_free(h);
	log_caught(text, sizeof(text));
	for (char *at = text; (at = strstr(at, "mails=")) != NULL; at++) {
		assert_int_equal(sscanf(at, "mails=%u", &mails), 1);
		told += mails;
	}
	assert_int_equal(passed, 1000);
	assert_int_equal(told, 2000);
}

/* Of what is too long the beginning counts. */
static void
test_long(void **state)
{
	struct hush *h = start();
	char who[400], what[100], text[4096];

	(void)state;
	memset(who, 'a', sizeof(who));
	memset(what, 'x', sizeof(what));
	who[sizeof(who) - 1] = what[sizeof(what) - 1] = '\0';
	log_catch();
	assert_true(hush_passes(h, who, what, 1));
	who[300] = what[80] = 'b';
	assert_false(hush_passes(h, who, what, 1));
	who[20] = 'b';
	assert_true(hush_passes(h, who, what, 1));
	hush_free(h);
	log_caught(text, sizeof(text));
	assert_non_null(strstr(text, "mails=1 "));
}

/* Whoever is silent for an hour is forgotten, and the timer rests. */
static void
test_rest(void **state)
{
	struct hush *h = start();

	(void)state;
	log_catch();
	hush_passes(h, "a", "x", 1);
	assert_int_equal(timer.due, -1);
	hush_passes(h, "a", "x", 1);
	assert_int_not_equal(timer.due, -1);
	move_to(HOUR + 2 * HOUR);
	assert_int_equal(timer.due, -1);
	hush_free(h);
	log_caught((char[4096]){0}, 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_long),
	    cmocka_unit_test(test_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
