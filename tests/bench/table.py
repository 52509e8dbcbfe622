# The table of a run: rows, and how they are written and read.

import statistics

COLUMNS = ("size", "row", "unit", "ours", "ours_min", "ours_max", "peer",
           "theirs", "theirs_min", "theirs_max", "ratio", "mails", "syncs",
           "commits", "signatures", "note")


def figure(x):
    """Three digits that count."""
    if x >= 100:
        return f"{x:,.0f}"
    if x >= 10:
        return f"{x:.1f}"
    return f"{x:.2f}" if x >= 1 else f"{x:.3g}"


class Row:
    """One kind of work: our figures, and those of each peer.

    more: the greater figure is the better one.  The ratio says how many times
    better we are.
    """

    def __init__(self, size, name, unit, more=False):
        self.size, self.name, self.unit, self.more = size, name, unit, more
        self.ours, self.peers = [], []
        self.mails = self.syncs = self.commits = self.signatures = None
        self.note = ""

    def add_peer(self, name, figures, note=""):
        self.peers.append((name, list(figures), note))

    def ratio(self, theirs):
        if not theirs or not self.ours:
            return None
        a, b = statistics.median(self.ours), statistics.median(theirs)
        if self.more:
            return a / b if b else None
        return b / a if a else None

    def count(self, before, after, mails, times):
        """Of one time, on average."""
        commits, signatures, syncs = (
            (b - a) / times for a, b in zip(before, after))
        self.mails, self.commits = mails, round(commits)
        self.signatures, self.syncs = round(signatures), round(syncs)

    def lines(self):
        """As values of COLUMNS, one line for each peer."""
        def three(x):
            if not x:
                return ["", "", ""]
            return [f"{y:.6g}" for y in (statistics.median(x), min(x), max(x))]
        counts = ["" if x is None else str(x) for x in
                  (self.mails, self.syncs, self.commits, self.signatures)]
        for peer, theirs, note in self.peers or [("", [], "")]:
            ratio = self.ratio(theirs)
            yield [self.size, self.name, self.unit, *three(self.ours), peer,
                   *three(theirs), "" if ratio is None else f"{ratio:.4g}",
                   *counts, "; ".join(x for x in (self.note, note) if x)]


def write_tsv(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\t".join(COLUMNS) + "\n")
        for row in rows:
            for line in row.lines():
                f.write("\t".join(line) + "\n")


def read_tsv(path):
    with open(path, encoding="utf-8") as f:
        names = f.readline().rstrip("\n").split("\t")
        return [dict(zip(names, line.rstrip("\n").split("\t"))) for line in f]


def spread(x):
    if not x:
        return ""
    middle = figure(statistics.median(x))
    if len(x) == 1:
        return middle
    return f"{middle} ({figure(min(x))}-{figure(max(x))})"


HEAD = ("row", "unit", "mailkeyd", "peer", "theirs", "ratio", "syncs",
        "commits", "verified")


def cells(row):
    """The lines of a row for people, and what is to be said below.  A peer
    without figures is in what is said only.  Where some things are counted, "-"
    stands for what is not."""
    counts = (row.syncs, row.commits, row.signatures)
    unknown = "" if counts == (None, None, None) else "-"
    counts = [unknown if x is None else f"{x:,}" for x in counts]
    first = [row.name, row.unit, spread(row.ours)]
    some = any(theirs for _, theirs, _ in row.peers)
    peers = row.peers if some else [("none", [], "")] + row.peers
    for peer, theirs, note in peers:
        ratio = row.ratio(theirs)
        if not theirs and peer != "none":
            yield None, f"{peer}: {note}"
            continue
        yield (first + ["" if peer == "none" else peer, spread(theirs),
                        "" if ratio is None else f"{figure(ratio)} x"]
               + counts, f"{peer}: {note}" if note else "")
        first, counts = ["", "", ""], ["", "", ""]


def text(rows, title):
    """The table, a part for each size."""
    out = [title, ""]
    for size in dict.fromkeys(row.size for row in rows):
        part = [row for row in rows if row.size == size]
        lines, notes = [list(HEAD)], {}
        for row in part:
            for cell, note in cells(row):
                if cell:
                    lines.append(cell)
                for said in (note, row.note):
                    if said:
                        notes.setdefault(said, []).append(row.name)
        wide = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
        out.append(size)
        for line in lines:
            out.append("  " + "  ".join(
                c.ljust(w) if i in (0, 1, 3) else c.rjust(w)
                for i, (c, w) in enumerate(zip(line, wide))).rstrip())
        out.append("")
        for note, names in notes.items():
            names = list(dict.fromkeys(names))
            some = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
            out.append(f"  {note} ({some})")
        if notes:
            out.append("")
    return "\n".join(out)
