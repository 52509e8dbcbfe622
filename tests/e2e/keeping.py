#!/usr/bin/env python3
# What is kept of a certificate beside what its key signed, and how many are
# taken: what mailkeyd.conf(5) says under `certificates` and `keys_per_mail`.

import hashlib
import os

from lib import (armor, ask, certificates, equal, expect, fingerprints, gpg,
                 key, packets, run, show_keys, smtp_to, wait_until)

PHOTO = "1984860920B60CED8D13093747D37F29E62EB8FF"


def daemon_and_sink(place, **options):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), **options)
    daemon.start()
    return daemon, sink


def served(place, daemon, sink, fpr):
    """What GET brings, in binary form."""
    return gpg(place, "--dearmor",
               stdin=ask(daemon, sink, f"GET 0x{fpr}").keys())


def attributes(place):
    """a photo is kept where it is wanted, and served as it came"""
    block = key("debian-ecdsa-photo.asc")
    daemon, sink = daemon_and_sink(
        place, extra="certificates { attributes = keep }")
    text = ask(daemon, sink, "ADD", block).text()
    expect("1 user attribute" in text, text)
    expect("photos" not in text, text)
    sent = gpg(place, "--dearmor", stdin=block)
    got = served(place, daemon, sink, PHOTO)
    photos = [[data[a:b] for tag, a, b in packets(data) if tag == 17]
              for data in (sent, got)]
    equal(len(photos[1]), 1, "user attributes served")
    equal(photos[1][0][-4000:], photos[0][0][-4000:], "the photo")
    equal(show_keys(place, got)[PHOTO].attributes, 1, "attributes to gpg")
    text = ask(daemon, sink, f"VERBOSE INDEX 0x{PHOTO}").text()
    expect("[user attribute, " in text, text)
    text = ask(daemon, sink, "ADD", block).text()
    expect("Nothing new" in text, text)


def attribute_too_large(place):
    """a photo of one octet more than attribute_size is left out alone"""
    block = key("debian-ecdsa-photo.asc")
    data = gpg(place, "--dearmor", stdin=block)
    start, end = next((a, b) for tag, a, b in packets(data) if tag == 17)
    size = end - start - 3      # an old header with two octets of length
    for cap, kept in ((size, 1), (size - 1, 0)):
        daemon, sink = daemon_and_sink(
            place, name=f"d{cap}", limits={"attribute_size": cap},
            extra="certificates { attributes = keep }")
        text = ask(daemon, sink, "ADD", block).text()
        equal("user attribute" in text, kept == 1, "kept")
        equal("packets that are too large: 1" in text, kept == 0, "told")
        shown = show_keys(place, served(place, daemon, sink, PHOTO))[PHOTO]
        equal(shown.attributes, kept, "attributes")
        expect(len(shown.userids) > 3, "the user IDs stay")


def fifty_one(place):
    """of 51 certificates in an ADD the first 50 are taken"""
    with open("/usr/share/keyrings/debian-keyring.gpg", "rb") as f:
        ring = f.read(4 << 20)
    # Small ones, whole: the last of what was read is cut.
    some = sorted(certificates(ring[:cut(ring)])[:-1], key=len)[:51]
    daemon, sink = daemon_and_sink(place)
    body = b"".join(armor(cert) for cert in some)
    text = ask(daemon, sink, "ADD", body).text()
    expect("Only the first 50 keys of a mail are taken, 1 were not" in text,
           text[-1000:])
    for cert, kept in ((some[0], True), (some[49], True), (some[50], False)):
        fpr = fingerprints(place, cert)[0]
        answer = ask(daemon, sink, f"GET 0x{fpr}")
        equal(bool(answer.keys()), kept, fpr)
    # The same block, not 51 of them.
    text = ask(daemon, sink, "ADD", armor(b"".join(some[1:]))).text()
    expect("Only the first" not in text, text[-1000:])
    answer = ask(daemon, sink, f"GET 0x{fingerprints(place, some[50])[0]}")
    expect(answer.keys(), "the last one is stored now")


def v6_packet(tag, body):
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def slh_dsa():
    """(fingerprint, certificate): SLH-DSA-SHAKE-256s, with random values"""
    key = (b"\x06\x5e\x0c\x89\xc0" + bytes([34])
           + (64).to_bytes(4, "big") + os.urandom(64))
    fpr = hashlib.sha256(b"\x9b" + len(key).to_bytes(4, "big") + key).digest()
    hashed = b"\x05\x02\x5e\x0c\x89\xc0" + b"\x22\x21\x06" + fpr

    def signature(kind):
        return v6_packet(2, bytes([6, kind, 34, 14])
                         + len(hashed).to_bytes(4, "big") + hashed
                         + bytes(4) + b"\x12\x34" + bytes([32])
                         + os.urandom(32) + os.urandom(29792))
    kem = (b"\x06\x5e\x0c\x89\xc0" + bytes([36])
           + (1624).to_bytes(4, "big") + os.urandom(1624))
    return fpr.hex().upper(), (
        v6_packet(6, key) + signature(0x1F)
        + v6_packet(13, b"Nemo <nemo@example.org>") + signature(0x13)
        + v6_packet(14, kem) + signature(0x18))


def unverified(place):
    """a post-quantum key of 91 KB is kept, found by its fingerprint, and told
    from others, where the operator wants it"""
    fpr, sent = slh_dsa()
    daemon, sink = daemon_and_sink(place, name="drop")
    answer = ask(daemon, sink, "ADD", armor(sent)).text()
    expect(fpr in answer and "not stored" in answer, answer)
    daemon, sink = daemon_and_sink(
        place, name="keep", extra="certificates { unverified = keep }")
    answer = ask(daemon, sink, "ADD", armor(sent)).text()
    expect("New key: 1 user ID, 1 subkey" in answer, answer)
    expect("*** UNVERIFIED ***" in answer, answer)
    answer = ask(daemon, sink, f"GET 0x{fpr}")
    expect("*** UNVERIFIED ***" in answer.text(), answer.text())
    got = gpg(place, "--dearmor", stdin=answer.keys())
    expect(len(got) > 91000, len(got))
    values = [[data[a:b][-29700:] for tag, a, b in packets(data) if tag == 2]
              for data in (sent, got)]
    equal(len(values[1]), 3, "signatures")
    equal(values[1], values[0], "the values")
    for who in ("nemo@example.org", "0x" + fpr[:16], "0x" + fpr[8:16]):
        answer = ask(daemon, sink, f"GET {who}").text()
        expect("No matching keys" in answer, answer)
    answer = ask(daemon, sink, "ADD", armor(sent)).text()
    expect("Nothing new" in answer, answer)


def cut(ring):
    """How much of the beginning of a ring is whole packets."""
    end = 0
    try:
        for _, _, end in packets(ring):
            pass
    except (AssertionError, IndexError):
        pass
    return end


BOB = bytes.fromhex("642CBF5CDDB5EA9E")


def body_of(data, number):
    """The body of the packet of that number, which has an old header."""
    _, start, end = list(packets(data))[number]
    return data[start + 1 + (1 << (data[start] & 3)):end]


def certification(data, number):
    """What bob might have made of the first user ID: nobody verifies it."""
    primary, userid = body_of(data, 0), body_of(data, 1)
    created = 1600000000 + number
    signed = (b"\x04\x10\x01\x08\x00\x06\x05\x02"
              + created.to_bytes(4, "big"))
    digest = hashlib.sha256(
        b"\x99" + len(primary).to_bytes(2, "big") + primary
        + b"\xb4" + len(userid).to_bytes(4, "big") + userid
        + signed + b"\x04\xff" + len(signed).to_bytes(4, "big")).digest()
    body = (signed + b"\x00\x0a\x09\x10" + BOB + digest[:2]
            + b"\x08\x00\xff" + os.urandom(255))
    return b"\x89" + len(body).to_bytes(2, "big") + body


def certifications(place):
    """certifications by others are kept where they are wanted, and marked"""
    data = gpg(place, "--dearmor", stdin=key("collision-1.asc"))
    fpr = fingerprints(place, data)[0]
    block = armor(data + b"".join(certification(data, i) for i in range(5)))

    daemon, sink = daemon_and_sink(place, name="self")
    text = ask(daemon, sink, "ADD", block).text()
    expect("Signatures by others are not kept here: 5 left out" in text, text)
    equal(served(place, daemon, sink, fpr).count(BOB), 0, "by others")

    daemon, sink = daemon_and_sink(
        place, name="all", limits={"certifications": 4},
        extra="certificates { certifications = all }")
    ask(daemon, sink, "ADD", key("bob.asc"))
    text = ask(daemon, sink, "ADD", block).text()
    expect("New key: 1 user ID, 4 certifications" in text, text)
    expect("signatures over the limit: 1" in text, text)
    first = served(place, daemon, sink, fpr)
    equal(first.count(BOB), 4, "by others")
    # Others of the same: no room, and nothing gives way.
    block = armor(data + b"".join(certification(data, i) for i in range(9)))
    expect("Nothing new" in ask(daemon, sink, "ADD", block).text(), "news")
    equal(served(place, daemon, sink, fpr), first, "what is stored")
    text = ask(daemon, sink, f"VERBOSE INDEX 0x{fpr}").text()
    expect("certification by 642CBF5CDDB5EA9E, unverified]" in text, text)
    expect("Bob" in text, text)
    dump = place / "dump"
    equal(daemon.ctl("dump", dump).returncode, 0, "dump")
    with open(dump, "rb") as f:
        expect(f.read().count(BOB) > 4, "a dump has them")


def no_modify(place):
    """nothing by others is kept for a key that does not want it"""
    data = gpg(place, "--dearmor", stdin=key("alice.asc"))
    fpr = fingerprints(place, data)[0]
    userid = list(packets(data))[2][2]      # behind its self-signature
    block = armor(data[:userid] + certification(data, 1) + data[userid:])
    daemon, sink = daemon_and_sink(
        place, extra="certificates { certifications = all }")
    text = ask(daemon, sink, "ADD", block).text()
    expect("signatures by others, which the key does not want: 1" in text,
           text)
    equal(served(place, daemon, sink, fpr).count(BOB), 0, "by others")


def peer_gets_them(place):
    """a peer that keeps them, too, gets certifications that are new"""
    data = gpg(place, "--dearmor", stdin=key("collision-1.asc"))
    fpr = fingerprints(place, data)[0]
    daemon, sink = daemon_and_sink(
        place, extra="certificates { certifications = all }\n"
        'peer "p" { address = "keys@peer.example" gather = 0 }')
    ask(daemon, sink, "ADD", armor(data))
    ask(daemon, sink, "ADD", armor(data + certification(data, 1)))
    mails = sink.wait(
        lambda got: [d for d in got if "keys@peer.example" in d.recipients
                     and BOB in gpg(place, "--dearmor", stdin=d.raw,
                                    fails=True)], 60, "the sync mail")
    other, inbox = daemon_and_sink(
        place, name="peer", address="keys@peer.example",
        extra="certificates { certifications = all }\n"
        'peer "p" { address = "keys@example.org" gather = 0 }')
    ask(other, inbox, "ADD", armor(data))
    with other.lmtp() as lmtp:
        answers = lmtp.send(mails[0].raw, "keys@example.org",
                            ("keys@peer.example",))
    equal([a[0] for a in answers], [250], "LMTP status")
    wait_until(lambda: served(place, other, inbox, fpr).count(BOB) == 1, 60,
               "the peer to have it")


def newer_apart(place):
    """a peer gets keys of version 6 in a mail that has no others"""
    daemon, sink = daemon_and_sink(
        place, extra='peer "p" { address = "keys@peer.example" gather = 10m }')
    for name in ("alice", "mona-v6", "bob", "rfc9580-v6", "carol"):
        ask(daemon, sink, "ADD", key(name + ".asc"))
    equal(daemon.ctl("sync").returncode, 0, "mailkeyctl sync")

    def versions(got):
        """Of each sync mail: the versions of its keys."""
        found = []
        for mail in got:
            if "keys@peer.example" in mail.recipients:
                data = gpg(place, "--dearmor", stdin=mail.raw)
                found.append([cert[2 + (cert[0] & 3)] if cert[0] < 0xC0
                              else cert[2] for cert in certificates(data)])
        return found if sum(map(len, found)) == 5 else None

    equal(sorted(sink.wait(versions, 60, "the sync mails")),
          [[4, 4, 4], [6, 6]], "the versions in each mail")


run(newer_apart, attributes, attribute_too_large, fifty_one, certifications, no_modify,
    peer_gets_them, unverified)
