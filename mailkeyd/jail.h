/*
 * Locking a process down before it reads what a stranger wrote.
 */
#ifndef JAIL_H
#define JAIL_H

#include <stdint.h>

struct jail {
	uint64_t memory;    /* RLIMIT_AS; 0 = as it is */
	uint32_t cpu;	    /* seconds of processor time: the soft limit, which
			       the parent may move on with prlimit(2) */
	uint64_t file_size; /* RLIMIT_FSIZE: of a record */
	uint32_t files;	    /* RLIMIT_NOFILE */
};

/*
 * Locks the calling process, which must have one thread and no further need of
 * files, programs, sockets or processes: limits, no_new_privs, Landlock as far
 * as the kernel has it, seccomp.  It may then read and write the descriptors
 * that it holds or gets, use memory, and exit; any other call kills it.
 * 0; -1 with errno, and *what names the step that failed.
 */
int jail_lock(const struct jail *, const char **what);

/* Landlock alone, a part of the above: 0, also where there is none, or -1. */
int jail_lock_files(void);

/* The version of Landlock that the kernel has; 0 = none. */
int jail_landlock(void);

#endif
