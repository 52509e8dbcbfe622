/*
 * STATS: what is stored, and what the daemon has done since its start.
 */
#include "mailkeyd/control_client.h"

#include <inttypes.h>

static void
print_store(FILE *f, const struct ks_info *info)
{
	fprintf(f, "certificates          %" PRIu64 "\n", info->certificates);
	fprintf(f, "changes               %" PRIu64 "\n", info->serial);
	fputs("last change           ", f);
	print_time(f, info->last_change);
	fprintf(f, "\nmails waiting         %" PRIu64 "\n", info->outbox);
	fprintf(f, "octets on disk        %" PRIu64 "\n", info->disk);
}

static void
print_running(FILE *f, const struct client *client)
{
	const struct gateway_parts *parts = client->parts;
	struct gateway_counts gc;
	struct despatch_counts dc = {0};

	gateway_count(client->gateway, &gc);
	despatch_count(parts->despatch, &dc);
	fputs("running since         ", f);
	print_time(f, client->started);
	fprintf(f,
	    "\nmails                 %" PRIu64 "\n"
	    "  answered            %" PRIu64 "\n"
	    "  refused             %" PRIu64 "\n"
	    "  silent              %" PRIu64 "\n"
	    "  repeats             %" PRIu64 "\n"
	    "  put off             %" PRIu64 "\n"
	    "  quarantined         %" PRIu64 "\n"
	    "mails in hand         %zu\n"
	    "commits               %" PRIu64 "\n"
	    "answers sent          %" PRIu64 "\n"
	    "  put off             %" PRIu64 "\n"
	    "  given up            %" PRIu64 "\n"
	    "signatures asked of gpg %" PRIu64 "\n"
	    "helpers that died     parser %u, checker %u, senders %u\n",
	    gc.mails, gc.done, gc.refused, gc.silent, gc.repeats, gc.later,
	    gc.quarantined, gateway_busy(client->gateway), gc.commits, dc.sent,
	    dc.deferred, dc.refused, judge_asked(parts->judge),
	    reader_deaths(parts->reader), judge_deaths(parts->judge),
	    dc.deaths);
}

static void
do_stats(struct client *client, struct ipc_msg *msg)
{
	struct ks_info info;
	enum ks_status status = ks_info(client->parts->ks, &info);
	FILE *f = client_print(client);

	(void)msg;
	if (f == NULL)
		return;
	if (status == KS_OK) {
		print_store(f, &info);
		if (client->parts->despatch != NULL)
			print_running(f, client);
	}
	client_printed(client, f, status, "");
}

const struct control_command control_stats = {
    .type = CONTROL_STATS, .run = do_stats};
