/*
 * mailkeyd-verifier over its socket, with signatures of real certificates: what
 * it says of them, and what a child that dies takes along.
 */
#include "mailkeyd/verifier.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 60000 /* claims that take longer than a second */

static pid_t verifier;
static int sock = -1;
static uint64_t last_id;

/* ---- the program --------------------------------------------------------- */

static void
exec_verifier(int fd)
{
	const char *b = getenv("B");
	char path[512];

	snprintf(path, sizeof(path), "%s/mailkeyd-verifier",
	    b == NULL ? "build" : b);
	if (dup2(fd, 3) != -1)
		execl(path, path, (char *)NULL);
	_exit(127);
}

static void
start(uint32_t jobs)
{
	const struct jailer_config config = {.size = sizeof(config),
	    .children = 1,
	    .jobs = jobs,
	    .deadline = 60,
	    .cpu = 1,
	    .memory = 256u << 20};
	struct ipc_msg msg;
	int pair[2];

	assert_int_equal(ipc_pair(pair), 0);
	verifier = fork();
	assert_true(verifier != -1);
	if (verifier == 0)
		exec_verifier(pair[1]);
	close(pair[1]);
	sock = pair[0];
	ipc_msg_init(&msg, VERIFIER_CONFIG, 0);
	msg.fd[0] = ipc_memfd("config", &config, sizeof(config), true);
	assert_int_equal(ipc_send(sock, &msg), 0);
	ipc_msg_close(&msg);
}

static void
stop(void)
{
	int status;

	close(sock);
	assert_int_equal(waitpid(verifier, &status, 0), verifier);
	assert_int_equal(status, 0);
}

/* The record's descriptor is taken; of what is in the memfd at most `max`
 * octets come back.  The status. */
static uint32_t
ask(int record, char *verdict, size_t max, size_t *n, char why[IPC_TEXT])
{
	struct pollfd wait = {.fd = sock, .events = POLLIN};
	struct ipc_msg msg;
	char *data;
	int fd;

	ipc_msg_init(&msg, VERIFIER_JUDGE, ++last_id);
	msg.fd[0] = record;
	fd = msg.fd[1] = ipc_memfd("verdicts", NULL, 0, false);
	assert_true(record >= 0 && fd >= 0);
	assert_int_equal(ipc_send(sock, &msg), 0);
	assert_int_equal(poll(&wait, 1, 60000), 1);
	assert_int_equal(ipc_recv(sock, &msg), 1);
	assert_int_equal(msg.type, VERIFIER_JUDGED);
	assert_int_equal(msg.id, last_id);
	assert_int_equal(ipc_slurp(fd, max, &data, n), 0);
	memcpy(verdict, data, *n);
	free(data);
	snprintf(why, IPC_TEXT, "%s", msg.text);
	close(record);
	close(fd);
	return msg.status;
}

/* ---- certificates -------------------------------------------------------- */

static struct trial trial, other;

static void
read_cert(const char *path)
{
	struct pgp_left_out left = {0};
	struct pgp_armored block = {0};
	char text[65536];
	size_t len, pos = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(pgp_dearmor(text, len, &pos, &block), PGP_OK);
	assert_int_equal(
	    pgp_cert_parse(block.blob.data, block.blob.len, &pgp_policy_default,
		false, 2000000000, &left, &trial.cert),
	    PGP_OK);
	pgp_blob_free(&block.blob, false);
	trial.claims = pgp_cert_claims(
	    trial.cert, &pgp_policy_default, &left, &trial.nclaims);
	assert_non_null(trial.claims);
}

static void
drop_cert(void)
{
	free(trial.claims);
	pgp_cert_free(trial.cert);
	memset(&trial, 0, sizeof(trial));
}

/* Its claims, `times` over, and those of the other one, if any, between. */
static int
record(unsigned times)
{
	struct trial_list list = TAILQ_HEAD_INITIALIZER(list);
	struct trial *copies = calloc(times, sizeof(*copies));
	size_t nclaims = 0;
	int fd;

	assert_non_null(copies);
	for (unsigned i = 0; i < times; i++) {
		copies[i] = i % 2 == 1 && other.cert != NULL ? other : trial;
		nclaims += copies[i].nclaims;
		TAILQ_INSERT_TAIL(&list, &copies[i], next);
	}
	fd = trials_record(&list, nclaims);
	free(copies);
	return fd;
}

static int
other_record(uint32_t says, const void *claim, size_t len)
{
	struct ipc_out out = {0};
	int fd;

	ipc_put_u32(&out, says);
	ipc_put_blob(&out, claim, len);
	fd = ipc_memfd("claims", out.data, out.len, true);
	ipc_out_free(&out);
	return fd;
}

/* ---- tests --------------------------------------------------------------- */

static void
check_good(void)
{
	char verdict[64], why[IPC_TEXT];
	size_t n;

	read_cert("tests/keys/alice.asc");
	assert_int_equal(ask(record(1), verdict, 64, &n, why), JAILER_OK);
	assert_int_equal(n, trial.nclaims);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(verdict[i], PGP_GOOD);
	drop_cert();
}

static const char *const certs[] = {"alice", "bob", "carol-revoked",
    "dave-expired", "debian-ecdsa-photo", "debian-ed25519", "debian-rsa2048",
    "debian-rsa4096", "debian-utf8"};

/* Each signature as it is, and with an octet of what it covers changed. */
static void
test_verdicts(void **state)
{
	char verdict[64], why[IPC_TEXT], path[64];
	size_t n;

	(void)state;
	start(50);
	for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++) {
		snprintf(path, sizeof(path), "tests/keys/%s.asc", certs[i]);
		read_cert(path);
		assert_int_equal(
		    ask(record(1), verdict, 64, &n, why), JAILER_OK);
		assert_int_equal(n, trial.nclaims);
		for (size_t k = 0; k < n; k++)
			if (verdict[k] != PGP_GOOD)
				fail_msg(
				    "%s: claim %zu: %d", path, k, verdict[k]);
		for (size_t k = 0; k < n; k++) {
			struct pgp_signature *s = trial.claims[k].sig;

			s->packet[s->body + 12] ^= 1;
		}
		assert_int_equal(
		    ask(record(1), verdict, 64, &n, why), JAILER_OK);
		for (size_t k = 0; k < n; k++)
			if (verdict[k] == PGP_GOOD)
				fail_msg("%s: forged claim %zu", path, k);
		drop_cert();
	}
	stop();
}

/* What is no claim is nobody's word, and a record that ends too early the end
 * of a child only. */
static void
test_damaged(void **state)
{
	char verdict[64], why[IPC_TEXT];
	size_t n;

	(void)state;
	for (uint32_t jobs = 1; jobs <= 50; jobs += 49) {
		start(jobs);
		assert_int_equal(ask(other_record(1, "\x99\x00\x01", 3),
				     verdict, 64, &n, why),
		    JAILER_OK);
		assert_int_equal(n, 1);
		assert_int_equal(verdict[0], PGP_UNDECIDED);
		assert_int_equal(
		    ask(other_record(2, "", 0), verdict, 64, &n, why),
		    JAILER_DIED);
		assert_int_equal(n, 0);
		assert_int_equal(
		    ask(other_record(UINT32_MAX, "", 0), verdict, 64, &n, why),
		    JAILER_DIED);
		check_good();
		stop();
	}
}

/* A record that takes more processor time than there is for one; the next one
 * has all of it again.  One certificate alone would not be let take so much. */
static void
test_processor_time(void **state)
{
	static char verdict[VERIFIER_RECORD_MAX];
	char why[IPC_TEXT];
	size_t n;

	(void)state;
	start(50);
	read_cert("tests/keys/bob.asc");
	other = trial;
	read_cert("tests/keys/alice.asc");
	assert_int_equal(
	    ask(record(MANY), verdict, sizeof(verdict), &n, why), JAILER_DIED);
	assert_string_equal(why, "out of processor time");
	assert_int_equal(n, 0);
	drop_cert();
	trial = other;
	drop_cert();
	memset(&other, 0, sizeof(other));
	check_good();
	stop();
}

/* The one child that there is; 0: none. */
static pid_t
child(void)
{
	char path[64], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)verifier,
	    (int)verifier);
	f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	return (pid_t)strtol(line, NULL, 10);
}

static void
kill_child(void)
{
	pid_t pid = child();

	assert_true(pid > 0);
	kill(pid, SIGKILL);
	for (int i = 0; i < 1000 && child() == pid; i++)
		usleep(10000);
	assert_true(child() != pid);
}

/* Whoever ends a child, the next record gets another. */
static void
test_killed(void **state)
{
	(void)state;
	start(50);
	for (int i = 0; i < 3; i++) {
		check_good();
		kill_child();
	}
	check_good();
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_processor_time),
	    cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests_name("verifier", tests, NULL, NULL);
}
