/* Turns of domains and addresses, and domains that take long. */
#include "mailkeyd/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS (3600 * 1000)
#define LONG	5000

static struct turns *turns;
static uint64_t last_id;

static int
setup(void **state)
{
	(void)state;
	last_id = 0;
	turns = turns_new(4);
	return turns == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	turns_free(turns);
	return 0;
}

static uint64_t
add(const char *address)
{
	const struct outbox_place place = {1, ++last_id};

	assert_int_equal(turns_add(turns, address, &place), 0);
	return last_id;
}

/* The id of the next one, or 0. */
static uint64_t
take(int64_t now, struct domain **domain)
{
	struct outbox_place place;

	*domain = turns_take(turns, now, &place);
	return *domain == NULL ? 0 : place.id;
}

/* Of one that took so long. */
static uint64_t
pass(int64_t took, int64_t now)
{
	struct domain *domain;
	uint64_t id = take(now, &domain);

	if (id != 0)
		turns_done(turns, domain, took, now);
	return id;
}

static void
learn(const char *address, int64_t took, int64_t now)
{
	uint64_t id = add(address);

	assert_int_equal(pass(took, now), id);
}

/* ---- turns --------------------------------------------------------------- */

/* Letters are addresses, with their domain, in the order in which they came;
 * how they go, by their places. */
static const struct {
	const char *name, *come[8];
	int go[8];
} orders[] = {
    {"one address", {"a@x", "a@x", "a@x"}, {1, 2, 3}},
    {"two domains", {"a@x", "a@x", "a@x", "b@y"}, {1, 4, 2, 3}},
    {"two addresses", {"a@x", "a@x", "a@x", "b@x"}, {1, 4, 2, 3}},
    {"domains before addresses", {"a@x", "b@x", "c@x", "d@y", "d@y"},
	{1, 4, 2, 5, 3}},
    {"in any case", {"a@X.org", "A@x.ORG", "b@x.org", "c@y"}, {1, 4, 3, 2}},
    {"below a domain", {"a@1.x.org", "a@2.x.org", "a@3.x.org", "b@y"},
	{1, 4, 2, 3}},
};

static void
test_order(void **state)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		for (const char *const *a = orders[i].come; *a != NULL; a++)
			add(*a);
		for (const int *id = orders[i].go; *id != 0; id++)
			if ((int)pass(0, 1) != *id)
				fail_msg("%s: %d", orders[i].name, *id);
		assert_int_equal(pass(0, 1), 0);
	}
}

/* Who comes while ten thousand wait for another one. */
static void
test_flood(void **state)
{
	uint64_t id, other;

	(void)state;
	for (int i = 0; i < 10000; i++)
		add("a@x.example");
	assert_int_equal(pass(0, 1), 1);
	other = add("b@x.example");
	id = add("c@y.example");
	assert_int_equal(pass(0, 1), 2);
	assert_int_equal(pass(0, 1), id);
	assert_int_equal(pass(0, 1), other);
	assert_int_equal(pass(0, 1), 3);
	turns_clear(turns);
	assert_int_equal(pass(0, 1), 0);
	id = add("a@x.example");
	assert_int_equal(pass(0, 1), id);
}

/* ---- what is known of a domain ------------------------------------------- */

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

/* Two are in the hands of senders at a domain that takes long: there is none
 * for a third. */
static void
fill_slow(int64_t now)
{
	struct domain *domain;

	for (int i = 0; i < 2; i++) {
		add("z@slow.example");
		assert_int_not_equal(take(now, &domain), 0);
		turns_running(turns, domain, LONG, now);
	}
}

static void
test_domains(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t now = 1 + cases[i].after;
		uint64_t id;

		teardown(state);
		assert_int_equal(setup(state), 0);
		learn(cases[i].noted, cases[i].took, 1);
		fill_slow(now);
		id = add(cases[i].asked);
		if (pass(0, now) != (cases[i].slow ? 0 : id))
			fail_msg("%s", cases[i].name);
	}
}

/* Soon, once, does not make up for having taken long: other addresses there
 * may take long still. */
static void
test_stays_slow(void **state)
{
	(void)state;
	learn("a@x.example", LONG, 1);
	learn("b@x.example", 0, 2);
	fill_slow(3);
	add("c@x.example");
	assert_int_equal(pass(0, 3), 0);
	assert_int_not_equal(pass(0, 1 + HOUR_MS), 0);
}

/* A domain of which nothing is known may not have all that such may have, or
 * the first burst for one that hangs would take them from all others. */
static void
test_new_domain_takes_two(void **state)
{
	struct domain *domain;
	uint64_t id;

	(void)state;
	for (int i = 0; i < 5; i++)
		add("a@new.example");
	assert_int_equal(take(1, &domain), 1);
	assert_int_equal(take(1, &domain), 2);
	assert_int_equal(take(1, &domain), 0);
	id = add("b@other.example");
	assert_int_equal(take(1, &domain), id);
	/* once it was done soon it may have all */
	turns_done(turns, domain, 0, 1);
	add("b@other.example");
	add("b@other.example");
	assert_int_equal(take(1, &domain), id + 1);
	assert_int_equal(take(1, &domain), id + 2);
}

/* The last sender is for those that have proved to be quick. */
static void
test_last_sender(void **state)
{
	struct domain *domain;
	uint64_t id;

	(void)state;
	learn("q@quick.example", 0, 1);
	for (int i = 0; i < 3; i++) {
		char address[32];

		snprintf(address, sizeof(address), "a@new%d.example", i);
		id = add(address);
		assert_int_equal(take(1, &domain), id);
	}
	add("a@another.example");
	assert_int_equal(take(1, &domain), 0);
	assert_false(turns_press(turns, 2, 1));
	assert_true(turns_press(turns, 3, 1));
	id = add("q@quick.example");
	assert_int_equal(take(1, &domain), id);
	add("q@quick.example");
	assert_true(turns_press(turns, 4, 1));
	/* an hour later nothing is known of it either */
	assert_int_equal(take(1 + HOUR_MS, &domain), 0);
}

/* What takes long presses nobody. */
static void
test_slow_does_not_press(void **state)
{
	(void)state;
	learn("a@x.example", LONG, 1);
	fill_slow(1);
	add("a@x.example");
	assert_false(turns_press(turns, 4, 1));
}

/* With one or two senders. */
static void
test_few_senders(void **state)
{
	for (size_t senders = 1; senders <= 2; senders++) {
		struct domain *domain;
		uint64_t id;

		teardown(state);
		turns = turns_new(senders);
		assert_non_null(turns);
		for (size_t i = 0; i < senders; i++) {
			id = add("a@x.example");
			assert_int_equal(take(1, &domain), id);
			turns_running(turns, domain, LONG, 1);
			if (i == 0) {
				/* that of two the other one is not for it */
				add("a@x.example");
				assert_int_equal(take(1, &domain), 0);
				id = add("b@y.example");
			}
			if (senders == 2) {
				assert_int_equal(take(1, &domain), id);
				break;
			}
		}
	}
}

/* Of very many the last ones are known. */
static void
test_many(void **state)
{
	char address[64];
	unsigned known = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(address, sizeof(address), "a@x%d.example", i);
		learn(address, LONG, 1);
	}
	fill_slow(1);
	for (int i = 1999; i >= 0; i--) {
		snprintf(address, sizeof(address), "a@x%d.example", i);
		add(address);
		known += pass(-1, 1) == 0;
		turns_clear(turns);
	}
	assert_in_range(known, 500, 512);
}

/* One with an answer in hand stays among them, however many come. */
static void
test_in_hand(void **state)
{
	struct domain *domain;
	char address[64];
	uint64_t id;

	(void)state;
	for (int i = 0; i < 2; i++) {
		add("a@x.example");
		assert_int_not_equal(take(1, &domain), 0);
	}
	for (int i = 0; i < 600; i++) {
		snprintf(address, sizeof(address), "a@y%d.example", i);
		learn(address, 0, 1);
	}
	id = add("a@x.example");
	assert_int_equal(pass(0, 1), 0); /* it has its two */
	turns_done(turns, domain, 0, 1);
	assert_int_equal(pass(0, 1), id);
	turns_done(turns, domain, 0, 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_order),
	    TEST(test_flood),
	    TEST(test_domains),
	    TEST(test_stays_slow),
	    TEST(test_new_domain_takes_two),
	    TEST(test_last_sender),
	    TEST(test_slow_does_not_press),
	    TEST(test_few_senders),
	    TEST(test_many),
	    TEST(test_in_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
