#!/usr/bin/env -S python3 -B
# Through a real Postfix: a user mails commands with sendmail and SMTP, Postfix
# hands them to mailkeyd by each way that there is, the answers go back through
# Postfix into the user's Maildir, and gpg imports what lies there.

import os
import re
import shutil
import sys

import mta
from lib import mail, new_id
from mta import (ADDRESS, LMTP, LMTP_PORT, MAIL_LOG, MAILDIR, USER,
                 answer_to, append, as_alice, by_smtp, command, contrib,
                 mail_log, mount, request, start_daemon, write)

__all__ = ["ADDRESS", "LMTP", "MAILDIR", "USER", "answer_to", "append",
           "as_alice", "by_smtp", "mail", "mail_log", "mount", "new_id",
           "request", "start_daemon"]

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/spool/postfix-data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /var/spool/mail.log
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mx.example.net
mydestination = mx.example.net
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_alias_maps = inline:{ { alice@example.org = alice@mx.example.net } }
home_mailbox = Maildir/
smtputf8_enable = no
"""
WAYS = {"lmtp": f"mailkeyd:unix:{LMTP}",
        "tcp": f"mailkeyd:inet:127.0.0.1:{LMTP_PORT}",
        "pipe": "mailkeyd-pipe:", "maildir": "mailkeyd-maildir:"}


class Postfix(mta.Mta):
    name = "Postfix"
    packages = ("postfix",)
    passwd = "postfix:x:61001:61001::/var/spool/postfix:/usr/sbin/nologin\n"
    group = "postfix:x:61001:\npostdrop:x:61002:\n"
    way = "lmtp"

    def main_cf(self):
        """The sample, with another of its ways chosen."""
        text, n = re.subn(r"(?m)^mailkeyd_way = .*$",
                          f"mailkeyd_way = {WAYS[self.way]}",
                          contrib("postfix/main.cf"))
        assert n == 1, "main.cf chooses one way"
        return MAIN_CF + text

    def install(self):
        write("/etc/postfix/main.cf", self.main_cf())
        shutil.copy("/usr/share/postfix/master.cf.dist",
                    "/etc/postfix/master.cf")
        append("/etc/postfix/master.cf", "\n" + contrib("postfix/master.cf")
               .replace("static:999", "static:61003"))
        for program in ("postdrop", "postqueue"):
            os.chown(f"/usr/sbin/{program}", 0, 61002)
            os.chmod(f"/usr/sbin/{program}", 0o2755)
        os.mkdir("/var/spool/postfix", 0o755)
        mta.folder_of("postfix", "/var/spool/postfix-data", 0o700)

    def configure(self, way):
        if way != self.way:
            self.way = way
            write("/etc/postfix/main.cf", self.main_cf())
            postfix("reload")

    def start(self):
        postfix("start")

    def flush(self):
        postfix("flush")

    def deferred(self):
        with open(MAIL_LOG, "rb") as f:
            return b"status=deferred" in f.read()


POSTFIX = Postfix()


def postfix(*args):
    command("postfix", *args)


def why_not():
    return mta.why_not(POSTFIX)


def install_postfix(scratch):
    mta.install(POSTFIX, scratch)


def start_postfix():
    mta.start(POSTFIX)


def main(program, *tests):
    """Runs the tests of that program in namespaces with a Postfix."""
    return mta.main(POSTFIX, program, *tests)


if __name__ == "__main__":
    sys.exit(main(__file__, mta.waits(POSTFIX, "lmtp"), *mta.all_ways(POSTFIX),
                  mta.waits(POSTFIX, "pipe")))
