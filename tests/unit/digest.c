/*
 * Which deliveries are one and the same mail, and which are two.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/mail_digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct half {
	const char *sender, *id, *received, *subject, *resent, *body;
};
struct row {
	const char *name;
	struct half one, two;
	enum { SAME, OTHER, NEVER } is; /* NEVER: no digest at all */
};

#define BASE "a@x", "<1@x>", "from p", "HELP", NULL, "body"

static const struct row rows[] = {
    {"the same again", {BASE}, {BASE}, SAME},
    {"another way to us", {BASE},
	{"a@x", "<1@x>", "from q", "HELP", NULL, "body"}, SAME},
    {"another Message-ID", {BASE},
	{"a@x", "<2@x>", "from p", "HELP", NULL, "body"}, OTHER},
    {"another sender", {BASE}, {"b@x", "<1@x>", "from p", "HELP", NULL, "body"},
	OTHER},
    {"another Subject", {BASE},
	{"a@x", "<1@x>", "from p", "HELP de", NULL, "body"}, OTHER},
    {"another body", {BASE}, {"a@x", "<1@x>", "from p", "HELP", NULL, "Body"},
	OTHER},
    {"sent on again by hand", {BASE},
	{"a@x", "<1@x>", "from p", "HELP", "<r@x>", "body"}, OTHER},
    {"a field's end is no other's beginning",
	{"a@x", "<1@x>", NULL, "HELPx", NULL, "body"},
	{"a@x", "<1@x>", NULL, "HELP", "x", "body"}, OTHER},
    {"no Message-ID, retried", {"a@x", NULL, "from p", "HELP", NULL, "body"},
	{"a@x", NULL, "from p", "HELP", NULL, "body"}, SAME},
    {"no Message-ID, asked again",
	{"a@x", NULL, "from p", "HELP", NULL, "body"},
	{"a@x", NULL, "from q", "HELP", NULL, "body"}, OTHER},
    {"empty Message-ID, asked again",
	{"a@x", "", "from p", "HELP", NULL, "body"},
	{"a@x", "", "from q", "HELP", NULL, "body"}, OTHER},
    {"neither field", {"a@x", NULL, NULL, "HELP", NULL, "body"},
	{"a@x", NULL, NULL, "HELP", NULL, "body"}, NEVER},
    {"the null sender is not an unknown one",
	{"", "<1@x>", NULL, "HELP", NULL, "body"},
	{NULL, "<1@x>", NULL, "HELP", NULL, "body"}, OTHER},
};

static bool
digest_named(
    const struct half *half, const char *name, unsigned char out[DIGEST_LEN])
{
	struct mail mail = {.raw_message_id = (char *)(uintptr_t)half->id,
	    .raw_received = (char *)(uintptr_t)half->received,
	    .raw_subject = (char *)(uintptr_t)half->subject,
	    .raw_resent_id = (char *)(uintptr_t)half->resent};
	unsigned char body[DIGEST_LEN];

	assert_int_equal(pgp_sha256(half->body, strlen(half->body), body), 0);
	return mail_digest_repeat(&mail, half->sender, name, body, out);
}

static bool
digest(const struct half *half, unsigned char out[DIGEST_LEN])
{
	return digest_named(half, NULL, out);
}

static void
test_repeat(void **state)
{
	const struct row *row = *state;
	unsigned char one[DIGEST_LEN], two[DIGEST_LEN];

	assert_int_equal(digest(&row->one, one), row->is != NEVER);
	assert_int_equal(digest(&row->two, two), row->is != NEVER);
	if (row->is == SAME)
		assert_memory_equal(one, two, DIGEST_LEN);
	if (row->is == OTHER)
		assert_memory_not_equal(one, two, DIGEST_LEN);
}

/* What has neither field goes by the name that its source has it under; to the
 * others a name is nothing. */
static void
test_named(void **state)
{
	static const struct {
		struct half half;
		bool counts;
	} cases[] = {
	    {{"a@x", NULL, NULL, "HELP", NULL, "body"}, true},
	    {{"a@x", "", NULL, "HELP", NULL, "body"}, true},
	    {{"a@x", NULL, "from p", "HELP", NULL, "body"}, false},
	    {{BASE}, false},
	};
	unsigned char first[DIGEST_LEN], again[DIGEST_LEN], other[DIGEST_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(digest_named(&cases[i].half, "1.M1.x", first));
		assert_true(digest_named(&cases[i].half, "1.M1.x", again));
		assert_true(digest_named(&cases[i].half, "1.M2.x", other));
		assert_memory_equal(first, again, DIGEST_LEN);
		assert_int_equal(
		    memcmp(first, other, DIGEST_LEN) != 0, cases[i].counts);
		assert_int_equal(
		    digest(&cases[i].half, other), !cases[i].counts);
		if (!cases[i].counts)
			assert_memory_equal(first, other, DIGEST_LEN);
	}
}

static void
of_raw(const char *raw, size_t most, unsigned char out[DIGEST_LEN])
{
	size_t len = strlen(raw);
	int fd = ipc_memfd("mail", raw, len, true);

	assert_int_not_equal(fd, -1);
	assert_int_equal(mail_digest_body(fd, len < most ? len : most, out), 0);
	close(fd);
}

/* What a body is: everything behind the first empty line, and nothing else. */
static void
test_body(void **state)
{
	static const struct {
		const char *raw;
		size_t most;
		const char *body;
	} cases[] = {
	    {"Subject: x\n\nbody\n\nmore", SIZE_MAX, "body\n\nmore"},
	    {"Subject: y\r\nTo: z\r\n\r\nbody\r\n", SIZE_MAX, "body\r\n"},
	    {"Subject: x\n", SIZE_MAX, ""},
	    {"Subject: x\n\n", SIZE_MAX, ""},
	    {"", SIZE_MAX, ""},
	    {"A: b\n\n12345678", 10, "1234"},
	};
	unsigned char is[DIGEST_LEN], wanted[DIGEST_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		of_raw(cases[i].raw, cases[i].most, is);
		pgp_sha256(cases[i].body, strlen(cases[i].body), wanted);
		assert_memory_equal(is, wanted, DIGEST_LEN);
	}
}

/* Exim's Delivery-date makes another header of each try. */
static void
test_poison(void **state)
{
	unsigned char body[2][DIGEST_LEN], out[3][DIGEST_LEN];
	char hex[2 * DIGEST_LEN + 1];

	(void)state;
	of_raw("Delivery-date: 1\nSubject: x\n\nbody", SIZE_MAX, body[0]);
	of_raw("Delivery-date: 2\nSubject: x\n\nbody", SIZE_MAX, body[1]);
	assert_int_equal(mail_digest_poison("a@x", body[0], out[0]), 0);
	assert_int_equal(mail_digest_poison("a@x", body[1], out[1]), 0);
	assert_int_equal(mail_digest_poison("b@x", body[0], out[2]), 0);
	assert_memory_equal(out[0], out[1], DIGEST_LEN);
	assert_memory_not_equal(out[0], out[2], DIGEST_LEN);
	mail_digest_hex((const unsigned char *)"\x00\x0f\xa0", 3, hex);
	assert_string_equal(hex, "000fa0");
}

int
main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct CMUnitTest tests[N + 3];
	size_t n = 0;

	for (; n < N; n++)
		tests[n] = (struct CMUnitTest){rows[n].name, test_repeat, NULL,
		    NULL, (void *)(uintptr_t)&rows[n]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_named);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_body);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_poison);
	return _cmocka_run_group_tests("digest", tests, n, NULL, NULL);
}
