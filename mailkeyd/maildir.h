/*
 * A Maildir that is watched: what receive_maildir.c (the folder),
 * maildir_file.c (one file) and maildir_later.c (files that are not for now)
 * know of it, and nobody else.
 */
#ifndef MAILDIR_H
#define MAILDIR_H

#include "mailkeyd/gateway.h"

#include <dirent.h>
#include <sys/queue.h>
#include <sys/types.h>

#define MAILDIR_WORK  32   /* mails in the gateway's hands */
#define MAILDIR_BATCH 1000 /* names that are read, and sorted, together */
#define MAILDIR_FRESH 32   /* names of the newest, while there are more */
#define MAILDIR_HASH  1024
/* Without an event.  A folder that is removed while we have it open gives none.
 */
#define MAILDIR_RESCAN_MS 5000L
#define MAILDIR_SOON_MS	  1000L

/* A file that is not for now. */
struct put_off {
	LIST_ENTRY(put_off) next;
	char *name;
	int64_t due;
	unsigned tries;
	unsigned scan; /* the last one that met it */
	bool done;     /* it was answered, but cannot be removed */
	/* While it may still be written: how it was, and since when. */
	off_t size;
	struct timespec mtime;
	int64_t since; /* 0: nobody has looked */
	bool said;
};

/* A file whose mail is in hand. */
struct file {
	struct maildir *maildir;
	char *name;   /* NULL: free */
	int dir;      /* where it lies, even when new/ is another by now */
	ino_t inode;  /* what is to be removed */
	int fd, mail; /* while it is copied */
	off_t size, at;
	bool ahead; /* taken during a pause */
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
	bool tried; /* its second part: what was tried before */
	bool again; /* something came in the meantime */
	unsigned scans;
	char *names[MAILDIR_BATCH];
	size_t nnames, next;
	/* The newest, of which every other turn takes the last one while there
	 * is a crowd: so another's mail does not wait for all of it. */
	char *fresh[MAILDIR_FRESH];
	size_t nfresh;
	bool fresh_turn;
	struct file files[MAILDIR_WORK];
	size_t nfiles;
	struct file *copied;  /* the one that is being copied */
	int64_t paused_until; /* 0: it is not */
	unsigned later;	      /* mails in a row that have to come again */
	bool full_said, stopping;
	LIST_HEAD(, put_off) put_off[MAILDIR_HASH];
	size_t nput_off;
};

/* A line of the log: event=`what` on the folder, or on one file of it. */
void maildir_say(const struct maildir *, int level, const char *name,
    const char *what, const char *why);

/* Looks no later than in `ms`. */
void maildir_rescan_in(struct maildir *, long ms);

/* Nothing is taken for a while: a second, doubled `step` times, up to a minute.
 * But for what comes meanwhile, when it is for mails that have to come again:
 * it may be another's, and no worse off than by LMTP. */
void maildir_pause(struct maildir *, unsigned step);

/* ---- maildir_file.c ------------------------------------------------------ */

/* Takes a file in hand, if it is a mail that may be taken now: nfiles is below
 * MAILDIR_WORK, and nothing is being copied. */
void file_start(struct maildir *, const char *name);

/* Copies some octets more, and submits the mail behind the last. */
void file_copy(struct file *);

/* Lets it go; where it lies it stays. */
void file_clear(struct file *);

/* Whether a file is in hand. */
bool file_in_work(const struct maildir *, const char *name);

/* ---- maildir_later.c ----------------------------------------------------- */

/* NULL: it is not put off. */
struct put_off *put_off_find(const struct maildir *, const char *name);

/* Of what was found, or NULL: whether it is still too early for it, and whether
 * it was tried before. */
bool put_off_is(const struct put_off *);
bool put_off_was(const struct put_off *);

/* As it was, or a new one that is due at once.  NULL: there are too many, it is
 * met again at the next look. */
struct put_off *put_off_add(struct maildir *, const char *name);

/* Tried again, each time after twice as long; whether it is the first time.
 * `done`: its mail was answered, only the file is in the way. */
bool put_off_again(struct maildir *, const char *name, bool done);

/* No mail, and nothing that will become one: looked at again once in a while,
 * without another word. */
void put_off_no_mail(struct maildir *, const char *name, const char *why);

/* Behind a scan: forgets what lies there no more, and sets the time of the next
 * look. */
void put_off_sweep(struct maildir *);

void put_off_free(struct maildir *, struct put_off *);

#endif
