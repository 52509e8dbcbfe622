/*
 * How our processes talk: small fixed messages over a SOCK_SEQPACKET socket,
 * with the bulk beside them in a memfd; and flat, length-checked records.
 * Both ends are of one build, but the far end may be taken over: everything
 * that is read is checked.
 */
#ifndef IPC_H
#define IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPC_FDS	 2
#define IPC_TEXT 512

struct ipc_msg {
	uint32_t type;
	uint32_t status;
	uint64_t id;
	uint64_t a, b;
	char text[IPC_TEXT]; /* ended by a NUL, whatever was sent */
	int fd[IPC_FDS];     /* -1 = none; not sent as numbers */
};

/* Zeroes the message and sets its type, id and no descriptors. */
void ipc_msg_init(struct ipc_msg *, uint32_t type, uint64_t id);

/* Sends; the descriptors stay the caller's.  0, or -1 with errno. */
int ipc_send(int sock, const struct ipc_msg *);

/*
 * Receives one message; descriptors are the caller's to close (close-on-exec
 * set).  1: got one; 0: the far end is closed; -1: errno (EAGAIN when there
 * is none on a non-blocking socket, EPROTO for a message of another size).
 */
int ipc_recv(int sock, struct ipc_msg *);
void ipc_msg_close(struct ipc_msg *); /* closes its descriptors */

/* A pair of SOCK_SEQPACKET sockets, close-on-exec. 0 or -1. */
int ipc_pair(int pair[2]);

/*
 * An anonymous file with these octets (data may be NULL with len 0), sealed
 * against every change when `seal`.  A descriptor, or -1.
 */
int ipc_memfd(const char *name, const void *data, size_t len, bool seal);
int ipc_seal(int fd); /* 0, or -1 */

/*
 * Reads `from` to its end into a new memfd; of more than `max` octets the rest
 * is thrown away, so that the far end of a pipe is not left with it.  The
 * memfd, not sealed, or -1 with errno.
 */
int ipc_drain(int from, size_t max);

/*
 * Copies a whole memfd of at most `max` octets, so that a far end that goes on
 * writing changes nothing; *data is malloc'ed with a NUL behind it.
 * 0, or -1 with errno (EFBIG: over max).
 */
int ipc_slurp(int fd, size_t max, char **data, size_t *len);

/* write(2) until all of it is written.  0, or -1 with errno. */
int ipc_write_all(int fd, const void *, size_t);

/* Opens /dev/null for each of descriptors 0, 1 and 2 that is closed: else the
 * next file that is opened would take its place, and the log be written into
 * it. */
void ipc_standard_streams(void);

/*
 * What every helper does first: standard streams as above, and the socket is
 * for no program that it starts.  Signals that end are ignored: they are told
 * to all processes of a unit or a terminal, and a helper ends when the core
 * closes its socket, so that what is under way comes to its end.
 */
void ipc_helper(int sock);

/* ---- flat records ------------------------------------------------------- */

struct ipc_out { /* grows; check `failed` once at the end */
	unsigned char *data;
	size_t len, size;
	bool failed;
};
void ipc_put_u32(struct ipc_out *, uint32_t);
void ipc_put_u64(struct ipc_out *, uint64_t);
void ipc_put_blob(struct ipc_out *, const void *, size_t); /* with its length */
void ipc_put_str(struct ipc_out *, const char *);	   /* NULL stays NULL */
void ipc_out_free(struct ipc_out *);

struct ipc_in { /* over lent octets; check `failed` once at the end */
	const unsigned char *data;
	size_t len, pos;
	bool failed;
};
uint32_t ipc_get_u32(struct ipc_in *);
uint64_t ipc_get_u64(struct ipc_in *);
/* Lent; NULL and 0 when the record is too short. */
const unsigned char *ipc_get_blob(struct ipc_in *, size_t *len);
/* malloc'ed, NULL for NULL; fails on more than `max` octets or a NUL inside. */
char *ipc_get_str(struct ipc_in *, size_t max);

#endif
