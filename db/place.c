/* Where the store lies: its directory, the lock, and the room that is left. */
#include "db/internal.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether another process has the lock, where we cannot have it. */
static bool
is_locked(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool yes;

	if (fd == -1)
		return false;
	yes = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return yes;
}

/*
 * The lock ends with its process, however that dies.  Closing any descriptor
 * of the file would end it too, so nobody else may open it.
 */
static enum ks_status
store_lock(struct keystore *ks)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX];
	int error;

	if (snprintf(path, sizeof(path), "%s/lock", ks->dir) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return system_error(ks, ks->dir);
	}
	ks->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ks->lock < 0)
		return errno == EROFS && is_locked(path)
			   ? KS_BUSY
			   : system_error(ks, path);
	if (fcntl(ks->lock, F_SETLK, &lock) == 0)
		return KS_OK;
	error = errno;
	close(ks->lock);
	ks->lock = -1;
	errno = error;
	return errno == EACCES || errno == EAGAIN ? KS_BUSY
						  : system_error(ks, path);
}

/* Those that Berkeley DB opens. */
static bool
is_store_file(const char *name)
{
	size_t len = strlen(name);

	return strncmp(name, "log.", 4) == 0 ||
	       (len > 3 && strcmp(name + len - 3, ".db") == 0);
}

static int
drop_pages(int fd)
{
	return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int (*drop_file)(int fd) = drop_pages;

/* Recovery takes a file that it may not open for a damaged one. */
static enum ks_status
store_file(struct keystore *ks, int dir, const char *name, bool drop)
{
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC);
	enum ks_status st = KS_OK;

	if (fd == -1)
		return system_error(ks, name);
	if (drop && sync_file(fd) != 0)
		st = system_error(ks, name);
	else if (drop)
		(void)drop_file(fd);
	close(fd);
	return st;
}

/* While the store is open, and until it was closed well, the lock file has an
 * octet. */
enum ks_status
store_files(struct keystore *ks)
{
	enum ks_status st = KS_OK;
	struct stat lock;
	struct dirent *d;
	DIR *dir;

	if (fstat(ks->lock, &lock) != 0 || (dir = opendir(ks->dir)) == NULL)
		return system_error(ks, ks->dir);
	while (st == KS_OK && (d = readdir(dir)) != NULL)
		if (is_store_file(d->d_name))
			st = store_file(
			    ks, dirfd(dir), d->d_name, lock.st_size > 0);
	closedir(dir);
	if (st == KS_OK && ftruncate(ks->lock, 1) != 0)
		st = system_error(ks, ks->dir);
	return st;
}

enum ks_status
store_ended_well(struct keystore *ks)
{
	return ks->lock < 0 || ftruncate(ks->lock, 0) == 0 ? KS_OK : KS_IO;
}

enum ks_status
store_directory(struct keystore *ks, const char *dir)
{
	enum ks_status st = KS_OK;

	if (ks->dir == NULL && mkdir(dir, 0700) != 0 && errno != EEXIST)
		return system_error(ks, dir);
	/* Berkeley DB opens log files later by this name, from anywhere. */
	if (ks->dir == NULL)
		ks->dir = realpath(dir, NULL);
	if (ks->dir == NULL)
		return system_error(ks, dir);
	if (ks->lock < 0)
		st = store_lock(ks);
	return st;
}

uint64_t
room_needed(uint64_t free_space, uint64_t total, enum ks_room purpose)
{
	if (purpose == KS_ROOM_NONE)
		return 0;
	if (free_space > total / 10)
		free_space = total / 10;
	return purpose == KS_ROOM_QUERY ? free_space / 4 : free_space;
}

enum ks_status
room(const struct keystore *ks, uint64_t free_space, enum ks_room purpose)
{
	uint64_t unit, need;
	struct statvfs fs;

	if (purpose == KS_ROOM_NONE)
		return KS_OK;
	if (statvfs(ks->dir, &fs) != 0)
		return KS_IO;
	unit = fs.f_frsize;
	need = room_needed(free_space, (uint64_t)fs.f_blocks * unit, purpose);
	return (uint64_t)fs.f_bavail * unit < need ? KS_FULL : KS_OK;
}

enum ks_status
room_for(const struct keystore *ks, uint64_t octets)
{
	struct statvfs fs;
	uint64_t need;

	if (statvfs(ks->dir, &fs) != 0)
		return KS_IO;
	need = room_needed(ks->options.free_space,
	    (uint64_t)fs.f_blocks * fs.f_frsize, KS_ROOM_ADD);
	return (uint64_t)fs.f_bavail * fs.f_frsize < need + octets ? KS_FULL
								   : KS_OK;
}

uint64_t
room_left(const struct keystore *ks)
{
	struct statvfs fs;

	if (ks->dir == NULL || statvfs(ks->dir, &fs) != 0)
		return 0;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

enum ks_status
disk_used(const struct keystore *ks, uint64_t *octets)
{
	DIR *dir = opendir(ks->dir);
	struct dirent *d;
	struct stat st;

	if (dir == NULL)
		return KS_IO;
	*octets = 0;
	while ((d = readdir(dir)) != NULL) {
		/* A log file may go while we look. */
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    S_ISREG(st.st_mode))
			*octets += (uint64_t)st.st_size;
	}
	closedir(dir);
	return KS_OK;
}
