/*
 * The log: one finished line at a time, to standard error or syslog.
 */
#include "mailkeyd/log.h"
#include "pgp/pgp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define VALUE_MAX 200

static struct {
	const char *program;
	bool syslog, verbose, journal;
} to = {.program = "mailkeyd"};

/* Whether standard error is the stream that JOURNAL_STREAM names as
 * "device:inode", systemd.exec(5): only the journal reads <N>. */
static bool
is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char *end;

	if (s == NULL || fstat(STDERR_FILENO, &st) == -1)
		return false;
	device = strtoull(s, &end, 10);
	if (end == s || *end != ':')
		return false;
	s = end + 1;
	inode = strtoull(s, &end, 10);
	return end != s && *end == '\0' && device == st.st_dev &&
	       inode == st.st_ino;
}

/* In one write(2), so that lines of several processes do not mix. */
static void
write_stderr(int level, const char *text)
{
	char *line;
	int n;

	if (to.journal)
		n = asprintf(&line, "<%d>%s\n", level, text);
	else
		n = asprintf(&line, "%s: %s\n", to.program, text);
	if (n == -1)
		return;
	if (write(STDERR_FILENO, line, (size_t)n) == -1) {
		/* Nobody reads the log: there is nowhere to say so. */
	}
	free(line);
}

/* syslog(3) loses in silence what nobody listens for: 0, or errno.  Daemons
 * have sockets of either kind. */
static int
syslog_missing(void)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
	int why = 0;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

		if (fd == -1)
			return errno;
		why =
		    connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0
			? 0
			: errno;
		close(fd);
		if (why == 0)
			return 0;
	}
	return why;
}

static void
open_syslog(const char *program)
{
	int why = syslog_missing();
	char text[160];

	openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL);
	if (why == 0)
		return;
	(void)snprintf(text, sizeof(text),
	    "nobody hears the log at " _PATH_LOG ": %s; start a syslog daemon, "
	    "or set log = stderr",
	    strerror(why));
	write_stderr(LOG_WARNING, text);
}

void
log_open(const char *program, int to_syslog, int verbose)
{
	to.program = program;
	to.verbose = verbose != 0;
	to.syslog = to_syslog != 0;
	to.journal = !to.syslog && is_journal();
	if (to.syslog)
		open_syslog(program);
	else
		closelog();
}

static void __attribute__((format(printf, 2, 0)))
log_args(int level, const char *format, va_list ap)
{
	char *text;

	if (level == LOG_DEBUG && !to.verbose)
		return;
	if (vasprintf(&text, format, ap) == -1) {
		write_stderr(LOG_ERR, "no memory for a line of the log");
		return;
	}
	/* One line, whatever an argument held. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	if (to.syslog)
		syslog(level, "%s", text);
	else
		write_stderr(level, text);
	free(text);
}

void
log_line(int level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_args(level, format, ap);
	va_end(ap);
}

void
fatal(int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_args(LOG_ERR, format, ap);
	va_end(ap);
	exit(status);
}

static void
write_value(FILE *f, const char *s, size_t max)
{
	size_t len = s != NULL ? strlen(s) : 0;
	size_t shown = len > max ? max : len;
	bool quote;

	if (len == 0) {
		fputs("\"\"", f);
		return;
	}
	quote = strcspn(s, " \t\"=") < shown;
	if (quote)
		putc('"', f);
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\\' || c == '"')
			fprintf(f, "\\%c", c);
		else if (c < ' ' || c > '~')
			fprintf(f, "\\x%02X", c);
		else
			putc(c, f);
	}
	if (shown < len)
		fputs("...", f);
	if (quote)
		putc('"', f);
}

void
log_value(FILE *f, const char *s)
{
	write_value(f, s, VALUE_MAX);
}

void
log_sentence(FILE *f, const char *s)
{
	write_value(f, s, SIZE_MAX);
}

void
log_event(int level, const char *source, const char *event, ...)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);
	const char *name, *value;
	va_list ap;

	if (f == NULL)
		return;
	fprintf(f, "%s: event=%s", source, event);
	va_start(ap, event);
	while ((name = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		if (value == NULL || *value == '\0')
			continue;
		fprintf(f, " %s=", name);
		log_value(f, value);
	}
	va_end(ap);
	if (fclose(f) == 0)
		log_line(level, "%s", line);
	free(line);
}
