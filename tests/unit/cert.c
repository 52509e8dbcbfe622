/*
 * Certificates: fingerprints as gpg has them, one form for what differs only
 * in what is not signed, what is left out and why, caps, and states.
 */
#include "tests/unit/pgp_octets.h"
#include "tests/unit/same_cert.h"

#include <time.h>

#define PRIMARY_CREATED 1577880000u /* of alice and most others */

/* ---- fingerprints -------------------------------------------------------- */

/* From gpg --show-keys --with-colons. */
struct case_fpr {
	const char *name; /* of the file */
	size_t ncomponents, component;
	unsigned bits, pkalgo;
	const char *fpr;
};

static const struct case_fpr fprs[] = {
    {"alice.asc", 5, 0, 255, 22, "231A449802A0FC9B0505E4CD05E825E4425612B5"},
    {"alice.asc", 5, 3, 255, 18, "ABC8C920CA367DCCCBAD82FD0BB5C288295664D0"},
    {"alice.asc", 5, 4, 255, 22, "D222EAFBCD8F2ED279015BE06373B16A3C2EA149"},
    {"bob.asc", 3, 0, 2048, 1, "88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E"},
    {"bob.asc", 3, 2, 2048, 1, "AFDF1D665CC227E7AA0C7B10CEA91A5B5A3C8E83"},
    {"carol-revoked.asc", 3, 0, 255, 22,
	"4D293978532AE8CB5EFF7A96D60BDC818F051381"},
    {"carol-revoked.asc", 3, 2, 255, 18,
	"8C01EA5CFBC7D42BF108452120E43D5F3A8BF2DF"},
    {"dave-expired.asc", 3, 0, 256, 19,
	"F109048702A4D961994903A50D9882F0C09F7212"},
    {"dave-expired.asc", 3, 2, 256, 18,
	"6EA87E05723C61CCAE570C1964591F63075493BD"},
    {"erin.asc", 2, 0, 255, 22, "2BBC7A934A4C22FE60EB827B62491C3F9126EBE7"},
    {"frank-v3sig.asc", 2, 0, 1024, 1,
	"65D50EE077AF0A379BC50811FECAB3565D23E3AC"},
    {"debian-dsa-elgamal.asc", 3, 0, 1024, 17,
	"C20CA1D9499DECBBD8BDACF9E415B2B4B5F5BBED"},
    {"debian-dsa-elgamal.asc", 3, 2, 2048, 16,
	"4E6CBA363A3A3708DC533C75B7A50B4134FC6FE5"},
    {"debian-ecdsa-photo.asc", 7, 0, 384, 19,
	"1984860920B60CED8D13093747D37F29E62EB8FF"},
    {"debian-ed25519.asc", 2, 0, 255, 22,
	"4D64FEC119C2029067D6E791F8D2585B8783D481"},
    {"debian-rsa1024-expired.asc", 2, 0, 1024, 1,
	"D051FE3A848DCABD4625787A6FFA8EF91DB114E0"},
    {"debian-rsa2048.asc", 4, 0, 2048, 1,
	"F2D643A558B9924C0649207BA0C5AD1359CD3653"},
    {"debian-rsa2048.asc", 4, 3, 2048, 1,
	"28A89AF3C6B23EC7EA5BD9F55C26DAA37E227DB0"},
    {"debian-rsa4096.asc", 4, 0, 4096, 1,
	"3465469CB19D61E5E2EA8AFBEF242F709F912FBE"},
    {"debian-utf8.asc", 3, 0, 255, 22,
	"7E068070D5EF794B00C8A9D91D108E6C07CBC406"},
};
#define FPRS (sizeof(fprs) / sizeof(*fprs))

static void
fingerprint_one(void **state)
{
	const struct case_fpr *c = *state;
	struct pgp_cert *cert = cert_of_key(c->name);
	const struct pgp_component *key = &cert->components[c->component];
	char hex[PGP_FPR_HEX];

	assert_int_equal(cert->ncomponents, c->ncomponents);
	assert_string_equal(pgp_fpr_hex(&key->fpr, hex), c->fpr);
	assert_memory_equal(key->keyid, key->fpr.octet + 12, 8);
	assert_int_equal(key->bits, c->bits);
	assert_int_equal(key->pkalgo, c->pkalgo);
	assert_int_equal(key->version, 4);
	pgp_cert_free(cert);
}

struct case_identify {
	const char *name, *file, *hex;
	enum pgp_status status;
	unsigned version, bits;
	const char *fpr, *keyid;
};

static const struct case_identify identifies[] = {
    {"RFC 9580, A.1", NULL,
	"98 33 04 53f35f0b 16 09 2b06010401da470f01 0107 40"
	"3f098994bdd916ed4053197934e4a87c80733a1280d62f8010992e43ee3b2406",
	PGP_OK, 4, 255, "C959BDBAFA32A2F89A153B678CFDE12197965A9A",
	"8CFDE12197965A9A"},
    {"RFC 9580, A.3", "rfc9580-v6.asc", NULL, PGP_OK, 6, 255,
	"CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9",
	"CB186C4F0609A697"},
    {"LibrePGP, version 5", NULL,
	"98 37 05 5c91f4e4 16 0000002d 092b06010401da470f01 0107 40"
	"585995571556dc1ffb6d713503d7f9e70c24904bd0c3dd7e3ef98aec7e9b2f10",
	PGP_OK, 5, 255,
	"19347BC9872464025F99DF3EC2E0000ED9884892E1F7B3EA4C94009159569B54",
	"19347BC987246402"},
    {"version 3", "grace-v3key.asc", NULL, PGP_OK, 3, 1024,
	"27114CFED3AF3FA6F5B67AD4C0A19BEA", "9524687704EDE8FD"},
    {"version 7", NULL, "98 06 07 5c91f4e4 16", PGP_UNSUPPORTED, 7, 0, "",
	"0000000000000000"},
    {"a secret key", "erin.sec.asc", NULL, PGP_SECRET, 0, 0, "",
	"0000000000000000"},
    {"a user ID", NULL, "b4 01 61", PGP_NOT_CERT, 0, 0, "", "0000000000000000"},
    {"nothing", NULL, "", PGP_NOT_CERT, 0, 0, "", "0000000000000000"},
    {"no packet", NULL, "00", PGP_MALFORMED, 0, 0, "", "0000000000000000"},
    {"half a packet", NULL, "98 33 04", PGP_TRUNCATED, 0, 0, "",
	"0000000000000000"},
    {"a marker before", NULL, "a8 03 504750 98 06 07 5c91f4e4 16",
	PGP_UNSUPPORTED, 7, 0, "", "0000000000000000"},
};
#define IDENTIFIES (sizeof(identifies) / sizeof(*identifies))

static void
identify_one(void **state)
{
	const struct case_identify *c = *state;
	unsigned char in[256], keyid[8];
	struct pgp_blob b = {NULL, 0};
	struct pgp_component info;
	char hex[PGP_FPR_HEX];

	if (c->file != NULL)
		b = octets_of_key(c->file);
	else
		b.len = octets_of_hex(c->hex, in, sizeof(in));
	assert_int_equal(
	    pgp_key_identify(b.data == NULL ? in : b.data, b.len, &info),
	    c->status);
	assert_int_equal(info.version, c->version);
	assert_int_equal(info.bits, c->bits);
	assert_string_equal(pgp_fpr_hex(&info.fpr, hex), c->fpr);
	octets_of_hex(c->keyid, keyid, sizeof(keyid));
	assert_memory_equal(info.keyid, keyid, 8);
	assert_null(info.body);
	pgp_blob_free(&b, false);
}

/* ---- refusals ------------------------------------------------------------ */

struct case_refuse {
	const char *name, *file, *hex;
	enum pgp_status status;
};

static const struct case_refuse refusals[] = {
    {"nothing", NULL, "", PGP_NOT_CERT},
    {"a user ID", NULL, "b4 01 61", PGP_NOT_CERT},
    {"a revocation", "carol-revocation.asc", NULL, PGP_NOT_CERT},
    {"a secret key", "erin.sec.asc", NULL, PGP_SECRET},
    {"a secret subkey", NULL, "9c 01 04", PGP_SECRET},
    {"version 3", "grace-v3key.asc", NULL, PGP_UNSUPPORTED},
    {"version 5", "judy-v5.asc", NULL, PGP_UNSUPPORTED},
    {"a v6 secret key", "mona-v6.sec.asc", NULL, PGP_SECRET},
    {"version 7", NULL, "98 06 07 5c91f4e4 16", PGP_UNSUPPORTED},
    {"an empty key", NULL, "98 00", PGP_MALFORMED},
    {"a key cut after its version", NULL, "98 01 04", PGP_MALFORMED},
    {"a key without algorithm", NULL, "98 05 04 5c91f4e4", PGP_MALFORMED},
    {"an RSA key without e", NULL, "98 09 04 5c91f4e4 01 0008 ff",
	PGP_MALFORMED},
    {"an RSA key with more", NULL, "98 0d 04 5c91f4e4 01 0008 ff 0002 03 00",
	PGP_MALFORMED},
    {"a curve of no octets", NULL, "98 09 04 5c91f4e4 16 00 0001 01",
	PGP_MALFORMED},
    {"a v6 key with a wrong count", NULL, "98 0b 06 5c91f4e4 1b 00000020 00",
	PGP_MALFORMED},
    {"a v3 key without numbers", NULL, "98 08 03 5c91f4e4 0000 01",
	PGP_MALFORMED},
    {"a packet cut short", NULL, "98 33 04", PGP_TRUNCATED},
    {"no packet", NULL, "00", PGP_MALFORMED},
};
#define REFUSALS (sizeof(refusals) / sizeof(*refusals))

static void
refuse_one(void **state)
{
	const struct case_refuse *c = *state;
	struct pgp_left_out left = {0};
	struct pgp_blob b = {NULL, 0};
	struct pgp_cert *cert = NULL;
	unsigned char in[256];

	if (c->file != NULL)
		b = octets_of_key(c->file);
	else
		b.len = octets_of_hex(c->hex, in, sizeof(in));
	assert_int_equal(pgp_cert_parse(b.data == NULL ? in : b.data, b.len,
			     &pgp_policy_default, false, NOW, &left, &cert),
	    c->status);
	assert_null(cert);
	pgp_blob_free(&b, false);
}

/* What stands behind a sound certificate makes no difference. */
static void
refuse_what_follows(void **state)
{
	static const struct {
		const char *hex;
		enum pgp_status status;
	} tails[] = {{"9c 01 04", PGP_SECRET}, {"94 01 04", PGP_SECRET},
	    {"98 01 04", PGP_MALFORMED}, {"b4 05 61", PGP_TRUNCATED},
	    {"00", PGP_MALFORMED}};
	struct pgp_blob key = octets_of_key("alice.asc"), b;
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = NULL;
	unsigned char tail[16];
	struct row row;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		row_open(&row);
		fwrite(key.data, 1, key.len, row.f);
		fwrite(tail, 1, octets_of_hex(tails[i].hex, tail, sizeof(tail)),
		    row.f);
		b = row_close(&row);
		assert_int_equal(
		    pgp_cert_parse(b.data, b.len, &pgp_policy_default, false,
			NOW, &left, &cert),
		    tails[i].status);
		assert_null(cert);
		pgp_blob_free(&b, false);
	}
	pgp_blob_free(&key, false);
}

static void
refuse_large_primary(void **state)
{
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_blob key = octets_of_key("bob.asc");
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = NULL;

	(void)state;
	policy.packet_size = 269; /* of RSA-2048 with e = 65537 */
	assert_int_equal(pgp_cert_parse(key.data, key.len, &policy, false, NOW,
			     &left, &cert),
	    PGP_OK);
	assert_int_equal(cert->ncomponents, 3);
	pgp_cert_free(cert);
	cert = NULL;
	policy.packet_size = 268;
	assert_int_equal(pgp_cert_parse(key.data, key.len, &policy, false, NOW,
			     &left, &cert),
	    PGP_TOO_LARGE);
	assert_null(cert);
	pgp_blob_free(&key, false);
}

/* ---- the canonical form -------------------------------------------------- */

static const char *const files[] = {"alice.asc", "alice-later.asc", "bob.asc",
    "carol.asc", "carol-revoked.asc", "dave-expired.asc", "erin.asc",
    "frank-v3sig.asc", "debian-dsa-elgamal.asc", "debian-ecdsa-photo.asc",
    "debian-ed25519.asc", "debian-rsa1024-expired.asc", "debian-rsa2048.asc",
    "debian-rsa4096.asc", "debian-utf8.asc"};
#define FILES (sizeof(files) / sizeof(*files))

static struct pgp_blob
octets_of_cert(const struct pgp_cert *cert)
{
	struct pgp_blob b;

	assert_int_equal(pgp_cert_octets(cert, &b), PGP_OK);
	return b;
}

static void
assert_same_octets(struct pgp_blob a, struct pgp_blob b)
{
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
}

/* The canonical octets, read again, give themselves; both writers agree. */
static void
fixed_point(void **state)
{
	struct pgp_left_out left = {0}, none = {0};
	struct pgp_cert *cert = cert_of_key(*state), *again = NULL;
	struct pgp_blob once = octets_of_cert(cert), twice, written;
	struct row row;

	assert_int_equal(pgp_cert_parse(once.data, once.len,
			     &pgp_policy_default, true, 0, &left, &again),
	    PGP_OK);
	assert_memory_equal(&left, &none, sizeof(left));
	assert_true(again->components[1].sigs[0]->verified);
	assert_true(reads_alike(again));
	twice = octets_of_cert(again);
	assert_same_octets(once, twice);
	row_open(&row);
	assert_int_equal(pgp_cert_write(row.f, again), 0);
	written = row_close(&row);
	assert_same_octets(once, written);
	pgp_blob_free(&once, false);
	pgp_blob_free(&twice, false);
	pgp_blob_free(&written, false);
	pgp_cert_free(cert);
	pgp_cert_free(again);
}

enum mangle {
	NEW_HEADERS,
	IN_PARTS,
	MORE_UNHASHED,
	NO_UNHASHED,
	LEFT_16,
	ZEROS_BEFORE_MPIS,
	MORE_BITS_IN_MPIS,
	JUNK_BEHIND,
	TWICE,
	MANGLES
};
static const char *const mangle_name[] = {"new headers", "bodies in parts",
    "more unhashed subpackets", "no unhashed subpackets", "wrong left 16 bits",
    "zeros before MPIs", "wrong bit counts", "junk behind the value",
    "everything twice"};

static size_t
u16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void
put_u16(FILE *f, size_t v)
{
	fputc((int)(v >> 8), f);
	fputc((int)(v & 255), f);
}

/* MPIs with a zero before each, or counts that say a bit or more too much. */
static void
mangle_mpis(FILE *f, const unsigned char *p, size_t len, enum mangle how)
{
	size_t pos, n, bits;

	for (pos = 0; pos + 2 <= len; pos += 2 + n) {
		bits = u16(p + pos);
		n = (bits + 7) / 8;
		if (how == ZEROS_BEFORE_MPIS) {
			put_u16(f, bits + 8);
			fputc(0, f);
		} else
			put_u16(f, how == MORE_BITS_IN_MPIS ? n * 8 : bits);
		fwrite(p + pos + 2, 1, n, f);
	}
}

/* A signature that says the same in other octets. */
static void
mangle_signature(FILE *f, const struct pgp_packet *p, enum mangle how)
{
	static const unsigned char more[] = {5, 101, 'e', 'v', 'i', 'l', 2, 7,
	    0, 9, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0, 0, 0, 1, 99};
	const unsigned char *b = p->body;
	size_t hashed = b[0] == 3 ? 17 : 6 + u16(b + 4), self = hashed;
	size_t unhashed = b[0] == 3 ? 0 : u16(b + hashed);
	size_t left = b[0] == 3 ? 17 : hashed + 2 + unhashed;

	fwrite(b, 1, self, f);
	if (b[0] == 4 && how == MORE_UNHASHED) {
		put_u16(f, unhashed + sizeof(more));
		/* What the last says, counts: ours first, and it is not. */
		fwrite(more, 1, sizeof(more), f);
		fwrite(b + hashed + 2, 1, unhashed, f);
	} else if (b[0] == 4 && how == NO_UNHASHED) {
		put_u16(f, 0);
	} else
		fwrite(b + self, 1, left - self, f);
	fputc(b[left] ^ (how == LEFT_16), f);
	fputc(b[left + 1], f);
	mangle_mpis(f, b + left + 2, p->len - left - 2, how);
	if (how == JUNK_BEHIND)
		fwrite("junk", 1, 4, f);
}

static void
write_mangled(FILE *f, unsigned tag, struct pgp_blob body, enum mangle how)
{
	if (how == IN_PARTS && body.len > 3) {
		fputc(0xc0 | (int)tag, f);
		fputc(0xe0 | 1, f);
		fwrite(body.data, 1, 2, f);
		fputc(255, f);
		put_u16(f, 0);
		put_u16(f, body.len - 2);
		fwrite(body.data + 2, 1, body.len - 2, f);
	} else if (how == NEW_HEADERS) {
		fputc(0xc0 | (int)tag, f);
		fputc(255, f);
		put_u16(f, body.len >> 16);
		put_u16(f, body.len & 0xffff);
		fwrite(body.data, 1, body.len, f);
	} else
		pgp_packet_write(f, tag, body.data, body.len);
}

static struct pgp_blob
mangled(struct pgp_blob in, enum mangle how)
{
	struct pgp_packet p;
	struct row all, one;
	struct pgp_blob joined = {NULL, 0}, body;
	size_t pos = 0;

	row_open(&all);
	while (pgp_packet_read(in.data, in.len, &pos, &joined, &p) == PGP_OK) {
		row_open(&one);
		/* A back-signature stands in the unhashed area. */
		if (p.tag == PGP_TAG_SIGNATURE &&
		    !(how == NO_UNHASHED && p.body[1] == 0x18))
			mangle_signature(one.f, &p, how);
		else
			fwrite(p.body, 1, p.len, one.f);
		body = row_close(&one);
		write_mangled(all.f, p.tag, body, how);
		if (how == TWICE && p.tag != PGP_TAG_PUBLIC_KEY)
			write_mangled(all.f, p.tag, body, how);
		pgp_blob_free(&body, false);
	}
	return row_close(&all);
}

/* Whatever a stranger changes that is not signed, the octets stay. */
static void
canonical(void **state)
{
	size_t how = (size_t)(uintptr_t)*state, i, changed = 0;
	struct pgp_cert *cert, *other;
	struct pgp_blob once, bent, twice;
	struct pgp_left_out left;

	for (i = 0; i < FILES; i++) {
		memset(&left, 0, sizeof(left));
		cert = cert_of_key(files[i]);
		once = octets_of_cert(cert);
		bent = mangled(once, (enum mangle)how);
		changed += bent.len != once.len ||
			   memcmp(bent.data, once.data, once.len) != 0;
		other = parse(bent, &left);
		twice = octets_of_cert(other);
		assert_same_octets(once, twice);
		assert_int_equal(left.n[PGP_LEFT_UNKNOWN], 0);
		assert_true(how == TWICE || left.n[PGP_LEFT_DUPLICATE] == 0);
		pgp_blob_free(&once, false);
		pgp_blob_free(&bent, false);
		pgp_blob_free(&twice, false);
		pgp_cert_free(cert);
		pgp_cert_free(other);
	}
	/* A v3 signature has nothing unhashed; some MPIs are full. */
	assert_true(changed >= FILES - 3);
}

/* gpg made these: their left 16 bits were right, v3 and photo included. */
static void
left_16_bits(void **state)
{
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = NULL;
	struct pgp_packet p;
	struct pgp_blob b, joined = {NULL, 0};
	const struct pgp_component *c;
	size_t i, j, pos = 0, hit = 0, total = 0;
	unsigned char seen[64][2];
	size_t nseen = 0;

	policy.attribute_size = 65536;
	b = octets_of_key(*state);
	while (pgp_packet_read(b.data, b.len, &pos, &joined, &p) == PGP_OK) {
		if (p.tag != PGP_TAG_SIGNATURE || nseen == 64)
			continue;
		i = p.body[0] == 3 ? 17 : 6 + u16(p.body + 4);
		if (p.body[0] == 4)
			i += 2 + u16(p.body + i);
		memcpy(seen[nseen++], p.body + i, 2);
	}
	assert_int_equal(
	    pgp_cert_parse(b.data, b.len, &policy, false, NOW, &left, &cert),
	    PGP_OK);
	for (i = 0; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		for (j = 0; j < c->nsigs; j++, total++) {
			const unsigned char *s =
			    c->sigs[j]->packet + c->sigs[j]->body;
			size_t at = s[0] == 3 ? 17 : 6 + u16(s + 4), k;

			if (s[0] == 4)
				at += 2 + u16(s + at);
			for (k = 0; k < nseen; k++)
				if (memcmp(seen[k], s + at, 2) == 0)
					break;
			hit += k < nseen;
		}
	}
	assert_true(total > 0);
	assert_int_equal(hit, total);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
}

/* Issuer, issuer fingerprint and back-signature are made anew, nothing else. */
static void
unhashed_made_anew(void **state)
{
	struct pgp_cert *cert = cert_of_key("alice.asc");
	const struct pgp_component *subkey = &cert->components[4];
	const struct pgp_signature *sig;
	const unsigned char *b;
	size_t at;

	(void)state;
	/* gpg hashes the fingerprint (33) and not the key ID (16). */
	sig = cert->components[1].sigs[0];
	b = sig->packet + sig->body;
	at = 6 + u16(b + 4);
	assert_int_equal(u16(b + at), 10);
	assert_int_equal(b[at + 2], 9);
	assert_int_equal(b[at + 3], 16);
	assert_memory_equal(b + at + 4, cert->components[0].keyid, 8);
	assert_memory_equal(sig->issuer, cert->components[0].keyid, 8);
	assert_int_equal(sig->issuer_fpr.len, 20);
	/* The signing subkey's binding: key ID, then the back-signature. */
	sig = subkey->sigs[0];
	b = sig->packet + sig->body;
	at = 6 + u16(b + 4);
	assert_int_equal(b[at + 3], 16);
	assert_int_equal(b[at + 13], 32);
	assert_int_equal(b[at + 14], 4);
	assert_int_equal(b[at + 15], 0x19);
	assert_true(sig->has_key_flags);
	assert_int_equal(sig->key_flags, 2);
	assert_int_equal(sig->key_expires, 2 * 365 * 86400);
	pgp_cert_free(cert);
}

/* ---- what is left out ---------------------------------------------------- */

/* Behind alice's primary key stand a user ID and this. */
struct case_left {
	const char *name;
	struct forged sig;
	unsigned on;  /* tag, or 0: the primary key itself */
	size_t nsigs; /* that are kept */
	int reason;   /* or -1 */
};

/* Issuers: alice's key ID and fingerprint, somebody's. */
#define BY_ID	     "09 10 05E825E4425612B5"
#define BY_FPR	     "16 21 04 231A449802A0FC9B0505E4CD05E825E4425612B5"
#define BY_OTHER     "09 10 0102030405060708"
#define BY_OTHER_FPR "16 21 04 0102030405060708090A0B0C0D0E0F1011121314"
#define LATER	     (PRIMARY_CREATED + 1000)

static const struct case_left lefts[] = {
    {"certification 0x10", {0x10, LATER, NULL, BY_ID, 1}, 13, 1, -1},
    {"certification 0x13", {0x13, LATER, NULL, BY_ID, 1}, 13, 1, -1},
    {"by fingerprint", {0x13, LATER, BY_FPR, NULL, 1}, 13, 1, -1},
    {"no issuer", {0x13, LATER, NULL, NULL, 1}, 13, 1, -1},
    {"revocation of a user ID", {0x30, LATER, NULL, BY_ID, 1}, 13, 1, -1},
    {"direct-key", {0x1f, LATER, NULL, BY_ID, 1}, 0, 1, -1},
    {"key revocation", {0x20, LATER, NULL, BY_ID, 1}, 0, 1, -1},
    {"revocation behind a user ID", {0x20, LATER, NULL, BY_ID, 1}, 13, 1, -1},
    {"hashed issuer decides", {0x13, LATER, BY_FPR, BY_OTHER, 1}, 13, 1, -1},
    {"by another", {0x10, LATER, NULL, BY_OTHER, 1}, 13, 0,
	PGP_LEFT_THIRD_PARTY},
    {"by another, fingerprint", {0x10, LATER, NULL, BY_OTHER_FPR, 1}, 13, 0,
	PGP_LEFT_THIRD_PARTY},
    {"by another, hashed", {0x10, LATER, BY_OTHER, BY_ID, 1}, 13, 0,
	PGP_LEFT_THIRD_PARTY},
    {"key revocation by another", {0x20, LATER, NULL, BY_OTHER, 1}, 0, 0,
	PGP_LEFT_THIRD_PARTY},
    {"binding on a user ID", {0x18, LATER, NULL, BY_ID, 1}, 13, 0,
	PGP_LEFT_UNKNOWN},
    {"certification on the key", {0x13, LATER, NULL, BY_ID, 1}, 0, 0,
	PGP_LEFT_UNKNOWN},
    {"of a document", {0x00, LATER, NULL, BY_ID, 1}, 13, 0, PGP_LEFT_UNKNOWN},
    {"attestation", {0x16, LATER, NULL, BY_ID, 1}, 13, 0, PGP_LEFT_UNKNOWN},
    {"not exportable", {0x13, LATER, "02 04 00", BY_ID, 1}, 13, 0,
	PGP_LEFT_LOCAL},
    {"exportable", {0x13, LATER, "02 04 01", BY_ID, 1}, 13, 1, -1},
    {"not exportable, not hashed", {0x13, LATER, NULL, "02 04 00", 1}, 13, 1,
	-1},
    {"hashed area bent", {0x13, LATER, "05 16", BY_ID, 1}, 13, 0,
	PGP_LEFT_UNKNOWN},
    {"subpacket of no octets", {0x13, LATER, "00", BY_ID, 1}, 13, 0,
	PGP_LEFT_UNKNOWN},
    {"unhashed area bent", {0x13, LATER, NULL, BY_ID "05 16", 1}, 13, 1, -1},
    {"a second before the key", {0x13, PRIMARY_CREATED - 1, NULL, BY_ID, 1}, 13,
	0, PGP_LEFT_TOO_OLD},
    {"as old as the key", {0x13, PRIMARY_CREATED, NULL, BY_ID, 1}, 13, 1, -1},
    {"a day ahead", {0x13, NOW + 86400, NULL, BY_ID, 1}, 13, 1, -1},
    {"a day and a second", {0x13, NOW + 86401, NULL, BY_ID, 1}, 13, 0,
	PGP_LEFT_FUTURE},
    {"the end of time", {0x13, UINT32_MAX, NULL, BY_ID, 1}, 13, 0,
	PGP_LEFT_FUTURE},
};
#define LEFTS (sizeof(lefts) / sizeof(*lefts))

static void
left_one(void **state)
{
	const struct case_left *c = *state;
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left = {0};
	size_t i, nsigs = 0;
	struct pgp_blob b;
	struct row row;

	row_open(&row);
	row_primary(&row, alice);
	if (c->on != 0)
		row_packet(&row, c->on, "a", 1);
	row_forged(&row, c->sig);
	b = row_close(&row);
	cert = parse(b, &left);
	for (i = 0; i < cert->ncomponents; i++)
		nsigs += cert->components[i].nsigs;
	assert_int_equal(nsigs, c->nsigs);
	for (i = 0; i < PGP_LEFT_REASONS; i++)
		if (i != PGP_LEFT_NO_SELFSIG)
			assert_int_equal(left.n[i], (int)i == c->reason);
	if (c->nsigs > 0 && c->sig.type != 0x20 && c->on != 0)
		assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 0);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
	pgp_cert_free(alice);
}

/* Octets of a row behind alice's primary key, parsed. */
static struct pgp_cert *
behind_alice(
    const char *hex, const struct pgp_policy *policy, struct pgp_left_out *left)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert = NULL;
	unsigned char tail[4096];
	struct pgp_blob b;
	struct row row;

	memset(left, 0, sizeof(*left));
	row_open(&row);
	row_primary(&row, alice);
	fwrite(tail, 1, octets_of_hex(hex, tail, sizeof(tail)), row.f);
	b = row_close(&row);
	assert_int_equal(
	    pgp_cert_parse(b.data, b.len, policy, false, NOW, left, &cert),
	    PGP_OK);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	return cert;
}

struct case_packets {
	const char *name, *hex;
	size_t ncomponents;
	int reason;
	unsigned n;
};

/* A sound, if forged, self-signature. */
#define SIG(type)                                                              \
	"88 16 04" type "16080006 05025e0c90a0 0000 0000 0001 01 0001 01"

static const struct case_packets packets[] = {
    {"trust, marker, padding",
	"b4 01 61"
	"b0 02 0000" SIG("13") "a8 03 504750 d5 02 0000",
	2, -1, 0},
    {"an unknown packet", "b4 01 61 fd 01 00" SIG("13"), 2, PGP_LEFT_UNKNOWN,
	1},
    {"a user ID by itself", "b4 01 61", 1, PGP_LEFT_NO_SELFSIG, 1},
    {"an empty user ID", "b4 00" SIG("13"), 2, -1, 0},
    {"a photo", "d1 03 020100" SIG("13"), 1, PGP_LEFT_ATTRIBUTE, 1},
    {"a photo's signature stays off the user ID",
	"b4 01 61" SIG("13") "d1 03 020100" SIG("13"), 2, PGP_LEFT_ATTRIBUTE,
	1},
    {"a v6 subkey",
	"b8 2a 06 6387 7fe3 19 00000020 8693248367f9e5015db922f8f48095"
	"dda784987f2d5985b12fbad16caf5e4435" SIG("18") "b4 01 61" SIG("13"),
	2, PGP_LEFT_UNKNOWN, 1},
    {"a bent subkey", "b8 06 04 63877fe3 01" SIG("18"), 1, PGP_LEFT_UNKNOWN, 1},
    {"a v6 signature", "b4 01 61" SIG("13") "88 02 0613", 2, PGP_LEFT_UNKNOWN,
	1},
    {"a v5 signature", "b4 01 61" SIG("13") "88 02 0513", 2, PGP_LEFT_UNKNOWN,
	1},
    {"an empty signature", "b4 01 61" SIG("13") "88 00", 2, PGP_LEFT_UNKNOWN,
	1},
    {"a signature cut in its areas",
	"b4 01 61" SIG("13") "88 08 041316080006 0502", 2, PGP_LEFT_UNKNOWN, 1},
    {"a signature without a value",
	"b4 01 61" SIG("13") "88 10 041316080006 05025e0c90a0 0000 0000", 2,
	PGP_LEFT_UNKNOWN, 1},
    {"a v3 signature cut short",
	"b4 01 61" SIG("13") "88 0a 03 05 10 5e0c90a0 05e825", 2,
	PGP_LEFT_UNKNOWN, 1},
    {"a v3 signature with a wrong count",
	"b4 01 61" SIG(
	    "13") "88 16 03 06 10 5e0c90a0 05e825e4425612b5 01 02 0000 0001 01",
	2, PGP_LEFT_UNKNOWN, 1},
    {"a v3 signature by another",
	"b4 01 61" SIG(
	    "13") "88 16 03 05 10 5e0c90a0 0102030405060708 01 02 0000 0001 01",
	2, PGP_LEFT_THIRD_PARTY, 1},
};
#define PACKETS (sizeof(packets) / sizeof(*packets))

static void
packets_one(void **state)
{
	const struct case_packets *c = *state;
	struct pgp_left_out left;
	struct pgp_cert *cert =
	    behind_alice(c->hex, &pgp_policy_default, &left);
	size_t i;

	assert_int_equal(cert->ncomponents, c->ncomponents);
	for (i = 0; i < PGP_LEFT_REASONS; i++)
		assert_int_equal(left.n[i], (int)i == c->reason ? c->n : 0);
	pgp_cert_free(cert);
}

/* A v2 signature is a v3 one with another first octet, not a second one. */
static void
version_2_is_3(void **state)
{
	struct pgp_left_out left;
	struct pgp_cert *cert = behind_alice(
	    "b4 01 61"
	    "88 16 03 05 10 5e0c90a0 05e825e4425612b5 01 02 0000 0001 01"
	    "88 16 02 05 10 5e0c90a0 05e825e4425612b5 01 02 0000 0001 01",
	    &pgp_policy_default, &left);

	(void)state;
	assert_int_equal(cert->components[1].nsigs, 1);
	assert_int_equal(cert->components[1].sigs[0]->version, 3);
	assert_int_equal(left.n[PGP_LEFT_DUPLICATE], 1);
	pgp_cert_free(cert);
}

/* At the cap, and one past it. */
static void
caps_on_octets(void **state)
{
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_left_out left;
	struct pgp_cert *cert;

	(void)state;
	policy.userid_size = 2;
	policy.attribute_size = 3;
	policy.signature_size = 22 + 33; /* with its issuer */
	cert = behind_alice(
	    "b4 02 6161" SIG("13") "d1 03 020100" SIG("13"), &policy, &left);
	assert_int_equal(cert->ncomponents, 3);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 0);
	pgp_cert_free(cert);
	cert = behind_alice("b4 03 616161" SIG("13") "d1 04 03010000" SIG("13"),
	    &policy, &left);
	assert_int_equal(cert->ncomponents, 1);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 2);
	pgp_cert_free(cert);
	policy.signature_size = 22 + 32;
	cert = behind_alice("b4 02 6161" SIG("13"), &policy, &left);
	assert_int_equal(cert->ncomponents, 1);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 1);
	pgp_cert_free(cert);
}

/* A subkey that says it signs must agree. */
static void
signing_subkey_without_back(void **state)
{
	struct pgp_blob b = octets_of_key("alice.asc"), bent;
	struct pgp_left_out left = {0};
	struct pgp_packet p;
	struct row row;
	struct pgp_blob joined = {NULL, 0};
	struct pgp_cert *cert;
	size_t pos = 0;

	(void)state;
	row_open(&row);
	while (pgp_packet_read(b.data, b.len, &pos, &joined, &p) == PGP_OK) {
		struct row one;
		struct pgp_blob body;

		row_open(&one);
		if (p.tag == PGP_TAG_SIGNATURE)
			mangle_signature(one.f, &p, NO_UNHASHED);
		else
			fwrite(p.body, 1, p.len, one.f);
		body = row_close(&one);
		row_packet(&row, p.tag, body.data, body.len);
		pgp_blob_free(&body, false);
	}
	bent = row_close(&row);
	cert = parse(bent, &left);
	assert_int_equal(left.n[PGP_LEFT_UNVERIFIED], 1);
	assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 1);
	assert_int_equal(cert->ncomponents, 4);
	assert_int_equal(cert->components[3].pkalgo, 18);
	pgp_cert_free(cert);
	pgp_blob_free(&b, false);
	pgp_blob_free(&bent, false);
}

/*
 * The binding of alice's signing subkey with unhashed subpackets before its
 * genuine back-signature.
 */
static struct pgp_cert *
binding_with(const unsigned char *before, size_t len, bool copy, size_t flip)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	const struct pgp_component *c = &alice->components[4];
	const unsigned char *b = c->sigs[0]->packet + c->sigs[0]->body;
	size_t hashed = 6 + u16(b + 4), unhashed = u16(b + hashed), n;
	const unsigned char *back = b + hashed + 2 + 10; /* behind the key ID */
	struct pgp_left_out left = {0};
	struct pgp_blob body, whole;
	unsigned char forged[256];
	struct row row;

	n = 1u + back[0]; /* the whole subpacket */
	assert_int_equal(back[1], 32);
	memcpy(forged, back, n);
	forged[flip] ^= 1;
	row_open(&row);
	fwrite(b, 1, hashed, row.f);
	put_u16(row.f, unhashed + len + (copy ? n : 0));
	fwrite(before, 1, len, row.f);
	if (copy)
		fwrite(forged, 1, n, row.f);
	fwrite(b + hashed + 2, 1,
	    c->sigs[0]->len - c->sigs[0]->body - hashed - 2, row.f);
	body = row_close(&row);
	row_open(&row);
	row_primary(&row, alice);
	row_packet(&row, PGP_TAG_PUBLIC_SUBKEY, c->body, c->len);
	row_packet(&row, PGP_TAG_SIGNATURE, body.data, body.len);
	whole = row_close(&row);
	cert = parse(whole, &left);
	assert_int_equal(cert->ncomponents, 2);
	assert_int_equal(cert->components[1].nsigs, 1);
	pgp_blob_free(&body, false);
	pgp_blob_free(&whole, false);
	pgp_cert_free(alice);
	return cert;
}

/* Of several back-signatures the one that fits; all in one form. */
static void
back_signature_among_others(void **state)
{
	/* Embedded: an empty one, a certification, one by somebody else. */
	static const char *const before[] = {"01 20",
	    "17 20 0413160800 06 05025e0c90a0 0000 0000 0001 01 0001 01",
	    "21 20 0419160800 06 05025e0c90a0 000a 0910 0102030405060708"
	    "0000 0001 01 0001 01"};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	const struct pgp_signature *want = alice->components[4].sigs[0], *sig;
	unsigned char octets[64];
	size_t i, n;

	(void)state;
	for (i = 0; i < 3; i++) {
		n = octets_of_hex(before[i], octets, sizeof(octets));
		cert = binding_with(octets, n, false, 0);
		sig = cert->components[1].sigs[0];
		assert_int_equal(sig->len, want->len);
		assert_memory_equal(sig->packet, want->packet, sig->len);
		pgp_cert_free(cert);
	}
	/* A copy with another issuer; one with another time, whose digest is
	 * not that of the copy. */
	for (i = 13; i <= 36; i += 23) {
		cert = binding_with(octets, 0, true, i);
		sig = cert->components[1].sigs[0];
		assert_int_equal(sig->len, want->len);
		assert_memory_equal(sig->packet, want->packet, sig->len);
		pgp_cert_free(cert);
	}
	pgp_cert_free(alice);
}

/* ---- caps on number, claims ---------------------------------------------- */

/* n self-signatures and n revocations of one user ID, a second apart. */
static struct pgp_cert *
many_signatures(unsigned n, struct pgp_left_out *left)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_blob b;
	struct row row;
	unsigned i;

	row_open(&row);
	row_primary(&row, alice);
	row_packet(&row, PGP_TAG_USERID, "a", 1);
	for (i = 0; i < n; i++) {
		row_forged(
		    &row, (struct forged){0x13, LATER + i, NULL, BY_ID, i});
		/* Every second one is soft: reason 32. */
		row_forged(&row, (struct forged){0x30, LATER + i,
				     i % 2 != 0 ? "02 1d 20" : NULL, BY_ID, i});
	}
	b = row_close(&row);
	cert = parse(b, left);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	return cert;
}

static void
claims_at_and_past_cap(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_claim *claims;
	struct pgp_cert *cert;
	size_t n;

	(void)state;
	cert = many_signatures(32, &left);
	claims = pgp_cert_claims(cert, &pgp_policy_default, &left, &n);
	assert_int_equal(n, 64);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 0);
	free(claims);
	pgp_cert_free(cert);
	cert = many_signatures(33, &left);
	claims = pgp_cert_claims(cert, &pgp_policy_default, &left, &n);
	assert_int_equal(n, 64);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 2);
	/* Revocations first, the oldest self-signature is gone. */
	assert_int_equal(claims[0].sig->type, 0x30);
	assert_true(claims[0].sig->hard);
	assert_int_equal(claims[63].sig->type, 0x13);
	assert_int_equal(claims[63].sig->created, LATER + 1);
	assert_ptr_equal(claims[63].primary, &cert->components[0]);
	assert_ptr_equal(claims[63].on, &cert->components[1]);
	free(claims);
	pgp_cert_free(cert);
}

/* Revocations of the key itself, of which more are looked at, and which leave
 * what is looked at of all others as it is. */
static void
key_revocations_at_and_past_cap(void **state)
{
	static const unsigned claimed[] = {512, 513};
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left;
	struct pgp_claim *claims;
	struct pgp_blob b;
	struct row row;
	unsigned i, k;
	size_t n;

	(void)state;
	policy.all_claims = policy.claims;
	for (i = 0; i < 2; i++) {
		memset(&left, 0, sizeof(left));
		row_open(&row);
		row_primary(&row, alice);
		for (k = 0; k < claimed[i]; k++)
			row_forged(&row,
			    (struct forged){0x20, LATER + k, NULL, BY_ID, k});
		row_packet(&row, PGP_TAG_USERID, "a", 1);
		for (k = 0; k < policy.claims; k++)
			row_forged(&row,
			    (struct forged){0x13, LATER + k, NULL, BY_ID, k});
		b = row_close(&row);
		cert = parse(b, &left);
		claims = pgp_cert_claims(cert, &policy, &left, &n);
		assert_int_equal(n, 512 + policy.claims);
		assert_int_equal(left.n[PGP_LEFT_TOO_MANY], claimed[i] - 512);
		assert_int_equal(claims[511].sig->type, 0x20);
		assert_int_equal(
		    claims[511].sig->created, LATER + claimed[i] - 512);
		assert_int_equal(claims[512].sig->type, 0x13);
		free(claims);
		pgp_cert_free(cert);
		pgp_blob_free(&b, false);
	}
	pgp_cert_free(alice);
}

/* Of all of them together: fewer of each, the newest, but one. */
static void
all_claims_at_and_past_cap(void **state)
{
	static const unsigned want[][2] = {/* cap, and what is claimed */
	    {24, 24}, {23, 20}, {20, 20}, {19, 16}, {4, 4}, {3, 4}};
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left;
	struct pgp_claim *claims;
	struct pgp_blob b;
	struct row row;
	size_t n, i;
	unsigned k;

	(void)state;
	row_open(&row);
	row_primary(&row, alice);
	for (i = 0; i < 2; i++) {
		row_packet(&row, PGP_TAG_USERID, i == 0 ? "a" : "b", 1);
		for (k = 0; k < 6; k++) {
			row_forged(&row,
			    (struct forged){0x13, LATER + k, NULL, BY_ID, k});
			row_forged(&row,
			    (struct forged){0x30, LATER + k, NULL, BY_ID, k});
		}
	}
	b = row_close(&row);
	for (i = 0; i < sizeof(want) / sizeof(*want); i++) {
		memset(&left, 0, sizeof(left));
		cert = parse(b, &left);
		policy.all_claims = want[i][0];
		claims = pgp_cert_claims(cert, &policy, &left, &n);
		assert_int_equal(n, want[i][1]);
		assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 24 - n);
		assert_int_equal(claims[0].sig->created, LATER + 5);
		assert_int_equal(claims[n - 1].sig->created, LATER + 6 - n / 4);
		free(claims);
		pgp_cert_free(cert);
	}
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
}

static void
kept_at_and_past_cap(void **state)
{
	struct pgp_left_out left = {0};
	const struct pgp_component *c;
	struct pgp_cert *cert;
	size_t i;

	(void)state;
	cert = many_signatures(10, &left);
	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->components[1].nsigs, 20);
	assert_int_equal(left.n[PGP_LEFT_SUPERSEDED], 0);
	pgp_cert_free(cert);
	cert = many_signatures(11, &left);
	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	c = &cert->components[1];
	assert_int_equal(c->nsigs, 20);
	assert_int_equal(left.n[PGP_LEFT_SUPERSEDED], 2);
	/* Six hard ones, newest first, then the newest soft ones. */
	for (i = 0; i < 10; i++)
		assert_int_equal(c->sigs[i]->hard, i < 6);
	assert_int_equal(c->sigs[0]->created, LATER + 10);
	assert_int_equal(c->sigs[6]->created, LATER + 9);
	assert_int_equal(c->sigs[9]->created, LATER + 3);
	assert_int_equal(c->sigs[10]->created, LATER + 10);
	assert_int_equal(c->sigs[19]->created, LATER + 1);
	pgp_cert_free(cert);
}

static struct pgp_cert *
many_userids(unsigned n, struct pgp_left_out *left)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_blob b;
	struct row row;
	char name[16];
	unsigned i;

	row_open(&row);
	row_primary(&row, alice);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%06u", n - i);
		row_packet(&row, PGP_TAG_USERID, name, 6);
		row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, i});
	}
	b = row_close(&row);
	cert = parse(b, left);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	return cert;
}

static void
userids_at_and_past_cap(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	size_t n;

	(void)state;
	cert = many_userids(256, &left);
	free(pgp_cert_claims(cert, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 256);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 0);
	pgp_cert_free(cert);
	cert = many_userids(257, &left);
	/* What the store has is no newcomer, wherever it stands. */
	cert->components[257].sigs[0]->verified = true;
	free(pgp_cert_claims(cert, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 255);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 1);
	assert_memory_equal(cert->components[256].body, "000257", 6);
	assert_memory_equal(cert->components[255].body, "000255", 6);
	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 257);
	pgp_cert_free(cert);
	/* Verified by the import, say, and never claimed. */
	cert = many_userids(257, &left);
	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 257);
	pgp_cert_free(cert);
}

/* A new signature on what is stored does not have to stand in line. */
static void
stored_userid_goes_before(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = many_userids(257, &left);
	struct pgp_cert *stored = pgp_cert_dup(cert), *newer;
	struct pgp_claim *claims;
	struct pgp_blob b;
	struct row row;
	size_t n, i;

	(void)state;
	/* Stored is the last one, and there is news of it. */
	verify_all(stored);
	for (i = 0; i < 256; i++)
		stored->components[i + 1].sigs[0]->verified = false;
	assert_int_equal(
	    pgp_cert_clean(stored, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(stored->ncomponents, 2);
	row_open(&row);
	row_primary(&row, cert);
	for (i = 1; i < 257; i++) {
		row_packet(&row, PGP_TAG_USERID, cert->components[i].body, 6);
		row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, 1});
	}
	row_packet(&row, PGP_TAG_USERID, "000257", 6);
	row_forged(&row, (struct forged){0x30, LATER + 1, NULL, BY_ID, 2});
	b = row_close(&row);
	memset(&left, 0, sizeof(left));
	newer = parse(b, &left);
	pgp_cert_known(newer, stored);
	claims = pgp_cert_claims(newer, &pgp_policy_default, &left, &n);
	assert_int_equal(n, 256);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 1);
	assert_int_equal(claims[255].sig->type, 0x30);
	free(claims);
	pgp_blob_free(&b, false);
	pgp_cert_free(newer);
	pgp_cert_free(cert);
	pgp_cert_free(stored);
}

/* RSA subkeys that differ in their time of creation. */
static void
subkeys_at_and_past_cap(void **state)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_left_out left = {0};
	unsigned char key[] = {4, 0x5e, 0x0c, 0x90, 0, 1, 0, 8, 0xff, 0, 2, 3};
	struct pgp_blob b;
	struct row row;
	unsigned n, i;
	size_t nclaims;

	(void)state;
	for (n = 64; n <= 65; n++) {
		row_open(&row);
		row_primary(&row, alice);
		for (i = 0; i < n; i++) {
			key[4] = (unsigned char)i;
			row_packet(
			    &row, PGP_TAG_PUBLIC_SUBKEY, key, sizeof(key));
			row_forged(
			    &row, (struct forged){0x18, LATER, NULL, BY_ID, i});
		}
		b = row_close(&row);
		cert = parse(b, &left);
		free(pgp_cert_claims(
		    cert, &pgp_policy_default, &left, &nclaims));
		assert_int_equal(nclaims, 64);
		assert_int_equal(left.n[PGP_LEFT_TOO_MANY], n - 64);
		/* The oldest one went. */
		assert_int_equal(cert->components[1].created & 255, n - 64);
		pgp_blob_free(&b, false);
		pgp_cert_free(cert);
	}
	pgp_cert_free(alice);
}

static size_t
size_of(const struct pgp_cert *cert)
{
	struct pgp_blob b = octets_of_cert(cert);
	size_t n = b.len;

	pgp_blob_free(&b, false);
	return n;
}

/* Over the size: superseded signatures go, then user IDs, never what revokes
 * the key. */
static void
size_at_and_past_cap(void **state)
{
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = many_signatures(10, &left);
	size_t full;

	(void)state;
	verify_all(cert);
	full = size_of(cert);
	policy.certificate_size = full;
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_OK);
	assert_int_equal(size_of(cert), full);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 0);
	policy.certificate_size = full - 1;
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_OK);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 1);
	assert_int_equal(cert->components[1].nsigs, 19);
	assert_int_equal(cert->components[1].sigs[18]->created, LATER + 1);
	assert_true(size_of(cert) < full);
	pgp_cert_free(cert);

	cert = many_userids(100, &left);
	verify_all(cert);
	policy.certificate_size = size_of(cert) - 1;
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 100);
	assert_memory_equal(cert->components[99].body, "000099", 6);
	pgp_cert_free(cert);

	cert = cert_of_key("carol-revoked.asc");
	verify_all(cert);
	policy.certificate_size = 1;
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 1);
	assert_int_equal(cert->components[0].nsigs, 1);
	assert_int_equal(cert->components[0].sigs[0]->type, 0x20);
	pgp_cert_free(cert);
}

/* A certificate between the default, 256 KiB, where of its user IDs as many
 * stay as fit, and what that may be raised to. */
static void
size_by_default_and_at_most(void **state)
{
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_left_out left = {0};
	struct pgp_blob b;
	struct row row;
	char name[1000];
	unsigned i;

	(void)state;
	row_open(&row);
	row_primary(&row, alice);
	for (i = 0; i < 256; i++) {
		memset(name, 'a', sizeof(name));
		snprintf(name, 8, "%06u", i);
		row_packet(&row, PGP_TAG_USERID, name, sizeof(name));
		row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, i});
	}
	b = row_close(&row);
	cert = parse(b, &left);
	verify_all(cert);
	policy.certificate_size = 1 << 20;
	assert_true(size_of(cert) > pgp_policy_default.certificate_size);
	assert_int_equal(pgp_cert_clean(cert, &policy, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 257);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_true(size_of(cert) <= 256 << 10);
	assert_true(size_of(cert) > (256 << 10) - 1100);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 257 - cert->ncomponents);
	assert_memory_equal(cert->components[1].body, "000000", 6);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
	pgp_cert_free(alice);
}

/* RFC 9580, 5.2.3.31: hard without a reason, with 0 and with 2; what is not
 * hashed is none. */
static void
hard_reasons(void **state)
{
	static const struct {
		const char *hashed, *unhashed;
		bool hard;
	} reasons[] = {{NULL, BY_ID, true}, {"02 1d 00", BY_ID, true},
	    {"02 1d 01", BY_ID, false}, {"02 1d 02", BY_ID, true},
	    {"02 1d 03", BY_ID, false}, {"02 1d 20", BY_ID, false},
	    {"02 1d 64", BY_ID, false}, {"01 1d", BY_ID, true},
	    {NULL, BY_ID "02 1d 01", true}, {"05 1d 01 616263", BY_ID, false}};
	static const struct {
		unsigned type, tag;
	} stands[] = {
	    {0x20, 0}, {0x30, PGP_TAG_USERID}, {0x28, PGP_TAG_PUBLIC_SUBKEY}};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert;
	const struct pgp_component *sub = &alice->components[3];
	struct pgp_left_out left = {0};
	struct pgp_state s;
	struct pgp_blob b;
	struct row row;
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		for (k = 0; k < 3; k++) {
			row_open(&row);
			row_primary(&row, alice);
			if (k == 1)
				row_packet(&row, stands[k].tag, "a", 1);
			if (k == 2)
				row_packet(
				    &row, stands[k].tag, sub->body, sub->len);
			row_forged(&row,
			    (struct forged){stands[k].type, LATER,
				reasons[i].hashed, reasons[i].unhashed, 1});
			b = row_close(&row);
			cert = parse(b, &left);
			verify_all(cert);
			pgp_component_state(
			    cert, &cert->components[k > 0], NOW, &s);
			assert_true(s.revoked);
			assert_int_equal(s.hard, reasons[i].hard);
			pgp_blob_free(&b, false);
			pgp_cert_free(cert);
		}
	pgp_cert_free(alice);
}

/* ---- known, cleaned ------------------------------------------------------ */

static void
known_is_not_claimed(void **state)
{
	struct pgp_cert *stored = cert_of_key("alice.asc");
	struct pgp_cert *later = cert_of_key("alice-later.asc");
	struct pgp_left_out left = {0};
	struct pgp_claim *claims;
	size_t n;

	(void)state;
	verify_all(stored);
	pgp_cert_known(later, stored);
	claims = pgp_cert_claims(later, &pgp_policy_default, &left, &n);
	/* gpg signed both user IDs again, and then revoked Alicia. */
	assert_int_equal(n, 3);
	assert_int_equal(claims[0].sig->type, 0x13);
	assert_int_equal(claims[1].sig->type, 0x30);
	assert_int_equal(claims[2].sig->type, 0x13);
	free(claims);
	pgp_cert_known(stored, stored);
	assert_null(pgp_cert_claims(stored, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 0);
	pgp_cert_free(stored);
	pgp_cert_free(later);
}

/* The same hashed area with other values: one of them is stored. */
static void
variants_give_way(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *alice = cert_of_key("alice.asc"), *cert, *stored;
	struct pgp_blob b;
	struct row row;
	unsigned i;
	size_t n;

	(void)state;
	row_open(&row);
	row_primary(&row, alice);
	row_packet(&row, PGP_TAG_USERID, "a", 1);
	for (i = 0; i < 5; i++)
		row_forged(&row, (struct forged){0x13, LATER, NULL, BY_ID, i});
	row_forged(&row, (struct forged){0x13, LATER + 1, NULL, BY_ID, 0});
	b = row_close(&row);
	cert = parse(b, &left);
	/* Not judged: every one of them may be the genuine one. */
	assert_int_equal(cert->components[1].nsigs, 6);
	stored = pgp_cert_dup(cert);
	verify_all(stored);
	stored->components[1].sigs[0]->verified = false;
	assert_int_equal(
	    pgp_cert_clean(stored, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(stored->components[1].nsigs, 1);
	pgp_cert_known(cert, stored);
	assert_int_equal(cert->components[1].nsigs, 2);
	free(pgp_cert_claims(cert, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 1);
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
	pgp_cert_free(cert);
	pgp_cert_free(stored);
}

static void
clean_drops_unverified(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = cert_of_key("alice.asc");

	(void)state;
	cert->components[1].sigs[0]->verified = true;
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->ncomponents, 2);
	assert_int_equal(left.n[PGP_LEFT_UNVERIFIED], 3);
	assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 3);
	cert->components[1].sigs[0]->verified = false;
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_NOT_CERT);
	assert_int_equal(cert->ncomponents, 1);
	pgp_cert_free(cert);
}

/* Claims as the checker gets them: the certificate again, bit by bit. */
static void
claims_are_small_certs(void **state)
{
	struct pgp_cert *cert = cert_of_key("alice-later.asc"), *one;
	struct pgp_left_out left = {0};
	struct pgp_claim *claims;
	struct pgp_blob b;
	struct row row;
	size_t i, n;

	(void)state;
	claims = pgp_cert_claims(cert, &pgp_policy_default, &left, &n);
	assert_int_equal(n, 5);
	for (i = 0; i < n; i++) {
		row_open(&row);
		assert_int_equal(pgp_claim_write(row.f, &claims[i]), 0);
		b = row_close(&row);
		one = parse(b, &left);
		assert_int_equal(one->ncomponents, 2);
		assert_int_equal(one->components[1].nsigs, 1);
		assert_int_equal(
		    one->components[1].sigs[0]->len, claims[i].sig->len);
		assert_memory_equal(one->components[1].sigs[0]->packet,
		    claims[i].sig->packet, claims[i].sig->len);
		pgp_blob_free(&b, false);
		pgp_cert_free(one);
	}
	free(claims);
	pgp_cert_free(cert);
}

static void
revocation_by_itself(void **state)
{
	struct pgp_blob b = octets_of_key("carol-revocation.asc"), whole;
	struct pgp_cert *carol = cert_of_key("carol.asc"), *cert;
	struct pgp_left_out left = {0};
	unsigned char keyid[8];
	struct pgp_fpr fpr;
	struct row row;

	(void)state;
	assert_int_equal(
	    pgp_revocation_issuer(b.data, b.len, keyid, &fpr), PGP_OK);
	assert_memory_equal(keyid, carol->components[0].keyid, 8);
	assert_int_equal(pgp_fpr_cmp(&fpr, pgp_cert_fpr(carol)), 0);
	row_open(&row);
	row_primary(&row, carol);
	fwrite(b.data, 1, b.len, row.f);
	whole = row_close(&row);
	cert = parse(whole, &left);
	verify_all(cert);
	assert_int_equal(
	    pgp_cert_clean(cert, &pgp_policy_default, &left), PGP_OK);
	assert_int_equal(cert->components[0].nsigs, 1);
	pgp_blob_free(&b, false);
	b = octets_of_key("carol.asc");
	assert_int_equal(
	    pgp_revocation_issuer(b.data, b.len, keyid, &fpr), PGP_NOT_CERT);
	pgp_blob_free(&b, false);
	pgp_blob_free(&whole, false);
	pgp_cert_free(cert);
	pgp_cert_free(carol);
}

/* ---- states -------------------------------------------------------------- */

struct case_state {
	const char *name, *file;
	size_t component;
	uint32_t now;
	bool revoked, hard, expired;
	uint32_t expires;
	unsigned flags;
};

/* As gpg shows them: 2020-01-01 12:00 and what was said then. */
static const struct case_state states[] = {
    {"alice", "alice.asc", 0, NOW, false, false, false, 0, 3},
    {"alice, expiry set later", "alice-later.asc", 0, NOW, false, false, false,
	PRIMARY_CREATED + 366 * 86400 + 30u * 365 * 86400, 3},
    {"her user ID", "alice-later.asc", 1, NOW, false, false, false, 0, 3},
    {"her revoked user ID", "alice-later.asc", 2, NOW, true, false, false, 0,
	3},
    {"before it was revoked", "alice.asc", 2, NOW, false, false, false, 0, 3},
    {"her encryption subkey", "alice.asc", 3, NOW, false, false, false, 0, 12},
    {"her signing subkey, a second before", "alice.asc", 4, 1641038399, false,
	false, false, 1641038400, 2},
    {"her signing subkey, expired", "alice.asc", 4, 1641038400, false, false,
	true, 1641038400, 2},
    {"carol", "carol.asc", 0, NOW, false, false, false, 0, 3},
    {"carol, revoked", "carol-revoked.asc", 0, NOW, true, true, false, 0, 3},
    {"dave, a second before", "dave-expired.asc", 0, 1609415999, false, false,
	false, 1609416000, 3},
    {"dave, expired", "dave-expired.asc", 0, 1609416000, false, false, true,
	1609416000, 3},
    {"frank, v3: nothing said", "frank-v3sig.asc", 0, NOW, false, false, false,
	0, 0},
};
#define STATES (sizeof(states) / sizeof(*states))

static void
state_one(void **state)
{
	const struct case_state *c = *state;
	struct pgp_cert *cert = cert_of_key(c->file);
	struct pgp_state s;

	verify_all(cert);
	pgp_component_state(cert, &cert->components[c->component], c->now, &s);
	assert_int_equal(s.revoked, c->revoked);
	assert_int_equal(s.hard, c->hard);
	assert_int_equal(s.expired, c->expired);
	assert_int_equal(s.expires, c->expires);
	assert_int_equal(s.key_flags, c->flags);
	pgp_cert_free(cert);
}

/* Nobody vouched for it: it says nothing. */
static void
unverified_says_nothing(void **state)
{
	struct pgp_cert *cert = cert_of_key("carol-revoked.asc");
	struct pgp_state s;

	(void)state;
	pgp_component_state(cert, &cert->components[0], NOW, &s);
	assert_false(s.revoked);
	assert_int_equal(s.key_flags, 0);
	pgp_cert_free(cert);
}

static void
primary_userid(void **state)
{
	static const struct {
		const char *file, *userid;
	} want[] = {/* gpg lists the newest first where none is marked. */
	    {"alice.asc", "Alicia M\xc3\xbc\xc3\x9fig <alicia@example.net>"},
	    {"alice-later.asc", "Alice Example <alice@example.org>"},
	    {"debian-rsa2048.asc", "Shachar Shemesh <shachar@lingnu.com>"},
	    {"debian-ecdsa-photo.asc", "Wouter Verhelst <wouter@debian.org>"},
	    {"debian-rsa4096.asc",
		"Taavi V\xc3\xa4\xc3\xa4n\xc3\xa4nen <hi@taavi.wtf>"}};
	const struct pgp_component *c;
	struct pgp_cert *cert;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(*want); i++) {
		cert = cert_of_key(want[i].file);
		verify_all(cert);
		c = pgp_cert_primary_userid(cert);
		assert_non_null(c);
		assert_int_equal(c->len, strlen(want[i].userid));
		assert_memory_equal(c->body, want[i].userid, c->len);
		pgp_cert_free(cert);
	}
}

/* ---- floods -------------------------------------------------------------- */

#define FLOOD_SECONDS 2.0

static double
seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)(now.tv_sec - start->tv_sec) +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* Nothing that is quadratic could pass. */
static void
floods(void **state)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	struct timespec start;
	size_t n;

	(void)state;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	cert = many_signatures(50000, &left);
	free(pgp_cert_claims(cert, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 64);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 2 * (50000 - 32));
	pgp_cert_free(cert);
	memset(&left, 0, sizeof(left));
	cert = many_userids(50000, &left);
	free(pgp_cert_claims(cert, &pgp_policy_default, &left, &n));
	assert_int_equal(n, 256);
	assert_int_equal(left.n[PGP_LEFT_TOO_MANY], 50000 - 256);
	pgp_cert_free(cert);
	assert_true(seconds_since(&start) < FLOOD_SECONDS * slowness());
}

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct CMUnitTest tests[256];
static size_t ntests;

static void
add_case(const char *name, CMUnitTestFunction fn, const void *data)
{
	assert_true(ntests < COUNT(tests));
	tests[ntests++] =
	    (struct CMUnitTest){name, fn, NULL, NULL, (void *)(uintptr_t)data};
}

#define ADD(table, fn)                                                         \
	do {                                                                   \
		size_t add_i;                                                  \
		for (add_i = 0; add_i < COUNT(table); add_i++)                 \
			add_case((table)[add_i].name, fn, &(table)[add_i]);    \
	} while (0)
#define ONE(fn) add_case(#fn, fn, NULL)

int
main(void)
{
	uintptr_t i;

	ADD(fprs, fingerprint_one);
	ADD(identifies, identify_one);
	ADD(refusals, refuse_one);
	ONE(refuse_what_follows);
	ONE(refuse_large_primary);
	for (i = 0; i < FILES; i++) {
		add_case(files[i], fixed_point, files[i]);
		add_case(files[i], left_16_bits, files[i]);
	}
	for (i = 0; i < MANGLES; i++)
		add_case(mangle_name[i], canonical, (void *)i);
	ONE(unhashed_made_anew);
	ADD(lefts, left_one);
	ADD(packets, packets_one);
	ONE(version_2_is_3);
	ONE(caps_on_octets);
	ONE(signing_subkey_without_back);
	ONE(back_signature_among_others);
	ONE(claims_at_and_past_cap);
	ONE(key_revocations_at_and_past_cap);
	ONE(all_claims_at_and_past_cap);
	ONE(kept_at_and_past_cap);
	ONE(userids_at_and_past_cap);
	ONE(stored_userid_goes_before);
	ONE(subkeys_at_and_past_cap);
	ONE(size_at_and_past_cap);
	ONE(size_by_default_and_at_most);
	ONE(hard_reasons);
	ONE(known_is_not_claimed);
	ONE(variants_give_way);
	ONE(clean_drops_unverified);
	ONE(claims_are_small_certs);
	ONE(revocation_by_itself);
	ADD(states, state_one);
	ONE(unverified_says_nothing);
	ONE(primary_userid);
	ONE(floods);
	return _cmocka_run_group_tests("cert", tests, ntests, NULL, NULL);
}
