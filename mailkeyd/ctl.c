/*
 * What every command of mailkeyctl needs: reaching whoever holds the store,
 * and what comes back.
 */
#include "mailkeyd/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define ATTEND_FD 3
#define DATA_MAX  (256u << 20)

extern char **environ;

/* ---- reaching whoever holds the store ------------------------------------ */

int
ctl_connect(const char *path, unsigned seconds)
{
	const struct timeval wait = {.tv_sec = (time_t)seconds};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int sock, saved;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock == -1)
		return -1;
	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ==
		0 &&
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ==
		0 &&
	    connect(sock, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return sock;
	saved = errno;
	close(sock);
	errno = saved;
	return -1;
}

/* The daemon's program: beside this one, or where it was installed. */
static int
find_daemon(char *out, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL)
			*slash = '\0';
		if (snprintf(out, size, "%s/mailkeyd", self) < (int)size &&
		    access(out, X_OK) == 0)
			return 0;
	}
	snprintf(out, size, "%s/mailkeyd", SBINDIR);
	return access(out, X_OK);
}

static int
start_attendant(struct ctl *ctl)
{
	posix_spawn_file_actions_t files;
	char path[PATH_MAX];
	char *argv[] = {path, (char *)(uintptr_t) "--attend",
	    (char *)(uintptr_t) "-c", (char *)(uintptr_t)ctl->file, NULL};
	int pair[2], error;

	if (find_daemon(path, sizeof(path)) == -1 || ipc_pair(pair) == -1)
		return -1;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, pair[1], ATTEND_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, ATTEND_FD + 1);
	error = posix_spawn(&ctl->attendant, path, &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	close(pair[1]);
	if (error != 0) {
		ctl->attendant = 0;
		close(pair[0]);
		errno = error;
		return -1;
	}
	ctl->sock = pair[0];
	return 0;
}

int
ctl_config(struct ctl *ctl)
{
	char *error = NULL;

	ctl->config = config_read(ctl->file, &error);
	if (ctl->config != NULL)
		return 0;
	fprintf(stderr, "mailkeyctl: %s\n", error);
	free(error);
	return -1;
}

/* The store is opened by its owner only: gpg takes nobody else's home
 * directory, and what root makes there the daemon could not write. */
static int
check_owner(const struct config *config)
{
	const struct passwd *owner;
	struct stat st;
	int error = stat(config->state, &st) == -1 ? errno : 0;

	if (error != 0 && error != EACCES)
		return 0; /* mailkeyd makes it, or says why it cannot */
	if (error == 0 && st.st_uid == geteuid())
		return 0;
	if (error != 0)
		fprintf(stderr,
		    "mailkeyctl: %s: %s; run it as the user of the daemon\n",
		    config->state, strerror(error));
	else if ((owner = getpwuid(st.st_uid)) != NULL)
		fprintf(stderr,
		    "mailkeyctl: %s belongs to %s; run it as that user\n",
		    config->state, owner->pw_name);
	else
		fprintf(stderr,
		    "mailkeyctl: %s belongs to the user %lu; run it as that "
		    "user\n",
		    config->state, (unsigned long)st.st_uid);
	return EX_NOPERM;
}

/* A daemon that is stopped still has what it was told. */
static int
silent(const struct ctl *ctl)
{
	fprintf(stderr,
	    "mailkeyctl: the daemon has said nothing for %u seconds: it hangs, "
	    "or is stopped; what it was told it may do later\n",
	    ctl->patience);
	return EX_TEMPFAIL;
}

/* 0, or an exit status. */
int
ctl_reach(struct ctl *ctl)
{
	int flags;

	if (ctl_config(ctl) == -1)
		return EX_CONFIG;
	ctl->sock = ctl_connect(ctl->config->control, ctl->patience);
	if (ctl->sock != -1)
		return 0;
	if (errno == EAGAIN)
		return silent(ctl);
	if (errno == EACCES || errno == EPERM) {
		fprintf(stderr,
		    "mailkeyctl: %s: %s; run it as the user of the daemon\n",
		    ctl->config->control, strerror(errno));
		return EX_NOPERM;
	}
	if (check_owner(ctl->config) != 0)
		return EX_NOPERM;
	if (start_attendant(ctl) == -1) {
		fprintf(stderr,
		    "mailkeyctl: no daemon answers on %s, and mailkeyd cannot "
		    "be started: %s\n",
		    ctl->config->control, strerror(errno));
		return EX_UNAVAILABLE;
	}
	flags = fcntl(ctl->sock, F_GETFL);
	if (flags != -1)
		fcntl(ctl->sock, F_SETFL, flags & ~O_NONBLOCK);
	return 0;
}

/* Waits for the attendant; its word counts when it ended before answering. */
int
ctl_leave(struct ctl *ctl, int status)
{
	int death = 0;

	if (ctl->sock != -1)
		close(ctl->sock);
	config_free(ctl->config);
	if (ctl->attendant == 0)
		return status;
	while (waitpid(ctl->attendant, &death, 0) == -1 && errno == EINTR)
		;
	if (status != EX_PROTOCOL)
		return status;
	if (WIFEXITED(death) && WEXITSTATUS(death) != 0)
		return WEXITSTATUS(death); /* it has said why */
	fprintf(stderr, "mailkeyctl: mailkeyd ended half-way\n");
	return status;
}

/* ---- what comes back ----------------------------------------------------- */

static void
progress(const struct ctl *ctl, const struct ipc_msg *msg)
{
	unsigned width = 30, full = 0;
	uint64_t at;
	char bar[32];

	if (!ctl->bar)
		return;
	at = ctl->before + msg->a;
	if (ctl->size > 0)
		full = (unsigned)(at >= ctl->size ? width
						  : at * width / ctl->size);
	memset(bar, ' ', width);
	memset(bar, '#', full);
	bar[width] = '\0';
	fprintf(stderr, "\r%.40s [%s] %" PRIu64 " certificates ", ctl->name,
	    bar, msg->b);
	fflush(stderr);
}

static int
write_data(struct ctl *ctl, const struct ipc_msg *msg, FILE *out)
{
	char *data;
	size_t len;
	int rv;

	if (ipc_slurp(msg->fd[0], DATA_MAX, &data, &len) == -1)
		return -1;
	if (ctl->take != NULL)
		rv = ctl->take(ctl, data, len, msg);
	else
		rv = fwrite(data, 1, len, out) == len ? 0 : -1;
	free(data);
	return rv;
}

/* As ipc_recv(); what the daemon said before it closed with our message unread
 * stands behind an error. */
int
ctl_next(const struct ctl *ctl, struct ipc_msg *msg)
{
	int got = ipc_recv(ctl->sock, msg);

	if (got == -1 && errno == ECONNRESET)
		got = ipc_recv(ctl->sock, msg);
	return got;
}

/* Reads answers up to the END; its exit status, or EX_PROTOCOL when the far
 * end is gone before. */
static int
answers(struct ctl *ctl, FILE *out)
{
	struct ipc_msg msg;
	int got, status = EX_PROTOCOL;
	bool failed = false;

	while ((got = ctl_next(ctl, &msg)) == 1) {
		if (msg.type == CONTROL_DATA) {
			if (ctl->bar)
				fputs("\n", stderr);
			ctl->bar = false;
			failed |= write_data(ctl, &msg, out) == -1;
		} else if (msg.type == CONTROL_NOTE)
			fprintf(
			    stderr, "%s%s\n", ctl->bar ? "\n" : "", msg.text);
		else if (msg.type == CONTROL_PROGRESS)
			progress(ctl, &msg);
		else if (msg.type == CONTROL_NEXT && ctl->feed_next != NULL &&
			 ctl->feed_next(ctl, &msg) == -1 && errno != EPIPE &&
			 errno != ECONNRESET) {
			ipc_msg_close(&msg);
			if (errno == EAGAIN)
				return silent(ctl);
			fprintf(stderr, "mailkeyctl: %s: %s\n", ctl->name,
			    strerror(errno));
			return EX_OSERR;
		}
		ipc_msg_close(&msg);
		if (msg.type == CONTROL_END) {
			status = (int)msg.status;
			break;
		}
		if (failed)
			break;
	}
	if (got == -1 && errno == EAGAIN)
		return silent(ctl);
	if (status == EX_PROTOCOL && ctl->attendant == 0 && !failed)
		fprintf(stderr, "mailkeyctl: the daemon ended half-way\n");
	if (fflush(out) != 0 || failed) {
		fprintf(stderr, "mailkeyctl: output: %s\n", strerror(errno));
		return EX_IOERR;
	}
	if (status != EX_PROTOCOL && *msg.text != '\0')
		fprintf(stderr, "mailkeyctl: %s\n", msg.text);
	return status;
}

/* A daemon that has closed already may have said why. */
int
ctl_ask(struct ctl *ctl, const struct ipc_msg *msg, FILE *out)
{
	if (ipc_send(ctl->sock, msg) == -1 && errno != EPIPE &&
	    errno != ECONNRESET && ctl->attendant == 0) {
		if (errno == EAGAIN)
			return silent(ctl);
		fprintf(stderr, "mailkeyctl: %s\n", strerror(errno));
		return EX_UNAVAILABLE;
	}
	return answers(ctl, out);
}

int
ctl_command(struct ctl *ctl, const struct ipc_msg *msg)
{
	int status = ctl_reach(ctl);

	return ctl_leave(ctl, status != 0 ? status : ctl_ask(ctl, msg, stdout));
}

/* One command without descriptors. */
int
ctl_simple(
    struct ctl *ctl, enum control_type type, const char *text, uint64_t a)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, type, 0);
	msg.a = a;
	if (strlen(text) >= sizeof(msg.text)) {
		fprintf(stderr, "mailkeyctl: that is too long to look up\n");
		return EX_USAGE;
	}
	memcpy(msg.text, text, strlen(text) + 1);
	return ctl_command(ctl, &msg);
}

int
ctl_number(const char *text, uint64_t *number)
{
	char *end;

	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
		return -1;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? 0 : -1;
}

bool
ctl_no_arguments(int argc)
{
	if (argc > 0)
		fprintf(stderr, "mailkeyctl: no argument is known here\n");
	return argc > 0;
}
