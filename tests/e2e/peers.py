#!/usr/bin/env -S python3 -B
# Real key servers of old as peers: onak (onak-mail.pl) and SKS (sks_add_mail
# and `sks db`), each behind a real Postfix, in both directions.
#
# Both are unpacked, not installed (contrib/deps), and run in the namespaces of
# postfix.py.  Postfix keeps a copy of every mail, so that a test sees who sent
# what to whom.

import glob
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import postfix
from lib import (ADDRESS, ROOT, SLOW, Delivery, armor, equal, expect, gpg,
                 key, mail, note, packets, smtp_to, wait_until)

SERVERS = os.path.join(ROOT, "build/mta")
HOST = "mx.example.net"                     # of the Postfix
ONAK = "pgp-public-keys@onak.example"
ONAK_ADMIN = "admin@onak.example"
SKS = "pgp-public-keys@sks.example"
SKS_PORT = 11371
SKS_DIR = "/var/spool/sks"                  # all of SKS' files are below
ONAK_DIR = "/var/spool/onak"
ARCHIVE = "/var/spool/archive"              # a copy of every mail

PASSWD = """\
archive:x:61011:61011::/var/spool/archive:/bin/sh
onak:x:61012:61012::/nonexistent:/bin/sh
debian-sks:x:61013:61013::/nonexistent:/bin/sh
"""
GROUP = """\
archive:x:61011:
onak:x:61012:
debian-sks:x:61013:
"""
MASTER_CF = """
onak  unix  -  n  n  -  1  pipe user=onak argv={onak_mail}
sks   unix  -  n  n  -  1  pipe user=debian-sks
  argv=/usr/lib/sks/sks_add_mail {sks_spool}
"""
ONAK_INI = """\
[main]
backend=defaultdb4
backends_dir={lib}/backends
logfile={dir}/log
loglevel=0
use_keyd=false
max_reply_keys=128
[verification]
check_sighash=true
drop_v3=true
{verify}
[mail]
maintainer_email=PGP Key Server Administrator <{admin}>
mail_dir={dir}/spool
mta=/usr/sbin/sendmail -t -oi -f{sender}
bin_dir=/usr/bin
this_site={onak}
syncsite={us}
[backend:defaultdb4]
type=db4
location={dir}/db
"""
# The first lines of Debian's /etc/sks/sksconf, filled in.
SKSCONF = """\
hostname: sks.example
recon_address: 127.0.0.1
hkp_address: 127.0.0.1
hkp_port: {port}
from_addr: {from_addr}
sendmail_cmd: /usr/sbin/sendmail -t -oi{option}
pagesize: 16
ptree_pagesize: 16
"""

FPR = {"alice": "231A449802A0FC9B0505E4CD05E825E4425612B5",
       "bob": "88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E",
       "carol": "4D293978532AE8CB5EFF7A96D60BDC818F051381"}


# ---- certificates -----------------------------------------------------------

def dearmored(place, block):
    return gpg(place, "--dearmor", stdin=block[block.index(b"-----BEGIN"):])


def bodies(data):
    """The packets without their headers, which each server writes its way."""
    out = []
    for tag, start, end in packets(data):
        first = data[start]
        if first & 0x40:
            size = {True: 2, False: 3}[data[start + 1] < 192]
        else:
            size = 1 + (1 << (first & 3))
        out.append((tag, data[start + size:end]))
    return out


def tags(data):
    return [tag for tag, _, _ in packets(data)]


def spans(data):
    return [data[a:b] for _, a, b in packets(data)]


class Keys:
    """alice as it grew, carol before and after its revocation."""

    def __init__(self, place):
        self.whole = dearmored(place, key("alice.asc"))
        equal(tags(self.whole), [6, 13, 2, 13, 2, 14, 2, 14, 2], "alice.asc")
        p = spans(self.whole)
        self.first = b"".join(p[:3] + p[5:7])
        self.named = b"".join(p[:7])
        self.carol = dearmored(place, key("carol.asc"))
        p = spans(self.carol)
        revocation = dearmored(place, key("carol-revocation.asc"))
        self.revoked = b"".join([p[0], revocation, *p[1:]])


# ---- the mail server --------------------------------------------------------

def why_not():
    for name in ("onak", "sks"):
        if not os.path.isdir(os.path.join(SERVERS, name)):
            return f"no {name} in build/mta (contrib/deps)"
    return postfix.why_not()


installed = {}


def install():
    """Makes it look as if Debian's onak and sks were installed here."""
    if installed:
        return
    root = os.path.join(SERVERS, "onak")
    found = glob.glob(root + "/usr/lib/*/onak")
    equal(len(found), 1, "folders of onak")
    lib = "/" + os.path.relpath(found[0], root)
    for name, path in (("onak", lib), ("onak", "/usr/bin/onak"),
                       ("onak", "/usr/lib/cgi-bin/pks"),
                       ("sks", "/usr/lib/sks"), ("sks", "/usr/sbin/sks")):
        source = os.path.join(SERVERS, name) + path
        if os.path.isdir(source):
            shutil.copytree(source, path)
        else:
            shutil.copy(source, path)
    postfix.append("/etc/passwd", PASSWD)
    postfix.append("/etc/group", GROUP)
    os.mkdir(ARCHIVE, 0o700)
    shutil.chown(ARCHIVE, "archive", "archive")
    postfix.append("/etc/postfix/master.cf", MASTER_CF.format(
        onak_mail=lib + "/onak-mail.pl", sks_spool=SKS_DIR + "/var/spool/sks"))
    done = subprocess.run(
        ["postconf", "-e", f"always_bcc = archive@{HOST}",
         "transport_maps = inline:{ "
         f"{{ {ADDRESS} = mailkeyd:unix:{postfix.LMTP} }}, "
         "{ onak.example = onak: }, { sks.example = sks: } }"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal(done.returncode, 0, done.stdout)
    postfix.postfix("reload")
    installed["lib"] = lib


class Copy(Delivery):
    """A mail as Postfix passed it on."""

    def __init__(self, raw):
        sender = re.search(rb"(?m)^Return-Path: <(.*)>", raw).group(1).decode()
        to = re.search(rb"(?im)^To: (.*)", raw)
        super().__init__(sender, [to.group(1).decode()] if to else [], raw)
        # What the programs wrote, without what Postfix put before it.
        head = raw.split(b"\n\n", 1)[0]
        self.fields = [(name.decode(), value.decode()) for name, value in
                       re.findall(rb"(?m)^([A-Za-z-]+): *(.*)$", head)
                       if name not in (b"Return-Path", b"X-Original-To",
                                       b"Delivered-To", b"Received")]

    def __repr__(self):
        return repr(self.fields)

    def values(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]


class Post:
    """What went over the mail server since it was made."""

    def __init__(self):
        self.before = self.files()

    @staticmethod
    def files():
        return set(glob.glob(ARCHIVE + "/Maildir/new/*"))

    def mails(self):
        new = self.files() - self.before
        out = []
        for path in sorted(new, key=os.path.getmtime):
            with open(path, "rb") as f:
                out.append(Copy(f.read()))
        return out

    def by(self, author):
        return [m for m in self.mails() if author in m.values("From")[0]]

    def syncs(self, author):
        return [m for m in self.by(author)
                if m.values("Subject") == ["incremental"]]

    def settle(self, quiet=2):
        """Waits until no mail has come for a while."""
        n = -1
        while n != len(self.mails()):
            n = len(self.mails())
            time.sleep(quiet * SLOW)
        return self.mails()


# ---- the servers ------------------------------------------------------------

def fresh(folder, owner, *below):
    shutil.rmtree(folder, ignore_errors=True)
    for path in (folder,) + tuple(os.path.join(folder, b) for b in below):
        os.makedirs(path, 0o755, exist_ok=True)
    for path, _, _ in os.walk(folder):
        shutil.chown(path, owner, owner)


class Onak:
    """onak-mail.pl with an empty store of its own."""

    user = {"user": "onak", "group": "onak", "extra_groups": []}

    # What Debian's onak.ini says, Postfix' sendmail takes for the null sender.
    def __init__(self, verify="", sender="mailer-daemon"):
        fresh(ONAK_DIR, "onak", "db", "spool")
        with open("/etc/onak.ini", "w", encoding="utf-8") as f:
            f.write(ONAK_INI.format(lib=installed["lib"], dir=ONAK_DIR,
                                    admin=ONAK_ADMIN, onak=ONAK, us=ADDRESS,
                                    verify=verify, sender=sender))

    def run(self, *args, stdin=b""):
        done = subprocess.run(["onak", *args], input=stdin, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=30 * SLOW, **self.user)
        return done.stdout

    def add_by_web(self, block):
        """As the web server runs it; this one sends its mails itself."""
        body = urllib.parse.urlencode({"keytext": block.decode()}).encode()
        done = subprocess.run(
            ["/usr/lib/cgi-bin/pks/add"], input=body, cwd="/",
            env={"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=30 * SLOW, **self.user)
        expect(b"New public keys added: 1" in done.stdout, done.stdout,
               done.stderr)

    def get(self, place, who):
        """The packets of a certificate; [] when it is not there."""
        out = self.run("get", f"0x{FPR[who]}")
        return bodies(dearmored(place, out)) if b"BEGIN PGP" in out else []

    def log(self):
        with open(ONAK_DIR + "/log", encoding="utf-8") as f:
            return f.read()


class Sks:
    """`sks db` with an empty store of its own; it looks every ten seconds
    for mails that came, and sends its own as rarely."""

    user = {"user": "debian-sks", "group": "debian-sks", "extra_groups": []}

    # Debian's sample from_addr, quotes and all, is no address of RFC 5322.
    def __init__(self, place, from_addr=SKS, option=f" -f{SKS}"):
        fresh(SKS_DIR, "debian-sks", "etc/sks", "var/lib/sks/DB",
              "var/lib/sks/www", "var/spool/sks", "var/log/sks",
              "var/run/sks")
        for name, text in (
                ("sksconf", SKSCONF.format(port=SKS_PORT, from_addr=from_addr,
                                           option=option)),
                ("mailsync", ADDRESS + "\n"), ("membership", "")):
            with open(f"{SKS_DIR}/etc/sks/{name}", "w",
                      encoding="utf-8") as f:
                f.write(text)
        with open(SKS_DIR + "/log", "wb") as log:
            self.process = subprocess.Popen(
                ["sks", "db", "-basedir", SKS_DIR, "-stdoutlog"], cwd=SKS_DIR,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user)
        place.at_close(self.stop)
        wait_until(self.answers, 30, "sks to answer")

    def answers(self):
        expect(self.process.poll() is None, "sks ended:", self.log())
        try:
            self.ask("/pks/lookup?op=index&search=0x00000000")
            return True
        except OSError:
            return False

    def ask(self, path, data=None):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{SKS_PORT}{path}",
                                        data=data, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as answer:
            return answer.read()

    def add(self, block):
        """As a person's client does it."""
        said = self.ask("/pks/add", urllib.parse.urlencode(
            {"keytext": block.decode()}).encode())
        expect(b"1 key(s) added" in said, said)

    def get(self, place, who):
        out = self.ask("/pks/lookup?op=get&options=mr&search=0x" + FPR[who])
        return bodies(dearmored(place, out)) if b"BEGIN PGP" in out else []

    def log(self):
        with open(SKS_DIR + "/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


ONAK_PEER = (f'peer "onak" {{ address = "{ONAK}" sender = "{ONAK_ADMIN}" '
             'header_from = yes gather = 0 }')
ONAK_PEER_BY_ENVELOPE = f'peer "onak" {{ address = "{ONAK}" gather = 0 }}'
SKS_PEER = f'peer "sks" {{ address = "{SKS}" gather = 0 }}'


def mailkeyd(place, *peers, name="d"):
    install()
    return postfix.start_daemon(place, smtp_to(25), name=name,
                                extra="\n".join(peers))


def at(daemon):
    """What mailkeyd has of a certificate."""
    def get(place, who):
        done = daemon.ctl("get", FPR[who])
        return bodies(dearmored(place, done.stdout)) \
            if done.returncode == 0 else []
    return get


def same_at(get, place, who, wanted, seconds=30):
    """Waits until a server has that certificate, packet for packet."""
    wanted = sorted(bodies(wanted))
    try:
        wait_until(lambda: sorted(get(place, who)) == wanted, seconds,
                   f"the certificate of {who}")
    except AssertionError:
        note("it has", [t for t, _ in get(place, who)], "wanted",
             [t for t, _ in wanted])
        note(postfix.mail_log())
        raise


def from_alice(to, subject, body):
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.sendmail(postfix.USER, [to],
                      mail(subject, body, postfix.USER))


def add(daemon, place, block, who, wanted):
    from_alice(ADDRESS, "ADD", block)
    same_at(at(daemon), place, who, wanted)


# ---- onak -------------------------------------------------------------------

def sent_nothing_back(post, author, *, answers):
    """No sync mail of theirs (or ours), and so many answers of ours."""
    post.settle()
    equal(post.syncs(author), [], f"sync mails by {author}")
    equal(len(post.by(ADDRESS)) - len(post.syncs(ADDRESS)), answers,
          "answers of ours")


def to_onak(place):
    """mailkeyd -> onak: a key, a user ID, a subkey, a revocation"""
    daemon = mailkeyd(place, ONAK_PEER)
    onak, post, k = Onak(), Post(), Keys(place)

    add(daemon, place, armor(k.first), "alice", k.first)
    same_at(onak.get, place, "alice", k.first)
    add(daemon, place, armor(k.named), "alice", k.named)
    same_at(onak.get, place, "alice", k.named)
    add(daemon, place, armor(k.whole), "alice", k.whole)
    same_at(onak.get, place, "alice", k.whole)
    add(daemon, place, key("carol.asc"), "carol", k.carol)
    same_at(onak.get, place, "carol", k.carol)
    add(daemon, place, key("carol-revocation.asc"), "carol", k.revoked)
    same_at(onak.get, place, "carol", k.revoked)
    listed = onak.run("index", f"0x{FPR['carol']}").decode("latin-1")
    expect("*** REVOKED ***" in listed, listed)

    sent_nothing_back(post, ONAK_ADMIN, answers=5)
    ours = post.syncs(ADDRESS)
    equal([tags(dearmored(place, m.raw)) for m in ours],
          [[6, 13, 2, 14, 2], [6, 13, 2], [6, 13, 2, 14, 2],
           [6, 13, 2, 14, 2], [6, 2, 13, 2]], "what the mails held")
    for m in ours:
        equal(m.fields[:7], [
            ("To", ONAK), ("From", ADDRESS), ("Subject", "incremental"),
            ("X-KeyServer-Sent", ADDRESS), ("Precedence", "list"),
            ("MIME-Version", "1.0"),
            ("Content-Type", "application/pgp-keys")], "header")
    expect("up to date" in daemon.ctl("sync").stdout.decode(),
           daemon.ctl("sync").stdout.decode())
    gpg_takes_them(place, k, ours)


def gpg_takes_them(place, k, ours):
    """gpg imports the raw mails into what it has, and comes to the same."""
    def has():
        return sorted(bodies(gpg(place, "--export", FPR["alice"])))
    for n, wanted in enumerate((k.first, k.named, k.whole)):
        gpg(place, "--import", stdin=ours[n].raw)
        expect(has() == sorted(bodies(wanted)), "gpg after mail", n)
    for m in ours[3:]:
        gpg(place, "--import", stdin=m.raw)
    listed = gpg(place, "--with-colons", "--list-keys", FPR["carol"])
    expect(b"\npub:r:" in b"\n" + listed, "not revoked in gpg:", listed)


def to_strict_onak(place):
    """mailkeyd -> onak that verifies signatures: the same"""
    daemon = mailkeyd(place, ONAK_PEER)
    onak, k = Onak("verify_signatures=true"), Keys(place)
    for part in (k.first, k.named, k.whole):
        add(daemon, place, armor(part), "alice", part)
        same_at(onak.get, place, "alice", part)
    add(daemon, place, key("carol.asc"), "carol", k.carol)
    add(daemon, place, key("carol-revocation.asc"), "carol", k.revoked)
    same_at(onak.get, place, "carol", k.revoked)


def several_at_once(place):
    """mailkeyd -> onak: several keys in one mail, one of them a difference"""
    daemon = mailkeyd(place, ONAK_PEER.replace("gather = 0", "gather = 1h"))
    onak, post, k = Onak(), Post(), Keys(place)
    add(daemon, place, armor(k.named), "alice", k.named)
    equal(daemon.ctl("sync").returncode, 0)
    same_at(onak.get, place, "alice", k.named)
    whole = {n: dearmored(place, key(n + ".asc")) for n in ("bob", "carol")}
    for name in whole:
        from_alice(ADDRESS, "ADD", key(name + ".asc"))
    add(daemon, place, armor(k.whole), "alice", k.whole)
    wait_until(lambda: all(at(daemon)(place, n) for n in whole), 20,
               "bob and carol")
    expect(not onak.get(place, "carol"), "nothing was gathered")
    equal(daemon.ctl("sync").returncode, 0)
    same_at(onak.get, place, "alice", k.whole)
    for name in whole:
        wait_until(lambda n=name: onak.get(place, n), 20, name)
    equal(len(post.syncs(ADDRESS)), 2, "sync mails")


def from_onak(place):
    """onak -> mailkeyd: a key, a user ID, a subkey, a revocation; nothing \
is answered or sent back"""
    daemon = mailkeyd(place, ONAK_PEER)
    onak, post, k = Onak(), Post(), Keys(place)
    for who, part in (("alice", k.first), ("alice", k.named),
                      ("alice", k.whole), ("carol", k.carol),
                      ("carol", k.revoked)):
        from_alice(ONAK, "ADD", with_checksum(place, part))
        same_at(at(daemon), place, who, part)
        same_at(onak.get, place, who, part)

    sent_nothing_back(post, ADDRESS, answers=0)
    theirs = post.syncs(ONAK_ADMIN)
    equal({m.sender for m in theirs}, {""}, "envelope sender")
    equal([tags(dearmored(place, m.raw)) for m in theirs],
          [[6, 13, 2, 14, 2], [6, 13, 2], [6, 14, 2], [6, 13, 2, 14, 2],
           [6, 2]], "what the mails held")
    for m in theirs:
        equal([f for f in m.fields if f[0] not in ("Date", "Message-Id")][:7],
              [("From", f"PGP Key Server Administrator <{ONAK_ADMIN}>"),
               ("To", ADDRESS), ("Subject", "incremental"),
               ("X-KeyServer-Sent", ONAK), ("Precedence", "list"),
               ("MIME-Version", "1.0"),
               ("Content-Type", "application/pgp-keys")], "onak's header")
    # to alice, from onak
    equal([m.values("Subject") for m in post.mails() if m not in theirs and
           "alice" in m.recipients[0]], [["Reply to ADD"]] * 5, "other mails")


def with_checksum(place, data):
    """onak takes no armor without its checksum."""
    return gpg(place, "--enarmor", stdin=data).replace(
        b"PGP ARMORED FILE", b"PGP PUBLIC KEY BLOCK")


def from_onak_by_web(place):
    """onak -> mailkeyd: what came by its web form, under the other spelling \
of X-Keyserver-Sent"""
    # Of two peers one is known as the author, the other named in the header
    # only: it is that header which keeps the mail from it.
    author = (f'peer "author" {{ address = "{ONAK_ADMIN}" header_from = yes '
              'gather = 0 }')
    daemon = mailkeyd(place, author, ONAK_PEER_BY_ENVELOPE)
    onak, post = Onak(), Post()
    onak.add_by_web(key("carol.asc"))
    same_at(at(daemon), place, "carol",
            dearmored(place, key("carol.asc")))
    sent_nothing_back(post, ADDRESS, answers=0)
    theirs = post.syncs(ONAK_ADMIN)
    equal([m.fields[3] for m in theirs], [("X-Keyserver-Sent", ONAK)],
          "the header of onak")


def onak_by_envelope(place):
    """onak known by its envelope sender; of a stranger nothing is taken"""
    daemon = mailkeyd(place, ONAK_PEER_BY_ENVELOPE)
    Onak(sender=ONAK)
    post = Post()
    carol = dearmored(place, key("carol.asc"))
    from_alice(ONAK, "ADD", key("carol.asc"))
    same_at(at(daemon), place, "carol", carol)
    sent_nothing_back(post, ADDRESS, answers=0)
    equal({m.sender for m in post.syncs(ONAK_ADMIN)}, {ONAK}, "sender")

    daemon.stop()
    daemon = mailkeyd(place, SKS_PEER, name="again")
    from_alice(ONAK, "ADD", key("bob.asc"))
    wait_until(lambda: len(post.syncs(ONAK_ADMIN)) == 2, 20, "onak's mail")
    wait_until(lambda: "of no peer" in daemon.log(), 20, "the line in the log")
    sent_nothing_back(post, ADDRESS, answers=0)
    equal(at(daemon)(place, "bob"), [], "a stranger's key")


# ---- SKS --------------------------------------------------------------------

def to_sks(place):
    """mailkeyd -> sks_add_mail: a key, a user ID, a subkey, a revocation"""
    daemon = mailkeyd(place, SKS_PEER)
    sks, post, k = Sks(place), Post(), Keys(place)
    add(daemon, place, armor(k.first), "alice", k.first)
    add(daemon, place, key("carol.asc"), "carol", k.carol)
    same_at(sks.get, place, "alice", k.first)
    same_at(sks.get, place, "carol", k.carol)
    add(daemon, place, armor(k.named), "alice", k.named)
    add(daemon, place, armor(k.whole), "alice", k.whole)
    add(daemon, place, key("carol-revocation.asc"), "carol", k.revoked)
    same_at(sks.get, place, "alice", k.whole)
    same_at(sks.get, place, "carol", k.revoked)
    equal(glob.glob(SKS_DIR + "/var/spool/sks/failed_messages/*"), [],
          "mails that SKS could not read")
    sent_nothing_back(post, SKS, answers=5)


def from_sks(place):
    """sks -> mailkeyd: whole keys, one in a mail; nothing comes back"""
    daemon = mailkeyd(place, SKS_PEER)
    sks, post, k = Sks(place), Post(), Keys(place)
    sks.add(with_checksum(place, k.first))
    sks.add(key("carol.asc"))
    same_at(at(daemon), place, "alice", k.first)
    same_at(at(daemon), place, "carol", k.carol)
    sks.add(with_checksum(place, k.whole))
    same_at(at(daemon), place, "alice", k.whole)
    sent_nothing_back(post, ADDRESS, answers=0)
    theirs = post.syncs(SKS)
    equal(len(theirs), 3, "sync mails by SKS")
    for m in theirs:
        equal([f for f in m.fields if f[0] not in ("Date", "Message-Id")],
              [("To", ADDRESS), ("From", SKS), ("Reply-To", SKS),
               ("Errors-To", SKS), ("Subject", "incremental"),
               ("Precedence", "list"),
               ("Content-type", "application/pgp-keys"),
               ("X-KeyServer-Sent", SKS)], "the header of SKS")


def sks_as_debian_has_it(place):
    """sks with the sksconf of the package -> mailkeyd"""
    peer = (f'peer "sks" {{ address = "{SKS}" '
            f'sender = "debian-sks@{HOST}" gather = 0 }}')
    daemon = mailkeyd(place, peer)
    from_addr = f'"PGP Key Server Administrator <{SKS}>"'
    sks, post = Sks(place, from_addr, ""), Post()
    sks.add(key("carol.asc"))
    same_at(at(daemon), place, "carol",
            dearmored(place, key("carol.asc")))
    sent_nothing_back(post, ADDRESS, answers=0)
    theirs = post.syncs(SKS)
    equal([m.values("X-KeyServer-Sent") for m in theirs], [[from_addr]],
          "X-KeyServer-Sent of SKS")
    equal([m.sender for m in theirs], [f"debian-sks@{HOST}"], "sender")


def signed_again(place):
    """mailkeyd -> onak and sks: user IDs signed again, one revoked"""
    daemon = mailkeyd(place, ONAK_PEER, SKS_PEER)
    onak, sks = Onak(), Sks(place)
    alice = dearmored(place, key("alice.asc"))
    add(daemon, place, key("alice.asc"), "alice", alice)
    same_at(onak.get, place, "alice", alice)
    same_at(sks.get, place, "alice", alice)
    from_alice(ADDRESS, "ADD", key("alice-later.asc"))
    wait_until(lambda: len(onak.get(place, "alice")) > len(tags(alice)), 20,
               "onak to take something of it")
    ours = at(daemon)(place, "alice")
    equal([t for t, _ in ours], [6, 13, 2, 2, 13, 2, 2, 2, 14, 2, 14, 2])
    wait_until(lambda: sorted(sks.get(place, "alice")) == sorted(ours), 30,
               "all of it at SKS")
    # onak keeps the first signature of a kind that somebody made on a user
    # ID: it takes the revocation, but a new self-signature neither from us
    # nor, whole, by mail of its own.
    taken = onak.get(place, "alice")
    expect(set(taken) < set(ours), "onak has something else")
    lacks = [(tag, body[1]) for tag, body in ours if (tag, body) not in taken]
    equal(lacks, [(2, 0x13)] * 2, "what onak lacks")
    log = len(onak.log())
    from_alice(ONAK, "ADD", key("alice-later.asc"))
    wait_until(lambda: "No changes." in onak.log()[log:], 20,
               "onak to look at it")
    equal(onak.get(place, "alice"), taken, "after an ADD to onak itself")


# ---- all of them ------------------------------------------------------------

def through(place):
    """onak -> mailkeyd -> sks, and sks -> mailkeyd -> onak"""
    daemon = mailkeyd(place, ONAK_PEER, SKS_PEER)
    onak, sks, post = Onak(), Sks(place), Post()
    alice, carol = (dearmored(place, key(n)) for n in
                    ("alice.asc", "carol.asc"))
    from_alice(ONAK, "ADD", key("alice.asc"))
    sks.add(key("carol.asc"))
    for who, what in (("alice", alice), ("carol", carol)):
        for get in (onak.get, sks.get,
                    at(daemon)):
            same_at(get, place, who, what)
    mails = post.settle(12)
    ours = post.syncs(ADDRESS)
    equal(sorted((m.recipients[0], m.values("X-KeyServer-Sent"))
                 for m in ours),
          sorted([(SKS, [ONAK, ADDRESS]), (ONAK, [SKS, ADDRESS])]),
          "our sync mails")
    equal(sorted(m.values("Subject")[0] for m in mails),
          ["ADD", "Reply to ADD"] + ["incremental"] * 4, "all mails")


if __name__ == "__main__":
    reason = None if sys.argv[1:2] == ["--inside"] else why_not()
    if reason:
        print("1..0 # SKIP", reason)
        sys.exit(0)
    sys.exit(postfix.main(
        __file__, to_onak, to_strict_onak, several_at_once, from_onak,
        from_onak_by_web, onak_by_envelope, to_sks, from_sks,
        sks_as_debian_has_it, signed_again, through))
