#!/usr/bin/env -S python3 -B
# Makes the small certificates of stricter/ beside this file, each time with new
# numbers: a primary key, a user ID, and a self-signature that gpg takes and we
# do not.  README there says why.
#
# Needs python3-cryptography (Debian).

import hashlib
import os
import random

from formats import (CREATED, HERE, Key, ed25519, mpi, packet, sub,
                     userid_octets)

ORDER = 2**252 + 27742317777372353535851937790883648493
USERID = b"Stricter <stricter@example.org>"
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class Odd(Key):
    """A key whose signatures differ from others in one thing."""

    def odd(self, hashed, unhashed=None, number=lambda n: n):
        self.number = number
        head = b"\x04\x13" + bytes([self.algorithm, 8]) + \
            len(hashed).to_bytes(2, "big") + hashed
        unhashed = sub(16, self.keyid) if unhashed is None else unhashed
        made = hashlib.sha256(
            self.framed() + userid_octets(USERID) + head + b"\x04\xff"
            + len(head).to_bytes(4, "big")).digest()
        return (packet(6, self.body) + packet(13, USERID) + packet(
            2, head + len(unhashed).to_bytes(2, "big") + unhashed + made[:2]
            + self.value(made)))


class Eddsa(Odd):
    def __init__(self):
        made = ed25519(4, 22)
        super().__init__(4, 22, made.secret, made.material)

    def value(self, digest):
        signed = self.secret.sign(digest)
        s = self.number(int.from_bytes(signed[32:], "little"))
        return mpi(signed[:32]) + mpi(s.to_bytes(32, "little"))


def is_prime(n):
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)):
        return False
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for _ in range(20):
        x = pow(random.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(bits):
    while True:
        n = random.getrandbits(bits) | 1 << (bits - 1) | 1
        if is_prime(n) and n % 65537 != 1:
            return n


class Rsa(Odd):
    """The modulus is p * q."""

    def __init__(self, p, q):
        self.n, self.octets = p * q, ((p * q).bit_length() + 7) // 8
        self.d = pow(65537, -1, (p - 1) * (q - 1))
        super().__init__(4, 1, None, self.mpi(self.n) + self.mpi(65537))

    def mpi(self, n):
        return mpi(n.to_bytes((n.bit_length() + 7) // 8, "big"))

    def value(self, digest):
        info = DIGEST_INFO + digest
        padded = (b"\x00\x01" + b"\xff" * (self.octets - len(info) - 3)
                  + b"\x00" + info)
        return self.mpi(self.number(
            pow(int.from_bytes(padded, "big"), self.d, self.n)))


def created(when):
    return sub(2, when.to_bytes(4, "big"))


def main():
    where = os.path.join(HERE, "stricter")
    os.makedirs(where, exist_ok=True)
    key, other = Eddsa(), Eddsa()
    now = created(CREATED + 60)
    rsa = Rsa(prime(514), prime(514))   # s + n has as many octets as n
    for name, data in (
            ("older-than-key", key.odd(created(CREATED - 60))),
            ("undated", key.odd(sub(27, b"\x03"))),
            ("another-issuer", key.odd(now + sub(33, b"\x04" + other.fpr))),
            ("exportable-empty", key.odd(now + sub(4, b""))),
            ("eddsa-large-s", key.odd(now, number=lambda s: s + ORDER)),
            ("rsa-even", Rsa(2, prime(1023)).odd(now)),
            ("rsa-large-value", rsa.odd(now, number=lambda s: s + rsa.n)),
            ("sound", key.odd(now))):
        with open(os.path.join(where, name + ".pgp"), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
