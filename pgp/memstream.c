/*
 * Streams into memory that tell when there was none.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

struct memory {
	char **data;
	size_t *len;
	size_t size; /* of *data */
	bool failed;
};

static ssize_t
memory_write(void *cookie, const char *octets, size_t n)
{
	struct memory *m = cookie;
	size_t size = *m->len + n + 1;
	char *data;

	if (size > m->size && !m->failed) {
		if (m->size > 1 && size < 2 * m->size)
			size = 2 * m->size;
		if ((data = realloc(*m->data, size)) != NULL) {
			*m->data = data;
			m->size = size;
		} else {
			m->failed = true;
		}
	}
	if (m->failed)
		return 0;
	memcpy(*m->data + *m->len, octets, n);
	*m->len += n;
	(*m->data)[*m->len] = '\0';
	return (ssize_t)n;
}

/* For ftell(3) alone. */
static int
memory_seek(void *cookie, off64_t *offset, int whence)
{
	struct memory *m = cookie;

	if (whence != SEEK_CUR || *offset != 0)
		return -1;
	*offset = (off64_t)*m->len;
	return 0;
}

static int
memory_close(void *cookie)
{
	struct memory *m = cookie;
	bool failed = m->failed;

	free(m);
	return failed ? -1 : 0;
}

FILE *
pgp_memstream(char **data, size_t *len)
{
	static const cookie_io_functions_t functions = {
	    .write = memory_write, .seek = memory_seek, .close = memory_close};
	struct memory *m = calloc(1, sizeof(*m));
	FILE *f = NULL;

	*len = 0;
	*data = calloc(1, 1);
	if (m != NULL && *data != NULL) {
		*m = (struct memory){data, len, 1, false};
		f = fopencookie(m, "w", functions);
	}
	if (f == NULL) {
		free(*data);
		*data = NULL;
		free(m);
	}
	return f;
}
