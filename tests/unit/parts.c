/*
 * How an answer is cut into mails: at certificate borders, under the limit.
 */
#include "handlers/handler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A certificate in shape only: a primary key packet, then a user ID that makes
 * it `len` octets long. */
static void
put_cert(FILE *f, size_t len)
{
	static const unsigned char key[12] = {4};
	unsigned char *userid = calloc(1, len);

	assert_non_null(userid);
	assert_int_equal(
	    pgp_packet_write(f, PGP_TAG_PUBLIC_KEY, key, sizeof(key)), 0);
	/* Header of two octets for the key, of three for the user ID. */
	assert_int_equal(pgp_packet_write(f, PGP_TAG_USERID, userid,
			     len - sizeof(key) - 2 - 3),
	    0);
	free(userid);
}

struct row {
	const char *name;
	size_t cert[6]; /* octets, ended by 0 */
	size_t text_len, reply_size;
	size_t nparts;
	unsigned nkeys[6];
	bool fits;
};

static const struct row rows[] = {
    {"no keys", {0}, 10, 100000, 0, {0}, true},
    {"one that fits", {3000, 0}, 100, 100000, 1, {1}, true},
    {"three in one", {3000, 3000, 3000, 0}, 100, 100000, 1, {3}, true},
    {"cut behind the first", {30000, 30000, 0}, 100, 60000, 2, {1, 1}, true},
    {"small ones join", {30000, 3000, 30000, 3000, 0}, 100, 60000, 2, {2, 2},
	true},
    {"order is kept", {3000, 30000, 30000, 0}, 100, 60000, 2, {2, 1}, true},
    {"one is over it", {60000, 3000, 0}, 100, 60000, 2, {1, 1}, false},
    {"over it behind a small one", {3000, 60000, 0}, 100, 60000, 2, {1, 1},
	false},
    {"only the first has the text", {3000, 30000, 30000, 0}, 10000, 80000, 2,
	{2, 1}, true},
    {"later mails hold more", {3000, 30000, 8000, 0}, 10000, 60000, 2, {1, 2},
	true},
    {"text takes the room", {30000, 0}, 20000, 60000, 1, {1}, false},
    {"less room than text", {3000, 0}, 60000, 60000, 1, {1}, false},
};

static void
check_row(const struct row *row)
{
	struct reply_part *parts;
	char *keys = NULL;
	size_t len = 0, n, at = 0;
	bool fits;
	FILE *f = open_memstream(&keys, &len);

	assert_non_null(f);
	for (size_t i = 0; row->cert[i] != 0; i++)
		put_cert(f, row->cert[i]);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(reply_parts((unsigned char *)keys, len, row->text_len,
			     row->reply_size, &parts, &n, &fits),
	    0);
	assert_int_equal(n, row->nparts);
	assert_int_equal(fits, row->fits);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parts[i].from, at);
		assert_int_equal(parts[i].nkeys, row->nkeys[i]);
		at += parts[i].len;
	}
	assert_int_equal(at, len);
	free(parts);
	free(keys);
}

static void
test_row(void **state)
{
	check_row(*state);
}

/* The largest that fits, and one octet more: what armor makes of them is
 * under the limit, and over it. */
static void
test_border(void **state)
{
	const size_t limit = 100000, text = 500;
	struct reply_part *parts;
	size_t n, last = 0;

	(void)state;
	for (size_t len = 60000; len < 80000; len++) {
		char *keys = NULL;
		size_t total = 0;
		bool fits;
		FILE *f = open_memstream(&keys, &total);

		put_cert(f, len);
		fclose(f);
		assert_int_equal(reply_parts((unsigned char *)keys, total, text,
				     limit, &parts, &n, &fits),
		    0);
		free(parts);
		free(keys);
		if (!fits)
			break;
		last = len;
	}
	assert_in_range(last, 60001, 79998);
	assert_true((last + 2) / 3 * 4 / 64 * 65 + 3 * text < limit);
}

int
main(void)
{
	struct CMUnitTest tests[sizeof(rows) / sizeof(rows[0]) + 1];
	size_t n = 0;

	for (; n < sizeof(rows) / sizeof(rows[0]); n++)
		tests[n] = (struct CMUnitTest){rows[n].name, test_row, NULL,
		    NULL, (void *)(uintptr_t)&rows[n]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_border);
	return _cmocka_run_group_tests("parts", tests, n, NULL, NULL);
}
