/*
 * Watches over the store: it may be closed because the disk is full or
 * read-only, at the start or later.  Meanwhile the sources hear to come later.
 */
#include "mailkeyd/keeper.h"
#include "mailkeyd/log.h"

#include <stdbool.h>
#include <stdlib.h>

#define LOOK   1    /* seconds */
#define LAST   60   /* of one that does not open, or not for long */
#define STEADY 3600 /* open for so long, its tries count no more */
#define TRIES  8    /* each may cost the memory of a cache */

long keeper_second = 1000;

struct keeper {
	struct keystore *ks;
	struct loop_timer *look;
	enum ks_status said; /* what the log knows */
	long wait;
	int64_t opened_at; /* ms; 0: it was never closed */
	unsigned tries;	   /* for other reasons than room */
	loop_fn *opened;
	void *ctx;
};

static void
keeper_say(struct keeper *k, enum ks_status status)
{
	const char *why = "";

	if (status == k->said)
		return;
	k->said = status;
	ks_closed(k->ks, &why);
	if (status == KS_OK)
		log_line(LOG_NOTICE, "event=store what=open");
	else
		log_line(LOG_ERR, "event=store what=closed error=\"%s\"", why);
}

static bool
is_patient(enum ks_status status)
{
	return status == KS_FULL || status == KS_READ_ONLY;
}

/* Looking costs nothing where what is missing is room, or leave to write;
 * otherwise it is recovery, which takes its time. */
static void
keeper_mend(struct keeper *k)
{
	enum ks_status status = ks_closed(k->ks, NULL);

	if (!is_patient(status) && ++k->tries == TRIES)
		log_line(LOG_ERR,
		    "event=store what=given_up remedy=\"look at its disk, "
		    "restore a backup, start again\"");
	if (k->tries >= TRIES)
		return;
	status = ks_mend(k->ks);
	keeper_say(k, status);
	if (is_patient(status))
		k->wait = LOOK * keeper_second;
	else if (k->wait < LAST * keeper_second)
		k->wait *= 2;
	if (status == KS_OK) {
		k->opened_at = loop_now_ms();
		k->opened(k->ctx);
	}
}

static void
keeper_look(void *ctx)
{
	struct keeper *k = ctx;
	enum ks_status status = ks_closed(k->ks, NULL);
	int64_t open = loop_now_ms() - k->opened_at;

	if (status != KS_OK) {
		keeper_say(k, status);
		keeper_mend(k);
	} else if (open > LAST * keeper_second) {
		k->wait = LOOK * keeper_second;
		/* So a disk that is full each night gives up no store. */
		if (open > STEADY * keeper_second)
			k->tries = 0;
	}
	loop_timer_set(k->look, k->wait);
}

struct keeper *
keeper_new(struct loop *loop, struct keystore *ks, loop_fn *opened, void *ctx)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->ks = ks;
	k->opened = opened;
	k->ctx = ctx;
	k->wait = LOOK * keeper_second;
	k->look = loop_timer_new(loop, keeper_look, k);
	if (k->look == NULL) {
		free(k);
		return NULL;
	}
	keeper_say(k, ks_closed(ks, NULL));
	loop_timer_set(k->look, k->wait);
	return k;
}

void
keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	loop_timer_free(k->look);
	free(k);
}
