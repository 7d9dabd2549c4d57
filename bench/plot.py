"""A picture of CPU per transaction over the number of clients, as SVG: one panel a mode, one line a program."""

COLOURS = {"rawfwd": "#4d4d4d", "rawfwd --epoll": "#9e9e9e", "pgbouncer": "#d95f02", "weir": "#1b6ca8"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 260, 220, 50, 50, 40


def text(x, y, words, anchor="middle", size=11):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{words}</text>'


def panel(x0, mode, points, counts, top):
    """`points`: {(clients, program): figure}."""
    out = [text(x0 + WIDTH / 2, TOP - 10, mode, size=13)]
    place = lambda clients, figure: (x0 + WIDTH * (counts.index(clients) + 0.5) / len(counts), TOP + HEIGHT * (1 - figure / top))
    for step in range(6):
        y = TOP + HEIGHT * (1 - step / 5)
        out.append(f'<path d="M{x0} {y:.1f}h{WIDTH}" stroke="#e0e0e0"/>')
        out.append(text(x0 - 6, y + 4, f"{top * step / 5:g}", "end"))
    for clients in counts:
        out.append(text(place(clients, 0)[0], TOP + HEIGHT + 16, clients))
    for program, colour in COLOURS.items():
        line = [place(clients, points[clients, program]) for clients in counts if (clients, program) in points]
        if line:
            out.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}" fill="none" stroke="{colour}" '
                       'stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
    return out


def plot(path, points):
    """`points`: {(mode, clients, load, program): CPU us per transaction}; the closed loops are drawn."""
    closed = {key: figure for key, figure in points.items() if key[2] == "closed"}
    modes = list(dict.fromkeys(key[0] for key in closed))
    counts = sorted({key[1] for key in closed})
    most = max(closed.values())
    # A round number of which fifths are round too.
    top = next(step for step in (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 500, 1000, 10000) if step >= most)
    width = LEFT + len(modes) * (WIDTH + GAP)
    height = TOP + HEIGHT + 70
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           text(LEFT, 20, "CPU per transaction (us) over the number of clients", "start", 14)]
    for number, mode in enumerate(modes):
        mine = {(key[1], key[3]): figure for key, figure in closed.items() if key[0] == mode}
        out += panel(LEFT + number * (WIDTH + GAP), mode, mine, counts, top)
    for number, (program, colour) in enumerate(COLOURS.items()):
        x, y = LEFT + number * 130, height - 20
        out += [f'<path d="M{x} {y - 4}h20" stroke="{colour}" stroke-width="2"/>', text(x + 26, y, program, "start")]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")
