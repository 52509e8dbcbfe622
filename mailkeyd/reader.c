/*
 * Hands mails to mailkeyd-parser and brings back what it read.
 */
#include "mailkeyd/reader.h"
#include "mailkeyd/helper.h"
#include "mailkeyd/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES	 2  /* with a parser that dies under a mail; then: try later */
#define DEADLINE 30 /* seconds for a mail, at most, kept by the parser */

TAILQ_HEAD(reading_list, reading);

struct reader {
	const struct config *config;
	struct helper *helper;
	struct reading_list waiting, away;
	unsigned naway;		/* mails with a child */
	struct reading *import; /* has the one slot that imports share */
	struct reading *stuck;	/* waits, and could not be sent */
	uint64_t last_id;
	struct loop_timer *again, *watchdog;
	struct parser_config told; /* as the parser has it */
	bool renew;		   /* it has old limits */
};

/* Milliseconds without any news of the parser. */
static long
patience(const struct reader *r)
{
	return (long)r->config->helper_timeout * 1000;
}

/* Seconds: before the parser's own time is up, a child's is. */
static unsigned
deadline(const struct config *config)
{
	unsigned most = config->helper_timeout * 2 / 3;

	return most < DEADLINE ? most : DEADLINE;
}

/* One slot more than mails may use, so that an import never stops them. */
static void
parser_config_fill(struct parser_config *pc, const struct config *config)
{
	memset(pc, 0, sizeof(*pc));
	pc->jailer = (struct jailer_config){.size = sizeof(*pc),
	    .children = config->parsers + 1,
	    .jobs = config->jail_mails,
	    .deadline = deadline(config),
	    .cpu = 10,
	    .memory = (uint64_t)256 << 20};
	pc->import_batch = 100;
	pc->limits = config->limits.mail;
	pc->limits.keys = config->limits.keys_per_mail;
	pc->peer_limits = pc->limits;
	pc->peer_limits.message_size = config_message_size(config);
	pc->peer_limits.keys = config_keys_per_mail(config);
	pc->policy = config->limits.policy;
}

static void reader_pump(struct reader *);

static int
reader_up(void *ctx, struct helper *helper)
{
	struct reader *r = ctx;
	struct ipc_msg msg;
	int rv;

	parser_config_fill(&r->told, r->config);
	r->renew = false;
	ipc_msg_init(&msg, PARSER_CONFIG, 0);
	msg.fd[0] = ipc_memfd("parser-config", &r->told, sizeof(r->told), true);
	if (msg.fd[0] == -1)
		return -1;
	rv = helper_send(helper, &msg);
	close(msg.fd[0]);
	if (rv == 0)
		reader_pump(r);
	return rv;
}

/* Something moved: the parser has its time again, when it is asked for
 * anything. */
static void
reader_moved(struct reader *r)
{
	bool idle = TAILQ_EMPTY(&r->waiting) && TAILQ_EMPTY(&r->away);

	loop_timer_set(r->watchdog, idle ? -1 : patience(r));
}

/* Takes a reading off the parser's hands. */
static void
reading_back(struct reader *r, struct reading *reading)
{
	TAILQ_REMOVE(&r->away, reading, next);
	reading->state = READING_IDLE;
	if (reading->record != -1)
		close(reading->record);
	reading->record = -1;
	if (!reading->import)
		r->naway--;
	else if (r->import == reading && !reading->more)
		r->import = NULL;
}

static void
reading_fail(struct reading *reading, const char *why)
{
	reading->state = READING_IDLE;
	reading->more = false;
	reading->done(reading, PARSER_NO_CHILD, NULL, why);
}

/* From `waiting` to `away`, when it can be sent. */
static int
reading_send(struct reader *r, struct reading *reading)
{
	struct ipc_msg msg;
	int rv;

	if (!reading->more)
		reading->id = ++r->last_id;
	ipc_msg_init(&msg,
	    reading->more     ? PARSER_MORE
	    : reading->import ? PARSER_IMPORT
			      : PARSER_MAIL,
	    reading->id);
	msg.a = reading->peer;
	msg.fd[0] = reading->more ? -1 : reading->fd;
	msg.fd[1] = ipc_memfd("record", NULL, 0, false);
	if (msg.fd[1] == -1)
		return -1;
	rv = helper_send(r->helper, &msg);
	if (rv == -1) {
		close(msg.fd[1]);
		return -1;
	}
	reading->record = msg.fd[1];
	reading->state = READING_AWAY;
	TAILQ_REMOVE(&r->waiting, reading, next);
	TAILQ_INSERT_TAIL(&r->away, reading, next);
	if (!reading->import)
		r->naway++;
	else if (r->import == NULL)
		r->import = reading;
	reader_moved(r);
	return 0;
}

/* The first that waits and may go: a mail while the parser's queue has room for
 * it, so that children have work while we wait for the disk; an import while
 * none is under way. */
static struct reading *
reader_next(struct reader *r)
{
	struct reading *reading;

	TAILQ_FOREACH(reading, &r->waiting, next)
		if (reading->import ? reading->more || r->import == NULL
				    : r->naway < JAILER_QUEUE / 2)
			return reading;
	return NULL;
}

/* Hands out what may go.  Of one that cannot be sent nobody is told from
 * here, since it may be called from within reading_start(). */
static void
reader_pump(struct reader *r)
{
	struct reading *reading;

	if (r->renew && r->import == NULL) {
		if (TAILQ_EMPTY(&r->away))
			helper_renew(r->helper);
		return;
	}
	while (r->helper != NULL && helper_is_up(r->helper) &&
	       r->stuck == NULL && (reading = reader_next(r)) != NULL) {
		if (reading_send(r, reading) == 0)
			continue;
		r->stuck = reading;
		loop_timer_set(r->again, 0);
	}
}

/* Tries once more what could not be sent.  When the parser has ended, the
 * reading waits for the next one. */
static void
reader_again(void *ctx)
{
	struct reader *r = ctx;
	struct reading *stuck = r->stuck;

	r->stuck = NULL;
	if (stuck != NULL && helper_is_up(r->helper) &&
	    reading_send(r, stuck) == -1) {
		if (errno == EPIPE || errno == ECONNRESET) {
			helper_kill(r->helper);
			return;
		}
		TAILQ_REMOVE(&r->waiting, stuck, next);
		reading_fail(stuck, strerror(errno));
	}
	reader_pump(r);
}

/* A parser that is silent for so long hangs; while there is none, nobody
 * waits for ever. */
static void
reader_late(void *ctx)
{
	struct reader *r = ctx;
	struct reading_list lost = TAILQ_HEAD_INITIALIZER(lost);
	struct reading *reading;

	if (helper_is_up(r->helper)) {
		loop_timer_set(r->watchdog, patience(r));
		if (!TAILQ_EMPTY(&r->away))
			helper_kill(r->helper);
		return;
	}
	r->stuck = NULL;
	TAILQ_CONCAT(&lost, &r->waiting, next);
	while ((reading = TAILQ_FIRST(&lost)) != NULL) {
		TAILQ_REMOVE(&lost, reading, next);
		reading_fail(reading, "the parser cannot be started");
	}
}

/* A record that cannot be is the work of a child that was taken over. */
static void
reading_record(struct reading *reading, int record)
{
	struct mail *mail = calloc(1, sizeof(*mail));
	struct ipc_in in = {0};
	char *data = NULL;
	const char *bad = NULL;

	if (mail == NULL ||
	    ipc_slurp(record, PARSER_RECORD_MAX, &data, &in.len) == -1)
		bad = "no memory for the record";
	else {
		in.data = (const unsigned char *)data;
		if (mail_get(&in, mail) == -1)
			bad = "the child wrote a record that cannot be";
	}
	free(data);
	if (bad != NULL) {
		if (mail != NULL)
			mail_free(mail);
		free(mail);
		reading->done(reading,
		    mail == NULL ? PARSER_NO_CHILD : PARSER_DIED, NULL, bad);
		return;
	}
	reading->done(reading, PARSER_OK, mail, "");
}

static void
reader_message(void *ctx, struct helper *helper, struct ipc_msg *msg)
{
	struct reader *r = ctx;
	struct reading *reading;
	int record;

	TAILQ_FOREACH(reading, &r->away, next)
		if (reading->id == msg->id)
			break;
	if (reading == NULL || msg->type != PARSER_DONE) {
		/* An import that was dropped answers once more. */
		if (msg->type != PARSER_DONE)
			helper_kill(helper);
		return;
	}
	reading->more = reading->import && msg->status == PARSER_OK && msg->a;
	reading->offset = msg->b;
	record = reading->record;
	reading->record = -1;
	reading_back(r, reading);
	if (msg->status == PARSER_OK)
		reading_record(reading, record);
	else
		reading->done(reading,
		    msg->status == PARSER_DIED ? PARSER_DIED : PARSER_NO_CHILD,
		    NULL, msg->text);
	close(record);
	reader_moved(r);
	reader_pump(r);
}

/* The parser itself is gone: mails go to the next one, imports end. */
static void
reader_down(void *ctx, struct helper *helper)
{
	struct reader *r = ctx;
	struct reading_list lost = TAILQ_HEAD_INITIALIZER(lost);
	struct reading *reading;

	(void)helper;
	r->import = NULL;
	while ((reading = TAILQ_FIRST(&r->away)) != NULL) {
		reading->more = false;
		reading_back(r, reading);
		TAILQ_INSERT_TAIL(&lost, reading, next);
	}
	while ((reading = TAILQ_FIRST(&lost)) != NULL) {
		TAILQ_REMOVE(&lost, reading, next);
		if (!reading->import && ++reading->tries < TRIES)
			reading_start(r, reading);
		else
			reading_fail(reading, "the parser ended");
	}
}

void
reader_reload(struct reader *r)
{
	struct parser_config pc;

	parser_config_fill(&pc, r->config);
	/* Both were zeroed; at worst a parser is renewed for nothing. */
	r->renew = memcmp(&pc, &r->told, sizeof(pc)) != 0; /* NOLINT */
	reader_pump(r);
}

static const struct helper_calls reader_calls = {
    reader_up, reader_message, reader_down};

struct reader *
reader_new(struct loop *loop, const struct config *config)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->config = config;
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->away);
	r->again = loop_timer_new(loop, reader_again, r);
	r->watchdog = loop_timer_new(loop, reader_late, r);
	if (r->again != NULL && r->watchdog != NULL)
		r->helper = helper_new(
		    loop, config->libexec, "mailkeyd-parser", &reader_calls, r);
	if (r->helper == NULL) {
		reader_free(r);
		return NULL;
	}
	return r;
}

void
reader_free(struct reader *r)
{
	struct reading *reading;

	if (r == NULL)
		return;
	helper_free(r->helper);
	r->helper = NULL;
	while ((reading = TAILQ_FIRST(&r->away)) != NULL) {
		reading_back(r, reading);
		TAILQ_INSERT_TAIL(&r->waiting, reading, next);
	}
	while ((reading = TAILQ_FIRST(&r->waiting)) != NULL) {
		TAILQ_REMOVE(&r->waiting, reading, next);
		reading_fail(reading, "the server is ending");
	}
	loop_timer_free(r->again);
	loop_timer_free(r->watchdog);
	free(r);
}

static void
reading_wait(struct reader *r, struct reading *reading)
{
	if (TAILQ_EMPTY(&r->waiting) && TAILQ_EMPTY(&r->away))
		loop_timer_set(r->watchdog, patience(r));
	reading->state = READING_WAITS;
	reading->record = -1;
	TAILQ_INSERT_TAIL(&r->waiting, reading, next);
	reader_pump(r);
}

void
reading_start(struct reader *r, struct reading *reading)
{
	reading->more = false;
	reading_wait(r, reading);
}

void
reading_more(struct reader *r, struct reading *reading)
{
	reading_wait(r, reading);
}

void
reading_drop(struct reader *r, struct reading *reading)
{
	bool begun = reading->import &&
		     (reading->state == READING_AWAY || reading->more);
	struct ipc_msg msg;

	if (begun) {
		ipc_msg_init(&msg, PARSER_DROP, reading->id);
		helper_send(r->helper, &msg);
	}
	reading->more = false;
	if (reading->state == READING_WAITS)
		TAILQ_REMOVE(&r->waiting, reading, next);
	else if (reading->state == READING_AWAY)
		reading_back(r, reading);
	if (r->stuck == reading)
		r->stuck = NULL;
	if (r->import == reading)
		r->import = NULL;
	reading->state = READING_IDLE;
	reader_pump(r);
}

bool
reader_is_up(const struct reader *r)
{
	return helper_is_up(r->helper);
}

unsigned
reader_deaths(const struct reader *r)
{
	return helper_deaths(r->helper);
}
