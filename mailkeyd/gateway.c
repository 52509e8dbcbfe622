/*
 * One mail from arrival to committed answer.
 *
 *	gateway_submit()   a source hands over the raw octets
 *	job_read()         the jailed reader has made a struct mail of them
 *	job_decide()       is it worth an answer, and which command is it?
 *	job_judged()       gpg has said which signatures verify
 *	group_commit()     the handlers run; certificates, answer, digest and
 *	                   counters of all mails that wait: one transaction
 *	group_end()        it is on the disk
 *	job_finish()       the source is told, the log gets its line
 */
#include "mailkeyd/gateway.h"
#include "mailkeyd/gateway_job.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_HAND_BYTES (64u << 20) /* of mails that are not done */

static const char ending[] = "the server is ending";

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
	if (envelope->name != NULL)
		job->name = strdup(envelope->name);
	if ((envelope->name != NULL && job->name == NULL) ||
	    (envelope->sender != NULL && job->sender == NULL) ||
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
	if (mail_digest_body(memfd, len, job->body) == -1 ||
	    mail_digest_poison(job->sender, job->body, job->poison) == -1) {
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

static void
gateway_synced(void *ctx, uint32_t events)
{
	(void)events;
	group_end(ctx);
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
	TAILQ_INIT(&gw->syncing);
	gw->synced = loop_io_new(
	    parts->loop, ks_sync_fd(parts->ks), EPOLLIN, gateway_synced, gw);
	gw->again = loop_timer_new(parts->loop, gateway_again, gw);
	gw->slice = loop_timer_new(parts->loop, gateway_slice, gw);
	gw->hush = hush_new(parts->loop);
	if (gw->synced == NULL || gw->again == NULL || gw->slice == NULL ||
	    gw->hush == NULL) {
		loop_io_free(gw->synced);
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
	if (!TAILQ_EMPTY(&gw->syncing))
		group_end(gw);
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
	loop_io_free(gw->synced);
	loop_timer_free(gw->slice);
	hush_free(gw->hush);
	loop_timer_free(gw->again);
	free(gw);
}
