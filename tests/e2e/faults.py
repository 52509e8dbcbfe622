#!/usr/bin/env -S python3 -B
# Eighteen faults that were found in the old servers (PKS 0.9.6, onak 0.6.2,
# Graff's scripts), numbered, and for each a test that mailkeyd has it not.

import os
import re
import time

from lib import (ADDRESS, ALICE, SLOW, armor, ask, equal, expect,
                 fingerprints, gpg, key, mail, new_id, note, packets, run,
                 show_keys, smtp_to, stuffed, wait_until)

STRANGER = "stranger@example.com"


def daemon_and_sink(place, **options):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), **options)
    daemon.start()
    return daemon, sink


def dearmored(place, block):
    return gpg(place, "--dearmor", stdin=block)


def add(daemon, sink, block):
    answer = ask(daemon, sink, "ADD", block)
    equal(answer.subject, "Your command, ADD", "Subject")
    return answer


def stored(place, daemon, sink, fpr):
    """What GET by fingerprint brings, as gpg shows it; None: nothing."""
    answer = ask(daemon, sink, f"GET 0x{fpr}")
    if not answer.keys():
        expect(answer.subject.endswith(", failed"), "Subject", answer.subject)
        return None
    return show_keys(place, answer.keys())[fpr]


def send_only(daemon, message, sender=ALICE):
    with daemon.lmtp() as lmtp:
        equal([a[0] for a in lmtp.send(message, sender)], [250], "status")


def nothing_comes(daemon, sink, before):
    """No answer to what was sent before; a HELP shows that all is done."""
    ask(daemon, sink, "HELP", sender="check@example.net")
    time.sleep(0.3 * SLOW)
    got = [d for d in sink.got if "check@example.net" not in d.recipients]
    equal([d.subject for d in got[before:]], [], "answers")


def reheaded(tag, body, old):
    """A packet in the header form that is asked for (RFC 9580, 4.2)."""
    n = len(body)
    if old:
        expect(n < 256, "too long for one octet of length")
        return bytes([0x80 | tag << 2, n]) + body
    if n < 192:
        length = bytes([n])
    elif n < 8384:
        length = bytes([192 + (n - 192 >> 8), n - 192 & 0xff])
    else:
        length = b"\xff" + n.to_bytes(4, "big")
    return bytes([0xc0 | tag]) + length + body


def bodies(data):
    """(tag, body) of each packet."""
    for tag, start, end in packets(data):
        first = data[start]
        if first & 0x40:
            octet = data[start + 1]
            skip = 2 if octet < 192 else 3 if octet < 224 else 6
        else:
            skip = 1 + (1 << (first & 3))
        yield tag, data[start + skip:end]


# ---- the rows ---------------------------------------------------------------

def row_1(place):
    """1: long arguments and user IDs do not crash it"""
    daemon, sink = daemon_and_sink(place)
    pid = daemon.process.pid
    for command in ("HELP", "GET", "INDEX", "VERBOSE INDEX", "ADD", "LAST",
                    "MGET", "NOSUCH"):
        for letter in ("A", "é", "%s%n", "0"):
            ask(daemon, sink, f"{command} {letter * 3000}",
                sender=f"{command.split()[0].lower()}@example.net")
    ask(daemon, sink, "HELP" + "A" * 3000)
    add(daemon, sink, key("long-userid.asc"))
    for command in ("INDEX", "VERBOSE INDEX", "GET"):
        for what in ("longname", "0xC3E56FAF72660528F50686B7C821E92A2ECC453B",
                     "x" * 255):
            ask(daemon, sink, f"{command} {what}")
    expect(daemon.running() and daemon.process.pid == pid, "it crashed")
    expect("reader_died" not in daemon.log(), "a reader died")


def row_1_sendmail(place):
    """1: what sendmail prints does not crash it"""
    program = place.write("sendmail", "#!/bin/sh\ncat >/dev/null\n"
                          "head -c 100000 /dev/zero | tr '\\0' x\n"
                          "head -c 100000 /dev/zero | tr '\\0' y >&2\n"
                          "exit 75\n")
    os.chmod(program, 0o755)
    daemon = place.daemon(send=f'send {{ type = sendmail path = "{program}" '
                          'retry = 1s }')
    daemon.start()
    send_only(daemon, mail("HELP"))
    wait_until(lambda: "yyyy" in daemon.log() or "xxxx" in daemon.log()
               or "75" in daemon.log(), 20, "a word on it in the log")
    expect(daemon.running(), "it crashed")
    longest = max(len(s) for s in daemon.log().splitlines())
    expect(longest < 4000, "a line of", longest, "in the log")


def row_2(place):
    """2: after SIGKILL in an ADD the next start needs no hand"""
    daemon, sink = daemon_and_sink(place)
    lmtp = daemon.lmtp()
    lmtp.raw((f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{ADDRESS}>\r\nDATA\r\n")
             .encode())
    for _ in range(3):
        lmtp.reply()
    lmtp.raw(stuffed(mail("ADD", key("bob.asc"))))
    daemon.kill()
    lmtp.close()
    seconds = daemon.start()
    expect(seconds < 10 * SLOW, f"the start took {seconds:.1f} s")
    begin = time.monotonic()
    add(daemon, sink, key("bob.asc"))
    add(daemon, sink, key("alice.asc"))
    expect(time.monotonic() - begin < 10 * SLOW, "ADD is slow")


def row_3(place):
    """3: no digit of a key ID or fingerprint is thrown away"""
    daemon, sink = daemon_and_sink(place)
    both = []
    for name in ("collision-1.asc", "collision-2.asc"):
        add(daemon, sink, key(name))
        both += fingerprints(place, key(name))
    short = both[0][-8:]
    equal(both[1][-8:], short, "the pair's key IDs")
    for what in ("0" * 32 + short, "F" * 32 + short, "0" * 8 + short,
                 both[0][:30] + "00" + short):
        answer = ask(daemon, sink, f"GET 0x{what}")
        equal(answer.keys(), b"", f"keys for 0x{what}")
        expect(answer.subject.endswith(", failed"), answer.subject)
    for fpr in both:
        for what in (fpr, fpr[-16:]):
            answer = ask(daemon, sink, f"GET 0x{what}")
            equal(fingerprints(place, answer.keys()), [fpr], what)
    answer = ask(daemon, sink, f"GET 0x{short}")
    equal(fingerprints(place, answer.keys()), sorted(both), "both")
    for fpr in both:
        expect(fpr in answer.text(), "no", fpr, "in", answer.text())
    expect("AMBIGUOUS" in answer.text(), answer.text())


def row_4(place):
    """4: a fingerprint does not depend on the packet's header"""
    wanted = fingerprints(place, key("frank-v3sig.asc"))[0]
    data = dearmored(place, key("frank-v3sig.asc"))
    equal(data[0], 0x98, "first octet: a length of one octet")
    two = b"".join(bytes([0x80 | t << 2 | 1]) + len(b).to_bytes(2, "big") + b
                   for t, b in bodies(data))
    new = b"".join(reheaded(t, b, False) for t, b in bodies(data))
    for name, block in (("one", data), ("two", two), ("new", new)):
        sink = place.sink()
        daemon = place.daemon(name=name, send=smtp_to(sink.port))
        daemon.start()
        answer = add(daemon, sink, armor(block))
        expect(wanted in answer.text(), answer.text())
        for what in (wanted, wanted[-16:], wanted[-8:]):
            answer = ask(daemon, sink, f"GET 0x{what}")
            equal(fingerprints(place, answer.keys()), [wanted], what)


def row_5(place):
    """5: new headers, ECC, attributes, odd packets stop nothing"""
    daemon, sink = daemon_and_sink(place)
    odd = reheaded(60, b"private", False) + reheaded(10, b"PGP", True)
    ring, wanted = b"", []
    for name in ("alice.asc", "debian-ecdsa-photo.asc", "rfc9580-v6.asc",
                 "grace-v3key.asc", "carol.asc", "bob.asc"):
        data = dearmored(place, key(name))
        if name[:4] not in ("rfc9", "grac"):
            wanted += fingerprints(place, key(name))
        parts = list(bodies(data))
        ring += b"".join(reheaded(t, b, False) + odd * (t == 13)
                         for t, b in parts) + odd
    answer = add(daemon, sink, armor(ring))
    note(answer.text())
    for fpr in wanted:
        expect(fpr in answer.text(), "no", fpr, "in the answer")
        expect(stored(place, daemon, sink, fpr), fpr, "was not stored")
    shown = stored(place, daemon, sink, wanted[0])
    equal(len(shown.subkeys), 2, "subkeys of alice.asc")


def row_6(place):
    """6: LAST sends every key that changed, the newest too"""
    daemon, sink = daemon_and_sink(place)
    wanted = []
    for name in ("bob.asc", "alice.asc", "debian-ed25519.asc"):
        add(daemon, sink, key(name))
        wanted += fingerprints(place, key(name))
        answer = ask(daemon, sink, "LAST 1")
        equal(fingerprints(place, answer.keys()), sorted(wanted),
              f"LAST with {len(wanted)} keys")
        equal(answer.keys().count(b"-----BEGIN PGP"), 1, "blocks")
    for bad in ("0", "-1", "7x", "seven", "1 week", "", "99999999999999999999",
                "1e1"):
        answer = ask(daemon, sink, f"LAST {bad}")
        equal(answer.keys(), b"", f"keys for LAST {bad}")


def row_7(place):
    """7: only what verifies is stored; junk certifications are not sent"""
    daemon, sink = daemon_and_sink(place)
    bob = dearmored(place, key("bob.asc"))
    parts = list(bodies(bob))
    wanted = fingerprints(place, key("bob.asc"))[0]
    bare = b"".join(reheaded(t, b, False) for t, b in parts if t != 2)
    ask(daemon, sink, "ADD", armor(bare))
    expect(not stored(place, daemon, sink, wanted),
           "a key without self-signature was stored")
    spoilt = b"".join(
        reheaded(t, b if t != 2 else b[:-1] + bytes([b[-1] ^ 1]), False)
        for t, b in parts)
    ask(daemon, sink, "ADD", armor(spoilt))
    expect(not stored(place, daemon, sink, wanted),
           "a key with a spoilt self-signature was stored")

    # 400 certifications by nobody, behind the user ID's own signature
    signature = next(b for t, b in parts if t == 2)
    junk = b""
    for n in range(400):
        made_up = bytearray(signature)
        at = bytes(signature).rfind(bytes.fromhex(wanted[-16:]))
        made_up[at:at + 8] = os.urandom(8)
        made_up[-100:] = os.urandom(100)
        junk += reheaded(2, bytes(made_up), False)
    block, seen = b"", False
    for t, b in parts:
        block += reheaded(t, b, False)
        if t == 2 and not seen:
            block += junk
            seen = True
    answer = ask(daemon, sink, "ADD", armor(block))
    expect(wanted in answer.text(), answer.text())
    answer = ask(daemon, sink, f"GET 0x{wanted}")
    expect(len(answer.raw) < 10000, "the answer has", len(answer.raw),
           "octets")
    signatures = sum(t == 2 for t, _ in bodies(dearmored(place,
                                                         answer.keys())))
    expect(signatures <= sum(t == 2 for t, _ in parts), signatures,
           "signatures are sent")


def row_8(place):
    """8: MIME, QP, base64, several blocks, armor without checksum"""
    import base64
    import quopri
    daemon, sink = daemon_and_sink(place)
    mime = "MIME-Version: 1.0"
    name = "Content-Type: application/pgp-keys"
    bob, erin = key("bob.asc"), key("erin.asc")
    no_crc = b"\n".join(s for s in erin.split(b"\n")
                        if not re.fullmatch(rb"=....", s))
    multi = (b"--b\nContent-Type: text/plain\n\nhello\n--b\n"
             b"Content-Type: application/octet-stream; name=x.gpg\n"
             b"Content-Transfer-Encoding: base64\n\n"
             + base64.encodebytes(dearmored(place, key("carol.asc")))
             + b"--b--\n")
    cases = (
        (bob, (mime, name)),
        (key("alice.asc"), (mime, name)),
        (no_crc, ()),
        (multi, (mime, "Content-Type: multipart/mixed; boundary=b")),
        (quopri.encodestring(key("debian-ed25519.asc")),
         (mime, name, "Content-Transfer-Encoding: quoted-printable")),
        (base64.encodebytes(key("dave-expired.asc")),
         (mime, name, "Content-Transfer-Encoding: base64")),
        (key("debian-rsa2048.asc") + b"\nand\n" + key("debian-utf8.asc"), ()),
    )
    wanted = []
    for body, headers in cases:
        answer = ask(daemon, sink, "ADD", body, headers=headers)
        new = [s for s in answer.text().splitlines()
               if re.fullmatch("[0-9A-F]{40}", s)]
        expect(new and "New key" in answer.text(), answer.text())
        wanted += new
    equal(len(wanted), 8, "keys stored")
    for fpr in wanted:
        expect(stored(place, daemon, sink, fpr), fpr, "was not stored")


def row_9(place):
    """9: no success is claimed for nothing; no option injection; CR LF"""
    daemon, sink = daemon_and_sink(place)
    for body in (b"", b"hello\n", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
                 b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n"
                 b"-----END PGP PUBLIC KEY BLOCK-----\n"):
        answer = ask(daemon, sink, "ADD", body)
        expect("Nothing was added" in answer.text() and
               answer.subject.endswith(", failed"), answer.subject,
               answer.text())
    add(daemon, sink, key("erin.asc"))
    answer = add(daemon, sink, key("erin.asc"))
    expect("New key" not in answer.text(), answer.text())
    for what in ("--help", "-v", "`id`", "$(id)", "; id", "| id"):
        answer = ask(daemon, sink, f"INDEX {what}")
        expect("No matching keys" in answer.text() or
               "at least" in answer.text(), answer.text())
        expect("uid=" not in answer.text(), answer.text())
    equal(daemon.stop(), 0, "exit status")
    for end in (b"\n", b"\r\n"):
        done = daemon.once(mail("INDEX erin").replace(b"\n", end))
        equal(done.returncode, 0, "exit status")
        expect(b"9126EBE7" in done.stdout, done.stdout, done.stderr)


def row_10(place):
    """10: one recipient, and no header of the asker's making"""
    daemon, sink = daemon_and_sink(place)
    answer = ask(daemon, sink, "HELP", headers=(
        "Reply-To: a@example.com, b@example.com, c@example.com",))
    equal(answer.recipients, [ALICE], "recipients")
    equal(answer.message["To"], ALICE, "To")
    for spelling in ("=?utf-8?Q?a=0D=0ABcc:_victim@example.com?=",
                     "=?utf-8?Q?a=0DBcc:_victim@example.com?=",
                     "=?utf-8?Q?a=00=0ABcc:_victim@example.com?=",
                     "=?utf-8?Q?a=E2=80=A8Bcc:_victim@example.com?=",
                     "=?utf-16?B?AGEADQAKAEIAYwBjADoAIAB2AEAAdgAuAGQ=?=",
                     "a\r\n Bcc: victim@example.com"):
        answer = ask(daemon, sink, f"GET {spelling}")
        head = re.split(rb"\r?\n\r?\n", answer.raw, maxsplit=1)[0]
        expect(not re.search(rb"(?mi)(^|\r|\0)bcc", head), head)
        expect(b"\r" not in head.replace(b"\r\n", b""), head)
        equal(answer.recipients, [ALICE], "recipients")
    before = len(sink.got)
    # crlf() of the client would mend these
    for subject in (b"GET a\rBcc: victim@example.com", b"GET a\0b"):
        message = mail("@", message_id=new_id()).replace(
            b"Subject: @", b"Subject: " + subject)
        with daemon.lmtp() as lmtp:
            lmtp.command(f"MAIL FROM:<{ALICE}>")
            lmtp.command(f"RCPT TO:<{ADDRESS}>")
            lmtp.command("DATA")
            lmtp.raw(message.replace(b"\n", b"\r\n") + b".\r\n")
            lmtp.reply()
    nothing_comes(daemon, sink, before)


def row_11(place):
    """11: floods, empty mails, loops and forged senders are bounded"""
    daemon, sink = daemon_and_sink(place)
    with daemon.lmtp() as lmtp:
        for n in range(12):
            subject = ("", "NOSUCH", "hello there")[n % 3]
            equal(lmtp.send(mail(subject))[0][0], 250, "status")
    sink.wait(lambda got: len(got) >= 4, 20, "four answers")
    nothing_comes(daemon, sink, 4)
    # the sender's connections may overtake each other
    sizes = sorted(len(d.raw) for d in sink.got[:4])
    expect(sizes[2] < 2000 < sizes[3], "sizes", sizes)
    # HELP is answered all the same
    answer = ask(daemon, sink, "HELP")
    # our own answer, sent back
    before = len(sink.got) - 1
    send_only(daemon, answer.raw, sender="")
    send_only(daemon, answer.raw, sender=ALICE)
    nothing_comes(daemon, sink, before)

    other = place.daemon(name="e", send=smtp_to(sink.port),
                         limits={"replies_per_hour": 5})
    other.start()
    before = len(sink.got)
    with other.lmtp() as lmtp:
        for _ in range(12):
            lmtp.send(mail("HELP", sender="victim@example.com"),
                      "victim@example.com")
    time.sleep(1 * SLOW)
    equal(len(sink.got) - before, 5, "answers to a forged sender")


def row_12(place):
    """12: mails do not wait for a queue runner, nor come back for ever"""
    daemon, sink = daemon_and_sink(place)
    begin = time.monotonic()
    ids = [new_id() for _ in range(60)]
    with daemon.lmtp() as lmtp:
        for i in ids:
            equal(lmtp.send(mail("HELP", message_id=i))[0][0], 250, "status")
    for i in ids:
        sink.answer_to(i)
    seconds = time.monotonic() - begin
    note(f"60 mails in {seconds:.2f} s")
    expect(seconds < 10 * SLOW, "60 mails took", seconds, "s")

    tries = []

    def verdict(recipient, _raw):
        tries.append(recipient)
        return "550 no such user"
    refusing = place.sink(verdict=verdict)
    daemon = place.daemon(name="e", send=smtp_to(refusing.port))
    daemon.start()
    send_only(daemon, mail("HELP"))
    wait_until(lambda: tries, 10, "a try")
    time.sleep(2.5)
    equal(len(tries), 1, "tries")


def row_13(place):
    """13: no user ID makes a line, an armor header or a mail header"""
    daemon, sink = daemon_and_sink(place)
    added = add(daemon, sink, key("hostile-userids.asc"))
    answers = [added]
    answers += [ask(daemon, sink, f"{c} mallory")
                for c in ("INDEX", "VERBOSE INDEX", "VINDEX", "GET")]
    for answer in answers:
        text = answer.text()
        expect("mallory" in text.lower(), text)
        expect(not re.search(r"(?m)^(Bcc|pub +4096R|-----BEGIN)", text), text)
        expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e"
                             "\u2028\u2029\u2066-\u2069]",
                             text.replace("\r\n", "\n")), repr(text))
        keys = answer.keys()
        equal(answer.raw.count(b"\n-----BEGIN PGP"), 1 if keys else 0,
              "blocks")
        expect("Bcc" not in answer.message, "a Bcc field")


def row_14(place):
    """14: the argument of HELP is no path"""
    daemon, sink = daemon_and_sink(place)
    plain = ask(daemon, sink, "HELP").text()
    for what in ("../../../../etc/passwd", "/etc/passwd", "..", ".", "de/../en",
                 "C:\\boot.ini", "%00", "e" * 300):
        answer = ask(daemon, sink, f"HELP {what}")
        equal(answer.text(), plain, f"HELP {what}")


def row_15(place):
    """15: a secret key is refused, and its owner told that it is exposed"""
    daemon, sink = daemon_and_sink(place)
    answer = ask(daemon, sink, "ADD", key("erin.sec.asc"))
    text = answer.text().lower()
    for word in ("secret", "revo"):
        expect(word in text, "no", word, "in", text)
    fpr = fingerprints(place, key("erin.asc"))[0]
    expect(not stored(place, daemon, sink, fpr), "it was stored")


def row_16(place):
    """16: a bare revocation certificate revokes, the key in the mail or not"""
    daemon, sink = daemon_and_sink(place)
    fpr = fingerprints(place, key("carol.asc"))[0]
    answer = ask(daemon, sink, "ADD", key("carol-revocation.asc"))
    expect("not stored" in " ".join(answer.text().split()), answer.text())
    add(daemon, sink, key("carol.asc"))
    equal(stored(place, daemon, sink, fpr).primary[0], "-", "validity")
    answer = add(daemon, sink, key("carol-revocation.asc"))
    expect("REVOKED" in answer.text(), answer.text())
    equal(stored(place, daemon, sink, fpr).primary[0], "r", "validity")

    other = place.daemon(name="e", send=smtp_to(sink.port))
    other.start()
    add(other, sink, key("carol-revocation.asc") + key("carol.asc"))
    equal(stored(place, other, sink, fpr).primary[0], "r", "validity")


def row_17(place):
    """17: no index and no ring for the asking; removal is answered"""
    daemon, sink = daemon_and_sink(place, limits={"max_reply_keys": 2})
    for name in ("alice.asc", "bob.asc", "carol.asc", "erin.asc"):
        add(daemon, sink, key(name))
    for subject in ("GET", "INDEX", "VERBOSE INDEX", "GET *", "GET .", "GET @",
                    'GET ""', "GET 0x", "GET example.org", "INDEX example.org",
                    "MGET .*", "MGET ...", "MGET example.org"):
        answer = ask(daemon, sink, subject)
        equal(answer.keys(), b"", f"keys for {subject}")
        text = answer.text()
        expect(sum(s in text for s in ("DDB5EA9E", "8F051381", "9126EBE7"))
               < 3, subject, "lists all:", text)
    for subject in ("DELETE 0x9126EBE7", "REMOVE my key", "UNSUBSCRIBE",
                    "DISABLE"):
        text = ask(daemon, sink, subject).text()
        expect("revo" in text.lower(), subject, "is answered with", text)


def row_18(place):
    """18: a stranger's INCREMENTAL is not worked on and not answered"""
    daemon, sink = daemon_and_sink(place)
    fpr = fingerprints(place, key("bob.asc"))[0]
    for headers in ((), (f"X-KeyServer-Sent: {ADDRESS} ",),
                    ("X-Keyserver-Sent: a@example.com", "Precedence: list")):
        send_only(daemon, mail("INCREMENTAL", key("bob.asc"), STRANGER,
                               headers=headers), STRANGER)
        send_only(daemon, mail("incremental", key("bob.asc"), STRANGER,
                               headers=headers), STRANGER)
    nothing_comes(daemon, sink, 0)
    expect(not stored(place, daemon, sink, fpr), "it was stored")
    # spam that begins so
    answer = ask(daemon, sink, "Incremental update of your mailbox",
                 key("bob.asc"))
    expect(answer.subject.endswith(", was invalid"), answer.subject)
    expect(not stored(place, daemon, sink, fpr), "it was stored")


def row_18_peers(place):
    """18: one blank in X-KeyServer-Sent defeats nothing (see ring.py too)"""
    peers = "\n".join(f'peer "{n}" {{ address = "keys@{n}.example.net" '
                      'gather = 0 }' for n in ("one", "two", "three"))
    daemon, sink = daemon_and_sink(place, extra=peers)
    fpr = fingerprints(place, key("bob.asc"))[0]
    send_only(daemon, mail("INCREMENTAL", key("bob.asc"),
                           "keys@one.example.net", headers=(
                               "X-KeyServer-Sent:  Keys@TWO.example.net \t ",
                               "Precedence: list")), "keys@one.example.net")
    sink.wait(lambda got: got, 20, "the mail to the third")
    expect(stored(place, daemon, sink, fpr), "it was not stored")
    time.sleep(0.5 * SLOW)
    sync = [d for d in sink.got if d.subject == "incremental"]
    equal([d.recipients for d in sync], [["keys@three.example.net"]],
          "recipients")
    sent = sync[0].message.get_all("X-KeyServer-Sent")
    sent = [s.strip().lower() for s in sent]
    equal((sent[0], sent[-1], sent.count(ADDRESS)),
          ("keys@two.example.net", ADDRESS, 1), "X-KeyServer-Sent")


run(row_1, row_1_sendmail, row_2, row_3, row_4, row_5, row_6, row_7, row_8,
    row_9, row_10, row_11, row_12, row_13, row_14, row_15, row_16, row_17,
    row_18, row_18_peers)
