/*
 * A Maildir whose mails have to wait, or to come again.  The gateway is a
 * stand-in of this file: it says of each mail what its text asks for, in the
 * next round of the loop.  So are, where a case wants it, the clock and what
 * the file system says.
 */
#include "mailkeyd/maildir.h"
#include "mailkeyd/receive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

/* ---- the system's stand-in ----------------------------------------------- */

static long ahead_ms;	 /* of the true clock */
static bool no_leases;	 /* F_SETLEASE fails with EAGAIN, as from NFS */
static bool grows;	 /* until it is asked for a lease, just in time */
static bool no_events;	 /* inotify runs short */
static long file_system; /* its number; 0: the true one */

int
inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (!no_events)
		return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
	errno = ENOSPC;
	return -1;
}

int
clock_gettime(clockid_t id, struct timespec *t)
{
	int result = (int)syscall(SYS_clock_gettime, id, t);

	if (id == CLOCK_MONOTONIC) {
		t->tv_sec += ahead_ms / 1000;
		t->tv_nsec += ahead_ms % 1000 * 1000000;
		if (t->tv_nsec >= 1000000000) {
			t->tv_sec++;
			t->tv_nsec -= 1000000000;
		}
	}
	return result;
}

int
fcntl(int fd, int command, ...)
{
	va_list ap;
	void *arg;

	if (command == F_SETLEASE && no_leases) {
		errno = EAGAIN;
		return -1;
	}
	if (command == F_SETLEASE && grows) {
		char path[64];
		int w;

		grows = false;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		w = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		assert_int_equal(write(w, " rest", 5), 5);
		close(w);
	}
	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	return (int)syscall(SYS_fcntl, fd, command, arg);
}

int
fstatfs(int fd, struct statfs *fs)
{
	int result = (int)syscall(SYS_fstatfs, fd, fs);

	if (file_system != 0)
		fs->f_type = file_system;
	return result;
}

/* ---- the gateway's stand-in ---------------------------------------------- */

struct job {
	gateway_done *done;
	void *ctx;
	char text[16];
};

#define SEEN 4096
static struct {
	char text[16];
	int64_t when;
} seen[SEEN];
static size_t nseen, enough; /* the loop ends at `enough` */
static struct job *hand[MAILDIR_WORK];
static size_t nhand;
static int refuse; /* errno of the next gateway_submit(), 0: takes it */
static int64_t refused_at;
static bool all_later; /* said to a full round of them at once */
static struct loop *loop;
static struct loop_timer *answer;

struct job *
gateway_submit(struct gateway *g, int memfd, const struct envelope *e,
    gateway_done *done, void *ctx)
{
	struct job *j;
	ssize_t n;

	(void)g;
	if (refuse != 0) {
		errno = refuse;
		refuse = 0;
		refused_at = loop_now_ms();
		return NULL;
	}
	assert_string_equal(e->source, "maildir");
	assert_true(nhand < MAILDIR_WORK && nseen < SEEN);
	j = calloc(1, sizeof(*j));
	assert_non_null(j);
	*j = (struct job){.done = done, .ctx = ctx};
	n = pread(memfd, j->text, sizeof(j->text) - 1, 0);
	assert_true(n >= 0);
	close(memfd);
	memcpy(seen[nseen].text, j->text, sizeof(j->text));
	seen[nseen++].when = loop_now_ms();
	hand[nhand++] = j;
	if (!all_later || nhand == MAILDIR_WORK)
		loop_timer_set(answer, 0);
	return j;
}

void
gateway_forget(struct job *j)
{
	j->done = NULL;
}

static void
answer_all(void *ctx)
{
	struct job *now[MAILDIR_WORK];
	size_t n = nhand;

	(void)ctx;
	memcpy(now, hand, sizeof(now));
	nhand = 0;
	for (size_t i = 0; i < n; i++) {
		bool later =
		    all_later || strncmp(now[i]->text, "later", 5) == 0;

		if (now[i]->done != NULL)
			now[i]->done(
			    now[i]->ctx, later ? FATE_LATER : FATE_DONE, "");
		free(now[i]);
	}
	if (nseen >= enough)
		loop_stop(loop);
}

/* ---- the folder ---------------------------------------------------------- */

static struct maildir *maildir;
static struct config config;
static struct config_receive receive;
static char dir[96], address[] = "keys@example.org", file[] = "t.conf";

static void
put(const char *name, const char *text)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/new/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int
setup(void **state)
{
	static const char *const parts[] = {"tmp", "cur", "new"};
	const char *tmp = getenv("TMPDIR");
	char path[160];

	(void)state;
	snprintf(dir, sizeof(dir), "%.60s/maildir-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, parts[i]);
		if (mkdir(path, 0700) == -1)
			return -1;
	}
	memset(&config, 0, sizeof(config));
	memset(&receive, 0, sizeof(receive));
	config.file = file;
	config.address = address;
	config.limits.mail.message_size = 100000;
	receive.type = RECEIVE_MAILDIR;
	receive.path = dir;
	nseen = nhand = 0;
	refuse = 0;
	all_later = no_leases = no_events = false;
	ahead_ms = file_system = 0;
	loop = loop_new();
	answer = loop == NULL ? NULL : loop_timer_new(loop, answer_all, NULL);
	return answer == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const parts[] = {"new", "tmp", "cur"};
	const struct dirent *entry;
	char path[160];
	DIR *new;

	(void)state;
	maildir_free(maildir);
	answer_all(NULL); /* what is left of them */
	loop_free(loop);
	snprintf(path, sizeof(path), "%s/new", dir);
	if ((new = opendir(path)) == NULL)
		return -1;
	while ((entry = readdir(new)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(new), entry->d_name, 0);
	closedir(new);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, parts[i]);
		rmdir(path);
	}
	return rmdir(dir);
}

static void
too_long(void *ctx)
{
	(void)ctx;
	fail_msg("%zu mails were taken, and not %zu", nseen, enough);
}

/* Turns the loop until that many mails were taken. */
static void
run_until(size_t n)
{
	struct loop_timer *t = loop_timer_new(loop, too_long, NULL);

	assert_non_null(t);
	enough = n;
	loop_timer_set(t, WAIT_MS);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_free(t);
}

static struct loop_timer *rounds;
static unsigned nrounds;

static void
round_over(void *ctx)
{
	(void)ctx;
	if (--nrounds == 0)
		loop_stop(loop);
	else
		loop_timer_set(rounds, 10);
}

/* Turns it until nothing more is to be done now. */
static void
run_now(void)
{
	rounds = loop_timer_new(loop, round_over, NULL);
	assert_non_null(rounds);
	nrounds = 10;
	enough = SEEN;
	loop_timer_set(rounds, 10);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_free(rounds);
}

static void
watch(void)
{
	char *error = NULL;

	maildir = maildir_watch(loop, NULL, &config, &receive, &error);
	if (maildir == NULL)
		fail_msg("%s", error);
}

/* ---- the cases ----------------------------------------------------------- */

/* Where a full round of mails has to come again the others are not even
 * tried. */
static void
test_all_put_off(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 4 * MAILDIR_WORK; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		put(name, "later");
	}
	watch();
	/* The first round, and what was in hand when the last of it came. */
	run_until(2 * MAILDIR_WORK + 1);
	assert_true(
	    seen[2 * MAILDIR_WORK].when - seen[MAILDIR_WORK - 1].when >= 900);
}

/* And for longer each time, as long as none is taken. */
static void
test_pause_grows(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 2 * MAILDIR_WORK; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		put(name, "x");
	}
	all_later = true;
	watch();
	run_until(MAILDIR_WORK);
	run_until(2 * MAILDIR_WORK);
	assert_true(
	    seen[MAILDIR_WORK].when - seen[MAILDIR_WORK - 1].when >= 900);
	run_until(2 * MAILDIR_WORK + 1);
	assert_true(
	    seen[2 * MAILDIR_WORK].when - seen[2 * MAILDIR_WORK - 1].when >=
	    1800);
}

/* Mails that have to come again pause each other, at last for a minute. */
static void
pause_for_a_minute(void)
{
	char name[16];

	for (unsigned i = 0; i < 9 * MAILDIR_WORK; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		put(name, "later");
	}
	watch();
	run_until(1);
	while (nseen < 8 * MAILDIR_WORK) {
		ahead_ms += 61000;
		run_until(nseen + 1);
	}
	assert_true(maildir->paused_until > loop_now_ms() + 30000);
}

/* Another's mail does not wait for that to end, but ends it. */
static void
test_pause_is_of_others(void **state)
{
	size_t n;

	(void)state;
	pause_for_a_minute();
	n = nseen;
	put("new", "x");
	run_until(n + 1);
	assert_string_equal(seen[n].text, "x");
	assert_true(maildir->paused_until < loop_now_ms() + 30000);
	run_until(n + 2);
	assert_string_equal(seen[n + 1].text, "later");
}

/* One that has to come again, too, does not make it longer for the others. */
static void
test_pause_stays(void **state)
{
	int64_t until;
	size_t n;

	(void)state;
	pause_for_a_minute();
	until = maildir->paused_until;
	ahead_ms += 10000;
	n = nseen;
	put("new", "later one");
	run_until(n + 1);
	assert_string_equal(seen[n].text, "later one");
	assert_true(maildir->paused_until == until);
}

/* What was tried before comes behind what was not, however old it is. */
static void
test_tried_come_last(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 2 * MAILDIR_WORK; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		put(name, "later");
	}
	no_events = true;
	watch();
	run_until(MAILDIR_WORK);
	ahead_ms += 61000;
	run_until(2 * MAILDIR_WORK);
	put("zz", "x");
	ahead_ms += 61000;
	run_until(2 * MAILDIR_WORK + 1);
	assert_string_equal(seen[2 * MAILDIR_WORK].text, "x");
	run_until(2 * MAILDIR_WORK + 2);
}

/* What the gateway refuses is asked for again, after a pause. */
static void
test_refused(void **state)
{
	(void)state;
	put("1", "x");
	refuse = EBUSY;
	watch();
	run_until(1);
	assert_true(seen[0].when - refused_at >= 900);
}

/* A file of a crowd that was put off when it came by itself has its turn in
 * the crowd, too: that is no reason to try it at once. */
static void
test_put_off_in_a_crowd(void **state)
{
	int64_t first = -1, again = -1;
	char name[16];

	(void)state;
	for (unsigned i = 0; i <= MAILDIR_BATCH; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		put(name, "x");
	}
	put("last", "later");
	watch();
	run_until(1);
	put("last", "later");	      /* as if it had just come */
	run_until(MAILDIR_BATCH + 3); /* it twice */
	for (size_t i = 0; i < nseen; i++) {
		if (strcmp(seen[i].text, "later") != 0)
			continue;
		again = seen[i].when - first;
		if (first != -1)
			break;
		first = seen[i].when;
	}
	assert_int_not_equal(first, -1);
	assert_true(again >= 900);
}

/* ---- what is still written ----------------------------------------------- */

/* Another process that has a file open for writing until `*end` is closed. */
static pid_t
start_writer(const char *name, int *end)
{
	char path[160], c;
	int ready[2], until[2], fd;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/new/%s", dir, name);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(until), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		close(until[1]);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (fd == -1 || write(fd, "h", 1) != 1 ||
		    write(ready[1], "", 1) != 1 || read(until[0], &c, 1) != 0 ||
		    write(fd, "alf", 3) != 3)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	close(until[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*end = until[1];
	return pid;
}

/* The log goes to `log` in place of standard error, which is returned. */
static int
log_to(int log)
{
	int old = dup(STDERR_FILENO);

	assert_int_not_equal(old, -1);
	assert_int_not_equal(dup2(log, STDERR_FILENO), -1);
	return old;
}

static size_t
lines_with(int log, const char *text)
{
	char all[8192], *at = all;
	ssize_t n = pread(log, all, sizeof(all) - 1, 0);
	size_t count = 0;

	assert_true(n >= 0);
	all[n] = '\0';
	while ((at = strstr(at, text)) != NULL) {
		count++;
		at++;
	}
	return count;
}

/* A file that is held open for writing is never taken; after a minute one line
 * says so. */
static void
test_held_open(void **state)
{
	int end, status, log = memfd_create("log", MFD_CLOEXEC), old;
	pid_t pid;

	(void)state;
	assert_int_not_equal(log, -1);
	pid = start_writer("1", &end);
	old = log_to(log);
	watch();
	run_now();
	ahead_ms += 30000;
	run_now();
	assert_int_equal(lines_with(log, "event=not_read"), 0);
	for (int i = 0; i < 3; i++) {
		ahead_ms += 61000;
		run_now();
	}
	dup2(old, STDERR_FILENO);
	close(old);
	assert_int_equal(nseen, 0);
	assert_int_equal(lines_with(log, "event=not_read"), 1);
	assert_int_equal(lines_with(log, "has it open for writing"), 1);
	close(log);
	close(end);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	run_until(1);
	assert_string_equal(seen[0].text, "half");
}

/* A server that delegates nothing has no leases: there a file is taken that
 * nobody has changed for a minute. */
static void
test_no_leases(void **state)
{
	static const long servers[] = {
	    NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC};

	(void)state;
	no_leases = true;
	watch();
	for (size_t i = 0; i < sizeof(servers) / sizeof(*servers); i++) {
		file_system = servers[i];
		put("1", "first");
		run_now();
		ahead_ms += 50000;
		put("1", "second");
		run_now();
		ahead_ms += 11000;
		run_now();
		assert_int_equal(nseen, i); /* it has changed */
		ahead_ms += 60000;
		run_until(i + 1);
		assert_string_equal(seen[i].text, "second");
	}
}

/* Where there are leases that says all: no time is long enough. */
static void
test_no_lease(void **state)
{
	(void)state;
	no_leases = true;
	file_system = EXT4_SUPER_MAGIC;
	put("1", "x");
	watch();
	for (int i = 0; i < 5; i++) {
		run_now();
		ahead_ms += 61000;
	}
	assert_int_equal(nseen, 0);
	no_leases = false;
	run_until(1);
}

/* A hand that writes there may end between any two of our looks. */
static void
test_just_written(void **state)
{
	(void)state;
	put("1", "half");
	grows = true;
	watch();
	run_until(1);
	assert_string_equal(seen[0].text, "half rest");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    test(test_all_put_off),
	    test(test_pause_grows),
	    test(test_pause_is_of_others),
	    test(test_pause_stays),
	    test(test_tried_come_last),
	    test(test_refused),
	    test(test_put_off_in_a_crowd),
	    test(test_held_open),
	    test(test_no_leases),
	    test(test_no_lease),
	    test(test_just_written),
#undef test
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
