/*
 * What the files of this room share and nobody else needs.
 */
#ifndef PGP_INTERNAL_H
#define PGP_INTERNAL_H

#include "pgp/pgp.h"

static inline uint16_t
get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void
put16(unsigned char *p, uint16_t v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static inline void
put32(unsigned char *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* Octets still to be read; a failed take leaves nothing to read. */
struct cursor {
	const unsigned char *p;
	size_t len;
};
bool cursor_mpi(struct cursor *, struct cursor *octets); /* RFC 9580, 3.2 */

/* NULL: there are too few. */
static inline const unsigned char *
cursor_take(struct cursor *c, size_t n)
{
	const unsigned char *p = c->p;

	if (c->len < n) {
		c->len = 0;
		return NULL;
	}
	c->p += n;
	c->len -= n;
	return p;
}

/* Orders octet strings; a prefix comes before what it begins. */
int octets_cmp(const unsigned char *, size_t, const unsigned char *, size_t);

/* ---- digest.c ------------------------------------------------------------ */

struct evp_md_st;
struct evp_md_ctx_st;

#define DIGEST_MAX   64
#define HASHER_ALGOS 15 /* one more than the highest number known */

/* As libcrypto calls it; NULL: one that is not known. */
const struct evp_md_st *digest_algorithm(unsigned hashalgo);

/* A running digest of an OpenPGP hash algorithm (RFC 9580, 9.5); NULL for one
 * that is not known, and then *nomem says whether memory ran out instead. */
struct evp_md_ctx_st *digest_new(unsigned hashalgo, bool *nomem);
struct evp_md_ctx_st *digest_dup(const struct evp_md_ctx_st *);
bool digest_update(struct evp_md_ctx_st *, const void *, size_t);
bool digest_final(struct evp_md_ctx_st *, unsigned char out[DIGEST_MAX]);
size_t digest_len(const struct evp_md_ctx_st *); /* in octets */
void digest_free(struct evp_md_ctx_st *);

/* ---- left.c -------------------------------------------------------------- */

/* Counts something that was left out, and keeps which part it was when the
 * list is wanted: the component, or (!whole) a signature on it.  NULL: none. */
void left_note(struct pgp_left_out *, enum pgp_left_reason,
    const struct pgp_component *, bool whole);

/* ---- packet.c ------------------------------------------------------------ */

#define PACKET_HEADER_MAX 6

/* The canonical header; returns its length.  len is below 2^32. */
size_t packet_header(
    unsigned char out[PACKET_HEADER_MAX], unsigned tag, size_t len);

/* A header's own words about the body. */
enum length_kind { LENGTH_FIXED, LENGTH_PART, LENGTH_TO_THE_END };
struct packet_length {
	enum length_kind kind;
	uint32_t len; /* of the body or of its first part */
};

/*
 * Reads a header from at most len octets: its length, 0 when more octets are
 * needed, -1 when it is no header.
 */
int packet_header_read(
    const unsigned char *, size_t len, unsigned *tag, struct packet_length *);

/* Reads a length in the new form, as it stands after a part: as above. */
int packet_length_read(
    const unsigned char *, size_t len, struct packet_length *);

/* ---- armor.c ------------------------------------------------------------- */

enum armor_line {
	ARMOR_OTHER, /* what is no border */
	ARMOR_BEGIN,
	ARMOR_END
};

struct armor_text {
	const char *s;
	size_t len;
};

/* Cuts blanks and a dash-escape away, and says whether it is a border. */
enum armor_line armor_line_kind(struct armor_text *);

struct armor_decoder {
	bool body;	 /* the headers are over */
	bool footer;	 /* the CRC has been read; nothing may follow */
	unsigned digits; /* of the group under way */
	unsigned pad;	 /* of these, '=' */
	uint32_t group;
	uint32_t crc;
	enum pgp_crc verdict;
};

void armor_decoder_init(struct armor_decoder *);

/*
 * Decodes one line between the borders, as armor_line_kind() left it.  out has
 * room for 3 octets for every 4 characters, and 3 more.  False: a line that is
 * no base64.
 */
bool armor_decode(struct armor_decoder *, struct armor_text, unsigned char *out,
    size_t *outlen);

/* At the END line: whether the last group was whole. */
bool armor_decoder_done(const struct armor_decoder *);

/* ---- key.c --------------------------------------------------------------- */

/*
 * Fills in version, algorithm, creation, bits, fingerprint and key ID from the
 * body of a key packet; body and len stay as they are.  PGP_OK (v2 to v6),
 * PGP_UNSUPPORTED, PGP_MALFORMED, PGP_NOMEM.
 */
enum pgp_status key_fill(
    struct pgp_component *, const unsigned char *body, size_t len);

/* What becomes of the signatures of a primary key. */
enum key_class {
	KEY_JUDGED, /* verified, and that counts */
	KEY_WEAK,   /* v3: verified, but MD5 proves little */
	KEY_OPAQUE  /* nobody here can verify them */
};
enum key_class key_class(const struct pgp_component *);

/* Whether the policy takes such a primary key. */
bool key_welcome(const struct pgp_component *, const struct pgp_policy *);

/* ---- signature.c --------------------------------------------------------- */

/* RFC 9580, 5.2.3.7. */
enum subpacket_type {
	SUB_CREATED = 2,
	SUB_EXPIRES = 3,
	SUB_EXPORTABLE = 4,
	SUB_KEY_EXPIRES = 9,
	SUB_REVOKER = 12,
	SUB_ISSUER = 16,
	SUB_KEY_SERVER = 23,
	SUB_PRIMARY_USERID = 25,
	SUB_KEY_FLAGS = 27,
	SUB_REASON = 29,
	SUB_EMBEDDED = 32,
	SUB_ISSUER_FPR = 33
};

struct subpacket {
	unsigned type; /* without the critical bit */
	bool critical;
	const unsigned char *body;
	size_t len;
};

/*
 * Reads the next subpacket of an area: 1; 0 at its end; -1 where it is damaged,
 * and then nothing of it is left to read.  signature_split() refuses a
 * signature whose hashed area is damaged; of an unhashed one, which anybody
 * could have bent, counts what stands before the damage.
 */
int subpacket_next(struct cursor *area, struct subpacket *);

/* The parts of a signature packet's body, lent from it. */
struct signature_parts {
	uint8_t version, type, pkalgo, hashalgo;
	uint32_t created;	    /* v3 only */
	const unsigned char *keyid; /* v3 only, else NULL */
	struct cursor hashed, unhashed;
	const unsigned char *left16;
	struct cursor salt;  /* v6 only */
	struct cursor value; /* MPIs, or whatever the algorithm has */
};

/* False: damaged, or a version that is not known: it is 2 to 6. */
bool signature_split(
    const unsigned char *body, size_t len, struct signature_parts *);

enum issuer { ISSUER_NONE, ISSUER_MATCHES, ISSUER_OTHER };

/* Whether a signature names this key as its issuer; what is hashed decides
 * over what anybody could have changed. */
enum issuer signature_issuer(
    const struct signature_parts *, const struct pgp_component *key);

/* RFC 9580, 5.2: whether a key of this version makes such signatures. */
bool signature_version_fits(unsigned version, unsigned key_version);

/* The issuer that a signature names, hashed or not; zeros, len 0: none. */
void signature_issuer_named(
    const struct signature_parts *, unsigned char keyid[8], struct pgp_fpr *);

/* The issuer that an area names, in the last subpacket of each kind. */
struct issuer_names {
	const unsigned char *keyid; /* 8 octets, lent; NULL: none */
	struct pgp_fpr fpr;	    /* len 0: none */
};
void area_named(struct cursor area, struct issuer_names *);

/* The 8 octets of a fingerprint that are the key ID. */
static inline const unsigned char *
fpr_keyid(const struct pgp_fpr *fpr)
{
	return fpr->len == 20 ? fpr->octet + 12 : fpr->octet;
}

/* The octets of a back-signature (0x19) embedded in an area, from *area on. */
bool area_next_back(struct cursor *area, struct subpacket *);
bool area_has_back(struct cursor area);

/* From a canonical body, and the parts of its copy, lent; one that cannot be
 * read has no version.  NULL: no memory. */
struct pgp_signature *signature_new(
    const unsigned char *body, size_t, struct signature_parts *);
void signature_free(struct pgp_signature *);
struct pgp_signature *signature_dup(const struct pgp_signature *);

bool signature_is_revocation(const struct pgp_signature *);
/* The embedded back-signature (type 0x19) is there, hashed or not. */
bool signature_has_back(const struct pgp_signature *);

/* The order kept: revocations first, hard ones first, newest first, octets. */
int signature_cmp(const struct pgp_signature *, const struct pgp_signature *);
/* 0: the same type, algorithms and hashed area (of v3: type and time).  The
 * same in one component stand next to each other in the order above. */
int signature_same(const struct pgp_signature *, const struct pgp_signature *);
/* Of two that are the same, whether the first is the one to keep. */
bool signature_preferred(
    const struct pgp_signature *, const struct pgp_signature *);

/* ---- hashed.c ------------------------------------------------------------ */

/* Digests of what signatures of one component stand on, begun once each. */
struct hasher {
	const struct pgp_component *primary, *on;
	bool opaque; /* not judged: what cannot be read stays as it came */
	struct evp_md_ctx_st *begun[2][HASHER_ALGOS];
};
void hasher_init(struct hasher *, const struct pgp_component *primary,
    const struct pgp_component *on);
void hasher_free(struct hasher *);

/*
 * What a signature, good or bad, would be made of: PGP_OK; PGP_UNSUPPORTED, a
 * hash algorithm that is not known; PGP_NOMEM.
 */
enum pgp_status hasher_digest(struct hasher *, const struct signature_parts *,
    unsigned char out[DIGEST_MAX], size_t *len);

/* ---- canonical.c --------------------------------------------------------- */

/*
 * Makes the canonical signature of a body: PGP_OK; PGP_MALFORMED when its
 * value cannot be read; PGP_NOMEM.
 */
enum pgp_status signature_canonical(
    const struct signature_parts *, struct hasher *, struct pgp_signature **);

/*
 * The same for one by another key, whose issuer becomes a key ID.  What would
 * not be known again as another's is PGP_MALFORMED, and so is one whose left 16
 * bits show that it stands on something else.
 */
enum pgp_status signature_canonical_other(
    const struct signature_parts *, struct hasher *, struct pgp_signature **);

/* ---- ecdsa.c ------------------------------------------------------------- */

#define ECDSA_MAX 66 /* octets of the order of P-521 */

/*
 * Of the two values that mean the same as s in a signature by this key, the
 * smaller: s, without leading zeros, or what is written to `out`.  s as it is
 * where the curve is not known (key->body may be NULL), or s not below its
 * order.
 */
struct cursor ecdsa_smaller(const struct pgp_component *key, struct cursor s,
    unsigned char out[ECDSA_MAX]);

/* ---- rsa.c --------------------------------------------------------------- */

/* Whether s is below the modulus of the key; true where that is not known
 * (key->body may be NULL). */
bool rsa_fits(const struct pgp_component *key, struct cursor s);

/* ---- cert.c -------------------------------------------------------------- */

int component_cmp(const struct pgp_component *, const struct pgp_component *);
/* With a copy of the packet's body, and nothing else; false: no memory. */
bool component_init(
    struct pgp_component *, enum pgp_kind, const unsigned char *body, size_t);
void component_free(struct pgp_component *); /* what it holds, not itself */
bool component_dup(struct pgp_component *, const struct pgp_component *);
/* Takes over the signature; false when memory ran out, and then it is freed. */
bool component_add(struct pgp_component *, struct pgp_signature *);
void component_sort(struct pgp_component *);
/* Removes the signatures that were set to NULL. */
void component_pack(struct pgp_component *);
/* The same for any row of signatures. */
bool signatures_add(
    struct pgp_signature ***, size_t *n, struct pgp_signature *);
void signatures_sort(struct pgp_signature **, size_t n);
void signatures_pack(struct pgp_signature **, size_t *n);
/* Removes components of which `drop` is set, frees them. */
void cert_drop(struct pgp_cert *, const bool *drop);
/* Brings the components into canonical order; the same for any row of them. */
void cert_sort(struct pgp_cert *);
void components_sort(struct pgp_component *, size_t n);
/* Octets of a component as written, and of all. */
size_t component_size(const struct pgp_component *);
size_t cert_size(const struct pgp_cert *);
unsigned component_tag(const struct pgp_component *);
/* Whether one of its signatures is the same as this. */
bool component_has(const struct pgp_component *, const struct pgp_signature *);
/*
 * Whether two primary keys are the same to the octet.  A fingerprint of
 * version 3 says little: it leaves out the time, and where n ends and e begins.
 */
bool same_key(const struct pgp_component *, const struct pgp_component *);
/* The same component of another certificate; NULL: it has none. */
struct pgp_component *cert_find(
    const struct pgp_cert *, const struct pgp_component *);

/* ---- others.c ------------------------------------------------------------ */

/* Whether a signature of this type by another key may be kept. */
bool other_may_be(unsigned type);
/* Takes over the signature; false when memory ran out, and then it is freed. */
bool others_add(struct pgp_component *, struct pgp_signature *);
/* The same type, algorithms, hashed area and issuer. */
bool others_have(const struct pgp_component *, const struct pgp_signature *);
/* Copies what `to` does not have in any variant. */
bool others_unite(struct pgp_component *to, const struct pgp_component *from);
/* Brings them into their order; of those that are the same, the first. */
void others_collapse(struct pgp_component *, struct pgp_left_out *);
/* Caps on their number, and on octets: *size is the certificate's.  What `held`
 * (may be NULL) has goes last.  False: no memory. */
bool others_cap(struct pgp_cert *, const struct pgp_policy *,
    const struct pgp_cert *held, struct pgp_left_out *);
bool others_shed(struct pgp_cert *, const struct pgp_cert *held, size_t *size,
    size_t cap, struct pgp_left_out *);

/* ---- revoker.c ----------------------------------------------------------- */

/* So many revocations by other keys are looked at in one certificate. */
#define REVOCATIONS_MAX 64

/* Whether a signature of this type by another key may be a designated
 * revoker's: of the primary key, of a subkey. */
bool revoker_may(unsigned type);
/* Whether the signature, which is on the primary key, names a revoker. */
bool revoker_names(const struct pgp_signature *);
/* The key that claims to have made it; NULL: not one of cert->revokers. */
const struct pgp_component *revoker_of(
    const struct pgp_cert *, const struct pgp_signature *);
/* Drops what claims to be a revoker's, of whom we do not have the key, and,
 * with `judged`, whom no verified signature of the owner names. */
void revoker_settle(struct pgp_cert *, bool judged, struct pgp_left_out *);
/* Adds the signatures by which the stored owner names revokers, when there is
 * anything by one. */
void revoker_known(struct pgp_cert *, const struct pgp_cert *stored);

/* ---- policy.c ------------------------------------------------------------ */

/* The newest signatures of each component that the policy keeps, one of those
 * that are the same. */
void cert_cap_signatures(
    struct pgp_cert *, const struct pgp_policy *, struct pgp_left_out *);
/*
 * Caps on number of components and on octets; what `held` (may be NULL) has,
 * stays.  False: no memory.
 */
bool cert_cap_components(struct pgp_cert *, const struct pgp_policy *,
    const struct pgp_cert *held, struct pgp_left_out *);
bool cert_cap_size(struct pgp_cert *, const struct pgp_policy *,
    const struct pgp_cert *held, struct pgp_left_out *);

#endif
