/*
 * Where mails come from.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include "mailkeyd/gateway.h"

/* ---- LMTP (RFC 2033) ----------------------------------------------------- */

struct lmtp;

/*
 * Listens as `receive` says (on `fd` when it is not -1: socket activation).
 * NULL with *error a malloc'ed line.  lmtp_free() closes everything; mails
 * under way are finished by the gateway, their sources hear nothing.
 */
struct lmtp *lmtp_listen(struct loop *, struct gateway *, const struct config *,
    const struct config_receive *, int fd, char **error);
void lmtp_stop(struct lmtp *); /* no new connections, no new mails: 421 */
void lmtp_free(struct lmtp *);

#endif
