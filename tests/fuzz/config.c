/*
 * Any octets as a configuration: it is read, or refused in one line.
 */
#include "mailkeyd/config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	char path[32], *error = NULL;
	struct config *c;

	if (fd == -1 || write(fd, octets, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if ((c = config_read(path, &error)) == NULL) {
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
