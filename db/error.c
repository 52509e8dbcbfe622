/* What went wrong with a store: the words for it, and the cause. */
#include "db/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct last_error {
	pthread_mutex_t mutex; /* the checkpoint thread may fail, too */
	char text[256];
	char copy[256];
};

bool
error_new(struct keystore *ks)
{
	ks->error = calloc(1, sizeof(*ks->error));
	if (ks->error != NULL)
		pthread_mutex_init(&ks->error->mutex, NULL);
	return ks->error != NULL;
}

void
error_free(struct keystore *ks)
{
	pthread_mutex_destroy(&ks->error->mutex);
	free(ks->error);
}

const char *
ks_strerror(enum ks_status st)
{
	switch (st) {
	case KS_OK:
		return "success";
	case KS_NOT_FOUND:
		return "not found";
	case KS_TOO_MANY:
		return "too many matches";
	case KS_BAD_QUERY:
		return "not to be looked up";
	case KS_BUSY:
		return "the store is in use by another process";
	case KS_FULL:
		return "the file system is full or below free_space";
	case KS_READ_ONLY:
		return "the file system is read-only";
	case KS_TOO_NEW:
		return "the store was written by a newer version";
	case KS_TOO_OLD:
		return "the store was written by an older version";
	case KS_CORRUPT:
		return "the store is damaged";
	case KS_DENIED:
		return "the store may not be read or written";
	case KS_IO:
		return "the store cannot be read or written";
	case KS_NOMEM:
		return "out of memory";
	}
	return "unknown status";
}

static void
note_text(const struct keystore *ks, const char *text)
{
	pthread_mutex_lock(&ks->error->mutex);
	/* Of a store that does not open, the first one is the cause. */
	if (ks->running || ks->error->text[0] == '\0')
		(void)snprintf(
		    ks->error->text, sizeof(ks->error->text), "%s", text);
	pthread_mutex_unlock(&ks->error->mutex);
}

void
note_error(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)prefix;
	note_text(env->app_private, text);
}

const char *
ks_last_error(const struct keystore *ks)
{
	struct last_error *e = ks->error;

	pthread_mutex_lock(&e->mutex);
	memcpy(e->copy, e->text, sizeof(e->copy));
	pthread_mutex_unlock(&e->mutex);
	return e->copy;
}

void
forget_error(struct keystore *ks)
{
	pthread_mutex_lock(&ks->error->mutex);
	ks->error->text[0] = '\0';
	pthread_mutex_unlock(&ks->error->mutex);
}

enum ks_status
system_error(struct keystore *ks, const char *path)
{
	int number = errno;
	char text[256];

	(void)snprintf(
	    text, sizeof(text), "%.180s: %s", path, strerror(number));
	note_text(ks, text);
	switch (number) {
	case EACCES:
	case EPERM:
		return KS_DENIED;
	case ENOSPC:
	case EDQUOT:
		return KS_FULL;
	case ENOMEM:
		return KS_NOMEM;
	case EROFS:
		return KS_READ_ONLY;
	default:
		return KS_IO;
	}
}

const char *
advice(const struct keystore *ks, enum ks_status st)
{
	static _Thread_local char text[512];
	const char *what, *why;

	switch (st) {
	case KS_BUSY:
		what = "another process holds this store: stop it first, or "
		       "use its control socket";
		break;
	case KS_FULL:
		what = "the file system is full, and recovery needs room: "
		       "make some, or copy the store to a larger one and "
		       "start there";
		break;
	case KS_READ_ONLY:
		what = "the store is on a read-only file system: mount it for "
		       "writing";
		break;
	case KS_TOO_NEW:
		what = "a newer mailkeyd wrote this store: run that version";
		break;
	case KS_TOO_OLD:
		what = "an older mailkeyd wrote this store in a form that is "
		       "no longer read: have that version dump it, and import "
		       "the dump into a new one";
		break;
	case KS_CORRUPT:
		what = "the store is damaged: restore a backup";
		break;
	case KS_NOMEM:
		what = "out of memory: make the cache smaller";
		break;
	case KS_DENIED:
		what = "the store's directory or a file in it may not be read "
		       "or written: give it to the user that runs mailkeyd";
		break;
	default:
		what = "the store's directory or a file in it cannot be read "
		       "or written: look at its disk";
	}
	why = ks == NULL || ks->error == NULL ? "" : ks_last_error(ks);
	(void)snprintf(
	    text, sizeof(text), *why == '\0' ? "%s" : "%s (%s)", what, why);
	return text;
}
