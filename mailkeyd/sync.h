/*
 * Sync mails: what the store took in goes on to the peers, and what of it each
 * of them has got so far.
 *
 * A peer's position in the change log moves by windows.  All mails of a window
 * enter the outbox in one transaction, which notes in the store how many they
 * are and up to which change they reach.  Only when the last of them was
 * handed over is the position moved there; when one was given up, the window
 * is made again later.  So a peer that was away gets what it missed.
 */
#ifndef SYNC_H
#define SYNC_H

#include "db/outbox.h"
#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"

#include <stdio.h>

struct sync;

/*
 * `queued` is called after new mails have entered the outbox.  A peer without
 * a position gets the present end of the change log.  NULL: no memory, or the
 * store failed.
 */
struct sync *sync_new(struct loop *, const struct config *, struct keystore *,
    void (*queued)(void *ctx), void *ctx);
void sync_free(struct sync *);

/* The configuration has other peers, or other options of theirs. */
void sync_reload(struct sync *);

/* Something changed in the store, or left the outbox: look at it from the
 * loop.  May be called at any time; NULL is fine. */
void sync_kick(struct sync *);

/* Makes mails of all that waits now, without gathering any longer. */
enum ks_status sync_now(struct sync *);

/*
 * Passes over the window of a peer that is under way, or that was given up
 * last: it never gets those *changes.  Mails of it that wait still go.
 * KS_NOT_FOUND: there is none; KS_BAD_QUERY: no such peer.
 */
enum ks_status sync_skip(struct sync *, const char *title, uint64_t *changes);

/* Inside the transaction that takes a peer's mail from the outbox: it was
 * handed over, or it was given up. */
enum ks_status sync_settle(
    struct keystore *, const struct outbox_item *, bool handed, time_t now);

/* Inside a transaction: notes how far the peers are, looks at `max` entries of
 * the change log and removes those that nobody needs any more (ks_thin()). */
enum ks_status sync_thin(
    struct sync *, time_t now, unsigned max, unsigned *removed);

/* One line for each peer: its title, how far it is, what is under way. */
enum ks_status sync_print(struct sync *, FILE *);

/* ---- the mail itself (sync_mail.c) --------------------------------------- */

/* Whether a list of addresses, LF between, has this one: compared whole, but
 * without regard to case and blanks. */
bool sync_sent_has(const char *list, const char *address);

/*
 * The list of a mail that came (NULL: none) as the change log keeps it: each
 * address once, and that of the peer that sent it.  malloc'ed, NULL: no memory.
 */
char *sync_sent_of(const char *list, const char *peer);

struct sync_mail {
	const char *from, *to; /* checked addresses */
	const char *sent;      /* servers that it has been at, LF between */
	const unsigned char *keys;
	size_t keys_len;
	time_t date;
};

/* Octets at most of a mail with such a list and so many octets of keys. */
size_t sync_mail_size(const char *sent, size_t keys_len);

/* Renders with CR LF.  0; -1: no memory. */
int sync_mail_compose(const struct sync_mail *, struct pgp_blob *out);

#endif
