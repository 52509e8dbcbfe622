/*
 * The two ways out that need no network, and how a result is told.
 */
#ifndef SEND_LOCAL_H
#define SEND_LOCAL_H

#include "mailkeyd/ipc.h"
#include "mailkeyd/send.h"

#include <stddef.h>

struct send_result {
	enum send_status status;
	char text[IPC_TEXT]; /* one clean line of printable ASCII */
};

void send_result(struct send_result *, enum send_status, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Runs `path -i -f FROM -- TO` with the message on its standard input, for at
 * most `ms`; FROM is '<>' for the null sender "".   Exit status 0 is SEND_OK;
 * 75, a signal and what cannot be run are SEND_LATER; any other status is
 * SEND_REFUSED.  When `core`, our socket, is closed meanwhile, it returns at
 * once and leaves the program to itself.
 */
void send_sendmail(const char *path, const char *from, const char *to,
    const char *message, size_t len, unsigned ms, int core,
    struct send_result *);

/* Puts the message into new/ of a Maildir, which is made when missing; it is
 * on the disk when this returns SEND_OK. */
void send_maildir(
    const char *path, const char *message, size_t len, struct send_result *);

#endif
