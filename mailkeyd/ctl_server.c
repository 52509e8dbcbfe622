/*
 * mailkeyctl stats and sync: how the server fares.
 */
#include "mailkeyd/ctl.h"

#include <sysexits.h>

static int
do_stats(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_STATS, "", 0);
}

static int
do_sync(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_SYNC, "", 0);
}

const struct verb verb_stats = {"stats", "", "show counters", do_stats};
const struct verb verb_sync = {"sync", "",
    "send what waits for the peers, show how far they are", do_sync};
