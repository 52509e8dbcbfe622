/*
 * mailkeyd.conf: what it means, and the exact line for each mistake.
 */
#include "mailkeyd/config_reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[128];

static void
path_in(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", dir, name);
}

static void
write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	path_in(path, sizeof(path), name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%.80s/config-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return -1;
	setenv("TEST_CONFIG_DOMAIN", "example.org", 1);
	unsetenv("TEST_CONFIG_UNSET");
	return 0;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = {"t.conf", "more.conf", "self.conf",
	    "peer.conf", "s/db", "s/quarantine", "s/gnupg", "s", "file",
	    "folder"};
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_in(path, sizeof(path), names[i]);
		remove(path);
	}
	return rmdir(dir);
}

/* Reads a text as DIR/t.conf; in the error the directory is cut out. */
static struct config *
read_text(const char *text, char *error, size_t size)
{
	struct config *c;
	char path[256], *why = NULL, *from, *at;
	size_t n = 0, len;

	write_file("t.conf", text);
	path_in(path, sizeof(path), "t.conf");
	error[0] = '\0';
	if ((c = config_read(path, &why)) != NULL)
		return c;
	assert_non_null(why);
	snprintf(path, sizeof(path), "%s/", dir);
	for (from = why; *from != '\0'; from = at) {
		if ((at = strstr(from, path)) == from) {
			at += strlen(path);
			continue;
		}
		len = at != NULL ? (size_t)(at - from) : strlen(from);
		assert_true(n + len < size);
		memcpy(error + n, from, len);
		n += len;
		at = from + len;
	}
	error[n] = '\0';
	free(why);
	return NULL;
}

/* ---- mistakes ------------------------------------------------------------ */

#define A	      "address = \"keys@example.org\"\n"
#define OF_LIMITS(s)  A "limits {\n" s "\n}\n"
#define OF_SEND(s)    A "send {\n" s "\n}\n"
#define OF_RECEIVE(s) A "receive \"x\" {\n" s "\n}\n"
#define OF_MAILBOX(type, s)                                                    \
	OF_RECEIVE(                                                            \
	    "type = " type " host = mail.example.net user = a password_file "  \
	    "= \"/p\"\n" s)
#define OF_PEER(s) A "peer \"x\" {\n" s "\n}\n"

static const struct mistake {
	const char *name, *text, *error;
} mistakes[] = {
    {"nothing", "",
	"t.conf: no address; add a line such as address = "
	"\"keys@example.org\""},
    {"unknown option", A "\nadress = x\n",
	"t.conf:3: unknown option \"adress\"; mailkeyd.conf(5) lists what "
	"there is"},
    {"unknown option, after comments",
	"# one\n// two\n/* three\n four */\n" A "adress = x # six\n",
	"t.conf:6: unknown option \"adress\"; mailkeyd.conf(5) lists what "
	"there is"},
    {"unknown option in a section", OF_LIMITS("mesage_size = 5M"),
	"t.conf:3: unknown option \"mesage_size\"; mailkeyd.conf(5) lists "
	"what there is"},
    {"unknown section", A "recieve \"x\" { }\n",
	"t.conf:2: unknown option \"recieve\"; mailkeyd.conf(5) lists what "
	"there is"},
    {"two values", "address = a b\n",
	"t.conf:1: address cannot be \"a\"; write an address such as "
	"keys@example.org"},
    {"invalid address", "address = \"keys\"\n",
	"t.conf:1: address cannot be \"keys\"; write an address such as "
	"keys@example.org"},
    {"line break in address", "address = \"a@b.example\\nc\"\n",
	"t.conf:1: address cannot be \"a@b.example?c\"; remove the control "
	"character"},
    {"invalid alias", A "aliases = { \"a@b.example\",\n \"a@b c\" }\n",
	"t.conf:3: aliases cannot be \"a@b c\"; write an address such as "
	"keys@example.org"},
    {"invalid admin", A "admins = { \"\" }\n",
	"t.conf:2: admins cannot be \"\"; write a value or remove the line"},
    {"repeated", A "\n" A,
	"t.conf:3: address is set again; remove it here or in t.conf:1"},
    {"repeated in a section", OF_LIMITS("user_ids = 1\nuser_ids = 2"),
	"t.conf:4: user_ids is set again; remove it here or in t.conf:3"},
    {"repeated in two sections",
	A "limits { user_ids = 1 }\nlimits { user_ids = 2 }\n",
	"t.conf:3: user_ids is set again; remove it here or in t.conf:2"},
    {"repeated list", A "admins = a@b.example\nadmins = { c@d.example }\n",
	"t.conf:3: admins is set again; remove it here or in t.conf:2"},
    {"repeated in an included file", A "include(\"more.conf\")\n",
	"more.conf:2: address is set again; remove it here or in t.conf:1"},
    {"octal", OF_LIMITS("keys_per_mail = 010"),
	"t.conf:3: keys_per_mail cannot be \"010\"; it looks octal, remove "
	"the leading 0"},
    {"octal size", OF_LIMITS("reply_size = 05M"),
	"t.conf:3: reply_size cannot be \"05M\"; it looks octal, remove the "
	"leading 0"},
    {"hexadecimal", OF_LIMITS("keys_per_mail = 0x10"),
	"t.conf:3: keys_per_mail cannot be \"0x10\"; write a number in "
	"digits"},
    {"negative", OF_LIMITS("keys_per_mail = -1"),
	"t.conf:3: keys_per_mail cannot be \"-1\"; write a number in digits"},
    {"no number", OF_LIMITS("keys_per_mail = 12abc"),
	"t.conf:3: keys_per_mail cannot be \"12abc\"; write a number in "
	"digits"},
    {"too large for any type",
	OF_LIMITS("keys_per_mail = 99999999999999999999"),
	"t.conf:3: keys_per_mail cannot be \"99999999999999999999\"; write a "
	"number in digits"},
    {"zero keys", OF_LIMITS("keys_per_mail = 0"),
	"t.conf:3: keys_per_mail is 0; set it between 1 and 5000"},
    {"bad size", OF_LIMITS("message_size = 5MB"),
	"t.conf:3: message_size cannot be \"5MB\"; write octets as 65536, "
	"64K, 5M or 1G"},
    {"size too large", OF_LIMITS("message_size = 33M"),
	"t.conf:3: message_size is 33M; set it between 16K and 32M"},
    {"size over 64 bits", OF_LIMITS("free_space = 99999999999G"),
	"t.conf:3: free_space cannot be \"99999999999G\"; write octets as "
	"65536, 64K, 5M or 1G"},
    {"certificate over 1M", OF_LIMITS("certificate_size = 1048577"),
	"t.conf:3: certificate_size is 1048577; set it between 8K and 1M"},
    {"bad time", OF_SEND("retry = 1w"),
	"t.conf:3: retry cannot be \"1w\"; write a time as 90, 90s, 10m, 4h "
	"or 7d"},
    {"no patience", A "helper_timeout = 4\n",
	"t.conf:2: helper_timeout is 4; set it between 5 and 1h"},
    {"no time", OF_LIMITS("idle_timeout = 0s"),
	"t.conf:3: idle_timeout is 0s; set it between 1 and 1d"},
    {"reply too small for a certificate",
	OF_LIMITS("certificate_size = 1M\nreply_size = 1M"),
	"t.conf:4: reply_size 1048576 cannot hold one certificate of "
	"certificate_size 1048576; set it to 1450K at least"},
    {"message below header", OF_LIMITS("message_size = 32K"),
	"t.conf:3: message_size 32768 is less than header_size 65536; raise "
	"it or lower header_size"},
    {"header below field", OF_LIMITS("header_size = 8K"),
	"t.conf:3: header_size 8192 is less than field_size 16384; raise it "
	"or lower field_size"},
    {"gives up before it retries", OF_SEND("retry = 4h\ngive_up = 1h"),
	"t.conf:4: give_up 3600s is less than retry 14400s; raise it or "
	"lower retry"},
    {"relative path", A "state = \"lib\"\n",
	"t.conf:2: state cannot be \"lib\"; write a path that begins with /"},
    {"bad log", A "log = file\n",
	"t.conf:2: log cannot be \"file\"; write stderr or syslog"},
    {"bad switch", A "jail_required = maybe\n",
	"t.conf:2: jail_required cannot be \"maybe\"; write no or yes"},
    {"bad send type", OF_SEND("type = uucp"),
	"t.conf:3: type cannot be \"uucp\"; write smtp, sendmail or maildir"},
    {"maildir without path", OF_SEND("type = maildir"),
	"t.conf:3: type = maildir has no path; write path = \"/DIRECTORY\""},
    {"path with smtp", OF_SEND("path = \"/usr/sbin/sendmail\""),
	"t.conf:3: path does not go with type = smtp; remove it or change "
	"the type"},
    {"host with sendmail", OF_SEND("type = sendmail\nhost = a"),
	"t.conf:4: host does not go with type = sendmail; remove it or "
	"change the type"},
    {"bad port", OF_SEND("port = 65536"),
	"t.conf:3: port is 65536; set it between 1 and 65535"},
    {"bad host", OF_SEND("host = \"a b\""),
	"t.conf:3: host cannot be \"a b\"; write one host name or address"},
    {"no title", A "receive { type = lmtp }\n",
	"t.conf:2: missing title for section 'receive'; write it behind the "
	"name, as in peer \"NAME\" { ... }"},
    {"a title too many", A "limits \"x\" { }\n",
	"t.conf:2: missing opening brace for section 'limits'; write NAME { "
	"... }; only receive and peer have a title"},
    {"empty receive",
	A "receive \"a\" { type = lmtp port = 1 }\n"
	  "receive \"x\" {\n}\n",
	"t.conf:4: receive \"x\" is empty; write type = lmtp and path or "
	"port"},
    {"deny of nothing", A "deny = { \"a b\" }\n",
	"t.conf:2: deny cannot be \"a b\"; write an address, or a domain such "
	"as example.org"},
    {"deny of no address", A "deny = { \"example.org\", \"a@\" }\n",
	"t.conf:2: deny cannot be \"a@\"; write an address such as "
	"keys@example.org"},
    {"maildir nowhere", OF_RECEIVE("type = maildir"),
	"t.conf:3: receive \"x\" has no path; write path = \"/DIRECTORY\""},
    {"maildir with a port",
	OF_RECEIVE("type = maildir path = \"/a\"\nport = 1"),
	"t.conf:4: port does not go with type = maildir; remove it or change "
	"the type"},
    {"maildir with a mode",
	OF_RECEIVE("type = maildir path = \"/a\"\nmode = 0600"),
	"t.conf:4: mode does not go with type = maildir; remove it or change "
	"the type"},
    {"maildir that we fill",
	A "send { type = maildir path = \"/a\" }\n"
	  "receive \"x\" { type = maildir path = \"/a\" }\n",
	"t.conf:3: receive \"x\" reads the Maildir that send writes; change "
	"one"},
    {"maildir twice",
	A "receive \"x\" { type = maildir path = \"/a\" }\n"
	  "receive \"y\" { type = maildir path = \"/a\" }\n",
	"t.conf:3: receive \"y\" listens where \"x\" of t.conf:2 does; change "
	"one"},
    {"no receive type", OF_RECEIVE("port = 2424"),
	"t.conf:3: receive \"x\" has no type; write type = lmtp"},
    {"bad receive type", OF_RECEIVE("type = uucp"),
	"t.conf:3: type cannot be \"uucp\"; write lmtp, maildir, imap or "
	"pop3"},
    {"mailbox nowhere", OF_RECEIVE("type = imap\nuser = a"),
	"t.conf:3: receive \"x\" has no host; write host = "
	"\"mail.example.org\""},
    {"mailbox of nobody", OF_RECEIVE("type = pop3\nhost = h"),
	"t.conf:3: receive \"x\" has no user; write user = \"NAME\""},
    {"mailbox without a password", OF_RECEIVE("type = imap host = h user = a"),
	"t.conf:3: receive \"x\" has no password_file; write password_file = "
	"\"/FILE\""},
    {"mailbox with a path", OF_MAILBOX("imap", "path = \"/a\""),
	"t.conf:4: path does not go with type = imap; remove it or change the "
	"type"},
    {"mailbox with a mode", OF_MAILBOX("pop3", "mode = 0600"),
	"t.conf:4: mode does not go with type = pop3; remove it or change the "
	"type"},
    {"POP3 with a folder", OF_MAILBOX("pop3", "folder = \"a\""),
	"t.conf:4: folder does not go with type = pop3; remove it or change "
	"the type"},
    {"folder that is empty", OF_MAILBOX("imap", "folder = \"\""),
	"t.conf:4: folder cannot be \"\"; write a name or remove the line"},
    {"folder in UTF-8", OF_MAILBOX("imap", "folder = \"Schl\xc3\xbcssel\""),
	"t.conf:4: folder cannot be \"Schl\xc3\xbcssel\"; write it in ASCII, "
	"as the server lists it"},
    {"bad TLS", OF_MAILBOX("imap", "tls = yes"),
	"t.conf:4: tls cannot be \"yes\"; write implicit, starttls or none"},
    {"password in the clear", OF_MAILBOX("imap", "tls = none"),
	"t.conf:4: tls = none is for a server on this machine; write implicit "
	"or starttls"},
    {"password in the clear to a name that looks near",
	A "receive \"x\" {\ntype = pop3 host = localhost.example.net\n"
	  "tls = none user = a password_file = \"/p\" }\n",
	"t.conf:4: tls = none is for a server on this machine; write implicit "
	"or starttls"},
    {"a CA for nothing",
	A "receive \"x\" {\ntype = imap host = \"::1\" tls = none user = a\n"
	  "password_file = \"/p\"\nca_file = \"/c\" }\n",
	"t.conf:5: ca_file does not go with tls = none; remove it"},
    {"poll without a pause", OF_MAILBOX("imap", "poll = 0"),
	"t.conf:4: poll is 0; set it between 1 and 1d"},
    {"an hour for an answer", OF_MAILBOX("imap", "timeout = 2h"),
	"t.conf:4: timeout is 2h; set it between 1 and 1h"},
    {"mailbox twice",
	OF_MAILBOX("imap", "port = 993") "receive \"y\" { type = imap host = "
					 "MAIL.example.net user = a "
					 "password_file = \"/q\" }\n",
	"t.conf:6: receive \"y\" reads where \"x\" of t.conf:3 does; change "
	"one"},
    {"LMTP with a user", OF_RECEIVE("type = lmtp port = 1\nuser = a"),
	"t.conf:4: user does not go with type = lmtp; remove it or change the "
	"type"},
    {"maildir with a password",
	OF_RECEIVE("type = maildir path = \"/a\"\npassword_file = \"/p\""),
	"t.conf:4: password_file does not go with type = maildir; remove it or "
	"change the type"},
    {"receive nowhere", OF_RECEIVE("type = lmtp"),
	"t.conf:3: receive \"x\" listens nowhere; write path = "
	"\"/run/mailkeyd/lmtp\" or port = 2424"},
    {"receive twice at once", OF_RECEIVE("type = lmtp path = \"/a\" port = 1"),
	"t.conf:3: receive \"x\" has both a path and a host or port; write "
	"two sections"},
    {"host name to listen on",
	OF_RECEIVE("type = lmtp port = 1\nhost = localhost"),
	"t.conf:4: host cannot be \"localhost\"; write a numeric address such "
	"as 127.0.0.1 or ::1"},
    {"bad mode", OF_RECEIVE("type = lmtp path = \"/a\" mode = \"rw\""),
	"t.conf:3: mode cannot be \"rw\"; write a mode as \"0660\""},
    {"mode too large", OF_RECEIVE("type = lmtp path = \"/a\" mode = 4755"),
	"t.conf:3: mode is 4755; set it between 0000 and 0777"},
    {"mode of a port", OF_RECEIVE("type = lmtp port = 1\nmode = \"0660\""),
	"t.conf:4: mode goes with path; remove it or write a path"},
    {"the same title",
	A "receive \"x\" { type = lmtp port = 1 }\n"
	  "receive \"x\" { type = lmtp port = 2 }\n",
	"t.conf:3: found duplicate title 'x'; give each section a name of "
	"its own"},
    {"the same title in two files",
	A "receive \"x\" { type = lmtp port = 1 }\ninclude(\"more.conf\")\n",
	"more.conf:1: receive \"x\" is also in t.conf:2; give each a name of "
	"its own"},
    {"the same path",
	A "receive \"x\" { type = lmtp path = \"/a\" }\n"
	  "receive \"y\" { type = lmtp path = \"/a\" }\n",
	"t.conf:3: receive \"y\" listens where \"x\" of t.conf:2 does; change "
	"one"},
    {"the same port",
	A "receive \"x\" { type = lmtp port = 1 }\n"
	  "receive \"y\" { type = lmtp host = \"127.0.0.1\" port = 1 }\n",
	"t.conf:3: receive \"y\" listens where \"x\" of t.conf:2 does; change "
	"one"},
    {"empty peer", A "peer \"a\" { }\n",
	"t.conf:2: peer \"a\" is empty; write address = "
	"\"keys@example.net\""},
    {"empty peer behind another",
	A "peer \"a\" { address = \"a@b.example\" }\npeer \"b\" { }\n",
	"t.conf:3: peer \"b\" is empty; write address = "
	"\"keys@example.net\""},
    {"peer without an address", OF_PEER("gather = 0"),
	"t.conf:3: peer \"x\" has no address; write address = "
	"\"keys@example.net\""},
    {"peer without a title", A "peer \"\" { address = \"a@b.example\" }\n",
	"t.conf:2: a peer's title has 1 to 64 octets; write another one"},
    {"peer with our address", OF_PEER("\naddress = \"Keys@example.ORG\""),
	"t.conf:4: address Keys@example.ORG of peer \"x\" is our own; write "
	"the other server's"},
    {"peer with an alias of ours",
	OF_PEER("address = \"k@b.example\"") "aliases = k@b.example\n",
	"t.conf:3: address k@b.example of peer \"x\" is our own; write the "
	"other server's"},
    {"bad address of a peer", OF_PEER("address = \"k\""),
	"t.conf:3: address cannot be \"k\"; write an address such as "
	"keys@example.org"},
    {"mails too small for a peer", OF_PEER("mail_size = 1K"),
	"t.conf:3: mail_size is 1K; set it between 16K and 32M"},
    {"no mails an hour", OF_PEER("mails_per_hour = 0"),
	"t.conf:3: mails_per_hour is 0; set it between 1 and 100000"},
    {"gathers too long", OF_PEER("gather = 2d"),
	"t.conf:3: gather is 2d; set it between 0 and 1d"},
    {"unknown option of a peer", OF_PEER("adress = k@b.example"),
	"t.conf:3: unknown option \"adress\"; mailkeyd.conf(5) lists what "
	"there is"},
    {"two peers of one title",
	A "peer \"x\" { address = \"a@b.example\" }\n"
	  "include(\"peer.conf\")\n",
	"peer.conf:1: peer \"x\" is also in t.conf:2; give each a name of its "
	"own"},
    {"two peers of one address",
	A "peer \"x\" { address = \"a@b.example\" }\n"
	  "peer \"y\" { address = \"A@B.example\" }\n",
	"t.conf:3: peer \"y\" has the address of \"x\" of t.conf:2; remove "
	"one"},
    {"two peers of one sender",
	A "peer \"x\" { address = \"a@b.example\" }\n"
	  "peer \"y\" { address = \"c@b.example\" sender = "
	  "\"a@b.example\" }\n",
	"t.conf:3: peer \"y\" has the address of \"x\" of t.conf:2; remove "
	"one"},
    {"bad language", A "language = \"../de\"\n",
	"t.conf:2: language cannot be \"../de\"; write a code such as en or "
	"zh-tw"},
    {"empty language", A "language = \"\"\n",
	"t.conf:2: language cannot be \"\"; write a code such as en or "
	"zh-tw"},
    {"bad mget", OF_LIMITS("mget = on"),
	"t.conf:3: mget cannot be \"on\"; write no or yes"},
    {"too many days", OF_LIMITS("max_last = 30d"),
	"t.conf:3: max_last cannot be \"30d\"; write a number in digits"},
    {"no part", OF_LIMITS("max_parts = 0"),
	"t.conf:3: max_parts is 0; set it between 1 and 100"},
    {"the control socket",
	A "control = \"/a\"\nreceive \"x\" { type = lmtp path = \"/a\" }\n",
	"t.conf:3: receive \"x\" listens where control does; change one"},
    {"socket path too long",
	A "control = \"/a23456789012345678901234567890123456789012345678901234"
	  "567890123456789012345678901234567890123456789012345678\"\n",
	"t.conf:2: the path of control is too long for a socket; keep it "
	"under 108 octets"},
    {"state too long for the control socket",
	A "state = \"/a2345678901234567890123456789012345678901234567890123456"
	  "7890123456789012345678901234567890123456789\"\n",
	"t.conf:2: /a2345678901234567890123456789012345678901234567890123456"
	"7890123456789012345678901234567890123456789/control is too long for "
	"a socket; set control to a shorter path"},
    {"missing include", A "include(\"none.conf\")\n",
	"t.conf:2: cannot read none.conf: No such file or directory; make it "
	"readable or remove the include"},
    {"include of two", A "include(\"a\", \"b\")\n",
	"t.conf:2: include takes one file; write include(\"FILE\")"},
    {"includes itself", A "include(\"t.conf\")\n",
	"t.conf:2: t.conf is included a second time; remove one"},
    {"includes a ring", A "include(\"self.conf\")\n",
	"self.conf:1: t.conf is included a second time; remove one"},
    {"unset variable", "address = \"keys@${TEST_CONFIG_UNSET}\"\n",
	"t.conf:1: the environment has no TEST_CONFIG_UNSET; set it, or write "
	"${TEST_CONFIG_UNSET:-default}"},
    {"variable without quotes", "address = ${TEST_CONFIG_DOMAIN}\n",
	"t.conf:1: a variable outside of quotes; put the value in double "
	"quotes"},
    {"variable not closed", A "name = \"${X\"\n",
	"t.conf:2: bad variable; write ${NAME} or ${NAME:-default}"},
    {"open string", A "name = \"abc\nlog = syslog\n",
	"t.conf:2: the string is not closed; end it with \" in the same "
	"line"},
    {"open section", A "limits {\nuser_ids = 3\n",
	"t.conf:2: the { of this line is not closed; add its }"},
    {"closed too often", A "limits { }\n}\n",
	"t.conf:3: a } that closes nothing; remove it, or add its {"},
    {"open comment", A "/* abc\n\n",
	"t.conf:2: the comment is not closed; end it with */"},
    {"hash in a value", A "name = a#b\n",
	"t.conf:2: a value with such characters; put it in double quotes"},
    {"slashes in a value", A "state = /var//lib\n",
	"t.conf:2: a value with such characters; put it in double quotes"},
    {"plus in a value", "address = keys+x@example.org\n",
	"t.conf:1: a value with such characters; put it in double quotes"},
    {"no equal sign", A "name \"x\"\n",
	"t.conf:2: missing equal sign after option 'name'; write OPTION = "
	"VALUE"},
    {"appended scalar", A "name += \"x\"\n",
	"t.conf:2: attempt to append to non-list option 'name'; write = "
	"instead of +="},
    {"no comma", A "admins = { \"a@b.example\" \"c@d.example\" }\n",
	"t.conf:2: unexpected token 'c@d.example'; mailkeyd.conf(5) shows how "
	"it is written"},
};

static void
each_mistake(void **state)
{
	char error[512];

	(void)state;
	write_file("more.conf", "receive \"x\" { type = lmtp port = 2 }\n" A);
	write_file("self.conf", "include(\"t.conf\")\n");
	write_file("peer.conf", "peer \"x\" { address = \"c@b.example\" }\n");
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct config *c =
		    read_text(mistakes[i].text, error, sizeof(error));

		if (c != NULL || strcmp(error, mistakes[i].error) != 0)
			print_error("case: %s\n", mistakes[i].name);
		assert_null(c);
		assert_string_equal(error, mistakes[i].error);
	}
}

static void
not_a_file(void **state)
{
	char path[256], want[500], *error = NULL;

	(void)state;
	path_in(path, sizeof(path), "none");
	assert_null(config_read(path, &error));
	snprintf(want, sizeof(want),
	    "%s: cannot read it: No such file or directory; name a file with "
	    "-c",
	    path);
	assert_string_equal(error, want);
	free(error);
	assert_null(config_read(dir, &error));
	snprintf(want, sizeof(want),
	    "%s: it is a directory; name a file with -c", dir);
	assert_string_equal(error, want);
	free(error);
}

/* NUL octets end libconfuse's strings early; a long file is none. */
static void
odd_files(void **state)
{
	static const char nul[] = "address = \"a@b.example\0\"\n";
	char path[256], want[500], *error = NULL;
	FILE *f;

	(void)state;
	path_in(path, sizeof(path), "file");
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite("\n", 1, 1, f);
	fwrite(nul, 1, sizeof(nul) - 1, f);
	fclose(f);
	assert_null(config_read(path, &error));
	snprintf(want, sizeof(want),
	    "%s:2: an octet of zero; this is no text, write it anew", path);
	assert_string_equal(error, want);
	free(error);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, (1 << 20) + 1), 0);
	assert_null(config_read(path, &error));
	snprintf(want, sizeof(want),
	    "%s: longer than a megabyte; is it the right file?", path);
	assert_string_equal(error, want);
	free(error);
}

/* ---- what it means ------------------------------------------------------- */

static void
defaults(void **state)
{
	char error[512];
	struct config *c = read_text(A, error, sizeof(error));

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(c);
	assert_string_equal(c->address, "keys@example.org");
	assert_string_equal(c->name, "");
	assert_null(c->aliases[0]);
	assert_null(c->admins[0]);
	assert_string_equal(c->state, "/var/lib/mailkeyd");
	assert_string_equal(c->control, "/var/lib/mailkeyd/control");
	assert_string_equal(c->libexec, LIBEXECDIR);
	assert_null(c->gpg);
	assert_int_equal(c->cache, 64 << 20);
	assert_int_equal(c->parsers, 2);
	assert_int_equal(c->jail_mails, 1);
	assert_int_equal(c->helper_timeout, 45);
	assert_int_equal(c->syslog, 0);
	assert_int_equal(c->jail_required, 0);
	assert_int_equal(c->nreceive, 1);
	assert_int_equal(c->receive[0].type, RECEIVE_LMTP);
	assert_string_equal(c->receive[0].path, "/run/mailkeyd/lmtp");
	assert_int_equal(c->receive[0].mode, 0660);
	assert_int_equal(c->send.type, SEND_SMTP);
	assert_string_equal(c->send.host, "127.0.0.1");
	assert_int_equal(c->send.port, 25);
	assert_string_equal(c->send.helo, "example.org");
	assert_int_equal(c->send.connections, 4);
	assert_int_equal(c->send.retry, 60);
	assert_int_equal(c->send.give_up, 7 * 86400);
	assert_int_equal(c->limits.mail.message_size, 5 << 20);
	assert_int_equal(c->limits.mail.keys, 50);
	assert_int_equal(c->limits.policy.certificate_size, 256 << 10);
	assert_int_equal(c->certificates.attributes, 0);
	assert_false(c->limits.policy.keep_unverified);
	assert_int_equal(c->limits.policy.attribute_size, 0);
	assert_int_equal(c->limits.policy.certifications, 0);
	assert_int_equal(c->limits.reply_size, 2 << 20);
	assert_int_equal(c->limits.keys_per_mail, 50);
	assert_int_equal(config_keys_per_mail(c), 50);
	assert_int_equal(c->limits.max_reply_keys, 10);
	assert_int_equal(c->limits.max_parts, 5);
	assert_int_equal(c->limits.max_last, 30);
	assert_int_equal(c->limits.max_last_reply_keys, 100);
	assert_int_equal(c->limits.mget, 0);
	assert_string_equal(c->language, "en");
	assert_int_equal(c->npeer, 0);
	assert_int_equal(config_message_size(c), 5 << 20);
	assert_null(config_peer_of(c, "a@b.example", "a@b.example"));
	assert_int_equal(c->limits.replies_per_hour, 20);
	assert_int_equal(c->limits.replies_per_day, 200);
	assert_int_equal(c->limits.bytes_per_day, 20 << 20);
	assert_int_equal(c->limits.domain_per_hour, 600);
	assert_int_equal(c->limits.free_space, 256 << 20);
	assert_int_equal(c->limits.quarantine_size, 100 << 20);
	assert_int_equal(c->limits.connections, 100);
	assert_int_equal(c->limits.idle_timeout, 300);
	config_free(c);
	config_free(NULL);
}

/* A mailbox's defaults, and where the port follows from `tls`. */
static void
mailboxes(void **state)
{
	static const struct {
		const char *type, *more;
		enum receive_type is;
		int port;
	} cases[] = {{"imap", "", RECEIVE_IMAP, 993},
	    {"imap", "tls = starttls", RECEIVE_IMAP, 143},
	    {"pop3", "tls = implicit", RECEIVE_POP3, 995},
	    {"pop3", "tls = none", RECEIVE_POP3, 110},
	    {"pop3", "tls = starttls port = 7", RECEIVE_POP3, 7}};
	char error[512], text[512];
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text),
		    A
		    "receive \"x\" { type = %s host = localhost user = \"b c\""
		    " password_file = \"/p\" %s }\n",
		    cases[i].type, cases[i].more);
		c = read_text(text, error, sizeof(error));
		assert_string_equal(error, "");
		assert_non_null(c);
		assert_int_equal(c->nreceive, 1);
		assert_int_equal(c->receive[0].type, cases[i].is);
		assert_true(config_is_mailbox(&c->receive[0]));
		assert_int_equal(c->receive[0].port, cases[i].port);
		assert_string_equal(c->receive[0].user, "b c");
		assert_string_equal(c->receive[0].password_file, "/p");
		assert_string_equal(c->receive[0].folder, "INBOX");
		assert_null(c->receive[0].ca_file);
		assert_int_equal(c->receive[0].poll, 60);
		assert_int_equal(c->receive[0].timeout, 60);
		config_free(c);
	}
	c = read_text(
	    OF_MAILBOX("imap", "folder = \"a/b\" ca_file = \"/c\" poll = 2m "
			       "timeout = 5s"),
	    error, sizeof(error));
	assert_string_equal(error, "");
	assert_string_equal(c->receive[0].folder, "a/b");
	assert_string_equal(c->receive[0].ca_file, "/c");
	assert_int_equal(c->receive[0].poll, 120);
	assert_int_equal(c->receive[0].timeout, 5);
	config_free(c);
}

static void
all_set(void **state)
{
	static const char text[] =
	    "# a comment\naddress = \"keys@${TEST_CONFIG_DOMAIN}\" // here\n"
	    "name = \"S\xc3\xa9rver ${TEST_CONFIG_UNSET:-one}\"\r\n"
	    "aliases = { a@b.example, \"c+d@e.example\" }\n"
	    "admins = adm@b.example admins += { \"two@b.example\" }\n"
	    "state = \"/s\" control = '/c#//x' libexec = \"/l\" gpg = /g\n"
	    "cache = 1G parsers = 3 jail_mails = 50 jail_required = yes\n"
	    "helper_timeout = 1m\n"
	    "log = syslog\n"
	    "receive \"u\" { type = lmtp path = \"/u\" mode = \"0600\" }\n"
	    "receive \"t\" { type = lmtp host = \"::1\" port = 2424 }\n"
	    "send { type = smtp host = mail.example.org port = 2525\n"
	    "  helo = me.example.org connections = 6 retry = 10m "
	    "give_up = 4h }\n"
	    "limits { message_size = 16M keys_per_mail = 7 user_ids = 8 }\n"
	    "limits { subkeys = 9 self_signatures = 11 future = 2h }\n"
	    "include(\"more.conf\")\n";
	char error[512], path[256];
	struct config *c;

	(void)state;
	write_file("more.conf",
	    "admins = { \"three@b.example\" }\n"
	    "receive \"v\" { type = lmtp path = \"/v\" mode = 0666 }\n"
	    "limits {\n\n  reply_size = 3M }\n");
	c = read_text(text, error, sizeof(error));
	assert_string_equal(error, "");
	assert_non_null(c);
	assert_string_equal(c->address, "keys@example.org");
	assert_string_equal(c->name, "S\xc3\xa9rver one");
	assert_string_equal(c->aliases[0], "a@b.example");
	assert_string_equal(c->aliases[1], "c+d@e.example");
	assert_null(c->aliases[2]);
	assert_string_equal(c->admins[0], "adm@b.example");
	assert_string_equal(c->admins[1], "two@b.example");
	assert_string_equal(c->admins[2], "three@b.example");
	assert_null(c->admins[3]);
	assert_string_equal(c->state, "/s");
	assert_int_equal(c->state_line, 6);
	assert_string_equal(c->control, "/c#//x");
	assert_string_equal(c->libexec, "/l");
	assert_string_equal(c->gpg, "/g");
	assert_int_equal(c->cache, 1 << 30);
	assert_int_equal(c->parsers, 3);
	assert_int_equal(c->jail_mails, 50);
	assert_int_equal(c->helper_timeout, 60);
	assert_int_equal(c->jail_required, 1);
	assert_int_equal(c->syslog, 1);
	assert_int_equal(c->nreceive, 3);
	assert_int_equal(c->receive[0].mode, 0600);
	assert_int_equal(c->receive[1].type, RECEIVE_LMTP);
	assert_string_equal(c->receive[1].host, "::1");
	assert_int_equal(c->receive[1].port, 2424);
	assert_string_equal(c->receive[2].title, "v");
	assert_int_equal(c->receive[2].mode, 0666);
	assert_int_equal(c->receive[2].line, 2);
	path_in(path, sizeof(path), "more.conf");
	assert_string_equal(c->receive[2].file, path);
	assert_string_equal(c->files[1], path);
	assert_string_equal(c->send.host, "mail.example.org");
	assert_int_equal(c->send.port, 2525);
	assert_string_equal(c->send.helo, "me.example.org");
	assert_int_equal(c->send.connections, 6);
	assert_int_equal(c->send.retry, 600);
	assert_int_equal(c->send.give_up, 4 * 3600);
	assert_int_equal(c->limits.mail.message_size, 16 << 20);
	assert_int_equal(c->limits.mail.keys, 7);
	assert_int_equal(c->limits.keys_per_mail, 7);
	assert_int_equal(c->limits.policy.userids, 8);
	assert_int_equal(c->limits.policy.subkeys, 9);
	assert_int_equal(c->limits.policy.self_signatures, 11);
	assert_int_equal(c->limits.policy.future, 7200);
	assert_int_equal(c->limits.reply_size, 3 << 20);
	config_free(c);
}

static void
peers(void **state)
{
	static const char text[] =
	    A "language = zh-tw\n"
	      "peer \"Example net\" { address = \"Keys@example.net\" }\n"
	      "peer \"old\" {\n  address = \"pks@example.com\"\n"
	      "  sender = \"maint@example.com\" header_from = yes\n"
	      "  gather = 0 message_size = 2M mail_size = 128000\n"
	      "  keys_per_mail = 10000\n"
	      "  mails_per_hour = 7\n}\n"
	      "certificates { unverified = keep }\n"
	      "limits { mget = yes max_last = 7 max_last_reply_keys = 8\n"
	      "  max_parts = 9 }\n";
	char error[512];
	struct config *c = read_text(text, error, sizeof(error));

	(void)state;
	assert_string_equal(error, "");
	assert_non_null(c);
	assert_string_equal(c->language, "zh-tw");
	assert_int_equal(c->limits.mget, 1);
	assert_int_equal(c->limits.max_last, 7);
	assert_int_equal(c->limits.max_last_reply_keys, 8);
	assert_int_equal(c->limits.max_parts, 9);
	assert_int_equal(c->npeer, 2);
	assert_string_equal(c->peer[0].title, "Example net");
	assert_string_equal(c->peer[0].address, "Keys@example.net");
	assert_string_equal(c->peer[0].sender, "Keys@example.net");
	assert_int_equal(c->peer[0].header_from, 0);
	assert_int_equal(c->peer[0].gather, 60);
	assert_int_equal(c->peer[0].message_size, 16 << 20);
	assert_int_equal(c->peer[0].keys_per_mail, 5000);
	assert_true(c->limits.policy.keep_unverified);
	assert_int_equal(c->peer[1].keys_per_mail, 10000);
	assert_int_equal(config_keys_per_mail(c), 10000);
	assert_int_equal(c->peer[0].mail_size, 1 << 20);
	assert_int_equal(c->peer[0].mails_per_hour, 60);
	assert_int_equal(c->peer[1].header_from, 1);
	assert_int_equal(c->peer[1].gather, 0);
	assert_int_equal(c->peer[1].message_size, 2 << 20);
	assert_int_equal(c->peer[1].mail_size, 128000);
	assert_int_equal(c->peer[1].mails_per_hour, 7);
	assert_int_equal(c->peer[1].line, 5);
	assert_int_equal(config_message_size(c), 16 << 20);
	config_free(c);
}

/* A peer is known by its whole address, and by From only where it says so. */
static const struct {
	const char *sender, *from;
	int peer; /* -1: none */
} senders[] = {{"a@b.example", NULL, 0}, {"A@B.EXAMPLE", NULL, 0},
    {"a@b.example", "x@y.example", 0}, {"a@b.example ", NULL, -1},
    {"aa@b.example", NULL, -1}, {"a+x@b.example", NULL, -1},
    {"a@b.example.org", NULL, -1}, {"", "a@b.example", -1},
    {"x@y.example", "a@b.example", -1}, {"", "c@d.example", 1},
    {NULL, "C@D.example", 1}, {"x@y.example", "c@d.example", 1},
    {"c@d.example", NULL, 1}, {"e@d.example", "e@d.example", -1},
    {NULL, NULL, -1}, {"", NULL, -1}, {"", "", -1}};

static void
whose_peer(void **state)
{
	static const char text[] =
	    A "peer \"a\" { address = \"a@b.example\" }\n"
	      "peer \"c\" { address = \"e@d.example\" sender = "
	      "\"c@d.example\" header_from = yes }\n";
	char error[512];
	struct config *c = read_text(text, error, sizeof(error));

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		const struct config_peer *want =
		    senders[i].peer == -1 ? NULL : &c->peer[senders[i].peer];

		if (config_peer_of(c, senders[i].sender, senders[i].from) !=
		    want)
			fail_msg("case %zu", i);
	}
	config_free(c);
}

static void
ways_to_send(void **state)
{
	char error[512];
	struct config *c;

	(void)state;
	c = read_text(OF_SEND("type = sendmail"), error, sizeof(error));
	assert_non_null(c);
	assert_int_equal(c->send.type, SEND_SENDMAIL);
	assert_string_equal(c->send.path, "/usr/sbin/sendmail");
	assert_null(c->send.host);
	config_free(c);
	c = read_text(
	    OF_SEND("type = maildir path = \"/m\""), error, sizeof(error));
	assert_non_null(c);
	assert_int_equal(c->send.type, SEND_MAILDIR);
	assert_string_equal(c->send.path, "/m");
	config_free(c);
}

/* What caps a certificate: its default and the ends of what is allowed. */
#define CAP(field, size)                                                       \
	offsetof(struct config, limits.policy.field),                          \
	    (size) ? sizeof(size_t) : sizeof(unsigned)
static const struct {
	const char *name;
	size_t offset, octets;
	size_t standard, min, max;
} caps[] = {
    {"certificate_size", CAP(certificate_size, 1), 256 << 10, 8 << 10, 1 << 20},
    {"packet_size", CAP(packet_size, 1), 8383, 1 << 10, 64 << 10},
    {"user_id_size", CAP(userid_size, 1), 1024, 64, 8 << 10},
    {"attribute_size", CAP(attribute_size, 1), 64 << 10, 1 << 10, 1 << 20},
    {"signature_size", CAP(signature_size, 1), 64 << 10, 1 << 10, 1 << 20},
    {"user_ids", CAP(userids, 0), 256, 1, 5000},
    {"subkeys", CAP(subkeys, 0), 64, 1, 1000},
    {"self_signatures", CAP(self_signatures, 0), 10, 1, 1000},
    {"revocations", CAP(revocations, 0), 10, 1, 1000},
    {"claims", CAP(claims, 0), 32, 1, 1000},
    {"certifications", CAP(certifications, 0), 1000, 1, 100000},
    {"certificate_claims", CAP(all_claims, 0), 2048, 1, 100000},
};

#define KEEP_ALL "certificates { attributes = keep certifications = all }\n"

static size_t
cap_of(const struct config *c, size_t i)
{
	const char *at = (const char *)c + caps[i].offset;

	if (caps[i].octets == sizeof(unsigned))
		return *(const unsigned *)(const void *)at;
	return *(const size_t *)(const void *)at;
}

/* What a cap becomes, 0: it is refused. */
static size_t
cap_set(size_t i, size_t value)
{
	char text[256], error[512];
	struct config *c;
	size_t got;

	snprintf(text, sizeof(text),
	    A KEEP_ALL "limits { reply_size = 4M "
		       "%s = %zu }\n",
	    caps[i].name, value);
	c = read_text(text, error, sizeof(error));
	if (c == NULL) {
		assert_non_null(strstr(error, caps[i].name));
		assert_non_null(strstr(error, "set it between"));
		return 0;
	}
	got = cap_of(c, i);
	config_free(c);
	return got;
}

static void
each_cap(void **state)
{
	char error[512];
	struct config *c = read_text(A KEEP_ALL, error, sizeof(error));

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
		assert_int_equal(cap_of(c, i), caps[i].standard);
		assert_int_equal(cap_set(i, caps[i].min), caps[i].min);
		assert_int_equal(cap_set(i, caps[i].max), caps[i].max);
		assert_int_equal(cap_set(i, caps[i].max + 1), 0);
		assert_int_equal(cap_set(i, caps[i].min - 1), 0);
	}
	config_free(c);
}

/* At the ends of what is allowed. */
static void
at_the_limits(void **state)
{
	char error[512];
	struct config *c;

	(void)state;
	c = read_text(OF_LIMITS("certificate_size = 1M reply_size = 1450K "
				"message_size = 32M keys_per_mail = 1 "
				"replies_per_hour = 0 idle_timeout = 1"),
	    error, sizeof(error));
	assert_string_equal(error, "");
	assert_non_null(c);
	assert_int_equal(c->limits.policy.certificate_size, 1 << 20);
	assert_int_equal(c->limits.idle_timeout, 1);
	config_free(c);
}

static void
sample(void **state)
{
	char *error = NULL;
	struct config *c = config_read("contrib/mailkeyd.conf", &error), *d;
	char text[512];

	(void)state;
	if (c == NULL)
		print_error("%s\n", error);
	assert_non_null(c);
	/* It says that it shows the defaults. */
	d = read_text(A, text, sizeof(text));
	assert_non_null(d);
	assert_memory_equal(&c->limits, &d->limits, sizeof(c->limits));
	assert_int_equal(
	    c->certificates.attributes, d->certificates.attributes);
	assert_int_equal(
	    c->certificates.unverified, d->certificates.unverified);
	assert_int_equal(
	    c->certificates.certifications, d->certificates.certifications);
	assert_int_equal(c->send.port, d->send.port);
	assert_int_equal(c->send.connections, d->send.connections);
	assert_int_equal(c->send.retry, d->send.retry);
	assert_int_equal(c->send.give_up, d->send.give_up);
	assert_string_equal(c->receive[0].path, d->receive[0].path);
	assert_int_equal(c->receive[0].mode, d->receive[0].mode);
	config_free(c);
	config_free(d);
}

/* Whether a line has `before`, behind what comments and indents it, the name,
 * and `behind`. */
static bool
has_option(
    const char *path, const char *before, const char *name, const char *behind)
{
	char line[512], wanted[128];
	bool found = false;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	snprintf(wanted, sizeof(wanted), "%s%s%s", before, name, behind);
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strncmp(line + strspn(line, "# \t"), wanted,
			    strlen(wanted)) == 0;
	fclose(f);
	return found;
}

/* Neither the sample nor the manual lacks one. */
static void
all_options(void **state)
{
	(void)state;
	for (int s = 0; s < SECTIONS; s++)
		for (size_t i = 0; i < config_sections[s].n; i++) {
			const char *name = config_sections[s].options[i].name;
			bool sample = has_option(
				 "contrib/mailkeyd.conf", "", name, " = "),
			     page = has_option("mailkeyd/mailkeyd.conf.5",
				 ".It Ic ", name, " No = ");

			if (!sample || !page)
				print_error("%s is missing\n", name);
			assert_true(sample && page);
		}
}

static const struct {
	const char *text;
	int ok;
	uint64_t n;
} sizes[] = {{"0", 0, 0}, {"1", 0, 1}, {"5M", 0, 5 << 20}, {"64K", 0, 65536},
    {"2G", 0, 2147483648u}, {"", -1, 0}, {"M", -1, 0}, {"5m", -1, 0},
    {"5MM", -1, 0}, {"5 M", -1, 0}, {"05", -1, 0}, {"00", -1, 0}, {"+5", -1, 0},
    {"-5", -1, 0}, {"0x5", -1, 0}, {"1.5M", -1, 0},
    {"18446744073709551615", 0, UINT64_MAX}, {"18446744073709551616", -1, 0},
    {"17179869184G", -1, 0},
    {"17179869183G", 0, UINT64_MAX - ((1u << 30) - 1)}};

static void
read_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t n = 77;

		if (config_size(sizes[i].text, &n) != sizes[i].ok)
			print_error("size: %s\n", sizes[i].text);
		assert_int_equal(config_size(sizes[i].text, &n), sizes[i].ok);
		assert_true(n == (sizes[i].ok == 0 ? sizes[i].n : 77));
	}
}

static const struct {
	const char *address;
	int ours;
} addresses[] = {{"keys@example.org", 1}, {"Keys@EXAMPLE.ORG", 1},
    {"keys+x@example.org", 1}, {"keys+@example.org", 1},
    {"keys+a+b@example.org", 1}, {"pgp+list@b.example", 1},
    {"pgp+list+x@b.example", 0}, {"pgp@b.example", 0}, {"key@example.org", 0},
    {"keysx@example.org", 0}, {"keys@example.com", 0},
    {"keys@example.org.x", 0}, {"keys", 0}, {"@example.org", 0}, {"", 0},
    {"+keys@example.org", 0}, {"a@keys@example.org", 0}};

static void
whose(void **state)
{
	char error[512];
	struct config *c = read_text(
	    A "aliases = { \"pgp+list@b.example\" }\n", error, sizeof(error));

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		if (config_is_ours(c, addresses[i].address) !=
		    addresses[i].ours)
			print_error("address: %s\n", addresses[i].address);
		assert_int_equal(
		    config_is_ours(c, addresses[i].address), addresses[i].ours);
	}
	config_free(c);
}

/* ---- the state directory ------------------------------------------------- */

static struct config *
with_state(const char *name)
{
	char error[512], text[512];

	snprintf(text, sizeof(text), A "state = \"%s/%s\"\n", dir, name);
	return read_text(text, error, sizeof(error));
}

static void
prepares(void **state)
{
	static const char *const made[] = {
	    "s", "s/db", "s/quarantine", "s/gnupg"};
	struct config *c = with_state("s");
	char *error = NULL, path[256];
	struct stat st;
	mode_t mask = umask(0);

	(void)state;
	assert_non_null(c);
	assert_int_equal(config_prepare(c, &error), 0);
	for (size_t i = 0; i < 4; i++) {
		path_in(path, sizeof(path), made[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode, S_IFDIR | 0700);
	}
	/* Again, with a folder that others could look into. */
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(config_prepare(c, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	umask(mask);
	config_free(c);
}

static void
prepare_errors(void **state)
{
	struct config *c;
	char *error = NULL, want[800], path[256];

	(void)state;
	write_file("file", "");
	c = with_state("file");
	assert_non_null(c);
	assert_int_equal(config_prepare(c, &error), -1);
	snprintf(want, sizeof(want),
	    "%s/t.conf:2: %s/file is no directory; move it away", dir, dir);
	assert_string_equal(error, want);
	free(error);
	config_free(c);
	c = with_state("none/s");
	assert_int_equal(config_prepare(c, &error), -1);
	snprintf(want, sizeof(want),
	    "%s/t.conf:2: cannot make %s/none/s: No such file or directory; "
	    "make it yourself for the user that runs mailkeyd, or set state",
	    dir, dir);
	assert_string_equal(error, want);
	free(error);
	config_free(c);
	path_in(path, sizeof(path), "folder");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	c = with_state("folder");
	assert_int_equal(config_prepare(c, &error), -1);
	snprintf(want, sizeof(want),
	    "%s/t.conf:2: anybody may write to %s; run chmod 0700 %s", dir,
	    path, path);
	assert_string_equal(error, want);
	free(error);
	assert_int_equal(config_look(c, &error), -1);
	assert_string_equal(error, want);
	free(error);
	config_free(c);
	/* root may write everywhere but into /proc */
	c = with_state("../../proc");
	free(c->state);
	c->state = strdup("/proc/self");
	c->state_line = 0;
	assert_int_equal(config_prepare(c, &error), -1);
	assert_non_null(strstr(error, "cannot write to /proc/self: "));
	assert_non_null(
	    strstr(error, "; give it to the user that runs mailkeyd"));
	free(error);
	config_free(c);
}

/* Nothing is made, nothing is changed. */
static void
looks(void **state)
{
	struct config *c = with_state("looked");
	char *error = NULL, want[800], path[256];
	struct stat st;

	(void)state;
	assert_non_null(c);
	path_in(path, sizeof(path), "looked/db");
	assert_int_equal(config_look(c, &error), 1);
	assert_int_equal(stat(c->state, &st), -1);
	assert_int_equal(mkdir(c->state, 0700), 0);
	assert_int_equal(config_look(c, &error), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(config_look(c, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(c->state), 0);
	config_free(c);
	c = with_state("none/s");
	assert_int_equal(config_look(c, &error), -1);
	snprintf(want, sizeof(want),
	    "%s/t.conf:2: cannot make %s/none/s: No such file or directory; "
	    "make it yourself for the user that runs mailkeyd, or set state",
	    dir, dir);
	assert_string_equal(error, want);
	free(error);
	config_free(c);
}

/* ---- programs ------------------------------------------------------------ */

#define HELPERS "libexec = \"${TEST_CONFIG_HELPERS}\"\n"

static const struct program_case {
	const char *name, *text, *error; /* NULL: all can be run */
} program_cases[] = {
    {"all there",
	A HELPERS "gpg = \"/bin/sh\"\nsend { type = sendmail "
		  "path = \"/bin/sh\" }\n",
	NULL},
    {"no helpers", A "libexec = \"/nonexistent\"\n",
	"t.conf:2: cannot run /nonexistent/mailkeyd-parser: No such file or "
	"directory; set libexec to where mailkeyd's helpers are installed"},
    {"no gpg", A HELPERS "\ngpg = \"/nonexistent\"\n",
	"t.conf:4: cannot run /nonexistent: No such file or directory; "
	"install gpg, or set gpg to where it is"},
    {"gpg is a directory", A HELPERS "gpg = \"/bin\"\n",
	"t.conf:3: cannot run /bin: Permission denied; install gpg, or set gpg "
	"to where it is"},
    {"gpg is no program", A HELPERS "gpg = \"/etc/passwd\"\n",
	"t.conf:3: cannot run /etc/passwd: Permission denied; install gpg, or "
	"set gpg to where it is"},
    {"no sendmail",
	A HELPERS "send {\ntype = sendmail\n"
		  "path = \"/nonexistent\"\n}\n",
	"t.conf:5: cannot run /nonexistent: No such file or directory; set "
	"path to a sendmail program, or send by smtp"},
    {"no sendmail that is not used",
	A HELPERS "send {\ntype = maildir\n"
		  "path = \"/nonexistent\"\n}\n",
	NULL},
    {"no password",
	A "receive \"x\" { type = imap host = h user = a\n"
	  "password_file = \"/nonexistent\" }\n",
	"t.conf:3: password_file /nonexistent: No such file or directory; "
	"write the password into it, for the user that runs mailkeyd alone"},
    {"no CA",
	A "receive \"x\" { type = imap host = h user = a\npassword_file = "
	  "\"${TEST_CONFIG_HELPERS}/mailkeyd-sender\"\nca_file = "
	  "\"/nonexistent\" }\n",
	"t.conf:4: cannot read ca_file /nonexistent: No such file or "
	"directory; "
	"name a file of certificates in PEM"},
};

/* One helper more, where there is a mailbox. */
static void
needs_fetcher(void)
{
	char error[512], *why = NULL;
	struct config *c = read_text(A HELPERS
	    "receive \"x\" { type = imap host = h user = a password_file = "
	    "\"${TEST_CONFIG_HELPERS}/mailkeyd-sender\" }\n",
	    error, sizeof(error));

	assert_non_null(c);
	assert_int_equal(config_programs(c, &why), -1);
	assert_non_null(strstr(why,
	    "/helpers/mailkeyd-fetcher: No such file or directory; set libexec "
	    "to where"));
	free(why);
	config_free(c);
}

static void
programs(void **state)
{
	static const char *const helpers[] = {"helpers/mailkeyd-parser",
	    "helpers/mailkeyd-verifier", "helpers/mailkeyd-checker",
	    "helpers/mailkeyd-sender"}; /* no fetcher */
	char path[256], want[512], error[512], *why;

	(void)state;
	path_in(path, sizeof(path), "helpers");
	assert_int_equal(mkdir(path, 0700), 0);
	setenv("TEST_CONFIG_HELPERS", path, 1);
	for (size_t i = 0; i < 4; i++) {
		write_file(helpers[i], "secret\n");
		path_in(path, sizeof(path), helpers[i]);
		assert_int_equal(chmod(path, 0700), 0);
	}
	for (size_t i = 0; i < sizeof(program_cases) / sizeof(*program_cases);
	     i++) {
		const struct program_case *p = &program_cases[i];
		struct config *c;

		c = read_text(p->text, error, sizeof(error));
		assert_non_null(c);
		why = NULL;
		if (config_programs(c, &why) != (p->error == NULL ? 0 : -1))
			fail_msg("%s: %s", p->name, why);
		if (p->error != NULL) {
			snprintf(want, sizeof(want), "%s/%s", dir, p->error);
			assert_string_equal(why, want);
		}
		free(why);
		config_free(c);
	}
	needs_fetcher();
	for (size_t i = 0; i < 4; i++) {
		path_in(path, sizeof(path), helpers[i]);
		unlink(path);
	}
	path_in(path, sizeof(path), "helpers");
	assert_int_equal(rmdir(path), 0);
}

static void
denies(void **state)
{
	static const struct {
		const char *address;
		bool denied;
	} of[] = {{"mallory@example.net", true}, {"MALLORY@example.NET", true},
	    {"mallory+x@example.net", true}, {"mallory2@example.net", false},
	    {"+mallory@example.net", false}, {"x@example.net", false},
	    {"x@example.com", true}, {"x@a.b.Example.Com", true},
	    {"x@badexample.com", false}, {"x@com", false},
	    {"example.com", false}, {"", false}, {"a@b@example.com", true}};
	char mallory[] = "mallory@example.net", domain[] = "example.com";
	char *list[] = {mallory, domain, NULL};
	const struct config c = {.deny = list}, none = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		if (config_denies(&c, of[i].address) != of[i].denied)
			fail_msg("%s", of[i].address);
	assert_false(config_denies(&c, NULL));
	assert_false(config_denies(&none, "x@example.com"));
}

/* ---- read again -----------------------------------------------------------
 */

/* An option that changes, and what a running server says of it: its name, when
 * only a new start changes it, or nothing, when it is taken over. */
static const struct {
	const char *line, *names;
} changes[] = {
    {"", ""},
    {"name = \"x\"", ""},
    {"aliases = { a@example.org }", ""},
    {"admins = { a@example.org }", ""},
    {"deny = { example.com }", ""},
    {"language = de", ""},
    {"certificates { attributes = keep }", ""},
    {"limits { replies_per_hour = 3 }", ""},
    {"peer \"x\" { address = k@example.com }", ""},
    {"state = \"/x\"", "state, control"},
    {"control = \"/x\"", "control"},
    {"libexec = \"/x\"", "libexec"},
    {"gpg = \"/x\"", "gpg"},
    {"cache = 3M", "cache"},
    {"parsers = 3", "parsers"},
    {"jail_mails = 3", "jail_mails"},
    {"helper_timeout = 60", "helper_timeout"},
    {"jail_required = yes", "jail_required"},
    {"log = syslog", "log"},
    {"receive \"x\" { type = lmtp path = \"/x\" }", "receive"},
    {"send { retry = 3s }", "send"},
};

static void
adopts(void **state)
{
	char error[512], text[256], *names;
	struct config *live, *fresh;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		live = read_text(A, error, sizeof(error));
		assert_non_null(live);
		snprintf(text, sizeof(text), A "%s\n", changes[i].line);
		fresh = read_text(text, error, sizeof(error));
		if (fresh == NULL)
			fail_msg("%s", error);
		names = config_adopt(live, fresh);
		assert_non_null(names);
		if (strcmp(names, changes[i].names) != 0)
			fail_msg("%s: \"%s\"", changes[i].line, names);
		free(names);
		config_free(live);
		config_free(fresh);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_mistake),
	    cmocka_unit_test(not_a_file), cmocka_unit_test(odd_files),
	    cmocka_unit_test(defaults), cmocka_unit_test(mailboxes),
	    cmocka_unit_test(all_set), cmocka_unit_test(peers),
	    cmocka_unit_test(whose_peer), cmocka_unit_test(ways_to_send),
	    cmocka_unit_test(each_cap), cmocka_unit_test(at_the_limits),
	    cmocka_unit_test(sample), cmocka_unit_test(all_options),
	    cmocka_unit_test(read_sizes), cmocka_unit_test(whose),
	    cmocka_unit_test(prepares), cmocka_unit_test(prepare_errors),
	    cmocka_unit_test(looks), cmocka_unit_test(programs),
	    cmocka_unit_test(denies), cmocka_unit_test(adopts)};

	return cmocka_run_group_tests_name(
	    "config", tests, make_dir, remove_dir);
}
