/*
 * What of an import was judged, into the store: batch by batch in transactions,
 * or past them into an empty store.
 */
#include "db/fault.h"
#include "mailkeyd/import_batch.h"
#include "mailkeyd/sync.h"

#include <stdlib.h>
#include <string.h>

#define BULK_MIN    (8u << 20)	 /* octets of files that are worth a load */
#define BULK_MEMORY (192u << 20) /* octets for sorting */
#define GROUP	    100		 /* certificates in one transaction, about */
#define HELD_MAX    (64u << 20)	 /* octets of certificates that wait */

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
		    !(batch->stored && i < batch->mail->ncerts &&
			change == KS_UNCHANGED))
			import_count(counts, change);
	}
	return status;
}

/* Whether something in it will be looked at once more. */
static bool
is_held(const struct batch *batch)
{
	if (batch->again || batch->intake == NULL)
		return false;
	for (size_t i = 0; i < batch->mail->ncerts; i++)
		if (intake_waits(batch->intake, i))
			return true;
	return false;
}

/* One transaction for the batches up to `last`; the counts change only when it
 * holds.  The mark stays before what is held: an import that ends too early
 * goes on from there, and sees it again. */
static enum ks_status
commit_up_to(struct import *import, const struct batch *last)
{
	struct keystore *ks = import->parts.ks;
	struct import_counts counts = import->counts;
	enum ks_status status = ks_begin(ks, KS_ROOM_ADD);
	bool held = !TAILQ_EMPTY(&import->held);
	const struct ks_mark *mark = NULL;
	struct batch *batch;

	if (status != KS_OK)
		return status;
	TAILQ_FOREACH(batch, &import->batches, next) {
		status = batch_put(batch, &counts);
		held = held || is_held(batch);
		if (batch->marked && !held)
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

/* One with room for more; NULL: no memory. */
static struct batch *
held_batch(struct import *import, bool stored)
{
	struct batch *batch = TAILQ_LAST(&import->held, batch_list);

	if (batch != NULL && batch->stored == stored &&
	    batch->mail->ncerts + batch->mail->nrevocations < GROUP)
		return batch;
	batch = calloc(1, sizeof(*batch));
	if (batch == NULL)
		return NULL;
	batch->mail = calloc(1, sizeof(*batch->mail));
	if (batch->mail == NULL) {
		free(batch);
		return NULL;
	}
	batch->import = import;
	batch->source.fd = -1;
	snprintf(batch->source.name, sizeof(batch->source.name),
	    "waited for another key");
	batch->state = READ;
	batch->again = true;
	batch->stored = stored;
	TAILQ_INSERT_TAIL(&import->held, batch, next);
	return batch;
}

/*
 * A revocation by a key that the owner named counts only beside that key, and
 * what came without a user ID beside the certificate that has one.  Either may
 * come later, or be on its way: what waits for it is looked at once more when
 * all others are stored.  What would be too much is not.
 */
static void
hold_waiting(struct import *import, struct batch *batch)
{
	const struct submission *s;
	struct mail *mail = batch->mail;
	struct batch *held;
	struct mail_cert *more;
	size_t n, len;

	if (batch->again || batch->intake == NULL)
		return;
	s = intake_submissions(batch->intake, &n);
	for (size_t i = 0; i < mail->ncerts; i++) {
		if (!intake_waits(batch->intake, i))
			continue;
		len = mail->certs[i].packets.len;
		if (len > HELD_MAX - import->held_octets ||
		    (held = held_batch(import, s[i].cert != NULL)) == NULL)
			return;
		more = realloc(held->mail->certs,
		    (held->mail->ncerts + 1) * sizeof(*more));
		if (more == NULL)
			return;
		held->mail->certs = more;
		more[held->mail->ncerts++] = mail->certs[i];
		memset(&mail->certs[i], 0, sizeof(mail->certs[i]));
		import->held_octets += len;
	}
}

bool
batch_was_held(const struct batch *batch, size_t i)
{
	return !batch->again && i < batch->mail->ncerts &&
	       intake_waits(batch->intake, i) &&
	       batch->mail->certs[i].packets.data == NULL;
}

bool
import_held_begin(struct import *import)
{
	struct batch *batch = TAILQ_FIRST(&import->held);

	if (batch == NULL)
		return false;
	TAILQ_REMOVE(&import->held, batch, next);
	TAILQ_INSERT_TAIL(&import->batches, batch, next);
	import->nbatches++;
	if (TAILQ_EMPTY(&import->held))
		fault("import_held");
	return true;
}

/* ---- a load into an empty store ------------------------------------------ */

/* Only where nobody else asks the store anything meanwhile.  KS_FULL: there is
 * no room even for the beginning of it; else all can go on. */
static enum ks_status
bulk_begin(struct import *import)
{
	const struct ks_origin origin = {
	    .now = time(NULL), .quiet = !import->sync};
	const struct gateway_parts *parts = &import->parts;
	enum ks_status status;

	if (import->no_bulk)
		return KS_OK;
	import->no_bulk = true;
	if (parts->despatch != NULL || parts->answer != NULL ||
	    import->octets < BULK_MIN)
		return KS_OK;
	status = ks_bulk_begin(parts->ks, BULK_MEMORY, &origin, &import->bulk);
	import->counts.nothing = status == KS_FULL;
	return status == KS_FULL ? KS_FULL : KS_OK;
}

/* A revocation may be of a key that the load has, or will have: all wait for
 * its end. */
static enum ks_status
bulk_hold(struct import *import, struct mail *mail)
{
	struct batch *batch;
	struct mail *held;
	struct pgp_blob *more;

	if (mail->nrevocations == 0)
		return KS_OK;
	batch = held_batch(import, false);
	if (batch == NULL)
		return KS_NOMEM;
	held = batch->mail;
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
void
import_bulk_finish(struct import *import)
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
}

/* Whether nothing more can go into the load: there is no more, or what comes
 * next is a mail, which may need what the load has. */
bool
import_bulk_ends(const struct import *import)
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

	TAILQ_FOREACH(batch, &import->batches, next) {
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

	TAILQ_FOREACH(batch, &import->batches, next) {
		status = bulk_put(import, batch);
		if (status != KS_OK || batch == last)
			break;
	}
	return status;
}

/* Commits what is ready at the head of the queue. */
bool
import_commit(struct import *import)
{
	struct batch *last = group_last(import), *batch;
	enum ks_status status;
	bool end = false;

	if (last == NULL)
		return false;
	status = bulk_begin(import);
	if (status == KS_OK)
		status = import->bulk != NULL ? bulk_up_to(import, last)
					      : commit_up_to(import, last);
	if (status != KS_OK) {
		import_fail(import, ks_strerror(status));
		return false;
	}
	while (!end && (batch = TAILQ_FIRST(&import->batches)) != NULL) {
		end = batch == last;
		if (batch->mail != NULL) /* NOLINT: freed ones left the list */
			hold_waiting(import, batch);
		batch_count(batch);
		batch_free(batch);
	}
	if (import->calls->progress != NULL)
		import->calls->progress(
		    import->ctx, &import->counts, import->reading.offset);
	return true;
}
