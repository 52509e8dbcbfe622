/*
 * What a jailed child does: reads mails and files of certificates, and writes
 * records.
 */
#ifndef JAILED_H
#define JAILED_H

#include "mailkeyd/parser.h"

/* How a child ends, when nothing kills it. */
enum jailed_exit {
	JAILED_DONE, /* served its mails, or its socket was closed */
	JAILED_NO_MEMORY,
	JAILED_NO_LOCK, /* the jail could not be locked: no mail was read */
	JAILED_FAILED	/* a descriptor could not be read or written */
};

/* Serves what comes over the socket; returns how to end. */
enum jailed_exit jailed_serve(int sock, const struct parser_config *);

#endif
