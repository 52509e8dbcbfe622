/*
 * STATS: what is stored, and what the daemon has done since its start; for
 * people, or as NAME TAB VALUE for programs.
 */
#include "mailkeyd/control_client.h"
#include "mailkeyd/receive.h"

#include <inttypes.h>

struct stats {
	FILE *f;
	bool tsv;
};

/* Names are promised in mailkeyctl(8): none is changed, none goes. */
static void
row(const struct stats *s, const char *name, const char *label, uint64_t value)
{
	if (s->tsv)
		fprintf(s->f, "%s\t%" PRIu64 "\n", name, value);
	else
		fprintf(s->f, "%-21s %" PRIu64 "\n", label, value);
}

static void
row_time(const struct stats *s, const char *name, const char *label, time_t t)
{
	if (s->tsv) {
		row(s, name, label, (uint64_t)t);
		return;
	}
	fprintf(s->f, "%-21s ", label);
	print_time(s->f, t);
	fputc('\n', s->f);
}

static void
print_store(const struct stats *s, const struct ks_info *info)
{
	row(s, "certificates", "certificates", info->certificates);
	row(s, "changes", "changes", info->serial);
	row_time(s, "last_change", "last change", info->last_change);
	row(s, "queue", "mails waiting", info->outbox);
	row(s, "disk_octets", "octets on disk", info->disk);
}

/* What else there is to know of a store that is closed lies in its files. */
static void
print_place(const struct stats *s, struct keystore *ks)
{
	const char *why;
	bool open = ks_closed(ks, &why) == KS_OK;

	if (s->tsv)
		row(s, "store_open", "", open);
	else if (!open)
		fprintf(s->f, "%-21s %s\n", "the store is closed:", why);
}

static void
print_mails(const struct stats *s, const struct gateway *gateway)
{
	struct gateway_counts c;

	gateway_count(gateway, &c);
	row(s, "mails", "mails", c.mails);
	row(s, "answered", "  answered", c.done);
	row(s, "refused", "  refused", c.refused);
	row(s, "silent", "  silent", c.silent);
	row(s, "repeats", "  repeats", c.repeats);
	row(s, "later", "  put off", c.later);
	row(s, "quarantined", "  quarantined", c.quarantined);
	row(s, "in_hand", "mails in hand", gateway_busy(gateway));
	row(s, "commits", "commits", c.commits);
}

/* For people each with its state, for programs their sums. */
static void
print_mailboxes(const struct stats *s, const struct mailboxes *all)
{
	size_t n = mailboxes_count(all), open = 0;
	uint64_t mails = 0, deaths = 0;
	struct mailbox_state state;

	for (size_t i = 0; i < n; i++) {
		mailboxes_state(all, i, &state);
		open += state.open;
		mails += state.mails;
		deaths += state.deaths;
		if (s->tsv)
			continue;
		fprintf(s->f, "mailbox %-13s %s since ", state.title,
		    state.open ? "open" : "closed");
		print_time(s->f, state.since);
		fprintf(
		    s->f, "%s%s\n", *state.why != '\0' ? ": " : "", state.why);
	}
	if (!s->tsv && n == 0)
		return;
	row(s, "mailboxes", "mailboxes", n);
	row(s, "mailboxes_open", "  open", open);
	row(s, "mailbox_mails", "  mails from them", mails);
	row(s, "fetcher_deaths", "fetchers that died", deaths);
}

static void
print_running(const struct stats *s, const struct client *client)
{
	const struct gateway_parts *parts = client->parts;
	time_t paused = gateway_paused(client->gateway);
	struct despatch_counts dc;
	struct native_counts nc;

	despatch_count(parts->despatch, &dc);
	row_time(s, "started", "running since", client->started);
	if (s->tsv || paused != 0)
		row_time(s, "paused", "paused since", paused);
	print_mails(s, client->gateway);
	row(s, "sent", "answers sent", dc.sent);
	row(s, "send_later", "  put off", dc.deferred);
	row(s, "send_failed", "  refused, given up", dc.refused);
	judge_native(parts->judge, &nc);
	row(s, "good_signatures", "signatures verified", nc.good);
	row(s, "bad_signatures", "  found bad", nc.bad);
	row(s, "gpg_signatures", "  asked of gpg", judge_asked(parts->judge));
	row(s, "verifier_kills", "  verifiers killed", nc.killers);
	row(s, "parser_deaths", "parsers that died",
	    reader_deaths(parts->reader));
	row(s, "verifier_deaths", "verifiers that died", nc.deaths);
	row(s, "checker_deaths", "checkers that died",
	    judge_deaths(parts->judge));
	row(s, "sender_deaths", "senders that died", dc.deaths);
	print_mailboxes(s, parts->mailboxes);
}

static void
do_stats(struct client *client, struct ipc_msg *msg)
{
	struct stats s = {client_print(client), msg->a == 1};
	enum ks_status status;
	struct ks_info info;

	if (s.f == NULL)
		return;
	status = ks_info(client->parts->ks, &info);
	if (status == KS_OK) {
		print_place(&s, client->parts->ks);
		if (ks_closed(client->parts->ks, NULL) == KS_OK)
			print_store(&s, &info);
		if (client->parts->despatch != NULL)
			print_running(&s, client);
	}
	client_printed(client, s.f, status, "");
}

const struct control_command control_stats = {
    .type = CONTROL_STATS, .run = do_stats};
