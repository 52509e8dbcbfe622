/*
 * Subpackets of a signature: every form of length, and what is bent.
 */
#include "pgp/internal.h"
#include "tests/unit/pgp_octets.h"

/* An area is written as the octets of a length, a type, and the number of
 * octets that stand behind it. */
static const struct case_area {
	const char *name, *hex;
	size_t behind;
	int result;
	unsigned type;
	bool critical;
	size_t len; /* of the body */
} areas[] = {
    {"nothing", "", 0, 0, 0, false, 0},
    {"no body", "01 10", 0, 1, 16, false, 0},
    {"one octet of length", "05 02", 4, 1, 2, false, 4},
    {"critical", "05 82", 4, 1, 2, true, 4},
    {"highest type", "02 ff", 1, 1, 127, true, 1},
    {"one octet, at most", "bf 20", 190, 1, 32, false, 190},
    {"two octets, at least", "c000 20", 191, 1, 32, false, 191},
    {"two octets, where packets begin parts", "e000 20", 8383, 1, 32, false,
	8383},
    {"two octets, at most", "feff 20", 16318, 1, 32, false, 16318},
    {"five octets", "ff00000002 20", 1, 1, 32, false, 1},
    {"five octets, more", "ff00003fc0 a0", 16319, 1, 32, true, 16319},
    {"something behind", "02 20", 9, 1, 32, false, 1},
    {"length 0", "00", 0, -1, 0, false, 0},
    {"length 0, and more behind", "00 05 02", 4, -1, 0, false, 0},
    {"length 0 in five octets", "ff00000000 20", 1, -1, 0, false, 0},
    {"half of two octets", "c0", 0, -1, 0, false, 0},
    {"half of five octets", "ff0000", 0, -1, 0, false, 0},
    {"one octet too few", "05 02", 3, -1, 0, false, 0},
    {"one octet too few, two octets", "c000 20", 190, -1, 0, false, 0},
    {"no type", "05", 0, -1, 0, false, 0},
    {"4 GiB", "ffffffffff 20", 8, -1, 0, false, 0},
};
#define AREAS (sizeof(areas) / sizeof(*areas))

static void
area_one(void **state)
{
	const struct case_area *c = *state;
	unsigned char head[16], *octets;
	size_t n = octets_of_hex(c->hex, head, sizeof(head));
	struct cursor area;
	struct subpacket sub;

	/* of its own size, so that one octet too far is seen */
	octets = calloc(n + c->behind + 1, 1);
	assert_non_null(octets);
	memcpy(octets + 1, head, n);
	area = (struct cursor){octets + 1, n + c->behind};
	assert_int_equal(subpacket_next(&area, &sub), c->result);
	if (c->result == 1) {
		assert_int_equal(sub.type, c->type);
		assert_int_equal(sub.critical, c->critical);
		assert_int_equal(sub.len, c->len);
		assert_ptr_equal(sub.body, octets + 1 + n);
		assert_int_equal(area.len, c->behind - c->len);
	} else {
		/* and so ever after */
		assert_int_equal(area.len, 0);
		assert_int_equal(subpacket_next(&area, &sub), 0);
	}
	free(octets);
}

int
main(void)
{
	struct CMUnitTest tests[AREAS];

	for (size_t i = 0; i < AREAS; i++)
		tests[i] = (struct CMUnitTest){areas[i].name, area_one, NULL,
		    NULL, (void *)(uintptr_t)&areas[i]};
	return _cmocka_run_group_tests("subpacket", tests, AREAS, NULL, NULL);
}
