/*
 * DUMP: all certificates, in slices between which mails get their turn.
 */
#include "mailkeyd/control_client.h"

#include <stdlib.h>
#include <sysexits.h>

#define SLICE	 (512u << 10) /* octets in one message */
#define SLICE_MS 10

struct work {
	uint64_t at;		/* sent */
	bool left;		/* there are some for a second time */
	bool newer;		/* which is this */
	uint64_t each, in_file; /* certificates in a file; each 0: any */
	/* one slice */
	uint64_t n;
	FILE *f;
	int64_t until; /* as of loop_now_ms() */
};

/* Versions 5 and 6 come last: many programs give up all that follows one, or
 * the whole file. */
static bool
is_newer(const struct pgp_fpr *fpr)
{
	return fpr->len == PGP_FPR_MAX;
}

static bool
dump_visit(void *ctx, const struct pgp_fpr *fpr, const struct pgp_blob *octets)
{
	struct work *work = ctx;

	if (is_newer(fpr) == work->newer) {
		fwrite(octets->data, 1, octets->len, work->f);
		work->n++;
		work->in_file++;
	} else
		work->left = true;
	return (work->each == 0 || work->in_file < work->each) &&
	       ftell(work->f) < (long)SLICE && loop_now_ms() < work->until;
}

/* Some certificates, or KS_NOT_FOUND behind the last. */
static enum ks_status
dump_slice(struct client *client, FILE *f)
{
	struct work *work = client->work;
	enum ks_status status;

	work->n = 0;
	work->f = f;
	work->until = loop_now_ms() + SLICE_MS;
	status = ks_each(client->parts->ks, &work->at, dump_visit, work);
	if (work->in_file == work->each)
		work->in_file = 0;
	return status;
}

/* A piece that never reaches over the end of a file. */
static void
dump_say(struct client *client, const char *data, size_t len)
{
	const struct work *work = client->work;
	struct ipc_msg msg;

	if (len == 0)
		return;
	ipc_msg_init(&msg, CONTROL_DATA, 0);
	msg.a = work->n;
	msg.b = work->newer;
	msg.fd[0] = ipc_memfd("dump", data, len, true);
	if (msg.fd[0] == -1)
		client_end(client, EX_OSERR, "no memory for the dump");
	else
		client_say(client, &msg);
}

static void
dump_more(struct client *client)
{
	struct work *work = client->work;
	enum ks_status status = KS_NOMEM;
	char *data = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&data, &len);

	if (f != NULL) {
		status = dump_slice(client, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK || status == KS_NOT_FOUND)
		dump_say(client, data, len);
	free(data);
	if (status == KS_NOT_FOUND && !work->newer && work->left) {
		work->newer = true;
		work->at = 0;
		work->in_file = 0;
	} else if (status == KS_NOT_FOUND)
		client_end(client, EX_OK, "%s", "");
	else if (status != KS_OK)
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

static void
do_dump(struct client *client, struct ipc_msg *msg)
{
	struct work *work = calloc(1, sizeof(*work));

	client->work = work;
	if (work == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	work->each = msg->a;
	client_stream(client);
}

static void
dump_gone(struct client *client)
{
	free(client->work);
	client->work = NULL;
}

const struct control_command control_dump = {
    .type = CONTROL_DUMP, .run = do_dump, .more = dump_more, .gone = dump_gone};
