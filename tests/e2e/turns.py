#!/usr/bin/env python3
# Many answers wait: for one address, or for domains at which the mail server
# hangs.  Others get theirs all the same.  FULL=1: ten thousand, and five.

import os
import threading
import time

from lib import (SLOW, Sink, ask, expect, mail, note, processor_seconds, run,
                 smtp_to, wait_until)

FULL = bool(os.environ.get("FULL"))
ONE = 10000 if FULL else 400
HANGING = 5000 if FULL else 500
DOMAINS = 50


class Late(Sink):
    """Takes its time after a message: late(recipient) waits."""

    def __init__(self, late):
        self.late = late
        super().__init__()

    def _data(self, lines, sender, recipients):
        said = super()._data(lines, sender, recipients)
        self.late(recipients[0])
        return said


def server(place, late):
    sink = Late(late)
    place.at_close(sink.close)
    daemon = place.daemon(send=smtp_to(sink.port, connections=4))
    daemon.start()
    return daemon, sink


def requests(daemon, senders):
    """HELP from each of them; the answers wait."""
    with daemon.lmtp() as lmtp:
        for sender in senders:
            answers = lmtp.send(mail("HELP", sender=sender), sender)
            expect(answers[0][0] == 250, answers)


def others(daemon, sink, sender):
    """Seconds that somebody else waits, the longest of a few."""
    longest = 0
    for _ in range(5):
        begin = time.monotonic()
        ask(daemon, sink, "STATS", sender=sender)
        longest = max(longest, time.monotonic() - begin)
    return longest


def one_address(place):
    """many answers for one address hold up nobody else"""
    go_on = threading.Event()

    daemon, sink = server(place, lambda _: go_on.wait(0.05))
    place.at_close(go_on.set)
    requests(daemon, ["flood@example.net"] * ONE)
    for sender in "other@example.net", "other@example.com":
        waited = others(daemon, sink, sender)
        left = ONE + 5 - len(sink.got)
        note(f"{sender} waited {waited:.2f} s while {left} were due")
        expect(left > ONE // 4, "only", left, "are left")
        expect(waited < SLOW, "waited", waited)
    go_on.set()
    sink.wait(lambda got: len(got) == ONE + 10, 120, "all of them")


def hanging_domains(place):
    """domains at which the server hangs hold up nobody else"""
    go_on = threading.Event()

    daemon, sink = server(
        place, lambda recipient: "hang" in recipient and go_on.wait())
    place.at_close(go_on.set)
    ask(daemon, sink, "STATS", sender="a@good.example")
    requests(daemon, (f"a@hang{i % DOMAINS}.example" for i in range(HANGING)))
    wait_until(lambda: sink.attempts > 3, 20, "the hanging ones")
    for _ in range(3 if FULL else 1):
        used, begin = processor_seconds(daemon), time.monotonic()
        waited = others(daemon, sink, "a@good.example")
        note(f"others waited {waited:.2f} s while {HANGING} were due")
        expect(waited < SLOW, "waited", waited)
        time.sleep(2)
        share = (processor_seconds(daemon) - used) / (time.monotonic() - begin)
        note(f"the core used {share:.1%} of a processor")
        expect(share < 0.2 * SLOW, "the core is busy with nothing")
    go_on.set()                 # or the daemon waits for them when it ends


run(one_address, hanging_domains)
