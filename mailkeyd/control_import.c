/*
 * IMPORT: the certificates of a file, told as they go in.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define NOTES 64 /* lines that wait for a slow reader */

struct work {
	struct import *import;
	int file;
};

static void
import_gone(struct client *client)
{
	struct work *work = client->work;

	import_free(work->import);
	close(work->file);
	free(work);
	client->work = NULL;
}

static void
import_problem(void *ctx, const char *line)
{
	struct client *client = ctx;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_NOTE, 0);
	snprintf(msg.text, sizeof(msg.text), "%s", line);
	if (client->nqueue < NOTES)
		client_say(client, &msg);
}

static void
import_progress(void *ctx, const struct import_counts *counts, uint64_t offset)
{
	struct client *client = ctx;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_PROGRESS, 0);
	msg.a = offset;
	msg.b = counts->certificates;
	if (client->nqueue < 2)
		client_say(client, &msg);
}

static void
print_left(FILE *f, const char *head, const struct pgp_left_out *left)
{
	for (int i = 0; i < PGP_LEFT_REASONS; i++) {
		if (left->n[i] == 0 || i == PGP_LEFT_DUPLICATE)
			continue;
		if (head != NULL)
			fprintf(f, "%s\n", head);
		head = NULL;
		fprintf(f, "  %8u  %s\n", left->n[i], pgp_left_text(i));
	}
}

static void
print_counts(FILE *f, const struct import_counts *counts)
{
	fprintf(f,
	    "%" PRIu64 " certificates: %" PRIu64 " new, %" PRIu64
	    " changed, %" PRIu64 " unchanged, %" PRIu64 " refused\n",
	    counts->certificates, counts->added, counts->changed,
	    counts->unchanged, counts->refused);
	if (counts->secret > 0)
		fprintf(f,
		    "%" PRIu64 " secret keys were found and not stored: treat "
		    "them as exposed\n",
		    counts->secret);
	print_left(f, "refused certificates had:", &counts->refused_for);
	print_left(f, "left out of the others:", &counts->left);
}

static void
import_done(void *ctx, const struct import_counts *counts, const char *why)
{
	struct client *client = ctx;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f != NULL) {
		print_counts(f, counts);
		if (fclose(f) == 0)
			client_data(client, text, len);
	}
	free(text);
	if (why != NULL)
		client_end(client, EX_TEMPFAIL,
		    "stopped: %s; what was counted is stored", why);
	else if (counts->problems > 0)
		client_end(client, EX_DATAERR,
		    "not all of the file was taken: %" PRIu64 " problem%s",
		    counts->problems, counts->problems == 1 ? "" : "s");
	else if (counts->certificates == 0)
		client_end(client, EX_DATAERR, "no certificate in it");
	else
		client_end(client, EX_OK, "%s", "");
	/* `why` and the counts are the import's. */
	import_gone(client);
}

static const struct import_calls import_calls = {
    import_progress, import_problem, import_done};

static void
do_import(struct client *client, struct ipc_msg *msg)
{
	struct work *work;

	if (msg->fd[0] == -1) {
		client_end(client, EX_USAGE, "no file came with it");
		return;
	}
	work = calloc(1, sizeof(*work));
	if (work == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	client->work = work;
	work->file = msg->fd[0];
	msg->fd[0] = -1;
	work->import = import_new(
	    client->parts, work->file, msg->a == 1, &import_calls, client);
	if (work->import == NULL) {
		client_end(client, EX_OSERR, "no memory");
		import_gone(client);
	}
}

/* Behind the batch in hand. */
static void
import_stop(struct client *client)
{
	client_end(client, EX_TEMPFAIL,
	    "stopped: " CONTROL_ENDING "; what was committed before is stored");
	import_gone(client);
}

const struct control_command control_import = {.type = CONTROL_IMPORT,
    .run = do_import,
    .stop = import_stop,
    .gone = import_gone};
