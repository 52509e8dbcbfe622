/*
 * HELP, and what an unknown command is answered with.
 */
#include "handlers/help.h"

#include <string.h>

#define LINE_COLUMNS   76
#define SUMMARY_COLUMN 22

extern const struct help_language help_cs, help_da, help_de, help_en, help_es;
extern const struct help_language help_fi, help_fr, help_hr, help_it, help_ja;
extern const struct help_language help_ko, help_no, help_pl, help_pt, help_sv;
extern const struct help_language help_zh_cn, help_zh_tw;

const struct help_language *const help_languages[] = {
    &help_cs,
    &help_da,
    &help_de,
    &help_en,
    &help_es,
    &help_fi,
    &help_fr,
    &help_hr,
    &help_it,
    &help_ja,
    &help_ko,
    &help_no,
    &help_pl,
    &help_pt,
    &help_sv,
    &help_zh_cn,
    &help_zh_tw,
    NULL,
};

/* ---- which language ------------------------------------------------------ */

/*
 * A name as the tables have it: small letters (of ASCII and Latin-1, which
 * lie 20 apart in UTF-8 too), "-" for "_", nothing from a dot or "@" on, and
 * without the brackets that "HELP [LANGUAGE]" invites to.  False: too long.
 */
static bool
fold_name(const char *s, char *out, size_t size)
{
	unsigned char c, before;
	size_t n;

	n = 0;
	before = 0;
	for (; *s != '\0' && *s != '.' && *s != '@'; s++) {
		if (strchr("[](){}<>\"'", *s) != NULL)
			continue;
		c = *s == '_' ? '-' : (unsigned char)*s;
		if ((c >= 'A' && c <= 'Z') ||
		    (before == 0xC3 && c <= 0x9E && c != 0x97))
			c += 0x20;
		if (n + 1 >= size)
			return false;
		out[n++] = (char)c;
		before = c;
	}
	out[n] = '\0';
	return true;
}

static bool
has_name(const struct help_language *t, const char *name)
{
	size_t i;

	if (strcmp(t->code, name) == 0)
		return true;
	for (i = 0; i < sizeof t->names / sizeof t->names[0]; i++)
		if (t->names[i] != NULL && strcmp(t->names[i], name) == 0)
			return true;
	return false;
}

/* RFC 4647, 3.4: what is not known as a whole is tried without its end. */
const struct help_language *
help_find(const char *language)
{
	char name[64], *end;
	size_t i;

	if (!fold_name(language, name, sizeof name))
		return NULL;
	for (;;) {
		for (i = 0; help_languages[i] != NULL; i++)
			if (has_name(help_languages[i], name))
				return help_languages[i];
		if ((end = strrchr(name, '-')) == NULL)
			return NULL;
		*end = '\0';
	}
}

bool
help_has_language(const char *language)
{
	return help_find(language) != NULL;
}

static const struct help_language *
default_language(const struct request *request)
{
	const struct help_language *t;

	t = request->language != NULL ? help_find(request->language) : NULL;
	return t != NULL ? t : &help_en;
}

const char *
help_summary(const struct help_language *t, const struct command *command)
{
	size_t i;

	for (i = 0; i < sizeof t->summary / sizeof t->summary[0]; i++)
		if (t->summary[i].command != NULL &&
		    strcmp(t->summary[i].command, command->name) == 0)
			return t->summary[i].text;
	return command->summary;
}

/* ---- what it says -------------------------------------------------------- */

static size_t
characters(const char *s, size_t len)
{
	size_t i, n;

	n = 0;
	for (i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xC0) != 0x80;
	return n;
}

/* Wraps a summary under its first line, which begins at `column`. */
static void
say_summary(struct reply *reply, size_t column, const char *s)
{
	size_t len, n, gap;

	gap = column < SUMMARY_COLUMN ? SUMMARY_COLUMN - column : 1;
	for (;; s += len + 1) {
		len = strcspn(s, " \n");
		n = characters(s, len);
		if (column + gap + n > LINE_COLUMNS) {
			reply_printf(reply, "\n");
			column = 0;
			gap = SUMMARY_COLUMN;
		}
		reply_printf(reply, "%*s%.*s", (int)gap, "", (int)len, s);
		column += gap + n;
		gap = 1;
		if (s[len] == '\0')
			break;
		if (s[len] == '\n')
			column = LINE_COLUMNS;
	}
	reply_printf(reply, "\n");
}

static void
say_commands(struct reply *reply, const struct help_language *t)
{
	const struct command *c;
	size_t i;
	int n;

	reply_printf(reply, "%s\n\n", t->commands);
	for (i = 0; (c = commands[i]) != NULL; i++) {
		if ((c->flags & COMMAND_HIDDEN) != 0)
			continue;
		n = fprintf(reply->text, "  %s%s%s", c->name,
		    *c->argument == '\0' ? "" : " ", c->argument);
		say_summary(reply, n > 0 ? (size_t)n : 0, help_summary(t, c));
	}
	reply_printf(reply, "\n");
}

static void
say_how(struct reply *reply, const struct request *request,
    const struct help_language *t)
{
	reply_site(reply, request);
	reply_wrap(reply, 0, t->what);
	reply_printf(reply, "\n%s\n\n", t->ask);
	reply_printf(reply, "  %s %s\n", t->send_to, request->address);
	reply_wrap(reply, 2, t->how);
	reply_printf(reply, "\n");
}

static void
say_who(struct reply *reply, const struct help_language *t)
{
	const char *const examples[][2] = {
	    {"GET alice@example.org", t->address},
	    {"GET 0x0123456789ABCDEF0123456789ABCDEF01234567", t->fpr},
	    {"GET 0x0123456789ABCDEF", t->long_id},
	    {"GET 0x89ABCDEF", t->short_id},
	    {"GET alice example", t->words},
	    {"GET \"Alice Example\"", t->literal},
	};
	size_t i;

	reply_printf(reply, "%s\n\n", t->who);
	for (i = 0; i < sizeof examples / sizeof examples[0]; i++)
		reply_printf(
		    reply, "  %s\n      %s\n", examples[i][0], examples[i][1]);
	reply_printf(reply, "\n");
	reply_wrap(reply, 2, t->who_note);
	reply_printf(reply, "\n");
}

static void
say_add(struct reply *reply, const struct help_language *t)
{
	reply_printf(reply, "%s\n\n", t->add);
	reply_wrap(reply, 2, t->add_how);
	reply_printf(
	    reply, "\n      gpg --armor --export alice@example.org\n\n");
	reply_wrap(reply, 2, t->add_note);
	reply_printf(reply, "\n");
}

/* A number of 0 is no limit, and not named. */
static void
say_limit(struct reply *reply, const char *text, unsigned n)
{
	char line[320];
	size_t len;

	if (n == 0)
		return;
	len = strcspn(text, "#");
	snprintf(line, sizeof line, "%.*s%u%s", (int)len, text, n,
	    text[len] == '#' ? text + len + 1 : "");
	reply_wrap(reply, 2, line);
}

static void
say_limits(struct reply *reply, const struct request *request,
    const struct help_language *t)
{
	const struct handler_limits *limits = &request->limits;

	reply_printf(reply, "%s\n\n", t->limits);
	say_limit(reply, t->reply_keys, limits->max_reply_keys);
	say_limit(reply, t->last_days, limits->max_last);
	if (limits->max_last > 0)
		say_limit(reply, t->last_keys, limits->max_last_reply_keys);
	say_limit(reply, t->add_keys, limits->keys_per_mail);
	reply_wrap(reply, 2, t->no_list);
	reply_printf(reply, "\n");
}

static void
say_trust(struct reply *reply, const struct request *request,
    const struct help_language *t)
{
	reply_wrap(reply, 0, t->no_owner);
	reply_printf(reply, "\n");
	if (*request->admin == '\0')
		return;
	reply_printf(reply, "%s\n  %s\n\n", t->questions, request->admin);
}

static void
say_languages(struct reply *reply, const struct help_language *t)
{
	size_t i;

	reply_wrap(reply, 0, t->languages);
	reply_printf(reply, " ");
	for (i = 0; help_languages[i] != NULL; i++)
		reply_printf(reply, " %s", help_languages[i]->code);
	reply_printf(reply, "\n");
}

static void
say_all(struct reply *reply, const struct request *request,
    const struct help_language *t)
{
	say_how(reply, request, t);
	say_commands(reply, t);
	say_who(reply, t);
	say_add(reply, t);
	say_limits(reply, request, t);
	say_trust(reply, request, t);
	say_languages(reply, t);
}

/* ---- the commands -------------------------------------------------------- */

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	const struct help_language *t;

	(void)ks;
	t = help_find(request->argument);
	say_all(reply, request, t != NULL ? t : default_language(request));
	return DONE;
}

static enum outcome
run_invalid(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	const struct help_language *t = default_language(request);

	(void)ks;
	reply->suffix = ", was invalid";
	reply->help = true;
	reply_wrap(
	    reply, 0, *request->word == '\0' ? t->no_command : t->unknown);
	if (request->helps_today > 0) {
		reply_wrap(reply, 0, t->pointer);
		return REFUSED;
	}
	reply_printf(reply, "\n");
	say_all(reply, request, t);
	return REFUSED;
}

const struct command command_help = {
    .name = "HELP",
    .argument = "[LANGUAGE]",
    .summary = "sends this text; the languages are at its end",
    .run = run,
};

const struct command command_invalid = {
    .name = "",
    .argument = "",
    .summary = "",
    .flags = COMMAND_HIDDEN,
    .run = run_invalid,
};
