/*
 * The languages of HELP: each is one file with one constant.
 */
#ifndef HELP_H
#define HELP_H

#include "handlers/handler.h"

/*
 * What HELP says, in UTF-8 and NFC.  Commands and their arguments stay English.
 * Where a comment says "one line", the text is at most 70 columns wide; all
 * others are wrapped at blanks, so a script without them, or with characters
 * two columns wide, brings its own line feeds.
 */
struct help_language {
	const char *code;      /* as HELP lists it: ISO 639, lower case */
	const char *names[12]; /* what else it is called, lower case */

	const char *what; /* what this is */

	const char *ask;     /* heading: how to ask */
	const char *send_to; /* one line, in front of the address */
	const char *how;     /* and what to write */

	const char *commands; /* heading of the table */

	const char *who; /* heading: what may be written for WHO */
	/* one line each, under an example */
	const char *address, *fpr, *long_id, *short_id, *words, *literal;
	const char *who_note;

	const char *add; /* heading: to put a key here */
	const char *add_how;
	const char *add_note;

	const char *limits; /* heading */
	/* with # where the number goes */
	const char *reply_keys, *last_days, *last_keys, *add_keys;
	const char *no_list;

	const char *no_owner;  /* this server does not know who owns a key */
	const char *questions; /* one line, above the address */
	const char *languages; /* in front of the codes */

	/* in front of the help, or instead of it, when it was not asked for */
	const char *no_command; /* an empty Subject */
	const char *unknown;	/* a Subject that is no command */
	const char *pointer;	/* how to get this text */

	/* of the table; a command that is not here has its English summary */
	struct {
		const char *command, *text;
	} summary[12];
};

/* In the order of their codes, ended by a NULL. */
extern const struct help_language *const help_languages[];

/* A language by what people call it: its code, in any case and with a region
 * or charset behind it ("de_AT.UTF-8"), an old country code, its English or
 * own name.  NULL: none. */
const struct help_language *help_find(const char *);

const char *help_summary(const struct help_language *, const struct command *);

#endif
