/*
 * What an import refused, by class.
 */
#include "mailkeyd/import_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct report_class *
class_of(struct import_report *report, const char *text)
{
	for (unsigned i = 0; i < report->nclasses; i++)
		if (strcmp(report->class[i].text, text) == 0)
			return &report->class[i];
	return NULL;
}

bool
report_add(struct import_report *report, const char *text, uint64_t n)
{
	struct report_class *class = class_of(report, text);

	if (class == NULL) {
		if (report->nclasses == REPORT_CLASSES)
			return false;
		class = &report->class[report->nclasses++];
		class->text = text;
	}
	class->n += n;
	return class->nexamples < REPORT_EXAMPLES;
}

void
report_example(
    struct import_report *report, const char *text, const char *format, ...)
{
	struct report_class *class = class_of(report, text);
	va_list ap;
	char *line;
	int n;

	if (class == NULL || class->nexamples == REPORT_EXAMPLES)
		return;
	va_start(ap, format);
	n = vasprintf(&line, format, ap);
	va_end(ap);
	if (n != -1)
		class->example[class->nexamples++] = line;
}

static int
by_number(const void *a, const void *b)
{
	const struct report_class *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	return strcmp(x->text, y->text);
}

void
report_print(FILE *f, const char *head, struct import_report *report)
{
	if (report->nclasses == 0)
		return;
	qsort(report->class, report->nclasses, sizeof(report->class[0]),
	    by_number);
	fprintf(f, "%s\n", head);
	for (unsigned i = 0; i < report->nclasses; i++) {
		const struct report_class *class = &report->class[i];

		fprintf(f, "  %8" PRIu64 "  %s\n", class->n, class->text);
		for (unsigned j = 0; j < class->nexamples; j++)
			fprintf(f, "            %s\n", class->example[j]);
	}
}

void
report_free(struct import_report *report)
{
	for (unsigned i = 0; i < report->nclasses; i++)
		for (unsigned j = 0; j < report->class[i].nexamples; j++)
			free(report->class[i].example[j]);
	memset(report, 0, sizeof(*report));
}
