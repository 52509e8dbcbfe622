/*
 * The jail: each thing that it forbids is tried by a child, which dies of it as
 * it must, and what a reader needs still works.
 */
#include "mailkeyd/jail.h"
#include "mailkeyd/ipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB	 (UINT64_C(1) << 20)
#define UNLOCKED 100 /* exit status: the jail could not be locked */

static int shared; /* a memfd, open before the jail is locked */
static int sock[2];

static struct jail *jail[JAIL_TALK + 1]; /* by enum jail_work */

/* Runs `what` in a jail for such work; returns the child's status. */
static int
jailed_for(enum jail_work work, int (*what)(void))
{
	const char *step;
	int status;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (jail_lock(jail[work], &step) == -1) {
			fprintf(stderr, "%s: %s\n", step, strerror(errno));
			_exit(UNLOCKED);
		}
		_exit(what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNLOCKED)
		fail_msg("the jail could not be locked");
	return status;
}

static int
jailed(int (*what)(void))
{
	return jailed_for(JAIL_READ, what);
}

/* ---- what kills ---------------------------------------------------------- */

static int
try_open(void)
{
	return open("/etc/passwd", O_RDONLY) != -1;
}

static int
try_create(void)
{
	return open("/tmp/mailkeyd-jail", O_WRONLY | O_CREAT, 0600) != -1;
}

static int
try_fopen(void)
{
	return fopen("/etc/passwd", "r") != NULL;
}

static int
try_unlink(void)
{
	return unlink("/tmp/mailkeyd-no-such-file") == 0;
}

static int
try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) != -1;
}

static int
try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) != -1;
}

static int
try_connect(void)
{
	struct sockaddr a = {.sa_family = AF_UNSPEC};

	return connect(sock[0], &a, sizeof(a)) == 0;
}

static int
try_execve(void)
{
	char *const none[] = {NULL};

	return execve("/bin/true", none, none);
}

static int
try_fork(void)
{
	return fork() != -1;
}

static int
try_kill(void)
{
	return kill(getppid(), 0);
}

static int
try_kill_self(void)
{
	return kill(getpid(), SIGTERM);
}

static int
try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
try_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int
try_memfd(void)
{
	return memfd_create("x", 0) != -1;
}

static int
try_truncate(void)
{
	return ftruncate(shared, 0);
}

#ifndef SANITIZED
static int
try_setrlimit(void)
{
	struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	return setrlimit(RLIMIT_NOFILE, &r);
}

static int
try_run_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int
try_make_runnable(void)
{
	static char page[8192];
	uintptr_t at = ((uintptr_t)page + 4095) & ~(uintptr_t)4095;

	return mprotect((void *)at, 4096, PROT_READ | PROT_EXEC);
}

static int
try_map_file(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, shared, 0) !=
	       MAP_FAILED;
}

static int
try_fcntl(void)
{
	return fcntl(shared, F_GETFL);
}

static int
try_stat(void)
{
	struct stat st;

	return stat("/etc/passwd", &st);
}
#endif

static const struct {
	const char *name;
	int (*what)(void);
} deadly[] = {
    {"open", try_open},
    {"create", try_create},
    {"fopen", try_fopen},
    {"unlink", try_unlink},
    {"socket", try_socket},
    {"Unix socket", try_unix_socket},
    {"connect", try_connect},
    {"execve", try_execve},
    {"fork", try_fork},
    {"kill", try_kill},
    {"kill itself", try_kill_self},
    {"ptrace", try_ptrace},
    {"prctl", try_prctl},
    {"memfd_create", try_memfd},
    {"ftruncate", try_truncate},
#ifndef SANITIZED
    {"setrlimit", try_setrlimit},
    {"memory to run", try_run_memory},
    {"mprotect to run", try_make_runnable},
    {"map a file", try_map_file},
    {"fcntl", try_fcntl},
    {"stat", try_stat},
#endif
};

static void
test_calls_that_kill(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		for (int work = 0; work <= JAIL_TALK; work++) {
			int status;

			if (work == JAIL_TALK && deadly[i].what == try_memfd)
				continue;
			status =
			    jailed_for((enum jail_work)work, deadly[i].what);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
				fail_msg("%s in jail %d: status %#x",
				    deadly[i].name, work, status);
		}
	}
}

#ifndef SANITIZED
static int
try_read(void)
{
	char c;

	return read(shared, &c, 1) != 1;
}

/* A verifier has no stream to read: what a reader may is too much for it. */
static void
test_verifier_may_less(void **state)
{
	int status;

	(void)state;
	assert_int_equal(jailed_for(JAIL_READ, try_read), 0);
	status = jailed_for(JAIL_VERIFY, try_read);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}
#endif

/* What a session with a server takes. */
static int
talk(void)
{
	struct pollfd p = {sock[1], POLLIN, 0};
	int fd = memfd_create("mail", MFD_CLOEXEC);
	char octets[4];

	if (send(sock[0], "mail", 4, MSG_NOSIGNAL) != 4 ||
	    poll(&p, 1, 10000) != 1 ||
	    recv(sock[1], octets, sizeof(octets), MSG_DONTWAIT) != 4)
		return 1;
	if (fd == -1 || write(fd, octets, 4) != 4)
		return 2;
	alarm(100);
	return alarm(0) > 0 ? 0 : 3;
}

static void
test_talker(void **state)
{
	int status;

	(void)state;
	assert_int_equal(jailed_for(JAIL_TALK, talk), 0);
	status = jailed(talk);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static volatile unsigned turns;

static int
loop_for_ever(void)
{
	for (;;)
		turns++;
	return 0;
}

static void
test_processor_time(void **state)
{
	int status = jailed(loop_for_ever);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXCPU);
}

static int
write_too_much(void)
{
	static char octets[65536];

	for (int i = 0; i < 17; i++)
		if (pwrite(shared, octets, sizeof(octets),
			(off_t)i * (off_t)sizeof(octets)) <= 0)
			return 1;
	return 0;
}

static void
test_file_size(void **state)
{
	int status = jailed(write_too_much);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXFSZ);
}

static void *volatile kept;

#ifndef SANITIZED
static int
ask_for_too_much(void)
{
	kept = malloc(256 * MIB);
	return kept != NULL;
}
#endif

static int
ask_for_enough(void)
{
	kept = malloc(64 * MIB);
	if (kept == NULL)
		return 1;
	memset(kept, 1, 64 * MIB);
	free(kept);
	return 0;
}

static void
test_memory(void **state)
{
	(void)state;
	assert_int_equal(jailed(ask_for_enough), 0);
#ifndef SANITIZED
	assert_int_equal(jailed(ask_for_too_much), 0);
#endif
}

static int
descending(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x < *y) - (*x > *y);
}

static int
sort_much(void)
{
	static int numbers[20000];

	for (int i = 0; i < 20000; i++)
		numbers[i] = i;
	qsort(numbers, 20000, sizeof(numbers[0]), descending);
	return numbers[0] != 19999;
}

/* glibc asks how much memory there is before it sorts more than 1 KB. */
static void
test_sort(void **state)
{
	(void)state;
	assert_int_equal(jailed(sort_much), 0);
}

static int
do_abort(void)
{
	abort();
}

/* Its own end by abort(3) is seen as that, whichever process it is. */
static void
test_abort(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		int status = jailed_for((enum jail_work)(i % 2), do_abort);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

static int
abort_parent(void)
{
	return (int)syscall(SYS_tgkill, getppid(), getppid(), SIGABRT);
}

/* Nor may it end another so. */
static void
test_abort_other(void **state)
{
	int status = jailed(abort_parent);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- what a reader needs ------------------------------------------------- */

static int
work(void)
{
	struct ipc_msg msg;
	char *text, *data;
	size_t n, len;
	FILE *out;

	if (ipc_recv(sock[0], &msg) != 1 || msg.fd[0] == -1)
		return 1;
	if (ipc_slurp(msg.fd[0], 100, &data, &len) == -1 || len != 5)
		return 2;
	ipc_msg_close(&msg);
	out = open_memstream(&text, &n);
	if (out == NULL || fprintf(out, "%s %d", data, 5) < 0 ||
	    fclose(out) != 0)
		return 3;
	if (pwrite(shared, text, n, 0) != (ssize_t)n || time(NULL) == 0)
		return 4;
	free(text);
	free(data);
	ipc_msg_init(&msg, 2, 2);
	return ipc_send(sock[0], &msg) == 0 ? 0 : 5;
}

static void
test_work(void **state)
{
	struct ipc_msg msg;
	char text[8] = "";

	(void)state;
	ipc_msg_init(&msg, 1, 1);
	msg.fd[0] = ipc_memfd("t", "hello", 5, true);
	assert_int_equal(ipc_send(sock[1], &msg), 0);
	ipc_msg_close(&msg);
	assert_int_equal(jailed(work), 0);
	assert_int_equal(ipc_recv(sock[1], &msg), 1);
	assert_int_equal(msg.type, 2);
	assert_int_equal(pread(shared, text, 7, 0), 7);
	assert_string_equal(text, "hello 5");
}

static int
look_at_itself(void)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, 1, 1);
	if (ipc_send(sock[0], &msg) == -1)
		return 1;
	return ipc_recv(sock[0], &msg) == 1 ? 0 : 2;
}

/* The number behind a word in /proc/PID/FILE. */
static long
proc_number(pid_t pid, const char *file, const char *word)
{
	char path[64], line[256];
	long n = -1;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	in = fopen(path, "r");
	if (in == NULL)
		return -2;
	while (fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, word, strlen(word)) == 0)
			n = strtol(line + strlen(word), NULL, 10);
	fclose(in);
	return n;
}

/* A locked process as the kernel describes it. */
static void
test_state(void **state)
{
	const struct jail_limits limits = {
	    .memory = 0, .cpu = 3, .file_size = 5, .files = 7};
	const char *step;
	struct jail *other = jail_new(JAIL_READ, &limits, &step);
	struct ipc_msg msg;
	struct rlimit r;
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(other);
	pid = fork();
	if (pid == 0) {
		if (jail_lock(other, &step) == -1)
			_exit(UNLOCKED);
		_exit(look_at_itself());
	}
	assert_int_equal(ipc_recv(sock[1], &msg), 1);
	assert_int_equal(proc_number(pid, "status", "NoNewPrivs:"), 1);
	assert_int_equal(proc_number(pid, "status", "Seccomp:"), 2);
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &r), 0);
	assert_int_equal(r.rlim_max, 7);
	assert_int_equal(prlimit(pid, RLIMIT_NPROC, NULL, &r), 0);
	assert_int_equal(r.rlim_max, 0);
	assert_int_equal(prlimit(pid, RLIMIT_CORE, NULL, &r), 0);
	assert_int_equal(r.rlim_max, 0);
	assert_int_equal(prlimit(pid, RLIMIT_CPU, NULL, &r), 0);
	assert_int_equal(r.rlim_cur, 3);
	assert_int_equal(ipc_send(sock[1], &msg), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	jail_free(other);
}

/* Landlock by itself, without seccomp before it. */
static int
open_behind_landlock(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    jail_lock_files(jail[JAIL_READ]) == -1)
		return UNLOCKED;
	if (open("/etc/passwd", O_RDONLY) != -1 || errno != EACCES)
		return 1;
	if (open("/", O_RDONLY) != -1 || errno != EACCES)
		return 2;
	if (open("/tmp/mailkeyd-jail", O_WRONLY | O_CREAT, 0600) != -1)
		return 3;
	/* what was open stays */
	return pwrite(shared, "x", 1, 0) == 1 ? 0 : 4;
}

static void
test_landlock(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (jail_landlock() == 0) {
		print_message("# this kernel has no Landlock\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(open_behind_landlock());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
setup(void **state)
{
	const struct jail_limits limits = {
	    .memory = 256 * MIB, .cpu = 1, .file_size = MIB, .files = 16};
	const char *step;

	(void)state;
	shared = ipc_memfd("shared", NULL, 0, false);
	assert_true(shared >= 0);
	assert_int_equal(ftruncate(shared, 4096), 0);
	for (int i = 0; i <= JAIL_TALK; i++) {
		jail[i] = jail_new((enum jail_work)i, &limits, &step);
		if (jail[i] == NULL)
			fail_msg("%s: %s", step, strerror(errno));
	}
	return ipc_pair(sock);
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i <= JAIL_TALK; i++)
		jail_free(jail[i]);
	close(shared);
	close(sock[0]);
	close(sock[1]);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_work),
	    cmocka_unit_test(test_state),
	    cmocka_unit_test(test_calls_that_kill),
#ifndef SANITIZED
	    cmocka_unit_test(test_verifier_may_less),
#endif
	    cmocka_unit_test(test_talker),
	    cmocka_unit_test(test_processor_time),
	    cmocka_unit_test(test_file_size),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_sort),
	    cmocka_unit_test(test_abort),
	    cmocka_unit_test(test_abort_other),
	    cmocka_unit_test(test_landlock),
	};

	return cmocka_run_group_tests_name("jail", tests, setup, teardown);
}
