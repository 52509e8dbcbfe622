/*
 * mailkeyctl backup: a copy of the store.
 */
#include "mailkeyd/ctl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* The daemon is somewhere else: it needs the whole path. */
static int
do_backup(struct ctl *ctl, int argc, char **argv)
{
	char here[PATH_MAX], path[IPC_TEXT];
	size_t len = argc == 1 ? strlen(argv[0]) : 0;
	int n;

	while (len > 1 && argv[0][len - 1] == '/')
		argv[0][--len] = '\0';
	if (len == 0) {
		fprintf(stderr,
		    "mailkeyctl: backup to which directory? It is made\n");
		return EX_USAGE;
	}
	if (argv[0][0] != '/' && getcwd(here, sizeof(here)) == NULL) {
		fprintf(stderr, "mailkeyctl: %s\n", strerror(errno));
		return EX_OSERR;
	}
	if (argv[0][0] == '/')
		n = snprintf(path, sizeof(path), "%s", argv[0]);
	else
		n = snprintf(path, sizeof(path), "%s/%s", here, argv[0]);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		fprintf(stderr, "mailkeyctl: the path is too long\n");
		return EX_USAGE;
	}
	return ctl_simple(ctl, CONTROL_BACKUP, path, 0);
}

const struct verb verb_backup = {
    "backup", "DIRECTORY", "copy the store while it is in use", do_backup};
