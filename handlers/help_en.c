/*
 * HELP in English, the original.
 */
#include "handlers/help.h"

const struct help_language help_en = {
    .code = "en",
    .names = {"eng", "english", "gb", "us"},
    .what = "This is an OpenPGP key server that works by mail.  It keeps "
	    "public keys and sends them to whoever asks.",
    .ask = "How to ask",
    .send_to = "Send a mail to",
    .how = "with one command as its Subject.  Capital letters do not "
	   "matter.  Only ADD and CHECK look at the rest of the mail; for "
	   "all other commands it may be empty.",
    .commands = "Commands",
    .who = "WHO may be",
    .address = "exactly this mail address",
    .fpr = "a fingerprint",
    .long_id = "a key ID of 16 digits",
    .short_id = "a key ID of 8 digits, which is not safe",
    .words = "whole words, all of them, in any order",
    .literal = "these words, just as they stand",
    .who_note = "Fingerprints and key IDs are also found without 0x, and "
		"with blanks in them.  Subkeys count too.",
    .add = "To put your key here",
    .add_how = "Send a mail with the Subject ADD and your public key in its "
	       "body or attached.  This command writes it:",
    .add_note = "Never send a secret key.  To announce new user IDs, a new "
		"date of expiry or a revocation, send the key again.  What "
		"is not signed by the key itself is not kept.  The answer "
		"says what was taken.",
    .limits = "Limits",
    .reply_keys = "Keys in one answer: at most #.  Where more match, you "
		  "are told how many.",
    .last_days = "Days that LAST looks back: at most #.",
    .last_keys = "Keys in one answer to LAST: at most #.",
    .add_keys = "Keys taken from one ADD: the first #.",
    .no_list = "Nobody can have the list of all keys.",
    .no_owner = "This server does not know who owns a key.  Anybody can "
		"make a key with any name: compare its fingerprint with the "
		"owner.",
    .questions = "Questions are read by a person at",
    .languages = "This text in another language: the Subject HELP and one of",
    .no_command = "Your mail has no command in its Subject.",
    .unknown = "The Subject of your mail does not begin with a command of "
	       "this key server.",
    .pointer = "For how to ask, send a mail with the Subject HELP.",
};
