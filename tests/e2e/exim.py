#!/usr/bin/env -S python3 -B
# Through a real Exim, by each way in and out (see mta.py), and round in
# circles: its vacation responder, a list, and a second daemon.

import os
import re
import shutil
import subprocess
import sys
import time

import mta
from lib import equal, mail, wait_until
from mta import (MAIL_LOG, USER, append, by_smtp, command, contrib, folder_of,
                 write)

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
other:
  driver = accept
  domains = example.org
  local_parts = keys2
  transport = other
list:
  driver = redirect
  domains = example.org
  local_parts = list
  data = keys@example.org, keys2@example.org, alice@example.org, \
    away@example.org
  errors_to = list-bounce@example.org
  headers_add = List-Id: <list.example.org>
bounce:
  driver = redirect
  domains = example.org
  local_parts = list-bounce
  data = :blackhole:
away:
  driver = accept
  domains = example.org
  local_parts = away
  transport = away
alice:
  driver = accept
  local_parts = alice
  domains = example.org
  transport = home
begin transports
{transport}
other:
  driver = lmtp
  socket = /run/mailkeyd/lmtp2
  user = Debian-exim
away:
  driver = autoreply
  user = alice
  to = ${{if eq{{$sender_address}}{{}}{{$h_from:}}{{$sender_address}}}}
  from = away@example.org
  subject = Away: $h_subject:
  text = I am away.
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


# ---- loops ------------------------------------------------------------------

def two_daemons(place):
    EXIM.configure("lmtp")
    first = mta.start_daemon(place, mta.SENDS["SMTP"])
    second = place.daemon(name="e", send=mta.SENDS["SMTP"], user="mailkeyd",
                          libexec=place.scratch + "/libexec",
                          address="keys2@example.org")
    shutil.chown(second.dir, "mailkeyd", "mailkeyd")
    append(second.conf, 'receive "mta" { type = lmtp '
           'path = "/run/mailkeyd/lmtp2" mode = 0666 }\n')
    second.start()
    return first, second


def settled(daemons, *wanted):
    """What each has worked on, when nothing moves any more."""
    def outcomes(daemon):
        return re.findall(r"outcome=(\w+)", daemon.log())

    def quiet():
        done = subprocess.run(["exim4", "-bp"], stdout=subprocess.PIPE)
        return (not done.stdout.strip() and
                all(len(outcomes(d)) >= len(w)
                    for d, w in zip(daemons, wanted)) and
                all(d.log().count("bytes=0") + d.log().count("answer=sent")
                    == len(outcomes(d)) for d in daemons))
    wait_until(quiet, 30, "all mails to be worked on")
    time.sleep(1)
    wait_until(quiet, 30, "all mails to be worked on")
    equal(tuple(outcomes(d) for d in daemons), wanted, "outcomes")


def away(place):
    """a vacation responder that answers even us: two mails in all"""
    daemons = two_daemons(place)
    by_smtp(mail("HELP", b"", "away@example.org"), sender="away@example.org")
    settled(daemons, ["done", "silent"], [])


def ring(place):
    """one daemon asks in the name of the other: two mails in all"""
    daemons = two_daemons(place)
    by_smtp(mail("HELP", b"", "keys2@example.org"), sender="keys2@example.org")
    settled(daemons, ["done"], ["silent"])


def mailing_list(place):
    """a list with two daemons and a person on it: nobody answers the list"""
    daemons = two_daemons(place)
    by_smtp(mail("HELP", b"", USER), recipient="list@example.org")
    settled(daemons, ["silent"], ["silent"])


def all_of_them(place):
    """two daemons and a vacation responder on a list that asks: one answer"""
    daemons = two_daemons(place)
    by_smtp(mail("HELP", b"", "list@example.org"), sender="list@example.org")
    # The answer to the list comes to both by way of it, and the responder
    # writes to the first about that.
    settled(daemons, ["done", "silent", "silent"], ["silent"])


if __name__ == "__main__":
    sys.exit(mta.main(EXIM, __file__, mta.waits(EXIM, "lmtp"),
                      *mta.all_ways(EXIM), mta.waits(EXIM, "pipe"), away, ring,
                      mailing_list, all_of_them))
