/*
 * Messages with descriptors, memfds, and flat length-checked records.
 */
#include "mailkeyd/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define NULL_STRING UINT32_MAX /* stands for its length */

/* A message as it travels; `fds` has a bit for each descriptor beside it. */
struct wire {
	uint32_t type, status;
	uint64_t id, a, b;
	uint32_t fds, spare;
	char text[IPC_TEXT];
};

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(IPC_FDS * sizeof(int))];
};

void
ipc_msg_init(struct ipc_msg *m, uint32_t type, uint64_t id)
{
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->id = id;
	for (int i = 0; i < IPC_FDS; i++)
		m->fd[i] = -1;
}

void
ipc_msg_close(struct ipc_msg *m)
{
	for (int i = 0; i < IPC_FDS; i++) {
		if (m->fd[i] != -1)
			close(m->fd[i]);
		m->fd[i] = -1;
	}
}

static void
attach(struct msghdr *h, union control *c, const int *fd, size_t n)
{
	struct cmsghdr *cm;

	if (n == 0)
		return;
	memset(c, 0, sizeof(*c));
	h->msg_control = c;
	h->msg_controllen = CMSG_SPACE(n * sizeof(int));
	cm = CMSG_FIRSTHDR(h);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cm), fd, n * sizeof(int));
}

int
ipc_send(int sock, const struct ipc_msg *m)
{
	struct wire w;
	struct iovec iov = {&w, sizeof(w)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	union control c;
	int fd[IPC_FDS];
	size_t nfd = 0;
	ssize_t n;

	memset(&w, 0, sizeof(w));
	w.type = m->type;
	w.status = m->status;
	w.id = m->id;
	w.a = m->a;
	w.b = m->b;
	memcpy(w.text, m->text, strnlen(m->text, sizeof(w.text) - 1));
	for (int i = 0; i < IPC_FDS; i++)
		if (m->fd[i] != -1) {
			w.fds |= 1u << i;
			fd[nfd++] = m->fd[i];
		}
	attach(&h, &c, fd, nfd);
	do
		n = sendmsg(sock, &h, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

/* Every descriptor that came, wanted or not, so that none leaks. */
static size_t
detach(struct msghdr *h, int fd[IPC_FDS])
{
	size_t nfd = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL;
	     cm = CMSG_NXTHDR(h, cm)) {
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int one;

			memcpy(
			    &one, CMSG_DATA(cm) + i * sizeof(int), sizeof(one));
			if (nfd < IPC_FDS)
				fd[nfd++] = one;
			else
				close(one);
		}
	}
	return nfd;
}

/* Puts the descriptors in the places that the far end named. */
static bool
place(struct ipc_msg *m, uint32_t places, const int *fd, size_t nfd)
{
	size_t used = 0;

	if (places >> IPC_FDS != 0 || (size_t)__builtin_popcount(places) != nfd)
		return false;
	for (int i = 0; i < IPC_FDS; i++)
		if (places & 1u << i)
			m->fd[i] = fd[used++];
	return true;
}

int
ipc_recv(int sock, struct ipc_msg *m)
{
	struct wire w;
	struct iovec iov = {&w, sizeof(w)};
	union control c;
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &c,
	    .msg_controllen = sizeof(c)};
	int fd[IPC_FDS] = {-1, -1};
	size_t nfd;
	ssize_t n;

	ipc_msg_init(m, 0, 0);
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	nfd = detach(&h, fd);
	if (n == sizeof(w) && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    place(m, w.fds, fd, nfd)) {
		m->type = w.type;
		m->status = w.status;
		m->id = w.id;
		m->a = w.a;
		m->b = w.b;
		memcpy(m->text, w.text, sizeof(m->text) - 1);
		return 1;
	}
	for (size_t i = 0; i < nfd; i++)
		close(fd[i]);
	if (n == 0)
		return 0;
	errno = EPROTO;
	return -1;
}

int
ipc_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

int
ipc_write_all(int fd, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void
ipc_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}

void
ipc_helper(int sock)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
	ipc_standard_streams();
	fcntl(sock, F_SETFD, FD_CLOEXEC);
}

int
ipc_memfd(const char *name, const void *data, size_t len, bool seal)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int saved;

	if (fd == -1)
		return -1;
	if (ipc_write_all(fd, data, len) == 0 && (!seal || ipc_seal(fd) == 0))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
ipc_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS,
		   F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		       -1
		   ? -1
		   : 0;
}

int
ipc_drain(int from, size_t max)
{
	int fd = ipc_memfd("input", NULL, 0, false), saved;
	char buf[65536];
	ssize_t n;

	if (fd == -1)
		return -1;
	while ((n = read(from, buf, sizeof(buf))) != 0) {
		size_t take = (size_t)n < max ? (size_t)n : max;

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || ipc_write_all(fd, buf, take) == -1) {
			saved = errno;
			close(fd);
			errno = saved;
			return -1;
		}
		max -= take;
	}
	return fd;
}

int
ipc_slurp(int fd, size_t max, char **data, size_t *len)
{
	/* not fstat(2): the jail lets no call through that takes a path */
	off_t size = lseek(fd, 0, SEEK_END);
	size_t done = 0;
	char *p;

	if (size == -1)
		return -1;
	if ((uintmax_t)size > max || (uintmax_t)size >= SIZE_MAX) {
		errno = EFBIG;
		return -1;
	}
	p = malloc((size_t)size + 1);
	if (p == NULL)
		return -1;
	while (done < (size_t)size) {
		ssize_t n =
		    pread(fd, p + done, (size_t)size - done, (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) { /* cut short by the far end meanwhile */
			int saved = n == 0 ? EIO : errno;

			free(p);
			errno = saved;
			return -1;
		}
		done += (size_t)n;
	}
	p[done] = '\0';
	*data = p;
	*len = done;
	return 0;
}

/* ---- flat records ------------------------------------------------------- */

static unsigned char *
grow(struct ipc_out *out, size_t len)
{
	size_t need, size;
	unsigned char *p;

	if (out->failed || len > SIZE_MAX / 2 - out->len) {
		out->failed = true;
		return NULL;
	}
	need = out->len + len;
	if (need > out->size) {
		size = out->size < 256 ? 256 : out->size;
		while (size < need)
			size *= 2;
		p = realloc(out->data, size);
		if (p == NULL) {
			out->failed = true;
			return NULL;
		}
		out->data = p;
		out->size = size;
	}
	p = out->data + out->len;
	out->len = need;
	return p;
}

static void
put_number(struct ipc_out *out, uint64_t value, size_t octets)
{
	unsigned char *p = grow(out, octets);

	if (p == NULL)
		return;
	for (size_t i = 0; i < octets; i++)
		p[i] = (unsigned char)(value >> 8 * i);
}

void
ipc_put_u32(struct ipc_out *out, uint32_t value)
{
	put_number(out, value, 4);
}

void
ipc_put_u64(struct ipc_out *out, uint64_t value)
{
	put_number(out, value, 8);
}

void
ipc_put_blob(struct ipc_out *out, const void *data, size_t len)
{
	unsigned char *p;

	if (len >= NULL_STRING) {
		out->failed = true;
		return;
	}
	ipc_put_u32(out, (uint32_t)len);
	p = grow(out, len);
	if (p != NULL && len > 0)
		memcpy(p, data, len);
}

void
ipc_put_str(struct ipc_out *out, const char *s)
{
	if (s == NULL)
		ipc_put_u32(out, NULL_STRING);
	else
		ipc_put_blob(out, s, strlen(s));
}

void
ipc_out_free(struct ipc_out *out)
{
	free(out->data);
	memset(out, 0, sizeof(*out));
}

static const unsigned char *
take(struct ipc_in *in, size_t len)
{
	const unsigned char *p;

	if (in->failed || in->pos > in->len || len > in->len - in->pos) {
		in->failed = true;
		return NULL;
	}
	p = in->data + in->pos;
	in->pos += len;
	return p;
}

static uint64_t
get_number(struct ipc_in *in, size_t octets)
{
	const unsigned char *p = take(in, octets);
	uint64_t value = 0;

	if (p == NULL)
		return 0;
	for (size_t i = octets; i > 0; i--)
		value = value << 8 | p[i - 1];
	return value;
}

uint32_t
ipc_get_u32(struct ipc_in *in)
{
	return (uint32_t)get_number(in, 4);
}

uint64_t
ipc_get_u64(struct ipc_in *in)
{
	return get_number(in, 8);
}

const unsigned char *
ipc_get_blob(struct ipc_in *in, size_t *len)
{
	uint32_t n = ipc_get_u32(in);
	const unsigned char *p = take(in, n);

	*len = p == NULL ? 0 : n;
	return p;
}

char *
ipc_get_str(struct ipc_in *in, size_t max)
{
	uint32_t n = ipc_get_u32(in);
	const unsigned char *p;
	char *s;

	if (in->failed || n == NULL_STRING)
		return NULL;
	p = n > max ? NULL : take(in, n);
	if (p == NULL || memchr(p, '\0', n) != NULL) {
		in->failed = true;
		return NULL;
	}
	s = malloc((size_t)n + 1);
	if (s == NULL) {
		in->failed = true;
		return NULL;
	}
	memcpy(s, p, n);
	s[n] = '\0';
	return s;
}
