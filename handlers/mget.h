/*
 * The regular expressions of MGET, for mget.c, mget_check.c and their tests.
 */
#ifndef MGET_H
#define MGET_H

#include "handlers/handler.h"

#define MGET_CHARACTERS 64 /* of a pattern */
#define MGET_LITERALS	3  /* in a row, in each alternative */

/*
 * Reads a pattern, of which only a plain part of the language of regular
 * expressions may be used: literals, ".", classes, groups, counts, "|", "^",
 * "$" and \d \w \s \b in both cases.  Back-references, callouts, \C and
 * everything else that begins with "(?", "(*" or a backslash and a letter or
 * digit is refused, and so is what could match without MGET_LITERALS literal
 * characters in a row.  Returns NULL, or a sentence that lives for ever.
 */
const char *mget_check(const char *pattern);

/* A pattern ready to match. */
struct mget_pattern;

/* Checks and compiles.  KS_OK; KS_BAD_QUERY: why[] has a sentence; KS_NOMEM. */
enum ks_status mget_compile(
    const char *, struct mget_pattern **, char why[static 256]);
void mget_free(struct mget_pattern *); /* accepts NULL */

/*
 * Whether the text (UTF-8, else read as ISO 8859-1) has a match in it, in any
 * case, each of its lines for "^" and "$".  KS_OK: yes; KS_NOT_FOUND: no;
 * KS_TOO_MANY: it took too many steps to say; KS_NOMEM.
 */
enum ks_status mget_match(
    struct mget_pattern *, const unsigned char *text, size_t len);

#endif
