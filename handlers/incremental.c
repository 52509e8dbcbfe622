/*
 * INCREMENTAL: what another key server has learnt.  Stored as by ADD, never
 * answered, and from configured peers only.
 */
#include "handlers/handler.h"

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	if (!request->from_peer)
		return REFUSED;
	return add_run(ks, request, reply);
}

const struct command command_incremental = {
    .name = "INCREMENTAL",
    .argument = "",
    .summary = "takes keys from another key server",
    .flags = COMMAND_KEYS | COMMAND_HIDDEN | COMMAND_SILENT | COMMAND_ALONE,
    .run = run,
};
