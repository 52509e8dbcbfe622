/*
 * Keeps jailed children that look at what strangers wrote.
 *
 * It looks at nothing of that itself: descriptors come from the core and go on
 * to a child, and what a child says is believed as far as "done" and two
 * numbers.
 */
#include "mailkeyd/jailer_slot.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN_MAX 256
#define JAIL_FILES   8	 /* 0 to 2, the socket, two of a job, and what came */
#define REAP_MS	     100 /* what ends is looked for again so soon */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what the core is told ----------------------------------------------- */

static void
tell(const struct ipc_msg *msg)
{
	if (ipc_send(JAILER_CORE, msg) == 0)
		return;
	if (errno == EPIPE || errno == ECONNRESET)
		exit(EX_OK);
	err(EX_OSERR, "sending to mailkeyd");
}

static void
tell_failure(uint64_t id, enum jailer_status status, const char *why)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, JAILER_DONE, id);
	msg.status = status;
	snprintf(msg.text, sizeof(msg.text), "%s", why);
	tell(&msg);
}

/* Whether a child that found no memory may have come to its limit.  One that
 * is far from it, as any honest mail is, lacks what the machine has not got. */
static bool
is_at_limit(const struct jailer *p, const struct slot *s)
{
	return p->config.memory != 0 &&
	       p->mapped + s->peak >= p->config.memory / 4;
}

/* Whether nobody but another process, or the kernel short of memory, can have
 * killed a child that ended by itself.  The jail lets none do that to itself,
 * but a hard limit on processor time, which it has only inherited, would.  (One
 * that was taken over may close its socket to be killed; JAILED_NO_LOCK would
 * give it the same.) */
static bool
is_killed(const struct jailer *p, const struct slot *s, int sig)
{
	struct rlimit cpu;

	return sig == SIGKILL && !is_at_limit(p, s) &&
	       getrlimit(RLIMIT_CPU, &cpu) == 0 &&
	       cpu.rlim_max == RLIM_INFINITY;
}

/* Of a child that ended by itself, whose job may not be to blame. */
static void
tell_death(
    const struct jailer *p, const struct slot *s, uint64_t id, int status)
{
	char why[80];
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	enum jailer_status told = JAILER_DIED;

	if (sig == SIGXCPU)
		snprintf(why, sizeof(why), "out of processor time");
	else if (sig != 0)
		snprintf(why, sizeof(why), "killed by signal %d%s", sig,
		    sig == SIGSYS    ? " (seccomp)"
		    : sig == SIGXFSZ ? " (its record is too long)"
		    : sig == SIGKILL ? " (out of memory?)"
				     : "");
	else if (WEXITSTATUS(status) == JAILED_NO_MEMORY)
		snprintf(why, sizeof(why), "out of memory");
	else
		snprintf(why, sizeof(why), "ended with status %d",
		    WEXITSTATUS(status));
	if (sig == 0 && WEXITSTATUS(status) == JAILED_NO_LOCK) {
		told = JAILER_NO_CHILD;
		snprintf(why, sizeof(why), "the jail could not be locked");
	} else if (sig == 0 && WEXITSTATUS(status) == JAILED_NO_MEMORY &&
		   !is_at_limit(p, s)) {
		told = JAILER_NO_CHILD;
		snprintf(why, sizeof(why), "no memory for it");
	} else if (is_killed(p, s, sig)) {
		told = JAILER_NO_CHILD;
	}
	tell_failure(id, told, why);
}

/* ---- jobs ---------------------------------------------------------------- */

static int
slot_send(const struct jailer *p, struct slot *s, const struct ipc_msg *msg)
{
	if (slot_renew_time(s, p->config.cpu) == -1 ||
	    ipc_send(s->sock, msg) == -1)
		return -1;
	s->id = msg->id;
	s->state = BUSY;
	s->deadline = now_ms() + (int64_t)p->config.deadline * 1000;
	return 0;
}

/* A child for a job.  The last slot is left to a series, so that none of them
 * waits for the other; meanwhile its child is the spare one. */
static struct slot *
slot_free(struct jailer *p, bool series)
{
	struct slot *empty = NULL, *ready = NULL;
	uint32_t jobs = 0;

	for (uint32_t i = 0; i < p->config.children; i++) {
		struct slot *s = &p->slots[i];

		if (s->state == READY)
			ready = s;
		else if (s->state == EMPTY)
			empty = s;
		else
			jobs += !s->series;
	}
	if (!series && jobs > 0 && jobs + 1 >= p->config.children)
		return NULL;
	return ready != NULL ? ready : empty;
}

static void
job_start(struct jailer *p, struct slot *s, struct ipc_msg *msg)
{
	s->series = msg->type == JAILER_SERIES;
	if (s->state == READY && slot_send(p, s, msg) == -1)
		slot_end(s); /* it died while it waited */
	if (s->state == EMPTY &&
	    (slot_fill(p, s) == -1 || slot_send(p, s, msg) == -1)) {
		tell_failure(msg->id, JAILER_NO_CHILD, strerror(errno));
		s->wait = true;
		if (s->state == READY)
			slot_end(s);
	}
	if (s->state == BUSY && !s->series)
		s->job = *msg;
	else
		ipc_msg_close(msg);
}

/* The child has found that it takes another one. */
static void
job_again(struct jailer *p, struct slot *s)
{
	struct ipc_msg job = s->job;

	ipc_msg_init(&s->job, 0, 0);
	slot_retire(p, s);
	s->all = true;
	job_start(p, s, &job);
}

/* Takes the message's descriptors. */
static void
job_queue(struct jailer *p, struct ipc_msg *msg)
{
	if (p->nqueue == JAILER_QUEUE) {
		tell_failure(msg->id, JAILER_NO_CHILD, "all children are busy");
		return;
	}
	p->queue[(p->first + p->nqueue++) % JAILER_QUEUE] = *msg;
	ipc_msg_init(msg, 0, 0);
}

/* Begins what waits, as far as there are children. */
static void
start_jobs(struct jailer *p)
{
	while (p->nqueue > 0) {
		struct ipc_msg *msg = &p->queue[p->first];
		struct slot *s = slot_free(p, msg->type == JAILER_SERIES);

		if (s == NULL)
			return;
		job_start(p, s, msg);
		p->first = (p->first + 1) % JAILER_QUEUE;
		p->nqueue--;
	}
}

/* Takes a series that has not begun out of the queue. */
static bool
job_unqueue(struct jailer *p, uint64_t id)
{
	for (size_t i = 0; i < p->nqueue; i++) {
		size_t at = (p->first + i) % JAILER_QUEUE;

		if (p->queue[at].type != JAILER_SERIES || p->queue[at].id != id)
			continue;
		ipc_msg_close(&p->queue[at]);
		for (; i + 1 < p->nqueue; i++) {
			size_t next = (at + 1) % JAILER_QUEUE;

			p->queue[at] = p->queue[next];
			at = next;
		}
		p->nqueue--;
		return true;
	}
	return false;
}

static struct slot *
slot_series(struct jailer *p, uint64_t id)
{
	for (uint32_t i = 0; i < p->config.children; i++) {
		struct slot *s = &p->slots[i];

		if (s->series && s->id == id &&
		    (s->state == BUSY || s->state == BETWEEN))
			return s;
	}
	return NULL;
}

static void
job_more(struct jailer *p, const struct ipc_msg *msg)
{
	struct slot *s = slot_series(p, msg->id);

	if (s == NULL || s->state != BETWEEN) {
		tell_failure(msg->id, JAILER_DIED, "there is no such series");
	} else if (s->pid == 0) {
		s->state = EMPTY;
		tell_failure(msg->id, JAILER_DIED, "died between two records");
	} else if (slot_send(p, s, msg) == -1) {
		tell_death(p, s, msg->id, slot_end(s));
	}
}

static void
job_drop(struct jailer *p, uint64_t id)
{
	struct slot *s = slot_series(p, id);
	bool busy;

	if (s == NULL) {
		if (job_unqueue(p, id))
			tell_failure(id, JAILER_DIED, "dropped");
		return;
	}
	busy = s->state == BUSY;
	if (s->pid != 0)
		slot_end(s);
	s->state = EMPTY;
	if (busy)
		tell_failure(id, JAILER_DIED, "dropped");
}

/* Returns false when the core has closed its end. */
static bool
core_message(struct jailer *p)
{
	struct ipc_msg msg;
	int got = ipc_recv(JAILER_CORE, &msg);

	if (got == 0 || (got == -1 && errno == ECONNRESET))
		return false;
	if (got == -1)
		err(EX_OSERR, "receiving from mailkeyd");
	switch (msg.type) {
	case JAILER_JOB:
	case JAILER_SERIES:
		if (msg.fd[0] == -1 || msg.fd[1] == -1)
			errx(EX_PROTOCOL, "a job without its descriptors");
		job_queue(p, &msg);
		break;
	case JAILER_MORE:
		if (msg.fd[1] == -1)
			errx(EX_PROTOCOL, "a job without its descriptor");
		job_more(p, &msg);
		break;
	case JAILER_DROP:
		job_drop(p, msg.id);
		break;
	default:
		errx(EX_PROTOCOL, "message %u is not known", msg.type);
	}
	ipc_msg_close(&msg);
	return true;
}

/* ---- what children say --------------------------------------------------- */

static bool
is_done(
    const struct slot *s, const struct ipc_msg *msg, enum jailer_status status)
{
	return s->state == BUSY && msg->type == JAILER_DONE &&
	       msg->id == s->id && msg->status == status && msg->fd[0] == -1 &&
	       msg->fd[1] == -1 && msg->a <= (s->series ? 1 : 0);
}

static void
slot_done(struct jailer *p, struct slot *s, const struct ipc_msg *said)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, JAILER_DONE, s->id);
	msg.status = JAILER_OK;
	msg.a = said->a;
	msg.b = said->b;
	tell(&msg);
	s->wait = false;
	if (said->a == 1) {
		s->state = BETWEEN;
		return;
	}
	s->state = READY;
	ipc_msg_close(&s->job);
	if (s->series || s->all || ++s->served >= p->config.jobs)
		slot_retire(p, s);
}

/* The child is gone (why: NULL), or is no longer ours to trust. */
static void
slot_died(const struct jailer *p, struct slot *s, const char *why)
{
	bool busy = s->state == BUSY, between = s->state == BETWEEN;
	int status = slot_end(s);

	if (busy && why != NULL)
		tell_failure(s->id, JAILER_DIED, why);
	else if (busy)
		tell_death(p, s, s->id, status);
	else if (between)
		s->state = BETWEEN;
	/* one that dies without work would die again at once */
	s->wait = !busy ||
		  (WIFEXITED(status) && WEXITSTATUS(status) == JAILED_NO_LOCK);
}

static void
slot_message(struct jailer *p, struct slot *s)
{
	struct ipc_msg msg;
	int got = ipc_recv(s->sock, &msg);
	bool ended = got == 0 || (got == -1 && errno == ECONNRESET);

	if (got == 1 && is_done(s, &msg, JAILER_OK))
		slot_done(p, s, &msg);
	else if (got == 1 && is_done(s, &msg, JAILER_AGAIN) && !s->series &&
		 !s->all && p->kind->prepare_all != NULL)
		job_again(p, s);
	else
		slot_died(p, s, ended ? NULL : "it said what cannot be");
	ipc_msg_close(&msg);
}

static void
slot_late(const struct jailer *p, struct slot *s)
{
	char why[80];

	slot_end(s);
	snprintf(why, sizeof(why), "out of time (%u seconds)",
	    (unsigned)p->config.deadline);
	tell_failure(s->id, JAILER_DIED, why);
}

/* ---- the loop ------------------------------------------------------------ */

/* A fresh child for each idle slot, so that a job need not wait for it. */
static void
fill_all(struct jailer *p)
{
	for (uint32_t i = 0; i < p->config.children; i++) {
		struct slot *s = &p->slots[i];

		if (s->state == EMPTY && !s->wait)
			s->wait = slot_fill(p, s) == -1;
	}
}

/* Prepares polls; returns how long poll(2) may wait. */
static int
watch(struct jailer *p)
{
	int64_t now = now_ms(), least = -1;

	p->polls[0] = (struct pollfd){.fd = JAILER_CORE, .events = POLLIN};
	for (uint32_t i = 0; i < p->config.children; i++) {
		struct slot *s = &p->slots[i];
		int64_t left = s->deadline > now ? s->deadline - now : 0;

		p->polls[i + 1] =
		    (struct pollfd){.fd = s->sock, .events = POLLIN};
		if (s->state == BUSY && (least == -1 || left < least))
			least = left;
	}
	if (p->nending > 0 && (least == -1 || least > REAP_MS))
		least = REAP_MS;
	return least > 60000 ? 60000 : (int)least;
}

static void
run(struct jailer *p)
{
	for (;;) {
		int64_t now;

		slot_reap(p);
		start_jobs(p);
		fill_all(p);
		if (poll(p->polls, p->config.children + 1, watch(p)) == -1) {
			if (errno == EINTR)
				continue;
			err(EX_OSERR, "poll");
		}
		now = now_ms();
		for (uint32_t i = 0; i < p->config.children; i++) {
			struct slot *s = &p->slots[i];

			if (p->polls[i + 1].revents != 0)
				slot_message(p, s);
			else if (s->state == BUSY && s->deadline <= now)
				slot_late(p, s);
		}
		if (p->polls[0].revents != 0 && !core_message(p))
			return;
	}
}

/* ---- the start ----------------------------------------------------------- */

static void
configure(struct jailer *p)
{
	struct jailer_config *c = &p->config;
	struct ipc_msg msg;
	char *data = NULL;
	size_t len;
	int got = ipc_recv(JAILER_CORE, &msg);

	if (got == 0)
		exit(EX_OK);
	if (got == -1)
		err(EX_USAGE,
		    "no socket at descriptor %d (mailkeyd starts this program)",
		    JAILER_CORE);
	if (msg.type != JAILER_CONFIG || msg.fd[0] == -1 ||
	    ipc_slurp(msg.fd[0], p->kind->config_size, &data, &len) == -1 ||
	    len != p->kind->config_size)
		errx(EX_PROTOCOL, "the first message is no configuration");
	ipc_msg_close(&msg);
	memcpy(c, data, sizeof(*c));
	p->all = data;
	if (c->size != p->kind->config_size)
		errx(EX_PROTOCOL, "mailkeyd is of another version");
	if (c->children == 0 || c->children > CHILDREN_MAX || c->jobs == 0 ||
	    c->deadline == 0 || c->cpu == 0 || !p->kind->config_sound(data))
		errx(EX_PROTOCOL, "a number in the configuration cannot be");
}

/* What was inherited and would be in the way. */
static void
clear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	ipc_helper(JAILER_CORE);
}

static void
make_jail(struct jailer *p)
{
	const struct jail_limits limits = {.memory = p->config.memory,
	    .cpu = p->config.cpu,
	    .file_size = p->kind->record_max,
	    .files = JAIL_FILES,
	    .keep = JAILER_CORE + 1};
	const char *what;

	p->jail = jail_new(p->kind->work, &limits, &what);
	if (p->jail == NULL)
		err(EX_OSERR, "the jail: %s", what);
}

/* Its address space; 0: not known. */
static uint64_t
mapped_octets(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;
	char line[128];

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL)
		pages = strtoul(line, NULL, 10);
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

int
jailer_main(int argc, const struct jailer_kind *kind)
{
	static struct jailer p = {.null = -1};

	if (argc != 1)
		errx(EX_USAGE, "no arguments: mailkeyd starts this program");
	p.kind = kind;
	close_range(JAILER_CORE + 1, ~0u, 0);
	clear_signals();
	configure(&p);
	p.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	p.slots = calloc(p.config.children, sizeof(*p.slots));
	p.polls = calloc(p.config.children + 1, sizeof(*p.polls));
	if (p.null == -1 || p.slots == NULL || p.polls == NULL)
		err(EX_OSERR, "starting");
	for (uint32_t i = 0; i < p.config.children; i++) {
		p.slots[i].sock = -1;
		ipc_msg_init(&p.slots[i].job, 0, 0);
	}
	make_jail(&p);
	kind->prepare(p.all);
	p.mapped = mapped_octets();
	run(&p);
	return EX_OK;
}
