"""The clients that applications really use keep multiplexing: many more of them than backends, each in its own settings,
their pools' releases and resets between them, and nothing pins. The programs in other languages are in clients/."""

import asyncio
import concurrent.futures
import ctypes
import os
import shutil
import signal
import subprocess

import asyncpg
import django
import django.conf
import psycopg
import psycopg_pool
import pytest
import sqlalchemy
from psycopg.types.enum import EnumInfo
from sqlalchemy import orm

from servers import PASSWORD

FOLDER = os.path.dirname(os.path.abspath(__file__))
BACKENDS = 5
CLIENTS = 30
TENANTS = 4
ORDERS = """
create schema {tenant};
create type {tenant}.mood as enum ('calm', 'busy');
create table {tenant}.orders (id serial primary key, tag text not null unique, amount numeric(12, 2) not null default 0,
    numbers int[], extra jsonb, at timestamptz not null default now(), mood {tenant}.mood);
create view {tenant}.tenant as select '{tenant}'::text as name
"""


def tenant_of(number):
    return f"tenant_{number % TENANTS}"


@pytest.fixture(scope="module")
def shop(postgres):
    """A table of the same name in a schema for each tenant: who runs in another's settings reads and writes another's rows."""
    with postgres.connect() as connection:
        for number in range(TENANTS):
            connection.execute(ORDERS.format(tenant=tenant_of(number)))
    yield postgres
    with postgres.connect() as connection:
        for number in range(TENANTS):
            connection.execute(f"drop schema {tenant_of(number)} cascade")


@pytest.fixture
def busy_weir(start_weir, shop):
    """Few backends, of which no client gets the same twice if there is another."""
    return start_weir(pool='max_connections_percent = 13\nconnection_borrow_timeout = 30\ndebug_borrow = "rotate"')


def assert_multiplexing(weir, postgres):
    """Asked while the clients are there, and idle."""
    weir.signal(signal.SIGUSR1)
    weir.wait_for_log("event=describe", count=2)
    weir.wait_for_log("route=[0-9]+ database=postgres user=app waiters=0")
    assert not weir.find("pinned"), weir.find("pinned")
    assert postgres.backends("application_name <> 'psql'") <= BACKENDS


def tags(postgres, prefix):
    """(tenant, tag) of every order whose tag begins so."""
    wanted = " union all ".join(f"select '{tenant_of(number)}', tag from {tenant_of(number)}.orders" for number in range(TENANTS))
    return {row for row in postgres.query(wanted) if row[1].startswith(prefix)}


def in_threads(work, count=CLIENTS):
    """Runs work(0) .. work(count - 1) at once; raises what any of them raises."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


@pytest.fixture
def node_pg():
    """Where the distribution has node-postgres. A nodejs that is not the distribution's may forbid its package."""
    places = [os.environ.get("NODE_PATH", ""), "/usr/share/nodejs"]
    for place in places:
        if shutil.which("node") and os.path.exists(os.path.join(place, "pg", "package.json")):
            return place
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "nodejs"], capture_output=True, text=True).stdout
    pytest.skip(f"node-postgres is not there: the package node-pg is not installed (nodejs: {version or 'none'})")


def program(name, *command, weir, prefix, **settings):
    """Runs a client in another language; it prints "ok" at its end, and whatever is wrong before."""
    environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(weir.port), "PGUSER": "app", "PGPASSWORD": PASSWORD,
                   "PGDATABASE": "postgres", "CLIENTS": str(CLIENTS), "TENANTS": str(TENANTS), "TAG_PREFIX": prefix, **settings}
    result = subprocess.run([*command, os.path.join(FOLDER, "clients", name)], capture_output=True, text=True, timeout=60,
                            env=environment)
    assert result.returncode == 0 and result.stdout.split() == ["ok"], result.stdout + result.stderr


# psycopg 3


def set_up(connection, number):
    connection.execute(f"set search_path = {tenant_of(number)}, public")
    connection.execute(f"set application_name = 'worker {number}'")
    connection.execute("set statement_timeout = '25s'")


def settings_of(cursor):
    return cursor.execute("select current_setting('search_path'), current_setting('application_name'), "
                          "current_setting('statement_timeout'), (select name from tenant)").fetchone()


def wanted_settings(number):
    return f"{tenant_of(number)}, public", f"worker {number}", "25s", tenant_of(number)


def use_psycopg(connection, number, prefix):
    """What a worker does, at the end of which it has one order; `connection` is not in autocommit."""
    tag = f"{prefix}{number}"
    assert settings_of(connection) == wanted_settings(number)
    connection.commit()
    connection.execute("insert into orders (tag, amount, numbers, extra, mood) values (%s, %s, %s, %s, %s)",
                       (tag, "12.50", [number, 2], psycopg.types.json.Jsonb({"n": number}), "calm"))
    connection.commit()
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("insert into orders (tag) values (%s)", (tag,))
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        connection.execute("select 1")
    connection.rollback()
    with connection.transaction():
        with connection.transaction(force_rollback=True):
            connection.execute("delete from orders where tag = %s", (tag,))
        connection.execute("update orders set amount = amount + 1 where tag = %s", (tag,))
    for attempt in range(8):   # from the fifth on a statement prepared on the server
        row = connection.execute("select amount::text, numbers, extra, %s::int from orders where tag = %s", (attempt, tag)).fetchone()
        assert row == ("13.50", [number, 2], {"n": number}, attempt)
        connection.commit()
    with connection.pipeline():
        answers = [connection.execute("select %s::int + (select amount from orders where tag = %s)", (i, tag)) for i in range(5)]
        assert [float(each.fetchone()[0]) for each in answers] == [i + 13.5 for i in range(5)]
    connection.commit()
    with connection.cursor(name="rows") as cursor:
        assert len(cursor.execute("select * from generate_series(1, 250)").fetchall()) == 250
    connection.execute("set local statement_timeout = '30ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("select pg_sleep(20)")
    connection.rollback()
    assert settings_of(connection) == wanted_settings(number)
    connection.commit()


def test_psycopg(busy_weir, shop):
    connections = [busy_weir.connect(autocommit=False) for _ in range(CLIENTS)]

    def work(number):
        connection = connections[number]
        set_up(connection, number)
        connection.commit()
        EnumInfo.fetch(connection, "mood").register(connection)
        with connection.cursor(binary=True) as cursor:
            cursor.execute("select %b::int, %b::text, %b::timestamptz is null", (number, f"text {number}", None), prepare=True)
            assert cursor.fetchone() == (number, f"text {number}", True)
        use_psycopg(connection, number, "psycopg ")
        with connection.cursor() as cursor:
            with cursor.copy("copy orders (tag) from stdin") as copy:
                copy.write_row((f"psycopg copied {number}",))
            cursor.executemany("update orders set amount = %s where tag = %s returning amount",
                               [(2, f"psycopg copied {number}"), (3, f"psycopg copied {number}")])
            with cursor.copy("copy (select tag, amount from orders where tag like 'psycopg copied%') to stdout") as copy:
                rows = list(copy.rows())
                assert (f"psycopg copied {number}", "3.00") in rows
        connection.commit()
        client_side = psycopg.ClientCursor(connection).execute("select tag from orders where tag = %s", (f"psycopg {number}",))
        assert client_side.fetchone() == (f"psycopg {number}",)
        connection.rollback()

    in_threads(work)
    assert_multiplexing(busy_weir, shop)
    for each in connections:
        each.close()
    expected = {(tenant_of(number), f"psycopg {what}{number}") for number in range(CLIENTS) for what in ("", "copied ")}
    assert tags(shop, "psycopg ") == expected


def test_a_pool_of_psycopg(busy_weir, shop):
    def configure(connection):
        connection.execute("set lock_timeout = '7s'")
        connection.commit()

    def reset(connection):
        connection.execute("discard all")
        connection.execute("set lock_timeout = '7s'")
        connection.commit()

    place = f"host=127.0.0.1 port={busy_weir.port} dbname=postgres user=app password={PASSWORD}"
    with psycopg_pool.ConnectionPool(place, min_size=2, max_size=15, configure=configure, reset=reset, timeout=30) as pool:
        def work(number):
            for turn in range(2):
                with pool.connection() as connection:
                    unset = connection.execute("select current_setting('lock_timeout'), current_setting('search_path')").fetchone()
                    assert unset == ("7s", '"$user", public')
                    set_up(connection, number)
                    connection.commit()
                    connection.prepare_threshold = 0
                    use_psycopg(connection, number, f"pooled {turn} ")
            with pytest.raises(psycopg.errors.DivisionByZero):
                with pool.connection() as connection:
                    connection.execute(f"insert into {tenant_of(number)}.orders (tag) values ('pooled, lost')")
                    connection.execute("select 1 / 0")

        in_threads(work)
        pool.check()
        assert_multiplexing(busy_weir, shop)
    assert tags(shop, "pooled") == {(tenant_of(number), f"pooled {turn} {number}") for number in range(CLIENTS) for turn in range(2)}


# asyncpg


async def use_asyncpg(connection, number, prefix):
    tag = f"{prefix}{number}"
    assert await connection.fetchval("show search_path") == '"$user", public'   # the pool has reset the last user's
    await connection.execute(f"set search_path = {tenant_of(number)}; set statement_timeout = '25s'")
    await connection.execute("insert into orders (tag, amount, numbers, extra) values ($1, 12.5, $2, $3)", tag, [number, 2], "{}")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("insert into orders (tag) values ($1)", tag)
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute("delete from orders where tag = $1", tag)
            raise ZeroDivisionError
    async with connection.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.fetchval("select 1 / $1::int", 0)
        assert [row[0] async for row in connection.cursor("select * from generate_series(1, $1::int)", 120)] == list(range(1, 121))
        await connection.execute("update orders set amount = amount + 1, mood = 'busy' where tag = $1", tag)
    for _ in range(4):
        statement = await connection.prepare("select o, amount::text, mood, array[mood], (select name from tenant) from orders o "
                                             "where tag = $1")
        row = await statement.fetchrow(tag)
        assert row[0]["tag"] == tag and tuple(row)[1:] == ("13.50", "busy", ["busy"], tenant_of(number))
    await connection.copy_records_to_table("orders", records=[(f"{prefix}copied {number}",)], columns=["tag"])
    if number < TENANTS:   # fewer than backends: the time is the query's own, not one of waiting
        with pytest.raises(asyncio.TimeoutError):
            await connection.execute("select pg_sleep(5)", timeout=0.5)
    assert await connection.fetchval("select name from tenant") == tenant_of(number)


def test_asyncpg(busy_weir, shop):
    async def main():
        place = {"host": "127.0.0.1", "port": busy_weir.port, "user": "app", "password": PASSWORD, "database": "postgres",
                 "ssl": False, "server_settings": {"jit": "off", "application_name": "shop"}}
        async with asyncpg.create_pool(**place, min_size=10, max_size=CLIENTS) as pool:
            async def work(number, turn):
                async with pool.acquire() as connection:
                    await use_asyncpg(connection, number, f"asyncpg {turn} ")
            await asyncio.gather(*(work(number, turn) for number in range(CLIENTS) for turn in range(2)))
            assert_multiplexing(busy_weir, shop)
    asyncio.run(main())
    assert tags(shop, "asyncpg ") == {(tenant_of(number), f"asyncpg {turn} {what}{number}")
                                      for number in range(CLIENTS) for turn in range(2) for what in ("", "copied ")}


# libpq


class Libpq:
    """A connection of the C library, which lets other threads run while it waits."""

    library = ctypes.CDLL("libpq.so.5")
    for name in ("PQconnectdb", "PQexec", "PQprepare", "PQexecPrepared", "PQexecParams", "PQdescribePrepared"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("PQerrorMessage", "PQresultErrorField", "PQgetvalue"):
        getattr(library, name).restype = ctypes.c_char_p
    COMMAND_OK, TUPLES_OK, SQLSTATE = 1, 2, ord("C")

    def __init__(self, place):
        self.connection = ctypes.c_void_p(self.library.PQconnectdb(place.encode()))
        assert self.library.PQstatus(self.connection) == 0, self.library.PQerrorMessage(self.connection)

    def rows(self, result):
        """The rows of a result as texts; the SQLSTATE if it is an error."""
        result = ctypes.c_void_p(result)
        try:
            if self.library.PQresultStatus(result) not in (self.COMMAND_OK, self.TUPLES_OK):
                return self.library.PQresultErrorField(result, self.SQLSTATE).decode()
            return [tuple(self.library.PQgetvalue(result, row, column).decode() for column in range(self.library.PQnfields(result)))
                    for row in range(self.library.PQntuples(result))]
        finally:
            self.library.PQclear(result)

    @staticmethod
    def texts(values):
        return (ctypes.c_char_p * len(values))(*(value.encode() for value in values))

    def execute(self, sql):
        return self.rows(self.library.PQexec(self.connection, sql.encode()))

    def execute_params(self, sql, *values):
        return self.rows(self.library.PQexecParams(self.connection, sql.encode(), len(values), None, self.texts(values), None, None, 0))

    def prepare(self, name, sql):
        return self.rows(self.library.PQprepare(self.connection, name.encode(), sql.encode(), 0, None))

    def execute_prepared(self, name, *values):
        return self.rows(self.library.PQexecPrepared(self.connection, name.encode(), len(values), self.texts(values), None, None, 0))

    def parameters_of(self, name):
        result = ctypes.c_void_p(self.library.PQdescribePrepared(self.connection, name.encode()))
        count = self.library.PQnparams(result)
        self.library.PQclear(result)
        return count

    def close(self):
        self.library.PQfinish(self.connection)


def test_libpq(busy_weir, shop):
    """What drivers on top of it are made of."""
    place = f"host=127.0.0.1 port={busy_weir.port} dbname=postgres user=app password={PASSWORD}"
    connections = [Libpq(place) for _ in range(CLIENTS)]

    def work(number):
        connection = connections[number]
        tag = f"libpq {number}"
        assert connection.execute(f"set search_path = {tenant_of(number)}") == []
        assert connection.prepare("add", "insert into orders (tag) values ($1)") == []
        assert connection.prepare("find", "select (select name from tenant), tag, $2::text from orders where tag = $1") == []
        assert connection.parameters_of("find") == 2
        assert connection.execute_prepared("add", tag) == []
        assert connection.execute_prepared("add", tag) == "23505"
        for turn in map(str, range(10)):
            assert connection.execute_prepared("find", tag, turn) == [(tenant_of(number), tag, turn)]
            assert connection.execute_params("select $1::text || tag from orders where tag = $2", turn, tag) == [(turn + tag,)]
        assert connection.execute("begin") == []
        assert connection.execute_prepared("add", "libpq, lost") == []
        assert connection.execute("select from from") == "42601"
        assert connection.execute_prepared("add", "libpq, lost") == "25P02"
        assert connection.execute("rollback") == []
        assert connection.execute("deallocate add") == []
        assert connection.execute_prepared("add", "libpq, lost") == "26000"
        assert connection.prepare("add", "select name from tenant") == []
        assert connection.execute_prepared("add") == [(tenant_of(number),)]

    in_threads(work)
    assert_multiplexing(busy_weir, shop)
    for each in connections:
        each.close()
    assert tags(shop, "libpq") == {(tenant_of(number), f"libpq {number}") for number in range(CLIENTS)}


SCRIPT = r"""
\set tag 'psql {number}'
set search_path = {tenant};
insert into orders (tag) values (:'tag') returning tag;
\d orders
\d+ tenant
\dt
\df
\dT+ mood
\l
\dn+
\du
\copy (select tag from orders where tag = 'psql {number}') to '/dev/null'
begin;
insert into orders (tag) values ('psql, lost');
select from from;
rollback;
\set ON_ERROR_ROLLBACK on
begin;
select from from;
update orders set amount = 7 where tag = :'tag';
commit;
\set FETCH_COUNT 10
select count(*) from generate_series(1, 100);
select name from tenant \gset
\echo :name
"""


def use_psql(weir, number, host="127.0.0.1", **environment):
    result = subprocess.run(["psql", "-X", "-h", host, "-p", str(weir.port), "-U", "app", "-At", "postgres"],
                            input=SCRIPT.format(number=number, tenant=tenant_of(number)), timeout=60, capture_output=True, text=True,
                            env={**os.environ, "PGPASSWORD": PASSWORD, "PGAPPNAME": "script", **environment})
    assert result.stderr.count("ERROR") == 2 and result.stderr.count('at or near "from"') == 2, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == tenant_of(number) and f"psql {number}" in lines and "100" in lines, result.stdout


def test_psql(busy_weir, shop):
    in_threads(lambda number: use_psql(busy_weir, number), 12)
    assert_multiplexing(busy_weir, shop)
    assert tags(shop, "psql") == {(tenant_of(number), f"psql {number}") for number in range(12)}


# Mappers of objects


def test_sqlalchemy(busy_weir, shop):
    """An engine for each tenant, whose connections all begin with its search_path."""
    Base = orm.declarative_base()

    class Order(Base):
        __tablename__ = "orders"
        id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        tag = sqlalchemy.Column(sqlalchemy.Text)
        amount = sqlalchemy.Column(sqlalchemy.Numeric(12, 2), nullable=False)

    def engine_of(tenant):
        engine = sqlalchemy.create_engine(f"postgresql+psycopg2://app:{PASSWORD}@127.0.0.1:{busy_weir.port}/postgres",
                                          pool_size=CLIENTS // TENANTS, pool_pre_ping=True, connect_args={"sslmode": "disable"})

        @sqlalchemy.event.listens_for(engine, "connect", insert=True)
        def set_search_path(connection, _):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"set session search_path = {tenant}")
            connection.autocommit = False
        return engine

    engines = [engine_of(tenant_of(number)) for number in range(TENANTS)]

    def work(number):
        engine = engines[number % TENANTS]
        tag = f"sqlalchemy {number}"
        with orm.Session(engine) as session:
            session.add_all(Order(tag=f"{tag} {each}", amount=each) for each in range(5))
            session.commit()
            orders = session.execute(sqlalchemy.select(Order).where(Order.tag.like(f"{tag} %")).order_by(Order.tag)).scalars().all()
            assert [int(each.amount) for each in orders] == list(range(5))
            orders[0].amount = 7
            with session.begin_nested() as savepoint:
                session.delete(orders[1])
                session.flush()
                savepoint.rollback()
            session.commit()
            session.add(Order(tag=f"{tag} 0", amount=1))
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                session.commit()
            session.rollback()
            assert session.execute(sqlalchemy.text("select name from tenant")).scalar() == tenant_of(number)
        with engine.connect() as connection:
            streamed = connection.execution_options(stream_results=True).execute(sqlalchemy.text("select generate_series(1, 300)"))
            assert len(streamed.fetchall()) == 300
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            assert connection.execute(sqlalchemy.text("select amount from orders where tag = :tag"), {"tag": f"{tag} 0"}).scalar() == 7
        if number < TENANTS:
            found = sqlalchemy.MetaData()
            found.reflect(engine, views=True)
            assert set(found.tables) == {"orders", "tenant"} and "numbers" in found.tables["orders"].columns

    in_threads(work)
    assert_multiplexing(busy_weir, shop)
    for each in engines:
        each.dispose()
    assert tags(shop, "sqlalchemy") == {(tenant_of(number), f"sqlalchemy {number} {each}")
                                        for number in range(CLIENTS) for each in range(5)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")   # of Django's own use of Python
def test_django(busy_weir, shop):
    django.conf.settings.configure(USE_TZ=True, DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "HOST": "127.0.0.1", "PORT": busy_weir.port, "USER": "app",
        "PASSWORD": PASSWORD, "CONN_MAX_AGE": 60, "OPTIONS": {"sslmode": "disable"}}})
    django.setup()
    from django.db import IntegrityError, connection, models, transaction

    class Order(models.Model):
        tag = models.TextField()
        amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)
        at = models.DateTimeField(auto_now_add=True)

        class Meta:
            app_label, db_table, managed = "shop", "orders", False

    def work(number):
        tag = f"django {number}"
        with connection.cursor() as cursor:
            cursor.execute(f"set search_path to {tenant_of(number)}")
        try:
            for each in range(5):
                Order.objects.create(tag=f"{tag} {each}", amount=each)
            with pytest.raises(IntegrityError):
                Order.objects.create(tag=f"{tag} 0")
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                Order.objects.filter(tag=f"{tag} 1").delete()
                raise ZeroDivisionError
            with transaction.atomic():
                with pytest.raises(IntegrityError), transaction.atomic():
                    Order.objects.create(tag=f"{tag} 1")
                Order.objects.select_for_update().filter(tag=f"{tag} 2").update(amount=models.F("amount") + 1)
                mine = Order.objects.filter(tag__startswith=f"{tag} ").order_by("tag")
                assert [int(order.amount) for order in mine.iterator(chunk_size=2)] == [0, 1, 3, 3, 4]
            Order.objects.bulk_create([Order(tag=f"{tag} 5"), Order(tag=f"{tag} 6")])
            assert Order.objects.filter(tag__startswith=f"{tag} ", at__year__gt=2000).aggregate(models.Sum("amount"))["amount__sum"] == 11
            with connection.cursor() as cursor:
                assert "orders" in connection.introspection.table_names(cursor)
                assert len(connection.introspection.get_table_description(cursor, "orders")) == 7
                assert "orders_pkey" in connection.introspection.get_constraints(cursor, "orders")
                cursor.execute("select name from tenant")
                assert cursor.fetchone() == (tenant_of(number),)
            assert connection.is_usable()
        finally:
            connection.close()

    in_threads(work)
    assert_multiplexing(busy_weir, shop)
    assert tags(shop, "django") == {(tenant_of(number), f"django {number} {each}") for number in range(CLIENTS) for each in range(7)}


# Programs in other languages


def test_pgjdbc(busy_weir, shop):
    program("EverydayClient.java", "java", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar",
            weir=busy_weir, prefix="jdbc ")
    assert_multiplexing(busy_weir, shop)
    expected = {f"jdbc {number} {what}{turn}" for number in range(CLIENTS) for what, turns in (("", 8), ("batch ", 12))
                for turn in range(turns)}
    assert {tag for _, tag in tags(shop, "jdbc ")} == expected
    assert all(tenant == tenant_of(int(tag.split()[1])) for tenant, tag in tags(shop, "jdbc "))


def test_node_postgres(busy_weir, shop, node_pg):
    program("everyday_client.js", "node", weir=busy_weir, prefix="node ", NODE_PATH=node_pg)
    assert_multiplexing(busy_weir, shop)
    assert tags(shop, "node ") == {(tenant_of(number), f"node {how} {number}") for number in range(CLIENTS)
                                   for how in ("pooled", "single")}
