#!/usr/bin/env -S python3 -B
# What goes wrong around the daemon: helpers that are killed, stopped, broken
# or missing; a mail that kills its reader; a pipe transport in trouble; and
# what three hundred mails leave behind in its process.

import glob
import os
import re
import resource
import signal
import stat
import subprocess
import threading
import time
from collections import defaultdict

from lib import (ADDRESS, ALICE, B, SAN, SLOW, Lmtp, Skip, armor, ask,
                 certificates, equal, expect, key, mail, new_id, note, run,
                 smtp_to, wait_until)

from debian_ring import dearmored, fingerprint, key_for_gpg

IMPATIENT = f"helper_timeout = {5 * SLOW}"
RING = "/usr/share/keyrings/debian-maintainers.gpg"
PARSER, VERIFIER, CHECKER, SENDER = (
    "mailkeyd-parser", "mailkeyd-verifier", "mailkeyd-checker",
    "mailkeyd-sender")


def small_certificates(count):
    """Distinct certificates, the smallest first."""
    with open(RING, "rb") as f:
        found = {fingerprint(c): c for c in certificates(f.read())}
    return sorted(found.items(), key=lambda pair: len(pair[1]))[:count]


def daemon_and_sink(place, extra="", **options):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), extra=extra, **options)
    daemon.start()
    return daemon, sink


def children(daemon, name):
    """The process ids of the daemon's own helpers of that name."""
    found = []
    for pid in daemon.helpers():
        try:
            with open(f"/proc/{pid}/stat") as f:
                comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        # The parser's children, too, are called mailkeyd-parser.
        if comm == name[:15] and int(rest.split()[1]) == daemon.process.pid:
            found.append(pid)
    return sorted(found)


def child(daemon, name, other_than=0):
    """The one of that name, when it is another than that."""
    pids = [p for p in children(daemon, name) if p != other_than]
    return pids[0] if pids else None


def submit(daemon, message):
    """Sends a mail from a thread of its own; call the result for its code."""
    answer = []

    def client():
        try:
            with Lmtp(daemon.lmtp_path, timeout=100) as lmtp:
                answer.append(lmtp.send(message)[0][0])
        except OSError as why:
            answer.append(why)
        code.seconds = time.monotonic() - began

    def code():
        thread.join()
        return answer[0]

    began = time.monotonic()
    thread = threading.Thread(target=client)
    thread.start()
    code.answer = answer
    return code


def until_taken(daemon, message):
    """Sends a mail as an MTA does: again, until it is taken."""
    def taken():
        with daemon.lmtp() as lmtp:
            code = lmtp.send(message)[0][0]
        expect(code in (250, 451), "status", code)
        return code == 250
    wait_until(taken, 30, "a 250")


def has(daemon, fpr):
    """Whether the store has a certificate."""
    return daemon.ctl("get", "0x" + fpr).returncode == 0


# ---- helpers ----------------------------------------------------------------

class Stream:
    """Clients that mail ADDs, each again until its 250."""

    def __init__(self, daemon, work):
        self.daemon, self.work = daemon, list(work)
        self.lock = threading.Lock()
        self.sent = {}              # Message-ID -> fingerprint
        self.failures = []
        self.threads = [threading.Thread(target=self.client)
                        for _ in range(4)]
        for t in self.threads:
            t.start()

    def client(self):
        try:
            while True:
                with self.lock:
                    if not self.work:
                        return
                    fpr, certificate = self.work.pop()
                message_id = new_id()
                until_taken(self.daemon, mail("ADD", armor(certificate),
                                              message_id=message_id))
                with self.lock:
                    self.sent[message_id] = fpr
                time.sleep(0.02)
        except Exception as why:
            self.failures.append(why)

    def join(self):
        for t in self.threads:
            t.join()
        expect(not self.failures, *self.failures[:3])


def killed(place):
    """SIGKILL of every helper while mails flow: one answer for each mail"""
    work = small_certificates(160)
    daemon, sink = daemon_and_sink(place)
    stream = Stream(daemon, work)
    kills = defaultdict(int)
    while any(t.is_alive() for t in stream.threads):
        for name in (PARSER, VERIFIER, CHECKER, SENDER):
            pid = child(daemon, name)
            if pid and kills[name] < 4:
                os.kill(pid, signal.SIGKILL)
                kills[name] += 1
            time.sleep(0.15)
    stream.join()
    note(f"{len(stream.sent)} mails,", dict(kills))
    expect(min(kills.values()) >= 2, "too few kills:", dict(kills))
    equal(len(stream.sent), len(work), "mails taken")
    sink.wait(lambda got: {d.in_reply_to for d in got} >= set(stream.sent),
              60, "all answers")
    wait_until(lambda: b"@" not in daemon.ctl("queue").stdout, 60,
               "an empty queue")
    answers = defaultdict(set)
    for d in sink.got:
        answers[d.in_reply_to].add(d.message_id)
    equal(set(answers), set(stream.sent), "mails answered")
    equal([i for i, ids in answers.items() if len(ids) > 1], [],
          "mails with two answers")
    for message_id, fpr in stream.sent.items():
        expect(has(daemon, fpr), "acknowledged, not stored:", fpr)
    log = daemon.log()
    for name, count in kills.items():
        equal(len(re.findall(f"helper={name} pid=[0-9]+ event=died", log)),
              count, f"deaths of {name} in the log")
    ask(daemon, sink, "HELP")


def killed_at_work(place):
    """a helper killed with a mail in hand: the next one takes the mail over"""
    daemon, sink = daemon_and_sink(place)
    keys = {PARSER: key("alice.asc"), VERIFIER: key("bob.asc"),
            CHECKER: key_for_gpg(), SENDER: key("carol.asc")}
    for name, block in keys.items():
        pids = children(daemon, name)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        message_id = new_id()
        code = submit(daemon, mail("ADD", block, message_id=message_id))
        time.sleep(0.3 * SLOW)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        equal(code(), 250, f"status with {name} killed")
        answer = sink.answer_to(message_id)
        expect("new" in answer.text().lower(), name, answer.text())
    equal(len(sink.got), len(keys), "answers")


def killed_unnoticed(place):
    """mails that come with the news of a helper's death wait for the next"""
    daemon, sink = daemon_and_sink(place)
    ids = []
    for name in (PARSER, VERIFIER):
        for round_ in range(2):
            with daemon.lmtp() as first, daemon.lmtp() as second:
                pid = wait_until(lambda: child(daemon, name), 20, name)
                codes = []
                daemon.process.send_signal(signal.SIGSTOP)
                # All of it is there when the daemon looks again.
                for lmtp in (first, second):
                    ids.append(new_id())
                    lmtp.raw(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{ADDRESS}>\r\n"
                             "DATA\r\n".encode())
                    lmtp.raw(mail(
                        "ADD", key(f"debian-{'rsa2048' if round_ else 'utf8'}"
                                   ".asc"), message_id=ids[-1])
                             .replace(b"\n", b"\r\n") + b"\r\n.\r\n")
                os.kill(pid, signal.SIGKILL)
                daemon.process.send_signal(signal.SIGCONT)
                for lmtp in (first, second):
                    codes.append([lmtp.reply()[0] for _ in range(4)])
                equal(codes, [[250, 250, 354, 250]] * 2, f"{name}: statuses")
            wait_until(lambda: child(daemon, name, pid), 20, "the next one")
    for i in ids:
        sink.answer_to(i)
    equal(len(sink.got), len(ids), "answers")


def restarts(place):
    """what dies is started again, ever later; log and stats say so"""
    folder = place / "bin"
    os.mkdir(folder)
    for name in os.listdir(B):
        if name.startswith("mailkey") and name != CHECKER:
            os.symlink(os.path.join(B, name), os.path.join(folder, name))
    checker = os.path.join(folder, CHECKER)
    place.write(f"bin/{CHECKER}", "#!/bin/sh\nexit 3\n")
    os.chmod(checker, 0o755)
    daemon, sink = daemon_and_sink(place, libexec=folder)

    def died(name):
        return [float(s) for s in re.findall(
            f"helper={name} pid=[0-9]+ event=died .*restart_in=([0-9.]+)",
            daemon.log())]

    def counted(name):
        table = dict(line.split("\t") for line in daemon.ctl(
            "stats", "--tsv").stdout.decode().splitlines())
        return int(table[name.split("-")[1] + "_deaths"])

    for name in (PARSER, VERIFIER, SENDER):
        equal(counted(name), 0, f"deaths of {name}")
        for n in (1, 2):
            pid = wait_until(lambda: child(daemon, name), 20, name)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(died(name)) == n, 20, "a line of the log")
            wait_until(lambda: len(children(daemon, name)) ==
                       (2 if name == SENDER else 1), 20, "the next one")
        equal(counted(name), 2, f"deaths of {name}")
    equal(died(PARSER), [0.1, 0.2], "back-off of the parser")
    equal(len(re.findall(r' signal=9 .* note="out of memory\?"\n',
                         daemon.log())), 6, "who may have killed them")
    wait_until(lambda: len(died(CHECKER)) >= 5, 20, "deaths of the checker")
    equal(died(CHECKER)[:5], [0.1, 0.2, 0.4, 0.8, 1.6],
          "back-off of the checker")
    expect(counted(CHECKER) >= 5, "deaths of the checker in stats")
    os.remove(checker)
    os.symlink(os.path.join(B, CHECKER), checker)
    wait_until(lambda: child(daemon, CHECKER), 20, "the next checker")
    expect("new" in ask(daemon, sink, "ADD", key_for_gpg()).text().lower(),
           "the key was not taken")


# Tells of each run that it failed; a message begins with its type and status.
FAILING_CHECKER = """#!/usr/bin/env python3
import socket, struct
sock = socket.socket(fileno=3)
while message := sock.recv(65536):
    if message[:4] == struct.pack("I", 2):
        message = bytearray(message)
        message[:8] = struct.pack("II", 3, 1)
        message[32:36] = bytes(4)   # no descriptors
        sock.send(message)
"""


def broken_checker(place):
    """a checker that dies every time is nobody's fault: try later"""
    folder = place / "bin"
    os.mkdir(folder)
    for name in os.listdir(B):
        if name.startswith("mailkey"):
            os.symlink(os.path.join(B, name), os.path.join(folder, name))
    checker = os.path.join(folder, CHECKER)
    os.remove(checker)
    place.write(f"bin/{CHECKER}", "#!/bin/sh\nexit 1\n")
    os.chmod(checker, 0o755)
    daemon, sink = daemon_and_sink(place, IMPATIENT, libexec=folder)
    message_id = new_id()
    message = mail("ADD", key_for_gpg(), message_id=message_id)
    code = submit(daemon, message)
    done = daemon.ctl("import", place.write("odd.asc", key_for_gpg()))
    equal(done.returncode, 75, "exit status of import")
    equal(code(), 451, "ADD")
    ask(daemon, sink, "ADD", key("alice.asc"))
    os.remove(checker)
    os.symlink(os.path.join(B, CHECKER), checker)
    until_taken(daemon, message)
    expect("new" in sink.answer_to(message_id).text().lower(),
           "the key was not taken")


def broken_verifier(place):
    """with a verifier that dies every time gpg judges what it knows"""
    folder = place / "bin"
    os.mkdir(folder)
    for name in os.listdir(B):
        if name.startswith("mailkey") and name != VERIFIER:
            os.symlink(os.path.join(B, name), os.path.join(folder, name))
    place.write(f"bin/{VERIFIER}", "#!/bin/sh\nexit 1\n")
    os.chmod(os.path.join(folder, VERIFIER), 0o755)
    daemon, sink = daemon_and_sink(place, IMPATIENT, libexec=folder)
    expect("new" in ask(daemon, sink, "ADD", key("alice.asc")).text().lower(),
           "the key was not taken")
    for name in ("mona-v6.asc", "lou-v4.asc"):
        with daemon.lmtp() as lmtp:
            code, text = lmtp.send(mail("ADD", key(name)))[0]
        expect(code == 451 and "the verifier cannot be asked" in text,
               name, code, text)
    stats = daemon.ctl("stats").stdout.decode().splitlines()
    expect(any(s.split()[:-1] == ["asked", "of", "gpg"] and s.split()[-1] > "0"
               for s in stats), stats)
    daemon.stop()

    # Nor does it say anything of such keys that gpg is not done in time.
    checker = os.path.join(folder, CHECKER)
    os.remove(checker)
    place.write(f"bin/{CHECKER}", FAILING_CHECKER)
    os.chmod(checker, 0o755)
    daemon, sink = daemon_and_sink(place, IMPATIENT, libexec=folder,
                                   name="failing")
    for name, wanted in (("mona-v6.asc", 451), ("lou-v4.asc", 451),
                         ("alice.asc", 250)):
        with daemon.lmtp() as lmtp:
            equal(lmtp.send(mail("ADD", key(name)))[0][0], wanted, name)
    equal(daemon.log().count("event=run_failed"), 6, "runs that failed")


def no_gpg(place):
    """where gpg is none, only what it would have to judge is put off"""
    daemon, sink = daemon_and_sink(place, extra='gpg = "/bin/false"')
    expect("new" in ask(daemon, sink, "ADD", key("alice.asc")).text().lower(),
           "the key was not taken")
    with daemon.lmtp() as lmtp:
        code, text = lmtp.send(mail("ADD", key_for_gpg()))[0]
    equal(code, 451, "status")
    expect("gpg cannot be run" in text, "it says", text)
    done = daemon.ctl("import", place.write("odd.asc", key_for_gpg()))
    equal(done.returncode, 75, "exit status of import")
    expect(b"gpg cannot be run" in done.stderr, "import says", done.stderr)
    expect("event=no_gpg" in daemon.log(), "it is not in the log")
    expect("/bin/false does not answer as gpg should" in daemon.log(),
           "the log does not say why")
    daemon.stop()

    program = place.write("gpg", '#!/bin/sh\nfor claims; do :; done\n'
                          '[ $(wc -c <"$claims") -lt 400 ] || kill -KILL $$\n'
                          'exec gpg "$@"\n')
    os.chmod(program, 0o755)
    daemon, sink = daemon_and_sink(place, extra=f'gpg = "{program}"',
                                   name="killed")
    with daemon.lmtp() as lmtp:
        code, text = lmtp.send(mail("ADD", key_for_gpg()))[0]
    expect(code == 451 and "gpg was killed" in text, code, text)
    place.write("gpg", '#!/bin/sh\nexec gpg "$@"\n')
    expect("new" in ask(daemon, sink, "ADD", key_for_gpg()).text().lower(),
           "the key was not taken")


def nobody_waits_for_ever(place):
    """helpers that hang are killed, where there is none mails are put off"""
    work = {}
    for what in ("stopped parser", "stopped verifier", "stopped checker",
                 "no parser"):
        folder = place / what.replace(" ", "-")
        os.mkdir(folder)
        for name in os.listdir(B):
            if name.startswith("mailkey"):
                os.symlink(os.path.join(B, name),
                           os.path.join(folder, name))
        daemon, sink = daemon_and_sink(place, IMPATIENT, libexec=folder,
                                       name=what.replace(" ", ""))
        pid = child(daemon, "mailkeyd-" + what.split()[1])
        if what == "no parser":
            os.remove(os.path.join(folder, PARSER))
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGSTOP)
        message_id = new_id()
        work[what] = (submit(daemon, mail("ADD", key_for_gpg(),
                                          message_id=message_id)),
                      sink, message_id)
    for what, (code, sink, message_id) in work.items():
        equal(code(), 451 if what == "no parser" else 250, what)
        note(f"{what}: {code.seconds:.0f} s")
        if what != "no parser":
            sink.answer_to(message_id)


# ---- a mail that kills its reader -------------------------------------------

def own_faults_only(place, daemon):
    """The sanitizer reports the reader's stack overflow: that is the test."""
    if not SAN:
        return
    place.daemons.remove(daemon)
    daemon.stop()
    faults = [s for s in daemon.log().splitlines()
              if "ERROR: AddressSanitizer" in s or "runtime error" in s or
              "ERROR: LeakSanitizer" in s]
    equal([s for s in faults if "stack-overflow" not in s], [], "faults")


def killer(place):
    """a mail that kills two readers lies in quarantine with the reason"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    body = b"To: " + b"(" * 600000 + b"\n\nhello\n"
    message = mail("ADD", body, headers=("MIME-Version: 1.0",
                                         "Content-Type: message/rfc822"))
    with daemon.lmtp() as lmtp:
        equal(lmtp.send(message)[0][0], 451, "first delivery")
        equal(os.listdir(os.path.join(daemon.state, "quarantine")), [],
              "in quarantine")
        equal(lmtp.send(mail("HELP"))[0][0], 250, "the next mail")
        # Exim adds another one with each try.
        again = b"Delivery-date: Sun, 01 Mar 2026 12:10:00 +0000\n" + message
        equal(lmtp.send(again)[0][0], 250, "second delivery")
        equal(lmtp.send(again)[0][0], 250, "third delivery")
    ask(daemon, sink, "GET alice")
    files = sorted(glob.glob(daemon.state + "/quarantine/*"))
    equal([os.path.splitext(f)[1] for f in files], [".eml", ".from", ".why"], "in quarantine")
    for f in files:
        equal(stat.S_IMODE(os.stat(f).st_mode), 0o600, "mode")
    with open(files[0], "rb") as f:
        equal(f.read().replace(b"\r\n", b"\n"), again, "the mail set aside")
    with open(files[1], encoding="ascii") as f:
        equal(f.read(), f"<{ALICE}>\n<{ADDRESS}>\n", "its envelope")
    with open(files[2], encoding="ascii") as f:
        reason = f.read()
    note("reason:", reason.strip())
    expect(reason.strip() and reason.count("\n") == 1, repr(reason))
    equal(daemon.log().count("outcome=quarantined"), 2, "lines in the log")
    expect(reason.strip() in daemon.log(), "the log does not say why")
    stats = daemon.ctl("stats").stdout.decode()
    expect(any(s.split() == ["quarantined", "2"]
               for s in stats.splitlines()), stats)
    name = os.path.basename(files[0])[:12]
    done = daemon.ctl("quarantine", "retry", name)
    equal(done.returncode, 65, "retry")
    expect(b"killed its reader again" in done.stderr, done.stderr)
    expect(name in daemon.ctl("quarantine").stdout.decode(), "it is gone")
    own_faults_only(place, daemon)


def readers(parser):
    """The helper's own children."""
    with open(f"/proc/{parser}/task/{parser}/children") as f:
        return [int(pid) for pid in f.read().split()]


def unlucky(place):
    """a reader killed by somebody else is held against no mail"""
    daemon, sink = daemon_and_sink(place, "parsers = 1")
    parser = wait_until(lambda: child(daemon, PARSER), 20, "a parser")
    # Without a body, as most requests are: all of them have the same.
    for subject, idle in ("HELP", 2), ("STATS", 1):
        message_id = new_id()
        message = mail(subject, message_id=message_id)
        # The spare one, too; when it has died idle there is none any more.
        wait_until(lambda: len(readers(parser)) >= idle, 20, "readers")
        for pid in readers(parser):
            os.kill(pid, signal.SIGSTOP)
        code = submit(daemon, message)
        wait_until(lambda: "in_hand\t1\n" in
                   daemon.ctl("stats", "--tsv").stdout.decode(), 20, "it")
        time.sleep(0.5 * SLOW)      # on from there to the reader
        for pid in readers(parser):
            os.kill(pid, signal.SIGKILL)
        equal(code(), 451, f"{subject} whose reader was killed")
        until_taken(daemon, message)
        sink.answer_to(message_id)
    equal(os.listdir(os.path.join(daemon.state, "quarantine")), [],
          "in quarantine")


def signalled(pid, number):
    """Whether the process was there to take the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def unlucky_keys(place):
    """a key whose verifier's child is killed, and gpg does not know, waits"""
    if SAN:
        raise Skip("the sanitizer's children are never small")
    daemon, sink = daemon_and_sink(place)
    verifier = wait_until(lambda: child(daemon, VERIFIER), 20, "a verifier")
    for name, idle in ("mona-v6.asc", 3), ("lou-v4.asc", 1):
        message_id = new_id()
        message = mail("ADD", key(name), message_id=message_id)
        # When one has died idle there is none any more.
        wait_until(lambda: len(readers(verifier)) >= idle, 20, "children")
        pids = [p for p in readers(verifier) if signalled(p, signal.SIGSTOP)]
        code = submit(daemon, message)
        time.sleep(0.7 * SLOW)      # on from there to a child
        for pid in pids:
            signalled(pid, signal.SIGKILL)
        note(name, code())
        expect(code() in (250, 451), "status", code())
        if code() == 451:
            until_taken(daemon, message)
        expect("new" in sink.answer_to(message_id).text().lower(), name,
               sink.answer_to(message_id).text())


# ---- a store that fails -----------------------------------------------------

def damaged(daemon, fpr):
    """Cuts a certificate's record short, by tools that know nothing of it."""
    path = os.path.join(daemon.state, "db/certs.db")
    text = subprocess.run(["db_dump", path], stdout=subprocess.PIPE,
                          check=True).stdout.decode()
    os.remove(path)
    text, n = re.subn(rf"(?m)^( .{{40}}{fpr.lower()}).*$", r"\1", text)
    equal(n, 1, "records")
    subprocess.run(["db_load", path], check=True, input=text.encode())


def bad_one_alone(place):
    """one mail of a group that the store fails on has to come again alone"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    ask(daemon, sink, "ADD", key("bob.asc"))
    alice, bob = (fingerprint(dearmored(key(name)))
                  for name in ("alice.asc", "bob.asc"))
    equal(daemon.stop(), 0, "exit status")
    damaged(daemon, bob)
    daemon.start()
    parser = wait_until(lambda: child(daemon, PARSER), 20, "a parser")
    # All are read while the core is stopped: one round of its loop, one group,
    # with the bad one at its end.
    os.kill(parser, signal.SIGSTOP)
    ids, codes = [new_id() for _ in range(6)], []

    def hand_in(fpr, message_id):
        codes.append(submit(daemon, mail(f"GET 0x{fpr}",
                                         message_id=message_id)))
        wait_until(lambda: f"in_hand\t{len(codes)}\n" in
                   daemon.ctl("stats", "--tsv").stdout.decode(), 20, "it")

    for message_id in ids:
        hand_in(alice, message_id)
    hand_in(bob, new_id())
    os.kill(daemon.process.pid, signal.SIGSTOP)
    os.kill(parser, signal.SIGCONT)
    time.sleep(1 * SLOW)
    os.kill(daemon.process.pid, signal.SIGCONT)
    equal([code() for code in codes], [250] * 6 + [451], "LMTP statuses")
    for message_id in ids:
        sink.answer_to(message_id)
    expect("event=store error=" in daemon.log(), "no line of the log")


# ---- a pipe transport -------------------------------------------------------

def deliver(daemon, message, *args, before=None, stdin=subprocess.PIPE):
    process = subprocess.Popen(
        [daemon.program("mailkeyctl"), "-c", daemon.conf, *args],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=before)
    if message is not None:
        try:
            process.stdin.write(message)
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None
    return process


def outcome(process, wanted, what):
    out, err = process.communicate(timeout=60 * SLOW)
    equal(process.returncode, wanted, f"{what}: exit status ({err.decode()})")
    equal(out, b"", f"{what}: standard output")


def deliver_in_trouble(place):
    """deliver ends with 0 or 75 and prints nothing, whatever is done to it"""
    daemon, sink = daemon_and_sink(place)
    message = mail("HELP")
    for args in (("deliver", "--help"), ("deliver", "-h"),
                 ("--help", "deliver"), ("deliver", "--version"),
                 ("deliver", "-x"), ("deliver", "--sender"),
                 ("deliver", f"--sender={ALICE}", "a", "word"),
                 ("deliver", "--recipient="), ("-c", "/none", "deliver")):
        wanted = 0 if args[-1] == "--recipient=" else 75
        outcome(deliver(daemon, message, *args), wanted, " ".join(args))
    sender = ("deliver", f"--sender={ALICE}")
    outcome(deliver(daemon, message, "deliver", "--sender=",
                    before=lambda: os.close(0)),
            0, "without standard input")
    if not SAN:
        outcome(deliver(daemon, mail("HELP", b"x\n" * 90000), *sender,
                        before=lambda: resource.setrlimit(
                            resource.RLIMIT_FSIZE, (65536, 65536))),
                75, "over the limit of a file's size")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = deliver(daemon, None, *sender)
        process.stdin.write(b"Subject: HE")
        process.stdin.flush()
        time.sleep(0.3 * SLOW)
        process.send_signal(number)
        outcome(process, 75, number.name)
    equal(len(sink.got), 0, "answers")


def deliver_and_a_stopped_daemon(place):
    """deliver waits for a daemon that is stopped; 75 when that is killed"""
    daemon, sink = daemon_and_sink(place)
    daemon.process.send_signal(signal.SIGSTOP)
    message_id = new_id()
    process = deliver(daemon, mail("HELP", message_id=message_id), "deliver",
                      f"--sender={ALICE}")
    time.sleep(0.5 * SLOW)
    equal(process.poll(), None, "it did not wait")
    daemon.process.send_signal(signal.SIGCONT)
    outcome(process, 0, "stopped and continued")
    sink.answer_to(message_id)
    os.kill(child(daemon, VERIFIER), signal.SIGSTOP)
    process = deliver(daemon, mail("ADD", key("alice.asc")), "deliver",
                      f"--sender={ALICE}")
    time.sleep(0.5 * SLOW)
    equal(process.poll(), None, "it did not wait for the verifier")
    daemon.kill()
    outcome(process, 75, "killed with the mail in hand")


def ending(place):
    """SIGTERM with an import under way: it says so and the daemon ends"""
    daemon, sink = daemon_and_sink(place)
    os.kill(child(daemon, VERIFIER), signal.SIGSTOP)
    process = deliver(daemon, None, "import", RING)
    time.sleep(SLOW)
    process.stdin.close()
    process.stdin = None
    code = submit(daemon, mail("ADD", key("alice.asc")))
    time.sleep(0.3)
    for _ in range(2):
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    out, err = process.communicate(timeout=60 * SLOW)
    equal(process.returncode, 75, f"import ({err.decode()})")
    expect(b"ending" in err, "import says", err)
    equal(code(), 451, "status of the mail in hand")
    equal(daemon.process.wait(30 * SLOW), 0, "exit status")
    daemon.start()
    ask(daemon, sink, "HELP")


# ---- what is left behind ----------------------------------------------------

def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def resident(daemon, field="VmRSS"):
    """Megabytes."""
    with open(f"/proc/{daemon.process.pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    raise AssertionError(field)


def hundred_mails(daemon):
    bodies = (("HELP", b""), ("GET alice", b""), ("ADD", key("alice.asc")),
              ("ADD", key("erin.sec.asc")), ("ADD", b"nothing"),
              ("VERBOSE INDEX bob", b""), ("nonsense", b"x"),
              ("ADD", key("bob.asc")), ("GET 0x12345678", b""))
    with daemon.lmtp() as lmtp:
        for n in range(100):
            subject, body = bodies[n % len(bodies)]
            sender = "" if n % 10 == 9 else f"alice{n}@example.net"
            equal(lmtp.send(mail(subject, body, sender or ALICE), sender)
                  [0][0], 250, "status")
    for args in (("stats",), ("queue",), ("get", "alice"), ("dump",)):
        equal(daemon.ctl(*args).returncode, 0, f"mailkeyctl {args[0]}")
    process = deliver(daemon, mail("HELP"), "deliver", f"--sender={ALICE}")
    outcome(process, 0, "deliver")
    # One that goes before its mail is done.
    lmtp = daemon.lmtp()
    lmtp.command(f"MAIL FROM:<{ALICE}>")
    lmtp.command(f"RCPT TO:<{ADDRESS}>")
    lmtp.command("DATA")
    lmtp.raw(mail("ADD", key("carol.asc")).replace(b"\n", b"\r\n") +
             b"\r\n.\r\n")
    lmtp.close()


def left_behind(place):
    """after 300 mails no descriptor and no memory is left behind"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))

    def settled():
        return b"@" not in daemon.ctl("queue").stdout

    hundred_mails(daemon)
    wait_until(settled, 60, "an empty queue")
    wait_until(lambda: descriptors(daemon) == descriptors(daemon), 1, "calm")
    fds, memory = descriptors(daemon), resident(daemon)
    for _ in range(3):
        hundred_mails(daemon)
    wait_until(settled, 60, "an empty queue")
    wait_until(lambda: descriptors(daemon) <= fds, 10,
               f"{descriptors(daemon)} descriptors to become {fds}")
    grown = resident(daemon) - memory
    note(f"{fds} descriptors, {memory:.0f} MB and {grown:.1f} more")
    # The sanitizer keeps what was freed for a while.
    expect(grown < (300 if SAN else 20), "grown by", grown, "MB")
    equal(daemon.stop(), 0, "exit status")


def too_much_in_hand(place):
    """what waits for a reader is bounded: 452, and later all is well"""
    daemon, sink = daemon_and_sink(place, limits={"message_size": "5M"})
    parser = child(daemon, PARSER)
    os.kill(parser, signal.SIGSTOP)
    big = (b"x" * 70 + b"\n") * 65000
    codes = [submit(daemon, mail("HELP", big)) for _ in range(20)]

    def all_are_in():
        stats = daemon.ctl("stats", "--tsv").stdout.decode()
        in_hand = int(re.search(r"(?m)^in_hand\t(\d+)$", stats).group(1))
        return in_hand + sum(bool(c.answer) for c in codes) == len(codes)
    wait_until(all_are_in, 60, "twenty mails to be handed in")
    peak = resident(daemon)
    os.kill(parser, signal.SIGCONT)
    codes = sorted(c() for c in codes)
    note(f"{codes.count(250)} taken, {codes.count(452)} put off,",
         f"{peak:.0f} MB")
    equal(set(codes), {250, 452}, "statuses")
    expect(codes.count(250) * len(big) <= 64 << 20, "too much was in hand")
    expect(codes.count(250) >= 10, "too little was in hand")
    ask(daemon, sink, "HELP")


run(killed, killed_at_work, killed_unnoticed, restarts, broken_checker,
    broken_verifier, no_gpg, nobody_waits_for_ever, killer, unlucky,
    unlucky_keys, deliver_in_trouble, deliver_and_a_stopped_daemon, ending,
    left_behind, too_much_in_hand, bad_one_alone)
