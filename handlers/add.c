/*
 * ADD: certificates of the mail into the store, and what became of each.
 *
 * Nothing is believed here: what arrives in a submission was verified and
 * cleaned before.
 */
#include "handlers/add.h"

#include <inttypes.h>

#define MAX_PROBLEMS 10 /* told one by one */

static const char how_to_send[] = "      gpg --armor --export KEYID\n";

/* "2 user IDs, 1 subkey", nothing for zero. */
static void
put_part(
    struct reply *reply, unsigned n, const char *noun, const char **between)
{
	if (n == 0)
		return;
	reply_printf(reply, "%s", *between);
	reply_count(reply, n, noun);
	*between = ", ";
}

static void
put_parts(struct reply *reply, const struct pgp_added *n, const char *between)
{
	put_part(reply, n->userids, "user ID", &between);
	put_part(reply, n->subkeys, "subkey", &between);
	put_part(reply, n->attributes, "user attribute", &between);
	put_part(reply, n->signatures, "signature", &between);
	put_part(reply, n->revocations, "revocation", &between);
	put_part(reply, n->certifications, "certification", &between);
	reply_printf(reply, "\n");
}

static bool
is_revocation(const struct pgp_signature *sig)
{
	return sig->type == 0x20 || sig->type == 0x28 || sig->type == 0x30;
}

/* What a certificate new to the store brings; the signatures of what is new
 * with it go without saying. */
static void
count_all(const struct pgp_cert *cert, struct pgp_added *n)
{
	const struct pgp_component *c;
	size_t i, j;

	*n = (struct pgp_added){.key = true};
	for (i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		n->userids += c->kind == PGP_USERID;
		n->attributes += c->kind == PGP_ATTRIBUTE;
		n->subkeys += c->kind == PGP_SUBKEY;
		for (j = 0; j < c->nsigs; j++)
			n->revocations += is_revocation(c->sigs[j]);
		n->certifications += (unsigned)c->nothers;
	}
}

static bool
is_empty(const struct pgp_added *n)
{
	return n->userids == 0 && n->subkeys == 0 && n->attributes == 0 &&
	       n->signatures == 0 && n->revocations == 0 &&
	       n->certifications == 0;
}

static void
say_change(struct reply *reply, const struct pgp_cert *cert,
    enum ks_change change, const struct pgp_added *added)
{
	struct pgp_added all;

	switch (change) {
	case KS_NEW:
		count_all(cert, &all);
		reply_printf(reply, "    New key");
		put_parts(reply, &all, ": ");
		break;
	case KS_MERGED:
		reply_printf(reply, "    Added");
		if (is_empty(added))
			reply_printf(reply, ": changes to signatures\n");
		else
			put_parts(reply, added, ": ");
		break;
	case KS_UNCHANGED:
		reply_printf(reply, "    Nothing new\n");
		break;
	case KS_REFUSED:
		break;
	}
}

/* Signatures by others are told once for the whole mail, repeats never. */
static void
say_left(struct reply *reply, const struct pgp_left_out *left)
{
	unsigned r;

	for (r = 0; r < PGP_LEFT_REASONS; r++) {
		if (left->n[r] == 0 || r == PGP_LEFT_THIRD_PARTY ||
		    r == PGP_LEFT_DUPLICATE)
			continue;
		reply_printf(reply, "    Left out: %s: %u\n",
		    pgp_left_text((enum pgp_left_reason)r), left->n[r]);
	}
}

/* Shows the certificate as it now stands in the store: an old copy of a
 * revoked key, or a bare revocation, does not tell all. */
static enum ks_status
say_stored(struct keystore *ks, const struct request *request,
    struct reply *reply, const struct pgp_cert *cert, enum ks_change change)
{
	struct pgp_cert *stored;
	enum ks_status status;

	if (change == KS_NEW) {
		listing_brief(reply, cert, request->now);
		return KS_OK;
	}
	status = ks_get(ks, pgp_cert_fpr(cert), &stored, NULL);
	if (status != KS_OK)
		return status;
	listing_brief(reply, stored, request->now);
	pgp_cert_free(stored);
	return KS_OK;
}

static void
count_change(struct add_counts *adds, enum ks_change change)
{
	adds->added += change == KS_NEW;
	adds->changed += change == KS_MERGED;
	adds->unchanged += change == KS_UNCHANGED;
}

static const char *
why_not_stored(enum ks_standing standing)
{
	switch (standing) {
	case KS_BLOCKED:
		return "Not stored: the operators of this server have put this "
		       "key on their block list.";
	case KS_FORGOTTEN:
		return "Not stored: the operators of this server have removed "
		       "this key for good.  Only its revocation is taken.";
	case KS_WELCOME:
		break;
	}
	return "Not stored: nothing of it was validly signed by the key "
	       "itself.";
}

static void
say_not_stored(struct reply *reply, const struct submission *submission,
    enum ks_standing standing)
{
	reply->adds.refused++;
	if (submission->fpr.len > 0)
		listing_fpr(reply, &submission->fpr);
	else
		reply_printf(reply, "A block without a key that can be read\n");
	reply_wrap(reply, 4, why_not_stored(standing));
	if (standing == KS_WELCOME)
		say_left(reply, &submission->left);
}

enum ks_status
add_one(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct submission *submission)
{
	const struct pgp_cert *cert = submission->cert;
	/* Anybody could name peers in a field of his own, and so keep a change
	 * from them: only a peer is believed. */
	const struct ks_origin origin = {.now = request->now,
	    .sent = request->from_peer ? request->sent : NULL};
	enum ks_status status;
	enum ks_change change;
	enum ks_standing standing = submission->standing;
	struct pgp_added added;

	if (cert == NULL) {
		say_not_stored(reply, submission, standing);
		return KS_OK;
	}
	status = ks_put(ks, cert, &origin, &change, &added);
	if (status == KS_OK && change == KS_REFUSED) {
		status = ks_standing(ks, pgp_cert_fpr(cert), &standing);
		say_not_stored(reply, submission, standing);
		return status;
	}
	if (status == KS_OK)
		status = say_stored(ks, request, reply, cert, change);
	if (status != KS_OK)
		return status;
	count_change(&reply->adds, change);
	say_change(reply, cert, change, &added);
	if (cert->unverified && change == KS_NEW)
		reply_wrap(reply, 4,
		    "The signatures of such a key cannot be relied on here: it "
		    "is found by its whole fingerprint only, and marked.");
	say_left(reply, &submission->left);
	return KS_OK;
}

static void
say_others(struct reply *reply, const struct request *request)
{
	uint64_t n;
	size_t i;

	n = 0;
	for (i = 0; i < request->nsubmissions; i++)
		n += request->submissions[i].left.n[PGP_LEFT_THIRD_PARTY];
	if (n == 0)
		return;
	reply_printf(reply, request->limits.certifications
				? "\nSignatures by others that are not kept: "
				: "\nSignatures by others are not kept here: ");
	reply_printf(reply, "%" PRIu64 " left out.\n", n);
}

static void
say_problems(struct reply *reply, const struct request *request)
{
	size_t i;

	if (request->nproblems == 0)
		return;
	reply_printf(reply, "\nNot everything could be read:\n");
	for (i = 0; i < request->nproblems && i < MAX_PROBLEMS; i++)
		reply_wrap(reply, 4, request->problems[i]);
	if (i < request->nproblems)
		reply_printf(reply, "    ... and %zu more like these\n",
		    request->nproblems - i);
}

void
add_secret(struct reply *reply, const struct request *request)
{
	if (request->nsecret == 0)
		return;
	reply_printf(reply, "WARNING: your mail held a SECRET key.\n\n");
	reply_wrap(reply, 0,
	    "Nothing of it was stored.  But a secret key that went through the "
	    "mail must be treated as exposed, even behind a passphrase: copies "
	    "of the mail may be kept on the way.  Please replace it:");
	reply_printf(reply, "\n  1. Revoke it, and send its revoked public "
			    "part here with ADD:\n"
			    "      gpg --output revoke.asc --gen-revoke KEYID\n"
			    "      gpg --import revoke.asc\n");
	reply_printf(reply,
	    "%s"
	    "  2. Make a new key:\n"
	    "      gpg --full-generate-key\n"
	    "  3. Send only what --export writes, never --export-secret-keys:\n"
	    "%s\n",
	    how_to_send, how_to_send);
}

static void
say_over(struct reply *reply, const struct request *request)
{
	if (request->nover == 0)
		return;
	reply_printf(reply, "\n");
	reply_printf(reply,
	    "Only the first %u keys of a mail are taken, %u were not looked "
	    "at.\nPlease send the rest in another mail.\n",
	    request->limits.keys_per_mail, request->nover);
}

static void
say_nothing(struct reply *reply, const struct request *request)
{
	reply->suffix = ", failed";
	reply_printf(reply, "\nNothing was added.\n");
	if (request->nsecret > 0)
		return;
	reply_printf(reply, "\n");
	reply_wrap(reply, 0,
	    "Please send your public key in the body of the mail or attached, "
	    "as it is written by:");
	reply_printf(reply, "\n%s", how_to_send);
}

void
add_rest(struct reply *reply, const struct request *request)
{
	if (request->nsubmissions == 0)
		reply_printf(reply, "No public key was found in it.\n");
	say_others(reply, request);
	say_problems(reply, request);
	say_over(reply, request);
}

bool
add_any(const struct reply *reply)
{
	const struct add_counts *adds = &reply->adds;

	return adds->added + adds->changed + adds->unchanged > 0;
}

enum outcome
add_run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	reply_site(reply, request);
	add_secret(reply, request);
	reply_printf(reply, "What became of the keys in your mail:\n\n");
	for (size_t i = 0; i < request->nsubmissions; i++)
		if (add_one(ks, request, reply, &request->submissions[i]) !=
		    KS_OK)
			return TRY_LATER;
	add_rest(reply, request);
	if (add_any(reply))
		return DONE;
	say_nothing(reply, request);
	return REFUSED;
}

const struct command command_add = {
    .name = "ADD",
    .argument = "",
    .summary = "takes the public keys in the body or attached",
    .flags = COMMAND_KEYS,
    .run = add_run,
};
