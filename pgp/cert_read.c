/*
 * Packets become a certificate in canonical form (RFC 9580, 10.1).
 */
#include "pgp/internal.h"

#include <stdlib.h>
#include <string.h>

/* As many components for one that may be kept are looked at. */
#define COMPONENTS_FACTOR 64

/*
 * The primary key and the component under way stand apart from the others
 * until they are complete, so that one without a claimed self-signature takes
 * no room.
 */
struct builder {
	const struct pgp_policy *policy;
	enum pgp_trust trust;
	enum key_class class; /* of the primary key */
	uint32_t now;
	struct pgp_left_out *left;
	struct pgp_component primary, current;
	bool has_current;
	bool skipping; /* behind a component that was left out */
	struct hasher on_primary, on_current;
	struct pgp_component *done;
	size_t ndone;
	size_t count[PGP_SUBKEY + 1];
	unsigned by_others; /* revocations */
};

/* A signature, by where it stands. */
static void
leave_out(struct builder *b, enum pgp_left_reason reason)
{
	const struct pgp_component *on = &b->primary;

	if (b->has_current)
		on = &b->current;
	else if (b->skipping)
		on = NULL;
	left_note(b->left, reason, on, false);
}

/* Only identical octets: of two that differ in what is not signed, either may
 * be the forged one. */
static void
collapse_identical(struct builder *b, struct pgp_component *c)
{
	struct pgp_signature *last = NULL, *sig;
	size_t i;

	component_sort(c);
	for (i = 0; i < c->nsigs; i++) {
		sig = c->sigs[i];
		if (last != NULL && last->len == sig->len &&
		    memcmp(last->packet, sig->packet, sig->len) == 0) {
			signature_free(sig);
			c->sigs[i] = NULL;
			b->left->n[PGP_LEFT_DUPLICATE]++;
		} else
			last = sig;
	}
	component_pack(c);
}

static bool
too_many(const struct builder *b, enum pgp_kind kind)
{
	size_t cap =
	    kind == PGP_SUBKEY ? b->policy->subkeys : b->policy->userids;

	return b->count[kind] >= cap * COMPONENTS_FACTOR;
}

/* Puts the component under way with those that are complete, or drops it. */
static enum pgp_status
close_current(struct builder *b)
{
	struct pgp_component *done = b->done;
	size_t n = b->ndone;

	if (!b->has_current)
		return PGP_OK;
	b->has_current = false;
	hasher_free(&b->on_current);
	if (b->current.nsigs == 0 || too_many(b, b->current.kind)) {
		left_note(b->left,
		    b->current.nsigs == 0 ? PGP_LEFT_NO_SELFSIG
					  : PGP_LEFT_TOO_MANY,
		    &b->current, true);
		component_free(&b->current);
		return PGP_OK;
	}
	if ((n & (n - 1)) == 0)
		done = realloc(done, (n == 0 ? 1 : 2 * n) * sizeof(*done));
	if (done == NULL) {
		component_free(&b->current);
		return PGP_NOMEM;
	}
	b->done = done;
	b->done[b->ndone++] = b->current;
	b->count[b->current.kind]++;
	return PGP_OK;
}

/* Whether a packet of this kind may begin a component; says why not. */
static bool
component_welcome(
    struct builder *b, enum pgp_kind kind, const struct pgp_packet *packet)
{
	const struct pgp_component it = {.kind = kind,
	    .body = (unsigned char *)(uintptr_t)packet->body,
	    .len = packet->len};
	size_t cap = kind == PGP_USERID	     ? b->policy->userid_size
		     : kind == PGP_ATTRIBUTE ? b->policy->attribute_size
					     : b->policy->packet_size;

	if (kind == PGP_ATTRIBUTE && cap == 0)
		left_note(b->left, PGP_LEFT_ATTRIBUTE, &it, true);
	else if (packet->len > cap)
		left_note(b->left, PGP_LEFT_TOO_LARGE, &it, true);
	else
		return true;
	return false;
}

/* RFC 9580, 10.1: a subkey has the version of its primary key; gpg 2.2 gives
 * up all that follows when it meets another.  LibrePGP mixes 4 and 5. */
static bool
subkey_fits(const struct builder *b, unsigned version)
{
	return version >= 4 && (version == b->primary.version ||
				   (version == 4 && b->primary.version == 5));
}

static enum pgp_status
add_component(
    struct builder *b, enum pgp_kind kind, const struct pgp_packet *packet)
{
	enum pgp_status status = close_current(b);

	b->skipping = true;
	if (status != PGP_OK || !component_welcome(b, kind, packet))
		return status;
	if (!component_init(&b->current, kind, packet->body, packet->len))
		return PGP_NOMEM;
	if (kind == PGP_SUBKEY) {
		status = key_fill(&b->current, packet->body, packet->len);
		if (status != PGP_OK || !subkey_fits(b, b->current.version)) {
			if (status != PGP_NOMEM)
				left_note(b->left, PGP_LEFT_UNKNOWN,
				    &b->current, true);
			component_free(&b->current);
			return status == PGP_NOMEM ? status : PGP_OK;
		}
	}
	hasher_init(&b->on_current, &b->primary, &b->current);
	b->on_current.opaque = b->class == KEY_OPAQUE;
	b->has_current = true;
	b->skipping = false;
	return PGP_OK;
}

/* What a signature of this type stands on; NULL: nothing that we have. */
static struct pgp_component *
signature_target(struct builder *b, unsigned type)
{
	bool userid = b->has_current && b->current.kind != PGP_SUBKEY;
	bool subkey = b->has_current && b->current.kind == PGP_SUBKEY;

	switch (type) {
	case 0x1f:
	case 0x20:
		/* Wherever it stands, it can mean nothing but the key. */
		return &b->primary;
	case 0x10:
	case 0x11:
	case 0x12:
	case 0x13:
	case 0x30:
		return userid ? &b->current : NULL;
	case 0x18:
	case 0x28:
		return subkey ? &b->current : NULL;
	}
	return NULL;
}

/* PGP_LEFT_REASONS: nothing speaks against it. */
static enum pgp_left_reason
signature_objection(const struct builder *b, const struct pgp_signature *sig)
{
	if (!sig->exportable)
		return PGP_LEFT_LOCAL;
	/* Its issuer may have made it longer; whoever reads it again must find
	 * it as small as we did. */
	if (sig->len - sig->body > b->policy->signature_size)
		return PGP_LEFT_TOO_LARGE;
	if (b->trust == PGP_CLAIMED &&
	    sig->created > (uint64_t)b->now + b->policy->future)
		return PGP_LEFT_FUTURE;
	if (sig->created < b->primary.created)
		return PGP_LEFT_TOO_OLD;
	/* RFC 9580, 10.1.4: a key that signs must agree to be bound. */
	if (sig->type == 0x18 && (sig->key_flags & 0x02) != 0 &&
	    !signature_has_back(sig))
		return PGP_LEFT_UNVERIFIED;
	return PGP_LEFT_REASONS;
}

static enum pgp_status
take_signature(struct builder *b, const struct signature_parts *parts)
{
	struct pgp_component *on = signature_target(b, parts->type);
	enum pgp_left_reason objection;
	struct pgp_signature *sig;
	enum pgp_status status;

	if (on == NULL) {
		leave_out(b, PGP_LEFT_UNKNOWN);
		return PGP_OK;
	}
	status = signature_canonical(
	    parts, on == &b->primary ? &b->on_primary : &b->on_current, &sig);
	if (status == PGP_MALFORMED) {
		leave_out(b, PGP_LEFT_UNKNOWN);
		return PGP_OK;
	}
	if (status != PGP_OK)
		return status;
	objection = signature_objection(b, sig);
	if (objection != PGP_LEFT_REASONS) {
		left_note(b->left, objection, on, false);
		signature_free(sig);
		return PGP_OK;
	}
	sig->verified = b->trust == PGP_VERIFIED ||
			(b->trust == PGP_UNVERIFIED && b->class == KEY_WEAK);
	return component_add(on, sig) ? PGP_OK : PGP_NOMEM;
}

/* A revocation by another key: its owner may have named that for it. */
static enum pgp_status
take_revocation(struct builder *b, const struct signature_parts *parts)
{
	struct pgp_component *on = signature_target(b, parts->type);
	struct pgp_signature *sig = NULL;
	enum pgp_status status;

	if (on == NULL || b->class == KEY_OPAQUE ||
	    (b->trust == PGP_CLAIMED && b->by_others++ >= REVOCATIONS_MAX))
		status = PGP_MALFORMED;
	else
		status = signature_canonical_other(parts,
		    on == &b->primary ? &b->on_primary : &b->on_current, &sig);
	if (status == PGP_OK &&
	    signature_objection(b, sig) == PGP_LEFT_REASONS) {
		sig->by_revoker = true;
		sig->verified = b->trust == PGP_VERIFIED;
		return component_add(on, sig) ? PGP_OK : PGP_NOMEM;
	}
	if (status == PGP_OK)
		signature_free(sig);
	if (status == PGP_NOMEM)
		return status;
	leave_out(b, PGP_LEFT_THIRD_PARTY);
	return PGP_OK;
}

/* A certification by another key. */
static enum pgp_status
take_other(struct builder *b, const struct signature_parts *parts)
{
	enum pgp_left_reason objection;
	struct pgp_signature *sig;
	enum pgp_status status;

	if (b->policy->certifications == 0 || b->class == KEY_OPAQUE ||
	    !other_may_be(parts->type) ||
	    signature_target(b, parts->type) == NULL) {
		leave_out(b, PGP_LEFT_THIRD_PARTY);
		return PGP_OK;
	}
	status = signature_canonical_other(parts, &b->on_current, &sig);
	if (status == PGP_MALFORMED)
		leave_out(b, PGP_LEFT_THIRD_PARTY);
	if (status != PGP_OK)
		return status == PGP_MALFORMED ? PGP_OK : status;
	objection = signature_objection(b, sig);
	if (objection == PGP_LEFT_REASONS)
		return others_add(&b->current, sig) ? PGP_OK : PGP_NOMEM;
	leave_out(b, objection);
	signature_free(sig);
	return PGP_OK;
}

static enum pgp_status
add_signature(struct builder *b, const struct pgp_packet *packet)
{
	struct signature_parts parts;

	if (packet->len > b->policy->signature_size)
		leave_out(b, PGP_LEFT_TOO_LARGE);
	else if (!signature_split(packet->body, packet->len, &parts))
		leave_out(b, PGP_LEFT_UNKNOWN);
	else if (signature_issuer(&parts, &b->primary) == ISSUER_OTHER)
		return revoker_may(parts.type) ? take_revocation(b, &parts)
					       : take_other(b, &parts);
	else if (!signature_version_fits(parts.version, b->primary.version))
		leave_out(b, PGP_LEFT_UNKNOWN);
	else if (!b->skipping || signature_target(b, parts.type) != NULL)
		return take_signature(b, &parts);
	/* What stood on a component that was left out goes with it. */
	return PGP_OK;
}

static enum pgp_status
add_packet(struct builder *b, const struct pgp_packet *packet)
{
	switch (packet->tag) {
	case PGP_TAG_SIGNATURE:
		return add_signature(b, packet);
	case PGP_TAG_USERID:
		return add_component(b, PGP_USERID, packet);
	case PGP_TAG_ATTRIBUTE:
		return add_component(b, PGP_ATTRIBUTE, packet);
	case PGP_TAG_PUBLIC_SUBKEY:
		return add_component(b, PGP_SUBKEY, packet);
	case PGP_TAG_SECRET_KEY:
	case PGP_TAG_SECRET_SUBKEY:
		return PGP_SECRET;
	case PGP_TAG_PUBLIC_KEY:
		return PGP_MALFORMED; /* a second certificate */
	case PGP_TAG_MARKER:
	case PGP_TAG_TRUST:
	case PGP_TAG_PADDING:
		return PGP_OK;
	}
	left_note(b->left, PGP_LEFT_UNKNOWN, NULL, true);
	return PGP_OK;
}

static enum pgp_status
add_primary(struct builder *b, const struct pgp_packet *packet)
{
	enum pgp_status status;

	if (packet->tag == PGP_TAG_SECRET_KEY ||
	    packet->tag == PGP_TAG_SECRET_SUBKEY)
		return PGP_SECRET;
	if (packet->tag != PGP_TAG_PUBLIC_KEY)
		return PGP_NOT_CERT;
	if (packet->len > b->policy->packet_size)
		return PGP_TOO_LARGE;
	if (!component_init(
		&b->primary, PGP_PRIMARY, packet->body, packet->len))
		return PGP_NOMEM;
	status = key_fill(&b->primary, packet->body, packet->len);
	if (status != PGP_OK)
		return status;
	b->class = key_class(&b->primary);
	b->on_primary.opaque = b->class == KEY_OPAQUE;
	return b->trust != PGP_CLAIMED || key_welcome(&b->primary, b->policy)
		   ? PGP_OK
		   : PGP_UNSUPPORTED;
}

static enum pgp_status
add_packets(struct builder *b, const unsigned char *packets, size_t len)
{
	struct pgp_blob joined = {NULL, 0};
	struct pgp_packet packet;
	enum pgp_status status;
	size_t pos = 0;

	do {
		status = pgp_packet_read(packets, len, &pos, &joined, &packet);
		if (status == PGP_OK && b->primary.body == NULL) {
			if (packet.tag != PGP_TAG_MARKER)
				status = add_primary(b, &packet);
		} else if (status == PGP_OK)
			status = add_packet(b, &packet);
	} while (status == PGP_OK);
	pgp_blob_free(&joined, true);
	if (status != PGP_END)
		return status;
	return b->primary.body == NULL ? PGP_NOT_CERT : close_current(b);
}

/* Moves the signatures of one component to another, which is the same. */
static bool
component_absorb(struct pgp_component *to, struct pgp_component *from)
{
	size_t i;

	for (i = 0; i < from->nsigs; i++) {
		struct pgp_signature *sig = from->sigs[i];

		from->sigs[i] = NULL;
		if (!component_add(to, sig))
			return false;
	}
	for (i = 0; i < from->nothers; i++) {
		struct pgp_signature *sig = from->others[i];

		from->others[i] = NULL;
		if (!others_add(to, sig))
			return false;
	}
	return true;
}

/* Makes one component of those that are the same. */
static bool
unite_components(struct builder *b)
{
	size_t i, n = 0;

	components_sort(b->done, b->ndone);
	for (i = 0; i < b->ndone; i++) {
		if (n == 0 || component_cmp(&b->done[n - 1], &b->done[i]) != 0)
			b->done[n++] = b->done[i];
		else if (component_absorb(&b->done[n - 1], &b->done[i]))
			component_free(&b->done[i]);
		else
			break;
		if (n <= i)
			memset(&b->done[i], 0, sizeof(b->done[i]));
	}
	if (i < b->ndone)
		return false;
	b->ndone = n;
	return true;
}

static enum pgp_status
build(struct builder *b, struct pgp_cert **out)
{
	struct pgp_cert *cert;
	size_t i;

	if (!unite_components(b))
		return PGP_NOMEM;
	cert = calloc(1, sizeof(*cert));
	if (cert == NULL)
		return PGP_NOMEM;
	cert->components = calloc(b->ndone + 1, sizeof(*cert->components));
	if (cert->components == NULL) {
		free(cert);
		return PGP_NOMEM;
	}
	cert->ncomponents = b->ndone + 1;
	cert->unverified = b->trust == PGP_UNVERIFIED ||
			   (b->trust == PGP_CLAIMED && b->class != KEY_JUDGED);
	cert->components[0] = b->primary;
	for (i = 0; i < b->ndone; i++)
		cert->components[i + 1] = b->done[i];
	memset(&b->primary, 0, sizeof(b->primary));
	b->ndone = 0;
	for (i = 0; i < cert->ncomponents; i++) {
		collapse_identical(b, &cert->components[i]);
		others_collapse(&cert->components[i], b->left);
	}
	*out = cert;
	return PGP_OK;
}

enum pgp_status
pgp_cert_parse(const unsigned char *packets, size_t len,
    const struct pgp_policy *policy, enum pgp_trust trust, uint32_t now,
    struct pgp_left_out *left, struct pgp_cert **out)
{
	struct builder b = {
	    .policy = policy, .trust = trust, .now = now, .left = left};
	enum pgp_status status;
	size_t i;

	hasher_init(&b.on_primary, &b.primary, &b.primary);
	status = add_packets(&b, packets, len);
	if (status == PGP_OK)
		status = build(&b, out);
	if (b.has_current) {
		hasher_free(&b.on_current);
		component_free(&b.current);
	}
	hasher_free(&b.on_primary);
	component_free(&b.primary);
	for (i = 0; i < b.ndone; i++)
		component_free(&b.done[i]);
	free(b.done);
	return status;
}

enum pgp_status
pgp_revocation_issuer(const unsigned char *packets, size_t len,
    unsigned char keyid[8], struct pgp_fpr *fpr)
{
	struct pgp_blob joined = {NULL, 0};
	struct signature_parts parts;
	struct pgp_packet packet;
	enum pgp_status status;
	size_t pos = 0;

	status = pgp_packet_read(packets, len, &pos, &joined, &packet);
	if (status == PGP_OK && packet.tag == PGP_TAG_SIGNATURE &&
	    signature_split(packet.body, packet.len, &parts) &&
	    parts.type == 0x20)
		signature_issuer_named(&parts, keyid, fpr);
	else
		status = PGP_NOT_CERT;
	pgp_blob_free(&joined, false);
	return status;
}
