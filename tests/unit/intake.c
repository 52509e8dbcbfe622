/*
 * Certificates and revocations of a mail when the store fails, or has too much.
 * Store and judge are stand-ins of this file.
 */
#include "mailkeyd/intake.h"
#include "tests/unit/forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/resource.h>

/* ---- the store's and the judge's stand-in -------------------------------- */

static const struct forged what = {.seed = 1,
    .created = 1500000000,
    .bits = 512,
    .id = {{.text = "Alice <alice@example.net>"}}};
static struct pgp_fpr one;
static enum ks_status finds, gets;
static size_t trials;
static struct pgp_fpr poor; /* whoever asks for this key has no memory left */

struct block {
	struct block *next;
};
static struct block *taken; /* all the memory that there was */

static void
memory_limit(rlim_t octets)
{
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = octets < limit.rlim_max ? octets : limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
}

static void
memory_take(void)
{
	memory_limit(1);
	for (size_t size = 1 << 20; size >= sizeof(*taken);
	     size -= size > 2048 ? size / 2 : 8) {
		struct block *block;

		while ((block = malloc(size)) != NULL) {
			block->next = taken;
			taken = block;
		}
	}
}

static void
memory_give(void)
{
	while (taken != NULL) {
		struct block *next = taken->next;

		free(taken);
		taken = next;
	}
	memory_limit(RLIM_INFINITY);
}

const char *
ks_strerror(enum ks_status status)
{
	return status == KS_IO ? "it cannot be read" : "something else";
}

enum ks_status
ks_standing(
    struct keystore *ks, const struct pgp_fpr *fpr, enum ks_standing *standing)
{
	(void)ks;
	(void)fpr;
	*standing = KS_WELCOME;
	return KS_OK;
}

enum ks_status
ks_find(struct keystore *ks, const struct ks_query *query, size_t max,
    struct ks_found *found)
{
	(void)ks;
	assert_int_equal(query->kind, KS_BY_KEYID);
	assert_true(max > 0);
	if (finds == KS_OK)
		*found = (struct ks_found){.fpr = &one, .n = 1, .total = 1};
	return finds;
}

void
ks_found_free(struct ks_found *found)
{
	(void)found;
}

enum ks_status
ks_get(struct keystore *ks, const struct pgp_fpr *fpr, struct pgp_cert **cert,
    struct ks_meta *meta)
{
	(void)ks;
	(void)meta;
	if (pgp_fpr_cmp(fpr, &poor) == 0)
		memory_take();
	if (gets == KS_OK)
		*cert = forge(&what);
	return gets;
}

void
trial_start(struct judge *judge, struct trial *trial)
{
	(void)judge;
	memory_give();
	trials++;
	trial->done(trial, false, "");
}

int64_t
loop_now_ms(void)
{
	return 0;
}

/* ---- cases --------------------------------------------------------------- */

enum sent { CERTIFICATE, REVOCATION };

static const struct row {
	const char *name;
	enum sent sent;
	enum ks_status finds, gets;
	bool later;
	size_t trials;
	const char *problem; /* a part of it; NULL: there is none */
} rows[] = {
    {"a revocation", REVOCATION, KS_OK, KS_OK, false, 1, NULL},
    {"of an unknown key", REVOCATION, KS_NOT_FOUND, KS_NOT_FOUND, false, 0,
	"this server does not have that key. Send"},
    {"of a key that has gone", REVOCATION, KS_OK, KS_NOT_FOUND, false, 0,
	"this server does not have that key. Send"},
    {"of too many keys", REVOCATION, KS_TOO_MANY, KS_OK, false, 0,
	"this server has too many keys with that ID. Send"},
    {"of a key not found", REVOCATION, KS_IO, KS_OK, true, 0, NULL},
    {"of a key not read", REVOCATION, KS_OK, KS_IO, true, 0, NULL},
    {"of a key without memory", REVOCATION, KS_OK, KS_NOMEM, true, 0, NULL},
    {"a certificate", CERTIFICATE, KS_OK, KS_OK, false, 1, NULL},
    {"a new one", CERTIFICATE, KS_OK, KS_NOT_FOUND, false, 1, NULL},
    {"one not read", CERTIFICATE, KS_OK, KS_IO, true, 1, NULL},
};

static unsigned told;
static bool told_later;

static void
on_done(void *ctx, bool later, const char *why)
{
	(void)ctx;
	told++;
	told_later = later;
	if (later)
		assert_true(*why != '\0');
}

/* The bare revocation of that key. */
static struct pgp_blob
revocation_of(const struct pgp_cert *cert)
{
	const struct forged_sig sig = {.type = 0x20,
	    .created = what.created + 30,
	    .issuer = cert->components[0].keyid};
	struct pgp_blob blob = {0};
	FILE *f = open_memstream((char **)&blob.data, &blob.len);

	assert_non_null(f);
	forge_sig(f, &sig);
	assert_int_equal(fclose(f), 0);
	return blob;
}

static struct pgp_blob
packets_of(const struct pgp_cert *cert)
{
	struct pgp_blob blob = {0};
	FILE *f = open_memstream((char **)&blob.data, &blob.len);

	assert_non_null(f);
	assert_int_equal(pgp_cert_write(f, cert), 0);
	assert_int_equal(fclose(f), 0);
	return blob;
}

static void
test_row(void **state)
{
	const struct row *row = *state;
	struct config config = {.limits = {.policy = pgp_policy_default}};
	struct pgp_cert *cert = forge(&what);
	struct mail_cert mail_cert = {0};
	struct mail mail = {.verdict = MAIL_SOUND};
	const char *const *problems;
	struct intake *intake;
	struct pgp_blob blob;
	size_t n;

	assert_non_null(cert);
	one = *pgp_cert_fpr(cert);
	if (row->sent == REVOCATION) {
		blob = revocation_of(cert);
		mail.revocations = &blob;
		mail.nrevocations = 1;
	} else {
		blob = packets_of(cert);
		mail_cert.fpr = one;
		mail_cert.packets = blob;
		mail.certs = &mail_cert;
		mail.ncerts = 1;
	}
	finds = row->finds;
	gets = row->gets;
	trials = told = 0;
	intake =
	    intake_new(NULL, NULL, &config, &mail, FORGE_NOW, on_done, NULL);
	assert_non_null(intake);
	intake_start(intake);
	assert_int_equal(told, 1);
	assert_int_equal(told_later, row->later);
	assert_int_equal(trials, row->trials);
	problems = intake_problems(intake, &n);
	assert_int_equal(n, row->problem != NULL);
	if (n > 0)
		assert_non_null(strstr(problems[0], row->problem));
	intake_free(intake);
	free(blob.data);
	pgp_cert_free(cert);
}

static void
load(const char *path, struct mail_cert *c)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "r");
	struct pgp_left_out left = {0};
	struct pgp_armored block;
	struct pgp_cert *cert;
	size_t pos = 0, len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(pgp_dearmor(text, len, &pos, &block), PGP_OK);
	c->packets = block.blob;
	assert_int_equal(
	    pgp_cert_parse(c->packets.data, c->packets.len, &pgp_policy_default,
		PGP_CLAIMED, FORGE_NOW, &left, &cert),
	    PGP_OK);
	c->fpr = *pgp_cert_fpr(cert);
	pgp_cert_free(cert);
}

/* The one whom nora lets revoke is in the mail, and cannot be read for lack of
 * memory: he is not missing. */
static void
test_revoker_without_memory(void **state)
{
	struct config config = {.limits = {.policy = pgp_policy_default}};
	struct mail_cert certs[2] = {0};
	struct mail mail = {.verdict = MAIL_SOUND, .certs = certs, .ncerts = 2};
	struct intake *intake;

	(void)state;
#ifdef SANITIZED
	skip(); /* it has memory of its own */
#endif
	load("tests/keys/nora-revoked.asc", &certs[0]);
	load("tests/keys/oscar.asc", &certs[1]);
	poor = certs[1].fpr;
	gets = KS_NOT_FOUND;
	trials = told = 0;
	intake =
	    intake_new(NULL, NULL, &config, &mail, FORGE_NOW, on_done, NULL);
	assert_non_null(intake);
	intake_start(intake);
	poor = (struct pgp_fpr){0};
	memory_give();
	assert_int_equal(told, 1);
	assert_true(told_later);
	intake_free(intake);
	for (size_t i = 0; i < 2; i++)
		free(certs[i].packets.data);
}

int
main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct CMUnitTest tests[N + 1] = {
	    cmocka_unit_test(test_revoker_without_memory)};

	for (size_t i = 0; i < N; i++)
		tests[i + 1] = (struct CMUnitTest){rows[i].name, test_row, NULL,
		    NULL, (void *)(uintptr_t)&rows[i]};
	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
