/*
 * A file of certificates into the store: while gpg judges one batch, the jail
 * reads the next.
 */
#include "mailkeyd/import.h"
#include "mailkeyd/intake.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct import {
	struct gateway_parts parts;
	const struct import_calls *calls;
	void *ctx;
	struct reading reading;
	struct mail *now, *next; /* the batch at work, the one read ahead */
	struct intake *intake;
	struct import_counts counts;
	bool sync;    /* peers are to hear of it */
	bool reads;   /* the jail is at work */
	bool dropped; /* by the caller, while gpg is at work on a batch */
	bool logged;
	const char *why;
	char text[128];
};

static void import_go_on(struct import *);

static void
mail_drop(struct mail **mail)
{
	if (*mail != NULL)
		mail_free(*mail);
	free(*mail);
	*mail = NULL;
}

static void
import_fail(struct import *import, const char *why)
{
	snprintf(import->text, sizeof(import->text), "%s", why);
	import->why = import->text;
}

static void
left_add(struct pgp_left_out *to, const struct pgp_left_out *from)
{
	for (int i = 0; i < PGP_LEFT_REASONS; i++)
		to->n[i] += from->n[i];
}

static void
count_put(struct import_counts *counts, enum ks_change change)
{
	if (change == KS_NEW)
		counts->added++;
	else if (change == KS_MERGED)
		counts->changed++;
	else
		counts->unchanged++;
}

static void
count_refused(struct import_counts *counts, const struct submission *s)
{
	counts->refused++;
	for (int i = 0; i < PGP_LEFT_REASONS; i++)
		counts->refused_for.n[i] += s->left.n[i] > 0;
}

/* One transaction for the batch; the counts change only when it holds. */
static enum ks_status
batch_commit(struct import *import)
{
	struct keystore *ks = import->parts.ks;
	struct import_counts counts = import->counts;
	const struct submission *s;
	struct ks_origin origin = {.quiet = !import->sync};
	struct pgp_added added;
	enum ks_change change;
	enum ks_status status;
	size_t n;

	s = intake_submissions(import->intake, &n);
	origin.now = time(NULL);
	status = ks_begin(ks, KS_ROOM_ADD);
	if (status != KS_OK)
		return status;
	for (size_t i = 0; i < n && status == KS_OK; i++) {
		counts.certificates++;
		if (s[i].cert == NULL) {
			count_refused(&counts, &s[i]);
			continue;
		}
		left_add(&counts.left, &s[i].left);
		status = ks_put(ks, s[i].cert, &origin, &change, &added);
		if (status == KS_OK)
			count_put(&counts, change);
	}
	if (status != KS_OK) {
		ks_abort(ks);
		return status;
	}
	status = ks_commit(ks);
	if (status == KS_OK)
		import->counts = counts;
	sync_kick(import->parts.sync);
	return status;
}

static void
import_problem(struct import *import, const char *line)
{
	import->counts.problems++;
	import->calls->problem(import->ctx, line);
}

/* What the intake has to say beside what the reader said. */
static void
batch_problems(struct import *import)
{
	const char *const *problems;
	size_t n;

	problems = intake_problems(import->intake, &n);
	for (size_t i = import->now->nproblems; i < n; i++)
		import_problem(import, problems[i]);
}

static void
batch_judged(void *ctx, bool later, const char *why)
{
	struct import *import = ctx;
	enum ks_status status = KS_OK;

	if (import->dropped) {
		import_free(import);
		return;
	}
	if (!later) {
		batch_problems(import);
		status = batch_commit(import);
	}
	if (later || status != KS_OK)
		import_fail(import, later ? why : ks_strerror(status));
	intake_free(import->intake);
	import->intake = NULL;
	mail_drop(&import->now);
	if (import->calls->progress != NULL)
		import->calls->progress(
		    import->ctx, &import->counts, import->reading.offset);
	import_go_on(import);
}

/* Ends in batch_judged(), perhaps before it returns. */
static void
batch_start(struct import *import)
{
	struct mail *mail = import->now;

	import->counts.secret += mail->nsecret;
	for (size_t i = 0; i < mail->nproblems; i++)
		import_problem(import, mail->problems[i]);
	import->intake = intake_new(import->parts.judge, import->parts.ks,
	    import->parts.config, mail, time(NULL), batch_judged, import);
	if (import->intake != NULL) {
		intake_start(import->intake);
		return;
	}
	import_fail(import, "no memory");
	mail_drop(&import->now);
	import_go_on(import);
}

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

static void
import_end(struct import *import)
{
	import_log(import, import->why);
	if (import->reads || import->reading.more)
		reading_drop(import->parts.reader, &import->reading);
	import->reads = false;
	import->calls->done(import->ctx, &import->counts, import->why);
}

/* Whatever can be done next: the next batch, reading ahead, the end. */
static void
import_go_on(struct import *import)
{
	bool fresh = false;

	if (import->why != NULL)
		mail_drop(&import->next);
	if (import->now == NULL && import->next != NULL) {
		import->now = import->next;
		import->next = NULL;
		fresh = true;
	}
	if (import->why == NULL && !import->reads && import->next == NULL &&
	    import->reading.more) {
		import->reads = true;
		reading_more(import->parts.reader, &import->reading);
	}
	if (fresh)
		batch_start(import);
	else if (import->now == NULL &&
		 (import->why != NULL ||
		     (!import->reads && import->next == NULL)))
		import_end(import);
}

/* The jail has read one batch more. */
static void
import_read(struct reading *reading, enum parser_status status,
    struct mail *mail, const char *why)
{
	struct import *import =
	    (struct import *)((char *)reading -
			      offsetof(struct import, reading));

	import->reads = false;
	if (status == PARSER_OK)
		import->next = mail;
	else
		import_fail(import, why);
	import_go_on(import);
}

struct import *
import_new(const struct gateway_parts *parts, int fd, bool sync,
    const struct import_calls *calls, void *ctx)
{
	struct import *import = calloc(1, sizeof(*import));

	if (import == NULL)
		return NULL;
	import->parts = *parts;
	import->calls = calls;
	import->ctx = ctx;
	import->sync = sync;
	import->reading.fd = fd;
	import->reading.import = true;
	import->reading.done = import_read;
	import->reads = true;
	reading_start(parts->reader, &import->reading);
	return import;
}

void
import_free(struct import *import)
{
	if (import == NULL)
		return;
	import_log(import, "stopped");
	if (import->reads || import->reading.more)
		reading_drop(import->parts.reader, &import->reading);
	import->reads = false;
	import->reading.more = false;
	mail_drop(&import->next);
	if (import->intake != NULL && !import->dropped) {
		/* gpg still has it: batch_judged() comes back here. */
		import->dropped = true;
		return;
	}
	intake_free(import->intake);
	mail_drop(&import->now);
	free(import);
}
