/*
 * Any octets as a Subject, and its argument as text of an answer: whatever
 * they are, the answer stays one clean line.
 */
#include "handlers/handler.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
check_request(const char *subject)
{
	const struct command *command;
	struct request request;
	size_t len;

	command = request_parse(subject, &request);
	require(request.word != NULL && request.argument != NULL);
	require(request.word[strcspn(request.word, "\t\r\n")] == '\0');
	require(request.argument[strcspn(request.argument, "\t\r\n")] == '\0');
	require(strstr(request.argument, "  ") == NULL);
	len = strlen(request.argument);
	require(len == 0 || request.argument[0] != ' ');
	require(len == 0 || request.argument[len - 1] != ' ');
	if (command != NULL)
		require(strcmp(request.word, command->name) == 0);
	else
		require(strchr(request.word, ' ') == NULL);
	request_free(&request);
}

static void
check_userid(const uint8_t *data, size_t size)
{
	struct reply reply;
	size_t i;

	require(reply_new(&reply) == 0);
	reply_userid(&reply, data, size);
	require(reply_finish(&reply) == 0);
	for (i = 0; i < reply.text_len; i++) {
		require((unsigned char)reply.text_data[i] >= 0x20);
		require(reply.text_data[i] != 0x7F);
	}
	require(reply.text_len <= 4 * USERID_COLUMNS + 16);
	reply_free(&reply);
}

static void
check_wrap(const char *text, unsigned indent)
{
	struct reply reply;
	size_t i;
	unsigned column;

	require(reply_new(&reply) == 0);
	reply_wrap(&reply, indent, text);
	require(reply_finish(&reply) == 0);
	column = 0;
	for (i = 0; i < reply.text_len; i++) {
		if (reply.text_data[i] == '\n')
			column = 0;
		else if (((unsigned char)reply.text_data[i] & 0xC0) != 0x80)
			column++;
		require(column <= 76);
	}
	require(column == 0);
	reply_free(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if ((text = malloc(size + 1)) == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	check_request(text);
	check_userid(data, size);
	check_wrap(text, size > 0 ? data[0] % 70 : 0);
	free(text);
	return 0;
}
