#!/usr/bin/env -S python3 -B
# Certificates that the operator does not want: forgotten, and on the block
# list.

import os
import re

from lib import (ROOT, ask, equal, expect, fingerprints, gpg, key, mail,
                 packets, run, smtp_to)

BOB = "88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E"
CAROL = "4D293978532AE8CB5EFF7A96D60BDC818F051381"
PEER = "keys@peer.example"
PEERS = f'peer "p" {{ address = "{PEER}" gather = 0s }}'


def path(name):
    return os.path.join(ROOT, "tests/keys", name)


def ctl(daemon, *args, status=0):
    done = daemon.ctl(*args)
    equal(done.returncode, status, f"mailkeyctl {args}: {done.stderr}")
    return (done.stdout + done.stderr).decode()


def started(place, **options):
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), **options)
    daemon.start()
    return daemon, sink


def sync_mail(daemon, name):
    """As the peer sends it; done with when LMTP says so."""
    with daemon.lmtp() as lmtp:
        lmtp.send(mail("incremental", key(name), sender=PEER), sender=PEER)


def is_gone(place, daemon, sink):
    for subject in ("GET carol@example.org", f"GET 0x{CAROL}", "INDEX carol",
                    "LAST 3"):
        answer = ask(daemon, sink, subject)
        found = CAROL in fingerprints(place, answer.keys())
        expect("Carol" not in answer.text() and not found, subject)
    expect("carol" not in ctl(daemon, "index", "example").lower(),
           "it is listed")


def forget(place):
    """what was forgotten comes back by no way, but its revocation does"""
    daemon, sink = started(place, extra=PEERS)
    ctl(daemon, "import", path("bob.asc"), path("carol.asc"))
    text = ask(daemon, sink, "GET carol@example.org").text()
    expect("1 key found" in text, text)
    ctl(daemon, "forget", "0x" + CAROL[:20], CAROL[20:])
    is_gone(place, daemon, sink)
    equal(fingerprints(place, daemon.ctl("dump").stdout), [BOB], "the dump")
    # An ADD is told, a sync mail and an import are passed over.
    text = ask(daemon, sink, "ADD", key("carol.asc")).text()
    expect("removed" in text and "Nothing was added" in text, text)
    sync_mail(daemon, "carol.asc")
    said = ctl(daemon, "import", path("carol.asc"))
    expect("1 refused" in said and "forgotten" in said, said)
    equal(daemon.stop(), 0, "exit status")
    daemon.start()
    is_gone(place, daemon, sink)
    # Without the primary key nobody can judge a revocation.
    text = ask(daemon, sink, "ADD", key("carol-revocation.asc")).text()
    expect("Send the key together" in text, text)
    sync_mail(daemon, "carol-revoked.asc")
    expect("KEY REVOKED" in ctl(daemon, "index", f"0x{CAROL}"), "no revocation")
    answer = ask(daemon, sink, f"GET 0x{CAROL}")
    kinds = [tag for tag, _, _ in packets(
        gpg(place, "--dearmor", stdin=answer.keys()))]
    equal(kinds, [6, 2], "the packets that are served of it")
    expect("carol@" not in ctl(daemon, "index", f"0x{CAROL}"), "user IDs")
    # gpg knows the key, and learns that it is revoked.
    gpg(place, "--import", stdin=key("carol.asc"))
    gpg(place, "--import", stdin=answer.keys())
    expect(b"pub:r:" in gpg(place, "--with-colons", "--list-keys", CAROL),
           "gpg does not take it for revoked")
    # Taken back, with the daemon stopped.
    equal(daemon.stop(), 0, "exit status")
    ctl(daemon, "unforget", CAROL)
    ctl(daemon, "unforget", CAROL, status=69)
    daemon.start()
    text = ask(daemon, sink, "ADD", key("carol.asc")).text()
    expect("Added: 1 user ID" in text, text)
    expect("carol@" in ctl(daemon, "index", f"0x{CAROL}"), "no user ID")
    place.check_daemons()


def nothing_for_peers(place):
    """what waits for a peer in the change log does not go to it any more"""
    daemon, sink = started(
        place, extra=PEERS.replace("0s", "10m"))
    ask(daemon, sink, "ADD", key("carol.asc"))
    ask(daemon, sink, "ADD", key("bob.asc"))
    ctl(daemon, "forget", CAROL)
    ctl(daemon, "sync")
    got = sink.wait(lambda got: next((d for d in got if PEER in d.recipients),
                                     None), 30, "the sync mail")
    equal(fingerprints(place, got.keys()), [BOB], "what the peer gets")


def wrong_words(place):
    """what is no fingerprint of a primary key is refused with the reason"""
    daemon = place.daemon()
    ctl(daemon, "import", path("carol.asc"))
    ctl(daemon, "forget", status=64)
    ctl(daemon, "forget", CAROL[24:], status=64)
    ctl(daemon, "forget", "carol@example.org", status=64)
    out = gpg(place, "--with-colons", "--with-subkey-fingerprint",
              "--show-keys", stdin=key("carol.asc"))
    sub = [line.split(b":")[9].decode() for line in out.splitlines()
           if line.startswith(b"fpr:")][1]
    expect(CAROL in ctl(daemon, "forget", sub, status=65), "no hint")
    expect("carol@" in ctl(daemon, "index", "carol"), "it is gone")


def blocked(place):
    """what is on the block list is neither taken nor shown"""
    blocklist = place.write("blocked", "# nobody\n")
    extra = f'certificates {{ block_list = "{blocklist}" }}'
    daemon, sink = started(place, extra=extra)
    ask(daemon, sink, "ADD", key("bob.asc"))
    equal(daemon.stop(), 0, "exit status")
    place.write("blocked", f"\n{BOB} # asked for\n"
                "4d29 3978 532a e8cb 5eff  7a96 d60b dc81 8f05 1381\n")
    daemon.start()
    for name in ("carol.asc", "carol-revoked.asc", "bob.asc"):
        text = ask(daemon, sink, "ADD", key(name)).text()
        expect("block" in text and "Nothing was added" in text, text)
    for subject in ("GET bob@example.org", "LAST 3", "INDEX bob example"):
        text = ask(daemon, sink, subject).text()
        expect("No matching keys" in text or "No keys" in text, text)
    equal(daemon.ctl("dump").stdout, b"", "the dump")
    equal(daemon.stop(), 0, "exit status")
    # A line that is none keeps it from starting, and from nothing else.
    place.write("blocked", f"{BOB}\n\n{CAROL}0\n")
    for args in (("-t",), ()):
        done = daemon.command("mailkeyd", *args)
        equal(done.returncode, 78, f"exit status of {args}")
        said = done.stderr.decode()
        expect(re.search(r"\.conf:[0-9]+: block_list "
                         rf"{re.escape(str(blocklist))}:3: ", said) and
               said.count("\n") == 1, said)
    place.write("blocked", "")
    daemon.start()
    text = ask(daemon, sink, "GET bob@example.org").text()
    expect("1 key found" in text, text)
    # A running server takes the list anew when it is told to.
    place.write("blocked", f"{BOB}\n")
    ctl(daemon, "reload")
    text = ask(daemon, sink, "GET bob@example.org").text()
    expect("No matching keys" in text, text)


run(forget, nothing_for_peers, wrong_words, blocked)
