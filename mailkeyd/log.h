/*
 * The log: one line of key=value for each mail, plain lines for the rest, to
 * standard error (with a level in <> under the journal) or syslog.
 */
#ifndef LOG_H
#define LOG_H

#include <stdio.h>
#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG */

/* `program` is lent for ever.  `verbose` lets LOG_DEBUG through.  Where no
 * syslog daemon listens standard error says so. */
void log_open(const char *program, int to_syslog, int verbose);

/* One line; no line break in the format. */
void log_line(int level, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes what came from outside: quoted when it holds a blank, a quote, = or
 * nothing at all; control and non-ASCII octets as \xHH; cut at 200 octets. */
void log_value(FILE *, const char *);

/* The same, uncut: a sentence of our own, with what was read in it. */
void log_sentence(FILE *, const char *);

/* "SOURCE: event=EVENT", and a list of names and values that ends with NULL; a
 * value may be NULL or "": then its name is left out. */
void log_event(int level, const char *source, const char *event, ...)
    __attribute__((sentinel));

/* Logs, and exits with a status of sysexits.h.  For the start only. */
void fatal(int status, const char *, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
