/*
 * ASCII armor, in and out (RFC 9580, 6).
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

#define CRC24_INIT  0xb704ce
#define LINE_OCTETS 48 /* 64 characters */

#define PAD 64
#define NO  65

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* clang-format off */
static const unsigned char value_of[128] = {
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, NO, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, PAD, NO, NO,
	NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO,
	NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
};
/* clang-format on */

/* What four bits come to that are followed by none, one, ... five times four
 * others (RFC 9580, 6.1.1). */
static const uint32_t crc24_of[6][16] = {
    {0x000000, 0x864cfb, 0x8ad50d, 0x0c99f6, 0x93e6e1, 0x15aa1a, 0x1933ec,
	0x9f7f17, 0xa18139, 0x27cdc2, 0x2b5434, 0xad18cf, 0x3267d8, 0xb42b23,
	0xb8b2d5, 0x3efe2e},
    {0x000000, 0xc54e89, 0x0cd1e9, 0xc99f60, 0x19a3d2, 0xdced5b, 0x15723b,
	0xd03cb2, 0x3347a4, 0xf6092d, 0x3f964d, 0xfad8c4, 0x2ae476, 0xefaaff,
	0x26359f, 0xe37b16},
    {0x000000, 0x668f48, 0xcd1e90, 0xab91d8, 0x1c71db, 0x7afe93, 0xd16f4b,
	0xb7e003, 0x38e3b6, 0x5e6cfe, 0xf5fd26, 0x93726e, 0x24926d, 0x421d25,
	0xe98cfd, 0x8f03b5},
    {0x000000, 0x71c76c, 0xe38ed8, 0x9249b4, 0x41514b, 0x309627, 0xa2df93,
	0xd318ff, 0x82a296, 0xf365fa, 0x612c4e, 0x10eb22, 0xc3f3dd, 0xb234b1,
	0x207d05, 0x51ba69},
    {0x000000, 0x8309d7, 0x805f55, 0x035682, 0x86f251, 0x05fb86, 0x06ad04,
	0x85a4d3, 0x8ba859, 0x08a18e, 0x0bf70c, 0x88fedb, 0x0d5a08, 0x8e53df,
	0x8d055d, 0x0e0c8a},
    {0x000000, 0x911c49, 0xa47469, 0x356820, 0xcea429, 0x5fb860, 0x6ad040,
	0xfbcc09, 0x1b04a9, 0x8a18e0, 0xbf70c0, 0x2e6c89, 0xd5a080, 0x44bcc9,
	0x71d4e9, 0xe0c8a0},
};

static uint32_t
crc24(uint32_t crc, const unsigned char *p, size_t n)
{
	const uint32_t(*t)[16] = crc24_of;

	for (; n >= 3; p += 3, n -= 3) {
		crc ^= (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		crc = t[5][crc >> 20] ^ t[4][crc >> 16 & 15] ^
		      t[3][crc >> 12 & 15] ^ t[2][crc >> 8 & 15] ^
		      t[1][crc >> 4 & 15] ^ t[0][crc & 15];
	}
	for (; n > 0; p++, n--) {
		crc ^= (uint32_t)p[0] << 16;
		crc = (crc << 8 & 0xffffff) ^ t[1][crc >> 20] ^
		      t[0][crc >> 16 & 15];
	}
	return crc;
}

/* ---- lines --------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
begins(struct armor_text t, const char *s)
{
	size_t n = strlen(s);

	return t.len >= n && memcmp(t.s, s, n) == 0;
}

enum armor_line
armor_line_kind(struct armor_text *t)
{
	while (t->len > 0 && is_blank(t->s[t->len - 1]))
		t->len--;
	while (t->len > 0 && is_blank(t->s[0])) {
		t->s++;
		t->len--;
	}
	/* RFC 9580, 7.2: a block quoted in a signed message. */
	while (begins(*t, "- -")) {
		t->s += 2;
		t->len -= 2;
	}
	if (t->len < 10 || memcmp(t->s + t->len - 5, "-----", 5) != 0)
		return ARMOR_OTHER;
	if (begins(*t, "-----END PGP "))
		return ARMOR_END;
	if (!begins(*t, "-----BEGIN PGP ") ||
	    begins(*t, "-----BEGIN PGP SIGNED MESSAGE-----"))
		return ARMOR_OTHER;
	return ARMOR_BEGIN;
}

void
armor_decoder_init(struct armor_decoder *d)
{
	memset(d, 0, sizeof(*d));
	d->crc = CRC24_INIT;
	d->verdict = PGP_CRC_MISSING;
}

bool
armor_decoder_done(const struct armor_decoder *d)
{
	return d->digits == 0;
}

/*
 * "=" and four digits.  RFC 9580, 6.1: even a bent one is no reason to refuse.
 */
static void
decode_footer(struct armor_decoder *d, struct armor_text t)
{
	uint32_t crc = 0;
	unsigned char c;
	size_t i;

	d->footer = true;
	d->verdict = PGP_CRC_WRONG;
	if (t.len != 5)
		return;
	for (i = 1; i < 5; i++) {
		c = (unsigned char)t.s[i];
		if (c > 127 || value_of[c] >= PAD)
			return;
		crc = crc << 6 | value_of[c];
	}
	if (crc == d->crc)
		d->verdict = PGP_CRC_GOOD;
}

/* Takes one character of the data; a whole group is written out. */
static bool
decode_digit(struct armor_decoder *d, unsigned char c, unsigned char **out)
{
	unsigned v = c < 128 ? value_of[c] : NO;

	if (v == NO || (v == PAD && d->digits < 2))
		return false;
	/* Nothing but padding follows padding. */
	if (d->pad > 0 && (v != PAD || d->digits == 0))
		return false;
	if (v == PAD) {
		d->pad++;
		v = 0;
	}
	d->group = d->group << 6 | v;
	if (++d->digits < 4)
		return true;
	*(*out)++ = (unsigned char)(d->group >> 16);
	if (d->pad < 2)
		*(*out)++ = (unsigned char)(d->group >> 8);
	if (d->pad < 1)
		*(*out)++ = (unsigned char)d->group;
	d->digits = 0;
	d->group = 0;
	return true;
}

bool
armor_decode(struct armor_decoder *d, struct armor_text t, unsigned char *out,
    size_t *outlen)
{
	unsigned char *p = out;
	size_t i;

	*outlen = 0;
	if (t.len == 0) {
		d->body = true;
		return true;
	}
	/* Colon and blank are no digits: a header, or the rest of one that a
	 * mail program broke, unless the data have begun. */
	if (!d->body && (memchr(t.s, ':', t.len) != NULL ||
			    memchr(t.s, ' ', t.len) != NULL))
		return true;
	d->body = true;
	if (d->footer)
		return false;
	if (d->digits == 0 && t.s[0] == '=') {
		decode_footer(d, t);
		return true;
	}
	for (i = 0; i < t.len; i++)
		if (!decode_digit(d, (unsigned char)t.s[i], &p))
			break;
	*outlen = (size_t)(p - out);
	d->crc = crc24(d->crc, out, *outlen);
	return i == t.len;
}

/* ---- blocks in a text ---------------------------------------------------- */

/* The line at *pos, with its line end; *pos moves behind it. */
static struct armor_text
next_line(const char *text, size_t len, size_t *pos)
{
	struct armor_text t = {text + *pos, len - *pos};
	const char *lf = memchr(t.s, '\n', t.len);

	if (lf != NULL)
		t.len = (size_t)(lf - t.s) + 1;
	*pos += t.len;
	return t;
}

static size_t
count_lines(const char *text, size_t len)
{
	size_t n = 0, pos;

	for (pos = 0; pos < len; n++)
		next_line(text, len, &pos);
	return n;
}

/* Moves *pos behind the next BEGIN line. */
static bool
find_begin(const char *text, size_t len, size_t *pos, struct pgp_armored *out)
{
	struct armor_text t;

	while (*pos < len) {
		t = next_line(text, len, pos);
		out->line = out->next_line++;
		if (armor_line_kind(&t) == ARMOR_BEGIN)
			return true;
	}
	return false;
}

/*
 * Moves *pos behind the block's END line, or before the next BEGIN line, or to
 * the end of the text; data ends where that line begins.
 */
static enum pgp_status
find_end(const char *text, size_t len, size_t *pos, size_t *data_end,
    struct pgp_armored *out)
{
	struct armor_text t;
	enum armor_line kind;

	while (*pos < len) {
		*data_end = *pos;
		t = next_line(text, len, pos);
		kind = armor_line_kind(&t);
		if (kind == ARMOR_BEGIN) {
			*pos = *data_end;
			return PGP_TRUNCATED;
		}
		out->next_line++;
		if (kind == ARMOR_END)
			return PGP_OK;
	}
	return PGP_TRUNCATED;
}

static enum pgp_status
decode_block(const char *text, size_t len, struct pgp_armored *out)
{
	struct armor_decoder decoder;
	struct armor_text t;
	size_t pos = 0, n;
	bool good = true;

	out->blob.data = malloc(len / 4 * 3 + 4);
	if (out->blob.data == NULL)
		return PGP_NOMEM;
	armor_decoder_init(&decoder);
	while (good && pos < len) {
		t = next_line(text, len, &pos);
		armor_line_kind(&t);
		good = armor_decode(
		    &decoder, t, out->blob.data + out->blob.len, &n);
		out->blob.len += n;
	}
	out->crc = decoder.verdict;
	if (good && armor_decoder_done(&decoder))
		return PGP_OK;
	/* Half of it may be a secret key. */
	pgp_blob_free(&out->blob, true);
	return PGP_BAD_ARMOR;
}

enum pgp_status
pgp_dearmor(const char *text, size_t len, size_t *pos, struct pgp_armored *out)
{
	enum pgp_status status;
	size_t start, end = 0;

	out->blob.data = NULL;
	out->blob.len = 0;
	out->crc = PGP_CRC_MISSING;
	if (*pos == 0 || out->next_line == 0)
		out->next_line = 1 + count_lines(text, *pos);
	if (!find_begin(text, len, pos, out))
		return PGP_END;
	start = *pos;
	status = find_end(text, len, pos, &end, out);
	if (status != PGP_OK)
		return status;
	return decode_block(text + start, end - start, out);
}

/* ---- writing ------------------------------------------------------------- */

/* Writes groups of four digits for n octets, and returns how many digits. */
static size_t
encode(const unsigned char *in, size_t n, char *out)
{
	char *p = out;
	uint32_t v;
	size_t i;

	for (i = 0; i < n; i += 3) {
		v = (uint32_t)in[i] << 16;
		if (i + 1 < n)
			v |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < n)
			v |= in[i + 2];
		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*p++ = i + 2 < n ? digits[v & 63] : '=';
	}
	return (size_t)(p - out);
}

int
pgp_armor(FILE *f, const unsigned char *in, size_t len)
{
	unsigned char crc[3];
	uint32_t sum = crc24(CRC24_INIT, in, len);
	char line[LINE_OCTETS / 3 * 4 + 1];
	size_t n, out;

	fputs("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n", f);
	for (; len > 0; in += n, len -= n) {
		n = len < LINE_OCTETS ? len : LINE_OCTETS;
		out = encode(in, n, line);
		line[out++] = '\n';
		fwrite(line, 1, out, f);
	}
	crc[0] = (unsigned char)(sum >> 16);
	put16(crc + 1, (uint16_t)sum);
	fprintf(f, "=%.4s\n", (encode(crc, 3, line), line));
	fputs("-----END PGP PUBLIC KEY BLOCK-----\n", f);
	return ferror(f) ? -1 : 0;
}
