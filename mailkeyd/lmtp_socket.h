/*
 * The socket that LMTP is listened for at.
 */
#ifndef LMTP_SOCKET_H
#define LMTP_SOCKET_H

#include "mailkeyd/config.h"

#include <sys/stat.h>

struct lmtp_socket {
	int fd;	    /* -1: closed */
	char *path; /* of one that we made, else NULL */
	struct stat made;
};

/*
 * Listens as `receive` says, or, when `fd` is not -1, at that socket, which
 * becomes its own.  0, or -1 with *error a malloc'ed line; then, too, it is to
 * be closed.
 */
int lmtp_socket_open(struct lmtp_socket *, const struct config *,
    const struct config_receive *, int fd, char **error);

/* Removes the file as well, unless another has taken its place. */
void lmtp_socket_close(struct lmtp_socket *);

#endif
