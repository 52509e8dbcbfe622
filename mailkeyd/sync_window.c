/*
 * The mails that a window of the change log makes for a peer.
 */
#include "mailkeyd/sync_window.h"
#include "mailkeyd/gateway.h"
#include "mailkeyd/log.h"

#include <stdlib.h>
#include <string.h>

#define HOUR	      3600
#define SLICE_VISITS  500		/* entries looked at in one step */
#define SLICE_ENTRIES 50		/* of them, worked on in one step */
#define WINDOW_OCTETS ((size_t)2 << 20) /* of keys in one window, about */
#define WINDOW_MAILS  100

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
 * part.  Those of versions 5 and 6 go in mails of their own, since servers that
 * do not know them refuse all of such a mail. */
struct letter {
	char *sent;
	bool newer;
	struct item *items;
	size_t nitems, octets;
	bool closed; /* full: another one goes on */
};

/* Entries copied out of a walk, in which the store must not be called. */
struct slice {
	const struct config_peer *peer;
	struct ks_entry entry[SLICE_ENTRIES];
	size_t n, visits;
	uint64_t serial; /* the last one looked at */
	bool failed;
};

bool
window_wants(const struct config_peer *peer, const struct ks_entry *entry)
{
	return !entry->quiet && !sync_sent_has(entry->sent, peer->address);
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

	if (window_wants(slice->peer, entry)) {
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

void
window_begin(struct window *w, const struct config_peer *peer, uint64_t serial,
    size_t allowed)
{
	memset(w, 0, sizeof(*w));
	w->peer = peer;
	w->serial = serial;
	w->allowed = allowed > WINDOW_MAILS ? WINDOW_MAILS : allowed;
}

static void
split_end(struct split *split)
{
	free(split->sent);
	free(split->digest);
	memset(split, 0, sizeof(*split));
}

void
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
	split_end(&w->split);
	memset(w, 0, sizeof(*w));
}

size_t
window_keys(const struct window *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->nletters; i++)
		n += w->letters[i].nitems;
	return n;
}

size_t
window_size(const struct window *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->nletters; i++)
		n += sync_mail_size(w->letters[i].sent, w->letters[i].octets);
	return n;
}

static bool
is_newer(const struct pgp_fpr *fpr)
{
	return fpr->len == PGP_FPR_MAX;
}

/* The mail for a certificate with this list; NULL: none, or they are full. */
static struct letter *
letter_find(struct window *w, const char *sent, const struct pgp_fpr *fpr)
{
	for (size_t i = 0; i < w->nletters; i++)
		if (!w->letters[i].closed &&
		    w->letters[i].newer == is_newer(fpr) &&
		    strcmp(w->letters[i].sent, sent) == 0)
			return &w->letters[i];
	return NULL;
}

static struct letter *
letter_new(struct window *w, const char *sent, const struct pgp_fpr *fpr)
{
	struct letter *more =
	    reallocarray(w->letters, w->nletters + 1, sizeof(*w->letters));

	if (more == NULL)
		return NULL;
	w->letters = more;
	more += w->nletters;
	memset(more, 0, sizeof(*more));
	more->newer = is_newer(fpr);
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
	if ((f = pgp_memstream(&octets, &len)) != NULL) {
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
	return sync_mail_size(sent, octets) <= w->peer->mail_size;
}

/* Puts the item where there is room: into the letter (NULL: none) in place of
 * `old` (NULL: none), or into a new one. */
static enum ks_status
window_put(struct window *w, struct letter *l, struct item *old,
    const char *sent, struct item *item)
{
	size_t before = old != NULL ? old->octets.len : 0;

	if (l != NULL &&
	    !fits(w, sent, l->octets - before + item->octets.len)) {
		l->closed = true;
		l = NULL;
		old = NULL;
	}
	if (l == NULL && w->split.digest == NULL && w->nletters >= w->allowed)
		return KS_TOO_MANY;
	if (l == NULL && (l = letter_new(w, sent, &item->fpr)) == NULL)
		return KS_NOMEM;
	return letter_put(w, l, old, item);
}

/* ---- a change that is larger than a mail --------------------------------- */

/* All signatures of a certificate. */
static enum ks_status
split_all(struct keystore *ks, const struct pgp_fpr *fpr, struct split *split)
{
	struct pgp_component primary;
	const struct pgp_cert bare = {.components = &primary, .ncomponents = 1};
	struct pgp_cert *cert;
	enum ks_status status = ks_get(ks, fpr, &cert, NULL);

	if (status != KS_OK)
		return status;
	primary = cert->components[0];
	primary.nsigs = 0;
	if (pgp_cert_news(&bare, cert, &split->digest, &split->n) != PGP_OK)
		status = KS_NOMEM;
	pgp_cert_free(cert);
	return status;
}

/* Takes the item's signatures over.  It has a window of its own, since one
 * ends only where a change does. */
static enum ks_status
split_begin(struct window *w, struct keystore *ks, const struct ks_entry *entry,
    struct item *item)
{
	struct split *split = &w->split;
	enum ks_status status = KS_OK;

	if (w->nletters > 0)
		return KS_TOO_MANY;
	if ((split->sent = strdup(entry->sent)) == NULL)
		return KS_NOMEM;
	split->fpr = entry->fpr;
	split->serial = entry->serial;
	if (item->whole) {
		status = split_all(ks, &entry->fpr, split);
	} else {
		split->digest = item->digest;
		split->n = item->ndigests;
		item->digest = NULL;
	}
	split->len = split->n;
	if (split->n == 0)
		split_end(split);
	return status;
}

static void
split_skip(const struct window *w, size_t octets)
{
	char hex[PGP_FPR_HEX];

	log_line(LOG_WARNING,
	    "event=sync peer=\"%s\" fingerprint=%s octets=%zu "
	    "note=\"a part was not sent, over mail_size\"",
	    w->peer->title, pgp_fpr_hex(&w->split.fpr, hex), octets);
}

/* How many signatures may fit, when so many have so many octets. */
static size_t
split_fewer(const struct window *w, size_t n, size_t octets)
{
	size_t head = sync_mail_size(w->split.sent, 0);
	size_t size = w->peer->mail_size;
	uint64_t most = 0;

	if (size > head && octets > 0)
		most = (uint64_t)(size - head) / 66 * 48 * n / octets;
	return most < 1 ? 1 : most < n ? (size_t)most : n - 1;
}

/* Tries so many signatures in a mail, and fewer next when they are too many.
 * What cannot be split is left out. */
static enum ks_status
split_try(struct window *w, struct keystore *ks)
{
	struct split *split = &w->split;
	struct ks_entry entry = {.fpr = split->fpr,
	    .digest = split->digest + split->at,
	    .ndigests = split->len};
	struct item item;
	enum ks_status status = item_of(&entry, NULL, &item);

	if (status == KS_OK)
		status = item_render(ks, &item);
	if (status != KS_OK) {
		item_free(&item);
		return status;
	}
	if (!fits(w, split->sent, item.octets.len) && split->len > 1) {
		split->len = split_fewer(w, split->len, item.octets.len);
		item_free(&item);
		return KS_OK;
	}
	if (!fits(w, split->sent, item.octets.len))
		split_skip(w, item.octets.len);
	else if (item.octets.len > 0)
		status = window_put(w, letter_find(w, split->sent, &split->fpr),
		    NULL, split->sent, &item);
	split->at += split->len;
	item_free(&item);
	return status;
}

static enum ks_status
split_step(struct window *w, struct keystore *ks)
{
	struct split *split = &w->split;
	enum ks_status status = split_try(w, ks);

	if (split->len > split->n - split->at)
		split->len = split->n - split->at;
	if (split->at == split->n) {
		w->serial = split->serial;
		split_end(split);
	}
	return status;
}

/* ---- entries ------------------------------------------------------------- */

/* One change more.  KS_TOO_MANY: the window has no room left for it. */
static enum ks_status
window_add(struct window *w, struct keystore *ks, const struct ks_entry *entry)
{
	struct letter *l = letter_find(w, entry->sent, &entry->fpr);
	struct item *old = item_find(l, &entry->fpr), item;
	enum ks_status status = item_of(entry, old, &item);

	if (status == KS_OK)
		status = item_render(ks, &item);
	if (status == KS_OK && old != NULL &&
	    !fits(w, entry->sent, item.octets.len)) {
		/* Not with what there is of that certificate. */
		l->closed = true;
		item_free(&item);
		return window_add(w, ks, entry);
	}
	if (status != KS_OK || item.octets.len == 0)
		goto done;
	if (!fits(w, entry->sent, item.octets.len))
		status = split_begin(w, ks, entry, &item);
	else if (w->nletters > 0 &&
		 (w->octets + item.octets.len > WINDOW_OCTETS ||
		     (old == NULL && window_keys(w) >= WINDOW_KEYS)))
		status = KS_TOO_MANY;
	else
		status = window_put(w, l, old, entry->sent, &item);
done:
	item_free(&item);
	return status;
}

static enum ks_status
window_take(struct window *w, struct keystore *ks, const struct slice *slice)
{
	enum ks_status status = KS_OK;

	for (size_t i = 0; i < slice->n; i++) {
		status = window_add(w, ks, &slice->entry[i]);
		if (status != KS_OK || w->split.digest != NULL)
			return status;
		w->serial = slice->entry[i].serial;
	}
	w->serial = slice->serial;
	return slice->visits == 0 ? KS_NOT_FOUND : KS_OK;
}

enum ks_status
window_step(struct window *w, struct keystore *ks)
{
	struct slice slice = {.peer = w->peer, .serial = w->serial};
	enum ks_status status;

	if (w->split.digest != NULL)
		return split_step(w, ks);
	status = ks_changes(ks, w->serial, slice_visit, &slice);
	if (status == KS_OK && slice.failed)
		status = KS_NOMEM;
	if (status == KS_OK)
		status = window_take(w, ks, &slice);
	slice_free(&slice);
	return status;
}

/* ---- into the outbox ----------------------------------------------------- */

static enum ks_status
letter_compose(const struct window *w, const struct letter *l, const char *from,
    time_t now, struct pgp_blob *message)
{
	struct sync_mail mail = {
	    .from = from, .to = w->peer->address, .sent = l->sent, .date = now};
	char *keys = NULL;
	FILE *f = pgp_memstream(&keys, &mail.keys_len);
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
letter_queue(const struct window *w, const struct letter *l,
    struct keystore *ks, const char *from, time_t now, time_t due)
{
	struct outbox_item item = {.due = due, .queued = now};
	char nothing[] = "", log_id[9];
	enum ks_status status = letter_compose(w, l, from, now, &item.message);
	uint64_t id;

	if (status != KS_OK)
		return status;
	gateway_log_id(log_id);
	item.recipient = w->peer->address;
	item.sender = (char *)(uintptr_t)from;
	item.peer = w->peer->title;
	item.serial = w->serial;
	item.log_id = log_id;
	item.last_error = nothing;
	status = outbox_add(ks, &item, &id);
	pgp_blob_free(&item.message, false);
	return status;
}

/* The hour in which the letter may go. */
static time_t
letter_due(const struct window *w, size_t i, time_t now)
{
	if (i < w->allowed)
		return now;
	i = (i - w->allowed) / w->peer->mails_per_hour;
	return now / HOUR * HOUR + HOUR * (1 + (time_t)i);
}

enum ks_status
window_queue(
    const struct window *w, struct keystore *ks, const char *from, time_t now)
{
	enum ks_status status = KS_OK;

	for (size_t i = 0; i < w->nletters && status == KS_OK; i++)
		status = letter_queue(
		    w, &w->letters[i], ks, from, now, letter_due(w, i, now));
	return status;
}
