/*
 * DUMP: all certificates, in slices between which mails get their turn.
 */
#include "mailkeyd/control_client.h"

#include <stdlib.h>
#include <sysexits.h>

#define SLICE	 (512u << 10) /* octets in one message */
#define SLICE_MS 10

/* Some certificates, or KS_NOT_FOUND behind the last. */
static enum ks_status
dump_slice(struct client *client, FILE *f)
{
	struct keystore *ks = client->parts->ks;
	struct pgp_fpr *last = client->work;
	int64_t began = loop_now_ms();
	enum ks_status status = KS_OK;
	struct pgp_fpr next;
	struct pgp_blob blob;

	while (status == KS_OK && ftell(f) < (long)SLICE &&
	       loop_now_ms() - began < SLICE_MS) {
		status = ks_next(ks, last, &next);
		if (status != KS_OK)
			break;
		status = ks_get_octets(ks, &next, &blob);
		*last = next;
		if (status == KS_NOT_FOUND) {
			status = KS_OK; /* gone in between */
			continue;
		}
		if (status == KS_OK) {
			fwrite(blob.data, 1, blob.len, f);
			pgp_blob_free(&blob, false);
		}
	}
	return status;
}

static void
dump_more(struct client *client)
{
	enum ks_status status = KS_NOMEM;
	char *data = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&data, &len);

	if (f != NULL) {
		status = dump_slice(client, f);
		if (fclose(f) != 0)
			status = KS_NOMEM;
	}
	if (status == KS_OK || status == KS_NOT_FOUND)
		client_data(client, data, len);
	free(data);
	if (status == KS_NOT_FOUND)
		client_end(client, EX_OK, "%s", "");
	else if (status != KS_OK)
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

static void
do_dump(struct client *client, struct ipc_msg *msg)
{
	(void)msg;
	client->work =
	    calloc(1, sizeof(struct pgp_fpr)); /* the last one sent */
	if (client->work == NULL)
		client_end(client, EX_OSERR, "no memory");
	else
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
