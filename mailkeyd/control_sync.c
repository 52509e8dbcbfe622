/*
 * SYNC: what waits for the peers goes now, or some of it never.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/sync.h"

#include <sysexits.h>

/* False: it has said why not. */
static bool
skip(struct client *client, const char *peer)
{
	uint64_t n;

	switch (sync_skip(client->parts->sync, peer, &n)) {
	case KS_OK:
		return true;
	case KS_BAD_QUERY:
		client_end(client, EX_UNAVAILABLE,
		    "no peer \"%s\" is configured", peer);
		return false;
	case KS_NOT_FOUND:
		client_end(client, EX_UNAVAILABLE,
		    "nothing is under way to \"%s\", nor was given up", peer);
		return false;
	default:
		client_end(client, EX_IOERR, "the store cannot be written");
		return false;
	}
}

static void
do_sync(struct client *client, struct ipc_msg *msg)
{
	const struct gateway_parts *parts = client->parts;
	enum ks_status status;
	FILE *f;

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
	if (*msg->text != '\0' && !skip(client, msg->text))
		return;
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
