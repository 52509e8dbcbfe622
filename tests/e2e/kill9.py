#!/usr/bin/env -S python3 -B
# Some process of the daemon is killed (SIGKILL) again and again while mails
# come in every way there is: the core, a helper, a jailed child.  What was
# acknowledged must be in the store afterwards, its answer must reach the sink,
# all copies of one answer must be the same mail, and the indexes must agree
# with the certificates.  20 kills, or 200 with FULL=1.

import glob
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter, defaultdict

from lib import (ADDRESS, ALICE, SLOW, Lmtp, Skip, armor, certificates, equal,
                 expect, mail, new_id, note, processor_seconds, quick, run,
                 smtp_to, wait_until)

from debian_ring import fingerprint
from mailbox import Dovecot
from mailboxes import password_file, receive

RINGS = ("/usr/share/keyrings/debian-maintainers.gpg",
         "/usr/share/keyrings/debian-keyring.gpg")
KILLS = 200 if os.environ.get("FULL") else 20
# The core as often as all others together.
VICTIMS = ("core", "parser", "core", "verifier", "core", "checker", "core",
           "sender", "core", "fetcher", "core", "child")


def small_certificates(count):
    """Distinct certificates, the smallest first."""
    found = {}
    for ring in RINGS:
        with open(ring, "rb") as f:
            for c in certificates(f.read()):
                found[fingerprint(c)] = c
    return sorted(found.items(), key=lambda pair: len(pair[1]))[:count]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- the ways in: True = acknowledged, False = to come again -----------------

class ByLmtp:
    def __init__(self, where):
        self.where, self.lmtp = where, None

    def __call__(self, message):
        try:
            self.lmtp = self.lmtp or Lmtp(self.where, timeout=30)
            code, text = self.lmtp.send(message)[0]
        except (OSError, AssertionError):
            # Killed before the answer: an MTA keeps the mail.
            self.close()
            return False
        expect(code == 250 or 400 <= code < 500, "LMTP says", code, text)
        return code == 250

    def close(self):
        if self.lmtp:
            self.lmtp.close()
        self.lmtp = None


class ByDeliver:
    def __init__(self, daemon):
        self.daemon = daemon

    def __call__(self, message):
        done = self.daemon.ctl("deliver", f"--sender={ALICE}", stdin=message)
        expect(done.returncode in (0, 75), "deliver ends with",
               done.returncode, done.stderr)
        return done.returncode == 0

    def close(self):
        pass


class ByMaildir:
    """Acknowledged is what is gone."""

    def __init__(self, folder):
        self.folder, self.numbers, self.path = folder, 0, None

    def __call__(self, message):
        if self.path is None:
            self.numbers += 1
            name = f"{int(time.time())}.{self.numbers}.test"
            tmp = os.path.join(self.folder, "tmp", name)
            with open(tmp, "wb") as f:
                f.write(f"Return-Path: <{ALICE}>\n"
                        f"Delivered-To: {ADDRESS}\n".encode() + message)
            self.path = os.path.join(self.folder, "new", name)
            os.rename(tmp, self.path)
        for _ in range(20):
            if not os.path.exists(self.path):
                self.path = None
                return True
            time.sleep(0.02)
        return False

    def close(self):
        pass


class ByMailbox:
    """On another server, read by IMAP and by POP3 at once; acknowledged is what
    is gone."""

    def __init__(self, dovecot):
        self.dovecot, self.name = dovecot, None

    def __call__(self, message):
        if self.name is None:
            self.name = self.dovecot.deliver(message)
        for _ in range(20):
            # Flags may be behind the name by now.
            if not any(n.startswith(self.name) for n in self.dovecot.names()):
                self.name = None
                return True
            time.sleep(0.02)
        return False

    def close(self):
        pass


class Stream:
    """One client for each way in, which mails as an MTA does: again until it
    is acknowledged."""

    def __init__(self, ways, work):
        self.work, self.next = work, 0
        self.lock = threading.Lock()
        self.stopping = False
        self.added = {}             # Message-ID -> fingerprint
        self.asked = set()          # Message-IDs of GETs
        self.retried = 0
        self.by = Counter()
        self.failures = []
        self.threads = [threading.Thread(target=self.client, args=pair)
                        for pair in ways.items()]
        for t in self.threads:
            t.start()

    def count(self):
        return len(self.added) + len(self.asked)

    def request(self, turn):
        """A new ADD, or in every fourth turn a GET of what is there."""
        with self.lock:
            known = list(self.added.values())
            self.next += turn % 4 != 3
            fpr, certificate = self.work[self.next % len(self.work)]
        message_id = new_id()
        if turn % 4 == 3 and known:
            return None, message_id, mail(f"GET 0x{known[-1]}",
                                          message_id=message_id)
        return fpr, message_id, mail("ADD", armor(certificate),
                                     message_id=message_id)

    def client(self, name, way):
        turn = 0
        try:
            while not self.stopping:
                turn += 1
                fpr, message_id, message = self.request(turn)
                tries = 1
                while not way(message):
                    tries += 1
                    time.sleep(0.03)
                with self.lock:
                    self.retried += tries > 1
                    self.by[name] += 1
                    if fpr:
                        self.added[message_id] = fpr
                    else:
                        self.asked.add(message_id)
        except Exception as why:
            self.failures.append(f"{name}: {why!r}")
        finally:
            way.close()

    def finish(self):
        self.stopping = True
        for t in self.threads:
            t.join()
        equal(self.failures, [], "failures of the clients")


# ---- who dies ---------------------------------------------------------------

def processes(daemon):
    """What is there: name -> process ids, the jailed ones as `child`."""
    found = defaultdict(list)
    for pid in daemon.helpers():
        try:
            with open(f"/proc/{pid}/stat") as f:
                comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        own = int(rest.split()[1]) == daemon.process.pid
        found[comm.split("-")[-1] if own else "child"].append(pid)
    return found


def kill_one(daemon, victim, dice):
    """Whether it was there."""
    # Names are cut at 15 octets: mailkeyd-verifi, mailkeyd-fetche.
    pids = [p for name, pids in processes(daemon).items() for p in pids
            if victim.startswith(name)]
    if not pids:
        return False
    try:
        os.kill(dice.choice(sorted(pids)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def born(pid):
    """When it was started: another may have its number later.  None: gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def verified(daemon):
    done = daemon.ctl("verify")
    equal((done.returncode, done.stderr), (0, b""), "mailkeyctl verify")


def set_aside(daemon):
    """A mail whose reader was killed twice lies there, and has no answer."""
    ids = set()
    for path in glob.glob(daemon.state + "/quarantine/*.eml"):
        with open(path, "rb") as f:
            ids |= set(re.findall(rb"(?mi)^Message-ID: (\S+)", f.read()))
    return {i.decode() for i in ids}


def restarted(daemon, orphans, starts):
    orphans |= {(p, born(p)) for p in daemon.helpers()}
    daemon.kill()
    seconds = daemon.start()
    starts.append((seconds, processor_seconds(daemon)))


def kill_all(daemon, stream, starts, orphans, victims):
    dice = random.Random(20260301)
    kills = Counter()
    while sum(kills.values()) < KILLS:
        victim = victims[sum(kills.values()) % len(victims)]
        before = stream.count()
        wait_until(lambda: stream.count() > before, 60,
                   f"a mail to be taken after {dict(kills)}")
        # At a random moment of the work, not at its edges.
        time.sleep(dice.uniform(0, 0.15) * SLOW)
        if victim == "core":
            restarted(daemon, orphans, starts)
        else:
            wait_until(lambda: kill_one(daemon, victim, dice), 60,
                       f"a {victim} to kill")
        kills[victim] += 1
    return kills


def answered_once(sink, wanted):
    sink.wait(lambda got: wanted <= {d.in_reply_to for d in got}, 90,
              "an answer to every acknowledged mail")
    time.sleep(2.5)  # past the first retry: a late copy would be here
    copies = defaultdict(list)
    for d in sink.got:
        copies[d.in_reply_to].append(d)
    several = [c for c in copies.values() if len(c) > 1]
    note(f"{len(sink.got)} answers, {len(several)} of them more than once")
    for same in several:
        equal(len({d.message_id for d in same}), 1,
              f"Message-IDs of the answers to {same[0].in_reply_to}")
        equal(len({d.raw for d in same}), 1, "different copies")
    return set(copies)


def mailbox(place):
    """A mailbox's server and what reads it; neither where there is none."""
    try:
        dovecot = Dovecot(place)
    except Skip as why:
        note("no mailbox:", why)
        return None, ""
    password_file(place)
    return dovecot, receive(place, "imap", dovecot.imaps) + receive(
        place, "pop3", dovecot.pop3s, poll="1s", title="pop")


def no_mail_lost(place):
    """SIGKILL of any process, mails in every way: nothing acknowledged is lost
    """
    sink, port = place.sink(), free_port()
    folder = place / "Maildir-in"
    dovecot, mailboxes = mailbox(place)
    daemon = place.daemon(
        send=smtp_to(sink.port), port=port, extra=mailboxes +
        f'receive "drop" {{ type = maildir path = "{folder}" }}')
    daemon.start()
    ways = {"unix": ByLmtp(daemon.lmtp_path),
            "tcp": ByLmtp(("127.0.0.1", port)),
            "deliver": ByDeliver(daemon), "maildir": ByMaildir(folder)}
    if dovecot:
        ways["mailbox"] = ByMailbox(dovecot)
    stream = Stream(ways, small_certificates(1100))
    starts, orphans = [], set()
    began = time.monotonic()
    try:
        kills = kill_all(daemon, stream, starts, orphans,
                         [v for v in VICTIMS if dovecot or v != "fetcher"])
        after = stream.count()
        wait_until(lambda: stream.count() > after + 8, 60, "some more mails")
    finally:
        stream.finish()
    note(f"{sum(kills.values())} kills {dict(kills)} in",
         f"{time.monotonic() - began:.0f} s; {stream.count()} mails",
         f"acknowledged {dict(stream.by)}, {stream.retried} of them after a",
         "retry")
    quick(starts)
    aside = set_aside(daemon)
    note(f"{len(aside)} mails set aside")
    expect(len(aside) <= kills["child"] // 2, "set aside:", aside)
    lost = []
    for message_id, fpr in stream.added.items():
        if message_id not in aside and \
                daemon.ctl("get", "0x" + fpr).returncode != 0:
            lost.append(fpr)
    equal(lost, [], "acknowledged keys that are lost")
    wanted = (set(stream.added) | stream.asked) - aside
    unasked = answered_once(sink, wanted) - wanted - aside
    # A client was stopped with its last mail under way.
    expect(len(unasked) <= len(stream.threads), "answers to nobody:", unasked)
    verified(daemon)
    restarted(daemon, orphans, starts)
    wait_until(lambda: not [p for p, when in orphans if when == born(p)
                            and when and p not in daemon.helpers()], 20,
               "the helpers of killed daemons to end")
    equal(daemon.stop(), 0, "exit status")
    verified(daemon)


if __name__ == "__main__":
    run(no_mail_lost)
