/*
 * The core's side of the parser: hands mails to jailed children, a few at a
 * time, and brings back what they read.
 */
#ifndef READER_H
#define READER_H

#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/parser.h"

#include <sys/queue.h>

struct reader;

/*
 * One mail, or one file of certificates, on its way through the jail; part of
 * the caller's own struct, which must live until `done` was called or
 * reading_drop().
 */
struct reading {
	int fd;	     /* the sealed mail, or the file to import; lent */
	bool import; /* a file: `done` comes once for each record */
	bool peer;   /* a mail that may be a peer's: read with such limits */
	/*
	 * From the loop, never from within reading_start() or reading_more(),
	 * or from reader_free().  PARSER_OK: *mail is the callee's to free with
	 * mail_free().  Otherwise mail is NULL and `why` says what happened.
	 */
	void (*done)(struct reading *, enum parser_status, struct mail *mail,
	    const char *why);
	bool more;	 /* of an import: reading_more() for the next */
	uint64_t offset; /* of an import: in its file */
	/* the reader's own */
	enum { READING_IDLE, READING_WAITS, READING_AWAY } state;
	uint64_t id;
	int record;
	unsigned tries;
	TAILQ_ENTRY(reading) next;
};

struct reader *reader_new(struct loop *, const struct config *);
/* Fails what is still under way; imports were dropped before. */
void reader_free(struct reader *);

void reading_start(struct reader *, struct reading *);
void reading_more(struct reader *, struct reading *);
/* Forgets it, whatever its state; `done` will not be called. */
void reading_drop(struct reader *, struct reading *);

/* The limits may have changed: once nothing is in hand, and no import under
 * way, a parser with the new ones takes over. */
void reader_reload(struct reader *);

bool reader_is_up(const struct reader *);
unsigned reader_deaths(const struct reader *);

#endif
