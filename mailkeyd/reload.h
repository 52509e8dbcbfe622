/*
 * The configuration, read again while the server runs.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "mailkeyd/gateway.h"

struct reload;

/* `config` is the server's own, which all its parts have lent. */
struct reload *reload_new(
    struct config *config, const struct gateway_parts *, struct gateway *);
void reload_free(struct reload *);

/*
 * Reads file and lists again.  When they are good, the parts that can be
 * changed are (config_adopt()), and *line names what needs a new start, NULL =
 * nothing.  Else all stays as it was, and *line says why: file, line, remedy.
 * malloc'ed.  Whether it was taken; the log has a line in either case.  A
 * control_reload_fn.
 */
bool reload_now(void *, char **line);

/* Frees what was replaced and is used no more.  Call it now and then. */
void reload_sweep(struct reload *);

#endif
