/*
 * QUEUE: the mails that wait to be sent.  A list comes in slices, between which
 * mails get their turn.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#define SLICE 100 /* mails */

/* Where a list, or a round of all, is. */
struct work {
	struct outbox_place place; /* of the last one met */
	uint64_t n;		   /* in all */
	/* one slice */
	unsigned visits;
	uint64_t ids[SLICE];
	FILE *f; /* of a list; NULL: nothing is printed */
	bool list;
};

static void
queue_end(struct client *client, enum ks_status status, const char *line)
{
	if (status == KS_OK)
		client_end(client, EX_OK, "%s", line);
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

/* ---- all of them --------------------------------------------------------- */

static void
print_line(FILE *f, const struct outbox_item *item)
{
	fprintf(f, "%" PRIu64 " %s %zu ", item->id, item->log_id,
	    item->message.len);
	print_time(f, item->queued);
	fprintf(f, " %s\n", item->recipient);
	if (item->attempts > 0) {
		fprintf(f, "  tried %u times, again ", item->attempts);
		print_time(f, item->due);
		fprintf(f, ": %s\n", item->last_error);
	}
}

static bool
visit(void *ctx, const struct outbox_item *item)
{
	struct work *work = ctx;

	work->place = (struct outbox_place){item->due, item->id};
	work->ids[work->visits++] = item->id;
	work->n++;
	if (work->f != NULL)
		print_line(work->f, item);
	return work->visits < SLICE;
}

static enum ks_status
slice(struct client *client, FILE *f)
{
	struct work *work = client->work;

	work->visits = 0;
	work->f = f;
	return outbox_behind(client->parts->ks, &work->place, visit, work);
}

static void
list_more(struct client *client)
{
	struct work *work = client->work;
	enum ks_status status = KS_NOMEM;
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);

	if (f != NULL) {
		status = slice(client, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK)
		client_data(client, text, len);
	free(text);
	if (status != KS_OK || work->visits < SLICE)
		queue_end(client, status, work->n == 0 ? "no mail waits" : "");
}

/* Those that are due later are due now. */
static enum ks_status
hurry_slice(struct client *client)
{
	struct keystore *ks = client->parts->ks;
	const struct work *work = client->work;
	enum ks_status status = slice(client, NULL);
	time_t now = time(NULL);

	if (status == KS_OK)
		status = ks_begin(ks, KS_ROOM_NONE);
	if (status != KS_OK)
		return status;
	for (unsigned i = 0; i < work->visits && status == KS_OK; i++)
		status = outbox_hurry(ks, work->ids[i], now);
	if (status == KS_OK)
		return ks_commit_lazy(ks);
	ks_abort(ks);
	return status;
}

static void
hurry_more(struct client *client)
{
	const struct work *work = client->work;
	enum ks_status status = hurry_slice(client);

	if (client->parts->despatch != NULL)
		despatch_again(client->parts->despatch);
	if (status == KS_OK && work->visits == SLICE)
		return;
	log_line(LOG_NOTICE, "event=queue_try mails=%" PRIu64 " outcome=%s",
	    work->n, status == KS_OK ? "done" : "failed");
	if (status != KS_OK)
		queue_end(client, status, "");
	else
		client_end(
		    client, EX_OK, "%" PRIu64 " mails are due now", work->n);
}

static void
queue_more(struct client *client)
{
	const struct work *work = client->work;

	if (work->list)
		list_more(client);
	else
		hurry_more(client);
}

static void
queue_all(struct client *client, bool list)
{
	struct work *work = calloc(1, sizeof(*work));

	client->work = work;
	if (work == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	work->list = list;
	if (!list) /* behind those that are due */
		work->place = (struct outbox_place){time(NULL), UINT64_MAX};
	client_stream(client);
}

static void
queue_gone(struct client *client)
{
	free(client->work);
	client->work = NULL;
}

/* ---- one of them --------------------------------------------------------- */

static void
queue_show(struct client *client, const struct outbox_item *item)
{
	FILE *f = client_print(client);

	if (f == NULL)
		return;
	fprintf(f,
	    "number     %" PRIu64 "\nlog        %s\nfrom       <%s>\n"
	    "to         <%s>\n",
	    item->id, item->log_id, item->sender, item->recipient);
	if (*item->peer != '\0')
		fprintf(f, "peer       %s\n", item->peer);
	fputs("queued     ", f);
	print_time(f, item->queued);
	fputs("\ndue        ", f);
	print_time(f, item->due);
	fprintf(f, "\nattempts   %u\n", item->attempts);
	if (*item->last_error != '\0')
		fprintf(f, "last error %s\n", item->last_error);
	fputc('\n', f);
	fwrite(item->message.data, 1, item->message.len, f);
	client_printed(client, f, KS_OK, "");
}

static void
log_operator(const char *what, const struct outbox_item *item)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f, "%s: event=%s number=%" PRIu64 " to=", item->log_id, what,
	    item->id);
	log_value(f, item->recipient);
	if (fclose(f) == 0)
		log_line(LOG_NOTICE, "%s", line);
	free(line);
}

/* A peer's mail was given up then: what it brought goes again. */
static enum ks_status
drop(struct keystore *ks, const struct outbox_item *item)
{
	enum ks_status status = outbox_delete(ks, item->id);

	if (status == KS_OK && *item->peer != '\0')
		status = sync_settle(ks, item, false, time(NULL));
	return status;
}

static void
queue_change(struct client *client, bool drops, const struct outbox_item *item)
{
	const struct gateway_parts *parts = client->parts;
	enum ks_status status;

	if (parts->despatch != NULL &&
	    despatch_has(parts->despatch, item->id)) {
		client_end(client, EX_TEMPFAIL, "it is being sent just now");
		return;
	}
	status = ks_begin(parts->ks, KS_ROOM_NONE);
	if (status != KS_OK) {
		queue_end(client, status, "");
		return;
	}
	status = drops ? drop(parts->ks, item)
		       : outbox_hurry(parts->ks, item->id, time(NULL));
	if (status == KS_OK)
		status = ks_commit(parts->ks);
	else
		ks_abort(parts->ks);
	if (status == KS_OK)
		log_operator(drops ? "queue_drop" : "queue_try", item);
	if (parts->despatch != NULL)
		despatch_again(parts->despatch);
	sync_kick(parts->sync);
	queue_end(client, status, "");
}

static void
queue_one(struct client *client, enum control_queue what, uint64_t id)
{
	struct outbox_item item;
	enum ks_status status = outbox_get(client->parts->ks, id, &item);

	if (status == KS_NOT_FOUND)
		client_end(client, EX_UNAVAILABLE,
		    "no mail of that number waits; `mailkeyctl queue` lists "
		    "them");
	else if (status != KS_OK)
		queue_end(client, status, "");
	else if (what == QUEUE_SHOW)
		queue_show(client, &item);
	else
		queue_change(client, what == QUEUE_DROP, &item);
	if (status == KS_OK)
		outbox_item_free(&item);
}

static void
do_queue(struct client *client, struct ipc_msg *msg)
{
	if (msg->a == QUEUE_LIST || (msg->a == QUEUE_TRY && msg->b == 0))
		queue_all(client, msg->a == QUEUE_LIST);
	else if (msg->a > QUEUE_DROP || msg->b == 0)
		client_end(client, EX_USAGE, "which mail?");
	else
		queue_one(client, (enum control_queue)msg->a, msg->b);
}

const struct control_command control_queue = {.type = CONTROL_QUEUE,
    .run = do_queue,
    .more = queue_more,
    .gone = queue_gone};
