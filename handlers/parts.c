/*
 * How an answer that is too large for one mail is cut into several, each of
 * them whole certificates.
 */
#include "handlers/handler.h"

#include <stdlib.h>

/* A header, a boundary or two, the text around the armor. */
#define AROUND	  4096
#define PART_TEXT 512 /* of the second mail and those behind it */

/* Where the certificate that begins at `from` ends: where the next primary
 * key stands.  The packets are our own. */
static size_t
cert_end(const unsigned char *keys, size_t len, size_t from)
{
	struct pgp_blob joined = {0};
	struct pgp_packet packet;
	size_t pos = from, end = len;

	while (pgp_packet_read(keys, len, &pos, &joined, &packet) == PGP_OK)
		if (packet.tag == PGP_TAG_PUBLIC_KEY && packet.start > from) {
			end = packet.start;
			break;
		}
	pgp_blob_free(&joined, false);
	return end;
}

/* gpg up to 2.2 gives up all of what it reads at a key of version 5 or 6, and
 * the key before it, too. */
static bool
ends_reading(const unsigned char *keys, size_t len, size_t at)
{
	struct pgp_component key;

	return pgp_key_identify(keys + at, len - at, &key) == PGP_OK &&
	       key.version > 4;
}

static size_t
room_beside(size_t reply_size, size_t text)
{
	text += AROUND;
	return reply_size > text ? reply_size - text : 0;
}

static bool
part_add(struct reply_part **parts, size_t *n)
{
	struct reply_part *more = realloc(*parts, (*n + 1) * sizeof(**parts));

	if (more == NULL)
		return false;
	*parts = more;
	more[(*n)++] = (struct reply_part){0};
	return true;
}

int
reply_parts(const unsigned char *keys, size_t len, size_t text_len,
    size_t reply_size, struct reply_part **parts, size_t *n, bool *fits)
{
	/* The text may triple in quoted-printable; only the first mail has it
	 * all. */
	const size_t first = room_beside(reply_size, 3 * text_len);
	const size_t others = room_beside(reply_size, PART_TEXT);
	bool newer = false;
	size_t at = 0;

	*parts = NULL;
	*n = 0;
	*fits = true;
	while (at < len) {
		size_t end = cert_end(keys, len, at);
		struct reply_part *part = *n > 0 ? &(*parts)[*n - 1] : NULL;
		size_t room = *n > 1 ? others : first;
		bool was_newer = newer;

		newer = ends_reading(keys, len, at);
		if (part == NULL || newer != was_newer ||
		    reply_armored(part->len + end - at) > room) {
			if (!part_add(parts, n)) {
				free(*parts);
				*parts = NULL;
				return -1;
			}
			part = &(*parts)[*n - 1];
			part->from = at;
			room = *n > 1 ? others : first;
			*fits = *fits && reply_armored(end - at) <= room;
		}
		part->len += end - at;
		part->nkeys++;
		at = end;
	}
	return 0;
}

/* The first part has all of the text; the others say what they are. */
int
reply_part_text(const struct reply *reply, const struct reply_part *part,
    size_t i, size_t n, char **text, size_t *len)
{
	FILE *f = pgp_memstream(text, len);

	if (f == NULL)
		return -1;
	if (i == 0)
		fprintf(f,
		    "%.*s\n"
		    "The keys come in %zu mails, of which this is the first.  "
		    "Each of them\n"
		    "can be imported by itself, in any order.\n",
		    (int)reply->text_len, reply->text_data, n);
	else
		fprintf(f,
		    "This is part %zu of %zu of the answer to your mail: the "
		    "first part says\n"
		    "which keys there are.  Here %s %u of them.  Each part can "
		    "be imported by\n"
		    "itself, in any order.\n",
		    i + 1, n, part->nkeys == 1 ? "is" : "are", part->nkeys);
	if (fclose(f) == 0)
		return 0;
	free(*text);
	return -1;
}
