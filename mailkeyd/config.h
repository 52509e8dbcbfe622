/*
 * mailkeyd.conf as a struct: what mailkeyd.conf(5) describes, with the
 * defaults filled in and everything checked.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "mailkeyd/mail.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT "/etc/mailkeyd/mailkeyd.conf"

enum receive_type { RECEIVE_LMTP, RECEIVE_MAILDIR, RECEIVE_IMAP, RECEIVE_POP3 };
enum receive_tls {
	RECEIVE_TLS_IMPLICIT,
	RECEIVE_TLS_STARTTLS,
	RECEIVE_TLS_NONE
};
struct config_receive {
	char *title;
	enum receive_type type;
	char *path;    /* lmtp: Unix socket, else NULL; maildir: the folder */
	unsigned mode; /* of the socket: 0660 */
	char *host;    /* lmtp: a numeric address; imap, pop3: the server */
	uint16_t port;
	enum receive_tls tls; /* and what follows: imap and pop3 */
	char *user;
	char *password_file;
	const char *password_place; /* where that was set, for errors */
	unsigned password_line;
	char *folder;  /* imap: "INBOX" */
	char *ca_file; /* NULL: the CAs that the system trusts */
	const char *ca_place;
	unsigned ca_line;
	unsigned poll;	  /* seconds between looks: 60 */
	unsigned timeout; /* seconds for an answer of the server: 60 */
	const char *file; /* of the configuration, for errors at start */
	unsigned line;
};

/* Whether it is a mailbox on a server. */
int config_is_mailbox(const struct config_receive *);

enum send_type { SEND_SMTP, SEND_SENDMAIL, SEND_MAILDIR };
struct config_send {
	enum send_type type;
	char *host;    /* smtp: "127.0.0.1" */
	uint16_t port; /* 25 */
	char *helo;    /* smtp: name to greet with; the address's domain */
	char *path;    /* sendmail: the program; maildir: the folder */
	const char *path_file; /* that set it, line 0: the default */
	unsigned path_line;
	unsigned connections; /* sender processes: 4 */
	unsigned retry;	      /* seconds before the first retry: 60 */
	unsigned give_up;     /* seconds an answer is kept: 7 days */
};

/* A key server that sync mails come from and go to. */
struct config_peer {
	char *title;	     /* names its position in the store */
	char *address;	     /* where sync mails go to, and its name in their
				X-KeyServer-Sent */
	char *sender;	     /* envelope sender of those that come: address */
	int header_from;     /* known by From as well */
	unsigned gather;     /* seconds that changes wait for others: 60 */
	size_t message_size; /* of a mail that comes in: 16 MiB */
	unsigned keys_per_mail;	 /* that comes in: 5000 */
	size_t mail_size;	 /* of a mail that goes out: 1 MiB */
	unsigned mails_per_hour; /* that go out: 60 */
	const char *file;	 /* as in struct config_receive */
	unsigned line;
};

#define PEER_TITLE_MAX 64 /* octets */

/* What a peer may bring, beside message_size and keys_per_mail. */
#define PEER_KEYS_PER_DAY  10000
#define PEER_BYTES_PER_DAY ((uint64_t)100 << 20)

/* What is kept of a certificate beside what its key signed for itself. */
struct config_certificates {
	int attributes;	    /* user attributes (photos): no */
	int unverified;	    /* what nobody here can verify: no */
	int certifications; /* by other keys: no */
	char *block_list;   /* for blocklist_read(); NULL: none */
};

struct config_limits {
	struct mail_limits mail;
	struct pgp_policy policy;      /* as `certificates` has it */
	size_t reply_size;	       /* 2 MiB */
	unsigned keys_per_mail;	       /* 50 */
	unsigned max_reply_keys;       /* 10 */
	unsigned max_parts;	       /* mails that one answer may take: 5 */
	unsigned max_last;	       /* days: 30 */
	unsigned max_last_reply_keys;  /* 100 */
	int mget;		       /* MGET is answered: no */
	unsigned replies_per_hour;     /* for an address: 20; 0 = no limit */
	unsigned replies_per_day;      /* 200 */
	uint64_t bytes_per_day;	       /* 20 MiB */
	unsigned domain_per_hour;      /* for a domain: 600 */
	uint64_t domain_bytes_per_day; /* 0 */
	unsigned server_per_hour;      /* for all together: 0 */
	uint64_t server_bytes_per_day; /* 0 */
	uint64_t free_space;	       /* 256 MiB */
	uint64_t quarantine_size;      /* 100 MiB */
	unsigned connections;	       /* LMTP, at once: 100 */
	unsigned idle_timeout;	       /* LMTP, seconds: 300 */
};

struct config {
	char *file;	/* where it was read */
	char **files;	/* with what was included; ended by NULL */
	char *address;	/* ours, in every From */
	char *name;	/* of the site, for people */
	char **aliases; /* also ours; ended by NULL */
	char **admins;	/* ended by NULL */
	char **deny;	/* addresses and domains that get no answer; likewise */
	char *language; /* of HELP where none is asked for: "en" */
	char *state;	/* directory: db/ quarantine/ gnupg/ */
	const char *language_file; /* that set it, line 0: the default */
	unsigned language_line;
	const char *block_list_file; /* that set it */
	unsigned block_list_line;
	const char *state_file; /* that set it, line 0: the default */
	unsigned state_line;
	char *control;		  /* socket; default STATE/control */
	char *libexec;		  /* where the helpers lie */
	const char *libexec_file; /* that set it, line 0: the default */
	unsigned libexec_line;
	char *gpg; /* program; default: found by GPGME */
	const char *gpg_file;
	unsigned gpg_line;
	size_t cache;		 /* of Berkeley DB: 64 MiB */
	unsigned parsers;	 /* jailed children at once: 2 */
	unsigned jail_mails;	 /* mails that one child reads: 1 */
	unsigned helper_timeout; /* seconds that a helper may be silent: 45 */
	int syslog;		 /* 0: standard error */
	int jail_required;	 /* refuse to start where Landlock or seccomp is
				    missing: seccomp always is */
	struct config_receive *receive;
	size_t nreceive;
	struct config_peer *peer;
	size_t npeer;
	struct config_send send;
	struct config_certificates certificates;
	struct config_limits limits;
};

/*
 * Reads and checks a file.  On failure NULL, and *error is one malloc'ed line
 * that names file, line and remedy, e.g.
 *   /etc/mailkeyd/mailkeyd.conf:7: unknown option "adress"; mailkeyd.conf(5)
 *   lists what there is
 */
struct config *config_read(const char *file, char **error);
void config_free(struct config *);

/*
 * Takes over what a running server may change: name, aliases, admins, deny,
 * language, peers, certificates, limits.  `fresh` then holds what was there
 * before, to be freed once nothing points into it any more.  Returns the names
 * of options that changed and need a new start, with commas between, malloc'ed;
 * NULL, and nothing done: no memory.
 */
char *config_adopt(struct config *live, struct config *fresh);

/* Makes the state directory and its folders when missing, mode 0700, and sees
 * that they can be written.  0, or -1 with *error as above. */
int config_prepare(const struct config *, char **error);

/* The same without making or changing anything.  1: the state directory is
 * missing, and this user could make it. */
int config_look(const struct config *, char **error);

/* Sees that the helpers, and gpg and sendmail where they are named, can be
 * run, and that files with passwords and CAs are in order.  0, or -1 with
 * *error as above. */
int config_programs(const struct config *, char **error);

/* "5M" to octets: digits and one of K M G (powers of 1024), or none.  0 or -1;
 * written only on success. */
int config_size(const char *, uint64_t *);

/* Whether an address is ours: address or an alias, without regard to case in
 * the domain and (ASCII) in the local part, with or without +extension. */
int config_is_ours(const struct config *, const char *address);

/* Whether an address is on the deny list: itself, with or without +extension,
 * its domain or one above that.  NULL is not. */
int config_denies(const struct config *, const char *address);

/*
 * The peer that a mail with this envelope sender comes from (the whole address
 * without regard to case), or whose sender this is in From, where header_from
 * is set.  Both may be NULL.  NULL: no peer.
 */
const struct config_peer *config_peer_of(
    const struct config *, const char *sender, const char *from);

/* Octets of the largest mail that is taken from anybody. */
size_t config_message_size(const struct config *);

/* The most certificates that a mail of anybody may bring. */
unsigned config_keys_per_mail(const struct config *);

#endif
