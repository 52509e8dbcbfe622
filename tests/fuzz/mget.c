/*
 * Any octets as a pattern of MGET, a NUL and a text that it is to match: what
 * the check lets through PCRE2 can read, and a match ends soon.
 */
#include "handlers/mget.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

/* Without literal characters of its own, no text matches. */
static void
strangers(struct mget_pattern *pattern, const char *text)
{
	static const char snowmen[] =
	    "\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83"
	    "\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83";
	size_t i;

	if (strstr(text, "\xe2\x98\x83") != NULL)
		return;
	for (i = 0; i < sizeof snowmen; i += 3)
		require(mget_match(pattern, (const unsigned char *)snowmen,
			    i) != KS_OK);
}

static void
match(struct mget_pattern *pattern, const uint8_t *text, size_t len)
{
	struct timespec began, now;
	enum ks_status status;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
	status = mget_match(pattern, text, len);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	require(status == KS_OK || status == KS_NOT_FOUND ||
		status == KS_TOO_MANY || status == KS_NOMEM);
	require(now.tv_sec - began.tv_sec <= 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mget_pattern *pattern = NULL;
	char why[256] = "", *text;
	size_t len;

	if ((text = malloc(size + 1)) == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	len = strlen(text);
	switch (mget_compile(text, &pattern, why)) {
	case KS_OK:
		require(mget_check(text) == NULL);
		strangers(pattern, text);
		if (len < size)
			match(pattern, data + len + 1, size - len - 1);
		match(pattern, data, len);
		mget_free(pattern);
		break;
	case KS_BAD_QUERY:
		require(*why != '\0' && strlen(why) < sizeof why - 1);
		break;
	default:
		break;
	}
	free(text);
	return 0;
}
