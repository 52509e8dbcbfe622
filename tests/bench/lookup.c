/*
 * lookup: times questions to a store that no daemon holds.
 *
 *   lookup [-1] [-c MEGABYTES] [-n TIMES] DIRECTORY < QUESTIONS
 *
 * Each line of QUESTIONS is a name, how many certificates are wanted at most,
 * and what is looked for, with tabs between; lines of one name are asked in
 * turn, TIMES times all together (200), after a first round that is not
 * counted.  With -1 each is asked once, and none before.  What is found is
 * read, as a listing does.  Prints of each name: times, the median, the least
 * and the greatest time in microseconds, and how many certificates matched the
 * last one.
 */
#include "db/keystore.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUESTIONS_MAX 10000

struct question {
	char *name, *text;
	size_t max;
};

static struct question question[QUESTIONS_MAX];
static size_t nquestions;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void
read_questions(void)
{
	char *line = NULL, *tab, *rest;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		struct question *q = &question[nquestions++];

		line[strcspn(line, "\n")] = '\0';
		tab = strchr(line, '\t');
		rest = tab == NULL ? NULL : strchr(tab + 1, '\t');
		if (rest == NULL || nquestions == QUESTIONS_MAX)
			errx(2, "no question: %s", line);
		*tab = '\0';
		q->name = strdup(line);
		q->max = strtoul(tab + 1, NULL, 10);
		q->text = strdup(rest + 1);
		if (q->name == NULL || q->text == NULL)
			err(2, "memory");
	}
	free(line);
}

static uint64_t
ask(struct keystore *ks, const struct question *q)
{
	struct ks_query query;
	struct ks_found found;
	const char *why;
	enum ks_status s;
	uint64_t total;

	if (ks_query_parse(q->text, &query, &why) != KS_OK)
		errx(2, "%s: %s", q->text, why);
	s = ks_find(ks, &query, q->max, &found);
	if (s != KS_OK && s != KS_TOO_MANY)
		errx(1, "%s: %s", q->text, ks_strerror(s));
	for (size_t i = 0; s == KS_OK && i < found.n; i++) {
		struct pgp_cert *cert;

		s = ks_get(ks, &found.fpr[i], &cert, NULL);
		if (s != KS_OK)
			errx(1, "%s: %s", q->text, ks_strerror(s));
		pgp_cert_free(cert);
	}
	total = found.total;
	ks_found_free(&found);
	ks_query_free(&query);
	return total;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The questions from `first` to before `end` are of one name.  0 times: each
 * once, and none before. */
static void
measure(struct keystore *ks, size_t first, size_t end, size_t times)
{
	const size_t warm = times == 0 ? first : end;
	double *took;
	uint64_t total = 0;

	if (times == 0)
		times = end - first;
	took = calloc(times, sizeof(*took));
	if (took == NULL)
		err(2, "memory");
	for (size_t i = first; i < warm; i++)
		ask(ks, &question[i]);
	for (size_t i = 0; i < times; i++) {
		double begin = now();

		total = ask(ks, &question[first + i % (end - first)]);
		took[i] = now() - begin;
	}
	qsort(took, times, sizeof(*took), compare);
	printf("%s\t%zu\t%.1f\t%.1f\t%.1f\t%" PRIu64 "\n", question[first].name,
	    times, took[times / 2], took[0], took[times - 1], total);
	free(took);
}

static void __attribute__((noreturn)) usage(void)
{
	errx(2, "usage: lookup [-1] [-c MB] [-n TIMES] DIRECTORY");
}

int
main(int argc, char **argv)
{
	struct ks_options o = {
	    .cache = 64u << 20, .sync = true, .policy = pgp_policy_default};
	const char *error = NULL;
	struct keystore *ks;
	size_t times = 200;
	int c;

	while ((c = getopt(argc, argv, "1c:n:")) != -1) {
		if (c == '1')
			times = 0;
		else if (c == 'c')
			o.cache = strtoul(optarg, NULL, 10) << 20;
		else if (c == 'n')
			times = strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (argc - optind != 1)
		usage();
	read_questions();
	if (ks_open(argv[optind], &o, &ks, &error) != KS_OK)
		errx(1, "%s: %s", argv[optind], error);
	for (size_t i = 0, end; i < nquestions; i = end) {
		for (end = i + 1; end < nquestions; end++)
			if (strcmp(question[end].name, question[i].name) != 0)
				break;
		measure(ks, i, end, times);
	}
	return ks_close(ks) == KS_OK ? 0 : 1;
}
