/*
 * PAUSE: the sources keep their mails for a while.
 */
#include "mailkeyd/control_client.h"

#include <sysexits.h>

static void
do_pause(struct client *client, struct ipc_msg *msg)
{
	if (client->parts->despatch == NULL) {
		client_end(client, EX_UNAVAILABLE,
		    "no daemon runs, and no mail is taken");
		return;
	}
	gateway_pause(client->gateway, msg->a == 1);
	client_end(client, EX_OK, "%s", "");
}

const struct control_command control_pause = {
    .type = CONTROL_PAUSE, .run = do_pause};
