/*
 * What was left out of a certificate: counted, and remembered part by part for
 * those who want to tell it.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

/* What comes in a row mostly stands on one and the same component. */
#define LOOK_BACK 4

struct pgp_left_parts *
pgp_left_parts_new(void)
{
	return calloc(1, sizeof(struct pgp_left_parts));
}

void
pgp_left_parts_free(struct pgp_left_parts *parts)
{
	size_t i;

	for (i = 0; parts != NULL && i < parts->n; i++)
		free(parts->part[i].name);
	if (parts != NULL)
		free(parts->part);
	free(parts);
}

bool
pgp_left_parts_add(struct pgp_left_parts *parts, struct pgp_left_part *part)
{
	struct pgp_left_part *more = parts->part;
	size_t n = parts->n;

	/* Room is doubled whenever a power of two is full. */
	if (n < PGP_LEFT_PARTS && (n & (n - 1)) == 0)
		more = reallocarray(more, n == 0 ? 1 : 2 * n, sizeof(*more));
	if (n == PGP_LEFT_PARTS || more == NULL) {
		free(part->name);
		return false;
	}
	parts->part = more;
	parts->part[parts->n++] = *part;
	return true;
}

static bool
has_name(enum pgp_kind kind)
{
	return kind == PGP_USERID || kind == PGP_ATTRIBUTE;
}

static size_t
name_length(const struct pgp_component *c)
{
	return c->len < PGP_LEFT_NAME ? c->len : PGP_LEFT_NAME;
}

bool
pgp_left_is_of(const struct pgp_left_part *part, const struct pgp_component *c)
{
	if (part->kind != c->kind)
		return false;
	if (has_name(c->kind))
		return octets_cmp(
			   part->name, part->len, c->body, name_length(c)) == 0;
	return c->kind == PGP_PRIMARY || pgp_fpr_cmp(&part->fpr, &c->fpr) == 0;
}

static void
part_add(struct pgp_left_parts *parts, enum pgp_left_reason why,
    const struct pgp_component *c, bool whole)
{
	struct pgp_left_part part = {
	    .why = why, .kind = c->kind, .whole = whole, .n = 1};

	if (c->kind == PGP_SUBKEY)
		part.fpr = c->fpr;
	if (has_name(c->kind)) {
		part.len = name_length(c);
		part.name = malloc(part.len + 1);
		if (part.name == NULL)
			return;
		if (part.len > 0)
			memcpy(part.name, c->body, part.len);
	}
	(void)pgp_left_parts_add(parts, &part);
}

void
left_note(struct pgp_left_out *left, enum pgp_left_reason why,
    const struct pgp_component *c, bool whole)
{
	struct pgp_left_parts *parts = left->parts;
	size_t i, first;

	left->n[why]++;
	if (parts == NULL || c == NULL || why == PGP_LEFT_DUPLICATE)
		return;
	first = parts->n < LOOK_BACK ? 0 : parts->n - LOOK_BACK;
	for (i = parts->n; i-- > first;) {
		struct pgp_left_part *part = &parts->part[i];

		if (part->why == why && part->whole == whole &&
		    pgp_left_is_of(part, c)) {
			part->n++;
			return;
		}
	}
	part_add(parts, why, c, whole);
}
