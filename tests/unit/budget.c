/*
 * How many answers an address, an envelope sender and a domain may get.
 */
#include "mailkeyd/budget.h"
#include "handlers/handler.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#define HOUR 3600
#define NOW  (1700000000 / HOUR * HOUR) /* an hour begins */

static struct tempstore store;

static int
setup(void **state)
{
	(void)state;
	return tempstore_open(&store);
}

static int
teardown(void **state)
{
	(void)state;
	return tempstore_close(&store);
}

/* Counts `n` answers, each of so many octets, and help texts. */
static void
spend(const struct budget *b, unsigned n, struct limit_count each)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ks_begin(store.ks, KS_ROOM_QUERY), KS_OK);
		assert_int_equal(budget_add(b, &each), KS_OK);
		assert_int_equal(ks_commit(store.ks), KS_OK);
	}
}

static bool
spent(const struct budget *b, unsigned *helps)
{
	enum budget_whose over;
	unsigned ignored;

	assert_int_equal(ks_begin(store.ks, KS_ROOM_QUERY), KS_OK);
	assert_int_equal(
	    budget_get(b, &over, helps == NULL ? &ignored : helps), KS_OK);
	ks_abort(store.ks);
	return over != BUDGET_LEFT;
}

struct who {
	const char *answer_to, *sender;
	time_t later; /* seconds after NOW */
};

/* One limit of 3 is used up by one, and looked at by another. */
struct budget_case {
	const char *name;
	struct config_limits limits;
	struct limit_count each;
	unsigned n;
	struct who first, then;
	bool want;
};

#define ALICE "alice@example.net"
#define BOB   "bob@example.net"
#define EVE   "eve@example.com"
#define ONE                                                                    \
	{                                                                      \
		.replies = 1, .octets = 1000                                   \
	}

static const struct budget_case cases[] = {
    {"nobody has a limit", {.replies_per_hour = 0}, ONE, 50, {ALICE, ALICE, 0},
	{ALICE, ALICE, 0}, false},
    {"one below the hour's", {.replies_per_hour = 3}, ONE, 2, {ALICE, ALICE, 0},
	{ALICE, ALICE, 0}, false},
    {"the hour's", {.replies_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{ALICE, ALICE, 0}, true},
    {"case is no way out", {.replies_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{"ALICE@Example.NET", NULL, 0}, true},
    {"the next hour", {.replies_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{ALICE, ALICE, HOUR}, false},
    {"the day's, in the next hour", {.replies_per_day = 3}, ONE, 3,
	{ALICE, ALICE, 0}, {ALICE, ALICE, HOUR}, true},
    {"the day's, on the next day", {.replies_per_day = 3}, ONE, 3,
	{ALICE, ALICE, 0}, {ALICE, ALICE, 24 * HOUR}, false},
    {"one octet below the day's", {.bytes_per_day = 3001}, ONE, 3,
	{ALICE, ALICE, 0}, {ALICE, ALICE, HOUR}, false},
    {"the day's octets", {.bytes_per_day = 3000}, ONE, 3, {ALICE, ALICE, 0},
	{ALICE, ALICE, HOUR}, true},
    {"another of the domain", {.replies_per_hour = 3}, ONE, 3,
	{ALICE, ALICE, 0}, {BOB, BOB, 0}, false},
    {"the domain's", {.domain_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{BOB, BOB, 0}, true},
    {"the domain's counts an answer once", {.domain_per_hour = 4}, ONE, 3,
	{ALICE, BOB, 0}, {BOB, ALICE, 0}, false},
    {"the domain's has no day", {.domain_per_hour = 3}, ONE, 3,
	{ALICE, ALICE, 0}, {BOB, BOB, HOUR}, false},
    {"another domain", {.domain_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{EVE, EVE, 0}, false},
    {"a victim in Reply-To", {.replies_per_hour = 3}, ONE, 3, {ALICE, EVE, 0},
	{ALICE, "mallory@example.org", 0}, true},
    {"the sender of many Reply-Tos", {.replies_per_hour = 3}, ONE, 3,
	{ALICE, EVE, 0}, {BOB, EVE, 0}, true},
    {"the sender's domain", {.domain_per_hour = 3}, ONE, 3, {ALICE, EVE, 0},
	{"carol@example.org", "mallory@example.com", 0}, true},
    {"sender not known", {.replies_per_hour = 3}, ONE, 3, {ALICE, NULL, 0},
	{ALICE, NULL, 0}, true},
    {"a bang path", {.replies_per_hour = 3}, ONE, 3, {ALICE, "hub!alice", 0},
	{BOB, "hub!alice", 0}, true},
    {"an extension is no way out", {.replies_per_hour = 3}, ONE, 3,
	{"alice+1@example.net", "Alice+a@example.net", 0},
	{"alice+2+3@example.net", NULL, 0}, true},
    {"a plus at the beginning is none", {.replies_per_hour = 3}, ONE, 3,
	{"+1@example.net", NULL, 0}, {"+2@example.net", NULL, 0}, false},
    {"one octet below the domain's", {.domain_bytes_per_day = 3001}, ONE, 3,
	{ALICE, ALICE, 0}, {BOB, BOB, HOUR}, false},
    {"the domain's octets", {.domain_bytes_per_day = 3000}, ONE, 3,
	{ALICE, ALICE, 0}, {BOB, BOB, HOUR}, true},
    {"one below the server's", {.server_per_hour = 4}, ONE, 3,
	{ALICE, ALICE, 0}, {EVE, EVE, 0}, false},
    {"the server's", {.server_per_hour = 3}, ONE, 3, {ALICE, ALICE, 0},
	{EVE, EVE, 0}, true},
    {"the server's, in the next hour", {.server_per_hour = 3}, ONE, 3,
	{ALICE, ALICE, 0}, {EVE, EVE, HOUR}, false},
    {"the server's octets", {.server_bytes_per_day = 3000}, ONE, 3,
	{ALICE, ALICE, 0}, {EVE, EVE, HOUR}, true},
    {"0 octets of an address", {.bytes_per_day = 0, .domain_per_hour = 99}, ONE,
	50, {ALICE, ALICE, 0}, {ALICE, ALICE, 0}, false},
    {"no domain's by an address without one", {.domain_per_hour = 3}, ONE, 3,
	{EVE, "example.net", 0}, {ALICE, ALICE, 0}, false},
    {"one spelling of IPv6", {.domain_per_hour = 3}, ONE, 3,
	{EVE, "a@[IPv6:2001:0DB8:0::1]", 0}, {BOB, "b@[IPv6:2001:db8::1]", 0},
	true},
    {"one longer than it was", {.domain_per_hour = 3}, ONE, 3,
	{EVE, "a@[IPv6:::ffff:ffff:ffff]", 0},
	{BOB, "b@[ipv6:::FFFF:255.255.255.255]", 0}, true},
    {"another address of IPv6", {.domain_per_hour = 3}, ONE, 3,
	{EVE, "a@[IPv6:2001:db8::1]", 0}, {BOB, "b@[IPv6:2001:db8::2]", 0},
	false},
    {"what is no address of IPv6", {.domain_per_hour = 3}, ONE, 3,
	{EVE, "a@[IPv6:2001:db8::x]", 0}, {BOB, "b@[IPv6:2001:db8::x]", 0},
	true},
    {"no other of the same name", {.replies_per_hour = 3}, ONE, 3,
	{"a@example.net", NULL, 0}, {"aa@example.net", NULL, 0}, false},
};

static struct budget
budget_of(const struct config_limits *limits, const struct who *who)
{
	return (struct budget){.ks = store.ks,
	    .limits = limits,
	    .answer_to = who->answer_to,
	    .sender = who->sender,
	    .now = NOW + who->later};
}

static void
limit(void **state)
{
	const struct budget_case *c = *state;
	struct budget first = budget_of(&c->limits, &c->first);
	struct budget then = budget_of(&c->limits, &c->then);

	assert_false(spent(&first, NULL));
	spend(&first, c->n, c->each);
	assert_int_equal(spent(&then, NULL), c->want);
}

/* What an LMTP client may call itself counts for nobody else. */
static void
no_other_counter(void **state)
{
	static const char *const theirs[] = {"sync alfa", "all answers"};
	static const char *const senders[] = {"sync alfa", "Sync Alfa",
	    "x@sync alfa", "all answers", "x@all answers"};
	const struct config_limits limits = {.replies_per_hour = 9};
	struct limit_count hour, day;

	(void)state;
	for (size_t i = 0; i < sizeof(senders) / sizeof(*senders); i++) {
		const struct who who = {ALICE, senders[i], 0};
		struct budget b = budget_of(&limits, &who);

		spend(&b, 1, (struct limit_count)ONE);
	}
	for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++) {
		assert_int_equal(
		    limit_get(store.ks, theirs[i], NOW, &hour, &day), KS_OK);
		assert_int_equal(day.replies, 0);
	}
}

/* The help texts of a day: the most that either address got. */
static void
helps_of_a_day(void **state)
{
	const struct config_limits limits = {0};
	const struct who alice = {ALICE, ALICE, 0}, both = {BOB, ALICE, 0};
	const struct who tomorrow = {BOB, ALICE, 24 * HOUR};
	const struct who bob = {BOB, BOB, 0};
	struct budget b = budget_of(&limits, &alice);
	unsigned helps = 9;

	(void)state;
	spent(&b, &helps);
	assert_int_equal(helps, 0);
	spend(&b, 2, (struct limit_count){.replies = 1, .helps = 1});
	spend(&b, 1, (struct limit_count){.replies = 1});
	b = budget_of(&limits, &both);
	spent(&b, &helps);
	assert_int_equal(helps, 2);
	b = budget_of(&limits, &bob);
	spent(&b, &helps);
	assert_int_equal(helps, 0);
	b = budget_of(&limits, &tomorrow);
	spent(&b, &helps);
	assert_int_equal(helps, 0);
}

/* One mail that is no command, and what is said to it. */
enum said { WHOLE, SHORT, NOTHING };

static const struct {
	struct who who;
	enum said said;
} help_mails[] = {
    {{ALICE, ALICE, 0}, WHOLE},
    {{ALICE, ALICE, 1}, SHORT},
    {{EVE, EVE, 1}, WHOLE},
    {{ALICE, ALICE, HOUR}, SHORT},
    {{BOB, ALICE, HOUR}, SHORT},
    {{ALICE, ALICE, HOUR}, NOTHING},
    {{BOB, BOB, HOUR}, SHORT},
    {{EVE, EVE, 24 * HOUR - 1}, SHORT},
    {{ALICE, ALICE, 24 * HOUR - 1}, NOTHING},
    /* A day later the first two count no longer, the others still do. */
    {{ALICE, ALICE, 24 * HOUR}, SHORT},
    {{ALICE, ALICE, 49 * HOUR}, WHOLE},
    {{ALICE, ALICE, 50 * HOUR}, SHORT},
    {{EVE, EVE, 50 * HOUR}, WHOLE},
};

static enum said
say(const struct budget *b)
{
	struct request request = {.address = "keys@example.org",
	    .site = "",
	    .admin = "",
	    .language = "en",
	    .version = "0",
	    .now = b->now};
	enum said said = NOTHING;
	struct reply reply;

	spent(b, &request.helps_today);
	if (budget_helps_spent(request.helps_today))
		return NOTHING;
	assert_null(request_parse("Delivery failed", &request));
	assert_int_equal(reply_new(&reply), 0);
	assert_int_equal(
	    command_invalid.run(store.ks, &request, &reply), REFUSED);
	assert_int_equal(reply_finish(&reply), 0);
	spend(b, 1, (struct limit_count){.replies = 1, .helps = reply.help});
	said = reply.text_len < 200 ? SHORT : WHOLE;
	reply_free(&reply);
	request_free(&request);
	return said;
}

/* The help text unasked for: once a day for an address, whatever the clock. */
static void
help_once_a_day(void **state)
{
	const struct config_limits limits = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(help_mails) / sizeof(*help_mails); i++) {
		struct budget b = budget_of(&limits, &help_mails[i].who);
		enum said said = say(&b);

		if (said != help_mails[i].said)
			fail_msg("mail %zu: %d, not %d", i, (int)said,
			    (int)help_mails[i].said);
	}
}

/* Longer than an address may be: cut, not overrun. */
static void
long_names(void **state)
{
	const struct config_limits limits = {.replies_per_hour = 1};
	char name[2000];
	const struct who who = {ALICE, name, 0};
	struct budget b;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[1500] = '@';
	name[sizeof(name) - 1] = '\0';
	b = budget_of(&limits, &who);
	spend(&b, 1, (struct limit_count){.replies = 1});
	assert_true(spent(&b, NULL));
}

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

int
main(void)
{
	struct CMUnitTest tests[LENGTH(cases) + 4];
	size_t n = 0;

	for (size_t i = 0; i < LENGTH(cases); i++)
		tests[n++] = (struct CMUnitTest){cases[i].name, limit, setup,
		    teardown, (void *)(uintptr_t)&cases[i]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(
	    no_other_counter, setup, teardown);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(
	    helps_of_a_day, setup, teardown);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(
	    help_once_a_day, setup, teardown);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test_setup_teardown(
	    long_names, setup, teardown);
	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
