/*
 * The contract between the daemon and the commands: a request goes in, a
 * reply comes out, and how it went.  Handlers know the key store and OpenPGP,
 * nothing of mail formats, libetpan or Berkeley DB.  Copy help.c to begin a
 * new command.
 */
#ifndef HANDLER_H
#define HANDLER_H

#include "db/keystore.h"

#include <stdio.h>
#include <time.h>

enum outcome {
	DONE,	  /* the reply says it, the source hears yes */
	REFUSED,  /* the reply says why, the source hears yes */
	TRY_LATER /* no reply, the source keeps the mail */
};

/* One certificate that came with the mail, verified and cleaned. */
struct submission {
	struct pgp_fpr fpr;		/* len 0: the block had no key */
	const struct pgp_cert *cert;	/* NULL: nothing of it was worth keeping */
	struct pgp_left_out left;	/* what was left out, and why */
};

/* What the operator allows, as far as handlers need to know it. */
struct handler_limits {
	unsigned max_reply_keys; /* certificates in one answer: 10 */
	unsigned keys_per_mail;	 /* certificates taken from one mail: 50 */
	size_t reply_size;	 /* octets of a whole answer: 2 MiB */
};

struct request {
	char *word;	/* "VERBOSE INDEX", upper case, one blank; malloc'ed */
	char *argument; /* "" = none; malloc'ed */
	const char *sender;  /* the address that is answered */
	const char *address; /* ours */
	const char *site;    /* the operator's name of this server */
	const char *admin;   /* whom to write to; "" = nobody named */
	time_t now;
	struct handler_limits limits;
	/* of an ADD */
	const struct submission *submissions;
	size_t nsubmissions;
	const char *const *problems; /* sentences on blocks not to be read */
	size_t nproblems;
	unsigned nsecret; /* secret keys that were in the mail */
	unsigned nover;	  /* certificates past keys_per_mail, not looked at */
};

/* What a handler writes.  Text is UTF-8 with LF line ends, lines under 77. */
struct reply {
	const char *suffix; /* of the Subject: "", ", failed", ", was invalid" */
	FILE *text;
	FILE *keys;	    /* binary certificates, one after the other */
	unsigned nkeys;
	bool help;	    /* the unasked-for help text, budgeted by itself */
	char *text_data;    /* valid after reply_finish() */
	char *keys_data;
	size_t text_len, keys_len;
};

enum command_flags {
	COMMAND_KEYS = 1, /* takes certificates from the body: check them */
	COMMAND_HIDDEN = 2 /* not in the help */
};

struct command {
	const char *name;     /* "VERBOSE INDEX" */
	const char *argument; /* as the help shows it: "WORDS", "" */
	const char *summary;  /* one line */
	unsigned flags;
	enum outcome (*run)(
	    struct keystore *, const struct request *, struct reply *);
};

/*
 * A decoded Subject to a command word and its argument: reply prefixes and
 * list tags stripped, blanks folded, whole words, any case.  Returns the
 * command, or NULL for what is no command; word and argument are filled in
 * either case (word is "" for an empty subject) and freed with
 * request_free().  word is NULL when memory ran out.
 */
const struct command *request_parse(const char *subject, struct request *);
void request_free(struct request *);

/* The table of commands, ended by a NULL. */
extern const struct command *const commands[];

/* Runs for what is no command: ", was invalid" and the help. */
extern const struct command command_invalid;

int reply_new(struct reply *); /* 0, or -1: no memory */
int reply_finish(struct reply *); /* closes the streams; 0, or -1 */
void reply_free(struct reply *);
void reply_printf(struct reply *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
int reply_cert(struct reply *, const struct pgp_cert *);

/*
 * Writes a user ID's octets so that they cannot leave their line: control
 * characters, line breaks, bidi controls escaped as \x.. or \u....; what is no
 * UTF-8 is read as ISO 8859-1.
 */
void reply_userid(struct reply *, const unsigned char *, size_t);

/* Writes text broken into lines of at most 76 columns, each behind `indent`
 * blanks. */
void reply_wrap(struct reply *, unsigned indent, const char *);

/* A certificate as INDEX (or VERBOSE INDEX) shows it, and the heading line. */
void listing_heading(struct reply *);
void listing_cert(struct reply *, struct keystore *, const struct pgp_cert *,
    bool verbose, time_t now);

/* Shared by the commands that look up: parses the argument, finds, and writes
 * the refusal when there is nothing to show.  KS_OK: *found is the caller's to
 * free.  Otherwise *outcome is what the handler returns. */
enum ks_status lookup(struct keystore *, const struct request *,
    struct reply *, struct ks_found *found, enum outcome *);

/* A failure of the store as the outcome it makes. */
enum outcome outcome_of(enum ks_status);

#endif
