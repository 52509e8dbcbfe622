/*
 * What the files of the jailed reader share: text, header, certificates.
 */
#ifndef MAIL_READ_H
#define MAIL_READ_H

#include "mailkeyd/mail.h"

#include <stdio.h>

/* What a record may hold at most; the core checks it again. */
#define MAIL_STRING_MAX	 16384 /* octets of a header string */
#define MAIL_WHY_MAX	 500
#define MAIL_PROBLEM_MAX 500 /* octets of one */
#define MAIL_CERTS_MAX	 10000
#define MAIL_MSGID_MAX	 250
#define MAIL_SENT_MAX	 4096 /* octets of keyserver_sent */
#define MAIL_SENT_LINE	 320  /* of one of its lines */
#define MAIL_REFERENCES	 10

/* ---- text (mail_words.c) ------------------------------------------------- */

/* Whether a string is UTF-8 without control, bidi or line characters. */
bool mail_text_sound(const char *);

/* A malloc'ed copy that mail_text_sound() accepts: what must not stand becomes
 * a blank, invalid octets U+FFFD; blanks are joined and trimmed; at most `max`
 * octets. */
char *mail_text_clean(const char *, size_t len, size_t max);

/* The same after undoing encoded words (RFC 2047). */
char *mail_words_decode(const char *, size_t len, size_t max);

/* ---- character sets (mail_charset.c) ------------------------------------- */

/* All names of each but ASCII and UTF-8, a blank between; NULL at the end
 * (mail_charset_names.c). */
extern const char *const mail_charset_names[];

/*
 * Makes ready those that are a table of 256 characters, and with `all` those
 * as well that need a file; until that is done octets of such a set are read
 * as Latin-1, and mail_charset_wanted() is true ever after.
 */
void mail_charset_prepare(bool all);
bool mail_charset_wanted(void);

/* Writes octets of a character set in UTF-8: Latin-1, if it is not known. */
void mail_charset_put(
    FILE *, const char *name, size_t namelen, const char *octets, size_t len);

/* ---- HTML (mail_html.c) -------------------------------------------------- */

/* The text of an HTML part, good enough to find armor in; malloc'ed. */
char *mail_html_text(const char *html, size_t len, size_t *textlen);

/* ---- header (mail_header.c) ---------------------------------------------- */

struct mail_field {
	const char *name;
	size_t namelen;
	const char *value; /* as it stands, folds and all */
	size_t len;
};

/* The next field of [*p, end); lines that are no field are passed over. */
bool mail_field_next(const char **p, const char *end, struct mail_field *);

/* Fills in the header's part.  0, or -1 when memory ran out. */
int mail_header(const char *header, size_t len, struct mail *);

/* The one valid address of a From or Reply-To, malloc'ed.  0, with *address
 * NULL when there is not exactly one; -1 when memory ran out. */
int mail_header_address(const char *value, char **address);

/* Whether a string is one message-id that may be repeated in an answer. */
bool mail_msgid_sound(const char *, size_t len);

/* ---- certificates (mail_certs.c) ----------------------------------------- */

struct mail_reading {
	struct mail *mail;
	const struct pgp_policy *policy;
	uint32_t now;
	size_t keys, limit; /* certificates and revocations taken, at most */
	bool file;	    /* an operator's: nobody is asked to send it anew */
};

/* Adds a sentence, cut at MAIL_PROBLEM_MAX; past MAIL_PROBLEMS nothing. 0/-1 */
int mail_problem(struct mail *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Takes what the reader has next; `where` names its place in a sentence.
 * 1: there may be more; 0: the end; -1: memory ran out.
 */
int mail_certs_next(
    struct mail_reading *, struct pgp_reader *, const char *where);

/* Takes all of some binary packets.  0 or -1. */
int mail_certs_packets(
    struct mail_reading *, const unsigned char *, size_t, const char *where);

/*
 * Takes all armored blocks of a text; `part` is "" or says in which part, with
 * a blank before it.  *blocks counts those found.  0 or -1.
 */
int mail_certs_text(struct mail_reading *, const char *, size_t,
    const char *part, unsigned *blocks);

#endif
