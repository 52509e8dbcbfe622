/*
 * IMPORT: certificates and old mails, told as they go in.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/import.h"
#include "mailkeyd/mail_read.h"
#include "pgp/pgp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define NOTES 64 /* lines that wait for a slow reader */

struct work {
	struct import *import;
	bool first; /* nothing was asked for yet */
};

static void
import_gone(struct client *client)
{
	struct work *work = client->work;

	import_free(work->import);
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
print_counts(FILE *f, struct import_counts *counts)
{
	if (counts->mails > 0)
		fprintf(f,
		    "%" PRIu64 " mails, %" PRIu64 " with ADD or INCREMENTAL\n",
		    counts->mails, counts->replayed);
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
	report_print(f, "refused, or not to be read:", &counts->report);
	print_left(f, "left out of the others:", &counts->left);
}

static void
import_done(void *ctx, struct import_counts *counts, const char *why)
{
	struct client *client = ctx;
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);

	if (f != NULL) {
		print_counts(f, counts);
		if (fclose(f) == 0)
			client_data(client, text, len);
	}
	free(text);
	if (why != NULL && counts->nothing)
		client_end(client, EX_TEMPFAIL,
		    "stopped: %s; nothing of it was stored", why);
	else if (why != NULL)
		client_end(client, EX_TEMPFAIL,
		    "stopped: %s; what was counted is stored, and the same "
		    "import goes on from here",
		    why);
	else if (counts->problems > 0)
		client_end(client, EX_DATAERR,
		    "not all of it was taken: %" PRIu64 " problem%s",
		    counts->problems, counts->problems == 1 ? "" : "s");
	else if (counts->certificates == 0 && counts->mails == 0)
		client_end(client, EX_DATAERR, "no certificate in it");
	else
		client_end(client, EX_OK, "%s", "");
	/* `why` and the counts are the import's. */
	import_gone(client);
}

/* ---- the sources --------------------------------------------------------- */

static void
hex_put(char out[2 * KS_MARK_CHAIN + 1], const unsigned char *octet)
{
	for (size_t i = 0; i < KS_MARK_CHAIN; i++)
		snprintf(out + 2 * i, 3, "%02x", octet[i]);
}

/* What stands behind it, or NULL when that is no chain. */
static const char *
hex_get(const char *text, unsigned char out[KS_MARK_CHAIN])
{
	for (size_t i = 0; i < KS_MARK_CHAIN; i++) {
		int high = pgp_hex_value(text[2 * i]), low;

		if (high == -1 || (low = pgp_hex_value(text[2 * i + 1])) == -1)
			return NULL;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return text + 2 * KS_MARK_CHAIN;
}

static void
import_wants(void *ctx)
{
	struct client *client = ctx;
	struct work *work = client->work;
	struct ks_mark mark;
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_NEXT, 0);
	if (work->first && ks_mark_get(client->parts->ks, &mark) == KS_OK) {
		msg.b = 1;
		msg.a = mark.offset;
		hex_put(msg.text, mark.chain);
	}
	work->first = false;
	client_say(client, &msg);
}

static void
import_said(struct client *client, struct ipc_msg *msg)
{
	struct work *work = client->work;
	struct import_source source = {.fd = msg->fd[0]};
	const char *name = hex_get(msg->text, source.mark.chain);
	char *clean;

	if (msg->type == CONTROL_FINISH) {
		import_end(work->import);
		return;
	}
	if (msg->type != CONTROL_SOURCE || msg->fd[0] == -1 || name == NULL) {
		client_end(client, EX_PROTOCOL, "no source came with it");
		import_gone(client);
		return;
	}
	clean = mail_text_clean(name, strlen(name), IMPORT_NAME - 1);
	snprintf(source.name, sizeof(source.name), "%s",
	    clean == NULL ? "?" : clean);
	free(clean);
	source.mail = msg->status == CONTROL_MAIL;
	source.piece = msg->status == CONTROL_PIECE;
	source.at = msg->id;
	source.mark.offset = msg->a;
	msg->fd[0] = -1;
	import_take(work->import, &source);
}

static const struct import_calls import_calls = {
    import_wants, import_progress, import_problem, import_done};

static void
do_import(struct client *client, struct ipc_msg *msg)
{
	struct work *work = calloc(1, sizeof(*work));

	if (work == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	client->work = work;
	work->first = true;
	work->import = import_new(
	    client->parts, msg->a == 1, msg->b, &import_calls, client);
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
    .said = import_said,
    .stop = import_stop,
    .gone = import_gone};
