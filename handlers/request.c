/*
 * A decoded Subject to a command word and its argument.
 */
#include "handlers/handler.h"

#include <stdlib.h>
#include <string.h>

/* How many octets of a blank stand here: ASCII's, the no-break space that
 * comes along when a fingerprint is pasted, the ideographic space. */
static size_t
blank(const char *s)
{
	if (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		return 1;
	if (strncmp(s, "\xc2\xa0", 2) == 0)
		return 2;
	if (strncmp(s, "\xe3\x80\x80", 3) == 0)
		return 3;
	return 0;
}

/* A copy with every run of blanks made one, and none at the ends. */
static char *
fold(const char *s)
{
	char *out;
	size_t n, len;

	if ((out = malloc(strlen(s) + 1)) == NULL)
		return NULL;
	len = 0;
	while (*s != '\0') {
		if ((n = blank(s)) == 0) {
			out[len++] = *s++;
			continue;
		}
		if (len > 0 && out[len - 1] != ' ')
			out[len++] = ' ';
		s += n;
	}
	if (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
	return out;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Behind "Re:", "Re[2]:", "FWD :" and their like; NULL when there is none. */
static const char *
behind_prefix(const char *s)
{
	static const char *const prefixes[] = {
	    "re", "fwd", "fw", "aw", "sv", "vs", "wg", NULL};
	const char *p;
	size_t i, n;

	for (i = 0; (p = prefixes[i]) != NULL; i++) {
		for (n = 0; p[n] != '\0' && lower(s[n]) == p[n]; n++)
			continue;
		if (p[n] != '\0')
			continue;
		if (s[n] == '[') {
			n += 1 + strspn(s + n + 1, "0123456789");
			if (s[n++] != ']')
				continue;
		}
		if (s[n] == ' ')
			n++;
		if (s[n] == ':')
			return s + n + 1;
	}
	return NULL;
}

/* Behind the "[list]" or "[list]:" that a mailing list puts in front; NULL:
 * none. */
static const char *
behind_tag(const char *s)
{
	const char *end, *colon;

	if (*s != '[' || (end = strchr(s, ']')) == NULL)
		return NULL;
	colon = ++end;
	if (*colon == ' ')
		colon++;
	return *colon == ':' ? colon + 1 : end;
}

static const char *
strip(const char *s)
{
	const char *rest;

	while (
	    (rest = behind_prefix(s)) != NULL || (rest = behind_tag(s)) != NULL)
		s = *rest == ' ' ? rest + 1 : rest;
	return s;
}

static char *
word_dup(const char *s, size_t len)
{
	char *out;
	size_t i;

	if ((out = strndup(s, len)) == NULL)
		return NULL;
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] >= 'a' && out[i] <= 'z')
			out[i] = (char)(out[i] - 'a' + 'A');
	return out;
}

/* Quotes with nothing between them ask for nothing. */
static char *
argument_dup(const char *s)
{
	if (*s == ' ')
		s++;
	return strdup(s[strspn(s, "\"' ")] == '\0' ? "" : s);
}

const struct command *
request_parse(const char *subject, struct request *request)
{
	const struct command *command;
	const char *text;
	char *folded;
	size_t len;

	request->word = request->argument = NULL;
	request->scan = NULL;
	request->scan_free = NULL;
	request->slices = (struct slices){0};
	if ((folded = fold(subject != NULL ? subject : "")) == NULL)
		return NULL;
	text = strip(folded);
	command = command_find(text, &len);
	if (command != NULL && (command->flags & COMMAND_ALONE) != 0 &&
	    text[len] != '\0')
		command = NULL;
	if (command == NULL)
		len = strcspn(text, " ");
	request->word = word_dup(text, len);
	request->argument = argument_dup(text + len);
	free(folded);
	if (request->word == NULL || request->argument == NULL) {
		request_free(request);
		return NULL;
	}
	return command;
}

void
request_free(struct request *request)
{
	free(request->word);
	free(request->argument);
	request->word = request->argument = NULL;
	if (request->scan_free != NULL)
		request->scan_free(request->scan);
	request->scan = NULL;
	request->scan_free = NULL;
}
