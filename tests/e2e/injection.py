#!/usr/bin/env -S python3 -B
# tests/hostile/injections through every place of a mail that reaches an
# answer, and every way out: no header, recipient or command of the asker's
# making, no octet that belongs into no mail.

import base64
import email
import email.policy
import glob
import os
import random
import re
import threading

from lib import (ADDRESS, ALICE, ROOT, Sink, crlf, equal, expect, fingerprints, key,
                 maildir_to, new_id, note, packets, run, smtp_to, wait_until)

VICTIM = b"victim@example.com"
INJECTED = "/tmp/mailkeyd-injected"


def injections():
    with open(os.path.join(ROOT, "tests/hostile/injections"),
              encoding="ascii") as f:
        lines = [s for s in f.read().splitlines() if s and s[0] != "#"]
    return [s.encode().decode("unicode_escape").encode("latin-1")
            for s in lines]


def word(text, charset=b"utf-8"):
    return (b"=?" + charset + b"?B?" + base64.b64encode(text) + b"?=")


def folded(text):
    """As it stands, but that a line break begins no field of the request."""
    return re.sub(rb"(\r\n|\n)(?![ \t])", rb"\1 ", text)


def request(subject=b"GET nobody-has-this", **fields):
    """A mail, each field as it is given."""
    header = {b"From": b"Alice <" + ALICE.encode() + b">",
              b"To": ADDRESS.encode(), b"Subject": subject,
              b"Message-ID": new_id().encode()}
    for name, value in fields.items():
        header[name.encode().replace(b"_", b"-")] = value
    return b"".join(name + b": " + value + b"\r\n"
                    for name, value in header.items()) + b"\r\nbody\r\n"


def requests():
    """(what, envelope sender, mail) for each text and each place."""
    for number, text in enumerate(injections()):
        # Whoever writes no command is soon not answered any more.
        other = f"u{number}@example.net"
        yield "Latin-1", other, request(word(text, b"iso-8859-1"))
        for form in (folded(text), word(text)):
            yield "command", other, request(form)
            yield "argument", ALICE, request(b"GET " + form)
            yield "help", ALICE, request(b"HELP " + form)
            yield "From", ALICE, request(From=form)
            yield "Reply-To", ALICE, request(Reply_To=form)
        raw = folded(text)
        yield "name", ALICE, request(From=raw + b" <a@example.net>")
        yield "bracketed", ALICE, request(Reply_To=b"<" + raw + b">")
        yield "Message-ID", ALICE, request(Message_ID=raw)
        yield "in a Message-ID", ALICE, request(
            Message_ID=b"<" + raw + b"@example.net>")
        yield "References", ALICE, request(References=b"<" + raw + b"@x.y>",
                                           In_Reply_To=raw)
        yield "Delivered-To", ALICE, request(Return_Path=b"<" + raw + b">",
                                             Delivered_To=raw)
        line = re.sub(rb"[\r\n\0]", b" ", text).decode("latin-1")
        if not line.startswith("@"):    # a route: its end is the sender
            yield "sender", line, request()
        yield "address", line + "@example.net", request()


def sample(things, n):
    return random.Random(1).sample(list(things), n)


# ---- what an answer may be ------------------------------------------------

FIELDS = {"from", "to", "subject", "date", "message-id", "in-reply-to",
          "references", "auto-submitted", "precedence", "x-loop",
          "mime-version", "content-type", "content-transfer-encoding"}
FROM = ADDRESS.encode()
STRICT = re.compile(rb"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\"-]+@[A-Za-z0-9.-]+")


def check_answer(raw, end, to, what):
    """The octets of an answer to somebody, whose lines have this end."""
    expect(raw.endswith(end), what, "no end", raw[-100:])
    lines = raw.split(end)
    for line in lines:
        expect(not re.search(rb"[^\t\x20-\x7e]", line), what, "octets", line)
        expect(len(line) <= 998, what, "a long line", line)
    head = lines[:lines.index(b"")]
    fields = []
    for line in head:
        if line[:1] in (b" ", b"\t"):
            expect(fields and line.strip(), what, "an odd fold", head)
            fields[-1] = fields[-1][0], fields[-1][1] + line
            continue
        found = re.fullmatch(rb"([A-Za-z-]+):(?: (.*))?", line)
        expect(found, what, "no field", line)
        fields.append((found[1].decode().lower(), found[2] or b""))
    value = dict(fields)
    equal(len(fields), len(value), f"{what}: fields")
    expect(set(value) <= FIELDS, what, "fields", fields)
    for name, wanted in (("from", FROM), ("to", to),
                         ("auto-submitted", b"auto-replied"),
                         ("precedence", b"list"),
                         ("x-loop", ADDRESS.encode())):
        equal(value[name], wanted, f"{what}: {name}")
    for name in ("in-reply-to", "references"):
        for one in value.get(name, b"").split():
            expect(re.fullmatch(rb"<[!-;=?-~]+>", one), what, name, one)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    for part in message.walk():
        equal(part.defects, [], f"{what}: defects")
    kinds = [p.get_content_type() for p in message.walk()]
    expect(kinds in (["text/plain"], ["multipart/mixed", "text/plain",
                                      "application/pgp-keys"]), what, kinds)
    # Only what we show of a text; nothing that a terminal would obey.
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"
                                 "\u202a-\u202e\u2066-\u2069]",
                                 part.get_content().replace("\r\n", "\n")),
                   what, part.get_content())
    expect(not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]",
                         str(message["Subject"])), what, message["Subject"])


def check_log(daemon):
    for line in daemon.log().splitlines():
        expect(re.fullmatch(r"mailkeyd: [\x20-\x7e]*", line), line)
        expect(not line.startswith("mailkeyd: 00000000"), line)
    expect(not os.path.exists(INJECTED), "somebody ran a program")


class Recorder(Sink):
    """A sink that keeps each command as it came."""

    def __init__(self):
        self.commands = []
        self.lock = threading.Lock()
        super().__init__()

    def _talk(self, conn, lines):
        outer = self

        class Lines:
            """Commands pass one by one, the message as it is."""

            def __init__(self):
                self.message = False

            def __iter__(self):
                return self

            def __next__(self):
                line = lines.readline()
                if not line:
                    raise StopIteration
                if self.message:
                    self.message = line != b".\r\n"
                else:
                    with outer.lock:
                        outer.commands.append(line)
                    self.message = line == b"DATA\r\n"
                return line
        super()._talk(conn, Lines())


def post(daemon, mails):
    """Over one LMTP connection, as the octets are; how many were taken."""
    taken = 0
    with daemon.lmtp() as lmtp:
        for what, sender, message in mails:
            lmtp.raw(b"MAIL FROM:<" + sender.encode("latin-1") + b">\r\n")
            code, _ = lmtp.reply()
            if code != 250:
                expect(what in ("sender", "address"), what, code)
                continue
            expect(lmtp.command(f"RCPT TO:<{ADDRESS}>")[0] == 250, what)
            expect(lmtp.command("DATA")[0] == 354, what)
            lmtp.raw(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
            code, text = lmtp.reply()
            equal(code, 250, f"{what}: {text}")
            taken += 1
    return taken


def all_sent(daemon):
    wait_until(lambda: b"\nqueue\t0\n" in daemon.ctl("stats", "--tsv").stdout,
               60, "an empty queue")


def over_smtp(place):
    """over SMTP: one sender, one recipient, one message, as ever"""
    sink = Recorder()
    place.at_close(sink.close)
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    mails = list(requests())
    if not os.environ.get("FULL"):
        mails = sample(mails, 500)
    taken = post(daemon, mails)
    all_sent(daemon)
    note(f"{len(mails)} mails, {taken} taken, {len(sink.got)} answers")
    expect(len(sink.got) > len(mails) * 0.7, "answers", len(sink.got))
    for answer in sink.got:
        check_answer(answer.raw, b"\r\n", answer.recipients[0].encode(),
                     answer.recipients)
        equal((answer.sender, len(answer.recipients)), ("", 1), "envelope")
    for line in sink.commands:
        expect(re.fullmatch(
            rb"(EHLO example\.org|MAIL FROM:<>|RCPT TO:<([^<>]*)>|DATA|RSET|"
            rb"QUIT)\r\n", line), "a command", line)
        if line.startswith(b"RCPT"):
            to = line[9:-3]
            expect(STRICT.fullmatch(to) and to != VICTIM, line)
    equal(sink.commands.count(b"DATA\r\n"), len(sink.got), "messages")
    daemon.stop()
    check_log(daemon)


def by_sendmail(place):
    """by sendmail: five arguments, and the message"""
    program = place.write("sendmail", f"""#!/bin/sh
f=$(mktemp {place.path}/out/XXXXXXXX)
cat >$f
for a; do printf '%s\\0' "$a"; done >$f.args
""")
    os.chmod(program, 0o755)
    os.mkdir(place / "out")
    daemon = place.daemon(
        send=f'send {{ type = sendmail path = "{program}" }}')
    daemon.start()
    mails = sample(requests(), 60)
    post(daemon, mails)
    all_sent(daemon)
    found = glob.glob(place / "out/*.args")
    expect(len(found) > 30, "calls", len(found))
    for path in found:
        with open(path, "rb") as f:
            args = f.read().split(b"\0")
        equal(args[:4] + args[5:], [b"-i", b"-f", b"<>", b"--", b""],
              "arguments")
        expect(STRICT.fullmatch(args[4]) and args[4] != VICTIM, args)
        with open(path[:-5], "rb") as f:
            check_answer(f.read(), b"\n", args[4], args)
    daemon.stop()
    check_log(daemon)


def into_maildir(place):
    """into a Maildir: a file in new/ for each, and nothing elsewhere"""
    folder = place / "out"
    daemon = place.daemon(send=maildir_to(folder))
    daemon.start()
    post(daemon, sample(requests(), 100))
    all_sent(daemon)
    names = os.listdir(folder + "/new")
    expect(len(names) > 50, "files", len(names))
    for name in names:
        expect(re.fullmatch(r"[A-Za-z0-9._:=,-]+", name), name)
        with open(os.path.join(folder, "new", name), "rb") as f:
            raw = f.read()
        to = re.search(rb"(?m)^To: (.*)$", raw).group(1)
        expect(STRICT.fullmatch(to) and to != VICTIM, to)
        check_answer(raw, b"\n", to, name)
    equal(sorted(os.listdir(folder)), ["cur", "new", "tmp"], "folders")
    daemon.stop()
    check_log(daemon)


def once(place):
    """mailkeyd -1, with the envelope as arguments"""
    daemon = place.daemon()
    answered = 0
    for text in injections()[::4]:
        text = text.replace(b"\0", b"")     # no argument has one
        done = daemon.once(request(b"GET " + word(text), Message_ID=b"<" +
                                   folded(text) + b">"),
                           b"--sender=" + text,
                           b"--recipient=" + text)
        expect(done.returncode == 0, text, done.returncode, done.stderr)
        if done.stdout:
            answered += 1
            to = re.search(rb"(?m)^To: (.*?)\r?$", done.stdout).group(1)
            # A UUCP path is answered at From.
            expect(to in (text, ALICE.encode()), text, "answered", to)
            check_answer(done.stdout, b"\r\n", to, text)
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            expect(re.fullmatch(r"mailkeyd: [\x20-\x7e]*", line), line)
    note(f"{answered} answers")


def user_ids(place):
    """each as a user ID of a key: in ADD, GET, INDEX, LAST and sync mails"""
    block = key("injections.asc")
    data = base64.b64decode(b"".join(block.split(b"\n")[2:-2]))
    there = {data[a + 3:b] for tag, a, b in packets(data) if tag == 13}
    equal(there - {b"Injector <injector@example.org>"}, set(injections()),
          "user IDs of injections.asc, which odd.py makes")
    fpr = fingerprints(place, data)[0]
    sink = Recorder()
    place.at_close(sink.close)
    daemon = place.daemon(
        send=smtp_to(sink.port), extra='peer "p" { address = '
        '"keys@peer.example" gather = 0s }')
    daemon.start()
    asked = [request(s.encode()) for s in (
        f"GET 0x{fpr}", "INDEX injector", "VERBOSE INDEX injector",
        "GET injector@example.org", "LAST 3", "CHECK", "INDEX victim",
        "GET 'victim@example.com'", 'GET "Bcc: victim@example.com"')]
    post(daemon, [("ADD", ALICE, request(b"ADD")[:-6] + crlf(block))])
    post(daemon, [("", ALICE, m) for m in asked])
    post(daemon, [("", ALICE, request(b"CHECK")[:-6] + crlf(block))])
    all_sent(daemon)
    answers = [d for d in sink.got if d.recipients == [ALICE]]
    equal(len(answers), 2 + len(asked), "answers")
    for answer in answers:
        check_answer(answer.raw, b"\r\n", ALICE.encode(), answer.subject)
        expect(len(re.findall(rb"(?m)^-----BEGIN PGP", answer.raw)) <= 1,
               "armored blocks", answer.raw)
    sync = [d for d in sink.got if d.recipients != [ALICE]]
    expect(sync and all(d.recipients == ["keys@peer.example"] for d in sync),
           "sync mails", len(sync))
    for d in sync:
        expect(not re.search(rb"[^\t\r\n\x20-\x7e]", d.raw), "octets", d.raw)
        expect(b"victim" not in d.raw, "a user ID in the open")
    for line in sink.commands:
        expect(VICTIM not in line, line)
    for args in (("index", "injector"), ("index", "-v", "injector")):
        out = daemon.ctl(*args).stdout.decode()
        expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-"
                             "\u202e\u2066-\u2069]", out), args, repr(out))
    daemon.stop()
    check_log(daemon)


run(over_smtp, by_sendmail, into_maildir, once, user_ids)
