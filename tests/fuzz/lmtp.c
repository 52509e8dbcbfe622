/*
 * Any octets at an LMTP session: cut in whatever pieces, it says and brings
 * the same.
 */
#include "mailkeyd/lmtp_session.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct record {
	char *text;
	size_t len;
	FILE *f;
	char mail[64]; /* the mail under way: at most SIZE */
	size_t size;
};

/* How much of a mail came before it was over the limit hangs on the pieces. */
static void
note(struct record *r, const struct lmtp_session *s, enum lmtp_event event,
    const char *data, size_t size)
{
	if (event == LMTP_DATA) {
		if (size > sizeof(r->mail) - r->size)
			abort();
		memcpy(r->mail + r->size, data, size);
		r->size += size;
		return;
	}
	if (event == LMTP_MAIL) {
		fwrite(r->mail, 1, r->size, r->f);
		fprintf(r->f, "\n[mail %s %s]\n", lmtp_session_sender(s),
		    lmtp_session_recipient(s));
	} else if (event != LMTP_NOTHING)
		fprintf(r->f, "\n[%d]\n", event);
	if (event != LMTP_NOTHING)
		r->size = 0;
}

/* Pieces of 1 to `most` octets, in an order that `most` decides. */
static void
converse(const char *in, size_t len, size_t most, struct record *r)
{
	struct lmtp_session *s = lmtp_session_new("h", 64);
	enum lmtp_event event = LMTP_NOTHING;
	unsigned seed = (unsigned)most;
	const char *data = NULL, *out;
	size_t piece, n, size = 0;

	r->size = 0;
	r->f = open_memstream(&r->text, &r->len);
	if (s == NULL || r->f == NULL)
		abort();
	for (size_t at = 0; at < len && event != LMTP_CLOSE; at += n) {
		seed = seed * 1103515245u + 12345u;
		piece = 1 + (seed >> 16) % most;
		if (piece > len - at)
			piece = len - at;
		n = lmtp_session_feed(s, in + at, piece, &event, &data, &size);
		if (n > piece || (n == 0 && event == LMTP_NOTHING))
			abort();
		note(r, s, event, data, size);
		if (event == LMTP_MAIL)
			lmtp_session_answer(s, "250 2.0.0", "ok");
		if (lmtp_session_waiting(s))
			abort();
	}
	out = lmtp_session_output(s, &n);
	fwrite(out, 1, n, r->f);
	fclose(r->f);
	lmtp_session_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	static const size_t most[] = {1, 2, 7, 100000};
	struct record whole, pieces;

	converse((const char *)octets, len, most[3], &whole);
	for (size_t i = 0; i < 3; i++) {
		converse((const char *)octets, len, most[i], &pieces);
		if (whole.len != pieces.len ||
		    memcmp(whole.text, pieces.text, whole.len) != 0)
			abort();
		free(pieces.text);
	}
	free(whole.text);
	return 0;
}
