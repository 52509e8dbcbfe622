/*
 * The half of mailkeyd-fetcher that reads no octet of a server: for the other
 * one, which is in a jail and can do nothing of it, it looks up the name,
 * connects, and reads the password and the trusted certificates.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/password.h"
#include "mailkeyd/tls.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* A socket, and who is trusted at its other end. */
static void
open_connection(const struct fetcher *f, int sock, struct ipc_msg *m)
{
	struct wire wire = {.fd = -1, .core = sock, .whole = INT64_MAX};
	char untrusted[TLS_WHY] = "";
	const char *why;

	if (wire_connect(&wire, f->host, f->port, f->timeout_ms, &why) == -1) {
		snprintf(m->text, sizeof(m->text), "connect: %s",
		    why != NULL ? why : wire_trouble(&wire));
		return;
	}
	m->fd[0] = wire.fd;
	if (f->tls != RECEIVE_TLS_NONE) {
		m->fd[1] = tls_trusted(f->ca_file, untrusted);
		snprintf(m->text, sizeof(m->text), "TLS: %s", untrusted);
	}
	m->status = f->tls == RECEIVE_TLS_NONE || m->fd[1] != -1;
}

static void
open_password(const struct fetcher *f, struct ipc_msg *m)
{
	char *why, *password = password_read(f->password_file, &why);

	m->status = password != NULL;
	if (password != NULL)
		snprintf(m->text, sizeof(m->text), "%s", password);
	else
		snprintf(m->text, sizeof(m->text), "%s: %s", f->password_file,
		    why != NULL ? why : "no memory");
	password_free(password);
	free(why);
}

/* Ends as the other half did, so that the core's log has it. */
static void __attribute__((noreturn)) end_as(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) == -1 && errno == EINTR)
		continue;
	if (!WIFSIGNALED(status))
		exit(WEXITSTATUS(status));
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	exit(EX_SOFTWARE);
}

void
fetch_opener(const struct fetcher *f, int sock, pid_t child)
{
	struct ipc_msg m;

	while (ipc_recv(sock, &m) == 1) {
		enum fetch_wish wish = (enum fetch_wish)m.type;

		ipc_msg_close(&m);
		ipc_msg_init(&m, wish, 0);
		if (wish == WISH_CONNECTION)
			open_connection(f, sock, &m);
		else if (wish == WISH_PASSWORD)
			open_password(f, &m);
		else
			break;
		ipc_send(sock, &m); /* if it has ended, that is seen above */
		ipc_msg_close(&m);
		explicit_bzero(m.text, sizeof(m.text));
	}
	kill(child, SIGKILL); /* one that has ended keeps its own status */
	end_as(child);
}
