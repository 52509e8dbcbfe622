/*
 * Mails that stay in their mailbox for now: when they are due, and what is
 * forgotten.
 */
#include "mailkeyd/later.h"
#include "mailkeyd/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long
in_ms(struct later *l, const char *key)
{
	const struct later_mail *m = later_find(l, key);

	assert_non_null(m);
	return (long)(m->due - loop_now_ms());
}

/* A second, two, four, up to ten minutes. */
static void
backs_off(void **state)
{
	struct later l = {0};
	long ms = 1000;

	(void)state;
	assert_int_equal(later_wait(&l, 5000), 5000);
	assert_true(later_add(&l, "a", false));
	for (int i = 0; i < 15; i++) {
		long left = in_ms(&l, "a");

		assert_true(left <= ms && left > ms - 900);
		assert_true(later_wait(&l, 3600000) <= ms);
		ms = ms * 2 > 600000 ? 600000 : ms * 2;
		assert_false(later_add(&l, "a", false));
	}
	assert_false(later_find(&l, "a")->done);
	later_add(&l, "a", true);
	assert_true(later_find(&l, "a")->done);
	later_add(&l, "a", false);
	assert_true(later_find(&l, "a")->done);
	later_drop(&l, "a");
	later_drop(&l, "a");
	assert_null(later_find(&l, "a"));
	later_clear(&l);
}

/* Any order, all found again; there is an end to it. */
static void
many(void **state)
{
	struct later l = {0};
	char key[LATER_KEY];

	(void)state;
	for (unsigned i = 0; i < LATER_MAX + 10; i++) {
		snprintf(key, sizeof(key), "%u", i * 7919 % 100003);
		assert_int_equal(later_add(&l, key, false), i < LATER_MAX);
	}
	assert_int_equal(l.n, LATER_MAX);
	for (size_t i = 1; i < l.n; i++)
		assert_true(strcmp(l.mail[i - 1].key, l.mail[i].key) < 0);
	for (unsigned i = 0; i < LATER_MAX; i++) {
		snprintf(key, sizeof(key), "%u", i * 7919 % 100003);
		assert_non_null(later_find(&l, key));
	}
	later_clear(&l);
	assert_int_equal(l.n, 0);
}

/* What a whole look does not meet is gone from the mailbox. */
static void
swept(void **state)
{
	struct later l = {0};

	(void)state;
	later_add(&l, "a", false);
	later_add(&l, "b", false);
	later_add(&l, "gone", true);
	later_sweep(&l);
	assert_int_equal(l.n, 2);
	assert_non_null(later_find(&l, "b"));
	later_sweep(&l);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.mail[0].key, "b");
	later_sweep(&l);
	assert_int_equal(l.n, 0);
	later_clear(&l);
}

/* No name, or one that is too long, is not noted. */
static void
odd_keys(void **state)
{
	struct later l = {0};
	char key[LATER_KEY + 1];

	(void)state;
	memset(key, 'x', sizeof(key));
	key[LATER_KEY] = '\0';
	assert_false(later_add(&l, key, false));
	assert_false(later_add(&l, "", false));
	assert_null(later_find(&l, key));
	key[LATER_KEY - 1] = '\0';
	assert_true(later_add(&l, key, false));
	assert_string_equal(l.mail[0].key, key);
	later_clear(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(backs_off),
	    cmocka_unit_test(many), cmocka_unit_test(swept),
	    cmocka_unit_test(odd_keys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
