/*
 * The block list in a file: a fingerprint a line.
 */
#ifndef BLOCKLIST_H
#define BLOCKLIST_H

#include "mailkeyd/config.h"

struct blocklist {
	struct pgp_fpr *fpr;
	size_t n;
};

/*
 * Reads the file of `block_list` anew; ks_block() takes what is in it.  Each
 * line has a fingerprint of 32, 40 or 64 hexadecimal digits, with or without 0x
 * and blanks between them, or nothing; from # on it is a comment.  Without the
 * option the list is empty.  0, or -1 with *error a malloc'ed line that names
 * the option's place, file, line and remedy (NULL: no memory), and an empty
 * list.
 */
int blocklist_read(const struct config *, struct blocklist *, char **error);
void blocklist_free(struct blocklist *);

/* One fingerprint, as above.  Whether it is one. */
bool fingerprint_read(const char *, struct pgp_fpr *);

#endif
