#!/usr/bin/env -S python3 -B
# Through a real Exim, by each way in and out: see mta.py.

import os
import re
import subprocess
import sys

import mta
from mta import MAIL_LOG, command, contrib, folder_of, write

CONF = "/etc/exim4/exim4.conf"
# What stands around the samples: a user's mailbox, and who may send.
MAIN = """\
primary_hostname = mx.example.net
domainlist ours = example.org
local_interfaces = 127.0.0.1
daemon_smtp_ports = 25
log_file_path = /var/spool/exim4/%slog
log_selector = +all
acl_smtp_rcpt = acl_rcpt
never_users = root
untrusted_set_sender = *
keep_environment =
smtp_accept_max = 100
"""
REST = """\
begin acl
acl_rcpt:
  accept domains = +ours
  deny
begin routers
{router}
alice:
  driver = accept
  local_parts = alice
  domains = example.org
  transport = home
begin transports
{transport}
home:
  driver = appendfile
  directory = /var/spool/alice/Maildir
  maildir_format
  user = alice
  return_path_add
begin retry
* * F,1h,1m
"""


class Exim(mta.Mta):
    name = "Exim"
    packages = ("exim4-daemon-light", "exim4-base")
    passwd = "Debian-exim:x:61005:61005::/var/spool/exim4:/usr/sbin/nologin\n"
    group = "Debian-exim:x:61005:\n"

    def install(self):
        for folder in ("", "/input", "/msglog", "/db"):
            folder_of("Debian-exim", "/var/spool/exim4" + folder, 0o750)
        os.makedirs("/etc/exim4", exist_ok=True)
        folder_of("Debian-exim", "/run/exim4", 0o750)
        os.symlink("/var/spool/exim4/mainlog", MAIL_LOG)
        os.chmod("/usr/sbin/exim4", 0o4755)
        self.write_conf("lmtp")

    def write_conf(self, way):
        main, n = re.subn(r"(?m)^MAILKEYD_WAY = .*$",
                          f"MAILKEYD_WAY = mailkeyd_{way}",
                          contrib("exim/mailkeyd.main"))
        assert n == 1, "mailkeyd.main chooses one way"
        write(CONF, MAIN + main + REST.format(
            router=contrib("exim/mailkeyd.router"),
            transport=contrib("exim/mailkeyd.transport")))

    def configure(self, way):
        # read anew by the process that delivers
        self.write_conf(way)

    def start(self):
        # It would stay in the foreground anyway: its parent is process 1.
        self.daemon = subprocess.Popen(["exim4", "-bdf", "-q1h"],
                                       stdin=subprocess.DEVNULL)

    def flush(self):
        command("exim4", "-qff")

    def deferred(self):
        with open(MAIL_LOG, "rb") as f:
            return b" == keys@example.org" in f.read()


EXIM = Exim()

if __name__ == "__main__":
    sys.exit(mta.main(EXIM, __file__, mta.waits(EXIM, "lmtp"),
                      *mta.all_ways(EXIM), mta.waits(EXIM, "pipe")))
