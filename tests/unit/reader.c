/*
 * Streams of certificates: armored, binary and mixed, in pieces of any size;
 * bad ones do not take their neighbours along; floods need no memory.
 */
#include "tests/unit/pgp_octets.h"

#include <malloc.h>
#include <time.h>
#include <unistd.h>

/* ---- sources ------------------------------------------------------------- */

struct source {
	const unsigned char *p;
	size_t len, step;
	bool fails; /* at the end */
};

static long
read_source(void *ctx, unsigned char *buf, size_t size)
{
	struct source *s = ctx;
	size_t n = size < s->len ? size : s->len;

	if (n == 0)
		return s->fails ? -1 : 0;
	if (n > s->step)
		n = s->step;
	memcpy(buf, s->p, n);
	s->p += n;
	s->len -= n;
	return (long)n;
}

/*
 * What a reader makes of octets, in a line: a letter for each status, a
 * certificate with the first digits of its fingerprint.
 */
static char trace[512];

static void
note(const char *s)
{
	size_t n = strlen(trace);

	assert_true(n + strlen(s) < sizeof(trace));
	memcpy(trace + n, s, strlen(s) + 1);
}

static void
note_fpr(const unsigned char *packets, size_t len)
{
	struct pgp_component info;
	char hex[PGP_FPR_HEX];

	if (len == 0)
		return;
	assert_int_equal(pgp_key_identify(packets, len, &info), PGP_OK);
	pgp_fpr_hex(&info.fpr, hex);
	hex[3] = '\0';
	note(":");
	note(hex);
}

static const char *const words[] = {[PGP_OK] = "cert",
    [PGP_END] = "end",
    [PGP_TRUNCATED] = "truncated",
    [PGP_MALFORMED] = "malformed",
    [PGP_BAD_ARMOR] = "armor",
    [PGP_NOT_CERT] = "other",
    [PGP_SECRET] = "secret",
    [PGP_UNSUPPORTED] = "unsupported",
    [PGP_TOO_LARGE] = "large",
    [PGP_NOMEM] = "nomem"};

static void
trace_source(struct source *s, const struct pgp_policy *policy,
    struct pgp_left_out *left)
{
	struct pgp_reader *r = pgp_reader_new(read_source, s, policy);
	const unsigned char *packets;
	enum pgp_status status;
	size_t len;
	bool bare;

	assert_non_null(r);
	trace[0] = '\0';
	do {
		status = pgp_reader_next(r, left, &packets, &len, &bare);
		if (trace[0] != '\0')
			note(" ");
		note(bare ? "bare" : words[status]);
		if (!bare)
			note_fpr(packets, len);
	} while (status != PGP_END);
	assert_int_equal(pgp_reader_offset(r) + s->len,
	    pgp_reader_offset(r)); /* all of it was taken */
	assert_int_equal(pgp_reader_failed(r), s->fails);
	/* And so ever after. */
	assert_int_equal(
	    pgp_reader_next(r, left, &packets, &len, &bare), PGP_END);
	pgp_reader_free(r);
}

/* ---- streams ------------------------------------------------------------- */

/*
 * A stream is written as words: the name of a key (armored as in its file);
 * behind + in binary, behind - without its last octets; armored anew behind /
 * without its END line, behind ! with a bent line, behind ~ cut in a packet;
 * digits of hexadecimal octets behind #; text behind ', with ~ for a blank.
 */
struct case_stream {
	const char *name, *stream, *want;
};

static const struct case_stream streams[] = {
    {"nothing", "", "end"},
    {"blanks", "#0a0d0a20", "end"},
    {"text", "'hello\n", "malformed end"},
    {"armored", "alice", "cert:231 end"},
    {"binary", "+alice", "cert:231 end"},
    {"armored, two blocks", "alice bob", "cert:231 cert:88C end"},
    {"binary, one behind the other", "+alice +bob +carol",
	"cert:231 cert:88C cert:4D2 end"},
    {"armored behind binary", "+alice bob", "cert:231 cert:88C end"},
    {"binary behind armored", "alice +bob", "cert:231 cert:88C end"},
    {"text around", "'Hi\n alice 'and\n bob '--\n", "cert:231 cert:88C end"},
    {"UTF-8 around", "'\xc3\x9f\xc3\x9f\n alice '\xd0\x90\n", "cert:231 end"},
    {"a marker first", "#a803504750 +alice", "cert:231 end"},
    {"trust packets between", "+alice #b002aaaa +bob", "cert:231 cert:88C end"},
    {"a secret key", "erin.sec", "secret end"},
    {"a secret key between", "+alice +erin.sec +bob",
	"cert:231 secret cert:88C end"},
    {"armored secret key between", "alice erin.sec bob",
	"cert:231 secret cert:88C end"},
    {"a secret subkey in a certificate", "+alice #9c0104 +bob",
	"secret cert:88C end"},
    {"secret keys in a row", "+erin.sec +erin.sec +bob",
	"secret secret cert:88C end"},
    {"half a secret key", "+alice -erin.sec", "cert:231 secret end"},
    {"half an armored secret key", "~erin.sec bob", "secret cert:88C end"},
    {"a secret key without END", "/erin.sec bob", "secret cert:88C end"},
    {"a secret subkey alone", "#9c0104 +bob", "malformed end"},
    {"version 3 between", "+alice +grace-v3key +bob",
	"cert:231 unsupported:271 cert:88C end"},
    {"version 6 between", "+alice +rfc9580-v6 +bob",
	"cert:231 cert:CB1 cert:88C end"},
    {"version 5 between", "+alice +judy-v5 +bob",
	"cert:231 unsupported:ADB cert:88C end"},
    {"version 5 armored", "judy-v5 alice", "unsupported:ADB cert:231 end"},
    {"version 6 secret between", "+alice +mona-v6.sec +bob",
	"cert:231 secret cert:88C end"},
    {"a bare revocation", "carol-revocation", "bare end"},
    {"bare revocations, binary", "+carol-revocation +carol-revocation",
	"bare bare end"},
    {"a revocation behind its key", "+carol +carol-revocation", "cert:4D2 end"},
    {"a revocation and a key", "carol-revocation carol", "bare cert:4D2 end"},
    {"other packets", "#880a04001608000000000000a00100 +bob",
	"other cert:88C end"},
    {"a message", "#85000100 +bob", "other cert:88C end"},
    {"half a packet at the end", "+alice -bob", "cert:231 truncated end"},
    {"half a header at the end", "+alice #99", "truncated end"},
    {"text behind binary", "+alice 'hello\n", "cert:231 malformed end"},
    {"text and a block behind binary", "+alice 'hello\n bob",
	"cert:231 cert:88C end"},
    {"tag 0 behind binary", "+alice #8000 +bob", "malformed end"},
    {"tag 0, then a block", "+alice #80000a bob", "malformed cert:88C end"},
    {"no END", "/alice", "truncated end"},
    {"no END, then a block", "/alice bob", "truncated cert:88C end"},
    {"a bent line", "!alice", "armor end"},
    {"a bent line, then a block", "!alice bob", "armor cert:88C end"},
    {"half a key armored, then a block", "~alice bob",
	"truncated cert:88C end"},
    {"a bent key", "#9801040a", "malformed end"},
    {"a bent key between", "+alice #980104 +bob",
	"cert:231 malformed cert:88C end"},
    {"an empty block",
	"'-----BEGIN~PGP~MESSAGE-----\n\n "
	"'-----END~PGP~MESSAGE-----\n bob",
	"cert:88C end"},
};
#define STREAMS (sizeof(streams) / sizeof(*streams))

static void
write_armored(struct row *row, struct pgp_blob key, char how)
{
	struct row one;
	struct pgp_blob text;
	char *line;

	row_open(&one);
	pgp_armor(one.f, key.data, how == '~' ? key.len - 40 : key.len);
	text = row_close(&one);
	if (how == '/')
		text.len -= strlen("-----END PGP PUBLIC KEY BLOCK-----\n");
	line = (char *)text.data + 3 * 65;
	if (how == '!')
		line[10] = '*';
	fwrite(text.data, 1, text.len, row->f);
	pgp_blob_free(&text, false);
}

static void
write_word(struct row *row, const char *word)
{
	unsigned char octets[64];
	struct pgp_blob b;
	char file[64];
	bool plain;

	if (*word == '\'') {
		for (word++; *word != '\0'; word++)
			fputc(*word == '~' ? ' ' : *word, row->f);
		return;
	}
	if (*word == '#') {
		fwrite(octets, 1, octets_of_hex(word + 1, octets, 64), row->f);
		return;
	}
	plain = strchr("+-/!~", *word) == NULL;
	snprintf(file, sizeof(file), "%s.asc", plain ? word : word + 1);
	b = plain ? octets_of_file(file) : octets_of_key(file);
	if (strchr("/!~", *word) != NULL)
		write_armored(row, b, *word);
	else
		fwrite(b.data, 1, b.len - (*word == '-' ? 7 : 0), row->f);
	pgp_blob_free(&b, false);
}

static struct pgp_blob
octets_of_stream(const char *stream)
{
	char *copy = strdup(stream), *save = NULL, *word;
	struct row row;

	row_open(&row);
	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		write_word(&row, word);
	free(copy);
	return row_close(&row);
}

/* At once, in odd pieces, octet by octet. */
static void
stream_one(void **state)
{
	static const size_t steps[] = {SIZE_MAX, 1000, 7, 1};
	const struct case_stream *c = *state;
	struct pgp_blob b = octets_of_stream(c->stream);
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct source s = {b.data, b.len, steps[i], false};
		struct pgp_left_out left = {0};

		trace_source(&s, &pgp_policy_default, &left);
		assert_string_equal(trace, c->want);
	}
	pgp_blob_free(&b, false);
}

/* What comes out parses to what the octets themselves parse to. */
static void
packets_as_they_came(void **state)
{
	static const char *const files[] = {"alice.asc", "bob.asc",
	    "debian-ecdsa-photo.asc", "frank-v3sig.asc"};
	const unsigned char *packets;
	struct pgp_cert *direct, *cert;
	struct pgp_blob b, x, y;
	struct pgp_reader *r;
	size_t i, len;
	bool bare;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct pgp_left_out left = {0}, whole = {0};
		struct source s;

		b = octets_of_key(files[i]);
		direct = parse(b, &whole);
		s = (struct source){b.data, b.len, 100, false};
		r = pgp_reader_new(read_source, &s, &pgp_policy_default);
		assert_int_equal(
		    pgp_reader_next(r, &left, &packets, &len, &bare), PGP_OK);
		assert_false(bare);
		x.data = malloc(len);
		memcpy(x.data, packets, x.len = len);
		cert = parse(x, &left);
		/* Left out by one or by the other, but not by both. */
		assert_memory_equal(&left, &whole, sizeof(left));
		pgp_blob_free(&x, false);
		assert_int_equal(pgp_cert_octets(cert, &x), PGP_OK);
		assert_int_equal(pgp_cert_octets(direct, &y), PGP_OK);
		assert_int_equal(x.len, y.len);
		assert_memory_equal(x.data, y.data, x.len);
		pgp_blob_free(&b, false);
		pgp_blob_free(&x, false);
		pgp_blob_free(&y, false);
		pgp_cert_free(cert);
		pgp_cert_free(direct);
		pgp_reader_free(r);
	}
}

static void
failed_read(void **state)
{
	struct pgp_blob b = octets_of_key("alice.asc");
	struct source s = {b.data, b.len, 100, true};
	struct pgp_left_out left = {0};

	(void)state;
	/* It might have gone on: this is not the whole certificate. */
	trace_source(&s, &pgp_policy_default, &left);
	assert_string_equal(trace, "truncated end");
	pgp_blob_free(&b, false);
}

static void
caps_on_packets(void **state)
{
	struct pgp_policy policy = pgp_policy_default;
	struct pgp_blob b = octets_of_stream("+bob +alice");
	struct pgp_left_out left = {0};
	struct source s = {b.data, b.len, SIZE_MAX, false};

	(void)state;
	policy.packet_size = 268; /* bob's keys have 269 */
	trace_source(&s, &policy, &left);
	assert_string_equal(trace, "large cert:231 end");
	policy.packet_size = 269;
	policy.signature_size = 100;
	s = (struct source){b.data, b.len, SIZE_MAX, false};
	trace_source(&s, &policy, &left);
	assert_string_equal(trace, "cert:88C cert:231 end");
	assert_true(left.n[PGP_LEFT_TOO_LARGE] >= 3);
	pgp_blob_free(&b, false);
}

/* A certificate with one packet of a size, at each cap and one past it: how
 * that packet is made, and what of the certificate it takes with it. */
enum sized { PRIMARY, SUBKEY, USERID, ATTRIBUTE, SIGNATURE, HASHED };
struct case_size {
	const char *name;
	enum sized what;
	size_t cap;
};

static const struct case_size sizes[] = {
    {"a primary key of 8,383 octets", PRIMARY, 8383},
    {"a subkey of 8,383 octets", SUBKEY, 8383},
    {"a user ID of 1,024 octets", USERID, 1024},
    {"an attribute of 65,536 octets", ATTRIBUTE, 65536},
    {"a signature of 65,536 octets", SIGNATURE, 65536},
    /* Nothing names its issuer: in the form that is kept it does. */
    {"a signature of 65,536 octets in the end", HASHED, 65536 - 10 - 23},
};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* DSA: any four numbers. */
static void
row_key(struct row *r, unsigned tag, size_t size)
{
	static const unsigned char head[] = {4, 0x5e, 0x0c, 0x90, 0xa0, 17};
	unsigned char *body = calloc(1, size);
	size_t i, at = sizeof(head), n;

	assert_non_null(body);
	memcpy(body, head, at);
	for (i = 0; i < 4; i++) {
		n = i < 3 ? 1000 : size - at - 2;
		if (size < 4000)
			n = i < 3 ? 10 : size - at - 2;
		body[at] = (unsigned char)(8 * n >> 8);
		body[at + 1] = (unsigned char)(8 * n);
		memset(body + at + 2, 0xff, n);
		at += 2 + n;
	}
	row_packet(r, tag, body, size);
	free(body);
}

/* EdDSA by nobody, filled up with a notation; `by` may be NULL. */
static void
row_signature(
    struct row *r, unsigned type, size_t size, const struct pgp_component *by)
{
	static const unsigned char head[] = {
	    5, 2, 0x69, 0, 0, 0, 9, 16, 0, 0, 0, 0, 0, 0, 0, 0, 22, 33, 4};
	unsigned char *body = calloc(1, size), *p = body;
	/* What is not hashed: the head, lengths, the left 16 bits, 1 and 1. */
	size_t hashed = size - 4 - 2 - 2 - 2 - 6, n = by != NULL ? 39 : 6;

	assert_non_null(body);
	*p++ = 4;
	*p++ = (unsigned char)type;
	*p++ = 22;
	*p++ = 8;
	*p++ = (unsigned char)(hashed >> 8);
	*p++ = (unsigned char)hashed;
	memcpy(p, head, by != NULL ? sizeof(head) : 6);
	if (by != NULL) {
		memcpy(p + 8, by->keyid, 8);
		memcpy(p + sizeof(head), by->fpr.octet, 20);
	}
	p[n] = 0xff; /* four octets of length */
	p[n + 3] = (unsigned char)((hashed - n - 5) >> 8);
	p[n + 4] = (unsigned char)(hashed - n - 5);
	p[n + 5] = 100;
	memcpy(body + size - 6, "\0\1\1\0\1\1", 6);
	row_packet(r, PGP_TAG_SIGNATURE, body, size);
	free(body);
}

/* What the mail's reader and then the core make of it. */
static struct pgp_cert *
read_twice(struct pgp_blob b, struct pgp_left_out *left)
{
	struct pgp_policy policy = pgp_policy_default;
	struct source s = {b.data, b.len, SIZE_MAX, false};
	const unsigned char *packets;
	struct pgp_cert *cert = NULL;
	struct pgp_blob octets;
	struct pgp_reader *r;
	size_t len;
	bool bare;

	policy.attribute_size = 65536;
	r = pgp_reader_new(read_source, &s, &policy);
	memset(left, 0, sizeof(*left));
	if (pgp_reader_next(r, left, &packets, &len, &bare) != PGP_OK) {
		pgp_reader_free(r);
		return NULL;
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pgp_cert_parse(packets, len, &policy,
				     PGP_CLAIMED, NOW, left, &cert),
		    PGP_OK);
		if (i == 1)
			break;
		assert_int_equal(pgp_cert_octets(cert, &octets), PGP_OK);
		pgp_cert_free(cert);
		packets = octets.data;
		len = octets.len;
	}
	pgp_blob_free(&octets, false);
	pgp_reader_free(r);
	return cert;
}

static struct pgp_blob
sized(enum sized what, size_t size)
{
	unsigned char *octets = calloc(1, size);
	struct pgp_component key;
	struct row row;

	assert_non_null(octets);
	row_open(&row);
	row_key(&row, PGP_TAG_PUBLIC_KEY, what == PRIMARY ? size : 100);
	fflush(row.f);
	assert_int_equal(
	    pgp_key_identify((unsigned char *)row.data, row.len, &key), PGP_OK);
	row_packet(&row, PGP_TAG_USERID, "a", 1);
	row_signature(&row, 0x13, 100, NULL);
	if (what == SIGNATURE || what == HASHED)
		row_signature(
		    &row, 0x13, size, what == SIGNATURE ? &key : NULL);
	else if (what == USERID)
		row_packet(&row, PGP_TAG_USERID, octets, size);
	else if (what == ATTRIBUTE)
		row_packet(&row, PGP_TAG_ATTRIBUTE, octets, size);
	else if (what == SUBKEY)
		row_key(&row, PGP_TAG_PUBLIC_SUBKEY, size);
	if (what == USERID || what == ATTRIBUTE || what == SUBKEY)
		row_signature(&row, what == SUBKEY ? 0x18 : 0x13, 100, NULL);
	free(octets);
	return row_close(&row);
}

static void
size_one(void **state)
{
	const struct case_size *c = *state;
	struct pgp_left_out left;
	struct pgp_cert *cert;
	struct pgp_blob b;
	size_t nsigs = c->what == SIGNATURE || c->what == HASHED ? 2 : 1;
	size_t n = nsigs == 2 || c->what == PRIMARY ? 2 : 3;

	b = sized(c->what, c->cap);
	cert = read_twice(b, &left);
	assert_non_null(cert);
	assert_int_equal(cert->ncomponents, n);
	assert_int_equal(cert->components[n - 1].nsigs, nsigs);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 0);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);

	b = sized(c->what, c->cap + 1);
	cert = read_twice(b, &left);
	if (c->what == PRIMARY) {
		assert_null(cert);
		pgp_blob_free(&b, false);
		return;
	}
	/* The rest of it is there. */
	assert_non_null(cert);
	assert_int_equal(cert->ncomponents, 2);
	assert_int_equal(cert->components[1].len, 1);
	assert_int_equal(cert->components[1].nsigs, 1);
	assert_int_equal(left.n[PGP_LEFT_TOO_LARGE], 1);
	assert_int_equal(left.n[PGP_LEFT_NO_SELFSIG], 0);
	pgp_blob_free(&b, false);
	pgp_cert_free(cert);
}

/* The buffers that a secret key went through hold nothing of it. */
static void
secrets_are_wiped(void **state)
{
	struct pgp_blob b = octets_of_key("erin.sec.asc");
	struct pgp_blob text = octets_of_file("erin.sec.asc"), in;
	const unsigned char *packets, *secret = b.data + 2 + 51 + 3;
	struct pgp_left_out left = {0};
	struct source s;
	struct pgp_reader *r;
	size_t len, i, size;
	bool bare;
	int pass;

	(void)state;
	for (pass = 0; pass < 2; pass++) {
		in = pass == 0 ? b : text;
		s = (struct source){in.data, in.len, SIZE_MAX, false};
		r = pgp_reader_new(read_source, &s, &pgp_policy_default);
		assert_int_equal(
		    pgp_reader_next(r, &left, &packets, &len, &bare),
		    PGP_SECRET);
		assert_int_equal(len, 0);
		size = malloc_usable_size(r);
		assert_true(size > 65536);
		for (i = 0; i < size - 16; i++)
			assert_int_not_equal(
			    memcmp((unsigned char *)r + i, secret, 16), 0);
		assert_null(memmem(r, size, text.data + 150, 40));
		pgp_reader_free(r);
	}
	pgp_blob_free(&b, true);
	pgp_blob_free(&text, true);
}

/* ---- floods -------------------------------------------------------------- */

#define FLOOD_SECONDS 4.0
#define FLOOD_PAGES   ((size_t)48 << 8) /* of 4 KiB: 48 MiB */

/* alice's key, a user ID, and n times a packet. */
struct flood {
	unsigned char head[256], packet[512];
	size_t headlen, len, n, done;
};

static long
read_flood(void *ctx, unsigned char *buf, size_t size)
{
	struct flood *f = ctx;
	size_t at = 0;

	if (f->done == 0) {
		memcpy(buf, f->head, f->headlen);
		at = f->headlen;
	}
	for (; f->done < f->n && size - at >= f->len; f->done++) {
		memcpy(buf + at, f->packet, f->len);
		at += f->len;
	}
	return (long)at;
}

static size_t
resident_pages(void)
{
	unsigned long size, pages;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return pages;
}

static void
begin_flood(struct flood *f, const char *packet, size_t n)
{
	struct pgp_cert *alice = cert_of_key("alice.asc");
	struct pgp_blob b;
	struct row row;

	memset(f, 0, sizeof(*f));
	row_open(&row);
	row_primary(&row, alice);
	row_packet(&row, PGP_TAG_USERID, "a", 1);
	b = row_close(&row);
	memcpy(f->head, b.data, f->headlen = b.len);
	f->len = octets_of_hex(packet, f->packet, sizeof(f->packet));
	f->n = n;
	pgp_blob_free(&b, false);
	pgp_cert_free(alice);
}

struct case_flood {
	const char *name, *packet;
	size_t n;
	enum pgp_status status;
	enum pgp_left_reason reason;
};

/* v4 certifications, dated 2020: by another, unreadable, by alice; user IDs
 * and unknown packets. */
#define PLAIN	  "041316080006 05025e0c90a0"
#define COLLECTED ((size_t)4 << 20)
static const struct case_flood floods[] = {
    {"150,000 signatures by others",
	"88 20" PLAIN "000a 0910 0102030405060708 0000 0001 01 0001 01", 150000,
	PGP_OK, PGP_LEFT_THIRD_PARTY},
    {"150,000 that cannot be read", "88 02 0613", 150000, PGP_OK,
	PGP_LEFT_UNKNOWN},
    {"two million unknown packets",
	"fd 14"
	"00000000000000000000 00000000000000000000",
	2000000, PGP_OK, PGP_LEFT_UNKNOWN},
    {"a million forged self-signatures",
	"88 20" PLAIN "000a 0910 05e825e4425612b5 0000 0001 01 0001 01",
	1000000, PGP_OK, PGP_LEFT_TOO_MANY},
    {"ten million user IDs", "b4 02 6161", 10000000, PGP_OK,
	PGP_LEFT_NO_SELFSIG},
};
#define FLOODS (sizeof(floods) / sizeof(*floods))

static void
flood_one(void **state)
{
	const struct case_flood *c = *state;
	struct pgp_left_out left = {0};
	const unsigned char *packets;
	struct timespec start, now;
	struct pgp_reader *r;
	struct flood f;
	size_t len, before;
	bool bare;

	begin_flood(&f, c->packet, c->n);
	before = resident_pages();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	r = pgp_reader_new(read_flood, &f, &pgp_policy_default);
	assert_int_equal(
	    pgp_reader_next(r, &left, &packets, &len, &bare), c->status);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	assert_true(f.done == c->n);
	assert_true((double)(now.tv_sec - start.tv_sec) +
			(double)(now.tv_nsec - start.tv_nsec) / 1e9 <
		    FLOOD_SECONDS * slowness());
	assert_true(resident_pages() < before + FLOOD_PAGES * slowness());
	if (c->reason == PGP_LEFT_TOO_MANY) {
		/* So much of it is worth a look. */
		assert_true(len > COLLECTED - f.len && len <= COLLECTED);
		assert_int_equal(
		    left.n[c->reason], c->n - (len - f.headlen) / f.len);
	} else {
		/* The user ID before them has no signature of its own. */
		assert_int_equal(left.n[c->reason],
		    c->n + (c->reason == PGP_LEFT_NO_SELFSIG));
		assert_true(len > 0 && len < f.headlen);
	}
	pgp_reader_free(r);
}

/* More forged signatures than are collected, and then the key's revocation, a
 * subkey, and another certificate. */
static void
revocation_behind_a_flood(void **state)
{
	struct pgp_blob revocation = octets_of_key("carol-revocation.asc");
	struct pgp_blob bob = octets_of_key("bob.asc"), b;
	struct pgp_left_out left = {0};
	const unsigned char *packets;
	struct pgp_cert *carol = cert_of_key("carol.asc"), *cert;
	const struct pgp_component *sub = &carol->components[2];
	struct pgp_reader *r;
	struct source s;
	struct row row;
	size_t len, i;
	bool bare;

	(void)state;
	row_open(&row);
	row_primary(&row, carol);
	for (i = 0; i < COLLECTED / 30; i++)
		row_forged(&row, (struct forged){0x1f, NOW,
				     "09 10 D60BDC818F051381", NULL, 7});
	fwrite(revocation.data, 1, revocation.len, row.f);
	row_packet(&row, PGP_TAG_PUBLIC_SUBKEY, sub->body, sub->len);
	fwrite(sub->sigs[0]->packet, 1, sub->sigs[0]->len, row.f);
	fwrite(bob.data, 1, bob.len, row.f);
	b = row_close(&row);
	s = (struct source){b.data, b.len, SIZE_MAX, false};
	r = pgp_reader_new(read_source, &s, &pgp_policy_default);
	assert_int_equal(
	    pgp_reader_next(r, &left, &packets, &len, &bare), PGP_OK);
	assert_true(left.n[PGP_LEFT_TOO_MANY] > 1);
	assert_true(len > COLLECTED && len < COLLECTED + 1000);
	cert = parse(
	    (struct pgp_blob){(unsigned char *)(uintptr_t)packets, len}, &left);
	assert_int_equal(cert->components[0].sigs[0]->type, 0x20);
	assert_int_equal(cert->ncomponents, 1);
	assert_int_equal(
	    pgp_reader_next(r, &left, &packets, &len, &bare), PGP_OK);
	assert_int_equal(
	    pgp_reader_next(r, &left, &packets, &len, &bare), PGP_END);
	pgp_reader_free(r);
	pgp_cert_free(cert);
	pgp_cert_free(carol);
	pgp_blob_free(&revocation, false);
	pgp_blob_free(&bob, false);
	pgp_blob_free(&b, false);
}

/* 4 GiB claimed, and more to come: nothing is taken for it before it comes. */
static void
claimed_lengths(void **state)
{
	static const unsigned char in[] = {
	    0xc6, 0xff, 0xff, 0xff, 0xff, 0xff, 4};
	struct source s = {in, sizeof(in), SIZE_MAX, false};
	struct pgp_left_out left = {0};
	size_t before = resident_pages();

	(void)state;
	trace_source(&s, &pgp_policy_default, &left);
	assert_string_equal(trace, "truncated end");
	assert_true(resident_pages() < before + FLOOD_PAGES * slowness());
}

int
main(void)
{
	struct CMUnitTest tests[STREAMS + FLOODS + SIZES + 6] = {
	    cmocka_unit_test(packets_as_they_came),
	    cmocka_unit_test(failed_read), cmocka_unit_test(caps_on_packets),
	    cmocka_unit_test(secrets_are_wiped),
	    cmocka_unit_test(claimed_lengths),
	    cmocka_unit_test(revocation_behind_a_flood)};
	size_t i, n = 6;

	for (i = 0; i < FLOODS; i++)
		tests[n++] = (struct CMUnitTest){floods[i].name, flood_one,
		    NULL, NULL, (void *)(uintptr_t)&floods[i]};
	for (i = 0; i < SIZES; i++)
		tests[n++] = (struct CMUnitTest){sizes[i].name, size_one, NULL,
		    NULL, (void *)(uintptr_t)&sizes[i]};
	for (i = 0; i < STREAMS; i++)
		tests[n++] = (struct CMUnitTest){streams[i].name, stream_one,
		    NULL, NULL, (void *)(uintptr_t)&streams[i]};
	return _cmocka_run_group_tests("reader", tests, n, NULL, NULL);
}
