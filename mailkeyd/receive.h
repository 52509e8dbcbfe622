/*
 * Where mails come from.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include "mailkeyd/gateway.h"

#include <stdbool.h>
#include <time.h>

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

/* ---- mailboxes on other servers ------------------------------------------ */

struct mailboxes;

/*
 * Starts a mailkeyd-fetcher for each `receive` of type imap or pop3 (fetch.h).
 * A mail is deleted there after its commit.  NULL with errno.
 */
struct mailboxes *mailboxes_new(
    struct loop *, struct gateway *, const struct config *);
void mailboxes_stop(struct mailboxes *); /* no new mails; NULL is fine */
void mailboxes_free(struct mailboxes *);

struct mailbox_state {
	const char *title; /* lent, and so is why */
	bool open;
	const char *why; /* it is not */
	time_t since;
	uint64_t mails;	 /* that it brought */
	unsigned deaths; /* of its fetcher */
};
size_t mailboxes_count(const struct mailboxes *); /* 0 for NULL */
void mailboxes_state(const struct mailboxes *, size_t, struct mailbox_state *);

#endif
