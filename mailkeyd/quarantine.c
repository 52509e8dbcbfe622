/*
 * The quarantine: mails that killed two readers, with the reason.
 */
#include "mailkeyd/quarantine.h"
#include "mailkeyd/ipc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

/* One line of the envelope: nothing but a line feed could break it. */
static void
print_address(FILE *f, const char *address)
{
	if (address == NULL || strchr(address, '\n') != NULL)
		fputs("?\n", f);
	else
		fprintf(f, "<%s>\n", address);
}

static char *
envelope_text(const struct quarantined *q)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);

	if (f == NULL)
		return NULL;
	print_address(f, q->sender);
	print_address(f, q->recipient);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* Octets of the disk that the quarantine takes; -1 with errno. */
static int
quarantine_used(int folder, uint64_t *octets)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct stat st;

	*octets = 0;
	if (dir == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL)
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			*octets += (uint64_t)st.st_blocks * 512;
	closedir(dir);
	return 0;
}

/* A repeat counts twice: it is written beside the one that is there. */
static int
quarantine_room(const struct config *config, int dir, int memfd)
{
	uint64_t used;
	struct stat st;

	if (quarantine_used(dir, &used) == -1 || fstat(memfd, &st) == -1)
		return -1;
	if (used + (uint64_t)st.st_size <= config->limits.quarantine_size)
		return 0;
	errno = EDQUOT;
	return -1;
}

int
quarantine_add(
    const struct config *config, const struct quarantined *q, int memfd)
{
	char line[1024], *envelope = envelope_text(q);
	int dir = quarantine_open(config), rv = -1, saved;

	snprintf(line, sizeof(line), "%.1000s\n", q->why);
	if (dir != -1 && envelope != NULL &&
	    quarantine_room(config, dir, memfd) == 0 &&
	    quarantine_file(dir, q->hex, ".why", -1, line) == 0 &&
	    quarantine_file(dir, q->hex, ".from", -1, envelope) == 0 &&
	    quarantine_file(dir, q->hex, ".eml", memfd, NULL) == 0)
		rv = fsync(dir);
	saved = errno;
	if (dir != -1)
		close(dir);
	free(envelope);
	errno = saved;
	return rv;
}

/* ---- reading it back ----------------------------------------------------- */

#define TEXT_SIZE 4096

/* The beginning of a small file; "" when there is none. */
static void
read_text(int dir, const char *hex, const char *suffix, char text[TEXT_SIZE])
{
	char name[NAME_SIZE];
	ssize_t n = -1;
	int fd;

	snprintf(name, sizeof(name), "%s%s", hex, suffix);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd != -1) {
		n = read(fd, text, TEXT_SIZE - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
}

/* Takes "<address>" off the beginning; NULL: "?", or nothing. */
static char *
take_address(char **text)
{
	char *line = *text, *end = line + strcspn(line, "\n");

	*text = *end == '\0' ? end : end + 1;
	*end = '\0';
	if (*line != '<' || end - line < 2)
		return NULL;
	end[-1] = '\0';
	return line + 1;
}

/* Whether a file is a mail of ours; then its digest. */
static bool
is_mail(const char *name, char hex[QUARANTINE_NAME])
{
	size_t digits = strspn(name, "0123456789abcdef");

	if (digits != QUARANTINE_NAME - 1 || strcmp(name + digits, ".eml") != 0)
		return false;
	memcpy(hex, name, digits);
	hex[digits] = '\0';
	return true;
}

static void
visit_one(int dir, const char *file, const char *hex,
    void (*visit)(void *ctx, const struct quarantined *), void *ctx)
{
	char why[TEXT_SIZE], from[TEXT_SIZE], *rest = from;
	struct quarantined q = {.hex = hex, .why = why};
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	read_text(dir, hex, ".why", why);
	why[strcspn(why, "\n")] = '\0';
	read_text(dir, hex, ".from", from);
	q.sender = take_address(&rest);
	q.recipient = take_address(&rest);
	q.when = st.st_mtime;
	q.size = (size_t)st.st_size;
	q.inode = (uint64_t)st.st_ino;
	visit(ctx, &q);
}

int
quarantine_each(const struct config *config,
    void (*visit)(void *ctx, const struct quarantined *), void *ctx)
{
	int fd = quarantine_open(config);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	char hex[QUARANTINE_NAME];
	const struct dirent *entry;

	if (dir == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL)
		if (is_mail(entry->d_name, hex))
			visit_one(fd, entry->d_name, hex, visit, ctx);
	closedir(dir);
	return 0;
}

struct search {
	const char *begin;
	char *hex;
	unsigned n;
};

static void
search_visit(void *ctx, const struct quarantined *q)
{
	struct search *s = ctx;

	if (strncmp(q->hex, s->begin, strlen(s->begin)) != 0)
		return;
	s->n++;
	memcpy(s->hex, q->hex, QUARANTINE_NAME);
}

int
quarantine_find(
    const struct config *config, const char *begin, char hex[QUARANTINE_NAME])
{
	struct search s = {.begin = begin, .hex = hex};

	if (quarantine_each(config, search_visit, &s) == -1)
		return -1;
	if (s.n != 1)
		errno = s.n == 0 ? ENOENT : EEXIST;
	return s.n == 1 ? 0 : -1;
}

int
quarantine_mail(const struct config *config, const char *hex)
{
	int dir = quarantine_open(config), fd, saved;
	char name[NAME_SIZE];

	if (dir == -1)
		return -1;
	snprintf(name, sizeof(name), "%.64s.eml", hex);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	saved = errno;
	close(dir);
	errno = saved;
	return fd;
}

/* The mail last: without it the rest is nothing. */
int
quarantine_drop(const struct config *config, const char *hex, uint64_t inode)
{
	static const char *const suffixes[] = {".why", ".from", ".eml"};
	int dir = quarantine_open(config), rv = 0;
	char name[NAME_SIZE];
	struct stat st;

	if (dir == -1)
		return -1;
	snprintf(name, sizeof(name), "%.64s.eml", hex);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    (inode != 0 && (uint64_t)st.st_ino != inode)) {
		close(dir);
		errno = EEXIST;
		return -1;
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%.64s%s", hex, suffixes[i]);
		if (unlinkat(dir, name, 0) == -1 && errno != ENOENT)
			rv = -1;
	}
	close(dir);
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
