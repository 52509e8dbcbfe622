/*
 * What the core and a mailkeyd-fetcher say to each other.  There is one for
 * each mailbox, so a server that hangs holds up no other.
 *
 *   core -> fetcher  FETCH_CONFIG  fd[0]: memfd, record of: u32 type (enum
 *                                  receive_type), str host, u32 port, u32 tls
 *                                  (enum receive_tls), str user, str path of
 *                                  the file with the password, str folder, str
 *                                  path of the trusted CAs (NULL: the
 *                                  system's), u32 poll and u32 timeout in
 *                                  seconds, u64 octets of the largest mail
 *   fetcher -> core  FETCH_STATE   status: 1 = the mailbox is open, 0 = not,
 *                                  text: why, one clean line
 *   fetcher -> core  FETCH_MAIL    id, fd[0]: memfd with the mail, a: its
 *                                  octets, as the server has them, b: 1 = too
 *                                  many, its beginning is there; at most
 *                                  FETCH_BATCH that were not answered
 *   core -> fetcher  FETCH_FATE    id, status below, a: octets of the largest
 *                                  mail from now on
 *   fetcher -> core  FETCH_NOTE    text: for the log
 */
#ifndef FETCH_H
#define FETCH_H

#define FETCH_BATCH 16

enum fetch_msg_type {
	FETCH_CONFIG = 1,
	FETCH_STATE,
	FETCH_MAIL,
	FETCH_FATE,
	FETCH_NOTE
};

enum fetch_fate {
	FETCH_DONE,  /* committed: it is to be deleted */
	FETCH_LATER, /* it stays, and comes again */
	FETCH_BUSY,  /* no mail is taken now: all stay */
	FETCH_WHOLE, /* it is not too large any more */
	FETCH_ASKED  /* not said yet */
};

#endif
