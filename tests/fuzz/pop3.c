/*
 * Any octets as the server's side of sessions by POP3.
 */
#include "farside.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct fetcher f;

	if (len == 0)
		return 0;
	begin(&f, octets, len);
	f.type = RECEIVE_POP3;
	converse(&f, fetch_pop3);
	return 0;
}
