#!/usr/bin/env -S python3 -B
# Makes certificates of other versions and algorithms beside this file, each
# time with new numbers:
#
#	judy-v5.asc      LibrePGP version 5: EdDSA over Ed25519, and a subkey
#	kim-mldsa.asc    version 6, ML-DSA-65+Ed25519 and ML-KEM-768+X25519;
#	                 the values are random
#	lou-v4.asc       version 4, Ed25519 (27) and X25519 (25)
#	mona-v6.asc      version 6, Ed448 (28), X448 (26), and a signing subkey
#	                 with Ed25519
#	mona-v6.sec.asc  the secret primary key of mona-v6; never use it
#	nora.asc         version 4, EdDSA; names oscar as her revoker
#	nora-revoked.asc her key, that, and what oscar made of it
#	oscar.asc        version 4, EdDSA
#
# Needs python3-cryptography (Debian).

import base64
import hashlib
import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey

HERE = os.path.dirname(os.path.abspath(__file__))
CREATED = 1577880000  # 2020-01-01 12:00 UTC
OID = bytes.fromhex("092b06010401da470f01")
HASH = {8: (hashlib.sha256, 16), 10: (hashlib.sha512, 32),
        14: (hashlib.sha3_512, 32)}


def mpi(octets):
    octets = octets.lstrip(b"\0")
    bits = len(octets) * 8 - (8 - octets[0].bit_length())
    return bits.to_bytes(2, "big") + octets


def packet(tag, body):
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def length(n):
    """Of a subpacket."""
    if n < 192:
        return bytes([n])
    return b"\xff" + n.to_bytes(4, "big")


def sub(kind, body):
    return length(len(body) + 1) + bytes([kind]) + body


class Key:
    def __init__(self, version, algorithm, secret, material):
        self.version, self.algorithm = version, algorithm
        self.secret, self.material = secret, material
        count = b"" if version == 4 else len(material).to_bytes(4, "big")
        self.body = (bytes([version]) + CREATED.to_bytes(4, "big")
                     + bytes([algorithm]) + count + material)
        digest = hashlib.sha1 if version == 4 else hashlib.sha256
        self.fpr = digest(self.framed()).digest()
        self.keyid = self.fpr[-8:] if version == 4 else self.fpr[:8]

    def framed(self):
        head = {4: b"\x99", 5: b"\x9a", 6: b"\x9b"}[self.version]
        octets = 2 if self.version == 4 else 4
        return head + len(self.body).to_bytes(octets, "big") + self.body

    def value(self, digest):
        if self.secret is None:
            return os.urandom(64 + 3309)
        signed = self.secret.sign(digest)
        if self.algorithm == 22:
            return mpi(signed[:32]) + mpi(signed[32:])
        return signed

    def sign(self, kind, octets, subs=b"", hash_algo=8, when=CREATED):
        """RFC 9580, 5.2.4; the body of a signature packet."""
        digest, salted = HASH[hash_algo]
        wide = 4 if self.version == 6 else 2
        salt = os.urandom(salted) if self.version == 6 else b""
        hashed = sub(2, when.to_bytes(4, "big")) + subs
        hashed += sub(33, bytes([self.version]) + self.fpr)
        head = (bytes([self.version, kind, self.algorithm, hash_algo])
                + len(hashed).to_bytes(wide, "big") + hashed)
        unhashed = sub(16, self.keyid) if self.version == 4 else b""
        count = 8 if self.version == 5 else 4
        tail = bytes([self.version, 255]) + len(head).to_bytes(count, "big")
        made = digest(salt + octets + head + tail).digest()
        if self.version == 6:
            salt = bytes([len(salt)]) + salt
        return (head + len(unhashed).to_bytes(wide, "big") + unhashed
                + made[:2] + salt + self.value(made))


def userid_octets(userid):
    return b"\xb4" + len(userid).to_bytes(4, "big") + userid


def certificate(primary, userids, subkeys, hash_algo=8, direct=b""):
    """subkeys: pairs of a key and its flags."""
    data = packet(6, primary.body)
    if direct:
        data += packet(2, primary.sign(0x1F, primary.framed(), direct,
                                       hash_algo))
    for userid in userids:
        data += packet(13, userid) + packet(2, primary.sign(
            0x13, primary.framed() + userid_octets(userid),
            sub(27, b"\x03"), hash_algo))
    for key, flags in subkeys:
        both = primary.framed() + key.framed()
        subs = sub(27, bytes([flags]))
        if flags & 2:
            subs += sub(32, key.sign(0x19, both))
        data += packet(14, key.body) + packet(
            2, primary.sign(0x18, both, subs, hash_algo))
    return data


def crc24(data):
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return base64.b64encode((crc & 0xFFFFFF).to_bytes(3, "big")).decode()


def write(name, data, what="PUBLIC", key=None):
    text = base64.encodebytes(data).decode().replace("\n", "")
    with open(os.path.join(HERE, name), "w", encoding="ascii") as f:
        f.write(f"-----BEGIN PGP {what} KEY BLOCK-----\n\n")
        for i in range(0, len(text), 64):
            f.write(text[i:i + 64] + "\n")
        f.write("=" + crc24(data) + "\n")
        f.write(f"-----END PGP {what} KEY BLOCK-----\n")
    if key:
        print(key.fpr.hex().upper(), name)


def ed25519(version, algorithm):
    secret = Ed25519PrivateKey.generate()
    point = secret.public_key().public_bytes_raw()
    if algorithm == 22:
        return Key(version, 22, secret, OID + mpi(b"\x40" + point))
    return Key(version, algorithm, secret, point)


def raw(version, algorithm, secret):
    return Key(version, algorithm, secret,
               secret.public_key().public_bytes_raw())


def main():
    judy = ed25519(5, 22)
    write("judy-v5.asc", certificate(
        judy, [b"Judy <judy@example.org>"], [(ed25519(5, 22), 0x20)]),
        key=judy)
    kim = Key(6, 30, None, os.urandom(32 + 1952))
    write("kim-mldsa.asc", certificate(
        kim, [b"Kim <kim@example.org>"],
        [(Key(6, 35, None, os.urandom(32 + 1184)), 0x0C)],
        direct=sub(27, b"\x03")), key=kim)
    lou = ed25519(4, 27)
    write("lou-v4.asc", certificate(
        lou, [b"Lou <lou@example.org>"],
        [(raw(4, 25, X25519PrivateKey.generate()), 0x0C)]), key=lou)
    mona = raw(6, 28, Ed448PrivateKey.generate())
    write("mona-v6.asc", certificate(
        mona, [b"Mona <mona@example.org>"],
        [(raw(6, 26, X448PrivateKey.generate()), 0x0C),
         (ed25519(6, 27), 0x02)], 14, sub(27, b"\x03")), key=mona)
    write("mona-v6.sec.asc", packet(
        5, mona.body + b"\0" + mona.secret.private_bytes_raw()), "PRIVATE",
        key=mona)
    revoker()


def revoker():
    oscar, nora = ed25519(4, 22), ed25519(4, 22)
    write("oscar.asc", certificate(oscar, [b"Oscar <oscar@example.org>"], []),
          key=oscar)
    whole = certificate(nora, [b"Nora <nora@example.org>"], [],
                        direct=sub(12, bytes([0x80, 22]) + oscar.fpr))
    write("nora.asc", whole, key=nora)
    # As gpg --desig-revoke writes it: the key, the revocation, who may.
    first = len(packet(6, nora.body))
    direct = whole[first:whole.index(packet(13, b"Nora <nora@example.org>"))]
    made = oscar.sign(0x20, nora.framed(), sub(29, b"\x02it leaked"),
                      when=CREATED + 86400)
    write("nora-revoked.asc", whole[:first] + packet(2, made) + direct)


if __name__ == "__main__":
    main()
