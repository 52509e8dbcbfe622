/*
 * OpenPGP and nothing else: certificates in, canonical certificates out.
 *
 * Everything here takes hostile octets.  No function logs, exits or keeps
 * state between calls (the digests that pgp_prepare() fetched apart).
 */
#ifndef PGP_H
#define PGP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum pgp_status {
	PGP_OK,
	PGP_END,	 /* nothing more to read */
	PGP_TRUNCATED,	 /* a packet or an armored block ends too early */
	PGP_MALFORMED,	 /* octets that are no OpenPGP */
	PGP_BAD_ARMOR,	 /* an armored block with a line that is no base64 */
	PGP_NOT_CERT,	 /* sound packets, but no certificate */
	PGP_SECRET,	 /* a secret key */
	PGP_UNSUPPORTED, /* a version of key that is not known */
	PGP_TOO_LARGE,	 /* over a cap of struct pgp_policy */
	PGP_NOMEM
};

/* A sentence fragment for people; lives for ever. */
const char *pgp_strerror(enum pgp_status);

/*
 * Fetches every digest from OpenSSL, without its configuration file.  Done by
 * itself when first needed; call it before a jail is locked, where no library
 * could read a file any more.
 */
void pgp_prepare(void);

/* Octets that whoever holds the struct must free with pgp_blob_free(). */
struct pgp_blob {
	unsigned char *data;
	size_t len;
};

/* Frees the octets; `wipe` overwrites them first (secret keys). */
void pgp_blob_free(struct pgp_blob *, bool wipe);

/*
 * As open_memstream(3), but fclose(3) and fflush(3) fail, for good, once there
 * was no memory for all that was written: those of the C library say nothing,
 * and the text has a hole.  *data is to be freed in any case.  NULL: no memory.
 */
FILE *pgp_memstream(char **data, size_t *len);

/* ---- digests ------------------------------------------------------------- */

#define PGP_SHA256_LEN 32

/* Of octets in one piece.  Returns 0, or -1 when memory ran out. */
int pgp_sha256(const void *, size_t, unsigned char out[PGP_SHA256_LEN]);

/* HMAC (RFC 2104) of them under a key of at most 64 octets: 0 or -1. */
int pgp_hmac_sha256(const unsigned char *key, size_t keylen, const void *,
    size_t, unsigned char out[PGP_SHA256_LEN]);

/*
 * Of octets that come in pieces.  A failure of an update is remembered and
 * told by pgp_sha256_final(): 0, or -1.  final does not free; free accepts
 * NULL.  After final only free may follow.
 */
struct pgp_sha256_ctx;
struct pgp_sha256_ctx *pgp_sha256_new(void); /* NULL: no memory */
void pgp_sha256_update(struct pgp_sha256_ctx *, const void *, size_t);
int pgp_sha256_final(
    struct pgp_sha256_ctx *, unsigned char out[PGP_SHA256_LEN]);
void pgp_sha256_free(struct pgp_sha256_ctx *);

/* The same with MD5, of 16 octets, which lists of dump files have. */
struct pgp_sha256_ctx *pgp_md5_new(void);

/* ---- fingerprints and key IDs (RFC 9580, 5.5.4) ------------------------ */

#define PGP_FPR_MAX 32
#define PGP_FPR_HEX 65 /* room for the longest in hexadecimal and a NUL */

struct pgp_fpr {
	unsigned char len; /* octets: v3 16, v4 20, v5 and v6 32 */
	unsigned char octet[PGP_FPR_MAX];
};

/* Writes upper-case digits without blanks and a NUL; returns `out`. */
char *pgp_fpr_hex(const struct pgp_fpr *, char out[PGP_FPR_HEX]);
int pgp_hex_value(char); /* of one digit; -1: it is none */
int pgp_fpr_cmp(const struct pgp_fpr *, const struct pgp_fpr *);

/* ---- armor (RFC 9580, 6) ------------------------------------------------ */

enum pgp_crc { PGP_CRC_GOOD, PGP_CRC_MISSING, PGP_CRC_WRONG };

struct pgp_armored {
	struct pgp_blob blob; /* what the block holds */
	enum pgp_crc crc;     /* a wrong one is no reason to refuse (6.1) */
	size_t line;	      /* of the BEGIN line, counted from 1 */
	size_t next_line;     /* of *pos: what the next call counts on from */
};

/*
 * Finds the next armored PGP block of text[*pos, len), in text with LF or CR
 * LF, trailing blanks, dash-escapes ("- -----BEGIN") and anything around it,
 * and decodes it.  *pos moves past what was looked at, so that calling again
 * finds the next block.  Lines are counted on from out->next_line: keep one
 * struct for all blocks of a text, or zero it, and then they are counted anew.
 * (Nothing of it is read while *pos is 0.)  PGP_OK: *out is filled and the
 * caller frees out->blob.  PGP_END: no further block.  PGP_TRUNCATED,
 * PGP_BAD_ARMOR: there is a block, refused as a whole; out->line says where,
 * out->blob is empty.
 */
enum pgp_status pgp_dearmor(
    const char *text, size_t len, size_t *pos, struct pgp_armored *out);

/*
 * Writes one PUBLIC KEY BLOCK with CRC24, 64 characters a line, LF line ends.
 * Returns 0, or -1 when the stream has an error.
 */
int pgp_armor(FILE *, const unsigned char *, size_t);

/* ---- packets (RFC 9580, 4) ---------------------------------------------- */

enum pgp_tag {
	PGP_TAG_SIGNATURE = 2,
	PGP_TAG_SECRET_KEY = 5,
	PGP_TAG_PUBLIC_KEY = 6,
	PGP_TAG_SECRET_SUBKEY = 7,
	PGP_TAG_MARKER = 10,
	PGP_TAG_TRUST = 12,
	PGP_TAG_USERID = 13,
	PGP_TAG_PUBLIC_SUBKEY = 14,
	PGP_TAG_ATTRIBUTE = 17,
	PGP_TAG_PADDING = 21
};

struct pgp_packet {
	unsigned tag;
	const unsigned char *body;
	size_t len;
	size_t start, end; /* of the whole packet in the octets read */
};

/*
 * Reads the packet at *pos and moves *pos behind it.  Old and new headers,
 * partial and indeterminate lengths; a body sent in parts is put together in
 * *joined (owned by the caller, reused and freed with pgp_blob_free()), all
 * others are lent from `in`.  PGP_OK, PGP_END, PGP_TRUNCATED, PGP_MALFORMED,
 * PGP_NOMEM.
 */
enum pgp_status pgp_packet_read(const unsigned char *in, size_t len,
    size_t *pos, struct pgp_blob *joined, struct pgp_packet *out);

/*
 * Writes header and body in the one form that the store keeps: the old header
 * with the shortest length for tags below 16, which every client since PGP 2
 * reads, the new one above.  Returns 0, or -1 on an error of the stream.
 */
int pgp_packet_write(FILE *, unsigned tag, const unsigned char *body, size_t);

/* ---- what may be kept (keys.md in the design; mailkeyd.conf(5)) --------- */

struct pgp_policy {
	size_t certificate_size;  /* octets after cleaning: 256 KiB */
	size_t packet_size;	  /* of a packet that is no signature: 8383 */
	size_t userid_size;	  /* 1024 */
	size_t attribute_size;	  /* 0: none is kept (65536 to keep them) */
	size_t signature_size;	  /* 64 KiB */
	unsigned userids;	  /* of one certificate: 256 */
	unsigned subkeys;	  /* of one certificate: 64 */
	unsigned self_signatures; /* newest kept of one component: 10 */
	unsigned revocations;	  /* kept of one component: 10 */
	unsigned claims;	  /* unverified looked at of one component,
				     revocations counted apart, and 16
				     times as many of the key itself: 32 */
	unsigned all_claims;	  /* of one certificate: 2048 */
	unsigned certifications;  /* by other keys, of one certificate: 0 */
	uint32_t future;	  /* seconds a signature may lie ahead: 86400 */
	bool keep_unverified;	  /* what cannot be verified is kept: no */
};
extern const struct pgp_policy pgp_policy_default;

/* Why something of a certificate was left out; counted for the answer. */
enum pgp_left_reason {
	PGP_LEFT_THIRD_PARTY, /* signatures by others */
	PGP_LEFT_UNVERIFIED,  /* self-signatures that did not verify */
	PGP_LEFT_NO_SELFSIG,  /* user IDs, subkeys without a valid one */
	PGP_LEFT_ATTRIBUTE,   /* user attributes (photos) */
	PGP_LEFT_TOO_LARGE,   /* packets over their cap on octets */
	PGP_LEFT_TOO_MANY,    /* user IDs, subkeys, claims over a number */
	PGP_LEFT_SUPERSEDED,  /* self-signatures older than those kept */
	PGP_LEFT_FUTURE,      /* signatures made more than a day ahead */
	PGP_LEFT_TOO_OLD,     /* signatures older than their key */
	PGP_LEFT_UNKNOWN,     /* packets and versions that are not known */
	PGP_LEFT_LOCAL,	      /* self-signatures marked as not exportable */
	PGP_LEFT_NO_MODIFY,   /* signatures by others, where the key's owner
				 does not want any */
	PGP_LEFT_DUPLICATE,   /* the same again; not worth a word */
	PGP_LEFT_REASONS
};
struct pgp_left_parts;
struct pgp_left_out {
	unsigned n[PGP_LEFT_REASONS];
	struct pgp_left_parts *parts; /* NULL: nobody wants to know more */
};
/* "signatures by others", and so on; lives for ever. */
const char *pgp_left_text(enum pgp_left_reason);

/* ---- what was left out, part by part ------------------------------------- */

enum pgp_kind { PGP_PRIMARY, PGP_USERID, PGP_ATTRIBUTE, PGP_SUBKEY };

#define PGP_LEFT_PARTS 200 /* that are kept of one certificate */
#define PGP_LEFT_NAME  400 /* octets of a user ID or attribute */

/* A component that was left out, or signatures on it that were. */
struct pgp_left_part {
	enum pgp_left_reason why;
	enum pgp_kind kind;
	bool whole;	     /* the component itself */
	unsigned n;	     /* signatures; of a whole one, how often it came */
	struct pgp_fpr fpr;  /* of a subkey */
	unsigned char *name; /* of a user ID or attribute: its beginning */
	size_t len;
};
struct pgp_left_parts {
	struct pgp_left_part *part; /* malloc'ed */
	size_t n;
};

/* An empty list for struct pgp_left_out; NULL: no memory.  free accepts
 * NULL. */
struct pgp_left_parts *pgp_left_parts_new(void);

/* Adds a part that is there already, whose name is taken over.  False: no room
 * or no memory; the name is freed. */
bool pgp_left_parts_add(struct pgp_left_parts *, struct pgp_left_part *);
void pgp_left_parts_free(struct pgp_left_parts *);

/* ---- certificates (RFC 9580, 10.1) -------------------------------------- */

/* One signature packet in canonical form, and what its hashed area says. */
struct pgp_signature {
	unsigned char *packet; /* header and body */
	size_t len;
	size_t body; /* offset of the body in the packet */
	uint8_t version, type, pkalgo, hashalgo;
	bool verified;	     /* by us, now or when it was stored */
	bool by_revoker;     /* made by another key: pgp_cert_revokers() */
	bool exportable;     /* RFC 9580, 5.2.3.19 */
	bool hard;	     /* revocation, reason missing, 0 or 2 */
	bool primary_userid; /* 5.2.3.27 */
	bool has_key_flags;
	bool no_modify;		 /* 5.2.3.25 */
	uint8_t key_flags;	 /* 5.2.3.29, first octet */
	uint8_t reason;		 /* of a revocation, 5.2.3.31 */
	uint32_t created;	 /* seconds since 1970; hashed area only */
	uint32_t expires;	 /* seconds after created, 0 = never */
	uint32_t key_expires;	 /* seconds after the key's creation, 0 never */
	unsigned char issuer[8]; /* key ID, zeros when none is named */
	struct pgp_fpr issuer_fpr; /* len 0 when none is named */
};

/* The primary key, a user ID, a user attribute or a subkey. */
struct pgp_component {
	enum pgp_kind kind;
	unsigned char *body; /* of its packet, as it came */
	size_t len;
	struct pgp_fpr fpr;	     /* keys only */
	unsigned char keyid[8];	     /* keys only */
	uint8_t version, pkalgo;     /* keys only */
	uint32_t created;	     /* keys only */
	unsigned bits;		     /* keys only */
	bool stored;		     /* so pgp_cert_known() found */
	struct pgp_signature **sigs; /* revocations first, newest first */
	size_t nsigs;
	/* Certifications of a user ID or attribute by other keys, and their
	 * revocations, which nobody here verifies; in the same order. */
	struct pgp_signature **others;
	size_t nothers;
};

/*
 * A transferable public key.  Components stand in canonical order: the
 * primary key, user IDs by octets, user attributes, subkeys by creation and
 * fingerprint.  Read the fields; change them only through the functions.
 */
struct pgp_cert {
	struct pgp_component *components; /* [0] is the primary key */
	size_t ncomponents;
	bool unverified; /* nobody vouches for it: see pgp_cert_opaque() */
	struct pgp_component *revokers; /* keys only: pgp_cert_revokers() */
	size_t nrevokers;
};

/*
 * Whether the signatures of an unverified certificate were not checked at all,
 * since nobody here can: keys of version 5, and algorithms that are not known.
 * All of them are claims, and what anybody adds to it stays.  Of version 3,
 * which is unverified too, only those are kept that verify, with MD5.
 */
bool pgp_cert_opaque(const struct pgp_cert *);

/*
 * Fingerprint, key ID, algorithm and age of the public key or subkey that is
 * the first packet, for telling people about keys that are not taken: v3, v5
 * and v6 too.  info->body stays NULL.  PGP_OK, PGP_SECRET, PGP_UNSUPPORTED
 * (only info->version is set), PGP_NOT_CERT, PGP_MALFORMED, PGP_TRUNCATED.
 */
enum pgp_status pgp_key_identify(
    const unsigned char *packets, size_t len, struct pgp_component *info);

/*
 * Whose revocation the bare signature of type 0x20 is, that pgp_reader_next()
 * handed out: its key ID (zeros when none is named), its fingerprint (len 0
 * when none is named).  To have it judged, put the stored primary key's packet
 * before it and read both with pgp_cert_parse().  PGP_OK, PGP_NOT_CERT.
 */
enum pgp_status pgp_revocation_issuer(const unsigned char *packets, size_t len,
    unsigned char keyid[8], struct pgp_fpr *);

/* Whether the part is this component, or was on it. */
bool pgp_left_is_of(const struct pgp_left_part *, const struct pgp_component *);

void pgp_cert_free(struct pgp_cert *);
const struct pgp_fpr *pgp_cert_fpr(const struct pgp_cert *);

/* Whose word the octets of a certificate are. */
enum pgp_trust {
	PGP_CLAIMED,	/* anybody's */
	PGP_VERIFIED,	/* the store's: it was verified before */
	PGP_UNVERIFIED, /* the store's: it was taken as it came */
};

/*
 * Reads exactly one certificate from packets, keeps what the policy lets
 * stand, in canonical form, and adds to *left what it left out.  Nothing is
 * verified: sigs[]->verified says what the store says.  What comes from it is
 * not judged again by its age.  `now` judges signatures from the future,
 * seconds since 1970.  A user ID or subkey without a claimed
 * self-signature is left out, and so is a binding of a signing subkey without
 * its back-signature.  PGP_NOT_CERT, PGP_SECRET, PGP_UNSUPPORTED (a key
 * that cannot be verified, and the policy keeps none: pgp_key_identify() says
 * which; or a version that is not known), PGP_MALFORMED, PGP_TRUNCATED,
 * PGP_TOO_LARGE (the primary key itself), PGP_NOMEM.
 */
enum pgp_status pgp_cert_parse(const unsigned char *packets, size_t len,
    const struct pgp_policy *, enum pgp_trust, uint32_t now,
    struct pgp_left_out *left, struct pgp_cert **out);

/*
 * Reads what pgp_cert_octets() has written of a certificate that is verified,
 * or of one that is `unverified`, without making it canonical again, which
 * takes four times as long.  Of other octets it makes something that may be in
 * no order.  PGP_NOT_CERT, PGP_UNSUPPORTED, PGP_MALFORMED, PGP_TRUNCATED,
 * PGP_NOMEM.
 */
enum pgp_status pgp_cert_read(const unsigned char *octets, size_t len,
    bool unverified, struct pgp_cert **out);

/* Writes the canonical packets; the same certificate, the same octets. */
int pgp_cert_write(FILE *, const struct pgp_cert *);
enum pgp_status pgp_cert_octets(const struct pgp_cert *, struct pgp_blob *);

/*
 * A signature that somebody must judge: the packets that it stands on, in
 * canonical form and lent until the certificate changes.
 */
struct pgp_claim {
	const struct pgp_component *primary;
	const struct pgp_component *on; /* primary itself: its own */
	struct pgp_signature *sig;
	const struct pgp_component *issuer; /* NULL: the primary key */
};

/*
 * Marks what `stored`, a cleaned certificate, already holds as stored, and its
 * signatures as verified, so that they are not judged again.  A signature of
 * the same type, algorithms and hashed area as a stored one, but otherwise not
 * the same octets (another back-signature, a forgery), gives way to the stored
 * one: what is stored stays, and variants of it cost no
 * verification.
 */
void pgp_cert_known(struct pgp_cert *, const struct pgp_cert *stored);

/*
 * Applies policy->claims, userids and subkeys to what is still unverified
 * (newest first; what is stored goes before, of subkeys the newest stay); where
 * that leaves more than policy->all_claims, but for revocations of the primary
 * key, fewer of each component, but one; and returns the rest as a malloc'ed
 * array (free(3)) of *n claims, in the certificate's order; call it after
 * pgp_cert_known().  NULL with *n == 0 when nothing is to be judged, and for an
 * opaque certificate; NULL with *n == SIZE_MAX when memory ran out.
 */
struct pgp_claim *pgp_cert_claims(struct pgp_cert *, const struct pgp_policy *,
    struct pgp_left_out *, size_t *n);

/*
 * Designated revokers (RFC 9580, 5.2.3.23): revocations of the primary key and
 * of subkeys (0x20, 0x28) by a key that a direct-key signature (0x1F) of the
 * owner names are kept when they verify, which takes that key.  What this gives
 * is whom to look up, at most `max`; 0 when there is nothing by such a key.
 * Call it after pgp_cert_known(), and pgp_cert_revoker(), which takes a copy,
 * for each that is there.  False: no memory.
 */
#define PGP_REVOKERS 8
size_t pgp_cert_revokers(const struct pgp_cert *, struct pgp_fpr *, size_t max);
bool pgp_cert_revoker(struct pgp_cert *, const struct pgp_component *key);

/* Whether it is one that GnuPG 2.2 could judge at all: of a kind of key that it
 * knows, and by that key itself. */
bool pgp_claim_is_for_gpg(const struct pgp_claim *);

/* Writes primary key, component and signature as a small certificate, and
 * behind it the key of an issuer that is another. */
int pgp_claim_write(FILE *, const struct pgp_claim *);

/*
 * Drops every signature whose `verified` is false, every component that is
 * then without a valid self-signature or revocation, all but the newest
 * policy->self_signatures and policy->revocations, and merges signatures that
 * are the same (type, algorithms and hashed area; of v3: type and time) to the
 * smaller in octets.  Then user IDs and subkeys over their number go, and what
 * is over policy->certifications or policy->certificate_size: certifications
 * by other keys first, oldest first, then user attributes, older
 * self-signatures, then user IDs from the end, the oldest subkeys, and those
 * that are revoked; the newest hard revocation of the primary key always stays.
 * PGP_OK; PGP_NOT_CERT when nothing worth keeping by itself is left: no valid
 * user ID, no revocation of the primary key, no direct-key signature (what is
 * left may still be merged into a stored certificate of that key); PGP_NOMEM.
 * Of an opaque certificate signatures need not be verified.
 */
enum pgp_status pgp_cert_clean(
    struct pgp_cert *, const struct pgp_policy *, struct pgp_left_out *);

/* What a merge brought, for the answer and the change log.  A new component
 * is counted as itself; signatures and revocations are those of components
 * that were there before. */
struct pgp_added {
	bool key; /* the whole certificate is new */
	unsigned userids, subkeys, attributes, signatures, revocations;
	unsigned certifications; /* by other keys */
};

/*
 * Set union of two cleaned certificates of one primary key into `into`; `from`
 * is not changed.  Commutative, associative and idempotent up to the policy's
 * caps on size and number of components, where what `into` holds stays (a
 * hard revocation of the primary key is taken all the same).  *added says what
 * `into` did not have.  On PGP_NOMEM, and PGP_NOT_CERT (two different keys),
 * `into` is as it was.
 *
 * What is verified takes the place of what is unverified, and of two keys with
 * one fingerprint that differ, the first stays.  To an opaque certificate only
 * adds what there is room for: nothing of it ever gives way to what nobody has
 * checked.
 */
enum pgp_status pgp_cert_merge(struct pgp_cert *into,
    const struct pgp_cert *from, const struct pgp_policy *,
    struct pgp_added *added);

/* Takes everything away but the primary key and its revocations, and what names
 * a designated revoker that made one.  False: there are none, and the
 * certificate is the bare key. */
bool pgp_cert_strip(struct pgp_cert *);

struct pgp_cert *pgp_cert_dup(const struct pgp_cert *); /* NULL: no memory */

/* A signature by the first octets of the SHA-256 of its canonical packet. */
#define PGP_DIGEST_LEN 8

/*
 * The digests of the signatures of `now` that `old`, an earlier form of it,
 * does not have in any variant, as a malloc'ed array (free(3)) of *n; NULL
 * when there are none.  A new component shows in its signatures: it has at
 * least one.  PGP_OK, PGP_NOMEM.
 */
enum pgp_status pgp_cert_news(const struct pgp_cert *old,
    const struct pgp_cert *now, unsigned char (**digest)[PGP_DIGEST_LEN],
    size_t *n);

/*
 * Writes the part of a certificate that has these signatures and verifies by
 * itself: the primary key, each user ID, attribute or subkey that one of them
 * stands on, and they behind it, a certification by another key with the newest
 * self-signature beside it.  Where none stands on a user ID or attribute,
 * the primary user ID goes along with its newest self-signature (and newest
 * revocation), since there are key servers that take no key without a name:
 * not a subkey, not even a revocation of what they hold.  Digests that no
 * signature has are passed over; when there is none that one has, nothing is
 * written.  Returns 0, or -1 when the stream has an error or memory ran out.
 */
int pgp_cert_select(FILE *, const struct pgp_cert *,
    const unsigned char (*digest)[PGP_DIGEST_LEN], size_t n);

/* What a client would make of a key or user ID at a moment, as gpg judges it.
 * A subkey or user ID is judged by itself: a revoked primary key takes all of
 * them along. */
struct pgp_state {
	bool revoked;
	bool hard; /* revoked for all of time */
	bool expired;
	uint32_t expires;  /* moment since 1970, 0 = never */
	uint8_t key_flags; /* of the newest self-signature, 0 = none */
};
void pgp_component_state(const struct pgp_cert *, const struct pgp_component *,
    uint32_t now, struct pgp_state *);

/* The user ID that clients show first; NULL when there is none. */
const struct pgp_component *pgp_cert_primary_userid(const struct pgp_cert *);

/* ---- verification (RFC 9580, 5.2.4) -------------------------------------- */

enum pgp_verdict {
	PGP_GOOD,     /* the primary key made it, and it may count */
	PGP_BAD,      /* it did not, or it may not */
	PGP_UNDECIDED /* not for us to say: gpg's turn, where gpg can */
};

/*
 * What the claims of one certificate have in common: the primary key as
 * libcrypto wants it, and digests begun.  It may be used for one certificate
 * after another; claims of the same one should come together.
 */
struct pgp_verifier;
struct pgp_verifier *pgp_verifier_new(void);   /* NULL: no memory */
void pgp_verifier_free(struct pgp_verifier *); /* accepts NULL */

/*
 * pgp_prepare(), and one key of each kind, which makes libcrypto load what
 * verifying needs: before a jail is locked.
 */
void pgp_verifier_prepare(void);

/*
 * Judges a signature that claims to be the primary key's own: a certification
 * of a user ID or user attribute (0x10 to 0x13) or its revocation (0x30), a
 * binding of a subkey (0x18, back-signature included) or its revocation
 * (0x28), or, with on->tag 0, the primary key's own (0x1F, 0x20).  Any octets
 * will do.  Arithmetic only: no file, no clock; whether anything has expired
 * or lies ahead is not looked at, nor are the left 16 bits.  Good by the rules
 * of GnuPG 2.2, which does not know versions 3 and 6 and Ed25519 and Ed448 with
 * numbers of their own (RFC 9580, 9.1): what digests a version 3 key is worth
 * is for the caller to say.  Bad, too, is whatever comes after some seconds of
 * work for one certificate.
 */
enum pgp_verdict pgp_claim_verify(struct pgp_verifier *,
    const struct pgp_packet *primary, const struct pgp_packet *on,
    const struct pgp_packet *signature);

/*
 * The same of a revocation (0x20, 0x28) by a designated revoker's primary key.
 * Whether the owner has named it is not looked at.
 */
enum pgp_verdict pgp_revoker_verify(const struct pgp_packet *primary,
    const struct pgp_packet *on, const struct pgp_packet *signature,
    const struct pgp_packet *revoker);

/* ---- back-signatures (RFC 9580, 5.2.1.8 and 5.2.1.9) -------------------- */

/*
 * A subkey that signs must say itself that it belongs to the primary key, or
 * anybody could claim what another one signed.  Judges a subkey binding (type
 * 0x18) that is known to be the primary key's.  True when its key flags do not
 * say that the subkey signs, or when the newest back-signature embedded in it
 * verifies.  False for what cannot be judged, running out of memory included.
 */
bool pgp_binding_backed(const struct pgp_packet *primary,
    const struct pgp_packet *subkey, const struct pgp_packet *binding);

/* ---- streams of certificates -------------------------------------------- */

/*
 * Reads packets from anywhere and hands them out certificate by certificate,
 * so that one bad certificate does not take its neighbours along, in memory
 * that does not grow with the stream.  Armored input is noticed by itself.
 */
struct pgp_reader;
typedef long pgp_read(void *ctx, unsigned char *buf, size_t size);

/* `read` returns octets read, 0 at the end, -1 on error.  NULL: no memory. */
struct pgp_reader *pgp_reader_new(
    pgp_read *, void *ctx, const struct pgp_policy *);
void pgp_reader_free(struct pgp_reader *);

/*
 * The next certificate's packets, lent until the next call, as they came but
 * for packets that no policy keeps (trust, marker, padding), packets over
 * their cap, signatures that cannot be read or are plainly by others (but for
 * what policy->certifications keeps, up to half of what is collected), user IDs
 * and subkeys without a signature that could be the key's, and what is beyond
 * 16 times policy->certificate_size (at least 4 MiB), which are counted into
 * left so that a flooded certificate needs no memory.
 * PGP_OK; PGP_END; PGP_SECRET (skipped, wiped); PGP_UNSUPPORTED, PGP_TOO_LARGE
 * (the primary key; skipped: call again; the packets are those of it alone, for
 * pgp_key_identify(), or none); PGP_NOT_CERT (other packets, skipped: call
 * again); PGP_MALFORMED, PGP_TRUNCATED, PGP_BAD_ARMOR (what follows is lost up
 * to the next armored block; call again); a bare revocation signature of type
 * 0x20 comes as PGP_OK with *bare set.  PGP_NOMEM, and PGP_END ever after a
 * failed read, which pgp_reader_failed() tells from the end.
 */
enum pgp_status pgp_reader_next(struct pgp_reader *, struct pgp_left_out *left,
    const unsigned char **packets, size_t *len, bool *bare);

bool pgp_reader_failed(const struct pgp_reader *);

/* Octets of input taken so far, for progress. */
uint64_t pgp_reader_offset(const struct pgp_reader *);

/* Where another reader can go on, having skipped so many octets of input; 0:
 * only at the beginning (within text). */
uint64_t pgp_reader_resume(const struct pgp_reader *);

#endif
