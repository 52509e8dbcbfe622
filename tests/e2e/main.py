#!/usr/bin/env -S python3 -B
# The daemon as its operator and its MTA see it: starting, stopping, refusing,
# ways in, ways out, what survives.

import glob
import os
import re
import signal
import socket
import subprocess
import threading
import time

from lib import (ADDRESS, ALICE, B, SLOW, Delivery, Lmtp, ask, equal, expect,
                 fingerprints, gpg, key, mail, maildir_to, new_id, note, run,
                 smtp_to, stuffed, wait_until)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def daemon_and_sink(place, **options):
    verdict = options.pop("verdict", None)
    sink = place.sink(verdict=verdict)
    daemon = place.daemon(send=smtp_to(sink.port), **options)
    daemon.start()
    return daemon, sink


def deliver(daemon, message, *args, env=None):
    """mailkeyctl deliver as a pipe transport calls it."""
    done = subprocess.run(
        [daemon.program("mailkeyctl"), "-c", daemon.conf, "deliver", *args],
        input=message, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60 * SLOW, env=dict(os.environ, **(env or {})))
    equal(done.stdout, b"", "standard output of deliver")
    equal(done.stderr == b"", done.returncode == 0,
          f"whether it says why ({done.stderr.decode()})")
    return done.returncode


def queue_is_empty(daemon):
    done = daemon.ctl("queue")
    equal(done.returncode, 0, "exit status of mailkeyctl queue")
    return b"@" not in done.stdout


# ---- starting and stopping --------------------------------------------------

def bad_configurations(place):
    """a bad configuration ends with 78 and one line that names the place"""
    daemon = place.daemon()
    equal(daemon.command("mailkeyd", "-t").returncode, 0, "a good one")
    with open(daemon.conf, encoding="utf-8") as f:
        good = f.read()
    line = good.count("\n") + 1
    blocked = place.write("file", "")
    cases = (
        ("unknown option", good + "adress = \"x@example.org\"\n", line),
        ("no address", good.replace(f'address = "{ADDRESS}"', ""), None),
        ("an address that is none",
         good.replace(ADDRESS, "no address"), 1),
        ("a size that is none", good + "cache = 12Q\n", line),
        ("no end of a section", good + "limits {\n", None),
        ("an unknown type",
         good + 'receive "z" { type = pigeon }\n', line),
        ("a language that HELP lacks", good + "language = xx\n", line),
        ("a state directory below a file",
         good.replace(daemon.state, f"{blocked}/state"), None),
    )
    for what, text, at in cases:
        conf = place.write("bad.conf", text)
        done = subprocess.run([f"{B}/mailkeyd", "-c", conf],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=20 * SLOW)
        said = done.stderr.decode().rstrip("\n")
        equal(done.returncode, 78, f"{what}: exit status ({said})")
        equal(said.count("\n"), 0, f"{what}: further lines in {said!r}")
        place_named = f"{conf}:{at}:" if at else conf
        expect(place_named in said or (at is None and blocked in said),
               f"{what}: no {place_named} in {said!r}")
    done = subprocess.run([f"{B}/mailkeyd", "-c", place / "missing"],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=20 * SLOW)
    equal(done.returncode, 78, "a missing file")
    expect((place / "missing") in done.stderr.decode(), "no file name in",
           done.stderr)


def second_daemon(place):
    """a second daemon on the same store is refused, the first goes on"""
    daemon, sink = daemon_and_sink(place)
    done = daemon.command("mailkeyd", timeout=20)
    expect(done.returncode != 0, "the second one started")
    said = done.stderr.decode()
    expect(said.strip(), "it says nothing")
    note(said.strip())
    ask(daemon, sink, "HELP")


def only_line(done, status, what):
    said = done.stderr.decode()
    equal(done.returncode, status, f"{what}: exit status ({said})")
    equal(said.count("\n"), 1, f"{what}: lines in {said!r}")
    return said


def test_leaves_no_trace(place):
    """mailkeyd -t makes nothing, and knows programs that are missing"""
    daemon = place.daemon()
    done = daemon.command("mailkeyd", "-t")
    equal(done.returncode, 0, "exit status")
    expect(b"the first start makes it" in done.stdout, done.stdout)
    expect(not os.path.exists(daemon.state), "it made", daemon.state)
    daemon = place.daemon(name="g", extra='gpg = "/nonexistent"')
    for options in (("-t",), ()):
        said = only_line(daemon.command("mailkeyd", *options), 78, "no gpg")
        expect(f"{daemon.conf}:" in said and "cannot run /nonexistent:" in said,
               said)
    expect(not os.path.exists(daemon.state), "it made", daemon.state)


def places_taken(place):
    """where it cannot listen it names the place in the configuration once"""
    more = place.write("more.conf", 'receive "more" { type = lmtp '
                       f'path = "{place / "plain"}" }}\n')
    place.write("plain", "")
    daemon = place.daemon(extra=f'include("{more}")')
    said = only_line(daemon.command("mailkeyd"), 78, "a plain file")
    equal(said, f"mailkeyd: {more}:1: cannot listen at {place / 'plain'}: it "
          "is no socket; move it away, or choose another path\n", "said")


def store_errors(place):
    """what is wrong with a store is said once, and is what is wrong"""
    daemon = place.daemon()
    daemon.start()
    said = only_line(daemon.command("mailkeyd"), 75, "a second daemon")
    equal(said.count("another process"), 1, f"of it in {said!r}")
    equal(daemon.stop(), 0, "exit status")
    path = os.path.join(daemon.state, "db", "certs.db")
    with open(path, "r+b") as f:
        f.write(bytes(range(1, 256)) * 32)
    said = only_line(daemon.command("mailkeyd"), 74, "a damaged table")
    expect("restore a backup" in said and "owner" not in said, said)
    equal(said.count("damaged"), 1, f"of it in {said!r}")


def sigterm(place):
    """SIGTERM ends the daemon with 0, its helpers with it"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "HELP")
    helpers = daemon.helpers()
    expect(helpers, "no helper processes")
    begin = time.monotonic()
    equal(daemon.stop(), 0, "exit status")
    seconds = time.monotonic() - begin
    expect(seconds < 5 * SLOW, f"it took {seconds:.1f} s")
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}")
                               for p in helpers), 5, "the helpers to end")


def sigterm_in_the_middle(place):
    """SIGTERM with a mail in hand: a 250 means that its answer comes"""
    daemon, sink = daemon_and_sink(place)
    for _ in range(5):
        message_id = new_id()
        code = None
        lmtp = daemon.lmtp()
        lmtp.command(f"MAIL FROM:<{ALICE}>")
        lmtp.command(f"RCPT TO:<{ADDRESS}>")
        equal(lmtp.command("DATA")[0], 354, "DATA")
        lmtp.raw(stuffed(mail("ADD", key("alice.asc"),
                              message_id=message_id)))
        daemon.process.send_signal(signal.SIGTERM)
        try:
            code, _ = lmtp.reply()
        except OSError:
            pass
        lmtp.close()
        equal(daemon.process.wait(30 * SLOW), 0, "exit status")
        expect(code in (None, 250, 421, 451, 452), "answer", code)
        daemon.start()
        if code == 250:
            sink.answer_to(message_id)


def helpers_end(place):
    """after SIGKILL of the daemon its helpers end by themselves"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    helpers = daemon.helpers()
    expect(len(helpers) >= 3, "only", len(helpers), "helpers")
    daemon.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}")
                               for p in helpers), 5, "the helpers to end")


def helpers_restarted(place):
    """killed helpers are restarted, and no mail suffers"""
    daemon, sink = daemon_and_sink(place)
    ask(daemon, sink, "ADD", key("alice.asc"))
    for pid in sorted(daemon.helpers()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        message_id = new_id()

        def taken():
            with daemon.lmtp() as lmtp:
                return lmtp.send(mail("ADD", key("bob.asc"),
                                      message_id=message_id))[0][0] == 250
        wait_until(taken, 20, "a 250 after a helper was killed")
        sink.answer_to(message_id)


# ---- ways in ----------------------------------------------------------------

def once(place):
    """mailkeyd -1 answers on standard output; 75 while a daemon has the store
    """
    daemon = place.daemon()
    done = daemon.once(mail("HELP"))
    equal(done.returncode, 0, f"exit status ({done.stderr.decode()})")
    answer = Delivery("", [], done.stdout)
    equal(answer.subject, "Your command, HELP", "Subject")
    daemon.start()
    done = daemon.once(mail("HELP"))
    equal(done.returncode, 75, "exit status while the daemon runs")
    equal(done.stdout, b"", "standard output while the daemon runs")
    equal(done.stderr.decode().strip().count("\n"), 0, "lines of stderr")
    expect(done.stderr.strip(), "it does not say why")


def deliver_codes(place):
    """deliver ends with 0 or 75 and nothing else, silent on standard output"""
    daemon, sink = daemon_and_sink(place, limits={"message_size": "100K"})
    message_id = new_id()
    equal(deliver(daemon, mail("HELP", message_id=message_id),
                  f"--sender={ALICE}", f"--recipient={ADDRESS}"), 0,
          "a mail with options")
    equal(sink.answer_to(message_id).recipients, [ALICE], "recipient")

    message_id = new_id()
    equal(deliver(daemon, mail("HELP", message_id=message_id),
                  env={"SENDER": "env@example.net", "RECIPIENT": ADDRESS}),
          0, "a mail with an environment")
    equal(sink.answer_to(message_id).recipients, ["env@example.net"],
          "recipient from SENDER")

    message_id = new_id()
    equal(deliver(daemon, b"Return-Path: <rp@example.net>\n"
                  + mail("HELP", message_id=message_id)), 0,
          "a mail with a Return-Path")
    equal(sink.answer_to(message_id).recipients, ["rp@example.net"],
          "recipient from Return-Path")

    message_id = new_id()
    equal(deliver(daemon, b"From alice  Sun Mar  1 12:00:00 2026\n"
                  + mail("HELP", message_id=message_id),
                  f"--sender=<{ALICE}>"), 0, "a mail with a From line")
    sink.answer_to(message_id)

    null_id = new_id()
    equal(deliver(daemon, mail("HELP", message_id=null_id), "--sender="),
          0, "the null sender")

    message_id = new_id()
    equal(deliver(daemon, mail("ADD", b"x" * 70 + b"\n" + b"y\n" * 90000,
                               message_id=message_id),
                  f"--sender={ALICE}"), 0, "a mail that is too large")
    sink.answer_to(message_id)
    expect(not any(d.in_reply_to == null_id for d in sink.got),
           "the null sender was answered")

    equal(deliver(daemon, b"", f"--sender={ALICE}"), 0, "no mail at all")
    equal(deliver(daemon, mail("HELP"), "--no-such-option"), 75,
          "an unknown option")
    equal(daemon.stop(), 0, "exit status")
    equal(deliver(daemon, mail("HELP"), f"--sender={ALICE}"), 75,
          "without the daemon")
    os.remove(daemon.conf)
    equal(deliver(daemon, mail("HELP"), f"--sender={ALICE}"), 75,
          "without a configuration")


def deliver_half_way(place):
    """deliver ends with 75 when the daemon dies half-way"""
    daemon, _ = daemon_and_sink(place)
    daemon.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen(
            [daemon.program("mailkeyctl"), "-c", daemon.conf, "deliver",
             f"--sender={ALICE}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdin.write(mail("HELP"))
        client.stdin.close()
        time.sleep(0.3 * SLOW)
        equal(client.poll(), None, "it did not wait")
        daemon.kill()
        equal(client.wait(20 * SLOW), 75, "exit status")
        equal(client.stdout.read(), b"", "standard output")
        expect(b"ended half-way" in client.stderr.read(), "no reason")


def deliver_slowly(place):
    """slow delivers keep nobody out; more than are served at a time say why"""
    daemon, sink = daemon_and_sink(place)
    argv = [daemon.program("mailkeyctl"), "-c", daemon.conf, "deliver",
            f"--sender={ALICE}"]
    slow = [subprocess.Popen(argv, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(66)]
    for client in slow:
        client.stdin.write(b"Subject: HE")
        client.stdin.flush()
    time.sleep(0.3 * SLOW)
    equal(daemon.ctl("stats").returncode, 0, "stats beside slow delivers")
    for client in slow[1:]:
        client.kill()
        client.communicate()
    said = slow[0].communicate(b"LP\n\n", timeout=60 * SLOW)
    equal(slow[0].returncode, 0, f"a slow deliver ({said})")

    def hold():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(daemon.control)
        return sock
    held = [hold() for _ in range(64)]
    done = subprocess.run(argv, input=mail("HELP"), capture_output=True,
                          timeout=60 * SLOW)
    equal(done.returncode, 75, "the 65th connection")
    expect(b"too many connections" in done.stderr, "it says", done.stderr)
    done = daemon.ctl("stats")
    equal(done.returncode, 75, "stats as the 65th connection")
    expect(b"too many connections" in done.stderr, "it says", done.stderr)
    for sock in held:
        sock.close()


def deliver_nobody(place):
    """a sender that is no address is no reason to come again"""
    daemon, sink = daemon_and_sink(place)
    senders = ("a" * 1500 + "@example.net", '"a b"@example.net', "noat")
    for sender in senders:
        equal(deliver(daemon, mail("HELP"), f"--sender={sender}"), 0,
              f"a sender of {len(sender)} octets")
        equal(deliver(daemon, mail("ADD", key("alice.asc")),
                      f"--sender={sender}"), 0, "an ADD of his")
    stats = daemon.ctl("stats").stdout.decode()
    expect(re.search(r"answered +0\n", stats), stats)
    expect(re.search(r"silent +6\n", stats), stats)
    lines = [s for s in daemon.log().splitlines() if "source=deliver" in s]
    equal(len(lines), 2 * len(senders), f"lines in {lines}")
    for line in lines:
        expect('note="no address to answer"' in line, line)
    equal(sink.got, [], "answers")


def without_landlock(place):
    """without Landlock it works, unless jail_required says otherwise"""
    tool = os.path.join(B, "tools", "nolandlock")
    daemon = place.daemon()
    done = subprocess.run(
        [tool, daemon.program("mailkeyd"), "-1", "-c", daemon.conf],
        input=mail("HELP"), capture_output=True, timeout=60)
    equal(done.returncode, 0, "status of mailkeyd -1")
    expect(b"Subject: Your command, HELP" in done.stdout, done.stdout)
    strict = place.daemon(name="strict", extra="jail_required = yes")
    done = subprocess.run(
        [tool, strict.program("mailkeyd"), "-t", "-c", strict.conf],
        capture_output=True, timeout=60)
    equal(done.returncode, 78, "status with jail_required")
    expect(b"no Landlock" in done.stderr, done.stderr)
    equal(strict.command("mailkeyd", "-t").returncode, 0, "where it is there")


def lmtp_statuses(place):
    """LMTP: a status for each recipient, pipelining, sizes, order"""
    daemon, sink = daemon_and_sink(place, limits={"message_size": "100K"})
    with daemon.lmtp() as lmtp:
        for feature in ("PIPELINING", "8BITMIME", "SIZE"):
            expect(feature in lmtp.features, "no", feature, "in",
                   lmtp.features)
        equal(lmtp.command("DATA")[0], 503, "DATA without MAIL")
        message_id = new_id()
        answers = lmtp.send(mail("HELP", message_id=message_id),
                            to=(ADDRESS, "keys+x@example.org", "a@b.example"))
        equal([a[0] for a in answers], [250] * 3, "three recipients")
        sink.answer_to(message_id)

        ids = [new_id() for _ in range(10)]
        text = b""
        for i in ids:
            text += (f"MAIL FROM:<{ALICE}> BODY=8BITMIME\r\n"
                     f"RCPT TO:<{ADDRESS}>\r\n").encode()
            text += b"DATA\r\n"
            lmtp.raw(text)
            codes = [lmtp.reply()[0] for _ in range(3)]
            equal(codes, [250, 250, 354], "pipelined")
            lmtp.raw(stuffed(mail("HELP", message_id=i)))
            equal(lmtp.reply()[0], 250, "final dot")
            text = b""
        for i in ids:
            sink.answer_to(i)

        equal(lmtp.command(f"MAIL FROM:<{ALICE}> SIZE=999999")[0], 552,
              "an announced size over the limit")
        big = mail("ADD", b"y\n" * 90000)
        equal([a[0] for a in lmtp.send(big)], [552], "a size over the limit")
        message_id = new_id()
        equal(lmtp.send(mail("HELP", message_id=message_id))[0][0], 250,
              "the next mail on the same connection")
        sink.answer_to(message_id)
        equal(lmtp.command("NOOP")[0], 250, "NOOP")
        equal(lmtp.command("RSET")[0], 250, "RSET")
        expect(lmtp.command("EHLO x.example.net")[0] >= 500, "EHLO taken")
        equal(lmtp.command("QUIT")[0], 221, "QUIT")


def lmtp_idle(place):
    """an idle LMTP connection is closed, busy ones beside it are not"""
    daemon, sink = daemon_and_sink(place, limits={"idle_timeout": 2})
    idle, half = daemon.lmtp(), daemon.lmtp()
    half.command(f"MAIL FROM:<{ALICE}>")
    half.command(f"RCPT TO:<{ADDRESS}>")
    half.command("DATA")
    half.raw(b"Subject: HELP\r\n\r\nhalf a line")
    begin = time.monotonic()
    with daemon.lmtp() as busy:
        while time.monotonic() - begin < 4:
            equal(busy.command("NOOP")[0], 250, "NOOP on a busy one")
            time.sleep(0.3)
    for lmtp in (idle, half):
        try:
            equal(lmtp.reply()[0], 421, "what an idle one hears")
            lmtp.raw(b"NOOP\r\n")
            lmtp.reply()
        except OSError:
            pass
        else:
            raise AssertionError("an idle connection is still open")
        lmtp.close()
    ask(daemon, sink, "HELP")


def lmtp_crowd(place):
    """LMTP: sixty connections at once over TCP and the Unix socket"""
    port = free_port()
    daemon, sink = daemon_and_sink(place, port=port)
    ids, failures = [], []

    def client(number):
        where = ("127.0.0.1", port) if number % 2 else daemon.lmtp_path
        try:
            with Lmtp(where) as lmtp:
                barrier.wait(30 * SLOW)
                for _ in range(3):
                    message_id = new_id()
                    equal(lmtp.send(mail("HELP", message_id=message_id))
                          [0][0], 250, "status")
                    ids.append(message_id)
        except Exception as why:
            failures.append(why)

    barrier = threading.Barrier(60)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(not failures, len(failures), "failures:", *failures[:3])
    sink.wait(lambda got: {d.in_reply_to for d in got} >= set(ids), 60,
              "all answers")
    equal(len(sink.got), 180, "answers")


def silence(place):
    """no answer to the null sender, robots, lists, loops, double Subjects"""
    daemon, sink = daemon_and_sink(place)
    ids = []
    cases = (
        ("", ALICE, ()),
        ("mailer-daemon@example.net", "mailer-daemon@example.net", ()),
        (ADDRESS, ADDRESS, ()),
        (ALICE, ALICE, ("Auto-Submitted: auto-replied",)),
        (ALICE, ALICE, ("Auto-Submitted: (a comment) auto-generated; x=y",)),
        (ALICE, ALICE, ("Precedence: bulk",)),
        (ALICE, ALICE, ("List-Id: <list.example.net>",)),
        (ALICE, ALICE, (f"X-Loop: {ADDRESS}",)),
        (ALICE, ALICE, ("Subject: GET alice",)),
        (ALICE, ALICE, ("From: Bob <bob@example.net>",)),
        (ALICE, ALICE, ("Received: from a by b; x",) * 26),
    )
    with daemon.lmtp() as lmtp:
        for envelope, sender, headers in cases:
            ids.append(new_id())
            message = mail("HELP", b"", sender, ids[-1], headers)
            equal(lmtp.send(message, envelope)[0][0], 250,
                  f"status of {envelope!r} {headers}")
    spoken = ask(daemon, sink, "HELP",
                 headers=("Auto-Submitted: (by hand) no",))
    expect(spoken.text(), "an empty answer")
    time.sleep(0.5 * SLOW)
    answered = [n for n, i in enumerate(ids)
                if any(d.in_reply_to == i for d in sink.got)]
    equal(answered, [], "cases answered")
    equal(len(sink.got), 1, "mails sent")


def repeats(place):
    """a mail delivered twice is answered once, after a restart too"""
    daemon, sink = daemon_and_sink(place)
    message_id = new_id()
    message = mail("HELP", message_id=message_id)
    for _ in range(2):
        with daemon.lmtp() as lmtp:
            for trace in (b"", b"Received: from x by y; now\n",
                          b"Delivered-To: keys@example.org\n"):
                equal(lmtp.send(trace + message)[0][0], 250, "status")
        sink.answer_to(message_id)
        equal(daemon.stop(), 0, "exit status")
        daemon.start()
    ask(daemon, sink, "HELP")
    equal(len(sink.got), 2, "answers in all")


# ---- ways out ---------------------------------------------------------------

def outbox_survives(place):
    """answers outlive a stop and a SIGKILL while the sink is down"""
    port = free_port()
    daemon = place.daemon(send=smtp_to(port))
    daemon.start()
    ids = [new_id() for _ in range(5)]
    with daemon.lmtp() as lmtp:
        for i in ids:
            equal(lmtp.send(mail("HELP", message_id=i))[0][0], 250, "status")
    done = daemon.ctl("queue")
    equal(done.returncode, 0, "mailkeyctl queue")
    equal(done.stdout.decode().count(ALICE), 5, "answers queued")
    equal(daemon.stop(), 0, "exit status")
    daemon.start()
    daemon.kill()
    daemon.start()
    sink = place.sink(port=port)
    for i in ids:
        sink.answer_to(i)
    wait_until(lambda: queue_is_empty(daemon), 10, "an empty queue")
    equal(len(sink.got), 5, "answers")
    equal(len({d.message_id for d in sink.got}), 5, "Message-IDs")


def refusals(place):
    """4xx is tried again, 5xx is logged and dropped"""
    seen = {}

    def verdict(recipient, raw):
        seen[recipient] = seen.get(recipient, 0) + 1
        if recipient == "never@example.net":
            return "550 no such user"
        if recipient == "later@example.net" and seen[recipient] < 3:
            return "450 come again"
        return None

    daemon, sink = daemon_and_sink(place, verdict=verdict)
    ids = {}
    with daemon.lmtp() as lmtp:
        for who in ("never@example.net", "later@example.net", ALICE):
            ids[who] = new_id()
            equal(lmtp.send(mail("HELP", b"", who, ids[who]), who)[0][0],
                  250, "status")
    sink.answer_to(ids[ALICE])
    sink.answer_to(ids["later@example.net"], 30)
    wait_until(lambda: queue_is_empty(daemon), 10, "an empty queue")
    equal(seen["never@example.net"], 1, "tries after a 550")
    equal(seen["later@example.net"], 3, "tries with two 450s")
    log = daemon.log()
    expect("no such user" in log, "the refusal is not in the log")


def into_maildir(place):
    """send into a Maildir: one file for each answer"""
    folder = place / "Out"
    daemon = place.daemon(send=maildir_to(folder))
    daemon.start()
    message_id = new_id()
    with daemon.lmtp() as lmtp:
        equal(lmtp.send(mail("HELP", message_id=message_id))[0][0], 250,
              "status")
    [path] = wait_until(lambda: glob.glob(folder + "/new/*"), 10,
                        "a file in new/")
    with open(path, "rb") as f:
        equal(Delivery("", [], f.read()).in_reply_to, message_id,
              "In-Reply-To")
    equal(os.listdir(folder + "/tmp"), [], "files in tmp/")


def by_sendmail(place):
    """send by sendmail: its arguments, its exit statuses"""
    program = place.write("sendmail", f"""#!/bin/sh
printf '%s\\n' "$@" >>{place.path}/arguments
[ -e {place.path}/later ] && exit 75
cat >>{place.path}/message
""")
    os.chmod(program, 0o755)
    place.write("later", "")
    daemon = place.daemon(
        send=f'send {{ type = sendmail path = "{program}" retry = 1s }}')
    daemon.start()
    message_id = new_id()
    with daemon.lmtp() as lmtp:
        equal(lmtp.send(mail("HELP", message_id=message_id))[0][0], 250,
              "status")

    def arguments():
        try:
            with open(place / "arguments", encoding="utf-8") as f:
                lines = f.read().split("\n")
        except FileNotFoundError:
            return None
        return lines[:5] if len(lines) > 5 else None
    equal(wait_until(arguments, 10, "a call"),
          ["-i", "-f", "<>", "--", ALICE], "arguments")
    os.remove(place / "later")
    wait_until(lambda: queue_is_empty(daemon), 15, "an empty queue")
    with open(place / "message", "rb") as f:
        equal(Delivery("", [], f.read()).in_reply_to, message_id,
              "In-Reply-To")


def budget(place):
    """over its budget an address hears nothing, but its keys are stored"""
    daemon, sink = daemon_and_sink(place, limits={"replies_per_hour": 2})
    ask(daemon, sink, "HELP")
    ask(daemon, sink, "HELP")
    with daemon.lmtp() as lmtp:
        for subject, body in (("HELP", b""), ("ADD", key("alice.asc"))):
            equal(lmtp.send(mail(subject, body))[0][0], 250, "status")
    other = ask(daemon, sink, "GET alice", sender="bob@example.net")
    equal(fingerprints(place, other.keys()),
          fingerprints(place, key("alice.asc")), "fingerprints")
    equal(len(sink.got), 3, "answers")


# ---- the operator's tool, secrets, the log ----------------------------------

def operator(place):
    """mailkeyctl import, get, index, stats, dump: with and without a daemon"""
    daemon = place.daemon()
    wanted = {}
    for name in ("alice.asc", "bob.asc"):
        wanted[name] = fingerprints(place, key(name))[0]
        place.write(name, key(name))
    for running in (False, True):
        if running:
            daemon.start()
        done = daemon.ctl("import", place / "alice.asc", place / "bob.asc")
        equal(done.returncode, 0, f"import ({done.stderr.decode()})")
        note(done.stdout.decode().strip())
        for fpr in wanted.values():
            done = daemon.ctl("get", "0x" + fpr)
            equal(done.returncode, 0, f"get ({done.stderr.decode()})")
            equal(fingerprints(place, done.stdout), [fpr], "get")
            done = daemon.ctl("index", "0x" + fpr)
            equal(done.returncode, 0, f"index ({done.stderr.decode()})")
            expect(fpr[-8:] in done.stdout.decode(), "index:", done.stdout)
        expect(daemon.ctl("get", "0x" + "0" * 40).returncode != 0,
               "get of an unknown key succeeds")
        done = daemon.ctl("stats")
        equal(done.returncode, 0, f"stats ({done.stderr.decode()})")
        expect("2" in done.stdout.decode(), "stats:", done.stdout)
        done = daemon.ctl("dump")
        equal(done.returncode, 0, f"dump ({done.stderr.decode()})")
        equal(sorted(fingerprints(place, done.stdout)),
              sorted(wanted.values()), "fingerprints in the dump")
    expect(daemon.ctl("import", place / "missing").returncode != 0,
           "import of a missing file succeeds")


def import_problems(place):
    """import of a file that cannot all be read ends with 65 and says where"""
    daemon = place.daemon()
    alice = gpg_dearmored(place, "alice.asc")
    bob = gpg_dearmored(place, "bob.asc")
    damaged = key("bob.asc").split(b"\n")
    damaged[len(damaged) // 2] = b"!" * 64
    cases = (("noise", alice + b"\0" * 5000 + bob, len(alice)),
             ("armor", key("alice.asc") + b"\n".join(damaged),
              len(key("alice.asc"))),
             # The fingerprint says where.
             ("version 3", key("alice.asc") + key("grace-v3key.asc"), None))
    for running in (False, True):
        if running:
            daemon.start()
        for name, data, at in cases:
            done = daemon.ctl("import", place.write(name, data))
            said = done.stderr.decode()
            equal(done.returncode, 65, f"{name} ({said})")
            expect(b"1 certificates: " in done.stdout, name, done.stdout)
            near = re.search(r"near octet (\d+)", said)
            if at is None:
                expect("27114CFED3AF3FA6F5B67AD4C0A19BEA" in said, name, said)
            else:
                expect(near and abs(int(near[1]) - at) < 100, name, at, said)
            expect("not all of it was taken" in said, name, said)
            equal("next armored block" in said, name == "noise", said)
            expect("please" not in said, "to a sender of mail:", said)
            equal("event=import" in said, False, "a line of the log")
    equal([s.partition("event=")[2] for s in daemon.log().splitlines()
           if "event=import" in s],
          ["import new=0 changed=0 unchanged=1 refused=0 problems=1"] * 3,
          "the log")


def gpg_dearmored(place, name):
    return gpg(place, "--dearmor", stdin=key(name))


def other_user(place):
    """without a daemon the store is opened by its owner only"""
    daemon = place.daemon()
    if os.geteuid() == 0:
        os.mkdir(daemon.state)
        os.chown(daemon.state, 65534, 65534)
    else:
        with open(daemon.conf, encoding="utf-8") as f:
            text = f.read().replace(f'"{daemon.state}"', '"/usr"')
        place.write(daemon.conf, text)
        daemon.state = "/usr"
    before = os.listdir(daemon.state)
    done = daemon.ctl("import", place.write("a", key("alice.asc")))
    equal(done.returncode, 77, f"exit status ({done.stderr.decode()})")
    expect(b"run it as that user" in done.stderr, "it says", done.stderr)
    equal(os.listdir(daemon.state), before, "what was made there")


def secret_key(place):
    """of a secret key nothing is stored, logged or sent"""
    daemon, sink = daemon_and_sink(place)
    block = key("erin.sec.asc")
    answer = ask(daemon, sink, "ADD", block)
    expect("secret" in answer.text().lower(), "no word of it in",
           answer.text())
    equal(answer.keys(), b"", "keys in the answer")
    equal(daemon.stop(), 0, "exit status")
    import base64
    lines = [s for s in block.replace(b"\r", b"").split(b"\n")
             if len(s) == 64 and b":" not in s]
    expect(len(lines) > 2, "too small an example")
    raw = base64.b64decode(b"".join(lines))
    # Any 24 octets in a row of it, raw or armored, anywhere.
    needles = [raw[i:i + 24] for i in range(0, len(raw) - 24, 24)] + lines
    paths = [os.path.join(d, f) for d, _, files in os.walk(daemon.dir)
             for f in files]
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        for n, needle in enumerate(needles):
            expect(needle not in data, "piece", n, "lies in", path)
    for needle in needles:
        expect(needle not in answer.raw, "a piece is in the answer")


def log_lines(place):
    """one line for each mail, which nobody's Subject can break"""
    daemon, sink = daemon_and_sink(place, limits={"message_size": "100K"})
    ask(daemon, sink, "GET =?utf-8?Q?a=0D=0Aoutcome=3Dforged?=")
    ask(daemon, sink, "ADD", key("alice.asc"))
    ask(daemon, sink, "ADD", key("alice.asc") + key("bob.asc"))
    equal(deliver(daemon, mail("GET", b"x\n" * 60000),
                  f"--sender={ALICE}"), 0, "a mail over a limit")
    message_id = new_id()
    with daemon.lmtp() as lmtp:
        lmtp.send(mail("HELP", message_id=message_id),
                  to=("keys+a@example.org",))
    sink.answer_to(message_id)
    equal(daemon.stop(), 0, "exit status")
    log = daemon.log()
    expect("new=1 changed=0 unchanged=0 refused=0 size=" in log, log)
    expect("new=1 changed=0 unchanged=1 refused=0 size=" in log, log)
    expect(re.search(r'outcome=refused note="[^"]*(large|octets|size)', log),
           "no limit named in", log)
    equal(re.findall(r"recipient=(\S+)", log), ["keys+a@example.org"],
          "recipients in the log")
    lines = [s for s in log.splitlines() if "command=" in s]
    equal(len(lines), 4, f"lines in {log}")
    for line in lines:
        for name in ("from=", "outcome=", "delay="):
            expect(name in line, "no", name, "in", line)
    expect(not any(s.startswith("outcome=forged") for s in log.splitlines()),
           "a forged line in", log)
    armored = [s for s in key("alice.asc").decode().split("\n")
               if len(s) == 64]
    expect(armored and armored[0] not in log, "key material in the log")


run(bad_configurations, second_daemon, test_leaves_no_trace, places_taken,
    store_errors, sigterm, sigterm_in_the_middle,
    helpers_end, helpers_restarted, without_landlock, once, deliver_codes,
    deliver_half_way, deliver_slowly, deliver_nobody,
    lmtp_statuses, lmtp_idle, lmtp_crowd, silence, repeats, outbox_survives,
    refusals, into_maildir, by_sendmail, budget, operator, import_problems,
    other_user, secret_key, log_lines)
