/*
 * Small things that all of OpenPGP needs: words for errors, fingerprints,
 * octet strings.
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

const char *
pgp_strerror(enum pgp_status status)
{
	switch (status) {
	case PGP_OK:
		return "no error";
	case PGP_END:
		return "nothing more to read";
	case PGP_TRUNCATED:
		return "the key ends too early";
	case PGP_MALFORMED:
		return "not OpenPGP data, or damaged";
	case PGP_BAD_ARMOR:
		return "a line of the armored block is damaged";
	case PGP_NOT_CERT:
		return "OpenPGP data, but no public key";
	case PGP_SECRET:
		return "a secret key";
	case PGP_UNSUPPORTED:
		return "a key of a version that is not supported";
	case PGP_TOO_LARGE:
		return "larger than this server takes";
	case PGP_NOMEM:
		return "out of memory";
	}
	return "unknown error";
}

const char *
pgp_left_text(enum pgp_left_reason reason)
{
	switch (reason) {
	case PGP_LEFT_THIRD_PARTY:
		return "signatures by others";
	case PGP_LEFT_UNVERIFIED:
		return "self-signatures that did not verify";
	case PGP_LEFT_NO_SELFSIG:
		return "user IDs and subkeys without a valid self-signature";
	case PGP_LEFT_ATTRIBUTE:
		return "user attributes (photos)";
	case PGP_LEFT_TOO_LARGE:
		return "packets that are too large";
	case PGP_LEFT_TOO_MANY:
		return "user IDs, subkeys or signatures over the limit";
	case PGP_LEFT_SUPERSEDED:
		return "self-signatures older than those kept";
	case PGP_LEFT_FUTURE:
		return "signatures dated in the future";
	case PGP_LEFT_TOO_OLD:
		return "signatures older than their key";
	case PGP_LEFT_UNKNOWN:
		return "packets of an unknown kind or version";
	case PGP_LEFT_LOCAL:
		return "signatures marked as not to be published";
	case PGP_LEFT_NO_MODIFY:
		return "signatures by others, which the key does not want";
	case PGP_LEFT_DUPLICATE:
		return "repetitions";
	case PGP_LEFT_REASONS:
		break;
	}
	return "other things";
}

void
pgp_blob_free(struct pgp_blob *blob, bool wipe)
{
	if (wipe && blob->data != NULL)
		explicit_bzero(blob->data, blob->len);
	free(blob->data);
	blob->data = NULL;
	blob->len = 0;
}

char *
pgp_fpr_hex(const struct pgp_fpr *fpr, char out[PGP_FPR_HEX])
{
	static const char digit[] = "0123456789ABCDEF";
	size_t i, n = fpr->len < PGP_FPR_MAX ? fpr->len : PGP_FPR_MAX;

	for (i = 0; i < n; i++) {
		out[2 * i] = digit[fpr->octet[i] >> 4];
		out[2 * i + 1] = digit[fpr->octet[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}

int
pgp_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
pgp_fpr_cmp(const struct pgp_fpr *a, const struct pgp_fpr *b)
{
	return octets_cmp(a->octet, a->len, b->octet, b->len);
}

int
octets_cmp(
    const unsigned char *a, size_t alen, const unsigned char *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	int r = n > 0 ? memcmp(a, b, n) : 0;

	if (r != 0)
		return r;
	return (alen > blen) - (alen < blen);
}

bool
cursor_mpi(struct cursor *c, struct cursor *octets)
{
	const unsigned char *bits = cursor_take(c, 2);

	if (bits == NULL)
		return false;
	octets->len = ((size_t)get16(bits) + 7) / 8;
	octets->p = cursor_take(c, octets->len);
	return octets->p != NULL;
}
