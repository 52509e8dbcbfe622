/*
 * Points at which a test ends the process as SIGKILL would, each between two
 * steps that must not be torn apart.  They are there in build/faults/mailkeyd,
 * which only tests run; elsewhere nothing of them is compiled.
 */
#ifndef FAULT_H
#define FAULT_H

#ifdef FAULTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Ends here if MAILKEYD_FAULT names this point. */
static inline void
fault(const char *point)
{
	const char *wanted = getenv("MAILKEYD_FAULT");

	if (wanted != NULL && strcmp(wanted, point) == 0)
		raise(SIGKILL);
}
#else
#define fault(point) ((void)0)
#endif

#endif
