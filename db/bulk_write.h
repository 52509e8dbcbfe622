/*
 * What the files of a load share: the new files and their writers.
 */
#ifndef BULK_WRITE_H
#define BULK_WRITE_H

#include "db/internal.h"

#define BULK_TABLES 6

/* Those that a load writes: certificates, the change log, the indexes in the
 * order of their numbers. */
extern const enum table bulk_tables[BULK_TABLES];

void bulk_point(const char *point); /* calls bulk_fault() */

/* What errno, or a return value of Berkeley DB or of the writer, means. */
enum ks_status bulk_errno(void);
enum ks_status bulk_status(int ret);

/* The path of a file, which the caller frees; NULL: no memory. */
char *bulk_path(const char *dir, const char *name);

/* Removes the new files and their directory. */
enum ks_status bulk_remove(const char *dir);

/* What is loaded, each with a change of its own; where it came from holds for
 * what is merged into it, too. */
struct bulk_done {
	uint64_t certificates;
	struct ks_origin origin; /* `sent` is none */
};

/* Says that all files are there.  Synced; it is whole, or not there. */
enum ks_status bulk_ready(const char *dir, const struct bulk_done *);

/* ---- keys that came before in the same load (bulk_again.c) --------------- */

/* The file in `dir`, with the flags of open(2): O_RDONLY, or how it is made.
 * NULL: errno. */
FILE *again_open(const char *dir, int flags);
enum ks_status again_add(FILE *, const struct pgp_blob *value);
enum ks_status again_sync(FILE *);
/* Merges what the file has; once more, nothing changes.  ks->again counts. */
enum ks_status again_merge(
    struct keystore *, const char *dir, const struct ks_origin *);

/* ---- writers (bulk_write.c) ---------------------------------------------- */

/* One new file that is filled in the order of its keys. */
struct bulk_writer {
	DB *db;
	DBT chunk;
	void *next;
	enum table table;
	/* of an index: see bulk_write.c */
	unsigned char last[KEY_MAX];
	size_t last_len, unpadded;
	struct pads {
		unsigned char *key; /* length 2, octets; ... */
		size_t len, size;
	} pads, pads_before;
};

/* All return 0, an errno or what Berkeley DB returns. */

/* An environment for files in `dir`, with a cache of so many octets. */
int bulk_env(const char *dir, uint32_t cache, DB_ENV **);

int bulk_writer_begin(struct bulk_writer *, DB_ENV *, enum table);
/* Keys, and values of one key, only grow. */
int bulk_writer_put(struct bulk_writer *, const void *key, size_t klen,
    const void *value, size_t vlen);
/* Syncs and closes; `ret` is how it went so far.  For one that is all zeros,
 * too. */
int bulk_writer_end(struct bulk_writer *, int ret);

/* Berkeley DB's own look at the whole file. */
int bulk_file_verify(DB_ENV *, enum table);

#endif
