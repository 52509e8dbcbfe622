/*
 * A certificate as INDEX shows it.
 *
 * The columns are those of PKS, which people and scripts know:
 *
 *   pub  2048R/A842439C 2015/06/07 first user ID
 *       Key fingerprint = ...
 *                                  further user IDs
 *   sig        A842439C             user ID of the signer
 *       [2015/06/07 what it is, until when]
 *   sub  2048g/B0C1D2E3 2015/06/07 [S signs, C certifies, E encrypts,
 *                                  A authenticates] [until when]
 *
 * What PKS does not have stands behind OURS_COLUMN blanks, on lines of its own.
 *
 * The letter behind the size is the algorithm, as onak and GnuPG 1.4 have it:
 * R RSA, r RSA for encryption only, s RSA for signing only, D DSA, g Elgamal
 * for encryption, G Elgamal for both, e ECDH with its kin X25519 and X448,
 * E ECDSA, EdDSA, Ed25519 and Ed448, ? what is not known.
 *
 * A key ID has 8 digits where only one certificate of the store has it, else
 * 16.  A revoked, expired or unverified key says so in the place of the user
 * ID, which then moves to the next line and, as PKS has it, one column to the
 * left.
 */
#include "handlers/handler.h"

#include <string.h>

#define USERID_COLUMN 31 /* where user IDs stand */
#define MOVED_COLUMN  30 /* where that of a revoked key does */
#define OURS_COLUMN   4	 /* a fingerprint stays on one line when "=" is "=3D" */
#define SIGNERS_MAX   4	 /* certificates looked at for a signer's user ID */

/* What one certificate's lines have in common. */
struct listing {
	struct reply *reply;
	struct keystore *ks;
	const struct pgp_cert *cert;
	const struct pgp_component *first; /* user ID; NULL: none */
	uint32_t now;
	size_t max;	/* octets that the answer may have */
	bool cut;	/* something was left out for that */
	char keyid[17]; /* of the primary key, as it is shown */
};

/* RFC 9580, 9.1, and RFC 4880, 9.1, for 20 and what was before. */
static char
letter(uint8_t pkalgo)
{
	static const char letters[] = {[1] = 'R',
	    [2] = 'r',
	    [3] = 's',
	    [16] = 'g',
	    [17] = 'D',
	    [18] = 'e',
	    [19] = 'E',
	    [20] = 'G',
	    [22] = 'E',
	    [25] = 'e',
	    [26] = 'e',
	    [27] = 'E',
	    [28] = 'E'};

	if (pkalgo >= sizeof letters || letters[pkalgo] == '\0')
		return '?';
	return letters[pkalgo];
}

/* "2015/06/07", UTC. */
static const char *
date(uint32_t seconds, char out[static 16])
{
	time_t t = seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, 16, "%Y/%m/%d", &tm) == 0)
		return "----/--/--";
	return out;
}

static uint32_t
clamp(time_t t)
{
	return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

static void
keyid_long(const unsigned char keyid[8], char out[static 17])
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned i;

	for (i = 0; i < 8; i++) {
		out[2 * i] = digits[keyid[i] >> 4];
		out[2 * i + 1] = digits[keyid[i] & 15];
	}
	out[16] = '\0';
}

/* The last 8 digits only where they name one key of the store. */
static void
keyid_shown(
    struct keystore *ks, const unsigned char keyid[8], char out[static 17])
{
	unsigned n;

	keyid_long(keyid, out);
	if (ks_short_id_count(ks, keyid + 4, &n) == KS_OK && n <= 1)
		memmove(out, out + 8, 9);
}

static void
blanks(struct reply *reply, unsigned n)
{
	reply_printf(reply, "%*s", (int)n, "");
}

/*
 * The fingerprint in groups: of v4 as gpg prints it; the 16 octets of v3 by
 * octets, for that is how PGP 2 prints them; the 32 of v5 and v6 on two lines.
 */
static void
fingerprint(struct reply *reply, const struct pgp_fpr *fpr)
{
	static const char title[] = "Key fingerprint = ";
	char hex[PGP_FPR_HEX];
	size_t len, i, group, half;

	len = strlen(pgp_fpr_hex(fpr, hex));
	group = len == 32 ? 2 : 4;
	half = len == 40 ? 20 : len == 32 ? 16 : 32;
	blanks(reply, OURS_COLUMN);
	reply_printf(reply, "%s", title);
	for (i = 0; i < len; i += group) {
		if (i == half && len == 64)
			reply_printf(reply, "\n%*s",
			    (int)(OURS_COLUMN + sizeof title - 1), "");
		else if (i > 0)
			reply_printf(reply, i == half ? "  " : " ");
		reply_printf(reply, "%.*s", (int)group, hex + i);
	}
	reply_printf(reply, "\n");
}

void
listing_heading(struct reply *reply)
{
	reply_printf(reply, "Type bits/keyID    Date       User ID\n");
}

/* What a signature is about: RFC 9580, 5.2.1. */
static const char *
meaning(const struct pgp_signature *sig, bool own)
{
	switch (sig->type) {
	case 0x10:
	case 0x11:
	case 0x12:
	case 0x13:
		return own ? "self-signature" : "certification";
	case 0x18:
		return "subkey binding";
	case 0x1F:
		return "key signature";
	case 0x20:
		return "key revocation";
	case 0x28:
		return "subkey revocation";
	case 0x30:
		return "revocation";
	default:
		return "signature";
	}
}

/* RFC 9580, 5.2.3.31; "" where the reason says nothing. */
static const char *
reason(const struct pgp_signature *sig)
{
	switch (sig->reason) {
	case 1:
		return ": superseded";
	case 2:
		return ": compromised";
	case 3:
		return ": no longer used";
	case 32:
		return ": no longer valid";
	default:
		return "";
	}
}

static bool
is_revocation(const struct pgp_signature *sig)
{
	return sig->type == 0x20 || sig->type == 0x28 || sig->type == 0x30;
}

/* Seconds after `created`, which may lie past 2106. */
static uint32_t
moment(uint32_t created, uint32_t after)
{
	return after > UINT32_MAX - created ? UINT32_MAX : created + after;
}

/* When the signature ends, and when it lets its key end. */
static void
ends(const struct listing *l, const struct pgp_component *on,
    const struct pgp_signature *sig, bool own)
{
	const struct pgp_component *key;
	char day[16];

	if (sig->expires != 0)
		reply_printf(l->reply, ", ends %s",
		    date(moment(sig->created, sig->expires), day));
	if (!own || sig->key_expires == 0)
		return;
	key = on->kind == PGP_SUBKEY ? on : &l->cert->components[0];
	reply_printf(l->reply, ", key ends %s",
	    date(moment(key->created, sig->key_expires), day));
}

static void
userid(struct reply *reply, const struct pgp_component *id)
{
	if (id != NULL)
		reply_userid(reply, id->body, id->len);
	else
		reply_printf(reply, "[no user ID]");
}

/* The user ID of somebody else who signed; false: the store does not know. */
static bool
signer(const struct listing *l, const struct pgp_signature *sig)
{
	struct ks_query query = {.kind = KS_BY_KEYID, .ndigits = 16};
	struct ks_found found;
	struct pgp_cert *cert;
	bool known = false;
	size_t i;

	memcpy(query.octet, sig->issuer, sizeof sig->issuer);
	if (ks_find(l->ks, &query, SIGNERS_MAX, &found) != KS_OK)
		return false;
	for (i = 0; i < found.n && !known; i++) {
		if (ks_get(l->ks, &found.fpr[i], &cert, NULL) != KS_OK)
			continue;
		known = memcmp(cert->components[0].keyid, sig->issuer,
			    sizeof sig->issuer) == 0;
		if (known)
			userid(l->reply, pgp_cert_primary_userid(cert));
		pgp_cert_free(cert);
	}
	ks_found_free(&found);
	return known;
}

/* "sig        A842439C             user ID of the signer", as PKS and pgp
 * have it. */
static void
signature_columns(const struct listing *l, const struct pgp_signature *sig,
    bool own, bool revokes)
{
	char keyid[17];

	keyid_shown(l->ks, sig->issuer, keyid);
	reply_printf(l->reply, "%s        %-20s ", revokes ? "rev" : "sig",
	    own ? l->keyid : keyid);
	if (own)
		userid(l->reply, l->first);
	else if (!signer(l, sig))
		reply_printf(l->reply, "(Unknown signator, can't be checked)");
	reply_printf(l->reply, "\n");
}

/* Whether it is the key's own, as far as it says so. */
static bool
is_own(const struct listing *l, const struct pgp_signature *sig)
{
	static const unsigned char none[8];
	const unsigned char *primary = l->cert->components[0].keyid;

	return memcmp(sig->issuer, primary, 8) == 0 ||
	       (sig->verified && memcmp(sig->issuer, none, 8) == 0);
}

static void
signature(const struct listing *l, const struct pgp_component *on,
    const struct pgp_signature *sig, bool own)
{
	char keyid[17], day[16];
	bool revokes = is_revocation(sig);

	signature_columns(l, sig, own, revokes);
	blanks(l->reply, OURS_COLUMN);
	reply_printf(
	    l->reply, "[%s %s", date(sig->created, day), meaning(sig, own));
	keyid_long(sig->issuer, keyid);
	if (!own)
		reply_printf(l->reply, " by %s%s", keyid,
		    sig->verified ? "" : ", unverified");
	if (revokes && own)
		reply_printf(l->reply, "%s", reason(sig));
	else if (own)
		ends(l, on, sig, own);
	reply_printf(l->reply, "]\n");
}

/* Asked before each line that might be left out. */
static bool
full(struct listing *l)
{
	if (reply_size(l->reply) > l->max)
		l->cut = true;
	return l->cut;
}

static void
signatures(struct listing *l, const struct pgp_component *on)
{
	size_t i;

	for (i = 0; i < on->nsigs && !full(l); i++)
		signature(l, on, on->sigs[i], is_own(l, on->sigs[i]));
	/* Nobody has verified these; anybody can write a key ID. */
	for (i = 0; i < on->nothers && !full(l); i++)
		signature(l, on, on->others[i], false);
}

/* "pub  2048R/A842439C 2015/06/07 ", up to where a user ID begins. */
static void
key_columns(const struct listing *l, const char *type,
    const struct pgp_component *key, const char *keyid)
{
	char day[16];

	reply_printf(l->reply, "%s %5u%c/%s %s ", type, key->bits,
	    letter(key->pkalgo), keyid, date(key->created, day));
}

/* What a key is for (RFC 9580, 5.2.3.29), in gpg's letters and order; "" when
 * its self-signature does not say. */
static const char *
uses(uint8_t flags, char out[static 5])
{
	char *p = out;

	if ((flags & 0x02) != 0)
		*p++ = 'S';
	if ((flags & 0x01) != 0)
		*p++ = 'C';
	if ((flags & (0x04 | 0x08)) != 0)
		*p++ = 'E';
	if ((flags & 0x20) != 0)
		*p++ = 'A';
	*p = '\0';
	return out;
}

/* "[E] [expires 2027/01/02]", and ends the line. */
static void
marks(struct reply *reply, const struct pgp_state *state)
{
	const char *between = "";
	char letters[5], day[16];

	if (*uses(state->key_flags, letters) != '\0') {
		reply_printf(reply, "[%s]", letters);
		between = " ";
	}
	if (state->revoked)
		reply_printf(reply, "%s[revoked]", between);
	else if (state->expires != 0)
		reply_printf(reply, "%s[%s %s]", between,
		    state->expired ? "expired" : "expires",
		    date(state->expires, day));
	reply_printf(reply, "\n");
}

static void
subkey(struct listing *l, const struct pgp_component *key)
{
	struct pgp_state state;
	char keyid[17];

	if (l->cert->unverified)
		keyid_long(key->keyid, keyid);
	else
		keyid_shown(l->ks, key->keyid, keyid);
	pgp_component_state(l->cert, key, l->now, &state);
	key_columns(l, "sub", key, keyid);
	marks(l->reply, &state);
	signatures(l, key);
}

/* A user ID or attribute behind its column, to the end of the line. */
static void
identity(const struct listing *l, const struct pgp_component *id)
{
	struct pgp_state state;

	pgp_component_state(l->cert, id, l->now, &state);
	if (id->kind == PGP_USERID)
		reply_userid(l->reply, id->body, id->len);
	else
		reply_printf(l->reply, "[user attribute, %zu octets]", id->len);
	if (state.revoked)
		reply_printf(l->reply, " [revoked]");
	reply_printf(l->reply, "\n");
}

/* The pub line, with the first user ID unless the key's state takes its
 * place; then that stands below. */
static void
primary_key(const struct listing *l)
{
	const struct pgp_component *key = &l->cert->components[0];
	struct pgp_state state;
	char day[16];

	pgp_component_state(l->cert, key, l->now, &state);
	key_columns(l, "pub", key, l->keyid);
	if (state.revoked)
		reply_printf(l->reply, "*** KEY REVOKED ***\n");
	else if (state.expired)
		reply_printf(l->reply, "*** KEY EXPIRED %s ***\n",
		    date(state.expires, day));
	if (l->cert->unverified) {
		if (state.revoked || state.expired)
			blanks(l->reply, MOVED_COLUMN);
		reply_printf(l->reply, "*** UNVERIFIED ***\n");
	}
	if (state.revoked || state.expired || l->cert->unverified)
		blanks(l->reply, MOVED_COLUMN);
	if (l->first != NULL)
		identity(l, l->first);
	else
		reply_printf(l->reply, "[no user ID]\n");
	fingerprint(l->reply, &key->fpr);
}

/* What the key is for and until when, where VERBOSE shows it. */
static void
primary_marks(const struct listing *l)
{
	struct pgp_state state;
	char letters[5];

	pgp_component_state(l->cert, &l->cert->components[0], l->now, &state);
	/* Revoked and expired are said in the pub line. */
	state.revoked = false;
	if (state.expired)
		state.expires = 0;
	if (*uses(state.key_flags, letters) == '\0' && state.expires == 0)
		return;
	blanks(l->reply, OURS_COLUMN);
	marks(l->reply, &state);
}

/* The others in the certificate's order; at 0 the primary key stands, and the
 * first user ID, which was shown, has its signatures. */
static void
identities(struct listing *l, bool verbose)
{
	const struct pgp_component *c;
	size_t i, n = l->cert->ncomponents;

	for (i = 0; i < n; i++) {
		c = i == 0 ? l->first : &l->cert->components[i];
		if (c == NULL || c->kind == PGP_SUBKEY ||
		    (i > 0 && c == l->first))
			continue;
		if (full(l))
			return;
		if (i > 0) {
			blanks(l->reply, USERID_COLUMN);
			identity(l, c);
		}
		if (verbose)
			signatures(l, c);
	}
}

void
listing_cert(struct reply *reply, struct keystore *ks,
    const struct pgp_cert *cert, bool verbose, time_t now, size_t max)
{
	struct listing l = {.reply = reply,
	    .ks = ks,
	    .cert = cert,
	    .first = pgp_cert_primary_userid(cert),
	    .now = clamp(now),
	    .max = max};
	size_t i;

	/* An unverified key is not found by 8 digits, so they say nothing. */
	if (cert->unverified)
		keyid_long(cert->components[0].keyid, l.keyid);
	else
		keyid_shown(ks, cert->components[0].keyid, l.keyid);
	primary_key(&l);
	if (verbose) {
		primary_marks(&l);
		signatures(&l, &cert->components[0]);
	}
	identities(&l, verbose);
	for (i = 1; verbose && i < cert->ncomponents; i++)
		if (cert->components[i].kind == PGP_SUBKEY && !full(&l))
			subkey(&l, &cert->components[i]);
	if (l.cut)
		reply_printf(reply, "[the rest is left out: too long]\n");
}

void
listing_fpr(struct reply *reply, const struct pgp_fpr *fpr)
{
	char hex[PGP_FPR_HEX];

	reply_printf(reply, "%s\n", pgp_fpr_hex(fpr, hex));
}

void
listing_brief(struct reply *reply, const struct pgp_cert *cert, time_t now)
{
	struct pgp_state state;
	char day[16];

	listing_fpr(reply, pgp_cert_fpr(cert));
	blanks(reply, 4);
	userid(reply, pgp_cert_primary_userid(cert));
	reply_printf(reply, "\n");
	pgp_component_state(cert, &cert->components[0], clamp(now), &state);
	if (state.revoked)
		reply_printf(reply, "    *** KEY REVOKED ***\n");
	else if (state.expired)
		reply_printf(reply, "    *** KEY EXPIRED %s ***\n",
		    date(state.expires, day));
	if (cert->unverified)
		reply_printf(reply, "    *** UNVERIFIED ***\n");
}

void
listing_unverified(struct reply *reply, struct pgp_cert *const *cert, size_t n)
{
	size_t i = 0;

	while (i < n && !cert[i]->unverified)
		i++;
	if (i == n)
		return;
	reply_printf(reply, "\n");
	reply_wrap(reply, 0,
	    "UNVERIFIED: this server cannot check the signatures of this kind "
	    "of key, or they prove little.  Any part of it, a revocation too, "
	    "may be anybody's: let your own program check it.");
}
