/*
 * The LMTP server on real sockets.  The gateway is a stand-in of this file, so
 * that the test decides when a mail is committed.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/receive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the gateway's stand-in ---------------------------------------------- */

struct job {
	gateway_done *done;
	void *ctx;
	bool used, forgotten;
	char *mail;
	size_t len;
	char sender[64], recipient[64];
};

#define JOBS 8
static struct job jobs[JOBS];
static size_t njobs;
static int refuse; /* errno of gateway_submit(), 0: takes it */

struct job *
gateway_submit(struct gateway *g, int memfd, const struct envelope *e,
    gateway_done *done, void *ctx)
{
	struct job *j = &jobs[njobs];

	(void)g;
	if (refuse != 0) {
		errno = refuse;
		return NULL;
	}
	assert_true(njobs < JOBS);
	njobs++;
	memset(j, 0, sizeof(*j));
	j->used = true;
	j->done = done;
	j->ctx = ctx;
	assert_string_equal(e->source, "lmtp");
	snprintf(j->sender, sizeof(j->sender), "%s", e->sender);
	snprintf(j->recipient, sizeof(j->recipient), "%s", e->recipient);
	assert_int_equal(ipc_seal(memfd), 0); /* as the gateway does */
	assert_int_equal(ipc_slurp(memfd, 1 << 24, &j->mail, &j->len), 0);
	close(memfd);
	return j;
}

const char *
gateway_refusal(int error)
{
	return error == EAGAIN ? "too much is under way" : "no memory";
}

void
gateway_forget(struct job *j)
{
	assert_true(j->used);
	assert_false(j->forgotten);
	j->forgotten = true;
}

static void
commit(size_t i, enum fate fate, const char *why)
{
	assert_true(i < njobs);
	assert_false(jobs[i].forgotten);
	jobs[i].done(jobs[i].ctx, fate, why);
}

/* ---- the server under test ----------------------------------------------- */

static struct loop *loop;
static struct lmtp *server;
static struct config config;
static struct config_receive receive;
static char dir[96], path[128];
static char address[] = "keys@example.org", file[] = "t.conf",
	    localhost[] = "127.0.0.1";

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *error = NULL;

	(void)state;
	snprintf(
	    dir, sizeof(dir), "%.60s/lmtp-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	memset(&config, 0, sizeof(config));
	memset(&receive, 0, sizeof(receive));
	config.file = file;
	config.address = address;
	config.limits.mail.message_size = 100000;
	config.limits.connections = 3;
	config.limits.idle_timeout = 60;
	receive.type = RECEIVE_LMTP;
	receive.path = path;
	receive.mode = 0660;
	receive.line = 7;
	njobs = 0;
	refuse = 0;
	if ((loop = loop_new()) == NULL)
		return -1;
	server = lmtp_listen(loop, NULL, &config, &receive, -1, &error);
	if (server == NULL)
		fprintf(stderr, "%s\n", error);
	return server == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	lmtp_free(server);
	loop_free(loop);
	for (size_t i = 0; i < njobs; i++)
		free(jobs[i].mail);
	return rmdir(dir); /* the socket has gone by now */
}

static void
stop_loop(void *ctx)
{
	(void)ctx;
	loop_stop(loop);
}

/* Turns the loop for some milliseconds. */
static void
turn(long ms)
{
	struct loop_timer *t = loop_timer_new(loop, stop_loop, NULL);

	assert_non_null(t);
	loop_timer_set(t, ms);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_free(t);
}

static int
dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
tell(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* What has come by now; the loop turns until `last` stands at the end of it,
 * or two seconds are over. */
static const char *
hear(int fd, const char *last)
{
	static char text[65536];
	size_t len = 0, want = strlen(last);
	int64_t end = loop_now_ms() + 2000;
	ssize_t n;

	do {
		turn(1);
		n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
		if (n > 0)
			len += (size_t)n;
		text[len] = '\0';
		if (len >= want && strcmp(text + len - want, last) == 0 &&
		    (want > 0 || n == 0))
			return text;
	} while (loop_now_ms() < end);
	print_error("heard so far: %s\n", text);
	fail_msg("never heard: %s", last);
	return NULL;
}

/* The peer has hung up. */
static void
assert_closed(int fd)
{
	int64_t end = loop_now_ms() + 2000;
	char c;
	ssize_t n;

	do {
		turn(1);
		n = recv(fd, &c, 1, MSG_DONTWAIT);
		assert_int_not_equal(n, 1);
	} while (n == -1 && errno == EAGAIN && loop_now_ms() < end);
	assert_true(n == 0 || (n == -1 && errno == ECONNRESET));
	close(fd);
}

static void
assert_silent(int fd)
{
	char c;

	turn(30);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

#define GREETING "220 example.org LMTP mailkeyd\r\n"
#define ENVELOPE                                                               \
	"LHLO me\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@example.org>\r\n"    \
	"RCPT TO:<c@example.org>\r\nDATA\r\n"
#define GO "354 End data with <CR><LF>.<CR><LF>\r\n"

/* ---- the cases ----------------------------------------------------------- */

static void
status_after_commit(void **state)
{
	int fd = dial();

	(void)state;
	assert_string_equal(hear(fd, GREETING), GREETING);
	tell(fd, ENVELOPE "Hi\r\n..\r\n.\r\n");
	hear(fd, GO);
	assert_silent(fd);
	assert_int_equal(njobs, 1);
	assert_string_equal(jobs[0].sender, "a@x.example");
	assert_string_equal(jobs[0].recipient, "b@example.org");
	assert_int_equal(jobs[0].len, 7);
	assert_memory_equal(jobs[0].mail, "Hi\r\n.\r\n", 7);
	commit(0, FATE_DONE, "answered");
	assert_string_equal(hear(fd, "<c@example.org> answered\r\n"),
	    "250 2.0.0 <b@example.org> answered\r\n"
	    "250 2.0.0 <c@example.org> answered\r\n");
	tell(fd, "QUIT\r\n");
	assert_string_equal(hear(fd, "Goodbye\r\n"), "221 2.0.0 Goodbye\r\n");
	assert_closed(fd);
}

static void
try_later(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE ".\r\n");
	hear(fd, GO);
	commit(0, FATE_LATER, "the disk is full");
	assert_string_equal(hear(fd, "<c@example.org> the disk is full\r\n"),
	    "451 4.3.0 <b@example.org> the disk is full\r\n"
	    "451 4.3.0 <c@example.org> the disk is full\r\n");
	/* Another mail on the same connection. */
	tell(fd, "MAIL FROM:<>\r\nRCPT TO:<b@d>\r\nDATA\r\nx\r\n.\r\n");
	hear(fd, GO);
	assert_int_equal(njobs, 2);
	assert_string_equal(jobs[1].sender, "");
	commit(1, FATE_DONE, "ok");
	hear(fd, "250 2.0.0 <b@d> ok\r\n");
	close(fd);
	turn(5);
}

/* 452 is what a sender knows a full disk by (RFC 5321, 4.2.3). */
static void
below_free_space(void **state)
{
	const char *why = ks_strerror(KS_FULL);
	char want[256];
	int fd = dial();

	(void)state;
	assert_non_null(strstr(why, "below free_space"));
	tell(fd, ENVELOPE ".\r\n");
	hear(fd, GO);
	commit(0, FATE_LATER, why);
	snprintf(want, sizeof(want),
	    "452 4.3.1 <b@example.org> %s\r\n452 4.3.1 <c@example.org> %s\r\n",
	    why, why);
	assert_string_equal(hear(fd, strstr(want, "452 4.3.1 <c@")), want);
	close(fd);
	turn(5);
}

/* Commands behind the dot wait until the mail is decided. */
static void
pipelining(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "1\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@d>\r\nDATA\r\n"
			  "2\r\n.\r\nQUIT\r\n");
	hear(fd, GO);
	assert_silent(fd);
	assert_int_equal(njobs, 1);
	commit(0, FATE_DONE, "one");
	hear(fd, GO);
	assert_silent(fd);
	assert_int_equal(njobs, 2);
	assert_memory_equal(jobs[1].mail, "2\r\n", 3);
	commit(1, FATE_DONE, "two");
	assert_string_equal(hear(fd, "Goodbye\r\n"),
	    "250 2.0.0 <b@d> two\r\n221 2.0.0 Goodbye\r\n");
	assert_closed(fd);
}

static void
gateway_refuses(void **state)
{
	int fd = dial();

	(void)state;
	refuse = EAGAIN;
	tell(fd, ENVELOPE ".\r\n");
	hear(fd, "452 4.3.1 <b@example.org> too much is under way\r\n"
		 "452 4.3.1 <c@example.org> too much is under way\r\n");
	refuse = ENOMEM;
	tell(fd, "MAIL FROM:<>\r\nRCPT TO:<b@d>\r\nDATA\r\n.\r\n");
	hear(fd, "452 4.3.1 <b@d> no memory\r\n");
	assert_int_equal(njobs, 0);
	close(fd);
	turn(5);
}

/* A mail of 64 K reads and more, every line stuffed or full of CRs; what
 * arrives is what was sent, at the limit and one past it. */
static void
large_mail(void **state, size_t size, bool fits)
{
	static char wire[300016], mail[100001];
	size_t n = 0, sent = 0;
	int fd = dial();
	ssize_t k;

	(void)state;
	assert_in_range(size, 2, sizeof(mail));
	for (size_t i = 0; i < size; i++) {
		static const char pattern[] = ".\rx\r\n..\r\n\r\n.\r\r\n\n.\n";

		mail[i] = pattern[i % (sizeof(pattern) - 1)];
		if (i + 2 >= size)
			mail[i] = i + 1 < size ? '\r' : '\n';
	}
	for (size_t i = 0; i < size; i++) {
		if (mail[i] == '.' &&
		    (i == 0 ||
			(i > 1 && mail[i - 1] == '\n' && mail[i - 2] == '\r')))
			wire[n++] = '.';
		wire[n++] = mail[i];
	}
	memcpy(wire + n, ".\r\n", 3);
	n += 3;
	tell(fd, ENVELOPE);
	hear(fd, GO);
	while (sent < n) {
		k = send(
		    fd, wire + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k > 0)
			sent += (size_t)k;
		else
			assert_int_equal(errno, EAGAIN);
		turn(0);
	}
	turn(5);
	if (fits) {
		assert_int_equal(njobs, 1);
		assert_int_equal(jobs[0].len, size);
		assert_memory_equal(jobs[0].mail, mail, size);
		commit(0, FATE_DONE, "ok");
		hear(fd, "250 2.0.0 <c@example.org> ok\r\n");
	} else {
		assert_int_equal(njobs, 0);
		hear(fd, "552 5.3.4 <b@example.org> the mail is over the size "
			 "limit\r\n552 5.3.4 <c@example.org> the mail is over "
			 "the size limit\r\n");
	}
	tell(fd, "NOOP\r\n");
	hear(fd, "250 2.0.0 OK\r\n");
	close(fd);
	turn(5);
}

static void
mail_at_the_limit(void **state)
{
	large_mail(state, 100000, true);
}

static void
mail_over_the_limit(void **state)
{
	large_mail(state, 100001, false);
}

/* What is refused before the gateway sees it leaves a line of the log, too. */
static void
refusals_are_logged(void **state)
{
	static const char note[] = " source=lmtp outcome=refused note=\"over "
				   "the size limit of 100000 octets\"\n";
	char text[1024] = "", want[512];
	int fd = dial(), log[2], kept = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(log), 0);
	assert_int_not_equal(dup2(log[1], STDERR_FILENO), -1);
	tell(fd, "LHLO me\r\nMAIL FROM:<\"a b\"@x.example> SIZE=100001\r\n"
		 "MAIL FROM:<> SIZE=100000\r\nNOOP\r\n");
	hear(fd, "250 2.0.0 OK\r\n");
	large_mail(state, 100001, false);
	close(fd);
	assert_int_not_equal(dup2(kept, STDERR_FILENO), -1);
	close(kept);
	close(log[1]);
	n = read(log[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	close(log[0]);
	snprintf(want, sizeof(want),
	    "mailkeyd: lmtp: from=\"\\\"a b\\\"@x.example\"%s"
	    "mailkeyd: lmtp: from=a@x.example%s",
	    note, note);
	assert_string_equal(text, want);
}

/* The stuffed dot and its CR at the very end of one read, text in the next. */
static void
cr_across_reads(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "abc\r\n.\r");
	hear(fd, GO);
	tell(fd, "def\r\n.\r");
	turn(5);
	assert_int_equal(njobs, 0);
	tell(fd, "\n");
	turn(5);
	assert_int_equal(njobs, 1);
	assert_int_equal(jobs[0].len, 11);
	assert_memory_equal(jobs[0].mail, "abc\r\n\rdef\r\n", 11);
	commit(0, FATE_DONE, "ok");
	hear(fd, "<c@example.org> ok\r\n");
	close(fd);
	turn(5);
}

static void
gone_in_data(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "Hi\r\n");
	hear(fd, GO);
	close(fd);
	turn(20);
	assert_int_equal(njobs, 0);
}

static void
gone_before_commit(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "Hi\r\n.\r\n");
	hear(fd, GO);
	assert_int_equal(njobs, 1);
	assert_false(jobs[0].forgotten);
	close(fd);
	turn(20);
	assert_true(jobs[0].forgotten);
}

/* One that has said all it has to say still hears its answers. */
static void
half_closed(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "Hi\r\n.\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	hear(fd, GO);
	turn(20);
	assert_false(jobs[0].forgotten);
	commit(0, FATE_DONE, "ok");
	hear(fd, "<c@example.org> ok\r\n");
	assert_closed(fd);
}

static void
too_many_connections(void **state)
{
	int fd[4];

	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial();
		hear(fd[i], GREETING);
	}
	fd[3] = dial();
	hear(fd[3], "421 4.3.2 Too many connections, try later\r\n");
	assert_closed(fd[3]);
	close(fd[0]);
	turn(5);
	fd[0] = dial();
	hear(fd[0], GREETING);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	turn(5);
}

static void
idle(void **state)
{
	int fd = dial();
	int64_t begin;

	(void)state;
	config.limits.idle_timeout = 1;
	hear(fd, GREETING);
	turn(600);
	tell(fd, "NOOP\r\n"); /* begins the time anew */
	hear(fd, "250 2.0.0 OK\r\n");
	begin = loop_now_ms();
	hear(fd, "421 4.4.2 Nothing heard for too long\r\n");
	assert_true(loop_now_ms() - begin >= 900);
	assert_closed(fd);
}

/* Waiting for us is not being idle. */
static void
no_time_out_before_commit(void **state)
{
	int fd = dial();

	(void)state;
	config.limits.idle_timeout = 1;
	tell(fd, ENVELOPE ".\r\n");
	hear(fd, GO);
	turn(1300);
	commit(0, FATE_DONE, "ok");
	hear(fd, "<c@example.org> ok\r\n");
	hear(fd, "421 4.4.2 Nothing heard for too long\r\n");
	assert_closed(fd);
}

/* A client that never reads: we stop taking its commands. */
static void
slow_reader(void **state)
{
	static char noops[60000];
	size_t taken = 0;
	int fd = dial(), small = 4096;
	ssize_t n;
	char c;

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	config.limits.idle_timeout = 1;
	for (size_t i = 0; i < sizeof(noops); i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	for (int i = 0; i < 300; i++) {
		n = send(fd, noops, sizeof(noops), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			taken += (size_t)n;
		turn(0);
	}
	assert_true(taken < 3000000); /* of 18 million */
	turn(1300);		      /* and then it has idled too long */
	while ((n = recv(fd, &c, 1, MSG_DONTWAIT)) == 1)
		;
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
}

static void
resumes_when_read(void **state)
{
	static char noops[60000];
	size_t heard = 0, sent = 0;
	int fd = dial();
	char buf[4096];
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(noops); i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	while (sent < 20 * sizeof(noops)) {
		n = send(fd, noops + sent % 6, sizeof(noops) - 6,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		turn(0);
		if (n == -1) /* nothing more fits: now we listen */
			while (
			    (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
				heard += (size_t)n;
	}
	tell(fd, "\r\nQUIT\r\n" + (sent % 6 == 0 ? 2 : 0));
	for (int64_t end = loop_now_ms() + 2000; loop_now_ms() < end;) {
		turn(0);
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0)
			break;
		if (n > 0)
			heard += (size_t)n;
	}
	assert_true(heard >= strlen(GREETING) + sent / 6 * 14);
	close(fd);
}

static void
stopping(void **state)
{
	int busy, calm, middle;
	struct stat st;

	(void)state;
	calm = dial();
	hear(calm, GREETING);
	middle = dial();
	tell(middle, ENVELOPE "Hi\r\n");
	hear(middle, GO);
	busy = dial();
	tell(busy, ENVELOPE "Hi\r\n.\r\n");
	hear(busy, GO);
	assert_int_equal(njobs, 1);
	lmtp_stop(server);
	lmtp_stop(server);
	assert_int_equal(stat(path, &st), -1);
	hear(calm, "421 4.3.2 Shutting down\r\n");
	assert_closed(calm);
	hear(middle, "421 4.3.2 Shutting down\r\n");
	assert_closed(middle);
	assert_silent(busy);
	commit(0, FATE_DONE, "ok");
	hear(busy, "250 2.0.0 <c@example.org> ok\r\n"
		   "421 4.3.2 Shutting down\r\n");
	assert_closed(busy);
	assert_int_equal(njobs, 1);
}

static void
freed_before_commit(void **state)
{
	int fd = dial();

	(void)state;
	tell(fd, ENVELOPE "Hi\r\n.\r\n");
	hear(fd, GO);
	lmtp_free(server);
	server = NULL;
	assert_true(jobs[0].forgotten);
	assert_closed(fd);
}

/* ---- sockets ------------------------------------------------------------- */

static void
socket_mode(void **state)
{
	mode_t mask = umask(0);
	char *error = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	for (int i = 0; i < 2; i++) {
		lmtp_free(server);
		umask(i == 0 ? 0 : 0777);
		receive.mode = i == 0 ? 0600 : 0666;
		server = lmtp_listen(loop, NULL, &config, &receive, -1, &error);
		assert_non_null(server);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode, S_IFSOCK | receive.mode);
	}
	umask(mask);
}

static void
place_taken(void **state)
{
	char *error = NULL, want[512];
	int fd;

	(void)state;
	assert_null(lmtp_listen(loop, NULL, &config, &receive, -1, &error));
	snprintf(want, sizeof(want),
	    "t.conf:7: cannot listen at %s: Address already in use; end what "
	    "listens there, or choose another path",
	    path);
	assert_string_equal(error, want);
	free(error);
	fd = dial(); /* the first one still listens there */
	hear(fd, GREETING);
	close(fd);
	turn(5);
}

/* Left by a killed one, and nobody listens: taken over.  A file that is no
 * socket stays. */
static void
stale_socket(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *error = NULL, want[512];
	struct stat st;
	int fd;

	(void)state;
	lmtp_free(server);
	server = NULL;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	assert_int_equal(stat(path, &st), 0);
	server = lmtp_listen(loop, NULL, &config, &receive, -1, &error);
	assert_non_null(server);
	fd = dial();
	hear(fd, GREETING);
	close(fd);
	turn(5);
	lmtp_free(server);
	assert_int_equal(stat(path, &st), -1);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	server = lmtp_listen(loop, NULL, &config, &receive, -1, &error);
	assert_null(server);
	snprintf(want, sizeof(want),
	    "t.conf:7: cannot listen at %s: it is no socket; move it away, or "
	    "choose another path",
	    path);
	assert_string_equal(error, want);
	free(error);
	assert_int_equal(unlink(path), 0);
}

/* What another one has made there meanwhile is not ours to remove. */
static void
place_taken_over(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	(void)state;
	assert_int_not_equal(other, -1);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&sun, sizeof(sun)), 0);
	lmtp_stop(server);
	assert_int_equal(lstat(path, &st), 0);
	close(other);
	assert_int_equal(unlink(path), 0);
}

static void
missing_directory(void **state)
{
	char *error = NULL, none[160], want[512];

	(void)state;
	snprintf(none, sizeof(none), "%s/none/s", dir);
	receive.path = none;
	receive.file = "more.conf";
	assert_null(lmtp_listen(loop, NULL, &config, &receive, -1, &error));
	snprintf(want, sizeof(want),
	    "more.conf:7: cannot listen at %s: No such file or directory; make "
	    "its directory for the user that runs mailkeyd",
	    none);
	assert_string_equal(error, want);
	free(error);
	receive.path = path;
}

/* A listening socket of systemd; it may block, and its file is not ours. */
static void
handed_over(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *error = NULL;
	struct stat st;
	int fd;

	(void)state;
	lmtp_free(server);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 5), 0);
	server = lmtp_listen(loop, NULL, &config, &receive, fd, &error);
	assert_non_null(server);
	fd = dial();
	hear(fd, GREETING);
	close(fd);
	turn(5);
	lmtp_free(server);
	server = NULL;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
}

static void
tcp(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	char *error = NULL;
	struct lmtp *second;
	int fd;

	(void)state;
	/* A port that is free now. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	receive.path = NULL;
	receive.host = localhost;
	receive.port = ntohs(in.sin_port);
	second = lmtp_listen(loop, NULL, &config, &receive, -1, &error);
	assert_non_null(second);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, len), 0);
	tell(fd, ENVELOPE "Hi\r\n.\r\n");
	hear(fd, GO);
	commit(0, FATE_DONE, "ok");
	hear(fd, "<c@example.org> ok\r\n");
	assert_null(lmtp_listen(loop, NULL, &config, &receive, -1, &error));
	assert_non_null(strstr(error, "t.conf:7: cannot listen at 127.0.0.1"));
	assert_non_null(strstr(error, "or choose another port"));
	free(error);
	lmtp_free(second);
	assert_closed(fd);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {CASE(status_after_commit),
	    CASE(try_later), CASE(below_free_space), CASE(pipelining),
	    CASE(gateway_refuses), CASE(mail_at_the_limit),
	    CASE(mail_over_the_limit), CASE(refusals_are_logged),
	    CASE(cr_across_reads), CASE(gone_in_data), CASE(gone_before_commit),
	    CASE(half_closed), CASE(too_many_connections), CASE(idle),
	    CASE(no_time_out_before_commit), CASE(slow_reader),
	    CASE(resumes_when_read), CASE(stopping), CASE(freed_before_commit),
	    CASE(socket_mode), CASE(place_taken), CASE(place_taken_over),
	    CASE(stale_socket), CASE(missing_directory), CASE(handed_over),
	    CASE(tcp)};

	return cmocka_run_group_tests_name("lmtp_server", tests, NULL, NULL);
}
