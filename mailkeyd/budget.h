/*
 * How many answers an address or a domain may get: what keeps a robot from
 * being used to flood somebody.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include "db/outbox.h"
#include "mailkeyd/config.h"

#define BUDGET_NAME 256 /* an address has at most 254 octets (RFC 5321) */

/* Whose budget it is that is spent; a wider one counts more. */
enum budget_whose {
	BUDGET_LEFT, /* nobody's */
	BUDGET_ADDRESS,
	BUDGET_DOMAIN,
	BUDGET_SERVER
};

/* An address, or a domain, as it is counted: in lower case, without +extension
 * and blanks, an address of IPv6 in its usual spelling. */
void budget_name(const char *, char out[BUDGET_NAME]);

/*
 * Whom an answer counts for: the address answered and the envelope sender,
 * when that is another, and their domains, and the server.  Inside a
 * transaction.
 */
struct budget {
	struct keystore *ks;
	const struct config_limits *limits; /* each may be 0: no limit */
	const char *answer_to;
	const char *sender; /* may be NULL or "" */
	time_t now;
};

/* *spent: whose limit one more answer would be over.  *helps: unasked-for help
 * texts of the day. */
enum ks_status budget_get(
    const struct budget *, enum budget_whose *spent, unsigned *helps);
enum ks_status budget_add(const struct budget *, const struct limit_count *);

/* Whether what is no command gets no answer any more: behind the help text of
 * the day a few shorter ones are sent, then nothing. */
bool budget_helps_spent(unsigned helps);

#endif
