#!/usr/bin/env -S python3 -B
# The core ends, as by SIGKILL, at a named point of its way, one point after
# the other (db/fault.h): every row of the table of crashes in ARCHITECTURE.md
# that is about the core.  The other rows are in robust.py (helpers, jailed
# children), a load into an empty store in unit/bulk.  Each time the next start
# must need no hand and less than a second, and `mailkeyctl verify` must agree.

import glob
import os

from lib import (ADDRESS, ALICE, B, SLOW, Lmtp, armor, ask, certificates, equal,
                 expect, key, mail, new_id, note, processor_seconds, quick, run,
                 smtp_to, wait_until)

from debian_ring import dearmored, fingerprint
from imports import counts, without_names

RING = "/usr/share/keyrings/debian-maintainers.gpg"
PEER = "keys@peer.example"


def faulty_programs(place):
    """A folder with the core that ends at a point, and all else as it is."""
    folder = place / "bin"
    os.mkdir(folder)
    for name in os.listdir(B):
        if name.startswith("mailkey"):
            os.symlink(os.path.join(B, "faults" if name == "mailkeyd" else "",
                                    name), os.path.join(folder, name))
    return folder


class Patient:
    """A daemon that is killed at points, and what was seen of its starts."""

    def __init__(self, place, extra=""):
        self.sink = place.sink()
        self.daemon = place.daemon(send=smtp_to(self.sink.port), extra=extra,
                                   libexec=faulty_programs(place))
        self.starts = []
        self.start()

    def start(self, point=None, ready=True):
        os.environ.pop("MAILKEYD_FAULT", None)
        if point:
            os.environ["MAILKEYD_FAULT"] = point
        seconds = self.daemon.start(ready)
        os.environ.pop("MAILKEYD_FAULT", None)
        if ready:
            self.starts.append((seconds, processor_seconds(self.daemon)))

    def armed(self, point):
        """Started anew, to end at that point."""
        self.daemon.stop()
        self.start(point)

    def ended(self, point):
        """It has ended there, and nowhere else; starts it again."""
        equal(self.daemon.process.wait(60 * SLOW), -9, f"{point}: exit status")
        self.start()

    def over(self):
        done = self.daemon.ctl("verify")
        equal((done.returncode, done.stderr), (0, b""), "mailkeyctl verify")
        quick(self.starts)


def send(daemon, message):
    """The status of one mail; None: the connection ended before."""
    try:
        with Lmtp(daemon.lmtp_path) as lmtp:
            return lmtp.send(message)[0][0]
    except (OSError, AssertionError):
        return None


def fpr_of(name):
    return fingerprint(next(iter(certificates(dearmored(key(name))))))


def has(daemon, fpr):
    return daemon.ctl("get", "0x" + fpr).returncode == 0


def copies(sink, message_id):
    return [d for d in sink.got if d.in_reply_to == message_id]


def queue_is_empty(daemon):
    return b"@" not in daemon.ctl("queue").stdout


def settled(p):
    """All that is to be sent has been, and a late copy would be here."""
    wait_until(lambda: queue_is_empty(p.daemon), 30, "an empty queue")
    ask(p.daemon, p.sink, "HELP")


# ---- one mail ---------------------------------------------------------------

def by_lmtp(place):
    """a mail over LMTP: before the commit, after it, after the delivery"""
    p = Patient(place)
    for point, name in (("worked", "alice.asc"), ("committed", "bob.asc"),
                        ("synced", "erin.asc")):
        message_id, fpr = new_id(), fpr_of(name)
        message = mail("ADD", key(name), message_id=message_id)
        p.armed(point)
        equal(send(p.daemon, message), None, f"{point}: status")
        p.ended(point)
        if point == "worked":
            expect(not has(p.daemon, fpr), "there is something of the mail")
        else:
            expect(has(p.daemon, fpr), "committed, and not there")
            p.sink.answer_to(message_id)
        equal(send(p.daemon, message), 250, f"{point}: the second try")
        expect(has(p.daemon, fpr), "acknowledged, and not there")
        p.sink.answer_to(message_id)
        settled(p)
        equal(len(copies(p.sink, message_id)), 1, f"{point}: answers")
    for point in ("delivered", "deleted"):
        message_id = new_id()
        p.armed(point)
        equal(send(p.daemon, mail("HELP", message_id=message_id)), 250,
              f"{point}: status")
        p.ended(point)
        settled(p)
        got = copies(p.sink, message_id)
        # A commit that is lazy outlives the process.
        equal(len(got), 2 if point == "delivered" else 1, f"{point}: copies")
        equal(len({d.message_id for d in got}), 1, "Message-IDs")
        equal(len({d.raw for d in got}), 1, "different copies")
    p.over()


def by_other_ways(place):
    """the same from a Maildir, which keeps its file, and by deliver: 75"""
    folder = place / "in"
    p = Patient(place, f'receive "drop" {{ type = maildir '
                       f'path = "{folder}" }}')
    for point in ("worked", "committed", "synced"):
        p.armed(point)
        message_id = new_id()
        tmp = os.path.join(folder, "tmp", point)
        with open(tmp, "wb") as f:
            f.write(f"Return-Path: <{ALICE}>\nDelivered-To: {ADDRESS}\n"
                    .encode() + mail("HELP", message_id=message_id))
        new = os.path.join(folder, "new", point)
        os.rename(tmp, new)
        equal(p.daemon.process.wait(60 * SLOW), -9, f"{point}: exit status")
        expect(os.path.exists(new), f"{point}: the file has gone")
        p.start()
        wait_until(lambda: not os.path.exists(new), 30, "the file to go")
        p.sink.answer_to(message_id)
        settled(p)
        equal(len(copies(p.sink, message_id)), 1, f"{point}: answers")

        p.armed(point)
        message_id = new_id()
        message = mail("HELP", message_id=message_id)
        args = ("deliver", f"--sender={ALICE}")
        equal(p.daemon.ctl(*args, stdin=message).returncode, 75,
              f"{point}: deliver")
        p.ended(point)
        equal(p.daemon.ctl(*args, stdin=message).returncode, 0,
              f"{point}: deliver again")
        p.sink.answer_to(message_id)
        settled(p)
        equal(len(copies(p.sink, message_id)), 1, f"{point}: answers")
    p.over()


def poison(place):
    """a mail that kills its reader: after the count, after it was set aside"""
    p = Patient(place)
    body = b"To: " + b"(" * 600000 + b"\n\nhello\n"
    message = mail("ADD", body, headers=("MIME-Version: 1.0",
                                         "Content-Type: message/rfc822"))
    place.daemons.remove(p.daemon)  # the sanitizer reports the reader
    p.armed("counted")
    equal(send(p.daemon, message), None, "first delivery")
    p.ended("counted")
    p.armed("set_aside")
    equal(send(p.daemon, message), None, "second delivery")
    p.ended("set_aside")

    def there():
        found = {}
        for path in glob.glob(p.daemon.state + "/quarantine/*"):
            with open(path, "rb") as f:
                found[os.path.basename(path)] = f.read()
        return found

    before = there()
    equal(sorted(os.path.splitext(n)[1] for n in before),
          [".eml", ".from", ".why"], "set aside")
    equal(send(p.daemon, message), 250, "third delivery")
    equal(there(), before, "set aside afterwards")
    ask(p.daemon, p.sink, "HELP")
    p.over()
    equal(p.daemon.stop(), 0, "exit status")


# ---- the store --------------------------------------------------------------

def recovery(place):
    """while the store is put in order: again and again, until it may"""
    p = Patient(place)
    added = ("alice.asc", "bob.asc", "carol.asc")
    for name in added:
        ask(p.daemon, p.sink, "ADD", key(name))
    p.daemon.kill()
    for point in ("recovering", "recovered", "opened", "recovering"):
        p.start(point, ready=False)
        equal(p.daemon.process.wait(60 * SLOW), -9, f"{point}: exit status")
    p.start()
    for name in added:
        expect(has(p.daemon, fpr_of(name)), name, "is lost")
    p.over()


def checkpoint(place):
    """before a checkpoint, and before anybody knows that it was one"""
    p = Patient(place)
    for point in ("checkpoint", "checkpointed"):
        p.armed(point)
        ask(p.daemon, p.sink, "ADD", key("alice.asc"))
        # To forget a key wants all of it out of the logs.
        p.daemon.ctl("forget", fpr_of("bob.asc"))
        p.ended(point)
        expect(has(p.daemon, fpr_of("alice.asc")), "alice is lost")
    p.over()


def copying(place):
    """during a backup, before and after its rename, and during verify"""
    p = Patient(place)
    ask(p.daemon, p.sink, "ADD", key("alice.asc"))
    for point, args in (("copied", ("backup", place / "one")),
                        ("backup_synced", ("backup", place / "one")),
                        ("copied", ("verify",)),
                        ("backup_renamed", ("backup", place / "one"))):
        p.armed(point)
        done = p.daemon.ctl(*args)
        expect(done.returncode not in (0, 65), f"{point}: exit status",
               done.returncode)
        p.ended(point)
        equal(os.path.exists(place / "one"), point == "backup_renamed",
              f"{point}: whether the backup is there")
    equal(p.daemon.ctl("backup", place / "two").returncode, 0, "backup")
    equal(sorted(os.listdir(p.daemon.state)),
          ["db", "gnupg", "quarantine", "verify.new"], "in the directory")
    p.over()
    equal(sorted(os.listdir(p.daemon.state)), ["db", "gnupg", "quarantine"],
          "in the directory")
    for name in ("one", "two"):
        state = p.daemon.state
        p.daemon.stop()
        os.rename(state, place / f"{name}.old")
        os.rename(place / name, state)
        p.start()
        expect(has(p.daemon, fpr_of("alice.asc")), f"{name}: alice is lost")
        p.over()


# ---- much at once -----------------------------------------------------------

def import_half_way(place):
    """in an import, before and after a commit: it goes on from there"""
    with open(RING, "rb") as f:
        ring = sorted(set(certificates(f.read())), key=len)[:120]
    p = Patient(place)
    ask(p.daemon, p.sink, "ADD", key("alice.asc"))
    path = place.write("ring.gpg", b"".join(ring))
    for point in ("import_worked", "import_committed"):
        p.armed(point)
        done = p.daemon.ctl("import", path)
        expect(done.returncode not in (0, 65), "import ends with",
               done.returncode)
        p.ended(point)
    equal(p.daemon.ctl("import", path).returncode, 0, "import")
    for c in ring:
        expect(has(p.daemon, fingerprint(c)), fingerprint(c), "is lost")
    p.over()


def import_held(place):
    """in an import, before a second look at what a revoker revoked"""
    p = Patient(place)
    ask(p.daemon, p.sink, "ADD", key("alice.asc"))
    # the revoker stands behind what it revoked
    files = [place.write(name, key(name))
             for name in ("bob.asc", "nora-revoked.asc", "oscar.asc")]
    p.armed("import_held")
    done = p.daemon.ctl("import", *files)
    expect(done.returncode not in (0, 65), "import ends with",
           done.returncode)
    p.ended("import_held")
    equal(p.daemon.ctl("import", *files).returncode, 0, "import")
    shown = p.daemon.ctl("index", f"0x{fpr_of('nora-revoked.asc')}")
    expect(b"KEY REVOKED" in shown.stdout, shown.stdout, shown.stderr)
    p.over()


def import_held_parts(place):
    """what an import held is stored part by part"""
    with open(RING, "rb") as f:
        ring = [pair for c in certificates(f.read()) if c[:1] == b"\x99"
                for pair in [without_names(c, 0x18)] if pair][:150]
    equal(len(ring), 150, "certificates of the ring")
    p = Patient(place)
    files = [place.write(str(n), b"".join(pair[1 - n] for pair in ring))
             for n in range(2)]
    # before the last part
    p.armed("import_held")
    expect(p.daemon.ctl("import", *files).returncode != 0, "import ends with")
    p.ended("import_held")
    changed = counts(p.daemon.ctl("import", *files))[2]
    expect(0 < changed < 150, changed, "of 150 were not stored before")
    p.over()


def with_a_peer(place):
    """sync mails: a large one taken in slices, and one that is to be sent"""
    p = Patient(place, f'peer "p" {{ address = "{PEER}" gather = 0s }}')
    with open(RING, "rb") as f:
        ring = sorted(set(certificates(f.read())), key=len)[:40]
    message = mail("INCREMENTAL", armor(b"".join(ring)), sender=PEER)
    p.armed("sliced")

    def by_peer():
        try:
            with p.daemon.lmtp() as lmtp:
                return lmtp.send(message, PEER)[0][0]
        except (OSError, AssertionError):
            return None

    equal(by_peer(), None, "sliced: status")
    p.ended("sliced")
    equal(by_peer(), 250, "the second try")
    for c in ring:
        expect(has(p.daemon, fingerprint(c)), fingerprint(c), "is lost")

    for point, name in (("window_written", "alice.asc"),
                        ("window_committed", "bob.asc")):
        p.armed(point)
        message_id = new_id()
        send(p.daemon, mail("ADD", key(name), message_id=message_id))
        p.ended(point)
        p.sink.answer_to(message_id)
        fpr = fpr_of(name)
        got = p.sink.wait(
            lambda got: [d for d in got if PEER in d.recipients and
                         fpr in d.raw.decode() or PEER in d.recipients and
                         d.keys() and fpr in [
                             fingerprint(c) for c in
                             certificates(dearmored(d.keys()))]],
            60, f"{point}: the sync mail")
        equal(len({d.message_id for d in got}), 1, f"{point}: Message-IDs")
    p.over()


if __name__ == "__main__":
    run(by_lmtp, by_other_ways, poison, recovery, checkpoint, copying,
        import_half_way, import_held, import_held_parts,
        with_a_peer)
