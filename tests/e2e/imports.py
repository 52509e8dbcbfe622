#!/usr/bin/env -S python3 -B
# Dumps, key rings and old mails of other key servers in; dumps that other key
# servers load out; what an interrupted import leaves.

import glob
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from lib import (ROOT, SLOW, certificates, equal, expect, gpg, key, note,
                 packets, run, wait_until)

RING = "/usr/share/keyrings/debian-keyring.gpg"
SKS = os.path.join(ROOT, "build/mta/sks/usr/sbin/sks")
NAMES = ("alice", "bob", "carol", "erin", "debian-ed25519",
         "debian-rsa2048", "debian-rsa4096", "debian-utf8")
NEWER = ("mona-v6", "rfc9580-v6")       # SKS and gpg 2.2 give up at these
FPR = {"alice": "231A449802A0FC9B0505E4CD05E825E4425612B5",
       "bob": "88CA4281529E5EAAAA3B4CCC642CBF5CDDB5EA9E",
       "carol": "4D293978532AE8CB5EFF7A96D60BDC818F051381"}
NORA = "D32F001F2C9293E5D1A8757F5D85634AA7A33C8D"
FROM = b"From pks@example.net Mon Jan  1 10:00:00 2001\n"


def binary(place, name):
    return gpg(place, "--dearmor", stdin=key(name))


def counts(done):
    """(certificates, new, changed, unchanged, refused)"""
    found = re.search(rb"(\d+) certificates: (\d+) new, (\d+) changed, "
                      rb"(\d+) unchanged, (\d+) refused", done.stdout)
    expect(found, "no counts in", done.stdout, done.stderr)
    return tuple(int(n) for n in found.groups())


def dumped(daemon):
    done = daemon.ctl("dump")
    equal(done.returncode, 0, done.stderr)
    return done.stdout


def stored(daemon):
    """The certificates of a dump, which come in the order of arrival."""
    return sorted(certificates(dumped(daemon)))


def old_mail(subject, body):
    return (f"From: Alice <alice@example.org>\nSubject: {subject}\n\n"
            ).encode() + body + b"\n"


# ---- what is taken ----------------------------------------------------------

def files_of_all_kinds(place):
    """directories of dumps, key rings, armored text and a keybox"""
    daemon = place.daemon()
    for folder in ("in", "in/dump", "in/rings"):
        os.mkdir(place / folder)
    place.write("in/dump/sks-dump-0000.pgp",
                binary(place, "bob.asc") + binary(place, "alice.asc"))
    place.write("in/dump/sks-dump-0001.pgp", binary(place, "carol.asc"))
    place.write("in/dump/metadata-sks-dump.txt",
                "#Metadata-for: sks.example\n#Key-Count: 3\n")
    place.write("in/rings/pubring.gpg", binary(place, "debian-rsa2048.asc"))
    place.write("in/rings/trustdb.gpg", b"\1gpg\3\3\1\5\2\0\0\0\0")
    place.write("in/keys.asc", b"Two keys:\n\n" + key("erin.asc") +
                b"\nand\n\n" + key("debian-ed25519.asc") + b"\nthat is all\n")
    home = place / "kbx"
    os.mkdir(home, 0o700)
    for name in ("debian-rsa4096.asc", "debian-utf8.asc"):
        subprocess.run(["gpg", "--homedir", home, "--batch", "-q",
                        "--no-autostart", "--import"], input=key(name),
                       check=True, stderr=subprocess.DEVNULL)
    shutil.copy(os.path.join(home, "pubring.kbx"), place / "in/rings")
    done = daemon.ctl("import", place / "in")
    equal(done.returncode, 0, done.stdout + done.stderr)
    equal(counts(done), (8, 8, 0, 0, 0))
    expect(b"2 files of other kinds" in done.stderr, done.stderr)
    want = place.daemon(name="one")
    files = [place.write(n, key(n + ".asc")) for n in NAMES]
    equal(want.ctl("import", *files).returncode, 0, "one by one")
    equal(stored(daemon), stored(want), "what is stored")
    # Once more, with a daemon: nothing is new.
    daemon.start()
    equal(counts(daemon.ctl("import", place / "in")), (8, 0, 0, 8, 0))
    equal(daemon.ctl("import", place / "in/rings/trustdb.gpg").returncode, 65)
    equal(daemon.ctl("import", place / "missing").returncode, 66)


def old_mails(place):
    """an mbox and a Maildir are replayed; nobody is answered"""
    daemon = place.daemon()
    daemon.start()
    box = FROM + old_mail("ADD", key("carol.asc"))
    # It needs the key that came before it.
    box += FROM + old_mail("ADD", key("carol-revocation.asc"))
    box += FROM + old_mail("GET bob", b"From what I know\n")
    box += FROM + old_mail("I said", key("bob.asc"))
    box += FROM + old_mail("Re: incremental", key("alice.asc"))
    place.write("mbox", box.rstrip(b"\n"))
    md = place / "md"
    for name in ("", "/cur", "/new", "/tmp"):
        os.mkdir(md + name)
    place.write("md/cur/2:2,S", old_mail("add", key("erin.asc")))
    place.write("md/new/3", old_mail("ADD", key("alice.asc")))
    place.write("md/tmp/4", old_mail("ADD", key("bob.asc")))
    done = daemon.ctl("import", place / "mbox", md)
    equal(done.returncode, 0, done.stdout + done.stderr)
    expect(b"7 mails, 5 with ADD or INCREMENTAL" in done.stdout, done.stdout)
    equal(counts(done), (5, 3, 1, 1, 0))
    expect(b"REVOKED" in daemon.ctl("index", "carol").stdout, "carol")
    expect(b"no mail waits" in daemon.ctl("queue").stderr, "in the queue")
    equal(glob.glob(os.path.join(daemon.dir, "Maildir/*/*")), [], "answers")
    said = [s for s in daemon.log().splitlines() if "event=import" in s]
    equal(len(said), 1, said)


def refusals(place):
    """what was refused is told by class, each with examples"""
    daemon = place.daemon()
    alice = binary(place, "alice.asc")
    os.mkdir(place / "in")
    # The primary key alone, and a signature that is not its own.
    bare = certificates(binary(place, "bob.asc"))[0]
    place.write("in/1.pgp", alice + bare[:60])
    place.write("in/2.asc", key("grace-v3key.asc"))
    place.write("in/3.mail", old_mail("ADD", key("grace-v3key.asc")) +
                b"x" * 6_000_000)
    place.write("in/4.pgp", binary(place, "carol.asc")[:-9])
    done = daemon.ctl("import", place / "in")
    out = done.stdout.decode()
    equal(done.returncode, 65, out + done.stderr.decode())
    for class_, example in (
            ("keys of version 3 or older", "2.asc: The key with the finger"),
            ("mails over a limit", "3.mail: "),
            ("material that is cut off", "4.pgp: The key material in the "
             "file near octet ")):
        found = re.search(rf"^ +\d+  {class_}\n( {{12}}.*\n)*? {{12}}\S*"
                          rf"{example}", out, re.M)
        expect(found, class_, "is not in", out)
    expect("near octet" in done.stderr.decode(), done.stderr)
    expect(FPR["alice"].encode() not in done.stdout, out)


def stranger(place):
    """a certificate without anything that verifies: its fingerprint is told"""
    daemon = place.daemon()
    bob = binary(place, "bob.asc")
    # The key's own signatures with a bit of the last octet turned.
    bent = bytearray(bob)
    for tag, _, end in packets(bob):
        if tag == 2:
            bent[end - 1] ^= 1
    done = daemon.ctl("import", place.write("bent.pgp", bytes(bent)))
    equal(counts(done), (1, 0, 0, 0, 1))
    expect(f"bent.pgp: {FPR['bob']}".encode() in done.stdout, done.stdout)
    expect(b"did not verify" in done.stdout, done.stdout)


# ---- interruptions ----------------------------------------------------------

def how_many(daemon):
    done = daemon.ctl("stats")
    found = re.search(rb"certificates +(\d+)", done.stdout)
    return int(found[1]) if found else 0


def ended_half_way(daemon, end):
    """Ends it in the middle of the import of the ring; what mailkeyctl then
    ends with, and says."""
    daemon.start()
    command = subprocess.Popen(
        [daemon.program("mailkeyctl"), "-c", daemon.conf, "import", RING],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while command.poll() is None and how_many(daemon) == 0:
        time.sleep(0.02)
    end()
    _, err = command.communicate(timeout=60 * SLOW)
    note(f"it ended with {command.returncode}: {err.decode().strip()}")
    return command.returncode, err


def killed(place):
    """after SIGKILL in the middle the same import goes on where it stopped"""
    for attempt in range(5):
        daemon = place.daemon(name=f"d{attempt}")
        ended_half_way(daemon, daemon.kill)
        done = daemon.ctl("import", RING)
        equal(done.returncode, 0, done.stderr)
        going_on = re.search(rb"going on in \S+ at octet (\d+)", done.stderr)
        if going_on:
            break
    expect(going_on, "no import was stopped within the file")
    expect(int(going_on[1]) > 0, done.stderr)
    total, new = counts(done)[:2]
    whole = place.daemon(name="whole")
    first = whole.ctl("import", RING)
    equal(first.returncode, 0, first.stderr)
    expect(total < counts(first)[0], "all of it was read again")
    expect(new > 0, "nothing was left for the second import")
    equal(stored(daemon), stored(whole), "what is stored")
    # Done: the next one begins at the beginning.
    again = daemon.ctl("import", RING)
    equal(b"going on" in again.stderr, False, again.stderr)
    equal(counts(again)[3], counts(first)[1], "unchanged")


def stopped(place):
    """a daemon that is stopped ends an import behind what it has in hand"""
    for attempt in range(5):
        daemon = place.daemon(name=f"d{attempt}")
        status, err = ended_half_way(daemon, daemon.stop)
        if status != 0:
            break
    equal(status, 75, "exit status")
    expect(b"stopped: the daemon is ending; what was c" in err, err)
    done = daemon.ctl("import", RING)
    equal(done.returncode, 0, done.stderr)
    expect(b"going on in " in done.stderr, done.stderr)


def load_killed(place):
    """a load into an empty store, killed on the way: empty or complete"""
    daemon = place.daemon()
    bulk = os.path.join(daemon.state, "db/bulk")
    total, seen, refused = 0, set(), 0
    # Killed when it begins, and later and later.
    for wait in (0, 0.5, 1, 2, 4, 8, None):
        command = subprocess.Popen(
            [daemon.program("mailkeyctl"), "-c", daemon.conf, "import", RING],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        while command.poll() is None and not os.path.isdir(bulk):
            time.sleep(0.01)
        if os.path.isdir(bulk) and not refused:
            busy = daemon.command("mailkeyd")
            # It may just have ended.
            refused = busy.returncode == 75
            expect(b"another process" in busy.stderr or not refused,
                   busy.stderr)
        if wait is not None:
            try:
                command.wait(wait * SLOW)
            except subprocess.TimeoutExpired:
                pass
            # mailkeyctl, and what it started.
            try:
                os.killpg(command.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = command.communicate(timeout=120 * SLOW)
        found = how_many(daemon)
        note(f"after {wait} s: {found} certificates")
        equal(os.path.exists(bulk), False, "what is left of the load")
        seen.add(found)
        if command.returncode == 0:
            total = found
            break
    expect(refused, "a daemon was never refused while a load went on")
    expect(total > 800, "it was never complete:", err)
    expect(seen <= {0, total}, "the store had", seen)
    expect(0 in seen, "nothing was killed")
    one = place.daemon(name="one")
    one.start()
    equal(one.ctl("import", RING).returncode, 0, "without a load")
    equal(stored(daemon), stored(one), "what is stored")
    equal(counts(daemon.ctl("import", RING))[3], total, "unchanged")


# ---- dumps ------------------------------------------------------------------

def fill(place, daemon):
    files = [place.write(n, key(n + ".asc")) for n in NAMES]
    equal(daemon.ctl("import", *files).returncode, 0, "import")


def dump_directory(place):
    """dump into a directory: numbered files, whole or not there"""
    daemon = place.daemon()
    fill(place, daemon)
    equal(daemon.ctl("import", *(place.write(n, key(n + ".asc"))
                                 for n in NEWER)).returncode, 0, "import")
    out = place / "dump"
    for running in (False, True):
        if running:
            daemon.start()
        done = daemon.ctl("--keys=3", "dump", out)
        equal(done.returncode, 0, done.stderr)
        names = sorted(os.listdir(out))
        equal(names, [f"mailkeyd-dump-000{n}.pgp" for n in range(3)] +
              ["mailkeyd-dump-0003.v6", "metadata-mailkeyd-dump.txt"])
        sizes, joined = [], b""
        for name in names[:4]:
            with open(os.path.join(out, name), "rb") as f:
                data = f.read()
            sizes.append(len(certificates(data)))
            joined += data
        equal(sizes, [3, 3, 2, 2], "certificates in a file")
        equal(joined, dumped(daemon), "all of it")
        with open(os.path.join(out, names[4]), encoding="utf-8") as f:
            metadata = f.read()
        expect("#Key-Count: 10\n" in metadata, metadata)
        checked = subprocess.run(["md5sum", "-c", names[4]], cwd=out,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        equal(checked.stdout.count(b": OK"), 4, checked.stdout)
        # gpg 2.2 loses no more than the one before those of version 6.
        home = place / f"home{running}"
        os.mkdir(home, 0o700)
        subprocess.run(["gpg", "--homedir", home, "--batch", "--no-autostart",
                        "--import"], input=dumped(daemon),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        listed = subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--no-autostart",
             "--with-colons", "--list-keys"], stdout=subprocess.PIPE)
        taken = (b"\n" + listed.stdout).count(b"\npub:")
        expect(taken >= 7, "gpg takes", taken, "of 8")
    # There is another file: nothing is touched.
    place.write("dump/mine", b"x")
    done = daemon.ctl("dump", out)
    equal(done.returncode, 73, done.stderr)
    equal(len(os.listdir(out)), 6, "files")
    equal(os.path.exists(out + ".new"), False, "what is left beside it")
    equal(daemon.ctl("--keys=none", "dump", out).returncode, 64, "--keys=none")
    # Elsewhere it comes to the same.
    os.unlink(out + "/mine")
    other = place.daemon(name="other")
    equal(counts(other.ctl("import", out)), (10, 10, 0, 0, 0))
    equal(other.ctl("dump", place / "again/").returncode, 0, "dump")
    equal(hashlib.md5(dumped(other)).hexdigest(),
          hashlib.md5(dumped(daemon)).hexdigest(), "the dump of a dump")
    equal(sorted(os.listdir(place / "again")),
          ["mailkeyd-dump-0000.pgp", "mailkeyd-dump-0001.v6",
           "metadata-mailkeyd-dump.txt"], "again")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sks(base, *args):
    done = subprocess.run([SKS, *args, "-basedir", base],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60 * SLOW)
    equal(done.returncode, 0, done.stdout)


def sks_loads(place):
    """SKS builds its database from a dump, and finds the certificates"""
    daemon = place.daemon()
    fill(place, daemon)
    before = stored(daemon)
    equal(daemon.ctl("import", place.write("v6", key("mona-v6.asc"))
                     ).returncode, 0, "import")
    base, port = place / "sks", free_port()
    for name in ("etc/sks", "var/lib/sks/dump", "var/log/sks",
                 "var/spool/sks", "var/run/sks", "out"):
        os.makedirs(os.path.join(base, name))
    with open(base + "/etc/sks/sksconf", "w", encoding="utf-8") as f:
        f.write("hostname: sks.example\nhkp_address: 127.0.0.1\n"
                f"hkp_port: {port}\nrecon_address: 127.0.0.1\n")
    equal(daemon.ctl("--keys=3", "dump", base + "/var/lib/sks/dump"
                     ).returncode, 0, "dump")
    files = sorted(glob.glob(base + "/var/lib/sks/dump/*.pgp"))
    equal(len(files), 3, files)
    sks(base, "build", *files, "-n", "10", "-cache", "50")
    # What it gives back is what we gave.
    sks(base, "dump", "100", base + "/out", "x")
    with open(base + "/out/x-0000.pgp", "rb") as f:
        theirs = f.read()
    equal(len(certificates(theirs)), 8, "certificates in SKS' own dump")
    back = place.daemon(name="back")
    equal(counts(back.ctl("import", base + "/out")), (8, 8, 0, 0, 0))
    equal(stored(back), before, "back from SKS")
    shutil.rmtree(base + "/var/lib/sks/DB")
    sks(base, "fastbuild", "-n", "10", "-cache", "50")
    with open(base + "/log", "wb") as log:
        process = subprocess.Popen([SKS, "db", "-basedir", base], cwd=base,
                                   stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)

    def end():
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    place.at_close(end)
    url = f"http://127.0.0.1:{port}/pks/lookup?op=get&options=mr&search=0x"

    def found(fpr):
        expect(process.poll() is None, "sks db ended")
        try:
            with urllib.request.urlopen(url + fpr, timeout=20) as answer:
                return b"BEGIN PGP PUBLIC KEY BLOCK" in answer.read()
        except urllib.error.HTTPError:
            return False
        except OSError:
            return None

    wait_until(lambda: found(FPR["alice"]) is not None, 30, "sks to answer")
    for fpr in FPR.values():
        expect(found(fpr), "SKS does not have", fpr)


def revoker_behind(place):
    """a designated revoker's revocation counts, whoever of the two is first"""
    nora, oscar = (place.write(n + ".asc", key(n + ".asc"))
                   for n in ("nora-revoked", "oscar"))
    with open(RING, "rb") as f:
        ring = place.write("ring.gpg", f.read())
    wanted = None
    for number, files in enumerate(((oscar, nora), (nora, oscar),
                                    (nora, ring, oscar))):
        daemon = place.daemon(name=f"d{number}")
        equal(daemon.ctl("import", *files).returncode, 0, "import")
        shown = daemon.ctl("index", f"0x{NORA}")
        expect(b"KEY REVOKED" in shown.stdout, files, shown.stdout,
               shown.stderr)
        if number < 2:
            wanted = wanted or stored(daemon)
            equal(stored(daemon), wanted, "the two stores")


def signature_type(packet):
    """of one of version 4; None: it is none"""
    tag, start, end = next(packets(packet))
    body = packet[start:end][1 + (1, 2, 4)[packet[0] & 3]:]
    return body[1] if tag == 2 and body[0] == 4 else None


def without_names(cert, wanted):
    """The certificate without its first subkey that has a signature of that
    type, or without that signature where it is a revocation; and that subkey
    behind the primary key.  None: there is no such subkey."""
    parts = [(tag, cert[start:end]) for tag, start, end in packets(cert)]
    starts = [n for n, (tag, _) in enumerate(parts) if tag == 14]
    for first, last in zip(starts, starts[1:] + [len(parts)]):
        if wanted in [signature_type(p) for _, p in parts[first:last]]:
            subkey = [p for _, p in parts[first:last]]
            stays = [] if wanted == 0x18 else [
                p for p in subkey if signature_type(p) != wanted]
            old = [p for _, p in parts[:first]] + stays + [
                p for _, p in parts[last:]]
            return b"".join(old), parts[0][1] + b"".join(subkey)
    return None


def nameless(cert):
    """The primary key and the subkeys with what is on them, as
    keys.openpgp.org has a key of which no address was confirmed."""
    parts, subkeys = [(tag, cert[a:b]) for tag, a, b in packets(cert)], []
    for tag, part in parts:
        if tag == 14 or tag == 2 and subkeys:
            subkeys.append(part)
        elif tag in (13, 17) and subkeys:
            return parts[0][1]
    return parts[0][1] + b"".join(subkeys)


def additions(place):
    """a key's update without a user ID counts, wherever in the import it is"""
    with open(RING, "rb") as f:
        ring = certificates(f.read())
    revoked = next(c for c in ring if c[:1] == b"\x99" and
                   without_names(c, 0x28))
    pairs = [without_names(revoked, 0x28),
             without_names(binary(place, "alice.asc"), 0x18)]
    old, new = (place.write(name, b"".join(p[n] for p in pairs))
                for n, name in enumerate(("old", "new")))
    equal([tag for tag, _, _ in packets(pairs[1][1])], [6, 14, 2], "new")
    one = place.daemon(name="one")
    equal(counts(one.ctl("import", old)), (2, 2, 0, 0, 0))
    before = stored(one)
    equal(counts(one.ctl("import", new)), (2, 0, 2, 0, 0))
    wanted = stored(one)
    expect(wanted != before, "nothing was added")
    # In one file, in several, with a daemon and without.
    for number, files in enumerate(((old, new), (new, old))):
        data = b"".join(open(name, "rb").read() for name in files)
        joined = place.write(f"joined{number}", data)
        for name, running, what in (("j", False, [joined]),
                                    ("s", False, files), ("r", True, files)):
            daemon = place.daemon(name=f"{name}{number}")
            if running:
                daemon.start()
            done = daemon.ctl("import", *what)
            equal(counts(done), (4, 2, 2, 0, 0), f"{name}{number}")
            equal(stored(daemon), wanted, f"{name}{number}")
    # The same once more is unchanged, whatever waited.
    twice = place.daemon(name="twice")
    done = twice.ctl("import", new, old, place.write("new2", data))
    equal(counts(done), (8, 2, 2, 4, 0), done.stdout)
    # A key that never comes.
    daemon = place.daemon(name="never")
    done = daemon.ctl("import", new, place.write("bob", key("bob.asc")))
    equal(counts(done), (3, 1, 0, 0, 2))
    expect(b" 2  no user ID" in done.stdout, done.stdout)
    expect(b" another key: " + FPR["alice"].encode() in done.stdout,
           done.stdout)
    # A load into an empty store.
    rest, size = [c for c in ring if c != revoked], 0
    for n, c in enumerate(rest):
        size += len(c)
        if size > 9 << 20:
            break
    much = place.write("much", b"".join(rest[:n]))
    one = place.daemon(name="one-load")
    equal(one.ctl("import", much, old).returncode, 0, "import")
    equal(counts(one.ctl("import", new)), (2, 0, 2, 0, 0))
    wanted = stored(one)
    # and beside it the same keys once more, as a server has them that hides
    # the names of nearly all
    hidden = place.write("hidden", b"".join(nameless(c) for c in rest[:n]))
    for number, files in enumerate(((old, much, hidden, new),
                                    (new, hidden, much, old))):
        daemon = place.daemon(name=f"load{number}")
        total, fresh, changed, same, refused = counts(
            daemon.ctl("import", *files))
        equal((fresh, changed), (len(wanted), 2), f"load{number}")
        equal(total, fresh + changed + same + refused, f"load{number}")
        expect(same > 250, f"load{number}: only {same} were unchanged")
        equal(stored(daemon), wanted, f"load{number}")


if __name__ == "__main__":
    tests = [files_of_all_kinds, old_mails, refusals, stranger, killed,
             stopped, load_killed, dump_directory, revoker_behind, additions]
    if os.path.exists(SKS):
        tests.append(sks_loads)
    else:
        note("SKIP sks_loads: no sks in build/mta (contrib/deps)")
    run(*tests)
