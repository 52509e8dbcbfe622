/*
 * The socket that mailkeyctl talks to: messages of ipc.h on a SOCK_SEQPACKET
 * Unix socket, one command on one connection.
 *
 *   DELIVER  fd[0]: memfd with the mail, fd[1]: memfd, record of str sender,
 *            str recipient (NULL = not known)
 *   IMPORT   fd[0]: a file of certificates; a: 1 when peers are to hear of it
 *   DUMP
 *   GET      text: as after the command GET of a mail
 *   INDEX    text: likewise; a: 1 = VERBOSE INDEX
 *   STATS, QUEUE
 *   SYNC     what waits for the peers goes
 *
 * and in answer any number of DATA (fd[0]: memfd, for standard output),
 * NOTE (text: a line for standard error) and PROGRESS (a: octets of the file,
 * b: certificates), then one END (status: the exit status, text: a line for
 * standard error, "" = none).  When all connections are taken the END comes
 * unasked, and so it does where no command comes.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "mailkeyd/gateway.h"

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
	CONTROL_DATA = 100,
	CONTROL_NOTE,
	CONTROL_PROGRESS,
	CONTROL_END
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

/* Ends imports behind the batch in hand, and takes no command any more. */
void control_stop(struct control *);
void control_free(struct control *);

#endif
