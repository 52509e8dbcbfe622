/*
 * mailkeyd-verifier: keeps jailed children that judge signatures.
 *
 * They are others than those that read mails, and know nothing of MIME: a fault
 * there can vouch for no signature.
 */
#include "mailkeyd/verifier.h"
#include "mailkeyd/checker.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/vouch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
config_sound(const void *config)
{
	(void)config;
	return true;
}

static void
prepare(const void *config)
{
	(void)config;
	pgp_verifier_prepare();
}

/* ---- a child's work ------------------------------------------------------ */

/* What is no small certificate is left to gpg, which will say no. */
static unsigned char
verdict(struct pgp_verifier *v, const unsigned char *claim, size_t len)
{
	struct vouch_claim c;

	if (claim == NULL || !vouch_split(&c, claim, len))
		return PGP_UNDECIDED;
	if (c.issuer.tag != 0)
		return (unsigned char)pgp_revoker_verify(
		    &c.primary, &c.on, &c.packet, &c.issuer);
	return (unsigned char)pgp_claim_verify(v, &c.primary, &c.on, &c.packet);
}

/* malloc'ed; NULL: memory ran out, or the record is damaged. */
static unsigned char *
verdicts(struct ipc_in *in, size_t *n)
{
	struct pgp_verifier *v = pgp_verifier_new();
	unsigned char *out = NULL;

	*n = ipc_get_u32(in);
	if (v != NULL && *n <= VERIFIER_RECORD_MAX)
		out = malloc(*n + 1);
	for (size_t i = 0; out != NULL && i < *n; i++) {
		size_t len;
		const unsigned char *claim = ipc_get_blob(in, &len);

		out[i] = verdict(v, claim, len);
	}
	pgp_verifier_free(v);
	if (out != NULL && !in->failed)
		return out;
	free(out);
	return NULL;
}

static enum jailed_exit
judge(const struct ipc_msg *msg)
{
	struct ipc_in in = {.data = NULL};
	enum jailed_exit rc = JAILED_NO_MEMORY;
	unsigned char *out;
	char *record;
	size_t n;

	if (ipc_slurp(msg->fd[0], CHECKER_RECORD_MAX, &record, &in.len) == -1)
		return errno == ENOMEM ? JAILED_NO_MEMORY : JAILED_FAILED;
	in.data = (const unsigned char *)record;
	out = verdicts(&in, &n);
	if (out != NULL)
		rc = pwrite(msg->fd[1], out, n, 0) == (ssize_t)n
			 ? JAILED_DONE
			 : JAILED_FAILED;
	else if (in.failed || n > VERIFIER_RECORD_MAX)
		rc = JAILED_FAILED;
	free(out);
	free(record);
	return rc;
}

static enum jailed_exit
serve(int sock, const void *config)
{
	const struct jailer_config *c = config;
	enum jailed_exit rc = JAILED_DONE;

	for (uint32_t n = 0; n < c->jobs && rc == JAILED_DONE; n++) {
		struct ipc_msg msg, done;
		int got = ipc_recv(sock, &msg);

		if (got != 1)
			return got == 0 ? JAILED_DONE : JAILED_FAILED;
		rc = msg.type == VERIFIER_JUDGE && msg.fd[0] != -1 &&
			     msg.fd[1] != -1
			 ? judge(&msg)
			 : JAILED_FAILED;
		ipc_msg_init(&done, VERIFIER_JUDGED, msg.id);
		done.status = JAILER_OK;
		ipc_msg_close(&msg);
		if (rc == JAILED_DONE && ipc_send(sock, &done) == -1)
			rc = JAILED_FAILED;
	}
	return rc;
}

int
main(int argc, char **argv)
{
	static const struct jailer_kind verifier = {.work = JAIL_VERIFY,
	    .record_max = VERIFIER_RECORD_MAX,
	    .config_size = sizeof(struct jailer_config),
	    .config_sound = config_sound,
	    .prepare = prepare,
	    .serve = serve};

	(void)argv;
	return jailer_main(argc, &verifier);
}
