/*
 * mailkeyd-parser: keeps jailed children that read mails and files of
 * certificates.
 */
#include "mailkeyd/parser.h"
#include "mailkeyd/jailed.h"
#include "mailkeyd/mail_read.h"

#include <time.h>

static bool
config_sound(const void *config)
{
	const struct parser_config *c = config;

	return c->import_batch > 0 && c->import_batch <= MAIL_CERTS_MAX;
}

static void
prepare(const void *config)
{
	(void)config;
	tzset();
	mail_parse_prepare(false);
	pgp_prepare();
}

static void
prepare_all(void)
{
	mail_parse_prepare(true);
}

static enum jailed_exit
serve(int sock, const void *config)
{
	return jailed_serve(sock, config);
}

int
main(int argc, char **argv)
{
	static const struct jailer_kind reader = {.work = JAIL_READ,
	    .record_max = PARSER_RECORD_MAX,
	    .config_size = sizeof(struct parser_config),
	    .config_sound = config_sound,
	    .prepare = prepare,
	    .prepare_all = prepare_all,
	    .serve = serve};

	(void)argv;
	return jailer_main(argc, &reader);
}
