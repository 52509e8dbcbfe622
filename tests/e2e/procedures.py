#!/usr/bin/env -S python3 -B
# What mailkeyd-operation(7) tells an operator to do, done: its commands are
# taken out of the page.  /var and /mnt become directories of the test, and
# systemctl starts and stops the test's daemon.

import ctypes
import glob
import os
import pwd
import re
import shutil
import subprocess

from lib import (ALICE, B, ROOT, SLOW, Skip, ask, equal, expect, key,
                 mail, new_id, run, smtp_to, wait_until)

CLONE_NEWNS = 0x20000
ALICE_KEY = "231A449802A0FC9B0505E4CD05E825E4425612B5"
BOB = "88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E"
CAROL = "4D293978532AE8CB5EFF7A96D60BDC818F051381"
DAVE = "dave@example.net"
STATE = ["db", "gnupg", "quarantine"]


def page():
    with open(os.path.join(ROOT, "mailkeyd/mailkeyd-operation.7"),
              encoding="utf-8") as f:
        return f.read()


def procedures(title):
    """The blocks of commands of a section, each a list of lines."""
    section = page().split(f".Sh {title}\n")[1].split("\n.Sh ")[0]
    blocks = re.findall(r"^\.Bd -literal.*\n((?:[#$] .*\n)+)\.Ed$", section,
                        re.M)
    return [block.splitlines() for block in blocks]


class Machine:
    """A root directory, a daemon whose state is below it."""

    def __init__(self, place, name, port, programs=B):
        self.root = place / name
        self.state = os.path.join(self.root, "var/lib/mailkeyd")
        for part in ("var/lib", "var/backups", "mnt"):
            os.makedirs(os.path.join(self.root, part))
        self.sink = place.sink(port=port)
        self.daemon = place.daemon(name=name + ".d", libexec=programs,
                                   send=smtp_to(self.sink.port, retry="1h"))
        with open(self.daemon.conf, encoding="utf-8") as f:
            text = f.read().replace(self.daemon.state, self.state)
        with open(self.daemon.conf, "w", encoding="utf-8") as f:
            f.write(text)
        self.daemon.state = self.state
        self.said = ""      # by the last block, command by command
        # The shell finds these first.
        self.bin = os.path.join(self.root, "bin")
        os.mkdir(self.bin)
        for program in ("mailkeyd", "mailkeyctl"):
            self.script(program, f'exec {programs}/{program} '
                        f'-c {self.daemon.conf} "$@"')

    def script(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def here(self, command, words):
        for word, value in words.items():
            command = command.replace(word, value)
        me = pwd.getpwuid(os.getuid()).pw_name
        command = command.replace("-o mailkeyd -g mailkeyd", "")
        command = command.replace("mailkeyd:mailkeyd", me + ":")
        return re.sub(r"(?<!\S)/(var|mnt)\b", self.root + r"/\1", command)

    def do(self, block, fails=(), **words):
        """The commands of a block; `fails`: beginnings of those that do."""
        self.said = ""
        for line in block:
            command = line[2:]
            units = re.fullmatch(r"systemctl (\w+) mailkeyd\.socket "
                                 r"mailkeyd\.service", command)
            if units:
                if units.group(1) == "start":
                    self.daemon.start()
                else:
                    expect(self.daemon.stop() in (0, None), "exit status")
                continue
            expect(not command.startswith("systemctl"), command)
            done = subprocess.run(
                ["sh", "-c", self.here(command, words)], timeout=100,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": self.bin + ":" +
                     os.environ["PATH"]}, cwd=self.root)
            said = done.stdout.decode("utf-8", "replace")
            expect((done.returncode == 0) != command.startswith(fails or "?"),
                   f"{command}: {done.returncode} {said}")
            self.said += f"{line}\n{said}"

    def add(self, name):
        answer = ask(self.daemon, self.sink, "ADD", key(name))
        expect("New key" in answer.text(), answer.text())

    def has(self, *wanted):
        found = fingerprints_of(self.daemon)
        equal(sorted(found), sorted(wanted), "certificates in the store")


def fingerprints_of(daemon):
    listed = daemon.ctl("index", "-v", "example").stdout.decode()
    return {f for f in (ALICE_KEY, BOB, CAROL) if f in listed.replace(" ", "")}


def started(place, name="m", port=0):
    machine = Machine(place, name, port)
    machine.daemon.start()
    return machine


def waiting(machine, subject="HELP"):
    """An answer that waits, since nobody takes mails for dave."""
    message_id = new_id()
    machine.sink.verdict = lambda recipient, raw: \
        "451 not now" if recipient == DAVE else None
    with machine.daemon.lmtp() as lmtp:
        equal(lmtp.send(mail(subject, sender=DAVE, message_id=message_id),
                        DAVE)[0][0], 250, "status")
    wait_until(lambda: "tried 1 times" in
               machine.daemon.ctl("queue").stdout.decode(), 30, "a first try")
    return message_id


def move_tar(old, new, name):
    shutil.copytree(os.path.join(old.root, "var/backups/mailkeyd"),
                    os.path.join(new.root, "var/backups/mailkeyd"))
    expect(os.path.exists(os.path.join(new.root, "var/backups/mailkeyd",
                                       name)), "no", name)


def backup(place):
    """backup and restore: nothing of what was acknowledged is missing"""
    m = started(place)
    m.add("alice.asc")
    message_id = waiting(m)
    [copy] = procedures("BACKUP")
    m.do(copy, DATE="2026-11-22")
    equal(os.listdir(os.path.join(m.root, "var/backups/mailkeyd")),
          ["2026-11-22.tar"], "what was made")
    expect(not os.path.exists(os.path.join(m.state, "backup")), "a rest")
    m.add("bob.asc")
    restore, clean = procedures("RESTORING A BACKUP")
    m.do(restore, DATE="2026-11-22")
    expect(DAVE in m.said, "the queue does not show what goes again", m.said)
    expect("2 certificates: 1 new" in m.said, m.said)
    m.has(ALICE_KEY, BOB)
    equal(os.stat(m.state).st_mode & 0o777, 0o700, "mode of the state")
    m.sink.verdict = lambda recipient, raw: None
    m.daemon.ctl("queue", "try")
    m.sink.answer_to(message_id)
    # Nothing is overwritten, and nothing stale is taken, the next time.
    m.do(restore[:3], fails=("mv",))
    m.do(restore[-2:-1])
    m.do(clean)
    equal(sorted(os.listdir(m.state)), STATE, "what is left")
    # The same with a store that cannot be opened: no dump, no import.
    m.daemon.stop()
    with open(os.path.join(m.state, "db", "certs.db"), "r+b") as f:
        f.write(bytes(range(1, 256)) * 32)
    m.do(restore, DATE="2026-11-22", fails=("mailkeyctl dump",
                                            "mailkeyctl import"))
    m.has(ALICE_KEY)
    ask(m.daemon, m.sink, "GET 0x" + ALICE_KEY)


def moving(place):
    """moving to another machine: certificates, queue and digests come along"""
    old = started(place, "old")
    old.add("alice.asc")
    message_id = waiting(old)
    done = new_id()
    with old.daemon.lmtp() as lmtp:
        lmtp.send(mail("GET bob", message_id=done))
    old.sink.answer_to(done)
    leave, arrive = procedures("MOVING TO ANOTHER MACHINE")
    old.do(leave)
    expect(DAVE in old.said, old.said)
    new = Machine(place, "new", 0)
    move_tar(old, new, "moving.tar")
    new.do(arrive)
    expect(re.search(r"certificates +1\b|\b1 certificates?", new.said),
           new.said)
    new.has(ALICE_KEY)
    new.daemon.ctl("queue", "try")
    new.sink.answer_to(message_id)
    # A mail that the old one has answered comes again.
    with new.daemon.lmtp() as lmtp:
        equal(lmtp.send(mail("GET bob", message_id=done))[0][0], 250, "code")
    ask(new.daemon, new.sink, "HELP")
    expect(not [d for d in new.sink.got if d.in_reply_to == done],
           "a second answer")


def installed(place):
    """A folder of programs, in which those of another version can be put."""
    folder = place / "programs"
    os.mkdir(folder)
    for name in os.listdir(B):
        if name.startswith("mailkey"):
            shutil.copy(os.path.join(B, name), folder)
    return folder


def version(machine, programs, folder):
    """What `make install` installs from now on."""
    machine.script("make", f'cp {programs}/mailkeyd {folder}/new && '
                   f'mv {folder}/new {folder}/mailkeyd && echo "make $*"')


def upgrade(place):
    """an upgrade, and the way back: what came meanwhile stays"""
    folder = installed(place)
    m = Machine(place, "m", 0, folder)
    version(m, B, folder)
    m.daemon.start()
    m.add("alice.asc")
    clean, up, _, back, _ = procedures("UPGRADING, AND GOING BACK")
    for name in ("bob.asc", "carol.asc"):   # one upgrade after the other
        m.do(clean)
        m.do(up)
        expect("make install" in m.said and ": good" in m.said, m.said)
        m.add(name)
    m.do(back)
    expect("make install" in m.said, m.said)
    m.has(ALICE_KEY, BOB, CAROL)
    m.do(clean)
    equal(sorted(os.listdir(m.state)), STATE, "what is left")


def upgrade_of_the_store(place):
    """the same with a version that writes another form of store"""
    folder = installed(place)
    m = Machine(place, "m", 0, folder)
    m.daemon.start()
    m.add("alice.asc")
    clean, up, anew, back, older = procedures("UPGRADING, AND GOING BACK")
    section = " ".join(re.sub(r"(?m)^\.Nm ", "", page()).split())
    for said in ("an older mailkeyd wrote this store in a form that is no "
                 "longer read", "a newer mailkeyd wrote this store"):
        expect(said in section, "the page does not say", said)
    version(m, B + "/next", folder)
    m.do(clean)
    m.do(up[:-1], fails=("mailkeyctl stats",))
    expect("an older mailkeyd wrote this store in a form that is no longer "
           "read" in m.said, m.said)
    m.do(anew)
    m.do(up[-1:])
    m.has(ALICE_KEY)
    m.add("bob.asc")
    # The old version does not take it.
    version(m, B, folder)
    m.do(back[:-1], fails=("mailkeyctl stats",))
    expect("a newer mailkeyd wrote this store" in m.said, m.said)
    m.daemon.start(ready=False)
    equal(m.daemon.process.wait(60 * SLOW), 78, "exit status of the old one")
    m.do(older)
    m.has(ALICE_KEY, BOB)
    ask(m.daemon, m.sink, "GET 0x" + BOB)


def gone(place):
    """somebody who wants to know what is stored of him, and his key gone"""
    m = started(place)
    m.add("alice.asc")
    m.add("carol.asc")
    [tell] = procedures("PERSONAL DATA")
    m.do(tell)
    expect(CAROL in m.said.replace(" ", ""), m.said)
    forget, anew = procedures("SOMEBODY WHO WANTS HIS KEY GONE")
    m.do(forget, FINGERPRINT=CAROL)
    expect("carol@example.org" in m.said and "no mail waits" in m.said, m.said)
    m.has(ALICE_KEY)
    m.do(anew, FINGERPRINT=CAROL)
    m.has(ALICE_KEY)
    answer = ask(m.daemon, m.sink, "ADD", key("carol.asc")).text()
    expect("removed" in answer and "Nothing was added" in answer, answer)
    m.daemon.stop()
    for path in glob.glob(m.state + "/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                expect(b"carol@example.org" not in f.read(), "it is in", path)


def mounts_of_our_own():
    """Mounts that end with this process; false where there can be none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (os.getuid() == 0 and libc.unshare(CLONE_NEWNS) == 0 and
            subprocess.run(["mount", "--make-rprivate", "/"],
                           stderr=subprocess.DEVNULL).returncode == 0)


def unmount(path):
    while subprocess.run(["umount", path], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL).returncode == 0:
        pass


def data(place):
    """an address is in those files that the page names, and in no other"""
    m = started(place)
    waiting(m, "GET nobody-has-this")
    m.daemon.stop()
    there = set()
    for path in glob.glob(m.state + "/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                if DAVE.encode() in f.read():
                    there.add(os.path.relpath(path, m.state))
    there = {name for name in there if not name.startswith("db/log.")}
    section = page().split(".Sh PERSONAL DATA\n")[1].split("\n.Sh ")[0]
    equal(there, set(re.findall(r"\bdb/(?:outbox|limit|expire)\.db", section)),
          "files with an address that was answered")


def full_disk(place):
    """a full disk: mails wait, and go on when there is room, or a larger one"""
    if not mounts_of_our_own():
        raise Skip("small file systems can be mounted by root only")
    place.at_close(lambda: unmount(m.state))    # behind the daemon's end
    m = Machine(place, "m", 0)
    os.mkdir(m.state)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m,mode=700",
                       "tmpfs", m.state], stderr=subprocess.DEVNULL
                      ).returncode != 0:
        raise Skip("no file system may be mounted here")
    m.daemon.start()
    m.add("bob.asc")
    look, larger = procedures("A FULL DISK")
    filler = os.path.join(m.state, "filler")

    def status():
        with m.daemon.lmtp() as lmtp:
            return lmtp.send(mail("ADD", key("alice.asc")))[0][0]

    def fill(leave):
        fs = os.statvfs(m.state)
        size = fs.f_bavail * fs.f_frsize - leave
        with open(filler, "ab") as f:
            for _ in range(size >> 20):
                f.write(bytes(1 << 20))
    fill(5 << 20)
    equal(status(), 452, "LMTP status of an ADD")
    ask(m.daemon, m.sink, "GET 0x" + BOB)
    fill(0)
    with m.daemon.lmtp() as lmtp:
        equal(lmtp.send(mail("HELP"))[0][0], 452, "LMTP status of a HELP")
    wait_until(lambda: re.search(r"outcome=later .*below free_space",
                                 m.daemon.log()), 20, "a line of the log")
    m.do(look)
    expect("filler" in m.said, m.said)
    os.unlink(filler)
    equal(status(), 250, "LMTP status when there is room again")
    # A larger one; the test has no second disk, but a directory.
    disk, fstab = (os.path.join(m.root, name) for name in ("disk", "fstab"))
    os.mkdir(disk)
    m.do(larger, **{
        "mount /dev/sdb1": f"mount --bind {disk}",
        "editor /etc/fstab": f"echo {disk} {m.state} none bind 0 0 >{fstab}",
        "mount /var/lib": f"mount -T {fstab} /var/lib"})
    expect(os.path.isdir(os.path.join(disk, "db")), "nothing on the new disk")
    m.add("carol.asc")
    expect(BOB in fingerprints_of(m.daemon), "what was on the old one")
    m.daemon.stop()


def all_of_them(_place):
    """each section of the page that has commands is executed by a test"""
    there = {title.splitlines()[0] for title in page().split("\n.Sh ")[1:]
             if re.search(r"(?m)^[#$] ", title)}
    with open(__file__, encoding="utf-8") as f:
        done = set(re.findall(r'procedures\("([A-Z, ]+)"\)', f.read()))
    equal(done, there, "sections")


def events(_place):
    """the page has every event of the log, and no other"""
    section = page().split(".Sh LOG\n")[1].split("\n.Sh ")[0]
    told = set()
    for line in re.findall(r"^\.It Cm (.*)$", section, re.M):
        told |= set(re.findall(r"\b([a-z_]{3,})\b", line))
    told -= {"answer", "sync", "sent", "deferred", "refused", "given_up"}
    there = set()
    for path in glob.glob(os.path.join(ROOT, "mailkeyd/*.c")):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        there |= set(re.findall(r"event=([a-z_]+)", text))
        # Those that go through a function which writes `event=%s`.
        there |= set(re.findall(r"\b(?:\w*say|run_log)\([^;{\"]*\"([a-z_]+)\"",
                                text))
        for call in re.findall(r"\b(?:\w*say|log_operator|log_line)\([^;]*;",
                               text):
            for pair in re.findall(r"\? \"([a-z_]+)\" : \"([a-z_]+)\"", call):
                if "outcome=%s" not in call:
                    there |= set(pair)
    there.discard("sync")
    equal(sorted(told), sorted(there), "events")


run(backup, moving, upgrade, upgrade_of_the_store, gone, data, full_disk,
    all_of_them, events)
