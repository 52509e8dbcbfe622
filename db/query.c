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
static const char why_many[] = "At most 16 words can be looked up at once.";

void
ks_query_free(struct ks_query *q)
{
	free(q->text);
	free(q->prefix);
	for (size_t i = 0; i < q->nwords; i++)
		free(q->word[i]);
	memset(q, 0, sizeof(*q));
}

/* ---- digits -------------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Reads digits with blanks between them; false for what is none of the
 * lengths that a key ID or a fingerprint has. */
static bool
digits_read(const char *text, size_t n, struct ks_query *q)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		int v = hex_value(text[i]);

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
	const char *text; /* folded */
	size_t len;
	char *head, *tail; /* of a literal: its first and last word, where they
			      may be parts of longer ones */
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

/* A literal begins and ends anywhere: in the middle of a word, too. */
static bool
edge_take(void *ctx, const char *word, size_t len)
{
	struct word_sink *sink = ctx;
	char **edge = NULL;

	if (word + len == sink->text + sink->len)
		edge = &sink->tail;
	else if (word == sink->text)
		edge = &sink->head;
	if (edge == NULL)
		return word_take(ctx, word, len);
	*edge = strndup(word, len);
	sink->nomem = *edge == NULL;
	return !sink->nomem;
}

/*
 * What a literal is looked up by: its whole words; without any, what its last
 * word begins with; without that, its first word, which then must be whole.
 */
static void
edges_settle(struct word_sink *sink)
{
	struct ks_query *q = sink->q;

	if (q->nwords == 0 && sink->tail != NULL) {
		q->prefix = sink->tail;
		sink->tail = NULL;
	} else if (q->nwords == 0 && sink->head != NULL) {
		q->word[q->nwords++] = sink->head;
		sink->head = NULL;
	}
	free(sink->head);
	free(sink->tail);
}

/* Takes the words of a text; `keep` keeps the folded text, too. */
static enum ks_status
words_take(
    struct ks_query *q, const char *text, size_t n, bool keep, const char **why)
{
	struct word_sink sink = {.q = q};
	size_t len;
	char *folded = text_fold(text, n, &len);

	if (folded == NULL)
		return KS_NOMEM;
	sink.text = folded;
	sink.len = len;
	words_each(folded, len, keep ? edge_take : word_take, &sink);
	edges_settle(&sink);
	if (keep)
		q->text = folded;
	else
		free(folded);
	if (sink.nomem)
		return KS_NOMEM;
	if (!sink.many && (q->nwords > 0 || q->prefix != NULL))
		return KS_OK;
	*why = sink.many ? why_many : why_no_word;
	return KS_BAD_QUERY;
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
