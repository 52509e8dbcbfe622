/*
 * Text and keys gathered by a handler, and what makes foreign text harmless.
 */
#include "handlers/handler.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_COLUMNS 76

int
reply_new(struct reply *reply)
{
	memset(reply, 0, sizeof *reply);
	reply->suffix = "";
	reply->text = pgp_memstream(&reply->text_data, &reply->text_len);
	reply->keys = pgp_memstream(&reply->keys_data, &reply->keys_len);
	if (reply->text != NULL && reply->keys != NULL)
		return 0;
	reply_free(reply);
	return -1;
}

/* A stream that once failed must not pass for a shorter answer. */
static int
stream_close(FILE **stream)
{
	int bad;

	if (*stream == NULL)
		return 0;
	bad = ferror(*stream);
	if (fclose(*stream) != 0)
		bad = 1;
	*stream = NULL;
	return bad ? -1 : 0;
}

int
reply_finish(struct reply *reply)
{
	int text, keys;

	text = stream_close(&reply->text);
	keys = stream_close(&reply->keys);
	return text == 0 && keys == 0 ? 0 : -1;
}

void
reply_free(struct reply *reply)
{
	reply_finish(reply);
	free(reply->text_data);
	free(reply->keys_data);
	memset(reply, 0, sizeof *reply);
}

void
reply_printf(struct reply *reply, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(reply->text, format, ap);
	va_end(ap);
}

int
reply_cert(struct reply *reply, const struct pgp_cert *cert)
{
	if (pgp_cert_write(reply->keys, cert) != 0)
		return -1;
	reply->nkeys++;
	return 0;
}

/* Every 48 octets become a line of 64 characters and CR LF; begin, end and
 * checksum come to less than 100. */
size_t
reply_armored(size_t len)
{
	return len == 0 ? 0 : (len / 48 + 1) * 66 + 100;
}

size_t
reply_size(struct reply *reply)
{
	fflush(reply->text);
	fflush(reply->keys);
	return reply->text_len + reply_armored(reply->keys_len);
}

int
reply_drop_keys(struct reply *reply)
{
	stream_close(&reply->keys);
	free(reply->keys_data);
	reply->keys_data = NULL;
	reply->keys_len = 0;
	reply->nkeys = 0;
	reply->keys = pgp_memstream(&reply->keys_data, &reply->keys_len);
	return reply->keys != NULL ? 0 : -1;
}

/*
 * Decodes one character of UTF-8 (RFC 3629): no overlong forms, no
 * surrogates, nothing above U+10FFFF.  Returns its octets, 0 when there is
 * none.
 */
static size_t
utf8(const unsigned char *s, size_t len, uint32_t *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c;
	size_t n, i;

	if (s[0] < 0x80) {
		*out = s[0];
		return 1;
	}
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return 0;
	n = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
	if (n > len)
		return 0;
	c = s[0] & (0x7Fu >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3F);
	}
	if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return 0;
	*out = c;
	return n;
}

static bool
is_utf8(const unsigned char *s, size_t len)
{
	uint32_t c;
	size_t pos, n;

	for (pos = 0; pos < len; pos += n)
		if ((n = utf8(s + pos, len - pos, &c)) == 0)
			return false;
	return true;
}

/*
 * Characters that end a line, turn its direction or are not to be seen.
 * U+200C and U+200D stay: Persian and Indic names are spelt with them.
 */
static bool
unsafe(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
	    {0x00, 0x1F},	 /* controls, LF and CR among them */
	    {0x7F, 0x9F},	 /* DEL, C1 with NEL and CSI */
	    {0xAD, 0xAD},	 /* soft hyphen */
	    {0x61C, 0x61C},	 /* Arabic letter mark */
	    {0x115F, 0x1160},	 /* Hangul fillers, blank to the eye */
	    {0x180B, 0x180F},	 /* Mongolian selectors and separator */
	    {0x200B, 0x200B},	 /* zero width space */
	    {0x200E, 0x200F},	 /* left-to-right and right-to-left marks */
	    {0x2028, 0x202E},	 /* line, paragraph, embeddings, overrides */
	    {0x2060, 0x206F},	 /* word joiner, isolates */
	    {0x3164, 0x3164},	 /* Hangul filler */
	    {0xE000, 0xF8FF},	 /* private use */
	    {0xFDD0, 0xFDEF},	 /* noncharacters */
	    {0xFEFF, 0xFEFF},	 /* zero width no-break space */
	    {0xFFA0, 0xFFA0},	 /* halfwidth Hangul filler */
	    {0xFFF0, 0xFFFB},	 /* interlinear annotations */
	    {0xFFFE, 0xFFFF},	 /* noncharacters */
	    {0x1D173, 0x1D17A},	 /* musical controls */
	    {0xE0000, 0x10FFFF}, /* tags, private use */
	};
	size_t i;

	if (c >= ' ' && c <= '~')
		return c == '\\'; /* what begins an escape */
	for (i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* Writes an escape, returns its columns. */
static unsigned
put_escape(FILE *out, uint32_t c)
{
	int n;

	if (c < 0x100)
		n = fprintf(out, "\\x%02" PRIX32, c);
	else if (c < 0x10000)
		n = fprintf(out, "\\u%04" PRIX32, c);
	else
		n = fprintf(out, "\\U%08" PRIX32, c);
	return n > 0 ? (unsigned)n : 0;
}

static void
put_utf8(FILE *out, uint32_t c)
{
	if (c < 0x80) {
		putc_unlocked((int)c, out);
		return;
	}
	if (c < 0x800) {
		putc_unlocked((int)(0xC0 | c >> 6), out);
	} else {
		if (c < 0x10000) {
			putc_unlocked((int)(0xE0 | c >> 12), out);
		} else {
			putc_unlocked((int)(0xF0 | c >> 18), out);
			putc_unlocked((int)(0x80 | (c >> 12 & 0x3F)), out);
		}
		putc_unlocked((int)(0x80 | (c >> 6 & 0x3F)), out);
	}
	putc_unlocked((int)(0x80 | (c & 0x3F)), out);
}

/* `kept` is shown as it is, whatever unsafe() says of it. */
static void
put_text(struct reply *reply, const unsigned char *s, size_t len, uint32_t kept)
{
	uint32_t c;
	size_t pos, n;
	unsigned column;
	bool valid;

	valid = is_utf8(s, len);
	column = 0;
	for (pos = 0; pos < len; pos += n) {
		if (column >= USERID_COLUMNS) {
			reply_printf(reply, "...");
			return;
		}
		n = 1;
		c = s[pos];
		if (valid)
			n = utf8(s + pos, len - pos, &c);
		if (c != kept && unsafe(c)) {
			column += put_escape(reply->text, c);
			continue;
		}
		put_utf8(reply->text, c);
		column++;
	}
}

void
reply_userid(struct reply *reply, const unsigned char *s, size_t len)
{
	put_text(reply, s, len, UINT32_MAX);
}

static bool
begins_char(char c)
{
	return ((unsigned char)c & 0xC0) != 0x80;
}

static void
put_blanks(FILE *out, unsigned n)
{
	while (n-- > 0)
		putc(' ', out);
}

/*
 * Finds what of one line of text fits into `width` characters: returns its
 * octets, *next where the next line begins.  A word that is longer than a
 * line is broken where the line ends.
 */
static size_t
fit(const char *s, unsigned width, size_t *next)
{
	size_t i, blank_at;
	unsigned column;

	blank_at = 0;
	column = 0;
	for (i = 0; s[i] != '\0' && s[i] != '\n'; i++) {
		if (s[i] == ' ' && i > 0)
			blank_at = i;
		if (begins_char(s[i]) && column++ == width)
			break;
	}
	if (s[i] == '\0' || s[i] == '\n') {
		*next = s[i] == '\n' ? i + 1 : i;
		return i;
	}
	if (blank_at > 0)
		i = blank_at;
	*next = i + strspn(s + i, " ");
	if (s[*next] == '\n')
		++*next;
	return i;
}

void
reply_wrap(struct reply *reply, unsigned indent, const char *s)
{
	size_t len, next, i;

	for (; *s != '\0'; s += next) {
		len = fit(s, LINE_COLUMNS - indent, &next);
		if (len > 0)
			put_blanks(reply->text, indent);
		for (i = 0; i < len; i++)
			putc((unsigned char)s[i] < 0x20 || s[i] == 0x7F ? '?'
									: s[i],
			    reply->text);
		putc('\n', reply->text);
	}
}

void
reply_count(struct reply *reply, uint64_t n, const char *noun)
{
	reply_printf(reply, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
}

void
reply_site(struct reply *reply, const struct request *request)
{
	if (*request->site == '\0')
		return;
	reply_wrap(reply, 0, request->site);
	reply_printf(reply, "\n");
}

void
reply_asked(struct reply *reply, const struct request *request)
{
	reply_printf(reply, "You asked for: ");
	/* Regular expressions have backslashes of their own. */
	put_text(reply, (const unsigned char *)request->argument,
	    strlen(request->argument), '\\');
	reply_printf(reply, "\n");
}
