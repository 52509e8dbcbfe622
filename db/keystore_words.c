/* Words and addresses of user IDs, and all else a certificate is found by. */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

/* ---- text ---------------------------------------------------------------- */

/* C0, DEL, C1 and the no-break space. */
static bool
reads_as_blank(ucs4_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0xa0);
}

/* Most user IDs are: for them all that follows is simple. */
static bool
is_ascii(const uint8_t *text, size_t n)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < n; i++)
		bits |= text[i];
	return bits < 0x80;
}

/* A copy with a NUL behind it. */
static char *
ascii_copy(const uint8_t *in, size_t n, char (*of)(uint8_t), size_t *len)
{
	char *out = malloc(n + 1);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		out[i] = of(in[i]);
	out[n] = '\0';
	*len = n;
	return out;
}

static char
ascii_shown(uint8_t c)
{
	return reads_as_blank(c) ? ' ' : (char)c;
}

static char
ascii_folded(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static char *
utf8_copy(const uint8_t *in, size_t n, size_t *len)
{
	bool utf8 = u8_check(in, n) == NULL;
	uint8_t *out = malloc(2 * n + 1);
	size_t o = 0;
	ucs4_t c;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < n;) {
		if (utf8) {
			i += (size_t)u8_mbtouc_unsafe(&c, in + i, n - i);
		} else {
			c = in[i++];
		}
		if (reads_as_blank(c))
			c = ' ';
		/* Two octets hold ISO 8859-1, and else it is a copy. */
		o += (size_t)u8_uctomb(out + o, c, (int)(2 * n - o));
	}
	out[o] = '\0';
	*len = o;
	return (char *)out;
}

char *
text_utf8(const void *octets, size_t n, size_t *len)
{
	return is_ascii(octets, n) ? ascii_copy(octets, n, ascii_shown, len)
				   : utf8_copy(octets, n, len);
}

char *
text_fold(const char *utf8, size_t n, size_t *len)
{
	const uint8_t *text = (const uint8_t *)utf8;
	size_t folded_len;
	uint8_t *folded;
	char *out = NULL;

	if (is_ascii(text, n))
		return ascii_copy(text, n, ascii_folded, len);
	folded = u8_casefold(text, n, NULL, UNINORM_NFC, NULL, &folded_len);
	if (folded == NULL)
		return NULL;
	out = malloc(folded_len + 1);
	if (out != NULL) {
		memcpy(out, folded, folded_len);
		out[folded_len] = '\0';
		*len = folded_len;
	}
	free(folded);
	return out;
}

/* ---- words --------------------------------------------------------------- */

static bool
is_letter_or_digit(ucs4_t c)
{
	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		       (c >= 'A' && c <= 'Z');
	return uc_is_general_category_withtable(
	    c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N);
}

static bool
is_mark(ucs4_t c)
{
	return c >= 0x80 &&
	       uc_is_general_category_withtable(c, UC_CATEGORY_MASK_M);
}

/*
 * Reads one word that begins at text[*pos] and moves *pos behind it.  *chars
 * counts letters and digits; marks belong to the letter before them.  Returns
 * how much of the word is kept.
 */
static size_t
word_read(const uint8_t *text, size_t n, size_t *pos, size_t *chars)
{
	size_t start = *pos, kept = 0;
	ucs4_t c;

	*chars = 0;
	while (*pos < n) {
		int step = u8_mbtouc(&c, text + *pos, n - *pos);

		if (is_letter_or_digit(c))
			++*chars;
		else if (*chars == 0 || !is_mark(c))
			break;
		*pos += (size_t)step;
		if (*pos - start <= WORD_MAX)
			kept = *pos - start;
	}
	return kept;
}

size_t
text_marks(const char *folded, size_t n)
{
	const uint8_t *text = (const uint8_t *)folded;
	size_t pos = 0;
	ucs4_t c;

	while (pos < n) {
		int step = u8_mbtouc(&c, text + pos, n - pos);

		if (!is_mark(c))
			break;
		pos += (size_t)step;
	}
	return pos;
}

void
words_each(const char *folded, size_t n,
    bool (*visit)(void *ctx, const char *word, size_t len), void *ctx)
{
	const uint8_t *text = (const uint8_t *)folded;
	size_t pos = 0, start, kept, chars;
	ucs4_t c;

	while (pos < n) {
		start = pos;
		kept = word_read(text, n, &pos, &chars);
		if (pos == start)
			pos += (size_t)u8_mbtouc(&c, text + pos, n - pos);
		else if (chars >= 2 && !visit(ctx, folded + start, kept))
			return;
	}
}

/* ---- addresses ----------------------------------------------------------- */

static bool
address_sane(const char *text, size_t n)
{
	const char *at = memchr(text, '@', n);

	if (at == NULL || at == text || at + 1 == text + n)
		return false;
	if (memchr(at + 1, '@', (size_t)(text + n - at - 1)) != NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c == 0x7f || strchr("<>()[],;:\"\\", c) != NULL)
			return false;
	}
	return true;
}

enum ks_status
address_normal(const char *utf8, size_t n, char out[ADDRESS_MAX + 1])
{
	size_t local, len;
	char *domain;

	for (; n > 0 && *utf8 == ' '; n--)
		utf8++;
	while (n > 0 && utf8[n - 1] == ' ')
		n--;
	if (!address_sane(utf8, n))
		return KS_NOT_FOUND;
	local = (size_t)((const char *)memchr(utf8, '@', n) - utf8) + 1;
	domain = text_fold(utf8 + local, n - local, &len);
	if (domain == NULL)
		return KS_NOMEM;
	if (len > ADDRESS_MAX - 1 || local > ADDRESS_MAX - len) {
		free(domain);
		return KS_NOT_FOUND;
	}
	/* RFC 5321, 2.4: the local part is the other host's; only ASCII is
	 * folded, as everybody does. */
	memcpy(out, utf8, local);
	for (size_t i = 0; i < local; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] + ('a' - 'A'));
	memcpy(out + local, domain, len + 1);
	free(domain);
	return KS_OK;
}

enum ks_status
address_of_userid(const char *utf8, size_t n, char out[ADDRESS_MAX + 1])
{
	const char *close = memrchr(utf8, '>', n), *open = NULL;

	if (close != NULL)
		open = memrchr(utf8, '<', (size_t)(close - utf8));
	if (open == NULL)
		return address_normal(utf8, n, out);
	return address_normal(open + 1, (size_t)(close - open - 1), out);
}

/* ---- entries ------------------------------------------------------------- */

int
entry_cmp(const struct entry *a, const struct entry *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int d;

	if (a->table != b->table)
		return a->table < b->table ? -1 : 1;
	if ((d = memcmp(a->key, b->key, n)) != 0)
		return d;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->subkey - b->subkey;
}

void
entries_free(struct entries *set)
{
	free(set->entry);
	memset(set, 0, sizeof(*set));
}

/* Where an entry is, or belongs; whether it is there. */
static size_t
entries_place(const struct entries *set, const struct entry *e, bool *there)
{
	size_t low = 0, high = set->n;

	*there = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int d = entry_cmp(&set->entry[mid], e);

		if (d == 0) {
			*there = true;
			return mid;
		}
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static enum ks_status
entries_add(struct entries *set, enum table table, const void *key, size_t len,
    bool subkey)
{
	struct entry e = {.table = (unsigned char)table,
			 .len = (unsigned char)len,
			 .subkey = subkey},
		     *grown;
	size_t place, size;
	bool there;

	memcpy(e.key, key, len);
	place = entries_place(set, &e, &there);
	if (there)
		return KS_OK;
	if (set->n == set->size) {
		size = set->size == 0 ? 32 : 2 * set->size;
		grown = realloc(set->entry, size * sizeof(e));
		if (grown == NULL)
			return KS_NOMEM;
		set->entry = grown;
		set->size = size;
	}
	memmove(set->entry + place + 1, set->entry + place,
	    (set->n - place) * sizeof(e));
	set->entry[place] = e;
	set->n++;
	set->words += table == T_WORD;
	return KS_OK;
}

struct word_sink {
	struct entries *set;
	enum ks_status status;
};

static bool
word_add(void *ctx, const char *word, size_t len)
{
	struct word_sink *sink = ctx;

	if (sink->set->words == WORDS_MAX)
		return false;
	sink->status = entries_add(sink->set, T_WORD, word, len, false);
	return sink->status == KS_OK;
}

static enum ks_status
userid_entries(struct entries *set, const struct pgp_component *userid)
{
	struct word_sink sink = {set, KS_OK};
	char address[ADDRESS_MAX + 1], *text, *folded = NULL;
	enum ks_status st = KS_NOMEM;
	size_t len, folded_len;

	text = text_utf8(userid->body, userid->len, &len);
	if (text == NULL)
		return KS_NOMEM;
	folded = text_fold(text, len, &folded_len);
	if (folded == NULL)
		goto done;
	words_each(folded, folded_len, word_add, &sink);
	if ((st = sink.status) != KS_OK)
		goto done;
	st = address_of_userid(text, len, address);
	if (st == KS_OK)
		st = entries_add(set, T_EMAIL, address, strlen(address), false);
	else if (st == KS_NOT_FOUND)
		st = KS_OK;
done:
	free(folded);
	free(text);
	return st;
}

static enum ks_status
key_entries(struct entries *set, const struct pgp_component *key, bool fpr_only)
{
	const bool subkey = key->kind == PGP_SUBKEY;
	unsigned char id[8];
	enum ks_status st;

	/* Low half first: eight digits are a prefix. */
	memcpy(id, key->keyid + 4, 4);
	memcpy(id + 4, key->keyid, 4);
	st = fpr_only ? KS_OK
		      : entries_add(set, T_KEYID, id, sizeof(id), subkey);
	return st == KS_OK ? entries_add(set, T_FPR, key->fpr.octet,
				 key->fpr.len, subkey)
			   : st;
}

enum ks_status
entries_of(const struct pgp_cert *cert, struct entries *set)
{
	enum ks_status st = KS_OK;

	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < cert->ncomponents && st == KS_OK; i++) {
		const struct pgp_component *c = &cert->components[i];

		if (c->kind == PGP_USERID && !cert->unverified)
			st = userid_entries(set, c);
		else if (c->kind == PGP_PRIMARY || c->kind == PGP_SUBKEY)
			st = key_entries(set, c, cert->unverified);
	}
	if (st != KS_OK)
		entries_free(set);
	return st;
}
