/*
 * A jailed child's work: one mail, or one file, after another.
 */
#include "mailkeyd/jailed.h"

#include "mailkeyd/ipc.h"
#include "mailkeyd/mail_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_OCTETS (8u << 20)  /* of certificates, about, in a record */
#define INPUT_OCTETS  (32u << 20) /* of a file, about, for a record */

/* The first octets of a mail: one past the limit is enough to know. */
static enum jailed_exit
read_mail(int fd, size_t limit, char **raw, size_t *len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	size_t want, done = 0;
	char *p;

	if (size == -1)
		return JAILED_FAILED;
	want = (uintmax_t)size > limit ? limit + 1 : (size_t)size;
	p = malloc(want + 1);
	if (p == NULL)
		return JAILED_NO_MEMORY;
	while (done < want) {
		ssize_t n = pread(fd, p + done, want - done, (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(p);
			return JAILED_FAILED;
		}
		done += (size_t)n;
	}
	*raw = p;
	*len = done;
	return JAILED_DONE;
}

static enum jailed_exit
write_record(int fd, const struct mail *m)
{
	struct ipc_out out = {0};
	enum jailed_exit rc = JAILED_DONE;
	size_t done = 0;

	mail_put(&out, m);
	if (out.failed)
		rc = JAILED_NO_MEMORY;
	while (rc == JAILED_DONE && done < out.len) {
		ssize_t n =
		    pwrite(fd, out.data + done, out.len - done, (off_t)done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rc = JAILED_FAILED;
	}
	ipc_out_free(&out);
	return rc;
}

static enum jailed_exit
say(int sock, uint64_t id, enum jailer_status status, bool more,
    uint64_t offset)
{
	struct ipc_msg msg;

	ipc_msg_init(&msg, PARSER_DONE, id);
	msg.status = status;
	msg.a = more;
	msg.b = offset;
	return ipc_send(sock, &msg) == 0 ? JAILED_DONE : JAILED_FAILED;
}

static enum jailed_exit
serve_mail(
    int sock, const struct parser_config *config, const struct ipc_msg *msg)
{
	const struct mail_limits *limits =
	    msg->a == 1 ? &config->peer_limits : &config->limits;
	struct mail m;
	char *raw;
	size_t len;
	enum jailer_status status = JAILER_OK;
	enum jailed_exit rc;

	rc = read_mail(msg->fd[0], limits->message_size, &raw, &len);
	if (rc != JAILED_DONE)
		return rc;
	if (mail_parse(raw, len, limits, &config->policy, time(NULL), &m) == -1)
		rc = JAILED_NO_MEMORY;
	else if (mail_parse_again())
		status = JAILER_AGAIN;
	else
		rc = write_record(msg->fd[1], &m);
	if (m.nsecret > 0)
		explicit_bzero(raw, len);
	mail_free(&m);
	free(raw);
	return rc == JAILED_DONE ? say(sock, msg->id, status, false, 0) : rc;
}

/* ---- a file of certificates ---------------------------------------------- */

struct file {
	int fd, error;
	uint64_t base; /* where it stood at first */
};

static long
read_file(void *ctx, unsigned char *buf, size_t size)
{
	struct file *file = ctx;
	ssize_t n;

	do
		n = read(file->fd, buf, size);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		file->error = errno;
	return n;
}

/* Octets that the newest thing taken adds to the record. */
static size_t
newest(const struct mail *m)
{
	size_t n = 0;

	if (m->ncerts > 0)
		n = m->certs[m->ncerts - 1].packets.len;
	if (m->nrevocations > 0 && m->revocations[m->nrevocations - 1].len > n)
		n = m->revocations[m->nrevocations - 1].len;
	return n;
}

/* Fills one record; *more: the file goes on. */
static enum jailed_exit
fill(struct mail *m, const struct parser_config *config,
    struct pgp_reader *reader, struct file *file, bool *more)
{
	struct mail_reading reading = {.mail = m,
	    .policy = &config->policy,
	    .now = (uint32_t)time(NULL),
	    .limit = config->import_batch,
	    .file = true};
	uint64_t start = pgp_reader_offset(reader);
	size_t octets = 0;
	char where[64];
	int rc = 1;

	while (rc == 1 && reading.keys < reading.limit &&
	       octets < RECORD_OCTETS &&
	       pgp_reader_offset(reader) - start < INPUT_OCTETS) {
		snprintf(where, sizeof(where), "the file near octet %" PRIu64,
		    file->base + pgp_reader_offset(reader));
		rc = mail_certs_next(&reading, reader, where);
		octets += newest(m);
	}
	if (rc == 0 && file->error != 0)
		rc = mail_problem(m, "The file cannot be read on: %s.",
		    strerror(file->error));
	*more = rc == 1;
	if (pgp_reader_resume(reader) > 0)
		m->resume = file->base + pgp_reader_resume(reader);
	return rc == -1 ? JAILED_NO_MEMORY : JAILED_DONE;
}

/* Waits to be asked for the next record. */
static bool
wait_more(int sock, uint64_t id, int *record)
{
	struct ipc_msg msg;
	bool good;

	if (ipc_recv(sock, &msg) != 1)
		return false;
	good = msg.type == PARSER_MORE && msg.id == id && msg.fd[1] != -1;
	if (good) {
		*record = msg.fd[1];
		msg.fd[1] = -1;
	}
	ipc_msg_close(&msg);
	return good;
}

static enum jailed_exit
serve_import(int sock, const struct parser_config *config, struct ipc_msg *msg)
{
	struct file file = {.fd = msg->fd[0]};
	off_t at = lseek(file.fd, 0, SEEK_CUR);
	struct pgp_reader *reader;
	enum jailed_exit rc = JAILED_NO_MEMORY;
	bool more = true;

	file.base = at == -1 ? 0 : (uint64_t)at;
	reader = pgp_reader_new(read_file, &file, &config->policy);
	while (reader != NULL && more) {
		struct mail m = {.verdict = MAIL_SOUND};

		rc = fill(&m, config, reader, &file, &more);
		if (rc == JAILED_DONE)
			rc = write_record(msg->fd[1], &m);
		mail_free(&m);
		close(msg->fd[1]);
		msg->fd[1] = -1;
		if (rc == JAILED_DONE)
			rc = say(sock, msg->id, JAILER_OK, more,
			    file.base + pgp_reader_offset(reader));
		if (rc != JAILED_DONE ||
		    (more && !wait_more(sock, msg->id, &msg->fd[1])))
			break;
	}
	pgp_reader_free(reader);
	return rc;
}

enum jailed_exit
jailed_serve(int sock, const struct parser_config *config)
{
	enum jailed_exit rc = JAILED_DONE;

	for (uint32_t n = 0; n < config->jailer.jobs && rc == JAILED_DONE;
	     n++) {
		struct ipc_msg msg;
		int got = ipc_recv(sock, &msg);

		if (got != 1)
			return got == 0 ? JAILED_DONE : JAILED_FAILED;
		if (msg.fd[0] == -1 || msg.fd[1] == -1)
			rc = JAILED_FAILED;
		else if (msg.type == PARSER_MAIL)
			rc = serve_mail(sock, config, &msg);
		else if (msg.type == PARSER_IMPORT)
			rc = serve_import(sock, config, &msg);
		else
			rc = JAILED_FAILED;
		ipc_msg_close(&msg);
	}
	return rc;
}
