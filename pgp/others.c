/*
 * Certifications by other keys, which an archive keeps.  Nobody here verifies
 * them, so nothing that is stored may ever give way to one that comes.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

bool
other_may_be(unsigned type)
{
	return (type >= 0x10 && type <= 0x13) || type == 0x30;
}

/* The same issuer, too: signature_same() compares what is signed. */
static int
other_same(const struct pgp_signature *a, const struct pgp_signature *b)
{
	int r = signature_same(a, b);

	if (r == 0 && a->version == 3) /* type and time were compared */
		r = memcmp(a->packet + a->body, b->packet + b->body, 17);
	return r != 0 ? r : memcmp(a->issuer, b->issuer, sizeof(a->issuer));
}

bool
others_add(struct pgp_component *c, struct pgp_signature *sig)
{
	return signatures_add(&c->others, &c->nothers, sig);
}

bool
others_have(const struct pgp_component *c, const struct pgp_signature *sig)
{
	size_t i;

	for (i = 0; i < c->nothers; i++)
		if (other_same(c->others[i], sig) == 0)
			return true;
	return false;
}

bool
others_unite(struct pgp_component *to, const struct pgp_component *from)
{
	size_t i, had = to->nothers;
	struct pgp_component first = *to;

	for (i = 0; i < from->nothers; i++) {
		first.others = to->others;
		first.nothers = had;
		if (!others_have(&first, from->others[i]) &&
		    !others_add(to, signature_dup(from->others[i])))
			return false;
	}
	signatures_sort(to->others, to->nothers);
	return true;
}

void
others_collapse(struct pgp_component *c, struct pgp_left_out *left)
{
	size_t i, kept = 0;

	signatures_sort(c->others, c->nothers);
	for (i = 1; i < c->nothers; i++) {
		if (other_same(c->others[kept], c->others[i]) != 0) {
			kept = i;
			continue;
		}
		signature_free(c->others[i]);
		c->others[i] = NULL;
		left->n[PGP_LEFT_DUPLICATE]++;
	}
	signatures_pack(c->others, &c->nothers);
}

/* ---- caps ---------------------------------------------------------------- */

/* One of them, where it stands; `held` stays longest. */
struct place {
	struct pgp_component *c;
	size_t at;
	bool held;
};

/* What is held first, then the newest, then octets. */
static int
place_qcmp(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	const struct pgp_signature *x = a->c->others[a->at];
	const struct pgp_signature *y = b->c->others[b->at];

	if (a->held != b->held)
		return a->held ? -1 : 1;
	if (x->created != y->created)
		return x->created > y->created ? -1 : 1;
	return octets_cmp(x->packet, x->len, y->packet, y->len);
}

static size_t
count_all(const struct pgp_cert *cert)
{
	size_t i, n = 0;

	for (i = 0; i < cert->ncomponents; i++)
		n += cert->components[i].nothers;
	return n;
}

/* All of them, those that go first at the end; NULL: no memory. */
static struct place *
places(const struct pgp_cert *cert, const struct pgp_cert *held, size_t n)
{
	struct place *list = malloc((n + 1) * sizeof(*list));
	const struct pgp_component *old;
	struct pgp_component *c;
	size_t i, k, at = 0;

	for (i = 0; list != NULL && i < cert->ncomponents; i++) {
		c = &cert->components[i];
		old = held != NULL ? cert_find(held, c) : NULL;
		for (k = 0; k < c->nothers; k++)
			list[at++] = (struct place){c, k,
			    old != NULL && others_have(old, c->others[k])};
	}
	if (list != NULL)
		qsort(list, n, sizeof(*list), place_qcmp);
	return list;
}

static void
drop(const struct place *p, struct pgp_left_out *left, enum pgp_left_reason why)
{
	signature_free(p->c->others[p->at]);
	p->c->others[p->at] = NULL;
	left_note(left, why, p->c, false);
}

static void
pack(struct pgp_cert *cert)
{
	size_t i;

	for (i = 0; i < cert->ncomponents; i++)
		signatures_pack(
		    cert->components[i].others, &cert->components[i].nothers);
}

/* RFC 9580, 5.2.3.25.  Any signature that is kept says it: else it would
 * matter what came first. */
static bool
says_no_modify(const struct pgp_cert *cert)
{
	const struct pgp_component *c;
	size_t i, k;

	for (i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		for (k = 0; k < c->nsigs; k++)
			if (c->sigs[k]->verified && c->sigs[k]->no_modify)
				return true;
	}
	return false;
}

bool
others_cap(struct pgp_cert *cert, const struct pgp_policy *policy,
    const struct pgp_cert *held, struct pgp_left_out *left)
{
	size_t n = count_all(cert), most = policy->certifications;
	enum pgp_left_reason why = PGP_LEFT_TOO_MANY;
	struct place *list;

	if (n > 0 && most == 0)
		why = PGP_LEFT_THIRD_PARTY;
	else if (n > 0 && says_no_modify(cert)) {
		most = 0;
		why = PGP_LEFT_NO_MODIFY;
	}
	if (n <= most)
		return true;
	list = places(cert, held, n);
	if (list == NULL)
		return false;
	while (n > most)
		drop(&list[--n], left, why);
	free(list);
	pack(cert);
	return true;
}

bool
others_shed(struct pgp_cert *cert, const struct pgp_cert *held, size_t *size,
    size_t cap, struct pgp_left_out *left)
{
	size_t n = count_all(cert);
	struct place *list;

	if (n == 0 || *size <= cap)
		return true;
	list = places(cert, held, n);
	if (list == NULL)
		return false;
	while (n > 0 && *size > cap) {
		n--;
		*size -= list[n].c->others[list[n].at]->len;
		drop(&list[n], left, PGP_LEFT_TOO_LARGE);
	}
	free(list);
	pack(cert);
	return true;
}
