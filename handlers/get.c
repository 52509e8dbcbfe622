/*
 * GET: the keys that match, in one armored block; and what LAST and MGET
 * answer with.
 */
#include "handlers/handler.h"

#include <stdlib.h>

static void
say_top(struct reply *reply, const struct request *request, size_t n,
    const char *what)
{
	reply_site(reply, request);
	reply_asked(reply, request);
	reply_count(reply, n, "key");
	reply_printf(reply, " found%s\n\n", what);
}

static void
say_keys(struct reply *reply, const struct request *request,
    const struct certs *certs)
{
	size_t i;

	for (i = 0; i < certs->n; i++)
		listing_brief(reply, certs->cert[i], request->now);
}

static void
say_too_large(struct reply *reply, const struct request *request,
    const struct certs *certs)
{
	reply->suffix = ", failed";
	say_top(reply, request, certs->n,
	    ", but the answer would be too large.  No keys are sent.");
	say_keys(reply, request, certs);
	reply_printf(reply, "\n");
	if (certs->n > 1)
		reply_wrap(reply, 0,
		    "Please fetch them one by one: send a mail for each with "
		    "the Subject GET 0x and the fingerprint.");
	else
		reply_wrap(reply, 0,
		    "This one key is larger than what this server may send "
		    "in a mail.");
}

void
keys_import(struct reply *reply)
{
	reply_printf(reply, "\n");
	reply_wrap(reply, 0,
	    "To import, save this whole mail to a file and run "
	    "\"gpg --import FILE\", or pipe it into \"gpg --import\".  Anybody "
	    "can make a key with any name and address: compare the fingerprint "
	    "with its owner before you trust it.");
}

/* What the text may come to: a key takes a fingerprint and a user ID. */
static size_t
text_room(const struct certs *certs)
{
	return 1500 + certs->n * 300;
}

/* Those that gpg 2.2 reads first, the others in mails of their own. */
static int
put_in_order(struct reply *reply, const struct certs *certs)
{
	for (int newer = 0; newer < 2; newer++)
		for (size_t i = 0; i < certs->n; i++)
			if ((certs->cert[i]->components[0].version > 4) ==
				newer &&
			    reply_cert(reply, certs->cert[i]) != 0)
				return -1;
	return 0;
}

/* Puts the keys into the answer; *fits says whether they may stay: whether
 * they go into as many mails as one answer may have. */
static int
put_keys(struct reply *reply, const struct request *request,
    const struct certs *certs, bool *fits)
{
	const struct handler_limits *limits = &request->limits;
	struct reply_part *parts;
	size_t n;

	if (put_in_order(reply, certs) != 0)
		return -1;
	if (fflush(reply->keys) != 0 ||
	    reply_parts((const unsigned char *)reply->keys_data,
		reply->keys_len, text_room(certs), limits->reply_size, &parts,
		&n, fits) != 0)
		return -1;
	free(parts);
	*fits = *fits && n <= limits->max_parts;
	return *fits ? 0 : reply_drop_keys(reply);
}

enum outcome
keys_answer(const struct request *request, struct reply *reply,
    const struct certs *certs)
{
	bool fits;

	if (put_keys(reply, request, certs, &fits) != 0)
		return TRY_LATER;
	if (!fits) {
		say_too_large(reply, request, certs);
		return REFUSED;
	}
	say_top(reply, request, certs->n, ", attached:");
	say_keys(reply, request, certs);
	listing_unverified(reply, certs->cert, certs->n);
	return DONE;
}

static enum outcome
answer(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct certs *certs)
{
	enum outcome outcome;

	outcome = keys_answer(request, reply, certs);
	if (outcome == DONE)
		outcome = outcome_of(lookup_warn(ks, request, reply));
	if (outcome == DONE)
		keys_import(reply);
	return outcome;
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_found found;
	struct certs certs;
	enum outcome outcome;

	if (lookup(ks, request, reply, &found, &outcome) != KS_OK)
		return outcome;
	if (lookup_certs(ks, request, reply, &found, &certs, &outcome) ==
	    KS_OK) {
		outcome = answer(ks, request, reply, &certs);
		certs_free(&certs);
	}
	ks_found_free(&found);
	return outcome;
}

const struct command command_get = {
    .name = "GET",
    .argument = "WHO",
    .summary = "sends the keys that match WHO",
    .flags = COMMAND_SCAN,
    .run = run,
    .scans = lookup_scans,
    .scan = lookup_scan,
};
