"""Statements that SQL prepares follow their client from backend to backend, and are nobody else's."""

import psycopg
import pytest

from wire import SYNC, Wire, bind, error_code, execute, message, parse, query

ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"
# Another backend for every transaction.
TWO = 'max_connections_percent = 6\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"'


def run(connection, sql):
    cursor = connection.execute(sql, prepare=False)
    return cursor.fetchall() if cursor.description else cursor.statusmessage


@pytest.fixture
def two(start_weir):
    return start_weir(pool=TWO, engine="shards = 1")


@pytest.fixture
def warm(two):
    """Both backends are there."""
    with two.connect() as one, two.connect() as other:
        one.execute("begin")
        other.execute("select 1")
        one.execute("rollback")
    return two


def test_what_sql_prepares_is_there_in_every_transaction(warm):
    with warm.connect() as one:
        run(one, "prepare p as select 1")
        run(one, "prepare q (int) as select $1 + 1;")
        run(one, 'prepare "P x" as select current_setting(\'search_path\')')
        backends = set()
        for number in range(6):
            backends.add(run(one, "select pg_backend_pid()")[0])
            assert run(one, "execute p") == [(1,)]
            assert run(one, f"execute q({number})") == [(number + 1,)]
            assert run(one, 'execute "P x"') == [('"$user", public',)]
            assert run(one, "explain (costs off) execute q(1)") == [("Result",)]
            run(one, "set search_path = annex")
            assert run(one, 'execute "P x"') == [("annex",)]
            run(one, "reset search_path")
            run(one, "select 'so that the next turn begins on the other one'")
        assert len(backends) == 2
        assert run(one, "create table made as execute p") == "SELECT 1"
        assert run(one, "select * from made") == [(1,)]
        run(one, "drop table made")
    assert not warm.find("was pinned")


def test_the_same_names_of_other_clients_are_others(warm):
    with warm.connect() as one, warm.connect() as other:
        run(one, "prepare p as select 'one'")
        for _ in range(3):
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(other, "execute p")
            assert run(one, "execute p") == [("one",)]
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(other, "deallocate p")
            assert run(other, "select count(*) from pg_prepared_statements") == [(0,)]
        run(other, "prepare p as select 'other'")
        for _ in range(4):
            assert run(one, "execute p") == [("one",)]
            assert run(other, "execute p") == [("other",)]
            assert run(one, "select name, statement, from_sql from pg_prepared_statements") == [("p", "prepare p as select 'one'", True)]
        run(other, "deallocate p")
        assert run(one, "execute p") == [("one",)]
        for _ in range(2):
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(other, "execute p")
    assert not warm.find("was pinned")


@pytest.mark.parametrize("end", ["deallocate all", "discard all", "deallocate p", "deallocate prepare p", "deallocate prepare all"])
def test_what_is_deallocated_is_gone_everywhere(warm, end):
    with warm.connect() as one:
        run(one, "prepare p as select 1")
        for _ in range(2):
            run(one, "execute p")
        run(one, end)
        for _ in range(3):
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(one, "execute p")
        run(one, "prepare p as select 2")
        for _ in range(3):
            assert run(one, "execute p") == [(2,)]
    assert not warm.find("was pinned")


def test_a_rollback_takes_nothing_back_and_a_failure_makes_nothing(warm):
    with warm.connect() as one:
        run(one, "begin")
        run(one, "prepare p as select 1")
        run(one, "rollback")
        run(one, "begin")
        run(one, "deallocate p")
        run(one, "prepare p as select 2")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            run(one, "prepare q as select nosuch")
        run(one, "rollback")
        for _ in range(3):
            assert run(one, "execute p") == [(2,)]
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(one, "execute q")
            with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
                run(one, "prepare p as select 3")
    assert not warm.find("was pinned")


def test_what_cannot_be_prepared_again_is_the_clients_error_until_it_is_deallocated(warm, postgres):
    with warm.connect() as one, postgres.connect() as admin:
        admin.execute("create table gone (x int)")
        run(one, "prepare p as select * from gone")
        assert run(one, "execute p") == []
        admin.execute("drop table gone")
        for _ in range(3):
            with pytest.raises(psycopg.errors.UndefinedTable):
                run(one, "execute p")
            assert run(one, "select 1") == [(1,)]
        run(one, "begin")
        with pytest.raises(psycopg.errors.UndefinedTable):
            run(one, "execute p")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            run(one, "select 1")
        run(one, "rollback")
        run(one, "deallocate p")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(one, "execute p")
    assert not warm.find("was pinned")


def test_a_statement_keeps_the_settings_of_its_making(warm):
    with warm.connect() as one:
        run(one, "set timezone = 'UTC'")
        text = "prepare p as select extract(epoch from timestamptz '2026-02-01 12:00')::int"
        run(one, text)
        utc = run(one, "execute p")
        run(one, "set timezone = 'Asia/Tokyo'")
        for _ in range(4):
            assert run(one, "execute p") == utc
            assert run(one, "show timezone") == [("Asia/Tokyo",)]
        with one.transaction():
            run(one, "select 1")
            run(one, "set local timezone = 'America/New_York'")
            assert run(one, "execute p") == utc
            assert run(one, "show timezone") == [("America/New_York",)]
        run(one, "deallocate p")
        run(one, text)
        for _ in range(3):
            assert run(one, "execute p") != utc
    assert not warm.find("was pinned")


def test_several_statements_in_one_text(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as other:
        run(one, "prepare p as select 1; execute p; deallocate p")
        with pytest.raises(psycopg.errors.DivisionByZero):
            run(one, "prepare p as select 1; deallocate p; select 1/0")
        assert run(other, "select 2") == [(2,)]
        assert not weir.find("was pinned")
        run(one, "begin; prepare p as select 1; commit")
        weir.wait_for_log("was pinned .*Reason: SQL prepared a statement that the proxy cannot prepare again elsewhere")
        assert run(one, "execute p") == [(1,)]
        assert run(one, "select statement from pg_prepared_statements") == [("begin; prepare p as select 1; commit",)]
        run(one, "deallocate p")
        weir.wait_for_log("released the database connection")
        assert run(other, "select 2") == [(2,)]
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(other, "execute p")


def test_code_that_prepares(start_weir, postgres):
    """Dynamic SQL, which no text shows."""
    weir = start_weir(pool=ONE)
    with postgres.connect() as admin:
        admin.execute("create or replace function keep(text) returns void language plpgsql as $$ begin execute $1; end $$")
    with weir.connect() as one, weir.connect() as other:
        run(one, "prepare mine as select 'mine'")
        # It finds its own, and nobody else's.
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(other, "select keep('deallocate mine')")
        run(one, "select keep('deallocate mine')")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(one, "execute mine")
        assert not weir.find("was pinned")
        run(one, "select keep('prepare p as select 5')")
        weir.wait_for_log("was pinned")
        assert run(one, "execute p") == [(5,)]
        run(one, "select keep('deallocate all')")
        weir.wait_for_log("released the database connection")
        assert run(other, "select count(*) from pg_prepared_statements") == [(0,)]


def test_code_that_drops_weirs_own_statements_is_noticed(start_weir, postgres):
    weir = start_weir(pool=ONE)
    with postgres.connect() as admin:
        admin.execute("create or replace function keep(text) returns void language plpgsql as $$ begin execute $1; end $$")
    with weir.connect() as one, weir.connect() as other:
        assert other.execute("select 'shared'", prepare=True).fetchone() == ("shared",)
        run(one, "select keep('deallocate all')")
        assert other.execute("select 'shared'", prepare=True).fetchone() == ("shared",)


def test_names_of_the_protocol_and_of_sql_are_one_namespace(warm, postgres):
    """Step by step what a direct connection answers."""
    steps = [
        parse("a", "select 'a'") + SYNC, query("execute a"), query("prepare a as select 2"), query("select 1"),
        query("explain (costs off) execute a"), query("prepare b as select 'b'"), parse("b", "select 3") + SYNC,
        bind("b") + execute() + SYNC, message(b"D", b"Sb\0") + SYNC, parse("", "execute b") + bind("") + execute() + SYNC,
        parse("c", "execute b") + message(b"D", b"Sc\0") + bind("c") + execute() + SYNC, query("deallocate b"), query("execute b"),
        query("prepare b as select 4, 5"), bind("c") + message(b"D", b"P\0") + execute() + SYNC, query("deallocate a"), query("execute a"),
        bind("a") + execute() + SYNC, parse("a", "select 6") + SYNC, query("begin"), query("execute a"), query("deallocate a; select 7"),
        query("execute a"), query("rollback"), bind("a") + execute() + SYNC, message(b"C", b"Sb\0") + SYNC, query("execute b"),
        query("select name, statement, from_sql from pg_prepared_statements order by 1"),
        parse("d", "prepare e as select 8") + bind("d") + execute() + SYNC, query("execute e"), query("select 9"), query("execute e"),
        parse("", "deallocate e") + bind("") + execute() + SYNC, query("execute e"), query("execute \"no such\""),
        parse("f", "select name, from_sql from pg_prepared_statements order by 1") + SYNC, bind("f") + execute() + SYNC,
        query("prepare z as select 1; select 1/0"), query("execute z"), query("deallocate all"), query("execute z"), bind("f") + execute() + SYNC,
    ]
    answers = []
    for port in (postgres.port, warm.port):
        wire = Wire(port)
        wire.login()
        told = []
        for step in steps:
            wire.send(step)
            # Where an error was raised is the server's own affair.
            told.append([(kind, (error_code(body), ) if kind == b"E" else body) for kind, body in wire.ready()])
        answers.append(told)
        wire.close()
    for step, direct, through in zip(steps, *answers):
        assert through == direct, step


def test_a_vanished_clients_statement_is_not_found(start_weir):
    weir = start_weir(pool=ONE)
    for text in ("prepare p as select 'left behind'", "begin; prepare p as select 'left behind'"):
        wire = Wire(weir.port)
        wire.login()
        wire.send(query(text) + query("select pg_sleep(0.1)"))
        wire.reset()
        with weir.connect() as other:
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                run(other, "execute p")
            run(other, "prepare p as select 'mine'")
            assert run(other, "execute p") == [("mine",)]


def test_more_than_can_be_kept_pins(start_weir):
    weir = start_weir(pool=TWO)
    with weir.connect() as one:
        for number in range(64):
            run(one, f"prepare p{number} as select {number}")
        assert not weir.find("was pinned")
        run(one, "prepare one_more as select 'one more'")
        weir.wait_for_log("was pinned")
        for number in (0, 63):
            assert run(one, f"execute p{number}") == [(number,)]
        assert run(one, "execute one_more") == [("one more",)]
        run(one, "deallocate one_more")
        weir.wait_for_log("released the database connection")


def test_sequence_values_read_by_a_statement_are_never_anothers(warm):
    with warm.connect() as one, warm.connect() as other:
        run(one, "prepare mine as select currval('numbers')")
        for _ in range(4):
            run(other, "select nextval('numbers')")
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                run(one, "execute mine")
