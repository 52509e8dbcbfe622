/*
 * Messages, memfds and flat records.
 */
#include "mailkeyd/ipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct ends {
	int pair[2];
};

static int
setup(void **state)
{
	struct ends *e = malloc(sizeof(*e));

	assert_non_null(e);
	assert_int_equal(ipc_pair(e->pair), 0);
	*state = e;
	return 0;
}

static int
teardown(void **state)
{
	struct ends *e = *state;

	close(e->pair[0]);
	close(e->pair[1]);
	free(e);
	return 0;
}

static unsigned
count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
test_message(void **state)
{
	struct ends *e = *state;
	struct ipc_msg out, in;

	ipc_msg_init(&out, 7, UINT64_C(1) << 60);
	out.status = 3;
	out.a = UINT64_MAX;
	out.b = 5;
	strcpy(out.text, "some words");
	assert_int_equal(ipc_send(e->pair[0], &out), 0);
	assert_int_equal(ipc_recv(e->pair[1], &in), 1);
	assert_int_equal(in.type, 7);
	assert_int_equal(in.status, 3);
	assert_true(in.id == UINT64_C(1) << 60);
	assert_true(in.a == UINT64_MAX && in.b == 5);
	assert_string_equal(in.text, "some words");
	assert_int_equal(in.fd[0], -1);
	assert_int_equal(in.fd[1], -1);
}

/* A descriptor arrives in the place that it was sent from. */
static void
test_places(void **state)
{
	struct ends *e = *state;
	unsigned before = count_fds();

	for (unsigned places = 0; places < 4; places++) {
		struct ipc_msg out, in;

		ipc_msg_init(&out, 1, 1);
		for (int i = 0; i < 2; i++)
			if (places & 1u << i) {
				char text[2] = {(char)('a' + i), '\0'};

				out.fd[i] = ipc_memfd("t", text, 1, true);
			}
		assert_int_equal(ipc_send(e->pair[0], &out), 0);
		ipc_msg_close(&out);
		assert_int_equal(ipc_recv(e->pair[1], &in), 1);
		for (int i = 0; i < 2; i++) {
			char c = 0;

			assert_int_equal(
			    in.fd[i] != -1, (places & 1u << i) != 0);
			if (in.fd[i] == -1)
				continue;
			assert_int_equal(pread(in.fd[i], &c, 1, 0), 1);
			assert_int_equal(c, 'a' + i);
			assert_true(fcntl(in.fd[i], F_GETFD) & FD_CLOEXEC);
		}
		ipc_msg_close(&in);
	}
	assert_int_equal(count_fds(), before);
}

static void
test_text_is_ended(void **state)
{
	struct ends *e = *state;
	struct ipc_msg out, in;

	ipc_msg_init(&out, 1, 1);
	memset(out.text, 'x', sizeof(out.text));
	assert_int_equal(ipc_send(e->pair[0], &out), 0);
	assert_int_equal(ipc_recv(e->pair[1], &in), 1);
	assert_int_equal(strlen(in.text), IPC_TEXT - 1);
}

static void
test_closed(void **state)
{
	struct ends *e = *state;
	struct ipc_msg m;

	close(e->pair[0]);
	assert_int_equal(ipc_recv(e->pair[1], &m), 0);
	ipc_msg_init(&m, 1, 1);
	assert_int_equal(ipc_send(e->pair[1], &m), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(ipc_pair(e->pair), 0);
}

static void
test_nothing_there(void **state)
{
	struct ends *e = *state;
	struct ipc_msg m;

	assert_int_equal(fcntl(e->pair[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ipc_recv(e->pair[1], &m), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Octets of another size, or more descriptors than there may be, with a
 * descriptor count of what is left open. */
static void
send_raw(int sock, size_t len, int nfd)
{
	static char octets[4096];
	struct iovec iov = {octets, len};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} c;
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[8];

	memset(&c, 0, sizeof(c));
	if (nfd > 0) {
		struct cmsghdr *cm;

		h.msg_control = &c;
		h.msg_controllen = CMSG_SPACE((size_t)nfd * sizeof(int));
		cm = CMSG_FIRSTHDR(&h);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN((size_t)nfd * sizeof(int));
		for (int i = 0; i < nfd; i++)
			fds[i] = 0;
		memcpy(CMSG_DATA(cm), fds, (size_t)nfd * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &h, 0), (ssize_t)len);
}

static void
test_malformed(void **state)
{
	struct ends *e = *state;
	struct ipc_msg m;
	unsigned before = count_fds();
	static const struct {
		size_t len;
		int nfd;
	} cases[] = {{1, 0}, {1, 1}, {552, 1}, {552, 2}, {552, 5}, {551, 0},
	    {553, 0}, {4096, 2}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_raw(e->pair[0], cases[i].len, cases[i].nfd);
		assert_int_equal(ipc_recv(e->pair[1], &m), -1);
		assert_int_equal(errno, EPROTO);
		assert_int_equal(m.fd[0], -1);
		assert_int_equal(count_fds(), before);
	}
	/* the size that is right, so that the cases above mean something */
	send_raw(e->pair[0], 552, 0);
	assert_int_equal(ipc_recv(e->pair[1], &m), 1);
}

static void
test_memfd(void **state)
{
	struct ends *e = *state;
	char *data;
	size_t len;
	int fd = ipc_memfd("t", "hello", 5, true);

	(void)e;
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 10), -1);
	assert_int_equal(ipc_slurp(fd, 5, &data, &len), 0);
	assert_int_equal(len, 5);
	assert_string_equal(data, "hello");
	free(data);
	assert_int_equal(ipc_slurp(fd, 4, &data, &len), -1);
	assert_int_equal(errno, EFBIG);
	close(fd);
	fd = ipc_memfd("t", NULL, 0, false);
	assert_int_equal(ipc_slurp(fd, 0, &data, &len), 0);
	assert_int_equal(len, 0);
	assert_string_equal(data, "");
	free(data);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(ipc_seal(fd), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	close(fd);
	assert_int_equal(ipc_slurp(e->pair[0], 5, &data, &len), -1);
}

static void
test_record(void **state)
{
	struct ipc_out out = {0};
	struct ipc_in in = {0};
	size_t len;
	char *s;

	(void)state;
	ipc_put_u32(&out, 0xdeadbeef);
	ipc_put_u64(&out, UINT64_C(0x0123456789abcdef));
	ipc_put_blob(&out, "a\0b", 3);
	ipc_put_blob(&out, NULL, 0);
	ipc_put_str(&out, "text");
	ipc_put_str(&out, "");
	ipc_put_str(&out, NULL);
	assert_false(out.failed);
	in.data = out.data;
	in.len = out.len;
	assert_int_equal(ipc_get_u32(&in), 0xdeadbeef);
	assert_true(ipc_get_u64(&in) == UINT64_C(0x0123456789abcdef));
	assert_memory_equal(ipc_get_blob(&in, &len), "a\0b", 3);
	assert_int_equal(len, 3);
	ipc_get_blob(&in, &len);
	assert_int_equal(len, 0);
	s = ipc_get_str(&in, 4);
	assert_string_equal(s, "text");
	free(s);
	s = ipc_get_str(&in, 4);
	assert_string_equal(s, "");
	free(s);
	assert_null(ipc_get_str(&in, 4));
	assert_false(in.failed);
	assert_int_equal(in.pos, in.len);
	ipc_out_free(&out);
}

static void
test_record_too_short(void **state)
{
	static const unsigned char lies[][8] = {
	    {4, 0, 0, 0, 'a', 'b', 'c'},	 /* 4 announced, 3 there */
	    {0xfe, 0xff, 0xff, 0xff, 'a', 0, 0}, /* nearly 4 GB */
	};
	struct ipc_in in;
	size_t len;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		in = (struct ipc_in){.data = lies[i], .len = 7};
		assert_null(ipc_get_blob(&in, &len));
		assert_int_equal(len, 0);
		assert_true(in.failed);
		in = (struct ipc_in){.data = lies[i], .len = 7};
		assert_null(ipc_get_str(&in, 100));
		assert_true(in.failed);
	}
	in = (struct ipc_in){.data = lies[0], .len = 3};
	assert_int_equal(ipc_get_u32(&in), 0);
	assert_true(in.failed);
	assert_true(ipc_get_u64(&in) == 0);
}

static void
test_strings_that_cannot_be(void **state)
{
	struct ipc_out out = {0};
	struct ipc_in in = {0};

	(void)state;
	ipc_put_blob(&out, "a\0b", 3);
	in = (struct ipc_in){.data = out.data, .len = out.len};
	assert_null(ipc_get_str(&in, 100));
	assert_true(in.failed);
	in = (struct ipc_in){.data = out.data, .len = out.len};
	assert_null(ipc_get_str(&in, 2));
	assert_true(in.failed);
	ipc_out_free(&out);
}

/* What is over the limit is read too, and thrown away. */
static void
test_drain(void **state)
{
	static const char text[] = "0123456789";
	int ends[2], fd;
	char *data;
	size_t len;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(ipc_write_all(ends[1], text, 10), 0);
	close(ends[1]);
	fd = ipc_drain(ends[0], 4);
	assert_int_not_equal(fd, -1);
	assert_int_equal(read(ends[0], &(char){0}, 1), 0);
	assert_int_equal(ipc_slurp(fd, 100, &data, &len), 0);
	assert_int_equal(len, 4);
	assert_string_equal(data, "0123");
	assert_int_equal(ipc_seal(fd), 0);
	free(data);
	close(fd);
	close(ends[0]);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ipc_drain(fd, 4), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_message, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_places, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_text_is_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_nothing_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_memfd, setup, teardown),
	    cmocka_unit_test(test_drain),
	    cmocka_unit_test(test_record),
	    cmocka_unit_test(test_record_too_short),
	    cmocka_unit_test(test_strings_that_cannot_be),
	};

	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
