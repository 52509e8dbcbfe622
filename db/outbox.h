/*
 * What a mail leaves behind beside certificates: the mails waiting for the
 * sender, the digest that tells a repeat, the counters of its sender, the
 * record of a mail that killed its reader.  All of it in the key store's
 * environment, so that one transaction holds it (keystore.h).
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "db/keystore.h"

#define DIGEST_LEN 32 /* SHA-256 */

/* ---- mails waiting ------------------------------------------------------- */

struct outbox_item {
	uint64_t id;		 /* given by outbox_add(), kept over retries */
	time_t due;		 /* not before this moment */
	time_t queued;		 /* when it was first added */
	uint32_t attempts;	 /* failed so far */
	char *sender;		 /* of the envelope: "" or NULL, nobody */
	char *recipient;	 /* one checked address */
	char *peer;		 /* name of the one that this mail brings up to
				    date, "" or NULL: an answer */
	uint64_t serial;	 /* of the change log, for a peer's mail */
	char *log_id;		 /* of the mail that it answers, for the log */
	char *last_error;	 /* of the last attempt, "" = none */
	struct pgp_blob message; /* rendered, CR LF line ends */
};
void outbox_item_free(struct outbox_item *); /* the fields, not the struct */

/* Adds a copy; item->id is ignored and *id set.  Read back, no string is
 * NULL. */
enum ks_status outbox_add(
    struct keystore *, const struct outbox_item *, uint64_t *id);

/* Where an item stands, in the order of due times. */
struct outbox_place {
	time_t due;
	uint64_t id;
};

/*
 * Visits, without messages, what is due until then, stands behind `place` and
 * is on the disk (see ks_commit_begin()), and moves `place` along; KS_OK:
 * `visit`, which must not call the store, has not taken the one behind it.
 * KS_NOT_FOUND: there is no more; then *next is when the first one is due that
 * was not visited, 0 when there is none.  That is no later than `until` when it
 * is not on the disk yet.
 */
enum ks_status outbox_due(struct keystore *, struct outbox_place *,
    time_t until, bool (*visit)(void *ctx, const struct outbox_item *),
    void *ctx, time_t *next);

/* The item at a place, with its message; the caller frees.  KS_NOT_FOUND: it
 * has gone, or is due at another time. */
enum ks_status outbox_at(
    struct keystore *, const struct outbox_place *, struct outbox_item *);

/* After a yes, or a no for good. */
enum ks_status outbox_delete(struct keystore *, uint64_t id);

/* After a failure that may pass: counts an attempt, notes why, moves the due
 * time. */
enum ks_status outbox_defer(
    struct keystore *, uint64_t id, time_t due, const char *error);

/* After an operator's word: due at `now`, with its attempts. */
enum ks_status outbox_hurry(struct keystore *, uint64_t id, time_t now);

/* One item with its message; the caller frees. */
enum ks_status outbox_get(struct keystore *, uint64_t id, struct outbox_item *);

/* Visits all, without messages (message.len is the size, data NULL), in order
 * of due time; stops when `visit`, which must not call the store, returns
 * false. */
enum ks_status outbox_each(struct keystore *,
    bool (*visit)(void *ctx, const struct outbox_item *), void *ctx);

/* The same, from behind a place, at which there may be nothing any more. */
enum ks_status outbox_behind(struct keystore *, const struct outbox_place *,
    bool (*visit)(void *ctx, const struct outbox_item *), void *ctx);

/* ---- mails already answered ---------------------------------------------- */

/* Whether the digest was seen; seen_add() remembers it. */
enum ks_status seen_find(
    struct keystore *, const unsigned char digest[DIGEST_LEN], bool *seen);
enum ks_status seen_add(
    struct keystore *, const unsigned char digest[DIGEST_LEN], time_t now);

/* ---- counters for budgets ------------------------------------------------ */

struct limit_count {
	uint32_t replies;
	uint32_t helps; /* unasked-for help texts and pointers */
	uint64_t octets;
};

/* Sums of the 24 hours and of the hour that end at `now`, in hours of the
 * clock: the one that runs and the 23 before it.  `who` is an address or a
 * domain, at most 254 octets, in lower case. */
enum ks_status limit_get(struct keystore *, const char *who, time_t now,
    struct limit_count *hour, struct limit_count *day);
enum ks_status limit_add(
    struct keystore *, const char *who, time_t now, const struct limit_count *);

/* ---- mails that killed their reader -------------------------------------- */

/* Counts one more death for the digest; *count is the new total. */
enum ks_status poison_add(struct keystore *,
    const unsigned char digest[DIGEST_LEN], time_t now, unsigned *count);
enum ks_status poison_forget(
    struct keystore *, const unsigned char digest[DIGEST_LEN]);

/* Removes at most `max` entries of seen, limit and poison that are past their
 * time (30 days, 25 hours, 30 days); *removed says how many, 0 = done. */
enum ks_status store_expire(
    struct keystore *, time_t now, unsigned max, unsigned *removed);

/* A random site identity, made when the store was, in hexadecimal. */
const char *store_site(const struct keystore *);

#endif
