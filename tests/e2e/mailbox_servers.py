#!/usr/bin/env -S python3 -B
# Mailboxes on servers that are wrong, hostile, or only old: no password goes to
# one that could not prove its name, none costs more than its own mailbox, and
# what can be had of a mailbox is answered once.

import itertools
import os
import re
import time

from lib import (SAN, ask, equal, expect, key, mail, new_id, note, run,
                 smtp_to, wait_until)
from mailboxes import (Fake, certificates, fetchers, logged, password_file,
                       receive, ssl_context, start)

RETURN = ["Return-Path: <alice@example.net>"]
LIMIT = 64 << 10  # octets of a mail, where it matters


# ---- servers ----------------------------------------------------------------

def crlf(message):
    return message.replace(b"\n", b"\r\n")


class Imap:
    """An IMAP server with a mailbox; what is odd overrides it."""

    greeting = b"* OK ready\r\n"
    validity = 1

    def __init__(self, *mails):
        self.mails = dict(enumerate(map(crlf, mails), 1))
        self.marked, self.fetched = set(), []

    def size(self, uid):
        return len(self.mails[uid])

    def body(self, uid):
        self.fetched.append(uid)
        return self.mails[uid]

    def mark(self, uids):
        self.marked |= uids
        return b"OK"

    def talk(self, connection, fake):
        connection.sendall(self.greeting)
        with connection.makefile("rb") as lines:
            for line in lines:
                fake.heard += line
                tag, verb, rest = (line.split(None, 2) + [b""] * 2)[:3]
                if verb == b"UID":
                    verb, rest = (rest.split(None, 1) + [b""])[:2]
                answer = getattr(self, verb.decode().lower(), None)
                text, status = b"", b"OK"
                if answer:
                    text, status = answer(rest)
                connection.sendall(text + tag + b" " + status + b" done\r\n")

    def capability(self, _rest):
        return b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n", b"OK"

    def select(self, _rest):
        return (f"* {len(self.mails)} EXISTS\r\n"
                f"* OK [UIDVALIDITY {self.validity}] valid\r\n").encode(), \
            b"OK [READ-WRITE]"

    def fetch(self, rest):
        piece = re.match(rb"(\d+) .*<(\d+)\.(\d+)>", rest)
        if piece:
            return self.fetch_piece(*map(int, piece.groups())), b"OK"
        wanted = self.numbers(rest.split()[0])
        return b"".join(
            b"* %d FETCH (UID %d RFC822.SIZE %d FLAGS (%s))\r\n" %
            (n, uid, self.size(uid),
             b"\\Deleted" if uid in self.marked else b"")
            for n, uid in enumerate(sorted(self.mails), 1)
            if n in wanted), b"OK"

    def fetch_piece(self, uid, at, most):
        body = self.body(uid)
        if body is None:
            return b""
        body = body[at:at + most]
        return (b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n" %
                (uid, at, len(body)) + body + b")\r\n")

    @staticmethod
    def numbers(text):
        found = set()
        for part in text.split(b","):
            first, _, last = part.partition(b":")
            found |= set(range(int(first), int(last or first) + 1))
        return found

    def store(self, rest):
        return b"", self.mark(self.numbers(rest.split()[0]))

    def expunge(self, _rest):
        for uid in self.marked & set(self.mails):
            del self.mails[uid]
        return b"", b"OK"


class Pop3:
    """A POP3 server with a mailbox; what is odd overrides it."""

    def __init__(self, *mails):
        self.mails = dict(enumerate(map(crlf, mails), 1))
        self.marked, self.fetched = set(), []

    def talk(self, connection, fake):
        connection.sendall(b"+OK ready\r\n")
        self.marked = set()
        with connection.makefile("rb") as lines:
            for line in lines:
                fake.heard += line
                verb, rest = (line.split(None, 1) + [b""])[:2]
                answer = getattr(self, verb.decode().lower(), None)
                connection.sendall(
                    answer(*(int(w) if w.isdigit() else w
                             for w in rest.split())) if answer
                    else b"+OK\r\n" if verb in (b"USER", b"PASS")
                    else b"-ERR what?\r\n")
                if verb == b"QUIT":
                    return

    def size(self, number):
        return len(self.mails[number])

    def list(self):
        return b"+OK\r\n" + b"".join(
            b"%d %d\r\n" % (n, self.size(n)) for n in self.mails) + b".\r\n"

    def retr(self, number):
        self.fetched.append(number)
        return (b"+OK\r\n" + re.sub(rb"(?m)^\.", b"..", self.mails[number]) +
                b"\r\n.\r\n")

    def dele(self, number):
        self.marked.add(number)
        return b"+OK\r\n"

    def quit(self):
        for number in self.marked:
            del self.mails[number]
        return b"+OK\r\n"


class BadMails(Pop3):
    """Some of its mails end each session that wants them; numbers are new in
    each, as they are where mails went."""

    def __init__(self, bad, *mails):
        super().__init__(*mails)
        self.bad = set(map(crlf, bad))

    def talk(self, connection, fake):
        self.mails = dict(enumerate(self.mails.values(), 1))
        super().talk(connection, fake)

    def top(self, number, _lines):
        return (b"+OK\r\n" + self.mails[number].split(b"\r\n\r\n")[0] +
                b"\r\n\r\n.\r\n")

    def size(self, number):  # a line end counts as one octet
        return len(self.mails[number]) - self.mails[number].count(b"\r")

    def retr(self, number):
        if self.mails[number] in self.bad:
            raise ConnectionError
        return super().retr(number)

    def left(self):
        return set(self.mails.values())


class NamedBadMails(BadMails):
    def uidl(self):
        return b"+OK\r\n" + b"".join(
            b"%d n%d\r\n" % (n, hash(m) & 0xffffffff)
            for n, m in self.mails.items()) + b".\r\n"


class NamedPop3(Pop3):
    def uidl(self):
        return b"+OK\r\n" + b"".join(
            b"%d name%d\r\n" % (n, n) for n in self.mails) + b".\r\n"


def serve(place, server, kind, **options):
    """A daemon with this mailbox alone."""
    fake = Fake(place, server.talk)
    options.setdefault("limits", {"message_size": str(LIMIT)})
    daemon, sink = start(place, receive(
        place, kind, fake.port, tls="none", poll="1s", timeout="5s"),
        **options)
    return fake, daemon, sink


def helps(n):
    ids = [new_id() for _ in range(n)]
    return ids, [mail("HELP", message_id=i, sender=f"u{k}@example.net",
                      headers=[f"Return-Path: <u{k}@example.net>"])
                 for k, i in enumerate(ids)]


def copies(sink, message_id):
    return len({d.message_id for d in list(sink.got)
                if d.in_reply_to == message_id})


# ---- what cannot prove its name ---------------------------------------------

def certificate(place):
    """a wrong name, a wrong CA, an expired one: no word is said"""
    c = certificates()

    def talk(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        fake.listen(connection)

    cases = [("wrong_name", c.wrong_name, "name in the certificate does not"),
             ("wrong_ca", c.wrong_ca, "issuer is unknown"),
             ("expired", c.expired, "expired")]
    fakes = [Fake(place, talk, path) for _, path, _ in cases]
    good = Fake(place, talk, c.good)
    sections = [receive(place, "imap", fake.port, title=case[0])
                for fake, case in zip(fakes, cases)]
    daemon, sink = start(place, *sections, receive(
        place, "imap", good.port, title="good"))
    for fake, (title, _, why) in zip(fakes, cases):
        logged(daemon, "event=closed", f"name={title}", 'why="TLS: ', why)
        equal(fake.heard, b"", f"what the server with {title} heard")
    # The same server with a good one is spoken to, by its name.
    wait_until(lambda: good.heard, 20, "a word to the good one")
    equal(good.names[0], "localhost", "SNI")
    ask(daemon, sink, "HELP")


def injected(place):
    """STARTTLS refused, answered twice, or skipped: no password is sent"""
    # Whoever goes on without TLS is told yes to everything.
    def imap_says(greeting, answer):
        def talk(connection, fake):
            connection.sendall(greeting)
            tag = fake.hear(connection).split()[0]
            connection.sendall(answer.replace(b"TAG", tag))
            while True:
                tag = fake.hear(connection).split()[:1] or [b"x"]
                connection.sendall(tag[0] + b" OK done\r\n")
        return talk

    def pop3_says(answer):
        def talk(connection, fake):
            connection.sendall(b"+OK ready\r\n")
            fake.hear(connection)
            connection.sendall(answer)
            while True:
                fake.hear(connection)
                connection.sendall(b"+OK\r\n")
        return talk

    hello = b"* OK ready\r\n"
    cases = {
        "refused": ("imap", imap_says(hello, b"TAG NO not today\r\n")),
        "unknown": ("imap", imap_says(hello, b"TAG BAD what?\r\n")),
        "twice": ("imap", imap_says(
            hello, b"TAG OK go on\r\n* CAPABILITY IMAP4rev1\r\n"
            b"1 OK done\r\n2 OK done\r\n3 OK done\r\n")),
        "skipped": ("imap", imap_says(b"* PREAUTH you are in\r\n", b"")),
        "garbage": ("imap", imap_says(hello, b"TAG OK go on\r\n")),
        "popno": ("pop3", pop3_says(b"-ERR no\r\n")),
        "poptwice": ("pop3", pop3_says(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n")),
    }
    fakes = {title: Fake(place, talk) for title, (_, talk) in cases.items()}
    daemon, _ = start(place, *[
        receive(place, kind, fakes[title].port, tls="starttls", title=title,
                timeout="2s") for title, (kind, _) in cases.items()])
    for title in cases:
        logged(daemon, "event=closed", f"name={title}")
        heard = fakes[title].heard
        for word in (b"LOGIN", b"USER", b"PASS", b"AUTH", b"word"):
            expect(word not in heard, title, "heard", heard)
    expect(b"STARTTLS" in fakes["twice"].heard, fakes["twice"].heard)
    # Who says that we are logged in is not even asked for TLS.
    equal(fakes["skipped"].heard, b"", "words after PREAUTH")


def pipelined(place):
    """answers from before TLS, as somebody between would send: it ends"""
    context = ssl_context(certificates().good)
    inside = {}

    def says(title, greeting, answer):
        def talk(connection, fake):
            connection.sendall(greeting)
            tag = fake.hear(connection).split()[0]
            connection.sendall(answer.replace(b"TAG", tag))
            with context.wrap_socket(connection, server_side=True) as tls:
                inside[title] = tls.recv(65536)
        return talk

    ok, pop = b"* OK ready\r\n", b"+OK ready\r\n"
    cases = {"good": ("imap", ok, b"TAG OK go on\r\n"),
             "popgood": ("pop3", pop, b"+OK\r\n"),
             "behind": ("imap", ok, b"TAG OK go on\r\n2 OK done\r\n"),
             "half": ("imap", ok, b"TAG OK go on\r\n* CAP"),
             "early": ("imap", ok + b"1 OK go on\r\n2 OK done\r\n", b""),
             "popbehind": ("pop3", pop, b"+OK\r\n+OK\r\n"),
             "popearly": ("pop3", pop + b"+OK\r\n+OK\r\n", b"")}
    daemon, _ = start(place, *[
        receive(place, kind, Fake(place, says(title, *said)).port,
                tls="starttls", title=title)
        for title, (kind, *said) in cases.items()])
    for title in cases:
        if "good" in title:
            wait_until(lambda t=title: inside.get(t), 20, "a word inside TLS")
        else:
            # By POP3 nothing may be there before a command is said.
            logged(daemon, "event=closed", f"name={title}", "why=\"" +
                   ("STLS: " if title == "popearly" else "STARTTLS: "))
            expect(not inside.get(title), title, "heard", inside.get(title))


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(next(s for s in f if s.startswith("VmHWM:")).split()[1])


def endless(place):
    """servers that never end: each costs its own mailbox, for a while"""
    def flood(connection, fake):
        while not fake.stopped.is_set():
            connection.sendall(b"* OK " + b"x" * 65536)

    def lines(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        while not fake.stopped.is_set():
            connection.sendall(b"* OK more\r\n" * 1000)

    def drip(connection, fake):
        for octet in itertools.cycle(b"* OK ready"):
            if fake.stopped.wait(0.5):
                return
            connection.sendall(bytes([octet]))

    def silent(connection, fake):
        fake.stopped.wait(60)

    def literal(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        tag = fake.hear(connection).split()[0]
        connection.sendall(b"* CAPABILITY {4294967295}\r\n" + tag)
        while not fake.stopped.is_set():
            connection.sendall(b"x" * 65536)

    def pop_flood(connection, fake):
        while not fake.stopped.is_set():
            connection.sendall(b"+OK" + b"y" * 65536)

    def nothing(connection, fake):
        """CAPABILITY without any, twice; then it logs in and lies."""
        connection.sendall(b"* OK ready\r\n")
        while True:
            tag, verb = fake.hear(connection).split()[:2]
            if verb == b"SELECT":
                connection.sendall(b"* 4294967295 EXISTS\r\n" + tag +
                                   b" OK [READ-WRITE] done\r\n")
            elif verb == b"FETCH":
                while not fake.stopped.is_set():
                    connection.sendall(b"* 1 FETCH (UID 1 RFC822.SIZE 7 "
                                       b"FLAGS ())\r\n" * 1000)
            else:
                connection.sendall(tag + b" OK done\r\n")

    def piece(octets):
        """Announces so many for a mail, and goes on for ever."""
        class Huge(Imap):
            def fetch_piece(self, uid, at, _most):
                return b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n" % (
                    uid, at, octets) + b"x" * (16 << 20)

        return Huge(mail("HELP")).talk

    class Endless(Pop3):
        def retr(self, _number):
            return b"+OK\r\n" + b"x" * (64 << 20)

    class Null(Imap):
        def select(self, _rest):
            return b"* OK [PERMANENTFLAGS (\\\x11)] x\r\n", b"OK"

    cases = {"piece": ("imap", piece(4294967295), ""),
             "memory": ("imap", piece(500 << 20), "" if SAN else "no IMAP"),
             "null": ("imap", Null().talk, ""),
             "popline": ("pop3", Endless(mail("HELP")).talk, "too long"),
             "flood": ("imap", flood, "too long"),
             "lines": ("imap", lines, "too long"),
             "drip": ("imap", drip, "timed out"),
             "silent": ("imap", silent, "timed out"),
             "literal": ("imap", literal, ""),
             "popflood": ("pop3", pop_flood, "too long"),
             "popdrip": ("pop3", drip, "timed out"),
             "lying": ("imap", nothing, "too long")}
    if SAN:
        del cases["null"]  # where each death is a finding
    fakes = {title: Fake(place, case[1]) for title, case in cases.items()}
    begin = time.monotonic()
    daemon, sink = start(place, *[
        receive(place, case[0], fakes[title].port, tls="none", title=title,
                timeout="3s") for title, case in cases.items()])
    for n in range(3):
        ask(daemon, sink, "HELP", sender=f"u{n}@example.net")
    for title, (_, _, why) in cases.items():
        logged(daemon, "event=closed", f"name={title}", why)
    note(f"all ended after {time.monotonic() - begin:.1f} s")
    most = max(memory(pid) for pid in daemon.helpers())
    note(f"the largest helper took {most} KB")
    if not SAN:
        expect(most < 128 * 1024, "a helper took", most, "KB")
    ask(daemon, sink, "HELP", sender="last@example.net")
    # One that dies of what it reads says how, and is not just killed.
    expect("event=died signal=9" not in daemon.log(), daemon.log())
    # They are tried again, with a growing pause, and said once.
    wait_until(lambda: fakes["flood"].connections >= 3, 60, "another try")
    equal(daemon.log().count("event=closed name=flood"), 1, "lines")
    stats = daemon.ctl("stats").stdout.decode()
    expect("mailbox drip          closed since" in stats, stats)


def password(place):
    """a password that others may read is an error at the start"""
    sink = place.sink()
    path = password_file(place, mode=0o640)
    daemon = place.daemon(send=smtp_to(sink.port), extra="\n" + receive(
        place, "imap", 1))
    for args in ([], ["-t"]):
        done = daemon.command("mailkeyd", *args)
        equal(done.returncode, 78, "exit status")
        said = done.stderr.decode()
        expect(f"password_file {path}: others than its owner may read or "
               "write it (mode 0640); run chmod 0600 on it" in said, said)
        expect(f"{daemon.conf}:" in said, said)


# ---- what is odd ------------------------------------------------------------

def odd_imap(place):
    """IMAP: a mail that is gone when it is fetched; sizes that are wrong"""
    class Odd(Imap):
        def size(self, uid):
            return {1: 3, 2: 1 << 30}.get(uid, len(self.mails[uid]))

        def body(self, uid):
            self.fetched.append(uid)
            return None if uid == 3 else self.mails[uid]

    ids, mails = helps(4)
    mails[0] += b"x" * 70 + b"\n"
    mails.append(mail("ADD", b"".join(b"y" * 70 + b"\n" for _ in range(2000)),
                      message_id=new_id(), headers=RETURN))
    server = Odd(*mails)
    fake, daemon, sink = serve(place, server, "imap")
    # It says 3 octets and has more: all of them count.
    expect("GET" in sink.answer_to(ids[0]).text(), "no answer to HELP")
    # It says a gigabyte: told that this is too much, whatever it has.
    got = sink.answer_to(ids[1]).text()
    expect("larger than this server takes" in got, got)
    sink.answer_to(ids[3])
    wait_until(lambda: sorted(server.mails) == [3], 30, "the rest to go")
    # What is not there any more is asked for again as long as it is listed,
    # never deleted.
    wait_until(lambda: server.fetched.count(3) >= 2, 30, "another try")
    equal(server.marked & {3}, set(), "deleted")
    equal(daemon.log().count("event=closed"), 0, "sessions that ended")
    equal(fetchers(daemon) != [], True, "a fetcher")
    equal(copies(sink, ids[2]), 0, "answers to what was never there")
    expect(b"word" in fake.heard, "no password")


def short_imap(place):
    """IMAP: pieces that are shorter than was asked for, whatever the size"""
    class Short(Imap):
        going = 5  # while it is fetched

        def size(self, uid):
            return len(self.mails[uid]) + [-1, 0, 1][uid % 3]

        def fetch_piece(self, uid, at, most):
            if uid == self.going and at > 0:
                return b""
            return super().fetch_piece(uid, at, min(most, 300))

    ids, mails = helps(5)
    for k, name in enumerate(("alice", "bob", "carol")):
        mails[k] = mail("ADD", key(name + ".asc"), message_id=ids[k],
                        headers=RETURN)
        expect(len(mails[k]) > 2 * 300, name, len(mails[k]))
    mails[3] = mail("ADD", b"x\n" * LIMIT, message_id=ids[3], headers=RETURN)
    mails[4] += b"x\n" * 300
    server = Short(*mails)
    _, daemon, sink = serve(place, server, "imap")
    for message_id, name in zip(ids, ("alice", "bob", "carol")):
        sink.answer_to(message_id)
        expect("pub " in ask(daemon, sink, f"INDEX {name}").text(), name)
    expect("larger than" in sink.answer_to(ids[3]).text(), "not too large")
    # Half a mail is none.
    wait_until(lambda: set(server.mails) == {5}, 30, "the others to go")
    equal(copies(sink, ids[4]), 0, "answers to half a mail")
    server.going = 0
    sink.answer_to(ids[4])
    wait_until(lambda: not server.mails, 30, "an empty mailbox")


def bad_imap(place):
    """IMAP: mails that cannot be had; those behind them are answered"""
    class Bad(Imap):
        ends, refuses = 3, 4

        def body(self, uid):
            if uid == self.ends:
                raise ConnectionError
            return super().body(uid)

        def fetch(self, rest):
            if rest.split()[0] == b"%d" % self.refuses:
                return b"", b"NO [SERVERBUG] it is damaged,"
            return super().fetch(rest)

    ids, mails = helps(6)
    mails[5] = mail("ADD", message_id=ids[5])  # of no sender
    server = Bad(*mails)
    _, daemon, sink = serve(place, server, "imap")
    for n in (0, 1, 4):
        sink.answer_to(ids[n], 60)
    wait_until(lambda: set(server.mails) == {3, 4}, 60, "the others to go")
    logged(daemon, "event=not_fetched", 'why="mail 4: UID FETCH: ',
           "it is damaged")
    server.ends = server.refuses = 0
    for n in (2, 3):
        sink.answer_to(ids[n], 60)
    wait_until(lambda: not server.mails, 60, "an empty mailbox")
    # What was in hand when the session ended is only deleted by the next.
    equal(sorted(server.fetched), sorted(set(server.fetched)), "mails fetched")
    for n in range(5):
        equal(copies(sink, ids[n]), 1, f"answers to {n}")


def thrown_away(place):
    """IMAP: thousands of mails that somebody else threw away"""
    class Full(Imap):
        def store(self, rest):
            if len(rest) > 8000:  # RFC 2683, 3.2.1.5
                return b"", b"BAD too long,"
            return super().store(rest)

    ids, mails = helps(1)
    server = Full()
    server.mails = {10000 + n: b"x" for n in range(2000)}
    server.marked = set(server.mails)
    server.mails[20000] = crlf(mails[0])
    _, daemon, sink = serve(place, server, "imap")
    sink.answer_to(ids[0], 60)
    wait_until(lambda: not server.mails, 60, "an empty mailbox")
    equal(server.fetched, [20000], "mails fetched")
    equal(daemon.log().count("event=closed"), 0, "sessions that ended")


def renumbered(place):
    """IMAP: with another UIDVALIDITY, or none, a number is another mail"""
    class Renumbered(Imap):
        """Does not delete; then gives the number to another mail."""

        def __init__(self, validity, first, second):
            super().__init__(first)
            self.validity, self.second = validity, second

        def select(self, rest):
            text, status = super().select(rest)
            return text if self.validity else text.split(b"* OK")[0], status

        def mark(self, uids):
            if self.second:
                self.validity *= 2
                self.mails, self.second = {1: crlf(self.second)}, None
                return b"NO not now,"
            return super().mark(uids)

    boxes = {}
    for title, validity in {"other": 1, "none": 0}.items():
        ids, mails = helps(2)
        boxes[title] = ids, Renumbered(validity, *mails)
    daemon, sink = start(place, *[receive(
        place, "imap", Fake(place, server.talk).port, tls="none", poll="1s",
        title=title) for title, (_, server) in boxes.items()])
    for title, (ids, server) in boxes.items():
        for message_id in ids:
            sink.answer_to(message_id)
        wait_until(lambda: not server.mails, 30, f"{title} to be empty")
        equal(len(set(server.fetched)), 1, "numbers")
        equal(copies(sink, ids[0]), 1, "answers to the first")
        logged(daemon, "event=closed", f"name={title}", 'why="UID STORE: ')


def nameless_pop3(place):
    """POP3 without UIDL, which forgets what was deleted: answered once"""
    class Forgetful(Pop3):
        quits = 0

        def quit(self):
            self.quits += 1
            if self.quits == 1:
                raise ConnectionError  # so nothing is deleted (RFC 1939)
            return super().quit()

    ids, mails = helps(20)
    # Lines that begin with a dot, one of them alone.
    alice = new_id()
    mails.append(mail("ADD", b".\n..\n.x\n" + key("alice.asc"),
                      message_id=alice, headers=RETURN))
    server = Forgetful(*mails)
    fake, daemon, sink = serve(place, server, "pop3")
    for message_id in ids:
        sink.answer_to(message_id, 60)
    expect("1" in sink.answer_to(alice).text(), "the answer to ADD")
    wait_until(lambda: not server.mails, 60, "an empty mailbox")
    expect(server.quits >= 2 and len(server.fetched) >= 2 * len(mails),
           server.quits, server.fetched)
    for message_id in ids + [alice]:
        equal(copies(sink, message_id), 1, f"answers to {message_id}")
    expect(b"UIDL" in fake.heard, "not even asked for names")
    equal(ask(daemon, sink, "INDEX alice").text().count("pub "), 1, "keys")


def stubborn_pop3(place):
    """POP3 without UIDL, which never deletes: what was refused has its turn"""
    class Stubborn(Pop3):
        refused = 0

        def retr(self, number):
            if number == 1 and self.refused == 0:
                self.refused += 1
                return b"-ERR not now\r\n"
            return super().retr(number)

        def quit(self):
            return b"+OK\r\n"

    ids, mails = helps(2)
    server = Stubborn(*mails)
    fake, _, sink = serve(place, server, "pop3")
    for message_id in ids:
        sink.answer_to(message_id)
        equal(copies(sink, message_id), 1, "answers")
    # It is looked at now and then, and not without end.
    expect(fake.connections < 30, fake.connections, "sessions")


def bad_pop3(place):
    """POP3: mails that end each session; those behind them are answered"""
    limit = 256 << 10

    def filled():
        ids, mails = helps(8)
        bad = mails[:2]
        # More in its header than is fetched of a mail that is too large.
        mails[4] = mails[4].replace(b"\n\n", b"\n" + b"".join(
            b"X-%d: " % n + b"x" * 900 + b"\n" for n in range(700)) + b"\n")
        # Not too large by the size that is listed, and twice that.
        mails[6] += b"\n" * (limit - len(mails[6]))
        return ids, mails, bad

    boxes = {}
    for title, kind in {"named": NamedBadMails, "nameless": BadMails}.items():
        ids, mails, bad = filled()
        boxes[title] = ids, kind(bad, *mails)
    daemon, sink = start(place, *[receive(
        place, "pop3", Fake(place, server.talk).port, tls="none", poll="1s",
        title=title) for title, (_, server) in boxes.items()],
        limits={"message_size": str(limit)})
    for title, (ids, server) in boxes.items():
        for n in (2, 3, 5, 6, 7):
            got = sink.answer_to(ids[n], 60).text()
            equal("larger than this server takes" in got, n == 6, got)
        wait_until(lambda: server.left() == server.bad, 60,
                   f"what could be had of {title} to go")
    for _, server in boxes.values():
        server.bad = set()
    for title, (ids, server) in boxes.items():
        for n in range(2):
            sink.answer_to(ids[n], 60)
        wait_until(lambda: not server.mails, 60, f"{title} to be empty")
        # A mail with such a header gets none.
        for n, message_id in enumerate(ids):
            equal(copies(sink, message_id), int(n != 4), f"answers to {n}")


def tired_pop3(place):
    """POP3: a server that has enough after some commands: it goes on"""
    class Tired(NamedBadMails):
        def talk(self, connection, fake):
            self.commands = 0
            super().talk(connection, fake)

        def count(self):
            self.commands += 1
            if self.commands > 40:
                raise ConnectionError

        def retr(self, number):
            self.count()
            return super().retr(number)

        def dele(self, number):
            self.count()
            return super().dele(number)

    ids, mails = helps(48)
    server = Tired([], *mails)
    _, _, sink = serve(place, server, "pop3")
    for message_id in ids:
        sink.answer_to(message_id, 60)
    wait_until(lambda: not server.mails, 60, "an empty mailbox")
    # What was answered is not fetched once more.
    equal(len(server.fetched), len(ids), "mails fetched")


def odd_pop3(place):
    """POP3: a mail that is gone, wrong sizes, numbers that cannot be"""
    class Odd(NamedPop3):
        def size(self, number):
            return 3 if number == 1 else len(self.mails[number])

        def list(self):
            listed = super().list()[5:-3]
            return (b"+OK\r\n0 7\r\n" + listed + b"3 9\r\n-1 7\r\n\r\n"
                    b"x\r\n7\r\n8 \r\n4294967295 1\r\n4294967296 1\r\n"
                    b"99999999999999999999 1\r\n.\r\n")

        def uidl(self):
            return (super().uidl()[:-3] + b"0 a\r\n8 b\r\n4294967295 c\r\n" +
                    b"5 " + b"z" * 500 + b"\r\n\r\n.\r\n")

        def retr(self, number):
            if number in (4, 4294967295):
                self.fetched.append(number)
                return b"-ERR no such message\r\n"
            return super().retr(number)

    ids, mails = helps(5)
    server = Odd(*mails)
    del server.mails[2]  # as after another session
    _, daemon, sink = serve(place, server, "pop3")
    for n in (1, 3, 5):
        sink.answer_to(ids[n - 1], 60)
    wait_until(lambda: sorted(server.mails) == [4], 60, "the rest to go")
    logged(daemon, "event=not_fetched", 'why="mail 4: RETR: no such message"')
    expect(set(server.fetched) <= {1, 3, 4, 5, 4294967295}, server.fetched)
    equal(daemon.log().count("event=closed"), 0, "sessions that ended")


def refused(place):
    """a log-in that is refused: the log says what to do"""
    class Disabled(Imap):
        def capability(self, _rest):
            return b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n", b"OK"

    class Refusing(Imap):
        def login(self, _rest):
            return b"", b"NO [AUTHENTICATIONFAILED] not " + b"so " * 300

    class Pop(Pop3):
        def __init__(self, verb):
            super().__init__()
            setattr(self, verb, self.refuse)

        @staticmethod
        def refuse(*_words):
            return b"-ERR [AUTH] not so\r\n"

    remedy = ("look at user and password_file; OAuth is not known here: have "
              "the server make a password for programs")
    cases = {"disabled": ("imap", Disabled(), "set tls = starttls"),
             "login": ("imap", Refusing(), "not so so so"),
             "user": ("pop3", Pop("user"), "USER: [AUTH] not so; " + remedy),
             "pass": ("pop3", Pop("pass"), "PASS: [AUTH] not so; " + remedy)}
    fakes = {title: Fake(place, case[1].talk) for title, case in cases.items()}
    daemon, _ = start(place, *[
        receive(place, case[0], fakes[title].port, tls="none", title=title)
        for title, case in cases.items()])
    for title, (_, _, why) in cases.items():
        logged(daemon, "event=closed", f"name={title}", why)
    logged(daemon, "event=closed", "name=login", remedy)
    for title in ("disabled", "user"):
        expect(b"word" not in fakes[title].heard, fakes[title].heard)


def greetings(place):
    """servers of another kind, or that want nobody: no password is sent"""
    def says(greeting):
        def talk(connection, fake):
            connection.sendall(greeting)
            while True:
                fake.hear(connection)
                connection.sendall(b"1 OK\r\n+OK\r\n")
        return talk

    cases = {"bye": ("imap", b"* BYE not today\r\n"),
             "no": ("imap", b"* NO not today\r\n"),
             "http": ("imap", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
             "pop": ("imap", b"+OK ready\r\n"),
             "nul": ("imap", b"* OK\0\0\r\n"),
             "imap": ("pop3", b"* OK ready\r\n"),
             "smtp": ("pop3", b"220 mail.example.net ESMTP\r\n"),
             "okay": ("pop3", b"+OKAY\r\n"),
             "err": ("pop3", b"-ERR [SYS/TEMP] not today\r\n")}
    fakes = {title: Fake(place, says(text))
             for title, (_, text) in cases.items()}
    daemon, _ = start(place, *[
        receive(place, kind, fakes[title].port, tls="none", title=title)
        for title, (kind, _) in cases.items()])
    for title in cases:
        logged(daemon, "event=closed", f"name={title}", 'why="greeting: ')
        equal(fakes[title].heard, b"", f"what {title} heard")


def confined(place):
    """who hears the server has no files, no sockets but its own"""
    ids, mails = helps(1)
    _, daemon, sink = serve(place, Imap(*mails), "imap")
    sink.answer_to(ids[0])
    jailed = fetchers(daemon)
    equal(len(jailed), 1, "fetchers")
    with open(f"/proc/{jailed[0]}/status", encoding="ascii") as f:
        state = dict(line.split(":", 1) for line in f)
    equal([state[n].strip() for n in ("Seccomp", "NoNewPrivs")], ["2", "1"],
          "seccomp filter, no_new_privs")
    with open(f"/proc/{jailed[0]}/limits", encoding="ascii") as f:
        limits = {line[:26].strip(): line[26:].split()[1] for line in f}
    equal([limits[n] for n in ("Max processes", "Max core file size")],
          ["0", "0"], "limits")
    if not SAN:
        equal(limits["Max address space"], str(384 << 20), "memory")
    if os.geteuid() != 0:
        return  # it is not for others to look at
    folder = f"/proc/{jailed[0]}/fd"
    held = {int(n): os.readlink(f"{folder}/{n}") for n in os.listdir(folder)}
    for n, what in held.items():
        expect(n in (0, 1, 2) and (what == "/dev/null" or SAN) or
               what.startswith("socket:") or what.startswith("/memfd:"),
               n, "is", what)
    expect(len(held) <= 6, held)


def slow(place):
    """each answer in time, all of them not: the log-in has a deadline"""
    c = certificates()
    ended = []

    def talk(connection, fake):
        context = ssl_context(c.good)
        said = b""
        try:
            time.sleep(1.8)
            connection.sendall(b"* OK ready\r\n")
            while True:
                line = fake.hear(connection)
                said += line
                time.sleep(1.8)
                connection.sendall(
                    b"* CAPABILITY IMAP4rev1\r\n" + line.split()[0] +
                    b" OK done\r\n")
                if b"STARTTLS" in line:
                    connection = context.wrap_socket(
                        connection, server_side=True)
        finally:
            ended.append(said)

    fake = Fake(place, talk)
    daemon, _ = start(place, receive(
        place, "imap", fake.port, tls="starttls", timeout="2s"))
    wait_until(lambda: any(b"LOGIN" in said for said in ended), 90,
               "the end of a session that came to LOGIN")
    logged(daemon, "event=closed", "timed out")
    expect("event=open" not in daemon.log(), daemon.log())


run(certificate, injected, pipelined, endless, password, odd_imap, short_imap,
    bad_imap, thrown_away, renumbered, nameless_pop3, stubborn_pop3, bad_pop3,
    tired_pop3, odd_pop3, refused, greetings, confined, slow)
