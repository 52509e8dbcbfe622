#!/usr/bin/env -S python3 -B
# What an operator does with mailkeyctl: the queue, a pause, counters for
# programs.

import os
import re
import signal
import socket
import subprocess
import threading
import time

from lib import (ALICE, B, ROOT, armor, ask, certificates, equal, expect, gpg,
                 key, mail, new_id, note, packets, run, smtp_to, wait_until)

from debian_ring import fingerprint


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ctl(daemon, *args, status=0):
    done = daemon.ctl(*args)
    equal(done.returncode, status,
          f"exit status of {args} ({done.stderr.decode()})")
    return done.stdout.decode()


def said(daemon, *args, status):
    """What it says on standard error."""
    done = daemon.ctl(*args)
    equal(done.returncode, status, f"exit status of {args}")
    return done.stderr.decode()


def table(daemon):
    lines = ctl(daemon, "stats", "--tsv").splitlines()
    for line in lines:
        expect(re.fullmatch(r"[a-z_]+\t[0-9]+", line), "a line", line)
    return {name: int(value) for name, value in
            (line.split("\t") for line in lines)}


def send(daemon, message, sender=ALICE):
    with daemon.lmtp() as lmtp:
        return lmtp.send(message, sender)[0]


def numbers(daemon):
    """Recipient -> number of the mails that wait."""
    return {line.split()[-1]: line.split()[0]
            for line in ctl(daemon, "queue").splitlines()
            if not line.startswith(" ")}


def queue(place):
    """mails that wait are listed, shown, tried now and dropped"""
    port = free_port()
    daemon = place.daemon(send=smtp_to(port, retry="1h"))
    daemon.start()
    equal(said(daemon, "queue", status=0), "mailkeyctl: no mail waits\n",
          "an empty queue")
    names = ["bob", "carol", "dave"]
    for name in names:
        sender = f"{name}@example.net"
        equal(send(daemon, mail("HELP", sender=sender), sender)[0], 250,
              "status")
    wait_until(lambda: ctl(daemon, "queue").count("tried 1 times") == 3, 30,
               "a first try of each")
    n = numbers(daemon)
    equal(sorted(n), [f"{name}@example.net" for name in names], "who waits")
    shown = ctl(daemon, "queue", "show", n["bob@example.net"])
    for part in ("to         <bob@example.net>\n", "from       <>\n",
                 "attempts   1\n", "last error ", "\r\nX-Loop: ",
                 "\r\nSubject: Your command, HELP\r\n"):
        expect(part in shown, f"no {part!r} in", shown)
    ctl(daemon, "queue", "drop", n["bob@example.net"])
    expect("event=queue_drop" in daemon.log(), "no line of the log")
    for args in (("show", n["bob@example.net"]), ("drop", "999")):
        expect("no mail of that number" in
               said(daemon, "queue", *args, status=69), args)
    for args in (("drop",), ("show", "0"), ("show", "1x"),
                 ("try", ""), ("eat", "1"), ("list", "1"), ("drop", "1", "2"),
                 ("show", "99999999999999999999")):
        expect("queue show NUMBER" in said(daemon, "queue", *args, status=64),
               args)
    sink = place.sink(port=port)
    ctl(daemon, "queue", "try", n["carol@example.net"])
    sink.wait(lambda got: len(got) == 1, 30, "the one that was tried")
    equal(sink.got[0].recipients, ["carol@example.net"], "recipients")
    expect("1 mails are due now" in said(daemon, "queue", "try", status=0),
           "how many were tried")
    expect("event=queue_try mails=1 outcome=done\n" in daemon.log(),
           "no line of the log", daemon.log())
    sink.wait(lambda got: len(got) == 2, 30, "the other one")
    equal(sink.got[1].recipients, ["dave@example.net"], "recipients")


def being_sent(place):
    """a mail that is being sent is neither dropped nor tried"""
    here, go_on = threading.Event(), threading.Event()

    def verdict(_recipient, _raw):
        here.set()
        go_on.wait(60)

    sink = place.sink(verdict=verdict)
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    try:
        send(daemon, mail("HELP"))
        expect(here.wait(30), "nothing was sent")
        number = numbers(daemon)[ALICE]
        for what in "drop", "try":
            equal(said(daemon, "queue", what, number, status=75),
                  "mailkeyctl: it is being sent just now\n", what)
        ctl(daemon, "queue", "show", number)
    finally:
        go_on.set()
    wait_until(lambda: not numbers(daemon), 30, "an empty queue")
    equal(len(sink.got), 1, "answers")
    expect("event=queue_drop" not in daemon.log(), daemon.log())


def queue_without_daemon(place):
    """a long queue, with no daemon running"""
    daemon = place.daemon(send=smtp_to(free_port(), retry="1h"))
    daemon.start()
    with daemon.lmtp() as lmtp:
        for i in range(230):
            equal(lmtp.send(mail("GET nobody-has-this"),
                            f"u{i}@example.net")[0][0], 250, "status")
    daemon.stop()
    n = numbers(daemon)
    equal(len(n), 230, "mails")
    ctl(daemon, "queue", "drop", n["u7@example.net"])
    expect("Subject: " in ctl(daemon, "queue", "show", n["u8@example.net"]),
           "no message")
    ctl(daemon, "queue", "try")
    equal(len(numbers(daemon)), 229, "mails")
    equal(table(daemon)["queue"], 229, "mails by stats")
    expect("no daemon runs" in said(daemon, "pause", status=69), "a pause")


def pause(place):
    """while it is paused the sources keep their mails"""
    sink = place.sink()
    folder = place / "Maildir"
    daemon = place.daemon(
        send=smtp_to(sink.port),
        extra=f'receive "drop" {{ type = maildir path = "{folder}" }}')
    daemon.start()
    equal(table(daemon)["paused"], 0, "paused")
    ctl(daemon, "pause")
    ctl(daemon, "pause")
    equal(send(daemon, mail("HELP"))[0], 451, "LMTP status")
    done = daemon.ctl("deliver", f"--sender={ALICE}", stdin=mail("HELP"))
    equal(done.returncode, 75, "deliver")
    dropped = new_id()
    path = os.path.join(folder, "new", "1.M1.test")
    with open(path, "wb") as f:
        f.write(f"Return-Path: <{ALICE}>\n".encode() +
                mail("HELP", message_id=dropped))
    equal(send(daemon, mail("HELP"))[0], 451, "LMTP status")
    expect(table(daemon)["paused"] > 0, "stats do not tell")
    expect("paused since" in ctl(daemon, "stats"), "stats do not tell")
    equal((sink.got, os.path.exists(path)), ([], True), "what was done")
    ctl(daemon, "resume")
    ctl(daemon, "resume")
    sink.answer_to(dropped)
    ask(daemon, sink, "HELP")
    equal([re.search(r"event=(\w+)", s).group(1)
           for s in daemon.log().splitlines()
           if "event=paused" in s or "event=resumed" in s],
          ["paused", "resumed"], "what the log says")
    ctl(daemon, "pause")
    daemon.stop()
    daemon.start()
    ask(daemon, sink, "HELP")


def quarantine(place):
    """mails that were set aside are listed, shown, tried again and dropped"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    expect("no mail is there" in said(daemon, "quarantine", status=0),
           "an empty quarantine")
    folder = os.path.join(daemon.state, "quarantine")
    message_id = new_id()
    for digit, sender in (("a", ALICE), ("b", "bob@example.net")):
        for suffix, text in (("eml", mail("HELP", message_id=message_id)),
                             ("why", b"signal 11\n"),
                             ("from", f"<{sender}>\n?\n".encode())):
            with open(os.path.join(folder, f"{digit * 64}.{suffix}"),
                      "wb") as f:
                f.write(text)
    listed = ctl(daemon, "quarantine")
    for part in ("a" * 12, "b" * 12, "from bob@example.net\n  signal 11\n"):
        expect(part in listed, f"no {part!r} in", listed)
    expect(message_id in ctl(daemon, "quarantine", "show", "bb"), "the mail")
    ctl(daemon, "quarantine", "drop", "a" * 64)
    expect("aaaa" not in ctl(daemon, "quarantine"), "it is still there")
    expect("no mail of that name" in
           said(daemon, "quarantine", "drop", "a", status=69), "what is gone")
    expect("write quarantine" in
           said(daemon, "quarantine", "show", status=64), "no name")
    ctl(daemon, "pause")
    expect("takes no mails" in
           said(daemon, "quarantine", "retry", "b", status=75), "a pause")
    ctl(daemon, "resume")
    ctl(daemon, "quarantine", "retry", "b")
    equal(sink.answer_to(message_id).recipients, ["bob@example.net"],
          "recipients")
    equal(os.listdir(folder), [], "files")


def quarantine_ends(place):
    """a mail that was set aside is removed after 30 days, and not before"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    daemon.stop()
    folder = os.path.join(daemon.state, "quarantine")
    for digit, days in (("a", 29), ("b", 31)):
        for suffix in ("eml", "why", "from"):
            path = os.path.join(folder, f"{digit * 64}.{suffix}")
            with open(path, "wb") as f:
                f.write(b"?\n")
            when = time.time() - days * 86400
            os.utime(path, (when, when))
    daemon.start()
    wait_until(lambda: len(os.listdir(folder)) < 6, 30, "one of them to go")
    wait_until(lambda: len(os.listdir(folder)) < 4, 30, "all of it to go")
    equal(sorted(os.listdir(folder)),
          ["a" * 64 + suffix for suffix in (".eml", ".from", ".why")], "files")


def digests_end(place):
    """what the store keeps for a time goes when that is over"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    message = mail("HELP", message_id=new_id())
    for _ in range(2):
        equal(send(daemon, message)[0], 250, "status")
    sink.wait(lambda got: got, 30, "an answer")
    daemon.stop()
    equal(len(sink.got), 1, "answers")
    # The end of everything is moved to 1970; a line of a key, one of a value.
    path = os.path.join(daemon.state, "db/expire.db")
    head, body = subprocess.run(
        ["db_dump", path], stdout=subprocess.PIPE, check=True
    ).stdout.decode().split("HEADER=END\n")
    body, n = re.subn(r"(?m)^ [0-9a-f]{16}([0-9a-f]+\n .*)$",
                      rf" {'0' * 16}\1", body)
    expect(n >= 2, "only so many ends:", n)
    os.remove(path)
    subprocess.run(["db_load", path], check=True,
                   input=(head + "HEADER=END\n" + body).encode())
    daemon.start()

    def answered_again():
        equal(send(daemon, message)[0], 250, "status")
        return len(sink.got) > 1

    wait_until(answered_again, 30, "a digest that is known no more")


def stats(place):
    """counters come as names and numbers"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    ask(daemon, sink, "HELP")
    wait_until(lambda: table(daemon)["sent"] == 1, 20, "the count")
    t = table(daemon)
    for name, value in (("certificates", 0), ("mails", 1), ("answered", 1),
                        ("silent", 0), ("queue", 0), ("in_hand", 0),
                        ("parser_deaths", 0), ("commits", 1)):
        equal(t[name], value, name)
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "mailkeyd",
                           "mailkeyctl.8"), encoding="utf-8") as f:
        manual = set(re.findall(r"^\.It Li ([a-z_]+)$", f.read(), re.M))
    equal(set(t), manual, "names, and those that mailkeyctl(8) promises")
    daemon.stop()
    expect("certificates" in table(daemon), "without a daemon")
    expect("mails" not in table(daemon), "counters of a daemon that is gone")


def helps(_place):
    """--help has every option of the manual, in lines that fit a terminal"""
    for program in ("mailkeyd", "mailkeyctl"):
        with open(f"{ROOT}/mailkeyd/{program}.8", encoding="utf-8") as f:
            synopsis = f.read().split(".Sh SYNOPSIS\n")[1].split("\n.Sh ")[0]
        said = subprocess.run([f"{B}/{program}", "--help"], check=True,
                              stdout=subprocess.PIPE).stdout.decode()
        options = set(re.findall(r"\bFl (\S+)", synopsis))
        expect(len(options) > 4, "options of", program, options)
        for option in options:
            expect(re.search(rf"[ \[]-(?:\w*{option}\w*\]|{option}\b)", said),
                   f"-{option} of {program} is not in", said)
        equal([line for line in said.splitlines() if len(line) > 79], [],
              "long lines")


class Adds:
    """ADDs by mail, one after the other, until told to end."""

    def __init__(self, daemon, certificates):
        self.daemon, self.work = daemon, certificates
        self.taken = []             # acknowledged
        self.slowest = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.daemon.lmtp() as lmtp:
            for c in self.work:
                if self.stopping:
                    return
                begin = time.monotonic()
                code, _ = lmtp.send(mail("ADD", armor(c)))[0]
                if code == 250:
                    self.taken.append(fingerprint(c))
                self.slowest = max(self.slowest, time.monotonic() - begin)

    def end(self):
        self.stopping = True
        self.thread.join()


def backup(place):
    """a backup made under load is a state directory that a daemon takes"""
    ring = "/usr/share/keyrings/debian-maintainers.gpg"
    with open(ring, "rb") as f:
        some = [c for c in certificates(f.read()) if len(c) < 20000][:200]
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    ctl(daemon, "import", place.write("first", b"".join(some[:100])))
    adds = Adds(daemon, some[100:])
    try:
        wait_until(lambda: len(adds.taken) >= 5, 30, "some ADDs")
        before = list(adds.taken)
        ctl(daemon, "backup", place / "copy")
        after = len(adds.taken)
    finally:
        adds.end()
    note(f"{after - len(before)} ADDs meanwhile, the slowest of all took "
         f"{adds.slowest:.2f} s")
    expect("is there already" in
           said(daemon, "backup", place / "copy", status=73), "a second one")
    equal(os.listdir(place / "copy"), ["db"], "what is in it")
    equal(os.stat(place / "copy").st_mode & 0o777, 0o700, "its mode")
    daemon.stop()
    # The same without a daemon.
    ctl(daemon, "backup", place / "still")
    for name, least in (("copy", before), ("still", adds.taken)):
        restored = place.daemon(name=f"restored-{name}",
                                send=smtp_to(sink.port))
        os.rename(place / name, restored.state)
        restored.start()
        found = {fingerprint(c) for c in certificates(
            restored.ctl("dump").stdout)}
        expect(set(least) <= found, "acknowledged, and not in", name)
        expect(len(found) >= 100 + len(least), "certificates", len(found))
        ask(restored, sink, "INDEX 0x" + before[0])


def verify(place):
    """verify says what does not agree, with and without a daemon"""
    daemon = place.daemon()
    daemon.start()
    send(daemon, mail("ADD", key("alice.asc")))
    send(daemon, mail("ADD", key("bob.asc")))
    equal(ctl(daemon, "verify"), "", "verify with a daemon")
    expect("event=verify wrong=0" in daemon.log(), "no line of the log")
    daemon.stop()
    equal(ctl(daemon, "verify"), "", "verify without a daemon")
    # Three addresses go, by tools that know nothing of the certificates.
    path = os.path.join(daemon.state, "db/email.db")
    text = subprocess.run(["db_dump", path], stdout=subprocess.PIPE,
                          check=True).stdout
    head, _ = text.split(b"HEADER=END\n")
    os.remove(path)
    subprocess.run(["db_load", path], check=True,
                   input=head + b"HEADER=END\nDATA=END\n")
    for how in (daemon.start, daemon.stop):
        how()
        line = said(daemon, "verify", status=65)
        expect("3 records do not agree" in line, "it says", line)
    equal(sorted(os.listdir(daemon.state)), ["db", "gnupg", "quarantine"],
          "what is there")


def edit(daemon, old, new):
    with open(daemon.conf, encoding="utf-8") as f:
        text = f.read()
    expect(old in text, old, "is not in the configuration")
    with open(daemon.conf, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


def reloading(place):
    """the configuration is read again; a wrong one changes nothing"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port),
                          limits={"message_size": "64K",
                                  "header_size": "8K", "field_size": "4K"})
    daemon.start()
    padded = key("alice.asc") + b"text behind it\n" * 2000

    def size_allowed():
        return "over a limit" not in ask(daemon, sink, "ADD", padded).text()

    expect(size_allowed(), "30 KB are too much")
    # The parser learns of a limit, a limit of the core, and a peer.
    edit(daemon, "message_size = 64K", "message_size = 16K")
    with open(daemon.conf, "a", encoding="utf-8") as f:
        f.write('peer "other" { address = "keys@example.com" }\n')
    equal(ctl(daemon, "reload"), "", "output")
    expect(not size_allowed(), "the new limit is not in force")
    expect("other" in ctl(daemon, "sync"), "the peer is not known")
    # A mistake.
    edit(daemon, "message_size = 16K", "mesage_size = 16K")
    line = said(daemon, "reload", status=78)
    expect(f'{daemon.conf}:' in line and
           'unknown option "mesage_size"; mailkeyd.conf(5) lists what there is'
           in line, line)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "all stays as it was" in daemon.log(), 20,
               "a line of the log")
    expect(r'error="' + daemon.conf in daemon.log() and
           r': unknown option \"mesage_size\"; mailkeyd.conf(5) lists what '
           'there is"\n' in daemon.log(), "no reason in it", daemon.log())
    edit(daemon, "mesage_size = 16K", "message_size = 64K")
    edit(daemon, "{", "{{")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log().count("all stays as it was") == 2, 20,
               "another one")
    edit(daemon, "{{", "{")
    expect(not size_allowed(), "the old limit is not in force")
    expect("other" in ctl(daemon, "sync"), "the peer is gone")
    # What needs a new start, and SIGHUP.
    edit(daemon, "cache = 16M", "cache = 17M")
    edit(daemon, "mode = 0666", "mode = 0600")
    edit(daemon, 'peer "other" { address = "keys@example.com" }\n', "")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'restart_for="cache, receive"' in daemon.log(), 20,
               "a word on what needs a new start")
    expect(size_allowed(), "the limit is still there")
    expect("no peer is configured" in said(daemon, "sync", status=69),
           "the peer is still there")
    expect("only a new start changes: cache, receive"
           in said(daemon, "reload", status=0), "no word on it")
    equal(table(daemon)["parser_deaths"], 0, "parsers that died")
    daemon.stop()
    expect("no daemon runs" in said(daemon, "reload", status=69), "a reload")


def caps_again(place):
    """how much is kept of a certificate is read again"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), limits={"user_ids": 1})
    daemon.start()
    whole = gpg(place, "--dearmor", stdin=key("alice.asc"))
    spans = [whole[a:b] for _, a, b in packets(whole)]
    equal([tag for tag, _, _ in packets(whole)][:5], [6, 13, 2, 13, 2],
          "packets of alice.asc")

    def user_ids():
        ask(daemon, sink, "ADD", armor(b"".join(spans[:1] + spans[3:])))
        stored = daemon.ctl("dump").stdout
        return [tag for tag, _, _ in packets(stored)].count(13)

    # The second user ID finds the first one there.
    ask(daemon, sink, "ADD", armor(b"".join(spans[:3] + spans[5:])))
    equal(user_ids(), 1, "user IDs")
    edit(daemon, "user_ids = 1", "user_ids = 2")
    ctl(daemon, "reload")
    equal(user_ids(), 2, "user IDs")


def reloading_under_load(place):
    """mails do not notice that limits and peers change"""
    ring = "/usr/share/keyrings/debian-maintainers.gpg"
    with open(ring, "rb") as f:
        some = [c for c in certificates(f.read()) if len(c) < 20000][:150]
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port),
                          limits={"message_size": "1M"}, extra="# peer")
    daemon.start()
    adds = Adds(daemon, some)
    try:
        for i in range(10):
            edit(daemon, "message_size = 1M", "message_size = 2M")
            edit(daemon, "# peer", 'peer "p" { address = "k@example.com" }')
            ctl(daemon, "reload")
            edit(daemon, "message_size = 2M", "message_size = 1M")
            edit(daemon, 'peer "p" { address = "k@example.com" }', "# peer")
            ctl(daemon, "reload")
    finally:
        adds.thread.join()
    equal(len(adds.taken), len(some), "ADDs")
    t = table(daemon)
    equal((t["parser_deaths"], t["later"]), (0, 0), "deaths, mails put off")
    note(f"the slowest of {len(some)} ADDs took {adds.slowest:.2f} s")


run(reloading, caps_again, reloading_under_load, backup, verify, queue,
    being_sent, queue_without_daemon, pause, quarantine, quarantine_ends,
    digests_end, stats, helps)
