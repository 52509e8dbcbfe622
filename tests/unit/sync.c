/*
 * Sync mails: lists of servers, the form of the mail, and windows of the
 * change log that move a peer's position only when they were handed over.
 */
#include "mailkeyd/sync.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync_in.h"
#include "mailkeyd/sync_window.h"
#include "tests/unit/store.h"

#define US   "keys@example.org"
#define ALFA "Keys@alfa.example"
#define BETA "keys@beta.example"

static time_t ahead; /* the clock is */

/* Takes the place of the C library's. */
time_t
time(time_t *t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += ahead;
	if (t != NULL)
		*t = now.tv_sec;
	return now.tv_sec;
}

/* ---- lists of servers ---------------------------------------------------- */

static const struct {
	const char *list, *address;
	bool has;
} lists[] = {
    {"", BETA, false},
    {NULL, BETA, false},
    {"keys@beta.example", BETA, true},
    {"KEYS@Beta.Example", BETA, true},
    {"keys@beta.example ", BETA, true},
    {" \tkeys@beta.example\t", BETA, true},
    {"keys@ beta.example", BETA, true},
    {"a@b\nkeys@beta.example \nc@d", BETA, true},
    {"a@b\n c@d\n\nkeys@beta.example", BETA, true},
    {"keys@beta.example.org", BETA, false},
    {"pgp-keys@beta.example", BETA, false},
    {"keys@beta.exampl", BETA, false},
    {"a@b\nkeys@beta\n.example", BETA, false},
    {"\n\n", BETA, false},
};

static void
finds_in_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (sync_sent_has(lists[i].list, lists[i].address) !=
		    lists[i].has)
			fail_msg("list %zu", i);
}

static const struct {
	const char *list, *peer, *want;
} origins[] = {
    {NULL, BETA, BETA},
    {"", BETA, BETA},
    {"a@b", BETA, "a@b\n" BETA},
    {"a@b\nKeys@Beta.example ", BETA, "a@b\nKeys@Beta.example"},
    {" a@b \n\nA@B\n\t\nc@d\nc @d", BETA, "a@b\nc@d\n" BETA},
    {US "\na@b", BETA, US "\na@b\n" BETA},
};

static void
keeps_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		char *got = sync_sent_of(origins[i].list, origins[i].peer);

		assert_non_null(got);
		assert_string_equal(got, origins[i].want);
		free(got);
	}
}

/* ---- the mail ------------------------------------------------------------ */

static void
compose(const char *sent, size_t len, struct pgp_blob *out)
{
	static const unsigned char octets[100000] = {0x99};
	struct sync_mail mail = {.from = US,
	    .to = BETA,
	    .sent = sent,
	    .keys = octets,
	    .keys_len = len,
	    .date = NOW};

	assert_int_equal(sync_mail_compose(&mail, out), 0);
	assert_true(out->len <= sync_mail_size(sent, len));
}

/* The order of the fields is what the oldest peers need. */
static void
has_the_form(void **state)
{
	static const char head[] = "To: " BETA "\r\n"
				   "From: " US "\r\n"
				   "Subject: incremental\r\n"
				   "X-KeyServer-Sent: a@b\r\n"
				   "X-KeyServer-Sent: Keys@alfa.example\r\n"
				   "X-KeyServer-Sent: " US "\r\n"
				   "Precedence: list\r\n"
				   "MIME-Version: 1.0\r\n"
				   "Content-Type: application/pgp-keys\r\n"
				   "Content-Transfer-Encoding: 7bit\r\n"
				   "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
				   "Message-ID: <";
	static const char body[] = "@example.org>\r\n\r\n"
				   "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n";
	static const char end[] = "\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n";
	/* our own, wherever it stood, stands last and once */
	const char *sent = "a@b \n KEYS@example.org\nKeys@alfa.example\n" US;
	struct pgp_blob mail;

	(void)state;
	compose(sent, 5000, &mail);
	assert_true(mail.len > sizeof(head) + sizeof(body) + sizeof(end));
	assert_memory_equal(mail.data, head, sizeof(head) - 1);
	assert_memory_equal(
	    mail.data + sizeof(head) - 1 + 32, body, sizeof(body) - 1);
	assert_memory_equal(
	    mail.data + mail.len - (sizeof(end) - 1), end, sizeof(end) - 1);
	for (size_t i = 0, column = 0; i < mail.len; i++) {
		assert_true(mail.data[i] < 0x7f);
		assert_true((mail.data[i] == '\n') ==
			    (i > 0 && mail.data[i - 1] == '\r'));
		column = mail.data[i] == '\n' ? 0 : column + 1;
		assert_true(column < 77);
	}
	pgp_blob_free(&mail, false);
}

static void
knows_its_size(void **state)
{
	struct pgp_blob mail;

	(void)state;
	for (size_t len = 1; len < 100000; len = len * 3 / 2 + 1) {
		compose("", len, &mail);
		pgp_blob_free(&mail, false);
		compose("a@b\na\nc\nd\nefghi@jklmno", len, &mail);
		pgp_blob_free(&mail, false);
	}
}

/* ---- windows ------------------------------------------------------------- */

struct server {
	struct tempstore store;
	struct config_peer peer[2];
	struct config config;
	struct loop *loop;
	struct loop_timer *stop;
	struct sync *sync;
	unsigned queued;
};

static void
on_queued(void *ctx)
{
	((struct server *)ctx)->queued++;
}

static void
on_stop(void *ctx)
{
	loop_stop(ctx);
}

/* Gives it some turns of the loop. */
static void
turn(struct server *s)
{
	for (int i = 0; i < 3; i++) {
		loop_timer_set(s->stop, 15);
		assert_int_equal(loop_run(s->loop), 0);
	}
}

static void
start(struct server *s)
{
	s->sync = sync_new(s->loop, &s->config, s->store.ks, on_queued, s);
	assert_non_null(s->sync);
	turn(s);
}

static int
setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	static char us[] = US, alfa[] = ALFA, beta[] = BETA;

	*state = s;
	if (s == NULL || tempstore_open(&s->store) != 0)
		return -1;
	log_open("sync", 0, 0);
	s->config.address = us;
	s->config.peer = s->peer;
	s->config.npeer = 1;
	s->config.limits.max_last = 30;
	s->peer[0] = (struct config_peer){.title = (char *)"alfa",
	    .address = alfa,
	    .mail_size = 1 << 20,
	    .mails_per_hour = 60};
	s->peer[1] = s->peer[0];
	s->peer[1].title = (char *)"beta";
	s->peer[1].address = beta;
	s->loop = loop_new();
	s->stop = loop_timer_new(s->loop, on_stop, s->loop);
	return s->loop == NULL || s->stop == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	struct server *s = *state;
	int ret;

	ahead = 0;
	sync_free(s->sync);
	loop_timer_free(s->stop);
	loop_free(s->loop);
	ret = tempstore_close(&s->store);
	free(s);
	return ret;
}

static void
put(struct server *s, const struct pgp_cert *cert, const char *sent)
{
	const struct ks_origin origin = {.now = time(NULL), .sent = sent};
	enum ks_change change;
	struct pgp_added added;

	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_ADD), KS_OK);
	assert_int_equal(
	    ks_put(s->store.ks, cert, &origin, &change, &added), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	sync_kick(s->sync);
}

static void
put_new(struct server *s, unsigned number, const char *sent)
{
	struct pgp_cert *cert = store_cert(number, "Somebody", NULL);

	put(s, cert, sent);
	pgp_cert_free(cert);
}

static bool
count_one(void *ctx, const struct outbox_item *item)
{
	(void)item;
	++*(unsigned *)ctx;
	return true;
}

static unsigned
waiting(struct server *s)
{
	unsigned n = 0;

	assert_int_equal(outbox_each(s->store.ks, count_one, &n), KS_OK);
	return n;
}

struct pick {
	const char *peer;
	uint64_t id;
};

static bool
pick_one(void *ctx, const struct outbox_item *item)
{
	struct pick *pick = ctx;

	if (strcmp(item->peer, pick->peer) == 0)
		pick->id = item->id;
	return pick->id == 0;
}

/* Takes a peer's first mail from the outbox, as the despatch does. */
static struct outbox_item
take(struct server *s, const char *peer, bool handed)
{
	struct outbox_item item;
	struct pick pick = {peer, 0};
	time_t now = time(NULL);

	assert_int_equal(outbox_each(s->store.ks, pick_one, &pick), KS_OK);
	assert_int_not_equal(pick.id, 0);
	assert_int_equal(outbox_get(s->store.ks, pick.id, &item), KS_OK);
	assert_true(item.due <= now + 1);
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(outbox_delete(s->store.ks, item.id), KS_OK);
	assert_int_equal(sync_settle(s->store.ks, &item, handed, now), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	sync_kick(s->sync);
	return item;
}

static void
drop(struct server *s, const char *peer, bool handed)
{
	struct outbox_item item = take(s, peer, handed);

	outbox_item_free(&item);
}

static struct ks_peer
position(struct server *s, const char *peer)
{
	struct ks_peer p;

	assert_int_equal(ks_peer_get(s->store.ks, peer, &p), KS_OK);
	return p;
}

/* The packets of a mail. */
static struct pgp_blob
keys_of(const struct outbox_item *item)
{
	struct pgp_armored armored = {.line = 0};
	size_t pos = 0;

	assert_int_equal(pgp_dearmor((const char *)item->message.data,
			     item->message.len, &pos, &armored),
	    PGP_OK);
	assert_int_equal(armored.crc, PGP_CRC_GOOD);
	return armored.blob;
}

static unsigned
count_packets(const struct outbox_item *item, unsigned tag)
{
	struct pgp_blob keys = keys_of(item), joined = {0};
	struct pgp_packet packet;
	unsigned n = 0;
	size_t pos = 0;

	while (pgp_packet_read(keys.data, keys.len, &pos, &joined, &packet) ==
	       PGP_OK)
		n += packet.tag == tag;
	assert_int_equal(pos, keys.len);
	pgp_blob_free(&keys, false);
	pgp_blob_free(&joined, false);
	return n;
}

static bool
holds(const struct outbox_item *item, const char *text)
{
	return memmem(item->message.data, item->message.len, text,
		   strlen(text)) != NULL;
}

static bool
holds_key(const struct outbox_item *item, const char *text)
{
	struct pgp_blob keys = keys_of(item);
	bool found = memmem(keys.data, keys.len, text, strlen(text)) != NULL;

	pgp_blob_free(&keys, false);
	return found;
}

static void
begins_at_the_end(void **state)
{
	struct server *s = *state;

	put_new(s, 1, "");
	start(s);
	assert_int_equal(waiting(s), 0);
	assert_int_equal(position(s, "alfa").handed, 1);
}

static void
moves_when_handed_over(void **state)
{
	struct server *s = *state;
	struct outbox_item item;

	start(s);
	put_new(s, 1, "");
	turn(s);
	assert_int_equal(waiting(s), 1);
	assert_int_equal(s->queued, 1);
	assert_int_equal(position(s, "alfa").handed, 0);
	assert_int_equal(position(s, "alfa").window, 1);
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(waiting(s), 1); /* one window after the other */
	item = take(s, "alfa", true);
	assert_string_equal(item.recipient, ALFA);
	assert_string_equal(item.sender, US);
	assert_int_equal(item.serial, 1);
	assert_int_equal(count_packets(&item, PGP_TAG_PUBLIC_KEY), 1);
	assert_true(holds(&item, "\r\nX-KeyServer-Sent: " US "\r\nPrec"));
	outbox_item_free(&item);
	assert_int_equal(position(s, "alfa").handed, 1);
	turn(s);
	drop(s, "alfa", true);
	turn(s);
	assert_int_equal(waiting(s), 0);
	assert_int_equal(position(s, "alfa").handed, 2);
}

static void
leaves_out_who_has_it(void **state)
{
	struct server *s = *state;
	struct outbox_item item;

	s->config.npeer = 2;
	start(s);
	put_new(s, 1, "x@y\n keys@ALFA.example ");
	turn(s);
	assert_int_equal(waiting(s), 1);
	item = take(s, "beta", true);
	assert_true(holds(&item, "X-KeyServer-Sent: x@y\r\n"
				 "X-KeyServer-Sent: keys@ALFA.example\r\n"
				 "X-KeyServer-Sent: " US "\r\n"));
	outbox_item_free(&item);
	put_new(s, 2, ALFA "\n" BETA);
	turn(s);
	assert_int_equal(waiting(s), 0);
}

static void
keeps_quiet(void **state)
{
	const struct ks_origin origin = {.now = time(NULL), .quiet = true};
	struct server *s = *state;
	struct pgp_cert *cert = store_cert(1, "Somebody", NULL);
	enum ks_change change;
	struct pgp_added added;

	start(s);
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_ADD), KS_OK);
	assert_int_equal(
	    ks_put(s->store.ks, cert, &origin, &change, &added), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	pgp_cert_free(cert);
	sync_kick(s->sync);
	turn(s);
	assert_int_equal(waiting(s), 0);
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(waiting(s), 1);
}

/* What was there before does not go again; nothing new, nothing sent. */
static void
sends_the_difference(void **state)
{
	struct server *s = *state;
	struct pgp_cert *old = store_cert(1, "First", NULL),
			*new = store_cert(1, "First", "Second");
	struct outbox_item item;

	put(s, old, "");
	start(s);
	put(s, new, "");
	turn(s);
	item = take(s, "alfa", true);
	assert_int_equal(count_packets(&item, PGP_TAG_PUBLIC_KEY), 1);
	assert_int_equal(count_packets(&item, PGP_TAG_USERID), 1);
	assert_true(holds_key(&item, "Second"));
	assert_false(holds_key(&item, "First"));
	outbox_item_free(&item);
	put(s, new, "");
	put(s, old, BETA);
	turn(s);
	assert_int_equal(waiting(s), 0);
	pgp_cert_free(old);
	pgp_cert_free(new);
}

/* Two changes of one certificate, the second while the first waits: once. */
static void
joins_changes(void **state)
{
	struct server *s = *state;
	struct pgp_cert *cert[3] = {store_cert(1, "First", NULL),
	    store_cert(1, "First", "Second"), store_cert(1, "Third", NULL)};
	struct outbox_item item;

	put(s, cert[0], "");
	start(s);
	put(s, cert[1], "");
	put(s, cert[2], "");
	turn(s);
	assert_int_equal(waiting(s), 1);
	item = take(s, "alfa", true);
	assert_int_equal(count_packets(&item, PGP_TAG_PUBLIC_KEY), 1);
	assert_int_equal(count_packets(&item, PGP_TAG_USERID), 2);
	assert_false(holds_key(&item, "First"));
	outbox_item_free(&item);
	for (int i = 0; i < 3; i++)
		pgp_cert_free(cert[i]);
}

/* Under a joined list the next server would leave out whom it should not. */
static void
joins_no_lists(void **state)
{
	struct server *s = *state;
	struct outbox_item item;
	unsigned seen = 0;

	start(s);
	put_new(s, 1, "a@b");
	put_new(s, 2, "");
	put_new(s, 3, "a@b");
	put_new(s, 4, "c@d");
	put_new(s, 5, "a@b\nc@d");
	turn(s);
	assert_int_equal(waiting(s), 4);
	assert_int_equal(position(s, "alfa").waiting, 4);
	for (unsigned i = 4; i > 0; i--) {
		assert_int_equal(position(s, "alfa").handed, 0);
		assert_int_equal(position(s, "alfa").waiting, i);
		item = take(s, "alfa", true);
		seen += count_packets(&item, PGP_TAG_PUBLIC_KEY);
		if (holds(&item, "Sent: a@b\r\n") && !holds(&item, "c@d"))
			assert_int_equal(
			    count_packets(&item, PGP_TAG_PUBLIC_KEY), 2);
		outbox_item_free(&item);
	}
	assert_int_equal(seen, 5);
	assert_int_equal(position(s, "alfa").handed, 5);
}

static void
respects_the_size(void **state)
{
	struct server *s = *state;
	struct outbox_item item;
	unsigned seen = 0, mails = 0;

	s->peer[0].mail_size = 16384;
	start(s);
	for (unsigned i = 1; i <= 200; i++)
		put_new(s, i, "");
	turn(s);
	while (waiting(s) > 0) {
		item = take(s, "alfa", true);
		assert_true(item.message.len <= 16384);
		seen += count_packets(&item, PGP_TAG_PUBLIC_KEY);
		mails++;
		outbox_item_free(&item);
		turn(s);
	}
	assert_int_equal(seen, 200);
	assert_true(mails > 2 && mails < 20);
	assert_int_equal(position(s, "alfa").handed, 200);
}

/* Takes the next mail that comes; false: the peer has all up to `serial`. */
static bool
next_mail(struct server *s, uint64_t serial, struct outbox_item *item)
{
	for (int i = 0; i < 1000; i++) {
		if (waiting(s) > 0) {
			*item = take(s, "alfa", true);
			return true;
		}
		if (position(s, "alfa").handed >= serial)
			return false;
		turn(s);
	}
	fail_msg("no mail");
	return false;
}

static void
receive_cert(struct tempstore *there, const unsigned char *packets, size_t len)
{
	struct pgp_left_out left = {0};
	struct pgp_cert *cert;

	assert_int_equal(pgp_cert_parse(packets, len, &pgp_policy_default,
			     PGP_VERIFIED, FORGE_NOW, &left, &cert),
	    PGP_OK);
	assert_int_equal(tempstore_put(there, cert, NOW), KS_OK);
	pgp_cert_free(cert);
}

/* Stores what a peer's mail brings in another store. */
static void
receive(struct tempstore *there, const struct outbox_item *item)
{
	struct pgp_blob keys = keys_of(item), joined = {0};
	size_t pos = 0, from = 0, at = 0;
	struct pgp_packet packet;

	while (pgp_packet_read(keys.data, keys.len, &pos, &joined, &packet) ==
	       PGP_OK) {
		if (packet.tag == PGP_TAG_PUBLIC_KEY && at > from) {
			receive_cert(there, keys.data + from, at - from);
			from = at;
		}
		at = pos;
	}
	receive_cert(there, keys.data + from, at - from);
	pgp_blob_free(&joined, false);
	pgp_blob_free(&keys, false);
}

static void
assert_same(
    struct tempstore *here, struct tempstore *there, const struct pgp_fpr *fpr)
{
	struct pgp_blob a, b;

	assert_int_equal(store_octets(here->ks, fpr, &a), KS_OK);
	assert_int_equal(store_octets(there->ks, fpr, &b), KS_OK);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	pgp_blob_free(&a, false);
	pgp_blob_free(&b, false);
}

/* What is too large for a mail goes in several, each of which stands by
 * itself: new certificates and changes. */
static void
splits_what_is_too_large(void **state)
{
	struct server *s = *state;
	struct tempstore there;
	struct outbox_item item;
	struct forged what = {.seed = 1,
	    .created = 1500000000,
	    .bits = 512,
	    .id = {{.text = "Large"}},
	    .subkey = {{1, 512, 1500000001, 0, 0x0C, false}}};
	struct pgp_cert *large;
	unsigned mails;

	assert_int_equal(tempstore_open(&there), 0);
	s->peer[0].mail_size = 8192;
	start(s);
	for (unsigned round = 0; round < 2; round++) {
		what.nextra += 125;
		large = forge(&what);
		assert_non_null(large);
		put(s, large, "a@b");
		put_new(s, 7 + round, "");
		mails = 0;
		while (next_mail(s, 2 * (round + 1), &item)) {
			assert_true(item.message.len <= 8192);
			receive(&there, &item);
			mails++;
			outbox_item_free(&item);
		}
		assert_true(mails > 2 && mails < 9);
		assert_int_equal(position(s, "alfa").handed, 2 * (round + 1));
		assert_same(&s->store, &there, pgp_cert_fpr(large));
		pgp_cert_free(large);
	}
	assert_int_equal(tempstore_close(&there), 0);
}

/* Two changes of one certificate with one list, of which both would be too
 * much. */
static void
joins_what_fits(void **state)
{
	struct server *s = *state;
	struct tempstore there;
	struct outbox_item item;
	struct forged what = {.seed = 1,
	    .created = 1500000000,
	    .bits = 512,
	    .nextra = 50,
	    .id = {{.text = "Large"}}};
	struct pgp_cert *large = forge(&what);
	unsigned mails = 0;

	assert_int_equal(tempstore_open(&there), 0);
	assert_non_null(large);
	s->peer[0].mail_size = 8192;
	start(s);
	put(s, large, "");
	pgp_cert_free(large);
	what.nextra = 90;
	large = forge(&what);
	assert_non_null(large);
	put(s, large, "");
	while (next_mail(s, 2, &item)) {
		assert_true(item.message.len <= 8192);
		receive(&there, &item);
		outbox_item_free(&item);
		mails++;
	}
	assert_int_equal(mails, 2);
	assert_same(&s->store, &there, pgp_cert_fpr(large));
	pgp_cert_free(large);
	assert_int_equal(tempstore_close(&there), 0);
}

/* As if so much had been sent to it in this hour. */
static void
send_already(struct server *s, size_t peer, size_t keys, size_t octets)
{
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(sync_budget_add(s->store.ks, &s->peer[peer], SYNC_OUT,
			     keys, octets, time(NULL)),
	    KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
}

static bool
says(struct server *s, const char *text)
{
	char *said = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&said, &len);
	bool found;

	assert_non_null(f);
	assert_int_equal(sync_print(s->sync, f), KS_OK);
	assert_int_equal(fclose(f), 0);
	found = strstr(said, text) != NULL;
	free(said);
	return found;
}

/* What another mailkeyd takes in a day, and no more. */
static void
sends_no_more_than_a_day(void **state)
{
	static const struct {
		size_t keys, octets;
		unsigned mails;
	} days[] = {
	    {PEER_KEYS_PER_DAY - WINDOW_KEYS, 0, 2},
	    {PEER_KEYS_PER_DAY - WINDOW_KEYS + 1, 0, 1},
	    {0, PEER_BYTES_PER_DAY - WINDOW_SIZE, 2},
	    {0, PEER_BYTES_PER_DAY - WINDOW_SIZE + 1, 1},
	};

	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		struct server *s;

		assert_int_equal(setup((void **)&s), 0);
		s->config.npeer = 2;
		start(s);
		send_already(s, 0, days[i].keys, days[i].octets);
		put_new(s, 1, "");
		turn(s);
		assert_int_equal(waiting(s), days[i].mails);
		assert_int_equal(sync_now(s->sync), KS_OK);
		turn(s);
		assert_int_equal(waiting(s), days[i].mails);
		assert_int_equal(
		    says(s, "was sent what may go"), days[i].mails == 1);
		assert_int_equal(teardown((void **)&s), 0);
	}
	(void)state;
}

/* The mails themselves count: what they are, and in one window not more than
 * may be. */
static void
counts_what_it_sends(void **state)
{
	struct server *s = *state;
	struct outbox_item item;
	size_t octets = 0, mails = 0;
	bool spent;

	start(s);
	for (unsigned i = 0; i <= WINDOW_KEYS; i++)
		put_new(s, 1 + i, "");
	while (next_mail(s, WINDOW_KEYS + 1, &item)) {
		assert_true(
		    count_packets(&item, PGP_TAG_PUBLIC_KEY) <= WINDOW_KEYS);
		octets += item.message.len;
		mails++;
		outbox_item_free(&item);
	}
	assert_true(mails > 1);
	assert_int_equal(
	    sync_budget_get(s->store.ks, &s->peer[0], SYNC_OUT,
		PEER_KEYS_PER_DAY - WINDOW_KEYS - 1, 0, time(NULL), &spent),
	    KS_OK);
	assert_false(spent);
	assert_int_equal(
	    sync_budget_get(s->store.ks, &s->peer[0], SYNC_OUT,
		PEER_KEYS_PER_DAY - WINDOW_KEYS, 0, time(NULL), &spent),
	    KS_OK);
	assert_true(spent);
	assert_int_equal(
	    sync_budget_get(s->store.ks, &s->peer[0], SYNC_OUT, 0,
		PEER_BYTES_PER_DAY - octets + 1, time(NULL), &spent),
	    KS_OK);
	assert_true(spent);
}

struct dues {
	time_t hour;
	unsigned n[4]; /* in this hour, the next one ... */
};

static bool
due_visit(void *ctx, const struct outbox_item *item)
{
	struct dues *d = ctx;
	time_t i = (item->due - d->hour) / HOUR;

	assert_in_range(i, 0, 3);
	d->n[i]++;
	return true;
}

/* A change in more mails than the hour allows: the rest is due later. */
static void
splits_over_hours(void **state)
{
	struct server *s = *state;
	struct forged what = {.seed = 1,
	    .created = 1500000000,
	    .bits = 512,
	    .nextra = 250,
	    .id = {{.text = "Large"}}};
	struct pgp_cert *large = forge(&what);
	struct dues dues = {0};
	struct ks_peer p;

	assert_non_null(large);
	s->peer[0].mail_size = 8192;
	s->peer[0].mails_per_hour = 2;
	start(s);
	put(s, large, "");
	pgp_cert_free(large);
	for (int i = 0; i < 1000 && waiting(s) == 0; i++)
		turn(s);
	p = position(s, "alfa");
	assert_in_range(p.waiting, 3, 8);
	dues.hour = p.hour - HOUR * ((p.waiting - 1) / 2);
	assert_in_range((time_t)time(NULL) - dues.hour, 0, 2 * HOUR); /* now */
	assert_int_equal(outbox_each(s->store.ks, due_visit, &dues), KS_OK);
	for (unsigned i = 0; i < p.waiting; i += 2)
		assert_int_equal(
		    dues.n[i / 2], p.waiting - i >= 2 ? 2 : p.waiting - i);
	assert_int_equal(p.mails, p.waiting % 2 == 0 ? 2 : 1);
}

/* What cannot be split holds nothing up. */
static void
leaves_out_what_is_too_large(void **state)
{
	struct server *s = *state;
	struct forged what = {.seed = 1,
	    .created = 1500000000,
	    .bits = 65528,
	    .id = {{.text = "Large"}}};
	struct pgp_cert *large = forge(&what);

	s->peer[0].mail_size = 8192;
	start(s);
	assert_non_null(large);
	put(s, large, "");
	pgp_cert_free(large);
	turn(s);
	assert_int_equal(waiting(s), 0);
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(waiting(s), 1);
	drop(s, "alfa", true);
	assert_int_equal(position(s, "alfa").handed, 2);
}

/* A window that is half made is made again for the peers of the new
 * configuration. */
static void
reloads_in_the_middle(void **state)
{
	struct server *s = *state;
	struct outbox_item item;
	unsigned seen = 0;

	start(s);
	for (unsigned i = 1; i <= 1000; i++)
		put_new(s, i, "");
	/* One round of the loop, in which there is not time for all. */
	loop_timer_set(s->stop, 0);
	assert_int_equal(loop_run(s->loop), 0);
	s->peer[0].mail_size = 65536;
	sync_reload(s->sync);
	while (next_mail(s, 1000, &item)) {
		assert_true(item.message.len <= 65536);
		seen += count_packets(&item, PGP_TAG_PUBLIC_KEY);
		outbox_item_free(&item);
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(position(s, "alfa").handed, 1000);
}

/* The operator gives up what a peer refuses each time. */
static void
skips(void **state)
{
	struct server *s = *state;
	uint64_t n = 0;

	start(s);
	assert_int_equal(sync_skip(s->sync, "alfa", &n), KS_NOT_FOUND);
	assert_int_equal(sync_skip(s->sync, "gamma", &n), KS_BAD_QUERY);
	put_new(s, 1, "");
	put_new(s, 2, "a@b");
	turn(s);
	/* Given up, and not yet made again. */
	drop(s, "alfa", false);
	drop(s, "alfa", false);
	put_new(s, 3, "");
	turn(s);
	assert_int_equal(waiting(s), 0);
	assert_int_equal(sync_skip(s->sync, "alfa", &n), KS_OK);
	assert_int_equal(n, 2);
	assert_int_equal(position(s, "alfa").handed, 2);
	turn(s);
	assert_int_equal(waiting(s), 1);
	/* Under way: what becomes of its mail no longer counts. */
	assert_int_equal(sync_skip(s->sync, "alfa", &n), KS_OK);
	assert_int_equal(n, 1);
	assert_int_equal(position(s, "alfa").handed, 3);
	drop(s, "alfa", false);
	assert_int_equal(position(s, "alfa").again, 0);
	assert_int_equal(sync_skip(s->sync, "alfa", &n), KS_NOT_FOUND);
	put_new(s, 4, "");
	turn(s);
	drop(s, "alfa", true);
	assert_int_equal(position(s, "alfa").handed, 4);
}

static void
respects_the_hour(void **state)
{
	struct server *s = *state;
	struct ks_peer p;

	s->peer[0].mails_per_hour = 2;
	start(s);
	put_new(s, 1, "");
	put_new(s, 2, "a@b");
	put_new(s, 3, "c@d");
	put_new(s, 4, "");
	turn(s);
	assert_int_equal(waiting(s), 2);
	assert_int_equal(position(s, "alfa").window, 2);
	drop(s, "alfa", true);
	drop(s, "alfa", true);
	turn(s);
	assert_int_equal(waiting(s), 0);
	assert_int_equal(sync_now(s->sync), KS_OK);
	turn(s);
	if (position(s, "alfa").hour == time(NULL) / HOUR * HOUR)
		assert_int_equal(waiting(s), 0);
	/* the hour has passed */
	p = position(s, "alfa");
	p.hour -= HOUR;
	sync_free(s->sync);
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(ks_peer_put(s->store.ks, "alfa", &p), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	start(s);
	assert_int_equal(waiting(s), 2);
	assert_int_equal(position(s, "alfa").window, 4);
}

static void
gathers(void **state)
{
	struct server *s = *state;

	s->peer[0].gather = 3600;
	start(s);
	put_new(s, 1, "");
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(waiting(s), 0);
	assert_int_equal(sync_now(s->sync), KS_OK);
	turn(s);
	assert_int_equal(waiting(s), 1);
	drop(s, "alfa", true);
	put_new(s, 3, "");
	turn(s);
	assert_int_equal(waiting(s), 0);
}

/* The clock was ahead, and is set back while a change waits. */
static void
gathers_by_the_right_clock(void **state)
{
	struct server *s = *state;

	s->peer[0].gather = HOUR;
	ahead = 24 * HOUR;
	start(s);
	put_new(s, 1, "");
	turn(s);
	for (ahead = 0; ahead <= HOUR; ahead += HOUR / 2) {
		assert_int_equal(waiting(s), 0);
		sync_kick(s->sync);
		turn(s);
	}
	assert_int_equal(waiting(s), 1);
}

/* An old change has gathered for long enough; the younger ones go along. */
static void
gathers_from_the_oldest(void **state)
{
	struct server *s = *state;
	struct pgp_cert *cert = store_cert(1, "Somebody", NULL);
	struct outbox_item item;

	s->peer[0].gather = 3600;
	start(s);
	assert_int_equal(
	    tempstore_put(&s->store, cert, time(NULL) - 3601), KS_OK);
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(waiting(s), 1);
	item = take(s, "alfa", true);
	assert_int_equal(count_packets(&item, PGP_TAG_PUBLIC_KEY), 2);
	outbox_item_free(&item);
	pgp_cert_free(cert);
}

static void
makes_a_window_again(void **state)
{
	struct server *s = *state;

	start(s);
	put_new(s, 1, "");
	put_new(s, 2, "a@b");
	turn(s);
	assert_int_equal(waiting(s), 2);
	drop(s, "alfa", false);
	drop(s, "alfa", true);
	assert_int_equal(position(s, "alfa").handed, 0);
	assert_true(position(s, "alfa").again > time(NULL) + HOUR);
	put_new(s, 3, "");
	turn(s);
	assert_int_equal(waiting(s), 0); /* not yet */
	assert_int_equal(sync_now(s->sync), KS_OK);
	turn(s);
	assert_int_equal(waiting(s), 2);
	assert_int_equal(position(s, "alfa").window, 3);
	drop(s, "alfa", true);
	drop(s, "alfa", true);
	assert_int_equal(position(s, "alfa").handed, 3);
}

/* Refused again and again: each time it was asked for, one try. */
static void
is_in_no_hurry_after_a_refusal(void **state)
{
	struct server *s = *state;

	start(s);
	put_new(s, 1, "");
	turn(s);
	for (int i = 0; i < 3; i++) {
		drop(s, "alfa", false);
		turn(s);
		assert_int_equal(waiting(s), 0);
		assert_int_equal(sync_now(s->sync), KS_OK);
		turn(s);
		assert_int_equal(waiting(s), 1);
	}
}

/* Put off by a clock that was a year ahead. */
static void
does_not_wait_for_a_wrong_clock(void **state)
{
	struct server *s = *state;
	struct ks_peer p;

	start(s);
	put_new(s, 1, "");
	turn(s);
	drop(s, "alfa", false);
	turn(s);
	assert_int_equal(waiting(s), 0);
	p = position(s, "alfa");
	p.again += 365 * 24 * HOUR;
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(ks_peer_put(s->store.ks, "alfa", &p), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	sync_free(s->sync);
	start(s);
	assert_int_equal(waiting(s), 1);
}

static void
goes_on_after_a_restart(void **state)
{
	struct server *s = *state;
	struct outbox_item item = {.id = 0};
	struct pick pick = {"alfa", 0};

	start(s);
	put_new(s, 1, "");
	turn(s);
	assert_int_equal(waiting(s), 1);
	sync_free(s->sync);
	start(s);
	assert_int_equal(waiting(s), 1);
	drop(s, "alfa", true);
	assert_int_equal(position(s, "alfa").handed, 1);
	/* a mail that is lost on another way */
	put_new(s, 2, "");
	turn(s);
	assert_int_equal(outbox_each(s->store.ks, pick_one, &pick), KS_OK);
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(outbox_delete(s->store.ks, pick.id), KS_OK);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	assert_int_equal(waiting(s), 0);
	sync_free(s->sync);
	start(s);
	assert_int_equal(waiting(s), 1);
	item = take(s, "alfa", true);
	assert_int_equal(item.serial, 2);
	outbox_item_free(&item);
	assert_int_equal(position(s, "alfa").handed, 2);
}

static void
holds_up_nobody_else(void **state)
{
	struct server *s = *state;
	struct outbox_item item;

	s->config.npeer = 2;
	start(s);
	put_new(s, 1, "");
	turn(s);
	assert_int_equal(waiting(s), 2);
	drop(s, "beta", true); /* alfa is away */
	for (unsigned i = 2; i < 6; i++) {
		put_new(s, i, "");
		turn(s);
		drop(s, "beta", true);
	}
	assert_int_equal(position(s, "beta").handed, 5);
	assert_int_equal(waiting(s), 1);
	drop(s, "alfa", true); /* it is back */
	turn(s);
	item = take(s, "alfa", true);
	assert_int_equal(count_packets(&item, PGP_TAG_PUBLIC_KEY), 4);
	outbox_item_free(&item);
	assert_int_equal(position(s, "alfa").handed, 5);
}

/* The change log is thinned up to where the last peer is. */
static void
thins(void **state)
{
	struct server *s = *state;
	struct pgp_cert *cert = store_cert(1, "First", "Second");
	time_t now = time(NULL);
	unsigned removed = 77;

	start(s);
	put_new(s, 1, "");
	put(s, cert, "");
	turn(s);
	pgp_cert_free(cert);
	s->config.limits.max_last = 0;
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(sync_thin(s->sync, now + 5, 100, &removed), KS_OK);
	assert_int_equal(removed, 0);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
	drop(s, "alfa", true);
	turn(s);
	while (waiting(s) > 0) {
		drop(s, "alfa", true);
		turn(s);
	}
	assert_int_equal(ks_begin(s->store.ks, KS_ROOM_NONE), KS_OK);
	assert_int_equal(sync_thin(s->sync, now + 5, 100, &removed), KS_OK);
	assert_int_equal(removed, 1);
	assert_int_equal(ks_commit(s->store.ks), KS_OK);
}

static void
prints(void **state)
{
	struct server *s = *state;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	s->config.npeer = 2;
	start(s);
	put_new(s, 1, BETA);
	turn(s);
	assert_int_equal(sync_print(s->sync, f), KS_OK);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text,
	    "alfa                 Keys@alfa.example: changes behind: 1, mails "
	    "under way: 1\n"
	    "beta                 keys@beta.example: up to date\n");
	free(text);
}

#define server_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_in_lists),
	    cmocka_unit_test(keeps_lists),
	    cmocka_unit_test(has_the_form),
	    cmocka_unit_test(knows_its_size),
	    server_test(begins_at_the_end),
	    server_test(moves_when_handed_over),
	    server_test(leaves_out_who_has_it),
	    server_test(keeps_quiet),
	    server_test(sends_the_difference),
	    server_test(joins_changes),
	    server_test(joins_no_lists),
	    server_test(respects_the_size),
	    server_test(splits_what_is_too_large),
	    server_test(joins_what_fits),
	    server_test(splits_over_hours),
	    server_test(leaves_out_what_is_too_large),
	    server_test(reloads_in_the_middle),
	    server_test(skips),
	    server_test(respects_the_hour),
	    cmocka_unit_test(sends_no_more_than_a_day),
	    server_test(counts_what_it_sends),
	    server_test(gathers),
	    server_test(gathers_by_the_right_clock),
	    server_test(gathers_from_the_oldest),
	    server_test(makes_a_window_again),
	    server_test(does_not_wait_for_a_wrong_clock),
	    server_test(is_in_no_hurry_after_a_refusal),
	    server_test(goes_on_after_a_restart),
	    server_test(holds_up_nobody_else),
	    server_test(thins),
	    server_test(prints),
	};

	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
