/*
 * The life and death of one jailed child.
 */
#include "mailkeyd/jailer_slot.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void
child_main(const struct jailer *p, int sock, pid_t parent, bool all)
{
	const char *what;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(JAILED_NO_LOCK);
	if (dup2(p->null, 0) == -1 || dup2(p->null, 1) == -1 ||
	    dup2(sock, JAILER_CORE) == -1)
		_exit(JAILED_NO_LOCK);
#ifndef SANITIZED /* whose reports go there */
	if (dup2(p->null, 2) == -1)
		_exit(JAILED_NO_LOCK);
#endif
	/* what is above JAILER_CORE is closed: it would do no harm to get a
	 * copy of a sibling's socket, but a sibling's end would then not be
	 * seen */
	if (all)
		p->kind->prepare_all();
	if (jail_lock(p->jail, &what) == -1)
		_exit(JAILED_NO_LOCK);
	_exit((int)p->kind->serve(JAILER_CORE, p->all));
}

int
slot_fill(const struct jailer *p, struct slot *s)
{
	pid_t parent = getpid(), pid;
	int pair[2], saved;

	if (ipc_pair(pair) == -1) {
		s->all = false;
		return -1;
	}
	pid = fork();
	if (pid == 0)
		child_main(p, pair[1], parent, s->all);
	saved = errno;
	close(pair[1]);
	if (pid == -1) {
		close(pair[0]);
		s->all = false;
		errno = saved;
		return -1;
	}
	s->pid = pid;
	s->sock = pair[0];
	s->served = 0;
	s->state = READY;
	return 0;
}

static void
slot_empty(struct slot *s)
{
	s->sock = -1;
	s->pid = 0;
	s->all = false;
	ipc_msg_close(&s->job);
	s->state = EMPTY;
}

int
slot_end(struct slot *s)
{
	struct rusage used = {.ru_maxrss = 0};
	int status = 0;

	close(s->sock);
	/* one that ends by itself keeps its own status */
	kill(s->pid, SIGKILL);
	while (wait4(s->pid, &status, 0, &used) == -1 && errno == EINTR)
		continue;
	s->peak = (uint64_t)used.ru_maxrss * 1024;
	slot_empty(s);
	return status;
}

void
slot_retire(struct jailer *p, struct slot *s)
{
	if (p->nending == JAILER_ENDING) {
		slot_end(s);
		return;
	}
	close(s->sock);
	kill(s->pid, SIGKILL);
	p->ending[p->nending++] = s->pid;
	slot_empty(s);
}

void
slot_reap(struct jailer *p)
{
	for (size_t i = 0; i < p->nending;)
		if (waitpid(p->ending[i], NULL, WNOHANG) != 0)
			p->ending[i] = p->ending[--p->nending];
		else
			i++;
}

int
slot_renew_time(const struct slot *s, uint32_t seconds)
{
	struct timespec used;
	struct rlimit limit;
	clockid_t clock;
	rlim_t soft;

	if (clock_getcpuclockid(s->pid, &clock) != 0 ||
	    clock_gettime(clock, &used) == -1 ||
	    prlimit(s->pid, RLIMIT_CPU, NULL, &limit) == -1)
		return -1;
	soft = (rlim_t)used.tv_sec + (used.tv_nsec > 0) + seconds;
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	return prlimit(s->pid, RLIMIT_CPU, &limit, NULL);
}
