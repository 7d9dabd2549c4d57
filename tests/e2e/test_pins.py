"""What keeps a client's backend does so no longer than it must, and leaves nothing behind."""

import psycopg
import pytest

from servers import wait_until
from wire import Wire, query

ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"
TWO = "max_connections_percent = 6\nconnection_borrow_timeout = 20"

ENDS = [
    ("create temp table t (x int)", "drop table t"),
    ("create temp table t (x int)", "discard temp"),
    ("create temp table t (x int)", "discard all"),
    ("create temporary view v as select 1", "drop view v"),
    ("create temp sequence s", "drop sequence s"),
    ("select 1 as x into temp t", "drop table t"),
    ("create function pg_temp.f() returns int language sql as 'select 1'", "drop function pg_temp.f()"),
    ("set search_path = pg_temp, public; create table t (x int)", "drop table pg_temp.t"),
    ("declare c cursor with hold for select 1", "close c"),
    ("declare c cursor with hold for select 1", "close all"),
    ("select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
    ("select (7::bigint).pg_advisory_lock", "select (7::bigint).pg_advisory_unlock"),
    ("select pg_try_advisory_lock_shared(7, 8)", "select pg_advisory_unlock_all()"),
    ("listen x", "unlisten x"),
    ("listen x", "unlisten *"),
    ("select 1; prepare p as select 1", "deallocate p"),
    ("select 1; prepare p as select 1", "deallocate all"),
    ("select 1; prepare p as select 1", "discard all"),
    ("set temp_buffers = '2MB'", "reset temp_buffers"),
    ("select set_config('work' || '_mem', '9MB', false)", "discard all"),
    ("create temp table t (x int); listen x", "unlisten x; drop table t"),
    # What asyncpg runs on a connection that goes back to its pool.
    ("listen x; select pg_advisory_lock(7)", "select pg_advisory_unlock_all(); close all; unlisten *; reset all;"),
]


@pytest.mark.parametrize("begin, end", ENDS)
def test_a_pin_ends_with_its_reason(start_weir, begin, end):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as other:
        one.execute(begin, prepare=False)
        weir.wait_for_log("was pinned to the database connection")
        one.execute("select 1", prepare=False)
        assert not weir.find("released the database connection")
        one.execute(end, prepare=False)
        weir.wait_for_log("released the database connection")
        # The only backend is everybody's again.
        for _ in range(3):
            assert other.execute("select 2", prepare=False).fetchone() == (2,)
            assert one.execute("select 1", prepare=False).fetchone() == (1,)


@pytest.mark.parametrize("statements", [
    ["begin", "create temp table t (x int)", "rollback"],
    ["begin", "create temp table t (x int)", "drop table t", "commit"],
    ["begin", "create temp table t (x int) on commit drop", "insert into t values (1)", "commit"],
    ["begin", "savepoint a", "create temp table t (x int)", "rollback to a", "commit"],
    ["begin", "declare c cursor with hold for select 1", "close c", "commit"],
    ["begin", "declare c cursor with hold for select 1", "rollback"],
    ["select pg_advisory_lock(7), pg_advisory_unlock(7)"],
    ["begin", "listen x", "rollback"],
    ["listen x; unlisten x"],
    ["prepare p as select 1; execute p; deallocate p"],
    ["create table created (x int); drop table created"],
])
def test_what_is_gone_at_the_end_of_its_transaction_does_not_pin(start_weir, statements):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as other:
        for each in statements:
            one.execute(each, prepare=False)
        assert other.execute("select 2", prepare=False).fetchone() == (2,)
        assert one.execute("select 1", prepare=False).fetchone() == (1,)
    assert not weir.find("was pinned")


def test_what_fails_does_not_pin(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as other:
        for statement in ("create temp table t (x nonsense)", "prepare p as select nonsense", "execute nonsense",
                          "declare c cursor with hold for select nonsense", "select pg_advisory_lock(1 / 0)"):
            with pytest.raises(psycopg.Error):
                one.execute(statement, prepare=False)
        assert other.execute("select 2", prepare=False).fetchone() == (2,)
    assert not weir.find("was pinned")


def test_several_reasons_end_one_by_one(start_weir):
    weir = start_weir(pool=TWO)
    with weir.connect() as one:
        one.execute("create temp table t (x int)")
        weir.wait_for_log("was pinned .*Reason: SQL created a temporary object")
        one.execute("listen x")
        one.execute("drop table t")
        one.execute("select 1")
        assert not weir.find("released the database connection")
        one.execute("unlisten x")
        weir.wait_for_log("released the database connection .*Reason: SQL created a temporary object")
    assert len(weir.find("was pinned")) == 1


@pytest.mark.parametrize("begin, end", ENDS)
def test_a_client_that_leaves_takes_its_state_along(start_weir, postgres, begin, end):
    weir = start_weir(pool=ONE)
    with weir.connect() as one:
        backend = one.execute("select pg_backend_pid()").fetchone()
        one.execute(begin, prepare=False)
        weir.wait_for_log("was pinned to the database connection")
    with weir.connect() as other:
        # The same backend, and nothing of it is left there.
        assert other.execute("select pg_backend_pid()").fetchone() == backend
        left = other.execute("""select (select count(*) from pg_depend where refobjid = pg_my_temp_schema()
            and refclassid = 'pg_namespace'::regclass), (select count(*) from pg_prepared_statements where from_sql),
            (select count(*) from pg_cursors where is_holdable), (select count(*) from pg_listening_channels()),
            (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
            current_setting('temp_buffers'), current_setting('work_mem'), current_setting('search_path')""").fetchone()
        assert left == (0, 0, 0, 0, 0, "8MB", "4MB", '"$user", public')


def test_a_client_that_vanishes_in_a_transaction_leaves_nothing(start_weir):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    wire.send(query("begin; create temp table t (x int); select pg_advisory_lock(7); listen x"))
    wire.ready()
    wire.reset()
    with weir.connect() as other:
        with pytest.raises(psycopg.errors.UndefinedTable):
            other.execute("select * from t", prepare=False)
        assert other.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)


def test_what_cannot_be_discarded_costs_the_backend(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one:
        backend = one.execute("select pg_backend_pid()").fetchone()
        one.execute("select setseed(0.5)")
        weir.wait_for_log("was pinned to the database connection .*until the client disconnects")
    with weir.connect() as other:
        assert other.execute("select pg_backend_pid()").fetchone() != backend


def test_with_init_query_the_backend_is_closed(start_weir):
    """DISCARD ALL would take away what init_query has made."""
    weir = start_weir(pool=ONE + "\ninit_query = \"create temp table mine (x int)\"")
    with weir.connect() as one:
        backend = one.execute("select pg_backend_pid()").fetchone()
        one.execute("listen x")
        weir.wait_for_log("was pinned")
    with weir.connect() as other:
        assert other.execute("select count(*) from mine").fetchone() == (0,)
        assert other.execute("select pg_backend_pid()").fetchone() != backend


def test_statements_parsed_beside_a_temporary_table_are_nobody_elses(start_weir, postgres):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as other:
        one.execute("create table if not exists shadowed (x int)")
        one.execute("truncate shadowed; insert into shadowed values (1)", prepare=False)
        text = "select * from shadowed"
        assert other.execute(text, prepare=True).fetchall() == [(1,)]
        one.execute("create temp table shadowed as select 'mine' as y")
        assert one.execute(text, prepare=True).fetchall() == [("mine",)]
        one.execute("drop table shadowed")
        weir.wait_for_log("released the database connection")
        assert other.execute(text, prepare=True).fetchall() == [(1,)]
        with weir.connect() as third:
            assert third.execute(text, prepare=True).fetchall() == [(1,)]
            third.execute("drop table shadowed")


def test_settings_made_while_pinned_follow_the_client_afterwards(start_weir):
    weir = start_weir(pool=TWO)
    with weir.connect() as one, weir.connect() as other:
        one.execute("listen x")
        weir.wait_for_log("was pinned")
        one.execute("set work_mem = '9MB'")
        one.execute("unlisten x")
        weir.wait_for_log("released the database connection")
        for _ in range(4):
            assert other.execute("show work_mem").fetchone() == ("4MB",)
            assert one.execute("show work_mem").fetchone() == ("9MB",)


def test_a_pinned_client_is_asked_only_when_it_may_have_changed(start_weir, postgres):
    weir = start_weir(pool=ONE)
    with weir.connect() as one:
        one.execute("listen x", prepare=False)
        weir.wait_for_log("was pinned")
        backend = one.execute("select pg_backend_pid()", prepare=False).fetchone()[0]
        with postgres.connect() as admin:
            asked = f"select count(*) from pg_stat_activity where pid = {backend} and query like '%pg_listening_channels%'"
            assert admin.execute(asked).fetchone() == (0,)
            one.execute("unlisten y", prepare=False)
            wait_until(lambda: admin.execute(asked).fetchone() == (1,), what="the question")


def test_a_client_is_told_that_it_is_pinned(start_weir):
    weir = start_weir(pool=ONE, proxy="pin_notice = true")
    with weir.connect() as one:
        notices = []
        one.add_notice_handler(lambda notice: notices.append((notice.severity, notice.message_primary)))
        one.execute("listen x; notify x")
        weir.wait_for_log("was pinned")
        one.execute("select 1")
        assert notices == [("NOTICE", "this session is pinned to its database connection until the client has ended its LISTEN or "
                                      "disconnects. Reason: SQL listens for notifications.")]


def test_variable_sets_can_be_excluded(start_weir):
    """What cannot be tracked is lost, and nobody else's."""
    weir = start_weir(pool=ONE + '\nsession_pinning_filters = ["EXCLUDE_VARIABLE_SETS"]')
    with weir.connect() as one, weir.connect() as other:
        one.execute("set work_mem = '9MB'")
        one.execute("select set_config('maintenance_work' || '_mem', '9MB', false)")
        one.execute("set temp_buffers = '2MB'")
        for connection, work_mem in ((one, "9MB"), (other, "4MB"), (one, "9MB")):
            assert connection.execute("select current_setting('work_mem'), current_setting('maintenance_work_mem'), "
                                      "current_setting('temp_buffers')").fetchone() == (work_mem, "64MB", "8MB")
    assert not weir.find("was pinned")


def test_pins_are_counted_by_reason(start_weir):
    weir = start_weir(pool=TWO, proxy="stats_period = 1")
    with weir.connect() as one:
        one.execute("listen x")
        weir.wait_for_log("event=statistics shard=all .* pinned=1 ")
        weir.wait_for_log("event=statistics shard=all .* pins=listen:1 ")
        weir.wait_for_log("event=statistics shard=all .* pins=- ")
