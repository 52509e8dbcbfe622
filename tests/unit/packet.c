/*
 * Packet framing: every form of header, and what is cut short or bent.
 */
#include "tests/unit/pgp_octets.h"

struct case_read {
	const char *name, *hex;
	enum pgp_status status;
	unsigned tag;
	const char *body; /* in hexadecimal */
	size_t end;
};

static const struct case_read reads[] = {
    {"nothing", "", PGP_END, 0, "", 0},
    {"old, one octet of length", "b4 03 616263", PGP_OK, 13, "616263", 5},
    {"old, two octets", "b5 0003 616263", PGP_OK, 13, "616263", 6},
    {"old, four octets", "b6 00000003 616263 b4", PGP_OK, 13, "616263", 8},
    {"old, to the end", "b7 6162636465", PGP_OK, 13, "6162636465", 6},
    {"old, to the end, empty", "b7", PGP_OK, 13, "", 1},
    {"old, empty", "b4 00", PGP_OK, 13, "", 2},
    {"new, one octet", "cd 03 616263", PGP_OK, 13, "616263", 5},
    {"new, five octets", "cd ff00000003 616263", PGP_OK, 13, "616263", 9},
    {"new, highest tag", "ff 01 61", PGP_OK, 63, "61", 3},
    {"two parts", "cd e1 6162 01 63", PGP_OK, 13, "616263", 6},
    {"parts, the last empty", "cd e0 61 00", PGP_OK, 13, "61", 4},
    {"parts of one octet", "cd e0 61 e0 62 e0 63 01 64", PGP_OK, 13, "61626364",
	9},
    {"part, last length in five octets", "cd e0 61 ff00000001 62", PGP_OK, 13,
	"6162", 9},
    {"only a tag", "cd", PGP_TRUNCATED, 0, "", 0},
    {"old, half a length", "b5 00", PGP_TRUNCATED, 0, "", 0},
    {"new, half of two octets", "cd c0", PGP_TRUNCATED, 0, "", 0},
    {"new, half of five octets", "cd ff000000", PGP_TRUNCATED, 0, "", 0},
    {"body too short", "b4 03 6162", PGP_TRUNCATED, 0, "", 0},
    {"length of 4 GiB", "cd ffffffffff 61", PGP_TRUNCATED, 0, "", 0},
    {"old length of 4 GiB", "b6 ffffffff 61", PGP_TRUNCATED, 0, "", 0},
    {"part too short", "cd e2 616263", PGP_TRUNCATED, 0, "", 0},
    {"part of 1 GiB", "cd fe 61", PGP_TRUNCATED, 0, "", 0},
    {"part and nothing behind", "cd e0 61", PGP_TRUNCATED, 0, "", 0},
    {"part and half a length", "cd e0 61 c0", PGP_TRUNCATED, 0, "", 0},
    {"no packet", "41 42", PGP_MALFORMED, 0, "", 0},
    {"tag 0, old", "80 00", PGP_MALFORMED, 0, "", 0},
    {"tag 0, new", "c0 00", PGP_MALFORMED, 0, "", 0},
};
#define READS (sizeof(reads) / sizeof(*reads))

static void
read_one(void **state)
{
	const struct case_read *c = *state;
	struct pgp_blob joined = {NULL, 0};
	unsigned char in[64], body[64];
	struct pgp_packet packet;
	size_t pos = 0, n, len;

	len = octets_of_hex(c->hex, in, sizeof(in));
	n = octets_of_hex(c->body, body, sizeof(body));
	assert_int_equal(
	    pgp_packet_read(in, len, &pos, &joined, &packet), c->status);
	assert_int_equal(pos, c->end);
	if (c->status == PGP_OK) {
		assert_int_equal(packet.tag, c->tag);
		assert_int_equal(packet.start, 0);
		assert_int_equal(packet.end, c->end);
		assert_int_equal(packet.len, n);
		assert_memory_equal(packet.body, body, n);
	}
	pgp_blob_free(&joined, false);
}

/* Two packets in parts, the second shorter: one buffer serves both. */
static void
joined_is_used_again(void **state)
{
	static const unsigned char in[] = {
	    0xcd, 0xe1, 'a', 'b', 1, 'c', 0xcd, 0xe0, 'd', 0, 0xb4, 1, 'e'};
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet p;
	size_t pos = 0;

	(void)state;
	assert_int_equal(
	    pgp_packet_read(in, sizeof(in), &pos, &joined, &p), PGP_OK);
	assert_int_equal(p.len, 3);
	assert_int_equal(
	    pgp_packet_read(in, sizeof(in), &pos, &joined, &p), PGP_OK);
	assert_int_equal(p.len, 1);
	assert_memory_equal(p.body, "d", 1);
	assert_int_equal(
	    pgp_packet_read(in, sizeof(in), &pos, &joined, &p), PGP_OK);
	assert_int_equal(p.start, 10);
	assert_ptr_equal(p.body, in + 12);
	assert_int_equal(
	    pgp_packet_read(in, sizeof(in), &pos, &joined, &p), PGP_END);
	pgp_blob_free(&joined, true);
}

struct case_write {
	const char *name;
	unsigned tag;
	size_t len;
	const char *header;
};

static const struct case_write writes[] = {
    {"old 0", 13, 0, "b4 00"},
    {"old 255", 13, 255, "b4 ff"},
    {"old 256", 13, 256, "b5 0100"},
    {"old 65535", 13, 65535, "b5 ffff"},
    {"old 65536", 13, 65536, "b6 00010000"},
    {"old tag 15", 15, 1, "bc 01"},
    {"new tag 16", 16, 1, "d0 01"},
    {"new 191", 17, 191, "d1 bf"},
    {"new 192", 17, 192, "d1 c000"},
    {"new 8383", 17, 8383, "d1 dfff"},
    {"new 8384", 17, 8384, "d1 ff000020c0"},
};
#define WRITES (sizeof(writes) / sizeof(*writes))

/* The shortest header, and it reads back as it was. */
static void
write_one(void **state)
{
	const struct case_write *c = *state;
	struct pgp_blob out, joined = {NULL, 0};
	unsigned char *body = calloc(1, c->len + 1), header[8];
	struct pgp_packet packet;
	struct row row;
	size_t n, pos = 0;

	n = octets_of_hex(c->header, header, sizeof(header));
	row_open(&row);
	row_packet(&row, c->tag, body, c->len);
	out = row_close(&row);
	assert_int_equal(out.len, n + c->len);
	assert_memory_equal(out.data, header, n);
	assert_int_equal(
	    pgp_packet_read(out.data, out.len, &pos, &joined, &packet), PGP_OK);
	assert_int_equal(packet.tag, c->tag);
	assert_int_equal(packet.len, c->len);
	assert_null(joined.data);
	pgp_blob_free(&out, false);
	free(body);
}

static void
write_refuses(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	struct row row;
	struct pgp_blob out;

	(void)state;
	row_open(&row);
	assert_int_equal(pgp_packet_write(row.f, 0, NULL, 0), -1);
	assert_int_equal(pgp_packet_write(row.f, 64, NULL, 0), -1);
	out = row_close(&row);
	assert_int_equal(out.len, 0);
	pgp_blob_free(&out, false);
	assert_non_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(
	    pgp_packet_write(full, 13, (const unsigned char *)"a", 1), -1);
	fclose(full);
}

int
main(void)
{
	struct CMUnitTest tests[READS + WRITES + 2] = {
	    cmocka_unit_test(joined_is_used_again),
	    cmocka_unit_test(write_refuses)};
	size_t i, n = 2;

	for (i = 0; i < READS; i++)
		tests[n++] = (struct CMUnitTest){reads[i].name, read_one, NULL,
		    NULL, (void *)(uintptr_t)&reads[i]};
	for (i = 0; i < WRITES; i++)
		tests[n++] = (struct CMUnitTest){writes[i].name, write_one,
		    NULL, NULL, (void *)(uintptr_t)&writes[i]};
	return _cmocka_run_group_tests("packet", tests, n, NULL, NULL);
}
