/*
 * One mail from arrival to committed answer: read gateway.c first.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "db/outbox.h"
#include "mailkeyd/config.h"
#include "mailkeyd/despatch.h"
#include "mailkeyd/judge.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/reader.h"

struct gateway;

/* What the walk needs; all lent until gateway_free(). */
struct gateway_parts {
	struct loop *loop;
	const struct config *config;
	struct keystore *ks;
	struct reader *reader;
	struct judge *judge;
	struct despatch *despatch;   /* NULL: answers go to `answer` */
	struct sync *sync;	     /* NULL: no peer is told of anything */
	struct mailboxes *mailboxes; /* for whoever asks of them; NULL: none */
	/* Called after the commit in place of the outbox; such a gateway
	 * neither remembers mails nor counts budgets (mailkeyd -1). */
	void (*answer)(void *ctx, const struct pgp_blob *message);
	void *ctx;
};
struct gateway *gateway_new(const struct gateway_parts *); /* NULL: memory */
/* After the judge and the reader: what waits for a commit is told to come
 * later. */
void gateway_free(struct gateway *);

struct envelope {
	const char *sender;    /* "" = the null sender, NULL = not known */
	const char *recipient; /* the first one; NULL = not known */
	const char *source;    /* static: "lmtp", "maildir", "deliver" ... */
	const char *name;      /* that tells it from the source's others, the
				  same on each try; NULL: there is none */
	bool trust_from;       /* sender NULL is nobody's null sender: a mail on
				  standard input may be answered by its From */
};

/* What the source is told; `why` is one clean line, lent. */
enum fate {
	FATE_DONE, /* committed, or nothing to do: forget the mail */
	FATE_LATER /* keep it and come again: 451, exit 75 */
};
typedef void gateway_done(void *ctx, enum fate, const char *why);

/*
 * Takes a mail: a memfd with the raw octets, which the gateway seals, and
 * closes when done.  `done` is called exactly once, later, from the loop,
 * after the commit.  A mail over message_size gets the answer that says so.
 * Returns a handle for gateway_forget(), or NULL with errno (EAGAIN: too much
 * is under way, EBUSY: it is paused, ENOMEM), when the descriptor is still the
 * caller's.
 */
struct job;
struct job *gateway_submit(struct gateway *, int memfd, const struct envelope *,
    gateway_done *, void *ctx);

/* The source has gone: finish the mail, but tell nobody. */
void gateway_forget(struct job *);

/*
 * While it is paused no mail is taken: gateway_submit() fails with EBUSY, the
 * sources hear that they are to come later.  What is in hand is finished, and
 * answers go on leaving.  Not kept over a restart.
 */
void gateway_pause(struct gateway *, bool);
time_t gateway_paused(const struct gateway *); /* since when; 0: it is not */

/* What to tell a source whose mail was not taken, by errno. */
const char *gateway_refusal(int error);

/* Mails that are not done yet. */
size_t gateway_busy(const struct gateway *);

struct gateway_counts {
	uint64_t mails, done, refused, silent, later, repeats, quarantined;
	uint64_t commits; /* groups of mails: one sync each */
};
void gateway_count(const struct gateway *, struct gateway_counts *);

/* "550e8400": names a mail, or an import, in the log. */
void gateway_log_id(char id[9]);

#endif
