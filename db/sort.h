/*
 * Records sorted outside of memory: any number goes in, in any order, and they
 * come out by key and then by value, as octets.
 */
#ifndef DB_SORT_H
#define DB_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sorter;

struct sort_record { /* lent until the next one */
	const unsigned char *key, *value;
	size_t klen, vlen;
};

/* At most `memory` octets are used, in which one record must fit; the rest goes
 * to a file in `dir` that has no name.  NULL: no memory. */
struct sorter *sorter_new(const char *dir, size_t memory);
void sorter_free(struct sorter *);

/* 0, or -1 with errno.  klen at most 65535. */
int sorter_add(struct sorter *, const void *key, size_t klen, const void *value,
    size_t vlen);

/* The next record; after the first call nothing is added any more.  1; 0 at the
 * end; -1 with errno. */
int sorter_next(struct sorter *, struct sort_record *);

#endif
