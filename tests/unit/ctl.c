/*
 * mailkeyctl and a daemon that says nothing: one that is stopped, and one that
 * takes its time.
 */
#include "mailkeyd/ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

static char dir[64], path[80], conf[80];
static int listener;

static int
setup(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *tmp = getenv("TMPDIR");
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/ctl.XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f, "address = keys@example.org\ncontrol = \"%s\"\n", path);
	assert_int_equal(fclose(f), 0);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_not_equal(listener, -1);
	assert_int_equal(
	    bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(listener, 0), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	unlink(conf);
	return rmdir(dir);
}

static int
ask(unsigned patience)
{
	struct ctl ctl = {.file = conf, .sock = -1, .patience = patience};

	return ctl_simple(&ctl, CONTROL_STATS, "", 0);
}

/* It took the connection, or not even that. */
static void
test_stopped(void **state)
{
	int waits[4], n = 0;

	(void)state;
	assert_int_equal(ask(1), EX_TEMPFAIL);
	/* Until no more can wait. */
	while (n < 4 && (waits[n] = ctl_connect(path, 1)) != -1)
		n++;
	assert_in_range(n, 0, 3);
	assert_int_equal(ask(1), EX_TEMPFAIL);
	while (n > 0)
		close(waits[--n]);
}

/* Says three times in four seconds that it is there. */
static void *
takes_its_time(void *ctx)
{
	int sock = accept(listener, NULL, NULL);
	struct ipc_msg msg;

	(void)ctx;
	if (sock == -1 || ipc_recv(sock, &msg) != 1)
		return NULL;
	ipc_msg_close(&msg);
	for (unsigned i = 0; i < 4; i++) {
		usleep(1000000);
		ipc_msg_init(&msg, i < 3 ? CONTROL_ALIVE : CONTROL_END, 0);
		if (ipc_send(sock, &msg) == -1)
			break;
	}
	close(sock);
	return NULL;
}

static void
test_slow(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(
	    pthread_create(&thread, NULL, takes_its_time, NULL), 0);
	assert_int_equal(ask(3), EX_OK);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_stopped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
