/*
 * The end of a mail: its source is told, and the log gets its line; or it goes
 * into the quarantine, when it killed its reader twice.
 */
#include "db/fault.h"
#include "mailkeyd/etiquette.h"
#include "mailkeyd/gateway_job.h"
#include "mailkeyd/log.h"
#include "mailkeyd/quarantine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POISON_DEATHS 2
#define SILENT_LINES  10 /* of a sender in an hour that say the same */

void
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
	free(job->name);
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
	    strcmp(outcome, "later") != 0 &&
	    strcmp(job->note, NOTE_REPEAT) != 0)
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
	    (f = pgp_memstream(&line, &len)) == NULL)
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
void
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
void
job_later(struct job *job, const char *why)
{
	job->note = why;
	job->nkeys = 0;
	job->adds = (struct add_counts){0};
	job_finish(job, FATE_LATER, "later", why);
}

/* Not worth an answer, or not to be answered: done without a trace in the
 * store. */
void
job_silent(struct job *job, const char *why)
{
	job->gateway->counts.silent++;
	job->note = why;
	job_finish(job, FATE_DONE, "silent", "taken, not answered");
}

/* ---- a mail that killed its reader --------------------------------------- */

/* Counts the death; the second time the mail goes into the quarantine. */
void
job_poison(struct job *job, const char *why)
{
	struct gateway *gw = job->gateway;
	char hex[2 * DIGEST_LEN + 1];
	struct quarantined q;
	enum ks_status status;
	unsigned count = 0;

	status = ks_begin(gw->parts.ks, KS_ROOM_ADD);
	if (status == KS_OK) {
		status =
		    poison_add(gw->parts.ks, job->poison, time(NULL), &count);
		if (status == KS_OK)
			status = ks_commit(gw->parts.ks);
		else
			ks_abort(gw->parts.ks);
		fault("counted");
	}
	if (status != KS_OK || count < POISON_DEATHS) {
		log_line(LOG_WARNING,
		    "%s: event=reader_died count=%u reason=\"%s\"", job->log_id,
		    count, why);
		job_later(job, "the mail could not be read, try again");
		return;
	}
	mail_digest_hex(job->poison, sizeof(job->poison), hex);
	q = (struct quarantined){.hex = hex,
	    .sender = job->sender,
	    .recipient = job->recipient,
	    .why = why};
	if (quarantine_add(gw->parts.config, &q, job->memfd) == -1) {
		log_line(LOG_ERR, "%s: event=quarantine error=\"%s\"",
		    job->log_id,
		    errno == EDQUOT ? "quarantine_size is reached: "
				      "mailkeyctl quarantine drop"
				    : strerror(errno));
		job_later(job, "the quarantine cannot be written");
		return;
	}
	fault("set_aside");
	log_line(LOG_WARNING, "%s: event=quarantine file=%s.eml reason=\"%s\"",
	    job->log_id, hex, why);
	gw->counts.quarantined++;
	job->note = "quarantined";
	job_finish(job, FATE_DONE, "quarantined", "taken, set aside");
}
