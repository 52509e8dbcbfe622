/*
 * mailkeyctl stats, sync, pause, resume, reload and verify: how the server
 * fares.
 */
#include "mailkeyd/ctl.h"

#include <sysexits.h>

static int
do_stats(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc)
		   ? EX_USAGE
		   : ctl_simple(ctl, CONTROL_STATS, "", ctl->tsv);
}

static int
do_sync(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc)
		   ? EX_USAGE
		   : ctl_simple(ctl, CONTROL_SYNC,
			 ctl->skip == NULL ? "" : ctl->skip, 0);
}

static int
do_pause(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_PAUSE, "", 1);
}

static int
do_resume(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_PAUSE, "", 0);
}

static int
do_reload(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_RELOAD, "", 0);
}

static int
do_verify(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return ctl_no_arguments(argc) ? EX_USAGE
				      : ctl_simple(ctl, CONTROL_VERIFY, "", 0);
}

const struct verb verb_stats = {"stats", "[--tsv]", "show counters", do_stats};
const struct verb verb_sync = {"sync", "[--skip=PEER]",
    "send what waits for the peers, show how far they are", do_sync};
const struct verb verb_pause = {
    "pause", "", "take no mails until resume", do_pause};
const struct verb verb_resume = {"resume", "", "take mails again", do_resume};
const struct verb verb_reload = {
    "reload", "", "read the configuration again", do_reload};
const struct verb verb_verify = {
    "verify", "", "hold the indexes against the certificates", do_verify};
