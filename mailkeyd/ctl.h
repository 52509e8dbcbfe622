/*
 * mailkeyctl: what its commands share (ctl.c), and the commands (ctl_*.c).
 *
 * A command asks the running daemon over its control socket; with none running
 * it starts one that serves just this command.
 */
#ifndef CTL_H
#define CTL_H

#include "mailkeyd/config.h"
#include "mailkeyd/control.h"
#include "mailkeyd/ipc.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct ctl {
	const char *file;
	struct config *config;
	const char *sender, *recipient;
	bool verbose, quiet, sync, tsv;
	const char *skip; /* a peer of which a window is passed over */
	int sock;
	unsigned patience; /* seconds that a daemon may say nothing */
	pid_t attendant;   /* 0: a daemon runs */
	bool restart;	   /* an import begins at the beginning */
	const char *keys;  /* of a dump: how many in a file; NULL: not said */
	/* of an import: what is shown of it, and who gives the sources (0, or
	 * -1 with errno) */
	const char *name;
	uint64_t size, before;
	bool bar;
	int (*feed_next)(struct ctl *, const struct ipc_msg *);
	void *feed;
	/* of a dump: who takes the pieces (0, or -1 with errno); the message
	 * says how many certificates (a), and whether newer ones (b) */
	int (*take)(
	    struct ctl *, const char *data, size_t len, const struct ipc_msg *);
	void *taker;
};

/* run() gets what follows the command's name, and returns the exit status. */
struct verb {
	const char *name, *arguments, *summary;
	int (*run)(struct ctl *, int argc, char **argv);
};

extern const struct verb verb_deliver, verb_import, verb_dump, verb_get,
    verb_index, verb_stats, verb_queue, verb_sync, verb_check, verb_forget,
    verb_unforget, verb_pause, verb_resume, verb_backup, verb_reload,
    verb_quarantine, verb_verify;

/* Reads the configuration; -1: it has said why not. */
int ctl_config(struct ctl *);

/* The daemon's socket, or -1 with errno: EAGAIN, there and later, when nothing
 * comes or goes for so many seconds; 0: it is waited for without end. */
int ctl_connect(const char *path, unsigned seconds);

/* Connects to the daemon, or starts one for this command.  0, or the exit
 * status, with the reason said. */
int ctl_reach(struct ctl *);

/* Ends what ctl_reach() began; the exit status. */
int ctl_leave(struct ctl *, int status);

/* As ipc_recv(). */
int ctl_next(const struct ctl *, struct ipc_msg *);

/* Sends a command and writes what comes back; the exit status, EX_PROTOCOL
 * when the far end is gone before. */
int ctl_ask(struct ctl *, const struct ipc_msg *, FILE *out);

/* All of one command without descriptors; the exit status. */
int ctl_simple(struct ctl *, enum control_type, const char *text, uint64_t a);

/* All of one command: reaches, asks, leaves; the exit status.  What the message
 * holds stays the caller's. */
int ctl_command(struct ctl *, const struct ipc_msg *);

/* Decimal digits only.  0 or -1. */
int ctl_number(const char *, uint64_t *);

/* Whether there are arguments, which is an error and said. */
bool ctl_no_arguments(int argc);

#endif
