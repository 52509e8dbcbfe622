/*
 * A stream of certificates: octets from anywhere, armored or not, cut into
 * certificates without the packets that nobody keeps.
 */
#include "pgp/reader_input.h"

#include <stdlib.h>
#include <string.h>

/*
 * Of a certificate so many times what is kept after cleaning is collected, in
 * any case 4 MiB, and revocations of the key an eighth more: a flood before
 * them must not keep them out.
 */
#define COLLECT_FACTOR 16
#define COLLECT_MIN    ((size_t)4 << 20)
#define COLLECT_EXTRA  8

struct pgp_reader *
pgp_reader_new(pgp_read *read, void *ctx, const struct pgp_policy *policy)
{
	struct pgp_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->read = read;
	r->ctx = ctx;
	r->policy = *policy;
	r->collect_max = COLLECT_MIN;
	if (policy->certificate_size > COLLECT_MIN / COLLECT_FACTOR)
		r->collect_max = policy->certificate_size * COLLECT_FACTOR;
	return r;
}

void
pgp_reader_free(struct pgp_reader *r)
{
	if (r == NULL)
		return;
	buffer_wipe(&r->body);
	buffer_wipe(&r->out);
	free(r->body.data);
	free(r->out.data);
	explicit_bzero(r, sizeof(*r));
	free(r);
}

/* A certificate under way. */
struct item {
	enum pgp_status status; /* other than PGP_OK: the rest is skipped */
	struct pgp_component primary;
	bool skip_sigs; /* of a component that was left out */
	size_t current; /* where the component under way begins, 0: none */
	struct pgp_component at; /* it, for telling of it, but for its body */
	size_t body;		 /* where that begins */
	bool claimed; /* something that the key may have signed is on it */
	unsigned by_others; /* revocations */
	struct pgp_left_out *left;
};

static bool
append(struct pgp_reader *r, unsigned tag)
{
	unsigned char header[PACKET_HEADER_MAX];
	size_t n = packet_header(header, tag, r->body.len);

	return buffer_add(&r->out, header, n) &&
	       buffer_add(&r->out, r->body.data, r->body.len);
}

static enum pgp_kind
kind_of(unsigned tag)
{
	return tag == PGP_TAG_USERID	  ? PGP_USERID
	       : tag == PGP_TAG_ATTRIBUTE ? PGP_ATTRIBUTE
					  : PGP_SUBKEY;
}

/* The packet under way as a component; its fingerprint only when somebody
 * wants to tell of it. */
static struct pgp_component
packet_component(const struct pgp_reader *r, const struct item *item)
{
	struct pgp_component c = {.kind = kind_of(r->tag)};

	if (c.kind == PGP_SUBKEY && item->left->parts != NULL && !r->over)
		(void)key_fill(&c, r->body.data, r->body.len);
	c.body = r->body.data;
	c.len = r->body.len;
	return c;
}

static void
leave_packet(
    const struct pgp_reader *r, struct item *item, enum pgp_left_reason why)
{
	const struct pgp_component c = packet_component(r, item);

	left_note(item->left, why, &c, true);
}

/* The component under way, or a signature on it.  What stands on one that was
 * left out is counted only. */
static void
leave(const struct pgp_reader *r, struct item *item, enum pgp_left_reason why,
    bool whole)
{
	struct pgp_component c = {.kind = PGP_PRIMARY};

	if (item->current > 0) {
		c = item->at;
		c.body = r->out.data + item->body;
	}
	left_note(item->left, why,
	    item->current == 0 && item->skip_sigs ? NULL : &c, whole);
}

/* Keeps the packet under way; false: there is no room for it. */
static bool
collect(struct pgp_reader *r, struct item *item, size_t max)
{
	if (r->out.len + r->body.len + PACKET_HEADER_MAX > max) {
		if (r->tag == PGP_TAG_SIGNATURE)
			leave(r, item, PGP_LEFT_TOO_MANY, false);
		else
			leave_packet(r, item, PGP_LEFT_TOO_MANY);
		return false;
	}
	if (append(r, r->tag))
		return true;
	item->status = PGP_NOMEM;
	return false;
}

/* The component under way is over: without a claimed signature it takes no
 * room. */
static void
close_component(struct pgp_reader *r, struct item *item)
{
	if (item->current > 0 && !item->claimed) {
		leave(r, item, PGP_LEFT_NO_SELFSIG, true);
		r->out.len = item->current;
	}
	item->current = 0;
	item->claimed = false;
}

static size_t
cap_of(const struct pgp_reader *r, unsigned tag)
{
	switch (tag) {
	case PGP_TAG_SIGNATURE:
		return r->policy.signature_size;
	case PGP_TAG_USERID:
		return r->policy.userid_size;
	case PGP_TAG_ATTRIBUTE:
		return r->policy.attribute_size;
	case PGP_TAG_PUBLIC_KEY:
	case PGP_TAG_PUBLIC_SUBKEY:
		return r->policy.packet_size;
	}
	return 0; /* not kept */
}

/* One of our own: what stands on the key may stand anywhere. */
static void
collect_signature(struct pgp_reader *r, struct item *item, unsigned type)
{
	size_t max = r->collect_max;

	if (type == 0x20)
		max += max / COLLECT_EXTRA;
	else if (item->skip_sigs && type != 0x1f)
		return;
	if (collect(r, item, max))
		item->claimed = true;
}

/* By another key: at most half of what is collected, so that others keep
 * nothing of the key's own out. */
static void
collect_other(struct pgp_reader *r, struct item *item, unsigned type)
{
	if (revoker_may(type) && item->by_others < REVOCATIONS_MAX &&
	    (type == 0x20 || !item->skip_sigs)) {
		item->by_others++;
		collect(r, item, r->collect_max / 2);
	} else if (r->policy.certifications == 0 || item->current == 0 ||
		   !other_may_be(type))
		leave(r, item, PGP_LEFT_THIRD_PARTY, false);
	else
		collect(r, item, r->collect_max / 2);
}

static void
take_signature(struct pgp_reader *r, struct item *item)
{
	struct signature_parts parts;

	if (r->over)
		leave(r, item, PGP_LEFT_TOO_LARGE, false);
	else if (!signature_split(r->body.data, r->body.len, &parts))
		leave(r, item, PGP_LEFT_UNKNOWN, false);
	else if (signature_issuer(&parts, &item->primary) == ISSUER_OTHER)
		collect_other(r, item, parts.type);
	else
		collect_signature(r, item, parts.type);
}

static void
take_component(struct pgp_reader *r, struct item *item)
{
	size_t at;

	close_component(r, item);
	item->skip_sigs = true;
	at = r->out.len;
	if (r->tag == PGP_TAG_ATTRIBUTE && r->policy.attribute_size == 0)
		leave_packet(r, item, PGP_LEFT_ATTRIBUTE);
	else if (r->over)
		leave_packet(r, item, PGP_LEFT_TOO_LARGE);
	else if (collect(r, item, r->collect_max)) {
		item->skip_sigs = false;
		item->current = at;
		item->at = packet_component(r, item);
		item->body = r->out.len - r->body.len;
	}
}

static void
take_packet(struct pgp_reader *r, struct item *item)
{
	if (r->tag == PGP_TAG_SECRET_SUBKEY)
		item->status = PGP_SECRET;
	if (item->status != PGP_OK)
		return;
	switch (r->tag) {
	case PGP_TAG_SIGNATURE:
		take_signature(r, item);
		break;
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
	case PGP_TAG_PUBLIC_SUBKEY:
		take_component(r, item);
		break;
	case PGP_TAG_MARKER:
	case PGP_TAG_TRUST:
	case PGP_TAG_PADDING:
		break;
	default:
		left_note(item->left, PGP_LEFT_UNKNOWN, NULL, true);
	}
}

static void
take_primary(struct pgp_reader *r, struct item *item)
{
	if (r->over) {
		item->status = PGP_TOO_LARGE;
		return;
	}
	if (!append(r, PGP_TAG_PUBLIC_KEY)) {
		item->status = PGP_NOMEM;
		return;
	}
	item->status = key_fill(&item->primary, r->body.data, r->body.len);
	if (item->status == PGP_OK && !key_welcome(&item->primary, &r->policy))
		item->status = PGP_UNSUPPORTED;
}

static bool
begins_item(unsigned tag)
{
	return tag == PGP_TAG_PUBLIC_KEY || tag == PGP_TAG_SECRET_KEY;
}

/* Reads packets to the next item or the end of the block. */
static enum pgp_status
read_rest(struct pgp_reader *r, struct item *item)
{
	enum pgp_status status;

	for (;;) {
		status = reader_header(r);
		if (status == PGP_END ||
		    (status == PGP_OK && begins_item(r->tag))) {
			close_component(r, item);
			return item->status;
		}
		if (status != PGP_OK)
			return status;
		status = reader_body(
		    r, item->status == PGP_OK ? cap_of(r, r->tag) : 0);
		if (status != PGP_OK)
			return status;
		take_packet(r, item);
	}
}

static enum pgp_status
read_cert(struct pgp_reader *r, struct pgp_left_out *left)
{
	struct item item = {.left = left};
	enum pgp_status status;

	status = reader_body(r, cap_of(r, r->tag));
	if (status != PGP_OK)
		return status;
	take_primary(r, &item);
	status = read_rest(r, &item);
	/* However the block ended, a secret key in it is to be told. */
	return item.status == PGP_SECRET ? PGP_SECRET : status;
}

/* Skips the packet that a header was read of, and those behind it. */
static enum pgp_status
skip_rest(struct pgp_reader *r, enum pgp_status what)
{
	struct pgp_left_out ignored = {0};
	struct item item = {.status = what, .left = &ignored};
	enum pgp_status status;

	status = r->has_header ? reader_body(r, 0) : PGP_OK;
	if (status == PGP_OK)
		status = read_rest(r, &item);
	return item.status == PGP_SECRET ? PGP_SECRET : status;
}

/* A signature by itself: worth something when it revokes a key. */
static enum pgp_status
read_bare(struct pgp_reader *r, bool *bare)
{
	struct signature_parts parts;
	enum pgp_status status;

	status = reader_body(r, r->policy.signature_size);
	if (status != PGP_OK)
		return status;
	if (r->over || !signature_split(r->body.data, r->body.len, &parts) ||
	    parts.type != 0x20)
		return skip_rest(r, PGP_NOT_CERT);
	*bare = true;
	return append(r, PGP_TAG_SIGNATURE) ? PGP_OK : PGP_NOMEM;
}

static enum pgp_status
read_item(struct pgp_reader *r, struct pgp_left_out *left, bool *bare)
{
	switch (r->tag) {
	case PGP_TAG_PUBLIC_KEY:
		return read_cert(r, left);
	case PGP_TAG_SECRET_KEY:
	case PGP_TAG_SECRET_SUBKEY:
		return skip_rest(r, PGP_SECRET);
	case PGP_TAG_SIGNATURE:
		return read_bare(r, bare);
	}
	return skip_rest(r, PGP_NOT_CERT);
}

static bool
is_filler(unsigned tag)
{
	return tag == PGP_TAG_MARKER || tag == PGP_TAG_TRUST ||
	       tag == PGP_TAG_PADDING;
}

static enum pgp_status
next_item(struct pgp_reader *r, struct pgp_left_out *left, bool *bare)
{
	enum pgp_status status;

	for (;;) {
		status = reader_begin_block(r);
		if (status != PGP_OK)
			return status;
		status = reader_header(r);
		if (status == PGP_END)
			continue;
		if (status != PGP_OK)
			return status;
		if (!is_filler(r->tag))
			return read_item(r, left, bare);
		status = reader_body(r, 0);
		if (status != PGP_OK)
			return status;
	}
}

enum pgp_status
pgp_reader_next(struct pgp_reader *r, struct pgp_left_out *left,
    const unsigned char **packets, size_t *len, bool *bare)
{
	enum pgp_status status;

	*bare = false;
	r->out.len = 0;
	status = next_item(r, left, bare);
	if (status == PGP_SECRET)
		reader_wipe(r);
	if (status == PGP_NOMEM)
		reader_end_block(r, PGP_NOMEM);
	if (status != PGP_OK && status != PGP_UNSUPPORTED &&
	    status != PGP_TOO_LARGE)
		r->out.len = 0;
	*packets = r->out.data;
	*len = r->out.len;
	return status;
}
