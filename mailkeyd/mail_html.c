/*
 * HTML to text, as far as an armored block needs it.
 */
#include "mailkeyd/mail_read.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Whether a tag (behind its '<') begins or ends a line. */
static bool
breaks_line(const char *tag, size_t len)
{
	static const char *const names[] = {
	    "br", "p", "div", "pre", "tr", "li", "blockquote"};

	if (len > 0 && tag[0] == '/') {
		tag++;
		len--;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (len >= n && strncasecmp(tag, names[i], n) == 0 &&
		    (len == n || strchr(" \t\r\n/", tag[n]) != NULL))
			return true;
	}
	return false;
}

/* "#43" or "#x2B"; -1 for what is no ASCII character. */
static int
numeric(const char *s, size_t len)
{
	bool hex = len > 1 && (s[1] | 0x20) == 'x';
	unsigned value = 0;

	for (size_t i = hex ? 2 : 1; i < len; i++) {
		const char *digits = "0123456789abcdef";
		const char *d =
		    s[i] == '\0'
			? NULL
			: strchr(digits, s[i] | (s[i] >= 'A' ? 0x20 : 0));

		if (d == NULL || d - digits >= (hex ? 16 : 10) || value > 999)
			return -1;
		value = value * (hex ? 16 : 10) + (unsigned)(d - digits);
	}
	if (value == 160) /* a blank that is not broken */
		return ' ';
	return value > 0 && value < 128 ? (int)value : -1;
}

/* The character of an entity between '&' and ';', or -1. */
static int
entity(const char *s, size_t len)
{
	static const struct {
		const char *name;
		char c;
	} names[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'},
	    {"nbsp", ' '}};

	if (len > 1 && s[0] == '#')
		return numeric(s, len);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (len == strlen(names[i].name) &&
		    memcmp(s, names[i].name, len) == 0)
			return names[i].c;
	return -1;
}

char *
mail_html_text(const char *html, size_t len, size_t *textlen)
{
	const char *p = html, *end = html + len, *stop;
	char *text = malloc(len + 1);
	bool tags = true; /* there may be another '>' */
	size_t n = 0;
	int c;

	if (text == NULL)
		return NULL;
	while (p < end) {
		stop = NULL;
		if (*p == '<' && tags) {
			stop = memchr(p, '>', (size_t)(end - p));
			tags = stop != NULL;
		}
		if (stop != NULL) {
			if (breaks_line(p + 1, (size_t)(stop - p - 1)))
				text[n++] = '\n';
			p = stop + 1;
			continue;
		}
		/* 10: the longest that matters, so that "&&&&..." is cheap */
		stop = *p != '&' ? NULL
				 : memchr(p, ';',
				       end - p > 10 ? 10 : (size_t)(end - p));
		c = stop == NULL ? -1 : entity(p + 1, (size_t)(stop - p - 1));
		if (c != -1) {
			text[n++] = (char)c;
			p = stop + 1;
		} else {
			text[n++] = *p++;
		}
	}
	text[n] = '\0';
	*textlen = n;
	return text;
}
