/*
 * What ADD does with the certificates of a mail, step by step: for add.c, and
 * for check.c, which does the same and undoes it.
 */
#ifndef ADD_H
#define ADD_H

#include "handlers/handler.h"

/* The warning in front of the answer when a secret key was in the mail. */
void add_secret(struct reply *, const struct request *);

/* Stores a certificate, or not, and says what became of it; counted in
 * reply->adds. */
enum ks_status add_one(struct keystore *, const struct request *,
    struct reply *, const struct submission *);

/* What there is to say behind the last one: signatures by others, what could
 * not be read, how many keys were too many. */
void add_rest(struct reply *, const struct request *);

/* Whether the store now holds anything of the mail. */
bool add_any(const struct reply *);

#endif
