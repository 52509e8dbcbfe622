/*
 * A password that lies in a file, which nobody else may read.
 */
#ifndef PASSWORD_H
#define PASSWORD_H

#define PASSWORD_MAX 255 /* octets */

/*
 * The first and only line of a file, malloc'ed.  NULL with *why, a malloc'ed
 * line "what; what to do" without the path, or NULL without memory.
 */
char *password_read(const char *path, char **why);

/* Frees one; nothing of it stays in memory. NULL is fine. */
void password_free(char *);

#endif
