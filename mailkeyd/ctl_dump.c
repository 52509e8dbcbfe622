/*
 * mailkeyctl dump: all certificates to standard output, to a file, or to a
 * directory of numbered files as other key servers load them.
 */
#include "mailkeyd/ctl.h"
#include "pgp/pgp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define KEYS	 15000 /* in a file, as most dumps have it */
#define PREFIX	 "mailkeyd-dump-"
#define SUFFIX	 ".pgp"
#define NEWER	 ".v6" /* SKS ends at versions 5 and 6: it loads *.pgp */
#define METADATA "metadata-mailkeyd-dump.txt"
#define MD5_LEN	 16

/* Written under another name first: a dump is whole or not there. */
static int
dump_file(struct ctl *ctl, const char *name)
{
	char tmp[PATH_MAX];
	struct ipc_msg msg;
	FILE *f;
	int status;

	if (snprintf(tmp, sizeof(tmp), "%s.new", name) >= (int)sizeof(tmp))
		return EX_USAGE;
	f = fopen(tmp, "we");
	if (f == NULL) {
		fprintf(stderr, "mailkeyctl: %s: %s\n", tmp, strerror(errno));
		return EX_CANTCREAT;
	}
	status = ctl_reach(ctl);
	if (status == 0) {
		ipc_msg_init(&msg, CONTROL_DUMP, 0);
		status = ctl_ask(ctl, &msg, f);
	}
	if (status == 0 && fsync(fileno(f)) == -1)
		status = EX_IOERR;
	if (fclose(f) != 0 && status == 0)
		status = EX_IOERR;
	if (status == 0 && rename(tmp, name) == -1)
		status = EX_CANTCREAT;
	if (status != 0)
		unlink(tmp);
	return ctl_leave(ctl, status);
}

/* ---- a directory --------------------------------------------------------- */

struct dump {
	struct ctl *ctl;
	char path[PATH_MAX], tmp[PATH_MAX];
	int dir; /* tmp */
	uint64_t each, keys, in_file;
	unsigned files;
	bool newer; /* of version 5 or 6 from now on */
	FILE *f;    /* the file at hand, or NULL */
	char name[64];
	struct pgp_sha256_ctx *md5;
	FILE *sums; /* lines of the metadata */
	char *sums_text;
	size_t sums_len;
	bool bar;
	time_t started;
};

static int
dump_open(struct dump *d)
{
	int fd;

	snprintf(d->name, sizeof(d->name), PREFIX "%04u%s", d->files++,
	    d->newer ? NEWER : SUFFIX);
	fd = openat(d->dir, d->name,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd == -1)
		return -1;
	d->f = fdopen(fd, "w");
	if (d->f == NULL) {
		close(fd);
		return -1;
	}
	d->in_file = 0;
	d->md5 = pgp_md5_new();
	return d->md5 == NULL ? -1 : 0;
}

static int
dump_close(struct dump *d)
{
	unsigned char sum[PGP_SHA256_LEN];
	int rv = 0;

	if (d->f == NULL)
		return 0;
	if (fflush(d->f) != 0 || fsync(fileno(d->f)) == -1)
		rv = -1;
	if (fclose(d->f) != 0)
		rv = -1;
	d->f = NULL;
	if (d->md5 == NULL || pgp_sha256_final(d->md5, sum) == -1)
		rv = -1;
	for (int i = 0; rv == 0 && i < MD5_LEN; i++)
		fprintf(d->sums, "%02x", sum[i]);
	if (rv == 0)
		fprintf(d->sums, "  %s\n", d->name);
	pgp_sha256_free(d->md5);
	d->md5 = NULL;
	return rv;
}

/* Takes a piece, which ends where its file does or before. */
static int
dump_take(
    struct ctl *ctl, const char *data, size_t len, const struct ipc_msg *msg)
{
	struct dump *d = ctl->taker;

	if (d->newer != (msg->b != 0) && dump_close(d) == -1)
		return -1;
	d->newer = msg->b != 0;
	if (d->f == NULL && dump_open(d) == -1)
		return -1;
	if (fwrite(data, 1, len, d->f) != len)
		return -1;
	pgp_sha256_update(d->md5, data, len);
	d->keys += msg->a;
	d->in_file += msg->a;
	if (d->bar)
		fprintf(stderr, "\r%.40s %" PRIu64 " certificates ", d->path,
		    d->keys);
	return d->in_file < d->each ? 0 : dump_close(d);
}

/* "2026-07-01 12:00:00" */
static void
print_moment(FILE *f, const char *what, time_t when)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		fprintf(f, "#Dump-%s: %s\n", what, text);
}

/* In the form of SKS, by which mirrors check what they have fetched: md5sum -c
 * reads it. */
static int
dump_metadata(struct dump *d)
{
	FILE *f;
	int fd, rv = 0;

	if (fflush(d->sums) != 0)
		return -1;
	fd = openat(d->dir, METADATA,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd == -1 || (f = fdopen(fd, "w")) == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	fprintf(f, "#Metadata-for: %s\n", d->ctl->config->address);
	print_moment(f, "started", d->started);
	fprintf(f,
	    "#Files-Count: %u\n#Key-Count: %" PRIu64 "\n#Digest-algo: md5\n",
	    d->files, d->keys);
	fwrite(d->sums_text, 1, d->sums_len, f);
	print_moment(f, "ended", time(NULL));
	if (fflush(f) != 0 || fsync(fileno(f)) == -1)
		rv = -1;
	return fclose(f) != 0 ? -1 : rv;
}

/* Whether a file of a directory may be one of a dump's. */
static bool
is_ours(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strcmp(name, METADATA) == 0 ||
	       (strncmp(name, PREFIX, strlen(PREFIX)) == 0 && dot != NULL &&
		   (strcmp(dot, SUFFIX) == 0 || strcmp(dot, NEWER) == 0));
}

/* Removes a directory of a dump.  0 also when there is none; -1 with errno,
 * ENOTEMPTY: there is something else in it, and it stays as it is. */
static int
remove_dump(const char *path, bool only_look)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool others = false;

	if (dir == NULL)
		return errno == ENOENT ? 0 : -1;
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			others |= !is_ours(e->d_name);
	rewinddir(dir);
	while (!others && !only_look && (e = readdir(dir)) != NULL)
		if (is_ours(e->d_name))
			unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	errno = ENOTEMPTY;
	return others ? -1 : only_look ? 0 : rmdir(path);
}

static int
say_errno(const char *path)
{
	fprintf(stderr, "mailkeyctl: %s: %s\n", path,
	    errno == ENOTEMPTY ? "holds other files than those of a dump"
			       : strerror(errno));
	return EX_CANTCREAT;
}

/* The new dump takes the place of the old one at once. */
static int
dump_publish(struct dump *d)
{
	char parent[PATH_MAX + 3];
	int fd;

	if (rename(d->tmp, d->path) == -1) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -1;
		if (renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path,
			RENAME_EXCHANGE) == -1)
			return -1;
		remove_dump(d->tmp, false);
	}
	snprintf(parent, sizeof(parent), "%s/..", d->path);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1) {
		fsync(fd);
		close(fd);
	}
	return 0;
}

/* A place for the new dump beside the old one.  0, or an exit status. */
static int
dump_prepare(struct dump *d, const char *path)
{
	size_t len = strlen(path);
	int n;

	while (len > 1 && path[len - 1] == '/')
		len--;
	snprintf(d->path, sizeof(d->path), "%.*s", (int)len, path);
	n = snprintf(d->tmp, sizeof(d->tmp), "%.*s.new", (int)len, path);
	if (n >= (int)sizeof(d->tmp)) {
		errno = ENAMETOOLONG;
		return say_errno(path);
	}
	if (remove_dump(d->path, true) == -1)
		return say_errno(d->path);
	if (remove_dump(d->tmp, false) == -1 || mkdir(d->tmp, 0755) == -1)
		return say_errno(d->tmp);
	d->dir = open(d->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d->sums = pgp_memstream(&d->sums_text, &d->sums_len);
	if (d->dir == -1 || d->sums == NULL)
		return say_errno(d->tmp);
	return 0;
}

static int
dump_run(struct dump *d)
{
	struct ctl *ctl = d->ctl;
	struct ipc_msg msg;
	int status;

	ipc_msg_init(&msg, CONTROL_DUMP, 0);
	msg.a = d->each;
	ctl->take = dump_take;
	ctl->taker = d;
	d->bar = !ctl->quiet && isatty(STDERR_FILENO);
	status = ctl_ask(ctl, &msg, stdout);
	if (d->bar)
		fputs("\n", stderr);
	if (status != 0)
		return status;
	if (dump_close(d) == -1 || dump_metadata(d) == -1 ||
	    fsync(d->dir) == -1 || dump_publish(d) == -1) {
		say_errno(d->path);
		return EX_IOERR;
	}
	return 0;
}

static int
dump_directory(struct ctl *ctl, const char *path)
{
	struct dump d = {
	    .ctl = ctl, .dir = -1, .each = KEYS, .started = time(NULL)};
	char *end = NULL;
	int status;

	if (ctl->keys != NULL) {
		errno = 0;
		d.each = strtoul(ctl->keys, &end, 10);
		if (errno != 0 || *end != '\0' || d.each == 0 ||
		    ctl->keys[0] == '-') {
			fprintf(stderr, "mailkeyctl: --keys must be a number "
					"from 1\n");
			return EX_USAGE;
		}
	}
	status = dump_prepare(&d, path);
	if (status == 0) {
		status = ctl_reach(ctl);
		if (status == 0)
			status = dump_run(&d);
		status = ctl_leave(ctl, status);
	}
	if (d.f != NULL)
		fclose(d.f);
	pgp_sha256_free(d.md5);
	if (d.sums != NULL)
		fclose(d.sums);
	free(d.sums_text);
	if (d.dir != -1)
		close(d.dir);
	if (status != 0 && d.dir != -1)
		remove_dump(d.tmp, false);
	return status;
}

static bool
is_directory(const char *path)
{
	size_t len = strlen(path);
	struct stat st;

	return (len > 0 && path[len - 1] == '/') ||
	       (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int
do_dump(struct ctl *ctl, int argc, char **argv)
{
	if (argc > 1) {
		fprintf(
		    stderr, "mailkeyctl: dump takes one file or directory\n");
		return EX_USAGE;
	}
	if (argc == 1 && (ctl->keys != NULL || is_directory(argv[0])))
		return dump_directory(ctl, argv[0]);
	if (argc == 1 && strcmp(argv[0], "-") != 0)
		return dump_file(ctl, argv[0]);
	if (isatty(STDOUT_FILENO)) {
		fprintf(stderr,
		    "mailkeyctl: a dump is binary; name a file or directory, "
		    "or redirect standard output\n");
		return EX_USAGE;
	}
	return ctl_simple(ctl, CONTROL_DUMP, "", 0);
}

const struct verb verb_dump = {"dump", "[FILE | [--keys=N] DIRECTORY]",
    "write all certificates, binary", do_dump};
