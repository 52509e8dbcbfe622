/*
 * The key store: certificates and everything that finds them, in one Berkeley
 * DB environment that one process opens.  Knows nothing of mail.  One thread
 * calls these functions (the store's own checkpoint thread apart).
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
	KS_TOO_NEW,   /* written by a newer mailkeyd */
	KS_CORRUPT,
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

/* ---- certificates -------------------------------------------------------- */

enum ks_change { KS_NEW, KS_MERGED, KS_UNCHANGED };

/*
 * Merges a cleaned, verified certificate into the store, with its indexes and
 * an entry in the change log when something was new.  `now` is the time that
 * LAST will go by.
 */
enum ks_status ks_put(struct keystore *, const struct pgp_cert *, time_t now,
    enum ks_change *, struct pgp_added *);

/* Removes a certificate and its index entries. KS_NOT_FOUND. */
enum ks_status ks_delete(struct keystore *, const struct pgp_fpr *);

struct ks_meta {
	time_t changed;	 /* last change of this certificate */
	uint64_t serial; /* of that change; ever growing */
};

/* By primary fingerprint.  The caller frees *cert; meta may be NULL. */
enum ks_status ks_get(struct keystore *, const struct pgp_fpr *,
    struct pgp_cert **cert, struct ks_meta *meta);

/* The same as canonical octets, for dumps and answers; caller frees. */
enum ks_status ks_get_octets(
    struct keystore *, const struct pgp_fpr *, struct pgp_blob *);

/* The primary fingerprint after `after` in the store's order, from the first
 * with after->len == 0; KS_NOT_FOUND at the end.  For dumps, in slices. */
enum ks_status ks_next(
    struct keystore *, const struct pgp_fpr *after, struct pgp_fpr *next);

/* ---- looking up ---------------------------------------------------------- */

#define KS_QUERY_WORDS 16

enum ks_query_kind {
	KS_BY_KEYID,  /* 8 or 16 digits */
	KS_BY_FPR,    /* 32, 40 or 64 digits */
	KS_BY_EMAIL,  /* an address, matched exactly */
	KS_BY_WORDS,  /* all words, any order */
	KS_BY_LITERAL /* "..." : a substring of one user ID, made of
			 whole words of it */
};

struct ks_query {
	enum ks_query_kind kind;
	bool bare;	/* digits without 0x: words when no key has them */
	size_t ndigits; /* 8 ... 64 */
	unsigned char octet[PGP_FPR_MAX];
	char *text; /* normalised address, or the folded literal; else NULL */
	char *word[KS_QUERY_WORDS]; /* folded, NFC, UTF-8 */
	size_t nwords;
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
	struct pgp_fpr *fpr; /* primary fingerprints, in the store's order */
	size_t n;
	uint64_t total; /* matches in all, also when KS_TOO_MANY;
			   for several words an upper bound */
};

/*
 * Finds at most `max` certificates (0: no limit).  KS_OK, KS_NOT_FOUND, or
 * KS_TOO_MANY with total set and no fingerprints.
 */
enum ks_status ks_find(
    struct keystore *, const struct ks_query *, size_t max, struct ks_found *);
void ks_found_free(struct ks_found *);

/* How many certificates have a key, primary or not, with these 8 digits. */
enum ks_status ks_short_id_count(
    struct keystore *, const unsigned char low32[4], unsigned *n);

/* ---- the store as a whole ------------------------------------------------ */

struct ks_info {
	uint64_t certificates;
	uint64_t serial;    /* of the last change, 0 = none yet */
	time_t last_change; /* 0 = never */
	uint64_t outbox;    /* answers waiting */
	uint64_t disk;	    /* octets of all files, logs included */
};
enum ks_status ks_info(struct keystore *, struct ks_info *);

/* Recomputes every index entry from the certificates and compares both ways;
 * *wrong counts what differs.  Slow: for mailkeyctl and tests. */
enum ks_status ks_verify(struct keystore *, uint64_t *wrong);

#endif
