/*
 * A look at the text of a configuration before libconfuse reads it.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include <stddef.h>

struct config_fault {
	unsigned line;
	char text[160]; /* "what; what to do" */
};

/*
 * Overwrites comments with blanks (libconfuse loses count of lines in them)
 * and refuses what libconfuse would take in silence: a section or string that
 * is not closed, an environment variable that is not set, octets that end an
 * unquoted value in its middle.  0, or -1 with *fault.
 */
int config_scan(char *text, size_t len, struct config_fault *fault);

#endif
