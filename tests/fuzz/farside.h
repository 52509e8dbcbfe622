/*
 * The server's side of a session of mailkeyd-fetcher, out of any octets, and a
 * core that takes what is fetched.  The first octet says how the session goes
 * (see begin()), the rest is what the server says, where
 *
 *	NUL	ends a piece: what comes next is there after the next wait
 *	1	stands for the tag of the last command
 *
 * What must never happen, whatever the server says: the password goes out
 * without TLS where STARTTLS is demanded, or a mail is deleted that the core
 * did not commit.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD  "open sesame"
#define DONE_MOST 64

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct {
	const uint8_t *in;
	size_t len, at;
	char tag[16];
	unsigned fates; /* a bit for each mail: 0 = committed */
	bool tls;
	size_t deleted; /* letters of \Deleted that the server has said */
	uint32_t done[DONE_MOST];
	size_t ndone, nmails;
} far;

/*
 * libetpan, when it throws a half-read answer away, calls these with NULL. That
 * costs mailkeyd-fetcher its life, and nothing more: it starts again.  Here
 * the search goes on.
 */
void
clist_foreach(clist *list, clist_func call, void *ctx)
{
	if (list == NULL)
		return;
	for (clistiter *at = list->first; at != NULL; at = at->next)
		call(at->data, ctx);
}

void
clist_free(clist *list)
{
	while (list != NULL && list->first != NULL) {
		clistiter *next = list->first->next;

		free(list->first);
		list->first = next;
	}
	free(list);
}

/* Nor does it free all that it has read of one; a session ends at that, and
 * what it may read is bounded. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:libetpan.so\n";
}

/* As RLIMIT_AS has it: no more memory, and not the end. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=384";
}

/* ---- the wire ------------------------------------------------------------ */

/* Others may mark mails as \Deleted, too. */
static void
look_for_deleted(char c)
{
	static const char word[] = "deleted";

	if (far.deleted < strlen(word))
		far.deleted = (c | 0x20) == word[far.deleted]
				  ? far.deleted + 1
				  : (c | 0x20) == 'd';
}

static ssize_t
far_read(struct wire *w, void *buf, size_t count)
{
	char *out = buf;
	size_t n = 0, tag = strlen(far.tag);

	(void)w;
	while (n < count && far.at < far.len) {
		uint8_t c = far.in[far.at];

		if (c == 1 && n + tag > count)
			break;
		far.at++;
		if (c == 0 && n > 0)
			break;
		if (c == 1) {
			memcpy(out + n, far.tag, tag);
			n += tag;
		} else if (c != 0) {
			look_for_deleted((char)c);
			out[n++] = (char)c;
		}
	}
	return (ssize_t)n;
}

static size_t
far_pending(const struct wire *w)
{
	(void)w;
	return far.at < far.len && far.in[far.at] != 0;
}

static bool
is_done(uint32_t number)
{
	for (size_t i = 0; i < far.ndone; i++)
		if (far.done[i] == number)
			return true;
	return far.ndone == DONE_MOST;
}

/* "1:3,7": only mails that the core has committed. */
static void
check_deleted(const char *set)
{
	for (;;) {
		char *end;
		unsigned long first = strtoul(set, &end, 10), last = first;

		if (*end == ':')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last; first++)
			if (!is_done((uint32_t)first))
				abort();
		if (*end != ',')
			return;
		set = end + 1;
	}
}

static ssize_t
far_write(struct wire *w, const void *octets, size_t count)
{
	char line[2048];
	size_t n = count < sizeof(line) - 1 ? count : sizeof(line) - 1, tag;

	(void)w;
	memcpy(line, octets, n);
	line[n] = '\0';
	if (!far.tls && memmem(octets, count, PASSWORD, strlen(PASSWORD)))
		abort();
	tag = strspn(line, "0123456789");
	if (tag > 0 && tag < sizeof(far.tag)) {
		memcpy(far.tag, line, tag);
		far.tag[tag] = '\0';
	}
	if (far.deleted < 7 && n == count &&
	    strncmp(line + tag, " UID STORE ", 11) == 0)
		check_deleted(line + tag + 11);
	/* a later session may know the mail by another number */
	if (strncmp(line, "DELE ", 5) == 0 && far.ndone == 0)
		abort();
	return (ssize_t)count;
}

/* At a list in the code of a greeting, "[PERMANENTFLAGS (", libetpan reads
 * through NULL, with the same end as above: such a greeting is passed over. */
static bool
greeting_kills(void)
{
	const uint8_t *line = far.in + far.at, *end, *code;

	end = memchr(line, '\n', far.len - far.at);
	code = end != NULL ? memchr(line, '[', (size_t)(end - line)) : NULL;
	if (code == NULL || memchr(code, '(', (size_t)(end - code)) == NULL)
		return false;
	code = memchr(code, '(', (size_t)(end - code));
	if (memchr(line, ']', (size_t)(code - line)) != NULL)
		return false;
	far.at += (size_t)(end - line) + 1;
	return true;
}

mailstream *
fetch_connect(struct fetcher *f)
{
	mailstream *stream;

	if (greeting_kills()) {
		fetch_trouble(f, "greeting: it kills");
		return NULL;
	}
	fetch_whole(f, f->timeout_ms);
	f->wire.broken = false;
	f->wire.read = far_read;
	f->wire.write = far_write;
	f->wire.pending = far_pending;
	stream = wire_stream(&f->wire);
	if (stream == NULL)
		abort();
	fetch_step(f, 0);
	return stream;
}

bool
fetch_start_tls(struct fetcher *f, const mailstream *stream)
{
	if (stream->read_buffer_len > 0) {
		f->wire.broken = true;
		return fetch_trouble(f, "STARTTLS: more than one answer");
	}
	far.tls = true;
	return true;
}

char *
fetch_password(struct fetcher *f)
{
	char *password = calloc(1, PASSWORD_MAX + 2);

	(void)f;
	if (password == NULL)
		abort();
	memcpy(password, PASSWORD, sizeof(PASSWORD));
	return password;
}

/* ---- the core ------------------------------------------------------------ */

void
fetch_is_open(struct fetcher *f)
{
	f->open = true;
}

void
fetch_note(const struct fetcher *f, const char *format, ...)
{
	(void)f;
	(void)format;
}

bool
fetch_wait(struct fetcher *f, long ms, const mailstream *stream)
{
	if (ms < 0)
		abort();
	return stream != NULL && wire_has_data(&f->wire, stream);
}

void
fetch_offer(struct fetcher *f, uint32_t number, const char *key, int memfd,
    uint64_t size, bool cut)
{
	struct taken *t = &f->batch[f->nbatch++];
	off_t octets = lseek(memfd, 0, SEEK_END);

	if (f->nbatch > FETCH_BATCH || octets < 0 ||
	    (uint64_t)octets > f->most + 2 * FETCH_HEADER ||
	    strlen(key) >= sizeof(t->key))
		abort();
	*t = (struct taken){.number = number, .fate = FETCH_ASKED};
	snprintf(t->key, sizeof(t->key), "%s", key);
	close(memfd);
	f->octets += cut ? FETCH_HEADER : size;
}

void
fetch_settle(struct fetcher *f)
{
	f->paused = false;
	for (size_t i = 0; i < f->nbatch; i++) {
		struct taken *t = &f->batch[i];
		unsigned bit = far.fates >> (far.nmails++ % 3) & 1;

		t->fate = bit == 0
			      ? FETCH_DONE
			      : (enum fetch_fate)(far.nmails % FETCH_ASKED);
		f->paused |= t->fate == FETCH_BUSY;
		if (t->fate == FETCH_DONE && far.ndone < DONE_MOST)
			far.done[far.ndone++] = t->number;
		if (t->fate == FETCH_DONE || t->fate == FETCH_LATER)
			later_add(&f->later, t->key, t->fate == FETCH_DONE);
	}
	fetch_whole(f, fetch_batch_ms(f));
}

/* ---- sessions ------------------------------------------------------------ */

/* The first octet: 1 = with STARTTLS, 2 = a mail may have 1000 octets only,
 * 28 = the fates. */
static void
begin(struct fetcher *f, const uint8_t *in, size_t len)
{
	static char host[] = "h", user[] = "keys", folder[] = "INBOX";

	*f = (struct fetcher){.host = host, .user = user, .folder = folder};
	f->wire.fd = f->wire.core = -1;
	f->timeout_ms = 60000;
	f->most = in[0] & 2 ? 1000 : 1 << 20;
	f->tls = in[0] & 1 ? RECEIVE_TLS_STARTTLS : RECEIVE_TLS_IMPLICIT;
	memset(&far, 0, sizeof(far));
	far.tls = (in[0] & 1) == 0;
	far.fates = in[0] >> 2 & 7;
	far.in = in + 1;
	far.len = len - 1;
	mmap_string_set_ceil(SIZE_MAX / 2);
}

/* Sessions one after the other, until all was said. */
static int
converse(const uint8_t *in, size_t len, long (*session)(struct fetcher *))
{
	struct fetcher f;

	if (len == 0)
		return 0;
	begin(&f, in, len);
	for (int i = 0; i < 8 && far.at < far.len; i++) {
		f.why[0] = '\0';
		f.nbatch = f.octets = 0;
		if (session(&f) == -1 && f.why[0] == '\0')
			abort();
		for (const char *c = f.why; *c != '\0'; c++)
			if (*c < ' ' || *c > '~')
				abort();
		far.tls = f.tls != RECEIVE_TLS_STARTTLS;
	}
	later_clear(&f.later);
	return 0;
}
