/*
 * CHECK: what the command CHECK would answer to a mail with a file attached.
 * The file is made into such a mail, and goes its way up to the answer.
 */
#include "handlers/handler.h"
#include "mailkeyd/control_client.h"
#include "mailkeyd/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define LINE 57 /* octets that make one line of base64 (RFC 2045, 6.8) */

struct checking {
	struct reading reading; /* first: a reading is cast back to it */
	struct client *client;	/* NULL: gone, and the judge still at work */
	int memfd;
	bool reads, judges;
	struct mail *mail;
	struct intake *intake;
};

static void
checking_free(struct checking *c)
{
	intake_free(c->intake);
	if (c->mail != NULL)
		mail_free(c->mail);
	free(c->mail);
	if (c->memfd != -1)
		close(c->memfd);
	free(c);
}

/* ---- the mail ------------------------------------------------------------ */

static void
base64_line(FILE *f, const unsigned char *p, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			v |= p[i + 2];
		fputc(digit[v >> 18], f);
		fputc(digit[v >> 12 & 63], f);
		fputc(i + 1 < n ? digit[v >> 6 & 63] : '=', f);
		fputc(i + 2 < n ? digit[v & 63] : '=', f);
	}
	fputc('\n', f);
}

/* A memfd with a mail that has the octets in its one part, or -1. */
static int
mail_around(const char *octets, size_t len)
{
	const unsigned char *p = (const unsigned char *)octets;
	char *text = NULL;
	size_t size = 0;
	int fd = -1;
	FILE *f = pgp_memstream(&text, &size);

	if (f == NULL)
		return -1;
	fputs("Subject: CHECK\nMIME-Version: 1.0\n"
	      "Content-Type: application/pgp-keys\n"
	      "Content-Transfer-Encoding: base64\n\n",
	    f);
	for (size_t i = 0; i < len; i += LINE)
		base64_line(f, p + i, len - i < LINE ? len - i : LINE);
	if (fclose(f) == 0)
		fd = ipc_memfd("check", text, size, true);
	free(text);
	return fd;
}

/* ---- its way ------------------------------------------------------------- */

static enum outcome
answer(struct checking *c, struct request *request, struct reply *reply)
{
	const struct command *command = request_parse("CHECK", request);
	const struct config *config = c->client->parts->config;
	struct keystore *ks = c->client->parts->ks;
	enum outcome outcome;

	if (command == NULL || ks_begin(ks, KS_ROOM_NONE) != KS_OK)
		return TRY_LATER;
	request->sender = request->site = request->admin = request->sent = "";
	request->address = config->address;
	request->now = time(NULL);
	request->limits.keys_per_mail = config->limits.keys_per_mail;
	request->limits.reply_size = SIZE_MAX / 2;
	request->limits.certifications = config->limits.policy.certifications;
	request->nsecret = c->mail->nsecret;
	request->nover = c->mail->nover;
	request->submissions =
	    intake_submissions(c->intake, &request->nsubmissions);
	request->problems = intake_problems(c->intake, &request->nproblems);
	outcome = command->run(ks, request, reply);
	ks_abort(ks);
	return outcome;
}

static void
check_answer(struct checking *c)
{
	struct request request = {0};
	struct reply reply;
	enum outcome outcome = TRY_LATER;
	bool whole;

	if (reply_new(&reply) == -1) {
		client_end(c->client, EX_OSERR, "no memory");
		return;
	}
	outcome = answer(c, &request, &reply);
	if (reply_finish(&reply) == -1)
		outcome = TRY_LATER;
	if (outcome != TRY_LATER)
		client_data(c->client, reply.text_data, reply.text_len);
	whole = request.nproblems == 0 && c->mail->nsecret == 0 &&
		c->mail->nover == 0;
	if (outcome == TRY_LATER)
		client_end(c->client, EX_IOERR, "the store cannot be read");
	else if (outcome == REFUSED || !whole)
		client_end(c->client, EX_DATAERR, "not all of it is taken");
	else
		client_end(c->client, EX_OK, "%s", "");
	reply_free(&reply);
	request_free(&request);
}

static void
check_judged(void *ctx, bool later, const char *why)
{
	struct checking *c = ctx;

	c->judges = false;
	if (c->client == NULL)
		checking_free(c);
	else if (later)
		client_end(c->client, EX_TEMPFAIL, "%s", why);
	else
		check_answer(c);
}

static void
check_read(struct reading *reading, enum parser_status status,
    struct mail *mail, const char *why)
{
	struct checking *c = (struct checking *)reading;
	const struct gateway_parts *parts = c->client->parts;

	c->reads = false;
	c->mail = mail;
	if (status != PARSER_OK) {
		client_end(c->client, EX_TEMPFAIL, "%s", why);
		return;
	}
	if (mail->verdict != MAIL_SOUND) {
		client_end(c->client, EX_DATAERR, "%s", mail->why);
		return;
	}
	c->intake = intake_new(parts->judge, parts->ks, parts->config, mail,
	    time(NULL), check_judged, c);
	if (c->intake == NULL) {
		client_end(c->client, EX_OSERR, "no memory");
		return;
	}
	intake_parts(c->intake);
	c->judges = true;
	intake_start(c->intake);
}

static void
do_check(struct client *client, struct ipc_msg *msg)
{
	const struct config *config = client->parts->config;
	/* base64 makes four of three, and line ends */
	const size_t max = config->limits.mail.message_size / 100 * 72;
	struct checking *c;
	char *data = NULL;
	size_t len = 0;

	if (msg->fd[0] == -1 || ipc_slurp(msg->fd[0], max, &data, &len) == -1) {
		client_end(client, EX_DATAERR,
		    errno == EFBIG ? "it is larger than a mail may be"
				   : "the file cannot be read");
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c != NULL) {
		c->client = client;
		c->memfd = mail_around(data, len);
		client->work = c;
	}
	free(data);
	if (c == NULL || c->memfd == -1) {
		client_end(client, EX_OSERR, "no memory");
		return;
	}
	c->reading.fd = c->memfd;
	c->reading.done = check_read;
	c->reads = true;
	reading_start(client->parts->reader, &c->reading);
}

static void
check_gone(struct client *client)
{
	struct checking *c = client->work;

	client->work = NULL;
	if (c == NULL)
		return;
	if (c->reads)
		reading_drop(client->parts->reader, &c->reading);
	c->client = NULL;
	if (!c->judges)
		checking_free(c);
}

const struct control_command control_check = {
    .type = CONTROL_CHECK, .run = do_check, .gone = check_gone};
