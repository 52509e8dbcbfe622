/*
 * Which peer gets which changes, and when: one window of mails after another
 * for each of them.
 */
#include "mailkeyd/sync.h"
#include "mailkeyd/gateway.h"
#include "mailkeyd/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOUR	      3600
#define SLICE_MS      5			/* of work in one round of the loop */
#define SLICE_VISITS  500		/* entries looked at in one step */
#define SLICE_ENTRIES 50		/* of them, worked on in one step */
#define WINDOW_OCTETS ((size_t)2 << 20) /* of keys in one window, about */
#define WINDOW_MAILS  100
#define MAIL_KEYS     1000	 /* certificates in one mail */
#define AGAIN	      (4 * HOUR) /* after a mail that was given up */
#define TROUBLE_MS    10000L	 /* after a failure of the store */

/* What goes into a mail of one certificate. */
struct item {
	struct pgp_fpr fpr;
	bool whole;
	unsigned char (*digest)[KS_DIGEST];
	size_t ndigests;
	struct pgp_blob octets;
};

/* A mail that grows: changes with one and the same list only, since under a
 * joined list the next server would leave out peers that have seen but a
 * part. */
struct letter {
	char *sent;
	struct item *items;
	size_t nitems, octets;
	bool closed; /* full: another one goes on */
};

struct peer {
	const struct config_peer *config;
	struct ks_peer state; /* as it is in the store */
	uint64_t scanned;     /* up to this serial there is nothing for it */
	bool waits;	      /* behind that there is */
	time_t due;	      /* and this is when it goes */
	uint64_t now;	      /* up to this serial nothing is gathered */
};

/* The window that is being made. */
struct window {
	struct peer *peer; /* NULL: none */
	struct letter *letters;
	size_t nletters, allowed;
	size_t octets;
	uint64_t serial; /* all entries up to it are in */
};

/* Entries copied out of a walk, in which the store must not be called. */
struct slice {
	const struct config_peer *peer;
	struct ks_entry entry[SLICE_ENTRIES];
	size_t n, visits;
	uint64_t serial; /* the last one looked at */
	bool failed;
};

struct sync {
	const struct config *config;
	struct keystore *ks;
	struct loop_timer *timer;
	struct peer *peers;
	size_t npeers;
	struct window window;
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

static bool
is_for(const struct config_peer *peer, const struct ks_entry *entry)
{
	return !entry->quiet && !sync_sent_has(entry->sent, peer->address);
}

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

	if (is_for(p->config, entry)) {
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

/* When the next window of a peer is to be made. */
static time_t
peer_due(const struct peer *p, time_t now)
{
	time_t due = p->due;

	if (p->scanned < p->now)
		due = now;
	else if (due < p->state.again)
		due = p->state.again;
	if (due <= now && mails_allowed(p, now) == 0)
		due = now / HOUR * HOUR + HOUR;
	return due;
}

/* ---- a slice of the change log ------------------------------------------- */

static void
slice_free(struct slice *slice)
{
	for (size_t i = 0; i < slice->n; i++) {
		free(slice->entry[i].sent);
		free(slice->entry[i].digest);
	}
	slice->n = 0;
}

static bool
slice_visit(void *ctx, const struct ks_entry *entry)
{
	struct slice *slice = ctx;
	struct ks_entry *copy = &slice->entry[slice->n];
	size_t len = entry->ndigests * sizeof(*entry->digest);

	if (is_for(slice->peer, entry)) {
		*copy = *entry;
		copy->sent = strdup(entry->sent);
		copy->digest = malloc(len + 1);
		slice->n++;
		if (copy->sent == NULL || copy->digest == NULL) {
			slice->failed = true;
			return false;
		}
		if (len > 0)
			memcpy(copy->digest, entry->digest, len);
	}
	slice->serial = entry->serial;
	return ++slice->visits < SLICE_VISITS && slice->n < SLICE_ENTRIES;
}

/* ---- a window ------------------------------------------------------------ */

static void
window_free(struct window *w)
{
	for (size_t i = 0; i < w->nletters; i++) {
		struct letter *l = &w->letters[i];

		for (size_t k = 0; k < l->nitems; k++) {
			free(l->items[k].digest);
			pgp_blob_free(&l->items[k].octets, false);
		}
		free(l->items);
		free(l->sent);
	}
	free(w->letters);
	memset(w, 0, sizeof(*w));
}

static void
window_begin(struct sync *s, struct peer *p, time_t now)
{
	struct window *w = &s->window;

	w->peer = p;
	w->serial = p->scanned;
	w->allowed = mails_allowed(p, now);
	if (w->allowed > WINDOW_MAILS)
		w->allowed = WINDOW_MAILS;
}

static struct letter *
letter_find(struct window *w, const char *sent)
{
	for (size_t i = 0; i < w->nletters; i++)
		if (!w->letters[i].closed &&
		    strcmp(w->letters[i].sent, sent) == 0)
			return &w->letters[i];
	return NULL;
}

static struct letter *
letter_new(struct window *w, const char *sent)
{
	struct letter *more =
	    reallocarray(w->letters, w->nletters + 1, sizeof(*w->letters));

	if (more == NULL)
		return NULL;
	w->letters = more;
	more += w->nletters;
	memset(more, 0, sizeof(*more));
	if ((more->sent = strdup(sent)) == NULL)
		return NULL;
	w->nletters++;
	return more;
}

static struct item *
item_find(const struct letter *l, const struct pgp_fpr *fpr)
{
	for (size_t i = 0; l != NULL && i < l->nitems; i++)
		if (pgp_fpr_cmp(&l->items[i].fpr, fpr) == 0)
			return &l->items[i];
	return NULL;
}

/* The change, and what `old` (may be NULL) has of that certificate already. */
static enum ks_status
item_of(const struct ks_entry *entry, const struct item *old, struct item *out)
{
	size_t n = entry->ndigests + (old != NULL ? old->ndigests : 0);

	*out = (struct item){.fpr = entry->fpr,
	    .whole = entry->whole || (old != NULL && old->whole)};
	out->digest = reallocarray(NULL, n + 1, sizeof(*out->digest));
	if (out->digest == NULL)
		return KS_NOMEM;
	if (entry->ndigests > 0)
		memcpy(out->digest, entry->digest,
		    entry->ndigests * sizeof(*out->digest));
	if (old != NULL && old->ndigests > 0)
		memcpy(out->digest + entry->ndigests, old->digest,
		    old->ndigests * sizeof(*out->digest));
	out->ndigests = n;
	return KS_OK;
}

/* Makes its octets of the certificate as it stands now: what of them has gone
 * since, nobody needs.  None at all when everything has. */
static enum ks_status
item_render(struct keystore *ks, struct item *item)
{
	struct pgp_cert *cert;
	enum ks_status status = ks_get(ks, &item->fpr, &cert, NULL);
	char *octets = NULL;
	size_t len = 0;
	int failed = -1;
	FILE *f;

	if (status != KS_OK)
		return status == KS_NOT_FOUND ? KS_OK : status;
	if ((f = open_memstream(&octets, &len)) != NULL) {
		failed =
		    item->whole
			? pgp_cert_write(f, cert)
			: pgp_cert_select(f, cert,
			      (const unsigned char(*)[KS_DIGEST])item->digest,
			      item->ndigests);
		if (fclose(f) != 0)
			failed = -1;
	}
	pgp_cert_free(cert);
	item->octets = (struct pgp_blob){(unsigned char *)octets, len};
	return failed == 0 ? KS_OK : KS_NOMEM;
}

static void
item_free(struct item *item)
{
	free(item->digest);
	pgp_blob_free(&item->octets, false);
}

/* Puts the item into the letter, in place of `old` when there is one. */
static enum ks_status
letter_put(
    struct window *w, struct letter *l, struct item *old, struct item *item)
{
	struct item *more;

	if (old == NULL) {
		more = reallocarray(l->items, l->nitems + 1, sizeof(*more));
		if (more == NULL)
			return KS_NOMEM;
		l->items = more;
		old = &more[l->nitems++];
		memset(old, 0, sizeof(*old));
	}
	l->octets += item->octets.len - old->octets.len;
	w->octets += item->octets.len - old->octets.len;
	item_free(old);
	*old = *item;
	memset(item, 0, sizeof(*item));
	return KS_OK;
}

static bool
fits(const struct window *w, const char *sent, size_t octets)
{
	return sync_mail_size(sent, octets) <= w->peer->config->mail_size;
}

/* One change more.  KS_TOO_MANY: the window has no room left for it. */
static enum ks_status
window_add(struct sync *s, const struct ks_entry *entry)
{
	struct window *w = &s->window;
	struct letter *l = letter_find(w, entry->sent);
	struct item *old = item_find(l, &entry->fpr), item;
	enum ks_status status = item_of(entry, old, &item);
	size_t before = old != NULL ? old->octets.len : 0;

	if (status == KS_OK)
		status = item_render(s->ks, &item);
	if (status != KS_OK || item.octets.len == 0)
		goto done;
	if (!fits(w, entry->sent, item.octets.len)) {
		char hex[PGP_FPR_HEX];

		log_line(LOG_WARNING,
		    "event=sync peer=\"%s\" fingerprint=%s octets=%zu "
		    "note=\"not sent, over mail_size\"",
		    w->peer->config->title, pgp_fpr_hex(&entry->fpr, hex),
		    item.octets.len);
		goto done;
	}
	if (l != NULL &&
	    (!fits(w, entry->sent, l->octets - before + item.octets.len) ||
		(old == NULL && l->nitems >= MAIL_KEYS))) {
		l->closed = true;
		l = NULL;
		old = NULL;
	}
	if (w->nletters > 0 && w->octets + item.octets.len > WINDOW_OCTETS)
		status = KS_TOO_MANY;
	else if (l == NULL && w->nletters >= w->allowed)
		status = KS_TOO_MANY;
	else if (l == NULL && (l = letter_new(w, entry->sent)) == NULL)
		status = KS_NOMEM;
	if (status == KS_OK)
		status = letter_put(w, l, old, &item);
done:
	item_free(&item);
	return status;
}

/* Takes some entries more.  KS_NOT_FOUND: that was the end of the log;
 * KS_TOO_MANY: the window is full. */
static enum ks_status
window_step(struct sync *s)
{
	struct window *w = &s->window;
	struct slice slice = {.peer = w->peer->config, .serial = w->serial};
	enum ks_status status =
	    ks_changes(s->ks, w->serial, slice_visit, &slice);

	if (status == KS_OK && slice.failed)
		status = KS_NOMEM;
	for (size_t i = 0; i < slice.n && status == KS_OK; i++) {
		status = window_add(s, &slice.entry[i]);
		if (status == KS_OK)
			w->serial = slice.entry[i].serial;
	}
	if (status == KS_OK) {
		w->serial = slice.serial;
		if (slice.visits == 0)
			status = KS_NOT_FOUND;
	}
	slice_free(&slice);
	return status;
}

/* ---- into the outbox ----------------------------------------------------- */

static enum ks_status
letter_compose(const struct sync *s, const struct letter *l, time_t now,
    struct pgp_blob *message)
{
	struct sync_mail mail = {.from = s->config->address,
	    .to = s->window.peer->config->address,
	    .sent = l->sent,
	    .date = now};
	char *keys = NULL;
	FILE *f = open_memstream(&keys, &mail.keys_len);
	enum ks_status status = KS_NOMEM;

	if (f == NULL)
		return KS_NOMEM;
	for (size_t i = 0; i < l->nitems; i++)
		fwrite(l->items[i].octets.data, 1, l->items[i].octets.len, f);
	if (fclose(f) == 0) {
		mail.keys = (unsigned char *)keys;
		if (sync_mail_compose(&mail, message) == 0)
			status = KS_OK;
	}
	free(keys);
	return status;
}

static enum ks_status
letter_queue(struct sync *s, const struct letter *l, time_t now)
{
	const struct config_peer *peer = s->window.peer->config;
	struct outbox_item item = {.due = now, .queued = now};
	char nothing[] = "", log_id[9];
	enum ks_status status = letter_compose(s, l, now, &item.message);
	uint64_t id;

	if (status != KS_OK)
		return status;
	gateway_log_id(log_id);
	item.recipient = peer->address;
	item.sender = s->config->address;
	item.peer = peer->title;
	item.serial = s->window.serial;
	item.log_id = log_id;
	item.last_error = nothing;
	status = outbox_add(s->ks, &item, &id);
	pgp_blob_free(&item.message, false);
	return status;
}

static enum ks_status
window_write(struct sync *s, const struct ks_peer *state, time_t now)
{
	struct window *w = &s->window;
	enum ks_status status = ks_begin(s->ks, KS_ROOM_QUERY);

	if (status != KS_OK)
		return status;
	for (size_t i = 0; i < w->nletters && status == KS_OK; i++)
		status = letter_queue(s, &w->letters[i], now);
	if (status == KS_OK)
		status = ks_peer_put(s->ks, w->peer->config->title, state);
	if (status == KS_OK)
		return ks_commit(s->ks);
	ks_abort(s->ks);
	return status;
}

static void
window_log(const struct window *w)
{
	size_t keys = 0;

	for (size_t i = 0; i < w->nletters; i++)
		keys += w->letters[i].nitems;
	log_line(LOG_INFO,
	    "event=sync peer=\"%s\" mails=%zu keys=%zu octets=%zu "
	    "serial=%" PRIu64,
	    w->peer->config->title, w->nletters, keys, w->octets, w->serial);
}

/* All mails of the window, and how many they are: one transaction. */
static enum ks_status
window_end(struct sync *s, time_t now)
{
	struct window *w = &s->window;
	struct peer *p = w->peer;
	struct ks_peer state = p->state;
	enum ks_status status = KS_OK;
	time_t hour = now / HOUR * HOUR;

	if (w->nletters > 0) {
		state.window = w->serial;
		state.waiting = (uint32_t)w->nletters;
		state.failed = 0;
		state.mails = state.hour == hour ? state.mails : 0;
		state.mails += (uint32_t)w->nletters;
		state.hour = hour;
		state.again = 0;
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
	window_free(w);
	return status;
}

/* ---- turns --------------------------------------------------------------- */

static enum ks_status
window_go_on(struct sync *s, time_t now)
{
	const struct peer *p = s->window.peer;
	enum ks_status status = window_step(s);

	if (status == KS_NOT_FOUND || status == KS_TOO_MANY)
		status = window_end(s, now);
	if (status != KS_OK) {
		trouble(s, p, status);
		window_free(&s->window);
	}
	return status;
}

/* Goes on with the window under way, or begins one.  KS_NOT_FOUND: nothing is
 * to be done before *next (0: nothing at all). */
static enum ks_status
sync_step(struct sync *s, time_t now, time_t *next)
{
	enum ks_status status = KS_OK;
	bool more = false;

	if (s->window.peer != NULL)
		return window_go_on(s, now);
	*next = 0;
	for (size_t i = 0; i < s->npeers && s->window.peer == NULL; i++) {
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
		if (due <= now)
			window_begin(s, p, now);
		else if (*next == 0 || due < *next)
			*next = due;
	}
	return s->window.peer != NULL || more ? KS_OK : KS_NOT_FOUND;
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
	if (state.waiting == 0 && state.failed > 0) {
		state.window = state.handed;
		state.again = now + AGAIN;
	}
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
	if (status != KS_OK) {
		log_line(LOG_ERR, "event=sync error=\"%s\" detail=\"%s\"",
		    ks_strerror(status), ks_last_error(ks));
		sync_free(s);
		return NULL;
	}
	sync_kick(s);
	return s;
}

void
sync_free(struct sync *s)
{
	if (s == NULL)
		return;
	window_free(&s->window);
	loop_timer_free(s->timer);
	free(s->peers);
	free(s);
}
