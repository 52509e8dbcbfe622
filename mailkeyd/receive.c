/*
 * What the ways in share: how an error at the start is worded.
 */
#include "mailkeyd/receive.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int
receive_error(const struct config *c, const struct config_receive *r,
    char **error, const char *format, ...)
{
	const char *file = r->file != NULL ? r->file : c->file;
	va_list ap;
	char *text;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	*error = NULL;
	if (n == -1)
		return -1;
	if (r->line != 0)
		n = asprintf(error, "%s:%u: %s", file, r->line, text);
	else
		n = asprintf(error, "%s: %s", file, text);
	if (n == -1)
		*error = NULL;
	free(text);
	return -1;
}
