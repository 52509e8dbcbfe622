/*
 * Files of certificates and old mails into the store: read in the jail, judged
 * like what any mail brings, committed batch by batch, without an answer.
 */
#ifndef IMPORT_H
#define IMPORT_H

#include "mailkeyd/gateway.h"
#include "mailkeyd/import_report.h"

struct import;

struct import_counts {
	uint64_t certificates; /* found */
	uint64_t added, changed, unchanged, refused;
	uint64_t problems;	  /* that something could not be read */
	uint64_t secret;	  /* secret keys found, none kept */
	bool nothing;		  /* none of it was stored after all */
	uint64_t mails, replayed; /* looked at; with ADD or INCREMENTAL */
	struct pgp_left_out left; /* parts left out of those that were kept */
	struct import_report report; /* what was refused, and problems */
};

#define IMPORT_NAME 200 /* octets of a name in the report */

/* One file of certificates, one mail, or some certificates of a file. */
struct import_source {
	int fd;	    /* import_take() takes it over; a file is read from
		       where it stands */
	bool mail;  /* one mail: a memfd */
	bool piece; /* a memfd with some of the certificates of a file */
	char name[IMPORT_NAME]; /* a clean text */
	uint64_t at;		/* of a mail or piece: where it lies in its
				   file */
	struct ks_mark mark;	/* how far we are when all of it is stored */
};

struct import_calls {
	/* import_take() may be called: from the loop, once for each take. */
	void (*wants)(void *ctx);
	/* After each batch; offset is in octets of the newest file. */
	void (*progress)(
	    void *ctx, const struct import_counts *, uint64_t offset);
	/* A sentence on something that could not be read, and where; of each
	 * class the first few. */
	void (*problem)(void *ctx, const char *);
	/* Once, at the end; why is NULL when everything was worked on, else
	 * what stopped it.  What was committed before stays.  The callee frees
	 * the import. */
	void (*done)(void *ctx, struct import_counts *, const char *why);
};

/*
 * Starts, and asks for the first source; `sync`: peers are to hear of it;
 * `octets`: of all that is to come, 0: not known.  The calls come from the
 * loop.  Without a daemon much is loaded into an empty store at once
 * (db/bulk.h): until the end nothing of it is stored then, and the last call
 * before `done` takes long.  NULL: no memory.
 */
struct import *import_new(const struct gateway_parts *, bool sync,
    uint64_t octets, const struct import_calls *, void *ctx);

/* Takes a source, after `wants`.  Without memory the import fails. */
void import_take(struct import *, const struct import_source *);

/* There are no more: in place of import_take(). */
void import_end(struct import *);

/* Stops after what is in hand; from within `done`, or before it. */
void import_free(struct import *);

#endif
