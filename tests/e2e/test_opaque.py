"""What functions, triggers, views and blocks do to a session is asked of it: it follows its client, or keeps its backend."""

import psycopg
import pytest

ROTATE = 'max_connections_percent = 6\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"'
ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"


@pytest.fixture
def database(postgres):
    def run(*statements):
        with postgres.connect(dbname="template1") as connection:
            for each in statements:
                connection.execute(each)
    run("drop database if exists opaque", "create database opaque owner app")
    yield
    run("drop database if exists opaque with (force)")


@pytest.fixture
def start(start_weir, postgres, database):
    def start(*statements, pool=ROTATE, **settings):
        with postgres.connect(dbname="opaque") as connection:
            for each in statements:
                connection.execute(each)
        return start_weir(pool=pool, engine="shards = 1", **settings)
    return start


def connect(weir, **settings):
    return weir.connect(dbname="opaque", **settings)


def show(connection, name):
    return connection.execute("select current_setting(%s, true)", (name,)).fetchone()[0]


SETS = "create function sets() returns int language plpgsql as $$ begin perform set_config('work_mem', '9MB', false); return 1; end $$"
TENANT = "create function tenant(t text) returns text language plpgsql as $$ begin return set_config('app.tenant', t, false); end $$"
ROLE = "create procedure becomes() language plpgsql as $$ begin set role postgres; end $$"
EXECUTES = "create function executes(t text) returns int language plpgsql as $$ begin execute t; return 1; end $$"


@pytest.mark.parametrize("text, name, value", [
    ("select sets()", "work_mem", "9MB"),
    ("select tenant('x')", "app.tenant", "x"),
    ("do $$ begin set work_mem = '9MB'; end $$", "work_mem", "9MB"),
    ("select executes('set work_mem = ''9MB''')", "work_mem", "9MB"),
    ("select executes('set search_path = a, b')", "search_path", "a, b"),
    ("insert into written default values", "work_mem", "9MB"),
    ("select * from viewed", "work_mem", "9MB"),
    ("update pg_settings set setting = '9MB' where name = 'work_mem'", "work_mem", "9MB"),
    ("begin; do $$ begin set work_mem = '8MB'; end $$; savepoint a; select sets(); rollback to a; commit", "work_mem", "8MB"),
])
def test_what_code_sets_follows_its_client(start, text, name, value):
    weir = start(SETS, TENANT, EXECUTES, "create table written (x int default sets())", "create view viewed as select sets()")
    with connect(weir) as one, connect(weir) as other, connect(weir) as third:
        before = show(other, name)
        one.execute(text, prepare=False)
        for _ in range(4):
            assert show(one, name) == value
            for each in (other, third):
                assert show(each, name) in (before, "" if "." in name else before)
        one.execute("reset all", prepare=False)
        assert show(one, name) in (before, "" if "." in name else before)
    assert not weir.find("was pinned")


def test_a_role_that_a_procedure_takes_follows_its_client(start, postgres):
    weir = start("create role helper", "grant helper to app",
                 "create procedure becomes() language plpgsql as $$ begin set role helper; end $$")
    try:
        with connect(weir) as one, connect(weir) as other:
            one.execute("call becomes()")
            for _ in range(4):
                assert one.execute("select current_user").fetchone() == ("helper",)
                assert other.execute("select current_user").fetchone() == ("app",)
        assert not weir.find("was pinned")
    finally:
        with postgres.connect() as connection:
            connection.execute("drop role helper")


@pytest.mark.parametrize("statement, gone", [
    ("create temp table made (x int)", "drop table made"),
    ("listen x", "unlisten x"),
    ("select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
    ("prepare made as select 1", "deallocate made"),
])
def test_what_code_leaves_keeps_the_backend_until_it_has_gone(start, statement, gone):
    weir = start(EXECUTES, pool=ONE)
    with connect(weir) as one, connect(weir) as other:
        one.execute("select executes(%s)", (statement,), prepare=False)
        weir.wait_for_log('was pinned .*Digest: "select executes')
        one.execute("select executes(%s)", (gone,), prepare=False)
        weir.wait_for_log("released the database connection")
        assert other.execute("select 2").fetchone() == (2,)


def test_code_that_leaves_nothing_does_not_pin(start):
    weir = start(EXECUTES, pool=ONE)
    with connect(weir) as one, connect(weir) as other:
        for text in ("select 1", "create temp table t (x int) on commit drop", "set local work_mem = ''9MB''", "select 1 / 0"):
            try:
                one.execute(f"select executes('{text}')", prepare=False)
            except psycopg.errors.DivisionByZero:
                pass
            assert other.execute("select 2").fetchone() == (2,)
            assert show(other, "work_mem") == "4MB"
    assert not weir.find("was pinned")


def test_what_cannot_be_asked_pins(start):
    weir = start(pool=ONE)
    with connect(weir) as one:
        one.execute("do $$ begin perform setseed(0.5); end $$")
        weir.wait_for_log("was pinned .*until the client disconnects")


def test_a_client_that_vanishes_behind_opaque_code_leaves_nothing(start):
    weir = start(EXECUTES, pool=ONE)
    with connect(weir) as one:
        one.execute("begin")
        one.execute("select executes('set work_mem = ''9MB''; listen x; select pg_advisory_lock(7); create temp table t (x int)')")
        one.pgconn.finish()
    with connect(weir) as other:
        left = other.execute("""select current_setting('work_mem'), (select count(*) from pg_listening_channels()),
            (select count(*) from pg_locks where locktype = 'advisory'), to_regclass('t')::text""").fetchone()
        assert left == ("4MB", 0, 0, None)


@pytest.mark.parametrize("how, pins", [("trust", False), ("pin", True)])
def test_opaque_calls(start, how, pins):
    weir = start(EXECUTES, pool=ONE + f'\nopaque_calls = "{how}"')
    with connect(weir) as one:
        one.execute("select executes('select 1')", prepare=False)
        if pins:
            weir.wait_for_log("was pinned")
        else:
            assert one.execute("select 1").fetchone() == (1,)
            assert not weir.find("was pinned")


def test_settings_of_your_own_that_nothing_names_can_be_told(start):
    """Put together by code, no catalogue lists them: custom_settings does."""
    sets = ("create function hidden(t text) returns text language plpgsql as "
            "$$ begin return set_config('app' || '.' || 'hidden', t, false); end $$")
    weir = start(sets, pool=ROTATE + '\ncustom_settings = ["App.Hidden"]')
    with connect(weir) as one, connect(weir) as other:
        one.execute("select hidden('mine')")
        for _ in range(4):
            assert show(one, "app.hidden") == "mine"
            assert show(other, "app.hidden") in (None, "")


def test_large_objects_by_the_protocol_do_not_pin(start):
    """Libraries call their functions with FunctionCall."""
    weir = start(pool=ONE)
    import ctypes
    import ctypes.util
    libpq = ctypes.CDLL("libpq.so.5")
    libpq.PQconnectdb.restype = ctypes.c_void_p
    for function in (libpq.PQexec, libpq.PQclear, libpq.PQfinish, libpq.lo_creat, libpq.lo_open, libpq.lo_write, libpq.lo_close,
                     libpq.lo_unlink, libpq.lo_lseek):
        function.argtypes = [ctypes.c_void_p] + [ctypes.c_char_p] * (function is libpq.PQexec)
        function.restype = ctypes.c_void_p if function is libpq.PQexec else ctypes.c_int
    libpq.lo_creat.argtypes = [ctypes.c_void_p, ctypes.c_int]
    libpq.lo_open.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    libpq.lo_write.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    libpq.lo_close.argtypes = [ctypes.c_void_p, ctypes.c_int]
    libpq.lo_unlink.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    from servers import PASSWORD
    client = libpq.PQconnectdb(f"host=127.0.0.1 port={weir.port} dbname=opaque user=app password={PASSWORD} sslmode=disable".encode())
    try:
        libpq.PQexec(client, b"begin")
        made = libpq.lo_creat(client, 0x20000)
        assert made > 0
        descriptor = libpq.lo_open(client, made, 0x20000)
        assert descriptor >= 0 and libpq.lo_write(client, descriptor, b"hello", 5) == 5
        assert libpq.lo_close(client, descriptor) == 0 and libpq.lo_unlink(client, made) == 1
        libpq.PQexec(client, b"commit")
        with connect(weir) as other:
            assert other.execute("select 2").fetchone() == (2,)
    finally:
        libpq.PQfinish(client)
    assert not weir.find("was pinned")
