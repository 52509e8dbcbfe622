#!/usr/bin/env -S python3 -B
# make bench: the same work for mailkeyd and for other key servers, in one run.
#
# mailkeyd is what `make install` installs, with its default configuration but
# for budgets.  onak and SKS are Debian's packages, unpacked by contrib/deps, and
# gpg is the one that is installed.  Everything is on loopback, in a directory
# that goes at the end; answers are checked.  The table is printed and lies in
# build/bench/table.txt and table.tsv.  In the environment, or as make's
# variables:
#
#	N="10000 100000"    how many certificates; "rings" are Debian's
#	BENCH="burst,GET load"  only rows whose names, without blanks, begin so
#	BENCH_MAILS=10000   in a burst
#	BENCH_SLOW=100      in a burst to a server that takes many times as long
#	BENCH_SINGLE=200    one at a time
#	BENCH_TIMES=3       of each row; the table has median, least and greatest
#	BENCH_QUICK=1       a small run, to see that all of it works
#	BENCH_DIR=/tmp      where the stores are
#	BENCH_OUT=build/bench  where the table goes
#
# A mail of a burst is handed over as soon as one of 20 connections is free,
# which is how many a mail server uses.  The figures of syncs, commits and
# verified signatures are of one time; "-" is not counted.

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import servers
import table
import work
from servers import TOOLS, Failed, Unable

QUICK = bool(os.environ.get("BENCH_QUICK"))
SIZES = (os.environ.get("N") or ("300" if QUICK else "10000 100000 rings")) \
    .split()
WANTED = (os.environ.get("BENCH") or "").split()
MAILS = int(os.environ.get("BENCH_MAILS") or (60 if QUICK else 10000))
TIMES = int(os.environ.get("BENCH_TIMES") or (1 if QUICK else 3))
SINGLE = int(os.environ.get("BENCH_SINGLE") or (4 if QUICK else 200))
SLOW = int(os.environ.get("BENCH_SLOW") or (4 if QUICK else 100))
ASKED = 3 if QUICK else 20              # questions of a kind to a peer
MANY = 50000                            # certificates that are loaded once
PIECE = 15000                           # in a file of a dump
ROOM = 14                       # times the input: the stores of all
RINGS = ("debian-keyring.gpg", "debian-maintainers.gpg",
         "debian-nonupload.gpg", "debian-role-keys.gpg",
         "debian-archive-keyring.gpg")
OUT = os.environ.get("BENCH_OUT") or TOOLS
PEERS = (servers.Onak, servers.Sks, servers.Gpg)

MAIL_ROWS = (
    # name, the mail, what onak is asked instead, jail_mails
    ("GET", "get", "index", 1), ("INDEX", "index", "index", 1),
    ("VERBOSE INDEX", "vindex", "vindex", 1), ("ADD, new", "new", "new", 1),
    ("ADD, unchanged", "same", "same", 1),
    ("ADD, a user ID more", "uid", "uid", 1))
KEPT_ROWS = (("GET, jail_mails = 50", "get", "index", 50),
             ("ADD, jail_mails = 50", "new", "new", 50))
RING_ROWS = (("INDEX of 20 to 50 keys", "ring", "ring", 1),)


def wanted(name):
    return not WANTED or any(name.replace(" ", "").startswith(w)
                             for w in WANTED)


def any_wanted(*begins):
    """Whether a row may be wanted whose name begins so."""
    return not WANTED or any(w.startswith(b) or b.startswith(w)
                             for w in WANTED for b in begins)


class Progress:
    def __init__(self):
        self.begin = time.monotonic()

    def __call__(self, *words):
        line = f"{time.monotonic() - self.begin:5.0f} s  {' '.join(words)}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}"[:100], end="", file=sys.stderr)
        else:
            print(line, file=sys.stderr)
        sys.stderr.flush()

    def end(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)


say = Progress()


def load_program(server, requests, *options):
    """Runs the load generator; its figures."""
    argv = [f"{TOOLS}/load", "-p", str(server.port), *options, requests,
            *server.target()]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.PIPE, timeout=servers.PATIENCE)
    if done.returncode != 0:
        raise Failed(f"{server.name}: " +
                     (done.stderr + done.stdout).decode("utf-8", "replace"))
    mails, _, seconds, *times = done.stdout.decode().split("\t")
    return int(mails), float(seconds), [float(t) / 1000 for t in times]


class Size:
    """One number of certificates: all rows of it."""

    def __init__(self, bench, name):
        self.bench, self.name, self.rows = bench, name, []
        self.place = os.path.join(bench.place, name)
        os.mkdir(self.place)
        self.mailkeyd, self.others, self.absent = None, [], []
        self.runs = 0
        self.new = 0            # how many of the new certificates are used
        self.more = 0           # how often user IDs were added
        self.mailed = 0         # octets of them
        self.jail_mails = 1     # as mailkeyd runs
        self.taken = {}         # see mailed_to()
        self.input()

    def input(self):
        name, self.n = self.name, int(self.name)
        self.label = f"{self.n:,} certificates"
        self.data = os.path.join(TOOLS, f"data-{work.version()}")
        say(name, "making certificates")
        os.makedirs(self.data, exist_ok=True)
        self.file = work.generate(f"{self.data}/{name}.pgp", 0, name)
        self.certs = work.Listed(self.file)
        room, free = ROOM * self.certs.octets, \
            shutil.disk_usage(self.place).free
        if free < room:
            raise Failed(f"{self.place} needs {room / 1e9:.1f} GB and has "
                         f"{free / 1e9:.1f} GB (BENCH_DIR)")
        self.words = work.Words(self.certs)

    # ---- rows

    def row(self, name, unit, more=False):
        row = table.Row(self.label, name, unit, more)
        if wanted(name):
            self.rows.append(row)
        return row

    def peers(self, rows, ask):
        """ask(peer) returns the figures for each row, or raises Unable.
        Returns what failed, and why."""
        failed = []
        for peer in self.others:
            say(self.name, rows[0].name + ",", peer.name)
            try:
                for row, figures in zip(rows, ask(peer)):
                    row.add_peer(peer.name, figures)
            except (Unable, Failed, OSError) as why:
                failed.append((peer, str(why).split("\n")[0]))
                for row in rows:
                    row.add_peer(peer.name, [], failed[-1][1])
        for peer, why in self.absent:
            for row in rows:
                row.add_peer(peer, [], why)
        return failed

    def load_peers(self, rows, ask):
        """What could not be loaded is asked nothing more."""
        self.make_peers()
        for peer, why in self.peers(rows, ask):
            self.others.remove(peer)
            self.absent.append((peer.name, why))

    # ---- loading

    def make_peers(self):
        for kind in PEERS:
            if kind.no_mail and not any_wanted("load", "look-up", "memory",
                                               "start", "dump"):
                self.absent.append((kind.name, kind.no_mail))
            elif self.n > kind.limit:
                self.absent.append((kind.name, self.too_many(kind)))
            else:
                self.make_peer(kind)

    def make_peer(self, kind):
        try:
            self.others.append(kind(f"{self.place}/{kind.name}"))
        except Unable as why:
            self.absent.append((kind.name, str(why)))

    def too_many(self, kind):
        """Why it is not loaded: how long that would take."""
        say(self.name, "load,", kind.name)
        peer, path = kind(f"{self.place}/{kind.name}"), f"{self.place}/few"
        with open(self.file, "rb") as f, open(path, "wb") as out:
            out.write(f.read(self.certs.certs[kind.limit][0]))
        seconds = peer.load(path).seconds
        hours = seconds * (self.n / kind.limit) ** 2 / 3600
        shutil.rmtree(peer.dir)
        long = f"{hours * 60:.0f} minutes" if hours < 1 else \
            f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.0f} days"
        return f"{kind.limit:,} took {seconds:.0f} s to load, and that grows " \
            f"with the square of the number: all of them, about {long}"

    def load(self):
        speed = self.row("load", "certs/s", True)
        peak = self.row("load, memory", "MB")
        room = self.row("load, disk", "x input")
        times = TIMES if self.n < MANY else 1
        for i in range(times):
            say(self.name, "load, mailkeyd", f"{i + 1} of {times}")
            if self.mailkeyd:
                shutil.rmtree(self.mailkeyd.dir)
            m = self.mailkeyd = servers.Mailkeyd(f"{self.place}/m",
                                                 self.bench.tree)
            ran = m.load(self.file)
            if f"{self.n} new".encode() not in ran.out:
                raise Failed("import: " + ran.out.decode())
            speed.ours.append(self.n / ran.seconds)
            peak.ours.append(ran.peak / 1e6)
            speed.syncs = m.syncs()
        room.ours.append(m.disk() / self.certs.octets)
        # How often an import commits it does not tell.
        speed.signatures = work.count_packets(self.file)[1]

        def ask(peer):
            ran = peer.load(*pieces)
            return ([self.n / ran.seconds], [ran.peak / 1e6],
                    [peer.disk() / self.certs.octets])
        pieces = self.pieces()
        self.load_peers([speed, peak, room], ask)

    def pieces(self):
        """The input as key servers hand it around, so many in each file."""
        if self.n <= PIECE:
            return [self.file]
        starts = [c[0] for c in self.certs.certs[::PIECE]] + \
            [self.certs.octets]
        os.makedirs(f"{self.place}/pieces", exist_ok=True)
        paths = []
        with open(self.file, "rb") as f:
            for a, b in zip(starts, starts[1:]):
                paths.append(f"{self.place}/pieces/{len(paths):04}.pgp")
                with open(paths[-1], "wb") as out:
                    out.write(f.read(b - a))
        return paths

    # ---- the store

    def lookups(self):
        if not any_wanted("look-up"):
            return
        self.look_up("look-up, ", self.words.kinds)
        other = "each once: with a cache of 64 MB and what the kernel keeps"
        self.look_up("look-up, once, ", self.words.other, "-1",
                     note=other)
        self.look_up("look-up, disk, ", self.words.other, "-1",
                     note="each once: after the kernel forgot the files",
                     before=servers.forget)

    def look_up(self, prefix, kinds, *options, note="", before=lambda _: None):
        if not any_wanted(prefix.replace(" ", "")):
            return
        store = f"{self.mailkeyd.dir}/state/db"
        say(self.name, prefix + "mailkeyd")
        for kind, words in kinds.items():
            row = self.row(prefix + kind, "ms")
            if not wanted(row.name):
                continue
            before(store)
            figures = work.look_up(store, kind, words, *options)
            row.ours = [us / 1000 for us in figures[:3]]
            row.syncs = row.commits = row.signatures = 0
            row.note = note or "ours in the store, sks over HTTP, the " \
                "others by a program for each; of what is on more than 10 " \
                "keys ours says how many they are, as INDEX does"

            def ask(peer, words=words, n=figures[3]):
                before(peer.dir)
                return (self.asked(peer, words, n, not options),)
            self.peers([row], ask)

    @staticmethod
    def asked(peer, words, n, first_round):
        peer.ready()
        times, begin = [], time.monotonic()
        if first_round:
            peer.ask(words[0])
        for i in range(ASKED):
            seconds, said = peer.ask(words[i % len(words)])
            times.append(seconds * 1000)
            if n > 100 and (b"oo many" in said or
                            b"nsufficiently specific" in said):
                raise Unable("refuses a word that so many keys have")
            if b"<title>Error" in said and n > 0:
                raise Unable("answers that it cannot")
            if len(said) < 50 and n > 0:
                raise Unable("says nothing, or that nothing is there")
            if time.monotonic() - begin > 20:
                break
        return times

    # ---- mails

    def requests(self, server, kind, count):
        """Writes them to a file; returns it and how many they are."""
        self.runs += 1
        path = f"{self.place}/requests"
        if kind in work.HELD:
            mails = work.questions(kind, self.certs, count, server.name)
        elif kind == "new":
            mails = self.additions(server, "New key", 0, work.NEW + self.new,
                                   count)
        elif kind == "same":
            mails = self.additions(server, "othing new", 0, 0, count)
        else:
            mails = self.additions(server, "1 user ID", self.more, 0, count)
        n = work.write_requests(path, mails, f"{self.name}.{self.runs}",
                                server.name == "mailkeyd")
        return path, n

    def additions(self, server, want, more, first, count):
        path = f"{self.place}/added"
        if os.path.exists(path):
            os.unlink(path)
        work.generate(path, "-a", "-u", more, first, min(count, self.n)
                      if first == 0 else count)
        armored = work.Listed(path)
        if server.name == "mailkeyd" and want != "othing new":
            self.mailed += (armored.octets if first else
                            len(armored) * 700) * 3 // 4
        return work.additions(armored, server.name, want)

    def mail(self, server, kind, count, *options):
        """One time: the mails' figures."""
        if kind == "uid":
            self.more += server.name == "mailkeyd"
        path, n = self.requests(server, kind, count)
        samples = f"{self.place}/samples"
        shutil.rmtree(samples, ignore_errors=True)
        os.mkdir(samples)
        figures = load_program(server, path, "-s", samples, *options)
        if kind == "get":
            work.check_samples(samples, self.certs, n)
        if kind == "new" and server.name == "mailkeyd":
            self.new += n
        return figures

    def mailed_to(self, peer, kind, count, *options):
        """The figures of all times, as far as a minute goes; those of one kind
        of work are taken once, for all rows that they stand in."""
        peer.target()           # or it is Unable
        key = (peer.name, kind, options)
        if key not in self.taken:
            begin, figures = time.monotonic(), []
            while len(figures) < TIMES and time.monotonic() - begin < 60:
                figures.append(self.mail(peer, kind, count, *options))
            self.taken[key] = figures
        return self.taken[key]

    def restart(self, jail_mails):
        m = self.mailkeyd
        if self.jail_mails == jail_mails:
            return
        self.jail_mails = jail_mails
        m.stop()
        m.configure("" if jail_mails == 1 else f"jail_mails = {jail_mails}")
        m.start()

    def bursts(self, rows):
        m = self.mailkeyd
        for name, kind, instead, jail_mails in rows:
            row = self.row(f"burst, {name}", "mails/s", True)
            if not wanted(row.name):
                continue
            self.restart(jail_mails)
            self.mail(m, "index", min(MAILS, 100))
            before = m.counts()
            for i in range(TIMES):
                say(self.name, row.name, f"{i + 1} of {TIMES}")
                n, seconds, _ = self.mail(m, kind, MAILS)
                row.ours.append(n / seconds)
            row.count(before, m.counts(), n, TIMES)

            def ask(peer, instead=instead):
                # One after the other: onak's script does no more.
                times = self.mailed_to(peer, instead, SLOW, "-c", "1")
                return ([n / seconds for n, seconds, _ in times],)
            self.peers([row], ask)
            row.note = f"onak's is of {SLOW} mails, one after the other"
            if kind != instead:
                row.note += "; it has no GET by mail: its INDEX"
            if m.limits:
                row.note += "; ours with " + m.limits

    def singles(self, rows):
        for name, kind, instead, _ in rows:
            p50 = self.row(f"single, {name}, p50", "ms")
            p99 = self.row(f"single, {name}, p99", "ms")
            if not wanted(p50.name):
                continue
            self.restart(1)
            self.mail(self.mailkeyd, "index", 10, "-1")
            before = self.mailkeyd.counts()
            for i in range(TIMES):
                say(self.name, p50.name, f"{i + 1} of {TIMES}")
                n, _, times = self.mail(self.mailkeyd, kind, SINGLE, "-1")
                p50.ours.append(times[0])
                p99.ours.append(times[1])
            after = self.mailkeyd.counts()
            for row in p50, p99:
                row.count(before, after, n, TIMES)

            def ask(peer, instead=instead):
                times = self.mailed_to(peer, instead, min(SINGLE, 50), "-1")
                return [t[0] for *_, t in times], [t[1] for *_, t in times]
            self.peers([p50, p99], ask)
            if kind != instead:
                p50.note = p99.note = "onak has no GET by mail: its INDEX"

    # ---- the rest

    def memory(self):
        programs = self.mailkeyd.memory()
        row = self.row("memory, daemon", "MB")
        row.ours.append(programs.pop("mailkeyd") / 1e6)
        row.note = "the cache of the database, 64 MB, included"

        def ask(peer):
            return ([peer.memory() / 1e6],)
        self.peers([row], ask)
        for name, octets in sorted(programs.items()):
            part = name.replace("mailkeyd-", "")
            self.row(f"memory, {part}s", "MB").ours.append(octets / 1e6)

    def start_again(self):
        """After SIGKILL in the middle of a burst."""
        row = self.row("start after SIGKILL", "s")
        if not wanted(row.name):
            return
        m, row.syncs = self.mailkeyd, 0
        for _ in range(TIMES):
            say(self.name, row.name)
            path, n = self.requests(m, "new", min(MAILS, 2000))
            # Of what it took some is stored; the next ones are others.
            self.new += n
            with subprocess.Popen(
                    [f"{TOOLS}/load", "-p", str(m.port), path, *m.target()],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL) as p:
                time.sleep(0.3)
                m.kill()
                p.kill()
            before = m.syncs()
            row.ours.append(m.start())
            row.syncs += m.syncs() - before
        row.syncs = round(row.syncs / TIMES)

        def ask(peer):
            peer.kill()
            return ([peer.start()],)
        self.peers([row], ask)

    def dump(self):
        row = self.row("dump", "certs/s", True)
        room = self.row("disk after mails", "x input")
        room.note = "input: what was loaded and what mails have added"
        self.mailkeyd.stop()
        if self.mailed:
            room.ours.append(self.mailkeyd.disk() /
                             (self.certs.octets + self.mailed))
        elif room in self.rows:
            self.rows.remove(room)
        say(self.name, "dump, mailkeyd")
        path = f"{self.place}/dump"
        m = self.mailkeyd
        before, ran = m.syncs(), m.dump(path)
        n, _ = work.count_packets(path)
        row.ours.append(n / ran.seconds)
        row.syncs, row.commits, row.signatures = m.syncs() - before, 0, 0
        if n < self.n:
            raise Failed(f"{n} certificates in the dump")

        def ask(peer):
            peer.stop()
            path = f"{self.place}/dump.{peer.name}"
            os.mkdir(path)
            ran = peer.dump(f"{path}/all")
            octets = servers.disk(path)
            shutil.rmtree(path)
            if octets < self.certs.octets * 0.9:
                raise Failed(f"a dump of {octets:,} octets")
            return ([self.n / ran.seconds],)
        self.peers([row], ask)

    def import_more(self):
        """Into the store as it is now, in transactions."""
        row = self.row("import into it", "certs/s", True)
        if not wanted(row.name):
            return
        count = min(self.n, PIECE)
        path = work.generate(f"{self.data}/more.{count}.pgp", work.MORE, count)
        m, row.signatures = self.mailkeyd, work.count_packets(path)[1]
        row.note = f"{count:,} certificates; ours with cache = 256M"
        m.configure("cache = 256M")
        before = m.syncs()
        say(self.name, row.name + ", mailkeyd")
        ran = m.more(path)
        if f"{count} new".encode() not in ran.out:
            raise Failed("import: " + ran.out.decode())
        row.ours.append(count / ran.seconds)
        row.syncs = m.syncs() - before

        def ask(peer):
            peer.stop()
            return ([count / peer.more(path).seconds],)
        self.peers([row], ask)

    def steps(self):
        self.load()
        self.lookups()
        if any_wanted("burst", "single", "memory", "start"):
            self.mailkeyd.start()
            self.bursts(MAIL_ROWS + KEPT_ROWS)
            self.singles(MAIL_ROWS)
            self.memory()
            self.start_again()
        self.dump()
        self.import_more()

    def run(self):
        try:
            self.steps()
        finally:
            for server in [self.mailkeyd, *self.others]:
                if server:
                    server.stop()
            shutil.rmtree(self.place, ignore_errors=True)


class Rings(Size):
    """The rings of Debian, in place of certificates that were made."""

    def input(self):
        self.n, self.label = 0, "Debian's rings"
        self.file = f"{self.place}/rings"
        with open(self.file, "wb") as out:
            for ring in RINGS:
                with open(f"/usr/share/keyrings/{ring}", "rb") as f:
                    shutil.copyfileobj(f, out)
        self.octets = os.path.getsize(self.file)
        self.words = work.ring_words(self.file)

    def requests(self, server, kind, count):
        """INDEX of words that many have, whatever the kind."""
        self.runs += 1
        path = f"{self.place}/requests"
        want = {"onak": "/0x"}.get(server.name, " keys found")
        words = itertools.islice(itertools.cycle(self.words), count)
        return path, work.write_requests(
            path, ((f"INDEX {w}", b"", want) for w in words),
            f"rings.{self.runs}", server.name == "mailkeyd")

    def steps(self):
        certs, signatures = work.count_packets(self.file)
        self.label += f" ({certs:,} certificates, {signatures:,} " \
            f"signatures, {self.octets / 1e6:.1f} MB)"
        row = self.row("load", "s")
        dump = self.row("dump", "s")
        room = self.row("load, disk", "x input")
        room.note = "ours without signatures by others, which nobody can " \
            "verify"
        for i in range(TIMES):
            say("rings, load, mailkeyd", f"{i + 1} of {TIMES}")
            if self.mailkeyd:
                shutil.rmtree(self.mailkeyd.dir)
            m = self.mailkeyd = servers.Mailkeyd(f"{self.place}/m",
                                                 self.bench.tree)
            row.ours.append(m.load(self.file).seconds)
            row.syncs = m.syncs()
        room.ours.append(m.disk() / self.octets)
        dump.ours.append(m.dump(f"{self.place}/dump").seconds)
        _, row.signatures = work.count_packets(f"{self.place}/dump")

        def ask(peer):
            ran = peer.load(self.file)
            return ([ran.seconds],
                    [peer.dump(f"{self.place}/dump.{peer.name}").seconds],
                    [peer.disk() / self.octets])
        self.load_peers([row, dump, room], ask)
        if any_wanted("burst", "single"):
            m.limits = "max_reply_keys = 100"
            m.configure("")
            m.start()
            self.bursts(RING_ROWS)
            self.singles(RING_ROWS)


class Bench:
    def __init__(self):
        self.place = tempfile.mkdtemp(prefix="mkb",
                                      dir=os.environ.get("BENCH_DIR"))
        self.rows, self.failed = [], []
        self.load = os.getloadavg()[0]
        say("make install")
        self.tree = servers.install(f"{self.place}/root")

    def size(self, name):
        size = None
        try:
            size = (Rings if name == "rings" else Size)(self, name)
            size.run()
        except (Failed, OSError, subprocess.SubprocessError) as why:
            self.failed.append(f"{name}: {why}")
        except Exception:       # a fault of ours: the other rows are kept
            self.failed.append(f"{name}: {traceback.format_exc()}")
        finally:
            for row in size.rows if size else ():
                row.size = size.label
                if row.ours:
                    self.rows.append(row)

    def growth(self):
        """How much dearer the largest size is than the smallest."""
        sizes = list(dict.fromkeys(r.size for r in self.rows
                                   if r.size.endswith(" certificates")))
        if len(sizes) < 2 or not any_wanted("growth"):
            return
        by = {(r.size, r.name): r for r in self.rows}
        label = f"from {sizes[0]} to {sizes[-1]}"
        for (size, name), small in by.items():
            large = by.get((sizes[-1], name))
            if size != sizes[0] or not large:
                continue
            row = table.Row(label, f"growth, {name}", "x dearer")
            row.ours = [self.factor(small.more, small.ours, large.ours)]
            theirs = {p: f for p, f, _ in large.peers}
            for peer, figures, _ in small.peers:
                if figures and theirs.get(peer):
                    row.add_peer(peer, [self.factor(small.more, figures,
                                                    theirs[peer])])
            self.rows.append(row)

    @staticmethod
    def factor(more, small, large):
        a, b = (table.statistics.median(x) for x in (small, large))
        return a / b if more else b / a

    def write(self):
        took = time.monotonic() - say.begin
        title = f"{os.cpu_count()} cores; {took / 60:.0f} minutes; " \
            "median (least-greatest); ratio: times better than the peer\n" \
            f"load average before the run: {self.load:.1f}"
        if self.load > 0.5:
            title += ", so other work disturbed it"
        text = table.text(self.rows, title)
        with open(f"{OUT}/table.txt", "w", encoding="utf-8") as f:
            f.write(text)
        table.write_tsv(f"{OUT}/table.tsv", self.rows)
        return text

    def close(self):
        shutil.rmtree(self.place, ignore_errors=True)


def leave(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main():
    signal.signal(signal.SIGTERM, leave)
    bench = Bench()
    try:
        try:
            for name in SIZES:
                bench.size(name)
        except (KeyboardInterrupt, SystemExit):
            bench.failed.append("stopped before the end")
        bench.growth()
        text = bench.write()
    finally:
        bench.close()
        say.end()
    print(text)
    for why in bench.failed:
        print(f"bench: {why}", file=sys.stderr)
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
