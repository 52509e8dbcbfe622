/* Fuzzes what is read of a search and of a user ID: text, words, address. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What is looked up is in the form in which it was stored. */
static void
check_query(const struct ks_query *q)
{
	char again[ADDRESS_MAX + 1];

	assert(q->nwords <= KS_QUERY_WORDS);
	for (size_t i = 0; i < q->nwords; i++)
		assert(strlen(q->word[i]) <= WORD_MAX && *q->word[i] != '\0');
	assert((q->part != NULL) == (q->at != KS_PART_NONE));
	assert(q->part == NULL || (q->nwords == 0 && *q->part != '\0' &&
				      strlen(q->part) <= WORD_MAX &&
				      strstr(q->text, q->part) != NULL));
	if (q->kind != KS_BY_EMAIL)
		return;
	assert(address_normal(q->text, strlen(q->text), again) == KS_OK);
	assert(strchr(q->text, ' ') == NULL);
}

static void
check_userid(const uint8_t *data, size_t size)
{
	struct pgp_component userid = {.kind = PGP_USERID,
	    .body = (unsigned char *)(uintptr_t)data,
	    .len = size};
	struct pgp_cert cert = {.components = &userid, .ncomponents = 1};
	struct entries set;

	if (entries_of(&cert, &set) != KS_OK)
		return;
	assert(set.words <= WORDS_MAX);
	for (size_t i = 1; i < set.n; i++)
		assert(entry_cmp(&set.entry[i - 1], &set.entry[i]) < 0);
	entries_free(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_query q;
	const char *why = NULL;
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	switch (ks_query_parse(text, &q, &why)) {
	case KS_OK:
		check_query(&q);
		ks_query_free(&q);
		break;
	case KS_BAD_QUERY:
		assert(why != NULL);
		break;
	default:
		break;
	}
	free(text);
	check_userid(data, size);
	return 0;
}
