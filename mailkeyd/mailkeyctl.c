/*
 * mailkeyctl: the operator's tool.  Its options and its table of commands,
 * each of which lives in a file of its own (ctl_*.c).
 */
#include "mailkeyd/ctl.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#define PATIENCE       30 /* seconds: some CONTROL_ALIVE_MS */
#define SUMMARY_COLUMN 26 /* of the table of commands */

enum {
	OPT_SENDER = 256,
	OPT_RECIPIENT,
	OPT_SYNC,
	OPT_RESTART,
	OPT_KEYS,
	OPT_SKIP,
	OPT_TSV,
	OPT_VERSION
};

static const struct verb *const verbs[] = {
    &verb_deliver,
    &verb_import,
    &verb_dump,
    &verb_get,
    &verb_index,
    &verb_stats,
    &verb_queue,
    &verb_sync,
    &verb_check,
    &verb_forget,
    &verb_unforget,
    &verb_pause,
    &verb_resume,
    &verb_backup,
    &verb_reload,
    &verb_quarantine,
    &verb_verify,
};

static void
print_verb(FILE *f, const struct verb *verb)
{
	int n = fprintf(f, "  %s %s", verb->name, verb->arguments);

	if (n < 0 || n >= SUMMARY_COLUMN) {
		fputc('\n', f);
		n = 0;
	}
	fprintf(f, "%*s%s\n", SUMMARY_COLUMN - n, "", verb->summary);
}

static void
print_usage(FILE *f)
{
	fputs("usage: mailkeyctl [-c FILE] COMMAND [ARGUMENT...]\n\n", f);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		print_verb(f, verbs[i]);
	fputs("\n"
	      "  -c, --config=FILE  configuration, " CONFIG_DEFAULT "\n"
	      "  -q, --quiet        no progress\n"
	      "      --version\n"
	      "  -h, --help\n"
	      "\nmailkeyctl(8) says more.\n",
	    f);
}

/* Options that leave no work for a command.  A pipe transport must hear 0
 * after a commit or 75, nothing else: every other status would bounce the
 * mail, and what stands on standard output with it. */
static int
no_command(int option, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "deliver") == 0) {
			print_usage(stderr);
			return EX_TEMPFAIL;
		}
	if (option == OPT_VERSION)
		puts("mailkeyctl " VERSION);
	else
		print_usage(option == 'h' ? stdout : stderr);
	return option == '?' ? EX_USAGE : EX_OK;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"sender", required_argument, NULL, OPT_SENDER},
	    {"recipient", required_argument, NULL, OPT_RECIPIENT},
	    {"sync", no_argument, NULL, OPT_SYNC},
	    {"skip", required_argument, NULL, OPT_SKIP},
	    {"restart", no_argument, NULL, OPT_RESTART},
	    {"keys", required_argument, NULL, OPT_KEYS},
	    {"tsv", no_argument, NULL, OPT_TSV},
	    {"verbose", no_argument, NULL, 'v'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct ctl ctl = {
	    .file = CONFIG_DEFAULT, .sock = -1, .patience = PATIENCE};
	int c;

	ipc_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "c:vqh", longs, NULL)) != -1) {
		if (c == 'c')
			ctl.file = optarg;
		else if (c == 'v')
			ctl.verbose = true;
		else if (c == 'q')
			ctl.quiet = true;
		else if (c == OPT_SENDER)
			ctl.sender = optarg;
		else if (c == OPT_RECIPIENT)
			ctl.recipient = optarg;
		else if (c == OPT_SYNC)
			ctl.sync = true;
		else if (c == OPT_SKIP)
			ctl.skip = optarg;
		else if (c == OPT_RESTART)
			ctl.restart = true;
		else if (c == OPT_KEYS)
			ctl.keys = optarg;
		else if (c == OPT_TSV)
			ctl.tsv = true;
		else
			return no_command(c, argc, argv);
	}
	for (size_t i = 0; optind < argc && i < sizeof(verbs) / sizeof(*verbs);
	     i++)
		if (strcmp(argv[optind], verbs[i]->name) == 0)
			return verbs[i]->run(
			    &ctl, argc - optind - 1, argv + optind + 1);
	if (optind < argc)
		fprintf(
		    stderr, "mailkeyctl: unknown command %s\n\n", argv[optind]);
	print_usage(stderr);
	return EX_USAGE;
}
