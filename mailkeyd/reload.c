/*
 * The configuration, read again while the server runs.
 */
#include "mailkeyd/reload.h"
#include "handlers/handler.h"
#include "mailkeyd/blocklist.h"
#include "mailkeyd/log.h"
#include "mailkeyd/sync.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* What a mail in hand may still point into. */
struct retired {
	LIST_ENTRY(retired) next;
	struct config *config;
};

struct reload {
	struct config *config;
	struct gateway_parts parts;
	struct gateway *gateway;
	LIST_HEAD(retired_list, retired) retired;
};

struct reload *
reload_new(struct config *config, const struct gateway_parts *parts,
    struct gateway *gateway)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->config = config;
	r->parts = *parts;
	r->gateway = gateway;
	return r;
}

static void
drop_all(struct reload *r)
{
	struct retired *old;

	while ((old = LIST_FIRST(&r->retired)) != NULL) {
		LIST_REMOVE(old, next);
		config_free(old->config);
		free(old);
	}
}

void
reload_free(struct reload *r)
{
	if (r == NULL)
		return;
	drop_all(r);
	free(r);
}

void
reload_sweep(struct reload *r)
{
	if (r != NULL && gateway_busy(r->gateway) == 0)
		drop_all(r);
}

/* Reads and checks all of it; NULL with *error. */
static struct config *
read_again(const struct reload *r, struct blocklist *list, char **error)
{
	struct config *fresh = config_read(r->config->file, error);

	if (fresh == NULL)
		return NULL;
	if (!help_has_language(fresh->language)) {
		if (asprintf(error,
			"%s:%u: language cannot be \"%s\"; HELP has no such "
			"language, its last lines list those it has",
			fresh->language_file, fresh->language_line,
			fresh->language) == -1)
			*error = NULL;
	} else if (blocklist_read(fresh, list, error) == 0)
		return fresh;
	config_free(fresh);
	return NULL;
}

/* Every part hears of it. */
static void
tell(const struct reload *r, const struct blocklist *list)
{
	const struct config_limits *limits = &r->config->limits;

	ks_set_limits(r->parts.ks, limits->free_space, &limits->policy);
	if (ks_block(r->parts.ks, list->fpr, list->n) != KS_OK)
		log_line(LOG_ERR, "event=reload error=\"no memory for the "
				  "block list: the old one stays\"");
	reader_reload(r->parts.reader);
	if (r->parts.sync != NULL)
		sync_reload(r->parts.sync);
}

static void
log_mistake(const char *why)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&line, &len);

	if (f == NULL)
		return;
	fputs("event=reload outcome=\"all stays as it was\" error=", f);
	log_sentence(f, why);
	if (fclose(f) == 0)
		log_line(LOG_ERR, "%s", line);
	free(line);
}

bool
reload_now(void *ctx, char **line)
{
	struct reload *r = ctx;
	struct retired *old = calloc(1, sizeof(*old));
	struct blocklist list = {0};
	char *names = NULL;

	*line = NULL;
	reload_sweep(r);
	if (old != NULL)
		old->config = read_again(r, &list, line);
	if (old != NULL && old->config != NULL)
		names = config_adopt(r->config, old->config);
	if (names == NULL) {
		if (*line == NULL)
			*line = strdup("no memory");
		log_mistake(*line != NULL ? *line : "no memory");
		if (old != NULL)
			config_free(old->config);
		free(old);
		blocklist_free(&list);
		return false;
	}
	LIST_INSERT_HEAD(&r->retired, old, next);
	tell(r, &list);
	blocklist_free(&list);
	log_line(
	    LOG_NOTICE, "event=reload outcome=done restart_for=\"%s\"", names);
	if (*names != '\0' &&
	    asprintf(line, "read; only a new start changes: %s", names) == -1)
		*line = NULL;
	free(names);
	return true;
}
