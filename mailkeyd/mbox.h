/*
 * An mbox file cut into its messages, in memory that does not grow with it.
 */
#ifndef MBOX_H
#define MBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mbox;

/* A message, lent until the next call. */
struct mbox_message {
	const char *data; /* without its "From " line */
	size_t len;	  /* at most one octet more than `most` */
	uint64_t at, end; /* offsets: of its "From " line, and behind it */
};

/*
 * Reads fd (lent) from where it stands, which is `offset`.  Of a message of
 * more than `most` octets the rest is passed over.  NULL: no memory.
 */
struct mbox *mbox_new(int fd, uint64_t offset, size_t most);
void mbox_free(struct mbox *);

/*
 * The next message.  One begins with a line "From ... 12:34 ... 2001" that is
 * the first of the file or stands behind an empty line; what is before the
 * first such line is passed over.  A ">From " of a body stays as it is: no
 * line of a certificate looks like that.  1; 0 at the end; -1 with errno.
 */
int mbox_next(struct mbox *, struct mbox_message *);

/* Whether these octets are such a line, up to its end or the octets'. */
bool mbox_is_from(const char *, size_t);

#endif
