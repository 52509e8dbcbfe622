/*
 * Sync mails that come in: whose they are, and what a peer may bring, and get,
 * in a day.
 */
#include "mailkeyd/sync_in.h"

#include <stdio.h>
#include <string.h>

const struct config_peer *
sync_peer_of(const struct config *config, const struct mail *mail,
    const char *sender, const struct command *command)
{
	if (command == NULL || !(command->flags & COMMAND_KEYS) ||
	    command->flags & COMMAND_DRY)
		return NULL;
	if (command->flags & COMMAND_SILENT)
		return config_peer_of(config, sender, mail->from);
	/* Hockeypuck: a Subject and no other field. */
	return mail->nfrom == 0 ? config_peer_of(config, sender, NULL) : NULL;
}

bool
sync_may_be(const struct config *config, const char *sender)
{
	bool may = sender == NULL && config->npeer > 0;

	for (size_t i = 0; i < config->npeer; i++)
		may |= config->peer[i].header_from;
	return may || config_peer_of(config, sender, NULL) != NULL;
}

/* Drops certificates from the end. */
static void
certs_cut(struct mail *mail, size_t most)
{
	while (mail->ncerts > most) {
		mail->ncerts--;
		mail_cert_free(&mail->certs[mail->ncerts]);
		mail->nover++;
	}
}

int
sync_limit(const struct config *config, const struct config_peer *peer,
    size_t size, struct mail *mail)
{
	size_t most = peer != NULL ? peer->message_size
				   : config->limits.mail.message_size;

	certs_cut(mail,
	    peer != NULL ? peer->keys_per_mail : config->limits.keys_per_mail);
	if (mail->verdict != MAIL_SOUND || size <= most)
		return 0;
	mail->verdict = MAIL_OVER;
	mail->why = strdup(mail_over_size);
	return mail->why == NULL ? -1 : 0;
}

/* ---- the budget of a day ------------------------------------------------- */

/* No address and no domain is counted with a blank (budget.h). */
static void
name_of(const struct config_peer *peer, enum sync_way way,
    char out[PEER_TITLE_MAX + 8])
{
	snprintf(out, PEER_TITLE_MAX + 8, "%s %s",
	    way == SYNC_IN ? "sync" : "sent", peer->title);
}

enum ks_status
sync_budget_get(struct keystore *ks, const struct config_peer *peer,
    enum sync_way way, size_t keys, size_t octets, time_t now, bool *spent)
{
	char name[PEER_TITLE_MAX + 8];
	struct limit_count hour, day;
	enum ks_status status;

	name_of(peer, way, name);
	status = limit_get(ks, name, now, &hour, &day);
	*spent = status == KS_OK &&
		 ((uint64_t)day.replies + keys > PEER_KEYS_PER_DAY ||
		     day.octets + octets > PEER_BYTES_PER_DAY);
	return status;
}

enum ks_status
sync_budget_add(struct keystore *ks, const struct config_peer *peer,
    enum sync_way way, size_t keys, size_t octets, time_t now)
{
	const struct limit_count count = {
	    .replies = (uint32_t)keys, .octets = octets};
	char name[PEER_TITLE_MAX + 8];

	name_of(peer, way, name);
	return limit_add(ks, name, now, &count);
}
