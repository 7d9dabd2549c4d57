"""rawfwd (the limit), PgBouncer and weir before the canned server, alternating: two tables.

compare(): a row per mode, number of clients, load and program. details(): what one program does under one load.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import time

from harness import PROGRAMS, kernel_workers, pgbouncer_version

RAWFWD = ("rawfwd", "rawfwd --epoll")
SPIN = 1000
DETAIL_CLIENTS = 64
PRELOAD = os.path.join(PROGRAMS, "libcount_allocations.so")


def start(servers, name, cpu, spin=0, **settings):
    """(process, port) of the named program before the canned server, pinned to a core."""
    if name == "pgbouncer":
        return servers.start_pgbouncer(cpu, canned=True, **settings)
    if name == "weir":
        return servers.start_weir(1, cpu, canned=True, engine=f"spin = {spin}", **settings)[:2]
    return servers.start_rawfwd(cpu, [*name.split()[1:], "--spin", str(spin)], **settings)


def middle(rounds, name, key):
    return statistics.median(each[name][key] for each in rounds)


def ratio(rounds, key, name, to):
    """The median of the ratios within a round; `to` may be several: the least of them."""
    values = []
    for each in rounds:
        base = min(each[other][key] for other in to if other in each)
        values.append(each[name][key] / max(base, 1e-9))
    return f"{statistics.median(values):.2f}"


def compare(servers, options, csv):
    """Prints the table; returns {(mode, clients, load, program): CPU us per transaction}."""
    programs = {name: start(servers, name, options.cpu) for name in (*RAWFWD, "pgbouncer", "weir")}
    print("\n| mode | clients | load | program | tps | busy | p50 us | p99 us | p99.9 us | CPU us/tx | user | sys | CPU to limit "
          "| CPU to PgBouncer | p99 to PgBouncer |")
    print("|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    points = {}
    for mode in options.modes.split(","):
        names = [name for name in programs if not (name == "pgbouncer" and mode == "prepared" and pgbouncer_version() < (1, 21))]
        for clients, rate in options.loads:
            rounds = []
            for number in range(options.rounds):
                results = {}
                # Whoever comes first in a round has no advantage over the rounds.
                first = number % len(names)
                for name in names[first:] + names[:first]:
                    process, port = programs[name]
                    results[name] = servers.load(port, mode=mode, clients=clients, rate=rate, pid=process.pid,
                                                 cpu=options.load_cpu, seconds=options.seconds, distance_us=options.distance_us)
                    csv.add("canned", number, mode, clients, rate or "closed", name, results[name])
                rounds.append(results)
            load = f"{rate:.0f}/s" if rate else "closed"
            for name in names:
                points[mode, clients, load, name] = middle(rounds, name, "cpu")
                report(mode, clients, load, name, rounds)
    for process, _ in programs.values():
        servers.end(process)
    return points


def report(mode, clients, load, name, rounds):
    to_limit = ratio(rounds, "cpu", name, RAWFWD)
    others = ["-", "-"]
    if name == "weir" and "pgbouncer" in rounds[0]:
        others = [ratio(rounds, key, name, ["pgbouncer"]) for key in ("cpu", "p99")]
    figures = [f"{middle(rounds, name, key):{form}}" for key, form in (
        ("tps", ".0f"), ("busy", ".2f"), ("p50", ".0f"), ("p99", ".0f"), ("p999", ".0f"), ("cpu", ".2f"), ("user", ".2f"),
        ("sys", ".2f"))]
    print(f"| {mode} | {clients} | {load} | {name} | {' | '.join(figures)} | {to_limit} | {' | '.join(others)} |", flush=True)


def details(servers, options, csv):
    names = ("rawfwd", "pgbouncer", "weir")
    columns = {name: details_of(servers, options, name) for name in names}
    for name in names:
        csv.add("details", 0, "simple", DETAIL_CLIENTS, "closed", name, columns[name])
    print(f"\n| simple, {DETAIL_CLIENTS} clients unless said otherwise | {' | '.join(names)} |")
    print("|---|---:|---:|---:|")
    for key in dict.fromkeys(key for name in names for key in columns[name]):
        print(f"| {key} | {' | '.join(str(columns[name].get(key, '-')) for name in names)} |")


def details_of(servers, options, name):
    """{what: figure} of one program."""
    run = lambda to, **more: servers.load(to[1], pid=to[0].pid, cpu=options.load_cpu, **more)
    out = allocations(servers, options, name)
    if name != "pgbouncer":
        out |= loop_counts(servers, options, name)
    program = start(servers, name, options.cpu)
    out["system calls per transaction (under strace)"] = system_calls(servers, options, program)
    out["p50 us, 1 client"] = run(program, clients=1, seconds=options.seconds)["p50"]
    burst = [run(program, task="logins", clients=options.logins) for _ in range(options.rounds)]
    out[f"logins per second, {options.logins} at once"] = int(statistics.median(each["logins_per_second"] for each in burst))
    out["CPU us per login"] = statistics.median(each["cpu"] for each in burst)
    # In pairs, within a round.
    pairs = [[run(program, clients=options.slow_clients, slow=slow, seconds=options.seconds)["p99"]
              for slow in (0, max(1, options.slow_clients // 100))] for _ in range(options.rounds)]
    out[f"p99 us, {options.slow_clients} clients"] = statistics.median(each[0] for each in pairs)
    out["p99 us of the others while 1 % of them read slowly"] = statistics.median(each[1] for each in pairs)
    servers.end(program[0])
    if name != "pgbouncer":
        program = start(servers, name, options.cpu, spin=SPIN)
        out[f"p50 us, 1 client, spin = {SPIN}"] = run(program, clients=1, seconds=options.seconds)["p50"]
        servers.end(program[0])
    # A forwarder of pairs would need twice the descriptors.
    if name != "rawfwd":
        program = start(servers, name, options.cpu)
        out[f"bytes per idle client, {options.idle} of them"] = int(
            run(program, task="idle", clients=options.idle)["bytes_per_client"])
        servers.end(program[0])
    return out


def allocations(servers, options, name):
    counter = servers.path(f"count-of-{name}")
    with open(counter, "wb") as file:
        file.write(bytes(8))
    os.chmod(counter, 0o666)
    process, port = start(servers, name, options.cpu, env=dict(os.environ, LD_PRELOAD=PRELOAD, COUNT_ALLOCATIONS=counter))
    # The buffers have found their sizes before.
    result = servers.load(port, pid=process.pid, cpu=options.load_cpu, clients=DETAIL_CLIENTS, warmup=1, counter=counter,
                          seconds=options.seconds)
    workers = kernel_workers(process.pid)
    servers.end(process)
    return {"allocations per transaction": f"{result['allocations']:.4f}", "kernel workers": workers}


def loop_counts(servers, options, name):
    """What the program's loop counts of itself under a steady load."""
    log = f"log-of-{name}"
    settings = {"proxy": "stats_period = 1"} if name == "weir" else {}
    process, port = start(servers, name, options.cpu, log=log, **settings)
    # Long enough for a whole period of the statistics line.
    servers.load(port, cpu=options.load_cpu, clients=DETAIL_CLIENTS, warmup=1, seconds=max(options.seconds, 2.5))
    servers.end(process)
    with open(servers.path(log), encoding="utf-8", errors="replace") as file:
        told = file.read().splitlines()
    if name == "weir":
        # The first and the last period that had work hold logins and the end.
        periods = [{key: int(value) for key, value in re.findall(r" (\w+)=(\d+)", line)} for line in told
                   if "event=statistics shard=all" in line and " transactions=0 " not in line]
        periods = periods[1:-1] or periods
        sums = {key: sum(each[key] for each in periods) for key in periods[0]}
    else:
        sums = json.loads(told[-1])
    out = {"completions per tick": f"{sums['completions'] / max(1, sums['ticks']):.1f}"}
    if "transactions" in sums:
        out["ticks per transaction"] = f"{sums['ticks'] / max(1, sums['transactions']):.3f}"
    return out | {"receives without a buffer": sums["enobufs"], "short sends": sums["short_sends"]}


def system_calls(servers, options, program):
    """By strace, which slows the program down: batches are larger than they would be. Logins are in it too."""
    process, port = program
    table = servers.path("strace")
    try:
        strace = subprocess.Popen(["strace", "-c", "-f", "-o", table, "-p", str(process.pid)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        return "-"
    attached = strace.stderr.readline()
    if "attached" not in attached:
        strace.wait()
        return "-"
    result = servers.load(port, clients=DETAIL_CLIENTS, cpu=options.load_cpu, warmup=0, seconds=options.seconds)
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=20)
    with open(table, encoding="ascii") as file:
        total = next(line for line in file if line.rstrip().endswith(" total"))
    # % time, seconds, usecs/call, calls, errors
    return f"{int(total.split()[3]) / result['transactions']:.2f}"


class Csv:
    """Every measurement as it is taken: table, round, mode, clients, load, program, what, figure."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8") if path else None
        self.write("table", "round", "mode", "clients", "load", "program", "what", "figure", "at")

    def write(self, *fields):
        if self.file:
            self.file.write(",".join('"%s"' % field if "," in str(field) else str(field) for field in fields) + "\n")
            self.file.flush()

    def add(self, table, number, mode, clients, load, program, figures):
        for what, figure in figures.items():
            self.write(table, number, mode, clients, load, program, what, figure, f"{time.time():.1f}")
