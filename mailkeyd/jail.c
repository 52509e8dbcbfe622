/*
 * The jail: limits, Landlock and seccomp around a process.
 */
#include "mailkeyd/jail.h"
#include "mailkeyd/ipc.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILTER_MAX 4096	      /* instructions, the kernel's own limit */
#define SELF	   0x7ffffffe /* stands for the process ID in a filter */

struct jail {
	struct jail_limits limits;
	int rules; /* a Landlock ruleset; -1: the kernel has none */
	struct sock_filter *filter;
	unsigned short len; /* instructions */
	size_t self;	    /* the one that has SELF */
};

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
set_limits(const struct jail_limits *j)
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
static int
no_files(int version)
{
	struct ruleset rules = {.handled_access_fs = LANDLOCK_FS_1};
	size_t size = offsetof(struct ruleset, handled_access_net);

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
	return (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
}

int
jail_lock_files(const struct jail *j)
{
	if (j->rules == -1) /* the operator may insist: jail_landlock() */
		return 0;
	return (int)syscall(SYS_landlock_restrict_self, j->rules, 0);
}

/* ---- seccomp ------------------------------------------------------------- */

/* What all kinds of work need. */
static const int common[] = {
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
    SCMP_SYS(getrandom), /* libcrypto blinds some of its arithmetic */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit_group),
#ifdef SANITIZED
    SCMP_SYS(write),
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

/* And a reader of mails and files. */
static const int reading[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sysinfo), /* qsort(3) asks it before it sorts more than 1 KB */
    SCMP_SYS(exit),
};

/* And a session with a server, beside what a reader needs. */
static const int talking[] = {
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(memfd_create), SCMP_SYS(alarm),
    SCMP_SYS(setitimer), /* which is how some machines have alarm(2) */
};

static int
allow_all(scmp_filter_ctx filter, const int *calls, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return rc;
}

static int
allow(scmp_filter_ctx filter, enum jail_work work)
{
	int rc = allow_all(filter, common, sizeof(common) / sizeof(common[0]));

	if (rc == 0 && work != JAIL_VERIFY)
		rc = allow_all(
		    filter, reading, sizeof(reading) / sizeof(reading[0]));
	if (rc == 0 && work == JAIL_TALK)
		rc = allow_all(
		    filter, talking, sizeof(talking) / sizeof(talking[0]));
	/* abort(3) of oneself, so that the parent sees what happened */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
		    2, SCMP_A0(SCMP_CMP_EQ, SELF),
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

/* Takes the finished program over: making one takes libseccomp longer than
 * all that a child does for a mail.  0, or -1 with errno. */
static int
filter_take(struct jail *j, const void *program, size_t len)
{
	size_t n = len / sizeof(*j->filter), selves = 0;

	if (n == 0 || n > FILTER_MAX || len % sizeof(*j->filter) != 0) {
		errno = EINVAL;
		return -1;
	}
	j->filter = malloc(len);
	if (j->filter == NULL)
		return -1;
	memcpy(j->filter, program, len);
	j->len = (unsigned short)n;
	for (size_t i = 0; i < n; i++)
		if (BPF_CLASS(j->filter[i].code) == BPF_JMP &&
		    j->filter[i].k == SELF) {
			j->self = i;
			selves++;
		}
	if (selves == 1)
		return 0;
	errno = EINVAL;
	return -1;
}

static int
filter_make(struct jail *j, enum jail_work work)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int fd = ipc_memfd("filter", NULL, 0, false), rc;
	char *program = NULL;
	size_t len;

	rc = filter == NULL || fd == -1 ? -ENOMEM : allow(filter, work);
	/* a tree and not a list: the kernel walks it for each call there is
	 * when a process is locked */
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = seccomp_export_bpf(filter, fd);
	if (filter != NULL)
		seccomp_release(filter);
	errno = -rc;
	if (rc == 0 && (rc = ipc_slurp(fd, FILTER_MAX * sizeof(*j->filter),
			    &program, &len)) == 0)
		rc = filter_take(j, program, len);
	free(program);
	if (fd != -1)
		close(fd);
	return rc == 0 ? 0 : -1;
}

/* This process's own filter, out of everybody's. */
static int
lock_calls(const struct jail *j)
{
	struct sock_fprog program = {.len = j->len, .filter = j->filter};

	j->filter[j->self].k = (uint32_t)getpid();
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* ---- the whole of it ----------------------------------------------------- */

struct jail *
jail_new(
    enum jail_work work, const struct jail_limits *limits, const char **what)
{
	struct jail *j = calloc(1, sizeof(*j));
	int version = jail_landlock();

	*what = "memory";
	if (j == NULL)
		return NULL;
	j->limits = *limits;
	j->rules = -1;
	*what = "Landlock";
	if (version > 0 && (j->rules = no_files(version)) == -1) {
		jail_free(j);
		return NULL;
	}
	*what = "seccomp";
	if (filter_make(j, work) == 0)
		return j;
	jail_free(j);
	return NULL;
}

void
jail_free(struct jail *j)
{
	if (j == NULL)
		return;
	if (j->rules != -1)
		close(j->rules);
	free(j->filter);
	free(j);
}

int
jail_lock(const struct jail *j, const char **what)
{
	*what = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return -1;
	*what = "Landlock";
	if (jail_lock_files(j) == -1)
		return -1;
	*what = "descriptors";
	if (j->limits.keep > 0 ? close_range(j->limits.keep, ~0u, 0) == -1
			       : j->rules != -1 && close(j->rules) == -1)
		return -1;
	*what = "limits";
	if (set_limits(&j->limits) == -1)
		return -1;
	*what = "seccomp";
	return lock_calls(j);
}
