/*
 * Passwords in files: what is taken, and the line for what is not.
 */
#include "mailkeyd/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define MOST  FIFTY FIFTY FIFTY FIFTY FIFTY "12345"

static const struct password_case {
	const char *name, *text;
	unsigned mode;
	const char *password, *why; /* one of them */
} cases[] = {
    {"a line", "secret\n", 0600, "secret", NULL},
    {"no end of line", "secret", 0400, "secret", NULL},
    {"a line of a PC", "secret\r\n", 0600, "secret", NULL},
    {"odd characters", " a\"b\\ \xc3\xbc\n", 0600, " a\"b\\ \xc3\xbc", NULL},
    {"as long as may be", MOST "\n", 0600, MOST, NULL},
    {"one octet more", MOST "6", 0600, NULL, "it is longer than 255 octets"},
    {"much more", MOST MOST, 0600, NULL, "it is longer than 255 octets"},
    {"nothing", "", 0600, NULL, "its first line is empty"},
    {"an empty line", "\n", 0600, NULL, "its first line is empty"},
    {"two lines", "a\nb\n", 0600, NULL, "it holds more than a line"},
    {"an empty line behind", "a\n\n", 0600, NULL, "it holds more than a line"},
    {"a tab", "a\tb\n", 0600, NULL, "it holds more than a line"},
    {"for the group to read", "a\n", 0640, NULL,
	"others than its owner may read or write it (mode 0640); run chmod "
	"0600 on it"},
    {"for all to read", "a\n", 0604, NULL, "others than its owner"},
    {"for all to write", "a\n", 0602, NULL, "others than its owner"},
};

static void
files(void **state)
{
	char path[] = "/tmp/password-XXXXXX", *why, *password;
	int fd = mkstemp(path);

	(void)state;
	assert_int_not_equal(fd, -1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct password_case *c = &cases[i];
		size_t len = strlen(c->text);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, c->text, len, 0), len);
		assert_int_equal(fchmod(fd, c->mode), 0);
		password = password_read(path, &why);
		if ((password != NULL) != (c->password != NULL))
			fail_msg("%s: %s", c->name, why);
		if (c->password != NULL)
			assert_string_equal(password, c->password);
		else if (strncmp(why, c->why, strlen(c->why)) != 0)
			fail_msg("%s: %s", c->name, why);
		password_free(password);
		free(why);
	}
	close(fd);
	unlink(path);
}

static void
no_files(void **state)
{
	char *why;

	(void)state;
	assert_null(password_read("/nonexistent", &why));
	assert_non_null(strstr(why, "No such file or directory; write"));
	free(why);
	assert_null(password_read("/tmp", &why));
	assert_string_equal(why, "it is no regular file; name one");
	free(why);
	assert_null(password_read("/dev/zero", &why));
	assert_string_equal(why, "it is no regular file; name one");
	free(why);
	password_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files), cmocka_unit_test(no_files)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
