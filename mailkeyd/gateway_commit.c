/*
 * All that mails do to the store: handlers run, and certificates, answers,
 * digests and counters of all mails that wait enter it in one transaction.
 */
#include "db/fault.h"
#include "mailkeyd/gateway_job.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_MAILS 100 /* in one transaction */
#define GROUP_MS    10	/* of work in one transaction */

const char *
job_over_budget(enum budget_whose whose)
{
	/* by enum budget_whose */
	static const char *const why[] = {"", "over budget, not answered",
	    "its domain is over budget, not answered",
	    "the server is over budget, not answered"};

	return why[whose];
}

struct budget
job_budget(const struct job *job, time_t now)
{
	const struct gateway_parts *parts = &job->gateway->parts;

	return (struct budget){.ks = parts->ks,
	    .limits = &parts->config->limits,
	    .answer_to = job->answer_to,
	    .sender = job->sender,
	    .now = now};
}

/* The answer goes where it is to wait: with the certificates, all its parts
 * in the one transaction. */
static enum ks_status
answer_queue(struct job *job, const struct reply *reply, time_t now)
{
	struct gateway *gw = job->gateway;
	struct outbox_item item = {.due = now, .queued = now};
	struct limit_count count = {.helps = reply->help};
	struct budget budget = job_budget(job, now);
	enum ks_status status = KS_OK;
	char nothing[] = "";
	uint64_t id;

	errno = 0;
	if (answer_render(gw->parts.config, job->mail, job->answer_to, reply,
		now, &job->answer) == -1) {
		if (errno != EINVAL)
			return KS_NOMEM;
		/* Nor could it be next time. */
		job->note = "its answer cannot be written";
		return KS_OK;
	}
	job->nkeys = reply->nkeys;
	if (gw->parts.despatch == NULL)
		return KS_OK;
	item.recipient = (char *)(uintptr_t)job->answer_to;
	item.log_id = job->log_id;
	item.last_error = nothing;
	for (size_t i = 0; i < job->answer.n && status == KS_OK; i++) {
		item.message = job->answer.mails[i];
		status = outbox_add(gw->parts.ks, &item, &id);
	}
	count.replies = (uint32_t)job->answer.n;
	count.octets = job->answer.octets;
	if (status == KS_OK)
		status = budget_add(&budget, &count);
	return status;
}

/* A mail over a limit gets one answer that names it. */
static enum outcome
over_limit(const struct job *job, struct reply *reply)
{
	reply->suffix = ", failed";
	reply_wrap(reply, 0,
	    "Your mail was not worked on: it is over a limit of this server.");
	reply_printf(reply, "\n");
	reply_wrap(reply, 2, job->mail->why);
	reply_printf(reply, "\n");
	reply_wrap(reply, 0,
	    "Send less in one mail, or split it into several. The subject HELP "
	    "brings the list of commands.");
	return REFUSED;
}

void
adds_join(struct add_counts *to, const struct add_counts *from)
{
	to->added += from->added;
	to->changed += from->changed;
	to->unchanged += from->unchanged;
	to->refused += from->refused;
}

static enum ks_status
job_run(struct job *job, time_t now)
{
	struct gateway *gw = job->gateway;
	struct reply reply;
	enum ks_status status = KS_OK;

	if (reply_new(&reply) == -1)
		return KS_NOMEM;
	job->request.now = now;
	if (job->command == NULL)
		job->note = job->mail->why;
	job->outcome = job->command == NULL ? over_limit(job, &reply)
					    : job->command->run(gw->parts.ks,
						  &job->request, &reply);
	if (job->outcome == TRY_LATER)
		status = KS_IO;
	else if (reply_finish(&reply) == -1)
		status = KS_NOMEM;
	else if (job->answer_to != NULL)
		status = answer_queue(job, &reply, now);
	job->adds = reply.adds;
	adds_join(&job->adds, &job->stored);
	if (job->outcome == REFUSED && job->stored.added > 0)
		job->outcome = DONE;
	reply_free(&reply);
	return status;
}

/* Worth doing even if nobody hears of it. */
bool
job_stores(const struct job *job)
{
	return job->command != NULL && job->command->flags & COMMAND_KEYS &&
	       !(job->command->flags & COMMAND_DRY);
}

/*
 * Everything that a mail does to the store.  A repeat is only
 * acknowledged; over budget there is no answer, but a certificate is still
 * stored.
 */
static enum ks_status
job_work(struct job *job, time_t now)
{
	struct gateway *gw = job->gateway;
	bool lasting = gw->parts.despatch != NULL;
	enum budget_whose spent = BUDGET_LEFT;
	bool seen = false;
	struct budget budget = job_budget(job, now);
	const char *answer_to = job->answer_to;
	enum ks_status status = KS_OK;
	unsigned helps = 0;

	answer_free(&job->answer);
	job->nkeys = 0;
	job->spent = BUDGET_LEFT;
	job->adds = (struct add_counts){0};
	job->note =
	    answer_to != NULL || job->peer != NULL ? "" : NOTE_NO_ADDRESS;
	job->outcome = DONE;
	if (lasting && job->has_digest)
		status = seen_find(gw->parts.ks, job->digest, &seen);
	if (status != KS_OK || seen) {
		job->note = NOTE_REPEAT;
		return status;
	}
	if (lasting && answer_to != NULL)
		status = budget_get(&budget, &spent, &helps);
	if (status != KS_OK)
		return status;
	job->request.helps_today = helps;
	if (job->command == &command_invalid && budget_helps_spent(helps))
		spent = BUDGET_ADDRESS;
	if (spent != BUDGET_LEFT) {
		job->note = job_over_budget(spent);
		job->spent = spent;
		job->answer_to = NULL;
	}
	if (job->answer_to != NULL || job_stores(job))
		status = job_run(job, now);
	job->answer_to = answer_to;
	if (status == KS_OK && lasting && job->peer != NULL)
		status = sync_budget_add(gw->parts.ks, job->peer, SYNC_IN,
		    job->mail->ncerts, job->size, now);
	if (status == KS_OK && lasting && job->has_digest)
		status = seen_add(gw->parts.ks, job->digest, now);
	/* Requests without a body share what deaths are counted by; what killed
	 * a reader earlier was none of them. */
	if (status == KS_OK && lasting)
		status = poison_forget(gw->parts.ks, job->poison);
	return status;
}

/* ---- one transaction for all that waits ---------------------------------- */

static bool
job_adds(const struct job *job)
{
	size_t n = 0;

	if (job->intake == NULL)
		return false;
	intake_submissions(job->intake, &n);
	return n > 0;
}

static void
job_committed(struct job *job)
{
	struct gateway *gw = job->gateway;
	const char *said = "taken";

	for (size_t i = 0; gw->parts.answer != NULL && i < job->answer.n; i++)
		gw->parts.answer(gw->parts.ctx, &job->answer.mails[i]);
	if (strcmp(job->note, NOTE_REPEAT) == 0)
		gw->counts.repeats++;
	else if (job->answer.n == 0)
		gw->counts.silent++;
	else if (job->outcome == REFUSED)
		gw->counts.refused++;
	else
		gw->counts.done++;
	if (job->outcome == REFUSED)
		said = job->answer.n > 0 ? "taken, see the answer"
					 : "taken, not answered";
	job_finish(
	    job, FATE_DONE, job->outcome == REFUSED ? "refused" : "done", said);
}

/* One mail in a transaction of its own. */
static void
job_commit_alone(struct job *job)
{
	struct gateway *gw = job->gateway;
	enum ks_status status =
	    ks_begin(gw->parts.ks, job_adds(job) ? KS_ROOM_ADD : KS_ROOM_QUERY);

	if (status == KS_OK) {
		status = job_work(job, time(NULL));
		if (status == KS_OK)
			status = ks_commit(gw->parts.ks);
		else
			ks_abort(gw->parts.ks);
	}
	if (status == KS_OK) {
		gw->counts.commits++;
		job_committed(job);
		return;
	}
	if (status == KS_CORRUPT || status == KS_IO)
		log_line(LOG_ERR, "%s: event=store error=\"%s\" detail=\"%s\"",
		    job->log_id, ks_strerror(status),
		    ks_last_error(gw->parts.ks));
	job_later(job, ks_strerror(status));
}

/* Moves what goes together to `group` and works on it.  KS_OK: all of it is
 * ready to be committed. */
static enum ks_status
group_work(struct gateway *gw, struct job_list *group)
{
	int64_t began = loop_now_ms();
	enum ks_status status = KS_OK;
	time_t now = time(NULL);
	struct job *job;
	unsigned n = 0;

	while ((job = TAILQ_FIRST(&gw->ready)) != NULL && status == KS_OK &&
	       n++ < GROUP_MAILS && loop_now_ms() - began < GROUP_MS) {
		TAILQ_REMOVE(&gw->ready, job, next);
		TAILQ_INSERT_TAIL(group, job, next);
		status = job_work(job, now);
	}
	return status;
}

/* Where there is no room for certificates, their mails stay with their
 * sources, and queries still get their turn. */
static enum ks_status
group_begin(struct gateway *gw)
{
	enum ks_status status = ks_begin(gw->parts.ks, KS_ROOM_ADD);
	struct job *job, *next;

	if (status != KS_FULL)
		return status;
	for (job = TAILQ_FIRST(&gw->ready); job != NULL; job = next) {
		next = TAILQ_NEXT(job, next);
		if (job_adds(job)) {
			TAILQ_REMOVE(&gw->ready, job, next);
			job_later(job, ks_strerror(KS_FULL));
		}
	}
	return ks_begin(gw->parts.ks, KS_ROOM_QUERY);
}

/* Of a group no more is to be done: others get their turn. */
static void
group_after(struct gateway *gw)
{
	if (!TAILQ_EMPTY(&gw->ready))
		loop_timer_set(gw->again, 0);
	sync_kick(gw->parts.sync);
	if (gw->parts.despatch != NULL)
		despatch_kick(gw->parts.despatch);
}

static enum ks_status
group_transaction(struct gateway *gw, struct job_list *group)
{
	enum ks_status status = group_begin(gw);

	if (status != KS_OK) {
		TAILQ_CONCAT(group, &gw->ready, next);
		return status;
	}
	status = group_work(gw, group);
	if (status != KS_OK || TAILQ_EMPTY(group)) {
		ks_abort(gw->parts.ks);
		return status;
	}
	fault("worked");
	status = ks_commit_begin(gw->parts.ks);
	fault("committed");
	return status;
}

/*
 * While one group is synced, the next one gathers: what has arrived meanwhile
 * is committed together, and a lone mail waits for nobody.  When the
 * transaction fails, its mails are tried one by one, so that a bad one fails
 * alone.
 */
void
group_commit(void *ctx)
{
	struct gateway *gw = ctx;
	struct job *job;

	if (gw->parts.despatch != NULL)
		despatch_settle(gw->parts.despatch);
	if (TAILQ_EMPTY(&gw->ready) || !TAILQ_EMPTY(&gw->syncing))
		return;
	if (group_transaction(gw, &gw->syncing) == KS_OK)
		return;
	while ((job = TAILQ_FIRST(&gw->syncing)) != NULL) {
		TAILQ_REMOVE(&gw->syncing, job, next);
		job_commit_alone(job);
	}
	group_after(gw);
}

void
group_end(struct gateway *gw)
{
	enum ks_status status = ks_commit_end(gw->parts.ks);
	struct job *job;

	fault("synced");
	if (status == KS_OK)
		gw->counts.commits++;
	else
		log_line(LOG_ERR, "event=store error=\"%s\" detail=\"%s\"",
		    ks_strerror(status), ks_last_error(gw->parts.ks));
	while ((job = TAILQ_FIRST(&gw->syncing)) != NULL) {
		TAILQ_REMOVE(&gw->syncing, job, next);
		if (status == KS_OK)
			job_committed(job);
		else
			job_later(job, ks_strerror(status));
	}
	group_after(gw);
}
