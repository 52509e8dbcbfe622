/*
 * Which mails a robot must not answer (RFC 3834), and to whom an answer goes.
 */
#ifndef ETIQUETTE_H
#define ETIQUETTE_H

#include "mailkeyd/config.h"

/* What etiquette_silent() says of the deny list. */
extern const char etiquette_denied[];

/*
 * NULL for a mail that may be answered, else a static phrase for the log that
 * says why it is left alone.  `sender` is the envelope sender, "" the null
 * sender, NULL when nobody knows it.
 */
const char *etiquette_silent(
    const struct mail *, const char *sender, const struct config *);

/* The same for a peer's sync mail, which comes as lists and robots send, and is
 * never answered: what is left of the rules. */
const char *etiquette_sync(const struct mail *);

/*
 * The address to answer, lent from the mail or `sender`: the one valid
 * Reply-To; else the envelope sender; else From when the envelope sender is a
 * bang path, or is not known.  NULL when there is none.
 */
const char *etiquette_answer_to(const struct mail *, const char *sender);

#endif
