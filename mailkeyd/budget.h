/*
 * How many answers an address or a domain may get: what keeps a robot from
 * being used to flood somebody.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include "db/outbox.h"
#include "mailkeyd/config.h"

/*
 * Whom an answer counts for: the address answered and the envelope sender,
 * when that is another, and their domains.  Inside a transaction.
 */
struct budget {
	struct keystore *ks;
	const struct config_limits *limits; /* each may be 0: no limit */
	const char *answer_to;
	const char *sender; /* may be NULL or "" */
	time_t now;
};

/* *spent: one more answer would be over a limit.  *helps: unasked-for help
 * texts of the day. */
enum ks_status budget_get(const struct budget *, bool *spent, unsigned *helps);
enum ks_status budget_add(const struct budget *, const struct limit_count *);

/* Whether what is no command gets no answer any more: behind the help text of
 * the day a few shorter ones are sent, then nothing. */
bool budget_helps_spent(unsigned helps);

#endif
