#!/usr/bin/env -S python3 -B
# Makes odd but properly self-signed certificates (Ed25519, version 4) beside
# this file, each time with new numbers:
#
#	collision-1.asc, -2.asc  two keys whose key IDs end in the same 8 digits
#	hostile-userids.asc      line breaks, controls and bidi in user IDs
#	long-userid.asc          user IDs of 27, 2000 and 3000 octets
#	injections.asc           each line of ../hostile/injections a user ID
#
# With names, only those.
# Needs python3-cryptography (Debian).

import base64
import hashlib
import os
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey)

HERE = os.path.dirname(os.path.abspath(__file__))
CREATED = 1577880000  # 2020-01-01 12:00 UTC
OID = bytes.fromhex("092b06010401da470f01")


def mpi(octets):
    octets = octets.lstrip(b"\0")
    bits = len(octets) * 8 - (8 - octets[0].bit_length())
    return bits.to_bytes(2, "big") + octets


def packet(tag, body):
    return (bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big")
            + body)


def public(secret, created):
    point = b"\x40" + secret.public_key().public_bytes_raw()
    return (b"\x04" + created.to_bytes(4, "big") + b"\x16" + OID
            + mpi(point))


def framed(key):
    return b"\x99" + len(key).to_bytes(2, "big") + key


def certification(secret, key, created, userid):
    """RFC 9580, 5.2.4: a positive certification by the key itself."""
    fpr = hashlib.sha1(framed(key)).digest()
    hashed = (b"\x05\x02" + created.to_bytes(4, "big")
              + b"\x16\x21\x04" + fpr + b"\x02\x1b\x03")
    head = b"\x04\x13\x16\x08" + len(hashed).to_bytes(2, "big") + hashed
    digest = hashlib.sha256(
        framed(key) + b"\xb4" + len(userid).to_bytes(4, "big") + userid
        + head + b"\x04\xff" + len(head).to_bytes(4, "big")).digest()
    signed = secret.sign(digest)
    return packet(2, head + b"\x00\x0a\x09\x10" + fpr[-8:] + digest[:2]
                  + mpi(signed[:32]) + mpi(signed[32:]))


def write(name, secret, created, *userids):
    key = public(secret, created)
    data = packet(6, key)
    for userid in userids:
        data += packet(13, userid) + certification(secret, key, created,
                                                   userid)
    text = base64.encodebytes(data).decode().replace("\n", "")
    with open(os.path.join(HERE, name), "w", encoding="ascii") as f:
        f.write("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n")
        for i in range(0, len(text), 64):
            f.write(text[i:i + 64] + "\n")
        f.write("-----END PGP PUBLIC KEY BLOCK-----\n")
    print(hashlib.sha1(framed(key)).hexdigest().upper(), name)


def short_ids(secret):
    """The last 8 digits for each of 2^18 creation times."""
    found = {}
    for created in range(CREATED, CREATED + (1 << 18)):
        fpr = hashlib.sha1(framed(public(secret, created))).digest()
        found[fpr[-4:]] = created
    return found


def collision():
    while True:
        one = Ed25519PrivateKey.generate()
        two = Ed25519PrivateKey.generate()
        a, b = short_ids(one), short_ids(two)
        for short in a.keys() & b.keys():
            return one, a[short], two, b[short]


def injections():
    with open(os.path.join(HERE, "../hostile/injections"),
              encoding="ascii") as f:
        for line in f.read().splitlines():
            if line and not line.startswith("#"):
                yield line.encode().decode("unicode_escape").encode("latin-1")


def collisions():
    one, first, two, second = collision()
    write("collision-1.asc", one, first, b"Heidi <heidi@example.org>")
    write("collision-2.asc", two, second, b"Ivan <ivan@example.org>")


def hostile_userids():
    write("hostile-userids.asc", Ed25519PrivateKey.generate(), CREATED,
          b"Mallory <mallory@example.org>",
          b"Mallory line\npub  4096R/DEADBEEF 2020/01/01 Forged <f@example>",
          b"Mallory armor\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nAAAA",
          b"Mallory header\r\nBcc: victim@example.com\r\n\r\n.",
          b"Mallory \x1b[2J\x07\x08\x00 escape \x9b31m",
          "Mallory bidi \u202egro.elpmaxe@\u202c \u2066x\u2069 \u2028 end"
          .encode())


def long_userid():
    write("long-userid.asc", Ed25519PrivateKey.generate(), CREATED,
          b"Longname <long@example.org>",
          b"Longname two thousand " + b"x" * 1978,
          b"Longname three thousand " + b"x" * 2976)


def main():
    files = {
        "collision-1.asc": collisions,
        "hostile-userids.asc": hostile_userids,
        "long-userid.asc": long_userid,
        "injections.asc": lambda: write(
            "injections.asc", Ed25519PrivateKey.generate(), CREATED,
            b"Injector <injector@example.org>", *injections()),
    }
    for name in sys.argv[1:] or files:
        files[name]()


if __name__ == "__main__":
    main()
