/*
 * Watches over the store: opens it again once it can be, and says so.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "db/keystore.h"
#include "mailkeyd/loop.h"

struct keeper;

/* Milliseconds; tests have shorter ones. */
extern long keeper_second;

/* Calls opened() whenever the store was closed and is open again.  NULL: no
 * memory. */
struct keeper *keeper_new(
    struct loop *, struct keystore *, loop_fn *opened, void *ctx);
void keeper_free(struct keeper *);

#endif
