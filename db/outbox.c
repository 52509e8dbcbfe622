/* Mails that wait for the sender, in order of the time they are due. */
#include "db/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Key: due time and id, 8 octets each.  Value: when queued 8, serial 8,
 * attempts 4, the lengths of the message and of each string 4 each, the
 * strings, the message.  The strings are short, so that a listing reads no
 * message.
 */
#define KEY_LEN	  16
#define TEXTS	  5
#define TEXT_LENS 24 /* where the lengths of the strings are */
#define FIXED_LEN (TEXT_LENS + 4 * TEXTS)
#define TEXT_MAX  512 /* octets of one of the strings */
#define HEAD_MAX  (FIXED_LEN + TEXTS * TEXT_MAX)

void
outbox_item_free(struct outbox_item *item)
{
	free(item->sender);
	free(item->recipient);
	free(item->peer);
	free(item->log_id);
	free(item->last_error);
	pgp_blob_free(&item->message, false);
	memset(item, 0, sizeof(*item));
}

/* ---- the record ---------------------------------------------------------- */

static void
key_make(unsigned char key[KEY_LEN], uint64_t due, uint64_t id)
{
	be64_put(key, due);
	be64_put(key + 8, id);
}

static enum ks_status
item_write(struct keystore *ks, uint64_t due, const struct outbox_item *item)
{
	const char *text[TEXTS] = {item->sender, item->recipient, item->peer,
	    item->log_id, item->last_error};
	unsigned char key[KEY_LEN], due_octets[8], *value, *p;
	size_t len[TEXTS], total = FIXED_LEN;
	enum ks_status st;

	if (item->message.len > UINT32_MAX - HEAD_MAX)
		return KS_NOMEM;
	for (int i = 0; i < TEXTS; i++) {
		len[i] = text[i] == NULL ? 0 : strnlen(text[i], TEXT_MAX);
		total += len[i];
	}
	total += item->message.len;
	if ((value = malloc(total)) == NULL)
		return KS_NOMEM;
	be64_put(value, moment(item->queued));
	be64_put(value + 8, item->serial);
	be32_put(value + 16, item->attempts);
	be32_put(value + 20, (uint32_t)item->message.len);
	p = value + FIXED_LEN;
	for (int i = 0; i < TEXTS; i++) {
		be32_put(value + TEXT_LENS + 4 * i, (uint32_t)len[i]);
		if (len[i] > 0)
			memcpy(p, text[i], len[i]);
		p += len[i];
	}
	if (item->message.len > 0)
		memcpy(p, item->message.data, item->message.len);

	key_make(key, due, item->id);
	be64_put(due_octets, due);
	st = table_put(ks, T_OUTBOX, key, KEY_LEN, value, total);
	if (st == KS_OK)
		st = table_put(ks, T_OUTBOX_ID, key + 8, 8, due_octets, 8);
	free(value);
	return st;
}

/* Reads what is before the message; *head is how long that is. */
static enum ks_status
item_parse(const unsigned char key[KEY_LEN], const unsigned char *value,
    size_t len, struct outbox_item *item, size_t *head)
{
	char **text[TEXTS] = {&item->sender, &item->recipient, &item->peer,
	    &item->log_id, &item->last_error};
	size_t pos = FIXED_LEN;

	memset(item, 0, sizeof(*item));
	if (len < FIXED_LEN)
		return KS_CORRUPT;
	item->due = (time_t)be64_get(key);
	item->id = be64_get(key + 8);
	item->queued = (time_t)be64_get(value);
	item->serial = be64_get(value + 8);
	item->attempts = be32_get(value + 16);
	for (int i = 0; i < TEXTS; i++) {
		size_t n = be32_get(value + TEXT_LENS + 4 * i);

		if (n > TEXT_MAX || n > len - pos) {
			outbox_item_free(item);
			return KS_CORRUPT;
		}
		*text[i] = strndup((const char *)value + pos, n);
		if (*text[i] == NULL) {
			outbox_item_free(item);
			return KS_NOMEM;
		}
		pos += n;
	}
	item->message.len = be32_get(value + 20);
	*head = pos;
	return KS_OK;
}

static enum ks_status
item_read(struct keystore *ks, const unsigned char key[KEY_LEN],
    struct outbox_item *item)
{
	struct pgp_blob value = {0};
	enum ks_status st;
	size_t head;

	st = table_get_blob(ks, T_OUTBOX, key, KEY_LEN, &value);
	if (st != KS_OK)
		return st;
	st = item_parse(key, value.data, value.len, item, &head);
	if (st != KS_OK) {
		pgp_blob_free(&value, false);
		return st;
	}
	if (item->message.len != value.len - head) {
		pgp_blob_free(&value, false);
		outbox_item_free(item);
		return KS_CORRUPT;
	}
	memmove(value.data, value.data + head, item->message.len);
	item->message.data = value.data;
	return KS_OK;
}

/* The key of a record by its id. */
static enum ks_status
key_find(struct keystore *ks, uint64_t id, unsigned char key[KEY_LEN])
{
	enum ks_status st;
	size_t len;

	be64_put(key + 8, id);
	st = table_get(ks, T_OUTBOX_ID, key + 8, 8, key, 8, &len);
	return st == KS_OK && len != 8 ? KS_CORRUPT : st;
}

/* ---- what the header offers ---------------------------------------------- */

enum ks_status
outbox_add(struct keystore *ks, const struct outbox_item *item, uint64_t *id)
{
	struct outbox_item copy = *item;
	enum ks_status st;

	assert(ks->txn != NULL);
	assert(strlen(item->recipient) <= TEXT_MAX);
	assert(item->sender == NULL || strlen(item->sender) <= TEXT_MAX);
	assert(item->peer == NULL || strlen(item->peer) <= KS_PEER_NAME);
	copy.id = ++ks->counters.outbox_id;
	st = item_write(ks, moment(item->due), &copy);
	if (st == KS_OK) {
		ks->counters.outbox++;
		*id = copy.id;
	} else if (ks->failed == KS_OK) {
		ks->failed = st;
	}
	return st;
}

enum ks_status
outbox_delete(struct keystore *ks, uint64_t id)
{
	unsigned char key[KEY_LEN];
	enum ks_status st;

	assert(ks->txn != NULL);
	if ((st = key_find(ks, id, key)) != KS_OK)
		return st;
	if ((st = table_delete(ks, T_OUTBOX, key, KEY_LEN)) == KS_OK)
		st = table_delete(ks, T_OUTBOX_ID, key + 8, 8);
	if (st == KS_OK)
		ks->counters.outbox--;
	else if (ks->failed == KS_OK)
		ks->failed = st;
	return st == KS_NOT_FOUND ? KS_CORRUPT : st;
}

/* Moves an item to another due time. */
static enum ks_status
item_move(struct keystore *ks, const unsigned char key[KEY_LEN], time_t due,
    const struct outbox_item *item)
{
	enum ks_status st = table_delete(ks, T_OUTBOX, key, KEY_LEN);

	return st == KS_OK ? item_write(ks, moment(due), item) : st;
}

enum ks_status
outbox_defer(struct keystore *ks, uint64_t id, time_t due, const char *error)
{
	unsigned char key[KEY_LEN];
	struct outbox_item item;
	enum ks_status st;

	assert(ks->txn != NULL);
	if ((st = key_find(ks, id, key)) != KS_OK ||
	    (st = item_read(ks, key, &item)) != KS_OK)
		return st;
	if (item.attempts < UINT32_MAX)
		item.attempts++;
	free(item.last_error);
	item.last_error = strndup(error, TEXT_MAX);
	st = item.last_error == NULL ? KS_NOMEM : KS_OK;
	if (st == KS_OK)
		st = item_move(ks, key, due, &item);
	if (st != KS_OK && ks->failed == KS_OK)
		ks->failed = st;
	outbox_item_free(&item);
	return st;
}

enum ks_status
outbox_hurry(struct keystore *ks, uint64_t id, time_t now)
{
	unsigned char key[KEY_LEN];
	struct outbox_item item;
	enum ks_status st;

	assert(ks->txn != NULL);
	if ((st = key_find(ks, id, key)) != KS_OK ||
	    (st = item_read(ks, key, &item)) != KS_OK)
		return st;
	st = item_move(ks, key, now, &item);
	if (st != KS_OK && ks->failed == KS_OK)
		ks->failed = st;
	outbox_item_free(&item);
	return st;
}

enum ks_status
outbox_get(struct keystore *ks, uint64_t id, struct outbox_item *item)
{
	unsigned char key[KEY_LEN];
	enum ks_status st = key_find(ks, id, key);

	return st == KS_OK ? item_read(ks, key, item) : st;
}

/* The head of the record that the walk stands on. */
static enum ks_status
head_read(struct walk *w, struct outbox_item *item)
{
	unsigned char head[HEAD_MAX];
	enum ks_status st;
	size_t len, used;

	if (w->klen != KEY_LEN)
		return KS_CORRUPT;
	st = table_get_part(
	    w->ks, T_OUTBOX, w->key, w->klen, head, sizeof(head), &len);
	if (st != KS_OK)
		return st;
	return item_parse(w->key, head, len, item, &used);
}

/* Moves to the first record behind this key. */
static enum ks_status
walk_behind(struct walk *w, const unsigned char key[KEY_LEN])
{
	enum ks_status st;

	memcpy(w->key, key, KEY_LEN);
	w->klen = KEY_LEN;
	st = walk_get(w, DB_SET_RANGE);
	if (st == KS_OK && w->klen == KEY_LEN &&
	    memcmp(w->key, key, KEY_LEN) == 0)
		st = walk_get(w, DB_NEXT);
	return st;
}

enum ks_status
outbox_at(struct keystore *ks, const struct outbox_place *place,
    struct outbox_item *item)
{
	unsigned char key[KEY_LEN];

	key_make(key, moment(place->due), place->id);
	return item_read(ks, key, item);
}

enum ks_status
outbox_behind(struct keystore *ks, const struct outbox_place *place,
    bool (*visit)(void *ctx, const struct outbox_item *), void *ctx)
{
	unsigned char key[KEY_LEN];
	struct outbox_item item;
	enum ks_status st;
	bool go_on = true;
	struct walk w;

	if ((st = walk_open(ks, T_OUTBOX, &w)) != KS_OK)
		return st;
	key_make(key, moment(place->due), place->id);
	for (st = walk_behind(&w, key); st == KS_OK && go_on;
	     st = go_on ? walk_get(&w, DB_NEXT) : KS_OK) {
		if ((st = head_read(&w, &item)) != KS_OK)
			break;
		go_on = visit(ctx, &item);
		outbox_item_free(&item);
	}
	walk_close(&w);
	return st == KS_NOT_FOUND ? KS_OK : st;
}

struct due_walk {
	const struct keystore *ks;
	struct outbox_place *place;
	time_t until, next;
	bool (*visit)(void *ctx, const struct outbox_item *);
	void *ctx;
	bool refused;
};

static bool
due_visit(void *ctx, const struct outbox_item *item)
{
	struct due_walk *d = ctx;

	if (item->due > d->until || item->id > d->ks->durable) {
		d->next = item->due;
		return false;
	}
	d->refused = !d->visit(d->ctx, item);
	if (!d->refused)
		*d->place = (struct outbox_place){item->due, item->id};
	return !d->refused;
}

enum ks_status
outbox_due(struct keystore *ks, struct outbox_place *place, time_t until,
    bool (*visit)(void *ctx, const struct outbox_item *), void *ctx,
    time_t *next)
{
	struct due_walk d = {.ks = ks,
	    .place = place,
	    .until = until,
	    .visit = visit,
	    .ctx = ctx};
	const struct outbox_place from = *place;
	enum ks_status st = outbox_behind(ks, &from, due_visit, &d);

	*next = d.next;
	return st == KS_OK && !d.refused ? KS_NOT_FOUND : st;
}

enum ks_status
outbox_each(struct keystore *ks,
    bool (*visit)(void *ctx, const struct outbox_item *), void *ctx)
{
	static const struct outbox_place begin = {0, 0};

	return outbox_behind(ks, &begin, visit, ctx);
}
