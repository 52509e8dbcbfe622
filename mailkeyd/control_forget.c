/*
 * FORGET and UNFORGET: a certificate is removed for good, or may come again.
 */
#include "mailkeyd/blocklist.h"
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define SLICE 2000 /* entries of the change log in one transaction */

struct forgetting {
	struct pgp_fpr fpr;
	bool had;
	uint64_t after; /* so far its changes have been removed */
};

/* Ends the transaction that `status` is the outcome of. */
static enum ks_status
finish(struct keystore *ks, enum ks_status status)
{
	if (status == KS_OK)
		return ks_commit(ks);
	ks_abort(ks);
	return status;
}

/* The fingerprint that was asked for; one of a subkey is none.  False: the END
 * has been said. */
static bool
primary_of(struct client *client, const char *text, struct pgp_fpr *fpr)
{
	struct ks_query query = {.kind = KS_BY_FPR};
	struct ks_found found = {0};
	char hex[PGP_FPR_HEX];
	bool subkey = false;

	if (!fingerprint_read(text, fpr)) {
		client_end(client, EX_USAGE,
		    "write the whole fingerprint of the primary key; "
		    "mailkeyctl index shows it");
		return false;
	}
	query.ndigits = 2 * (size_t)fpr->len;
	memcpy(query.octet, fpr->octet, fpr->len);
	if (ks_find(client->parts->ks, &query, 0, &found) == KS_OK) {
		subkey = true;
		for (size_t i = 0; i < found.n; i++)
			subkey &= pgp_fpr_cmp(&found.fpr[i], fpr) != 0;
		if (subkey)
			client_end(client, EX_DATAERR,
			    "that is a subkey; its primary key is %s",
			    pgp_fpr_hex(&found.fpr[0], hex));
		ks_found_free(&found);
	}
	return !subkey;
}

/* The log names no key that is to be forgotten. */
static void
forget_end(struct client *client, const struct forgetting *f)
{
	struct pgp_cert *rest = NULL;

	ks_scrub(client->parts->ks);
	log_line(LOG_INFO, "event=forget");
	if (ks_get(client->parts->ks, &f->fpr, &rest, NULL) == KS_OK)
		client_end(client, EX_OK,
		    "forgotten; its revocation stays, without user IDs");
	else
		client_end(client, EX_OK, "%s",
		    f->had ? "forgotten"
			   : "it was not stored, and will not be");
	pgp_cert_free(rest);
}

/* The change log is long: mails get their turn in between. */
static void
forget_more(struct client *client)
{
	struct keystore *ks = client->parts->ks;
	struct forgetting *f = client->work;
	enum ks_status status;
	bool more = false;

	status = ks_begin(ks, KS_ROOM_NONE);
	if (status == KS_OK)
		status = finish(ks,
		    ks_forget_changes(ks, &f->fpr, &f->after, SLICE, &more));
	if (status != KS_OK)
		client_end(client, EX_IOERR,
		    "it is removed, but not all changes of it from the log: "
		    "%s; run forget again",
		    ks_strerror(status));
	else if (!more)
		forget_end(client, f);
}

static void
do_forget(struct client *client, struct ipc_msg *msg)
{
	struct keystore *ks = client->parts->ks;
	struct forgetting *f = calloc(1, sizeof(*f));
	enum ks_status status;

	client->work = f;
	if (f == NULL) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	if (!primary_of(client, msg->text, &f->fpr))
		return;
	status = ks_begin(ks, KS_ROOM_NONE);
	if (status == KS_OK)
		status = finish(ks, ks_forget(ks, &f->fpr, &f->had));
	if (status == KS_OK)
		client_stream(client);
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

static void
forget_gone(struct client *client)
{
	free(client->work);
	client->work = NULL;
}

static void
do_unforget(struct client *client, struct ipc_msg *msg)
{
	struct keystore *ks = client->parts->ks;
	struct pgp_fpr fpr;
	enum ks_status status;

	if (!primary_of(client, msg->text, &fpr))
		return;
	status = ks_begin(ks, KS_ROOM_NONE);
	if (status == KS_OK)
		status = finish(ks, ks_unforget(ks, &fpr));
	if (status == KS_OK)
		client_end(client, EX_OK, "it is taken again when it comes");
	else if (status == KS_NOT_FOUND)
		client_end(
		    client, EX_UNAVAILABLE, "that key was not forgotten");
	else
		client_end(client, EX_IOERR, "%s", ks_strerror(status));
}

const struct control_command control_forget = {.type = CONTROL_FORGET,
    .run = do_forget,
    .more = forget_more,
    .gone = forget_gone};
const struct control_command control_unforget = {
    .type = CONTROL_UNFORGET, .run = do_unforget};
