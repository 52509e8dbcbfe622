#!/usr/bin/env -S python3 -B
# Whoever asks too much: the deny list, budgets, and a burst of mails from one
# sender beside which others are served, with a line of the log or two.

import os
import re
import threading
import time

from lib import (ALICE, SLOW, ask, equal, expect, key, mail, new_id, note,
                 run, smtp_to, wait_until)

BURST = 10000 if os.environ.get("FULL") else 3000
CLIENTS = 4


def start(place, extra="", **limits):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), extra=extra, limits=limits)
    daemon.start()
    return daemon, sink


def send(daemon, message, sender):
    with daemon.lmtp() as lmtp:
        equal(lmtp.send(message, sender)[0][0], 250, "LMTP status")


def deny(place):
    """who is on the deny list gets no answer"""
    daemon, sink = start(
        place, extra='deny = { "mallory@example.net", "example.com" }\n'
                     'peer "p" { address = "keys@example.com" }')
    for sender, headers in (
            ("mallory@example.net", ()), ("Mallory+x@Example.NET", ()),
            ("eve@example.com", ()), ("eve@mail.example.com", ()),
            (ALICE, ("Reply-To: eve@example.com",))):
        send(daemon, mail("ADD", key("bob.asc"), sender, headers=headers),
             sender)
    # From is Alice's, as mail() writes it.
    send(daemon, mail("HELP"), "mallory@example.net")
    for sender in (ALICE, "eve@notexample.com", "mallory2@example.net"):
        equal(ask(daemon, sink, "GET bob", sender=sender).recipients,
              [sender], "recipients")
    expect("no key" in sink.got[0].text().lower() or
           sink.got[0].subject.endswith(", failed"), "bob's key was stored")
    equal(len(sink.got), 3, "answers")
    lines = [s for s in daemon.log().splitlines() if "on the deny list" in s]
    # Mallory's three are one: an extension is no other sender.
    equal(len(lines), 4, "lines of the log")
    # A peer is not affected.
    send(daemon, b"From: keys@example.com\nSubject: INCREMENTAL\n"
         b"Message-ID: " + new_id().encode() + b"\n\n" + key("bob.asc"),
         "keys@example.com")
    expect(b"Bob" in daemon.ctl("index", "bob").stdout, "what the peer sent")


def extensions(place):
    """an address has one budget, whatever its extension"""
    daemon, sink = start(place, replies_per_hour=3)
    for i in range(6):
        sender = f"alice+{i}@example.net"
        send(daemon, mail("GET nobody-has-this", sender=sender), sender)
    ask(daemon, sink, "HELP", sender="bob@example.net")
    wait_until(lambda: len(sink.got) >= 4, 20, "four answers")
    equal(len(sink.got), 4, "answers")
    equal(daemon.log().count("over budget"), 1, "lines of the log")


def burst(place):
    """a burst from one sender: others are served, the log stays short"""
    daemon, sink = start(place, replies_per_hour=20)
    expect(ask(daemon, sink, "HELP", sender="first@example.net"), "")
    left = threading.Semaphore(BURST)
    codes = []

    def client():
        with daemon.lmtp() as lmtp:
            while left.acquire(blocking=False):
                codes.append(lmtp.send(mail("GET nobody-has-this"))[0][0])

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    begin = time.monotonic()
    for t in threads:
        t.start()
    waits = []
    while any(t.is_alive() for t in threads):
        asked = time.monotonic()
        ask(daemon, sink, "HELP", sender=f"u{len(waits)}@example.org")
        waits.append(time.monotonic() - asked)
        time.sleep(0.3)
    seconds = time.monotonic() - begin
    equal((len(codes), set(codes)), (BURST, {250}), "LMTP statuses")
    with open(f"/proc/{daemon.process.pid}/status") as f:
        peak = int(next(s for s in f if s.startswith("VmHWM:")).split()[1])
    note(f"{BURST} mails in {seconds:.1f} s, {len(waits)} others waited "
         f"{max(waits):.2f} s at most, {peak} KB")
    expect(max(waits) < 5 * SLOW, "another waited", max(waits))
    expect(SLOW > 1 or peak < 100000, "memory", peak)
    equal(len([d for d in sink.got if ALICE in d.recipients]), 20, "answers")
    equal(daemon.log().count("over budget"), 1, "lines of the log")
    daemon.stop()
    more = re.findall(r'event=more who=(\S+) note="over budget, not answered" '
                      r'mails=(\d+)', daemon.log())
    equal(more, [(ALICE, str(BURST - 21))], "what one line says of the rest")


run(deny, extensions, burst)
