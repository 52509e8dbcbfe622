/*
 * A file of certificates into the store: read in the jail, judged by gpg,
 * committed batch by batch, like any mail but without an answer.
 */
#ifndef IMPORT_H
#define IMPORT_H

#include "mailkeyd/gateway.h"

struct import;

struct import_counts {
	uint64_t certificates; /* found */
	uint64_t added, changed, unchanged, refused;
	uint64_t problems;		 /* as often as problem() came */
	uint64_t secret;		 /* secret keys found, none kept */
	struct pgp_left_out refused_for; /* refused certificates, by reason */
	struct pgp_left_out left; /* parts left out of those that were kept */
};

struct import_calls {
	/* After each batch; offset is in octets of the file. */
	void (*progress)(
	    void *ctx, const struct import_counts *, uint64_t offset);
	/* A sentence on something in the file that could not be read. */
	void (*problem)(void *ctx, const char *);
	/* Once, at the end; why is NULL when the whole file was worked on, else
	 * what stopped it.  What was committed before stays.  The callee frees
	 * the import. */
	void (*done)(void *ctx, const struct import_counts *, const char *why);
};

/* Starts; fd (lent) is a file or pipe; `sync`: peers are to hear of it.  The
 * calls come from the loop.  NULL: no memory. */
struct import *import_new(const struct gateway_parts *, int fd, bool sync,
    const struct import_calls *, void *ctx);

/* Stops after what is in hand; from within `done`, or before it. */
void import_free(struct import *);

#endif
