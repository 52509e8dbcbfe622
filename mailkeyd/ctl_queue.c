/*
 * mailkeyctl queue: the mails that wait to be sent.
 */
#include "mailkeyd/ctl.h"

#include <string.h>
#include <sysexits.h>

static const struct {
	const char *name;
	enum control_queue what;
	bool one, all; /* takes a number; goes without */
} actions[] = {{"list", QUEUE_LIST, false, true},
    {"show", QUEUE_SHOW, true, false}, {"try", QUEUE_TRY, true, true},
    {"drop", QUEUE_DROP, true, false}};

static int
do_queue(struct ctl *ctl, int argc, char **argv)
{
	const char *name = argc == 0 ? "list" : argv[0];
	struct ipc_msg msg;

	ipc_msg_init(&msg, CONTROL_QUEUE, 0);
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
		if (strcmp(name, actions[i].name) != 0)
			continue;
		msg.a = actions[i].what;
		if ((argc < 2 && actions[i].all) ||
		    (argc == 2 && actions[i].one &&
			ctl_number(argv[1], &msg.b) == 0 && msg.b > 0))
			return ctl_command(ctl, &msg);
	}
	fprintf(stderr,
	    "mailkeyctl: write queue, queue show NUMBER, queue try [NUMBER] or "
	    "queue drop NUMBER\n");
	return EX_USAGE;
}

const struct verb verb_queue = {"queue", "[show N | try [N] | drop N]",
    "list the mails that wait to be sent", do_queue};
