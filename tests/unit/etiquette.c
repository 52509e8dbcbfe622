/*
 * Which mails are left alone, and to whom an answer goes.
 */
#include "mailkeyd/etiquette.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

static char *aliases[] = {(char[]){"pgp-public-keys@keys.example.org"}, NULL};
static const struct config config = {
    .address = (char[]){"keys@example.org"}, .aliases = aliases};

/* ---- silence ------------------------------------------------------------- */

struct silent_case {
	const char *name;
	const char *want; /* NULL: it may be answered */
	const char *sender;
	const char *from, *reply_to, *auto_submitted, *precedence, *x_loop;
	unsigned nfrom, nsubject, nreceived;
	bool list;
};

#define PERSON "alice@example.net"

static const struct silent_case silent_cases[] = {
    {"a person", NULL, .sender = PERSON, .from = PERSON, .nfrom = 1,
	.nsubject = 1},
    {"no From at all", NULL, .sender = PERSON},
    {"sender not known", NULL, .sender = NULL, .from = PERSON, .nfrom = 1},
    {"a postmaster is a person", NULL, .sender = "postmaster@example.net",
	.from = "postmaster@example.net"},
    {"null sender", "null sender", .sender = "", .from = PERSON},
    {"a postmaster with the null sender", "null sender", .sender = "",
	.from = "postmaster@example.net"},
    {"two From fields", "two From fields", .sender = PERSON, .nfrom = 2},
    {"two Subject fields", "two Subject fields", .sender = PERSON,
	.nsubject = 2},
    {"Auto-Submitted no", NULL, .sender = PERSON, .auto_submitted = "no"},
    {"Auto-Submitted No", NULL, .sender = PERSON, .auto_submitted = "No"},
    {"auto-replied", "Auto-Submitted", .sender = PERSON,
	.auto_submitted = "auto-replied"},
    {"Auto-Submitted without a word", "Auto-Submitted", .sender = PERSON,
	.auto_submitted = ""},
    {"a list", "List field", .sender = PERSON, .list = true},
    {"bulk", "Precedence", .sender = PERSON, .precedence = "bulk"},
    {"junk", "Precedence", .sender = PERSON, .precedence = "junk"},
    {"Precedence list", "Precedence", .sender = PERSON, .precedence = "list"},
    {"first-class", NULL, .sender = PERSON, .precedence = "first-class"},
    {"our X-Loop", "our own X-Loop", .sender = PERSON,
	.x_loop = "keys@example.org"},
    {"our X-Loop in capitals", "our own X-Loop", .sender = PERSON,
	.x_loop = "KEYS@EXAMPLE.ORG"},
    {"our X-Loop between others", "our own X-Loop", .sender = PERSON,
	.x_loop = "a@b\npgp-public-keys@keys.example.org\nc@d"},
    {"others' X-Loop", NULL, .sender = PERSON,
	.x_loop = "a@b\nkeys@example.net\n"},
    {"25 Received", NULL, .sender = PERSON, .nreceived = 25},
    {"26 Received", "too many Received fields", .sender = PERSON,
	.nreceived = 26},
    {"our envelope sender", "our own envelope sender",
	.sender = "keys@example.org"},
    {"an alias as envelope sender", "our own envelope sender",
	.sender = "PGP-public-keys@Keys.example.org"},
    {"our address with an extension", "our own envelope sender",
	.sender = "keys+x@example.org"},
    {"our From", "our own From", .sender = PERSON, .from = "keys@example.org"},
    {"our Reply-To", "our own Reply-To", .sender = PERSON, .from = PERSON,
	.reply_to = "keys+loop@example.org"},
    {"mailer-daemon", "robot as envelope sender",
	.sender = "MAILER-DAEMON@example.net"},
    {"mailer-daemon, no domain", "robot as envelope sender",
	.sender = "MAILER-DAEMON"},
    {"no-reply", "robot as envelope sender", .sender = "no-reply@example.net"},
    {"owner-list", "robot as envelope sender",
	.sender = "owner-list@example.net"},
    {"list-owner", "robot as envelope sender",
	.sender = "list-owner@example.net"},
    {"list-request", "robot as envelope sender",
	.sender = "list-request@example.net"},
    {"list-bounces", "robot as envelope sender",
	.sender = "list-bounces@example.net"},
    {"VERP", "robot as envelope sender",
	.sender = "list-bounces+alice=example.org@example.net"},
    {"a robot's From", "robot in From", .sender = PERSON,
	.from = "no-reply@example.net"},
    {"a robot's Reply-To", "robot in Reply-To", .sender = PERSON,
	.from = PERSON, .reply_to = "list-owner@example.net"},
    {"ownership is a person", NULL, .sender = "ownership@example.net"},
    {"bounces in the middle", NULL, .sender = "a-bounces-b@example.net"},
};

static void
silence(void **state)
{
	const struct silent_case *c = *state;
	const struct mail mail = {.from = (char *)(uintptr_t)c->from,
	    .reply_to = (char *)(uintptr_t)c->reply_to,
	    .auto_submitted = (char *)(uintptr_t)c->auto_submitted,
	    .precedence = (char *)(uintptr_t)c->precedence,
	    .x_loop = (char *)(uintptr_t)c->x_loop,
	    .nfrom = c->nfrom,
	    .nsubject = c->nsubject,
	    .nreceived = c->nreceived,
	    .list = c->list};
	const char *got = etiquette_silent(&mail, c->sender, &config);

	if (c->want == NULL)
		assert_null(got);
	else {
		assert_non_null(got);
		assert_string_equal(got, c->want);
	}
}

/* ---- whom to answer ------------------------------------------------------ */

struct answer_case {
	const char *name;
	const char *reply_to, *sender, *from;
	const char *want; /* NULL: nobody */
};

static const struct answer_case answer_cases[] = {
    {"Reply-To first", "r@example.net", "s@example.net", "f@example.net",
	"r@example.net"},
    {"the envelope sender", NULL, "s@example.net", "f@example.net",
	"s@example.net"},
    {"its extension stays", NULL, "s+keys@example.net", NULL,
	"s+keys@example.net"},
    {"a Reply-To that is a route", "a%b@example.net", "s@example.net", NULL,
	"s@example.net"},
    {"a Reply-To with a slash", "/etc/passwd@example.net", "s@example.net",
	NULL, "s@example.net"},
    {"a Reply-To that is a pipe", "|sh@example.net", "s@example.net", NULL,
	"s@example.net"},
    {"a Reply-To that is an option", "-f@example.net", "s@example.net", NULL,
	"s@example.net"},
    {"a Reply-To without a domain", "root", "s@example.net", NULL,
	"s@example.net"},
    {"a sender that looks like an option", NULL, "-s@example.net", NULL,
	"-s@example.net"},
    {"a bang path: From", NULL, "hub!site!alice", "f@example.net",
	"f@example.net"},
    {"a bang path with a domain: From", NULL, "site!alice@hub.example",
	"f@example.net", "f@example.net"},
    {"a bang path, From is none", NULL, "hub!site!alice", NULL, NULL},
    {"a bang path, From is one too", NULL, "site!alice@hub.example",
	"site!alice@hub.example", NULL},
    {"a bang path, Reply-To", "r@example.net", "hub!alice", "f@example.net",
	"r@example.net"},
    {"a sender without a domain is no reason for From", NULL, "alice",
	"f@example.net", NULL},
    {"a quoted sender", NULL, "\"a b\"@example.net", "f@example.net", NULL},
    {"a source route", NULL, "@a.example,@b.example:s@example.net",
	"f@example.net", NULL},
    {"a line end in the sender", NULL, "s@example.net\r\nBcc: x@example.net",
	NULL, NULL},
    {"sender not known: From", NULL, NULL, "f@example.net", "f@example.net"},
    {"nothing known", NULL, NULL, NULL, NULL},
};

static void
answer(void **state)
{
	const struct answer_case *c = *state;
	const struct mail mail = {.from = (char *)(uintptr_t)c->from,
	    .reply_to = (char *)(uintptr_t)c->reply_to};
	const char *got = etiquette_answer_to(&mail, c->sender);

	if (c->want == NULL)
		assert_null(got);
	else {
		assert_non_null(got);
		assert_string_equal(got, c->want);
	}
}

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

int
main(void)
{
	struct CMUnitTest tests[LENGTH(silent_cases) + LENGTH(answer_cases)];
	size_t n = 0;

	for (size_t i = 0; i < LENGTH(silent_cases); i++)
		tests[n++] = (struct CMUnitTest){silent_cases[i].name, silence,
		    NULL, NULL, (void *)(uintptr_t)&silent_cases[i]};
	for (size_t i = 0; i < LENGTH(answer_cases); i++)
		tests[n++] = (struct CMUnitTest){answer_cases[i].name, answer,
		    NULL, NULL, (void *)(uintptr_t)&answer_cases[i]};
	return cmocka_run_group_tests_name("etiquette", tests, NULL, NULL);
}
