/*
 * lmtpclient: hands a mail to an LMTP server (RFC 2033), for tests.
 *
 *   lmtpclient [-bq] [-f SENDER] [-t RECIPIENT]... [-n N] [-h HELO] [-w
 * SECONDS] TARGET FILE
 *
 *   TARGET   a Unix socket (with a slash in it) or HOST:PORT
 *   FILE     the mail, LF or CR LF; "-" is standard input
 *   -b       a burst: each message goes out in one write with the commands of
 *            the next (RFC 2920); else one command, one answer
 *   -f       envelope sender; the null sender when not given
 *   -t       recipient; at least one
 *   -n       hand it over N times on one connection
 *   -q       print no replies
 *   -w       give up when the server is silent for so long (60)
 *
 * Prints each reply line.  Exit status: 0 when each recipient of each mail got
 * 2yz, 75 after a 4yz or when the connection failed, else 1.
 */
#include <err.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define RECIPIENTS_MAX 200

static const char *sender = "", *helo = "lmtpclient.invalid";
static const char *recipients[RECIPIENTS_MAX];
static unsigned nrecipients;
static bool burst, quiet;
static int fd;
static FILE *in;
static int status; /* to exit with */

/* ---- the mail ------------------------------------------------------------ */

/* CR LF, dots doubled, the final dot behind (RFC 5321, 4.5.2). */
static void
stuff(FILE *from, FILE *to)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, from)) > 0) {
		bool lf = line[len - 1] == '\n';

		if (lf)
			len--;
		if (lf && len > 0 && line[len - 1] == '\r')
			len--;
		if (len > 0 && line[0] == '.')
			putc('.', to);
		fwrite(line, 1, (size_t)len, to);
		fputs("\r\n", to);
	}
	free(line);
	fputs(".\r\n", to);
}

static char *
read_mail(const char *path, size_t *len)
{
	FILE *from = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (from == NULL || to == NULL)
		err(EX_NOINPUT, "%s", path);
	stuff(from, to);
	if (ferror(from))
		err(EX_NOINPUT, "%s", path);
	if (fclose(to) != 0)
		err(EX_OSERR, "memory");
	if (from != stdin)
		fclose(from);
	return text;
}

/* ---- the connection ------------------------------------------------------ */

static int
connect_unix(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		errx(EX_USAGE, "%s: too long for a socket", path);
	memcpy(sun.sun_path, path, strlen(path));
	if (s == -1 || connect(s, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		err(EX_TEMPFAIL, "%s", path);
	return s;
}

static int
connect_tcp(char *target)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	char *port = strrchr(target, ':');
	int s, e;

	if (port == NULL)
		errx(EX_USAGE, "%s: neither a path nor HOST:PORT", target);
	*port++ = '\0';
	e = getaddrinfo(target, port, &hints, &ai);
	if (e != 0)
		errx(EX_TEMPFAIL, "%s: %s", target, gai_strerror(e));
	s = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s == -1 || connect(s, ai->ai_addr, ai->ai_addrlen) == -1)
		err(EX_TEMPFAIL, "%s port %s", target, port);
	freeaddrinfo(ai);
	return s;
}

static void
give_up(const char *why)
{
	warnx("%s", why);
	fflush(stdout);
	exit(status != 0 ? status : EX_TEMPFAIL);
}

static void
put(const char *s, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, s, len, MSG_NOSIGNAL);

		if (n <= 0)
			give_up("cannot write to the server");
		s += n;
		len -= (size_t)n;
	}
}

/* Reads one reply and returns its code. */
static int
hear(void)
{
	char *line = NULL, *end;
	size_t size = 0;
	long code;
	bool more;

	do {
		ssize_t len = getline(&line, &size, in);

		if (len <= 0 || line[len - 1] != '\n')
			give_up("no reply from the server");
		if (!quiet)
			printf("%.*s\n", (int)strcspn(line, "\r\n"), line);
		code = strtol(line, &end, 10);
		if (end != line + 3 || code < 100)
			give_up("not a reply");
		more = *end == '-';
	} while (more);
	free(line);
	return (int)code;
}

/* Notes a reply that ought to be of this class. */
static bool
expect(int class)
{
	int code = hear();

	if (code / 100 == class)
		return true;
	if (code / 100 == 4)
		status = EX_TEMPFAIL;
	else if (status == 0)
		status = 1;
	return false;
}

/* ---- mails --------------------------------------------------------------- */

static char *
command_group(size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (f == NULL)
		err(EX_OSERR, "memory");
	fprintf(f, "MAIL FROM:<%s>\r\n", sender);
	for (unsigned i = 0; i < nrecipients; i++)
		fprintf(f, "RCPT TO:<%s>\r\n", recipients[i]);
	fputs("DATA\r\n", f);
	if (fclose(f) != 0)
		err(EX_OSERR, "memory");
	return text;
}

/* Sends the group, at once or line by line, and counts the recipients that the
 * server takes; -1 when it does not want the message. */
static int
hear_group(const char *group, bool sent)
{
	const char *end;
	unsigned i;
	int taken = 0;
	bool mail = false, data = false;

	for (i = 0; i < nrecipients + 2; i++, group = end) {
		end = strchr(group, '\n') + 1;
		if (!sent)
			put(group, (size_t)(end - group));
		if (i == 0)
			mail = expect(2);
		else if (i <= nrecipients)
			taken += expect(2);
		else
			data = expect(3);
	}
	if (data && (!mail || taken == 0))
		warnx("354 without a recipient");
	return data ? taken : -1;
}

static void
hand_over(unsigned long n, const char *mail, size_t len)
{
	size_t group_len;
	char *group = command_group(&group_len), *both;
	bool sent = false;
	int taken;

	both = malloc(len + group_len);
	if (both == NULL)
		err(EX_OSERR, "memory");
	memcpy(both, mail, len);
	memcpy(both + len, group, group_len);
	if (burst)
		put(group, group_len);
	while (n-- > 0) {
		taken = hear_group(group, burst || sent);
		sent = burst && n > 0;
		if (taken >= 0)
			put(both, len + (sent ? group_len : 0));
		else if (sent)
			put(group, group_len);
		/* RFC 2033, 4.2: a reply for each recipient taken */
		while (taken-- > 0)
			expect(2);
	}
	free(group);
	free(both);
}

static void
session(unsigned long n, const char *mail, size_t len)
{
	char line[512];

	if (!expect(2))
		return;
	snprintf(line, sizeof(line), "LHLO %s\r\n", helo);
	put(line, strlen(line));
	if (!expect(2))
		return;
	hand_over(n, mail, len);
	put("QUIT\r\n", 6);
	hear();
}

static void
usage(void)
{
	errx(EX_USAGE, "usage: lmtpclient [-bq] [-f SENDER] [-t RECIPIENT]..."
		       " [-n N] [-h HELO] [-w SECONDS] TARGET FILE");
}

int
main(int argc, char **argv)
{
	struct timeval wait = {60, 0};
	unsigned long n = 1;
	char *mail;
	size_t len;
	int c;

	while ((c = getopt(argc, argv, "bf:h:n:qt:w:")) != -1) {
		switch (c) {
		case 'b':
			burst = true;
			break;
		case 'f':
			sender = optarg;
			break;
		case 'h':
			helo = optarg;
			break;
		case 'n':
			n = strtoul(optarg, NULL, 10);
			break;
		case 'q':
			quiet = true;
			break;
		case 't':
			if (nrecipients == RECIPIENTS_MAX)
				usage();
			recipients[nrecipients++] = optarg;
			break;
		case 'w':
			wait.tv_sec = strtol(optarg, NULL, 10);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2 || nrecipients == 0)
		usage();
	signal(SIGPIPE, SIG_IGN);
	mail = read_mail(argv[optind + 1], &len);
	fd = strchr(argv[optind], '/') != NULL ? connect_unix(argv[optind])
					       : connect_tcp(argv[optind]);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if ((in = fdopen(fd, "r")) == NULL)
		err(EX_OSERR, "socket");
	session(n, mail, len);
	free(mail);
	fclose(in);
	return status;
}
