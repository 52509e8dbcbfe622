/*
 * What a service manager wants to know, and the sockets that it hands over:
 * sd_notify(3) and sd_listen_fds(3).  Where mailkeyd was not started by one,
 * or was built without libsystemd, nothing of it does anything.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "mailkeyd/config.h"
#include "mailkeyd/loop.h"

struct service;

/*
 * Takes over the sockets and the watchdog's interval from the environment,
 * and removes both from it.  Call it before any descriptor is opened that is
 * not standard input, output or error.  NULL: no memory.
 */
struct service *service_new(void);
void service_free(struct service *); /* closes what nobody took; NULL is fine */

/*
 * The listening socket that was handed over for a section of LMTP: the same
 * path, or the same numeric address and port.  The caller's to close, or -1
 * when there is none.
 */
int service_socket(struct service *, const struct config_receive *);

/*
 * Mails are taken from now on.  Warns of sockets that no section asked for,
 * and begins to answer the watchdog from the loop, twice in its interval.
 */
void service_ready(struct service *, struct loop *);
void service_ending(struct service *); /* no new mails; NULL is fine */

#endif
