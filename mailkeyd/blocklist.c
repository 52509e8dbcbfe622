/*
 * The block list in a file: a fingerprint a line.
 */
#include "mailkeyd/blocklist.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
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

/* `number` is the line of the list; 0: none. */
static int __attribute__((format(printf, 4, 5)))
list_error(const struct config *config, unsigned number, char **error,
    const char *format, ...)
{
	size_t len = 0;
	FILE *f = pgp_memstream(error, &len);
	va_list ap;

	if (f == NULL)
		return -1;
	fprintf(f, "%s:%u: block_list %s", config->block_list_file,
	    config->block_list_line, config->certificates.block_list);
	if (number > 0)
		fprintf(f, ":%u", number);
	fputs(": ", f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	if (fclose(f) != 0) {
		free(*error);
		*error = NULL;
	}
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
list_line(const struct config *config, struct blocklist *list, unsigned number,
    char *line, char **error)
{
	struct pgp_fpr fpr;

	line_tidy(line);
	if (line[strspn(line, BLANKS)] == '\0')
		return 0;
	if (!fingerprint_read(line, &fpr))
		return list_error(config, number, error,
		    "\"%.*s\" is no fingerprint; write all 32, 40 or 64 digits "
		    "of it, and a comment behind #",
		    SHOWN_MAX, line);
	if (list_add(list, &fpr) == -1)
		return list_error(config, number, error, "no memory");
	return 0;
}

static int
list_lines(
    const struct config *config, struct blocklist *list, FILE *f, char **error)
{
	unsigned number = 0;
	char *line = NULL;
	size_t size = 0;
	int rv = 0;

	while (rv == 0 && getline(&line, &size, f) != -1)
		rv = list_line(config, list, ++number, line, error);
	if (rv == 0 && ferror(f))
		rv = list_error(config, 0, error, "%s", strerror(errno));
	free(line);
	return rv;
}

int
blocklist_read(
    const struct config *config, struct blocklist *list, char **error)
{
	const char *file = config->certificates.block_list;
	FILE *f;
	int rv;

	*list = (struct blocklist){0};
	*error = NULL;
	if (file == NULL)
		return 0;
	f = fopen(file, "re");
	if (f == NULL)
		return list_error(config, 0, error,
		    "%s; make the file, or leave block_list out",
		    strerror(errno));
	rv = list_lines(config, list, f, error);
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
