/*
 * An import's sources, through the jail, into batches.
 */
#include "mailkeyd/import_batch.h"
#include "mailkeyd/ipc.h"

#include <stdlib.h>
#include <unistd.h>

#define FILE_AHEAD 6  /* batches of a file in hand */
#define MAIL_AHEAD 64 /* mails in hand */

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
		batch_problem(batch,
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
		batch_problem(batch, "mails that could not be read", why);
	else
		import_fail(batch->import, why);
	import_turn(batch->import);
}

void
import_close(struct import *import)
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
		batch_problem(
		    batch, "files that could not be read to their end", why);
	} else {
		if (reading->more && !source.piece && mail->resume > 0) {
			batch->source.mark.offset = mail->resume;
			batch->marked = true;
		}
		batch_read(batch, mail);
	}
	if (!reading->more)
		import_close(import);
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

void
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
