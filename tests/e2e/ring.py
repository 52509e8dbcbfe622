#!/usr/bin/env -S python3 -B
# Servers that keep each other up to date by mail.  What one of them sends
# goes over SMTP to a mail server, which hands it on to the next over LMTP.

import re
import threading
import time

from lib import (ALICE, SLOW, Lmtp, Sink, armor, certificates, crlf, equal,
                 expect, gpg, key, mail, new_id, note, packets, run, smtp_to,
                 wait_until)

ONE, TWO, THREE = (f"keys@{n}.example" for n in ("one", "two", "three"))
QUIET = 1.5     # seconds without a sync mail, and it has settled

RING = "/usr/share/keyrings/debian-maintainers.gpg"
ALICE_FPR = "231A449802A0FC9B0505E4CD05E825E4425612B5"


class Post(Sink):
    """The mail server of them all; answers to people stay here."""

    def __init__(self):
        self.daemons = {}
        self.away = {}          # address -> what its mail server says
        self.strip = False      # takes the X-KeyServer-Sent away
        self.syncs = []         # (sender, recipient, Delivery) handed on
        self.envelope = threading.local()
        super().__init__(verdict=self.hand_on)

    def _data(self, lines, sender, recipients):
        self.envelope.sender = sender
        return super()._data(lines, sender, recipients)

    def hand_on(self, recipient, raw):
        daemon = self.daemons.get(recipient.lower())
        if daemon is None:
            return None
        if recipient in self.away:
            return self.away[recipient]
        if self.strip:
            raw = re.sub(rb"(?im)^X-KeyServer-Sent:.*\r\n", b"", raw)
        raw = (b"Received: from sink.example.net by relay.example.net; "
               b"Sun, 01 Mar 2026 12:00:00 +0000\r\n" + raw)
        try:
            with Lmtp(daemon.lmtp_path, timeout=30) as lmtp:
                code, text = lmtp.send(raw, self.envelope.sender,
                                       (recipient,))[0]
        except (OSError, AssertionError) as why:
            return f"451 4.4.1 {type(why).__name__}"
        if code == 250:
            if self.envelope.sender:    # else it is an answer
                self.syncs.append((self.envelope.sender, recipient, raw))
            return None
        return f"{code} {text}"

    def settle(self, quiet=QUIET):
        """Waits until no sync mail has come for a while; how many they are."""
        n = -1
        while n != len(self.syncs):
            n = len(self.syncs)
            time.sleep(quiet * SLOW)
        return n

    def answers(self):
        return [d for d in self.got
                if d.recipients[0].lower() not in self.daemons]


def peer(address, more="gather = 0"):
    return f'peer "{address}" {{ address = "{address}" {more} }}'


def network(place, links, more="gather = 0", limits=None):
    """links: address -> its peers."""
    post = Post()
    place.at_close(post.close)
    for address, others in links.items():
        name = address.split("@")[1].split(".")[0]
        post.daemons[address] = place.daemon(
            name=name, address=address, send=smtp_to(post.port),
            extra="\n".join(peer(o, more) for o in others), limits=limits)
    for daemon in post.daemons.values():
        daemon.start()
    return post


def ring(place, **options):
    return network(place, {ONE: (TWO, THREE), TWO: (THREE, ONE),
                           THREE: (ONE, TWO)}, **options)


def send(post, to, message, sender=ALICE):
    with Lmtp(post.daemons[to].lmtp_path) as lmtp:
        return lmtp.send(message, sender, (to,))[0]


def add(post, to, body):
    """Mails an ADD and returns the answer."""
    message_id = new_id()
    answer = send(post, to, mail("ADD", body, message_id=message_id))
    equal(answer[0], 250, "LMTP status")
    return post.answer_to(message_id)


def has(daemon, what):
    return daemon.ctl("index", what).returncode == 0


def shown(daemon, what):
    return daemon.ctl("index", "-v", what).stdout.decode()


def got(daemon, what):
    return daemon.ctl("get", what).stdout


def everybody(post, what, addresses=None):
    for address in addresses or post.daemons:
        wait_until(lambda a=address: has(post.daemons[a], what), 20,
                   f"{what} at {address}")


def tags(place, raw):
    binary = gpg(place, "--dearmor", stdin=raw[raw.index(b"-----BEGIN"):])
    return [tag for tag, _, _ in packets(binary)]


def sent_lines(raw):
    return re.findall(rb"(?im)^X-KeyServer-Sent: (.*)\r$", raw)


def dearmored(place, name):
    return gpg(place, "--dearmor", stdin=key(name))


def without_second_userid(data):
    """The certificate of alice as it was before."""
    spans = [data[a:b] for tag, a, b in packets(data)]
    kinds = [tag for tag, _, _ in packets(data)]
    equal(kinds[:5], [6, 13, 2, 13, 2], "packets of alice.asc")
    return b"".join(spans[:3] + spans[5:])


# ---- rings -----------------------------------------------------------------

def an_add_reaches_all(place):
    """an ADD to one of three reaches all, and it settles"""
    post = ring(place)
    add(post, ONE, key("alice.asc"))
    everybody(post, "alice@example.org")
    n = post.settle()
    note(n, "sync mails")
    # one to two and three, and each of these perhaps to the other
    expect(2 <= n <= 4, n, "sync mails")
    equal(len(post.answers()), 1, "answers to people")
    keys = {got(d, ALICE_FPR) for d in post.daemons.values()}
    equal(len(keys), 1, "different forms of the certificate")
    sender, recipient, raw = post.syncs[0]
    equal(sender, ONE, "envelope sender")
    names = re.findall(rb"(?m)^([A-Za-z-]+):", raw.split(b"\r\n\r\n")[0])
    equal(names[1:8], [b"To", b"From", b"Subject", b"X-KeyServer-Sent",
                       b"Precedence", b"MIME-Version", b"Content-Type"],
          "header")
    for sender, recipient, raw in post.syncs:
        own = sent_lines(raw)
        equal(own[-1].decode(), sender, "the last X-KeyServer-Sent")
        equal(len(own), len(set(own)), "X-KeyServer-Sent lines")
        expect(recipient.encode() not in own, "went to", recipient, own)


def nothing_new_ends_it(place):
    """without any X-KeyServer-Sent the ring settles too: nothing new, \
nothing sent"""
    post = ring(place)
    post.strip = True
    add(post, ONE, key("alice.asc"))
    add(post, TWO, key("bob.asc"))
    everybody(post, "alice@example.org")
    everybody(post, "bob@example.org")
    n = post.settle()
    note(n, "sync mails")
    # each server sends a change once to each of its peers at most
    expect(4 <= n <= 12, n, "sync mails")
    send(post, ONE, mail("ADD", key("alice.asc")))
    equal(post.settle(), n, "sync mails after an ADD of what is known")


def one_way_round(place):
    """a chain in a ring, each with the next as its only peer"""
    # A peer is whoever may send, so each knows the one before it too, under
    # an address that nothing is routed to.
    post = Post()
    place.at_close(post.close)
    order = (ONE, TWO, THREE)
    for i, address in enumerate(order):
        after, before = order[(i + 1) % 3], order[i - 1]
        extra = peer(after) + "\n" + peer(
            "away@nowhere.example",
            f'sender = "{before}" gather = 1d')
        post.daemons[address] = place.daemon(
            name=address[5:-8], address=address, send=smtp_to(post.port),
            extra=extra)
    for daemon in post.daemons.values():
        daemon.start()
    add(post, ONE, key("alice.asc"))
    everybody(post, "alice@example.org")
    n = post.settle()
    routes = [(s, r) for s, r, _ in post.syncs]
    note(routes)
    equal(routes, [(ONE, TWO), (TWO, THREE)], "sync mails")
    equal(sent_lines(post.syncs[1][2])[0].decode(), ONE,
          "the first X-KeyServer-Sent of the second mail")
    # Now nobody says where it has been: once round, and no further.
    post.strip = True
    add(post, ONE, key("bob.asc"))
    everybody(post, "bob@example.org")
    post.settle()
    equal([(s, r) for s, r, _ in post.syncs[n:]],
          [(ONE, TWO), (TWO, THREE), (THREE, ONE)], "sync mails")


def only_the_difference(place):
    """a user ID added goes on as the difference only"""
    post = ring(place)
    whole = dearmored(place, "alice.asc")
    add(post, ONE, armor(without_second_userid(whole)))
    everybody(post, ALICE_FPR)
    n = post.settle()
    for _, _, raw in post.syncs:
        equal(tags(place, raw), [6, 13, 2, 14, 2, 14, 2], "the first mail")
    add(post, TWO, armor(whole))
    for daemon in post.daemons.values():
        wait_until(lambda d=daemon: "alicia@example.net" in
                   shown(d, ALICE_FPR), 20, "the second user ID")
    post.settle()
    expect(len(post.syncs) > n, "no sync mail")
    for _, _, raw in post.syncs[n:]:
        equal(tags(place, raw), [6, 13, 2], "the difference")
    keys = {got(d, ALICE_FPR) for d in post.daemons.values()}
    equal(len(keys), 1, "different forms of the certificate")


def a_revocation_reaches_all(place):
    """a bare revocation sent to one reaches all"""
    post = ring(place)
    add(post, ONE, key("carol.asc"))
    everybody(post, "carol@example.org")
    n = post.settle()
    add(post, THREE, key("carol-revocation.asc"))
    for daemon in post.daemons.values():
        wait_until(lambda d=daemon: "REVOKED" in
                   shown(d, "carol@example.org").upper(), 20,
                   "the revocation")
    post.settle()
    for _, _, raw in post.syncs[n:]:
        equal(tags(place, raw), [6, 2, 13, 2], "the difference")


# ---- being away ------------------------------------------------------------

def catches_up(place):
    """a peer that was away gets what it missed, with the daemons restarted \
in between"""
    post = ring(place)
    post.away[THREE] = "451 4.4.1 nobody is there"
    post.daemons[THREE].stop()
    add(post, ONE, key("alice.asc"))
    everybody(post, "alice@example.org", (ONE, TWO))
    add(post, TWO, key("bob.asc"))
    everybody(post, "bob@example.org", (ONE, TWO))
    post.daemons[ONE].kill()
    post.daemons[ONE].start()
    add(post, ONE, key("carol.asc"))
    everybody(post, "carol@example.org", (ONE, TWO))
    add(post, TWO, key("carol-revocation.asc"))
    time.sleep(1.5 * SLOW)
    expect(not [1 for _, r, _ in post.syncs if r == THREE], "mail for three")
    post.daemons[THREE].start()
    del post.away[THREE]
    everybody(post, "alice@example.org")
    everybody(post, "bob@example.org")
    everybody(post, "carol@example.org")
    wait_until(lambda: "REVOKED" in shown(
        post.daemons[THREE], "carol@example.org").upper(), 20,
        "the revocation")
    note(post.settle(), "sync mails")


def a_refusal_is_made_good(place):
    """mails that a peer's server refused are made again"""
    post = network(place, {ONE: (TWO,), TWO: (ONE,)})
    one = post.daemons[ONE]
    post.away[TWO] = "550 5.1.1 no such user"
    add(post, ONE, key("alice.asc"))
    wait_until(lambda: "given up" in one.ctl("sync").stdout.decode(), 20,
               "a mail given up")
    del post.away[TWO]
    wait_until(lambda: one.ctl("sync").returncode == 0
               and has(post.daemons[TWO], "alice@example.org"), 20,
               "the mail made again")
    post.settle()
    expect("up to date" in one.ctl("sync").stdout.decode(), "position")


def a_dropped_mail_is_made_good(place):
    """a sync mail that an operator drops is made again"""
    post = network(place, {ONE: (TWO,), TWO: (ONE,)})
    one = post.daemons[ONE]
    post.away[TWO] = "450 4.2.0 later"
    add(post, ONE, key("alice.asc"))

    def waiting():
        return [line.split()[0] for line in
                one.ctl("queue").stdout.decode().splitlines()
                if line.endswith(f" {TWO}")]

    [number] = wait_until(waiting, 20, "a mail that waits")
    wait_until(lambda: one.ctl("queue", "drop", number).returncode == 0, 20,
               "a moment in which it is not being sent")
    del post.away[TWO]
    wait_until(lambda: one.ctl("sync").returncode == 0
               and has(post.daemons[TWO], "alice@example.org"), 20,
               "the mail made again")


def gathering(place):
    """changes are gathered, and mailkeyctl sync sends what waits"""
    post = network(place, {ONE: (TWO,), TWO: (ONE,)}, more="gather = 1h")
    for name in ("alice.asc", "bob.asc", "carol.asc"):
        add(post, ONE, key(name))
    equal(post.settle(1), 0, "sync mails")
    done = post.daemons[ONE].ctl("sync")
    equal(done.returncode, 0, done.stderr)
    for who in ("alice", "bob", "carol"):
        everybody(post, f"{who}@example.org")
    equal(post.settle(1), 1, "sync mails")
    equal(tags(place, post.syncs[0][2]).count(6), 3, "certificates in it")


def imports(place):
    """an import is quiet, import --sync is not"""
    post = network(place, {ONE: (TWO,), TWO: (ONE,)})
    one = post.daemons[ONE]
    equal(one.ctl("import", place.write("a", key("alice.asc"))).returncode, 0)
    equal(post.settle(1), 0, "sync mails")
    equal(one.ctl("import", "--sync",
                  place.write("b", key("bob.asc"))).returncode, 0)
    everybody(post, "bob@example.org")
    post.settle(1)
    expect(not has(post.daemons[TWO], "alice@example.org"), "alice went too")


# ---- other servers ---------------------------------------------------------

def from_strangers(place):
    """INCREMENTAL from a stranger is not worked on; from a peer whatever \
its header says"""
    post = network(place, {ONE: (TWO,), TWO: (ONE,)})
    one, two = post.daemons[ONE], post.daemons[TWO]
    headers = ("Precedence: list", "List-Id: <x.example>",
               "Auto-Submitted: auto-generated", f"X-Loop: {ONE}",
               f"X-KeyServer-Sent: {ONE}")
    equal(send(post, ONE, mail("incremental", key("alice.asc")))[0], 250)
    equal(send(post, ONE, mail("INCREMENTAL", key("alice.asc"), sender=TWO,
                               headers=headers))[0], 250)  # From is not asked
    post.settle(1)
    expect(not has(one, "alice@example.org"), "a stranger's key was stored")
    equal(len(re.findall("no peer", one.log())), 2, "lines in the log")
    garbage = mail("incremental", b"no key", sender=TWO, headers=headers)
    code, text = send(post, ONE, garbage, sender=TWO)
    equal(code, 250)
    expect(text.endswith("taken, not answered"), text)
    message = mail("incremental", key("alice.asc"), sender="x@two.example",
                   headers=headers)
    code, text = send(post, ONE, message, sender="Keys@TWO.example")
    equal(code, 250)
    expect(text.endswith(" taken"), text)
    everybody(post, "alice@example.org", (ONE,))
    equal(send(post, ONE, mail("Incremental update of your mailbox",
                               key("bob.asc")), sender=TWO)[0], 250)
    post.settle(1)
    expect(not has(one, "bob@example.org"), "no sync mail, but stored")
    equal(post.syncs, [], "sent back to the peer it came from")
    equal(one.stop(), 0)
    equal(two.stop(), 0)


def header_from(place):
    """a peer is known by From only where its section says so"""
    post = network(place, {ONE: (TWO,)}, more="header_from = yes")
    message = mail("incremental", key("alice.asc"), sender=TWO)
    # PKS writes mailer-daemon into the envelope, some make it the null sender
    equal(send(post, ONE, message, sender="mailer-daemon@two.example")[0], 250)
    everybody(post, "alice@example.org")
    message = mail("incremental", key("bob.asc"), sender=TWO)
    equal(send(post, ONE, message, sender="")[0], 250)
    everybody(post, "bob@example.org")
    message = mail("incremental", key("carol.asc"), sender="x@two.example")
    equal(send(post, ONE, message, sender="mailer-daemon@two.example")[0], 250)
    post.settle(1)
    expect(not has(post.daemons[ONE], "carol@example.org"), "From of nobody")
    equal(post.got, [], "answers")


def hockeypuck(place):
    """Subject: ADD and nothing else: a sync from a peer, else an ADD"""
    post = network(place, {ONE: (TWO, THREE)})
    one = post.daemons[ONE]
    post.daemons[TWO] = post.daemons[THREE] = None
    taken = []
    post.verdict = lambda r, raw: taken.append((r, raw))
    bare = b"Subject: ADD\n\n" + key("alice.asc")
    equal(send(post, ONE, bare, sender=TWO)[0], 250)
    everybody(post, "alice@example.org", (ONE,))
    wait_until(lambda: taken, 20, "the sync mail")
    time.sleep(1 * SLOW)
    equal([r for r, _ in taken], [THREE], "recipients")
    equal(sent_lines(taken[0][1]), [TWO.encode(), ONE.encode()],
          "X-KeyServer-Sent")
    del taken[:]
    equal(send(post, ONE, b"Subject: ADD\n\n" + key("bob.asc"),
               sender="hockeypuck@example.net")[0], 250)
    wait_until(lambda: len(taken) == 3, 20, "an answer and two sync mails")
    equal(sorted(r for r, _ in taken),
          ["hockeypuck@example.net", THREE, TWO], "recipients")
    # with a From it is a person's, and answered, whoever hands it in
    del taken[:]
    equal(send(post, ONE, mail("ADD", key("carol.asc"), sender=TWO),
               sender=TWO)[0], 250)
    wait_until(lambda: len(taken) == 3, 20, "an answer and two sync mails")
    equal(sorted(r for r, _ in taken), [THREE, TWO, TWO], "recipients")
    equal(one.stop(), 0)


class Pauses:
    """How long a client that asks little waits for its answers."""

    def __init__(self, daemon):
        self.lmtp = daemon.lmtp()
        self.longest, self.n, self.ends = 0, 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ends:
            began = time.monotonic()
            self.lmtp.command("NOOP")
            self.longest = max(self.longest, time.monotonic() - began)
            self.n += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()
        self.lmtp.close()


def many_at_once(place):
    """a sync mail with many new keys is stored in slices, and whole"""
    post = network(place, {ONE: (TWO,), TWO: ()})
    one = post.daemons[ONE]
    with open(RING, "rb") as f:
        ring = sorted(certificates(f.read()), key=len)[:150]
    body = crlf(armor(b"".join(ring)))
    with Pauses(one) as pauses:
        equal(send(post, ONE, mail("incremental", body), sender=TWO)[0], 250)
    note(f"150 keys: others waited {pauses.longest * 1000:.0f} ms at most")
    line = one.log().splitlines()[-1]
    counts = {k: int(v) for k, v in
              re.findall(r" (new|changed|unchanged|refused)=(\d+)", line)}
    equal(sum(counts.values()), len(ring), "certificates in the log")
    expect("outcome=done" in line and counts["new"] > 100, line)
    stats = one.ctl("stats").stdout.decode()
    equal(int(re.search(r"certificates +(\d+)", stats)[1]), counts["new"],
          "certificates in the store")
    # The same again: nothing is new.
    equal(send(post, ONE, mail("incremental", body), sender=TWO)[0], 250)
    line = one.log().splitlines()[-1]
    expect(f" new=0 changed=0 unchanged={counts['new']} " in line, line)


def limits_of_a_peer(place):
    """a peer may bring 5000 keys a mail and 10,000 a day"""
    post = network(place, {ONE: (TWO,)})
    one = post.daemons[ONE]
    equal(one.ctl("import", place.write("e", key("erin.asc"))).returncode, 0)
    erin = dearmored(place, "erin.asc")
    carol = dearmored(place, "carol.asc")
    # the last one is the five thousand and first
    body = crlf(armor(erin * 5000 + carol))
    expect(1 << 20 < len(body) < 16 << 20, len(body), "octets")
    with Pauses(one) as pauses:
        equal(send(post, ONE, mail("incremental", body), sender=TWO)[0], 250)
    note(f"5000 keys: others waited {pauses.longest * 1000:.0f} ms at most,",
         f"{pauses.n} commands between")
    expect(not has(one, "carol@example.org"), "5001 keys were taken")
    line = one.log().splitlines()[-1]
    expect(" new=0 changed=0 unchanged=5000 refused=0 " in line, line)
    equal(send(post, ONE, mail("incremental", body), sender=TWO)[0], 250)
    # ten thousand are through: the rest waits with its mail server
    code, text = send(post, ONE, mail("incremental", key("carol.asc")),
                      sender=TWO)
    equal(code, 451, text)
    expect(not has(one, "carol@example.org"), "over the limit of the day")
    # a stranger gets no such room
    add(post, ONE, key("bob.asc"))
    answer = add(post, ONE, armor(erin * 60))
    expect("Only the first 50 keys" in answer.text(), answer.text())
    code, text = send(post, ONE, mail("ADD", b"x" * 70 + b"\n" * (6 << 20)))
    equal(code, 250, text)
    wait_until(lambda: "message_size" in post.got[-1].text(), 20,
               "the answer that names the limit")


if __name__ == "__main__":
    run(an_add_reaches_all, nothing_new_ends_it, one_way_round,
        only_the_difference, a_revocation_reaches_all, catches_up,
        a_refusal_is_made_good, a_dropped_mail_is_made_good, gathering,
        imports, from_strangers, header_from, hockeypuck, many_at_once, limits_of_a_peer)
