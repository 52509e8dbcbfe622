/*
 * Loading an empty store where there is no room for it, or where the room goes
 * on the way: the store is empty or whole, and the next load works.
 */
#include "db/bulk.h"
#include "tests/unit/mounts.h"
#include "tests/unit/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KEYS   300
#define MEMORY (64u << 10) /* so that it goes to the disk */

/* ---- a small disk -------------------------------------------------------- */

#define SMALL  "size=24m,mode=700"
#define LARGER "size=64m,mode=700"

static struct tempstore small;

static void
small_begin(const char *options)
{
	const char *error = "";

	memset(&small, 0, sizeof(small));
	snprintf(small.dir, sizeof(small.dir), "/tmp/mailkeyd-test.XXXXXX");
	assert_non_null(mkdtemp(small.dir));
	assert_int_equal(mount("none", small.dir, "tmpfs", 0, options), 0);
	if (store_try_open(&small, &error) != KS_OK)
		fail_msg("ks_open: %s", error);
}

static void
small_end(void)
{
	ks_close(small.ks);
	umount2(small.dir, MNT_DETACH);
	rmdir(small.dir);
}

static void
ballast_path(char path[300])
{
	snprintf(path, 300, "%s/ballast", small.dir);
}

/* Takes all the room there is, but that. */
static void
fill(off_t less)
{
	char path[300], block[4096] = {0};
	off_t size;
	int fd;

	ballast_path(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		continue;
	assert_int_equal(errno, ENOSPC);
	size = lseek(fd, 0, SEEK_END);
	assert_int_equal(ftruncate(fd, size > less ? size - less : 0), 0);
	close(fd);
}

static void
make_room(void)
{
	char path[300];

	ballast_path(path);
	if (unlink(path) == -1)
		assert_int_equal(errno, ENOENT);
}

/* ---- a load -------------------------------------------------------------- */

/* The certificates, and some of them once more. */
static enum ks_status
load(struct ks_bulk_counts *counts)
{
	const struct ks_origin origin = {.now = NOW, .quiet = true};
	struct ks_bulk *bulk;
	enum ks_status st = ks_bulk_begin(small.ks, MEMORY, &origin, &bulk);

	memset(counts, 0, sizeof(*counts));
	for (unsigned i = 0; st == KS_OK && i < KEYS + 5; i++) {
		struct pgp_cert *cert = store_cert(i % KEYS + 1,
		    i < KEYS ? "Ann <ann@example.org>" : "Bob <b@c.de>", NULL);

		st = ks_bulk_put(bulk, cert);
		pgp_cert_free(cert);
		if (st != KS_OK)
			ks_bulk_drop(bulk);
	}
	return st == KS_OK ? ks_bulk_finish(bulk, counts) : st;
}

/* What is there when there is room again: nothing, or all of it; true: all. */
static bool
whole_or_nothing(enum ks_status st, const struct ks_bulk_counts *counts)
{
	struct ks_info info;
	char path[320];

	if (st != KS_OK && st != KS_FULL)
		fail_msg("the load says: %s", ks_strerror(st));
	make_room();
	assert_int_equal(ks_mend(small.ks), KS_OK);
	snprintf(path, sizeof(path), "%s/db/bulk", small.dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(wrong_in(&small), 0);
	assert_int_equal(ks_info(small.ks, &info), KS_OK);
	if (info.certificates != 0) {
		assert_int_equal(info.certificates, KEYS);
		assert_int_equal(info.serial, KEYS + 5);
	}
	/* What is said to be stored is stored. */
	if (counts->added > 0)
		assert_int_equal(info.certificates, KEYS);
	if (st == KS_OK)
		assert_int_equal(counts->changed, 5);
	return info.certificates == KEYS;
}

/* It is used as if nothing had been. */
static void
goes_on(bool whole)
{
	struct pgp_cert *cert = store_cert(KEYS + 1, "Eve <e@f.gh>", NULL);
	struct ks_bulk_counts counts;

	if (!whole)
		assert_int_equal(load(&counts), KS_OK);
	assert_int_equal(tempstore_put(&small, cert, NOW), KS_OK);
	pgp_cert_free(cert);
	store_reopen(&small);
	assert_int_equal(wrong_in(&small), 0);
}

/* ---- the tests ----------------------------------------------------------- */

static int countdown;
static off_t left_over;

static void
lose_room(const char *point)
{
	if (countdown-- != 0)
		return;
	print_message("# %zu octets at \"%s\"\n", (size_t)left_over, point);
	fill(left_over);
}

/* Octets more, the next time: small steps where the new files are written,
 * large ones where it is about the log files of the store. */
static off_t
step_from(off_t room)
{
	return room < 640 << 10 ? 40 << 10 : 1 << 20;
}

/* From none to enough, so that each file meets its end: from the beginning on,
 * or when the load has looked how much there is. */
static void
little_room_from(bool beginning, unsigned *empty, unsigned *whole)
{
	enum ks_status st = KS_FULL;

	for (off_t room = 0; st != KS_OK; room += step_from(room)) {
		struct ks_bulk_counts counts;
		bool all;

		small_begin(SMALL);
		if (beginning)
			fill(room);
		left_over = room;
		countdown = beginning ? -1 : 0;
		st = load(&counts);
		all = whole_or_nothing(st, &counts);
		*empty += !all;
		*whole += all;
		goes_on(all);
		small_end();
	}
}

static void
little_room(void **state)
{
	unsigned empty = 0, whole = 0;

	(void)state;
	if (!mounts)
		skip();
	bulk_fault = lose_room;
	little_room_from(true, &empty, &whole);
	assert_true(empty > 5);
	assert_int_equal(whole, 1); /* it knows before whether there is room */
	little_room_from(false, &empty, &whole);
	bulk_fault = NULL;
	left_over = 0;
	print_message("# %u empty, %u whole\n", empty, whole);
	assert_true(whole > 2);
}

/* There was room when it began. */
static void
room_goes(void **state)
{
	unsigned failed = 0;

	(void)state;
	if (!mounts)
		skip();
	bulk_fault = lose_room;
	for (int n = 0, left = -1; left < 0; n++) {
		struct ks_bulk_counts counts;
		enum ks_status st;
		bool all;

		small_begin(SMALL);
		countdown = n;
		st = load(&counts);
		left = countdown;
		countdown = -1;
		failed += st != KS_OK;
		all = whole_or_nothing(st, &counts);
		print_message("# %s, %s\n", ks_strerror(st),
		    all ? "all is there" : "nothing is there");
		goes_on(all);
		small_end();
	}
	bulk_fault = NULL;
	assert_true(failed > 0);
}

/* Of 13 KB, so that not all of a load stays in memory. */
static struct pgp_cert *
large_cert(unsigned number)
{
	struct forged what = {
	    .seed = number, .created = 1500000000 + number, .bits = 16384};
	char text[1001];
	struct pgp_cert *cert;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	for (int i = 0; i < 4; i++)
		what.id[i] = (struct forged_id){.text = text + i};
	for (int i = 0; i < 3; i++)
		what.subkey[i] = (struct forged_subkey){
		    .pkalgo = 1, .bits = 16384, .created = what.created};
	cert = forge(&what);
	assert_non_null(cert);
	return cert;
}

/* Until one is refused, or so many: how many were taken. */
static unsigned
put_large(struct ks_bulk *bulk, unsigned most, enum ks_status *st)
{
	unsigned n = 0;

	do {
		struct pgp_cert *cert = large_cert(n + 1);

		*st = ks_bulk_put(bulk, cert);
		pgp_cert_free(cert);
	} while (*st == KS_OK && ++n < most);
	return n;
}

/* It stays free, and the load ends soon. */
static void
free_space(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct ks_bulk *bulk;
	enum ks_status st;

	(void)state;
	if (!mounts)
		skip();
	small_begin(SMALL);
	small.ks->options.free_space = 16u << 20;
	fill(1 << 20);
	assert_int_equal(
	    ks_bulk_begin(small.ks, MEMORY, &origin, &bulk), KS_FULL);
	make_room();
	assert_int_equal(
	    ks_bulk_begin(small.ks, MEMORY, &origin, &bulk), KS_OK);
	fill(1 << 20);
	assert_in_range(put_large(bulk, 10000, &st), 1, (20u << 20) / 13000);
	assert_int_equal(st, KS_FULL);
	ks_bulk_drop(bulk);
	make_room();
	goes_on(false);
	small_end();
}

/* What is loaded is more than the cache, and the disk does not take it. */
static void
larger_than_the_cache(void **state)
{
	const struct ks_origin origin = {.now = NOW};
	struct ks_bulk *bulk;
	struct ks_bulk_counts counts;
	enum ks_status st;

	(void)state;
	if (!mounts)
		skip();
	small_begin(SMALL);
	assert_int_equal(
	    ks_bulk_begin(small.ks, MEMORY, &origin, &bulk), KS_OK);
	assert_true(put_large(bulk, 10000, &st) > 1000);
	assert_int_equal(st, KS_FULL);
	ks_bulk_drop(bulk);
	goes_on(false);
	small_end();
	/* At the end, too. */
	small_begin(LARGER);
	assert_int_equal(
	    ks_bulk_begin(small.ks, MEMORY, &origin, &bulk), KS_OK);
	assert_int_equal(put_large(bulk, 6430, &st), 6430);
	bulk_fault = lose_room;
	countdown = 0;
	assert_int_equal(ks_bulk_finish(bulk, &counts), KS_FULL);
	bulk_fault = NULL;
	make_room();
	goes_on(false);
	small_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(little_room),
	    cmocka_unit_test(room_goes),
	    cmocka_unit_test(free_space),
	    cmocka_unit_test(larger_than_the_cache),
	};

	return cmocka_run_group_tests(tests, mounts_setup, NULL);
}
