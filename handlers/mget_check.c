/*
 * What a pattern of MGET may be: read here before PCRE2 sees it.
 */
#include "handlers/mget.h"

#include <string.h>

#define NESTED	  8  /* groups in groups */
#define COUNT_MAX 99 /* in braces */

struct reader {
	const char *at;
	unsigned nested;
	const char *why; /* NULL while there is nothing against it */
};

enum kind {
	KIND_LITERAL, /* one character, always the same */
	KIND_ENOUGH,  /* a group with enough literals in each alternative */
	KIND_OTHER
};

static bool alternatives(struct reader *, bool *enough);

static bool
refused(struct reader *r, const char *why)
{
	r->why = why;
	return false;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_letter(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* Behind a backslash. */
static bool
escape(struct reader *r, const char *letters, enum kind *kind)
{
	char c = *r->at;

	if (c == '\0')
		return refused(r, "A backslash needs a character behind it.");
	if ((unsigned char)c >= 0x80)
		return refused(r, "A backslash may stand before a sign only.");
	r->at++;
	*kind = KIND_LITERAL;
	if (!is_letter(c) && !is_digit(c))
		return true;
	*kind = KIND_OTHER;
	if (is_letter(c) && strchr(letters, c) != NULL)
		return true;
	return refused(r,
	    "Of what a backslash and a letter or digit can mean, only \\d \\w "
	    "\\s \\b and \\D \\W \\S \\B may be used.");
}

/* "[:alpha:]" in a class; *r->at is its "[". */
static bool
named_class(struct reader *r)
{
	const char *s = r->at + 1;

	if (*s++ == ':') {
		s += *s == '^';
		while (is_lower(*s))
			s++;
		if (s[0] == ':' && s[1] == ']') {
			r->at = s + 2;
			return true;
		}
	}
	return refused(
	    r, "In a class, write \\[ for a bracket that is meant as such.");
}

/* Behind the "[". */
static bool class(struct reader *r)
{
	enum kind ignored;

	if (*r->at == '^')
		r->at++;
	/* One that stands first is meant as such. */
	if (*r->at == ']')
		r->at++;
	while (*r->at != ']') {
		switch (*r->at) {
		case '\0':
			return refused(r, "A class \"[\" is not closed.");
		case '[':
			if (!named_class(r))
				return false;
			break;
		case '\\':
			r->at++;
			if (!escape(r, "dDwWsS", &ignored))
				return false;
			break;
		default:
			r->at++;
		}
	}
	r->at++;
	return true;
}

/* Behind the "(". */
static bool
group(struct reader *r, enum kind *kind)
{
	bool enough;

	if (++r->nested > NESTED)
		return refused(r, "There are too many groups in groups.");
	if (r->at[0] == '?' && r->at[1] == ':')
		r->at += 2;
	else if (r->at[0] == '?' || r->at[0] == '*')
		return refused(
		    r, "Of groups only (...) and (?:...) may be used.");
	if (!alternatives(r, &enough))
		return false;
	if (*r->at != ')')
		return refused(r, "A group \"(\" is not closed.");
	r->at++;
	r->nested--;
	*kind = enough ? KIND_ENOUGH : KIND_OTHER;
	return true;
}

static bool
atom(struct reader *r, enum kind *kind)
{
	*kind = KIND_OTHER;
	switch (*r->at) {
	case '*':
	case '+':
	case '?':
		return refused(r,
		    "There is nothing to repeat before \"*\", \"+\" or \"?\".  "
		    "Any text is \".*\", and need not be written at the ends.");
	case '{':
		return refused(r,
		    "Write counts as {2}, {2,} or {2,9}, behind what they "
		    "count, and \\{ for a brace that is meant as such.");
	case '\\':
		r->at++;
		return escape(r, "dDwWsSbB", kind);
	case '[':
		r->at++;
		return class(r);
	case '(':
		r->at++;
		return group(r, kind);
	case '.':
	case '^':
	case '$':
		r->at++;
		return true;
	default:
		*kind = KIND_LITERAL;
		r->at++;
		while (((unsigned char)*r->at & 0xC0) == 0x80)
			r->at++;
		return true;
	}
}

static bool
number(const char **s, unsigned *n)
{
	if (!is_digit(**s))
		return false;
	for (*n = 0; is_digit(**s) && *n <= COUNT_MAX; ++*s)
		*n = *n * 10 + (unsigned)(**s - '0');
	return *n <= COUNT_MAX;
}

/* {2} {2,} {2,9}; *r->at is the "{". */
static bool
braces(struct reader *r, unsigned *least, bool *fixed)
{
	const char *s = r->at + 1;
	unsigned most;

	*fixed = true;
	if (!number(&s, least))
		return refused(r,
		    "Write counts as {2}, {2,} or {2,9}, up to 99, and \\{ for "
		    "a brace that is meant as such.");
	most = *least;
	if (*s == ',') {
		s++;
		*fixed = false;
		if (*s != '}' && !number(&s, &most))
			return refused(r, "A count is at most 99.");
	}
	if (*s != '}')
		return refused(r, "A count \"{\" is not closed.");
	if (most < *least)
		return refused(r, "A count has its numbers in wrong order.");
	r->at = s + 1;
	return true;
}

/* How often at least what stands before is there; `fixed`: and at most. */
static bool
quantifier(struct reader *r, unsigned *least, bool *fixed)
{
	*least = 1;
	*fixed = true;
	switch (*r->at) {
	case '*':
	case '?':
		*least = 0;
		*fixed = false;
		r->at++;
		break;
	case '+':
		*fixed = false;
		r->at++;
		break;
	case '{':
		if (!braces(r, least, fixed))
			return false;
		break;
	default:
		return true;
	}
	/* Lazy or possessive: it matches the same or less. */
	if (*r->at == '?' || *r->at == '+')
		r->at++;
	return true;
}

/* One alternative.  `run` is how many literal characters certainly stand next
 * to each other just before *r->at. */
static bool
sequence(struct reader *r, bool *enough)
{
	unsigned least, run = 0;
	enum kind kind;
	bool fixed;

	*enough = false;
	while (*r->at != '\0' && *r->at != '|' && *r->at != ')') {
		if (!atom(r, &kind) || !quantifier(r, &least, &fixed))
			return false;
		if (kind == KIND_ENOUGH && least > 0)
			*enough = true;
		if (kind != KIND_LITERAL || least == 0) {
			run = 0;
			continue;
		}
		run += least;
		if (run >= MGET_LITERALS)
			*enough = true;
		/* Of "ab+c" only "ab" and "bc" are certain. */
		if (!fixed)
			run = least;
	}
	return true;
}

static bool
alternatives(struct reader *r, bool *enough)
{
	bool one;

	*enough = true;
	for (;;) {
		if (!sequence(r, &one))
			return false;
		*enough = *enough && one;
		if (*r->at != '|')
			return true;
		r->at++;
	}
}

static size_t
characters(const char *s)
{
	size_t n;

	for (n = 0; *s != '\0' && n <= MGET_CHARACTERS; s++)
		n += ((unsigned char)*s & 0xC0) != 0x80;
	return n;
}

const char *
mget_check(const char *pattern)
{
	struct reader r = {pattern, 0, NULL};
	bool enough;

	if (strlen(pattern) > (size_t)4 * MGET_CHARACTERS ||
	    characters(pattern) > MGET_CHARACTERS)
		return "A regular expression may have at most 64 characters.";
	if (!alternatives(&r, &enough))
		return r.why;
	if (*r.at == ')')
		return "A \")\" closes no group.";
	if (!enough)
		return "Each alternative of a regular expression needs at "
		       "least 3 literal characters in a row that every match "
		       "has.";
	return NULL;
}
