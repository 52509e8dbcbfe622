/*
 * What the helper programs share that keep jailed children: mailkeyd-parser,
 * whose children read mails and files, and mailkeyd-verifier, whose children
 * judge signatures.
 *
 *   core -> helper   JAILER_CONFIG  fd[0]: a struct that begins with struct
 *                                   jailer_config
 *   core -> helper   JAILER_JOB     id, fd[0]: what to work on, fd[1]: an empty
 *                                   memfd for the record; a: the child's
 *   core -> helper   JAILER_SERIES  the same, with several records to come
 *   core -> helper   JAILER_MORE    id, fd[1]: the next memfd (a series)
 *   core -> helper   JAILER_DROP    id: end this series
 *   helper -> core   JAILER_DONE    id, status below; a: 1 when a series has
 *                                   more, b: the child's; text: why
 *
 * Jobs wait in the helper for a free child, JAILER_QUEUE of them at most, so
 * that no child waits while the core is busy.  Each id gets one DONE for each
 * JOB, SERIES and MORE.
 */
#ifndef JAILER_H
#define JAILER_H

#include "mailkeyd/jail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JAILER_QUEUE 64

enum jailer_type {
	JAILER_CONFIG = 1,
	JAILER_JOB,
	JAILER_SERIES,
	JAILER_MORE,
	JAILER_DROP,
	JAILER_DONE
};

enum jailer_status {
	JAILER_OK,	 /* the record lies in the memfd */
	JAILER_DIED,	 /* the child died of this job, or passed its time */
	JAILER_NO_CHILD, /* no child could be made, or somebody else killed it:
			    try later */
	JAILER_AGAIN	 /* from a child only: nothing was written; this job
			    needs one that is prepared for all */
};

struct jailer_config {
	uint32_t size; /* of the whole struct: both ends are of one build */
	uint32_t children;
	uint32_t jobs;	   /* that one child does before it is replaced */
	uint32_t deadline; /* seconds of wall clock for a job */
	uint32_t cpu;	   /* seconds of processor time for a job */
	uint64_t memory;   /* RLIMIT_AS */
};

/* How a child ends, when nothing kills it. */
enum jailed_exit {
	JAILED_DONE, /* did its jobs, or its socket was closed */
	JAILED_NO_MEMORY,
	JAILED_NO_LOCK, /* the jail could not be locked: no job was begun */
	JAILED_FAILED	/* a descriptor could not be read or written */
};

struct jailer_kind {
	enum jail_work work;
	uint64_t record_max; /* octets */
	size_t config_size;
	bool (*config_sound)(const void *config);
	/* What libraries would open files for, once for all children. */
	void (*prepare)(const void *config);
	/* What is dear and seldom needed, in a child of its own before the jail
	 * is locked, after JAILER_AGAIN; or NULL. */
	void (*prepare_all)(void);
	/* In the child: does what comes over the socket. */
	enum jailed_exit (*serve)(int sock, const void *config);
};

/* The whole of such a program, with its socket at descriptor 3; returns how to
 * exit. */
int jailer_main(int argc, const struct jailer_kind *);

#endif
