/*
 * MGET: the keys that a regular expression matches.
 *
 * The whole store is looked through in slices, from which other mails get
 * their turn, and for so long at most.  PCRE2 counts its steps and ends by
 * itself, other than regexec(3).
 */
#include "handlers/mget.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS	    10000 /* of one text: under a millisecond */
#define DEPTH	    1000
#define HEAP_KB	    1024
#define SEARCH_MS   100
#define PATTERN_WHY 256
#define DIGITS_MAX  255 /* of key IDs and fingerprints in a row */

/* ---- one pattern ---- */

struct mget_pattern {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

void
mget_free(struct mget_pattern *pattern)
{
	if (pattern == NULL)
		return;
	pcre2_match_context_free(pattern->limits);
	pcre2_match_data_free(pattern->data);
	pcre2_code_free(pattern->code);
	free(pattern);
}

static int
callout_seen(pcre2_callout_enumerate_block *block, void *ctx)
{
	(void)block;
	*(bool *)ctx = true;
	return 0;
}

/* mget_check() has let none through; PCRE2 has the last word on it. */
static bool
is_plain(const pcre2_code *code)
{
	bool callout = false;
	uint32_t references = 1;

	pcre2_callout_enumerate(code, callout_seen, &callout);
	return !callout &&
	       pcre2_pattern_info(code, PCRE2_INFO_BACKREFMAX, &references) ==
		   0 &&
	       references == 0;
}

static enum ks_status
compile(const char *text, pcre2_code **code, char why[static PATTERN_WHY])
{
	const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS |
				 PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE |
				 PCRE2_NEVER_BACKSLASH_C;
	char said[160];
	PCRE2_SIZE at;
	int error;

	*code = pcre2_compile(
	    (PCRE2_SPTR)text, strlen(text), options, &error, &at, NULL);
	if (*code != NULL && is_plain(*code))
		return KS_OK;
	if (*code == NULL && error == PCRE2_ERROR_HEAP_FAILED)
		return KS_NOMEM;
	if (*code != NULL || pcre2_get_error_message(
				 error, (PCRE2_UCHAR *)said, sizeof said) < 0)
		snprintf(said, sizeof said, "it refers back");
	snprintf(why, PATTERN_WHY, "The regular expression cannot be read: %s.",
	    said);
	return KS_BAD_QUERY;
}

enum ks_status
mget_compile(
    const char *text, struct mget_pattern **out, char why[static PATTERN_WHY])
{
	struct mget_pattern *pattern;
	enum ks_status status;
	const char *said;

	if ((said = mget_check(text)) != NULL) {
		snprintf(why, PATTERN_WHY, "%s", said);
		return KS_BAD_QUERY;
	}
	if ((pattern = calloc(1, sizeof *pattern)) == NULL)
		return KS_NOMEM;
	if ((status = compile(text, &pattern->code, why)) != KS_OK)
		goto failed;
	status = KS_NOMEM;
	pattern->data = pcre2_match_data_create(1, NULL);
	pattern->limits = pcre2_match_context_create(NULL);
	if (pattern->data == NULL || pattern->limits == NULL)
		goto failed;
	pcre2_set_match_limit(pattern->limits, STEPS);
	pcre2_set_depth_limit(pattern->limits, DEPTH);
	pcre2_set_heap_limit(pattern->limits, HEAP_KB);
	*out = pattern;
	return KS_OK;
failed:
	mget_free(pattern);
	return status;
}

/* ISO 8859-1 as UTF-8, malloc'ed; NULL: no memory. */
static unsigned char *
latin1(const unsigned char *text, size_t len, size_t *out_len)
{
	unsigned char *out;
	size_t i, n;

	if ((out = malloc(2 * len + 1)) == NULL)
		return NULL;
	n = 0;
	for (i = 0; i < len; i++) {
		if (text[i] < 0x80) {
			out[n++] = text[i];
			continue;
		}
		out[n++] = (unsigned char)(0xC0 | text[i] >> 6);
		out[n++] = (unsigned char)(0x80 | (text[i] & 0x3F));
	}
	*out_len = n;
	return out;
}

static int
match(struct mget_pattern *pattern, const unsigned char *text, size_t len)
{
	return pcre2_match(
	    pattern->code, text, len, 0, 0, pattern->data, pattern->limits);
}

enum ks_status
mget_match(struct mget_pattern *pattern, const unsigned char *text, size_t len)
{
	unsigned char *converted;
	int found;

	found = match(pattern, text, len);
	if (found <= PCRE2_ERROR_UTF8_ERR1 && found >= PCRE2_ERROR_UTF8_ERR21) {
		if ((converted = latin1(text, len, &len)) == NULL)
			return KS_NOMEM;
		found = match(pattern, converted, len);
		free(converted);
	}
	if (found >= 0)
		return KS_OK;
	switch (found) {
	case PCRE2_ERROR_NOMATCH:
		return KS_NOT_FOUND;
	case PCRE2_ERROR_NOMEMORY:
		return KS_NOMEM;
	default:
		return KS_TOO_MANY;
	}
}

/* ---- one certificate ---- */

/* A key's fingerprint and key IDs, each a line of its own, and all of them
 * again behind 0x. */
static enum ks_status
match_key(struct mget_pattern *pattern, const unsigned char *octets, size_t len)
{
	struct pgp_component key;
	struct pgp_fpr keyid = {.len = sizeof key.keyid};
	char hex[PGP_FPR_HEX], id[PGP_FPR_HEX], lines[4 * PGP_FPR_HEX];
	int n;

	if (pgp_key_identify(octets, len, &key) != PGP_OK)
		return KS_NOT_FOUND;
	pgp_fpr_hex(&key.fpr, hex);
	memcpy(keyid.octet, key.keyid, sizeof key.keyid);
	pgp_fpr_hex(&keyid, id);
	n = snprintf(lines, sizeof lines, "%s\n%s\n%s\n0x%s\n0x%s\n0x%s", hex,
	    id, id + 8, hex, id, id + 8);
	return mget_match(pattern, (const unsigned char *)lines, (size_t)n);
}

static enum ks_status
match_packet(struct mget_pattern *pattern, const unsigned char *octets,
    const struct pgp_packet *packet)
{
	switch (packet->tag) {
	case PGP_TAG_USERID:
		return mget_match(pattern, packet->body, packet->len);
	case PGP_TAG_PUBLIC_KEY:
	case PGP_TAG_PUBLIC_SUBKEY:
		return match_key(pattern, octets + packet->start,
		    packet->end - packet->start);
	default:
		return KS_NOT_FOUND;
	}
}

/* KS_TOO_MANY: no match, but not all of it could be looked at. */
static enum ks_status
match_cert(struct mget_pattern *pattern, const struct pgp_blob *octets)
{
	struct pgp_blob joined = {0};
	struct pgp_packet packet;
	enum ks_status status = KS_NOT_FOUND, one;
	size_t pos = 0;

	while (pgp_packet_read(octets->data, octets->len, &pos, &joined,
		   &packet) == PGP_OK) {
		one = match_packet(pattern, octets->data, &packet);
		if (one != KS_NOT_FOUND)
			status = one;
		if (one == KS_OK || one == KS_NOMEM)
			break;
	}
	pgp_blob_free(&joined, false);
	return status;
}

/* ---- the search ---- */

struct search {
	struct mget_pattern *pattern;
	char why[PATTERN_WHY]; /* the pattern is refused; "" = it is not */
	uint64_t at;	       /* the certificate looked at last */
	struct pgp_fpr fpr_at; /* its fingerprint */
	struct pgp_fpr *fpr;   /* what was found, up to max_reply_keys */
	size_t n, size;
	uint64_t total;	 /* found in all */
	uint64_t looked; /* certificates looked at */
	uint64_t hard;	 /* of these, not wholly */
	bool stopped;	 /* it took too long */
};

static void
search_free(void *state)
{
	struct search *search = state;

	mget_free(search->pattern);
	free(search->fpr);
	free(search);
}

static enum ks_status
search_new(struct request *request)
{
	struct search *search;
	enum ks_status status;

	if ((search = calloc(1, sizeof *search)) == NULL)
		return KS_NOMEM;
	status = mget_compile(request->argument, &search->pattern, search->why);
	if (status != KS_OK && status != KS_BAD_QUERY) {
		search_free(search);
		return status;
	}
	request->scan = search;
	request->scan_free = search_free;
	return KS_OK;
}

static enum ks_status
search_add(struct search *search, unsigned max)
{
	struct pgp_fpr *grown;
	size_t size;

	search->total++;
	if (search->total > max)
		return KS_OK;
	if (search->n == search->size) {
		size = search->size == 0 ? 16 : 2 * search->size;
		grown = realloc(search->fpr, size * sizeof *grown);
		if (grown == NULL)
			return KS_NOMEM;
		search->fpr = grown;
		search->size = size;
	}
	search->fpr[search->n++] = search->fpr_at;
	return KS_OK;
}

/* What one step of a search works on. */
struct step {
	struct keystore *ks;
	struct search *search;
	unsigned max;
};

/* KS_NOT_FOUND: that was the last certificate. */
static enum ks_status
search_next(void *ctx)
{
	const struct step *step = ctx;
	struct search *search = step->search;
	struct pgp_blob octets = {0};
	enum ks_status status;

	status = ks_next(step->ks, &search->at, &search->fpr_at);
	if (status == KS_OK)
		status = ks_get_searched(step->ks, search->at, &octets);
	if (status != KS_OK)
		return status;
	status = match_cert(search->pattern, &octets);
	pgp_blob_free(&octets, false);
	search->looked++;
	if (status == KS_OK)
		return search_add(search, step->max);
	if (status == KS_TOO_MANY)
		search->hard++;
	return status == KS_NOMEM ? status : KS_OK;
}

/* ---- A|B of key IDs and fingerprints: nothing to search ---- */

/* Reads the alternative at *s as GET would and moves *s to the next one, NULL
 * behind the last.  KS_BAD_QUERY: it is no key ID and no fingerprint. */
static enum ks_status
digits_read(const char **s, struct ks_query *query)
{
	size_t len = strcspn(*s, "|");
	enum ks_status status;
	const char *why;
	char *text;

	if ((text = strndup(*s, len)) == NULL)
		return KS_NOMEM;
	*s = (*s)[len] == '|' ? *s + len + 1 : NULL;
	status = ks_query_parse(text, query, &why);
	free(text);
	if (status == KS_OK && query->kind != KS_BY_KEYID &&
	    query->kind != KS_BY_FPR) {
		ks_query_free(query);
		return KS_BAD_QUERY;
	}
	return status;
}

/* KS_BAD_QUERY: it is another pattern. */
static enum ks_status
digits_only(const char *argument)
{
	struct ks_query query;
	enum ks_status status = KS_OK;

	if (strlen(argument) > DIGITS_MAX)
		return KS_BAD_QUERY;
	while (argument != NULL && status == KS_OK) {
		status = digits_read(&argument, &query);
		if (status == KS_OK)
			ks_query_free(&query);
	}
	return status;
}

/* Adds what is not in it yet. */
static enum ks_status
found_join(struct ks_found *all, const struct ks_found *more)
{
	struct pgp_fpr *grown;
	size_t i, j, n = all->n;

	grown = realloc(all->fpr, (n + more->n) * sizeof *grown);
	if (grown == NULL)
		return KS_NOMEM;
	all->fpr = grown;
	for (i = 0; i < more->n; i++) {
		for (j = 0; j < n; j++)
			if (pgp_fpr_cmp(&grown[j], &more->fpr[i]) == 0)
				break;
		if (j == n)
			grown[all->n++] = more->fpr[i];
	}
	all->total = all->n;
	return KS_OK;
}

/* KS_TOO_MANY sets found->total; KS_NOT_FOUND. */
static enum ks_status
digits_find(struct keystore *ks, const char *argument, unsigned max,
    struct ks_found *found)
{
	struct ks_found one;
	struct ks_query query;
	enum ks_status status = KS_OK;

	memset(found, 0, sizeof *found);
	while (argument != NULL && status == KS_OK) {
		if ((status = digits_read(&argument, &query)) != KS_OK)
			break;
		status = ks_find(ks, &query, max, &one);
		ks_query_free(&query);
		if (status == KS_OK) {
			status = found_join(found, &one);
			ks_found_free(&one);
		} else if (status == KS_TOO_MANY) {
			found->total = one.total;
		} else if (status == KS_NOT_FOUND) {
			status = KS_OK;
		}
	}
	if (status == KS_OK && found->n == 0)
		return KS_NOT_FOUND;
	if (status == KS_OK && found->n > max)
		return KS_TOO_MANY;
	return status;
}

/* ---- the answer ---- */

/* What keeps the answer from being the whole one. */
static void
say_notes(struct reply *reply, const struct search *search, uint64_t all)
{
	if (search == NULL)
		return;
	if (search->stopped) {
		reply_printf(reply,
		    "\nINCOMPLETE: the search took too long and was stopped.  "
		    "It "
		    "had looked at\n%" PRIu64 " of %" PRIu64 " keys.\n",
		    search->looked, all);
		reply_wrap(reply, 0,
		    "GET finds an address, a fingerprint or words of a name "
		    "in all of them at once.");
	}
	if (search->hard > 0) {
		reply_printf(reply, "\nWith this pattern ");
		reply_count(reply, search->hard, "key");
		reply_printf(
		    reply, " took too many steps to be looked at wholly.\n");
	}
}

static enum outcome
send(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct ks_found *found)
{
	struct certs certs;
	enum outcome outcome;

	if (lookup_certs(ks, request, reply, found, &certs, &outcome) != KS_OK)
		return outcome;
	outcome = keys_answer(request, reply, &certs);
	certs_free(&certs);
	return outcome;
}

static void
say_too_many(struct reply *reply, const struct request *request,
    const char *bound, uint64_t total)
{
	lookup_too_many(
	    reply, request, bound, total, request->limits.max_reply_keys);
	reply_wrap(reply, 0,
	    "Please be more specific, or use GET with a mail address, a "
	    "fingerprint or words of a name.");
}

/* `search` is NULL where there was none. */
static enum outcome
answer(struct keystore *ks, const struct request *request, struct reply *reply,
    enum ks_status status, const struct ks_found *found,
    const struct search *search)
{
	const bool all = search != NULL && !search->stopped;
	enum outcome outcome = outcome_of(status);
	struct ks_info info;

	if (status == KS_OK)
		outcome = send(ks, request, reply, found);
	else if (status == KS_NOT_FOUND)
		outcome = outcome_of(lookup_none(ks, request, reply));
	else if (status == KS_TOO_MANY)
		say_too_many(
		    reply, request, all ? "" : "at least ", found->total);
	if (outcome == TRY_LATER || ks_info(ks, &info) != KS_OK)
		return TRY_LATER;
	say_notes(reply, search, info.certificates);
	if (outcome == DONE)
		keys_import(reply);
	return outcome;
}

static enum outcome
run_search(struct keystore *ks, const struct request *request,
    struct reply *reply, const struct search *search)
{
	struct ks_found found = {
	    .fpr = search->fpr, .n = search->n, .total = search->total};
	enum ks_status status = KS_OK;

	if (*search->why != '\0') {
		lookup_refuse(reply, request, search->why);
		return REFUSED;
	}
	if (search->total == 0)
		status = KS_NOT_FOUND;
	else if (search->total > request->limits.max_reply_keys)
		status = KS_TOO_MANY;
	return answer(ks, request, reply, status, &found, search);
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_found found;
	enum ks_status status;
	enum outcome outcome;

	if (!request->limits.mget) {
		lookup_refuse(reply, request,
		    "MGET is switched off on this server.  GET finds a mail "
		    "address, a fingerprint, a key ID or words of a name.");
		return REFUSED;
	}
	if (*request->argument == '\0') {
		lookup_refuse(reply, request,
		    "This command needs a regular expression, which is looked "
		    "for in user IDs, fingerprints and key IDs.");
		return REFUSED;
	}
	if (request->scan != NULL)
		return run_search(ks, request, reply, request->scan);
	status = digits_find(
	    ks, request->argument, request->limits.max_reply_keys, &found);
	/* Something to search for, and nobody did. */
	if (status == KS_BAD_QUERY)
		return TRY_LATER;
	outcome = answer(ks, request, reply, status, &found, NULL);
	ks_found_free(&found);
	return outcome;
}

static bool
scans(const struct request *request)
{
	return request->limits.mget && *request->argument != '\0';
}

static enum ks_status
scan(struct keystore *ks, struct request *request, bool *more)
{
	struct step step = {.ks = ks, .max = request->limits.max_reply_keys};
	struct search *search;
	enum ks_status status;

	*more = false;
	if (request->scan == NULL) {
		status = digits_only(request->argument);
		if (status != KS_BAD_QUERY)
			return status;
		if ((status = search_new(request)) != KS_OK)
			return status;
	}
	search = request->scan;
	if (*search->why != '\0')
		return KS_OK;
	step.search = search;
	status = search_slice(&request->slices, SEARCH_MS, search_next, &step);
	search->stopped = request->slices.stopped;
	if (status == KS_NOT_FOUND)
		return KS_OK;
	*more = status == KS_OK && !search->stopped;
	return status;
}

const struct command command_mget = {
    .name = "MGET",
    .argument = "REGEXP",
    .summary = "sends keys that match REGEXP, if the operator allows",
    .flags = COMMAND_SCAN,
    .run = run,
    .scans = scans,
    .scan = scan,
};
