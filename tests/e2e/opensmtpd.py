#!/usr/bin/env -S python3 -B
# Through a real OpenSMTPD, by each way in and out: see mta.py.

import os
import subprocess
import sys

import mta
from mta import MAIL_LOG, command, contrib, write

CONF = "/etc/smtpd.conf"
FIRST = """\
listen on 127.0.0.1 port 25
listen on socket
"""
# A user's mailbox.
LAST = """\
table users { "alice@example.org" = alice }
action "home" maildir "/var/spool/alice/Maildir" virtual <users>
match from any for rcpt-to "alice@example.org" action "home"
"""


class OpenSmtpd(mta.Mta):
    name = "OpenSMTPD"
    packages = ("opensmtpd",)
    passwd = ("opensmtpd:x:61006:61006::/var/lib/opensmtpd/empty:"
              "/usr/sbin/nologin\n"
              "opensmtpq:x:61007:61007::/var/lib/opensmtpd/empty:"
              "/usr/sbin/nologin\n")
    group = "opensmtpd:x:61006:\nopensmtpq:x:61007:\n"
    daemon = None
    way = "lmtp"

    def install(self):
        mta.mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib")
        os.makedirs("/var/lib/opensmtpd/empty")
        os.chown("/usr/sbin/smtpctl", 0, 61007)
        os.chmod("/usr/sbin/smtpctl", 0o2755)
        write("/etc/mailname", "mx.example.net\n")
        write("/etc/aliases", "")

    def configure(self, way):
        if way == self.way:
            return
        self.way = way
        # it has no reload
        self.daemon.terminate()
        self.daemon.wait(30)
        mta.start(self)

    def start(self):
        ours = contrib("opensmtpd/smtpd.conf")
        assert ours.count('action "mailkeyd-lmtp"\n') == 2, "one way is chosen"
        write(CONF, FIRST + ours.replace(
            'action "mailkeyd-lmtp"\n', f'action "mailkeyd-{self.way}"\n')
            + LAST)
        with open(MAIL_LOG, "ab") as log:
            self.daemon = subprocess.Popen(
                ["smtpd", "-d", "-v"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def flush(self):
        command("smtpctl", "schedule", "all")

    def deferred(self):
        with open(MAIL_LOG, "rb") as f:
            return b"result=TempFail" in f.read()


OPENSMTPD = OpenSmtpd()

if __name__ == "__main__":
    sys.exit(mta.main(OPENSMTPD, __file__, mta.waits(OPENSMTPD, "lmtp"),
                      *mta.all_ways(OPENSMTPD), mta.waits(OPENSMTPD, "pipe")))
