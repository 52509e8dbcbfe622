/*
 * LAST: the keys that were added or changed here in the last days.
 */
#include "handlers/handler.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY	86400
#define COUNTED 1000

/* "7", "7 days", "1 day": nothing else is a number of days. */
static bool
days_read(const char *s, uint64_t *days)
{
	size_t digits, i;

	digits = strspn(s, "0123456789");
	*days = 0;
	for (i = 0; i < digits && *days <= UINT32_MAX; i++)
		*days = *days * 10 + (uint64_t)(s[i] - '0');
	s += digits;
	return digits > 0 && *days > 0 &&
	       (*s == '\0' || strcasecmp(s, " day") == 0 ||
		   strcasecmp(s, " days") == 0);
}

static void
say_limit(struct reply *reply, const struct request *request)
{
	const struct handler_limits *limits = &request->limits;

	reply_printf(reply, "LAST looks back at most ");
	reply_count(reply, limits->max_last, "day");
	if (limits->max_last_reply_keys > 0)
		reply_printf(reply, " and sends at most %u keys",
		    limits->max_last_reply_keys);
	reply_printf(reply, ".\n\n");
}

/* Writes the refusal, if there is one to be written. */
static bool
is_refused(const struct request *request, struct reply *reply, uint64_t *days)
{
	bool number;

	if (request->limits.max_last == 0) {
		lookup_refuse(
		    reply, request, "LAST is switched off on this server.");
		return true;
	}
	number = days_read(request->argument, days);
	if (number && *days <= request->limits.max_last)
		return false;
	say_limit(reply, request);
	lookup_refuse(reply, request,
	    number ? "That is more days than this server looks back."
		   : "LAST needs a number of days greater than zero, as in "
		     "\"LAST 7\".");
	if (!number)
		reply->suffix = ", was invalid";
	return true;
}

static void
say_too_many(struct reply *reply, const struct request *request, uint64_t total,
    uint64_t days)
{
	/* The store does not count thousands of changes one by one. */
	lookup_too_many(reply, request, total > COUNTED ? "about " : "", total,
	    request->limits.max_last_reply_keys);
	reply_wrap(reply, 0,
	    days > 1 ? "Please ask for fewer days, or for the keys of "
		       "somebody by GET."
		     : "Please ask for the keys of somebody by GET.");
}

static void
say_since(struct reply *reply, time_t since)
{
	struct tm tm;
	char when[40];

	if (gmtime_r(&since, &tm) == NULL ||
	    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return;
	reply_printf(reply,
	    "\nThey were added or changed here since %s UTC,\n"
	    "the latest change comes first.\n",
	    when);
}

static enum outcome
answer(struct keystore *ks, const struct request *request, struct reply *reply,
    const struct ks_found *found, time_t since)
{
	struct certs certs;
	enum outcome outcome;
	enum ks_status status;

	status = certs_read(ks, found->fpr, found->n, &certs);
	if (status != KS_OK)
		return outcome_of(status);
	outcome = keys_answer(request, reply, &certs);
	certs_free(&certs);
	if (outcome == DONE) {
		say_since(reply, since);
		keys_import(reply);
	}
	return outcome;
}

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	struct ks_found found;
	enum ks_status status;
	enum outcome outcome;
	time_t since;
	uint64_t days;

	if (is_refused(request, reply, &days))
		return REFUSED;
	since = days * DAY < (uint64_t)request->now
		    ? request->now - (time_t)(days * DAY)
		    : 0;
	status =
	    ks_since(ks, since, request->limits.max_last_reply_keys, &found);
	if (status == KS_NOT_FOUND)
		return outcome_of(lookup_none(ks, request, reply));
	if (status == KS_TOO_MANY)
		say_too_many(reply, request, found.total, days);
	if (status != KS_OK)
		return outcome_of(status);
	outcome = answer(ks, request, reply, &found, since);
	ks_found_free(&found);
	return outcome;
}

const struct command command_last = {
    .name = "LAST",
    .argument = "DAYS",
    .summary = "sends the keys added or changed in the last DAYS",
    .run = run,
};
