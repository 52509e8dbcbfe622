/*
 * What a mail is: worth an answer or not, a command, a peer's sync mail; its
 * certificates are judged, and what takes long is done in slices.
 */
#include "db/fault.h"
#include "mailkeyd/etiquette.h"
#include "mailkeyd/gateway_job.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync_in.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLICE_MS   5  /* of work for one mail at once */
#define STORE_STEP 10 /* certificates of a sync mail */

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
		fault("sliced");
	}
	if (status != KS_OK)
		job_later(job, ks_strerror(status));
	else if (job->request.nsubmissions > STORE_STEP)
		job_slice(job, STORES);
	else
		job_ready(job);
}

/* One slice of one mail; the others that take long get theirs in turn. */
void
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
		job_silent(job, job_over_budget(BUDGET_ADDRESS));
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
	    sync_budget_get(job->gateway->parts.ks, job->peer, SYNC_IN,
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
	    mail_digest_repeat(mail, sender, job->name, job->body, job->digest);
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
		job_silent(
		    job, job->command != NULL ? NOTE_NO_ADDRESS : mail->why);
}

/* The jailed reader has made a struct mail of the octets, or died of them. */
void
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
