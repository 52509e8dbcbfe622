/*
 * The socket that mailkeyctl talks to: messages of ipc.h on a SOCK_SEQPACKET
 * Unix socket, one command on one connection.
 *
 *   DELIVER  fd[0]: memfd with the mail, fd[1]: memfd, record of str sender,
 *            str recipient (NULL = not known)
 *   IMPORT   a: 1 when peers are to hear of it; b: octets of all that is to
 *            come, 0: not known; then sources, below
 *   DUMP     a: certificates in a file, 0: any number
 *   GET      text: as after the command GET of a mail
 *   INDEX    text: likewise; a: 1 = VERBOSE INDEX
 *   STATS    a: 1 = as a table for programs
 *   QUEUE    a: enum control_queue; b: the number of a mail, 0 = all
 *   PAUSE    a: 1 = take no mails, 0 = take them again
 *   QUARANTINE  a: enum control_quarantine; text: how the digest begins
 *   RELOAD   the configuration is read again
 *   VERIFY   whether the indexes agree with the certificates
 *   BACKUP   text: the absolute path of a directory to be made
 *   SYNC     what waits for the peers goes
 *   CHECK    fd[0]: memfd with what would be attached to a mail
 *   FORGET, UNFORGET  text: a fingerprint
 *
 * and in answer any number of DATA (fd[0]: memfd, for standard output; of a
 * DUMP a: certificates in it), NOTE (text: a line for standard error) and
 * PROGRESS (a: octets of the file, b: certificates), in times without these an
 * ALIVE every CONTROL_ALIVE_MS, then one END (status: the
 * exit status, text: a line for standard error, "" = none).  When all
 * connections are taken the END comes unasked, and so it does where no command
 * comes.
 *
 * An import asks for its sources with NEXT, the first of which says how far an
 * interrupted import came (b: 1 when there was one; a: offset, UINT64_MAX for
 * the end of the file; text: the chain in hex).  Each is answered with one of
 *
 *   SOURCE   fd[0]: a file of certificates, or (status 1) a memfd with one
 *            mail, or (status 2) a memfd with certificates; id: where it lies
 *            in its file, a: where the next one does, UINT64_MAX: it is the
 *            last of its file; text: the chain in hex, a blank, a name
 *   FINISH   there are no more
 *
 * where a chain tells a file and all before it (import_walk.h).
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "mailkeyd/gateway.h"

enum control_source { CONTROL_FILE, CONTROL_MAIL, CONTROL_PIECE };

/* Octets of a sender or recipient: of a longer one, which is no address (RFC
 * 5321, 4.5.3.1), the beginning is sent. */
#define CONTROL_ADDRESS 1024

enum control_type {
	CONTROL_DELIVER = 1,
	CONTROL_IMPORT,
	CONTROL_DUMP,
	CONTROL_GET,
	CONTROL_INDEX,
	CONTROL_STATS,
	CONTROL_QUEUE,
	CONTROL_SYNC,
	CONTROL_CHECK,
	CONTROL_FORGET,
	CONTROL_UNFORGET,
	CONTROL_PAUSE,
	CONTROL_BACKUP,
	CONTROL_RELOAD,
	CONTROL_QUARANTINE,
	CONTROL_VERIFY,
	CONTROL_SOURCE = 50,
	CONTROL_FINISH,
	CONTROL_DATA = 100,
	CONTROL_NOTE,
	CONTROL_PROGRESS,
	CONTROL_NEXT,
	CONTROL_END,
	CONTROL_ALIVE
};

#define CONTROL_ALIVE_MS 5000

enum control_queue {
	QUEUE_LIST,
	QUEUE_SHOW,
	QUEUE_TRY, /* now; 0 = all */
	QUEUE_DROP
};

enum control_quarantine {
	QUARANTINE_LIST,
	QUARANTINE_SHOW,
	QUARANTINE_RETRY,
	QUARANTINE_DROP
};

struct control;

/*
 * Listens on config->control (mode 0600).  NULL with *error a malloc'ed line.
 */
struct control *control_listen(
    const struct gateway_parts *, struct gateway *, char **error);

/* Serves one connection that is there already, and nothing else: the loop
 * stops when it closes (mailkeyctl without a daemon).  NULL: no memory. */
struct control *control_attend(
    const struct gateway_parts *, struct gateway *, int sock);

/* Who reads the configuration again: whether it took it, and *line, malloc'ed,
 * what is to be said about it, NULL = nothing. */
typedef bool control_reload_fn(void *ctx, char **line);
void control_on_reload(struct control *, control_reload_fn *, void *ctx);

/* Ends imports behind the batch in hand, and takes no command any more. */
void control_stop(struct control *);
void control_free(struct control *);

#endif
