#!/usr/bin/env -S python3 -B
# Mailboxes on other servers, by IMAP and POP3: Dovecot for what works, servers
# of our own for what must not.  Every mail is answered once and deleted after
# its commit; no password goes to a server that could not prove its name.

import atexit
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from lib import (ADDRESS, ALICE, ROOT, SAN, SLOW, Skip, ask, equal, expect,
                 fingerprints, key, mail, new_id, note, run, smtp_to,
                 wait_until)

PACKAGES = [os.path.join(ROOT, "build/mta", name)
            for name in ("dovecot-core", "dovecot-imapd", "dovecot-pop3d")]
PASSWORD = 'a "word" \\ and more'
NOBODY = 65534
KILLS = 3
_numbers = itertools.count(1)


# ---- certificates -----------------------------------------------------------

def openssl(*args):
    done = subprocess.run(["openssl", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    equal(done.returncode, 0, done.stdout.decode("utf-8", "replace"))


class Certificates:
    """Two CAs; for each name a file with certificate and key."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mkca")
        os.chmod(self.dir, 0o755)
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
        self.ca = self.authority("ca")
        self.other_ca = self.authority("other")
        self.good = self.server("good", "localhost")
        self.wrong_name = self.server("name", "imap.example.net")
        self.wrong_ca = self.server("stranger", "localhost", ca="other")
        self.expired = self.server("expired", "localhost", days="-1")

    def path(self, name):
        return os.path.join(self.dir, name)

    def new_key(self, name):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                "-out", self.path(name + ".key"))

    def authority(self, name):
        self.new_key(name)
        openssl("req", "-new", "-x509", "-key", self.path(name + ".key"),
                "-subj", f"/CN=test {name}", "-days", "2",
                "-out", self.path(name + ".pem"))
        return self.path(name + ".pem")

    def server(self, name, host, ca="ca", days="2"):
        self.new_key(name)
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName=DNS:{host}\n")
        openssl("req", "-new", "-key", self.path(name + ".key"),
                "-subj", "/O=test", "-out", self.path(name + ".csr"))
        openssl("x509", "-req", "-in", self.path(name + ".csr"),
                "-CA", self.path(ca + ".pem"),
                "-CAkey", self.path(ca + ".key"), "-CAcreateserial",
                "-extfile", self.path(name + ".ext"), "-days", days,
                "-out", self.path(name + ".pem"))
        with open(self.path(name + ".pem"), "a", encoding="ascii") as out, \
                open(self.path(name + ".key"), encoding="ascii") as f:
            out.write(f.read())
        return self.path(name + ".pem")


CERTIFICATES = None


def certificates():
    global CERTIFICATES
    if CERTIFICATES is None:
        CERTIFICATES = Certificates()
    return CERTIFICATES


# ---- Dovecot ----------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Dovecot:
    """A Dovecot of our own on loopback, in namespaces of its own, where an
    overlay shows it in /usr; the Maildir lies in the test's directory."""

    def __init__(self, place, extra=""):
        if os.geteuid() != 0:
            raise Skip("a Dovecot of its own needs root")
        for folder in PACKAGES:
            if not os.path.isdir(folder):
                raise Skip("no Dovecot in build/mta (contrib/deps)")
        self.place, self.process = place, None
        self.dir = place / "dovecot"
        self.scratch = place / "scratch"
        os.makedirs(self.dir)
        os.makedirs(self.scratch)
        os.chmod(place.path, 0o755)
        self.imap, self.imaps = free_port(), free_port()
        self.pop3, self.pop3s = free_port(), free_port()
        self.conf = place.write("dovecot/dovecot.conf", self.config(extra))
        place.at_close(self.stop)
        for part in ("", "/tmp", "/cur", "/new"):
            os.mkdir(f"{self.dir}/keys{part}")
            os.chown(f"{self.dir}/keys{part}", NOBODY, NOBODY)
        self.start()

    def config(self, extra):
        c = certificates()
        return f"""
base_dir = {self.dir}/run
state_dir = {self.dir}/run
log_path = {self.dir}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{c.good}
ssl_key = <{c.good}
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
first_valid_uid = 1
mail_location = maildir:{self.dir}/%u
mailbox_list_index = no
shutdown_clients = yes
auth_failure_delay = 0 secs
stats_writer_socket_path =
passdb {{
  driver = passwd-file
  args = scheme=plain {self.place.write("users", f"keys:{PASSWORD}" + chr(10))}
}}
userdb {{
  driver = static
  args = uid={NOBODY} gid={NOBODY} home={self.dir}/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = {self.imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
  }}
}}
{extra}
"""

    def start(self):
        shutil.rmtree(os.path.join(self.dir, "run"), ignore_errors=True)
        scratch = tempfile.mkdtemp(dir=self.scratch)
        lower = ":".join([p + "/usr" for p in PACKAGES] + ["/usr"])
        script = (
            'set -e; mount --make-rprivate /; mount -t tmpfs t "$1"; '
            'mkdir "$1/up" "$1/work"; mount -t overlay o -o '
            '"lowerdir=$2,upperdir=$1/up,workdir=$1/work" /usr; '
            'exec /usr/sbin/dovecot -F -c "$3"')
        with open(os.path.join(self.dir, "out"), "ab") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc",
                 "sh", "-c", script, "sh", scratch, lower,
                 self.conf], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd="/")
        wait_until(self.answers, 20, "Dovecot to answer")

    def answers(self):
        if self.process.poll() is not None:
            text = ""
            for name in ("out", "log"):
                path = os.path.join(self.dir, name)
                if os.path.exists(path):
                    with open(path, encoding="utf-8") as f:
                        text += f.read()
            if "mount" in text:
                raise Skip("no mount namespaces with overlays here")
            expect(False, "Dovecot ended:", text)
        try:
            for port in (self.imap, self.pop3):
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    if not s.recv(10):
                        return False
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.kill()  # and with it all in its namespace
        self.process.wait()

    def deliver(self, message, sender=ALICE):
        """As its LMTP does: Return-Path on top, a file in the Maildir."""
        folder = os.path.join(self.dir, "keys")
        name = f"{int(time.time())}.M{next(_numbers)}.test"
        path = os.path.join(folder, "tmp", name)
        with open(path, "wb") as f:
            f.write(f"Return-Path: <{sender}>\nDelivered-To: {ADDRESS}\n"
                    .encode() + message)
        os.chown(path, NOBODY, NOBODY)
        os.rename(path, os.path.join(folder, "new", name))

    def names(self):
        folder = os.path.join(self.dir, "keys")
        return [n for part in ("new", "cur")
                for n in os.listdir(os.path.join(folder, part))]

    def is_empty(self, seconds=20):
        wait_until(lambda: not self.names(), seconds, "an empty mailbox")


# ---- the daemon -------------------------------------------------------------

def password_file(place, word=PASSWORD, mode=0o600, name="password"):
    path = place.write(name, word + "\n")
    os.chmod(path, mode)
    return path


def receive(place, kind, port, tls="implicit", poll="1h", title="box",
            timeout="20s", password="password"):
    """A section; the server is always `localhost`."""
    ca = "" if tls == "none" else f'ca_file = "{certificates().ca}" '
    return (f'receive "{title}" {{ type = {kind} host = "localhost" '
            f'port = {port} tls = {tls} user = "keys" password_file = '
            f'"{place / password}" poll = {poll} timeout = {timeout} {ca}}}\n')


def start(place, *sections, **options):
    sink = place.sink()
    if not os.path.exists(place / "password"):
        password_file(place)
    daemon = place.daemon(send=smtp_to(sink.port), extra="".join(sections),
                          **options)
    daemon.start()
    return daemon, sink


def edit(daemon, *changes):
    """Changes its configuration."""
    with open(daemon.conf, encoding="utf-8") as f:
        text = f.read()
    for old, new in changes:
        expect(old in text, old, "does not stand in the configuration")
        text = text.replace(old, new)
    with open(daemon.conf, "w", encoding="utf-8") as f:
        f.write(text)


def logged(daemon, *words, seconds=30, count=1):
    def found():
        return sum(all(w in line for w in words)
                   for line in daemon.log().splitlines()) >= count
    wait_until(found, seconds, f"a line in the log with {words}")


def helpers(daemon, name):
    """The process IDs of a helper, its children included."""
    found = []
    for pid in daemon.helpers():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[0].endswith(b"/" + name.encode()):
                    found.append(pid)
        except OSError:
            pass
    return found


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def fetchers(daemon):
    """The half of each that talks to its server: a child of the other."""
    found = helpers(daemon, "mailkeyd-fetcher")
    return [pid for pid in found if parent(pid) in found]


def figures(daemon):
    return dict(line.split("\t") for line in daemon.ctl(
        "stats", "--tsv").stdout.decode().splitlines())


def answered_once(sink, ids):
    copies = {}
    for message_id in ids:
        sink.answer_to(message_id, 60)
    for d in list(sink.got):
        copies.setdefault(d.in_reply_to, set()).add(d.message_id)
    for message_id in ids:
        equal(len(copies[message_id]), 1, f"answers to {message_id}")


def exchange(place, dovecot, sink, seconds):
    """An ADD and a GET; how long the second took."""
    alice = key("alice.asc")
    first, second = new_id(), new_id()
    dovecot.deliver(mail("ADD", alice, message_id=first))
    expect("1" in sink.answer_to(first).text(), "the answer to ADD")
    dovecot.is_empty()
    begin = time.monotonic()
    bob = "bob@example.net"
    fpr = fingerprints(place, alice)[0]
    dovecot.deliver(mail("GET 0x" + fpr, message_id=second), sender=bob)
    got = sink.answer_to(second, seconds)
    took = time.monotonic() - begin
    equal(got.recipients, [bob], "recipients")
    equal(fingerprints(place, got.keys()), [fpr], "certificates")
    dovecot.is_empty()
    return took


# ---- what works -------------------------------------------------------------

def imap(place):
    """IMAP over TLS: mails go after their commit, IDLE tells of new ones"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "imap", dovecot.imaps))
    logged(daemon, "mailbox: event=open", "name=box")
    note(f"a GET took {exchange(place, dovecot, sink, 20):.2f} s")
    stats = daemon.ctl("stats").stdout.decode()
    expect("mailbox box           open since" in stats, stats)
    table = figures(daemon)
    equal([table[n] for n in ("mailboxes", "mailboxes_open", "mailbox_mails",
                              "fetcher_deaths")], ["1", "1", "2", "0"],
          "figures")
    # The same mail a second time is only acknowledged; a null sender gets
    # no answer; both are deleted.
    twice = new_id()
    for _ in range(2):
        dovecot.deliver(mail("HELP", message_id=twice))
        dovecot.is_empty()
    dovecot.deliver(mail("HELP"), sender="")
    dovecot.is_empty()
    answered_once(sink, [twice])
    equal(daemon.log().count("event=open"), 1, "lines of its state")


def starttls(place):
    """STARTTLS, a server without IDLE and UIDPLUS, and a crowd of mails"""
    dovecot = Dovecot(place, "imap_capability = IMAP4rev1\n")
    ids = [new_id() for _ in range(120)]
    for n, message_id in enumerate(ids):
        dovecot.deliver(mail("HELP", message_id=message_id),
                        sender=f"u{n}@example.net")
    daemon, sink = start(place, receive(place, "imap", dovecot.imap,
                                        tls="starttls", poll="1s"))
    dovecot.is_empty(60)
    exchange(place, dovecot, sink, 30)
    answered_once(sink, ids)


def pop3(place):
    """POP3 over TLS and by STLS"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "pop3", dovecot.pop3s,
                                        poll="1s"))
    logged(daemon, "mailbox: event=open", "name=box")
    ids = [new_id() for _ in range(40)]
    for n, message_id in enumerate(ids):
        dovecot.deliver(mail("HELP", message_id=message_id),
                        sender=f"u{n}@example.net")
    exchange(place, dovecot, sink, 30)
    answered_once(sink, ids)
    daemon.stop()
    edit(daemon, ("tls = implicit", "tls = starttls"),
         (f"port = {dovecot.pop3s}", f"port = {dovecot.pop3}"))
    daemon.start()
    message_id = new_id()
    dovecot.deliver(mail("INDEX alice", message_id=message_id))
    sink.answer_to(message_id)
    dovecot.is_empty()
    equal(daemon.log().count("event=closed"), 0, "lines of trouble")


def killed(place):
    """SIGKILL before and after commits: nothing lost, nothing twice"""
    dovecot = Dovecot(place)
    daemon, sink = start(place, receive(place, "imap", dovecot.imaps),
                         receive(place, "pop3", dovecot.pop3s, poll="1s",
                                 title="pop"))
    ids = [new_id()]
    logged(daemon, "event=open", "name=box")
    # It is fetched, but cannot be worked on: so nothing is committed.
    stopped = helpers(daemon, "mailkeyd-parser")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    dovecot.deliver(mail("HELP", message_id=ids[0]))
    wait_until(lambda: figures(daemon)["in_hand"] != "0", 20,
               "the mail to be fetched")
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    daemon.kill()
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    daemon.start()
    sink.answer_to(ids[0])
    for i in range(KILLS):
        for _ in range(30):
            ids.append(new_id())
            dovecot.deliver(mail("HELP", message_id=ids[-1]),
                            sender=f"u{len(ids)}@example.net")
        time.sleep(0.1 * i)
        daemon.kill()
        daemon.start()
    dovecot.is_empty(60)
    answered_once(sink, ids)
    note(f"{len(ids)} mails, {len(sink.got)} answers, {KILLS + 1} kills")


def away(place):
    """the server goes and comes back; a fetcher dies; a wrong password"""
    dovecot = Dovecot(place)
    password_file(place, "wrong", name="other")
    daemon, sink = start(
        place, receive(place, "imap", dovecot.imaps),
        receive(place, "pop3", dovecot.pop3s, title="two", password="other",
                poll="1s"))
    logged(daemon, "event=closed", "name=two", 'why="PASS: ')
    password_file(place, name="other")
    logged(daemon, "event=open", "name=box")
    logged(daemon, "event=open", "name=two")
    dovecot.stop()
    for name in ("box", "two"):
        logged(daemon, "event=closed", f"name={name}")
    message_id = new_id()
    dovecot.deliver(mail("HELP", message_id=message_id))
    ask(daemon, sink, "HELP", sender="lmtp@example.net")
    dovecot.start()
    sink.answer_to(message_id, 60)
    dovecot.is_empty()
    for pid in fetchers(daemon):
        os.kill(pid, signal.SIGKILL)
    logged(daemon, "helper=mailkeyd-fetcher", "event=died", count=2)
    message_id = new_id()
    dovecot.deliver(mail("HELP", message_id=message_id), sender="x@y.example")
    sink.answer_to(message_id, 60)
    dovecot.is_empty()


def later(place):
    """what cannot be taken now stays; what is too large is told so"""
    dovecot = Dovecot(place)
    daemon, sink = start(
        place, receive(place, "imap", dovecot.imaps, poll="2s"),
        limits={"message_size": "256K"})
    logged(daemon, "event=open")
    equal(daemon.ctl("pause").returncode, 0, "pause")
    message_id, large, pop, raised = (new_id() for _ in range(4))
    dovecot.deliver(mail("HELP", message_id=message_id))
    time.sleep(1)
    equal(len(dovecot.names()), 1, "mails in the mailbox")
    equal(daemon.ctl("resume").returncode, 0, "resume")
    sink.answer_to(message_id, 60)
    body = b"".join(b"x" * 70 + b"\n" for _ in range(30000))
    dovecot.deliver(mail("ADD", body, message_id=large))
    got = sink.answer_to(large).text()
    expect("256 KB" in got or "262144" in got or "large" in got, got)
    dovecot.is_empty()
    daemon.stop()
    edit(daemon, ("type = imap", "type = pop3"),
         (f"port = {dovecot.imaps}", f"port = {dovecot.pop3s}"))
    daemon.start()
    dovecot.deliver(mail("ADD", body, message_id=pop))
    equal(sink.answer_to(pop).text(), got, "the answer")
    dovecot.is_empty()
    # With another limit it is no longer too large.
    edit(daemon, ("message_size = 256K", "message_size = 5M"))
    equal(daemon.ctl("reload").returncode, 0, "reload")
    dovecot.deliver(mail("ADD", body, message_id=raised))
    expect(sink.answer_to(raised).text() != got, "the limit is not raised")
    dovecot.is_empty()


# ---- what must not work -----------------------------------------------------

class Fake:
    """A server that does as `talk(connection, fake)` says, once for each
    connection, and records what it hears."""

    def __init__(self, place, talk, certificate=None):
        self.talk, self.heard, self.connections = talk, b"", 0
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
            self.context.sni_callback = self.sni
        self.names = []
        self.stopped = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.2)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        place.at_close(self.stop)

    def sni(self, _sock, name, _context):
        self.names.append(name)

    def stop(self):
        self.stopped.set()
        self.listener.close()

    def accept(self):
        while not self.stopped.is_set():
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.session, args=(connection,),
                             daemon=True).start()

    def session(self, connection):
        connection.settimeout(60)
        try:
            with connection:
                if self.context:
                    connection = self.context.wrap_socket(
                        connection, server_side=True)
                self.talk(connection, self)
        except OSError:
            pass

    def hear(self, connection):
        got = connection.recv(65536)
        if not got:
            raise ConnectionError
        self.heard += got
        return got

    def listen(self, connection):
        """Records until the far side hangs up."""
        while True:
            self.hear(connection)


def certificate(place):
    """a wrong name, a wrong CA, an expired one: no word is said"""
    c = certificates()

    def talk(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        fake.listen(connection)

    cases = [("wrong_name", c.wrong_name, "name in the certificate does not"),
             ("wrong_ca", c.wrong_ca, "issuer is unknown"),
             ("expired", c.expired, "expired")]
    fakes = [Fake(place, talk, path) for _, path, _ in cases]
    good = Fake(place, talk, c.good)
    sections = [receive(place, "imap", fake.port, title=case[0])
                for fake, case in zip(fakes, cases)]
    daemon, sink = start(place, *sections, receive(
        place, "imap", good.port, title="good"))
    for fake, (title, _, why) in zip(fakes, cases):
        logged(daemon, "event=closed", f"name={title}", 'why="TLS: ', why)
        equal(fake.heard, b"", f"what the server with {title} heard")
    # The same server with a good one is spoken to, by its name.
    wait_until(lambda: good.heard, 20, "a word to the good one")
    equal(good.names[0], "localhost", "SNI")
    ask(daemon, sink, "HELP")


def injected(place):
    """STARTTLS refused, answered twice, or skipped: no password is sent"""
    # Whoever goes on without TLS is told yes to everything.
    def imap_says(greeting, answer):
        def talk(connection, fake):
            connection.sendall(greeting)
            tag = fake.hear(connection).split()[0]
            connection.sendall(answer.replace(b"TAG", tag))
            while True:
                tag = fake.hear(connection).split()[:1] or [b"x"]
                connection.sendall(tag[0] + b" OK done\r\n")
        return talk

    def pop3_says(answer):
        def talk(connection, fake):
            connection.sendall(b"+OK ready\r\n")
            fake.hear(connection)
            connection.sendall(answer)
            while True:
                fake.hear(connection)
                connection.sendall(b"+OK\r\n")
        return talk

    hello = b"* OK ready\r\n"
    cases = {
        "refused": ("imap", imap_says(hello, b"TAG NO not today\r\n")),
        "unknown": ("imap", imap_says(hello, b"TAG BAD what?\r\n")),
        "twice": ("imap", imap_says(
            hello, b"TAG OK go on\r\n* CAPABILITY IMAP4rev1\r\n"
            b"1 OK done\r\n2 OK done\r\n3 OK done\r\n")),
        "skipped": ("imap", imap_says(b"* PREAUTH you are in\r\n", b"")),
        "garbage": ("imap", imap_says(hello, b"TAG OK go on\r\n")),
        "popno": ("pop3", pop3_says(b"-ERR no\r\n")),
        "poptwice": ("pop3", pop3_says(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n")),
    }
    fakes = {title: Fake(place, talk) for title, (_, talk) in cases.items()}
    daemon, _ = start(place, *[
        receive(place, kind, fakes[title].port, tls="starttls", title=title,
                timeout="2s") for title, (kind, _) in cases.items()])
    for title in cases:
        logged(daemon, "event=closed", f"name={title}")
        heard = fakes[title].heard
        for word in (b"LOGIN", b"USER", b"PASS", b"AUTH", b"word"):
            expect(word not in heard, title, "heard", heard)
    expect(b"STARTTLS" in fakes["twice"].heard, fakes["twice"].heard)


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(next(s for s in f if s.startswith("VmHWM:")).split()[1])


def endless(place):
    """servers that never end: each costs its own mailbox, for a while"""
    def flood(connection, fake):
        while not fake.stopped.is_set():
            connection.sendall(b"* OK " + b"x" * 65536)

    def lines(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        while not fake.stopped.is_set():
            connection.sendall(b"* OK more\r\n" * 1000)

    def drip(connection, fake):
        for octet in itertools.cycle(b"* OK ready"):
            if fake.stopped.wait(0.5):
                return
            connection.sendall(bytes([octet]))

    def silent(connection, fake):
        fake.stopped.wait(60)

    def literal(connection, fake):
        connection.sendall(b"* OK ready\r\n")
        tag = fake.hear(connection).split()[0]
        connection.sendall(b"* CAPABILITY {4294967295}\r\n" + tag)
        while not fake.stopped.is_set():
            connection.sendall(b"x" * 65536)

    def pop_flood(connection, fake):
        while not fake.stopped.is_set():
            connection.sendall(b"+OK" + b"y" * 65536)

    def nothing(connection, fake):
        """CAPABILITY without any, twice; then it logs in and lies."""
        connection.sendall(b"* OK ready\r\n")
        while True:
            tag, verb = fake.hear(connection).split()[:2]
            if verb == b"SELECT":
                connection.sendall(b"* 4294967295 EXISTS\r\n" + tag +
                                   b" OK [READ-WRITE] done\r\n")
            elif verb == b"FETCH":
                while not fake.stopped.is_set():
                    connection.sendall(b"* 1 FETCH (UID 1 RFC822.SIZE 7 "
                                       b"FLAGS ())\r\n" * 1000)
            else:
                connection.sendall(tag + b" OK done\r\n")

    cases = {"flood": ("imap", flood, "too long"),
             "lines": ("imap", lines, "too long"),
             "drip": ("imap", drip, "timed out"),
             "silent": ("imap", silent, "timed out"),
             "literal": ("imap", literal, ""),
             "popflood": ("pop3", pop_flood, "too long"),
             "popdrip": ("pop3", drip, "timed out"),
             "lying": ("imap", nothing, "too long")}
    fakes = {title: Fake(place, case[1]) for title, case in cases.items()}
    begin = time.monotonic()
    daemon, sink = start(place, *[
        receive(place, case[0], fakes[title].port, tls="none", title=title,
                timeout="3s") for title, case in cases.items()])
    for n in range(3):
        ask(daemon, sink, "HELP", sender=f"u{n}@example.net")
    for title, (_, _, why) in cases.items():
        logged(daemon, "event=closed", f"name={title}", why)
    note(f"all ended after {time.monotonic() - begin:.1f} s")
    most = max(memory(pid) for pid in daemon.helpers())
    note(f"the largest helper took {most} KB")
    if not SAN:
        expect(most < 128 * 1024, "a helper took", most, "KB")
    ask(daemon, sink, "HELP", sender="last@example.net")
    # They are tried again, with a growing pause, and said once.
    wait_until(lambda: fakes["flood"].connections >= 3, 60, "another try")
    equal(daemon.log().count("event=closed name=flood"), 1, "lines")
    stats = daemon.ctl("stats").stdout.decode()
    expect("mailbox drip          closed since" in stats, stats)


def password(place):
    """a password that others may read is an error at the start"""
    sink = place.sink()
    path = password_file(place, mode=0o640)
    daemon = place.daemon(send=smtp_to(sink.port), extra="\n" + receive(
        place, "imap", 1))
    for args in ([], ["-t"]):
        done = daemon.command("mailkeyd", *args)
        equal(done.returncode, 78, "exit status")
        said = done.stderr.decode()
        expect(f"password_file {path}: others than its owner may read or "
               "write it (mode 0640); run chmod 0600 on it" in said, said)
        expect(f"{daemon.conf}:" in said, said)


if __name__ == "__main__":
    run(imap, starttls, pop3, killed, away, later, certificate, injected,
        endless, password)
