/* What a person wrote after GET, read: digits, an address, words, a text. */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

#define QUERY_MAX 255 /* octets */

static const char why_long[] = "A search may have at most 255 characters.";
static const char why_short[] = "A search needs at least two characters.";
static const char why_digits[] =
    "A key ID has 8 or 16 hexadecimal digits, a fingerprint 32, 40 or 64.";
static const char why_no_word[] =
    "A search needs at least one whole word of two letters or digits.";
static const char why_literal[] =
    "A text in quotes needs at least two characters.";
static const char why_many[] = "At most 16 words can be looked up at once.";

void
ks_query_free(struct ks_query *q)
{
	free(q->text);
	free(q->part);
	for (size_t i = 0; i < q->nwords; i++)
		free(q->word[i]);
	memset(q, 0, sizeof(*q));
}

/* ---- digits -------------------------------------------------------------- */

/* Reads digits with blanks between them; false for what is none of the
 * lengths that a key ID or a fingerprint has. */
static bool
digits_read(const char *text, size_t n, struct ks_query *q)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		int v = pgp_hex_value(text[i]);

		if (text[i] == ' ')
			continue;
		if (v < 0 || digits == (size_t)2 * PGP_FPR_MAX)
			return false;
		if (digits % 2 == 0)
			q->octet[digits / 2] = (unsigned char)(v << 4);
		else
			q->octet[digits / 2] |= (unsigned char)v;
		digits++;
	}
	switch (digits) {
	case 8:
	case 16:
		q->kind = KS_BY_KEYID;
		break;
	case 32:
	case 40:
	case 64:
		q->kind = KS_BY_FPR;
		break;
	default:
		return false;
	}
	q->ndigits = digits;
	return true;
}

/* ---- words --------------------------------------------------------------- */

struct word_sink {
	struct ks_query *q;
	const char *begin, *end;	/* of the folded text */
	char *part[KS_PART_WITHIN + 1]; /* of a literal, by enum ks_part */
	bool nomem, many;
};

static bool
word_take(void *ctx, const char *word, size_t len)
{
	struct word_sink *sink = ctx;
	struct ks_query *q = sink->q;

	for (size_t i = 0; i < q->nwords; i++)
		if (strlen(q->word[i]) == len &&
		    memcmp(q->word[i], word, len) == 0)
			return true;
	if (q->nwords == KS_QUERY_WORDS) {
		sink->many = true;
		return false;
	}
	q->word[q->nwords] = strndup(word, len);
	if (q->word[q->nwords] == NULL) {
		sink->nomem = true;
		return false;
	}
	q->nwords++;
	return true;
}

/* A literal begins and ends anywhere: in the middle of a word, too.  Where it
 * begins so, a long word is of no use, since what the store has of such a word
 * may be another piece. */
static bool
literal_take(void *ctx, const char *word, size_t len)
{
	struct word_sink *sink = ctx;
	enum ks_part at = KS_PART_NONE;

	if (word == sink->begin)
		at = word + len == sink->end ? KS_PART_WITHIN : KS_PART_END;
	else if (word + len == sink->end)
		at = KS_PART_BEGIN;
	if (at == KS_PART_NONE)
		return word_take(ctx, word, len);
	if (at != KS_PART_BEGIN && WORD_CUT(len))
		return true;
	sink->part[at] = strndup(word, len);
	sink->nomem = sink->part[at] == NULL;
	return !sink->nomem;
}

/* What a literal is looked up by: its whole words, else a part; how one begins
 * is found at once, for the others all words must be looked at. */
static void
parts_settle(struct word_sink *sink)
{
	struct ks_query *q = sink->q;

	for (enum ks_part at = KS_PART_BEGIN; at <= KS_PART_WITHIN; at++) {
		if (q->nwords == 0 && q->part == NULL &&
		    sink->part[at] != NULL) {
			q->part = sink->part[at];
			q->at = at;
		} else {
			free(sink->part[at]);
		}
	}
}

/* Takes the words of a text; of a literal its folded text, too. */
static enum ks_status
words_take(struct ks_query *q, const char *text, size_t n, bool literal,
    const char **why)
{
	struct word_sink sink = {.q = q};
	size_t len;
	char *folded = text_fold(text, n, &len);

	if (folded == NULL)
		return KS_NOMEM;
	sink.begin = folded + text_marks(folded, len);
	sink.end = folded + len;
	words_each(folded, len, literal ? literal_take : word_take, &sink);
	parts_settle(&sink);
	if (literal)
		q->text = folded;
	else
		free(folded);
	if (sink.nomem)
		return KS_NOMEM;
	/* A literal needs no more words than there is room for. */
	if (literal || (!sink.many && q->nwords > 0))
		return KS_OK;
	*why = sink.many ? why_many : why_no_word;
	return KS_BAD_QUERY;
}

/* Blanks alone are in nearly every user ID, and so are single letters. */
static bool
literal_worth(const char *text, size_t n)
{
	return n >= 2 && strspn(text, " ") < n;
}

/* ---- the forms ----------------------------------------------------------- */

/* A key ID is looked up as such first, and when no key has it, as words.  A
 * fingerprint is one: a user ID could name that of somebody else's key. */
static enum ks_status
bare_digits(struct ks_query *q, const char *text, size_t n)
{
	const char *ignored;
	enum ks_status st;

	if (q->kind == KS_BY_FPR)
		return KS_OK;
	q->bare = true;
	st = words_take(q, text, n, false, &ignored);
	/* "a b c d ...": there is no word in it. */
	return st == KS_BAD_QUERY ? KS_OK : st;
}

/* Whether text stands between these two characters, which are cut off. */
static bool
enclosed(const char **text, size_t *n, char open, char close)
{
	if (*n < 2 || (*text)[0] != open || (*text)[*n - 1] != close)
		return false;
	++*text;
	*n -= 2;
	return true;
}

static enum ks_status
address_take(struct ks_query *q, const char *text, size_t n)
{
	char address[ADDRESS_MAX + 1];
	enum ks_status st;

	(void)enclosed(&text, &n, '<', '>');
	if ((st = address_normal(text, n, address)) != KS_OK)
		return st;
	q->kind = KS_BY_EMAIL;
	q->text = strdup(address);
	return q->text == NULL ? KS_NOMEM : KS_OK;
}

static enum ks_status
read_text(struct ks_query *q, const char *text, size_t n, const char **why)
{
	enum ks_status st;
	bool literal;

	if (n >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		if (digits_read(text + 2, n - 2, q))
			return KS_OK;
		*why = why_digits;
		return KS_BAD_QUERY;
	}
	if (digits_read(text, n, q))
		return bare_digits(q, text, n);
	literal = enclosed(&text, &n, '"', '"');
	if ((st = address_take(q, text, n)) != KS_NOT_FOUND)
		return st;
	if (literal && !literal_worth(text, n)) {
		*why = why_literal;
		return KS_BAD_QUERY;
	}
	q->kind = literal ? KS_BY_LITERAL : KS_BY_WORDS;
	return words_take(q, text, n, literal, why);
}

enum ks_status
ks_query_parse(const char *what, struct ks_query *out, const char **why)
{
	struct ks_query q = {0};
	enum ks_status st = KS_BAD_QUERY;
	size_t n = strnlen(what, QUERY_MAX + 1);
	char *clean, *text;

	if (n > QUERY_MAX) {
		*why = why_long;
		return KS_BAD_QUERY;
	}
	if ((clean = text = text_utf8(what, n, &n)) == NULL)
		return KS_NOMEM;
	for (; n > 0 && *text == ' '; n--)
		text++;
	while (n > 0 && text[n - 1] == ' ')
		n--;
	if (n < 2)
		*why = why_short;
	else
		st = read_text(&q, text, n, why);
	free(clean);
	if (st == KS_OK)
		*out = q;
	else
		ks_query_free(&q);
	return st;
}
