/*
 * The header of a mail: which fields there are, and what they say.
 *
 * libetpan does not look at it: it ends a header at the first line that is no
 * field, and puts "a@b.c junk" together as the address a@b.cjunk.
 */
#include "mailkeyd/mail_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reading {
	struct mail *mail;
	unsigned nreply_to;
	char *x_original_to, *envelope_to, *in_reply_to;
	bool automatic;
};

/* A field's value with its folds undone, and without blanks around it. */
typedef int take_fn(struct reading *, const char *value, size_t len);

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- fields -------------------------------------------------------------- */

/* Cuts the name off a whole field.  RFC 5322, 3.6.8; blanks before the colon
 * are obsolete, but were legal (4.5). */
static bool
split(const char *field, size_t len, struct mail_field *f)
{
	const char *colon = memchr(field, ':', len);

	if (colon == NULL)
		return false;
	f->name = field;
	f->namelen = (size_t)(colon - field);
	while (f->namelen > 0 && is_blank(field[f->namelen - 1]))
		f->namelen--;
	for (size_t i = 0; i < f->namelen; i++)
		if (field[i] <= ' ' || field[i] > '~')
			return false;
	f->value = colon + 1;
	f->len = len - (size_t)(colon + 1 - field);
	return f->namelen > 0;
}

bool
mail_field_next(const char **p, const char *end, struct mail_field *f)
{
	while (*p < end) {
		const char *field = *p, *next;
		size_t len;

		do {
			next = memchr(*p, '\n', (size_t)(end - *p));
			*p = next == NULL ? end : next + 1;
		} while (*p < end && is_blank(**p));
		len = (size_t)(*p - field);
		while (len > 0 &&
		       (field[len - 1] == '\n' || field[len - 1] == '\r'))
			len--;
		if (split(field, len, f))
			return true;
	}
	return false;
}

static char *
unfold(const struct mail_field *f, size_t *len)
{
	const char *p = f->value, *end = f->value + f->len;
	char *value = malloc(f->len + 1);
	size_t n = 0;

	if (value == NULL)
		return NULL;
	while (p < end && is_blank(*p))
		p++;
	for (; p < end; p++)
		if (*p != '\r' && *p != '\n' && *p != '\0')
			value[n++] = *p;
	while (n > 0 && is_blank(value[n - 1]))
		n--;
	value[n] = '\0';
	*len = n;
	return value;
}

static bool
is(const struct mail_field *f, const char *name)
{
	return strlen(name) == f->namelen &&
	       strncasecmp(f->name, name, f->namelen) == 0;
}

/* ---- values -------------------------------------------------------------- */

/* Keeps the first of its kind as it stood. */
static int
keep_raw(char **to, const char *value, size_t len)
{
	if (*to == NULL)
		*to = strndup(
		    value, len < MAIL_STRING_MAX ? len : MAIL_STRING_MAX);
	return *to == NULL ? -1 : 0;
}

/* Keeps the first of its kind, cleaned. */
static int
keep_clean(char **to, const char *value, size_t len)
{
	if (*to == NULL)
		*to = mail_text_clean(value, len, MAIL_STRING_MAX);
	return *to == NULL ? -1 : 0;
}

static void
lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s += 'a' - 'A';
}

/* Passes over blanks and comments (RFC 5322, 3.2.2). */
static const char *
skip_cfws(const char *p)
{
	unsigned comments = 0;

	for (; *p != '\0'; p++) {
		if (*p == '(')
			comments++;
		else if (comments > 0 && *p == ')')
			comments--;
		else if (comments > 0 && *p == '\\' && p[1] != '\0')
			p++;
		else if (comments == 0 && !is_blank(*p))
			break;
	}
	return p;
}

/* Passes over a quoted string; NULL when it has no end. */
static const char *
skip_quoted(const char *p)
{
	for (p++; *p != '"'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*p == '\0')
			return NULL;
	}
	return p + 1;
}

/* Passes over a display name up to the angle bracket; NULL when something
 * else comes first: another address, a group, the end. */
static const char *
skip_phrase(const char *p)
{
	for (;;) {
		p = skip_cfws(p);
		if (*p == '<')
			return p;
		if (*p == '\0' || strchr(",;:@>[])\\", *p) != NULL)
			return NULL;
		p = *p == '"' ? skip_quoted(p) : p + 1;
		if (p == NULL)
			return NULL;
	}
}

int
mail_header_address(const char *value, char **address)
{
	const char *p = skip_cfws(value), *start = p;
	char *found;
	size_t len;

	*address = NULL;
	len = strcspn(p, " \t(<>,;:\"");
	p = skip_cfws(p + len);
	if (*p != '\0') { /* not an address alone */
		p = skip_phrase(start);
		if (p == NULL)
			return 0;
		start = skip_cfws(p + 1);
		len = strcspn(start, " \t(<>");
		p = skip_cfws(start + len);
		if (*p != '>' || *skip_cfws(p + 1) != '\0')
			return 0;
	}
	found = strndup(start, len);
	if (found == NULL)
		return -1;
	if (mail_address_strict(found))
		*address = found;
	else
		free(found);
	return 0;
}

bool
mail_msgid_sound(const char *s, size_t len)
{
	if (len < 3 || len > MAIL_MSGID_MAX || s[0] != '<' || s[len - 1] != '>')
		return false;
	for (size_t i = 1; i < len - 1; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '<' || s[i] == '>')
			return false;
	return true;
}

/* The next sound message-id at or behind *p; NULL when there is none. */
static const char *
msgid_next(const char **p, size_t *len)
{
	const char *start, *end;

	while ((start = strchr(*p, '<')) != NULL &&
	       (end = strchr(start, '>')) != NULL) {
		*p = end + 1;
		*len = (size_t)(*p - start);
		if (mail_msgid_sound(start, *len))
			return start;
	}
	return NULL;
}

/* The last few message-ids of a value, with a blank between; NULL for none. */
static int
collect_msgids(const char *value, char **out)
{
	const char *id[MAIL_REFERENCES], *p = value;
	size_t len[MAIL_REFERENCES], size = 0, n = 0, idlen;
	FILE *text;

	for (const char *one; (one = msgid_next(&p, &idlen)) != NULL; n++) {
		id[n % MAIL_REFERENCES] = one;
		len[n % MAIL_REFERENCES] = idlen;
	}
	*out = NULL;
	if (n == 0)
		return 0;
	text = pgp_memstream(out, &size);
	if (text == NULL)
		return -1;
	for (size_t i = n < MAIL_REFERENCES ? 0 : n - MAIL_REFERENCES; i < n;
	     i++) {
		size_t at = i % MAIL_REFERENCES;

		fprintf(text, "%s%.*s", ftell(text) > 0 ? " " : "",
		    (int)len[at], id[at]);
	}
	return fclose(text) == 0 ? 0 : -1;
}

/* ---- one function for each field ----------------------------------------- */

static int
take_subject(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;

	if (m->nsubject++ > 0)
		return 0;
	m->subject = mail_words_decode(value, len, MAIL_STRING_MAX);
	return m->subject == NULL ? -1 : keep_raw(&m->raw_subject, value, len);
}

static int
take_from(struct reading *r, const char *value, size_t len)
{
	(void)len;
	if (r->mail->nfrom++ == 0)
		return mail_header_address(value, &r->mail->from);
	free(r->mail->from);
	r->mail->from = NULL;
	return 0;
}

static int
take_reply_to(struct reading *r, const char *value, size_t len)
{
	(void)len;
	if (r->nreply_to++ == 0)
		return mail_header_address(value, &r->mail->reply_to);
	free(r->mail->reply_to);
	r->mail->reply_to = NULL;
	return 0;
}

static int
take_message_id(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;
	const char *p = value, *id;
	size_t idlen;

	if (m->raw_message_id != NULL)
		return 0;
	id = msgid_next(&p, &idlen);
	if (id != NULL && (m->message_id = strndup(id, idlen)) == NULL)
		return -1;
	return keep_raw(&m->raw_message_id, value, len);
}

static int
take_references(struct reading *r, const char *value, size_t len)
{
	(void)len;
	return r->mail->references != NULL
		   ? 0
		   : collect_msgids(value, &r->mail->references);
}

static int
take_in_reply_to(struct reading *r, const char *value, size_t len)
{
	(void)len;
	return r->in_reply_to != NULL ? 0
				      : collect_msgids(value, &r->in_reply_to);
}

/* Below the topmost Received it is the sender's own invention. */
static int
take_return_path(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;

	if (m->nreceived > 0 || m->return_path != NULL)
		return 0;
	value = skip_cfws(value);
	len = strlen(value);
	if (value[0] == '<') {
		const char *end = strrchr(value, '>');

		if (end == NULL || *skip_cfws(end + 1) != '\0')
			return 0;
		value++;
		if (*value == '@') /* a source route: RFC 5321, C */
			value += strcspn(value, ":>") + 1;
		len = value < end ? (size_t)(end - value) : 0;
	}
	m->return_path =
	    strndup(value, len < MAIL_STRING_MAX ? len : MAIL_STRING_MAX);
	if (m->return_path == NULL)
		return -1;
	/* cleaning would make another address of it */
	if (!mail_text_sound(m->return_path)) {
		free(m->return_path);
		m->return_path = NULL;
	}
	return 0;
}

static int
take_received(struct reading *r, const char *value, size_t len)
{
	if (r->mail->nreceived++ > 0)
		return 0;
	return keep_raw(&r->mail->raw_received, value, len);
}

static int
take_resent_id(struct reading *r, const char *value, size_t len)
{
	return keep_raw(&r->mail->raw_resent_id, value, len);
}

static int
take_delivered_to(struct reading *r, const char *value, size_t len)
{
	return keep_clean(&r->mail->delivered_to, value, len);
}

static int
take_x_original_to(struct reading *r, const char *value, size_t len)
{
	return keep_clean(&r->x_original_to, value, len);
}

static int
take_envelope_to(struct reading *r, const char *value, size_t len)
{
	return keep_clean(&r->envelope_to, value, len);
}

/* RFC 3834, 5: comments and parameters around the keyword are legal.  Of
 * several fields the one that is no person's counts. */
static int
take_auto_submitted(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;

	if (r->automatic)
		return 0;
	free(m->auto_submitted);
	value = skip_cfws(value);
	len = strcspn(value, " \t;(");
	m->auto_submitted = mail_text_clean(value, len, MAIL_STRING_MAX);
	if (m->auto_submitted == NULL)
		return -1;
	lower(m->auto_submitted);
	r->automatic = strcmp(m->auto_submitted, "no") != 0;
	return 0;
}

static bool
is_bulk(const char *precedence)
{
	return strcmp(precedence, "bulk") == 0 ||
	       strcmp(precedence, "junk") == 0 ||
	       strcmp(precedence, "list") == 0;
}

static int
take_precedence(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;

	if (m->precedence != NULL && is_bulk(m->precedence))
		return 0;
	free(m->precedence);
	value = skip_cfws(value);
	len = strcspn(value, " \t;(");
	m->precedence = mail_text_clean(value, len, MAIL_STRING_MAX);
	if (m->precedence == NULL)
		return -1;
	lower(m->precedence);
	return 0;
}

static int
take_x_loop(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;
	char *one, *all;

	one = mail_text_clean(value, len, MAIL_STRING_MAX);
	if (one == NULL)
		return -1;
	if (m->x_loop == NULL) {
		m->x_loop = one;
		return 0;
	}
	if (strlen(m->x_loop) + 1 + strlen(one) > MAIL_STRING_MAX) {
		free(one);
		return 0;
	}
	if (asprintf(&all, "%s\n%s", m->x_loop, one) == -1)
		all = NULL;
	free(one);
	if (all == NULL)
		return -1;
	free(m->x_loop);
	m->x_loop = all;
	return 0;
}

/* Printable ASCII only, since it goes out again in a header: a server of a
 * stranger name, or one too many, is left out, and at worst gets a sync mail
 * that it does not need. */
static int
take_keyserver_sent(struct reading *r, const char *value, size_t len)
{
	struct mail *m = r->mail;
	size_t before =
	    m->keyserver_sent != NULL ? strlen(m->keyserver_sent) : 0;
	char *all;

	while (is_blank(*value)) { /* behind a fold */
		value++;
		len--;
	}
	if (len == 0 || len > MAIL_SENT_LINE ||
	    before + 1 + len > MAIL_SENT_MAX)
		return 0;
	for (size_t i = 0; i < len; i++)
		if ((value[i] < ' ' || value[i] > '~') && value[i] != '\t')
			return 0;
	if (asprintf(&all, "%s%s%.*s", before > 0 ? m->keyserver_sent : "",
		before > 0 ? "\n" : "", (int)len, value) == -1)
		return -1;
	for (char *p = all; *p != '\0'; p++)
		if (*p == '\t')
			*p = ' ';
	free(m->keyserver_sent);
	m->keyserver_sent = all;
	return 0;
}

static const struct {
	const char *name;
	take_fn *take;
} fields[] = {
    {"Subject", take_subject},
    {"From", take_from},
    {"Reply-To", take_reply_to},
    {"Message-ID", take_message_id},
    {"References", take_references},
    {"In-Reply-To", take_in_reply_to},
    {"Return-Path", take_return_path},
    {"Received", take_received},
    {"Resent-Message-ID", take_resent_id},
    {"Delivered-To", take_delivered_to},
    {"X-Original-To", take_x_original_to},
    {"Envelope-To", take_envelope_to},
    {"Auto-Submitted", take_auto_submitted},
    {"Precedence", take_precedence},
    {"X-Loop", take_x_loop},
    {"X-KeyServer-Sent", take_keyserver_sent},
};

static int
take(struct reading *r, const struct mail_field *f)
{
	char *value;
	size_t len;
	int rc;

	if (f->namelen > 5 && strncasecmp(f->name, "List-", 5) == 0)
		r->mail->list = true;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!is(f, fields[i].name))
			continue;
		value = unfold(f, &len);
		if (value == NULL)
			return -1;
		rc = fields[i].take(r, value, len);
		free(value);
		return rc;
	}
	return 0;
}

/* Takes *second where there is no *first. */
static void
fall_back(char **first, char **second)
{
	if (*first == NULL) {
		*first = *second;
		*second = NULL;
	}
}

int
mail_header(const char *header, size_t len, struct mail *m)
{
	struct reading r = {.mail = m};
	const char *p = header, *end = header + len;
	struct mail_field f;
	int rc = 0;

	while (rc == 0 && mail_field_next(&p, end, &f))
		rc = take(&r, &f);
	fall_back(&m->delivered_to, &r.x_original_to);
	fall_back(&m->delivered_to, &r.envelope_to);
	/* RFC 5322, 3.6.4 */
	fall_back(&m->references, &r.in_reply_to);
	free(r.x_original_to);
	free(r.envelope_to);
	free(r.in_reply_to);
	return rc;
}
