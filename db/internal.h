/*
 * What the files of the key store share: the handle, its tables and the few
 * ways in which a record is read or written.  For db/ and its unit tests.
 */
#ifndef DB_INTERNAL_H
#define DB_INTERNAL_H

#include "db/keystore.h"
#include "db/outbox.h"

#include <db.h>
#include <pthread.h>
#include <stdatomic.h>

#define KS_SCHEMA 3
#define LOG_FILE  (8U << 20) /* octets of a log file */

/* Octets of the smallest pages.  A cache is told, as its hash table is as large
 * as for those of 4096 and of no use for four times as many. */
#define SMALL_PAGE 1024U

enum table {
	T_META,	     /* name -> schema, site identity, counters */
	T_CERTS,     /* number -> header and canonical octets */
	T_FPR,	     /* fingerprint of a primary key or subkey -> numbers */
	T_KEYID,     /* key ID, low 32 bits first -> numbers */
	T_EMAIL,     /* normalised address -> numbers */
	T_WORD,	     /* folded word -> numbers */
	T_CHANGE,    /* serial -> when, which certificate, what of it */
	T_OUTBOX,    /* due time and id -> envelope and message */
	T_OUTBOX_ID, /* id -> due time */
	T_SEEN,	     /* digest of a mail -> time */
	T_LIMIT,     /* address or domain and hour -> counters */
	T_POISON,    /* digest -> deaths, time of the last */
	T_PEER,	     /* name -> what it got of the change log */
	T_FORGOTTEN, /* keyed digest of a fingerprint -> nothing */
	T_EXPIRE,    /* moment, table and key of what ends then -> nothing */
	T_TABLES
};

#define KEY_MAX 288 /* octets of the longest key, that of T_EXPIRE */

/* Kept in one record of T_META, written when a transaction commits. */
struct counters {
	uint64_t serial;      /* of the last change */
	uint64_t last_change; /* its time */
	uint64_t certificates;
	uint64_t number;    /* the last one given to a certificate */
	uint64_t outbox;    /* mails waiting */
	uint64_t outbox_id; /* the last one given */
};

struct last_error;

struct keystore {
	char *name; /* as it was given */
	char *dir;
	int lock; /* descriptor; opened once, see store_lock() */
	DB_ENV *env;
	DB *table[T_TABLES];
	DB_TXN *txn;
	DB_TXN *outer;	       /* while ks_try() is on: what it is within */
	enum ks_status failed; /* of a write in this transaction */
	enum ks_status closed; /* KS_OK: it is open; else why not */
	uint64_t tried_with;   /* octets were free when it last did not open */
	atomic_bool panicked;  /* Berkeley DB refuses all from now on */
	struct ks_options options;
	struct counters counters, before; /* now; when the txn began */
	struct counters untried;	  /* when ks_try() was called */
	uint64_t thinned; /* serial up to which ks_thin() has looked */
	char site[33];
	unsigned char secret[PGP_SHA256_LEN]; /* of T_FORGOTTEN; see forget.c */
	struct pgp_fpr *blocked;	      /* sorted */
	size_t nblocked;
	uint64_t *hidden; /* their numbers, sorted; see hidden_load() */
	size_t nhidden;
	bool hidden_known;
	struct last_error *error;

	struct backup *backup;	 /* NULL: none */
	atomic_bool closing;	 /* it is to end */
	const atomic_bool *halt; /* of a copy: what reads there is to end */

	pthread_t checkpointer;
	pthread_mutex_t mutex; /* for `stop` */
	pthread_cond_t wake;
	bool running, stop;
	bool scrub; /* a checkpoint of all is wanted */

	uint64_t again[2]; /* by again_merge(): unchanged, changed */

	struct syncer *syncer; /* for ks_commit_begin() */
	uint64_t durable;      /* outbox ids up to this one are on the disk */
	uint64_t begun;	       /* the same, once what was begun is synced */
};

/* fdatasync(), and posix_fadvise(2) with POSIX_FADV_DONTNEED; others in
 * tests. */
extern int (*sync_file)(int fd);
extern int (*drop_file)(int fd);

/* Set while the calling thread has Berkeley DB sync what is no open store's:
 * when that fails, none has lost anything. */
extern _Thread_local bool sync_is_of_copy;

/* ---- numbers as octets, so that the order of keys is theirs -------------- */

static inline void
be32_put(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static inline uint32_t
be32_get(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void
be64_put(unsigned char *p, uint64_t v)
{
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

static inline uint64_t
be64_get(const unsigned char *p)
{
	return (uint64_t)be32_get(p) << 32 | be32_get(p + 4);
}

/*
 * The number of a certificate: given when it is first stored, ever growing,
 * never given again, 0 to none.  What finds it counts NUMBER_SUBKEY in, where
 * that is a subkey's: so those whose primary key it is come first.
 */
#define NUMBER_LEN    5
#define NUMBER_SUBKEY (1ULL << 39)
#define NUMBER_MAX    (NUMBER_SUBKEY - 1)

static inline void
number_put(unsigned char p[NUMBER_LEN], uint64_t v)
{
	p[0] = (unsigned char)(v >> 32);
	be32_put(p + 1, (uint32_t)v);
}

static inline uint64_t
number_get(const unsigned char p[NUMBER_LEN])
{
	return (uint64_t)p[0] << 32 | be32_get(p + 1);
}

/* A time as a key wants it: nothing is older than 1970. */
static inline uint64_t
moment(time_t t)
{
	return t < 0 ? 0 : (uint64_t)t;
}

/* ---- where it lies (place.c) --------------------------------------------- */

/* The directory and its lock, as far as it has not got them yet. */
enum ks_status store_directory(struct keystore *, const char *dir);

/*
 * Before the files are opened, whether they can be.  If whoever had the store
 * last has not ended well they are synced and read again: a sync may have
 * failed, and then Linux shows in them what the disk does not have; and what
 * recovery finds in the log it takes for safe.
 */
enum ks_status store_files(struct keystore *);

/* The next one may take what Linux shows. */
enum ks_status store_ended_well(struct keystore *);

/* Whether so many octets more would leave enough free for all purposes. */
enum ks_status room_for(const struct keystore *, uint64_t octets);

/* Octets that are free; 0: not known. */
uint64_t room_left(const struct keystore *);

/* Octets of all files. */
enum ks_status disk_used(const struct keystore *, uint64_t *octets);

/* Octets that must be free on a file system of `total` octets. */
uint64_t room_needed(uint64_t free_space, uint64_t total, enum ks_room);

/* Whether as much of `free_space` is free as the purpose asks for. */
enum ks_status room(
    const struct keystore *, uint64_t free_space, enum ks_room purpose);

/* Ends a backup that is under way, and waits for that; what became of it can
 * still be asked for, until the second forgets it (backup.c). */
void backup_end(struct keystore *);
void backup_drop(struct keystore *);

/* Writes the counters into T_META. */
enum ks_status counters_write(struct keystore *);

/* ---- syncing beside other work (txn.c) ----------------------------------- */

/* For the life of the handle; NULL: no memory, or no descriptor. */
struct syncer *syncer_new(void);
void syncer_free(struct syncer *);

/* Its thread, while the environment is open; what it has in hand it ends. */
enum ks_status syncer_start(struct keystore *);
void syncer_stop(struct keystore *);

/* ---- opening, closing (env.c) -------------------------------------------- */

/* All but directory and lock; after a failure of store_up() only store_down()
 * may follow. */
enum ks_status store_up(struct keystore *);
enum ks_status store_down(struct keystore *);

const char *table_file(enum table);
/* What a table's handle is given before it is opened. */
int table_shape(DB *, enum table);

/* ---- what went wrong (error.c) ------------------------------------------- */

/* Of the handle; false: no memory. */
bool error_new(struct keystore *);
void error_free(struct keystore *);

/* Keeps what Berkeley DB says as the cause, from any thread. */
void note_error(const DB_ENV *, const char *prefix, const char *text);
void forget_error(struct keystore *);

/* What a system call (errno) said about a file, which is kept as the cause. */
enum ks_status system_error(struct keystore *, const char *path);

/* What the operator can do about a store that does not open (NULL: there is
 * none), lent until the thread asks again. */
const char *advice(const struct keystore *, enum ks_status);

/* ---- a load that was interrupted (bulk_files.c) -------------------------- */

/* Before the tables are opened, and after it: KS_TOO_NEW and KS_TOO_OLD, too,
 * and then nothing was touched. */
enum ks_status bulk_recover(struct keystore *);
enum ks_status bulk_settle(struct keystore *);

/* Of tests: called at each point where a load may die. */
extern void (*bulk_fault)(const char *point);

/* ---- records (table.c) --------------------------------------------------- */

/* What a return value of Berkeley DB means; within a transaction, a failure
 * is remembered and makes ks_commit() fail. */
enum ks_status table_status(struct keystore *, int ret);

/* What its ENOMEM means: it says that of its cache, too, when a full disk does
 * not take what that holds. */
enum ks_status memory_status(const struct keystore *);

/* Orders fingerprints as the tables do; pgp_fpr_cmp() need not. */
int fpr_order(const struct pgp_fpr *, const struct pgp_fpr *);

/* Reads a record into buf[size]; *len is its length.  A longer one is
 * KS_CORRUPT. */
enum ks_status table_get(struct keystore *, enum table, const void *key,
    size_t klen, void *buf, size_t size, size_t *len);
/* The same, but a longer one is cut. */
enum ks_status table_get_part(struct keystore *, enum table, const void *key,
    size_t klen, void *buf, size_t size, size_t *len);
/* A whole record as a blob that the caller frees. */
enum ks_status table_get_blob(struct keystore *, enum table, const void *key,
    size_t klen, struct pgp_blob *);

/* Writes; a record of that key is replaced. */
enum ks_status table_put(struct keystore *, enum table, const void *key,
    size_t klen, const void *value, size_t vlen);
enum ks_status table_delete(
    struct keystore *, enum table, const void *key, size_t klen);

/* The pair (key, number) of an index: added, removed, asked for. */
enum ks_status pair_add(struct keystore *, enum table, const void *key,
    size_t klen, uint64_t number);
enum ks_status pair_remove(struct keystore *, enum table, const void *key,
    size_t klen, uint64_t number);
enum ks_status pair_find(struct keystore *, enum table, const void *key,
    size_t klen, uint64_t number);

/*
 * A walk over a table with room for any key and a small value.  While one is
 * open outside a transaction nothing may be written.  walk_close() may be
 * called twice; what was read stays.
 */
struct walk {
	struct keystore *ks;
	DBC *dbc;
	unsigned char key[KEY_MAX];
	size_t klen;
	unsigned char value[64];
	size_t vlen;
};
enum ks_status walk_open(struct keystore *, enum table, struct walk *);
/* By a flag of DBC->get(); DB_SET... flags take key, klen and value, vlen.
 * A value is cut to the room there is. */
enum ks_status walk_get(struct walk *, uint32_t flag);
/* The same with a whole value: *out is made larger where it must be, and is the
 * caller's to free, also when this fails. */
enum ks_status walk_get_blob(
    struct walk *, uint32_t flag, struct pgp_blob *out);
enum ks_status walk_delete(struct walk *);
void walk_close(struct walk *);
/* The number that an index has where the walk stands, or KS_CORRUPT. */
enum ks_status walk_number(const struct walk *, uint64_t *);

/* How many records a table holds, duplicates each for itself. */
enum ks_status table_count(struct keystore *, enum table, uint64_t *);

/* ---- certificates (keystore.c) ------------------------------------------- */

/*
 * The value of T_CERTS: schema 1, flags 1, length of the fingerprint 1, zero 1,
 * changed 8, serial 8, the fingerprint and zeros 32, SHA-256 of the rest, then
 * the canonical octets.  What stands up to the fingerprint fits into a walk's
 * value.
 */
#define CERT_FLAGS	1
#define CERT_UNVERIFIED 0x01 /* see struct pgp_cert */
#define CERT_FPR_LEN	2
#define CERT_SERIAL	12
#define CERT_FPR	20
#define CERT_DIGEST	(CERT_FPR + PGP_FPR_MAX)
#define CERT_HEADER	(CERT_DIGEST + PGP_SHA256_LEN)

/* Checks the header and reads the rest; KS_CORRUPT when it is not sound. */
enum ks_status cert_read(
    const struct pgp_blob *value, struct pgp_cert **, struct ks_meta *);

/* Whether the octets are those that were written. */
bool cert_is_whole(const struct pgp_blob *value);

/* The certificate with this primary key; KS_NOT_FOUND. */
enum ks_status cert_number(
    struct keystore *, const struct pgp_fpr *, uint64_t *number);

/* Reads the header alone; fpr and meta may be NULL. */
enum ks_status cert_head(struct keystore *, uint64_t number,
    struct pgp_fpr *fpr, struct ks_meta *meta);
enum ks_status cert_meta(
    struct keystore *, const struct pgp_fpr *, struct ks_meta *);

/* The whole value, which the caller frees.  One that is not there is damage:
 * something leads to it. */
enum ks_status cert_blob(struct keystore *, uint64_t number, struct pgp_blob *);

/* As ks_get() and ks_next(), for certificates on the block list too. */
enum ks_status cert_get(struct keystore *, const struct pgp_fpr *,
    struct pgp_cert **, struct ks_meta *);
enum ks_status cert_next(struct keystore *, uint64_t *number, struct pgp_fpr *);

/* The value of a certificate, which the caller frees. */
enum ks_status cert_value(
    const struct pgp_cert *, const struct ks_meta *, struct pgp_blob *);

/* Writes `cert`, which replaces `old` (NULL: nothing), with its indexes. */
enum ks_status cert_store(struct keystore *, uint64_t number,
    const struct pgp_cert *cert, const struct pgp_blob *octets,
    const struct pgp_cert *old, const struct ks_meta *);

/* ---- who is not welcome (forget.c) --------------------------------------- */

/* Makes the secret of a store that has none, or reads it. */
enum ks_status secret_load(struct keystore *);

bool is_blocked(const struct keystore *, const struct pgp_fpr *);
/* The numbers of what is blocked, for is_hidden(): once for each list, since
 * nothing on it is stored anew. */
enum ks_status hidden_load(struct keystore *);
bool is_hidden(const struct keystore *, uint64_t number);
enum ks_status is_forgotten(
    struct keystore *, const struct pgp_fpr *, bool *yes);

/* ---- the change log (change.c) ------------------------------------------- */

/* The value of an entry, malloc'ed; NULL: no memory. */
unsigned char *change_value(const struct pgp_fpr *, const struct ks_origin *,
    const unsigned char (*digest)[KS_DIGEST], size_t ndigests, size_t *len);

/* Adds an entry, whose serial is counters.serial then.  digest NULL: the whole
 * certificate is new. */
enum ks_status change_add(struct keystore *, const struct pgp_fpr *,
    const struct ks_origin *, const unsigned char (*digest)[KS_DIGEST],
    size_t ndigests);

/* Reads an entry, which then lends from `value`, or KS_CORRUPT. */
enum ks_status change_parse(const unsigned char *key, size_t klen,
    unsigned char *value, size_t vlen, struct ks_entry *);

/* Makes an entry one of a certificate that is new as a whole, if it is there;
 * all else of it stays. */
enum ks_status change_whole(struct keystore *, uint64_t serial);

/* Time and certificate of the entry that a walk over T_CHANGE stands on; the
 * rest is left as it is. */
enum ks_status change_head(const struct walk *, struct ks_entry *);

/* Of a record of T_PEER. */
enum ks_status peer_parse(
    const unsigned char *value, size_t vlen, struct ks_peer *);

/* ---- what user IDs are found by (keystore_words.c) ----------------------- */

#define WORD_MAX      64 /* octets of a word, cut on a character */
#define WORD_CUT(len) ((len) > WORD_MAX - 4) /* it may be */
#define WORDS_MAX     512 /* distinct words of one certificate */
#define ADDRESS_MAX   254 /* octets, RFC 5321, 4.5.3.1.3 less the brackets */

/*
 * A user ID or a query as UTF-8, ended by a NUL that *len does not count;
 * octets that are no UTF-8 are read as ISO 8859-1, and control characters
 * become blanks.  NULL: no memory.  The caller frees.
 */
char *text_utf8(const void *, size_t, size_t *len);

/* Folds case and brings to NFC.  NULL: no memory.  The caller frees. */
char *text_fold(const char *utf8, size_t, size_t *len);

/* How many octets of marks a folded text begins with.  In a longer text they
 * may stand behind a letter and belong to its word. */
size_t text_marks(const char *folded, size_t);

/* Calls visit() for each word of folded text until it returns false. */
void words_each(const char *folded, size_t,
    bool (*visit)(void *ctx, const char *word, size_t len), void *ctx);

/*
 * One address, blanks around it left off, in the form that is looked up.
 * KS_NOT_FOUND: this is none.
 */
enum ks_status address_normal(
    const char *utf8, size_t, char out[ADDRESS_MAX + 1]);

/* The same for what stands in the last <...> of a user ID, or for all of it. */
enum ks_status address_of_userid(
    const char *utf8, size_t, char out[ADDRESS_MAX + 1]);

/* One key of an index table that leads to a certificate. */
struct entry {
	unsigned char table, len;
	bool subkey; /* its number counts NUMBER_SUBKEY in */
	unsigned char key[ADDRESS_MAX];
};
/* What stands there of the certificate with this number. */
uint64_t entry_number(const struct entry *, uint64_t number);

struct entries { /* a sorted set */
	struct entry *entry;
	size_t n, size;
	size_t words;
};
/* All that a certificate is to be found by, of an unverified one whole
 * fingerprints only; freed with entries_free(). */
enum ks_status entries_of(const struct pgp_cert *, struct entries *);
void entries_free(struct entries *);
int entry_cmp(const struct entry *, const struct entry *);

/* ---- finding (find.c, search.c) ------------------------------------------ */

struct hits {
	const struct keystore *ks; /* whose block list counts */
	uint64_t *number;
	size_t n, size;
};
/* hidden_load() was called before. */
enum ks_status hits_add(struct hits *, uint64_t number);
/* Sorts, and leaves each once. */
void hits_unique(struct hits *);
/* Whose numbers they are, in the order of fingerprints; what has gone since is
 * left out. */
enum ks_status hits_found(
    struct keystore *, const struct hits *, struct ks_found *);

/* How many records a key has, without reading them. */
enum ks_status duplicates_count(
    struct keystore *, enum table, const void *key, size_t klen, uint64_t *n);

struct word_count {
	const char *word;
	uint64_t n; /* certificates that have it */
};
/* Whether finding those that have all of the words, rarest first, would hold up
 * other work for too long. */
bool words_too_long(const struct word_count *, size_t n);

/* ks_find() for a literal: ks_search_step() to the end. */
enum ks_status literal_find(
    struct keystore *, const struct ks_query *, size_t max, struct ks_found *);

/* ---- what passes after a time (seen.c) ----------------------------------- */

/* The moment at which a record of T_SEEN, T_LIMIT or T_POISON ends. */
enum ks_status expires_at(enum table, const unsigned char *key, size_t klen,
    const unsigned char *value, size_t vlen, uint64_t *when);

/* A key of T_EXPIRE; returns its length. */
size_t expire_key(unsigned char out[KEY_MAX], uint64_t when, enum table,
    const unsigned char *key, size_t klen);

#endif
