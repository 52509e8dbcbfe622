/*
 * Certificates of every version, and those that nobody here can verify: read,
 * written down, capped, merged, stored and found.
 */
#include "db/internal.h"
#include "tests/unit/pgp_octets.h"
#include "tests/unit/same_cert.h"
#include "tests/unit/tempstore.h"

#define CREATED 1577880000u
#define SHA256	8

static struct pgp_policy
keeping(void)
{
	struct pgp_policy policy = pgp_policy_default;

	policy.keep_unverified = true;
	return policy;
}

static struct pgp_cert *
parse_with(struct pgp_blob b, const struct pgp_policy *policy,
    enum pgp_trust trust, struct pgp_left_out *left)
{
	struct pgp_cert *cert = NULL;

	assert_int_equal(
	    pgp_cert_parse(b.data, b.len, policy, trust, NOW, left, &cert),
	    PGP_OK);
	return cert;
}

/* Read and cleaned, as it would go into the store. */
static struct pgp_cert *
taken(struct pgp_blob b, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	struct pgp_cert *cert = parse_with(b, policy, PGP_CLAIMED, left);

	pgp_blob_free(&b, false);
	if (!pgp_cert_opaque(cert))
		verify_all(cert);
	assert_int_equal(pgp_cert_clean(cert, policy, left), PGP_OK);
	return cert;
}

/* ---- files --------------------------------------------------------------- */

struct case_file {
	const char *name;
	size_t component; /* of this one is what follows */
	size_t ncomponents;
	unsigned version, pkalgo, bits;
	const char *fpr, *keyid;
	bool unverified, opaque;
};

/* The fingerprints are those that their makers computed; grace's is that of
 * the numbers by md5sum. */
static const struct case_file files[] = {
    {"grace-v3key.asc", 0, 2, 3, 1, 1024, "27114CFED3AF3FA6F5B67AD4C0A19BEA",
	"9524687704EDE8FD", true, false},
    {"judy-v5.asc", 0, 3, 5, 22, 255,
	"ADB2B189B1BCBFEFFF3E6DFBD359E86FF924FFFD997FFA322B86AD034518C9D2",
	"ADB2B189B1BCBFEF", true, true},
    {"kim-mldsa.asc", 0, 3, 6, 30, 0,
	"C31B55DDF95481460B6CF954F756E51FC6A58E21E9FF3705F261CE1B38F3FB95",
	"C31B55DDF9548146", true, true},
    {"lou-v4.asc", 0, 3, 4, 27, 255, "15B5FD05FE3FBB316974F1DAB2602EB992D7B23B",
	"B2602EB992D7B23B", false, false},
    {"mona-v6.asc", 0, 4, 6, 28, 448,
	"A2834C59F278CE904109BC261996BD0554EDA502922D27B878EED295E9B366FA",
	"A2834C59F278CE90", false, false},
    {"rfc9580-v6.asc", 1, 2, 6, 25, 255,
	"12C83F1E706F6308FE151A417743A1F033790E93E9978488D1DB378DA9930885",
	"12C83F1E706F6308", false, false},
};
#define FILES (sizeof(files) / sizeof(*files))

static void
file_read(void **state)
{
	const struct case_file *c = *state;
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = taken(octets_of_key(c->name), &policy, &left);
	const struct pgp_component *key = &cert->components[c->component];
	unsigned char keyid[8];
	char hex[PGP_FPR_HEX];

	assert_int_equal(cert->ncomponents, c->ncomponents);
	assert_int_equal(key->version, c->version);
	assert_int_equal(key->pkalgo, c->pkalgo);
	assert_int_equal(key->bits, c->bits);
	assert_string_equal(pgp_fpr_hex(&key->fpr, hex), c->fpr);
	octets_of_hex(c->keyid, keyid, sizeof(keyid));
	assert_memory_equal(key->keyid, keyid, 8);
	assert_int_equal(cert->unverified, c->unverified);
	assert_int_equal(pgp_cert_opaque(cert), c->opaque);
	for (unsigned i = 0; i < PGP_LEFT_REASONS; i++)
		assert_int_equal(left.n[i], 0);
	pgp_cert_free(cert);
}

/* What the store would write is what it reads, and nothing changes then. */
static void
file_canonical(void **state)
{
	const struct case_file *c = *state;
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = taken(octets_of_key(c->name), &policy, &left);
	struct pgp_cert *again;
	struct pgp_blob one, two;

	assert_int_equal(pgp_cert_octets(cert, &one), PGP_OK);
	again = parse_with(one, &pgp_policy_default,
	    cert->unverified ? PGP_UNVERIFIED : PGP_VERIFIED, &left);
	assert_int_equal(again->unverified, cert->unverified);
	assert_int_equal(pgp_cert_opaque(again), pgp_cert_opaque(cert));
	assert_int_equal(again->components[1].sigs[0]->verified, !c->opaque);
	assert_true(reads_alike(again));
	assert_int_equal(pgp_cert_octets(again, &two), PGP_OK);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	pgp_blob_free(&one, false);
	pgp_blob_free(&two, false);
	pgp_cert_free(again);
	pgp_cert_free(cert);
}

/* Where the policy keeps no such thing, nothing is taken. */
static void
file_dropped(void **state)
{
	const struct case_file *c = *state;
	struct pgp_blob b = octets_of_key(c->name);
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = NULL;

	assert_int_equal(pgp_cert_parse(b.data, b.len, &pgp_policy_default,
			     PGP_CLAIMED, NOW, &left, &cert),
	    c->unverified ? PGP_UNSUPPORTED : PGP_OK);
	pgp_cert_free(cert);
	pgp_blob_free(&b, false);
}

/* ---- keys that nobody knows, put together by hand ------------------------ */

struct maker {
	struct row row;
	unsigned version, pkalgo;
	struct pgp_component key;
};

static void
put_be(FILE *f, size_t v, unsigned octets)
{
	while (octets-- > 0)
		putc((int)(v >> (8 * octets) & 0xff), f);
}

static void
maker_key(struct maker *m, unsigned tag, size_t material, unsigned seed)
{
	struct row body;
	struct pgp_blob b;

	row_open(&body);
	put_be(body.f, m->version, 1);
	put_be(body.f, CREATED, 4);
	put_be(body.f, m->pkalgo, 1);
	if (m->version > 4)
		put_be(body.f, material, 4);
	for (size_t i = 0; i < material; i++)
		putc((int)(seed + i) & 0xff, body.f);
	b = row_close(&body);
	row_packet(&m->row, tag, b.data, b.len);
	pgp_blob_free(&b, false);
}

static void
maker_open(struct maker *m, unsigned version, unsigned pkalgo, size_t material)
{
	m->version = version;
	m->pkalgo = pkalgo;
	row_open(&m->row);
	maker_key(m, PGP_TAG_PUBLIC_KEY, material, 1);
	fflush(m->row.f);
	assert_int_equal(
	    pgp_key_identify((unsigned char *)m->row.data, m->row.len, &m->key),
	    PGP_OK);
}

static void
maker_userid(struct maker *m, const char *text)
{
	row_packet(&m->row, PGP_TAG_USERID, text, strlen(text));
}

static void
maker_value(struct maker *m, unsigned type, uint32_t created,
    const unsigned char *value, size_t len)
{
	const unsigned wide = m->version == 6 ? 4 : 2;
	struct row body;
	struct pgp_blob b;

	row_open(&body);
	put_be(body.f, m->version, 1);
	put_be(body.f, type, 1);
	put_be(body.f, m->pkalgo, 1);
	put_be(body.f, SHA256, 1);
	put_be(body.f, 6 + 3 + m->key.fpr.len, wide);
	put_be(body.f, 5 << 8 | 2, 2);
	put_be(body.f, created, 4);
	put_be(body.f, (2u + m->key.fpr.len) << 8 | 33, 2);
	put_be(body.f, m->version, 1);
	fwrite(m->key.fpr.octet, 1, m->key.fpr.len, body.f);
	put_be(body.f, 0, wide);
	put_be(body.f, 0x1234, 2);
	if (m->version == 6) {
		put_be(body.f, 16, 1);
		for (unsigned i = 0; i < 16; i++)
			putc((int)i, body.f);
	}
	fwrite(value, 1, len, body.f);
	b = row_close(&body);
	row_packet(&m->row, PGP_TAG_SIGNATURE, b.data, b.len);
	pgp_blob_free(&b, false);
}

/* A signature with a value of `len` octets, all of them `octet`. */
static void
maker_sig(struct maker *m, unsigned type, uint32_t created, size_t len,
    unsigned octet)
{
	unsigned char *value = malloc(len);

	assert_non_null(value);
	memset(value, (int)octet, len);
	maker_value(m, type, created, value, len);
	free(value);
}

static struct pgp_cert *
maker_cert(
    struct maker *m, const struct pgp_policy *policy, struct pgp_left_out *left)
{
	return taken(row_close(&m->row), policy, left);
}

/* One user ID with signatures [from, from + n) of 100 octets. */
static struct pgp_cert *
with_signatures(unsigned from, unsigned n, unsigned type,
    const struct pgp_policy *policy, struct pgp_left_out *left)
{
	struct maker m;

	maker_open(&m, 6, 32, 32);
	maker_userid(&m, "Nemo");
	maker_sig(&m, 0x13, CREATED, 100, 0);
	for (unsigned i = from; i < from + n; i++)
		maker_sig(&m, type, CREATED + i, 100, i);
	return maker_cert(&m, policy, left);
}

static uint32_t
newest(const struct pgp_component *c)
{
	return c->sigs[0]->created;
}

/* ---- sizes --------------------------------------------------------------- */

/* SLH-DSA-SHAKE-256s with a subkey, as draft-ietf-openpgp-pqc has it. */
static void
slh_dsa_fits(void **state)
{
	struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	struct pgp_blob b;
	struct maker m;

	(void)state;
	maker_open(&m, 6, 34, 64);
	maker_sig(&m, 0x1f, CREATED, 29792, 7);
	maker_userid(&m, "Nemo <nemo@example.org>");
	maker_sig(&m, 0x13, CREATED, 29792, 8);
	maker_key(&m, PGP_TAG_PUBLIC_SUBKEY, 1568 + 56, 3);
	maker_sig(&m, 0x18, CREATED, 29792, 9);
	cert = maker_cert(&m, &policy, &left);
	assert_int_equal(cert->ncomponents, 3);
	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	assert_in_range(b.len, 91000, 92000);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
}

static void
signature_size(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	struct maker m;
	/* what a signature has beside its value */
	const size_t rest = 4 + 4 + 41 + 4 + 2 + 17;

	(void)state;
	maker_open(&m, 6, 33, 64);
	maker_userid(&m, "Nemo");
	maker_sig(&m, 0x13, CREATED, policy.signature_size - rest, 7);
	maker_sig(&m, 0x13, CREATED + 1, policy.signature_size - rest + 1, 7);
	cert = maker_cert(&m, &policy, &left);
	assert_int_equal(cert->components[1].nsigs, 1);
	assert_int_equal(newest(&cert->components[1]), CREATED);
	assert_int_equal(
	    cert->components[1].sigs[0]->len, policy.signature_size + 5);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 1);
	pgp_cert_free(cert);
}

/* ---- what is kept of what nobody checked --------------------------------- */

/* LibrePGP's numbers may begin with zeros that count. */
static void
values_stay(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	struct maker m;
	static const unsigned char value[] = {0, 9, 0, 1, 0, 9, 0, 1, 99};
	const struct pgp_signature *sig;

	(void)state;
	maker_open(&m, 5, 99, 32);
	maker_userid(&m, "Nemo");
	m.pkalgo = 22; /* which has two numbers */
	maker_value(&m, 0x13, CREATED, value, sizeof(value));
	cert = maker_cert(&m, &policy, &left);
	sig = cert->components[1].sigs[0];
	assert_memory_equal(
	    sig->packet + sig->len - sizeof(value), value, sizeof(value));
	/* the left 16 bits, too */
	assert_memory_equal(
	    sig->packet + sig->len - sizeof(value) - 2, "\x12\x34", 2);
	pgp_cert_free(cert);
}

struct case_cap {
	const char *name;
	unsigned type;
	unsigned n, kept, superseded;
};

/* With the certification that is always there. */
static const struct case_cap signature_caps[] = {
    {"certifications at the limit", 0x13, 9, 10, 0},
    {"certifications past it", 0x13, 10, 10, 1},
    {"revocations at the limit", 0x30, 10, 11, 0},
    {"revocations past it", 0x30, 11, 11, 1},
};
#define SIGNATURE_CAPS (sizeof(signature_caps) / sizeof(*signature_caps))

static void
cap_one(void **state)
{
	const struct case_cap *c = *state;
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert =
	    with_signatures(1, c->n, c->type, &policy, &left);

	assert_int_equal(cert->components[1].nsigs, c->kept);
	assert_int_equal(left.n[PGP_LEFT_SUPERSEDED], c->superseded);
	assert_int_equal(left.n[PGP_LEFT_UNVERIFIED], 0);
	pgp_cert_free(cert);
}

static void
nothing_claimed(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	struct pgp_blob b;
	struct maker m;

	(void)state;
	maker_open(&m, 6, 32, 32);
	maker_userid(&m, "Nemo");
	b = row_close(&m.row);
	cert = parse_with(b, &policy, PGP_CLAIMED, &left);
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_NOT_CERT);
	assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 1);
	pgp_cert_free(cert);
	pgp_blob_free(&b, false);
}

/* ---- merges -------------------------------------------------------------- */

static void
merge(struct pgp_cert *into, struct pgp_cert *from,
    const struct pgp_policy *policy, struct pgp_added *added)
{
	assert_int_equal(pgp_cert_merge(into, from, policy, added), PGP_OK);
	pgp_cert_free(from);
}

/* Newer ones that anybody may have made push nothing out. */
static void
first_come_stays(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = with_signatures(1, 8, 0x13, &policy, &left);
	struct pgp_added added;

	(void)state;
	merge(cert, with_signatures(20, 9, 0x13, &policy, &left), &policy,
	    &added);
	assert_int_equal(cert->components[1].nsigs, 10);
	assert_int_equal(added.signatures, 1);
	assert_int_equal(newest(&cert->components[1]), CREATED + 28);
	merge(cert, with_signatures(40, 9, 0x13, &policy, &left), &policy,
	    &added);
	assert_int_equal(cert->components[1].nsigs, 10);
	assert_int_equal(added.signatures, 0);
	assert_int_equal(newest(&cert->components[1]), CREATED + 28);
	pgp_cert_free(cert);
}

/* Of two with one hashed area and other values, nobody knows which is true. */
static void
variant_stays_out(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = with_signatures(1, 1, 0x13, &policy, &left);
	struct pgp_blob before, after;
	struct pgp_added added;
	struct maker m;

	(void)state;
	assert_int_equal(pgp_cert_octets(cert, &before), PGP_OK);
	maker_open(&m, 6, 32, 32);
	maker_userid(&m, "Nemo");
	maker_sig(&m, 0x13, CREATED + 1, 90, 0);
	merge(cert, maker_cert(&m, &policy, &left), &policy, &added);
	assert_int_equal(pgp_cert_octets(cert, &after), PGP_OK);
	assert_int_equal(added.signatures, 0);
	assert_int_equal(after.len, before.len);
	assert_memory_equal(after.data, before.data, before.len);
	pgp_blob_free(&before, false);
	pgp_blob_free(&after, false);
	pgp_cert_free(cert);
}

/* A user ID each, from [from, from + n), each with one signature. */
static struct pgp_cert *
with_userids(unsigned from, unsigned n, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	struct maker m;
	char text[16];

	maker_open(&m, 6, 32, 32);
	for (unsigned i = from; i < from + n; i++) {
		snprintf(text, sizeof(text), "Nemo %04u", 9999 - i);
		maker_userid(&m, text);
		maker_sig(&m, 0x13, CREATED, 100, 1);
	}
	return maker_cert(&m, policy, left);
}

static void
userids_are_capped(void **state)
{
	struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert, *had;
	struct pgp_added added;

	(void)state;
	policy.userids = 5;
	cert = with_userids(0, 3, &policy, &left);
	had = pgp_cert_dup(cert);
	merge(cert, with_userids(3, 2, &policy, &left), &policy, &added);
	assert_int_equal(added.userids, 2);
	assert_int_equal(cert->ncomponents, 6);
	merge(cert, with_userids(5, 1, &policy, &left), &policy, &added);
	assert_int_equal(added.userids, 0);
	assert_int_equal(cert->ncomponents, 6);
	/* In order, and nothing lost. */
	for (size_t i = 2; i < 6; i++)
		assert_true(memcmp(cert->components[i - 1].body,
				cert->components[i].body, 9) < 0);
	merge(had, cert, &policy, &added);
	assert_int_equal(added.userids, 2);
	pgp_cert_free(had);
}

static void
size_is_capped(void **state)
{
	struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = with_userids(0, 1, &policy, &left);
	struct pgp_blob b;
	struct pgp_added added;
	size_t each;

	(void)state;
	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	policy.certificate_size = b.len;
	pgp_blob_free(&b, false);
	each = 11 + cert->components[1].sigs[0]->len;
	policy.certificate_size += each - 1;
	merge(cert, with_userids(1, 1, &policy, &left), &policy, &added);
	assert_int_equal(added.userids, 0);
	policy.certificate_size++;
	merge(cert, with_userids(1, 1, &policy, &left), &policy, &added);
	assert_int_equal(added.userids, 1);
	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	assert_int_equal(b.len, policy.certificate_size);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
}

/* The same key, once taken as it came and once verified, as if this program
 * had learnt its algorithm in between. */
static struct pgp_cert *
lou(enum pgp_trust trust)
{
	struct pgp_left_out left = {0};
	struct pgp_blob b = octets_of_key("lou-v4.asc");
	struct pgp_cert *cert =
	    parse_with(b, &pgp_policy_default, trust, &left);

	pgp_blob_free(&b, false);
	return cert;
}

static void
verified_replaces(void **state)
{
	struct pgp_cert *cert = lou(PGP_UNVERIFIED), *known;
	struct pgp_added added;

	(void)state;
	assert_true(pgp_cert_opaque(cert));
	/* What is stored unverified vouches for nothing. */
	known = lou(PGP_CLAIMED);
	pgp_cert_known(known, cert);
	assert_false(known->components[1].sigs[0]->verified);
	pgp_cert_free(known);

	merge(cert, lou(PGP_VERIFIED), &pgp_policy_default, &added);
	assert_false(cert->unverified);
	assert_true(cert->components[1].sigs[0]->verified);
	merge(cert, lou(PGP_UNVERIFIED), &pgp_policy_default, &added);
	assert_false(cert->unverified);
	assert_true(cert->components[1].sigs[0]->verified);
	pgp_cert_free(cert);
}

/* A v3 fingerprint does not say where one number ends and the next begins. */
static void
two_keys_one_fingerprint(void **state)
{
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert, *other;
	struct pgp_blob b, before, after;
	struct pgp_added added;

	(void)state;
	cert = taken(octets_of_key("grace-v3key.asc"), &policy, &left);
	b = octets_of_key("grace-v3key.asc");
	b.data[5] ^= 1; /* its time */
	other = parse_with(b, &policy, PGP_CLAIMED, &left);
	pgp_blob_free(&b, false);
	assert_int_equal(
	    pgp_fpr_cmp(pgp_cert_fpr(cert), pgp_cert_fpr(other)), 0);
	pgp_cert_known(other, cert);
	assert_false(other->components[1].sigs[0]->verified);
	verify_all(other);
	assert_int_equal(pgp_cert_octets(cert, &before), PGP_OK);
	merge(cert, other, &policy, &added);
	assert_int_equal(pgp_cert_octets(cert, &after), PGP_OK);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, after.len);
	pgp_blob_free(&before, false);
	pgp_blob_free(&after, false);
	pgp_cert_free(cert);
}

/* ---- the store ----------------------------------------------------------- */

static int
store_setup(void **state)
{
	struct tempstore *t = calloc(1, sizeof(*t));

	*state = t;
	return t == NULL ? -1 : tempstore_open(t);
}

static int
store_teardown(void **state)
{
	struct tempstore *t = *state;
	int ret = tempstore_close(t);

	free(t);
	return ret;
}

static size_t
found(struct tempstore *t, const char *text)
{
	struct ks_found hits;
	struct ks_query q;
	const char *why;
	size_t n;

	assert_int_equal(ks_query_parse(text, &q, &why), KS_OK);
	(void)ks_find(t->ks, &q, 2, &hits);
	n = hits.n;
	ks_query_free(&q);
	ks_found_free(&hits);
	return n;
}

static uint64_t
wrong_in(struct tempstore *t)
{
	uint64_t wrong = UINT64_MAX;

	assert_int_equal(ks_verify(t->ks, &wrong), KS_OK);
	return wrong;
}

static bool
is_unverified(struct tempstore *t, const struct pgp_fpr *fpr)
{
	struct pgp_cert *cert;
	struct ks_meta meta;

	assert_int_equal(ks_get(t->ks, fpr, &cert, &meta), KS_OK);
	assert_int_equal(cert->unverified, meta.unverified);
	pgp_cert_free(cert);
	return meta.unverified;
}

/* By all that a certificate could be found by, of which some find it. */
static void
stored_and_found(void **state)
{
	struct tempstore *t = *state;
	const struct pgp_policy policy = keeping();
	struct pgp_left_out left = {0};
	struct pgp_cert *cert =
	    taken(octets_of_key("judy-v5.asc"), &policy, &left);
	char text[2 + PGP_FPR_HEX] = "0x", subkey[2 + PGP_FPR_HEX] = "0x";

	assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
	assert_true(is_unverified(t, pgp_cert_fpr(cert)));
	assert_int_equal(wrong_in(t), 0);
	pgp_fpr_hex(&cert->components[0].fpr, text + 2);
	pgp_fpr_hex(&cert->components[2].fpr, subkey + 2);
	assert_int_equal(found(t, text), 1);
	assert_int_equal(found(t, text + 2), 1);
	assert_int_equal(found(t, subkey), 1);
	text[18] = subkey[18] = '\0'; /* the key ID is the beginning */
	assert_int_equal(found(t, text), 0);
	assert_int_equal(found(t, text + 2), 0);
	assert_int_equal(found(t, subkey), 0);
	memmove(text + 2, text + 10, 9);
	assert_int_equal(found(t, text), 0);
	assert_int_equal(found(t, "judy"), 0);
	assert_int_equal(found(t, "judy@example.org"), 0);
	assert_int_equal(found(t, "\"Judy\""), 0);
	pgp_cert_free(cert);
}

/* When it is verified after all, it is found as any other. */
static void
verified_later(void **state)
{
	struct tempstore *t = *state;
	struct pgp_cert *before = lou(PGP_UNVERIFIED);
	struct pgp_cert *after = lou(PGP_VERIFIED);

	assert_int_equal(tempstore_put(t, before, NOW), KS_OK);
	assert_true(is_unverified(t, pgp_cert_fpr(before)));
	assert_int_equal(found(t, "lou@example.org"), 0);
	/* Not one octet differs. */
	assert_int_equal(tempstore_put(t, after, NOW), KS_OK);
	assert_false(is_unverified(t, pgp_cert_fpr(after)));
	assert_int_equal(found(t, "lou@example.org"), 1);
	assert_int_equal(found(t, "0xB2602EB992D7B23B"), 1);
	assert_int_equal(found(t, "0x92D7B23B"), 1);
	assert_int_equal(wrong_in(t), 0);
	/* And so it stays. */
	assert_int_equal(tempstore_put(t, before, NOW), KS_OK);
	assert_false(is_unverified(t, pgp_cert_fpr(after)));
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(before);
	pgp_cert_free(after);
}

/* Others with the same subkey, made by anybody, hide nobody. */
static void
subkey_is_not_hidden(void **state)
{
	struct tempstore *t = *state;
	const struct pgp_policy policy = keeping();
	struct pgp_cert *cert = lou(PGP_VERIFIED);
	struct pgp_left_out left = {0};
	char text[2 + PGP_FPR_HEX] = "0x";
	struct maker m;

	pgp_fpr_hex(&cert->components[2].fpr, text + 2);
	assert_int_equal(tempstore_put(t, cert, NOW), KS_OK);
	assert_int_equal(found(t, text), 1);
	for (unsigned i = 0; i < 3; i++) {
		struct pgp_cert *other;

		maker_open(&m, 4, 99, 30 + i);
		row_packet(&m.row, PGP_TAG_PUBLIC_SUBKEY,
		    cert->components[2].body, cert->components[2].len);
		maker_sig(&m, 0x18, CREATED, 100, 1);
		maker_sig(&m, 0x1f, CREATED, 100, 1);
		other = maker_cert(&m, &policy, &left);
		assert_int_equal(other->ncomponents, 2);
		assert_int_equal(tempstore_put(t, other, NOW), KS_OK);
		pgp_cert_free(other);
		/* one more fits into an answer of two */
		assert_int_equal(found(t, text), i == 0 ? 2 : 1);
	}
	assert_int_equal(wrong_in(t), 0);
	pgp_cert_free(cert);
}

int
main(void)
{
	struct CMUnitTest tests[64];
	size_t n = 0;
	static const struct CMUnitTest alone[] = {
	    cmocka_unit_test(slh_dsa_fits),
	    cmocka_unit_test(signature_size),
	    cmocka_unit_test(values_stay),
	    cmocka_unit_test(nothing_claimed),
	    cmocka_unit_test(first_come_stays),
	    cmocka_unit_test(variant_stays_out),
	    cmocka_unit_test(userids_are_capped),
	    cmocka_unit_test(size_is_capped),
	    cmocka_unit_test(verified_replaces),
	    cmocka_unit_test(two_keys_one_fingerprint),
	    cmocka_unit_test_setup_teardown(
		stored_and_found, store_setup, store_teardown),
	    cmocka_unit_test_setup_teardown(
		verified_later, store_setup, store_teardown),
	    cmocka_unit_test_setup_teardown(
		subkey_is_not_hidden, store_setup, store_teardown),
	};

	for (size_t i = 0; i < FILES; i++) {
		void *c = (void *)(uintptr_t)&files[i];

		tests[n++] = (struct CMUnitTest){
		    files[i].name, file_read, NULL, NULL, c};
		tests[n++] = (struct CMUnitTest){
		    files[i].name, file_canonical, NULL, NULL, c};
		tests[n++] = (struct CMUnitTest){
		    files[i].name, file_dropped, NULL, NULL, c};
	}
	for (size_t i = 0; i < SIGNATURE_CAPS; i++)
		tests[n++] = (struct CMUnitTest){signature_caps[i].name,
		    cap_one, NULL, NULL, (void *)(uintptr_t)&signature_caps[i]};
	for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++)
		tests[n++] = alone[i];
	return _cmocka_run_group_tests("formats", tests, n, NULL, NULL);
}
