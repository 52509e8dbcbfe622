/*
 * The block list's file: what is a line of it, and what is told of one that is
 * none.
 */
#include "mailkeyd/blocklist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FPR20 "0123456789ABCDEF0123456789ABCDEF01234567"

static const struct {
	const char *name, *text;
	size_t n;	   /* fingerprints in it */
	unsigned char len; /* octets of the last one */
	const char *error; /* what it says, NULL: it is sound */
} rows[] = {
    {"nothing", "", 0, 0, NULL},
    {"comments", "# a\n  # b\n\n\t\n", 0, 0, NULL},
    {"one", FPR20 "\n", 1, 20, NULL},
    {"no line end", FPR20, 1, 20, NULL},
    {"CR LF", FPR20 "\r\n" FPR20 "\r\n", 2, 20, NULL},
    {"0x, small letters, a comment",
	"0x0123456789abcdef0123456789abcdef01234567#him\n", 1, 20, NULL},
    {"as gpg groups it",
	"  0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567\n", 1, 20, NULL},
    {"version 3", "0123456789ABCDEF0123456789ABCDEF\n", 1, 16, NULL},
    {"version 6",
	"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n", 1,
	32, NULL},
    {"three", "#\n" FPR20 "\n" FPR20 "\n\n" FPR20 "\n", 3, 20, NULL},
    {"a key ID", FPR20 "\n0123456789ABCDEF\n", 0, 0,
	":2: \"0123456789ABCDEF\" is no fingerprint"},
    {"a digit too many", FPR20 "0\n", 0, 0, ":1: \"" FPR20 "0\" is no"},
    {"too long for any",
	"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF00\n",
	0, 0, ":1: "},
    {"no digits", "\n\nalice@example.org\n", 0, 0,
	":3: \"alice@example.org\" is no fingerprint"},
    {"0x alone", "0x\n", 0, 0, ":1: \"0x\" is no"},
    {"control characters", "a\033[2Jb\n", 0, 0, ":1: \"a?[2Jb\" is no"},
};

static char *
write_file(const char *text)
{
	static char path[] = "/tmp/mailkeyd-blocklist.XXXXXX";
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

/* As a configuration names it in its fourth line. */
static int
read_file(char *path, struct blocklist *list, char **error)
{
	static char conf[] = "t.conf";
	struct config config = {
	    .file = conf, .block_list_file = conf, .block_list_line = 4};

	config.certificates.block_list = path;
	return blocklist_read(&config, list, error);
}

static void
test_rows(void **state)
{
	struct blocklist list;
	char *error, *path, where[256];
	int rv;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		path = write_file(rows[i].text);
		rv = read_file(path, &list, &error);
		unlink(path);
		if ((rv == 0) != (rows[i].error == NULL) || list.n != rows[i].n)
			fail_msg("%s: %d, %zu: %s", rows[i].name, rv, list.n,
			    error != NULL ? error : "");
		if (list.n > 0)
			assert_int_equal(list.fpr[list.n - 1].len, rows[i].len);
		if (list.n > 0)
			assert_int_equal(list.fpr[list.n - 1].octet[1], 0x23);
		if (rv == -1) {
			snprintf(where, sizeof(where),
			    "t.conf:4: block_list %s%s", path, rows[i].error);
			assert_memory_equal(error, where, strlen(where));
			assert_null(strchr(error, '\n'));
		}
		free(error);
		blocklist_free(&list);
	}
}

static void
test_files(void **state)
{
	char missing[] = "/nonexistent/list", folder[] = "/tmp",
	     sample[] = "contrib/blocklist";
	struct blocklist list = {.n = 1};
	char *error;

	(void)state;
	assert_int_equal(read_file(NULL, &list, &error), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(read_file(missing, &list, &error), -1);
	assert_string_equal(error,
	    "t.conf:4: block_list /nonexistent/list: No such file or "
	    "directory; make the file, or leave block_list out");
	free(error);
	assert_int_equal(read_file(folder, &list, &error), -1);
	assert_non_null(error);
	free(error);
	assert_int_equal(read_file(sample, &list, &error), 0);
	assert_int_equal(list.n, 0);
	blocklist_free(&list);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows), cmocka_unit_test(test_files)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
