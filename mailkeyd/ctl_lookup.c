/*
 * mailkeyctl get and index.
 */
#include "mailkeyd/ctl.h"

#include <stdlib.h>
#include <sysexits.h>

/* The words of the command line as they would stand in a Subject. */
static int
lookup_words(
    struct ctl *ctl, enum control_type type, int argc, char **argv, uint64_t a)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);
	int status;

	if (argc == 0 || f == NULL) {
		fprintf(stderr,
		    "mailkeyctl: what is to be looked up? A fingerprint, a key "
		    "ID, an address or words\n");
		if (f != NULL)
			fclose(f);
		free(text);
		return EX_USAGE;
	}
	for (int i = 0; i < argc; i++)
		fprintf(f, "%s%s", i == 0 ? "" : " ", argv[i]);
	status = fclose(f) == 0 ? ctl_simple(ctl, type, text, a) : EX_OSERR;
	free(text);
	return status;
}

static int
do_get(struct ctl *ctl, int argc, char **argv)
{
	return lookup_words(ctl, CONTROL_GET, argc, argv, 0);
}

static int
do_index(struct ctl *ctl, int argc, char **argv)
{
	return lookup_words(ctl, CONTROL_INDEX, argc, argv, ctl->verbose);
}

const struct verb verb_get = {
    "get", "WHAT", "write certificates, armored", do_get};
const struct verb verb_index = {
    "index", "[-v] WHAT", "list certificates", do_index};
