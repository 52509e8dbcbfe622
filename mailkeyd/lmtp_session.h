/*
 * The talk of one LMTP client with us (RFC 2033), without a socket: octets go
 * in, answers and events come out.
 */
#ifndef LMTP_SESSION_H
#define LMTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#define LMTP_LINE_MAX                                                          \
	1024			/* of a command: 512 (RFC 5321, 4.5.3.1.4)     \
				   and room for parameters */
#define LMTP_RECIPIENTS_MAX 100 /* RFC 5321, 4.5.3.1.8 */
#define LMTP_ERRORS_MAX	    50	/* bad commands before we hang up */

struct lmtp_session;

enum lmtp_event {
	LMTP_NOTHING, /* go on feeding */
	LMTP_BEGIN,   /* a mail begins */
	LMTP_DATA,    /* octets of it, dots unstuffed */
	LMTP_MAIL,    /* it is complete: lmtp_session_answer() must come before
			 anything more is taken */
	LMTP_DROP,    /* it was over the size limit, and has been answered */
	LMTP_CLOSE    /* send what there is to send, and hang up */
};

/* The first answer is the greeting.  `host` is lent. NULL: no memory. */
struct lmtp_session *lmtp_session_new(const char *host, size_t message_size);
void lmtp_session_free(struct lmtp_session *);

/*
 * Takes some of the octets, one event's worth, and says how many.  It takes
 * none and brings LMTP_NOTHING only when len is 0 or an answer is awaited.
 * *data and *size, of LMTP_DATA, are lent until the next call.
 */
size_t lmtp_session_feed(struct lmtp_session *, const char *octets, size_t len,
    enum lmtp_event *, const char **data, size_t *size);

/* What has become of a mail, told to each of its recipients in turn: `status`
 * is "250 2.0.0" or the like, `why` one line. */
void lmtp_session_answer(
    struct lmtp_session *, const char *status, const char *why);

/* Says 421 `why` and closes: feeding brings LMTP_CLOSE from now on. */
void lmtp_session_end(struct lmtp_session *, const char *why);

/* The envelope of the mail under way; "" is the null sender. */
const char *lmtp_session_sender(const struct lmtp_session *);
const char *lmtp_session_recipient(const struct lmtp_session *);

/* The sender of a mail over the size limit that the last call of
 * lmtp_session_feed() refused, lent until the next call; NULL: none. */
const char *lmtp_session_refused(const struct lmtp_session *);

bool lmtp_session_waiting(const struct lmtp_session *); /* for an answer */
bool lmtp_session_closed(const struct lmtp_session *);

/* Answers to be sent, and how much of them was.  Broken: memory ran out and
 * an answer is lost, hang up. */
const char *lmtp_session_output(const struct lmtp_session *, size_t *len);
void lmtp_session_sent(struct lmtp_session *, size_t len);
bool lmtp_session_broken(const struct lmtp_session *);

#endif
