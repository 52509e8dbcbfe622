/*
 * Files of certificates and old mails into the store.  What the jail has read
 * waits in a queue of batches: several are judged while the next are read, and
 * they are committed in their order, each with the mark that says how far we
 * are.
 */
#include "mailkeyd/import.h"
#include "db/bulk.h"
#include "db/fault.h"
#include "mailkeyd/intake.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_AHEAD  6		 /* batches of a file in hand */
#define MAIL_AHEAD  64		 /* mails in hand */
#define BULK_MIN    (8u << 20)	 /* octets of files that are worth a load */
#define BULK_MEMORY (192u << 20) /* octets for sorting */
#define GROUP	    100		 /* certificates in one transaction, about */
#define HELD_MAX    10000	 /* certificates that wait for a revoker */

/* One record of the jail: some certificates of a file, or a mail. */
struct batch {
	TAILQ_ENTRY(batch) next;
	struct import *import;
	struct import_source source; /* fd: the mail's, else -1 */
	struct reading reading;	     /* of a mail */
	struct mail *mail;
	struct intake *intake;
	enum { READS, READ, JUDGED } state; /* READ with an intake: judging */
	bool judging;
	bool alone;  /* judged with nothing before it uncommitted */
	bool marked; /* source.mark holds once it is committed */
	bool again;  /* what was held, when all the rest is stored */
};

TAILQ_HEAD(batch_list, batch);

struct import {
	struct gateway_parts parts;
	const struct import_calls *calls;
	void *ctx;
	bool sync;	      /* peers are to hear of it */
	uint64_t octets;      /* of all sources, 0: not known */
	bool no_bulk;	      /* it was looked into */
	struct ks_bulk *bulk; /* into an empty store: past transactions */
	/* Bare revocations, until the load is written; and certificates whose
	 * designated revoker may still come. */
	struct mail *held;
	struct loop_timer *turn;
	struct batch_list batches;
	unsigned nbatches, njudging;
	/* the file that is read, and its jail */
	struct import_source file; /* fd -1: none */
	struct reading reading;
	bool reads;
	bool asked; /* for the next source */
	bool ended; /* there is none */
	bool done;
	bool dropped; /* by the caller, while batches are judged */
	bool logged;
	struct import_counts counts;
	const char *why;
	char text[128];
};

static void
import_turn(struct import *import)
{
	loop_timer_set(import->turn, 0);
}

static void
import_fail(struct import *import, const char *why)
{
	if (import->why != NULL)
		return;
	snprintf(import->text, sizeof(import->text), "%s", why);
	import->why = import->text;
}

/* ---- batches ------------------------------------------------------------- */

static struct batch *
batch_new(struct import *import, const struct import_source *source)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (batch == NULL) {
		import_fail(import, "no memory");
		return NULL;
	}
	batch->import = import;
	batch->source = *source;
	TAILQ_INSERT_TAIL(&import->batches, batch, next);
	import->nbatches++;
	return batch;
}

/* Not while it is judged. */
static void
batch_free(struct batch *batch)
{
	struct import *import = batch->import;

	if (batch->state == READS)
		reading_drop(import->parts.reader, &batch->reading);
	intake_free(batch->intake);
	if (batch->mail != NULL)
		mail_free(batch->mail);
	free(batch->mail);
	if (batch->source.fd != -1)
		close(batch->source.fd);
	TAILQ_REMOVE(&import->batches, batch, next);
	import->nbatches--;
	free(batch);
}

/* ---- what is told -------------------------------------------------------- */

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

static void
problem(struct batch *batch, const char *class, const char *line)
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
			problem(batch, other, mail->problems[i]);
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
		problem(batch, "revocations of keys that are not stored",
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

static void
count_put(struct import_counts *counts, enum ks_change change)
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
static void
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
	for (size_t i = batch->again ? batch->mail->ncerts : 0; i < n; i++) {
		if (s[i].cert == NULL)
			count_refused(batch, &s[i]);
		else
			left_add(&counts->left, &s[i].left);
	}
}

/* ---- commits ------------------------------------------------------------- */

static enum ks_status
batch_put(struct batch *batch, struct import_counts *counts)
{
	struct import *import = batch->import;
	struct ks_origin origin = {.now = time(NULL), .quiet = !import->sync};
	enum ks_status status = KS_OK;
	const struct submission *s;
	struct pgp_added added;
	enum ks_change change;
	size_t n = 0;

	if (batch->intake == NULL)
		return KS_OK;
	s = intake_submissions(batch->intake, &n);
	for (size_t i = 0; i < n && status == KS_OK; i++) {
		if (s[i].cert == NULL)
			continue;
		status = ks_put(
		    import->parts.ks, s[i].cert, &origin, &change, &added);
		if (status == KS_OK &&
		    !(batch->again && i < batch->mail->ncerts &&
			change == KS_UNCHANGED))
			count_put(counts, change);
	}
	return status;
}

/* One transaction for the batches up to `last`; the counts change only when it
 * holds. */
static enum ks_status
commit_up_to(struct import *import, const struct batch *last)
{
	struct keystore *ks = import->parts.ks;
	struct import_counts counts = import->counts;
	enum ks_status status = ks_begin(ks, KS_ROOM_ADD);
	const struct ks_mark *mark = NULL;
	struct batch *batch;

	if (status != KS_OK)
		return status;
	TAILQ_FOREACH(batch, &import->batches, next)
	{
		status = batch_put(batch, &counts);
		if (batch->marked)
			mark = &batch->source.mark;
		if (status != KS_OK || batch == last)
			break;
	}
	if (status == KS_OK && mark != NULL)
		status = ks_mark_put(ks, mark);
	if (status != KS_OK) {
		ks_abort(ks);
		return status;
	}
	fault("import_worked");
	status = ks_commit(ks);
	fault("import_committed");
	if (status == KS_OK)
		import->counts = counts;
	sync_kick(import->parts.sync);
	return status;
}

/* ---- what waits for the end ---------------------------------------------- */

static struct mail *
held_mail(struct import *import)
{
	if (import->held == NULL)
		import->held = calloc(1, sizeof(*import->held));
	return import->held;
}

/*
 * A revocation by a key that the owner named counts only beside that key, which
 * may come later, or be on its way: such a certificate is looked at once more
 * when all others are stored.  Without memory it is not.
 */
static void
hold_revoked(struct import *import, struct batch *batch)
{
	struct mail *mail = batch->mail, *held;
	struct mail_cert *more;

	for (size_t i = 0; i < mail->ncerts && !batch->again; i++) {
		if (batch->intake == NULL ||
		    !intake_lacks_revoker(batch->intake, i))
			continue;
		held = held_mail(import);
		if (held == NULL || held->ncerts == HELD_MAX)
			return;
		more = realloc(held->certs, (held->ncerts + 1) * sizeof(*more));
		if (more == NULL)
			return;
		held->certs = more;
		more[held->ncerts++] = mail->certs[i];
		memset(&mail->certs[i], 0, sizeof(mail->certs[i]));
	}
}

/* False: nothing was held. */
static bool
held_begin(struct import *import)
{
	struct import_source source = {.fd = -1, .name = "revocations"};
	struct batch *batch;

	if (import->held == NULL)
		return false;
	batch = batch_new(import, &source);
	if (batch == NULL)
		return false;
	TAILQ_REMOVE(&import->batches, batch, next);
	TAILQ_INSERT_HEAD(&import->batches, batch, next);
	batch->state = READ;
	batch->again = true;
	batch->mail = import->held;
	import->held = NULL;
	return true;
}

/* ---- a load into an empty store ------------------------------------------ */

/* Only where nobody else asks the store anything meanwhile. */
static void
bulk_begin(struct import *import)
{
	const struct ks_origin origin = {
	    .now = time(NULL), .quiet = !import->sync};
	const struct gateway_parts *parts = &import->parts;

	if (import->no_bulk)
		return;
	import->no_bulk = true;
	if (parts->despatch != NULL || parts->answer != NULL ||
	    import->octets < BULK_MIN)
		return;
	if (ks_bulk_begin(parts->ks, BULK_MEMORY, &origin, &import->bulk) !=
	    KS_OK)
		import->bulk = NULL;
}

/* A revocation may be of a key that the load has, or will have: all wait for
 * its end. */
static enum ks_status
bulk_hold(struct import *import, struct mail *mail)
{
	struct mail *held;
	struct pgp_blob *more;

	if (mail->nrevocations == 0)
		return KS_OK;
	held = held_mail(import);
	if (held == NULL)
		return KS_NOMEM;
	more = realloc(held->revocations,
	    (held->nrevocations + mail->nrevocations) * sizeof(*more));
	if (more == NULL)
		return KS_NOMEM;
	held->revocations = more;
	memcpy(more + held->nrevocations, mail->revocations,
	    mail->nrevocations * sizeof(*more));
	held->nrevocations += mail->nrevocations;
	mail->nrevocations = 0;
	return KS_OK;
}

static enum ks_status
bulk_put(struct import *import, struct batch *batch)
{
	enum ks_status status = KS_OK;
	const struct submission *s;
	size_t n = 0;

	if (batch->intake == NULL)
		return KS_OK;
	s = intake_submissions(batch->intake, &n);
	for (size_t i = 0; i < n && status == KS_OK; i++)
		if (s[i].cert != NULL)
			status = ks_bulk_put(import->bulk, s[i].cert);
	return status == KS_OK ? bulk_hold(import, batch->mail) : status;
}

/* The store is there, or it is as it was. */
static void
bulk_finish(struct import *import)
{
	struct import_counts *counts = &import->counts;
	struct ks_bulk_counts written;
	enum ks_status status = ks_bulk_finish(import->bulk, &written);

	import->bulk = NULL;
	counts->added += written.added;
	counts->changed += written.changed;
	counts->unchanged += written.unchanged;
	counts->nothing = written.added == 0;
	if (status != KS_OK)
		import_fail(import, ks_strerror(status));
	if (status == KS_OK)
		held_begin(import);
}

/* Whether nothing more can go into the load: there is no more, or what comes
 * next is a mail, which may need what the load has. */
static bool
bulk_ends(const struct import *import)
{
	const struct batch *head = TAILQ_FIRST(&import->batches);

	if (head == NULL)
		return import->ended && import->file.fd == -1;
	return head->source.mail; /* NOLINT: freed ones left the list */
}

/* ---- the head of the queue ----------------------------------------------- */

/* The last of those at the head that go into one transaction; NULL: none. */
static struct batch *
group_last(struct import *import)
{
	struct batch *batch, *last = NULL;
	size_t n = 0;

	TAILQ_FOREACH(batch, &import->batches, next)
	{
		if (batch->state != JUDGED ||
		    (import->bulk != NULL && batch->source.mail))
			break;
		last = batch;
		n += batch->mail == NULL ? 0 : batch->mail->ncerts;
		if (n >= GROUP)
			break;
	}
	return last;
}

static enum ks_status
bulk_up_to(struct import *import, const struct batch *last)
{
	enum ks_status status = KS_OK;
	struct batch *batch;

	TAILQ_FOREACH(batch, &import->batches, next)
	{
		status = bulk_put(import, batch);
		if (status != KS_OK || batch == last)
			break;
	}
	return status;
}

/* Commits what is ready at the head of the queue. */
static bool
import_commit(struct import *import)
{
	struct batch *last = group_last(import), *batch;
	enum ks_status status;
	bool end = false;

	if (last == NULL)
		return false;
	bulk_begin(import);
	status = import->bulk != NULL ? bulk_up_to(import, last)
				      : commit_up_to(import, last);
	if (status != KS_OK) {
		import_fail(import, ks_strerror(status));
		return false;
	}
	while (!end && (batch = TAILQ_FIRST(&import->batches)) != NULL) {
		end = batch == last;
		batch_count(batch); /* NOLINT: freed ones left the list */
		if (batch->mail != NULL)
			hold_revoked(import, batch);
		batch_free(batch);
	}
	if (import->calls->progress != NULL)
		import->calls->progress(
		    import->ctx, &import->counts, import->reading.offset);
	return true;
}

/* ---- judging ------------------------------------------------------------- */

/* A mail that brings certificates, or what a file has. */
static bool
worth_judging(struct batch *batch)
{
	struct request request = {0};
	const struct command *command;
	const struct mail *mail = batch->mail;
	bool keys;

	if (!batch->source.mail)
		return true;
	batch->import->counts.mails++;
	if (mail->verdict != MAIL_SOUND) {
		problem(batch,
		    mail->verdict == MAIL_OVER ? "mails over a limit"
					       : "mails with a bad header",
		    mail->why);
		return false;
	}
	command =
	    request_parse(mail->subject == NULL ? "" : mail->subject, &request);
	keys = command != NULL && command->flags & COMMAND_KEYS;
	request_free(&request);
	return keys;
}

/* Alone a batch sees all that was before it.  In company it may look for a key
 * that is still on its way. */
static bool
wants_company(const struct batch *batch)
{
	return batch->mail->nrevocations == 0;
}

/* Whether something in it may have missed what was not yet stored. */
static bool
may_have_missed(const struct batch *batch)
{
	const struct submission *s;
	size_t n = 0;

	if (!batch->source.mail || batch->alone)
		return false;
	s = intake_submissions(batch->intake, &n);
	for (size_t i = 0; i < n; i++)
		if (s[i].cert == NULL)
			return true;
	return false;
}

static void
batch_judged(void *ctx, bool later, const char *why)
{
	struct batch *batch = ctx;
	struct import *import = batch->import;

	batch->judging = false;
	import->njudging--;
	if (import->dropped) {
		if (import->njudging == 0)
			import_free(import);
		return;
	}
	if (later)
		import_fail(import, why);
	else
		batch->state = JUDGED;
	import_turn(import);
}

static void
batch_judge(struct batch *batch)
{
	struct import *import = batch->import;

	batch->alone = batch == TAILQ_FIRST(&import->batches);
	intake_free(batch->intake);
	batch->intake = intake_new(import->parts.judge, import->parts.ks,
	    import->parts.config, batch->mail, time(NULL), batch_judged, batch);
	if (batch->intake == NULL) {
		import_fail(import, "no memory");
		return;
	}
	batch->state = READ;
	batch->judging = true;
	import->njudging++;
	intake_start(batch->intake);
}

static void
import_judge(struct import *import)
{
	struct batch *batch, *head = TAILQ_FIRST(&import->batches);

	if (head != NULL && head->state == JUDGED && head->intake != NULL &&
	    may_have_missed(head))
		batch_judge(head);
	TAILQ_FOREACH(batch, &import->batches, next)
	if (import->why == NULL && batch->state == READ && !batch->judging &&
	    (batch == head || wants_company(batch)))
		batch_judge(batch);
}

/* ---- reading ------------------------------------------------------------- */

static void
batch_read(struct batch *batch, struct mail *mail)
{
	batch->mail = mail;
	batch->state = worth_judging(batch) ? READ : JUDGED;
	import_turn(batch->import);
}

/* A mail has been read, or has killed its reader. */
static void
mail_read(struct reading *reading, enum parser_status status, struct mail *mail,
    const char *why)
{
	struct batch *batch =
	    (struct batch *)((char *)reading - offsetof(struct batch, reading));

	if (status == PARSER_OK) {
		batch_read(batch, mail);
		return;
	}
	batch->state = JUDGED;
	if (status == PARSER_DIED)
		problem(batch, "mails that could not be read", why);
	else
		import_fail(batch->import, why);
	import_turn(batch->import);
}

static void
file_close(struct import *import)
{
	if (import->reads || import->reading.more)
		reading_drop(import->parts.reader, &import->reading);
	import->reads = false;
	import->reading.more = false;
	if (import->file.fd != -1)
		close(import->file.fd);
	import->file.fd = -1;
}

/* The jail has read one record more of the file. */
static void
file_read(struct reading *reading, enum parser_status status, struct mail *mail,
    const char *why)
{
	struct import *import =
	    (struct import *)((char *)reading -
			      offsetof(struct import, reading));
	struct import_source source = import->file;
	struct batch *batch;

	import->reads = false;
	source.fd = -1;
	if (status == PARSER_NO_CHILD)
		import_fail(import, why);
	batch = batch_new(import, &source);
	if (batch == NULL || status == PARSER_NO_CHILD) {
		if (batch != NULL)
			batch->state = JUDGED;
		if (mail != NULL)
			mail_free(mail);
		free(mail);
		import_turn(import);
		return;
	}
	batch->marked = !reading->more;
	if (status != PARSER_OK) {
		batch->state = JUDGED;
		problem(
		    batch, "files that could not be read to their end", why);
	} else {
		if (reading->more && !source.piece && mail->resume > 0) {
			batch->source.mark.offset = mail->resume;
			batch->marked = true;
		}
		batch_read(batch, mail);
	}
	if (!reading->more)
		file_close(import);
	import_turn(import);
}

static unsigned
ahead(const struct import *import)
{
	const struct batch *last = TAILQ_LAST(&import->batches, batch_list);

	return last != NULL && last->source.mail && import->file.fd == -1
		   ? MAIL_AHEAD
		   : FILE_AHEAD;
}

static void
import_read(struct import *import)
{
	if (import->nbatches >= ahead(import) || import->reads)
		return;
	if (import->reading.more) {
		import->reads = true;
		reading_more(import->parts.reader, &import->reading);
	} else if (import->file.fd == -1 && !import->asked && !import->ended) {
		import->asked = true;
		import->calls->wants(import->ctx);
	}
}

void
import_take(struct import *import, const struct import_source *source)
{
	struct batch *batch;

	import->asked = false;
	import_turn(import);
	if (!source->mail) {
		import->file = *source;
		import->reading.fd = source->fd;
		import->reading.import = true;
		import->reading.done = file_read;
		import->reads = true;
		reading_start(import->parts.reader, &import->reading);
		return;
	}
	batch = batch_new(import, source);
	if (batch == NULL) {
		close(source->fd);
		return;
	}
	import->reading.offset = 0;
	batch->marked = true;
	batch->reading.fd = source->fd;
	batch->reading.peer = true;
	batch->reading.done = mail_read;
	ipc_seal(source->fd);
	reading_start(import->parts.reader, &batch->reading);
}

void
import_end(struct import *import)
{
	import->asked = false;
	import->ended = true;
	import_turn(import);
}

/* ---- the whole ----------------------------------------------------------- */

/* Not without a daemon: there is no log then, and whoever asked is told. */
static void
import_log(struct import *import, const char *why)
{
	const struct import_counts *counts = &import->counts;
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	if (import->logged || import->parts.despatch == NULL)
		return;
	import->logged = true;
	f = open_memstream(&line, &len);
	if (f == NULL)
		return;
	fprintf(f,
	    "event=import new=%" PRIu64 " changed=%" PRIu64
	    " unchanged=%" PRIu64 " refused=%" PRIu64 " problems=%" PRIu64,
	    counts->added, counts->changed, counts->unchanged, counts->refused,
	    counts->problems);
	if (why != NULL) {
		fprintf(f, " note=");
		log_value(f, why);
	}
	if (fclose(f) == 0)
		log_line(LOG_INFO, "%s", line);
	free(line);
}

/* Everything is stored: the next import begins at its beginning. */
static void
import_forget(struct import *import)
{
	struct keystore *ks = import->parts.ks;
	enum ks_status status = ks_begin(ks, KS_ROOM_NONE);

	if (status == KS_OK) {
		status = ks_mark_remove(ks);
		if (status == KS_OK)
			status = ks_commit(ks);
		else
			ks_abort(ks);
	}
	if (status != KS_OK)
		import_fail(import, ks_strerror(status));
}

static void
import_finish(struct import *import)
{
	import->done = true;
	if (import->bulk != NULL) {
		ks_bulk_drop(import->bulk);
		import->bulk = NULL;
		import->counts.nothing = true;
	}
	if (import->why == NULL)
		import_forget(import);
	import_log(import, import->why);
	file_close(import);
	import->calls->done(import->ctx, &import->counts, import->why);
}

/* One step; what is left is for the next turn of the loop, since others want
 * theirs. */
static void
import_go_on(void *ctx)
{
	struct import *import = ctx;

	if (import->done)
		return;
	import_judge(import);
	if (import->why == NULL && import_commit(import))
		import_turn(import);
	if (import->why == NULL && import->bulk != NULL && bulk_ends(import)) {
		bulk_finish(import);
		import_turn(import);
	}
	if (import->why == NULL)
		import_read(import);
	/* in which the caller may free it */
	if (import->why != NULL
		? import->njudging > 0
		: !import->ended || import->bulk != NULL ||
		      !TAILQ_EMPTY(&import->batches) || import->file.fd != -1)
		return;
	if (import->why == NULL && held_begin(import))
		import_turn(import);
	else
		import_finish(import);
}

struct import *
import_new(const struct gateway_parts *parts, bool sync, uint64_t octets,
    const struct import_calls *calls, void *ctx)
{
	struct import *import = calloc(1, sizeof(*import));

	if (import == NULL)
		return NULL;
	import->parts = *parts;
	import->calls = calls;
	import->ctx = ctx;
	import->sync = sync;
	import->octets = octets;
	import->file.fd = -1;
	TAILQ_INIT(&import->batches);
	import->turn = loop_timer_new(parts->loop, import_go_on, import);
	if (import->turn == NULL) {
		free(import);
		return NULL;
	}
	import_turn(import);
	return import;
}

void
import_free(struct import *import)
{
	struct batch *batch, *next;

	if (import == NULL)
		return;
	import_log(import, "stopped");
	import->done = true;
	if (!import->dropped)
		file_close(import);
	import->dropped = true;
	for (batch = TAILQ_FIRST(&import->batches); batch != NULL;
	     batch = next) {
		next = TAILQ_NEXT(batch, next);
		if (!batch->judging)
			batch_free(batch);
	}
	if (import->njudging > 0)
		return; /* batch_judged() comes back here */
	ks_bulk_drop(import->bulk);
	if (import->held != NULL)
		mail_free(import->held);
	free(import->held);
	loop_timer_free(import->turn);
	report_free(&import->counts.report);
	free(import);
}
