/*
 * A mail through the reader, and what it found through a record: whatever the
 * octets, the core accepts what the reader writes.
 */
#include "mailkeyd/ipc.h"
#include "reading.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct mail_limits limits = mail_limits_default;
	struct ipc_out out = {0};
	struct ipc_in in = {0};
	struct mail m;

	/* small enough to be met */
	limits.message_size = 16384;
	limits.depth = 4;
	limits.parts = 8;
	limits.keys = 3;
	if (mail_parse((const char *)octets, len, &limits, &pgp_policy_default,
		1700000000, &m) == -1)
		abort();
	mail_put(&out, &m);
	mail_free(&m);
	in.data = out.data;
	in.len = out.len;
	if (out.failed || mail_get(&in, &m) == -1)
		abort();
	mail_free(&m);
	ipc_out_free(&out);
	return 0;
}
