/*
 * The files behind the arguments of an import.
 */
#include "mailkeyd/import_walk.h"
#include "mailkeyd/mbox.h"
#include "pgp/pgp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD  65536 /* octets of a file that are looked at */
#define DEPTH 32    /* of directories */

/* ---- what a file is ------------------------------------------------------ */

/* Whether a public or secret key, or a signature, may begin so (RFC 9580,
 * 4.2): old and new packet header. */
static bool
begins_packets(const unsigned char *p, size_t len)
{
	unsigned tag;

	if (len == 0 || (p[0] & 0x80) == 0)
		return false;
	tag = p[0] & 0x40 ? p[0] & 0x3f : (p[0] >> 2) & 0xf;
	return tag == 2 || tag == 5 || tag == 6 || tag == 10;
}

/* Whether a mail as a mail server stores it begins so. */
static bool
begins_mail(const char *p, size_t len)
{
	static const char *const names[] = {"Return-Path", "Received", "From",
	    "To", "Date", "Subject", "Message-ID", "Delivered-To",
	    "X-Original-To", "Envelope-To", "MIME-Version", "Reply-To",
	    "X-KeyServer-Sent", "DKIM-Signature"};
	const char *colon = memchr(p, ':', len < 64 ? len : 64);

	for (size_t i = 0;
	     colon != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if ((size_t)(colon - p) == strlen(names[i]) &&
		    strncasecmp(p, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

enum source_kind
source_kind(const char *head, size_t len)
{
	static const char begin[] = "-----BEGIN PGP ";

	if (begins_packets((const unsigned char *)head, len))
		return SOURCE_CERTIFICATES;
	if (len >= 12 && memcmp(head + 8, "KBXf", 4) == 0)
		return SOURCE_KEYBOX;
	if (mbox_is_from(head, len))
		return SOURCE_MBOX;
	if (begins_mail(head, len))
		return SOURCE_MAIL;
	if (memmem(head, len, begin, sizeof(begin) - 1) != NULL)
		return SOURCE_CERTIFICATES;
	return SOURCE_OTHER;
}

/* SOURCE_OTHER, with errno, for a file that cannot be read. */
static enum source_kind
kind_of_file(const char *path)
{
	static char head[HEAD];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum source_kind kind = SOURCE_OTHER;
	ssize_t n;

	if (fd == -1)
		return kind;
	n = read(fd, head, sizeof(head));
	if (n >= 0) {
		kind = source_kind(head, (size_t)n);
		errno = 0;
	}
	close(fd);
	return kind;
}

/* ---- the list ------------------------------------------------------------ */

static int
list_add(struct walk_list *list, const char *path, const struct stat *st,
    enum source_kind kind)
{
	struct pgp_sha256_ctx *sha;
	struct source *s, *more;
	char what[64];
	int n;

	if ((list->n & (list->n - 1)) == 0) {
		more = realloc(list->source,
		    (list->n == 0 ? 1 : 2 * list->n) * sizeof(*more));
		if (more == NULL)
			return -1;
		list->source = more;
	}
	s = &list->source[list->n];
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	s->path = strdup(path);
	sha = pgp_sha256_new();
	if (s->path == NULL || sha == NULL) {
		free(s->path);
		pgp_sha256_free(sha);
		return -1;
	}
	n = snprintf(what, sizeof(what), "%lld %lld.%09ld",
	    (long long)st->st_size, (long long)st->st_mtim.tv_sec,
	    st->st_mtim.tv_nsec);
	if (list->n > 0)
		pgp_sha256_update(sha, s[-1].chain, SOURCE_CHAIN);
	pgp_sha256_update(sha, path, strlen(path) + 1);
	pgp_sha256_update(sha, what, (size_t)n);
	n = pgp_sha256_final(sha, s->chain);
	pgp_sha256_free(sha);
	if (n != 0) {
		free(s->path);
		return -1;
	}
	list->n++;
	list->size += s->size;
	return 0;
}

void
walk_free(struct walk_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->source[i].path);
	free(list->source);
	memset(list, 0, sizeof(*list));
}

/* ---- directories --------------------------------------------------------- */

static int add(
    struct walk_list *, const char *path, unsigned depth, bool mails, char **);

static int
fail(const char *path, char **where)
{
	int saved = errno;

	*where = strdup(path);
	errno = saved;
	return -1;
}

static int
no_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

/* By octets, whatever the locale. */
static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool
has_directory(const char *path, const char *name)
{
	struct stat st;
	char *full;
	bool is;

	if (asprintf(&full, "%s/%s", path, name) == -1)
		return false;
	is = lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
	free(full);
	return is;
}

static int
add_directory(struct walk_list *list, const char *path, unsigned depth,
    bool mails, char **where)
{
	bool maildir = has_directory(path, "cur") && has_directory(path, "new");
	struct dirent **names;
	int n = scandir(path, &names, no_dots, by_name), rc = 0;
	char *full;

	if (n == -1)
		return fail(path, where);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		bool in = maildir && (strcmp(name, "cur") == 0 ||
					 strcmp(name, "new") == 0);

		if (rc == 0 && !(maildir && strcmp(name, "tmp") == 0)) {
			if (asprintf(&full, "%s%s%s", path,
				path[strlen(path) - 1] == '/' ? "" : "/",
				name) == -1)
				rc = -1;
			else {
				rc = add(
				    list, full, depth + 1, mails || in, where);
				free(full);
			}
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

/* What lies in a directory: links to directories are not followed, and what is
 * neither file nor directory is left alone. */
static int
add(struct walk_list *list, const char *path, unsigned depth, bool mails,
    char **where)
{
	enum source_kind kind;
	struct stat st;

	if (lstat(path, &st) == -1)
		return fail(path, where);
	if (S_ISDIR(st.st_mode)) {
		if (depth < DEPTH)
			return add_directory(list, path, depth, mails, where);
		errno = ELOOP;
		return fail(path, where);
	}
	if (S_ISLNK(st.st_mode) && stat(path, &st) == -1)
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	errno = 0;
	kind = mails ? SOURCE_MAIL : kind_of_file(path);
	if (kind == SOURCE_OTHER && errno != 0)
		return fail(path, where);
	if (kind != SOURCE_OTHER)
		return list_add(list, path, &st, kind);
	list->nothers++;
	return 0;
}

int
walk_add(struct walk_list *list, const char *argument, char **where)
{
	enum source_kind kind = SOURCE_CERTIFICATES;
	bool in = strcmp(argument, "-") == 0;
	struct stat st;

	*where = NULL;
	if ((in ? fstat(STDIN_FILENO, &st) : stat(argument, &st)) == -1)
		return fail(argument, where);
	if (!in && S_ISDIR(st.st_mode))
		return add_directory(list, argument, 0, false, where);
	/* What was named is read, whatever it may be. */
	if (!in && S_ISREG(st.st_mode)) {
		errno = 0;
		kind = kind_of_file(argument);
		if (kind == SOURCE_OTHER && errno != 0)
			return fail(argument, where);
		if (kind == SOURCE_OTHER)
			kind = SOURCE_CERTIFICATES;
	}
	return list_add(list, argument, &st, kind);
}
