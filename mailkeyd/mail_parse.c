/*
 * A mail as it came, to a struct mail: the walk through its MIME parts.
 */
#include "mailkeyd/mail_read.h"

#include <libetpan/libetpan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILENAME_SHOWN 60

struct walk {
	struct mail_reading reading;
	const struct mail_limits *limits;
	unsigned parts;	 /* of the whole mail */
	unsigned part;	 /* the one under way, counted from 1 */
	unsigned blocks; /* with keys or not, in any part so far */
	bool html;	 /* this time HTML parts only */
};

/* One part, decoded. */
struct part {
	const char *text;
	size_t len;
	char *decoded; /* to free: the text lies here, or in the mail, */
	char *utf8;    /* or here */
	size_t utf8_len;
	bool application, is_text, html, signature;
	char *file; /* cleaned name, "" = none */
};

/* ---- what libetpan gets to see ------------------------------------------- */

static bool
is_mime_field(const struct mail_field *f)
{
	return (f->namelen > 8 && strncasecmp(f->name, "Content-", 8) == 0) ||
	       (f->namelen == 12 &&
		   strncasecmp(f->name, "MIME-Version", 12) == 0);
}

/*
 * The MIME fields and the body alone: libetpan recurses through comments in
 * addresses, and takes the rest of a header for the body when it meets a line
 * that is no field.
 */
static char *
mime_entity(const char *header, const char *body, const char *end, size_t *len)
{
	struct mail_field f;
	const char *p = header;
	char *entity = NULL;
	FILE *out = pgp_memstream(&entity, len);

	if (out == NULL)
		return NULL;
	while (mail_field_next(&p, body, &f))
		if (is_mime_field(&f))
			fprintf(out, "%.*s:%.*s\r\n", (int)f.namelen, f.name,
			    (int)f.len, f.value);
	fputs("\r\n", out);
	fwrite(body, 1, (size_t)(end - body), out);
	if (fclose(out) != 0) {
		free(entity);
		return NULL;
	}
	return entity;
}

/* ---- one part ------------------------------------------------------------ */

static bool
is_application(const struct mailmime_content *c)
{
	return c != NULL &&
	       c->ct_type->tp_type == MAILMIME_TYPE_DISCRETE_TYPE &&
	       c->ct_type->tp_data.tp_discrete_type->dt_type ==
		   MAILMIME_DISCRETE_TYPE_APPLICATION;
}

static bool
is_text(const struct mailmime_content *c)
{
	return c != NULL &&
	       c->ct_type->tp_type == MAILMIME_TYPE_DISCRETE_TYPE &&
	       c->ct_type->tp_data.tp_discrete_type->dt_type ==
		   MAILMIME_DISCRETE_TYPE_TEXT;
}

/* 0; 1: the encoding is broken; -1: no memory. */
static int
decode(struct part *p, const struct mailmime_mechanism *encoding)
{
	size_t at = 0, len;
	char *text;
	int how, rc;

	how = encoding == NULL ? MAILMIME_MECHANISM_8BIT : encoding->enc_type;
	if (how != MAILMIME_MECHANISM_BASE64 &&
	    how != MAILMIME_MECHANISM_QUOTED_PRINTABLE)
		return 0;
	rc = mailmime_part_parse(p->text, p->len, &at, how, &text, &len);
	if (rc == MAILIMF_ERROR_MEMORY)
		return -1;
	if (rc != MAILIMF_NO_ERROR)
		return 1;
	p->decoded = text;
	p->text = text;
	p->len = len;
	return 0;
}

/* The character set to undo before the ASCII in a text is seen: by a mark that
 * Windows puts in front of files, or declared.  NULL: there is nothing to do.
 */
static const char *
wide_charset(const struct part *p, const char *declared)
{
	static const char *const wide[] = {
	    "utf-16", "utf-32", "ucs-2", "ucs-4", "utf-7"};

	if (p->len > 1 && (memcmp(p->text, "\xff\xfe", 2) == 0 ||
			      memcmp(p->text, "\xfe\xff", 2) == 0))
		return "UTF-16";
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (declared != NULL && p->is_text &&
		    strncasecmp(declared, wide[i], strlen(wide[i])) == 0)
			return declared;
	return NULL;
}

/* 0 or -1. */
static int
undo_charset(struct part *p, const char *declared)
{
	const char *charset = wide_charset(p, declared);
	FILE *out;

	if (charset != NULL) {
		out = pgp_memstream(&p->utf8, &p->utf8_len);
		if (out == NULL)
			return -1;
		mail_charset_put(
		    out, charset, strlen(charset), p->text, p->len);
		if (fclose(out) != 0)
			return -1;
		p->text = p->utf8;
		p->len = p->utf8_len;
	}
	if (p->len > 2 && memcmp(p->text, "\xef\xbb\xbf", 3) == 0) {
		p->text += 3;
		p->len -= 3;
	}
	return 0;
}

static int
part_open(struct mailmime *m, struct part *p)
{
	struct mailmime_single_fields f;
	const struct mailmime_content *c = m->mm_content_type;
	const char *file = "";
	int rc;

	memset(p, 0, sizeof(*p));
	mailmime_single_fields_init(&f, m->mm_mime_fields, m->mm_content_type);
	p->text = m->mm_data.mm_single->dt_data.dt_text.dt_data;
	p->len = m->mm_data.mm_single->dt_data.dt_text.dt_length;
	p->application = is_application(c);
	p->is_text = is_text(c);
	p->html = p->is_text && strcasecmp(c->ct_subtype, "html") == 0;
	p->signature =
	    p->application && strcasecmp(c->ct_subtype, "pgp-signature") == 0;
	if (f.fld_disposition_filename != NULL)
		file = f.fld_disposition_filename;
	else if (f.fld_content_name != NULL)
		file = f.fld_content_name;
	p->file = mail_words_decode(file, strlen(file), MAIL_STRING_MAX);
	rc = p->file == NULL ? -1 : decode(p, f.fld_encoding);
	return rc == 0 ? undo_charset(p, f.fld_content_charset) : rc;
}

static void
part_close(struct part *p, bool wipe)
{
	if (p->decoded != NULL) {
		if (wipe)
			explicit_bzero(p->decoded, p->len);
		mailmime_decoded_part_free(p->decoded);
	}
	if (p->utf8 != NULL && wipe)
		explicit_bzero(p->utf8, p->utf8_len);
	free(p->utf8);
	free(p->file);
}

static bool
is_key_file(const char *name)
{
	static const char *const suffix[] = {".gpg", ".pgp", ".key", ".asc"};
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++)
		if (len > 4 && strcasecmp(name + len - 4, suffix[i]) == 0)
			return true;
	return false;
}

/* Packets rather than text: RFC 9580, 4.2, bit 7 of the first octet is set.
 * So it is in a text that begins with a letter beyond ASCII. */
static bool
is_binary(const struct part *p)
{
	static const char begin[] = "-----BEGIN PGP ";

	return p->len > 0 && ((unsigned char)p->text[0] & 0x80) != 0 &&
	       (p->application || is_key_file(p->file)) &&
	       memmem(p->text, p->len, begin, sizeof(begin) - 1) == NULL;
}

/* Where a part is, for a sentence: nothing in a mail of one part. */
static char *
part_name(const struct walk *w, const struct part *p)
{
	char *name, *file;
	int n;

	if (w->parts == 1 && p->file[0] == '\0')
		return strdup("");
	if (p->file[0] == '\0')
		return asprintf(&name, "part %u", w->part) == -1 ? NULL : name;
	file = mail_text_clean(p->file, strlen(p->file), FILENAME_SHOWN);
	if (file == NULL)
		return NULL;
	n = asprintf(&name, "part %u (\"%s\")", w->part, file);
	free(file);
	return n == -1 ? NULL : name;
}

static int
search_text(struct walk *w, const struct part *p, const char *name)
{
	char *of;
	int rc;

	if (asprintf(&of, "%s%s", name[0] != '\0' ? " of " : "", name) == -1)
		return -1;
	rc = mail_certs_text(&w->reading, p->text, p->len, of, &w->blocks);
	free(of);
	return rc;
}

static int
search_html(struct walk *w, const struct part *p, const char *name)
{
	struct part plain = *p;
	char *text = mail_html_text(p->text, p->len, &plain.len);
	int rc;

	if (text == NULL)
		return -1;
	plain.text = text;
	rc = search_text(w, &plain, name);
	explicit_bzero(text, plain.len);
	free(text);
	return rc;
}

static int
search_part(struct walk *w, struct part *p)
{
	char *name = part_name(w, p);
	int rc;

	if (name == NULL)
		return -1;
	if (is_binary(p)) {
		w->blocks++;
		rc = mail_certs_packets(&w->reading,
		    (const unsigned char *)p->text, p->len,
		    name[0] != '\0' ? name : "the mail");
	} else if (p->html) {
		rc = search_html(w, p, name);
	} else {
		rc = search_text(w, p, name);
	}
	free(name);
	return rc;
}

static int
walk_single(struct walk *w, struct mailmime *m)
{
	struct part p;
	int rc;

	w->part++;
	rc = part_open(m, &p);
	if (rc == 1)
		rc = mail_problem(w->reading.mail,
		    "Part %u cannot be decoded; please send it again.",
		    w->part);
	else if (rc == 0 && p.html == w->html && !p.signature)
		rc = search_part(w, &p);
	part_close(&p, w->reading.mail->nsecret > 0);
	return rc;
}

/* ---- the tree ------------------------------------------------------------ */

static struct mailmime *
message_child(const struct mailmime *m)
{
	return m->mm_data.mm_message.mm_msg_mime;
}

/* Counts parts and looks at the depth before anything is decoded; returns the
 * limit that is passed, or NULL.  libetpan hangs the whole mail below a message
 * of its own, at depth 0. */
static const char *
count(const struct mailmime *m, unsigned depth,
    const struct mail_limits *limits, unsigned *parts)
{
	const char *why = NULL;
	clistiter *i;

	if (depth > limits->depth)
		return "Its parts are nested too deeply (mime_depth).";
	switch (m->mm_type) {
	case MAILMIME_SINGLE:
		if (++*parts > limits->parts)
			why = "It has too many parts (mime_parts).";
		break;
	case MAILMIME_MESSAGE:
		if (message_child(m) != NULL)
			why = count(message_child(m), depth + 1, limits, parts);
		break;
	case MAILMIME_MULTIPLE:
		for (i = clist_begin(m->mm_data.mm_multipart.mm_mp_list);
		     i != NULL && why == NULL; i = clist_next(i))
			why = count(clist_content(i), depth + 1, limits, parts);
		break;
	}
	return why;
}

static int
walk(struct walk *w, struct mailmime *m)
{
	clistiter *i;
	int rc = 0;

	switch (m->mm_type) {
	case MAILMIME_SINGLE:
		return walk_single(w, m);
	case MAILMIME_MESSAGE:
		return message_child(m) == NULL ? 0 : walk(w, message_child(m));
	case MAILMIME_MULTIPLE:
		for (i = clist_begin(m->mm_data.mm_multipart.mm_mp_list);
		     i != NULL && rc == 0; i = clist_next(i))
			rc = walk(w, clist_content(i));
		break;
	}
	return rc;
}

static int
say_why(struct mail *m, enum mail_verdict verdict, const char *why)
{
	m->verdict = verdict;
	m->why = strdup(why);
	return m->why == NULL ? -1 : 0;
}

static int
walk_all(struct walk *w, struct mailmime *top)
{
	struct mail *m = w->reading.mail;
	struct mailmime *first = message_child(top);
	const char *why;

	if (first == NULL)
		return 0;
	why = count(first, 0, w->limits, &w->parts);
	if (why != NULL)
		return say_why(m, MAIL_OVER, why);
	if (walk(w, first) == -1)
		return -1;
	if (w->blocks > 0)
		return 0;
	/* an alternative in HTML matters only to who sends nothing else */
	w->html = true;
	w->part = 0;
	return walk(w, first);
}

static int
read_body(struct walk *w, const char *header, const char *body, const char *end)
{
	struct mailmime *top = NULL;
	size_t len = 0, at = 0;
	char *entity = mime_entity(header, body, end, &len);
	int rc = -1;

	if (entity == NULL)
		return -1;
	/* the tree points into the entity */
	if (mailmime_parse(entity, len, &at, &top) == MAILIMF_NO_ERROR) {
		rc = walk_all(w, top);
		mailmime_free(top);
	}
	if (w->reading.mail->nsecret > 0)
		explicit_bzero(entity, len);
	free(entity);
	return rc;
}

int
mail_parse(const char *raw, size_t len, const struct mail_limits *limits,
    const struct pgp_policy *policy, time_t now, struct mail *out)
{
	struct walk w = {.reading = {.mail = out,
			     .policy = policy,
			     .now = now < 0		       ? 0
				    : now > (time_t)UINT32_MAX ? UINT32_MAX
							       : (uint32_t)now,
			     .limit = limits->keys},
	    .limits = limits};
	enum mail_verdict verdict;
	size_t start, body;
	const char *why;

	memset(out, 0, sizeof(*out));
	verdict = mail_scan(raw, len, limits, &start, &body, &why);
	if (verdict != MAIL_SOUND && say_why(out, verdict, why) == -1)
		return -1;
	if (verdict == MAIL_BENT)
		return 0;
	if (mail_header(raw + start, body - start, out) == -1)
		return -1;
	if (verdict == MAIL_OVER)
		return 0;
	return read_body(&w, raw + start, raw + body, raw + len);
}

/* ---- character sets ------------------------------------------------------ */

/* libetpan undoes encoded words in the MIME fields, and would open sets for
 * them: in the jail that is death.  What is no set of ours goes as Latin-1,
 * since MAIL_CHARCONV_ERROR_UNKNOWN_CHARSET means iconv_open(3). */
static int
convert(const char *to, const char *from, const char *s, size_t len, char *out,
    size_t *outlen)
{
	int rc = MAIL_CHARCONV_ERROR_CONV;
	size_t room = *outlen, n = 0;
	char *text = NULL;
	FILE *f = pgp_memstream(&text, &n);

	(void)to; /* always UTF-8 */
	if (f == NULL)
		return MAIL_CHARCONV_ERROR_MEMORY;
	mail_charset_put(f, from, strlen(from), s, len);
	if (fclose(f) != 0) {
		rc = MAIL_CHARCONV_ERROR_MEMORY;
	} else if (n <= room) {
		memcpy(out, text, n);
		*outlen = n;
		rc = MAIL_CHARCONV_NO_ERROR;
	}
	free(text);
	return rc;
}

void
mail_parse_prepare(bool all)
{
	mail_charset_prepare(all);
	extended_charconv = convert;
}

bool
mail_parse_again(void)
{
	return mail_charset_wanted();
}
