/*
 * mailkeyd-sender against everything that a far side may do: an SMTP server
 * (smtpsink), a sendmail command, a Maildir.
 */
#include "mailkeyd/config.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/send.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MAIL                                                                   \
	"From: keys@example.org\r\nTo: a@example.net\r\nSubject: x\r\n\r\n"    \
	"text\r\n"
#define PATIENCE 20000 /* ms; only a test that fails waits so long */

static char dir[256];

/* ---- far sides ----------------------------------------------------------- */

static char *
built(const char *name)
{
	static char path[512];
	const char *b = getenv("B");

	snprintf(path, sizeof(path), "%s/%s", b != NULL ? b : "build", name);
	return path;
}

struct sink {
	pid_t pid;
	unsigned port;
};

static bool pipelining; /* the far side offers it */

static struct sink
sink_start(const char *const *rules)
{
	char *argv[40] = {
	    built("tools/smtpsink"), pipelining ? (char *)"-vP" : (char *)"-v"};
	char line[16];
	int out[2], n = 2;
	struct sink sink = {0, 0};
	ssize_t got;

	for (; rules != NULL && *rules != NULL; rules++) {
		argv[n++] = (char *)"-r";
		argv[n++] = (char *)*rules;
	}
	argv[n] = dir;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	sink.pid = fork();
	assert_int_not_equal(sink.pid, -1);
	if (sink.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves it */
		dup2(out[1], 1);
		execv(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	got = read(out[0], line, sizeof(line) - 1);
	assert_true(got > 0);
	line[got] = '\0';
	sink.port = (unsigned)strtoul(line, NULL, 10);
	close(out[0]);
	return sink;
}

static void
stop(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
}

/* ---- the sender ---------------------------------------------------------- */

struct times {
	unsigned connect, command, final, whole, idle;
};

static const struct times slow = {10000, 10000, 10000, 20000, 10000};
static const struct times quick = {300, 300, 300, 600, 100};

struct sender {
	pid_t pid;
	int sock;
};

static struct sender
sender_start(
    enum send_type type, unsigned port, const char *path, const struct times *t)
{
	struct sender s;
	struct ipc_out record = {NULL, 0, 0, false};
	struct ipc_msg m;
	int pair[2];

	assert_int_equal(ipc_pair(pair), 0);
	s.pid = fork();
	assert_int_not_equal(s.pid, -1);
	if (s.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(pair[1], 3);
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		execl(built("mailkeyd-sender"), "mailkeyd-sender", NULL);
		_exit(127);
	}
	close(pair[1]);
	s.sock = pair[0];
	ipc_put_u32(&record, type);
	ipc_put_str(&record, "127.0.0.1");
	ipc_put_u32(&record, port);
	ipc_put_str(&record, "keys.example.org");
	ipc_put_str(&record, path);
	if (t != NULL) {
		ipc_put_u32(&record, t->connect);
		ipc_put_u32(&record, t->command);
		ipc_put_u32(&record, t->final);
		ipc_put_u32(&record, t->whole);
		ipc_put_u32(&record, t->idle);
	}
	assert_false(record.failed);
	ipc_msg_init(&m, SEND_CONFIG, 0);
	m.fd[0] = ipc_memfd("config", record.data, record.len, true);
	assert_int_equal(ipc_send(s.sock, &m), 0);
	ipc_msg_close(&m);
	ipc_out_free(&record);
	return s;
}

/* Closes the socket; the sender must end well by that alone. */
static void
sender_stop(struct sender *s)
{
	int status;

	close(s->sock);
	for (int ms = 0; waitpid(s->pid, &status, WNOHANG) == 0; ms += 10) {
		if (ms > PATIENCE) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, &status, 0);
			fail_msg("the sender does not end");
		}
		usleep(10000);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
give(struct sender *s, uint64_t id, const char *to, const char *mail)
{
	struct ipc_msg m;

	ipc_msg_init(&m, SEND_MESSAGE, id);
	snprintf(m.text, sizeof(m.text), "%s", to);
	m.fd[0] = ipc_memfd("mail", mail, strlen(mail), true);
	assert_int_equal(ipc_send(s->sock, &m), 0);
	ipc_msg_close(&m);
}

static struct ipc_msg
result(struct sender *s, uint64_t id)
{
	struct pollfd p = {s->sock, POLLIN, 0};
	struct ipc_msg m;

	assert_int_equal(poll(&p, 1, PATIENCE), 1);
	assert_int_equal(ipc_recv(s->sock, &m), 1);
	assert_int_equal(m.type, SEND_RESULT);
	assert_int_equal(m.id, id);
	for (const char *c = m.text; *c != '\0'; c++)
		assert_true(*c >= ' ' && *c <= '~');
	return m;
}

static void
check(const char *name, const struct ipc_msg *m, enum send_status status,
    const char *text)
{
	if (m->status != status || strstr(m->text, text) == NULL)
		fail_msg("%s: status %u \"%s\", not %u \"%s\"", name,
		    (unsigned)m->status, m->text, (unsigned)status, text);
}

static void
send_one(const char *name, struct sender *s, const char *to, const char *mail,
    enum send_status status, const char *text)
{
	static uint64_t id;
	struct ipc_msg m;

	give(s, ++id, to, mail);
	m = result(s, id);
	check(name, &m, status, text);
}

/* ---- files --------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
scratch(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(
	    dir, sizeof(dir), "%s/sender.XXXXXX", tmp != NULL ? tmp : "/tmp");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
clear(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Files in a folder: of those with the prefix, or of all that are not hidden;
 * the name of the last one to `last`. */
static unsigned
files(const char *folder, const char *prefix, char last[512])
{
	DIR *d = opendir(folder);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (prefix != NULL
			? strncmp(e->d_name, prefix, strlen(prefix)) != 0
			: e->d_name[0] == '.')
			continue;
		n++;
		if (last != NULL)
			snprintf(last, 512, "%s/%s", folder, e->d_name);
	}
	closedir(d);
	return n;
}

static char *
content(const char *path)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		fail_msg("%s is missing", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static const char *
in_dir(const char *name)
{
	static char path[2][600];
	static int which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", dir, name);
	return path[which];
}

/* ---- SMTP ---------------------------------------------------------------- */

#define ALICE "alice@example.net"
#define BOB   "bob@example.net"

static const struct smtp_case {
	const char *name;
	const char *rules[4];
	struct {
		const char *to;
		enum send_status status;
		const char *text;
	} sent[3];
	unsigned kept, connections;
	bool quick;
} smtp_cases[] = {
    {"three on one connection", {NULL},
	{{ALICE, SEND_OK, "message: 250 2.0.0 taken"}, {BOB, SEND_OK, ""},
	    {ALICE, SEND_OK, ""}},
	3, 1, false},
    {"HELO", {"ehlo=502"}, {{ALICE, SEND_OK, ""}}, 1, 1, false},
    {"neither EHLO nor HELO", {"ehlo=502", "helo=550"},
	{{ALICE, SEND_LATER, "HELO: 550"}}, 0, 1, false},
    {"EHLO 421", {"ehlo=421"}, {{ALICE, SEND_LATER, "EHLO: 421"}}, 0, 1, false},
    {"greeting 554", {"connect=554"}, {{ALICE, SEND_LATER, "greeting: 554"}}, 0,
	1, false},
    {"greeting 421", {"connect=421"}, {{ALICE, SEND_LATER, "greeting: 421"}}, 0,
	1, false},
    {"greeting 250", {"connect=250"}, {{ALICE, SEND_LATER, "greeting: 250"}}, 0,
	1, false},
    {"no greeting", {"connect=close"},
	{{ALICE, SEND_LATER, "greeting: the connection was closed"}}, 0, 1,
	false},
    {"MAIL 451", {"mail=451,times=1"},
	{{ALICE, SEND_LATER, "MAIL: 451"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"MAIL 550", {"mail=550,times=1"},
	{{ALICE, SEND_REFUSED, "MAIL: 550 this server was told to answer so"},
	    {BOB, SEND_OK, ""}},
	1, 1, false},
    {"MAIL 530", {"mail=530,times=1"},
	{{ALICE, SEND_LATER, "MAIL: 530"}, {BOB, SEND_OK, ""}}, 1, 2, false},
    {"MAIL 421 on a new connection", {"mail=421"},
	{{ALICE, SEND_LATER, "MAIL: 421"}}, 0, 1, false},
    {"RCPT 550", {"rcpt=550,to=" ALICE},
	{{ALICE, SEND_REFUSED, "RCPT: 550"}, {BOB, SEND_OK, ""},
	    {ALICE, SEND_REFUSED, "RCPT: 550"}},
	1, 1, false},
    {"RCPT 530", {"rcpt=530,to=" ALICE},
	{{ALICE, SEND_LATER, "RCPT: 530"}, {BOB, SEND_OK, ""}}, 1, 2, false},
    {"RCPT 450", {"rcpt=450,to=" ALICE},
	{{ALICE, SEND_LATER, "RCPT: 450"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"RCPT 252", {"rcpt=252"}, {{ALICE, SEND_OK, ""}}, 1, 1, false},
    {"RCPT 350", {"rcpt=350"}, {{ALICE, SEND_LATER, "RCPT: 350"}}, 0, 1, false},
    {"RCPT two answers", {"rcpt=twice"}, {{ALICE, SEND_LATER, "RCPT: "}}, 0, 1,
	false},
    {"RCPT close", {"rcpt=close,times=1"},
	{{ALICE, SEND_LATER, "RCPT: the connection was closed"},
	    {BOB, SEND_OK, ""}},
	1, 2, false},
    {"DATA 451", {"data=451,times=1"},
	{{ALICE, SEND_LATER, "DATA: 451"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"DATA 554", {"data=554,times=1"},
	{{ALICE, SEND_REFUSED, "DATA: 554"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"DATA 250", {"data=250,times=1"},
	{{ALICE, SEND_LATER, "DATA: 250"}, {BOB, SEND_OK, ""}}, 1, 2, false},
    {"dot 552", {"dot=552,times=1"},
	{{ALICE, SEND_REFUSED, "message: 552"}, {BOB, SEND_OK, ""}}, 1, 1,
	false},
    {"dot 451", {"dot=451,times=1"},
	{{ALICE, SEND_LATER, "message: 451"}, {ALICE, SEND_OK, ""}}, 1, 1,
	false},
    {"dot 421", {"dot=421,times=1"},
	{{ALICE, SEND_LATER, "message: 421"}, {ALICE, SEND_OK, ""}}, 1, 2,
	false},
    {"dot two answers", {"dot=twice"},
	{{ALICE, SEND_OK, ""}, {ALICE, SEND_OK, ""}}, 2, 2, false},
    {"closed in the message", {"body=close,times=1"},
	{{ALICE, SEND_LATER, "message: "}, {ALICE, SEND_OK, ""}}, 1, 2, false},
    {"closed at the dot", {"dot=close,times=1"},
	{{ALICE, SEND_LATER, "message: the connection was closed"},
	    {ALICE, SEND_OK, ""}},
	1, 2, false},
    {"kept, then closed", {"dot=keepclose,times=1"},
	{{ALICE, SEND_LATER, "message: the connection was closed"},
	    {ALICE, SEND_OK, ""}},
	2, 2, false},
    {"closed after a message", {"taken=close,times=1"},
	{{ALICE, SEND_OK, ""}, {BOB, SEND_OK, ""}, {BOB, SEND_OK, ""}}, 3, 2,
	false},
    {"421 after a message", {"taken=421,times=1"},
	{{ALICE, SEND_OK, ""}, {BOB, SEND_OK, ""}}, 2, 2, false},
    {"a kept connection closed at MAIL", {"mail=close,after=1,times=1"},
	{{ALICE, SEND_OK, ""}, {BOB, SEND_OK, ""}, {BOB, SEND_OK, ""}}, 3, 2,
	false},
    {"a kept connection 421 at MAIL", {"mail=421,after=1,times=1"},
	{{ALICE, SEND_OK, ""}, {BOB, SEND_OK, ""}}, 2, 2, false},
    {"once more, not for ever", {"mail=close,after=1"},
	{{ALICE, SEND_OK, ""}, {BOB, SEND_LATER, "MAIL: the connection"}}, 1, 2,
	false},
    {"a new connection is not tried twice", {"mail=close"},
	{{ALICE, SEND_LATER, "MAIL: the connection was closed"}}, 0, 1, false},
    {"RSET refused", {"rcpt=550,times=1", "rset=500"},
	{{ALICE, SEND_REFUSED, "RCPT: 550"}, {BOB, SEND_OK, ""}}, 1, 2, false},
    {"greeting hangs", {"connect=hang"},
	{{ALICE, SEND_LATER, "greeting: timed out"}}, 0, 1, true},
    {"EHLO hangs", {"ehlo=hang"}, {{ALICE, SEND_LATER, "EHLO: timed out"}}, 0,
	1, true},
    {"MAIL hangs", {"mail=hang"}, {{ALICE, SEND_LATER, "MAIL: timed out"}}, 0,
	1, true},
    {"RCPT hangs", {"rcpt=hang"}, {{ALICE, SEND_LATER, "RCPT: timed out"}}, 0,
	1, true},
    {"dot hangs", {"dot=hang"}, {{ALICE, SEND_LATER, "message: timed out"}}, 0,
	1, true},
    {"an octet now and then", {"mail=dribble"},
	{{ALICE, SEND_LATER, "MAIL: timed out"}}, 0, 1, true},
    {"EHLO drop by drop", {"ehlo=dribble"},
	{{ALICE, SEND_LATER, "EHLO: timed out"}}, 0, 1, true},
    {"greeting floods", {"connect=flood,times=1"},
	{{ALICE, SEND_LATER, "greeting: the reply is far too long"},
	    {ALICE, SEND_OK, ""}},
	1, 2, false},
    {"EHLO floods", {"ehlo=flood"},
	{{ALICE, SEND_LATER, "EHLO: the reply is far too long"}}, 0, 1, false},
    {"RCPT floods", {"rcpt=flood"},
	{{ALICE, SEND_LATER, "RCPT: the reply is far too long"}}, 0, 1, false},
};

/* What is different where the far side offers PIPELINING, or can happen only
 * there. */
static const struct smtp_case pipelining_cases[] = {
    {"RCPT two answers", {"rcpt=twice"},
	{{ALICE, SEND_LATER, "DATA: 250"}, {BOB, SEND_LATER, "DATA: 250"}}, 0,
	2, false},
    {"MAIL two answers", {"mail=twice"}, {{ALICE, SEND_LATER, "DATA: 250"}}, 0,
	1, false},
    {"a message for nobody, after RCPT", {"rcpt=550,times=1", "nobody=354"},
	{{ALICE, SEND_REFUSED, "RCPT: 550"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"a message for nobody, after MAIL", {"mail=451,times=1", "nobody=354"},
	{{ALICE, SEND_LATER, "MAIL: 451"}, {BOB, SEND_OK, ""}}, 1, 1, false},
    {"nobody's message hangs",
	{"rcpt=550,times=1", "nobody=354,times=1", "body=hang,times=1"},
	{{ALICE, SEND_REFUSED, "RCPT: 550"}, {BOB, SEND_OK, ""}}, 1, 2, true},
    {"closed after a no", {"rcpt=550,times=1", "nobody=close"},
	{{ALICE, SEND_REFUSED, "RCPT: 550"}, {BOB, SEND_OK, ""}}, 1, 2, false},
    {"a flood after a no", {"rcpt=450,times=1", "nobody=flood"},
	{{ALICE, SEND_LATER, "RCPT: 450"}, {BOB, SEND_OK, ""}}, 1, 2, false},
};

static void
smtp_far_side(const struct smtp_case *c)
{
	struct sink sink;
	struct sender s;
	unsigned kept, connections;

	assert_int_equal(scratch(NULL), 0);
	sink = sink_start(c->rules);
	s = sender_start(SEND_SMTP, sink.port, NULL, c->quick ? &quick : &slow);
	for (int k = 0; k < 3 && c->sent[k].to != NULL; k++)
		send_one(c->name, &s, c->sent[k].to, MAIL, c->sent[k].status,
		    c->sent[k].text);
	kept = files(dir, NULL, NULL);
	connections = files(dir, ".connection-", NULL);
	sender_stop(&s);
	stop(sink.pid);
	if (kept != c->kept || connections != c->connections)
		fail_msg("%s: %u mails over %u connections", c->name, kept,
		    connections);
	clear(NULL);
}

static void
smtp_far_sides(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(smtp_cases) / sizeof(*smtp_cases); i++)
		smtp_far_side(&smtp_cases[i]);
}

static void
smtp_far_sides_pipelining(void **state)
{
	const size_t others =
	    sizeof(pipelining_cases) / sizeof(*pipelining_cases);

	(void)state;
	pipelining = true;
	for (size_t i = 0; i < sizeof(smtp_cases) / sizeof(*smtp_cases); i++)
		if (strcmp(smtp_cases[i].name, pipelining_cases[0].name) != 0)
			smtp_far_side(&smtp_cases[i]);
	for (size_t i = 0; i < others; i++)
		smtp_far_side(&pipelining_cases[i]);
	pipelining = false;
}

/* A server that waits for what it waits for, and then says so much. */
static const struct {
	const char *until, *say;
} script[] = {
    {"", "220 x\r\n"},
    {"EHLO keys.example.org\r\n", "250-x\r\n250-pipelining\r\n250 SIZE\r\n"},
    {"MAIL FROM:<>\r\nRCPT TO:<" ALICE ">\r\nDATA\r\n",
	"250-a\r\n250 a\r\n250 b\r\n354 c\r\n"},
    {"\r\n.\r\n", "250 first\r\n"},
    {"MAIL FROM:<>\r\nRCPT TO:<" BOB ">\r\nDATA\r\n",
	"250 a\r\n250 b\r\n354 c\r\n"},
    {"\r\n.\r\n", "250 second\r\n"},
};

static void
play(int listener)
{
	char heard[4096];
	int fd = accept(listener, NULL, NULL);

	for (size_t i = 0; i < sizeof(script) / sizeof(*script); i++) {
		size_t n = 0, len = strlen(script[i].until);

		while (n < len ||
		       memcmp(heard + n - len, script[i].until, len) != 0)
			if (n == sizeof(heard) || read(fd, heard + n++, 1) != 1)
				_exit(1);
		if (write(fd, script[i].say, strlen(script[i].say)) == -1)
			_exit(1);
	}
	_exit(0);
}

/* All up to DATA is said at once: a server that answers nothing before it has
 * heard that gets the mail. */
static void
smtp_says_all_at_once(void **state)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	int status, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sender s;
	pid_t pid;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		play(fd);
	close(fd);
	s = sender_start(SEND_SMTP, ntohs(at.sin_port), NULL, &slow);
	send_one("first", &s, ALICE, MAIL, SEND_OK, "message: 250 first");
	send_one("second", &s, BOB, MAIL, SEND_OK, "message: 250 second");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	sender_stop(&s);
}

static int64_t
time_of_many(void)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);
	int64_t begin;

	send_one("first", &s, ALICE, MAIL, SEND_OK, "");
	begin = loop_now_ms();
	for (int i = 0; i < 100; i++)
		send_one("many", &s, ALICE, MAIL, SEND_OK, "");
	begin = loop_now_ms() - begin;
	sender_stop(&s);
	stop(sink.pid);
	return begin;
}

/* The far side writes each reply by itself, without TCP_NODELAY: it must not
 * wait 40 ms each time for us to acknowledge the first. */
static void
smtp_pipelining_is_no_slower(void **state)
{
	int64_t one_by_one = time_of_many(), at_once;

	(void)state;
	pipelining = true;
	at_once = time_of_many();
	pipelining = false;
	if (at_once > 1500 + 3 * one_by_one)
		fail_msg("%d ms, not %d", (int)at_once, (int)one_by_one);
}

/* The whole time for a message ends a server that answers each command just
 * before it is too late. */
static void
smtp_whole_time(void **state)
{
	static const struct times t = {5000, 5000, 5000, 300, 100};
	const char *const rules[] = {"rcpt=dribble", NULL};
	struct sink sink = sink_start(rules);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &t);

	(void)state;
	send_one("whole", &s, ALICE, MAIL, SEND_LATER, "timed out");
	sender_stop(&s);
	stop(sink.pid);
}

static const char *const messages[] = {
    "Subject: x\r\n\r\n.\r\n..\r\n.x\r\n...\r\nx.\r\n\r\n.\r\n",
    "Subject: x\r\n\r\n.", "Subject: x\r\n\r\nno end", "Subject: x\r\n\r\n\r\n",
    "Subject: x\r\n\r\n" /* no body */};

static void
smtp_dots(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
		char expect[512], name[16], *o = expect;

		o += snprintf(expect, sizeof(expect) / 2,
		    "X-Envelope-From: <>\nX-Envelope-To: <a+b@example.net>\n"
		    "X-Sink-Helo: keys.example.org\nX-Sink-Connection: 1\n");
		for (const char *m = messages[i]; *m != '\0'; m++)
			if (*m != '\r')
				*o++ = *m;
		if (o[-1] != '\n')
			*o++ = '\n';
		*o = '\0';
		send_one(
		    "dots", &s, "a+b@example.net", messages[i], SEND_OK, "");
		snprintf(name, sizeof(name), "%06zu", i + 1);
		assert_string_equal(content(in_dir(name)), expect);
	}
	sender_stop(&s);
	stop(sink.pid);
}

static const char *const no_addresses[] = {"", "a", "a b@example.net",
    "a@example.net>\r\nRCPT TO:<eve@example.net", "a@example.net\r\nDATA",
    "<a@example.net>", "@relay.example:a@example.net", "a@example.net ",
    "a@b@c", "a\001@example.net", "j\303\274rgen@example.net"};

/* A sync mail comes back to us when it cannot be delivered. */
static void
smtp_from(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);

	(void)state;
	send_one("with a sender", &s, "a+b@example.net keys@example.org", MAIL,
	    SEND_OK, "");
	send_one("without one", &s, "a+b@example.net", MAIL, SEND_OK, "");
	assert_non_null(strstr(content(in_dir("000001")),
	    "X-Envelope-From: <keys@example.org>\n"
	    "X-Envelope-To: <a+b@example.net>\n"));
	assert_non_null(strstr(content(in_dir("000002")),
	    "X-Envelope-From: <>\nX-Envelope-To: <a+b@example.net>\n"));
	for (size_t i = 0; i < sizeof(no_addresses) / sizeof(*no_addresses);
	     i++) {
		char text[600];

		if (*no_addresses[i] == '\0')
			continue; /* the null sender */
		snprintf(
		    text, sizeof(text), "a+b@example.net %s", no_addresses[i]);
		send_one(no_addresses[i], &s, text, MAIL, SEND_REFUSED,
		    "no address to write from");
	}
	sender_stop(&s);
	stop(sink.pid);
}

/* More than any buffer between the two. */
static void
smtp_large(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);
	size_t lines = 100000, len = 16;
	char *mail = malloc(len + lines * 66 + 1);
	struct stat st;

	(void)state;
	assert_non_null(mail);
	memcpy(mail, "Subject: x\r\n\r\n..", 16);
	for (size_t i = 0; i < lines; i++, len += 66) {
		memset(mail + len, '.', 64);
		memcpy(mail + len + 64, "\r\n", 2);
	}
	mail[len] = '\0';
	send_one("large", &s, ALICE, mail, SEND_OK, "");
	assert_int_equal(stat(in_dir("000001"), &st), 0);
	assert_true((size_t)st.st_size > lines * 65);
	assert_true((size_t)st.st_size < lines * 65 + 300);
	sender_stop(&s);
	stop(sink.pid);
	free(mail);
}

static void
addresses_are_checked(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);

	(void)state;
	for (size_t i = 0; i < sizeof(no_addresses) / sizeof(*no_addresses);
	     i++)
		send_one(no_addresses[i], &s, no_addresses[i], MAIL,
		    SEND_REFUSED, "no address to write to");
	assert_int_equal(files(dir, NULL, NULL), 0);
	assert_int_equal(files(dir, ".connection-", NULL), 0);
	send_one("after them", &s, ALICE, MAIL, SEND_OK, "");
	sender_stop(&s);
	stop(sink.pid);
}

static void
smtp_nobody_listens(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s;

	(void)state;
	stop(sink.pid);
	s = sender_start(SEND_SMTP, sink.port, NULL, &slow);
	send_one("nobody", &s, ALICE, MAIL, SEND_LATER, "connect to 127.0.0.1");
	sender_stop(&s);
}

/* A server that goes and comes again. */
static void
smtp_restart(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, &slow);

	(void)state;
	send_one("before", &s, ALICE, MAIL, SEND_OK, "");
	stop(sink.pid);
	send_one("down", &s, ALICE, MAIL, SEND_LATER, "connect to");
	sender_stop(&s);
}

static void
smtp_idle(void **state)
{
	struct sink sink = sink_start(NULL);
	struct times t = slow;
	struct sender s;

	(void)state;
	t.idle = 50;
	s = sender_start(SEND_SMTP, sink.port, NULL, &t);
	send_one("first", &s, ALICE, MAIL, SEND_OK, "");
	usleep(500 * 1000);
	send_one("second", &s, ALICE, MAIL, SEND_OK, "");
	assert_int_equal(files(dir, ".connection-", NULL), 2);
	sender_stop(&s);
	stop(sink.pid);
}

/* The times may be left out of the configuration. */
static void
smtp_default_times(void **state)
{
	struct sink sink = sink_start(NULL);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, NULL);

	(void)state;
	send_one("defaults", &s, ALICE, MAIL, SEND_OK, "");
	sender_stop(&s);
	stop(sink.pid);
}

static void
ends_with_the_core(void **state)
{
	const char *const rules[] = {"rcpt=hang,after=1", NULL};
	struct sink sink = sink_start(rules);
	struct sender s = sender_start(SEND_SMTP, sink.port, NULL, NULL);
	int status;

	(void)state;
	send_one("first", &s, ALICE, MAIL, SEND_OK, "");
	kill(s.pid, SIGTERM); /* goes to the whole unit; not for the sender */
	give(&s, 1000, ALICE, MAIL);
	usleep(100 * 1000);
	assert_int_equal(waitpid(s.pid, &status, WNOHANG), 0);
	sender_stop(&s);
	stop(sink.pid);
}

/* ---- sendmail ------------------------------------------------------------ */

static const struct {
	const char *name, *script;
	enum send_status status;
	const char *text;
	bool quick;
} scripts[] = {
    {"took it", "cat > \"$D/mail\"", SEND_OK, "sendmail took it", false},
    {"says something", "cat > /dev/null; echo 'queued as 7'", SEND_OK,
	"queued as 7", false},
    {"75", "cat > /dev/null; echo later >&2; exit 75", SEND_LATER,
	"sendmail exited with 75: later", false},
    {"67", "printf 'no\\033[1m such\\nuser\\n'; exit 67", SEND_REFUSED,
	"sendmail exited with 67: no?[1m such user", false},
    {"65", "exit 65", SEND_REFUSED, "sendmail exited with 65", false},
    {"1", "exit 1", SEND_LATER, "sendmail exited with 1", false},
    {"64", "exit 64", SEND_LATER, "sendmail exited with 64", false},
    {"69", "exit 69", SEND_LATER, "sendmail exited with 69", false},
    {"78", "exit 78", SEND_LATER, "sendmail exited with 78", false},
    {"cannot be run", "exec /nonexistent/sendmail", SEND_LATER, "cannot run",
	false},
    {"signal", "kill -9 $$", SEND_LATER, "sendmail died of signal 9", false},
    {"does not read", "exit 0", SEND_OK, "", false},
    {"says much", "head -c 1000000 /dev/zero | tr '\\0' x; exit 0", SEND_OK,
	"xxxxx", false},
    {"leaves something behind", "sleep 2 & exit 0", SEND_OK, "", false},
    {"hangs", "sleep 60; exit 0", SEND_LATER, "took longer than", true},
    {"hangs and talks", "while :; do echo x; done", SEND_LATER,
	"took longer than", true},
};

static void
write_script(const char *path, const char *body)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f,
	    "#!/bin/sh\nD='%s'\nprintf '%%s|' \"$@\" > \"$D/args\"\n%s\n", dir,
	    body);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
}

static void
sendmail_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		const char *path = in_dir("sendmail");
		struct sender s;

		write_script(path, scripts[i].script);
		s = sender_start(
		    SEND_SENDMAIL, 0, path, scripts[i].quick ? &quick : &slow);
		send_one(scripts[i].name, &s, "a+b@example.net", MAIL,
		    scripts[i].status, scripts[i].text);
		assert_string_equal(
		    content(in_dir("args")), "-i|-f|<>|--|a+b@example.net|");
		send_one(scripts[i].name, &s, ALICE " keys@example.org", MAIL,
		    scripts[i].status, scripts[i].text);
		assert_string_equal(content(in_dir("args")),
		    "-i|-f|keys@example.org|--|" ALICE "|");
		sender_stop(&s);
	}
	assert_string_equal(content(in_dir("mail")),
	    "From: keys@example.org\nTo: a@example.net\nSubject: x\n\ntext\n");
}

static void
sendmail_is_missing(void **state)
{
	struct sender s =
	    sender_start(SEND_SENDMAIL, 0, "/nonexistent/sendmail", &slow);

	(void)state;
	send_one("missing", &s, ALICE, MAIL, SEND_LATER,
	    "cannot run /nonexistent/sendmail: ");
	sender_stop(&s);
}

static void
sendmail_gets_no_bad_address(void **state)
{
	const char *path = in_dir("sendmail");
	struct sender s;

	(void)state;
	write_script(path, "exit 0");
	s = sender_start(SEND_SENDMAIL, 0, path, &slow);
	for (size_t i = 0; i < sizeof(no_addresses) / sizeof(*no_addresses);
	     i++)
		send_one(no_addresses[i], &s, no_addresses[i], MAIL,
		    SEND_REFUSED, "no address to write to");
	assert_int_not_equal(access(in_dir("args"), F_OK), 0);
	sender_stop(&s);
}

#define SENDMAIL_HANGS                                                         \
	"sleep 1000 & echo $! > \"$D/p\" && mv \"$D/p\" \"$D/pid\"; wait"

/* With what it has started. */
static void
assert_sendmail_ended(void)
{
	int left = -1;

	assert_int_equal(sscanf(content(in_dir("pid")), "%d", &left), 1);
	for (int ms = 0; kill(left, 0) == 0 && ms < PATIENCE; ms += 10) {
		char stat_path[64], *text;

		/* perhaps it waits for init to look after it */
		snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", left);
		if (access(stat_path, R_OK) != 0)
			break;
		text = content(stat_path);
		if (strstr(text, ") Z ") != NULL)
			break;
		assert_true(ms + 10 < PATIENCE);
		usleep(10000);
	}
}

/* What hangs is ended with all that it started. */
static void
sendmail_is_killed(void **state)
{
	const char *path = in_dir("sendmail");
	struct sender s;

	(void)state;
	write_script(path, SENDMAIL_HANGS);
	s = sender_start(SEND_SENDMAIL, 0, path, &quick);
	send_one("killed", &s, ALICE, MAIL, SEND_LATER, "took longer than");
	assert_sendmail_ended();
	sender_stop(&s);
}

/* Else it might deliver long after the next one has. */
static void
sendmail_ends_with_the_core(void **state)
{
	const char *path = in_dir("sendmail");
	struct sender s;

	(void)state;
	write_script(path, SENDMAIL_HANGS);
	s = sender_start(SEND_SENDMAIL, 0, path, &slow);
	give(&s, 1, ALICE, MAIL);
	for (int ms = 0; access(in_dir("pid"), F_OK) != 0; ms += 10) {
		assert_true(ms < PATIENCE);
		usleep(10000);
	}
	sender_stop(&s);
	assert_sendmail_ended();
}

/* ---- Maildir ------------------------------------------------------------- */

static void
maildir_is_filled(void **state)
{
	const char *path = in_dir("Maildir");
	struct sender s = sender_start(SEND_MAILDIR, 0, path, &slow);
	char folder[700], last[512];

	(void)state;
	for (int i = 0; i < 20; i++)
		send_one("maildir", &s, ALICE, MAIL, SEND_OK, path);
	sender_stop(&s);
	snprintf(folder, sizeof(folder), "%s/tmp", path);
	assert_int_equal(files(folder, NULL, NULL), 0);
	snprintf(folder, sizeof(folder), "%s/cur", path);
	assert_int_equal(files(folder, NULL, NULL), 0);
	snprintf(folder, sizeof(folder), "%s/new", path);
	assert_int_equal(files(folder, NULL, last), 20);
	assert_string_equal(content(last),
	    "From: keys@example.org\nTo: a@example.net\nSubject: x\n\ntext\n");
}

static void
maildir_in_the_way(void **state)
{
	const char *path = in_dir("Maildir");
	struct sender s;
	FILE *f = fopen(path, "w");

	(void)state;
	assert_non_null(f);
	fclose(f);
	s = sender_start(SEND_MAILDIR, 0, path, &slow);
	send_one("a file", &s, ALICE, MAIL, SEND_LATER, "Not a directory");
	assert_int_equal(unlink(path), 0);
	send_one("gone", &s, ALICE, MAIL, SEND_OK, "");
	sender_stop(&s);
}

/* ---- the core's side ----------------------------------------------------- */

static void
bad_configuration(void **state)
{
	struct sender s = sender_start(SEND_SENDMAIL, 0, NULL, NULL);
	struct pollfd p = {s.sock, POLLIN, 0};
	struct ipc_msg m;
	int status;

	(void)state;
	assert_int_equal(poll(&p, 1, PATIENCE), 1);
	assert_int_equal(ipc_recv(s.sock, &m), 0);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 78);
	close(s.sock);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch, clear)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(smtp_far_sides),
	    cmocka_unit_test(smtp_far_sides_pipelining),
	    TEST(smtp_says_all_at_once),
	    TEST(smtp_pipelining_is_no_slower),
	    TEST(smtp_whole_time),
	    TEST(smtp_dots),
	    TEST(smtp_from),
	    TEST(smtp_large),
	    TEST(addresses_are_checked),
	    TEST(smtp_nobody_listens),
	    TEST(smtp_restart),
	    TEST(smtp_idle),
	    TEST(smtp_default_times),
	    TEST(ends_with_the_core),
	    TEST(sendmail_commands),
	    TEST(sendmail_is_missing),
	    TEST(sendmail_gets_no_bad_address),
	    TEST(sendmail_is_killed),
	    TEST(sendmail_ends_with_the_core),
	    TEST(maildir_is_filled),
	    TEST(maildir_in_the_way),
	    TEST(bad_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
