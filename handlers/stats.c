/*
 * STATS: how much there is here, and since when.
 */
#include "handlers/handler.h"

#include <inttypes.h>

#define DAY	86400
#define COUNTED 1000

/* How many certificates changed since 0 o'clock UTC. */
static enum ks_status
changed_today(struct keystore *ks, time_t now, uint64_t *n)
{
	struct ks_found found;
	enum ks_status status;

	status = ks_since(ks, now - now % DAY, 1, &found);
	*n = 0;
	if (status == KS_NOT_FOUND)
		return KS_OK;
	if (status != KS_OK && status != KS_TOO_MANY)
		return status;
	*n = found.total;
	ks_found_free(&found);
	return KS_OK;
}

/* "2 days 3 hours 1 minute" */
static void
say_uptime(struct reply *reply, time_t seconds)
{
	uint64_t minutes = seconds > 0 ? (uint64_t)seconds / 60 : 0;

	reply_printf(reply, "Up for:              ");
	if (minutes >= 24 * 60) {
		reply_count(reply, minutes / (24 * 60), "day");
		reply_printf(reply, " ");
	}
	if (minutes >= 60) {
		reply_count(reply, minutes / 60 % 24, "hour");
		reply_printf(reply, " ");
	}
	reply_count(reply, minutes % 60, "minute");
	reply_printf(reply, "\n");
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_info info;
	enum ks_status status;
	uint64_t today;

	status = ks_info(ks, &info);
	if (status == KS_OK)
		status = changed_today(ks, request->now, &today);
	if (status != KS_OK)
		return TRY_LATER;
	reply_site(reply, request);
	reply_printf(
	    reply, "Number of keys:      %" PRIu64 "\n", info.certificates);
	/* The store does not count thousands of changes one by one. */
	reply_printf(reply, "Changed today (UTC): %s%" PRIu64 "\n",
	    today > COUNTED ? "about " : "", today);
	reply_printf(
	    reply, "Version:             mailkeyd %s\n", request->version);
	say_uptime(reply, request->now - request->started);
	return DONE;
}

const struct command command_stats = {
    .name = "STATS",
    .argument = "",
    .summary = "tells how many keys are here, and since when",
    .run = run,
};
