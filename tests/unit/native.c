/*
 * The core's side of the verifier, whose part this program plays: a claim says
 * what becomes of it, and of the child that reads it.
 */
#include "mailkeyd/native.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/verifier.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define ROLE   "NATIVE_TEST_ROLE"
#define SOCK   3
#define TRIALS 40
#define CLAIMS 3

/* ---- the verifier -------------------------------------------------------- */

/* A claim's last octet: 'g'ood, 'b'ad, 'u'ndecided, 'd'eath of the child, 's'
 * of the verifier, 'l' verdicts too long. */
static bool
be_judge(struct ipc_msg *msg, const char *record, size_t len)
{
	struct ipc_in in = {.data = (const unsigned char *)record, .len = len};
	uint32_t n = ipc_get_u32(&in);
	char *out = malloc(n + 2);
	size_t more = 0;

	msg->status = JAILER_OK;
	for (uint32_t i = 0; i < n && out != NULL; i++) {
		size_t claimlen;
		const unsigned char *claim = ipc_get_blob(&in, &claimlen);
		char said = claim == NULL ? 's' : (char)claim[claimlen - 1];

		out[i] = said == 'g'   ? PGP_GOOD
			 : said == 'b' ? PGP_BAD
				       : PGP_UNDECIDED;
		if (said == 'd')
			msg->status = JAILER_DIED;
		if (said == 's')
			return false;
		more += said == 'l';
	}
	return pwrite(msg->fd[1], out, n + more, 0) == (ssize_t)(n + more);
}

static int
be_verifier(const char *role)
{
	struct ipc_msg msg;

	if (ipc_recv(SOCK, &msg) != 1 || msg.type != VERIFIER_CONFIG)
		return 1;
	while (ipc_recv(SOCK, &msg) == 1) {
		char *record;
		size_t len;

		if (strcmp(role, "no child") == 0) {
			msg.status = JAILER_NO_CHILD;
		} else {
			if (ipc_slurp(msg.fd[0], 1 << 20, &record, &len) ==
				-1 ||
			    !be_judge(&msg, record, len))
				return 1;
			free(record);
		}
		ipc_msg_close(&msg);
		msg.type = VERIFIER_JUDGED;
		if (ipc_send(SOCK, &msg) == -1)
			return 1;
	}
	return 0;
}

/* ---- the core ------------------------------------------------------------ */

static struct {
	char dir[256];
	struct loop *loop;
	struct native *native;
	struct config config;
	struct loop_timer *late;
	size_t ndone, want;
	struct one {
		struct trial trial; /* first */
		struct pgp_component primary;
		struct pgp_signature sigs[CLAIMS];
		unsigned char packets[CLAIMS][4];
		bool done, later;
		size_t left;
	} all[TRIALS];
} t;

static void
on_done(void *ctx, struct trial *trial)
{
	struct one *one = (struct one *)trial;

	assert_ptr_equal(ctx, &t);
	assert_false(one->done);
	one->done = true;
	one->left = trial->nclaims;
	if (++t.ndone == t.want)
		loop_stop(t.loop);
}

static void
on_end(struct trial *trial, bool later, const char *why)
{
	assert_true(why[0] != '\0');
	((struct one *)trial)->later = later;
	on_done(&t, trial);
}

static void
on_late(void *ctx)
{
	(void)ctx;
	fail_msg("%zu of %zu are done", t.ndone, t.want);
}

/* One claim for each letter. */
static void
begin(size_t i, const char *letters)
{
	static unsigned char body[] = "primary";
	struct one *one = &t.all[i];

	memset(one, 0, sizeof(*one));
	one->primary.kind = PGP_PRIMARY;
	one->primary.body = body;
	one->primary.len = sizeof(body);
	one->trial.done = on_end;
	one->trial.nclaims = strlen(letters);
	one->trial.claims = calloc(CLAIMS, sizeof(*one->trial.claims));
	assert_non_null(one->trial.claims);
	for (size_t k = 0; k < one->trial.nclaims; k++) {
		memcpy(one->packets[k], "sig", 3);
		one->packets[k][3] = (unsigned char)letters[k];
		one->sigs[k].packet = one->packets[k];
		one->sigs[k].len = sizeof(one->packets[k]);
		one->trial.claims[k].primary = &one->primary;
		one->trial.claims[k].on = &one->primary;
		one->trial.claims[k].sig = &one->sigs[k];
	}
	native_start(t.native, &one->trial);
}

/* What became of it: the letters of what is verified, and how many are left. */
static void
expect(size_t i, const char *letters, const char *verified, size_t left)
{
	struct one *one = &t.all[i];
	char got[CLAIMS + 1] = "";
	size_t n = 0;

	assert_true(one->done);
	assert_false(one->later);
	for (size_t k = 0; k < strlen(letters); k++)
		if (one->sigs[k].verified)
			got[n++] = letters[k];
	if (strcmp(got, verified) != 0 || one->left != left)
		fail_msg("%zu, %s: verified %s, left %zu", i, letters, got,
		    one->left);
	for (size_t k = 0; k < left; k++)
		assert_false(one->trial.claims[k].sig->verified);
	free(one->trial.claims);
}

static void
expect_later(size_t i)
{
	assert_true(t.all[i].done);
	assert_true(t.all[i].later);
	assert_null(t.all[i].trial.claims);
}

static void
start(const char *role, size_t want)
{
	assert_int_equal(setenv(ROLE, role, 1), 0);
	t.native = native_new(t.loop, &t.config, on_done, &t);
	assert_non_null(t.native);
	t.ndone = 0;
	t.want = want;
	loop_timer_set(t.late, 60000);
}

static void
stop(void)
{
	loop_timer_set(t.late, -1);
	native_free(t.native);
	t.native = NULL;
}

static void
test_verdicts(void **state)
{
	struct native_counts counts;

	(void)state;
	start("", 4);
	begin(0, "g");
	begin(1, "gbu");
	begin(2, "bbb");
	begin(3, "ug");
	assert_false(native_is_idle(t.native));
	assert_int_equal(loop_run(t.loop), 0);
	assert_true(native_is_idle(t.native));
	expect(0, "g", "g", 0);
	expect(1, "gbu", "g", 1);
	expect(2, "bbb", "", 0);
	expect(3, "ug", "g", 1);
	native_count(t.native, &counts);
	assert_int_equal(counts.good, 3);
	assert_int_equal(counts.bad, 4);
	assert_int_equal(counts.undecided, 2);
	assert_int_equal(counts.killers, 0);
	stop();
}

/* A certificate that kills a child, or makes it write what cannot be, is left
 * to gpg as a whole; its neighbours do not suffer. */
static void
test_killers(void **state)
{
	static const char *const killers[] = {"gdg", "ggl"};
	struct native_counts counts;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		start("", TRIALS);
		for (size_t i = 0; i < TRIALS; i++)
			begin(i, i == 7 || i == 30 ? killers[k] : "gub");
		assert_int_equal(loop_run(t.loop), 0);
		for (size_t i = 0; i < TRIALS; i++)
			if (i == 7 || i == 30)
				expect(i, killers[k], "", 3);
			else
				expect(i, "gub", "g", 1);
		native_count(t.native, &counts);
		assert_int_equal(counts.killers, 2);
		assert_int_equal(counts.deaths, 0);
		stop();
	}
}

/* One that ends the verifier itself is tried once more, and then left to gpg;
 * what goes after it finds the next verifier. */
static void
test_verifier_ends(void **state)
{
	struct native_counts counts;

	(void)state;
	start("", 1);
	begin(0, "s");
	assert_int_equal(loop_run(t.loop), 0);
	expect(0, "s", "", 1);
	assert_true(t.all[0].trial.unasked);
	t.ndone = 0;
	begin(1, "g");
	assert_int_equal(loop_run(t.loop), 0);
	expect(1, "g", "g", 0);
	assert_false(t.all[1].trial.unasked);
	native_count(t.native, &counts);
	assert_int_equal(counts.deaths, 2);
	stop();
}

/* That is nobody's fault: all come later. */
static void
test_no_child(void **state)
{
	(void)state;
	start("no child", 2);
	begin(0, "gg");
	begin(1, "b");
	assert_int_equal(loop_run(t.loop), 0);
	expect_later(0);
	expect_later(1);
	stop();
}

/* No descriptor is left for what the verifier would be sent. */
static void
test_no_descriptors(void **state)
{
	struct rlimit few, many;

	(void)state;
	start("", 1);
	begin(0, "g");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &many), 0);
	few = many;
	few.rlim_cur = SOCK;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
	expect_later(0);
	t.ndone = 0;
	begin(1, "g");
	assert_int_equal(loop_run(t.loop), 0);
	expect(1, "g", "g", 0);
	stop();
}

/* At the end nobody is forgotten. */
static void
test_ends(void **state)
{
	(void)state;
	start("", 2);
	begin(0, "g");
	begin(1, "g");
	stop();
	expect(0, "g", "", 1);
	expect(1, "g", "", 1);
}

static int
setup(void **state)
{
	char self[300] = "", path[320];

	(void)state;
	snprintf(t.dir, sizeof(t.dir), "/tmp/mailkeyd-test.XXXXXX");
	if (mkdtemp(t.dir) == NULL ||
	    readlink("/proc/self/exe", self, sizeof(self) - 1) == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/mailkeyd-verifier", t.dir);
	if (symlink(self, path) == -1)
		return -1;
	t.config.libexec = t.dir;
	t.config.jail_mails = 1;
	t.config.helper_timeout = 45;
	t.loop = loop_new();
	if (t.loop == NULL)
		return -1;
	t.late = loop_timer_new(t.loop, on_late, NULL);
	return t.late == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_timer_free(t.late);
	loop_free(t.loop);
	nftw(t.dir, tempstore_unlink, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_killers),
	    cmocka_unit_test(test_verifier_ends),
	    cmocka_unit_test(test_no_child),
	    cmocka_unit_test(test_no_descriptors),
	    cmocka_unit_test(test_ends),
	};
	const char *role = getenv(ROLE);

	if (role != NULL)
		return be_verifier(role);
	return cmocka_run_group_tests_name("native", tests, setup, teardown);
}
