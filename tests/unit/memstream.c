/* Streams into memory, and what they say when there is none left. */
#include "pgp/pgp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The same as the C library's, whatever is written, and when it is looked at.
 */
static void
test_same(void **state)
{
	static char block[20000];

	(void)state;
	memset(block, 'b', sizeof(block));
	for (unsigned n = 0; n < 300; n++) {
		char *text[2] = {NULL, NULL};
		size_t len[2] = {1, 1};
		FILE *f[2] = {pgp_memstream(&text[0], &len[0]),
		    open_memstream(&text[1], &len[1])};

		for (int i = 0; i < 2; i++) {
			assert_non_null(f[i]);
			for (unsigned k = 0; k < n; k++) {
				fprintf(f[i], "%u,", k);
				assert_int_equal(
				    fwrite(block, 1, n * k % 999, f[i]),
				    n * k % 999);
				putc('\0', f[i]);
				if (k % 50 == 7)
					assert_int_equal(fflush(f[i]), 0);
			}
			fwrite(block, 1, n * 60, f[i]);
		}
		assert_int_equal(ftell(f[0]), ftell(f[1]));
		assert_int_equal(fflush(f[0]), 0);
		assert_int_equal(fflush(f[1]), 0);
		assert_int_equal(len[0], len[1]);
		for (int i = 0; i < 2; i++) {
			fputs("end", f[i]);
			assert_int_equal(fclose(f[i]), 0);
		}
		assert_int_equal(len[0], len[1]);
		assert_memory_equal(text[0], text[1], len[0] + 1);
		free(text[0]);
		free(text[1]);
	}
}

#ifndef SANITIZED
static void
little_memory(void)
{
	const struct rlimit limit = {32 << 20, 32 << 20};

	if (setrlimit(RLIMIT_AS, &limit) == -1)
		_exit(9);
}

/* By which call it comes to an end. */
static int
fill(unsigned how)
{
	static char block[100000];
	char *text;
	size_t len, before;
	FILE *f = pgp_memstream(&text, &len);

	if (f == NULL)
		return 8;
	memset(block, 'b', sizeof(block));
	for (int i = 0; i < 1000; i++)
		switch (how) {
		case 0:
			fwrite(block, 1, sizeof(block), f);
			break;
		case 1:
			fprintf(f, "%99999s\n", "x");
			break;
		default:
			for (size_t k = 0; k < sizeof(block); k++)
				putc('x', f);
		}
	before = len;
	if (!ferror(f))
		return 1;
	/* nor does a little more pass, once it has lost something */
	free(malloc(1));
	clearerr(f);
	fputs("more", f);
	if (fflush(f) == 0)
		return 2;
	if (len != before || len > (32 << 20))
		return 3;
	if (fclose(f) == 0)
		return 4;
	free(text);
	return 0;
}

static void
test_no_memory(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 3; how++) {
		pid_t pid = fork();
		int status;

		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			little_memory();
			_exit(fill(how));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same),
#ifndef SANITIZED
	    cmocka_unit_test(test_no_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
