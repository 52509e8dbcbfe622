/*
 * Self-signatures judged in process: signatures of every kind made here, each
 * rule with one that breaks it and nothing else, and gpg's word on all of
 * them.  What goes into a digest is written down here a second time.
 */
#include "mailkeyd/checker.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/jail.h"
#include "tests/unit/pgp_octets.h"

#include <dirent.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREATED 1577880000u /* of all keys: 2020-01-01 12:00 */
#define SIGNED	(CREATED + 60)
#define BODY	6000

struct octets {
	unsigned char o[BODY];
	size_t len;
};

static void
add(struct octets *b, const void *p, size_t n)
{
	assert_true(n <= BODY - b->len);
	if (n > 0)
		memcpy(b->o + b->len, p, n);
	b->len += n;
}

static void
add_number(struct octets *b, unsigned long v, size_t octets)
{
	while (octets-- > 0) {
		unsigned char c = (unsigned char)(v >> 8 * octets);

		add(b, &c, 1);
	}
}

static void
add_mpi(struct octets *b, const unsigned char *p, size_t n)
{
	size_t bits;
	unsigned top;

	for (; n > 0 && *p == 0; p++)
		n--;
	bits = n * 8;
	for (top = n > 0 ? *p : 0x80; (top & 0x80) == 0; top <<= 1)
		bits--;
	add_number(b, bits, 2);
	add(b, p, n);
}

static void
add_bn(struct octets *b, const BIGNUM *n)
{
	unsigned char p[BODY];

	add_mpi(b, p, (size_t)BN_bn2bin(n, p));
}

/* ---- keys ---------------------------------------------------------------- */

enum kind {
	RSA2048,
	RSA1024,
	DSA1,
	DSA2,
	P256,
	P384,
	P521,
	K256,
	BP256,
	BP384,
	BP512,
	EDDSA, /* with its number from before RFC 9580 */
	ED25519,
	ED448,
	X25519,
	KINDS
};

static const struct kind_of_key {
	unsigned algo, bits, q;
	const char *type, *group, *oid;
} kinds[KINDS] = {
    [RSA2048] = {1, 2048, 0, "RSA", NULL, NULL},
    [RSA1024] = {1, 1024, 0, "RSA", NULL, NULL},
    [DSA1] = {17, 1024, 160, "DSA", NULL, NULL},
    [DSA2] = {17, 1024, 224, "DSA", NULL, NULL},
    [P256] = {19, 0, 0, "EC", "P-256", "2a8648ce3d030107"},
    [P384] = {19, 0, 0, "EC", "P-384", "2b81040022"},
    [P521] = {19, 0, 0, "EC", "P-521", "2b81040023"},
    [K256] = {19, 0, 0, "EC", "secp256k1", "2b8104000a"},
    [BP256] = {19, 0, 0, "EC", "brainpoolP256r1", "2b2403030208010107"},
    [BP384] = {19, 0, 0, "EC", "brainpoolP384r1", "2b240303020801010b"},
    [BP512] = {19, 0, 0, "EC", "brainpoolP512r1", "2b240303020801010d"},
    [EDDSA] = {22, 0, 0, "ED25519", NULL, "2b06010401da470f01"},
    [ED25519] = {27, 0, 0, "ED25519", NULL, NULL},
    [ED448] = {28, 0, 0, "ED448", NULL, NULL},
    [X25519] = {25, 0, 0, "X25519", NULL, NULL},
};

static EVP_PKEY *made[2][KINDS]; /* primary keys and subkeys */

static EVP_PKEY *
dsa_parameters(const struct kind_of_key *k)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	EVP_PKEY *p = NULL;

	assert_int_equal(EVP_PKEY_paramgen_init(ctx), 1);
	EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, (int)k->bits);
	EVP_PKEY_CTX_set_dsa_paramgen_q_bits(ctx, (int)k->q);
	assert_int_equal(EVP_PKEY_paramgen(ctx, &p), 1);
	EVP_PKEY_CTX_free(ctx);
	return p;
}

static EVP_PKEY *
generate(const struct kind_of_key *k)
{
	EVP_PKEY *p = k->q != 0 ? dsa_parameters(k) : NULL, *key = NULL;
	EVP_PKEY_CTX *ctx =
	    p != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, p, NULL)
		      : EVP_PKEY_CTX_new_from_name(NULL, k->type, NULL);

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	if (k->group != NULL)
		EVP_PKEY_CTX_set_group_name(ctx, k->group);
	else if (k->q == 0 && k->bits != 0)
		EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)k->bits);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(p);
	return key;
}

static EVP_PKEY *
key_of(enum kind kind, bool sub)
{
	if (made[sub][kind] == NULL)
		made[sub][kind] = generate(&kinds[kind]);
	return made[sub][kind];
}

static void
add_parameter(struct octets *b, EVP_PKEY *key, const char *name)
{
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	add_bn(b, n);
	BN_free(n);
}

static const unsigned char *weak_point; /* instead of the next Ed25519 key */

static void
add_material(struct octets *b, enum kind kind, EVP_PKEY *key)
{
	static const char *const rsa[] = {"n", "e"}, *const dsa[] = {
							 "p", "q", "g", "pub"};
	const struct kind_of_key *k = &kinds[kind];
	unsigned char oid[16], point[200] = {0x40};
	size_t n = sizeof(point) - 1;

	for (size_t i = 0; k->algo == 1 && i < 2; i++)
		add_parameter(b, key, rsa[i]);
	for (size_t i = 0; k->algo == 17 && i < 4; i++)
		add_parameter(b, key, dsa[i]);
	if (k->bits != 0)
		return;
	if (k->oid != NULL) {
		n = octets_of_hex(k->oid, oid, sizeof(oid));
		add_number(b, n, 1);
		add(b, oid, n);
		n = sizeof(point) - 1;
	}
	if (k->group != NULL) {
		assert_int_equal(
		    EVP_PKEY_get_octet_string_param(
			key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n),
		    1);
		add_mpi(b, point, n);
		return;
	}
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, point + 1, &n), 1);
	if (weak_point != NULL)
		memcpy(point + 1, weak_point, 32);
	if (k->oid != NULL)
		add_mpi(b, point, n + 1);
	else
		add(b, point + 1, n);
}

static void
add_key(struct octets *b, unsigned version, enum kind kind, bool sub)
{
	struct octets material = {.len = 0};

	add_material(&material, kind, key_of(kind, sub));
	add_number(b, version, 1);
	add_number(b, CREATED, 4);
	if (version == 3)
		add_number(b, 0, 2);
	add_number(b, kinds[kind].algo, 1);
	if (version == 6)
		add_number(b, material.len, 4);
	add(b, material.o, material.len);
}

/* ---- signatures ---------------------------------------------------------- */

static const struct hash {
	const char *name;
	size_t salt;
} hashes[] = {
    [1] = {"MD5", 0},
    [2] = {"SHA1", 0},
    [3] = {"RIPEMD160", 0},
    [8] = {"SHA256", 16},
    [9] = {"SHA384", 24},
    [10] = {"SHA512", 32},
    [11] = {"SHA224", 16},
    [12] = {"SHA3-256", 16},
    [14] = {"SHA3-512", 32},
};

static void
add_value(struct octets *b, enum kind kind, EVP_PKEY *key, const char *hash,
    const unsigned char *digest, size_t len)
{
	const struct kind_of_key *k = &kinds[kind];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char value[BODY];
	const unsigned char *p = value;
	size_t n = sizeof(value);
	const BIGNUM *r, *s;
	DSA_SIG *sig;

	if (k->algo == 22 || k->algo == 27 || k->algo == 28) {
		assert_int_equal(
		    EVP_DigestSignInit(md, NULL, NULL, NULL, key), 1);
		assert_int_equal(EVP_DigestSign(md, value, &n, digest, len), 1);
	} else {
		assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
		if (k->algo == 1)
			EVP_PKEY_CTX_set_signature_md(
			    ctx, EVP_get_digestbyname(hash));
		assert_int_equal(EVP_PKEY_sign(ctx, value, &n, digest, len), 1);
	}
	if (k->algo == 1) {
		add_mpi(b, value, n);
	} else if (k->algo == 22) {
		add_mpi(b, value, n / 2);
		add_mpi(b, value + n / 2, n / 2);
	} else if (k->algo >= 27) {
		add(b, value, n);
	} else {
		sig = d2i_DSA_SIG(NULL, &p, (long)n);
		assert_non_null(sig);
		DSA_SIG_get0(sig, &r, &s);
		add_bn(b, r);
		add_bn(b, s);
		DSA_SIG_free(sig);
	}
	EVP_MD_CTX_free(md);
	EVP_PKEY_CTX_free(ctx);
}

/* RFC 9580, 5.2.4. */
static void
add_hashed_key(struct octets *b, const struct octets *key)
{
	if (key->o[0] == 6) {
		add_number(b, 0x9b, 1);
		add_number(b, key->len, 4);
	} else {
		add_number(b, 0x99, 1);
		add_number(b, key->len, 2);
	}
	add(b, key->o, key->len);
}

/* Whatever a case may differ in; zeros are an ordinary certification. */
struct recipe {
	const char *name;
	enum kind kind;	    /* of the primary key */
	unsigned version;   /* of the primary key: 4 */
	unsigned sig;	    /* version of the signature: as the key */
	unsigned type;	    /* 0x13 */
	unsigned hash;	    /* SHA-256 */
	unsigned algo;	    /* the key's */
	const char *hashed; /* more subpackets */
	const char *odd;    /* the subkey's algorithm and material */
	unsigned bits;	    /* of an RSA subkey's modulus */
	enum kind sub;	    /* of the subkey, if any */
	unsigned sub_version;
	enum flaw {
		SOUND,
		ATTRIBUTE, /* no flaw: on a user attribute */
		VALUE_BIT,
		HASHED_BIT,
		LEFT_BIT,     /* no flaw: nobody has to look at them */
		UNHASHED_BIT, /* no flaw: nobody signs it */
		UID_BIT,
		PRIMARY_BIT, /* its creation: another key */
		SUBKEY_BIT,
		BY_ANOTHER, /* made by another key in our name */
		ISSUER_OTHER_ID,
		ISSUER_UNNAMED,
		OLDER,
		UNDATED,
		LEADING_ZERO, /* in the key's last number */
		TRAILING,     /* an octet behind the value */
		WRONG_PREFIX, /* a v3 signature hashed as v4, and back */
		ON_PRIMARY,   /* a type that belongs elsewhere */
		ON_UID,
		BACKED, /* no flaw: a back-signature, and flags that ask it */
		BACK_BIT,
		BACK_MISSING,
		BACK_OLDER,
		BACK_CRITICAL,
		EMPTY_UID,     /* no flaw */
		LONG_UID_FITS, /* no flaw: 2,000 octets */
		LONG_UID,      /* 2,001 octets: left to gpg */
		SALT_BIT
	} flaw;
	enum pgp_verdict verdict;
	bool gpg; /* accepts it */
};

struct claim {
	struct octets primary, on, signature;
	unsigned tag; /* of what it stands on */
	struct pgp_component id;
};

struct maker {
	const struct recipe *r;
	struct claim *c;
	unsigned version, hash, type, keyver;
	uint32_t created;
	EVP_PKEY *signer;
	enum kind kind;
	const struct pgp_component *issuer;
	unsigned char salt[32];
};

static void
add_area(struct octets *b, const struct maker *m, const struct octets *area)
{
	add_number(b, area->len, m->version == 6 ? 4 : 2);
	add(b, area->o, area->len);
}

static void
add_issuer(struct octets *area, const struct maker *m)
{
	unsigned len = m->issuer->fpr.len;

	if (m->version == 6 || m->r->flaw == ISSUER_OTHER_ID) {
		add_number(area, len + 2, 1);
		add_number(area, 33, 1);
		add_number(area, m->issuer->version, 1);
		add(area, m->issuer->fpr.octet, len);
		if (m->r->flaw == ISSUER_OTHER_ID)
			area->o[area->len - 1] ^= 1;
	}
	if (m->version != 6) {
		add_number(area, 9, 1);
		add_number(area, 16, 1);
		add(area, m->issuer->keyid, 8);
	}
}

/* What is signed of the signature itself, its own octets first. */
static void
add_head(struct octets *b, const struct maker *m, const struct octets *embedded)
{
	struct octets area = {.len = 0};
	unsigned char more[BODY];

	add_number(b, m->version, 1);
	if (m->version == 3) {
		add_number(b, 5, 1);
		add_number(b, m->type, 1);
		add_number(b, m->created, 4);
		return;
	}
	add_number(b, m->type, 1);
	add_number(b, m->r->algo != 0 ? m->r->algo : kinds[m->kind].algo, 1);
	add_number(b, m->hash, 1);
	if (m->r->flaw != UNDATED) {
		add_number(&area, 0x0502, 2);
		add_number(&area, m->created, 4);
	}
	if (m->r->flaw != ISSUER_UNNAMED)
		add_issuer(&area, m);
	if (m->r->hashed != NULL && m->type != 0x19)
		add(&area, more,
		    octets_of_hex(m->r->hashed, more, sizeof(more)));
	if (m->r->flaw == BACK_CRITICAL && m->type == 0x19)
		add(&area, "\x02\xe4\x00", 3);
	if (m->r->flaw >= BACKED && m->r->flaw <= BACK_CRITICAL &&
	    m->type == 0x18)
		add(&area, "\x02\x1b\x02", 3); /* flags: to sign */
	if (embedded->len > 0) {
		/* in two octets, or five: RFC 9580, 5.2.3.7 */
		add_number(&area, 0xff, 1);
		add_number(&area, embedded->len + 1, 4);
		add_number(&area, 32, 1);
		add(&area, embedded->o, embedded->len);
	}
	add_area(b, m, &area);
}

static void
digest_of(const struct maker *m, const struct octets *head,
    unsigned char *digest, unsigned *len)
{
	bool prefix = (m->version != 3) != (m->r->flaw == WRONG_PREFIX);
	struct octets all = {.len = 0};
	const struct claim *c = m->c;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (m->version == 6)
		add(&all, m->salt, hashes[m->hash].salt);
	add_hashed_key(&all, &c->primary);
	if (c->tag == PGP_TAG_PUBLIC_SUBKEY) {
		add_hashed_key(&all, &c->on);
	} else if (c->tag != 0) {
		if (prefix) {
			add_number(
			    &all, c->tag == PGP_TAG_USERID ? 0xb4 : 0xd1, 1);
			add_number(&all, c->on.len, 4);
		}
		add(&all, c->on.o, c->on.len);
	}
	if (m->version == 3) {
		add(&all, head->o + 2, 5);
	} else {
		add(&all, head->o, head->len);
		add_number(&all, m->version, 1);
		add_number(&all, 0xff, 1);
		add_number(&all, head->len, 4);
	}
	assert_int_equal(EVP_Digest(all.o, all.len, digest, len,
			     EVP_get_digestbyname(hashes[m->hash].name), NULL),
	    1);
	EVP_MD_CTX_free(md);
}

static void
sign(const struct maker *m, const struct octets *embedded, struct octets *out)
{
	struct octets unhashed = {.len = 0};
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	out->len = 0;
	add_head(out, m, embedded);
	digest_of(m, out, digest, &len);
	if (m->version == 3) {
		add(out, m->issuer->keyid, 8);
		add_number(out, kinds[m->kind].algo, 1);
		add_number(out, m->hash, 1);
	} else {
		if (m->r->flaw == UNHASHED_BIT)
			add(&unhashed, "\x02\xe4\x00", 3);
		add_area(out, m, &unhashed);
	}
	add(out, digest, 2);
	if (m->version == 6) {
		add_number(out, hashes[m->hash].salt, 1);
		add(out, m->salt, hashes[m->hash].salt);
		if (m->r->flaw == SALT_BIT)
			out->o[out->len - 1] ^= 1;
	}
	add_value(out, m->kind, m->signer, hashes[m->hash].name, digest, len);
}

static void
identify(struct octets *body, unsigned tag, struct pgp_component *id)
{
	char *data = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&data, &len);

	assert_int_equal(pgp_packet_write(f, tag, body->o, body->len), 0);
	fclose(f);
	assert_int_equal(
	    pgp_key_identify((unsigned char *)data, len, id), PGP_OK);
	free(data);
}

/* The back-signature of a subkey, which stands on the same two keys. */
static void
sign_back(const struct maker *m, struct octets *out)
{
	static const struct octets none = {.len = 0};
	struct maker back = *m;
	struct pgp_component id;

	identify(&m->c->on, PGP_TAG_PUBLIC_SUBKEY, &id);
	back.type = 0x19;
	back.signer = key_of(m->r->sub, true);
	back.kind = m->r->sub;
	back.issuer = &id;
	if (m->r->flaw == BACK_OLDER)
		back.created = CREATED - 1;
	sign(&back, &none, out);
	if (m->r->flaw == BACK_BIT)
		out->o[out->len - 3] ^= 1;
}

static void
add_odd_key(struct octets *b, const struct recipe *r)
{
	unsigned char material[2500];

	add_number(b, 4, 1);
	add_number(b, CREATED, 4);
	if (r->odd != NULL) {
		add(b, material,
		    octets_of_hex(r->odd, material, sizeof(material)));
		return;
	}
	memset(material, 0xff, sizeof(material));
	material[0] = (unsigned char)(0xff >> (7 - (r->bits - 1) % 8));
	add_number(b, 1, 1);
	add_mpi(b, material, (r->bits + 7) / 8);
	add_mpi(b, (const unsigned char *)"\1\0\1", 3);
}

static void
put_on(struct claim *c, const struct recipe *r, unsigned type)
{
	static const unsigned char photo[] = {3, 1, 'x', 'y'};

	c->tag = PGP_TAG_USERID;
	if (type == 0x1f || type == 0x20)
		c->tag = 0;
	if (type == 0x18 || type == 0x28)
		c->tag = PGP_TAG_PUBLIC_SUBKEY;
	if (r->flaw == ATTRIBUTE)
		c->tag = PGP_TAG_ATTRIBUTE;
	if (r->flaw == ON_PRIMARY)
		c->tag = 0;
	if (r->flaw == ON_UID)
		c->tag = PGP_TAG_USERID;
	if (c->tag == PGP_TAG_USERID && r->flaw != EMPTY_UID)
		add(&c->on, "Eve <e@example.org>", 19);
	while ((r->flaw == LONG_UID && c->on.len < 2001) ||
	       (r->flaw == LONG_UID_FITS && c->on.len < 2000))
		add(&c->on, "e", 1);
	if (c->tag == PGP_TAG_ATTRIBUTE)
		add(&c->on, photo, sizeof(photo));
	if (c->tag == PGP_TAG_PUBLIC_SUBKEY && (r->odd || r->bits))
		add_odd_key(&c->on, r);
	else if (c->tag == PGP_TAG_PUBLIC_SUBKEY)
		add_key(&c->on,
		    r->sub_version != 0 ? r->sub_version
		    : r->version != 0	? r->version
					: 4,
		    r->sub, true);
}

/* One change, after all was signed. */
static void
bend(struct claim *c, enum flaw flaw)
{
	switch (flaw) {
	case VALUE_BIT:
		c->signature.o[c->signature.len - 3] ^= 1;
		break;
	case HASHED_BIT:
		c->signature.o[c->signature.o[0] == 3 ? 6 : 11] ^= 1;
		break;
	case LEFT_BIT:
		c->signature
		    .o[c->signature.o[0] == 3 ? 17 : 8u + c->signature.o[5]] ^=
		    1;
		break;
	case UID_BIT:
		c->on.o[1] ^= 1;
		break;
	case PRIMARY_BIT:
		c->primary.o[4] ^= 1;
		break;
	case SUBKEY_BIT:
		c->on.o[4] ^= 1;
		break;
	case TRAILING:
		add(&c->signature, "\0", 1);
		break;
	default:
		break;
	}
}

/* A zero octet before the exponent, of which the length tells. */
static void
pad_number(struct octets *key)
{
	assert_int_equal(key->o[5], 1);
	key->len -= 5;
	add(key, "\0\x19\0\1\0\1", 6);
}

static void
make(const struct recipe *r, struct claim *c)
{
	static const struct octets none = {.len = 0};
	struct octets back = {.len = 0};
	struct maker m = {.r = r, .c = c, .kind = r->kind};

	memset(c, 0, sizeof(*c));
	m.keyver = r->version != 0 ? r->version : 4;
	m.version = r->sig != 0 ? r->sig : m.keyver;
	m.hash = r->hash != 0 ? r->hash : 8;
	m.type = r->type != 0 ? r->type : 0x13;
	m.created = r->flaw == OLDER ? CREATED - 1 : SIGNED;
	m.signer = key_of(r->kind, r->flaw == BY_ANOTHER);
	add_key(&c->primary, m.keyver, r->kind, false);
	if (r->flaw == LEADING_ZERO)
		pad_number(&c->primary);
	put_on(c, r, m.type);
	identify(&c->primary, PGP_TAG_PUBLIC_KEY, &c->id);
	m.issuer = &c->id;
	if (r->flaw >= BACKED && r->flaw <= BACK_CRITICAL &&
	    r->flaw != BACK_MISSING)
		sign_back(&m, &back);
	sign(&m, back.len > 0 ? &back : &none, &c->signature);
	bend(c, r->flaw);
}

static enum pgp_verdict
judge_with(struct pgp_verifier *v, const struct claim *c)
{
	struct pgp_packet primary = {.tag = PGP_TAG_PUBLIC_KEY,
	    .body = c->primary.o,
	    .len = c->primary.len};
	struct pgp_packet on = {
	    .tag = c->tag, .body = c->on.o, .len = c->on.len};
	struct pgp_packet signature = {.tag = PGP_TAG_SIGNATURE,
	    .body = c->signature.o,
	    .len = c->signature.len};

	return pgp_claim_verify(v, &primary, &on, &signature);
}

static enum pgp_verdict
judge(const struct claim *c)
{
	struct pgp_verifier *v = pgp_verifier_new();
	enum pgp_verdict verdict = judge_with(v, c);

	pgp_verifier_free(v);
	return verdict;
}

/* ---- gpg ----------------------------------------------------------------- */

#define ASKED_MAX 400

static char home[64];
static pid_t checker;
static int sock = -1;

static int
setup(void **state)
{
	const char *b = getenv("B");
	char path[512];
	struct ipc_msg m;
	int pair[2];

	(void)state;
	snprintf(home, sizeof(home), "/tmp/verify.XXXXXX");
	assert_non_null(mkdtemp(home));
	snprintf(
	    path, sizeof(path), "%s/mailkeyd-checker", b == NULL ? "build" : b);
	assert_int_equal(ipc_pair(pair), 0);
	checker = fork();
	if (checker == 0) {
		dup2(pair[1], 3); /* which it is not: cmocka has one open */
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	sock = pair[0];
	ipc_msg_init(&m, CHECKER_CONFIG, 0);
	snprintf(m.text, sizeof(m.text), "%s", home);
	m.a = 60000;
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
	return 0;
}

static int
teardown(void **state)
{
	int status;

	(void)state;
	close(sock);
	waitpid(checker, &status, 0);
	rmdir(home);
	for (size_t i = 0; i < KINDS; i++) {
		EVP_PKEY_free(made[0][i]);
		EVP_PKEY_free(made[1][i]);
	}
	return 0;
}

static void
put_claim(struct ipc_out *out, const struct claim *c)
{
	struct row r;
	struct pgp_blob b;

	row_open(&r);
	row_packet(&r, PGP_TAG_PUBLIC_KEY, c->primary.o, c->primary.len);
	if (c->tag != 0)
		row_packet(&r, c->tag, c->on.o, c->on.len);
	row_packet(&r, PGP_TAG_SIGNATURE, c->signature.o, c->signature.len);
	b = row_close(&r);
	ipc_put_blob(out, b.data, b.len);
	pgp_blob_free(&b, false);
}

static void
ask_gpg(const struct ipc_out *out, size_t n, unsigned char *verdict)
{
	struct ipc_msg m;
	char *data;
	size_t len;

	assert_false(out->failed);
	ipc_msg_init(&m, CHECKER_JUDGE, 1);
	m.fd[0] = ipc_memfd("record", out->data, out->len, true);
	assert_int_equal(ipc_send(sock, &m), 0);
	ipc_msg_close(&m);
	assert_int_equal(ipc_recv(sock, &m), 1);
	if (m.status != CHECKER_OK)
		fail_msg("checker: %s", m.text);
	assert_int_equal(ipc_slurp(m.fd[0], ASKED_MAX, &data, &len), 0);
	assert_int_equal(len, n);
	memcpy(verdict, data, n);
	free(data);
	ipc_msg_close(&m);
}

/* ---- cases --------------------------------------------------------------- */

static const struct recipe recipes[] = {
    {.name = "rsa", .kind = RSA2048, .gpg = true},
    {.name = "rsa 1024", .kind = RSA1024, .gpg = true},
    {.name = "dsa, q of 160", .kind = DSA1, .gpg = true},
    {.name = "dsa, q of 224", .kind = DSA2, .gpg = true},
    {.name = "p256", .kind = P256, .gpg = true},
    {.name = "p384", .kind = P384, .hash = 9, .gpg = true},
    {.name = "p521", .kind = P521, .hash = 10, .gpg = true},
    {.name = "secp256k1", .kind = K256, .gpg = true},
    {.name = "bp256", .kind = BP256, .gpg = true},
    {.name = "bp384", .kind = BP384, .hash = 9, .gpg = true},
    {.name = "bp512", .kind = BP512, .hash = 10, .gpg = true},
    {.name = "eddsa", .kind = EDDSA, .gpg = true},
    {.name = "ed25519", .kind = ED25519},
    {.name = "ed448", .kind = ED448, .hash = 10},
    /* digests */
    {.name = "rsa md5", .hash = 1, .verdict = PGP_BAD},
    {.name = "rsa sha1", .hash = 2, .gpg = true},
    {.name = "rsa ripemd160", .hash = 3, .gpg = true},
    {.name = "rsa sha384", .hash = 9, .gpg = true},
    {.name = "rsa sha512", .hash = 10, .gpg = true},
    {.name = "rsa sha224", .hash = 11, .gpg = true},
    {.name = "rsa sha3", .hash = 12, .verdict = PGP_UNDECIDED},
    {.name = "dsa 160 sha1", .kind = DSA1, .hash = 2, .gpg = true},
    {.name = "dsa 160 sha512", .kind = DSA1, .hash = 10, .gpg = true},
    {.name = "dsa 224 sha1", .kind = DSA2, .hash = 2, .verdict = PGP_BAD},
    {.name = "dsa 224 sha224", .kind = DSA2, .hash = 11, .gpg = true},
    {.name = "p256 sha1", .kind = P256, .hash = 2, .verdict = PGP_BAD},
    {.name = "p256 sha224", .kind = P256, .hash = 11, .verdict = PGP_BAD},
    {.name = "p256 sha512", .kind = P256, .hash = 10, .gpg = true},
    {.name = "p384 sha256", .kind = P384, .verdict = PGP_BAD},
    {.name = "p521 sha384", .kind = P521, .hash = 9, .verdict = PGP_BAD},
    {.name = "bp512 sha384", .kind = BP512, .hash = 9, .verdict = PGP_BAD},
    {.name = "eddsa sha1", .kind = EDDSA, .hash = 2, .gpg = true},
    {.name = "eddsa sha224", .kind = EDDSA, .hash = 11, .gpg = true},
    {.name = "eddsa sha512", .kind = EDDSA, .hash = 10, .gpg = true},
    {.name = "eddsa md5", .kind = EDDSA, .hash = 1, .verdict = PGP_BAD},
    {.name = "ed25519 sha1", .kind = ED25519, .hash = 2, .verdict = PGP_BAD},
    {.name = "ed25519 sha224", .kind = ED25519, .hash = 11, .verdict = PGP_BAD},
    {.name = "ed25519 sha3", .kind = ED25519, .hash = 14},
    {.name = "ed448 sha256", .kind = ED448, .verdict = PGP_BAD},
    /* types, and what they stand on */
    {.name = "0x10", .type = 0x10, .gpg = true},
    {.name = "0x11", .type = 0x11, .gpg = true},
    {.name = "0x12", .type = 0x12, .gpg = true},
    {.name = "0x30", .type = 0x30, .gpg = true},
    {.name = "0x1f", .type = 0x1f, .gpg = true},
    {.name = "0x20", .type = 0x20, .gpg = true},
    {.name = "0x18", .type = 0x18, .sub = RSA1024, .gpg = true},
    {.name = "0x28", .type = 0x28, .sub = RSA1024, .gpg = true},
    {.name = "0x18 x25519", .type = 0x18, .sub = X25519, .gpg = true},
    {.name = "attribute", .flaw = ATTRIBUTE, .gpg = true},
    {.name = "attribute revoked", .type = 0x30, .flaw = ATTRIBUTE, .gpg = true},
    {.name = "0x13 on the primary", .flaw = ON_PRIMARY, .verdict = PGP_BAD},
    {.name = "0x30 on the primary",
	.type = 0x30,
	.flaw = ON_PRIMARY,
	.verdict = PGP_BAD},
    {.name = "0x18 on the primary",
	.type = 0x18,
	.flaw = ON_PRIMARY,
	.verdict = PGP_BAD},
    {.name = "0x1f on a user id",
	.type = 0x1f,
	.flaw = ON_UID,
	.verdict = PGP_BAD},
    {.name = "0x20 on a user id",
	.type = 0x20,
	.flaw = ON_UID,
	.verdict = PGP_BAD},
    {.name = "0x18 on a user id",
	.type = 0x18,
	.flaw = ON_UID,
	.verdict = PGP_BAD},
    {.name = "0x00 on a user id", .type = 0x40, .verdict = PGP_BAD},
    {.name = "empty user id", .flaw = EMPTY_UID, .gpg = true},
    {.name = "user id of 2000", .flaw = LONG_UID_FITS, .gpg = true},
    {.name = "user id of 2001",
	.flaw = LONG_UID,
	.verdict = PGP_UNDECIDED,
	.gpg = true},
    /* signatures of version 3 */
    {.name = "v3 on v4", .sig = 3, .gpg = true},
    {.name = "v3 with a prefix",
	.sig = 3,
	.flaw = WRONG_PREFIX,
	.verdict = PGP_BAD},
    {.name = "v4 without", .flaw = WRONG_PREFIX, .verdict = PGP_BAD},
    {.name = "v3 0x18", .sig = 3, .type = 0x18, .sub = RSA1024, .gpg = true},
    {.name = "v3 0x20", .sig = 3, .type = 0x20, .gpg = true},
    {.name = "v3 on an attribute", .sig = 3, .flaw = ATTRIBUTE, .gpg = true},
    {.name = "v3 older",
	.sig = 3,
	.flaw = OLDER,
	.verdict = PGP_BAD,
	.gpg = true},
    {.name = "v3 another time",
	.sig = 3,
	.flaw = HASHED_BIT,
	.verdict = PGP_BAD},
    /* one bit */
    {.name = "value", .flaw = VALUE_BIT, .verdict = PGP_BAD},
    {.name = "value of dsa",
	.kind = DSA1,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "value of p256",
	.kind = P256,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "value of eddsa",
	.kind = EDDSA,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "value of ed25519",
	.kind = ED25519,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "value of ed448",
	.kind = ED448,
	.hash = 10,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "hashed area", .flaw = HASHED_BIT, .verdict = PGP_BAD},
    {.name = "left 16 bits", .flaw = LEFT_BIT, .gpg = true},
    {.name = "unhashed area", .flaw = UNHASHED_BIT, .gpg = true},
    {.name = "user id", .flaw = UID_BIT, .verdict = PGP_BAD},
    {.name = "primary", .flaw = PRIMARY_BIT, .type = 0x1f, .verdict = PGP_BAD},
    {.name = "subkey",
	.type = 0x18,
	.sub = RSA1024,
	.flaw = SUBKEY_BIT,
	.verdict = PGP_BAD},
    {.name = "subkey, revoked",
	.type = 0x28,
	.sub = RSA1024,
	.flaw = SUBKEY_BIT,
	.verdict = PGP_BAD},
    {.name = "revoked, value",
	.type = 0x20,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    /* who and when */
    {.name = "by another in our name", .flaw = BY_ANOTHER, .verdict = PGP_BAD},
    {.name = "another fingerprint",
	.flaw = ISSUER_OTHER_ID,
	.verdict = PGP_BAD,
	.gpg = true},
    {.name = "no issuer", .flaw = ISSUER_UNNAMED, .verdict = PGP_BAD},
    {.name = "older than its key",
	.flaw = OLDER,
	.verdict = PGP_BAD,
	.gpg = true},
    {.name = "no time", .flaw = UNDATED, .verdict = PGP_BAD, .gpg = true},
    {.name = "not exportable", .hashed = "020400", .verdict = PGP_BAD},
    {.name = "a revoker in confidence",
	.type = 0x1f,
	.hashed = "170cc001 0000000000000000000000000000000000000000",
	.gpg = true},
    {.name = "a revoker",
	.type = 0x1f,
	.hashed = "170c8001 0000000000000000000000000000000000000000",
	.gpg = true},
    /* algorithms that do not go together, and numbers out of form */
    {.name = "rsa key, rsa-sign signature", .algo = 3, .gpg = true},
    {.name = "rsa key, dsa signature", .algo = 17, .verdict = PGP_BAD},
    {.name = "a number with a leading zero",
	.flaw = LEADING_ZERO,
	.verdict = PGP_UNDECIDED},
    {.name = "an octet behind the value",
	.flaw = TRAILING,
	.verdict = PGP_UNDECIDED},
    /* notations */
    {.name = "critical notation",
	.hashed = "0f 94 80000000 0005 0001 6140622e63 78",
	.verdict = PGP_BAD},
    /* back-signatures */
    {.name = "back eddsa",
	.type = 0x18,
	.sub = EDDSA,
	.flaw = BACKED,
	.gpg = true},
    {.name = "back rsa",
	.type = 0x18,
	.sub = RSA1024,
	.flaw = BACKED,
	.gpg = true},
    {.name = "back ed25519",
	.type = 0x18,
	.sub = ED25519,
	.flaw = BACKED,
	.gpg = true},
    {.name = "back of ed25519 and ed448",
	.kind = ED25519,
	.hash = 10,
	.type = 0x18,
	.sub = ED448,
	.flaw = BACKED},
    {.name = "back missing",
	.type = 0x18,
	.sub = EDDSA,
	.flaw = BACK_MISSING,
	.verdict = PGP_BAD},
    {.name = "back value",
	.type = 0x18,
	.sub = EDDSA,
	.flaw = BACK_BIT,
	.verdict = PGP_BAD},
    {.name = "back older",
	.type = 0x18,
	.sub = EDDSA,
	.flaw = BACK_OLDER,
	.verdict = PGP_BAD},
    {.name = "back critical",
	.type = 0x18,
	.sub = EDDSA,
	.flaw = BACK_CRITICAL,
	.verdict = PGP_BAD},
    {.name = "back x25519",
	.type = 0x18,
	.sub = X25519,
	.flaw = BACK_MISSING,
	.verdict = PGP_BAD},
    /* subkeys that gpg reads, or does not */
    {.name = "subkey of 12 octets",
	.type = 0x18,
	.odd = "63 616161616161",
	.gpg = true},
    {.name = "subkey of 10 octets",
	.type = 0x18,
	.odd = "63 61616161",
	.verdict = PGP_UNDECIDED},
    {.name = "ecdh, oid and kdf of 2",
	.type = 0x18,
	.odd = "12 022b65 0007 41 020108",
	.gpg = true},
    {.name = "ecdh, oid of 1",
	.type = 0x18,
	.odd = "12 012b 0007 41 03010807",
	.verdict = PGP_UNDECIDED},
    {.name = "ecdh, kdf of 1",
	.type = 0x18,
	.odd = "12 022b65 0007 41 0101",
	.verdict = PGP_UNDECIDED},
    {.name = "ecdh, a longer number",
	.type = 0x18,
	.odd = "12 022b65 0008 41 03010807",
	.verdict = PGP_UNDECIDED},
    {.name = "subkey of 16384 bits", .type = 0x18, .bits = 16384, .gpg = true},
    {.name = "subkey of 16385 bits",
	.type = 0x18,
	.bits = 16385,
	.verdict = PGP_UNDECIDED},
    /* keys of version 3, which gpg 2.2 does not read */
    {.name = "v3 key md5", .version = 3, .hash = 1},
    {.name = "v3 key sha1", .version = 3, .hash = 2},
    {.name = "v3 key revoked", .version = 3, .type = 0x20, .hash = 1},
    {.name = "v3 key value",
	.version = 3,
	.hash = 1,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "v3 key user id",
	.version = 3,
	.hash = 1,
	.flaw = UID_BIT,
	.verdict = PGP_BAD},
    {.name = "v3 key, v4 signature", .version = 3, .sig = 4, .hash = 1},
    {.name = "v3 key, subkey",
	.version = 3,
	.type = 0x18,
	.sub = RSA2048,
	.sub_version = 4,
	.verdict = PGP_BAD},
    /* version 6 */
    {.name = "v6 ed25519", .version = 6, .kind = ED25519},
    {.name = "v6 ed448", .version = 6, .kind = ED448, .hash = 10},
    {.name = "v6 ed448 sha256",
	.version = 6,
	.kind = ED448,
	.verdict = PGP_BAD},
    {.name = "v6 rsa", .version = 6, .kind = RSA2048, .hash = 10},
    {.name = "v6 p384", .version = 6, .kind = P384, .hash = 9},
    {.name = "v6 bp256", .version = 6, .kind = BP256},
    {.name = "v6 sha224", .version = 6, .kind = RSA2048, .hash = 11},
    {.name = "v6 sha3-256", .version = 6, .kind = ED25519, .hash = 12},
    {.name = "v6 sha3-512", .version = 6, .kind = ED25519, .hash = 14},
    {.name = "v6 attribute", .version = 6, .kind = ED25519, .flaw = ATTRIBUTE},
    {.name = "v6 direct", .version = 6, .kind = ED25519, .type = 0x1f},
    {.name = "v6 revoked", .version = 6, .kind = ED25519, .type = 0x20},
    {.name = "v6 subkey",
	.version = 6,
	.kind = ED25519,
	.type = 0x18,
	.sub = X25519},
    {.name = "v6 subkey revoked",
	.version = 6,
	.kind = ED25519,
	.type = 0x28,
	.sub = X25519},
    {.name = "v6 back",
	.version = 6,
	.kind = ED25519,
	.type = 0x18,
	.sub = ED25519,
	.flaw = BACKED},
    {.name = "v6 back value",
	.version = 6,
	.kind = ED25519,
	.type = 0x18,
	.sub = ED25519,
	.flaw = BACK_BIT,
	.verdict = PGP_BAD},
    {.name = "v6 back missing",
	.version = 6,
	.kind = ED25519,
	.type = 0x18,
	.sub = ED25519,
	.flaw = BACK_MISSING,
	.verdict = PGP_BAD},
    {.name = "v6 salt",
	.version = 6,
	.kind = ED25519,
	.flaw = SALT_BIT,
	.verdict = PGP_BAD},
    {.name = "v6 value",
	.version = 6,
	.kind = ED25519,
	.flaw = VALUE_BIT,
	.verdict = PGP_BAD},
    {.name = "v6 hashed area",
	.version = 6,
	.kind = ED25519,
	.flaw = HASHED_BIT,
	.verdict = PGP_BAD},
    {.name = "v6 user id",
	.version = 6,
	.kind = ED25519,
	.flaw = UID_BIT,
	.verdict = PGP_BAD},
    {.name = "v6 older",
	.version = 6,
	.kind = ED25519,
	.flaw = OLDER,
	.verdict = PGP_BAD},
    {.name = "v6 another fingerprint",
	.version = 6,
	.kind = ED25519,
	.flaw = ISSUER_OTHER_ID,
	.verdict = PGP_BAD},
    {.name = "v6 subkey of version 4",
	.version = 6,
	.kind = ED25519,
	.type = 0x18,
	.sub = X25519,
	.sub_version = 4,
	.verdict = PGP_BAD},
    {.name = "v4 subkey of version 6",
	.kind = ED25519,
	.type = 0x18,
	.sub = X25519,
	.sub_version = 6,
	.verdict = PGP_BAD},
    {.name = "v6 key, v4 signature",
	.version = 6,
	.sig = 4,
	.kind = ED25519,
	.verdict = PGP_BAD},
    {.name = "v4 key, v6 signature",
	.sig = 6,
	.kind = ED25519,
	.verdict = PGP_BAD},
    {.name = "v6 dsa", .version = 6, .kind = DSA1, .verdict = PGP_UNDECIDED},
    {.name = "v6 eddsa of old",
	.version = 6,
	.kind = EDDSA,
	.verdict = PGP_UNDECIDED},
};
#define NRECIPES (sizeof(recipes) / sizeof(recipes[0]))

static void
test_recipe(void **state)
{
	const struct recipe *r = *state;
	struct claim c;

	make(r, &c);
	assert_int_equal(judge(&c), r->verdict);
}

/* gpg says what the table says, and nothing is good that it refuses. */
static void
test_gpg(void **state)
{
	static unsigned char verdict[NRECIPES];
	struct ipc_out out = {NULL, 0, 0, false};
	static struct claim c;
	size_t i, bad = 0;

	(void)state;
	ipc_put_u32(&out, NRECIPES);
	for (i = 0; i < NRECIPES; i++) {
		make(&recipes[i], &c);
		put_claim(&out, &c);
	}
	ask_gpg(&out, NRECIPES, verdict);
	ipc_out_free(&out);
	for (i = 0; i < NRECIPES; i++)
		if (verdict[i] != recipes[i].gpg) {
			print_message(
			    "gpg: %s: %d\n", recipes[i].name, verdict[i]);
			bad++;
		}
	assert_int_equal(bad, 0);
}

/* Every type of subpacket, critical: what gpg takes is taken, and no more. */
static void
test_critical(void **state)
{
	static unsigned char verdict[128];
	static struct claim c[128];
	struct ipc_out out = {NULL, 0, 0, false};
	size_t i, differ = 0;
	char hex[32];

	(void)state;
	ipc_put_u32(&out, 128);
	for (i = 0; i < 128; i++) {
		struct recipe r = {.kind = EDDSA, .hashed = hex};

		snprintf(
		    hex, sizeof(hex), "05%02x5e0c8bc0", (unsigned)i | 0x80);
		make(&r, &c[i]);
		put_claim(&out, &c[i]);
	}
	ask_gpg(&out, 128, verdict);
	ipc_out_free(&out);
	for (i = 0; i < 128; i++)
		/* as an issuer, the octets would name another key */
		if (i != 16 && i != 33 &&
		    (judge(&c[i]) == PGP_GOOD) != verdict[i]) {
			print_message("critical %zu: gpg %d\n", i, verdict[i]);
			differ++;
		}
	assert_int_equal(differ, 0);
}

/* ---- what a stranger makes us spend ---------------------------------------
 */

/*
 * A key of numbers that nobody computed.  A signature by another is bad where
 * the key could be verified with, and left to gpg where not.
 */
static void
test_absurd_keys(void **state)
{
	static const struct {
		unsigned algo, bits[4];
		enum pgp_verdict verdict;
	} cases[] = {
	    {1, {1024, 17}, PGP_BAD},
	    {1, {1023, 17}, PGP_UNDECIDED},
	    {1, {16384, 17}, PGP_BAD},
	    {1, {16385, 17}, PGP_UNDECIDED},
	    {1, {2048, 33}, PGP_BAD},
	    {1, {2048, 34}, PGP_UNDECIDED},
	    {17, {1024, 160, 1023, 1023}, PGP_BAD},
	    {17, {1023, 160, 1023, 1023}, PGP_UNDECIDED},
	    {17, {4096, 256, 4096, 4096}, PGP_BAD},
	    {17, {4097, 256, 4096, 4096}, PGP_UNDECIDED},
	    {17, {1024, 161, 1023, 1023}, PGP_UNDECIDED},
	    {17, {1024, 160, 1025, 1023}, PGP_UNDECIDED},
	    {17, {1024, 160, 1023, 1025}, PGP_UNDECIDED},
	};
	const struct recipe r = {.kind = EDDSA};
	unsigned char number[4096];
	struct claim c;

	(void)state;
	memset(number, 0xff, sizeof(number));
	make(&r, &c);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c.primary.len = 5;
		add_number(&c.primary, cases[i].algo, 1);
		for (size_t j = 0; j < 4 && cases[i].bits[j] != 0; j++) {
			unsigned bits = cases[i].bits[j];

			number[0] =
			    (unsigned char)(0xff >> (7 - (bits - 1) % 8));
			add_mpi(&c.primary, number, (bits + 7) / 8);
		}
		if (judge(&c) != cases[i].verdict)
			fail_msg("case %zu: %u", i, judge(&c));
	}
}

/* Under a point of small order, R = B and S = 1 fit any digest, or many. */
static void
test_weak_points(void **state)
{
	static const char *const points[] = {
	    "01", /* the neutral one */
	    "0100000000000000 0000000000000000 0000000000000000 "
	    "0000000000000080",
	    "ecffffffffffffff ffffffffffffffff ffffffffffffffff "
	    "ffffffffffffff7f",
	    "00",
	    "0000000000000000 0000000000000000 0000000000000000"
	    "0000000000000080",
	    "26e8958fc2b227b0 45c3f489f2ef98f0 d5dfac05d3c63339 "
	    "b13802886d53fc05",
	    "26e8958fc2b227b0 45c3f489f2ef98f0 d5dfac05d3c63339 "
	    "b13802886d53fc85",
	    "c7176a703d4dd84f ba3c0b760d10670f 2a2053fa2c39ccc6 "
	    "4ec7fd7792ac037a",
	    "c7176a703d4dd84f ba3c0b760d10670f 2a2053fa2c39ccc6 "
	    "4ec7fd7792ac03fa",
	    "edffffffffffffff ffffffffffffffff ffffffffffffffff "
	    "ffffffffffffff7f",
	    "eeffffffffffffff ffffffffffffffff ffffffffffffffff "
	    "ffffffffffffff7f",
	};
	const struct recipe r = {.kind = ED25519, .version = 4};
	static struct claim c;

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		unsigned char point[32] = {0};

		octets_of_hex(points[i], point, sizeof(point));
		weak_point = point;
		make(&r, &c);
		weak_point = NULL;
		memset(c.signature.o + c.signature.len - 64, 0x66, 32);
		c.signature.o[c.signature.len - 64] = 0x58;
		memset(c.signature.o + c.signature.len - 32, 0, 32);
		c.signature.o[c.signature.len - 32] = 1;
		if (judge(&c) != PGP_UNDECIDED)
			fail_msg("%s: %u", points[i], judge(&c));
	}
}

/* Claims without end: what is left of the certificate is refused, the next
 * one is judged. */
static void
test_budget(void **state)
{
	enum { PHOTO = 65000, WORK = 8000 };
	const struct recipe r = {.version = 6, .kind = ED25519},
			    other = {.kind = EDDSA};
	struct pgp_verifier *v = pgp_verifier_new();
	unsigned char *photo = calloc(1, PHOTO);
	struct pgp_packet primary = {.tag = PGP_TAG_PUBLIC_KEY},
			  signature = {.tag = PGP_TAG_SIGNATURE},
			  on = {.tag = PGP_TAG_ATTRIBUTE,
			      .body = photo,
			      .len = PHOTO};
	static struct claim c, next;
	enum pgp_verdict verdict = PGP_UNDECIDED;
	unsigned n;

	(void)state;
	make(&r, &c);
	make(&other, &next);
	primary.body = c.primary.o;
	primary.len = c.primary.len;
	signature.body = c.signature.o;
	signature.len = c.signature.len - 1; /* hashed, but not verified */
	assert_int_equal(judge_with(v, &c), PGP_GOOD);
	for (n = 0; n < WORK && verdict == PGP_UNDECIDED; n++)
		verdict = pgp_claim_verify(v, &primary, &on, &signature);
	assert_in_range(n, 1000, WORK - 1);
	assert_int_equal(judge_with(v, &c), PGP_BAD);
	assert_int_equal(judge_with(v, &next), PGP_GOOD);
	assert_int_equal(judge_with(v, &c), PGP_GOOD);
	pgp_verifier_free(v);
	free(photo);
}

/* ---- certificates of others ---------------------------------------------- */

/* Judges each signature of a certificate; the number of good ones, or -1. */
static int
good_of_key(const char *name)
{
	struct pgp_blob b = octets_of_key(name), joined = {NULL, 0};
	struct pgp_packet primary = {.tag = 0}, on = {.tag = 0}, p;
	struct pgp_verifier *v = pgp_verifier_new();
	size_t pos = 0;
	int good = 0;

	while (pgp_packet_read(b.data, b.len, &pos, &joined, &p) == PGP_OK) {
		if (p.tag == PGP_TAG_PUBLIC_KEY)
			primary = p;
		else if (p.tag != PGP_TAG_SIGNATURE)
			on = p;
		else if (pgp_claim_verify(v, &primary, &on, &p) == PGP_GOOD &&
			 good >= 0)
			good++;
		else
			good = -1;
	}
	pgp_verifier_free(v);
	pgp_blob_free(&b, false);
	return good;
}

static void
test_others(void **state)
{
	(void)state;
	assert_int_equal(good_of_key("rfc9580-v6.asc"), 2);
	assert_int_equal(good_of_key("grace-v3key.asc"), 1);
	assert_int_equal(good_of_key("mona-v6.asc"), 4);
	assert_int_equal(good_of_key("lou-v4.asc"), 2);
}

/* ---- in a jail ----------------------------------------------------------- */

static void
put_case(struct ipc_out *out, const struct recipe *r)
{
	static struct claim c;

	make(r, &c);
	ipc_put_u32(out, r->verdict);
	ipc_put_u32(out, c.tag);
	ipc_put_blob(out, c.primary.o, c.primary.len);
	ipc_put_blob(out, c.on.o, c.on.len);
	ipc_put_blob(out, c.signature.o, c.signature.len);
}

static void
take_blob(struct ipc_in *in, struct octets *out)
{
	size_t len;
	const unsigned char *p = ipc_get_blob(in, &len);

	if (len > BODY)
		_exit(3);
	out->len = len;
	if (len > 0)
		memcpy(out->o, p, len);
}

/* A process of its own, where libcrypto has done nothing before. */
static int
jailed(void)
{
	const struct jail_limits limits = {
	    .memory = (uint64_t)256 << 20, .cpu = 20};
	struct pgp_verifier *v;
	struct jail *jail;
	struct ipc_in in = {.data = NULL};
	static struct claim c;
	const char *what;
	char *data;

	if (ipc_slurp(0, 1 << 24, &data, &in.len) == -1)
		return 2;
	in.data = (unsigned char *)data;
	pgp_verifier_prepare();
	jail = jail_new(JAIL_VERIFY, &limits, &what);
	if (jail == NULL || jail_lock(jail, &what) == -1)
		return 2;
	v = pgp_verifier_new();
	while (in.pos < in.len) {
		enum pgp_verdict verdict = ipc_get_u32(&in);

		c.tag = ipc_get_u32(&in);
		take_blob(&in, &c.primary);
		take_blob(&in, &c.on);
		take_blob(&in, &c.signature);
		if (in.failed || judge_with(v, &c) != verdict)
			_exit(4);
	}
	pgp_verifier_free(v);
	jail_free(jail);
	_exit(0);
}

static void
test_jailed(void **state)
{
	struct ipc_out out = {NULL, 0, 0, false};
	int fd, status;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < NRECIPES; i++)
		put_case(&out, &recipes[i]);
	assert_false(out.failed);
	fd = ipc_memfd("cases", out.data, out.len, false);
	ipc_out_free(&out);
	pid = fork();
	if (pid == 0) {
		lseek(fd, 0, SEEK_SET);
		dup2(fd, 0);
		execl("/proc/self/exe", "verify", "--jailed", (char *)NULL);
		_exit(127);
	}
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(int argc, char **argv)
{
	struct CMUnitTest tests[NRECIPES + 8];
	size_t n = 0;

	if (argc == 2 && strcmp(argv[1], "--jailed") == 0)
		return jailed();
	for (; n < NRECIPES; n++)
		tests[n] = (struct CMUnitTest){recipes[n].name, test_recipe,
		    NULL, NULL, (void *)(uintptr_t)&recipes[n]};
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_gpg);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_critical);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_absurd_keys);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_weak_points);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_budget);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_others);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_jailed);
	return _cmocka_run_group_tests("verify", tests, n, setup, teardown);
}
