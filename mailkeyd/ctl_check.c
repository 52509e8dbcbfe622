/*
 * mailkeyctl check: what the server would make of a file.
 */
#include "mailkeyd/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define FILE_MAX (64u << 20) /* octets; the daemon takes less */

static int
do_check(struct ctl *ctl, int argc, char **argv)
{
	struct ipc_msg msg;
	int fd;

	if (argc != 1) {
		fprintf(stderr, "mailkeyctl: check which file? (- is standard "
				"input)\n");
		return EX_USAGE;
	}
	fd = strcmp(argv[0], "-") == 0 ? dup(STDIN_FILENO)
				       : open(argv[0], O_RDONLY | O_CLOEXEC);
	ipc_msg_init(&msg, CONTROL_CHECK, 0);
	if (fd != -1)
		msg.fd[0] = ipc_drain(fd, FILE_MAX);
	if (msg.fd[0] == -1)
		fprintf(
		    stderr, "mailkeyctl: %s: %s\n", argv[0], strerror(errno));
	if (fd != -1)
		close(fd);
	return msg.fd[0] == -1 ? EX_NOINPUT : ctl_command(ctl, &msg);
}

const struct verb verb_check = {
    "check", "FILE", "tell what would be stored of a file", do_check};
