/*
 * A test's store, request and answer, and what is asserted of an answer.
 */
#ifndef ROOM_H
#define ROOM_H

#include "handlers/handler.h"
#include "tests/unit/forge.h"
#include "tests/unit/tempstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct room {
	struct tempstore store;
	struct request request;
	struct reply reply;
	enum outcome outcome;
};

static inline int
room_setup(void **state)
{
	struct room *room;

	if ((room = calloc(1, sizeof *room)) == NULL)
		return -1;
	room->request = (struct request){
	    .sender = "somebody@example.org",
	    .address = "keys@keys.example.org",
	    .site = "Example key server",
	    .admin = "admin@example.org",
	    .language = "en",
	    .version = "0.0",
	    .started = FORGE_NOW,
	    .now = FORGE_NOW,
	    .limits = {.max_reply_keys = 3,
		.keys_per_mail = 50,
		.reply_size = 2 << 20,
		.max_parts = 5,
		.max_last = 30,
		.max_last_reply_keys = 5,
		.mget = true},
	    .sent = "",
	};
	*state = room;
	return tempstore_open(&room->store);
}

static inline int
room_teardown(void **state)
{
	struct room *room = *state;
	int r;

	request_free(&room->request);
	reply_free(&room->reply);
	r = tempstore_close(&room->store);
	free(room);
	return r;
}

static inline void
put_at(struct room *room, const struct forged *what, time_t when)
{
	struct pgp_cert *cert = forge(what);

	assert_non_null(cert);
	assert_int_equal(tempstore_put(&room->store, cert, when), KS_OK);
	pgp_cert_free(cert);
}

static inline void
put(struct room *room, const struct forged *what)
{
	put_at(room, what, FORGE_NOW);
}

/* Runs a Subject as the daemon does. */
static inline void
ask(struct room *room, const char *subject)
{
	const struct command *command;
	enum ks_room need;
	bool more;

	request_free(&room->request);
	reply_free(&room->reply);
	command = request_parse(subject, &room->request);
	assert_non_null(room->request.word);
	if (command == NULL)
		command = &command_invalid;
	need =
	    (command->flags & COMMAND_KEYS) != 0 ? KS_ROOM_ADD : KS_ROOM_QUERY;
	more = (command->flags & COMMAND_SCAN) != 0 &&
	       command->scans(&room->request);
	while (more)
		assert_int_equal(
		    command->scan(room->store.ks, &room->request, &more),
		    KS_OK);
	assert_int_equal(reply_new(&room->reply), 0);
	assert_int_equal(ks_begin(room->store.ks, need), KS_OK);
	room->outcome =
	    command->run(room->store.ks, &room->request, &room->reply);
	assert_int_equal(ks_commit(room->store.ks), KS_OK);
	assert_int_equal(reply_finish(&room->reply), 0);
}

static inline bool
says(const struct room *room, const char *text)
{
	return strstr(room->reply.text_data, text) != NULL;
}

#define assert_says(room, text)                                                \
	do {                                                                   \
		if (!says(room, text))                                         \
			fail_msg("no \"%s\" in:\n%s", text,                    \
			    (room)->reply.text_data);                          \
	} while (0)
#define assert_silent(room, text)                                              \
	do {                                                                   \
		if (says(room, text))                                          \
			fail_msg(                                              \
			    "\"%s\" in:\n%s", text, (room)->reply.text_data);  \
	} while (0)

/* Short lines, but for those with a user ID or what was asked. */
static inline void
assert_lines(const struct room *room)
{
	const char *s;
	size_t len, i, column;

	for (s = room->reply.text_data; *s != '\0'; s += len + 1) {
		len = strcspn(s, "\n");
		assert_int_equal(s[len], '\n');
		column = 0;
		for (i = 0; i < len; i++) {
			assert_true((unsigned char)s[i] >= 0x20);
			column += ((unsigned char)s[i] & 0xC0) != 0x80;
		}
		assert_true(len < 998);
		if (memchr(s, '@', len) == NULL &&
		    strncmp(s, "You asked for: ", 15) != 0 && column > 76)
			fail_msg("too long: %.*s", (int)len, s);
	}
}

static inline void
assert_outcome(
    const struct room *room, enum outcome outcome, const char *suffix)
{
	assert_int_equal(room->outcome, outcome);
	assert_string_equal(room->reply.suffix, suffix);
	assert_lines(room);
}

static inline void
assert_no_keys(const struct room *room)
{
	assert_int_equal(room->reply.nkeys, 0);
	assert_int_equal(room->reply.keys_len, 0);
}

/* Refused with this text, and nothing sent. */
static inline void
assert_refused(const struct room *room, const char *text)
{
	assert_outcome(room, REFUSED, ", failed");
	assert_says(room, text);
	assert_no_keys(room);
}

/* The keys part is these certificates and nothing else. */
static inline void
assert_keys(const struct room *room, const struct forged *const *what, size_t n)
{
	struct pgp_cert *cert;
	char *octets;
	size_t i, len;
	FILE *f = open_memstream(&octets, &len);

	for (i = 0; i < n; i++) {
		cert = forge(what[i]);
		assert_non_null(cert);
		assert_int_equal(pgp_cert_write(f, cert), 0);
		pgp_cert_free(cert);
	}
	fclose(f);
	assert_int_equal(room->reply.nkeys, n);
	assert_int_equal(room->reply.keys_len, len);
	assert_memory_equal(room->reply.keys_data, octets, len);
	free(octets);
}

#define ROOM_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, room_setup, room_teardown)

#endif
