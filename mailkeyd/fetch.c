/*
 * mailkeyd-fetcher: reads one mailbox by IMAP or POP3, gives its mails to the
 * core, and deletes each when the core says that it is done.  What they say to
 * each other stands in fetch.h; descriptor 3 is its socket, and when that is
 * closed it ends.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/jail.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/password.h"
#include "mailkeyd/tls.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#define CORE	    3
#define OPENER	    4
#define MEMORY_MAX  ((rlim_t)384 << 20)
#define FATE_MS	    (5 * 60 * 1000L)
#define STEADY_MS   60000 /* of a mailbox that was open, end the back-off */
#define AGAIN_FIRST 1000L
#define AGAIN_LAST  300000L
#define PAUSE_FIRST 1000L
#define PAUSE_LAST  60000L

/* ---- what the core hears ------------------------------------------------- */

/* The core has gone: what it was given, it commits or not, and the mail is
 * still there. */
static void __attribute__((noreturn)) end(void)
{
	_exit(EX_OK);
}

static void
tell(uint32_t type, uint32_t status, const char *text)
{
	struct ipc_msg m;

	ipc_msg_init(&m, type, 0);
	m.status = status;
	snprintf(m.text, sizeof(m.text), "%s", text);
	if (ipc_send(CORE, &m) != 0)
		end();
}

void
fetch_note(const struct fetcher *f, const char *format, ...)
{
	char text[IPC_TEXT];
	va_list ap;

	(void)f;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fetch_clean(text);
	tell(FETCH_NOTE, 0, text);
}

void
fetch_is_open(struct fetcher *f)
{
	if (!f->open) {
		tell(FETCH_STATE, 1, "");
		f->since = loop_now_ms();
	}
	f->open = true;
}

/* A fate that comes too late, or the end. */
static void
hear_late(void)
{
	struct ipc_msg m;
	int n = ipc_recv(CORE, &m);

	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		end();
	if (n == 1)
		ipc_msg_close(&m);
}

bool
fetch_wait(struct fetcher *f, long ms, const mailstream *stream)
{
	int64_t until = loop_now_ms() + ms;
	struct pollfd p[] = {{CORE, POLLIN, 0}, {-1, POLLIN, 0}};

	alarm(0);
	for (;;) {
		int64_t left = until - loop_now_ms();
		int n;

		if (stream != NULL && wire_has_data(&f->wire, stream))
			return true;
		if (left <= 0)
			return false;
		if (stream != NULL)
			p[1].fd = f->wire.fd;
		n = poll(p, 2, left > INT_MAX ? INT_MAX : (int)left);
		if (n == -1 && errno != EINTR)
			err(EX_OSERR, "poll");
		if (n <= 0 || p[0].revents == 0)
			continue;
		hear_late();
	}
}

/* ---- mails --------------------------------------------------------------- */

void
fetch_offer(struct fetcher *f, uint32_t number, const char *key, int memfd,
    uint64_t size, bool cut)
{
	struct taken *t = &f->batch[f->nbatch++];
	struct ipc_msg m;
	int ok;

	*t = (struct taken){
	    .id = ++f->ids, .number = number, .fate = FETCH_ASKED};
	snprintf(t->key, sizeof(t->key), "%s", key);
	ipc_msg_init(&m, FETCH_MAIL, t->id);
	m.fd[0] = memfd;
	m.a = size;
	m.b = cut;
	ok = ipc_send(CORE, &m);
	ipc_msg_close(&m);
	if (ok != 0)
		end();
	f->octets += cut ? FETCH_HEADER : size;
}

static bool
is_asked(const struct fetcher *f)
{
	for (size_t i = 0; i < f->nbatch; i++)
		if (f->batch[i].fate == FETCH_ASKED)
			return true;
	return false;
}

/* Reads one fate; nothing by `until`: they come too late. */
static void
hear_fate(struct fetcher *f, int64_t until)
{
	struct pollfd p = {CORE, POLLIN, 0};
	int64_t left = until - loop_now_ms();
	struct ipc_msg m;
	int n = left > 0 ? poll(&p, 1, (int)left) : 0;

	if (n == -1 && errno == EINTR)
		return;
	if (n != 1 || (n = ipc_recv(CORE, &m)) != 1) {
		if (n != 0 || p.revents != 0)
			end();
		for (size_t i = 0; i < f->nbatch; i++)
			if (f->batch[i].fate == FETCH_ASKED)
				f->batch[i].fate = FETCH_BUSY;
		return;
	}
	ipc_msg_close(&m);
	if (m.type != FETCH_FATE || m.status >= FETCH_ASKED || m.a > FETCH_MOST)
		errx(EX_PROTOCOL, "message of type %u", (unsigned)m.type);
	f->most = m.a;
	for (size_t i = 0; i < f->nbatch; i++)
		if (f->batch[i].id == m.id)
			f->batch[i].fate = (enum fetch_fate)m.status;
}

/* It is not one mail that has to come again, it is all of them: none is
 * fetched for a while, which gets longer. */
static void
pause_all(struct fetcher *f)
{
	f->pause_ms = f->pause_ms == 0 ? PAUSE_FIRST : 2 * f->pause_ms;
	if (f->pause_ms > PAUSE_LAST)
		f->pause_ms = PAUSE_LAST;
}

void
fetch_settle(struct fetcher *f)
{
	int64_t until = loop_now_ms() + FATE_MS;
	bool busy = false;

	alarm(0);
	while (is_asked(f))
		hear_fate(f, until);
	for (size_t i = 0; i < f->nbatch; i++) {
		const struct taken *t = &f->batch[i];

		busy |= t->fate == FETCH_BUSY;
		if (t->fate == FETCH_DONE)
			f->later_row = 0;
		if (t->fate == FETCH_LATER)
			f->later_row++;
		if (t->fate == FETCH_DONE || t->fate == FETCH_LATER)
			later_add(&f->later, t->key, t->fate == FETCH_DONE);
	}
	f->paused = busy || f->later_row >= FETCH_BATCH;
	if (f->paused)
		pause_all(f);
	else
		f->pause_ms = 0;
	fetch_whole(f, fetch_batch_ms(f));
}

/* ---- connections --------------------------------------------------------- */

/* Has the opener do what cannot be done in here.  False: trouble; else the
 * caller closes what came. */
static bool
wish(struct fetcher *f, enum fetch_wish what, struct ipc_msg *m)
{
	struct pollfd p[] = {{OPENER, POLLIN, 0}, {CORE, POLLIN, 0}};

	alarm(0); /* a resolver takes its time */
	ipc_msg_init(m, what, 0);
	if (ipc_send(OPENER, m) != 0)
		end();
	do {
		if (poll(p, 2, -1) == -1)
			p[0].revents = p[1].revents = 0;
		if (p[1].revents != 0)
			hear_late();
	} while (p[0].revents == 0);
	if (ipc_recv(OPENER, m) != 1 || m->type != what)
		end();
	if (m->status == 1)
		return true;
	ipc_msg_close(m);
	return fetch_trouble(f, "%s", m->text);
}

static bool
start_tls(struct fetcher *f)
{
	char why[TLS_WHY] = "";
	int e;

	fetch_step(f, 0);
	e = tls_start(&f->wire, f->host, f->trusted, why);
	close(f->trusted);
	f->trusted = -1;
	return e == 0 ? true : fetch_trouble(f, "TLS: %s", why);
}

mailstream *
fetch_connect(struct fetcher *f)
{
	mailstream *stream = NULL;
	struct ipc_msg m;

	if (!wish(f, WISH_CONNECTION, &m))
		return NULL;
	if (f->trusted != -1) /* of a connection that did not come to TLS */
		close(f->trusted);
	f->wire.fd = m.fd[0];
	f->wire.broken = false;
	f->trusted = m.fd[1];
	fetch_whole(f, 4 * f->timeout_ms);
	if ((f->tls != RECEIVE_TLS_IMPLICIT || start_tls(f)) &&
	    (stream = wire_stream(&f->wire)) == NULL)
		fetch_trouble(f, "no memory");
	if (stream == NULL)
		wire_close(&f->wire);
	fetch_step(f, 0);
	return stream;
}

/* What came behind the answer came from whoever can write into a connection
 * without TLS. */
bool
fetch_start_tls(struct fetcher *f, const mailstream *stream)
{
	if (stream->read_buffer_len > 0) {
		f->wire.broken = true;
		return fetch_trouble(f, "STARTTLS: more than one answer");
	}
	return start_tls(f);
}

char *
fetch_password(struct fetcher *f)
{
	char *password = calloc(1, PASSWORD_MAX + 2);
	int64_t left = f->wire.whole - loop_now_ms();
	struct ipc_msg m;

	if (password == NULL)
		fetch_trouble(f, "no memory");
	else if (wish(f, WISH_PASSWORD, &m)) {
		memcpy(password, m.text, strnlen(m.text, PASSWORD_MAX));
		explicit_bzero(m.text, sizeof(m.text));
		fetch_whole(f, left > 0 ? (unsigned)left : 0);
		return password;
	}
	password_free(password);
	return NULL;
}

/* ---- the start ----------------------------------------------------------- */

static void
config_take(struct fetcher *f, const char *record, size_t len)
{
	struct ipc_in in = {.data = (const unsigned char *)record, .len = len};
	uint32_t type = ipc_get_u32(&in), port, tls, poll_s, timeout_s;

	f->host = ipc_get_str(&in, 255);
	port = ipc_get_u32(&in);
	tls = ipc_get_u32(&in);
	f->user = ipc_get_str(&in, 255);
	f->password_file = ipc_get_str(&in, PATH_MAX);
	f->folder = ipc_get_str(&in, 255);
	f->ca_file = ipc_get_str(&in, PATH_MAX);
	poll_s = ipc_get_u32(&in);
	timeout_s = ipc_get_u32(&in);
	f->most = ipc_get_u64(&in);
	if (in.failed || f->most > FETCH_MOST ||
	    (type != RECEIVE_IMAP && type != RECEIVE_POP3) ||
	    tls > RECEIVE_TLS_NONE || port > UINT16_MAX || f->host == NULL ||
	    f->user == NULL || f->password_file == NULL || f->folder == NULL ||
	    poll_s > 7 * 86400 || timeout_s > 3600)
		errx(EX_CONFIG, "a configuration that cannot be");
	f->type = (enum receive_type)type;
	f->tls = (enum receive_tls)tls;
	f->poll_ms = poll_s * 1000;
	f->timeout_ms = timeout_s * 1000;
	snprintf(f->port, sizeof(f->port), "%u", (unsigned)port);
}

static void
configure(struct fetcher *f)
{
	struct ipc_msg m;
	char *record;
	size_t len;
	int got = ipc_recv(CORE, &m);

	if (got == 0)
		end();
	if (got == -1)
		err(EX_USAGE, "descriptor 3 is no socket of mailkeyd");
	if (m.type != FETCH_CONFIG || ipc_slurp(m.fd[0], 65536, &record, &len))
		errx(EX_PROTOCOL, "the first message is no configuration");
	config_take(f, record, len);
	free(record);
	ipc_msg_close(&m);
}

static void
prepare(void)
{
	struct rlimit none = {0, 0};
#ifndef SANITIZED
	struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};

	if (setrlimit(RLIMIT_AS, &memory) == -1)
		warn("RLIMIT_AS");
#endif
	if (setrlimit(RLIMIT_CORE, &none) == -1)
		warn("RLIMIT_CORE");
	ipc_helper(CORE);
	/* libetpan would put large answers into files otherwise */
	mmap_string_set_ceil(SIZE_MAX / 2);
}

/* From here on no file is opened, no socket made and no program started.  How
 * many descriptors may be on their way counts over all processes of a user, so
 * there is no limit of our own. */
static void
lock(int opener)
{
	const struct jail_limits limits = {.cpu = UINT32_MAX,
	    .file_size = FETCH_MOST + FETCH_OCTETS,
	    .files = UINT32_MAX,
	    .keep = OPENER + 1};
	const char *what = "descriptors";
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct jail *jail = NULL;
	char why[80];

	if (null != -1 && dup2(opener, OPENER) != -1 &&
	    (jail = jail_new(JAIL_TALK, &limits, &what)) != NULL &&
#ifndef SANITIZED /* whose reports go there */
	    dup2(null, 2) != -1 &&
#endif
	    dup2(null, 0) != -1 && dup2(null, 1) != -1 &&
	    jail_lock(jail, &what) == 0)
		return;
	snprintf(why, sizeof(why), "the jail could not be locked (%s)", what);
	tell(FETCH_STATE, 0, why);
	_exit(EX_OSERR);
}

/* Goes on in the child; the parent is the opener, and keeps the core's socket
 * open till its own end, so that the core sees how the child ended. */
static void
divide(const struct fetcher *f)
{
	pid_t parent = getpid(), child;
	int pair[2];

	if (ipc_pair(pair) == -1 || (child = fork()) == -1)
		err(EX_OSERR, "the jail");
	if (child != 0) {
		close(pair[1]);
		fetch_opener(f, pair[0], child);
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(EX_OSERR);
	lock(pair[1]);
}

/* The mailbox cannot be read: how long until the next try. */
static long
closed(struct fetcher *f, long again)
{
	if (f->open && loop_now_ms() - f->since > STEADY_MS)
		again = 0;
	tell(FETCH_STATE, 0, f->why);
	f->open = false;
	again = again == 0 ? AGAIN_FIRST : 2 * again;
	return again > AGAIN_LAST ? AGAIN_LAST : again;
}

int
main(void)
{
	struct fetcher f = {.wire = {.fd = -1, .core = CORE}, .trusted = -1};
	long again = 0;

	prepare();
	configure(&f);
	divide(&f);
	for (;;) {
		long ms;

		f.why[0] = '\0';
		f.nbatch = f.octets = 0;
		ms = f.type == RECEIVE_IMAP ? fetch_imap(&f) : fetch_pop3(&f);
		if (ms == -1)
			ms = again = closed(&f, again);
		else
			again = 0;
		fetch_wait(&f, ms, NULL);
	}
}
