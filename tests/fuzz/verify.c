/*
 * Any octets as claims of one certificate after another: a verifier that has
 * judged others says the same as a fresh one, and nothing good is left when
 * the user ID or the signed time changes.
 */
#include "pgp/pgp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct pgp_verifier *used;

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static enum pgp_verdict
judge(const struct pgp_packet *primary, const struct pgp_packet *on,
    const struct pgp_packet *signature)
{
	struct pgp_verifier *fresh = pgp_verifier_new();
	enum pgp_verdict verdict;

	if (used == NULL)
		used = pgp_verifier_new();
	require(fresh != NULL && used != NULL);
	verdict = pgp_claim_verify(fresh, primary, on, signature);
	require(verdict == pgp_claim_verify(used, primary, on, signature));
	pgp_verifier_free(fresh);
	return verdict;
}

static void
bend(const struct pgp_packet *primary, struct pgp_packet on,
    const struct pgp_packet *signature)
{
	unsigned char *body = malloc(on.len + 1);

	require(body != NULL);
	if (on.len > 0)
		memcpy(body, on.body, on.len);
	body[on.len++] = 'x';
	on.body = body;
	require(judge(primary, &on, signature) != PGP_GOOD);
	free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgp_packet primary = {.tag = 0}, on = {.tag = 0}, packet;
	struct pgp_blob joined = {NULL, 0};
	size_t pos = 0;

	while (pgp_packet_read(data, size, &pos, &joined, &packet) == PGP_OK &&
	       joined.data == NULL) {
		if (packet.tag == PGP_TAG_PUBLIC_KEY) {
			primary = packet;
			on = (struct pgp_packet){.tag = 0};
		} else if (packet.tag != PGP_TAG_SIGNATURE) {
			on = packet;
		} else if (judge(&primary, &on, &packet) == PGP_GOOD &&
			   on.tag != 0) {
			bend(&primary, on, &packet);
		}
	}
	pgp_blob_free(&joined, false);
	return 0;
}
