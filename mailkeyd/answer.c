/*
 * From what a handler wrote to the mails that carry it.
 */
#include "mailkeyd/answer.h"

#include <stdlib.h>

struct rendering {
	const struct config *config;
	const struct mail *mail;
	const char *to;
	const struct reply *reply;
	time_t now;
};

static int
render(const struct rendering *r, const char *suffix, const char *text,
    size_t text_len, const char *keys, size_t keys_len, struct pgp_blob *out)
{
	const struct config *config = r->config;
	struct mail_answer answer = {.from = config->address,
	    .from_name = config->name == NULL ? "" : config->name,
	    .to = r->to,
	    .in_reply_to = r->mail->message_id,
	    .references = r->mail->references,
	    .text = text,
	    .text_len = text_len,
	    .keys = keys,
	    .keys_len = keys_len,
	    .date = r->now};
	char message_id[512];
	char *subject = mail_answer_subject(r->mail->subject, suffix);
	int rv = -1;

	if (subject != NULL) {
		answer.subject = subject;
		rv = mail_compose(&answer, out, message_id, sizeof(message_id));
	}
	free(subject);
	return rv;
}

/* Each part is a complete mail, which imports by itself. */
static int
render_part(const struct rendering *r, const struct reply_part *parts, size_t i,
    size_t n, struct pgp_blob *out)
{
	char suffix[64];
	char *text;
	size_t len;
	int rv;

	if (n == 1)
		return render(r, r->reply->suffix, r->reply->text_data,
		    r->reply->text_len, r->reply->keys_data, r->reply->keys_len,
		    out);
	snprintf(suffix, sizeof(suffix), "%s (part %zu of %zu)",
	    r->reply->suffix, i + 1, n);
	if (reply_part_text(r->reply, &parts[i], i, n, &text, &len) == -1)
		return -1;
	rv = render(r, suffix, text, len, r->reply->keys_data + parts[i].from,
	    parts[i].len, out);
	free(text);
	return rv;
}

static int
render_parts(const struct rendering *r, const struct reply_part *parts,
    size_t n, struct answer *answer)
{
	answer->mails = calloc(n, sizeof(*answer->mails));
	if (answer->mails == NULL)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (render_part(r, parts, i, n, &answer->mails[i]) == -1)
			return -1;
		answer->n++;
		answer->octets += answer->mails[i].len;
	}
	return 0;
}

int
answer_render(const struct config *config, const struct mail *mail,
    const char *to, const struct reply *reply, time_t now,
    struct answer *answer)
{
	const struct rendering r = {config, mail, to, reply, now};
	struct reply_part *parts;
	size_t n;
	bool fits;
	int rv;

	*answer = (struct answer){0};
	if (reply_parts((const unsigned char *)reply->keys_data,
		reply->keys_len, reply->text_len, config->limits.reply_size,
		&parts, &n, &fits) == -1)
		return -1;
	rv = render_parts(&r, parts, n == 0 ? 1 : n, answer);
	free(parts);
	if (rv == -1)
		answer_free(answer);
	return rv;
}

void
answer_free(struct answer *answer)
{
	for (size_t i = 0; i < answer->n; i++)
		pgp_blob_free(&answer->mails[i], false);
	free(answer->mails);
	*answer = (struct answer){0};
}
