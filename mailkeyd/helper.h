/*
 * A helper process: started by fork and exec with its one socket, watched,
 * started again with back-off when it ends.
 */
#ifndef HELPER_H
#define HELPER_H

#include "mailkeyd/ipc.h"
#include "mailkeyd/loop.h"

#include <stdbool.h>

struct helper;

struct helper_calls {
	/* It runs: send it its configuration.  0, or -1 to count it as dead. */
	int (*up)(void *ctx, struct helper *);
	/* A message came; its descriptors are closed after the call. */
	void (*message)(void *ctx, struct helper *, struct ipc_msg *);
	/* It ended: what it was given is lost; it comes up again later. */
	void (*down)(void *ctx, struct helper *);
};

/*
 * Starts LIBEXEC/NAME.  The calls and ctx are lent until helper_free().  NULL
 * with errno when it cannot even be tried.
 */
struct helper *helper_new(struct loop *, const char *libexec, const char *name,
    const struct helper_calls *, void *ctx);

/* 0, or -1 when it is not up or the message could not be sent. */
int helper_send(struct helper *, const struct ipc_msg *);
bool helper_is_up(const struct helper *);

/* Ends it at once, as if it had died. */
void helper_kill(struct helper *);

/* Ends it while it has nothing to do, and starts another at once: up() tells
 * that one how it is configured.  No death is counted. */
void helper_renew(struct helper *);

/* How often it ended by itself, and its process ID (0 = down). */
unsigned helper_deaths(const struct helper *);
int helper_pid(const struct helper *);

/* Closes its socket, by which it ends, and waits for that a moment. */
void helper_free(struct helper *);

#endif
