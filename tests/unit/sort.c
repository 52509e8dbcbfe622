/* Sorting outside of memory, against qsort(3). */
#include "db/sort.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS 20000

struct pair {
	unsigned char key[12], value[80];
	size_t klen, vlen;
};

static unsigned
next_random(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16 & 0x7fff;
}

static int
by_octets(const unsigned char *a, size_t an, const unsigned char *b, size_t bn)
{
	int d = memcmp(a, b, an < bn ? an : bn);

	return d != 0 ? d : (an > bn) - (an < bn);
}

static int
pair_cmp(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int d = by_octets(x->key, x->klen, y->key, y->klen);

	return d != 0 ? d : by_octets(x->value, x->vlen, y->value, y->vlen);
}

/* Few distinct octets, so that keys are alike, prefixes of each other, and the
 * same. */
static void
fill(unsigned char *p, size_t n, unsigned *seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(next_random(seed) % 3 * 0x7f);
}

static void
check(size_t n, size_t memory)
{
	struct pair *pairs = calloc(n + 1, sizeof(*pairs));
	struct sorter *s = sorter_new("/tmp", memory);
	struct sort_record r;
	unsigned seed = 7;

	assert_non_null(pairs);
	assert_non_null(s);
	for (size_t i = 0; i < n; i++) {
		struct pair *p = &pairs[i];

		p->klen = next_random(&seed) % sizeof(p->key) + 1;
		p->vlen = next_random(&seed) % sizeof(p->value);
		fill(p->key, p->klen, &seed);
		fill(p->value, p->vlen, &seed);
		assert_int_equal(
		    sorter_add(s, p->key, p->klen, p->value, p->vlen), 0);
	}
	qsort(pairs, n, sizeof(*pairs), pair_cmp);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sorter_next(s, &r), 1);
		assert_int_equal(r.klen, pairs[i].klen);
		assert_int_equal(r.vlen, pairs[i].vlen);
		assert_memory_equal(r.key, pairs[i].key, r.klen);
		assert_true(r.vlen == 0 ||
			    memcmp(r.value, pairs[i].value, r.vlen) == 0);
	}
	assert_int_equal(sorter_next(s, &r), 0);
	assert_int_equal(sorter_next(s, &r), 0);
	sorter_free(s);
	free(pairs);
}

static void
test_sort(void **state)
{
	(void)state;
	check(0, 4096);
	check(1, 4096);
	check(RECORDS, 8 << 20); /* in memory */
	check(RECORDS, 100000);	 /* some runs */
	check(RECORDS, 4096);	 /* hundreds */
}

/* A record that is as large as all of the memory, and one that is larger. */
static void
test_large(void **state)
{
	enum { MEMORY = 1 << 20 };
	unsigned char *value = calloc(1, MEMORY);
	struct sorter *s = sorter_new("/tmp", MEMORY);
	struct sort_record r;

	(void)state;
	assert_non_null(value);
	assert_int_equal(sorter_add(s, "b", 1, value, MEMORY - 6 - 1 - 16), 0);
	assert_int_equal(sorter_add(s, "a", 1, "x", 1), 0);
	assert_int_equal(sorter_add(s, "c", 1, value, MEMORY - 6 - 16), -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(sorter_next(s, &r), 1);
	assert_int_equal(r.key[0], 'a');
	assert_int_equal(sorter_next(s, &r), 1);
	assert_int_equal(r.vlen, MEMORY - 6 - 1 - 16);
	assert_int_equal(sorter_next(s, &r), 0);
	sorter_free(s);
	s = sorter_new("/nonexistent", 4096);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    sorter_add(s, "k", 1, value, 1500), i < 2 ? 0 : -1);
	sorter_free(s);
	sorter_free(NULL);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sort),
	    cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
