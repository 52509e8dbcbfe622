/*
 * HTML to text, as far as an armored block needs it.
 */
#include "mailkeyd/mail_read.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct page {
	char *text;
	size_t len;
	bool pre; /* line ends and blanks stand as they are */
};

static void
put(struct page *page, char c)
{
	page->text[page->len++] = c;
}

/* Whether a tag (behind its '<' and '/') is of that name. */
static bool
is(const char *tag, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len >= n && strncasecmp(tag, name, n) == 0 &&
	       (len == n || strchr(" \t\r\n/", tag[n]) != NULL);
}

/* Such a tag begins or ends a line, but makes no empty one. */
static bool
is_block(const char *tag, size_t len)
{
	static const char *const names[] = {
	    "p", "div", "pre", "tr", "li", "blockquote", "table", "ul", "body"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is(tag, len, names[i]))
			return true;
	return false;
}

static void
put_tag(struct page *page, const char *tag, size_t len)
{
	bool closing = len > 0 && tag[0] == '/';

	if (closing) {
		tag++;
		len--;
	}
	if (is(tag, len, "br"))
		put(page, '\n');
	else if (is_block(tag, len) && page->len > 0 &&
		 page->text[page->len - 1] != '\n')
		put(page, '\n');
	if (is(tag, len, "pre"))
		page->pre = !closing;
	/* of a style (CSS Text 3, 3) we do not know where it ends */
	else if (memmem(tag, len, "white-space", 11) != NULL)
		page->pre = true;
}

/* Outside <pre> a run of blanks and line ends is one blank, or nothing where a
 * line begins: an editor may have broken an armor line there. */
static void
put_character(struct page *page, char c)
{
	bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';

	if (page->pre || !blank)
		put(page, c);
	else if (page->len > 0 &&
		 strchr(" \n", page->text[page->len - 1]) == NULL)
		put(page, ' ');
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

/* Whether lines are told by tags; where none is, line ends stand. */
static bool
has_lines(const char *html, size_t len)
{
	static const char *const tags[] = {"<br", "<p", "<div", "<td", "<li"};
	const char *p = html, *end = html + len;

	while ((p = memchr(p, '<', (size_t)(end - p))) != NULL) {
		for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
			if ((size_t)(end - p) > strlen(tags[i]) &&
			    strncasecmp(p, tags[i], strlen(tags[i])) == 0)
				return true;
		p++;
	}
	return false;
}

char *
mail_html_text(const char *html, size_t len, size_t *textlen)
{
	const char *p = html, *end = html + len, *stop;
	struct page page = {malloc(len + 1), 0, !has_lines(html, len)};
	bool tags = true; /* there may be another '>' */
	int c;

	if (page.text == NULL)
		return NULL;
	while (p < end) {
		stop = NULL;
		if (*p == '<' && tags) {
			stop = memchr(p, '>', (size_t)(end - p));
			tags = stop != NULL;
		}
		if (stop != NULL) {
			put_tag(&page, p + 1, (size_t)(stop - p - 1));
			p = stop + 1;
			continue;
		}
		/* 10: the longest that matters, so that "&&&&..." is cheap */
		stop = *p != '&' ? NULL
				 : memchr(p, ';',
				       end - p > 10 ? 10 : (size_t)(end - p));
		c = stop == NULL ? -1 : entity(p + 1, (size_t)(stop - p - 1));
		if (c != -1) {
			put(&page, (char)c);
			p = stop + 1;
		} else {
			put_character(&page, *p++);
		}
	}
	page.text[page.len] = '\0';
	*textlen = page.len;
	return page.text;
}
