/*
 * mailkeyctl import and dump: certificates from files and to one.
 */
#include "mailkeyd/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static int
import_one(struct ctl *ctl, const char *name)
{
	struct ipc_msg msg;
	struct stat st;
	int status;

	ipc_msg_init(&msg, CONTROL_IMPORT, 0);
	msg.a = ctl->sync;
	msg.fd[0] = strcmp(name, "-") == 0 ? dup(STDIN_FILENO)
					   : open(name, O_RDONLY | O_CLOEXEC);
	if (msg.fd[0] == -1 || fstat(msg.fd[0], &st) == -1) {
		fprintf(stderr, "mailkeyctl: %s: %s\n", name, strerror(errno));
		ipc_msg_close(&msg);
		return EX_NOINPUT;
	}
	if (S_ISDIR(st.st_mode)) {
		fprintf(stderr, "mailkeyctl: %s: is a directory\n", name);
		ipc_msg_close(&msg);
		return EX_NOINPUT;
	}
	ctl->attendant = 0;
	status = ctl_reach(ctl);
	if (status == 0) {
		ctl->name = name;
		ctl->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
		ctl->bar = !ctl->quiet && isatty(STDERR_FILENO);
		status = ctl_ask(ctl, &msg, stdout);
	}
	ipc_msg_close(&msg);
	status = ctl_leave(ctl, status);
	ctl->sock = -1;
	ctl->config = NULL;
	return status;
}

static int
do_import(struct ctl *ctl, int argc, char **argv)
{
	int worst = EX_OK;

	if (argc == 0) {
		fprintf(stderr, "mailkeyctl: import which file? (- is standard "
				"input)\n");
		return EX_USAGE;
	}
	for (int i = 0; i < argc; i++) {
		int status;

		if (argc > 1)
			printf("%s:\n", argv[i]);
		status = import_one(ctl, argv[i]);
		if (status != EX_OK)
			worst = status;
	}
	return worst;
}

/* Written under another name first: a dump is whole or not there. */
static int
dump_file(struct ctl *ctl, const char *name)
{
	char tmp[PATH_MAX];
	struct ipc_msg msg;
	FILE *f;
	int status;

	if (snprintf(tmp, sizeof(tmp), "%s.new", name) >= (int)sizeof(tmp))
		return EX_USAGE;
	f = fopen(tmp, "we");
	if (f == NULL) {
		fprintf(stderr, "mailkeyctl: %s: %s\n", tmp, strerror(errno));
		return EX_CANTCREAT;
	}
	status = ctl_reach(ctl);
	if (status == 0) {
		ipc_msg_init(&msg, CONTROL_DUMP, 0);
		status = ctl_ask(ctl, &msg, f);
	}
	if (status == 0 && fsync(fileno(f)) == -1)
		status = EX_IOERR;
	if (fclose(f) != 0 && status == 0)
		status = EX_IOERR;
	if (status == 0 && rename(tmp, name) == -1)
		status = EX_CANTCREAT;
	if (status != 0)
		unlink(tmp);
	return ctl_leave(ctl, status);
}

static int
do_dump(struct ctl *ctl, int argc, char **argv)
{
	if (argc > 1) {
		fprintf(stderr, "mailkeyctl: dump takes one file\n");
		return EX_USAGE;
	}
	if (argc == 1 && strcmp(argv[0], "-") != 0)
		return dump_file(ctl, argv[0]);
	if (isatty(STDOUT_FILENO)) {
		fprintf(stderr, "mailkeyctl: a dump is binary; name a file or "
				"redirect standard output\n");
		return EX_USAGE;
	}
	return ctl_simple(ctl, CONTROL_DUMP, "", 0);
}

const struct verb verb_import = {
    "import", "[--sync] FILE...", "store the certificates of files", do_import};
const struct verb verb_dump = {
    "dump", "[FILE]", "write all certificates, binary", do_dump};
