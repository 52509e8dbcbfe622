/*
 * What the core and mailkeyd-parser say to each other: jailer.h in the words of
 * mails and files.  The core never looks inside a message.
 *
 *   PARSER_MAIL    fd[0]: the sealed mail, fd[1]: an empty memfd for the
 *                  request record; a: 1 when it may be a peer's
 *   PARSER_IMPORT  fd[0]: a file of certificates, read from where it stands
 *   PARSER_DONE    b: offset in the file
 */
#ifndef PARSER_H
#define PARSER_H

#include "mailkeyd/jailer.h"
#include "mailkeyd/mail.h"

enum parser_type {
	PARSER_CONFIG = JAILER_CONFIG,
	PARSER_MAIL = JAILER_JOB,
	PARSER_IMPORT = JAILER_SERIES,
	PARSER_MORE = JAILER_MORE,
	PARSER_DROP = JAILER_DROP,
	PARSER_DONE = JAILER_DONE
};

enum parser_status {
	PARSER_OK = JAILER_OK,
	PARSER_DIED = JAILER_DIED,
	PARSER_NO_CHILD = JAILER_NO_CHILD
};

struct parser_config {
	struct jailer_config jailer;
	uint32_t import_batch; /* certificates in one record: 200 */
	struct mail_limits limits, peer_limits;
	struct pgp_policy policy;
};

/* A record is at most this long: a mail's certificates and some text. */
#define PARSER_RECORD_MAX (64u << 20)

#endif
