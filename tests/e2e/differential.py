#!/usr/bin/python3
"""Random scripts of several clients must be answered through weir as they are without it.

    --scripts N --seed S    N scripts from seed S on (differential_maker.py makes them); the first that fails is made small and printed
    --script FILE           that script (- : standard input), as it was printed
    --show S                prints the script of a seed
    --shrink                makes the script of FILE small
    --opaque                also triggers, views and the like that change the session, which weir does not see (README, "Limits")
    --all                   all scripts are played, what differs is told as it was found, and the first is made small;
                            Ctrl-C or SIGTERM ends it with what has been played
    --naive                 instead of weir a pooler that minds nothing but transactions: something must be found
    --twice                 instead of weir the server itself: nothing may be found, or scripts do not repeat

Each script plays twice: with a server connection for every client, then through a weir of its own that has fewer backends than
there are clients and gives a client another one whenever it can. Every message must be the same (differential_run.py says
what is let pass, and why). Lanes play scripts at the same time, each in a database of its own. Exit status 1: a script failed.
"""

import argparse
import collections
import concurrent.futures
import functools
import itertools
import os
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import differential_maker  # noqa: E402
import differential_statements as sql  # noqa: E402
from differential_run import Comparison, Connections, SharedConnections, play  # noqa: E402
from differential_script import Script  # noqa: E402
from differential_shrink import shrink  # noqa: E402
from servers import Postgres, Weir, wait_until  # noqa: E402

LANES = 3
MAX_CONNECTIONS = 100   # so that a percent of it is a backend
LEFT_SECONDS = 5
OPAQUE_WEIGHT = 10
LEFT = """select (select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where
  datname = current_database())), (select count(*) from pg_class where relpersistence = 't' and relkind in ('r', 'v', 'S')),
  (select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%')"""


class Server:
    """A PostgreSQL for scripts: without passwords, and with the roles that they know."""

    def __init__(self):
        self.postgres = Postgres(MAX_CONNECTIONS, more="max_prepared_transactions = 40")
        with open(os.path.join(self.postgres.data, "pg_hba.conf"), "w", encoding="ascii") as file:
            file.write("host all all 127.0.0.1/32 trust\n")
        with self.postgres.connect() as connection:
            connection.execute("select pg_reload_conf()")
            connection.execute(sql.ROLES)
        self.lock = threading.Lock()
        self.free = []
        self.count = 0

    def lane(self):
        """One that is free, or a new one; it is given back with `free.append`."""
        with self.lock:
            if self.free:
                return self.free.pop()
            self.count += 1
            return Lane(self.postgres, f"lane{self.count}")

    def close(self):
        for lane in self.free:
            lane.control.close()
        self.postgres.close()


class Lane:
    """A database in which one script after another plays."""

    def __init__(self, postgres, database):
        self.postgres = postgres
        self.database = database
        with postgres.connect() as connection:
            connection.execute(f"create database {database}")
            connection.execute(f"alter database {database} set search_path = play")
        self.control = postgres.connect(dbname=database)
        self.log = []

    def ask(self, text):
        return self.control.execute(text).fetchall()

    def make_world(self, script):
        wait_until(lambda: self.ask("select count(*) from pg_stat_activity where datname = current_database() and "
                                    "backend_type = 'client backend' and pid <> pg_backend_pid()") == [(0,)],
                   what="the sessions of the last run to end")
        for (name,) in self.ask("select gid from pg_prepared_xacts where database = current_database()"):
            self.control.execute(f"rollback prepared '{name}'")
        self.control.execute(sql.WORLD + (sql.OPAQUE_WORLD if script.opaque else ""))

    def direct(self, script):
        self.make_world(script)
        return play(script, Connections(self.postgres.port, self.database, script.startup))

    def naive(self, script):
        self.make_world(script)
        return play(script, SharedConnections(self.postgres.port, self.database, script.startup, script.backends))

    def through_weir(self, script):
        self.make_world(script)
        weir = Weir(self.postgres.port, engine=f"shards = {script.shards}", auth='client_password_auth_type = "TRUST"',
                    pool=f'max_connections_percent = {script.backends}\ndebug_borrow = "rotate"\nconnection_borrow_timeout = 5')
        try:
            answers = play(script, Connections(weir.port, self.database, script.startup))
            try:
                wait_until(lambda: self.ask(LEFT) == [(0, 0, 0)], LEFT_SECONDS, "nothing to be left behind")
            except AssertionError:
                answers.append(["left behind when all clients had gone: advisory locks, temporary relations, transactions",
                                *self.ask(LEFT)[0]])
        finally:
            self.log = weir.lines
            weir.close()
        return answers

    def compare(self, script, way="through_weir"):
        direct = self.direct(script)
        through = getattr(self, way)(script)
        comparison = Comparison(script, direct, through)
        if len(through) > len(direct) and not comparison.differs():
            comparison.step, comparison.through = len(script.steps) - 1, through[-1]
        return comparison


def smaller(lane, script, comparison, way, seconds=60):
    return shrink(script, lambda less: lane.compare(less, way).differs(), comparison.step, seconds)


class Campaign:
    """Plays many scripts; ends at the first that fails, or tells what differs and goes on."""

    def __init__(self, server, way="through_weir", make=differential_maker.make, goes_on=False):
        self.goes_on = goes_on
        self.server = server
        self.way = way
        self.make = make
        self.failed = None     # (Script, Comparison), of the lowest seed
        self.failures = 0
        self.played = 0
        self.steps = 0
        self.let_pass = collections.Counter()
        self.lock = threading.Lock()
        self.stopped = False   # by Ctrl-C: what has been played counts

    def one(self, seed):
        if self.stopped or self.failed is not None and not self.goes_on:
            return
        script = self.make(seed)
        lane = self.server.lane()
        comparison = lane.compare(script, self.way)
        with self.lock:
            self.server.free.append(lane)
            self.played += 1
            self.steps += len(script.steps)
            self.let_pass.update(comparison.let_pass)
            self.failures += comparison.differs()
            if comparison.differs() and self.goes_on:
                print(f"seed {seed}, {script.steps[comparison.step]}: {comparison.text()}", flush=True)
            if comparison.differs() and (self.failed is None or self.failed[0].seed > seed):
                self.failed = script, comparison

    def run(self, seed, count, lanes=LANES):
        with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
            try:
                for done, _ in enumerate(pool.map(self.one, range(seed, seed + count)), 1):
                    if self.goes_on and done % 100 == 0:
                        print(f"{time.strftime('%T')} up to seed {seed + done - 1}: {self.played} played, {self.failures} failed", flush=True)
            except KeyboardInterrupt:
                self.stopped = True
        return self.failed is None

    def story(self, seconds=60):
        """What is to be told of the script that failed: made small, and how to play it again."""
        script, comparison = self.failed
        lane = self.server.lane()
        try:
            small = smaller(lane, script, comparison, self.way, seconds)
            told = lane.compare(small, self.way)
        finally:
            self.server.free.append(lane)
        again = "" if told.differs() else "# It did not fail again when it was played alone.\n"
        return (f"seed {script.seed}: {comparison.text()}of {len(script.steps)} steps {len(small.steps)} are enough; "
                f"tools/dev differential --script FILE plays these lines:\n\n{again}{small.text()}\n"
                f"{told.text() if told.differs() else ''}{log_of(lane)}")

    def summary(self):
        lines = [f"{self.played} scripts of {self.steps} steps gave the same answers" if self.failed is None
                 else f"{self.played} scripts played, {self.failures} failed"]
        lines += [f"  let pass {count} times: {reason}" for reason, count in sorted(self.let_pass.items())]
        return "\n".join(lines)


def log_of(lane):
    return "".join(f"  weir: {line}\n" for line in itertools.islice(lane.log, 40))


def play_file(server, options, way):
    with sys.stdin if options.script == "-" else open(options.script, encoding="utf-8") as file:
        script = Script.read(file.read())
    lane = server.lane()
    comparison = lane.compare(script, way)
    if options.shrink and comparison.differs():
        script = smaller(lane, script, comparison, way)
        comparison = lane.compare(script, way)
        print(script.text())
    server.free.append(lane)
    print(comparison.text() + log_of(lane) if comparison.differs() else "the same answers")
    return 1 if comparison.differs() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--script")
    parser.add_argument("--show", type=int)
    parser.add_argument("--lanes", type=int, default=LANES)
    for flag in ("--shrink", "--opaque", "--all", "--naive", "--twice"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    way = "naive" if options.naive else "direct" if options.twice else "through_weir"
    weights = {"opaque": OPAQUE_WEIGHT} if options.opaque else {}
    make = functools.partial(differential_maker.make, weights=weights)
    if options.show is not None:
        print(make(options.show).text(), end="")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = Server()
    try:
        if options.script:
            return play_file(server, options, way)
        campaign = Campaign(server, way, make, options.all)
        good = campaign.run(options.seed, options.scripts, options.lanes)
        print(campaign.summary() if good else campaign.summary() + "\n" + campaign.story())
        return 0 if good else 1
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
