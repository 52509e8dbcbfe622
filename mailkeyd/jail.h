/*
 * Locking a process down before it reads what a stranger wrote.
 */
#ifndef JAIL_H
#define JAIL_H

#include <stdint.h>

struct jail_limits {
	uint64_t memory;    /* RLIMIT_AS; 0 = as it is */
	uint32_t cpu;	    /* seconds of processor time: the soft limit, which
			       the parent may move on with prlimit(2) */
	uint64_t file_size; /* RLIMIT_FSIZE: of a record */
	uint32_t files;	    /* RLIMIT_NOFILE */
	uint32_t keep;	    /* descriptors from this one on are closed; 0 = none
			       but the jail's own */
};

/*
 * What is done inside.  All may use memory, exit, and talk over the descriptors
 * that they hold or get; readers also read streams and clocks; who talks to a
 * server waits, too, over a socket that it is given, and makes memfds.  Any
 * other call kills.
 */
enum jail_work { JAIL_READ, JAIL_VERIFY, JAIL_TALK };

/*
 * Prepares a jail that any number of processes may be locked into: the filter
 * and the Landlock ruleset are made once and inherited.  NULL with errno, and
 * *what names the step that failed.
 */
struct jail;
struct jail *jail_new(
    enum jail_work, const struct jail_limits *, const char **what);
void jail_free(struct jail *);

/*
 * Locks the calling process, which must have one thread and no further need of
 * files, programs, sockets or processes: limits, no_new_privs, Landlock as far
 * as the kernel has it, seccomp.  0; -1 with errno, and *what as above.
 */
int jail_lock(const struct jail *, const char **what);

/* Landlock alone, a part of the above: 0, also where there is none, or -1. */
int jail_lock_files(const struct jail *);

/* The version of Landlock that the kernel has; 0 = none. */
int jail_landlock(void);

#endif
