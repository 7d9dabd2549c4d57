"""Logins that need TLS: channel binding on both sides, certificates of clients and of weir, clear text to a server that is known."""

import struct

import psycopg
import pytest
from test_logins import Login, enter, own_rule, refusal
from wire import TlsWire, error_code, error_text, message, startup

POOL = "connection_borrow_timeout = 20"


@pytest.fixture
def login(ssl_postgres, tmp_path):
    made = Login(ssl_postgres, str(tmp_path), "someone")
    made.on_server("one")
    made.in_file("one")
    yield made
    made.drop()


@pytest.fixture
def start(start_weir, ssl_postgres):
    def begin(**settings):
        settings.setdefault("pool", POOL)
        return start_weir(ssl_postgres.port, **settings)
    return begin


def shown(authority, name):
    return {"sslmode": "require", "sslcert": authority.path(name + ".crt"), "sslkey": authority.path(name + ".key")}


def test_clients_bind_their_login_to_the_connection(start, authority):
    weir = start(target=authority.options())
    for binding in ("require", "prefer", "disable"):
        with weir.connect(sslmode="require", channel_binding=binding) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert "wrong" in refusal(weir, sslmode="require", channel_binding="require", password="two")
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        weir.connect(sslmode="disable", channel_binding="require")


def test_a_downgrade_is_found_out(start, authority):
    weir = start(target=authority.options())
    wire = TlsWire(weir.port, authority.context())
    wire.send(startup())
    kind, body = wire.receive()
    assert (kind, body[4:]) == (b"R", b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    first = b"y,,n=,r=abcdef"
    wire.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) == "28000"
    assert "SCRAM channel binding negotiation error" in error_text(body)
    wire.close()


def test_weir_binds_its_login_to_the_server(start, login, authority):
    only = 'server_auth_methods = ["scram-sha-256-plus"]\n'
    weir = start(auth=login.auth(), target_host="localhost", target=only + 'tls_mode = "require"')
    enter(weir, "one")
    weir = start(auth=login.auth(), target_host="localhost", target=only + 'tls_mode = "disable"')
    assert "scram-sha-256-plus, which needs an encrypted connection" in refusal(weir, user="someone", password="one")


def test_clients_with_certificates(start, login, authority):
    tls = authority.options() + f'[client_tls]\nclient_ca_file = "{authority.ca}"\n'
    method = 'client_password_auth_type = "POSTGRES_CERTIFICATE"\n'
    weir = start(target=tls, auth=login.auth(method))
    with weir.connect(user="someone", password="none", **shown(authority, "someone")) as connection:
        assert connection.execute("select current_user").fetchone() == ("someone",)
    wrong = 'certificate authentication failed for user "someone"'
    assert wrong in refusal(weir, user="someone", password="one", **shown(authority, "robot"))
    weir.wait_for_log('login failed for user "someone": .*the certificate is for "robot"')
    needed = "connection requires a valid client certificate"
    assert needed in refusal(weir, user="someone", password="one", sslmode="require")
    assert needed in refusal(weir, user="someone", password="one", sslmode="disable")
    weir = start(target=tls, auth=login.auth(method + 'certificate_names = ["robot"]'))
    with weir.connect(user="someone", password="none", **shown(authority, "robot")) as connection:
        assert connection.execute("select current_user").fetchone() == ("someone",)
    assert wrong in refusal(weir, user="someone", password="one", **shown(authority, "someone"))


def test_weir_shows_the_server_a_certificate(start, login, ssl_postgres, authority):
    own_rule(ssl_postgres, "hostssl all someone all cert")
    known = f'tls_mode = "verify-full"\ntls_ca_file = "{authority.ca}"\n'
    own = f'tls_certificate_file = "{authority.path("someone.crt")}"\ntls_key_file = "{authority.path("someone.key")}"\n'
    weir = start(auth=login.auth(), target_host="localhost", target=known + own)
    enter(weir, "one")
    # Where certificates are not among the methods, a server that asks for nothing is not believed.
    weir = start(auth=login.auth(), target_host="localhost", target=known + own + 'server_auth_methods = ["scram-sha-256"]')
    assert "without asking for a proof" in refusal(weir, user="someone", password="one")


def test_a_password_in_clear_text_to_a_server_that_is_known(start, login, ssl_postgres, authority):
    own_rule(ssl_postgres, "hostssl all someone all password")
    known = f'tls_mode = "verify-full"\ntls_ca_file = "{authority.ca}"\n'
    weir = start(auth=login.auth(), target_host="localhost", target=known)
    assert "in clear text, which is not allowed" in refusal(weir, user="someone", password="one")
    weir = start(auth=login.auth(), target_host="localhost", target=known + 'server_auth_methods = ["password"]')
    enter(weir, "one")
