/*
 * CHECK's report on one certificate, part by part: what of it the store would
 * have, and what was left out.
 */
#include "handlers/check.h"

#include <string.h>

struct report {
	struct reply *reply;
	const struct check *check;
	unsigned told[PGP_LEFT_REASONS]; /* of what was left out */
	bool *done;			 /* by part of the list */
	size_t max;			 /* octets of the answer */
	bool cut;
};

/* Asked before each part. */
static bool
has_room(struct report *r)
{
	if (!r->cut && reply_size(r->reply) > r->max) {
		r->cut = true;
		reply_printf(
		    r->reply, "    ... and more: this answer is long enough\n");
	}
	return !r->cut;
}

static void
say_name(struct reply *reply, enum pgp_kind kind, const unsigned char *name,
    size_t len, const struct pgp_fpr *fpr)
{
	char hex[PGP_FPR_HEX];

	switch (kind) {
	case PGP_PRIMARY:
		reply_printf(reply, "    The key itself\n");
		break;
	case PGP_USERID:
		reply_printf(reply, "    User ID ");
		reply_userid(reply, name, len);
		reply_printf(reply, "\n");
		break;
	case PGP_ATTRIBUTE:
		reply_printf(reply, "    User attribute (a photo)\n");
		break;
	case PGP_SUBKEY:
		reply_printf(reply, "    Subkey %s\n",
		    fpr->len > 0 ? pgp_fpr_hex(fpr, hex) : "");
		break;
	}
}

/* ---- what was left out --------------------------------------------------- */

/* Of a part that was left out as a whole. */
static const char *
why_whole(enum pgp_left_reason why)
{
	switch (why) {
	case PGP_LEFT_NO_SELFSIG:
		return "no valid signature by the key itself is on it";
	case PGP_LEFT_ATTRIBUTE:
		return "this server keeps none";
	case PGP_LEFT_TOO_LARGE:
		return "it is too large, or the certificate is with it";
	case PGP_LEFT_TOO_MANY:
		return "a certificate may not have so many";
	case PGP_LEFT_UNKNOWN:
		return "its kind or version is not known";
	default:
		return pgp_left_text(why);
	}
}

static void
say_left(struct report *r, const struct pgp_left_part *part)
{
	r->told[part->why] += part->n;
	if (part->whole)
		reply_printf(
		    r->reply, "        not stored: %s\n", why_whole(part->why));
	else
		reply_printf(r->reply, "        left out: %s: %u\n",
		    pgp_left_text(part->why), part->n);
}

static bool
same_part(const struct pgp_left_part *a, const struct pgp_left_part *b)
{
	return a->kind == b->kind && a->len == b->len &&
	       (a->len == 0 || memcmp(a->name, b->name, a->len) == 0) &&
	       pgp_fpr_cmp(&a->fpr, &b->fpr) == 0;
}

/* What was left out of a part that is there. */
static void
say_left_of(struct report *r, const struct pgp_component *c)
{
	const struct pgp_left_parts *parts = r->check->left->parts;

	for (size_t i = 0; parts != NULL && i < parts->n; i++) {
		const struct pgp_left_part *part = &parts->part[i];

		if (r->done[i] || part->whole || !pgp_left_is_of(part, c))
			continue;
		r->done[i] = true;
		say_left(r, part);
	}
}

static void
say_part(
    struct report *r, const struct pgp_left_part *part, size_t from, bool whole)
{
	const struct pgp_left_parts *parts = r->check->left->parts;

	for (size_t k = from; k < parts->n; k++) {
		if (r->done[k] || parts->part[k].whole != whole ||
		    !same_part(part, &parts->part[k]))
			continue;
		r->done[k] = true;
		say_left(r, &parts->part[k]);
	}
}

/* The other parts, each with all that is told of it. */
static void
say_others(struct report *r)
{
	const struct pgp_left_parts *parts = r->check->left->parts;

	for (size_t i = 0; parts != NULL && i < parts->n; i++) {
		const struct pgp_left_part *part = &parts->part[i];

		if (r->done[i])
			continue;
		if (!has_room(r))
			return;
		say_name(
		    r->reply, part->kind, part->name, part->len, &part->fpr);
		/* first why the whole of it, then its signatures */
		say_part(r, part, i, true);
		say_part(r, part, i, false);
	}
}

/* What nobody knows the place of; repetitions are not worth a word. */
static void
say_elsewhere(struct report *r)
{
	for (int i = 0; i < PGP_LEFT_REASONS; i++)
		if (i != PGP_LEFT_DUPLICATE && !r->cut &&
		    r->check->left->n[i] > r->told[i])
			reply_printf(r->reply, "    Also left out: %s: %u\n",
			    pgp_left_text((enum pgp_left_reason)i),
			    r->check->left->n[i] - r->told[i]);
}

/* ---- what is there ------------------------------------------------------- */

static const struct pgp_component *
find(const struct pgp_cert *cert, const struct pgp_component *c)
{
	for (size_t i = 0; cert != NULL && i < cert->ncomponents; i++) {
		const struct pgp_component *it = &cert->components[i];

		if (it->kind == c->kind && it->len == c->len &&
		    (c->len == 0 || memcmp(it->body, c->body, c->len) == 0))
			return it;
	}
	return NULL;
}

static bool
has_packet(struct pgp_signature *const *sigs, size_t n,
    const struct pgp_signature *sig)
{
	for (size_t i = 0; i < n; i++)
		if (sigs[i]->len == sig->len &&
		    memcmp(sigs[i]->packet, sig->packet, sig->len) == 0)
			return true;
	return false;
}

static bool
has(const struct pgp_component *c, const struct pgp_signature *sig)
{
	return c != NULL && (has_packet(c->sigs, c->nsigs, sig) ||
				has_packet(c->others, c->nothers, sig));
}

/* Of the signatures that came, those that the store would have and has not
 * yet, and those that it would not take. */
struct tally {
	unsigned signatures, revocations, dropped;
};

static void
count(struct tally *t, struct pgp_signature *const *sigs, size_t n,
    const struct pgp_component *before, const struct pgp_component *now)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t type = sigs[i]->type;

		if (has(before, sigs[i]))
			continue;
		if (!has(now, sigs[i]))
			t->dropped++;
		else if (type == 0x20 || type == 0x28 || type == 0x30)
			t->revocations++;
		else
			t->signatures++;
	}
}

static void
say_news(struct reply *reply, const struct tally *t, bool fresh, bool stored)
{
	const char *between = fresh ? ", with " : ", new: ";

	if (!stored) {
		reply_printf(
		    reply, "        not stored: the certificate is full\n");
		return;
	}
	reply_printf(reply, "        %s", fresh ? "new" : "stored already");
	if (t->signatures > 0) {
		reply_printf(reply, "%s", between);
		reply_count(reply, t->signatures, "signature");
		between = ", ";
	}
	if (t->revocations > 0) {
		reply_printf(reply, "%s", between);
		reply_count(reply, t->revocations, "revocation");
	}
	if (!fresh && t->signatures + t->revocations == 0)
		reply_printf(reply, ", nothing new");
	reply_printf(reply, "\n");
}

static void
say_component(struct report *r, const struct pgp_component *came)
{
	const struct pgp_component *before = find(r->check->before, came);
	const struct pgp_component *now = find(r->check->now, came);
	struct tally t = {0};

	count(&t, came->sigs, came->nsigs, before, now);
	count(&t, came->others, came->nothers, before, now);
	say_name(r->reply, came->kind, came->body, came->len, &came->fpr);
	say_news(r->reply, &t, before == NULL, now != NULL);
	if (now != NULL && t.dropped > 0)
		reply_printf(r->reply,
		    "        left out: signatures that others are kept for: "
		    "%u\n",
		    t.dropped);
	say_left_of(r, came);
}

void
check_parts(struct reply *reply, const struct check *check, size_t max)
{
	bool done[PGP_LEFT_PARTS] = {false};
	struct report r = {
	    .reply = reply, .check = check, .done = done, .max = max};

	for (size_t i = 0; check->came != NULL && i < check->came->ncomponents;
	     i++) {
		if (!has_room(&r))
			return;
		say_component(&r, &check->came->components[i]);
	}
	say_others(&r);
	say_elsewhere(&r);
}
