/*
 * struct mail as a flat record between the jailed reader and the core, which
 * trusts nothing that it reads here.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/mail_read.h"

#include <stdlib.h>
#include <string.h>

/* ---- freeing ------------------------------------------------------------- */

void
mail_cert_free(struct mail_cert *c)
{
	pgp_blob_free(&c->packets, false);
	pgp_left_parts_free(c->left.parts);
	c->left.parts = NULL;
}

void
mail_free(struct mail *m)
{
	char *strings[] = {m->why, m->subject, m->from, m->reply_to,
	    m->message_id, m->references, m->return_path, m->delivered_to,
	    m->auto_submitted, m->precedence, m->x_loop, m->keyserver_sent,
	    m->raw_message_id, m->raw_received, m->raw_resent_id,
	    m->raw_subject};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	for (size_t i = 0; i < m->ncerts; i++)
		mail_cert_free(&m->certs[i]);
	for (size_t i = 0; i < m->nrevocations; i++)
		pgp_blob_free(&m->revocations[i], false);
	for (size_t i = 0; i < m->nproblems; i++)
		free(m->problems[i]);
	free(m->certs);
	free(m->revocations);
	free(m->problems);
	memset(m, 0, sizeof(*m));
}

/* ---- writing ------------------------------------------------------------- */

static void
put_parts(struct ipc_out *out, const struct pgp_left_parts *parts)
{
	size_t n = parts == NULL ? 0 : parts->n;

	ipc_put_u32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		const struct pgp_left_part *p = &parts->part[i];

		ipc_put_u32(out, p->why);
		ipc_put_u32(out, p->kind);
		ipc_put_u32(out, p->whole);
		ipc_put_u32(out, p->n);
		ipc_put_blob(out, p->fpr.octet, p->fpr.len);
		ipc_put_blob(out, p->name, p->len);
	}
}

static void
put_cert(struct ipc_out *out, const struct mail_cert *c)
{
	ipc_put_blob(out, c->fpr.octet, c->fpr.len);
	ipc_put_blob(out, c->packets.data, c->packets.len);
	for (size_t i = 0; i < PGP_LEFT_REASONS; i++)
		ipc_put_u32(out, c->left.n[i]);
	put_parts(out, c->left.parts);
}

void
mail_put(struct ipc_out *out, const struct mail *m)
{
	const char *strings[] = {m->why, m->subject, m->from, m->reply_to,
	    m->message_id, m->references, m->return_path, m->delivered_to,
	    m->auto_submitted, m->precedence, m->x_loop, m->keyserver_sent,
	    m->raw_message_id, m->raw_received, m->raw_resent_id,
	    m->raw_subject};

	ipc_put_u32(out, m->verdict);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		ipc_put_str(out, strings[i]);
	ipc_put_u32(out, m->nfrom);
	ipc_put_u32(out, m->nsubject);
	ipc_put_u32(out, m->list);
	ipc_put_u32(out, m->nreceived);
	ipc_put_u32(out, m->nsecret);
	ipc_put_u32(out, m->nover);
	ipc_put_u32(out, (uint32_t)m->ncerts);
	for (size_t i = 0; i < m->ncerts; i++)
		put_cert(out, &m->certs[i]);
	ipc_put_u32(out, (uint32_t)m->nrevocations);
	for (size_t i = 0; i < m->nrevocations; i++)
		ipc_put_blob(
		    out, m->revocations[i].data, m->revocations[i].len);
	ipc_put_u32(out, (uint32_t)m->nproblems);
	for (size_t i = 0; i < m->nproblems; i++) {
		ipc_put_str(out, m->problems[i]);
		ipc_put_u32(out, m->problem_class[i]);
	}
	for (size_t i = 0; i < MAIL_REFUSALS; i++)
		ipc_put_u32(out, m->refused[i]);
	ipc_put_u64(out, m->resume);
}

/* ---- reading ------------------------------------------------------------- */

typedef bool sound_fn(const char *);

/* Blobs and strings are fetched one by one; the first fault ends it all. */
static char *
get_string(struct ipc_in *in, size_t max, sound_fn *sound)
{
	char *s = ipc_get_str(in, max);

	if (s != NULL && sound != NULL && !sound(s))
		in->failed = true;
	return s;
}

static bool
is_msgid(const char *s)
{
	return mail_msgid_sound(s, strlen(s));
}

static bool
is_msgids(const char *s)
{
	for (unsigned n = 0; n < MAIL_REFERENCES; n++) {
		size_t len = strcspn(s, " ");

		if (!mail_msgid_sound(s, len))
			return false;
		if (s[len] == '\0')
			return true;
		s += len + 1;
	}
	return false;
}

/* Lines of sound text. */
static bool
is_lines(const char *s)
{
	char *copy = strdup(s);
	bool sound = copy != NULL;

	for (char *p = copy; sound && *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	sound = sound && mail_text_sound(copy);
	free(copy);
	return sound;
}

/* Lines of printable ASCII, each short enough for a header. */
static bool
is_sent(const char *s)
{
	size_t line = 0;

	for (; *s != '\0'; s++) {
		if (*s == '\n' && line > 0)
			line = 0;
		else if (*s < ' ' || *s > '~' || ++line > MAIL_SENT_LINE)
			return false;
	}
	return line > 0;
}

/* They go into a digest and nowhere else, so they may be any octets but those
 * that no unfolded field has. */
static bool
is_raw(const char *s)
{
	return s[strcspn(s, "\r\n")] == '\0';
}

static bool
get_bool(struct ipc_in *in)
{
	uint32_t value = ipc_get_u32(in);

	if (value > 1)
		in->failed = true;
	return value == 1;
}

/* A number of things, each of at least `least` octets, that can still follow;
 * so that a lie about it costs no memory. */
static size_t
get_count(struct ipc_in *in, size_t most, size_t least)
{
	uint32_t n = ipc_get_u32(in);

	if (!in->failed && (n > most || n > (in->len - in->pos) / least))
		in->failed = true;
	return in->failed ? 0 : n;
}

static void
get_octets(struct ipc_in *in, struct pgp_blob *blob)
{
	size_t len;
	const unsigned char *p = ipc_get_blob(in, &len);

	if (len == 0)
		return;
	blob->data = malloc(len);
	if (blob->data == NULL) {
		in->failed = true;
		return;
	}
	memcpy(blob->data, p, len);
	blob->len = len;
}

static void
get_fpr(struct ipc_in *in, struct pgp_fpr *fpr)
{
	size_t len;
	const unsigned char *p = ipc_get_blob(in, &len);

	if (len != 0 && len != 16 && len != 20 && len != PGP_FPR_MAX) {
		in->failed = true;
		return;
	}
	if (len > 0)
		memcpy(fpr->octet, p, len);
	fpr->len = (unsigned char)len;
}

static void
get_part(struct ipc_in *in, struct pgp_left_parts *parts)
{
	uint32_t why = ipc_get_u32(in), kind = ipc_get_u32(in);
	struct pgp_left_part part = {
	    .why = (enum pgp_left_reason)why, .kind = (enum pgp_kind)kind};
	struct pgp_blob name = {0};

	part.whole = get_bool(in);
	part.n = ipc_get_u32(in);
	get_fpr(in, &part.fpr);
	get_octets(in, &name);
	part.name = name.data;
	part.len = name.len;
	if (in->failed || why >= PGP_LEFT_REASONS || kind > PGP_SUBKEY ||
	    name.len > PGP_LEFT_NAME) {
		in->failed = true;
		pgp_blob_free(&name, false);
	} else if (!pgp_left_parts_add(parts, &part))
		in->failed = true;
}

static void
get_parts(struct ipc_in *in, struct pgp_left_out *left)
{
	uint32_t n = ipc_get_u32(in);

	if (n == 0 || in->failed)
		return;
	left->parts = pgp_left_parts_new();
	if (left->parts == NULL || n > PGP_LEFT_PARTS)
		in->failed = true;
	for (; n > 0 && !in->failed; n--)
		get_part(in, left->parts);
}

static void
get_cert(struct ipc_in *in, struct mail_cert *c)
{
	get_fpr(in, &c->fpr);
	if (in->failed)
		return;
	get_octets(in, &c->packets);
	for (size_t i = 0; i < PGP_LEFT_REASONS; i++)
		c->left.n[i] = ipc_get_u32(in);
	get_parts(in, &c->left);
}

static void
get_header(struct ipc_in *in, struct mail *m)
{
	const struct {
		char **to;
		size_t max;
		sound_fn *sound;
	} strings[] = {
	    {&m->why, MAIL_WHY_MAX, mail_text_sound},
	    {&m->subject, MAIL_STRING_MAX, mail_text_sound},
	    {&m->from, MAIL_STRING_MAX, mail_address_strict},
	    {&m->reply_to, MAIL_STRING_MAX, mail_address_strict},
	    {&m->message_id, MAIL_STRING_MAX, is_msgid},
	    {&m->references, MAIL_STRING_MAX, is_msgids},
	    {&m->return_path, MAIL_STRING_MAX, mail_text_sound},
	    {&m->delivered_to, MAIL_STRING_MAX, mail_text_sound},
	    {&m->auto_submitted, MAIL_STRING_MAX, mail_text_sound},
	    {&m->precedence, MAIL_STRING_MAX, mail_text_sound},
	    {&m->x_loop, MAIL_STRING_MAX, is_lines},
	    {&m->keyserver_sent, MAIL_SENT_MAX, is_sent},
	    {&m->raw_message_id, MAIL_STRING_MAX, is_raw},
	    {&m->raw_received, MAIL_STRING_MAX, is_raw},
	    {&m->raw_resent_id, MAIL_STRING_MAX, is_raw},
	    {&m->raw_subject, MAIL_STRING_MAX, is_raw},
	};
	uint32_t verdict = ipc_get_u32(in);

	if (verdict > MAIL_BENT)
		in->failed = true;
	else
		m->verdict = (enum mail_verdict)verdict;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		*strings[i].to =
		    get_string(in, strings[i].max, strings[i].sound);
	if (m->verdict != MAIL_SOUND && m->why == NULL)
		in->failed = true;
	m->nfrom = ipc_get_u32(in);
	m->nsubject = ipc_get_u32(in);
	m->list = get_bool(in);
	m->nreceived = ipc_get_u32(in);
	m->nsecret = ipc_get_u32(in);
	m->nover = ipc_get_u32(in);
}

/* An array of what was announced; NULL and *n == 0 when there is none. */
static void *
get_array(struct ipc_in *in, size_t most, size_t least, size_t each, size_t *n)
{
	void *array;

	*n = get_count(in, most, least);
	if (*n == 0)
		return NULL;
	array = calloc(*n, each);
	if (array == NULL) {
		in->failed = true;
		*n = 0;
	}
	return array;
}

static void
get_body(struct ipc_in *in, struct mail *m)
{
	uint32_t class;

	m->certs =
	    get_array(in, MAIL_CERTS_MAX, 4 + 4 + 4 * (size_t)PGP_LEFT_REASONS,
		sizeof(*m->certs), &m->ncerts);
	for (size_t i = 0; i < m->ncerts && !in->failed; i++)
		get_cert(in, &m->certs[i]);
	m->revocations = get_array(
	    in, MAIL_CERTS_MAX, 4, sizeof(*m->revocations), &m->nrevocations);
	for (size_t i = 0; i < m->nrevocations && !in->failed; i++)
		get_octets(in, &m->revocations[i]);
	m->problems = get_array(
	    in, MAIL_PROBLEMS, 8, sizeof(*m->problems), &m->nproblems);
	for (size_t i = 0; i < m->nproblems && !in->failed; i++) {
		m->problems[i] =
		    get_string(in, MAIL_PROBLEM_MAX, mail_text_sound);
		class = ipc_get_u32(in);
		if (m->problems[i] == NULL || class > MAIL_REFUSALS)
			in->failed = true;
		else
			m->problem_class[i] = (uint8_t) class;
	}
	for (size_t i = 0; i < MAIL_REFUSALS; i++)
		m->refused[i] = ipc_get_u32(in);
	m->resume = ipc_get_u64(in);
}

int
mail_get(struct ipc_in *in, struct mail *m)
{
	memset(m, 0, sizeof(*m));
	get_header(in, m);
	get_body(in, m);
	if (in->pos != in->len)
		in->failed = true;
	if (in->failed) {
		mail_free(m);
		return -1;
	}
	return 0;
}
