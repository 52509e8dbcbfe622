/*
 * Text on its way into a mail: UTF-8 made safe, RFC 2047 words for headers,
 * quoted-printable for bodies.
 */
#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Length of the well-formed UTF-8 character at text[0, len), *code its
 * number; 0 when there is none. */
size_t mail_utf8(const char *text, size_t len, uint32_t *code);

/* Whether a character may be shown to people: no control character (C0, DEL,
 * C1), no line or paragraph separator, nothing that turns the direction of
 * what stands around it. */
bool mail_utf8_visible(uint32_t code);

/* Writes text with LF line ends and tabs; what is not visible or no UTF-8
 * becomes ?, CR LF becomes LF, and the last line gets its LF. */
void mail_clean_text(FILE *, const char *, size_t);

/* An unstructured header value (Subject) in ASCII: words that need it become
 * encoded words of at most 60 characters (RFC 2047, 5.1); runs of blanks
 * become one blank. */
void mail_encode_value(FILE *, const char *);

/* A display name (RFC 5322, 3.2.5; RFC 2047, 5.3): atoms, a quoted string or
 * encoded words. */
void mail_encode_phrase(FILE *, const char *);

/* Whether a cleaned text can stand in a mail as it is: ASCII, lines of at most
 * 900 characters, none that begins with "--" or "From " or is a lone dot.  Many
 * read raw mails, so what need not be encoded is not, long lines too. */
bool mail_plain(const char *, size_t);

/* Cleaned text as quoted-printable (RFC 2045, 6.7) with LF line ends; no line
 * begins with "--" or "From " or is a lone dot. */
void mail_quoted_printable(FILE *, const char *, size_t);

#endif
