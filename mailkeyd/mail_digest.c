/*
 * What a mail is known by.
 */
#include "mailkeyd/mail_digest.h"
#include "mailkeyd/ipc.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL 16384 /* octets of a mail that are sooner copied than mapped */

/*
 * Where the body begins: behind the first empty line.  The core never looks
 * inside a message; this is no exception, since nothing is read of it: it only
 * finds where the header ends, which every relay changes, so as to hash what
 * stays the same.  The reader may have died of the mail, so cannot be asked.
 */
static size_t
body_offset(const char *raw, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (raw[i] != '\n')
			continue;
		if (raw[i + 1] == '\n')
			return i + 2;
		if (raw[i + 1] == '\r' && i + 2 < len && raw[i + 2] == '\n')
			return i + 3;
	}
	return len;
}

int
mail_digest_body(int fd, size_t len, unsigned char out[DIGEST_LEN])
{
	char small[SMALL], *raw;
	size_t at;
	int rv;

	if (len <= sizeof(small)) {
		if (pread(fd, small, len, 0) != (ssize_t)len)
			return -1;
		at = body_offset(small, len);
		return pgp_sha256(small + at, len - at, out);
	}
	raw = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (raw == MAP_FAILED)
		return -1;
	at = body_offset(raw, len);
	rv = pgp_sha256(raw + at, len - at, out);
	munmap(raw, len);
	return rv;
}

/* A digest over strings (NULL and "" differ) and the body's digest. */
static int
digest_of(const char *const *strings, size_t n,
    const unsigned char body[DIGEST_LEN], unsigned char out[DIGEST_LEN])
{
	struct ipc_out flat = {0};
	int rv = -1;

	for (size_t i = 0; i < n; i++)
		ipc_put_str(&flat, strings[i]);
	ipc_put_blob(&flat, body, DIGEST_LEN);
	if (!flat.failed)
		rv = pgp_sha256(flat.data, flat.len, out);
	ipc_out_free(&flat);
	return rv;
}

bool
mail_digest_repeat(const struct mail *mail, const char *sender,
    const char *name, const unsigned char body[DIGEST_LEN],
    unsigned char out[DIGEST_LEN])
{
	const char *id = mail->raw_message_id;
	const char *strings[6] = {
	    sender, id, NULL, mail->raw_subject, mail->raw_resent_id, name};
	size_t n = 5;

	if (id == NULL || *id == '\0') {
		strings[2] = mail->raw_received;
		if (strings[2] == NULL && name == NULL)
			return false;
		n += strings[2] == NULL;
	}
	return digest_of(strings, n, body, out) == 0;
}

int
mail_digest_poison(const char *sender, const unsigned char body[DIGEST_LEN],
    unsigned char out[DIGEST_LEN])
{
	return digest_of(&sender, 1, body, out);
}

void
mail_digest_hex(const unsigned char *octets, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", octets[i]);
}
