/*
 * Certificates that were made to hurt, through all that a real one goes
 * through: the jail's reader, the core's own framing, what is stored, claims,
 * verification, cleaning, merging.  Each in a child, for its time and memory;
 * the stored certificate must come out of it octet for octet.
 */
#include "mailkeyd/mail_read.h"
#include "tests/unit/pgp_octets.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY	(64L << 10) /* KiB, all of it: what is promised */
#define SECONDS 1.0	    /* likewise, on a quiet machine */
#define PATIENT 4	    /* how much slower another one may be */

/* alice's key ID and fingerprint as issuer subpackets; somebody's. */
#define ALICE_ID  "09 10 05E825E4425612B5"
#define ALICE_FPR "16 21 04 231A449802A0FC9B0505E4CD05E825E4425612B5"
#define OTHER_ID  "09 10 0102030405060708"

/* A stream: the head, n packets or groups of them made one by one, the tail. */
struct flood {
	struct pgp_blob head, tail;
	unsigned char one[16384]; /* the last that was made */
	size_t len, pos, n, made;
	size_t created; /* where its time stands in it, 0: nowhere */
	size_t number;	/* where its number does: 4 octets, 0: nowhere */
	int part;	/* 0 head, 1 packets, 2 tail */
	uint64_t octets;
};

static void
flood_next(struct flood *f)
{
	unsigned char *at = f->one + f->number;
	uint32_t i = (uint32_t)f->made++, t = NOW - i;

	if (f->number > 0) {
		at[0] = (unsigned char)('a' + (i >> 12 & 15));
		at[1] = (unsigned char)('a' + (i >> 8 & 15));
		at[2] = (unsigned char)('a' + (i >> 4 & 15));
		at[3] = (unsigned char)('a' + (i & 15));
	}
	at = f->one + f->created;
	if (f->created > 0) {
		at[0] = (unsigned char)(t >> 24);
		at[1] = (unsigned char)(t >> 16);
		at[2] = (unsigned char)(t >> 8);
		at[3] = (unsigned char)t;
	}
	f->pos = 0;
}

/* The octets at hand; false at the end. */
static bool
flood_part(struct flood *f, const unsigned char **p, size_t *len)
{
	const struct pgp_blob *b = f->part == 0 ? &f->head : &f->tail;

	if (f->part > 2)
		return false;
	if (f->part == 1) {
		if (f->pos == f->len && f->made < f->n)
			flood_next(f);
		*p = f->one + f->pos;
		*len = f->len - f->pos;
	} else {
		*p = b->data + f->pos;
		*len = b->len - f->pos;
	}
	if (*len > 0)
		return true;
	f->pos = ++f->part == 1 ? f->len : 0;
	return flood_part(f, p, len);
}

static long
flood_read(void *ctx, unsigned char *buf, size_t size)
{
	struct flood *f = ctx;
	const unsigned char *p;
	size_t n, done = 0;

	while (done < size && flood_part(f, &p, &n)) {
		if (n > size - done)
			n = size - done;
		memcpy(buf + done, p, n);
		f->pos += n;
		done += n;
	}
	f->octets += done;
	return (long)done;
}

/* ---- what every submission goes through ---------------------------------- */

static void
judge(struct pgp_verifier *v, const struct pgp_claim *c)
{
	static const unsigned tags[] = {PGP_TAG_PUBLIC_KEY, PGP_TAG_USERID,
	    PGP_TAG_ATTRIBUTE, PGP_TAG_PUBLIC_SUBKEY};
	struct pgp_packet primary = {.tag = PGP_TAG_PUBLIC_KEY,
	    .body = c->primary->body,
	    .len = c->primary->len};
	struct pgp_packet on = {0}, sig = {.tag = PGP_TAG_SIGNATURE,
					.body = c->sig->packet + c->sig->body,
					.len = c->sig->len - c->sig->body};

	if (c->on != c->primary)
		on = (struct pgp_packet){.tag = tags[c->on->kind],
		    .body = c->on->body,
		    .len = c->on->len};
	c->sig->verified = pgp_claim_verify(v, &primary, &on, &sig) == PGP_GOOD;
}

/* As intake.c and judge.c have it. */
static struct pgp_cert *
intake(const struct mail_cert *mc, const struct pgp_cert *stored,
    const struct pgp_policy *policy, size_t *asked, struct pgp_left_out *left)
{
	struct pgp_verifier *v = pgp_verifier_new();
	struct pgp_cert *cert = NULL;
	struct pgp_claim *claims;

	*left = mc->left;
	if (v == NULL || pgp_cert_parse(mc->packets.data, mc->packets.len,
			     policy, PGP_CLAIMED, NOW, left, &cert) != PGP_OK)
		abort();
	if (stored != NULL)
		pgp_cert_known(cert, stored);
	claims = pgp_cert_claims(cert, policy, left, asked);
	if (claims == NULL && *asked > 0)
		abort();
	for (size_t i = 0; i < *asked; i++)
		judge(v, &claims[i]);
	free(claims);
	pgp_verifier_free(v);
	if (pgp_cert_clean(cert, policy, left) == PGP_NOMEM)
		abort();
	return cert;
}

/* Every certificate of a stream into `stored`; false: it changed. */
static bool
go_through(struct flood *f, const struct pgp_cert *stored,
    const struct pgp_policy *policy, unsigned *certs, size_t *asked)
{
	struct pgp_reader *reader = pgp_reader_new(flood_read, f, policy);
	struct mail mail = {.verdict = MAIL_SOUND};
	struct mail_reading r = {
	    .mail = &mail, .policy = policy, .now = NOW, .limit = 50};
	struct pgp_cert *merged = pgp_cert_dup(stored), *cert;
	struct pgp_blob before, after;
	struct pgp_left_out left;
	struct pgp_added added;
	bool same;
	int rc;

	do
		rc = mail_certs_next(&r, reader, "the test");
	while (rc == 1);
	if (rc == -1)
		abort();
	*certs = (unsigned)mail.ncerts;
	for (size_t i = 0; i < mail.ncerts; i++) {
		cert = intake(&mail.certs[i], merged, policy, asked, &left);
		if (pgp_cert_merge(merged, cert, policy, &added) == PGP_NOMEM)
			abort();
		pgp_cert_free(cert);
	}
	if (pgp_cert_octets(merged, &after) != PGP_OK ||
	    after.len > policy->certificate_size)
		abort();
	pgp_blob_free(&after, false);
	/* Certifications by others apart, where they are kept. */
	if (pgp_cert_clean(merged, &pgp_policy_default, &left) != PGP_OK ||
	    pgp_cert_octets(stored, &before) != PGP_OK ||
	    pgp_cert_octets(merged, &after) != PGP_OK)
		abort();
	same = before.len == after.len &&
	       memcmp(before.data, after.data, before.len) == 0;
	pgp_blob_free(&before, false);
	pgp_blob_free(&after, false);
	pgp_cert_free(merged);
	pgp_reader_free(reader);
	mail_free(&mail);
	return same;
}

/* A key of tests/keys as the store has it: all of it verifies. */
static struct pgp_cert *
stored_key(const char *name)
{
	struct mail_cert mc = {.packets = octets_of_key(name)};
	struct pgp_left_out left;
	struct pgp_cert *cert;
	size_t asked;

	cert = intake(&mc, NULL, &pgp_policy_default, &asked, &left);
	assert_true(asked > 0);
	assert_int_equal(left.n[PGP_LEFT_UNVERIFIED], 0);
	pgp_blob_free(&mc.packets, false);
	return cert;
}

/* ---- floods -------------------------------------------------------------- */

static struct pgp_blob
octets_of_cert(const struct pgp_cert *cert)
{
	struct pgp_blob b;

	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	return b;
}

/* Adds a signature that nobody made to what is repeated. */
static void
repeat_signature(struct flood *f, unsigned type, const char *unhashed,
    const char *hashed, size_t padding)
{
	struct forged s = {type, NOW, hashed, unhashed, 257};
	unsigned char body[1024];
	size_t n = forged_body(body, sizeof(body), &s);
	struct pgp_blob b;
	struct row row;

	/* A larger value: an RSA key's signature is as long as its modulus. */
	row_open(&row);
	if (padding > 0) {
		body[2] = 1; /* RSA */
		n -= 8;	     /* the two MPIs */
		body[n++] = (unsigned char)(padding >> 5);
		body[n++] = (unsigned char)(padding << 3);
		memset(body + n, 0x80, padding);
		n += padding;
	}
	row_packet(&row, PGP_TAG_SIGNATURE, body, n);
	b = row_close(&row);
	assert_true(f->len + b.len <= sizeof(f->one));
	memcpy(f->one + f->len, b.data, b.len);
	/* The header, version to hashed length, length and type of the time. */
	f->created = f->len + (b.len - n) + 8;
	f->len += b.len;
	pgp_blob_free(&b, false);
}

static void
repeat_userid(struct flood *f)
{
	static const unsigned char userid[] = "\xb4\x08 0000 ab";

	memcpy(f->one + f->len, userid, 10);
	f->number = f->len + 3;
	f->len += 10;
}

/* The stored certificate around the flood, which stands behind its first k
 * components (keys, user IDs) and their signatures. */
static void
put_around(struct flood *f, const struct pgp_cert *stored, size_t k)
{
	struct pgp_blob whole = octets_of_cert(stored), joined = {NULL, 0};
	struct pgp_packet p;
	size_t pos = 0, at = whole.len;

	while (
	    pgp_packet_read(whole.data, whole.len, &pos, &joined, &p) == PGP_OK)
		if (p.tag != PGP_TAG_SIGNATURE && k-- == 0)
			at = p.start;
	f->head = (struct pgp_blob){whole.data, at};
	f->tail.len = whole.len - at;
	f->tail.data = malloc(f->tail.len + 1);
	assert_non_null(f->tail.data);
	memcpy(f->tail.data, whole.data + at, f->tail.len);
}

static void
others(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 2);
	repeat_signature(f, 0x10, OTHER_ID, NULL, 256);
}

static void
others_hashed(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 2);
	repeat_signature(f, 0x13, NULL,
	    "16 21 04 0102030405060708090A0B0C0D0E0F1011121314", 0);
}

/* Of a digest that is not known, so that nothing speaks against them. */
static void
others_unknown(struct flood *f, const struct pgp_cert *stored)
{
	others(f, stored);
	f->one[f->created - 5] = 99;
}

static void
certifications(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 2);
	repeat_signature(f, 0x13, ALICE_ID, NULL, 0);
}

static void
userid_revocations(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 2);
	repeat_signature(f, 0x30, NULL, ALICE_FPR, 0);
}

static void
direct_key(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 1);
	repeat_signature(f, 0x1f, NULL, NULL, 0); /* no issuer: ours, too */
}

static void
revocations(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 1);
	repeat_signature(f, 0x20, ALICE_ID, NULL, 0);
}

static void
bindings(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 4);
	repeat_signature(f, 0x18, ALICE_ID, NULL, 0);
}

static void
userids(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 1);
	repeat_userid(f);
	repeat_signature(f, 0x13, ALICE_ID, NULL, 0);
}

/* The genuine self-signature behind each of them. */
static void
copies(struct flood *f, const struct pgp_cert *stored)
{
	const struct pgp_signature *sig = stored->components[1].sigs[0];

	put_around(f, stored, 1);
	repeat_userid(f);
	memcpy(f->one + f->len, sig->packet, sig->len);
	f->len += sig->len;
}

/* As many to verify as there can be. */
static void
repeat_userid_with_many(
    struct flood *f, const struct pgp_cert *stored, size_t padding)
{
	static const char *const hashed[] = {NULL, "02 19 01", "02 19 00",
	    "02 1b 03", "02 1b 01", "03 0b 09 08", "03 0b 09 07", "02 1e 01"};

	put_around(f, stored, 1);
	repeat_userid(f);
	for (size_t i = 0; i < 8; i++) {
		repeat_signature(f, 0x13, NULL, hashed[i], padding);
		repeat_signature(f, 0x30, NULL, hashed[i], padding);
	}
}

static void
many_eddsa(struct flood *f, const struct pgp_cert *stored)
{
	repeat_userid_with_many(f, stored, 0);
}

static void
many_rsa(struct flood *f, const struct pgp_cert *stored)
{
	repeat_userid_with_many(f, stored, 512);
}

static void
large_signatures(struct flood *f, const struct pgp_cert *stored)
{
	put_around(f, stored, 2);
	repeat_signature(f, 0x13, ALICE_ID, NULL, 512);
}

/* One packet: 50 MB of a user ID. */
static void
large_userid(struct flood *f, const struct pgp_cert *stored)
{
	static const unsigned char header[] = {
	    0xcd, 0xff, 0x03, 0x20, 0x00, 0x00};

	put_around(f, stored, 5);
	f->head.data = realloc(f->head.data, f->head.len + sizeof(header));
	assert_non_null(f->head.data);
	memcpy(f->head.data + f->head.len, header, sizeof(header));
	f->head.len += sizeof(header);
	f->len = 8192;
	memset(f->one, 'a', f->len);
}

struct case_flood {
	const char *name, *victim;
	void (*make)(struct flood *, const struct pgp_cert *);
	bool all;	  /* signatures by others are kept */
	size_t n, claims; /* that may be verified at most */
	uint64_t octets;  /* of the stream, at least */
};

static const struct case_flood floods[] = {
    {"150,000 signatures by others", "alice.asc", others, false, 150000, 0,
	40000000},
    {"150,000 by others, hashed", "alice.asc", others_hashed, false, 150000, 0,
	1},
    {"20,000 forged self-signatures", "alice.asc", certifications, false, 20000,
	32, 1},
    {"20,000 forged revocations of a user ID", "alice.asc", userid_revocations,
	false, 20000, 32, 1},
    {"20,000 forged direct-key signatures", "alice.asc", direct_key, false,
	20000, 32, 1},
    {"20,000 forged revocations", "alice.asc", revocations, false, 20000, 512,
	1},
    {"20,000 forged bindings", "alice.asc", bindings, false, 20000, 32, 1},
    {"10,000 user IDs", "alice.asc", userids, false, 10000, 256, 1},
    {"10,000 user IDs with a genuine signature", "alice.asc", copies, false,
	10000, 256, 1},
    {"50 MB of forged self-signatures", "alice.asc", large_signatures, false,
	95000, 32, 50000000},
    {"50 MB of a user ID", "alice.asc", large_userid, false, 6400, 0, 50000000},
    {"1,000 user IDs with 16 forged signatures, Ed25519", "alice.asc",
	many_eddsa, false, 1000, 2048, 1},
    {"1,000 user IDs with 16 forged signatures, RSA 4096", "debian-rsa4096.asc",
	many_rsa, false, 1000, 2048, 1},
    {"150,000 by others, wanted by us, not by the key", "alice.asc",
	others_unknown, true, 150000, 0, 40000000},
    {"150,000 by others, wanted", "collision-1.asc", others_unknown, true,
	150000, 0, 40000000},
    {"150,000 by others, wanted, of something else", "collision-1.asc", others,
	true, 150000, 0, 40000000},
};
#define FLOODS (sizeof(floods) / sizeof(*floods))

/* In the child; the exit status says what was wrong. */
static int
flood_child(
    const struct case_flood *c, struct flood *f, const struct pgp_cert *stored)
{
	struct pgp_policy policy = pgp_policy_default;
	unsigned certs = 0;
	size_t asked = 0;

	policy.certifications = c->all ? 1000 : 0;
	if (!go_through(f, stored, &policy, &certs, &asked))
		return 1;
	if (certs != 1)
		return 2;
	if (asked > c->claims)
		return 3;
	if (f->made != f->n || f->octets < c->octets)
		return 4;
	return 0;
}

static void
flood_one(void **state)
{
	static const char *const wrong[] = {"",
	    "the stored certificate changed", "not one certificate was found",
	    "too much was verified", "not all of it was read"};
	const struct case_flood *c = *state;
	struct pgp_cert *stored = stored_key(c->victim);
	struct flood f = {.n = c->n};
	struct rusage used;
	double seconds;
	int status;
	pid_t pid;

	c->make(&f, stored);
	f.pos = 0;
	fflush(NULL);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		f.pos = 0;
		_exit(flood_child(c, &f, stored));
	}
	assert_int_equal(wait4(pid, &status, 0, &used), pid);
	assert_true(WIFEXITED(status));
	status = WEXITSTATUS(status);
	if (status > 0)
		fail_msg("%s", status < 5 ? wrong[status] : "a sanitizer");
	seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		  (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	print_message(
	    "# %s: %.2f s, %ld MiB\n", c->name, seconds, used.ru_maxrss / 1024);
	assert_true(seconds < SECONDS * PATIENT * slowness());
	/* Sanitizers and valgrind have their own. */
	if (slowness() == 1)
		assert_true(used.ru_maxrss < MEMORY);
	pgp_blob_free(&f.head, false);
	pgp_blob_free(&f.tail, false);
	pgp_cert_free(stored);
}

int
main(void)
{
	struct CMUnitTest tests[FLOODS];
	size_t n = 0;

	for (size_t i = 0; i < FLOODS; i++)
		tests[n++] = (struct CMUnitTest){floods[i].name, flood_one,
		    NULL, NULL, (void *)(uintptr_t)&floods[i]};
	return _cmocka_run_group_tests("floods", tests, n, NULL, NULL);
}
