/*
 * load: mails requests to a server, takes its answers by SMTP, and says how
 * long it took.
 *
 *   load [-1] [-c N] [-p PORT] [-s DIR] [-w SECONDS] REQUESTS lmtp SOCKET
 *   load [-1] [-c N] [-p PORT] [-s DIR] [-w SECONDS] REQUESTS run PROGRAM
 * [ARG]...
 *
 *   REQUESTS  of each mail a line, its octets and what must be in the answer
 *             with a tab between, and then the mail.  Mail I is from
 *             <bI@example.net>, which is how its answer is known.
 *   lmtp      hand them over by LMTP, each in one write with the commands of
 *             the next (RFC 2920): CR LF, dots doubled
 *   run       each to a program of its own, as pipe transports do
 *   -1        one at a time: the next when the answer has come
 *   -c N      so many connections, or programs, at once (20)
 *   -p PORT   where answers are taken; the port is printed first in any case
 *   -s DIR    keep about 50 of the answers there
 *   -w        give up when nothing has come for so long (60)
 *
 * Prints, with tabs between: mails, right answers, seconds from the first DATA
 * to the last acceptance, and of the time from DATA (or the start of the
 * program) to the acceptance of the answer the median, the 99th percentile, the
 * least and the greatest, in microseconds.  Exit status 1: an answer was
 * missing or wrong.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct request {
	char *text, *want;
	size_t len;
	double sent, answered; /* 0: not yet */
	bool right;
};

static struct request *requests;
static size_t nrequests;
static atomic_size_t next_request;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static size_t nanswered, nwrong;
static atomic_bool failed;
static const char *samples;
static bool one_by_one;
static char **target;
static bool by_lmtp;
static int patience = 60;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- requests ------------------------------------------------------------ */

static void
read_requests(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (f == NULL)
		err(2, "%s", path);
	while ((n = getline(&line, &size, f)) > 0) {
		struct request r = {.len = strtoul(line, NULL, 10)};
		char *tab = strchr(line, '\t');

		line[n - 1] = '\0';
		r.text = malloc(r.len + 1);
		r.want = tab == NULL ? NULL : strdup(tab + 1);
		if (nrequests % 1024 == 0)
			requests =
			    realloc(requests, (nrequests + 1024) * sizeof(r));
		if (r.text == NULL || r.want == NULL || requests == NULL ||
		    fread(r.text, 1, r.len, f) != r.len)
			errx(2, "%s: request %zu", path, nrequests);
		requests[nrequests++] = r;
	}
	free(line);
	fclose(f);
}

static void
note_answer(size_t i, const char *text, size_t len)
{
	struct request *r = i < nrequests ? &requests[i] : NULL;
	bool right = r != NULL && memmem(text, len, r->want, strlen(r->want));

	pthread_mutex_lock(&lock);
	if (r == NULL || r->answered != 0) {
		nwrong++;
	} else {
		r->answered = now();
		r->right = right;
		nwrong += !right;
		nanswered++;
	}
	if (nanswered == nrequests || one_by_one)
		pthread_cond_broadcast(&arrived);
	pthread_mutex_unlock(&lock);
}

static void
keep(size_t i, const char *text, size_t len)
{
	char path[4096];
	FILE *f;

	if (samples == NULL || i % (nrequests / 50 + 1) != 0)
		return;
	snprintf(path, sizeof(path), "%s/%zu", samples, i);
	f = fopen(path, "w");
	if (f == NULL || fwrite(text, 1, len, f) != len || fclose(f) != 0)
		err(2, "%s", path);
}

/* ---- where answers go ---------------------------------------------------- */

/* A connection of a sender.  Replies wait until all that came was read, as
 * RFC 2920, section 3.2 asks of a server. */
struct guest {
	int fd;
	size_t at, len, nreply;
	char reply[1024], data[65536];
};

static bool
replies_go(struct guest *g)
{
	size_t n = g->nreply;

	g->nreply = 0;
	return n == 0 || send(g->fd, g->reply, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool
say(struct guest *g, const char *reply)
{
	size_t n = strlen(reply);

	if (n > sizeof(g->reply) - g->nreply && !replies_go(g))
		return false;
	memcpy(g->reply + g->nreply, reply, n);
	g->nreply += n;
	return true;
}

/* The next line, which ends with its line feed; NULL at the end. */
static const char *
line_next(struct guest *g, size_t *len)
{
	const char *line, *end;
	ssize_t n;

	while ((end = memchr(g->data + g->at, '\n', g->len - g->at)) == NULL) {
		g->len -= g->at;
		memmove(g->data, g->data + g->at, g->len);
		g->at = 0;
		if (g->len == sizeof(g->data))
			errx(2, "a line of %zu octets in an answer", g->len);
		if (!replies_go(g))
			return NULL;
		n = recv(g->fd, g->data + g->len, sizeof(g->data) - g->len, 0);
		if (n <= 0)
			return NULL;
		g->len += (size_t)n;
	}
	line = g->data + g->at;
	*len = (size_t)(end - line) + 1;
	g->at += *len;
	return line;
}

static bool
take(struct guest *g, size_t to)
{
	char *text = NULL;
	const char *line;
	size_t len = 0, n;
	FILE *out = open_memstream(&text, &len);
	bool whole = false;

	if (out == NULL)
		err(2, "memory");
	while (!whole && (line = line_next(g, &n)) != NULL) {
		whole = n == 3 && memcmp(line, ".\r\n", 3) == 0;
		if (!whole)
			fwrite(
			    line + (*line == '.'), 1, n - (*line == '.'), out);
	}
	if (fclose(out) != 0)
		err(2, "memory");
	/* Noted last: the last one ends the program, and a sender that did not
	 * hear of it would come again. */
	whole = whole && say(g, "250 2.0.0 taken\r\n") && replies_go(g);
	if (whole) {
		keep(to, text, len);
		note_answer(to, text, len);
	}
	free(text);
	return whole;
}

static bool
obey(struct guest *g, const char *line, size_t *to)
{
	if (strncasecmp(line, "EHLO", 4) == 0)
		return say(g, "250-load\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	if (strncasecmp(line, "RCPT TO:<b", 10) == 0) {
		*to = strtoul(line + 10, NULL, 10);
		return say(g, "250 2.1.5 ok\r\n");
	}
	if (strncasecmp(line, "DATA", 4) == 0) {
		bool taken = say(g, "354 go on\r\n") && take(g, *to);

		*to = SIZE_MAX;
		return taken;
	}
	if (strncasecmp(line, "QUIT", 4) != 0)
		return say(g, "250 ok\r\n");
	if (say(g, "221 bye\r\n"))
		replies_go(g);
	return false;
}

static void *
serve(void *arg)
{
	struct guest *g = arg;
	const char *line;
	size_t len, to = SIZE_MAX;

	if (say(g, "220 load ESMTP\r\n"))
		while (
		    (line = line_next(g, &len)) != NULL && obey(g, line, &to))
			;
	close(g->fd);
	free(g);
	return NULL;
}

static void
thread(void *(*run)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, run, arg) != 0)
		errx(2, "pthread_create");
	pthread_detach(t);
}

static void *
sink(void *arg)
{
	int listener = *(int *)arg, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1) {
		struct guest *g = calloc(1, sizeof(*g));

		if (g == NULL)
			err(2, "memory");
		g->fd = fd;
		thread(serve, g);
	}
	err(2, "accept");
}

static void
start_sink(int port)
{
	static int fd;
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 128) == -1)
		err(2, "port %d", port);
	thread(sink, &fd);
}

/* ---- handing over -------------------------------------------------------- */

static void
wait_for(const struct request *r)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += patience;
	pthread_mutex_lock(&lock);
	while (r->answered == 0 && !failed)
		if (pthread_cond_timedwait(&arrived, &lock, &end) != 0) {
			warnx("no answer to mail %zu", (size_t)(r - requests));
			failed = true;
		}
	pthread_mutex_unlock(&lock);
}

static struct request *
take_request(void)
{
	size_t i = atomic_fetch_add(&next_request, 1);

	return i < nrequests && !failed ? &requests[i] : NULL;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(2, "%s: too long for a socket", path);
	memcpy(sun.sun_path, path, strlen(path));
	if (s == -1 || connect(s, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		err(2, "%s", path);
	return s;
}

static bool
hear(FILE *in, char **line, size_t *size, char class)
{
	do
		if (getline(line, size, in) < 4)
			return false;
	while ((*line)[3] == '-');
	if (**line != class)
		warnx("the server says: %s", *line);
	return **line == class;
}

static void
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k == -1)
			err(2, "write");
		p += k;
		n -= (size_t)k;
	}
}

/* What is sent when the one before was written: its end, and these. */
static void
send_commands(int fd, const struct request *before, const struct request *r)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		err(2, "memory");
	if (before != NULL) {
		fwrite(before->text, 1, before->len, f);
		fputs(".\r\n", f);
	}
	if (r != NULL)
		fprintf(f,
		    "MAIL FROM:<b%zu@example.net>\r\n"
		    "RCPT TO:<keys@example.org>\r\nDATA\r\n",
		    (size_t)(r - requests));
	if (fclose(f) != 0)
		err(2, "memory");
	write_all(fd, text, len);
	free(text);
}

static void *
hand_over(void *arg)
{
	int fd = connect_to(target[0]);
	FILE *in = fdopen(fd, "r");
	struct request *before = NULL, *r;
	char *line = NULL;
	size_t size = 0;
	bool ok;

	write_all(fd, "LHLO load.example.net\r\n", 23);
	ok = in != NULL && hear(in, &line, &size, '2') &&
	     hear(in, &line, &size, '2');
	while (ok && ((r = take_request()) != NULL || before != NULL)) {
		if (r != NULL)
			r->sent = now();
		send_commands(fd, before, r);
		if (before != NULL)
			ok = hear(in, &line, &size, '2');
		for (int i = 0; ok && r != NULL && i < 3; i++)
			ok = hear(in, &line, &size, "223"[i]);
		if (ok && r != NULL && one_by_one) {
			send_commands(fd, r, NULL);
			ok = hear(in, &line, &size, '2');
			wait_for(r);
			r = NULL;
		}
		before = r;
	}
	if (!ok)
		failed = true;
	free(line);
	fclose(in);
	return arg;
}

static void
run_program(const struct request *r)
{
	posix_spawn_file_actions_t files;
	int pair[2], status;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) == -1)
		err(2, "pipe");
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, pair[0], 0);
	if (posix_spawn(&pid, target[0], &files, NULL, target, environ) != 0)
		err(2, "%s", target[0]);
	posix_spawn_file_actions_destroy(&files);
	close(pair[0]);
	write_all(pair[1], r->text, r->len);
	close(pair[1]);
	waitpid(pid, &status, 0);
	if (status != 0)
		warnx("%s: status %d", target[0], status);
}

static void *
run_programs(void *arg)
{
	struct request *r;

	while ((r = take_request()) != NULL) {
		r->sent = now();
		run_program(r);
		if (one_by_one)
			wait_for(r);
	}
	return arg;
}

/* Until all answers are here, or nothing has come for a while. */
static void
wait_for_all(void)
{
	size_t before = 0;
	int quiet = 0;

	while (nanswered < nrequests && !failed && quiet < patience) {
		struct timespec end;

		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec++;
		pthread_mutex_lock(&lock);
		if (nanswered < nrequests)
			pthread_cond_timedwait(&arrived, &lock, &end);
		quiet = nanswered > before ? 0 : quiet + 1;
		before = nanswered;
		pthread_mutex_unlock(&lock);
	}
}

/* ---- what came of it ----------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int
report(void)
{
	double *took = calloc(nrequests + 1, sizeof(*took));
	double first = 0, last = 0;
	size_t n = 0, right = 0;

	if (took == NULL)
		err(2, "memory");
	for (size_t i = 0; i < nrequests; i++) {
		const struct request *r = &requests[i];

		if (r->sent != 0 && (first == 0 || r->sent < first))
			first = r->sent;
		if (r->answered == 0) {
			warnx("mail %zu has no answer", i);
			break;
		}
		if (!r->right && right == i)
			warnx(
			    "the answer to mail %zu lacks \"%s\"", i, r->want);
		right += r->right;
		last = r->answered > last ? r->answered : last;
		took[n++] = (r->answered - r->sent) * 1e6;
	}
	qsort(took, n, sizeof(*took), compare);
	printf("%zu\t%zu\t%.6f\t%.1f\t%.1f\t%.1f\t%.1f\n", nrequests, right,
	    last - first, n > 0 ? took[n / 2] : 0,
	    n > 0 ? took[n * 99 / 100] : 0, n > 0 ? took[0] : 0,
	    n > 0 ? took[n - 1] : 0);
	free(took);
	return right == nrequests && nwrong == 0 && !failed ? 0 : 1;
}

static void __attribute__((noreturn)) usage(void)
{
	errx(2, "usage: load [-1] [-c N] [-p PORT] [-s DIR] [-w SECONDS] "
		"REQUESTS lmtp SOCKET | run PROGRAM [ARG]...");
}

int
main(int argc, char **argv)
{
	int c, at_once = 20, port = 0;

	while ((c = getopt(argc, argv, "+1c:p:s:w:")) != -1) {
		switch (c) {
		case '1':
			one_by_one = true;
			break;
		case 'c':
			at_once = (int)strtol(optarg, NULL, 10);
			break;
		case 'p':
			port = (int)strtol(optarg, NULL, 10);
			break;
		case 's':
			samples = optarg;
			break;
		case 'w':
			patience = (int)strtol(optarg, NULL, 10);
			break;
		default:
			usage();
		}
	}
	if (argc - optind < 3)
		usage();
	by_lmtp = strcmp(argv[optind + 1], "lmtp") == 0;
	target = argv + optind + 2;
	signal(SIGPIPE, SIG_IGN);
	read_requests(argv[optind]);
	start_sink(port);
	for (int i = one_by_one ? at_once - 1 : 0; i < at_once; i++)
		thread(by_lmtp ? hand_over : run_programs, NULL);
	wait_for_all();
	return report();
}
