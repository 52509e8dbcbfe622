/*
 * Answers handed to the sendmail command or laid into a Maildir.
 */
#include "mailkeyd/send_local.h"
#include "mailkeyd/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

void
send_result(
    struct send_result *r, enum send_status status, const char *format, ...)
{
	char raw[IPC_TEXT];
	size_t i, n = 0;
	va_list ap;

	va_start(ap, format);
	vsnprintf(raw, sizeof(raw), format, ap);
	va_end(ap);
	for (i = 0; raw[i] != '\0'; i++) {
		char c = raw[i];

		if (c == '\n' || c == '\r' || c == '\t')
			c = ' ';
		else if (c < ' ' || c > '~')
			c = '?';
		if (c != ' ' || (n > 0 && r->text[n - 1] != ' '))
			r->text[n++] = c;
	}
	while (n > 0 && r->text[n - 1] == ' ')
		n--;
	r->text[n] = '\0';
	r->status = status;
}

/* Programs and files on this machine want LF.  NULL: no memory. */
static char *
with_lf(const char *s, size_t len, size_t *out_len)
{
	char *out = malloc(len + 1);
	size_t i, n = 0;

	if (out == NULL)
		return NULL;
	for (i = 0; i < len; i++)
		if (s[i] != '\r' || i + 1 == len || s[i + 1] != '\n')
			out[n++] = s[i];
	*out_len = n;
	return out;
}

/* ---- sendmail ------------------------------------------------------------ */

struct run {
	pid_t pid;
	int status;
	int children; /* a signalfd(2) for SIGCHLD */
	int output;   /* what it says on stdout and stderr */
	char said[200];
	size_t nsaid;
};

static int
spawn(struct run *run, const char *path, const char *from, const char *to,
    int message)
{
	char *argv[] = {(char *)path, (char *)"-i", (char *)"-f",
	    (char *)(*from == '\0' ? "<>" : from), (char *)"--", (char *)to,
	    NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int pipe_fd[2], error;

	if (pipe2(pipe_fd, O_CLOEXEC) == -1)
		return errno;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, message, 0);
	posix_spawn_file_actions_adddup2(&files, pipe_fd[1], 1);
	posix_spawn_file_actions_adddup2(&files, pipe_fd[1], 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(
	    &attr, 0); /* so that all of it can be ended */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF |
					    POSIX_SPAWN_SETPGROUP);
	error = posix_spawn(&run->pid, path, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	close(pipe_fd[1]);
	if (error != 0) {
		close(pipe_fd[0]);
		return error;
	}
	run->output = pipe_fd[0];
	return 0;
}

/* Keeps the beginning of what it says and throws the rest away, so that it is
 * never held up. */
static void
listen_to(struct run *run)
{
	char lost[4096];
	ssize_t n = read(run->output, lost, sizeof(lost));
	size_t room = sizeof(run->said) - 1 - run->nsaid;

	if (n <= 0) {
		close(run->output);
		run->output = -1;
		return;
	}
	if ((size_t)n < room)
		room = (size_t)n;
	memcpy(run->said + run->nsaid, lost, room);
	run->nsaid += room;
}

enum ended { ENDED, TOO_LONG, CORE_GONE };

static enum ended
wait_for(struct run *run, unsigned ms, int core)
{
	struct signalfd_siginfo info;
	int64_t end = loop_now_ms() + ms, left;

	while ((left = end - loop_now_ms()) > 0) {
		struct pollfd p[] = {{run->children, POLLIN, 0},
		    {run->output, POLLIN, 0}, {core, 0, 0}};

		if (poll(p, 3, left > INT_MAX ? INT_MAX : (int)left) == -1 &&
		    errno != EINTR)
			return TOO_LONG;
		if (p[1].revents != 0) {
			listen_to(run);
		} else if (p[0].revents != 0) {
			/* what it left running may hold the pipe for long */
			if (read(run->children, &info, sizeof(info)) > 0 &&
			    waitpid(run->pid, &run->status, WNOHANG) ==
				run->pid)
				return ENDED;
		}
		if (p[2].revents != 0)
			return CORE_GONE;
	}
	return TOO_LONG;
}

/*
 * Only these speak of the message or of whom it is for.  All others are said
 * of a full spool, a broken configuration or a network that is away, by one
 * program or another, some by all of them for everything; that passes, or
 * give_up comes.
 */
static bool
is_refusal(int code)
{
	return code == EX_DATAERR || code == EX_NOUSER;
}

static void
judge(const struct run *run, const char *path, struct send_result *r)
{
	const char *sep = run->nsaid > 0 ? ": " : "";
	int code = WEXITSTATUS(run->status);

	if (!WIFEXITED(run->status))
		send_result(r, SEND_LATER, "sendmail died of signal %d%s%s",
		    WTERMSIG(run->status), sep, run->said);
	else if (code == 0)
		send_result(r, SEND_OK, "sendmail took it%s%s", sep, run->said);
	else if (code == 126 || code == 127) /* so say env(1), shells */
		send_result(r, SEND_LATER, "cannot run %s: exit status %d%s%s",
		    path, code, sep, run->said);
	else
		send_result(r, is_refusal(code) ? SEND_REFUSED : SEND_LATER,
		    "sendmail exited with %d%s%s", code, sep, run->said);
}

static int
children_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
run_message(const char *path, const char *from, const char *to, int message,
    unsigned ms, int core, struct send_result *r)
{
	struct run run = {.output = -1};
	int error;

	if ((run.children = children_fd()) == -1) {
		send_result(r, SEND_LATER, "signalfd: %s", strerror(errno));
		return;
	}
	if ((error = spawn(&run, path, from, to, message)) != 0) {
		send_result(
		    r, SEND_LATER, "cannot run %s: %s", path, strerror(error));
		close(run.children);
		return;
	}
	switch (wait_for(&run, ms, core)) {
	case ENDED:
		judge(&run, path, r);
		break;
	case TOO_LONG:
		kill(-run.pid, SIGKILL);
		waitpid(run.pid, &run.status, 0);
		send_result(
		    r, SEND_LATER, "sendmail took longer than %u s", ms / 1000);
		break;
	case CORE_GONE: /* which will have it sent again */
		kill(-run.pid, SIGKILL);
		send_result(r, SEND_LATER, "nobody waits for the result");
	}
	if (run.output != -1)
		close(run.output);
	close(run.children);
}

void
send_sendmail(const char *path, const char *from, const char *to,
    const char *message, size_t len, unsigned ms, int core,
    struct send_result *r)
{
	size_t n = 0;
	char *lf = with_lf(message, len, &n);
	int fd = lf != NULL ? ipc_memfd("message", lf, n, true) : -1;

	if (fd == -1 || lseek(fd, 0, SEEK_SET) == -1)
		send_result(r, SEND_LATER, "message: %s", strerror(errno));
	else
		run_message(path, from, to, fd, ms, core, r);
	if (fd != -1)
		close(fd);
	free(lf);
}

/* ---- Maildir ------------------------------------------------------------- */

static int
make_folders(const char *path)
{
	static const char *const names[] = {"tmp", "new", "cur"};
	char *folder;
	size_t i;
	int r;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		return -1;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (asprintf(&folder, "%s/%s", path, names[i]) < 0)
			return -1;
		r = mkdir(folder, 0700);
		free(folder);
		if (r == -1 && errno != EEXIST)
			return -1;
	}
	return 0;
}

/* A name that nobody else makes, in the form that Maildir readers know. */
static char *
unique_name(void)
{
	static unsigned long count;
	struct timeval now;
	char host[256], *name;
	uint32_t random;
	size_t i;

	gettimeofday(&now, NULL);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
	    gethostname(host, sizeof(host)) == -1)
		return NULL;
	host[sizeof(host) - 1] = '\0';
	for (i = 0; host[i] != '\0'; i++)
		if (host[i] == '/' || host[i] == ':' || host[i] < '!')
			host[i] = '_';
	if (asprintf(&name, "%lld.M%06ldP%ldQ%luR%08x.%.64s",
		(long long)now.tv_sec, (long)now.tv_usec, (long)getpid(),
		++count, (unsigned)random, host) < 0)
		return NULL;
	return name;
}

static int
write_file(const char *path, const char *s, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t done = 0;
	ssize_t n;
	int saved;

	if (fd == -1)
		return -1;
	while (done < len) {
		n = write(fd, s + done, len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			goto fail;
		done += (size_t)n;
	}
	if (fsync(fd) == 0)
		return close(fd);
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int
sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd == -1)
		return -1;
	r = fsync(fd);
	close(fd);
	return r;
}

static int
deliver(const char *path, const char *s, size_t len)
{
	char *name = unique_name(), *tmp = NULL, *new = NULL, *folder = NULL;
	int r = -1, saved;

	if (name == NULL || asprintf(&tmp, "%s/tmp/%s", path, name) < 0 ||
	    asprintf(&new, "%s/new/%s", path, name) < 0 ||
	    asprintf(&folder, "%s/new", path) < 0)
		goto done;
	if (write_file(tmp, s, len) == 0 && rename(tmp, new) == 0)
		r = sync_folder(folder);
	saved = errno;
	if (r != 0)
		unlink(tmp);
	errno = saved;
done:
	free(name);
	free(tmp);
	free(new);
	free(folder);
	return r;
}

void
send_maildir(
    const char *path, const char *message, size_t len, struct send_result *r)
{
	size_t n = 0;
	char *lf = with_lf(message, len, &n);

	if (lf == NULL || make_folders(path) != 0 || deliver(path, lf, n) != 0)
		send_result(r, SEND_LATER, "%s: %s", path, strerror(errno));
	else
		send_result(r, SEND_OK, "in %s", path);
	free(lf);
}
