/*
 * Which addresses may be answered, and which are robots.
 */
#include "mailkeyd/mail.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define ADDRESS_MAX 254 /* RFC 5321, 4.5.3.1 */
#define LOCAL_MAX   64
#define LABEL_MAX   63

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* RFC 5322, 3.2.3; ASCII only. */
static bool
is_atext(char c)
{
	return is_alnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_dot_atom(const char *s, size_t len)
{
	if (len == 0 || len > LOCAL_MAX || s[0] == '.' || s[len - 1] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_atext(s[i]) && (s[i] != '.' || s[i - 1] == '.'))
			return false;
	return true;
}

static bool
is_host(const char *s)
{
	size_t label = 0;

	for (; *s != '\0'; s++) {
		if (*s == '.' ? label == 0 || s[-1] == '-'
			      : !is_alnum(*s) && (*s != '-' || label == 0))
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0 && s[-1] != '-';
}

/* RFC 5321, 4.1.3 */
static bool
is_literal(const char *s)
{
	unsigned char address[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	size_t len = strlen(s);
	int family = AF_INET;

	if (len < 2 || s[0] != '[' || s[len - 1] != ']')
		return false;
	s++;
	len -= 2;
	if (strncasecmp(s, "IPv6:", 5) == 0) {
		family = AF_INET6;
		s += 5;
		len -= 5;
	}
	if (len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	return inet_pton(family, text, address) == 1;
}

/* The @ of an address that is sound but for what its local part may hold. */
static const char *
split(const char *s)
{
	const char *at = strrchr(s, '@');

	if (at == NULL || strnlen(s, ADDRESS_MAX + 1) > ADDRESS_MAX ||
	    !is_dot_atom(s, (size_t)(at - s)))
		return NULL;
	return is_host(at + 1) || is_literal(at + 1) ? at : NULL;
}

bool
mail_address_strict(const char *s)
{
	const char *at = split(s);

	/* % and ! are routes of old, | and / mean programs and files to some
	 * MTAs, - an option */
	return at != NULL && s[0] != '-' &&
	       strcspn(s, "%!|/") >= (size_t)(at - s);
}

bool
mail_address_envelope(const char *s)
{
	const char *at = split(s);

	return at != NULL && memchr(s, '!', (size_t)(at - s)) == NULL;
}

static bool
ends(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && strncasecmp(s + len - n, end, n) == 0;
}

static bool
is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

bool
mail_address_robot(const char *s)
{
	/* "list-bounces+alice=example.org@lists.example" is a robot, too */
	size_t len = strcspn(s, "@+");

	return is(s, len, "mailer-daemon") || is(s, len, "no-reply") ||
	       is(s, len, "noreply") || strncasecmp(s, "owner-", 6) == 0 ||
	       ends(s, len, "-owner") || ends(s, len, "-request") ||
	       ends(s, len, "-bounces");
}
