/*
 * Helper processes: start, watch, start again.
 */
#include "mailkeyd/helper.h"
#include "mailkeyd/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPER_FD      3     /* where a helper finds its socket */
#define BACKOFF_FIRST  100   /* milliseconds */
#define BACKOFF_MAX    30000 /* milliseconds */
#define STEADY	       10000 /* milliseconds of life that clear the back-off */
#define ROUND_MESSAGES 64    /* read at once, so that others get their turn */

struct helper {
	struct loop *loop;
	const struct helper_calls *calls;
	void *ctx;
	char path[PATH_MAX];
	const char *name; /* within path */
	pid_t pid;
	int sock;
	struct loop_io *io;
	struct loop_timer *again;
	long backoff;
	int64_t since;
	unsigned deaths;
	bool killed; /* from within a callback: buried when that returns */
	bool renew;  /* it is to end, and another to start */
	bool busy;
};

extern char **environ;

static void helper_start(void *);

/* Waits for a process that has been told to end; kills it after `ms`. */
static int
reap(pid_t pid, int ms)
{
	int status = 0;

	for (;;) {
		pid_t got = waitpid(pid, &status, ms > 0 ? WNOHANG : 0);

		if (got == pid)
			return status;
		if (got == -1 && errno != EINTR)
			return 0;
		if (got == 0 && (ms -= 5) <= 0)
			kill(pid, SIGKILL);
		if (got == 0)
			usleep(5000);
	}
}

static void
describe_death(const struct helper *h, int status)
{
	if (WIFSIGNALED(status))
		log_line(LOG_WARNING,
		    "helper=%s pid=%d event=died signal=%d "
		    "restart_in=%ld.%03ld%s",
		    h->name, (int)h->pid, WTERMSIG(status), h->backoff / 1000,
		    h->backoff % 1000,
		    WTERMSIG(status) == SIGKILL && !h->killed
			? " note=\"out of memory?\""
			: "");
	else
		log_line(LOG_WARNING,
		    "helper=%s pid=%d event=died exit=%d restart_in=%ld.%03ld",
		    h->name, (int)h->pid, WEXITSTATUS(status),
		    h->backoff / 1000, h->backoff % 1000);
}

static void
helper_died(struct helper *h, int status)
{
	if (loop_now_ms() - h->since > STEADY)
		h->backoff = BACKOFF_FIRST;
	describe_death(h, status);
	h->deaths++;
	loop_timer_set(h->again, h->backoff);
	h->backoff =
	    h->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : h->backoff * 2;
}

/* What is left of a dead helper goes, and the next start is set. */
static void
helper_bury(struct helper *h)
{
	loop_io_free(h->io);
	h->io = NULL;
	close(h->sock);
	h->sock = -1;
	kill(h->pid, SIGKILL);
	if (h->renew) {
		reap(h->pid, 0);
		loop_timer_set(h->again, 0);
	} else
		helper_died(h, reap(h->pid, 0));
	h->pid = 0;
	h->killed = h->renew = false;
	h->calls->down(h->ctx, h);
}

static void
helper_readable(void *ctx, uint32_t events)
{
	struct helper *h = ctx;
	struct ipc_msg msg;
	int got = 1;

	(void)events;
	h->busy = true;
	for (int i = 0; i < ROUND_MESSAGES && !h->killed; i++) {
		got = ipc_recv(h->sock, &msg);
		if (got != 1)
			break;
		h->calls->message(h->ctx, h, &msg);
		ipc_msg_close(&msg);
	}
	h->busy = false;
	if (h->killed || got == 0 || (got == -1 && errno != EAGAIN))
		helper_bury(h);
}

/* Everything but its socket and the standard streams stays behind. */
static int
helper_spawn(struct helper *h, int theirs)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char *argv[] = {h->path, NULL};
	int error;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, theirs, HELPER_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, HELPER_FD + 1);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(
	    &attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	error = posix_spawn(&h->pid, h->path, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (error)
		h->pid = 0;
	return error;
}

static void
helper_retry(struct helper *h, const char *what, int error)
{
	log_line(LOG_ERR, "helper=%s event=failed what=%s error=\"%s\"",
	    h->name, what, strerror(error));
	loop_timer_set(h->again, h->backoff);
	h->backoff =
	    h->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : h->backoff * 2;
}

static void
helper_start(void *ctx)
{
	struct helper *h = ctx;
	int pair[2], error;

	if (ipc_pair(pair) == -1) {
		helper_retry(h, "socket", errno);
		return;
	}
	/* Ours never blocks; theirs does, that is their loop. */
	error = fcntl(pair[0], F_SETFL, O_NONBLOCK) == -1
		    ? errno
		    : helper_spawn(h, pair[1]);
	close(pair[1]);
	if (error) {
		close(pair[0]);
		helper_retry(h, "start", error);
		return;
	}
	h->sock = pair[0];
	h->since = loop_now_ms();
	h->io = loop_io_new(h->loop, h->sock, EPOLLIN, helper_readable, h);
	h->busy = true;
	if (h->io == NULL || h->calls->up(h->ctx, h) == -1)
		h->killed = true;
	h->busy = false;
	if (h->killed)
		helper_bury(h);
}

struct helper *
helper_new(struct loop *loop, const char *libexec, const char *name,
    const struct helper_calls *calls, void *ctx)
{
	struct helper *h = calloc(1, sizeof(*h));
	int n;

	if (h == NULL)
		return NULL;
	n = snprintf(h->path, sizeof(h->path), "%s/%s", libexec, name);
	if (n < 0 || (size_t)n >= sizeof(h->path) ||
	    access(h->path, X_OK) == -1) {
		free(h);
		return NULL;
	}
	h->name = strrchr(h->path, '/') + 1;
	h->loop = loop;
	h->calls = calls;
	h->ctx = ctx;
	h->sock = -1;
	h->backoff = BACKOFF_FIRST;
	h->again = loop_timer_new(loop, helper_start, h);
	if (h->again == NULL) {
		free(h);
		return NULL;
	}
	helper_start(h);
	return h;
}

int
helper_send(struct helper *h, const struct ipc_msg *msg)
{
	if (h->sock == -1 || h->killed) {
		errno = ENOTCONN;
		return -1;
	}
	return ipc_send(h->sock, msg);
}

bool
helper_is_up(const struct helper *h)
{
	return h->sock != -1 && !h->killed;
}

void
helper_kill(struct helper *h)
{
	if (h->sock == -1)
		return;
	h->killed = true;
	if (!h->busy)
		helper_bury(h);
}

void
helper_renew(struct helper *h)
{
	h->renew = h->sock != -1;
	helper_kill(h);
}

unsigned
helper_deaths(const struct helper *h)
{
	return h->deaths;
}

int
helper_pid(const struct helper *h)
{
	return (int)h->pid;
}

void
helper_free(struct helper *h)
{
	if (h == NULL)
		return;
	loop_io_free(h->io);
	loop_timer_free(h->again);
	if (h->sock != -1)
		close(h->sock);
	if (h->pid > 0)
		reap(h->pid, 2000);
	free(h);
}
