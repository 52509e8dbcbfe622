/*
 * The key store: certificates and everything that finds them, in one Berkeley
 * DB environment that one process opens.  Knows nothing of mail.  One thread
 * calls these functions (the store's own threads apart).
 */
#ifndef KEYSTORE_H
#define KEYSTORE_H

#include "pgp/pgp.h"

#include <time.h>

enum ks_status {
	KS_OK,
	KS_NOT_FOUND,
	KS_TOO_MANY,  /* more matches than asked for */
	KS_BAD_QUERY, /* not to be looked up; ks_query_parse() says why */
	KS_BUSY,      /* another process holds the store */
	KS_FULL,      /* less free space than configured */
	KS_READ_ONLY, /* the file system is */
	KS_TOO_NEW,   /* written by a newer mailkeyd */
	KS_TOO_OLD,   /* by an older one, in a form that is not read */
	KS_CORRUPT,
	KS_DENIED, /* a file that this user may not read or write */
	KS_IO,
	KS_NOMEM
};
const char *ks_strerror(enum ks_status);

struct keystore;

struct ks_options {
	size_t cache;	     /* octets of Berkeley DB's cache: 64 MiB */
	uint64_t free_space; /* octets to leave free: 256 MiB, at most a
				tenth of the file system */
	bool sync;	     /* fdatasync at commit; false only in tests */
	struct pgp_policy policy;
};

/*
 * Opens the store in directory `dir` (made when missing), after recovery.  On
 * failure *error points at a static text that names what to do.  KS_BUSY: the
 * lock file dir/lock is held by another process.  ks_close() waits for the
 * checkpoint thread, checkpoints and frees; it accepts NULL.
 */
enum ks_status ks_open(const char *dir, const struct ks_options *,
    struct keystore **, const char **error);
enum ks_status ks_close(struct keystore *);

/*
 * The same for who can wait: where the store cannot be opened for now (KS_FULL,
 * KS_READ_ONLY, KS_NOMEM) *out is one that is closed, with KS_OK.  All that
 * needs its files returns that status, until ks_mend() opens it.
 */
enum ks_status ks_open_later(const char *dir, const struct ks_options *,
    struct keystore **, const char **error);

/* KS_OK: it is open.  Otherwise why not; *why (may be NULL) is a static text.
 * One that Berkeley DB has given up while it was open is closed, too, and one
 * of which a sync has failed. */
enum ks_status ks_closed(struct keystore *, const char **why);

/*
 * Opens one that is closed, after recovery, which takes a moment; one that is
 * closed because the disk is full waits for room first.  The status that
 * ks_closed() has then.  Outside a transaction.  What Berkeley DB held in
 * memory for a store that it gave up, the cache above all, is never freed.
 */
enum ks_status ks_mend(struct keystore *);

/* From now on; outside any transaction. */
void ks_set_limits(
    struct keystore *, uint64_t free_space, const struct pgp_policy *);

/* Berkeley DB's own words on its last failure, for the log; "" = none.  Lent
 * until the next call. */
const char *ks_last_error(const struct keystore *);

/* What a transaction is for: how much free space it needs to begin. */
enum ks_room {
	KS_ROOM_NONE,  /* it only takes away: outbox_delete() ... */
	KS_ROOM_QUERY, /* an answer, a digest: a quarter of free_space */
	KS_ROOM_ADD    /* certificates too: free_space */
};

/*
 * One transaction at a time.  Between ks_begin() and ks_commit() or
 * ks_abort() everything below, outbox.h too, is part of it and sees what it
 * wrote; outside, a read stands alone and a write fails an assertion.
 * KS_FULL from ks_begin(): less than the room it needs is free; nothing has
 * begun.  ks_commit() syncs to disk; ks_commit_lazy() leaves that to the next
 * sync (a power cut may undo it, the death of the process may not).  A commit
 * that fails has aborted; so does one after a write that failed, with that
 * write's status.  ks_abort() without a transaction does nothing.
 */
enum ks_status ks_begin(struct keystore *, enum ks_room);
enum ks_status ks_commit(struct keystore *);
enum ks_status ks_commit_lazy(struct keystore *);
void ks_abort(struct keystore *);

/*
 * As ks_commit(), but the sync is left to a thread of the store, and other work
 * goes on meanwhile, transactions too; of what it added to the outbox,
 * outbox_due() gives nothing before the end.  After KS_OK the descriptor of
 * ks_sync_fd() (the same until ks_close()) becomes readable, and
 * ks_commit_end() must be called before the next ks_commit_begin(): it says
 * whether all is on the disk, and waits if need be.  If not, nobody knows what
 * is there, and the store is closed, as one is that Berkeley DB has given up.
 */
enum ks_status ks_commit_begin(struct keystore *);
enum ks_status ks_commit_end(struct keystore *);
int ks_sync_fd(const struct keystore *);

/*
 * A trial within a transaction: from ks_try() on what is written is seen by
 * what reads, and ks_untry() undoes it as if it had never been.  One at a time;
 * neither ks_commit() nor another ks_try() in between.  A write that fails
 * makes the transaction fail all the same.  ks_abort() ends both.
 */
enum ks_status ks_try(struct keystore *);
enum ks_status ks_untry(struct keystore *);

/* ---- certificates -------------------------------------------------------- */

/* KS_REFUSED: nothing of it is taken; ks_standing() says why. */
enum ks_change { KS_NEW, KS_MERGED, KS_UNCHANGED, KS_REFUSED };

/* Where a certificate came from; kept in the change log. */
struct ks_origin {
	time_t now;	  /* the time that LAST will go by */
	const char *sent; /* X-KeyServer-Sent addresses that it came with, LF
			     between; "" or NULL: none */
	bool quiet;	  /* no peer is to hear of it */
};

/* Octets of `sent` that are kept: addresses that would go beyond are left out.
 * Their peers may get what they have; there it ends, being nothing new. */
#define KS_SENT_MAX 4096

/*
 * Merges a cleaned certificate into the store, with its indexes, and makes an
 * entry in the change log when a signature was new.  One that is unverified is
 * found by whole fingerprints only, until a verified one takes its place.
 * KS_MERGED without an entry: older signatures gave way to the policy, or one
 * to its smaller variant, and nobody else has any use for that.
 */
enum ks_status ks_put(struct keystore *, const struct pgp_cert *,
    const struct ks_origin *, enum ks_change *, struct pgp_added *);

/* Removes a certificate and its index entries; the change log stays.
 * KS_NOT_FOUND. */
enum ks_status ks_delete(struct keystore *, const struct pgp_fpr *);

/* How the store stands to a primary key, whether it has it or not. */
enum ks_standing {
	KS_WELCOME,
	KS_FORGOTTEN, /* only its revocations are taken */
	KS_BLOCKED    /* nothing is taken, nothing shown */
};
enum ks_status ks_standing(
    struct keystore *, const struct pgp_fpr *, enum ks_standing *);

/*
 * Puts n primary keys on the block list in place of those that were on it; the
 * fingerprints are copied.  ks_put() refuses them, and what is stored of them
 * is there for nobody: all that reads here passes over it, until they are off
 * the list.  Lasts until ks_close().  KS_OK, KS_NOMEM (the old list stays).
 */
enum ks_status ks_block(struct keystore *, const struct pgp_fpr *, size_t n);

/*
 * Removes a certificate for good, and from now on takes only revocations of
 * its primary key, kept without user IDs.  Those that it has stay.  What the
 * store then knows of it is a digest under a secret key of its own, which
 * nobody reads a fingerprint out of.  *had: there was something to remove.  Its
 * entries in the change log go with ks_forget_changes(), perhaps later.
 */
enum ks_status ks_forget(struct keystore *, const struct pgp_fpr *, bool *had);

/* Takes it back: what comes from now on is taken.  KS_NOT_FOUND. */
enum ks_status ks_unforget(struct keystore *, const struct pgp_fpr *);

/*
 * Removes what the change log has on a key that was forgotten, except the one
 * entry of what stays.  A call looks at `max` entries behind the serial *after,
 * which it moves on (0: from the first); *more says whether to call again.
 */
enum ks_status ks_forget_changes(struct keystore *, const struct pgp_fpr *,
    uint64_t *after, unsigned max, bool *more);

/* Has the checkpoint thread write everything to the tables now, and remove the
 * log files that nothing needs then.  Outside a transaction. */
void ks_scrub(struct keystore *);

struct ks_meta {
	time_t changed;	 /* last change of this certificate */
	uint64_t serial; /* of that change; ever growing */
	bool unverified; /* see struct pgp_cert */
};

/* By primary fingerprint.  The caller frees *cert; meta may be NULL. */
enum ks_status ks_get(struct keystore *, const struct pgp_fpr *,
    struct pgp_cert **cert, struct ks_meta *meta);

/*
 * One after the other in the order of their arrival: the primary fingerprint of
 * the next certificate, from the first with *at == 0, and moves *at to it;
 * KS_NOT_FOUND at the end.  In slices, between which the store may change: the
 * one at *at may go.
 */
enum ks_status ks_next(struct keystore *, uint64_t *at, struct pgp_fpr *next);

/*
 * All that follow, with their canonical octets, for dumps, until `visit`, which
 * must not call the store, says false (KS_OK) or there is no more
 * (KS_NOT_FOUND).
 */
enum ks_status ks_each(struct keystore *, uint64_t *at,
    bool (*visit)(void *ctx, const struct pgp_fpr *, const struct pgp_blob *),
    void *ctx);

/* The octets of the certificate that ks_next() has come to, for who looks
 * through user IDs: of an unverified one, which is not to be found by them,
 * there are none (len 0). */
enum ks_status ks_get_searched(
    struct keystore *, uint64_t at, struct pgp_blob *);

/* ---- what changed -------------------------------------------------------- */

#define KS_DIGEST PGP_DIGEST_LEN /* 8: see pgp_cert_select() */

/* One change, lent. */
struct ks_entry {
	uint64_t serial; /* ever growing, not without gaps */
	time_t time;
	struct pgp_fpr fpr; /* its certificate may have gone since */
	bool whole;	    /* all of it was new: no digests */
	bool quiet;	    /* see struct ks_origin */
	char *sent;	    /* see struct ks_origin; "" = none */
	unsigned char (*digest)[KS_DIGEST]; /* of the new signatures */
	size_t ndigests;
};

/* Visits what has a serial above `after`, in order; stops when `visit`, which
 * must not call the store, returns false. */
enum ks_status ks_changes(struct keystore *, uint64_t after,
    bool (*visit)(void *ctx, const struct ks_entry *), void *ctx);

/* What a peer got of the change log. */
struct ks_peer {
	uint64_t handed;  /* up to this serial all was handed over */
	uint64_t window;  /* up to this one it is in the outbox */
	uint32_t waiting; /* mails of the window in the outbox */
	uint32_t failed;  /* of these, given up */
	time_t hour;
	uint32_t mails; /* started in that hour */
	time_t again;	/* nothing before this moment */
};
#define KS_PEER_NAME 254 /* octets */

/* KS_NOT_FOUND: a new peer, and all of *out is 0. */
enum ks_status ks_peer_get(
    struct keystore *, const char *name, struct ks_peer *out);
enum ks_status ks_peer_put(
    struct keystore *, const char *name, const struct ks_peer *);

/*
 * Thins the change log out: of entries with a serial up to `passed` (every
 * peer is behind them) and a time before `older`, those go whose certificate
 * has a later entry or is gone.  A call looks at `max` entries, beginning where
 * the one before stopped, and after the last such entry again with the first;
 * *removed says how many went.
 */
enum ks_status ks_thin(struct keystore *, uint64_t passed, time_t older,
    unsigned max, unsigned *removed);

/* ---- looking up ---------------------------------------------------------- */

#define KS_QUERY_WORDS 16

enum ks_query_kind {
	KS_BY_KEYID,  /* 8 or 16 digits */
	KS_BY_FPR,    /* 32, 40 or 64 digits */
	KS_BY_EMAIL,  /* an address, matched exactly */
	KS_BY_WORDS,  /* all words, any order */
	KS_BY_LITERAL /* "..." : a substring of one user ID */
};

/* Where in a word the part of one stands that a literal has. */
enum ks_part { KS_PART_NONE, KS_PART_BEGIN, KS_PART_END, KS_PART_WITHIN };

struct ks_query {
	enum ks_query_kind kind;
	bool bare;	/* key ID without 0x: words when no key has it */
	size_t ndigits; /* 8 ... 64 */
	unsigned char octet[PGP_FPR_MAX];
	char *text; /* normalised address, or the folded literal; else NULL */
	char *word[KS_QUERY_WORDS]; /* folded, NFC, UTF-8 */
	size_t nwords;
	/* Of a literal without words that are whole for sure, the part of one
	 * that it has; KS_PART_NONE: not even that. */
	char *part;
	enum ks_part at;
};

/*
 * Reads what a person wrote after GET (UTF-8, at most 255 octets): 0x or bare
 * digits with blanks inside, an address with or without <>, words,
 * "literal".  KS_BAD_QUERY sets *why to a static sentence for the answer.
 */
enum ks_status ks_query_parse(
    const char *, struct ks_query *, const char **why);
void ks_query_free(struct ks_query *);

struct ks_found {
	struct pgp_fpr *fpr; /* primary fingerprints, in their order */
	size_t n;
	uint64_t total; /* matches in all, also when KS_TOO_MANY; for
			   several words, and for more than a thousand
			   changes, an upper bound */
	bool more;	/* total is a lower bound: nobody has counted on */
};

/*
 * Finds at most `max` certificates (0: no limit).  KS_OK, KS_NOT_FOUND, or
 * KS_TOO_MANY with total set and no fingerprints.  Where a key ID or
 * fingerprint has too many, those whose primary key has it are found, and total
 * counts all.
 */
enum ks_status ks_find(
    struct keystore *, const struct ks_query *, size_t max, struct ks_found *);
void ks_found_free(struct ks_found *);

/*
 * A literal is looked for in the user IDs of all certificates that have its
 * words, or words with its part, or, with neither, of all.  That may take long,
 * so it can be done in steps of less than a millisecond; ks_find() does all of
 * them at once.  Between them the store may change.  The query is lent.
 */
struct ks_search;
enum ks_status ks_search_new(const struct ks_query *, struct ks_search **);
/* One step; *more: there is another one.  It ends early when the matches are
 * more than `max` (0: no limit) and more than a thousand. */
enum ks_status ks_search_step(
    struct keystore *, struct ks_search *, size_t max, bool *more);
/* What there is so far: statuses and *found as of ks_find(). */
enum ks_status ks_search_found(
    struct ks_search *, size_t max, struct ks_found *);
void ks_search_free(struct ks_search *);

/*
 * The verified certificates whose last change was at `since` or later, each
 * once, the newest change first.  At most `max`, and statuses, as above.
 */
enum ks_status ks_since(
    struct keystore *, time_t since, size_t max, struct ks_found *);

/* How many certificates have a key, primary or not, with these 8 digits. */
enum ks_status ks_short_id_count(
    struct keystore *, const unsigned char low32[4], unsigned *n);

/* ---- how far an import is ------------------------------------------------ */

#define KS_MARK_CHAIN 32

struct ks_mark {
	unsigned char chain[KS_MARK_CHAIN]; /* which file, and what came before
					       it: the caller's to compute */
	uint64_t offset; /* in that file; UINT64_MAX: behind it */
};

/* There is one mark, written together with what it stands behind.
 * KS_NOT_FOUND: no import was interrupted.  Removing none is no failure. */
enum ks_status ks_mark_get(struct keystore *, struct ks_mark *);
enum ks_status ks_mark_put(struct keystore *, const struct ks_mark *);
enum ks_status ks_mark_remove(struct keystore *);

/* ---- the store as a whole ------------------------------------------------ */

struct ks_info {
	uint64_t certificates;
	uint64_t serial;    /* of the last change, 0 = none yet */
	time_t last_change; /* 0 = never */
	uint64_t outbox;    /* answers waiting */
	uint64_t disk;	    /* octets of all files, logs included */
};
enum ks_status ks_info(struct keystore *, struct ks_info *);

/*
 * Copies the store to `dir`, a name that must not be there yet, while it is in
 * use: in a thread of its own, under DIR.new, with recovery and fsync(2), and
 * by rename(2) at the end, so that it is whole or not there.  It holds db/, as
 * a state directory does.  KS_BUSY: one is under way.  ks_close() and ks_mend()
 * end it half-way.
 */
enum ks_status ks_backup_start(struct keystore *, const char *dir);

/* Whether it has ended; then *error is NULL, or what kept it from that: a line
 * that the caller frees. */
bool ks_backup_done(struct keystore *, char **error);

/* The same for ks_verify() on a copy beside the store, which goes again.
 * KS_FULL: there is no room for one. */
enum ks_status ks_verify_start(struct keystore *);
bool ks_verify_done(struct keystore *, uint64_t *wrong, char **error);

/* Recomputes every index entry from the certificates and compares both ways,
 * and holds the change log against them; *wrong counts what differs.  Slow: for
 * mailkeyctl and tests. */
enum ks_status ks_verify(struct keystore *, uint64_t *wrong);

#endif
