/*
 * Certificates as INDEX shows them, against a real store.
 */
#include "handlers/handler.h"
#include "tests/unit/forge.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY	86400u
#define CREATED 1433635200u /* 2015-06-07 */
#define ALICE	"Alice Example <alice@example.org>"

static struct tempstore store;

/* What listing_cert() writes; the caller frees. */
static char *
listed(const struct pgp_cert *cert, bool verbose)
{
	struct reply reply;
	char *text;

	assert_int_equal(reply_new(&reply), 0);
	listing_cert(&reply, store.ks, cert, verbose, FORGE_NOW, SIZE_MAX);
	assert_int_equal(reply_finish(&reply), 0);
	assert_int_equal(reply.keys_len, 0);
	text = strdup(reply.text_data);
	assert_non_null(text);
	reply_free(&reply);
	return text;
}

struct golden {
	const char *name;
	bool verbose;
	struct forged forged;
	const char *text;
};

static const struct golden goldens[] = {
    {"one user ID", false,
	{.seed = 1, .created = CREATED, .bits = 2048, .id = {{.text = ALICE}}},
	"pub  2048R/FC156635 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"},
    {"columns of a short key", false,
	{.seed = 1, .created = CREATED, .bits = 512, .id = {{.text = ALICE}}},
	"pub   512R/0FB744F8 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = 9EE9 2C54 C48D 83A1 C7E3  790A 9812 7808 0FB7 "
	"44F8\n"},
    {"columns of a huge key", false,
	{.seed = 1, .created = CREATED, .bits = 16384, .id = {{.text = ALICE}}},
	"pub 16384R/D1AC5870 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = B2E2 4388 D7A9 E416 FFE3  2F07 E0E1 9449 D1AC "
	"5870\n"},
    {"further user IDs", false,
	{.seed = 1,
	    .created = CREATED,
	    .bits = 2048,
	    .id = {{.text = ALICE}, {.text = "AAA"},
		{.text = "gone", .revoked = true}}},
	"pub  2048R/FC156635 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"
	"                               AAA\n"
	"                               gone [revoked]\n"},
    {"revoked", false,
	{.seed = 1,
	    .created = CREATED,
	    .bits = 2048,
	    .revoked = true,
	    .reason = 2,
	    .id = {{.text = ALICE}, {.text = "AAA"}}},
	"pub  2048R/FC156635 2015/06/07 *** KEY REVOKED ***\n"
	"                              Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"
	"                               AAA\n"},
    {"expired", false,
	{.seed = 1,
	    .created = CREATED,
	    .expires = 365 * DAY,
	    .bits = 2048,
	    .id = {{.text = ALICE}}},
	"pub  2048R/FC156635 2015/06/07 *** KEY EXPIRED 2016/06/06 ***\n"
	"                              Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"},
    {"not yet expired", false,
	{.seed = 1,
	    .created = CREATED,
	    .expires = 20 * 365 * DAY,
	    .bits = 2048,
	    .id = {{.text = ALICE}}},
	"pub  2048R/FC156635 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"},
    {"verbose", true,
	{.seed = 1,
	    .created = CREATED,
	    .expires = 20 * 365 * DAY,
	    .bits = 2048,
	    .id = {{.text = ALICE}, {.text = "AAA", .revoked = true}},
	    .subkey = {{16, 1024, CREATED + DAY, 0, 0x0C, false},
		{22, 0, CREATED + 2 * DAY, 10 * DAY, 0x20, false},
		{1, 1024, CREATED + 3 * DAY, 0, 0x0C, true}}},
	"pub  2048R/FC156635 2015/06/07 Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"
	"    [SC] [expires 2035/06/02]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 self-signature, key ends 2035/06/02]\n"
	"                               AAA [revoked]\n"
	"rev        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 revocation: no longer valid]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 self-signature, key ends 2035/06/02]\n"
	"sub  1024g/6AB651BD 2015/06/08 [E]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/08 subkey binding]\n"
	"sub   255E/02041758 2015/06/09 [A] [expired 2015/06/19]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/09 subkey binding, key ends 2015/06/19]\n"
	"sub  1024R/8A9B5AEA 2015/06/10 [E] [revoked]\n"
	"rev        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/10 subkey revocation]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/10 subkey binding]\n"},
    {"verbose, revoked", true,
	{.seed = 1,
	    .created = CREATED,
	    .bits = 2048,
	    .revoked = true,
	    .reason = 1,
	    .id = {{.text = ALICE}, {.text = "AAA"}}},
	"pub  2048R/FC156635 2015/06/07 *** KEY REVOKED ***\n"
	"                              Alice Example <alice@example.org>\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"
	"    [SC]\n"
	"rev        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 key revocation: superseded]\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 self-signature]\n"
	"                               AAA\n"
	"sig        FC156635             Alice Example <alice@example.org>\n"
	"    [2015/06/07 self-signature]\n"},
    {"hostile user IDs", true,
	{.seed = 1,
	    .created = CREATED,
	    .bits = 2048,
	    .id = {{.text = "x\npub  2048R/00000000 2015/06/07 y"},
		{.text = "z\r\n\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----"},
		{.text = "nul\0nul", .len = 7}, {.text = "M\xfcller"}}},
	"pub  2048R/FC156635 2015/06/07 x\\x0Apub  2048R/00000000 2015/06/07 "
	"y\n"
	"    Key fingerprint = 908A 09EA C78A F348 A879  9BAB 8A6B E5F9 FC15 "
	"6635\n"
	"    [SC]\n"
	"sig        FC156635             x\\x0Apub  2048R/00000000 "
	"2015/06/07 y\n"
	"    [2015/06/07 self-signature]\n"
	"                               Müller\n"
	"sig        FC156635             x\\x0Apub  2048R/00000000 "
	"2015/06/07 y\n"
	"    [2015/06/07 self-signature]\n"
	"                               nul\\x00nul\n"
	"sig        FC156635             x\\x0Apub  2048R/00000000 "
	"2015/06/07 y\n"
	"    [2015/06/07 self-signature]\n"
	"                               z\\x0D\\x0A\\x0D\\x0A-----BEGIN PGP "
	"PUBLIC KEY BLOCK-----\n"
	"sig        FC156635             x\\x0Apub  2048R/00000000 "
	"2015/06/07 y\n"
	"    [2015/06/07 self-signature]\n"},
};

static void
test_golden(void **state)
{
	const struct golden *t = *state;
	struct pgp_cert *cert;
	char *text;

	cert = forge(&t->forged);
	assert_non_null(cert);
	text = listed(cert, t->verbose);
	assert_string_equal(text, t->text);
	free(text);
	pgp_cert_free(cert);
}

/* A bare key of any version, without signatures. */
static char *
listed_key(uint8_t version, uint8_t pkalgo, unsigned fpr_len)
{
	struct pgp_component key = {.kind = PGP_PRIMARY,
	    .version = version,
	    .pkalgo = pkalgo,
	    .bits = 1024,
	    .created = CREATED,
	    .keyid = {0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF}};
	const struct pgp_cert cert = {.components = &key, .ncomponents = 1};
	unsigned i;

	key.fpr.len = (unsigned char)fpr_len;
	for (i = 0; i < fpr_len; i++)
		key.fpr.octet[i] = (unsigned char)(i * 0x11);
	return listed(&cert, false);
}

static void
test_fingerprints(void **state)
{
	static const char pub[] =
	    "pub  1024R/89ABCDEF 2015/06/07 [no user ID]\n";
	static const struct {
		unsigned version, len;
		const char *lines;
	} table[] = {
	    {3, 16,
		"    Key fingerprint = 00 11 22 33 44 55 66 77  "
		"88 99 AA BB CC DD EE FF\n"},
	    {4, 20,
		"    Key fingerprint = 0011 2233 4455 6677 8899  "
		"AABB CCDD EEFF 1021 3243\n"},
	    {6, 32,
		"    Key fingerprint = 0011 2233 4455 6677 8899 AABB CCDD "
		"EEFF\n"
		"                      1021 3243 5465 7687 98A9 BACB DCED "
		"FE0F\n"},
	};
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof table / sizeof table[0]; i++) {
		text = listed_key((uint8_t)table[i].version, 1, table[i].len);
		assert_memory_equal(text, pub, sizeof pub - 1);
		assert_string_equal(text + sizeof pub - 1, table[i].lines);
		free(text);
	}
}

static void
test_letters(void **state)
{
	static const char letters[] = "?Rrs????????????gDeEG?E??eeEE?";
	char *text;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof letters - 1; i++) {
		text = listed_key(4, (uint8_t)i, 20);
		assert_int_equal(text[9], letters[i]);
		free(text);
	}
	text = listed_key(4, 255, 20);
	assert_int_equal(text[9], '?');
	free(text);
}

/* 8 digits are only shown while they name one key, be it a subkey. */
static void
test_collision(void **state)
{
	static const struct forged twin = {.seed = 77,
	    .created = 1500056741u,
	    .bits = 1024,
	    .id = {{.text = "Twin One"}}};
	static const struct forged other = {.seed = 77,
	    .created = 1500136967u,
	    .bits = 1024,
	    .id = {{.text = "Twin Two"}}};
	struct pgp_cert *a = forge(&twin), *b = forge(&other);
	char *text;

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_memory_equal(
	    a->components[0].keyid + 4, b->components[0].keyid + 4, 4);
	assert_int_equal(tempstore_put(&store, a, FORGE_NOW), KS_OK);
	text = listed(a, true);
	assert_memory_equal(
	    text, "pub  1024R/B2D8E30A 2017/07/14 Twin One\n", 40);
	assert_non_null(
	    strstr(text, "\nsig        B2D8E30A             Twin One\n"));
	free(text);
	assert_int_equal(tempstore_put(&store, b, FORGE_NOW), KS_OK);
	text = listed(a, true);
	assert_memory_equal(
	    text, "pub  1024R/C7B34B3DB2D8E30A 2017/07/14 Twin One\n", 48);
	assert_non_null(
	    strstr(text, "\nsig        C7B34B3DB2D8E30A     Twin One\n"));
	free(text);
	pgp_cert_free(a);
	pgp_cert_free(b);
}

/* Who signed is named when the store knows, with the digits that are shown of
 * a key ID elsewhere. */
static void
test_signers(void **state)
{
	static const struct forged bob = {.seed = 5,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = "Bob"}}};
	struct pgp_signature sig = {
	    .type = 0x10, .version = 4, .created = CREATED, .expires = DAY};
	struct pgp_signature *sigs[] = {&sig};
	struct pgp_component part[] = {{.kind = PGP_PRIMARY,
					   .version = 4,
					   .pkalgo = 1,
					   .fpr = {.len = 20}},
	    {.kind = PGP_USERID,
		.body = (unsigned char *)(uintptr_t) "Alice",
		.len = 5,
		.others = sigs,
		.nothers = 1}};
	const struct pgp_cert cert = {.components = part, .ncomponents = 2};
	struct pgp_cert *other = forge(&bob);
	char *text, want[200], keyid[17];
	size_t i;

	(void)state;
	assert_non_null(other);
	assert_int_equal(tempstore_put(&store, other, FORGE_NOW), KS_OK);
	memcpy(sig.issuer, other->components[0].keyid, 8);
	for (i = 0; i < 8; i++)
		snprintf(keyid + 2 * i, 3, "%02X", sig.issuer[i]);
	snprintf(want, sizeof want,
	    "\nsig        %s             Bob\n"
	    "    [2015/06/07 certification by %s, unverified]\n",
	    keyid + 8, keyid);
	text = listed(&cert, true);
	assert_non_null(strstr(text, want));
	free(text);
	pgp_cert_free(other);

	memset(sig.issuer, 0xEE, 8);
	text = listed(&cert, true);
	assert_non_null(
	    strstr(text, "\nsig        EEEEEEEE             "
			 "(Unknown signator, can't be checked)\n"
			 "    [2015/06/07 certification by EEEEEEEEEEEEEEEE, "
			 "unverified]\n"));
	free(text);
}

/* PKS died of a user ID of 3 kB; ours are cut. */
static void
test_long_userid(void **state)
{
	struct forged what = {.seed = 1, .created = CREATED, .bits = 2048};
	struct pgp_cert *cert;
	char id[1024], *text;
	size_t line;

	(void)state;
	memset(id, 'x', sizeof id);
	what.id[0].text = id;
	what.id[0].len = sizeof id;
	cert = forge(&what);
	assert_non_null(cert);
	text = listed(cert, false);
	line = strcspn(text, "\n");
	assert_int_equal(line, 31 + USERID_COLUMNS + 3);
	assert_memory_equal(text + line - 4, "x...", 4);
	free(text);
	pgp_cert_free(cert);
}

static void
test_heading(void **state)
{
	struct reply reply;

	(void)state;
	assert_int_equal(reply_new(&reply), 0);
	listing_heading(&reply);
	assert_int_equal(reply_finish(&reply), 0);
	assert_string_equal(
	    reply.text_data, "Type bits/keyID    Date       User ID\n");
	reply_free(&reply);
}

/* Moments at the end of what 32 bits hold. */
static void
test_clock(void **state)
{
	static const time_t clocks[] = {0, -1, (time_t)1 << 40, UINT32_MAX};
	struct pgp_signature sig = {.type = 0x1F,
	    .version = 4,
	    .verified = true,
	    .created = UINT32_MAX - 10,
	    .expires = UINT32_MAX,
	    .key_expires = UINT32_MAX};
	struct pgp_signature *sigs[] = {&sig};
	struct pgp_component key = {.kind = PGP_PRIMARY,
	    .version = 4,
	    .pkalgo = 1,
	    .bits = 1024,
	    .created = UINT32_MAX - 10,
	    .fpr = {.len = 20},
	    .sigs = sigs,
	    .nsigs = 1};
	const struct pgp_cert cert = {.components = &key, .ncomponents = 1};
	struct reply reply;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
		assert_int_equal(reply_new(&reply), 0);
		listing_cert(
		    &reply, store.ks, &cert, true, clocks[i], SIZE_MAX);
		assert_int_equal(reply_finish(&reply), 0);
		assert_non_null(strstr(reply.text_data,
		    "\n    [2106/02/07 key signature, ends 2106/02/07, "
		    "key ends 2106/02/07]\n"));
		reply_free(&reply);
	}
}

static bool
is_cut(const struct pgp_cert *cert, bool verbose, size_t max)
{
	struct reply reply;
	bool cut;

	assert_int_equal(reply_new(&reply), 0);
	listing_cert(&reply, store.ks, cert, verbose, FORGE_NOW, max);
	assert_int_equal(reply_finish(&reply), 0);
	cut = strstr(reply.text_data, "[the rest is left out") != NULL;
	/* One more line than fits, and the one that says so. */
	assert_true(reply.text_len <= max + 200);
	reply_free(&reply);
	return cut;
}

/* It says that something is missing when it is, and only then. */
static void
test_max(void **state)
{
	const struct forged what = {.seed = 3,
	    .created = CREATED,
	    .bits = 1024,
	    .nextra = 40,
	    .id = {{.text = ALICE}},
	    .subkey = {{1, 1024, CREATED, 0, 0x0C, false}}};
	struct pgp_cert *cert = forge(&what);
	unsigned verbose;
	size_t len;
	char *text;

	(void)state;
	assert_non_null(cert);
	for (verbose = 0; verbose < 2; verbose++) {
		text = listed(cert, verbose != 0);
		len = strlen(text);
		free(text);
		assert_false(is_cut(cert, verbose != 0, len));
		/* What is over was the last line. */
		assert_false(is_cut(cert, verbose != 0, len - 1));
		assert_true(is_cut(cert, verbose != 0, len / 2));
		assert_true(is_cut(cert, verbose != 0, 0));
	}
	pgp_cert_free(cert);
}

/* The longest lines that are not made of user IDs. */
static void
test_width(void **state)
{
	struct pgp_signature sig = {.type = 0x30,
	    .version = 4,
	    .reason = 32,
	    .created = CREATED,
	    .expires = DAY,
	    .key_expires = DAY,
	    .key_flags = 0x2F,
	    .has_key_flags = true};
	struct pgp_signature *sigs[] = {&sig};
	struct pgp_component part[] = {{.kind = PGP_PRIMARY,
					   .version = 4,
					   .pkalgo = 1,
					   .bits = 16384,
					   .created = CREATED,
					   .fpr = {.len = 32}},
	    {.kind = PGP_SUBKEY,
		.version = 4,
		.pkalgo = 1,
		.bits = 16384,
		.created = CREATED,
		.fpr = {.len = 32},
		.sigs = sigs,
		.nsigs = 1}};
	const struct pgp_cert cert = {.components = part, .ncomponents = 2};
	unsigned types[] = {0x10, 0x13, 0x18, 0x1F, 0x20, 0x28, 0x30, 0x40}, i;
	char *text, *s;

	(void)state;
	for (i = 0; i < 2 * sizeof types / sizeof types[0]; i++) {
		sig.type = (uint8_t)types[i / 2];
		sig.verified = true;
		/* One by the key itself, one by another. */
		memset(sig.issuer, i % 2 == 0 ? 0 : 0xEE, 8);
		text = listed(&cert, true);
		assert_non_null(strstr(text, "\nsub 16384R/"));
		for (s = text; *s != '\0'; s += strcspn(s, "\n") + 1)
			/* 8 digits may become 16, and "=" "=3D". */
			assert_true(strcspn(s, "\n") <= 76 - 8 ||
				    strncmp(s, "    ", 4) == 0 ||
				    strstr(s, "(Unknown signator") == s + 32);
		for (s = text; *s != '\0'; s += strcspn(s, "\n") + 1)
			assert_true(strcspn(s, "\n") <= 76 - 3);
		free(text);
	}
}

static int
setup(void **state)
{
	(void)state;
	return tempstore_open(&store);
}

static int
teardown(void **state)
{
	(void)state;
	return tempstore_close(&store);
}

int
main(void)
{
	enum { N = sizeof goldens / sizeof goldens[0] };
	const struct CMUnitTest others[] = {
	    cmocka_unit_test(test_fingerprints),
	    cmocka_unit_test(test_letters),
	    cmocka_unit_test(test_collision),
	    cmocka_unit_test(test_signers),
	    cmocka_unit_test(test_long_userid),
	    cmocka_unit_test(test_heading),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_max),
	    cmocka_unit_test(test_width),
	};
	struct CMUnitTest tests[N + sizeof others / sizeof others[0]];
	size_t i;

	memset(tests, 0, sizeof tests);
	for (i = 0; i < N; i++) {
		tests[i].name = goldens[i].name;
		tests[i].test_func = test_golden;
		tests[i].initial_state = (void *)(uintptr_t)&goldens[i];
	}
	memcpy(tests + N, others, sizeof others);
	return cmocka_run_group_tests_name("listing", tests, setup, teardown);
}
