#!/usr/bin/python3
"""PostgreSQL's own regression suite through weir, test by test beside what a direct connection gives.

The suite runs twice on this machine, each time on a fresh server: directly, then through weir. What psql printed must be the same.
Tests that may differ stand with their reasons in tests/regress/differences.md.
"""

import argparse
import collections
import difflib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import typing

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import regress_suite  # noqa: E402
import run_tests  # noqa: E402
import servers  # noqa: E402

ACCEPTED = os.path.join(ROOT, "tests", "regress", "differences.md")
CONNECTIONS = 100
CHANGED_PERCENT = 90   # of the borrows that follow a transaction of the same client, with --rotate
STRANGE_PERCENT = 10   # of the direct outputs may be other than what the suite expects; more, and little was tested
LINES_SHOWN = 6
# Of tools/test: what does much to its sessions.
FAST = ("advisory_lock", "async", "guc", "largeobject", "namespace", "plancache", "plpgsql", "polymorphism", "portals", "portals_p2",
        "prepare", "prepared_xacts", "privileges", "rowsecurity", "sequence", "temp", "transactions", "triggers",
        "updatable_views", "xml")


class Accepted(typing.NamedTuple):
    lines: int   # so many may differ, not more
    reason: str


def accepted_differences(text, rotate):
    """test -> what is accepted of it, from the rows of a table; some of them only with --rotate."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|", 3)] for line in text.splitlines() if line.startswith("|")]
    return {test: Accepted(int(lines), reason) for test, run, lines, reason in rows[2:] if rotate or run == "all"}


def difference(direct, through):
    """The lines of a diff, without context; none if both are the same."""
    lines = list(difflib.unified_diff(direct.splitlines(), through.splitlines(), "direct", "weir", lineterm="", n=0))
    return lines[2:] if lines else (["(only line ends differ)"] if direct != through else [])


def read(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def compare(tests, direct, through):
    """test -> diff lines, from two folders of results."""
    found = {}
    for test in tests:
        texts = [read(os.path.join(folder, f"{test}.out")) for folder in (direct, through)]
        if None in texts:
            found[test] = [f"no output {' or '.join(name for name, text in zip(('directly', 'through weir'), texts) if text is None)}"]
        else:
            found[test] = difference(*texts)
    return found


def unexpected(tests, results, expected):
    """The tests whose output is none of those that the suite expects."""
    words = lambda text: None if text is None else text.split()   # noqa: E731
    wanted = lambda test: [path for shape in ("", "_[0-9]")   # noqa: E731
                           for path in glob.glob(os.path.join(glob.escape(expected), f"{test}{shape}.out"))]
    return [test for test in tests
            if words(read(os.path.join(results, f"{test}.out"))) not in [words(read(path)) for path in wanted(test)]]


def pins(log):
    """reason -> number, and how many lines the log left out."""
    reasons = collections.Counter()
    left_out = 0
    for line in log:
        if found := re.search(r"was pinned to the database connection .* Reason: ([^.]*)\.", line):
            reasons[found.group(1)] += 1
        if found := re.search(r"\((\d+) such lines left out\)", line):
            left_out += int(found.group(1))
    return reasons, left_out


def total(log, name):
    """Of a counter of the statistics lines."""
    return sum(int(found.group(1)) for line in log if (found := re.search(rf"event=statistics shard=all .*\b{name}=(\d+)", line)))


class Run:
    """The suite, on a fresh server, in a folder that has the same name in every run."""

    def __init__(self, suite, folder, schedule, options):
        self.suite, self.folder, self.options = suite, folder, options
        self.place = os.path.join(folder, "run")
        self.schedule = schedule

    def prepare(self):
        shutil.copytree(self.suite.folder, self.place)
        with open(os.path.join(self.place, "schedule"), "w", encoding="utf-8") as file:
            file.write(self.schedule)
        if os.geteuid() == 0:   # the server reads and writes here, too
            for folder, _, files in os.walk(self.place):
                for path in [folder, *(os.path.join(folder, name) for name in files)]:
                    servers.Postgres.give_to_postgres(path)

    def pg_regress(self, port):
        place = self.place
        command = [self.suite.program, "--host=127.0.0.1", f"--port={port}", "--user=app", f"--bindir={self.suite.binaries}",
                   f"--inputdir={place}", f"--outputdir={place}", f"--dlpath={place}", f"--schedule={place}/schedule",
                   f"--max-connections={self.options.jobs}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment["PGPASSWORD"] = servers.PASSWORD
        with open(os.path.join(place, "said"), "wb") as said:
            process = subprocess.Popen(servers.Postgres.as_postgres(*command), cwd=place, env=environment, stdout=said, stderr=said,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                process.wait(self.options.minutes * 60)
            except subprocess.TimeoutExpired:
                print(f"after {self.options.minutes} minutes the suite had not ended: it was stopped", flush=True)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def __call__(self, name, front):
        """Runs it in a folder that is called `name` afterwards; front(server) gives the port and is closed by the caller."""
        self.prepare()
        server = servers.Postgres(max_connections=CONNECTIONS)
        try:
            self.pg_regress(front(server))
        finally:
            server.stop()
            shutil.copy(os.path.join(server.folder, "log"), os.path.join(self.place, "server.log"))
            server.close()
        os.rename(self.place, os.path.join(self.folder, name))
        return os.path.join(self.folder, name, "results")


def through_weir(run, rotate):
    """The results' folder and the log's lines."""
    weirs = []

    def front(server):
        pool = f"max_idle_connections_percent = 20\nbackend_idle_timeout = 1\ndebug_borrow = \"{'rotate' if rotate else 'off'}\""
        weirs.append(servers.Weir(server.port, pool=pool, proxy="stats_period = 1"))
        return weirs[0].port
    weir = None
    try:
        results = run("weir", front)
        weir = weirs[0]
        # What was counted last stands in the next line.
        weir.wait_for_log("shard=all", count=len(weir.find("shard=all")) + 2)
    finally:
        for weir in weirs:
            weir.close()
            with open(os.path.join(run.folder, "weir.log"), "w", encoding="utf-8") as file:
                file.write("\n".join(weir.lines) + "\n")
    return results, weir.lines


def report(found, accepted):
    """Prints the table; returns how many differ that may not."""
    width = max(map(len, found))
    differ = wrong = 0
    for test, lines in found.items():
        if not lines:
            print(f"{test:{width}}  same")
            continue
        differ += 1
        changed = sum(1 for line in lines if not line.startswith("@@"))
        if test in accepted and changed <= accepted[test].lines:
            print(f"{test:{width}}  differs, accepted: {accepted[test].reason}")
            continue
        wrong += 1
        print(f"{test:{width}}  differs" + (f" in {changed} lines, accepted are {accepted[test].lines}" if test in accepted else ""))
        print("\n".join(f"    {line}" for line in lines[:LINES_SHOWN]))
        if len(lines) > LINES_SHOWN:
            print(f"    ... {len(lines) - LINES_SHOWN} more lines")
    print(f"\n{len(found) - differ} same, {differ} differ ({differ - wrong} of them accepted)")
    return wrong


def report_log(log, rotate):
    """Prints pins and borrows; returns whether enough borrows changed their backend."""
    reasons, left_out = pins(log)
    print(f"{sum(reasons.values()) + left_out} pins")
    for reason, count in reasons.most_common():
        print(f"    {count:5} {reason}")
    if left_out:
        print(f"    {left_out:5} of which the log leaves the reason out")
    again, other = total(log, "borrowed_again"), total(log, "borrowed_other")
    percent = 100 * other / again if again else 0
    print(f"{again} borrows by clients that had a backend before, {other} of them ({percent:.1f} %) got another one")
    if rotate and percent < CHANGED_PERCENT:
        print(f"too few: at least {CHANGED_PERCENT} % must change")
        return False
    return True


def run_both(suite, schedule, options):
    """Runs the schedule directly and through weir: (test -> diff lines, direct outputs that are strange, the log's lines)."""
    tests = [test for group in regress_suite.groups_of(schedule) for test in group]
    folder = tempfile.mkdtemp(prefix="weir-regress-")
    os.chmod(folder, 0o755)
    try:
        run = Run(suite, folder, schedule, options)
        if os.geteuid() == 0:
            servers.Postgres.give_to_postgres(folder)
        print(f"{len(tests)} tests of PostgreSQL's regression suite directly ...", flush=True)
        direct = run("direct", lambda server: server.port)
        print(f"{len(tests)} tests through weir ...", flush=True)
        through, log = through_weir(run, options.rotate)
        strange = unexpected(tests, direct, os.path.join(suite.folder, "expected"))
        return compare(tests, direct, through), strange, log
    finally:
        if options.keep:
            print(f"results and logs are in {folder}")
        else:
            shutil.rmtree(folder)


def newest_server():
    return max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))


def fast():
    """A part of the suite that does much to its sessions, on backends that change: (passed, failed, names of what could not run)."""
    options = parse(["--rotate", "--minutes", "5"])
    try:
        suite = regress_suite.get(options.cache, newest_server())
    except regress_suite.Unavailable as error:
        print(f"PostgreSQL's regression suite is skipped: {error}", flush=True)
        return 0, 0, list(FAST)
    known = {test for group in regress_suite.groups_of(suite.schedule) for test in group}
    schedule = regress_suite.part_of(suite.schedule, [test for test in FAST if test in known])
    found, strange, log = run_both(suite, schedule, options)
    wrong = report(found, accepted_differences(read(ACCEPTED), rotate=True))
    if strange:
        print(f"not what the suite expects, directly: {', '.join(strange)}", flush=True)
    good = report_log(log, rotate=True) and len(strange) <= len(found) * STRANGE_PERCENT / 100
    return len(found) - wrong, wrong + (0 if good else 1), [test for test in FAST if test not in known]


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/dev regress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", help="a,b,c: only these and what they depend on")
    parser.add_argument("--rotate", action="store_true", help="a client never gets the backend that it had last")
    parser.add_argument("--jobs", type=int, default=20, help="tests at a time (20)")
    parser.add_argument("--minutes", type=int, default=20, help="what one run of the suite may take (20)")
    parser.add_argument("--keep", action="store_true", help="leaves results and logs, and says where")
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/weir-regress"), help="where the suite is kept")
    return parser.parse_args(words)


def main():
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("tools/dev regress: stopped by a signal"))   # what it started ends, too
    run_tests.build()
    try:
        suite = regress_suite.get(options.cache, newest_server())
        schedule = regress_suite.part_of(suite.schedule, options.tests.split(",")) if options.tests else suite.schedule
    except (regress_suite.Unavailable, ValueError) as error:
        sys.exit(f"tools/dev regress: {error}")
    found, strange, log = run_both(suite, schedule, options)
    wrong = report(found, accepted_differences(read(ACCEPTED), options.rotate))
    print(f"{len(found) - len(strange)} direct outputs are what the suite expects, {len(strange)} are not: {', '.join(strange)}".rstrip(": "))
    good = report_log(log, options.rotate)
    return 1 if wrong or not good or len(strange) > len(found) * STRANGE_PERCENT / 100 else 0


if __name__ == "__main__":
    sys.exit(main())
