/* Domains that take long, and what waits because of them. */
#include "mailkeyd/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define HOUR_MS (3600 * 1000)
#define LONG	5000

static const struct {
	const char *name, *noted;
	int64_t took;
	const char *asked;
	int64_t after;
	bool slow;
} cases[] = {
    {"the same address", "a@x.example", LONG, "a@x.example", 0, true},
    {"another one there", "a@x.example", LONG, "b@x.example", 0, true},
    {"in capitals", "a@X.example", LONG, "a@x.EXAMPLE", 0, true},
    {"below the domain", "a@x.example", LONG, "a@mail.x.example", 0, true},
    {"above it", "a@1.mx.x.example", LONG, "a@x.example", 0, true},
    {"another domain", "a@x.example", LONG, "a@y.example", 0, false},
    {"a longer one", "a@x.example", LONG, "a@xx.example", 0, false},
    {"one label", "a@localhost", LONG, "b@localhost", 0, true},
    {"one label of another", "a@example", LONG, "a@x.example", 0, false},
    {"a dot at the end", "a@x.", LONG, "a@x.", 0, true},
    {"nothing behind the at", "a@", LONG, "b@", 0, true},
    {"an at in quotes", "\"a@y.example\"@x.example", LONG, "b@x.example", 0,
	true},
    {"soon done", "a@x.example", 100, "a@x.example", 0, false},
    {"before the hour is over", "a@x.example", LONG, "a@x.example", HOUR_MS - 1,
	true},
    {"an hour later", "a@x.example", LONG, "a@x.example", HOUR_MS, false},
};

static void
test_domains(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slow *s = slow_new();

		assert_non_null(s);
		slow_note(s, cases[i].noted, cases[i].took, 1);
		if (slow_domain(s, cases[i].asked, 1 + cases[i].after) !=
		    cases[i].slow)
			fail_msg("%s", cases[i].name);
		slow_free(s);
	}
}

/* Of very many the last ones are known, and each once. */
static void
test_many(void **state)
{
	struct slow *s = slow_new();
	char address[64];
	unsigned known = 0;

	(void)state;
	for (int64_t i = 0; i < 1000; i++) {
		snprintf(address, sizeof(address), "a@x%d.example", (int)i);
		slow_note(s, address, LONG, 1 + i);
		slow_note(s, address, LONG, 1 + i);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(address, sizeof(address), "a@x%d.example", i);
		known += slow_domain(s, address, 1000);
	}
	assert_int_equal(known, 256);
	assert_true(slow_domain(s, "a@x999.example", 1000));
	slow_free(s);
}

static void
test_held(void **state)
{
	struct slow *s = slow_new();
	uint64_t n = 0;

	(void)state;
	assert_false(slow_holds(s, 7));
	/* numbers that lie together, and such that share places */
	while (slow_hold(s, n % 2 == 0 ? n + 1 : n << 40))
		n++;
	assert_int_equal(n, 128);
	for (uint64_t i = 0; i < n; i++)
		assert_true(slow_holds(s, i % 2 == 0 ? i + 1 : i << 40));
	assert_false(slow_holds(s, 2));
	assert_false(slow_holds(s, 1 << 30));
	slow_release(s);
	assert_false(slow_holds(s, 1));
	assert_true(slow_hold(s, 2));
	assert_true(slow_holds(s, 2));
	slow_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_domains),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
