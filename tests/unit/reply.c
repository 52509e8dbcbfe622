/*
 * Answers: user IDs that want to be more than a user ID, broken lines, keys.
 */
#include "handlers/handler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define TEXT(s) (s), sizeof(s) - 1

struct userid {
	const char *name, *in;
	size_t len;
	const char *out;
};

static const struct userid userids[] = {
    {"plain", TEXT("Alice <alice@example.org>"), "Alice <alice@example.org>"},
    {"nothing", TEXT(""), ""},
    {"UTF-8", TEXT("M\xc3\xbcller \xe6\x97\xa5 \xf0\x9f\x98\x80"),
	"M\xc3\xbcller \xe6\x97\xa5 \xf0\x9f\x98\x80"},
    {"ISO 8859-1", TEXT("M\xfcller"), "M\xc3\xbcller"},
    {"one bad octet makes all of it ISO 8859-1", TEXT("\xc3\xbc\xff"),
	"\xc3\x83\xc2\xbc\xc3\xbf"},
    {"C1 of ISO 8859-1", TEXT("a\x85z"), "a\\x85z"},
    {"line feed", TEXT("a\nz"), "a\\x0Az"},
    {"carriage return", TEXT("a\rz"), "a\\x0Dz"},
    {"NUL", TEXT("a\0z"), "a\\x00z"},
    {"tab, form feed, escape", TEXT("\t\f\x1b[2J"), "\\x09\\x0C\\x1B[2J"},
    {"DEL", TEXT("\x7f"), "\\x7F"},
    {"NEL", TEXT("a\xc2\x85z"), "a\\x85z"},
    {"CSI", TEXT("a\xc2\x9bz"), "a\\x9Bz"},
    {"line separator", TEXT("a\xe2\x80\xa8z"), "a\\u2028z"},
    {"paragraph separator", TEXT("a\xe2\x80\xa9z"), "a\\u2029z"},
    {"right-to-left override", TEXT("\xe2\x80\xae"), "\\u202E"},
    {"left-to-right embedding", TEXT("\xe2\x80\xaa"), "\\u202A"},
    {"isolates", TEXT("\xe2\x81\xa6\xe2\x81\xa9"), "\\u2066\\u2069"},
    {"direction marks", TEXT("\xe2\x80\x8e\xe2\x80\x8f"), "\\u200E\\u200F"},
    {"Arabic letter mark", TEXT("\xd8\x9c"), "\\u061C"},
    {"soft hyphen", TEXT("\xc2\xad"), "\\xAD"},
    {"zero width space", TEXT("\xe2\x80\x8b"), "\\u200B"},
    {"zero width joiner is spelling", TEXT("\xe2\x80\x8d"), "\xe2\x80\x8d"},
    {"byte order mark", TEXT("\xef\xbb\xbf"), "\\uFEFF"},
    {"a tag character", TEXT("\xf3\xa0\x80\xa0"), "\\U000E0020"},
    {"private use", TEXT("\xee\x80\x80\xf4\x8f\xbf\xbf"), "\\uE000\\U0010FFFF"},
    {"just below the last", TEXT("\xef\xbf\xbd"), "\xef\xbf\xbd"},
    {"backslash", TEXT("\\x0A"), "\\x5Cx0A"},
    {"overlong line feed", TEXT("\xc0\x8a"), "\xc3\x80\\x8A"},
    {"overlong in three", TEXT("\xe0\x80\x8a"), "\xc3\xa0\\x80\\x8A"},
    {"overlong in four", TEXT("\xf0\x80\x80\x8a"), "\xc3\xb0\\x80\\x80\\x8A"},
    {"a surrogate", TEXT("\xed\xa0\x80"), "\xc3\xad\xc2\xa0\\x80"},
    {"above the last", TEXT("\xf4\x90\x80\x80"), "\xc3\xb4\\x90\\x80\\x80"},
    {"cut short", TEXT("a\xe2\x80"), "a\xc3\xa2\\x80"},
    {"an armor header", TEXT("x\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"),
	"x\\x0A-----BEGIN PGP PUBLIC KEY BLOCK-----\\x0A\\x0A"},
    {"a mail header", TEXT("x\r\nBcc: victim@example.org\r\n\r\n"),
	"x\\x0D\\x0ABcc: victim@example.org\\x0D\\x0A\\x0D\\x0A"},
};

static void
test_userid(void **state)
{
	const struct userid *t = *state;
	struct reply reply;
	unsigned char *copy;

	/* Of its exact size, so that a read past the end is seen. */
	copy = malloc(t->len + (t->len == 0));
	assert_non_null(copy);
	memcpy(copy, t->in, t->len);
	assert_int_equal(reply_new(&reply), 0);
	reply_userid(&reply, copy, t->len);
	assert_int_equal(reply_finish(&reply), 0);
	assert_string_equal(reply.text_data, t->out);
	reply_free(&reply);
	free(copy);
}

static void
userid_cut(const char *in, size_t len, const char *tail, size_t out_len)
{
	struct reply reply;

	assert_int_equal(reply_new(&reply), 0);
	reply_userid(&reply, (const unsigned char *)in, len);
	assert_int_equal(reply_finish(&reply), 0);
	assert_int_equal(reply.text_len, out_len);
	assert_string_equal(
	    reply.text_data + reply.text_len - strlen(tail), tail);
	reply_free(&reply);
}

static void
test_userid_cut(void **state)
{
	char in[1024];
	size_t i;

	(void)state;
	memset(in, 'a', sizeof in);
	userid_cut(in, USERID_COLUMNS, "aaa", USERID_COLUMNS);
	userid_cut(in, USERID_COLUMNS + 1, "aaa...", USERID_COLUMNS + 3);
	userid_cut(in, sizeof in, "aaa...", USERID_COLUMNS + 3);
	memset(in, '\n', sizeof in);
	userid_cut(in, sizeof in, "\\x0A...", USERID_COLUMNS + 3);
	/* Characters are counted, not octets. */
	for (i = 0; i + 1 < sizeof in; i += 2)
		memcpy(in + i, "\xc3\xbc", 2);
	userid_cut(in, sizeof in, "\xc3\xbc...", 2 * USERID_COLUMNS + 3);
	for (i = 0; i + 3 < sizeof in; i += 4)
		memcpy(in + i, "\xf0\x9f\x98\x80", 4);
	userid_cut(
	    in, sizeof in, "\xf0\x9f\x98\x80...", 4 * USERID_COLUMNS + 3);
}

struct wrap {
	const char *name;
	unsigned indent;
	const char *in, *out;
};

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10
#define U10                                                                    \
	"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"                             \
	"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
#define U70 U10 U10 U10 U10 U10 U10 U10

static const struct wrap wraps[] = {
    {"nothing", 4, "", ""},
    {"one word", 0, "word", "word\n"},
    {"indented", 4, "two words", "    two words\n"},
    {"just fits", 0, X70 " yyyyy", X70 " yyyyy\n"},
    {"one too many", 0, X70 " yyyyyy", X70 "\nyyyyyy\n"},
    {"just fits behind blanks", 2, X70 " yyy", "  " X70 " yyy\n"},
    {"too many behind blanks", 2, X70 " yyyy", "  " X70 "\n  yyyy\n"},
    {"a blank where the line ends", 0, X70 "xxxxxx next", X70 "xxxxxx\nnext\n"},
    {"characters, not octets", 0, U70 " yyyyy", U70 " yyyyy\n"},
    {"a word longer than a line", 0, X70 X70,
	X70 "xxxxxx\n" X10 X10 X10 X10 X10 X10 "xxxx\n"},
    {"a long word of UTF-8", 6, U70 "\xc3\xbc",
	"      " U70 "\n      \xc3\xbc\n"},
    {"a line feed", 2, "one\ntwo", "  one\n  two\n"},
    {"an empty line", 2, "one\n\ntwo", "  one\n\n  two\n"},
    {"a line feed at the end", 0, "one\n", "one\n"},
    {"other controls", 0, "a\tb\rc\x1b\x7f", "a?b?c??\n"},
};

static void
test_wrap(void **state)
{
	const struct wrap *t = *state;
	struct reply reply;

	assert_int_equal(reply_new(&reply), 0);
	reply_wrap(&reply, t->indent, t->in);
	assert_int_equal(reply_finish(&reply), 0);
	assert_string_equal(reply.text_data, t->out);
	reply_free(&reply);
}

static void
test_count(void **state)
{
	struct reply reply;

	(void)state;
	assert_int_equal(reply_new(&reply), 0);
	reply_count(&reply, 0, "key");
	reply_count(&reply, 1, "key");
	reply_count(&reply, 2, "user ID");
	assert_int_equal(reply_finish(&reply), 0);
	assert_string_equal(reply.text_data, "0 keys1 key2 user IDs");
	reply_free(&reply);
}

static void
test_streams(void **state)
{
	struct reply reply;

	(void)state;
	assert_int_equal(reply_new(&reply), 0);
	assert_string_equal(reply.suffix, "");
	assert_int_equal(reply_size(&reply), 0);
	reply_printf(&reply, "%s %d\n", "text", 1);
	assert_int_equal(reply_size(&reply), 7);
	fwrite("0123456789", 1, 10, reply.keys);
	/* The armor is larger than what it holds. */
	assert_true(reply_size(&reply) > 7 + 10 * 4 / 3);
	reply.nkeys = 1;
	assert_int_equal(reply_drop_keys(&reply), 0);
	assert_int_equal(reply.nkeys, 0);
	assert_int_equal(reply_size(&reply), 7);
	assert_int_equal(reply_finish(&reply), 0);
	assert_int_equal(reply.keys_len, 0);
	assert_int_equal(reply.text_len, 7);
	/* Finishing twice and freeing twice do no harm. */
	assert_int_equal(reply_finish(&reply), 0);
	reply_free(&reply);
	reply_free(&reply);
}

/* An answer that could not be written whole must not be sent. */
static void
test_failed_stream(void **state)
{
	struct reply reply;

	(void)state;
	assert_int_equal(reply_new(&reply), 0);
	fclose(reply.text);
	reply.text = fopen("/dev/full", "w");
	assert_non_null(reply.text);
	reply_printf(&reply, "lost");
	assert_int_equal(reply_finish(&reply), -1);
	reply_free(&reply);
}

int
main(void)
{
	enum {
		U = sizeof userids / sizeof userids[0],
		W = sizeof wraps / sizeof wraps[0]
	};
	const struct CMUnitTest others[] = {
	    cmocka_unit_test(test_userid_cut),
	    cmocka_unit_test(test_count),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_failed_stream),
	};
	struct CMUnitTest tests[U + W + sizeof others / sizeof others[0]];
	size_t i;

	memset(tests, 0, sizeof tests);
	for (i = 0; i < U; i++) {
		tests[i].name = userids[i].name;
		tests[i].test_func = test_userid;
		tests[i].initial_state = (void *)(uintptr_t)&userids[i];
	}
	for (i = 0; i < W; i++) {
		tests[U + i].name = wraps[i].name;
		tests[U + i].test_func = test_wrap;
		tests[U + i].initial_state = (void *)(uintptr_t)&wraps[i];
	}
	memcpy(tests + U + W, others, sizeof others);
	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
