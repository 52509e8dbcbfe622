/*
 * Any octets as a block list: fingerprints, or one line that says what is
 * wrong.
 */
#include "mailkeyd/blocklist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	int fd = memfd_create("blocklist", MFD_CLOEXEC);
	char path[32], *error = NULL;
	struct blocklist list;

	if (fd == -1 || write(fd, octets, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (blocklist_read(path, &list, &error) == -1) {
		if (error == NULL || strchr(error, '\n') != NULL || list.n != 0)
			abort();
		free(error);
	}
	for (size_t i = 0; i < list.n; i++)
		if (list.fpr[i].len != 16 && list.fpr[i].len != 20 &&
		    list.fpr[i].len != 32)
			abort();
	blocklist_free(&list);
	close(fd);
	return 0;
}
