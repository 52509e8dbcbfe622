/*
 * For tests of a store on a file system of their own: a mount namespace of this
 * process.
 */
#ifndef TEST_MOUNTS_H
#define TEST_MOUNTS_H

#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>

static bool mounts; /* this process may mount */

static int
mounts_setup(void **state)
{
	(void)state;
	mounts = (unshare(CLONE_NEWNS) == 0 ||
		     unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
		 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return 0;
}

#endif
