/* Answers waiting, digests seen, counters, readers that died. */
#include "tests/unit/store.h"

#include "db/outbox.h"

#include <errno.h>
#include <poll.h>

static uint64_t
add(struct tempstore *t, time_t due, const char *text)
{
	char recipient[] = "alice@example.org", log_id[] = "4f2a9c01";
	struct outbox_item item = {.due = due,
	    .queued = NOW,
	    .recipient = recipient,
	    .log_id = log_id,
	    .message = {(unsigned char *)(uintptr_t)text, strlen(text)}};
	uint64_t id = 0;

	assert_int_equal(outbox_add(t->ks, &item, &id), KS_OK);
	return id;
}

struct look {
	uint64_t but; /* passed over, or 0 */
	struct outbox_place found;
};

static bool
is_another(void *ctx, const struct outbox_item *item)
{
	struct look *look = ctx;

	assert_null(item->message.data);
	if (item->id == look->but)
		return true;
	look->found = (struct outbox_place){item->due, item->id};
	return false;
}

/* The id of the first that is due, but for one, or 0; *next as outbox_due()
 * sets it. */
static uint64_t
due_but(struct tempstore *t, time_t now, uint64_t but, time_t *next)
{
	struct outbox_place place = {0, 0};
	struct look look = {.but = but};
	enum ks_status st =
	    outbox_due(t->ks, &place, now, is_another, &look, next);

	if (look.found.id == 0)
		assert_int_equal(st, KS_NOT_FOUND);
	else
		assert_int_equal(st, KS_OK);
	return look.found.id;
}

static uint64_t
due_id(struct tempstore *t, time_t now, time_t *next)
{
	return due_but(t, now, 0, next);
}

/* The first that is due, with its message. */
static void
due_item(struct tempstore *t, time_t now, struct outbox_item *item)
{
	struct outbox_place place = {0, 0};
	struct look look = {.but = 0};
	time_t next;

	assert_int_equal(
	    outbox_due(t->ks, &place, now, is_another, &look, &next), KS_OK);
	assert_int_equal(place.id, 0);
	assert_int_equal(outbox_at(t->ks, &look.found, item), KS_OK);
}

static uint64_t
waiting(struct tempstore *t)
{
	struct ks_info info;

	assert_int_equal(ks_info(t->ks, &info), KS_OK);
	return info.outbox;
}

static void
order(void **state)
{
	struct tempstore *t = *state;
	uint64_t late, early, same;
	time_t next = -1;

	assert_int_equal(due_id(t, NOW, &next), 0);
	assert_int_equal(next, 0);
	begin(t);
	late = add(t, NOW + 300, "late");
	early = add(t, NOW, "early");
	same = add(t, NOW, "same");
	assert_true(late != early && early < same);
	/* not on the disk */
	assert_int_equal(due_id(t, NOW, &next), 0);
	assert_int_equal(next, NOW);
	commit(t);
	assert_int_equal(due_id(t, NOW - 1, &next), 0);
	assert_int_equal(next, NOW);
	assert_int_equal(due_id(t, NOW, &next), early);
	assert_int_equal(due_but(t, NOW, early, &next), same);

	begin(t);
	assert_int_equal(outbox_delete(t->ks, early), KS_OK);
	assert_int_equal(outbox_delete(t->ks, early), KS_NOT_FOUND);
	commit(t);
	assert_int_equal(due_but(t, NOW, same, &next), 0);
	assert_int_equal(next, NOW + 300);
	assert_int_equal(due_but(t, NOW + 300, same, &next), late);
	assert_int_equal(waiting(t), 2);
	assert_int_equal(wrong_in(t), 0);
}

/* ---- syncing beside other work ------------------------------------------- */

static atomic_int disk_error;
static atomic_bool disk_waits;

static int
slow_sync(int fd)
{
	(void)fd;
	while (atomic_load(&disk_waits))
		usleep(1000);
	errno = atomic_load(&disk_error);
	return errno == 0 ? 0 : -1;
}

static int
slow_disk(void **state)
{
	struct tempstore *t = *state;

	t->ks->options.sync = true;
	atomic_store(&disk_error, 0);
	atomic_store(&disk_waits, true);
	sync_file = slow_sync;
	return 0;
}

static void
fast_disk(void)
{
	atomic_store(&disk_waits, false);
	sync_file = fdatasync;
}

static bool
is_synced(struct tempstore *t, int ms)
{
	struct pollfd p = {ks_sync_fd(t->ks), POLLIN, 0};

	return poll(&p, 1, ms) == 1;
}

static void
nothing_goes_before_it_is_synced(void **state)
{
	struct tempstore *t = *state;
	uint64_t first, second, third;
	time_t next = -1;

	slow_disk(state);
	begin(t);
	first = add(t, NOW, "first");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	assert_false(is_synced(t, 0));
	assert_int_equal(due_id(t, NOW, &next), 0);
	assert_int_equal(next, NOW);
	begin(t);
	second = add(t, NOW, "second");
	assert_int_equal(ks_commit_lazy(t->ks), KS_OK);
	assert_int_equal(waiting(t), 2);
	atomic_store(&disk_waits, false);
	assert_true(is_synced(t, 60000));
	/* not before it was asked for */
	assert_int_equal(due_id(t, NOW, &next), 0);
	assert_int_equal(ks_commit_end(t->ks), KS_OK);
	assert_false(is_synced(t, 0));
	assert_int_equal(due_id(t, NOW, &next), first);
	assert_int_equal(due_but(t, NOW, first, &next), 0);
	begin(t);
	third = add(t, NOW, "third");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	assert_int_equal(ks_commit_end(t->ks), KS_OK); /* waits */
	assert_int_equal(due_but(t, NOW, first, &next), second);
	fast_disk();
	store_reopen(t);
	assert_int_equal(due_but(t, NOW, first, &next), second);
	assert_int_equal(waiting(t), 3);
	assert_true(first < second && second < third);
}

static void
a_sync_that_fails_closes(void **state)
{
	struct tempstore *t = *state;
	time_t next = -1;

	slow_disk(state);
	begin(t);
	add(t, NOW, "first");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	atomic_store(&disk_error, EIO);
	atomic_store(&disk_waits, false);
	assert_int_equal(ks_commit_end(t->ks), KS_IO);
	assert_int_equal(ks_begin(t->ks, KS_ROOM_NONE), KS_IO);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	fast_disk();
	assert_int_equal(ks_mend(t->ks), KS_OK);
	begin(t);
	add(t, NOW, "second");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	assert_int_equal(ks_commit_end(t->ks), KS_OK);
	assert_int_not_equal(due_id(t, NOW, &next), 0);
}

static int
sync_fails_once(int fd)
{
	(void)fd;
	sync_file = fdatasync;
	errno = EIO;
	return -1;
}

/* Nobody was told, or somebody who does not sync for answers: the next sync
 * would succeed. */
static void
a_sync_that_failed_unseen_closes(void **state)
{
	struct tempstore *t = *state;
	time_t next = -1;

	t->ks->options.sync = true;
	begin(t);
	add(t, NOW, "first");
	assert_int_equal(ks_commit_lazy(t->ks), KS_OK);
	sync_file = sync_fails_once;
	(void)t->ks->env->log_flush(t->ks->env, NULL);
	assert_ptr_equal(sync_file, fdatasync);
	begin(t);
	add(t, NOW, "second");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	assert_int_equal(ks_commit_end(t->ks), KS_IO);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	assert_int_equal(ks_mend(t->ks), KS_OK);
	begin(t);
	add(t, NOW, "third");
	commit(t);
	assert_int_not_equal(due_id(t, NOW, &next), 0);
}

/* It has been opened again before anybody asked. */
static void
mended_meanwhile(void **state)
{
	struct tempstore *t = *state;

	slow_disk(state);
	begin(t);
	add(t, NOW, "first");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	atomic_store(&disk_error, EIO);
	atomic_store(&t->ks->panicked, true);
	assert_int_equal(ks_closed(t->ks, NULL), KS_IO);
	atomic_store(&disk_waits, false);
	assert_true(is_synced(t, 60000));
	fast_disk();
	assert_int_equal(ks_mend(t->ks), KS_OK);
	assert_int_equal(ks_commit_end(t->ks), KS_IO);
	assert_int_equal(ks_closed(t->ks, NULL), KS_OK);
}

/* What is under way when the store is closed is ended first. */
static void
closed_meanwhile(void **state)
{
	struct tempstore *t = *state;

	begin(t);
	add(t, NOW, "first");
	assert_int_equal(ks_commit_begin(t->ks), KS_OK);
	store_reopen(t);
	assert_int_equal(waiting(t), 1);
}

static void
all_fields_come_back(void **state)
{
	char recipient[] = "bob@example.org", log_id[] = "deadbeef";
	char sender[] = "keys@site.example", peer[] = "Peer One";
	unsigned char message[] = "To: bob\r\n\r\n\0x";
	struct outbox_item item = {.due = NOW,
			       .queued = NOW - 5,
			       .sender = sender,
			       .recipient = recipient,
			       .peer = peer,
			       .serial = UINT64_C(1) << 40 | 7,
			       .log_id = log_id,
			       .message = {message, sizeof(message)}},
			   got;
	struct tempstore *t = *state;
	uint64_t id;

	begin(t);
	assert_int_equal(outbox_add(t->ks, &item, &id), KS_OK);
	commit(t);
	store_reopen(t);
	due_item(t, NOW, &got);
	assert_int_equal(got.id, id);
	assert_int_equal(got.due, NOW);
	assert_int_equal(got.queued, NOW - 5);
	assert_int_equal(got.attempts, 0);
	assert_string_equal(got.sender, sender);
	assert_string_equal(got.recipient, recipient);
	assert_string_equal(got.peer, peer);
	assert_true(got.serial == (UINT64_C(1) << 40 | 7));
	assert_string_equal(got.log_id, log_id);
	assert_string_equal(got.last_error, "");
	assert_int_equal(got.message.len, sizeof(message));
	assert_memory_equal(got.message.data, message, sizeof(message));
	outbox_item_free(&got);
	/* ids are never given twice, not even after a restart */
	begin(t);
	assert_int_equal(outbox_delete(t->ks, id), KS_OK);
	commit(t);
	store_reopen(t);
	begin(t);
	assert_true(add(t, NOW, "next") > id);
	commit(t);
}

static void
defer(void **state)
{
	struct tempstore *t = *state;
	struct outbox_item got;
	char error[2000];
	time_t next;
	uint64_t id;

	memset(error, 'e', sizeof(error));
	error[sizeof(error) - 1] = '\0';
	begin(t);
	id = add(t, NOW, "text");
	commit(t);
	begin(t);
	assert_int_equal(outbox_defer(t->ks, id, NOW + 60, "451 later"), KS_OK);
	assert_int_equal(
	    outbox_defer(t->ks, id + 1, NOW, "unknown"), KS_NOT_FOUND);
	commit(t);
	assert_int_equal(due_id(t, NOW + 59, &next), 0);
	assert_int_equal(next, NOW + 60);
	due_item(t, NOW + 60, &got);
	assert_int_equal(got.id, id);
	assert_int_equal(got.attempts, 1);
	assert_int_equal(got.queued, NOW);
	assert_string_equal(got.last_error, "451 later");
	assert_string_equal(got.sender, "");
	assert_string_equal(got.peer, "");
	assert_int_equal(got.serial, 0);
	assert_int_equal(got.message.len, 4);
	assert_memory_equal(got.message.data, "text", 4);
	outbox_item_free(&got);

	begin(t);
	assert_int_equal(outbox_defer(t->ks, id, NOW + 90, error), KS_OK);
	commit(t);
	due_item(t, NOW + 90, &got);
	assert_int_equal(got.attempts, 2);
	assert_int_equal(strlen(got.last_error), 512);
	outbox_item_free(&got);
	assert_int_equal(waiting(t), 1);
	assert_int_equal(wrong_in(t), 0);
}

struct seen_items {
	uint64_t id[8];
	size_t len[8];
	size_t n, stop;
};

static bool
note(void *ctx, const struct outbox_item *item)
{
	struct seen_items *s = ctx;

	assert_true(s->n < 8);
	assert_null(item->message.data);
	assert_string_equal(item->recipient, "alice@example.org");
	s->id[s->n] = item->id;
	s->len[s->n++] = item->message.len;
	return s->n != s->stop;
}

static void
each(void **state)
{
	struct tempstore *t = *state;
	struct seen_items s = {0};
	char *big = malloc(300001);
	uint64_t b, a;

	assert_non_null(big);
	memset(big, 'm', 300000);
	big[300000] = '\0';
	begin(t);
	b = add(t, NOW + 2, big);
	a = add(t, NOW + 1, "small");
	commit(t);
	free(big);
	assert_int_equal(outbox_each(t->ks, note, &s), KS_OK);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.id[0], a);
	assert_int_equal(s.id[1], b);
	assert_int_equal(s.len[0], 5);
	assert_int_equal(s.len[1], 300000);
	memset(&s, 0, sizeof(s));
	s.stop = 1;
	assert_int_equal(outbox_each(t->ks, note, &s), KS_OK);
	assert_int_equal(s.n, 1);
}

/* A list in slices, by what the last one ended with. */
static void
behind(void **state)
{
	struct tempstore *t = *state;
	struct seen_items s = {0};
	uint64_t first, second;

	begin(t);
	first = add(t, NOW, "first");
	second = add(t, NOW, "second");
	commit(t);
	assert_int_equal(
	    outbox_behind(t->ks, &(struct outbox_place){NOW, first}, note, &s),
	    KS_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.id[0], second);
	memset(&s, 0, sizeof(s));
	/* The one that it ended with may be gone by then. */
	begin(t);
	assert_int_equal(outbox_delete(t->ks, first), KS_OK);
	commit(t);
	assert_int_equal(
	    outbox_behind(t->ks, &(struct outbox_place){NOW, first}, note, &s),
	    KS_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(
	    outbox_behind(t->ks, &(struct outbox_place){NOW, second}, note, &s),
	    KS_OK);
	assert_int_equal(
	    outbox_behind(t->ks, &(struct outbox_place){NOW + 9, 0}, note, &s),
	    KS_OK);
	assert_int_equal(s.n, 1);
}

static void
hurry(void **state)
{
	struct tempstore *t = *state;
	struct outbox_item item;
	time_t next;
	uint64_t id;

	begin(t);
	id = add(t, NOW, "text");
	assert_int_equal(outbox_defer(t->ks, id, NOW + 600, "why"), KS_OK);
	assert_int_equal(outbox_hurry(t->ks, id + 1, NOW), KS_NOT_FOUND);
	assert_int_equal(outbox_hurry(t->ks, id, NOW + 1), KS_OK);
	commit(t);
	assert_int_equal(due_id(t, NOW, &next), 0);
	assert_int_equal(due_id(t, NOW + 1, &next), id);
	assert_int_equal(outbox_get(t->ks, id + 1, &item), KS_NOT_FOUND);
	assert_int_equal(outbox_get(t->ks, id, &item), KS_OK);
	assert_int_equal(item.attempts, 1);
	assert_string_equal(item.last_error, "why");
	assert_int_equal(item.message.len, 4);
	assert_int_equal(item.due, NOW + 1);
	outbox_item_free(&item);
	assert_int_equal(wrong_in(t), 0);
}

static void
abort_leaves_nothing(void **state)
{
	unsigned char digest[DIGEST_LEN] = {1};
	struct limit_count one = {1, 0, 100}, hour, day;
	struct tempstore *t = *state;
	unsigned deaths;
	uint64_t kept;
	time_t next;
	bool seen;

	begin(t);
	kept = add(t, NOW, "kept");
	commit(t);
	begin(t);
	add(t, NOW - 1, "gone");
	assert_int_equal(outbox_delete(t->ks, kept), KS_OK);
	assert_int_equal(seen_add(t->ks, digest, NOW), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &one), KS_OK);
	assert_int_equal(poison_add(t->ks, digest, NOW, &deaths), KS_OK);
	assert_int_equal(seen_find(t->ks, digest, &seen), KS_OK);
	assert_true(seen);
	ks_abort(t->ks);

	assert_int_equal(due_id(t, NOW, &next), kept);
	assert_int_equal(waiting(t), 1);
	assert_int_equal(seen_find(t->ks, digest, &seen), KS_OK);
	assert_false(seen);
	assert_int_equal(limit_get(t->ks, "a@b", NOW, &hour, &day), KS_OK);
	assert_int_equal(day.replies, 0);
	begin(t);
	assert_int_equal(poison_add(t->ks, digest, NOW, &deaths), KS_OK);
	assert_int_equal(deaths, 1);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
}

static const struct {
	const char *name;
	time_t at;
	unsigned hour, day; /* replies */
} limit_cases[] = {
    {"before all", NOW - 2 * HOUR, 0, 0},
    {"in the first hour", NOW, 3, 3},
    {"an hour on", NOW + HOUR, 4, 7},
    {"two hours on", NOW + 2 * HOUR, 0, 7},
    {"23 hours on: the first is still in", NOW + 23 * HOUR, 0, 7},
    {"24 hours on: the first is out", NOW + 24 * HOUR, 0, 4},
    {"25 hours on", NOW + 25 * HOUR, 0, 0},
};

static void
limits(void **state)
{
	struct limit_count first = {3, 1, 1000}, second = {4, 2, 5000}, hour,
			   day;
	struct tempstore *t = *state;

	begin(t);
	assert_int_equal(limit_add(t->ks, "a@b.c", NOW, &first), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b.c", NOW + HOUR, &second), KS_OK);
	/* neighbours in the order of keys */
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &second), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b.cc", NOW, &second), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b.d", NOW, &second), KS_OK);
	commit(t);
	for (size_t i = 0; i < sizeof(limit_cases) / sizeof(limit_cases[0]);
	     i++) {
		assert_int_equal(
		    limit_get(t->ks, "a@b.c", limit_cases[i].at, &hour, &day),
		    KS_OK);
		if (hour.replies != limit_cases[i].hour ||
		    day.replies != limit_cases[i].day)
			fail_msg("%s: %u %u", limit_cases[i].name, hour.replies,
			    day.replies);
	}
	assert_int_equal(
	    limit_get(t->ks, "a@b.c", NOW + HOUR, &hour, &day), KS_OK);
	assert_int_equal(day.helps, 3);
	assert_int_equal(day.octets, 6000);
	assert_int_equal(hour.octets, 5000);
	assert_int_equal(wrong_in(t), 0);
}

static void
counters_stop_at_the_top(void **state)
{
	struct limit_count most = {UINT32_MAX, UINT32_MAX, UINT64_MAX}, hour,
			   day;
	struct tempstore *t = *state;

	begin(t);
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &most), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &most), KS_OK);
	commit(t);
	assert_int_equal(limit_get(t->ks, "a@b", NOW, &hour, &day), KS_OK);
	assert_int_equal(day.replies, UINT32_MAX);
	assert_true(day.octets == UINT64_MAX);
}

static void
seen_and_again(void **state)
{
	unsigned char digest[DIGEST_LEN] = {7}, other[DIGEST_LEN] = {8};
	struct tempstore *t = *state;
	unsigned removed;
	bool seen;

	begin(t);
	assert_int_equal(seen_add(t->ks, digest, NOW), KS_OK);
	/* once more a day later: kept 30 days from then */
	assert_int_equal(seen_add(t->ks, digest, NOW + 24 * HOUR), KS_OK);
	commit(t);
	assert_int_equal(seen_find(t->ks, other, &seen), KS_OK);
	assert_false(seen);
	begin(t);
	assert_int_equal(
	    store_expire(t->ks, NOW + 30 * 24 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 0);
	commit(t);
	assert_int_equal(seen_find(t->ks, digest, &seen), KS_OK);
	assert_true(seen);
	begin(t);
	assert_int_equal(
	    store_expire(t->ks, NOW + 31 * 24 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 1);
	commit(t);
	assert_int_equal(seen_find(t->ks, digest, &seen), KS_OK);
	assert_false(seen);
	assert_int_equal(wrong_in(t), 0);
}

static void
poison(void **state)
{
	unsigned char digest[DIGEST_LEN] = {9}, other[DIGEST_LEN] = {10};
	struct tempstore *t = *state;
	unsigned deaths = 0;

	begin(t);
	assert_int_equal(poison_add(t->ks, digest, NOW, &deaths), KS_OK);
	assert_int_equal(deaths, 1);
	assert_int_equal(poison_add(t->ks, other, NOW, &deaths), KS_OK);
	assert_int_equal(deaths, 1);
	assert_int_equal(poison_add(t->ks, digest, NOW + 1, &deaths), KS_OK);
	assert_int_equal(deaths, 2);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
	begin(t);
	assert_int_equal(poison_forget(t->ks, digest), KS_OK);
	assert_int_equal(poison_forget(t->ks, digest), KS_OK);
	assert_int_equal(poison_add(t->ks, digest, NOW + 2, &deaths), KS_OK);
	assert_int_equal(deaths, 1);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
}

static void
expire(void **state)
{
	unsigned char digest[DIGEST_LEN] = {0};
	struct limit_count one = {1, 0, 1}, hour, day;
	struct tempstore *t = *state;
	unsigned removed, deaths;

	begin(t);
	for (unsigned char i = 0; i < 10; i++) {
		digest[0] = i;
		assert_int_equal(seen_add(t->ks, digest, NOW), KS_OK);
	}
	assert_int_equal(poison_add(t->ks, digest, NOW, &deaths), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &one), KS_OK);
	assert_int_equal(limit_add(t->ks, "a@b", NOW, &one), KS_OK);
	commit(t);
	begin(t);
	/* 25 hours after the beginning of its hour, not before */
	assert_int_equal(
	    store_expire(t->ks, NOW + 24 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 0);
	assert_int_equal(
	    store_expire(t->ks, NOW + 25 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 1);
	assert_int_equal(
	    limit_get(t->ks, "a@b", NOW + HOUR, &hour, &day), KS_OK);
	assert_int_equal(day.replies, 0);
	assert_int_equal(
	    store_expire(t->ks, NOW + 30 * 24 * HOUR - 1, 4, &removed), KS_OK);
	assert_int_equal(removed, 0);
	assert_int_equal(
	    store_expire(t->ks, NOW + 30 * 24 * HOUR, 4, &removed), KS_OK);
	assert_int_equal(removed, 4);
	assert_int_equal(
	    store_expire(t->ks, NOW + 30 * 24 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 7);
	assert_int_equal(
	    store_expire(t->ks, NOW + 30 * 24 * HOUR, 100, &removed), KS_OK);
	assert_int_equal(removed, 0);
	commit(t);
	assert_int_equal(wrong_in(t), 0);
}

/* ks_verify() must see what is missing and what is over. */
static void
verify_sees(void **state)
{
	unsigned char digest[DIGEST_LEN] = {3}, octets[8];
	struct tempstore *t = *state;
	uint64_t id;

	begin(t);
	id = add(t, NOW, "text");
	assert_int_equal(seen_add(t->ks, digest, NOW), KS_OK);
	commit(t);
	assert_int_equal(wrong_in(t), 0);

	begin(t);
	be64_put(octets, id);
	assert_int_equal(table_delete(t->ks, T_OUTBOX_ID, octets, 8), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t);
	be64_put(octets, id + 1);
	assert_int_equal(
	    table_put(t->ks, T_OUTBOX_ID, octets, 8, octets, 8), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	begin(t);
	assert_int_equal(
	    table_delete(t->ks, T_SEEN, digest, DIGEST_LEN), KS_OK);
	assert_int_equal(wrong_in(t), 1);
	ks_abort(t->ks);
	assert_int_equal(wrong_in(t), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(order),
	    store_test(nothing_goes_before_it_is_synced),
	    store_test(a_sync_that_fails_closes),
	    store_test(a_sync_that_failed_unseen_closes),
	    store_test(mended_meanwhile),
	    store_test(closed_meanwhile),
	    store_test(all_fields_come_back),
	    store_test(defer),
	    store_test(each),
	    store_test(behind),
	    store_test(hurry),
	    store_test(abort_leaves_nothing),
	    store_test(limits),
	    store_test(counters_stop_at_the_top),
	    store_test(seen_and_again),
	    store_test(poison),
	    store_test(expire),
	    store_test(verify_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
