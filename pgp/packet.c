/*
 * Packet framing: octets to packets, packets to octets (RFC 9580, 4).
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

static int
old_length_read(const unsigned char *in, size_t len, struct packet_length *out)
{
	static const int octets[] = {1, 2, 4, 0};
	int n = octets[in[0] & 3];

	if (len < (size_t)n + 1)
		return 0;
	out->kind = n == 0 ? LENGTH_TO_THE_END : LENGTH_FIXED;
	out->len = n == 0   ? 0
		   : n == 1 ? in[1]
		   : n == 2 ? get16(in + 1)
			    : get32(in + 1);
	return n + 1;
}

int
packet_length_read(
    const unsigned char *in, size_t len, struct packet_length *out)
{
	if (len == 0)
		return 0;
	out->kind = LENGTH_FIXED;
	if (in[0] < 192) {
		out->len = in[0];
		return 1;
	}
	if (in[0] < 224) {
		if (len < 2)
			return 0;
		out->len = (uint32_t)(in[0] - 192) * 256 + in[1] + 192;
		return 2;
	}
	if (in[0] < 255) {
		out->kind = LENGTH_PART;
		out->len = (uint32_t)1 << (in[0] & 31);
		return 1;
	}
	if (len < 5)
		return 0;
	out->len = get32(in + 1);
	return 5;
}

int
packet_header_read(const unsigned char *in, size_t len, unsigned *tag,
    struct packet_length *out)
{
	int n;

	if (len == 0)
		return 0;
	if ((in[0] & 0x80) == 0)
		return -1;
	*tag = (in[0] & 0x40) != 0 ? in[0] & 63 : (in[0] >> 2) & 15;
	if (*tag == 0)
		return -1;
	if ((in[0] & 0x40) == 0)
		return old_length_read(in, len, out);
	n = packet_length_read(in + 1, len - 1, out);
	return n <= 0 ? n : n + 1;
}

/*
 * Walks over the parts from *pos, which stands behind the header.  to is
 * where their octets go, or NULL to count them first.
 */
static enum pgp_status
parts_walk(const unsigned char *in, size_t len, size_t *pos,
    struct packet_length part, unsigned char *to, size_t *total)
{
	int n;

	*total = 0;
	for (;;) {
		if (part.len > len - *pos)
			return PGP_TRUNCATED;
		if (to != NULL)
			memcpy(to + *total, in + *pos, part.len);
		*total += part.len;
		*pos += part.len;
		if (part.kind == LENGTH_FIXED)
			return PGP_OK;
		n = packet_length_read(in + *pos, len - *pos, &part);
		if (n <= 0)
			return PGP_TRUNCATED;
		*pos += (size_t)n;
	}
}

static enum pgp_status
parts_join(const unsigned char *in, size_t len, size_t *pos,
    struct packet_length part, struct pgp_blob *joined)
{
	size_t end = *pos, total;
	enum pgp_status status;
	unsigned char *data;

	status = parts_walk(in, len, &end, part, NULL, &total);
	if (status != PGP_OK)
		return status;
	data = realloc(joined->data, total + 1);
	if (data == NULL)
		return PGP_NOMEM;
	joined->data = data;
	joined->len = total;
	return parts_walk(in, len, pos, part, data, &total);
}

enum pgp_status
pgp_packet_read(const unsigned char *in, size_t len, size_t *pos,
    struct pgp_blob *joined, struct pgp_packet *out)
{
	struct packet_length length;
	enum pgp_status status;
	size_t at = *pos;
	unsigned tag;
	int n;

	if (at >= len)
		return PGP_END;
	n = packet_header_read(in + at, len - at, &tag, &length);
	if (n <= 0)
		return n < 0 ? PGP_MALFORMED : PGP_TRUNCATED;
	at += (size_t)n;
	if (length.kind == LENGTH_PART) {
		status = parts_join(in, len, &at, length, joined);
		if (status != PGP_OK)
			return status;
		out->body = joined->data;
		out->len = joined->len;
	} else {
		out->len = length.kind == LENGTH_FIXED ? length.len : len - at;
		if (out->len > len - at)
			return PGP_TRUNCATED;
		out->body = in + at;
		at += out->len;
	}
	out->tag = tag;
	out->start = *pos;
	out->end = at;
	*pos = at;
	return PGP_OK;
}

static size_t
new_header(unsigned char out[PACKET_HEADER_MAX], unsigned tag, size_t len)
{
	out[0] = (unsigned char)(0xc0 | tag);
	if (len < 192) {
		out[1] = (unsigned char)len;
		return 2;
	}
	if (len < 8384) {
		put16(out + 1, (uint16_t)(len - 192 + 0xc000));
		return 3;
	}
	out[1] = 255;
	put32(out + 2, (uint32_t)len);
	return 6;
}

size_t
packet_header(unsigned char out[PACKET_HEADER_MAX], unsigned tag, size_t len)
{
	if (tag > 15)
		return new_header(out, tag, len);
	out[0] = (unsigned char)(0x80 | tag << 2);
	if (len < 256) {
		out[1] = (unsigned char)len;
		return 2;
	}
	if (len < 65536) {
		out[0] |= 1;
		put16(out + 1, (uint16_t)len);
		return 3;
	}
	out[0] |= 2;
	put32(out + 1, (uint32_t)len);
	return 5;
}

int
pgp_packet_write(FILE *f, unsigned tag, const unsigned char *body, size_t len)
{
	unsigned char header[PACKET_HEADER_MAX];
	size_t n;

	if (tag == 0 || tag > 63 || len > UINT32_MAX)
		return -1;
	n = packet_header(header, tag, len);
	fwrite(header, 1, n, f);
	if (len > 0)
		fwrite(body, 1, len, f);
	return ferror(f) ? -1 : 0;
}
