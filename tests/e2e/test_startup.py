"""What a client begins with is its own: clients that differ in it share connections, and resets go back to it."""

import struct
import threading

import psycopg
import pytest

from wire import SYNC, Wire, bind, execute, parse, query

ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"
ROTATE = 'max_connections_percent = 10\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"'


def show(connection, name):
    return connection.execute(f"select current_setting('{name}', true)", prepare=False).fetchone()[0]


def backend_of(connection):
    return connection.execute("select pg_backend_pid()", prepare=False).fetchone()[0]


@pytest.fixture
def one(start_weir):
    """All clients share one backend."""
    return start_weir(pool=ONE, engine="shards = 1")


def test_clients_that_begin_differently_share_a_backend(one, postgres):
    with one.connect(application_name="first", options="-c search_path=a") as first, \
            one.connect(application_name="second", options="-c search_path=b --work-mem=5MB") as second, \
            one.connect() as plain:
        assert len({backend_of(each) for each in (first, second, plain, first)}) == 1
        for _ in range(3):
            assert (show(first, "application_name"), show(first, "search_path"), show(first, "work_mem")) == ("first", "a", "4MB")
            assert (show(second, "application_name"), show(second, "search_path"), show(second, "work_mem")) == ("second", "b", "5MB")
            assert show(plain, "application_name") == ""
        assert postgres.backends("query <> '' and application_name in ('first', 'second', '')") == 1
        first.execute("select 1")
        assert postgres.backends("application_name = 'first'") == 1
    assert not one.find("was pinned")


@pytest.mark.parametrize("reset", [
    "reset work_mem", "reset all", "discard all", "set work_mem to default", "set work_mem = default", "set session work_mem to default",
    "select set_config('work_mem', null, false)", "select set_config('WORK_MEM', nullif('', ''), false)",
    "select 1; reset work_mem", "reset all; select 1", "begin; reset work_mem; commit", "set work_mem = '7MB'; reset work_mem",
])
@pytest.mark.parametrize("prepare", [False, True])
def test_a_reset_goes_back_to_the_clients_own_base(one, reset, prepare):
    with one.connect(options="-c work_mem=5MB", application_name="mine") as mine, one.connect() as other:
        for _ in range(2):
            mine.execute("set work_mem = '9MB'", prepare=False)
            assert show(other, "work_mem") == "4MB" and show(mine, "work_mem") == "9MB"
            if prepare and ";" not in reset and reset not in ("discard all", "reset all"):
                with mine.pipeline():
                    mine.execute(reset, prepare=True)
                    cursor = mine.execute("show work_mem", prepare=False)
                assert cursor.fetchone() == ("5MB",)
            else:
                mine.execute(reset, prepare=False)
            assert show(mine, "work_mem") == "5MB"
            assert show(other, "work_mem") == "4MB" and show(other, "application_name") == ""
            assert show(mine, "work_mem") == "5MB" and show(mine, "application_name") == "mine"
    assert not one.find("was pinned")


@pytest.mark.parametrize("reset", ["reset work_mem", "reset all", "set work_mem to default", "set local work_mem to default"])
@pytest.mark.parametrize("prepare", [False, True])
def test_inside_of_a_transaction(one, reset, prepare):
    with one.connect(options="-c work_mem=5MB") as mine, one.connect() as other:
        for end in ("commit", "rollback"):
            mine.execute("set work_mem = '9MB'", prepare=False)
            assert show(other, "work_mem") == "4MB"
            mine.execute("begin", prepare=False)
            mine.execute(reset, prepare=prepare)
            assert show(mine, "work_mem") == "5MB"
            mine.execute("savepoint s", prepare=False)
            mine.execute("set work_mem = '8MB'", prepare=False)
            mine.execute(reset, prepare=prepare)
            assert show(mine, "work_mem") == "5MB"
            mine.execute("set local work_mem = '7MB'", prepare=False)
            mine.execute("rollback to s", prepare=False)
            assert show(mine, "work_mem") == "5MB"
            mine.execute(end, prepare=False)
            left = "9MB" if end == "rollback" or "local" in reset else "5MB"
            for _ in range(2):
                assert show(other, "work_mem") == "4MB" and show(mine, "work_mem") == left
    assert not one.find("was pinned")


def test_what_is_set_behind_a_reset_stays(one):
    with one.connect(options="-c work_mem=5MB -c app.own=mine") as mine, one.connect() as other:
        for text in ("reset all; set work_mem = '9MB'; set app.own = 'x'", "begin; reset all; set work_mem = '9MB'; set app.own = 'x'; commit",
                     "discard all; set work_mem = '9MB'; set app.own = 'x'"):
            if text.startswith("discard"):
                # Not within an implicit transaction.
                mine.execute("discard all", prepare=False)
                text = text[len("discard all; "):]
            mine.execute(text, prepare=False)
            for _ in range(2):
                assert (show(mine, "work_mem"), show(mine, "app.own")) == ("9MB", "x")
                assert show(other, "work_mem") == "4MB" and show(other, "app.own") in (None, "")
            mine.execute("reset all", prepare=False)
            assert (show(mine, "work_mem"), show(mine, "app.own")) == ("5MB", "mine")


def test_a_reset_that_fails_or_is_undone_changes_nothing(one):
    with one.connect(options="-c work_mem=5MB") as mine:
        mine.execute("set work_mem = '9MB'", prepare=False)
        with pytest.raises(psycopg.errors.DivisionByZero):
            mine.execute("reset work_mem; select 1 / 0", prepare=False)
        assert show(mine, "work_mem") == "9MB"
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            mine.execute("begin; discard all", prepare=False)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            mine.execute("select 1", prepare=False)
        mine.execute("rollback", prepare=False)
        assert show(mine, "work_mem") == "9MB"
        mine.execute("begin; savepoint s; reset work_mem", prepare=False)
        with pytest.raises(psycopg.errors.DivisionByZero):
            mine.execute("select 1 / 0", prepare=False)
        mine.execute("rollback to s", prepare=False)
        assert show(mine, "work_mem") == "9MB"
        mine.execute("commit", prepare=False)
        assert show(mine, "work_mem") == "9MB"


def test_a_batch_with_a_reset_in_the_middle(one):
    """What follows in the same send sees the base, and a batch that fails undoes both."""
    wire = Wire(one.port)
    wire.login(options="-c work_mem=5MB")

    def run(*statements):
        wire.send(b"".join(parse("", each) + bind("") + execute() for each in statements) + SYNC)
        return values(1)

    def values(requests):
        return [body[6:] for _ in range(requests) for kind, body in wire.ready() if kind == b"D"]
    assert run("set work_mem = '9MB'") == []
    assert run("show work_mem", "reset work_mem", "show work_mem", "set work_mem = '6MB'", "show work_mem") == [b"9MB", b"5MB", b"6MB"]
    assert run("reset all", "select 1 / 0") == []
    assert run("show work_mem") == [b"6MB"]
    wire.send(query("reset all") + query("show work_mem"))
    assert values(2) == [b"5MB"]
    wire.send(query("set work_mem = '9MB'") + query("begin") + query("reset work_mem") + query("show work_mem") + query("rollback") + query("show work_mem"))
    assert values(6) == [b"5MB", b"9MB"]
    wire.close()


def test_a_bad_option_is_refused_at_connect_with_the_servers_words(start_weir, postgres):
    weir = start_weir(pool="max_connections_percent = 25\nconnection_borrow_timeout = 20")
    for options in ({"options": "-c no_such_setting=1"}, {"options": "-c work_mem=lots"}, {"options": "-c work_mem"},
                    {"options": "-c shared_buffers=1MB"}, {"options": "-x"}, {"options": "-c search_path=a -c checkpoint_timeout=30s"},
                    {"client_encoding": "nonsense"}, {"options": "-c exit_on_error=on -c work_mem=lots"},
                    {"options": "-c log_connections=perhaps"}, {"options": "-c exit_on_error=on -c DateStyle=nonsense"}):
        errors = []
        for server in (postgres, weir):
            with pytest.raises(psycopg.OperationalError) as refused:
                server.connect(**options)
            errors.append(str(refused.value).split("FATAL: ")[1])
        assert errors[0] == errors[1], options
    with weir.connect() as good:
        assert show(good, "work_mem") == "4MB"


def test_what_only_a_start_can_set_is_part_of_the_route(start_weir):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    for _ in range(2):
        with weir.connect(options="-c log_disconnections=on -c work_mem=5MB -c ignore_system_indexes=on", application_name="x") as one, \
                weir.connect(application_name="x") as two:
            assert (show(one, "log_disconnections"), show(one, "ignore_system_indexes")) == ("on", "on")
            assert (show(one, "work_mem"), show(one, "application_name")) == ("5MB", "x")
            one.execute("set work_mem = '9MB'")
            one.execute("discard all")
            assert (show(one, "log_disconnections"), show(one, "work_mem")) == ("on", "5MB")
            assert (show(two, "log_disconnections"), show(two, "work_mem")) == ("off", "4MB")
            assert backend_of(one) != backend_of(two)
    with weir.connect(options="-c role=pg_monitor") as one, weir.connect(options="-O -c work_mem=5MB") as two:
        assert show(one, "role") == "pg_monitor"
        one.execute("set role none")
        one.execute("reset role")
        assert show(one, "role") == "pg_monitor"
        assert (show(two, "allow_system_table_mods"), show(two, "work_mem")) == ("on", "5MB")


def test_escapes_in_options(one, postgres):
    for options in (r"-c application_name=a\ b\\c", r"--application-name=x", r"  -c  search_path=a,\ b -csearch_path=c", r"-c app.a=\-c\ x=y"):
        with postgres.connect(options=options) as direct, one.connect(options=options) as connection:
            for name in ("application_name", "search_path", "app.a"):
                if name != "app.a" or "app.a" in options:
                    assert show(direct, name) == show(connection, name), options


GREETING = {"application_name": "greeted", "client_encoding": "latin1",
            "options": "-c datestyle=german -c timezone=Europe/Berlin -c intervalstyle=iso_8601 -c standard_conforming_strings=off"}
REPORTED = ("application_name", "client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "standard_conforming_strings", "server_version",
            "is_superuser", "session_authorization", "integer_datetimes", "server_encoding", "default_transaction_read_only", "in_hot_standby")


def test_the_greeting_is_the_clients_own(one, postgres):
    for settings in ({}, GREETING, {"application_name": "a"}, {"options": "-c log_disconnections=on -c datestyle=sql"}, {}):
        for _ in range(2):
            with postgres.connect(**settings) as direct, one.connect(**settings) as connection:
                assert {name: connection.info.parameter_status(name) for name in REPORTED} == \
                    {name: direct.info.parameter_status(name) for name in REPORTED}


def test_reports_are_those_of_a_direct_connection(one, postgres):
    """Also behind resets, which the server itself takes to its own values first."""
    def run(server):
        seen = []
        with server.connect(**GREETING) as connection:
            for text in ("set application_name = 'other'", "reset application_name", "set datestyle = 'iso'; set application_name = ''",
                         "reset all", "set timezone to 'UTC'", "discard all", "select 1", "begin", "set application_name = 'third'",
                         "set application_name to default", "rollback", "select 1"):
                connection.execute(text, prepare=False)
                seen.append({name: connection.info.parameter_status(name) for name in REPORTED})
        return seen
    with one.connect() as other:
        assert show(other, "datestyle") == "ISO, MDY"
        through = run(one)
        assert show(other, "datestyle") == "ISO, MDY"
    assert through[-1] == run(postgres)[-1]
    differs = [i for i, (mine, direct) in enumerate(zip(through, run(postgres))) if mine != direct]
    # Where a value was the server's own before the reset, the report comes with the next answer.
    assert differs in ([], [3]), differs


@pytest.mark.parametrize("encoding, text", [("SJIS", "\u30bd"), ("latin1", "\u00e9")])
def test_an_encoding_by_startup(start_weir, encoding, text):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    with weir.connect(client_encoding=encoding) as encoded, weir.connect() as plain:
        for _ in range(3):
            # In SJIS the character's second byte is a backslash for those who do not know the encoding.
            assert encoded.execute(f"select '{text}', length('{text}')", prepare=False).fetchone() == (text, 1)
            assert plain.execute(f"select '{text}'").fetchone() == (text,)
            encoded.execute("discard all", prepare=False)
            assert show(encoded, "client_encoding") == encoded.info.parameter_status("client_encoding") != "UTF8"
            assert show(plain, "client_encoding") == "UTF8"


def test_init_query_gives_way_to_what_a_client_begins_with(start_weir):
    weir = start_weir(pool=ROTATE + "\ninit_query = \"set work_mem = '6MB'; set maintenance_work_mem = '6MB'\"", engine="shards = 1")
    with weir.connect(options="-c work_mem=5MB") as mine, weir.connect() as other:
        for _ in range(4):
            assert (show(mine, "work_mem"), show(mine, "maintenance_work_mem")) == ("5MB", "6MB")
            assert (show(other, "work_mem"), show(other, "maintenance_work_mem")) == ("6MB", "6MB")
            mine.execute("reset work_mem")
            other.execute("reset work_mem")


def test_cancel_reaches_a_client_with_a_base(one):
    with one.connect(application_name="slow") as slow, one.connect(application_name="fast") as fast:
        fast.execute("select 1")
        timer = threading.Timer(0.3, slow.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            slow.execute("select pg_sleep(30)")
        timer.join()
        assert show(fast, "application_name") == "fast" and show(slow, "application_name") == "slow"


def test_equal_bases_are_proven_once(one, postgres):
    with one.connect(application_name="many"):
        pass
    with postgres.connect() as direct, one.connect() as holder:
        direct.execute("select 1")
        holder.execute("begin")
        # Nobody else gets the only backend: these need none.
        others = [one.connect(application_name="many", connect_timeout=5) for _ in range(20)]
        holder.execute("commit")
        assert {show(each, "application_name") for each in others} == {"many"}
        for each in others:
            each.close()


class Proven(Wire):
    """Reads no further than the proof of who it is."""

    def receive(self):
        kind, body = super().receive()
        return (None, b"") if kind == b"R" and struct.unpack("!i", body[:4])[0] == 0 else (kind, body)


def test_a_client_that_leaves_before_its_base_is_proven_leaves_nothing(one):
    with one.connect() as holder:
        holder.execute("begin")
        for number in range(10):
            wire = Proven(one.port)
            assert wire.login(application_name=f"gone{number}", options="-c work_mem=5MB") == (None, b"")
            wire.close()
        holder.execute("commit")
        assert show(holder, "work_mem") == "4MB" and show(holder, "application_name") == ""


def test_what_a_role_is_given_reaches_the_next_transactions(start_weir, postgres):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    try:
        with weir.connect() as one, weir.connect(options="-c work_mem=5MB") as two, weir.connect() as three:
            assert show(one, "maintenance_work_mem") == "64MB"
            three.execute("begin")
            old = backend_of(three)
            with postgres.connect() as direct:
                direct.execute("alter role app set maintenance_work_mem = '9MB'")
                direct.execute("alter database postgres set work_mem = '6MB'")
            # A transaction that needs a new backend shows what sessions begin with now.
            one.execute("begin")
            two.execute("begin")
            two.execute("select 1")
            two.execute("commit")
            one.execute("commit")
            with weir.connect() as four, weir.connect() as five:
                held = [four, five]
                for each in held:
                    each.execute("begin")
                    each.execute("select 1")
                for each in held:
                    each.execute("commit")
            for _ in range(4):
                assert (show(one, "maintenance_work_mem"), show(one, "work_mem")) == ("9MB", "6MB")
                # What a client begins with itself wins.
                assert (show(two, "maintenance_work_mem"), show(two, "work_mem")) == ("9MB", "5MB")
            # A transaction that is under way goes on where it began.
            assert (show(three, "maintenance_work_mem"), backend_of(three)) == ("64MB", old)
            three.execute("commit")
            assert show(three, "maintenance_work_mem") == "9MB"
    finally:
        with postgres.connect() as direct:
            direct.execute("alter role app reset all")
            direct.execute("alter database postgres reset all")


def test_a_client_that_comes_later_is_greeted_with_what_a_role_is_given(start_weir, postgres):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    try:
        with weir.connect(application_name="mine") as one:
            with postgres.connect() as direct:
                direct.execute("alter role app set datestyle = 'German'")
            # The only backend is held: the other needs a new one.
            one.execute("begin")
            one.execute("select 1")
            with weir.connect(application_name="other") as other:
                other.execute("begin")
                other.execute("select 1")
                other.execute("commit")
            one.execute("commit")
        with weir.connect(application_name="mine") as later:
            assert later.info.parameter_status("DateStyle") == "German, DMY" and show(later, "datestyle") == "German, DMY"
    finally:
        with postgres.connect() as direct:
            direct.execute("alter role app reset all")


GOES_ON = ["reset all; select current_schemas(false)", "set search_path to default; select current_schemas(false)",
           "select set_config('search_path', null, false); select current_schemas(false)",
           "reset search_path; begin; select current_schemas(false); commit"]


def told(connection, text):
    """The last rows of a text of several statements."""
    cursor = connection.execute(text, prepare=False)
    rows = []
    while True:
        rows = cursor.fetchall() if cursor.description else rows
        if not cursor.nextset():
            return rows


@pytest.mark.parametrize("text", GOES_ON)
def test_a_text_goes_on_behind_a_reset_in_what_its_client_began_with(start_weir, text):
    """It gets backends that begin with that themselves; in the server's own search_path it might write to another table."""
    weir = start_weir(pool='max_connections_percent = 6\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"')
    with weir.connect(options="-c search_path=pg_catalog -c app.tenant=t1") as one, weir.connect() as other, \
            weir.connect(options="-c search_path=information_schema") as third:
        one.execute("set work_mem = '9MB'")
        one.execute("set app.tenant = 'mine'")
        for _ in range(3):
            assert told(one, text) == [(["pg_catalog"],)]
            assert one.execute("show search_path").fetchone() == ("pg_catalog",)
            assert other.execute("show search_path").fetchone() == ('"$user", public',)
            assert third.execute("show search_path").fetchone() == ("information_schema",)
            left = one.execute("select current_setting('work_mem') = '9MB', current_setting('app.tenant')").fetchone()
            assert left == ((False, "t1") if "all" in text else (True, "mine"))
            one.execute("set search_path = information_schema")
        one.execute("reset app.tenant")
        assert one.execute("show app.tenant").fetchone() == ("t1",)
    assert not weir.find("was pinned")


def test_in_a_transaction_block_it_goes_on_from_the_second_time_on(start_weir):
    """The first time its client is on a backend that others share."""
    weir = start_weir(pool="max_connections_percent = 6\nconnection_borrow_timeout = 20")
    with weir.connect(options="-c search_path=pg_catalog", autocommit=False) as one:
        one.execute("select 1")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="search_path.*send what resets it"):
            one.execute(GOES_ON[0], prepare=False)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            one.execute("select 1")
        one.rollback()
        for text in GOES_ON[:3]:
            one.execute("select 1")
            assert told(one, text) == [(["pg_catalog"],)]
            one.commit()


def test_a_pinned_client_stays_and_is_refused(start_weir):
    weir = start_weir(pool="max_connections_percent = 6\nconnection_borrow_timeout = 20")
    with weir.connect(options="-c search_path=pg_catalog") as one:
        one.execute("listen here")
        for _ in range(2):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="search_path.*send what resets it"):
                one.execute(GOES_ON[0], prepare=False)
        one.execute("unlisten *")
        assert told(one, GOES_ON[0]) == [(["pg_catalog"],)]


@pytest.mark.parametrize("init_query, options", [("set search_path = public", "-c search_path=pg_catalog"),
                                                 ("select 1", "-c search_path=pg_catalog -c idle_session_timeout=600000")])
def test_what_backends_cannot_begin_with_is_refused(start_weir, init_query, options):
    weir = start_weir(pool=f'max_connections_percent = 6\nconnection_borrow_timeout = 20\ninit_query = "{init_query}"')
    with weir.connect(options=options) as one:
        for _ in range(3):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="search_path.*send what resets it"):
                one.execute(GOES_ON[0], prepare=False)
        one.execute("select 1; reset all", prepare=False)
        assert one.execute("show search_path").fetchone() == ("pg_catalog",)


def test_what_only_changes_how_results_look_goes_on_where_it_is(start_weir):
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 20")
    with weir.connect(application_name="mine") as one:
        assert one.execute("reset all; select 1", prepare=False) is not None
        assert one.execute("show application_name").fetchone() == ("mine",)


@pytest.mark.parametrize("text", ["set time zone local; set local time zone 'Asia/Tokyo'; select 1", "reset all; set local timezone = 'UTC'",
                                  "set local timezone = 'UTC'; reset timezone", "reset timezone; select set_config('timezone', 'UTC', true)"])
def test_a_reset_and_a_setting_for_the_transaction_in_one_text(start_weir, text):
    """The server tells what such a text has reset as set by the session."""
    weir = start_weir(pool='max_connections_percent = 6\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"')
    with weir.connect(options="-c timezone=Asia/Tokyo") as one, weir.connect() as other:
        before = other.execute("show timezone").fetchone()
        for _ in range(2):
            one.execute(text, prepare=False)
            assert one.execute("show timezone").fetchone() == ("Asia/Tokyo",)
            assert other.execute("show timezone").fetchone() == before
        for end in ("commit", "rollback"):
            one.execute("begin")
            one.execute(text, prepare=False)
            assert one.execute("show timezone").fetchone() == ("UTC" if "UTC" in text and "reset timezone" != text[-14:] else "Asia/Tokyo",)
            one.execute(end)
            assert one.execute("show timezone").fetchone() == ("Asia/Tokyo",)
        one.execute("reset timezone; set local timezone = 'UTC'; set timezone = 'Europe/Berlin'", prepare=False)
        assert one.execute("show timezone").fetchone() == ("Europe/Berlin",)
