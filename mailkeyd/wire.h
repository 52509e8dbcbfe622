/*
 * A connection to a server that may be slow, hostile or gone: a deadline and a
 * budget of octets for each step, and an end of every wait when the core ends.
 *
 * libetpan's own sockets have a time-out for each read, so that an octet now
 * and then keeps them for ever, and take replies of any length.
 */
#ifndef WIRE_H
#define WIRE_H

#include <libetpan/libetpan.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
	int fd;			 /* -1: not connected */
	int core;		 /* when it is closed, every wait ends */
	int64_t deadline, whole; /* of this step, of all steps: loop_now_ms() */
	size_t budget;		 /* octets that this step may still read */
	int error;		 /* why it broke; 0: the far side closed it */
	bool broken;
	/* What lies over the socket (tls.h), or NULL: as recv(2) and send(2),
	 * but they wait, and set `error` for -1. */
	ssize_t (*read)(struct wire *, void *, size_t);
	ssize_t (*write)(struct wire *, const void *, size_t);
	size_t (*pending)(const struct wire *); /* octets read already */
	void (*end)(struct wire *);
	void *over;
};

/* The next step: `ms` and `budget` octets for it. */
void wire_step(struct wire *, unsigned ms, size_t budget);

/* Waits for POLLIN or POLLOUT: 0, or -1 with `error`. */
int wire_wait(struct wire *, short events);

/*
 * Connects to the first address of a host that takes it, in `ms` for all of
 * them, for which looking up the name does not count.  0, or -1 with *why a
 * constant text where the name was not found, else NULL.
 */
int wire_connect(struct wire *, const char *host, const char *port, unsigned ms,
    const char **why);
void wire_close(struct wire *); /* does nothing to one that is closed */

/* A stream for libetpan, which closes the wire; NULL: no memory. */
mailstream *wire_stream(struct wire *);

/* Whether there is something to read, asked for or not. */
bool wire_has_data(const struct wire *, const mailstream *);
/* Whether some of what came with the last answer was not taken for it.  Not
 * what the socket has: that may be a word of TLS, or the end. */
bool wire_has_rest(const struct wire *, const mailstream *);

/* Why it broke, for people. */
const char *wire_trouble(const struct wire *);

#endif
