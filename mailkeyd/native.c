/*
 * Asks mailkeyd-verifier which signatures are good: what has come in one round
 * of the loop goes to its children together, two of them at a time.
 */
#include "mailkeyd/native.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/verifier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS	   2 /* at a time: one for each processor of a small machine */
#define RUN_CLAIMS 256	       /* signatures in a run, about */
#define RUN_FEW	   16	       /* so many are not worth a second child */
#define RUN_OCTETS (16u << 20) /* octets in a run, about */
#define CPU	   10	       /* seconds of processor time for a run */
#define DEADLINE   30	       /* seconds of wall clock for a run */
#define DEATHS	   2 /* of the verifier under one certificate; then: gpg */
#define MEMORY	   ((uint64_t)256 << 20)

/* What one child has in hand. */
struct run {
	struct trial_list trials;
	size_t nclaims;
	uint64_t id; /* 0: none */
	int verdicts;
};

struct native {
	const struct config *config;
	native_done *done;
	void *ctx;
	struct helper *helper;
	struct loop_timer *pump, *watchdog;
	struct trial_list waiting;
	size_t nwaiting; /* claims */
	struct run runs[RUNS];
	uint64_t last_id;
	struct native_counts counts;
};

/* Milliseconds without any news of the verifier. */
static long
patience(const struct native *n)
{
	return (long)n->config->helper_timeout * 1000;
}

/* Seconds: before the verifier's own time is up, a child's is. */
static unsigned
deadline(const struct config *config)
{
	unsigned most = config->helper_timeout * 2 / 3;

	return most < DEADLINE ? most : DEADLINE;
}

static int
native_up(void *ctx, struct helper *helper)
{
	struct native *n = ctx;
	const struct jailer_config jailer = {.size = sizeof(jailer),
	    .children = RUNS + 1, /* and a spare one */
	    .jobs = n->config->jail_mails,
	    .deadline = deadline(n->config),
	    .cpu = CPU,
	    .memory = MEMORY};
	struct ipc_msg msg;
	int rv = -1;

	ipc_msg_init(&msg, VERIFIER_CONFIG, 0);
	msg.fd[0] = ipc_memfd("verifier", &jailer, sizeof(jailer), true);
	if (msg.fd[0] != -1)
		rv = helper_send(helper, &msg);
	ipc_msg_close(&msg);
	loop_timer_set(n->pump, 0);
	return rv;
}

/* Time runs while anybody waits. */
static void
native_moved(struct native *n)
{
	loop_timer_set(n->watchdog, native_is_idle(n) ? -1 : patience(n));
}

/* ---- the end of a trial -------------------------------------------------- */

/* The callee may free it, or go on with it. */
static void
trial_leave(struct native *n, struct trial *trial)
{
	n->counts.undecided += trial->nclaims;
	trial->state = TRIAL_IDLE;
	trial->alone = false;
	trial->deaths = 0;
	n->done(n->ctx, trial);
}

static void
trials_leave(struct native *n, struct trial_list *list, bool unasked)
{
	struct trial_list left = TAILQ_HEAD_INITIALIZER(left);
	struct trial *trial;

	TAILQ_CONCAT(&left, list, next);
	while ((trial = TAILQ_FIRST(&left)) != NULL) {
		TAILQ_REMOVE(&left, trial, next);
		trial->unasked = unasked;
		trial_leave(n, trial);
	}
}

/* What is decided goes out of the claims. */
static void
trial_decide(
    struct native *n, struct trial *trial, const unsigned char *verdict)
{
	size_t kept = 0;

	for (size_t i = 0; i < trial->nclaims; i++) {
		struct pgp_claim *claim = &trial->claims[i];

		if (verdict[i] == PGP_GOOD) {
			claim->sig->verified = true;
			n->counts.good++;
		} else if (verdict[i] == PGP_BAD) {
			n->counts.bad++;
		} else {
			trial->claims[kept++] = *claim;
		}
	}
	trial->nclaims = kept;
}

/* ---- runs ---------------------------------------------------------------- */

static void
run_log(const struct run *run, const char *event, const char *why)
{
	const struct trial *trial;
	char *line = NULL;
	size_t len = 0, certificates = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	TAILQ_FOREACH(trial, &run->trials, next)
		certificates++;
	fprintf(f,
	    "helper=mailkeyd-verifier event=%s certificates=%zu reason=", event,
	    certificates);
	log_value(f, why);
	if (fclose(f) == 0)
		log_line(LOG_WARNING, "%s", line);
	free(line);
}

/* Empties the run; its trials are the caller's. */
static void
run_take(struct run *run, struct trial_list *trials)
{
	TAILQ_CONCAT(trials, &run->trials, next);
	if (run->verdicts != -1)
		close(run->verdicts);
	run->verdicts = -1;
	run->nclaims = 0;
	run->id = 0;
}

/* That nobody could judge it is no certificate's fault. */
static void
run_later(struct run *run, const char *why)
{
	struct trial_list trials = TAILQ_HEAD_INITIALIZER(trials);

	run_take(run, &trials);
	trials_later(&trials, why);
}

/* Back to where they waited, in their order. */
static void
run_back(struct native *n, struct run *run)
{
	struct trial_list trials = TAILQ_HEAD_INITIALIZER(trials);
	struct trial *trial;

	run_take(run, &trials);
	while ((trial = TAILQ_LAST(&trials, trial_list)) != NULL) {
		TAILQ_REMOVE(&trials, trial, next);
		TAILQ_INSERT_HEAD(&n->waiting, trial, next);
		n->nwaiting += trial->nclaims;
	}
}

/*
 * The child died.  Of several certificates each is tried by itself, so that a
 * hostile one takes nothing from the others; of that one the verifier's word is
 * not asked again.
 */
static void
run_died(struct native *n, struct run *run, const char *why)
{
	struct trial_list trials = TAILQ_HEAD_INITIALIZER(trials);
	struct trial *trial = TAILQ_FIRST(&run->trials);
	bool alone = TAILQ_NEXT(trial, next) == NULL;

	run_log(run, alone ? "gave_up" : "run_failed", why);
	if (alone) {
		n->counts.killers++;
		run_take(run, &trials);
		trials_leave(n, &trials, false);
		return;
	}
	TAILQ_FOREACH(trial, &run->trials, next)
		trial->alone = true;
	run_back(n, run);
}

/* The verifier itself has ended: that is no certificate's fault, at first. */
static void
run_lost(struct native *n, struct run *run)
{
	struct trial_list given_up = TAILQ_HEAD_INITIALIZER(given_up);
	struct trial *trial, *next;

	run_log(run, "run_lost", "the verifier ended");
	for (trial = TAILQ_FIRST(&run->trials); trial != NULL; trial = next) {
		next = TAILQ_NEXT(trial, next);
		if (++trial->deaths < DEATHS)
			continue;
		TAILQ_REMOVE(&run->trials, trial, next);
		TAILQ_INSERT_TAIL(&given_up, trial, next);
	}
	run_back(n, run);
	trials_leave(n, &given_up, true);
}

static void
run_verdict(struct native *n, struct run *run)
{
	struct trial_list trials = TAILQ_HEAD_INITIALIZER(trials);
	struct trial *trial;
	char *verdict = NULL;
	size_t len = 0, done = 0;

	if (ipc_slurp(run->verdicts, run->nclaims, &verdict, &len) == -1 &&
	    errno == ENOMEM) {
		run_later(run, "no memory");
		return;
	}
	if (verdict == NULL || len != run->nclaims) {
		free(verdict);
		run_died(n, run, "the verdicts have the wrong length");
		return;
	}
	run_take(run, &trials);
	while ((trial = TAILQ_FIRST(&trials)) != NULL) {
		size_t nclaims = trial->nclaims;

		TAILQ_REMOVE(&trials, trial, next);
		trial_decide(n, trial, (unsigned char *)verdict + done);
		done += nclaims;
		trial_leave(n, trial);
	}
	free(verdict);
}

static void
native_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct native *n = ctx;
	struct run *run = NULL;

	for (size_t i = 0; i < RUNS; i++)
		if (n->runs[i].id != 0 && n->runs[i].id == msg->id)
			run = &n->runs[i];
	if (run == NULL || msg->type != VERIFIER_JUDGED) {
		helper_kill(helper);
		return;
	}
	if (msg->status == JAILER_OK) {
		run_verdict(n, run);
	} else if (msg->status == JAILER_DIED) {
		run_died(n, run, msg->text);
	} else {
		/* gpg needs more processes, and does not judge all that the
		 * verifier does */
		run_log(run, "no_child", msg->text);
		run_later(run, "no process for its signatures");
	}
	native_moved(n);
	loop_timer_set(n->pump, 0);
}

/* How many claims should go into the next run: with a lot to do, each child
 * gets its share. */
static size_t
run_share(const struct native *n)
{
	size_t idle = 0, share;

	for (size_t i = 0; i < RUNS; i++)
		idle += n->runs[i].id == 0;
	share = n->nwaiting / (idle > 0 ? idle : 1) + 1;
	if (share < RUN_FEW)
		return RUN_FEW;
	return share > RUN_CLAIMS ? RUN_CLAIMS : share;
}

static void
run_choose(struct native *n, struct run *run)
{
	size_t octets = 0, share = run_share(n);
	struct trial *trial;

	while ((trial = TAILQ_FIRST(&n->waiting)) != NULL) {
		octets += trial_octets(trial);
		if (run->nclaims > 0 &&
		    (trial->alone || octets > RUN_OCTETS ||
			run->nclaims + trial->nclaims > share))
			break;
		TAILQ_REMOVE(&n->waiting, trial, next);
		TAILQ_INSERT_TAIL(&run->trials, trial, next);
		n->nwaiting -= trial->nclaims;
		run->nclaims += trial->nclaims;
		if (trial->alone)
			break;
	}
}

/* What cannot be sent is lost with a verifier that has ended. */
static void
run_send(struct native *n, struct run *run)
{
	struct ipc_msg msg;
	bool ended = false;

	ipc_msg_init(&msg, VERIFIER_JUDGE, ++n->last_id);
	msg.fd[0] = trials_record(&run->trials, run->nclaims);
	msg.fd[1] = ipc_memfd("verdicts", NULL, 0, false);
	if (msg.fd[0] != -1 && msg.fd[1] != -1) {
		ended = helper_send(n->helper, &msg) == -1;
		run->id = msg.id;
		run->verdicts = msg.fd[1];
		msg.fd[1] = -1;
	} else {
		run_later(run, "no memory");
		native_moved(n);
	}
	ipc_msg_close(&msg);
	if (ended)
		helper_kill(n->helper);
}

static void
native_pump(void *ctx)
{
	struct native *n = ctx;

	for (size_t i = 0; i < RUNS && helper_is_up(n->helper); i++) {
		struct run *run = &n->runs[i];

		if (run->id != 0 || TAILQ_EMPTY(&n->waiting))
			continue;
		run_choose(n, run);
		run_send(n, run);
	}
}

static void
native_down(void *ctx, struct helper *helper)
{
	struct native *n = ctx;

	(void)helper;
	for (size_t i = 0; i < RUNS; i++)
		if (n->runs[i].id != 0)
			run_lost(n, &n->runs[i]);
	native_moved(n);
}

/* One that is silent for so long hangs; without any it is gpg's turn. */
static void
native_late(void *ctx)
{
	struct native *n = ctx;

	if (helper_is_up(n->helper)) {
		helper_kill(n->helper);
	} else {
		n->nwaiting = 0;
		trials_leave(n, &n->waiting, true);
	}
	native_moved(n);
}

static const struct helper_calls native_calls = {
    native_up, native_message, native_down};

struct native *
native_new(struct loop *loop, const struct config *config, native_done *done,
    void *ctx)
{
	struct native *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->config = config;
	n->done = done;
	n->ctx = ctx;
	TAILQ_INIT(&n->waiting);
	for (size_t i = 0; i < RUNS; i++) {
		TAILQ_INIT(&n->runs[i].trials);
		n->runs[i].verdicts = -1;
	}
	n->pump = loop_timer_new(loop, native_pump, n);
	n->watchdog = loop_timer_new(loop, native_late, n);
	if (n->pump != NULL && n->watchdog != NULL)
		n->helper = helper_new(loop, config->libexec,
		    "mailkeyd-verifier", &native_calls, n);
	if (n->helper == NULL) {
		native_free(n);
		return NULL;
	}
	return n;
}

void
native_free(struct native *n)
{
	if (n == NULL)
		return;
	helper_free(n->helper);
	n->helper = NULL;
	for (size_t i = 0; i < RUNS; i++)
		run_back(n, &n->runs[i]);
	trials_leave(n, &n->waiting, true);
	loop_timer_free(n->pump);
	loop_timer_free(n->watchdog);
	free(n);
}

/* Not at once: what else this round of the loop brings goes along. */
void
native_start(struct native *n, struct trial *trial)
{
	if (native_is_idle(n))
		loop_timer_set(n->watchdog, patience(n));
	trial->state = TRIAL_NATIVE;
	trial->alone = false;
	trial->deaths = 0;
	trial->unasked = false;
	TAILQ_INSERT_TAIL(&n->waiting, trial, next);
	n->nwaiting += trial->nclaims;
	loop_timer_set(n->pump, 0);
}

bool
native_is_idle(const struct native *n)
{
	for (size_t i = 0; i < RUNS; i++)
		if (n->runs[i].id != 0)
			return false;
	return TAILQ_EMPTY(&n->waiting);
}

void
native_count(const struct native *n, struct native_counts *counts)
{
	*counts = n->counts;
	counts->deaths = helper_deaths(n->helper);
}
