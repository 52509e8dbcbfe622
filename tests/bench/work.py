# The work that is measured: certificates, and mails about them.

import base64
import collections
import hashlib
import itertools
import math
import mmap
import os
import re
import subprocess

from servers import ROOT, TOOLS, Failed, Ran

NEW = 100_000_000               # numbers of certificates that no store has
MORE = 200_000_000
DATE = "Sun, 01 Mar 2026 12:00:00 +0000"
HELD = {"get": "GET", "index": "INDEX", "vindex": "VERBOSE INDEX"}


def version():
    """Other certificates have another one."""
    with open(os.path.join(ROOT, "tests/bench/gen.c"), "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()[:8]


def generate(path, *args):
    """Certificates, made once: the file and its list, path + ".list"."""
    if not os.path.exists(path):
        with open(path + ".part", "wb") as f:
            Ran([f"{TOOLS}/gen", "-l", path + ".list", *map(str, args)],
                stdout=f)
        os.rename(path + ".part", path)
    return path


class Listed:
    """The certificates of a file that gen made."""

    def __init__(self, path):
        self.path, self.certs, at = path, [], 0
        with open(path + ".list", encoding="ascii") as f:
            for line in f:
                octets, fpr, uid = line.rstrip("\n").split("\t")
                self.certs.append((at, int(octets), fpr, uid))
                at += int(octets)
        self.octets = at

    def __len__(self):
        return len(self.certs)

    def spread(self, count):
        """Indexes of so many of them, in no order, each once at first."""
        n = len(self.certs)
        step = next(s for s in itertools.count(int(n * 0.618) + 1)
                    if math.gcd(s, n) == 1)
        return [k * step % n for k in range(count)]

    def read(self, indexes):
        with open(self.path, "rb") as f:
            for i in indexes:
                f.seek(self.certs[i][0])
                yield self.certs[i], f.read(self.certs[i][1])


# ---- mails ------------------------------------------------------------------

def write_requests(path, requests, run, crlf=True):
    """requests: (subject, body, what the answer holds)."""
    end = "\r\n" if crlf else "\n"
    n = 0
    with open(path, "wb") as f:
        for n, (subject, body, want) in enumerate(requests, 1):
            head = end.join((
                f"From: Bench <b{n - 1}@example.net>", "To: keys@example.org",
                f"Subject: {subject}", f"Message-ID: <{run}.{n - 1}@b.example>",
                f"Date: {DATE}", "", "")).encode()
            if crlf:
                body = body.replace(b"\n", b"\r\n")
            f.write(b"%d\t%s\n" % (len(head) + len(body), want.encode()))
            f.write(head + body)
    return n


def questions(kind, certs, count, server):
    """GET or INDEX of certificates that are there."""
    for (_, _, fpr, _), data in certs.read(certs.spread(count)):
        if kind == "get":
            # The primary key packet is how every certificate begins.
            want = base64.b64encode(data[:30]).decode()
        else:
            # Ours has all 16 digits of a key ID where two keys share 8.
            want = {"onak": f"/0x{fpr[-16:]} "}.get(server, f"{fpr[-8:]} ")
        yield f"{HELD[kind]} 0x{fpr}", b"", want


def additions(armored, server, want):
    for _, block in armored.read(range(len(armored))):
        yield "ADD", block, {"onak": "has been processed"}.get(server, want)


def check_samples(folder, certs, count):
    """GET's answers are the certificates, packet for packet; what an ADD has
    added since may be there too."""
    indexes = certs.spread(count)
    seen = 0
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            text = f.read().replace(b"\r\n", b"\n")
        block = re.search(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:.+\n)*"
                          rb"\n([A-Za-z0-9+/=\n]+?)\n(?:=.{4}\n)?-----END",
                          text)
        if not block:
            raise Failed(f"an answer without a certificate: {text[-500:]}")
        got = base64.b64decode(block.group(1))
        _, wanted = next(certs.read([indexes[int(name)]]))
        if not packets(wanted) <= packets(got):
            raise Failed(f"not the certificate {certs.certs[indexes[int(name)]][2]}")
        seen += 1
    if not seen:
        raise Failed("no answer was kept")


def headers(data):
    """(tag, start of the body, end) of each packet."""
    at = 0
    while at < len(data):
        first = data[at]
        if first & 0x40:
            size = 2 if data[at + 1] < 192 else 3
            length = data[at + 1] if size == 2 else \
                ((data[at + 1] - 192) << 8) + data[at + 2] + 192
            if data[at + 1] == 255:
                size, length = 6, int.from_bytes(data[at + 2:at + 6], "big")
        else:
            size = 1 + (1 << (first & 3))
            length = int.from_bytes(data[at + 1:at + size], "big")
        tag = first & 0x3f if first & 0x40 else first >> 2 & 0xf
        yield tag, at + size, at + size + length
        at += size + length


def packets(data):
    return {(tag, data[a:b]) for tag, a, b in headers(data)}


def count_packets(path):
    """Certificates and signatures of a binary file."""
    with open(path, "rb") as f, \
            mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tags = collections.Counter(tag for tag, _, _ in headers(data))
    return tags[6], tags[2]


# ---- questions to the store -------------------------------------------------

def ring_words(path):
    """Words that 20 to 50 certificates of a file have in their user IDs."""
    certs, words = {}, set()
    with open(path, "rb") as f:
        data = f.read()
    for tag, a, b in headers(data):
        if tag == 6:
            words = certs.setdefault(data[a:b], set())
        elif tag == 13:
            words.update(re.findall(r"[a-z]{3,}", data[a:b].decode("utf-8",
                                                             "replace").lower()))
    count = collections.Counter(itertools.chain(*certs.values()))
    return sorted(w for w, n in count.items() if 20 <= n <= 50)


class Words:
    """Words of each kind, by how many certificates have them."""

    def __init__(self, certs):
        given, family, pairs = (collections.Counter() for _ in range(3))
        for _, _, _, uid in certs.certs:
            a, b = uid.split(" ")[:2]
            given[a] += 1
            family[b] += 1
            pairs[a, b] += 1
        rare = [w for w, n in family.items() if n == 1]
        some = [certs.certs[i] for i in certs.spread(min(len(certs), 2000))]
        address = [uid[uid.index("<") + 1:-1] for *_, uid in some]
        ids = ["0x" + fpr[-16:] for _, _, fpr, _ in some]
        self.kinds = {
            "word, rare": rare[:100],
            "word, common": [w for w, _ in given.most_common(3)],
            "word, on every key": ["example"],
            # most first, but no more than an answer lists
            "two words": [f"{a} {b}" for (a, b), n in pairs.most_common()
                          if n <= 10][:40],
            "address": address[:100],
            "key ID": ids[:100],
        }
        # Each of another certificate.
        half = len(some) // 2
        self.other = {"word, rare": rare[100:1100] or rare,
                      "address": address[:half], "key ID": ids[half:]}


def look_up(store, kind, words, *options, most=10):
    """Microseconds, (median, least, greatest, matches of the last one)."""
    lines = "".join(f"{kind}\t{most}\t{w}\n" for w in words)
    done = subprocess.run([f"{TOOLS}/lookup", *options, store],
                          input=lines.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Failed("lookup: " + done.stderr.decode("utf-8", "replace"))
    _, _, *figures, n = done.stdout.decode().split("\t")
    return (*map(float, figures), int(n))
