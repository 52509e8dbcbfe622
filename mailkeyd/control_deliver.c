/*
 * DELIVER: a mail from a pipe transport; the END waits for its commit.
 */
#include "mailkeyd/control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#define ENVELOPE (2 * (CONTROL_ADDRESS + 4)) /* octets of its record */

static void
deliver_done(void *ctx, enum fate fate, const char *why)
{
	struct client *client = ctx;

	client->work = NULL;
	client_end(client, fate == FATE_DONE ? EX_OK : EX_TEMPFAIL, "%s",
	    fate == FATE_DONE ? "" : why);
}

static void
do_deliver(struct client *client, struct ipc_msg *msg)
{
	struct envelope envelope = {.source = "deliver"};
	char *data = NULL, *sender = NULL, *recipient = NULL;
	struct ipc_in in = {0};

	if (msg->fd[0] == -1 || msg->fd[1] == -1 ||
	    ipc_slurp(msg->fd[1], ENVELOPE, &data, &in.len) == -1) {
		client_end(client, EX_TEMPFAIL, "no mail came with it");
		return;
	}
	in.data = (unsigned char *)data;
	envelope.sender = sender = ipc_get_str(&in, CONTROL_ADDRESS);
	envelope.recipient = recipient = ipc_get_str(&in, CONTROL_ADDRESS);
	if (!in.failed)
		client->work = gateway_submit(client->gateway, msg->fd[0],
		    &envelope, deliver_done, client);
	if (client->work != NULL)
		msg->fd[0] = -1;
	else
		client_end(client, EX_TEMPFAIL, "%s", gateway_refusal(errno));
	free(data);
	free(sender);
	free(recipient);
}

/* The mail is finished, but nobody is told. */
static void
deliver_gone(struct client *client)
{
	gateway_forget(client->work);
	client->work = NULL;
}

const struct control_command control_deliver = {
    .type = CONTROL_DELIVER, .run = do_deliver, .gone = deliver_gone};
