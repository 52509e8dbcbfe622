/*
 * Sync mails that come in: whose they are, and what a peer may bring.
 */
#include "mailkeyd/sync_in.h"
#include "mailkeyd/etiquette.h"
#include "tests/unit/store.h"

#define PEER	 "keys@alfa.example"
#define FROM_OK	 "maint@beta.example"
#define STRANGER "eve@example.net"

static struct config_peer peers[] = {
    {.title = (char *)"alfa",
	.address = (char *)PEER,
	.sender = (char *)PEER,
	.message_size = 3000,
	.keys_per_mail = 5000},
    {.title = (char *)"beta",
	.address = (char *)"keys@beta.example",
	.sender = (char *)FROM_OK,
	.header_from = 1,
	.message_size = 9000,
	.keys_per_mail = 4},
};

static struct config config = {.address = (char *)"keys@example.org",
    .peer = peers,
    .npeer = 2,
    .limits = {.mail = {.message_size = 1000}, .keys_per_mail = 3}};

static const struct {
	const char *subject, *sender, *from;
	unsigned nfrom;
	int peer; /* -1: no sync mail */
} mails[] = {
    {"incremental", PEER, PEER, 1, 0},
    {"INCREMENTAL", "Keys@Alfa.Example", "x@y.example", 1, 0},
    {" Incremental ", PEER, NULL, 0, 0},
    {"incremental", STRANGER, PEER, 1, -1}, /* From is free to forge */
    {"incremental", "", PEER, 1, -1},
    {"incremental", NULL, PEER, 1, -1},
    {"incremental", "keys+x@alfa.example", PEER, 1, -1},
    {"incremental", STRANGER, FROM_OK, 1, 1},
    {"incremental", "", FROM_OK, 1, 1},
    {"incremental", NULL, "MAINT@beta.example", 1, 1},
    {"incremental", FROM_OK, STRANGER, 1, 1},
    {"incremental", STRANGER, "keys@beta.example", 1, -1},
    {"Incremental update of your mailbox", PEER, PEER, 1, -1},
    {"ADD", PEER, NULL, 0, 0},	/* Hockeypuck */
    {"ADD", PEER, NULL, 1, -1}, /* a From that cannot be read */
    {"ADD", PEER, PEER, 1, -1},
    {"ADD", STRANGER, NULL, 0, -1},
    {"ADD", "", FROM_OK, 1, -1},
    {"GET 0x12345678", PEER, NULL, 0, -1},
    {"HELP", PEER, NULL, 0, -1},
    {"", PEER, NULL, 0, -1},
    {"ADDENDUM", PEER, NULL, 0, -1},
};

static void
knows_peers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
		struct mail mail = {.from = (char *)(uintptr_t)mails[i].from,
		    .nfrom = mails[i].nfrom};
		struct request request = {.word = NULL};
		const struct command *command =
		    request_parse(mails[i].subject, &request);
		const struct config_peer *want =
		    mails[i].peer == -1 ? NULL : &peers[mails[i].peer];

		if (sync_peer_of(&config, &mail, mails[i].sender, command) !=
		    want)
			fail_msg("case %zu", i);
		request_free(&request);
	}
}

static void
reads_with_room(void **state)
{
	(void)state;
	assert_true(sync_may_be(&config, PEER));
	assert_true(sync_may_be(&config, NULL));
	assert_true(sync_may_be(&config, STRANGER)); /* by From */
	peers[1].header_from = 0;
	assert_true(sync_may_be(&config, PEER));
	assert_true(sync_may_be(&config, NULL));
	assert_false(sync_may_be(&config, STRANGER));
	assert_false(sync_may_be(&config, ""));
	peers[1].header_from = 1;
	config.npeer = 0;
	assert_false(sync_may_be(&config, PEER));
	assert_false(sync_may_be(&config, NULL));
	config.npeer = 2;
}

static struct mail
mail_of(size_t ncerts)
{
	struct mail mail = {.verdict = MAIL_SOUND, .ncerts = ncerts};

	mail.certs = calloc(ncerts, sizeof(*mail.certs));
	assert_non_null(mail.certs);
	for (size_t i = 0; i < ncerts; i++) {
		mail.certs[i].packets.data = malloc(1);
		mail.certs[i].packets.len = 1;
	}
	return mail;
}

static const struct {
	int peer;
	size_t size, ncerts, kept;
	enum mail_verdict verdict;
} sizes[] = {
    {-1, 1000, 3, 3, MAIL_SOUND},
    {-1, 1000, 4, 3, MAIL_SOUND},
    {-1, 1001, 3, 3, MAIL_OVER},
    {0, 3000, 5000, 5000, MAIL_SOUND},
    {0, 3000, 5002, 5000, MAIL_SOUND},
    {0, 3001, 1, 1, MAIL_OVER},
    {1, 9000, 1, 1, MAIL_SOUND},
    {1, 9001, 1, 1, MAIL_OVER},
    {1, 9000, 4, 4, MAIL_SOUND},
    {1, 9000, 5, 4, MAIL_SOUND},
};

static void
holds_to_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mail mail = mail_of(sizes[i].ncerts);
		const struct config_peer *peer =
		    sizes[i].peer == -1 ? NULL : &peers[sizes[i].peer];

		assert_int_equal(
		    sync_limit(&config, peer, sizes[i].size, &mail), 0);
		assert_int_equal(mail.verdict, sizes[i].verdict);
		assert_int_equal(mail.ncerts, sizes[i].kept);
		assert_int_equal(mail.nover, sizes[i].ncerts - sizes[i].kept);
		if (mail.verdict == MAIL_OVER)
			assert_string_equal(mail.why, mail_over_size);
		mail_free(&mail);
	}
}

static bool
spent(struct tempstore *t, int peer, size_t keys, size_t octets, time_t now)
{
	bool answer = false;

	assert_int_equal(sync_budget_get(t->ks, &peers[peer], SYNC_IN, keys,
			     octets, now, &answer),
	    KS_OK);
	return answer;
}

static void
bring(struct tempstore *t, int peer, size_t keys, size_t octets, time_t now)
{
	begin(t);
	assert_int_equal(
	    sync_budget_add(t->ks, &peers[peer], SYNC_IN, keys, octets, now),
	    KS_OK);
	commit(t);
}

static void
counts_the_day(void **state)
{
	struct tempstore *t = *state;

	assert_false(spent(t, 0, 5000, 16 << 20, NOW));
	bring(t, 0, 5000, 1000, NOW);
	assert_false(spent(t, 0, 5000, 1000, NOW + HOUR));
	bring(t, 0, 5000, 1000, NOW + HOUR);
	assert_true(spent(t, 0, 1, 1, NOW + HOUR));
	assert_false(spent(t, 0, 0, 1, NOW + HOUR));
	store_reopen(t);
	assert_true(spent(t, 0, 1, 1, NOW + 2 * HOUR));
	assert_false(spent(t, 1, 5000, 16 << 20, NOW + HOUR)); /* another's */
	assert_false(spent(t, 0, 5000, 1, NOW + 24 * HOUR));
	assert_true(spent(t, 0, 5001, 1, NOW + 24 * HOUR));
	assert_false(spent(t, 0, 10000, 1, NOW + 26 * HOUR));
}

static void
counts_octets(void **state)
{
	struct tempstore *t = *state;

	for (int i = 0; i < 10; i++) {
		assert_false(spent(t, 1, 1, 10 << 20, NOW));
		bring(t, 1, 1, 10 << 20, NOW);
	}
	assert_true(spent(t, 1, 1, 1, NOW));
}

/* What of the rules is left for sync mails. */
static void
is_polite(void **state)
{
	struct mail mail = {.nfrom = 1,
	    .nsubject = 1,
	    .list = true,
	    .nreceived = 25,
	    .precedence = (char *)"list",
	    .auto_submitted = (char *)"auto-generated",
	    .x_loop = (char *)"keys@example.org"};

	(void)state;
	assert_null(etiquette_sync(&mail));
	mail.nreceived = 26;
	assert_string_equal(etiquette_sync(&mail), "too many Received fields");
	mail.nreceived = 0;
	mail.nfrom = 2;
	assert_string_equal(etiquette_sync(&mail), "two From fields");
	mail.nfrom = 0;
	mail.nsubject = 2;
	assert_string_equal(etiquette_sync(&mail), "two Subject fields");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(knows_peers),
	    cmocka_unit_test(reads_with_room),
	    cmocka_unit_test(holds_to_limits), store_test(counts_the_day),
	    store_test(counts_octets), cmocka_unit_test(is_polite)};

	return cmocka_run_group_tests_name("sync_in", tests, NULL, NULL);
}
