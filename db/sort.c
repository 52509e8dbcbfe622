/*
 * Records sorted outside of memory.  What fits into memory is sorted there and
 * written as one run behind the others; at the end the runs are merged.
 */
#include "db/sort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD	 6	     /* of a record: length of key 2, of value 4 */
#define READ_MIN (64u << 10) /* octets of a run that are read at once */
#define READ_MAX (1u << 20)
#define WRITE	 (1u << 20)

/* A record in memory; `head` are the first octets of its key, so that most
 * comparisons look nowhere else. */
struct item {
	uint64_t head;
	uint32_t offset;
};

struct run {
	uint64_t pos, end; /* in the file: what was not read yet */
	unsigned char *buf;
	size_t at, len, size;
	struct sort_record record;
};

struct sorter {
	char *dir;
	int fd; /* -1: everything is in memory */
	uint64_t written;
	unsigned char *arena;
	size_t used, size; /* records from the front, items from the back */
	size_t nitems;
	struct run *run;
	size_t nruns;
	struct run **heap;
	size_t nheap;
	bool out; /* sorter_next() was called */
	size_t next;
};

struct sorter *
sorter_new(const char *dir, size_t memory)
{
	struct sorter *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = -1;
	s->size = memory & ~(sizeof(struct item) - 1);
	if (s->size > UINT32_MAX)
		s->size = UINT32_MAX & ~(sizeof(struct item) - 1);
	s->dir = strdup(dir);
	s->arena = malloc(s->size);
	if (s->dir == NULL || s->arena == NULL) {
		sorter_free(s);
		return NULL;
	}
	return s;
}

void
sorter_free(struct sorter *s)
{
	if (s == NULL)
		return;
	if (s->fd != -1)
		close(s->fd);
	for (size_t i = 0; i < s->nruns; i++)
		free(s->run[i].buf);
	free(s->run);
	free(s->heap);
	free(s->arena);
	free(s->dir);
	free(s);
}

/* ---- in memory ----------------------------------------------------------- */

static struct item *
items(const struct sorter *s)
{
	return (struct item *)(void *)(s->arena + s->size) - s->nitems;
}

static uint64_t
head_of(const unsigned char *key, size_t klen)
{
	uint64_t head = 0;

	for (size_t i = 0; i < 8; i++)
		head = head << 8 | (i < klen ? key[i] : 0);
	return head;
}

static void
record_read(const unsigned char *p, struct sort_record *r)
{
	uint16_t klen;
	uint32_t vlen;

	memcpy(&klen, p, 2);
	memcpy(&vlen, p + 2, 4);
	r->key = p + HEAD;
	r->klen = klen;
	r->value = r->key + klen;
	r->vlen = vlen;
}

static int
octets_cmp(const unsigned char *a, size_t an, const unsigned char *b, size_t bn)
{
	int d = memcmp(a, b, an < bn ? an : bn);

	return d != 0 ? d : (an > bn) - (an < bn);
}

static int
record_cmp(const struct sort_record *a, const struct sort_record *b)
{
	int d = octets_cmp(a->key, a->klen, b->key, b->klen);

	return d != 0 ? d : octets_cmp(a->value, a->vlen, b->value, b->vlen);
}

static int
item_cmp(const void *a, const void *b, void *arena)
{
	const struct item *x = a, *y = b;
	struct sort_record rx, ry;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	record_read((unsigned char *)arena + x->offset, &rx);
	record_read((unsigned char *)arena + y->offset, &ry);
	return record_cmp(&rx, &ry);
}

static void
items_sort(struct sorter *s)
{
	if (s->nitems > 1)
		qsort_r(items(s), s->nitems, sizeof(struct item), item_cmp,
		    s->arena);
}

/* ---- runs ---------------------------------------------------------------- */

/* One that nobody sees. */
static int
sort_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	/* Not every file system has such files. */
	if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	if (asprintf(&path, "%s/sort.XXXXXX", dir) == -1)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd != -1)
		unlink(path);
	free(path);
	return fd;
}

static int
write_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Writes the sorted records as the next run, and forgets them. */
static int
run_write(struct sorter *s)
{
	unsigned char *buf = malloc(WRITE);
	struct item *item = items(s);
	struct sort_record r;
	size_t have = 0, n;
	int rv = buf == NULL ? -1 : 0;

	for (size_t i = 0; rv == 0 && i < s->nitems; i++) {
		const unsigned char *p = s->arena + item[i].offset;

		record_read(p, &r);
		n = HEAD + r.klen + r.vlen;
		if (have + n > WRITE) {
			rv = write_all(s->fd, buf, have);
			have = 0;
		}
		if (rv == 0 && n > WRITE)
			rv = write_all(s->fd, p, n);
		else if (rv == 0) {
			memcpy(buf + have, p, n);
			have += n;
		}
	}
	if (rv == 0)
		rv = write_all(s->fd, buf, have);
	free(buf);
	return rv;
}

static int
spill(struct sorter *s)
{
	struct run *more = realloc(s->run, (s->nruns + 1) * sizeof(*more));

	if (more == NULL)
		return -1;
	s->run = more;
	if (s->fd == -1)
		s->fd = sort_file(s->dir);
	if (s->fd == -1)
		return -1;
	items_sort(s);
	if (run_write(s) == -1)
		return -1;
	memset(&more[s->nruns], 0, sizeof(*more));
	more[s->nruns].pos = s->written;
	more[s->nruns].end = s->written += s->used;
	s->nruns++;
	s->used = s->nitems = 0;
	return 0;
}

int
sorter_add(struct sorter *s, const void *key, size_t klen, const void *value,
    size_t vlen)
{
	size_t n = HEAD + klen + vlen;
	size_t left = s->size - s->used - s->nitems * sizeof(struct item);
	uint16_t k = (uint16_t)klen;
	uint32_t v = (uint32_t)vlen;
	unsigned char *p;

	if (n + sizeof(struct item) > left) {
		if (s->nitems > 0 && spill(s) == -1)
			return -1;
		if (klen > UINT16_MAX || n + sizeof(struct item) > s->size) {
			errno = EFBIG;
			return -1;
		}
	}
	p = s->arena + s->used;
	memcpy(p, &k, 2);
	memcpy(p + 2, &v, 4);
	memcpy(p + HEAD, key, klen);
	if (vlen > 0)
		memcpy(p + HEAD + klen, value, vlen);
	s->nitems++;
	items(s)[0] = (struct item){head_of(key, klen), (uint32_t)s->used};
	s->used += n;
	return 0;
}

/* ---- the merge ----------------------------------------------------------- */

/* So many octets in the buffer, in one piece. */
static int
run_want(const struct sorter *s, struct run *run, size_t n)
{
	unsigned char *more;

	if (run->len - run->at >= n)
		return 0;
	if (run->len > run->at)
		memmove(run->buf, run->buf + run->at, run->len - run->at);
	run->len -= run->at;
	run->at = 0;
	if (n > run->size) {
		more = realloc(run->buf, n);
		if (more == NULL)
			return -1;
		run->buf = more;
		run->size = n;
	}
	while (run->len < n) {
		size_t room = run->size - run->len;
		ssize_t got;

		if (room > run->end - run->pos)
			room = (size_t)(run->end - run->pos);
		got = pread(s->fd, run->buf + run->len, room, (off_t)run->pos);
		if (got == -1 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = EIO;
			return -1;
		}
		run->len += (size_t)got;
		run->pos += (uint64_t)got;
	}
	return 0;
}

/* 1, 0 at the end of the run, -1. */
static int
run_next(const struct sorter *s, struct run *run)
{
	struct sort_record *r = &run->record;

	if (run->at == run->len && run->pos == run->end)
		return 0;
	if (run_want(s, run, HEAD) == -1)
		return -1;
	record_read(run->buf + run->at, r);
	if (run_want(s, run, HEAD + r->klen + r->vlen) == -1)
		return -1;
	record_read(run->buf + run->at, r); /* it may have moved */
	run->at += HEAD + r->klen + r->vlen;
	return 1;
}

/* Puts the run at the root where it belongs. */
static void
heap_down(struct sorter *s, size_t i)
{
	for (;;) {
		size_t least = i, child = 2 * i + 1;
		struct run *run = s->heap[i];

		for (size_t c = child; c < child + 2 && c < s->nheap; c++)
			if (record_cmp(&s->heap[c]->record,
				&s->heap[least]->record) < 0)
				least = c;
		if (least == i)
			return;
		s->heap[i] = s->heap[least];
		s->heap[least] = run;
		i = least;
	}
}

static int
merge_begin(struct sorter *s)
{
	size_t share;

	if (s->nitems > 0 && spill(s) == -1)
		return -1;
	free(s->arena);
	s->arena = NULL;
	share = s->size / s->nruns;
	share = share < READ_MIN   ? READ_MIN
		: share > READ_MAX ? READ_MAX
				   : share;
	s->heap = calloc(s->nruns, sizeof(struct run *));
	if (s->heap == NULL)
		return -1;
	for (size_t i = 0; i < s->nruns; i++) {
		struct run *run = &s->run[i];

		run->buf = malloc(share);
		run->size = share;
		if (run->buf == NULL || run_next(s, run) != 1)
			return -1;
		s->heap[s->nheap++] = run;
	}
	for (size_t i = s->nheap / 2; i-- > 0;)
		heap_down(s, i);
	return 0;
}

static int
merge_next(struct sorter *s, struct sort_record *r)
{
	int got = 1;

	if (s->next++ > 0 && s->nheap > 0) {
		got = run_next(s, s->heap[0]);
		if (got == 0)
			s->heap[0] = s->heap[--s->nheap];
		if (got != -1)
			heap_down(s, 0);
	}
	if (got == -1)
		return -1;
	if (s->nheap == 0)
		return 0;
	*r = s->heap[0]->record;
	return 1;
}

int
sorter_next(struct sorter *s, struct sort_record *r)
{
	if (!s->out) {
		s->out = true;
		if (s->nruns == 0)
			items_sort(s);
		else if (merge_begin(s) == -1)
			return -1;
	}
	if (s->nruns > 0)
		return merge_next(s, r);
	if (s->next == s->nitems)
		return 0;
	record_read(s->arena + items(s)[s->next++].offset, r);
	return 1;
}
