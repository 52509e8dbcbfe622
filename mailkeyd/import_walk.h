/*
 * What an import reads: the files behind the arguments, in the order of their
 * names, and what each of them is.
 */
#ifndef IMPORT_WALK_H
#define IMPORT_WALK_H

#include <stddef.h>
#include <stdint.h>

enum source_kind {
	SOURCE_CERTIFICATES, /* binary or armored, text around it or not */
	SOURCE_KEYBOX,	     /* GnuPG's pubring.kbx */
	SOURCE_MBOX,
	SOURCE_MAIL, /* one mail: a file of a Maildir, or an .eml */
	SOURCE_OTHER /* nothing of the kind: passed over */
};

#define SOURCE_CHAIN 32

struct source {
	char *path;
	enum source_kind kind;
	uint64_t size; /* 0: not known (a pipe) */
	/* Digest of this and all sources before it, by name, size and time of
	 * last change: known again when nothing of them has changed. */
	unsigned char chain[SOURCE_CHAIN];
};

struct walk_list {
	struct source *source;
	size_t n;
	uint64_t size;	/* of all that is read */
	size_t nothers; /* SOURCE_OTHER */
};

/* What a file is, by its first octets. */
enum source_kind source_kind(const char *head, size_t len);

/*
 * Adds what lies behind an argument: a file as it is ("-": standard input), of
 * a directory all files, those of its directories too, in the order of their
 * names.  In a directory with cur and new the files in these two are mails,
 * and those in tmp are left alone.  0, or -1 with errno and *where (malloc'ed,
 * or NULL) the path that could not be read.
 */
int walk_add(struct walk_list *, const char *argument, char **where);
void walk_free(struct walk_list *);

#endif
