/*
 * Text on its way into a mail: see mail_encode.h.
 */
#include "mailkeyd/mail_encode.h"

#include <string.h>

#define WORD_MAX       60 /* of an encoded word; fits behind "Subject: " */
#define WORD_HEAD      "=?utf-8?Q?"
#define WORD_TAIL      "?="
#define QP_LINE_MAX    76
#define PLAIN_LINE_MAX 900 /* of 998 (RFC 5322, 2.1.1) */

size_t
mail_utf8(const char *text, size_t len, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	uint32_t c;
	size_t n, i;

	if (len == 0)
		return 0;
	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > len)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

bool
mail_utf8_visible(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if (c == 0x2028 || c == 0x2029 || c == 0xfeff)
		return false;
	if (c == 0x061c || c == 0x200e || c == 0x200f)
		return false;
	return !((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
}

/* How many octets of ASCII that stay as they are a text begins with. */
static size_t
clean_already(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && ((text[n] >= ' ' && text[n] <= '~') ||
			      text[n] == '\n' || text[n] == '\t'))
		n++;
	return n;
}

void
mail_clean_text(FILE *f, const char *text, size_t len)
{
	uint32_t code = 0;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		if ((n = clean_already(text + i, len - i)) > 0) {
			fwrite(text + i, 1, n, f);
			continue;
		}
		n = mail_utf8(text + i, len - i, &code);
		if (n == 0) {
			n = 1;
			putc('?', f);
		} else if (mail_utf8_visible(code)) {
			fwrite(text + i, 1, n, f);
		} else if (code != '\r' || i + 1 >= len ||
			   text[i + 1] != '\n') {
			putc('?', f);
		}
	}
	if (len > 0 && text[len - 1] != '\n')
		putc('\n', f);
}

/* ---- headers ------------------------------------------------------------- */

/* Q encoding for every place (RFC 2047, 5.3): letters and digits stand for
 * themselves, a blank is an underscore. */
static size_t
q_encode(char out[3], unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9')) {
		out[0] = (char)c;
		return 1;
	}
	if (c == ' ') {
		out[0] = '_';
		return 1;
	}
	out[0] = '=';
	out[1] = hex[c >> 4];
	out[2] = hex[c & 15];
	return 3;
}

/* Encoded words with a blank between; a character is never divided (RFC 2047,
 * 5: each word stands for itself). */
static void
encoded_words(FILE *f, const char *s, size_t len)
{
	char q[4 * 3], one[3];
	size_t i, k, n, m, col;
	uint32_t code;

	fputs(WORD_HEAD, f);
	col = strlen(WORD_HEAD);
	for (i = 0; i < len; i += n) {
		n = mail_utf8(s + i, len - i, &code);
		if (n == 0 || !mail_utf8_visible(code)) {
			n = 1;
			m = q_encode(q, '?');
		} else {
			for (m = k = 0; k < n; k++) {
				size_t w =
				    q_encode(one, (unsigned char)s[i + k]);

				memcpy(q + m, one, w);
				m += w;
			}
		}
		if (col + m + strlen(WORD_TAIL) > WORD_MAX) {
			fputs(WORD_TAIL " " WORD_HEAD, f);
			col = strlen(WORD_HEAD);
		}
		fwrite(q, 1, m, f);
		col += m;
	}
	fputs(WORD_TAIL, f);
}

static bool
needs_encoding(const char *s, size_t len)
{
	size_t i;

	if (len > WORD_MAX)
		return true; /* cannot be folded otherwise */
	for (i = 0; i < len; i++) {
		if (s[i] < '!' || s[i] > '~')
			return true;
		if (s[i] == '=' && i + 1 < len && s[i + 1] == '?')
			return true;
	}
	return false;
}

void
mail_encode_value(FILE *f, const char *s)
{
	const char *run = NULL; /* begin of words that are encoded together,
				   with the blanks between them: a reader
				   drops those between encoded words */
	const char *end = NULL, *sep = "";
	size_t n;

	for (s += strspn(s, " "); *s != '\0'; s += strspn(s, " ")) {
		n = strcspn(s, " ");
		if (needs_encoding(s, n)) {
			if (run == NULL)
				run = s;
			end = s + n;
		} else {
			if (run != NULL) {
				fputs(sep, f);
				encoded_words(f, run, (size_t)(end - run));
				run = NULL;
				sep = " ";
			}
			fputs(sep, f);
			fwrite(s, 1, n, f);
			sep = " ";
		}
		s += n;
	}
	if (run != NULL) {
		fputs(sep, f);
		encoded_words(f, run, (size_t)(end - run));
	}
}

void
mail_encode_phrase(FILE *f, const char *s)
{
	static const char atext[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789!#$%&'*+-/=?^_`{|}~ ";
	size_t i, len = strlen(s);

	for (i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~')
			break;
	if (i < len || len > WORD_MAX || strstr(s, "=?") != NULL) {
		encoded_words(f, s, len);
		return;
	}
	if (len > 0 && s[0] != ' ' && s[len - 1] != ' ' &&
	    strspn(s, atext) == len) {
		fputs(s, f);
		return;
	}
	putc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putc('\\', f);
		putc(*s, f);
	}
	putc('"', f);
}

/* ---- bodies -------------------------------------------------------------- */

/*
 * Whether a line that begins so would be taken for something else: a boundary
 * or armor by a program that reads the raw mail ("gpg --import"), a new message
 * by one that keeps mails in an mbox file, the end of the mail by a bad MTA.
 */
static bool
misleads(const char *s, size_t len)
{
	if (len >= 2 && s[0] == '-' && s[1] == '-')
		return true;
	if (len >= 5 && memcmp(s, "From ", 5) == 0)
		return true;
	return len >= 1 && s[0] == '.' && (len == 1 || s[1] == '\n');
}

bool
mail_plain(const char *s, size_t len)
{
	size_t i, col = 0;

	for (i = 0; i < len; i++) {
		if (s[i] == '\n') {
			col = 0;
			continue;
		}
		if (col == 0 && misleads(s + i, len - i))
			return false;
		if (((s[i] < ' ' || s[i] > '~') && s[i] != '\t') ||
		    ++col > PLAIN_LINE_MAX)
			return false;
	}
	return true;
}

static bool
qp_literal(const char *s, size_t len, size_t col)
{
	bool last = len == 1 || s[1] == '\n';

	if (*s == ' ' || *s == '\t')
		return !last;
	if (*s < '!' || *s > '~' || *s == '=')
		return false;
	return col > 0 || !misleads(s, len);
}

void
mail_quoted_printable(FILE *f, const char *s, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t i, max, col = 0;
	bool literal;

	for (i = 0; i < len; i++) {
		if (s[i] == '\n') {
			putc_unlocked('\n', f);
			col = 0;
			continue;
		}
		/* Room for the "=" of a soft line break, unless this ends the
		 * line anyway. */
		max = i + 1 == len || s[i + 1] == '\n' ? QP_LINE_MAX
						       : QP_LINE_MAX - 1;
		literal = qp_literal(s + i, len - i, col);
		if (col + (literal ? 1 : 3) > max) {
			fputs("=\n", f);
			col = 0;
			literal = qp_literal(s + i, len - i, col);
		}
		if (literal) {
			putc_unlocked(s[i], f);
			col++;
		} else {
			putc_unlocked('=', f);
			putc_unlocked(hex[(unsigned char)s[i] >> 4], f);
			putc_unlocked(hex[s[i] & 15], f);
			col += 3;
		}
	}
}
