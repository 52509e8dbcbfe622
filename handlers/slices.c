/*
 * A long search in slices, between which other mails get their turn.
 */
#include "handlers/handler.h"

#define SLICE_NS 5000000 /* of the loop's time, at once */

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

enum ks_status
search_slice(struct slices *slices, unsigned ms,
    enum ks_status (*step)(void *ctx), void *ctx)
{
	int64_t began = now_ns(), took = 0;
	enum ks_status status = KS_OK;

	while (status == KS_OK && took < SLICE_NS) {
		if (slices->spent + took >= (int64_t)ms * 1000000) {
			slices->stopped = true;
			break;
		}
		status = step(ctx);
		took = now_ns() - began;
	}
	slices->spent += took;
	return status;
}
