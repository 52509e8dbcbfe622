/*
 * Domains at which handing over takes long, and the answers that wait because
 * of them.
 */
#include "mailkeyd/slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONG_MS	 3000 /* no server in order takes as long for one mail */
#define MEMORY	 (3600 * 1000)
#define DOMAINS	 256
#define HELD_MAX 128  /* each is passed over when one is taken out */
#define HASH	 2048 /* a power of two, more than HELD_MAX */

struct domain {
	char name[256];
	int64_t until; /* 0: free */
};

struct slow {
	struct domain domain[DOMAINS];
	uint64_t held[HASH]; /* open addressing; 0: free */
	unsigned nheld;
};

struct slow *
slow_new(void)
{
	return calloc(1, sizeof(struct slow));
}

void
slow_free(struct slow *s)
{
	free(s);
}

/* ---- domains ------------------------------------------------------------- */

/* The last two labels of what is behind the "@". */
static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@'), *dot;
	const char *begin = at == NULL ? address : at + 1;
	const char *end = begin + strlen(begin);

	for (int labels = 0; end > begin; end--) {
		dot = end - 1;
		if (*dot == '.' && ++labels == 2)
			return end;
	}
	return begin;
}

/* DOMAINS: it is not there. */
static size_t
domain_find(const struct slow *s, const char *name)
{
	size_t i = 0;

	while (i < DOMAINS && (s->domain[i].until == 0 ||
				  strncasecmp(s->domain[i].name, name,
				      sizeof(s->domain[i].name) - 1) != 0))
		i++;
	return i;
}

/* One that is free, or else the one that ends first. */
static size_t
domain_new(struct slow *s, const char *name)
{
	size_t best = 0;

	for (size_t i = 1; i < DOMAINS; i++)
		if (s->domain[i].until < s->domain[best].until)
			best = i;
	snprintf(
	    s->domain[best].name, sizeof(s->domain[best].name), "%s", name);
	return best;
}

void
slow_note(struct slow *s, const char *address, int64_t took, int64_t now)
{
	const char *name = domain_of(address);
	size_t i;

	if (took < LONG_MS)
		return;
	i = domain_find(s, name);
	if (i == DOMAINS)
		i = domain_new(s, name);
	s->domain[i].until = now + MEMORY;
}

bool
slow_domain(const struct slow *s, const char *address, int64_t now)
{
	size_t i = domain_find(s, domain_of(address));

	return i < DOMAINS && s->domain[i].until > now;
}

/* ---- answers that wait --------------------------------------------------- */

/* Where it is, or where it would be. */
static size_t
place_of(const struct slow *s, uint64_t id)
{
	size_t i = (size_t)(id * 0x9e3779b97f4a7c15u >> 32) & (HASH - 1);

	while (s->held[i] != 0 && s->held[i] != id)
		i = (i + 1) & (HASH - 1);
	return i;
}

bool
slow_hold(struct slow *s, uint64_t id)
{
	if (s->nheld == HELD_MAX)
		return false;
	s->held[place_of(s, id)] = id;
	s->nheld++;
	return true;
}

bool
slow_holds(const struct slow *s, uint64_t id)
{
	return s->nheld > 0 && s->held[place_of(s, id)] == id;
}

void
slow_release(struct slow *s)
{
	if (s->nheld > 0)
		memset(s->held, 0, sizeof(s->held));
	s->nheld = 0;
}
