/*
 * The packets of a stream of octets, armored or not, with text between them.
 */
#include "pgp/reader_input.h"

#include <stdlib.h>
#include <string.h>

void
buffer_wipe(struct buffer *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	b->len = 0;
}

void
reader_wipe(struct pgp_reader *r)
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

bool
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
void
reader_end_block(struct pgp_reader *r, enum pgp_status why)
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
			reader_end_block(r, PGP_TRUNCATED);
			return false;
		}
		kind = armor_line_kind(&t);
		if (kind == ARMOR_END) {
			reader_end_block(r, armor_decoder_done(&r->decoder)
						? PGP_END
						: PGP_BAD_ARMOR);
			return false;
		}
		if (kind == ARMOR_BEGIN) {
			reader_end_block(r, PGP_TRUNCATED);
			r->begun = true;
			return false;
		}
		if (!whole ||
		    !armor_decode(&r->decoder, t, r->octets, &r->octets_len)) {
			r->octets_len = 0;
			reader_end_block(r, PGP_BAD_ARMOR);
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
		reader_end_block(r, r->failed ? PGP_TRUNCATED : PGP_END);
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

enum pgp_status
reader_begin_block(struct pgp_reader *r)
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
	reader_end_block(r, PGP_MALFORMED);
	return PGP_MALFORMED;
}

enum pgp_status
reader_header(struct pgp_reader *r)
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
		reader_end_block(r, PGP_END);
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

enum pgp_status
reader_body(struct pgp_reader *r, size_t cap)
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
