/*
 * A mailbox by IMAP (RFC 3501): one folder is looked at again and again, and
 * between the looks the server tells that there is something new (IDLE, RFC
 * 2177), or time passes.
 */
#include "mailkeyd/fetcher.h"
#include "mailkeyd/loop.h"
#include "mailkeyd/password.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define WINDOW	100	     /* mails that are listed at once */
#define CHUNK	(128u << 10) /* octets of a mail that are asked for at once */
#define IDLE_MS 540000L	     /* before a router forgets the connection */
#define REST_MS 1000L	     /* after a look for nothing */
#define GONE	500	     /* mails that are deleted by one command */

struct imap {
	struct fetcher *f;
	mailimap *session;
	struct mailimap_set *gone; /* UIDs to be deleted; NULL: none */
	size_t ngone;
	bool put_off; /* a mail, and it is due */
	bool idle, uidplus, no_login;
	bool woken; /* by the server */
	bool known; /* logged in from the start */
};

struct listed {
	uint32_t uid, size;
	bool deleted;
};

enum looked { LOOKED_NOTHING, LOOKED_SOME, LOOKED_TROUBLE };

static bool
trouble(struct imap *i, const char *what, int error)
{
	const struct wire *w = &i->f->wire;

	if (w->broken)
		return fetch_trouble(i->f, "%s: %s", what, wire_trouble(w));
	if (error == MAILIMAP_ERROR_PARSE || i->session->imap_response == NULL)
		return fetch_trouble(
		    i->f, "%s: an answer that is no IMAP", what);
	return fetch_trouble(i->f, "%s: %s", what, i->session->imap_response);
}

static bool
ok(struct imap *i, const char *what, int error)
{
	return error == MAILIMAP_NO_ERROR ? true : trouble(i, what, error);
}

/* ---- the beginning ------------------------------------------------------- */

static void
note_capability(struct imap *i, const struct mailimap_capability *c)
{
	const char *name = c->cap_data.cap_name;

	if (c->cap_type != MAILIMAP_CAPABILITY_NAME || name == NULL)
		return;
	i->idle |= strcasecmp(name, "IDLE") == 0;
	i->uidplus |= strcasecmp(name, "UIDPLUS") == 0;
	i->no_login |= strcasecmp(name, "LOGINDISABLED") == 0;
}

/* libetpan's own function for this trips over an answer that names none. */
static bool
ask_capabilities(struct imap *i)
{
	struct mailimap_connection_info *info =
	    i->session->imap_connection_info;
	int e;

	/* what was said before, by whomever, does not count */
	if (info == NULL)
		return fetch_trouble(i->f, "no memory");
	if (info->imap_capability != NULL)
		mailimap_capability_data_free(info->imap_capability);
	info->imap_capability = NULL;
	i->idle = i->uidplus = i->no_login = false;
	fetch_step(i->f, 0);
	e = mailimap_custom_command(i->session, "CAPABILITY");
	if (!ok(i, "CAPABILITY", e))
		return false;
	if (info->imap_capability == NULL ||
	    info->imap_capability->cap_list == NULL)
		return true;
	for (clistiter *at = clist_begin(info->imap_capability->cap_list);
	     at != NULL; at = clist_next(at))
		note_capability(i, clist_content(at));
	return true;
}

static bool
greet(struct imap *i)
{
	mailstream *stream = fetch_connect(i->f);
	int e;

	if (stream == NULL)
		return false;
	e = mailimap_connect(i->session, stream); /* takes the stream over */
	if (e != MAILIMAP_NO_ERROR_NON_AUTHENTICATED &&
	    e != MAILIMAP_NO_ERROR_AUTHENTICATED)
		return trouble(i, "greeting", e);
	i->known = e == MAILIMAP_NO_ERROR_AUTHENTICATED;
	if (i->f->tls != RECEIVE_TLS_STARTTLS)
		return true;
	/* Nobody is logged in before TLS, except by who wants to keep us from
	 * it. */
	if (i->known)
		return fetch_trouble(i->f, "greeting: logged in without TLS");
	fetch_step(i->f, 0);
	return ok(i, "STARTTLS", mailimap_starttls(i->session)) &&
	       fetch_start_tls(i->f, stream);
}

static bool
log_in(struct imap *i)
{
	char *password;
	int e;

	if (!ask_capabilities(i))
		return false;
	if (i->known)
		return true;
	if (i->no_login && i->f->tls == RECEIVE_TLS_NONE)
		return fetch_trouble(i->f,
		    "LOGIN: the server takes no password without TLS; set tls "
		    "= starttls or implicit");
	if (i->no_login)
		return fetch_refused(
		    i->f, "LOGIN", "the server takes no password");
	password = fetch_password(i->f);
	if (password == NULL)
		return false;
	fetch_step(i->f, 0);
	e = mailimap_login(i->session, i->f->user, password);
	password_free(password);
	if (e == MAILIMAP_ERROR_LOGIN && !i->f->wire.broken &&
	    i->session->imap_response != NULL)
		return fetch_refused(i->f, "LOGIN", i->session->imap_response);
	return ok(i, "LOGIN", e) && ask_capabilities(i);
}

/* Opens the folder, again for each look: so the server tells how many mails
 * there are now. */
static bool
open_folder(struct imap *i)
{
	const struct mailimap_selection_info *info;

	fetch_step(i->f, 0);
	if (!ok(i, "SELECT", mailimap_select(i->session, i->f->folder)))
		return false;
	info = i->session->imap_selection_info;
	if (info == NULL)
		return trouble(i, "SELECT", MAILIMAP_ERROR_PARSE);
	if (info->sel_perm == MAILIMAP_MAILBOX_READONLY)
		return fetch_trouble(
		    i->f, "SELECT: the folder can only be read");
	/* The same number names another mail then. */
	if (info->sel_uidvalidity != i->f->validity)
		later_clear(&i->f->later);
	i->f->validity = info->sel_uidvalidity;
	return true;
}

/* ---- what there is ------------------------------------------------------- */

static bool
is_deleted(const struct mailimap_msg_att_dynamic *flags)
{
	if (flags == NULL || flags->att_list == NULL)
		return false;
	for (clistiter *at = clist_begin(flags->att_list); at != NULL;
	     at = clist_next(at)) {
		const struct mailimap_flag_fetch *flag = clist_content(at);

		if (flag->fl_flag != NULL &&
		    flag->fl_flag->fl_type == MAILIMAP_FLAG_DELETED)
			return true;
	}
	return false;
}

static struct listed
listed(const struct mailimap_msg_att *mail)
{
	struct listed l = {0};

	for (clistiter *at = clist_begin(mail->att_list); at != NULL;
	     at = clist_next(at)) {
		const struct mailimap_msg_att_item *item = clist_content(at);
		const struct mailimap_msg_att_static *s;

		if (item->att_type == MAILIMAP_MSG_ATT_ITEM_DYNAMIC)
			l.deleted |= is_deleted(item->att_data.att_dyn);
		if (item->att_type != MAILIMAP_MSG_ATT_ITEM_STATIC)
			continue;
		s = item->att_data.att_static;
		if (s->att_type == MAILIMAP_MSG_ATT_UID)
			l.uid = s->att_data.att_uid;
		if (s->att_type == MAILIMAP_MSG_ATT_RFC822_SIZE)
			l.size = s->att_data.att_rfc822_size;
	}
	return l;
}

/* The mails first to last of the folder, WINDOW at the most; -1: trouble. */
static int
list(struct imap *i, uint32_t first, uint32_t last, struct listed out[WINDOW])
{
	struct mailimap_fetch_type *what =
	    mailimap_fetch_type_new_fetch_att_list_empty();
	struct mailimap_set *set = mailimap_set_new_interval(first, last);
	clist *mails = NULL;
	int e, n = 0;

	mailimap_fetch_type_new_fetch_att_list_add(
	    what, mailimap_fetch_att_new_uid());
	mailimap_fetch_type_new_fetch_att_list_add(
	    what, mailimap_fetch_att_new_rfc822_size());
	mailimap_fetch_type_new_fetch_att_list_add(
	    what, mailimap_fetch_att_new_flags());
	fetch_step(i->f, 4 * FETCH_REPLY);
	e = mailimap_fetch(i->session, set, what, &mails);
	mailimap_set_free(set);
	mailimap_fetch_type_free(what);
	if (!ok(i, "FETCH", e))
		return -1;
	for (clistiter *at = clist_begin(mails); at != NULL && n < WINDOW;
	     at = clist_next(at)) {
		out[n] = listed(clist_content(at));
		n += out[n].uid != 0;
	}
	mailimap_fetch_list_free(mails);
	return n;
}

/* ---- one mail ------------------------------------------------------------ */

enum { PIECE_TROUBLE = -1, PIECE_REFUSED = -2, PIECE_GONE = -3 };

static const struct mailimap_msg_att_body_section *
find_piece(clist *mails, uint32_t uid)
{
	const struct mailimap_msg_att_body_section *piece = NULL;

	for (clistiter *at = clist_begin(mails); at != NULL;
	     at = clist_next(at)) {
		const struct mailimap_msg_att *mail = clist_content(at);

		if (listed(mail).uid != uid)
			continue;
		for (clistiter *in = clist_begin(mail->att_list); in != NULL;
		     in = clist_next(in)) {
			const struct mailimap_msg_att_item *item =
			    clist_content(in);

			if (item->att_type == MAILIMAP_MSG_ATT_ITEM_STATIC &&
			    item->att_data.att_static->att_type ==
				MAILIMAP_MSG_ATT_BODY_SECTION)
				piece = item->att_data.att_static->att_data
					    .att_body_section;
		}
	}
	return piece;
}

/* Writes the piece that an answer holds; its octets, or why there are none. */
static ssize_t
keep_piece(struct imap *i, clist *mails, uint32_t uid, int fd)
{
	const struct mailimap_msg_att_body_section *piece =
	    find_piece(mails, uid);

	if (piece == NULL)
		return PIECE_GONE;
	if (piece->sec_body_part == NULL)
		return 0;
	if (piece->sec_length > CHUNK) {
		fetch_trouble(i->f, "FETCH: more octets than were asked for");
		return PIECE_TROUBLE;
	}
	if (ipc_write_all(fd, piece->sec_body_part, piece->sec_length) == 0)
		return (ssize_t)piece->sec_length;
	fetch_trouble(i->f, "no memory for a mail");
	return PIECE_TROUBLE;
}

static ssize_t
fetch_piece(struct imap *i, uint32_t uid, uint32_t offset, int fd)
{
	struct mailimap_section *section = mailimap_section_new(NULL);
	struct mailimap_fetch_type *what =
	    mailimap_fetch_type_new_fetch_att_list_empty();
	struct mailimap_set *set = mailimap_set_new_single(uid);
	clist *mails = NULL;
	ssize_t n;
	int e;

	mailimap_fetch_type_new_fetch_att_list_add(
	    what, mailimap_fetch_att_new_uid());
	mailimap_fetch_type_new_fetch_att_list_add(
	    what, mailimap_fetch_att_new_body_peek_section_partial(
		      section, offset, CHUNK));
	fetch_step(i->f, CHUNK);
	e = mailimap_uid_fetch(i->session, set, what, &mails);
	mailimap_set_free(set);
	mailimap_fetch_type_free(what);
	if (e == MAILIMAP_ERROR_UID_FETCH && !i->f->wire.broken)
		return PIECE_REFUSED;
	if (!ok(i, "UID FETCH", e))
		return PIECE_TROUBLE;
	n = keep_piece(i, mails, uid, fd);
	mailimap_fetch_list_free(mails);
	return n;
}

/*
 * Fetches a mail piece by piece; its octets, or why there are none.  Of one
 * that is too large it is enough to have the header.  A piece may be shorter
 * than was asked for, and the size that the server lists wrong: the end is
 * where they agree, and else an empty piece.
 */
static ssize_t
fetch_pieces(struct imap *i, const struct listed *l, uint64_t most, int fd)
{
	uint32_t at = 0;

	for (;;) {
		ssize_t n = fetch_piece(i, l->uid, at, fd);

		if (n < 0)
			return n;
		at += (uint32_t)n;
		if (n == 0 || at > most || (n < CHUNK && at == l->size))
			return at;
	}
}

/* Gives a mail to the core.  One that cannot be had is put off; it may be gone
 * meanwhile. */
static bool
fetch_mail(struct imap *i, const struct listed *l, const char *key)
{
	struct fetcher *f = i->f;
	bool cut = l->size > f->most;
	uint64_t most = cut ? FETCH_HEADER - 1 : f->most;
	int fd = ipc_memfd("mail", NULL, 0, false);
	ssize_t n;

	if (fd == -1)
		return fetch_trouble(f, "no memory for a mail");
	n = fetch_pieces(i, l, most, fd);
	if (n > 0) {
		fetch_offer(f, l->uid, key, fd,
		    cut && l->size > n ? l->size : (uint64_t)n,
		    (uint64_t)n > most || cut);
		return true;
	}
	close(fd);
	if (n == PIECE_TROUBLE)
		fetch_broke(f, l->uid, key);
	else if (n == PIECE_REFUSED)
		fetch_put_off(f, l->uid, key, "UID FETCH: %s",
		    i->session->imap_response != NULL
			? i->session->imap_response
			: "refused");
	else
		fetch_put_off(f, l->uid, key, "UID FETCH: nothing came");
	return n != PIECE_TROUBLE;
}

/* ---- deleting ------------------------------------------------------------ */

static bool
add_gone(struct imap *i, uint32_t uid)
{
	if (i->gone == NULL)
		i->gone = mailimap_set_new_empty();
	if (i->gone != NULL && mailimap_set_add_single(i->gone, uid) == 0) {
		i->ngone++;
		return true;
	}
	return fetch_trouble(i->f, "no memory");
}

static bool
delete_gone(struct imap *i)
{
	struct mailimap_flag_list *flags = mailimap_flag_list_new_empty();
	struct mailimap_store_att_flags *store;
	int e;

	mailimap_flag_list_add(flags, mailimap_flag_new_deleted());
	store = mailimap_store_att_flags_new_add_flags_silent(flags);
	fetch_step(i->f, 0);
	e = mailimap_uid_store(i->session, i->gone, store);
	mailimap_store_att_flags_free(store);
	if (!ok(i, "UID STORE", e))
		return false;
	fetch_step(i->f, FETCH_LIST);
	if (i->uidplus)
		return ok(i, "UID EXPUNGE",
		    mailimap_uid_expunge(i->session, i->gone));
	return ok(i, "EXPUNGE", mailimap_expunge(i->session));
}

/* ---- one look ------------------------------------------------------------ */

/* What is to be done with one mail of the folder. */
static bool
consider(struct imap *i, const struct listed *l, bool again)
{
	enum fetch_turn turn;
	char key[LATER_KEY];

	snprintf(key, sizeof(key), "%" PRIu32, l->uid);
	turn = fetch_turn(i->f, key);
	/* One of ours that was answered, or that somebody else threw away. */
	if (turn == TURN_REMOVE || (l->deleted && turn != TURN_NOT)) {
		later_add(&i->f->later, key, true);
		later_find(&i->f->later, key);
		return add_gone(i, l->uid);
	}
	i->put_off |= turn == TURN_AGAIN;
	if (turn != (again ? TURN_AGAIN : TURN_NEW))
		return true;
	return fetch_mail(i, l, key);
}

/* Goes through the folder until there is enough in hand. */
static bool
collect(struct imap *i, bool again)
{
	uint32_t exists = i->session->imap_selection_info->sel_exists, last;
	struct listed mails[WINDOW];

	i->put_off = false;
	for (uint32_t first = 1; first <= exists; first = last + 1) {
		int n;

		last = exists - first < WINDOW ? exists : first + WINDOW - 1;
		if ((n = list(i, first, last, mails)) == -1)
			return false;
		for (int k = 0; k < n; k++) {
			if (fetch_is_full(i->f) || i->ngone == GONE)
				return true;
			if (!consider(i, &mails[k], again))
				return false;
		}
		if (last == UINT32_MAX)
			break;
	}
	later_sweep(&i->f->later);
	return true;
}

static bool
settle(struct imap *i)
{
	struct fetcher *f = i->f;

	fetch_settle(f);
	for (size_t k = 0; k < f->nbatch; k++)
		if (f->batch[k].fate == FETCH_DONE &&
		    !add_gone(i, f->batch[k].number))
			return false;
	return true;
}

static enum looked
look(struct imap *i)
{
	struct fetcher *f = i->f;
	enum looked found = LOOKED_NOTHING;
	bool good;

	f->nbatch = f->octets = 0;
	f->paused = false;
	fetch_whole(f, fetch_batch_ms(f));
	good = open_folder(i);
	if (good)
		fetch_is_open(f);
	good = good && collect(i, false);
	/* One that was put off may end the session: it comes when there is
	 * nothing else. */
	if (good && i->put_off && f->nbatch == 0 && i->gone == NULL)
		good = collect(i, true);
	/* What the core was given is settled, whatever the server does. */
	if (f->nbatch > 0)
		good = settle(i) && good;
	if (f->nbatch > 0 || i->gone != NULL)
		found = LOOKED_SOME;
	if (good && i->gone != NULL)
		good = delete_gone(i);
	if (i->gone != NULL)
		mailimap_set_free(i->gone);
	i->gone = NULL;
	i->ngone = 0;
	return good ? found : LOOKED_TROUBLE;
}

/* ---- between looks ------------------------------------------------------- */

/* Until the server has something new, or a mail that was put off is due. */
static bool
idle(struct imap *i)
{
	struct fetcher *f = i->f;
	int e;

	fetch_whole(f, 4 * f->timeout_ms);
	fetch_step(f, 0);
	e = mailimap_idle(i->session);
	if (f->wire.broken)
		return trouble(i, "IDLE", e);
	if (e != MAILIMAP_NO_ERROR) { /* it only said that it could */
		i->idle = false;
		return true;
	}
	i->woken = fetch_wait(
	    f, later_wait(&f->later, IDLE_MS), i->session->imap_stream);
	fetch_whole(f, 4 * f->timeout_ms);
	fetch_step(f, FETCH_LIST);
	return ok(i, "IDLE", mailimap_idle_done(i->session));
}

static bool
pass_time(struct imap *i, enum looked found)
{
	struct fetcher *f = i->f;

	if (f->paused) {
		fetch_wait(f, f->pause_ms, NULL);
		return true;
	}
	if (found == LOOKED_SOME)
		return true;
	if (i->woken) /* for nothing: not again at once */
		fetch_wait(f, REST_MS, NULL);
	i->woken = false;
	if (i->idle)
		return idle(i);
	fetch_wait(f, later_wait(&f->later, (long)f->poll_ms), NULL);
	return true;
}

static void
hang_up(struct imap *i)
{
	mailimap *session = i->session;

	if (session->imap_stream != NULL)
		mailstream_close(session->imap_stream);
	session->imap_stream = NULL; /* else mailimap_free() says LOGOUT */
	mailimap_free(session);
	alarm(0);
}

long
fetch_imap(struct fetcher *f)
{
	struct imap i = {.f = f, .session = mailimap_new(0, NULL)};
	enum looked found;

	if (i.session == NULL) {
		fetch_trouble(f, "no memory");
		return -1;
	}
	if (f->validity == 0) /* then they mean something else next time */
		later_clear(&f->later);
	if (greet(&i) && log_in(&i))
		do
			found = look(&i);
		while (found != LOOKED_TROUBLE && pass_time(&i, found));
	hang_up(&i);
	return -1;
}
