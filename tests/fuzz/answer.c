/*
 * A mail through the reader, and what an answer takes over from it: whatever
 * the octets, the answer is ASCII in CR LF lines, has each field once, and goes
 * to nobody else.
 */
#include "reading.h"

#include <stdlib.h>
#include <string.h>

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
check_lines(const char *mail, size_t len)
{
	size_t column = 0;

	require(len >= 2 && mail[len - 2] == '\r' && mail[len - 1] == '\n');
	for (size_t i = 0; i < len; i++) {
		if (mail[i] == '\r') {
			require(i + 1 < len && mail[++i] == '\n');
			column = 0;
			continue;
		}
		require(mail[i] == '\t' || (mail[i] >= ' ' && mail[i] <= '~'));
		require(++column <= 998);
	}
}

/* The fields that we write, no other, none twice; who it is for. */
static void
check_header(const char *mail, const char *to)
{
	static const char *const names[] = {
	    "From:", "To:", "Subject:", "Date:", "Message-ID:", "In-Reply-To:",
	    "References:", "Auto-Submitted:", "Precedence:", "X-Loop:",
	    "MIME-Version:", "Content-Type:", "Content-Transfer-Encoding:"};
	bool seen[sizeof(names) / sizeof(names[0])] = {false};

	for (; strncmp(mail, "\r\n", 2) != 0; mail = strstr(mail, "\r\n") + 2) {
		size_t i = 0;

		if (*mail == ' ' || *mail == '\t')
			continue;
		while (strncmp(mail, names[i], strlen(names[i])) != 0)
			require(++i < sizeof(names) / sizeof(names[0]));
		require(!seen[i]);
		seen[i] = true;
		if (i != 1)
			continue;
		mail += 3;
		mail += strspn(mail, "\r\n "); /* folded where it is long */
		require(strncmp(mail, to, strlen(to)) == 0);
		require(strncmp(mail + strlen(to), "\r\n", 2) == 0);
	}
	require(seen[0] && seen[1] && seen[2] && seen[9]);
}

static void
compose(const struct mail *m, const char *text, size_t len)
{
	struct mail_answer a = {.from = "keys@example.org",
	    .from_name = "Example key server",
	    .to = m->reply_to != NULL ? m->reply_to : "a@example.net",
	    .in_reply_to = m->message_id,
	    .references = m->references,
	    .text = text,
	    .text_len = len,
	    .date = 1700000000};
	char *subject = mail_answer_subject(m->subject, ", failed"), id[128];
	struct pgp_blob out;
	char *mail;

	require(subject != NULL);
	a.subject = subject;
	require(mail_compose(&a, &out, id, sizeof(id)) == 0);
	check_lines((const char *)out.data, out.len);
	mail = malloc(out.len + 1);
	require(mail != NULL);
	memcpy(mail, out.data, out.len);
	mail[out.len] = '\0';
	check_header(mail, a.to);
	free(mail);
	pgp_blob_free(&out, false);
	free(subject);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct mail m;

	require(mail_parse((const char *)octets, len, &mail_limits_default,
		    &pgp_policy_default, 1700000000, &m) == 0);
	if (m.verdict != MAIL_BENT)
		compose(&m, (const char *)octets, len);
	mail_free(&m);
	return 0;
}
