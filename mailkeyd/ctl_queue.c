/*
 * mailkeyctl queue: the mails that wait to be sent.
 */
#include "mailkeyd/ctl.h"

#include <string.h>
#include <sysexits.h>

static int
do_queue(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 1 && strcmp(argv[0], "list") == 0)
		argc = 0;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_QUEUE, "", 0);
}

const struct verb verb_queue = {
    "queue", "", "list the mails that wait to be sent", do_queue};
