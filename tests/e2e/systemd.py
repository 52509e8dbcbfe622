#!/usr/bin/env -S python3 -B
# The units of contrib/systemd under a real systemd: process 1 of private
# namespaces that look as those of postfix.py do, with mailkeyd installed.

import os
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

import mailbox
import postfix
from lib import (ADDRESS, B, ROOT, SAN, Lmtp, equal, expect, fingerprints, key,
                 mail, new_id, note, run, wait_until)
from mta import INBOX
from postfix import LMTP, USER, answer_to, by_smtp, mount, request

SYSTEMD = "/lib/systemd/systemd"
UNITS = ROOT + "/contrib/systemd"
ETC = "/etc/systemd/here"   # the only place where systemd looks for units
CONF = "/etc/mailkeyd/mailkeyd.conf"
DOC = "/usr/local/share/doc/mailkeyd"
LOG = "/var/log/mailkeyd-test"
STATUS = "exit-status"

TARGETS = ("test", "sysinit", "basic", "sockets", "shutdown", "network")
SMTP = 'send { type = smtp  host = "127.0.0.1"  port = 25  retry = 1s }\n'
SENDMAIL = 'send { type = sendmail  path = "/usr/sbin/sendmail"  retry = 1s }\n'


def why_not():
    if SAN:
        return "the sanitizers do not run under the unit's limits"
    if not os.path.exists(SYSTEMD):
        return "no systemd here (contrib/deps)"
    return postfix.why_not()


# ---- process 1 --------------------------------------------------------------

def mount_cgroups():
    """What systemd wants to see, of whichever kind this kernel has."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/sys/fs/cgroup")
    os.mkdir("/sys/fs/cgroup/systemd")
    done = subprocess.run(["mount", "-t", "cgroup", "-o", "none,name=systemd",
                           "cgroup", "/sys/fs/cgroup/systemd"],
                          stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    mount("-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")


def install():
    env = {k: v for k, v in os.environ.items() if "MAKE" not in k}
    done = subprocess.run(["make", "-s", "-C", ROOT, "install", f"B={B}"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=env)
    equal(done.returncode, 0, done.stdout.decode())
    os.makedirs(ETC)
    for target in TARGETS:
        with open(f"{ETC}/{target}.target", "w", encoding="utf-8") as f:
            f.write("[Unit]\nDescription=for the tests\n"
                    "DefaultDependencies=no\n")
    for unit in ("mailkeyd.service", "mailkeyd.socket"):
        shutil.copy(f"{UNITS}/{unit}", ETC)
    os.mkdir("/etc/mailkeyd")
    os.mkdir(LOG, 0o755)
    # No journal runs here.
    drop_in("test", f"[Service]\nStandardError=append:{LOG}/log\n"
            "StandardOutput=null\n")
    # As INSTALL has it.
    drop_in("test", "[Socket]\nSocketGroup=postfix\n", "mailkeyd.socket")


def drop_in(name, text, unit="mailkeyd.service"):
    os.makedirs(f"{ETC}/{unit}.d", exist_ok=True)
    with open(f"{ETC}/{unit}.d/{name}.conf", "w", encoding="utf-8") as f:
        f.write(text)


def inside(scratch, tests):
    """Becomes systemd; a child of it runs the tests."""
    mount("--bind", scratch, "/mnt")
    postfix.install_postfix(scratch)
    for folder in ("/var/lib", "/var/log"):
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder)
    mount_cgroups()
    install()
    tempfile.tempdir = scratch
    if os.fork() == 0:
        status = 1
        try:
            wait_until(lambda: systemctl("is-system-running")
                       .stdout.strip() == b"running", 30, "systemd")
            postfix.start_postfix()
            run(*tests)
        except SystemExit as end:
            status = end.code
        finally:
            with open(f"/mnt/{STATUS}", "w", encoding="utf-8") as f:
                f.write(str(status))
            sys.stdout.flush()
            subprocess.run(["systemctl", "halt", "-ff"])
    os.execve(SYSTEMD, [SYSTEMD, "--system", "--unit=test.target",
                        "--show-status=0", "--log-target=null"],
              {"container": "test", "SYSTEMD_UNIT_PATH": ETC,
               "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


# ---- the tests --------------------------------------------------------------

def systemctl(*args, fails=True):
    done = subprocess.run(["systemctl", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120)
    expect(fails or done.returncode == 0, "systemctl", *args, "ended with",
           done.returncode, done.stdout.decode(), the_log())
    return done


def show(what, unit="mailkeyd.service"):
    return systemctl("show", "-P", what, unit).stdout.decode().strip()


def the_log():
    try:
        with open(f"{LOG}/log", encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-30:])
    except OSError:
        return "(no log)"


def configure(send=SMTP, more=""):
    with open(CONF, "w", encoding="utf-8") as f:
        f.write(f'address = "{ADDRESS}"\n{send}{more}'
                f'receive "postfix" {{ type = lmtp  path = "{LMTP}"  mode = "0666" }}\n'
                "limits {\n\treplies_per_hour = 10000\n\tfree_space = 16M\n}\n")


def stopped(place):
    """Before each test: nothing runs, nothing is left of the last one."""
    systemctl("stop", "mailkeyd.socket", "mailkeyd.service", fails=False)
    systemctl("reset-failed")
    for folder in ("/var/lib/mailkeyd", "/run/mailkeyd"):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("sendmail", "watchdog", "maildir"):
        if os.path.exists(f"{ETC}/mailkeyd.service.d/{name}.conf"):
            os.unlink(f"{ETC}/mailkeyd.service.d/{name}.conf")
    systemctl("daemon-reload", fails=False)
    with open(f"{LOG}/log", "w", encoding="utf-8"):
        pass
    place.at_close(lambda: note(the_log()))


def samples(_place):
    """every sample is installed, beside the manuals that name it"""
    for folder, _, names in os.walk(ROOT + "/contrib"):
        for name in set(names) - {"demo", "deps", "lint"}:
            path = os.path.join(folder, name).replace(ROOT + "/contrib", DOC)
            expect(os.path.exists(path), path, "is missing")


def exposure(*drop_ins):
    """What systemd-analyze makes of the unit: 0 is best, 10 worst."""
    folder = tempfile.mkdtemp()
    shutil.copy(f"{UNITS}/mailkeyd.service", folder)
    os.mkdir(f"{folder}/mailkeyd.service.d")
    for name in drop_ins:
        shutil.copy(f"{UNITS}/mailkeyd.service.d/{name}.conf",
                    f"{folder}/mailkeyd.service.d")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager",
         f"{folder}/mailkeyd.service"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={"PATH": "/usr/bin:/bin",
                                       "LC_ALL": "C.UTF-8"})
    shutil.rmtree(folder)
    found = re.search(r"exposure level for \S+: ([0-9.]+)",
                      done.stdout.decode())
    expect(found, done.stdout.decode())
    return float(found.group(1))


def hardened(place):
    """systemd-analyze security says what the drop-in says that it says"""
    expect(exposure() <= 2.0, "over 2.0:", exposure())
    for name in ("sendmail", "mailbox", "maildir"):
        with open(f"{UNITS}/mailkeyd.service.d/{name}.conf",
                  encoding="utf-8") as f:
            said = re.search(
                r"says ([0-9.]+) without this file and ([0-9.]+) with",
                f.read())
        found = exposure(), exposure(name)
        # each version of systemd weighs a little differently
        for number, wanted in zip(found, said.groups()):
            expect(abs(number - float(wanted)) <= 0.5, "exposure", found)


def of_all_processes(field):
    """A field of /proc/PID/status of each process of the service."""
    with open("/sys/fs/cgroup/systemd" + show("ControlGroup") + "/cgroup.procs",
              encoding="ascii") as f:
        pids = f.read().split()
    found = []
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            found += [line.split(":", 1)[1].split() for line in f
                      if line.startswith(field + ":")]
    return found


def served(place):
    """the unit and its socket: ADD and GET through Postfix, nobody is root"""
    stopped(place)
    configure()
    systemctl("start", "mailkeyd.socket", "mailkeyd.service", fails=False)
    equal(show("ActiveState"), "active", "state")
    expect("what=unused" not in the_log(), the_log())
    wanted = fingerprints(place, key("alice.asc"))[0]
    _, answer = request(by_smtp, "ADD", key("alice.asc"))
    expect(wanted in answer.text() and "New key" in answer.text(),
           answer.text())
    _, answer = request(by_smtp, f"GET 0x{wanted}")
    equal(fingerprints(place, answer.keys()), [wanted], "keys")
    uid = str(pwd.getpwnam("mailkeyd").pw_uid)
    uids = of_all_processes("Uid")
    expect(len(uids) >= 4, "processes:", uids)
    equal({u for line in uids for u in line}, {uid}, "user ids")
    equal({v for line in of_all_processes("NoNewPrivs") for v in line}, {"1"},
          "NoNewPrivs")
    equal({v for line in of_all_processes("CapEff") for v in line},
          {"0" * 16}, "capabilities")


def started_by_mail(place):
    """a mail at the socket starts the daemon; none is put off meanwhile"""
    stopped(place)
    configure()
    systemctl("start", "mailkeyd.socket", fails=False)
    equal(show("ActiveState"), "inactive", "state")
    message_id = new_id()
    with Lmtp(LMTP) as lmtp:
        status = lmtp.send(mail("HELP", b"", USER, message_id), USER)
    equal(status[0][0], 250, "status")
    answer_to(message_id)
    equal(show("ActiveState"), "active", "state")
    systemctl("stop", "mailkeyd.service", fails=False)
    expect(os.path.exists(LMTP), "the socket went with the daemon")
    request(by_smtp, "HELP")


def watched(place):
    """a daemon that hangs is ended by the watchdog, and comes back"""
    stopped(place)
    configure()
    drop_in("watchdog", "[Service]\nWatchdogSec=2\nRestartSec=100ms\n")
    systemctl("daemon-reload", fails=False)
    systemctl("start", "mailkeyd.service", fails=False)
    pid = int(show("MainPID"))
    time.sleep(4)   # longer than it may be silent
    equal(int(show("MainPID")), pid, "the process after 4 s of answering")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: int(show("MainPID")) not in (0, pid) and
               show("ActiveState") == "active", 30, "a new daemon")
    equal(show("NRestarts"), "1", "restarts")
    request(by_smtp, "HELP")


def wrong(place):
    """a wrong configuration is not tried again and again"""
    stopped(place)
    configure(more="nonsense = 1\n")
    expect(systemctl("start", "mailkeyd.service").returncode != 0, "started")
    equal((show("ActiveState"), show("ExecMainStatus"), show("NRestarts")),
          ("failed", "78", "0"), "after the start")
    expect(f"{CONF}:" in the_log(), the_log())


def by_sendmail(place):
    """with the drop-in an answer leaves by sendmail, without it none can"""
    stopped(place)
    configure(send=SENDMAIL)
    systemctl("start", "mailkeyd.service", fails=False)
    expect("sendmail" in the_log(), "no warning:", the_log())
    message_id = new_id()
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
        smtp.sendmail(USER, [ADDRESS], mail("HELP", b"", USER, message_id))
    wait_until(lambda: "answer=deferred" in the_log(), 30, "a try that fails")
    systemctl("stop", "mailkeyd.service", fails=False)
    shutil.copy(f"{UNITS}/mailkeyd.service.d/sendmail.conf",
                f"{ETC}/mailkeyd.service.d")
    systemctl("daemon-reload", fails=False)
    systemctl("start", "mailkeyd.service", fails=False)
    answer_to(message_id)


def from_a_maildir(place):
    """with the drop-in mails come from a Maildir, without it it says why not"""
    stopped(place)
    configure(more=f'receive "in" {{ type = maildir  path = "{INBOX}" }}\n')
    expect(systemctl("start", "mailkeyd.service").returncode != 0, "started")
    expect(re.search(f"{INBOX}/new: Read-only file system; .*ReadWritePaths",
                     the_log()), the_log())
    drop_ins = "mailkeyd.service.d/maildir.conf"
    shutil.copy(f"{UNITS}/{drop_ins}", f"{ETC}/{drop_ins}")
    systemctl("daemon-reload", fails=False)
    systemctl("start", "mailkeyd.service", fails=False)

    def by_maildir(message):
        path = f"{INBOX}/tmp/{time.time_ns()}"
        with open(path, "wb") as f:
            f.write(f"Return-Path: <{USER}>\n".encode() + message)
        shutil.chown(path, "mailkeyd", "mailkeyd")
        os.rename(path, path.replace("/tmp/", "/new/"))

    request(by_maildir, "HELP")
    wait_until(lambda: not os.listdir(INBOX + "/new"), 30, "the file to go")


def from_a_mailbox(place):
    """mails come from a mailbox on this machine, over TLS"""
    stopped(place)
    dovecot = mailbox.Dovecot(place)
    for name, path in (
            ("password", mailbox.password_file(place)),
            ("ca.pem", mailbox.certificates().ca)):
        shutil.copy(path, f"/etc/mailkeyd/{name}")
        shutil.chown(f"/etc/mailkeyd/{name}", "mailkeyd", "mailkeyd")
    configure(more=f"""receive "box" {{ type = imap  host = "localhost"
    port = {dovecot.imaps}  user = "keys"  ca_file = "/etc/mailkeyd/ca.pem"
    password_file = "/etc/mailkeyd/password" }}
""")
    systemctl("start", "mailkeyd.service", fails=False)
    request(lambda message: dovecot.deliver(message, USER), "HELP")
    dovecot.is_empty()


TESTS = (samples, hardened, served, started_by_mail, watched, wrong,
         by_sendmail, from_a_maildir, from_a_mailbox)


def main():
    if sys.argv[1:2] == ["--inside"]:
        where = sys.argv.pop(2)
        sys.argv.pop(1)
        inside(where, TESTS)
    reason = why_not()
    if reason:
        print("1..0 # SKIP", reason)
        return 0
    scratch = tempfile.mkdtemp(prefix="mk")
    try:
        subprocess.run(["unshare", "-m", "-n", "-u", "-i", "-p", "-C", "-f",
                        "--kill-child", "--mount-proc", sys.executable,
                        os.path.abspath(__file__), "--inside", scratch,
                        *sys.argv[1:]])
        if not os.path.exists(f"{scratch}/{STATUS}"):
            return 1
        with open(f"{scratch}/{STATUS}", encoding="utf-8") as f:
            return int(f.read())
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
