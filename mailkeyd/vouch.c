/*
 * Which claims did gpg vouch for?  Its answer is matched by content.
 */
#include "mailkeyd/vouch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The proof that gpg read everything before it: an Ed25519 key of nobody with
 * a direct-key signature.  Its secret half was never stored.
 */
static const unsigned char sentinel_key_body[] = {0x04, 0x5e, 0x0b, 0xe1, 0x00,
    0x16, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01, 0x01,
    0x07, 0x40, 0xb4, 0xd3, 0x63, 0xe9, 0xb2, 0xcc, 0x5f, 0xb8, 0xc3, 0xe1,
    0xea, 0xba, 0xcc, 0x32, 0xde, 0x9a, 0x7b, 0x32, 0x3e, 0x2d, 0x27, 0x74,
    0xba, 0xa7, 0x1c, 0xa4, 0x22, 0xf4, 0xaa, 0x0e, 0xf0, 0xbf};
static const unsigned char sentinel_sig_body[] = {0x04, 0x1f, 0x16, 0x0a, 0x00,
    0x1d, 0x05, 0x02, 0x5e, 0x0b, 0xe1, 0x00, 0x16, 0x21, 0x04, 0xaf, 0xee,
    0x48, 0x4d, 0xbf, 0x43, 0x36, 0xa0, 0xa4, 0x20, 0x1c, 0x37, 0xec, 0xca,
    0x24, 0x12, 0xf4, 0xe8, 0xa4, 0x87, 0x00, 0x0a, 0x09, 0x10, 0xec, 0xca,
    0x24, 0x12, 0xf4, 0xe8, 0xa4, 0x87, 0x51, 0xa8, 0x00, 0xfc, 0x0a, 0xd6,
    0x11, 0xde, 0x28, 0xf8, 0x6a, 0xee, 0x89, 0xc1, 0x12, 0x4a, 0x13, 0x77,
    0x2b, 0x81, 0x21, 0x25, 0xf5, 0x79, 0xb5, 0xc0, 0x7e, 0xfc, 0x38, 0x23,
    0xee, 0xb0, 0xde, 0x5e, 0x50, 0xfd, 0x01, 0x00, 0xa5, 0xe9, 0xf0, 0x0b,
    0xb5, 0xdd, 0x46, 0x12, 0x1f, 0xc6, 0x32, 0xdc, 0xd3, 0x67, 0x9a, 0x04,
    0x6f, 0x21, 0x3e, 0x30, 0x04, 0x5b, 0x88, 0xba, 0xe1, 0x95, 0xc4, 0xeb,
    0xce, 0xe5, 0x0c, 0x00};
static const struct pgp_packet sentinel_key = {.tag = PGP_TAG_PUBLIC_KEY,
    .body = sentinel_key_body,
    .len = sizeof(sentinel_key_body)};
static const struct pgp_packet sentinel_sig = {.tag = PGP_TAG_SIGNATURE,
    .body = sentinel_sig_body,
    .len = sizeof(sentinel_sig_body)};

#define V3_HEAD	   17 /* up to and with the algorithms */
#define V4_HEAD	   6  /* up to and with the hashed area's length */
#define KEY_HEADER 6  /* version, creation, algorithm */

static bool
same(const struct pgp_packet *a, const struct pgp_packet *b)
{
	return a->tag == b->tag && a->len == b->len &&
	       (a->len == 0 || memcmp(a->body, b->body, a->len) == 0);
}

/* RFC 9580, 5.2.2 and 5.2.3: cut around what is not signed. */
static bool
split(const struct pgp_packet *p, struct vouch_sig *out)
{
	const unsigned char *b = p->body;
	size_t pos;

	if (p->len > V3_HEAD && b[0] == 3) {
		out->headlen = V3_HEAD;
		pos = V3_HEAD;
	} else if (p->len >= V4_HEAD && b[0] == 4) {
		out->headlen = V4_HEAD + ((size_t)b[4] << 8 | b[5]);
		if (p->len < out->headlen + 2)
			return false;
		pos = out->headlen + 2 +
		      ((size_t)b[out->headlen] << 8 | b[out->headlen + 1]);
	} else {
		return false;
	}
	if (p->len < pos + 2) /* the left 16 bits of the digest */
		return false;
	out->head = b;
	out->value = b + pos + 2;
	out->valuelen = p->len - pos - 2;
	return true;
}

/* RFC 9580, 5.2.1: which type may stand on which component. */
static bool
type_fits(unsigned tag, unsigned type)
{
	switch (type) {
	case 0x10:
	case 0x11:
	case 0x12:
	case 0x13:
	case 0x30:
		return tag == PGP_TAG_USERID || tag == PGP_TAG_ATTRIBUTE;
	case 0x18:
	case 0x28:
		return tag == PGP_TAG_PUBLIC_SUBKEY;
	case 0x1f:
	case 0x20:
		return tag == 0;
	}
	return false;
}

/* gpg 2.2 knows only v4 keys; one of v6 would end its reading of the stream. */
static bool
key_fits(const struct pgp_packet *key)
{
	return key->len > KEY_HEADER && key->len <= UINT16_MAX &&
	       key->body[0] == 4;
}

/* PGP_OK with a packet whose body lies in the octets read. */
static enum pgp_status
next(const unsigned char *in, size_t len, size_t *pos, struct pgp_packet *out)
{
	struct pgp_blob joined = {NULL, 0};
	enum pgp_status status = pgp_packet_read(in, len, pos, &joined, out);

	/* Nobody in his senses sends these packets in parts. */
	if (status == PGP_OK && joined.data != NULL)
		status = PGP_MALFORMED;
	pgp_blob_free(&joined, false);
	return status;
}

static unsigned
type_of(const struct vouch_claim *c)
{
	return c->packet.body[c->packet.body[0] == 3 ? 2 : 1];
}

bool
vouch_is_binding(const struct vouch_claim *c)
{
	return c->fit && type_of(c) == 0x18;
}

bool
vouch_split(struct vouch_claim *c, const unsigned char *in, size_t len)
{
	struct pgp_packet end;
	enum pgp_status status;
	size_t pos = 0;

	memset(c, 0, sizeof(*c));
	if (in == NULL || next(in, len, &pos, &c->primary) != PGP_OK ||
	    next(in, len, &pos, &c->packet) != PGP_OK)
		return false;
	if (c->packet.tag != PGP_TAG_SIGNATURE) {
		c->on = c->packet;
		if (next(in, len, &pos, &c->packet) != PGP_OK)
			return false;
	}
	if (c->primary.tag != PGP_TAG_PUBLIC_KEY ||
	    c->packet.tag != PGP_TAG_SIGNATURE)
		return false;
	status = next(in, len, &pos, &c->issuer);
	if (status == PGP_END) {
		c->issuer.tag = 0;
		return true;
	}
	return status == PGP_OK && c->issuer.tag == PGP_TAG_PUBLIC_KEY &&
	       next(in, len, &pos, &end) == PGP_END;
}

/* Whether gpg 2.2 can judge it. */
static bool
claim_read(struct vouch_claim *c, const unsigned char *in, size_t len)
{
	return vouch_split(c, in, len) && c->issuer.tag == 0 &&
	       key_fits(&c->primary) &&
	       (c->on.tag != PGP_TAG_PUBLIC_SUBKEY || key_fits(&c->on)) &&
	       !same(&c->primary, &sentinel_key) &&
	       split(&c->packet, &c->sig) && type_fits(c->on.tag, type_of(c));
}

int
vouch_read(struct ipc_in *in, struct vouch *v)
{
	uint32_t n = ipc_get_u32(in);

	v->claim = NULL;
	v->n = 0;
	/* each has at least its length */
	if (in->failed || n > VOUCH_CLAIMS_MAX || n > (in->len - in->pos) / 4) {
		errno = EBADMSG;
		return -1;
	}
	v->claim = calloc((size_t)n + 1, sizeof(*v->claim));
	if (v->claim == NULL)
		return -1;
	for (v->n = 0; v->n < n; v->n++) {
		struct vouch_claim *c = &v->claim[v->n];
		const unsigned char *data;
		size_t len;

		data = ipc_get_blob(in, &len);
		c->fit = claim_read(c, data, len);
	}
	if (!in->failed && in->pos == in->len)
		return 0;
	vouch_free(v);
	errno = EBADMSG;
	return -1;
}

void
vouch_free(struct vouch *v)
{
	free(v->claim);
	v->claim = NULL;
	v->n = 0;
}

static int
put(FILE *f, const struct pgp_packet *p)
{
	return pgp_packet_write(f, p->tag, p->body, p->len);
}

int
vouch_write(FILE *f, const struct vouch *v, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++) {
		const struct vouch_claim *c = &v->claim[i];

		if (!c->fit)
			continue;
		if (put(f, &c->primary) == -1 ||
		    (c->on.tag != 0 && put(f, &c->on) == -1) ||
		    put(f, &c->packet) == -1)
			return -1;
	}
	return put(f, &sentinel_key) == -1 || put(f, &sentinel_sig) == -1 ? -1
									  : 0;
}

static int
octets_order(
    const unsigned char *a, size_t alen, const unsigned char *b, size_t blen)
{
	if (alen != blen)
		return alen < blen ? -1 : 1;
	return alen == 0 ? 0 : memcmp(a, b, alen);
}

static int
packet_order(const struct pgp_packet *a, const struct pgp_packet *b)
{
	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	return octets_order(a->body, a->len, b->body, b->len);
}

/* By everything that a claim says, the cheap differences first. */
static int
claim_order(const void *left, const void *right)
{
	const struct vouch_claim *a = *(struct vouch_claim *const *)left,
				 *b = *(struct vouch_claim *const *)right;
	int r;

	r = octets_order(
	    a->sig.value, a->sig.valuelen, b->sig.value, b->sig.valuelen);
	if (r == 0)
		r = octets_order(
		    a->sig.head, a->sig.headlen, b->sig.head, b->sig.headlen);
	if (r == 0)
		r = packet_order(&a->on, &b->on);
	return r != 0 ? r : packet_order(&a->primary, &b->primary);
}

struct table {
	struct vouch_claim **row; /* in the order above */
	size_t n;
};

static bool
table_make(struct table *t, struct vouch *v, size_t first, size_t n)
{
	t->n = 0;
	t->row = calloc(n + 1, sizeof(struct vouch_claim *));
	if (t->row == NULL)
		return false;
	for (size_t i = first; i < first + n; i++)
		if (v->claim[i].fit)
			t->row[t->n++] = &v->claim[i];
	qsort(t->row, t->n, sizeof(struct vouch_claim *), claim_order);
	return true;
}

/* The first row that does not come before the key. */
static size_t
table_find(const struct table *t, const struct vouch_claim *key)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (claim_order(&t->row[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Claims that say the same are marked together, once. */
static void
mark(const struct table *t, const struct vouch_claim *back)
{
	size_t i = table_find(t, back);

	for (; i < t->n && !t->row[i]->returned &&
	       claim_order(&t->row[i], &back) == 0;
	     i++)
		t->row[i]->returned = true;
}

/* Takes in one packet of gpg's answer; `at` is where it stands. */
static void
follow(const struct table *t, struct vouch_claim *at,
    const struct pgp_packet *packet)
{
	switch (packet->tag) {
	case PGP_TAG_PUBLIC_KEY:
		at->primary = *packet;
		at->on.tag = 0;
		at->on.len = 0;
		break;
	case PGP_TAG_USERID:
	case PGP_TAG_ATTRIBUTE:
	case PGP_TAG_PUBLIC_SUBKEY:
		at->on = *packet;
		break;
	case PGP_TAG_SIGNATURE:
		if (split(packet, &at->sig))
			mark(t, at);
		break;
	}
}

/* Frames everything, and looks whether the sentinel stands at the end. */
static bool
is_whole(const unsigned char *output, size_t len)
{
	struct pgp_packet last[2] = {{.tag = 0}, {.tag = 0}}, packet;
	enum pgp_status status;
	size_t pos = 0;

	while ((status = next(output, len, &pos, &packet)) == PGP_OK) {
		last[0] = last[1];
		last[1] = packet;
	}
	return status == PGP_END && same(&last[0], &sentinel_key) &&
	       same(&last[1], &sentinel_sig);
}

enum vouch_end
vouch_match(struct vouch *v, size_t first, size_t n,
    const unsigned char *output, size_t len)
{
	struct vouch_claim at;
	struct pgp_packet packet;
	struct table t;
	size_t pos = 0;

	if (!is_whole(output, len))
		return VOUCH_SHORT;
	if (!table_make(&t, v, first, n))
		return VOUCH_NOMEM;
	memset(&at, 0, sizeof(at));
	while (next(output, len, &pos, &packet) == PGP_OK)
		follow(&t, &at, &packet);
	free(t.row);
	return VOUCH_WHOLE;
}
