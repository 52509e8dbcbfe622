/*
 * What a jailed child does: reads mails and files of certificates, and writes
 * records.
 */
#ifndef JAILED_H
#define JAILED_H

#include "mailkeyd/parser.h"

/* Serves what comes over the socket; returns how to end. */
enum jailed_exit jailed_serve(int sock, const struct parser_config *);

#endif
