/*
 * The jail: limits, Landlock and seccomp around a process.
 */
#include "mailkeyd/jail.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- limits -------------------------------------------------------------- */

static int
limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit old, new;

	if (getrlimit((__rlimit_resource_t)resource, &old) == -1)
		return -1;
	new.rlim_max = hard < old.rlim_max ? hard : old.rlim_max;
	new.rlim_cur = soft < new.rlim_max ? soft : new.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &new);
}

static int
set_limits(const struct jail *j)
{
	/* the hard limit on processor time stays: the parent moves the soft
	 * one on, and could not move a hard one */
	if (limit(RLIMIT_CPU, j->cpu, RLIM_INFINITY) == -1 ||
	    limit(RLIMIT_FSIZE, j->file_size, j->file_size) == -1 ||
	    limit(RLIMIT_NOFILE, j->files, j->files) == -1 ||
	    limit(RLIMIT_NPROC, 0, 0) == -1 || limit(RLIMIT_CORE, 0, 0) == -1)
		return -1;
#ifndef SANITIZED /* whose shadow takes terabytes of address space */
	if (j->memory != 0 && limit(RLIMIT_AS, j->memory, j->memory) == -1)
		return -1;
#endif
	return 0;
}

/* ---- Landlock ------------------------------------------------------------ */

/* As in <linux/landlock.h>, which on older systems lacks the later rights. */
struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* since version 4 */
	uint64_t scoped;	     /* since version 6 */
};
#define RULESET_VERSION	   1u
#define LANDLOCK_FS_1	   ((UINT64_C(1) << 13) - 1)
#define LANDLOCK_REFER	   (UINT64_C(1) << 13)
#define LANDLOCK_TRUNCATE  (UINT64_C(1) << 14)
#define LANDLOCK_IOCTL_DEV (UINT64_C(1) << 15)
#define LANDLOCK_NET	   UINT64_C(3)
#define LANDLOCK_SCOPES	   UINT64_C(3)

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif

int
jail_landlock(void)
{
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

/* Handles every right that the running kernel knows, and grants none. */
int
jail_lock_files(void)
{
	struct ruleset rules = {.handled_access_fs = LANDLOCK_FS_1};
	size_t size = offsetof(struct ruleset, handled_access_net);
	int version = jail_landlock();
	long fd;
	int rc;

	if (version == 0) /* the operator may insist: jail_landlock() */
		return 0;
	if (version >= 2)
		rules.handled_access_fs |= LANDLOCK_REFER;
	if (version >= 3)
		rules.handled_access_fs |= LANDLOCK_TRUNCATE;
	if (version >= 4) {
		rules.handled_access_net = LANDLOCK_NET;
		size = offsetof(struct ruleset, scoped);
	}
	if (version >= 5)
		rules.handled_access_fs |= LANDLOCK_IOCTL_DEV;
	if (version >= 6) {
		rules.scoped = LANDLOCK_SCOPES;
		size = sizeof(rules);
	}
	fd = syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd == -1)
		return -1;
	rc = (int)syscall(SYS_landlock_restrict_self, (int)fd, 0);
	close((int)fd);
	return rc;
}

/* ---- seccomp ------------------------------------------------------------- */

static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sysinfo), /* qsort(3) asks it before it sorts more than 1 KB */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
#ifdef SANITIZED
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),
    SCMP_SYS(readlink),
    SCMP_SYS(ioctl),
    SCMP_SYS(getppid),
    SCMP_SYS(getrusage),
    SCMP_SYS(newfstatat),
#endif
};

static int
allow(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && rc == 0;
	     i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	/* abort(3) of oneself, so that the parent sees what happened */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
		    2, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()),
		    SCMP_A2(SCMP_CMP_EQ, SIGABRT));
#ifndef SANITIZED
	/* memory, but none to run code from, and no file */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
		    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (rc == 0)
		rc =
		    seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect),
			1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
#endif
	return rc;
}

static int
lock_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (filter == NULL) {
		errno = ENOMEM;
		return -1;
	}
	rc = allow(filter);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc == 0)
		return 0;
	errno = -rc;
	return -1;
}

int
jail_lock(const struct jail *j, const char **what)
{
	*what = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return -1;
	*what = "Landlock";
	if (jail_lock_files() == -1)
		return -1;
	*what = "limits";
	if (set_limits(j) == -1)
		return -1;
	*what = "seccomp";
	return lock_calls();
}
