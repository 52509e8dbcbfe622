/*
 * Which peer gets which changes, and when: one window of mails after another
 * for each of them.
 */
#include "mailkeyd/sync.h"
#include "db/fault.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync_in.h"
#include "mailkeyd/sync_window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOUR	     3600
#define SLICE_MS     5		/* of work in one round of the loop */
#define SLICE_VISITS 500	/* entries looked at in one step */
#define AGAIN	     (4 * HOUR) /* after a mail that was given up */
#define TROUBLE_MS   10000L	/* after a failure of the store */

struct peer {
	const struct config_peer *config;
	struct ks_peer state; /* as it is in the store */
	uint64_t scanned;     /* up to this serial there is nothing for it */
	bool waits;	      /* behind that there is */
	time_t due;	      /* and this is when it goes */
	uint64_t now;	      /* up to this serial nothing is gathered */
	bool spent;	      /* it was sent what may go in a day */
};

struct sync {
	const struct config *config;
	struct keystore *ks;
	struct loop_timer *timer;
	struct peer *peers;
	size_t npeers;
	struct window window; /* that is being made */
	struct peer *peer;    /* for this one; NULL: none */
	void (*queued)(void *ctx);
	void *ctx;
};

static time_t
min_time(time_t a, time_t b)
{
	return a < b ? a : b;
}

static void
trouble(const struct sync *s, const struct peer *p, enum ks_status status)
{
	log_line(LOG_ERR, "event=sync peer=\"%s\" error=\"%s\" detail=\"%s\"",
	    p->config->title, ks_strerror(status), ks_last_error(s->ks));
}

/* ---- which changes a peer gets ------------------------------------------- */

struct scan {
	struct peer *peer;
	time_t now;
	unsigned visits;
};

static bool
scan_visit(void *ctx, const struct ks_entry *entry)
{
	struct scan *scan = ctx;
	struct peer *p = scan->peer;

	if (window_wants(p->config, entry)) {
		p->waits = true;
		/* A clock that was set back makes nobody wait longer. */
		p->due = min_time(entry->time, scan->now) +
			 (time_t)p->config->gather;
		return false;
	}
	p->scanned = entry->serial;
	return ++scan->visits < SLICE_VISITS;
}

/* Looks for the first change that is for the peer.  *more: it did not come to
 * the end. */
static enum ks_status
peer_scan(struct sync *s, struct peer *p, time_t now, bool *more)
{
	struct scan scan = {p, now, 0};
	enum ks_status status;

	if (p->waits || p->state.waiting > 0)
		return KS_OK;
	status = ks_changes(s->ks, p->scanned, scan_visit, &scan);
	*more |= scan.visits == SLICE_VISITS;
	return status;
}

/* What became of its mails, the despatch has written into the store. */
static enum ks_status
peer_refresh(struct sync *s, struct peer *p)
{
	enum ks_status status;

	if (p->state.waiting == 0)
		return KS_OK;
	status = ks_peer_get(s->ks, p->config->title, &p->state);
	if (status != KS_OK || p->state.waiting > 0)
		return status;
	p->scanned = p->state.handed;
	p->waits = false;
	if (p->state.again != 0) /* one was given up: no hurry any more */
		p->now = 0;
	return KS_OK;
}

static size_t
mails_allowed(const struct peer *p, time_t now)
{
	uint32_t most = p->config->mails_per_hour;

	if (p->state.hour != now / HOUR * HOUR)
		return most;
	return p->state.mails >= most ? 0 : most - p->state.mails;
}

/* When the next window of a peer is to be made.  The clock may have been set
 * back since the change was found. */
static time_t
peer_due(struct peer *p, time_t now)
{
	time_t due = p->due = min_time(p->due, now + (time_t)p->config->gather);

	if (p->scanned < p->now)
		due = now;
	else if (due < p->state.again && p->state.again <= now + AGAIN)
		due = p->state.again; /* later only by a clock that was wrong */
	if (due <= now && mails_allowed(p, now) == 0)
		due = now / HOUR * HOUR + HOUR;
	return due;
}

/* Whether a window may still go today; else the next hour may have room. */
static enum ks_status
peer_room(struct sync *s, struct peer *p, time_t now, time_t *due)
{
	bool before = p->spent;
	enum ks_status status = sync_budget_get(s->ks, p->config, SYNC_OUT,
	    WINDOW_KEYS, WINDOW_SIZE, now, &p->spent);

	if (status != KS_OK || !p->spent)
		return status;
	*due = now / HOUR * HOUR + HOUR;
	if (!before)
		log_line(LOG_INFO,
		    "event=sync peer=\"%s\" note=\"it was sent what may go "
		    "in a day, the rest goes later\"",
		    p->config->title);
	return KS_OK;
}

/* ---- into the outbox ----------------------------------------------------- */

static void
window_drop(struct sync *s)
{
	window_free(&s->window);
	s->peer = NULL;
}

/* All mails of the window, and how many they are: one transaction. */
static enum ks_status
window_write(struct sync *s, const struct ks_peer *state, time_t now)
{
	enum ks_status status = ks_begin(s->ks, KS_ROOM_QUERY);

	if (status != KS_OK)
		return status;
	status = window_queue(&s->window, s->ks, s->config->address, now);
	if (status == KS_OK)
		status = sync_budget_add(s->ks, s->peer->config, SYNC_OUT,
		    window_keys(&s->window), window_size(&s->window), now);
	if (status == KS_OK)
		status = ks_peer_put(s->ks, s->peer->config->title, state);
	if (status != KS_OK) {
		ks_abort(s->ks);
		return status;
	}
	fault("window_written");
	status = ks_commit(s->ks);
	fault("window_committed");
	return status;
}

static void
window_log(const struct window *w)
{
	log_line(LOG_INFO,
	    "event=sync peer=\"%s\" mails=%zu keys=%zu octets=%zu "
	    "serial=%" PRIu64,
	    w->peer->title, w->nletters, window_keys(w), w->octets, w->serial);
}

/* The mails count in the hour in which they are due. */
static void
count_mails(struct ks_peer *state, const struct window *w, time_t now)
{
	time_t hour = now / HOUR * HOUR;
	size_t most = w->peer->mails_per_hour, later;

	if (w->nletters <= w->allowed) {
		state->mails = state->hour == hour ? state->mails : 0;
		state->mails += (uint32_t)w->nletters;
		state->hour = hour;
		return;
	}
	later = w->nletters - w->allowed - 1;
	state->hour = hour + HOUR * (1 + (time_t)(later / most));
	state->mails = (uint32_t)(later % most + 1);
}

static enum ks_status
window_end(struct sync *s, time_t now)
{
	struct window *w = &s->window;
	struct peer *p = s->peer;
	struct ks_peer state = p->state;
	enum ks_status status = KS_OK;

	if (w->nletters > 0) {
		state.window = w->serial;
		state.waiting = (uint32_t)w->nletters;
		state.failed = 0;
		state.again = 0;
		count_mails(&state, w, now);
		status = window_write(s, &state, now);
		if (status == KS_OK) {
			window_log(w);
			s->queued(s->ctx);
		}
	}
	if (status == KS_OK) {
		p->state = state;
		p->scanned = w->serial;
		p->waits = false;
	}
	window_drop(s);
	return status;
}

/* ---- turns --------------------------------------------------------------- */

static enum ks_status
window_go_on(struct sync *s, time_t now)
{
	const struct peer *p = s->peer;
	enum ks_status status = window_step(&s->window, s->ks);

	if (status == KS_NOT_FOUND || status == KS_TOO_MANY)
		status = window_end(s, now);
	if (status != KS_OK) {
		trouble(s, p, status);
		window_drop(s);
	}
	return status;
}

static void
window_start(struct sync *s, struct peer *p, time_t now)
{
	s->peer = p;
	window_begin(&s->window, p->config, p->scanned, mails_allowed(p, now));
}

/* Goes on with the window under way, or begins one.  KS_NOT_FOUND: nothing is
 * to be done before *next (0: nothing at all). */
static enum ks_status
sync_step(struct sync *s, time_t now, time_t *next)
{
	enum ks_status status = KS_OK;
	bool more = false;

	if (s->peer != NULL)
		return window_go_on(s, now);
	*next = 0;
	for (size_t i = 0; i < s->npeers && s->peer == NULL; i++) {
		struct peer *p = &s->peers[i];
		time_t due;

		status = peer_refresh(s, p);
		if (status == KS_OK)
			status = peer_scan(s, p, now, &more);
		if (status != KS_OK) {
			trouble(s, p, status);
			return status;
		}
		if (!p->waits || p->state.waiting > 0)
			continue;
		due = peer_due(p, now);
		if (due <= now &&
		    (status = peer_room(s, p, now, &due)) != KS_OK) {
			trouble(s, p, status);
			return status;
		}
		if (due <= now)
			window_start(s, p, now);
		else if (*next == 0 || due < *next)
			*next = due;
	}
	return s->peer != NULL || more ? KS_OK : KS_NOT_FOUND;
}

static void
sync_work(void *ctx)
{
	struct sync *s = ctx;
	int64_t began = loop_now_ms();
	time_t now = time(NULL), next = 0;
	enum ks_status status = KS_OK;

	while (status == KS_OK && loop_now_ms() - began < SLICE_MS)
		status = sync_step(s, now, &next);
	if (status == KS_OK)
		loop_timer_set(s->timer, 0);
	else if (status != KS_NOT_FOUND)
		loop_timer_set(s->timer, TROUBLE_MS);
	else if (next == 0)
		loop_timer_set(s->timer, -1);
	else if (next - now >= HOUR)
		loop_timer_set(s->timer, HOUR * 1000L);
	else
		loop_timer_set(s->timer, (long)(next - now) * 1000);
}

void
sync_kick(struct sync *s)
{
	if (s != NULL && s->npeers > 0)
		loop_timer_set(s->timer, 0);
}

enum ks_status
sync_now(struct sync *s)
{
	struct ks_info info;
	enum ks_status status = ks_info(s->ks, &info);

	if (status != KS_OK)
		return status;
	for (size_t i = 0; i < s->npeers; i++)
		s->peers[i].now = info.serial;
	sync_kick(s);
	return KS_OK;
}

static struct peer *
peer_of(struct sync *s, const char *title)
{
	for (size_t i = 0; i < s->npeers; i++)
		if (strcmp(s->peers[i].config->title, title) == 0)
			return &s->peers[i];
	return NULL;
}

static enum ks_status
skip_write(struct sync *s, struct peer *p, struct ks_peer *state)
{
	enum ks_status status = ks_begin(s->ks, KS_ROOM_NONE);

	if (status != KS_OK)
		return status;
	state->handed = state->window;
	state->waiting = state->failed = 0;
	state->again = 0;
	status = ks_peer_put(s->ks, p->config->title, state);
	if (status == KS_OK)
		return ks_commit(s->ks);
	ks_abort(s->ks);
	return status;
}

enum ks_status
sync_skip(struct sync *s, const char *title, uint64_t *changes)
{
	struct peer *p = peer_of(s, title);
	struct ks_peer state;
	enum ks_status status;

	if (p == NULL)
		return KS_BAD_QUERY;
	status = ks_peer_get(s->ks, title, &state);
	if (status != KS_OK)
		return status;
	if (state.window <= state.handed)
		return KS_NOT_FOUND;
	*changes = state.window - state.handed;
	status = skip_write(s, p, &state);
	if (status != KS_OK)
		return status;
	log_line(LOG_NOTICE,
	    "event=sync peer=\"%s\" serial=%" PRIu64
	    " note=\"skipped by the operator\"",
	    title, state.handed);
	if (s->peer == p)
		window_drop(s);
	p->state = state;
	p->scanned = state.handed;
	p->waits = false;
	sync_kick(s);
	return KS_OK;
}

/* ---- what became of the mails -------------------------------------------- */

enum ks_status
sync_settle(struct keystore *ks, const struct outbox_item *item, bool handed,
    time_t now)
{
	struct ks_peer state;
	enum ks_status status = ks_peer_get(ks, item->peer, &state);

	if (status != KS_OK)
		return status == KS_NOT_FOUND ? KS_OK : status;
	if (state.waiting == 0 || item->serial != state.window)
		return KS_OK; /* of a window that was made again */
	state.waiting--;
	state.failed += !handed;
	if (state.waiting == 0 && state.failed == 0)
		state.handed = state.window;
	/* Made again later; its end is kept for sync_skip(). */
	if (state.waiting == 0 && state.failed > 0)
		state.again = now + AGAIN;
	return ks_peer_put(ks, item->peer, &state);
}

/* A peer for whom there was nothing moves on only here: one write in a while
 * is enough, since what it passes is not for it. */
enum ks_status
sync_thin(struct sync *s, time_t now, unsigned max, unsigned *removed)
{
	time_t older = now - (time_t)s->config->limits.max_last * 24 * HOUR;
	enum ks_status status = KS_OK;
	uint64_t passed = UINT64_MAX;

	*removed = 0;
	if (s->npeers != s->config->npeer)
		return KS_OK; /* how far they are is not known */
	for (size_t i = 0; i < s->npeers && status == KS_OK; i++) {
		struct peer *p = &s->peers[i];

		if (p->state.waiting == 0 && p->scanned > p->state.handed) {
			p->state.handed = p->scanned;
			status =
			    ks_peer_put(s->ks, p->config->title, &p->state);
		}
		if (p->state.handed < passed)
			passed = p->state.handed;
	}
	return status == KS_OK ? ks_thin(s->ks, passed, older, max, removed)
			       : status;
}

enum ks_status
sync_print(struct sync *s, FILE *f)
{
	struct ks_info info;
	enum ks_status status = ks_info(s->ks, &info);
	time_t now = time(NULL);

	for (size_t i = 0; i < s->npeers && status == KS_OK; i++) {
		struct peer *p = &s->peers[i];
		struct ks_peer state;
		uint64_t at;

		status = ks_peer_get(s->ks, p->config->title, &state);
		if (status != KS_OK)
			break;
		at = state.waiting == 0 && p->scanned > state.handed
			 ? p->scanned
			 : state.handed;
		fprintf(f, "%-20s %s: ", p->config->title, p->config->address);
		if (at >= info.serial)
			fputs("up to date\n", f);
		else
			fprintf(f,
			    "changes behind: %" PRIu64
			    ", mails under way: %" PRIu32 "\n",
			    info.serial - at, state.waiting);
		if (p->spent && p->waits)
			fprintf(f,
			    "%-20s it was sent what may go in a day; the rest "
			    "goes later\n",
			    "");
		if (state.again > now)
			fprintf(f,
			    "%-20s a mail was given up; the next try is "
			    "in %lld minutes\n",
			    "", (long long)(state.again - now + 59) / 60);
	}
	return status;
}

/* ---- the start ----------------------------------------------------------- */

struct count {
	const char *title;
	uint64_t window;
	uint32_t n;
};

static bool
count_visit(void *ctx, const struct outbox_item *item)
{
	struct count *count = ctx;

	count->n += strcmp(item->peer, count->title) == 0 &&
		    item->serial == count->window;
	return true;
}

/* The position of a peer at the start.  Mails that have left the outbox in
 * another way are missed here: their window is made again. */
static enum ks_status
peer_start(struct keystore *ks, struct peer *p, uint64_t end)
{
	struct ks_peer *state = &p->state;
	struct count count = {.title = p->config->title};
	enum ks_status status = ks_peer_get(ks, p->config->title, state);

	if (status == KS_NOT_FOUND || state->handed > end) {
		memset(state, 0, sizeof(*state));
		state->handed = state->window = end;
		return ks_peer_put(ks, p->config->title, state);
	}
	if (status != KS_OK)
		return status;
	p->scanned = state->handed;
	if (state->waiting == 0)
		return KS_OK;
	count.window = state->window;
	status = outbox_each(ks, count_visit, &count);
	if (status != KS_OK || count.n == state->waiting)
		return status;
	state->waiting = count.n;
	state->failed++;
	if (count.n == 0)
		state->window = state->handed;
	return ks_peer_put(ks, p->config->title, state);
}

static enum ks_status
sync_start(struct sync *s)
{
	struct ks_info info;
	enum ks_status status = ks_info(s->ks, &info);

	if (status == KS_OK)
		status = ks_begin(s->ks, KS_ROOM_NONE);
	if (status != KS_OK)
		return status;
	for (size_t i = 0; i < s->npeers && status == KS_OK; i++) {
		s->peers[i].config = &s->config->peer[i];
		status = peer_start(s->ks, &s->peers[i], info.serial);
		s->peers[i].scanned = s->peers[i].state.handed;
	}
	if (status == KS_OK)
		return ks_commit(s->ks);
	ks_abort(s->ks);
	return status;
}

struct sync *
sync_new(struct loop *loop, const struct config *config, struct keystore *ks,
    void (*queued)(void *ctx), void *ctx)
{
	struct sync *s = calloc(1, sizeof(*s));
	enum ks_status status;

	if (s == NULL)
		return NULL;
	s->config = config;
	s->ks = ks;
	s->queued = queued;
	s->ctx = ctx;
	s->npeers = config->npeer;
	s->peers = calloc(config->npeer + 1, sizeof(*s->peers));
	s->timer = loop_timer_new(loop, sync_work, s);
	if (s->peers == NULL || s->timer == NULL) {
		sync_free(s);
		return NULL;
	}
	status = sync_start(s);
	/* Else there is sync_reload(), once it is open. */
	if (status != KS_OK && ks_closed(ks, NULL) != KS_OK) {
		s->npeers = 0;
	} else if (status != KS_OK) {
		log_line(LOG_ERR, "event=sync error=\"%s\" detail=\"%s\"",
		    ks_strerror(status), ks_last_error(ks));
		sync_free(s);
		return NULL;
	}
	sync_kick(s);
	return s;
}

void
sync_reload(struct sync *s)
{
	enum ks_status status = KS_NOMEM;

	window_drop(s);
	free(s->peers);
	s->npeers = s->config->npeer;
	s->peers = calloc(s->npeers + 1, sizeof(*s->peers));
	if (s->peers != NULL)
		status = sync_start(s);
	if (status != KS_OK) {
		log_line(LOG_ERR,
		    "event=sync error=\"%s\" what=\"no peer gets anything "
		    "until the next reload\"",
		    ks_strerror(status));
		s->npeers = 0;
	}
	sync_kick(s);
}

void
sync_free(struct sync *s)
{
	if (s == NULL)
		return;
	window_drop(s);
	loop_timer_free(s->timer);
	free(s->peers);
	free(s);
}
