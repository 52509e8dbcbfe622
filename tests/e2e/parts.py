#!/usr/bin/env -S python3 -B
# An answer over the size limit goes out as several complete mails, cut at
# certificate borders: each under the limit, each imported by gpg on its own.

from lib import (ALICE, ask, equal, expect, fingerprints, mail,
                 new_id, run, smtp_to)

RING = "/usr/share/keyrings/debian-maintainers.gpg"
SIZE = 100 * 1024
LIMITS = {"certificate_size": "48K", "reply_size": "100K",
          "max_reply_keys": 200, "max_parts": 5}


def server(place, **limits):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port),
                          limits={**LIMITS, **limits})
    daemon.start()
    done = daemon.ctl("import", RING)
    equal(done.returncode, 0, "import")
    return daemon, sink


def parts_of(daemon, sink, subject):
    """All mails that answer one request."""
    message_id = new_id()
    with daemon.lmtp() as lmtp:
        lmtp.send(mail(subject, message_id=message_id), ALICE)
    first = sink.answer_to(message_id)
    if "(part " not in first.subject:
        return [first]
    n = int(first.subject.rsplit(" of ", 1)[1].rstrip(")"))
    return sink.wait(
        lambda got: [d for d in got if d.in_reply_to == message_id]
        if sum(d.in_reply_to == message_id for d in got) == n else None,
        30, f"{n} parts")


def number(part):
    return int(part.subject.rsplit("(part ", 1)[1].split(" of ")[0])


def common_word(daemon, least):
    """A word whose keys come to so many octets of armor, but not too many."""
    for word in ("david", "thomas", "michael", "andreas", "daniel", "debian"):
        if least < len(daemon.ctl("get", word).stdout) < 4.5 * SIZE:
            return word
    raise AssertionError("no word of the ring is common enough")


def several_mails(place):
    """an answer over reply_size goes out as several complete mails"""
    daemon, sink = server(place)
    # A word that some dozen keys have.
    word = common_word(daemon, 120_000)
    whole = fingerprints(place, daemon.ctl("get", word).stdout)
    parts = sorted(parts_of(daemon, sink, f"GET {word}"), key=number)
    expect(1 < len(parts) <= 5, "parts:", len(parts))
    got = []
    for i, part in enumerate(parts, 1):
        expect(part.subject.endswith(f"(part {i} of {len(parts)})"),
               part.subject)
        expect(len(part.raw) <= SIZE, "a part of", len(part.raw), "octets")
        equal(part.raw.count(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"), 1,
              "armored blocks in a part")
        mine = fingerprints(place, part.raw)
        expect(mine, "part", i, "imports nothing")
        got += mine
    equal(sorted(got), whole, "keys of all parts")
    equal(len({p.message_id for p in parts}), len(parts), "Message-IDs")
    expect("of which this is the first" in parts[0].text(), parts[0].text())
    expect("part 2 of" in parts[1].text(), parts[1].text())


def too_many_parts(place):
    """over max_parts there is the count and advice"""
    daemon, sink = server(place, max_parts=1)
    word = common_word(daemon, 120_000)
    answer = ask(daemon, sink, f"GET {word}")
    expect(answer.subject.endswith(", failed"), answer.subject)
    expect("too large" in answer.text(), answer.text())
    equal(answer.keys(), b"", "keys")


def budgets(place):
    """every part counts in the budget"""
    daemon, sink = server(place, replies_per_hour=2)
    word = common_word(daemon, 120_000)
    parts = parts_of(daemon, sink, f"GET {word}")
    expect(len(parts) >= 2, "parts:", len(parts))
    with daemon.lmtp() as lmtp:
        lmtp.send(mail("HELP"), ALICE)
    expect("over budget" in daemon.log(), "no line about the budget")


run(several_mails, too_many_parts, budgets)
