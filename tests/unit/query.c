/* What a person writes after GET, and what is found for it. */
#include "tests/unit/store.h"

/* ---- reading ------------------------------------------------------------- */

#define DIGITS40	"0123456789ABCDEF0123456789abcdef01234567"
#define DIGITS32	"0123456789ABCDEF0123456789abcdef"
#define DIGITS32_FOLDED "0123456789abcdef0123456789abcdef"

static const struct {
	const char *name, *text;
	enum ks_query_kind kind;
	size_t ndigits; /* of digits */
	bool bare;
	const char *words; /* joined by blanks, "" = none */
	const char *kept;  /* address or literal, NULL = none */
} good[] = {
    {"8 digits", "0xdeadBEEF", KS_BY_KEYID, 8, false, "", NULL},
    {"upper-case X", "0Xdeadbeef", KS_BY_KEYID, 8, false, "", NULL},
    {"blanks at the end", "0xFA7EFB96  ", KS_BY_KEYID, 8, false, "", NULL},
    {"16 digits", "0x0123456789abcdef", KS_BY_KEYID, 16, false, "", NULL},
    {"32 digits", "0x" DIGITS32, KS_BY_FPR, 32, false, "", NULL},
    {"40 digits", "0x" DIGITS40, KS_BY_FPR, 40, false, "", NULL},
    {"64 digits", "0x" DIGITS32 DIGITS32, KS_BY_FPR, 64, false, "", NULL},
    {"blanks inside", "0x 0123 4567\t89ab\ncdef", KS_BY_KEYID, 16, false, "",
	NULL},
    {"bare 8", "deadbeef", KS_BY_KEYID, 8, true, "deadbeef", NULL},
    {"bare 8 with a blank", "DEAD BEEF", KS_BY_KEYID, 8, true, "dead beef",
	NULL},
    {"bare 40, as gpg prints it",
	"0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567", KS_BY_FPR, 40,
	false, "", NULL},
    {"bare 40, by octets",
	"01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14",
	KS_BY_FPR, 40, false, "", NULL},
    {"bare digits without a word", "a b c d e f a b", KS_BY_KEYID, 8, true, "",
	NULL},
    {"7 bare digits are a word", "deadbee", KS_BY_WORDS, 0, false, "deadbee",
	NULL},
    {"address", "Alice@Example.ORG", KS_BY_EMAIL, 0, false, "",
	"alice@example.org"},
    {"in brackets", "<alice@example.org>", KS_BY_EMAIL, 0, false, "",
	"alice@example.org"},
    {"in quotes", "\"alice@example.org\"", KS_BY_EMAIL, 0, false, "",
	"alice@example.org"},
    {"in both", "\"<alice@example.org>\"", KS_BY_EMAIL, 0, false, "",
	"alice@example.org"},
    {"a domain alone", "@example.org", KS_BY_WORDS, 0, false, "example org",
	NULL},
    {"two at signs", "a1@b2@c3", KS_BY_WORDS, 0, false, "a1 b2 c3", NULL},
    {"a whole user ID", "Alice Doe <alice@example.org>", KS_BY_WORDS, 0, false,
	"alice doe example org", NULL},
    {"words", "  Alice   EXAMPLE ", KS_BY_WORDS, 0, false, "alice example",
	NULL},
    {"single letters fall away", "J R Hartley", KS_BY_WORDS, 0, false,
	"hartley", NULL},
    {"the same word twice", "bob Bob BOB", KS_BY_WORDS, 0, false, "bob", NULL},
    {"UTF-8", "ANDR\xc3\x89", KS_BY_WORDS, 0, false, "andr\xc3\xa9", NULL},
    {"decomposed", "andre\xcc\x81", KS_BY_WORDS, 0, false, "andr\xc3\xa9",
	NULL},
    {"raw ISO 8859-1", "andr\xe9", KS_BY_WORDS, 0, false, "andr\xc3\xa9", NULL},
    {"literal", "\"Alice  B. Example\"", KS_BY_LITERAL, 0, false, "example*",
	"alice  b. example"},
    {"literal with a whole word", "\"Alice (work) Ex\"", KS_BY_LITERAL, 0,
	false, "work", "alice (work) ex"},
    {"literal that ends behind a word", "\"Alice <\"", KS_BY_LITERAL, 0, false,
	"*alice", "alice <"},
    {"literal that begins within a word", "\"lice E\"", KS_BY_LITERAL, 0, false,
	"*lice", "lice e"},
    {"literal within a word", "\"lice\"", KS_BY_LITERAL, 0, false, "*lice*",
	"lice"},
    {"literal that begins with a mark", "\"\xcc\xb2lice E\"", KS_BY_LITERAL, 0,
	false, "*lice", "\xcc\xb2lice e"},
    {"literal of letters that are no words", "\"e E\"", KS_BY_LITERAL, 0, false,
	"", "e e"},
    {"literal of signs", "\" -- \"", KS_BY_LITERAL, 0, false, "", " -- "},
    {"literal within a very long word", "\"" DIGITS40 DIGITS32 "\"",
	KS_BY_LITERAL, 0, false, "",
	"0123456789abcdef0123456789abcdef01234567" DIGITS32_FOLDED},
    {"literal with many words",
	"\"x g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh cc dd\"",
	KS_BY_LITERAL, 0, false,
	"g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh",
	"x g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh cc dd"},
    {"digits in quotes", "\"deadbeef\"", KS_BY_LITERAL, 0, false, "*deadbeef*",
	"deadbeef"},
    {"a quote that stays open", "\"alice", KS_BY_WORDS, 0, false, "alice",
	NULL},
    {"16 words", "g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh", KS_BY_WORDS,
	0, false, "g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh", NULL},
    {"an option is a word", "--help", KS_BY_WORDS, 0, false, "help", NULL},
};

/* "one two", and "three*", "*three", "*three*" for parts of words. */
static void
joined_words(const struct ks_query *q, char out[1024])
{
	(void)snprintf(out, 1024, "%s%s%s", q->at >= KS_PART_END ? "*" : "",
	    q->part == NULL ? "" : q->part,
	    q->at == KS_PART_BEGIN || q->at == KS_PART_WITHIN ? "*" : "");
	for (size_t i = 0; i < q->nwords; i++) {
		size_t at = strlen(out);

		(void)snprintf(out + at, 1024 - at, "%s%s", at == 0 ? "" : " ",
		    q->word[i]);
	}
}

static void
read_well(void **state)
{
	char words[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *why = NULL;
		struct ks_query q;

		if (ks_query_parse(good[i].text, &q, &why) != KS_OK)
			fail_msg("%s: %s", good[i].name, why);
		joined_words(&q, words);
		if (q.kind != good[i].kind || q.bare != good[i].bare ||
		    strcmp(words, good[i].words) != 0 ||
		    (q.kind <= KS_BY_FPR && q.ndigits != good[i].ndigits))
			fail_msg("%s: kind %d, %zu digits, words \"%s\"",
			    good[i].name, q.kind, q.ndigits, words);
		if ((q.text == NULL) != (good[i].kept == NULL) ||
		    (q.text != NULL && strcmp(q.text, good[i].kept) != 0))
			fail_msg("%s: \"%s\"", good[i].name, q.text);
		ks_query_free(&q);
	}
}

static void
digits_are_read(void **state)
{
	struct ks_query q;
	const char *why;

	(void)state;
	assert_int_equal(
	    ks_query_parse("0x01 23ab CDef", &q, &why), KS_BAD_QUERY);
	assert_int_equal(ks_query_parse("0x01 23ab CD", &q, &why), KS_OK);
	assert_memory_equal(q.octet, "\x01\x23\xab\xcd", 4);
	ks_query_free(&q);
}

static const struct {
	const char *name, *text, *why; /* part of the sentence */
} bad[] = {
    {"nothing", "", "two characters"},
    {"blanks", " \t\r\n ", "two characters"},
    {"one letter", "a", "two characters"},
    {"0x alone", "0x", "8 or 16"},
    {"7 digits", "0x1234567", "8 or 16"},
    {"9 digits", "0x123456789", "8 or 16"},
    {"41 digits", "0x" DIGITS40 "0", "8 or 16"},
    {"66 digits", "0x" DIGITS32 DIGITS32 "00", "8 or 16"},
    {"no digits", "0xdeadbeeg", "8 or 16"},
    {"0x and words", "0xdeadbeef alice", "8 or 16"},
    {"single letters", "a b c", "whole word"},
    {"nothing to read", "***", "whole word"},
    {"an empty literal", "\"\"", "in quotes"},
    {"a literal of one letter", "\"e\"", "in quotes"},
    {"a literal of blanks", "\"   \"", "in quotes"},
    {"17 words", "g1 g2 g3 g4 g5 g6 g7 g8 g9 h1 h2 h3 h4 h5 h6 hh cc",
	"16 words"},
};

static void
refused(void **state)
{
	char text[300];
	struct ks_query q;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = "";
		if (ks_query_parse(bad[i].text, &q, &why) != KS_BAD_QUERY ||
		    strstr(why, bad[i].why) == NULL)
			fail_msg("%s: \"%s\"", bad[i].name, why);
	}
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	assert_int_equal(ks_query_parse(text, &q, &why), KS_OK);
	assert_int_equal(strlen(q.word[0]), WORD_MAX);
	ks_query_free(&q);
	text[255] = 'a';
	text[256] = '\0';
	assert_int_equal(ks_query_parse(text, &q, &why), KS_BAD_QUERY);
	assert_non_null(strstr(why, "255"));
}

/* ---- finding ------------------------------------------------------------- */

static struct pgp_cert *
put(struct tempstore *t, struct pgp_cert *cert)
{
	const struct ks_origin origin = {.now = NOW};
	enum ks_change change;
	struct pgp_added added;

	assert_int_equal(ks_put(t->ks, cert, &origin, &change, &added), KS_OK);
	assert_int_equal(change, KS_NEW);
	return cert;
}

static enum ks_status
find(struct tempstore *t, const char *text, size_t max, struct ks_found *found)
{
	struct ks_query q;
	enum ks_status st;
	const char *why;

	assert_int_equal(ks_query_parse(text, &q, &why), KS_OK);
	st = ks_find(t->ks, &q, max, found);
	ks_query_free(&q);
	for (size_t i = 1; i < found->n; i++)
		assert_true(fpr_order(&found->fpr[i - 1], &found->fpr[i]) < 0);
	return st;
}

/* Which of the certificates a search finds, as letters: "ac" = 0 and 2. */
static void
found_as(struct tempstore *t, const char *text, struct pgp_cert **cert,
    size_t n, char out[32])
{
	struct ks_found found;
	enum ks_status st = find(t, text, 0, &found);
	size_t at = 0;

	assert_true(st == KS_OK || st == KS_NOT_FOUND);
	assert_int_equal(st == KS_OK, found.n > 0);
	assert_int_equal(found.total, found.n);
	for (size_t c = 0; c < n; c++)
		for (size_t i = 0; i < found.n; i++)
			if (fpr_order(&found.fpr[i], pgp_cert_fpr(cert[c])) ==
			    0)
				out[at++] = (char)('a' + c);
	out[at] = '\0';
	assert_int_equal(at, found.n);
	ks_found_free(&found);
}

static const struct {
	const char *name, *text, *found;
} searches[] = {
    {"one word", "alice", "ab"},
    {"any case", "ALICE", "ab"},
    {"two words", "example alice", "ab"},
    {"two words in two user IDs", "alice bob", "b"},
    {"a word too much", "alice nobody", ""},
    {"no part of a word", "ali", ""},
    {"an address", "alice@example.org", "a"},
    {"an address in any case", "<ALICE@EXAMPLE.ORG>", "a"},
    {"a second address", "bob@example.net", "b"},
    {"no part of an address", "lice@example.org", ""},
    {"literal", "\"alice example\"", "a"},
    {"literal that begins and ends within words", "\"lice exam\"", "a"},
    {"literal that ends within a word", "\"alice exa\"", "a"},
    {"literal that begins within a word", "\"lice example <\"", "a"},
    {"literal, the beginning of a word", "\"ali\"", "ab"},
    {"literal, the middle of a word alone", "\"lic\"", "ab"},
    {"literal, the end of a word alone", "\"lice\"", "ab"},
    {"literal, two letters", "\"li\"", "ab"},
    {"literal, a part and a letter", "\"lice E\"", "a"},
    {"literal, a letter each", "\"e E\"", "a"},
    {"literal, a letter and a sign", "\"e,\"", "b"},
    {"literal, signs only", "\") <\"", "b"},
    {"literal, signs that nobody has", "\"(*)\"", ""},
    {"literal, the middle of a word that nobody has", "\"lik\"", ""},
    {"literal, a whole word behind a part", "\"e <alice@\"", "a"},
    {"literal, the other order", "\"example, alice\"", "b"},
    {"literal without the comma", "\"example alice\"", ""},
    {"literal over two user IDs", "\"alice bob\"", ""},
    {"literal with signs", "\"(work) <bob\"", "b"},
    {"literal of words that stand apart", "\"alice org\"", ""},
    {"composed", "andr\xc3\xa9", "c"},
    {"decomposed", "ANDRE\xcc\x81", "c"},
    {"sharp s", "strasse", "c"},
    {"Greek", "\xce\xbf\xce\xb4\xce\xbf\xce\xa3", "d"},
    {"Japanese", "\xe5\xb1\xb1\xe7\x94\xb0", "d"},
    {"common", "example", "abc"},
    {"hexadecimal letters that no key has", "deadbeef", "d"},
    {"the same with 0x", "0xdeadbeef", ""},
};

static void
searching(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert[4];
	char got[32];

	begin(t);
	cert[0] =
	    put(t, store_cert(1, "Alice Example <alice@example.org>", NULL));
	cert[1] = put(t, store_cert(2, "Example, Alice <a@example.com>",
			     "Bob (work) <bob@example.net>"));
	cert[2] = put(t, store_cert(3,
			     "Andr\xe9 Stra\xdf"
			     "e <as@example.org>",
			     NULL));
	cert[3] = put(t, store_cert(4,
			     "\xce\x9f\xce\x94\xce\x9f\xce\xa3 "
			     "\xe5\xb1\xb1\xe7\x94\xb0",
			     "deadbeef"));
	commit(t);
	for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
		found_as(t, searches[i].text, cert, 4, got);
		if (strcmp(got, searches[i].found) != 0)
			fail_msg("%s: \"%s\"", searches[i].name, got);
	}
	for (int i = 0; i < 4; i++)
		pgp_cert_free(cert[i]);
}

static struct pgp_cert *
with_subkey(unsigned number, uint32_t subkey_created)
{
	struct forged what = {.seed = 7,
	    .created = 1500000000 + number,
	    .bits = 512,
	    .id = {{.text = "Carol <carol@example.org>"}},
	    .subkey = {{.pkalgo = 1,
		.bits = 512,
		.created = subkey_created,
		.flags = 0x0c}}};
	struct pgp_cert *cert = forge(&what);

	assert_non_null(cert);
	return cert;
}

static const struct pgp_component *
subkey_of(const struct pgp_cert *cert)
{
	for (size_t i = 0; i < cert->ncomponents; i++)
		if (cert->components[i].kind == PGP_SUBKEY)
			return &cert->components[i];
	fail_msg("no subkey");
	return NULL;
}

static void
hex_of(char *out, const unsigned char *octets, size_t n)
{
	memcpy(out, "0x", 3);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 2 + 2 * i, 3, "%02x", octets[i]);
}

/* Looks up n octets; with `bend`, after a change of the first of them. */
static void
found_by(struct tempstore *t, const unsigned char *octets, size_t n, bool bend,
    struct pgp_cert **cert, size_t ncert, const char *want)
{
	unsigned char copy[32];
	char text[70], got[32];

	memcpy(copy, octets, n);
	copy[0] ^= bend;
	hex_of(text, copy, n);
	found_as(t, text, cert, ncert, got);
	if (strcmp(got, want) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", text, got, want);
}

static void
digits_found(void **state)
{
	struct tempstore *t = *state;
	const struct pgp_component *primary, *sub;
	struct pgp_cert *cert[2];

	begin(t);
	cert[0] = put(t, with_subkey(1, 1500001000));
	cert[1] = put(t, with_subkey(2, 1500001001));
	commit(t);
	primary = &cert[0]->components[0];
	sub = subkey_of(cert[0]);
	found_by(t, primary->keyid, 8, false, cert, 2, "a");
	found_by(t, primary->keyid + 4, 4, false, cert, 2, "a");
	found_by(t, primary->fpr.octet, 20, false, cert, 2, "a");
	found_by(t, sub->keyid, 8, false, cert, 2, "a");
	found_by(t, sub->keyid + 4, 4, false, cert, 2, "a");
	found_by(t, sub->fpr.octet, 20, false, cert, 2, "a");
	/* the right last digits are not enough */
	found_by(t, primary->keyid, 8, true, cert, 2, "");
	found_by(t, sub->keyid, 8, true, cert, 2, "");
	found_by(t, primary->fpr.octet, 20, true, cert, 2, "");
	found_by(t, sub->fpr.octet, 20, true, cert, 2, "");
	found_by(t, primary->fpr.octet, 16, false, cert, 2, "");
	pgp_cert_free(cert[0]);
	pgp_cert_free(cert[1]);
}

/* Anybody can bind another's encryption subkey. */
static void
subkey_of_two(void **state)
{
	struct tempstore *t = *state;
	const struct pgp_component *sub;
	struct pgp_cert *cert[2];
	unsigned n = 0;

	begin(t);
	cert[0] = put(t, with_subkey(1, 1500001000));
	cert[1] = put(t, with_subkey(2, 1500001000));
	sub = subkey_of(cert[0]);
	assert_int_equal(pgp_fpr_cmp(&sub->fpr, &subkey_of(cert[1])->fpr), 0);
	found_by(t, sub->fpr.octet, 20, false, cert, 2, "ab");
	found_by(t, sub->keyid, 8, false, cert, 2, "ab");
	found_by(t, sub->keyid + 4, 4, false, cert, 2, "ab");
	assert_int_equal(ks_short_id_count(t->ks, sub->keyid + 4, &n), KS_OK);
	assert_int_equal(n, 2);
	assert_int_equal(ks_delete(t->ks, pgp_cert_fpr(cert[1])), KS_OK);
	found_by(t, sub->fpr.octet, 20, false, cert, 2, "a");
	commit(t);
	assert_int_equal(ks_short_id_count(t->ks, sub->keyid + 4, &n), KS_OK);
	assert_int_equal(n, 1);
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(cert[0]);
	pgp_cert_free(cert[1]);
}

/* Found by these octets among more than ten: the first certificate. */
static void
found_first(struct tempstore *t, enum ks_query_kind kind,
    const unsigned char *octets, size_t n, const struct pgp_cert *first)
{
	struct ks_query query = {.kind = kind, .ndigits = 2 * n};
	struct ks_found found;

	memcpy(query.octet, octets, n);
	assert_int_equal(ks_find(t->ks, &query, 10, &found), KS_OK);
	assert_int_equal(found.n, 1);
	assert_int_equal(pgp_fpr_cmp(&found.fpr[0], pgp_cert_fpr(first)), 0);
	if (kind == KS_BY_KEYID)
		assert_int_equal(found.total, 12);
	ks_found_free(&found);
	assert_int_equal(ks_find(t->ks, &query, 12, &found), KS_OK);
	assert_int_equal(found.n, 12);
	ks_found_free(&found);
}

/* And another's primary key, as often as he likes. */
static void
subkey_of_many(void **state)
{
	struct tempstore *t = *state;
	struct forged what = {.seed = 107,
	    .created = 1500001000,
	    .bits = 512,
	    .id = {{.text = "Dan <dan@example.org>"}}};
	const struct pgp_component *key;
	struct pgp_cert *cert[12];

	cert[0] = forge(&what);
	assert_non_null(cert[0]);
	key = &cert[0]->components[0];
	begin(t);
	cert[0] = put(t, cert[0]);
	for (unsigned i = 1; i < 12; i++)
		cert[i] = put(t, with_subkey(i, 1500001000));
	commit(t);
	assert_int_equal(pgp_fpr_cmp(&key->fpr, &subkey_of(cert[1])->fpr), 0);
	found_first(t, KS_BY_FPR, key->fpr.octet, 20, cert[0]);
	found_first(t, KS_BY_KEYID, key->keyid, 8, cert[0]);
	found_first(t, KS_BY_KEYID, key->keyid + 4, 4, cert[0]);
	for (size_t i = 0; i < 12; i++)
		pgp_cert_free(cert[i]);
}

static void
bare_digits_before_words(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert[2];
	char hex[70], userid[80], got[32];

	begin(t);
	cert[0] = put(t, store_cert(1, "Victim <v@example.org>", NULL));
	hex_of(hex, cert[0]->components[0].keyid + 4, 4);
	(void)snprintf(userid, sizeof(userid), "Thief %s", hex + 2);
	cert[1] = put(t, store_cert(2, userid, NULL));
	commit(t);
	found_as(t, hex + 2, cert, 2, got);
	assert_string_equal(got, "a");
	begin(t);
	assert_int_equal(ks_delete(t->ks, pgp_cert_fpr(cert[0])), KS_OK);
	commit(t);
	found_as(t, hex + 2, cert, 2, got);
	assert_string_equal(got, "b");
	found_as(t, hex, cert, 2, got);
	assert_string_equal(got, "");
	pgp_cert_free(cert[0]);
	pgp_cert_free(cert[1]);
}

static const struct {
	const char *name, *text;
	size_t max;
	enum ks_status status;
	uint64_t total;
	size_t n;
} crowds[] = {
    {"all of a common word", "crowd", 0, KS_OK, 6000, 6000},
    {"at the limit", "crowd", 6000, KS_OK, 6000, 6000},
    {"one past it", "crowd", 5999, KS_TOO_MANY, 6000, 0},
    {"far past it", "crowd", 10, KS_TOO_MANY, 6000, 0},
    {"common and rare", "crowd rare", 10, KS_OK, 6, 6},
    {"common and half", "crowd half", 10, KS_TOO_MANY, 3000, 0},
    {"common and half, all", "half crowd", 0, KS_OK, 3000, 3000},
    {"two common ones", "crowd people", 10, KS_TOO_MANY, 6000, 0},
    {"two common ones, enough", "people crowd", 6000, KS_OK, 6000, 6000},
    {"four, few of all", "crowd third half rare", 10, KS_NOT_FOUND, 0, 0},
    {"three common ones", "crowd third half", 1000, KS_OK, 1000, 1000},
    {"half and third", "half third", 300, KS_TOO_MANY, 1000, 0},
    {"half and third, enough", "half third", 1000, KS_OK, 1000, 1000},
    {"a literal of many", "\"crowd half\"", 3000, KS_OK, 3000, 3000},
    {"a literal of all", "\"eople <all\"", 6000, KS_OK, 6000, 6000},
    {"a literal of few, all looked at", "\"d rar\"", 10, KS_OK, 6, 6},
    {"a literal of few, a word of many", "\"half rare\"", 10, KS_NOT_FOUND, 0,
	0},
    {"an address of many", "all@example.org", 10, KS_TOO_MANY, 6000, 0},
    {"an address of many, all", "all@example.org", 0, KS_OK, 6000, 6000},
};

static void
crowd(void **state)
{
	struct tempstore *t = *state;
	char userid[200];

	begin(t);
	for (unsigned i = 0; i < 6000; i++) {
		(void)snprintf(userid, sizeof(userid),
		    "crowd%s%s%s people <all@example.org>",
		    i % 2 == 0 ? " half" : "", i % 3 == 0 ? " third" : "",
		    i % 1000 == 7 ? " rare" : "");
		pgp_cert_free(put(t, store_cert(i, userid, NULL)));
	}
	commit(t);
	for (size_t i = 0; i < sizeof(crowds) / sizeof(crowds[0]); i++) {
		struct ks_found found;
		enum ks_status st =
		    find(t, crowds[i].text, crowds[i].max, &found);

		if (st != crowds[i].status || found.total != crowds[i].total ||
		    found.n != crowds[i].n)
			fail_msg("%s: %d, %llu, %zu", crowds[i].name, st,
			    (unsigned long long)found.total, found.n);
		ks_found_free(&found);
	}
	assert_int_equal(wrong_in(t), 0);
}

static const struct {
	const char *name;
	uint64_t n[4]; /* 0: no more words */
	bool too_long;
} efforts[] = {
    {"two rare ones", {1, 2}, false},
    {"rare and on all of a million", {5000, 1000000}, false},
    {"thrice so", {5000, 1000000, 1000000, 1000000}, false},
    {"two that fit", {99000, 101000}, false},
    {"two that do not", {99000, 101001}, true},
    {"three that do not", {50000, 50000, 100001}, true},
    {"looked up one by one", {6000, 1000000}, false},
    {"too many for that", {6100, 1000000}, true},
    {"of each too many", {6000, 1000000, 1000000}, true},
    {"no overflow", {UINT64_MAX / 64, UINT64_MAX / 2}, true},
};

static void
efforts_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++) {
		struct word_count word[4] = {{NULL, 0}};
		size_t n = 0;

		while (n < 4 && efforts[i].n[n] != 0) {
			word[n].n = efforts[i].n[n];
			n++;
		}
		if (words_too_long(word, n) != efforts[i].too_long)
			fail_msg("%s", efforts[i].name);
	}
}

/* User IDs that are not easily cut up: letters that stand alone, words longer
 * than what is kept of them, marks, many signs, what folds to more. */
static const char *const odd[] = {
    "J. R. \"Bob\" O'N (x) <j at r.example>",
    "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamten"
    "gesellschaft mbH",
    "stra\xc3\x9f"
    "e \xc5\xbf\xc4\xb0\xcc\x87 e\xcc\xb2lice \xcc\xb2",
    "\xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d\xe0\xa4\xa4\xe0\xa5\x87 "
    "\xe5\xb1\xb1\xe7\x94\xb0",
    "--==<<[x]>>==-- a1b2c3",
};

/* Each piece of a user ID finds it, wherever it is cut out. */
static void
every_piece(void **state)
{
	enum { N = sizeof(odd) / sizeof(odd[0]) };
	struct tempstore *t = *state;
	struct pgp_cert *cert[N];
	char text[260], got[32];

	begin(t);
	for (unsigned i = 0; i < N; i++)
		cert[i] = put(t, store_cert(i, odd[i], NULL));
	commit(t);
	for (size_t i = 0; i < N; i++) {
		size_t len = strlen(odd[i]), from, n;

		for (from = 0; from < len; from++)
			for (n = 2; n <= len - from; n += 1 + n / 8) {
				if ((odd[i][from] & 0xc0) == 0x80 ||
				    (odd[i][from + n] & 0xc0) == 0x80 ||
				    strspn(odd[i] + from, " ") >= n)
					continue;
				(void)snprintf(text, sizeof(text), "\"%.*s\"",
				    (int)n, odd[i] + from);
				found_as(t, text, cert, N, got);
				if (strchr(got, (int)('a' + i)) == NULL)
					fail_msg("%s: \"%s\"", text, got);
			}
	}
	for (size_t i = 0; i < N; i++)
		pgp_cert_free(cert[i]);
}

static const struct {
	const char *text;
	unsigned steps; /* at least */
	size_t n;
} long_searches[] = {
    {"\"dle1234 \"", 20, 1},	/* the end of a word */
    {"\"le123\"", 20, 11},	/* within one */
    {"\"> <\"", 500, 0},	/* signs: all certificates */
    {"\"x@e\"", 500, 10000},	/* a letter each */
    {"\"s person12\"", 1, 111}, /* the beginning of a word */
};

/* Ten thousand certificates: no step looks at all of them. */
static void
long_search(void **state)
{
	struct tempstore *t = *state;
	char userid[200];

	begin(t);
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(userid, sizeof(userid),
		    "needle%u is person%u <x@e.example>", i, i);
		pgp_cert_free(put(t, store_cert(i, userid, NULL)));
	}
	commit(t);
	for (size_t i = 0; i < sizeof(long_searches) / sizeof(*long_searches);
	     i++) {
		struct timespec began, ended;
		struct ks_search *s;
		struct ks_found found;
		struct ks_query q;
		unsigned steps = 0;
		const char *why;
		bool more = true;

		assert_int_equal(
		    ks_query_parse(long_searches[i].text, &q, &why), KS_OK);
		assert_int_equal(ks_search_new(&q, &s), KS_OK);
		clock_gettime(CLOCK_MONOTONIC, &began);
		for (; more; steps++)
			assert_int_equal(
			    ks_search_step(t->ks, s, 0, &more), KS_OK);
		clock_gettime(CLOCK_MONOTONIC, &ended);
		(void)ks_search_found(s, 0, &found);
		print_message("# %s: %zu found in %u steps, %.1f ms\n",
		    long_searches[i].text, found.n, steps,
		    (double)(ended.tv_sec - began.tv_sec) * 1e3 +
			(double)(ended.tv_nsec - began.tv_nsec) / 1e6);
		if (found.n != long_searches[i].n ||
		    steps < long_searches[i].steps)
			fail_msg("%s: %zu in %u steps", long_searches[i].text,
			    found.n, steps);
		ks_found_free(&found);
		ks_search_free(s);
		ks_query_free(&q);
	}
}

/* No name of a certificate that nobody vouches for is found. */
static void
search_verified(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *cert[2];
	char got[32];

	begin(t);
	cert[0] = put(t, store_cert(1, "Alice <alice@example.org>", NULL));
	cert[1] = store_cert(2, "Alice <alice@example.org>", NULL);
	cert[1]->unverified = true;
	(void)put(t, cert[1]);
	commit(t);
	found_as(t, "\"lic\"", cert, 2, got);
	assert_string_equal(got, "a");
	found_as(t, "\" <\"", cert, 2, got);
	assert_string_equal(got, "a");
	pgp_cert_free(cert[0]);
	pgp_cert_free(cert[1]);
}

/* A search that has found enough ends, and says so. */
static void
search_enough(void **state)
{
	struct tempstore *t = *state;
	struct ks_found found;

	begin(t);
	for (unsigned i = 0; i < 1500; i++)
		pgp_cert_free(put(t, store_cert(i, "all of them", NULL)));
	commit(t);
	assert_int_equal(find(t, "\"ll o\"", 10, &found), KS_TOO_MANY);
	assert_true(found.more);
	assert_in_range(found.total, 1001, 1100);
	assert_int_equal(find(t, "\"ll o\"", 1400, &found), KS_TOO_MANY);
	assert_true(found.total > 1400);
	assert_int_equal(find(t, "\"ll o\"", 1500, &found), KS_OK);
	assert_false(found.more);
	assert_int_equal(found.n, 1500);
	ks_found_free(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(read_well),
	    cmocka_unit_test(digits_are_read),
	    cmocka_unit_test(refused),
	    store_test(searching),
	    store_test(digits_found),
	    store_test(subkey_of_two),
	    store_test(subkey_of_many),
	    store_test(bare_digits_before_words),
	    store_test(crowd),
	    cmocka_unit_test(efforts_bounded),
	    store_test(every_piece),
	    store_test(long_search),
	    store_test(search_verified),
	    store_test(search_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
