#!/usr/bin/env -S python3 -B
# CHECK says what ADD then does: for every file of tests/keys, and for those
# with one bit wrong in one packet.

import glob
import os

from lib import (ROOT, armor, ask, equal, expect, gpg, note, packets, run,
                 smtp_to)

VARIANTS = 40
PARTS = ("    The key itself", "    User ID ", "    User attribute",
         "    Subkey ", "    Also left out")


def started(place):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    return daemon, sink


def words(text):
    """An answer without what only one of the two says."""
    begin = text.index("in your mail:")
    lines = []
    for line in text[begin:].splitlines():
        if line.startswith(("Nothing of it was stored", "Nothing was added")):
            break
        if line and not line.startswith(PARTS + ("        ",)):
            lines.append(line)
    return lines


def subkeys(text):
    """Of CHECK's report: what it says of each subkey."""
    said, lines = {}, text.splitlines()
    for line, below in zip(lines, lines[1:]):
        if line.startswith("    Subkey "):
            said[line.split()[1]] = below.strip()
    return said


def agree(place, daemon, sink, what, body):
    """Whether CHECK and ADD say the same; CHECK's answer."""
    checked = ask(daemon, sink, "CHECK", body).text()
    again = ask(daemon, sink, "CHECK", body).text()
    equal(again, checked, f"{what}: the second CHECK")
    added = ask(daemon, sink, "ADD", body).text()
    equal(words(checked), words(added), f"{what}: what CHECK said")
    for subkey, said in subkeys(checked).items():
        found = daemon.ctl("get", f"0x{subkey}")
        stored = said.startswith(("new", "stored already"))
        equal(found.returncode == 0, stored, f"{what}: {subkey}, {said}")
    return checked


def public_keys():
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/keys/*.asc"))):
        if not path.endswith(".sec.asc"):
            with open(path, "rb") as f:
                yield os.path.basename(path), f.read()


def each_key(place):
    """for every certificate the words of CHECK are those of ADD"""
    daemon, sink = started(place)
    n = 0
    for name, body in public_keys():
        agree(place, daemon, sink, name, body)
        n += 1
    expect(n > 20, "only", n, "files")


def damaged(place):
    """and so they are for damaged ones"""
    daemon, sink = started(place)
    variants = []
    for name, body in public_keys():
        try:
            binary = gpg(place, "--dearmor", stdin=body)
            tags = list(packets(binary))
        except AssertionError:
            continue
        for tag, start, end in tags[1:]:
            bent = bytearray(binary)
            bent[end - 1 - (end - start) // 3] ^= 4
            variants.append((f"{name}, packet {tag} at {start}",
                             armor(bytes(bent))))
    step = max(1, len(variants) // VARIANTS)
    refused = 0
    for what, body in variants[::step]:
        text = agree(place, daemon, sink, what, body)
        refused += "not stored" in text.lower() or "left out" in text.lower()
    note(len(variants[::step]), "variants,", refused, "with something refused")
    expect(refused > VARIANTS // 4, "too few were refused")


def by_the_operator(place):
    """mailkeyctl check says the same of a file, and stores nothing"""
    daemon, sink = started(place)
    path = os.path.join(ROOT, "tests/keys/carol.asc")
    with open(path, "rb") as f:
        body = f.read()
    mailed = ask(daemon, sink, "CHECK", body).text()
    done = daemon.ctl("check", path)
    equal(done.returncode, 0, "exit status")
    equal(words(done.stdout.decode()), words(mailed), "the words")
    expect("    Subkey " in done.stdout.decode(), "no parts")
    binary = gpg(place, "--dearmor", stdin=body)
    equal(daemon.ctl("check", "-", stdin=binary).stdout, done.stdout,
          "of the binary form")
    equal(daemon.ctl("dump").stdout, b"", "the dump")
    equal(daemon.stop(), 0, "exit status")
    equal(daemon.ctl("check", path).stdout, done.stdout, "without a daemon")
    done = daemon.ctl("check", os.path.join(ROOT, "tests/keys/erin.sec.asc"))
    equal(done.returncode, 65, "of a secret key")
    expect(b"SECRET" in done.stdout, done.stdout)
    equal(daemon.ctl("check", "/nonexistent").returncode, 66, "no file")
    equal(daemon.ctl("check", os.path.join(ROOT, "README.md")).returncode, 65,
          "no key")
    huge = place.write("huge", b"x" * (6 << 20))
    equal(daemon.ctl("check", huge).returncode, 65, "too large")


run(each_key, damaged, by_the_operator)
