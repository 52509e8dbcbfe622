/*
 * From the certificates that a reader found to what may be stored.
 */
#include "mailkeyd/intake.h"
#include "mailkeyd/loop.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define REVOCATION_KEYS 4 /* stored keys tried for one bare revocation */

struct candidate {
	struct trial trial; /* first: a trial is cast back to its candidate */
	struct intake *intake;
	struct pgp_cert *cert;
	bool stored; /* the store has a certificate of this key */
	bool waits;  /* intake_waits() */
	struct pgp_left_parts *parts; /* of our own */
};

struct intake {
	struct judge *judge;
	struct keystore *ks;
	const struct config *config;
	const struct mail *mail;
	time_t now;
	intake_done *done;
	void *ctx;
	struct candidate *candidates;
	struct submission *submissions;
	size_t n, room;
	const char **problems; /* the mail's, lent, then our own */
	size_t nproblems, nlent;
	size_t next;	/* of the mail's certificates, to be begun with */
	size_t pending; /* trials, and one for the start itself */
	bool later;
	bool parts; /* wanted */
	char why[128];
};

/* The last one out tells. */
static void
intake_leave(struct intake *intake)
{
	if (--intake->pending == 0)
		intake->done(intake->ctx, intake->later, intake->why);
}

static void
intake_later(struct intake *intake, const char *why)
{
	intake->later = true;
	snprintf(intake->why, sizeof(intake->why), "%s", why);
}

/* Whether anything but the bare primary key is left. */
static bool
has_signature(const struct pgp_cert *cert)
{
	for (size_t i = 0; i < cert->ncomponents; i++)
		if (cert->components[i].nsigs > 0)
			return true;
	return false;
}

/* gpg has spoken: what did not verify goes.  What could not stand by itself,
 * such as one new subkey, may still belong to a certificate that is stored. */
static void
candidate_judged(struct trial *trial, bool later, const char *why)
{
	struct candidate *c = (struct candidate *)trial;
	struct intake *intake = c->intake;
	struct submission *s = &intake->submissions[c - intake->candidates];
	enum pgp_status status;
	bool addition;

	if (later) {
		intake_later(intake, why);
		intake_leave(intake);
		return;
	}
	status =
	    pgp_cert_clean(c->cert, &intake->config->limits.policy, &s->left);
	addition = status == PGP_NOT_CERT && has_signature(c->cert);
	c->waits = c->waits || (addition && !c->stored);
	if (status == PGP_OK || (addition && c->stored))
		s->cert = c->cert;
	else if (status == PGP_NOMEM)
		intake_later(intake, "no memory");
	intake_leave(intake);
}

/* Of what was forgotten only the revocations are of use, of what is blocked
 * nothing: the rest is not even judged.  True: go on. */
static bool
candidate_welcome(
    struct intake *intake, struct submission *s, struct pgp_cert *cert)
{
	enum ks_standing standing;
	enum ks_status status;

	status = ks_standing(intake->ks, &s->fpr, &standing);
	if (status != KS_OK)
		intake_later(intake, ks_strerror(status));
	if (standing == KS_WELCOME ||
	    (standing == KS_FORGOTTEN && pgp_cert_strip(cert)))
		return true;
	s->standing = standing;
	return false;
}

/* NULL: the store has none, or it failed and the mail has to come again. */
static struct pgp_cert *
stored_get(struct intake *intake, const struct pgp_fpr *fpr)
{
	struct pgp_cert *cert = NULL;
	enum ks_status status = ks_get(intake->ks, fpr, &cert, NULL);

	if (status == KS_OK)
		return cert;
	if (status != KS_NOT_FOUND)
		intake_later(intake, ks_strerror(status));
	return NULL;
}

/* The certificate of a fingerprint, from the store or the mail itself: who has
 * that fingerprint is the one who is meant.  NULL: neither has it, or that
 * cannot be told and the mail has to come again. */
static struct pgp_cert *
revoker_find(struct intake *intake, const struct pgp_fpr *fpr)
{
	const struct mail *mail = intake->mail;
	struct pgp_left_out left = {.n = {0}};
	struct pgp_cert *cert = stored_get(intake, fpr);
	enum pgp_status status;

	if (cert != NULL)
		return cert;
	for (size_t i = 0; i < mail->ncerts; i++) {
		const struct mail_cert *c = &mail->certs[i];

		if (pgp_fpr_cmp(&c->fpr, fpr) != 0 || c->packets.len == 0)
			continue;
		status = pgp_cert_parse(c->packets.data, c->packets.len,
		    &intake->config->limits.policy, PGP_CLAIMED,
		    (uint32_t)intake->now, &left, &cert);
		if (status == PGP_NOMEM)
			intake_later(intake, "no memory");
		if (status != PGP_OK)
			return NULL;
		/* a child said so */
		if (pgp_fpr_cmp(pgp_cert_fpr(cert), fpr) == 0)
			return cert;
		pgp_cert_free(cert);
		return NULL;
	}
	return NULL;
}

/* Whose revocations its owner may have allowed: their keys, where we have
 * them.  False: no memory. */
static bool
revokers_find(struct intake *intake, struct candidate *c)
{
	struct pgp_cert *cert = c->cert;
	struct pgp_fpr fpr[PGP_REVOKERS];
	size_t n = pgp_cert_revokers(cert, fpr, PGP_REVOKERS);
	bool good = true;

	for (size_t i = 0; i < n && good; i++) {
		struct pgp_cert *revoker = revoker_find(intake, &fpr[i]);

		if (revoker == NULL) {
			c->waits = true;
			continue;
		}
		good = pgp_cert_revoker(cert, &revoker->components[0]);
		pgp_cert_free(revoker);
	}
	return good;
}

/* The core trusts no child: it frames the octets again by itself. */
static void
candidate_start(struct intake *intake, size_t i, const struct pgp_blob *packets)
{
	struct candidate *c = &intake->candidates[i];
	struct submission *s = &intake->submissions[i];
	struct pgp_cert *stored;
	enum pgp_status status;

	c->intake = intake;
	if (packets->len == 0)
		return;
	if (!intake->parts)
		s->left.parts = NULL;
	else if (s->left.parts == NULL)
		s->left.parts = c->parts = pgp_left_parts_new();
	status = pgp_cert_parse(packets->data, packets->len,
	    &intake->config->limits.policy, false, (uint32_t)intake->now,
	    &s->left, &c->cert);
	if (status == PGP_NOMEM)
		intake_later(intake, "no memory");
	if (status != PGP_OK)
		return;
	s->fpr = *pgp_cert_fpr(c->cert);
	if (!candidate_welcome(intake, s, c->cert))
		return;
	if ((stored = stored_get(intake, &s->fpr)) != NULL) {
		c->stored = true;
		pgp_cert_known(c->cert, stored);
		pgp_cert_free(stored);
	}
	if (!revokers_find(intake, c))
		intake_later(intake, "no memory");
	c->trial.cert = c->cert;
	c->trial.left = &s->left;
	c->trial.done = candidate_judged;
	intake->pending++;
	trial_start(intake->judge, &c->trial);
}

/* A sentence of our own for the answer. */
static void __attribute__((format(printf, 2, 3)))
intake_problem(struct intake *intake, const char *format, ...)
{
	char *line = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&line, format, ap) == -1)
		line = NULL;
	va_end(ap);
	if (line != NULL)
		intake->problems[intake->nproblems++] = line;
}

/* A bare revocation is judged as a small certificate: the stored primary key,
 * and the revocation behind it. */
static void
revocation_with(struct intake *intake, const struct pgp_cert *stored,
    const struct pgp_blob *revocation)
{
	const struct pgp_component *primary = &stored->components[0];
	struct pgp_blob packets = {0};
	FILE *f = pgp_memstream((char **)&packets.data, &packets.len);

	if (f == NULL) {
		intake_later(intake, "no memory");
		return;
	}
	pgp_packet_write(f, PGP_TAG_PUBLIC_KEY, primary->body, primary->len);
	fwrite(revocation->data, 1, revocation->len, f);
	if (fclose(f) == 0)
		candidate_start(intake, intake->n++, &packets);
	else
		intake_later(intake, "no memory");
	free(packets.data);
}

/* All stored primary keys with the key ID that the revocation names.  Why it is
 * of no use; NULL: it was tried, or the mail has to come again. */
static const char *
revocation_try(struct intake *intake, const struct ks_query *query,
    const struct pgp_blob *revocation)
{
	const char *why = "this server does not have that key";
	struct ks_found found = {0};
	enum ks_status status;

	status = ks_find(intake->ks, query, REVOCATION_KEYS, &found);
	if (status == KS_TOO_MANY)
		return "this server has too many keys with that ID";
	if (status != KS_OK && status != KS_NOT_FOUND)
		intake_later(intake, ks_strerror(status));
	for (size_t i = 0; i < found.n; i++) {
		struct pgp_cert *stored = stored_get(intake, &found.fpr[i]);

		if (stored == NULL)
			continue;
		if (memcmp(stored->components[0].keyid, query->octet,
			sizeof(stored->components[0].keyid)) == 0) {
			revocation_with(intake, stored, revocation);
			why = NULL;
		}
		pgp_cert_free(stored);
	}
	ks_found_free(&found);
	return intake->later ? NULL : why;
}

/* Whether the key ID that the revocation names is the certificate's. */
static bool
names(const unsigned char *keyid, const struct mail_cert *cert)
{
	/* RFC 9580, 5.5.4; one of version 3 does not tell */
	return (cert->fpr.len == 20 &&
		   memcmp(cert->fpr.octet + 12, keyid, 8) == 0) ||
	       (cert->fpr.len == 32 && memcmp(cert->fpr.octet, keyid, 8) == 0);
}

static void
revocation_start(struct intake *intake, const struct pgp_blob *revocation)
{
	struct ks_query query = {.kind = KS_BY_KEYID, .ndigits = 16};
	struct pgp_fpr fpr;
	const char *why;

	if (pgp_revocation_issuer(
		revocation->data, revocation->len, query.octet, &fpr) != PGP_OK)
		return;
	for (size_t i = 0; i < intake->mail->ncerts; i++)
		if (names(query.octet, &intake->mail->certs[i]))
			return; /* certificate_start() has it */
	if ((why = revocation_try(intake, &query, revocation)) != NULL)
		intake_problem(intake,
		    "The revocation certificate for the key with the ID "
		    "%02X%02X%02X%02X%02X%02X%02X%02X was not stored: %s. "
		    "Send the key together with its revocation.",
		    query.octet[0], query.octet[1], query.octet[2],
		    query.octet[3], query.octet[4], query.octet[5],
		    query.octet[6], query.octet[7], why);
}

/* The certificate with the mail's own revocations of it behind its primary
 * key.  False: memory ran out. */
static bool
put_together(
    const struct mail *mail, const struct mail_cert *cert, struct pgp_blob *out)
{
	struct pgp_blob joined = {0};
	struct pgp_packet primary;
	size_t end = 0;
	FILE *f = pgp_memstream((char **)&out->data, &out->len);

	if (f == NULL)
		return false;
	/* a child wrote it: one that is bent is judged as it stands */
	if (pgp_packet_read(cert->packets.data, cert->packets.len, &end,
		&joined, &primary) != PGP_OK)
		end = cert->packets.len;
	pgp_blob_free(&joined, false);
	fwrite(cert->packets.data, 1, end, f);
	for (size_t i = 0; i < mail->nrevocations; i++) {
		const struct pgp_blob *r = &mail->revocations[i];
		unsigned char keyid[8];
		struct pgp_fpr fpr;

		if (pgp_revocation_issuer(r->data, r->len, keyid, &fpr) ==
			PGP_OK &&
		    names(keyid, cert))
			fwrite(r->data, 1, r->len, f);
	}
	fwrite(cert->packets.data + end, 1, cert->packets.len - end, f);
	return fclose(f) == 0;
}

static void
certificate_start(struct intake *intake, size_t i)
{
	const struct mail_cert *cert = &intake->mail->certs[i];
	struct pgp_blob packets = {0};

	intake->submissions[i].fpr = cert->fpr;
	intake->submissions[i].left = cert->left;
	if (intake->mail->nrevocations == 0 || cert->packets.len == 0)
		candidate_start(intake, i, &cert->packets);
	else if (put_together(intake->mail, cert, &packets))
		candidate_start(intake, i, &packets);
	else
		intake_later(intake, "no memory");
	free(packets.data);
}

struct intake *
intake_new(struct judge *judge, struct keystore *ks,
    const struct config *config, const struct mail *mail, time_t now,
    intake_done *done, void *ctx)
{
	struct intake *intake = calloc(1, sizeof(*intake));

	if (intake == NULL)
		return NULL;
	intake->judge = judge;
	intake->ks = ks;
	intake->config = config;
	intake->mail = mail;
	intake->now = now;
	intake->done = done;
	intake->ctx = ctx;
	intake->n = mail->ncerts;
	intake->room = mail->ncerts + REVOCATION_KEYS * mail->nrevocations + 1;
	intake->candidates = calloc(intake->room, sizeof(*intake->candidates));
	intake->submissions =
	    calloc(intake->room, sizeof(*intake->submissions));
	intake->problems = calloc(mail->nproblems + mail->nrevocations + 1,
	    sizeof(*intake->problems));
	if (intake->candidates == NULL || intake->submissions == NULL ||
	    intake->problems == NULL) {
		intake_free(intake);
		return NULL;
	}
	for (size_t i = 0; i < mail->nproblems; i++)
		intake->problems[i] = mail->problems[i];
	intake->nlent = intake->nproblems = mail->nproblems;
	intake->pending = 1;
	return intake;
}

bool
intake_more(struct intake *intake, int ms)
{
	const struct mail *mail = intake->mail;
	int64_t began = loop_now_ms();

	while (intake->next < mail->ncerts) {
		certificate_start(intake, intake->next++);
		if (loop_now_ms() - began >= ms)
			return true;
	}
	for (size_t i = 0; i < mail->nrevocations; i++)
		revocation_start(intake, &mail->revocations[i]);
	intake_leave(intake);
	return false;
}

void
intake_parts(struct intake *intake)
{
	intake->parts = true;
}

void
intake_start(struct intake *intake)
{
	while (intake_more(intake, 1000))
		;
}

void
intake_stop(struct intake *intake, const char *why)
{
	intake_later(intake, why);
	intake_leave(intake);
}

const struct submission *
intake_submissions(const struct intake *intake, size_t *n)
{
	*n = intake->n;
	return intake->submissions;
}

bool
intake_waits(const struct intake *intake, size_t i)
{
	return intake->candidates[i].waits;
}

const char *const *
intake_problems(const struct intake *intake, size_t *n)
{
	*n = intake->nproblems;
	return intake->problems;
}

void
intake_free(struct intake *intake)
{
	if (intake == NULL)
		return;
	for (size_t i = intake->nlent; i < intake->nproblems; i++)
		free((char *)(uintptr_t)intake->problems[i]);
	free(intake->problems);
	if (intake->candidates != NULL)
		for (size_t i = 0; i < intake->n; i++) {
			pgp_cert_free(intake->candidates[i].cert);
			pgp_left_parts_free(intake->candidates[i].parts);
		}
	free(intake->candidates);
	free(intake->submissions);
	free(intake);
}
