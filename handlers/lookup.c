/*
 * What the commands that look up share: finding, and saying why nothing can
 * be shown.
 */
#include "handlers/handler.h"

#include <inttypes.h>
#include <stdlib.h>

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

static void
refuse(struct reply *reply, const struct request *request, const char *why)
{
	reply->suffix = ", failed";
	reply_wrap(reply, 0, why);
	reply_printf(reply, "\n");
	if (*request->argument != '\0')
		reply_asked(reply, request);
	reply_wrap(reply, 0,
	    "For what can be asked, send a mail with the Subject HELP.");
}

static enum ks_status
say_not_found(
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

static void
say_too_many(const struct request *request, const struct ks_query *query,
    uint64_t total, struct reply *reply)
{
	/* For several words the store only knows the rarest one's count. */
	bool bound = query->kind == KS_BY_WORDS && query->nwords > 1;

	reply->suffix = ", failed";
	reply_printf(reply,
	    "Too many keys match: %s%" PRIu64
	    ".  One answer holds at most %u.\n\n",
	    bound ? "up to " : "", total, request->limits.max_reply_keys);
	reply_asked(reply, request);
	reply_printf(reply, "\n");
	reply_wrap(reply, 0,
	    "Please be more specific: ask for a whole mail address, for a "
	    "fingerprint (0x and 40 digits), or add more words of the name.");
}

static enum ks_status
find(struct keystore *ks, const struct request *request, struct reply *reply,
    struct ks_found *found)
{
	struct ks_query query;
	const char *why;
	enum ks_status status;

	why = NULL;
	status = ks_query_parse(request->argument, &query, &why);
	if (status == KS_BAD_QUERY)
		refuse(reply, request,
		    why != NULL ? why : "That cannot be looked up.");
	if (status != KS_OK)
		return status;
	status = ks_find(ks, &query, request->limits.max_reply_keys, found);
	if (status == KS_NOT_FOUND)
		status = say_not_found(ks, request, reply);
	else if (status == KS_TOO_MANY)
		say_too_many(request, &query, found->total, reply);
	ks_query_free(&query);
	return status;
}

enum ks_status
lookup(struct keystore *ks, const struct request *request, struct reply *reply,
    struct ks_found *found, enum outcome *outcome)
{
	enum ks_status status;

	if (*request->argument == '\0') {
		refuse(reply, request,
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
lookup_certs(struct keystore *ks, const struct request *request,
    struct reply *reply, const struct ks_found *found, struct certs *out,
    enum outcome *outcome)
{
	struct certs certs = {NULL, 0};
	enum ks_status status;
	size_t i;

	status = KS_NOMEM;
	if ((certs.cert = calloc(found->n + 1, sizeof *certs.cert)) == NULL)
		goto done;
	for (i = 0; i < found->n; i++) {
		status = ks_get(ks, &found->fpr[i], &certs.cert[certs.n], NULL);
		if (status == KS_OK)
			certs.n++;
		else if (status != KS_NOT_FOUND)
			goto done;
	}
	status = certs.n > 0 ? KS_OK : say_not_found(ks, request, reply);
done:
	if (status != KS_OK) {
		certs_free(&certs);
		*outcome = outcome_of(status);
		return status;
	}
	qsort(certs.cert, certs.n, sizeof *certs.cert, by_age);
	*out = certs;
	return KS_OK;
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

enum ks_status
lookup_warn(
    struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_query query;
	const char *why;
	enum ks_status status;
	unsigned n;

	status = ks_query_parse(request->argument, &query, &why);
	if (status != KS_OK)
		return status;
	n = 0;
	if (query.kind == KS_BY_KEYID && query.ndigits == 8)
		status = ks_short_id_count(ks, query.octet, &n);
	ks_query_free(&query);
	/* Bare digits that no key has were found as words. */
	if (status != KS_OK || n == 0)
		return status;
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
	return KS_OK;
}
