/*
 * QUEUE: the mails that wait to be sent.
 */
#include "mailkeyd/control_client.h"

static bool
queue_line(void *ctx, const struct outbox_item *item)
{
	FILE *f = ctx;

	fprintf(f, "%-8s %8zu ", item->log_id, item->message.len);
	print_time(f, item->queued);
	fprintf(f, "  %s\n", item->recipient);
	if (item->attempts > 0) {
		fprintf(f, "         tried %u times, again ", item->attempts);
		print_time(f, item->due);
		fprintf(f, ": %s\n", item->last_error);
	}
	return true;
}

static void
do_queue(struct client *client, struct ipc_msg *msg)
{
	FILE *f = client_print(client);

	(void)msg;
	if (f != NULL)
		client_printed(client, f,
		    outbox_each(client->parts->ks, queue_line, f),
		    "no mail waits");
}

const struct control_command control_queue = {
    .type = CONTROL_QUEUE, .run = do_queue};
