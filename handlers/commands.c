/*
 * The table of commands, and looking one up.
 */
#include "handlers/handler.h"

extern const struct command command_help, command_add, command_check;
extern const struct command command_get;
extern const struct command command_index, command_verbose_index;
extern const struct command command_vindex;
extern const struct command command_mget;
extern const struct command command_last;
extern const struct command command_stats;
extern const struct command command_incremental;
extern const struct command command_delete, command_remove;
extern const struct command command_unsubscribe, command_disable;

const struct command *const commands[] = {
    &command_help,
    &command_add,
    &command_check,
    &command_get,
    &command_index,
    &command_verbose_index,
    &command_vindex,
    &command_mget,
    &command_last,
    &command_stats,
    &command_incremental,
    &command_delete,
    &command_remove,
    &command_unsubscribe,
    &command_disable,
    NULL,
};

/* Not toupper(3): a Turkish locale has another idea of "i". */
static char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool
begins(const char *text, const char *name, size_t *len)
{
	size_t i;

	for (i = 0; name[i] != '\0'; i++)
		if (upper(text[i]) != name[i])
			return false;
	if (text[i] != '\0' && text[i] != ' ')
		return false;
	*len = i;
	return true;
}

const struct command *
command_find(const char *text, size_t *len)
{
	size_t i;

	for (i = 0; commands[i] != NULL; i++)
		if (begins(text, commands[i]->name, len))
			return commands[i];
	return NULL;
}
