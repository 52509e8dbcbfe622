/*
 * The outbox and a far side that is away, refuses, hangs, or is lost half-way:
 * with a clock that the test moves, and a real sender.
 */
#include "mailkeyd/despatch.h"
#include "tests/unit/store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY	 (24 * HOUR)
#define WEEK	 (7 * DAY)
#define PATIENCE (30 * 1000) /* ms; only a test that fails waits so long */

/* ---- the clock ----------------------------------------------------------- */

static time_t clock_now = NOW;

/* Takes the place of the C library's. */
time_t
time(time_t *t)
{
	if (t != NULL)
		*t = clock_now;
	return clock_now;
}

/* ---- a core of an outbox and its senders --------------------------------- */

struct world {
	struct tempstore *store;
	struct config config;
	struct loop *loop;
	struct despatch *despatch;
	struct loop_timer *tick;
	bool (*done)(struct world *);
	int64_t until; /* of PATIENCE */
	pid_t sink;
	char path[300]; /* what the far side has taken */
	/* of the last look at the one mail that waits */
	uint32_t attempts;
	time_t due, stop_at; /* 0: never */
	time_t tried[100];
	size_t ntried;
};

static char *
built(const char *name)
{
	static char path[512];
	const char *b = getenv("B");

	snprintf(path, sizeof(path), "%s/%s", b != NULL ? b : "build", name);
	return path;
}

static void
settle(void *ctx)
{
	despatch_settle(((struct world *)ctx)->despatch);
}

static void
look(void *ctx)
{
	struct world *w = ctx;

	if (w->done(w) || loop_now_ms() > w->until)
		loop_stop(w->loop);
	else
		loop_timer_set(w->tick, 2);
}

/* Turns the loop until done() says so. */
static void
run_until(struct world *w, bool (*done)(struct world *), const char *what)
{
	w->done = done;
	w->until = loop_now_ms() + PATIENCE;
	loop_timer_set(w->tick, 0);
	assert_int_equal(loop_run(w->loop), 0);
	if (loop_now_ms() > w->until)
		fail_msg("waited for %s", what);
}

static void
world_start(struct world *w, enum send_type type, unsigned connections)
{
	static char libexec[512], host[] = "127.0.0.1", helo[] = "example.org";

	snprintf(libexec, sizeof(libexec), "%s", built(""));
	libexec[strlen(libexec) - 1] = '\0';
	w->config.libexec = libexec;
	w->config.send.type = type;
	w->config.send.host = host;
	w->config.send.helo = helo;
	w->config.send.path = w->path;
	w->config.send.connections = connections;
	w->config.send.retry = 60;
	w->config.send.give_up = WEEK;
	w->loop = loop_new();
	assert_non_null(w->loop);
	w->tick = loop_timer_new(w->loop, look, w);
	assert_non_null(w->tick);
	w->despatch = despatch_new(w->loop, &w->config, w->store->ks);
	assert_non_null(w->despatch);
	loop_after(w->loop, settle, w);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	void *store = NULL;

	*state = w;
	clock_now = NOW;
	if (w == NULL || store_setup(&store) == -1)
		return -1;
	w->store = store;
	snprintf(w->path, sizeof(w->path), "%s/far", w->store->dir);
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	void *store = w->store;
	int ret;

	despatch_free(w->despatch);
	loop_timer_free(w->tick);
	loop_free(w->loop);
	if (w->sink > 0) {
		kill(w->sink, SIGTERM);
		waitpid(w->sink, NULL, 0);
	}
	ret = store_teardown(&store);
	free(w);
	return ret;
}

static void
add_tried(struct world *w, const char *to, uint32_t attempts, time_t due)
{
	char recipient[64], log_id[] = "4f2a9c01";
	static unsigned char text[] =
	    "Message-ID: <1@example.org>\r\n\r\nx\r\n";
	struct outbox_item item = {.due = due,
	    .queued = clock_now,
	    .attempts = attempts,
	    .recipient = recipient,
	    .log_id = log_id,
	    .message = {text, sizeof(text) - 1}};
	uint64_t id;

	snprintf(recipient, sizeof(recipient), "%s", to);
	begin(w->store);
	assert_int_equal(outbox_add(w->store->ks, &item, &id), KS_OK);
	commit(w->store);
}

static void
add(struct world *w, const char *to)
{
	add_tried(w, to, 0, clock_now);
}

static uint64_t
waiting(struct world *w)
{
	struct ks_info info;

	assert_int_equal(ks_info(w->store->ks, &info), KS_OK);
	return info.outbox;
}

static bool
is_empty(struct world *w)
{
	return waiting(w) == 0;
}

static struct despatch_counts
counts(struct world *w)
{
	struct despatch_counts c;

	despatch_count(w->despatch, &c);
	return c;
}

static unsigned wanted;

static bool
so_many_are_sent(struct world *w)
{
	return counts(w).sent == wanted;
}

/* ---- away ---------------------------------------------------------------- */

static bool
first_item(void *ctx, const struct outbox_item *item)
{
	struct world *w = ctx;

	w->attempts = item->attempts;
	w->due = item->due;
	return false;
}

/* A failure that is written down moves the clock to the next attempt. */
static bool
move_on(struct world *w)
{
	uint32_t before = w->attempts;

	if (is_empty(w))
		return true;
	assert_int_equal(outbox_each(w->store->ks, first_item, w), KS_OK);
	if (w->attempts == before)
		return false;
	assert_int_equal(w->attempts, before + 1);
	assert_true(w->ntried < sizeof(w->tried) / sizeof(w->tried[0]));
	w->tried[w->ntried++] = clock_now;
	if (w->stop_at != 0 && w->due >= w->stop_at)
		return true;
	clock_now = w->due;
	despatch_kick(w->despatch);
	return false;
}

static void
far_side_is_away(struct world *w)
{
	FILE *f = fopen(w->path, "w"); /* a file where the folder should be */

	assert_non_null(f);
	fclose(f);
}

/* 60 s, twice as long each time, up to 4 hours, given up after 7 days. */
static void
test_back_off(void **state)
{
	struct world *w = *state;
	time_t wait = 60;

	far_side_is_away(w);
	add(w, "a@example.net");
	world_start(w, SEND_MAILDIR, 1);
	run_until(w, move_on, "the end of it");
	assert_int_equal(w->tried[0], NOW);
	for (size_t i = 1; i < w->ntried; i++) {
		assert_int_equal(w->tried[i] - w->tried[i - 1], wait);
		wait = wait * 2 > 4 * HOUR ? 4 * HOUR : wait * 2;
	}
	assert_true(w->tried[w->ntried - 1] <= NOW + WEEK);
	assert_true(clock_now > NOW + WEEK);
	assert_true(clock_now <= NOW + WEEK + 4 * HOUR);
	assert_int_equal(counts(w).deferred, w->ntried);
	assert_int_equal(counts(w).refused, 1);
	assert_int_equal(counts(w).sent, 0);
}

/* Eight days without power, and then the MTA comes up after us: what waits is
 * older than a week and has not been tried since. */
static void
test_after_a_power_cut(void **state)
{
	struct world *w = *state;

	far_side_is_away(w);
	add(w, "a@example.net");
	clock_now = NOW + WEEK + DAY;
	world_start(w, SEND_MAILDIR, 1);
	run_until(w, move_on, "the end of it");
	assert_int_equal(w->tried[0], NOW + WEEK + DAY);
	assert_true(clock_now - w->tried[0] >= 4 * HOUR);
	assert_true(clock_now - w->tried[0] <= 12 * HOUR);
	assert_int_equal(counts(w).refused, 1);
}

/* Away for a day: what waited goes, and what came later waits for nothing. */
static void
test_away_for_a_day(void **state)
{
	struct world *w = *state;
	char new[320];

	far_side_is_away(w);
	add(w, "a@example.net");
	world_start(w, SEND_MAILDIR, 1);
	w->stop_at = NOW + DAY;
	run_until(w, move_on, "a day");
	assert_int_equal(waiting(w), 1);
	clock_now = w->due;
	assert_int_equal(unlink(w->path), 0);
	add(w, "b@example.net");
	despatch_kick(w->despatch);
	run_until(w, is_empty, "an empty outbox");
	assert_int_equal(counts(w).sent, 2);
	assert_int_equal(counts(w).refused, 0);
	snprintf(new, sizeof(new), "%s/new", w->path);
	assert_int_equal(access(new, F_OK), 0);
}

/* What was put off, or queued, while the clock was a year ahead, or an hour,
 * does not wait for so long. */
static void
test_clock_was_ahead(void **state)
{
	static const time_t by[] = {365 * DAY, 3 * DAY, DAY, HOUR, 30};

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		struct world *w;

		if (i > 0) {
			assert_int_equal(teardown(state), 0);
			assert_int_equal(setup(state), 0);
		}
		w = *state;
		clock_now = NOW + by[i];
		far_side_is_away(w);
		add(w, "a@example.net");
		world_start(w, SEND_MAILDIR, 1);
		w->stop_at = 1;
		run_until(w, move_on, "the first attempt");
		assert_int_equal(w->ntried, 1);
		add(w, "b@example.net");
		clock_now = NOW;
		assert_int_equal(unlink(w->path), 0);
		despatch_kick(w->despatch);
		run_until(w, is_empty, "an empty outbox");
		assert_int_equal(counts(w).sent, 2);
	}
}

/* A second, as clocks are set back now and then: what had to wait goes on to,
 * and so many that it takes several rounds of the loop to pass them are no
 * reason to miss what is behind them. */
static void
test_clock_was_ahead_a_bit(void **state)
{
	struct world *w = *state;

	clock_now = NOW - HOUR;
	for (unsigned i = 0; i < 600; i++) /* tried, its time comes */
		add_tried(w, "c@example.net", 1, NOW + HOUR);
	clock_now = NOW;
	add_tried(w, "b@example.net", 0, NOW + HOUR); /* a peer's, its hour */
	world_start(w, SEND_MAILDIR, 1);
	add(w, "a@example.net");
	clock_now = NOW + 2 * HOUR;
	add(w, "a@example.net");
	clock_now = NOW - 1;
	wanted = 2;
	despatch_kick(w->despatch);
	run_until(w, so_many_are_sent, "the others");
	assert_int_equal(waiting(w), 601);
}

/* Of a peer's mails, too, none waits for the hour of a clock that was ahead. */
static void
test_its_hour_was_ahead(void **state)
{
	struct world *w = *state;

	clock_now = NOW + 46 * HOUR;
	add_tried(w, "b@example.net", 0, clock_now + HOUR);
	clock_now = NOW;
	world_start(w, SEND_MAILDIR, 1);
	run_until(w, is_empty, "its mail");
}

/* What was queued while the clock was ahead ends all the same, and not at
 * once. */
static void
test_queued_ahead(void **state)
{
	static const time_t ahead[] = {365 * DAY, WEEK, 3 * DAY};

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		struct world *w;

		if (i > 0) {
			assert_int_equal(teardown(state), 0);
			assert_int_equal(setup(state), 0);
		}
		w = *state;
		far_side_is_away(w);
		clock_now = NOW + ahead[i];
		add(w, "a@example.net");
		clock_now = NOW;
		world_start(w, SEND_MAILDIR, 1);
		w->stop_at = NOW + 3 * WEEK;
		run_until(w, move_on, "the end of it");
		assert_int_equal(counts(w).refused, 1);
		assert_true(clock_now - NOW >= WEEK);
		assert_true(clock_now - NOW <= 2 * WEEK + 8 * HOUR);
	}
}

/* A peer's mails wait for hours in which they may go, and of one large change
 * the last for more than two days. */
static void
test_its_hour(void **state)
{
	struct world *w = *state;
	const time_t hour = NOW + 60 * HOUR;

	add_tried(w, "b@example.net", 0, hour);
	add(w, "a@example.net");
	wanted = 1;
	world_start(w, SEND_MAILDIR, 1);
	run_until(w, so_many_are_sent, "the other one");
	add(w, "a@example.net");
	wanted = 2;
	despatch_kick(w->despatch);
	run_until(w, so_many_are_sent, "another one");
	assert_int_equal(waiting(w), 1);
	assert_int_equal(outbox_each(w->store->ks, first_item, w), KS_OK);
	assert_int_equal(w->due, hour);
	clock_now = hour;
	despatch_kick(w->despatch);
	run_until(w, is_empty, "its hour");
}

/* ---- an SMTP server that misbehaves -------------------------------------- */

static void
sink_start(struct world *w, const char *rule)
{
	char *argv[] = {built("tools/smtpsink"), (char *)"-r",
	    (char *)(uintptr_t)rule, w->path, NULL};
	char line[16];
	int out[2];
	ssize_t got;

	assert_int_equal(mkdir(w->path, 0700), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w->sink = fork();
	assert_int_not_equal(w->sink, -1);
	if (w->sink == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves it */
		dup2(out[1], 1);
		execv(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	got = read(out[0], line, sizeof(line) - 1);
	assert_true(got > 0);
	line[got] = '\0';
	w->config.send.port = (uint16_t)strtoul(line, NULL, 10);
	close(out[0]);
}

#define BAD    "bad@example.net"
#define OTHERS 10

/* What happens to a mail for BAD beside others; `left`: it waits. */
static const struct far_side {
	const char *name, *rule;
	unsigned sent, deferred, refused;
	bool left;
} far_sides[] = {
    {"4xx", "rcpt=450,to=" BAD, OTHERS, 1, 0, true},
    {"4xx at the end", "dot=451,to=" BAD, OTHERS, 1, 0, true},
    {"5xx", "rcpt=550,to=" BAD, OTHERS, 0, 1, false},
    {"5xx at the end", "dot=554,to=" BAD, OTHERS, 0, 1, false},
    {"no answer that is one", "rcpt=350,to=" BAD, OTHERS, 1, 0, true},
    {"two answers", "rcpt=twice,to=" BAD, OTHERS, 1, 0, true},
    {"an answer without end", "rcpt=flood,to=" BAD, OTHERS, 1, 0, true},
    {"closed", "rcpt=close,to=" BAD, OTHERS, 1, 0, true},
    {"closed in the mail", "body=close,to=" BAD, OTHERS, 1, 0, true},
    {"closed at the dot", "dot=close,to=" BAD, OTHERS, 1, 0, true},
    {"taken and closed", "dot=keepclose,to=" BAD, OTHERS, 1, 0, true},
    /* 30 s for a command: the others are long gone. */
    {"silent", "rcpt=hang,to=" BAD, OTHERS, 0, 0, true},
    {"drop by drop", "rcpt=dribble,to=" BAD, OTHERS, 0, 0, true},
    {"silent at the dot", "dot=hang,to=" BAD, OTHERS, 0, 0, true},
};

static const struct far_side *side;

static bool
all_that_can_is_done(struct world *w)
{
	struct despatch_counts c = counts(w);

	return c.sent == side->sent && c.deferred == side->deferred &&
	       c.refused == side->refused;
}

/* One bad address never delays the others. */
static void
test_bad_address(void **state)
{
	for (size_t i = 0; i < sizeof(far_sides) / sizeof(far_sides[0]); i++) {
		struct world *w;

		/* the first world is cmocka's */
		if (i > 0) {
			assert_int_equal(teardown(state), 0);
			assert_int_equal(setup(state), 0);
		}
		w = *state;
		side = &far_sides[i];
		sink_start(w, side->rule);
		add(w, BAD);
		for (int k = 0; k < OTHERS; k++)
			add(w, "good@example.net");
		world_start(w, SEND_SMTP, 2);
		run_until(w, all_that_can_is_done, side->name);
		if (waiting(w) != side->left)
			fail_msg("%s: %u mails wait", side->name,
			    (unsigned)waiting(w));
	}
}

/* ---- more of them than there are senders --------------------------------- */

#define HANGS "bad@hangs.example"

static int64_t since; /* ms */

static bool
after_a_while(struct world *w)
{
	(void)w;
	return loop_now_ms() - since > 3200;
}

static bool
others_are_sent(struct world *w)
{
	return counts(w).sent == OTHERS;
}

static void
add_hanging(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		add(w, HANGS);
	for (unsigned i = 0; i < OTHERS; i++)
		add(w, "good@example.net");
	despatch_kick(w->despatch);
}

/* Once it is known that a domain hangs, one sender is left to others. */
static void
test_hanging_domain(void **state)
{
	struct world *w = *state;

	sink_start(w, "rcpt=hang,to=" HANGS);
	add(w, HANGS);
	since = loop_now_ms();
	world_start(w, SEND_SMTP, 2);
	run_until(w, after_a_while, "three seconds");
	add_hanging(w, 5);
	run_until(w, others_are_sent, "the others");
	/* the first one, in its thirty seconds, still has its sender */
	assert_int_equal(counts(w).deferred, 0);
	assert_int_equal(waiting(w), 6);
}

static unsigned reads;
static int (*db_get)(DB *, DB_TXN *, DBT *, DBT *, uint32_t);

static int
counting_get(DB *db, DB_TXN *txn, DBT *key, DBT *value, uint32_t flags)
{
	reads++;
	return db_get(db, txn, key, value, flags);
}

/* However many wait for a domain that hangs, the answer of somebody else costs
 * no more reads for it. */
static void
test_reads(void **state)
{
	struct world *w = *state;
	DB *outbox = w->store->ks->table[T_OUTBOX];

	sink_start(w, "rcpt=hang,to=" HANGS);
	add(w, HANGS);
	since = loop_now_ms();
	world_start(w, SEND_SMTP, 2);
	run_until(w, after_a_while, "three seconds");
	for (unsigned i = 0; i < 400; i++)
		add(w, HANGS);
	db_get = outbox->get;
	outbox->get = counting_get;
	for (wanted = 1; wanted <= 20; wanted++) {
		add(w, "good@example.net");
		despatch_kick(w->despatch);
		run_until(w, so_many_are_sent, "an answer");
	}
	outbox->get = db_get;
	/* each one's head, and the first of those that wait for the next round
	 * of the loop; the 20 once more, with their messages */
	assert_in_range(reads, 440, 450);
}

static bool
has_given_way(struct world *w)
{
	return counts(w).deferred >= 1 && others_are_sent(w);
}

/* It was not known: all senders hang, at the final dot.  While others wait
 * they have a minute, here a second, and not ten. */
static void
test_all_hang(void **state)
{
	struct world *w = *state;

	despatch_pressed = 1000;
	sink_start(w, "dot=hang,to=" HANGS);
	add(w, HANGS);
	add(w, HANGS);
	since = loop_now_ms();
	world_start(w, SEND_SMTP, 2);
	run_until(w, after_a_while, "three seconds");
	/* nobody waits: they may take their time */
	assert_int_equal(counts(w).deferred, 0);
	add_hanging(w, 0);
	run_until(w, has_given_way, "the others");
	despatch_pressed = 60000;
}

/* Each time it has given way a mail gets twice the time: a server that is slow
 * with everybody would take another copy with each attempt. */
static void
test_gives_way_less_often(void **state)
{
	struct world *w = *state;

	despatch_pressed = 1000;
	sink_start(w, "dot=hang,to=" HANGS);
	add_tried(w, HANGS, 4, clock_now);
	add_tried(w, HANGS, 4, clock_now);
	since = loop_now_ms();
	world_start(w, SEND_SMTP, 2);
	add_hanging(w, 0);
	run_until(w, after_a_while, "three seconds");
	assert_int_equal(counts(w).deferred, 0);
	despatch_pressed = 60000;
}

/* A sendmail that hangs has all of its time: another one beside it would hang
 * as well, and in the end both deliver. */
static void
test_sendmail_hangs(void **state)
{
	struct world *w = *state;
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	fputs("#!/bin/sh\nexec sleep 1000\n", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(w->path, 0700), 0);
	despatch_pressed = 1000;
	add(w, "a@example.net");
	add(w, "b@example.com");
	since = loop_now_ms();
	world_start(w, SEND_SENDMAIL, 2);
	add_hanging(w, 0);
	run_until(w, after_a_while, "three seconds");
	assert_int_equal(counts(w).deferred, 0);
	assert_int_equal(counts(w).deaths, 0);
	despatch_pressed = 60000;
}

/* ---- a yes that is lost -------------------------------------------------- */

static bool
one_deferred(struct world *w)
{
	return counts(w).deferred == 1;
}

/* A mail that was taken, and whose yes was lost, goes again as it was. */
static void
test_twice(void **state)
{
	struct world *w = *state;
	char path[320], text[2][512] = {"", ""};

	sink_start(w, "dot=keepclose,times=1");
	add(w, "a@example.net");
	world_start(w, SEND_SMTP, 1);
	run_until(w, one_deferred, "the first attempt");
	assert_int_equal(waiting(w), 1);
	clock_now += 59;
	despatch_kick(w->despatch);
	assert_int_equal(counts(w).sent, 0);
	clock_now += 1;
	despatch_kick(w->despatch);
	run_until(w, is_empty, "the second one");
	for (int i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%06d", w->path, i + 1);
		f = fopen(path, "r");
		assert_non_null(f);
		assert_true(fread(text[i], 1, sizeof(text[i]) - 1, f) > 50);
		fclose(f);
	}
	assert_string_equal(text[0], text[1]);
	assert_non_null(strstr(text[0], "Message-ID: <1@example.org>"));
}

/* ---- a store that does not take a result --------------------------------- */

static bool
is_there(struct world *w, const char *what)
{
	char path[320];

	snprintf(path, sizeof(path), "%s.%s", w->path, what);
	return access(path, F_OK) == 0;
}

static bool
has_begun(struct world *w)
{
	return is_there(w, "begun");
}

static bool
has_ended(struct world *w)
{
	return is_there(w, "ended") && loop_now_ms() - since > 500;
}

static bool
at_once(struct world *w)
{
	assert_int_equal(counts(w).sent, 1);
	return true;
}

/* It is asked again in a second, although there is a kick, another answer is
 * due tomorrow, and nothing else happens here. */
static void
test_store_says_no(void **state)
{
	struct world *w = *state;
	char path[320];
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	fputs(
	    "#!/bin/sh\n>$0.begun\nwhile [ ! -e $0.go ]; do sleep 0.01; done\n"
	    "cat >/dev/null; >$0.ended\n",
	    f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(w->path, 0700), 0);
	add(w, "a@example.net");
	add_tried(w, "b@example.net", 1, NOW + DAY);
	world_start(w, SEND_SENDMAIL, 2);
	run_until(w, has_begun, "the sendmail");
	w->store->ks->closed = KS_IO;
	snprintf(path, sizeof(path), "%s.go", w->path);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	since = loop_now_ms();
	run_until(w, has_ended, "its end");
	assert_int_equal(counts(w).sent, 0);
	w->store->ks->closed = KS_OK;
	despatch_kick(w->despatch);
	w->done = at_once;
	loop_timer_set(w->tick, 3000);
	assert_int_equal(loop_run(w->loop), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_back_off),
	    TEST(test_after_a_power_cut),
	    TEST(test_away_for_a_day),
	    TEST(test_clock_was_ahead),
	    TEST(test_clock_was_ahead_a_bit),
	    TEST(test_its_hour_was_ahead),
	    TEST(test_queued_ahead),
	    TEST(test_its_hour),
	    TEST(test_bad_address),
	    TEST(test_hanging_domain),
	    TEST(test_reads),
	    TEST(test_all_hang),
	    TEST(test_gives_way_less_often),
	    TEST(test_sendmail_hangs),
	    TEST(test_twice),
	    TEST(test_store_says_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
