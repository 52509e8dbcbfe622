/*
 * mailkeyctl: the operator's tool, and what an MTA's pipe transport calls.
 * Asks the running daemon over its control socket; with none running it
 * starts one that serves just this command.
 */
#include "mailkeyd/config.h"
#include "mailkeyd/control.h"
#include "mailkeyd/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define DELIVER_MAX	(64u << 20) /* octets taken; the rest is thrown away */
#define DELIVER_SECONDS 300	    /* then: try later */
#define ATTEND_FD	3
#define DATA_MAX	(256u << 20)

extern char **environ;

enum { OPT_SENDER = 256, OPT_RECIPIENT, OPT_SYNC, OPT_VERSION };

struct ctl {
	const char *file;
	struct config *config;
	const char *sender, *recipient;
	bool verbose, quiet, sync;
	int sock;
	pid_t attendant; /* 0: a daemon runs */
	/* of an import */
	const char *name;
	uint64_t size;
	bool bar;
};

struct verb {
	const char *name, *arguments, *summary;
	int (*run)(struct ctl *, int argc, char **argv);
};

static int do_deliver(struct ctl *, int, char **);
static int do_import(struct ctl *, int, char **);
static int do_dump(struct ctl *, int, char **);
static int do_get(struct ctl *, int, char **);
static int do_index(struct ctl *, int, char **);
static int do_stats(struct ctl *, int, char **);
static int do_queue(struct ctl *, int, char **);
static int do_sync(struct ctl *, int, char **);

static const struct verb verbs[] = {
    {"deliver", "--sender=ADDRESS --recipient=ADDRESS",
	"hand the mail on standard input to the daemon", do_deliver},
    {"import", "[--sync] FILE...", "store the certificates of files",
	do_import},
    {"dump", "[FILE]", "write all certificates, binary", do_dump},
    {"get", "WHAT", "write certificates, armored", do_get},
    {"index", "[-v] WHAT", "list certificates", do_index},
    {"stats", "", "show counters", do_stats},
    {"queue", "", "list the mails that wait to be sent", do_queue},
    {"sync", "", "send what waits for the peers, show how far they are",
	do_sync},
    {NULL, NULL, NULL, NULL}};

static void
print_usage(FILE *f)
{
	fputs("usage: mailkeyctl [-c FILE] COMMAND [ARGUMENT...]\n\n", f);
	for (const struct verb *v = verbs; v->name != NULL; v++)
		fprintf(
		    f, "  %-8s %-37s %s\n", v->name, v->arguments, v->summary);
	fputs("\n"
	      "  -c, --config=FILE  configuration, " CONFIG_DEFAULT "\n"
	      "  -q, --quiet        no progress\n"
	      "      --version\n"
	      "  -h, --help\n"
	      "\nmailkeyctl(8) says more.\n",
	    f);
}

/* ---- reaching whoever holds the store ------------------------------------ */

static int
connect_daemon(const char *path)
{
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
	if (connect(sock, (struct sockaddr *)&sun, sizeof(sun)) == 0)
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

static int
config_load(struct ctl *ctl)
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

/* 0, or an exit status. */
static int
reach(struct ctl *ctl)
{
	int flags;

	if (config_load(ctl) == -1)
		return EX_CONFIG;
	ctl->sock = connect_daemon(ctl->config->control);
	if (ctl->sock != -1)
		return 0;
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
static int
leave(struct ctl *ctl, int status)
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
	char bar[32];

	if (!ctl->bar)
		return;
	if (ctl->size > 0)
		full = (unsigned)(msg->a >= ctl->size
				      ? width
				      : msg->a * width / ctl->size);
	memset(bar, ' ', width);
	memset(bar, '#', full);
	bar[width] = '\0';
	fprintf(stderr, "\r%.40s [%s] %" PRIu64 " certificates ", ctl->name,
	    bar, msg->b);
	fflush(stderr);
}

static int
write_data(int fd, FILE *out)
{
	char *data;
	size_t len;
	int rv;

	if (ipc_slurp(fd, DATA_MAX, &data, &len) == -1)
		return -1;
	rv = fwrite(data, 1, len, out) == len ? 0 : -1;
	free(data);
	return rv;
}

/* As ipc_recv(); what the daemon said before it closed with our message unread
 * stands behind an error. */
static int
next_answer(const struct ctl *ctl, struct ipc_msg *msg)
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
	int status = EX_PROTOCOL;
	bool failed = false;

	while (next_answer(ctl, &msg) == 1) {
		if (msg.type == CONTROL_DATA) {
			if (ctl->bar)
				fputs("\n", stderr);
			ctl->bar = false;
			failed |= write_data(msg.fd[0], out) == -1;
		} else if (msg.type == CONTROL_NOTE)
			fprintf(
			    stderr, "%s%s\n", ctl->bar ? "\n" : "", msg.text);
		else if (msg.type == CONTROL_PROGRESS)
			progress(ctl, &msg);
		ipc_msg_close(&msg);
		if (msg.type == CONTROL_END) {
			status = (int)msg.status;
			break;
		}
		if (failed)
			break;
	}
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
static int
ask(struct ctl *ctl, const struct ipc_msg *msg, FILE *out)
{
	if (ipc_send(ctl->sock, msg) == -1 && errno != EPIPE &&
	    errno != ECONNRESET && ctl->attendant == 0) {
		fprintf(stderr, "mailkeyctl: %s\n", strerror(errno));
		return EX_UNAVAILABLE;
	}
	return answers(ctl, out);
}

/* One command without descriptors. */
static int
simple(struct ctl *ctl, enum control_type type, const char *text, uint64_t a)
{
	struct ipc_msg msg;
	int status = reach(ctl);

	if (status != 0)
		return leave(ctl, status);
	ipc_msg_init(&msg, type, 0);
	msg.a = a;
	if (strlen(text) >= sizeof(msg.text)) {
		fprintf(stderr, "mailkeyctl: that is too long to look up\n");
		return leave(ctl, EX_USAGE);
	}
	memcpy(msg.text, text, strlen(text) + 1);
	return leave(ctl, ask(ctl, &msg, stdout));
}

/* ---- deliver ------------------------------------------------------------- */

/* An address as it is sent, in `room`: of what cannot be one, the beginning. */
static const char *
address_cut(const char *address, char room[CONTROL_ADDRESS + 1])
{
	if (address == NULL || strlen(address) <= CONTROL_ADDRESS)
		return address;
	memcpy(room, address, CONTROL_ADDRESS);
	room[CONTROL_ADDRESS] = '\0';
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
	while (next_answer(ctl, &msg) == 1) {
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
	ctl->sock = connect_daemon(ctl->config->control);
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
	if (config_load(ctl) == -1)
		return EX_TEMPFAIL;
	ipc_msg_init(&msg, CONTROL_DELIVER, 0);
	status = deliver_send(ctl, &msg);
	ipc_msg_close(&msg);
	return leave(ctl, status);
}

/* ---- the other commands -------------------------------------------------- */

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
	status = reach(ctl);
	if (status == 0) {
		ctl->name = name;
		ctl->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
		ctl->bar = !ctl->quiet && isatty(STDERR_FILENO);
		status = ask(ctl, &msg, stdout);
	}
	ipc_msg_close(&msg);
	status = leave(ctl, status);
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
	status = reach(ctl);
	if (status == 0) {
		ipc_msg_init(&msg, CONTROL_DUMP, 0);
		status = ask(ctl, &msg, f);
	}
	if (status == 0 && fsync(fileno(f)) == -1)
		status = EX_IOERR;
	if (fclose(f) != 0 && status == 0)
		status = EX_IOERR;
	if (status == 0 && rename(tmp, name) == -1)
		status = EX_CANTCREAT;
	if (status != 0)
		unlink(tmp);
	return leave(ctl, status);
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
	return simple(ctl, CONTROL_DUMP, "", 0);
}

/* The words of the command line as they would stand in a Subject. */
static int
lookup_words(
    struct ctl *ctl, enum control_type type, int argc, char **argv, uint64_t a)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
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
	status = fclose(f) == 0 ? simple(ctl, type, text, a) : EX_OSERR;
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

static int
no_arguments(int argc)
{
	if (argc > 0)
		fprintf(stderr, "mailkeyctl: no argument is known here\n");
	return argc > 0;
}

static int
do_stats(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return no_arguments(argc) ? EX_USAGE
				  : simple(ctl, CONTROL_STATS, "", 0);
}

static int
do_queue(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 1 && strcmp(argv[0], "list") == 0)
		argc = 0;
	return no_arguments(argc) ? EX_USAGE
				  : simple(ctl, CONTROL_QUEUE, "", 0);
}

static int
do_sync(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	return no_arguments(argc) ? EX_USAGE : simple(ctl, CONTROL_SYNC, "", 0);
}

/* Options that leave no work for a command.  A pipe transport must hear 0
 * after a commit or 75, nothing else: every other status would bounce the
 * mail, and what stands on standard output with it. */
static int
no_command(int option, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "deliver") == 0) {
			print_usage(stderr);
			return EX_TEMPFAIL;
		}
	if (option == OPT_VERSION)
		puts("mailkeyctl " VERSION);
	else
		print_usage(option == 'h' ? stdout : stderr);
	return option == '?' ? EX_USAGE : EX_OK;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"sender", required_argument, NULL, OPT_SENDER},
	    {"recipient", required_argument, NULL, OPT_RECIPIENT},
	    {"sync", no_argument, NULL, OPT_SYNC},
	    {"verbose", no_argument, NULL, 'v'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct ctl ctl = {.file = CONFIG_DEFAULT, .sock = -1};
	int c;

	ipc_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "c:vqh", longs, NULL)) != -1) {
		if (c == 'c')
			ctl.file = optarg;
		else if (c == 'v')
			ctl.verbose = true;
		else if (c == 'q')
			ctl.quiet = true;
		else if (c == OPT_SENDER)
			ctl.sender = optarg;
		else if (c == OPT_RECIPIENT)
			ctl.recipient = optarg;
		else if (c == OPT_SYNC)
			ctl.sync = true;
		else
			return no_command(c, argc, argv);
	}
	for (const struct verb *v = verbs; optind < argc && v->name; v++)
		if (strcmp(argv[optind], v->name) == 0)
			return v->run(
			    &ctl, argc - optind - 1, argv + optind + 1);
	if (optind < argc)
		fprintf(
		    stderr, "mailkeyctl: unknown command %s\n\n", argv[optind]);
	print_usage(stderr);
	return EX_USAGE;
}
