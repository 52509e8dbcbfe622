/*
 * A key store in a directory of its own, which goes with it.
 */
#ifndef TEMPSTORE_H
#define TEMPSTORE_H

#include "db/keystore.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tempstore {
	char dir[256];
	struct keystore *ks;
};

static inline int
tempstore_unlink(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int
tempstore_open(struct tempstore *t)
{
	const struct ks_options options = {
	    .cache = 1 << 20, .free_space = 0, .policy = pgp_policy_default};
	const char *base = getenv("TMPDIR"), *error = "";
	char path[300];

	snprintf(t->dir, sizeof t->dir, "%s/mailkeyd-test.XXXXXX",
	    base != NULL ? base : "/tmp");
	if (mkdtemp(t->dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/db", t->dir);
	if (ks_open(path, &options, &t->ks, &error) == KS_OK)
		return 0;
	fprintf(stderr, "# %s: %s\n", path, error);
	return -1;
}

/* In a transaction of its own. */
static inline enum ks_status
tempstore_put(struct tempstore *t, const struct pgp_cert *cert, time_t now)
{
	const struct ks_origin origin = {.now = now};
	enum ks_change change;
	struct pgp_added added;
	enum ks_status status;

	if ((status = ks_begin(t->ks, KS_ROOM_ADD)) != KS_OK)
		return status;
	if ((status = ks_put(t->ks, cert, &origin, &change, &added)) != KS_OK) {
		ks_abort(t->ks);
		return status;
	}
	return ks_commit(t->ks);
}

static inline int
tempstore_close(struct tempstore *t)
{
	enum ks_status status = ks_close(t->ks);

	nftw(t->dir, tempstore_unlink, 16, FTW_DEPTH | FTW_PHYS);
	return status == KS_OK ? 0 : -1;
}

#endif
