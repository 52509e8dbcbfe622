/*
 * Sync mails that come in: whose they are, and what a peer may bring, and get,
 * in a day.
 */
#ifndef SYNC_IN_H
#define SYNC_IN_H

#include "db/outbox.h"
#include "handlers/handler.h"
#include "mailkeyd/config.h"

/*
 * The peer whose sync mail this is: INCREMENTAL, known by the envelope sender
 * or as its section says, or ADD without a From and with its envelope sender.
 * NULL: it is no sync mail, or nobody's.
 */
const struct config_peer *sync_peer_of(const struct config *,
    const struct mail *, const char *sender, const struct command *);

/* Whether a mail may turn out to be a peer's: then it is read with the limits
 * of peers.  `sender` NULL: not known yet. */
bool sync_may_be(const struct config *, const char *sender);

/* Holds a mail of `size` octets that was read with the limits of peers to what
 * its sender (NULL: no peer) may bring.  0; -1: no memory. */
int sync_limit(const struct config *, const struct config_peer *, size_t size,
    struct mail *);

/* What a peer brought in a day, and what was sent to it: as much, since another
 * mailkeyd takes no more of us.  *spent: this would be more than may be. */
enum sync_way { SYNC_IN, SYNC_OUT };
enum ks_status sync_budget_get(struct keystore *, const struct config_peer *,
    enum sync_way, size_t keys, size_t octets, time_t now, bool *spent);
enum ks_status sync_budget_add(struct keystore *, const struct config_peer *,
    enum sync_way, size_t keys, size_t octets, time_t now);

#endif
