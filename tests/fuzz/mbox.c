/*
 * Any octets as an mbox: messages come in their order and in their size, and
 * whoever goes on behind one of them finds the same rest.
 */
#include "mailkeyd/mbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST 64
#define LINE 1024 /* octets of a line that mbox.c looks at */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

/* What is read from there: how many messages, and a sum over all of them;
 * *first is where the first one ends. */
static size_t
walk(int fd, const uint8_t *octets, uint64_t from, uint64_t size,
    uint64_t *first, uint64_t *sum)
{
	struct mbox_message m;
	struct mbox *mbox;
	uint64_t last = from;
	size_t n = 0;
	int got;

	require(lseek(fd, (off_t)from, SEEK_SET) == (off_t)from);
	mbox = mbox_new(fd, from, MOST);
	require(mbox != NULL);
	while ((got = mbox_next(mbox, &m)) == 1) {
		require(m.at >= last && m.end > m.at && m.end <= size);
		require(m.len <= MOST + 1 && m.len < m.end - m.at);
		require(mbox_is_from((const char *)octets + m.at,
		    size - m.at < LINE ? (size_t)(size - m.at) : LINE));
		require(
		    m.len == 0 || memmem(octets + m.at, (size_t)(m.end - m.at),
				      m.data, m.len) != NULL);
		if (n++ == 0)
			*first = m.end;
		else
			*sum = *sum * 31 + m.at * 7 + m.end + m.len;
		last = m.end;
	}
	require(got == 0);
	mbox_free(mbox);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	uint64_t first = 0, ignored = 0, sum = 0, again = 0;
	int fd = memfd_create("mbox", MFD_CLOEXEC);
	size_t n;

	require(fd != -1 && write(fd, octets, len) == (ssize_t)len);
	n = walk(fd, octets, 0, len, &first, &sum);
	require(walk(fd, octets, 0, len, &ignored, &again) == n);
	require(sum == again);
	/* The first of the rest is not in its sum. */
	if (n > 0)
		require(
		    walk(fd, octets, first, len, &ignored, &again) == n - 1);
	close(fd);
	return 0;
}
