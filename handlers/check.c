/*
 * CHECK: what ADD would make of the certificates in the mail.  It does what
 * ADD does and then undoes it, so the two cannot come apart.
 */
#include "handlers/check.h"
#include "handlers/add.h"

/* What the store has of a key; NULL: nothing. */
static enum ks_status
stored(struct keystore *ks, const struct pgp_fpr *fpr, struct pgp_cert **cert)
{
	enum ks_status status;

	*cert = NULL;
	if (fpr->len == 0)
		return KS_OK;
	status = ks_get(ks, fpr, cert, NULL);
	return status == KS_NOT_FOUND ? KS_OK : status;
}

static enum ks_status
try_one(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct submission *s)
{
	struct pgp_cert *before, *now = NULL;
	enum ks_status status = stored(ks, &s->fpr, &before);

	if (status == KS_OK)
		status = add_one(ks, request, reply, s);
	if (status == KS_OK)
		status = stored(ks, &s->fpr, &now);
	if (status == KS_OK && s->standing == KS_WELCOME) {
		const struct check check = {.came = s->cert,
		    .before = before,
		    .now = now,
		    .left = &s->left};

		reply_printf(reply, "\n");
		check_parts(reply, &check, request->limits.reply_size / 4);
	}
	pgp_cert_free(before);
	pgp_cert_free(now);
	return status;
}

/* The certificates, within a trial. */
static enum ks_status
try_all(struct keystore *ks, const struct request *request, struct reply *reply)
{
	enum ks_status status = KS_OK;

	for (size_t i = 0; i < request->nsubmissions && status == KS_OK; i++) {
		if (i > 0)
			reply_printf(reply, "\n");
		status = try_one(ks, request, reply, &request->submissions[i]);
	}
	return status;
}

static void
say_end(struct reply *reply, bool any)
{
	reply_printf(reply, "\n");
	if (any)
		reply_wrap(reply, 0,
		    "Nothing of it was stored: this was a trial.  The same "
		    "mail with the Subject ADD does it.");
	else
		reply_wrap(reply, 0,
		    "Nothing of it was stored, nor would the Subject ADD store "
		    "anything.");
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	enum ks_status status, undone;
	bool any;

	reply_site(reply, request);
	add_secret(reply, request);
	reply_printf(
	    reply, "What ADD would make of the keys in your mail:\n\n");
	if (ks_try(ks) != KS_OK)
		return TRY_LATER;
	status = try_all(ks, request, reply);
	undone = ks_untry(ks);
	if (status != KS_OK || undone != KS_OK)
		return TRY_LATER;
	add_rest(reply, request);
	any = add_any(reply);
	say_end(reply, any);
	reply->adds = (struct add_counts){0};
	if (!any)
		reply->suffix = ", failed";
	return any ? DONE : REFUSED;
}

const struct command command_check = {
    .name = "CHECK",
    .argument = "",
    .summary = "tells what ADD would take, and stores nothing",
    .flags = COMMAND_KEYS | COMMAND_DRY,
    .run = run,
};
