/*
 * From the certificates that a reader found to what may be stored.
 */
#include "mailkeyd/intake.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
	struct trial trial; /* first: a trial is cast back to its candidate */
	struct intake *intake;
	struct pgp_cert *cert;
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
	size_t n;
	size_t pending; /* trials, and one for the start itself */
	bool later;
	char why[128];
};

/* The last one out tells. */
static void
intake_leave(struct intake *intake)
{
	if (--intake->pending == 0)
		intake->done(intake->ctx, intake->later, intake->why);
}

/* gpg has spoken: what did not verify goes. */
static void
candidate_judged(struct trial *trial, bool later, const char *why)
{
	struct candidate *c = (struct candidate *)trial;
	struct intake *intake = c->intake;
	struct submission *s =
	    &intake->submissions[c - intake->candidates];
	enum pgp_status status;

	if (later) {
		intake->later = true;
		snprintf(intake->why, sizeof(intake->why), "%s", why);
		intake_leave(intake);
		return;
	}
	status = pgp_cert_clean(
	    c->cert, &intake->config->limits.policy, &s->left);
	if (status == PGP_OK)
		s->cert = c->cert;
	else if (status == PGP_NOMEM)
		intake->later = true;
	intake_leave(intake);
}

/* The core trusts no child: it frames the octets again by itself. */
static void
candidate_start(struct intake *intake, size_t i)
{
	const struct mail_cert *mc = &intake->mail->certs[i];
	struct candidate *c = &intake->candidates[i];
	struct submission *s = &intake->submissions[i];
	struct pgp_cert *stored = NULL;
	enum pgp_status status;

	s->fpr = mc->fpr;
	s->left = mc->left;
	c->intake = intake;
	if (mc->packets.len == 0)
		return;
	status = pgp_cert_parse(mc->packets.data, mc->packets.len,
	    &intake->config->limits.policy, false, (uint32_t)intake->now,
	    &s->left, &c->cert);
	if (status == PGP_NOMEM)
		intake->later = true;
	if (status != PGP_OK)
		return;
	s->fpr = *pgp_cert_fpr(c->cert);
	if (ks_get(intake->ks, &s->fpr, &stored, NULL) == KS_OK) {
		pgp_cert_known(c->cert, stored);
		pgp_cert_free(stored);
	}
	c->trial.cert = c->cert;
	c->trial.left = &s->left;
	c->trial.done = candidate_judged;
	intake->pending++;
	trial_start(intake->judge, &c->trial);
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
	intake->candidates =
	    calloc(intake->n + 1, sizeof(*intake->candidates));
	intake->submissions =
	    calloc(intake->n + 1, sizeof(*intake->submissions));
	if (intake->candidates == NULL || intake->submissions == NULL) {
		intake_free(intake);
		return NULL;
	}
	return intake;
}

void
intake_start(struct intake *intake)
{
	intake->pending = 1;
	for (size_t i = 0; i < intake->n; i++)
		candidate_start(intake, i);
	intake_leave(intake);
}

const struct submission *
intake_submissions(const struct intake *intake, size_t *n)
{
	*n = intake->n;
	return intake->submissions;
}

void
intake_free(struct intake *intake)
{
	if (intake == NULL)
		return;
	if (intake->candidates != NULL)
		for (size_t i = 0; i < intake->n; i++)
			pgp_cert_free(intake->candidates[i].cert);
	free(intake->candidates);
	free(intake->submissions);
	free(intake);
}
