/*
 * RELOAD: the configuration is read again.
 */
#include "mailkeyd/control_client.h"

#include <stdlib.h>
#include <sysexits.h>

static void
do_reload(struct client *client, struct ipc_msg *msg)
{
	char *line = NULL;
	bool taken;

	(void)msg;
	if (client->reload == NULL) {
		client_end(client, EX_UNAVAILABLE,
		    "no daemon runs; its start reads the configuration");
		return;
	}
	taken = client->reload(client->reload_ctx, &line);
	client_end(
	    client, taken ? EX_OK : EX_CONFIG, "%s", line != NULL ? line : "");
	free(line);
}

const struct control_command control_reload = {
    .type = CONTROL_RELOAD, .run = do_reload};
