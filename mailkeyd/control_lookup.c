/*
 * GET and INDEX, answered by the handlers that mails reach, but for their
 * limits.
 */
#include "handlers/handler.h"
#include "mailkeyd/control_client.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static void
reply_say(struct client *client, const struct reply *reply)
{
	char *armor = NULL;
	size_t len = 0;
	FILE *f;

	if (reply->nkeys == 0) {
		client_data(client, reply->text_data, reply->text_len);
		return;
	}
	f = pgp_memstream(&armor, &len);
	if (f == NULL)
		return;
	pgp_armor(f, (const unsigned char *)reply->keys_data, reply->keys_len);
	if (fclose(f) == 0)
		client_data(client, armor, len);
	free(armor);
}

static void
look_up(struct client *client, const char *name, const char *argument)
{
	const struct config *config = client->parts->config;
	const struct command *command;
	struct request request = {0};
	struct reply reply;
	enum outcome outcome = TRY_LATER;
	char subject[IPC_TEXT + 32];

	snprintf(subject, sizeof(subject), "%s %s", name, argument);
	command = request_parse(subject, &request);
	request.sender = "";
	request.address = config->address;
	request.site = request.admin = "";
	request.now = time(NULL);
	request.limits.max_reply_keys = UINT32_MAX;
	request.limits.keys_per_mail = UINT32_MAX;
	request.limits.reply_size = SIZE_MAX / 2;
	request.limits.max_parts = UINT32_MAX;
	if (command == NULL || reply_new(&reply) == -1) {
		client_end(client, EX_USAGE, "what is to be looked up?");
		request_free(&request);
		return;
	}
	outcome = command->run(client->parts->ks, &request, &reply);
	if (reply_finish(&reply) == -1)
		outcome = TRY_LATER;
	if (outcome == DONE)
		reply_say(client, &reply);
	if (outcome == DONE)
		client_end(client, EX_OK, "%s", "");
	else if (outcome == REFUSED)
		client_end(client, EX_UNAVAILABLE, "%.*s",
		    (int)strcspn(reply.text_data, "\n"), reply.text_data);
	else
		client_end(client, EX_IOERR, "the store cannot be read");
	reply_free(&reply);
	request_free(&request);
}

static void
do_get(struct client *client, struct ipc_msg *msg)
{
	look_up(client, "GET", msg->text);
}

static void
do_index(struct client *client, struct ipc_msg *msg)
{
	look_up(client, msg->a == 1 ? "VERBOSE INDEX" : "INDEX", msg->text);
}

const struct control_command control_get = {.type = CONTROL_GET, .run = do_get};
const struct control_command control_index = {
    .type = CONTROL_INDEX, .run = do_index};
