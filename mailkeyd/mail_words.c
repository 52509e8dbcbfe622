/*
 * Text of strangers: encoded words undone (RFC 2047), and made fit to be shown.
 */
#include "mailkeyd/mail_read.h"
#include "pgp/pgp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- cleaning ------------------------------------------------------------ */

/* The character at p (RFC 3629); returns its octets, 0 for an invalid one. */
static size_t
utf8_next(const unsigned char *p, size_t len, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n;

	if (p[0] < 0x80) {
		*c = p[0];
		return 1;
	}
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	*c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3fu);
	}
	if (*c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
		return 0;
	return n;
}

/* Controls, line ends, and what turns the direction of text around. */
static bool
is_unfit(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c ||
	       c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

bool
mail_text_sound(const char *s)
{
	size_t len = strlen(s), n;
	uint32_t c;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_next((const unsigned char *)s + i, len - i, &c);
		if (n == 0 || is_unfit(c))
			return false;
	}
	return true;
}

char *
mail_text_clean(const char *s, size_t len, size_t max)
{
	/* an invalid octet becomes three */
	size_t room = len < max / 3 ? len * 3 : max, n, out = 0;
	char *copy = malloc(room + 1);

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += n) {
		const char *from = s + i;
		size_t take;
		uint32_t c;

		n = utf8_next((const unsigned char *)from, len - i, &c);
		take = n;
		if (n == 0) {
			n = 1;
			from = REPLACEMENT;
			take = sizeof(REPLACEMENT) - 1;
		} else if (c == ' ' || is_unfit(c)) {
			if (out == 0 || copy[out - 1] == ' ')
				continue;
			from = " ";
			take = 1;
		}
		if (take > room - out)
			break;
		memcpy(copy + out, from, take);
		out += take;
	}
	while (out > 0 && copy[out - 1] == ' ')
		out--;
	copy[out] = '\0';
	return copy;
}

/* ---- encoded words ------------------------------------------------------- */

struct word {
	const char *charset, *text, *end; /* end: behind the "?=" */
	size_t charset_len, text_len;
	char encoding; /* 'B' or 'Q' */
};

/* Octets of one character set that wait to be converted together: a character
 * may begin in one word and end in the next. */
struct pending {
	FILE *out;
	char *octets;
	size_t len;
	const char *charset;
	size_t charset_len;
};

static void
flush(struct pending *p)
{
	if (p->len > 0)
		mail_charset_put(
		    p->out, p->charset, p->charset_len, p->octets, p->len);
	p->len = 0;
}

static const char *
find(const char *p, const char *end, const char *what)
{
	return memmem(p, (size_t)(end - p), what, strlen(what));
}

/* Reads the word that begins with "=?" at p. */
static bool
word_read(const char *p, const char *end, struct word *w)
{
	const char *q, *star;

	p += 2;
	q = memchr(p, '?', (size_t)(end - p));
	if (q == NULL || q == p || end - q < 5 || q[2] != '?')
		return false;
	w->charset = p;
	w->charset_len = (size_t)(q - p);
	if (w->charset_len > 40 || memchr(p, ' ', w->charset_len) != NULL)
		return false;
	star = memchr(p, '*', w->charset_len); /* a language: RFC 2231, 5 */
	if (star != NULL)
		w->charset_len = (size_t)(star - p);
	w->encoding = q[1] & ~0x20; /* either case */
	if (w->encoding != 'B' && w->encoding != 'Q')
		return false;
	w->text = q + 3;
	q = find(w->text, end, "?=");
	if (q == NULL)
		return false;
	w->text_len = (size_t)(q - w->text);
	w->end = q + 2;
	return true;
}

static size_t
undo_q(const char *s, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '=' && len - i > 2 &&
		    pgp_hex_value(s[i + 1]) >= 0 &&
		    pgp_hex_value(s[i + 2]) >= 0) {
			out[n++] = (char)(pgp_hex_value(s[i + 1]) << 4 |
					  pgp_hex_value(s[i + 2]));
			i += 2;
		} else {
			out[n++] = s[i] == '_' ? ' ' : s[i];
		}
	}
	return n;
}

static size_t
undo_b(const char *s, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *d = s[i] == '\0' ? NULL : strchr(digits, s[i]);

		if (d == NULL)
			continue;
		bits = (bits << 6 | (uint32_t)(d - digits)) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (char)(bits >> have);
		}
	}
	return n;
}

static void
put_word(struct pending *p, const struct word *w)
{
	if (p->len > 0 &&
	    (p->charset_len != w->charset_len ||
		strncasecmp(p->charset, w->charset, w->charset_len) != 0))
		flush(p);
	p->charset = w->charset;
	p->charset_len = w->charset_len;
	p->len += (w->encoding == 'Q' ? undo_q : undo_b)(
	    w->text, w->text_len, p->octets + p->len);
}

static void
undo_words(const char *s, size_t len, struct pending *p)
{
	const char *end = s + len;
	bool after_word = false;

	while (s < end) {
		const char *next = find(s, end, "=?");
		struct word w;

		if (next == NULL) {
			flush(p);
			fwrite(s, 1, (size_t)(end - s), p->out);
			return;
		}
		/* blanks between two words are no text (RFC 2047, 6.2) */
		if (!after_word || strspn(s, " \t\r\n") < (size_t)(next - s)) {
			if (next > s)
				flush(p);
			fwrite(s, 1, (size_t)(next - s), p->out);
		}
		if (word_read(next, end, &w)) {
			put_word(p, &w);
			s = w.end;
			after_word = true;
		} else {
			flush(p);
			fwrite(next, 1, 2, p->out);
			s = next + 2;
			after_word = false;
		}
	}
	flush(p);
}

char *
mail_words_decode(const char *s, size_t len, size_t max)
{
	struct pending p = {0};
	char *text = NULL, *clean = NULL;
	size_t n = 0;

	if (len < 2 || find(s, s + len, "=?") == NULL)
		return mail_text_clean(s, len, max);
	p.octets = malloc(len);
	p.out = pgp_memstream(&text, &n);
	if (p.octets == NULL || p.out == NULL)
		goto done;
	undo_words(s, len, &p);
	if (fclose(p.out) == 0)
		clean = mail_text_clean(text, n, max);
	p.out = NULL;
done:
	if (p.out != NULL)
		fclose(p.out);
	free(text);
	free(p.octets);
	return clean;
}
