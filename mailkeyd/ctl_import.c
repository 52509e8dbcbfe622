/*
 * mailkeyctl import: hands out what its arguments stand for, one source after
 * the other, as the far end asks for them.
 */
#include "mailkeyd/ctl.h"
#include "mailkeyd/import_walk.h"
#include "mailkeyd/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PIECE	  (8u << 20) /* octets of a keybox in one source, about */
#define NAME	  160	     /* octets of a path that are sent: its end */
#define BLOB_KEYS 2	     /* of a keybox: OpenPGP */

struct feed {
	struct ctl *ctl;
	struct walk_list list;
	size_t i;	   /* the file at hand */
	int fd;		   /* -1: it is not open yet */
	uint64_t at;	   /* where to go on in it */
	struct mbox *mbox; /* it is one, and open */
	struct mbox_message message;
	bool ahead;	 /* message is the next one */
	bool spent;	 /* the file at hand has nothing more */
	bool asked;	 /* a first time */
	uint64_t before; /* octets of the files before it */
	int status;	 /* of files that could not be read */
};

static void
complain(struct feed *feed, const char *path, const char *why)
{
	fprintf(stderr, "mailkeyctl: %s: %s\n", path, why);
	feed->status = EX_NOINPUT;
}

/* ---- one source ---------------------------------------------------------- */

/* Sends what the file at hand has at feed->at; behind it comes `next`.  Closes
 * fd.  0 or -1. */
static int
send_source(struct feed *feed, int fd, enum control_source kind, uint64_t next)
{
	const struct source *s = &feed->list.source[feed->i];
	size_t len = strlen(s->path), used = 0;
	const char *path = s->path;
	struct ipc_msg msg;
	int rv;

	ipc_msg_init(&msg, CONTROL_SOURCE, feed->at);
	msg.status = kind;
	msg.a = next;
	msg.fd[0] = fd;
	for (size_t i = 0; i < SOURCE_CHAIN; i++, used += 2)
		snprintf(msg.text + used, 3, "%02x", s->chain[i]);
	if (len > NAME)
		path += len - NAME;
	snprintf(msg.text + used, sizeof(msg.text) - used, " %s%s",
	    len > NAME ? "..." : "", path);
	rv = ipc_send(feed->ctl->sock, &msg);
	ipc_msg_close(&msg);
	return rv;
}

static void
file_next(struct feed *feed)
{
	mbox_free(feed->mbox);
	feed->mbox = NULL;
	if (feed->fd != -1)
		close(feed->fd);
	feed->fd = -1;
	feed->ahead = feed->spent = false;
	feed->before += feed->list.source[feed->i].size;
	feed->i++;
	feed->at = 0;
}

/* 0, or -1: it cannot be read, and that has been said. */
static int
file_open(struct feed *feed)
{
	const char *path = feed->list.source[feed->i].path;

	if (strcmp(path, "-") == 0)
		feed->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		feed->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (feed->fd == -1 || (feed->at > 0 && lseek(feed->fd, (off_t)feed->at,
						   SEEK_SET) == -1)) {
		complain(feed, path, strerror(errno));
		return -1;
	}
	return 0;
}

/* ---- each kind: 1 when a source was sent, 0 when there is none, -1 ------- */

static int
send_file(struct feed *feed)
{
	int fd = feed->fd, rv;

	feed->fd = -1;
	rv = send_source(feed, fd, CONTROL_FILE, UINT64_MAX);
	return rv == -1 ? -1 : 1;
}

static int
send_mail(struct feed *feed)
{
	size_t most = config_message_size(feed->ctl->config) + 1;
	int fd = ipc_drain(feed->fd, most), rv;

	if (fd == -1) {
		complain(
		    feed, feed->list.source[feed->i].path, strerror(errno));
		return 0;
	}
	rv = send_source(feed, fd, CONTROL_MAIL, UINT64_MAX);
	return rv == -1 ? -1 : 1;
}

/* Reads one message ahead, so that of the last it is known that it is. */
static int
mbox_ahead(struct feed *feed)
{
	int got = mbox_next(feed->mbox, &feed->message);

	if (got == -1)
		complain(
		    feed, feed->list.source[feed->i].path, strerror(errno));
	feed->ahead = got == 1;
	return got;
}

static int
send_message(struct feed *feed)
{
	size_t most = config_message_size(feed->ctl->config);
	uint64_t end;
	int fd;

	if (feed->mbox == NULL) {
		feed->mbox = mbox_new(feed->fd, feed->at, most);
		if (feed->mbox == NULL)
			return -1;
		mbox_ahead(feed);
	}
	if (!feed->ahead)
		return 0;
	fd = ipc_memfd("mail", feed->message.data, feed->message.len, false);
	if (fd == -1)
		return -1;
	feed->at = feed->message.at;
	end = feed->message.end;
	mbox_ahead(feed);
	if (send_source(
		feed, fd, CONTROL_MAIL, feed->ahead ? end : UINT64_MAX) == -1)
		return -1;
	return 1;
}

/* One blob of a keybox (GnuPG, kbx/keybox-blob.c): its key
 * material goes behind what the memfd has.  1; 0: the end; -1: it is bent. */
static int
keybox_blob(struct feed *feed, int to)
{
	unsigned char head[16];
	uint32_t len, at, octets;
	char *data;
	int rv = -1;

	if (pread(feed->fd, head, sizeof(head), (off_t)feed->at) !=
	    (ssize_t)sizeof(head))
		return 0;
	len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 |
	      (uint32_t)head[2] << 8 | head[3];
	at = (uint32_t)head[8] << 24 | (uint32_t)head[9] << 16 |
	     (uint32_t)head[10] << 8 | head[11];
	octets = (uint32_t)head[12] << 24 | (uint32_t)head[13] << 16 |
		 (uint32_t)head[14] << 8 | head[15];
	if (len < 5 || len > PIECE)
		return -1;
	if (head[4] == BLOB_KEYS) {
		if (at > len || octets > len - at)
			return -1;
		data = malloc(octets + 1);
		if (data != NULL &&
		    pread(feed->fd, data, octets, (off_t)feed->at + at) ==
			(ssize_t)octets &&
		    ipc_write_all(to, data, octets) == 0)
			rv = 1;
		free(data);
		if (rv == -1)
			return -1;
	}
	feed->at += len;
	return 1;
}

static int
send_keybox(struct feed *feed)
{
	const struct source *s = &feed->list.source[feed->i];
	uint64_t begun = feed->at, next;
	int to, got = 1;

	if (begun >= s->size)
		return 0;
	to = ipc_memfd("keybox", NULL, 0, false);
	if (to == -1)
		return -1;
	while (got == 1 && lseek(to, 0, SEEK_CUR) < (off_t)PIECE)
		got = keybox_blob(feed, to);
	if (got == -1)
		complain(feed, s->path,
		    "the keybox is damaged; write it anew with gpg --export");
	next = got == 1 ? feed->at : s->size;
	feed->at = begun;
	lseek(to, 0, SEEK_SET);
	if (send_source(feed, to, CONTROL_PIECE,
		next < s->size ? next : UINT64_MAX) == -1)
		return -1;
	feed->at = next;
	return 1;
}

/* ---- the feed ------------------------------------------------------------ */

static int
send_next(struct feed *feed)
{
	if (feed->fd == -1 && feed->mbox == NULL && file_open(feed) == -1)
		return 0;
	switch (feed->list.source[feed->i].kind) {
	case SOURCE_MBOX:
		return send_message(feed);
	case SOURCE_KEYBOX:
		return send_keybox(feed);
	case SOURCE_MAIL:
		return send_mail(feed);
	default:
		return send_file(feed);
	}
}

/* Whether the file at hand may have another source. */
static bool
has_more(const struct feed *feed)
{
	switch (feed->list.source[feed->i].kind) {
	case SOURCE_MBOX:
		return feed->ahead;
	case SOURCE_KEYBOX:
		return feed->at < feed->list.source[feed->i].size;
	default:
		return false;
	}
}

/* Where an interrupted import of the same files stopped. */
static void
go_on(struct feed *feed, const struct ipc_msg *msg)
{
	const struct walk_list *list = &feed->list;
	char hex[2 * SOURCE_CHAIN + 1];
	size_t i;

	for (i = 0; i < list->n; i++) {
		for (size_t j = 0; j < SOURCE_CHAIN; j++)
			snprintf(
			    hex + 2 * j, 3, "%02x", list->source[i].chain[j]);
		if (strcmp(hex, msg->text) == 0)
			break;
	}
	if (i == list->n)
		return;
	while (feed->i < i)
		file_next(feed);
	if (msg->a == UINT64_MAX)
		file_next(feed);
	else
		feed->at = msg->a;
	if (feed->i < list->n)
		fprintf(stderr,
		    "going on in %s at octet %" PRIu64
		    ", where the last import stopped (--restart: from the "
		    "beginning)\n",
		    list->source[feed->i].path, feed->at);
}

/* Sends the next source there is, or that there is none. */
static int
feed_next(struct feed *feed)
{
	struct ctl *ctl = feed->ctl;
	struct ipc_msg msg;
	int sent = 0;

	while (sent == 0 && feed->i < feed->list.n) {
		if (feed->spent)
			file_next(feed);
		if (feed->i == feed->list.n)
			break;
		ctl->name = feed->list.source[feed->i].path;
		sent = send_next(feed);
		feed->spent = !has_more(feed);
		ctl->before = feed->before + feed->at;
	}
	if (sent != 0)
		return sent == -1 ? -1 : 0;
	ipc_msg_init(&msg, CONTROL_FINISH, 0);
	return ipc_send(ctl->sock, &msg);
}

static int
feed_asked(struct ctl *ctl, const struct ipc_msg *said)
{
	struct feed *feed = ctl->feed;

	if (!feed->asked && said->b == 1 && !ctl->restart)
		go_on(feed, said);
	feed->asked = true;
	return feed_next(feed);
}

static void
feed_free(struct feed *feed)
{
	mbox_free(feed->mbox);
	if (feed->fd != -1)
		close(feed->fd);
	walk_free(&feed->list);
}

/* What the arguments stand for, before anything is read. */
static void
feed_fill(struct feed *feed, int argc, char **argv)
{
	char *where;

	for (int i = 0; i < argc; i++) {
		if (walk_add(&feed->list, argv[i], &where) == 0)
			continue;
		complain(
		    feed, where == NULL ? argv[i] : where, strerror(errno));
		free(where);
	}
	if (feed->list.nothers > 0)
		fprintf(stderr,
		    "%zu file%s of other kinds in the director%s: passed "
		    "over\n",
		    feed->list.nothers, feed->list.nothers == 1 ? "" : "s",
		    argc == 1 ? "y" : "ies");
}

static int
do_import(struct ctl *ctl, int argc, char **argv)
{
	struct feed feed = {.ctl = ctl, .fd = -1};
	struct ipc_msg msg;
	int status;

	if (argc == 0) {
		fprintf(stderr, "mailkeyctl: import which file? (- is standard "
				"input)\n");
		return EX_USAGE;
	}
	feed_fill(&feed, argc, argv);
	if (feed.list.n == 0) {
		if (feed.status == 0)
			fprintf(stderr, "mailkeyctl: there is no certificate "
					"and no mail in it\n");
		feed_free(&feed);
		return feed.status != 0 ? feed.status : EX_DATAERR;
	}
	status = ctl_reach(ctl);
	if (status == 0) {
		ctl->size = feed.list.size;
		ctl->bar = !ctl->quiet && isatty(STDERR_FILENO);
		ctl->feed = &feed;
		ctl->feed_next = feed_asked;
		ipc_msg_init(&msg, CONTROL_IMPORT, 0);
		msg.a = ctl->sync;
		msg.b = feed.list.size;
		status = ctl_ask(ctl, &msg, stdout);
		ctl->feed = NULL;
	}
	status = ctl_leave(ctl, status);
	feed_free(&feed);
	return status == EX_OK ? feed.status : status;
}

const struct verb verb_import = {"import",
    "[--sync] [--restart] FILE|DIRECTORY...",
    "store the certificates of files and old mails", do_import};
