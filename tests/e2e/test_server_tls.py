"""TLS to the server: a real PostgreSQL with ssl = on, by every tls_mode."""

import os
import shutil
import socket
import struct
import threading

import pytest
from certificates import Authority
from servers import PASSWORD, Postgres, wait_until
from test_tls import TlsWire, certificate, context
from wire import Wire, error_code, error_text, query


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    made.certify("server", "server", "DNS:localhost,DNS:db.example")
    made.certify("address", "address", "IP:127.0.0.1")
    made.certify("app", "app")
    yield made
    made.close()


@pytest.fixture(scope="module")
def ssl_postgres(authority):
    server = Postgres(more="ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n"
                      "log_connections = on\n", prepare=lambda server: give(server, authority, "server"))
    yield server
    server.close()


def give(server, authority, name):
    """The server's certificate and key, and who may certify its clients."""
    for source, target in ((f"{name}.crt", "server.crt"), (f"{name}.key", "server.key"), ("ca.crt", "ca.crt")):
        path = os.path.join(server.data, target)
        shutil.copy(authority.path(source), path)
        os.chmod(path, 0o600)
        server.give_to_postgres(path)


def target(mode, authority=None, host="localhost", more=""):
    """Options of a [[target]] whose host replaces the default."""
    ca = f'tls_ca_file = "{authority.ca}"\n' if authority else ""
    return f'tls_mode = "{mode}"\n{ca}{more}', host


def start(start_weir, server, options, **settings):
    text, host = options
    return start_weir(server.port, target=text, target_host=host, **settings)


def in_use(weir):
    """What the server says of the backend's own connection."""
    with weir.connect() as connection:
        return connection.execute("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()").fetchone()


def refusal(weir):
    wire = Wire(weir.port)
    kind, body = wire.login()
    assert kind == b"E"
    wire.close()
    return error_code(body), error_text(body)


def test_every_mode_that_encrypts(start_weir, ssl_postgres, authority):
    for options in (target("prefer"), target("require"), target("verify-ca", authority, "127.0.0.1"),
                    target("verify-full", authority)):
        weir = start(start_weir, ssl_postgres, options, proxy="stats_period = 1")
        assert in_use(weir) == (True, "TLSv1.3"), options
        weir.wait_for_log(r"shard=all .* backends_tls=1 ")
    weir = start(start_weir, ssl_postgres, target("disable"), proxy="stats_period = 1")
    assert in_use(weir) == (False, None)
    weir.wait_for_log(r"shard=all .* backends=1 backends_tls=0 ")


def test_a_wrong_name_is_refused_at_once(start_weir, ssl_postgres, authority):
    weir = start(start_weir, ssl_postgres, target("verify-full", authority, "127.0.0.1"))
    code, text = refusal(weir)
    assert code == "08006" and "IP address mismatch" in text
    weir.wait_for_log("cannot open a database connection.*TLS.*IP address mismatch.*tls_mode")


def test_a_stranger_s_certificate_is_refused(start_weir, ssl_postgres):
    stranger = Authority("Stranger")
    try:
        for mode in ("verify-ca", "verify-full"):
            code, text = refusal(start(start_weir, ssl_postgres, target(mode, stranger)))
            assert code == "08006" and "certificate cannot be verified" in text
    finally:
        stranger.close()
    code, text = refusal(start(start_weir, ssl_postgres, target("verify-full")))   # the distribution's
    assert code == "08006" and "certificate cannot be verified" in text


def test_a_server_without_tls(start_weir, postgres):
    assert in_use(start_weir(target='tls_mode = "prefer"')) == (False, None)
    code, text = refusal(start_weir(target='tls_mode = "require"'))
    assert code == "08006" and "the server has no TLS" in text and "tls_mode" in text


def test_a_certificate_of_ours(start_weir, ssl_postgres, authority):
    path = os.path.join(ssl_postgres.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        before = file.read()

    def access(lines):
        with open(path, "w", encoding="ascii") as file:
            file.write(lines)
        ssl_postgres.run("pg_ctl", "reload", "-D", ssl_postgres.data)
    more = f'tls_certificate_file = "{authority.path("app.crt")}"\ntls_key_file = "{authority.path("app.key")}"\n'
    try:
        access("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n")
        wait_until(lambda: not ssl_postgres.answers(), what="the server to ask for certificates")
        weir = start(start_weir, ssl_postgres, target("verify-full", authority, more=more))
        assert in_use(weir)[0]
        with weir.connect() as connection:
            assert connection.execute("select client_dn from pg_stat_ssl where pid = pg_backend_pid()").fetchone()[0] == "/CN=app"
        weir = start(start_weir, ssl_postgres, target("verify-full", authority))
        assert "certificate" in refusal(weir)[1]
    finally:
        access(before)
        wait_until(ssl_postgres.answers, what="the server to go back")


def test_cancels_are_encrypted_as_their_backend_is(start_weir, ssl_postgres, authority):
    weir = start(start_weir, ssl_postgres, target("verify-full", authority))
    wire = Wire(weir.port)
    assert wire.login()[0] == b"Z"
    wire.send(query("select pg_sleep(60)"))
    wait_until(lambda: ssl_postgres.query("select count(*) from pg_stat_activity where query like 'select pg_sleep%' "
                                          "and state = 'active'")[0][0] == 1, what="the query to run")
    cancel = Wire(weir.port)
    cancel.send(struct.pack("!iiii", 16, 80877102, *wire.key))
    assert [error_code(body) for kind, body in wire.ready() if kind == b"E"] == ["57014"]
    wire.send(query("select 1"))
    assert wire.ready()[-1][0] == b"Z"


class Tap:
    """Stands between weir and its server, and keeps the first bytes of every connection."""

    def __init__(self, port, answer=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server_port = port
        self.answer = answer
        self.first = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            data = client.recv(65536)
            self.first.append(data)
            if self.answer is not None:
                client.sendall(self.answer)
                while client.recv(65536):
                    pass
                return
            server = socket.create_connection(("127.0.0.1", self.server_port))
            server.sendall(data)
            threading.Thread(target=self.copy, args=(server, client), daemon=True).start()
            self.copy(client, server)
        except OSError:
            pass
        finally:
            client.close()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        sink.close()

    def close(self):
        self.listener.close()


def test_nothing_goes_in_the_clear(start_weir, ssl_postgres, authority):
    tap = Tap(ssl_postgres.port)
    try:
        text, host = target("require")
        weir = start_weir(tap.port, target=text, target_host=host)
        wire = Wire(weir.port)
        assert wire.login()[0] == b"Z"
        wire.send(query("select pg_sleep(60)"))
        wait_until(lambda: ssl_postgres.query("select count(*) from pg_stat_activity where query like 'select pg_sleep%' "
                                              "and state = 'active'")[0][0] == 1, what="the query to run")
        before = len(tap.first)
        cancel = Wire(weir.port)
        cancel.send(struct.pack("!iiii", 16, 80877102, *wire.key))
        assert [error_code(body) for kind, body in wire.ready() if kind == b"E"] == ["57014"]
        assert len(tap.first) > before
        assert set(tap.first) == {b"\x00\x00\x00\x08\x04\xd2\x16\x2f"}, tap.first
    finally:
        tap.close()


@pytest.mark.parametrize("answer", [b"SR\0\0\0\x08\0\0\0\0", b"NR\0\0\0\x08\0\0\0\0", b"E\0"])
def test_answers_that_somebody_else_has_written(start_weir, ssl_postgres, answer):
    tap = Tap(ssl_postgres.port, answer)
    try:
        weir = start_weir(tap.port, target='tls_mode = "prefer"')
        assert refusal(weir)[0] == "08006"
    finally:
        tap.close()


def test_much_data_both_ways_inside_of_tls(start_weir, ssl_postgres, authority):
    text, host = target("verify-full", authority)
    weir = start_weir(ssl_postgres.port, target=text + "\n" + certificate(authority), target_host=host)
    with weir.connect(sslmode="require") as connection:
        size = 10 << 20
        assert connection.execute(f"select repeat('x', {size})").fetchone()[0] == "x" * size
        assert connection.execute("select length(%s)", ("y" * size,)).fetchone()[0] == size
    assert TlsWire(weir.port, context(authority)).login(password=PASSWORD)[0] == b"Z"


def test_backends_move_between_shards_inside_of_tls(start_weir, ssl_postgres, authority):
    """Two backends, clients on both shards: they are lent across, encrypted as they are."""
    text, host = target("verify-full", authority)
    weir = start_weir(ssl_postgres.port, target=text, target_host=host, pool="max_connections_percent = 5",
                      proxy="stats_period = 1")
    clients = [weir.connect() for _ in range(8)]

    def work(client, out):
        out.append(sum(client.execute("select 1").fetchone()[0] for _ in range(200)))
    results = []
    threads = [threading.Thread(target=work, args=(client, results)) for client in clients]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert results == [200] * 8
    for each in clients:
        each.close()
    assert not weir.find("database connection lost")
    assert ssl_postgres.query("select count(*) from pg_stat_activity join pg_stat_ssl using (pid) "
                              "where not ssl and backend_type = 'client backend' and pid <> pg_backend_pid()") == [(0,)]
