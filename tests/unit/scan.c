/*
 * The limits on raw octets: each at its value and one past it.
 */
#include "mailkeyd/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	enum mail_verdict verdict;
	size_t start, body;
	const char *why;
};

static struct seen
scan_with(const char *raw, size_t len, const struct mail_limits *limits)
{
	/* of its own size, so that the sanitizer sees what lies past it */
	char *copy = malloc(len);
	struct seen s;

	assert_true(copy != NULL || len == 0);
	if (len > 0)
		memcpy(copy, raw, len);
	s.verdict = mail_scan(copy, len, limits, &s.start, &s.body, &s.why);
	free(copy);
	assert_int_equal(s.why == NULL, s.verdict == MAIL_SOUND);
	assert_true(s.start <= s.body && s.body <= len);
	return s;
}

static struct seen
scan(const char *raw)
{
	return scan_with(raw, strlen(raw), &mail_limits_default);
}

static const struct {
	const char *name, *raw;
	enum mail_verdict verdict;
	const char *header, *body; /* what begins there */
} shapes[] = {
    {"LF", "A: b\n\nbody\n", MAIL_SOUND, "A: b\n\nbody\n", "body\n"},
    {"CR LF", "A: b\r\n\r\nbody\r\n", MAIL_SOUND, "A: b", "body\r\n"},
    {"both", "A: b\r\nC: d\n\r\nbody", MAIL_SOUND, "A: b", "body"},
    {"mbox", "From a Mon Jan\nA: b\n\nbody", MAIL_SOUND, "A: b", "body"},
    {"mbox, CR LF", "From a\r\nA: b\r\n\r\nx", MAIL_SOUND, "A: b", "x"},
    {"mbox alone", "From a", MAIL_SOUND, "", ""},
    {"no mbox", "From: a\n\nbody", MAIL_SOUND, "From: a", "body"},
    {"no body", "A: b\n", MAIL_SOUND, "A: b\n", ""},
    {"no line end", "A: b", MAIL_SOUND, "A: b", ""},
    {"empty", "", MAIL_SOUND, "", ""},
    {"no header", "\nbody", MAIL_SOUND, "\nbody", "body"},
    {"folded", "A: b\n c\n\td\n\nbody", MAIL_SOUND, "A: b", "body"},
    {"line of blanks is a fold", "A: b\n \nC: d\n\nbody", MAIL_SOUND, "A: b",
	"body"},
    {"CR in body", "A: b\n\nbo\rdy", MAIL_SOUND, "A: b", "bo\rdy"},
    {"bare CR", "A: b\rBcc: c\n\nbody", MAIL_BENT, NULL, NULL},
    {"bare CR at the end", "A: b\r", MAIL_BENT, NULL, NULL},
    {"two CR", "A: b\r\r\n\nbody", MAIL_BENT, NULL, NULL},
};

static void
test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const char *raw = shapes[i].raw;
		struct seen s = scan(raw);

		if (s.verdict != shapes[i].verdict)
			fail_msg("%s: verdict %d", shapes[i].name, s.verdict);
		if (s.verdict == MAIL_SOUND &&
		    (strncmp(raw + s.start, shapes[i].header,
			 strlen(shapes[i].header)) != 0 ||
			strcmp(raw + s.body, shapes[i].body) != 0))
			fail_msg("%s", shapes[i].name);
	}
}

static void
test_nul(void **state)
{
	(void)state;
	assert_int_equal(
	    scan_with("A: \0b\n\nx", 8, &mail_limits_default).verdict,
	    MAIL_BENT);
	assert_int_equal(
	    scan_with("A: b\n\n\0x", 8, &mail_limits_default).verdict,
	    MAIL_SOUND);
}

static void
test_message_size(void **state)
{
	size_t limit = mail_limits_default.message_size;
	char *raw = malloc(limit + 1);

	(void)state;
	assert_non_null(raw);
	memset(raw, 'x', limit + 1);
	memcpy(raw, "A: b\n\n", 6);
	assert_int_equal(limit, 5 * 1024 * 1024);
	assert_int_equal(
	    scan_with(raw, limit, &mail_limits_default).verdict, MAIL_SOUND);
	assert_int_equal(
	    scan_with(raw, limit + 1, &mail_limits_default).verdict, MAIL_OVER);
	/* too large and bent: the header decides */
	raw[2] = '\r';
	assert_int_equal(
	    scan_with(raw, limit + 1, &mail_limits_default).verdict, MAIL_BENT);
	free(raw);
}

/* A header of `size` octets in fields of at most 1000. */
static char *
header_of(size_t size)
{
	char *raw = malloc(size + 8);
	size_t at = 0;

	assert_non_null(raw);
	while (at < size) {
		size_t n = size - at < 2000 ? size - at : 1000;

		memset(raw + at, 'x', n);
		raw[at + 1] = ':';
		raw[at + n - 1] = '\n';
		at += n;
	}
	memcpy(raw + size, "\nbody", 6);
	return raw;
}

static void
test_header_size(void **state)
{
	size_t limit = mail_limits_default.header_size;

	(void)state;
	assert_int_equal(limit, 64 * 1024);
	for (size_t past = 0; past < 2; past++) {
		char *raw = header_of(limit + past);
		struct seen s = scan(raw);

		assert_int_equal(s.verdict, past ? MAIL_BENT : MAIL_SOUND);
		if (!past)
			assert_string_equal(raw + s.body, "body");
		free(raw);
	}
}

/* A header that never ends. */
static void
test_header_without_end(void **state)
{
	char *raw = header_of(100000);

	(void)state;
	raw[100000] = '\0';
	assert_int_equal(scan(raw).verdict, MAIL_BENT);
	free(raw);
}

static void
test_field_size(void **state)
{
	size_t limit = mail_limits_default.field_size;
	char *raw = malloc(limit + 64);

	(void)state;
	assert_non_null(raw);
	assert_int_equal(limit, 16 * 1024);
	for (size_t past = 0; past < 2; past++)
		for (unsigned folded = 0; folded < 2; folded++) {
			size_t n = limit + past;

			memset(raw, 'x', n);
			raw[1] = ':';
			if (folded)
				memcpy(raw + 500, "\r\n ", 3);
			strcpy(raw + n - 1, "\nB: c\n\nbody");
			assert_int_equal(
			    scan(raw).verdict, past ? MAIL_BENT : MAIL_SOUND);
		}
	free(raw);
}

static char *
repeat(const char *head, const char *what, size_t n, const char *tail)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs(head, out);
	for (size_t i = 0; i < n; i++)
		fputs(what, out);
	fputs(tail, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
check_repeat(const char *name, const char *head, const char *what, size_t n,
    enum mail_verdict verdict)
{
	char *raw = repeat(head, what, n, "\n\nbody");
	struct seen s = scan(raw);

	if (s.verdict != verdict)
		fail_msg("%s, %zu times: %d (%s)", name, n, s.verdict,
		    s.why == NULL ? "" : s.why);
	free(raw);
}

static void
test_fields(void **state)
{
	(void)state;
	assert_int_equal(mail_limits_default.fields, 500);
	check_repeat("fields", "", "A: b\n c\n", 500, MAIL_SOUND);
	check_repeat("fields", "", "A: b\n c\n", 501, MAIL_BENT);
	check_repeat("no fields", "", "junk\n", 501, MAIL_BENT);
}

/* Content-Type lines, however they are written. */
static void
test_content_types(void **state)
{
	static const char *const lines[] = {"Content-Type: text/plain\n",
	    "content-TYPE: text/plain\r\n", "Content-Type :text/plain\n",
	    "Content-Type\n : text/plain\n", "Content-Type(x):text/plain\n",
	    "x\rContent-Type: text/plain\r"};

	(void)state;
	assert_int_equal(mail_limits_default.content_types, 200);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		check_repeat(lines[i], "A: b\n\n", lines[i], 200, MAIL_SOUND);
		check_repeat(lines[i], "A: b\n\n", lines[i], 201, MAIL_OVER);
	}
	check_repeat(
	    "header", "", "Content-Type: text/plain\n", 201, MAIL_OVER);
	check_repeat("not at the start of a line", "A: b\n\n",
	    "> Content-Type: text/plain\n", 1000, MAIL_SOUND);
}

static void
test_messages(void **state)
{
	static const char *const lines[] = {"Content-Type: message/rfc822\n",
	    "CONTENT-TYPE:MESSAGE/RFC822\r\n",
	    "Content-Type:\r\n message/rfc822\n",
	    "Content-Type: (a (nested \\) comment)) message/rfc822\n",
	    "Content-Type (a comment) : message/rfc822\n",
	    "Content-Type: message (x) / rfc822\n"};

	(void)state;
	assert_int_equal(mail_limits_default.messages, 20);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		check_repeat(lines[i], "A: b\n\n", lines[i], 20, MAIL_SOUND);
		check_repeat(lines[i], "A: b\n\n", lines[i], 21, MAIL_OVER);
	}
	check_repeat("the word in a name", "A: b\n\n",
	    "Content-Type: text/plain; name=\"message/rfc822\"\n", 21,
	    MAIL_SOUND);
	check_repeat(
	    "no type at all", "A: b\n\n", "Content-Type", 21, MAIL_SOUND);
}

/* Comments without end are passed over in bounded time, and count. */
static void
test_endless_comment(void **state)
{
	char *comment = repeat("Content-Type: ", "(", 20000, "\n");

	(void)state;
	check_repeat("comment", "A: b\n\n", comment, 20, MAIL_SOUND);
	check_repeat("comment", "A: b\n\n", comment, 21, MAIL_OVER);
	free(comment);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shapes),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_message_size),
	    cmocka_unit_test(test_header_size),
	    cmocka_unit_test(test_header_without_end),
	    cmocka_unit_test(test_field_size),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_content_types),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_endless_comment),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
