/*
 * Sessions of mailkeyd-fetcher with servers that answer each time before it
 * gives up, and never come to an end: what takes them hours here is simulated.
 * And with mails that speak for their server.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/password.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 60000
#define ANSWER_MS  50000 /* what each read takes */
#define DAY_MS	   86400000

/* ---- time ---------------------------------------------------------------- */

static int64_t clock_now, alarm_at; /* 0: none */

int64_t
loop_now_ms(void)
{
	return clock_now;
}

unsigned
alarm(unsigned seconds)
{
	alarm_at = seconds == 0 ? 0 : clock_now + seconds * INT64_C(1000);
	return 0;
}

/* ---- the server ---------------------------------------------------------- */

#define PIECE "* 1 FETCH (UID 9 BODY[]<0> {1}\r\nx)\r\n"

static const struct {
	const char *name;
	bool imap;
	bool step;	     /* the time for one step is less */
	const char *endless; /* the command that is never done with */
	const char *answer;  /* to it, again and again; %s: the tag */
} cases[] = {
    {"IMAP, no mails", true, false, " FETCH ", "%s OK x\r\n"},
    {"IMAP, pieces", true, false, " UID FETCH ", PIECE "%s OK x\r\n"},
    {"IMAP, refused", true, false, " UID FETCH ", "%s NO x\r\n"},
    {"POP3, a list", false, true, "LIST", "+OK\r\n"},
    {"POP3, lines of a mail", false, true, "RETR", "+OK\r\n"},
    {"POP3, refused", false, false, "RETR", "-ERR\r\n"},
};

static struct {
	size_t n; /* of the case */
	char *said;
	size_t at; /* so much of it was read */
} server;

static void
say(const char *text, const char *tag)
{
	char *said = NULL, *with;

	free(server.said);
	with = strstr(text, "%s");
	if (with == NULL)
		said = strdup(text);
	else if (asprintf(&said, "%.*s%s%s", (int)(with - text), text, tag,
		     with + 2) == -1)
		said = NULL;
	assert_non_null(said);
	server.said = said;
	server.at = 0;
}

/* Mails enough for hours. */
static void
say_list(
    const char *before, const char *line, const char *after, const char *tag)
{
	char *list = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&list, &len);

	assert_non_null(f);
	fputs(before, f);
	for (int i = 1; i <= 200; i++)
		fprintf(f, "%s%d%s", line, i,
		    *tag == '\0' ? " 100\r\n"
				 : " RFC822.SIZE 100000 FLAGS ())\r\n");
	fputs(after, f);
	assert_int_equal(fclose(f), 0);
	say(list, tag);
	free(list);
}

static void
imap_hears(const char *line)
{
	char tag[16];

	assert_int_equal(sscanf(line, "%15s", tag), 1);
	if (strstr(line, cases[server.n].endless) != NULL)
		say(cases[server.n].answer, tag);
	else if (strstr(line, " SELECT ") != NULL)
		say("* 4294967295 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
		    "%s OK [READ-WRITE] x\r\n",
		    tag);
	else if (strstr(line, " FETCH ") != NULL)
		say_list("", "* 1 FETCH (UID ", "%s OK x\r\n", tag);
	else
		say("* CAPABILITY IMAP4rev1\r\n%s OK x\r\n", tag);
}

/* What ends where, by POP3: three mails, of which the second is this. */
static const struct ending {
	const char *name;
	const char *answer; /* to RETR */
	const char *mail;   /* what is taken for it; NULL: nothing */
	const char *why;    /* the session ends at that; NULL: it does not */
} endings[] = {
    {"plain", "+OK\r\na\r\n.\r\n", "a\r\n", NULL},
    {"empty", "+OK\r\n.\r\n", "", NULL},
    {"dots", "+OK\r\n..\r\n...\r\n..x\r\n.y\r\n.\r\n", ".\r\n..\r\n.x\r\ny\r\n",
	NULL},
    {"LF . LF", "+OK\r\na\n.\n+OK\r\nforged\r\n.\r\n",
	"a\n.\n+OK\r\nforged\r\n", NULL},
    {"LF . CR LF", "+OK\r\na\n.\r\n+OK\r\nforged\r\n.\r\n",
	"a\n.\r\n+OK\r\nforged\r\n", NULL},
    {"CR LF . LF", "+OK\r\na\r\n..\n+OK\r\nforged\r\n.\r\n",
	"a\r\n.\n+OK\r\nforged\r\n", NULL},
    {"CR . CR", "+OK\r\na\r.\r+OK\r\nforged\r\n.\r\n",
	"a\r.\r+OK\r\nforged\r\n", NULL},
    {"dots behind LF", "+OK\r\na\n..\n..b\r\n.\r\n", "a\n..\n..b\r\n", NULL},
    {"no CR at all", "+OK\na\n.\n", NULL, "RETR: timed out"},
    /* a server that puts no dots before dots */
    {"CR LF . CR LF", "+OK\r\na\r\n.\r\n+OK\r\nforged\r\n.\r\n", "a\r\n",
	"RETR: the answer before it"},
    {"a line behind -ERR", "-ERR no\r\n+OK\r\nforged\r\n.\r\n", NULL,
	"RETR: the answer before it"},
};

static struct {
	const struct ending *ending; /* NULL: the cases above */
	char taken[4][64];	     /* for each mail */
	unsigned deleted;	     /* mails, a bit for each */
	bool quit;
} box;

static void
box_hears(const char *line)
{
	unsigned number = 0;

	sscanf(line, "%*4c %u", &number);
	if (strncmp(line, "LIST", 4) == 0)
		say("+OK\r\n1 3\r\n2 3\r\n3 3\r\n.\r\n", "");
	else if (strncmp(line, "UIDL", 4) == 0)
		say("+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n", "");
	else if (strncmp(line, "RETR", 4) == 0)
		say(number == 2 ? box.ending->answer : "+OK\r\nx\r\n.\r\n", "");
	else
		say("+OK\r\n", "");
	if (strncmp(line, "DELE", 4) == 0)
		box.deleted |= 1u << number;
	box.quit |= strncmp(line, "QUIT", 4) == 0;
}

static void
pop3_hears(const char *line)
{
	if (box.ending != NULL)
		box_hears(line);
	else if (strncmp(line, cases[server.n].endless, 4) == 0)
		say(cases[server.n].answer, "");
	else if (strncmp(line, "LIST", 4) == 0)
		say_list("+OK\r\n", "", ".\r\n", "");
	else if (strncmp(line, "UIDL", 4) == 0)
		say("-ERR what?\r\n", "");
	else
		say("+OK\r\n", "");
}

static ssize_t
server_read(struct wire *w, void *buf, size_t count)
{
	size_t left;

	/* for what the wire does not end */
	assert_true(alarm_at > w->whole && alarm_at < w->whole + 20000);
	assert_true(clock_now < DAY_MS);
	clock_now += ANSWER_MS;
	if (clock_now > w->deadline) {
		w->error = ETIMEDOUT;
		return -1;
	}
	if (server.said[server.at] == '\0')
		say(cases[server.n].answer, "0");
	left = strlen(server.said + server.at);
	if (count > left)
		count = left;
	memcpy(buf, server.said + server.at, count);
	server.at += count;
	return (ssize_t)count;
}

static ssize_t
server_write(struct wire *w, const void *buf, size_t count)
{
	char line[1024];

	(void)w;
	assert_true(count < sizeof(line));
	memcpy(line, buf, count);
	line[count] = '\0';
	if (cases[server.n].imap)
		imap_hears(line);
	else
		pop3_hears(line);
	return (ssize_t)count;
}

/* ---- the rest of the fetcher --------------------------------------------- */

mailstream *
fetch_connect(struct fetcher *f)
{
	mailstream *stream;

	f->wire.read = server_read;
	f->wire.write = server_write;
	stream = wire_stream(&f->wire);
	assert_non_null(stream);
	say(cases[server.n].imap ? "* OK x\r\n" : "+OK\r\n", "");
	fetch_whole(f, 4 * f->timeout_ms);
	fetch_step(f, 0);
	return stream;
}

bool
fetch_start_tls(struct fetcher *f, const mailstream *stream)
{
	(void)f;
	(void)stream;
	return false;
}

char *
fetch_password(struct fetcher *f)
{
	(void)f;
	return calloc(1, PASSWORD_MAX + 2);
}

void
fetch_is_open(struct fetcher *f)
{
	f->open = true;
}

static unsigned notes;

void
fetch_note(const struct fetcher *f, const char *text, ...)
{
	(void)f;
	(void)text;
	notes++;
}

bool
fetch_wait(struct fetcher *f, long ms, const mailstream *stream)
{
	(void)f;
	(void)stream;
	clock_now += ms;
	return false;
}

/* Of the cases above nothing comes to its end. */
void
fetch_offer(struct fetcher *f, uint32_t number, const char *key, int memfd,
    uint64_t size, bool cut)
{
	(void)key;
	(void)size;
	(void)cut;
	if (box.ending == NULL)
		fail_msg("%s: mail %u is whole", cases[server.n].name,
		    (unsigned)number);
	assert_in_range(number, 1, 3);
	assert_true(
	    pread(memfd, box.taken[number], sizeof(box.taken[0]) - 1, 0) >= 0);
	close(memfd);
	f->batch[f->nbatch++] =
	    (struct taken){.number = number, .fate = FETCH_DONE};
}

void
fetch_settle(struct fetcher *f)
{
	if (box.ending == NULL)
		fail_msg("there is nothing to settle");
	f->paused = false;
}

/* ---- sessions ------------------------------------------------------------ */

/* Half an hour, and the time that mails together may take. */
static void
ends(void **state)
{
	static char user[] = "keys", folder[] = "INBOX", host[] = "h";

	(void)state;
	for (server.n = 0; server.n < sizeof(cases) / sizeof(cases[0]);
	     server.n++) {
		struct fetcher f = {.host = host,
		    .user = user,
		    .folder = folder,
		    .tls = RECEIVE_TLS_NONE,
		    .timeout_ms = TIMEOUT_MS,
		    .poll_ms = 1000,
		    .most = 8 << 20,
		    .wire = {.fd = -1, .core = -1}};
		int64_t extra = (int64_t)(FETCH_OCTETS + f.most) / 4,
			least = 30 * 60000 + (cases[server.n].step ? 0 : extra),
			most = 30 * 60000 + extra + 6 * TIMEOUT_MS;
		long next;

		clock_now = 0;
		next = cases[server.n].imap ? fetch_imap(&f) : fetch_pop3(&f);
		if (next != -1 || !f.open ||
		    strstr(f.why, "timed out") == NULL || clock_now < least ||
		    clock_now > most)
			fail_msg("%s: %ld, %s, after %lld s",
			    cases[server.n].name, next, f.why,
			    (long long)clock_now / 1000);
		assert_int_equal(alarm_at, 0);
		later_clear(&f.later);
	}
	free(server.said);
	server.said = NULL;
}

static const char *
shown(const char *text)
{
	static char out[256];
	size_t n = 0;

	for (; *text != '\0' && n < sizeof(out) - 3; text++) {
		if (*text == '\r' || *text == '\n')
			out[n++] = '\\';
		out[n++] = *text == '\r' ? 'r' : *text == '\n' ? 'n' : *text;
	}
	out[n] = '\0';
	return out;
}

/* No mail is taken for two, and none is deleted that nobody has read. */
static void
mail_ends(const struct ending *e)
{
	static char user[] = "keys", host[] = "h";
	struct fetcher f = {.host = host,
	    .user = user,
	    .type = RECEIVE_POP3,
	    .tls = RECEIVE_TLS_NONE,
	    .timeout_ms = TIMEOUT_MS,
	    .poll_ms = 1000,
	    .most = 8 << 20,
	    .wire = {.fd = -1, .core = -1}};
	bool third = e->why == NULL;
	unsigned deleted = !third ? 0 : e->mail != NULL ? 2 | 4 | 8 : 2 | 8;

	memset(&box, 0, sizeof(box));
	box.ending = e;
	clock_now = 0;
	if ((fetch_pop3(&f) == -1) == third || box.quit != third ||
	    (e->why != NULL && strstr(f.why, e->why) == NULL))
		fail_msg("%s: the session ends with \"%s\"", e->name, f.why);
	if (strcmp(box.taken[1], "x\r\n") != 0 ||
	    strcmp(box.taken[2], e->mail != NULL ? e->mail : "") != 0)
		fail_msg("%s: the mail is %s", e->name, shown(box.taken[2]));
	if (strcmp(box.taken[3], third ? "x\r\n" : "") != 0)
		fail_msg("%s: the next is %s", e->name, shown(box.taken[3]));
	if (box.deleted != deleted)
		fail_msg("%s: deleted are %x", e->name, box.deleted);
	later_clear(&f.later);
}

static void
mails_end(void **state)
{
	(void)state;
	server.n = sizeof(cases) / sizeof(cases[0]) - 1; /* by POP3 */
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		mail_ends(&endings[i]);
	box.ending = NULL;
	free(server.said);
	server.said = NULL;
}

/* Of thousands of mails that cannot be had: the second time, and not each. */
static void
noted(void **state)
{
	struct fetcher f = {.why = "x"};
	char key[16];

	(void)state;
	clock_now = DAY_MS;
	notes = 0;
	for (unsigned i = 0; i < 4000; i++) {
		snprintf(key, sizeof(key), "%u", i / 2);
		fetch_put_off(&f, i / 2, key, "x");
		assert_int_equal(notes, i > 0);
	}
	clock_now += 60000;
	fetch_broke(&f, 9999, "9999");
	assert_int_equal(notes, 1);
	assert_int_equal(fetch_turn(&f, "9999"), TURN_NOT);
	clock_now += 7999;
	assert_int_equal(fetch_turn(&f, "9999"), TURN_NOT);
	clock_now += 1;
	assert_int_equal(fetch_turn(&f, "9999"), TURN_AGAIN);
	assert_int_equal(fetch_turn(&f, "10000"), TURN_NEW);
	fetch_broke(&f, 9999, "9999");
	fetch_broke(&f, 9999, "9999");
	assert_int_equal(notes, 2);
	later_clear(&f.later);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ends),
	    cmocka_unit_test(mails_end), cmocka_unit_test(noted)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
