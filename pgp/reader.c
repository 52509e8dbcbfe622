/*
 * A stream of certificates: octets from anywhere, armored or not, cut into
 * certificates without the packets that nobody keeps.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

#define INPUT_SIZE 65536
#define LINE_SIZE  16384

/*
 * Of a certificate so many times what is kept after cleaning is collected, in
 * any case 4 MiB, and revocations of the key an eighth more: a flood before
 * them must not keep them out.
 */
#define COLLECT_FACTOR 16
#define COLLECT_MIN    ((size_t)4 << 20)
#define COLLECT_EXTRA  8

enum mode {
	START,	/* between blocks: packets or text? */
	SEARCH, /* for the next armored block */
	BINARY,
	ARMOR
};

struct buffer {
	unsigned char *data;
	size_t len, size;
};

struct pgp_reader {
	pgp_read *read;
	void *ctx;
	struct pgp_policy policy;
	size_t collect_max;

	unsigned char in[INPUT_SIZE];
	size_t in_pos, in_len;
	uint64_t taken; /* octets read, in[] included */
	bool eof, failed;

	enum mode mode;
	bool armored;	     /* the block before this text was */
	bool text;	     /* there is text that is no block */
	bool begun;	     /* the BEGIN line of a block has been read */
	enum pgp_status why; /* how the block ended: PGP_END if well */
	struct armor_decoder decoder;
	char line[LINE_SIZE];
	unsigned char octets[LINE_SIZE / 4 * 3 + 3];
	size_t octets_pos, octets_len;

	bool has_header;    /* of the packet that begins the next item */
	uint64_t header_at; /* in BINARY: where it begins */
	unsigned tag;
	struct packet_length length;

	struct buffer body; /* of the packet under way */
	bool over;	    /* it is longer than was asked for */
	struct buffer out;
};

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

static void
buffer_wipe(struct buffer *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	b->len = 0;
}

/* Overwrites all that was read, but not what is still to be read. */
static void
wipe(struct pgp_reader *r)
{
	explicit_bzero(r->in, r->in_pos);
	explicit_bzero(r->in + r->in_len, INPUT_SIZE - r->in_len);
	explicit_bzero(r->line, sizeof(r->line));
	explicit_bzero(r->octets, r->octets_pos);
	explicit_bzero(
	    r->octets + r->octets_len, sizeof(r->octets) - r->octets_len);
	buffer_wipe(&r->body);
	buffer_wipe(&r->out);
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

bool
pgp_reader_failed(const struct pgp_reader *r)
{
	return r->failed;
}

uint64_t
pgp_reader_offset(const struct pgp_reader *r)
{
	return r->taken - (r->in_len - r->in_pos);
}

uint64_t
pgp_reader_resume(const struct pgp_reader *r)
{
	if (r->mode != BINARY)
		return 0;
	return r->has_header ? r->header_at : pgp_reader_offset(r);
}

static bool
buffer_add(struct buffer *b, const unsigned char *p, size_t n)
{
	size_t size = b->size < 4096 ? 4096 : b->size;
	unsigned char *data;

	while (size - b->len < n)
		size *= 2;
	if (size != b->size) {
		data = realloc(b->data, size);
		if (data == NULL)
			return false;
		b->data = data;
		b->size = size;
	}
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	return true;
}

/* ---- input --------------------------------------------------------------- */

/* False at the end. */
static bool
fill(struct pgp_reader *r)
{
	long n;

	if (r->in_pos < r->in_len)
		return true;
	if (r->eof)
		return false;
	n = r->read(r->ctx, r->in, INPUT_SIZE);
	r->in_pos = r->in_len = 0;
	if (n <= 0 || n > INPUT_SIZE) {
		r->eof = true;
		r->failed = n != 0;
		return false;
	}
	r->in_len = (size_t)n;
	r->taken += (uint64_t)n;
	return true;
}

/*
 * The next line; of one that is too long the beginning, and then *whole is
 * false.  False at the end.
 */
static bool
read_line(struct pgp_reader *r, struct armor_text *t, bool *whole)
{
	const unsigned char *p, *lf = NULL;
	size_t n, len = 0;

	*whole = true;
	while (lf == NULL && fill(r)) {
		p = r->in + r->in_pos;
		n = r->in_len - r->in_pos;
		lf = memchr(p, '\n', n);
		if (lf != NULL)
			n = (size_t)(lf - p) + 1;
		r->in_pos += n;
		if (n > LINE_SIZE - len) {
			*whole = false;
			n = LINE_SIZE - len;
		}
		memcpy(r->line + len, p, n);
		len += n;
	}
	t->s = r->line;
	t->len = len;
	return len > 0;
}

/* ---- blocks -------------------------------------------------------------- */

static void
begin_armor(struct pgp_reader *r)
{
	armor_decoder_init(&r->decoder);
	r->octets_pos = r->octets_len = 0;
	r->mode = ARMOR;
	r->armored = true;
	r->text = false;
	r->begun = false;
}

/* What follows a block that ended badly is lost up to the next BEGIN line. */
static void
end_block(struct pgp_reader *r, enum pgp_status why)
{
	r->why = why;
	r->octets_pos = r->octets_len = 0;
	r->mode = why == PGP_END ? START : SEARCH;
	if (why != PGP_END)
		r->armored = true; /* said already: text is no news */
}

/* Decodes lines until there are octets; false at the end of the block. */
static bool
fill_armor(struct pgp_reader *r)
{
	struct armor_text t;
	enum armor_line kind;
	bool whole;

	while (r->octets_pos == r->octets_len) {
		r->octets_pos = r->octets_len = 0;
		if (!read_line(r, &t, &whole)) {
			end_block(r, PGP_TRUNCATED);
			return false;
		}
		kind = armor_line_kind(&t);
		if (kind == ARMOR_END) {
			end_block(r, armor_decoder_done(&r->decoder)
					 ? PGP_END
					 : PGP_BAD_ARMOR);
			return false;
		}
		if (kind == ARMOR_BEGIN) {
			end_block(r, PGP_TRUNCATED);
			r->begun = true;
			return false;
		}
		if (!whole ||
		    !armor_decode(&r->decoder, t, r->octets, &r->octets_len)) {
			r->octets_len = 0;
			end_block(r, PGP_BAD_ARMOR);
			return false;
		}
	}
	return true;
}

/* The octets of the block at hand; 0 at its end. */
static size_t
window(struct pgp_reader *r, const unsigned char **p)
{
	if (r->mode == ARMOR && fill_armor(r)) {
		*p = r->octets + r->octets_pos;
		return r->octets_len - r->octets_pos;
	}
	if (r->mode != BINARY)
		return 0;
	if (!fill(r)) {
		end_block(r, r->failed ? PGP_TRUNCATED : PGP_END);
		return 0;
	}
	*p = r->in + r->in_pos;
	return r->in_len - r->in_pos;
}

static void
advance(struct pgp_reader *r, size_t n)
{
	if (r->mode == ARMOR)
		r->octets_pos += n;
	else
		r->in_pos += n;
}

/* Whether packets that are worth a look could begin with this octet; words in
 * UTF-8 begin with others. */
static bool
begins_packets(unsigned char c)
{
	static const unsigned char tags[] = {1, 2, 5, 6, 8, 9, 10, 18};
	struct packet_length length;
	unsigned char head[PACKET_HEADER_MAX] = {c};
	unsigned tag;

	return packet_header_read(head, sizeof(head), &tag, &length) > 0 &&
	       memchr(tags, (int)tag, sizeof(tags)) != NULL;
}

static bool
is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* PGP_OK: a block has begun. */
static enum pgp_status
search(struct pgp_reader *r)
{
	struct armor_text t;
	enum pgp_status status;
	bool whole;

	while (!r->begun && read_line(r, &t, &whole)) {
		if (armor_line_kind(&t) == ARMOR_BEGIN && whole)
			r->begun = true;
		else if (t.len > 0)
			r->text = true;
	}
	if (r->begun) {
		begin_armor(r);
		return PGP_OK;
	}
	status = r->text && !r->armored ? PGP_MALFORMED : PGP_END;
	r->text = false;
	return status;
}

static enum pgp_status
begin_block(struct pgp_reader *r)
{
	if (r->mode == BINARY || r->mode == ARMOR)
		return PGP_OK;
	while (r->mode == START && fill(r) && is_blank(r->in[r->in_pos]))
		r->in_pos++;
	if (r->mode == START && fill(r) && begins_packets(r->in[r->in_pos])) {
		r->mode = BINARY;
		r->armored = false;
		return PGP_OK;
	}
	r->mode = SEARCH;
	return search(r);
}

/* ---- packets ------------------------------------------------------------- */

static bool
next_octet(struct pgp_reader *r, unsigned char *c)
{
	const unsigned char *p;

	if (window(r, &p) == 0)
		return false;
	*c = *p;
	advance(r, 1);
	return true;
}

/* A packet that its block ends in. */
static enum pgp_status
cut_short(struct pgp_reader *r)
{
	return r->why == PGP_END ? PGP_TRUNCATED : r->why;
}

static enum pgp_status
malformed(struct pgp_reader *r)
{
	end_block(r, PGP_MALFORMED);
	return PGP_MALFORMED;
}

/* PGP_OK; PGP_END at the end of the block, when it ended well. */
static enum pgp_status
read_header(struct pgp_reader *r)
{
	unsigned char head[PACKET_HEADER_MAX];
	const unsigned char *p;
	size_t have = 0;
	int n = 0;

	if (r->has_header)
		return PGP_OK;
	if (window(r, &p) == 0)
		return r->why;
	if ((*p & 0x80) == 0 && r->mode == BINARY) {
		end_block(r, PGP_END);
		return PGP_END;
	}
	r->header_at = pgp_reader_offset(r);
	while (n == 0) {
		if (!next_octet(r, &head[have]))
			return cut_short(r);
		have++;
		n = packet_header_read(head, have, &r->tag, &r->length);
	}
	if (n < 0)
		return malformed(r);
	r->has_header = true;
	return PGP_OK;
}

static enum pgp_status
read_length(struct pgp_reader *r)
{
	unsigned char head[PACKET_HEADER_MAX];
	size_t have = 0;
	int n = 0;

	while (n == 0) {
		if (!next_octet(r, &head[have]))
			return cut_short(r);
		have++;
		n = packet_length_read(head, have, &r->length);
	}
	return PGP_OK;
}

/* Adds one part of a body, up to cap octets in all. */
static enum pgp_status
read_part(struct pgp_reader *r, size_t cap)
{
	const unsigned char *p;
	size_t n, left = r->length.len, keep;
	bool to_the_end = r->length.kind == LENGTH_TO_THE_END;

	while (left > 0 || to_the_end) {
		n = window(r, &p);
		if (n == 0)
			return to_the_end && r->why == PGP_END ? PGP_OK
							       : cut_short(r);
		if (n > left && !to_the_end)
			n = left;
		keep = cap - r->body.len;
		if (keep < n)
			r->over = true;
		if (!buffer_add(&r->body, p, keep < n ? keep : n))
			return PGP_NOMEM;
		advance(r, n);
		left -= to_the_end ? 0 : n;
	}
	return PGP_OK;
}

/* Reads the body that belongs to the header; over: longer than cap. */
static enum pgp_status
read_body(struct pgp_reader *r, size_t cap)
{
	enum pgp_status status;
	bool more;

	r->has_header = false;
	r->body.len = 0;
	r->over = false;
	do {
		more = r->length.kind == LENGTH_PART;
		status = read_part(r, cap);
		if (status == PGP_OK && more)
			status = read_length(r);
	} while (status == PGP_OK && more);
	return status;
}

/* ---- certificates -------------------------------------------------------- */

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
		status = read_header(r);
		if (status == PGP_END ||
		    (status == PGP_OK && begins_item(r->tag))) {
			close_component(r, item);
			return item->status;
		}
		if (status != PGP_OK)
			return status;
		status = read_body(
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

	status = read_body(r, cap_of(r, r->tag));
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

	status = r->has_header ? read_body(r, 0) : PGP_OK;
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

	status = read_body(r, r->policy.signature_size);
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
		status = begin_block(r);
		if (status != PGP_OK)
			return status;
		status = read_header(r);
		if (status == PGP_END)
			continue;
		if (status != PGP_OK)
			return status;
		if (!is_filler(r->tag))
			return read_item(r, left, bare);
		status = read_body(r, 0);
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
		wipe(r);
	if (status == PGP_NOMEM)
		end_block(r, PGP_NOMEM);
	if (status != PGP_OK && status != PGP_UNSUPPORTED &&
	    status != PGP_TOO_LARGE)
		r->out.len = 0;
	*packets = r->out.data;
	*len = r->out.len;
	return status;
}
