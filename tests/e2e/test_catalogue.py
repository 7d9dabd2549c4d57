"""Functions of users, triggers, views and defaults: what the text of a transaction does not show."""

import json
import signal

import psycopg
import pytest

from servers import PASSWORD, wait_until

# What is opaque pins, so that it shows; else the session is asked (test_opaque.py).
POOL = "max_connections_percent = 10\nconnection_borrow_timeout = 20\nopaque_calls = 'pin'"
# One backend, so that whatever is left in a session would be seen by the next client.
ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20\nopaque_calls = 'pin'"


@pytest.fixture
def database(postgres):
    """A database of its own; gives a function that runs statements in it, past weir."""
    with postgres.connect() as connection:
        connection.execute("drop database if exists catalogue with (force)")
        connection.execute("create database catalogue")

    def run(*statements):
        with postgres.connect(dbname="catalogue") as connection:
            for each in statements:
                connection.execute(each)
    return run


@pytest.fixture
def start(start_weir, database):
    def start(*statements, pool=POOL, **settings):
        database(*statements)
        return start_weir(pool=pool, **settings)
    return start


def connect(weir, **settings):
    return weir.connect(dbname="catalogue", **settings)


def pins(weir, *statements):
    """Whether the statements pin a new client."""
    before = len(weir.find("was pinned"))
    with connect(weir) as client:
        for each in statements:
            client.execute(each, prepare=False)
        # What each shard has to say goes to the log in order: the pin, then this.
        described = len(weir.find("event=describe"))
        weir.signal(signal.SIGUSR1)
        weir.wait_for_log("event=describe", count=described + 2)
    return len(weir.find("was pinned")) > before


FUNCTIONS = (
    "create extension pg_trgm",
    "create extension dblink",
    "create table t (id serial, a int)",
    "create function plain(x int) returns int language sql as 'select x + 1'",
    "create function atomic(x int) returns int language sql begin atomic select x + 1; end",
    "create function setting(x int) returns int language sql set search_path = public as 'select x'",
    "create function loops(x int) returns int language plpgsql as $$ begin for i in 1..x loop perform plain(i); end loop; return x; end $$",
    "create function taints() returns text language sql as $$ select set_config('app.tenant', 'secret', false) $$",
    "create function taints_atomic() returns text language sql begin atomic select set_config('app.tenant', 'secret', false); end",
    "create function taint_time(timestamptz) returns text language sql as 'select taints()'",
    "create function calls() returns text language plpgsql as $$ begin return taints(); end $$",
    "create function dynamic(x text) returns void language plpgsql as $$ begin execute x; end $$",
    "create function seeds() returns void language sql as 'select setseed(0.5)'",
    "create function like_a_field() returns void language sql as 'select (0.5::float8).setseed'",
    "create function by_default(x text default taints()) returns text language sql as 'select x'",
    "create function public.lower(x int) returns int language plpgsql as $$ begin set app.tenant = 'secret'; return x; end $$",
    "create aggregate product (float8) (sfunc = float8mul, stype = float8)",
    "create function step(x float8, y float8) returns float8 language plpgsql as $$ begin set app.tenant = 'secret'; return x; end $$",
    "create aggregate tainted (float8) (sfunc = step, stype = float8)",
    "create procedure proceeds(x int) language plpgsql as $$ begin perform plain(x); end $$",
    "create procedure sets(x int) language plpgsql as $$ begin set app.tenant = 'secret'; end $$",
    "create schema app create table other (a int)",
    "create function app.hidden(x int) returns int language sql as 'select x'",
)


def test_a_function_pins_if_its_source_may_change_the_session(start):
    weir = start(*FUNCTIONS)
    for harmless in ("select plain(1)", "select public.plain(1)", "select atomic(1)", "select setting(1)", "select loops(3)",
                     "select similarity('a', 'b')", "select product(2) from generate_series(1, 3)", "call proceeds(1)",
                     "select app.hidden(1)", "select upper('a')",
                     "do $$ begin perform plain(1); end $$", "insert into t (a) values (plain(1))"):
        assert not pins(weir, harmless), harmless
    for tainted in ("select taints()", "select taints_atomic()", "select calls()", "select dynamic('select 1')", "select seeds()",
                    "select like_a_field()", "select (now()).taint_time", "select (array[now()])[1].taint_time",
                    "select by_default()", "select by_default('x')", "select lower('A')", "select tainted(1)", "call sets(1)",
                    "do $$ begin set app.x = 1; end $$", "select public.lower(1)",
                    "select * from dblink_get_connections()"):
        assert pins(weir, tainted), tainted


@pytest.mark.parametrize("prepare", [True, False])
def test_prepared_statements_are_judged_by_what_is_known_now(start, database, prepare):
    weir = start(FUNCTIONS[3], pool=ONE)
    with connect(weir) as client, connect(weir) as other:
        client.prepare_threshold = 0
        for _ in range(2):
            assert client.execute("select plain(%s)", (1,), prepare=prepare).fetchone() == (2,)
        other.execute("create or replace function plain(x int) returns int language plpgsql as "
                      "$$ begin set app.tenant = 'secret'; return 2; end $$")
        # (No backend is left for the other one.)
        client.execute("select plain(%s)", (1,), prepare=prepare)
        weir.wait_for_log("was pinned")
        client.close()
        assert other.execute("select coalesce(current_setting('app.tenant', true), '')").fetchone() == ("",)


def test_a_tainted_trigger_concerns_what_writes(start):
    weir = start("create table t (a int)",
                 "create function audit() returns trigger language plpgsql as $$ begin perform set_config('app.who', 'x', false); return new; end $$",
                 "create trigger audit before update on t for each row execute function audit()")
    for quiet in ("select * from t", "begin; select 1; commit", "set work_mem = '9MB'"):
        assert not pins(weir, quiet), quiet
    assert pins(weir, "update t set a = 1")
    assert pins(weir, "delete from t")


def test_a_harmless_trigger_concerns_nothing(start):
    weir = start("create table t (a int)", "create table log (id serial, a int)",
                 "create function log() returns trigger language plpgsql as $$ begin insert into log (a) values (new.a); return new; end $$",
                 "create trigger log after insert on t for each row execute function log()")
    assert not pins(weir, "insert into t values (1)", "update t set a = 2")


@pytest.mark.parametrize("made", [
    ("create view v as select set_config('app.who', 'x', false)",),
    ("create function f() returns text language sql as $$ select set_config('app.who', 'x', false) $$", "create view v as select f()"),
    ("create table t (a int)", "create function f() returns bool language plpgsql as $$ begin set app.who = 'x'; return true; end $$",
     "create policy p on t using (f())"),
    ("create function f(int, int) returns bool language plpgsql as $$ begin set app.who = 'x'; return true; end $$",
     "create operator ~~~ (function = f, leftarg = int, rightarg = int)"),
    ("create type pair as (a int, b int)",
     "create function f(pair) returns text language plpgsql as $$ begin set app.who = 'x'; return 'x'; end $$",
     "create cast (pair as text) with function f(pair)"),
    ("create function f(int) returns bool language plpgsql as $$ begin set app.who = 'x'; return true; end $$",
     "create domain small as int check (f(value))"),
    ("create table t (a int)",
     "create function f(t) returns text language plpgsql as $$ begin set app.who = 'x'; return 'x'; end $$"),
])
def test_what_no_text_names_concerns_all(start, made):
    weir = start(*made)
    assert pins(weir, "select 1")
    assert not pins(weir, "begin; commit")


@pytest.mark.parametrize("default", ["set_config('app.who', 'x', false)", "f()"])
def test_a_tainted_default_concerns_what_writes(start, default):
    weir = start("create function f() returns text language plpgsql as $$ begin set app.who = 'x'; return 'x'; end $$",
                 f"create table t (a int, b text default {default})")
    assert not pins(weir, "select * from t")
    assert pins(weir, "insert into t (a) values (1)")


def test_event_triggers_concern_ddl(start):
    weir = start("create function f() returns event_trigger language plpgsql as $$ begin set app.who = 'x'; end $$",
                 "create event trigger e on ddl_command_end execute function f()")
    assert not pins(weir, "select 1")
    assert pins(weir, "create table t (a int)")


def test_ddl_through_weir_is_known_at_once_on_all_shards(start):
    weir = start("create table t (a int)", engine="shards = 2")
    with connect(weir) as one, connect(weir) as two, connect(weir) as three:
        for turn in range(10):
            name = f"f{turn}"
            for client in (one, two, three):
                client.execute("select 1")
            one.execute(f"create function {name}(x int) returns int language sql as 'select x'")
            for client in (one, two, three):
                assert client.execute(f"select {name}(1)").fetchone() == (1,)
    assert not weir.find("was pinned")
    with connect(weir) as one, connect(weir) as two:
        one.execute("create function audit() returns trigger language plpgsql as $$ begin set app.who = 'x'; return new; end $$")
        one.execute("create trigger audit before update on t for each row execute function audit()")

        def update():
            two.execute("update t set a = 1")
            return weir.find("was pinned")
        # At once, but that nobody waits for more than 250 ms.
        wait_until(update, what="the trigger to be known")


def test_ddl_past_weir_is_known_after_the_poll(start, database):
    weir = start("create table t (a int)", pool=POOL + "\ncatalogue_poll = 1")
    assert pins(weir, "select setseed(0.5)")
    database("create function later(x int) returns int language sql as 'select x'")
    wait_until(lambda: not pins(weir, "select later(1)"), seconds=20, what="the function to be known")
    database("create function later(x text) returns text language plpgsql as $$ begin set app.who = 'x'; return 'x'; end $$")
    wait_until(lambda: pins(weir, "select later(1)"), seconds=20, what="the change to be known")


def test_without_a_poll_only_ddl_through_weir_is_seen(start, database):
    weir = start("create table t (a int)", pool=POOL + "\ncatalogue_poll = 0")
    assert not pins(weir, "select 1")
    database("create function later(x int) returns int language sql as 'select x'")
    assert pins(weir, "select later(1)")
    assert not pins(weir, "create table u (a int)", "select later(1)")


def test_sequences_that_functions_and_defaults_use_are_seen(start):
    made = ("create sequence s", "create function number() returns bigint language sql as $$ select nextval('s') $$",
            "create function last() returns bigint language sql as $$ select currval('s') $$",
            "create table t (a int, b bigint)")
    weir = start(*made, pool=ONE)
    for default in (False, True):
        with connect(weir) as one, connect(weir) as two:
            if default:
                one.execute("alter table t alter b set default currval('s')")
            for _ in range(2):
                number = one.execute("select number()").fetchone()
                # It keeps the backend for one more transaction.
                one.execute("select 1")
                with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                    two.execute("insert into t (a) values (1)" if default else "select last()")
                two.execute("select 1")
            number = one.execute("select number()").fetchone()
            assert one.execute("select last()").fetchone() == number


def test_fifty_thousand_functions(start, database):
    weir = start("do $$ begin for i in 1..50000 loop execute format('create function many%s(x int) returns int language plpgsql as "
                 "%L', i, 'begin return many' || i + 1 || '(x); end'); end loop; end $$",
                 "create function many50001(x int) returns int language sql as 'select x'",
                 pool=ONE.replace("timeout = 20", "timeout = 120"))   # a busy machine needs its time
    with connect(weir) as client:
        client.execute("select 1")
        wait_until(lambda: not pins(weir, "select many49999(1)"), seconds=120, what="the functions to be known")
        assert not weir.find("event=catalogue_unknown")


@pytest.fixture
def narrow(postgres, tmp_path):
    """A login that may not look at functions; the settings that weir needs for it."""
    with postgres.connect() as connection:
        connection.execute("drop role if exists narrow")
        connection.execute(f"create role narrow login password '{PASSWORD}'")
    (tmp_path / "narrow.json").write_text(json.dumps({"username": "narrow", "password": PASSWORD}), encoding="utf-8")
    return f'[[auth]]\nsecret_file = "{tmp_path}/narrow.json"'


BLIND = "revoke select on pg_catalog.pg_proc from public"


def test_a_login_that_may_not_ask_has_the_built_in_functions(start, narrow):
    weir = start(BLIND, FUNCTIONS[3], auth=narrow)
    with connect(weir, user="narrow") as client:
        weir.wait_for_log("event=catalogue_unknown")
        assert client.execute("select lower('A')").fetchone() == ("a",)
        assert not weir.find("was pinned")
        assert client.execute("select plain(1)").fetchone() == (2,)
        weir.wait_for_log("was pinned")


@pytest.mark.parametrize("opaque_calls", ["probe", "pin"])
def test_where_nobody_may_ask_every_session_is_asked(start, narrow, opaque_calls):
    """What a view or a trigger does is seen by nobody else, and follows its client."""
    sets = "create function {}({}) returns {} language plpgsql as $$ begin {}; end $$"
    weir = start(BLIND, sets.format("sets", "", "int", "set work_mem = '9MB'; return 1"),
                 sets.format("hear", "", "trigger", "set work_mem = '8MB'; listen here; return new"),
                 "create view viewed as select sets()", "create table t (a int)",
                 "create trigger hear before insert on t for each row execute function hear()",
                 "grant all on viewed, t to narrow", auth=narrow, engine="shards = 1",
                 pool="max_connections_percent = 6\nconnection_borrow_timeout = 20\ndebug_borrow = 'rotate'\n"
                      f"opaque_calls = '{opaque_calls}'")
    with connect(weir, user="narrow") as one, connect(weir, user="narrow") as other:
        weir.wait_for_log("event=catalogue_unknown")
        one.execute("select * from viewed")
        for _ in range(4):
            assert one.execute("show work_mem").fetchone() == ("9MB",)
            assert other.execute("show work_mem").fetchone() == ("4MB",)
        assert not weir.find("was pinned")
        one.execute("insert into t values (1)")
        weir.wait_for_log("was pinned.*listen")
        for _ in range(2):
            assert other.execute("select count(*) from pg_listening_channels()").fetchone() == (0,)
            assert other.execute("show work_mem").fetchone() == ("4MB",)
            assert one.execute("show work_mem").fetchone() == ("8MB",)
