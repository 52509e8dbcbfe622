/*
 * A sync mail: the servers that it has been at, its header, its armor.
 *
 * The header is read by programs of thirty years, some of which look no
 * further than they must, so its form is theirs: To before From, nothing
 * folded, no parts, nothing encoded.
 */
#include "mailkeyd/sync.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HEAD_MAX 2048 /* octets of a header without X-KeyServer-Sent */

static const char sent_field[] = "X-KeyServer-Sent: ";

/* ---- lists of servers ---------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Compares two lines, each up to LF or NUL. */
static bool
same(const char *a, const char *b)
{
	for (;;) {
		while (is_blank(*a))
			a++;
		while (is_blank(*b))
			b++;
		if (*a == '\0' || *a == '\n')
			return *b == '\0' || *b == '\n';
		if (lower(*a++) != lower(*b++))
			return false;
	}
}

/* The line behind this one; NULL: there is none. */
static const char *
next_line(const char *s)
{
	s += strcspn(s, "\n");
	return *s == '\0' ? NULL : s + 1;
}

bool
sync_sent_has(const char *list, const char *address)
{
	for (; list != NULL && *list != '\0'; list = next_line(list))
		if (same(list, address))
			return true;
	return false;
}

/* Writes a line without the blanks around it. */
static void
put_line(FILE *f, const char *s)
{
	size_t len = strcspn(s, "\n");

	while (len > 0 && is_blank(*s)) {
		s++;
		len--;
	}
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	fwrite(s, 1, len, f);
}

/* Whether the line `s` of a list stands there before. */
static bool
is_repeat(const char *list, const char *s)
{
	for (; list != s; list = next_line(list))
		if (same(list, s))
			return true;
	return false;
}

char *
sync_sent_of(const char *list, const char *peer)
{
	char *out = NULL;
	size_t len;
	FILE *f = pgp_memstream(&out, &len);

	if (f == NULL)
		return NULL;
	for (const char *s = list; s != NULL && *s != '\0'; s = next_line(s)) {
		if (same(s, "") || is_repeat(list, s))
			continue;
		put_line(f, s);
		putc('\n', f);
	}
	if (!sync_sent_has(list, peer)) {
		fputs(peer, f);
		putc('\n', f);
	}
	if (fclose(f) != 0) {
		free(out);
		return NULL;
	}
	if (len > 0)
		out[len - 1] = '\0'; /* the last LF */
	return out;
}

/* ---- the mail ------------------------------------------------------------ */

size_t
sync_mail_size(const char *sent, size_t keys_len)
{
	size_t head = HEAD_MAX;

	for (const char *s = sent; s != NULL && *s != '\0'; s = next_line(s))
		head += sizeof(sent_field) + 2 + strcspn(s, "\n");
	/* Armor: 64 characters and CR LF for 48 octets, and its frame. */
	return head + keys_len / 48 * 66 + 256;
}

/* All old ones are kept; our own stands last, and once. */
static void
put_sent(FILE *f, const struct sync_mail *m)
{
	for (const char *s = m->sent; s != NULL && *s != '\0';
	     s = next_line(s)) {
		if (same(s, m->from) || same(s, ""))
			continue;
		fputs(sent_field, f);
		put_line(f, s);
		fputs("\r\n", f);
	}
	fprintf(f, "%s%s\r\n", sent_field, m->from);
}

static int
put_message_id(FILE *f, const char *from)
{
	unsigned char octets[16];

	if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
		return -1;
	fputs("Message-ID: <", f);
	for (size_t i = 0; i < sizeof(octets); i++)
		fprintf(f, "%02x", (unsigned)octets[i]);
	fprintf(f, "%s>\r\n", strrchr(from, '@'));
	return 0;
}

static int
put_head(FILE *f, const struct sync_mail *m)
{
	char *date = mail_date(m->date);
	int rv = -1;

	if (date == NULL)
		return -1;
	fprintf(f, "To: %s\r\nFrom: %s\r\nSubject: incremental\r\n", m->to,
	    m->from);
	put_sent(f, m);
	fputs("Precedence: list\r\n"
	      "MIME-Version: 1.0\r\n"
	      "Content-Type: application/pgp-keys\r\n"
	      "Content-Transfer-Encoding: 7bit\r\n",
	    f);
	fprintf(f, "Date: %s\r\n", date);
	rv = put_message_id(f, m->from);
	fputs("\r\n", f);
	free(date);
	return rv;
}

static int
put_armor(FILE *f, const unsigned char *keys, size_t len)
{
	char *armor = NULL;
	size_t n = 0;
	FILE *text = pgp_memstream(&armor, &n);
	int rv;

	if (text == NULL)
		return -1;
	rv = pgp_armor(text, keys, len);
	if (fclose(text) != 0)
		rv = -1;
	for (const char *s = armor; rv == 0 && s < armor + n;) {
		size_t line = strcspn(s, "\n");

		fwrite(s, 1, line, f);
		fputs("\r\n", f);
		s += line + 1;
	}
	free(armor);
	return rv;
}

int
sync_mail_compose(const struct sync_mail *m, struct pgp_blob *out)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = pgp_memstream(&text, &len);
	int rv;

	if (f == NULL)
		return -1;
	rv = put_head(f, m);
	if (rv == 0)
		rv = put_armor(f, m->keys, m->keys_len);
	if (fclose(f) != 0 || rv != 0) {
		free(text);
		return -1;
	}
	*out = (struct pgp_blob){(unsigned char *)text, len};
	return 0;
}
