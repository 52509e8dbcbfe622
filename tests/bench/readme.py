#!/usr/bin/env -S python3 -B
# Puts the figures of runs of make bench into README.md:
#
#	tests/bench/readme.py README.md TABLE.TSV...
#
# A row that stands in several of them is the last one's.  Of the peers the
# figures are those with the most certificates.

import sys

import table

TITLE = "## How fast it is\n"
PEERS = {"onak": "onak", "sks": "SKS", "gpg": "gpg"}


def figure(text):
    if not text:
        return "-"
    x = float(text)
    return f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"


def short(size):
    """10k of 10,000 certificates."""
    n = int(size.split(" ")[0].replace(",", ""))
    for unit, sign in ((1000000, "M"), (1000, "k")):
        if n % unit == 0:
            return f"{n // unit}{sign}"
    return str(n)


class Runs:
    """Figures by size, row and server, "" being mailkeyd."""

    def __init__(self, paths):
        self.figures, self.rows = {}, {}
        for path in paths:
            for r in table.read_tsv(path):
                where = (r["size"], r["row"])
                self.rows.setdefault(r["size"], {})[r["row"]] = r["unit"]
                self.figures[where + ("",)] = r["ours"]
                if r["peer"]:
                    self.figures[where + (r["peer"],)] = r["theirs"]

    def sizes(self):
        """Of certificates that were made, the least first."""
        found = [s for s in self.rows if s.endswith(" certificates")
                 and not s.startswith("from ")]
        return sorted(found, key=lambda s: (len(s), s))

    def block(self, head, columns, left_out):
        """Lines of a table; columns: (size, server)."""
        lines = list(head)
        for row, unit in self.rows[columns[-1][0]].items():
            if left_out(row):
                continue
            cells = [figure(self.figures.get((size, row, server)))
                     for size, server in columns]
            lines.append([f"{row}, {unit}", *cells])
        wide = [max(len(line[i]) for line in lines)
                for i in range(len(columns) + 1)]
        gap = "  " if sum(wide) + 2 * len(columns) <= 76 else " "
        return ["    " + gap.join(
            [line[0].ljust(wide[0])] +
            [c.rjust(w) for c, w in zip(line[1:], wide[1:])]).rstrip()
            for line in lines]

    def made(self):
        sizes = self.sizes()
        columns = [(s, "") for s in sizes] + [(sizes[-1], "onak"),
                                              (sizes[-1], "sks")]
        return self.block(
            [["", "mailkeyd", *[""] * (len(sizes) - 1), "onak", "SKS"],
             ["certificates"] + [short(s) for s, _ in columns]], columns,
            lambda row: "p99" in row and "GET" not in row)

    def rings(self):
        size = next((s for s in self.rows if s.startswith("Debian")), None)
        if not size:
            return None
        return self.block([["Debian's keyrings", "mailkeyd", *PEERS.values()]],
                          [(size, p) for p in ("", *PEERS)], lambda row: False)


def put(text, blocks):
    """The README with its first indented blocks below TITLE replaced."""
    at = text.index(TITLE) + len(TITLE)
    out, lines = [], text[at:].split("\n")
    while lines:
        if blocks and lines[0].startswith("    "):
            old = []
            while lines[0].startswith("    "):
                old.append(lines.pop(0))
            out += blocks.pop(0) or old
        else:
            out.append(lines.pop(0))
    return text[:at] + "\n".join(out)


def main():
    if len(sys.argv) < 3:
        print("usage: tests/bench/readme.py README.md TABLE.TSV...",
              file=sys.stderr)
        return 64
    path, *tables = sys.argv[1:]
    runs = Runs(tables)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(put(text, [runs.made(), runs.rings()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
