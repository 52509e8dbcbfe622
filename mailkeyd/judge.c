/*
 * Has each certificate judged by the verifier, and asks mailkeyd-checker about
 * what that leaves undecided: what waits while one run is under way goes
 * together into the next.
 */
#include "mailkeyd/judge.h"
#include "mailkeyd/checker.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_CLAIMS   2000	 /* signatures in one run of gpg */
#define RUN_OCTETS   (16u << 20) /* octets in one run of gpg */
#define DEADLINE     10000	 /* milliseconds for one certificate */
#define RUN_DEADLINE 30000	 /* milliseconds for a run of several */
#define GRACE	     5000	 /* until the checker itself is killed */
#define DEATHS	     3 /* of the checker under one certificate; then: later */

struct judge {
	const struct config *config;
	struct native *native;
	struct helper *helper;
	struct loop_timer *watchdog;
	struct trial_list waiting, away;
	size_t naway; /* claims in the run */
	uint64_t run;
	uint64_t asked;
};

static void judge_pump(struct judge *);

static int
judge_up(void *ctx, struct helper *helper)
{
	struct judge *j = ctx;
	struct ipc_msg msg;
	int n, rv = -1;

	ipc_msg_init(&msg, CHECKER_CONFIG, 0);
	n = snprintf(msg.text, sizeof(msg.text), "%s/gnupg", j->config->state);
	if (n < 0 || (size_t)n >= sizeof(msg.text))
		return -1;
	if (j->config->gpg != NULL)
		msg.fd[0] = ipc_memfd(
		    "gpg", j->config->gpg, strlen(j->config->gpg), true);
	msg.a = RUN_DEADLINE;
	if (j->config->gpg == NULL || msg.fd[0] != -1)
		rv = helper_send(helper, &msg);
	ipc_msg_close(&msg);
	loop_timer_set(j->watchdog, -1);
	if (rv == 0)
		judge_pump(j);
	return rv;
}

/* Certificates in the run. */
static size_t
run_size(const struct judge *j)
{
	const struct trial *trial;
	size_t n = 0;

	TAILQ_FOREACH(trial, &j->away, next)
		n++;
	return n;
}

/* Of the run that is under way; the reason may quote what came from outside. */
static void
run_log(const struct judge *j, int level, const char *event, const char *why)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f,
	    "helper=mailkeyd-checker event=%s certificates=%zu reason=", event,
	    run_size(j));
	log_value(f, why);
	if (fclose(f) == 0)
		log_line(level, "%s", line);
	free(line);
}

/* Moves what goes into one run from `waiting` to `away`. */
static void
run_choose(struct judge *j)
{
	struct trial *trial;
	size_t octets = 0;

	j->naway = 0;
	while ((trial = TAILQ_FIRST(&j->waiting)) != NULL) {
		octets += trial_octets(trial);
		if (j->naway > 0 && (trial->alone || octets > RUN_OCTETS ||
					j->naway + trial->nclaims > RUN_CLAIMS))
			break;
		TAILQ_REMOVE(&j->waiting, trial, next);
		TAILQ_INSERT_TAIL(&j->away, trial, next);
		trial->state = TRIAL_AWAY;
		j->naway += trial->nclaims;
		if (trial->alone)
			break;
	}
}

/* Back to where they waited, in their order. */
static void
run_back(struct judge *j)
{
	struct trial *trial;

	j->naway = 0;
	while ((trial = TAILQ_LAST(&j->away, trial_list)) != NULL) {
		TAILQ_REMOVE(&j->away, trial, next);
		trial->state = TRIAL_WAITS;
		TAILQ_INSERT_HEAD(&j->waiting, trial, next);
	}
}

/* Why nothing that gpg says, or fails to say, is enough; NULL: it is. */
static const char *
trial_unasked(const struct trial *trial)
{
	for (size_t i = 0; trial->unasked && i < trial->nclaims; i++)
		if (!pgp_claim_is_for_gpg(&trial->claims[i]))
			return "the verifier cannot be asked";
	return NULL;
}

/*
 * A run that failed is repeated one certificate at a time, so that a hostile
 * one harms only its own mail; alone, it is that one which cannot be judged:
 * nothing of it counts as verified.
 */
static void
run_failed(struct judge *j, const char *why)
{
	struct trial *trial = TAILQ_FIRST(&j->away);
	const char *later;

	run_log(j, LOG_WARNING, "run_failed", why);
	if (run_size(j) == 1 && trial->alone) {
		TAILQ_REMOVE(&j->away, trial, next);
		j->naway = 0;
		later = trial_unasked(trial);
		trial_end(trial, later != NULL, later == NULL ? why : later);
		return;
	}
	TAILQ_FOREACH(trial, &j->away, next)
		trial->alone = true;
	run_back(j);
}

/* The checker itself has ended.  Somebody else may have killed it, or it may
 * be broken: that is no certificate's fault. */
static void
run_lost(struct judge *j, const char *why)
{
	struct trial *trial = TAILQ_FIRST(&j->away);

	if (!trial->alone || TAILQ_NEXT(trial, next) != NULL)
		run_failed(j, why);
	else if (++trial->deaths < DEATHS)
		run_back(j);
	else {
		j->naway = 0;
		trials_later(&j->away, "the checker ended again and again");
	}
}

static void
run_no_gpg(struct judge *j, const char *why)
{
	run_log(j, LOG_ERR, "no_gpg", why);
	j->naway = 0;
	trials_later(&j->away, "gpg cannot be run");
}

/* How the verdicts on its claims begin.  Why it is not judged; NULL: it is. */
static const char *
trial_decide(const struct trial *trial, const unsigned char *verdict)
{
	const char *why = trial_unasked(trial);

	for (size_t i = 0; i < trial->nclaims; i++) {
		trial->claims[i].sig->verified = verdict[i] == CHECKER_GOOD;
		if (verdict[i] == CHECKER_UNHEARD)
			why = "gpg was killed";
	}
	return why;
}

static void
run_verdict(struct judge *j, const unsigned char *verdict)
{
	struct trial_list done = TAILQ_HEAD_INITIALIZER(done);
	struct trial *trial;
	const char *why;

	j->asked += j->naway;
	j->naway = 0;
	TAILQ_CONCAT(&done, &j->away, next);
	while ((trial = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, trial, next);
		why = trial_decide(trial, verdict);
		verdict += trial->nclaims;
		trial_end(trial, why != NULL, why == NULL ? "" : why);
	}
}

static void
run_answered(struct judge *j, int fd)
{
	char *data = NULL;
	size_t len = 0;

	if (ipc_slurp(fd, j->naway, &data, &len) == -1 && errno != EFBIG)
		run_no_gpg(j, strerror(errno));
	else if (data == NULL || len != j->naway)
		run_failed(j, "the checker's answer has the wrong length");
	else
		run_verdict(j, (const unsigned char *)data);
	free(data);
}

static void
judge_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct judge *j = ctx;

	if (msg->type != CHECKER_JUDGED || msg->id != j->run ||
	    TAILQ_EMPTY(&j->away)) {
		helper_kill(helper);
		return;
	}
	loop_timer_set(j->watchdog, -1);
	if (msg->status == CHECKER_NO_GPG)
		run_no_gpg(j, msg->text);
	else if (msg->status != CHECKER_OK)
		run_failed(j, msg->text);
	else
		run_answered(j, msg->fd[0]);
	judge_pump(j);
}

/* Sends the run that was chosen; on failure all of it waits again, or is told
 * to come later where that would not help. */
static void
run_start(struct judge *j)
{
	struct trial *first = TAILQ_FIRST(&j->away);
	struct ipc_msg msg;
	long deadline =
	    TAILQ_NEXT(first, next) == NULL ? DEADLINE : RUN_DEADLINE;

	ipc_msg_init(&msg, CHECKER_JUDGE, ++j->run);
	msg.a = (uint64_t)deadline;
	msg.fd[0] = trials_record(&j->away, j->naway);
	if (msg.fd[0] == -1) {
		j->naway = 0;
		trials_later(&j->away, "no memory");
		return;
	}
	if (helper_send(j->helper, &msg) == 0)
		loop_timer_set(j->watchdog, deadline + GRACE);
	else {
		/* It has ended, and its socket will say so in this round. */
		run_back(j);
		helper_kill(j->helper);
	}
	ipc_msg_close(&msg);
}

static void
judge_pump(struct judge *j)
{
	while (j->helper != NULL && helper_is_up(j->helper) &&
	       TAILQ_EMPTY(&j->away) && !TAILQ_EMPTY(&j->waiting)) {
		run_choose(j);
		run_start(j);
	}
}

/* Milliseconds without any checker. */
static long
patience(const struct judge *j)
{
	return (long)j->config->helper_timeout * 1000;
}

/* From now on nobody waits for ever. */
static void
judge_down(void *ctx, struct helper *helper)
{
	struct judge *j = ctx;

	(void)helper;
	loop_timer_set(j->watchdog, patience(j));
	if (!TAILQ_EMPTY(&j->away))
		run_lost(j, "the checker ended");
}

static void
judge_late(void *ctx)
{
	struct judge *j = ctx;

	if (helper_is_up(j->helper)) {
		run_failed(j, "the checker is out of time");
		helper_kill(j->helper);
	} else {
		loop_timer_set(j->watchdog, patience(j));
		trials_later(&j->waiting, "the checker cannot be started");
	}
}

/* The verifier has said what it can; what is left is gpg's. */
static void
judge_left(void *ctx, struct trial *trial)
{
	struct judge *j = ctx;

	if (trial->nclaims == 0) {
		trial_end(trial, false, "");
		return;
	}
	trial->state = TRIAL_WAITS;
	TAILQ_INSERT_TAIL(&j->waiting, trial, next);
	judge_pump(j);
}

static const struct helper_calls judge_calls = {
    judge_up, judge_message, judge_down};

struct judge *
judge_new(struct loop *loop, const struct config *config)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->config = config;
	TAILQ_INIT(&j->waiting);
	TAILQ_INIT(&j->away);
	j->watchdog = loop_timer_new(loop, judge_late, j);
	if (j->watchdog != NULL)
		j->native = native_new(loop, config, judge_left, j);
	if (j->native != NULL)
		j->helper = helper_new(
		    loop, config->libexec, "mailkeyd-checker", &judge_calls, j);
	if (j->helper == NULL) {
		judge_free(j);
		return NULL;
	}
	return j;
}

void
judge_free(struct judge *j)
{
	if (j == NULL)
		return;
	helper_free(j->helper);
	j->helper = NULL;
	native_free(j->native);
	j->native = NULL;
	run_back(j);
	trials_later(&j->waiting, "the server is ending");
	loop_timer_free(j->watchdog);
	free(j);
}

void
trial_start(struct judge *j, struct trial *trial)
{
	trial->state = TRIAL_IDLE;
	trial->alone = false;
	trial->deaths = 0;
	trial->claims = pgp_cert_claims(trial->cert, &j->config->limits.policy,
	    trial->left, &trial->nclaims);
	if (trial->claims == NULL) {
		bool memory = trial->nclaims == SIZE_MAX;

		trial->nclaims = 0;
		trial_end(trial, memory, memory ? "no memory" : "");
		return;
	}
	native_start(j->native, trial);
}

bool
judge_is_up(const struct judge *j)
{
	return helper_is_up(j->helper);
}

bool
judge_is_idle(const struct judge *j)
{
	return native_is_idle(j->native) && TAILQ_EMPTY(&j->away) &&
	       TAILQ_EMPTY(&j->waiting);
}

unsigned
judge_deaths(const struct judge *j)
{
	return helper_deaths(j->helper);
}

uint64_t
judge_asked(const struct judge *j)
{
	return j->asked;
}

void
judge_native(const struct judge *j, struct native_counts *counts)
{
	native_count(j->native, counts);
}
