/*
 * An mbox file cut into its messages.
 */
#include "mailkeyd/mbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT 65536
#define LINE  1024 /* octets of a line that are looked at */

struct mbox {
	int fd;
	size_t most;
	char in[INPUT];
	size_t pos, len;
	uint64_t offset; /* of in[0] */
	bool ended;
	/* the line at hand: all of it, or a part of a long one */
	char line[LINE];
	size_t line_len;
	uint64_t line_at;
	bool begins; /* it is the beginning of a line */
	bool blank;  /* the line before it was empty, or there was none */
	bool has_from;
	uint64_t from_at;
	char *data; /* of the message */
	size_t data_len, size;
};

struct mbox *
mbox_new(int fd, uint64_t offset, size_t most)
{
	struct mbox *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->fd = fd;
	m->offset = offset;
	m->most = most;
	m->begins = m->blank = true;
	return m;
}

void
mbox_free(struct mbox *m)
{
	if (m == NULL)
		return;
	/* it may have held a secret key */
	explicit_bzero(m->in, sizeof(m->in));
	if (m->data != NULL)
		explicit_bzero(m->data, m->size);
	free(m->data);
	free(m);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A year behind the time, as asctime(3) has it; time zones may stand between
 * and behind. */
static bool
has_year(const char *p, size_t n)
{
	for (size_t i = 0; i + 5 <= n; i++)
		if (p[i] == ' ' && is_digit(p[i + 1]) && is_digit(p[i + 2]) &&
		    is_digit(p[i + 3]) && is_digit(p[i + 4]) &&
		    (i + 5 == n || p[i + 5] == ' ' || p[i + 5] == '\r' ||
			p[i + 5] == '\n'))
			return true;
	return false;
}

bool
mbox_is_from(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);

	if (lf != NULL)
		n = (size_t)(lf - p);
	if (n < 5 || memcmp(p, "From ", 5) != 0)
		return false;
	for (size_t i = 6; i + 4 < n; i++)
		if (p[i] == ':' && is_digit(p[i - 1]) && is_digit(p[i + 1]) &&
		    is_digit(p[i + 2]))
			return has_year(p + i, n - i);
	return false;
}

/* 1: there is input; 0: the end; -1: errno. */
static int
fill(struct mbox *m)
{
	ssize_t n;

	if (m->pos < m->len)
		return 1;
	if (m->ended)
		return 0;
	do
		n = read(m->fd, m->in, INPUT);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	m->offset += m->len;
	m->pos = 0;
	m->len = (size_t)n;
	m->ended = n == 0;
	return n > 0;
}

static void
note_end_of_line(struct mbox *m)
{
	m->blank = m->begins && m->line_len <= 2 &&
		   m->line[m->line_len - 1] == '\n' &&
		   (m->line_len == 1 || m->line[0] == '\r');
	m->begins = m->line[m->line_len - 1] == '\n';
}

/* The next line, or the next part of one; as fill(). */
static int
line_read(struct mbox *m)
{
	int got;

	if (m->line_len > 0)
		note_end_of_line(m);
	m->line_len = 0;
	got = fill(m);
	m->line_at = m->offset + m->pos;
	while (got == 1 && m->line_len < LINE) {
		const char *from = m->in + m->pos, *lf;
		size_t n = m->len - m->pos, room = LINE - m->line_len;

		if (n > room)
			n = room;
		lf = memchr(from, '\n', n);
		if (lf != NULL)
			n = (size_t)(lf - from) + 1;
		memcpy(m->line + m->line_len, from, n);
		m->line_len += n;
		m->pos += n;
		if (lf != NULL)
			return 1;
		got = fill(m);
	}
	if (got == -1)
		return -1;
	return m->line_len > 0;
}

static bool
line_is_from(const struct mbox *m)
{
	return m->begins && m->blank && mbox_is_from(m->line, m->line_len);
}

/* Adds the line at hand, up to one octet more than is wanted.  0 or -1. */
static int
line_keep(struct mbox *m)
{
	size_t n = m->line_len, room = m->most + 1 - m->data_len, size;
	char *more;

	if (n > room)
		n = room;
	if (n > m->size - m->data_len) {
		size = m->size == 0 ? INPUT : 2 * m->size;
		if (size > m->most + 1 + LINE)
			size = m->most + 1 + LINE;
		more = realloc(m->data, size);
		if (more == NULL)
			return -1;
		m->data = more;
		m->size = size;
	}
	if (n > 0)
		memcpy(m->data + m->data_len, m->line, n);
	m->data_len += n;
	return 0;
}

int
mbox_next(struct mbox *m, struct mbox_message *message)
{
	int got = 1;

	m->data_len = 0;
	while (!m->has_from && (got = line_read(m)) == 1)
		if (line_is_from(m)) {
			m->has_from = true;
			m->from_at = m->line_at;
		}
	if (got != 1)
		return got;
	message->at = m->from_at;
	m->has_from = false;
	while ((got = line_read(m)) == 1) {
		if (line_is_from(m)) {
			m->has_from = true;
			m->from_at = m->line_at;
			break;
		}
		if (line_keep(m) == -1)
			return -1;
	}
	if (got == -1)
		return -1;
	message->data = m->data;
	message->len = m->data_len;
	message->end = m->has_from ? m->from_at : m->offset + m->pos;
	return 1;
}
