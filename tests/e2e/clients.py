#!/usr/bin/env -S python3 -B
# Real programs as clients, with a real Postfix between them and mailkeyd: gpg
# 1.4 with its mailto: key server, mutt, s-nail and swaks, and gpg 2.2 and 1.4
# as they import the answers.  See postfix.py for where it runs.

import glob
import os
import re
import shutil
import subprocess
import sys

import postfix
from lib import (ADDRESS, Delivery, crlf, equal, expect, fingerprints, gpg,
                 key, note, smtp_to, wait_until)
from postfix import MAILDIR, USER, as_alice, by_smtp, request, start_daemon

HOME = "/var/spool/alice"
ENV = {"HOME": HOME, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": "alice",
       "LOGNAME": "alice", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def alice(*args, stdin=b"", status=(0,)):
    """Runs a program as the user Alice."""
    done = subprocess.run(args, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=ENV, cwd=HOME,
                          timeout=120, **as_alice())
    expect(done.returncode in status, *args, "ended with", done.returncode,
           done.stdout.decode("utf-8", "replace"))
    return done.stdout


def file_of_alice(name, data):
    path = os.path.join(HOME, name)
    with open(path, "wb") as f:
        f.write(data)
    shutil.chown(path, "alice", "alice")
    return path


def folder_of_alice(name):
    path = os.path.join(HOME, name)
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o700)
    shutil.chown(path, "alice", "alice")
    return path


def mailbox():
    return set(glob.glob(MAILDIR + "/new/*"))


def next_answer(before):
    """The one new mail in Alice's Maildir: raw, and read."""
    try:
        new = wait_until(lambda: mailbox() - before, 30, "an answer")
    except AssertionError:
        note(postfix.mail_log())
        raise
    equal(len(new), 1, "new mails")
    with open(new.pop(), "rb") as f:
        raw = f.read()
    return raw, Delivery("", [], raw)


def daemon_with(place, *names, **options):
    daemon = start_daemon(place, smtp_to(25), **options)
    for name in names:
        path = place.write(name, key(name))
        done = daemon.ctl("import", path)
        equal(done.returncode, 0, f"import ({done.stderr.decode()})")
    return daemon


def imports(place, program, home, raw, wanted):
    """The raw mail, header and all, into --import of a fresh key ring."""
    folder = folder_of_alice(home)
    alice(program, "--homedir", folder, "--batch", "--no-tty", "--import",
          stdin=raw, status=(0, 2))
    listed = alice(program, "--homedir", folder, "--batch", "--no-tty",
                   "--with-colons", "--fixed-list-mode", "--fingerprint",
                   "--list-keys").decode("utf-8", "replace")
    got, primary = [], False
    for line in listed.splitlines():
        f = line.split(":")
        if f[0] in ("pub", "sub"):
            primary = f[0] == "pub"
        elif f[0] == "fpr" and primary:
            got.append(f[9])
            primary = False
    equal(sorted(got), sorted(wanted), f"keys in {program}")


# ---- gpg 1.4 ----------------------------------------------------------------

def gpg1(home, *args, status=(0,)):
    return alice("gpg1", "--homedir", home, "--batch", "--no-tty",
                 "--keyserver", f"mailto:{ADDRESS}", *args, status=status)


def gpg14(place):
    """gpg 1.4: --send-keys, --recv-keys, --search-keys by mail"""
    daemon_with(place)
    fpr = fingerprints(place, key("bob.asc"))[0]
    home = folder_of_alice("gnupg1")
    gpg1(home, "--import", file_of_alice("bob.asc", key("bob.asc")))

    before = mailbox()
    # 1.4 says "file read error" after it has sent the mail
    gpg1(home, "--send-keys", fpr[-8:], status=(0, 2))
    _, answer = next_answer(before)
    equal(answer.subject, "Your command, ADD", "Subject")
    expect(fpr in answer.text() and "New key" in answer.text(), answer.text())

    for args in (("--recv-keys", f"0x{fpr}"), ("--recv-keys", fpr[-8:]),
                 ("--search-keys", "bob example"),
                 ("--search-keys", "bob@example.org")):
        before = mailbox()
        gpg1(home, *args, status=(0, 2))
        raw, answer = next_answer(before)
        expect(answer.subject.startswith("Your command, GET "),
               answer.subject)
        imports(place, "gpg1", "fresh1", raw, [fpr])
        imports(place, "gpg", "fresh2", raw, [fpr])


def gpg14_mail_from(place):
    """gpg 1.4 with mail-from, which makes its From say nobody"""
    daemon_with(place)
    fpr = fingerprints(place, key("bob.asc"))[0]
    home = folder_of_alice("gnupg1")
    gpg1(home, "--import", file_of_alice("bob.asc", key("bob.asc")))
    option = ("--keyserver-options", f"mail-from={USER}")
    before = mailbox()
    gpg1(home, *option, "--send-keys", fpr[-8:], status=(0, 2))
    _, answer = next_answer(before)
    expect(fpr in answer.text(), answer.text())
    before = mailbox()
    gpg1(home, *option, "--recv-keys", fpr[-8:], status=(0, 2))
    raw, _ = next_answer(before)
    imports(place, "gpg1", "fresh1", raw, [fpr])


def gpg14_not_found(place):
    """gpg 1.4 asks for what is not there, and is told"""
    daemon_with(place)
    home = folder_of_alice("gnupg1")
    before = mailbox()
    gpg1(home, "--recv-keys", "0x01234567", status=(0, 2))
    raw, answer = next_answer(before)
    equal(answer.subject, "Your command, GET 0x01234567, failed", "Subject")
    expect("No matching keys in database" in answer.text(), answer.text())
    imports(place, "gpg1", "fresh1", raw, [])


# ---- gpg imports answers ----------------------------------------------------

ALL = ("alice.asc", "bob.asc", "carol-revoked.asc", "dave-expired.asc",
       "debian-ecdsa-photo.asc", "debian-rsa4096.asc", "collision-1.asc",
       "collision-2.asc", "hostile-userids.asc")


RSA = ("bob.asc", "debian-rsa4096.asc")


def gpg_imports(place):
    """gpg 2.2 and 1.4 import every kind of answer from the raw mail"""
    daemon_with(place, *ALL)
    of = {n: fingerprints(place, key(n))[0] for n in ALL}
    pair = [of["collision-1.asc"], of["collision-2.asc"]]
    old = {of[n] for n in RSA}
    for what, wanted in (
            (f"GET 0x{of['bob.asc']}", [of["bob.asc"]]),
            (f"GET 0x{of['alice.asc']}", [of["alice.asc"]]),
            ("GET alicia", [of["alice.asc"]]),
            ("GET carol@example.org", [of["carol-revoked.asc"]]),
            (f"GET 0x{of['dave-expired.asc']}", [of["dave-expired.asc"]]),
            (f"GET 0x{of['debian-ecdsa-photo.asc']}",
             [of["debian-ecdsa-photo.asc"]]),
            (f"GET 0x{of['debian-rsa4096.asc']}",
             [of["debian-rsa4096.asc"]]),
            (f"GET 0x{pair[0][-8:]}", pair),
            ("GET mallory", [of["hostile-userids.asc"]]),
            ("GET example", [of[n] for n in ALL if "debian" not in n]),
            ("LAST 1", list(of.values())),
            ("GET nobody", []),
            (f"INDEX 0x{of['bob.asc']}", []),
            ("VERBOSE INDEX mallory", [])):
        raw, _ = submitted(what)
        for octets in (raw, crlf(raw)):
            imports(place, "gpg", "fresh2", octets, wanted)
            # 1.4 reads no elliptic curves, and takes what stands beside them.
            imports(place, "gpg1", "fresh1", octets, old & set(wanted))


RING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def gpg_imports_parts(place):
    """gpg 2.2 imports each part of an answer that was split, by itself"""
    daemon = daemon_with(place, *ALL, limits={
        "reply_size": "40K", "certificate_size": "8K", "max_parts": 20})
    equal(daemon.ctl("import", RING).returncode, 0, "import")
    done = daemon.ctl("dump")
    equal(done.returncode, 0, "dump")
    wanted = set(fingerprints(place, done.stdout))
    before = mailbox()
    by_smtp(postfix.mail("LAST 1", b"", USER))

    def all_parts():
        raws = []
        for path in mailbox() - before:
            with open(path, "rb") as f:
                raws.append(f.read())
        of = [re.search(r"part \d+ of (\d+)", Delivery("", [], r).subject)
              for r in raws]
        expect(all(of), *[Delivery("", [], r).text() for r in raws])
        return raws if of and len(of) == int(of[0].group(1)) else None
    raws = wait_until(all_parts, 30, "all parts")
    expect(len(raws) > 1, len(raws), "parts")
    seen = set()
    for raw in raws:
        part = set(fingerprints(place, Delivery("", [], raw).keys()))
        expect(part and not part & seen, "a key twice, or none")
        seen |= part
        imports(place, "gpg", "fresh2", raw, part)
    equal(seen, wanted, "keys in all parts")


def submitted(subject, body=b""):
    """Mails a request; an answer of any Subject."""
    message_id = postfix.new_id()
    by_smtp(postfix.mail(subject, body, USER, message_id))
    raw = postfix.answer_to(message_id)
    return raw, Delivery("", [], raw)


# ---- mail programs ----------------------------------------------------------

def adds(place, name, *shapes):
    """Each shape of ADD into an empty store; then the key comes back."""
    for number, (what, send) in enumerate(shapes):
        daemon = start_daemon(place, smtp_to(25), name=f"d{number}")
        before = mailbox()
        send()
        _, answer = next_answer(before)
        equal(answer.subject, "Your command, ADD", f"{name}, {what}: Subject")
        expect("New key" in answer.text(), f"{name}, {what}:", answer.text())
        found = [s for s in answer.text().splitlines() if len(s) == 40]
        equal(len(found), 1, f"{name}, {what}: keys")
        _, back = request(by_smtp, f"GET 0x{found[0]}")
        equal(fingerprints(place, back.keys()), found, f"{name}, {what}")
        equal(daemon.stop(), 0, "exit status")


def key_files(place):
    """alice.asc, bob.gpg (binary) and carol.asc with CR LF, Alice's own."""
    return (file_of_alice("alice.asc", key("alice.asc")),
            file_of_alice("bob.gpg", gpg(place, "--dearmor",
                                         stdin=key("bob.asc"))),
            file_of_alice("carol.asc", crlf(key("carol.asc"))))


def mutt(place):
    """mutt: inline, attached, attached binary, 8-bit text around"""
    armored, binary, dos = key_files(place)
    rc = file_of_alice("muttrc", (
        'set sendmail="/usr/sbin/sendmail -oem -oi"\nset copy=no\n'
        f'set from="{USER}"\nset use_envelope_from=yes\n'
        'set realname="Alice Example"\nset charset=utf-8\n').encode())

    def send(body, *args, setting=None):
        more = ("-e", f"set {setting}") if setting else ()
        alice("mutt", "-F", rc, *more, "-s", "ADD", *args, "--", ADDRESS,
              stdin=body)
    text = "Grüße, hier ist mein Schlüssel:\n\n".encode()
    adds(place, "mutt",
         ("inline", lambda: send(key("alice.asc"))),
         ("text around", lambda: send(text + key("alice.asc"))),
         ("format=flowed", lambda: send(text + key("alice.asc"),
                                        setting="text_flowed=yes")),
         ("attached", lambda: send(text, "-a", armored)),
         ("attached binary", lambda: send(text, "-a", binary)),
         ("attached CR LF", lambda: send(text, "-a", dos)),
         ("7-bit only", lambda: send(text + key("alice.asc"),
                                     setting="allow_8bit=no")))


def s_nail(place):
    """s-nail: inline, attached, base64, quoted-printable"""
    armored, binary, dos = key_files(place)

    def send(body, *args):
        alice("s-nail", "-:/", "-S", "mta=/usr/sbin/sendmail",
              "-S", f"from={USER}", "-S", "ttycharset=utf-8",
              "-S", "sendcharsets=utf-8", "-S", "v15-compat=yes", *args,
              "-s", "ADD", ADDRESS, stdin=body)
    text = "Grüße, hier ist mein Schlüssel:\n\n".encode()
    adds(place, "s-nail",
         ("inline", lambda: send(key("alice.asc"))),
         ("text around, quoted-printable",
          lambda: send(text + key("alice.asc"), "-S", "mime-encoding=qp")),
         ("text around, base64",
          lambda: send(text + key("alice.asc"), "-S", "mime-encoding=b64")),
         ("attached", lambda: send(text, "-a", armored)),
         ("attached binary", lambda: send(text, "-a", binary)),
         ("attached CR LF", lambda: send(text, "-a", dos)),
         ("attached base64", lambda: send(text, "-S", "mime-encoding=b64",
                                          "-a", armored)))


def swaks(place):
    """swaks: over SMTP and straight over LMTP, in the body and attached"""
    armored, binary, dos = key_files(place)

    def send(*args):
        alice("swaks", "--server", "127.0.0.1", "--port", "25", "--to",
              ADDRESS, "--from", USER, "--header", "Subject: ADD", *args)

    def lmtp(*args):
        alice("swaks", "--protocol", "LMTP", "--socket", postfix.LMTP, "--to",
              ADDRESS, "--from", USER, "--header", "Subject: ADD", *args)
    adds(place, "swaks",
         ("in the body", lambda: send("--body", "@" + armored)),
         ("CR LF", lambda: send("--body", "@" + dos)),
         ("attached as application/pgp-keys",
          lambda: send("--attach-type", "application/pgp-keys",
                       "--attach-name", "alice.asc",
                       "--attach", "@" + armored)),
         ("attached as octets named .gpg",
          lambda: send("--attach-type", "application/octet-stream",
                       "--attach-name", "bob.gpg", "--attach", "@" + binary)),
         ("the type in the header of the mail",
          lambda: send("--add-header", "MIME-Version: 1.0", "--add-header",
                       "Content-Type: application/pgp-keys", "--body",
                       "@" + armored)),
         ("over LMTP", lambda: lmtp("--body", "@" + armored)),
         ("over LMTP, attached",
          lambda: lmtp("--attach-type", "application/pgp-keys",
                       "--attach", "@" + armored)))


def main():
    missing = [p for p in ("gpg1", "mutt", "s-nail", "swaks")
               if shutil.which(p) is None]
    if missing:
        print("1..0 # SKIP not installed:", *missing, "(contrib/deps test)")
        return 0
    return postfix.main(__file__, gpg14, gpg14_mail_from, gpg14_not_found,
                        gpg_imports, gpg_imports_parts, mutt, s_nail, swaks)


if __name__ == "__main__":
    sys.exit(main())
