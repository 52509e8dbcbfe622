/*
 * Limits on the raw octets of a mail, checked before any library sees them.
 */
#include "mailkeyd/mail.h"

#include <string.h>
#include <strings.h>

const struct mail_limits mail_limits_default = {
    .message_size = 5u << 20,
    .header_size = 64u << 10,
    .field_size = 16u << 10,
    .fields = 500,
    .content_types = 200,
    .messages = 20,
    .depth = 20,
    .parts = 100,
    .keys = 50,
};

const char mail_over_size[] =
    "It is larger than this server takes (message_size).";

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where the header begins: behind the line that an mbox puts first. */
static size_t
header_start(const char *raw, size_t len)
{
	const char *lf;

	if (len < 5 || memcmp(raw, "From ", 5) != 0)
		return 0;
	lf = memchr(raw, '\n', len);
	return lf == NULL ? len : (size_t)(lf - raw) + 1;
}

/* Whether a header line without its line end holds what no header may. */
static const char *
bent_line(const char *line, size_t len)
{
	if (memchr(line, '\0', len) != NULL)
		return "There is a NUL in the header.";
	if (memchr(line, '\r', len) != NULL)
		return "There is a bare CR in the header.";
	return NULL;
}

/* Walks the header up to the empty line; returns why it is bent, or NULL. */
static const char *
scan_header(const char *raw, size_t len, const struct mail_limits *limits,
    size_t start, size_t *body)
{
	size_t pos = start, field = start, nfields = 0;
	const char *why;

	while (pos < len) {
		const char *line = raw + pos;
		const char *lf = memchr(line, '\n', len - pos);
		size_t next = lf == NULL ? len : (size_t)(lf - raw) + 1;
		size_t n = next - pos - (lf != NULL);

		if (lf != NULL && n > 0 && line[n - 1] == '\r')
			n--;
		if (n == 0) {
			*body = next;
			return NULL;
		}
		if (!is_blank(line[0])) {
			field = pos;
			if (++nfields > limits->fields)
				return "There are too many header fields "
				       "(header_fields).";
		}
		if (next - field > limits->field_size)
			return "A header field is too long (field_size).";
		if (next - start > limits->header_size)
			return "The header is too long (header_size).";
		why = bent_line(line, n);
		if (why != NULL)
			return why;
		pos = next;
	}
	*body = len;
	return NULL;
}

/*
 * Passes over blanks, folds and nested comments (RFC 5322, 3.2.2), which
 * libetpan allows around the colon.  NULL when there is no end to them.
 */
static const char *
skip_cfws(const char *p, const char *end, size_t most)
{
	unsigned comments = 0;

	for (const char *first = p; p < end; p++) {
		if ((size_t)(p - first) > most)
			return NULL;
		if (*p == '(')
			comments++;
		else if (comments > 0 && *p == ')')
			comments--;
		else if (comments > 0 && *p == '\\' && p + 1 < end)
			p++;
		else if (comments == 0 && !is_blank(*p) && *p != '\r' &&
			 *p != '\n')
			return p;
	}
	return end;
}

/* Whether what stands behind "Content-Type" is a message/ type; when in doubt,
 * it is. */
static bool
is_message(const char *p, const char *end, size_t most)
{
	p = skip_cfws(p, end, most);
	if (p == NULL)
		return true;
	if (p == end || *p != ':')
		return false;
	p = skip_cfws(p + 1, end, most);
	return p == NULL || (end - p > 7 && strncasecmp(p, "message", 7) == 0);
}

/* Counts what makes libetpan's work grow faster than the mail does. */
static const char *
scan_types(const char *p, const char *end, const struct mail_limits *limits)
{
	static const char name[] = "content-type";
	unsigned types = 0, messages = 0;
	bool bol = true;

	for (; p < end; p++) {
		if (bol && (*p == 'C' || *p == 'c') &&
		    (size_t)(end - p) >= sizeof(name) - 1 &&
		    strncasecmp(p, name, sizeof(name) - 1) == 0) {
			if (++types > limits->content_types)
				return "It has too many Content-Type lines "
				       "(content_types).";
			if (is_message(p + sizeof(name) - 1, end,
				limits->field_size) &&
			    ++messages > limits->messages)
				return "It holds too many messages within the "
				       "message (nested_messages).";
		}
		bol = *p == '\n' || *p == '\r';
	}
	return NULL;
}

enum mail_verdict
mail_scan(const char *raw, size_t len, const struct mail_limits *limits,
    size_t *start, size_t *body, const char **why)
{
	*start = header_start(raw, len);
	*body = len;
	*why = scan_header(raw, len, limits, *start, body);
	if (*why != NULL)
		return MAIL_BENT;
	if (len > limits->message_size) {
		*why = mail_over_size;
		return MAIL_OVER;
	}
	*why = scan_types(raw + *start, raw + len, limits);
	return *why != NULL ? MAIL_OVER : MAIL_SOUND;
}
