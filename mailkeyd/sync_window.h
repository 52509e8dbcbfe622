/*
 * A window of the change log: the mails that bring a peer from one serial to
 * another, while they are being made.  Made in steps, between which the loop
 * turns.
 */
#ifndef SYNC_WINDOW_H
#define SYNC_WINDOW_H

#include "mailkeyd/sync.h"

/* A change too large for a mail, of which parts go into several. */
struct split {
	struct pgp_fpr fpr;
	char *sent;
	uint64_t serial;
	unsigned char (*digest)[KS_DIGEST];
	size_t n, at; /* signatures, those that are in mails already */
	size_t len;   /* so many are tried next */
};

struct window {
	const struct config_peer *peer; /* NULL: none */
	struct letter *letters;		/* private */
	size_t nletters;
	size_t allowed;	    /* mails, but that one change may need more */
	size_t octets;	    /* of keys */
	uint64_t serial;    /* all entries up to it are in */
	struct split split; /* digest NULL: none is under way */
};

/* Whether a peer is to hear of an entry. */
bool window_wants(const struct config_peer *, const struct ks_entry *);

/* For what is behind `serial`; the peer is lent. */
void window_begin(struct window *, const struct config_peer *, uint64_t serial,
    size_t allowed);

/* Takes some entries more.  KS_NOT_FOUND: that was the end of the log;
 * KS_TOO_MANY: the window is full. */
enum ks_status window_step(struct window *, struct keystore *);

/* Inside a transaction: its mails into the outbox.  Those above `allowed` are
 * due in later hours. */
enum ks_status window_queue(
    const struct window *, struct keystore *, const char *from, time_t now);

/* Certificates, or parts of them, in all mails, and the octets of these. */
size_t window_keys(const struct window *);
size_t window_size(const struct window *);

/* The most of both, but for one change that is larger by itself. */
#define WINDOW_KEYS 1000
#define WINDOW_SIZE ((size_t)4 << 20)

/* No window is being made any more. */
void window_free(struct window *);

#endif
