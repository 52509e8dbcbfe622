/*
 * What the log writes to standard error, and how it shows foreign values.
 */
#include "mailkeyd/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static const struct value {
	const char *name, *value, *shown;
} values[] = {
    {"plain", "alice@example.org", "alice@example.org"},
    {"empty", "", "\"\""},
    {"null", NULL, "\"\""},
    {"blank", "GET me", "\"GET me\""},
    {"equals", "a=b", "\"a=b\""},
    {"quote", "say \"hi\"", "\"say \\\"hi\\\"\""},
    {"backslash", "a\\x41", "a\\\\x41"},
    {"line break", "a\r\nfrom=b", "\"a\\x0D\\x0Afrom=b\""},
    {"no quotes for a control alone", "a\nb", "a\\x0Ab"},
    {"UTF-8", "\xc3\xa9", "\\xC3\\xA9"},
    {"delete", "\x7f", "\\x7F"},
};

static void
show_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *text;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		assert_non_null(f);
		log_value(f, values[i].value);
		assert_int_equal(fclose(f), 0);
		if (strcmp(text, values[i].shown) != 0)
			print_error("case: %s\n", values[i].name);
		assert_string_equal(text, values[i].shown);
		free(text);
	}
}

/* At the limit, and one past it. */
static void
cut_values(void **state)
{
	char in[203], text[300], want[300];
	FILE *f;

	(void)state;
	memset(in, 'a', sizeof(in));
	for (size_t len = 200; len <= 201; len++) {
		in[len] = '\0';
		f = fmemopen(text, sizeof(text), "w");
		assert_non_null(f);
		log_value(f, in);
		fclose(f);
		snprintf(
		    want, sizeof(want), "%.200s%s", in, len > 200 ? "..." : "");
		assert_string_equal(text, want);
		in[len] = 'a';
	}
	/* What is cut off does not call for quotes. */
	in[201] = ' ';
	in[202] = '\0';
	f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	log_value(f, in);
	fclose(f);
	assert_int_equal(text[0], 'a');
}

/* Runs `speak` in a child whose standard error is a pipe; JOURNAL_STREAM
 * names it, names another, or is not set. */
enum journal { NONE, OURS, OTHER, BENT };

static int
overhear(enum journal journal, void (*speak)(void), char *text, size_t size)
{
	int fd[2], status;
	struct stat st;
	char name[64];
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fstat(fd[1], &st), 0);
	snprintf(name, sizeof(name), "%llu:%llu%s",
	    (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino + (journal == OTHER),
	    journal == BENT ? "x" : "");
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		unsetenv("JOURNAL_STREAM");
		if (journal != NONE)
			setenv("JOURNAL_STREAM", name, 1);
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		speak();
		_exit(0);
	}
	close(fd[1]);
	while (
	    len < size - 1 && (n = read(fd[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
say_three(void)
{
	log_open("tester", 0, 0);
	log_line(LOG_NOTICE, "%d mails", 3);
	log_line(LOG_DEBUG, "hidden");
	log_line(LOG_ERR, "bent: %s", "a\nb");
}

static void
say_debug(void)
{
	log_open("tester", 0, 1);
	log_line(LOG_DEBUG, "shown");
}

static void
say_fatal(void)
{
	log_open("tester", 0, 0);
	fatal(EX_CONFIG, "no %s", "address");
}

static void
lines(void **state)
{
	static const char plain[] = "tester: 3 mails\ntester: bent: a b\n";
	char text[256];

	(void)state;
	assert_int_equal(overhear(NONE, say_three, text, sizeof(text)), 0);
	assert_string_equal(text, plain);
	overhear(OURS, say_three, text, sizeof(text));
	assert_string_equal(text, "<5>3 mails\n<3>bent: a b\n");
	overhear(OTHER, say_three, text, sizeof(text));
	assert_string_equal(text, plain);
	overhear(BENT, say_three, text, sizeof(text));
	assert_string_equal(text, plain);
	overhear(NONE, say_debug, text, sizeof(text));
	assert_string_equal(text, "tester: shown\n");
}

static void
fatal_exits(void **state)
{
	char text[256];

	(void)state;
	assert_int_equal(
	    overhear(NONE, say_fatal, text, sizeof(text)), EX_CONFIG);
	assert_string_equal(text, "tester: no address\n");
}

static void
say_to_syslog(void)
{
	log_open("tester", 1, 0);
	log_line(LOG_NOTICE, "heard by syslog alone");
	log_open("tester", 0, 0);
}

/* Where nobody listens for it. */
static void
syslog_without_daemon(void **state)
{
	char text[256];

	(void)state;
	if (access(_PATH_LOG, F_OK) == 0)
		skip();
	assert_int_equal(overhear(NONE, say_to_syslog, text, sizeof(text)), 0);
	assert_string_equal(text,
	    "tester: nobody hears the log at /dev/log: No such file or "
	    "directory; start a syslog daemon, or set log = stderr\n");
}

static void
say_events(void)
{
	log_event(LOG_NOTICE, "maildir", "full", "path", "/a b", NULL);
	log_event(LOG_NOTICE, "mailbox", "open", "name", "x", "why", "", "file",
	    NULL, "host", "h", NULL);
	log_event(LOG_DEBUG, "hidden", "full", NULL);
}

static void
events(void **state)
{
	char text[256];

	(void)state;
	assert_int_equal(overhear(NONE, say_events, text, sizeof(text)), 0);
	assert_string_equal(text,
	    "mailkeyd: maildir: event=full path=\"/a b\"\n"
	    "mailkeyd: mailbox: event=open name=x host=h\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(show_values),
	    cmocka_unit_test(cut_values), cmocka_unit_test(lines),
	    cmocka_unit_test(fatal_exits), cmocka_unit_test(events),
	    cmocka_unit_test(syslog_without_daemon)};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
