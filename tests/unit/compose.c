/*
 * How answers are written: headers that nothing gets into, encodings that
 * come back as they were, keys that gpg imports from the raw mail.
 */
#include "mailkeyd/mail.h"
#include "mailkeyd/mail_encode.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

#define FPR "6A52E93224136384212CC3DFCCB70D30E9A161A2"

/* Compose Test <compose@example.org>, Ed25519, of 2020 */
static const unsigned char cert[] = {0x98, 0x33, 0x04, 0x5e, 0x0d, 0x5d, 0xa5,
    0x16, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01, 0x01,
    0x07, 0x40, 0x1f, 0x35, 0xd7, 0x13, 0xbe, 0x14, 0xdb, 0x5a, 0xe4, 0x62,
    0x1a, 0x02, 0x13, 0x18, 0xa7, 0xa6, 0x51, 0xc9, 0x6e, 0x2e, 0xda, 0x16,
    0xaf, 0x21, 0x02, 0x6b, 0x7f, 0x22, 0x72, 0x42, 0x62, 0x03, 0xb4, 0x22,
    0x43, 0x6f, 0x6d, 0x70, 0x6f, 0x73, 0x65, 0x20, 0x54, 0x65, 0x73, 0x74,
    0x20, 0x3c, 0x63, 0x6f, 0x6d, 0x70, 0x6f, 0x73, 0x65, 0x40, 0x65, 0x78,
    0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, 0x3e, 0x88, 0x90,
    0x04, 0x13, 0x16, 0x08, 0x00, 0x38, 0x16, 0x21, 0x04, 0x6a, 0x52, 0xe9,
    0x32, 0x24, 0x13, 0x63, 0x84, 0x21, 0x2c, 0xc3, 0xdf, 0xcc, 0xb7, 0x0d,
    0x30, 0xe9, 0xa1, 0x61, 0xa2, 0x05, 0x02, 0x5e, 0x0d, 0x5d, 0xa5, 0x02,
    0x1b, 0x01, 0x05, 0x0b, 0x09, 0x08, 0x07, 0x02, 0x06, 0x15, 0x0a, 0x09,
    0x08, 0x0b, 0x02, 0x04, 0x16, 0x02, 0x03, 0x01, 0x02, 0x1e, 0x01, 0x02,
    0x17, 0x80, 0x00, 0x0a, 0x09, 0x10, 0xcc, 0xb7, 0x0d, 0x30, 0xe9, 0xa1,
    0x61, 0xa2, 0x35, 0xd7, 0x00, 0xff, 0x78, 0x5b, 0x66, 0x42, 0x2f, 0x8b,
    0xb8, 0xe5, 0x79, 0xce, 0x20, 0xc9, 0x2c, 0xe4, 0x0b, 0x82, 0xeb, 0x03,
    0xfb, 0x4a, 0xad, 0x5b, 0x17, 0x13, 0x14, 0x8b, 0x2f, 0x75, 0x91, 0xb3,
    0x42, 0xb8, 0x00, 0xff, 0x6c, 0x0e, 0xc9, 0x86, 0xe3, 0x74, 0x92, 0x4f,
    0x24, 0xe7, 0x1c, 0xf7, 0xb9, 0xf9, 0x5d, 0xd2, 0x78, 0x53, 0x1d, 0x95,
    0x1a, 0x84, 0x88, 0x32, 0x01, 0x7c, 0x08, 0x0b, 0xef, 0x5b, 0x16, 0x00};

#define TEXT "No matching keys in database\n"

static struct mail_answer
plain_answer(void)
{
	return (struct mail_answer){.from = "keys@keys.example.org",
	    .from_name = "Example key server",
	    .to = "alice+pgp@example.net",
	    .subject = "Your command, GET 0x12345678, failed",
	    .in_reply_to = "<1@example.net>",
	    .references = "<a@b> <c@d>",
	    .text = TEXT,
	    .text_len = strlen(TEXT),
	    .date = 1763804100};
}

static char id[128];

/* Composes; the mail ends in a NUL. */
static char *
compose(const struct mail_answer *a, size_t *len)
{
	struct pgp_blob out;
	char *s;

	assert_int_equal(mail_compose(a, &out, id, sizeof(id)), 0);
	s = malloc(out.len + 1);
	assert_non_null(s);
	memcpy(s, out.data, out.len);
	s[out.len] = '\0';
	assert_int_equal(strlen(s), out.len);
	if (len != NULL)
		*len = out.len;
	free(out.data);
	return s;
}

/* The value of the one field of this name, folds undone. */
static char *
field(const char *mail, const char *name)
{
	static char value[8192];
	size_t n = strlen(name), v = 0;
	unsigned found = 0;
	const char *line, *end;

	for (line = mail; strncmp(line, "\r\n", 2) != 0; line = end + 2) {
		end = strstr(line, "\r\n");
		assert_non_null(end);
		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		found++;
		line += n + 1 + (line[n + 1] == ' ');
		for (;;) {
			assert_true(v + (size_t)(end - line) < sizeof(value));
			memcpy(value + v, line, (size_t)(end - line));
			v += (size_t)(end - line);
			if (end[2] != ' ')
				break;
			line = end + 2;
			end = strstr(line, "\r\n");
			assert_non_null(end);
		}
	}
	if (found != 1)
		fail_msg("%u fields %s in:\n%s", found, name, mail);
	value[v] = '\0';
	return value + strspn(value, " ");
}

/* CR LF everywhere, ASCII only, no line over `max`. */
static void
check_lines(const char *mail, size_t max)
{
	size_t col = 0;

	for (; *mail != '\0'; mail++) {
		assert_true((unsigned char)*mail < 0x80);
		if (*mail == '\r') {
			assert_int_equal(mail[1], '\n');
			mail++;
			col = 0;
			continue;
		}
		assert_int_not_equal(*mail, '\n');
		if (*mail != '\t')
			assert_true(*mail >= ' ' && *mail != 0x7f);
		if (++col > max)
			fail_msg("a line of over %zu characters", max);
	}
	assert_int_equal(col, 0);
}

static const char *
body_of(const char *mail)
{
	const char *s = strstr(mail, "\r\n\r\n");

	assert_non_null(s);
	return s + 4;
}

/* ---- the header ---------------------------------------------------------- */

static void
fields_are_there(void **state)
{
	struct mail_answer a = plain_answer();
	char first[128], *mail = compose(&a, NULL);

	(void)state;
	check_lines(mail, 76);
	assert_string_equal(
	    field(mail, "From"), "Example key server <keys@keys.example.org>");
	assert_string_equal(field(mail, "To"), "alice+pgp@example.net");
	assert_string_equal(field(mail, "Subject"), a.subject);
	assert_string_equal(
	    field(mail, "Date"), "Sat, 22 Nov 2025 09:35:00 +0000");
	assert_string_equal(field(mail, "Message-ID"), id);
	assert_int_equal(strlen(id), 1 + 32 + strlen("@keys.example.org>"));
	assert_string_equal(id + 33, "@keys.example.org>");
	assert_string_equal(field(mail, "In-Reply-To"), "<1@example.net>");
	assert_string_equal(
	    field(mail, "References"), "<a@b> <c@d> <1@example.net>");
	assert_string_equal(field(mail, "Auto-Submitted"), "auto-replied");
	assert_string_equal(field(mail, "Precedence"), "list");
	assert_string_equal(field(mail, "X-Loop"), "keys@keys.example.org");
	assert_string_equal(field(mail, "MIME-Version"), "1.0");
	assert_string_equal(
	    field(mail, "Content-Type"), "text/plain; charset=\"us-ascii\"");
	assert_string_equal(field(mail, "Content-Transfer-Encoding"), "7bit");
	assert_string_equal(body_of(mail), "No matching keys in database\r\n");
	free(mail);
	memcpy(first, id, sizeof(first));
	free(compose(&a, NULL));
	assert_string_not_equal(first, id);
}

static void
little_is_needed(void **state)
{
	struct mail_answer a = plain_answer();
	char *mail;

	(void)state;
	a.from_name = "";
	a.in_reply_to = a.references = NULL;
	a.subject = "";
	a.text = NULL;
	a.text_len = 0;
	mail = compose(&a, NULL);
	assert_string_equal(field(mail, "From"), "keys@keys.example.org");
	assert_null(strstr(mail, "References"));
	assert_null(strstr(mail, "In-Reply-To"));
	assert_string_equal(body_of(mail), "");
	free(mail);
	a.references = "<only@this>"; /* answers nothing */
	mail = compose(&a, NULL);
	assert_null(strstr(mail, "References"));
	free(mail);
}

static void
long_references_are_folded(void **state)
{
	struct mail_answer a = plain_answer();
	char all[10 * 100], *mail;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n,
		    "%s<%064d@example.org>", i > 0 ? " " : "", i);
	a.references = all;
	mail = compose(&a, NULL);
	check_lines(mail, 100);
	assert_int_equal(strncmp(field(mail, "References"), all, n), 0);
	free(mail);
}

static const char *const bad[] = {"x@y.org\r\nBcc: eve@example.org",
    "x@y.org\nBcc: eve@example.org", "x@y.org\rBcc: eve@example.org",
    "<1@2>\r\n\r\nbody", "\r\n", "\n", "a\001b", "a\033[2Jb", "a\177b", "a\tb"};

/* Also no good, for a string that is an address or a message-id. */
static const char *const worse[] = {"", " ", "a b@example.org",
    "<a@example.org>", "a@example.org, b@example.org",
    "a@example.org> <b@example.org", "a@", "@example.org", "a",
    "j\303\274rgen@example.org", "a@example.org\240"};

static const char *const bad_ids[] = {"", " ", "<>", "a@b", "<a b@c>", "<a@b",
    "a@b>", "<a@b>x", "<a@b> ", " <a@b>", "<a<b@c>", "<a@b>>", "<j\303\274@b>"};

static void
refuses(const char *what, struct mail_answer *a, const char **member,
    const char *value)
{
	const char *before = *member;
	struct pgp_blob out = {NULL, 0};

	*member = value;
	errno = 0;
	if (mail_compose(a, &out, id, sizeof(id)) != -1 || errno != EINVAL)
		fail_msg("%s may be \"%s\"", what, value);
	*member = before;
}

static void
nothing_gets_in(void **state)
{
	struct mail_answer a = plain_answer();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		refuses("from", &a, &a.from, bad[i]);
		refuses("from_name", &a, &a.from_name, bad[i]);
		refuses("to", &a, &a.to, bad[i]);
		refuses("subject", &a, &a.subject, bad[i]);
		refuses("in_reply_to", &a, &a.in_reply_to, bad[i]);
		refuses("references", &a, &a.references, bad[i]);
	}
	for (i = 0; i < sizeof(worse) / sizeof(*worse); i++) {
		refuses("from", &a, &a.from, worse[i]);
		refuses("to", &a, &a.to, worse[i]);
	}
	for (i = 0; i < sizeof(bad_ids) / sizeof(*bad_ids); i++) {
		refuses("in_reply_to", &a, &a.in_reply_to, bad_ids[i]);
		if (bad_ids[i][0] != '\0')
			refuses("references", &a, &a.references, bad_ids[i]);
	}
	refuses("in_reply_to", &a, &a.in_reply_to, "<a@b> <c@d>");
	refuses("references", &a, &a.references, "<a@b>  <c@d>");
	refuses("references", &a, &a.references, "<a@b>,<c@d>");
}

static void
message_ids_have_an_end(void **state)
{
	struct mail_answer a = plain_answer();
	char long_id[1200], *mail;

	(void)state;
	memset(long_id, 'x', sizeof(long_id));
	memcpy(long_id, "<", 1);
	memcpy(long_id + 890, "@b>", 4);
	a.in_reply_to = long_id;
	a.references = NULL;
	mail = compose(&a, NULL);
	check_lines(mail, 998);
	free(mail);
	long_id[890] = 'x';
	memcpy(long_id + 1000, "@b>", 4);
	memset(long_id + 890, 'x', 110);
	refuses("in_reply_to", &a, &a.in_reply_to, long_id);
}

/* ---- Subject ------------------------------------------------------------- */

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define U10                                                                    \
	"\303\274\303\274\303\274\303\274\303\274"                             \
	"\303\274\303\274\303\274\303\274\303\274"
#define U100 U10 U10 U10 U10 U10 U10 U10 U10 U10 U10

static const struct {
	const char *name, *subject, *suffix, *expect;
} subjects[] = {
    {"as it is", "GET 0x12345678", "", "GET 0x12345678"},
    {"suffix", "GET x", ", failed", "GET x, failed"},
    {"no suffix", "GET x", NULL, "GET x"},
    {"empty", "", ", was invalid", "(none), was invalid"},
    {"missing", NULL, ", was invalid", "(none), was invalid"},
    {"blanks only", " \t \r\n ", "", "(none)"},
    {"blanks", "  GET \t  a\r\n b ", "", "GET a b"},
    {"injection", "a\r\nBcc: eve@example.org", "", "a Bcc: eve@example.org"},
    {"escapes", "a\033[2J\007b", "", "a [2J b"},
    {"C1", "a\302\233b\302\205c", "", "a b c"},
    {"line separator", "a\342\200\250b", "", "a b"},
    {"direction", "a\342\200\256b\342\201\246c", "", "a b c"},
    {"umlauts", "J\303\274rgen", "", "J\303\274rgen"},
    {"no UTF-8", "a\374b\300\200c\355\240\200d", "", "a?b??c???d"},
    {"cut short", "a\342\202", "", "a??"},
    {"200", X100 X100, "", X100 X100},
    {"201", X100 X100 "y", "!", X100 X100 "...!"},
    {"200 of two octets", U100 U100, "", U100 U100},
    {"201 of two octets", U100 U100 "y", "", U100 U100 "..."},
    {"200 and blanks", X100 X100 "  ", "", X100 X100},
    {"blank at 200", X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxxxxxxxx yy",
	"", X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxxxxxxxx..."},
};

static void
subjects_are_clean(void **state)
{
	char expect[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		char *s = mail_answer_subject(
		    subjects[i].subject, subjects[i].suffix);

		snprintf(expect, sizeof(expect), "Your command, %s",
		    subjects[i].expect);
		assert_non_null(s);
		if (strcmp(s, expect) != 0)
			fail_msg("%s: \"%s\"", subjects[i].name, s);
		free(s);
	}
}

/* ---- RFC 2047 ------------------------------------------------------------ */

static bool
valid_utf8(const char *s, size_t len)
{
	uint32_t code;
	size_t n;

	for (; len > 0; s += n, len -= n)
		if ((n = mail_utf8(s, len, &code)) == 0)
			return false;
	return true;
}

static int
hex(char c)
{
	const char *digits = "0123456789ABCDEF", *p = strchr(digits, c);

	assert_true(c != '\0' && p != NULL);
	return (int)(p - digits);
}

/* One encoded word at s; its content to *out.  Returns what is behind it. */
static const char *
decode_word(const char *s, char **out)
{
	const char *end = strstr(s + 10, "?="), *begin = s;
	char *start = *out;

	assert_non_null(end);
	assert_true(end + 2 - begin <= 75); /* RFC 2047, 2 */
	for (s += 10; s < end; s++) {
		assert_true(*s > ' ' && *s < 0x7f && *s != '?');
		if (*s == '=') {
			*(*out)++ = (char)(hex(s[1]) << 4 | hex(s[2]));
			s += 2;
		} else {
			*(*out)++ = *s == '_' ? ' ' : *s;
		}
	}
	assert_true(valid_utf8(start, (size_t)(*out - start)));
	return end + 2;
}

/* As a reader does it: blanks between encoded words fall away. */
static void
decode_value(const char *s, char *out)
{
	bool was_word = false;

	while (*s != '\0') {
		size_t blanks = strspn(s, " ");
		bool word = strncmp(s + blanks, "=?utf-8?Q?", 10) == 0;

		if (!word || !was_word) {
			memcpy(out, s, blanks);
			out += blanks;
		}
		s += blanks;
		if (word) {
			s = decode_word(s, &out);
			assert_true(*s == ' ' || *s == '\0');
		} else {
			size_t n = strcspn(s, " ");

			memcpy(out, s, n);
			out += n;
			s += n;
		}
		was_word = word;
	}
	*out = '\0';
}

static char *
encoded(void (*encode)(FILE *, const char *), const char *s)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	encode(f, s);
	assert_int_equal(fclose(f), 0);
	return out;
}

static const char *const values[] = {"GET alice", "J\303\274rgen M\303\274ller",
    "a \303\274 b \303\244 c", "\303\274", "",
    "=?utf-8?Q?x?=", "a =?utf-8?B?eA==?= b", "a=?b", X100, X100 " " X100,
    U100 U100, "a " U100 " b " X100 " c",
    "\360\237\224\221\360\237\224\221\360\237\224\221 keys "
    "\360\237\224\221\360\237\224\221\360\237\224\221\360\237\224\221",
    "?=_\303\274?=_", "100%", "a,\"b\" (c) <d> \303\274@"};

static void
values_come_back(void **state)
{
	struct mail_answer a = plain_answer();

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char back[2048], *mail;
		char *s = encoded(mail_encode_value, values[i]);

		decode_value(s, back);
		assert_string_equal(back, values[i]);
		free(s);
		a.subject = values[i];
		mail = compose(&a, NULL);
		check_lines(mail, 76);
		decode_value(field(mail, "Subject"), back);
		assert_string_equal(back, values[i]);
		free(mail);
	}
}

static void
names_are_phrases(void **state)
{
	static const struct {
		const char *name, *expect;
	} cases[] = {
	    {"Example key server", "Example key server"},
	    {"Keys, Inc.", "\"Keys, Inc.\""},
	    {"a \"b\" \\ c", "\"a \\\"b\\\" \\\\ c\""},
	    {"x <eve@example.org>", "\"x <eve@example.org>\""},
	    {"Schl\303\274ssel, GmbH", "=?utf-8?Q?Schl=C3=BCssel=2C_GmbH?="},
	    {"=?utf-8?Q?x?=", "=?utf-8?Q?=3D=3Futf=2D8=3FQ=3Fx=3F=3D?="},
	    {"\377", "=?utf-8?Q?=3F?="},
	};
	struct mail_answer a = plain_answer();
	char *long_name;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char expect[256], *mail;

		a.from_name = cases[i].name;
		mail = compose(&a, NULL);
		check_lines(mail, 76);
		snprintf(expect, sizeof(expect), "%s <keys@keys.example.org>",
		    cases[i].expect);
		assert_string_equal(field(mail, "From"), expect);
		free(mail);
	}
	a.from_name = U100 U100;
	long_name = compose(&a, NULL);
	check_lines(long_name, 76);
	free(long_name);
}

/* ---- text ---------------------------------------------------------------- */

#define X76  X10 X10 X10 X10 X10 X10 X10 "xxxxxx"
#define X900 X100 X100 X100 X100 X100 X100 X100 X100 X100

static const struct {
	const char *name, *text, *encoding, *charset;
	const char *expect; /* what a reader sees, when not the same */
} texts[] = {
    {"plain", "a\nb\n", "7bit", "us-ascii", NULL},
    {"no LF at the end", "a", "7bit", "us-ascii", "a\n"},
    {"tabs and blanks", "\ta \t\n \n", "7bit", "us-ascii", NULL},
    {"76", X76 "\n", "7bit", "us-ascii", NULL},
    {"a long line", X76 "y\n", "7bit", "us-ascii", NULL},
    {"900", X900 "\n", "7bit", "us-ascii", NULL},
    {"901", X900 "y\n", "quoted-printable", "us-ascii", NULL},
    {"76, encoded", X76 "\n\303\274\n", "quoted-printable", "utf-8", NULL},
    {"umlauts", "\303\274\n", "quoted-printable", "utf-8", NULL},
    {"CR LF", "a\r\nb\r\n", "7bit", "us-ascii", "a\nb\n"},
    {"CR", "a\rb\n", "7bit", "us-ascii", "a?b\n"},
    {"controls", "a\033[1m\177\n", "7bit", "us-ascii", "a?[1m?\n"},
    {"no UTF-8", "\377\303\n", "7bit", "us-ascii", "??\n"},
    {"direction", "\342\200\256\n", "7bit", "us-ascii", "?\n"},
    {"armor", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "quoted-printable",
	"us-ascii", NULL},
    {"signature mark", "-- \nme\n", "quoted-printable", "us-ascii", NULL},
    {"list", "- a\n- b\n", "7bit", "us-ascii", NULL},
    {"From", "From me\n", "quoted-printable", "us-ascii", NULL},
    {"Fromage", "Fromage\n", "7bit", "us-ascii", NULL},
    {"dot", "a\n.\nb\n", "quoted-printable", "us-ascii", NULL},
    {"dots", "..\n.a\n", "7bit", "us-ascii", NULL},
    {"equal", "\303\274=41\n" X100 "=41\n", "quoted-printable", "utf-8", NULL},
    {"blank at the end", X100 " \n" X100 "\t\n\303\274\n", "quoted-printable",
	"utf-8", NULL},
    {"dashes at a soft break",
	X10 X10 X10 X10 X10 X10 X10
	"xxxxx-----BEGIN PGP MESSAGE-----\n\303\274\n",
	"quoted-printable", "utf-8", NULL},
    {"From at a soft break",
	X10 X10 X10 X10 X10 X10 X10 "xxxxxFrom me\n\303\274\n",
	"quoted-printable", "utf-8", NULL},
    {"long", U100 U100 X100 "\n" U100 "\n\n", "quoted-printable", "utf-8",
	NULL},
};

static char *
decode_qp(const char *s)
{
	char *out = malloc(strlen(s) + 1), *o = out;

	assert_non_null(out);
	for (; *s != '\0'; s++) {
		if (*s == '=' && s[1] == '\r') {
			s += 2;
		} else if (*s == '=') {
			*o++ = (char)(hex(s[1]) << 4 | hex(s[2]));
			s += 2;
		} else if (*s == '\r') {
			/* RFC 2045, 6.7 (3): a reader drops blanks here */
			assert_true(o == out || s[-1] == '\n' ||
				    (s[-1] != ' ' && s[-1] != '\t'));
		} else {
			*o++ = *s;
		}
	}
	*o = '\0';
	return out;
}

/* What a program that looks at raw lines could take for something else. */
static void
check_raw(const char *body)
{
	for (; *body != '\0'; body = strchr(body, '\n') + 1) {
		assert_int_not_equal(strncmp(body, "--", 2), 0);
		assert_int_not_equal(strncmp(body, "From ", 5), 0);
		assert_int_not_equal(strncmp(body, ".\r\n", 3), 0);
	}
}

static void
texts_come_back(void **state)
{
	struct mail_answer a = plain_answer();

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char type[64], *mail, *s, *p;

		a.text = texts[i].text;
		a.text_len = strlen(a.text);
		mail = compose(&a, NULL);
		check_lines(mail, texts[i].encoding[0] == 'q' ? 76 : 900);
		check_raw(body_of(mail));
		if (strcmp(field(mail, "Content-Transfer-Encoding"),
			texts[i].encoding) != 0)
			fail_msg("%s: %s", texts[i].name, mail);
		snprintf(type, sizeof(type), "text/plain; charset=\"%s\"",
		    texts[i].charset);
		assert_string_equal(field(mail, "Content-Type"), type);
		if (texts[i].encoding[0] == 'q') {
			s = decode_qp(body_of(mail));
		} else {
			s = strdup(body_of(mail));
			assert_non_null(s);
			while ((p = strstr(s, "\r\n")) != NULL)
				memmove(p, p + 1, strlen(p));
		}
		assert_string_equal(s,
		    texts[i].expect != NULL ? texts[i].expect : texts[i].text);
		free(s);
		free(mail);
	}
}

/* Who reads the raw mail sees a line of up to 76 whole, encoded or not. */
static void
short_lines_stay_whole(void **state)
{
	static const char *const lines[] = {
	    "\r\n    Key fingerprint =3D 231A 4498 02A0 FC9B 0505  "
	    "E4CD 05E8 25E4 4256 12B5\r\n",
	    "\r\n" X76 "\r\n", "\r\n" X10 X10 X10 X10 X10 X10 X10 "xxx=3D\r\n"};
	struct mail_answer a = plain_answer();
	char *mail;

	(void)state;
	a.text = "\303\274\n"
		 "    Key fingerprint = 231A 4498 02A0 FC9B 0505  "
		 "E4CD 05E8 25E4 4256 12B5\n" X76
		 "\n" X10 X10 X10 X10 X10 X10 X10 "xxx=\n";
	a.text_len = strlen(a.text);
	mail = compose(&a, NULL);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (strstr(mail, lines[i]) == NULL)
			fail_msg("no%s in: %s", lines[i], mail);
	free(mail);
}

static void
nul_in_text(void **state)
{
	struct mail_answer a = plain_answer();
	char *mail;

	(void)state;
	a.text = "a\0b\n";
	a.text_len = 4;
	mail = compose(&a, NULL);
	assert_string_equal(body_of(mail), "a?b\r\n");
	free(mail);
}

/* Octets at random, from an alphabet that holds all that is special. */
static void
random_texts(void **state)
{
	static const char *const bits[] = {"-", "--", "From ", ".", "\n", " ",
	    "\t", "=", "a", "xyz", "\303\274", "\360\237\224\221", "\377", "\r",
	    "\r\n", "=_"};
	struct mail_answer a = plain_answer();
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		char *text = NULL, *clean = NULL, *mail, *s;
		size_t len, n;
		FILE *f = open_memstream(&text, &len);

		assert_non_null(f);
		for (int k = rand_r(&seed) % 300; k > 0; k--)
			fputs(bits[(size_t)rand_r(&seed) %
				   (sizeof(bits) / sizeof(*bits))],
			    f);
		fputs("\303\274\n", f); /* so that it is encoded */
		fclose(f);
		f = open_memstream(&clean, &n);
		assert_non_null(f);
		mail_clean_text(f, text, len);
		fclose(f);
		a.text = text;
		a.text_len = len;
		mail = compose(&a, NULL);
		check_lines(mail, 76);
		check_raw(body_of(mail));
		s = decode_qp(body_of(mail));
		assert_string_equal(s, clean);
		free(s);
		free(mail);
		free(clean);
		free(text);
	}
}

/* ---- keys ---------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static char *
scratch(void)
{
	static char dir[256];
	const char *tmp = getenv("TMPDIR");

	snprintf(
	    dir, sizeof(dir), "%s/compose.XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static int
run(const char *const argv[])
{
	posix_spawn_file_actions_t files;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(
		&pid, argv[0], &files, NULL, (char *const *)argv, environ) != 0)
		fail_msg("%s cannot be run", argv[0]);
	posix_spawn_file_actions_destroy(&files);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
write_mail(const char *path, const char *mail, bool cr)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (; *mail != '\0'; mail++)
		if (cr || *mail != '\r')
			putc(*mail, f);
	assert_int_equal(fclose(f), 0);
}

/* Imports a raw mail into an empty keyring. */
static void
check_import(const char *mail, bool cr)
{
	char *dir = scratch(), path[300];
	const char *const import[] = {"gpg", "--homedir", dir, "--batch",
	    "--no-autostart", "--import", path, NULL};
	const char *const list[] = {"gpg", "--homedir", dir, "--batch",
	    "--no-autostart", "--list-keys", FPR, NULL};

	snprintf(path, sizeof(path), "%s/mail", dir);
	write_mail(path, mail, cr);
	assert_int_equal(run(import), 0);
	assert_int_equal(run(list), 0);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned
count(const char *s, const char *what)
{
	unsigned n = 0;

	while ((s = strstr(s, what)) != NULL) {
		s += strlen(what);
		n++;
	}
	return n;
}

static const char *const before_keys[] = {"1 key\n", "1 Schl\303\274ssel\n",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n=AAAA\n"
    "-----END PGP PUBLIC KEY BLOCK-----\n",
    "-----BEGIN PGP MESSAGE-----\n", "",
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\n- --\n"};

static void
gpg_imports_the_raw_mail(void **state)
{
	struct mail_answer a = plain_answer();

	(void)state;
	a.keys = (const char *)cert;
	a.keys_len = sizeof(cert);
	a.subject = "Your command, -----BEGIN PGP PUBLIC KEY BLOCK-----";
	for (size_t i = 0; i < sizeof(before_keys) / sizeof(*before_keys);
	     i++) {
		char *mail;

		a.text = before_keys[i];
		a.text_len = strlen(a.text);
		mail = compose(&a, NULL);
		check_lines(mail, 76);
		assert_int_equal(
		    count(mail, "\n-----BEGIN PGP PUBLIC KEY BLOCK-----"), 1);
		check_import(mail, true);
		check_import(mail, false);
		free(mail);
	}
}

static void
parts_are_as_they_should(void **state)
{
	struct mail_answer a = plain_answer();
	char boundary[64], close[80], *mail, *type;
	const char *part;

	(void)state;
	a.keys = (const char *)cert;
	a.keys_len = sizeof(cert);
	mail = compose(&a, NULL);
	type = field(mail, "Content-Type");
	assert_int_equal(
	    sscanf(type, "multipart/mixed; boundary=\"%63[^\"]\"", boundary),
	    1);
	assert_int_equal(strlen(boundary), 34);
	assert_int_equal(count(mail, boundary), 4);
	snprintf(close, sizeof(close), "\r\n--%s--\r\n", boundary);
	part = strstr(mail, close);
	assert_true(part != NULL && part[strlen(close)] == '\0');
	part = strstr(mail, "\r\nContent-Type: application/pgp-keys\r\n");
	assert_non_null(part);
	part += 2;
	assert_string_equal(field(part, "Content-Transfer-Encoding"), "7bit");
	assert_string_equal(field(part, "Content-Disposition"),
	    "attachment; filename=\"keys.asc\"");
	assert_int_equal(
	    strncmp(body_of(part), "-----BEGIN PGP PUBLIC", 21), 0);
	free(mail);
}

static void
many_keys(void **state)
{
	struct mail_answer a = plain_answer();
	size_t n = 2000000 / sizeof(cert), len;
	char *keys = malloc(n * sizeof(cert)), *mail;

	(void)state;
	assert_non_null(keys);
	for (size_t i = 0; i < n; i++)
		memcpy(keys + i * sizeof(cert), cert, sizeof(cert));
	a.keys = keys;
	a.keys_len = n * sizeof(cert);
	mail = compose(&a, &len);
	assert_true(len > a.keys_len * 4 / 3);
	check_lines(mail, 76);
	free(mail);
	free(keys);
}

#ifndef SANITIZED
enum { WHOLE, REFUSED, HOLE };

static int
compose_within(const struct mail_answer *a, size_t octets, size_t whole)
{
	const struct rlimit limit = {octets, octets};
	struct pgp_blob out = {0};

	if (setrlimit(RLIMIT_AS, &limit) == -1)
		return HOLE;
	if (mail_compose(a, &out, id, sizeof(id)) == -1)
		return REFUSED;
	return out.len == whole ? WHOLE : HOLE;
}

/* What RLIMIT_AS counts. */
static size_t
memory_used(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* An answer is whole, or there is none. */
static void
test_no_memory(void **state)
{
	static char text[2 << 20];
	struct mail_answer a = plain_answer();
	unsigned seen[] = {0, 0, 0};
	struct pgp_blob out = {0};
	size_t whole, used;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 64 == 63 ? '\n' : 'x';
	a.text = text;
	a.text_len = sizeof(text);
	assert_int_equal(mail_compose(&a, &out, id, sizeof(id)), 0);
	whole = out.len;
	pgp_blob_free(&out, false);
	used = memory_used();
	for (size_t more = 0; more < 64; more++) {
		pid_t pid = fork();
		int status;

		assert_int_not_equal(pid, -1);
		if (pid == 0)
			_exit(compose_within(&a, used + (more << 18), whole));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= HOLE);
		seen[WEXITSTATUS(status)]++;
	}
	assert_int_equal(seen[HOLE], 0);
	assert_true(seen[WHOLE] > 0);
	assert_true(seen[REFUSED] > 0);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_there),
	    cmocka_unit_test(little_is_needed),
	    cmocka_unit_test(long_references_are_folded),
	    cmocka_unit_test(nothing_gets_in),
	    cmocka_unit_test(message_ids_have_an_end),
	    cmocka_unit_test(subjects_are_clean),
	    cmocka_unit_test(values_come_back),
	    cmocka_unit_test(names_are_phrases),
	    cmocka_unit_test(texts_come_back),
	    cmocka_unit_test(short_lines_stay_whole),
	    cmocka_unit_test(nul_in_text),
	    cmocka_unit_test(random_texts),
	    cmocka_unit_test(gpg_imports_the_raw_mail),
	    cmocka_unit_test(parts_are_as_they_should),
	    cmocka_unit_test(many_keys),
#ifndef SANITIZED
	    cmocka_unit_test(test_no_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
