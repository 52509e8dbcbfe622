/*
 * mailkeyd.conf to struct config: libconfuse tells the words apart, the tables
 * say which options there are and what they may be.
 */
#include "mailkeyd/config_reading.h"
#include "mailkeyd/config_scan.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1u << 20)
#define FILES_MAX     32

static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const drop_keep[] = {"drop", "keep", NULL};
static const char *const self_all[] = {"self", "all", NULL};
static const char *const logs[] = {"stderr", "syslog", NULL};
static const char *const receive_types[] = {
    "lmtp", "maildir", "imap", "pop3", NULL};
static const char *const tls_modes[] = {"implicit", "starttls", "none", NULL};
static const char *const send_types[] = {"smtp", "sendmail", "maildir", NULL};

#define AT(field) offsetof(struct config, field)
static const struct option top_options[] = {
    {"address", ADDRESS, AT(address), 0, 0, NULL},
    {"name", TEXT, AT(name), 0, 200, NULL},
    {"aliases", LIST, AT(aliases), 0, 0, NULL},
    {"admins", LIST, AT(admins), 0, 0, NULL},
    {"deny", LIST, AT(deny), 0, LIST_DOMAINS, NULL},
    {"language", TEXT, AT(language), 0, 35, NULL},
    {"state", PATH, AT(state), 0, 0, NULL},
    {"control", SOCKET, AT(control), 0, 0, NULL},
    {"libexec", PATH, AT(libexec), 0, 0, NULL},
    {"gpg", PATH, AT(gpg), 0, 0, NULL},
    {"cache", SIZE, AT(cache), MIB, 1024 * 1024 * MIB, NULL},
    {"parsers", NUMBER, AT(parsers), 1, 64, NULL},
    {"jail_mails", NUMBER, AT(jail_mails), 1, 1000000, NULL},
    {"helper_timeout", SECONDS, AT(helper_timeout), 5, 3600, NULL},
    {"jail_required", CHOICE, AT(jail_required), 0, 0, no_yes},
    {"log", CHOICE, AT(syslog), 0, 0, logs},
};
#undef AT

#define AT(field) offsetof(struct config_receive, field)
static const struct option receive_options[] = {
    {"type", CHOICE, AT(type), 0, 0, receive_types},
    {"path", PATH, AT(path), 0, 0, NULL},
    {"mode", MODE, AT(mode), 0, 0777, NULL},
    {"host", WORD, AT(host), 0, 255, NULL},
    {"port", PORT, AT(port), 1, 65535, NULL},
    {"tls", CHOICE, AT(tls), 0, 0, tls_modes},
    {"user", TEXT, AT(user), 0, 255, NULL},
    {"password_file", PATH, AT(password_file), 0, 0, NULL},
    {"folder", TEXT, AT(folder), 0, 255, NULL},
    {"ca_file", PATH, AT(ca_file), 0, 0, NULL},
    {"poll", SECONDS, AT(poll), 1, DAY, NULL},
    {"timeout", SECONDS, AT(timeout), 1, 3600, NULL},
};
#undef AT

#define AT(field) offsetof(struct config_send, field)
static const struct option send_options[] = {
    {"type", CHOICE, AT(type), 0, 0, send_types},
    {"host", WORD, AT(host), 0, 255, NULL},
    {"port", PORT, AT(port), 1, 65535, NULL},
    {"helo", WORD, AT(helo), 0, 255, NULL},
    {"path", PATH, AT(path), 0, 0, NULL},
    {"connections", NUMBER, AT(connections), 1, 64, NULL},
    {"retry", SECONDS, AT(retry), 1, DAY, NULL},
    {"give_up", SECONDS, AT(give_up), 60, 365 * DAY, NULL},
};
#undef AT

#define AT(field) offsetof(struct config_peer, field)
static const struct option peer_options[] = {
    {"address", ADDRESS, AT(address), 0, 0, NULL},
    {"sender", ADDRESS, AT(sender), 0, 0, NULL},
    {"header_from", CHOICE, AT(header_from), 0, 0, no_yes},
    {"gather", SECONDS, AT(gather), 0, DAY, NULL},
    {"message_size", SIZE, AT(message_size), 16 * KIB, 32 * MIB, NULL},
    {"keys_per_mail", NUMBER, AT(keys_per_mail), 1, PEER_KEYS_PER_DAY, NULL},
    {"mail_size", SIZE, AT(mail_size), 16 * KIB, 32 * MIB, NULL},
    {"mails_per_hour", NUMBER, AT(mails_per_hour), 1, 100000, NULL},
};
#undef AT

#define AT(field) offsetof(struct config_certificates, field)
static const struct option certificate_options[] = {
    {"attributes", CHOICE, AT(attributes), 0, 0, drop_keep},
    {"unverified", CHOICE, AT(unverified), 0, 0, drop_keep},
    {"certifications", CHOICE, AT(certifications), 0, 0, self_all},
    {"block_list", PATH, AT(block_list), 0, 0, NULL},
};
#undef AT

/* The upper ends of what is checked before libetpan looks lie well below
 * what kills it. */
#define AT(field) offsetof(struct config_limits, field)
static const struct option limit_options[] = {
    {"message_size", SIZE, AT(mail.message_size), 16 * KIB, 32 * MIB, NULL},
    {"header_size", SIZE, AT(mail.header_size), KIB, 256 * KIB, NULL},
    {"field_size", SIZE, AT(mail.field_size), 998, 64 * KIB, NULL},
    {"header_fields", NUMBER, AT(mail.fields), 20, 5000, NULL},
    {"content_types", NUMBER, AT(mail.content_types), 1, 1000, NULL},
    {"nested_messages", NUMBER, AT(mail.messages), 0, 100, NULL},
    {"mime_depth", NUMBER, AT(mail.depth), 1, 100, NULL},
    {"mime_parts", NUMBER, AT(mail.parts), 1, 1000, NULL},
    {"keys_per_mail", NUMBER, AT(keys_per_mail), 1, 5000, NULL},
    {"certificate_size", SIZE, AT(policy.certificate_size), 8 * KIB, MIB, NULL},
    {"packet_size", SIZE, AT(policy.packet_size), KIB, 64 * KIB, NULL},
    {"user_id_size", SIZE, AT(policy.userid_size), 64, 8 * KIB, NULL},
    {"attribute_size", SIZE, AT(policy.attribute_size), KIB, MIB, NULL},
    {"signature_size", SIZE, AT(policy.signature_size), KIB, MIB, NULL},
    {"user_ids", NUMBER, AT(policy.userids), 1, 5000, NULL},
    {"subkeys", NUMBER, AT(policy.subkeys), 1, 1000, NULL},
    {"self_signatures", NUMBER, AT(policy.self_signatures), 1, 1000, NULL},
    {"revocations", NUMBER, AT(policy.revocations), 1, 1000, NULL},
    {"claims", NUMBER, AT(policy.claims), 1, 1000, NULL},
    {"certifications", NUMBER, AT(policy.certifications), 1, 100000, NULL},
    {"certificate_claims", NUMBER, AT(policy.all_claims), 1, 100000, NULL},
    {"future", SECONDS, AT(policy.future), 0, 30 * DAY, NULL},
    {"reply_size", SIZE, AT(reply_size), 16 * KIB, 32 * MIB, NULL},
    {"max_reply_keys", NUMBER, AT(max_reply_keys), 1, 1000, NULL},
    {"max_parts", NUMBER, AT(max_parts), 1, 100, NULL},
    {"max_last", NUMBER, AT(max_last), 0, 3650, NULL},
    {"max_last_reply_keys", NUMBER, AT(max_last_reply_keys), 1, 10000, NULL},
    {"mget", CHOICE, AT(mget), 0, 0, no_yes},
    {"replies_per_hour", NUMBER, AT(replies_per_hour), 0, 1000000, NULL},
    {"replies_per_day", NUMBER, AT(replies_per_day), 0, 10000000, NULL},
    {"bytes_per_day", OCTETS, AT(bytes_per_day), 0, MIB *MIB, NULL},
    {"domain_per_hour", NUMBER, AT(domain_per_hour), 0, 10000000, NULL},
    {"domain_bytes_per_day", OCTETS, AT(domain_bytes_per_day), 0, MIB *MIB,
	NULL},
    {"server_per_hour", NUMBER, AT(server_per_hour), 0, 100000000, NULL},
    {"server_bytes_per_day", OCTETS, AT(server_bytes_per_day), 0, MIB *MIB,
	NULL},
    {"free_space", OCTETS, AT(free_space), 0, MIB *MIB, NULL},
    {"quarantine_size", OCTETS, AT(quarantine_size), 0, MIB *MIB, NULL},
    {"connections", NUMBER, AT(connections), 1, 10000, NULL},
    {"idle_timeout", SECONDS, AT(idle_timeout), 1, DAY, NULL},
};
#undef AT

_Static_assert(
    COUNT(top_options) <= OPTIONS_MAX && COUNT(limit_options) <= OPTIONS_MAX,
    "room for the places of all options");

const struct section_options config_sections[SECTIONS] = {
    [TOP] = {top_options, COUNT(top_options)},
    [RECEIVE] = {receive_options, COUNT(receive_options)},
    [SEND] = {send_options, COUNT(send_options)},
    [CERTIFICATES] = {certificate_options, COUNT(certificate_options)},
    [LIMITS] = {limit_options, COUNT(limit_options)},
    [PEER] = {peer_options, COUNT(peer_options)}};

/* The one reading under way: libconfuse hands no context to its callbacks. */
static struct reading *r;

/* What libconfuse says, and what to do about it. */
static const struct {
	const char *begin, *remedy;
} remedies[] = {
    {"missing equal sign", "write OPTION = VALUE"},
    {"missing opening brace", "write NAME { ... }; only receive and peer have "
			      "a title"},
    {"missing title", "write it behind the name, as in peer \"NAME\" { ... }"},
    {"missing closing paren", "write include(\"FILE\")"},
    {"missing parenthesis", "write include(\"FILE\")"},
    {"attempt to append", "write = instead of +="},
    {"found duplicate title", "give each section a name of its own"},
    {"", "mailkeyd.conf(5) shows how it is written"},
};

static void
on_error(cfg_t *cfg, const char *format, va_list ap)
{
	static const char unknown[] = "no such option '";
	char text[256];
	size_t i = 0;

	vsnprintf(text, sizeof(text), format, ap);
	if (strncmp(text, unknown, sizeof(unknown) - 1) == 0) {
		char *name = text + sizeof(unknown) - 1;

		name[strcspn(name, "'")] = '\0';
		config_fail(r, r->file, (unsigned)cfg->line,
		    "unknown option \"%s\"; mailkeyd.conf(5) lists what there "
		    "is",
		    name);
		return;
	}
	while (strncmp(text, remedies[i].begin, strlen(remedies[i].begin)) != 0)
		i++;
	config_fail(r, r->file, (unsigned)cfg->line, "%s; %s", text,
	    remedies[i].remedy);
}

/* ---- what libconfuse calls ----------------------------------------------- */

int
config_add_receive(struct reading *reading, const char *title, unsigned line)
{
	struct config *c = reading->config;
	struct config_receive *receive;
	struct place(*set)[OPTIONS_MAX];

	for (size_t i = 0; i < c->nreceive; i++)
		if (strcmp(c->receive[i].title, title) == 0)
			return config_fail(reading, reading->file, line,
			    "receive \"%s\" is also in %s:%u; give each a name "
			    "of its own",
			    title, c->receive[i].file, c->receive[i].line);
	receive = reallocarray(c->receive, c->nreceive + 1, sizeof(*receive));
	if (receive == NULL)
		return config_no_memory(reading);
	c->receive = receive;
	set = reallocarray(reading->set_receive, c->nreceive + 1, sizeof(*set));
	if (set == NULL)
		return config_no_memory(reading);
	reading->set_receive = set;
	receive += c->nreceive;
	memset(set[c->nreceive], 0, sizeof(*set));
	memset(receive, 0, sizeof(*receive));
	receive->mode = 0660;
	receive->poll = receive->timeout = 60;
	receive->file = reading->file;
	receive->line = line;
	if ((receive->title = strdup(title)) == NULL)
		return config_no_memory(reading);
	c->nreceive++;
	return 0;
}

int
config_add_peer(struct reading *reading, const char *title, unsigned line)
{
	struct config *c = reading->config;
	struct config_peer *peer;
	struct place(*set)[OPTIONS_MAX];

	for (size_t i = 0; i < c->npeer; i++)
		if (strcmp(c->peer[i].title, title) == 0)
			return config_fail(reading, reading->file, line,
			    "peer \"%s\" is also in %s:%u; give each a name "
			    "of its own",
			    title, c->peer[i].file, c->peer[i].line);
	peer = reallocarray(c->peer, c->npeer + 1, sizeof(*peer));
	if (peer == NULL)
		return config_no_memory(reading);
	c->peer = peer;
	set = reallocarray(reading->set_peer, c->npeer + 1, sizeof(*set));
	if (set == NULL)
		return config_no_memory(reading);
	reading->set_peer = set;
	peer += c->npeer;
	memset(set[c->npeer], 0, sizeof(*set));
	*peer = (struct config_peer){.gather = 60,
	    .message_size = 16 * MIB,
	    .keys_per_mail = 5000,
	    .mail_size = MIB,
	    .mails_per_hour = 60,
	    .file = reading->file,
	    .line = line};
	if ((peer->title = strdup(title)) == NULL)
		return config_no_memory(reading);
	c->npeer++;
	return 0;
}

/* A section with a title begins with its first value. */
static int
titled(cfg_t *cfg, int (*add)(struct reading *, const char *, unsigned))
{
	if (r->section == cfg)
		return 0;
	if (add(r, cfg->title, (unsigned)cfg->line) == -1)
		return -1;
	r->section = cfg;
	r->nsections++;
	return 0;
}

/* Sections that there is one of. */
static const struct {
	const char *name;
	enum section section;
	size_t offset;
} untitled[] = {
    {"send", SEND, offsetof(struct config, send)},
    {"certificates", CERTIFICATES, offsetof(struct config, certificates)},
    {"limits", LIMITS, offsetof(struct config, limits)},
};

/* The struct that a section fills, and where its values were set. */
static void *
target(cfg_t *cfg, enum section *section, struct place **set)
{
	struct config *c = r->config;

	if (strcmp(cfg->name, "receive") == 0) {
		*section = RECEIVE;
		if (titled(cfg, config_add_receive) == -1)
			return NULL;
		*set = r->set_receive[c->nreceive - 1];
		return &c->receive[c->nreceive - 1];
	}
	if (strcmp(cfg->name, "peer") == 0) {
		*section = PEER;
		if (titled(cfg, config_add_peer) == -1)
			return NULL;
		*set = r->set_peer[c->npeer - 1];
		return &c->peer[c->npeer - 1];
	}
	for (size_t i = 0; i < COUNT(untitled); i++)
		if (strcmp(cfg->name, untitled[i].name) == 0) {
			*section = untitled[i].section;
			*set = r->set[*section];
			return (char *)c + untitled[i].offset;
		}
	*section = TOP;
	*set = r->set[TOP];
	return c;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	unsigned line = (unsigned)cfg->line;
	const struct option *o;
	enum section section;
	struct place *set;
	void *base;
	size_t i = 0;

	*(void **)result = NULL; /* libconfuse keeps nothing */
	if ((base = target(cfg, &section, &set)) == NULL)
		return -1;
	while (strcmp(config_sections[section].options[i].name, opt->name) != 0)
		i++;
	o = &config_sections[section].options[i];
	/* A list goes on; another = would empty it.  One of another file adds
	 * to it. */
	if (set[i].line != 0 &&
	    (o->kind != LIST || (opt->nvalues == 1 && set[i].file == r->file)))
		return config_fail(r, r->file, line,
		    "%s is set again; remove it here or in %s:%u", o->name,
		    set[i].file, set[i].line);
	if (config_set(r, o, line, value, base) == -1)
		return -1;
	set[i] = (struct place){r->file, line};
	return 0;
}

/* Notes a file to be read after this one: relative names lie beside it. */
static int
on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct config *c = r->config;
	const char *slash = strrchr(r->file, '/');
	unsigned line = (unsigned)cfg->line;
	char *path;
	int dir = 0, ok;

	(void)opt;
	if (argc != 1 || argv[0][0] == '\0')
		return config_fail(r, r->file, line,
		    "include takes one file; write include(\"FILE\")");
	if (argv[0][0] != '/' && slash != NULL)
		dir = (int)(slash + 1 - r->file);
	if (asprintf(&path, "%.*s%s", dir, r->file, argv[0]) == -1)
		return config_no_memory(r);
	if (access(path, R_OK) == -1)
		ok = config_fail(r, r->file, line,
		    "cannot read %s: %s; make it readable or remove the "
		    "include",
		    path, strerror(errno));
	else if (r->nfiles == FILES_MAX)
		ok = config_fail(r, r->file, line,
		    "more than %d files; does one include itself?", FILES_MAX);
	else
		ok = config_append(&c->files, path) == 0 ? 0
							 : config_no_memory(r);
	free(path);
	for (size_t i = 0; ok == 0 && i < r->nfiles; i++)
		if (strcmp(c->files[i], c->files[r->nfiles]) == 0)
			ok = config_fail(r, r->file, line,
			    "%s is included a second time; remove one",
			    c->files[i]);
	r->nfiles += ok == 0;
	return ok;
}

/* The options of a section as libconfuse wants them: each value as the text
 * that it is, given to on_value(). */
static void
describe(cfg_opt_t *out, const struct option *o, size_t n)
{
	static const cfg_opt_t end = CFG_END();

	for (size_t i = 0; i < n; i++)
		out[i] = (cfg_opt_t){.name = o[i].name,
		    .type = CFGT_PTR,
		    .flags = CFGF_NODEFAULT |
			     (o[i].kind == LIST ? CFGF_LIST : CFGF_NONE),
		    .parsecb = on_value};
	out[n] = end;
}

/* ---- reading ------------------------------------------------------------- */

static int
read_text(char **text, size_t *len)
{
	struct stat st;
	ssize_t n = 0;
	size_t got = 0;
	char *buf = NULL;
	int fd, ok = -1;

	if ((fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1 ||
	    fstat(fd, &st) == -1) {
		config_fail(r, r->file, 0,
		    "cannot read it: %s; name a file with -c", strerror(errno));
		goto done;
	}
	if (S_ISDIR(st.st_mode)) {
		config_fail(
		    r, r->file, 0, "it is a directory; name a file with -c");
		goto done;
	}
	if ((buf = malloc(FILE_SIZE_MAX + 2)) == NULL) {
		config_no_memory(r);
		goto done;
	}
	while (got <= FILE_SIZE_MAX &&
	       (n = read(fd, buf + got, FILE_SIZE_MAX + 1 - got)) > 0)
		got += (size_t)n;
	if (n == -1)
		config_fail(r, r->file, 0,
		    "cannot read it: %s; look at its disk", strerror(errno));
	else if (got > FILE_SIZE_MAX)
		config_fail(r, r->file, 0,
		    "longer than a megabyte; is it the right "
		    "file?");
	else
		ok = 0;
	buf[got] = '\n';
	*len = got + 1;
done:
	if (fd != -1)
		close(fd);
	if (ok == -1)
		free(buf);
	else
		*text = buf;
	return ok;
}

/* A section without a single value never came to on_value(). */
static int
check_empty(cfg_t *cfg)
{
	unsigned n = cfg_size(cfg, "receive"), m = cfg_size(cfg, "peer");

	for (unsigned i = 0; i < m && n + m > r->nsections; i++) {
		cfg_t *s = cfg_getnsec(cfg, "peer", i);
		bool found = false;

		for (size_t k = 0; k < r->config->npeer; k++)
			found |=
			    strcmp(r->config->peer[k].title, s->title) == 0;
		if (!found)
			return config_fail(r, r->file, (unsigned)s->line,
			    "peer \"%s\" is empty; write address = "
			    "\"keys@example.net\"",
			    s->title);
	}
	for (unsigned i = 0; i < n && n + m > r->nsections; i++) {
		cfg_t *s = cfg_getnsec(cfg, "receive", i);
		bool found = false;

		for (size_t k = 0; k < r->config->nreceive; k++)
			found |=
			    strcmp(r->config->receive[k].title, s->title) == 0;
		if (!found)
			return config_fail(r, r->file, (unsigned)s->line,
			    "receive \"%s\" is empty; write type = lmtp and "
			    "path or port",
			    s->title);
	}
	return 0;
}

static int
parse_text(char *text, size_t len)
{
	cfg_opt_t receive[OPTIONS_MAX + 1], send[OPTIONS_MAX + 1],
	    certificates[OPTIONS_MAX + 1], limits[OPTIONS_MAX + 1],
	    peer[OPTIONS_MAX + 1], top[OPTIONS_MAX + 7];
	const cfg_opt_t more[] = {
	    CFG_SEC("receive", receive,
		CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	    CFG_SEC(
		"peer", peer, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	    CFG_SEC("send", send, CFGF_NONE),
	    CFG_SEC("certificates", certificates, CFGF_NONE),
	    CFG_SEC("limits", limits, CFGF_NONE),
	    CFG_FUNC("include", on_include), CFG_END()};
	cfg_t *cfg = NULL;
	FILE *f;
	int ok = -1;

	describe(receive, receive_options, COUNT(receive_options));
	describe(send, send_options, COUNT(send_options));
	describe(certificates, certificate_options, COUNT(certificate_options));
	describe(limits, limit_options, COUNT(limit_options));
	describe(peer, peer_options, COUNT(peer_options));
	describe(top, top_options, COUNT(top_options));
	memcpy(top + COUNT(top_options), more, sizeof(more));
	f = fmemopen(text, len, "r");
	if (f == NULL || (cfg = cfg_init(top, CFGF_NONE)) == NULL ||
	    (cfg->filename = strdup(r->file)) == NULL) {
		config_no_memory(r);
		goto done;
	}
	cfg_set_error_function(cfg, on_error);
	r->section = NULL;
	r->nsections = 0;
	if (cfg_parse_fp(cfg, f) == CFG_SUCCESS)
		ok = check_empty(cfg);
	else
		config_fail(r, r->file, (unsigned)cfg->line,
		    "cannot be read; mailkeyd.conf(5) shows how it is written");
done:
	if (cfg != NULL)
		cfg_free(cfg);
	if (f != NULL)
		fclose(f);
	return ok;
}

static int
read_file(const char *file)
{
	struct config_fault fault;
	char *text;
	size_t len;
	int ok;

	r->file = file;
	if (read_text(&text, &len) == -1)
		return -1;
	if ((ok = config_scan(text, len, &fault)) == -1)
		config_fail(r, file, fault.line, "%s", fault.text);
	else
		ok = parse_text(text, len);
	free(text);
	return ok;
}

struct config *
config_read(const char *file, char **error)
{
	struct reading reading = {.file = file};
	struct config *c;
	int ok = -1;

	r = &reading;
	if ((c = calloc(1, sizeof(*c))) == NULL ||
	    (c->file = strdup(file)) == NULL ||
	    config_append(&c->files, file) == -1) {
		config_no_memory(r);
		goto done;
	}
	r->config = c;
	r->nfiles = 1;
	config_defaults(c);
	for (size_t i = 0; i < r->nfiles; i++)
		if ((ok = read_file(c->files[i])) == -1)
			goto done;
	ok = config_check(r);
done:
	r = NULL;
	free(reading.set_receive);
	free(reading.set_peer);
	if (ok == 0)
		return c;
	config_free(c);
	*error = reading.error != NULL ? reading.error
				       : strdup("mailkeyd.conf: no memory");
	return NULL;
}
