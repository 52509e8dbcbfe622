/*
 * Where the new files of a load lie, and how they become the store's.
 *
 * They lie in db/bulk.  As long as there is no file `ready` among them the load
 * has not happened: whoever opens the store removes them.  Once it is there the
 * load has happened: whoever opens the store moves what was not moved yet,
 * writes the counters, merges what came again, and removes it.
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

/* ---- the mark ------------------------------------------------------------ */

#define READY_LEN 32 /* schema, certificates, time, quiet: 8 octets each */

static enum ks_status
ready_parse(
    const unsigned char value[READY_LEN], ssize_t len, struct bulk_done *done)
{
	if (len < 8)
		return KS_CORRUPT;
	if (be64_get(value) != KS_SCHEMA)
		return be64_get(value) > KS_SCHEMA ? KS_TOO_NEW : KS_TOO_OLD;
	if (len != READY_LEN)
		return KS_CORRUPT;
	memset(done, 0, sizeof(*done));
	done->certificates = be64_get(value + 8);
	done->origin.now = (time_t)be64_get(value + 16);
	done->origin.quiet = value[31] != 0;
	return KS_OK;
}

/* KS_NOT_FOUND: there is none. */
static enum ks_status
ready_read(const char *dir, struct bulk_done *done)
{
	char *path = bulk_path(dir, READY);
	unsigned char value[READY_LEN];
	enum ks_status st;
	ssize_t len;
	int fd;

	if (path == NULL)
		return KS_NOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR ? KS_NOT_FOUND
							   : bulk_errno();
	len = read(fd, value, sizeof(value));
	st = len == -1 ? bulk_errno() : ready_parse(value, len, done);
	close(fd);
	return st;
}

enum ks_status
bulk_ready(const char *dir, const struct bulk_done *done)
{
	char *part = bulk_path(dir, READY ".part"),
	     *path = bulk_path(dir, READY);
	unsigned char value[READY_LEN] = {0};
	enum ks_status st = KS_OK;
	int fd;

	be64_put(value, KS_SCHEMA);
	be64_put(value + 8, done->certificates);
	be64_put(value + 16, moment(done->origin.now));
	value[31] = done->origin.quiet;
	if (part == NULL || path == NULL) {
		free(part);
		free(path);
		return KS_NOMEM;
	}
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, value, READY_LEN) != READY_LEN ||
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

/* ---- whoever opens the store --------------------------------------------- */

enum ks_status
bulk_recover(struct keystore *ks)
{
	char *dir = bulk_path(ks->dir, "bulk");
	struct bulk_done done;
	enum ks_status st;

	if (dir == NULL)
		return KS_NOMEM;
	st = ready_read(dir, &done);
	if (st == KS_OK)
		st = bulk_move(ks, dir);
	free(dir);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Once only: what is merged afterwards counts on. */
static enum ks_status
settle_counters(struct keystore *ks, const struct bulk_done *done)
{
	struct counters *c = &ks->counters;
	enum ks_status st;

	if (c->serial >= done->certificates)
		return KS_OK;
	if ((st = ks_begin(ks, KS_ROOM_NONE)) != KS_OK)
		return st;
	c->certificates = c->number = c->serial = done->certificates;
	c->last_change = moment(done->origin.now);
	return ks_commit(ks);
}

enum ks_status
bulk_settle(struct keystore *ks)
{
	char *dir = bulk_path(ks->dir, "bulk");
	struct bulk_done done;
	enum ks_status st;
	bool ready;

	if (dir == NULL)
		return KS_NOMEM;
	st = ready_read(dir, &done);
	ready = st == KS_OK;
	if (ready && (st = settle_counters(ks, &done)) == KS_OK)
		st = again_merge(ks, dir, &done.origin);
	if (ready)
		bulk_point("settled");
	if (st == KS_OK || st == KS_NOT_FOUND)
		st = bulk_remove(dir);
	if (ready && st == KS_OK && directory_sync(ks->dir) == -1)
		st = bulk_errno();
	free(dir);
	return st;
}
