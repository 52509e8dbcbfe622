/*
 * The text of a configuration: comments blanked out, and refused what
 * libconfuse would take in silence.
 */
#include "mailkeyd/config_scan.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 8 /* of braces: one is in use */

struct scan {
	char *text;
	size_t len, pos;
	unsigned line;
	unsigned opened[DEPTH]; /* lines of the open braces */
	unsigned depth;
	struct config_fault *fault;
};

static int __attribute__((format(printf, 3, 4)))
fault(struct scan *s, unsigned line, const char *format, ...)
{
	va_list ap;

	s->fault->line = line;
	va_start(ap, format);
	vsnprintf(s->fault->text, sizeof(s->fault->text), format, ap);
	va_end(ap);
	return -1;
}

static bool
at(const struct scan *s, const char *what)
{
	size_t n = strlen(what);

	return s->len - s->pos >= n && memcmp(s->text + s->pos, what, n) == 0;
}

static void
blank_line(struct scan *s)
{
	while (s->pos < s->len && s->text[s->pos] != '\n')
		s->text[s->pos++] = ' ';
}

static int
blank_comment(struct scan *s)
{
	unsigned line = s->line;

	s->text[s->pos++] = ' ';
	s->text[s->pos++] = ' ';
	while (!at(s, "*/")) {
		if (s->pos == s->len)
			return fault(s, line,
			    "the comment is not closed; end it with */");
		if (s->text[s->pos] == '\n')
			s->line++;
		else
			s->text[s->pos] = ' ';
		s->pos++;
	}
	s->text[s->pos++] = ' ';
	s->text[s->pos++] = ' ';
	return 0;
}

/* At "${": libconfuse puts "" where a variable is not set. */
static int
variable(struct scan *s)
{
	const char *name = s->text + s->pos + 2, *value;
	size_t room = s->len - s->pos - 2, n = 0;
	char copy[64];

	while (n < room && strchr("}:\"\n", name[n]) == NULL)
		n++;
	if (n == 0 || n >= sizeof(copy) || n == room || name[n] == '"' ||
	    name[n] == '\n')
		return fault(s, s->line,
		    "bad variable; write ${NAME} or ${NAME:-default}");
	memcpy(copy, name, n);
	copy[n] = '\0';
	value = getenv(copy);
	if (name[n] == '}' && value == NULL)
		return fault(s, s->line,
		    "the environment has no %s; set it, or write "
		    "${%s:-default}",
		    copy, copy);
	s->pos += 2 + n;
	return 0;
}

static int
quoted(struct scan *s, char quote)
{
	for (s->pos++; s->pos < s->len; s->pos++) {
		char c = s->text[s->pos];

		if (c == '\n')
			break;
		if (c == quote) {
			s->pos++;
			return 0;
		}
		if (c == '\\' && s->pos + 1 < s->len &&
		    s->text[s->pos + 1] != '\n')
			s->pos++;
		else if (quote == '"' && at(s, "${") && variable(s) == -1)
			return -1;
	}
	return fault(s, s->line,
	    "the string is not closed; end it with %c in the same line", quote);
}

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("_-.:/@", c) != NULL);
}

static int
unquoted(struct scan *s)
{
	char c;

	while (s->pos < s->len && is_plain(s->text[s->pos])) {
		if (at(s, "//") || at(s, "/*"))
			break;
		s->pos++;
	}
	c = s->pos < s->len ? s->text[s->pos] : '\n';
	if (c == '\n' || strchr(" \t\r{}=,()+", c) != NULL) {
		if (c != '+' || at(s, "+="))
			return 0;
	}
	return fault(s, s->line,
	    "a value with such characters; put it in double quotes");
}

static int
brace(struct scan *s)
{
	if (s->text[s->pos++] == '{') {
		if (s->depth == DEPTH)
			return fault(s, s->line,
			    "too many braces inside each other; close one");
		s->opened[s->depth++] = s->line;
		return 0;
	}
	if (s->depth == 0)
		return fault(s, s->line,
		    "a } that closes nothing; remove it, or add its {");
	s->depth--;
	return 0;
}

static int
token(struct scan *s)
{
	char c = s->text[s->pos];

	if (c == '{' || c == '}')
		return brace(s);
	if (c == '"' || c == '\'')
		return quoted(s, c);
	if (at(s, "/*"))
		return blank_comment(s);
	if (c == '#' || at(s, "//"))
		blank_line(s);
	else if (c == '\n') {
		s->line++;
		s->pos++;
	} else if (at(s, "${"))
		return fault(s, s->line,
		    "a variable outside of quotes; put the value in double "
		    "quotes");
	else if (c == '\r') /* libconfuse takes it for a letter */
		s->text[s->pos++] = ' ';
	else if (strchr(" \t=,()", c) != NULL)
		s->pos++;
	else if (at(s, "+="))
		s->pos += 2;
	else
		return unquoted(s);
	return 0;
}

int
config_scan(char *text, size_t len, struct config_fault *out)
{
	struct scan s = {.text = text, .len = len, .line = 1, .fault = out};
	const char *nul;

	if ((nul = memchr(text, '\0', len)) != NULL) {
		for (const char *p = text; p < nul; p++)
			s.line += *p == '\n';
		return fault(&s, s.line,
		    "an octet of zero; this is no text, write it anew");
	}
	while (s.pos < len)
		if (token(&s) == -1)
			return -1;
	if (s.depth > 0)
		return fault(&s, s.opened[s.depth - 1],
		    "the { of this line is not closed; add its }");
	return 0;
}
