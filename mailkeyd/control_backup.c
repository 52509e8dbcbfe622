/*
 * BACKUP: a copy of the store, made by a thread of the store's own; this only
 * waits for its end.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"

#include <stdlib.h>
#include <sysexits.h>

#define LOOK_MS 20

static void
backup_gone(struct client *client)
{
	loop_timer_free(client->work);
	client->work = NULL;
}

static void
backup_look(void *ctx)
{
	struct client *client = ctx;
	char *error;

	if (!ks_backup_done(client->parts->ks, &error)) {
		loop_timer_set(client->work, LOOK_MS);
		return;
	}
	backup_gone(client);
	log_line(error == NULL ? LOG_NOTICE : LOG_ERR,
	    "event=backup outcome=%s", error == NULL ? "done" : "failed");
	if (error != NULL)
		client_end(client, EX_CANTCREAT, "%s", error);
	else
		client_end(client, EX_OK, "%s", "");
	free(error);
}

static void
do_backup(struct client *client, struct ipc_msg *msg)
{
	struct loop_timer *timer;
	enum ks_status status;

	if (*msg->text != '/') {
		client_end(client, EX_USAGE, "where to?");
		return;
	}
	timer = loop_timer_new(client->parts->loop, backup_look, client);
	status = timer == NULL ? KS_NOMEM
			       : ks_backup_start(client->parts->ks, msg->text);
	if (status == KS_OK) {
		client->work = timer;
		loop_timer_set(timer, LOOK_MS);
		return;
	}
	loop_timer_free(timer);
	client_end(client, EX_TEMPFAIL, "%s",
	    status == KS_BUSY ? "another backup is under way"
			      : ks_strerror(status));
}

const struct control_command control_backup = {
    .type = CONTROL_BACKUP, .run = do_backup, .gone = backup_gone};
