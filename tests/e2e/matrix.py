#!/usr/bin/env -S python3 -B
# Every certificate that is served, put to each OpenPGP program of Debian: gpg
# 1.4, gpg 2.2, sq and rnp.  None may complain of it where it does not complain
# of the original, and what is revoked must be shown as revoked.

import base64
import glob
import itertools
import re
import shutil
import subprocess
import tempfile

from lib import (ROOT, SLOW, armor, ask, certificates, equal, expect,
                 fingerprints, gpg, key, note, run, show_keys, smtp_to)

RINGS = (("/usr/share/keyrings/debian-keyring.gpg", 40),
         ("/usr/share/keyrings/debian-maintainers.gpg", 25),
         ("/usr/share/keyrings/archlinux.gpg", 12),
         ("/usr/share/keyrings/debian-archive-removed-keys.gpg", 1),
         ("/usr/share/keyrings/debian-archive-keyring.gpg", 1))
# What is made to be refused, and what no store takes as shipped.
NOT_SERVED = ("grace-v3key.asc", "carol-revocation.asc", "erin.sec.asc",
              "rfc9580-v6.asc", "judy-v5.asc", "kim-mldsa.asc", "lou-v4.asc",
              "mona-v6.asc", "mona-v6.sec.asc", "nora-revoked.asc")


def output(home, *args, stdin=b""):
    """Exit status and all that a program said."""
    done = subprocess.run(
        args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=home, timeout=60 * SLOW,
        env={"HOME": home, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Verdict:
    """What a program made of one certificate."""

    def __init__(self, status, said, taken, revoked):
        self.status, self.taken, self.revoked = status, taken, revoked
        self.complaints = {re.sub(r"\d+", "N", line.strip())
                           for line in said.splitlines()
                           if not self.chatter(line)}

    @staticmethod
    def chatter(line):
        """Not about the certificate, or no complaint."""
        return not line.strip() or re.search(
            r" (created|imported|not changed|unchanged|w/o user IDs): |keyring "
            r"`|trustdb|keybox|Total number|imported: |no ultimately trusted|"
            r"public key .* imported|depth: |marginals needed|keys were "
            r"loaded|is empty\.$|Use .rnpkeys|no keys found|stable CLI", line)


def by_gpg(program, home, data):
    base = (program, "--homedir", home, "--batch", "--no-tty", "--no-options")
    status, said = output(home, *base, "--import", stdin=data)
    _, listed = output(home, *base, "--with-colons", "--fixed-list-mode",
                       "--list-keys")
    pub = re.findall(r"^pub:(.)", listed, re.M)
    return Verdict(status, said, len(pub), "r" in pub)


def by_gpg1(home, data):
    return by_gpg("gpg1", home, data)


def by_gpg2(home, data):
    return by_gpg("gpg", home, data)


def by_sq(home, data):
    """Its import is its parser: 0.27 keeps no key ring."""
    status, said = output(home, "sq", "inspect", stdin=data)
    # What it says of each part is a table; complaints stand in "Invalid:".
    bad = [line.strip() for line in said.splitlines()
           if re.search(r"Invalid:|because:|[Ee]rror|Malformed|Unknown", line)]
    primary = said.split("Subkey:")[0].split("UserID:")[0]
    return Verdict(status, "\n".join(
        re.sub(r"at time \S+", "", line) for line in bad),
        said.count("Fingerprint:"), "Revoked:" in primary)


def by_rnp(home, data):
    status, said = output(home, "rnpkeys", "--homedir", home,
                          "--import-keys", "-", stdin=data)
    _, listed = output(home, "rnpkeys", "--homedir", home, "--list-keys")
    pub = re.findall(r"^pub .*$", listed, re.M)
    said = "\n".join(line for line in said.splitlines()
                     if not re.match(r"(pub|sub|uid)\s|\s+[0-9a-f]{40}$", line))
    return Verdict(status, said, len(pub), any("[REVOKED]" in p for p in pub))


PROGRAMS = {"gpg 1.4": by_gpg1, "gpg 2.2": by_gpg2, "sq": by_sq,
            "rnp": by_rnp}


def asked(program, data):
    home = tempfile.mkdtemp(prefix="mk")
    try:
        return program(home, data)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def ring_of(place, path):
    with open(path, "rb") as f:
        data = f.read()
    if data.startswith(b"-----BEGIN"):
        data = gpg(place, "--dearmor", stdin=data)
    return certificates(data)


def dearmored(text):
    """One block, decoded here: gpg adds octets where the checksum is missing."""
    lines = text.decode().split("\n")
    lines = lines[lines.index("") + 1:]
    return base64.b64decode("".join(
        itertools.takewhile(lambda s: s[:1] not in ("=", "-"), lines)))


def originals(place):
    """fingerprint -> the certificate as it is at home."""
    found = {}
    for path in sorted(glob.glob(ROOT + "/tests/keys/*.asc")):
        name = path.rsplit("/", 1)[1]
        if name not in NOT_SERVED:
            for cert in certificates(dearmored(key(name))):
                found.setdefault(fingerprints(place, cert)[0], cert)
    for ring, step in RINGS:
        for cert in ring_of(place, ring)[::step]:
            found.setdefault(fingerprints(place, cert)[0], cert)
    return found


def compare(fpr, original, served):
    """Puts both to each program; returns what is wrong."""
    wrong = []
    for name, program in PROGRAMS.items():
        before, after = asked(program, original), asked(program, served)
        more = after.complaints - before.complaints
        # 1.4 gives up at a user ID of 3,000 octets, which we leave out: what
        # it says of the rest, it had not come to in the original.
        gave_up = any("read_block: read error" in c for c in before.complaints)
        if more and not gave_up:
            wrong.append(f"{fpr}: {name} complains: {sorted(more)}")
        if after.taken < before.taken or after.status > before.status:
            wrong.append(f"{fpr}: {name} took {before.taken} of the original, "
                         f"{after.taken} of ours (exit {after.status})")
        if after.revoked != before.revoked:
            wrong.append(f"{fpr}: {name}: revoked {before.revoked} before, "
                         f"{after.revoked} as served")
    return wrong


def matrix(place):
    """what is served draws no complaint that the original did not draw"""
    certs = originals(place)
    daemon = place.daemon()
    daemon.start()
    ring = place.write("ring.gpg", b"".join(certs.values()))
    daemon.ctl("import", ring)
    wrong, served = [], 0
    for fpr, original in certs.items():
        got = daemon.ctl("get", f"0x{fpr}")
        if got.returncode != 0:
            wrong.append(f"{fpr}: not served: {got.stderr.decode()}")
            continue
        served += 1
        wrong += compare(fpr, original, got.stdout)
    expect(not wrong, "\n".join(wrong))
    expect(served > 60, "only", served, "certificates")
    note(served, "certificates,", ", ".join(PROGRAMS))


def revoked(place):
    """a revoked key is shown as revoked from the answer's raw mail"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    # one of RSA for 1.4, which knows no newer algorithm
    certs = ring_of(place, RINGS[2][0])
    known = show_keys(place, b"".join(certs))
    wanted = next(f for f, shown in known.items()
                  if shown.primary[0] == "r" and shown.primary[2] == "1")
    rsa = next(c for c in certs if fingerprints(place, c) == [wanted])
    for data, programs in ((armor(rsa), PROGRAMS),
                           (key("carol-revoked.asc"),
                            {n: PROGRAMS[n] for n in PROGRAMS
                             if n != "gpg 1.4"})):
        answer = ask(daemon, sink, "ADD", data)
        fpr = fingerprints(place, data)[0]
        expect(fpr in answer.text(), answer.text())
        answer = ask(daemon, sink, f"GET 0x{fpr}")
        for name, program in programs.items():
            # sq and rnp want the block alone, gpg takes the mail as it is
            octets = answer.raw if "gpg" in name else answer.keys()
            verdict = asked(program, octets)
            equal((name, verdict.taken, verdict.revoked), (name, 1, True))


if __name__ == "__main__":
    run(matrix, revoked)
