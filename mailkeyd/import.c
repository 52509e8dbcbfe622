/*
 * Files of certificates and old mails into the store.  What the jail has read
 * waits in a queue of batches: several are judged while the next are read
 * (import_read.c), and they are committed in their order, each with the mark
 * that says how far we are (import_store.c).
 */
#include "mailkeyd/import_batch.h"
#include "mailkeyd/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
import_turn(struct import *import)
{
	loop_timer_set(import->turn, 0);
}

void
import_fail(struct import *import, const char *why)
{
	if (import->why != NULL)
		return;
	snprintf(import->text, sizeof(import->text), "%s", why);
	import->why = import->text;
}

/* ---- batches ------------------------------------------------------------- */

struct batch *
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
void
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

/* ---- judging ------------------------------------------------------------- */

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
		if (import->why == NULL && batch->state == READ &&
		    !batch->judging && (batch == head || wants_company(batch)))
			batch_judge(batch);
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
	f = pgp_memstream(&line, &len);
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
	import_close(import);
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
	if (import->why == NULL && import->bulk != NULL &&
	    import_bulk_ends(import)) {
		import_bulk_finish(import);
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
	if (import->why == NULL && import_held_begin(import))
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
	TAILQ_INIT(&import->held);
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
		import_close(import);
	import->dropped = true;
	TAILQ_CONCAT(&import->batches, &import->held, next);
	for (batch = TAILQ_FIRST(&import->batches); batch != NULL;
	     batch = next) {
		next = TAILQ_NEXT(batch, next);
		if (!batch->judging)
			batch_free(batch);
	}
	if (import->njudging > 0)
		return; /* batch_judged() comes back here */
	ks_bulk_drop(import->bulk);
	loop_timer_free(import->turn);
	report_free(&import->counts.report);
	free(import);
}
