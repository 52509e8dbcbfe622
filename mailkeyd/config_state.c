/*
 * What is done with a configuration once it is read: the state directory, the
 * programs, whose address is whose, and freeing it.
 */
#include "mailkeyd/config.h"
#include "mailkeyd/password.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->nreceive; i++) {
		free(c->receive[i].title);
		free(c->receive[i].path);
		free(c->receive[i].host);
		free(c->receive[i].user);
		free(c->receive[i].password_file);
		free(c->receive[i].folder);
		free(c->receive[i].ca_file);
	}
	free(c->receive);
	for (size_t i = 0; i < c->npeer; i++) {
		free(c->peer[i].title);
		free(c->peer[i].address);
		free(c->peer[i].sender);
	}
	free(c->peer);
	free(c->send.host);
	free(c->send.helo);
	free(c->send.path);
	free(c->certificates.block_list);
	free_list(c->files);
	free_list(c->aliases);
	free_list(c->admins);
	free_list(c->deny);
	free(c->file);
	free(c->address);
	free(c->name);
	free(c->language);
	free(c->state);
	free(c->control);
	free(c->libexec);
	free(c->gpg);
	free(c);
}

/* ---- the state directory ------------------------------------------------- */

/* One line that names the place; line 0: the file alone. */
static int __attribute__((format(printf, 4, 0))) complain(const char *file,
    unsigned line, char **error, const char *format, va_list ap)
{
	char *text;
	int n;

	*error = NULL;
	if (vasprintf(&text, format, ap) == -1)
		return -1;
	if (line != 0)
		n = asprintf(error, "%s:%u: %s", file, line, text);
	else
		n = asprintf(error, "%s: %s", file, text);
	if (n == -1)
		*error = NULL;
	free(text);
	return -1;
}

static int __attribute__((format(printf, 3, 4)))
state_error(const struct config *c, char **error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(c->state_line != 0 ? c->state_file : c->file, c->state_line,
	    error, format, ap);
	va_end(ap);
	return -1;
}

static const char *
remedy(int number)
{
	return number == EROFS ? "mount it for writing, or set state"
			       : "give it to the user that runs mailkeyd";
}

/* As mkdir(2), but only looks whether it would do it. */
static int
could_make(const char *path)
{
	struct stat st;
	char *copy;
	int ok;

	if (lstat(path, &st) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (errno != ENOENT || (copy = strdup(path)) == NULL)
		return -1;
	ok = access(dirname(copy), W_OK | X_OK);
	free(copy);
	return ok;
}

/* Makes a directory of ours when it is missing, or says with 1 that this could
 * be done; `inner` ones are kept from everybody else even when they were there
 * before. */
static int
prepare(const struct config *c, const char *path, bool inner, bool make,
    char **error)
{
	struct stat st;
	int made = make ? mkdir(path, 0700) : could_make(path);

	if (made == 0 && !make)
		return 1;
	if (made == -1 && errno != EEXIST)
		return state_error(c, error, "cannot make %s: %s; %s", path,
		    strerror(errno),
		    errno == EROFS ? remedy(errno)
				   : "make it yourself for the user that runs "
				     "mailkeyd, or set state");
	if (stat(path, &st) == -1)
		return state_error(c, error, "cannot look at %s: %s; %s", path,
		    strerror(errno), remedy(errno));
	if (!S_ISDIR(st.st_mode))
		return state_error(
		    c, error, "%s is no directory; move it away", path);
	if ((st.st_mode & S_IWOTH) != 0 && !inner)
		return state_error(c, error,
		    "anybody may write to %s; run chmod 0700 %s", path, path);
	if (inner && make && (st.st_mode & 077) != 0 && chmod(path, 0700) == -1)
		return state_error(c, error,
		    "others may look into %s: %s; run chmod 0700 %s", path,
		    strerror(errno), path);
	return 0;
}

/* Writing tells more than access(2): read-only mounts, quotas, sandboxes.  What
 * may pass by itself keeps nobody from starting, who then waits for it. */
static int
try_writing(const struct config *c, const char *path, bool start, char **error)
{
	int fd = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	char *name;

	if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		if (asprintf(&name, "%s/.try-XXXXXX", path) == -1)
			return state_error(c, error, "no memory");
		if ((fd = mkostemp(name, O_CLOEXEC)) != -1)
			unlink(name);
		free(name);
	}
	if (fd == -1 && start &&
	    (errno == ENOSPC || errno == EDQUOT || errno == EROFS))
		return 0;
	if (fd == -1)
		return state_error(c, error, "cannot write to %s: %s; %s", path,
		    strerror(errno), remedy(errno));
	close(fd);
	return 0;
}

static int
prepare_all(const struct config *c, bool make, char **error)
{
	static const char *const folders[] = {"db", "quarantine", "gnupg"};
	char *path;
	int ok = prepare(c, c->state, false, make, error);

	if (ok == 0)
		ok = try_writing(c, c->state, make, error);
	for (size_t i = 0; ok == 0 && i < COUNT(folders); i++) {
		if (asprintf(&path, "%s/%s", c->state, folders[i]) == -1)
			return state_error(c, error, "no memory");
		ok = prepare(c, path, true, make, error);
		if (ok == 0)
			ok = try_writing(c, path, make, error);
		else if (ok == 1)
			ok = 0; /* its place can be written */
		free(path);
	}
	return ok;
}

int
config_prepare(const struct config *c, char **error)
{
	return prepare_all(c, true, error);
}

int
config_look(const struct config *c, char **error)
{
	return prepare_all(c, false, error);
}

/* ---- programs ------------------------------------------------------------ */

static int __attribute__((format(printf, 5, 6)))
place_error(const struct config *c, const char *file, unsigned line,
    char **error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(line != 0 ? file : c->file, line, error, format, ap);
	va_end(ap);
	return -1;
}

/* Seen at the start, and not when a mail needs the program. */
static int
check_program(const struct config *c, const char *file, unsigned line,
    const char *path, const char *help, char **error)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		errno = EACCES;
	else if (access(path, X_OK) == 0)
		return 0;
	return place_error(c, file, line, error, "cannot run %s: %s; %s", path,
	    strerror(errno), help);
}

/* What a mailbox needs to be opened, so that it is not missed at night. */
static int
check_secrets(
    const struct config *c, const struct config_receive *r, char **error)
{
	char *why, *password = password_read(r->password_file, &why);
	int ok = 0;

	if (password == NULL)
		ok = place_error(c, r->password_place, r->password_line, error,
		    "password_file %s: %s", r->password_file,
		    why != NULL ? why : "no memory");
	else if (r->ca_file != NULL && access(r->ca_file, R_OK) == -1)
		ok = place_error(c, r->ca_place, r->ca_line, error,
		    "cannot read ca_file %s: %s; name a file of certificates "
		    "in PEM",
		    r->ca_file, strerror(errno));
	password_free(password);
	free(why);
	return ok;
}

int
config_programs(const struct config *c, char **error)
{
	static const char *const helpers[] = {"mailkeyd-parser",
	    "mailkeyd-verifier", "mailkeyd-checker", "mailkeyd-sender",
	    "mailkeyd-fetcher"};
	size_t nhelpers = COUNT(helpers) - 1;
	char *path;
	int ok = 0;

	for (size_t i = 0; ok == 0 && i < c->nreceive; i++)
		if (config_is_mailbox(&c->receive[i])) {
			nhelpers = COUNT(helpers);
			ok = check_secrets(c, &c->receive[i], error);
		}
	for (size_t i = 0; ok == 0 && i < nhelpers; i++) {
		if (asprintf(&path, "%s/%s", c->libexec, helpers[i]) == -1)
			return state_error(c, error, "no memory");
		ok = check_program(c, c->libexec_file, c->libexec_line, path,
		    "set libexec to where mailkeyd's helpers are installed",
		    error);
		free(path);
	}
	if (ok == 0 && c->gpg != NULL)
		ok = check_program(c, c->gpg_file, c->gpg_line, c->gpg,
		    "install gpg, or set gpg to where it is", error);
	if (ok == 0 && c->send.type == SEND_SENDMAIL)
		ok = check_program(c, c->send.path_file, c->send.path_line,
		    c->send.path,
		    "set path to a sendmail program, or send by smtp", error);
	return ok;
}

/* ---- whose address ------------------------------------------------------- */

static bool
is_address(const char *ours, const char *address)
{
	const char *at = strrchr(address, '@'), *our_at = strrchr(ours, '@');
	const char *plus;
	size_t local, ours_local;

	if (at == NULL || our_at == NULL || strcasecmp(at, our_at) != 0)
		return false;
	local = (size_t)(at - address);
	ours_local = (size_t)(our_at - ours);
	if (local == ours_local && strncasecmp(address, ours, local) == 0)
		return true;
	plus = memchr(address, '+', local);
	return plus != NULL && (size_t)(plus - address) == ours_local &&
	       strncasecmp(address, ours, ours_local) == 0;
}

int
config_is_ours(const struct config *c, const char *address)
{
	if (is_address(c->address, address))
		return 1;
	for (size_t i = 0; c->aliases != NULL && c->aliases[i] != NULL; i++)
		if (is_address(c->aliases[i], address))
			return 1;
	return 0;
}

/* Whether a name is this domain, or one below it. */
static bool
is_below(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return n >= d && strcasecmp(name + n - d, domain) == 0 &&
	       (n == d || name[n - d - 1] == '.');
}

int
config_denies(const struct config *c, const char *address)
{
	const char *at = address == NULL ? NULL : strrchr(address, '@');

	if (at == NULL || c->deny == NULL)
		return 0;
	for (char **entry = c->deny; *entry != NULL; entry++)
		if (strchr(*entry, '@') != NULL ? is_address(*entry, address)
						: is_below(at + 1, *entry))
			return 1;
	return 0;
}

const struct config_peer *
config_peer_of(const struct config *c, const char *sender, const char *from)
{
	for (size_t i = 0; i < c->npeer; i++) {
		const struct config_peer *p = &c->peer[i];

		if (sender != NULL && strcasecmp(p->sender, sender) == 0)
			return p;
	}
	for (size_t i = 0; i < c->npeer; i++) {
		const struct config_peer *p = &c->peer[i];

		if (p->header_from && from != NULL &&
		    strcasecmp(p->sender, from) == 0)
			return p;
	}
	return NULL;
}

unsigned
config_keys_per_mail(const struct config *c)
{
	unsigned most = c->limits.keys_per_mail;

	for (size_t i = 0; i < c->npeer; i++)
		if (c->peer[i].keys_per_mail > most)
			most = c->peer[i].keys_per_mail;
	return most;
}

size_t
config_message_size(const struct config *c)
{
	size_t most = c->limits.mail.message_size;

	for (size_t i = 0; i < c->npeer; i++)
		if (c->peer[i].message_size > most)
			most = c->peer[i].message_size;
	return most;
}
