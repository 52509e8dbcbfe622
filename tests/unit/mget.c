/*
 * MGET: which patterns are taken, what they match, and what is found.
 */
#include "handlers/mget.h"
#include "tests/unit/room.h"

#include <time.h>

#define CREATED 1500000000u
#define C10	"abcdefghij"
#define C64	C10 C10 C10 C10 C10 C10 "wxyz"

/* ---- what a pattern may be ---- */

static const struct {
	const char *pattern, *why; /* part of the sentence, NULL: it is taken */
} patterns[] = {
    {"abc", NULL},
    {"ab", "3 literal"},
    {"", "3 literal"},
    {"a", "3 literal"},
    {C64, NULL},
    {C64 "z", "64 characters"},
    {"\xc3\xa9\xc3\xa9\xc3\xa9", NULL},
    {"\xc3\xa9\xc3\xa9", "3 literal"},
    {"a.b", "3 literal"},
    {"....", "3 literal"},
    {"a b", NULL},
    {"abc|def", NULL},
    {"abc|de", "3 literal"},
    {"abc|", "3 literal"},
    {"|abc", "3 literal"},
    {"F605A5|3A738B", NULL},
    {"(abc|def)", NULL},
    {"(abc|de)", "3 literal"},
    {"(abc|de)fgh", NULL},
    {"(a)bc", "3 literal"},
    {"(?:abc)", NULL},
    {"((abc))", NULL},
    {"(abc)?", "3 literal"},
    {"(abc)*", "3 literal"},
    {"(abc){0}", "3 literal"},
    {"(abc){0,3}", "3 literal"},
    {"(abc)+", NULL},
    {"(abc){2}", NULL},
    {"abc?", "3 literal"},
    {"abc*", "3 literal"},
    {"abc+", NULL},
    {"abc{0,2}", "3 literal"},
    {"a?bcd", NULL},
    {"a+bc", NULL},
    {"ab+c", "3 literal"},
    {"ab+cd", NULL},
    {"aa+b+c", "3 literal"},
    {"a{3}", NULL},
    {"a{2}", "3 literal"},
    {"a{2}b", NULL},
    {"a{3,}", NULL},
    {"a{2,9}b", NULL},
    {"a{1,9}b{1,9}c", "3 literal"},
    {"abc{99}", NULL},
    {"abc{100}", "99"},
    {"abc{1,100}", "99"},
    {"abc{99999999999999999999}", "99"},
    {"abc{2,1}", "wrong order"},
    {"abc{", "brace"},
    {"abc{x}", "brace"},
    {"abc{,3}", "brace"},
    {"abc{ 2}", "brace"},
    {"abc{2 }", "not closed"},
    {"abc{2", "not closed"},
    {"abc{2,", "99"},
    {"{abc", "brace"},
    {"abc\\{2", NULL},
    {"abc}", NULL},
    {"abc]", NULL},
    {"[abc]", "3 literal"},
    {"[abc]def", NULL},
    {"[a]bc", "3 literal"},
    {"ab[c]", "3 literal"},
    {"[]abc]def", NULL},
    {"[^]abc]def", NULL},
    {"[]abc", "not closed"},
    {"[abc", "not closed"},
    {"[", "not closed"},
    {"[\\]]def", NULL},
    {"[\\", "backslash"},
    {"[[:alpha:]]def", NULL},
    {"[[:^alpha:]x]def", NULL},
    {"[[abc]def", "\\["},
    {"[[:alpha]def", "\\["},
    {"[[.a.]]def", "\\["},
    {"[[:<:]]def", "\\["},
    {"[[:nonsense:]]def", "cannot be read"},
    {"[\\w\\s\\d-]def", NULL},
    {"[\\b]def", "backslash"},
    {"[\\C]def", "backslash"},
    {"[\\Qx]def", "backslash"},
    {"[z-a]def", "cannot be read"},
    {"^abc$", NULL},
    {"^a^b^c", "3 literal"},
    {"\\babc\\b", NULL},
    {"\\d\\w\\sabc\\D\\W\\S\\B", NULL},
    {"a\\.c", NULL},
    {"\\\\abc", NULL},
    {"abc\\", "backslash"},
    {"abc\\\xc3\xa9", "backslash"},
    {"abc)", "no group"},
    {"(abc", "not closed"},
    {"(abc|(def)", "not closed"},
    {"((((((((abc))))))))", NULL},
    {"(((((((((abc)))))))))", "too many groups"},
    {"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)xyz", NULL},
    {"*abc", "nothing to repeat"},
    {"+abc", "nothing to repeat"},
    {"?abc", "nothing to repeat"},
    {"(*abc)", "Of groups only"},
    {"(|*)abc", "nothing to repeat"},
    {"abc**", "nothing to repeat"},
    {"abc+?", NULL},
    {"abcd*+", NULL},
    {"abc+++", "nothing to repeat"},
    /* What is dear, what refers back, what calls out, what is not ours. */
    {"(a+)+$", "3 literal"},
    {"(a|a)*", "3 literal"},
    {"(a*)*", "3 literal"},
    {"(abc)\\1", "backslash"},
    {"(abc)\\g1", "backslash"},
    {"(abc)\\g{-1}", "backslash"},
    {"(?<x>abc)\\k<x>", "Of groups only"},
    {"(?P=x)abc", "Of groups only"},
    {"abc(?C)", "Of groups only"},
    {"abc(?C1)def", "Of groups only"},
    {"abc\\C", "backslash"},
    {"abc\\Q(\\E", "backslash"},
    {"abc\\x41", "backslash"},
    {"abc\\p{L}", "backslash"},
    {"abc\\R", "backslash"},
    {"abc\\K", "backslash"},
    {"abc\\n", "backslash"},
    {"abc\\0", "backslash"},
    {"abc(?R)", "Of groups only"},
    {"abc(?1)", "Of groups only"},
    {"(?=abc)abc", "Of groups only"},
    {"(?<=abc)abc", "Of groups only"},
    {"(?>abc)", "Of groups only"},
    {"(?i)abc", "Of groups only"},
    {"(?#x)abc", "Of groups only"},
    {"(?(1)abc)", "Of groups only"},
    {"(*UTF)abc", "Of groups only"},
    {"(*LIMIT_MATCH=999999999)abc", "Of groups only"},
    {"abc(*ACCEPT)", "Of groups only"},
    {"ab\xc3", "cannot be read"},
    {"abc\xff", "cannot be read"},
    {"(((abc{99}){99}){99}){99}", "cannot be read"},
};

static void
test_patterns(void **state)
{
	struct mget_pattern *pattern;
	enum ks_status status;
	char why[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
		*why = '\0';
		pattern = NULL;
		status = mget_compile(patterns[i].pattern, &pattern, why);
		if (patterns[i].why == NULL) {
			if (status != KS_OK)
				fail_msg("%s: %s", patterns[i].pattern, why);
			mget_free(pattern);
		} else if (status != KS_BAD_QUERY ||
			   strstr(why, patterns[i].why) == NULL) {
			fail_msg("%s: \"%s\"", patterns[i].pattern, why);
		}
	}
}

/* ---- what it matches ---- */

static const struct {
	const char *pattern, *text;
	enum ks_status status;
} matches[] = {
    {"alice", "Alice Example", KS_OK},
    {"ALICE", "Alice Example", KS_OK},
    {"lice ex", "Alice Example", KS_OK},
    {"alice", "Bob", KS_NOT_FOUND},
    {"alice", "", KS_NOT_FOUND},
    {"alice|bob", "Bob", KS_OK},
    {"al.*ice", "al and more ice", KS_OK},
    {"al.*ice", "al and more", KS_NOT_FOUND},
    {"ali.*ple", "Alice Example", KS_OK},
    {"^alice", "Alice", KS_OK},
    {"^lice", "Alice", KS_NOT_FOUND},
    {"alice$", "Alice", KS_OK},
    {"ALI\xc3\x89", "ali\xc3\xa9", KS_OK},
    {"ali\xc3\xa9", "ALI\xc3\x89", KS_OK},
    /* ISO 8859-1 */
    {"ali\xc3\xa9n", "ali\xe9n", KS_OK},
    {"ali\xc3\xa9n", "ALI\xc9N", KS_OK},
    {"\\bali\xc3\xa9", "\xe4li\xe9", KS_NOT_FOUND},
    {"ali.n", "ali\xc3\xa9n", KS_OK},
    {"ali.n", "ali\nn", KS_NOT_FOUND},
    {"ali\\wn", "ali\xc3\xa9n", KS_OK},
    {"0x3A738B", "0x3a738b", KS_OK},
    {"example\\.org", "a@example.org", KS_OK},
    {"example\\.org", "a@examplexorg", KS_NOT_FOUND},
};

static void
test_matches(void **state)
{
	struct mget_pattern *pattern;
	enum ks_status status;
	char why[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof matches / sizeof matches[0]; i++) {
		status = mget_compile(matches[i].pattern, &pattern, why);
		assert_int_equal(status, KS_OK);
		status =
		    mget_match(pattern, (const unsigned char *)matches[i].text,
			strlen(matches[i].text));
		mget_free(pattern);
		if (status != matches[i].status)
			fail_msg("%s and %s: %d", matches[i].pattern,
			    matches[i].text, status);
	}
}

/* Patterns that cost others seconds: PCRE2's limits end them. */
static void
test_dear(void **state)
{
	static const char *const dear[] = {"(aaa+)+$", "(aaa|aaaa)+$",
	    "(aaa*)*b.*aaa", "a.*a.*a.*a.*a.*a.*aaab", "((aaa+)+)+\\d",
	    "(.*aaa)+x", "(aaa|a+)+aaa(aaa|a+)+$", "aaa(.?){60}aaa{30}b"};
	struct mget_pattern *pattern;
	unsigned char text[1024];
	enum ks_status status;
	char why[256];
	clock_t began;
	double seconds;
	size_t i;

	(void)state;
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '!';
	for (i = 0; i < sizeof dear / sizeof dear[0]; i++) {
		if (mget_compile(dear[i], &pattern, why) != KS_OK)
			fail_msg("%s: %s", dear[i], why);
		began = clock();
		status = mget_match(pattern, text, sizeof text);
		seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
		mget_free(pattern);
		assert_true(status == KS_TOO_MANY || status == KS_NOT_FOUND);
		/* A tenth of it on a slow machine; sanitizers take more. */
		if (seconds > 0.5)
			fail_msg("%s: %.3f s", dear[i], seconds);
	}
	assert_int_equal(mget_compile(dear[0], &pattern, why), KS_OK);
	assert_int_equal(mget_match(pattern, text, sizeof text), KS_TOO_MANY);
	mget_free(pattern);
}

/* ---- the command ---- */

static const struct forged alice = {.seed = 1,
    .created = CREATED,
    .bits = 1024,
    .id = {{.text = "Alice Example <alice@example.org>"},
	{.text = "J\xe9r\xf4me <jerome@example.com>"}},
    .subkey = {{16, 1024, CREATED + 1, 0, 0x0C, false}}};
static const struct forged bob = {.seed = 2,
    .created = CREATED + 5,
    .bits = 1024,
    .id = {{.text = "Bob Example <bob@example.net>"}}};
#define ALICE "44D0B689212D17C43173612761ABA2389CF7986A"

static void
fpr_of(const struct forged *what, char primary[PGP_FPR_HEX],
    char subkey[PGP_FPR_HEX])
{
	struct pgp_cert *cert = forge(what);
	const struct pgp_component *last;

	assert_non_null(cert);
	pgp_fpr_hex(pgp_cert_fpr(cert), primary);
	last = &cert->components[cert->ncomponents - 1];
	*subkey = '\0';
	if (last->kind == PGP_SUBKEY)
		pgp_fpr_hex(&last->fpr, subkey);
	pgp_cert_free(cert);
}

static void
test_off(void **state)
{
	struct room *room = *state;

	put(room, &alice);
	room->request.limits.mget = false;
	ask(room, "MGET alice");
	assert_refused(room, "switched off");
	ask(room, "MGET");
	assert_refused(room, "switched off");
	ask(room, "MGET " ALICE);
	assert_refused(room, "switched off");
}

static void
test_found(void **state)
{
	static const char *const one[] = {"MGET alice", "mget LICE EX",
	    "MGET ^alice", "MGET alice@example\\.org",
	    "MGET J\xc3\xa9r\xc3\xb4me", "MGET j\xc3\x89R",
	    "MGET jerome|nobody", "MGET ali(ce|cia)", "MGET " ALICE,
	    "MGET " ALICE "|" ALICE, "MGET 0x" ALICE, "MGET 9CF7986A",
	    "MGET 9cf7986a|12345678", "MGET 7986A", "MGET 7986a$",
	    "MGET 0x9CF79", "MGET ^0x44D0B", "MGET ^44d0b",
	    "MGET F7986A|FFFFFFF"};
	const struct forged *const want[] = {&alice};
	struct room *room = *state;
	char hex[PGP_FPR_HEX], sub[PGP_FPR_HEX], subject[100];
	size_t i;

	put(room, &alice);
	put(room, &bob);
	for (i = 0; i < sizeof one / sizeof one[0]; i++) {
		ask(room, one[i]);
		if (room->outcome != DONE)
			fail_msg("%s: %s", one[i], room->reply.text_data);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
		assert_says(room, "1 key found, attached:\n");
		assert_says(room, "gpg --import");
		assert_silent(room, "INCOMPLETE");
	}
	fpr_of(&alice, hex, sub);
	assert_string_equal(hex, ALICE);
	for (i = 0; i < 3; i++) {
		snprintf(subject, sizeof subject, "MGET %s",
		    sub + (i == 0      ? 0
			      : i == 1 ? 24
				       : 33));
		ask(room, subject);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
	}
}

static void
test_several(void **state)
{
	static const char *const both[] = {"MGET example", "MGET alice|bob",
	    "MGET (alice|bob) example", "MGET @example\\.(org|net)"};
	/* The newest creation first. */
	const struct forged *const want[] = {&bob, &alice};
	struct room *room = *state;
	struct forged key = bob;
	char a[PGP_FPR_HEX], b[PGP_FPR_HEX], sub[PGP_FPR_HEX], subject[100];
	size_t i;

	put(room, &alice);
	put(room, &bob);
	for (i = 0; i < sizeof both / sizeof both[0]; i++) {
		ask(room, both[i]);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 2);
	}
	/* The documented example of old: bare key IDs. */
	fpr_of(&alice, a, sub);
	fpr_of(&bob, b, sub);
	for (i = 8; i <= 16; i += 8) {
		snprintf(subject, sizeof subject, "MGET %s|0x%s", a + 40 - i,
		    b + 40 - i);
		ask(room, subject);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 2);
	}
	snprintf(subject, sizeof subject, "MGET %s|%s", a + 34, b + 34);
	ask(room, subject);
	assert_keys(room, want, 2);
	for (i = 0; i < 2; i++) {
		key.seed = 30 + (unsigned)i;
		put(room, &key);
	}
	ask(room, "MGET example");
	assert_refused(room, "Too many keys match: 4.");
	assert_says(room, "at most 3");
	assert_says(room, "more specific");
	ask(room, "MGET bob");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 3);
	room->request.limits.max_reply_keys = 1;
	snprintf(subject, sizeof subject, "MGET %s|%s", a + 32, b + 32);
	ask(room, subject);
	assert_refused(room, "Too many keys match: at least 2.");
}

static void
test_refused(void **state)
{
	struct room *room = *state;

	put(room, &alice);
	ask(room, "MGET");
	assert_refused(room, "needs a regular expression");
	ask(room, "MGET (a+)+$");
	assert_refused(room, "3 literal characters\nin a row");
	assert_says(room, "You asked for: (a+)+$\n");
	ask(room, "MGET *alice*");
	assert_refused(room, "nothing to repeat");
	ask(room, "MGET " C64 "z");
	assert_refused(room, "64 characters");
	ask(room, "MGET alice[z-a]");
	assert_refused(room, "range out of order");
	ask(room, "MGET alice\\1");
	assert_refused(room, "backslash");
	assert_says(room, "You asked for: alice\\1\n");
	ask(room, "MGET nobody");
	assert_refused(room, "No matching keys in database\n");
	assert_silent(room, "INCOMPLETE");
	ask(room, "MGET 12345678|0x0123456789ABCDEF");
	assert_refused(room, "No matching keys in database\n");
	ask(room, "MGETS alice");
	assert_outcome(room, REFUSED, ", was invalid");
}

/* A user ID made to be dear does not keep the others from being found. */
static void
test_hard(void **state)
{
	static char text[1001];
	struct forged hostile = {.seed = 3,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = text}}};
	struct room *room = *state;

	memset(text, 'a', 1000);
	text[0] = '@';
	put(room, &hostile);
	put(room, &alice);
	ask(room, "MGET (aaa+)+$|alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 2);
	text[999] = '!';
	hostile.seed = 4;
	put(room, &hostile);
	ask(room, "MGET (aaa+)+$|alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 2);
	assert_says(room, "1 key took too many steps");
	ask(room, "MGET (aaa+)+$|nobody");
	assert_int_equal(room->reply.nkeys, 1);
	assert_says(room, "1 key took too many steps");
}

/* What was found and has gone before the answer. */
static void
test_gone(void **state)
{
	struct room *room = *state;
	const struct command *command;
	struct pgp_cert *cert = forge(&alice);
	bool more;

	assert_non_null(cert);
	put(room, &alice);
	command = request_parse("MGET alice", &room->request);
	assert_non_null(command);
	for (more = true; more;)
		assert_int_equal(
		    command->scan(room->store.ks, &room->request, &more),
		    KS_OK);
	assert_int_equal(ks_begin(room->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(ks_delete(room->store.ks, pgp_cert_fpr(cert)), KS_OK);
	assert_int_equal(ks_commit(room->store.ks), KS_OK);
	pgp_cert_free(cert);
	assert_int_equal(reply_new(&room->reply), 0);
	room->outcome =
	    command->run(room->store.ks, &room->request, &room->reply);
	assert_int_equal(reply_finish(&room->reply), 0);
	assert_refused(room, "No matching keys in database\n");
}

/* A search too long for its time gives way to others meanwhile, and says what
 * it did not look at. */
static void
test_stopped(void **state)
{
	static char text[1001];
	struct forged key = {.seed = 50,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = text}}};
	struct room *room = *state;
	const struct command *command;
	unsigned slices, i;
	bool more;

	memset(text, 'z', 1000);
	text[999] = '!';
	for (i = 0; i < 6000; i++) {
		key.seed = 50;
		key.created = CREATED + i;
		put(room, &key);
	}
	command = request_parse("MGET (zzz+)+$|yyy.*", &room->request);
	assert_non_null(command);
	slices = 0;
	for (more = true; more; slices++)
		assert_int_equal(
		    command->scan(room->store.ks, &room->request, &more),
		    KS_OK);
	assert_true(slices > 1);
	assert_true(slices <= 21);
	assert_int_equal(reply_new(&room->reply), 0);
	room->outcome =
	    command->run(room->store.ks, &room->request, &room->reply);
	assert_int_equal(reply_finish(&room->reply), 0);
	assert_refused(room, "No matching keys");
	assert_says(room, "of 6000 keys.\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_matches),
	    cmocka_unit_test(test_dear),
	    ROOM_TEST(test_off),
	    ROOM_TEST(test_found),
	    ROOM_TEST(test_several),
	    ROOM_TEST(test_refused),
	    ROOM_TEST(test_hard),
	    ROOM_TEST(test_gone),
	    ROOM_TEST(test_stopped),
	};

	return cmocka_run_group_tests_name("mget", tests, NULL, NULL);
}
