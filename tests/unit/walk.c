/* The files behind the arguments of an import, and what each is taken for. */
#include "mailkeyd/import_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
	const char *name, *head;
	size_t len;
	enum source_kind kind;
} kinds[] = {
    {"old public key packet", "\x99\x01\x0d\x04", 4, SOURCE_CERTIFICATES},
    {"new public key packet", "\xc6\x33\x04", 3, SOURCE_CERTIFICATES},
    {"bare revocation", "\xc2\x5d", 2, SOURCE_CERTIFICATES},
    {"secret key", "\x95\x03", 2, SOURCE_CERTIFICATES},
    {"keybox", "\0\0\0\x20\1\1\0\2KBXf", 12, SOURCE_KEYBOX},
    {"trust database", "\1gpg\3\3\1\5\2\0\0\0", 12, SOURCE_OTHER},
    {"armor", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 37,
	SOURCE_CERTIFICATES},
    {"armor in text", "hello\n\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 44,
	SOURCE_CERTIFICATES},
    {"mbox", "From a@b Mon Jan  1 10:00:00 2001\n", 34, SOURCE_MBOX},
    {"mail", "received: from x\n", 17, SOURCE_MAIL},
    {"mail with From", "From: x@y.example\n", 18, SOURCE_MAIL},
    {"no mail", "Note: From x\n", 13, SOURCE_OTHER},
    {"metadata of SKS", "#Metadata-for: sks.example\n", 27, SOURCE_OTHER},
    {"UTF-8 text", "\xc3\xa4hnlich\n", 9, SOURCE_OTHER},
    {"gzip", "\x1f\x8b\x08", 3, SOURCE_OTHER},
    {"nothing", "", 0, SOURCE_OTHER},
};

static void
test_kinds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		print_message("# %s\n", kinds[i].name);
		assert_int_equal(
		    source_kind(kinds[i].head, kinds[i].len), kinds[i].kind);
	}
}

/* ---- directories --------------------------------------------------------- */

static char dir[64], before[4096];

static void
put(const char *name, const char *text)
{
	FILE *f;
	char *slash, path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (slash = path + strlen(dir) + 1;
	     (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/walk.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(dir, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* "name kind" of each, without the directory's own name. */
static const char *
listed(const struct walk_list *list)
{
	static const char letter[] = {'c', 'k', 'b', 'm'};
	size_t n = 0;

	before[0] = '\0';
	for (size_t i = 0; i < list->n; i++)
		n += (size_t)snprintf(before + n, sizeof(before) - n, "%s%s:%c",
		    i == 0 ? "" : " ", list->source[i].path + strlen(dir) + 1,
		    letter[list->source[i].kind]);
	return before;
}

static void
test_walk(void **state)
{
	struct walk_list list = {0};
	char *where, path[128];

	(void)state;
	put("b.pgp", "\x99\x01\x0d\x04");
	put("a/z.pgp", "\x99\x01\x0d\x04");
	put("a/y/x.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
	put("README", "hello\n");
	put("empty.pgp", "");
	put("old.mbox", "From a@b Mon Jan  1 10:00:00 2001\n");
	put("md/cur/2:2,S", "Subject: ADD\n");
	put("md/new/1", "anything, being here, is a mail\n");
	put("md/tmp/3", "Subject: ADD\n");
	put("md/.old/cur/4", "x\n");
	put("md/.old/new/5", "x\n");
	snprintf(path, sizeof(path), "%s/loop", dir);
	assert_int_equal(symlink(".", path), 0);
	snprintf(path, sizeof(path), "%s/link.pgp", dir);
	assert_int_equal(symlink("b.pgp", path), 0);
	assert_int_equal(walk_add(&list, dir, &where), 0);
	assert_string_equal(listed(&list),
	    "a/y/x.asc:c a/z.pgp:c b.pgp:c link.pgp:c md/.old/cur/4:m "
	    "md/.old/new/5:m md/cur/2:2,S:m md/new/1:m old.mbox:b");
	assert_int_equal(list.nothers, 1);
	assert_int_equal(list.source[2].size, 4);
	walk_free(&list);

	/* What is named is read, whatever it is. */
	snprintf(path, sizeof(path), "%s/README", dir);
	assert_int_equal(walk_add(&list, path, &where), 0);
	assert_string_equal(listed(&list), "README:c");
	snprintf(path, sizeof(path), "%s/missing", dir);
	assert_int_equal(walk_add(&list, path, &where), -1);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(where, path);
	free(where);
	walk_free(&list);
}

static void
chain_of(unsigned char out[3][SOURCE_CHAIN])
{
	struct walk_list list = {0};
	char *where;

	assert_int_equal(walk_add(&list, dir, &where), 0);
	assert_int_equal(list.n, 3);
	for (int i = 0; i < 3; i++)
		memcpy(out[i], list.source[i].chain, SOURCE_CHAIN);
	walk_free(&list);
}

/* A chain is the same as long as nothing before it changes. */
static void
test_chain(void **state)
{
	unsigned char one[3][SOURCE_CHAIN], two[3][SOURCE_CHAIN];

	(void)state;
	put("1", "\x99\x01\x0d\x04");
	put("2", "\x99\x01\x0d\x04");
	put("3", "\x99\x01\x0d\x04");
	chain_of(one);
	chain_of(two);
	assert_memory_equal(one, two, sizeof(one));
	put("2", "\x99\x01\x0d\x04\x05");
	chain_of(two);
	assert_memory_equal(one[0], two[0], SOURCE_CHAIN);
	assert_memory_not_equal(one[1], two[1], SOURCE_CHAIN);
	assert_memory_not_equal(one[2], two[2], SOURCE_CHAIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
