/*
 * Lines of the log that say the same of the same sender over and over.
 */
#ifndef HUSH_H
#define HUSH_H

#include "mailkeyd/loop.h"

#include <stdbool.h>

struct hush;

struct hush *hush_new(struct loop *); /* NULL: no memory */
void hush_free(struct hush *);	      /* logs what was only counted */

/*
 * Whether the line that says `what` of `who` is to be written: the first
 * `lines` of an hour are, of the others one line tells how many they were, a
 * minute after the last or when the hour is over.
 */
bool hush_passes(
    struct hush *, const char *who, const char *what, unsigned lines);

#endif
