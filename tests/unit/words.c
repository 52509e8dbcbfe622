/* What user IDs are found by: words, addresses, odd octets. */
#include "tests/unit/store.h"

#include <ctype.h>

struct collected {
	char text[1024];
	size_t n;
};

static bool
collect(void *ctx, const char *word, size_t len)
{
	struct collected *c = ctx;
	size_t at = strlen(c->text);

	assert_true(len <= WORD_MAX);
	(void)snprintf(c->text + at, sizeof(c->text) - at, "%s%.*s",
	    at == 0 ? "" : " ", (int)len, word);
	c->n++;
	return true;
}

static void
words_of(const void *octets, size_t n, struct collected *c)
{
	size_t len, folded_len;
	char *text = text_utf8(octets, n, &len), *folded;

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	folded = text_fold(text, len, &folded_len);
	assert_non_null(folded);
	memset(c, 0, sizeof(*c));
	words_each(folded, folded_len, collect, c);
	free(folded);
	free(text);
}

static const struct {
	const char *name, *text, *words;
} word_cases[] = {
    {"nothing", "", ""},
    {"plain", "Alice Example", "alice example"},
    {"address", "Alice (work) <alice.b@mail.example.org>",
	"alice work alice mail example org"},
    {"single letters are none", "J R Hartley 4 U2", "hartley u2"},
    {"digits", "RFC9580 1234", "rfc9580 1234"},
    {"composed", "Andr\xc3\xa9 M\xc3\xbcller", "andr\xc3\xa9 m\xc3\xbcller"},
    {"decomposed", "Andre\xcc\x81 Mu\xcc\x88ller",
	"andr\xc3\xa9 m\xc3\xbcller"},
    {"upper case", "ANDR\xc3\x89 M\xc3\x9cLLER", "andr\xc3\xa9 m\xc3\xbcller"},
    {"ISO 8859-1", "Andr\xe9 M\xfcller", "andr\xc3\xa9 m\xc3\xbcller"},
    {"sharp s",
	"Stra\xc3\x9f"
	"e STRASSE",
	"strasse strasse"},
    {"Greek, final sigma",
	"\xce\x9f\xce\x94\xce\x9f\xce\xa3 "
	"\xce\xbf\xce\xb4\xce\xbf\xcf\x82",
	"\xce\xbf\xce\xb4\xce\xbf\xcf\x83 \xce\xbf\xce\xb4\xce\xbf\xcf\x83"},
    {"Cyrillic", "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd",
	"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd"},
    {"Japanese", "\xe5\xb1\xb1\xe7\x94\xb0 \xe5\xa4\xaa\xe9\x83\x8e",
	"\xe5\xb1\xb1\xe7\x94\xb0 \xe5\xa4\xaa\xe9\x83\x8e"},
    {"one character of Chinese is none", "\xe6\x9d\x8e", ""},
    {"a letter and a mark are one character", "x\xcc\xb2 ab\xcc\xb2",
	"ab\xcc\xb2"},
    {"a mark alone is none", "\xcc\x81\xcc\x81 ab", "ab"},
    {"control characters",
	"one\x01two\nthree\xc2\x85"
	"four\xc2\xa0"
	"five",
	"one two three four five"},
    {"63 octets and two of a letter",
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	"\xc3\xa9zz ab",
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ab"},
    {"65 octets",
	"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
	"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"},
};

static void
words(void **state)
{
	struct collected c;

	(void)state;
	for (size_t i = 0; i < sizeof(word_cases) / sizeof(word_cases[0]);
	     i++) {
		words_of(word_cases[i].text, strlen(word_cases[i].text), &c);
		if (strcmp(c.text, word_cases[i].words) != 0)
			fail_msg("%s: \"%s\"", word_cases[i].name, c.text);
	}
}

static void
nul_is_a_blank(void **state)
{
	struct collected c;

	(void)state;
	words_of("ab\0cd", 5, &c);
	assert_string_equal(c.text, "ab cd");
}

/* Text of ASCII alone goes its own way, and must come out as it does beside
 * any other letter. */
static void
ascii_as_all(void **state)
{
	(void)state;
	for (int c = 0; c < 0x80; c++) {
		const char alone[] = {'a', 'A', (char)c, 'B', 'b'};
		const char beside[] = {
		    'a', 'A', (char)c, 'B', 'b', '\xc3', '\xa9'};
		size_t n, m, fn, fm;
		char *a = text_utf8(alone, 5, &n), *fa, *fb;
		char *b = text_utf8(beside, 7, &m);
		struct collected words;

		assert_true(n == 5 && m == 7 && a[n] == '\0');
		assert_memory_equal(a, b, n);
		fa = text_fold(a, n, &fn);
		fb = text_fold(b, m, &fm);
		assert_true(fn == 5 && fm == 7 && fa[fn] == '\0');
		assert_memory_equal(fa, fb, fn);
		words_of(alone, 5, &words);
		assert_int_equal(words.n, isalnum(c) ? 1 : 2);
		free(fb);
		free(fa);
		free(b);
		free(a);
	}
}

static const struct {
	const char *name, *userid, *address; /* NULL: none */
} address_cases[] = {
    {"in brackets", "Alice <Alice@Example.ORG>", "alice@example.org"},
    {"alone", "alice@example.org", "alice@example.org"},
    {"blanks around", "  alice@example.org ", "alice@example.org"},
    {"the last brackets", "<a@b.c> Bob <bob@d.e>", "bob@d.e"},
    {"a comment behind", "Bob <bob@d.e> (old)", "bob@d.e"},
    {"a bracket that stays open", "Bob <bob@d.e> < x", "bob@d.e"},
    {"blanks in the brackets", "Bob < bob@d.e >", "bob@d.e"},
    {"local part: ASCII only", "\xc3\x89va.B@X.Y", "\xc3\x89va.b@x.y"},
    {"domain: all of Unicode", "a@M\xc3\x9cLLER.de", "a@m\xc3\xbcller.de"},
    {"plus and dots stay", "<A.B+C@d.e>", "a.b+c@d.e"},
    {"no address", "Alice", NULL},
    {"words and an address without brackets", "Alice a@b.c", NULL},
    {"two at signs", "<a@b@c>", NULL},
    {"no local part", "<@b.c>", NULL},
    {"no domain", "<a@>", NULL},
    {"a blank inside", "<a b@c.d>", NULL},
    {"a line break inside", "<a@b.c\nd>", NULL},
    {"empty brackets", "Alice <>", NULL},
    {"empty", "", NULL},
    {"the wrong way round", ">a@b.c<", NULL},
};

static void
addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(address_cases) / sizeof(address_cases[0]);
	     i++) {
		const char *want = address_cases[i].address;
		const char *userid = address_cases[i].userid;
		char got[ADDRESS_MAX + 1] = "";
		size_t len;
		char *text = text_utf8(userid, strlen(userid), &len);
		enum ks_status st = address_of_userid(text, len, got);

		free(text);
		if (st != (want == NULL ? KS_NOT_FOUND : KS_OK) ||
		    (want != NULL && strcmp(want, got) != 0))
			fail_msg(
			    "%s: %d \"%s\"", address_cases[i].name, st, got);
	}
}

static void
long_addresses(void **state)
{
	char text[400], out[ADDRESS_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[10] = '@';
	assert_int_equal(address_normal(text, ADDRESS_MAX, out), KS_OK);
	assert_int_equal(strlen(out), ADDRESS_MAX);
	assert_int_equal(
	    address_normal(text, ADDRESS_MAX + 1, out), KS_NOT_FOUND);
	/* U+0390 folds to three times its octets */
	for (size_t i = 11; i + 1 < 211; i += 2)
		memcpy(text + i, "\xce\x90", 2);
	assert_int_equal(address_normal(text, 211, out), KS_OK);
}

/* A certificate of nothing but user IDs, as far as entries_of() looks. */
static void
entries_case(char *const *userid, size_t n, struct entries *set)
{
	struct pgp_component *c = calloc(n, sizeof(*c));
	struct pgp_cert cert = {.components = c, .ncomponents = n};

	assert_non_null(c);
	for (size_t i = 0; i < n; i++) {
		c[i].kind = PGP_USERID;
		c[i].body = (unsigned char *)userid[i];
		c[i].len = strlen(userid[i]);
	}
	assert_int_equal(entries_of(&cert, set), KS_OK);
	free(c);
}

static void
entries_are_a_set(void **state)
{
	char one[] = "Ann Ann <ann@ann.example>",
	     two[] = "ANN <ANN@Ann.example>";
	char *userid[] = {one, two};
	struct entries set;

	(void)state;
	entries_case(userid, 2, &set);
	assert_int_equal(set.n, 3);
	assert_int_equal(set.words, 2);
	for (size_t i = 1; i < set.n; i++)
		assert_true(entry_cmp(&set.entry[i - 1], &set.entry[i]) < 0);
	entries_free(&set);
}

static void
words_of_one_certificate(void **state)
{
	char *userid[200];
	struct entries set;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_true(asprintf(&userid[i], "a%03d b%03d c%03d x@y%d.z", i,
				i, i, i) > 0);
	entries_case(userid, 200, &set);
	assert_int_equal(set.words, WORDS_MAX);
	entries_free(&set);
	entries_case(userid, 100, &set);
	assert_int_equal(set.words, 400);
	entries_free(&set);
	for (int i = 0; i < 200; i++)
		free(userid[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words),
	    cmocka_unit_test(nul_is_a_blank),
	    cmocka_unit_test(ascii_as_all),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(long_addresses),
	    cmocka_unit_test(entries_are_a_set),
	    cmocka_unit_test(words_of_one_certificate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
