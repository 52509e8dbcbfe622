/*
 * Connections to a host with several addresses, one of which swallows what is
 * sent to it.
 */
#include "mailkeyd/wire.h"
#include "mailkeyd/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ADDRESSES_MAX 4

/* ---- the host ------------------------------------------------------------ */

static struct {
	struct addrinfo info[ADDRESSES_MAX];
	struct sockaddr_in address[ADDRESSES_MAX];
	size_t n;
} host;

static void
host_add(struct sockaddr_in address)
{
	size_t n = host.n++;

	assert_true(n < ADDRESSES_MAX);
	host.address[n] = address;
	host.info[n] = (struct addrinfo){.ai_family = AF_INET,
	    .ai_socktype = SOCK_STREAM,
	    .ai_addr = (struct sockaddr *)&host.address[n],
	    .ai_addrlen = sizeof(host.address[n])};
	if (n > 0)
		host.info[n - 1].ai_next = &host.info[n];
}

/* In place of the C library's. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **list)
{
	(void)service;
	(void)hints;
	if (strcmp(name, "host.example") != 0)
		return EAI_NONAME;
	*list = host.info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

/* A socket that listens, on the loopback; *address: where. */
static int
listener(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_not_equal(fd, -1);
	assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
	return fd;
}

/* Nobody accepts, and its queue is full: what comes then is dropped.  The
 * sockets stay until the end of the program. */
static struct sockaddr_in
black_hole(void)
{
	struct sockaddr_in address;

	listener(&address);
	for (int i = 0; i < 4; i++) {
		int fd = socket(
		    AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		assert_int_not_equal(fd, -1);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			assert_int_equal(errno, EINPROGRESS);
	}
	return address;
}

/* Where nobody listens. */
static struct sockaddr_in
nobody(void)
{
	struct sockaddr_in address;

	close(listener(&address));
	return address;
}

/* ---- connecting ---------------------------------------------------------- */

/* What the addresses are: h a black hole, n nobody, s a server. */
static const struct {
	const char *name, *addresses;
	unsigned ms;
	int connected, error;
	int64_t least; /* ms that it takes */
} cases[] = {
    {"a server", "s", 10000, 0, 0, 0},
    {"nobody", "n", 10000, -1, ECONNREFUSED, 0},
    {"nobody, a server", "ns", 10000, 0, 0, 0},
    {"a hole, a server", "hs", 7000, 0, 0, 3500},
    {"a hole alone has all the time", "h", 1000, -1, ETIMEDOUT, 1000},
    {"no time for the rest", "hs", 1000, -1, ETIMEDOUT, 1000},
};

static void
connects(void **state)
{
	struct sockaddr_in server, hole = black_hole(), none = nobody();
	int listening = listener(&server);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire w = {.fd = -1, .core = -1, .whole = INT64_MAX};
		int64_t began = loop_now_ms(), took;
		const char *why = "";
		int e;

		memset(&host, 0, sizeof(host));
		for (const char *c = cases[i].addresses; *c != '\0'; c++)
			host_add(*c == 'h' ? hole : *c == 'n' ? none : server);
		e = wire_connect(&w, "host.example", "25", cases[i].ms, &why);
		took = loop_now_ms() - began;
		if (e != cases[i].connected || why != NULL ||
		    (e == -1 && w.error != cases[i].error) ||
		    took < cases[i].least)
			fail_msg("%s: %d, %s, after %lld ms", cases[i].name, e,
			    wire_trouble(&w), (long long)took);
		if (e == 0)
			close(accept(listening, NULL, NULL));
		wire_close(&w);
	}
}

static void
unknown(void **state)
{
	struct wire w = {.fd = -1, .core = -1, .whole = INT64_MAX};
	const char *why = NULL;

	(void)state;
	assert_int_equal(wire_connect(&w, "other.example", "25", 9, &why), -1);
	assert_non_null(why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(connects), cmocka_unit_test(unknown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
