#!/usr/bin/python3
"""A picture of a figure over the number of clients, as SVG: one panel a mode, one line a program.

bench/plot.py FILE.csv... --out cpu.svg     draws the canned table's closed loops of one or several `bench/run --csv FILE.csv`
"""

import argparse
import collections
import csv
import dataclasses
import math
import statistics

DASHES = ' stroke-dasharray="5 4"'


@dataclasses.dataclass
class Look:
    title: str
    axis: str
    programs: dict   # name -> (what it is called, colour, dashed)


CPU = Look("CPU per transaction over the number of clients, one core, closed loop", "CPU, us per transaction",
           {"rawfwd": ("rawfwd (io_uring)", "#4d4d4d", False), "rawfwd --epoll": ("rawfwd (epoll)", "#9a9a9a", True),
            "pgbouncer": ("PgBouncer", "#d95f02", False), "weir": ("weir", "#1b6ca8", False)})
WIDTH, HEIGHT, LEFT, TOP, GAP, BELOW = 262, 230, 66, 72, 36, 54
# A panel's left and right edge are this far from its first and last point.
MARGIN = 20
STEPS = 5


def text(x, y, words, anchor="middle", size=12, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>{words}</text>'


def stroke(colour, dashed):
    return f'stroke="{colour}" stroke-width="2"{DASHES if dashed else ""}'


def panel(x0, mode, points, counts, top, look):
    """`points`: {(clients, program): figure}."""
    out = [text(x0 + WIDTH / 2, TOP - 10, mode, size=13, more=' font-weight="bold"')]
    span = math.log(counts[-1] / counts[0])

    def place(clients, figure):
        along = math.log(clients / counts[0]) / span if span else 0.5
        return x0 + MARGIN + (WIDTH - 2 * MARGIN) * along, TOP + HEIGHT * (1 - figure / top)

    for step in range(STEPS + 1):
        y = TOP + HEIGHT * (1 - step / STEPS)
        out.append(f'<path d="M{x0} {y:.1f}h{WIDTH}" stroke="{"#dddddd" if step else "#666666"}"/>')
        out.append(text(x0 - 6, y + 4, f"{top * step / STEPS:g}", "end"))
    for clients in counts:
        x = place(clients, 0)[0]
        out.append(f'<path d="M{x:.1f} {TOP + HEIGHT}v4" stroke="#666666"/>')
        out.append(text(x, TOP + HEIGHT + 18, f"{clients:,}"))
    out.append(text(x0 + WIDTH / 2, TOP + HEIGHT + 38, "clients (log scale)"))
    for program, (_, colour, dashed) in look.programs.items():
        line = [place(clients, points[clients, program]) for clients in counts if (clients, program) in points]
        if line:
            out.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}" fill="none" {stroke(colour, dashed)}/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
    return out


def plot(path, points, look=CPU):
    """`points`: {(mode, clients, load, program): figure}; the closed loops are drawn."""
    closed = {key: figure for key, figure in points.items() if key[2] == "closed"}
    modes = list(dict.fromkeys(key[0] for key in closed))
    counts = sorted({key[1] for key in closed})
    most = max(closed.values())
    # A round number of which fifths are round too.
    top = next(step for step in (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 500, 1000, 10000) if step >= most)
    width = LEFT + max(len(modes) * (WIDTH + GAP), 150 * len(look.programs))
    height = TOP + HEIGHT + BELOW
    middle = TOP + HEIGHT / 2
    # The ground is part of the picture: pages are dark, too.
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="Helvetica, Arial, sans-serif" fill="#222222">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           text(LEFT, 22, look.title, "start", 15),
           text(20, middle, look.axis, more=f' transform="rotate(-90 20 {middle:g})"')]
    for number, (name, colour, dashed) in enumerate(look.programs.values()):
        x, y = LEFT + number * 150, 43
        out.append(f'<path d="M{x} {y - 4}h24" {stroke(colour, dashed)}/>')
        out.append(f'<circle cx="{x + 12}" cy="{y - 4}" r="3" fill="{colour}"/>')
        out.append(text(x + 30, y, name, "start"))
    for number, mode in enumerate(modes):
        mine = {(key[1], key[3]): figure for key, figure in closed.items() if key[0] == mode}
        out += panel(LEFT + number * (WIDTH + GAP), mode, mine, counts, top, look)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


def read(paths):
    """plot()'s points: the medians over the rounds of all files."""
    rounds = collections.defaultdict(list)
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["table"] == "canned" and row["what"] == "cpu":
                    rounds[row["mode"], int(row["clients"]), row["load"], row["program"]].append(float(row["figure"]))
    return {key: statistics.median(figures) for key, figures in rounds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="+", help="written by bench/run --csv")
    parser.add_argument("--out", required=True, help="the SVG to write")
    options = parser.parse_args()
    points = read(options.csv)
    if not any(key[2] == "closed" for key in points):
        parser.error(f"no closed loop of the canned table in {', '.join(options.csv)}; write one with "
                     "bench/run --tables canned --csv FILE.csv")
    plot(options.out, points)


if __name__ == "__main__":
    main()
