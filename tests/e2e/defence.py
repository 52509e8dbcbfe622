#!/usr/bin/env -S python3 -B
# What a public robot must withstand, row by row: each limit at its value and
# one past it, through the whole of the daemon.  What a row stops over a limit
# with a sound header is answered once, with a bent one it has a line in the
# log, and in both cases the source is done with it.

import os

from lib import (ADDRESS, ALICE, ROOT, ask, equal, expect, key, new_id, run,
                 smtp_to)

ELEVEN = ("alice", "bob", "carol", "erin", "collision-1", "collision-2",
          "hostile-userids", "lou-v4", "nora", "oscar", "injections")


def head(message_id, *fields):
    return "\r\n".join((f"From: <{ALICE}>", f"To: {ADDRESS}",
                        f"Message-ID: {message_id}", "Subject: ADD",
                        *fields)).encode() + b"\r\n"


# Each makes a mail that measures n, with a certificate in it.

def message(n, message_id):
    raw = head(message_id) + b"\r\n" + CERT + b"\r\n"
    filler = b"x" * 70 + b"\r\n"
    raw += filler * ((n - len(raw)) // len(filler) - 1)
    return raw + b"x" * (n - len(raw) - 2) + b"\r\n"


def header(n, message_id):
    raw = head(message_id)
    while n - len(raw) > 2000:
        raw += b"X-A: " + b"a" * 993 + b"\r\n"
    return raw + b"X-A: " + b"a" * (n - len(raw) - 7) + b"\r\n\r\n" + CERT


def field(n, message_id):
    folds = b"X-A:" + (b"\r\n " + b"a" * 500) * (n // 503 - 1)
    folds += b"\r\n " + b"a" * (n - len(folds) - 5) + b"\r\n"
    assert len(folds) == n
    return head(message_id) + folds + b"\r\n" + CERT


def fields(n, message_id):
    return head(message_id, *["A: b"] * (n - 4)) + b"\r\n" + CERT


def content_types(n, message_id):
    return (head(message_id) + b"\r\n" + b"Content-Type: x\r\n" * n + CERT)


def messages(n, message_id):
    raw = head(message_id)
    for _ in range(n):
        raw += b"Content-Type: message/rfc822\r\n\r\n"
    return raw + b"Subject: x\r\n\r\n" + CERT


def depth(n, message_id):
    raw = head(message_id)
    for i in range(n):
        raw += (f"Content-Type: multipart/mixed; boundary=b{i}x\r\n\r\n"
                f"--b{i}x\r\n").encode()
    raw += b"Content-Type: text/plain\r\n\r\n" + CERT + b"\r\n"
    return raw + b"".join(f"--b{i}x--\r\n".encode()
                          for i in reversed(range(n)))


def parts(n, message_id):
    raw = head(message_id, "Content-Type: multipart/mixed; boundary=b")
    raw += b"\r\n" + b"--b\r\n\r\ntext\r\n" * (n - 1)
    return raw + b"--b\r\n\r\n" + CERT + b"\r\n--b--\r\n"


def nul(n, message_id):
    return head(message_id, "X-A: " + "\0" * n) + b"\r\n" + CERT


def received(n, message_id):
    return b"Received: by x\r\n" * n + head(message_id) + b"\r\n" + CERT


def froms(n, message_id):
    return (f"From: <{ALICE}>\r\n" * (n - 1)).encode() + head(message_id) + \
        b"\r\n" + CERT


def subjects(n, message_id):
    return b"Subject: ADD\r\n" * (n - 1) + head(message_id) + b"\r\n" + CERT


CERT = key("alice.asc").replace(b"\n", b"\r\n")

# name, what makes the mail, the limit, what one more brings: "552" over LMTP,
# an answer that names the limit, or a line of the log with this note
ROWS = (
    ("message 5 MB", message, 5 << 20, "552", None),
    ("header block 64 KB", header, 64 << 10, "log", "header_size"),
    ("one field 16 KB", field, 16 << 10, "log", "field_size"),
    ("500 fields", fields, 500, "log", "header_fields"),
    ("200 Content-Type lines", content_types, 200, "answer", "content_types"),
    ("20 message levels", messages, 20, "answer", "nested_messages"),
    ("MIME depth 20", depth, 20, "answer", "mime_depth"),
    ("100 parts", parts, 100, "answer", "mime_parts"),
    ("no NUL in headers", nul, 0, "log", "NUL"),
    ("25 Received", received, 25, "log", "too many Received fields"),
    ("one From", froms, 1, "log", "two From fields"),
    ("one Subject", subjects, 1, "log", "two Subject fields"),
)


def post(lmtp, raw):
    """As the octets are; the status."""
    equal(lmtp.command(f"MAIL FROM:<{ALICE}>")[0], 250, "MAIL")
    equal(lmtp.command(f"RCPT TO:<{ADDRESS}>")[0], 250, "RCPT")
    equal(lmtp.command("DATA")[0], 354, "DATA")
    lmtp.raw(raw + (b"" if raw.endswith(b"\r\n") else b"\r\n") + b".\r\n")
    return lmtp.reply()[0]


def mails(place):
    """huge and bent mails: each limit, and one past it"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    for name, make, limit, past, note in ROWS:
        message_id = new_id()
        with daemon.lmtp() as lmtp:
            equal(post(lmtp, make(limit, message_id)), 250, f"{name}: status")
        text = sink.answer_to(message_id).text()
        expect("05E825E4425612B5" in text.replace(" ", ""), name, text)
        message_id = new_id()
        before = len(daemon.log())
        with daemon.lmtp() as lmtp:
            equal(post(lmtp, make(limit + 1, message_id)),
                  552 if past == "552" else 250, f"{name}, one past it")
        if past == "answer":
            text = sink.answer_to(message_id).text()
            expect("over a limit" in text and note in text, name, text)
            continue
        ask(daemon, sink, "STATS")
        expect(not [d for d in sink.got if d.in_reply_to == message_id],
               name, "it was answered")
        line = next(s for s in daemon.log()[before:].splitlines()
                    if "outcome=" in s)
        if past == "552":
            expect("outcome=refused" in line, name, line)
        else:
            expect("outcome=silent" in line and note in line, name, line)


def harvest(place):
    """harvesting and regular expressions: as much as allowed, and one more"""
    sink = place.sink()
    daemon = place.daemon(
        send=smtp_to(sink.port), limits={
            "mget": "yes", "max_reply_keys": 10, "max_last_reply_keys": 10})
    daemon.start()

    def load(names):
        for name in names:
            path = os.path.join(ROOT, "tests/keys", name + ".asc")
            equal(daemon.ctl("import", path).returncode, 0, name)

    def found(subject):
        return bool(ask(daemon, sink, subject).keys())

    load(ELEVEN[:10])
    commands = ("GET example", "MGET example", "LAST 1", "LAST 30")
    for command in commands:
        expect(found(command), command, "brings nothing for ten keys")
    expect("30" in ask(daemon, sink, "LAST 31").text() and
           not found("LAST 31"), "LAST looks back too far")
    load(ELEVEN[10:])
    for command in commands:
        answer = ask(daemon, sink, command)
        expect(not answer.keys() and "11" in answer.text(), command,
               answer.text())
    # 64 characters and three literal ones in a row.
    for pattern, fine in (("nob" + "." * 61, True), ("nob" + "." * 62, False),
                          ("nob", True), ("no.", False), ("nob|no", False),
                          (r"(nob)\1", False)):
        text = ask(daemon, sink, f"MGET {pattern}").text()
        equal("No matching keys" in text, fine, f"{pattern}: {text}")


def addresses(place):
    """an address of 254 octets is answered, one of 255 is not"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    domain = ".".join(["d" * 50] * 4) + ".example"
    for size in (254, 255):
        long = "a" * (size - len(domain) - 1) + "@" + domain
        answer = ask(daemon, sink, "HELP", headers=(f"Reply-To: {long}",))
        equal(answer.recipients, [long if size == 254 else ALICE],
              f"recipient with a Reply-To of {size} octets")


run(mails, harvest, addresses)
