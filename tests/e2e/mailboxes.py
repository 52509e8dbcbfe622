# What the tests of mailboxes on other servers share: certificates, sections of
# the configuration, and servers of our own.

import atexit
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from lib import equal, expect, smtp_to, wait_until

PASSWORD = 'a "word" \\ and more'


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


# ---- servers of our own ------------------------------------------------------

def ssl_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class Fake:
    """A server that does as `talk(connection, fake)` says, once for each
    connection, and records what it hears."""

    def __init__(self, place, talk, certificate=None):
        self.talk, self.heard, self.connections = talk, b"", 0
        self.context = None
        if certificate:
            self.context = ssl_context(certificate)
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
