#!/usr/bin/env -S python3 -B
# Mailboxes on other servers whose programs are sound: Dovecot, by IMAP and
# POP3.  Every mail is answered once and deleted after its commit.

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from lib import (ADDRESS, ALICE, ROOT, Skip, equal, expect, fingerprints, key,
                 ask, mail, new_id, note, run, wait_until)
from mailboxes import (PASSWORD, certificates, edit, fetchers, figures,
                       helpers, logged, password_file, receive, start)

PACKAGES = [os.path.join(ROOT, "build/mta", name)
            for name in ("dovecot-core", "dovecot-imapd", "dovecot-pop3d")]
NOBODY = 65534
KILLS = 3
_numbers = itertools.count(1)


# ---- Dovecot ----------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Dovecot:
    """A Dovecot of our own on loopback, in namespaces of its own, where an
    overlay shows it in /usr; the Maildir lies in the test's directory."""

    def __init__(self, place, extra=""):
        if os.geteuid() != 0:
            raise Skip("a Dovecot of its own needs root")
        for folder in PACKAGES:
            if not os.path.isdir(folder):
                raise Skip("no Dovecot in build/mta (contrib/deps)")
        self.place, self.process = place, None
        self.dir = place / "dovecot"
        self.scratch = place / "scratch"
        os.makedirs(self.dir)
        os.makedirs(self.scratch)
        os.chmod(place.path, 0o755)
        self.imap, self.imaps = free_port(), free_port()
        self.pop3, self.pop3s = free_port(), free_port()
        self.conf = place.write("dovecot/dovecot.conf", self.config(extra))
        place.at_close(self.stop)
        for part in ("", "/tmp", "/cur", "/new"):
            os.mkdir(f"{self.dir}/keys{part}")
            os.chown(f"{self.dir}/keys{part}", NOBODY, NOBODY)
        self.start()

    def config(self, extra):
        c = certificates()
        return f"""
base_dir = {self.dir}/run
state_dir = {self.dir}/run
log_path = {self.dir}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{c.good}
ssl_key = <{c.good}
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
first_valid_uid = 1
mail_location = maildir:{self.dir}/%u
mailbox_list_index = no
shutdown_clients = yes
auth_failure_delay = 0 secs
stats_writer_socket_path =
passdb {{
  driver = passwd-file
  args = scheme=plain {self.place.write("users", f"keys:{PASSWORD}" + chr(10))}
}}
userdb {{
  driver = static
  args = uid={NOBODY} gid={NOBODY} home={self.dir}/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = {self.imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
  }}
}}
{extra}
"""

    def start(self):
        shutil.rmtree(os.path.join(self.dir, "run"), ignore_errors=True)
        scratch = tempfile.mkdtemp(dir=self.scratch)
        lower = ":".join([p + "/usr" for p in PACKAGES] + ["/usr"])
        script = (
            'set -e; mount --make-rprivate /; mount -t tmpfs t "$1"; '
            'mkdir "$1/up" "$1/work"; mount -t overlay o -o '
            '"lowerdir=$2,upperdir=$1/up,workdir=$1/work" /usr; '
            'exec /usr/sbin/dovecot -F -c "$3"')
        with open(os.path.join(self.dir, "out"), "ab") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc",
                 "sh", "-c", script, "sh", scratch, lower,
                 self.conf], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd="/")
        wait_until(self.answers, 20, "Dovecot to answer")

    def answers(self):
        if self.process.poll() is not None:
            text = ""
            for name in ("out", "log"):
                path = os.path.join(self.dir, name)
                if os.path.exists(path):
                    with open(path, encoding="utf-8") as f:
                        text += f.read()
            if "mount" in text:
                raise Skip("no mount namespaces with overlays here")
            expect(False, "Dovecot ended:", text)
        try:
            for port in (self.imap, self.pop3):
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    if not s.recv(10):
                        return False
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.kill()  # and with it all in its namespace
        self.process.wait()

    def deliver(self, message, sender=ALICE):
        """As its LMTP does: Return-Path on top, a file in the Maildir, whose
        name is returned."""
        folder = os.path.join(self.dir, "keys")
        name = f"{int(time.time())}.M{next(_numbers)}.test"
        path = os.path.join(folder, "tmp", name)
        with open(path, "wb") as f:
            f.write(f"Return-Path: <{sender}>\nDelivered-To: {ADDRESS}\n"
                    .encode() + message)
        os.chown(path, NOBODY, NOBODY)
        os.rename(path, os.path.join(folder, "new", name))
        return name

    def names(self):
        folder = os.path.join(self.dir, "keys")
        return [n for part in ("new", "cur")
                for n in os.listdir(os.path.join(folder, part))]

    def is_empty(self, seconds=20):
        wait_until(lambda: not self.names(), seconds, "an empty mailbox")


def answered_once(sink, ids):
    copies = {}
    for message_id in ids:
        sink.answer_to(message_id, 60)
    for d in list(sink.got):
        copies.setdefault(d.in_reply_to, set()).add(d.message_id)
    for message_id in ids:
        equal(len(copies[message_id]), 1, f"answers to {message_id}")


def exchange(place, dovecot, sink, seconds):
    """An ADD and a GET; how long the second took."""
    alice = key("alice.asc")
    first, second = new_id(), new_id()
    dovecot.deliver(mail("ADD", alice, message_id=first))
    expect("1" in sink.answer_to(first).text(), "the answer to ADD")
    dovecot.is_empty()
    begin = time.monotonic()
    bob = "bob@example.net"
    fpr = fingerprints(place, alice)[0]
    dovecot.deliver(mail("GET 0x" + fpr, message_id=second), sender=bob)
    got = sink.answer_to(second, seconds)
    took = time.monotonic() - begin
    equal(got.recipients, [bob], "recipients")
    equal(fingerprints(place, got.keys()), [fpr], "certificates")
    dovecot.is_empty()
    return took


# ---- what works -------------------------------------------------------------

def imap(place):
    """IMAP over TLS: mails go after their commit, IDLE tells of new ones"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "imap", dovecot.imaps))
    logged(daemon, "mailbox: event=open", "name=box")
    note(f"a GET took {exchange(place, dovecot, sink, 20):.2f} s")
    stats = daemon.ctl("stats").stdout.decode()
    expect("mailbox box           open since" in stats, stats)
    table = figures(daemon)
    equal([table[n] for n in ("mailboxes", "mailboxes_open", "mailbox_mails",
                              "fetcher_deaths")], ["1", "1", "2", "0"],
          "figures")
    # The same mail a second time is only acknowledged; a null sender gets
    # no answer; both are deleted.
    twice = new_id()
    for _ in range(2):
        dovecot.deliver(mail("HELP", message_id=twice))
        dovecot.is_empty()
    dovecot.deliver(mail("HELP"), sender="")
    dovecot.is_empty()
    answered_once(sink, [twice])
    equal(daemon.log().count("event=open"), 1, "lines of its state")


def starttls(place):
    """STARTTLS, a server without IDLE and UIDPLUS, and a crowd of mails"""
    dovecot = Dovecot(place, "imap_capability = IMAP4rev1\n")
    ids = [new_id() for _ in range(120)]
    for n, message_id in enumerate(ids):
        dovecot.deliver(mail("HELP", message_id=message_id),
                        sender=f"u{n}@example.net")
    daemon, sink = start(place, receive(place, "imap", dovecot.imap,
                                        tls="starttls", poll="1s"))
    dovecot.is_empty(60)
    exchange(place, dovecot, sink, 30)
    answered_once(sink, ids)


def pop3(place):
    """POP3 over TLS and by STLS"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "pop3", dovecot.pop3s,
                                        poll="1s"))
    logged(daemon, "mailbox: event=open", "name=box")
    ids = [new_id() for _ in range(40)]
    for n, message_id in enumerate(ids):
        dovecot.deliver(mail("HELP", message_id=message_id),
                        sender=f"u{n}@example.net")
    exchange(place, dovecot, sink, 30)
    answered_once(sink, ids)
    daemon.stop()
    edit(daemon, ("tls = implicit", "tls = starttls"),
         (f"port = {dovecot.pop3s}", f"port = {dovecot.pop3}"))
    daemon.start()
    message_id = new_id()
    dovecot.deliver(mail("INDEX alice", message_id=message_id))
    sink.answer_to(message_id)
    dovecot.is_empty()
    equal(daemon.log().count("event=closed"), 0, "lines of trouble")


def killed(place):
    """SIGKILL before and after commits: nothing lost, nothing twice"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "imap", dovecot.imaps),
                         receive(place, "pop3", dovecot.pop3s, poll="1s",
                                 title="pop"))
    ids = [new_id()]
    logged(daemon, "event=open", "name=box")
    # It is fetched, but cannot be worked on: so nothing is committed.
    stopped = helpers(daemon, "mailkeyd-parser")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    dovecot.deliver(mail("HELP", message_id=ids[0]))
    wait_until(lambda: figures(daemon)["in_hand"] != "0", 20,
               "the mail to be fetched")
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    daemon.kill()
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    daemon.start()
    sink.answer_to(ids[0])
    for i in range(KILLS):
        for _ in range(30):
            ids.append(new_id())
            dovecot.deliver(mail("HELP", message_id=ids[-1]),
                            sender=f"u{len(ids)}@example.net")
        time.sleep(0.1 * i)
        daemon.kill()
        daemon.start()
    dovecot.is_empty(60)
    answered_once(sink, ids)
    note(f"{len(ids)} mails, {len(sink.got)} answers, {KILLS + 1} kills")


def away(place):
    """the server goes and comes back; a fetcher dies; a wrong password"""
    dovecot = Dovecot(place)
    password_file(place, "wrong", name="other")
    daemon, sink = start(
        place, receive(place, "imap", dovecot.imaps),
        receive(place, "pop3", dovecot.pop3s, title="two", password="other",
                poll="1s"))
    logged(daemon, "event=closed", "name=two", 'why="PASS: ')
    password_file(place, name="other")
    logged(daemon, "event=open", "name=box")
    logged(daemon, "event=open", "name=two")
    dovecot.stop()
    for name in ("box", "two"):
        logged(daemon, "event=closed", f"name={name}")
    message_id = new_id()
    dovecot.deliver(mail("HELP", message_id=message_id))
    ask(daemon, sink, "HELP", sender="lmtp@example.net")
    dovecot.start()
    sink.answer_to(message_id, 60)
    dovecot.is_empty()
    for pid in fetchers(daemon):
        os.kill(pid, signal.SIGKILL)
    logged(daemon, "helper=mailkeyd-fetcher", "event=died", count=2)
    message_id = new_id()
    dovecot.deliver(mail("HELP", message_id=message_id), sender="x@y.example")
    sink.answer_to(message_id, 60)
    dovecot.is_empty()


def later(place):
    """what cannot be taken now stays; what is too large is told so"""
    dovecot = Dovecot(place)
    daemon, sink = start(
        place, receive(place, "imap", dovecot.imaps, poll="2s"),
        limits={"message_size": "256K"})
    logged(daemon, "event=open")
    equal(daemon.ctl("pause").returncode, 0, "pause")
    message_id, large, pop, raised = (new_id() for _ in range(4))
    dovecot.deliver(mail("HELP", message_id=message_id))
    time.sleep(1)
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    equal(daemon.ctl("resume").returncode, 0, "resume")
    sink.answer_to(message_id, 60)
    body = b"".join(b"x" * 70 + b"\n" for _ in range(30000))
    dovecot.deliver(mail("ADD", body, message_id=large))
    got = sink.answer_to(large).text()
    expect("256 KB" in got or "262144" in got or "large" in got, got)
    dovecot.is_empty()
    daemon.stop()
    edit(daemon, ("type = imap", "type = pop3"),
         (f"port = {dovecot.imaps}", f"port = {dovecot.pop3s}"))
    daemon.start()
    dovecot.deliver(mail("ADD", body, message_id=pop))
    equal(sink.answer_to(pop).text(), got, "the answer")
    dovecot.is_empty()
    # With another limit it is no longer too large.
    edit(daemon, ("message_size = 256K", "message_size = 5M"))
    equal(daemon.ctl("reload").returncode, 0, "reload")
    dovecot.deliver(mail("ADD", body, message_id=raised))
    expect(sink.answer_to(raised).text() != got, "the limit is not raised")
    dovecot.is_empty()


if __name__ == "__main__":
    run(imap, starttls, pop3, killed, away, later)
