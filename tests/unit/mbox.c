/* An mbox cut into messages, of which some are out to be cut elsewhere. */
#include "mailkeyd/mbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FROM "From a@b.example Mon Jan  1 10:00:00 2001\n"

static int
file_of(const char *text, size_t len)
{
	int fd = memfd_create("mbox", 0);

	assert_true(fd != -1);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static const struct {
	const char *name, *text;
	const char *messages[4];
} cases[] = {
    {"nothing", "", {NULL}},
    {"no From line", "Subject: ADD\n\nbody\n", {NULL}},
    {"one", FROM "Subject: ADD\n\nbody\n", {"Subject: ADD\n\nbody\n"}},
    {"two", FROM "S: 1\n\none\n\n" FROM "S: 2\n\ntwo\n",
	{"S: 1\n\none\n\n", "S: 2\n\ntwo\n"}},
    {"no final newline", FROM "S: 1\n\none\n\n" FROM "S: 2\n\ntwo",
	{"S: 1\n\none\n\n", "S: 2\n\ntwo"}},
    {"CR LF",
	"From a@b.example Mon Jan  1 10:00:00 2001\r\nS: 1\r\n\r\none\r\n\r\n"
	"From a@b.example Mon Jan  1 10:00:00 2001\r\nS: 2\r\n\r\ntwo\r\n",
	{"S: 1\r\n\r\none\r\n\r\n", "S: 2\r\n\r\ntwo\r\n"}},
    {"text before the first", "junk\n\n" FROM "S: 1\n\none\n",
	{"S: 1\n\none\n"}},
    {"From of a sentence", FROM "S: 1\n\n\nFrom here on it is text.\n",
	{"S: 1\n\n\nFrom here on it is text.\n"}},
    {"From with a time but no year", FROM "S: 1\n\n\nFrom 10:00 on\n",
	{"S: 1\n\n\nFrom 10:00 on\n"}},
    {"From line behind no empty line", FROM "S: 1\n\none\n" FROM "two\n",
	{"S: 1\n\none\n" FROM "two\n"}},
    {"quoted From line", FROM "S: 1\n\none\n\n>" FROM "two\n",
	{"S: 1\n\none\n\n>" FROM "two\n"}},
    {"From line at once behind another", FROM "\n" FROM "S: 2\n\ntwo\n",
	{"\n", "S: 2\n\ntwo\n"}},
    {"a From line and nothing else", FROM, {""}},
    {"a From line without its end",
	FROM "S: 1\n\none\n\nFrom a@b Mon Jan  1 10:00:00 2001",
	{"S: 1\n\none\n\n", ""}},
    {"zones and seconds",
	"From a@b Mon Jan 1 10:00 MET 2001 +0100\nS: 1\n\none\n",
	{"S: 1\n\none\n"}},
};

static void
test_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = file_of(cases[i].text, strlen(cases[i].text));
		struct mbox *m = mbox_new(fd, 0, 10000);
		struct mbox_message msg;
		size_t n = 0;
		int got;

		print_message("# %s\n", cases[i].name);
		assert_non_null(m);
		while ((got = mbox_next(m, &msg)) == 1) {
			const char *want = cases[i].messages[n++];

			assert_non_null(want);
			assert_int_equal(msg.len, strlen(want));
			assert_true(msg.len == 0 ||
				    memcmp(msg.data, want, msg.len) == 0);
			assert_int_equal(
			    strncmp(cases[i].text + msg.at, "From ", 5), 0);
		}
		assert_int_equal(got, 0);
		assert_null(cases[i].messages[n]);
		mbox_free(m);
		close(fd);
	}
}

/* Every message is found again from where it lies. */
static void
test_resume(void **state)
{
	static const char text[] =
	    FROM "S: 1\n\none\n\n" FROM "S: 2\n\ntwo\n\n" FROM "S: 3\n\n\n";
	int fd = file_of(text, sizeof(text) - 1);
	struct mbox *m = mbox_new(fd, 0, 100);
	uint64_t ends[3];
	struct mbox_message msg;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mbox_next(m, &msg), 1);
		ends[i] = msg.end;
	}
	mbox_free(m);
	assert_int_equal(ends[2], sizeof(text) - 1);
	for (int i = 0; i < 3; i++) {
		lseek(fd, (off_t)ends[i], SEEK_SET);
		m = mbox_new(fd, ends[i], 100);
		assert_int_equal(mbox_next(m, &msg), i < 2);
		if (i < 2) {
			assert_int_equal(msg.at, ends[i]);
			assert_int_equal(msg.end, ends[i + 1]);
			assert_int_equal(msg.data[3], '2' + i);
		}
		mbox_free(m);
	}
	close(fd);
}

/* 100 MB in one message, once in lines and once in one; what is over the limit
 * is read past and costs no memory. */
static void
test_large(void **state)
{
	enum { MB = 1 << 20, LIMIT = 1000 };
	char *block = malloc(MB);

	(void)state;
	assert_non_null(block);
	for (int lines = 0; lines < 2; lines++) {
		int fd = file_of(FROM "S: 1\n\n", strlen(FROM) + 6);
		struct mbox_message msg;
		struct mbox *m;

		lseek(fd, 0, SEEK_END);
		memset(block, 'x', MB);
		for (int i = 71; lines && i < MB; i += 72)
			block[i] = '\n';
		for (int i = 0; i < 100; i++)
			assert_int_equal(write(fd, block, MB), MB);
		assert_int_equal(
		    write(fd, "\n\n" FROM "S: 2\n\n\n", strlen(FROM) + 9),
		    strlen(FROM) + 9);
		lseek(fd, 0, SEEK_SET);
		m = mbox_new(fd, 0, LIMIT);
		assert_int_equal(mbox_next(m, &msg), 1);
		assert_int_equal(msg.len, LIMIT + 1);
		assert_true(msg.end > 100 * (uint64_t)MB);
		assert_int_equal(mbox_next(m, &msg), 1);
		assert_int_equal(msg.len, 7);
		assert_memory_equal(msg.data, "S: 2\n\n\n", 7);
		assert_int_equal(mbox_next(m, &msg), 0);
		mbox_free(m);
		close(fd);
	}
	free(block);
}

static void
test_unreadable(void **state)
{
	struct mbox *m = mbox_new(-1, 0, 100);
	struct mbox_message msg;

	(void)state;
	assert_int_equal(mbox_next(m, &msg), -1);
	mbox_free(m);
	mbox_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_resume),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
