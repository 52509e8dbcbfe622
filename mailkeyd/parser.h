/*
 * What the core and mailkeyd-parser say to each other.  The parser forks the
 * jailed children; the core never looks inside a message.
 *
 *   core -> parser   PARSER_CONFIG  fd[0]: struct parser_config
 *   core -> parser   PARSER_MAIL    id, fd[0]: the sealed mail, fd[1]: an empty
 *                                   memfd for the request record; a: 1 when it
 *                                   may be a peer's
 *   core -> parser   PARSER_IMPORT  id, fd[0]: a file of certificates open for
 *                                   reading, fd[1]: a memfd for the record
 *   core -> parser   PARSER_MORE    id, fd[1]: the next memfd (an import)
 *   core -> parser   PARSER_DROP    id: end this import
 *   parser -> core   PARSER_DONE    id, status below; a: 1 when an import has
 *                                   more, b: octets of the import read so far;
 *                                   text: why
 *
 * At most config.children ids are under way at once; each id gets one DONE
 * for each MAIL, IMPORT and MORE.
 */
#ifndef PARSER_H
#define PARSER_H

#include "mailkeyd/mail.h"

enum parser_type {
	PARSER_CONFIG = 1,
	PARSER_MAIL,
	PARSER_IMPORT,
	PARSER_MORE,
	PARSER_DROP,
	PARSER_DONE
};

enum parser_status {
	PARSER_OK,	/* the record lies in the memfd */
	PARSER_DIED,	/* the child died of this mail, or passed its time */
	PARSER_NO_CHILD /* no child could be made: try later */
};

struct parser_config {
	uint32_t size; /* of this struct: both ends are of one build */
	uint32_t children, jail_mails;
	uint32_t deadline;     /* seconds of wall clock for a mail: 30 */
	uint32_t cpu;	       /* seconds of processor time for a mail: 10 */
	uint64_t memory;       /* RLIMIT_AS: 256 MiB */
	uint32_t import_batch; /* certificates in one record: 200 */
	struct mail_limits limits, peer_limits;
	struct pgp_policy policy;
};

/* A record is at most this long: a mail's certificates and some text. */
#define PARSER_RECORD_MAX (64u << 20)

#endif
