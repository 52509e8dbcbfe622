/*
 * Any octets as a configuration: it is read, or refused in one line.
 */
#include "mailkeyd/config.h"

#include <sanitizer/lsan_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libconfuse drops the arguments of a function, of which there is this one,
 * when the file is refused in the midst of them. */
static bool
may_leak(const uint8_t *octets, size_t len)
{
	return memmem(octets, len, "include", 7) != NULL;
}

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
	if (may_leak(octets, len))
		__lsan_disable();
	c = config_read(path, &error);
	if (may_leak(octets, len))
		__lsan_enable();
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
