/*
 * One connection of mailkeyctl and the command that it brought: what control.c
 * gives to the files that answer commands (control_*.c), and to nobody else.
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "mailkeyd/control.h"
#include "mailkeyd/ipc.h"

#include <stdio.h>
#include <sys/queue.h>

#define CONTROL_ENDING "the daemon is ending"

struct client;

/*
 * A command.  run() says its END at once, or later from the loop.  Then
 * client->work is what it is at, and gone() must release that, with its END
 * said or the connection closed before.  A command that asked for it with
 * client_stream() hears more() whenever everything it said has gone out.
 */
struct control_command {
	enum control_type type;
	void (*run)(struct client *, struct ipc_msg *);
	void (*more)(struct client *); /* NULL: it does not stream */
	/* What mailkeyctl says later; NULL: not listened to. */
	void (*said)(struct client *, struct ipc_msg *);
	void (*stop)(struct client *); /* the daemon is ending; may be NULL */
	void (*gone)(struct client *); /* NULL: it leaves nothing */
};

extern const struct control_command control_deliver, control_import,
    control_dump, control_get, control_index, control_stats, control_queue,
    control_sync, control_check, control_forget, control_unforget,
    control_pause, control_backup, control_reload, control_quarantine,
    control_verify;

struct client {
	struct control *control;
	const struct gateway_parts *parts; /* the control's */
	struct gateway *gateway;
	time_t started;		   /* the daemon */
	control_reload_fn *reload; /* NULL: nobody reads it again */
	void *reload_ctx;
	const struct control_command *command;
	void *work;	 /* the command's own */
	unsigned nqueue; /* messages that wait for a slow reader */
	/* control.c's */
	LIST_ENTRY(client) next;
	int sock;
	struct loop_io *io;
	/* Until its command has come; then, to show that we are alive. */
	struct loop_timer *idle;
	bool asked, streams;
	STAILQ_HEAD(, message) queue; /* not sent yet */
	char *text;		      /* client_print() */
	size_t text_len;
};

/* Takes the message's descriptors over.  Without memory for it the connection
 * is closed, from the loop. */
void client_say(struct client *, struct ipc_msg *);

/* For standard output. */
void client_data(struct client *, const char *, size_t len);

/* The last message: the exit status, a line for standard error or "". */
void client_end(struct client *, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* more() is wanted from now on, until the END. */
void client_stream(struct client *);

/*
 * The whole of an answer that is text: what is printed here goes to standard
 * output at client_printed(), which says the END, too: the status's own when
 * it is not KS_OK; when nothing was printed the line `nothing`.  NULL: no
 * memory, and the END has been said.
 */
FILE *client_print(struct client *);
void client_printed(
    struct client *, FILE *, enum ks_status, const char *nothing);

/* "2026-07-01 12:00:00 UTC", "never" for 0. */
void print_time(FILE *, time_t);

#endif
