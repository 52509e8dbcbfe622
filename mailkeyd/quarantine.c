/*
 * The quarantine: mails that killed two readers, with the reason.
 */
#include "mailkeyd/quarantine.h"
#include "mailkeyd/ipc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP	   (30 * 86400) /* seconds: it may hold somebody's secret key */
#define NAME_SIZE  128
#define COPY_CHUNK 65536

static int
quarantine_open(const struct config *config)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/quarantine", config->state);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
copy_all(int to, int from)
{
	char buf[COPY_CHUNK];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (ipc_write_all(to, buf, (size_t)n) == -1)
			return -1;
		at += n;
	}
	return n == 0 ? 0 : -1;
}

/* Written under another name first: what lies there is always whole. */
static int
quarantine_file(
    int dir, const char *hex, const char *suffix, int memfd, const char *line)
{
	char name[NAME_SIZE], tmp[NAME_SIZE];
	int fd, rv = -1, saved;

	snprintf(name, sizeof(name), "%.64s%s", hex, suffix);
	snprintf(tmp, sizeof(tmp), "%.64s%s.new", hex, suffix);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	if ((line == NULL ? copy_all(fd, memfd)
			  : ipc_write_all(fd, line, strlen(line))) == 0 &&
	    fsync(fd) == 0 && renameat(dir, tmp, dir, name) == 0)
		rv = 0;
	saved = errno;
	close(fd);
	if (rv == -1)
		unlinkat(dir, tmp, 0);
	errno = saved;
	return rv;
}

int
quarantine_add(
    const struct config *config, const char *hex, int memfd, const char *why)
{
	char line[1024];
	int dir = quarantine_open(config), rv = -1, saved;

	if (dir == -1)
		return -1;
	snprintf(line, sizeof(line), "%.1000s\n", why);
	if (quarantine_file(dir, hex, ".why", -1, line) == 0 &&
	    quarantine_file(dir, hex, ".eml", memfd, NULL) == 0)
		rv = fsync(dir);
	saved = errno;
	close(dir);
	errno = saved;
	return rv;
}

void
quarantine_expire(const struct config *config, time_t now)
{
	int fd = quarantine_open(config);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (dir == NULL) {
		if (fd != -1)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' &&
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtime < now - KEEP)
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}
