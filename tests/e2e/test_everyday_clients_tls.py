"""The clients that applications use, over TLS: each verifies weir's certificate and name, and shows by SCRAM that it knows its
password. By a stranger's certificate none is taken in."""

import asyncio
import re
import ssl
import subprocess

import asyncpg
import psycopg
import pytest

from certificates import Authority
from servers import PASSWORD
from test_everyday_clients import (CLIENTS, TENANTS, assert_multiplexing, in_threads, node_pg, program, set_up, shop,  # noqa: F401
                                   tags, tenant_of, use_asyncpg, use_psql, use_psycopg)

HOST = "localhost"
NO_AUTHORITY = "(?i)certificate|issuer|PKIX"


@pytest.fixture
def tls_weir(start_weir, shop, authority):
    return start_weir(target=authority.options(), proxy="require_tls = true",
                      pool='max_connections_percent = 13\nconnection_borrow_timeout = 30\ndebug_borrow = "rotate"')


@pytest.fixture(scope="module")
def stranger():
    made = Authority("Stranger")
    yield made
    made.close()


def libpq_settings(authority, **more):
    """A login that is bound to the connection, too."""
    return {"sslmode": "verify-full", "sslrootcert": authority.ca, "channel_binding": "require", **more}


def environment(authority, **more):
    return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": authority.ca, "PGCHANNELBINDING": "require", **more}


def major(program_name):
    return int(re.search(r"\d+", subprocess.run([program_name, "--version"], capture_output=True, text=True).stdout)[0])


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_psql(tls_weir, shop, authority, stranger, negotiation):
    more, first = {}, 0 if negotiation == "postgres" else 12
    if negotiation == "direct":
        if major("psql") < 17:
            pytest.skip(f"sslnegotiation=direct came with PostgreSQL 17; psql here is of {major('psql')}")
        more["PGSSLNEGOTIATION"] = "direct"
    in_threads(lambda number: use_psql(tls_weir, first + number, HOST, **environment(authority, **more)), 12)
    assert_multiplexing(tls_weir, shop)
    for ca, host in ((stranger, HOST), (authority, "ip6-localhost.example")):
        address = {"PGHOSTADDR": "127.0.0.1"}   # whatever the name is
        with pytest.raises(AssertionError, match="certificate"):
            use_psql(tls_weir, 0, host, **environment(ca, **more, **address))
    assert {(tenant_of(number), f"psql {number}") for number in range(first, first + 12)} <= tags(shop, "psql")


def test_psycopg(tls_weir, shop, authority, stranger):
    connections = [tls_weir.connect(host=HOST, autocommit=False, **libpq_settings(authority)) for _ in range(CLIENTS)]
    assert all(each.pgconn.ssl_in_use for each in connections)

    def work(number):
        set_up(connections[number], number)
        connections[number].commit()
        use_psycopg(connections[number], number, "psycopg ")
    in_threads(work)
    assert_multiplexing(tls_weir, shop)
    for each in connections:
        each.close()
    with pytest.raises(psycopg.OperationalError, match=NO_AUTHORITY):
        tls_weir.connect(host=HOST, **libpq_settings(stranger))
    assert tags(shop, "psycopg ") == {(tenant_of(number), f"psycopg {number}") for number in range(CLIENTS)}


@pytest.mark.parametrize("direct", [False, True])
def test_asyncpg(tls_weir, shop, authority, stranger, direct):
    def place(ca):
        # It names the protocol only if it is told to.
        return {"host": HOST, "port": tls_weir.port, "user": "app", "password": PASSWORD, "database": "postgres",
                "ssl": ca.context(alpn="postgresql" if direct else None), "direct_tls": direct,
                "server_settings": {"jit": "off", "application_name": "shop"}}

    async def main():
        async with asyncpg.create_pool(**place(authority), min_size=10, max_size=CLIENTS) as pool:
            async def work(number):
                async with pool.acquire() as connection:
                    await use_asyncpg(connection, number, f"asyncpg {direct} ")
            await asyncio.gather(*map(work, range(CLIENTS)))
            assert_multiplexing(tls_weir, shop)
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(**place(stranger))
    asyncio.run(main())
    assert {tag for _, tag in tags(shop, f"asyncpg {direct} ")} == {f"asyncpg {direct} {what}{number}" for number in range(CLIENTS)
                                                                    for what in ("", "copied ")}


def in_another_language(weir, authority, stranger, prefix, name, *command, **settings):
    program(name, *command, weir=weir, prefix=prefix, **{**settings, **environment(authority), "PGHOST": HOST})
    with pytest.raises(AssertionError, match=NO_AUTHORITY):
        program(name, *command, weir=weir, prefix=prefix, **{**settings, **environment(stranger), "PGHOST": HOST})


def test_pgjdbc(tls_weir, shop, authority, stranger):
    in_another_language(tls_weir, authority, stranger, "jdbc ", "EverydayClient.java", "java", "-XX:TieredStopAtLevel=1", "-cp",
                        "/usr/share/java/postgresql.jar")
    assert not tls_weir.find("pinned")
    assert {tenant for tenant, _ in tags(shop, "jdbc ")} == {tenant_of(number) for number in range(TENANTS)}


def test_node_postgres(tls_weir, shop, authority, stranger, node_pg):
    in_another_language(tls_weir, authority, stranger, "node ", "everyday_client.js", "node", NODE_PATH=node_pg)
    assert not tls_weir.find("pinned")
    assert tags(shop, "node ") == {(tenant_of(number), f"node {how} {number}") for number in range(CLIENTS)
                                   for how in ("pooled", "single")}
