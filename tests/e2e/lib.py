# What the end-to-end tests share: a daemon of their own, an LMTP client, an
# SMTP sink, gpg in a home of its own, and TAP.
#
# A test is a function that takes a Place and fails by raising; its docstring
# is its name.  run(test, ...) runs them, each in a directory of its own that
# is removed at the end, whatever happens.

import email
import email.policy
import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
B = os.path.join(ROOT, os.environ.get("B") or "build")
SAN = bool(os.environ.get("SAN"))
SLOW = 4 if SAN else 1
ADDRESS = "keys@example.org"
ALICE = "alice@example.net"


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


def expect(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, wanted, what="value"):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def wait_until(condition, seconds, what):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < end, f"waited {seconds * SLOW} s for", what)
        time.sleep(0.01)


def note(*words):
    for line in " ".join(str(w) for w in words).splitlines():
        print("#", line)
    sys.stdout.flush()


def end_on_sigterm():
    """SIGTERM leaves through every `finally`.  timeout(1) sends it twice."""
    def handler(number, _frame):
        signal.signal(number, signal.SIG_IGN)
        sys.exit(1)
    signal.signal(signal.SIGTERM, handler)


def run(*tests):
    """Runs the tests (those named on the command line), prints TAP, exits."""
    end_on_sigterm()
    wanted = sys.argv[1:]
    tests = [t for t in tests if not wanted or t.__name__ in wanted]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        name = f"{number} - {test.__doc__.strip().splitlines()[0]}"
        place = None
        try:
            place = Place()
            test(place)
            place.check_daemons()
            print("ok", name)
        except Skip as why:
            print("ok", name, "# SKIP", why)
        except Exception:
            failed += 1
            print("not ok", name)
            note(traceback.format_exc())
            if place:
                place.show_logs()
        finally:
            if place:
                place.close()
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


class Place:
    """A directory and all that a test has running in it."""

    def __init__(self):
        # Short: the path of a Unix socket holds 107 octets.
        self.path = tempfile.mkdtemp(prefix="mk")
        self.closers = []
        self.daemons = []

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, data):
        with open(self / name, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return self / name

    def at_close(self, closer):
        self.closers.append(closer)

    def programs(self):
        """The programs under test, where every user may run them."""
        folder = self / "programs"
        if not os.path.isdir(folder):
            os.chmod(self.path, 0o755)
            os.mkdir(folder, 0o755)
            for name in os.listdir(B):
                path = os.path.join(B, name)
                if name.startswith("mailkey") and os.path.isfile(path):
                    shutil.copy(path, folder)
        return folder

    def daemon(self, **options):
        if options.get("user") and not options.get("libexec"):
            options["libexec"] = self.programs()
        d = Daemon(self, **options)
        self.daemons.append(d)
        self.at_close(d.discard)
        return d

    def sink(self, **options):
        s = Sink(**options)
        self.at_close(s.close)
        return s

    def check_daemons(self):
        """A sanitizer's finding in any process fails the test."""
        for d in self.daemons:
            d.stop()
            lines = d.log().splitlines()
            for number, line in enumerate(lines):
                expect(not re.search(r"ERROR: \w+Sanitizer|runtime error:|"
                                     r"Assertion .* failed", line),
                       "in the log:\n" + "\n".join(lines[number:][:40]))

    def show_logs(self):
        for d in self.daemons:
            note(f"the last lines of the daemon's log ({d.name}):")
            note("\n".join(d.log().splitlines()[-40:]))

    def close(self):
        for closer in reversed(self.closers):
            try:
                closer()
            except Exception:
                note(traceback.format_exc())
        shutil.rmtree(self.path, ignore_errors=True)


LIMITS = {
    "replies_per_hour": 100000, "replies_per_day": 100000,
    "domain_per_hour": 100000, "bytes_per_day": "10G",
    "free_space": "16M",
}


def smtp_to(port, retry="1s", connections=2):
    return (f'send {{ type = smtp host = "127.0.0.1" port = {port} '
            f'connections = {connections} retry = {retry} }}')


def maildir_to(path):
    return f'send {{ type = maildir path = "{path}" }}'


class Daemon:
    """mailkeyd with a configuration, a store and sockets of its own."""

    def __init__(self, place, name="d", send=None, limits=None, extra="",
                 port=None, libexec=None, user=None, address=ADDRESS):
        self.place, self.name, self.user = place, name, user
        self.address = address
        self.bin = libexec or B
        self.dir = place / name
        os.mkdir(self.dir, 0o755)
        self.state = os.path.join(self.dir, "state")
        self.lmtp_path = os.path.join(self.dir, "lmtp")
        self.control = os.path.join(self.dir, "control")
        self.conf = os.path.join(self.dir, "mailkeyd.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.process = None
        every = dict(LIMITS)
        every.update(limits or {})
        tcp = (f'receive "net" {{ type = lmtp host = "127.0.0.1" '
               f'port = {port} }}' if port else "")
        send = send or maildir_to(os.path.join(self.dir, "Maildir"))
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(f'address = "{address}"\n'
                    f'state = "{self.state}"\n'
                    f'control = "{self.control}"\n'
                    f'libexec = "{self.bin}"\n'
                    'cache = 16M\n'
                    f'receive "socket" {{ type = lmtp '
                    f'path = "{self.lmtp_path}" mode = 0666 }}\n'
                    f'{tcp}\n{send}\n{extra}\nlimits {{\n')
            for key, value in every.items():
                f.write(f"\t{key} = {value}\n")
            f.write("}\n")
        open(self.log_path, "w").close()

    def program(self, name):
        return os.path.join(self.bin, name)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def start(self, ready=True):
        """Starts it and waits until it answers; returns the seconds."""
        begin = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program("mailkeyd"), "-c", self.conf],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                user=self.user, group=self.user,
                extra_groups=[] if self.user else None, cwd="/")
        if ready:
            wait_until(self.answers, 20, "the daemon to answer")
        return time.monotonic() - begin

    def answers(self):
        status = self.process.poll()
        expect(status is None, "the daemon ended with status", status)
        try:
            Lmtp(self.lmtp_path, timeout=5 * SLOW).close()
            return True
        except OSError:
            return False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def helpers(self):
        """The process ids of all descendants."""
        found = {self.process.pid}
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parents[int(pid)] = int(f.read().rsplit(")", 1)[1]
                                            .split()[1])
            except OSError:
                pass
        while True:
            more = {p for p, up in parents.items() if up in found} - found
            if not more:
                return found - {self.process.pid}
            found |= more

    def stop(self, seconds=30):
        """SIGTERM; returns the exit status."""
        if not self.running():
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon does not end after SIGTERM")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def discard(self):
        if self.running():
            self.kill()

    def lmtp(self, **options):
        return Lmtp(self.lmtp_path, **options)

    def command(self, program, *args, stdin=b"", timeout=120):
        """Runs mailkeyd or mailkeyctl on this configuration."""
        return subprocess.run(
            [self.program(program), "-c", self.conf, *args], input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=timeout * SLOW, user=self.user, group=self.user,
            extra_groups=[] if self.user else None)

    def ctl(self, *args, **options):
        return self.command("mailkeyctl", *args, **options)

    def once(self, message, *args):
        """mailkeyd -1: a mail in, the answer out."""
        return subprocess.run(
            [self.program("mailkeyd"), "-1", "-c", self.conf, *args],
            input=message, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=60 * SLOW)


def processor_seconds(daemon):
    """What the core itself has used of the processor."""
    with open(f"/proc/{daemon.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quick(starts):
    """Starts, each (seconds, seconds of the processor), take under a second;
    on a machine that is busy with other things only the best ones can."""
    wall, own = zip(*starts)
    note(f"{len(wall)} starts took {min(wall):.2f} to {max(wall):.2f} s, the "
         f"middle one {sorted(wall)[len(wall) // 2]:.2f} s; of the processor "
         f"at most {max(own):.2f} s")
    if not SAN:
        expect(min(wall) < 1, "the best start took", min(wall), "s")
        expect(max(own) < 1, "a start took", max(own), "s of the processor")


class Lmtp:
    """An LMTP client (RFC 2033) that hides nothing."""

    def __init__(self, where, timeout=60, hello=True):
        if isinstance(where, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET)
        try:
            self.sock.settimeout(timeout * SLOW)
            self.sock.connect(where)
            self.file = self.sock.makefile("rb")
            self.greeting = self.reply()
            equal(self.greeting[0], 220, "greeting")
            self.features = self.command("LHLO test.example.net")[1] \
                if hello else ""
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def raw(self, data):
        self.sock.sendall(data)

    def reply(self):
        """One answer: its code and its lines; ConnectionError at the end."""
        lines = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError(f"connection closed after {line!r}")
            text = line.decode("ascii", "replace").rstrip()
            lines.append(text[4:])
            if text[3:4] != "-":
                return int(text[:3]), "\n".join(lines)

    def command(self, line):
        self.raw(line.encode() + b"\r\n")
        return self.reply()

    def send(self, message, sender=ALICE, to=(ADDRESS,)):
        """A whole transaction; the answer for each recipient."""
        code, text = self.command(f"MAIL FROM:<{sender}>")
        if code != 250:
            return [(code, text)]
        answers = [self.command(f"RCPT TO:<{r}>") for r in to]
        taken = [a for a in answers if a[0] == 250]
        if not taken:
            return answers
        code, text = self.command("DATA")
        if code != 354:
            return [(code, text)]
        self.raw(stuffed(message))
        return [self.reply() for _ in taken]

    def close(self):
        self.file.close()
        self.sock.close()


def crlf(message):
    return re.sub(rb"\r?\n", b"\r\n", message)


def stuffed(message):
    message = re.sub(rb"^\.", b"..", crlf(message), flags=re.M)
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    return message + b".\r\n"


_numbers = itertools.count(1)


def new_id():
    return f"<{os.getpid()}.{next(_numbers)}.{time.time_ns()}@example.net>"


def mail(subject, body=b"", sender=ALICE, message_id=None, headers=()):
    """A request as a person's mail program writes it."""
    lines = [f"From: Alice <{sender}>", f"To: {ADDRESS}",
             f"Subject: {subject}", f"Message-ID: {message_id or new_id()}",
             "Date: Sun, 01 Mar 2026 12:00:00 +0000", *headers]
    return "\n".join(lines).encode() + b"\n\n" + body


class Delivery:
    """A message that the sink took."""

    def __init__(self, sender, recipients, raw):
        self.sender, self.recipients, self.raw = sender, recipients, raw
        self.message = email.message_from_bytes(
            raw, policy=email.policy.default)
        self.message_id = self.message["Message-ID"]
        self.in_reply_to = self.message["In-Reply-To"]
        self.subject = self.message["Subject"]

    def text(self):
        part = self.message.get_body(("plain",))
        return part.get_content() if part else ""

    def keys(self):
        """The application/pgp-keys part, armored; b"" when there is none."""
        for part in self.message.walk():
            if part.get_content_type() == "application/pgp-keys":
                return part.get_payload(decode=True)
        return b""


class Sink:
    """An SMTP server that keeps what it gets.

    verdict(recipient, raw) may return a line to answer instead of 250; None
    takes the message.  vanish(recipient, raw) true: the message is taken,
    but the connection ends before the answer.
    """

    def __init__(self, verdict=None, port=0):
        self.verdict = verdict or (lambda recipient, raw: None)
        self.got = []
        self.attempts = 0
        self.connections = 0
        self.changed = threading.Condition()
        self.open = set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.stopped = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while not self.stopped:
            try:
                if not select.select([self.listener], [], [], 0.2)[0]:
                    continue
                conn, _ = self.listener.accept()
            except (OSError, ValueError):
                return
            with self.changed:
                self.connections += 1
                self.open.add(conn)
            threading.Thread(target=self._session, args=(conn,),
                             daemon=True).start()

    def _session(self, conn):
        try:
            with conn, conn.makefile("rb") as lines:
                self._talk(conn, lines)
        except OSError:
            pass
        finally:
            with self.changed:
                self.open.discard(conn)

    def _talk(self, conn, lines):
        conn.sendall(b"220 sink.example.net ESMTP\r\n")
        sender, recipients = None, []
        for line in lines:
            verb = line[:4].upper()
            answer = b"250 ok"
            if verb == b"EHLO":
                answer = b"250-sink.example.net\r\n250 8BITMIME"
            elif verb == b"MAIL":
                sender = _path(line)
            elif verb == b"RCPT":
                recipients.append(_path(line))
            elif verb == b"RSET":
                sender, recipients = None, []
            elif verb == b"DATA":
                conn.sendall(b"354 go on\r\n")
                answer = self._data(lines, sender, recipients)
                sender, recipients = None, []
            elif verb == b"QUIT":
                conn.sendall(b"221 bye\r\n")
                return
            conn.sendall(answer + b"\r\n")

    def _data(self, lines, sender, recipients):
        raw = []
        for line in lines:
            if line == b".\r\n":
                break
            raw.append(line[1:] if line.startswith(b".") else line)
        else:
            raise ConnectionError("the message does not end")
        raw = b"".join(raw)
        with self.changed:
            self.attempts += 1
            said = self.verdict(recipients[0] if recipients else "", raw)
            if not said:
                self.got.append(Delivery(sender, recipients, raw))
            self.changed.notify_all()
        return said.encode() if said else b"250 taken"

    def wait(self, condition, seconds, what):
        """Until condition(list of deliveries) is true; its value."""
        end = time.monotonic() + seconds * SLOW
        with self.changed:
            while True:
                value = condition(self.got)
                if value:
                    return value
                left = end - time.monotonic()
                expect(left > 0, f"waited {seconds * SLOW} s for", what)
                self.changed.wait(left)

    def answer_to(self, message_id, seconds=30):
        return self.wait(
            lambda got: next((d for d in reversed(got)
                              if d.in_reply_to == message_id), None),
            seconds, f"the answer to {message_id}")

    def close(self):
        self.stopped = True
        self.listener.close()
        with self.changed:
            for conn in self.open:
                try:
                    conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.thread.join()


def _path(line):
    found = re.search(rb"<([^>]*)>", line)
    return found.group(1).decode("utf-8", "replace") if found else None


def ask(daemon, sink, subject, body=b"", sender=ALICE, headers=()):
    """Mails a request over LMTP and returns the answer from the sink."""
    message_id = new_id()
    with daemon.lmtp() as lmtp:
        answers = lmtp.send(
            mail(subject, body, sender, message_id, headers), sender)
    equal([a[0] for a in answers], [250], "LMTP status")
    return sink.answer_to(message_id)


# ---- OpenPGP ---------------------------------------------------------------

def key(name):
    """A file of tests/keys."""
    with open(os.path.join(ROOT, "tests/keys", name), "rb") as f:
        return f.read()


def gpg(place, *args, stdin=b"", fails=False):
    """gpg in a home directory of the test, without an agent."""
    home = place / "gpg"
    if not os.path.isdir(home):
        os.mkdir(home, 0o700)
    done = subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--no-options",
         "--no-autostart", "--no-auto-check-trustdb", "-q", *args],
        input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=240)
    expect(fails or done.returncode in (0, 2), "gpg", *args, "ended with",
           done.returncode, done.stderr.decode("utf-8", "replace")[-2000:])
    return done.stdout


def packets(data):
    """(tag, start, end) of each packet of binary data (RFC 9580, 4.2)."""
    pos = 0
    while pos < len(data):
        start, first = pos, data[pos]
        expect(first & 0x80, f"no packet at {pos}")
        if first & 0x40:
            tag, octet = first & 0x3f, data[pos + 1]
            if octet < 192:
                length, pos = octet, pos + 2
            elif octet < 224:
                length = ((octet - 192) << 8) + data[pos + 2] + 192
                pos += 3
            else:
                expect(octet == 255, "a partial length")
                length = int.from_bytes(data[pos + 2:pos + 6], "big")
                pos += 6
        else:
            tag, kind = (first >> 2) & 0xf, first & 3
            expect(kind < 3, "an indeterminate length")
            size = 1 << kind
            length = int.from_bytes(data[pos + 1:pos + 1 + size], "big")
            pos += 1 + size
        pos += length
        expect(pos <= len(data), "a packet is cut off")
        yield tag, start, pos


def certificates(data):
    """A binary keyring as a list of certificates."""
    starts = [start for tag, start, _ in packets(data) if tag == 6]
    return [data[a:b] for a, b in zip(starts, starts[1:] + [len(data)])]


def armor(data):
    """One PUBLIC KEY BLOCK, without the checksum that nobody needs."""
    import base64
    text = base64.b64encode(data).decode()
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PGP PUBLIC KEY BLOCK-----", "", *lines,
                      "-----END PGP PUBLIC KEY BLOCK-----", ""]).encode()


class Shown:
    """What gpg shows of one certificate."""

    def __init__(self):
        self.fpr = None
        self.primary = None    # (algorithm, bits, key ID, created, ...)
        self.userids = set()   # (text, revoked)
        self.subkeys = set()   # (fingerprint, ...)
        self.attributes = 0


def show_keys(place, data):
    """gpg --show-keys: fingerprint -> Shown."""
    shown, current, sub = {}, None, None
    out = gpg(place, "--show-keys", "--with-colons", "--fixed-list-mode",
              "--with-fingerprint", "--with-fingerprint", stdin=data)
    for line in out.decode("latin-1").split("\n"):
        f = line.split(":")
        if f[0] == "pub":
            current, sub = Shown(), None
            # validity (e, r, or -), bits, algorithm, key ID, created,
            # expires, capabilities
            current.primary = tuple(f[i] for i in (1, 2, 3, 4, 5, 6, 11))
        elif f[0] == "sub":
            sub = tuple(f[i] for i in (1, 2, 3, 4, 5, 6, 11))
        elif f[0] == "fpr" and sub is None:
            current.fpr = f[9]
            shown[f[9]] = current
        elif f[0] == "fpr":
            current.subkeys.add((f[9],) + sub)
        elif f[0] == "uid":
            current.userids.add((f[9], f[1] == "r"))
        elif f[0] == "uat":
            current.attributes += 1
    return shown


def fingerprints(place, data):
    return sorted(show_keys(place, data))
