/*
 * What the files of the gateway share and nobody else needs: a mail on its
 * way, and its steps.
 */
#ifndef GATEWAY_JOB_H
#define GATEWAY_JOB_H

#include "mailkeyd/answer.h"
#include "mailkeyd/budget.h"
#include "mailkeyd/gateway.h"
#include "mailkeyd/hush.h"
#include "mailkeyd/intake.h"
#include "mailkeyd/mail_digest.h"

/* For the log, by the places that say and count them. */
#define NOTE_REPEAT	"repeat"
#define NOTE_NO_ADDRESS "no address to answer"

TAILQ_HEAD(job_list, job);

/* What takes a mail long, and is done in slices. */
enum phase { SEARCHES, TAKES, STORES };

struct job {
	struct gateway *gateway;
	TAILQ_ENTRY(job) next; /* in `ready`, `slicing`, or in the group */
	struct reading reading;
	char log_id[9];
	char *sender, *recipient, *name; /* as struct envelope has them */
	const char *source;
	bool trust_from;
	int memfd;
	size_t size;
	gateway_done *done;
	void *ctx;
	int64_t began; /* ms */
	/* what the reader found */
	struct mail *mail;
	unsigned char body[DIGEST_LEN]; /* SHA-256 of what follows the header */
	unsigned char poison[DIGEST_LEN]; /* what deaths are counted by */
	/* what it is */
	const struct command *command; /* NULL: over a limit */
	struct request request;
	const struct config_peer *peer; /* whose sync mail; NULL: none */
	char *sent;			/* its X-KeyServer-Sent */
	const char *answer_to;		/* NULL: nobody */
	bool has_digest;
	unsigned char digest[DIGEST_LEN];
	struct intake *intake;
	enum phase phase;
	struct add_counts stored; /* of its certificates, in earlier slices */
	/* what became of it; made anew when a transaction is tried again */
	enum outcome outcome;
	const char *note; /* for the log, "" = none */
	struct answer answer;
	enum budget_whose spent;
	unsigned nkeys;		/* in the answer */
	struct add_counts adds; /* stored, with COMMAND_KEYS */
};

struct gateway {
	struct gateway_parts parts;
	struct job_list ready, slicing;
	struct job_list syncing; /* committed, and not yet on the disk */
	struct loop_io *synced;
	size_t njobs, octets;
	struct loop_timer *again, *slice;
	time_t started;
	time_t paused; /* since when; 0: it is not */
	struct hush *hush;
	struct gateway_counts counts;
};

/* ---- gateway_decide.c: what is it? -------------------------------------- */

/* The jailed reader is done with it. */
void job_read(struct reading *reading, enum parser_status status,
    struct mail *mail, const char *why);
/* Goes on with what takes long; called again until nothing is left. */
void gateway_slice(void *gateway);

/* ---- gateway_commit.c: one transaction for all that waits --------------- */

void group_commit(void *gateway);
/* What was committed last is on the disk, or never will be. */
void group_end(struct gateway *);

struct budget job_budget(const struct job *, time_t now);
/* Why an answer is not sent. */
const char *job_over_budget(enum budget_whose);
/* Its certificates may be stored. */
bool job_stores(const struct job *);
void adds_join(struct add_counts *to, const struct add_counts *from);

/* ---- gateway_end.c: the source is told ---------------------------------- */

/* The source is told, the log gets its line; only now is the mail forgotten. */
void job_finish(
    struct job *job, enum fate fate, const char *outcome, const char *why);
/* Nothing of it is stored: what a handler had counted does not count. */
void job_later(struct job *, const char *why);
/* Not worth an answer, or not to be answered: done without a trace in the
 * store. */
void job_silent(struct job *, const char *why);
/* It killed its reader: counts that; the second time it goes into the
 * quarantine. */
void job_poison(struct job *, const char *why);
void job_free(struct job *);

#endif
