/*
 * The core's side of the senders: due mails go out, one at a time to each
 * sender, and what became of them is written down.
 */
#ifndef DESPATCH_H
#define DESPATCH_H

#include "db/outbox.h"
#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/sync.h"

struct despatch;

struct despatch *despatch_new(
    struct loop *, const struct config *, struct keystore *);
void despatch_free(struct despatch *);

/* Milliseconds after which an attempt ends where all senders hang while other
 * answers wait; else it has 20 minutes.  Tests have less patience. */
extern long despatch_pressed;

/* Whom to tell when a peer's mail was handed over or given up; lent. */
void despatch_sync(struct despatch *, struct sync *);

/* The outbox has something new: hand it to a sender that is free. */
void despatch_kick(struct despatch *);

/* The same, when something in it is due earlier than it was. */
void despatch_again(struct despatch *);

/* Writes down what became of answers, in a transaction of its own that the
 * next sync makes durable: an answer whose yes is lost in a power cut goes
 * twice, with the same Message-ID.  Call it after each round of the loop,
 * outside any transaction. */
void despatch_settle(struct despatch *);

/* Whether a sender has this one in hand. */
bool despatch_has(const struct despatch *, uint64_t id);

/* No more messages are handed out; true when none is under way any more. */
bool despatch_stop(struct despatch *);

struct despatch_counts {
	uint64_t sent, deferred, refused;
	unsigned deaths;
};
void despatch_count(const struct despatch *, struct despatch_counts *);

#endif
