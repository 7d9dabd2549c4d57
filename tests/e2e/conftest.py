import faulthandler
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from certificates import Authority  # noqa: E402
from servers import Postgres, Weir  # noqa: E402

TEST_SECONDS = 90


@pytest.fixture(autouse=True)
def deadline():
    """No test hangs."""
    def expired(*_):
        faulthandler.dump_traceback()
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    with server.connect() as connection:
        connection.execute("create table tagged (tag text)")
        connection.execute("create sequence numbers")
        connection.execute("create database other")
    yield server
    server.close()


@pytest.fixture
def own_postgres():
    """For tests that stop or kill their server."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority():
    """Who has certified all of them."""
    made = Authority()
    made.certify("server", "server", "DNS:localhost,DNS:db.example,IP:127.0.0.1")
    made.certify("named", "named", "DNS:localhost,DNS:db.example")
    made.certify("other", "other", "DNS:*.pool.example")
    for user in ("app", "someone", "robot"):
        made.certify(user, user)
    yield made
    made.close()


@pytest.fixture(scope="module")
def ssl_postgres(authority):
    """A server that encrypts, known by its name and not by its address."""
    server = Postgres(more="ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n",
                      prepare=lambda server: authority.give(server, "named"))
    yield server
    server.close()


@pytest.fixture
def start_weir(postgres):
    """Starts weirs that end well with the test."""
    started = []

    def start(port=None, **settings):
        started.append(Weir(port or postgres.port, **settings))
        return started[-1]
    yield start
    for each in started:
        each.close()


@pytest.fixture
def weir(start_weir):
    return start_weir(pool="max_connections_percent = 25\nconnection_borrow_timeout = 20")
