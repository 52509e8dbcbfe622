/*
 * Addresses: which may be answered, with a corpus of injections.
 */
#include "mailkeyd/mail.h"
#include "mailkeyd/mail_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define L10 "aaaaaaaaaa"
#define L60 L10 L10 L10 L10 L10 L10
#define D60 L10 L10 L10 L10 L10 "aaaaaaaaa."

static const struct {
	const char *name, *address;
	bool strict, envelope;
} addresses[] = {
    {"plain", "alice@example.org", true, true},
    {"extension", "alice+keys@example.org", true, true},
    {"dots", "a.l.i.c.e@sub.example.org", true, true},
    {"odd atext", "a#$&'*=?^_`{}~b@example.org", true, true},
    {"one label", "root@localhost", true, true},
    {"digits and hyphen", "1@1-2.example", true, true},
    {"literal", "a@[192.0.2.1]", true, true},
    {"IPv6 literal", "a@[IPv6:2001:db8::1]", true, true},
    {"empty", "", false, false},
    {"no at", "alice", false, false},
    {"no local part", "@example.org", false, false},
    {"no domain", "alice@", false, false},
    {"two at", "a@b@c", false, false},
    {"source route", "@a.example:b@c.example", false, false},
    {"percent", "a%b@example.org", false, true},
    {"bang path", "site!user@site", false, false},
    {"bare bang path", "site!user", false, false},
    {"pipe", "|touch@example.org", false, true},
    {"file", "/etc/passwd@example.org", false, true},
    {"option", "--help@example.org", false, true},
    {"hyphen inside", "a-b@example.org", true, true},
    {"blank", "a b@example.org", false, false},
    {"quoted", "\"a b\"@example.org", false, false},
    {"leading dot", ".a@example.org", false, false},
    {"trailing dot", "a.@example.org", false, false},
    {"two dots", "a..b@example.org", false, false},
    {"CR LF", "a@example.org\r\nBcc: x@example.net", false, false},
    {"LF", "a@example.org\nBcc:x", false, false},
    {"LF in local part", "a\nb@example.org", false, false},
    {"CR", "a\r@example.org", false, false},
    {"angle", "a@b>\r\nRCPT TO:<evil@example.net", false, false},
    {"angle alone", "a@example.org>", false, false},
    {"comma", "a@example.org,b@example.org", false, false},
    {"semicolon", "a;b@example.org", false, false},
    {"semicolon in domain", "a@example.org;x", false, false},
    {"colon", "a:b@example.org", false, false},
    {"parentheses", "a(b)@example.org", false, false},
    {"backslash", "a\\b@example.org", false, false},
    {"control", "a\001@example.org", false, false},
    {"DEL", "a\177@example.org", false, false},
    {"tab", "a\tb@example.org", false, false},
    {"UTF-8 local part", "j\xc3\xb6rg@example.org", false, false},
    {"UTF-8 domain", "a@ex\xc3\xa4mple.org", false, false},
    {"Latin-1", "j\xf6rg@example.org", false, false},
    {"underscore in domain", "a@ex_ample.org", false, false},
    {"domain begins with hyphen", "a@-example.org", false, false},
    {"label ends with hyphen", "a@example-.org", false, false},
    {"domain ends with hyphen", "a@example.org-", false, false},
    {"domain begins with dot", "a@.example.org", false, false},
    {"domain ends with dot", "a@example.org.", false, false},
    {"domain of two dots", "a@example..org", false, false},
    {"domain with percent", "a@b%c.example", false, false},
    {"literal that is none", "a@[example.org]", false, false},
    {"literal with junk", "a@[192.0.2.1\r\n]", false, false},
    {"literal without end", "a@[192.0.2.1", false, false},
    {"empty literal", "a@[]", false, false},
    {"local part of 64", L60 "aaaa@example.org", true, true},
    {"local part of 65", L60 "aaaaa@example.org", false, false},
    {"254 octets", "a@" D60 D60 D60 D60 "aaaaaaaaa.aa", true, true},
    {"255 octets", "a@" D60 D60 D60 D60 "aaaaaaaaa.aaa", false, false},
    {"label of 63", "a@" L60 "aaa.org", true, true},
    {"label of 64", "a@" L60 "aaaa.org", false, false},
};

static void
test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const char *s = addresses[i].address;

		if (mail_address_strict(s) != addresses[i].strict ||
		    mail_address_envelope(s) != addresses[i].envelope)
			fail_msg("%s", addresses[i].name);
	}
	assert_int_equal(strlen("a@" D60 D60 D60 D60 "aaaaaaaaa.aa"), 254);
}

static void
test_robots(void **state)
{
	static const char *const robots[] = {"MAILER-DAEMON",
	    "mailer-daemon@example.org", "No-Reply@example.org",
	    "noreply@example.org", "owner-list@example.org",
	    "list-owner@example.org", "list-request@example.org",
	    "list-bounces@example.org",
	    "list-bounces+alice=example.net@example.org"};
	static const char *const people[] = {"alice@example.org",
	    "postmaster@example.org", "owner@example.org",
	    "request@example.org", "alice@list-owner.example", "",
	    "bounces@example.org", "alice+owner-x@example.org",
	    "mailer-daemons@example.org"};

	(void)state;
	for (size_t i = 0; i < sizeof(robots) / sizeof(robots[0]); i++)
		if (!mail_address_robot(robots[i]))
			fail_msg("%s", robots[i]);
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++)
		if (mail_address_robot(people[i]))
			fail_msg("%s", people[i]);
}

/* What From and Reply-To may look like; NULL: no one valid address. */
static const struct {
	const char *value, *address;
} fields[] = {
    {"a@b.c", "a@b.c"},
    {"<a@b.c>", "a@b.c"},
    {" < a@b.c > ", "a@b.c"},
    {"Alice Example <a@b.c>", "a@b.c"},
    {"\"Example, Alice\" <a@b.c>", "a@b.c"},
    {"\"a <x@y.z>\" <a@b.c>", "a@b.c"},
    {"\"a \\\" <x@y.z>\" <a@b.c>", "a@b.c"},
    {"Dr. X <a@b.c>", "a@b.c"},
    {"a@b.c (Alice)", "a@b.c"},
    {"(Alice) a@b.c", "a@b.c"},
    {"(A (nested) \\) one) <a@b.c> (and (more))", "a@b.c"},
    {"=?utf-8?Q?J=C3=B6rg?= <a@b.c>", "a@b.c"},
    {"J\xc3\xb6rg <a@b.c>", "a@b.c"},
    {"J\xf6rg <a@b.c>", "a@b.c"},
    {"", NULL},
    {"<>", NULL},
    {" <>", NULL},
    {"Alice", NULL},
    {"Alice Example,,, <alice>", NULL},
    {"Alice Example,,, <alice@example.org>", NULL},
    {"Foo Bar <broken", NULL},
    {"Foo <a@b.c", NULL},
    {"a@b.c, d@e.f", NULL},
    {"a@b.c,", NULL},
    {"Friends: a@b.c;", NULL},
    {"undisclosed: ;", NULL},
    {"a@b.c junk", NULL},
    {"<a@b.c> junk", NULL},
    {"<a@b.c> <d@e.f>", NULL},
    {"a @ b.c", NULL},
    {"x@y.z <a@b.c>", NULL},
    {"<@x.y:a@b.c>", NULL},
    {"site!user@site", NULL},
    {"\"a b\"@c", NULL},
    {"\"no end <a@b.c>", NULL},
    {"(no end <a@b.c>", NULL},
    {"a%b@c.d", NULL},
    {"-a@b.c", NULL},
    {"Alice <a@b.c", NULL},
    {"Alice > <a@b.c>", NULL},
};

static void
test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char *address;
		bool good;

		assert_int_equal(
		    mail_header_address(fields[i].value, &address), 0);
		if (address == NULL || fields[i].address == NULL)
			good = address == fields[i].address;
		else
			good = strcmp(address, fields[i].address) == 0;
		if (!good)
			fail_msg("%s: %s", fields[i].value,
			    address == NULL ? "(none)" : address);
		free(address);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_robots),
	    cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
