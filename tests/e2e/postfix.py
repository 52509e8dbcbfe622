#!/usr/bin/env -S python3 -B
# Through a real Postfix: a user mails commands with sendmail and SMTP, Postfix
# hands them to mailkeyd over LMTP, the answers go back through Postfix into
# the user's Maildir, and gpg imports what lies there.
#
# Postfix is unpacked, not installed (contrib/deps); the test runs in private
# namespaces, where overlays over /usr and /etc show it as installed, loopback
# is private, and everything dies with the test.  Needs root.

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
import time

from lib import (ADDRESS, B, ROOT, SLOW, Delivery, end_on_sigterm, equal,
                 expect, fingerprints, gpg, key, mail, new_id, note, run,
                 smtp_to, wait_until)

MTA = os.path.join(ROOT, "build/mta/postfix")
UNSHARE = ["unshare", "-m", "-n", "-p", "-f", "--kill-child", "--mount-proc"]
USER = "alice@example.org"
MAILDIR = "/var/spool/alice/Maildir"
LMTP = "/run/mailkeyd/lmtp"

PASSWD = """\
postfix:x:61001:61001::/var/spool/postfix:/usr/sbin/nologin
mailkeyd:x:61003:61003::/var/spool/mailkeyd:/usr/sbin/nologin
alice:x:61004:61004:Alice Example,,,:/var/spool/alice:/bin/sh
"""
GROUP = """\
postfix:x:61001:
postdrop:x:61002:
mailkeyd:x:61003:
alice:x:61004:
"""
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/spool/postfix-data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /var/spool/mail.log
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mx.example.net
mydestination = mx.example.net
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_alias_maps = inline:{ { alice@example.org = alice@mx.example.net } }
home_mailbox = Maildir/
smtputf8_enable = no
"""


def why_not():
    """Why the test cannot run here, or None."""
    if os.geteuid() != 0:
        return "a mail server of its own needs root"
    if not os.path.isdir(MTA):
        return f"no Postfix in {os.path.relpath(MTA, ROOT)} (contrib/deps)"
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


def contrib(name):
    with open(os.path.join(ROOT, "contrib/postfix", name),
              encoding="utf-8") as f:
        return f.read()


def install_postfix(scratch):
    """Makes it look as if Debian's postfix were installed here."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", scratch)
    # The programs under test, where every user may run them.
    os.mkdir(f"{scratch}/libexec")
    for path in glob.glob(f"{B}/mailkeyd*"):
        if os.path.isfile(path):
            shutil.copy(path, f"{scratch}/libexec")
    shutil.copy(f"{B}/mailkeyctl", f"{scratch}/libexec")
    overlay(scratch, "/usr", f"{MTA}/usr")
    overlay(scratch, "/etc", f"{MTA}/etc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/spool")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    append("/etc/passwd", PASSWD)
    append("/etc/group", GROUP)
    append("/etc/shadow", "")
    with open("/etc/postfix/main.cf", "w", encoding="utf-8") as f:
        f.write(MAIN_CF + contrib("main.cf"))
    shutil.copy("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf")
    append("/etc/postfix/master.cf", "\n" + contrib("master.cf"))
    for program in ("postdrop", "postqueue"):
        os.chown(f"/usr/sbin/{program}", 0, 61002)
        os.chmod(f"/usr/sbin/{program}", 0o2755)
    for folder, mode in (("/var/spool/postfix", 0o755),
                         ("/var/spool/postfix-data", 0o700),
                         ("/var/spool/alice", 0o700),
                         ("/run/mailkeyd", 0o755)):
        os.mkdir(folder, mode)
    shutil.chown("/var/spool/postfix-data", "postfix", "postfix")
    shutil.chown("/var/spool/alice", "alice", "alice")
    shutil.chown("/run/mailkeyd", "mailkeyd", "mailkeyd")
    loopback_up()


def postfix(*args):
    done = subprocess.run(["postfix", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    expect(done.returncode == 0, "postfix", *args, done.stdout.decode(),
           mail_log())


def mail_log():
    try:
        with open("/var/spool/mail.log", encoding="utf-8",
                  errors="replace") as f:
            return "".join(f.readlines()[-40:])
    except OSError:
        return "(no mail.log)"


def start_postfix():
    postfix("start")

    def up():
        try:
            with smtplib.SMTP("127.0.0.1", 25, timeout=10):
                return True
        except OSError:
            return False
    wait_until(up, 20, "Postfix to answer")


def as_alice():
    alice = pwd.getpwnam("alice")
    return {"user": alice.pw_uid, "group": alice.pw_gid, "extra_groups": []}


def by_sendmail(message):
    done = subprocess.run(["/usr/sbin/sendmail", "-i", "-f", USER, "--",
                           ADDRESS], input=message, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **as_alice())
    equal((done.returncode, done.stdout), (0, b""), "sendmail")


def by_smtp(message):
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.sendmail(USER, [ADDRESS], message)


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
    equal(answer.message["Return-Path"], "<>", "Return-Path")
    equal(answer.message["Auto-Submitted"], "auto-replied", "Auto-Submitted")
    expect(answer.message["X-Loop"], "no X-Loop")
    return raw, answer


def start_daemon(place, send, **options):
    daemon = place.daemon(send=send, user="mailkeyd",
                          libexec=place.scratch + "/libexec", **options)
    shutil.chown(daemon.dir, "mailkeyd", "mailkeyd")
    os.chmod(place.path, 0o755)
    append(daemon.conf,
           f'receive "postfix" {{ type = lmtp path = "{LMTP}" mode = 0666 }}')
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


def sent_by_smtp(place):
    """user -> sendmail -> Postfix -> LMTP -> mailkeyd -> SMTP -> Maildir"""
    start_daemon(place, smtp_to(25))
    add_and_get(place, by_sendmail)


def sent_by_sendmail(place):
    """user -> SMTP -> Postfix -> LMTP -> mailkeyd -> sendmail -> Maildir"""
    start_daemon(place,
                 'send { type = sendmail path = "/usr/sbin/sendmail" }')
    add_and_get(place, by_smtp)


def kept_while_away(place):
    """a mail waits in Postfix while the daemon is stopped"""
    daemon = start_daemon(place, smtp_to(25))
    equal(daemon.stop(), 0, "exit status")
    message_id = new_id()
    by_sendmail(mail("HELP", b"", USER, message_id))
    wait_until(lambda: b"status=deferred" in open("/var/spool/mail.log",
                                                  "rb").read(),
               30, "Postfix to defer the mail")
    daemon.start()
    postfix("flush")
    answer_to(message_id)


def extension(place):
    """keys+anything@example.org is answered too, the null sender is not"""
    start_daemon(place, smtp_to(25))
    message_id = new_id()
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.sendmail(USER, ["keys+x@example.org"],
                      mail("HELP", b"", USER, message_id))
        null_id = new_id()
        smtp.sendmail("", [ADDRESS], mail("HELP", b"", USER, null_id))
    answer_to(message_id)
    request(by_smtp, "HELP")
    time.sleep(0.5 * SLOW)
    for path in glob.glob(MAILDIR + "/new/*"):
        with open(path, "rb") as f:
            expect(null_id.encode() not in f.read(),
                   "the null sender was answered")


def inside(scratch, tests):
    install_postfix(scratch)
    tempfile.tempdir = scratch
    start_postfix()

    def in_place(test):
        def wrapped(place):
            place.scratch = scratch
            test(place)
        wrapped.__doc__, wrapped.__name__ = test.__doc__, test.__name__
        return wrapped
    run(*[in_place(t) for t in tests])


def main(program, *tests):
    """Runs the tests of that program in namespaces with a Postfix."""
    if sys.argv[1:2] == ["--inside"]:
        where = sys.argv.pop(2)
        sys.argv.pop(1)
        inside(where, tests)
    reason = why_not()
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


if __name__ == "__main__":
    sys.exit(main(__file__, sent_by_smtp, sent_by_sendmail, kept_while_away,
                  extension))
