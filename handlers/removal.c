/*
 * What a subject that asks for a removal is answered with: nobody can be known
 * by a mail, but a key can be revoked.
 */
#include "handlers/handler.h"

#include <string.h>

static void
say_why(struct reply *reply)
{
	reply_wrap(reply, 0,
	    "Keys are not removed by mail: this server cannot know who wrote "
	    "your mail, and other servers and people have copies of the key.  "
	    "Its owner can revoke it: then everybody who fetches the key sees "
	    "that it must not be used any more.");
	reply_printf(reply, "\n");
}

static void
say_key(struct reply *reply)
{
	reply_printf(reply,
	    "To revoke a key\n\n"
	    "  1. Make a revocation certificate:\n"
	    "      gpg --output revoke.asc --gen-revoke KEYID\n"
	    "  2. Let your own programs know:\n"
	    "      gpg --import revoke.asc\n"
	    "  3. Send the file revoke.asc here, in the body of a mail or\n"
	    "     attached, with the Subject ADD.\n\n");
	reply_wrap(reply, 2,
	    "Without the secret key: gpg has made a revocation certificate "
	    "together with the key.  It is the file in the folder "
	    "openpgp-revocs.d of gpg's home directory that is named after the "
	    "fingerprint.  Take away the colon before its BEGIN line, and send "
	    "it the same way.");
	reply_printf(reply, "\n");
}

static void
say_userid(struct reply *reply)
{
	reply_printf(reply,
	    "To withdraw one name or address, and keep the key\n\n"
	    "      gpg --quick-revoke-uid KEYID \"Alice <alice@example.org>\"\n"
	    "      gpg --armor --export KEYID\n\n");
	reply_wrap(reply, 2,
	    "and send what the second command writes, with the Subject ADD.");
	reply_printf(reply, "\n");
}

/* RFC 5321, 4.5.1: every domain that takes mail has a postmaster. */
static void
say_person(struct reply *reply, const struct request *request)
{
	const char *at;

	reply_wrap(reply, 0,
	    "For what a revocation cannot help with, such as a key in your "
	    "name that is not yours, write to the people who run this server:");
	at = strrchr(request->address, '@');
	if (*request->admin != '\0')
		reply_printf(reply, "  %s\n\n", request->admin);
	else
		reply_printf(reply, "  postmaster%s\n\n", at != NULL ? at : "");
	reply_wrap(reply, 0,
	    "If you meant a mailing list: there is none here.  This server "
	    "only answers mails.");
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	(void)ks;
	reply->suffix = ", failed";
	reply_site(reply, request);
	say_why(reply);
	say_key(reply);
	say_userid(reply);
	say_person(reply, request);
	return REFUSED;
}

#define REMOVAL(word)                                                          \
	{                                                                      \
		.name = (word), .argument = "",                                \
		.summary = "tells how to revoke a key",                        \
		.flags = COMMAND_HIDDEN, .run = run                            \
	}

const struct command command_delete = REMOVAL("DELETE");
const struct command command_remove = REMOVAL("REMOVE");
const struct command command_unsubscribe = REMOVAL("UNSUBSCRIBE");
const struct command command_disable = REMOVAL("DISABLE");
