/*
 * The commands against a real store: what is answered, and what is sent.
 */
#include "tests/unit/room.h"

#define CREATED 1500000000u

static const struct forged alice = {.seed = 1,
    .created = CREATED,
    .bits = 1024,
    .id = {{.text = "Alice Example <alice@example.org>"},
	{.text = "Alice Ex <alice@example.com>"}},
    .subkey = {{16, 1024, CREATED + 1, 0, 0x0C, false}}};
/* Two keys whose key IDs end in the same 8 digits, B2D8E30A. */
static const struct forged twin = {.seed = 77,
    .created = 1500056741u,
    .bits = 1024,
    .id = {{.text = "Twin One <one@example.net>"}}};
static const struct forged other_twin = {.seed = 77,
    .created = 1500136967u,
    .bits = 1024,
    .id = {{.text = "Twin Two <two@example.net>"}}};
#define TWIN	   "ED83190F8A8989A5E6E65CBDC7B34B3DB2D8E30A"
#define OTHER_TWIN "42DDD662CABF7785CF044424B16AE563B2D8E30A"

/* ---- HELP ---- */

static void
test_help(void **state)
{
	struct room *room = *state;
	size_t i;

	ask(room, "help");
	assert_outcome(room, DONE, "");
	assert_false(room->reply.help);
	assert_no_keys(room);
	for (i = 0; commands[i] != NULL; i++)
		if ((commands[i]->flags & COMMAND_HIDDEN) == 0) {
			assert_says(room, commands[i]->name);
			assert_says(room, commands[i]->summary);
		}
	assert_silent(room, "VINDEX");
	assert_says(room, "Example key server\n");
	assert_says(room, "keys@keys.example.org");
	assert_says(room, "admin@example.org");
	assert_says(room, "at most 3.");
	assert_says(room, "first 50.");
	assert_says(room, "gpg --armor --export");
}

static void
test_help_nobody(void **state)
{
	struct room *room = *state;

	room->request.admin = "";
	room->request.site = "";
	ask(room, "HELP en");
	assert_outcome(room, DONE, "");
	assert_silent(room, "Questions");
	assert_true(room->reply.text_data[0] == 'T');
}

static void
test_invalid(void **state)
{
	static const char *const subjects[] = {
	    "GETTYSBURG address", "", "Delivery failed", "Re: hello"};
	struct room *room = *state;
	size_t i;

	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_outcome(room, REFUSED, ", was invalid");
		assert_true(room->reply.help);
		assert_no_keys(room);
		assert_says(room, "VERBOSE INDEX");
		/* Nothing of what strangers wrote is sent on. */
		assert_silent(room, "GETTYSBURG");
	}
	assert_says(room, "does not begin with a command");
	ask(room, NULL);
	assert_says(room, "no command in its Subject");
	/* The second one of a day is short. */
	room->request.helps_today = 1;
	ask(room, "GETTYSBURG address");
	assert_outcome(room, REFUSED, ", was invalid");
	assert_true(room->reply.help);
	assert_says(room, "HELP");
	assert_true(room->reply.text_len < 200);
	/* But who asks for help gets it. */
	ask(room, "HELP");
	assert_false(room->reply.help);
	assert_says(room, "VERBOSE INDEX");
}

/* ---- looking up ---- */

static void
test_no_argument(void **state)
{
	static const char *const subjects[] = {
	    "GET", "INDEX", "GET \"\"", "VERBOSE INDEX", "VINDEX", "INDEX  "};
	struct room *room = *state;
	size_t i;

	put(room, &alice);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_refused(room, "HELP");
		assert_silent(room, "Alice");
	}
}

/* A text within words, which is looked for in slices. */
static void
test_literal(void **state)
{
	static const struct forged *const found[] = {&alice};
	struct room *room = *state;
	const struct command *command;
	bool more;

	put(room, &alice);
	ask(room, "GET \"lice Exa\"");
	assert_outcome(room, DONE, "");
	assert_keys(room, found, 1);
	assert_non_null(room->request.scan);
	ask(room, "INDEX \"lic\"");
	assert_outcome(room, DONE, "");
	assert_says(room, "Alice Example");
	ask(room, "VINDEX \"> <\"");
	assert_refused(room, "No matching keys in database\n");
	ask(room, "GET \"e\"");
	assert_refused(room, "at least two characters");
	assert_null(room->request.scan);

	/* The time is up. */
	request_free(&room->request);
	command = request_parse("GET \"lic\"", &room->request);
	assert_non_null(command);
	assert_true(command->scans(&room->request));
	room->request.slices.spent = 3600000000000;
	assert_int_equal(
	    command->scan(room->store.ks, &room->request, &more), KS_OK);
	assert_false(more);
	reply_free(&room->reply);
	assert_int_equal(reply_new(&room->reply), 0);
	room->outcome =
	    command->run(room->store.ks, &room->request, &room->reply);
	assert_int_equal(reply_finish(&room->reply), 0);
	assert_refused(room, "took too long");
	assert_silent(room, "Alice");
}

static void
test_not_found(void **state)
{
	struct room *room = *state;

	ask(room, "GET alice");
	assert_refused(room, "No matching keys in database\n");
	assert_says(room, "no keys yet");
	put_at(room, &alice, FORGE_NOW);
	ask(room, "GET bob@example.org");
	assert_refused(room, "No matching keys in database\n");
	assert_says(room, "2023-11-14 22:13:20 UTC");
	assert_says(room, "bob@example.org");
	ask(room, "INDEX 0x12345678");
	assert_refused(room, "No matching keys in database\n");
	assert_silent(room, "not safe");
	ask(room, "VINDEX 0x0123456789ABCDEF0123456789ABCDEF01234567");
	assert_refused(room, "No matching keys in database\n");
}

static void
test_bad_query(void **state)
{
	static const char *const arguments[] = {
	    "GET 0x123", "GET 0xZZZZZZZZ", "GET a", "INDEX 0x", "INDEX x"};
	struct room *room = *state;
	size_t i;

	put(room, &alice);
	for (i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
		ask(room, arguments[i]);
		assert_refused(room, "HELP");
		assert_silent(room, "No matching");
	}
}

static void
test_argument_escaped(void **state)
{
	struct room *room = *state;

	put(room, &alice);
	ask(room, "GET nobody\x1b[2J\xe2\x80\xae@example.org");
	assert_refused(room, "nobody\\x1B[2J\\u202E@example.org");
	assert_silent(room, "\x1b");
	assert_silent(room, "\xe2\x80\xae");
}

static void
test_too_many(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	unsigned i;

	for (i = 0; i < 3; i++) {
		key.seed = 10 + i;
		put(room, &key);
	}
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 3);
	assert_says(room, "3 keys found");
	ask(room, "INDEX alice@example.org");
	assert_outcome(room, DONE, "");
	key.seed = 20;
	put(room, &key);
	ask(room, "GET alice@example.org");
	assert_refused(room, "Too many keys match: 4.");
	assert_says(room, "at most 3");
	ask(room, "INDEX alice@example.org");
	assert_refused(room, "Too many keys match: 4.");
	ask(room, "GET alice example");
	assert_refused(room, "Too many keys match: up to 4.");
}

/* ---- GET ---- */

static void
test_get(void **state)
{
	static const char *const subjects[] = {"GET alice@example.org",
	    "get <alice@example.com>", "GET example alice", "GET \"Alice Ex\""};
	const struct forged *const want[] = {&alice};
	struct room *room = *state;
	size_t i;

	put(room, &alice);
	put(room, &twin);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
		assert_says(room, "Example key server\n");
		assert_says(room, "1 key found, attached:\n");
		assert_says(room, "\n    Alice Example <alice@example.org>\n");
		assert_says(room, "gpg --import");
		assert_silent(room, "not safe");
		assert_silent(room, "REVOKED");
	}
}

static void
test_get_exact(void **state)
{
	static const char *const subjects[] = {"GET 0x" TWIN, "GET " TWIN,
	    "GET 0xC7B34B3DB2D8E30A",
	    "GET 0xed83 190f 8a89 89a5 e6e6  5cbd c7b3 4b3d b2d8 e30a"};
	const struct forged *const want[] = {&twin};
	struct room *room = *state;
	size_t i;

	put(room, &twin);
	put(room, &other_twin);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
		assert_says(room, "\n" TWIN "\n");
		assert_silent(room, "not safe");
	}
	/* The right last digits of no key. */
	ask(room, "GET 0x0000000000000000000000000000000000000000");
	assert_refused(room, "No matching keys in database\n");
	ask(room, "GET 0x00000000B2D8E30A");
	assert_refused(room, "No matching keys in database\n");
}

static void
test_get_short(void **state)
{
	const struct forged *const one[] = {&twin};
	const struct forged *const both[] = {&other_twin, &twin};
	struct room *room = *state;

	put(room, &twin);
	ask(room, "GET 0xB2D8E30A");
	assert_outcome(room, DONE, "");
	assert_keys(room, one, 1);
	assert_says(room, "8-digit key ID is not safe");
	assert_silent(room, "AMBIGUOUS");
	put(room, &other_twin);
	ask(room, "GET 0xB2D8E30A");
	assert_outcome(room, DONE, "");
	/* Newest creation first. */
	assert_keys(room, both, 2);
	assert_says(room, "\n" TWIN "\n    Twin One <one@example.net>\n");
	assert_says(room, "\n" OTHER_TWIN "\n    Twin Two <two@example.net>\n");
	assert_says(room, "AMBIGUOUS: 2 keys");
	ask(room, "INDEX b2d8e30a");
	assert_outcome(room, DONE, "");
	assert_says(room, "AMBIGUOUS: 2 keys");
	assert_says(room, "/C7B34B3DB2D8E30A 2017/07/14 Twin One");
	assert_says(room, "/B16AE563B2D8E30A 2017/07/15 Twin Two");
}

/* 8 hexadecimal digits that are a name warn of nothing. */
static void
test_get_bare_word(void **state)
{
	static const struct forged face = {.seed = 5,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = "Decade00 Facade"}}};
	struct room *room = *state;

	put(room, &face);
	ask(room, "GET decade00");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 1);
	assert_silent(room, "not safe");
	assert_says(room, "No key has this key ID");
	ask(room, "INDEX decade00");
	assert_outcome(room, DONE, "");
	assert_says(room, "No key has this key ID");
	ask(room, "GET 0xdecade00");
	assert_refused(room, "No matching keys in database\n");
	ask(room, "GET \"decade00\"");
	assert_outcome(room, DONE, "");
	assert_silent(room, "No key has this key ID");
}

/* A key ID goes before the word, and no word stands in for a fingerprint. */
static void
test_get_taken_over(void **state)
{
	static const struct forged mallory = {.seed = 8,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = "B2D8E30A C7B34B3DB2D8E30A " TWIN}}};
	static const char *const found[] = {"GET B2D8E30A", "GET b2d8 e30a",
	    "GET C7B34B3DB2D8E30A", "GET " TWIN};
	const struct forged *const want[] = {&twin};
	struct room *room = *state;
	size_t i;

	put(room, &mallory);
	ask(room, "GET " TWIN);
	assert_refused(room, "No matching keys in database\n");
	ask(room, "GET C7B34B3DB2D8E30A");
	assert_outcome(room, DONE, "");
	assert_says(room, "No key has this key ID");
	put(room, &twin);
	for (i = 0; i < sizeof found / sizeof found[0]; i++) {
		ask(room, found[i]);
		assert_outcome(room, DONE, "");
		assert_keys(room, want, 1);
		assert_silent(room, "No key has this key ID");
	}
}

/* Every form that a key may be asked for in, by each of the commands. */
static void
test_forms(void **state)
{
	static const char *const commands_[] = {
	    "GET", "INDEX", "VERBOSE INDEX", "VINDEX"};
	static const char *const found[] = {"alice@example.org",
	    "<alice@example.org>", "ALICE@Example.ORG", "alice",
	    "EXAMPLE alice", "alice, example", "\"Alice Ex\"", "\"ALICE EX\"",
	    "\"alice@example.com\"", "Alice Example <alice@example.org>"};
	static const char *const lost[] = {"alice@example.net", "ali",
	    "alice bob", "\"Example Alice\"", "\"Alice  Ex\" Ample",
	    "0xFFFFFFFF", "0123456789ABCDEF0123456789ABCDEF"};
	struct room *room = *state;
	struct pgp_cert *cert;
	char subject[400], hex[PGP_FPR_HEX], sub[PGP_FPR_HEX];
	const char *digits[2];
	size_t c, i, n;

	put(room, &alice);
	put(room, &twin);
	cert = forge(&alice);
	assert_non_null(cert);
	pgp_fpr_hex(pgp_cert_fpr(cert), hex);
	for (i = 1; cert->components[i].kind != PGP_SUBKEY; i++)
		continue;
	pgp_fpr_hex(&cert->components[i].fpr, sub);
	pgp_cert_free(cert);
	digits[0] = hex;
	digits[1] = sub;
	for (c = 0; c < 4; c++) {
		for (i = 0; i < sizeof found / sizeof found[0]; i++) {
			snprintf(subject, sizeof subject, "%s %s", commands_[c],
			    found[i]);
			ask(room, subject);
			assert_outcome(room, DONE, "");
			assert_says(room, "1 key found");
			assert_says(room, "Alice Example");
		}
		for (i = 0; i < sizeof lost / sizeof lost[0]; i++) {
			snprintf(subject, sizeof subject, "%s %s", commands_[c],
			    lost[i]);
			ask(room, subject);
			assert_refused(room, "No matching keys in database\n");
		}
		for (i = 0; i < 2; i++)
			for (n = 8; n <= 40; n += n < 16 ? 8 : 24) {
				snprintf(subject, sizeof subject, "%s 0x%s",
				    commands_[c], digits[i] + 40 - n);
				ask(room, subject);
				assert_outcome(room, DONE, "");
				assert_says(room, "Alice Example");
				snprintf(subject, sizeof subject,
				    "%s %.4s %.4s %s", commands_[c],
				    digits[i] + 40 - n, digits[i] + 44 - n,
				    digits[i] + 48 - n);
				ask(room, subject);
				assert_outcome(room, DONE, "");
				assert_says(room, "Alice Example");
			}
	}
}

static void
test_get_revoked(void **state)
{
	struct forged key = alice;
	struct room *room = *state;

	key.revoked = true;
	put(room, &key);
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 1);
	assert_says(room, "    *** KEY REVOKED ***\n");
}

static void
test_get_expired(void **state)
{
	struct forged key = alice;
	struct room *room = *state;

	key.expires = 86400;
	put(room, &key);
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 1);
	assert_says(room, "    *** KEY EXPIRED 2017/07/15 ***\n");
}

static void
test_get_too_large(void **state)
{
	struct forged key = alice;
	struct room *room = *state;
	char hex[PGP_FPR_HEX];
	struct pgp_cert *cert;
	size_t one;

	key.nextra = 200;
	put(room, &key);
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	one = room->reply.keys_len;
	assert_true(one > 8192);
	room->request.limits.reply_size = one * 5 / 4;
	ask(room, "GET alice@example.org");
	assert_refused(room, "too large");
	assert_says(room, "This one key");
	assert_says(room, "1 key found");
	/* Enough for one, not for two. */
	room->request.limits.max_parts = 1;
	room->request.limits.reply_size = 8192 + one * 2;
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	key.seed = 2;
	put(room, &key);
	ask(room, "GET alice@example.org");
	assert_refused(room, "too large");
	assert_says(room, "2 keys found");
	assert_says(room, "one by one");
	cert = forge(&key);
	assert_non_null(cert);
	assert_says(room, pgp_fpr_hex(pgp_cert_fpr(cert), hex));
	pgp_cert_free(cert);
	/* But for two mails. */
	room->request.limits.max_parts = 2;
	ask(room, "GET alice@example.org");
	assert_outcome(room, DONE, "");
	assert_int_equal(room->reply.nkeys, 2);
}

/* No user ID can begin a line, a header or an armored block. */
static void
test_hostile_userid(void **state)
{
	static const struct forged mallory = {.seed = 6,
	    .created = CREATED,
	    .bits = 1024,
	    .id = {{.text = "mallory\r\nBcc: victim@example.org\r\n\r\n"
			    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\xe2\x80"
			    "\xae"}}};
	static const char *const subjects[] = {
	    "GET mallory", "INDEX mallory", "VINDEX mallory"};
	struct room *room = *state;
	size_t i;

	put(room, &mallory);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_int_equal(room->outcome, DONE);
		assert_says(room, "mallory\\x0D\\x0ABcc: victim");
		assert_says(room, "\\u202E");
		assert_silent(room, "\r");
		assert_silent(room, "\nBcc:");
		assert_silent(room, "\n-----BEGIN");
		assert_silent(room, "\xe2\x80\xae");
	}
}

/* ---- INDEX ---- */

static void
test_index(void **state)
{
	struct forged key = alice;
	struct room *room = *state;
	const char *text;
	char *newer, *older;

	put(room, &alice);
	key.created += 5 * 86400;
	memset(key.subkey, 0, sizeof key.subkey);
	put(room, &key);
	ask(room, "INDEX alice@example.org");
	assert_outcome(room, DONE, "");
	assert_no_keys(room);
	text = room->reply.text_data;
	assert_int_equal(
	    strncmp(text, "Type bits/keyID    Date       User ID\npub  ", 42),
	    0);
	newer = strstr(text, " 2017/07/19 Alice Example ");
	older = strstr(text, " 2017/07/14 Alice Example ");
	assert_non_null(newer);
	assert_non_null(older);
	assert_true(newer < older);
	assert_says(room, "\n2 keys found\n");
	assert_silent(room, "\nsig ");
	assert_silent(room, "\nsub ");
	ask(room, "VERBOSE INDEX alice@example.org");
	assert_outcome(room, DONE, "");
	assert_says(room, "\nsig ");
	assert_says(room, "\nsub ");
}

/* Newest creation first, whatever the store's order; GET likewise. */
static void
test_order(void **state)
{
	static const char *const days[] = {" 2017/07/19 Alice",
	    " 2017/07/18 Alice", " 2017/07/17 Alice", " 2017/07/16 Alice",
	    " 2017/07/15 Alice", " 2017/07/14 Alice"};
	struct forged key[6];
	const struct forged *newest[6];
	struct room *room = *state;
	const char *s;
	unsigned i;

	room->request.limits.max_reply_keys = 6;
	for (i = 0; i < 6; i++) {
		key[i] = alice;
		key[i].seed = 40 + i;
		key[i].created += i * 86400;
		key[i].subkey[0].created = key[i].created;
		newest[5 - i] = &key[i];
		put(room, &key[i]);
	}
	ask(room, "INDEX alice");
	assert_outcome(room, DONE, "");
	s = room->reply.text_data;
	for (i = 0; i < 6; i++) {
		s = strstr(s, days[i]);
		assert_non_null(s);
	}
	ask(room, "GET alice");
	assert_outcome(room, DONE, "");
	assert_keys(room, newest, 6);
}

static void
test_index_too_large(void **state)
{
	struct forged key = alice;
	struct room *room = *state;
	char hex[PGP_FPR_HEX];
	struct pgp_cert *cert;

	put(room, &alice);
	key.nextra = 20;
	key.created++;
	put(room, &key);
	/* Everything fits, then the first key only, then not even that. */
	room->request.limits.reply_size = 20000;
	ask(room, "VINDEX alice@example.org");
	assert_outcome(room, DONE, "");
	assert_silent(room, "too l");
	assert_says(room, "\nsub ");
	room->request.limits.reply_size = 3600;
	ask(room, "INDEX alice@example.org");
	assert_outcome(room, DONE, "");
	assert_says(room, "extra 20");
	assert_says(room, "[the rest is left out: too long]\n");
	assert_says(room, "Not listed");
	room->request.limits.reply_size = 1000;
	ask(room, "VINDEX alice@example.org");
	assert_outcome(room, DONE, "");
	assert_silent(room, "extra 20");
	assert_silent(room, "\nsub ");
	assert_true(room->reply.text_len < 1000);
	assert_says(room, "[the rest is left out: too long]\n");
	assert_says(room, "\n2 keys found\n");
	assert_says(room, "Not listed");
	cert = forge(&alice);
	assert_non_null(cert);
	assert_says(room, pgp_fpr_hex(pgp_cert_fpr(cert), hex));
	pgp_cert_free(cert);
}

/* ---- ADD ---- */

static void
submit(struct room *room, const struct submission *submissions, size_t n)
{
	room->request.submissions = submissions;
	room->request.nsubmissions = n;
	ask(room, "ADD");
	room->request.submissions = NULL;
	room->request.nsubmissions = 0;
}

static uint64_t
stored(struct room *room)
{
	struct ks_info info;

	assert_int_equal(ks_info(room->store.ks, &info), KS_OK);
	return info.certificates;
}

static void
assert_counts(const struct room *room, unsigned added, unsigned changed,
    unsigned unchanged, unsigned refused)
{
	const struct add_counts *adds = &room->reply.adds;

	assert_int_equal(adds->added, added);
	assert_int_equal(adds->changed, changed);
	assert_int_equal(adds->unchanged, unchanged);
	assert_int_equal(adds->refused, refused);
}

static void
test_add(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *small, *all;
	char hex[PGP_FPR_HEX];

	key.id[1].text = NULL;
	memset(key.subkey, 0, sizeof key.subkey);
	small = forge(&key);
	all = forge(&alice);
	assert_non_null(small);
	assert_non_null(all);
	s.fpr = *pgp_cert_fpr(small);
	s.cert = small;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, pgp_fpr_hex(&s.fpr, hex));
	assert_says(room, "    Alice Example <alice@example.org>\n");
	assert_says(room, "    New key: 1 user ID\n");
	assert_counts(room, 1, 0, 0, 0);
	assert_int_equal(stored(room), 1);
	assert_no_keys(room);
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_counts(room, 0, 0, 1, 0);
	assert_says(room, "    Nothing new\n");
	s.cert = all;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "    Added: 1 user ID, 1 subkey\n");
	assert_counts(room, 0, 1, 0, 0);
	assert_int_equal(stored(room), 1);
	ask(room, "GET alice@example.com");
	assert_keys(room, (const struct forged *const[]){&alice}, 1);
	pgp_cert_free(small);
	pgp_cert_free(all);
}

/* A key that the operators do not want: told so, by ADD and CHECK alike. */
static void
test_add_unwelcome(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert = forge(&alice);
	bool had;

	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	assert_int_equal(ks_block(room->store.ks, &s.fpr, 1), KS_OK);
	submit(room, &s, 1);
	assert_refused(room, "put this key on their");
	assert_counts(room, 0, 0, 0, 1);
	assert_silent(room, "alice@example.org");
	/* The same when it was known before. */
	s.cert = NULL;
	s.standing = KS_BLOCKED;
	submit(room, &s, 1);
	assert_refused(room, "block list");
	assert_int_equal(ks_block(room->store.ks, NULL, 0), KS_OK);
	assert_int_equal(ks_begin(room->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(ks_forget(room->store.ks, &s.fpr, &had), KS_OK);
	assert_int_equal(ks_commit(room->store.ks), KS_OK);
	s.cert = cert;
	submit(room, &s, 1);
	assert_refused(room, "removed this key for good");
	assert_int_equal(stored(room), 0);
	pgp_cert_free(cert);
	key.revoked = true;
	memset(key.id, 0, sizeof key.id);
	memset(key.subkey, 0, sizeof key.subkey);
	cert = forge(&key);
	assert_non_null(cert);
	s.cert = cert;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "*** KEY REVOKED ***");
	assert_says(room, "    New key: 1 revocation\n");
	ask(room, "GET alice@example.org");
	assert_refused(room, "No matching keys");
	pgp_cert_free(cert);
}

/* The words of an answer without what only CHECK says: empty lines, and each
 * part by itself. */
static char *
words_of(const struct room *room)
{
	static const char *const parts[] = {"        ", "    The key itself",
	    "    User ID ", "    Subkey ", "    Also left out"};
	const char *line = strstr(room->reply.text_data, "in your mail:");
	char *out = NULL;
	size_t size, len, i;
	FILE *f = open_memstream(&out, &size);

	assert_non_null(line);
	assert_non_null(f);
	for (; *line != '\0' && strncmp(line, "Nothing of it", 13) != 0;
	     line += len + 1) {
		len = strcspn(line, "\n");
		for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
			if (strncmp(line, parts[i], strlen(parts[i])) == 0)
				break;
		if (len > 0 && i == sizeof parts / sizeof parts[0])
			fprintf(f, "%.*s\n", (int)len, line);
	}
	assert_int_equal(fclose(f), 0);
	return out;
}

/* The words of ADD, and nothing of it stays. */
static void
test_check(void **state)
{
	struct room *room = *state;
	struct submission s[3] = {{.left = {.n = {0}}}};
	struct pgp_cert *cert = forge(&alice);
	char *words, *same;

	assert_non_null(cert);
	s[0].fpr = s[1].fpr = *pgp_cert_fpr(cert);
	s[0].cert = s[1].cert = cert;
	s[0].left.n[PGP_LEFT_NO_SELFSIG] = 3;
	s[2].left.n[PGP_LEFT_UNVERIFIED] = 2;
	room->request.submissions = s;
	room->request.nsubmissions = 3;
	ask(room, "CHECK");
	assert_outcome(room, DONE, "");
	assert_says(room, "Nothing of it was stored: this was a trial.");
	/* The second one finds the first. */
	assert_says(room, "    New key: 2 user IDs, 1 subkey\n");
	assert_says(room, "    Nothing new\n");
	assert_counts(room, 0, 0, 0, 0);
	assert_int_equal(stored(room), 0);
	words = words_of(room);
	ask(room, "GET alice@example.org");
	assert_refused(room, "No matching keys in database\n");
	submit(room, s, 3);
	assert_counts(room, 1, 0, 1, 1);
	same = words_of(room);
	assert_string_equal(words, same);
	free(words);
	free(same);
	room->request.submissions = s + 2;
	room->request.nsubmissions = 1;
	ask(room, "CHECK");
	assert_refused(room, "nor would the Subject ADD");
	room->request.submissions = NULL;
	room->request.nsubmissions = 0;
	pgp_cert_free(cert);
}

static void
part(struct pgp_left_parts *parts, enum pgp_left_reason why, enum pgp_kind kind,
    bool whole, unsigned n, const char *name)
{
	struct pgp_left_part p = {
	    .why = why, .kind = kind, .whole = whole, .n = n};

	p.name = (unsigned char *)strdup(name);
	p.len = strlen(name);
	assert_non_null(p.name);
	assert_true(pgp_left_parts_add(parts, &p));
}

/* Each part: what is new of it, what was left out and why; no user ID leaves
 * its line. */
static void
test_check_parts(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert;

	key.id[1].text = NULL;
	put(room, &key);
	key = alice;
	key.revoked = true;
	cert = forge(&key);
	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	s.left.parts = pgp_left_parts_new();
	assert_non_null(s.left.parts);
	part(s.left.parts, PGP_LEFT_THIRD_PARTY, PGP_USERID, false, 2,
	    "Alice Ex <alice@example.com>");
	part(s.left.parts, PGP_LEFT_UNVERIFIED, PGP_USERID, false, 3,
	    "Mallory\n    User ID Fake <fake@example.org>");
	part(s.left.parts, PGP_LEFT_NO_SELFSIG, PGP_USERID, true, 1,
	    "Mallory\n    User ID Fake <fake@example.org>");
	s.left.n[PGP_LEFT_THIRD_PARTY] = 9;
	s.left.n[PGP_LEFT_UNVERIFIED] = 3;
	s.left.n[PGP_LEFT_NO_SELFSIG] = 1;
	room->request.submissions = &s;
	room->request.nsubmissions = 1;
	ask(room, "CHECK");
	assert_outcome(room, DONE, "");
	assert_says(room, "    Added: 1 user ID, 1 revocation\n");
	assert_says(room, "    The key itself\n"
			  "        stored already, new: 1 revocation\n"
			  "    User ID Alice Ex <alice@example.com>\n"
			  "        new, with 1 signature\n"
			  "        left out: signatures by others: 2\n"
			  "    User ID Alice Example <alice@example.org>\n"
			  "        stored already, nothing new\n"
			  "    Subkey ");
	assert_says(room,
	    "    User ID Mallory\\x0A    User ID Fake <fake@example.org>\n"
	    "        not stored: no valid signature by the key itself is on "
	    "it\n"
	    "        left out: self-signatures that did not verify: 3\n"
	    "    Also left out: signatures by others: 7\n");
	/* Not more than there is room for. */
	room->request.limits.reply_size = 1000;
	ask(room, "CHECK");
	assert_says(room, "this answer is long enough");
	assert_silent(room, "Mallory");
	room->request.submissions = NULL;
	room->request.nsubmissions = 0;
	pgp_left_parts_free(s.left.parts);
	pgp_cert_free(cert);
}

static void
test_add_revocation(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert;

	put(room, &alice);
	key.revoked = true;
	/* The revocation by itself. */
	key.id[0].text = NULL;
	key.subkey[0].pkalgo = 0;
	cert = forge(&key);
	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "    Alice Example <alice@example.org>\n");
	assert_says(room, "*** KEY REVOKED ***\n");
	assert_says(room, "    Added: 1 revocation\n");
	pgp_cert_free(cert);
	/* An old copy does not undo it, nor hide it. */
	cert = forge(&alice);
	assert_non_null(cert);
	s.cert = cert;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "*** KEY REVOKED ***\n");
	assert_says(room, "    Nothing new\n");
	pgp_cert_free(cert);
}

static void
test_add_left_out(void **state)
{
	struct room *room = *state;
	struct submission s[2] = {{.left = {.n = {0}}}};
	struct pgp_cert *cert = forge(&alice);
	char hex[PGP_FPR_HEX];

	assert_non_null(cert);
	s[0].fpr = *pgp_cert_fpr(cert);
	s[0].cert = cert;
	s[0].left.n[PGP_LEFT_NO_SELFSIG] = 3;
	s[0].left.n[PGP_LEFT_DUPLICATE] = 7;
	s[0].left.n[PGP_LEFT_THIRD_PARTY] = 400;
	s[1].fpr.len = 20;
	memset(s[1].fpr.octet, 0xAB, 20);
	s[1].left.n[PGP_LEFT_UNVERIFIED] = 2;
	s[1].left.n[PGP_LEFT_THIRD_PARTY] = 34;
	submit(room, s, 2);
	assert_outcome(room, DONE, "");
	assert_counts(room, 1, 0, 0, 1);
	assert_says(room, pgp_left_text(PGP_LEFT_NO_SELFSIG));
	assert_says(room, ": 3\n");
	assert_silent(room, pgp_left_text(PGP_LEFT_DUPLICATE));
	assert_says(room, "Signatures by others are not kept here: 434");
	assert_says(room, pgp_fpr_hex(&s[1].fpr, hex));
	assert_says(room, "Not stored");
	assert_says(room, pgp_left_text(PGP_LEFT_UNVERIFIED));
	assert_int_equal(stored(room), 1);
	/* The second one alone. */
	submit(room, s + 1, 1);
	assert_refused(room, "Nothing was added.");
	assert_says(room, "gpg --armor --export KEYID");
	/* A block without a key. */
	s[1].fpr.len = 0;
	submit(room, s + 1, 1);
	assert_refused(room, "A block without a key");
	pgp_cert_free(cert);
}

static void
test_add_nothing(void **state)
{
	static const char *const problems[] = {
	    "The armored block in line 12 has no END line."};
	struct room *room = *state;

	ask(room, "ADD");
	assert_refused(room, "No public key was found");
	assert_says(room, "gpg --armor --export KEYID");
	room->request.problems = problems;
	room->request.nproblems = 1;
	ask(room, "ADD");
	assert_refused(room, problems[0]);
	assert_int_equal(stored(room), 0);
}

/* As many problems as blocks fit into a mail do not make an answer of it. */
static void
test_add_problems(void **state)
{
	const char *problems[1000];
	struct room *room = *state;
	size_t i;

	for (i = 0; i < 1000; i++)
		problems[i] = "Bad \n-----BEGIN block\x1b.";
	room->request.problems = problems;
	room->request.nproblems = 1000;
	ask(room, "ADD");
	assert_refused(room, "and 990 more");
	assert_silent(room, "\n-----BEGIN");
	assert_true(room->reply.text_len < 2000);
}

static void
test_add_secret(void **state)
{
	struct room *room = *state;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert = forge(&alice);

	room->request.nsecret = 1;
	ask(room, "ADD");
	assert_refused(room, "SECRET");
	assert_says(room, "exposed");
	assert_says(room, "Nothing of it was stored");
	assert_says(room, "gpg --output revoke.asc --gen-revoke KEYID");
	assert_says(room, "gpg --full-generate-key");
	assert_says(room, "gpg --armor --export KEYID");
	assert_int_equal(stored(room), 0);
	/* Public keys of the same mail are still taken. */
	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "SECRET");
	assert_says(room, "New key");
	assert_int_equal(stored(room), 1);
	pgp_cert_free(cert);
}

static void
test_add_over(void **state)
{
	struct room *room = *state;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert = forge(&alice);

	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	submit(room, &s, 1);
	assert_silent(room, "another mail");
	room->request.nover = 7;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_says(room, "Only the first 50 keys of a mail are taken, 7 ");
	assert_says(room, "another mail");
	pgp_cert_free(cert);
}

/* ---- INCREMENTAL ---- */

static void
submit_sync(struct room *room, const struct submission *s)
{
	room->request.submissions = s;
	room->request.nsubmissions = 1;
	ask(room, "incremental");
	room->request.submissions = NULL;
	room->request.nsubmissions = 0;
}

/* Keeps whom the last change came by. */
static bool
take_sent(void *ctx, const struct ks_entry *entry)
{
	snprintf(ctx, 100, "%s", entry->sent);
	return true;
}

static void
assert_sent(struct room *room, uint64_t after, const char *sent)
{
	char got[100] = "none";

	assert_int_equal(
	    ks_changes(room->store.ks, after, take_sent, got), KS_OK);
	assert_string_equal(got, sent);
}

static void
test_incremental(void **state)
{
	struct room *room = *state;
	struct forged key = alice;
	struct submission s = {.left = {.n = {0}}};
	struct pgp_cert *cert = forge(&alice), *more;
	struct ks_info info;

	assert_non_null(cert);
	s.fpr = *pgp_cert_fpr(cert);
	s.cert = cert;
	room->request.sent = "keys@one.example\nkeys@two.example";
	/* From anybody: nothing is believed. */
	submit_sync(room, &s);
	assert_int_equal(room->outcome, REFUSED);
	assert_int_equal(stored(room), 0);
	/* From a peer. */
	room->request.from_peer = true;
	submit_sync(room, &s);
	assert_int_equal(room->outcome, DONE);
	assert_int_equal(stored(room), 1);
	assert_sent(room, 0, "keys@one.example\nkeys@two.example");
	assert_int_equal(ks_info(room->store.ks, &info), KS_OK);
	/* Nothing new leaves nothing to send on. */
	submit_sync(room, &s);
	assert_int_equal(room->outcome, DONE);
	assert_sent(room, info.serial, "none");
	/* Of an ADD by anybody the field is not believed. */
	room->request.from_peer = false;
	key.nextra = 1;
	more = forge(&key);
	assert_non_null(more);
	s.cert = more;
	submit(room, &s, 1);
	assert_outcome(room, DONE, "");
	assert_sent(room, info.serial, "");
	pgp_cert_free(more);
	pgp_cert_free(cert);
}

/* ---- what asks for a removal ---- */

static void
test_removal(void **state)
{
	static const char *const subjects[] = {"DELETE", "delete 0x12345678",
	    "Remove my key please", "UNSUBSCRIBE", "disable alice@example.org",
	    "Re: REMOVE"};
	struct room *room = *state;
	size_t i;

	put(room, &alice);
	for (i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		ask(room, subjects[i]);
		assert_refused(room, "gpg --output revoke.asc --gen-revoke");
		assert_says(room, "--quick-revoke-uid");
		assert_says(room, "Subject ADD");
		assert_says(room, "\n  admin@example.org\n");
		assert_says(room, "there is none here.");
		assert_int_equal(stored(room), 1);
	}
	room->request.admin = "";
	ask(room, "DELETE");
	assert_says(room, "\n  postmaster@keys.example.org\n");
	ask(room, "REMOVED");
	assert_outcome(room, REFUSED, ", was invalid");
	/* HELP does not list them. */
	ask(room, "HELP");
	assert_silent(room, "UNSUBSCRIBE");
	assert_silent(room, "INCREMENTAL");
}

/* ---- STATS ---- */

static void
test_stats(void **state)
{
	struct room *room = *state;
	const time_t midnight = FORGE_NOW - FORGE_NOW % 86400;

	room->request.version = "1.2";
	ask(room, "STATS");
	assert_outcome(room, DONE, "");
	assert_says(room, "Number of keys:      0\n");
	assert_says(room, "Changed today (UTC): 0\n");
	assert_says(room, "mailkeyd 1.2\n");
	assert_says(room, "Up for:              0 minutes\n");
	put_at(room, &alice, midnight - 1);
	put_at(room, &twin, midnight);
	put_at(room, &other_twin, FORGE_NOW);
	room->request.started = FORGE_NOW - (2 * 86400 + 3600 + 5 * 60 + 59);
	ask(room, "stats");
	assert_outcome(room, DONE, "");
	assert_no_keys(room);
	assert_says(room, "Number of keys:      3\n");
	assert_says(room, "Changed today (UTC): 2\n");
	assert_says(room, "Up for:              2 days 1 hour 5 minutes\n");
	/* A clock that went back. */
	room->request.started = FORGE_NOW + 3600;
	ask(room, "STATS");
	assert_says(room, "Up for:              0 minutes\n");
	ask(room, "STATISTICS");
	assert_outcome(room, REFUSED, ", was invalid");
}

/* ---- keys that gpg made ---- */

static struct pgp_cert *
read_cert(const char *path)
{
	static unsigned char octets[1 << 16];
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;
	size_t len;
	FILE *f;

	if ((f = fopen(path, "rb")) == NULL)
		fail_msg("%s cannot be opened", path);
	len = fread(octets, 1, sizeof octets, f);
	fclose(f);
	assert_int_equal(pgp_cert_parse(octets, len, &pgp_policy_default, true,
			     FORGE_NOW, &left, &cert),
	    PGP_OK);
	return cert;
}

static void
test_real_keys(void **state)
{
	static const struct {
		const char *path, *address, *fpr, *pub, *sub;
	} table[] = {
	    {"tests/keys/checker/rsa.pgp", "rsa@example.org",
		"EAE31E8FE6D19B200586950DD7B97A6AA5F8023A",
		"pub  2048R/A5F8023A 2020/01/01 *** KEY REVOKED ***\n",
		"sub  2048R/AC1355C4"},
	    {"tests/keys/checker/dsa.pgp", "dsa@example.org",
		"453F33F6D8BC97E9299F0C62E18175FD0AA2D470",
		"pub  2048D/0AA2D470 2020/01/01 *** KEY REVOKED ***\n",
		"sub  2048g/D767596B"},
	    {"tests/keys/checker/ed25519.pgp", "ed25519@example.org",
		"22DB8F842C335061F32708712176800ADF8B7647",
		"pub   255E/DF8B7647 2020/01/01 *** KEY REVOKED ***\n",
		"sub   255e/89826468"},
	};
	struct room *room = *state;
	struct pgp_cert *cert;
	char subject[128];
	size_t i;

	for (i = 0; i < sizeof table / sizeof table[0]; i++) {
		cert = read_cert(table[i].path);
		assert_int_equal(
		    tempstore_put(&room->store, cert, FORGE_NOW), KS_OK);
		pgp_cert_free(cert);
		snprintf(subject, sizeof subject, "GET %s", table[i].address);
		ask(room, subject);
		assert_outcome(room, DONE, "");
		assert_int_equal(room->reply.nkeys, 1);
		assert_says(room, table[i].fpr);
		snprintf(subject, sizeof subject, "VINDEX 0x%s", table[i].fpr);
		ask(room, subject);
		assert_outcome(room, DONE, "");
		assert_says(room, table[i].pub);
		assert_says(room, "third ");
		assert_says(room, " [revoked]\n");
		assert_says(room, "\nrev  ");
		assert_says(room, table[i].sub);
	}
}

/* ---- outcomes ---- */

static void
test_outcomes(void **state)
{
	static const struct {
		enum ks_status status;
		enum outcome outcome;
	} table[] = {{KS_OK, DONE}, {KS_NOT_FOUND, REFUSED},
	    {KS_TOO_MANY, REFUSED}, {KS_BAD_QUERY, REFUSED},
	    {KS_BUSY, TRY_LATER}, {KS_FULL, TRY_LATER}, {KS_TOO_NEW, TRY_LATER},
	    {KS_CORRUPT, TRY_LATER}, {KS_IO, TRY_LATER}, {KS_NOMEM, TRY_LATER}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof table / sizeof table[0]; i++)
		assert_int_equal(outcome_of(table[i].status), table[i].outcome);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROOM_TEST(test_help),
	    ROOM_TEST(test_help_nobody),
	    ROOM_TEST(test_invalid),
	    ROOM_TEST(test_no_argument),
	    ROOM_TEST(test_literal),
	    ROOM_TEST(test_not_found),
	    ROOM_TEST(test_bad_query),
	    ROOM_TEST(test_argument_escaped),
	    ROOM_TEST(test_too_many),
	    ROOM_TEST(test_get),
	    ROOM_TEST(test_get_exact),
	    ROOM_TEST(test_get_short),
	    ROOM_TEST(test_get_bare_word),
	    ROOM_TEST(test_get_taken_over),
	    ROOM_TEST(test_forms),
	    ROOM_TEST(test_get_revoked),
	    ROOM_TEST(test_get_expired),
	    ROOM_TEST(test_get_too_large),
	    ROOM_TEST(test_hostile_userid),
	    ROOM_TEST(test_index),
	    ROOM_TEST(test_order),
	    ROOM_TEST(test_index_too_large),
	    ROOM_TEST(test_add),
	    ROOM_TEST(test_add_unwelcome),
	    ROOM_TEST(test_check),
	    ROOM_TEST(test_check_parts),
	    ROOM_TEST(test_add_revocation),
	    ROOM_TEST(test_add_left_out),
	    ROOM_TEST(test_add_nothing),
	    ROOM_TEST(test_add_problems),
	    ROOM_TEST(test_add_secret),
	    ROOM_TEST(test_add_over),
	    ROOM_TEST(test_incremental),
	    ROOM_TEST(test_removal),
	    ROOM_TEST(test_stats),
	    ROOM_TEST(test_real_keys),
	    cmocka_unit_test(test_outcomes),
	};

	return cmocka_run_group_tests_name("handlers", tests, NULL, NULL);
}
