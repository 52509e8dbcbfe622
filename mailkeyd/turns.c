/*
 * Whose answer goes next: by turns of domains, and of addresses within each.
 */
#include "mailkeyd/turns.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#define LONG_MS	 3000 /* no server in order takes as long for one mail */
#define MEMORY	 (3600 * 1000)
#define IDLE_MAX 512 /* domains that are known and for which nothing waits */

/* What the last hour has shown of a domain. */
enum pace { QUICK, NEW, SLOW, PACES };

struct answer {
	STAILQ_ENTRY(answer) next;
	struct outbox_place place;
};

struct person {
	const char *name; /* the address */
	TAILQ_ENTRY(person) next;
	STAILQ_HEAD(, answer) answers; /* at least one */
	char text[];
};

TAILQ_HEAD(domains, domain);

struct domain {
	const char *name;
	TAILQ_ENTRY(domain) next;
	TAILQ_HEAD(, person) persons; /* whose turn is next, first */
	void *tree;		      /* the same, for tsearch(3) */
	uint64_t turn;		      /* since when it waits for the next */
	size_t in_hand;		      /* answers that senders have */
	enum pace pace;
	int64_t until; /* so long that holds */
	char text[];
};

/*
 * A domain for which something waits is in the ring of its pace, whose turn is
 * longest ago first; one that is only remembered is idle, the newest last.
 */
struct turns {
	void *tree; /* of domains, for tsearch(3) */
	struct domains ring[PACES], idle;
	size_t nidle, senders;
	size_t in_hand[PACES];
	uint64_t turn; /* the last one */
};

/* Both begin with the name, in any case. */
static int
order(const void *a, const void *b)
{
	return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* ---- domains ------------------------------------------------------------- */

static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@'), *dot;
	const char *begin = at == NULL ? address : at + 1;
	const char *end = begin + strlen(begin);

	for (int labels = 0; end > begin; end--) {
		dot = end - 1;
		if (*dot == '.' && ++labels == 2)
			return end;
	}
	return begin;
}

static struct domain *
domain_find(const struct turns *t, const char *address)
{
	const char *name = domain_of(address);
	void *found = tfind(&name, &t->tree, order);

	return found == NULL ? NULL : *(struct domain **)found;
}

/* Where it is to be found: in a ring, or idle. */
static struct domains *
place_of(struct turns *t, struct domain *d)
{
	return TAILQ_EMPTY(&d->persons) ? &t->idle : &t->ring[d->pace];
}

static void
domain_take_out(struct turns *t, struct domain *d)
{
	t->nidle -= TAILQ_EMPTY(&d->persons);
	TAILQ_REMOVE(place_of(t, d), d, next);
}

static void
domain_free(struct turns *t, struct domain *d)
{
	tdelete(d, &t->tree, order);
	free(d);
}

static void
idle_forget(struct turns *t)
{
	struct domain *d;

	TAILQ_FOREACH(d, &t->idle, next)
		if (d->in_hand == 0)
			break;
	if (d == NULL)
		return;
	domain_take_out(t, d);
	domain_free(t, d);
}

/* It waits for its turn behind all others. */
static void
domain_put_in(struct turns *t, struct domain *d)
{
	d->turn = ++t->turn;
	TAILQ_INSERT_TAIL(place_of(t, d), d, next);
	t->nidle += TAILQ_EMPTY(&d->persons);
	if (t->nidle > IDLE_MAX)
		idle_forget(t);
}

static void
domain_set(struct turns *t, struct domain *d, enum pace pace)
{
	if (d->pace == pace)
		return;
	t->in_hand[d->pace] -= d->in_hand;
	t->in_hand[pace] += d->in_hand;
	domain_take_out(t, d);
	d->pace = pace;
	domain_put_in(t, d);
}

/* A new one is in no list yet; NULL: no memory. */
static struct domain *
domain_new(struct turns *t, const char *address)
{
	const char *name = domain_of(address);
	size_t size = strlen(name) + 1;
	struct domain *d = calloc(1, sizeof(*d) + size);

	if (d == NULL)
		return NULL;
	memcpy(d->text, name, size);
	d->name = d->text;
	d->pace = NEW;
	TAILQ_INIT(&d->persons);
	if (tsearch(d, &t->tree, order) != NULL)
		return d;
	free(d);
	return NULL;
}

/* ---- addresses ----------------------------------------------------------- */

static struct person *
person_find(const struct domain *d, const char *address)
{
	void *found = tfind(&address, &d->tree, order);

	return found == NULL ? NULL : *(struct person **)found;
}

static struct person *
person_new(struct domain *d, const char *address)
{
	size_t size = strlen(address) + 1;
	struct person *p = calloc(1, sizeof(*p) + size);

	if (p == NULL)
		return NULL;
	memcpy(p->text, address, size);
	p->name = p->text;
	STAILQ_INIT(&p->answers);
	if (tsearch(p, &d->tree, order) == NULL) {
		free(p);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&d->persons, p, next);
	return p;
}

/* Takes the first answer out; who has none left goes. */
static struct outbox_place
person_take(struct domain *d, struct person *p)
{
	struct answer *a = STAILQ_FIRST(&p->answers);
	struct outbox_place place = a->place;

	STAILQ_REMOVE_HEAD(&p->answers, next);
	free(a);
	TAILQ_REMOVE(&d->persons, p, next);
	if (STAILQ_EMPTY(&p->answers)) {
		tdelete(p, &d->tree, order);
		free(p);
	} else {
		TAILQ_INSERT_TAIL(&d->persons, p, next);
	}
	return place;
}

/* ---- what the header offers ---------------------------------------------- */

struct turns *
turns_new(size_t senders)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->senders = senders;
	for (int i = 0; i < PACES; i++)
		TAILQ_INIT(&t->ring[i]);
	TAILQ_INIT(&t->idle);
	return t;
}

void
turns_free(struct turns *t)
{
	struct domain *d;

	if (t == NULL)
		return;
	turns_clear(t);
	while ((d = TAILQ_FIRST(&t->idle)) != NULL) {
		domain_take_out(t, d);
		domain_free(t, d);
	}
	free(t);
}

int
turns_add(
    struct turns *t, const char *address, const struct outbox_place *place)
{
	struct domain *d = domain_find(t, address);
	bool is_new = d == NULL;
	struct answer *a = malloc(sizeof(*a));
	struct person *p;

	if (a == NULL || (is_new && (d = domain_new(t, address)) == NULL)) {
		free(a);
		return -1;
	}
	if (!is_new && TAILQ_EMPTY(&d->persons)) {
		domain_take_out(t, d);
		is_new = true;
	}
	if ((p = person_find(d, address)) == NULL)
		p = person_new(d, address);
	if (p != NULL) {
		a->place = *place;
		STAILQ_INSERT_TAIL(&p->answers, a, next);
	} else {
		free(a);
	}
	if (is_new)
		domain_put_in(t, d);
	return p == NULL ? -1 : 0;
}

void
turns_clear(struct turns *t)
{
	struct domain *d;

	for (int i = 0; i < PACES; i++)
		while ((d = TAILQ_FIRST(&t->ring[i])) != NULL) {
			domain_take_out(t, d);
			while (!TAILQ_EMPTY(&d->persons))
				person_take(d, TAILQ_FIRST(&d->persons));
			domain_put_in(t, d);
		}
}

/* ---- who may go ---------------------------------------------------------- */

/* The first of a ring, which has waited longest; what is out of date goes
 * elsewhere. */
static struct domain *
ring_first(struct turns *t, enum pace pace, int64_t now)
{
	struct domain *d;

	while ((d = TAILQ_FIRST(&t->ring[pace])) != NULL && pace != NEW &&
	       d->until <= now)
		domain_set(t, d, NEW);
	return d;
}

/* How many senders are not for domains of this pace, and worse ones. */
static size_t
left_free(const struct turns *t, enum pace pace)
{
	if (pace == SLOW)
		return t->senders > 2 ? 2 : t->senders - 1;
	return pace == NEW && t->senders > 2;
}

/* What nobody knows might take all that NEW ones may have. */
static struct domain *
first_new(struct turns *t)
{
	size_t most = t->senders - (t->senders > 2 ? 2 : 0);
	struct domain *d;

	TAILQ_FOREACH(d, &t->ring[NEW], next)
		if (d->in_hand < most)
			break;
	return d;
}

static struct domain *
next_domain(struct turns *t, int64_t now)
{
	struct domain *d, *best = ring_first(t, QUICK, now);
	size_t others = t->senders;

	ring_first(t, SLOW, now);
	if (t->in_hand[NEW] + t->in_hand[SLOW] + left_free(t, NEW) >= others)
		return best;
	d = first_new(t);
	if (best == NULL || (d != NULL && d->turn < best->turn))
		best = d;
	if (t->in_hand[SLOW] + left_free(t, SLOW) >= others)
		return best;
	d = ring_first(t, SLOW, now);
	return best == NULL || (d != NULL && d->turn < best->turn) ? d : best;
}

bool
turns_press(struct turns *t, size_t stuck, int64_t now)
{
	for (int pace = QUICK; pace <= NEW; pace++)
		if (stuck + left_free(t, (enum pace)pace) >= t->senders &&
		    ring_first(t, (enum pace)pace, now) != NULL)
			return true;
	return false;
}

struct domain *
turns_take(struct turns *t, int64_t now, struct outbox_place *place)
{
	struct domain *d = next_domain(t, now);

	if (d == NULL)
		return NULL;
	domain_take_out(t, d);
	*place = person_take(d, TAILQ_FIRST(&d->persons));
	d->in_hand++;
	t->in_hand[d->pace]++;
	domain_put_in(t, d);
	return d;
}

void
turns_running(struct turns *t, struct domain *d, int64_t took, int64_t now)
{
	if (took < LONG_MS)
		return;
	d->until = now + MEMORY;
	domain_set(t, d, SLOW);
}

void
turns_done(struct turns *t, struct domain *d, int64_t took, int64_t now)
{
	turns_running(t, d, took, now);
	if (took >= 0 && took < LONG_MS &&
	    (d->pace != SLOW || d->until <= now)) {
		d->until = now + MEMORY;
		domain_set(t, d, QUICK);
	}
	d->in_hand--;
	t->in_hand[d->pace]--;
}
