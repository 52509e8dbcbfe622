/*
 * From what a handler wrote to the mails that carry it: one, or several when
 * the certificates are too large for one.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "handlers/handler.h"
#include "mailkeyd/config.h"

struct answer {
	struct pgp_blob *mails; /* rendered, CR LF line ends */
	size_t n;
	size_t octets; /* of all of them */
};

/*
 * Renders a finished reply as the answer to `mail`, for `to`.  0; -1: no
 * memory, or a string that must not stand in a header (errno EINVAL); then
 * *answer is empty.
 */
int answer_render(const struct config *, const struct mail *, const char *to,
    const struct reply *, time_t now, struct answer *);

/* Frees what it holds, not the struct, and empties it. */
void answer_free(struct answer *);

#endif
