/*
 * What the parts of an import share: batches on their way from the jail to the
 * store, and who works on them.
 */
#ifndef IMPORT_BATCH_H
#define IMPORT_BATCH_H

#include "db/bulk.h"
#include "mailkeyd/import.h"
#include "mailkeyd/intake.h"

#include <sys/queue.h>

/* One record of the jail: some certificates of a file, or a mail. */
struct batch {
	TAILQ_ENTRY(batch) next;
	struct import *import;
	struct import_source source; /* fd: the mail's, else -1 */
	struct reading reading;	     /* of a mail */
	struct mail *mail;
	struct intake *intake;
	enum { READS, READ, JUDGED } state; /* READ with an intake: judging */
	bool judging;
	bool alone;  /* judged with nothing before it uncommitted */
	bool marked; /* source.mark holds once it is committed */
	bool again;  /* what was held, when all the rest is stored */
	bool stored; /* these certificates were, before, and counted */
};

TAILQ_HEAD(batch_list, batch);

struct import {
	struct gateway_parts parts;
	const struct import_calls *calls;
	void *ctx;
	bool sync;	      /* peers are to hear of it */
	uint64_t octets;      /* of all sources, 0: not known */
	bool no_bulk;	      /* it was looked into */
	struct ks_bulk *bulk; /* into an empty store: past transactions */
	struct loop_timer *turn;
	struct batch_list batches;
	/* Bare revocations, until the load is written; and certificates for
	 * which others may still come, see intake_waits(). */
	struct batch_list held;
	size_t held_octets; /* of these certificates */
	unsigned nbatches, njudging;
	/* the file that is read, and its jail */
	struct import_source file; /* fd -1: none */
	struct reading reading;
	bool reads;
	bool asked; /* for the next source */
	bool ended; /* there is none */
	bool done;
	bool dropped; /* by the caller, while batches are judged */
	bool logged;
	struct import_counts counts;
	const char *why;
	char text[128];
};

/* ---- import.c ------------------------------------------------------------ */

/* Another step, in the next turn of the loop. */
void import_turn(struct import *);
/* The first reason is the one that is told. */
void import_fail(struct import *, const char *why);

/* At the end of the queue; NULL: the import has failed. */
struct batch *batch_new(struct import *, const struct import_source *);
void batch_free(struct batch *); /* not while it is judged */

/* ---- import_read.c ------------------------------------------------------- */

/* Reads on, or asks for a source, if there is room for more. */
void import_read(struct import *);
/* Leaves the file that is read, wherever that is. */
void import_close(struct import *);

/* ---- import_store.c ------------------------------------------------------ */

/* Stores what is ready at the head of the queue.  False: nothing is. */
bool import_commit(struct import *);
/* Whether certificate i of the batch was taken out of it to be looked at once
 * more. */
bool batch_was_held(const struct batch *, size_t i);
/* Queues some of what was held, when all else is stored.  False: nothing is
 * held. */
bool import_held_begin(struct import *);
/* Whether nothing more can go into the load into an empty store. */
bool import_bulk_ends(const struct import *);
/* Then the store is there, or it is as it was. */
void import_bulk_finish(struct import *);

/* ---- import_tell.c ------------------------------------------------------- */

/* Something in it could not be read; `class` lives for ever. */
void batch_problem(struct batch *, const char *class, const char *line);
/* Counts what holds once a batch is committed. */
void batch_count(struct batch *);
void import_count(struct import_counts *, enum ks_change);

#endif
