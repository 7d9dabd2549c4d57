"""What everyday clients do, through weir."""

import asyncio
import os
import re
import signal
import subprocess
import threading

import asyncpg
import psycopg
import pytest

from servers import PASSWORD, wait_until
from wire import SYNC, Wire, bind, error_code, execute, message, parse, query, FLUSH

BACKENDS = 'max_connections_percent = 25\nconnection_borrow_timeout = 20'


def run(program, port, *args, seconds=60):
    result = subprocess.run([program, "-h", "127.0.0.1", "-p", str(port), "-U", "app", *args], capture_output=True,
                            text=True, timeout=seconds, env=dict(os.environ, PGPASSWORD=PASSWORD))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_psql(weir):
    assert run("psql", weir.port, "-Atc", "select 6 * 7", "postgres").strip() == "42"
    assert "ERROR" in subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(weir.port), "-U", "app", "-c", "selec", "postgres"],
                                     capture_output=True, text=True, env=dict(os.environ, PGPASSWORD=PASSWORD)).stderr


@pytest.fixture(scope="module")
def pgbench_tables(postgres):
    run("pgbench", postgres.port, "-i", "-q", "-s", "1", "postgres")


@pytest.mark.parametrize("mask", ["", "no_fast_wake", "one_shot_receive", "tiny_rings", "flood", "burst"])
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(start_weir, pgbench_tables, mode, mask):
    weir = start_weir(pool=BACKENDS, mask=mask)
    clients = "200" if mask == "" else "40"
    out = run("pgbench", weir.port, "-n", "-S", "-M", mode, "-c", clients, "-j", "2", "-t", "50", "postgres")
    assert "number of failed transactions: 0" in out
    assert f"number of transactions actually processed: {int(clients) * 50}/{int(clients) * 50}" in out


def test_pgbench_writes(weir, pgbench_tables, postgres):
    out = run("pgbench", weir.port, "-n", "-c", "50", "-j", "2", "-t", "20", "postgres")
    assert "number of failed transactions: 0" in out
    assert postgres.backends() <= 10


def test_a_thousand_clients_over_five_backends(start_weir, pgbench_tables, postgres):
    weir = start_weir(pool="max_connections_percent = 13\nconnection_borrow_timeout = 30")
    out = run("pgbench", weir.port, "-n", "-S", "-c", "1000", "-j", "2", "-t", "5", "postgres", seconds=80)
    assert "number of transactions actually processed: 5000/5000" in out
    assert postgres.backends() <= 5


def test_transactions_and_errors(weir):
    with weir.connect(autocommit=False) as connection:
        connection.execute("create table if not exists tx (a int primary key)")
        connection.execute("delete from tx")
        connection.execute("insert into tx values (1)")
        connection.commit()
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("insert into tx values (1)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("select 1")
        connection.rollback()
        assert connection.execute("select count(*) from tx").fetchone() == (1,)


def test_psycopg_prepares_and_deallocates(weir):
    with weir.connect() as connection:
        connection.prepare_threshold = 0
        connection.prepared_max = 2
        for i in range(20):
            assert connection.execute(f"select {i} + %s::int", (i,)).fetchone() == (2 * i,)
    assert not weir.find("pinned")


def test_asyncpg(weir):
    async def main():
        pool = await asyncpg.create_pool(host="127.0.0.1", port=weir.port, user="app", password=PASSWORD,
                                         database="postgres", min_size=4, max_size=12, ssl=False)
        async def one(i):
            async with pool.acquire() as connection:
                async with connection.transaction():
                    assert await connection.fetchval("select $1::int + 1", i) == i + 1
                    assert await connection.fetchval("select $1::text", str(i)) == str(i)
        await asyncio.gather(*(one(i) for i in range(100)))
        await pool.close()
    asyncio.run(main())


def test_a_statement_prepared_once_runs_on_any_backend(start_weir):
    weir = start_weir(pool=BACKENDS + '\ndebug_borrow = "rotate"')
    others = [weir.connect(autocommit=False) for _ in range(3)]
    for each in others:
        each.execute("select 1")      # four backends at least
    wire = Wire(weir.port)
    assert wire.login()[0] == b"Z"
    wire.send(parse("mine", "select pg_backend_pid()::text || ' mine'") + SYNC)
    assert [kind for kind, _ in wire.ready()] == [b"1", b"Z"]
    for each in others:
        each.commit()
    pids = set()
    for _ in range(20):
        wire.send(bind("mine") + execute() + SYNC)
        replies = wire.ready()
        assert [kind for kind, _ in replies] == [b"2", b"D", b"C", b"Z"], replies
        assert replies[1][1].endswith(b" mine")
        pids.add(replies[1][1])
    assert len(pids) > 1
    wire.close()
    for each in others:
        each.close()


def test_two_clients_alternate_a_split_unnamed_statement_over_one_backend(start_weir):
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 20")
    wires = [Wire(weir.port) for _ in range(2)]
    for each in wires:
        assert each.login()[0] == b"Z"
    for round_number in range(5):
        for i, each in enumerate(wires):
            each.send(parse("", f"select 'client {i} round {round_number}'") + SYNC)
            assert [kind for kind, _ in each.ready()] == [b"1", b"Z"]
        for i, each in enumerate(wires):
            each.send(bind("") + execute() + SYNC)
            assert f"client {i} round {round_number}".encode() in each.ready()[1][1]
    # A client without one never runs another's.
    third = Wire(weir.port)
    third.login()
    third.send(bind("") + execute() + SYNC)
    assert error_code(third.ready()[0][1]) == "26000"
    for each in wires + [third]:
        each.close()


def test_extended_protocol_details(weir):
    wire = Wire(weir.port)
    wire.login()
    # A portal with a row limit, inside a transaction, with Flush and no Sync.
    wire.send(query("begin"))
    wire.ready()
    wire.send(parse("", "select generate_series(1, 3)") + bind("", "p") + execute(2, "p") + FLUSH)
    assert [kind for kind, _ in wire.until(b"s")] == [b"1", b"2", b"D", b"D", b"s"]
    wire.send(execute(2, "p") + SYNC)
    assert [kind for kind, _ in wire.ready()] == [b"D", b"C", b"Z"]
    # An error: everything up to Sync is skipped, the next batch works.
    wire.send(query("rollback"))
    wire.ready()
    wire.send(parse("", "selec") + bind("") + execute() + SYNC + parse("", "select 1") + bind("") + execute() + SYNC)
    assert [kind for kind, _ in wire.ready()] == [b"E", b"Z"]
    assert [kind for kind, _ in wire.ready()] == [b"1", b"2", b"D", b"C", b"Z"]
    # Empty query, and a pipeline of thousands.
    wire.send(query(""))
    assert [kind for kind, _ in wire.ready()] == [b"I", b"Z"]
    count = 3000
    threading.Thread(target=lambda: wire.send((parse("", "select 'x'") + bind("") + execute() + SYNC) * count)).start()
    for _ in range(count):
        assert [kind for kind, _ in wire.ready()] == [b"1", b"2", b"D", b"C", b"Z"]
    # FunctionCall: length(text) has the oid 1317.
    wire.send(message(b"F", b"\0\0\x05\x25" + b"\0\0" + b"\0\1" + b"\0\0\0\3ABC" + b"\0\0"))
    assert [kind for kind, _ in wire.ready()] == [b"V", b"Z"]
    wire.close()


def test_copy_both_ways(weir):
    with weir.connect() as connection:
        connection.execute("create table if not exists copied (a int, b text)")
        connection.execute("truncate copied")
        with connection.cursor() as cursor:
            with cursor.copy("copy copied from stdin") as copy:
                for i in range(20000):
                    copy.write_row((i, "x" * 50))
            with cursor.copy("copy copied to stdout") as copy:
                assert sum(1 for _ in copy.rows()) == 20000
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                with cursor.copy("copy copied from stdin") as copy:
                    copy.write(b"not a row\n")
        assert connection.execute("select count(*) from copied").fetchone() == (20000,)
        with pytest.raises(psycopg.errors.QueryCanceled):
            with connection.cursor() as cursor, cursor.copy("copy copied from stdin") as copy:
                raise psycopg.errors.QueryCanceled("copy fail")
        assert connection.execute("select 1").fetchone() == (1,)
    assert not weir.find("pinned")


def test_large_results_and_large_queries(weir):
    with weir.connect() as connection:
        size = 5_000_000
        assert len(connection.execute("select repeat('x', %s)", (size,)).fetchone()[0]) == size
        text = "y" * 3_000_000
        assert connection.execute("select length(%s)", (text,)).fetchone() == (len(text),)
        assert connection.execute(psycopg.sql.SQL("select length({})").format(text), prepare=False).fetchone() == (len(text),)


def test_an_error_of_any_length(weir):
    with weir.connect() as connection:
        connection.execute("create temporary table t (x int)")   # pinned, so that the function stays
        connection.execute("create function pg_temp.fail(n int) returns void language plpgsql as "
                           "$$ begin raise exception '%', repeat('x', n); end $$")
        for length in (10, 65536, 1000000):
            with pytest.raises(psycopg.errors.RaiseException) as caught:
                connection.execute("select pg_temp.fail(%s)", [length])
            assert caught.value.diag.message_primary == "x" * length
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("mask", ["", "no_zero_copy", "no_fast_wake", "one_shot_receive", "tiny_rings", "flood", "burst"])
def test_large_transfers_without_copying(start_weir, postgres, mask):
    """A large result, a large query and COPY both ways, at once on four connections; a slow reader and one that leaves."""
    weir = start_weir(pool=BACKENDS, engine='shards = 2\nzero_copy_send = "16KiB"', mask=mask)
    assert bool(weir.find("event=zero_copy_send_unavailable")) == (mask == "no_zero_copy")
    with weir.connect() as connection:
        connection.execute("create table if not exists moved (mover int, number int, text text)")
        connection.execute("truncate moved")
    slow = Wire(weir.port, timeout=60)
    slow.login(password=PASSWORD)
    slow.send(query("select repeat(chr(97 + i % 26), 100000) from generate_series(0, 99) i"))
    leaver = Wire(weir.port, timeout=60)
    leaver.login(password=PASSWORD)
    leaver.send(query("select repeat('x', 100000) from generate_series(1, 400)"))
    failures = []

    def move(mover):
        try:
            with weir.connect() as connection, connection.cursor() as cursor:
                rows = [(mover, number, f"{number};" * 200) for number in range(4000)]
                with cursor.copy("copy moved from stdin") as copy:
                    for row in rows:
                        copy.write_row(row)
                with cursor.copy(f"copy (select number, text from moved where mover = {mover} order by number) to stdout") as copy:
                    copy.set_types(["int4", "text"])
                    assert list(copy.rows()) == [row[1:] for row in rows]
                text = "".join(f"{number};" for number in range(500_000))
                assert connection.execute("select %s", (text,)).fetchone() == (text,)
                assert connection.execute("select string_agg(i || ';', '' order by i) from generate_series(0, 499999) i").fetchone() == (text,)
        except BaseException as error:
            failures.append(error)
    movers = [threading.Thread(target=move, args=(mover,)) for mover in range(4)]
    for mover in movers:
        mover.start()
    leaver.reset()
    for mover in movers:
        mover.join(60)
    assert not failures, failures
    rows = [body[6:] for kind, body in slow.ready() if kind == b"D"]
    assert rows == [bytes([97 + number % 26]) * 100000 for number in range(100)]
    slow.close()


def test_cancel_of_a_running_query(weir):
    with weir.connect() as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")
        timer.join()
        assert connection.execute("select 1").fetchone() == (1,)


def test_cancel_of_a_waiting_query(start_weir):
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 60")
    with weir.connect(autocommit=False) as holder, weir.connect() as waiter:
        holder.execute("select 1")
        timer = threading.Timer(0.3, waiter.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiter.execute("select 1")
        timer.join()
        holder.commit()
        assert waiter.execute("select 2").fetchone() == (2,)


def test_cancel_that_comes_before_the_server_has_begun(start_weir):
    """PostgreSQL takes no notice of it: it must come again."""
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 20", engine="shards = 1")
    with weir.connect() as connection:
        server = connection.execute("select pg_backend_pid()").fetchone()[0]
        told = []

        def ask():
            try:
                told.append(connection.execute("select pg_sleep(60)").fetchone())
            except psycopg.errors.QueryCanceled as error:
                told.append(error)

        def told_of_a_link():
            weir.signal(signal.SIGUSR1)
            return weir.find("event=describe .* linked=1")

        def interrupted():
            with open(f"/proc/{server}/status", encoding="ascii") as file:
                pending = re.search(r"^ShdPnd:\s*(\w+)$", file.read(), re.MULTILINE).group(1)
            return int(pending, 16) & 1 << (signal.SIGINT - 1)
        os.kill(server, signal.SIGSTOP)
        try:
            asker = threading.Thread(target=ask)
            asker.start()
            wait_until(told_of_a_link, what="the request to reach the server's connection")
            connection.cancel()
            wait_until(interrupted, what="the cancel to reach the server's process")
        finally:
            os.kill(server, signal.SIGCONT)
        asker.join(30)
        assert len(told) == 1 and isinstance(told[0], psycopg.errors.QueryCanceled)
        assert connection.execute("select 1").fetchone() == (1,)


def test_startup_parameters_are_part_of_the_session(weir):
    with weir.connect(options="-c search_path=pg_catalog -c work_mem=5MB", application_name="mine") as connection:
        for _ in range(3):
            assert connection.execute("show search_path").fetchone() == ("pg_catalog",)
            assert connection.execute("show work_mem").fetchone() == ("5MB",)
        assert connection.info.parameter_status("application_name") == "mine"
    with weir.connect() as connection:
        assert connection.execute("show search_path").fetchone() != ("pg_catalog",)
    with pytest.raises(psycopg.OperationalError, match="no_such_setting"):
        weir.connect(options="-c no_such_setting=1")


def test_init_query(start_weir):
    weir = start_weir(pool=BACKENDS + "\ninit_query = \"set search_path to pg_catalog; set work_mem = '7MB'\"")
    with weir.connect() as connection:
        assert connection.execute("show work_mem").fetchone() == ("7MB",)
        assert connection.execute("show search_path").fetchone() == ("pg_catalog",)
        # A reset undoes it on that backend, which nobody gets after that.
        for reset in ("reset all", "discard all", "reset work_mem"):
            connection.execute(reset)
            assert connection.execute("show work_mem").fetchone() == ("7MB",)


def test_idle_clients_hold_no_backend(weir, postgres):
    clients = [weir.connect() for _ in range(30)]
    for each in clients:
        each.execute("select 1")
    wait_until(lambda: postgres.backends("state <> 'idle'") == 0)
    assert postgres.backends() <= 10
    for each in clients:
        each.close()
