/*
 * RSA takes s + n, s + 2n and so on for s, if nobody looks.  Only the first is
 * a signature (RFC 8017, 5.2.2): GnuPG does not look, others do, and anybody
 * could spoil one for them before it comes here.
 */
#include "pgp/internal.h"

#include <string.h>

static struct cursor
stripped(struct cursor c)
{
	for (; c.len > 0 && *c.p == 0; c.p++)
		c.len--;
	return c;
}

/* Of a key packet (RFC 9580, 5.5.2 and 5.5.5.1). */
static bool
modulus_of(const struct pgp_component *key, struct cursor *n)
{
	struct cursor c = {key->body, key->len};
	size_t header = key->version < 4 ? 8 : key->version == 4 ? 6 : 10;

	return key->body != NULL && key->pkalgo >= 1 && key->pkalgo <= 3 &&
	       cursor_take(&c, header) != NULL && cursor_mpi(&c, n);
}

bool
rsa_fits(const struct pgp_component *key, struct cursor s)
{
	struct cursor n;

	if (!modulus_of(key, &n))
		return true;
	n = stripped(n);
	s = stripped(s);
	if (s.len != n.len)
		return s.len < n.len;
	return s.len > 0 && memcmp(s.p, n.p, s.len) < 0;
}
