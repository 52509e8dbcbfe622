/*
 * What the reader finds in a mail, and the record that carries it.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/mail.h"
#include "mailkeyd/mail_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW 1700000000

static char *alice, *alice_crlf, *alice_base64, *bob, *secret, *revocation,
    *message, *signature;

/* ---- tools --------------------------------------------------------------- */

static char *
slurp(const char *name, size_t *len)
{
	char path[128], *text;
	FILE *in, *out;
	int c;

	snprintf(path, sizeof(path), "tests/keys/reader/%s", name);
	in = fopen(path, "r");
	if (in == NULL)
		fail_msg("%s: run from the top of the tree", path);
	out = open_memstream(&text, len);
	assert_non_null(out);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	assert_int_equal(fclose(out), 0);
	return text;
}

static char *
with_crlf(const char *s)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (; *s != '\0'; s++)
		fputs(*s == '\n' ? "\r\n" : (char[]){*s, '\0'}, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static char *
base64(const char *octets, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 |
			    (i + k < n ? (unsigned char)octets[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			putc(i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63],
			    out);
		if (i % 54 == 51)
			putc('\n', out);
	}
	putc('\n', out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Quoted-printable, with one letter encoded that need not be. */
static char *
quoted(const char *s)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (; *s != '\0'; s++)
		if (*s == '=' || *s == 'B')
			fprintf(out, "=%02X", (unsigned)*s);
		else
			putc(*s, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

__attribute__((format(printf, 1, 2))) static char *
text_of(const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	assert_int_not_equal(vasprintf(&text, format, ap), -1);
	va_end(ap);
	return text;
}

/* Parses a copy of its own size, and sends the result through a record. */
static struct mail
parse_octets(const char *raw, size_t len, const struct mail_limits *limits)
{
	struct ipc_out out = {0}, again = {0};
	struct ipc_in in = {0};
	struct mail m, got;
	char *copy = malloc(len);

	assert_true(copy != NULL || len == 0);
	if (len > 0)
		memcpy(copy, raw, len);
	assert_int_equal(
	    mail_parse(copy, len, limits, &pgp_policy_default, NOW, &m), 0);
	free(copy);
	mail_put(&out, &m);
	mail_free(&m);
	assert_false(out.failed);
	in.data = out.data;
	in.len = out.len;
	assert_int_equal(mail_get(&in, &got), 0);
	mail_put(&again, &got);
	assert_int_equal(again.len, out.len);
	assert_memory_equal(again.data, out.data, out.len);
	ipc_out_free(&again);
	ipc_out_free(&out);
	return got;
}

static struct mail
parse(const char *raw)
{
	return parse_octets(raw, strlen(raw), &mail_limits_default);
}

static void
check(const char *name, const char *what, const char *is, const char *should)
{
	if (is == NULL ? should != NULL
		       : should == NULL || strcmp(is, should) != 0)
		fail_msg("%s: %s is \"%s\", not \"%s\"", name, what,
		    is == NULL ? "(none)" : is,
		    should == NULL ? "(none)" : should);
}

/* ---- header -------------------------------------------------------------- */

static const struct {
	const char *raw, *subject;
} subjects[] = {
    {"Subject: GET 0x12345678", "GET 0x12345678"},
    {"subject:GET x", "GET x"},
    {"SUBJECT : \t GET x  ", "GET x"},
    {"Subject: GET\n x", "GET x"},
    {"Subject: GET\r\n\tx\r\n  y", "GET x y"},
    {"Subject:", ""},
    {"Subject:\n  ", ""},
    {"X: y", NULL},
    {"Subject: GET \"Alice Example\"", "GET \"Alice Example\""},
    {"Subject: GET  a \\ b", "GET a \\ b"},
    {"Subject: =?utf-8?Q?GET_J=C3=B6rg?=", "GET J\xc3\xb6rg"},
    {"Subject: =?UTF-8?b?R0VUIErDtnJn?=", "GET J\xc3\xb6rg"},
    {"Subject: =?utf-8?q?GET?= =?utf-8?q?_x?=", "GET x"},
    {"Subject: =?utf-8?q?GE?=\n =?utf-8?q?T_x?=", "GET x"},
    {"Subject: =?utf-8?q?GET?= x", "GET x"},
    {"Subject: GET =?iso-8859-1?q?J=F6rg?=", "GET J\xc3\xb6rg"},
    {"Subject: =?iso-8859-15?q?GET_=A4?=", "GET \xe2\x82\xac"},
    {"Subject: =?windows-1252?q?=80?=", "\xe2\x82\xac"},
    {"Subject: =?koi8-r?B?8NLJ18XU?=",
	"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"},
    {"Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac"},
    {"Subject: =?utf-8*de?Q?GET_x?=", "GET x"},
    /* a character cut in two */
    {"Subject: =?utf-8?Q?J=C3?= =?utf-8?Q?=B6rg?=", "J\xc3\xb6rg"},
    {"Subject: =?x-unknown?Q?GET_J=F6rg?=", "GET J\xc3\xb6rg"},
    {"Subject: =?utf-8?X?GET?=", "=?utf-8?X?GET?="},
    {"Subject: =?utf-8?Q?GET", "=?utf-8?Q?GET"},
    {"Subject: =?", "=?"},
    {"Subject: =??Q?x?=", "=??Q?x?="},
    {"Subject: =?utf-8?Q?"
     "?=",
	""},
    {"Subject: a =?utf-8?Q?=3D=3F?= b", "a =? b"},
    /* what must not get through */
    {"Subject: =?utf-8?Q?a=0d=0aBcc:_x?=", "a Bcc: x"},
    {"Subject: =?utf-8?Q?a=00b?=", "a b"},
    {"Subject: =?utf-8?Q?a=1b[31mb?=", "a [31mb"},
    {"Subject: =?utf-8?Q?a=C2=85b?=", "a b"},
    {"Subject: =?utf-8?Q?a=E2=80=AEb=E2=81=A6c?=", "a b c"},
    {"Subject: =?utf-8?Q?a=E2=80=A8b?=", "a b"},
    {"Subject: a\x01\x02 b\x7f", "a b"},
    {"Subject: J\xf6rg", "J\xef\xbf\xbdrg"},
    {"Subject: =?utf-8?Q?a=C3?=", "a\xef\xbf\xbd"},
    {"Subject: =?utf-8?Q?=ED=A0=80?=", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"Subject: =?utf-8?Q?=C0=AF?=", "\xef\xbf\xbd\xef\xbf\xbd"},
};

static void
test_subjects(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		char *raw = text_of("%s\n\nbody", subjects[i].raw);
		struct mail m = parse(raw);

		check(
		    subjects[i].raw, "subject", m.subject, subjects[i].subject);
		mail_free(&m);
		free(raw);
	}
}

/* One string of struct mail after another. */
static const struct {
	const char *name, *raw;
	size_t field;
	const char *value;
} headers[] = {
#define F(field) offsetof(struct mail, field)
    {"from", "From: A <a@b.c>", F(from), "a@b.c"},
    {"from, folded", "From: A\n <a@b.c>", F(from), "a@b.c"},
    {"no address", "From: <>", F(from), NULL},
    {"two From", "From: a@b.c\nFrom: a@b.c", F(from), NULL},
    {"three From", "From: a@b\nFrom: a@b\nFrom: a@b", F(from), NULL},
    {"reply-to", "Reply-To: A <a@b.c>", F(reply_to), "a@b.c"},
    {"two in one", "Reply-To: a@b.c, d@e.f", F(reply_to), NULL},
    {"two fields", "Reply-To: a@b.c\nReply-To: d@e.f", F(reply_to), NULL},
    {"msgid", "Message-ID: <a@b>", F(message_id), "<a@b>"},
    {"msgid, Id", "Message-Id:\n <a@b>", F(message_id), "<a@b>"},
    {"msgid, comment", "Message-ID: <a@b> (x)", F(message_id), "<a@b>"},
    {"msgid, no brackets", "Message-ID: a@b", F(message_id), NULL},
    {"msgid, blank", "Message-ID: <a b@c>", F(message_id), NULL},
    {"msgid, 8 bit", "Message-ID: <a\xc3\xa4@c>", F(message_id), NULL},
    {"msgid, empty", "Message-ID: <>", F(message_id), NULL},
    {"raw msgid", "Message-ID: a b", F(raw_message_id), "a b"},
    {"references", "References: <a@b>\n <c@d> junk <e f>", F(references),
	"<a@b> <c@d>"},
    {"references, last 10",
	"References: <1@a><2@a><3@a><4@a><5@a><6@a><7@a><8@a><9@a><10@a><11@a>",
	F(references),
	"<2@a> <3@a> <4@a> <5@a> <6@a> <7@a> <8@a> <9@a> <10@a> <11@a>"},
    {"in-reply-to", "In-Reply-To: <a@b>", F(references), "<a@b>"},
    {"references first", "In-Reply-To: <a@b>\nReferences: <c@d>", F(references),
	"<c@d>"},
    {"return-path", "Return-Path: <a@b.c>\nReceived: x", F(return_path),
	"a@b.c"},
    {"null sender", "Return-Path: <>\nReceived: x", F(return_path), ""},
    {"bang path", "Return-Path: <site!user@site>", F(return_path),
	"site!user@site"},
    {"below Received", "Received: x\nReturn-Path: <a@b.c>", F(return_path),
	NULL},
    {"two return-paths", "Return-Path: <>\nReturn-Path: <a@b>", F(return_path),
	""},
    {"return-path with ESC", "Return-Path: <a\x1b@b>", F(return_path), NULL},
    {"delivered-to", "Delivered-To: k@x", F(delivered_to), "k@x"},
    {"x-original-to", "X-Original-To: k@x", F(delivered_to), "k@x"},
    {"envelope-to", "Envelope-to: k@x", F(delivered_to), "k@x"},
    {"order of these",
	"Envelope-to: 1\nX-Original-To: 2\nDelivered-To: 3\nDelivered-To: 4",
	F(delivered_to), "3"},
    {"auto-submitted", "Auto-Submitted: auto-replied", F(auto_submitted),
	"auto-replied"},
    {"no", "Auto-Submitted: No", F(auto_submitted), "no"},
    {"comment", "Auto-Submitted: (a (b) \\) c) no; x=y", F(auto_submitted),
	"no"},
    {"parameters", "Auto-Submitted: auto-generated; a=b (c)", F(auto_submitted),
	"auto-generated"},
    {"no and yes", "Auto-Submitted: no\nAuto-Submitted: auto-notified",
	F(auto_submitted), "auto-notified"},
    {"yes and no", "Auto-Submitted: auto-notified\nAuto-Submitted: no",
	F(auto_submitted), "auto-notified"},
    {"nothing said", "Auto-Submitted:", F(auto_submitted), ""},
    {"comment without end", "Auto-Submitted: (no", F(auto_submitted), ""},
    {"precedence", "Precedence: Bulk", F(precedence), "bulk"},
    {"precedences", "Precedence: normal\nPrecedence: list\nPrecedence: x",
	F(precedence), "list"},
    {"x-loop", "X-Loop: a@b\nX-Loop: c@d", F(x_loop), "a@b\nc@d"},
    {"keyserver sent", "X-KeyServer-Sent: a@b", F(keyserver_sent), "a@b"},
    {"keyserver sent, both spellings",
	"X-KeyServer-Sent: a@b\nX-Keyserver-Sent: c@d\nX-KEYSERVER-SENT:e@f",
	F(keyserver_sent), "a@b\nc@d\ne@f"},
    {"keyserver sent, stray blanks",
	"X-KeyServer-Sent:  \t a@b \t\nX-Keyserver-Sent:\n c@d \n"
	"X-KeyServer-Sent: \nX-KeyServer-Sent:",
	F(keyserver_sent), "a@b\nc@d"},
    {"keyserver sent, what cannot go out again",
	"X-KeyServer-Sent: \xe9@b\nX-KeyServer-Sent: c\x01@d\n"
	"X-KeyServer-Sent: e@f",
	F(keyserver_sent), "e@f"},
    {"raw received", "Received: by x\n\tid 1\nReceived: by y", F(raw_received),
	"by x\tid 1"},
    {"raw resent-id", "Resent-Message-ID: <1>\nResent-Message-ID: <2>",
	F(raw_resent_id), "<1>"},
    {"raw subject", "Subject: =?utf-8?Q?x?=\n y", F(raw_subject),
	"=?utf-8?Q?x?= y"},
    {"raw subject, 8 bit", "Subject: J\xf6rg", F(raw_subject), "J\xf6rg"},
    {"a line that is no field", "this is junk\nFrom: a@b.c", F(from), "a@b.c"},
    {"an mbox line quoted", ">From x\nFrom: a@b.c", F(from), "a@b.c"},
    {"an mbox line", "From x Mon Jan 1\nFrom: a@b.c", F(from), "a@b.c"},
    {"begins with a fold", " x\nFrom: a@b.c", F(from), "a@b.c"},
#undef F
};

static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		for (unsigned crlf = 0; crlf < 2; crlf++) {
			char *lf = text_of("%s\n\nbody", headers[i].raw);
			char *raw = crlf ? with_crlf(lf) : strdup(lf);
			struct mail m = parse(raw);

			assert_int_equal(m.verdict, MAIL_SOUND);
			check(headers[i].name, headers[i].raw,
			    *(char **)((char *)&m + headers[i].field),
			    headers[i].value);
			mail_free(&m);
			free(raw);
			free(lf);
		}
	}
}

static void
test_counts(void **state)
{
	struct mail m = parse("Received: a\nReceived: b\nFrom: a@b\nFrom: a@b\n"
			      "Subject: first\nSubject: second\n"
			      "List-Id: x\n\n");

	(void)state;
	assert_int_equal(m.nreceived, 2);
	assert_int_equal(m.nfrom, 2);
	assert_int_equal(m.nsubject, 2);
	assert_string_equal(m.subject, "first");
	assert_true(m.list);
	mail_free(&m);
	m = parse("X-List-Id: x\nList: y\n\nList-Id: body\n");
	assert_false(m.list);
	assert_int_equal(m.nfrom, 0);
	assert_int_equal(m.nsubject, 0);
	mail_free(&m);
}

static void
test_long_msgid(void **state)
{
	(void)state;
	for (int past = 0; past < 2; past++) {
		char *raw = text_of(
		    "Message-ID: <%0*d>\n\n", MAIL_MSGID_MAX - 2 + past, 1);
		struct mail m = parse(raw);

		assert_int_equal(m.message_id != NULL, past == 0);
		assert_non_null(m.raw_message_id);
		mail_free(&m);
		free(raw);
	}
}

/* Strings that are larger decoded than the record may hold are cut. */
static void
test_long_strings(void **state)
{
	size_t len;
	char *raw;
	FILE *out = open_memstream(&raw, &len);
	struct mail m;

	(void)state;
	assert_non_null(out);
	fputs("Subject: ", out);
	for (int i = 0; i < 16000; i++)
		putc(0xf6, out);
	for (int k = 0; k < 20; k++) {
		fputs("\nX-Loop: ", out);
		for (int i = 0; i < 1000; i++)
			putc('x', out);
	}
	for (int k = 0; k < 40; k++)
		fprintf(out, "\nX-KeyServer-Sent: %0*d", 320 + (k & 1), k);
	fputs("\n\n", out);
	assert_int_equal(fclose(out), 0);
	m = parse(raw);
	assert_int_equal(strlen(m.subject), MAIL_STRING_MAX / 3 * 3);
	assert_int_equal(strlen(m.x_loop), 16 * 1001 - 1);
	assert_int_equal(strlen(m.keyserver_sent), 12 * 321 - 1);
	mail_free(&m);
	free(raw);
}

/* ---- verdicts ------------------------------------------------------------ */

static void
test_bent(void **state)
{
	struct mail m = parse("From: a@b.c\rBcc: x\n\n");

	(void)state;
	assert_int_equal(m.verdict, MAIL_BENT);
	assert_non_null(m.why);
	assert_null(m.from);
	mail_free(&m);
}

/* Too large: the header is read, the body is not. */
static void
test_over(void **state)
{
	struct mail_limits limits = mail_limits_default;
	char *raw = text_of("From: a@b.c\nSubject: ADD\n\n%s", alice);
	struct mail m;

	(void)state;
	limits.message_size = strlen(raw);
	m = parse_octets(raw, strlen(raw), &limits);
	assert_int_equal(m.verdict, MAIL_SOUND);
	assert_int_equal(m.ncerts, 1);
	mail_free(&m);
	limits.message_size--;
	m = parse_octets(raw, strlen(raw), &limits);
	assert_int_equal(m.verdict, MAIL_OVER);
	assert_non_null(strstr(m.why, "message_size"));
	assert_string_equal(m.from, "a@b.c");
	assert_string_equal(m.subject, "ADD");
	assert_int_equal(m.ncerts, 0);
	mail_free(&m);
	free(raw);
}

/* A text in so many multiparts. */
static char *
nested(unsigned depth)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("Subject: x\n", out);
	for (unsigned i = 0; i < depth; i++)
		fprintf(out,
		    "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i,
		    i);
	fprintf(out, "Content-Type: text/plain\n\n%s\n", alice);
	for (unsigned i = depth; i > 0; i--)
		fprintf(out, "--b%u--\n", i - 1);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
test_depth(void **state)
{
	(void)state;
	assert_int_equal(mail_limits_default.depth, 20);
	for (unsigned past = 0; past < 2; past++) {
		char *raw = nested(20 + past);
		struct mail m = parse(raw);

		assert_int_equal(m.verdict, past ? MAIL_OVER : MAIL_SOUND);
		assert_int_equal(m.ncerts, past ? 0 : 1);
		if (past)
			assert_non_null(strstr(m.why, "depth"));
		mail_free(&m);
		free(raw);
	}
}

/* Messages in messages: 20 levels pass the scan and the depth. */
static void
test_messages(void **state)
{
	(void)state;
	for (unsigned past = 0; past < 2; past++) {
		size_t len;
		char *raw;
		FILE *out = open_memstream(&raw, &len);
		struct mail m;

		assert_non_null(out);
		for (unsigned i = 0; i < 20 + past; i++)
			fputs("Content-Type: message/rfc822\n\n", out);
		fprintf(out, "Subject: x\n\n%s", alice);
		assert_int_equal(fclose(out), 0);
		m = parse(raw);
		assert_int_equal(m.verdict, past ? MAIL_OVER : MAIL_SOUND);
		assert_int_equal(m.ncerts, past ? 0 : 1);
		mail_free(&m);
		free(raw);
	}
}

static void
test_parts(void **state)
{
	(void)state;
	assert_int_equal(mail_limits_default.parts, 100);
	for (unsigned past = 0; past < 2; past++) {
		size_t len;
		char *raw;
		FILE *out = open_memstream(&raw, &len);
		struct mail m;

		assert_non_null(out);
		fputs("Content-Type: multipart/mixed; boundary=b\n\n", out);
		for (unsigned i = 0; i < 99 + past; i++)
			fputs("--b\n\ntext\n", out);
		fprintf(out, "--b\n\n%s\n--b--\n", alice);
		assert_int_equal(fclose(out), 0);
		m = parse(raw);
		assert_int_equal(m.verdict, past ? MAIL_OVER : MAIL_SOUND);
		assert_int_equal(m.ncerts, past ? 0 : 1);
		mail_free(&m);
		free(raw);
	}
}

/* ---- certificates -------------------------------------------------------- */

static void
check_certs(const char *name, const char *raw, size_t n)
{
	struct mail m = parse(raw);

	if (m.verdict != MAIL_SOUND || m.ncerts != n || m.nproblems != 0)
		fail_msg("%s: verdict %d, %zu certificates, problem: %s", name,
		    m.verdict, m.ncerts,
		    m.nproblems > 0 ? m.problems[0] : "none");
	for (size_t i = 0; i < n; i++)
		assert_true(
		    m.certs[i].fpr.len == 20 && m.certs[i].packets.len > 100);
	mail_free(&m);
}

#define MULTI "MIME-Version: 1.0\nContent-Type: multipart/"
#define BEGIN "; boundary=b\n\n--b\n"

static void
test_places_of_certificates(void **state)
{
	size_t len;
	char *binary = slurp("alice.gpg", &len);
	char *binary64 = base64(binary, len), *alice_quoted = quoted(alice);
	const struct {
		const char *name;
		size_t n;
		char *raw;
	} cases[] = {
	    {"plain", 1, text_of("Subject: ADD\n\n%s", alice)},
	    {"CR LF", 1, text_of("Subject: ADD\r\n\r\n%s", alice_crlf)},
	    {"text around", 2,
		text_of("A: b\n\nHello,\n%s\nand\n%s\nBye\n", alice, bob)},
	    {"the same twice", 2, text_of("A: b\n\n%s%s", alice, alice)},
	    {"a header with junk", 1,
		text_of("A: b\njunk\nContent-Type: text/plain\n"
			"Content-Transfer-Encoding: base64\n\n%s",
		    alice_base64)},
	    {"base64", 1,
		text_of(
		    "Content-Transfer-Encoding: base64\n\n%s", alice_base64)},
	    {"no type, blank before the colon", 1,
		text_of(
		    "Content-Transfer-Encoding : BASE64\n\n%s", alice_base64)},
	    {"quoted-printable", 1,
		text_of("Content-Type: application/pgp-keys\n"
			"Content-Transfer-Encoding: quoted-printable\n\n"
			"%s",
		    alice_quoted)},
	    {"attachment", 1,
		text_of(MULTI "mixed" BEGIN "\nhello\n--b\n"
			      "Content-Type: application/pgp-keys\n\n%s\n"
			      "--b--\n",
		    alice)},
	    {"binary", 1,
		text_of(MULTI
		    "mixed" BEGIN "Content-Type: application/"
		    "octet-stream; name=x\n"
		    "Content-Transfer-Encoding: base64\n\n%s\n--b--\n",
		    binary64)},
	    {"binary named .gpg", 1,
		text_of(MULTI
		    "mixed" BEGIN "Content-Type: image/x\n"
		    "Content-Disposition: attachment; "
		    "filename=\"a.GPG\"\n"
		    "Content-Transfer-Encoding: base64\n\n%s\n--b--\n",
		    binary64)},
	    {"binary of another kind", 0,
		text_of(MULTI
		    "mixed" BEGIN "Content-Type: image/png\n"
		    "Content-Transfer-Encoding: base64\n\n%s\n--b--\n",
		    binary64)},
	    {"alternative", 1,
		text_of(MULTI "alternative" BEGIN
			      "Content-Type: text/plain\n\n%s\n--b\n"
			      "Content-Type: text/html\n\n<pre>%s</pre>\n"
			      "--b--\n",
		    alice, bob)},
	    {"HTML alone", 1,
		text_of("Content-Type: text/html\n\n"
			"<html><p>Hi &amp;</p><pre>%s</pre></html>",
		    alice)},
	    {"forwarded", 1,
		text_of(MULTI "mixed" BEGIN "\nlook\n--b\n"
			      "Content-Type: message/rfc822\n\n"
			      "Subject: y\nFrom: x@y\n\n%s\n--b--\n",
		    alice)},
	    {"signed", 1,
		text_of(MULTI "signed" BEGIN "\n%s\n--b\n"
			      "Content-Type: application/pgp-signature\n\n"
			      "%s\n--b--\n",
		    alice, signature)},
	    {"signature in the text", 1,
		text_of("A: b\n\n%s\n%s\n", alice, signature)},
	    {"no block", 0, text_of("Subject: GET x\n\nhello\n")},
	    {"empty", 0, text_of("Subject: GET x\n\n")},
	    {"no body", 0, text_of("Subject: GET x\n")},
	    {"multipart without boundary", 1,
		text_of("Content-Type: multipart/mixed\n\n%s", alice)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_certs(cases[i].name, cases[i].raw, cases[i].n);
		free(cases[i].raw);
	}
	free(alice_quoted);
	free(binary64);
	free(binary);
}

static void
test_revocation(void **state)
{
	char *raw = text_of("A: b\n\n%s\n%s", revocation, bob);
	struct mail m = parse(raw);

	(void)state;
	assert_int_equal(m.nrevocations, 1);
	assert_int_equal(m.ncerts, 1);
	assert_int_equal(m.nproblems, 0);
	mail_free(&m);
	free(raw);
}

/* Of a secret key nothing is kept; its neighbour is. */
static void
test_secret(void **state)
{
	char *raw = text_of("A: b\n\n%s\n%s", secret, alice);
	struct mail m = parse(raw);

	(void)state;
	assert_int_equal(m.nsecret, 1);
	assert_int_equal(m.ncerts, 1);
	assert_int_equal(m.nproblems, 0);
	mail_free(&m);
	free(raw);
}

static void
test_too_many(void **state)
{
	(void)state;
	assert_int_equal(mail_limits_default.keys, 50);
	for (unsigned past = 0; past < 2; past++) {
		size_t len;
		char *raw;
		FILE *out = open_memstream(&raw, &len);
		struct mail m;

		assert_non_null(out);
		fputs("A: b\n\n", out);
		for (unsigned i = 0; i < 50 + past; i++)
			fputs(i % 2 ? alice : bob, out);
		assert_int_equal(fclose(out), 0);
		m = parse(raw);
		assert_int_equal(m.ncerts, 50);
		assert_int_equal(m.nover, past);
		mail_free(&m);
		free(raw);
	}
}

/* ---- problems ------------------------------------------------------------ */

static void
check_problem(const char *name, char *raw, size_t ncerts, const char *says)
{
	struct mail m = parse(raw);

	if (m.nproblems != 1 || m.ncerts != ncerts ||
	    strstr(m.problems[0], says) == NULL)
		fail_msg("%s: %zu certificates, %zu problems: %s", name,
		    m.ncerts, m.nproblems,
		    m.nproblems > 0 ? m.problems[0] : "none");
	mail_free(&m);
	free(raw);
}

static void
test_problems(void **state)
{
	char *cut = strdup(alice), *bent = strdup(alice), *sum = strdup(alice);

	(void)state;
	*strstr(cut, "-----END") = '\0';
	bent[60] = '!';
	memcpy(strrchr(sum, '=') + 1, "AAAA", 4);
	check_problem("no END", text_of("A: b\n\nhi\n\n%s", cut), 0,
	    "The armored block in line 3 has no END line");
	check_problem("no base64", text_of("A: b\n\n%s\n%s", bent, bob), 1,
	    "The armored block in line 1 has a line that is no base64");
	check_problem(
	    "checksum", text_of("A: b\n\n%s", sum), 1, "wrong checksum");
	check_problem("in a part",
	    text_of(MULTI "mixed" BEGIN "\nhello\n--b\n"
			  "Content-Type: application/pgp-keys; "
			  "name=\"k=1b.asc\"\n\n%s\n--b--\n",
		bent),
	    0, "in line 1 of part 2 (\"k=1b.asc\")");
	check_problem("name with an escape",
	    text_of(MULTI "mixed" BEGIN "Content-Type: application/pgp-keys; "
			  "name=\"=?utf-8?Q?a=1Bb?=\"\n\n%s\n--b--\n",
		bent),
	    0, "part 1 (\"a b\")");
	check_problem("encrypted", text_of("A: b\n\n%s", message), 0,
	    "The armored block in line 1 is a message");
	check_problem("nothing in it",
	    text_of("A: b\n\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"
		    "yv8=\n-----END PGP PUBLIC KEY BLOCK-----\n"),
	    0, "in line 1");
	free(cut);
	free(bent);
	free(sum);
}

static const struct {
	const char *name;
	const char *octets;
	size_t len;
	const char *says;
} versions[] = {
    /* LibrePGP's example */
    {"version 5",
	"\x98\x37\x05\x5c\x91\xf4\xe4\x16\0\0\0\x2d\x09"
	"\x2b\x06\x01\x04\x01\xda\x47\x0f\x01\x01\x07\x40"
	"\x58\x59\x95\x57\x15\x56\xdc\x1f\xfb\x6d\x71\x35\x03\xd7\xf9\xe7"
	"\x0c\x24\x90\x4b\xd0\xc3\xdd\x7e\x3e\xf9\x8a\xec\x7e\x9b\x2f\x10",
	57,
	"This server cannot verify the key with the fingerprint 19347BC98724640"
	"25F99DF3EC2E0000ED9884892E1F7B3EA4C94009159569B54 (version 5, "
	"algorithm 22): it was not stored."},
    {"version 7", "\x98\x06\x07\x5c\x91\xf4\xe4\x16", 8,
	"A key in here is of version 7, which this server does not know: it "
	"was not stored."},
};

/* A key of another version is named; of 3 and 6 in tests/mail. */
static void
test_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct mail m = {.verdict = MAIL_SOUND};
		struct mail_reading r = {.mail = &m,
		    .policy = &pgp_policy_default,
		    .now = NOW,
		    .limit = 1};

		assert_int_equal(mail_certs_packets(&r,
				     (const unsigned char *)versions[i].octets,
				     versions[i].len, "here"),
		    0);
		if (m.nproblems != 1 || m.ncerts != 0 ||
		    strcmp(m.problems[0], versions[i].says) != 0)
			fail_msg("%s: %zu problems: %s", versions[i].name,
			    m.nproblems, m.nproblems > 0 ? m.problems[0] : "");
		mail_free(&m);
	}
}

#define BLOCKS	    20000
#define CPU_SECONDS 2

/* Lines are counted once, not for each block anew. */
static void
test_many_blocks(void **state)
{
	struct mail m = {.verdict = MAIL_SOUND};
	struct mail_reading r = {.mail = &m, .policy = &pgp_policy_default};
	unsigned blocks = 0;
	clock_t begun;
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	for (int i = 0; i < BLOCKS; i++)
		fputs("-----BEGIN PGP SIGNATURE-----\n\niAMEAAA=\n"
		      "-----END PGP SIGNATURE-----\n",
		    out);
	fputs(message, out);
	assert_int_equal(fclose(out), 0);
	begun = clock();
	assert_int_equal(mail_certs_text(&r, text, len, "", &blocks), 0);
	assert_true(clock() - begun < CPU_SECONDS * CLOCKS_PER_SEC);
	assert_int_equal(blocks, BLOCKS + 1);
	assert_int_equal(m.nproblems, 1);
	assert_non_null(strstr(m.problems[0], "in line 80001 is a message"));
	mail_free(&m);
	free(text);
}

/* Whatever is sent, there are never more than so many. */
static void
test_many_problems(void **state)
{
	size_t len;
	char *raw;
	FILE *out = open_memstream(&raw, &len);
	struct mail m;

	(void)state;
	assert_non_null(out);
	fputs("A: b\n\n", out);
	for (int i = 0; i < 100; i++)
		fputs("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n"
		      "-----END PGP PUBLIC KEY BLOCK-----\n",
		    out);
	assert_int_equal(fclose(out), 0);
	m = parse(raw);
	assert_int_equal(m.nproblems, MAIL_PROBLEMS);
	mail_free(&m);
	free(raw);
}

static void
test_html(void **state)
{
	static const struct {
		const char *html, *text;
	} cases[] = {
	    {"a<br>b<BR/>c", "a\nb\nc"},
	    {"<p>a</p><b>b</b><brx>c", "a\nbc"},
	    {"<div>a</div>\n <div>b</div>\r\n<p>&nbsp;</p>c", "a\nb\n \nc"},
	    {"a\n  b<br>\nc", "a b\nc"},
	    {"<pre>a\n  b</pre>\n<p>c\nd", "a\n  b\nc d"},
	    {"<div style='white-space: pre-wrap'>a\nb", "a\nb"},
	    {"no such tag:\n<b>a</b>\nb", "no such tag:\na\nb"},
	    {"a&#43;b&#x3D;c&lt;d&gt;&amp;&nbsp;", "a+b=c<d>& "},
	    {"a&x;b&#0;&#999999999;&;&", "a&x;b&#0;&#999999999;&;&"},
	    {"a<b", "a<b"},
	    {"<<<", "<<<"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;
		char *text =
		    mail_html_text(cases[i].html, strlen(cases[i].html), &len);

		assert_int_equal(len, strlen(cases[i].text));
		check(cases[i].html, "text", text, cases[i].text);
		free(text);
	}
}

/* ---- the record ---------------------------------------------------------- */

static char bad_utf8[] = "a\xff", control[] = "a\nb", address[] = "a%b@c",
	    msgid[] = "<a b>", msgids[] = "<a@b>  <c@d>", raw_lf[] = "a\nb",
	    sound[] = "a";

/* Faults that a child which was taken over could write. */
static void
spoil(struct mail *m, unsigned fault)
{
	static char *bad_problem[] = {control};
	static char *no_problem[] = {NULL};

	memset(m, 0, sizeof(*m));
	switch (fault) {
	case 0:
		m->verdict = (enum mail_verdict)3;
		m->why = sound;
		break;
	case 1:
		m->verdict = MAIL_OVER; /* and no why */
		break;
	case 2:
		m->subject = bad_utf8;
		break;
	case 3:
		m->subject = control;
		break;
	case 4:
		m->from = address;
		break;
	case 5:
		m->reply_to = address;
		break;
	case 6:
		m->message_id = msgid;
		break;
	case 7:
		m->references = msgids;
		break;
	case 8:
		m->return_path = control;
		break;
	case 9:
		m->raw_subject = raw_lf;
		break;
	case 10:
		m->problems = bad_problem;
		m->nproblems = 1;
		break;
	case 11:
		m->problems = no_problem;
		m->nproblems = 1;
		break;
	}
}

static int
get(const unsigned char *data, size_t len)
{
	struct ipc_in in = {.data = data, .len = len};
	struct mail m;
	int rc = mail_get(&in, &m);

	if (rc == 0)
		mail_free(&m);
	return rc;
}

static void
test_spoilt_records(void **state)
{
	(void)state;
	for (unsigned fault = 0; fault <= 12; fault++) {
		struct ipc_out out = {0};
		struct mail m;

		spoil(&m, fault);
		mail_put(&out, &m);
		/* the last is what nothing was spoilt in */
		if (get(out.data, out.len) != (fault == 12 ? 0 : -1))
			fail_msg("fault %u", fault);
		ipc_out_free(&out);
	}
}

/* As many sentences as a record may have, and one more, which mail_put() could
 * not write. */
static void
test_record_of_problems(void **state)
{
	(void)state;
	for (uint32_t n = MAIL_PROBLEMS; n <= MAIL_PROBLEMS + 1; n++) {
		struct mail m = {.verdict = MAIL_SOUND};
		struct ipc_out out = {0};

		mail_put(&out, &m);
		/* what stands behind them, and that there is none */
		out.len -= 4 * MAIL_REFUSALS + 8 + 4;
		ipc_put_u32(&out, n);
		for (uint32_t i = 0; i < n; i++) {
			ipc_put_str(&out, sound);
			ipc_put_u32(&out, 0);
		}
		for (unsigned i = 0; i < MAIL_REFUSALS; i++)
			ipc_put_u32(&out, 0);
		ipc_put_u64(&out, 0);
		assert_false(out.failed);
		assert_int_equal(
		    get(out.data, out.len), n == MAIL_PROBLEMS ? 0 : -1);
		ipc_out_free(&out);
	}
}

/* A truth that is neither 0 nor 1. */
static void
test_record_of_parts(void **state)
{
	static const unsigned char n[] = {4, 3, 2, 1};
	struct pgp_left_part part = {.whole = true, .n = 0x01020304};
	struct pgp_left_parts parts = {.part = &part, .n = 1};
	struct mail_cert cert = {.left = {.parts = &parts}};
	struct mail m = {.certs = &cert, .ncerts = 1};
	struct ipc_out out = {0};
	unsigned char *at;

	(void)state;
	mail_put(&out, &m);
	at = memmem(out.data, out.len, n, sizeof(n));
	assert_non_null(at);
	assert_int_equal(at[-4], 1);
	assert_int_equal(get(out.data, out.len), 0);
	at[-4] = 2;
	assert_int_equal(get(out.data, out.len), -1);
	ipc_out_free(&out);
}

/* Cut anywhere, or with something behind it, it is refused. */
static void
test_cut_records(void **state)
{
	char *raw = text_of("From: a@b.c\nSubject: x\n\n%s%s-----BEGIN PGP "
			    "PUBLIC KEY BLOCK-----\n",
	    alice, revocation);
	struct ipc_out out = {0};
	struct mail m;

	(void)state;
	assert_int_equal(mail_parse(raw, strlen(raw), &mail_limits_default,
			     &pgp_policy_default, NOW, &m),
	    0);
	assert_int_equal(m.nproblems, 1);
	assert_int_equal(m.nrevocations, 1);
	mail_put(&out, &m);
	mail_free(&m);
	for (size_t len = 0; len < out.len; len++) {
		unsigned char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, out.data, len);
		if (get(copy, len) != -1)
			fail_msg("cut at %zu of %zu", len, out.len);
		free(copy);
	}
	assert_int_equal(get(out.data, out.len), 0);
	ipc_put_u32(&out, 0);
	assert_int_equal(get(out.data, out.len), -1);
	ipc_out_free(&out);
	free(raw);
}

static int
setup(void **state)
{
	size_t len;

	(void)state;
	mail_parse_prepare(true);
	alice = slurp("alice.asc", &len);
	alice_base64 = base64(alice, len);
	alice_crlf = with_crlf(alice);
	bob = slurp("bob.asc", &len);
	secret = slurp("bob-secret.asc", &len);
	revocation = slurp("alice-revocation.asc", &len);
	message = slurp("message.asc", &len);
	signature = slurp("signature.asc", &len);
	return 0;
}

static int
teardown(void **state)
{
	char *all[] = {alice, alice_base64, alice_crlf, bob, secret, revocation,
	    message, signature};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_long_msgid),
	    cmocka_unit_test(test_long_strings),
	    cmocka_unit_test(test_bent),
	    cmocka_unit_test(test_over),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_places_of_certificates),
	    cmocka_unit_test(test_revocation),
	    cmocka_unit_test(test_secret),
	    cmocka_unit_test(test_too_many),
	    cmocka_unit_test(test_problems),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_many_blocks),
	    cmocka_unit_test(test_many_problems),
	    cmocka_unit_test(test_html),
	    cmocka_unit_test(test_spoilt_records),
	    cmocka_unit_test(test_record_of_problems),
	    cmocka_unit_test(test_record_of_parts),
	    cmocka_unit_test(test_cut_records),
	};

	return cmocka_run_group_tests_name(
	    "mail_parse", tests, setup, teardown);
}
