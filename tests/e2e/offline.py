#!/usr/bin/env -S python3 -B
# Round trips by file: a site without a network mails requests by NNCP and by
# UUCP, they are carried to a hub with Postfix and mailkeyd, and the answers are
# carried back.  The configurations are those of contrib/offline.

import email.utils
import glob
import os
import re
import shutil
import subprocess
import sys
import time

import mta
from lib import (ADDRESS, Delivery, equal, expect, fingerprints, key, mail,
                 new_id, smtp_to, wait_until)
from mta import append, contrib, folder_of, start_daemon, write
from postfix import Postfix, postfix

STICK = "/run/stick"
DAYS = 86400


class Hub(Postfix):
    name = "Postfix with NNCP and UUCP"
    packages = ("postfix", "nncp", "uucp")
    passwd = (Postfix.passwd
              + "nncp:x:61010:61010::/var/spool/nncp:/bin/sh\n"
              "uucp:x:61011:61011::/var/spool/uucp:/bin/sh\n")
    group = Postfix.group + "nncp:x:61010:\nuucp:x:61011:\n"

    def install(self):
        super().install()
        # Debian's belong to a user and a group that the package makes
        for path in ["/usr/lib/uucp", "/usr/sbin/uuxqt", "/usr/bin/uux",
                     *glob.glob("/usr/lib/uucp/*")]:
            os.chmod(path, 0o755)
        append("/etc/postfix/master.cf", contrib("offline/nncp-master.cf"))
        append("/etc/postfix/master.cf", contrib("offline/uucp-master.cf")
               .replace("argv=uux ", "argv=uux -I /etc/uucp-hub/config "))

    def main_cf(self):
        """Both kinds of site in the one map of the sample."""
        samples = [contrib(f"offline/{name}-main.cf").splitlines()
                   for name in ("nncp", "uucp")]
        sites = [re.search(r"\{ site.*? \}", line).group(0)
                 for text in samples for line in text if "{ site" in line]
        rest = [line for text in samples for line in text
                if "recipient_limit" in line]
        text, n = re.subn(r"(?m)^(transport_maps = inline:\{ .*) \}$",
                          rf"\1, {', '.join(sites)} }}", super().main_cf())
        assert n == 1 and len(sites) == 2, text
        return text + "\n".join(rest) + "\n"


HUB = Hub()


def run_as(user, *args, stdin=b"", env=None):
    done = subprocess.run(args, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, user=user, group=user,
                          extra_groups=[], cwd="/", timeout=120,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                               **(env or {})})
    expect(done.returncode == 0, *args, "ended with", done.returncode,
           done.stdout.decode("utf-8", "replace"), mta.mail_log())
    return done.stdout


def delivered(folder):
    """The mails that a site's rmail put there: raw."""
    raws = []
    for path in sorted(glob.glob(folder + "/*.mail")):
        with open(path, "rb") as f:
            raws.append(f.read())
    return raws


def rmail_of(folder):
    """What a site runs for mails that come: it keeps them."""
    program = f"{folder}/bin/rmail"
    os.makedirs(os.path.dirname(program), exist_ok=True)
    write(program, "#!/bin/sh\nPATH=/usr/bin:/bin\n"
          f"cat >$(mktemp {folder}/in/XXXXXX.mail)\n")
    os.chmod(program, 0o755)
    return program


def queue_is_empty():
    done = subprocess.run(["postqueue", "-p"], stdout=subprocess.PIPE)
    return b"Mail queue is empty" in done.stdout


# ---- NNCP -------------------------------------------------------------------

class Nncp:
    """A site and the hub, with a stick between them."""
    sender = "bob@site-a.example"

    def __init__(self):
        self.site = "/var/spool/site-a"
        for folder in (self.site, self.site + "/in", self.site + "/spool",
                       "/var/spool/nncp", STICK):
            shutil.rmtree(folder, ignore_errors=True)
            folder_of("nncp", folder, 0o700)
        os.chmod(STICK, 0o777)
        rmail = rmail_of(self.site)
        hub, site = self.new("/var/spool/nncp"), self.new(self.site + "/spool")
        self.join("/etc/nncp.hjson", hub, "site-a", site, "/usr/sbin/rmail")
        self.join(self.site + "/nncp.hjson", site, "hub", hub, rmail)

    @staticmethod
    def new(spool):
        made = subprocess.run(["nncp-cfgnew", "-nocomments"], check=True,
                              stdout=subprocess.PIPE).stdout.decode()
        return made.replace("/var/spool/nncp", spool)

    @staticmethod
    def join(path, own, name, other, rmail):
        its = {k: re.search(rf"self: \{{.*?{k}: (\S+)", other, re.S).group(1)
               for k in ("id", "exchpub", "signpub")}
        neighbour = (f"neigh: {{\n    {name}: {{\n"
                     + "".join(f"      {k}: {v}\n" for k, v in its.items())
                     + f'      exec: {{ rmail: ["{rmail}"] }}\n    }}\n')
        write(path, own.replace("neigh: {\n", neighbour, 1))
        shutil.chown(path, "nncp", "nncp")

    def post(self, message):
        date = email.utils.formatdate()
        run_as("nncp", "nncp-exec", "-cfg", self.site + "/nncp.hjson",
               "-quiet", "hub", "rmail", ADDRESS,
               stdin=f"From {self.sender} {date}\n".encode() + message)

    def carry_out(self, read=1):
        """The stick goes from the site to the hub, where it is read."""
        run_as("nncp", "nncp-xfer", "-cfg", self.site + "/nncp.hjson",
               "-quiet", "-keep", "-mkdir", "-tx", STICK)
        for _ in range(read):
            shutil.rmtree("/run/copy", ignore_errors=True)
            shutil.copytree(STICK, "/run/copy")
            subprocess.run(["chown", "-R", "nncp:nncp", "/run/copy"],
                           check=True)
            run_as("nncp", "nncp-xfer", "-quiet", "-rx", "/run/copy")
            # what was tossed before is not seen, and would be refused
            for path in glob.glob("/var/spool/nncp/*/rx/seen/*"):
                os.unlink(path)
            run_as("nncp", "nncp-toss", "-quiet")

    def carry_back(self):
        shutil.rmtree(STICK)
        folder_of("nncp", STICK, 0o777)
        run_as("nncp", "nncp-xfer", "-quiet", "-mkdir", "-tx", STICK)
        run_as("nncp", "nncp-xfer", "-cfg", self.site + "/nncp.hjson",
               "-quiet", "-rx", STICK)
        run_as("nncp", "nncp-toss", "-cfg", self.site + "/nncp.hjson",
               "-quiet")
        return delivered(self.site + "/in")

    @staticmethod
    def answers_wait():
        """How many lie in the hub's spool for the site."""
        # the site's folder has its name as well, by a link
        return len({os.path.basename(p) for p in
                    glob.glob("/var/spool/nncp/*/tx/*")
                    if len(os.path.basename(p)) == 52})


# ---- UUCP -------------------------------------------------------------------

class Uucp:
    """A site that calls the hub, over a pipe in place of a line."""
    sender = "bob@site-b"

    def __init__(self):
        self.site = "/var/spool/site-b"
        for name, folder in (("hub", "/var/spool/uucp"), ("site", self.site)):
            shutil.rmtree(folder, ignore_errors=True)
            for sub in ("", "/in", "/spool", "/public"):
                folder_of("uucp", folder + sub, 0o755)
            conf = f"/etc/uucp-{name}"
            os.makedirs(conf, exist_ok=True)
            write(f"{conf}/config",
                  f"nodename {'hub' if name == 'hub' else 'site-b'}\n"
                  f"spool {folder}/spool\npubdir {folder}/public\n"
                  f"sysfile {conf}/sys\nportfile {conf}/port\n"
                  f"logfile {folder}/log\nstatfile {folder}/stats\n"
                  f"debugfile {folder}/debug\nlockdir {folder}\n")
        write("/etc/uucp-hub/sys", contrib("offline/uucp-sys"))
        write("/etc/uucp-hub/port", "")
        rmail = rmail_of(self.site)
        write("/etc/uucp-site/sys",
              "system hub\ntime any\nport hub\nchat \"\"\ncommands rmail\n"
              f"command-path {os.path.dirname(rmail)}\nprotocol i\n")
        write("/etc/uucp-site/port",
              "port hub\ntype pipe\ncommand /usr/lib/uucp/uucico -q "
              "-I /etc/uucp-hub/config\n")

    def post(self, message):
        date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime())
        run_as("uucp", "uux", "-I", "/etc/uucp-site/config", "-r", "-",
               "hub!rmail", f"({ADDRESS})",
               stdin=f"From bob {date} remote from site-b\n".encode() + message)

    def call(self):
        run_as("uucp", "/usr/lib/uucp/uucico", "-q", "-I",
               "/etc/uucp-site/config", "-s", "hub")

    def carry_out(self, read=1):
        self.call()
        run_as("uucp", "/usr/sbin/uuxqt", "-I", "/etc/uucp-hub/config")

    def carry_back(self):
        self.call()
        run_as("uucp", "/usr/sbin/uuxqt", "-I", "/etc/uucp-site/config")
        return delivered(self.site + "/in")

    @staticmethod
    def answers_wait():
        return len(glob.glob("/var/spool/uucp/spool/site-b/C./*"))


# ---- the tests --------------------------------------------------------------

def request(way, subject, body=b"", message_id=None, late=0):
    headers = []
    if late:
        headers = [f"Date: {email.utils.formatdate(time.time() - late)}"]
    message_id = message_id or new_id()
    way.post(mail(subject, body, way.sender, message_id, headers))
    return message_id


def answers(way, n):
    """Waits until n answers lie with NNCP or UUCP, and carries them back."""
    wait_until(lambda: way.answers_wait() >= n and queue_is_empty(), 30,
               f"{n} answers in the spool")
    raws = way.carry_back()
    return {Delivery("", [], re.sub(rb"\A>?From [^\n]*\n", b"", raw))
            .in_reply_to: Delivery("", [], re.sub(rb"\A>?From [^\n]*\n", b"",
                                                  raw)) for raw in raws}


def round_trip(make):
    def test(place):
        way = make()
        start_daemon(place, smtp_to(25))
        wanted = fingerprints(place, key("alice.asc"))[0]
        help_id = request(way, "HELP")
        add_id = request(way, "ADD", key("alice.asc"), late=9 * DAYS)
        way.carry_out()
        got = answers(way, 2)
        equal(set(got), {help_id, add_id}, "answers")
        expect("New key" in got[add_id].text(), got[add_id].text())
        get_id = request(way, f"GET 0x{wanted}")
        way.carry_out()
        got = answers(way, 1)
        equal(fingerprints(place, got[get_id].keys()), [wanted], "keys")
    test.__name__ = f"round_trip_{make.__name__.lower()}"
    test.__doc__ = (f"{make.__name__.upper()}: requests carried as files, one "
                    "nine days late, answers carried back")
    return test


def wrong_order(place):
    """NNCP: a GET before its ADD: the answer says how old the store is"""
    way = Nncp()
    daemon = start_daemon(place, smtp_to(25))
    path = place.write("bob.asc", key("bob.asc"))
    os.chmod(path, 0o644)
    equal(daemon.ctl("import", path).returncode, 0, "import")
    wanted = fingerprints(place, key("alice.asc"))[0]
    get_id = request(way, f"GET 0x{wanted}")
    way.carry_out()
    wait_until(lambda: way.answers_wait() == 1, 10, "the GET's answer")
    add_id = request(way, "ADD", key("alice.asc"))
    way.carry_out()
    got = answers(way, 2)
    text = got[get_id].text()
    expect("No matching keys" in text, text)
    said = re.search(r"last changed at ([0-9-]+ [0-9:]+) UTC", text)
    expect(said, "no word on when the keys were last changed:", text)
    age = time.time() - time.mktime(time.strptime(
        said.group(1) + " UTC", "%Y-%m-%d %H:%M:%S %Z")) + time.timezone
    expect(0 <= age < 600, "age", age, text)
    expect("New key" in got[add_id].text(), got[add_id].text())


def twice(place):
    """NNCP: a stick that is read twice is answered once"""
    way = Nncp()
    daemon = start_daemon(place, smtp_to(25))
    ids = {request(way, "ADD", key("alice.asc")), request(way, "HELP")}
    way.carry_out(read=2)
    got = answers(way, 2)
    wait_until(lambda: daemon.log().count("outcome=") == 4, 30,
               "both readings to be worked on")
    postfix("flush")
    equal(set(got), ids, "answers")
    equal(len(delivered(way.site + "/in")), 2, "mails")


def main():
    return mta.main(HUB, __file__, round_trip(Nncp), round_trip(Uucp),
                    wrong_order, twice)


if __name__ == "__main__":
    sys.exit(main())
