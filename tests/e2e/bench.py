#!/usr/bin/env -S python3 -B
# The measurement itself (make bench, make bench-check) still works: a run of
# few mails, whose figures say nothing.

import os
import re
import subprocess
import sys

from lib import B, ROOT, SLOW, equal, expect, run

ROWS = ("load look-up,address look-up,once,keyID look-up,disk,word burst,GET "
        "burst,ADD,new burst,ADD,auserIDmore single,INDEX memory start dump "
        "disk import")


def small_run(place):
    """A small run beside the other servers, and its table"""
    env = dict(os.environ, BENCH_QUICK="1", BENCH=ROWS, BENCH_DIR=place.path,
               BENCH_OUT=place.path, N="")
    done = subprocess.run([ROOT + "/tests/bench/bench.py"], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=240 * SLOW)
    expect(done.returncode == 0, done.stderr.decode())
    with open(place / "table.txt", "rb") as f:
        equal(done.stdout.strip(), f.read().strip(), "the table")
    with open(place / "table.tsv", encoding="utf-8") as f:
        names, *lines = (line.rstrip("\n").split("\t") for line in f)
    rows = [dict(zip(names, line)) for line in lines]
    for name in ROWS.split():
        found = [r for r in rows
                 if r["row"].replace(" ", "").startswith(name)]
        expect(found, "no row", name)
        for r in found:
            expect(float(r["ours"]) > 0, r)
    burst = [r for r in rows if r["row"] == "burst, ADD, new"]
    expect(int(burst[0]["signatures"]) > 60, "verified", burst)
    expect(int(burst[0]["commits"]) > 0, "committed", burst)
    for r in rows:
        if r["row"] in ("load", "import into it"):
            equal(r["commits"], "", "commits that nobody has counted")
    for r in rows:
        expect(r["peer"] and (r["theirs"] or r["note"]) or r["peer"] == "",
               "neither a figure nor a reason:", r)
    against_itself(place)
    into_readme(place, rows)


README = """\
# A server

    not a table

## How fast it is

Here:

    old figures
    old figures

Rings:

    stay

## More

    stay, too
"""


def into_readme(place, rows):
    place.write("README.md", README)
    done = subprocess.run([ROOT + "/tests/bench/readme.py",
                           place / "README.md", place / "table.tsv"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal((done.returncode, done.stdout), (0, b""))
    with open(place / "README.md", encoding="utf-8") as f:
        lines = f.read().split("\n")
    begin = lines.index("Here:") + 2
    end = lines.index("", begin)
    equal([*lines[:begin], "    old figures", "    old figures", *lines[end:]],
          README.split("\n"), "what stands around the table")
    expect(all(len(line) <= 80 for line in lines), lines)
    equal([re.split(r"\s\s+", line.strip())[0] for line in lines[begin:end]],
          ["mailkeyd", "certificates"] + list(dict.fromkeys(
              f"{r['row']}, {r['unit']}" for r in rows
              if "p99" not in r["row"] or "GET" in r["row"])), "its rows")


def compare(place, old, new):
    done = subprocess.run(
        ["make", "-s", "bench-check", f"A={place / old}", f"B={place / new}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={k: v for k, v in os.environ.items()
             if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "B")})
    said = re.sub(r"^make: \*\*\*.*\n", "", done.stdout.decode(), flags=re.M)
    return done.returncode, said


def against_itself(place):
    status, said = compare(place, "table.tsv", "table.tsv")
    if status == 2:             # no peer could run here: nothing to compare
        expect("0 rows compared" in said, said)
        return
    equal(status, 0, said)
    expect(re.search(r"[1-9]\d* rows compared, 0 worse.*, 0 gone", said), said)


def write_table(place, name, **ours):
    """A table of the rows that have a figure."""
    rows = (("get", "burst, GET", "mails/s", "onak", "50"),
            ("get", "burst, GET", "mails/s", "sks", ""),
            ("load", "load", "certs/s", "sks", "1"),
            ("dump", "dump", "certs/s", "", ""),
            ("daemon", "memory, daemon", "MB", "sks", "60"),
            ("parsers", "memory, parsers", "MB", "", ""),
            ("disk", "disk after mails", "x input", "", ""))
    lines = ["size\trow\tunit\tours\tpeer\ttheirs\tratio\n"]
    for key, row, unit, peer, theirs in rows:
        if not ours.get(key):
            continue
        ratio = ""
        if theirs:
            ratio = float(theirs) / ours[key]
            ratio = ratio if unit == "MB" else 1 / ratio
        lines.append("\t".join(("1 certificate", row, unit, str(ours[key]),
                                peer, theirs, str(ratio))) + "\n")
    place.write(name, "".join(lines))


GOOD = {"get": 2000, "load": 2, "dump": 10, "daemon": 30, "parsers": 2,
        "disk": 1.5}


def names_losses(place):
    """bench-check names a row that lost over 20 percent, or is gone"""
    write_table(place, "old.tsv", **GOOD)
    for change, compared, said in (
            ({}, 5, []),
            ({"get": 1950, "load": 3, "dump": 1, "parsers": 2.3,
              "disk": 1}, 5, []),
            ({"load": 1.6}, 5, ["slower by 25 %: 1 certificate, load: 2 times "
                                "sks, now 1.6 times"]),
            ({"daemon": 40}, 5, ["larger by 33 %: 1 certificate, memory, "
                                 "daemon: 2 times sks, now 1.5 times"]),
            ({"parsers": 3}, 5, ["larger by 50 %: 1 certificate, memory, "
                                 "parsers, by our own figures: 2, now 3"]),
            ({"disk": 2.1}, 5, ["larger by 40 %: 1 certificate, disk after "
                                "mails, by our own figures: 1.5, now 2.1"]),
            ({"get": None}, 4, ["gone: 1 certificate, burst, GET"]),
            ({"dump": None}, 5, ["gone: 1 certificate, dump"]),
            ({"disk": None}, 4, ["gone: 1 certificate, disk after mails"])):
        write_table(place, "new.tsv", **{**GOOD, **change})
        gone = sum(line.startswith("gone") for line in said)
        equal(compare(place, "old.tsv", "new.tsv"),
              (2 if said else 0,        # of make, after 1
               "".join(line + "\n" for line in said) +
               f"{compared} rows compared, {len(said) - gone} worse by more "
               f"than 20 %, {gone} gone\n"), change)


def without_peers(place):
    """bench-check misses a peer, but not for memory and disk"""
    write_table(place, "old.tsv", **GOOD)
    with open(place / "old.tsv", encoding="utf-8") as f:
        lines = [line.split("\t") for line in f]
    place.write("new.tsv", "".join(
        "\t".join([*line[:4], "", "", ""]).rstrip("\t") + "\t\t\t\n"
        if i else "\t".join(line) for i, line in enumerate(lines)))
    equal(compare(place, "old.tsv", "new.tsv"), (2, """\
nothing to compare with any more: 1 certificate, burst, GET
nothing to compare with any more: 1 certificate, load
3 rows compared, 0 worse by more than 20 %, 2 gone
"""))


def counts_in_the_table(_):
    """What is not counted is no 0 in the table"""
    sys.path.insert(0, f"{ROOT}/tests/bench")
    import table
    sys.path.pop(0)
    for syncs, commits, signatures, said in (
            (None, None, None, ["", "", ""]), (3, None, 70, ["3", "-", "70"]),
            (0, 0, 0, ["0", "0", "0"]), (5, None, None, ["5", "-", "-"])):
        row = table.Row("1 certificate", "load", "certs/s", True)
        row.ours = [1]
        row.syncs, row.commits, row.signatures = syncs, commits, signatures
        (cell, _), = table.cells(row)
        equal(cell[-3:], said)


class Answers:
    """A peer that says always the same."""

    def __init__(self, said):
        self.said = said

    def ready(self):
        pass

    def ask(self, _):
        return 0.001, self.said


def errors_are_no_answers(_):
    """An error page is quick, and no figure of a look-up"""
    sys.path.insert(0, f"{ROOT}/tests/bench")
    import bench as program
    sys.path.pop(0)
    page = b"<html><head><title>%s</title></head><body>%s</body></html>"
    for title, text, why in (
            (b"Error handling request", b"Too many responses", "refuses"),
            (b"Error handling request", b"Insufficiently specific words",
             "refuses"),
            (b"Error handling request", b"page_not_found", "cannot"),
            (b"Search results", b"pub 4096R/01234567", None)):
        try:
            times = program.Size.asked(Answers(page % (title, text)), ["a"],
                                       1000, True)
            expect(why is None and times[0] == 1, text)
        except program.Unable as unable:
            expect(why and why in str(unable), text, unable)


if __name__ == "__main__":
    expect(os.path.isdir(os.path.join(B, "bench")), "make bench-built")
    run(small_run, names_losses, without_peers, counts_in_the_table,
        errors_are_no_answers)
