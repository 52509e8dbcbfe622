/*
 * Character sets to UTF-8.
 *
 * iconv_open(3) loads a module from a file for each new set: in the jail that
 * is death, so all are opened before.  Each open module makes every fork(2)
 * dearer: five times as dear, all of them together.  Most sets are no more than
 * a table of 256 characters: those are read out and closed again.  The others
 * stay closed until a mail has asked for one; then it is read once more, in a
 * process that has opened them.
 */
#include "mailkeyd/mail_read.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NO_CHARACTER 0xfffd

/* These are passed on as they stand: whoever says ASCII, and then is not, most
 * likely means UTF-8. */
static const char utf8_names[] =
    "US-ASCII ANSI_X3.4 ANSI_X3.4-1968 ANSI_X3.4-1986 ASCII CP367 CSASCII "
    "IBM367 ISO-IR-6 ISO646-US ISO_646.IRV:1991 OSF00010020 US UTF-8 "
    "ISO-IR-193 OSF05010001 UNICODE-1-1-UTF-8 UTF8";

/* Nothing of it: this system has no such set. */
static struct charset {
	iconv_t cd;
	uint16_t *table; /* a character for each octet */
	bool closed;
} * charsets;

static bool wanted; /* one that is closed */

/* ---- opening ------------------------------------------------------------- */

/* The one character that an octet stands for by itself.  False: it depends on
 * its neighbours, or is beyond 16 bits. */
static bool
lone_character(iconv_t cd, unsigned char octet, uint16_t *c)
{
	char in = (char)octet, *from = &in, utf32[32] = "", *to = utf32;
	size_t left = 1, space = sizeof(utf32);
	const unsigned char *u = (const unsigned char *)utf32;

	*c = NO_CHARACTER;
	iconv(cd, NULL, NULL, NULL, NULL);
	if (iconv(cd, &from, &left, &to, &space) == (size_t)-1)
		return errno == EILSEQ;
	if (to != utf32 + 4 || u[2] != 0 || u[3] != 0)
		return false;
	*c = (uint16_t)(u[0] | u[1] << 8);
	/* what waited for an accent would come now */
	return iconv(cd, NULL, NULL, &to, &space) != (size_t)-1 &&
	       to == utf32 + 4;
}

/* NULL: the set is not that simple, or memory ran out. */
static uint16_t *
read_table(const char *name)
{
	iconv_t cd = iconv_open("UTF-32LE", name);
	uint16_t *table;
	bool simple = true;

	if (cd == (iconv_t)-1)
		return NULL;
	table = malloc(256 * sizeof(*table));
	for (unsigned i = 0; i < 256 && table != NULL && simple; i++)
		simple = lone_character(cd, (unsigned char)i, &table[i]);
	iconv_close(cd);
	if (simple)
		return table;
	free(table);
	return NULL;
}

static void
name_of(const char *names, char name[40])
{
	snprintf(name, 40, "%.*s", (int)strcspn(names, " "), names);
}

static void
read_charset(struct charset *c, const char *names)
{
	char name[40];

	name_of(names, name);
	c->table = read_table(name);
	c->closed = c->table == NULL;
}

static void
open_charset(struct charset *c, const char *names)
{
	char name[40];
	iconv_t cd;

	name_of(names, name);
	cd = iconv_open("UTF-8", name);
	if (cd != (iconv_t)-1)
		c->cd = cd;
	c->closed = false;
}

void
mail_charset_prepare(bool all)
{
	size_t n = 0;

	while (mail_charset_names[n] != NULL)
		n++;
	if (charsets == NULL) {
		charsets = calloc(n + 1, sizeof(*charsets));
		for (size_t i = 0; i < n && charsets != NULL; i++)
			read_charset(&charsets[i], mail_charset_names[i]);
	}
	for (size_t i = 0; i < n && charsets != NULL && all; i++)
		if (charsets[i].closed)
			open_charset(&charsets[i], mail_charset_names[i]);
}

bool
mail_charset_wanted(void)
{
	return wanted;
}

/* ---- finding ------------------------------------------------------------- */

static bool
is_one_of(const char *names, const char *name, size_t len)
{
	while (*names != '\0') {
		size_t n = strcspn(names, " ");

		if (n == len && strncasecmp(names, name, n) == 0)
			return true;
		names += n + strspn(names + n, " ");
	}
	return false;
}

/* The set in the order that the mark in front tells, big-endian without one
 * (RFC 2781, 4.3).  iconv(3) would go by the text that came before. */
static const char *
by_mark(const char *name, size_t namelen, const char *octets, size_t len)
{
	bool little = len > 1 && memcmp(octets, "\xff\xfe", 2) == 0;

	if (is_one_of("UTF-16 UTF16 UNICODE CSUNICODE", name, namelen))
		return little ? "UTF-16LE" : "UTF-16BE";
	if (is_one_of("UTF-32 UTF32", name, namelen))
		return little ? "UTF-32LE" : "UTF-32BE";
	return NULL;
}

static const struct charset *
find_charset(const char *name, size_t len)
{
	for (size_t i = 0; charsets != NULL && mail_charset_names[i] != NULL;
	     i++)
		if (is_one_of(mail_charset_names[i], name, len))
			return &charsets[i];
	return NULL;
}

/* ---- converting ---------------------------------------------------------- */

static void
put_character(FILE *out, unsigned c)
{
	if (c < 0x80) {
		putc((int)c, out);
	} else if (c < 0x800) {
		putc((int)(0xc0 | c >> 6), out);
		putc((int)(0x80 | (c & 0x3f)), out);
	} else {
		putc((int)(0xe0 | c >> 12), out);
		putc((int)(0x80 | (c >> 6 & 0x3f)), out);
		putc((int)(0x80 | (c & 0x3f)), out);
	}
}

static void
put_converted(FILE *out, iconv_t cd, char *in, size_t left)
{
	char room[512], *to = room;
	size_t space = sizeof(room);

	iconv(cd, NULL, NULL, NULL, NULL);
	while (left > 0) {
		size_t before = left;
		bool stuck = iconv(cd, &in, &left, &to, &space) == (size_t)-1;

		/* the room was full; or else the octet is to blame */
		if (stuck && errno == E2BIG)
			stuck = left == before && space == sizeof(room);
		fwrite(room, 1, sizeof(room) - space, out);
		if (stuck && left > 0) {
			/* pass over the octet in the way */
			put_character(out, NO_CHARACTER);
			in++;
			left--;
		}
		to = room;
		space = sizeof(room);
	}
	iconv(cd, NULL, NULL, &to, &space); /* what waits for an accent */
	fwrite(room, 1, sizeof(room) - space, out);
}

void
mail_charset_put(
    FILE *out, const char *name, size_t namelen, const char *octets, size_t len)
{
	const char *ordered = by_mark(name, namelen, octets, len);
	const struct charset *c = ordered != NULL
				      ? find_charset(ordered, strlen(ordered))
				      : find_charset(name, namelen);

	if (is_one_of(utf8_names, name, namelen)) {
		fwrite(octets, 1, len, out);
		return;
	}
	if (c != NULL && c->closed)
		wanted = true;
	if (c != NULL && c->cd != NULL) {
		/* iconv(3) does not write there */
		put_converted(out, c->cd, (char *)(uintptr_t)octets, len);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char octet = (unsigned char)octets[i];

		/* in one that is not known, most are ASCII where the
		 * commands are, and Latin-1 as likely as any */
		put_character(out,
		    c != NULL && c->table != NULL ? c->table[octet] : octet);
	}
}
