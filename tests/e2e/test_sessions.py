"""No session state leaks; no client sees another's rows."""

import random
import signal
import threading
import time

import psycopg
import pytest

from servers import wait_until
from wire import Wire, error_code, query

ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"


def test_a_pin_is_told_and_nothing_of_it_leaks(start_weir, postgres):
    weir = start_weir(pool="max_connections_percent = 6\nconnection_borrow_timeout = 20")
    with weir.connect() as setter, weir.connect() as other:
        setter.execute("do $$ begin perform setseed(0.5); set work_mem = '9MB'; end $$")
        line = weir.wait_for_log("was pinned to the database connection")
        assert "[proxyEndpoint=default] [clientConnection=" in line and "[WARN]" in line
        assert 'Digest: "do $1"' in line
        for _ in range(5):
            assert other.execute("show work_mem").fetchone() != ("9MB",)
            assert setter.execute("show work_mem").fetchone() == ("9MB",)
        setter.close()
        weir.wait_for_log("released the database connection")
        for _ in range(5):
            assert other.execute("show work_mem").fetchone() != ("9MB",)


def test_what_a_vanished_client_has_set_never_leaks(start_weir, postgres):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    # The setting is committed, and the request still under way.
    wire.send(query("set work_mem = '9MB'; commit; select pg_sleep(20)"))
    wait_until(lambda: postgres.backends("query like '%pg_sleep(20)%' and state = 'active'") == 1, what="the request to run")
    wire.reset()
    with weir.connect() as other:
        assert other.execute("show work_mem").fetchone() != ("9MB",)


@pytest.mark.parametrize("statement", [
    "create temp table t (a int)", "select 1; prepare p as select 1", "listen x", "select pg_advisory_lock(1)",
    "select set_config('work' || '_mem', '9MB', false)",
    "declare c cursor with hold for select 1", "load 'plpgsql'", "set seed = 0.5",
])
def test_what_pins(weir, statement):
    with weir.connect() as connection:
        connection.execute(statement)
        weir.wait_for_log("was pinned")


@pytest.mark.parametrize("statement", [
    "set work_mem = '9MB'", "set role app", "select set_config('work_mem', '9MB', false)",
    "begin; set local work_mem = '9MB'; commit", "select set_config('work_mem', '9MB', true)", "select pg_advisory_xact_lock(1)",
    "prepare p as select 1", "reset all", "discard all", "deallocate all", "close all", "unlisten *", "notify x", "show all", "select now()",
    "explain select 1", "insert into tagged values ('x')", "vacuum tagged",
])
def test_what_does_not_pin(weir, statement):
    with weir.connect() as connection:
        connection.execute(statement, prepare=False)
        connection.execute("select 1")
    assert not weir.find("pinned")


def test_sequence_values_are_never_anothers(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as two:
        mine = one.execute("select nextval('numbers')").fetchone()
        assert one.execute("select currval('numbers')").fetchone() == mine
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            two.execute("select currval('numbers')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            two.execute("select lastval()")
    assert not weir.find("was pinned")


def test_where_sequences_are_read_a_write_keeps_the_backend_until_the_next_transaction(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as two:
        one.execute("select nextval('numbers')")
        one.execute("select currval('numbers')")
        mine = one.execute("select nextval('numbers')").fetchone()
        weir.wait_for_log("was pinned .* until the client's next transaction ends.* Reason: A sequence value")
        assert not weir.find("released the database connection")
        assert one.execute("select lastval()").fetchone() == mine
        weir.wait_for_log("released the database connection .* Reason: A sequence value")
        assert two.execute("select 1").fetchone() == (1,)


def test_what_a_gone_client_left_is_rolled_back(start_weir, postgres):
    weir = start_weir(pool=ONE)
    for how in ("close", "reset"):
        wire = Wire(weir.port)
        wire.login()
        wire.send(query("begin; insert into tagged values ('left behind')"))
        wire.ready()
        getattr(wire, how)()
        with weir.connect() as other:
            assert other.execute("select count(*) from tagged where tag = 'left behind'").fetchone() == (0,)
            assert other.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert postgres.backends() == 1


def test_a_complete_request_of_a_client_that_closed_runs_to_its_end(start_weir, postgres):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    wire.send(query("insert into tagged select 'ran on' from pg_sleep(0.5)"))
    wire.close()
    wait_until(lambda: postgres.query("select count(*) from tagged where tag = 'ran on'") == [(1,)])


@pytest.mark.parametrize("shards, borrow, mask", [(1, "off", ""), (2, "off", ""), (4, "rotate", ""), (2, "rotate", "tiny_rings,flood")])
def test_every_answer_carries_its_questions_tag(start_weir, postgres, shards, borrow, mask):
    """Many clients, errors, cancels, disconnects, overload: nobody ever sees another's row."""
    weir = start_weir(pool=f'max_connections_percent = 10\nconnection_borrow_timeout = 20\ndebug_borrow = "{borrow}"',
                      engine=f"shards = {shards}", mask=mask)
    wrong = []
    stop = time.monotonic() + 7
    counts = {"rows": 0, "errors": 0, "connections": 0, "cancels": 0}

    def client(seed):
        chance = random.Random(seed)
        try:
            while time.monotonic() < stop:
                with weir.connect(autocommit=True) as connection:
                    counts["connections"] += 1
                    connection.prepare_threshold = chance.choice([None, 0, 2])
                    for number in range(chance.randrange(1, 40)):
                        tag = f"{seed}-{number}-{chance.random()}"
                        action = chance.random()
                        if action < 0.06:
                            try:
                                connection.execute("select 1 / 0")
                            except psycopg.errors.DivisionByZero:
                                counts["errors"] += 1
                            continue
                        if action < 0.09:
                            timer = threading.Timer(0.01, connection.cancel)
                            timer.start()
                            try:
                                connection.execute("select pg_sleep(0.2), %s::text", (tag,))
                            except psycopg.errors.QueryCanceled:
                                counts["cancels"] += 1
                            timer.join()
                            continue
                        if action < 0.11:
                            wire = Wire(weir.port)
                            wire.login()
                            wire.send(query(f"select '{tag}' from generate_series(1, 1000)"))
                            wire.reset()
                            continue
                        if action < 0.3:
                            with connection.transaction():
                                assert connection.execute("select 1").fetchone() == (1,)
                                row = connection.execute("select %s::text", (tag,)).fetchone()
                        elif action < 0.4:
                            rows = connection.execute("select %s::text from generate_series(1, 500)", (tag,)).fetchall()
                            row = rows[0] if len(rows) == 500 and set(rows) == {(tag,)} else ("mixed",)
                        else:
                            row = connection.execute("select %s::text", (tag,)).fetchone()
                        counts["rows"] += 1
                        if row != (tag,):
                            wrong.append((tag, row))
        except psycopg.errors.QueryCanceled:
            pass   # a cancel that came after its query hits the client's own next one, as without a proxy
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(24)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong, wrong[:5]
    assert counts["rows"] > 300 and counts["errors"] > 3 and counts["connections"] > 24, counts
    weir.signal(signal.SIGUSR1)
    weir.wait_for_log("event=describe", count=shards)
    weir.wait_for_log("route=[0-9]+ database=postgres user=app waiters=0")
    assert wait_until(lambda: postgres.backends("state like '%transaction%'") == 0)
