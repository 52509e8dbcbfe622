/*
 * How an answer is written: a header of checked strings, which libetpan folds,
 * and encoded text.
 */
#include "mailkeyd/mail.h"
#include "mailkeyd/mail_encode.h"

#include <errno.h>
#include <libetpan/libetpan.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SUBJECT_MAX 200 /* characters of the Subject that came */
#define MSGID_MAX   900 /* keeps its line under 998 (RFC 5322, 2.1.1) */
#define RANDOM_HEX  33	/* 16 octets and a NUL */

/* ---- what may stand in a header ------------------------------------------ */

/* libetpan writes CR LF through (in display names and message-ids), so every
 * string is looked at here first. */
static bool
no_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool
address_ok(const char *s)
{
	return mail_address_strict(s) || mail_address_envelope(s);
}

/* Length of the message-id that s begins with, or 0. */
static size_t
msgid_length(const char *s)
{
	size_t i;

	if (s[0] != '<')
		return 0;
	for (i = 1; s[i] > ' ' && s[i] <= '~' && s[i] != '<'; i++)
		if (s[i] == '>')
			return i > 1 && i < MSGID_MAX ? i + 1 : 0;
	return 0;
}

static bool
msgids_ok(const char *s, bool many)
{
	size_t n;

	if (s == NULL || (many && *s == '\0'))
		return true;
	for (;;) {
		if ((n = msgid_length(s)) == 0)
			return false;
		s += n;
		if (*s == '\0')
			return true;
		if (!many || *s++ != ' ')
			return false;
	}
}

static bool
answer_ok(const struct mail_answer *a)
{
	return address_ok(a->from) && address_ok(a->to) &&
	       no_control(a->subject) &&
	       (a->from_name == NULL || no_control(a->from_name)) &&
	       msgids_ok(a->in_reply_to, false) &&
	       msgids_ok(a->references, true);
}

/* ---- header -------------------------------------------------------------- */

static int
random_hex(char out[RANDOM_HEX])
{
	unsigned char octets[RANDOM_HEX / 2];
	size_t i;

	if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
		return -1;
	for (i = 0; i < sizeof(octets); i++)
		snprintf(out + 2 * i, 3, "%02x", (unsigned)octets[i]);
	return 0;
}

/* Takes over value, which may be NULL for want of memory. */
static int
field_add(struct mailimf_fields *fields, const char *name, char *value)
{
	struct mailimf_field *field;
	char *copy = strdup(name);

	if (copy == NULL || value == NULL)
		goto fail;
	/* takes over both strings */
	field = mailimf_field_new_custom(copy, value);
	if (field == NULL)
		goto fail;
	if (mailimf_fields_add(fields, field) != MAILIMF_NO_ERROR) {
		mailimf_field_free(field);
		return -1;
	}
	return 0;
fail:
	free(copy);
	free(value);
	return -1;
}

/* RFC 5322, 3.3; never by strftime(3), which speaks the locale's language. */
char *
mail_date(time_t date)
{
	static const char days[][4] = {
	    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm;
	char *s;

	if (gmtime_r(&date, &tm) == NULL)
		return NULL;
	if (asprintf(&s, "%s, %02d %s %04d %02d:%02d:%02d +0000",
		days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
		tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec) < 0)
		return NULL;
	return s;
}

static char *
from_value(const struct mail_answer *a)
{
	char *s = NULL;
	size_t len;
	FILE *f;

	if (a->from_name == NULL || *a->from_name == '\0')
		return strdup(a->from);
	if ((f = pgp_memstream(&s, &len)) == NULL)
		return NULL;
	mail_encode_phrase(f, a->from_name);
	fprintf(f, " <%s>", a->from);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}

static char *
subject_value(const struct mail_answer *a)
{
	char *s = NULL;
	size_t len;
	FILE *f;

	if ((f = pgp_memstream(&s, &len)) == NULL)
		return NULL;
	mail_encode_value(f, a->subject);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}

/* RFC 5322, 3.6.4: the references of what is answered, then itself. */
static int
thread_add(struct mailimf_fields *fields, const struct mail_answer *a)
{
	const char *before = a->references != NULL ? a->references : "";
	char *all;

	if (a->in_reply_to == NULL)
		return 0;
	if (field_add(fields, "In-Reply-To", strdup(a->in_reply_to)) != 0)
		return -1;
	if (asprintf(&all, "%s%s%s", before, *before != '\0' ? " " : "",
		a->in_reply_to) < 0)
		return -1;
	return field_add(fields, "References", all);
}

static struct mailimf_fields *
header_new(const struct mail_answer *a, const char *message_id)
{
	struct mailimf_fields *fields = mailimf_fields_new_empty();

	if (fields == NULL)
		return NULL;
	/* RFC 3834, 3.1: whom it is from, what it answers, that a program
	 * wrote it */
	if (field_add(fields, "From", from_value(a)) != 0 ||
	    field_add(fields, "To", strdup(a->to)) != 0 ||
	    field_add(fields, "Subject", subject_value(a)) != 0 ||
	    field_add(fields, "Date", mail_date(a->date)) != 0 ||
	    field_add(fields, "Message-ID", strdup(message_id)) != 0 ||
	    thread_add(fields, a) != 0 ||
	    field_add(fields, "Auto-Submitted", strdup("auto-replied")) != 0 ||
	    field_add(fields, "Precedence", strdup("list")) != 0 ||
	    field_add(fields, "X-Loop", strdup(a->from)) != 0) {
		mailimf_fields_free(fields);
		return NULL;
	}
	return fields;
}

/* ---- body ---------------------------------------------------------------- */

struct content {
	char *text; /* as it goes out, LF */
	size_t text_len;
	bool ascii, quoted;
	char *armor;
	size_t armor_len;
	char boundary[RANDOM_HEX + 2];
};

static void
content_free(struct content *c)
{
	free(c->text);
	free(c->armor);
}

static bool
is_ascii(const char *s, size_t len)
{
	while (len-- > 0)
		if ((unsigned char)*s++ > 0x7f)
			return false;
	return true;
}

static int
content_text(struct content *c, const char *text, size_t len)
{
	char *clean = NULL;
	size_t n;
	FILE *f;

	if ((f = pgp_memstream(&clean, &n)) == NULL)
		return -1;
	mail_clean_text(f, text, len);
	if (fclose(f) != 0) {
		free(clean);
		return -1;
	}
	c->ascii = is_ascii(clean, n);
	c->quoted = !mail_plain(clean, n);
	if (!c->quoted) {
		c->text = clean;
		c->text_len = n;
		return 0;
	}
	if ((f = pgp_memstream(&c->text, &c->text_len)) != NULL)
		mail_quoted_printable(f, clean, n);
	free(clean);
	return f != NULL && fclose(f) == 0 ? 0 : -1;
}

static int
content_armor(struct content *c, const char *keys, size_t len)
{
	FILE *f = pgp_memstream(&c->armor, &c->armor_len);
	int failed;

	if (f == NULL)
		return -1;
	failed = pgp_armor(f, (const unsigned char *)keys, len);
	return fclose(f) == 0 && failed == 0 ? 0 : -1;
}

static bool
holds(const char *s, size_t len, const char *needle)
{
	return s != NULL && memmem(s, len, needle, strlen(needle)) != NULL;
}

/* "=_" occurs neither in quoted-printable nor in armor (RFC 2045, 6.7), and
 * plain text is looked through. */
static int
content_boundary(struct content *c)
{
	do {
		c->boundary[0] = '=';
		c->boundary[1] = '_';
		if (random_hex(c->boundary + 2) != 0)
			return -1;
	} while (holds(c->text, c->text_len, c->boundary) ||
		 holds(c->armor, c->armor_len, c->boundary));
	return 0;
}

/* Encoded text with CR LF line ends. */
static void
lines_write(FILE *f, const char *s, size_t len)
{
	const char *end;

	while (len > 0 && (end = memchr(s, '\n', len)) != NULL) {
		fwrite(s, 1, (size_t)(end - s), f);
		fwrite("\r\n", 1, 2, f);
		len -= (size_t)(end - s) + 1;
		s = end + 1;
	}
	fwrite(s, 1, len, f);
}

static void
text_write(FILE *f, const struct content *c)
{
	fprintf(f,
	    "Content-Type: text/plain; charset=\"%s\"\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    c->ascii ? "us-ascii" : "utf-8",
	    c->quoted ? "quoted-printable" : "7bit");
	lines_write(f, c->text, c->text_len);
}

/* Neither quoted-printable nor base64: "gpg --import" is fed raw mails, and
 * reads neither. */
static void
keys_write(FILE *f, const struct content *c)
{
	fputs("Content-Type: application/pgp-keys\r\n"
	      "Content-Transfer-Encoding: 7bit\r\n"
	      "Content-Disposition: attachment; filename=\"keys.asc\"\r\n"
	      "\r\n",
	    f);
	lines_write(f, c->armor, c->armor_len);
}

/* From MIME-Version on: libetpan would look at each octet of what is encoded
 * already, and takes longer for that than all else takes together. */
static void
body_write(FILE *f, const struct content *c)
{
	fputs("MIME-Version: 1.0\r\n", f);
	if (c->armor == NULL) {
		text_write(f, c);
		return;
	}
	fprintf(f,
	    "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n"
	    "--%s\r\n",
	    c->boundary, c->boundary);
	text_write(f, c);
	fprintf(f, "\r\n--%s\r\n", c->boundary);
	keys_write(f, c);
	fprintf(f, "\r\n--%s--\r\n", c->boundary);
}

static int
message_write(const struct mail_answer *a, const struct content *c,
    const char *id, FILE *f)
{
	struct mailimf_fields *fields = header_new(a, id);
	int col = 0, r;

	if (fields == NULL)
		return -1;
	r = mailimf_fields_write_file(f, &col, fields) == MAILIMF_NO_ERROR ? 0
									   : -1;
	mailimf_fields_free(fields);
	body_write(f, c);
	return r;
}

int
mail_compose(const struct mail_answer *a, struct pgp_blob *out,
    char *message_id, size_t size)
{
	struct content c = {.text = NULL};
	char hex[RANDOM_HEX], id[RANDOM_HEX + 256 + 3], *octets = NULL;
	size_t len;
	FILE *f;
	int r = -1;

	if (!answer_ok(a)) {
		errno = EINVAL;
		return -1;
	}
	if (random_hex(hex) != 0)
		return -1;
	snprintf(id, sizeof(id), "<%s%s>", hex, strrchr(a->from, '@'));
	if (content_text(&c, a->text, a->text_len) != 0 ||
	    (a->keys_len > 0 && content_armor(&c, a->keys, a->keys_len) != 0) ||
	    content_boundary(&c) != 0 ||
	    (f = pgp_memstream(&octets, &len)) == NULL)
		goto done;
	__fsetlocking(f, FSETLOCKING_BYCALLER);
	r = message_write(a, &c, id, f);
	if (fclose(f) != 0 || r != 0) {
		free(octets);
		r = -1;
		goto done;
	}
	out->data = (unsigned char *)octets;
	out->len = len;
	snprintf(message_id, size, "%s", id);
done:
	content_free(&c);
	return r;
}

/* ---- Subject ------------------------------------------------------------- */

/* One line of at most SUBJECT_MAX characters, runs of blanks made one. */
static void
clean_line(FILE *f, const char *s)
{
	size_t n, i, len = strlen(s), chars = 0;
	bool blank = false;
	uint32_t code = 0;

	for (i = 0; i < len; i += n) {
		n = mail_utf8(s + i, len - i, &code);
		if (n > 0 && (code == ' ' || !mail_utf8_visible(code))) {
			blank = chars > 0;
			continue;
		}
		if (chars + blank + 1 > SUBJECT_MAX) {
			fputs("...", f);
			return;
		}
		if (blank)
			putc(' ', f);
		chars += blank + 1u;
		blank = false;
		if (n == 0) {
			n = 1;
			putc('?', f);
		} else {
			fwrite(s + i, 1, n, f);
		}
	}
	if (chars == 0)
		fputs("(none)", f); /* as PKS said it */
}

char *
mail_answer_subject(const char *subject, const char *suffix)
{
	char *s = NULL;
	size_t len;
	FILE *f = pgp_memstream(&s, &len);

	if (f == NULL)
		return NULL;
	fputs("Your command, ", f);
	clean_line(f, subject != NULL ? subject : "");
	fputs(suffix != NULL ? suffix : "", f);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}
