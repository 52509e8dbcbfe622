# What is measured: mailkeyd as it is installed, and the key servers beside it,
# each with a store of its own below a scratch directory.
#
# The peers are Debian's packages, unpacked by contrib/deps.  What a peer has no
# way to do raises Unable with the reason.

import glob
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
B = os.path.join(ROOT, os.environ.get("B") or "build")
SAN = bool(os.environ.get("SAN"))
TOOLS = os.path.join(B, "bench")
MTA = os.path.join(ROOT, "build/mta")
PATIENCE = 7200                 # seconds for anything
LOADING = 1800                  # for a peer to be loaded
ASKING = 60                     # for a peer to answer a question

# The default configuration, but for the budgets.
CONF = """\
address = "keys@example.org"
state = "{dir}/state"
control = "{dir}/control"
libexec = "{libexec}"
receive "local" {{ type = lmtp path = "{dir}/lmtp" }}
send {{ type = smtp host = "127.0.0.1" port = {port} }}
{extra}
limits {{
	replies_per_hour = 1000000
	replies_per_day = 1000000
	bytes_per_day = 100G
	domain_per_hour = 1000000
	{limits}
}}
"""
ONAK_INI = """\
[main]
backend=defaultdb4
backends_dir={lib}/backends
logfile={dir}/log
loglevel=3
use_keyd=false
max_reply_keys=128
[verification]
check_sighash=true
drop_v3=true
[mail]
maintainer_email=Keys <keys@example.org>
mail_dir={dir}/spool
mta={tools}/handover {port}
bin_dir={bin}
this_site=keys@example.org
[backend:defaultdb4]
type=db4
location={dir}/db
"""
SKSCONF = """\
hostname: sks.example
recon_address: 127.0.0.1
hkp_address: 127.0.0.1
hkp_port: {port}
recon_port: {recon}
pagesize: 16
ptree_pagesize: 16
disable_mailsync:
"""


class Unable(Exception):
    """What a server cannot do, and why."""


class Failed(Exception):
    """Something that must not happen."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def disk(path):
    """Octets of all files below."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def forget(path):
    """Has the kernel drop what it keeps in memory of all files below."""
    for folder, _, files in os.walk(path):
        for name in files:
            file = os.path.join(folder, name)
            if not os.path.isfile(file):        # a socket
                continue
            fd = os.open(file, os.O_RDONLY)
            try:
                os.fdatasync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def family(pid):
    """A process and all that come from it."""
    found, rest = set(), {pid}
    while rest:
        found |= rest
        below = set()
        for one in rest:
            for path in glob.glob(f"/proc/{one}/task/*/children"):
                try:
                    with open(path, encoding="ascii") as f:
                        below |= set(map(int, f.read().split()))
                except OSError:
                    pass
        rest = below - found
    return found


def memory(pids):
    """Octets in memory, what is shared counted once."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += int(re.search(r"(?m)^Pss: +(\d+)",
                                       f.read()).group(1)) * 1024
        except (OSError, AttributeError):
            pass
    return total


class Ran:
    """A program that ran to its end."""

    def __init__(self, argv, stdin=None, env=None, cwd=None, good=(0,),
                 stdout=subprocess.PIPE, patience=PATIENCE):
        self.peak = 0
        begin = time.monotonic()
        with open(stdin or os.devnull, "rb") as data:
            process = subprocess.Popen(
                argv, stdin=data, stdout=stdout, stderr=subprocess.PIPE,
                env=env, cwd=cwd)
        watcher = threading.Thread(target=self.watch, args=(process,))
        watcher.start()
        try:
            out, error = process.communicate(timeout=patience)
            self.seconds = time.monotonic() - begin
        except subprocess.TimeoutExpired:
            raise Failed(f"took more than {patience} seconds") from None
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            watcher.join()
        self.out, self.error = out or b"", error
        if process.returncode not in good:
            raise Failed(f"{' '.join(argv)}: status {process.returncode}: "
                         + self.error.decode("utf-8", "replace")[-1000:])

    def watch(self, process):
        while process.poll() is None:
            self.peak = max(self.peak, memory(family(process.pid)))
            time.sleep(0.2)


def stop(process, number=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- mailkeyd ---------------------------------------------------------------

def install(tree):
    """make install, into a directory of its own."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "N", "BENCH")}
    Ran(["make", "-s", "install", f"DESTDIR={tree}", "PREFIX=/usr/local"]
        + (["SAN=1"] if SAN else []), env=env, cwd=ROOT)
    # The tool looks for the daemon beside itself.
    os.symlink("../sbin/mailkeyd", f"{tree}/usr/local/bin/mailkeyd")
    return f"{tree}/usr/local"


class Mailkeyd:
    name = "mailkeyd"

    def __init__(self, folder, tree, limits=""):
        self.dir, self.tree, self.limits = folder, tree, limits
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.conf = os.path.join(folder, "mailkeyd.conf")
        self.log = os.path.join(folder, "log")
        self.configure()
        self.process = None
        self.counter = os.path.join(folder, "syncs")
        with open(self.counter, "wb") as f:
            f.write(bytes(8))

    def configure(self, extra=""):
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(dir=self.dir, port=self.port, extra=extra,
                                limits=self.limits,
                                libexec=f"{self.tree}/libexec/mailkeyd"))

    def env(self):
        if SAN:                 # whose library wants to be the first
            return dict(os.environ)
        return dict(os.environ, BENCH_SYNCS=self.counter,
                    LD_PRELOAD=os.path.join(TOOLS, "syncs.so"))

    def ctl(self, *args, **options):
        return Ran([f"{self.tree}/bin/mailkeyctl", "-c", self.conf, *args],
                   env=self.env(), **options)

    def load(self, *files):
        # 65: some of a real ring is refused, and that is said.
        return self.ctl("-q", "import", *files, good=(0, 65))

    more = load                 # into a store that has others

    def dump(self, path):
        return self.ctl("dump", path)

    def disk(self):
        return disk(f"{self.dir}/state/db")

    def start(self):
        """Returns the seconds until it greets."""
        begin = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [f"{self.tree}/sbin/mailkeyd", "-c", self.conf],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env())
        while not self.answers():
            if time.monotonic() - begin > 600:
                raise Failed("mailkeyd does not answer")
            time.sleep(0.002)
        return time.monotonic() - begin

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8") as f:
                raise Failed("mailkeyd ended: " + f.read()[-1000:])
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.settimeout(60)
                s.connect(f"{self.dir}/lmtp")
                return s.recv(100).startswith(b"220")
            except OSError:
                return False

    def stop(self):
        if self.process:
            stop(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def memory(self):
        """Of each program: its octets, of all its processes."""
        programs = {}
        for pid in family(self.process.pid):
            try:
                name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:     # a child that has ended meanwhile
                continue
            programs[name] = programs.get(name, 0) + memory({pid})
        return programs

    def counts(self):
        """Commits, verified signatures and syncs since the start."""
        stats = dict(line.split("\t") for line in
                     self.ctl("stats", "--tsv").out.decode().splitlines())
        return (int(stats["commits"]), int(stats["good_signatures"]),
                self.syncs())

    def syncs(self):
        with open(self.counter, "rb") as f:
            return struct.unpack("=Q", f.read(8))[0]

    def target(self):
        return ["lmtp", f"{self.dir}/lmtp"]


class Peer:
    """What is so unless a peer says otherwise: nothing of it stays."""

    no_mail = ""                # why it cannot be mailed to
    limit = math.inf            # certificates that it can be loaded with

    def more(self, *files):
        """Loads into a store that has others."""
        return self.load(*files)

    def target(self):
        raise Unable(self.no_mail)

    def ready(self):
        pass

    def kill(self):
        raise Unable("a process for each request: nothing to start")

    def memory(self):
        raise Unable("a process for each request")

    def stop(self):
        pass


# ---- onak -------------------------------------------------------------------

class Onak(Peer):
    """onak-mail.pl, run for each mail, as a mail server's pipe does."""

    name = "onak"

    def __init__(self, folder):
        self.dir = folder
        root = os.path.join(MTA, "onak")
        libs = glob.glob(f"{root}/usr/lib/*/onak")
        if not libs:
            raise Unable("its package is not in build/mta (contrib/deps bench)")
        self.bin, self.port = f"{root}/usr/bin", free_port()
        for name in ("db", "spool"):
            os.makedirs(f"{folder}/{name}")
        self.conf = f"{folder}/onak.ini"
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(ONAK_INI.format(lib=libs[0], dir=folder, bin=self.bin,
                                    tools=TOOLS, port=self.port))
        # Debian's path of the configuration stands in the script.
        with open(f"{libs[0]}/onak-mail.pl", encoding="utf-8") as f:
            script = f.read().replace("/etc/onak.ini", self.conf) \
                .replace('."/onak", ', f'."/onak", "-c", "{self.conf}", ')
        with open(f"{folder}/onak-mail.pl", "w", encoding="utf-8") as f:
            f.write(script)

    def run(self, *args, **options):
        return Ran([f"{self.bin}/onak", "-c", self.conf, *args], cwd=self.dir,
                   **options)

    def load(self, *files):
        whole = self.run("-b", "add", stdin=files[0])
        for f in files[1:]:
            if whole.seconds > LOADING:
                raise Failed(f"not loaded after {LOADING} seconds")
            ran = self.run("-b", "add", stdin=f)
            whole.seconds += ran.seconds
            whole.peak = max(whole.peak, ran.peak)
        return whole

    def disk(self):
        return disk(f"{self.dir}/db")

    def dump(self, path):
        os.makedirs(path)
        return Ran([f"{self.bin}/onak", "-c", self.conf, "dump"], cwd=path)

    def ask(self, question):
        begin = time.perf_counter()
        try:
            out = subprocess.run(
                [f"{self.bin}/onak", "-c", self.conf, "index", question],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, cwd=self.dir, check=False,
                timeout=ASKING).stdout
        except subprocess.TimeoutExpired:
            self.unlock()
            raise Unable(f"no answer in {ASKING} seconds") from None
        return time.perf_counter() - begin, out

    def unlock(self):
        """One that was killed holds its locks for ever, and the next waits for
        them; they are in Berkeley DB's regions, which are made anew."""
        for path in glob.glob(f"{self.dir}/db/__db.*"):
            os.unlink(path)

    def target(self):
        return ["run", shutil.which("perl"), f"{self.dir}/onak-mail.pl"]


# ---- SKS --------------------------------------------------------------------

class Sks(Peer):
    """`sks build` for loading, `sks db` for questions over HTTP."""

    name = "sks"
    no_mail = "reads mails every ten seconds, ADD only, and answers none"

    def __init__(self, folder):
        self.dir, self.process = folder, None
        self.port = free_port()
        self.sks = os.path.join(MTA, "sks/usr/sbin/sks")
        if not os.path.exists(self.sks):
            raise Unable("its package is not in build/mta (contrib/deps bench)")
        for name in ("etc/sks", "var/lib/sks/www", "var/spool/sks",
                     "var/log/sks", "var/run/sks"):
            os.makedirs(f"{folder}/{name}")
        with open(f"{folder}/etc/sks/sksconf", "w", encoding="utf-8") as f:
            f.write(SKSCONF.format(port=self.port, recon=free_port()))
        for name in ("mailsync", "membership"):
            open(f"{folder}/etc/sks/{name}", "w", encoding="utf-8").close()

    def run(self, *args, **options):
        return Ran([self.sks, *args, "-basedir", self.dir], cwd=self.dir,
                   **options)

    def load(self, *files):
        return self.run("build", *files, "-n", "10", "-cache", "100",
                        patience=LOADING)

    def more(self, *files):
        return self.run("merge", *files, "-n", "10", "-cache", "100")

    def dump(self, path):
        os.makedirs(path)
        return self.run("dump", "1000000", path)

    def disk(self):
        return disk(f"{self.dir}/var/lib/sks/DB")

    def ready(self):
        if not self.process:
            self.start()

    def start(self):
        begin = time.monotonic()
        with open(f"{self.dir}/log", "ab") as log:
            self.process = subprocess.Popen(
                [self.sks, "db", "-basedir", self.dir, "-stdoutlog"],
                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while True:
            try:
                self.ask("0x00000000")
                return time.monotonic() - begin
            except OSError:
                if self.process.poll() is not None:
                    raise Failed("sks db ended with status "
                                 f"{self.process.returncode}") from None
                if time.monotonic() - begin > 600:
                    raise Failed("sks does not answer") from None
                time.sleep(0.01)

    def ask(self, question):
        url = (f"http://127.0.0.1:{self.port}/pks/lookup?op=index&search="
               + urllib.parse.quote(question))
        begin = time.perf_counter()
        try:
            with urllib.request.urlopen(url, timeout=ASKING) as answer:
                out = answer.read()
        except urllib.error.HTTPError as answer:
            out = answer.read()
        return time.perf_counter() - begin, out

    def memory(self):
        self.ready()
        return memory({self.process.pid})

    def stop(self):
        if self.process:
            stop(self.process, signal.SIGINT)

    def kill(self):
        self.ready()
        self.process.kill()
        self.process.wait()


# ---- gpg --------------------------------------------------------------------

class Gpg(Peer):
    """gpg's keyring."""

    name = "gpg"
    no_mail = "has nothing to do with mail"
    limit = 2000                # certificates: loading takes their square

    def __init__(self, folder):
        self.dir = folder
        os.makedirs(folder, 0o700)

    def run(self, *args, **options):
        return Ran(["gpg", "--homedir", self.dir, "--batch", "--no-options",
                    "--no-autostart", "--no-auto-check-trustdb", "-q", *args],
                   good=(0, 2), **options)

    def load(self, *files):
        return self.run("--import", *files, patience=300)

    def dump(self, path):
        return self.run("--output", path, "--export")

    def disk(self):
        return disk(self.dir)

    def ask(self, question):
        ran = self.run("--list-keys", question)
        return ran.seconds, ran.out
