/*
 * A connection with deadlines and budgets, as a stream of libetpan.
 */
#include "mailkeyd/wire.h"
#include "mailkeyd/loop.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARE_MS 3000 /* for an address, of several: a SYN and its repeat */

void
wire_step(struct wire *w, unsigned ms, size_t budget)
{
	w->deadline = loop_now_ms() + ms;
	if (w->deadline > w->whole)
		w->deadline = w->whole;
	w->budget = budget;
	if (!w->broken)
		w->error = 0;
}

static ssize_t
fail(struct wire *w, int error)
{
	w->error = error;
	w->broken = true;
	return -1;
}

int
wire_wait(struct wire *w, short events)
{
	for (;;) {
		struct pollfd p[] = {{w->fd, events, 0}, {w->core, 0, 0}};
		int64_t left = w->deadline - loop_now_ms();
		int n = 0;

		if (left > 0)
			n = poll(p, 2, left > INT_MAX ? INT_MAX : (int)left);
		if (n == -1 && errno == EINTR)
			continue;
		if (n > 0 && p[1].revents == 0)
			return 0;
		w->error = n == -1 ? errno : n == 0 ? ETIMEDOUT : ECANCELED;
		return -1;
	}
}

/* ---- the driver ---------------------------------------------------------- */

static ssize_t
plain_read(struct wire *w, void *buf, size_t count)
{
	ssize_t n;

	do {
		if (wire_wait(w, POLLIN) != 0)
			return -1;
		n = recv(w->fd, buf, count, MSG_DONTWAIT);
	} while (n == -1 && (errno == EAGAIN || errno == EINTR));
	if (n == -1)
		w->error = errno;
	return n;
}

static ssize_t
plain_write(struct wire *w, const void *buf, size_t count)
{
	ssize_t n;

	for (;;) {
		n = send(w->fd, buf, count, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n != -1)
			return n;
		if (errno != EAGAIN && errno != EINTR) {
			w->error = errno;
			return -1;
		}
		if (wire_wait(w, POLLOUT) != 0)
			return -1;
	}
}

static ssize_t
low_read(mailstream_low *low, void *buf, size_t count)
{
	struct wire *w = low->data;
	ssize_t n;

	if (w->broken)
		return -1;
	if (w->budget == 0)
		return fail(w, EMSGSIZE);
	if (count > w->budget)
		count = w->budget;
	n = w->read != NULL ? w->read(w, buf, count)
			    : plain_read(w, buf, count);
	if (n <= 0) /* half a line is no answer: never 0 */
		return fail(w, n == 0 ? 0 : w->error);
	w->budget -= (size_t)n;
	return n;
}

static ssize_t
low_write(mailstream_low *low, const void *buf, size_t count)
{
	struct wire *w = low->data;
	ssize_t n;

	if (w->broken)
		return -1;
	n = w->write != NULL ? w->write(w, buf, count)
			     : plain_write(w, buf, count);
	return n == -1 ? fail(w, w->error) : n;
}

static int
low_close(mailstream_low *low)
{
	wire_close(low->data);
	return 0;
}

static int
low_fd(mailstream_low *low)
{
	return ((struct wire *)low->data)->fd;
}

static void
low_free(mailstream_low *low)
{
	free(low);
}

static struct mailstream_cancel *
low_cancel(mailstream_low *low)
{
	(void)low;
	return NULL;
}

static mailstream_low_driver driver = {
    .mailstream_read = low_read,
    .mailstream_write = low_write,
    .mailstream_close = low_close,
    .mailstream_get_fd = low_fd,
    .mailstream_free = low_free,
    .mailstream_get_cancel = low_cancel,
};

mailstream *
wire_stream(struct wire *w)
{
	mailstream_low *low = mailstream_low_new(w, &driver);
	mailstream *stream = low != NULL ? mailstream_new(low, 8192) : NULL;

	if (stream == NULL)
		free(low);
	return stream;
}

bool
wire_has_rest(const struct wire *w, const mailstream *stream)
{
	return stream->read_buffer_len > 0 ||
	       (w->pending != NULL && w->pending(w) > 0);
}

bool
wire_has_data(const struct wire *w, const mailstream *stream)
{
	struct pollfd p = {w->fd, POLLIN, 0};

	return wire_has_rest(w, stream) || poll(&p, 1, 0) != 0;
}

/* ---- the connection ------------------------------------------------------ */

static int
connect_one(struct wire *w, const struct addrinfo *ai)
{
	socklen_t len = sizeof(w->error);
	int on = 1;

	w->broken = false;
	w->fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	if (w->fd == -1) {
		w->error = errno;
		return -1;
	}
	/* the last piece of a message must not wait for an ACK */
	setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(w->fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return 0;
	w->error = errno;
	if (w->error == EINPROGRESS && wire_wait(w, POLLOUT) == 0) {
		if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &w->error, &len) ==
			0 &&
		    w->error == 0)
			return 0;
	}
	close(w->fd);
	w->fd = -1;
	return -1;
}

/* Tries one address after the other, each with its share of what is left of
 * the time: one from which nothing comes leaves some to the rest. */
static int
connect_any(struct wire *w, const struct addrinfo *ai, unsigned ms)
{
	int64_t end, share;
	unsigned left = 0;

	for (const struct addrinfo *at = ai; at != NULL; at = at->ai_next)
		left++;
	wire_step(w, ms, 0);
	end = w->deadline;
	for (; ai != NULL; ai = ai->ai_next, left--) {
		share = (end - loop_now_ms()) / left;
		if (share < SHARE_MS)
			share = SHARE_MS;
		w->deadline = loop_now_ms() + share;
		if (w->deadline > end)
			w->deadline = end;
		if (connect_one(w, ai) == 0)
			return 0;
	}
	return -1;
}

int
wire_connect(struct wire *w, const char *host, const char *port, unsigned ms,
    const char **why)
{
	/* Not AI_ADDRCONFIG: on a machine that has IPv6 on its loopback only,
	 * ::1 is no address to that.  What cannot be reached is sorted last,
	 * and refused at once. */
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
			    .ai_socktype = SOCK_STREAM,
			    .ai_flags = AI_NUMERICSERV},
			*list;
	int e = getaddrinfo(host, port, &hints, &list);

	*why = e != 0 ? gai_strerror(e) : NULL;
	if (e != 0)
		return -1;
	e = connect_any(w, list, ms);
	freeaddrinfo(list);
	return e;
}

void
wire_close(struct wire *w)
{
	if (w->end != NULL)
		w->end(w);
	w->read = NULL;
	w->write = NULL;
	w->pending = NULL;
	w->end = NULL;
	w->over = NULL;
	if (w->fd != -1)
		close(w->fd);
	w->fd = -1;
}

const char *
wire_trouble(const struct wire *w)
{
	switch (w->error) {
	case 0:
		return "the connection was closed";
	case EMSGSIZE:
		return "the reply is far too long";
	case ETIMEDOUT:
		return "timed out";
	default:
		return strerror(w->error);
	}
}
