/*
 * A file of a Maildir: opened, copied into a memfd, handed over, and removed
 * after the commit of its mail.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define COPY	 (1u << 20) /* octets of a mail copied in one turn */
#define STILL_MS 60000L	    /* a file without a lease that nobody changes */

void
file_clear(struct file *file)
{
	if (file->fd != -1)
		close(file->fd);
	if (file->mail != -1)
		close(file->mail);
	if (file->dir != -1)
		close(file->dir);
	free(file->name);
	if (file->maildir->copied == file)
		file->maildir->copied = NULL;
	file->maildir->nfiles--;
	*file = (struct file){
	    .maildir = file->maildir, .dir = -1, .fd = -1, .mail = -1};
}

static void
file_remove(struct maildir *m, int dir, ino_t inode, const char *name)
{
	struct put_off *p = put_off_find(m, name);
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == inode && unlinkat(dir, name, 0) == -1 &&
	    errno != ENOENT) {
		int error = errno;

		if (put_off_again(m, name, true))
			maildir_say(
			    m, LOG_ERR, name, "not_removed", strerror(error));
	} else if (p != NULL)
		put_off_free(m, p);
}

static void
file_done(void *ctx, enum fate fate, const char *why)
{
	struct file *file = ctx;
	struct maildir *m = file->maildir;

	(void)why; /* the line of the mail has it */
	file->job = NULL;
	if (fate == FATE_DONE) {
		if (m->later >= MAILDIR_WORK)
			m->paused_until = 0; /* it was those mails, then */
		m->later = 0;
		file_remove(m, file->dir, file->inode, file->name);
	} else {
		put_off_again(m, file->name, false);
		/* It is not this one mail: the others need not ask. */
		if (!file->ahead && ++m->later >= MAILDIR_WORK)
			maildir_pause(m, m->later / MAILDIR_WORK - 1);
	}
	file_clear(file);
	if (!m->stopping)
		loop_timer_set(m->turn, 0);
}

static void
file_submit(struct file *file)
{
	struct maildir *m = file->maildir;
	char name[NAME_MAX + 64];
	struct envelope envelope = {.source = "maildir"};
	struct stat st;

	/* A script may write the same mail under the same name again. */
	if (fstat(file->fd, &st) == 0) {
		snprintf(name, sizeof(name), "%s %jd.%09ld", file->name,
		    (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
		envelope.name = name;
	}
	close(file->fd);
	file->fd = -1;
	file->job =
	    gateway_submit(m->gateway, file->mail, &envelope, file_done, file);
	m->copied = NULL;
	if (file->job != NULL) {
		file->mail = -1; /* the gateway's now */
		return;
	}
	/* Too much is under way: it comes again with the next look. */
	m->again = true;
	file_clear(file);
	maildir_pause(m, 0);
}

/* Some octets more.  Of a mail that is too large one octet more than may be:
 * it gets the answer that names the limit. */
void
file_copy(struct file *file)
{
	struct maildir *m = file->maildir;
	off_t most = (off_t)config_message_size(m->config) + 1;
	size_t want = COPY;
	ssize_t n;

	if (most > file->size)
		most = file->size;
	if ((off_t)want > most - file->at)
		want = (size_t)(most - file->at);
	n = want == 0 ? 0 : sendfile(file->mail, file->fd, NULL, want);
	if (n == -1 && errno == EINTR)
		return;
	if (n == -1) {
		int error = errno;

		/* NOLINTNEXTLINE: what was submitted is not copied any more */
		if (put_off_again(m, file->name, false))
			maildir_say(m, LOG_WARNING, file->name, "not_read",
			    strerror(error));
		file_clear(file);
		return;
	}
	file->at += n;
	if (n == 0 || file->at == most)
		file_submit(file);
}

/* As it is, it has been for a while. */
static bool
is_still(struct put_off *p, const struct stat *st)
{
	int64_t now = loop_now_ms();

	if (p->since == 0 || p->size != st->st_size ||
	    p->mtime.tv_sec != st->st_mtim.tv_sec ||
	    p->mtime.tv_nsec != st->st_mtim.tv_nsec) {
		p->since = now;
		p->size = st->st_size;
		p->mtime = st->st_mtim;
	}
	return now - p->since >= STILL_MS;
}

/* There a lease depends on what the server delegates, mostly nothing. */
static bool
is_on_a_server(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return false;
	switch ((uint32_t)fs.f_type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/*
 * Whether it has to be waited for.  By the rules of Maildir nobody writes in
 * new/, where whole files are moved to; but a hand with cp(1) does.  Of a file
 * that is open for writing there is no lease to read it (EAGAIN).  On a server
 * that may also mean that there are no leases at all: there a file is taken
 * that has been still for a while.  Where leases cannot be asked for, the rules
 * have to do.
 */
static bool
is_being_written(
    struct maildir *m, const char *name, int fd, const struct stat *st)
{
	bool server, still;
	struct put_off *p;

	if (fcntl(fd, F_SETLEASE, F_RDLCK) != -1) {
		fcntl(fd, F_SETLEASE, F_UNLCK);
		return false;
	}
	if (errno != EAGAIN)
		return false;
	server = is_on_a_server(fd);
	p = put_off_add(m, name);
	still = p != NULL && is_still(p, st);
	if (server && still)
		return false;
	if (still && !p->said) {
		maildir_say(m, LOG_WARNING, name, "not_read",
		    "another process has it open for writing");
		p->said = true;
	}
	/* Here the end of writing is an event. */
	if (p != NULL)
		p->due = server ? p->since + STILL_MS : 0;
	maildir_rescan_in(m, server ? STILL_MS : MAILDIR_SOON_MS);
	return true;
}

static void
not_opened(struct maildir *m, const char *name)
{
	int error = errno;

	switch (error) {
	case ENOENT:
		break;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		m->again = true;
		maildir_pause(m, 0);
		break;
	case ELOOP:
		put_off_no_mail(m, name, "a symbolic link");
		break;
	case ENXIO:
		put_off_no_mail(m, name, "a socket");
		break;
	default:
		if (put_off_again(m, name, false))
			maildir_say(
			    m, LOG_WARNING, name, "not_read", strerror(error));
	}
}

/* Opens a file and sees that it is one. -1: not for now. */
static int
file_open(struct maildir *m, const char *name, struct stat *st)
{
	const struct put_off *p = put_off_find(m, name);
	int fd = openat(m->dir, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd == -1 || fstat(fd, st) == -1) {
		not_opened(m, name);
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (!S_ISREG(st->st_mode))
		put_off_no_mail(m, name, "no regular file");
	else if (p != NULL && p->done)
		file_remove(m, m->dir, st->st_ino, name);
	else if (!is_being_written(m, name, fd, st) && fstat(fd, st) == 0)
		return fd; /* at the size that it has without a writer */
	close(fd);
	return -1;
}

void
file_start(struct maildir *m, const char *name)
{
	struct file *file = m->files;
	struct stat st;
	int fd = file_open(m, name, &st);

	if (fd == -1)
		return;
	while (file->name != NULL)
		file++;
	file->dir = fcntl(m->dir, F_DUPFD_CLOEXEC, 0);
	file->mail = ipc_memfd("mail", NULL, 0, false);
	file->name = strdup(name);
	file->fd = fd;
	file->inode = st.st_ino;
	file->size = st.st_size;
	file->ahead = m->paused_until != 0;
	m->nfiles++;
	if (file->dir == -1 || file->mail == -1 || file->name == NULL) {
		file_clear(file);
		m->again = true;
		maildir_pause(m, 0);
		return;
	}
	m->copied = file;
	file_copy(file);
}

bool
file_in_work(const struct maildir *m, const char *name)
{
	for (size_t i = 0; i < MAILDIR_WORK; i++)
		if (m->files[i].name != NULL &&
		    strcmp(m->files[i].name, name) == 0)
			return true;
	return false;
}
