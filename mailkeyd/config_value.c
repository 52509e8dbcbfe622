/*
 * One value of a configuration: its text checked and turned into what the
 * struct holds, and how an error is worded.
 */
#include "mailkeyd/config_reading.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

int
config_fail(
    struct reading *r, const char *file, unsigned line, const char *format, ...)
{
	va_list ap;
	char *text;

	if (r->error != NULL)
		return -1;
	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		text = NULL;
	va_end(ap);
	if (text == NULL)
		return -1;
	/* What stands in the file may hold anything; the error is one line. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (line == 0) {
		if (asprintf(&r->error, "%s: %s", file, text) == -1)
			r->error = NULL;
	} else if (asprintf(&r->error, "%s:%u: %s", file, line, text) == -1)
		r->error = NULL;
	free(text);
	return -1;
}

int
config_no_memory(struct reading *r)
{
	return config_fail(
	    r, r->file, 0, "no memory; free some and start again");
}

/* Digits without a leading zero, which libconfuse would read as octal.
 * Returns what follows them, or NULL. */
static const char *
number(const char *s, uint64_t *n)
{
	uint64_t value = 0;

	if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *s - '0', &value))
			return NULL;
	*n = value;
	return s;
}

/* A number and one letter that multiplies it, or none. */
static int
multiple(const char *s, const char *letters, const uint64_t *by, uint64_t *n)
{
	uint64_t value;
	const char *letter;

	if ((s = number(s, &value)) == NULL)
		return -1;
	if (*s != '\0') {
		letter = strchr(letters, *s);
		if (letter == NULL || s[1] != '\0' ||
		    __builtin_mul_overflow(value, by[letter - letters], &value))
			return -1;
	}
	*n = value;
	return 0;
}

int
config_size(const char *s, uint64_t *n)
{
	static const uint64_t by[] = {KIB, MIB, 1024 * MIB};

	return multiple(s, "KMG", by, n);
}

static int
duration(const char *s, uint64_t *n)
{
	static const uint64_t by[] = {1, 60, 3600, DAY};

	return multiple(s, "smhd", by, n);
}

/* The shortest way to write a size or duration, for errors. */
static const char *
shown(const struct option *o, uint64_t n, char buf[32])
{
	static const char *const letters[] = {"GMK", "dhm"};
	static const uint64_t by[2][3] = {
	    {1024 * MIB, MIB, KIB}, {DAY, 3600, 60}};
	int of = o->kind == SECONDS;

	if (o->kind == SIZE || o->kind == OCTETS || of)
		for (size_t i = 0; i < 3 && n > 0; i++)
			if (n % by[of][i] == 0) {
				snprintf(buf, 32, "%llu%c",
				    (unsigned long long)(n / by[of][i]),
				    letters[of][i]);
				return buf;
			}
	snprintf(buf, 32, o->kind == MODE ? "%04llo" : "%llu",
	    (unsigned long long)n);
	return buf;
}

static int
bad(struct reading *r, const struct option *o, unsigned line, const char *value,
    const char *remedy)
{
	return config_fail(r, r->file, line, "%s cannot be \"%s\"; %s", o->name,
	    value, remedy);
}

static int
octal_digits(const char *s)
{
	size_t n = strspn(s, "01234567");

	return (n == 3 || n == 4) && s[n] == '\0';
}

static int
set_number(struct reading *r, const struct option *o, unsigned line,
    const char *s, void *to)
{
	uint64_t n;
	int got;
	char low[32], high[32];
	const char *remedy = "write a number in digits", *end;

	if (o->kind == SIZE || o->kind == OCTETS) {
		got = config_size(s, &n);
		remedy = "write octets as 65536, 64K, 5M or 1G";
	} else if (o->kind == SECONDS) {
		got = duration(s, &n);
		remedy = "write a time as 90, 90s, 10m, 4h or 7d";
	} else if (o->kind == MODE) {
		got = octal_digits(s) ? 0 : -1;
		n = got == 0 ? strtoul(s, NULL, 8) : 0;
		remedy = "write a mode as \"0660\"";
	} else {
		end = number(s, &n);
		got = end != NULL && *end == '\0' ? 0 : -1;
	}
	if (got == -1 && o->kind != MODE && s[0] == '0' && s[1] >= '0' &&
	    s[1] <= '9')
		remedy = "it looks octal, remove the leading 0";
	if (got == -1)
		return bad(r, o, line, s, remedy);
	if (n < o->min || n > o->max)
		return config_fail(r, r->file, line,
		    "%s is %s; set it between %s and %s", o->name, s,
		    shown(o, o->min, low), shown(o, o->max, high));
	if (o->kind == SIZE)
		*(size_t *)to = (size_t)n;
	else if (o->kind == OCTETS)
		*(uint64_t *)to = n;
	else if (o->kind == PORT)
		*(uint16_t *)to = (uint16_t)n;
	else
		*(unsigned *)to = (unsigned)n;
	return 0;
}

static int
set_choice(struct reading *r, const struct option *o, unsigned line,
    const char *s, void *to)
{
	char *text;
	size_t len;
	FILE *f;

	for (size_t i = 0; o->words[i] != NULL; i++)
		if (strcmp(s, o->words[i]) == 0) {
			*(int *)to = (int)i;
			return 0;
		}
	if ((f = pgp_memstream(&text, &len)) == NULL)
		return config_no_memory(r);
	fputs("write ", f);
	for (size_t i = 0; o->words[i] != NULL; i++)
		fprintf(f, "%s%s",
		    i == 0		      ? ""
		    : o->words[i + 1] != NULL ? ", "
					      : " or ",
		    o->words[i]);
	if (fclose(f) != 0)
		return config_no_memory(r);
	bad(r, o, line, s, text);
	free(text);
	return -1;
}

/* One that could stand in an address. */
static bool
is_domain(const char *s)
{
	char address[256];

	return snprintf(address, sizeof(address), "x@%s", s) <
		   (int)sizeof(address) &&
	       mail_address_strict(address);
}

static int
check_text(
    struct reading *r, const struct option *o, unsigned line, const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return bad(
			    r, o, line, s, "remove the control character");
	if (o->kind == TEXT && strlen(s) > o->max)
		return config_fail(r, r->file, line,
		    "%s is too long; %s takes %llu "
		    "octets",
		    o->name, o->name, (unsigned long long)o->max);
	if (o->kind == TEXT)
		return 0;
	if (*s == '\0')
		return bad(r, o, line, s, "write a value or remove the line");
	if (o->kind == WORD &&
	    (strchr(s, ' ') != NULL || *s == '-' || strlen(s) > o->max))
		return bad(r, o, line, s, "write one host name or address");
	if ((o->kind == PATH || o->kind == SOCKET) && *s != '/')
		return bad(r, o, line, s, "write a path that begins with /");
	if (o->kind == PATH && strlen(s) > PATH_MAX - 64)
		return config_fail(r, r->file, line,
		    "the path of %s is too long; choose a shorter one",
		    o->name);
	if (o->kind == SOCKET &&
	    strlen(s) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return config_fail(r, r->file, line,
		    "the path of %s is too long for a socket; keep it under "
		    "%zu octets",
		    o->name, sizeof(((struct sockaddr_un *)0)->sun_path));
	if (o->kind == LIST && o->max == LIST_DOMAINS && strchr(s, '@') == NULL)
		return is_domain(s) ? 0
				    : bad(r, o, line, s,
					  "write an address, or a domain such "
					  "as example.org");
	if ((o->kind == ADDRESS || o->kind == LIST) && !mail_address_strict(s))
		return bad(
		    r, o, line, s, "write an address such as keys@example.org");
	return 0;
}

int
config_append(char ***list, const char *s)
{
	size_t n = 0;
	char **longer;

	while (*list != NULL && (*list)[n] != NULL)
		n++;
	if ((longer = reallocarray(*list, n + 2, sizeof(*longer))) == NULL)
		return -1;
	*list = longer;
	longer[n + 1] = NULL;
	return (longer[n] = strdup(s)) != NULL ? 0 : -1;
}

static int
set_text(struct reading *r, const struct option *o, unsigned line,
    const char *s, void *to)
{
	char **text = to;

	if (check_text(r, o, line, s) == -1)
		return -1;
	if (o->kind == LIST)
		return config_append(to, s) == 0 ? 0 : config_no_memory(r);
	free(*text);
	return (*text = strdup(s)) != NULL ? 0 : config_no_memory(r);
}

int
config_set(struct reading *r, const struct option *o, unsigned line,
    const char *s, void *base)
{
	void *to = (char *)base + o->offset;

	switch (o->kind) {
	case TEXT:
	case WORD:
	case PATH:
	case SOCKET:
	case ADDRESS:
	case LIST:
		return set_text(r, o, line, s, to);
	case CHOICE:
		return set_choice(r, o, line, s, to);
	default:
		return set_number(r, o, line, s, to);
	}
}
