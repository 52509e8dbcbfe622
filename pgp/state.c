/*
 * What a client would make of keys and user IDs: revoked, expired, which one
 * comes first.  As GnuPG judges it.
 */
#include "pgp/internal.h"

#include <string.h>

static bool
has_expired(const struct pgp_signature *sig, uint32_t now)
{
	return sig->expires != 0 &&
	       (uint64_t)sig->created + sig->expires <= now;
}

/*
 * The newest verified self-signature, revocations apart; one that has not
 * expired, if there is such.
 */
static const struct pgp_signature *
newest(const struct pgp_component *c, uint32_t now)
{
	const struct pgp_signature *sig, *expired = NULL;
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		sig = c->sigs[i];
		if (!sig->verified || signature_is_revocation(sig))
			continue;
		if (!has_expired(sig, now))
			return sig;
		if (expired == NULL)
			expired = sig;
	}
	return expired;
}

/* A key stays revoked, whatever was signed later. */
static void
judge_key_revocation(const struct pgp_component *c, struct pgp_state *state)
{
	size_t i;

	for (i = 0; i < c->nsigs; i++)
		if (c->sigs[i]->verified &&
		    signature_is_revocation(c->sigs[i])) {
			state->revoked = true;
			state->hard |= c->sigs[i]->hard;
		}
}

/* A user ID is valid again when it was certified after its revocation. */
static void
judge_userid_revocation(const struct pgp_component *c,
    const struct pgp_signature *self, uint32_t now, struct pgp_state *state)
{
	const struct pgp_signature *sig;
	size_t i;

	for (i = 0; i < c->nsigs; i++) {
		sig = c->sigs[i];
		if (sig->verified && signature_is_revocation(sig) &&
		    !has_expired(sig, now) &&
		    (self == NULL || sig->created >= self->created)) {
			state->revoked = true;
			state->hard |= sig->hard;
		}
	}
}

static void
set_expiry(
    struct pgp_state *state, uint32_t start, uint32_t seconds, uint32_t now)
{
	uint64_t moment = (uint64_t)start + seconds;

	if (seconds == 0)
		return;
	state->expires = moment < UINT32_MAX ? (uint32_t)moment : UINT32_MAX;
	state->expired = moment <= now;
}

static void
judge_userid(
    const struct pgp_component *c, uint32_t now, struct pgp_state *state)
{
	const struct pgp_signature *self = newest(c, now);

	judge_userid_revocation(c, self, now, state);
	if (self == NULL)
		return;
	set_expiry(state, self->created, self->expires, now);
	if (self->has_key_flags)
		state->key_flags = self->key_flags;
}

static void
judge_subkey(
    const struct pgp_component *c, uint32_t now, struct pgp_state *state)
{
	const struct pgp_signature *binding = newest(c, now);

	judge_key_revocation(c, state);
	if (binding == NULL)
		return;
	set_expiry(state, c->created, binding->key_expires, now);
	if (has_expired(binding, now))
		state->expired = true;
	if (binding->has_key_flags)
		state->key_flags = binding->key_flags;
}

/*
 * A direct-key signature speaks for the key; where it is silent, the newest
 * certification does, of those that say something, of user IDs that are not
 * revoked.
 */
static void
judge_primary(
    const struct pgp_cert *cert, uint32_t now, struct pgp_state *state)
{
	const struct pgp_component *key = &cert->components[0];
	const struct pgp_signature *direct = newest(key, now), *sig;
	const struct pgp_signature *expiry = NULL, *flags = NULL;
	struct pgp_state userid;
	size_t i;

	judge_key_revocation(key, state);
	for (i = 1; i < cert->ncomponents; i++) {
		if (cert->components[i].kind != PGP_USERID)
			break;
		sig = newest(&cert->components[i], now);
		pgp_component_state(cert, &cert->components[i], now, &userid);
		if (sig == NULL || userid.revoked)
			continue;
		if (sig->key_expires != 0 &&
		    (expiry == NULL || sig->created > expiry->created))
			expiry = sig;
		if (sig->has_key_flags &&
		    (flags == NULL || sig->created > flags->created))
			flags = sig;
	}
	if (direct != NULL && direct->key_expires != 0)
		expiry = direct;
	if (direct != NULL && direct->has_key_flags)
		flags = direct;
	if (expiry != NULL)
		set_expiry(state, key->created, expiry->key_expires, now);
	if (flags != NULL)
		state->key_flags = flags->key_flags;
}

void
pgp_component_state(const struct pgp_cert *cert, const struct pgp_component *c,
    uint32_t now, struct pgp_state *state)
{
	memset(state, 0, sizeof(*state));
	switch (c->kind) {
	case PGP_PRIMARY:
		judge_primary(cert, now, state);
		break;
	case PGP_SUBKEY:
		judge_subkey(c, now, state);
		break;
	case PGP_USERID:
	case PGP_ATTRIBUTE:
		judge_userid(c, now, state);
		break;
	}
}

/* How much a user ID has to say: valid before invalid, then the flag. */
static int
rank(const struct pgp_cert *cert, const struct pgp_component *c,
    const struct pgp_signature *self)
{
	struct pgp_state state;

	/* Now is not known here; who reads a key that has expired since wants
	 * to see the same user ID as before. */
	pgp_component_state(cert, c, 0, &state);
	return (state.revoked ? 0 : 2) +
	       (self != NULL && self->primary_userid ? 1 : 0);
}

const struct pgp_component *
pgp_cert_primary_userid(const struct pgp_cert *cert)
{
	const struct pgp_component *c, *best = NULL;
	const struct pgp_signature *self;
	uint32_t created, best_created = 0;
	int r, best_rank = -1;
	size_t i;

	for (i = 1; i < cert->ncomponents; i++) {
		c = &cert->components[i];
		if (c->kind != PGP_USERID)
			break;
		self = newest(c, 0);
		r = rank(cert, c, self);
		created = self != NULL ? self->created : 0;
		if (r < best_rank ||
		    (r == best_rank && created <= best_created))
			continue;
		best = c;
		best_rank = r;
		best_created = created;
	}
	return best;
}
