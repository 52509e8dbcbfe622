/*
 * TLS over a wire, with a certificate that was verified before anything else
 * is said: chain, host name, purpose.
 */
#ifndef TLS_H
#define TLS_H

#include "mailkeyd/wire.h"

#define TLS_WHY 200 /* octets of a reason */

/*
 * The CAs of `ca_file`, or of the system when it is NULL, in PEM: a memfd, or
 * -1 with a line for people in `why`.
 */
int tls_trusted(const char *ca_file, char why[TLS_WHY]);

/*
 * Shakes hands, within the step of the wire, and verifies that the certificate
 * is one of `host` (a name, which is sent as SNI, or a numeric address) and
 * signed by a CA of `trusted`, as above.  0, or -1 with a line for people in
 * `why`; then the wire is of no more use.  No file is opened.
 */
int tls_start(struct wire *, const char *host, int trusted, char why[TLS_WHY]);

#endif
