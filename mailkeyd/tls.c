/*
 * TLS over a wire, by GnuTLS.  libetpan's own verifies no certificate.
 */
#include "mailkeyd/tls.h"
#include "mailkeyd/ipc.h"
#include "mailkeyd/loop.h"
#include "pgp/pgp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUSTED_MAX ((size_t)16 << 20) /* octets of PEM */

struct tls {
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

/* Below 2048 bits of RSA nothing is taken, and no version before 1.2. */
static const char priority[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%PROFILE_MEDIUM";

/* Waits for what the session wants; -1: the step is over. */
static int
tls_wait(struct wire *w, const struct tls *tls)
{
	return wire_wait(
	    w, gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN);
}

static ssize_t
tls_fail(struct wire *w, ssize_t n)
{
	/* An end without the notice of it may be somebody else's doing: what
	 * came is not to be taken for all of it, which no caller does. */
	w->error = n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : EPROTO;
	return -1;
}

/* After a record was not moved: 0 to try once more, or -1. */
static int
tls_again(struct wire *w, const struct tls *tls, ssize_t n)
{
	if (n == GNUTLS_E_AGAIN)
		return tls_wait(w, tls);
	return n == GNUTLS_E_INTERRUPTED ? 0 : (int)tls_fail(w, n);
}

static ssize_t
tls_read(struct wire *w, void *buf, size_t count)
{
	const struct tls *tls = w->over;
	ssize_t n;

	do
		n = gnutls_record_recv(tls->session, buf, count);
	while (n < 0 && tls_again(w, tls, n) == 0);
	return n < 0 ? -1 : n;
}

static ssize_t
tls_write(struct wire *w, const void *buf, size_t count)
{
	const struct tls *tls = w->over;
	ssize_t n;

	do
		n = gnutls_record_send(tls->session, buf, count);
	while (n < 0 && tls_again(w, tls, n) == 0);
	return n < 0 ? -1 : n;
}

static size_t
tls_pending(const struct wire *w)
{
	const struct tls *tls = w->over;

	return gnutls_record_check_pending(tls->session);
}

static void
tls_free(struct tls *tls)
{
	if (tls->session != NULL)
		gnutls_deinit(tls->session);
	if (tls->credentials != NULL)
		gnutls_certificate_free_credentials(tls->credentials);
	free(tls);
}

static void
tls_end(struct wire *w)
{
	struct tls *tls = w->over;

	gnutls_bye(tls->session, GNUTLS_SHUT_WR);
	tls_free(tls);
}

/* ---- who is trusted ------------------------------------------------------ */

/* 0, or the error of GnuTLS. */
static int
write_all(gnutls_x509_trust_list_t list, FILE *out)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_crt_t ca;
	int e;

	while ((e = gnutls_x509_trust_list_iter_get_ca(list, &at, &ca)) == 0) {
		gnutls_datum_t pem;

		e = gnutls_x509_crt_export2(ca, GNUTLS_X509_FMT_PEM, &pem);
		gnutls_x509_crt_deinit(ca);
		if (e < 0)
			break;
		fwrite(pem.data, 1, pem.size, out);
		gnutls_free(pem.data);
	}
	gnutls_x509_trust_list_iter_deinit(at);
	return e == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : e;
}

static int
collect(const char *ca_file, FILE *out)
{
	gnutls_x509_trust_list_t list;
	int e = gnutls_x509_trust_list_init(&list, 0);

	if (e < 0)
		return e;
	if (ca_file == NULL)
		e = gnutls_x509_trust_list_add_system_trust(list, 0, 0);
	else
		e = gnutls_x509_trust_list_add_trust_file(
		    list, ca_file, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
	if (e == 0)
		e = GNUTLS_E_NO_CERTIFICATE_FOUND;
	if (e > 0)
		e = write_all(list, out);
	gnutls_x509_trust_list_deinit(list, 1);
	return e;
}

int
tls_trusted(const char *ca_file, char why[TLS_WHY])
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = pgp_memstream(&text, &len);
	int e = out == NULL ? GNUTLS_E_MEMORY_ERROR : collect(ca_file, out);
	int fd = -1;

	if (out != NULL && fclose(out) != 0)
		e = GNUTLS_E_MEMORY_ERROR;
	if (e == 0 && (fd = ipc_memfd("trusted", text, len, true)) == -1)
		e = GNUTLS_E_MEMORY_ERROR;
	if (e != 0)
		snprintf(why, TLS_WHY, "the trusted certificates: %s",
		    gnutls_strerror(e));
	free(text);
	return fd;
}

/* ---- the handshake ------------------------------------------------------- */

/* 0, or the error of GnuTLS. */
static int
trust(gnutls_certificate_credentials_t credentials, int trusted)
{
	gnutls_datum_t pem = {NULL, 0};
	char *text;
	size_t len;
	int e;

	if (ipc_slurp(trusted, TRUSTED_MAX, &text, &len) == -1)
		return GNUTLS_E_FILE_ERROR;
	pem.data = (unsigned char *)text;
	pem.size = (unsigned)len;
	e = gnutls_certificate_set_x509_trust_mem(
	    credentials, &pem, GNUTLS_X509_FMT_PEM);
	free(text);
	return e == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : e;
}

static bool
is_numeric(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 ||
	       inet_pton(AF_INET6, host, address) == 1;
}

/* 0, or the error of GnuTLS. */
static int
tls_set_up(struct tls *tls, int fd, const char *host, int trusted)
{
	int e = gnutls_certificate_allocate_credentials(&tls->credentials);

	if (e < 0)
		return e;
	e = trust(tls->credentials, trusted);
	if (e < 0)
		return e;
	e = gnutls_init(
	    &tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (e == 0)
		e = gnutls_priority_set_direct(tls->session, priority, NULL);
	if (e == 0)
		e = gnutls_credentials_set(
		    tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
	if (e == 0 && !is_numeric(host))
		e = gnutls_server_name_set(
		    tls->session, GNUTLS_NAME_DNS, host, strlen(host));
	if (e == 0)
		gnutls_transport_set_int(tls->session, fd);
	return e;
}

/* Why a certificate was not taken, as one line. */
static void
tls_refused(const struct tls *tls, char why[TLS_WHY])
{
	unsigned status = gnutls_session_get_verify_cert_status(tls->session);
	gnutls_datum_t text = {NULL, 0};

	if (gnutls_certificate_verification_status_print(
		status, GNUTLS_CRT_X509, &text, 0) == 0)
		snprintf(why, TLS_WHY, "%s", (const char *)text.data);
	else
		snprintf(why, TLS_WHY, "the certificate is not trusted");
	gnutls_free(text.data);
	for (size_t n = strlen(why); n > 0 && why[n - 1] == ' '; n--)
		why[n - 1] = '\0';
}

/* Verified is within the handshake: the far side has our first octet of data
 * only after that. */
static int
tls_handshake(
    struct wire *w, const struct tls *tls, const char *host, char why[TLS_WHY])
{
	char *name = strdup(host), purpose[] = GNUTLS_KP_TLS_WWW_SERVER;
	gnutls_typed_vdata_st wanted[] = {
	    {GNUTLS_DT_DNS_HOSTNAME, (unsigned char *)name, 0},
	    {GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)purpose, 0}};
	int e = GNUTLS_E_MEMORY_ERROR;

	if (name != NULL) {
		gnutls_session_set_verify_cert2(tls->session, wanted, 2, 0);
		do
			e = gnutls_handshake(tls->session);
		while (e == GNUTLS_E_AGAIN
			   ? tls_wait(w, tls) == 0
			   : e != 0 && !gnutls_error_is_fatal(e) &&
				 loop_now_ms() < w->deadline);
	}
	/* It is lent to the session till here. */
	gnutls_session_set_verify_function(tls->session, NULL);
	free(name);
	if (e == 0)
		return 0;
	if (e == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		tls_refused(tls, why);
	else if (e == GNUTLS_E_AGAIN)
		snprintf(why, TLS_WHY, "%s", wire_trouble(w));
	else
		snprintf(why, TLS_WHY, "%s", gnutls_strerror(e));
	return -1;
}

int
tls_start(struct wire *w, const char *host, int trusted, char why[TLS_WHY])
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int e = tls == NULL ? GNUTLS_E_MEMORY_ERROR
			    : tls_set_up(tls, w->fd, host, trusted);

	if (e < 0)
		snprintf(why, TLS_WHY, "the trusted certificates: %s",
		    gnutls_strerror(e));
	if (e < 0 || tls_handshake(w, tls, host, why) == -1) {
		if (tls != NULL)
			tls_free(tls);
		w->broken = true;
		return -1;
	}
	w->over = tls;
	w->read = tls_read;
	w->write = tls_write;
	w->pending = tls_pending;
	w->end = tls_end;
	return 0;
}
