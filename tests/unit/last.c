/*
 * LAST: what changed in the last days.
 */
#include "tests/unit/room.h"

#define DAY	86400
#define CREATED 1500000000u

static const struct forged base = {.created = CREATED,
    .bits = 1024,
    .id = {{.text = "Alice Example <alice@example.org>"}}};

/* A key of this seed that changed so many seconds ago. */
static struct forged
put_ago(struct room *room, unsigned seed, time_t ago)
{
	struct forged key = base;

	key.seed = seed;
	put_at(room, &key, FORGE_NOW - ago);
	return key;
}

/* What is no number of days, or one of 0. */
static void
test_bad_number(void **state)
{
	static const char *const subjects[] = {"LAST", "LAST 0", "LAST 00",
	    "LAST -1", "LAST +1", "LAST x", "LAST 1x", "LAST 1.5", "LAST 0x7",
	    "LAST 7 weeks", "LAST 7 days ago", "LAST seven days", "LAST days",
	    "LAST 1 2", "LAST 7days", "LAST 0 days"};
	struct room *room = *state;
	size_t i;

	put_ago(room, 1, 0);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_outcome(room, REFUSED, ", was invalid");
		assert_no_keys(room);
		assert_says(room, "greater than zero");
		assert_says(room, "at most 30 days and sends at most 5 keys");
		assert_says(room, "HELP");
		assert_false(room->reply.help);
	}
}

static void
test_too_far_back(void **state)
{
	static const char *const subjects[] = {"LAST 31", "LAST 31 days",
	    "LAST 4294967295", "LAST 4294967296", "LAST 18446744073709551617",
	    "LAST 99999999999999999999999999999999999999999999"};
	struct room *room = *state;
	size_t i;

	put_ago(room, 1, 0);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_refused(room, "at most 30 days and sends at most 5");
		assert_says(room, "more days than");
	}
	room->request.limits.max_last = 1;
	ask(room, "LAST 2");
	assert_refused(room, "at most 1 day and");
	ask(room, "LAST 1");
	assert_outcome(room, DONE, "");
	room->request.limits.max_last = 0;
	ask(room, "LAST 1");
	assert_refused(room, "switched off");
	ask(room, "LAST x");
	assert_refused(room, "switched off");
}

/* One key, of just now: it is sent. */
static void
test_one(void **state)
{
	static const char *const subjects[] = {"LAST 1", "last 1 day",
	    "LAST 1 days", "LAST 30", "LAST 30 DAYS", "LAST 007",
	    "LAST  2  Days "};
	struct room *room = *state;
	struct forged key;
	const struct forged *const want[] = {&key};
	size_t i;

	key = put_ago(room, 1, 0);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
		assert_says(room, "1 key found, attached:\n");
		assert_says(room, "    Alice Example <alice@example.org>\n");
		assert_says(room, "gpg --import");
	}
	ask(room, "LAST 1");
	assert_says(room, "since 2023-11-13 22:13:20 UTC");
}

/* By time of change in the store, the newest change first, whatever the age
 * of the keys. */
static void
test_order(void **state)
{
	struct room *room = *state;
	struct forged key[4];
	const struct forged *const three[] = {&key[3], &key[1], &key[2]};
	unsigned i;

	for (i = 0; i < 4; i++) {
		key[i] = base;
		key[i].seed = 10 + i;
		key[i].created += i * DAY;
	}
	put_at(room, &key[0], FORGE_NOW - 4 * DAY);
	put_at(room, &key[1], FORGE_NOW - 3 * DAY - 1);
	put_at(room, &key[2], FORGE_NOW - 3 * DAY);
	/* An old key that a user ID was added to. */
	key[1].nextra = 1;
	put_at(room, &key[1], FORGE_NOW - 2 * DAY);
	put_at(room, &key[3], FORGE_NOW);
	/* What has nothing new is no change. */
	put_at(room, &key[0], FORGE_NOW);
	ask(room, "LAST 3");
	assert_outcome(room, DONE, "");
	assert_keys(room, three, 3);
	assert_says(room, "the latest change comes first");
	ask(room, "LAST 2");
	assert_keys(room, three, 2);
	ask(room, "LAST 1");
	assert_keys(room, three, 1);
	ask(room, "LAST 4");
	assert_int_equal(room->reply.nkeys, 4);
}

static void
test_nothing(void **state)
{
	struct room *room = *state;
	struct pgp_fpr fpr;
	struct forged key;
	struct pgp_cert *cert;

	ask(room, "LAST 7");
	assert_refused(room, "No matching keys in database\n");
	put_ago(room, 1, 8 * DAY);
	ask(room, "LAST 7");
	assert_refused(room, "No matching keys in database\n");
	assert_says(room, "last changed at 2023-11-06 22:13:20 UTC");
	/* What was deleted since. */
	key = put_ago(room, 2, 0);
	cert = forge(&key);
	assert_non_null(cert);
	fpr = *pgp_cert_fpr(cert);
	pgp_cert_free(cert);
	assert_int_equal(ks_begin(room->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(ks_delete(room->store.ks, &fpr), KS_OK);
	assert_int_equal(ks_commit(room->store.ks), KS_OK);
	ask(room, "LAST 7");
	assert_refused(room, "No matching keys in database\n");
}

static void
test_too_many(void **state)
{
	struct room *room = *state;
	unsigned i;

	for (i = 0; i < 5; i++)
		put_ago(room, 1 + i, 6 * DAY);
	ask(room, "LAST 7");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 5);
	put_ago(room, 9, 0);
	ask(room, "LAST 7");
	assert_refused(room, "Too many keys match: 6.");
	assert_says(room, "at most 5");
	assert_says(room, "fewer days");
	ask(room, "LAST 1");
	assert_outcome(room, DONE, "");
	for (i = 0; i < 5; i++)
		put_ago(room, 20 + i, 0);
	ask(room, "LAST 1");
	assert_refused(room, "Too many keys match: 6.");
	assert_silent(room, "fewer days");
	assert_says(room, "by GET");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROOM_TEST(test_bad_number),
	    ROOM_TEST(test_too_far_back),
	    ROOM_TEST(test_one),
	    ROOM_TEST(test_order),
	    ROOM_TEST(test_nothing),
	    ROOM_TEST(test_too_many),
	};

	return cmocka_run_group_tests_name("last", tests, NULL, NULL);
}
