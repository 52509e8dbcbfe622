/*
 * INDEX and VERBOSE INDEX: the keys that match, as a list.
 */
#include "handlers/handler.h"

/* Lists until the answer is full.  User IDs may be all non-ASCII, and then an
 * octet takes three in quoted-printable. */
static void
list(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct certs *certs, bool verbose)
{
	const size_t max = request->limits.reply_size / 4;
	size_t i;

	listing_heading(reply);
	for (i = 0; i < certs->n && reply_size(reply) <= max; i++)
		listing_cert(
		    reply, ks, certs->cert[i], verbose, request->now, max);
	reply_printf(reply, "\n");
	reply_count(reply, certs->n, "key");
	reply_printf(reply, " found\n");
	if (verbose)
		reply_printf(reply, "\n[S] signs, [C] certifies, [E] encrypts, "
				    "[A] authenticates\n");
	listing_unverified(reply, certs->cert, certs->n);
	if (i == certs->n)
		return;
	reply_printf(
	    reply, "\nNot listed, as the answer would be too large:\n");
	for (; i < certs->n; i++)
		listing_fpr(reply, pgp_cert_fpr(certs->cert[i]));
}

static enum outcome
show(struct keystore *ks, const struct request *request, struct reply *reply,
    bool verbose)
{
	struct ks_found found;
	struct certs certs;
	enum outcome outcome;

	if (lookup(ks, request, reply, &found, &outcome) != KS_OK)
		return outcome;
	if (lookup_certs(ks, request, reply, &found, &certs, &outcome) ==
	    KS_OK) {
		list(ks, request, reply, &certs, verbose);
		outcome = outcome_of(lookup_warn(ks, request, reply));
		certs_free(&certs);
	}
	ks_found_free(&found);
	return outcome;
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	return show(ks, request, reply, false);
}

static enum outcome
run_verbose(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	return show(ks, request, reply, true);
}

const struct command command_index = {
    .name = "INDEX",
    .argument = "WHO",
    .summary = "lists the keys that match WHO",
    .flags = COMMAND_SCAN,
    .run = run,
    .scans = lookup_scans,
    .scan = lookup_scan,
};

const struct command command_verbose_index = {
    .name = "VERBOSE INDEX",
    .argument = "WHO",
    .summary = "the same with subkeys and signatures",
    .flags = COMMAND_SCAN,
    .run = run_verbose,
    .scans = lookup_scans,
    .scan = lookup_scan,
};

const struct command command_vindex = {
    .name = "VINDEX",
    .argument = "WHO",
    .summary = "short for VERBOSE INDEX",
    .flags = COMMAND_HIDDEN | COMMAND_SCAN,
    .run = run_verbose,
    .scans = lookup_scans,
    .scan = lookup_scan,
};
