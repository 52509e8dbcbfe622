/*
 * mailkeyd-checker: asks gpg, through GPGME, which signatures verify.
 *
 * All claims go through one gpg as a stream of small certificates; gpg works
 * as a filter that keeps what verifies.  It does that for every type of
 * self-signature, but passes a binding whatever its back-signature is worth,
 * so that is judged here.  A stream that gpg gives up before its end (a broken
 * packet does that) is cut in half until what broke it stands alone.
 */
#include "mailkeyd/checker.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/vouch.h"
#include "pgp/pgp.h"

#include <errno.h>
#include <fcntl.h>
#include <gpgme.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET		 3
#define DEADLINE_DEFAULT 10000 /* ms */
#define DEADLINE_MAX	 3600000
#define FILES_MAX	 64 /* GPGME looks at each that there could be */
#define GPG_MEMORY	 ((rlim_t)1 << 30)
#define GPG_EXIT_MAX	 2 /* that gpg itself would exit with */
#define OUTPUT_MAX	 (2 * (size_t)CHECKER_RECORD_MAX)

struct checker {
	gpgme_ctx_t ctx;     /* made once: a new one starts three programs */
	char home[IPC_TEXT]; /* empty: not configured */
	int path; /* memfd with the configured path of gpg; -1: none */
	char gpg[PATH_MAX];
	uint64_t deadline;  /* ms for a JUDGE */
	char why[IPC_TEXT]; /* there is no ctx, as long as that lasts */
};

/* What became of one run of gpg; of two, the later one here counts. */
enum run_end {
	RUN_DONE,
	RUN_DIED, /* of its claims */
	RUN_KEPT  /* from its work, by others: not started, or killed */
};

/* One JUDGE. */
struct job {
	const struct checker *checker;
	struct vouch vouch;
	uint64_t deadline; /* ms, and when that is: */
	int64_t end;	   /* ms of the monotonic clock */
	uint64_t used;	   /* us of processor time, by gpg */
	uint64_t began;	   /* with so much of our own */
	rlim_t peak;	   /* octets, of the largest gpg */
	bool gpg_works;	   /* it has brought a stream to its end */
	enum checker_status status;
	char text[IPC_TEXT];
};

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t
us(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

/* Processor time of this process. */
static uint64_t
own_us(void)
{
	struct rusage own;

	getrusage(RUSAGE_SELF, &own);
	return us(&own.ru_utime) + us(&own.ru_stime);
}

static bool give_up(struct job *j, enum checker_status status,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Always false, for `return give_up(...)`. */
static bool
give_up(struct job *j, enum checker_status status, const char *format, ...)
{
	va_list ap;

	j->status = status;
	va_start(ap, format);
	vsnprintf(j->text, sizeof(j->text), format, ap);
	va_end(ap);
	return false;
}

/*
 * The time is up.  No claim can make gpg wait for anything but the memory that
 * it takes: when it got far less than that time of a processor, the machine had
 * too much to do, and nothing is said of the claims.
 */
static bool
out_of_time(struct job *j, const char *what)
{
	uint64_t used = (j->used + own_us() - j->began) / 1000;
	bool kept = used < j->deadline / 8 && j->peak < GPG_MEMORY / 4;

	return give_up(j, kept ? CHECKER_NO_GPG : CHECKER_FAILED,
	    "%s not done after %llu ms, %llu of them at work", what,
	    (unsigned long long)j->deadline, (unsigned long long)used);
}

/* ---- one run of gpg, in a process of its own ---------------------------- */

/*
 * The limits are inherited by gpg.  The sanitizers map far more than any
 * limit on the address space could allow.
 */
static int
limit(uint64_t deadline)
{
	struct rlimit cpu, core = {0, 0};

	cpu.rlim_cur = cpu.rlim_max = (rlim_t)(deadline / 1000 + 1);
	if (setrlimit(RLIMIT_CPU, &cpu) == -1 ||
	    setrlimit(RLIMIT_CORE, &core) == -1)
		return -1;
#ifndef SANITIZED
	struct rlimit memory = {GPG_MEMORY, GPG_MEMORY};

	if (setrlimit(RLIMIT_AS, &memory) == -1)
		return -1;
#endif
	return 0;
}

/*
 * gpg reads the claims by itself, under the name that this process has for
 * them: GPGME's pipe would hold up everything when gpg stops early, since
 * GPGME goes on waiting for room in it.
 */
static gpgme_error_t
spawn_gpg(const struct checker *c, int in, int out)
{
	char claims[64];
	const char *argv[] = {c->gpg, "--homedir", c->home, "--batch",
	    "--no-options", "--no-autostart", "--no-auto-check-trustdb",
	    "--no-keyring", "-q", "--ignore-time-conflict",
	    "--ignore-valid-from", "--import-options",
	    /* repairing would move a signature to where it verifies, at
	     * twice the time */
	    "import-export,self-sigs-only,no-repair-keys", "--import", claims,
	    NULL};
	gpgme_data_t output = NULL;
	gpgme_error_t err;

	snprintf(claims, sizeof(claims), "/proc/%ld/fd/%d", (long)getpid(), in);
	err = gpgme_data_new_from_fd(&output, out);
	if (err == 0)
		err =
		    gpgme_op_spawn(c->ctx, c->gpg, argv, NULL, output, NULL, 0);
	gpgme_data_release(output);
	return err;
}

/* Who would kill a process that takes no more than honest claims need? */
static enum run_end
gpg_end(int status, const struct rusage *used)
{
	rlim_t most = (rlim_t)used->ru_maxrss * 1024;

	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL && most < GPG_MEMORY / 4
			   ? RUN_KEPT
			   : RUN_DIED;
	/* 2 is gpg's word about a bad claim; with more it never was gpg */
	return WEXITSTATUS(status) > GPG_EXIT_MAX ? RUN_KEPT : RUN_DONE;
}

/*
 * GPGME tells nothing of how gpg ended and cannot end it.  So this process is
 * made for one run: gpg, which GPGME leaves to whoever adopts orphans, becomes
 * its child, and both can be killed as one group.
 */
static _Noreturn void
runner(const struct job *j, int in, int out)
{
	enum run_end end, worst = RUN_DONE;
	struct rusage used;
	int status;
	pid_t pid;

	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 ||
	    limit(j->deadline) == -1 || spawn_gpg(j->checker, in, out) != 0)
		_exit(RUN_KEPT);
	while ((pid = wait4(-1, &status, 0, &used)) > 0 || errno == EINTR) {
		end = pid > 0 ? gpg_end(status, &used) : RUN_DONE;
		if (end > worst)
			worst = end;
	}
	_exit((int)worst);
}

/* The runner, and then gpg, which is adopted when the runner is gone before
 * it.  How the runner has ended. */
static int
end_runner(struct job *j, pid_t pid)
{
	struct rusage used;
	int status, how = 0;
	pid_t got;

	kill(-pid, SIGKILL);
	while ((got = wait4(-pid, &status, 0, &used)) > 0 || errno == EINTR) {
		if (got == -1)
			continue;
		if (got == pid)
			how = status;
		j->used += us(&used.ru_utime) + us(&used.ru_stime);
		if ((rlim_t)used.ru_maxrss * 1024 > j->peak)
			j->peak = (rlim_t)used.ru_maxrss * 1024;
	}
	return how;
}

/* `alive` ends with the runner, who has its other end.  False when the time
 * is up. */
static bool
wait_for(struct job *j, pid_t pid, int alive)
{
	struct pollfd p[2] = {{.fd = alive}, {.fd = SOCKET}}; /* POLLHUP */
	int64_t left;
	int r;

	do {
		left = j->end - now();
		r = left <= 0
			? 0
			: poll(p, 2, left > INT_MAX ? INT_MAX : (int)left);
	} while (r == -1 && errno == EINTR);
	if (r > 0 && p[0].revents != 0)
		return true;
	if (r > 0) { /* the core is gone */
		end_runner(j, pid);
		_exit(0);
	}
	return false;
}

/*
 * Puts `in` through gpg into `out`.  False: the time is up, or no process
 * could be made.
 */
static bool
run(struct job *j, int in, int out, enum run_end *end)
{
	int status, alive[2];
	bool done;
	pid_t pid;

	if (pipe2(alive, O_CLOEXEC) == -1)
		return give_up(j, CHECKER_NO_GPG, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		runner(j, in, out);
	close(alive[1]);
	if (pid == -1) {
		close(alive[0]);
		return give_up(j, CHECKER_NO_GPG, "fork: %s", strerror(errno));
	}
	setpgid(pid, pid); /* whoever comes first */
	done = wait_for(j, pid, alive[0]);
	status = end_runner(j, pid);
	close(alive[0]);
	if (!done)
		return out_of_time(j, "gpg was");
	if (WIFSIGNALED(status))
		*end = WTERMSIG(status) == SIGKILL ? RUN_KEPT : RUN_DIED;
	else
		*end = (enum run_end)WEXITSTATUS(status);
	return true;
}

/* ---- claims ------------------------------------------------------------- */

static int
stream(const struct vouch *v, size_t first, size_t n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);
	int fd = -1, r;

	if (f == NULL)
		return -1;
	r = vouch_write(f, v, first, n);
	if (fclose(f) == 0 && r == 0)
		fd = ipc_memfd("claims", text, len, false);
	free(text);
	if (fd != -1 && lseek(fd, 0, SEEK_SET) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static enum vouch_end
read_answer(struct job *j, size_t first, size_t n, int fd)
{
	enum vouch_end end;
	char *answer;
	size_t len;

	if (ipc_slurp(fd, OUTPUT_MAX, &answer, &len) == -1)
		return errno == EFBIG ? VOUCH_SHORT : VOUCH_NOMEM;
	end = vouch_match(
	    &j->vouch, first, n, (const unsigned char *)answer, len);
	free(answer);
	return end;
}

/* False when the whole job is given up; with RUN_DONE these claims are
 * judged. */
static bool
filter(struct job *j, size_t first, size_t n, enum run_end *end)
{
	enum vouch_end match = VOUCH_SHORT;
	bool ok = false;
	int in, out;

	in = stream(&j->vouch, first, n);
	out = ipc_memfd("vouched", NULL, 0, false);
	if (in == -1 || out == -1)
		give_up(j, CHECKER_NO_GPG, "claims: %s", strerror(errno));
	else if (run(j, in, out, end)) {
		if (*end == RUN_DONE)
			match = read_answer(j, first, n, out);
		ok = match != VOUCH_NOMEM ||
		     give_up(j, CHECKER_NO_GPG, "no memory for the answer");
		if (*end == RUN_DONE && match != VOUCH_WHOLE)
			*end = RUN_DIED;
	}
	if (in != -1)
		close(in);
	if (out != -1)
		close(out);
	return ok;
}

/* Does gpg bring even an empty stream to its end? */
static bool
gpg_works(struct job *j)
{
	enum run_end end;

	if (j->gpg_works)
		return true;
	if (!filter(j, 0, 0, &end))
		return false;
	if (end == RUN_KEPT)
		return give_up(j, CHECKER_NO_GPG,
		    "%s cannot be started, or is killed", j->checker->gpg);
	if (end != RUN_DONE)
		return give_up(j, CHECKER_NO_GPG,
		    "%s does not answer as gpg should", j->checker->gpg);
	j->gpg_works = true;
	return true;
}

static bool
ask(struct job *j, size_t first, size_t n)
{
	enum run_end end;

	if (n == 0)
		return true;
	if (!filter(j, first, n, &end))
		return false;
	if (end == RUN_DONE) {
		j->gpg_works = true;
		return true;
	}
	if (!gpg_works(j))
		return false;
	if (n == 1) { /* what gpg cannot read is not vouched for */
		j->vouch.claim[first].unheard = end == RUN_KEPT;
		return true;
	}
	return ask(j, first, n / 2) && ask(j, first + n / 2, n - n / 2);
}

static bool
verdicts(struct job *j, unsigned char *out)
{
	for (size_t i = 0; i < j->vouch.n; i++) {
		const struct vouch_claim *c = &j->vouch.claim[i];

		out[i] = c->unheard    ? CHECKER_UNHEARD
			 : c->returned ? CHECKER_GOOD
				       : CHECKER_BAD;
		if (!c->returned || !vouch_is_binding(c))
			continue;
		if (now() >= j->end)
			return out_of_time(j, "back-signatures were");
		out[i] = pgp_binding_backed(&c->primary, &c->on, &c->packet);
	}
	return true;
}

/* ---- the core's messages ------------------------------------------------ */

/* The answer's descriptor, or -1 with status and text set. */
static int
judge(struct job *j, int fd)
{
	struct ipc_in in = {.data = NULL};
	unsigned char *out = NULL;
	char *data = NULL;
	int answer = -1;

	if (j->checker->ctx == NULL) {
		give_up(j, CHECKER_NO_GPG, "%s", j->checker->why);
		return -1;
	}
	if (ipc_slurp(fd, CHECKER_RECORD_MAX, &data, &in.len) == -1) {
		give_up(j, errno == EFBIG ? CHECKER_FAILED : CHECKER_NO_GPG,
		    "record: %s", strerror(errno));
		return -1;
	}
	in.data = (const unsigned char *)data;
	if (vouch_read(&in, &j->vouch) == -1) {
		give_up(j, errno == ENOMEM ? CHECKER_NO_GPG : CHECKER_FAILED,
		    "record: %s", strerror(errno));
		goto done;
	}
	out = calloc(j->vouch.n + 1, 1);
	if (out == NULL)
		give_up(j, CHECKER_NO_GPG, "no memory");
	else if (ask(j, 0, j->vouch.n) && verdicts(j, out)) {
		answer = ipc_memfd("verdicts", out, j->vouch.n, true);
		if (answer == -1)
			give_up(
			    j, CHECKER_NO_GPG, "memfd: %s", strerror(errno));
	}
done:
	vouch_free(&j->vouch);
	free(out);
	free(data);
	return answer;
}

static int
answer_judge(const struct checker *c, const struct ipc_msg *m)
{
	struct job j = {.checker = c, .status = CHECKER_OK};
	struct ipc_msg reply;
	int r;

	j.deadline = m->a == 0 || m->a > DEADLINE_MAX ? c->deadline : m->a;
	j.end = now() + (int64_t)j.deadline;
	j.began = own_us();
	ipc_msg_init(&reply, CHECKER_JUDGED, m->id);
	reply.fd[0] = judge(&j, m->fd[0]);
	reply.status = j.status;
	memcpy(reply.text, j.text, sizeof(reply.text));
	r = ipc_send(SOCKET, &reply);
	ipc_msg_close(&reply);
	return r;
}

static void
no_gpg(struct checker *c, const char *what, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%.300s: %s", what, why);
}

/* Private, or anybody could put a gpg.conf there. */
static bool
home_is_sound(struct checker *c)
{
	struct stat st;

	if (c->home[0] != '/') {
		no_gpg(c, c->home, "not an absolute path");
		return false;
	}
	if (mkdir(c->home, 0700) == -1 && errno != EEXIST) {
		no_gpg(c, c->home, strerror(errno));
		return false;
	}
	if (lstat(c->home, &st) == -1) {
		no_gpg(c, c->home, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0) {
		no_gpg(c, c->home, "not a private directory of our own");
		return false;
	}
	if (setenv("HOME", c->home, 1) == -1) {
		no_gpg(c, "HOME", strerror(errno));
		return false;
	}
	return true;
}

/* GPGME remembers, too, that it has found none: one that was installed since is
 * looked for here, along the PATH. */
static const char *
default_gpg(void)
{
	static const char *const places[] = {
	    "/usr/local/bin/gpg", "/usr/bin/gpg", "/bin/gpg"};
	const char *found = gpgme_get_dirinfo("gpg-name");

	for (size_t i = 0; i < 3 && found == NULL; i++)
		if (access(places[i], X_OK) == 0)
			found = places[i];
	return found;
}

/* The program named in the memfd, or the one that GPGME was built for. */
static bool
find_gpg(struct checker *c)
{
	char *path = NULL;
	const char *found;
	bool good = false;
	size_t len;

	if (c->path != -1 &&
	    ipc_slurp(c->path, sizeof(c->gpg) - 1, &path, &len) == -1) {
		no_gpg(c, "path of gpg", strerror(errno));
		return false;
	}
	found = path != NULL && path[0] != '\0' ? path : default_gpg();
	if (found == NULL)
		no_gpg(c, "gpg", "GPGME does not find it");
	else if (found[0] != '/' || strlen(found) >= sizeof(c->gpg))
		no_gpg(c, found, "not an absolute path");
	else if (access(found, X_OK) == -1)
		no_gpg(c, found, strerror(errno));
	else {
		memcpy(c->gpg, found, strlen(found) + 1);
		good = true;
	}
	free(path);
	return good;
}

static void
start_gpgme(struct checker *c)
{
	gpgme_error_t err = gpgme_new(&c->ctx);

	if (err == 0)
		err = gpgme_set_protocol(c->ctx, GPGME_PROTOCOL_SPAWN);
	if (err == 0)
		return;
	no_gpg(c, "GPGME", gpgme_strerror(err));
	gpgme_release(c->ctx);
	c->ctx = NULL;
}

/* GPGME starts half a dozen programs before it is ready, and most servers have
 * nothing to ask for a long time: not before the first JUDGE.  What was in the
 * way then may be gone at the next. */
static void
begin(struct checker *c)
{
	if (c->ctx == NULL && c->home[0] != '\0' && home_is_sound(c) &&
	    find_gpg(c))
		start_gpgme(c);
}

/* Takes the descriptor. */
static void
configure(struct checker *c, struct ipc_msg *m)
{
	gpgme_release(c->ctx);
	if (c->path != -1)
		close(c->path);
	memset(c, 0, sizeof(*c));
	c->path = m->fd[0];
	m->fd[0] = -1;
	memcpy(c->home, m->text, sizeof(c->home));
	c->deadline = m->a == 0 ? DEADLINE_DEFAULT : m->a;
	if (c->deadline > DEADLINE_MAX)
		c->deadline = DEADLINE_MAX;
	home_is_sound(c); /* it is made */
}

/* Nothing of the environment may tell gpg or GPGME what to do. */
static int
environment(void)
{
	return clearenv() != 0 ||
		       setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) ==
			   -1 ||
		       setenv("LC_ALL", "C", 1) == -1
		   ? -1
		   : 0;
}

static int
few_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1)
		return -1;
	if (files.rlim_cur > FILES_MAX)
		files.rlim_cur = FILES_MAX;
	return setrlimit(RLIMIT_NOFILE, &files);
}

int
main(void)
{
	struct checker c = {.path = -1, .why = "not configured"};
	struct ipc_msg m;
	int r;

	/* gpg inherits the signals that are ignored, and comes to its end; when
	 * it must not, it is killed */
	ipc_helper(SOCKET);
	if (environment() == -1 || prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 ||
	    few_files() == -1 || gpgme_check_version(NULL) == NULL)
		return 1;
	while ((r = ipc_recv(SOCKET, &m)) == 1) {
		if (m.type == CHECKER_CONFIG) {
			configure(&c, &m);
		} else if (m.type == CHECKER_JUDGE) {
			begin(&c);
			r = answer_judge(&c, &m);
		}
		ipc_msg_close(&m);
		if (r == -1)
			break;
	}
	gpgme_release(c.ctx);
	return r == 0 ? 0 : 1;
}
