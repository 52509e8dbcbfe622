/*
 * What the tests of the store share: a store for each test, opened again when
 * asked, and certificates that nobody signed.
 */
#ifndef TEST_STORE_H
#define TEST_STORE_H

#include "db/internal.h"
#include "tests/unit/forge.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW  1700000000
#define HOUR 3600

/* What Berkeley DB gives up it does not free. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
	return "leak:libdb-5.3";
}

static inline struct ks_options
store_options(void)
{
	struct ks_options o = {.cache = 4U << 20, .policy = pgp_policy_default};

	return o;
}

static inline void
store_path(const struct tempstore *t, char path[300])
{
	(void)snprintf(path, 300, "%s/db", t->dir);
}

static inline enum ks_status
store_try_open(struct tempstore *t, const char **error)
{
	struct ks_options o = store_options();
	char path[300];

	store_path(t, path);
	return ks_open(path, &o, &t->ks, error);
}

static inline void
store_reopen(struct tempstore *t)
{
	const char *error = "";

	assert_int_equal(ks_close(t->ks), KS_OK);
	t->ks = NULL;
	if (store_try_open(t, &error) != KS_OK)
		fail_msg("ks_open: %s", error);
}

static inline int
store_setup(void **state)
{
	struct tempstore *t = calloc(1, sizeof(*t));

	*state = t;
	return t == NULL ? -1 : tempstore_open(t);
}

static inline int
store_teardown(void **state)
{
	struct tempstore *t = *state;
	int ret = tempstore_close(t);

	free(t);
	return ret;
}

#define store_test(name)                                                       \
	cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

static inline void
begin(struct tempstore *t)
{
	assert_int_equal(ks_begin(t->ks, KS_ROOM_ADD), KS_OK);
}

static inline void
commit(struct tempstore *t)
{
	assert_int_equal(ks_commit(t->ks), KS_OK);
}

static inline uint64_t
wrong_in(struct tempstore *t)
{
	uint64_t wrong = UINT64_MAX;

	assert_int_equal(ks_verify(t->ks, &wrong), KS_OK);
	return wrong;
}

/* A key of 512 bits with two user IDs (NULL: none); another number, another
 * key. */
static inline struct pgp_cert *
store_cert(unsigned number, const char *id1, const char *id2)
{
	struct forged what = {.seed = number,
	    .created = 1500000000 + number,
	    .bits = 512,
	    .id = {{.text = id1}, {.text = id2}}};
	struct pgp_cert *cert = forge(&what);

	assert_non_null(cert);
	return cert;
}

struct store_octets {
	const struct pgp_fpr *fpr;
	struct pgp_blob *out;
};

static inline bool
store_octets_visit(
    void *ctx, const struct pgp_fpr *fpr, const struct pgp_blob *octets)
{
	struct store_octets *s = ctx;

	if (pgp_fpr_cmp(fpr, s->fpr) != 0)
		return true;
	s->out->data = malloc(octets->len);
	assert_non_null(s->out->data);
	memcpy(s->out->data, octets->data, octets->len);
	s->out->len = octets->len;
	return false;
}

/* What the store has of a certificate; the caller frees. */
static inline enum ks_status
store_octets(
    struct keystore *ks, const struct pgp_fpr *fpr, struct pgp_blob *out)
{
	struct store_octets s = {fpr, out};
	uint64_t at = 0;

	return ks_each(ks, &at, store_octets_visit, &s);
}

#endif
