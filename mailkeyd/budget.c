/*
 * How many answers an address or a domain may get.
 */
#include "mailkeyd/budget.h"

#include <ctype.h>
#include <string.h>

#define NAME_SIZE     256 /* an address has at most 254 octets (RFC 5321) */
#define HELP_POINTERS 3	  /* two-line answers a day after the help text */

/* Addresses and their domains, none of them twice. */
struct names {
	struct {
		char text[NAME_SIZE];
		bool domain;
	} name[4];
	size_t n;
};

static void
names_add(struct names *names, const char *text, bool domain)
{
	char *out = names->name[names->n].text;
	size_t i;

	for (i = 0; text[i] != '\0' && i + 1 < NAME_SIZE; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[i] = '\0';
	for (i = 0; i < names->n; i++)
		if (names->name[i].domain == domain &&
		    strcmp(names->name[i].text, out) == 0)
			return;
	names->name[names->n++].domain = domain;
}

static void
names_of(const struct budget *b, struct names *names)
{
	const char *const addresses[] = {b->answer_to, b->sender};

	names->n = 0;
	for (size_t i = 0; i < 2; i++) {
		const char *address = addresses[i], *at;

		if (address == NULL || *address == '\0')
			continue;
		names_add(names, address, false);
		at = strrchr(address, '@');
		if (at != NULL)
			names_add(names, at + 1, true);
	}
}

static bool
over(uint64_t count, uint64_t limit)
{
	return limit != 0 && count >= limit;
}

static bool
address_over(const struct config_limits *limits, const struct limit_count *hour,
    const struct limit_count *day)
{
	return over(hour->replies, limits->replies_per_hour) ||
	       over(day->replies, limits->replies_per_day) ||
	       over(day->octets, limits->bytes_per_day);
}

enum ks_status
budget_get(const struct budget *b, bool *spent, unsigned *helps)
{
	struct limit_count hour, day;
	struct names names;
	enum ks_status status = KS_OK;

	*spent = false;
	*helps = 0;
	names_of(b, &names);
	for (size_t i = 0; i < names.n && status == KS_OK; i++) {
		status =
		    limit_get(b->ks, names.name[i].text, b->now, &hour, &day);
		if (status != KS_OK)
			break;
		if (names.name[i].domain)
			*spent |=
			    over(hour.replies, b->limits->domain_per_hour);
		else {
			*spent |= address_over(b->limits, &hour, &day);
			if (day.helps > *helps)
				*helps = day.helps;
		}
	}
	return status;
}

enum ks_status
budget_add(const struct budget *b, const struct limit_count *count)
{
	struct names names;
	enum ks_status status = KS_OK;

	names_of(b, &names);
	for (size_t i = 0; i < names.n && status == KS_OK; i++)
		status = limit_add(b->ks, names.name[i].text, b->now, count);
	return status;
}

bool
budget_helps_spent(unsigned helps)
{
	return helps > HELP_POINTERS;
}
