/*
 * The jailed children of one helper: what jailer.c (their work) and
 * jailer_slot.c (their life and death) know of them, and nobody else.
 */
#ifndef JAILER_SLOT_H
#define JAILER_SLOT_H

#include "mailkeyd/ipc.h"
#include "mailkeyd/jailer.h"

#include <poll.h>
#include <sys/types.h>

#define JAILER_CORE   3 /* the one socket; in a child, its own */
#define JAILER_ENDING 32

/* One child at most, and what it does. */
struct slot {
	enum {
		EMPTY,	/* no child: one is made at once, unless `wait` */
		READY,	/* a locked child, waiting for work */
		BUSY,	/* reads something */
		BETWEEN /* two records of a series; pid 0: it died */
	} state;
	bool wait; /* the last child came to nothing: not before it is needed */
	bool series;
	bool all; /* the child is prepared for everything */
	struct ipc_msg
	    job; /* with its descriptors, while BUSY with no series */
	pid_t pid;
	int sock;
	unsigned served;
	uint64_t id;
	int64_t deadline; /* ms on CLOCK_MONOTONIC, while BUSY */
	uint64_t peak;	  /* octets of memory that the last one had used */
};

struct jailer {
	const struct jailer_kind *kind;
	struct jailer_config config; /* the beginning of `all` */
	const void *all;
	struct jail *jail;
	struct slot *slots;
	struct pollfd *polls; /* the core's, then one for each slot */
	uint64_t mapped;      /* octets that a child begins with */
	int null;	      /* /dev/null */
	struct ipc_msg queue[JAILER_QUEUE]; /* a ring of jobs */
	size_t first, nqueue;
	/* Ended, and not yet waited for: the kernel takes its time to free a
	 * process, which the next job need not wait for. */
	pid_t ending[JAILER_ENDING];
	size_t nending;
};

/* Makes a child, locked and READY.  0, or -1 with errno. */
int slot_fill(const struct jailer *, struct slot *);

/* Ends the child, whatever it does, and returns its status. */
int slot_end(struct slot *);

/* The same for a child that has done its work well, without waiting for it:
 * that is the work of slot_reap(). */
void slot_retire(struct jailer *, struct slot *);
void slot_reap(struct jailer *);

/* Moves the soft limit on processor time, which counts over a process's life,
 * so many seconds on from what the child has used so far.  0, or -1 with
 * errno. */
int slot_renew_time(const struct slot *, uint32_t seconds);

#endif
