/*
 * TLS over a wire, with a certificate that was verified before anything else
 * is said: chain, host name, purpose.
 */
#ifndef TLS_H
#define TLS_H

#include "mailkeyd/wire.h"

#define TLS_WHY 200 /* octets of a reason */

/*
 * Shakes hands, within the step of the wire, and verifies that the certificate
 * is one of `host` (a name, which is sent as SNI, or a numeric address) and
 * signed by a CA of `ca_file`, or of the system's when it is NULL.  0, or -1
 * with a line for people in `why`; then the wire is of no more use.
 */
int tls_start(
    struct wire *, const char *host, const char *ca_file, char why[TLS_WHY]);

#endif
