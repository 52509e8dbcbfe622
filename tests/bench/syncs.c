/*
 * syncs.so: counts what a program syncs to the disk.
 *
 * Preloaded into a program, with BENCH_SYNCS naming a file of 8 octets, it adds
 * up there the calls of fdatasync(2) and fsync(2).  It goes on from mailkeyctl
 * to the mailkeyd that this starts, and no further: the jails stay as they are.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t *count;
static int (*real_fdatasync)(int), (*real_fsync)(int);

static void __attribute__((constructor)) begin(void)
{
	const char *path = getenv("BENCH_SYNCS");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *at = MAP_FAILED;

	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	if (fd != -1) {
		at = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
		close(fd);
	}
	if (at != MAP_FAILED)
		count = at;
	if (strcmp(program_invocation_short_name, "mailkeyctl") != 0)
		unsetenv("LD_PRELOAD");
}

int
fdatasync(int fd)
{
	if (count != NULL)
		atomic_fetch_add(count, 1);
	return real_fdatasync(fd);
}

int
fsync(int fd)
{
	if (count != NULL)
		atomic_fetch_add(count, 1);
	return real_fsync(fd);
}
