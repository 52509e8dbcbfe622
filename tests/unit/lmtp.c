/*
 * What an LMTP client may say, and what it hears: each dialogue at once, octet
 * by octet, and in pieces.
 */
#include "mailkeyd/lmtp_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GREETING "220 keys.example LMTP mailkeyd\r\n"
#define LHLO                                                                   \
	"250-keys.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"               \
	"250-ENHANCEDSTATUSCODES\r\n250 SIZE 40\r\n"
#define SENDER "250 2.1.0 Sender taken\r\n"
#define RCPT   "250 2.1.5 Recipient taken\r\n"
#define GO     "354 End data with <CR><LF>.<CR><LF>\r\n"
#define KEPT   "250 2.0.0 <b@keys.example> kept\r\n"
#define BYE    "221 2.0.0 Goodbye\r\n"

#define ENVELOPE                                                               \
	"LHLO me\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@keys.example>\r\n"
#define TAKEN	   LHLO SENDER RCPT
#define MAIL(text) ENVELOPE "DATA\r\n" text
#define FULL(text) "[begin]" text "[mail a@x.example b@keys.example]"

/* `events` are what the session brings: data as it is, others in []. */
static const struct dialogue {
	const char *name, *in, *out, *events;
} dialogues[] = {
    {"nothing", "", "", ""},
    {"quit", "QUIT\r\n", BYE, "[close]"},
    {"no LHLO", "MAIL FROM:<a@x.example>\r\n", "503 5.5.1 Say LHLO first\r\n",
	""},
    {"HELO and EHLO", "HELO me\r\nEHLO me\r\n",
	"500 5.5.1 This is LMTP: say LHLO\r\n"
	"500 5.5.1 This is LMTP: say LHLO\r\n",
	""},
    {"LHLO without name", "LHLO\r\nLHLO \r\n",
	"501 5.5.4 LHLO needs your name\r\n501 5.5.4 LHLO needs your name\r\n",
	""},
    {"any case", "lhlo me\r\nmail from:<a@x.example>\r\n", LHLO SENDER, ""},
    {"one mail", MAIL("Hi\r\n\r\nyou\r\n.\r\nQUIT\r\n"), TAKEN GO KEPT BYE,
	FULL("Hi\r\n\r\nyou\r\n") "[close]"},
    {"empty mail", MAIL(".\r\n"), TAKEN GO KEPT, FULL("")},
    {"two mails, pipelined",
	MAIL("1\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n2\r\n.\r\n"
	     "QUIT\r\n"),
	TAKEN GO KEPT SENDER RCPT GO "250 2.0.0 <c@d> kept\r\n" BYE,
	FULL("1\r\n") "[begin]2\r\n[mail  c@d][close]"},
    {"behind QUIT nothing is heard", "QUIT\r\nNOOP\r\n", BYE, "[close]"},
    {"status for each recipient",
	"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\n"
	"RCPT TO:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n",
	LHLO SENDER RCPT RCPT "501 5.1.3 Say RCPT TO:<address>\r\n" RCPT GO
			      "250 2.0.0 <a@b> kept\r\n250 2.0.0 <c@d> kept"
			      "\r\n250 2.0.0 <a@b> kept\r\n",
	"[begin][mail  a@b]"},
    /* dots */
    {"dots unstuffed", MAIL("..\r\n..a\r\n...\r\n.b\r\na.\r\n.\r\n"),
	TAKEN GO KEPT, FULL(".\r\n.a\r\n..\r\nb\r\na.\r\n")},
    {"bare LF ends no mail", MAIL("a\n.\n.\r\nb\r\n.\r\n"), TAKEN GO KEPT,
	FULL("a\n.\n.\r\nb\r\n")},
    {"CR LF dot LF ends no mail", MAIL("a\r\n.\nb\r\n.\r\n"), TAKEN GO KEPT,
	FULL("a\r\n\nb\r\n")},
    {"LF dot CR LF ends no mail", MAIL("a\n.\r\nb\r\n.\r\n"), TAKEN GO KEPT,
	FULL("a\n.\r\nb\r\n")},
    {"CR dot CR ends no mail", MAIL("a\r.\rb\r\n.\r\n"), TAKEN GO KEPT,
	FULL("a\r.\rb\r\n")},
    {"CR CR LF ends a line", MAIL("a\r\r\n.\r\n"), TAKEN GO KEPT,
	FULL("a\r\r\n")},
    {"dot CR without LF", MAIL(".\rb\r\n.\r\n"), TAKEN GO KEPT,
	FULL("\rb\r\n")},
    {"dot CR CR LF", MAIL(".\r\r\n.\r\n"), TAKEN GO KEPT, FULL("\r\r\n")},
    {"dot CR dot", MAIL(".\r.\r\n.\r\n"), TAKEN GO KEPT, FULL("\r.\r\n")},
    {"empty line, LF, dot", MAIL("\r\n\n.\r\n.\r\n"), TAKEN GO KEPT,
	FULL("\r\n\n.\r\n")},
    {"commands in a mail", MAIL("QUIT\r\nRSET\r\n.\r\n"), TAKEN GO KEPT,
	FULL("QUIT\r\nRSET\r\n")},
    {"smuggled mail", MAIL("a\n.\nMAIL FROM:<>\nRCPT TO:<b>\nDATA\r\n.\r\n"),
	TAKEN GO KEPT, FULL("a\n.\nMAIL FROM:<>\nRCPT TO:<b>\nDATA\r\n")},
    {"cut off in a mail", MAIL("abc\r\n"), TAKEN GO, "[begin]abc\r\n"},
    /* size: 40 octets */
    {"at the limit", MAIL("01234567890123456789012345678901234567\r\n.\r\n"),
	TAKEN GO KEPT, FULL("01234567890123456789012345678901234567\r\n")},
    {"one octet over",
	MAIL("012345678901234567890123456789012345678\r\n.\r\nNOOP\r\n"),
	TAKEN GO "552 5.3.4 <b@keys.example> the mail is over the size limit"
		 "\r\n250 2.0.0 OK\r\n",
	NULL},
    {"over by far",
	MAIL("0123456789012345678901234567890123456789\r\n..\r\n.\r\r\n"
	     "0123456789012345678901234567890123456789\r\n.\r\nNOOP\r\n"),
	TAKEN GO "552 5.3.4 <b@keys.example> the mail is over the size limit"
		 "\r\n250 2.0.0 OK\r\n",
	NULL},
    {"the next one is sound again",
	MAIL("0123456789012345678901234567890123456789\r\n.\r\n"
	     "MAIL FROM:<>\r\nRCPT TO:<b@keys.example>\r\nDATA\r\nx\r\n.\r\n"),
	TAKEN GO "552 5.3.4 <b@keys.example> the mail is over the size limit"
		 "\r\n" SENDER RCPT GO KEPT,
	NULL},
    {"SIZE at the limit", "LHLO me\r\nMAIL FROM:<a@b> SIZE=40\r\n", LHLO SENDER,
	""},
    {"SIZE over", "LHLO me\r\nMAIL FROM:<a@b> SIZE=41\r\n",
	LHLO "552 5.3.4 The mail is over the size limit\r\n", ""},
    {"SIZE over 64 bits",
	"LHLO me\r\nMAIL FROM:<a@b> SIZE=99999999999999999999\r\n",
	LHLO "552 5.3.4 The mail is over the size limit\r\n", ""},
    {"SIZE is no number",
	"LHLO me\r\nMAIL FROM:<a@b> SIZE=4x\r\nMAIL FROM:<a@b> SIZE=\r\n"
	"MAIL FROM:<a@b> SIZE=000000000000000000001\r\n",
	LHLO "501 5.5.4 Bad SIZE\r\n501 5.5.4 Bad SIZE\r\n"
	     "501 5.5.4 Bad SIZE\r\n",
	""},
    {"BODY",
	"LHLO me\r\nMAIL FROM:<a@b> body=8bitmime size=5\r\nRSET\r\n"
	"MAIL FROM:<a@b>  BODY=7BIT\r\nRSET\r\n"
	"MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
	LHLO SENDER "250 2.0.0 Forgotten\r\n" SENDER
		    "250 2.0.0 Forgotten\r\n501 5.5.4 Bad BODY\r\n",
	""},
    {"unknown parameters",
	"LHLO me\r\nMAIL FROM:<a@b> SMTPUTF8\r\nMAIL FROM:<a@b> AUTH=<>\r\n"
	"MAIL FROM:<>\r\nRCPT TO:<a@b> NOTIFY=NEVER\r\n",
	LHLO
	"555 5.5.4 Unknown parameter\r\n555 5.5.4 Unknown parameter\r\n" SENDER
	"555 5.5.4 Unknown parameter\r\n",
	""},
    /* paths */
    {"source routes",
	"LHLO me\r\nMAIL FROM:<@a,@b:u@c>\r\n"
	"RCPT TO:<@x:d@e>\r\nDATA\r\n.\r\n",
	LHLO SENDER RCPT GO "250 2.0.0 <d@e> kept\r\n",
	"[begin][mail u@c d@e]"},
    {"quoted local part",
	"LHLO me\r\nMAIL FROM:<\"a> \\\" b\"@c>\r\n"
	"RCPT TO:<d@e>\r\nDATA\r\n.\r\n",
	LHLO SENDER RCPT GO "250 2.0.0 <d@e> kept\r\n",
	"[begin][mail \"a> \\\" b\"@c d@e]"},
    {"blank behind the colon",
	"LHLO me\r\nMAIL FROM: <a@b>\r\nRCPT TO: <c@d>\r\n", LHLO SENDER RCPT,
	""},
    {"8-bit octets are not echoed",
	"LHLO me\r\nMAIL FROM:<\xc3\xa9@b>\r\n"
	"RCPT TO:<\xc3\xa9@d>\r\nDATA\r\n.\r\n",
	LHLO SENDER RCPT GO "250 2.0.0 <?\?@d> kept\r\n",
	"[begin][mail \xc3\xa9@b \xc3\xa9@d]"},
    {"no path",
	"LHLO me\r\nMAIL\r\nMAIL FROM\r\nMAIL FROM:a@b\r\nMAIL FROM:<a@b\r\n"
	"MAIL FROM:<a@b>x\r\nMAIL FROM:<\"a>\r\nMAIL FROM:<@a>\r\n",
	LHLO "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n"
	     "501 5.5.4 Say MAIL FROM:<address>\r\n",
	""},
    /* order */
    {"bad order",
	"LHLO me\r\nRCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<>\r\n"
	"DATA\r\nMAIL FROM:<>\r\n",
	LHLO
	"503 5.5.1 Say MAIL first\r\n503 5.5.1 No valid recipients\r\n" SENDER
	"503 5.5.1 No valid recipients\r\n"
	"503 5.5.1 One MAIL at a time\r\n",
	""},
    {"LHLO forgets", ENVELOPE "LHLO me\r\nDATA\r\n",
	TAKEN LHLO "503 5.5.1 No valid recipients\r\n", ""},
    {"RSET forgets", ENVELOPE "RSET\r\nDATA\r\nMAIL FROM:<>\r\n",
	TAKEN "250 2.0.0 Forgotten\r\n503 5.5.1 No valid recipients\r\n" SENDER,
	""},
    {"arguments too many", ENVELOPE "DATA x\r\nRSET x\r\nQUIT x\r\n",
	TAKEN "501 5.5.4 DATA stands alone\r\n501 5.5.4 RSET stands alone\r\n"
	      "501 5.5.4 QUIT stands alone\r\n",
	""},
    {"the rest",
	"NOOP\r\nNOOP x\r\nVRFY a\r\nVRFY\r\nEXPN a\r\nBDAT 3\r\n"
	"STARTTLS\r\nDATAX\r\nQUI\r\n\r\n",
	"250 2.0.0 OK\r\n250 2.0.0 OK\r\n252 2.5.2 Send a mail and see\r\n"
	"501 5.5.4 VRFY needs an address\r\n500 5.5.1 Unknown command\r\n"
	"500 5.5.1 Unknown command\r\n500 5.5.1 Unknown command\r\n"
	"500 5.5.1 Unknown command\r\n500 5.5.1 Unknown command\r\n"
	"500 5.5.1 Unknown command\r\n",
	""},
    /* lines */
    {"bare LF ends a command", "NOOP\nNOOP\r\n",
	"250 2.0.0 OK\r\n250 2.0.0 OK\r\n", ""},
    {"blanks at the end", "NOOP \t \r\n", "250 2.0.0 OK\r\n", ""},
    {"control characters", "NOOP \001\r\nNO\rOP\r\nNOOP \177\r\n",
	"500 5.5.2 A control character\r\n500 5.5.2 A control character\r\n"
	"500 5.5.2 A control character\r\n",
	""},
    {"no line end yet", "NOOP", "", ""},
};

static void
note(char *trace, size_t size, const char *data, size_t len)
{
	size_t n = strlen(trace);

	assert_true(n + len < size);
	memcpy(trace + n, data, len);
	trace[n + len] = '\0';
}

static void
note_event(char *trace, size_t size, const struct lmtp_session *s,
    enum lmtp_event event)
{
	char text[256] = "";

	if (event == LMTP_BEGIN)
		strncpy(text, "[begin]", sizeof(text) - 1);
	else if (event == LMTP_MAIL)
		snprintf(text, sizeof(text), "[mail %s %s]",
		    lmtp_session_sender(s), lmtp_session_recipient(s));
	else if (event == LMTP_DROP)
		strncpy(text, "[drop]", sizeof(text) - 1);
	else if (event == LMTP_CLOSE)
		strncpy(text, "[close]", sizeof(text) - 1);
	note(trace, size, text, strlen(text));
}

/* Feeds in pieces of `step` octets; what was not taken comes again. */
static void
converse(struct lmtp_session *s, const char *in, size_t len, size_t step,
    char *trace, size_t size)
{
	enum lmtp_event event;
	const char *data;
	size_t n, got, piece, end;

	for (size_t pos = 0; pos < len; pos = end) {
		end = len - pos < step ? len : pos + step;
		for (size_t at = pos; at < end; at += n) {
			/* On the heap, so that reading past it is seen. */
			char *copy;

			piece = end - at;
			copy = malloc(piece);
			assert_non_null(copy);
			memcpy(copy, in + at, piece);
			n = lmtp_session_feed(
			    s, copy, piece, &event, &data, &got);
			assert_true(n <= piece);
			assert_true(n > 0 || event != LMTP_NOTHING);
			if (event == LMTP_DATA)
				note(trace, size, data, got);
			else
				note_event(trace, size, s, event);
			free(copy);
			if (event == LMTP_MAIL) {
				assert_true(lmtp_session_waiting(s));
				assert_int_equal(lmtp_session_feed(s, "x", 1,
						     &event, &data, &got),
				    0);
				lmtp_session_answer(s, "250 2.0.0", "kept");
			}
			if (event == LMTP_CLOSE)
				return;
		}
	}
}

static void
each_dialogue(void **state)
{
	char out[2048], trace[2048];
	const char *text;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		for (size_t step = 1; step <= 1000;
		     step += step < 9 ? 1 : 991) {
			const struct dialogue *d = &dialogues[i];
			struct lmtp_session *s =
			    lmtp_session_new("keys.example", 40);

			assert_non_null(s);
			trace[0] = '\0';
			converse(s, d->in, strlen(d->in), step, trace,
			    sizeof(trace));
			text = lmtp_session_output(s, &len);
			assert_true(len < sizeof(out));
			memcpy(out, text, len);
			out[len] = '\0';
			if (strcmp(out + strlen(GREETING), d->out) != 0 ||
			    (d->events != NULL &&
				strcmp(trace, d->events) != 0))
				print_error(
				    "case: %s, step %zu\n", d->name, step);
			assert_memory_equal(out, GREETING, strlen(GREETING));
			assert_string_equal(out + strlen(GREETING), d->out);
			if (d->events != NULL)
				assert_string_equal(trace, d->events);
			else
				assert_non_null(strstr(trace, "[drop]"));
			lmtp_session_free(s);
		}
}

/* Feeds text, and returns what was said since the last time. */
static const char *
hear(struct lmtp_session *s, const char *in, size_t in_len)
{
	static char out[65536];
	char trace[256] = "";
	const char *text;
	size_t len;

	text = lmtp_session_output(s, &len);
	lmtp_session_sent(s, len);
	converse(s, in, in_len, in_len, trace, sizeof(trace));
	text = lmtp_session_output(s, &len);
	assert_true(len < sizeof(out));
	memcpy(out, text, len);
	out[len] = '\0';
	return out;
}

static void
long_lines(void **state)
{
	struct lmtp_session *s = lmtp_session_new("h", 40);
	char line[2 * LMTP_LINE_MAX + 16];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	/* The CR counts, the LF does not. */
	line[LMTP_LINE_MAX - 1] = '\r';
	line[LMTP_LINE_MAX] = '\n';
	assert_string_equal(
	    hear(s, line, LMTP_LINE_MAX + 1), "250 2.0.0 OK\r\n");
	line[LMTP_LINE_MAX - 1] = 'x';
	line[LMTP_LINE_MAX] = '\r';
	line[LMTP_LINE_MAX + 1] = '\n';
	assert_string_equal(
	    hear(s, line, LMTP_LINE_MAX + 2), "500 5.5.2 Line too long\r\n");
	/* Its rest is no command, in whatever pieces it comes. */
	memset(line, 'x', sizeof(line));
	assert_string_equal(hear(s, line, sizeof(line)), "");
	assert_string_equal(hear(s, "NOOP", 4), "");
	assert_string_equal(hear(s, "\r\n", 2), "500 5.5.2 Line too long\r\n");
	assert_string_equal(hear(s, "NOOP\r\n", 6), "250 2.0.0 OK\r\n");
	assert_string_equal(
	    hear(s, "NO\0OP\r\n", 7), "500 5.5.2 A control character\r\n");
	lmtp_session_free(s);
}

static void
many_recipients(void **state)
{
	struct lmtp_session *s = lmtp_session_new("h", 40);
	const char *out, *p;
	size_t n = 0;

	(void)state;
	hear(s, "LHLO me\r\nMAIL FROM:<>\r\n", 23);
	for (int i = 0; i < LMTP_RECIPIENTS_MAX; i++)
		assert_string_equal(hear(s, "RCPT TO:<a@b>\r\n", 15), RCPT);
	assert_string_equal(hear(s, "RCPT TO:<a@b>\r\n", 15),
	    "452 4.5.3 Too many recipients\r\n");
	out = hear(s, "DATA\r\n.\r\n", 9);
	for (p = out; (p = strstr(p, "250 2.0.0 <a@b> kept\r\n")) != NULL; p++)
		n++;
	assert_int_equal(n, LMTP_RECIPIENTS_MAX);
	lmtp_session_free(s);
}

static void
many_errors(void **state)
{
	struct lmtp_session *s = lmtp_session_new("h", 40);

	(void)state;
	for (int i = 1; i < LMTP_ERRORS_MAX; i++)
		assert_string_equal(
		    hear(s, "X\r\n", 3), "500 5.5.1 Unknown command\r\n");
	assert_false(lmtp_session_closed(s));
	assert_string_equal(
	    hear(s, "X\r\n", 3), "421 4.7.0 Too many errors\r\n");
	assert_true(lmtp_session_closed(s));
	assert_string_equal(hear(s, "NOOP\r\n", 6), "");
	lmtp_session_free(s);
}

/* What the gateway or the wire hand over cannot end an answer's line. */
static void
answer_is_one_line(void **state)
{
	struct lmtp_session *s = lmtp_session_new("h", 40);
	enum lmtp_event event;
	const char *in = ENVELOPE "DATA\r\n.\r\n", *data, *out;
	size_t size, len;

	(void)state;
	do
		in +=
		    lmtp_session_feed(s, in, strlen(in), &event, &data, &size);
	while (event != LMTP_MAIL);
	lmtp_session_output(s, &len);
	lmtp_session_sent(s, len);
	lmtp_session_answer(s, "451 4.3.0", "no\r\n250 yes");
	out = lmtp_session_output(s, &len);
	assert_int_equal(len, strlen("451 4.3.0 <b@keys.example> no??250 yes"
				     "\r\n"));
	assert_memory_equal(
	    out, "451 4.3.0 <b@keys.example> no??250 yes\r\n", len);
	/* An answer that nobody waits for is none. */
	lmtp_session_sent(s, len);
	lmtp_session_answer(s, "250 2.0.0", "again");
	lmtp_session_output(s, &len);
	assert_int_equal(len, 0);
	lmtp_session_free(s);
	lmtp_session_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_dialogue),
	    cmocka_unit_test(long_lines), cmocka_unit_test(many_recipients),
	    cmocka_unit_test(many_errors),
	    cmocka_unit_test(answer_is_one_line)};

	return cmocka_run_group_tests_name("lmtp", tests, NULL, NULL);
}
