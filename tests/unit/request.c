/*
 * Subjects as people and programs send them, to commands and arguments.
 */
#include "handlers/handler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

struct subject {
	const char *name, *subject;
	const char *command; /* NULL: none */
	const char *word, *argument;
};

static const struct subject subjects[] = {
    {"plain help", "HELP", "HELP", "HELP", ""},
    {"lower case", "help", "HELP", "HELP", ""},
    {"mixed case", "hElP", "HELP", "HELP", ""},
    {"help in a language", "HELP de", "HELP", "HELP", "de"},
    {"help with a path", "HELP ../../etc/passwd", "HELP", "HELP",
	"../../etc/passwd"},
    {"longer word than help", "HELPME", NULL, "HELPME", ""},
    {"help with a full stop", "HELP.", NULL, "HELP.", ""},

    {"add", "ADD", "ADD", "ADD", ""},
    {"add with trailing words", "ADD my new key", "ADD", "ADD", "my new key"},
    {"longer word than add", "ADDENDUM to the minutes", NULL, "ADDENDUM",
	"to the minutes"},
    {"add, blanks around", "  ADD \t ", "ADD", "ADD", ""},

    {"get by id, as gpgkeys_mailto", "GET 0xFA7EFB96", "GET", "GET",
	"0xFA7EFB96"},
    {"get, trailing blanks", "GET 0xFA7EFB96  ", "GET", "GET", "0xFA7EFB96"},
    {"get, folds left in", "GET\r\n 0xFA7EFB96\r\n", "GET", "GET",
	"0xFA7EFB96"},
    {"get, a tab", "GET\t0xFA7EFB96", "GET", "GET", "0xFA7EFB96"},
    {"get, many blanks", "   GET    alice   \t  example  ", "GET", "GET",
	"alice example"},
    {"get, no-break spaces",
	"GET\xc2\xa0"
	"94FA\xc2\xa0\xc2\xa0"
	"37E2",
	"GET", "GET", "94FA 37E2"},
    {"get, ideographic space",
	"GET\xe3\x80\x80"
	"alice",
	"GET", "GET", "alice"},
    {"get without argument", "GET", "GET", "GET", ""},
    {"get, empty quotes", "GET \"\"", "GET", "GET", ""},
    {"get, quotes around a blank", "GET \" \"", "GET", "GET", ""},
    {"get, single quotes", "GET ''", "GET", "GET", ""},
    {"get, a literal", "GET \"Alice  Ex\"", "GET", "GET", "\"Alice Ex\""},
    {"get, angle brackets", "get <alice@example.org>", "GET", "GET",
	"<alice@example.org>"},
    {"get, UTF-8", "GET M\xc3\xbcller", "GET", "GET", "M\xc3\xbcller"},
    {"get, broken UTF-8", "GET M\xfcller\xc3", "GET", "GET", "M\xfcller\xc3"},
    {"get keeps the case", "get Alice EXAMPLE", "GET", "GET", "Alice EXAMPLE"},
    {"gettysburg", "GETTYSBURG address", NULL, "GETTYSBURG", "address"},
    {"get with a colon", "GET: alice", NULL, "GET:", "alice"},
    {"quotes around a command", "\"GET alice\"", NULL, "\"GET", "alice\""},
    {"option injection", "INDEX --help", "INDEX", "INDEX", "--help"},

    {"index", "index alice", "INDEX", "INDEX", "alice"},
    {"index without argument", "INDEX ", "INDEX", "INDEX", ""},
    {"indexes", "INDEXES alice", NULL, "INDEXES", "alice"},
    {"verbose index", "VERBOSE INDEX alice", "VERBOSE INDEX", "VERBOSE INDEX",
	"alice"},
    {"verbose index, blanks", "verbose \t  Index\talice", "VERBOSE INDEX",
	"VERBOSE INDEX", "alice"},
    {"verbose index, folded", "VERBOSE\r\n INDEX", "VERBOSE INDEX",
	"VERBOSE INDEX", ""},
    {"verbose alone", "VERBOSE", NULL, "VERBOSE", ""},
    {"verbose something", "VERBOSE alice", NULL, "VERBOSE", "alice"},
    {"verbose indexes", "VERBOSE INDEXES a", NULL, "VERBOSE", "INDEXES a"},
    {"verboseindex", "VERBOSEINDEX alice", NULL, "VERBOSEINDEX", "alice"},
    {"vindex", "vindex alice", "VINDEX", "VINDEX", "alice"},

    {"re", "Re: GET alice", "GET", "GET", "alice"},
    {"re without a blank", "RE:GET alice", "GET", "GET", "alice"},
    {"re, a blank before the colon", "Re : HELP", "HELP", "HELP", ""},
    {"re, counted", "Re[2]: HELP", "HELP", "HELP", ""},
    {"re, badly counted", "Re[x]: HELP", NULL, "RE[X]:", "HELP"},
    {"re, count not closed", "Re[2: HELP", NULL, "RE[2:", "HELP"},
    {"re, again and again", "Re: re:RE: AW: Fwd: HELP", "HELP", "HELP", ""},
    {"fwd", "Fwd: HELP", "HELP", "HELP", ""},
    {"fw", "FW: HELP", "HELP", "HELP", ""},
    {"aw", "AW: HELP", "HELP", "HELP", ""},
    {"sv", "Sv: HELP", "HELP", "HELP", ""},
    {"vs", "VS: HELP", "HELP", "HELP", ""},
    {"wg", "WG: HELP", "HELP", "HELP", ""},
    {"a list tag", "[pgp-keys] HELP", "HELP", "HELP", ""},
    {"a list tag with a blank", "[pgp keys 12]HELP", "HELP", "HELP", ""},
    {"a list tag with a colon", "Re: [keys]: GET alice", "GET", "GET", "alice"},
    {"a list tag, a blank, a colon", "[keys] :HELP", "HELP", "HELP", ""},
    {"a list tag with two colons", "[keys]:: HELP", NULL, ":", "HELP"},
    {"a list tag and a colon only", "[keys]:", NULL, "", ""},
    {"tags and prefixes", "[a] Re: [b] Fwd:[c] GET alice", "GET", "GET",
	"alice"},
    {"a tag not closed", "[pgp HELP", NULL, "[PGP", "HELP"},
    {"a tag behind the command", "GET [alice]", "GET", "GET", "[alice]"},
    {"a prefix behind the command", "GET Re: alice", "GET", "GET", "Re: alice"},
    {"a prefix without a colon", "Re GET alice", NULL, "RE", "GET alice"},
    {"regarding", "Regarding: HELP", NULL, "REGARDING:", "HELP"},
    {"only a prefix", "Re: ", NULL, "", ""},
    {"only a tag", "[x]", NULL, "", ""},
    {"only r", "r", NULL, "R", ""},

    {"no subject", NULL, NULL, "", ""},
    {"empty", "", NULL, "", ""},
    {"blanks only", " \t\r\n ", NULL, "", ""},
    {"our own answer", "Your command, GET alice", NULL, "YOUR",
	"command, GET alice"},
    {"our answer answered", "Re: Your command, HELP, was invalid", NULL, "YOUR",
	"command, HELP, was invalid"},
    {"a virus", "Delivery failed", NULL, "DELIVERY", "failed"},
    {"incremental spam", "Incremental update of your mailbox", NULL,
	"INCREMENTAL", "update of your mailbox"},
    {"incremental", "incremental", "INCREMENTAL", "INCREMENTAL", ""},
    {"incremental, blanks", " Incremental  ", "INCREMENTAL", "INCREMENTAL", ""},
    {"incremental, longer", "Incrementally", NULL, "INCREMENTALLY", ""},
    {"last", "LAST 7 days", "LAST", "LAST", "7 days"},
    {"last of all", "LASTING offer", NULL, "LASTING", "offer"},
    {"mget", "mget alice|bob", "MGET", "MGET", "alice|bob"},
    {"stats", "Stats", "STATS", "STATS", ""},
    {"delete", "Delete my key", "DELETE", "DELETE", "my key"},
    {"deleted", "Deleted items", NULL, "DELETED", "items"},
    {"unsubscribe", "unsubscribe", "UNSUBSCRIBE", "UNSUBSCRIBE", ""},
    {"dotless i is no i", "\xc4\xb1NDEX alice", NULL, "\xc4\xb1NDEX", "alice"},
    {"dotted I is no i", "\xc4\xb0NDEX alice", NULL, "\xc4\xb0NDEX", "alice"},
    {"half a blank at the end", "HELP\xc2", NULL, "HELP\xc2", ""},
    {"the name of no command", " command_invalid", NULL, "COMMAND_INVALID", ""},
};

static void
test_subject(void **state)
{
	const struct subject *t = *state;
	const struct command *command;
	struct request request;

	command = request_parse(t->subject, &request);
	assert_non_null(request.word);
	assert_non_null(request.argument);
	assert_string_equal(request.word, t->word);
	assert_string_equal(request.argument, t->argument);
	if (t->command == NULL) {
		assert_null(command);
	} else {
		assert_non_null(command);
		assert_string_equal(command->name, t->command);
	}
	request_free(&request);
	assert_null(request.word);
	assert_null(request.argument);
}

/* A field may be 16 KiB; time must not grow with its square. */
static void
test_long(void **state)
{
	const size_t len = 1 << 20;
	static const char *const parts[] = {"Re:", "[", "[]", "Re[1]: ", "   "};
	struct request request;
	char *s;
	size_t i, j, n;

	(void)state;
	s = malloc(len + 1);
	assert_non_null(s);
	for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		n = strlen(parts[i]);
		for (j = 0; j < len; j++)
			s[j] = parts[i][j % n];
		s[len] = '\0';
		assert_null(request_parse(s, &request));
		assert_non_null(request.word);
		request_free(&request);
	}
	memset(s, 'a', len);
	memcpy(s, "GET ", 4);
	assert_non_null(request_parse(s, &request));
	assert_int_equal(strlen(request.argument), len - 4);
	request_free(&request);
	free(s);
}

/* What HELP and the log rely on. */
static void
test_table(void **state)
{
	const struct command *found;
	size_t i, len;

	(void)state;
	for (i = 0; commands[i] != NULL; i++) {
		assert_true(commands[i]->name[0] != '\0');
		assert_non_null(commands[i]->argument);
		assert_non_null(commands[i]->summary);
		assert_non_null(commands[i]->run);
		found = command_find(commands[i]->name, &len);
		assert_ptr_equal(found, commands[i]);
		assert_int_equal(len, strlen(commands[i]->name));
	}
	assert_true(i >= 6);
	assert_non_null(command_invalid.run);
}

int
main(void)
{
	enum { N = sizeof subjects / sizeof subjects[0] };
	struct CMUnitTest tests[N + 2];
	size_t i;

	memset(tests, 0, sizeof tests);
	for (i = 0; i < N; i++) {
		tests[i].name = subjects[i].name;
		tests[i].test_func = test_subject;
		tests[i].initial_state = (void *)(uintptr_t)&subjects[i];
	}
	tests[N] = (struct CMUnitTest)cmocka_unit_test(test_long);
	tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(test_table);
	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
