/*
 * One mail from arrival to committed answer.
 *
 *	gateway_submit()   a source hands over the raw octets
 *	job_read()         the jailed reader has made a struct mail of them
 *	job_decide()       is it worth an answer, and which command is it?
 *	job_judged()       gpg has said which signatures verify
 *	group_commit()     the handlers run; certificates, answer, digest and
 *	                   counters of all mails that wait: one transaction
 *	job_finish()       the source is told, the log gets its line
 */
#include "mailkeyd/gateway.h"
#include "mailkeyd/answer.h"
#include "mailkeyd/budget.h"
#include "mailkeyd/etiquette.h"
#include "mailkeyd/hush.h"
#include "mailkeyd/intake.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/mail_digest.h"
#include "mailkeyd/quarantine.h"
#include "mailkeyd/sync_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_MAILS   100	  /* in one transaction */
#define GROUP_MS      10	  /* of work in one transaction */
#define IN_HAND_BYTES (64u << 20) /* of mails that are not done */
#define SLICE_MS      5		  /* of work for one mail at once */
#define STORE_STEP    10	  /* certificates of a sync mail */
#define POISON_DEATHS 2
#define SILENT_LINES  10 /* of a sender in an hour that say the same */

static const char ending[] = "the server is ending";
static const char repeat[] = "repeat";
static const char no_address[] = "no address to answer";
/* By enum budget_whose. */
static const char *const over_budget[] = {"", "over budget, not answered",
    "its domain is over budget, not answered",
    "the server is over budget, not answered"};

TAILQ_HEAD(job_list, job);

/* What takes a mail long, and is done in slices. */
enum phase { SEARCHES, TAKES, STORES };

struct job {
	struct gateway *gateway;
	TAILQ_ENTRY(job) next; /* in `ready`, `slicing`, or in the group */
	struct reading reading;
	char log_id[9];
	char *sender, *recipient; /* as struct envelope has them */
	const char *source;
	bool trust_from;
	int memfd;
	size_t size;
	gateway_done *done;
	void *ctx;
	int64_t began; /* ms */
	/* what the reader found */
	struct mail *mail;
	unsigned char body[DIGEST_LEN]; /* SHA-256 of what follows the header */
	/* what it is */
	const struct command *command; /* NULL: over a limit */
	struct request request;
	const struct config_peer *peer; /* whose sync mail; NULL: none */
	char *sent;			/* its X-KeyServer-Sent */
	const char *answer_to;		/* NULL: nobody */
	bool has_digest;
	unsigned char digest[DIGEST_LEN];
	struct intake *intake;
	enum phase phase;
	struct add_counts stored; /* of its certificates, in earlier slices */
	/* what became of it; made anew when a transaction is tried again */
	enum outcome outcome;
	const char *note; /* for the log, "" = none */
	struct answer answer;
	enum budget_whose spent;
	unsigned nkeys;		/* in the answer */
	struct add_counts adds; /* stored, with COMMAND_KEYS */
};

struct gateway {
	struct gateway_parts parts;
	struct job_list ready, slicing;
	size_t njobs, octets;
	struct loop_timer *again, *slice;
	time_t started;
	time_t paused; /* since when; 0: it is not */
	struct hush *hush;
	struct gateway_counts counts;
};

/* ---- the end of a mail --------------------------------------------------- */

static void
job_free(struct job *job)
{
	job->gateway->njobs--;
	job->gateway->octets -= job->size;
	intake_free(job->intake);
	request_free(&job->request);
	if (job->mail != NULL)
		mail_free(job->mail);
	free(job->mail);
	answer_free(&job->answer);
	if (job->memfd != -1)
		close(job->memfd);
	free(job->sender);
	free(job->recipient);
	free(job->sent);
	free(job);
}

/* Certificates: of an ADD those that came, else those that are sent. */
static void
log_keys(FILE *f, const struct job *job)
{
	const struct add_counts *adds = &job->adds;

	if (job->command != NULL && job->command->flags & COMMAND_KEYS)
		fprintf(f, " new=%u changed=%u unchanged=%u refused=%u",
		    adds->added, adds->changed, adds->unchanged, adds->refused);
	else
		fprintf(f, " keys=%u", job->nkeys);
}

/* Whether it is one of many that the log has a line about already. */
static bool
job_hushed(const struct job *job, const char *outcome)
{
	const char *who =
	    job->spent != BUDGET_LEFT ? job->answer_to : job->sender;
	bool first = job->spent != BUDGET_LEFT ||
		     strcmp(job->note, etiquette_denied) == 0;
	char name[BUDGET_NAME];
	const char *at;

	if (!first && strcmp(outcome, "silent") != 0 &&
	    strcmp(job->note, repeat) != 0)
		return false;
	budget_name(who == NULL ? "" : who, name);
	at = strrchr(name, '@');
	who = name;
	if (job->spent == BUDGET_DOMAIN && at != NULL)
		who = at + 1;
	else if (job->spent == BUDGET_SERVER)
		who = "";
	return !hush_passes(
	    job->gateway->hush, who, job->note, first ? 1 : SILENT_LINES);
}

static void
job_log(const struct job *job, const char *outcome)
{
	const char *address = job->gateway->parts.config->address;
	int64_t ms = loop_now_ms() - job->began;
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	if (job_hushed(job, outcome) ||
	    (f = open_memstream(&line, &len)) == NULL)
		return;
	fprintf(f, "%s: from=", job->log_id);
	log_value(f, job->sender == NULL ? "unknown" : job->sender);
	if (job->answer_to != NULL && job->sender != NULL &&
	    strcmp(job->answer_to, job->sender) != 0) {
		fprintf(f, " to=");
		log_value(f, job->answer_to);
	}
	if (job->recipient != NULL &&
	    strcasecmp(job->recipient, address) != 0) {
		fprintf(f, " recipient=");
		log_value(f, job->recipient);
	}
	fprintf(f, " source=%s", job->source);
	if (job->command != NULL)
		fprintf(f, " command=\"%s\"", job->command->name);
	if (job->request.argument != NULL && *job->request.argument != '\0') {
		fprintf(f, " arg=");
		log_value(f, job->request.argument);
	}
	if (job->peer != NULL) {
		fprintf(f, " peer=");
		log_value(f, job->peer->title);
	}
	fprintf(f, " outcome=%s", outcome);
	if (*job->note != '\0') {
		fprintf(f, " note=");
		log_value(f, job->note);
	}
	log_keys(f, job);
	fprintf(f, " size=%zu bytes=%zu delay=%lld.%03d", job->size,
	    job->answer.octets, (long long)(ms / 1000), (int)(ms % 1000));
	if (fclose(f) == 0)
		log_line(LOG_INFO, "%s", line);
	free(line);
}

/* The source is told: only now is the mail forgotten. */
static void
job_finish(
    struct job *job, enum fate fate, const char *outcome, const char *why)
{
	if (fate == FATE_LATER)
		job->gateway->counts.later++;
	job_log(job, outcome);
	if (job->done != NULL)
		job->done(job->ctx, fate, why);
	job_free(job);
}

/* Nothing of it is stored: what a handler had counted does not count. */
static void
job_later(struct job *job, const char *why)
{
	job->note = why;
	job->nkeys = 0;
	job->adds = (struct add_counts){0};
	job_finish(job, FATE_LATER, "later", why);
}

/* Not worth an answer, or not to be answered: done without a trace in the
 * store. */
static void
job_silent(struct job *job, const char *why)
{
	job->gateway->counts.silent++;
	job->note = why;
	job_finish(job, FATE_DONE, "silent", "taken, not answered");
}

/* ---- a mail that killed its reader --------------------------------------- */

/* Counts the death; the second time the mail goes into the quarantine. */
static void
job_poison(struct job *job, const char *why)
{
	struct gateway *gw = job->gateway;
	const char *sender = job->sender;
	unsigned char digest[DIGEST_LEN];
	char hex[2 * DIGEST_LEN + 1];
	struct quarantined q;
	enum ks_status status;
	unsigned count = 0;

	if (mail_digest_poison(sender, job->body, digest) == -1) {
		job_later(job, "no memory");
		return;
	}
	status = ks_begin(gw->parts.ks, KS_ROOM_QUERY);
	if (status == KS_OK) {
		status = poison_add(gw->parts.ks, digest, time(NULL), &count);
		if (status == KS_OK)
			status = ks_commit(gw->parts.ks);
		else
			ks_abort(gw->parts.ks);
	}
	if (status != KS_OK || count < POISON_DEATHS) {
		log_line(LOG_WARNING,
		    "%s: event=reader_died count=%u reason=\"%s\"", job->log_id,
		    count, why);
		job_later(job, "the mail could not be read, try again");
		return;
	}
	mail_digest_hex(digest, sizeof(digest), hex);
	q = (struct quarantined){.hex = hex,
	    .sender = job->sender,
	    .recipient = job->recipient,
	    .why = why};
	if (quarantine_add(gw->parts.config, &q, job->memfd) == -1) {
		log_line(LOG_ERR, "%s: event=quarantine error=\"%s\"",
		    job->log_id, strerror(errno));
		job_later(job, "the quarantine cannot be written");
		return;
	}
	log_line(LOG_WARNING, "%s: event=quarantine file=%s.eml reason=\"%s\"",
	    job->log_id, hex, why);
	gw->counts.quarantined++;
	job->note = "quarantined";
	job_finish(job, FATE_DONE, "quarantined", "taken, set aside");
}

/* ---- inside the transaction ---------------------------------------------- */

static struct budget
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

static void
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
static bool
job_stores(const struct job *job)
{
	return job->command != NULL && job->command->flags & COMMAND_KEYS &&
	       !(job->command->flags & COMMAND_DRY);
}

/*
 * Everything that a mail does to the store.  A repeat is only acknowledged;
 * over budget there is no answer, but a certificate is still stored.
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
	job->note = answer_to != NULL || job->peer != NULL ? "" : no_address;
	job->outcome = DONE;
	if (lasting && job->has_digest)
		status = seen_find(gw->parts.ks, job->digest, &seen);
	if (status != KS_OK || seen) {
		job->note = repeat;
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
		job->note = over_budget[spent];
		job->spent = spent;
		job->answer_to = NULL;
	}
	if (job->answer_to != NULL || job_stores(job))
		status = job_run(job, now);
	job->answer_to = answer_to;
	if (status == KS_OK && lasting && job->peer != NULL)
		status = sync_budget_add(
		    gw->parts.ks, job->peer, job->mail->ncerts, job->size, now);
	if (status == KS_OK && lasting && job->has_digest)
		status = seen_add(gw->parts.ks, job->digest, now);
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

	for (size_t i = 0; gw->parts.answer != NULL && i < job->answer.n; i++)
		gw->parts.answer(gw->parts.ctx, &job->answer.mails[i]);
	if (strcmp(job->note, repeat) == 0)
		gw->counts.repeats++;
	else if (job->answer.n == 0)
		gw->counts.silent++;
	else if (job->outcome == REFUSED)
		gw->counts.refused++;
	else
		gw->counts.done++;
	if (job->outcome == REFUSED)
		job_finish(job, FATE_DONE, "refused", "taken, see the answer");
	else
		job_finish(job, FATE_DONE, "done", "taken");
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
	status = ks_commit(gw->parts.ks);
	if (status == KS_OK)
		gw->counts.commits++;
	return status;
}

/*
 * What has arrived while the last sync ran is committed together; a lone mail
 * waits for nobody.  When the group's transaction fails, its mails are tried
 * one by one, so that a bad one fails alone.
 */
static void
group_commit(void *ctx)
{
	struct gateway *gw = ctx;
	struct job_list group = TAILQ_HEAD_INITIALIZER(group);
	enum ks_status status;
	struct job *job;

	if (gw->parts.despatch != NULL)
		despatch_settle(gw->parts.despatch);
	if (TAILQ_EMPTY(&gw->ready))
		return;
	status = group_transaction(gw, &group);
	while ((job = TAILQ_FIRST(&group)) != NULL) {
		TAILQ_REMOVE(&group, job, next);
		if (status == KS_OK)
			job_committed(job);
		else
			job_commit_alone(job);
	}
	if (!TAILQ_EMPTY(&gw->ready))
		loop_timer_set(gw->again, 0);
	sync_kick(gw->parts.sync);
	if (gw->parts.despatch != NULL)
		despatch_kick(gw->parts.despatch);
}

/* ---- what a mail is ------------------------------------------------------ */

static void
job_ready(struct job *job)
{
	TAILQ_INSERT_TAIL(&job->gateway->ready, job, next);
	loop_timer_set(job->gateway->again, 0);
}

/* Goes on in slices. */
static void
job_slice(struct job *job, enum phase phase)
{
	job->phase = phase;
	TAILQ_INSERT_TAIL(&job->gateway->slicing, job, next);
	loop_timer_set(job->gateway->slice, 0);
}

/* gpg has said which signatures verify. */
static void
job_judged(void *ctx, bool later, const char *why)
{
	struct job *job = ctx;

	if (later) {
		job_later(job, why);
		return;
	}
	job->request.submissions =
	    intake_submissions(job->intake, &job->request.nsubmissions);
	job->request.problems =
	    intake_problems(job->intake, &job->request.nproblems);
	if (job->peer != NULL && job->request.nsubmissions > STORE_STEP)
		job_slice(job, STORES);
	else
		job_ready(job);
}

static void
request_fill(struct job *job)
{
	const struct config *config = job->gateway->parts.config;
	struct request *request = &job->request;

	request->sender = job->answer_to == NULL ? "" : job->answer_to;
	request->address = config->address;
	request->site = config->name == NULL ? "" : config->name;
	request->admin = config->admins == NULL || config->admins[0] == NULL
			     ? ""
			     : config->admins[0];
	request->limits.max_reply_keys = config->limits.max_reply_keys;
	request->limits.keys_per_mail = config->limits.keys_per_mail;
	request->limits.reply_size = config->limits.reply_size;
	request->limits.max_parts = config->limits.max_parts;
	request->limits.max_last = config->limits.max_last;
	request->limits.max_last_reply_keys =
	    config->limits.max_last_reply_keys;
	request->limits.mget = config->limits.mget;
	request->limits.certifications = config->limits.policy.certifications;
	request->language = config->language;
	request->version = VERSION;
	request->started = job->gateway->started;
	request->from_peer = job->peer != NULL;
	request->sent = job->sent != NULL ? job->sent : "";
	request->nsecret = job->mail->nsecret;
	request->nover = job->mail->nover;
}

/* Not worth a search: nobody would hear what it found. */
static bool
job_unheard(const struct job *job)
{
	struct budget budget = job_budget(job, time(NULL));
	enum budget_whose spent = BUDGET_LEFT;
	unsigned helps;

	if (job->answer_to == NULL)
		return true;
	return job->gateway->parts.despatch != NULL &&
	       budget_get(&budget, &spent, &helps) == KS_OK &&
	       spent != BUDGET_LEFT;
}

/* One slice of a long search. */
static void
slice_search(struct job *job)
{
	struct gateway *gw = job->gateway;
	enum ks_status status;
	bool more;

	status = job->command->scan(gw->parts.ks, &job->request, &more);
	if (status != KS_OK)
		job_later(job, ks_strerror(status));
	else if (more)
		job_slice(job, SEARCHES);
	else
		job_ready(job);
}

/* Some certificates of many; the last ones are left to job_work(). */
static enum ks_status
store_some(struct job *job)
{
	int64_t began = loop_now_ms();
	enum ks_status status = KS_OK;

	while (status == KS_OK && job->request.nsubmissions > STORE_STEP &&
	       loop_now_ms() - began < SLICE_MS) {
		struct request part = job->request;
		struct reply reply;

		part.nsubmissions = STORE_STEP;
		if (reply_new(&reply) == -1)
			return KS_NOMEM;
		if (job->command->run(job->gateway->parts.ks, &part, &reply) ==
		    TRY_LATER)
			status = KS_IO;
		adds_join(&job->stored, &reply.adds);
		reply_free(&reply);
		job->request.submissions += STORE_STEP;
		job->request.nsubmissions -= STORE_STEP;
	}
	return status;
}

/*
 * A peer's mail may hold thousands of certificates, and brings them in several
 * transactions.  The last one, which is on the disk before the peer is told,
 * has the others on it, too; when it comes to none, the mail is delivered again
 * and what is stored is unchanged.
 */
static void
slice_store(struct job *job)
{
	struct keystore *ks = job->gateway->parts.ks;
	enum ks_status status = ks_begin(ks, KS_ROOM_ADD);

	if (status == KS_OK) {
		job->request.now = time(NULL);
		status = store_some(job);
		if (status == KS_OK)
			status = ks_commit_lazy(ks);
		else
			ks_abort(ks);
	}
	if (status != KS_OK)
		job_later(job, ks_strerror(status));
	else if (job->request.nsubmissions > STORE_STEP)
		job_slice(job, STORES);
	else
		job_ready(job);
}

/* One slice of one mail; the others that take long get theirs in turn. */
static void
gateway_slice(void *ctx)
{
	struct gateway *gw = ctx;
	struct job *job = TAILQ_FIRST(&gw->slicing);

	if (job == NULL)
		return;
	TAILQ_REMOVE(&gw->slicing, job, next);
	if (job->phase == SEARCHES)
		slice_search(job);
	else if (job->phase == STORES)
		slice_store(job);
	else if (intake_more(job->intake, SLICE_MS))
		job_slice(job, TAKES);
	if (!TAILQ_EMPTY(&gw->slicing))
		loop_timer_set(gw->slice, 0);
}

static void
job_search(struct job *job)
{
	if (job_unheard(job)) {
		job_ready(job);
		return;
	}
	job_slice(job, SEARCHES);
}

/* A slice at once, for most mails need no more. */
static void
job_take(struct job *job)
{
	if (intake_more(job->intake, SLICE_MS))
		job_slice(job, TAKES);
}

static void
job_command(struct job *job)
{
	struct gateway *gw = job->gateway;

	request_fill(job);
	if ((job->command->flags & COMMAND_SCAN) &&
	    job->command->scans(&job->request)) {
		job_search(job);
		return;
	}
	if (!(job->command->flags & COMMAND_KEYS)) {
		job_ready(job);
		return;
	}
	if (job->command->flags & COMMAND_DRY && job_unheard(job)) {
		job_silent(job, over_budget[BUDGET_ADDRESS]);
		return;
	}
	job->intake = intake_new(gw->parts.judge, gw->parts.ks,
	    gw->parts.config, job->mail, time(NULL), job_judged, job);
	if (job->intake == NULL) {
		job_later(job, "no memory");
		return;
	}
	if (job->command->flags & COMMAND_DRY)
		intake_parts(job->intake);
	job_take(job);
}

/* What a peer has used up for the day stays with its mail server. */
static void
job_peer(struct job *job)
{
	bool spent;

	if (job->mail->verdict != MAIL_SOUND) {
		job_silent(job, job->mail->why);
		return;
	}
	job->sent = sync_sent_of(job->mail->keyserver_sent, job->peer->address);
	if (job->sent == NULL ||
	    sync_budget_get(job->gateway->parts.ks, job->peer,
		job->mail->ncerts, job->size, time(NULL), &spent) != KS_OK)
		job_later(job, "the store cannot be read");
	else if (spent)
		job_later(job, "this peer has sent what it may for today");
	else
		job_command(job);
}

/* Which command is it, and is it a peer's?  0; -1: the job is done with. */
static int
job_parse(struct job *job, const char *sender)
{
	const struct config *config = job->gateway->parts.config;

	job->command = request_parse(job->mail->subject, &job->request);
	if (job->request.word == NULL) {
		job_later(job, "no memory");
		return -1;
	}
	job->peer = sync_peer_of(config, job->mail, sender, job->command);
	if (job->command != NULL && (job->command->flags & COMMAND_SILENT) &&
	    job->peer == NULL) {
		job_silent(job, "a sync mail, but of no peer");
		return -1;
	}
	if (job->command == NULL)
		job->command = &command_invalid;
	if (sync_limit(config, job->peer, job->size, job->mail) == -1) {
		job_later(job, "no memory");
		return -1;
	}
	return 0;
}

/* What the source did not know of the envelope, the header may. */
static int
job_envelope(struct job *job)
{
	const struct mail *mail = job->mail;

	if (job->sender == NULL && mail->return_path != NULL &&
	    (job->sender = strdup(mail->return_path)) == NULL)
		return -1;
	if (job->recipient == NULL && mail->delivered_to != NULL &&
	    (job->recipient = strdup(mail->delivered_to)) == NULL)
		return -1;
	return 0;
}

/* Is it worth an answer, and which command is it? */
static void
job_decide(struct job *job)
{
	const struct mail *mail = job->mail;
	const char *sender, *why;

	if (job_envelope(job) == -1) {
		job_later(job, "no memory");
		return;
	}
	sender = job->sender;
	if (mail->verdict == MAIL_BENT) {
		job_silent(job, mail->why);
		return;
	}
	if (sender == NULL && !job->trust_from)
		sender = "";
	if (job_parse(job, sender) == -1)
		return;
	why = job->peer != NULL
		  ? etiquette_sync(mail)
		  : etiquette_silent(mail, sender, job->gateway->parts.config);
	if (why != NULL) {
		job_silent(job, why);
		return;
	}
	job->has_digest =
	    mail_digest_repeat(mail, sender, job->body, job->digest);
	if (job->peer != NULL) {
		job_peer(job);
		return;
	}
	job->answer_to = etiquette_answer_to(mail, sender);
	if (mail->verdict != MAIL_SOUND)
		job->command = NULL;
	if (job->command != NULL && (job->answer_to != NULL || job_stores(job)))
		job_command(job);
	else if (job->answer_to != NULL)
		job_ready(job);
	else
		job_silent(job, job->command != NULL ? no_address : mail->why);
}

/* The jailed reader has made a struct mail of the octets, or died of them. */
static void
job_read(struct reading *reading, enum parser_status status, struct mail *mail,
    const char *why)
{
	struct job *job =
	    (struct job *)((char *)reading - offsetof(struct job, reading));

	if (status == PARSER_DIED) {
		job_poison(job, why);
		return;
	}
	if (status != PARSER_OK) {
		job_later(job, "no reader for the mail at the moment");
		return;
	}
	job->mail = mail;
	job_decide(job);
}

/* ---- the way in ---------------------------------------------------------- */

void
gateway_log_id(char id[9])
{
	unsigned char octets[4];

	if (getrandom(octets, sizeof(octets), 0) != sizeof(octets))
		memset(octets, 0, sizeof(octets));
	mail_digest_hex(octets, sizeof(octets), id);
}

static struct job *
job_new(struct gateway *gw, const struct envelope *envelope)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->gateway = gw;
	job->source = envelope->source;
	job->trust_from = envelope->trust_from;
	job->memfd = -1;
	job->note = "";
	job->began = loop_now_ms();
	gateway_log_id(job->log_id);
	gw->njobs++;
	if (envelope->sender != NULL)
		job->sender = strdup(envelope->sender);
	if (envelope->recipient != NULL)
		job->recipient = strdup(envelope->recipient);
	if ((envelope->sender != NULL && job->sender == NULL) ||
	    (envelope->recipient != NULL && job->recipient == NULL)) {
		job_free(job);
		errno = ENOMEM;
		return NULL;
	}
	return job;
}

struct job *
gateway_submit(struct gateway *gw, int memfd, const struct envelope *envelope,
    gateway_done *done, void *ctx)
{
	struct stat st;
	struct job *job;
	size_t len;

	if (gw->paused != 0) {
		errno = EBUSY;
		return NULL;
	}
	if (ipc_seal(memfd) == -1 || fstat(memfd, &st) == -1)
		return NULL;
	if (gw->njobs > 0 && gw->octets + (size_t)st.st_size > IN_HAND_BYTES) {
		errno = EAGAIN;
		return NULL;
	}
	job = job_new(gw, envelope);
	if (job == NULL)
		return NULL;
	/* Of a mail that is too large nothing is kept: its beginning will do.
	 */
	len = (size_t)st.st_size;
	if (len > config_message_size(gw->parts.config))
		len = config_message_size(gw->parts.config) + 1;
	if (mail_digest_body(memfd, len, job->body) == -1) {
		job_free(job);
		return NULL;
	}
	job->memfd = memfd;
	job->size = (size_t)st.st_size;
	job->done = done;
	job->ctx = ctx;
	gw->octets += job->size;
	gw->counts.mails++;
	job->reading.fd = memfd;
	job->reading.peer = sync_may_be(gw->parts.config, job->sender);
	job->reading.done = job_read;
	reading_start(gw->parts.reader, &job->reading);
	return job;
}

void
gateway_pause(struct gateway *gw, bool pause)
{
	if (pause == (gw->paused != 0))
		return;
	gw->paused = pause ? time(NULL) : 0;
	log_line(LOG_NOTICE, "event=%s", pause ? "paused" : "resumed");
}

time_t
gateway_paused(const struct gateway *gw)
{
	return gw->paused;
}

const char *
gateway_refusal(int error)
{
	return error == EAGAIN	? "too much is under way"
	       : error == EBUSY ? "the server takes no mails for a while"
				: "no memory";
}

void
gateway_forget(struct job *job)
{
	job->done = NULL;
}

size_t
gateway_busy(const struct gateway *gw)
{
	return gw->njobs;
}

void
gateway_count(const struct gateway *gw, struct gateway_counts *counts)
{
	*counts = gw->counts;
}

/* Something is ready: the round that this timer ends commits it. */
static void
gateway_again(void *ctx)
{
	(void)ctx;
}

struct gateway *
gateway_new(const struct gateway_parts *parts)
{
	struct gateway *gw = calloc(1, sizeof(*gw));

	if (gw == NULL)
		return NULL;
	gw->parts = *parts;
	gw->started = time(NULL);
	TAILQ_INIT(&gw->ready);
	TAILQ_INIT(&gw->slicing);
	gw->again = loop_timer_new(parts->loop, gateway_again, gw);
	gw->slice = loop_timer_new(parts->loop, gateway_slice, gw);
	gw->hush = hush_new(parts->loop);
	if (gw->again == NULL || gw->slice == NULL || gw->hush == NULL) {
		hush_free(gw->hush);
		loop_timer_free(gw->again);
		loop_timer_free(gw->slice);
		free(gw);
		return NULL;
	}
	loop_after(parts->loop, group_commit, gw);
	return gw;
}

void
gateway_free(struct gateway *gw)
{
	struct job *job;

	if (gw == NULL)
		return;
	while ((job = TAILQ_FIRST(&gw->slicing)) != NULL) {
		TAILQ_REMOVE(&gw->slicing, job, next);
		if (job->phase == TAKES)
			intake_stop(job->intake, ending);
		else
			job_later(job, ending);
	}
	while ((job = TAILQ_FIRST(&gw->ready)) != NULL) {
		TAILQ_REMOVE(&gw->ready, job, next);
		job_later(job, ending);
	}
	loop_timer_free(gw->slice);
	hush_free(gw->hush);
	loop_timer_free(gw->again);
	free(gw);
}
