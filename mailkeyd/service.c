/*
 * The service manager's side of things: ready, still alive, ending, and the
 * sockets that it opened for us.
 */
#include "mailkeyd/service.h"
#include "mailkeyd/log.h"

#include <stdlib.h>

#ifdef HAVE_SYSTEMD
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

struct service {
	int n;		   /* sockets handed over, from SD_LISTEN_FDS_START */
	bool *taken;	   /* of each */
	uint64_t watchdog; /* us; 0: none */
	struct loop_timer *timer;
};

struct service *
service_new(void)
{
	struct service *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->n = sd_listen_fds(1);
	if (s->n < 0)
		s->n = 0;
	s->taken = calloc((size_t)s->n + 1, sizeof(*s->taken));
	if (s->taken == NULL) {
		free(s);
		return NULL;
	}
	if (sd_watchdog_enabled(1, &s->watchdog) <= 0)
		s->watchdog = 0;
	return s;
}

void
service_free(struct service *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < s->n; i++)
		if (!s->taken[i])
			close(SD_LISTEN_FDS_START + i);
	loop_timer_free(s->timer);
	free(s->taken);
	free(s);
}

/* Whether a listening socket is bound to this numeric address and port. */
static bool
is_bound_to(int fd, const char *host, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct in6_addr at, wanted;
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	int family;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return false;
	family = ss.ss_family;
	if (sd_is_socket_inet(fd, family, SOCK_STREAM, 1, port) <= 0 ||
	    inet_pton(family, host, &wanted) != 1)
		return false;
	if (family == AF_INET) {
		memcpy(&in, &ss, sizeof(in));
		return memcmp(&in.sin_addr, &wanted, sizeof(in.sin_addr)) == 0;
	}
	memcpy(&in6, &ss, sizeof(in6));
	at = in6.sin6_addr;
	return memcmp(&at, &wanted, sizeof(at)) == 0;
}

static bool
is_for(int fd, const struct config_receive *r)
{
	if (r->path != NULL)
		return sd_is_socket_unix(fd, SOCK_STREAM, 1, r->path, 0) > 0;
	return is_bound_to(fd, r->host, r->port);
}

int
service_socket(struct service *s, const struct config_receive *r)
{
	for (int i = 0; i < s->n; i++) {
		if (s->taken[i] || !is_for(SD_LISTEN_FDS_START + i, r))
			continue;
		s->taken[i] = true;
		return SD_LISTEN_FDS_START + i;
	}
	return -1;
}

static void
alive(void *ctx)
{
	struct service *s = ctx;

	sd_notify(0, "WATCHDOG=1");
	loop_timer_set(s->timer, (long)(s->watchdog / 2000));
}

void
service_ready(struct service *s, struct loop *loop)
{
	for (int i = 0; i < s->n; i++)
		if (!s->taken[i])
			log_line(LOG_WARNING,
			    "event=socket what=unused number=%d remedy=\"no "
			    "`receive` section has the path or port of this "
			    "socket unit\"",
			    i + 1);
	if (s->watchdog != 0 &&
	    (s->timer = loop_timer_new(loop, alive, s)) != NULL)
		alive(s);
	sd_notify(0, "READY=1\nSTATUS=Taking mails");
}

void
service_ending(struct service *s)
{
	if (s == NULL)
		return;
	sd_notify(0, "STOPPING=1\nSTATUS=Committing what is in hand");
}

#else /* built without libsystemd */

struct service {
	char nothing;
};

struct service *
service_new(void)
{
	return calloc(1, sizeof(struct service));
}

void
service_free(struct service *s)
{
	free(s);
}

int
service_socket(struct service *s, const struct config_receive *r)
{
	(void)s;
	(void)r;
	return -1;
}

void
service_ready(struct service *s, struct loop *loop)
{
	(void)s;
	(void)loop;
}

void
service_ending(struct service *s)
{
	(void)s;
}
#endif
