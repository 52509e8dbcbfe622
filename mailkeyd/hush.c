/*
 * Lines of the log that say the same of the same sender over and over.
 */
#include "mailkeyd/hush.h"
#include "mailkeyd/log.h"
#include "pgp/pgp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES	 256
#define LOOK_MS	 10000L
#define QUIET_MS (60 * 1000)
#define HOUR_MS	 (3600 * 1000)

struct entry {
	char who[256], what[64]; /* *what '\0': free */
	int64_t since, last;
	unsigned lines;
	uint64_t counted; /* and not written */
	int64_t from;	  /* when the first of these came */
};

struct hush {
	struct loop_timer *timer;
	bool armed;
	struct entry entry[ENTRIES];
};

static void
tell(struct entry *e)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	if (e->counted == 0 || (f = pgp_memstream(&line, &len)) == NULL)
		return;
	fprintf(f, "event=more who=");
	log_value(f, e->who);
	fprintf(f, " note=");
	log_value(f, e->what);
	fprintf(f, " mails=%" PRIu64 " seconds=%" PRId64, e->counted,
	    (e->last - e->from + 999) / 1000);
	if (fclose(f) == 0)
		log_line(LOG_INFO, "%s", line);
	free(line);
	e->counted = 0;
}

static void
hush_look(void *ctx)
{
	struct hush *h = ctx;
	int64_t now = loop_now_ms();
	bool any = false;

	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &h->entry[i];

		if (*e->what == '\0')
			continue;
		if (now - e->last >= QUIET_MS || now - e->since >= HOUR_MS)
			tell(e);
		if (now - e->since >= HOUR_MS)
			*e->what = '\0';
		any |= *e->what != '\0';
	}
	h->armed = any;
	loop_timer_set(h->timer, any ? LOOK_MS : -1);
}

struct hush *
hush_new(struct loop *loop)
{
	struct hush *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->timer = loop_timer_new(loop, hush_look, h);
	if (h->timer != NULL)
		return h;
	free(h);
	return NULL;
}

void
hush_free(struct hush *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < ENTRIES; i++)
		if (*h->entry[i].what != '\0')
			tell(&h->entry[i]);
	loop_timer_free(h->timer);
	free(h);
}

/* The one of that name, or one that is free, or the one that was not asked for
 * for the longest time. */
static struct entry *
find(struct hush *h, const char *who, const char *what)
{
	struct entry *best = &h->entry[0];

	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &h->entry[i];

		if (*e->what != '\0' &&
		    strncmp(e->what, what, sizeof(e->what) - 1) == 0 &&
		    strncmp(e->who, who, sizeof(e->who) - 1) == 0)
			return e;
		if (*best->what != '\0' &&
		    (*e->what == '\0' || e->last < best->last))
			best = e;
	}
	if (*best->what != '\0')
		tell(best);
	memset(best, 0, sizeof(*best));
	snprintf(best->who, sizeof(best->who), "%s", who);
	snprintf(best->what, sizeof(best->what), "%s", what);
	best->since = loop_now_ms();
	return best;
}

bool
hush_passes(struct hush *h, const char *who, const char *what, unsigned lines)
{
	int64_t now = loop_now_ms();
	struct entry *e = find(h, who, what);

	if (now - e->since >= HOUR_MS) {
		tell(e);
		e->since = now;
		e->lines = 0;
	}
	e->last = now;
	if (e->lines < lines) {
		e->lines++;
		return true;
	}
	if (e->counted++ == 0)
		e->from = now;
	if (!h->armed)
		loop_timer_set(h->timer, LOOK_MS);
	h->armed = true;
	return false;
}
