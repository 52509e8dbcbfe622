/*
 * VERIFY: whether all that is kept beside the certificates agrees with them.
 * A daemon looks at a copy, in a thread of the store's own; where there is
 * none, nobody waits, and the store itself is looked at.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#define LOOK_MS 20

static void
verify_gone(struct client *client)
{
	loop_timer_free(client->work);
	client->work = NULL;
}

/* Whoever hears the END finds the line in the log. */
static void
verify_end(struct client *client, uint64_t wrong)
{
	if (client->parts->despatch != NULL)
		log_line(wrong == 0 ? LOG_NOTICE : LOG_ERR,
		    "event=verify wrong=%" PRIu64, wrong);
	if (wrong == 0)
		client_end(client, EX_OK, "%s", "");
	else
		client_end(client, EX_DATAERR,
		    "%" PRIu64 " records do not agree with the others: restore "
		    "a backup, or import a dump into a new store",
		    wrong);
}

static void
verify_look(void *ctx)
{
	struct client *client = ctx;
	uint64_t wrong;
	char *error;

	if (!ks_verify_done(client->parts->ks, &wrong, &error)) {
		loop_timer_set(client->work, LOOK_MS);
		return;
	}
	verify_gone(client);
	if (error != NULL)
		client_end(client, EX_CANTCREAT, "%s", error);
	else
		verify_end(client, wrong);
	free(error);
}

static void
verify_now(struct client *client)
{
	enum ks_status status;
	uint64_t wrong;

	status = ks_verify(client->parts->ks, &wrong);
	if (status == KS_OK)
		verify_end(client, wrong);
	else
		client_end(client, EX_IOERR, "%s: %s", ks_strerror(status),
		    ks_last_error(client->parts->ks));
}

static void
do_verify(struct client *client, struct ipc_msg *msg)
{
	struct loop_timer *timer;
	enum ks_status status;

	(void)msg;
	if (client->parts->despatch == NULL) {
		verify_now(client);
		return;
	}
	timer = loop_timer_new(client->parts->loop, verify_look, client);
	status = timer == NULL ? KS_NOMEM : ks_verify_start(client->parts->ks);
	if (status == KS_OK) {
		client->work = timer;
		loop_timer_set(timer, LOOK_MS);
		return;
	}
	loop_timer_free(timer);
	client_end(client, EX_TEMPFAIL, "%s",
	    status == KS_BUSY	? "a backup or another verify is under way"
	    : status == KS_FULL ? "no room for a copy of the store: stop the "
				  "daemon first, then none is needed"
				: ks_strerror(status));
}

const struct control_command control_verify = {
    .type = CONTROL_VERIFY, .run = do_verify, .gone = verify_gone};
