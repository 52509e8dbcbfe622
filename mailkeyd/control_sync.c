/*
 * SYNC: what waits for the peers goes now.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/sync.h"

#include <sysexits.h>

static void
do_sync(struct client *client, struct ipc_msg *msg)
{
	const struct gateway_parts *parts = client->parts;
	enum ks_status status;
	FILE *f;

	(void)msg;
	if (parts->sync == NULL) {
		client_end(client, EX_UNAVAILABLE,
		    "no daemon runs; it sends what waits once it is started");
		return;
	}
	if (parts->config->npeer == 0) {
		client_end(client, EX_UNAVAILABLE,
		    "no peer is configured; mailkeyd.conf(5) has an example");
		return;
	}
	f = client_print(client);
	if (f == NULL)
		return;
	status = sync_now(parts->sync);
	if (status == KS_OK)
		status = sync_print(parts->sync, f);
	client_printed(client, f, status, "");
}

const struct control_command control_sync = {
    .type = CONTROL_SYNC, .run = do_sync};
