/*
 * Certificates on their way to those who judge their signatures.
 */
#include "mailkeyd/trial.h"
#include "mailkeyd/ipc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

size_t
trial_octets(const struct trial *trial)
{
	size_t octets = 0;

	for (size_t i = 0; i < trial->nclaims; i++)
		octets += trial->claims[i].primary->len +
			  trial->claims[i].on->len + trial->claims[i].sig->len;
	return octets;
}

static void
set_u32(char *at, size_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(value >> 8 * i);
}

/* A record under way: lengths are put in where they belong at the end, since
 * a stream makes a claim as long as it will. */
struct record {
	FILE *f;
	char *text;
	size_t len;
	size_t *at; /* where each claim's length stands */
	size_t n;
};

static int
record_put(struct record *r, const struct trial *trial)
{
	const char room[4] = {0};

	for (size_t i = 0; i < trial->nclaims; i++) {
		if (fflush(r->f) != 0)
			return -1;
		r->at[r->n++] = r->len;
		if (fwrite(room, sizeof(room), 1, r->f) != 1 ||
		    pgp_claim_write(r->f, &trial->claims[i]) != 0)
			return -1;
	}
	return 0;
}

static int
record_close(struct record *r, int rv)
{
	if (fclose(r->f) != 0 || rv == -1 || r->len > UINT32_MAX)
		return -1;
	set_u32(r->text, r->n);
	for (size_t i = 0; i < r->n; i++) {
		size_t end = i + 1 < r->n ? r->at[i + 1] : r->len;

		set_u32(r->text + r->at[i], end - r->at[i] - 4);
	}
	return ipc_memfd("claims", r->text, r->len, true);
}

int
trials_record(const struct trial_list *list, size_t nclaims)
{
	struct record r = {.at = calloc(nclaims + 1, sizeof(*r.at))};
	const char room[4] = {0};
	const struct trial *trial;
	int rv = -1;

	r.f = pgp_memstream(&r.text, &r.len);
	if (r.f != NULL && r.at != NULL) {
		rv = fwrite(room, sizeof(room), 1, r.f) == 1 ? 0 : -1;
		TAILQ_FOREACH(trial, list, next)
			if (rv == 0)
				rv = record_put(&r, trial);
	}
	if (r.f != NULL)
		rv = record_close(&r, rv);
	free(r.at);
	free(r.text);
	return rv;
}

void
trial_end(struct trial *trial, bool later, const char *why)
{
	free(trial->claims);
	trial->claims = NULL;
	trial->nclaims = 0;
	trial->state = TRIAL_IDLE;
	trial->done(trial, later, why);
}

void
trials_later(struct trial_list *list, const char *why)
{
	struct trial_list ended = TAILQ_HEAD_INITIALIZER(ended);
	struct trial *trial;

	TAILQ_CONCAT(&ended, list, next);
	while ((trial = TAILQ_FIRST(&ended)) != NULL) {
		TAILQ_REMOVE(&ended, trial, next);
		trial_end(trial, true, why);
	}
}
