/*
 * What the core and a mailkeyd-sender say to each other.  A sender hands on
 * one message at a time; the core starts as many senders as there may be
 * connections, so that a hanging one holds up nobody else.
 *
 *   core -> sender  SEND_CONFIG   fd[0]: memfd, record of: u32 type (enum
 *                                 send_type), str host, u32 port, str helo,
 *                                 str path; then, or not, five u32 times in
 *                                 ms, where 0 is the default: to connect
 *                                 (30 s), for a command (30 s), for the final
 *                                 dot or a run of sendmail (10 min), for a
 *                                 message in all (15 min), for which an idle
 *                                 connection is kept (20 s)
 *   core -> sender  SEND_MESSAGE  id, text: the recipient, and behind a blank
 *                                 the envelope sender (neither holds a blank;
 *                                 without it: the null sender), fd[0]: the
 *                                 sealed message, CR LF line ends
 *   sender -> core  SEND_RESULT   id, status below, text: what the far side
 *                                 said, one clean line
 */
#ifndef SEND_H
#define SEND_H

enum send_msg_type { SEND_CONFIG = 1, SEND_MESSAGE, SEND_RESULT };

enum send_status {
	SEND_OK,     /* the far side has taken it */
	SEND_LATER,  /* 4xx, 530, no connection, exit 75, 1 ...: try again */
	SEND_REFUSED /* other 5xx, exit 65, 67: give up on this answer */
};

#endif
