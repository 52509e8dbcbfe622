/*
 * A record that a child which was taken over may have written: refused, or the
 * same octets when it is written again.
 */
#include "mailkeyd/ipc.h"
#include "mailkeyd/mail.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct ipc_in in = {.data = octets, .len = len};
	struct ipc_out out = {0};
	struct mail m;

	if (mail_get(&in, &m) == -1)
		return 0;
	mail_put(&out, &m);
	mail_free(&m);
	if (out.failed || out.len != len || memcmp(out.data, octets, len) != 0)
		abort();
	ipc_out_free(&out);
	return 0;
}
