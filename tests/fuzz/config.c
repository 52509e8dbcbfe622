/*
 * Any octets as a configuration: it is read, or refused in one line.
 */
#include "mailkeyd/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What it names would be a descriptor of this process, which may wait for
 * ever; and libconfuse drops its arguments when it is not finished. */
static bool
includes(const uint8_t *octets, size_t len)
{
	return memmem(octets, len, "include", 7) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	char path[32], *error = NULL;
	struct config *c;
	int fd;

	if (includes(octets, len))
		return 0;
	fd = memfd_create("config", MFD_CLOEXEC);
	if (fd == -1 || write(fd, octets, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	c = config_read(path, &error);
	if (c == NULL) {
		if (error == NULL || strchr(error, '\n') != NULL)
			abort();
		free(error);
	} else {
		if (c->address == NULL || c->nreceive == 0)
			abort();
		config_free(c);
	}
	close(fd);
	return 0;
}
