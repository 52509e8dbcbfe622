/*
 * How an answer is cut into mails: at certificate borders, under the limit.
 */
#include "handlers/handler.h"
#include "tests/unit/pgp_octets.h"

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

struct plan {
	const char *name;
	size_t cert[6]; /* octets, ended by 0 */
	size_t text_len, reply_size;
	size_t nparts;
	unsigned nkeys[6];
	bool fits;
};

static const struct plan plans[] = {
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
check_plan(const struct plan *plan)
{
	struct reply_part *parts;
	char *keys = NULL;
	size_t len = 0, n, at = 0;
	bool fits;
	FILE *f = open_memstream(&keys, &len);

	assert_non_null(f);
	for (size_t i = 0; plan->cert[i] != 0; i++)
		put_cert(f, plan->cert[i]);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(reply_parts((unsigned char *)keys, len, plan->text_len,
			     plan->reply_size, &parts, &n, &fits),
	    0);
	assert_int_equal(n, plan->nparts);
	assert_int_equal(fits, plan->fits);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parts[i].from, at);
		assert_int_equal(parts[i].nkeys, plan->nkeys[i]);
		at += parts[i].len;
	}
	assert_int_equal(at, len);
	free(parts);
	free(keys);
}

static void
test_plan(void **state)
{
	check_plan(*state);
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

/* gpg 2.2 loses what stands in one mail with newer keys. */
static void
test_versions(void **state)
{
	static const char *const files[] = {
	    "alice.asc", "bob.asc", "judy-v5.asc", "rfc9580-v6.asc"};
	struct reply_part *parts;
	char *keys = NULL;
	size_t len = 0, n;
	bool fits;
	FILE *f = open_memstream(&keys, &len);

	(void)state;
	assert_non_null(f);
	for (size_t i = 0; i < 4; i++) {
		struct pgp_blob b = octets_of_key(files[i]);

		fwrite(b.data, 1, b.len, f);
		pgp_blob_free(&b, false);
	}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(reply_parts((unsigned char *)keys, len, 100, 1 << 20,
			     &parts, &n, &fits),
	    0);
	assert_true(fits);
	assert_int_equal(n, 2);
	assert_int_equal(parts[0].nkeys, 2);
	assert_int_equal(parts[1].nkeys, 2);
	assert_int_equal(parts[1].from, parts[0].len);
	assert_int_equal(parts[1].len, len - parts[0].len);
	free(parts);
	free(keys);
}

int
main(void)
{
	struct CMUnitTest tests[sizeof(plans) / sizeof(plans[0]) + 2];
	size_t n = 0;

	for (; n < sizeof(plans) / sizeof(plans[0]); n++)
		tests[n] = (struct CMUnitTest){plans[n].name, test_plan, NULL,
		    NULL, (void *)(uintptr_t)&plans[n]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_border);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_versions);
	return _cmocka_run_group_tests("parts", tests, n, NULL, NULL);
}
