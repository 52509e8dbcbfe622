/*
 * Asks mailkeyd-checker which signatures verify: what waits while one run is
 * under way goes together into the next.
 */
#include "mailkeyd/judge.h"
#include "mailkeyd/checker.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_CLAIMS   2000	 /* signatures in one run of gpg */
#define RUN_OCTETS   (16u << 20) /* octets in one run of gpg */
#define DEADLINE     10000	 /* milliseconds for one certificate */
#define RUN_DEADLINE 30000	 /* milliseconds for a run of several */
#define GRACE	     5000	 /* until the checker itself is killed */

TAILQ_HEAD(trial_list, trial);

struct judge {
	const struct config *config;
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
	int n, rv;

	ipc_msg_init(&msg, CHECKER_CONFIG, 0);
	n = snprintf(msg.text, sizeof(msg.text), "%s/gnupg", j->config->state);
	if (n < 0 || (size_t)n >= sizeof(msg.text))
		return -1;
	if (j->config->gpg != NULL)
		msg.fd[0] = ipc_memfd(
		    "gpg", j->config->gpg, strlen(j->config->gpg), true);
	msg.a = RUN_DEADLINE;
	rv = helper_send(helper, &msg);
	ipc_msg_close(&msg);
	if (rv == 0)
		judge_pump(j);
	return rv;
}

/* Ends a trial; the caller may free it in `done`. */
static void
trial_end(struct trial *trial, bool later, const char *why)
{
	free(trial->claims);
	trial->claims = NULL;
	trial->nclaims = 0;
	trial->state = TRIAL_IDLE;
	trial->done(trial, later, why);
}

/* The small certificates of one trial into the record of a run. */
static int
trial_put(struct ipc_out *out, const struct trial *trial)
{
	for (size_t i = 0; i < trial->nclaims; i++) {
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);
		int bad;

		if (f == NULL)
			return -1;
		bad = pgp_claim_write(f, &trial->claims[i]);
		bad |= fclose(f);
		if (!bad)
			ipc_put_blob(out, text, len);
		free(text);
		if (bad || out->failed)
			return -1;
	}
	return 0;
}

/* How much a claim adds to a run. */
static size_t
trial_octets(const struct trial *trial)
{
	size_t octets = 0;

	for (size_t i = 0; i < trial->nclaims; i++)
		octets += trial->claims[i].primary->len +
		    trial->claims[i].on->len + trial->claims[i].sig->len;
	return octets;
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
		if (j->naway > 0 &&
		    (trial->alone || octets > RUN_OCTETS ||
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

static int
run_send(struct judge *j, long deadline)
{
	struct ipc_out out = {0};
	struct trial *trial;
	struct ipc_msg msg;
	int rv = 0;

	ipc_msg_init(&msg, CHECKER_JUDGE, ++j->run);
	msg.a = (uint64_t)deadline;
	ipc_put_u32(&out, (uint32_t)j->naway);
	TAILQ_FOREACH(trial, &j->away, next)
	rv |= trial_put(&out, trial);
	if (rv == 0 && !out.failed)
		msg.fd[0] = ipc_memfd("claims", out.data, out.len, true);
	ipc_out_free(&out);
	if (msg.fd[0] == -1)
		return -1;
	rv = helper_send(j->helper, &msg);
	ipc_msg_close(&msg);
	return rv;
}

/*
 * A run that failed is repeated one certificate at a time, so that a hostile
 * one harms only its own mail; alone, it is that one which cannot be judged:
 * nothing of it counts as verified.  `later`: the fault is ours.
 */
static void
run_failed(struct judge *j, bool later, const char *why)
{
	struct trial_list failed = TAILQ_HEAD_INITIALIZER(failed);
	struct trial *trial;
	size_t n = 0;

	TAILQ_CONCAT(&failed, &j->away, next);
	j->naway = 0;
	TAILQ_FOREACH(trial, &failed, next)
	n++;
	log_line(LOG_WARNING,
	    "helper=mailkeyd-checker event=run_failed certificates=%zu "
	    "reason=\"%s\"",
	    n, why);
	while ((trial = TAILQ_LAST(&failed, trial_list)) != NULL) {
		TAILQ_REMOVE(&failed, trial, next);
		if (n == 1 && trial->alone) {
			trial_end(trial, later, why);
			return;
		}
		trial->alone = true;
		trial->state = TRIAL_WAITS;
		TAILQ_INSERT_HEAD(&j->waiting, trial, next);
	}
}

static void
run_no_gpg(struct judge *j, const char *why)
{
	struct trial *trial;

	log_line(LOG_ERR, "helper=mailkeyd-checker event=no_gpg reason=\"%s\"",
	    why);
	j->naway = 0;
	while ((trial = TAILQ_FIRST(&j->away)) != NULL) {
		TAILQ_REMOVE(&j->away, trial, next);
		trial_end(trial, true, "gpg cannot be run");
	}
}

static void
run_verdict(struct judge *j, const unsigned char *verdict)
{
	struct trial_list done = TAILQ_HEAD_INITIALIZER(done);
	struct trial *trial;

	j->asked += j->naway;
	j->naway = 0;
	TAILQ_CONCAT(&done, &j->away, next);
	while ((trial = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, trial, next);
		for (size_t i = 0; i < trial->nclaims; i++)
			trial->claims[i].sig->verified = *verdict++ == 1;
		trial_end(trial, false, "");
	}
}

static void
judge_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct judge *j = ctx;
	char *data = NULL;
	size_t len = 0;

	if (msg->type != CHECKER_JUDGED || msg->id != j->run ||
	    TAILQ_EMPTY(&j->away)) {
		helper_kill(helper);
		return;
	}
	loop_timer_set(j->watchdog, -1);
	if (msg->status == CHECKER_NO_GPG)
		run_no_gpg(j, msg->text);
	else if (msg->status != CHECKER_OK)
		run_failed(j, false, msg->text);
	else if (ipc_slurp(msg->fd[0], j->naway, &data, &len) == -1 ||
	    len != j->naway)
		run_failed(
		    j, false, "the checker's answer has the wrong length");
	else
		run_verdict(j, (const unsigned char *)data);
	free(data);
	judge_pump(j);
}

static void
judge_pump(struct judge *j)
{
	struct trial *first;
	long deadline;

	while (j->helper != NULL && helper_is_up(j->helper) &&
	    TAILQ_EMPTY(&j->away) && !TAILQ_EMPTY(&j->waiting)) {
		run_choose(j);
		first = TAILQ_FIRST(&j->away);
		deadline = TAILQ_NEXT(first, next) == NULL ? DEADLINE
							   : RUN_DEADLINE;
		if (run_send(j, deadline) == 0) {
			loop_timer_set(j->watchdog, deadline + GRACE);
			return;
		}
		run_failed(j, true, "the checker cannot be reached");
	}
}

static void
judge_down(void *ctx, struct helper *helper)
{
	struct judge *j = ctx;

	(void)helper;
	loop_timer_set(j->watchdog, -1);
	if (!TAILQ_EMPTY(&j->away))
		run_failed(j, false, "the checker ended");
}

static void
judge_late(void *ctx)
{
	struct judge *j = ctx;

	helper_kill(j->helper);
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
		j->helper = helper_new(
		    loop, config->libexec, "mailkeyd-checker", &judge_calls, j);
	if (j->helper == NULL) {
		loop_timer_free(j->watchdog);
		free(j);
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
	loop_timer_free(j->watchdog);
	free(j);
}

void
trial_start(struct judge *j, struct trial *trial)
{
	trial->state = TRIAL_IDLE;
	trial->alone = false;
	trial->claims = pgp_cert_claims(
	    trial->cert, &j->config->limits.policy, trial->left,
	    &trial->nclaims);
	if (trial->claims == NULL) {
		bool memory = trial->nclaims == SIZE_MAX;

		trial->nclaims = 0;
		trial_end(trial, memory, memory ? "no memory" : "");
		return;
	}
	trial->state = TRIAL_WAITS;
	TAILQ_INSERT_TAIL(&j->waiting, trial, next);
	judge_pump(j);
}

void
trial_drop(struct judge *j, struct trial *trial)
{
	assert(trial->state != TRIAL_AWAY);
	if (trial->state == TRIAL_WAITS)
		TAILQ_REMOVE(&j->waiting, trial, next);
	free(trial->claims);
	trial->claims = NULL;
	trial->state = TRIAL_IDLE;
}

bool
judge_is_up(const struct judge *j)
{
	return helper_is_up(j->helper);
}

bool
judge_is_idle(const struct judge *j)
{
	return TAILQ_EMPTY(&j->away) && TAILQ_EMPTY(&j->waiting);
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
