/*
 * Passwords in files: their mode is looked at each time.
 */
#include "mailkeyd/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int __attribute__((format(printf, 2, 3)))
refuse(char **why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(why, format, ap) == -1)
		*why = NULL;
	va_end(ap);
	return -1;
}

/* Opens the file and sees that it is ours alone; a descriptor or -1. */
static int
open_private(const char *path, char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
	    error;
	struct stat st;

	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 077) == 0)
		return fd;
	error = errno;
	if (fd == -1)
		return refuse(why,
		    "%s; write the password into it, for the user that runs "
		    "mailkeyd alone",
		    strerror(error));
	close(fd);
	if (!S_ISREG(st.st_mode))
		return refuse(why, "it is no regular file; name one");
	return refuse(why,
	    "others than its owner may read or write it (mode %04o); run chmod "
	    "0600 on it",
	    (unsigned)st.st_mode & 07777);
}

static int
check_line(const char *line, size_t len, char **why)
{
	if (len == 0)
		return refuse(why, "its first line is empty; write the "
				   "password there");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return refuse(why,
			    "it holds more than a line, or a control "
			    "character; write the password alone");
	return 0;
}

char *
password_read(const char *path, char **why)
{
	char *line;
	ssize_t n;
	int fd;

	*why = NULL;
	if ((fd = open_private(path, why)) == -1)
		return NULL;
	line = calloc(1, PASSWORD_MAX + 3);
	n = line == NULL ? -1 : read(fd, line, PASSWORD_MAX + 2);
	if (n == -1)
		refuse(why, "%s; look at its disk", strerror(errno));
	close(fd);
	if (n > 0 && line[n - 1] == '\n')
		line[--n] = '\0';
	if (n > 0 && line[n - 1] == '\r')
		line[--n] = '\0';
	if (n > PASSWORD_MAX)
		refuse(why,
		    "it is longer than %d octets; is it the right file?",
		    PASSWORD_MAX);
	else if (n >= 0 && check_line(line, (size_t)n, why) == 0)
		return line;
	password_free(line);
	return NULL;
}

void
password_free(char *password)
{
	if (password != NULL)
		explicit_bzero(password, PASSWORD_MAX + 2);
	free(password);
}
