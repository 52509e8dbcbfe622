/*
 * The block list in a file: a fingerprint a line.
 */
#include "mailkeyd/blocklist.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS	  " \t\r\n"
#define SHOWN_MAX 60 /* characters of a line in an error */

bool
fingerprint_read(const char *s, struct pgp_fpr *fpr)
{
	size_t n = 0;
	int d;

	memset(fpr, 0, sizeof(*fpr));
	s += strspn(s, BLANKS);
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (; *s != '\0'; s++) {
		if (strchr(BLANKS, *s) != NULL)
			continue;
		d = pgp_hex_value(*s);
		if (d == -1 || n == 2 * (size_t)PGP_FPR_MAX)
			return false;
		fpr->octet[n / 2] |= (unsigned char)(n % 2 == 0 ? d << 4 : d);
		n++;
	}
	fpr->len = (unsigned char)(n / 2);
	return n == 32 || n == 40 || n == 64;
}

static int __attribute__((format(printf, 2, 3)))
list_error(char **error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(error, format, ap) == -1)
		*error = NULL;
	va_end(ap);
	return -1;
}

static int
list_add(struct blocklist *list, const struct pgp_fpr *fpr)
{
	struct pgp_fpr *more = list->fpr;
	size_t n = list->n;

	/* Room is doubled whenever a power of two is full. */
	if ((n & (n - 1)) == 0)
		more = reallocarray(more, n == 0 ? 1 : 2 * n, sizeof(*more));
	if (more == NULL)
		return -1;
	list->fpr = more;
	list->fpr[list->n++] = *fpr;
	return 0;
}

/* What is between the blanks of a line, without control characters. */
static void
line_tidy(char *line)
{
	line[strcspn(line, "#")] = '\0';
	for (char *p = line; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' && strchr(BLANKS, *p) == NULL)
			*p = '?';
	for (size_t n = strlen(line);
	     n > 0 && strchr(BLANKS, line[n - 1]) != NULL; n--)
		line[n - 1] = '\0';
}

static int
list_line(struct blocklist *list, const char *file, unsigned number, char *line,
    char **error)
{
	struct pgp_fpr fpr;

	line_tidy(line);
	if (line[strspn(line, BLANKS)] == '\0')
		return 0;
	if (!fingerprint_read(line, &fpr))
		return list_error(error,
		    "%s:%u: \"%.*s\" is no fingerprint; write all 32, 40 or "
		    "64 digits of it, and a comment behind #",
		    file, number, SHOWN_MAX, line);
	if (list_add(list, &fpr) == -1)
		return list_error(error, "no memory");
	return 0;
}

static int
list_lines(struct blocklist *list, const char *file, FILE *f, char **error)
{
	unsigned number = 0;
	char *line = NULL;
	size_t size = 0;
	int rv = 0;

	while (rv == 0 && getline(&line, &size, f) != -1)
		rv = list_line(list, file, ++number, line, error);
	if (rv == 0 && ferror(f))
		rv = list_error(error, "%s: %s", file, strerror(errno));
	free(line);
	return rv;
}

int
blocklist_read(const char *file, struct blocklist *list, char **error)
{
	FILE *f;
	int rv;

	*list = (struct blocklist){0};
	*error = NULL;
	if (file == NULL)
		return 0;
	f = fopen(file, "re");
	if (f == NULL)
		return list_error(error,
		    "block_list %s: %s; make the file, or leave block_list out",
		    file, strerror(errno));
	rv = list_lines(list, file, f, error);
	fclose(f);
	if (rv == -1)
		blocklist_free(list);
	return rv;
}

void
blocklist_free(struct blocklist *list)
{
	free(list->fpr);
	*list = (struct blocklist){0};
}
