/*
 * smtpsink: a small SMTP server for tests.  It listens on 127.0.0.1, prints
 * its port, lays each mail that it takes as a file into a directory, and
 * misbehaves as told.  Ends on SIGTERM.
 *
 *   smtpsink [-v] [-c] [-P] [-p PORT] [-r RULE]... DIR
 *
 *   -p PORT  where to listen; 0 (the default): any free port
 *   -P       offer PIPELINING
 *   -c       keep CR LF in the files (else they have LF)
 *   -v       behind the envelope write X-Sink-Helo and X-Sink-Connection, and
 *            an empty file .connection-N for each connection
 *   -r RULE  STAGE=ACTION[,to=ADDRESS][,after=N][,times=N]
 *
 * STAGE is connect, ehlo, helo, mail, rcpt, data, nobody (DATA without any
 * recipient: 354 takes an empty message), body (the first line of a message),
 * dot, taken (when a message has been kept and answered), rset or quit.  ACTION
 * is a reply code from 200 to 599, hang, close, dribble (an octet of an endless
 * reply now and then), flood (a reply without end), twice (the usual reply two
 * times), or at the dot keepclose (keep the message, then close without an
 * answer).  `to` limits a rule to messages for this recipient, from RCPT on;
 * `after` leaves the first N occasions alone, `times` ends it after N more.
 *
 * A file begins with "X-Envelope-From: <...>" and one "X-Envelope-To: <...>"
 * for each recipient.  Bare CR or LF, octets over 127 and lines over 998 are
 * refused with 554, as the strictest server would.
 */
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define RULES_MAX   32
#define MESSAGE_MAX (64u << 20)

struct rule {
	char stage[16], action[16], to[256];
	long after, times; /* left; times -1: always */
};

static struct rule rules[RULES_MAX];
static size_t nrules;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir;
static bool keep_cr, verbose, pipelining;
static unsigned long nmessages, nconnections;

struct session {
	FILE *in;
	int fd;
	unsigned long number;
	char helo[256], from[512];
	char to[100][512];
	size_t nto;
	bool mail;
	bool ended;
};

static void
rule_add(const char *s)
{
	struct rule *r = &rules[nrules];
	const char *rest;
	int n = 0;

	if (nrules == RULES_MAX ||
	    sscanf(s, "%15[a-z]=%15[a-z0-9]%n", r->stage, r->action, &n) != 2)
		errx(2, "no rule: %s", s);
	r->times = -1;
	for (rest = s + n; *rest == ','; rest += n) {
		n = 0;
		if (sscanf(rest, ",to=%255[^,]%n", r->to, &n) != 1)
			sscanf(rest, ",times=%ld%n", &r->times, &n);
		if (n == 0)
			sscanf(rest, ",after=%ld%n", &r->after, &n);
		if (n == 0)
			break;
	}
	if (*rest != '\0')
		errx(2, "no rule: %s", s);
	nrules++;
}

static bool
is_for(const struct session *s, const char *to)
{
	if (*to == '\0')
		return true;
	for (size_t i = 0; i < s->nto; i++)
		if (strcasecmp(s->to[i], to) == 0)
			return true;
	return false;
}

/* The action for this occasion, which it uses up; "" when there is none. */
static void
rule_take(const struct session *s, const char *stage, char action[16])
{
	action[0] = '\0';
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nrules; i++) {
		struct rule *r = &rules[i];

		if (strcmp(r->stage, stage) != 0 || r->times == 0 ||
		    !is_for(s, r->to))
			continue;
		if (r->after > 0) {
			r->after--;
			continue;
		}
		if (r->times > 0)
			r->times--;
		memcpy(action, r->action, sizeof(r->action));
		break;
	}
	pthread_mutex_unlock(&lock);
}

static void __attribute__((format(printf, 2, 3)))
say(struct session *s, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) ||
	    send(s->fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		s->ended = true;
}

static void
flood(struct session *s)
{
	char junk[4096];

	memset(junk, 'x', sizeof(junk));
	memcpy(junk, "250-", 4);
	while (send(s->fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0)
		;
	s->ended = true;
}

static void
dribble(struct session *s)
{
	while (send(s->fd, "2", 1, MSG_NOSIGNAL) == 1)
		usleep(50 * 1000);
	s->ended = true;
}

/* Whether an action still means yes. */
static bool
is_yes(const char *action)
{
	return action[0] == '\0' || action[0] == '2' ||
	       strcmp(action, "twice") == 0 || strcmp(action, "keepclose") == 0;
}

static void
act(struct session *s, const char *stage, const char *action, const char *usual)
{
	if (strcmp(action, "twice") == 0) {
		say(s, "%s\r\n%s\r\n", usual, usual);
	} else if (action[0] == '\0') {
		if (*usual != '\0')
			say(s, "%s\r\n", usual);
	} else if (strcmp(action, "hang") == 0) {
		char c;

		while (recv(s->fd, &c, 1, 0) > 0)
			;
		s->ended = true;
	} else if (strstr(action, "close") != NULL) {
		s->ended = true;
	} else if (strcmp(action, "flood") == 0) {
		flood(s);
	} else if (strcmp(action, "dribble") == 0) {
		dribble(s);
	} else {
		say(s, "%s-this server was told\r\n%s to answer so at %s\r\n",
		    action, action, stage);
		if (strcmp(action, "421") == 0)
			s->ended = true;
	}
}

static bool
answer(struct session *s, const char *stage, const char *usual)
{
	char action[16];

	rule_take(s, stage, action);
	act(s, stage, action, usual);
	return is_yes(action);
}

/* ---- messages ------------------------------------------------------------ */

static bool
keep(const struct session *s, const char *text, size_t len)
{
	char tmp[4096], name[4096];
	unsigned long number;
	FILE *f;

	pthread_mutex_lock(&lock);
	number = ++nmessages;
	pthread_mutex_unlock(&lock);
	snprintf(tmp, sizeof(tmp), "%s/.%06lu", dir, number);
	snprintf(name, sizeof(name), "%s/%06lu", dir, number);
	if ((f = fopen(tmp, "w")) == NULL)
		return false;
	fprintf(f, "X-Envelope-From: <%s>\n", s->from);
	for (size_t i = 0; i < s->nto; i++)
		fprintf(f, "X-Envelope-To: <%s>\n", s->to[i]);
	if (verbose)
		fprintf(f, "X-Sink-Helo: %s\nX-Sink-Connection: %lu\n", s->helo,
		    s->number);
	fwrite(text, 1, len, f);
	return fclose(f) == 0 && rename(tmp, name) == 0;
}

/* What a strict server finds wrong with a line, or NULL. */
static const char *
fault(const char *line, size_t len)
{
	if (len < 2 || line[len - 2] != '\r')
		return "554 bare LF";
	if (len > 1000)
		return "554 line too long";
	for (size_t i = 0; i < len - 2; i++) {
		if (line[i] == '\r' || line[i] == '\0')
			return "554 bare CR or NUL";
		if ((unsigned char)line[i] > 0x7f)
			return "554 8-bit data";
	}
	return NULL;
}

/* Reads up to the final dot.  False: the connection ended. */
static bool
read_message(struct session *s, FILE *to, const char **why)
{
	char *line = NULL, *p;
	size_t size = 0, total = 0;
	ssize_t len;
	bool first = true, whole = false;

	while (!s->ended && (len = getline(&line, &size, s->in)) > 0) {
		if (first && !answer(s, "body", ""))
			break;
		first = false;
		if (strcmp(line, ".\r\n") == 0) {
			whole = true;
			break;
		}
		p = line;
		if (*p == '.') { /* RFC 5321, 4.5.2 */
			p++;
			len--;
		}
		if (*why == NULL)
			*why = fault(p, (size_t)len);
		if ((total += (size_t)len) > MESSAGE_MAX)
			break;
		if (!keep_cr && len >= 2 && p[len - 2] == '\r')
			p[--len - 1] = '\n';
		fwrite(p, 1, (size_t)len, to);
	}
	free(line);
	return whole;
}

/* It lies in the directory before the answer: who hears that finds it. */
static void
finish_message(struct session *s, const char *text, size_t len)
{
	char action[16];

	rule_take(s, "dot", action);
	if (is_yes(action) && !keep(s, text, len)) {
		warn("%s", dir);
		say(s, "451 4.3.0 cannot be kept\r\n");
		return;
	}
	act(s, "dot", action, "250 2.0.0 taken");
	if (is_yes(action))
		answer(s, "taken", "");
}

static void
take_message(struct session *s)
{
	const char *why = NULL;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool whole;

	if (f == NULL)
		err(1, "memory");
	whole = read_message(s, f, &why);
	fclose(f);
	if (!whole)
		s->ended = true;
	else if (why != NULL)
		say(s, "%s\r\n", why);
	else if (s->nto == 0 && len == 0)
		say(s, "554 5.5.1 for nobody\r\n");
	else
		finish_message(s, text, len);
	free(text);
	s->mail = false;
	s->nto = 0;
}

/* ---- commands ------------------------------------------------------------ */

/* The address in "VERB FROM:<address> ..."; false: none. */
static bool
path_of(const char *line, const char *verb, char *out, size_t size)
{
	const char *end;
	size_t n = strlen(verb);

	if (strncasecmp(line, verb, n) != 0 || line[n] != '<')
		return false;
	line += n + 1;
	end = strchr(line, '>');
	if (end == NULL || (size_t)(end - line) >= size)
		return false;
	memcpy(out, line, (size_t)(end - line));
	out[end - line] = '\0';
	return true;
}

static void
do_rcpt(struct session *s, const char *line)
{
	if (!s->mail)
		say(s, "503 5.5.1 MAIL first\r\n");
	else if (s->nto == sizeof(s->to) / sizeof(*s->to))
		say(s, "452 4.5.3 too many\r\n");
	else if (!path_of(line, "RCPT TO:", s->to[s->nto], sizeof(s->to[0])))
		say(s, "501 5.1.3 syntax\r\n");
	else {
		s->nto++;
		if (!answer(s, "rcpt", "250 2.1.5 ok"))
			s->nto--;
	}
}

static void
do_data(struct session *s)
{
	char action[16];

	if (s->nto == 0) {
		rule_take(s, "nobody", action);
		act(s, "nobody", action, "503 5.5.1 RCPT first");
		if (strcmp(action, "354") == 0)
			take_message(s);
	} else if (answer(s, "data", "354 go on"))
		take_message(s);
}

static void
command(struct session *s, char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
	if (strncasecmp(line, "EHLO ", 5) == 0) {
		snprintf(s->helo, sizeof(s->helo), "%s", line + 5);
		answer(s, "ehlo",
		    pipelining ? "250-smtpsink\r\n250-AUTH\tPLAIN\r\n"
				 "250-PIPELINING\r\n250 SIZE 10000000"
			       : "250-smtpsink\r\n250-AUTH\tPLAIN\r\n"
				 "250 SIZE 10000000");
	} else if (strncasecmp(line, "HELO ", 5) == 0) {
		snprintf(s->helo, sizeof(s->helo), "%s", line + 5);
		answer(s, "helo", "250 smtpsink");
	} else if (strncasecmp(line, "MAIL ", 5) == 0) {
		if (s->helo[0] == '\0' || s->mail)
			say(s, "503 5.5.1 sequence\r\n");
		else if (!path_of(line, "MAIL FROM:", s->from, sizeof(s->from)))
			say(s, "501 5.1.7 syntax\r\n");
		else
			s->mail = answer(s, "mail", "250 2.1.0 ok");
	} else if (strncasecmp(line, "RCPT ", 5) == 0) {
		do_rcpt(s, line);
	} else if (strcasecmp(line, "DATA") == 0) {
		do_data(s);
	} else if (strcasecmp(line, "RSET") == 0) {
		s->mail = false;
		s->nto = 0;
		answer(s, "rset", "250 2.0.0 ok");
	} else if (strcasecmp(line, "NOOP") == 0) {
		say(s, "250 2.0.0 ok\r\n");
	} else if (strcasecmp(line, "QUIT") == 0) {
		answer(s, "quit", "221 2.0.0 bye");
		s->ended = true;
	} else {
		say(s, "500 5.5.2 what?\r\n");
	}
}

static void *
serve(void *arg)
{
	struct session *s = arg;
	char *line = NULL;
	size_t size = 0;

	if (answer(s, "connect", "220 smtpsink ESMTP"))
		while (!s->ended && getline(&line, &size, s->in) > 0)
			command(s, line);
	free(line);
	fclose(s->in); /* and with it the socket */
	free(s);
	return NULL;
}

static void
note_connection(void)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s/.connection-%lu", dir, nconnections);
	if ((f = fopen(name, "w")) != NULL)
		fclose(f);
}

static void
start(int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	pthread_t thread;

	if (s == NULL || (s->in = fdopen(fd, "r")) == NULL)
		err(1, "session");
	s->fd = fd;
	s->number = ++nconnections;
	if (verbose)
		note_connection();
	if (pthread_create(&thread, NULL, serve, s) != 0)
		errx(1, "pthread_create");
	pthread_detach(thread);
}

static void
end(int sig)
{
	(void)sig;
	_exit(0);
}

static int
listen_on(const char *port)
{
	struct sockaddr_in sin = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	sin.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, len) == -1 ||
	    listen(fd, 128) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "port %s", port);
	printf("%u\n", (unsigned)ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

int
main(int argc, char **argv)
{
	const char *port = "0";
	int c, fd, one;

	while ((c = getopt(argc, argv, "cPp:r:v")) != -1) {
		switch (c) {
		case 'c':
			keep_cr = true;
			break;
		case 'P':
			pipelining = true;
			break;
		case 'p':
			port = optarg;
			break;
		case 'r':
			rule_add(optarg);
			break;
		case 'v':
			verbose = true;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 1)
		errx(2, "usage: smtpsink [-cPv] [-p PORT] [-r RULE]... DIR");
	dir = argv[optind];
	signal(SIGTERM, end);
	signal(SIGPIPE, SIG_IGN);
	fd = listen_on(port);
	while ((one = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) != -1)
		start(one);
	err(1, "accept");
}
