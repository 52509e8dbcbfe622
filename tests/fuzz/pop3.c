/*
 * Any octets as the server's side of sessions by POP3.
 */
#include "farside.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	return converse(octets, len, fetch_pop3);
}
