/*
 * The files of a Maildir that are not for now: mails that have to come again,
 * what cannot be read or removed, and what is no mail at all.
 */
#include "mailkeyd/log.h"
#include "mailkeyd/maildir.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_MS    1000L /* until a mail is tried again; doubles */
#define LAST_MS	    600000L
#define PUT_OFF_MAX 4096

static unsigned
hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % MAILDIR_HASH;
}

struct put_off *
put_off_find(const struct maildir *m, const char *name)
{
	struct put_off *p;

	LIST_FOREACH(p, &m->put_off[hash(name)], next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

void
put_off_free(struct maildir *m, struct put_off *p)
{
	LIST_REMOVE(p, next);
	m->nput_off--;
	free(p->name);
	free(p);
}

bool
put_off_is(const struct put_off *p)
{
	return p != NULL && p->due > loop_now_ms();
}

bool
put_off_was(const struct put_off *p)
{
	return p != NULL && p->tries > 0;
}

struct put_off *
put_off_add(struct maildir *m, const char *name)
{
	struct put_off *p = put_off_find(m, name);

	if (p != NULL)
		return p;
	if (m->nput_off == PUT_OFF_MAX) {
		if (!m->full_said)
			maildir_say(m, LOG_WARNING, NULL, "full",
			    "too many files that cannot be taken");
		m->full_said = true;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->name = strdup(name)) == NULL) {
		free(p);
		return NULL;
	}
	p->scan = m->scans;
	LIST_INSERT_HEAD(&m->put_off[hash(name)], p, next);
	m->nput_off++;
	return p;
}

bool
put_off_again(struct maildir *m, const char *name, bool done)
{
	struct put_off *p = put_off_add(m, name);
	int64_t ms = FIRST_MS;

	if (p == NULL)
		return false;
	for (unsigned i = 0; i < p->tries && ms < LAST_MS; i++)
		ms *= 2;
	if (ms > LAST_MS)
		ms = LAST_MS;
	p->tries++;
	p->done |= done;
	p->due = loop_now_ms() + ms;
	maildir_rescan_in(m, ms);
	return p->tries == 1;
}

void
put_off_no_mail(struct maildir *m, const char *name, const char *why)
{
	struct put_off *p = put_off_add(m, name);

	if (p == NULL)
		return;
	if (p->tries++ == 0)
		maildir_say(m, LOG_WARNING, name, "no_mail", why);
	p->due = loop_now_ms() + LAST_MS;
}

void
put_off_sweep(struct maildir *m)
{
	int64_t now = loop_now_ms(), next = now + MAILDIR_RESCAN_MS;
	struct put_off *p, *following;

	for (size_t i = 0; i < MAILDIR_HASH; i++)
		for (p = LIST_FIRST(&m->put_off[i]); p != NULL; p = following) {
			following = LIST_NEXT(p, next);
			if (p->scan != m->scans)
				put_off_free(m, p);
			else if (p->due < next)
				next = p->due;
		}
	if (m->nput_off < PUT_OFF_MAX)
		m->full_said = false;
	maildir_rescan_in(m, next - now < MAILDIR_SOON_MS ? MAILDIR_SOON_MS
							  : (long)(next - now));
}
