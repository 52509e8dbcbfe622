/*
 * What an import refused, and why: by class, each with its first examples.
 */
#ifndef IMPORT_REPORT_H
#define IMPORT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define REPORT_CLASSES	32
#define REPORT_EXAMPLES 3

struct report_class {
	const char *text; /* lives for ever */
	uint64_t n;
	char *example[REPORT_EXAMPLES];
	unsigned nexamples;
};

struct import_report { /* zeroed at first */
	struct report_class class[REPORT_CLASSES];
	unsigned nclasses;
};

/* Counts n more of a class, which `text` names (compared by content, and kept).
 * Whether an example is still wanted. */
bool report_add(struct import_report *, const char *text, uint64_t n);

/* An example of a class that report_add() has seen. */
void report_example(struct import_report *, const char *text,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The greatest class first; nothing when there is none. */
void report_print(FILE *, const char *head, struct import_report *);
void report_free(struct import_report *);

#endif
