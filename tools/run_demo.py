#!/usr/bin/python3
"""Shows weir at work: builds it, starts a throw-away PostgreSQL and weir before it, runs pgbench through weir and directly.

tools/demo          stops all it started at the end
tools/demo --keep   leaves both running and prints the psql line to try
"""

import os
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
BUILD = os.path.join(ROOT, "build")
CLIENTS = 200
SECONDS = 10


def build():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        subprocess.run(["meson", "setup", BUILD, ROOT], check=True, stdout=subprocess.DEVNULL)
    print("building ...", flush=True)
    subprocess.run(["ninja", "--quiet", "-C", BUILD, "pool/weir"], check=True)


def backends_while(servers, work):
    """What work() returns, and the most client backends that the server had meanwhile (pgbench's and weir's)."""
    most = 0
    done = threading.Event()

    def count():
        nonlocal most
        while not done.wait(0.5):
            found = servers.psql("select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'", check=False)
            most = max(most, int(found or 0))
    thread = threading.Thread(target=count)
    thread.start()
    try:
        return work(), most
    finally:
        done.set()
        thread.join()


def main():
    keep = sys.argv[1:] == ["--keep"]
    if sys.argv[1:] and not keep:
        sys.exit(__doc__)
    build()
    from harness import PASSWORD, Servers
    servers = Servers()
    try:
        print("starting PostgreSQL ...", flush=True)
        servers.start_postgres()
        _, port, config = servers.start_weir(0, endpoint="")
        print(f"weir listens on 127.0.0.1:{port}; its configuration: {config}\n", flush=True)
        rows = []
        for mode in ("simple", "extended", "prepared"):
            # weir first: its idle backends are few, those of direct clients are gone when they are.
            for where, to in (("through weir", port), ("direct", servers.postgres_port)):
                print(f"pgbench -S -M {mode}, {CLIENTS} clients, {where}, {SECONDS} s ...", flush=True)
                result, backends = backends_while(servers, lambda: servers.pgbench(to, mode, CLIENTS, SECONDS))
                rows.append((mode, where, result, backends))
                time.sleep(0.5)
        print(f"\n{'mode':10} {'':14} {'tps':>8} {'p50 ms':>8} {'p99 ms':>8} {'clients':>8} {'backends':>9} {'errors':>7}")
        for mode, where, result, backends in rows:
            print(f"{mode:10} {where:14} {result['tps']:8.0f} {result['p50']:8.2f} {result['p99']:8.2f} {CLIENTS:8} "
                  f"{backends:9} {result['failed']:7}")
        print("\n(direct runs use one backend per client; weir's warm backends stay connected beside them)")
        if keep:
            print(f"\nleft running; try:\n  PGPASSWORD={PASSWORD} psql -h 127.0.0.1 -p {port} -U app postgres")
            print(f"stop with:\n  kill {' '.join(str(each.pid) for each in reversed(servers.processes))}\n"
                  f"and when they have ended:\n  rm -r {servers.folder}")
    finally:
        if not keep:
            servers.stop()


main()
