/*
 * A configuration as a whole: its defaults, and whether its values go
 * together.
 */
#include "mailkeyd/config_reading.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- defaults ------------------------------------------------------------ */

void
config_defaults(struct config *c)
{
	struct config_limits *l = &c->limits;

	c->cache = 64 * MIB;
	c->parsers = 2;
	c->jail_mails = 1;
	c->helper_timeout = 45;
	c->send.port = 25;
	c->send.connections = 4;
	c->send.retry = 60;
	c->send.give_up = 7 * DAY;
	l->mail = mail_limits_default;
	l->policy = pgp_policy_default;
	l->policy.attribute_size = 64 * KIB;
	l->policy.certifications = 1000;
	l->reply_size = 2 * MIB;
	l->keys_per_mail = mail_limits_default.keys;
	l->max_reply_keys = 10;
	l->max_parts = 5;
	l->max_last = 30;
	l->max_last_reply_keys = 100;
	l->replies_per_hour = 20;
	l->replies_per_day = 200;
	l->bytes_per_day = 20 * MIB;
	l->domain_per_hour = 600;
	l->free_space = 256 * MIB;
	l->quarantine_size = 100 * MIB;
	l->connections = 100;
	l->idle_timeout = 300;
}

/* Sets a text that is still missing. */
static int __attribute__((format(printf, 3, 4)))
otherwise(struct reading *r, char **to, const char *format, ...)
{
	va_list ap;
	int n;

	if (*to != NULL)
		return 0;
	va_start(ap, format);
	n = vasprintf(to, format, ap);
	va_end(ap);
	if (n == -1)
		*to = NULL;
	return n == -1 ? config_no_memory(r) : 0;
}

static int
list_otherwise(struct reading *r, char ***list)
{
	if (*list == NULL && (*list = calloc(1, sizeof(**list))) == NULL)
		return config_no_memory(r);
	return 0;
}

static int
default_receive(struct reading *r)
{
	struct config *c = r->config;

	if (c->nreceive > 0)
		return 0;
	r->file = c->file;
	if (config_add_receive(r, "lmtp", 0) == -1)
		return -1;
	return otherwise(r, &c->receive[0].path, "/run/mailkeyd/lmtp");
}

static int
default_texts(struct reading *r)
{
	struct config *c = r->config;
	struct config_send *s = &c->send;
	const char *at = strrchr(c->address, '@');

	if (otherwise(r, &c->name, "%s", "") == -1 ||
	    otherwise(r, &c->language, "en") == -1 ||
	    otherwise(r, &c->state, "/var/lib/mailkeyd") == -1 ||
	    otherwise(r, &c->control, "%s/control", c->state) == -1 ||
	    otherwise(r, &c->libexec, "%s", LIBEXECDIR) == -1 ||
	    list_otherwise(r, &c->aliases) == -1 ||
	    list_otherwise(r, &c->admins) == -1 ||
	    list_otherwise(r, &c->deny) == -1)
		return -1;
	if (s->type == SEND_SMTP &&
	    (otherwise(r, &s->host, "127.0.0.1") == -1 ||
		otherwise(r, &s->helo, "%s",
		    at != NULL ? at + 1 : "localhost") == -1))
		return -1;
	if (s->type == SEND_SENDMAIL)
		return otherwise(r, &s->path, "/usr/sbin/sendmail");
	return 0;
}

/* ---- all of it together -------------------------------------------------- */

/* Where an option was set; `set` has the places of this section. */
static struct place
place_of(const struct place *set, enum section section, const char *name)
{
	const struct option *o = config_sections[section].options;
	size_t i = 0;

	while (strcmp(o[i].name, name) != 0)
		i++;
	return set[i];
}

static int
check_host(
    struct reading *r, const struct config_receive *v, const struct place *set)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct place p = place_of(set, RECEIVE, "host");
	struct addrinfo *found;

	if (getaddrinfo(v->host, NULL, &hints, &found) != 0)
		return config_fail(r, p.file, p.line,
		    "host cannot be \"%s\"; write a numeric address such as "
		    "127.0.0.1 or ::1",
		    v->host);
	freeaddrinfo(found);
	return 0;
}

/* Options that say nothing to this way in. */
static int
check_strangers(
    struct reading *r, const struct config_receive *v, const struct place *set)
{
	static const struct {
		const char *type, *stranger[11];
	} strangers[] = {
	    [RECEIVE_LMTP] = {"lmtp", {"tls", "user", "password_file", "folder",
					  "ca_file", "poll", "timeout"}},
	    [RECEIVE_MAILDIR] = {"maildir",
		{"mode", "host", "port", "tls", "user", "password_file",
		    "folder", "ca_file", "poll", "timeout"}},
	    [RECEIVE_IMAP] = {"imap", {"path", "mode"}},
	    [RECEIVE_POP3] = {"pop3", {"path", "mode", "folder"}}};
	const char *const *name = strangers[v->type].stranger;

	for (; *name != NULL; name++) {
		struct place p = place_of(set, RECEIVE, *name);

		if (p.line != 0)
			return config_fail(r, p.file, p.line,
			    "%s does not go with type = %s; remove it or "
			    "change the type",
			    *name, strangers[v->type].type);
	}
	return 0;
}

static int
check_maildir(struct reading *r, const struct config_receive *v)
{
	const struct config_send *s = &r->config->send;

	if (v->path == NULL)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has no path; write path = "
		    "\"/DIRECTORY\"",
		    v->title);
	if (s->type == SEND_MAILDIR && strcmp(s->path, v->path) == 0)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" reads the Maildir that send writes; "
		    "change one",
		    v->title);
	return 0;
}

static int
check_lmtp(struct reading *r, struct config_receive *v, const struct place *set)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path);
	struct place mode = place_of(set, RECEIVE, "mode"),
		     path = place_of(set, RECEIVE, "path");

	if (v->path != NULL && (v->host != NULL || v->port != 0))
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has both a path and a host or port; write "
		    "two sections",
		    v->title);
	if (v->path == NULL && v->port == 0)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" listens nowhere; write path = \"/run/"
		    "mailkeyd/lmtp\" or port = 2424",
		    v->title);
	if (v->path != NULL && strlen(v->path) >= most)
		return config_fail(r, path.file, path.line,
		    "the path of path is too long for a socket; keep it under "
		    "%zu octets",
		    most);
	if (v->path != NULL)
		return 0;
	if (mode.line != 0)
		return config_fail(r, mode.file, mode.line,
		    "mode goes with path; remove it or write a path");
	if (otherwise(r, &v->host, "127.0.0.1") == -1)
		return -1;
	return check_host(r, v, set);
}

int
config_is_mailbox(const struct config_receive *v)
{
	return v->type == RECEIVE_IMAP || v->type == RECEIVE_POP3;
}

static bool
is_loopback(const char *host)
{
	unsigned char v4[4], v6[16];
	static const unsigned char one[16] = {[15] = 1};

	if (inet_pton(AF_INET, host, v4) == 1)
		return v4[0] == 127;
	if (inet_pton(AF_INET6, host, v6) == 1)
		return memcmp(v6, one, sizeof(one)) == 0;
	return strcasecmp(host, "localhost") == 0;
}

/* A password would go over the net in the clear. */
static int
check_tls(
    struct reading *r, const struct config_receive *v, const struct place *set)
{
	struct place p = place_of(set, RECEIVE, "tls"),
		     ca = place_of(set, RECEIVE, "ca_file");

	if (v->tls == RECEIVE_TLS_NONE && !is_loopback(v->host))
		return config_fail(r, p.file, p.line,
		    "tls = none is for a server on this machine; write "
		    "implicit or starttls");
	if (v->tls == RECEIVE_TLS_NONE && v->ca_file != NULL)
		return config_fail(r, ca.file, ca.line,
		    "ca_file does not go with tls = none; remove it");
	return 0;
}

/* In folder, what is not ASCII would have to be in modified UTF-7. */
static int
check_folder(
    struct reading *r, const struct config_receive *v, const struct place *set)
{
	struct place p = place_of(set, RECEIVE, "folder");

	if (*v->folder == '\0')
		return config_fail(r, p.file, p.line,
		    "folder cannot be \"\"; write a name or remove the line");
	for (const char *c = v->folder; *c != '\0'; c++)
		if ((unsigned char)*c > '~')
			return config_fail(r, p.file, p.line,
			    "folder cannot be \"%s\"; write it in ASCII, as "
			    "the server lists it",
			    v->folder);
	return 0;
}

static int
check_mailbox(
    struct reading *r, struct config_receive *v, const struct place *set)
{
	struct place password = place_of(set, RECEIVE, "password_file"),
		     ca = place_of(set, RECEIVE, "ca_file");
	bool imap = v->type == RECEIVE_IMAP;

	if (v->host == NULL)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has no host; write host = "
		    "\"mail.example.org\"",
		    v->title);
	if (v->user == NULL || *v->user == '\0')
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has no user; write user = \"NAME\"",
		    v->title);
	if (v->password_file == NULL)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has no password_file; write password_file "
		    "= \"/FILE\"",
		    v->title);
	v->password_place = password.file;
	v->password_line = password.line;
	v->ca_place = ca.file;
	v->ca_line = ca.line;
	if (v->port == 0 && v->tls == RECEIVE_TLS_IMPLICIT)
		v->port = imap ? 993 : 995;
	else if (v->port == 0)
		v->port = imap ? 143 : 110;
	if (otherwise(r, &v->folder, "INBOX") == -1 ||
	    check_folder(r, v, set) == -1)
		return -1;
	return check_tls(r, v, set);
}

static int
check_receive(
    struct reading *r, struct config_receive *v, const struct place *set)
{
	if (place_of(set, RECEIVE, "type").line == 0)
		return config_fail(r, v->file, v->line,
		    "receive \"%s\" has no type; write type = lmtp", v->title);
	if (check_strangers(r, v, set) == -1)
		return -1;
	if (v->type == RECEIVE_LMTP)
		return check_lmtp(r, v, set);
	return v->type == RECEIVE_MAILDIR ? check_maildir(r, v)
					  : check_mailbox(r, v, set);
}

static bool
same_mailbox(const struct config_receive *a, const struct config_receive *b)
{
	return a->type == b->type && a->port == b->port &&
	       strcasecmp(a->host, b->host) == 0 &&
	       strcmp(a->user, b->user) == 0 &&
	       strcmp(a->folder, b->folder) == 0;
}

static bool
same_place(const struct config_receive *a, const struct config_receive *b)
{
	if (config_is_mailbox(a) || config_is_mailbox(b))
		return config_is_mailbox(a) && config_is_mailbox(b) &&
		       same_mailbox(a, b);
	if (a->path != NULL)
		return b->path != NULL && strcmp(a->path, b->path) == 0;
	return b->path == NULL && a->port == b->port &&
	       strcmp(a->host, b->host) == 0;
}

static int
check_receives(struct reading *r)
{
	struct config *c = r->config;

	for (size_t i = 0; i < c->nreceive; i++) {
		struct config_receive *v = &c->receive[i];

		if (v->line != 0 && check_receive(r, v, r->set_receive[i]))
			return -1;
		for (size_t k = 0; k < i; k++)
			if (same_place(v, &c->receive[k]))
				return config_fail(r, v->file, v->line,
				    "receive \"%s\" %s where \"%s\" of "
				    "%s:%u does; change one",
				    v->title,
				    config_is_mailbox(v) ? "reads" : "listens",
				    c->receive[k].title, c->receive[k].file,
				    c->receive[k].line);
		if (v->path != NULL && strcmp(v->path, c->control) == 0)
			return config_fail(r, v->file, v->line,
			    "receive \"%s\" listens where control does; "
			    "change one",
			    v->title);
	}
	return 0;
}

static int
check_peer(struct reading *r, struct config_peer *p, const struct place *set)
{
	struct place a = place_of(set, PEER, "address");

	if (*p->title == '\0' || strlen(p->title) > PEER_TITLE_MAX)
		return config_fail(r, p->file, p->line,
		    "a peer's title has 1 to %d octets; write another one",
		    PEER_TITLE_MAX);
	if (p->address == NULL)
		return config_fail(r, p->file, p->line,
		    "peer \"%s\" has no address; write address = "
		    "\"keys@example.net\"",
		    p->title);
	if (config_is_ours(r->config, p->address))
		return config_fail(r, a.file, a.line,
		    "address %s of peer \"%s\" is our own; write the other "
		    "server's",
		    p->address, p->title);
	return otherwise(r, &p->sender, "%s", p->address);
}

static int
check_peers(struct reading *r)
{
	struct config *c = r->config;

	for (size_t i = 0; i < c->npeer; i++) {
		struct config_peer *p = &c->peer[i];

		if (check_peer(r, p, r->set_peer[i]) == -1)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (strcasecmp(p->address, c->peer[k].address) == 0 ||
			    strcasecmp(p->sender, c->peer[k].sender) == 0)
				return config_fail(r, p->file, p->line,
				    "peer \"%s\" has the address of \"%s\" "
				    "of %s:%u; remove one",
				    p->title, c->peer[k].title, c->peer[k].file,
				    c->peer[k].line);
	}
	return 0;
}

/* A code such as "de" or "zh-tw": whether there is such a help, whoever
 * writes it knows. */
static int
check_language(struct reading *r)
{
	struct place p = place_of(r->set[TOP], TOP, "language");
	const char *s = r->config->language;

	if (*s != '\0' &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")] == '\0')
		return 0;
	return config_fail(r, p.file, p.line,
	    "language cannot be \"%s\"; write a code such as en or zh-tw", s);
}

/* Options that say nothing to this way of sending. */
static int
check_send(struct reading *r)
{
	static const struct {
		const char *type, *stranger[4];
	} strangers[] = {[SEND_SMTP] = {"smtp", {"path"}},
	    [SEND_SENDMAIL] = {"sendmail", {"host", "port", "helo"}},
	    [SEND_MAILDIR] = {"maildir", {"host", "port", "helo"}}};
	const struct config_send *s = &r->config->send;
	const struct place *set = r->set[SEND];
	const char *const *name = strangers[s->type].stranger;
	struct place p;

	for (; *name != NULL; name++)
		if ((p = place_of(set, SEND, *name)).line != 0)
			return config_fail(r, p.file, p.line,
			    "%s does not go with type = %s; remove it or "
			    "change the type",
			    *name, strangers[s->type].type);
	if (s->type == SEND_MAILDIR && s->path == NULL) {
		p = place_of(set, SEND, "type");
		return config_fail(r, p.file, p.line,
		    "type = maildir has no path; write path = "
		    "\"/DIRECTORY\"");
	}
	return 0;
}

/* Points at the first of two options that was set, when they do not go
 * together: somebody else's default cannot be changed. */
static struct place
either(struct reading *r, enum section section, const char *a, const char *b)
{
	struct place p = place_of(r->set[section], section, a);

	if (p.line == 0)
		p = place_of(r->set[section], section, b);
	if (p.line == 0)
		p.file = r->config->file;
	return p;
}

static int
check_times(struct reading *r)
{
	const struct config_send *s = &r->config->send;
	struct place p;

	if (s->give_up >= s->retry)
		return 0;
	p = either(r, SEND, "give_up", "retry");
	return config_fail(r, p.file, p.line,
	    "give_up %us is less than retry %us; raise it or lower retry",
	    s->give_up, s->retry);
}

static int
check_order(struct reading *r, const char *outer, size_t size,
    const char *inner, size_t part)
{
	struct place p;

	if (size >= part)
		return 0;
	p = either(r, LIMITS, outer, inner);
	return config_fail(r, p.file, p.line,
	    "%s %zu is less than %s %zu; raise it or lower %s", outer, size,
	    inner, part, inner);
}

static int
check_limits(struct reading *r)
{
	struct config_limits *l = &r->config->limits;
	size_t least;
	struct place p;

	l->mail.keys = l->keys_per_mail;
	if (!r->config->certificates.attributes)
		l->policy.attribute_size = 0;
	l->policy.keep_unverified = r->config->certificates.unverified;
	if (!r->config->certificates.certifications)
		l->policy.certifications = 0;
	/* Armor adds a third and line ends, the rest is header and text. */
	least = l->policy.certificate_size / 5 * 7 + 16 * 1024;
	if (l->reply_size < least) {
		p = either(r, LIMITS, "reply_size", "certificate_size");
		return config_fail(r, p.file, p.line,
		    "reply_size %zu cannot hold one certificate of "
		    "certificate_size %zu; set it to %zuK at least",
		    l->reply_size, l->policy.certificate_size,
		    (least + 1023) / 1024);
	}
	if (check_order(r, "message_size", l->mail.message_size, "header_size",
		l->mail.header_size) == -1)
		return -1;
	return check_order(r, "header_size", l->mail.header_size, "field_size",
	    l->mail.field_size);
}

/* Where files were named, for who sees whether they can be run or read. */
static void
note_files(struct reading *r)
{
	struct config *c = r->config;
	const struct place list =
	    place_of(r->set[CERTIFICATES], CERTIFICATES, "block_list");
	struct place libexec = place_of(r->set[TOP], TOP, "libexec"),
		     gpg = place_of(r->set[TOP], TOP, "gpg"),
		     path = either(r, SEND, "path", "type");

	c->libexec_file = libexec.file;
	c->libexec_line = libexec.line;
	c->gpg_file = gpg.file;
	c->gpg_line = gpg.line;
	c->block_list_file = list.file;
	c->block_list_line = list.line;
	c->send.path_file = path.file;
	c->send.path_line = path.line;
}

int
config_check(struct reading *r)
{
	struct config *c = r->config;
	struct place state = place_of(r->set[TOP], TOP, "state"),
		     language = place_of(r->set[TOP], TOP, "language"),
		     control = place_of(r->set[TOP], TOP, "control");

	if (c->address == NULL)
		return config_fail(r, c->file, 0,
		    "no address; add a line such as address = "
		    "\"keys@example.org\"");
	c->language_file = language.file;
	c->language_line = language.line;
	c->state_file = state.file;
	c->state_line = state.line;
	note_files(r);
	if (check_send(r) == -1 || check_times(r) == -1 ||
	    default_texts(r) == -1)
		return -1;
	if (control.line == 0 &&
	    strlen(c->control) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return config_fail(r, state.file, state.line,
		    "%s is too long for a socket; set control to a shorter "
		    "path",
		    c->control);
	if (default_receive(r) == -1 || check_receives(r) == -1 ||
	    check_peers(r) == -1 || check_language(r) == -1)
		return -1;
	return check_limits(r);
}
