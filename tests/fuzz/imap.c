/*
 * Any octets as the server's side of sessions by IMAP.
 */
#include "farside.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	return converse(octets, len, fetch_imap);
}
