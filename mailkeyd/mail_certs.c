/*
 * The certificates of a mail's part or of a file, and what is wrong with them,
 * in sentences for whoever sent them.
 */
#include "mailkeyd/mail_read.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
mail_problem(struct mail *m, const char *format, ...)
{
	char *text, *clean, **more;
	va_list ap;
	int n;

	if (m->nproblems >= MAIL_PROBLEMS)
		return 0;
	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n == -1)
		return -1;
	clean = mail_text_clean(text, (size_t)n, MAIL_PROBLEM_MAX);
	free(text);
	more = realloc(m->problems, (m->nproblems + 1) * sizeof(*more));
	if (more != NULL)
		m->problems = more;
	if (more == NULL || clean == NULL) {
		free(clean);
		return -1;
	}
	m->problem_class[m->nproblems] = MAIL_REFUSALS;
	more[m->nproblems++] = clean;
	return 0;
}

/* ---- one certificate ----------------------------------------------------- */

/* Room for one more, made ahead in powers of two; NULL: no memory. */
static void *
room(void *array, size_t n, size_t each)
{
	if ((n & (n - 1)) != 0)
		return array;
	return realloc(array, (n == 0 ? 1 : 2 * n) * each);
}

/* A key of a version that is not taken: which one, so that whoever sent a ring
 * finds it. */
static int
refuse_version(
    struct mail *m, const unsigned char *packets, size_t len, const char *where)
{
	struct pgp_component key;
	char fpr[PGP_FPR_HEX];
	enum pgp_status status = pgp_key_identify(packets, len, &key);

	if (status == PGP_NOMEM)
		return -1;
	if (status != PGP_OK)
		return mail_problem(m,
		    "A key in %s is of version %u, which this server does not "
		    "know: it was not stored.",
		    where, (unsigned)key.version);
	pgp_fpr_hex(&key.fpr, fpr);
	if (key.version < 4)
		return mail_problem(m,
		    "The key with the fingerprint %s is of version %u, whose "
		    "signatures are made with MD5 and are not taken: it was "
		    "not stored.",
		    fpr, (unsigned)key.version);
	return mail_problem(m,
	    "This server cannot verify the key with the fingerprint %s "
	    "(version %u, algorithm %u): it was not stored.",
	    fpr, (unsigned)key.version, (unsigned)key.pkalgo);
}

/* What a sender is asked for, and an operator not. */
static const char *
advice(const struct mail_reading *r, const char *text)
{
	return r->file ? "" : text;
}

/* Only armor tells where packets begin again. */
static const char *
malformed_advice(const struct mail_reading *r, enum pgp_status status)
{
	if (r->file && status == PGP_MALFORMED)
		return "; the rest, up to the next armored block, was left out";
	return advice(r, "; please send what gpg --armor --export writes");
}

const char *
mail_refusal_text(enum mail_refusal refusal)
{
	static const char *const text[MAIL_REFUSALS] = {
	    [MAIL_REFUSED_V3] = "keys of version 3 or older",
	    [MAIL_REFUSED_VERSION] = "keys of another version",
	    [MAIL_REFUSED_SIZE] = "certificates over the size",
	    [MAIL_REFUSED_CUT] = "material that is cut off",
	    [MAIL_REFUSED_ARMOR] = "armored blocks that are damaged",
	    [MAIL_REFUSED_OTHER] = "material that is no certificate"};

	return text[refusal];
}

static enum mail_refusal
refusal_of(enum pgp_status status, const unsigned char *packets, size_t len)
{
	struct pgp_component key;

	switch (status) {
	case PGP_UNSUPPORTED:
		return pgp_key_identify(packets, len, &key) == PGP_OK &&
			       key.version < 4
			   ? MAIL_REFUSED_V3
			   : MAIL_REFUSED_VERSION;
	case PGP_TOO_LARGE:
		return MAIL_REFUSED_SIZE;
	case PGP_TRUNCATED:
		return MAIL_REFUSED_CUT;
	case PGP_BAD_ARMOR:
		return MAIL_REFUSED_ARMOR;
	default:
		return MAIL_REFUSED_OTHER;
	}
}

/* `packets` are at least the primary key's when its version is unknown. */
static int
tell_refusal(struct mail_reading *r, enum pgp_status status,
    const unsigned char *packets, size_t len, const char *where)
{
	struct mail *m = r->mail;

	switch (status) {
	case PGP_NOMEM:
		return -1;
	case PGP_UNSUPPORTED:
		return refuse_version(m, packets, len, where);
	case PGP_TOO_LARGE:
		return mail_problem(m,
		    "A certificate in %s is larger than this server takes%s.",
		    where,
		    advice(r, "; please send a smaller export (gpg "
			      "--export-options export-minimal)"));
	case PGP_TRUNCATED:
		return mail_problem(m, "The key material in %s is cut off%s.",
		    where,
		    advice(r, "; please export it again and send all of it"));
	case PGP_BAD_ARMOR:
		return mail_problem(m, "The armored block in %s is damaged%s.",
		    where,
		    advice(r, "; please export it again and send all of it"));
	default:
		return mail_problem(m,
		    "There is something in %s that is no certificate (%s)%s.",
		    where, pgp_strerror(status), malformed_advice(r, status));
	}
}

static int
refuse(struct mail_reading *r, enum pgp_status status,
    const unsigned char *packets, size_t len, const char *where)
{
	enum mail_refusal class = refusal_of(status, packets, len);
	struct mail *m = r->mail;
	size_t told = m->nproblems;
	int rc = tell_refusal(r, status, packets, len, where);

	m->refused[class]++;
	if (m->nproblems > told)
		m->problem_class[told] = (uint8_t) class;
	return rc;
}

static int
take_cert(struct mail_reading *r, const unsigned char *packets, size_t len,
    struct pgp_left_out *left, const char *where)
{
	struct mail *m = r->mail;
	struct mail_cert one = {.left = *left}, *more;
	struct pgp_cert *cert;
	enum pgp_status status;

	status = pgp_cert_parse(
	    packets, len, r->policy, false, r->now, &one.left, &cert);
	if (status == PGP_SECRET) {
		m->nsecret++;
		return 0;
	}
	if (status != PGP_OK)
		return refuse(r, status, packets, len, where);
	one.fpr = *pgp_cert_fpr(cert);
	status = pgp_cert_octets(cert, &one.packets);
	pgp_cert_free(cert);
	more = room(m->certs, m->ncerts, sizeof(*more));
	if (more != NULL)
		m->certs = more;
	if (more == NULL || status != PGP_OK) {
		pgp_blob_free(&one.packets, false);
		return -1;
	}
	more[m->ncerts++] = one;
	left->parts = NULL;
	r->keys++;
	return 0;
}

static int
take_revocation(
    struct mail_reading *r, const unsigned char *packets, size_t len)
{
	struct mail *m = r->mail;
	struct pgp_blob one = {malloc(len), len}, *more;

	more = room(m->revocations, m->nrevocations, sizeof(*more));
	if (more != NULL)
		m->revocations = more;
	if (more == NULL || one.data == NULL) {
		free(one.data);
		return -1;
	}
	memcpy(one.data, packets, len);
	more[m->nrevocations++] = one;
	r->keys++;
	return 0;
}

/* The next thing in the stream; *left keeps its parts unless they went with a
 * certificate. */
static int
take_next(struct mail_reading *r, struct pgp_reader *reader,
    struct pgp_left_out *left, const char *where)
{
	const unsigned char *packets;
	enum pgp_status status;
	size_t len;
	bool bare = false;
	int rc;

	status = pgp_reader_next(reader, left, &packets, &len, &bare);
	if (status == PGP_END)
		return 0;
	if (status == PGP_SECRET) {
		r->mail->nsecret++;
		return 1;
	}
	if (status != PGP_OK) {
		rc = refuse(r, status, packets, len, where);
	} else if (r->keys >= r->limit) {
		r->mail->nover++;
		rc = 0;
	} else if (bare) {
		rc = take_revocation(r, packets, len);
	} else {
		rc = take_cert(r, packets, len, left, where);
	}
	return rc == 0 ? 1 : -1;
}

int
mail_certs_next(
    struct mail_reading *r, struct pgp_reader *reader, const char *where)
{
	struct pgp_left_out left = {0};
	int rc;

	/* Nobody is told of a file part by part. */
	if (!r->file)
		left.parts = pgp_left_parts_new();
	rc = take_next(r, reader, &left, where);
	pgp_left_parts_free(left.parts);
	return rc;
}

/* ---- octets in memory ---------------------------------------------------- */

struct octets {
	const unsigned char *p;
	size_t len;
};

static long
read_octets(void *ctx, unsigned char *buf, size_t size)
{
	struct octets *o = ctx;
	size_t n = size < o->len ? size : o->len;

	if (n > LONG_MAX)
		n = LONG_MAX;
	if (n > 0)
		memcpy(buf, o->p, n);
	o->p += n;
	o->len -= n;
	return (long)n;
}

static size_t
found(const struct mail *m)
{
	return m->ncerts + m->nrevocations + m->nsecret + m->nover +
	       m->nproblems;
}

int
mail_certs_packets(struct mail_reading *r, const unsigned char *packets,
    size_t len, const char *where)
{
	struct octets o = {packets, len};
	size_t before = found(r->mail);
	struct pgp_reader *reader;
	int rc;

	reader = pgp_reader_new(read_octets, &o, r->policy);
	if (reader == NULL)
		return -1;
	do
		rc = mail_certs_next(r, reader, where);
	while (rc == 1);
	pgp_reader_free(reader);
	if (rc == 0 && found(r->mail) == before)
		rc = mail_problem(r->mail,
		    "There is no certificate in %s; please send what gpg "
		    "--armor --export writes.",
		    where);
	return rc;
}

/* ---- armored blocks ------------------------------------------------------ */

enum content { CERTIFICATES, SIGNATURE, MESSAGE };

/* What a block is about, by its first packet. */
static int
classify(const struct pgp_blob *b, enum content *content)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet p;
	size_t pos = 0;
	enum pgp_status status;
	unsigned type;

	*content = CERTIFICATES;
	status = pgp_packet_read(b->data, b->len, &pos, &joined, &p);
	if (status == PGP_OK && p.tag == PGP_TAG_SIGNATURE && p.len > 2) {
		/* RFC 9580, 5.2.2 and 5.2.3: the type's place */
		type = p.body[0] < 4 ? p.body[2] : p.body[1];
		*content = type == 0x20 ? CERTIFICATES : SIGNATURE;
	} else if (status == PGP_OK) {
		/* session keys, one-pass, compressed, encrypted, literal */
		static const unsigned char tags[] = {1, 3, 4, 8, 9, 11, 18, 20};

		if (memchr(tags, (int)p.tag, sizeof(tags)) != NULL)
			*content = MESSAGE;
	}
	pgp_blob_free(&joined, true);
	return status == PGP_NOMEM ? -1 : 0;
}

static int
take_block(
    struct mail_reading *r, const struct pgp_armored *a, const char *part)
{
	enum content content;
	char *where;
	int rc;

	if (classify(&a->blob, &content) == -1)
		return -1;
	if (content == SIGNATURE) /* of the mail: none of our business */
		return 0;
	if (content == MESSAGE)
		return mail_problem(r->mail,
		    "The armored block in line %zu%s is a message, not a "
		    "certificate; this server reads no encrypted mail.",
		    a->line, part);
	if (asprintf(
		&where, "the armored block in line %zu%s", a->line, part) == -1)
		return -1;
	rc = mail_certs_packets(r, a->blob.data, a->blob.len, where);
	free(where);
	if (rc == 0 && a->crc == PGP_CRC_WRONG)
		rc = mail_problem(r->mail,
		    "The armored block in line %zu%s has a wrong checksum; "
		    "it was read all the same.",
		    a->line, part);
	return rc;
}

/* gpg puts a colon before a revocation that it keeps for later, so that it is
 * not used by accident: it is not for us to take it off. */
static int
tell_colon(
    struct mail_reading *r, const char *text, size_t len, const char *part)
{
	static const char begin[] = ":-----BEGIN PGP ";
	const char *found = memmem(text, len, begin, sizeof(begin) - 1);

	if (found == NULL || (found > text && found[-1] != '\n'))
		return 0;
	return mail_problem(r->mail,
	    "A block%s begins with \":-----BEGIN PGP\": gpg keeps revocation "
	    "certificates so, lest they be used by accident. To use it, take "
	    "that colon away and send it again.",
	    part);
}

int
mail_certs_text(struct mail_reading *r, const char *text, size_t len,
    const char *part, unsigned *blocks)
{
	struct pgp_armored a = {.blob = {NULL, 0}}; /* it counts the lines */
	size_t pos = 0;
	int rc = tell_colon(r, text, len, part);

	while (rc == 0) {
		enum pgp_status status = pgp_dearmor(text, len, &pos, &a);

		if (status == PGP_END)
			return 0;
		if (status == PGP_NOMEM)
			return -1;
		++*blocks;
		if (status == PGP_OK)
			rc = take_block(r, &a, part);
		else if (status == PGP_TRUNCATED)
			rc = mail_problem(r->mail,
			    "The armored block in line %zu%s has no END line; "
			    "please send the whole block again.",
			    a.line, part);
		else
			rc = mail_problem(r->mail,
			    "The armored block in line %zu%s has a line that "
			    "is no base64; please send the whole block again.",
			    a.line, part);
		pgp_blob_free(&a.blob, true);
	}
	return rc;
}
