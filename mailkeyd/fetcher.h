/*
 * What the parts of mailkeyd-fetcher share: fetch.c has the core's side,
 * fetch_imap.c and fetch_pop3.c the servers', fetch_session.c what both need.
 *
 * It is two processes.  The one that talks to the server is in a jail, without
 * files and without sockets but those that it is given: what it needs of the
 * rest it wishes from the other, which is fetch_open.c.
 */
#ifndef FETCHER_H
#define FETCHER_H

#include "mailkeyd/config.h"
#include "mailkeyd/fetch.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/later.h"
#include "mailkeyd/wire.h"

#include <sys/types.h>

#define FETCH_REPLY  ((size_t)64 << 10)	 /* octets of an ordinary answer */
#define FETCH_LIST   ((size_t)8 << 20)	 /* of a list of mails */
#define FETCH_HEADER ((size_t)128 << 10) /* of a mail that is too large */
#define FETCH_OCTETS ((size_t)8 << 20)	 /* of mails that go together */
#define FETCH_MOST   ((size_t)1 << 30)	 /* octets of any mail */

/* A mail that the core has been given. */
struct taken {
	uint64_t id;
	uint32_t number; /* UID, or number of the session */
	char key[LATER_KEY];
	enum fetch_fate fate;
};

struct fetcher {
	enum receive_type type;
	enum receive_tls tls;
	char *host, *user, *password_file, *folder, *ca_file;
	char port[6];
	unsigned poll_ms, timeout_ms;
	uint64_t most; /* octets of a mail that is fetched whole */

	struct wire wire;
	int trusted; /* memfd with the CAs; -1: none */
	struct later later;
	uint32_t validity;   /* of the folder's numbers, by IMAP */
	int64_t quiet_until; /* about mails that cannot be had */
	struct taken batch[FETCH_BATCH];
	size_t nbatch, octets; /* of the batch */
	uint64_t ids;
	unsigned later_row; /* mails in a row that have to come again */
	long pause_ms;	    /* of the whole mailbox; doubles */
	bool paused;	    /* by the last batch */
	bool made_sure;	    /* the last session ended for what it deleted */
	bool open;
	int64_t since; /* it is */
	char why[IPC_TEXT];
};

/*
 * jail -> opener  no more than the type
 * opener -> jail  the same type, status: 1 = done, 0 = text: why not
 */
enum fetch_wish {
	WISH_CONNECTION = 1, /* fd[0]: the socket; with TLS, fd[1]: memfd with
				the CAs that are trusted, in PEM */
	WISH_PASSWORD	     /* text: it */
};

/* Fulfils what comes over the socket until that is closed; ends as the child
 * at its other end does. */
void fetch_opener(const struct fetcher *, int sock, pid_t child)
    __attribute__((noreturn));

/* Makes it a line of printable ASCII. */
void fetch_clean(char *text);
/* Notes why the session cannot go on; returns false. */
bool fetch_trouble(struct fetcher *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a log-in, with what the server says and what to do about it. */
bool fetch_refused(struct fetcher *, const char *what, const char *said);
void fetch_is_open(struct fetcher *); /* tells the core */
void fetch_note(const struct fetcher *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* The time for all steps to come, and the next one, in which so many octets
 * may come. */
void fetch_whole(struct fetcher *, unsigned ms);
void fetch_step(struct fetcher *, size_t octets);
unsigned fetch_batch_ms(const struct fetcher *); /* for a look at a mailbox */

/* What is to be done with a mail now. */
enum fetch_turn {
	TURN_NOT,
	TURN_REMOVE, /* it was answered */
	TURN_NEW,    /* fetch it */
	TURN_AGAIN   /* the same, for one that had to wait: after all others */
} fetch_turn(struct fetcher *, const char *key);

/* Puts a mail off that could not be had.  The second time in a row is noted, of
 * one mail in a minute. */
void fetch_put_off(struct fetcher *, uint32_t number, const char *key,
    const char *why, ...) __attribute__((format(printf, 4, 5)));
/* The same for one over which the session ended: for so long that the next
 * ones come to the mails behind it. */
void fetch_broke(struct fetcher *, uint32_t number, const char *key);

/* Connects, with TLS from the start where that is wanted.  NULL: trouble. */
mailstream *fetch_connect(struct fetcher *);
/* After STARTTLS was granted; once for each connection. */
bool fetch_start_tls(struct fetcher *, const mailstream *);
/* malloc'ed, for password_free(); NULL: trouble. */
char *fetch_password(struct fetcher *);

/*
 * Gives a mail to the core: a memfd, which is closed.  `size` is what the
 * server says; of a mail that is `cut` the beginning is there.
 */
void fetch_offer(struct fetcher *, uint32_t number, const char *key, int memfd,
    uint64_t size, bool cut);
bool fetch_is_full(const struct fetcher *);

/* Waits for what becomes of the batch: what is FETCH_DONE in it is to be
 * deleted, and `later` knows the rest. */
void fetch_settle(struct fetcher *);

/* Waits until there is something to read (true), or for so long. */
bool fetch_wait(struct fetcher *, long ms, const mailstream *);

/* One session, until trouble (-1), or the time in ms to the next. */
long fetch_imap(struct fetcher *);
long fetch_pop3(struct fetcher *);

#endif
