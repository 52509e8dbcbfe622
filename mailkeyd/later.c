/*
 * Mails that stay in their mailbox for now.
 */
#include "mailkeyd/later.h"
#include "mailkeyd/loop.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_MS 1000L
#define LAST_MS	 600000L

/* Where a key is, or would have to be. */
static size_t
place(const struct later *l, const char *key, bool *found)
{
	size_t low = 0, high = l->n;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = strcmp(key, l->mail[middle].key);

		if (c == 0) {
			*found = true;
			return middle;
		}
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct later_mail *
later_find(struct later *l, const char *key)
{
	bool found;
	size_t at = place(l, key, &found);

	if (!found)
		return NULL;
	l->mail[at].seen = true;
	return &l->mail[at];
}

static bool
grow(struct later *l)
{
	size_t size = l->size == 0 ? 16 : 2 * l->size;
	struct later_mail *mail;

	if (l->n < l->size)
		return true;
	if (l->n == LATER_MAX)
		return false;
	mail = reallocarray(l->mail, size, sizeof(*mail));
	if (mail == NULL)
		return false;
	l->mail = mail;
	l->size = size;
	return true;
}

bool
later_add(struct later *l, const char *key, bool done)
{
	struct later_mail *m;
	int64_t ms = FIRST_MS;
	size_t at;
	bool found;

	if (*key == '\0' || strlen(key) >= LATER_KEY)
		return false;
	at = place(l, key, &found);
	if (!found) {
		if (!grow(l))
			return false;
		memmove(l->mail + at + 1, l->mail + at,
		    (l->n - at) * sizeof(*l->mail));
		l->n++;
		memset(&l->mail[at], 0, sizeof(*l->mail));
		memcpy(l->mail[at].key, key, strlen(key));
		l->mail[at].seen = !done;
	}
	m = &l->mail[at];
	for (unsigned i = 0; i < m->tries && ms < LAST_MS; i++)
		ms *= 2;
	if (ms > LAST_MS)
		ms = LAST_MS;
	m->due = loop_now_ms() + ms;
	m->tries++;
	m->done |= done;
	return m->tries == 1;
}

void
later_drop(struct later *l, const char *key)
{
	bool found;
	size_t at = place(l, key, &found);

	if (!found)
		return;
	memmove(
	    l->mail + at, l->mail + at + 1, (l->n - at - 1) * sizeof(*l->mail));
	l->n--;
}

void
later_sweep(struct later *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->mail[i].seen) {
			l->mail[kept] = l->mail[i];
			l->mail[kept++].seen = false;
		}
	l->n = kept;
}

void
later_clear(struct later *l)
{
	free(l->mail);
	memset(l, 0, sizeof(*l));
}

long
later_wait(const struct later *l, long most)
{
	int64_t now = loop_now_ms(), wait = most;

	for (size_t i = 0; i < l->n; i++)
		if (l->mail[i].due - now < wait)
			wait = l->mail[i].due - now;
	return wait < 0 ? 0 : (long)wait;
}
