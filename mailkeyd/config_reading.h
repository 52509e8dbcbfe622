/*
 * What the parts of reading a configuration share: config.c has the grammar,
 * config_value.c single values, config_check.c all of it together.
 */
#ifndef CONFIG_READING_H
#define CONFIG_READING_H

#include "mailkeyd/config.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define DAY 86400u

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum kind {
	TEXT,	 /* char *: one line of printable UTF-8 */
	WORD,	 /* char *: the same, without blanks */
	PATH,	 /* char *: absolute */
	SOCKET,	 /* char *: absolute, fits into struct sockaddr_un */
	ADDRESS, /* char *: of mail */
	LIST,	 /* char **: addresses; max LIST_DOMAINS: or domains */
	SIZE,	 /* size_t: 5M */
	OCTETS,	 /* uint64_t: 5M */
	NUMBER,	 /* unsigned */
	SECONDS, /* unsigned: 90s */
	PORT,	 /* uint16_t */
	MODE,	 /* unsigned: octal, as for chmod(1) */
	CHOICE	 /* int or enum: place in `words` */
};

struct option {
	const char *name;
	enum kind kind;
	size_t offset; /* in the struct that its section fills */
	uint64_t min, max;
	const char *const *words; /* ended by NULL */
};

/* Where a value was set; line 0: nowhere, it is the default. */
struct place {
	const char *file;
	unsigned line;
};

#define LIST_DOMAINS 1

#define OPTIONS_MAX 48

enum section { TOP, RECEIVE, SEND, CERTIFICATES, LIMITS, PEER, SECTIONS };
struct section_options {
	const struct option *options;
	size_t n;
};
extern const struct section_options config_sections[SECTIONS];

struct reading {
	struct config *config;
	char *error; /* the first one */
	size_t nfiles;
	const char *file;
	void *section;	  /* the section with a title that is read */
	size_t nsections; /* with a value, of this file */
	struct place set[SECTIONS][OPTIONS_MAX];
	struct place (*set_receive)[OPTIONS_MAX]; /* of each receive */
	struct place (*set_peer)[OPTIONS_MAX];	  /* of each peer */
};

/* Notes the first error: "FILE:LINE: what; what to do", without :LINE for 0.
 * Returns -1. */
int config_fail(struct reading *, const char *file, unsigned line, const char *,
    ...) __attribute__((format(printf, 4, 5)));
int config_no_memory(struct reading *);

/* Checks a value and writes it into the struct at `base`. 0 or -1. */
int config_set(struct reading *, const struct option *, unsigned line,
    const char *value, void *base);

/* Adds a copy to a list that NULL ends. 0 or -1. */
int config_append(char ***list, const char *);

/* One more section of its kind, with its defaults. 0 or -1. */
int config_add_receive(struct reading *, const char *title, unsigned line);
int config_add_peer(struct reading *, const char *title, unsigned line);

/* Fills in what was not set by then, the simple ones first. */
void config_defaults(struct config *);
int config_check(struct reading *);

#endif
