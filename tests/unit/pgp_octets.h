/*
 * What the tests of pgp/ share: octets of files, of hexadecimal digits, and of
 * packets put together by hand.
 */
#ifndef PGP_OCTETS_H
#define PGP_OCTETS_H

#include "pgp/pgp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-01: what the tests take for now. */
#define NOW 1767225600u

/* How much longer things may take under sanitizers, and under valgrind. */
static inline unsigned
slowness(void)
{
	const char *preload = getenv("LD_PRELOAD");

#ifdef SANITIZED
	return 20;
#endif
	return preload != NULL && strstr(preload, "vgpreload") != NULL ? 100
								       : 1;
}

static inline struct pgp_blob
octets_of_file(const char *name)
{
	struct pgp_blob b = {malloc(1 << 20), 0};
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "tests/keys/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(b.data);
	b.len = fread(b.data, 1, 1 << 20, f);
	assert_true(b.len > 0 && b.len < 1 << 20);
	fclose(f);
	return b;
}

/* The first armored block of a file. */
static inline struct pgp_blob
octets_of_key(const char *name)
{
	struct pgp_blob text = octets_of_file(name);
	struct pgp_armored a;
	size_t pos = 0;

	assert_int_equal(
	    pgp_dearmor((char *)text.data, text.len, &pos, &a), PGP_OK);
	pgp_blob_free(&text, false);
	return a.blob;
}

/* Of pairs of digits; blanks between pairs are nothing. */
static inline size_t
octets_of_hex(const char *hex, unsigned char *out, size_t size)
{
	size_t n = 0;
	unsigned v;

	while (*hex != '\0') {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_true(n < size);
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		out[n++] = (unsigned char)v;
		hex += 2;
	}
	return n;
}

/* A growing row of octets. */
struct row {
	FILE *f;
	char *data;
	size_t len;
};

static inline void
row_open(struct row *r)
{
	r->f = open_memstream(&r->data, &r->len);
	assert_non_null(r->f);
}

static inline struct pgp_blob
row_close(struct row *r)
{
	assert_int_equal(fclose(r->f), 0);
	return (struct pgp_blob){(unsigned char *)r->data, r->len};
}

static inline void
row_packet(struct row *r, unsigned tag, const void *body, size_t len)
{
	assert_int_equal(pgp_packet_write(r->f, tag, body, len), 0);
}

/*
 * A signature with a value that nobody computed: EdDSA over SHA-256, two
 * MPIs.  Only judging it would tell.
 */
struct forged {
	unsigned type;
	uint32_t created;
	const char *hashed;   /* subpackets in hexadecimal, or NULL */
	const char *unhashed; /* the same */
	unsigned value;
};

static inline size_t
forged_body(unsigned char *out, size_t size, const struct forged *s)
{
	unsigned char *p = out;
	unsigned char head[] = {4, (unsigned char)s->type, 22, 8};
	unsigned char tail[] = {0, 0, 0, 32, 0x80, 0, 0, 1, 0, 17, 1,
	    (unsigned char)(s->value >> 8), (unsigned char)s->value};
	size_t n;

	memcpy(p, head, 4);
	n = s->hashed == NULL ? 0 : octets_of_hex(s->hashed, p + 12, size - 12);
	p[6] = 5;
	p[7] = 2;
	p[8] = (unsigned char)(s->created >> 24);
	p[9] = (unsigned char)(s->created >> 16);
	p[10] = (unsigned char)(s->created >> 8);
	p[11] = (unsigned char)s->created;
	p[4] = (unsigned char)((n + 6) >> 8);
	p[5] = (unsigned char)(n + 6);
	p += 12 + n;
	size -= 12 + n;
	n = s->unhashed == NULL ? 0
				: octets_of_hex(s->unhashed, p + 2, size - 2);
	p[0] = (unsigned char)(n >> 8);
	p[1] = (unsigned char)n;
	p += 2 + n;
	assert_true(size >= 2 + n + sizeof(tail));
	memcpy(p, tail, sizeof(tail));
	return (size_t)(p + sizeof(tail) - out);
}

static inline void
row_forged(struct row *r, struct forged s)
{
	unsigned char body[4096];

	row_packet(
	    r, PGP_TAG_SIGNATURE, body, forged_body(body, sizeof(body), &s));
}

/* The packets of a certificate that stand for its primary key. */
static inline void
row_primary(struct row *r, const struct pgp_cert *cert)
{
	row_packet(r, PGP_TAG_PUBLIC_KEY, cert->components[0].body,
	    cert->components[0].len);
}

static inline struct pgp_cert *
parse(struct pgp_blob b, struct pgp_left_out *left)
{
	struct pgp_cert *cert = NULL;

	assert_int_equal(pgp_cert_parse(b.data, b.len, &pgp_policy_default,
			     false, NOW, left, &cert),
	    PGP_OK);
	return cert;
}

static inline struct pgp_cert *
cert_of_key(const char *name)
{
	struct pgp_blob b = octets_of_key(name);
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = parse(b, &left);

	pgp_blob_free(&b, false);
	return cert;
}

/* As if everything had been verified. */
static inline void
verify_all(struct pgp_cert *cert)
{
	size_t i, j;

	for (i = 0; i < cert->ncomponents; i++)
		for (j = 0; j < cert->components[i].nsigs; j++)
			cert->components[i].sigs[j]->verified = true;
}

#endif
