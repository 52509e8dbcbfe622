/*
 * How many answers an address or a domain may get.
 */
#include "mailkeyd/budget.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE     BUDGET_NAME
#define HELP_POINTERS 3 /* two-line answers a day after the help text */

/* What counts all answers: no name that was folded has a blank. */
static const char everybody[] = "all answers";

/* Addresses and their domains, none of them twice, and the server. */
struct names {
	struct {
		char text[NAME_SIZE];
		enum budget_whose whose;
	} name[5];
	size_t n;
};

/* Of the spellings of an address of IPv6 the usual one. */
static void
literal_fold(char *domain, size_t size)
{
	static const char tag[] = "[ipv6:";
	char text[INET6_ADDRSTRLEN], *value = domain + strlen(tag);
	size_t len = strlen(domain);
	struct in6_addr in6;

	if (strncmp(domain, tag, strlen(tag)) != 0 || domain[len - 1] != ']')
		return;
	domain[len - 1] = '\0';
	if (inet_pton(AF_INET6, value, &in6) == 1 &&
	    inet_ntop(AF_INET6, &in6, text, sizeof(text)) != NULL)
		snprintf(value, size - strlen(tag), "%s]", text);
	else
		domain[len - 1] = ']';
}

void
budget_name(const char *address, char out[BUDGET_NAME])
{
	const char *at = strrchr(address, '@');
	const char *plus =
	    at == NULL ? NULL : memchr(address, '+', (size_t)(at - address));
	size_t i = 0, domain;

	for (const char *p = address; *p != '\0' && i + 1 < BUDGET_NAME; p++) {
		if (p == plus && plus > address)
			p = at;
		out[i++] = (char)(*p == ' ' ? '_' : tolower((unsigned char)*p));
	}
	out[i] = '\0';
	at = strrchr(out, '@');
	domain = at == NULL ? 0 : (size_t)(at + 1 - out);
	literal_fold(out + domain, BUDGET_NAME - domain);
}

/* Nobody's name is another kind's: an address without "@" gets one, and what
 * has a blank is the server's, or a peer's (sync_in.c). */
static void
names_add(struct names *names, const char *text, enum budget_whose whose)
{
	char name[NAME_SIZE], *out = names->name[names->n].text;
	bool bare = whose == BUDGET_ADDRESS && strchr(text, '@') == NULL;

	budget_name(text, name);
	snprintf(out, NAME_SIZE, "%s%.*s", bare ? "@" : "", NAME_SIZE - 2,
	    whose == BUDGET_SERVER ? everybody : name);
	for (size_t i = 0; i < names->n; i++)
		if (names->name[i].whose == whose &&
		    strcmp(names->name[i].text, out) == 0)
			return;
	names->name[names->n++].whose = whose;
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
		names_add(names, address, BUDGET_ADDRESS);
		at = strrchr(address, '@');
		if (at != NULL)
			names_add(names, at + 1, BUDGET_DOMAIN);
	}
	/* Where nobody asks for the sum it is not kept. */
	if (b->limits->server_per_hour != 0 ||
	    b->limits->server_bytes_per_day != 0)
		names_add(names, everybody, BUDGET_SERVER);
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

static bool
whose_over(enum budget_whose whose, const struct config_limits *limits,
    const struct limit_count *hour, const struct limit_count *day)
{
	switch (whose) {
	case BUDGET_ADDRESS:
		return address_over(limits, hour, day);
	case BUDGET_DOMAIN:
		return over(hour->replies, limits->domain_per_hour) ||
		       over(day->octets, limits->domain_bytes_per_day);
	case BUDGET_SERVER:
		return over(hour->replies, limits->server_per_hour) ||
		       over(day->octets, limits->server_bytes_per_day);
	default:
		return false;
	}
}

enum ks_status
budget_get(const struct budget *b, enum budget_whose *spent, unsigned *helps)
{
	struct limit_count hour, day;
	struct names names;
	enum ks_status status = KS_OK;

	*spent = BUDGET_LEFT;
	*helps = 0;
	names_of(b, &names);
	for (size_t i = 0; i < names.n && status == KS_OK; i++) {
		enum budget_whose whose = names.name[i].whose;

		status =
		    limit_get(b->ks, names.name[i].text, b->now, &hour, &day);
		if (status != KS_OK)
			break;
		if (whose > *spent && whose_over(whose, b->limits, &hour, &day))
			*spent = whose;
		if (whose == BUDGET_ADDRESS && day.helps > *helps)
			*helps = day.helps;
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
