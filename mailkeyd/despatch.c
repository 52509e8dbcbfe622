/*
 * Hands due answers to the senders, and writes down what became of them.
 */
#include "mailkeyd/despatch.h"
#include "db/fault.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/log.h"
#include "mailkeyd/send.h"
#include "mailkeyd/turns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MAX (4 * 3600)  /* seconds */
#define WAIT_MAX  (2 * 86400) /* likewise; no wait is as long */
#define AHEAD_MAX 3600	      /* likewise; see is_by_wrong_clock() */
#define WATCHDOG  (20 * 60 * 1000L)
#define SETTLE_MS 1000L		 /* until the store is asked again */
#define POLL_MAX  (3600 * 1000L) /* look again at least so often */
#define LOAD_MAX  256		 /* answers noted in one round of the loop */

long despatch_pressed = 60 * 1000L;

/* One sender and the answer it has in hand. */
struct slot {
	struct despatch *despatch;
	struct helper *helper;
	struct loop_timer *watchdog;
	struct outbox_item item; /* id 0: none */
	struct domain *domain;	 /* of its recipient */
	int64_t since;		 /* ms, when it was handed out */
	bool settled;		 /* there is a result to be written down */
	enum send_status status;
	char text[IPC_TEXT];
};

struct despatch {
	struct loop *loop;
	const struct config *config;
	struct keystore *ks;
	struct sync *sync;	   /* NULL: nobody */
	struct turns *turns;	   /* what is due, as far as it is noted */
	struct outbox_place noted; /* up to where */
	struct outbox_place far;   /* the same for load_far() */
	time_t looked;		   /* when it last did */
	unsigned loaded;	   /* in this round */
	struct loop_timer *due;
	struct slot *slots;
	size_t nslots;
	bool stopping;
	int64_t settle_at; /* ms; 0: the store has not failed */
	struct despatch_counts counts;
};

static int
slot_up(void *ctx, struct helper *helper)
{
	struct slot *slot = ctx;
	const struct config_send *send = &slot->despatch->config->send;
	struct ipc_out out = {0};
	struct ipc_msg msg;
	int rv = -1;

	ipc_msg_init(&msg, SEND_CONFIG, 0);
	ipc_put_u32(&out, send->type);
	ipc_put_str(&out, send->host);
	ipc_put_u32(&out, send->port);
	ipc_put_str(&out, send->helo);
	ipc_put_str(&out, send->path);
	if (!out.failed)
		msg.fd[0] = ipc_memfd("send-config", out.data, out.len, true);
	ipc_out_free(&out);
	if (msg.fd[0] != -1)
		rv = helper_send(helper, &msg);
	ipc_msg_close(&msg);
	if (rv == 0 && slot->helper != NULL)
		despatch_kick(slot->despatch);
	return rv;
}

static void
slot_result(struct slot *slot, enum send_status status, const char *text)
{
	slot->settled = true;
	slot->status = status;
	snprintf(slot->text, sizeof(slot->text), "%s", text);
	loop_timer_set(slot->watchdog, -1);
}

static void
slot_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct slot *slot = ctx;

	if (msg->type != SEND_RESULT || slot->item.id == 0 || slot->settled ||
	    msg->id != slot->item.id) {
		helper_kill(helper);
		return;
	}
	slot_result(slot,
	    msg->status == SEND_OK	  ? SEND_OK
	    : msg->status == SEND_REFUSED ? SEND_REFUSED
					  : SEND_LATER,
	    msg->text);
}

/* Whether the far side has taken the message, nobody knows: it goes again,
 * with the same Message-ID. */
static void
slot_down(void *ctx, struct helper *helper)
{
	struct slot *slot = ctx;

	(void)helper;
	if (slot->item.id != 0 && !slot->settled)
		slot_result(slot, SEND_LATER, "the sender ended");
}

bool
despatch_has(const struct despatch *d, uint64_t id)
{
	for (size_t i = 0; i < d->nslots; i++)
		if (d->slots[i].item.id == id)
			return true;
	return false;
}

static int
slot_send(struct slot *slot)
{
	struct ipc_msg msg;
	int rv = -1;

	ipc_msg_init(&msg, SEND_MESSAGE, slot->item.id);
	snprintf(msg.text, sizeof(msg.text), "%s%s%s", slot->item.recipient,
	    *slot->item.sender != '\0' ? " " : "", slot->item.sender);
	msg.fd[0] = ipc_memfd(
	    "answer", slot->item.message.data, slot->item.message.len, true);
	if (msg.fd[0] != -1)
		rv = helper_send(slot->helper, &msg);
	ipc_msg_close(&msg);
	if (rv == 0) {
		slot->since = loop_now_ms();
		loop_timer_set(slot->watchdog, despatch_pressed);
	}
	return rv;
}

static void
slot_clear(struct slot *slot)
{
	outbox_item_free(&slot->item);
	memset(&slot->item, 0, sizeof(slot->item));
	slot->settled = false;
}

/* ---- what is due --------------------------------------------------------- */

static bool
note_due(void *ctx, const struct outbox_item *item)
{
	const struct outbox_place place = {item->due, item->id};
	struct despatch *d = ctx;

	if (despatch_has(d, item->id))
		return true;
	return d->loaded++ < LOAD_MAX &&
	       turns_add(d->turns, item->recipient, &place) == 0;
}

/*
 * Whether what is due later is so by a clock that has been set right since: it
 * was queued after now, or put off for longer than any wait.  Only a peer's
 * mails may have a later hour from the start, which is kept where the clock was
 * wrong by little.
 */
static bool
is_by_wrong_clock(const struct outbox_item *item, time_t now)
{
	if (item->attempts > 0)
		return item->due - now > WAIT_MAX || item->queued > now;
	return item->queued > now &&
	       (item->due <= item->queued || item->queued - now > AHEAD_MAX);
}

static bool
note_far(void *ctx, const struct outbox_item *item)
{
	struct despatch *d = ctx;

	if (is_by_wrong_clock(item, d->looked))
		return note_due(ctx, item);
	return d->loaded++ < LOAD_MAX;
}

static enum ks_status
load_far(struct despatch *d, time_t now)
{
	enum ks_status status;
	time_t next;

	if (d->far.due == 0)
		d->far = (struct outbox_place){now, UINT64_MAX};
	status = outbox_due(d->ks, &d->far, INT64_MAX, note_far, d, &next);
	if (status == KS_NOT_FOUND && next == 0) /* else it is not synced yet */
		d->far.due = INT64_MAX;
	return status;
}

/* Forgets what it has noted, and begins anew. */
static void
load_again(struct despatch *d)
{
	turns_clear(d->turns);
	d->noted = d->far = (struct outbox_place){0, 0};
}

/*
 * Notes what has come to be due.  A new due time is later than all that have
 * been looked at, unless the clock goes back.  KS_OK: there is more.
 * KS_NOT_FOUND: not before *next, 0 = not at all.
 */
static enum ks_status
load(struct despatch *d, time_t now, time_t *next)
{
	enum ks_status status;

	if (now < d->looked)
		load_again(d);
	d->looked = now;
	d->loaded = 0;
	status = outbox_due(d->ks, &d->noted, now, note_due, d, next);
	if (status == KS_NOT_FOUND && d->far.due != INT64_MAX)
		status = load_far(d, now);
	return status == KS_OK && d->loaded <= LOAD_MAX ? KS_NOMEM : status;
}

/* ---- what hangs ---------------------------------------------------------- */

/* Whether so many senders have had theirs for `ms` that others suffer. */
static bool
others_suffer(struct despatch *d, int64_t ms)
{
	int64_t now = loop_now_ms();
	size_t n = 0;

	for (size_t i = 0; i < d->nslots; i++)
		n += d->slots[i].item.id != 0 && !d->slots[i].settled &&
		     now - d->slots[i].since >= ms;
	return turns_press(d->turns, n, now);
}

/*
 * A server has its ten minutes for the final dot (RFC 5321, 4.5.3.2.6), but not
 * of every sender while others wait.  It may have taken the mail all the same,
 * and takes it again: so each attempt has twice the time of the one before, and
 * from the fifth on all of it.  Not so sendmail: it is the same for all that
 * wait, and would be left behind to deliver beside the next one.
 */
static void
slot_late(void *ctx)
{
	struct slot *slot = ctx;
	struct despatch *d = slot->despatch;
	int64_t ms = loop_now_ms() - slot->since;
	uint32_t doubled = slot->item.attempts < 4 ? slot->item.attempts : 4;
	bool pressed = d->config->send.type != SEND_SENDMAIL &&
		       ms >= (int64_t)despatch_pressed << doubled;

	if (ms >= WATCHDOG || (pressed && others_suffer(d, despatch_pressed)))
		helper_kill(slot->helper);
	else
		loop_timer_set(slot->watchdog, despatch_pressed);
}

/* ---- handing out --------------------------------------------------------- */

/* KS_NOT_FOUND: none may go now. */
static enum ks_status
slot_take(struct slot *slot)
{
	struct despatch *d = slot->despatch;
	enum ks_status status = KS_NOT_FOUND;
	int64_t now = loop_now_ms();
	struct outbox_place place;

	while (status == KS_NOT_FOUND &&
	       (slot->domain = turns_take(d->turns, now, &place)) != NULL) {
		if (!despatch_has(d, place.id))
			status = outbox_at(d->ks, &place, &slot->item);
		if (status != KS_OK)
			turns_done(d->turns, slot->domain, -1, now);
	}
	return status;
}

static enum ks_status
slot_fill(struct slot *slot)
{
	struct despatch *d = slot->despatch;
	enum ks_status status = slot_take(slot);

	if (status != KS_OK)
		return status;
	if (slot_send(slot) == -1) {
		turns_done(d->turns, slot->domain, -1, loop_now_ms());
		slot_clear(slot);
		return KS_NOMEM;
	}
	free(slot->item.message.data);
	slot->item.message.data = NULL;
	return KS_OK;
}

static enum ks_status
slots_fill(struct despatch *d)
{
	enum ks_status status = KS_OK;
	int64_t now = loop_now_ms();

	for (size_t i = 0; i < d->nslots; i++)
		if (d->slots[i].item.id != 0)
			turns_running(d->turns, d->slots[i].domain,
			    now - d->slots[i].since, now);
	for (size_t i = 0; i < d->nslots && status == KS_OK; i++)
		if (d->slots[i].item.id == 0 && d->slots[i].helper != NULL &&
		    helper_is_up(d->slots[i].helper))
			status = slot_fill(&d->slots[i]);
	return status == KS_NOT_FOUND ? KS_OK : status;
}

/* Looks again when the earliest of the others is due, or when the store is to
 * be asked again to take results. */
static void
despatch_sleep(struct despatch *d, time_t now, time_t next)
{
	long ms = next == 0 ? -1 : POLL_MAX;

	if (next != 0 && next - now < POLL_MAX / 1000)
		ms = next <= now ? 1000 : (long)(next - now) * 1000;
	if (d->settle_at != 0 && (ms == -1 || ms > SETTLE_MS))
		ms = SETTLE_MS;
	loop_timer_set(d->due, ms);
}

void
despatch_kick(struct despatch *d)
{
	time_t now = time(NULL), next = 0;
	enum ks_status loaded, status;

	if (d->stopping)
		return;
	loaded = load(d, now, &next);
	status = loaded == KS_NOT_FOUND ? KS_OK : loaded;
	if (status == KS_OK)
		status = slots_fill(d);
	if (status == KS_OK && loaded == KS_OK) {
		loop_timer_set(d->due, 0);
		return;
	}
	if (status != KS_OK) {
		load_again(d);
		next = now + (status == KS_NOMEM ? 1 : 10);
		/* The keeper has a line about a closed store. */
		if (status != KS_NOMEM && ks_closed(d->ks, NULL) == KS_OK)
			log_line(LOG_ERR, "event=outbox error=\"%s\"",
			    ks_strerror(status));
	}
	despatch_sleep(d, now, next);
}

void
despatch_again(struct despatch *d)
{
	load_again(d);
	despatch_kick(d);
}

/* 60 s, 2 min, 4 min ... 4 hours. */
static time_t
retry_after(const struct config_send *send, uint32_t attempts)
{
	time_t wait = send->retry;

	while (attempts-- > 0 && wait < RETRY_MAX)
		wait *= 2;
	return wait > RETRY_MAX && send->retry < RETRY_MAX ? RETRY_MAX : wait;
}

/*
 * Its time is over once it has waited for give_up.  Most of that may have been
 * a power cut, after which the MTA comes up later than we do; so it has been
 * tried for some of that time, too.  When it was queued by a clock that was
 * ahead, all of that time is counted by the attempts.
 */
static bool
is_over(
    const struct config_send *send, const struct outbox_item *item, time_t now)
{
	time_t tried = 0, least = send->give_up;

	if (item->queued <= now) {
		if (now - item->queued <= (time_t)send->give_up)
			return false;
		if (least > RETRY_MAX)
			least = RETRY_MAX;
	}
	for (uint32_t i = 0; i < item->attempts && tried < least; i++)
		tried += retry_after(send, i);
	return tried >= least;
}

/* `what` became of an answer, as one line of the log. */
static void
slot_log(const struct slot *slot, int level, const char *what, time_t now)
{
	const struct outbox_item *item = &slot->item;
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f, "%s: %s=%s to=", item->log_id,
	    *item->peer != '\0' ? "sync" : "answer", what);
	log_value(f, item->recipient);
	fprintf(f, " attempt=%u age=%lld reply=", item->attempts + 1,
	    (long long)(now - item->queued));
	log_value(f, slot->text);
	if (fclose(f) == 0)
		log_line(level, "%s", line);
	free(line);
}

static enum ks_status
slot_settle(struct despatch *d, struct slot *slot, time_t now)
{
	const struct config_send *send = &d->config->send;
	struct outbox_item *item = &slot->item;
	bool ends = slot->status == SEND_OK || slot->status == SEND_REFUSED ||
		    is_over(send, item, now);
	enum ks_status status;

	if (ends)
		status = outbox_delete(d->ks, item->id);
	else
		status = outbox_defer(d->ks, item->id,
		    now + retry_after(send, item->attempts), slot->text);
	if (status == KS_NOT_FOUND)
		status = KS_OK; /* gone: nothing to be tried for ever */
	if (status == KS_OK && ends && *item->peer != '\0')
		status = sync_settle(d->ks, item, slot->status == SEND_OK, now);
	return status;
}

/* After the commit: the log, the counters, the slot is free. */
static void
slot_done(struct despatch *d, struct slot *slot, time_t now)
{
	if (slot->status == SEND_OK) {
		d->counts.sent++;
		slot_log(slot, LOG_INFO, "sent", now);
	} else if (slot->status == SEND_REFUSED) {
		d->counts.refused++;
		slot_log(slot, LOG_WARNING, "refused", now);
	} else if (is_over(&d->config->send, &slot->item, now)) {
		d->counts.refused++;
		slot_log(slot, LOG_WARNING, "given_up", now);
	} else {
		d->counts.deferred++;
		slot_log(slot, LOG_NOTICE, "deferred", now);
	}
	turns_done(
	    d->turns, slot->domain, loop_now_ms() - slot->since, loop_now_ms());
	slot_clear(slot);
}

void
despatch_settle(struct despatch *d)
{
	enum ks_status status = KS_NOT_FOUND;
	time_t now = time(NULL);
	size_t n = 0;

	for (size_t i = 0; i < d->nslots; i++)
		n += d->slots[i].settled;
	/* It is called in each round of the loop. */
	if (n == 0 || loop_now_ms() < d->settle_at)
		return;
	fault("delivered");
	status = ks_begin(d->ks, KS_ROOM_NONE);
	for (size_t i = 0; i < d->nslots && status == KS_OK; i++)
		if (d->slots[i].settled)
			status = slot_settle(d, &d->slots[i], now);
	if (status == KS_OK)
		status = ks_commit_lazy(d->ks);
	else
		ks_abort(d->ks);
	fault("deleted");
	if (status != KS_OK) {
		/* The slots stay as they are, and it is tried again. */
		if (d->settle_at == 0)
			log_line(LOG_ERR, "event=outbox error=\"%s\"",
			    ks_strerror(status));
		d->settle_at = loop_now_ms() + SETTLE_MS;
		loop_timer_set(d->due, SETTLE_MS);
		return;
	}
	d->settle_at = 0;
	for (size_t i = 0; i < d->nslots; i++)
		if (d->slots[i].settled)
			slot_done(d, &d->slots[i], now);
	sync_kick(d->sync);
	despatch_kick(d);
}

static void
despatch_due(void *ctx)
{
	despatch_kick(ctx);
}

static const struct helper_calls slot_calls = {
    slot_up, slot_message, slot_down};

static int
slot_new(struct despatch *d, struct slot *slot)
{
	slot->despatch = d;
	slot->watchdog = loop_timer_new(d->loop, slot_late, slot);
	if (slot->watchdog == NULL)
		return -1;
	slot->helper = helper_new(
	    d->loop, d->config->libexec, "mailkeyd-sender", &slot_calls, slot);
	return slot->helper == NULL ? -1 : 0;
}

struct despatch *
despatch_new(
    struct loop *loop, const struct config *config, struct keystore *ks)
{
	struct despatch *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->loop = loop;
	d->config = config;
	d->ks = ks;
	d->due = loop_timer_new(loop, despatch_due, d);
	d->turns = turns_new(config->send.connections);
	d->slots = calloc(config->send.connections, sizeof(*d->slots));
	if (d->due == NULL || d->turns == NULL || d->slots == NULL) {
		despatch_free(d);
		return NULL;
	}
	for (size_t i = 0; i < config->send.connections; i++) {
		d->nslots++;
		if (slot_new(d, &d->slots[i]) == -1) {
			despatch_free(d);
			return NULL;
		}
	}
	loop_timer_set(d->due, 0);
	return d;
}

void
despatch_free(struct despatch *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; d->slots != NULL && i < d->nslots; i++) {
		helper_free(d->slots[i].helper);
		loop_timer_free(d->slots[i].watchdog);
		outbox_item_free(&d->slots[i].item);
	}
	loop_timer_free(d->due);
	turns_free(d->turns);
	free(d->slots);
	free(d);
}

void
despatch_sync(struct despatch *d, struct sync *sync)
{
	d->sync = sync;
}

bool
despatch_stop(struct despatch *d)
{
	d->stopping = true;
	for (size_t i = 0; i < d->nslots; i++)
		if (d->slots[i].item.id != 0)
			return false;
	return true;
}

void
despatch_count(const struct despatch *d, struct despatch_counts *counts)
{
	*counts = d->counts;
	counts->deaths = 0;
	for (size_t i = 0; i < d->nslots; i++)
		counts->deaths += helper_deaths(d->slots[i].helper);
}
