/*
 * A mail as we see it: what the jailed reader found (struct mail), and how an
 * answer is written.
 */
#ifndef MAIL_H
#define MAIL_H

#include "pgp/pgp.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct ipc_in;
struct ipc_out;

/* ---- limits on raw octets, before any library looks (mail_scan.c) -------- */

struct mail_limits {
	size_t message_size;	/* 5 MiB */
	size_t header_size;	/* 64 KiB */
	size_t field_size;	/* 16 KiB */
	unsigned fields;	/* 500 */
	unsigned content_types; /* lines that begin Content-Type: 200 */
	unsigned messages;	/* message/ types: 20 */
	unsigned depth;		/* of MIME: 20 */
	unsigned parts;		/* 100 */
	unsigned keys;		/* certificates taken: 50 */
};
extern const struct mail_limits mail_limits_default;

enum mail_verdict {
	MAIL_SOUND,
	MAIL_OVER, /* over a limit, the header block is sound: answer that */
	MAIL_BENT  /* the header cannot be trusted: log, never answer */
};

/*
 * Looks at a raw message: LF or CR LF, a leading mbox "From " line allowed.
 * *why is a static sentence naming the limit.  *body is the offset of the
 * first octet after the empty line (len when there is none), *start that of
 * the header (behind a "From " line).
 */
enum mail_verdict mail_scan(const char *raw, size_t len,
    const struct mail_limits *, size_t *start, size_t *body, const char **why);

/* What it says of a message over message_size. */
extern const char mail_over_size[];

/* ---- what the reader found (mail_parse.c, inside the jail) --------------- */

struct mail_cert {
	struct pgp_fpr fpr;	  /* for telling of it; not to be trusted */
	struct pgp_blob packets;  /* canonical; len 0: nothing could be kept */
	struct pgp_left_out left; /* dropped while reading; its parts are
				     owned here, NULL: there are none */
};

#define MAIL_PROBLEMS 20 /* sentences in one mail or record */

/* Why something that should have been a certificate is none, by class. */
enum mail_refusal {
	MAIL_REFUSED_V3,      /* a key of version 2 or 3 */
	MAIL_REFUSED_VERSION, /* one of a version that is not known */
	MAIL_REFUSED_SIZE,    /* over the cap on octets */
	MAIL_REFUSED_CUT,
	MAIL_REFUSED_ARMOR,
	MAIL_REFUSED_OTHER, /* packets that are no certificate; no packets */
	MAIL_REFUSALS
};
/* "keys of version 3", and so on; lives for ever. */
const char *mail_refusal_text(enum mail_refusal);

struct mail {
	enum mail_verdict verdict;
	char *why; /* for MAIL_OVER and MAIL_BENT */
	/* header; strings are NULL when missing, without control characters */
	char *subject;	    /* decoded to UTF-8, unfolded; "" = empty */
	char *from;	    /* the one valid address in From, else NULL */
	unsigned nfrom;	    /* From fields */
	unsigned nsubject;  /* Subject fields */
	char *reply_to;	    /* the one valid address in the one Reply-To */
	char *message_id;   /* "<...>" when short printable ASCII, else NULL */
	char *references;   /* valid message-ids, blank between, the last 10 */
	char *return_path;  /* above the topmost Received; "" for <> */
	char *delivered_to; /* Delivered-To, X-Original-To, Envelope-to */
	char *auto_submitted; /* the keyword, lower case: "no" is a person's */
	char *precedence;     /* lower case */
	bool list;	      /* any List-* field */
	char *x_loop;	      /* all X-Loop values, separated by LF */
	char
	    *keyserver_sent; /* X-KeyServer-Sent: the servers that a sync
				mail has been at; printable ASCII, LF between */
	unsigned nreceived;
	/* for the digest that tells a repeat: as they stood, folds undone */
	char *raw_message_id, *raw_received, *raw_resent_id, *raw_subject;
	/* body */
	struct mail_cert *certs;
	size_t ncerts;
	struct pgp_blob *revocations; /* bare signatures of type 0x20 */
	size_t nrevocations;
	char **problems; /* sentences for the answer: "The armored block
			    in line 12 has no END line." */
	size_t nproblems;
	/* of each problem its class; MAIL_REFUSALS: none of these */
	uint8_t problem_class[MAIL_PROBLEMS];
	uint32_t refused[MAIL_REFUSALS]; /* how many, told or not */
	uint64_t resume;  /* of a file: offset where another import could go on;
			     0: only at the beginning */
	unsigned nsecret; /* secret keys found, none kept */
	unsigned nover;	  /* certificates past limits->keys */
};
void mail_free(struct mail *);
void mail_cert_free(struct mail_cert *);

/*
 * Reads a raw message with mail_scan() first.  Always fills *out (verdict says
 * how far it came).  0, or -1 when memory ran out.
 */
int mail_parse(const char *raw, size_t len, const struct mail_limits *,
    const struct pgp_policy *, time_t now, struct mail *out);

/*
 * Call before the jail is locked: character sets.  Without `all` those are left
 * out that hold up each fork(2); mail_parse_again() says that such a one was
 * met, so that what was read must be read again after preparing all.
 */
void mail_parse_prepare(bool all);
bool mail_parse_again(void);

/* The record between reader and core; get checks every length and text and
 * returns 0, or -1 for a record that cannot be (mail_free() it then too). */
void mail_put(struct ipc_out *, const struct mail *);
int mail_get(struct ipc_in *, struct mail *);

/* ---- addresses (mail_address.c) ------------------------------------------ */

/*
 * Whether an address may be answered when it comes from Reply-To or From: a
 * dot-atom without % ! | / and leading -, a domain of letters, digits, hyphens
 * and dots or a literal, at most 254 octets (RFC 5321, 4.5.3.1).
 */
bool mail_address_strict(const char *);

/* Whether an envelope sender may be answered: as strict, but the local part
 * may hold what a dot-atom may (RFC 5321, 4.1.2), +extension and all, no
 * source route, no bang path. */
bool mail_address_envelope(const char *);

/* Whether it is a robot's: mailer-daemon, no-reply, owner-*, *-owner,
 * *-request, *-bounces; postmaster is a person. */
bool mail_address_robot(const char *);

/* ---- answers out (mail_compose.c) ---------------------------------------- */

struct mail_answer {
	const char *from;	 /* our address */
	const char *from_name;	 /* of the site, UTF-8; "" = none */
	const char *to;		 /* one checked address */
	const char *subject;	 /* UTF-8, one line */
	const char *in_reply_to; /* a checked message-id or NULL */
	const char *references;	 /* checked, without in_reply_to; or NULL */
	const char *text;	 /* UTF-8, LF */
	size_t text_len;
	const char *keys; /* binary certificates; len 0 = none */
	size_t keys_len;
	time_t date;
};

/*
 * Renders with CR LF, a header in ASCII only, lines under 998 (text under 77):
 * text/plain, or multipart/mixed with one application/pgp-keys part, 7bit.
 * Message-ID and boundary come from getrandom(2), the former is also copied to
 * message_id (at least 128 octets).  Every string that goes into a header is
 * checked for control characters.  0; -1: no memory, or a string that must
 * not stand in a header (errno EINVAL).
 */
int mail_compose(const struct mail_answer *, struct pgp_blob *out,
    char *message_id, size_t size);

/* A moment as a Date field has it (RFC 5322, 3.3), malloc'ed; NULL: no
 * memory. */
char *mail_date(time_t);

/* "Your command, <one clean line>" with suffix, at most about 200 characters
 * of the Subject that came; malloc'ed. */
char *mail_answer_subject(const char *subject, const char *suffix);

#endif
