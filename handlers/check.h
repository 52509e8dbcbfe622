/*
 * CHECK's report on one certificate, for check.c and its tests.
 */
#ifndef CHECK_H
#define CHECK_H

#include "handlers/handler.h"

struct check {
	const struct pgp_cert *came;	 /* cleaned; NULL: nothing of it */
	const struct pgp_cert *before;	 /* in the store; NULL: none */
	const struct pgp_cert *now;	 /* there after ADD; NULL: none */
	const struct pgp_left_out *left; /* of what came */
};

/* Says of each part what would become of it; once the answer has more than
 * `max` octets the rest is left out. */
void check_parts(struct reply *, const struct check *, size_t max);

#endif
