#!/usr/bin/env -S python3 -B
# make bench-check A=OLD B=NEW: what became slower between two runs.
#
# OLD and NEW are the table.tsv of runs; a directory stands for its
# bench/table.tsv.  Ratios are compared, ours to a peer's in the same run, since
# times say as much of the machine.  Exit status 1: a row lost over 20 percent.

import os
import sys

import table

LIMIT = 1.2


def ratios(path):
    if os.path.isdir(path):
        path = os.path.join(path, "bench/table.tsv")
    return {(r["size"], r["row"], r["peer"]): float(r["ratio"])
            for r in table.read_tsv(path) if r["ratio"]}


def main():
    if len(sys.argv) != 3 or not all(sys.argv[1:]):
        print("usage: make bench-check A=old.tsv B=new.tsv", file=sys.stderr)
        return 64
    old, new = ratios(sys.argv[1]), ratios(sys.argv[2])
    both = [k for k in old if k in new]
    slower = [k for k in both if old[k] > new[k] * LIMIT]
    for size, row, peer in slower:
        a, b = old[size, row, peer], new[size, row, peer]
        print(f"slower by {100 - 100 * b / a:.0f} %: {size}, {row}: "
              f"{a:.3g} times {peer}, now {b:.3g} times")
    for what, keys in (("no more", old.keys() - new.keys()),
                       ("new", new.keys() - old.keys())):
        for size, row, peer in sorted(keys):
            print(f"{what}: {size}, {row}, {peer}")
    print(f"{len(both)} rows compared, {len(slower)} slower by more than "
          "20 %")
    return 1 if slower or not both else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as why:
        print(f"bench-check: {why}", file=sys.stderr)
        sys.exit(66)
