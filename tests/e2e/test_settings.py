"""Settings follow their client from backend to backend: nothing pins, nothing leaks."""

import json

import psycopg
import pytest

from servers import PASSWORD
from wire import Wire, error_code, error_text, query

ROTATE = 'max_connections_percent = 10\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"'
ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"


def show(connection, name):
    return connection.execute(f"select current_setting('{name}', true)", prepare=False).fetchone()[0]


def run(postgres, *statements):
    with postgres.connect() as connection:
        for each in statements:
            connection.execute(each)


def backends_of(connection, count=6):
    return {connection.execute("select pg_backend_pid()", prepare=False).fetchone()[0] for _ in range(count)}


@pytest.fixture
def rotating(start_weir):
    """Never the client's last backend if there is another."""
    weir = start_weir(pool=ROTATE, engine="shards = 1")
    with weir.connect() as one, weir.connect() as two, weir.connect() as three:
        for each in (one, two, three):
            each.autocommit = False
            each.execute("select 1")
        for each in (one, two, three):
            each.rollback()
    return weir


@pytest.mark.parametrize("statement, name, value", [
    ("set work_mem = '9MB'", "work_mem", "9MB"),
    ("set session work_mem to 9216", "work_mem", "9MB"),
    ("select set_config('work_mem', '9MB', false)", "work_mem", "9MB"),
    ("set \"WORK_MEM\" = '9MB'", "work_mem", "9MB"),
    ("set search_path = a, \"B\", pg_catalog", "search_path", 'a, "B", pg_catalog'),
    ("set search_path = ''", "search_path", '""'),
    ("set schema 'x'", "search_path", "x"),
    ("set time zone 'Europe/Berlin'", "timezone", "Europe/Berlin"),
    ("set time zone interval '+02:30' hour to minute", "timezone", "<+02:30>-02:30"),
    ("set names 'latin1'", "client_encoding", "LATIN1"),
    ("set datestyle = 'German, DMY'", "datestyle", "German, DMY"),
    ("set app.tenant = 'a''b\\c'", "app.tenant", "a'b\\c"),
    ("set session characteristics as transaction isolation level serializable", "default_transaction_isolation", "serializable"),
    ("set role app", "role", "app"),
    ("set session authorization app", "session_authorization", "app"),
    ("set standard_conforming_strings = off", "standard_conforming_strings", "off"),
    ("set xml option document", "xmloption", "document"),
    ("set default_tablespace = 'pg_default'", "default_tablespace", "pg_default"),
    ("set exit_on_error = on", "exit_on_error", "on"),
    ("begin; set work_mem = '8MB'; savepoint s; set work_mem = '7MB'; rollback to s; commit", "work_mem", "8MB"),
    ("begin; set local work_mem = '8MB'; set work_mem = '9MB'; commit", "work_mem", "9MB"),
])
def test_a_setting_follows_its_client(rotating, statement, name, value):
    with rotating.connect() as setter, rotating.connect() as other:
        before = show(other, name)
        setter.execute(statement, prepare=False)
        assert len(backends_of(setter)) > 1
        for _ in range(4):
            assert show(setter, name) == value
            assert show(other, name) in (before, "" if "." in name else before)
        setter.execute("reset session authorization", prepare=False)
        setter.execute("reset all", prepare=False)
        setter.execute(f"reset {name}" if name != "session_authorization" else "select 1", prepare=False)
        assert show(setter, name) in (before, "" if "." in name else before)
    assert not rotating.find("was pinned")


def test_what_is_rolled_back_is_not_set(rotating):
    with rotating.connect() as setter:
        before = show(setter, "work_mem")
        setter.execute("begin; set work_mem = '9MB'; rollback", prepare=False)
        assert {show(setter, "work_mem") for _ in range(4)} == {before}
        with pytest.raises(psycopg.errors.DivisionByZero):
            setter.execute("set work_mem = '9MB'; select 1 / 0", prepare=False)
        assert {show(setter, "work_mem") for _ in range(4)} == {before}
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            setter.execute("set work_mem = 'nonsense'", prepare=False)
        with pytest.raises(psycopg.errors.UndefinedObject):
            setter.execute("set nonsense = 1", prepare=False)
        assert {show(setter, "work_mem") for _ in range(4)} == {before}
    assert not rotating.find("was pinned")


def test_a_client_that_leaves_its_settings_leaves_nothing_behind(start_weir):
    weir = start_weir(pool=ONE)
    for name, value in (("work_mem", "9MB"), ("role", "app"), ("search_path", "nowhere")):
        with weir.connect() as setter:
            setter.execute(f"select set_config('{name}', '{value}', false)")
            assert show(setter, name) == value
        with weir.connect() as other:
            assert show(other, name) != value
    assert not weir.find("was pinned")


def test_reset_and_discard_all_go_back_to_what_the_session_began_with(rotating):
    with rotating.connect(options="-c work_mem=5MB", application_name="mine") as connection:
        for back in ("reset work_mem", "reset all", "discard all", "set work_mem to default",
                     "select set_config('work_mem', null, false)"):
            connection.execute("set work_mem = '9MB'", prepare=False)
            assert {show(connection, "work_mem") for _ in range(3)} == {"9MB"}
            connection.execute(back, prepare=False)
            assert {show(connection, "work_mem") for _ in range(3)} == {"5MB"}
        connection.execute("set application_name = 'another'", prepare=False)
        assert {show(connection, "application_name") for _ in range(3)} == {"another"}
        connection.execute("reset all", prepare=False)
        assert {show(connection, "application_name") for _ in range(3)} == {"mine"}


def test_what_init_query_has_set_is_nobodys_profile(start_weir):
    weir = start_weir(pool=ROTATE + "\ninit_query = \"set work_mem = '5MB'; set app.base = 'x'\"", engine="shards = 1")
    with weir.connect() as one, weir.connect() as two:
        assert show(one, "work_mem") == "5MB" and show(one, "app.base") == "x"
        one.execute("set work_mem = '9MB'")
        one.execute("set app.base = 'y'")
        for _ in range(4):
            assert (show(one, "work_mem"), show(one, "app.base")) == ("9MB", "y")
            assert (show(two, "work_mem"), show(two, "app.base")) == ("5MB", "x")
        one.execute("reset all")
        for _ in range(4):
            assert show(one, "work_mem") == "5MB"
    assert not weir.find("was pinned")


def test_a_hundred_replays_give_the_same_value_as_one(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as two:
        one.execute("set search_path = \"a b\", 'c', \"D\"\"e\"")
        wanted = show(one, "search_path")
        for _ in range(100):
            assert show(two, "search_path") == '"$user", public'
            assert show(one, "search_path") == wanted


def test_reports_are_those_of_the_clients_own_changes(start_weir):
    weir = start_weir(pool=ONE)
    with weir.connect() as one, weir.connect() as two:
        one.execute("set application_name = 'one'")
        two.execute("set timezone = 'Europe/Berlin'")
        for _ in range(5):
            one.execute("select 1")
            two.execute("select 1")
            assert one.info.parameter_status("application_name") == "one"
            assert one.info.parameter_status("TimeZone") != "Europe/Berlin"
            assert two.info.parameter_status("application_name") != "one"
            assert two.info.parameter_status("TimeZone") == "Europe/Berlin"


def test_a_setting_that_becomes_invalid_is_told_and_can_be_changed(start_weir, postgres):
    """No statement runs under a wrong setting, and no backend is burnt each time."""
    weir = start_weir(pool=ONE)
    run(postgres, "create role passing")
    with weir.connect() as one, weir.connect() as two:
        one.execute("set role passing")
        two.execute("select 1")
        run(postgres, "drop role passing")
        backend = two.execute("select pg_backend_pid()").fetchone()
        for _ in range(3):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match='role "passing" does not exist'):
                one.execute("select 1")
        assert two.execute("select pg_backend_pid()").fetchone() == backend
        # That leaves the role as it is.
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            one.execute("reset all")
        one.execute("reset role")
        assert one.execute("select current_user").fetchone() == ("app",)
    assert not weir.find("was pinned")


def test_a_fenced_replay_that_fails_runs_nothing(start_weir, postgres, tmp_path):
    """A replay that fails in the same send as the client's statement ends the session before it is read."""
    run(postgres, f"create role worker superuser login password '{PASSWORD}'")
    (tmp_path / "worker.json").write_text(json.dumps({"username": "worker", "password": PASSWORD}), encoding="utf-8")
    weir = start_weir(pool=ONE, auth=f'[[auth]]\nsecret_file = "{tmp_path}/worker.json"')
    with weir.connect(user="worker") as one, weir.connect(user="worker") as two:
        one.execute("set session_replication_role = replica")
        two.execute("select 1")
        run(postgres, "grant insert, select on tagged to worker", "alter role worker nosuperuser")
        for _ in range(3):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="session_replication_role"):
                one.execute("insert into tagged values ('never')", prepare=False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one.execute("reset session_replication_role", prepare=False)
        # What it could not change is still its own, and nobody else's.
        assert two.execute("select count(*) from tagged where tag = 'never'").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one.execute("select 1", prepare=False)
        run(postgres, "alter role worker superuser")
        assert show(one, "session_replication_role") == "replica"
        one.execute("reset session_replication_role", prepare=False)
        assert show(one, "session_replication_role") == "origin"
    assert not weir.find("was pinned")


def test_thousands_of_settings_on_one_client_pin_it(start_weir):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    with weir.connect() as one, weir.connect() as two:
        for number in range(100):
            one.execute(f"set app.n{number} = 'v{number}'")
        weir.wait_for_log("was pinned")
        assert show(one, "app.n7") == "v7" and show(one, "app.n99") == "v99"
        assert show(two, "app.n99") in (None, "")


def test_prepared_statements_follow_the_settings_that_parsing_reads(rotating):
    with rotating.connect() as one, rotating.connect() as two:
        one.execute("set timezone = 'UTC'")
        two.execute("set timezone = 'Asia/Tokyo'")
        sql = "select extract(epoch from '2020-01-01 00:00'::timestamptz)::int"
        for _ in range(4):
            assert one.execute(sql, prepare=True).fetchone() == (1577836800,)
            assert two.execute(sql, prepare=True).fetchone() == (1577804400,)
        one.execute("set timezone = 'Asia/Tokyo'")
        for _ in range(4):
            assert one.execute(sql, prepare=True).fetchone() == (1577804400,)


TOKYO = "select extract(epoch from '2020-01-01 00:00'::timestamptz)::int"


@pytest.mark.parametrize("local", ["set local time zone 'Asia/Tokyo'", "set local timezone = 'Asia/Tokyo'", "set timezone = 'Asia/Tokyo'"])
@pytest.mark.parametrize("prepared_before", [False, True])
def test_what_is_parsed_under_settings_of_a_transaction_is_shared_with_nobody(start_weir, local, prepared_before):
    weir = start_weir(pool=ONE + "\nmax_prepared_statements = 2", proxy="")
    with weir.connect(options="-c timezone=UTC") as one, weir.connect(options="-c timezone=UTC") as two:
        if prepared_before:
            assert one.execute(TOKYO, prepare=True).fetchone() == (1577836800,)
            # The backend makes room: it will have to parse it again.
            for number in range(3):
                two.execute(f"select {number}", prepare=True)
        one.execute("begin", prepare=False)
        one.execute(local, prepare=False)
        one.execute(TOKYO, prepare=True).fetchone()
        # (Behind a rollback the driver would deallocate all that it has prepared.)
        one.execute("commit", prepare=False)
        one.close()
        for _ in range(2):
            assert two.execute(TOKYO, prepare=True).fetchone() == (1577836800,)


def test_a_statement_finds_its_tables_by_the_search_path_it_runs_under(start_weir, postgres):
    run(postgres, "create schema a", "create schema b", "create table a.place as select 'a' as name", "create table b.place as select 'b' as name")
    weir = start_weir(pool=ONE)
    sql = "select name from place"
    with weir.connect() as one, weir.connect() as two:
        two.execute("set search_path = b")
        for _ in range(2):
            one.execute("begin; set local search_path = a", prepare=False)
            assert one.execute(sql, prepare=True).fetchone() == ("a",)
            one.execute("commit", prepare=False)
            assert two.execute(sql, prepare=True).fetchone() == ("b",)
            with pytest.raises(psycopg.errors.UndefinedTable):
                one.execute(sql, prepare=True)
    assert not weir.find("was pinned")


def test_what_a_client_may_not_set_does_not_pin(start_weir, postgres, tmp_path):
    run(postgres, f"create role plain login password '{PASSWORD}'")
    (tmp_path / "plain.json").write_text(json.dumps({"username": "plain", "password": PASSWORD}), encoding="utf-8")
    weir = start_weir(pool=ONE, auth=f'[[auth]]\nsecret_file = "{tmp_path}/plain.json"')
    with weir.connect(user="plain") as one, weir.connect(user="plain") as two:
        one.execute("set work_mem = '9MB'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one.execute("set log_statement = 'all'")
        assert show(two, "log_statement") == "none" and show(two, "work_mem") != "9MB"
        assert show(one, "log_statement") == "none" and show(one, "work_mem") == "9MB"
    assert not weir.find("was pinned")


@pytest.mark.parametrize("options", ["", "-c idle_session_timeout=400ms"])
def test_an_idle_client_ends_as_it_has_asked_and_its_backend_does_not(start_weir, postgres, options):
    if int(postgres.query("show server_version_num")[0][0]) < 140000:
        pytest.skip("this server has no idle_session_timeout")
    weir = start_weir(pool=ONE, engine="shards = 1")
    with weir.connect() as other:
        server = backends_of(other)
        wire = Wire(weir.port)
        assert wire.login(options=options)[0] == b"Z"
        if not options:
            wire.send(query("set idle_session_timeout = '400ms'"))
            assert wire.ready()[-1] == (b"Z", b"I")
        wire.send(query("show idle_session_timeout"))
        messages = wire.until(b"E", b"Z", None)
        assert [body[6:] for kind, body in messages if kind == b"D"] == [b"400ms"]
        kind, body = wire.receive()
        assert kind == b"E" and error_code(body) == "57P05" and error_text(body) == "terminating connection due to idle-session timeout"
        assert wire.receive()[0] is None
        # Had it been left there, the server would have ended this session at the same time.
        assert backends_of(other) == server
        assert show(other, "idle_session_timeout") == "0"


def test_a_pinned_client_is_ended_too(start_weir, postgres):
    if int(postgres.query("show server_version_num")[0][0]) < 140000:
        pytest.skip("this server has no idle_session_timeout")
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    assert wire.login()[0] == b"Z"
    wire.send(query("set idle_session_timeout = '400ms'; listen x"))
    assert wire.ready()[-1] == (b"Z", b"I")
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) == "57P05"
    assert wire.receive()[0] is None
