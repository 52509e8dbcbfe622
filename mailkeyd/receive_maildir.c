/*
 * Mails from a Maildir: what lies in new/ is read, a few mails at a time, and
 * each file is removed after the commit of its mail.
 *
 * inotify(7) only says that it is time to look; what there is, the folder
 * itself says.  So nothing depends on an event that was lost.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/log.h"
#include "mailkeyd/receive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_WORK 32	   /* mails in the gateway's hands */
#define BATCH	1000	   /* names that are read, and sorted, together */
#define FRESH	32	   /* names of the newest, while there are more */
#define COPY	(1u << 20) /* octets of a mail copied in one turn */
#define TURN_MS 5
/* Without an event.  A folder that is removed while we have it open gives none.
 */
#define RESCAN_MS    5000L
#define SOON_MS	     1000L
#define FIRST_MS     1000L /* until a mail is tried again; doubles */
#define LAST_MS	     600000L
#define PAUSE_MAX    60000L /* of the whole folder, likewise */
#define PUT_OFF_MAX  4096
#define PUT_OFF_HASH 1024
#define WATCHED                                                                \
	(IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF |           \
	    IN_MOVE_SELF | IN_ONLYDIR)

/* A file that is not for now. */
struct put_off {
	LIST_ENTRY(put_off) next;
	char *name;
	int64_t due;
	unsigned tries;
	unsigned scan; /* the last one that met it */
	bool done;     /* it was answered, but cannot be removed */
};

/* A file whose mail is in hand. */
struct file {
	struct maildir *maildir;
	char *name;   /* NULL: free */
	int dir;      /* where it lies, even when new/ is another by now */
	ino_t inode;  /* what is to be removed */
	int fd, mail; /* while it is copied */
	off_t size, at;
	struct job *job;
};

struct maildir {
	struct loop *loop;
	struct gateway *gateway;
	const struct config *config;
	char *path; /* of new/ */
	int dir;    /* -1: it is gone */
	int notify; /* -1: cannot be watched */
	struct loop_io *io;
	struct loop_timer *turn, *rescan;
	int64_t rescan_at;
	DIR *scan;  /* under way */
	bool again; /* something came in the meantime */
	unsigned scans;
	char *names[BATCH];
	size_t nnames, next;
	/* The newest, of which every other turn takes the last one while there
	 * is a crowd: so another's mail does not wait for all of it. */
	char *fresh[FRESH];
	size_t nfresh;
	bool fresh_turn;
	struct file files[IN_WORK];
	size_t nfiles;
	struct file *copied;  /* the one that is being copied */
	int64_t paused_until; /* 0: it is not */
	unsigned later;	      /* mails in a row that have to come again */
	bool full_said, stopping;
	LIST_HEAD(, put_off) put_off[PUT_OFF_HASH];
	size_t nput_off;
};

static void maildir_look(void *);

/* ---- what is said -------------------------------------------------------- */

static void
say(const struct maildir *m, int level, const char *name, const char *what,
    const char *why)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f, "maildir: event=%s path=", what);
	log_value(f, m->path);
	if (name != NULL) {
		fprintf(f, " file=");
		log_value(f, name);
	}
	if (*why != '\0') {
		fprintf(f, " why=");
		log_value(f, why);
	}
	if (fclose(f) == 0)
		log_line(level, "%s", line);
	free(line);
}

/* ---- files that are not for now ------------------------------------------ */

static unsigned
hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % PUT_OFF_HASH;
}

static struct put_off *
put_off_find(const struct maildir *m, const char *name)
{
	struct put_off *p;

	LIST_FOREACH(p, &m->put_off[hash(name)], next)
	if (strcmp(p->name, name) == 0)
		return p;
	return NULL;
}

static void
put_off_free(struct maildir *m, struct put_off *p)
{
	LIST_REMOVE(p, next);
	m->nput_off--;
	free(p->name);
	free(p);
}

/* Whether it is still too early for it. */
static bool
is_put_off(const struct maildir *m, const char *name)
{
	const struct put_off *p = put_off_find(m, name);

	return p != NULL && p->due > loop_now_ms();
}

/* Looks no later than in `ms`. */
static void
rescan_in(struct maildir *m, long ms)
{
	int64_t now = loop_now_ms();

	if (m->rescan_at > now && m->rescan_at <= now + ms)
		return;
	m->rescan_at = now + ms;
	loop_timer_set(m->rescan, ms);
}

/* NULL: there are too many, it is met again at the next look. */
static struct put_off *
put_off(struct maildir *m, const char *name)
{
	struct put_off *p = put_off_find(m, name);

	if (p != NULL)
		return p;
	if (m->nput_off == PUT_OFF_MAX) {
		if (!m->full_said)
			say(m, LOG_WARNING, NULL, "full",
			    "too many files that cannot be taken");
		m->full_said = true;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->name = strdup(name)) == NULL) {
		free(p);
		return NULL;
	}
	p->scan = m->scans;
	LIST_INSERT_HEAD(&m->put_off[hash(name)], p, next);
	m->nput_off++;
	return p;
}

/* Tried again, each time after twice as long; whether it is the first time. */
static bool
try_later(struct maildir *m, const char *name, bool done)
{
	struct put_off *p = put_off(m, name);
	int64_t ms = FIRST_MS;

	if (p == NULL)
		return false;
	for (unsigned i = 0; i < p->tries && ms < LAST_MS; i++)
		ms *= 2;
	if (ms > LAST_MS)
		ms = LAST_MS;
	p->tries++;
	p->done |= done;
	p->due = loop_now_ms() + ms;
	rescan_in(m, ms);
	return p->tries == 1;
}

/* No mail, and nothing that will become one: looked at again once in a while,
 * without another word. */
static void
no_mail(struct maildir *m, const char *name, const char *why)
{
	struct put_off *p = put_off(m, name);

	if (p == NULL)
		return;
	if (p->tries++ == 0)
		say(m, LOG_WARNING, name, "no_mail", why);
	p->due = loop_now_ms() + LAST_MS;
}

/* What is put off and lies there no more, and when to look again. */
static void
put_off_sweep(struct maildir *m)
{
	int64_t now = loop_now_ms(), next = now + RESCAN_MS;
	struct put_off *p, *following;

	for (size_t i = 0; i < PUT_OFF_HASH; i++)
		for (p = LIST_FIRST(&m->put_off[i]); p != NULL; p = following) {
			following = LIST_NEXT(p, next);
			if (p->scan != m->scans)
				put_off_free(m, p);
			else if (p->due < next)
				next = p->due;
		}
	if (m->nput_off < PUT_OFF_MAX)
		m->full_said = false;
	rescan_in(m, next - now < SOON_MS ? SOON_MS : (long)(next - now));
}

/* ---- one file ------------------------------------------------------------ */

static void
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

/* Nothing is taken for a while, and it takes longer each time. */
static void
pause_all(struct maildir *m, unsigned step)
{
	long ms = SOON_MS;

	while (step-- > 0 && ms < PAUSE_MAX)
		ms *= 2;
	if (ms > PAUSE_MAX)
		ms = PAUSE_MAX;
	m->paused_until = loop_now_ms() + ms;
	loop_timer_set(m->turn, ms);
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

		if (try_later(m, name, true))
			say(m, LOG_ERR, name, "not_removed", strerror(error));
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
		m->later = 0;
		file_remove(m, file->dir, file->inode, file->name);
	} else {
		try_later(m, file->name, false);
		/* It is not this one mail: the others need not ask. */
		if (++m->later >= IN_WORK)
			pause_all(m, m->later / IN_WORK - 1);
	}
	file_clear(file);
	if (m->paused_until == 0 && !m->stopping)
		loop_timer_set(m->turn, 0);
}

static void
file_submit(struct file *file)
{
	struct maildir *m = file->maildir;
	const struct envelope envelope = {.source = "maildir"};

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
	pause_all(m, 0);
}

/* Some octets more.  Of a mail that is too large one octet more than may be:
 * it gets the answer that names the limit. */
static void
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
		if (try_later(m, file->name, false))
			say(m, LOG_WARNING, file->name, "not_read",
			    strerror(error));
		file_clear(file);
		return;
	}
	file->at += n;
	if (n == 0 || file->at == most)
		file_submit(file);
}

/* Somebody has it open for writing: no MTA does that in new/, but a hand
 * with cp(1) does.  Only the owner is told, the others go on. */
static bool
is_being_written(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == -1)
		return errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
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
		pause_all(m, 0);
		break;
	case ELOOP:
		no_mail(m, name, "a symbolic link");
		break;
	case ENXIO:
		no_mail(m, name, "a socket");
		break;
	default:
		if (try_later(m, name, false))
			say(m, LOG_WARNING, name, "not_read", strerror(error));
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
		no_mail(m, name, "no regular file");
	else if (p != NULL && p->done)
		file_remove(m, m->dir, st->st_ino, name);
	else if (is_being_written(fd)) {
		struct put_off *slow = put_off(m, name);

		if (slow != NULL)
			slow->due = 0; /* the next look will do */
		rescan_in(m, SOON_MS);
	} else
		return fd;
	close(fd);
	return -1;
}

static void
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
	m->nfiles++;
	if (file->dir == -1 || file->mail == -1 || file->name == NULL) {
		file_clear(file);
		m->again = true;
		pause_all(m, 0);
		return;
	}
	m->copied = file;
	file_copy(file);
}

/* ---- what lies there ----------------------------------------------------- */

static bool
in_work(const struct maildir *m, const char *name)
{
	for (size_t i = 0; i < IN_WORK; i++)
		if (m->files[i].name != NULL &&
		    strcmp(m->files[i].name, name) == 0)
			return true;
	return false;
}

/* Names begin with the time of delivery: the oldest go first. */
static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
scan_end(struct maildir *m)
{
	closedir(m->scan);
	m->scan = NULL;
	put_off_sweep(m);
}

static void
scan_begin(struct maildir *m)
{
	int fd = openat(m->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	m->again = false;
	m->scan = fd == -1 ? NULL : fdopendir(fd);
	if (m->scan == NULL) {
		if (fd != -1)
			close(fd);
		m->again = true;
		pause_all(m, 0);
		return;
	}
	m->scans++;
}

/* Reads names, not more than a batch. */
static void
scan_more(struct maildir *m)
{
	struct dirent *entry = NULL;
	struct put_off *p;

	m->nnames = m->next = 0;
	for (size_t i = 0; i < BATCH; i++) {
		if ((entry = readdir(m->scan)) == NULL)
			break;
		if (entry->d_name[0] == '.')
			continue;
		p = put_off_find(m, entry->d_name);
		if (p != NULL)
			p->scan = m->scans;
		if (is_put_off(m, entry->d_name) || in_work(m, entry->d_name))
			continue;
		m->names[m->nnames] = strdup(entry->d_name);
		if (m->names[m->nnames] != NULL)
			m->nnames++;
	}
	if (entry == NULL)
		scan_end(m);
	qsort(m->names, m->nnames, sizeof(*m->names), compare);
}

/* One that came lately; the oldest of them makes room. */
static void
fresh_add(struct maildir *m, const char *name)
{
	char *copy = strdup(name);

	if (copy == NULL)
		return;
	if (m->nfresh == FRESH) {
		free(m->fresh[0]);
		memmove(
		    m->fresh, m->fresh + 1, (FRESH - 1) * sizeof(m->fresh[0]));
		m->nfresh--;
	}
	m->fresh[m->nfresh++] = copy;
}

static void
fresh_drop(struct maildir *m)
{
	while (m->nfresh > 0)
		free(m->fresh[--m->nfresh]);
}

static void
names_drop(struct maildir *m)
{
	while (m->next < m->nnames)
		free(m->names[m->next++]);
	if (m->scan != NULL)
		closedir(m->scan);
	m->scan = NULL;
	fresh_drop(m);
}

/* The name to be taken next; NULL: another batch has to be read. */
static char *
name_next(struct maildir *m)
{
	m->fresh_turn = !m->fresh_turn && m->scan != NULL;
	if (m->fresh_turn && m->nfresh > 0)
		return m->fresh[--m->nfresh];
	return m->next < m->nnames ? m->names[m->next++] : NULL;
}

/* One step of the work; false: there is nothing to do now. */
static bool
maildir_step(struct maildir *m)
{
	char *name;

	if (m->copied != NULL) {
		file_copy(m->copied);
		return true;
	}
	if (m->stopping || m->dir == -1 || m->paused_until != 0 ||
	    m->nfiles == IN_WORK)
		return false;
	if ((name = name_next(m)) != NULL) {
		if (!in_work(m, name) && !is_put_off(m, name))
			file_start(m, name);
		free(name);
	} else if (m->scan != NULL)
		scan_more(m);
	else if (m->again)
		scan_begin(m);
	else
		return false;
	return true;
}

static void
maildir_turn(void *ctx)
{
	struct maildir *m = ctx;
	int64_t began = loop_now_ms();

	if (m->paused_until != 0 && m->paused_until <= began)
		m->paused_until = 0;
	while (maildir_step(m))
		if (loop_now_ms() - began >= TURN_MS) {
			loop_timer_set(m->turn, 0);
			return;
		}
	if (m->paused_until > began)
		loop_timer_set(m->turn, (long)(m->paused_until - began));
}

/* ---- the folder ---------------------------------------------------------- */

static void
unwatch(struct maildir *m)
{
	loop_io_free(m->io);
	m->io = NULL;
	if (m->notify != -1)
		close(m->notify);
	m->notify = -1;
}

static void
maildir_gone(struct maildir *m, const char *why)
{
	if (m->dir != -1) {
		say(m, LOG_ERR, NULL, "gone", why);
		close(m->dir);
	}
	m->dir = -1;
	unwatch(m);
	names_drop(m);
	rescan_in(m, RESCAN_MS);
}

/* Something has happened; what, the folder itself will say. */
static void
maildir_event(void *ctx, uint32_t events)
{
	char buffer[16384] __attribute__((aligned(8)));
	struct maildir *m = ctx;
	ssize_t n;

	(void)events;
	n = read(m->notify, buffer, sizeof(buffer));
	if (n <= 0)
		return;
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		if (event->mask &
		    (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
			maildir_look(m);
			return;
		}
		if (event->len > 0 && event->name[0] != '.' &&
		    put_off_find(m, event->name) == NULL)
			fresh_add(m, event->name);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	m->again = true;
	if (m->paused_until == 0)
		loop_timer_set(m->turn, 0);
}

/* Without inotify the timer alone looks. */
static void
watch(struct maildir *m)
{
	m->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (m->notify != -1 &&
	    inotify_add_watch(m->notify, m->path, WATCHED) != -1)
		m->io =
		    loop_io_new(m->loop, m->notify, EPOLLIN, maildir_event, m);
	if (m->io != NULL)
		return;
	say(m, LOG_WARNING, NULL, "not_watched", strerror(errno));
	unwatch(m);
}

/* Opens new/ when mails can be read from it and removed; -1 with errno. */
static int
open_folder(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1 ||
	    faccessat(dir, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return dir;
	close(dir);
	errno = errno == EROFS ? EROFS : EACCES;
	return -1;
}

/* Whether new/ is still the folder that is open, and may still be worked in. */
static bool
folder_is_here(const struct maildir *m)
{
	struct stat here, there;

	if (stat(m->path, &there) == -1 || fstat(m->dir, &here) == -1)
		return false;
	errno = ENOENT;
	if (here.st_ino != there.st_ino || here.st_dev != there.st_dev)
		return false;
	return faccessat(m->dir, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0;
}

/* The timer's look: is the folder there, and what lies in it? */
static void
maildir_look(void *ctx)
{
	struct maildir *m = ctx;

	m->rescan_at = 0;
	if (m->stopping)
		return;
	if (m->dir != -1 && !folder_is_here(m))
		maildir_gone(m, strerror(errno));
	if (m->dir == -1) {
		m->dir = open_folder(m->path);
		if (m->dir == -1) {
			rescan_in(m, RESCAN_MS);
			return;
		}
		say(m, LOG_NOTICE, NULL, "back", "");
		watch(m);
	}
	m->again = true;
	rescan_in(m, RESCAN_MS);
	if (m->paused_until == 0)
		loop_timer_set(m->turn, 0);
}

/* ---- the start and the end ----------------------------------------------- */

/* Makes what is missing. */
static int
make_folders(const struct config *config, const struct config_receive *r,
    const char *new, char **error)
{
	static const char *const folders[] = {"", "/tmp", "/cur", "/new"};
	struct stat st;
	char *path;

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		int made;

		if (asprintf(&path, "%s%s", r->path, folders[i]) == -1)
			return receive_error(config, r, error, "no memory");
		made = mkdir(path, 0700);
		if (made == -1 && errno != EEXIST)
			receive_error(config, r, error,
			    "cannot make %s: %s; make the Maildir yourself, "
			    "for the user that runs mailkeyd",
			    path, strerror(errno));
		free(path);
		if (made == -1 && errno != EEXIST)
			return -1;
	}
	if (stat(new, &st) == 0 && (st.st_mode & S_IWOTH) != 0)
		return receive_error(config, r, error,
		    "anybody may write to %s; run chmod o-w %s", new, new);
	return 0;
}

static struct maildir *
maildir_new(struct loop *loop, struct gateway *gateway,
    const struct config *config, const struct config_receive *r)
{
	struct maildir *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->loop = loop;
	m->gateway = gateway;
	m->config = config;
	m->dir = m->notify = -1;
	for (size_t i = 0; i < IN_WORK; i++)
		m->files[i] = (struct file){
		    .maildir = m, .dir = -1, .fd = -1, .mail = -1};
	if (asprintf(&m->path, "%s/new", r->path) == -1)
		m->path = NULL;
	m->turn = loop_timer_new(loop, maildir_turn, m);
	m->rescan = loop_timer_new(loop, maildir_look, m);
	if (m->path != NULL && m->turn != NULL && m->rescan != NULL)
		return m;
	maildir_free(m);
	return NULL;
}

struct maildir *
maildir_watch(struct loop *loop, struct gateway *gateway,
    const struct config *config, const struct config_receive *r, char **error)
{
	struct maildir *m = maildir_new(loop, gateway, config, r);

	if (m == NULL) {
		receive_error(config, r, error, "no memory; free some");
		return NULL;
	}
	/* Who opens a file for writing in the moment of our lease. */
	signal(SIGIO, SIG_IGN);
	if (make_folders(config, r, m->path, error) == -1) {
		maildir_free(m);
		return NULL;
	}
	m->dir = open_folder(m->path);
	if (m->dir == -1) {
		receive_error(config, r, error,
		    "cannot read and remove mails in %s: %s; %s", m->path,
		    strerror(errno),
		    errno == EROFS ? "mount it for writing, or name it in "
				     "ReadWritePaths of the systemd unit"
				   : "give it to the user that runs mailkeyd");
		maildir_free(m);
		return NULL;
	}
	watch(m);
	maildir_look(m);
	return m;
}

void
maildir_stop(struct maildir *m)
{
	m->stopping = true;
	if (m->copied != NULL)
		file_clear(m->copied);
	names_drop(m);
	loop_timer_set(m->turn, -1);
	loop_timer_set(m->rescan, -1);
}

void
maildir_free(struct maildir *m)
{
	struct put_off *p;

	if (m == NULL)
		return;
	for (size_t i = 0; i < IN_WORK; i++) {
		if (m->files[i].job != NULL)
			gateway_forget(m->files[i].job);
		if (m->files[i].name != NULL)
			file_clear(&m->files[i]);
	}
	names_drop(m);
	unwatch(m);
	for (size_t i = 0; i < PUT_OFF_HASH; i++)
		while ((p = LIST_FIRST(&m->put_off[i])) != NULL)
			put_off_free(m, p); /* NOLINT: it leaves the list */
	if (m->dir != -1)
		close(m->dir);
	loop_timer_free(m->turn);
	loop_timer_free(m->rescan);
	free(m->path);
	free(m);
}
