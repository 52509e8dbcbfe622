#!/usr/bin/env -S python3 -B
# A Maildir as the way in: what is taken, what is left alone, and that every
# mail is answered once, whatever happens to the folder or to the daemon.

import itertools
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter

from lib import (ADDRESS, ALICE, SLOW, Skip, ask, equal, expect, mail, new_id,
                 note, processor_seconds, run, smtp_to, wait_until)

MANY = 40000 if os.environ.get("FULL") else 4000
KILLS = 6
_numbers = itertools.count(1)


def start(place, ready=True, more="", **options):
    sink = place.sink()
    folder = place / "Maildir"
    daemon = place.daemon(
        send=smtp_to(sink.port),
        extra=f'receive "drop" {{ type = maildir path = "{folder}" }}'
              f"\n{more}", **options)
    if ready:
        daemon.start()
    return daemon, sink, folder


def deliver(folder, message, sender=ALICE, headers=()):
    """As an MTA does: written to tmp/, moved to new/; its name."""
    name = f"{int(time.time())}.M{next(_numbers)}.test"
    head = [f"Return-Path: <{sender}>"] if sender is not None else []
    head += [f"Delivered-To: {ADDRESS}", *headers]
    with open(os.path.join(folder, "tmp", name), "wb") as f:
        f.write("".join(h + "\n" for h in head).encode() + message)
    os.rename(os.path.join(folder, "tmp", name),
              os.path.join(folder, "new", name))
    return name


def names(folder):
    return sorted(os.listdir(os.path.join(folder, "new")))


def parser_of(daemon):
    """The process id of its parser, which is not one of the jailed ones."""
    for pid in daemon.helpers():
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                status = f.read()
        except OSError:
            continue
        if ("Name:\tmailkeyd-parser\n" in status and
                f"PPid:\t{daemon.process.pid}\n" in status):
            return pid
    return None


def is_empty(folder, seconds=20):
    wait_until(lambda: not names(folder), seconds, f"{folder}/new to be empty")


def envelope(place):
    """the envelope is in the header, and the file goes after the commit"""
    daemon, sink, folder = start(place)
    bob = "bob@example.net"
    first = new_id()
    deliver(folder, mail("HELP", message_id=first), sender=bob)
    equal(sink.answer_to(first).recipients, [bob], "recipients")
    is_empty(folder)
    # Below the topmost Received a Return-Path is the sender's invention.
    deliver(folder, mail("HELP", message_id=new_id()), sender=None, headers=[
        "Received: from x by y; Sun, 01 Mar 2026 12:00:00 +0000",
        f"Return-Path: <{bob}>"])
    deliver(folder, mail("HELP"), sender="")
    is_empty(folder)
    equal(daemon.log().count('note="null sender"'), 2, "null senders")
    # The second delivery of the first mail is only acknowledged.
    deliver(folder, mail("HELP", message_id=first), sender=bob)
    is_empty(folder)
    ask(daemon, sink, "HELP")
    equal(len([d for d in sink.got if d.in_reply_to == first]), 1, "answers")


def at_start(place):
    """what lies there at the start is read, the oldest first"""
    daemon, sink, folder = start(place, ready=False)
    for part in ("", "tmp", "new", "cur"):
        os.mkdir(os.path.join(folder, part))
    ids = [new_id() for _ in range(30)]
    for message_id in ids:
        deliver(folder, mail("HELP", message_id=message_id))
    seen = os.path.join(folder, "cur", "1.M1.test:2,S")
    with open(seen, "wb") as f:
        f.write(b"Return-Path: <x@example.net>\n" + mail("HELP"))
    daemon.start()
    for message_id in ids:
        sink.answer_to(message_id)
    is_empty(folder)
    expect(os.path.exists(seen), "a mail in cur/ was taken")


def written_in_place(place):
    """a file that is still being written is waited for"""
    _, sink, folder = start(place)
    message_id = new_id()
    path = os.path.join(folder, "new", "slow")
    with open(path, "wb") as f:
        f.write(f"Return-Path: <{ALICE}>\n".encode())
        f.flush()
        time.sleep(0.3)
        f.write(mail("HELP", message_id=message_id))
    sink.answer_to(message_id)
    is_empty(folder)


def odd_files(place):
    """what is no mail is left alone, with one line of the log"""
    daemon, sink, folder = start(place, limits={"message_size": "64K"})
    new = os.path.join(folder, "new")
    secret = place.write("secret", "Return-Path: <x@example.net>\n\nsecret\n")
    os.symlink(secret, os.path.join(new, "link"))
    os.symlink(os.path.join(new, "nowhere"), os.path.join(new, "dangling"))
    os.mkfifo(os.path.join(new, "fifo"))
    os.mkdir(os.path.join(new, "directory"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(new, "socket"))
    with open(os.path.join(new, ".hidden"), "w"):
        pass
    with open(os.path.join(new, "empty"), "w"):
        pass
    large = new_id()
    deliver(folder, mail("ADD", b"x" * 70 + b"\n" * 70000, message_id=large))
    expect("over a limit" in sink.answer_to(large).text(), "no word on it")
    left = [".hidden", "dangling", "directory", "fifo", "link", "socket"]
    wait_until(lambda: names(folder) == left, 20, "the mails to go")
    before = processor_seconds(daemon)
    for _ in range(5):
        message_id = new_id()
        deliver(folder, mail("HELP", message_id=message_id))
        sink.answer_to(message_id)
        time.sleep(0.2)
    used = processor_seconds(daemon) - before
    expect(used < 0.5 * SLOW, f"it used {used} s for five mails")
    said = Counter(line.split("file=")[1].split()[0]
                   for line in daemon.log().splitlines()
                   if "event=no_mail" in line)
    equal(said, Counter(left[1:]), "what the log says")


def vanishing(place):
    """new/ may go and come back"""
    daemon, sink, folder = start(place)
    ask(daemon, sink, "HELP")
    away = place / "away"
    os.rename(os.path.join(folder, "new"), away)
    wait_until(lambda: "event=gone" in daemon.log(), 20, "a word in the log")
    # The one that is away is not worked in.
    stray = os.path.join(away, "stray")
    with open(stray, "wb") as f:
        f.write(f"Return-Path: <{ALICE}>\n".encode() + mail("HELP"))
    os.mkdir(os.path.join(folder, "new"))
    message_id = new_id()
    deliver(folder, mail("HELP", message_id=message_id))
    sink.answer_to(message_id)
    expect("event=back" in daemon.log(), "no word that it is back")
    expect(os.path.exists(stray), "it worked where it should not")
    shutil.rmtree(folder)
    ask(daemon, sink, "HELP", sender="carol@example.net")
    for part in ("", "tmp", "cur", "new"):
        os.mkdir(os.path.join(folder, part))
    message_id = new_id()
    deliver(folder, mail("HELP", message_id=message_id))
    sink.answer_to(message_id)


def many(place):
    """a crowd of one's mails at once: all are taken, others in between"""
    elsewhere = place / "other"
    daemon, sink, folder = start(
        place, limits={"replies_per_hour": 20}, more=
        f'receive "other" {{ type = maildir path = "{elsewhere}" }}')
    crowd = place / "crowd"
    os.mkdir(crowd)
    for i in range(MANY):
        with open(os.path.join(crowd, f"{i:06}"), "wb") as f:
            f.write(f"Return-Path: <{ALICE}>\n".encode() + mail(
                "GET nobody-has-this", message_id=f"<{i}@crowd.example.net>"))
    begin = time.monotonic()
    for name in os.listdir(crowd):
        os.rename(os.path.join(crowd, name),
                  os.path.join(folder, "new", name))
    left, waits, others = [], {}, ["by LMTP", "elsewhere", "beside them"]

    def waited(way):
        asked, message_id, bob = time.monotonic(), new_id(), "bob@example.org"
        message = mail("HELP", message_id=message_id, sender=bob)
        if way == others[0]:
            with daemon.lmtp() as lmtp:
                lmtp.send(message, bob)
        else:
            deliver(folder if way == others[2] else elsewhere, message, bob)
        sink.answer_to(message_id)
        waits[way] = time.monotonic() - asked
        left.append(len(names(folder)))

    threads = [threading.Thread(target=waited, args=[way]) for way in others]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with open(f"/proc/{daemon.process.pid}/status") as f:
        peak = int(next(s for s in f if s.startswith("VmHWM:")).split()[1])
    is_empty(folder, 15 + MANY / 100)
    note(f"{MANY} mails in {time.monotonic() - begin:.1f} s; others waited " +
         ", ".join(f"{s:.2f} s {way}" for way, s in waits.items()),
         f"with {left} of them left; {peak} KB")
    equal(len(waits), len(others), "others that were answered")
    # Each was answered long before all of the crowd had had their turn.
    expect(min(left) > MANY / 4, "left of the crowd", left)
    equal(len(sink.got), 20 + len(others), "answers")


def killed(place):
    """SIGKILL again and again: each mail is answered once"""
    daemon, sink, folder = start(place)
    ids = []
    for i in range(KILLS):
        for _ in range(40):
            ids.append(new_id())
            deliver(folder, mail("HELP", message_id=ids[-1]),
                    sender=f"u{len(ids)}@example.net")
        time.sleep(0.03 * i)
        daemon.kill()
        daemon.start()
    is_empty(folder)
    for message_id in ids:
        sink.answer_to(message_id)
    copies = {}
    for d in sink.got:
        copies.setdefault(d.in_reply_to, set()).add(d.message_id)
    for message_id in ids:
        equal(len(copies[message_id]), 1, f"answers to {message_id}")
    note(f"{len(ids)} mails, {len(sink.got)} answers, {KILLS} kills")


def permissions(place):
    """a folder that cannot be worked in is an error at the start"""
    if os.geteuid() != 0:
        os.makedirs(place / "Maildir/new")
        os.chmod(place / "Maildir/new", 0o500)
        daemon, _, folder = start(place, ready=False)
    else:
        # As another user: root may do everything.
        daemon, _, folder = start(place, ready=False, user=65534)
        os.chmod(place.path, 0o755)
        os.mkdir(daemon.state)
        for path in (daemon.dir, daemon.state):
            os.chown(path, 65534, 65534)
        os.makedirs(os.path.join(folder, "new"))
        os.mkdir(os.path.join(folder, "tmp"))
        os.mkdir(os.path.join(folder, "cur"))
    daemon.start(ready=False)
    equal(daemon.process.wait(30 * SLOW), 78, "exit status")
    expect(f"cannot read and remove mails in {folder}/new: Permission denied; "
           "give it to the user that runs mailkeyd" in daemon.log(),
           daemon.log())


def anybody(place):
    """a folder that anybody may write to is an error at the start"""
    daemon, _, folder = start(place, ready=False)
    new = os.path.join(folder, "new")
    os.makedirs(new)
    os.chmod(new, 0o777)
    daemon.start(ready=False)
    equal(daemon.process.wait(30 * SLOW), 78, "exit status")
    expect(f"anybody may write to {new}; run chmod o-w {new}" in daemon.log(),
           daemon.log())
    os.chmod(new, 0o770)
    daemon.start()


def replaced(place):
    """a file that takes the place of one in hand is a mail of its own"""
    daemon, sink, folder = start(place)
    ask(daemon, sink, "HELP")
    parser = parser_of(daemon)
    first, second = new_id(), new_id()
    for part in ("", "/tmp", "/new"):
        os.mkdir(folder + "/later" + part)
    os.kill(parser, signal.SIGSTOP)
    name = deliver(folder, mail("HELP", message_id=first))
    wait_until(lambda: b"\nin_hand\t1\n" in
               daemon.ctl("stats", "--tsv").stdout, 20, "the mail in hand")
    other = deliver(folder + "/later", mail("HELP", message_id=second))
    os.rename(os.path.join(folder, "later/new", other),
              os.path.join(folder, "new", name))
    os.kill(parser, signal.SIGCONT)
    sink.answer_to(first)
    sink.answer_to(second)
    is_empty(folder)


def not_to_be_removed(place):
    """a mail whose file cannot be removed is answered once, over a restart too"""
    if os.geteuid() != 0:
        raise Skip("root is needed to become another user")
    user = 64322
    daemon, sink, folder = start(place, ready=False, user=user)
    os.chmod(place.path, 0o755)
    os.chown(daemon.dir, user, user)
    new = os.path.join(folder, "new")
    for path in (folder, folder + "/tmp", folder + "/cur", new):
        os.mkdir(path)
        os.chown(path, 0, user)
        os.chmod(path, 0o1770)      # what is there its owner may remove
    daemon.start()
    # Without Message-ID and Received only its file tells a repeat.
    deliver(folder, f"From: {ALICE}\nSubject: GET nobody\n\n".encode())
    wait_until(lambda: "event=not_removed" in daemon.log(), 20, "a line")
    time.sleep(2.5)     # tries in the meantime
    equal(daemon.log().count("event=not_removed"), 1, "lines of the log")
    daemon.stop()
    daemon.start()
    wait_until(lambda: "note=repeat" in daemon.log(), 20, "a repeat")
    os.chmod(new, 0o770)
    is_empty(folder)
    ask(daemon, sink, "HELP")
    equal(len([d for d in sink.got if "nobody" in d.subject]), 1, "answers")


run(envelope, at_start, written_in_place, odd_files, vanishing, many, killed,
    permissions, anybody, replaced, not_to_be_removed)
