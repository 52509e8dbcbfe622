/*
 * mailkeyctl deliver: what an MTA's pipe transport calls.
 */
#include "mailkeyd/ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DELIVER_MAX	(64u << 20) /* octets taken; the rest is thrown away */
#define DELIVER_SECONDS 300	    /* then: try later */

/* An address as it is sent, in `room`, without the <> that some MTAs leave
 * around it: of what cannot be one, the beginning. */
static const char *
address_cut(const char *address, char room[CONTROL_ADDRESS + 1])
{
	size_t len;

	if (address == NULL)
		return NULL;
	len = strlen(address);
	if (len >= 2 && address[0] == '<' && address[len - 1] == '>') {
		address++;
		len -= 2;
	}
	if (len > CONTROL_ADDRESS)
		len = CONTROL_ADDRESS;
	memcpy(room, address, len);
	room[len] = '\0';
	return room;
}

static int
envelope_fd(const struct ctl *ctl)
{
	const char *sender = ctl->sender, *recipient = ctl->recipient;
	char room[CONTROL_ADDRESS + 1];
	struct ipc_out out = {0};
	int fd = -1;

	if (sender == NULL)
		sender = getenv("SENDER");
	if (recipient == NULL)
		recipient = getenv("RECIPIENT");
	ipc_put_str(&out, address_cut(sender, room));
	ipc_put_str(&out, address_cut(recipient, room));
	if (!out.failed)
		fd = ipc_memfd("envelope", out.data, out.len, true);
	ipc_out_free(&out);
	return fd;
}

static void
deliver_signal(int signal_number)
{
	static const char slow[] = "mailkeyctl: it took too long; try again\n",
			  told[] = "mailkeyctl: ended by a signal\n";
	ssize_t n;

	if (signal_number == SIGALRM)
		n = write(STDERR_FILENO, slow, sizeof(slow) - 1);
	else
		n = write(STDERR_FILENO, told, sizeof(told) - 1);
	(void)n;
	_exit(EX_TEMPFAIL);
}

/* To some MTAs death by a signal is a bounce.  Nor does anything here take for
 * ever, be it a daemon that is stopped: the MTA comes again. */
static void
deliver_signals(void)
{
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGHUP, deliver_signal);
	signal(SIGINT, deliver_signal);
	signal(SIGTERM, deliver_signal);
	signal(SIGALRM, deliver_signal);
	alarm(DELIVER_SECONDS);
}

/* Why the mail has to come again. */
static int
deliver_later(const char *what, const char *why)
{
	fprintf(stderr, "mailkeyctl: %s: %s\n", what, why);
	return EX_TEMPFAIL;
}

/* Waits for the commit. */
static int
deliver_wait(const struct ctl *ctl)
{
	struct ipc_msg msg;

	alarm(DELIVER_SECONDS);
	while (ctl_next(ctl, &msg) == 1) {
		ipc_msg_close(&msg);
		if (msg.type != CONTROL_END)
			continue;
		return msg.status == 0 ? EX_OK
				       : deliver_later("not taken", msg.text);
	}
	return deliver_later("not taken", "the daemon ended half-way");
}

/* The mail is read before a connection is taken: who sends slowly keeps
 * nobody else out. */
static int
deliver_send(struct ctl *ctl, struct ipc_msg *msg)
{
	msg->fd[0] = ipc_drain(STDIN_FILENO, DELIVER_MAX);
	if (msg->fd[0] == -1)
		return deliver_later("standard input", strerror(errno));
	msg->fd[1] = envelope_fd(ctl);
	if (msg->fd[1] == -1)
		return deliver_later("memfd", strerror(errno));
	ctl->sock = ctl_connect(ctl->config->control, 0);
	if (ctl->sock == -1)
		return deliver_later(ctl->config->control, strerror(errno));
	if (ipc_send(ctl->sock, msg) == -1 && errno != EPIPE &&
	    errno != ECONNRESET)
		return deliver_later(ctl->config->control, strerror(errno));
	return deliver_wait(ctl);
}

/* 0 after the daemon's commit, else 75, and nothing on standard output: an
 * MTA quotes that to the sender. */
static int
do_deliver(struct ctl *ctl, int argc, char **argv)
{
	struct ipc_msg msg;
	int status;

	(void)argv;
	deliver_signals();
	if (argc != 0) {
		fprintf(stderr, "mailkeyctl: deliver takes options only\n");
		return EX_TEMPFAIL;
	}
	if (ctl_config(ctl) == -1)
		return EX_TEMPFAIL;
	ipc_msg_init(&msg, CONTROL_DELIVER, 0);
	status = deliver_send(ctl, &msg);
	ipc_msg_close(&msg);
	return ctl_leave(ctl, status);
}

const struct verb verb_deliver = {"deliver",
    "[--sender=ADDRESS] [--recipient=ADDRESS]",
    "hand the mail on standard input to the daemon", do_deliver};
