/*
 * What the commands that look up share: finding, and saying why nothing can
 * be shown.
 */
#include "handlers/handler.h"

#include <inttypes.h>
#include <stdlib.h>

#define SEARCH_MS 500 /* for a literal */

enum outcome
outcome_of(enum ks_status status)
{
	switch (status) {
	case KS_OK:
		return DONE;
	case KS_NOT_FOUND:
	case KS_TOO_MANY:
	case KS_BAD_QUERY:
		return REFUSED;
	default:
		return TRY_LATER;
	}
}

void
lookup_refuse(
    struct reply *reply, const struct request *request, const char *why)
{
	reply->suffix = ", failed";
	reply_wrap(reply, 0, why);
	reply_printf(reply, "\n");
	if (*request->argument != '\0')
		reply_asked(reply, request);
	reply_wrap(reply, 0,
	    "For what can be asked, send a mail with the Subject HELP.");
}

enum ks_status
lookup_none(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_info info;
	struct tm tm;
	char when[40];
	enum ks_status status;

	if ((status = ks_info(ks, &info)) != KS_OK)
		return status;
	reply->suffix = ", failed";
	reply_printf(reply, "No matching keys in database\n\n");
	reply_asked(reply, request);
	if (info.certificates == 0 && info.last_change == 0)
		reply_printf(reply, "This key server has no keys yet.\n");
	else if (gmtime_r(&info.last_change, &tm) != NULL &&
		 strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm) > 0)
		reply_printf(reply,
		    "The keys here were last changed at %s UTC.\n", when);
	return KS_NOT_FOUND;
}

void
lookup_too_many(struct reply *reply, const struct request *request,
    const char *bound, uint64_t total, unsigned max)
{
	reply->suffix = ", failed";
	reply_printf(reply,
	    "Too many keys match: %s%" PRIu64
	    ".  One answer holds at most %u.\n\n",
	    bound, total, max);
	reply_asked(reply, request);
	reply_printf(reply, "\n");
}

static void
say_advice(struct reply *reply)
{
	reply_wrap(reply, 0,
	    "Please be more specific: ask for a whole mail address, for a "
	    "fingerprint (0x and 40 digits), or add more words of the name.");
}

/* ---- a literal, looked for in slices ------------------------------------- */

struct literal {
	struct ks_query query;
	struct ks_search *search;
};

static void
literal_free(void *state)
{
	struct literal *literal = state;

	ks_search_free(literal->search);
	ks_query_free(&literal->query);
	free(literal);
}

/* KS_OK without request->scan: nothing to search, find() will say why. */
static enum ks_status
literal_new(struct request *request)
{
	struct literal *literal;
	enum ks_status status;
	const char *why;

	if ((literal = calloc(1, sizeof *literal)) == NULL)
		return KS_NOMEM;
	status = ks_query_parse(request->argument, &literal->query, &why);
	if (status == KS_OK && literal->query.kind == KS_BY_LITERAL)
		status = ks_search_new(&literal->query, &literal->search);
	if (literal->search == NULL) {
		literal_free(literal);
		return status == KS_BAD_QUERY ? KS_OK : status;
	}
	request->scan = literal;
	request->scan_free = literal_free;
	return KS_OK;
}

struct step {
	struct keystore *ks;
	struct ks_search *search;
	unsigned max;
};

/* KS_NOT_FOUND: that was the end. */
static enum ks_status
literal_step(void *ctx)
{
	const struct step *step = ctx;
	enum ks_status status;
	bool more;

	status = ks_search_step(step->ks, step->search, step->max, &more);
	return status == KS_OK && !more ? KS_NOT_FOUND : status;
}

bool
lookup_scans(const struct request *request)
{
	return *request->argument == '"';
}

enum ks_status
lookup_scan(struct keystore *ks, struct request *request, bool *more)
{
	struct step step = {.ks = ks, .max = request->limits.max_reply_keys};
	struct literal *literal;
	enum ks_status status = KS_OK;

	*more = false;
	if (request->scan == NULL)
		status = literal_new(request);
	if (status != KS_OK || request->scan == NULL)
		return status;
	literal = request->scan;
	step.search = literal->search;
	status = search_slice(&request->slices, SEARCH_MS, literal_step, &step);
	if (status == KS_NOT_FOUND)
		return KS_OK;
	*more = status == KS_OK && !request->slices.stopped;
	return status;
}

/* ---- finding ------------------------------------------------------------- */

static enum ks_status
refuse_slow(struct reply *reply, const struct request *request)
{
	lookup_refuse(reply, request,
	    "Looking for this text took too long and was stopped: too many "
	    "user IDs could have it.  Please add a whole word to it that few "
	    "have, or ask for a mail address.");
	return KS_BAD_QUERY;
}

/* What was searched before, or else is found at once. */
static enum ks_status
find_any(struct keystore *ks, const struct request *request,
    struct reply *reply, const struct ks_query *query, struct ks_found *found)
{
	const struct literal *literal = request->scan;

	if (literal == NULL)
		return ks_find(
		    ks, query, request->limits.max_reply_keys, found);
	if (request->slices.stopped)
		return refuse_slow(reply, request);
	return ks_search_found(
	    literal->search, request->limits.max_reply_keys, found);
}

static enum ks_status
find(struct keystore *ks, const struct request *request, struct reply *reply,
    struct ks_found *found)
{
	struct ks_query query;
	const char *why;
	enum ks_status status;
	bool several;

	why = NULL;
	status = ks_query_parse(request->argument, &query, &why);
	if (status == KS_BAD_QUERY)
		lookup_refuse(reply, request,
		    why != NULL ? why : "That cannot be looked up.");
	if (status != KS_OK)
		return status;
	status = find_any(ks, request, reply, &query, found);
	if (status == KS_NOT_FOUND)
		status = lookup_none(ks, request, reply);
	else if (status == KS_TOO_MANY) {
		/* For several words the store only knows the rarest one's
		 * count. */
		several = query.kind == KS_BY_WORDS && query.nwords > 1;
		lookup_too_many(reply, request,
		    several	  ? "up to "
		    : found->more ? "at least "
				  : "",
		    found->total, request->limits.max_reply_keys);
		say_advice(reply);
	}
	ks_query_free(&query);
	return status;
}

enum ks_status
lookup(struct keystore *ks, const struct request *request, struct reply *reply,
    struct ks_found *found, enum outcome *outcome)
{
	enum ks_status status;

	if (*request->argument == '\0') {
		lookup_refuse(reply, request,
		    "This command needs to know whose key: a mail address, a "
		    "fingerprint, a key ID or words of a name.  Nobody is "
		    "sent all keys.");
		status = KS_BAD_QUERY;
	} else {
		status = find(ks, request, reply, found);
	}
	if (status != KS_OK)
		*outcome = outcome_of(status);
	return status;
}

/* Newest creation first, as PKS; ties by fingerprint, so that the order does
 * not depend on the store's. */
static int
by_age(const void *va, const void *vb)
{
	const struct pgp_cert *a = *(struct pgp_cert *const *)va;
	const struct pgp_cert *b = *(struct pgp_cert *const *)vb;

	if (a->components[0].created != b->components[0].created)
		return a->components[0].created > b->components[0].created ? -1
									   : 1;
	return pgp_fpr_cmp(pgp_cert_fpr(a), pgp_cert_fpr(b));
}

enum ks_status
certs_read(
    struct keystore *ks, const struct pgp_fpr *fpr, size_t n, struct certs *out)
{
	struct certs certs = {NULL, 0};
	enum ks_status status = KS_OK;
	size_t i;

	if ((certs.cert = calloc(n + 1, sizeof *certs.cert)) == NULL)
		return KS_NOMEM;
	for (i = 0; i < n; i++) {
		status = ks_get(ks, &fpr[i], &certs.cert[certs.n], NULL);
		if (status == KS_OK) {
			certs.n++;
		} else if (status != KS_NOT_FOUND) {
			certs_free(&certs);
			return status;
		}
	}
	*out = certs;
	return KS_OK;
}

void
certs_by_age(struct certs *certs)
{
	qsort(certs->cert, certs->n, sizeof *certs->cert, by_age);
}

enum ks_status
lookup_certs(struct keystore *ks, const struct request *request,
    struct reply *reply, const struct ks_found *found, struct certs *out,
    enum outcome *outcome)
{
	enum ks_status status;

	status = certs_read(ks, found->fpr, found->n, out);
	if (status == KS_OK && out->n == 0) {
		certs_free(out);
		status = lookup_none(ks, request, reply);
	}
	if (status == KS_OK)
		certs_by_age(out);
	else
		*outcome = outcome_of(status);
	return status;
}

void
certs_free(struct certs *certs)
{
	size_t i;

	for (i = 0; i < certs->n; i++)
		pgp_cert_free(certs->cert[i]);
	free(certs->cert);
	certs->cert = NULL;
	certs->n = 0;
}

/* How many keys have the key ID that was asked for. */
static enum ks_status
keyid_count(struct keystore *ks, const struct ks_query *query, uint64_t *n)
{
	struct ks_query id = *query;
	struct ks_found found;
	enum ks_status status;

	/* As if with 0x: never by words. */
	id.bare = false;
	status = ks_find(ks, &id, 1, &found);
	*n = found.total;
	ks_found_free(&found);
	if (status == KS_NOT_FOUND || status == KS_TOO_MANY)
		return KS_OK;
	return status;
}

static void
warn(struct reply *reply, const struct ks_query *query, uint64_t n)
{
	if (n == 0) {
		reply_printf(reply, "\n");
		reply_wrap(reply, 0,
		    "No key has this key ID: what was found has it as a word "
		    "of a user ID, where anybody can write anything.");
		return;
	}
	if (query->ndigits > 8)
		return;
	reply_printf(reply, "\n");
	if (n > 1) {
		reply_printf(reply, "AMBIGUOUS: ");
		reply_count(reply, n, "key");
		reply_printf(reply, " share this 8-digit key ID.\n");
	}
	reply_wrap(reply, 0,
	    "An 8-digit key ID is not safe: anybody can make a key that has "
	    "the same one.  Compare the whole fingerprint with what the owner "
	    "told you before you trust a key.");
}

enum ks_status
lookup_warn(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_query query;
	const char *why;
	enum ks_status status;
	uint64_t n = 0;

	status = ks_query_parse(request->argument, &query, &why);
	if (status != KS_OK)
		return status;
	if (query.kind == KS_BY_KEYID &&
	    (status = keyid_count(ks, &query, &n)) == KS_OK)
		warn(reply, &query, n);
	ks_query_free(&query);
	return status;
}
