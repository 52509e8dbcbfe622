/*
 * mailkeyctl forget and unforget.
 */
#include "mailkeyd/ctl.h"

#include <string.h>
#include <sysexits.h>

/* The fingerprint may stand in several words, as people group it. */
static int
with_fingerprint(struct ctl *ctl, enum control_type type, int argc, char **argv)
{
	char text[IPC_TEXT];
	size_t len = 0;

	if (argc == 0) {
		fprintf(stderr, "mailkeyctl: the fingerprint of which key?\n");
		return EX_USAGE;
	}
	for (int i = 0; i < argc; i++) {
		size_t n = strlen(argv[i]);

		if (n >= sizeof(text) - len) {
			fprintf(
			    stderr, "mailkeyctl: one fingerprint at a time\n");
			return EX_USAGE;
		}
		memcpy(text + len, argv[i], n);
		len += n;
	}
	text[len] = '\0';
	return ctl_simple(ctl, type, text, 0);
}

static int
do_forget(struct ctl *ctl, int argc, char **argv)
{
	return with_fingerprint(ctl, CONTROL_FORGET, argc, argv);
}

static int
do_unforget(struct ctl *ctl, int argc, char **argv)
{
	return with_fingerprint(ctl, CONTROL_UNFORGET, argc, argv);
}

const struct verb verb_forget = {"forget", "FINGERPRINT",
    "remove a certificate for good, but for its revocation", do_forget};
const struct verb verb_unforget = {
    "unforget", "FINGERPRINT", "let a certificate come again", do_unforget};
