/*
 * What an import tells: what was stored, what was refused and why.
 */
#include "mailkeyd/import_batch.h"

#include <inttypes.h>
#include <stdlib.h>

static void
left_add(struct pgp_left_out *to, const struct pgp_left_out *from)
{
	for (int i = 0; i < PGP_LEFT_REASONS; i++)
		to->n[i] += from->n[i];
}

/* "name" or, of a mail, "name at 12345". */
static void
place(const struct batch *batch, char out[IMPORT_NAME + 32])
{
	const struct import_source *s = &batch->source;

	if (s->at > 0)
		snprintf(
		    out, IMPORT_NAME + 32, "%s at %" PRIu64, s->name, s->at);
	else
		snprintf(out, IMPORT_NAME + 32, "%s", s->name);
}

/* What could not be read, and where; of each class the first few. */
static void
tell(struct batch *batch, const char *class, const char *line)
{
	struct import *import = batch->import;
	char where[IMPORT_NAME + 32], *text;

	place(batch, where);
	report_example(&import->counts.report, class, "%s: %s", where, line);
	if (asprintf(&text, "%s: %s", where, line) == -1)
		return;
	import->calls->problem(import->ctx, text);
	free(text);
}

void
batch_problem(struct batch *batch, const char *class, const char *line)
{
	struct import *import = batch->import;

	import->counts.problems++;
	if (report_add(&import->counts.report, class, 1))
		tell(batch, class, line);
}

/* What the reader has to say, and the intake. */
static void
batch_problems(struct batch *batch)
{
	static const char *const other = "other blocks and files";
	struct import_report *report = &batch->import->counts.report;
	const struct mail *mail = batch->mail;
	const char *const *problems = NULL;
	size_t n = 0;

	for (size_t i = 0; i < mail->nproblems; i++)
		if (mail->problem_class[i] == MAIL_REFUSALS)
			batch_problem(batch, other, mail->problems[i]);
	for (unsigned class = 0; class < MAIL_REFUSALS; class ++) {
		const char *text = mail_refusal_text(class);

		batch->import->counts.problems += mail->refused[class];
		if (mail->refused[class] == 0 ||
		    !report_add(report, text, mail->refused[class]))
			continue;
		for (size_t i = 0; i < mail->nproblems; i++)
			if (mail->problem_class[i] == class &&
			    report_add(report, text, 0))
				tell(batch, text, mail->problems[i]);
	}
	if (batch->intake != NULL && batch->import->bulk == NULL)
		problems = intake_problems(batch->intake, &n);
	for (size_t i = mail->nproblems; i < n; i++)
		batch_problem(batch, "revocations of keys that are not stored",
		    problems[i]);
}

/* Why nothing of a certificate was left, in one word: what comes first here is
 * what the rest follows from. */
static const char *
refused_for(const struct submission *s)
{
	static const unsigned char order[] = {PGP_LEFT_UNVERIFIED,
	    PGP_LEFT_TOO_OLD, PGP_LEFT_FUTURE, PGP_LEFT_LOCAL,
	    PGP_LEFT_TOO_LARGE, PGP_LEFT_TOO_MANY, PGP_LEFT_NO_SELFSIG,
	    PGP_LEFT_UNKNOWN};

	if (s->standing != KS_WELCOME)
		return s->standing == KS_BLOCKED ? "on the block list"
						 : "forgotten for good";
	for (size_t i = 0; i < sizeof(order); i++)
		if (s->left.n[order[i]] > 0)
			return pgp_left_text(order[i]);
	return "no user ID, revocation or direct-key signature";
}

static void
count_refused(struct batch *batch, const struct submission *s)
{
	struct import_counts *counts = &batch->import->counts;
	const char *class = refused_for(s);
	char where[IMPORT_NAME + 32], fpr[PGP_FPR_HEX];

	counts->refused++;
	if (!report_add(&counts->report, class, 1))
		return;
	pgp_fpr_hex(&s->fpr, fpr);
	place(batch, where);
	report_example(&counts->report, class, "%s: %s", where, fpr);
}

void
import_count(struct import_counts *counts, enum ks_change change)
{
	if (change == KS_NEW)
		counts->added++;
	else if (change == KS_MERGED)
		counts->changed++;
	else if (change == KS_UNCHANGED)
		counts->unchanged++;
	else
		counts->refused++;
}

/* What holds once a batch is committed. */
void
batch_count(struct batch *batch)
{
	struct import_counts *counts = &batch->import->counts;
	const struct submission *s;
	size_t n = 0;

	if (batch->mail == NULL)
		return;
	counts->secret += batch->mail->nsecret;
	batch_problems(batch);
	if (batch->intake == NULL)
		return;
	counts->replayed += batch->source.mail;
	s = intake_submissions(batch->intake, &n);
	counts->certificates += n;
	if (batch->again) /* they were counted */
		counts->certificates -= batch->mail->ncerts;
	for (size_t i = batch->stored ? batch->mail->ncerts : 0; i < n; i++) {
		if (s[i].cert != NULL)
			left_add(&counts->left, &s[i].left);
		else if (!batch_was_held(batch, i))
			count_refused(batch, &s[i]);
	}
}
