/*
 * mailkeyd-checker over its socket, with real gpg: which signatures does it
 * vouch for?
 */
#include "mailkeyd/checker.h"
#include "mailkeyd/ipc.h"
#include "pgp/pgp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS	   "tests/keys/checker/"
#define DEADLINE   60000
#define CLAIMS_MAX 256
#define FORGERIES  4	 /* of each claim */
#define USER	   64322 /* without any other process */

static char dir[256], home[300];
static pid_t checker;
static int sock = -1;
static uid_t user;  /* that it runs as; 0: as this program */
static bool mounts; /* this program may mount, for itself */

/* ---- the program -------------------------------------------------------- */

static void
exec_checker(int fd)
{
	const char *b = getenv("B");
	char path[512];

	snprintf(
	    path, sizeof(path), "%s/mailkeyd-checker", b == NULL ? "build" : b);
	if (fd == 3)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, 3);
	/* must not matter */
	setenv("GNUPGHOME", "/nonexistent", 1);
	setenv("GPG_TTY", "/nonexistent", 1);
	if (user != 0 && setuid(user) == -1)
		_exit(126);
	execl(path, path, (char *)NULL);
	_exit(127);
}

static void
start(void)
{
	int pair[2];

	assert_int_equal(ipc_pair(pair), 0);
	checker = fork();
	assert_true(checker != -1);
	if (checker == 0)
		exec_checker(pair[1]);
	close(pair[1]);
	sock = pair[0];
}

/* Closes the socket; the program must then end by itself. */
static int
stop(void)
{
	int status;

	close(sock);
	sock = -1;
	if (waitpid(checker, &status, 0) != checker)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
configure(const char *where, const char *gpg, uint64_t deadline)
{
	struct ipc_msg m;

	ipc_msg_init(&m, CHECKER_CONFIG, 0);
	snprintf(m.text, sizeof(m.text), "%s", where);
	m.a = deadline;
	if (gpg != NULL)
		m.fd[0] = ipc_memfd("gpg", gpg, strlen(gpg), true);
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
}

/* Writes the name of a file in the test's directory. */
static void
script(char path[512], const char *name, const char *text)
{
	FILE *f;

	snprintf(path, 512, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

/* ---- claims ------------------------------------------------------------- */

struct claim {
	unsigned char *data;
	size_t len;
};
static struct claim claim[CLAIMS_MAX];
static size_t nclaims;
static unsigned char verdict[CLAIMS_MAX];
static uint64_t hurry; /* a deadline of its own for the next record, ms */

static void
claims_clear(void)
{
	for (size_t i = 0; i < nclaims; i++)
		free(claim[i].data);
	nclaims = 0;
}

static struct claim *
claim_add(const void *data, size_t len)
{
	struct claim *c = &claim[nclaims];

	assert_true(nclaims < CLAIMS_MAX);
	c->data = malloc(len + 1);
	assert_non_null(c->data);
	if (len > 0)
		memcpy(c->data, data, len);
	c->len = len;
	nclaims++;
	return c;
}

static void
load(const char *name, struct pgp_blob *out)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), KEYS "%s.pgp", name);
	fd = open(path, O_RDONLY);
	if (fd == -1)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(
	    ipc_slurp(fd, 1 << 20, (char **)&out->data, &out->len), 0);
	close(fd);
}

static void
claim_load(const char *name)
{
	struct pgp_blob b;

	load(name, &b);
	claim_add(b.data, b.len);
	pgp_blob_free(&b, false);
}

/* Sends a record and gives back the status; *text may be NULL. */
static uint32_t
send_record(const void *record, size_t len, size_t expected, char *text)
{
	static uint64_t id;
	struct ipc_msg m;
	char *data;
	size_t n;
	uint32_t status;

	ipc_msg_init(&m, CHECKER_JUDGE, ++id);
	m.a = hurry;
	hurry = 0;
	m.fd[0] = ipc_memfd("record", record, len, true);
	assert_true(m.fd[0] != -1);
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
	assert_int_equal(ipc_recv(sock, &m), 1);
	assert_int_equal(m.type, CHECKER_JUDGED);
	assert_true(m.id == id);
	status = m.status;
	if (text != NULL)
		snprintf(text, IPC_TEXT, "%s", m.text);
	if (status == CHECKER_OK) {
		assert_int_equal(ipc_slurp(m.fd[0], CLAIMS_MAX, &data, &n), 0);
		assert_int_equal(n, expected);
		memcpy(verdict, data, n);
		free(data);
	} else {
		assert_int_equal(m.fd[0], -1);
	}
	ipc_msg_close(&m);
	return status;
}

static uint32_t
judge(char *text)
{
	struct ipc_out out = {NULL, 0, 0, false};
	uint32_t status;

	ipc_put_u32(&out, (uint32_t)nclaims);
	for (size_t i = 0; i < nclaims; i++)
		ipc_put_blob(&out, claim[i].data, claim[i].len);
	assert_false(out.failed);
	status = send_record(out.data, out.len, nclaims, text);
	ipc_out_free(&out);
	return status;
}

/* ---- cases made one by one ---------------------------------------------- */

static const struct made {
	const char *name;
	int good;
} made[] = {
    {"uid-10", 1},
    {"uid-11", 1},
    {"uid-12", 1},
    {"uid-13", 1},
    {"uid-30", 1},
    {"uid-v3", 1},
    {"uid-v3-hashed-as-v4", 0},
    {"uid-sha1", 1},
    {"uid-ripemd160", 1},
    {"uid-md5", 0},
    {"uid-sha512", 1},
    {"uid-expired", 1},
    {"uid-key-expired", 1},
    {"uid-future", 1},
    {"key-from-future", 1},
    {"uid-local", 0},
    {"uid-critical-unknown", 0},
    {"uid-by-another", 0},
    {"uid-by-another-in-our-name", 0},
    {"attribute", 1},
    {"attribute-revoked", 1},
    {"sub-v3", 1},
    {"sub-no-flags", 1},
    {"sub-revoked-v3", 1},
    {"sub-by-another-in-our-name", 0},
    {"sub-revoked-by-another-in-our-name", 0},
    {"direct-v3", 1},
    {"direct-by-another-in-our-name", 0},
    {"revoked-v3", 1},
    {"revoked-by-another", 0},
    {"revoked-by-another-in-our-name", 0},
    {"unknown-algorithm", 0},
    /* types where they do not belong */
    {"shape-direct-on-uid", 0},
    {"shape-revoked-on-sub", 0},
    {"shape-uid-on-primary", 0},
    {"shape-back-on-primary", 0},
    {"shape-data-on-uid", 0},
    /* back-signatures of signing subkeys */
    {"back-hashed", 1},
    {"back-unhashed", 1},
    {"back-v3", 1},
    {"back-sha1", 1},
    {"back-expired", 1},
    {"back-newer-good", 1},
    {"back-not-needed", 1},
    {"back-dsa", 1},
    {"back-ed25519", 1},
    {"back-p384", 1},
    {"back-p521", 1},
    {"back-k256", 1},
    {"back-bp384", 1},
    {"back-bp512", 1},
    {"back-missing", 0},
    {"back-missing-all-flags", 0},
    {"back-flipped", 0},
    {"back-md5", 0},
    {"back-of-another-primary", 0},
    {"back-by-the-primary", 0},
    {"back-newer-bad", 0},
    {"back-critical-unknown", 0},
    {"back-older-than-key", 0},
    {"back-wrong-type", 0},
    {"back-truncated", 0},
};
#define NMADE (sizeof(made) / sizeof(made[0]))

/* gpg gives up the whole stream at each of these. */
static const char *const broken[] = {
    "broken-mpi", "broken-v6-subkey", "broken-primary"};
#define NBROKEN (sizeof(broken) / sizeof(broken[0]))

static void
expect_made(size_t at, const struct made *m)
{
	if (verdict[at] != m->good)
		fail_msg("%s: %d, not %d", m->name, verdict[at], m->good);
}

static void
test_all_at_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < NMADE; i++)
		claim_load(made[i].name);
	assert_int_equal(judge(NULL), CHECKER_OK);
	for (size_t i = 0; i < NMADE; i++)
		expect_made(i, &made[i]);
}

static void
test_one_by_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < NMADE; i++) {
		claim_load(made[i].name);
		assert_int_equal(judge(NULL), CHECKER_OK);
		expect_made(0, &made[i]);
		claims_clear();
	}
}

/* More than a pipe holds stands behind what ends gpg's reading. */
static void
test_broken_before_much(void **state)
{
	enum { MUCH = 200 };

	(void)state;
	claim_load(broken[0]);
	for (size_t i = 0; i < MUCH; i++)
		claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], 0);
	for (size_t i = 1; i <= MUCH; i++)
		assert_int_equal(verdict[i], 1);
}

static void
test_broken_among_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < NMADE; i++) {
		claim_load(made[i].name);
		if (i % 20 == 7)
			claim_load(broken[i / 20 % NBROKEN]);
	}
	assert_int_equal(judge(NULL), CHECKER_OK);
	for (size_t i = 0, at = 0; i < NMADE; i++) {
		expect_made(at++, &made[i]);
		if (i % 20 == 7)
			assert_int_equal(verdict[at++], 0);
	}
}

static void
test_broken_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < NBROKEN; i++) {
		claim_load(broken[i]);
		assert_int_equal(judge(NULL), CHECKER_OK);
		assert_int_equal(verdict[0], 0);
		claims_clear();
	}
}

/* The same claim twice, and one that differs in what is not signed. */
static void
test_repeated(void **state)
{
	(void)state;
	claim_load("uid-13");
	claim_load("uid-md5");
	claim_load("uid-13");
	claim_load("back-unhashed");
	claim_load("back-missing");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_memory_equal(verdict, "\1\0\1\1\0", 5);
}

/* ---- certificates made by gpg, and forgeries of them --------------------- */

struct cert {
	struct pgp_blob blob;
	struct pgp_packet packet[32];
	size_t n;
};

static void
cert_load(struct cert *c, const char *name)
{
	struct pgp_blob joined = {NULL, 0};
	size_t pos = 0;

	load(name, &c->blob);
	c->n = 0;
	while (pgp_packet_read(c->blob.data, c->blob.len, &pos, &joined,
		   &c->packet[c->n]) == PGP_OK) {
		c->n++;
		assert_true(c->n < sizeof(c->packet) / sizeof(c->packet[0]));
	}
	assert_int_equal(pos, c->blob.len);
	assert_null(joined.data);
}

static void
small(const struct pgp_packet *primary, const struct pgp_packet *on,
    const struct pgp_packet *sig, size_t flip)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	pgp_packet_write(f, primary->tag, primary->body, primary->len);
	if (on != NULL)
		pgp_packet_write(f, on->tag, on->body, on->len);
	pgp_packet_write(f, sig->tag, sig->body, sig->len);
	assert_int_equal(fclose(f), 0);
	claim_add(text, len);
	if (flip > 0)
		claim[nclaims - 1].data[len - sig->len - 1 + flip] ^= 1;
	free(text);
}

/* Another component of the same kind; the first when there is no other. */
static const struct pgp_packet *
other(const struct cert *c, const struct pgp_packet *on)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->packet[i].tag == on->tag && &c->packet[i] != on)
			return &c->packet[i];
	fail_msg("no other component");
	return NULL;
}

#define HASHED 10 /* an octet of the hashed area's first subpackets */

/* The claim itself, and then what must not be vouched for. */
static void
add_with_forgeries(const struct cert *c, const struct cert *foreign,
    const struct pgp_packet *on, const struct pgp_packet *sig)
{
	const struct pgp_packet *primary = &c->packet[0];

	small(primary, on, sig, 0);
	small(primary, on, sig, sig->len - 2);
	small(primary, on, sig, HASHED);
	small(&foreign->packet[0], on, sig, 0);
	if (on != NULL)
		small(primary, other(c, on), sig, 0);
	else
		small(primary, NULL, sig, sig->len - 9);
}

static const char *const by_gpg[] = {
    "rsa", "dsa", "ed25519", "p256", "brainpool"};
#define NBY_GPG (sizeof(by_gpg) / sizeof(by_gpg[0]))

/* How often each type stands in each of them. */
static const struct {
	unsigned type, n;
} types[] = {{0x13, 3}, {0x18, 3}, {0x1f, 1}, {0x20, 1}, {0x28, 1}, {0x30, 1}};

static void
count_types(const struct cert *c)
{
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		unsigned n = 0;

		for (size_t i = 0; i < c->n; i++)
			n += c->packet[i].tag == PGP_TAG_SIGNATURE &&
			     c->packet[i].body[1] == types[t].type;
		assert_int_equal(n, types[t].n);
	}
}

static void
check_by_gpg(const char *name, const char *foreign_name)
{
	struct cert c, foreign;
	const struct pgp_packet *on = NULL;

	cert_load(&c, name);
	cert_load(&foreign, foreign_name);
	count_types(&c);
	for (size_t i = 1; i < c.n; i++) {
		if (c.packet[i].tag == PGP_TAG_SIGNATURE)
			add_with_forgeries(&c, &foreign, on, &c.packet[i]);
		else
			on = &c.packet[i];
	}
	assert_int_equal(judge(NULL), CHECKER_OK);
	for (size_t i = 0; i < nclaims; i++)
		if (verdict[i] != (i % (1 + FORGERIES) == 0))
			fail_msg("%s: signature %zu, forgery %zu: %d", name,
			    i / (1 + FORGERIES), i % (1 + FORGERIES),
			    verdict[i]);
	pgp_blob_free(&c.blob, false);
	pgp_blob_free(&foreign.blob, false);
}

static void
test_by_gpg(void **state)
{
	(void)state;
	for (size_t i = 0; i < NBY_GPG; i++) {
		check_by_gpg(by_gpg[i], by_gpg[(i + 1) % NBY_GPG]);
		claims_clear();
	}
}

/* ---- records ------------------------------------------------------------ */

static void
test_no_claims(void **state)
{
	(void)state;
	assert_int_equal(judge(NULL), CHECKER_OK);
}

static void
test_garbage_claims(void **state)
{
	struct pgp_blob b;

	(void)state;
	claim_add("", 0);
	claim_add("\x99\x00", 2);
	claim_add("hello, world", 12);
	load("uid-13", &b);
	claim_add(b.data, b.len);
	claim_add(b.data, b.len - 1);
	claim_add(b.data, b.len)->len--;
	memcpy(claim_add(b.data, b.len)->data, "\x95", 1); /* secret */
	claim_add(b.data, b.len)->data[3] = 6;
	pgp_blob_free(&b, false);
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_memory_equal(verdict, "\0\0\0\1\0\0\0\0", 8);
}

/* Two certificates, or a signature too many, in one claim. */
static void
test_more_than_a_claim(void **state)
{
	struct pgp_blob a, b;
	unsigned char *both;

	(void)state;
	load("uid-13", &a);
	load("sub-v3", &b);
	both = malloc(a.len + b.len);
	assert_non_null(both);
	memcpy(both, a.data, a.len);
	memcpy(both + a.len, b.data, b.len);
	claim_add(both, a.len + b.len);
	free(both);
	pgp_blob_free(&a, false);
	pgp_blob_free(&b, false);
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], 0);
}

static const struct {
	const char *name;
	const char *octets;
	size_t len;
} records[] = {
    {"empty", "", 0},
    {"short count", "\1\0", 2},
    {"count over what follows", "\377\377\0\0", 4},
    {"blob over what follows", "\1\0\0\0\5\0\0\0abcd", 12},
    {"octets left over", "\1\0\0\0\1\0\0\0ab", 10},
    {"huge count", "\377\377\377\377\0\0\0\0", 8},
};

static void
test_bad_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		if (send_record(records[i].octets, records[i].len, 0, NULL) !=
		    CHECKER_FAILED)
			fail_msg("%s: taken", records[i].name);
	claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], 1);
}

/* ---- a gpg that does not do as it should ----------------------------------
 */

static void
test_not_configured(void **state)
{
	char text[IPC_TEXT];

	(void)state;
	claim_load("uid-13");
	assert_int_equal(judge(text), CHECKER_NO_GPG);
	assert_string_equal(text, "not configured");
}

static void
expect_no_gpg(const char *where, const char *gpg, const char *why)
{
	char text[IPC_TEXT];

	configure(where, gpg, DEADLINE);
	assert_int_equal(judge(text), CHECKER_NO_GPG);
	if (strstr(text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, why);
}

static void
test_no_gpg(void **state)
{
	char path[512];

	(void)state;
	claim_load("uid-13");
	script(path, "open", "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	expect_no_gpg(path, NULL, "not a private directory");
	expect_no_gpg("relative", NULL, "not an absolute path");
	expect_no_gpg("/nonexistent/home", NULL, "No such file");
	expect_no_gpg(home, "/nonexistent/gpg", "No such file");
	expect_no_gpg(home, "gpg", "not an absolute path");
	expect_no_gpg(home, "/bin/true", "does not answer");
	expect_no_gpg(home, "/bin/cat", "does not answer");
	script(path, "crash", "#!/bin/sh\nkill -SEGV $$\n");
	expect_no_gpg(home, path, "does not answer");
	script(path, "cut", "#!/bin/sh\ngpg \"$@\" | head -c 100\n");
	expect_no_gpg(home, path, "does not answer");
	script(path, "missing", "#!/bin/sh\nexec /nonexistent/gpg\n");
	expect_no_gpg(home, path, "cannot be started");
	script(path, "killed", "#!/bin/sh\nkill -KILL $$\n");
	expect_no_gpg(home, path, "is killed");
	configure(home, NULL, DEADLINE);
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], 1);
}

static void
expect_gpg(void)
{
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], CHECKER_GOOD);
}

/* What was in the way of the first question is gone at the next. */
static void
test_put_right(void **state)
{
	char path[512];

	(void)state;
	claim_load("uid-13");
	assert_int_equal(mkdir(home, 0755), 0);
	expect_no_gpg(home, NULL, "not a private directory");
	assert_int_equal(chmod(home, 0700), 0);
	expect_gpg();
	snprintf(path, sizeof(path), "%s/gpg", dir);
	expect_no_gpg(home, path, "No such file");
	script(path, "gpg", "#!/bin/sh\nexec gpg \"$@\"\n");
	expect_gpg();
}

/* Hides a program, or shows it again. */
static void
hide(const char *name, bool away)
{
	static const char *const places[] = {
	    "/usr/local/bin", "/usr/bin", "/bin"};
	char path[64];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], name);
		if (!away)
			umount2(path, MNT_DETACH);
		else if (access(path, X_OK) == 0)
			assert_int_equal(
			    mount("/dev/null", path, NULL, MS_BIND, NULL), 0);
	}
}

/* The one that GPGME would find is not there, and then it is. */
static void
test_installed_later(void **state)
{
	char text[IPC_TEXT];

	(void)state;
	if (!mounts)
		skip();
	claim_load("uid-13");
	hide("gpgconf", true);
	hide("gpg", true);
	configure(home, NULL, DEADLINE);
	assert_int_equal(judge(text), CHECKER_NO_GPG);
	hide("gpg", false);
	hide("gpgconf", false);
	assert_string_equal(text, "gpg: GPGME does not find it");
	expect_gpg();
}

/* gpg dies of one certificate: the others do not suffer. */
static void
test_crash_of_one(void **state)
{
	char path[512];

	(void)state;
	script(path, "gpg",
	    "#!/bin/sh\n"
	    "for claims; do :; done\n"
	    "if grep -aq 'Alice' \"$claims\"; then kill -ABRT $$; fi\n"
	    "exec gpg \"$@\"\n");
	configure(home, path, DEADLINE);
	claim_load("direct-v3");
	claim_load("uid-13");
	claim_load("sub-v3");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_memory_equal(verdict, "\1\0\1", 3);
}

/* Does that instead of judging claims of Alice. */
static void
expect_of_one(const char *does, const char *verdicts)
{
	char path[512], text[1024];

	snprintf(text, sizeof(text),
	    "#!/bin/sh\n"
	    "for claims; do :; done\n"
	    "if grep -aq 'Alice' \"$claims\"; then %s; fi\n"
	    "exec gpg \"$@\"\n",
	    does);
	script(path, "gpg", text);
	configure(home, path, DEADLINE);
	claims_clear();
	claim_load("direct-v3");
	claim_load("uid-13");
	claim_load("sub-v3");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_memory_equal(verdict, verdicts, 3);
}

/* What somebody else does to gpg is not taken for a word about the claim; that
 * it takes so much memory is. */
static void
test_kept_from_one(void **state)
{
	(void)state;
	expect_of_one("kill -KILL $$", "\1\2\1");
	expect_of_one("exec /nonexistent/gpg", "\1\2\1");
	expect_of_one("exec python3 -c \"x = b'x' * (300 << 20);"
		      "import os; os.kill(os.getpid(), 9)\"",
	    "\1\0\1");
}

/* Killed once, while many are judged: nobody suffers. */
static void
test_killed_once(void **state)
{
	char path[512];

	(void)state;
	script(path, "gpg",
	    "#!/bin/sh\n"
	    "mkdir \"${0%/*}/once\" 2>/dev/null && kill -KILL $$\n"
	    "exec gpg \"$@\"\n");
	configure(home, path, DEADLINE);
	for (size_t i = 0; i < 9; i++)
		claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_memory_equal(verdict, "\1\1\1\1\1\1\1\1\1", 9);
}

/* From a process of the same user: root may lack the right. */
static void
set_limit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit((user != 0 && setuid(user) == -1) ||
		      prlimit(checker, resource, limit, NULL) == -1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* With so little of a resource either gpg judges the claim or nobody does.
 * True: it does. */
static bool
judged_with(__rlimit_resource_t resource, rlim_t most)
{
	struct rlimit few, many; /* as it has inherited them */
	char text[IPC_TEXT];
	uint32_t status;

	assert_int_equal(getrlimit(resource, &many), 0);
	few = many;
	few.rlim_cur = most;
	set_limit(resource, &few);
	status = judge(text);
	set_limit(resource, &many);
	if (status != CHECKER_NO_GPG &&
	    (status != CHECKER_OK || verdict[0] != CHECKER_GOOD))
		fail_msg("with %lu: status %u, %s", (unsigned long)most, status,
		    status == CHECKER_OK ? "not vouched for" : text);
	return status == CHECKER_OK;
}

static unsigned
open_files(void)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)checker);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

/* One claim was judged before: nothing is begun any more. */
static void
test_few_files(void **state)
{
	unsigned least, n;

	(void)state;
	claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_OK);
	least = open_files() + 1; /* of the record itself */
	assert_false(judged_with(RLIMIT_NOFILE, least));
	for (n = least + 1; n < least + 30; n++)
		if (judged_with(RLIMIT_NOFILE, n))
			break;
	assert_true(n < least + 30);
}

static void
few_processes(bool begun)
{
	rlim_t n = 1;

	if (user == 0)
		skip(); /* root may have as many as it will */
	claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_NO_GPG); /* it is that user */
	configure(home, NULL, DEADLINE);
	if (begun)
		expect_gpg();
	assert_false(judged_with(RLIMIT_NPROC, n));
	while (n < 20 && !judged_with(RLIMIT_NPROC, n))
		n++;
	assert_true(n < 20);
}

static void
test_few_processes(void **state)
{
	(void)state;
	few_processes(true);
}

/* GPGME's own programs come to nothing, at first. */
static void
test_begins_with_few(void **state)
{
	(void)state;
	few_processes(false);
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The process that wrote its ID there is gone, not only a zombie. */
static void
expect_gone(const char *name)
{
	char path[512];
	FILE *f;
	int pid;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* That gpg was not done is the claim's fault where gpg was at work. */
static void
test_busy(void **state)
{
	char path[512], text[IPC_TEXT];
	uint32_t status = CHECKER_NO_GPG;

	(void)state;
	script(path, "busy",
	    "#!/bin/sh\necho $$ > \"${0%/*}/pid\"\nwhile :; do :; done\n");
	configure(home, path, 1000);
	claim_load("uid-13");
	/* where others take the processors, it is not at work */
	for (int i = 0; i < 20 && status == CHECKER_NO_GPG; i++)
		status = judge(text);
	assert_int_equal(status, CHECKER_FAILED);
	assert_non_null(strstr(text, "gpg was not done after 1000 ms"));
	expect_gone("pid");
}

/* And so it is where gpg waits because of its memory. */
static void
test_large(void **state)
{
	uint32_t status = CHECKER_NO_GPG;
	char path[512];

	(void)state;
	script(path, "large",
	    "#!/bin/sh\nexec python3 -c \"import time;"
	    "x = b'x' * (300 << 20); time.sleep(300)\"\n");
	configure(home, path, 2000);
	claim_load("uid-13");
	for (int i = 0; i < 10 && status == CHECKER_NO_GPG; i++)
		status = judge(NULL);
	assert_int_equal(status, CHECKER_FAILED);
}

static void
test_deadline(void **state)
{
	char path[512], text[IPC_TEXT];
	double begun = seconds();

	(void)state;
	script(path, "hang",
	    "#!/bin/sh\necho $$ > \"${0%/*}/pid\"\nexec sleep 300\n");
	configure(home, path, 1000);
	claim_load("uid-13");
	assert_int_equal(judge(text), CHECKER_NO_GPG);
	assert_non_null(strstr(text, "1000 ms"));
	expect_gone("pid");
	configure(home, path, DEADLINE);
	hurry = 900;
	assert_int_equal(judge(text), CHECKER_NO_GPG);
	assert_non_null(strstr(text, "900 ms"));
	assert_true(seconds() - begun < 30);
	expect_gone("pid");
	configure(home, NULL, DEADLINE);
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(verdict[0], 1);
}

/* The core goes away while gpg runs: everybody ends. */
static void
test_core_gone(void **state)
{
	char path[512];
	struct ipc_msg m;
	struct stat st;
	struct ipc_out out = {NULL, 0, 0, false};

	(void)state;
	script(path, "hang",
	    "#!/bin/sh\necho $$ > \"${0%/*}/new\" &&"
	    " mv \"${0%/*}/new\" \"${0%/*}/pid\"\nexec sleep 300\n");
	configure(home, path, DEADLINE);
	ipc_msg_init(&m, CHECKER_JUDGE, 1);
	claim_load("uid-13");
	ipc_put_u32(&out, 1);
	ipc_put_blob(&out, claim[0].data, claim[0].len);
	m.fd[0] = ipc_memfd("record", out.data, out.len, true);
	ipc_out_free(&out);
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
	snprintf(path, sizeof(path), "%s/pid", dir);
	for (int i = 0; i < 3000 && stat(path, &st) == -1; i++)
		usleep(10000);
	assert_int_equal(stop(), 0);
	expect_gone("pid");
}

/*
 * The core is gone before the answer can be sent.  Under the sanitizers the
 * leak of a context would be another end than this.
 */
static void
test_core_gone_before_answer(void **state)
{
	struct ipc_msg m;
	int status;

	(void)state;
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(kill(checker, SIGSTOP), 0);
	assert_int_equal(waitpid(checker, &status, WUNTRACED), checker);
	assert_true(WIFSTOPPED(status));
	ipc_msg_init(&m, CHECKER_JUDGE, 1);
	m.fd[0] = ipc_memfd("record", "", 0, true);
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
	assert_int_equal(shutdown(sock, SHUT_RDWR), 0);
	assert_int_equal(kill(checker, SIGCONT), 0);
	assert_int_equal(stop(), 1);
}

/* What a terminal or a service manager sends to everybody ends neither the
 * checker nor gpg. */
static void
test_signals(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	char path[512];

	(void)state;
	script(path, "gpg",
	    "#!/bin/sh\n"
	    "for s in INT TERM HUP; do kill -$s 0; done\n"
	    "exec gpg \"$@\"\n");
	configure(home, path, DEADLINE);
	claim_load("uid-13");
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		assert_int_equal(judge(NULL), CHECKER_OK);
		assert_int_equal(verdict[0], 1);
		assert_int_equal(kill(checker, signals[i]), 0);
	}
	assert_int_equal(judge(NULL), CHECKER_OK);
	assert_int_equal(stop(), 0);
}

/* Nothing but what was there, and nothing in gpg's home. */
static void
test_leaves_nothing(void **state)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	(void)state;
	claim_load("uid-13");
	assert_int_equal(judge(NULL), CHECKER_OK);
	d = opendir(home);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(n, 0);
}

/* ---- frame -------------------------------------------------------------- */

static void
remove_tree(const char *path)
{
	char name[1024];
	struct dirent *e;
	DIR *d = opendir(path);

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name) == -1)
			remove_tree(name);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

static int
own_mounts(void **state)
{
	(void)state;
	mounts = unshare(CLONE_NEWNS) == 0 &&
		 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return 0;
}

static int
setup_bare(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(
	    dir, sizeof(dir), "%s/checker.XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(home, sizeof(home), "%s/gnupg", dir);
	if (user != 0 && chown(dir, user, user) == -1)
		return -1;
	start();
	return 0;
}

static int
setup(void **state)
{
	if (setup_bare(state) == -1)
		return -1;
	configure(home, NULL, DEADLINE);
	return 0;
}

/* As a user of its own, if that can be. */
static int
setup_user(void **state)
{
	(void)state;
	if (geteuid() == 0)
		user = USER;
	return setup_bare(state);
}

static int
teardown(void **state)
{
	int r = sock == -1 ? 0 : stop();

	(void)state;
	user = 0;
	claims_clear();
	remove_tree(dir);
	return r;
}

#define CASE(f)	     cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BARE_CASE(f) cmocka_unit_test_setup_teardown(f, setup_bare, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_all_at_once),
	    CASE(test_one_by_one),
	    CASE(test_broken_among_good),
	    CASE(test_broken_before_much),
	    CASE(test_broken_alone),
	    CASE(test_repeated),
	    CASE(test_by_gpg),
	    CASE(test_no_claims),
	    CASE(test_garbage_claims),
	    CASE(test_more_than_a_claim),
	    CASE(test_bad_records),
	    BARE_CASE(test_not_configured),
	    BARE_CASE(test_no_gpg),
	    BARE_CASE(test_crash_of_one),
	    BARE_CASE(test_put_right),
	    BARE_CASE(test_installed_later),
	    BARE_CASE(test_kept_from_one),
	    BARE_CASE(test_killed_once),
	    CASE(test_few_files),
	    cmocka_unit_test_setup_teardown(
		test_few_processes, setup_user, teardown),
	    cmocka_unit_test_setup_teardown(
		test_begins_with_few, setup_user, teardown),
	    BARE_CASE(test_busy),
	    BARE_CASE(test_large),
	    BARE_CASE(test_deadline),
	    BARE_CASE(test_core_gone),
	    CASE(test_core_gone_before_answer),
	    BARE_CASE(test_signals),
	    CASE(test_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, own_mounts, NULL);
}
