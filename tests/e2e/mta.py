# What the tests with a real mail server share.
#
# Debian's packages of mail servers exclude each other, so they are unpacked,
# not installed (contrib/deps).  A test runs in private namespaces, where
# overlays over /usr and /etc show one of them as installed, loopback is
# private, and everything dies with the test.  Needs root.

import fcntl
import glob
import os
import pwd
import shutil
import smtplib
import socket
import struct
import subprocess
import sys
import tempfile

from lib import (ADDRESS, B, ROOT, Delivery, end_on_sigterm, equal, expect,
                 fingerprints, gpg, key, mail, new_id, note, run, smtp_to,
                 wait_until)

UNSHARE = ["unshare", "-m", "-n", "-p", "-f", "--kill-child", "--mount-proc"]
USER = "alice@example.org"
MAILDIR = "/var/spool/alice/Maildir"
MAIL_LOG = "/var/spool/mail.log"
LMTP = "/run/mailkeyd/lmtp"
INBOX = "/var/spool/mailkeyd/Maildir"
LMTP_PORT = 2424

PASSWD = """\
mailkeyd:x:61003:61003::/var/spool/mailkeyd:/usr/sbin/nologin
alice:x:61004:61004:Alice Example,,,:/var/spool/alice:/bin/sh
"""
GROUP = """\
mailkeyd:x:61003:
alice:x:61004:
"""


class Mta:
    """A mail server: what is unpacked, how it is set up and started."""
    name = None         # for people
    packages = ()       # folders of build/mta
    passwd = group = ""

    def folders(self):
        return [os.path.join(ROOT, "build/mta", p) for p in self.packages]

    def install(self):
        """Its configuration and spool, inside the namespaces."""

    def configure(self, way):
        """Has mails for the key server go in by `way`; reloads."""

    def start(self):
        """Starts it; answers on port 25 soon after."""

    def flush(self):
        """Tries what waits now."""


def why_not(mta):
    """Why a test with it cannot run here, or None."""
    if os.geteuid() != 0:
        return "a mail server of its own needs root"
    for folder in mta.folders():
        if not os.path.isdir(folder):
            return (f"no {mta.name} in {os.path.relpath(folder, ROOT)} "
                    "(contrib/deps)")
    done = subprocess.run(UNSHARE + ["sh", "-c", "mount -t tmpfs t /mnt &&"
                          "mkdir /mnt/u /mnt/w && mount -t overlay o -o lower"
                          "dir=/usr,upperdir=/mnt/u,workdir=/mnt/w /usr"],
                          stderr=subprocess.PIPE)
    if done.returncode != 0:
        return ("no private namespaces with overlays here: "
                + done.stderr.decode().strip().replace("\n", " "))
    return None


# ---- inside the namespaces --------------------------------------------------

def mount(*args):
    subprocess.run(["mount", *args], check=True)


def overlay(scratch, target, *lower):
    """Shows the folders `lower`, the topmost first, over `target`."""
    name = target.strip("/")
    for kind in ("up", "work"):
        os.makedirs(f"{scratch}/{kind}-{name}")
    mount("-t", "overlay", "overlay", "-o",
          f"lowerdir={':'.join(lower + (target,))},"
          f"upperdir={scratch}/up-{name},workdir={scratch}/work-{name}",
          target)


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914,  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
                    struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def append(path, text):
    with open(path, "a", encoding="utf-8") as f:
        f.write(text)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def contrib(name):
    with open(os.path.join(ROOT, "contrib", name), encoding="utf-8") as f:
        return f.read()


def folder_of(user, path, mode):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    shutil.chown(path, user, user)


def install(mta, scratch):
    """Makes it look as if Debian's package were installed here."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", scratch)
    # The programs under test, where every user may run them.
    os.mkdir(f"{scratch}/libexec")
    for path in glob.glob(f"{B}/mailkeyd*") + [f"{B}/mailkeyctl"]:
        if os.path.isfile(path):
            shutil.copy(path, f"{scratch}/libexec")
    for target in ("/usr", "/etc"):
        overlay(scratch, target, *[f + target for f in mta.folders()
                                   if os.path.isdir(f + target)])
    for folder in ("/var/spool", "/run"):
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    append("/etc/passwd", PASSWD + mta.passwd)
    append("/etc/group", GROUP + mta.group)
    append("/etc/shadow", "")
    folder_of("alice", "/var/spool/alice", 0o700)
    folder_of("mailkeyd", "/run/mailkeyd", 0o755)
    folder_of("mailkeyd", "/var/spool/mailkeyd", 0o700)
    for folder in ("", "/new", "/cur", "/tmp"):
        folder_of("mailkeyd", INBOX + folder, 0o700)
    # Where the samples in contrib/ call it.
    os.makedirs("/usr/local/bin", exist_ok=True)
    write("/usr/local/bin/mailkeyctl",
          f'#!/bin/sh\nexec {scratch}/libexec/mailkeyctl -c '
          '/run/mailkeyd/conf "$@"\n')
    os.chmod("/usr/local/bin/mailkeyctl", 0o755)
    mta.install()
    loopback_up()


def start(mta):
    mta.start()

    def up():
        try:
            with smtplib.SMTP("127.0.0.1", 25, timeout=10):
                return True
        except OSError:
            return False
    try:
        wait_until(up, 20, f"{mta.name} to answer")
    except AssertionError:
        note(mail_log())
        raise


def mail_log():
    try:
        with open(MAIL_LOG, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-40:])
    except OSError:
        return "(no mail.log)"


def command(*args):
    """Runs one of the mail server's own programs; daemons may stay."""
    with tempfile.TemporaryFile() as said:   # a pipe would never end
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=said,
                              stderr=subprocess.STDOUT, timeout=60)
        said.seek(0)
        expect(done.returncode == 0, *args, said.read().decode(), mail_log())


# ---- a user and the daemon --------------------------------------------------

def as_alice():
    alice = pwd.getpwnam("alice")
    return {"user": alice.pw_uid, "group": alice.pw_gid, "extra_groups": []}


def by_sendmail(message):
    done = subprocess.run(["/usr/sbin/sendmail", "-i", "-f", USER, "--",
                           ADDRESS], input=message, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **as_alice())
    equal((done.returncode, done.stdout), (0, b""), "sendmail")


def by_smtp(message, sender=USER, recipient=ADDRESS):
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.sendmail(sender, [recipient], message)


def answer_to(message_id):
    """The raw file in the user's Maildir."""
    def look():
        for path in glob.glob(MAILDIR + "/new/*"):
            with open(path, "rb") as f:
                raw = f.read()
            if Delivery("", [], raw).in_reply_to == message_id:
                return raw
        return None
    try:
        return wait_until(look, 30, f"the answer to {message_id}")
    except AssertionError:
        note(mail_log())
        raise


def request(submit, subject, body=b""):
    message_id = new_id()
    submit(mail(subject, body, USER, message_id))
    raw = answer_to(message_id)
    answer = Delivery("", [], raw)
    equal(answer.subject, f"Your command, {subject}", "Subject")
    # OpenSMTPD writes none for the null sender
    expect(answer.message["Return-Path"] in ("<>", None), "Return-Path:",
           answer.message["Return-Path"])
    equal(answer.message["Auto-Submitted"], "auto-replied", "Auto-Submitted")
    expect(answer.message["X-Loop"], "no X-Loop")
    return raw, answer


def start_daemon(place, send, **options):
    daemon = place.daemon(send=send, user="mailkeyd",
                          libexec=place.scratch + "/libexec", **options)
    shutil.chown(daemon.dir, "mailkeyd", "mailkeyd")
    os.chmod(place.path, 0o755)
    append(daemon.conf,
           f'receive "mta" {{ type = lmtp path = "{LMTP}" mode = 0666 }}\n'
           f'receive "inbox" {{ type = maildir path = "{INBOX}" }}\n')
    if os.path.lexists("/run/mailkeyd/conf"):
        os.unlink("/run/mailkeyd/conf")
    os.symlink(daemon.conf, "/run/mailkeyd/conf")
    daemon.start()
    return daemon


def add_and_get(place, submit):
    """A certificate goes in by mail and comes out again into gpg."""
    block = key("alice.asc")
    wanted = fingerprints(place, block)
    _, answer = request(submit, "ADD", block)
    expect(wanted[0] in answer.text(), "the fingerprint is not in:",
           answer.text())
    raw, _ = request(submit, f"GET 0x{wanted[0]}")
    # As a user does it: the raw file, headers and all, into gpg --import.
    gpg(place, "--import", stdin=raw)
    listed = gpg(place, "--with-colons", "--list-keys").decode()
    expect(f":{wanted[0]}:" in listed, "gpg has not got", wanted[0])


# ---- every way in, every way out --------------------------------------------

SENDS = {"SMTP": smtp_to(25),
         "sendmail": 'send { type = sendmail path = "/usr/sbin/sendmail" '
                     'retry = 1s }'}
WAYS = {"lmtp": "LMTP on a Unix socket", "tcp": "LMTP on TCP",
        "pipe": "mailkeyctl deliver", "maildir": "a Maildir"}


def envelopes(daemon):
    """What went into the log of sender and recipient."""
    return [line for line in daemon.log().splitlines() if "outcome=" in line]


def through(mta, way, send):
    """The test of one way in and one way out."""
    def test(place):
        mta.configure(way)
        daemon = start_daemon(place, SENDS[send], port=LMTP_PORT)
        add_and_get(place, by_sendmail if send == "SMTP" else by_smtp)
        # An extension is the key server's address, too; the null sender is
        # silence, by each way that an envelope can take.
        message_id, null_id = new_id(), new_id()
        by_smtp(mail("HELP", b"", USER, message_id),
                recipient=ADDRESS.replace("@", "+x@"))
        answer_to(message_id)
        by_smtp(mail("HELP", b"", USER, null_id), sender="")
        wait_until(lambda: "outcome=silent" in daemon.log(), 30,
                   "the null sender to be left alone")
        lines = envelopes(daemon)
        equal(len(lines), 4, "mails:\n" + "\n".join(lines))
        equal([f"from={USER}" in line for line in lines],
              [True, True, True, False], "senders")
        expect("recipient=keys+x@" in lines[2], lines[2])
    test.__name__ = f"{way}_{send.lower()}"
    test.__doc__ = f"{mta.name}: in by {WAYS[way]}, out by {send}"
    return test


def all_ways(mta):
    return [through(mta, way, send) for way in WAYS for send in SENDS]


def waits(mta, way):
    """A mail waits in the mail server while the daemon is stopped."""
    def test(place):
        mta.configure(way)
        daemon = start_daemon(place, SENDS["SMTP"], port=LMTP_PORT)
        equal(daemon.stop(), 0, "exit status")
        message_id = new_id()
        by_smtp(mail("HELP", b"", USER, message_id))
        if way != "maildir":
            wait_until(lambda: mta.deferred(), 30, "the mail to be put off")
        daemon.start()
        mta.flush()
        answer_to(message_id)
    test.__name__ = f"waits_{way}"
    test.__doc__ = f"{mta.name}: a mail for {WAYS[way]} waits for the daemon"
    return test


def inside(mta, scratch, tests):
    install(mta, scratch)
    tempfile.tempdir = scratch
    start(mta)

    def in_place(test):
        def wrapped(place):
            place.scratch = scratch
            test(place)
        wrapped.__doc__, wrapped.__name__ = test.__doc__, test.__name__
        return wrapped
    run(*[in_place(t) for t in tests])


def main(mta, program, *tests):
    """Runs the tests of that program in namespaces with a mail server."""
    if sys.argv[1:2] == ["--inside"]:
        where = sys.argv.pop(2)
        sys.argv.pop(1)
        inside(mta, where, tests)
    reason = why_not(mta)
    if reason:
        print("1..0 # SKIP", reason)
        return 0
    end_on_sigterm()
    scratch = tempfile.mkdtemp(prefix="mk")
    try:
        return subprocess.run(UNSHARE + [
            sys.executable, os.path.abspath(program), "--inside", scratch,
            *sys.argv[1:]]).returncode
    finally:
        os.rmdir(scratch)
