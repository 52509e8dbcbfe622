#!/usr/bin/env -S python3 -B
# The whole Debian ring through the server: imported, then every certificate
# fetched by a GET mail.  Primary key, user IDs and subkeys must be what gpg
# itself shows for the same input; each difference must be owed to a rule of
# mailkeyd (mailkeyd.conf(5), certificates), and each rule's cases are counted.

import base64
import hashlib
import re
import threading
import time
from collections import Counter

from lib import (armor, certificates, equal, expect, key, mail, new_id, note,
                 packets, run, show_keys, smtp_to)

RING = "/usr/share/keyrings/debian-keyring.gpg"
CLIENTS = 4

RULES = (
    "user attributes are dropped",
    "user ID over 1,024 octets",
    "signing subkey without back-signature",
    "self-signature older than its key",
)


def body_of(packet):
    """A packet without its header."""
    first = packet[0]
    if first & 0x40:
        octet = packet[1]
        return packet[2 if octet < 192 else 3 if octet < 224 else 6:]
    return packet[1 + (1 << (first & 3)):]


def fingerprint(certificate):
    """Of a version 4 key (RFC 9580, 5.5.4.2)."""
    _, start, end = next(packets(certificate))
    body = body_of(certificate[start:end])
    expect(body[0] == 4, "no version 4 key")
    framed = b"\x99" + len(body).to_bytes(2, "big") + body
    return hashlib.sha1(framed).hexdigest().upper()


def subpackets(area):
    pos = 0
    while pos < len(area):
        length = area[pos]
        pos += 1
        if 192 <= length < 255:
            length = ((length - 192) << 8) + area[pos] + 192
            pos += 1
        elif length == 255:
            length = int.from_bytes(area[pos:pos + 4], "big")
            pos += 4
        yield area[pos] & 0x7f, area[pos + 1:pos + length]
        pos += length


class Signature:
    """The few things of a version 4 signature that rules go by."""

    def __init__(self, body):
        self.type = body[1]
        size = int.from_bytes(body[4:6], "big")
        hashed = list(subpackets(body[6:6 + size]))
        rest = body[6 + size:]
        size = int.from_bytes(rest[:2], "big")
        unhashed = list(subpackets(rest[2:2 + size]))
        self.created = self.flags = 0
        self.issuer = None
        self.embedded = False
        for kind, value in hashed + unhashed:
            if kind == 16:
                self.issuer = value
            elif kind == 33 and self.issuer is None:
                self.issuer = value[-8:]
            elif kind == 32:
                self.embedded = True
        for kind, value in hashed:
            if kind == 2:
                self.created = int.from_bytes(value, "big")
            elif kind == 27 and value:
                self.flags = value[0]


class Component:
    def __init__(self, tag, body):
        self.tag, self.body, self.own = tag, body, []


def components(certificate):
    """Keys, user IDs and attributes, each with its owner's signatures."""
    found, keyid = [], bytes.fromhex(fingerprint(certificate))[-8:]
    for tag, start, end in packets(certificate):
        body = body_of(certificate[start:end])
        if tag != 2:
            found.append(Component(tag, body))
        elif body[0] == 4:
            signature = Signature(body)
            if signature.issuer == keyid:
                found[-1].own.append(signature)
    return found


def all_older(component, created):
    return component.own and all(s.created < created for s in component.own)


def why_no_userid(parts, text):
    """The rule that took a user ID away, or None."""
    created = int.from_bytes(parts[0].body[1:5], "big")
    for part in parts:
        if part.tag != 13 or shown_as(part.body) != text:
            continue
        if len(part.body) > 1024:
            return "user ID over 1,024 octets"
        if all_older(part, created):
            return "self-signature older than its key"
    return None


def why_no_subkey(parts, fpr):
    for part in parts:
        if part.tag != 14:
            continue
        framed = b"\x99" + len(part.body).to_bytes(2, "big") + part.body
        if hashlib.sha1(framed).hexdigest().upper() != fpr:
            continue
        bindings = [s for s in part.own if s.type == 0x18]
        if bindings and all(s.flags & 2 and not s.embedded
                            for s in bindings):
            return "signing subkey without back-signature"
        if all_older(part, int.from_bytes(part.body[1:5], "big")):
            return "self-signature older than its key"
    return None


def shown_as(userid):
    """As gpg --with-colons writes it; latin-1 stands for raw octets."""
    return re.sub(r"[\\:\x00-\x1f\x7f]",
                  lambda m: f"\\x{ord(m.group()):02x}",
                  userid.decode("latin-1"))


def dearmored(block):
    lines = block.decode().replace("\r", "").split("\n")
    equal(lines[0], "-----BEGIN PGP PUBLIC KEY BLOCK-----", "first line")
    expect("-----END PGP PUBLIC KEY BLOCK-----" in lines, "no END line")
    expect(max(map(len, lines)) < 77, "a line of 77 characters or more")
    lines = lines[lines.index("") + 1:]
    lines = lines[:lines.index("-----END PGP PUBLIC KEY BLOCK-----")]
    return base64.b64decode("".join(s for s in lines if s[:1] != "="))


def key_for_gpg():
    """A key with a signature whose digest, SHA3-256, only gpg may judge."""
    octets = dearmored(key("debian-rsa2048.asc"))
    start, end = next((a, b) for tag, a, b in packets(octets) if tag == 2)
    odd = bytearray(octets[start:end])
    # Behind version, type and algorithm stands that of the digest.
    body = odd.index(bytes([4]), 2)
    odd[body + 3] = 12
    return armor(octets[:end] + bytes(odd) + octets[end:])


def fetch_all(daemon, sink, fingerprints):
    """Mails a GET for each; fingerprint -> binary certificate."""
    asked, failures = {}, []

    def client(wanted):
        try:
            with daemon.lmtp() as lmtp:
                for fpr in wanted:
                    message_id = new_id()
                    asked[message_id] = fpr
                    status = lmtp.send(
                        mail(f"GET 0x{fpr}", message_id=message_id))
                    equal(status[0][0], 250, fpr)
        except Exception as why:
            failures.append(why)

    threads = [threading.Thread(target=client,
                                args=(fingerprints[n::CLIENTS],))
               for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(not failures, *failures)
    sink.wait(lambda got: len(got) >= len(fingerprints), 60, "all answers")
    answers = {}
    for d in sink.got:
        fpr = asked[d.in_reply_to]
        expect(fpr not in answers, "two answers for", fpr)
        equal(d.subject, f"Your command, GET 0x{fpr}", "Subject")
        equal((d.sender, d.recipients), ("", ["alice@example.net"]),
              "envelope")
        answers[fpr] = dearmored(d.keys())
    return answers


def compare(certificate, gpg_says, we_say, counts):
    """Counts each difference under its rule; the unexplained are returned."""
    wrong = []
    parts = components(certificate)
    if gpg_says.primary != we_say.primary:
        wrong.append(f"primary: {gpg_says.primary} became {we_say.primary}")
    for text, revoked in gpg_says.userids - we_say.userids:
        rule = why_no_userid(parts, text)
        if rule:
            counts[rule] += 1
        else:
            wrong.append(f"user ID {text!r} (revoked: {revoked}) missing")
    for text, revoked in we_say.userids - gpg_says.userids:
        wrong.append(f"user ID {text!r} (revoked: {revoked}) too many")
    for subkey in gpg_says.subkeys - we_say.subkeys:
        rule = why_no_subkey(parts, subkey[0])
        if rule:
            counts[rule] += 1
        else:
            wrong.append(f"subkey {subkey} missing")
    for subkey in we_say.subkeys - gpg_says.subkeys:
        wrong.append(f"subkey {subkey} too many")
    dropped = sum(1 for p in parts if p.tag == 17)
    counts["user attributes are dropped"] += dropped
    if we_say.attributes:
        wrong.append(f"{we_say.attributes} user attributes served")
    return wrong


def whole_ring(place):
    """every certificate of the Debian ring comes back as gpg shows it"""
    with open(RING, "rb") as f:
        ring = f.read()
    certs = {fingerprint(c): c for c in certificates(ring)}
    expect(len(certs) > 800, "only", len(certs), "certificates in", RING)
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()

    begin = time.monotonic()
    done = daemon.ctl("import", RING, timeout=200)
    equal(done.returncode, 0, f"import: {done.stderr.decode()[-500:]}")
    note(f"imported {len(certs)} certificates in "
         f"{time.monotonic() - begin:.1f} s:",
         done.stdout.decode().strip())

    begin = time.monotonic()
    answers = fetch_all(daemon, sink, sorted(certs))
    note(f"fetched them by mail in {time.monotonic() - begin:.1f} s")
    equal(sorted(answers), sorted(certs), "fingerprints answered")

    gpg_says = show_keys(place, ring)
    we_say = show_keys(place, b"".join(answers[f] for f in sorted(answers)))
    equal(sorted(gpg_says), sorted(certs), "fingerprints gpg shows")
    counts, wrong = Counter(), []
    for fpr, certificate in sorted(certs.items()):
        if fpr not in we_say:
            wrong.append(f"{fpr}: gpg sees nothing in the answer")
            continue
        wrong += [f"{fpr}: {w}" for w in compare(
            certificate, gpg_says[fpr], we_say[fpr], counts)]
    userids = sum(len(s.userids) for s in gpg_says.values())
    subkeys = sum(len(s.subkeys) for s in gpg_says.values())
    note(f"compared {len(certs)} primary keys, {userids} user IDs, "
         f"{subkeys} subkeys; differences by rule:")
    for rule in RULES:
        note(f"  {counts[rule]:5} {rule}")
    expect(not wrong, f"{len(wrong)} differences without a rule:\n"
           + "\n".join(wrong[:40]))


if __name__ == "__main__":
    run(whole_ring)
