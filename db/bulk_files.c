/*
 * Where the new files of a load lie, and how they become the store's.
 *
 * They lie in db/bulk.  As long as there is no file `ready` among them the load
 * has not happened: whoever opens the store removes them.  Once it is there the
 * load has happened: whoever opens the store moves what was not moved yet,
 * writes the counters, and removes it.
 */
#include "db/bulk_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READY "ready"

const enum table bulk_tables[BULK_TABLES] = {
    T_CERTS, T_CHANGE, T_FPR, T_KEYID, T_EMAIL, T_WORD};

void (*bulk_fault)(const char *point);

void
bulk_point(const char *point)
{
	if (bulk_fault != NULL)
		bulk_fault(point);
}

enum ks_status
bulk_errno(void)
{
	switch (errno) {
	case ENOMEM:
		return KS_NOMEM;
	case ENOSPC:
	case EDQUOT:
		return KS_FULL;
	case EACCES:
	case EPERM:
		return KS_DENIED;
	case EROFS:
		return KS_READ_ONLY;
	default:
		return KS_IO;
	}
}

enum ks_status
bulk_status(int ret)
{
	if (ret == 0)
		return KS_OK;
	if (ret == DB_VERIFY_BAD)
		return KS_CORRUPT;
	errno = ret;
	return bulk_errno();
}

/* ---- directories --------------------------------------------------------- */

char *
bulk_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) == -1 ? NULL : path;
}

static int
directory_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv;

	if (fd == -1)
		return -1;
	rv = fsync(fd);
	close(fd);
	return rv;
}

/* Removes all that is there: Berkeley DB makes a file under another name, which
 * stays when it ends half-way.  The mark goes first: without it the rest is
 * nothing. */
static enum ks_status
bulk_empty(DIR *dir)
{
	enum ks_status st = KS_OK;
	struct dirent *entry;

	if (unlinkat(dirfd(dir), READY, 0) == -1 && errno != ENOENT)
		return bulk_errno();
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == -1 &&
		    errno != ENOENT)
			st = bulk_errno();
	}
	return st;
}

enum ks_status
bulk_remove(const char *name)
{
	DIR *dir = opendir(name);
	enum ks_status st;

	if (dir == NULL)
		return errno == ENOENT ? KS_OK : bulk_errno();
	st = bulk_empty(dir);
	closedir(dir);
	if (rmdir(name) == -1 && errno != ENOENT && st == KS_OK)
		st = bulk_errno();
	return st;
}

/* Moves the files that were not moved yet into their places. */
static enum ks_status
bulk_move(const struct keystore *ks, const char *dir)
{
	enum ks_status st = KS_OK;

	for (size_t i = 0; i < BULK_TABLES && st == KS_OK; i++) {
		char *from = bulk_path(dir, table_file(bulk_tables[i]));
		char *to = bulk_path(ks->dir, table_file(bulk_tables[i]));

		if (from == NULL || to == NULL)
			st = KS_NOMEM;
		else if (rename(from, to) == -1 && errno != ENOENT)
			st = bulk_errno();
		free(from);
		free(to);
		bulk_point("moved");
	}
	if (st == KS_OK && directory_sync(ks->dir) == -1)
		st = bulk_errno();
	return st;
}

/* 1: it is there; 0; -1: errno. */
static int
ready_read(const char *dir, unsigned char out[BULK_READY_LEN])
{
	char *path = bulk_path(dir, READY);
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC), rv;

	free(path);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	rv = read(fd, out, BULK_READY_LEN) == BULK_READY_LEN ? 1 : -1;
	close(fd);
	return rv;
}

enum ks_status
bulk_ready(const char *dir, const unsigned char value[BULK_READY_LEN])
{
	char *part = bulk_path(dir, READY ".part"),
	     *path = bulk_path(dir, READY);
	enum ks_status st = KS_OK;
	int fd;

	if (part == NULL || path == NULL) {
		free(part);
		free(path);
		return KS_NOMEM;
	}
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, value, BULK_READY_LEN) != BULK_READY_LEN ||
	    fsync(fd) == -1 || directory_sync(dir) == -1 ||
	    rename(part, path) == -1 || directory_sync(dir) == -1)
		st = bulk_errno();
	if (fd != -1)
		close(fd);
	if (st != KS_OK)
		unlink(part);
	free(part);
	free(path);
	return st;
}

enum ks_status
bulk_recover(struct keystore *ks)
{
	char *dir = bulk_path(ks->dir, "bulk");
	unsigned char value[BULK_READY_LEN];
	enum ks_status st = KS_OK;
	int ready;

	if (dir == NULL)
		return KS_NOMEM;
	ready = ready_read(dir, value);
	if (ready == -1)
		st = bulk_errno();
	else if (ready == 1)
		st = bulk_move(ks, dir);
	else
		st = bulk_remove(dir);
	free(dir);
	return st;
}

enum ks_status
bulk_settle(struct keystore *ks)
{
	char *dir = bulk_path(ks->dir, "bulk");
	unsigned char value[BULK_READY_LEN];
	enum ks_status st;
	int ready;

	if (dir == NULL)
		return KS_NOMEM;
	ready = ready_read(dir, value);
	if (ready != 1) {
		free(dir);
		return ready == 0 ? KS_OK : bulk_errno();
	}
	st = ks_begin(ks, KS_ROOM_NONE);
	if (st == KS_OK) {
		ks->counters.certificates = be64_get(value);
		ks->counters.number = be64_get(value);
		ks->counters.serial = be64_get(value + 8);
		ks->counters.last_change = be64_get(value + 16);
		st = ks_commit(ks);
	}
	bulk_point("settled");
	if (st == KS_OK)
		st = bulk_remove(dir);
	if (st == KS_OK && directory_sync(ks->dir) == -1)
		st = bulk_errno();
	free(dir);
	return st;
}
