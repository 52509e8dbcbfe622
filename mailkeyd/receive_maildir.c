/*
 * A Maildir: what lies in new/, and whose turn it is.  One file is the matter
 * of maildir_file.c.
 *
 * inotify(7) only says that it is time to look; what there is, the folder
 * itself says.  So nothing depends on an event that was lost.
 */
#include "mailkeyd/log.h"
#include "mailkeyd/maildir.h"
#include "mailkeyd/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURN_MS	  5
#define PAUSE_MAX 60000L
#define WATCHED                                                                \
	(IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF |           \
	    IN_MOVE_SELF | IN_ONLYDIR)

static void maildir_look(void *);

/* ---- what the files need ------------------------------------------------- */

void
maildir_say(const struct maildir *m, int level, const char *name,
    const char *what, const char *why)
{
	log_event(level, "maildir", what, "path", m->path, "file", name, "why",
	    why, (char *)NULL);
}

void
maildir_rescan_in(struct maildir *m, long ms)
{
	int64_t now = loop_now_ms();

	if (m->rescan_at > now && m->rescan_at <= now + ms)
		return;
	m->rescan_at = now + ms;
	loop_timer_set(m->rescan, ms);
}

void
maildir_pause(struct maildir *m, unsigned step)
{
	int64_t now = loop_now_ms();
	long ms = MAILDIR_SOON_MS;

	while (step-- > 0 && ms < PAUSE_MAX)
		ms *= 2;
	if (ms > PAUSE_MAX)
		ms = PAUSE_MAX;
	if (m->paused_until >= now + ms)
		return;
	m->paused_until = now + ms;
	loop_timer_set(m->turn, ms);
}

/* ---- what lies there ----------------------------------------------------- */

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
	m->tried = false;
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
		maildir_pause(m, 0);
		return;
	}
	m->scans++;
}

/* Reads names, not more than a batch.  What was tried before comes behind all
 * others, which it must not hold up. */
static void
scan_more(struct maildir *m)
{
	struct dirent *entry = NULL;
	struct put_off *p;

	m->nnames = m->next = 0;
	for (size_t i = 0; i < MAILDIR_BATCH; i++) {
		if ((entry = readdir(m->scan)) == NULL)
			break;
		if (entry->d_name[0] == '.')
			continue;
		p = put_off_find(m, entry->d_name);
		if (p != NULL)
			p->scan = m->scans;
		if (put_off_was(p) != m->tried || put_off_is(p) ||
		    file_in_work(m, entry->d_name))
			continue;
		m->names[m->nnames] = strdup(entry->d_name);
		if (m->names[m->nnames] != NULL)
			m->nnames++;
	}
	if (entry == NULL && !m->tried && m->nput_off > 0) {
		m->tried = true;
		rewinddir(m->scan);
	} else if (entry == NULL)
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
	if (m->nfresh == MAILDIR_FRESH) {
		free(m->fresh[0]);
		memmove(m->fresh, m->fresh + 1,
		    (MAILDIR_FRESH - 1) * sizeof(m->fresh[0]));
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
	m->tried = false;
	fresh_drop(m);
}

/* One that came lately, and was not tried yet. */
static char *
fresh_next(struct maildir *m)
{
	while (m->nfresh > 0) {
		char *name = m->fresh[--m->nfresh];

		if (!put_off_was(put_off_find(m, name)))
			return name;
		free(name);
	}
	return NULL;
}

/* The name to be taken next; NULL: another batch has to be read, or it is a
 * pause. */
static char *
name_next(struct maildir *m)
{
	char *name = NULL;

	if (m->paused_until != 0)
		return m->later >= MAILDIR_WORK ? fresh_next(m) : NULL;
	m->fresh_turn = !m->fresh_turn && m->scan != NULL;
	if (m->fresh_turn)
		name = fresh_next(m);
	if (name == NULL && m->next < m->nnames)
		name = m->names[m->next++];
	return name;
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
	if (m->stopping || m->dir == -1 || m->nfiles == MAILDIR_WORK)
		return false;
	if ((name = name_next(m)) != NULL) {
		if (!file_in_work(m, name) &&
		    !put_off_is(put_off_find(m, name)))
			file_start(m, name);
		free(name);
	} else if (m->paused_until != 0)
		return false;
	else if (m->scan != NULL)
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
		maildir_say(m, LOG_ERR, NULL, "gone", why);
		close(m->dir);
	}
	m->dir = -1;
	unwatch(m);
	names_drop(m);
	maildir_rescan_in(m, MAILDIR_RESCAN_MS);
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
		    !put_off_was(put_off_find(m, event->name)))
			fresh_add(m, event->name);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	m->again = true;
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
	maildir_say(m, LOG_WARNING, NULL, "not_watched", strerror(errno));
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
			maildir_rescan_in(m, MAILDIR_RESCAN_MS);
			return;
		}
		maildir_say(m, LOG_NOTICE, NULL, "back", "");
		watch(m);
	}
	m->again = true;
	maildir_rescan_in(m, MAILDIR_RESCAN_MS);
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
	for (size_t i = 0; i < MAILDIR_WORK; i++)
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
	for (size_t i = 0; i < MAILDIR_WORK; i++) {
		if (m->files[i].job != NULL)
			gateway_forget(m->files[i].job);
		if (m->files[i].name != NULL)
			file_clear(&m->files[i]);
	}
	names_drop(m);
	unwatch(m);
	for (size_t i = 0; i < MAILDIR_HASH; i++)
		while ((p = LIST_FIRST(&m->put_off[i])) != NULL)
			put_off_free(m, p); /* NOLINT: it leaves the list */
	if (m->dir != -1)
		close(m->dir);
	loop_timer_free(m->turn);
	loop_timer_free(m->rescan);
	free(m->path);
	free(m);
}
