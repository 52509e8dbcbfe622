/*
 * mailkeyctl quarantine: mails that killed two readers.
 */
#include "mailkeyd/ctl.h"

#include <string.h>
#include <sysexits.h>

static int
do_quarantine(struct ctl *ctl, int argc, char **argv)
{
	static const char *const actions[] = {[QUARANTINE_LIST] = "list",
	    [QUARANTINE_SHOW] = "show",
	    [QUARANTINE_RETRY] = "retry",
	    [QUARANTINE_DROP] = "drop"};
	const char *name = argc == 0 ? "list" : argv[0];

	for (unsigned i = QUARANTINE_LIST; i <= QUARANTINE_DROP; i++)
		if (strcmp(name, actions[i]) == 0 &&
		    (i == QUARANTINE_LIST ? argc < 2 : argc == 2))
			return ctl_simple(ctl, CONTROL_QUARANTINE,
			    argc == 2 ? argv[1] : "", i);
	fprintf(stderr,
	    "mailkeyctl: write quarantine, or quarantine show, retry or drop "
	    "with a mail's name\n");
	return EX_USAGE;
}

const struct verb verb_quarantine = {"quarantine",
    "[show NAME | retry NAME | drop NAME]",
    "list the mails that killed their reader", do_quarantine};
