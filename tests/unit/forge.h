/*
 * Certificates of any shape for tests of what comes after verification: key
 * packets and signatures that look right but were made by no key.  They are
 * parsed as trusted, the way the store reads what it wrote.
 */
#ifndef FORGE_H
#define FORGE_H

#include "pgp/pgp.h"

#include <stdlib.h>
#include <string.h>

#define FORGE_NOW 1700000000u /* 2023-11-14 22:13:20 UTC */

struct forged_id {
	const char *text; /* NULL: none */
	size_t len;	  /* 0: strlen(text) */
	bool revoked;
};

struct forged_subkey {
	uint8_t pkalgo; /* 0: none */
	unsigned bits;
	uint32_t created, expires; /* expires: seconds after, 0 never */
	uint8_t flags;
	bool revoked;
};

struct forged {
	unsigned seed; /* another seed, another key */
	uint32_t created, expires;
	unsigned bits; /* of RSA, a multiple of 8 */
	bool revoked;
	uint8_t reason;	 /* of that revocation */
	unsigned nextra; /* further user IDs, "extra 1" ... */
	struct forged_id id[4];
	struct forged_subkey subkey[3];
};

static inline void
forge_be(FILE *out, uint32_t v, unsigned octets)
{
	while (octets-- > 0)
		putc((int)(v >> (8 * octets) & 0xFF), out);
}

/* An old header with two octets of length. */
static inline void
forge_packet(FILE *out, unsigned tag, const void *body, size_t len)
{
	putc((int)(0x80 | tag << 2 | 1), out);
	forge_be(out, (uint32_t)len, 2);
	fwrite(body, 1, len, out);
}

static inline void
forge_mpi(FILE *out, unsigned seed, unsigned bits)
{
	unsigned i, octets = bits / 8;
	unsigned char c;

	forge_be(out, bits, 2);
	for (i = 0; i < octets; i++) {
		c = (unsigned char)(seed * 31 + i * 7 + 1);
		if (i == 0)
			c |= 0x80;
		if (i + 1 == octets)
			c |= 1;
		putc(c, out);
	}
}

static inline void
forge_key(FILE *out, unsigned tag, uint8_t pkalgo, unsigned seed, unsigned bits,
    uint32_t created)
{
	static const char ed25519[] = "\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"
				      "\x01\x07\x40";
	char *body;
	size_t len;
	FILE *f = open_memstream(&body, &len);

	putc(4, f);
	forge_be(f, created, 4);
	putc(pkalgo, f);
	if (pkalgo == 22) {
		fwrite(ed25519, 1, sizeof ed25519 - 1, f);
		for (bits = 0; bits < 32; bits++)
			putc((int)((seed + bits) & 0xFF), f);
	} else {
		forge_mpi(f, seed, bits);
		if (pkalgo == 16)
			forge_mpi(f, seed + 1, 8);
		forge_mpi(f, seed + 2, 16);
	}
	fclose(f);
	forge_packet(out, tag, body, len);
	free(body);
}

struct forged_sig {
	uint8_t type, flags, reason;
	uint32_t created, key_expires;
	const unsigned char *issuer;
};

static inline void
forge_hashed(FILE *f, const struct forged_sig *sig)
{
	forge_be(f, 5 << 8 | 2, 2);
	forge_be(f, sig->created, 4);
	if (sig->key_expires != 0) {
		forge_be(f, 5 << 8 | 9, 2);
		forge_be(f, sig->key_expires, 4);
	}
	if (sig->flags != 0) {
		forge_be(f, 2 << 8 | 27, 2);
		putc(sig->flags, f);
	}
	if (sig->type == 0x20 || sig->type == 0x28 || sig->type == 0x30) {
		forge_be(f, 2 << 8 | 29, 2);
		putc(sig->reason, f);
	}
	forge_be(f, 9 << 8 | 16, 2);
	fwrite(sig->issuer, 1, 8, f);
}

static inline void
forge_sig(FILE *out, const struct forged_sig *sig)
{
	char *hashed, *body;
	size_t hashed_len, len;
	FILE *f;

	f = open_memstream(&hashed, &hashed_len);
	forge_hashed(f, sig);
	fclose(f);
	f = open_memstream(&body, &len);
	putc(4, f);
	putc(sig->type, f);
	putc(1, f); /* RSA */
	putc(8, f); /* SHA-256 */
	forge_be(f, (uint32_t)hashed_len, 2);
	fwrite(hashed, 1, hashed_len, f);
	forge_be(f, 0, 2);
	forge_be(f, 0x1234, 2);
	forge_mpi(f, sig->created, 64);
	fclose(f);
	forge_packet(out, PGP_TAG_SIGNATURE, body, len);
	free(hashed);
	free(body);
}

static inline void
forge_ids(FILE *f, const struct forged *what, const unsigned char *issuer)
{
	struct forged_sig sig = {.type = 0x13,
	    .flags = 0x03,
	    .key_expires = what->expires,
	    .created = what->created,
	    .issuer = issuer};
	struct forged_sig revocation = {.type = 0x30,
	    .reason = 32,
	    .created = what->created + 60,
	    .issuer = issuer};
	const struct forged_id *id;
	char text[32];
	unsigned i;

	for (i = 0; i < 4 && (id = &what->id[i])->text != NULL; i++) {
		forge_packet(f, PGP_TAG_USERID, id->text,
		    id->len > 0 ? id->len : strlen(id->text));
		/* The first one is the newest, and so the primary one. */
		sig.created = what->created + 10 - i;
		forge_sig(f, &sig);
		if (id->revoked)
			forge_sig(f, &revocation);
	}
	sig.created = what->created;
	for (i = 0; i < what->nextra; i++) {
		snprintf(text, sizeof text, "extra %u", i + 1);
		forge_packet(f, PGP_TAG_USERID, text, strlen(text));
		forge_sig(f, &sig);
	}
}

static inline void
forge_subkeys(FILE *f, const struct forged *what, const unsigned char *issuer)
{
	struct forged_sig sig = {.type = 0x18, .issuer = issuer};
	const struct forged_subkey *sub;
	unsigned i;

	for (i = 0; i < 3 && (sub = &what->subkey[i])->pkalgo != 0; i++) {
		forge_key(f, PGP_TAG_PUBLIC_SUBKEY, sub->pkalgo,
		    what->seed + 100 + i, sub->bits, sub->created);
		sig.type = 0x18;
		sig.created = sub->created;
		sig.key_expires = sub->expires;
		sig.flags = sub->flags;
		forge_sig(f, &sig);
		if (!sub->revoked)
			continue;
		sig.type = 0x28;
		sig.created = sub->created + 60;
		sig.key_expires = 0;
		sig.flags = 0;
		forge_sig(f, &sig);
	}
}

static inline struct pgp_cert *
forge_issued(const struct forged *what, const unsigned char *issuer)
{
	struct forged_sig revocation = {.type = 0x20,
	    .reason = what->reason,
	    .created = what->created + 30,
	    .issuer = issuer};
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	enum pgp_status status;
	char *octets;
	size_t len;
	FILE *f = open_memstream(&octets, &len);

	forge_key(
	    f, PGP_TAG_PUBLIC_KEY, 1, what->seed, what->bits, what->created);
	if (what->revoked)
		forge_sig(f, &revocation);
	forge_ids(f, what, issuer);
	forge_subkeys(f, what, issuer);
	fclose(f);
	status = pgp_cert_parse((unsigned char *)octets, len,
	    &pgp_policy_default, true, FORGE_NOW, &left, &cert);
	free(octets);
	return status == PGP_OK ? cert : NULL;
}

/* NULL when it could not be parsed.  The signatures name the key as issuer,
 * which is only known once it was read. */
static inline struct pgp_cert *
forge(const struct forged *what)
{
	struct forged bare = *what;
	unsigned char keyid[8] = {0};
	struct pgp_cert *cert;

	memset(bare.subkey, 0, sizeof bare.subkey);
	bare.nextra = 0;
	if ((cert = forge_issued(&bare, keyid)) == NULL)
		return NULL;
	memcpy(keyid, cert->components[0].keyid, 8);
	pgp_cert_free(cert);
	return forge_issued(what, keyid);
}

#endif
