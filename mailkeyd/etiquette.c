/*
 * Which mails a robot must not answer, and to whom an answer goes.
 */
#include "mailkeyd/etiquette.h"

#include <string.h>
#include <strings.h>

#define RECEIVED_MAX 25 /* a mail with more is going round */

const char etiquette_denied[] = "on the deny list";

static const char *const precedences[] = {"bulk", "junk", "list", NULL};

static bool
is_one_of(const char *value, const char *const *list)
{
	for (; value != NULL && *list != NULL; list++)
		if (strcasecmp(value, *list) == 0)
			return true;
	return false;
}

/* Our own X-Loop stands on a line of its own among all X-Loop values. */
static bool
has_our_loop(const char *x_loop, const struct config *config)
{
	char value[320];

	while (x_loop != NULL && *x_loop != '\0') {
		size_t len = strcspn(x_loop, "\n");

		if (len < sizeof(value)) {
			memcpy(value, x_loop, len);
			value[len] = '\0';
			if (config_is_ours(config, value))
				return true;
		}
		x_loop += len + (x_loop[len] == '\n');
	}
	return false;
}

static const char *
silent_by_sender(
    const struct mail *mail, const char *sender, const struct config *config)
{
	if (sender != NULL && *sender == '\0')
		return "null sender";
	if (sender != NULL && config_is_ours(config, sender))
		return "our own envelope sender";
	if (mail->from != NULL && config_is_ours(config, mail->from))
		return "our own From";
	if (mail->reply_to != NULL && config_is_ours(config, mail->reply_to))
		return "our own Reply-To";
	if (sender != NULL && mail_address_robot(sender))
		return "robot as envelope sender";
	if (mail->from != NULL && mail_address_robot(mail->from))
		return "robot in From";
	if (mail->reply_to != NULL && mail_address_robot(mail->reply_to))
		return "robot in Reply-To";
	return NULL;
}

const char *
etiquette_sync(const struct mail *mail)
{
	if (mail->nfrom > 1)
		return "two From fields";
	if (mail->nsubject > 1)
		return "two Subject fields";
	if (mail->nreceived > RECEIVED_MAX)
		return "too many Received fields";
	return NULL;
}

const char *
etiquette_silent(
    const struct mail *mail, const char *sender, const struct config *config)
{
	const char *why = etiquette_sync(mail);

	if (why != NULL)
		return why;
	if (config_denies(config, sender) ||
	    config_denies(config, mail->from) ||
	    config_denies(config, mail->reply_to))
		return etiquette_denied;
	if (mail->auto_submitted != NULL &&
	    strcasecmp(mail->auto_submitted, "no") != 0)
		return "Auto-Submitted";
	if (mail->list)
		return "List field";
	if (is_one_of(mail->precedence, precedences))
		return "Precedence";
	if (has_our_loop(mail->x_loop, config))
		return "our own X-Loop";
	return silent_by_sender(mail, sender, config);
}

const char *
etiquette_answer_to(const struct mail *mail, const char *sender)
{
	if (mail->reply_to != NULL && mail_address_strict(mail->reply_to))
		return mail->reply_to;
	if (sender != NULL && mail_address_envelope(sender))
		return sender;
	/* UUCP and NNCP give bang paths: nothing that SMTP could answer. */
	if ((sender == NULL || strchr(sender, '!') != NULL) &&
	    mail->from != NULL && mail_address_strict(mail->from))
		return mail->from;
	return NULL;
}
