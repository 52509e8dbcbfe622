/*
 * Verification in process beside gpg, signature by signature: on the key rings
 * that Debian ships, and on damaged variants of what they hold.
 *
 * Each signature is put to both as a small certificate of its own, so that
 * gpg, which stops at the first good one and hides older bindings, sees each.
 * FULL=1 in the environment damages all of them, not every fortieth.
 */
#include "mailkeyd/vouch.h"
#include "pgp/pgp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RINGS	  "/usr/share/keyrings/"
#define BATCH	  512  /* small certificates to one gpg */
#define SMALL_MAX 4096 /* octets of one in a file */

static char home[64];
static struct pgp_policy roomy;

/* ---- small certificates -------------------------------------------------- */

struct small {
	unsigned char *data;
	size_t len;
	unsigned kind; /* how it was damaged: an index into damages */
};

struct heap {
	struct small *small;
	size_t n, room;
};

static void
heap_add(struct heap *h, unsigned char *data, size_t len, unsigned kind)
{
	if (h->n == h->room) {
		h->room = h->room == 0 ? 1024 : 2 * h->room;
		h->small = realloc(h->small, h->room * sizeof(struct small));
		assert_non_null(h->small);
	}
	h->small[h->n++] = (struct small){data, len, kind};
}

static void
heap_free(struct heap *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->small[i].data);
	free(h->small);
	memset(h, 0, sizeof(*h));
}

static void
add_claims(struct heap *h, const struct pgp_cert *cert, unsigned kind)
{
	for (size_t i = 0; i < cert->ncomponents; i++) {
		const struct pgp_component *on = &cert->components[i];

		for (size_t k = 0; k < on->nsigs; k++) {
			struct pgp_claim claim = {
			    &cert->components[0], on, on->sigs[k], NULL};
			char *text = NULL;
			size_t len = 0;
			FILE *f = open_memstream(&text, &len);

			assert_non_null(f);
			assert_int_equal(pgp_claim_write(f, &claim), 0);
			assert_int_equal(fclose(f), 0);
			heap_add(h, (unsigned char *)text, len, kind);
		}
	}
}

static long
from_file(void *ctx, unsigned char *buf, size_t size)
{
	return (long)read(*(int *)ctx, buf, size);
}

/* False where the file is missing. */
static bool
load_ring(struct heap *h, const char *path)
{
	struct pgp_left_out left;
	const unsigned char *packets;
	struct pgp_reader *reader;
	enum pgp_status status;
	struct pgp_cert *cert;
	size_t len;
	bool bare;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return false;
	reader = pgp_reader_new(from_file, &fd, &roomy);
	assert_non_null(reader);
	memset(&left, 0, sizeof(left));
	while ((status = pgp_reader_next(
		    reader, &left, &packets, &len, &bare)) != PGP_END) {
		if (status != PGP_OK ||
		    pgp_cert_parse(packets, len, &roomy, false, UINT32_MAX,
			&left, &cert) != PGP_OK)
			continue;
		add_claims(h, cert, 0);
		pgp_cert_free(cert);
	}
	pgp_reader_free(reader);
	close(fd);
	return true;
}

/* ---- damage ----------------------------------------------------------------
 */

/* Of a small certificate: where its packets lie. */
struct parts {
	struct pgp_packet primary, on, sig; /* on.tag 0: the primary's own */
};

static bool
take_apart(const struct small *s, struct parts *p)
{
	struct pgp_blob joined = {NULL, 0};
	size_t pos = 0;
	bool ok;

	memset(p, 0, sizeof(*p));
	ok = pgp_packet_read(s->data, s->len, &pos, &joined, &p->primary) ==
		 PGP_OK &&
	     pgp_packet_read(s->data, s->len, &pos, &joined, &p->sig) == PGP_OK;
	if (ok && p->sig.tag != PGP_TAG_SIGNATURE) {
		p->on = p->sig;
		ok = pgp_packet_read(s->data, s->len, &pos, &joined, &p->sig) ==
		     PGP_OK;
	}
	pgp_blob_free(&joined, false);
	return ok && p->primary.tag == PGP_TAG_PUBLIC_KEY &&
	       p->sig.tag == PGP_TAG_SIGNATURE;
}

/* The same variants in every run. */
static uint32_t
chance(uint32_t below)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)((x >> 32) % below);
}

enum field {
	F_PRIMARY,
	F_PRIMARY_CREATED,
	F_ON,
	F_TYPE,
	F_PKALGO,
	F_HASHALGO,
	F_HASHED,
	F_UNHASHED,
	F_LEFT16,
	F_VALUE,
	F_VERSION
};

static size_t
be16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

/* Offset and length of a field in the octets of s; false: it has none. */
static bool
field_find(const struct small *s, const struct parts *p, enum field field,
    size_t *at, size_t *len)
{
	size_t sig = (size_t)(p->sig.body - s->data);
	const unsigned char *b = p->sig.body;
	size_t hashed, unhashed;

	*len = 1;
	switch (field) {
	case F_PRIMARY:
		*at = (size_t)(p->primary.body - s->data);
		*len = p->primary.len;
		return true;
	case F_PRIMARY_CREATED:
		*at = (size_t)(p->primary.body - s->data) + 1;
		*len = 4;
		return true;
	case F_ON:
		if (p->on.tag == 0 || p->on.len == 0)
			return false;
		*at = (size_t)(p->on.body - s->data);
		*len = p->on.len;
		return true;
	case F_VERSION:
		*at = sig;
		return true;
	default:
		break;
	}
	if (b[0] != 4 || p->sig.len < 12)
		return false;
	hashed = be16(b + 4);
	unhashed = be16(b + 6 + hashed);
	switch (field) {
	case F_TYPE:
	case F_PKALGO:
	case F_HASHALGO:
		*at = sig + 1 + (field - F_TYPE);
		return true;
	case F_HASHED:
		*at = sig + 6;
		*len = hashed;
		return hashed > 0;
	case F_UNHASHED:
		*at = sig + 8 + hashed;
		*len = unhashed;
		return unhashed > 0;
	case F_LEFT16:
		*at = sig + 8 + hashed + unhashed;
		*len = 2;
		return true;
	default:
		*at = sig + 10 + hashed + unhashed;
		*len = p->sig.len - 10 - hashed - unhashed;
		return true;
	}
}

static unsigned char *
copied(const unsigned char *data, size_t len)
{
	unsigned char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, data, len);
	return copy;
}

static void
flip(struct heap *h, const struct small *s, enum field field, unsigned kind)
{
	unsigned char *copy;
	struct parts p;
	size_t at, len;

	if (!take_apart(s, &p) || !field_find(s, &p, field, &at, &len))
		return;
	copy = copied(s->data, s->len);
	copy[at + chance((uint32_t)len)] ^= (unsigned char)(1 << chance(8));
	heap_add(h, copy, s->len, kind);
}

/* One known number in place of another. */
static void
replace(struct heap *h, const struct small *s, enum field field, unsigned kind)
{
	static const unsigned char types[] = {0x00, 0x10, 0x11, 0x12, 0x13,
	    0x18, 0x19, 0x1f, 0x20, 0x28, 0x30},
				   pkalgos[] = {1, 2, 3, 16, 17, 19, 20, 22,
				       27},
				   hashalgos[] = {
				       1, 2, 3, 8, 9, 10, 11, 12, 99};
	const unsigned char *from = field == F_TYPE	? types
				    : field == F_PKALGO ? pkalgos
							: hashalgos;
	uint32_t n = field == F_TYPE ? sizeof(types) : sizeof(pkalgos);
	unsigned char *copy;
	struct parts p;
	size_t at, len;

	if (!take_apart(s, &p) || !field_find(s, &p, field, &at, &len))
		return;
	copy = copied(s->data, s->len);
	copy[at] = from[chance(n)];
	heap_add(h, copy, s->len, kind);
}

enum part { P_PRIMARY, P_ON, P_SIG };

/* One part from another small certificate. */
static void
swap(struct heap *h, const struct small *s, const struct small *other,
    enum part part, unsigned kind)
{
	struct parts p, q;
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!take_apart(s, &p) || !take_apart(other, &q))
		return;
	if (part == P_PRIMARY)
		p.primary = q.primary;
	else if (part == P_ON)
		p.on = q.on;
	else
		p.sig = q.sig;
	f = open_memstream(&text, &len);
	assert_non_null(f);
	pgp_packet_write(f, p.primary.tag, p.primary.body, p.primary.len);
	if (p.on.tag != 0)
		pgp_packet_write(f, p.on.tag, p.on.body, p.on.len);
	pgp_packet_write(f, p.sig.tag, p.sig.body, p.sig.len);
	assert_int_equal(fclose(f), 0);
	heap_add(h, (unsigned char *)text, len, kind);
}

/* What is not signed is made anew before anybody judges: see how. */
static void
flip_unhashed(struct heap *h, const struct small *s, unsigned kind)
{
	struct heap bent = {NULL, 0, 0};
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;

	flip(&bent, s, F_UNHASHED, kind);
	if (bent.n == 1 &&
	    pgp_cert_parse(bent.small[0].data, bent.small[0].len, &roomy, false,
		UINT32_MAX, &left, &cert) == PGP_OK) {
		add_claims(h, cert, kind);
		pgp_cert_free(cert);
	}
	heap_free(&bent);
}

/* The signature packet ends an octet early, and says so. */
static void
cut(struct heap *h, const struct small *s, unsigned kind)
{
	struct parts p;
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!take_apart(s, &p))
		return;
	p.sig.len--;
	f = open_memstream(&text, &len);
	assert_non_null(f);
	fwrite(s->data, 1, p.sig.start, f);
	pgp_packet_write(f, PGP_TAG_SIGNATURE, p.sig.body, p.sig.len);
	assert_int_equal(fclose(f), 0);
	heap_add(h, (unsigned char *)text, len, kind);
}

enum how { H_NONE, H_FLIP, H_UNHASHED, H_REPLACE, H_SWAP, H_CUT };

static const struct damage {
	const char *name;
	enum how how;
	int what;
} damages[] = {
    {"as it is", H_NONE, 0},
    {"a bit of the primary key", H_FLIP, F_PRIMARY},
    {"the primary key's time", H_FLIP, F_PRIMARY_CREATED},
    {"a bit of the user ID or subkey", H_FLIP, F_ON},
    {"a bit of the signature's type", H_FLIP, F_TYPE},
    {"another type", H_REPLACE, F_TYPE},
    {"another public-key algorithm", H_REPLACE, F_PKALGO},
    {"another hash algorithm", H_REPLACE, F_HASHALGO},
    {"a bit of the version", H_FLIP, F_VERSION},
    {"a bit of the hashed area", H_FLIP, F_HASHED},
    {"a bit of the unhashed area", H_UNHASHED, 0},
    {"a bit of the left 16 bits", H_FLIP, F_LEFT16},
    {"a bit of the value", H_FLIP, F_VALUE},
    {"another's primary key", H_SWAP, P_PRIMARY},
    {"another's user ID or subkey", H_SWAP, P_ON},
    {"another's signature", H_SWAP, P_SIG},
    {"an octet short", H_CUT, 0},
};
#define DAMAGES (sizeof(damages) / sizeof(damages[0]))

static void
damage(struct heap *out, const struct heap *from, size_t i)
{
	const struct small *s = &from->small[i],
			   *other = &from->small[chance((uint32_t)from->n)];

	for (unsigned kind = 1; kind < DAMAGES; kind++) {
		const struct damage *d = &damages[kind];

		if (d->how == H_FLIP)
			flip(out, s, (enum field)d->what, kind);
		else if (d->how == H_UNHASHED)
			flip_unhashed(out, s, kind);
		else if (d->how == H_REPLACE)
			replace(out, s, (enum field)d->what, kind);
		else if (d->how == H_SWAP)
			swap(out, s, other, (enum part)d->what, kind);
		else
			cut(out, s, kind);
	}
}

/* ---- gpg --------------------------------------------------------------------
 */

static void
exec_gpg(int in, int out)
{
	dup2(in, 0);
	dup2(out, 1);
	dup2(open("/dev/null", O_WRONLY), 2);
	execlp("gpg", "gpg", "--homedir", home, "--batch", "--no-options",
	    "--no-autostart", "--no-auto-check-trustdb", "--no-keyring", "-q",
	    "--ignore-time-conflict", "--ignore-valid-from", "--import-options",
	    "import-export,self-sigs-only,no-repair-keys", "--import",
	    (char *)NULL);
	_exit(127);
}

static enum vouch_end
run_gpg(struct vouch *v, size_t first, size_t n)
{
	char *text = NULL, *answer;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	enum vouch_end end;
	int in, out, status;
	pid_t pid;

	assert_non_null(f);
	assert_int_equal(vouch_write(f, v, first, n), 0);
	assert_int_equal(fclose(f), 0);
	in = ipc_memfd("claims", text, len, false);
	out = ipc_memfd("vouched", NULL, 0, false);
	assert_true(in != -1 && out != -1);
	free(text);
	lseek(in, 0, SEEK_SET);
	pid = fork();
	assert_true(pid != -1);
	if (pid == 0)
		exec_gpg(in, out);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 127);
	assert_int_equal(ipc_slurp(out, 64 << 20, &answer, &len), 0);
	close(in);
	close(out);
	end = vouch_match(v, first, n, (unsigned char *)answer, len);
	free(answer);
	assert_true(end != VOUCH_NOMEM);
	return end;
}

/* Where gpg gives up, half as many, until it stands alone. */
static void
ask_gpg(struct vouch *v, size_t first, size_t n)
{
	if (n == 0 || run_gpg(v, first, n) == VOUCH_WHOLE || n == 1)
		return;
	ask_gpg(v, first, n / 2);
	ask_gpg(v, first + n / 2, n - n / 2);
}

static bool
gpg_says(const struct vouch_claim *c)
{
	return c->returned &&
	       (!vouch_is_binding(c) ||
		   pgp_binding_backed(&c->primary, &c->on, &c->packet));
}

/* ---- both -------------------------------------------------------------------
 */

struct count {
	unsigned n, good, bad, undecided, beyond, stricter, wrong;
};

static struct count count[DAMAGES];

static enum pgp_verdict
we_say(struct pgp_verifier *verifier, const struct small *s)
{
	struct parts p;

	if (!take_apart(s, &p))
		return PGP_BAD;
	return pgp_claim_verify(verifier, &p.primary, &p.on, &p.sig);
}

static void
keep(const struct small *s, const char *what, unsigned number)
{
	const char *dir = getenv("ORACLE_KEEP");
	char path[512];
	FILE *f;

	if (dir == NULL)
		return;
	snprintf(
	    path, sizeof(path), "%s/%s-%u-%u.pgp", dir, what, s->kind, number);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite(s->data, 1, s->len, f);
	fclose(f);
}

static void
compare_one(
    const struct vouch_claim *c, const struct small *s, enum pgp_verdict ours)
{
	struct count *n = &count[s->kind];
	bool theirs = gpg_says(c);

	n->n++;
	if (ours == PGP_UNDECIDED)
		n->undecided++;
	else if (ours == PGP_GOOD && theirs)
		n->good++;
	else if (ours == PGP_BAD && !theirs)
		n->bad++;
	else if (ours == PGP_GOOD && !c->fit)
		n->beyond++; /* gpg 2.2 does not know its like */
	else if (ours == PGP_GOOD)
		keep(s, "accepted", n->wrong++);
	else
		keep(s, "refused", n->stricter++);
}

static void
compare_batch(
    struct pgp_verifier *verifier, const struct small *small, size_t n)
{
	struct ipc_out record = {.data = NULL};
	struct ipc_in in;
	struct vouch v;

	ipc_put_u32(&record, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		ipc_put_blob(&record, small[i].data, small[i].len);
	assert_false(record.failed);
	in = (struct ipc_in){.data = record.data, .len = record.len};
	assert_int_equal(vouch_read(&in, &v), 0);
	ask_gpg(&v, 0, n);
	for (size_t i = 0; i < n; i++)
		compare_one(
		    &v.claim[i], &small[i], we_say(verifier, &small[i]));
	vouch_free(&v);
	ipc_out_free(&record);
}

static void
compare(const struct heap *h)
{
	struct pgp_verifier *verifier = pgp_verifier_new();

	assert_non_null(verifier);
	memset(count, 0, sizeof(count));
	for (size_t i = 0; i < h->n; i += BATCH)
		compare_batch(verifier, h->small + i,
		    h->n - i < BATCH ? h->n - i : BATCH);
	pgp_verifier_free(verifier);
}

static struct count
report(const char *title)
{
	struct count sum = {0};

	print_message("# %s: judged, good, bad, left to gpg, beyond gpg, "
		      "stricter than gpg, WRONGLY ACCEPTED\n",
	    title);
	for (unsigned i = 0; i < DAMAGES; i++) {
		const struct count *c = &count[i];

		if (c->n == 0)
			continue;
		print_message("# %-32s %6u %6u %6u %6u %6u %6u %6u\n",
		    damages[i].name, c->n, c->good, c->bad, c->undecided,
		    c->beyond, c->stricter, c->wrong);
		sum.n += c->n;
		sum.good += c->good;
		sum.undecided += c->undecided;
		sum.stricter += c->stricter;
		sum.wrong += c->wrong;
	}
	return sum;
}

static const char *const rings[] = {RINGS "debian-keyring.gpg",
    RINGS "debian-maintainers.gpg", RINGS "debian-nonupload.gpg",
    RINGS "debian-role-keys.gpg", RINGS "debian-archive-keyring.gpg",
    RINGS "debian-archive-removed-keys.gpg", RINGS "archlinux.gpg"};

static void
load_all(struct heap *h)
{
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		if (!load_ring(h, rings[i]))
			fail_msg("%s is missing: contrib/deps test installs it",
			    rings[i]);
}

static void
test_rings(void **state)
{
	struct heap h = {NULL, 0, 0};
	struct count sum;

	(void)state;
	load_all(&h);
	compare(&h);
	sum = report("rings");
	heap_free(&h);
	assert_int_equal(sum.wrong, 0);
	assert_true(sum.stricter * 1000 < sum.n);
	assert_true(sum.undecided * 100 < sum.n);
	assert_true(sum.good > 8000);
}

static void
test_damaged(void **state)
{
	struct heap all = {NULL, 0, 0}, bent = {NULL, 0, 0};
	size_t step = getenv("FULL") != NULL ? 1 : 40;
	struct count sum;

	(void)state;
	load_all(&all);
	for (size_t i = 0; i < all.n; i += step)
		damage(&bent, &all, i);
	compare(&bent);
	sum = report("damaged");
	heap_free(&all);
	heap_free(&bent);
	assert_int_equal(sum.wrong, 0);
	assert_true(sum.stricter * 100 < sum.n);
}

/*
 * Each class in which we are stricter, with one certificate; the reasons are in
 * tests/keys/stricter/README.
 */
static const struct class
{
	const char *name;
	bool ours;
} classes[] = {
    {"older-than-key", false},
    {"undated", false},
    {"another-issuer", false},
    {"exportable-empty", false},
    {"eddsa-large-s", false},
    {"rsa-large-value", false},
    {"rsa-even", false},
    {"sound", true},
};
#define CLASSES (sizeof(classes) / sizeof(classes[0]))

static struct small
small_of_file(const char *name)
{
	struct small small = {.data = NULL};
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "tests/keys/stricter/%s.pgp", name);
	small.data = malloc(SMALL_MAX);
	f = fopen(path, "r");
	if (f == NULL || small.data == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	small.len = fread(small.data, 1, SMALL_MAX, f);
	fclose(f);
	return small;
}

static void
test_stricter(void **state)
{
	struct pgp_verifier *verifier = pgp_verifier_new();

	(void)state;
	assert_non_null(verifier);
	for (size_t i = 0; i < CLASSES; i++) {
		struct small small = small_of_file(classes[i].name);

		memset(count, 0, sizeof(count));
		compare_batch(verifier, &small, 1);
		if (count[0].good != classes[i].ours ||
		    count[0].stricter == classes[i].ours)
			fail_msg("%s: good %u, stricter %u, bad %u, left %u",
			    classes[i].name, count[0].good, count[0].stricter,
			    count[0].bad, count[0].undecided);
		free(small.data);
	}
	pgp_verifier_free(verifier);
}

static int
make_home(void **state)
{
	(void)state;
	roomy = pgp_policy_default;
	roomy.attribute_size = 65536;
	roomy.certificate_size = 16 << 20;
	snprintf(home, sizeof(home), "/tmp/mkoracleXXXXXX");
	return mkdtemp(home) == NULL ? -1 : 0;
}

static int
remove_home(void **state)
{
	struct dirent *entry;
	DIR *d = opendir(home);

	(void)state;
	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
	return rmdir(home);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_stricter),
	    cmocka_unit_test(test_rings), cmocka_unit_test(test_damaged)};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
