#!/usr/bin/env -S python3 -B
# make bench-check A=OLD B=NEW: what became worse between two runs.
#
# OLD and NEW are the table.tsv of runs; a directory stands for its
# bench/table.tsv.  Ratios are compared, ours to a peer's in the same run, since
# times say as much of the machine.  Memory and disk do not: without a peer in
# both runs our own figures of these are compared.  Exit status 1: a row lost
# over 20 percent, or is gone.

import os
import sys

import table

LIMIT = 1.2
OWN = ("MB", "x input")         # units that no machine makes better


class Row:
    def __init__(self, line):
        self.own = line["unit"] in OWN and float(line["ours"])
        self.ratios = {}

    def __bool__(self):
        return bool(self.own or self.ratios)


def read(path):
    if os.path.isdir(path):
        path = os.path.join(path, "bench/table.tsv")
    rows = {}
    for line in table.read_tsv(path):
        row = rows.setdefault((line["size"], line["row"]), Row(line))
        if line["ratio"]:
            row.ratios[line["peer"]] = float(line["ratio"])
    return rows


def compare(name, old, new):
    """How often a row of both was compared, and a line for each loss."""
    peers = [p for p in old.ratios if p in new.ratios]
    worse = "larger" if old.own else "slower"
    lines = []
    for peer in peers:
        a, b = old.ratios[peer], new.ratios[peer]
        if a > b * LIMIT:
            lines.append(f"{worse} by {100 * a / b - 100:.0f} %: {name}: "
                         f"{a:.3g} times {peer}, now {b:.3g} times")
    if peers:
        return len(peers), lines
    if not old.own or not new.own:
        return 0, []
    if new.own > old.own * LIMIT:
        lines.append(f"larger by {100 * new.own / old.own - 100:.0f} %: "
                     f"{name}, by our own figures: {old.own:.3g}, "
                     f"now {new.own:.3g}")
    return 1, lines


def main():
    if len(sys.argv) != 3 or not all(sys.argv[1:]):
        print("usage: make bench-check A=old.tsv B=new.tsv", file=sys.stderr)
        return 64
    old, new = read(sys.argv[1]), read(sys.argv[2])
    compared, worse, gone = 0, [], []
    for key in old:
        name = ", ".join(key)
        if key not in new:
            gone.append(f"gone: {name}")
            continue
        count, lines = compare(name, old[key], new[key])
        compared += count
        worse += lines
        if not count and old[key]:
            gone.append(f"nothing to compare with any more: {name}")
    for line in worse + gone:
        print(line)
    for key in new:
        if key not in old:
            print("new: " + ", ".join(key))
    print(f"{compared} rows compared, {len(worse)} worse by more than 20 %, "
          f"{len(gone)} gone")
    return 1 if worse or gone or not compared else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as why:
        print(f"bench-check: {why}", file=sys.stderr)
        sys.exit(66)
