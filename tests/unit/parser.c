/*
 * mailkeyd-parser as the core sees it: over its socket, with mails that kill
 * its children, and with what comes after them.
 */
#include "mailkeyd/parser.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/mail_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#ifdef SANITIZED
#define BUILD "build-san"
#else
#define BUILD "build"
#endif

static char *alice, *bob;

/* ---- the core's side ----------------------------------------------------- */

struct parser {
	pid_t pid;
	int sock;
	struct parser_config config;
};

static struct parser_config
config_default(void)
{
	return (struct parser_config){
	    .jailer = {.size = sizeof(struct parser_config),
		.children = 2,
		.jobs = 1,
		.deadline = 30,
		.cpu = 10,
		.memory = 256u << 20},
	    .import_batch = 200,
	    .limits = mail_limits_default,
	    .policy = pgp_policy_default};
}

static void
exec_parser(int sock)
{
	const char *dir = getenv("B");
	char path[256];

	snprintf(path, sizeof(path), "%s/mailkeyd-parser",
	    dir == NULL ? BUILD : dir);
	if (dup2(sock, 3) != -1)
		execl(path, "mailkeyd-parser", (char *)NULL);
	_exit(99);
}

static void
configure(struct parser *p)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, PARSER_CONFIG, 0);
	msg.fd[0] = ipc_memfd("config", &p->config, sizeof(p->config), true);
	assert_int_equal(ipc_send(p->sock, &msg), 0);
	ipc_msg_close(&msg);
}

static struct parser
start(const struct parser_config *config)
{
	struct parser p = {.config = *config};
	int pair[2];

	assert_int_equal(ipc_pair(pair), 0);
	p.pid = fork();
	assert_int_not_equal(p.pid, -1);
	if (p.pid == 0)
		exec_parser(pair[1]);
	close(pair[1]);
	p.sock = pair[0];
	configure(&p);
	return p;
}

/* Closes the socket; the parser must end by itself, and well. */
static void
stop(struct parser *p)
{
	int status;

	close(p->sock);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_int_equal(status, 0);
}

/* Sends a job; returns the descriptor that the record will lie in. */
static int
job(struct parser *p, enum parser_type type, uint64_t id, int fd)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, type, id);
	msg.fd[0] = fd;
	msg.fd[1] = ipc_memfd("record", NULL, 0, false);
	assert_true(msg.fd[1] >= 0);
	assert_int_equal(ipc_send(p->sock, &msg), 0);
	return msg.fd[1];
}

static struct ipc_msg
answer(struct parser *p)
{
	struct pollfd poll_in = {.fd = p->sock, .events = POLLIN};
	struct ipc_msg msg;

	assert_int_equal(poll(&poll_in, 1, 60000), 1);
	assert_int_equal(ipc_recv(p->sock, &msg), 1);
	assert_int_equal(msg.type, PARSER_DONE);
	return msg;
}

static struct mail
record(int fd)
{
	struct ipc_in in = {0};
	struct mail m;
	char *data;

	assert_int_equal(ipc_slurp(fd, PARSER_RECORD_MAX, &data, &in.len), 0);
	in.data = (unsigned char *)data;
	assert_int_equal(mail_get(&in, &m), 0);
	free(data);
	close(fd);
	return m;
}

/* Has a mail read; 0 and *m, or the status of what went wrong and its text. */
static enum parser_status
read_octets(
    struct parser *p, const char *raw, size_t len, struct mail *m, char *why)
{
	static uint64_t id;
	int mail = ipc_memfd("mail", raw, len, true);
	int fd = job(p, PARSER_MAIL, ++id, mail);
	struct ipc_msg msg = answer(p);

	close(mail);
	assert_int_equal(msg.id, id);
	memcpy(why, msg.text, sizeof(msg.text));
	if (msg.status == PARSER_OK) {
		assert_int_equal(msg.a, 0);
		*m = record(fd);
	} else {
		close(fd);
	}
	return (enum parser_status)msg.status;
}

static void
check_good(struct parser *p)
{
	char why[IPC_TEXT], *raw;
	struct mail m;

	assert_int_not_equal(
	    asprintf(&raw, "Subject: =?iso-8859-15?q?ADD_=A4?=\n\n%s", alice),
	    -1);
	if (read_octets(p, raw, strlen(raw), &m, why) != PARSER_OK)
		fail_msg("a good mail: %s", why);
	assert_int_equal(m.verdict, MAIL_SOUND);
	assert_string_equal(m.subject, "ADD \xe2\x82\xac");
	assert_int_equal(m.ncerts, 1);
	mail_free(&m);
	free(raw);
}

static void
check_death(struct parser *p, const char *raw, size_t len, const char *reason)
{
	char why[IPC_TEXT];
	struct mail m;
	enum parser_status status = read_octets(p, raw, len, &m, why);

	if (status == PARSER_OK)
		mail_free(&m);
	assert_int_equal(status, PARSER_DIED);
	assert_string_equal(why, reason);
}

/* The children of the parser; at most two are looked for. */
static unsigned
children(const struct parser *p, int pid[2])
{
	char path[64], line[256] = "";
	int n;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)p->pid,
	    (int)p->pid);
	in = fopen(path, "r");
	assert_non_null(in);
	if (fgets(line, sizeof(line), in) == NULL)
		line[0] = '\0';
	fclose(in);
	n = sscanf(line, "%d %d", &pid[0], &pid[1]);
	return n > 0 ? (unsigned)n : 0;
}

/* Waits until there are so many children. */
static void
await_children(const struct parser *p, unsigned n, int pid[2])
{
	unsigned found = children(p, pid);

	for (int i = 0; i < 1000 && found != n; i++) {
		usleep(10000);
		found = children(p, pid);
	}
	assert_int_equal(found, n);
}

/* ---- mails --------------------------------------------------------------- */

static void
test_mails(void **state)
{
	struct parser_config config = config_default();
	struct parser p = start(&config);

	(void)state;
	for (int i = 0; i < 20; i++)
		check_good(&p);
	stop(&p);
}

static void
test_two_at_once(void **state)
{
	struct parser_config config = config_default();
	struct parser p = start(&config);
	int mail = ipc_memfd("mail", "Subject: x\n\n", 12, true);
	int first = job(&p, PARSER_MAIL, 7, mail);
	int second = job(&p, PARSER_MAIL, 9, mail);
	uint64_t ids = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct ipc_msg msg = answer(&p);

		assert_int_equal(msg.status, PARSER_OK);
		ids += msg.id;
	}
	assert_int_equal(ids, 16);
	for (int i = 0; i < 2; i++) {
		struct mail m = record(i == 0 ? first : second);

		assert_string_equal(m.subject, "x");
		mail_free(&m);
	}
	close(mail);
	stop(&p);
}

static void
test_too_large(void **state)
{
	struct parser_config config = config_default();
	size_t len = config.limits.message_size + 100000;
	char *raw = malloc(len), why[IPC_TEXT];
	struct parser p = start(&config);
	struct mail m;

	(void)state;
	assert_non_null(raw);
	memset(raw, 'x', len);
	memcpy(raw, "Subject: big\n\n", 14);
	assert_int_equal(read_octets(&p, raw, len, &m, why), PARSER_OK);
	assert_int_equal(m.verdict, MAIL_OVER);
	assert_string_equal(m.subject, "big");
	mail_free(&m);
	free(raw);
	stop(&p);
}

/* Each mail has a child of its own, or one child reads several. */
static void
test_children(void **state)
{
	struct parser_config config = config_default();

	(void)state;
	config.jailer.children = 1;
	for (config.jailer.jobs = 1; config.jailer.jobs < 4;
	     config.jailer.jobs++) {
		struct parser p = start(&config);
		int pid[2], last;

		await_children(&p, 1, pid);
		for (unsigned i = 1; i <= 12; i++) {
			last = pid[0];
			check_good(&p);
			if (i % config.jailer.jobs != 0) {
				assert_int_equal(children(&p, pid), 1);
				assert_int_equal(pid[0], last);
				continue;
			}
			/* ended after it answered: give it a moment */
			for (int k = 0; k < 1000 && pid[0] == last; k++) {
				usleep(1000);
				await_children(&p, 1, pid);
			}
			assert_int_not_equal(pid[0], last);
		}
		stop(&p);
	}
}

/* ---- deaths -------------------------------------------------------------- */

/* A message in the message, whose To is all comments: libetpan calls itself
 * once for each. */
static char *
deadly_mail(size_t *len)
{
	size_t n = 600000;
	char *raw = malloc(n + 200);
	int at;

	assert_non_null(raw);
	at = snprintf(
	    raw, 200, "Subject: ADD\nContent-Type: message/rfc822\n\nTo: ");
	memset(raw + at, '(', n);
	*len = (size_t)at + n;
	*len += (size_t)snprintf(raw + *len, 100, "\n\nbody\n");
	return raw;
}

static void
test_stack(void **state)
{
	struct parser_config config = config_default();
	struct parser p = start(&config);
	size_t len;
	char *raw = deadly_mail(&len);

	(void)state;
	for (int i = 0; i < 3; i++) {
		check_death(&p, raw, len, "killed by signal 11");
		check_good(&p);
	}
	free(raw);
	stop(&p);
}

#ifndef SANITIZED
/* Address space of a process, in octets. */
static uint64_t
address_space(pid_t pid)
{
	char path[64];
	unsigned long pages = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fscanf(in, "%lu", &pages), 1);
	fclose(in);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
test_memory(void **state)
{
	struct parser_config config = config_default();
	struct parser p = start(&config);
	size_t len = 4u << 20;
	char *raw = malloc(len);

	(void)state;
	assert_non_null(raw);
	memset(raw, 'x', len);
	memcpy(raw, "Subject: x\n\n", 12);
	check_good(&p);
	config.jailer.memory = address_space(p.pid) + (3u << 20);
	stop(&p);
	p = start(&config);
	check_good(&p);
	check_death(&p, raw, len, "out of memory");
	check_good(&p);
	stop(&p);
	free(raw);
}
#endif

/* Multiparts in multiparts: the time that libetpan takes grows with the
 * square of their number. */
static char *
costly_mail(unsigned depth)
{
	size_t len;
	char *raw;
	FILE *out = open_memstream(&raw, &len);

	assert_non_null(out);
	for (unsigned i = 0; i < depth; i++)
		fprintf(out,
		    "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i,
		    i);
	assert_int_equal(fclose(out), 0);
	return raw;
}

static double
cost(const char *raw, const struct parser_config *config)
{
	struct timespec a, b;
	struct mail m;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	assert_int_equal(mail_parse(raw, strlen(raw), &config->limits,
			     &config->policy, 0, &m),
	    0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	mail_free(&m);
	return (double)(b.tv_sec - a.tv_sec) +
	       (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* A mail that costs about `seconds`, or a bit more. */
static char *
mail_of_cost(double seconds, const struct parser_config *config)
{
	unsigned depth = 1000;
	char *raw = costly_mail(depth);
	double took;

	while ((took = cost(raw, config)) < seconds && depth < 20000) {
		free(raw);
		depth += depth / (took < seconds / 2 ? 3 : 8);
		raw = costly_mail(depth);
	}
	return raw;
}

/* One child reads several costly mails, of 0.4 s each, with one second for
 * each; and one that needs more dies of it. */
static void
test_processor_time(void **state)
{
	struct parser_config config = config_default();
	char *raw, why[IPC_TEXT];
	struct parser p;
	int pid[2], first[2];
	struct mail m;

	(void)state;
	config.jailer.children = 1;
	config.jailer.jobs = 50;
	config.jailer.cpu = 1;
	config.limits.content_types = 1000000;
	raw = mail_of_cost(0.4, &config);
	p = start(&config);
	await_children(&p, 1, first);
	for (int i = 0; i < 4; i++) {
		if (read_octets(&p, raw, strlen(raw), &m, why) != PARSER_OK)
			fail_msg("mail %d: %s", i, why);
		assert_int_equal(m.verdict, MAIL_OVER);
		assert_non_null(strstr(m.why, "depth"));
		mail_free(&m);
	}
	await_children(&p, 1, pid);
	assert_int_equal(pid[0], first[0]);
	free(raw);
	raw = mail_of_cost(2.2, &config);
	check_death(&p, raw, strlen(raw), "out of processor time");
	check_good(&p);
	free(raw);
	stop(&p);
}

/* A child that waits for octets which do not come. */
static void
test_deadline(void **state)
{
	struct parser_config config = config_default();
	struct parser p;
	struct ipc_msg msg;
	int pipes[2], fd;

	(void)state;
	config.jailer.children = 1;
	config.jailer.deadline = 1;
	p = start(&config);
	assert_int_equal(pipe(pipes), 0);
	fd = job(&p, PARSER_IMPORT, 5, pipes[0]);
	msg = answer(&p);
	assert_int_equal(msg.id, 5);
	assert_int_equal(msg.status, PARSER_DIED);
	assert_string_equal(msg.text, "out of time (1 seconds)");
	check_good(&p);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
	stop(&p);
}

static void
test_killed_from_outside(void **state)
{
	struct parser_config config = config_default();
	struct parser p = start(&config);
	int pid[2];

	(void)state;
	await_children(&p, 2, pid);
	kill(pid[0], SIGKILL);
	kill(pid[1], SIGKILL);
	await_children(&p, 0, pid);
	check_good(&p);
	stop(&p);
}

#ifndef SANITIZED /* whose children are never small */
/* Under a file that it has begun, which is not to blame. */
static void
test_killed_at_work(void **state)
{
	struct parser_config config = config_default();
	struct parser p;
	struct ipc_msg msg;
	int pipes[2], fd, pid[2], left = 1;

	(void)state;
	config.jailer.children = 1;
	p = start(&config);
	await_children(&p, 1, pid);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], alice, 100), 100);
	fd = job(&p, PARSER_IMPORT, 5, pipes[0]);
	for (int i = 0; i < 1000 && left > 0; i++) {
		usleep(10000);
		assert_int_equal(ioctl(pipes[0], FIONREAD, &left), 0);
	}
	assert_int_equal(left, 0);
	kill(pid[0], SIGKILL);
	msg = answer(&p);
	assert_int_equal(msg.id, 5);
	assert_int_equal(msg.status, PARSER_NO_CHILD);
	assert_string_equal(msg.text, "killed by signal 9 (out of memory?)");
	check_good(&p);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
	stop(&p);
}

/* A hard limit on processor time kills as anybody does: that counts. */
static void
test_hard_limit(void **state)
{
	struct parser_config config = config_default();
	struct rlimit cpu = {1, 1};
	struct parser p;
	char *raw;
	int pid[2];

	(void)state;
	config.jailer.children = 1;
	config.limits.content_types = 1000000;
	raw = mail_of_cost(1.5, &config);
	p = start(&config);
	await_children(&p, 1, pid);
	assert_int_equal(prlimit(p.pid, RLIMIT_CPU, &cpu, NULL), 0);
	kill(pid[0], SIGKILL);
	await_children(&p, 0, pid);
	check_death(
	    &p, raw, strlen(raw), "killed by signal 9 (out of memory?)");
	free(raw);
	stop(&p);
}
#endif

static void
test_no_child(void **state)
{
	struct parser_config config = config_default();
	struct rlimit few = {.rlim_cur = 8}, many;
	struct parser p;
	char why[IPC_TEXT];
	struct mail m;
	int pid[2];

	(void)state;
	config.jailer.children = 1;
	p = start(&config);
	/* no descriptors for another child's socket: 0 to 3, /dev/null, a
	 * Landlock ruleset, and the two of a mail */
	await_children(&p, 1, pid);
	kill(pid[0], SIGKILL);
	await_children(&p, 0, pid);
	assert_int_equal(prlimit(p.pid, RLIMIT_NOFILE, NULL, &many), 0);
	few.rlim_max = many.rlim_max;
	assert_int_equal(prlimit(p.pid, RLIMIT_NOFILE, &few, NULL), 0);
	assert_int_equal(
	    read_octets(&p, "A: b\n\n", 6, &m, why), PARSER_NO_CHILD);
	assert_string_equal(why, strerror(EMFILE));
	assert_int_equal(prlimit(p.pid, RLIMIT_NOFILE, &many, NULL), 0);
	check_good(&p);
	stop(&p);
}

/* What comes while all children are busy waits; past a limit it does not. */
static void
test_queue(void **state)
{
	struct parser_config config = config_default();
	int mail = ipc_memfd("mail", "A: b\n\n", 6, true);
	int pipes[2], record[JAILER_QUEUE + 1], import;
	struct ipc_msg msg;
	struct parser p;

	(void)state;
	config.jailer.children = 1;
	p = start(&config);
	assert_int_equal(pipe(pipes), 0);
	import = job(&p, PARSER_IMPORT, 500, pipes[0]);
	for (unsigned i = 0; i <= JAILER_QUEUE; i++)
		record[i] = job(&p, PARSER_MAIL, i, mail);
	msg = answer(&p);
	assert_int_equal(msg.id, JAILER_QUEUE);
	assert_int_equal(msg.status, PARSER_NO_CHILD);
	close(pipes[1]);
	msg = answer(&p);
	assert_int_equal(msg.id, 500);
	assert_int_equal(msg.status, PARSER_OK);
	for (unsigned i = 0; i < JAILER_QUEUE; i++) {
		msg = answer(&p);
		assert_int_equal(msg.id, i);
		assert_int_equal(msg.status, PARSER_OK);
	}
	for (unsigned i = 0; i <= JAILER_QUEUE; i++)
		close(record[i]);
	close(import);
	close(pipes[0]);
	close(mail);
	check_good(&p);
	stop(&p);
}

/* A character set that is a file of its own is not at hand: another child reads
 * the mail, in which it is. */
static void
test_charsets(void **state)
{
	struct parser_config config = config_default();
	const char *raw = "From: a@example.net\n"
			  "Subject: =?ISO-2022-JP?B?R0VUIBskQjszRUQbKEI=?=\n\n";
	char why[IPC_TEXT];
	struct parser p;
	struct mail m;

	(void)state;
	for (config.jailer.jobs = 1; config.jailer.jobs <= 50;
	     config.jailer.jobs += 49) {
		p = start(&config);
		for (int i = 0; i < 3; i++) {
			check_good(&p);
			if (read_octets(&p, raw, strlen(raw), &m, why) !=
			    PARSER_OK)
				fail_msg("%s", why);
			assert_string_equal(m.subject, "GET 山田");
			mail_free(&m);
		}
		check_good(&p);
		stop(&p);
	}
}

/* An import that is dropped before it has begun. */
static void
test_queue_drop(void **state)
{
	struct parser_config config = config_default();
	int pipes[2], first, second, mail, record;
	struct ipc_msg msg;
	struct parser p;

	(void)state;
	config.jailer.children = 1;
	p = start(&config);
	assert_int_equal(pipe(pipes), 0);
	mail = ipc_memfd("mail", "A: b\n\n", 6, true);
	first = job(&p, PARSER_IMPORT, 500, pipes[0]);
	second = job(&p, PARSER_IMPORT, 501, pipes[0]);
	record = job(&p, PARSER_MAIL, 502, mail);
	ipc_msg_init(&msg, PARSER_DROP, 501);
	assert_int_equal(ipc_send(p.sock, &msg), 0);
	msg = answer(&p);
	assert_int_equal(msg.id, 501);
	assert_int_equal(msg.status, PARSER_DIED);
	close(pipes[1]);
	msg = answer(&p);
	assert_int_equal(msg.id, 500);
	msg = answer(&p);
	assert_int_equal(msg.id, 502);
	assert_int_equal(msg.status, PARSER_OK);
	close(pipes[0]);
	close(first);
	close(second);
	close(mail);
	close(record);
	stop(&p);
}

/* ---- imports ------------------------------------------------------------- */

static void
send_plain(struct parser *p, enum parser_type type, uint64_t id)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, type, id);
	assert_int_equal(ipc_send(p->sock, &msg), 0);
}

/* Takes one record; returns whether there are more. */
static bool
take(struct parser *p, int fd, uint64_t id, size_t ncerts, uint64_t *offset)
{
	struct ipc_msg msg = answer(p);
	struct mail m;

	assert_int_equal(msg.id, id);
	if (msg.status != PARSER_OK)
		fail_msg("%s", msg.text);
	assert_true(msg.b >= *offset);
	*offset = msg.b;
	m = record(fd);
	assert_int_equal(m.verdict, MAIL_SOUND);
	assert_int_equal(m.ncerts, ncerts);
	assert_int_equal(m.nproblems, 0);
	mail_free(&m);
	return msg.a == 1;
}

static void
test_import(void **state)
{
	struct parser_config config = config_default();
	struct parser p;
	uint64_t offset = 0;
	char *five;
	int file, fd;
	bool more;

	(void)state;
	config.import_batch = 2;
	config.jailer.children = 1;
	p = start(&config);
	assert_int_not_equal(
	    asprintf(&five, "%s%s%s%s%s", alice, bob, alice, bob, alice), -1);
	for (int i = 0; i < 2; i++) {
		offset = 0;
		file = ipc_memfd("file", five, strlen(five), false);
		assert_int_equal(lseek(file, 0, SEEK_SET), 0);
		fd = job(&p, PARSER_IMPORT, 40, file);
		assert_true(take(&p, fd, 40, 2, &offset));
		fd = job(&p, PARSER_MORE, 40, -1);
		assert_true(take(&p, fd, 40, 2, &offset));
		fd = job(&p, PARSER_MORE, 40, -1);
		more = take(&p, fd, 40, 1, &offset);
		assert_false(more);
		assert_int_equal(offset, strlen(five));
		check_good(&p);
		close(file);
	}
	free(five);
	stop(&p);
}

/* Through a pipe, dropped before its end: the slot is free again. */
static void
test_drop(void **state)
{
	struct parser_config config = config_default();
	struct parser p;
	struct ipc_msg msg;
	uint64_t offset = 0;
	int pipes[2], fd;

	(void)state;
	config.import_batch = 1;
	config.jailer.children = 1;
	p = start(&config);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes), 0);
		assert_int_equal(
		    write(pipes[1], alice, strlen(alice)), strlen(alice));
		assert_int_equal(
		    write(pipes[1], bob, strlen(bob)), strlen(bob));
		offset = 0;
		fd = job(&p, PARSER_IMPORT, 60, pipes[0]);
		assert_true(take(&p, fd, 60, 1, &offset));
		if (i == 1) { /* while it is busy, waiting for a third */
			fd = job(&p, PARSER_MORE, 60, -1);
			assert_true(take(&p, fd, 60, 1, &offset));
			fd = job(&p, PARSER_MORE, 60, -1);
			send_plain(&p, PARSER_DROP, 60);
			msg = answer(&p);
			assert_int_equal(msg.status, PARSER_DIED);
			close(fd);
		} else {
			send_plain(&p, PARSER_DROP, 60);
		}
		close(pipes[0]);
		close(pipes[1]);
		check_good(&p);
		/* nothing is left of it */
		fd = job(&p, PARSER_MORE, 60, -1);
		msg = answer(&p);
		assert_int_equal(msg.status, PARSER_DIED);
		close(fd);
	}
	stop(&p);
}

/* It dies between two records: the next one says so. */
static void
test_import_dies(void **state)
{
	struct parser_config config = config_default();
	struct parser p;
	struct ipc_msg msg;
	uint64_t offset = 0;
	int file, fd, pid[2];

	(void)state;
	config.import_batch = 1;
	config.jailer.children = 1;
	p = start(&config);
	file = ipc_memfd("file", alice, strlen(alice), false);
	assert_int_equal(
	    pwrite(file, bob, strlen(bob), (off_t)strlen(alice)), strlen(bob));
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	fd = job(&p, PARSER_IMPORT, 70, file);
	assert_true(take(&p, fd, 70, 1, &offset));
	await_children(&p, 1, pid);
	kill(pid[0], SIGKILL);
	await_children(&p, 0, pid);
	fd = job(&p, PARSER_MORE, 70, -1);
	msg = answer(&p);
	assert_int_equal(msg.status, PARSER_DIED);
	close(fd);
	close(file);
	check_good(&p);
	stop(&p);
}

/* ---- the end ------------------------------------------------------------- */

/* Whatever becomes of the parser, no child stays. */
static void
test_end(void **state)
{
	struct parser_config config = config_default();

	(void)state;
	/* orphans become ours to wait for */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	for (int killed = 0; killed < 2; killed++) {
		struct parser p = start(&config);
		int pid[2], pipes[2], fd, status;

		assert_int_equal(pipe(pipes), 0);
		fd = job(&p, PARSER_IMPORT, 1, pipes[0]);
		await_children(&p, 2, pid);
		if (killed)
			kill(p.pid, SIGKILL);
		close(p.sock);
		assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
		assert_int_equal(status, killed ? SIGKILL : 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		close(fd);
		close(pipes[0]);
		close(pipes[1]);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

static void
check_refused(struct parser_config config)
{
	struct parser p = start(&config);
	int status;

	assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EX_PROTOCOL);
	close(p.sock);
}

static void
test_bad_configuration(void **state)
{
	struct parser_config config = config_default();

	(void)state;
	config.jailer.size--;
	check_refused(config);
	config = config_default();
	config.jailer.children = 0;
	check_refused(config);
	config = config_default();
	config.import_batch = MAIL_CERTS_MAX + 1;
	check_refused(config);
}

/* ---- */

static char *
slurp(const char *path)
{
	char *data;
	size_t len;
	int fd = open(path, O_RDONLY);

	if (fd == -1 || ipc_slurp(fd, 10000, &data, &len) == -1)
		fail_msg("%s: run from the top of the tree", path);
	close(fd);
	return data;
}

static int
setup(void **state)
{
	(void)state;
	alice = slurp("tests/keys/reader/alice.asc");
	bob = slurp("tests/keys/reader/bob.asc");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(alice);
	free(bob);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mails),
	    cmocka_unit_test(test_two_at_once),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_children),
	    cmocka_unit_test(test_stack),
#ifndef SANITIZED
	    cmocka_unit_test(test_memory),
#endif
	    cmocka_unit_test(test_processor_time),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_killed_from_outside),
#ifndef SANITIZED
	    cmocka_unit_test(test_killed_at_work),
	    cmocka_unit_test(test_hard_limit),
#endif
	    cmocka_unit_test(test_no_child),
	    cmocka_unit_test(test_queue),
	    cmocka_unit_test(test_queue_drop),
	    cmocka_unit_test(test_charsets),
	    cmocka_unit_test(test_import),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_import_dies),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_bad_configuration),
	};

	return cmocka_run_group_tests_name("parser", tests, setup, teardown);
}
