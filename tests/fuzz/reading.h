/*
 * What comes before the first mail is read.
 */
#include "mailkeyd/mail.h"

int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	mail_parse_prepare(true);
	pgp_prepare();
	return 0;
}
