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
             if k not in ("MAKEFLAGS", "MFLAGS", "B")})
    return done.returncode, done.stdout.decode()


def against_itself(place):
    status, said = compare(place, "table.tsv", "table.tsv")
    if status == 2:             # no peer could run here: nothing to compare
        expect("0 rows compared" in said, said)
        return
    equal(status, 0, said)
    expect(re.search(r"[1-9]\d* rows compared, 0 slower", said), said)


TABLE = """\
size\trow\tpeer\tratio
1 certificate\tburst, GET\tonak\t{get}
1 certificate\tload\tsks\t{load}
1 certificate\tdump\tsks\t
"""


def names_slower(place):
    """bench-check names a row that lost more than 20 percent"""
    place.write("old.tsv", TABLE.format(get=40, load=2))
    place.write("new.tsv", TABLE.format(get=39, load=1.5))
    status, said = compare(place, "old.tsv", "new.tsv")
    equal(status, 2, said)      # of make, after 1
    equal(said.splitlines()[:2],
          ["slower by 25 %: 1 certificate, load: 2 times sks, now 1.5 times",
           "2 rows compared, 1 slower by more than 20 %"])
    status, said = compare(place, "new.tsv", "old.tsv")
    equal((status, said), (0, "2 rows compared, 0 slower by more than 20 %\n"))


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
    run(small_run, names_slower, errors_are_no_answers)
