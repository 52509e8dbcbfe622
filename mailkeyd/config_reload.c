/*
 * A configuration read again: what of it a running server takes over, and what
 * needs a new start.
 */
#include "mailkeyd/config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_receives(const struct config *a, const struct config *b)
{
	if (a->nreceive != b->nreceive)
		return false;
	for (size_t i = 0; i < a->nreceive; i++) {
		const struct config_receive *p = &a->receive[i],
					    *q = &b->receive[i];

		if (!same(p->title, q->title) || p->type != q->type ||
		    !same(p->path, q->path) || p->mode != q->mode ||
		    !same(p->host, q->host) || p->port != q->port ||
		    p->tls != q->tls || !same(p->user, q->user) ||
		    !same(p->password_file, q->password_file) ||
		    !same(p->folder, q->folder) ||
		    !same(p->ca_file, q->ca_file) || p->poll != q->poll ||
		    p->timeout != q->timeout)
			return false;
	}
	return true;
}

static bool
same_send(const struct config_send *a, const struct config_send *b)
{
	return a->type == b->type && same(a->host, b->host) &&
	       a->port == b->port && same(a->helo, b->helo) &&
	       same(a->path, b->path) && a->connections == b->connections &&
	       a->retry == b->retry && a->give_up == b->give_up;
}

/* Names, with a comma between. */
static void
name(FILE *f, bool changed, const char *option)
{
	if (changed)
		fprintf(f, "%s%s", ftell(f) > 0 ? ", " : "", option);
}

static void
need_start(FILE *f, const struct config *a, const struct config *b)
{
	name(f, !same(a->address, b->address), "address");
	name(f, !same(a->state, b->state), "state");
	name(f, !same(a->control, b->control), "control");
	name(f, !same(a->libexec, b->libexec), "libexec");
	name(f, !same(a->gpg, b->gpg), "gpg");
	name(f, a->cache != b->cache, "cache");
	name(f, a->parsers != b->parsers, "parsers");
	name(f, a->jail_mails != b->jail_mails, "jail_mails");
	name(f, a->helper_timeout != b->helper_timeout, "helper_timeout");
	name(f, a->jail_required != b->jail_required, "jail_required");
	name(f, a->syslog != b->syslog, "log");
	name(f, !same_receives(a, b), "receive");
	name(f, !same_send(&a->send, &b->send), "send");
}

#define SWAP(field)                                                            \
	do {                                                                   \
		struct config kept = *live;                                    \
                                                                               \
		live->field = fresh->field;                                    \
		fresh->field = kept.field;                                     \
	} while (0)

char *
config_adopt(struct config *live, struct config *fresh)
{
	char *names = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&names, &len);

	if (f == NULL)
		return NULL;
	need_start(f, live, fresh);
	if (fclose(f) != 0) {
		free(names);
		return NULL;
	}
	SWAP(name);
	SWAP(aliases);
	SWAP(admins);
	SWAP(deny);
	SWAP(language);
	SWAP(peer);
	SWAP(npeer);
	SWAP(certificates);
	SWAP(limits);
	/* Where they were written is for whoever reads the file. */
	live->language_file = live->file;
	live->language_line = 0;
	live->block_list_file = live->file;
	live->block_list_line = 0;
	for (size_t i = 0; i < live->npeer; i++)
		live->peer[i].file = live->file;
	return names;
}
