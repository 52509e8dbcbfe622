#!/usr/bin/env -S python3 -B
# Disks that are full or read-only, and other lacks: the sources hear to come
# later, queries are answered as long as there is room for that, nothing is
# half written, and all goes on by itself.  The file systems are small ones in
# a mount namespace of the test's own.

import ctypes
import os
import re
import resource
import signal
import subprocess
import threading

from lib import (SAN, SLOW, Lmtp, Skip, armor, ask, certificates, equal, expect,
                 mail, new_id, note, run, smtp_to, wait_until)

from debian_ring import fingerprint, key_for_gpg

RING = "/usr/share/keyrings/debian-maintainers.gpg"
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE, MS_RDONLY, MS_REMOUNT = 0x4000, 0x40000, 1, 0x20
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, data):
    def octets(s):
        return s.encode() if s else None
    if libc.mount(octets(source), octets(target), octets(kind), flags,
                  octets(data)):
        raise OSError(ctypes.get_errno(), f"mount {target}")


def private_mounts():
    """What is mounted from now on is seen here only; why not, or None."""
    try:
        if libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    except OSError as why:
        return f"no file system can be mounted: {why}"
    return None


NO_MOUNTS = private_mounts()


def small_certificates(count):
    with open(RING, "rb") as f:
        found = {fingerprint(c): c for c in certificates(f.read())}
    return sorted(found.items(), key=lambda pair: len(pair[1]))[:count]


def forgive(place):
    """The sanitizer passes over what Berkeley DB does not free when it could
    not recover an environment.  Its function has a name only where the whole
    stack is walked."""
    if not SAN:
        return
    before = dict(os.environ)
    known = place.write("leaks", "leak:__env_remove_env\n")
    os.environ["LSAN_OPTIONS"] = f"suppressions={known}:print_suppressions=0"
    os.environ["ASAN_OPTIONS"] += ":fast_unwind_on_malloc=0"
    place.at_close(lambda: os.environ.update(
        {"LSAN_OPTIONS": "", "ASAN_OPTIONS": before["ASAN_OPTIONS"]}))


def on_small_disk(place, megabytes, ready=True, **limits):
    """A daemon whose state lies on a file system of that size, and a sink."""
    if NO_MOUNTS:
        raise Skip(NO_MOUNTS)
    forgive(place)
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port), limits=limits)
    os.mkdir(daemon.state, 0o700)
    mount("none", daemon.state, "tmpfs", 0, f"size={megabytes}m,mode=700")
    place.at_close(lambda: libc.umount2(daemon.state.encode(), 2))
    if ready:
        daemon.start()
    return daemon, sink


class Ballast:
    """A file that takes the room away."""

    def __init__(self, daemon):
        self.state = daemon.state
        self.path = os.path.join(daemon.state, "ballast")

    def free(self):
        fs = os.statvfs(self.state)
        return fs.f_bavail * fs.f_frsize

    def leave(self, octets):
        """Writes until no more than that is free."""
        with open(self.path, "ab", buffering=0) as f:
            size = 1 << 20
            while size:
                if self.free() - size < octets:
                    size //= 2
                    continue
                try:
                    f.write(bytes(size))
                except OSError:
                    size //= 2

    def remove(self):
        os.remove(self.path)


def send(daemon, message):
    """The status of one mail; None: no connection."""
    try:
        with Lmtp(daemon.lmtp_path, timeout=20) as lmtp:
            return lmtp.send(message)[0][0]
    except OSError:
        return None


def is_later(code):
    return code in (451, 452)


def stats(daemon):
    done = daemon.ctl("stats", "--tsv")
    equal(done.returncode, 0, "exit status of stats")
    return {name: int(value) for name, value in
            (line.split("\t") for line in done.stdout.decode().splitlines())}


def taken(daemon, message, seconds=40):
    """An MTA's patience; every other status must be one that asks for it."""
    def once():
        code = send(daemon, message)
        expect(code == 250 or is_later(code), "status", code)
        return code == 250
    wait_until(once, seconds, "a 250")


class Keys:
    """ADDs, and which of them were acknowledged."""

    def __init__(self, daemon, work):
        self.daemon, self.work, self.stored = daemon, list(work), {}

    def add(self):
        """One more; its status."""
        fpr, certificate = self.work[0]
        message_id = new_id()
        code = send(self.daemon, mail("ADD", armor(certificate),
                                      message_id=message_id))
        if code == 250:
            self.work.pop(0)
            self.stored[fpr] = message_id
        return code

    def check(self, sink):
        """All of them are there, whole, and were answered."""
        for fpr, message_id in self.stored.items():
            done = self.daemon.ctl("get", "0x" + fpr)
            equal(done.returncode, 0, f"{fpr}, which was acknowledged: get")
            sink.answer_to(message_id)
        done = self.daemon.ctl("verify")
        equal((done.returncode, done.stderr), (0, b""), "mailkeyctl verify")


def until_full(daemon, keys, ballast):
    """ADDs while the room goes, to the last octet."""
    ballast.leave(1 << 20)
    for _ in range(400):
        code = keys.add()
        if code != 250:
            expect(is_later(code), "status", code)
            break
    ballast.leave(0)


def goes_on(daemon, sink, keys):
    """By itself, and with nothing lost."""
    wait_until(lambda: stats(daemon)["store_open"], 30, "the store to open")
    taken(daemon, mail("HELP"))
    wait_until(lambda: keys.add() == 250, 30, "an ADD to be taken")
    keys.check(sink)


def low(place):
    """little room: no ADD, but queries; less room: nothing; then all again"""
    daemon, sink = on_small_disk(place, 24)
    ballast, keys = Ballast(daemon), Keys(daemon, small_certificates(60))
    for _ in range(20):
        equal(keys.add(), 250, "ADD")
    limit = (24 << 20) // 10
    ballast.leave(limit // 2)
    for _ in range(20):
        equal(keys.add(), 452, "ADD below free_space")
    equal(daemon.log().count("outcome=later"), 10, "lines of the log")
    ask(daemon, sink, "HELP")
    ballast.leave(limit // 8)
    equal(keys.add(), 452, "ADD below a quarter of it")
    equal(send(daemon, mail("HELP")), 452, "HELP below a quarter of it")
    equal(stats(daemon)["store_open"], 1, "store_open")
    ballast.remove()
    goes_on(daemon, sink, keys)


def filled(place, megabytes, **limits):
    daemon, sink = on_small_disk(place, megabytes, **limits)
    ballast, keys = Ballast(daemon), Keys(daemon, small_certificates(420))
    for _ in range(10):
        equal(keys.add(), 250, "ADD")
    until_full(daemon, keys, ballast)
    for _ in range(3):
        expect(is_later(send(daemon, mail("HELP"))) or limits, "HELP")
    expect(daemon.running(), "the daemon has ended")
    for _ in range(2):
        daemon.kill()
        ballast.leave(0)
        seconds = daemon.start()
        code = send(daemon, mail("HELP"))
        is_open = stats(daemon)["store_open"]
        note(f"{megabytes} MB, full, killed and started in {seconds:.2f} s: "
             f"HELP {code}, store {'open' if is_open else 'closed'}, "
             f"{ballast.free()} octets free")
        expect(is_later(code) or limits, "HELP", code)
        expect(is_open or b"closed" in daemon.ctl("stats").stdout,
               "stats does not say why")
    ballast.remove()
    goes_on(daemon, sink, keys)
    note(f"{len(keys.stored)} keys acknowledged and there")


def full_24(place):
    """24 MB, full to the last octet, killed and started: nothing is lost"""
    filled(place, 24)


def full_300(place):
    """300 MB, full to the last octet, killed and started: nothing is lost"""
    filled(place, 300)


def no_reserve(place):
    """the same without free_space: the database itself meets the full disk"""
    filled(place, 24, free_space=0)


def read_only(place):
    """read-only at the start: it waits, says why, and opens it"""
    daemon, sink = on_small_disk(place, 24)
    keys = Keys(daemon, small_certificates(20))
    for _ in range(5):
        equal(keys.add(), 250, "ADD")
    for how in (daemon.kill, daemon.stop):
        how()
        mount("none", daemon.state, None, MS_REMOUNT | MS_RDONLY, None)
        daemon.start()
        equal(send(daemon, mail("HELP")), 451, "HELP")
        expect(is_later(keys.add()), "ADD")
        equal(stats(daemon)["store_open"], 0, "store_open")
        said = daemon.ctl("stats").stdout.decode()
        expect("read-only" in said, "stats says", said)
        expect("read-only file system: mount it" in daemon.log(), "the log")
        mount("none", daemon.state, None, MS_REMOUNT, None)
        goes_on(daemon, sink, keys)
    equal(daemon.log().count("what=closed"), 2, "lines that it is closed")
    equal(daemon.log().count("what=open"), 2, "lines that it is open")


def copies(place):
    """backup and import stop where there is no room, and leave nothing odd"""
    daemon, sink = on_small_disk(place, 24)
    ballast, keys = Ballast(daemon), Keys(daemon, small_certificates(20))
    equal(keys.add(), 250, "ADD")
    ballast.leave((24 << 20) // 10 + (256 << 10))
    target = place / "target"
    os.mkdir(target)
    mount("none", target, "tmpfs", 0, "size=256k")
    place.at_close(lambda: libc.umount2(target.encode(), 2))
    done = daemon.ctl("backup", os.path.join(target, "copy"))
    equal(done.returncode, 73, f"backup ({done.stderr.decode()})")
    expect(b"No space left" in done.stderr, "backup says", done.stderr)
    equal(os.listdir(target), [], "what backup left")

    with open(RING, "rb") as f:
        ring = sorted(set(certificates(f.read())), key=len)[-150:]
    path = place.write("ring.gpg", b"".join(ring))
    done = daemon.ctl("import", path)
    equal(done.returncode, 75, f"import ({done.stderr.decode()})")
    expect(b"below free_space" in done.stderr, "import says", done.stderr)
    equal(daemon.ctl("verify").returncode, 75, "verify without room")
    stored = stats(daemon)["certificates"]
    ask(daemon, sink, "HELP")
    ballast.remove()
    equal(daemon.ctl("import", path).returncode, 0, "import with room")
    note(f"{stored} certificates before there was room, then",
         stats(daemon)["certificates"])
    expect(1 < stored < stats(daemon)["certificates"], "certificates")
    goes_on(daemon, sink, keys)


def load(place):
    """a load into an empty store without room for it leaves it empty"""
    # Beside a daemon it would be no load.
    daemon, sink = on_small_disk(place, 100, ready=False)
    ballast = Ballast(daemon)
    ballast.leave(3 << 20)
    with open("/usr/share/keyrings/debian-keyring.gpg", "rb") as f:
        ring = sorted(set(certificates(f.read())), key=len)[:700]
    path = place.write("ring.gpg", b"".join(ring))
    expect(os.path.getsize(path) > 9 << 20, "it is too small for a load")
    done = daemon.ctl("import", path)
    equal(done.returncode, 75, f"import ({done.stderr.decode()})")
    expect(b"below free_space; nothing of it was stored" in done.stderr,
           "import says", done.stderr)
    expect("bulk" not in os.listdir(os.path.join(daemon.state, "db")),
           "something is left of it")
    ballast.remove()
    equal(stats(daemon)["certificates"], 0, "certificates")
    equal(daemon.ctl("import", path).returncode, 0, "import with room")
    equal(stats(daemon)["certificates"], len(ring), "certificates")
    daemon.start()
    goes_on(daemon, sink, Keys(daemon, small_certificates(5)))


def answers_out(place):
    """a Maildir for answers on a full disk: they wait, and arrive whole"""
    if NO_MOUNTS:
        raise Skip(NO_MOUNTS)
    out = place / "out"
    os.mkdir(out)
    mount("none", out, "tmpfs", 0, "size=64k")
    place.at_close(lambda: libc.umount2(out.encode(), 2))
    daemon = place.daemon(send=f'send {{ type = maildir path = "{out}/M" '
                               'retry = 1s }')
    daemon.start()
    ids = [new_id() for _ in range(60)]
    for i in ids:
        equal(send(daemon, mail("HELP", message_id=i)), 250, "HELP")
    wait_until(lambda: "answer=deferred" in daemon.log(), 30, "a full disk")
    mount("none", out, None, MS_REMOUNT, "size=10m")
    new = os.path.join(out, "M/new")
    wait_until(lambda: len(os.listdir(new)) >= len(ids), 30, "all answers")
    found = []
    for name in os.listdir(new):
        with open(os.path.join(new, name), "rb") as f:
            text = f.read()
        found += re.findall(rb"(?m)^In-Reply-To: (\S+)", text)
        expect(text.endswith(b"\n"), "an answer is cut off")
    equal(sorted(found), sorted(i.encode() for i in ids), "answers")
    equal(os.listdir(os.path.join(out, "M/tmp")), [], "what is left in tmp")


def delivered_meanwhile(place):
    """an answer is delivered while the disk is full: one line of the log"""
    daemon, sink = on_small_disk(place, 24, free_space=0)
    taken_by_sink, disk_full = threading.Event(), threading.Event()

    def verdict(_recipient, _raw):
        taken_by_sink.set()
        disk_full.wait(60)

    sink.verdict = verdict
    ballast, message_id = Ballast(daemon), new_id()
    equal(send(daemon, mail("HELP", message_id=message_id)), 250, "HELP")
    expect(taken_by_sink.wait(30), "the answer is not sent")
    ballast.leave(0)
    wait_until(lambda: is_later(send(daemon, mail("HELP"))), 30, "a full disk")
    disk_full.set()
    sink.answer_to(message_id)
    for _ in range(50):         # each of them some rounds of the loop
        send(daemon, mail("HELP"))
    lines = daemon.log().count("event=outbox error")
    expect(lines <= 2, lines, "lines of the log")
    ballast.remove()
    wait_until(lambda: stats(daemon)["queue"] == 0, 60, "an empty outbox")
    equal([m.in_reply_to for m in sink.got].count(message_id), 1, "answers")


def dies_under_it(place):
    """a disk that gives up and can only be read from then on: later"""
    if NO_MOUNTS:
        raise Skip(NO_MOUNTS)
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    os.mkdir(daemon.state, 0o700)
    image = place / "image"

    def attach():
        done = subprocess.run(["mount", "-o", "loop", image, daemon.state],
                              stderr=subprocess.PIPE, check=False)
        return done.stderr.decode().strip()

    with open(image, "wb") as f:
        f.truncate(64 << 20)
    if subprocess.run(["mkfs.ext4", "-q", "-F", image], check=False,
                      stderr=subprocess.DEVNULL).returncode or attach():
        raise Skip("no file system in a file can be mounted")
    place.at_close(lambda: libc.umount2(daemon.state.encode(), 2))
    daemon.start()
    keys = Keys(daemon, small_certificates(20))
    for _ in range(5):
        equal(keys.add(), 250, "ADD")
    subprocess.run(["mount", "-o", "remount,abort", daemon.state], check=True)
    for _ in range(3):
        expect(is_later(keys.add()), "ADD")
        expect(is_later(send(daemon, mail("HELP"))), "HELP")
    stats(daemon)
    expect(daemon.running(), "the daemon has ended")
    daemon.kill()
    wait_until(lambda: libc.umount2(daemon.state.encode(), 0) == 0, 20,
               "the file system to be let go")
    equal(attach(), "", "mount")
    daemon.start()
    goes_on(daemon, sink, keys)


# ---- the quarantine ---------------------------------------------------------

def killer(number):
    """A mail that its reader dies of."""
    body = b"To: " + b"(" * 600000 + b"\n\n%d\n" % number
    return mail("ADD", body, headers=("MIME-Version: 1.0",
                                      "Content-Type: message/rfc822"))


def set_aside(daemon):
    return sorted(os.listdir(os.path.join(daemon.state, "quarantine")))


def full_quarantine(place):
    """a full quarantine: what would go there stays with its mail server"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port),
                          limits={"quarantine_size": "1M"})
    place.daemons.remove(daemon)    # the sanitizer reports the readers
    daemon.start()
    first, second = killer(1), killer(2)
    equal([send(daemon, first) for _ in range(2)], [451, 250], "the first")
    before = set_aside(daemon)
    equal(len(before), 3, "files")
    equal([send(daemon, second) for _ in range(4)], [451] * 4, "the second")
    equal(set_aside(daemon), before, "files when it was full")
    expect("quarantine_size is reached: mailkeyctl quarantine drop" in
           daemon.log(), "the log does not say what to do")
    ask(daemon, sink, "HELP")
    equal(daemon.ctl("quarantine", "drop", before[0][:12]).returncode, 0,
          "quarantine drop")
    equal(send(daemon, second), 250, "the second, when there is room")
    expect(len(set_aside(daemon)) == 3 and set_aside(daemon) != before,
           "it was not set aside")
    ask(daemon, sink, "HELP")


def quarantine_and_disk(place):
    """no room on the disk to set a mail aside: the same, nothing half there"""
    daemon, sink = on_small_disk(place, 24)
    place.daemons.remove(daemon)
    ballast = Ballast(daemon)
    ballast.leave(1 << 20)
    equal([send(daemon, killer(1)) for _ in range(3)], [451] * 3, "statuses")
    equal(set_aside(daemon), [], "in quarantine")
    ask(daemon, sink, "HELP")
    ballast.remove()
    equal([send(daemon, killer(1)) for _ in range(2)], [451, 250], "then")
    equal(len(set_aside(daemon)), 3, "in quarantine")
    ask(daemon, sink, "HELP")


# ---- other lacks ------------------------------------------------------------

def limit(pid, what, soft, user=None):
    """Sets a soft limit of a running process; returns how to take it back."""
    def run_prlimit(*args):
        done = subprocess.run(
            ["prlimit", f"--pid={pid}", *args], user=user, group=user,
            extra_groups=[] if user else None, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, check=False)
        equal((done.returncode, done.stderr), (0, b""), "prlimit")
        return done.stdout.decode().split()

    before = run_prlimit(f"--{what}", "--raw", "--noheadings",
                         "--output=SOFT")[0]
    run_prlimit(f"--{what}={soft}:")
    return lambda: run_prlimit(f"--{what}={before}:")


def helper(daemon, name):
    """The process id of the daemon's own helper of that name, or None."""
    for pid in daemon.helpers():
        try:
            with open(f"/proc/{pid}/stat") as f:
                comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if comm == name[:15] and int(rest.split()[1]) == daemon.process.pid:
            return pid
    return None


def descriptors(place):
    """no descriptors left: 4xx or no greeting, and then all again"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    keys = Keys(daemon, small_certificates(60))
    equal(keys.add(), 250, "ADD")
    pid, seen = daemon.process.pid, []
    with daemon.lmtp() as open_before:
        used = len(os.listdir(f"/proc/{pid}/fd"))
        for more in range(7):
            restore = limit(pid, "nofile", used + more)
            codes = [open_before.send(mail("HELP"))[0][0]]
            if more > 0:
                codes.append(keys.add())
            restore()
            seen.append(codes)
            for code in codes:
                expect(code in (None, 250) or is_later(code), "status", code)
    note("with one descriptor more each time:", seen)
    expect(any(is_later(c) for codes in seen for c in codes), "it sufficed")
    # A greeting that does not come is no reason to forget who waits.
    restore = limit(pid, "nofile", 3)
    before, answer = daemon.log().count("event=no_connection"), []
    waiting = threading.Thread(
        target=lambda: answer.append(send(daemon, mail("HELP"))))
    waiting.start()
    wait_until(lambda: daemon.log().count("event=no_connection") > before, 20,
               "a line of the log")
    restore()
    waiting.join()
    equal(answer, [250], "the one who waited")
    goes_on(daemon, sink, keys)


def processes(place):
    """no processes left: mails wait for a reader or a judge"""
    if os.geteuid() != 0:
        raise Skip("root is needed to become another user")
    sink = place.sink()
    os.chmod(place.path, 0o755)
    # A user of its own: nobody else's processes count.
    user = 64321
    daemon = place.daemon(send=smtp_to(sink.port), user=user,
                          extra=f"helper_timeout = {5 * SLOW}")
    os.chown(daemon.dir, user, user)
    daemon.start()
    keys = Keys(daemon, small_certificates(10))
    equal(keys.add(), 250, "ADD")

    parser = helper(daemon, "mailkeyd-parser")
    restore = limit(parser, "nproc", 1, user)
    codes = [send(daemon, mail("HELP"))]
    # The first find children that were there.
    while codes[-1] == 250 and len(codes) < 100:
        codes.append(send(daemon, mail("HELP")))
    restore()
    note("without a child for the parser:", codes)
    equal(codes[-1], 451, "status without a child")
    taken(daemon, mail("HELP"))
    equal(os.listdir(os.path.join(daemon.state, "quarantine")), [],
          "in quarantine: a child that cannot be made is no death")

    ask(daemon, sink, "ADD", key_for_gpg())
    restore = [limit(helper(daemon, name), "nproc", 1, user)
               for name in ("mailkeyd-verifier", "mailkeyd-checker")]
    codes = [keys.add()]
    while codes[-1] == 250 and len(codes) < 6:
        codes.append(keys.add())
    for back in restore:
        back()
    note("without a child for the verifier:", codes)
    equal(codes[-1], 451, "status of a key that nobody has judged")
    equal(keys.add(), 250, "the same one again")

    restore = limit(daemon.process.pid, "nproc", 1, user)
    os.kill(parser, signal.SIGKILL)
    code = send(daemon, mail("HELP"))
    expect(is_later(code), "status without a parser", code)
    expect("helper=mailkeyd-parser event=failed what=start" in daemon.log(),
           "the log does not say that it cannot be started")
    restore()
    wait_until(lambda: helper(daemon, "mailkeyd-parser"), 40, "a parser")
    goes_on(daemon, sink, keys)


def address_space(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def memory_for_children(place):
    """no memory for the parser's children: mails wait, none is set aside"""
    if os.geteuid() != 0:
        raise Skip("root is needed to become another user")
    if SAN:
        raise Skip("the sanitizer needs all the address space there is")
    sink = place.sink()
    os.chmod(place.path, 0o755)
    user = 64321
    daemon = place.daemon(send=smtp_to(sink.port), user=user)
    os.chown(daemon.dir, user, user)
    daemon.start()
    keys = Keys(daemon, small_certificates(10))
    equal(keys.add(), 250, "ADD")
    parser = helper(daemon, "mailkeyd-parser")
    most = address_space(parser)
    # The hard limit, which children cannot raise to their own one.
    subprocess.run(["prlimit", f"--pid={parser}", f"--as={most}:{most}"],
                   user=user, group=user, extra_groups=[], check=True)
    large = mail("ADD", (b"x" * 70 + b"\n") * 60000)
    send(daemon, mail("HELP"))      # finds a child that was there before
    equal([send(daemon, large) for _ in range(3)], [451] * 3, "statuses")
    equal(set_aside(daemon), [], "in quarantine")
    os.kill(parser, signal.SIGKILL)     # nobody may raise its limit again
    goes_on(daemon, sink, keys)


def memory_for_the_core(place):
    """no memory for the core: 4xx or no greeting, and then all again"""
    if SAN:
        raise Skip("the sanitizer needs all the address space there is")
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port))
    daemon.start()
    pid = daemon.process.pid
    keys = Keys(daemon, small_certificates(60))
    equal(keys.add(), 250, "ADD")
    large = mail("ADD", (b"x" * 70 + b"\n") * 60000)
    seen = []
    for more in (0, 1 << 16, 1 << 20, 4 << 20):
        restore = limit(pid, "as", address_space(pid) + more)
        codes = [send(daemon, mail("HELP")), keys.add(), send(daemon, large),
                 keys.add()]
        restore()
        seen.append(codes)
        expect(daemon.running(), "the daemon has ended")
        for code in codes:
            expect(code in (None, 250) or is_later(code), "status", code)
    note("with ever more memory:", seen)
    goes_on(daemon, sink, keys)


if __name__ == "__main__":
    run(low, full_24, full_300, no_reserve, read_only, copies, load,
        answers_out, delivered_meanwhile, dies_under_it, full_quarantine,
        quarantine_and_disk, descriptors, processes, memory_for_children,
        memory_for_the_core)
