/*
 * mailkeyd: options, start-up, the end.
 */
#include "handlers/handler.h"
#include "mailkeyd/blocklist.h"
#include "mailkeyd/control.h"
#include "mailkeyd/gateway.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/jail.h"
#include "mailkeyd/keeper.h"
#include "mailkeyd/log.h"
#include "mailkeyd/quarantine.h"
#include "mailkeyd/receive.h"
#include "mailkeyd/reload.h"
#include "mailkeyd/service.h"
#include "mailkeyd/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define ATTEND_FD    3
#define EXPIRE_MS    (600 * 1000L)
#define EXPIRE_SLICE 500   /* entries in one transaction */
#define DRAIN_MS     20000 /* for what is in hand when told to end */

enum mode { MODE_DAEMON, MODE_TEST, MODE_ONE, MODE_ATTEND };

struct options {
	const char *file;
	enum mode mode;
	const char *sender, *recipient;
	bool verbose;
};

/* The running server: what main() holds together. */
struct server {
	struct options options;
	struct config *config;
	struct service *service;
	struct loop *loop;
	struct keystore *ks;
	struct keeper *keeper;
	struct reader *reader;
	struct judge *judge;
	struct despatch *despatch;
	struct sync *sync;
	struct gateway *gateway;
	struct control *control;
	struct reload *reload;
	struct lmtp **lmtp;	     /* one for each receive, */
	struct maildir **maildir;    /* or one of these, */
	struct mailboxes *mailboxes; /* which has the rest */
	struct loop_io *signals;
	struct loop_timer *expire, *drain;
	int sigfd;
	int one; /* MODE_ONE: a memfd with the mail */
	bool ending;
	int exit_status;
};

static const char usage_text[] =
    "usage: mailkeyd [-tv1] [-c FILE] [--sender=ADDRESS] "
    "[--recipient=ADDRESS]\n"
    "\n"
    "  -c, --config=FILE     configuration, " CONFIG_DEFAULT "\n"
    "  -t, --test            check the configuration and end\n"
    "  -1, --one             answer one mail from standard input on standard "
    "output\n"
    "      --sender=ADDRESS  with -1: the envelope sender, empty for <>\n"
    "      --recipient=ADDRESS\n"
    "  -v, --verbose         log more\n"
    "      --version\n"
    "  -h, --help\n"
    "\n"
    "mailkeyd stays in the foreground; SIGTERM ends it after what is in hand\n"
    "is committed.  mailkeyd(8) and mailkeyd.conf(5) say more.\n";

static void
usage(void)
{
	fputs(usage_text, stderr);
	exit(EX_USAGE);
}

static void
options_read(int argc, char **argv, struct options *o)
{
	enum { OPT_SENDER = 256, OPT_RECIPIENT, OPT_VERSION, OPT_ATTEND };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"test", no_argument, NULL, 't'}, {"one", no_argument, NULL, '1'},
	    {"sender", required_argument, NULL, OPT_SENDER},
	    {"recipient", required_argument, NULL, OPT_RECIPIENT},
	    {"verbose", no_argument, NULL, 'v'},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"attend", no_argument, NULL, OPT_ATTEND},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;

	*o = (struct options){.file = CONFIG_DEFAULT};
	while ((c = getopt_long(argc, argv, "c:t1vh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 't':
			o->mode = MODE_TEST;
			break;
		case '1':
			o->mode = MODE_ONE;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OPT_SENDER:
			o->sender = optarg;
			break;
		case OPT_RECIPIENT:
			o->recipient = optarg;
			break;
		case OPT_ATTEND: /* started by mailkeyctl(8) */
			o->mode = MODE_ATTEND;
			break;
		case OPT_VERSION:
			puts("mailkeyd " VERSION);
			exit(EX_OK);
		case 'h':
			fputs(usage_text, stdout);
			exit(EX_OK);
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

/* ---- the end ------------------------------------------------------------- */

static bool
server_is_idle(const struct server *s)
{
	return gateway_busy(s->gateway) == 0 && judge_is_idle(s->judge) &&
	       (s->despatch == NULL || despatch_stop(s->despatch));
}

/* No new mails, no new commands. */
static void
server_stop(struct server *s)
{
	s->ending = true;
	for (size_t i = 0; s->lmtp != NULL && i < s->config->nreceive; i++)
		if (s->lmtp[i] != NULL)
			lmtp_stop(s->lmtp[i]);
	for (size_t i = 0; s->maildir != NULL && i < s->config->nreceive; i++)
		if (s->maildir[i] != NULL)
			maildir_stop(s->maildir[i]);
	mailboxes_stop(s->mailboxes);
	if (s->control != NULL)
		control_stop(s->control);
}

/* Told to end: what is in hand is committed, what is being sent is sent, for
 * as long as that takes a reasonable time. */
static void
server_end(struct server *s)
{
	if (s->ending) {
		loop_stop(s->loop);
		return;
	}
	service_ending(s->service);
	server_stop(s);
	loop_timer_set(s->drain, 0);
}

static void
server_drain(void *ctx)
{
	struct server *s = ctx;
	static int64_t since;

	if (since == 0)
		since = loop_now_ms();
	if (server_is_idle(s) || loop_now_ms() - since > DRAIN_MS)
		loop_stop(s->loop);
	else
		loop_timer_set(s->drain, 20);
}

static void
server_signal(void *ctx, uint32_t events)
{
	struct server *s = ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		char *line = NULL;

		if (s->reload != NULL)
			reload_now(s->reload, &line);
		free(line);
		return;
	}
	log_line(
	    LOG_NOTICE, "event=signal signal=%u what=ending", info.ssi_signo);
	server_end(s);
}

/* ---- the start ----------------------------------------------------------- */

static void
server_signals(struct server *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (s->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) == -1 ||
	    (s->signals = loop_io_new(
		 s->loop, s->sigfd, EPOLLIN, server_signal, s)) == NULL)
		fatal(EX_OSERR, "signalfd: %s", strerror(errno));
}

static int
exit_of(enum ks_status status)
{
	switch (status) {
	case KS_BUSY:
	case KS_FULL:
	case KS_READ_ONLY:
	case KS_NOMEM:
		return EX_TEMPFAIL;
	case KS_TOO_NEW:
	case KS_TOO_OLD:
	case KS_DENIED:
		return EX_CONFIG;
	default:
		return EX_IOERR;
	}
}

/* Reads the block list anew; on an error the one that was stays. */
static int
server_block(const struct server *s, char **error)
{
	struct blocklist list;

	if (blocklist_read(s->config, &list, error) == -1)
		return -1;
	if (s->ks != NULL && ks_block(s->ks, list.fpr, list.n) != KS_OK) {
		blocklist_free(&list);
		return -1;
	}
	blocklist_free(&list);
	return 0;
}

static void
server_store(struct server *s)
{
	const struct config *config = s->config;
	struct ks_options options = {.cache = config->cache,
	    .free_space = config->limits.free_space,
	    .sync = true,
	    .policy = config->limits.policy};
	const char *error = "";
	char dir[PATH_MAX], *why = NULL;
	enum ks_status status;

	if (snprintf(dir, sizeof(dir), "%s/db", config->state) >=
	    (int)sizeof(dir))
		fatal(EX_CONFIG, "%s: the path is too long", config->state);
	status = s->options.mode == MODE_DAEMON
		     ? ks_open_later(dir, &options, &s->ks, &error)
		     : ks_open(dir, &options, &s->ks, &error);
	if (status != KS_OK)
		fatal(exit_of(status), "%s: %s", dir, error);
	if (server_block(s, &why) == -1)
		fatal(EX_CONFIG, "%s", why != NULL ? why : "no memory");
}

/* Cleans the store a slice at a time, the quarantine once in a while. */
static void
server_expire(void *ctx)
{
	struct server *s = ctx;
	enum ks_status status;
	unsigned removed = 0, thinned = 0;
	time_t now = time(NULL);

	status = ks_begin(s->ks, KS_ROOM_NONE);
	if (status == KS_OK) {
		status = store_expire(s->ks, now, EXPIRE_SLICE, &removed);
		if (status == KS_OK)
			status =
			    sync_thin(s->sync, now, EXPIRE_SLICE, &thinned);
		if (status == KS_OK)
			status = ks_commit_lazy(s->ks);
		else
			ks_abort(s->ks);
	}
	if (status != KS_OK)
		log_line(LOG_WARNING, "event=expire error=\"%s\"",
		    ks_strerror(status));
	if (status == KS_OK && (removed == EXPIRE_SLICE || thinned > 0)) {
		loop_timer_set(s->expire, 10);
		return;
	}
	quarantine_expire(s->config, now);
	reload_sweep(s->reload);
	loop_timer_set(s->expire, EXPIRE_MS);
}

static void
one_answer(void *ctx, const struct pgp_blob *message)
{
	struct server *s = ctx;

	if (fwrite(message->data, 1, message->len, stdout) != message->len ||
	    fflush(stdout) != 0)
		s->exit_status = EX_IOERR;
}

static void server_free(struct server *);

/* As fatal(), but the store is closed first. */
static void __attribute__((format(printf, 3, 4), noreturn))
server_fatal(struct server *s, int status, const char *format, ...)
{
	char *line = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) == -1)
		line = NULL;
	va_end(ap);
	log_line(LOG_ERR, "%s", line != NULL ? line : "no memory");
	free(line);
	server_free(s);
	exit(status);
}

static void
helper_missing(struct server *s, const char *what)
{
	server_fatal(s, EX_CONFIG,
	    "%s: %s: cannot be started (%s); set `libexec` in %s to where "
	    "mailkeyd's helpers are installed",
	    s->config->libexec, what, strerror(errno), s->config->file);
}

/* The store is there again, which may have been closed since the start. */
static void
server_opened(void *ctx)
{
	struct server *s = ctx;

	sync_reload(s->sync);
	despatch_kick(s->despatch);
}

/* Sync mails are in the outbox. */
static void
server_queued(void *ctx)
{
	despatch_kick(ctx);
}

static void
server_peers(struct server *s)
{
	s->sync =
	    sync_new(s->loop, s->config, s->ks, server_queued, s->despatch);
	if (s->sync == NULL)
		server_fatal(
		    s, EX_OSERR, "the positions of the peers cannot be read");
	despatch_sync(s->despatch, s->sync);
}

static void
server_parts(struct server *s)
{
	struct gateway_parts parts = {
	    .loop = s->loop, .config = s->config, .ks = s->ks, .ctx = s};

	s->reader = reader_new(s->loop, s->config);
	if (s->reader == NULL)
		helper_missing(s, "mailkeyd-parser");
	s->judge = judge_new(s->loop, s->config);
	if (s->judge == NULL)
		helper_missing(s, "mailkeyd-verifier or mailkeyd-checker");
	if (s->options.mode == MODE_DAEMON) {
		s->despatch = despatch_new(s->loop, s->config, s->ks);
		if (s->despatch == NULL)
			helper_missing(s, "mailkeyd-sender");
		server_peers(s);
	}
	parts.reader = s->reader;
	parts.judge = s->judge;
	parts.despatch = s->despatch;
	parts.sync = s->sync;
	parts.answer = s->options.mode == MODE_ONE ? one_answer : NULL;
	s->gateway = gateway_new(&parts);
	s->expire = loop_timer_new(s->loop, server_expire, s);
	s->drain = loop_timer_new(s->loop, server_drain, s);
	if (s->gateway == NULL || s->expire == NULL || s->drain == NULL)
		server_fatal(s, EX_OSERR, "no memory");
	if (s->options.mode != MODE_ATTEND)
		return;
	s->control = control_attend(&parts, s->gateway, ATTEND_FD);
	if (s->control == NULL)
		server_fatal(s, EX_USAGE, "--attend is mailkeyctl's to use");
}

static void
server_sources(struct server *s)
{
	char *error = NULL;

	s->lmtp = calloc(s->config->nreceive + 1, sizeof(*s->lmtp));
	s->maildir = calloc(s->config->nreceive + 1, sizeof(*s->maildir));
	if (s->lmtp == NULL || s->maildir == NULL)
		server_fatal(s, EX_OSERR, "no memory");
	for (size_t i = 0; i < s->config->nreceive; i++) {
		const struct config_receive *r = &s->config->receive[i];

		if (config_is_mailbox(r))
			continue;
		if (r->type == RECEIVE_MAILDIR)
			s->maildir[i] = maildir_watch(
			    s->loop, s->gateway, s->config, r, &error);
		else
			s->lmtp[i] = lmtp_listen(s->loop, s->gateway, s->config,
			    r, service_socket(s->service, r), &error);
		if (s->maildir[i] == NULL && s->lmtp[i] == NULL)
			server_fatal(s, EX_CONFIG, "%s",
			    error != NULL ? error : "no memory");
	}
}

static void
server_listen(struct server *s)
{
	struct gateway_parts parts = {.loop = s->loop,
	    .config = s->config,
	    .ks = s->ks,
	    .reader = s->reader,
	    .judge = s->judge,
	    .despatch = s->despatch,
	    .sync = s->sync};
	char *error = NULL;

	s->mailboxes = mailboxes_new(s->loop, s->gateway, s->config);
	if (s->mailboxes == NULL)
		helper_missing(s, "mailkeyd-fetcher");
	parts.mailboxes = s->mailboxes;
	s->control = control_listen(&parts, s->gateway, &error);
	if (s->control == NULL)
		server_fatal(s, EX_CONFIG, "%s: %s", s->config->file, error);
	s->reload = reload_new(s->config, &parts, s->gateway);
	s->keeper = keeper_new(s->loop, s->ks, server_opened, s);
	if (s->reload == NULL || s->keeper == NULL)
		server_fatal(s, EX_OSERR, "no memory");
	control_on_reload(s->control, reload_now, s->reload);
	server_sources(s);
	loop_timer_set(s->expire, 1000);
}

static void
server_free(struct server *s)
{
	enum ks_status status;

	/* Who waits for what is still in hand hears now to come later. */
	server_stop(s);
	keeper_free(s->keeper);
	judge_free(s->judge);
	reader_free(s->reader);
	gateway_free(s->gateway);
	control_free(s->control);
	reload_free(s->reload);
	for (size_t i = 0; s->lmtp != NULL && i < s->config->nreceive; i++)
		lmtp_free(s->lmtp[i]);
	for (size_t i = 0; s->maildir != NULL && i < s->config->nreceive; i++)
		maildir_free(s->maildir[i]);
	mailboxes_free(s->mailboxes);
	free(s->lmtp);
	free(s->maildir);
	loop_io_free(s->signals);
	loop_timer_free(s->expire);
	loop_timer_free(s->drain);
	sync_free(s->sync);
	despatch_free(s->despatch);
	service_free(s->service);
	loop_free(s->loop);
	status = ks_close(s->ks);
	if (status != KS_OK) {
		log_line(
		    LOG_ERR, "event=close error=\"%s\"", ks_strerror(status));
		s->exit_status = EX_IOERR;
	}
	if (s->sigfd != -1)
		close(s->sigfd);
	config_free(s->config);
}

/* ---- mailkeyd -1 --------------------------------------------------------- */

/* Standard input as a memfd; what is far over the limit is cut, so that the
 * mail gets the answer that names the limit. */
static int
read_stdin(struct server *s)
{
	int fd = ipc_drain(STDIN_FILENO, config_message_size(s->config) + 1);

	if (fd == -1)
		server_fatal(
		    s, EX_TEMPFAIL, "standard input: %s", strerror(errno));
	return fd;
}

static void
one_done(void *ctx, enum fate fate, const char *why)
{
	struct server *s = ctx;

	if (fate == FATE_LATER) {
		log_line(LOG_ERR, "try again later: %s", why);
		s->exit_status = EX_TEMPFAIL;
	}
	loop_stop(s->loop);
}

static void
one_submit(struct server *s)
{
	struct envelope envelope = {.sender = s->options.sender,
	    .recipient = s->options.recipient,
	    .source = "stdin",
	    .trust_from = true};

	if (envelope.sender == NULL)
		envelope.sender = getenv("SENDER");
	if (envelope.recipient == NULL)
		envelope.recipient = getenv("RECIPIENT");
	if (gateway_submit(s->gateway, s->one, &envelope, one_done, s) == NULL)
		server_fatal(
		    s, EX_TEMPFAIL, "try again later: %s", strerror(errno));
}

static void
server_run(struct server *s)
{
	if (s->options.mode == MODE_DAEMON) {
		server_listen(s);
		log_line(LOG_NOTICE,
		    "event=ready version=" VERSION " address=%s state=%s",
		    s->config->address, s->config->state);
		service_ready(s->service, s->loop);
	} else if (s->options.mode == MODE_ONE)
		one_submit(s);
	if (loop_run(s->loop) == -1) {
		log_line(LOG_ERR, "event=loop error=\"%s\"", strerror(errno));
		s->exit_status = EX_OSERR;
	}
}

/* Which languages there are is known to the handlers, not to whoever reads
 * the configuration. */
static void
check_language(const struct config *config)
{
	if (help_has_language(config->language))
		return;
	fatal(EX_CONFIG,
	    "%s:%u: language cannot be \"%s\"; HELP has no such language, its "
	    "last lines list those it has",
	    config->language_file, config->language_line, config->language);
}

/* seccomp alone would do; the operator may insist on both locks. */
static void
check_jail(const struct server *s)
{
	if (jail_landlock() > 0)
		return;
	if (s->config->jail_required)
		fatal(EX_CONFIG,
		    "%s: jail_required is set, and this kernel has no "
		    "Landlock; run a kernel that has it (5.13 or later), or "
		    "take the option out",
		    s->config->file);
	if (s->options.mode == MODE_DAEMON)
		log_line(LOG_WARNING, "event=jail landlock=no seccomp=yes");
}

/* A set-group-id or set-user-id sendmail cannot hand mails over then. */
static void
check_sendmail(const struct server *s)
{
	if (s->options.mode == MODE_DAEMON &&
	    s->config->send.type == SEND_SENDMAIL &&
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		log_line(LOG_WARNING,
		    "event=sendmail what=no_new_privs remedy=\"the sendmail of "
		    "most mail servers cannot work without gaining rights: "
		    "send by smtp, or take contrib/systemd/"
		    "mailkeyd.service.d/sendmail.conf\"");
}

/* What the configuration names.  A test leaves no trace: it may be run by
 * another user than the server. */
static void
check_places(const struct server *s)
{
	bool test = s->options.mode == MODE_TEST;
	char *error = NULL;
	int ok;

	ok = config_programs(s->config, &error);
	if (ok == 0)
		ok = server_block(s, &error);
	if (ok == 0)
		ok = test ? config_look(s->config, &error)
			  : config_prepare(s->config, &error);
	if (ok == -1)
		fatal(EX_CONFIG, "%s", error != NULL ? error : "no memory");
	if (ok == 1)
		printf("%s: is not there yet, the first start makes it\n",
		    s->config->state);
}

int
main(int argc, char **argv)
{
	struct server server = {.sigfd = -1};
	char *error = NULL;

	ipc_standard_streams();
	options_read(argc, argv, &server.options);
	log_open("mailkeyd", 0, server.options.verbose);
	/* With --attend descriptor 3 is mailkeyctl's. */
	if (server.options.mode == MODE_DAEMON &&
	    (server.service = service_new()) == NULL)
		fatal(EX_OSERR, "no memory");
	umask(077);
	server.config = config_read(server.options.file, &error);
	if (server.config == NULL)
		fatal(EX_CONFIG, "%s", error);
	check_places(&server);
	check_language(server.config);
	check_jail(&server);
	check_sendmail(&server);
	if (server.options.mode == MODE_TEST) {
		printf("%s: good\n", server.options.file);
		config_free(server.config);
		return EX_OK;
	}
	if (server.config->syslog && server.options.mode == MODE_DAEMON)
		log_open("mailkeyd", 1, server.options.verbose);
	server_store(&server);
	if (server.options.mode == MODE_ONE)
		server.one = read_stdin(&server);
	server.loop = loop_new();
	if (server.loop == NULL)
		fatal(EX_OSERR, "epoll: %s", strerror(errno));
	server_signals(&server);
	server_parts(&server);
	server_run(&server);
	server_free(&server);
	return server.exit_status;
}
