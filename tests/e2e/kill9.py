#!/usr/bin/env -S python3 -B
# The daemon is killed twenty times (SIGKILL) in a stream of ADDs over LMTP.
# What was answered 250 must be in the store after the next start, its answer
# must reach the sink, and all copies of one answer must be the same mail.

import random
import threading
import time
from collections import defaultdict

from lib import (SAN, SLOW, Lmtp, armor, certificates, equal, expect, mail,
                 new_id, note, run, smtp_to, wait_until)

from debian_ring import fingerprint

RINGS = ("/usr/share/keyrings/debian-maintainers.gpg",
         "/usr/share/keyrings/debian-keyring.gpg")
KILLS = 20
CLIENTS = 3
START_SECONDS = 1.0


def small_certificates(count):
    """Distinct certificates, the smallest first."""
    found = {}
    for ring in RINGS:
        with open(ring, "rb") as f:
            for c in certificates(f.read()):
                found[fingerprint(c)] = c
    return sorted(found.items(), key=lambda pair: len(pair[1]))[:count]


class Stream:
    """Clients that mail ADDs as an MTA would: again until the 250 comes."""

    def __init__(self, daemon, work):
        self.daemon = daemon
        self.work = list(reversed(work))
        self.lock = threading.Lock()
        self.stopping = False
        self.acknowledged = {}      # Message-ID -> fingerprint
        self.retried = set()        # Message-IDs sent more than once
        self.refused = []           # answers other than 250 and 4xx
        self.threads = [threading.Thread(target=self.client)
                        for _ in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def next_mail(self):
        with self.lock:
            if self.stopping or not self.work:
                return None
            fpr, certificate = self.work.pop()
        message_id = new_id()
        return fpr, message_id, mail("ADD", armor(certificate),
                                     message_id=message_id)

    def client(self):
        lmtp = None
        todo, tries = self.next_mail(), 0
        while todo:
            fpr, message_id, message = todo
            tries += 1
            try:
                lmtp = lmtp or Lmtp(self.daemon.lmtp_path, timeout=20)
                code, text = lmtp.send(message)[0]
            except (OSError, AssertionError):
                # Killed before the answer: an MTA keeps the mail.
                lmtp = None
                time.sleep(0.02)
                continue
            if 400 <= code < 500:
                time.sleep(0.05)
                continue
            with self.lock:
                if tries > 1:
                    self.retried.add(message_id)
                if code == 250:
                    self.acknowledged[message_id] = fpr
                else:
                    self.refused.append((fpr, code, text))
            todo, tries = self.next_mail(), 0
        if lmtp:
            lmtp.close()

    def finish(self):
        self.stopping = True
        for t in self.threads:
            t.join()


def no_key_lost(place):
    """twenty SIGKILLs in a stream of ADDs lose nothing acknowledged"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    stream = Stream(daemon, small_certificates(1100))
    starts, orphans = [], []
    dice = random.Random(20260301)
    try:
        for _ in range(KILLS):
            before = len(stream.acknowledged)
            wait_until(lambda: len(stream.acknowledged) > before
                       or not stream.work, 30, "another 250")
            expect(stream.work, "the certificates ran out")
            # At a random moment of the work, not at its edges.
            time.sleep(dice.uniform(0, 0.15) * SLOW)
            helpers = daemon.helpers()
            daemon.kill()
            orphans.append(helpers)
            starts.append(daemon.start())
        after = len(stream.acknowledged)
        wait_until(lambda: len(stream.acknowledged) > after + CLIENTS
                   or not stream.work, 30, "250s after the last start")
    finally:
        stream.finish()
    note(f"{len(stream.acknowledged)} ADDs acknowledged, "
         f"{len(stream.retried)} of them after a retry; starts took "
         f"{min(starts):.2f} to {max(starts):.2f} s")
    equal(stream.refused, [], "ADDs refused")
    if not SAN:
        expect(max(starts) < START_SECONDS, f"a start took {max(starts)} s")

    missing = []
    for fpr in stream.acknowledged.values():
        got = daemon.ctl("get", "0x" + fpr)
        if got.returncode != 0 or b"BEGIN PGP PUBLIC KEY" not in got.stdout:
            missing.append((fpr, got.returncode, got.stderr))
    expect(not missing, len(missing), "acknowledged keys are lost:",
           missing[:3])

    wanted = set(stream.acknowledged)
    sink.wait(lambda got: wanted <= {d.in_reply_to for d in got}, 60,
              "an answer to every acknowledged ADD")
    time.sleep(2.5)  # past the first retry: a late copy would be here
    copies = defaultdict(list)
    for d in sink.got:
        copies[d.in_reply_to].append(d)
    several = [c for c in copies.values() if len(c) > 1]
    note(f"{len(sink.got)} answers, {len(several)} of them more than once")
    for same in several:
        equal(len({d.message_id for d in same}), 1,
              f"Message-IDs of the answers to {same[0].in_reply_to}")
        equal(len({d.raw for d in same}), 1, "different copies")
    unasked = set(copies) - wanted
    equal(unasked, set(), "answers to mails never acknowledged")
    everybody = set().union(*orphans) - daemon.helpers()
    left = [p for p in everybody if still_a_helper(p)]
    equal(left, [], "helpers of killed daemons still there")


def still_a_helper(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"mailkeyd-" in f.read()
    except OSError:
        return False


if __name__ == "__main__":
    run(no_key_lost)
