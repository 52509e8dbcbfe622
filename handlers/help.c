/*
 * HELP, and what an unknown command is answered with.
 */
#include "handlers/handler.h"

static void
say_commands(struct reply *reply)
{
	const struct command *c;
	size_t i;
	int n;

	reply_printf(reply, "Commands\n\n");
	for (i = 0; (c = commands[i]) != NULL; i++) {
		if ((c->flags & COMMAND_HIDDEN) != 0)
			continue;
		n = fprintf(reply->text, "  %s %s", c->name, c->argument);
		if (n < 0)
			n = 0;
		reply_printf(
		    reply, "%*s%s\n", n < 22 ? 22 - n : 1, "", c->summary);
	}
	reply_printf(reply, "\n");
}

static void
say_how(struct reply *reply, const struct request *request)
{
	reply_site(reply, request);
	reply_wrap(reply, 0,
	    "This is an OpenPGP key server that works by mail.  It keeps "
	    "public keys and sends them to whoever asks.");
	reply_printf(reply, "\nHow to ask\n\n");
	reply_printf(reply, "  Send a mail to %s\n", request->address);
	reply_wrap(reply, 2,
	    "with one command as its Subject.  Capital letters do not matter.  "
	    "Only ADD looks at the rest of the mail; for all other commands it "
	    "may be empty.");
	reply_printf(reply, "\n");
}

static void
say_who(struct reply *reply)
{
	static const char *const examples[][2] = {
	    {"GET alice@example.org", "exactly this mail address"},
	    {"GET 0x0123456789ABCDEF0123456789ABCDEF01234567", "a fingerprint"},
	    {"GET 0x0123456789ABCDEF", "a key ID of 16 digits"},
	    {"GET 0x89ABCDEF", "a key ID of 8 digits, which is not safe"},
	    {"GET alice example", "whole words, all of them, in any order"},
	    {"GET \"Alice Example\"", "these words, just as they stand"},
	};
	size_t i;

	reply_printf(reply, "WHO may be\n\n");
	for (i = 0; i < sizeof examples / sizeof examples[0]; i++)
		reply_printf(
		    reply, "  %s\n      %s\n", examples[i][0], examples[i][1]);
	reply_printf(reply, "\n");
	reply_wrap(reply, 2,
	    "Fingerprints and key IDs are also found without 0x, and with "
	    "blanks in them.  Subkeys count too.");
	reply_printf(reply, "\n");
}

static void
say_add(struct reply *reply)
{
	reply_printf(reply, "To put your key here\n\n");
	reply_wrap(reply, 2,
	    "Send a mail with the Subject ADD and your public key in its body "
	    "or attached.  This command writes it:");
	reply_printf(
	    reply, "\n      gpg --armor --export alice@example.org\n\n");
	reply_wrap(reply, 2,
	    "Never send a secret key.  To announce new user IDs, a new date of "
	    "expiry or a revocation, send the key again.  What is not signed "
	    "by the key itself is not kept.  The answer says what was taken.");
	reply_printf(reply, "\n");
}

static void
say_limits(struct reply *reply, const struct request *request)
{
	const struct handler_limits *limits = &request->limits;

	reply_printf(reply, "Limits\n\n");
	if (limits->max_reply_keys > 0)
		reply_printf(reply,
		    "  Keys in one answer: at most %u.  Where more match, you "
		    "are told how many.\n",
		    limits->max_reply_keys);
	if (limits->keys_per_mail > 0)
		reply_printf(reply,
		    "  Keys taken from one ADD: the first %u.\n",
		    limits->keys_per_mail);
	reply_printf(reply, "  Nobody can have the list of all keys.\n\n");
}

static void
say_trust(struct reply *reply, const struct request *request)
{
	reply_wrap(reply, 0,
	    "This server does not know who owns a key.  Anybody can make a key "
	    "with any name: compare its fingerprint with the owner.");
	if (*request->admin == '\0')
		return;
	reply_printf(reply, "\nQuestions are read by a person at\n  ");
	reply_printf(reply, "%s\n", request->admin);
}

static void
say_all(struct reply *reply, const struct request *request)
{
	say_how(reply, request);
	say_commands(reply);
	say_who(reply);
	say_add(reply);
	say_limits(reply, request);
	say_trust(reply, request);
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	(void)ks;
	say_all(reply, request);
	return DONE;
}

static enum outcome
run_invalid(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	static const char none[] = "Your mail has no command in its Subject.";
	static const char unknown[] = "The Subject of your mail does not begin "
				      "with a command of this key server.";

	(void)ks;
	reply->suffix = ", was invalid";
	reply->help = true;
	reply_wrap(reply, 0, *request->word == '\0' ? none : unknown);
	if (request->helps_today > 0) {
		reply_printf(reply,
		    "For how to ask, send a mail with the Subject HELP.\n");
		return REFUSED;
	}
	reply_printf(reply, "\n");
	say_all(reply, request);
	return REFUSED;
}

const struct command command_help = {
    .name = "HELP",
    .argument = "",
    .summary = "sends this text",
    .run = run,
};

const struct command command_invalid = {
    .name = "",
    .argument = "",
    .summary = "",
    .flags = COMMAND_HIDDEN,
    .run = run_invalid,
};
