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
	struct pgp_fpr fpr;	     /* len 0: the block had no key */
	const struct pgp_cert *cert; /* NULL: nothing of it was worth keeping */
	struct pgp_left_out left;    /* what was left out, and why */
	enum ks_standing standing;   /* why cert is NULL: of its key */
};

/* What the operator allows, as far as handlers need to know it. */
struct handler_limits {
	unsigned max_reply_keys; /* certificates in one answer: 10 */
	unsigned keys_per_mail;	 /* certificates taken from one mail: 50 */
	size_t reply_size;	 /* octets of one mail: 2 MiB */
	unsigned max_parts;	 /* mails of one answer: 5 */
	unsigned max_last;	 /* days that LAST looks back: 30; 0 = off */
	unsigned max_last_reply_keys; /* certificates LAST sends: 100 */
	bool mget;		      /* whether MGET is answered: no */
	bool certifications;	      /* whether those by others are kept: no */
};

/* What a search in slices has taken so far; see search_slice(). */
struct slices {
	int64_t spent; /* ns */
	bool stopped;
};

struct request {
	char *word;	/* "VERBOSE INDEX", upper case, one blank; malloc'ed */
	char *argument; /* "" = none; malloc'ed */
	const char *sender;   /* the address that is answered */
	const char *address;  /* ours */
	const char *site;     /* the operator's name of this server */
	const char *admin;    /* whom to write to; "" = nobody named */
	const char *language; /* of HELP, where none is asked for: "en" */
	const char *version;  /* of this program */
	time_t started;	      /* when the daemon was */
	time_t now;
	struct handler_limits limits;
	bool from_peer;	  /* a configured peer sent it */
	const char *sent; /* X-KeyServer-Sent addresses, LF between; "" none */
	void *scan;	  /* what the command's scan() has found so far */
	void (*scan_free)(void *);
	struct slices slices;
	/* of an ADD */
	const struct submission *submissions;
	size_t nsubmissions;
	const char *const *problems; /* sentences on blocks not to be read */
	size_t nproblems;
	unsigned nsecret; /* secret keys that were in the mail */
	unsigned nover;	  /* certificates past keys_per_mail, not looked at */
	unsigned helps_today; /* unasked-for help texts the sender had today:
				 the first is the whole help, then two lines */
};

/* What became of the certificates that came with a mail. */
struct add_counts {
	unsigned added, changed, unchanged, refused;
};

/*
 * What a handler writes.  Text is UTF-8 with LF line ends, lines under 77
 * characters; only a line that ends in a user ID or in what was asked may be
 * longer, and is then under 300 characters and 998 octets.
 */
struct reply {
	/* of the Subject: "", ", failed", ", was invalid" */
	const char *suffix;
	FILE *text;
	FILE *keys; /* binary certificates, one after the other */
	unsigned nkeys;
	struct add_counts adds; /* of an ADD, for the log */
	bool help;	 /* the unasked-for help text, budgeted by itself */
	char *text_data; /* valid after reply_finish() */
	char *keys_data;
	size_t text_len, keys_len;
};

enum command_flags {
	COMMAND_KEYS = 1,   /* takes certificates from the body: check them */
	COMMAND_HIDDEN = 2, /* not in the help */
	COMMAND_SILENT = 4, /* never answered; for peers only */
	COMMAND_SCAN = 8,   /* has a scan(): looked up in slices */
	COMMAND_ALONE = 16, /* none when words follow it */
	COMMAND_DRY = 32    /* with COMMAND_KEYS: stores nothing, so it is done
			       for nobody who would not hear of it */
};

struct command {
	const char *name;     /* "VERBOSE INDEX" */
	const char *argument; /* as the help shows it: "WORDS", "" */
	const char *summary;  /* one line */
	unsigned flags;
	enum outcome (*run)(
	    struct keystore *, const struct request *, struct reply *);
	/* With COMMAND_SCAN: whether this request wants scan(). */
	bool (*scans)(const struct request *);
	/*
	 * With COMMAND_SCAN: one slice (some milliseconds) of a long search,
	 * called outside any transaction again and again while *more, before
	 * run(), which uses what was found and may be called more than once.
	 * NULL: no such command.  KS_OK, or the failure of the store.
	 */
	enum ks_status (*scan)(struct keystore *, struct request *, bool *more);
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

/* The command that a text with folded blanks begins with, as whole words in
 * any case; *len is how much of the text it takes.  NULL: none. */
const struct command *command_find(const char *text, size_t *len);

/* Whether HELP has this language: a code or a name, as HELP takes it. */
bool help_has_language(const char *);

/* Runs for what is no command: ", was invalid" and the help. */
extern const struct command command_invalid;

int reply_new(struct reply *);	  /* 0, or -1: no memory */
int reply_finish(struct reply *); /* closes the streams; 0, or -1 */
void reply_free(struct reply *);
void reply_printf(struct reply *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
int reply_cert(struct reply *, const struct pgp_cert *);

/* What armor makes of so many octets of keys, at most. */
size_t reply_armored(size_t);

/* Octets of the answer so far: its text, and its keys with their armor. */
size_t reply_size(struct reply *);

/* Takes back all certificates; 0, or -1: no memory. */
int reply_drop_keys(struct reply *);

/* One mail's share of the certificates of an answer. */
struct reply_part {
	size_t from, len; /* octets of the keys */
	unsigned nkeys;
};

/*
 * Cuts keys (as reply_cert() wrote them) at certificate borders, so that no
 * mail with its share and `text_len` octets of text is over reply_size, and
 * none has keys of version 4 beside newer ones, where gpg 2.2 would read
 * neither. *parts (free(3)) has *n parts, none for no keys.  *fits: false when
 * a single certificate is over it.  0, or -1: no memory.
 */
int reply_parts(const unsigned char *keys, size_t len, size_t text_len,
    size_t reply_size, struct reply_part **parts, size_t *n, bool *fits);

/* The text that goes with part i (from 0) of n, n > 1; malloc'ed.  0 or -1. */
int reply_part_text(const struct reply *, const struct reply_part *, size_t i,
    size_t n, char **text, size_t *len);

/*
 * Writes a user ID's octets so that they cannot leave their line: control
 * characters, line breaks, invisible characters and bidi controls escaped as
 * \x.., \u.... or \U........, the backslash too, so that nothing else looks
 * like that; what is no UTF-8 is read as ISO 8859-1.  After USERID_COLUMNS
 * characters it is cut, which "..." shows.
 */
#define USERID_COLUMNS 200
void reply_userid(struct reply *, const unsigned char *, size_t);

/* Writes UTF-8 text broken into lines of at most 76 characters, each behind
 * `indent` (< 70) blanks; a line feed begins a new line, other control
 * characters become "?". */
void reply_wrap(struct reply *, unsigned indent, const char *);

/* "1 key", "2 keys": the number, a blank, the noun and an s where due. */
void reply_count(struct reply *, uint64_t n, const char *noun);

/* For the top of an answer: the name of the site with an empty line behind,
 * if it has one; what was asked, on a line of its own. */
void reply_site(struct reply *, const struct request *);
void reply_asked(struct reply *, const struct request *);

/* A certificate as INDEX (or VERBOSE INDEX) shows it, and the heading line.
 * Once the answer has more than `max` octets the rest is left out, and it says
 * so. */
void listing_heading(struct reply *);
void listing_cert(struct reply *, struct keystore *, const struct pgp_cert *,
    bool verbose, time_t now, size_t max);

/* The short form for other answers: the whole fingerprint, the first user ID,
 * and whether the key is revoked or has expired. */
void listing_brief(struct reply *, const struct pgp_cert *, time_t now);
void listing_fpr(struct reply *, const struct pgp_fpr *);

/* What the mark of unverified certificates means, if one of them has it. */
void listing_unverified(struct reply *, struct pgp_cert *const *, size_t n);

/*
 * A long search in slices of some milliseconds, for so many in all.
 * search_slice() calls step() for one of them, until it returns something else
 * than KS_OK, which is returned; `stopped` is set when the time is up.
 */
enum ks_status search_slice(
    struct slices *, unsigned ms, enum ks_status (*step)(void *ctx), void *ctx);

/* scans() and scan() of the commands that look up. */
bool lookup_scans(const struct request *);
enum ks_status lookup_scan(struct keystore *, struct request *, bool *more);

/* Shared by the commands that look up: parses the argument, finds, and writes
 * the refusal when there is nothing to show.  KS_OK: *found is the caller's to
 * free.  Otherwise *outcome is what the handler returns. */
enum ks_status lookup(struct keystore *, const struct request *, struct reply *,
    struct ks_found *found, enum outcome *);

/*
 * Reads the certificates that lookup() found, newest creation first.  KS_OK:
 * *out is the caller's to free.  Otherwise *outcome as above.
 */
struct certs {
	struct pgp_cert **cert;
	size_t n;
};
enum ks_status lookup_certs(struct keystore *, const struct request *,
    struct reply *, const struct ks_found *, struct certs *out, enum outcome *);
void certs_free(struct certs *);

/* The certificates in the store of the given fingerprints, in their order;
 * what is gone by now is left out. */
enum ks_status certs_read(
    struct keystore *, const struct pgp_fpr *, size_t n, struct certs *out);

/* Newest creation first. */
void certs_by_age(struct certs *);

/* The commands that send certificates: puts them into the answer, and a text
 * that names each.  REFUSED: they are too large, the text says so. */
enum outcome keys_answer(
    const struct request *, struct reply *, const struct certs *);

/* How to import them, for the end of the text. */
void keys_import(struct reply *);

/* ", failed", the sentence, what was asked, and where there is help. */
void lookup_refuse(struct reply *, const struct request *, const char *why);

/* "No matching keys in database", and when it was last changed. */
enum ks_status lookup_none(
    struct keystore *, const struct request *, struct reply *);

/* "Too many keys match": how many, how many one answer holds.  `bound`, in
 * front of the number, is "", "up to ", "about " or "at least ". */
void lookup_too_many(struct reply *, const struct request *, const char *bound,
    uint64_t total, unsigned max);

/* Stores what came with the mail: the run function of what takes it. */
enum outcome add_run(struct keystore *, const struct request *, struct reply *);

/* Warns, behind an answer, when an 8-digit key ID was asked for. */
enum ks_status lookup_warn(
    struct keystore *, const struct request *, struct reply *);

/* A failure of the store as the outcome it makes. */
enum outcome outcome_of(enum ks_status);

#endif
