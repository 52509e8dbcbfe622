#!/usr/bin/env python3
# Certificates that were made to hurt, through the real programs: what fits
# into a mail over LMTP, the rest as files by mailkeyctl import.  What is
# stored must stay as it is, octet for octet, and others must be served.
#
# tests/unit/floods.c has more of them, and measures time and memory.

import os
import threading
import time

from lib import (armor, ask, equal, expect, fingerprints, gpg, key, note,
                 packets, run, smtp_to)

ALICE = "231A449802A0FC9B0505E4CD05E825E4425612B5"
CAROL = "4D293978532AE8CB5EFF7A96D60BDC818F051381"
CREATED = 1760000000
BY_ALICE = b"\x00\x0a\x09\x10" + bytes.fromhex(ALICE[-16:])
BY_OTHER = b"\x00\x0a\x09\x10\x01\x02\x03\x04\x05\x06\x07\x08"


def packet(tag, body):
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def forged(kind, number, issuer, value=b""):
    """A signature that nobody made, newer than what alice did."""
    return packet(2, b"\x04" + bytes([kind]) + b"\x16\x08\x00\x06\x05\x02"
                  + (CREATED + number).to_bytes(4, "big") + issuer + b"\0\0"
                  + b"\x00\x01\x01\x00\x11\x01"
                  + (number & 0xffff).to_bytes(2, "big") + value)


def flooded(data, kind, issuer, n, value=b""):
    """alice with n signatures behind her first user ID."""
    at = list(packets(data))[2][2]
    return b"".join([data[:at],
                     *(forged(kind, i, issuer, value) for i in range(n)),
                     data[at:]])


def userids(data, n):
    at = list(packets(data))[0][2]
    return b"".join([data[:at], *(packet(13, b"%08d" % i)
                                  + forged(0x13, i, BY_ALICE)
                                  for i in range(n)), data[at:]])


def daemon_and_sink(place, **options):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), **options)
    daemon.start()
    return daemon, sink


def stored(place, daemon, sink):
    answer = ask(daemon, sink, f"GET 0x{ALICE}")
    return gpg(place, "--dearmor", stdin=answer.keys())


def over_lmtp(place):
    """floods that fit into a mail change nothing and stop nobody"""
    data = gpg(place, "--dearmor", stdin=key("alice.asc"))
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    before = stored(place, daemon, sink)
    for name, flood in (
            ("20,000 forged self-signatures",
             flooded(data, 0x13, BY_ALICE, 20000)),
            ("20,000 forged revocations", flooded(data, 0x20, BY_ALICE, 20000)),
            ("10,000 user IDs", userids(data, 10000)),
            ("70,000 by others", flooded(data, 0x10, BY_OTHER, 70000))):
        body = armor(flood)
        expect(len(body) < 5 << 20, name, len(body))
        begin = time.monotonic()
        text = ask(daemon, sink, "ADD", body).text()
        note(f"{name}: {len(body)} octets, answered after "
             f"{time.monotonic() - begin:.2f} s")
        expect("Nothing new" in text, name, text)
        equal(stored(place, daemon, sink), before, name)
    expect("left out" in text and "70000" in text, text)
    text = ask(daemon, sink, "ADD", key("bob.asc")).text()
    expect("New key" in text, text)


def revocation_among_forged(place):
    """a genuine revocation is found among 500 forged ones that look newer"""
    data = gpg(place, "--dearmor", stdin=key("carol.asc"))
    genuine = gpg(place, "--dearmor", stdin=key("carol-revocation.asc"))
    by_carol = b"\x00\x0a\x09\x10" + bytes.fromhex(CAROL[-16:])
    at = list(packets(data))[0][2]
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("carol.asc"))
    forgeries = b"".join(forged(0x20, i, by_carol) for i in range(500))
    text = ask(daemon, sink, "ADD",
               armor(data[:at] + forgeries + genuine + data[at:])).text()
    expect("Added: 1 revocation" in text, text)
    text = ask(daemon, sink, f"INDEX 0x{CAROL}").text()
    expect("KEY REVOKED" in text, text)


def large_files(place):
    """larger ones by import, while mails are answered"""
    data = gpg(place, "--dearmor", stdin=key("alice.asc"))
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    before = stored(place, daemon, sink)
    bob = gpg(place, "--dearmor", stdin=key("bob.asc"))
    carol = gpg(place, "--dearmor", stdin=key("carol.asc"))
    flood = (flooded(data, 0x10, BY_OTHER, 150000, os.urandom(256))
             + bob + flooded(data, 0x13, BY_ALICE, 100000, bytes(500)) + carol)
    expect(len(flood) > 90 << 20, "size", len(flood))
    path = place.write("flood.pgp", flood)
    os.chmod(path, 0o644)
    done = []
    thread = threading.Thread(
        target=lambda: done.append(daemon.ctl("import", path, timeout=300)))
    begin = time.monotonic()
    thread.start()
    answers = 0
    while thread.is_alive():
        ask(daemon, sink, "HELP")
        answers += 1
    thread.join()
    note(f"{len(flood)} octets imported in {time.monotonic() - begin:.2f} s, "
         f"{answers} mails answered meanwhile")
    expect(done and done[0].returncode == 0, done)
    expect(answers > 0, "no mail was answered")
    equal(stored(place, daemon, sink), before, "alice")
    for name, cert in (("bob", bob), ("carol", carol)):
        fpr = fingerprints(place, cert)[0]
        expect(ask(daemon, sink, f"GET 0x{fpr}").keys(), name, "is not there")


run(over_lmtp, revocation_among_forged, large_files)
