/*
 * ASCII armor: what people's mail programs make of it, and what is refused.
 */
#include "tests/unit/pgp_octets.h"

#define BEGIN "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
#define END   "-----END PGP PUBLIC KEY BLOCK-----\n"

/* "hello" in base64, and its CRC24. */
#define HELLO "aGVsbG8=\n"
#define CRC   "=R/WK\n"

struct case_armor {
	const char *name, *text;
	enum pgp_status status;
	const char *data;
	enum pgp_crc crc;
	size_t line;
};

static const struct case_armor cases[] = {
    {"nothing", "", PGP_END, NULL, 0, 0},
    {"text only", "Hello,\n-----BEGIN\n", PGP_END, NULL, 0, 0},
    {"plain", BEGIN "\n" HELLO CRC END, PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"headers", BEGIN "Version: 2.6\nComment: a: b\n\n" HELLO CRC END, PGP_OK,
	"hello", PGP_CRC_GOOD, 1},
    {"header without a value", BEGIN "Comment:\n\n" HELLO CRC END, PGP_OK,
	"hello", PGP_CRC_GOOD, 1},
    {"no blank line", BEGIN HELLO CRC END, PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"headers, no blank line", BEGIN "Version: 2.6\n" HELLO CRC END, PGP_OK,
	"hello", PGP_CRC_GOOD, 1},
    {"blank line of blanks", BEGIN " \t \n" HELLO CRC END, PGP_OK, "hello",
	PGP_CRC_GOOD, 1},
    {"blank lines all over", BEGIN "\n\naGVs\n\nbG8=\n\n" CRC "\n" END, PGP_OK,
	"hello", PGP_CRC_GOOD, 1},
    {"CR LF",
	"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\naGVsbG8=\r\n"
	"=R/WK\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n",
	PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"trailing blanks",
	"-----BEGIN PGP PUBLIC KEY BLOCK-----  \n\t\naGVsbG8= \n=R/WK\t\n"
	"-----END PGP PUBLIC KEY BLOCK----- \n",
	PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"indented",
	"  -----BEGIN PGP PUBLIC KEY BLOCK-----\n\n  aGVsbG8=\n  =R/WK\n"
	"  -----END PGP PUBLIC KEY BLOCK-----\n",
	PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"dash-escaped",
	"- -----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n"
	"- -----END PGP PUBLIC KEY BLOCK-----\n",
	PGP_OK, "hello", PGP_CRC_MISSING, 1},
    {"dash-escaped twice",
	"- - -----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n"
	"- - -----END PGP PUBLIC KEY BLOCK-----\n",
	PGP_OK, "hello", PGP_CRC_MISSING, 1},
    {"in a signed message",
	"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nMy key:\n"
	"- -----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n"
	"- -----END PGP PUBLIC KEY BLOCK-----\n",
	PGP_OK, "hello", PGP_CRC_MISSING, 5},
    {"text before", "Hi,\n\nhere it is:\n" BEGIN "\n" HELLO CRC END "--\n",
	PGP_OK, "hello", PGP_CRC_GOOD, 4},
    {"no line end at the end",
	BEGIN "\n" HELLO CRC "-----END PGP PUBLIC KEY BLOCK-----", PGP_OK,
	"hello", PGP_CRC_GOOD, 1},
    {"another kind of block",
	"-----BEGIN PGP MESSAGE, PART 1/2-----\n\n" HELLO
	"-----END PGP MESSAGE, PART 1/2-----\n",
	PGP_OK, "hello", PGP_CRC_MISSING, 1},
    {"private key block",
	"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" HELLO
	"-----END PGP PRIVATE KEY BLOCK-----\n",
	PGP_OK, "hello", PGP_CRC_MISSING, 1},
    {"one padding character", BEGIN "\naGVsbG9v\n" END, PGP_OK, "helloo",
	PGP_CRC_MISSING, 1},
    {"two padding characters", BEGIN "\naGVsbA==\n" END, PGP_OK, "hell",
	PGP_CRC_MISSING, 1},
    {"padding in a line of its own", BEGIN "\naGVsbA\n==\n" END, PGP_OK, "hell",
	PGP_CRC_MISSING, 1},
    {"lines of one character", BEGIN "\na\nG\nV\ns\nb\nG\n8\n=\n" CRC END,
	PGP_OK, "hello", PGP_CRC_GOOD, 1},
    {"empty", BEGIN "\n" END, PGP_OK, "", PGP_CRC_MISSING, 1},
    {"wrong CRC", BEGIN "\n" HELLO "=AAAA\n" END, PGP_OK, "hello",
	PGP_CRC_WRONG, 1},
    {"bent CRC", BEGIN "\n" HELLO "=R/\n" END, PGP_OK, "hello", PGP_CRC_WRONG,
	1},
    {"no END", BEGIN "\n" HELLO CRC, PGP_TRUNCATED, NULL, 0, 1},
    {"nothing but BEGIN", BEGIN, PGP_TRUNCATED, NULL, 0, 1},
    {"BEGIN instead of END", BEGIN "\n" HELLO BEGIN "\n" HELLO END,
	PGP_TRUNCATED, NULL, 0, 1},
    {"a line of text", BEGIN "\nhello there\n" CRC END, PGP_BAD_ARMOR, NULL, 0,
	1},
    {"a blank in a line", BEGIN "\naGVs bG8=\n" CRC END, PGP_BAD_ARMOR, NULL, 0,
	1},
    {"a bent character", BEGIN "\naGVs*G8=\n" CRC END, PGP_BAD_ARMOR, NULL, 0,
	1},
    {"an octet over 127", BEGIN "\naGVs\xe4G8=\n" CRC END, PGP_BAD_ARMOR, NULL,
	0, 1},
    {"a character too few", BEGIN "\naGVsbG8\n" END, PGP_BAD_ARMOR, NULL, 0, 1},
    {"data behind padding", BEGIN "\naGVsbG8=aGVs\n" END, PGP_BAD_ARMOR, NULL,
	0, 1},
    {"data behind padding, next line", BEGIN "\naGVsbG8=\naGVs\n" END,
	PGP_BAD_ARMOR, NULL, 0, 1},
    {"data within padding", BEGIN "\naGVsbA=a\n" END, PGP_BAD_ARMOR, NULL, 0,
	1},
    {"too much padding", BEGIN "\naGVsb===\n" END, PGP_BAD_ARMOR, NULL, 0, 1},
    {"data behind the CRC", BEGIN "\n" HELLO CRC HELLO END, PGP_BAD_ARMOR, NULL,
	0, 1},
    {"a header after data", BEGIN "\naGVs\nComment: x\nbG8=\n" END,
	PGP_BAD_ARMOR, NULL, 0, 1},
    {"a quoted line", BEGIN "\n> aGVsbG8=\n" END, PGP_BAD_ARMOR, NULL, 0, 1},
};
#define CASES (sizeof(cases) / sizeof(*cases))

static void
dearmor_one(void **state)
{
	const struct case_armor *c = *state;
	struct pgp_armored a;
	size_t pos = 0, len = strlen(c->text);

	assert_int_equal(pgp_dearmor(c->text, len, &pos, &a), c->status);
	if (c->status != PGP_END)
		assert_int_equal(a.line, c->line);
	if (c->status != PGP_OK) {
		assert_null(a.blob.data);
		assert_int_equal(a.blob.len, 0);
		return;
	}
	assert_int_equal(a.blob.len, strlen(c->data));
	assert_memory_equal(a.blob.data, c->data, a.blob.len);
	assert_int_equal(a.crc, c->crc);
	pgp_blob_free(&a.blob, false);
}

/* Bad blocks do not take the good ones along; lines are counted. */
static void
several_blocks(void **state)
{
	static const char text[] =
	    "Hi\n" BEGIN "\n" HELLO CRC END	      /* 2 to 6 */
	    "and\n" BEGIN "\nno base64\n" END	      /* 8 to 11 */
		BEGIN "\n" HELLO		      /* 12 to 14, no END */
		    BEGIN "\naGVsbA==\n" END "bye\n"; /* 15 to 18 */
	static const struct {
		enum pgp_status status;
		size_t line, len;
	} want[] = {{PGP_OK, 2, 5}, {PGP_BAD_ARMOR, 8, 0},
	    {PGP_TRUNCATED, 12, 0}, {PGP_OK, 15, 4}, {PGP_END, 0, 0}};
	struct pgp_armored kept = {.line = 0}, fresh;
	size_t pos, i;
	int pass;

	(void)state;
	for (pass = 0; pass < 2; pass++) {
		for (pos = i = 0; i < 5; i++) {
			/* One struct for all, or a new one for each. */
			fresh = (struct pgp_armored){.line = 0};
			struct pgp_armored *a = pass == 0 ? &kept : &fresh;

			assert_int_equal(
			    pgp_dearmor(text, sizeof(text) - 1, &pos, a),
			    want[i].status);
			if (want[i].status == PGP_END)
				break;
			assert_int_equal(a->line, want[i].line);
			assert_int_equal(a->blob.len, want[i].len);
			pgp_blob_free(&a->blob, false);
		}
		assert_int_equal(pos, sizeof(text) - 1);
	}
}

/* gpg's own block, octet by octet. */
static void
writes_as_gpg_does(void **state)
{
	struct pgp_blob text = octets_of_file("bob.asc"), out;
	struct pgp_blob key = octets_of_key("bob.asc");
	struct row row;

	(void)state;
	row_open(&row);
	assert_int_equal(pgp_armor(row.f, key.data, key.len), 0);
	out = row_close(&row);
	assert_int_equal(out.len, text.len);
	assert_memory_equal(out.data, text.data, out.len);
	pgp_blob_free(&out, false);
	pgp_blob_free(&text, false);
	pgp_blob_free(&key, false);
}

/* Every length from nothing to some lines comes back as it was. */
static void
there_and_back(void **state)
{
	unsigned char data[200];
	struct pgp_armored a;
	struct pgp_blob text;
	struct row row;
	size_t n, i, pos;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 151 + 7);
	for (n = 0; n <= sizeof(data); n++) {
		row_open(&row);
		assert_int_equal(pgp_armor(row.f, data, n), 0);
		text = row_close(&row);
		pos = 0;
		assert_int_equal(
		    pgp_dearmor((char *)text.data, text.len, &pos, &a), PGP_OK);
		assert_int_equal(a.crc, PGP_CRC_GOOD);
		assert_int_equal(a.blob.len, n);
		assert_memory_equal(a.blob.data, data, n);
		pgp_blob_free(&a.blob, false);
		pgp_blob_free(&text, false);
	}
}

static void
sha256_of_abc(void **state)
{
	/* FIPS 180-4, the first example. */
	static const char want[] = "ba7816bf8f01cfea414140de5dae2223"
				   "b00361a396177a9cb410ff61f20015ad";
	unsigned char expected[32], out[32];
	struct pgp_sha256_ctx *ctx;

	(void)state;
	pgp_prepare();
	octets_of_hex(want, expected, sizeof(expected));
	assert_int_equal(pgp_sha256("abc", 3, out), 0);
	assert_memory_equal(out, expected, 32);
	memset(out, 0, sizeof(out));
	ctx = pgp_sha256_new();
	assert_non_null(ctx);
	pgp_sha256_update(ctx, "a", 1);
	pgp_sha256_update(ctx, NULL, 0);
	pgp_sha256_update(ctx, "bc", 2);
	assert_int_equal(pgp_sha256_final(ctx, out), 0);
	pgp_sha256_free(ctx);
	assert_memory_equal(out, expected, 32);
	pgp_sha256_free(NULL);
}

int
main(void)
{
	struct CMUnitTest tests[CASES + 4] = {cmocka_unit_test(several_blocks),
	    cmocka_unit_test(writes_as_gpg_does),
	    cmocka_unit_test(there_and_back), cmocka_unit_test(sha256_of_abc)};
	size_t i, n = 4;

	for (i = 0; i < CASES; i++)
		tests[n++] = (struct CMUnitTest){cases[i].name, dearmor_one,
		    NULL, NULL, (void *)(uintptr_t)&cases[i]};
	return _cmocka_run_group_tests("armor", tests, n, NULL, NULL);
}
