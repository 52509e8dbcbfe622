/*
 * HELP in every language: what a reader of each must find in it, and how a
 * language is asked for.
 */
#include "handlers/help.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>
#include <unistr.h>
#include <uniwidth.h>

#include <cmocka.h>

#define COLUMNS 76
#define ADDRESS "pgp-public-keys@keys.example.org"
#define ADMIN	"hostmaster@keys.example.org"

static struct request
request_of(const char *language)
{
	return (struct request){
	    .sender = "somebody@example.org",
	    .address = ADDRESS,
	    .site = "Example key server",
	    .admin = ADMIN,
	    .language = language,
	    .limits = {.max_reply_keys = 11,
		.keys_per_mail = 53,
		.max_last = 31,
		.max_last_reply_keys = 107,
		.reply_size = 2 << 20},
	};
}

/* Asks, without a store: HELP needs none. */
static void
answer(struct request *request, const char *subject, struct reply *reply)
{
	const struct command *command;

	assert_int_equal(reply_new(reply), 0);
	command = request_parse(subject, request);
	assert_non_null(request->word);
	if (command == NULL)
		command = &command_invalid;
	command->run(NULL, request, reply);
	assert_int_equal(reply_finish(reply), 0);
	request_free(request);
}

static void
help_in(const struct help_language *t, struct reply *reply)
{
	struct request request = request_of(NULL);
	char subject[40];

	snprintf(subject, sizeof subject, "HELP %s", t->code);
	answer(&request, subject, reply);
}

/* ---- every language ------------------------------------------------------ */

#define FIELD(name)                                                            \
	{                                                                      \
#name, offsetof(struct help_language, name)                    \
	}

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
    FIELD(code),
    FIELD(what),
    FIELD(ask),
    FIELD(send_to),
    FIELD(how),
    FIELD(commands),
    FIELD(who),
    FIELD(address),
    FIELD(fpr),
    FIELD(long_id),
    FIELD(short_id),
    FIELD(words),
    FIELD(literal),
    FIELD(who_note),
    FIELD(add),
    FIELD(add_how),
    FIELD(add_note),
    FIELD(limits),
    FIELD(reply_keys),
    FIELD(last_days),
    FIELD(last_keys),
    FIELD(add_keys),
    FIELD(no_list),
    FIELD(no_owner),
    FIELD(questions),
    FIELD(languages),
    FIELD(no_command),
    FIELD(unknown),
    FIELD(pointer),
};
#define NFIELDS (sizeof fields / sizeof fields[0])

static const char *
field(const struct help_language *t, size_t i)
{
	const char *s;

	memcpy(&s, (const char *)t + fields[i].offset, sizeof s);
	return s;
}

/* Every text is there, as one that was written for this language, with the
 * mark for a number where one belongs and nowhere else. */
static void
fields_are_there(void **state)
{
	const struct help_language *t, *en = help_find("en");
	size_t i, k, marks;
	const char *s, *p;

	(void)state;
	/* One field more, and this test has to know it. */
	assert_int_equal(
	    sizeof(struct help_language) - sizeof t->names - sizeof t->summary,
	    NFIELDS * sizeof(char *));
	for (i = 0; (t = help_languages[i]) != NULL; i++)
		for (k = 0; k < NFIELDS; k++) {
			s = field(t, k);
			if (s == NULL || *s == '\0')
				fail_msg("%s: no %s", t->code, fields[k].name);
			if (t != en && strcmp(s, field(en, k)) == 0)
				fail_msg("%s: %s is English", t->code,
				    fields[k].name);
			for (marks = 0, p = s; *p != '\0'; p++)
				marks += *p == '#';
			if (marks != (s == t->reply_keys || s == t->last_days ||
					 s == t->last_keys || s == t->add_keys))
				fail_msg("%s: %zu # in %s", t->code, marks,
				    fields[k].name);
		}
}

/* Columns of a line; characters that are wide in East Asia only count as wide
 * in its languages. */
static int
columns(const struct help_language *t, const char *s, size_t len)
{
	static const char *const wide[] = {"ja", "ko", "zh-cn", "zh-tw"};
	const char *encoding = "UTF-8";
	size_t i;

	for (i = 0; i < sizeof wide / sizeof wide[0]; i++)
		if (strcmp(t->code, wide[i]) == 0)
			encoding = "EUC-JP";
	return u8_width((const uint8_t *)s, len, encoding);
}

/* Lines of visible characters, none too wide, no blank at an end, no two empty
 * ones together. */
static void
assert_lines(const struct help_language *t, const char *text)
{
	const char *s;
	size_t len, i;
	int width;

	for (s = text; *s != '\0'; s += len + 1) {
		len = strcspn(s, "\n");
		if (s[len] != '\n')
			fail_msg("%s: no line feed behind %s", t->code, s);
		width = columns(t, s, len);
		if (width > COLUMNS)
			fail_msg("%s: %d columns: %.*s", t->code, width,
			    (int)len, s);
		if (len > 0 && s[len - 1] == ' ')
			fail_msg(
			    "%s: ends in a blank: %.*s", t->code, (int)len, s);
		if (len == 0 && s[1] == '\n')
			fail_msg("%s: two empty lines before %s", t->code, s);
		for (i = 0; i < len; i++)
			if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F)
				fail_msg("%s: control character in %.*s",
				    t->code, (int)len, s);
	}
}

static void
assert_composed(const struct help_language *t, const char *s)
{
	size_t len = strlen(s), n = 0;
	uint8_t *nfc;

	if (u8_check((const uint8_t *)s, len) != NULL)
		fail_msg("%s: not UTF-8: %s", t->code, s);
	nfc = u8_normalize(UNINORM_NFC, (const uint8_t *)s, len, NULL, &n);
	assert_non_null(nfc);
	if (n != len || memcmp(nfc, s, len) != 0)
		fail_msg("%s: not in NFC: %s", t->code, s);
	free(nfc);
}

static void
assert_says(const struct help_language *t, const char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("%s: no \"%s\" in:\n%s", t->code, what, text);
}

static void
texts(void **state)
{
	static const char *const everywhere[] = {
	    "Example key server\n",
	    ADDRESS "\n",
	    ADMIN "\n",
	    "GET alice@example.org\n",
	    "GET 0x0123456789ABCDEF0123456789ABCDEF01234567\n",
	    "GET 0x0123456789ABCDEF\n",
	    "GET 0x89ABCDEF\n",
	    "GET alice example\n",
	    "GET \"Alice Example\"\n",
	    "      gpg --armor --export alice@example.org\n",
	    "OpenPGP",
	    "11",
	    "53",
	    "31",
	    "107",
	};
	const struct help_language *t;
	struct reply reply;
	size_t i, k;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		help_in(t, &reply);
		assert_string_equal(reply.suffix, "");
		assert_false(reply.help);
		assert_int_equal(reply.nkeys, 0);
		assert_composed(t, reply.text_data);
		assert_lines(t, reply.text_data);
		for (k = 0; k < sizeof everywhere / sizeof everywhere[0]; k++)
			assert_says(t, reply.text_data, everywhere[k]);
		if (strchr(reply.text_data, '#') != NULL)
			fail_msg("%s: a # is left", t->code);
		reply_free(&reply);
	}
}

/* The words of the protocol are the same in all languages. */
static void
words_that_stay(void **state)
{
	const struct help_language *t;
	size_t i;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		assert_says(t, t->what, "OpenPGP");
		assert_says(t, t->how, "ADD");
		assert_says(t, t->add_how, "ADD");
		assert_says(t, t->add_keys, "ADD");
		assert_says(t, t->last_days, "LAST");
		assert_says(t, t->last_keys, "LAST");
		assert_says(t, t->who, "WHO");
		assert_says(t, t->who_note, "0x");
		assert_says(t, t->long_id, "16");
		assert_says(t, t->short_id, "8");
		assert_says(t, t->languages, "HELP");
		assert_says(t, t->pointer, "HELP");
	}
}

/* Numbers an operator may set do not burst a line. */
static void
large_numbers(void **state)
{
	const struct help_language *t;
	struct request request;
	struct reply reply;
	size_t i;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		request = request_of(t->code);
		request.limits = (struct handler_limits){
		    .max_reply_keys = 1000000,
		    .keys_per_mail = 1000000,
		    .max_last = 1000000,
		    .max_last_reply_keys = 1000000,
		};
		answer(&request, "HELP", &reply);
		assert_lines(t, reply.text_data);
		reply_free(&reply);
		request = request_of(t->code);
		request.limits.max_reply_keys = UINT_MAX;
		answer(&request, "HELP", &reply);
		assert_says(t, reply.text_data, "4294967295");
		reply_free(&reply);
	}
}

/* LAST that is switched off has no limits, nor has a server without a name or
 * a person. */
static void
nothing_set(void **state)
{
	const struct help_language *t;
	struct request request;
	struct reply reply;
	size_t i;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		request = request_of(t->code);
		request.site = request.admin = "";
		request.limits.max_last = 0;
		answer(&request, "HELP", &reply);
		assert_lines(t, reply.text_data);
		assert_true(strncmp(reply.text_data, t->what, 10) == 0);
		assert_null(strstr(reply.text_data, "107"));
		assert_null(strstr(reply.text_data, t->questions));
		reply_free(&reply);
	}
}

/* ---- the table of commands ----------------------------------------------- */

static void
names_every_command(void **state)
{
	const struct help_language *t;
	const struct command *c;
	struct reply reply;
	char line[80];
	size_t i, k;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		help_in(t, &reply);
		for (k = 0; (c = commands[k]) != NULL; k++) {
			snprintf(line, sizeof line, "\n  %s%s%s ", c->name,
			    *c->argument == '\0' ? "" : " ", c->argument);
			if ((c->flags & COMMAND_HIDDEN) == 0)
				assert_says(t, reply.text_data, line);
			else if (strstr(reply.text_data, line) != NULL)
				fail_msg("%s: %s is hidden", t->code, c->name);
		}
		reply_free(&reply);
	}
}

/* All that is missing is said at once. */
static void
every_summary_is_translated(void **state)
{
	const struct help_language *t;
	const struct command *c;
	unsigned missing = 0;
	const char *s;
	size_t i, k;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++)
		for (k = 0; (c = commands[k]) != NULL; k++) {
			s = help_summary(t, c);
			assert_non_null(s);
			if ((c->flags & COMMAND_HIDDEN) != 0 ||
			    strcmp(t->code, "en") == 0 ||
			    strcmp(s, c->summary) != 0)
				continue;
			print_message("handlers/help_%.2s%s%s.c: no summary "
				      "of %s\n",
			    t->code, t->code[2] == '\0' ? "" : "_",
			    t->code[2] == '\0' ? "" : t->code + 3, c->name);
			missing++;
		}
	if (missing > 0)
		fail_msg("%u summaries are not translated", missing);
}

/* A summary of a command that is gone, or hidden, would never be read. */
static void
no_summary_is_left_over(void **state)
{
	const struct help_language *t;
	const struct command *c;
	const char *name;
	size_t i, k, len;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++)
		for (k = 0; k < sizeof t->summary / sizeof t->summary[0]; k++) {
			if ((name = t->summary[k].command) == NULL)
				continue;
			c = command_find(name, &len);
			if (c == NULL || strcmp(c->name, name) != 0 ||
			    (c->flags & COMMAND_HIDDEN) != 0)
				fail_msg("%s: %s is not in the table", t->code,
				    name);
			assert_true(*t->summary[k].text != '\0');
		}
}

static void
new_command_is_named_in_english(void **state)
{
	static const struct command fresh = {
	    .name = "FRESH", .argument = "", .summary = "is new"};
	size_t i;

	(void)state;
	for (i = 0; help_languages[i] != NULL; i++)
		assert_string_equal(
		    help_summary(help_languages[i], &fresh), "is new");
}

/* ---- which language ------------------------------------------------------ */

static const struct {
	const char *name, *code; /* NULL: none */
} names[] = {
    /* the languages there must be */
    {"en", "en"},
    {"de", "de"},
    {"fr", "fr"},
    {"es", "es"},
    {"pt", "pt"},
    {"pl", "pl"},
    {"cs", "cs"},
    {"it", "it"},
    {"sv", "sv"},
    {"no", "no"},
    {"da", "da"},
    {"fi", "fi"},
    {"hr", "hr"},
    {"ja", "ja"},
    {"ko", "ko"},
    {"zh-tw", "zh-tw"},
    {"zh-cn", "zh-cn"},
    /* the help files of PKS */
    {"CZ", "cs"},
    {"DK", "da"},
    {"KR", "ko"},
    {"SE", "sv"},
    {"TW", "zh-tw"},
    {"cz", "cs"},
    {"DE", "de"},
    {"JA", "ja"},
    /* ISO 639, RFC 5646 */
    {"nb", "no"},
    {"nn", "no"},
    {"zh-hant", "zh-tw"},
    {"zh-Hans", "zh-cn"},
    {"zh-Hant-HK", "zh-tw"},
    {"zh-HK", "zh-tw"},
    {"zh-SG", "zh-cn"},
    {"zh", "zh-cn"},
    {"CN", "zh-cn"},
    {"pt-BR", "pt"},
    {"pt-PT", "pt"},
    {"de-AT", "de"},
    {"deu", "de"},
    {"ger", "de"},
    {"nno", "no"},
    /* as a locale says it */
    {"de_DE.UTF-8", "de"},
    {"zh_TW.Big5", "zh-tw"},
    {"no_NO@nynorsk", "no"},
    {"en_GB", "en"},
    /* in words */
    {"German", "de"},
    {"deutsch", "de"},
    {"Fran\xc3\xa7"
     "ais",
	"fr"},
    {"FRAN\xc3\x87"
     "AIS",
	"fr"},
    {"francais", "fr"},
    {"ESPA\xc3\x91OL", "es"},
    {"castellano", "es"},
    {"Portugu\xc3\xaas", "pt"},
    {"polski", "pl"},
    {"\xc4\x8c"
     "e\xc5\xa1tina",
	"cs"},
    {"cestina", "cs"},
    {"italiano", "it"},
    {"svenska", "sv"},
    {"norsk", "no"},
    {"bokm\xc3\xa5l", "no"},
    {"dansk", "da"},
    {"suomi", "fi"},
    {"hrvatski", "hr"},
    {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "ja"},
    {"\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4", "ko"},
    {"\xe4\xb8\xad\xe6\x96\x87", "zh-cn"},
    {"\xe7\xb9\x81\xe9\xab\x94\xe4\xb8\xad\xe6\x96\x87", "zh-tw"},
    {"traditional Chinese", "zh-tw"},
    {"Chinese (simplified)", "zh-cn"},
    /* as the table of commands shows it */
    {"[de]", "de"},
    {"<fr>", "fr"},
    {"\"it\"", "it"},
    /* none */
    {"", NULL},
    {"-", NULL},
    {"--", NULL},
    {"[]", NULL},
    {".", NULL},
    {"@", NULL},
    {"d", NULL},
    {"dee", NULL},
    {"klingon", NULL},
    {"GET", NULL},
    {"--help", NULL},
    {"../../etc/passwd", NULL},
    {"de/../fr", NULL},
    {"%s%n", NULL},
    {"\xc3", NULL},
    {"\xc3\x97", NULL},
    {"\xff\xfe", NULL},
};

static void
names_resolve(void **state)
{
	const struct help_language *t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		t = help_find(names[i].name);
		if ((t == NULL) != (names[i].code == NULL) ||
		    (t != NULL && strcmp(t->code, names[i].code) != 0))
			fail_msg("\"%s\": %s, not %s", names[i].name,
			    t != NULL ? t->code : "none",
			    names[i].code != NULL ? names[i].code : "none");
	}
}

/* No two languages answer to one name, and each answers to all of its own. */
static void
names_are_clear(void **state)
{
	const struct help_language *t;
	const char *name;
	size_t i, k;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		assert_ptr_equal(help_find(t->code), t);
		if (i > 0)
			assert_true(
			    strcmp(help_languages[i - 1]->code, t->code) < 0);
		for (k = 0; k < sizeof t->names / sizeof t->names[0]; k++) {
			if ((name = t->names[k]) == NULL)
				continue;
			assert_composed(t, name);
			if (help_find(name) != t)
				fail_msg("%s is not %s", name, t->code);
		}
	}
	assert_true(i >= 17);
}

static void
long_names(void **state)
{
	char name[4000];
	size_t len;

	(void)state;
	for (len = 1; len < sizeof name; len += len < 200 ? 1 : 500) {
		memset(name, 'x', len);
		name[len] = '\0';
		assert_null(help_find(name));
		memset(name, '-', len);
		assert_null(help_find(name));
		memset(name, '\xc3', len);
		assert_null(help_find(name));
	}
}

/* ---- which one is sent --------------------------------------------------- */

static void
assert_answered_in(const char *language, const char *subject, const char *code)
{
	struct request request = request_of(language);
	const struct help_language *t = help_find(code);
	struct reply reply;

	assert_non_null(t);
	answer(&request, subject, &reply);
	assert_says(t, reply.text_data, t->ask);
	assert_lines(t, reply.text_data);
	reply_free(&reply);
}

static void
unknown_is_the_default(void **state)
{
	(void)state;
	assert_answered_in(NULL, "HELP", "en");
	assert_answered_in("", "HELP", "en");
	assert_answered_in("en", "HELP", "en");
	assert_answered_in("xx", "HELP", "en");
	assert_answered_in("de", "HELP", "de");
	assert_answered_in("SE", "help", "sv");
	assert_answered_in("de", "HELP en", "en");
	assert_answered_in("de", "HELP klingon", "de");
	assert_answered_in("ja", "Re: Help me please", "ja");
	assert_answered_in(NULL, "HELP ../../etc/passwd", "en");
	assert_answered_in("fr", "help TW", "zh-tw");
}

/* The codes, which all can read, are at the end of each. */
static void
codes_are_listed(void **state)
{
	const struct help_language *t;
	struct reply reply;
	const char *line;
	char codes[200] = "\n ";
	size_t i, len = 2;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		assert_true(len + strlen(t->code) + 3 < sizeof codes);
		len += (size_t)snprintf(
		    codes + len, sizeof codes - len, " %s", t->code);
	}
	memcpy(codes + len, "\n", 2);
	assert_non_null(strstr(codes, " de en "));
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		help_in(t, &reply);
		line = strstr(reply.text_data, codes);
		if (line == NULL || line[len + 1] != '\0')
			fail_msg("%s: does not end in%s", t->code, codes);
		reply_free(&reply);
	}
}

/* Who wrote no command gets the help in the language of the site, and only a
 * pointer to it the second time. */
static void
unasked_for(void **state)
{
	const struct help_language *t;
	struct request request;
	struct reply reply;
	size_t i;

	(void)state;
	for (i = 0; (t = help_languages[i]) != NULL; i++) {
		request = request_of(t->code);
		answer(&request, "GETTYSBURG address", &reply);
		assert_string_equal(reply.suffix, ", was invalid");
		assert_true(reply.help);
		assert_true(strncmp(reply.text_data, t->unknown, 12) == 0);
		assert_says(t, reply.text_data, t->ask);
		assert_null(strstr(reply.text_data, "GETTYSBURG"));
		assert_lines(t, reply.text_data);
		reply_free(&reply);

		request = request_of(t->code);
		request.helps_today = 1;
		answer(&request, "", &reply);
		assert_true(reply.help);
		assert_true(strncmp(reply.text_data, t->no_command, 12) == 0);
		assert_says(t, reply.text_data, "HELP");
		assert_null(strstr(reply.text_data, "GET"));
		assert_lines(t, reply.text_data);
		assert_composed(t, reply.text_data);
		reply_free(&reply);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_there),
	    cmocka_unit_test(texts),
	    cmocka_unit_test(words_that_stay),
	    cmocka_unit_test(large_numbers),
	    cmocka_unit_test(nothing_set),
	    cmocka_unit_test(names_every_command),
	    cmocka_unit_test(every_summary_is_translated),
	    cmocka_unit_test(no_summary_is_left_over),
	    cmocka_unit_test(new_command_is_named_in_english),
	    cmocka_unit_test(names_resolve),
	    cmocka_unit_test(names_are_clear),
	    cmocka_unit_test(long_names),
	    cmocka_unit_test(unknown_is_the_default),
	    cmocka_unit_test(codes_are_listed),
	    cmocka_unit_test(unasked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
