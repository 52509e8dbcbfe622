/*
 * One mail from arrival to committed answer: read gateway.c first.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include "db/outbox.h"
#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"

struct gateway;

struct envelope {
	const char *sender;    /* "" = the null sender, NULL = not known */
	const char *recipient; /* the first one; NULL = not known */
	const char *source;    /* "lmtp", "deliver", "stdin", for the log */
};

/* What the source is told; `why` is one clean line, lent. */
enum fate {
	FATE_DONE,  /* committed, or nothing to do: forget the mail */
	FATE_LATER  /* keep it and come again: 451, exit 75 */
};
typedef void gateway_done(void *ctx, enum fate, const char *why);

/*
 * Takes a mail: a memfd with the raw octets, which the gateway seals, and
 * closes when done.  `done` is called exactly once, later, from the loop,
 * after the commit.  A mail over message_size gets the answer that says so.
 * Returns a handle for gateway_forget(), or NULL with errno (EAGAIN: too much
 * is under way, ENOMEM), when the descriptor is still the caller's.
 */
struct job;
struct job *gateway_submit(struct gateway *, int memfd,
    const struct envelope *, gateway_done *, void *ctx);

/* The source has gone: finish the mail, but tell nobody. */
void gateway_forget(struct job *);

#endif
