/* Whether all that is kept beside the certificates still agrees with them. */
#include "db/internal.h"

#include <string.h>

/*
 * Each pair that should be there is looked for; then the pairs are counted.
 * As a table holds no pair twice, what is over is there without a reason.
 */
struct tally {
	struct keystore *ks;
	uint64_t wrong;
	uint64_t certificates;
	uint64_t expected[T_TABLES]; /* records found where they belong */
};

/* Counts a failed look-up as wrong; other failures end the whole. */
static enum ks_status
tally_found(struct tally *t, enum table table, enum ks_status st)
{
	if (st == KS_OK)
		t->expected[table]++;
	else if (st == KS_NOT_FOUND)
		t->wrong++;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- certificates -------------------------------------------------------- */

static enum ks_status
verify_change(
    struct tally *t, const struct pgp_fpr *fpr, const struct ks_meta *meta)
{
	struct ks_entry e = {0};
	struct walk w;
	enum ks_status st;

	if ((st = walk_open(t->ks, T_CHANGE, &w)) != KS_OK)
		return st;
	be64_put(w.key, meta->serial);
	w.klen = 8;
	st = walk_get(&w, DB_SET);
	/* What is no entry at all is counted by verify_changes(). */
	if (st == KS_OK && change_head(&w, &e) == KS_OK &&
	    (fpr_order(&e.fpr, fpr) != 0 || e.time != meta->changed))
		st = KS_NOT_FOUND;
	walk_close(&w);
	return tally_found(t, T_CHANGE, st);
}

static enum ks_status
verify_entries(struct tally *t, uint64_t number, const struct pgp_cert *cert)
{
	struct entries set;
	enum ks_status st = entries_of(cert, &set);

	for (size_t i = 0; st == KS_OK && i < set.n; i++) {
		const struct entry *e = &set.entry[i];

		st = tally_found(t, e->table,
		    pair_find(t->ks, e->table, e->key, e->len,
			entry_number(e, number)));
	}
	entries_free(&set);
	return st;
}

/*
 * What is stored was judged when it came: neither a smaller cap nor a clock
 * that went back may take anything from it.
 */
static void
lift_caps(struct pgp_policy *p)
{
	const size_t octets = UINT32_MAX / 2;
	const unsigned many = 1U << 24;

	p->certificate_size = p->packet_size = p->userid_size = octets;
	p->attribute_size = p->signature_size = octets;
	p->userids = p->subkeys = p->claims = p->all_claims = many;
	p->certifications = many;
	p->self_signatures = p->revocations = many;
	p->future = UINT32_MAX;
}

/* What becomes of the octets when they are made canonical again. */
static enum pgp_status
canonical_again(struct tally *t, const unsigned char *octets, size_t len,
    bool unverified, struct pgp_blob *again)
{
	struct pgp_policy policy = t->ks->options.policy;
	struct pgp_left_out left = {0};
	struct pgp_cert *cert = NULL;
	enum pgp_status st;

	lift_caps(&policy);
	st = pgp_cert_parse(octets, len, &policy,
	    unverified ? PGP_UNVERIFIED : PGP_VERIFIED, UINT32_MAX, &left,
	    &cert);
	if (st == PGP_OK)
		st = pgp_cert_octets(cert, again);
	pgp_cert_free(cert);
	return st;
}

/* The octets are what was written, and canonical. */
static enum ks_status
verify_octets(struct tally *t, const struct pgp_blob *value, bool unverified)
{
	const unsigned char *octets = value->data + CERT_HEADER;
	const size_t len = value->len - CERT_HEADER;
	unsigned char digest[PGP_SHA256_LEN];
	struct pgp_blob again = {0};
	enum pgp_status st;

	if (pgp_sha256(octets, len, digest) != 0)
		return KS_NOMEM;
	st = canonical_again(t, octets, len, unverified, &again);
	if (st == PGP_NOMEM)
		return KS_NOMEM;
	if (st != PGP_OK ||
	    memcmp(digest, value->data + CERT_DIGEST, sizeof(digest)) != 0 ||
	    again.len != len || memcmp(again.data, octets, len) != 0)
		t->wrong++;
	pgp_blob_free(&again, false);
	return KS_OK;
}

/* Of what was forgotten nothing is there but revocations. */
static enum ks_status
verify_forgotten(
    struct tally *t, const struct pgp_fpr *fpr, const struct pgp_cert *cert)
{
	enum ks_status st;
	bool yes;

	if ((st = is_forgotten(t->ks, fpr, &yes)) == KS_OK && yes)
		t->wrong += cert->ncomponents > 1;
	return st;
}

/* The number leads to the fingerprint, and the other way round. */
static enum ks_status
verify_number(struct tally *t, uint64_t number, const struct pgp_fpr *fpr)
{
	uint64_t back = 0;
	enum ks_status st = cert_number(t->ks, fpr, &back);

	/* What is missing is counted by verify_entries(). */
	t->wrong +=
	    number > t->ks->counters.number || (st == KS_OK && back != number);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status
verify_cert(struct tally *t, uint64_t number, const struct pgp_fpr *fpr)
{
	struct pgp_blob value = {0};
	struct pgp_cert *cert = NULL;
	struct ks_meta meta;
	enum ks_status st;

	t->certificates++;
	if ((st = cert_blob(t->ks, number, &value)) != KS_OK)
		return st;
	st = cert_read(&value, &cert, &meta);
	if (st == KS_CORRUPT) {
		t->wrong++;
		st = KS_OK;
	} else if (st == KS_OK) {
		if (fpr_order(pgp_cert_fpr(cert), fpr) != 0)
			t->wrong++;
		if ((st = verify_octets(t, &value, meta.unverified)) == KS_OK &&
		    (st = verify_number(t, number, fpr)) == KS_OK &&
		    (st = verify_change(t, fpr, &meta)) == KS_OK &&
		    (st = verify_forgotten(t, fpr, cert)) == KS_OK)
			st = verify_entries(t, number, cert);
	}
	pgp_cert_free(cert);
	pgp_blob_free(&value, false);
	return st;
}

static enum ks_status
verify_certs(struct tally *t)
{
	struct pgp_fpr fpr;
	uint64_t number = 0;
	enum ks_status st;

	while ((st = cert_next(t->ks, &number, &fpr)) == KS_OK)
		if ((st = verify_cert(t, number, &fpr)) != KS_OK)
			return st;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- the other tables ---------------------------------------------------- */

static enum ks_status
verify_entry(struct tally *t, struct walk *w)
{
	struct pgp_blob value = {0};
	struct ks_entry e;
	enum ks_status st;

	st = table_get_blob(t->ks, T_CHANGE, w->key, w->klen, &value);
	if (st != KS_OK)
		return st;
	t->wrong +=
	    change_parse(w->key, w->klen, value.data, value.len, &e) != KS_OK;
	pgp_blob_free(&value, false);
	return KS_OK;
}

/*
 * Each entry can be read, and the counter is at none but the last: the entry
 * of a later change would take the place of another, and peers would miss it.
 */
static enum ks_status
verify_changes(struct tally *t)
{
	enum ks_status st;
	uint64_t last = 0;
	struct walk w;

	if ((st = walk_open(t->ks, T_CHANGE, &w)) != KS_OK)
		return st;
	while ((st = walk_get(&w, DB_NEXT)) == KS_OK) {
		if ((st = verify_entry(t, &w)) != KS_OK)
			break;
		last = be64_get(w.key);
	}
	walk_close(&w);
	t->wrong += last > t->ks->counters.serial;
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* No peer is ahead of the change log. */
static enum ks_status
verify_peers(struct tally *t)
{
	const uint64_t last = t->ks->counters.serial;
	struct ks_peer peer;
	enum ks_status st;
	struct walk w;

	if ((st = walk_open(t->ks, T_PEER, &w)) != KS_OK)
		return st;
	while ((st = walk_get(&w, DB_NEXT)) == KS_OK)
		t->wrong += peer_parse(w.value, w.vlen, &peer) != KS_OK ||
			    peer.handed > last || peer.window > last;
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Each is the digest of a fingerprint, with nothing beside it. */
static enum ks_status
verify_tombstones(struct tally *t)
{
	enum ks_status st;
	struct walk w;

	if ((st = walk_open(t->ks, T_FORGOTTEN, &w)) != KS_OK)
		return st;
	while ((st = walk_get(&w, DB_NEXT)) == KS_OK)
		t->wrong += w.klen != PGP_SHA256_LEN || w.vlen != 0;
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Each answer has one record by its id. */
static enum ks_status
verify_outbox(struct tally *t)
{
	unsigned char due[8];
	enum ks_status st, found;
	struct walk w;
	size_t len;

	if ((st = walk_open(t->ks, T_OUTBOX, &w)) != KS_OK)
		return st;
	while ((st = walk_get(&w, DB_NEXT)) == KS_OK) {
		t->expected[T_OUTBOX]++;
		found = KS_NOT_FOUND;
		if (w.klen == 16)
			found = table_get(t->ks, T_OUTBOX_ID, w.key + 8, 8, due,
			    sizeof(due), &len);
		if (found == KS_OK && (len != 8 || memcmp(due, w.key, 8) != 0))
			found = KS_NOT_FOUND;
		if ((st = tally_found(t, T_OUTBOX_ID, found)) != KS_OK)
			break;
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* Each record that ends some time has one that says when. */
static enum ks_status
verify_ends(struct tally *t, enum table table)
{
	unsigned char key[KEY_MAX], none[1];
	enum ks_status st, found;
	struct walk w;
	uint64_t when;
	size_t len;

	if ((st = walk_open(t->ks, table, &w)) != KS_OK)
		return st;
	while ((st = walk_get(&w, DB_NEXT)) == KS_OK) {
		found = KS_NOT_FOUND;
		if (w.klen <= KEY_MAX - 9 &&
		    expires_at(table, w.key, w.klen, w.value, w.vlen, &when) ==
			KS_OK) {
			len = expire_key(key, when, table, w.key, w.klen);
			found =
			    table_get(t->ks, T_EXPIRE, key, len, none, 1, &len);
		}
		if ((st = tally_found(t, T_EXPIRE, found)) != KS_OK)
			break;
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

/* ---- counting ------------------------------------------------------------ */

/* More records than were found to belong are wrong, each of them. */
static enum ks_status
verify_count(struct tally *t, enum table table)
{
	enum ks_status st;
	uint64_t n;

	if ((st = table_count(t->ks, table, &n)) != KS_OK)
		return st;
	if (n > t->expected[table])
		t->wrong += n - t->expected[table];
	return KS_OK;
}

enum ks_status
ks_verify(struct keystore *ks, uint64_t *wrong)
{
	static const enum table counted[] = {
	    T_FPR, T_KEYID, T_EMAIL, T_WORD, T_OUTBOX_ID, T_EXPIRE};
	struct tally t = {.ks = ks};
	enum ks_status st;

	if ((st = verify_certs(&t)) != KS_OK ||
	    (st = verify_changes(&t)) != KS_OK ||
	    (st = verify_peers(&t)) != KS_OK ||
	    (st = verify_tombstones(&t)) != KS_OK ||
	    (st = verify_outbox(&t)) != KS_OK ||
	    (st = verify_ends(&t, T_SEEN)) != KS_OK ||
	    (st = verify_ends(&t, T_LIMIT)) != KS_OK ||
	    (st = verify_ends(&t, T_POISON)) != KS_OK)
		return st;
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if ((st = verify_count(&t, counted[i])) != KS_OK)
			return st;
	t.wrong += t.certificates != ks->counters.certificates;
	t.wrong += t.expected[T_OUTBOX] != ks->counters.outbox;
	*wrong = t.wrong;
	return KS_OK;
}
