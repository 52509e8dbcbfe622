/*
 * The socket that LMTP is listened for at: made, handed over by systemd, and
 * removed.
 */
#include "mailkeyd/lmtp_socket.h"
#include "mailkeyd/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* Whether somebody listens at a Unix socket. */
static bool
is_alive(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd == -1)
		return true; /* not known: leave it alone */
	alive = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
		errno != ECONNREFUSED;
	close(fd);
	return alive;
}

static int
bind_unix(int fd, const struct sockaddr_un *sun)
{
	const struct sockaddr *sa = (const struct sockaddr *)sun;
	struct stat st;

	if (bind(fd, sa, sizeof(*sun)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (lstat(sun->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	/* Left by one that was killed: nobody answers. */
	if (is_alive(sun)) {
		errno = EADDRINUSE;
		return -1;
	}
	if (unlink(sun->sun_path) == -1)
		return -1;
	return bind(fd, sa, sizeof(*sun));
}

static void
bind_error(
    const struct config *config, const struct config_receive *r, char **error)
{
	const char *help = "make its directory for the user that runs mailkeyd";

	if (errno == ENOTSOCK) {
		receive_error(config, r, error,
		    "cannot listen at %s: it is no socket; move it away, or "
		    "choose another path",
		    r->path);
		return;
	}
	if (errno == EADDRINUSE)
		help = "end what listens there, or choose another path";
	receive_error(config, r, error, "cannot listen at %s: %s; %s", r->path,
	    strerror(errno), help);
}

static int
listen_unix(struct lmtp_socket *s, const struct config *config,
    const struct config_receive *r, char **error)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(r->path);
	char *path;

	if (len >= sizeof(sun.sun_path))
		return receive_error(config, r, error,
		    "%s is too long for a socket; choose a shorter path",
		    r->path);
	memcpy(sun.sun_path, r->path, len + 1);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The file is made with the mode of the socket less the umask: never
	 * more than wanted, not even for a moment. */
	if (s->fd == -1 || fchmod(s->fd, r->mode) == -1 ||
	    (path = strdup(r->path)) == NULL)
		return receive_error(config, r, error,
		    "no socket: %s; free memory or descriptors",
		    strerror(errno));
	if (bind_unix(s->fd, &sun) == -1) {
		bind_error(config, r, error);
		free(path);
		return -1;
	}
	s->path = path; /* ours to remove, from now on */
	if (lstat(r->path, &s->made) == -1 || chmod(r->path, r->mode) == -1)
		return receive_error(config, r, error,
		    "cannot set the mode of %s: %s; look at its directory",
		    r->path, strerror(errno));
	return 0;
}

static int
listen_tcp(struct lmtp_socket *s, const struct config *config,
    const struct config_receive *r, char **error)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	    .ai_socktype = SOCK_STREAM};
	const int on = 1;
	struct addrinfo *ai;
	char port[8];
	int why;

	snprintf(port, sizeof(port), "%u", r->port);
	if ((why = getaddrinfo(r->host, port, &hints, &ai)) != 0)
		return receive_error(config, r, error,
		    "host %s: %s; write a numeric address", r->host,
		    gai_strerror(why));
	s->fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd != -1 && ai->ai_family == AF_INET6)
		setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (s->fd == -1 ||
	    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ==
		-1 ||
	    bind(s->fd, ai->ai_addr, ai->ai_addrlen) == -1) {
		receive_error(config, r, error,
		    "cannot listen at %s port %s: %s; end what listens there, "
		    "or choose another port",
		    r->host, port, strerror(errno));
		freeaddrinfo(ai);
		return -1;
	}
	freeaddrinfo(ai);
	return 0;
}

/* A socket of systemd may block: accept4(2) must not. */
static int
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
lmtp_socket_open(struct lmtp_socket *s, const struct config *config,
    const struct config_receive *r, int fd, char **error)
{
	int ok;

	*s = (struct lmtp_socket){.fd = fd};
	if (fd != -1)
		return set_nonblocking(fd) == 0
			   ? 0
			   : receive_error(config, r, error,
				 "the socket handed over is none: %s; look at "
				 "the socket unit",
				 strerror(errno));
	ok = r->path != NULL ? listen_unix(s, config, r, error)
			     : listen_tcp(s, config, r, error);
	if (ok == 0 && listen(s->fd, BACKLOG) == -1)
		ok = receive_error(config, r, error,
		    "cannot listen: %s; choose another place", strerror(errno));
	return ok;
}

void
lmtp_socket_close(struct lmtp_socket *s)
{
	struct stat st;

	if (s->path != NULL && lstat(s->path, &st) == 0 &&
	    st.st_dev == s->made.st_dev && st.st_ino == s->made.st_ino)
		unlink(s->path);
	free(s->path);
	s->path = NULL;
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}
