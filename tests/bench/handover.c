/*
 * handover: hands the mail on standard input to an SMTP server on loopback, as
 * sendmail(8) does for programs that send their mails with it.
 *
 *   handover PORT
 *
 * The recipient is the address in To.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void
expect(FILE *in, char class)
{
	char line[1000];

	do
		if (fgets(line, sizeof(line), in) == NULL)
			errx(75, "the connection ended");
	while (strlen(line) > 3 && line[3] == '-');
	if (*line != class)
		errx(75, "the server says: %s", line);
}

/* Reads the mail, as CR LF and with dots doubled; the length of To in *to. */
static char *
read_mail(const char **to, int *tolen)
{
	char *text = NULL, *line = NULL, *p;
	size_t len, size = 0;
	ssize_t n;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		err(75, "memory");
	while ((n = getline(&line, &size, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		fprintf(f, "%s%s\r\n", *line == '.' ? "." : "", line);
	}
	fputs(".\r\n", f);
	if (fclose(f) != 0)
		err(75, "memory");
	free(line);
	p = strcasestr(text, "To: ");
	if (p == NULL)
		errx(65, "no To");
	p += 4;
	*tolen = (int)strcspn(p, "\r\n");
	if (memchr(p, '<', (size_t)*tolen) != NULL) {
		p = strchr(p, '<') + 1;
		*tolen = (int)strcspn(p, ">\r\n");
	}
	*to = p;
	return text;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), tolen;
	const char *to;
	char *text;
	FILE *in, *out;

	if (argc != 2)
		errx(64, "usage: handover PORT");
	sin.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	text = read_mail(&to, &tolen);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    (in = fdopen(fd, "r")) == NULL ||
	    (out = fdopen(dup(fd), "w")) == NULL)
		err(75, "port %s", argv[1]);
	expect(in, '2');
	fprintf(out, "EHLO handover.example.net\r\n");
	fflush(out);
	expect(in, '2');
	fprintf(out, "MAIL FROM:<>\r\nRCPT TO:<%.*s>\r\nDATA\r\n", tolen, to);
	fflush(out);
	expect(in, '2');
	expect(in, '2');
	expect(in, '3');
	fputs(text, out);
	fflush(out);
	expect(in, '2');
	fputs("QUIT\r\n", out);
	fclose(out);
	fclose(in);
	free(text);
	return 0;
}
