#!/usr/bin/env python3
# What is kept of a certificate beside what its key signed, and how many are
# taken: what mailkeyd.conf(5) says under `certificates` and `keys_per_mail`.

from lib import (armor, ask, certificates, equal, expect, fingerprints, gpg,
                 key, packets, run, show_keys, smtp_to)

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


def cut(ring):
    """How much of the beginning of a ring is whole packets."""
    end = 0
    try:
        for _, _, end in packets(ring):
            pass
    except (AssertionError, IndexError):
        pass
    return end


run(attributes, attribute_too_large, fifty_one)
