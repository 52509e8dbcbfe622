/*
 * Loading many certificates into an empty store that nobody else has open.
 */
#ifndef BULK_H
#define BULK_H

#include "db/keystore.h"

struct ks_bulk;

struct ks_bulk_counts {
	uint64_t added, changed, unchanged;
};

/*
 * Begins a load into a store that has no certificate, never had one, and knows
 * nothing of any: else KS_BUSY.  `memory` octets are used for sorting, some 16
 * for each certificate, and 180 MiB for writing; the rest lies on the disk, up
 * to one and a half times the size of the store to come.  Until
 * ks_bulk_finish() the store stays as it is, and nothing of the load is seen.
 * KS_FULL, here and later: less is free than free_space.
 */
enum ks_status ks_bulk_begin(struct keystore *, size_t memory,
    const struct ks_origin *, struct ks_bulk **);

/* A cleaned, verified certificate. */
enum ks_status ks_bulk_put(struct ks_bulk *, const struct pgp_cert *);

/*
 * Writes the store and frees the load.  Takes long.  KS_OK: all is stored.
 * Otherwise, and when the process dies, either nothing of it is, or all; what
 * opens the store then may have to end it.  A store that could not be opened
 * again can only be closed.
 */
enum ks_status ks_bulk_finish(struct ks_bulk *, struct ks_bulk_counts *);

/* Gives it up; NULL is fine. */
void ks_bulk_drop(struct ks_bulk *);

#endif
