/*
 * Where mails come from.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include "mailkeyd/gateway.h"

/* Makes *error a malloc'ed line that names the section: "FILE:LINE: what; what
 * to do", NULL without memory.  Returns -1. */
int receive_error(const struct config *, const struct config_receive *,
    char **error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

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

/* ---- Maildir ------------------------------------------------------------- */

struct maildir;

/*
 * Reads what lies in new/ of the Maildir that `receive` names, makes it when
 * it is missing, and watches it.  A file is removed after the commit of its
 * mail.  NULL with *error a malloc'ed line.
 */
struct maildir *maildir_watch(struct loop *, struct gateway *,
    const struct config *, const struct config_receive *, char **error);
void maildir_stop(struct maildir *); /* no new mails */
void maildir_free(struct maildir *);

#endif
