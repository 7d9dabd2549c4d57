"""TLS to the server: a real PostgreSQL with ssl = on, by every tls_mode."""

import os
import socket
import threading

import pytest
from certificates import Authority
from servers import PASSWORD, wait_until
from wire import SSL_REQUEST, TlsWire, Wire, cancel_request, error_code, error_text, query


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
    cancel.send(cancel_request(wire.key))
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
                for answer in self.answer:   # one each to the request for TLS and to what comes then
                    client.sendall(answer)
                    if not (data := client.recv(65536)):
                        return
                    self.first.append(data)
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
        cancel.send(cancel_request(wire.key))
        assert [error_code(body) for kind, body in wire.ready() if kind == b"E"] == ["57014"]
        assert len(tap.first) > before
        assert set(tap.first) == {b"\x00\x00\x00\x08\x04\xd2\x16\x2f"}, tap.first
    finally:
        tap.close()


OK = b"R\0\0\0\x08\0\0\0\0"   # AuthenticationOk


@pytest.mark.parametrize("answers, text", [
    ((b"S" + OK,), "more than one letter"),          # behind the 'S', in the clear
    ((b"S", OK), "TLS"),                             # ... and where the handshake must be
    ((b"N" + OK,), "more than one letter"),
    ((b"X",), "another one"),
    ((b"R",), "another one"),
    ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "does not speak PostgreSQL"),
    ((b"\x15\x03\x03\0\x02\x02\x28",), "does not speak PostgreSQL"),
    ((b"E\0",), "with an error"),
    ((b"E\0\0\0\x1dSFATAL\0C28000\0Mgo away\0\0",), "with an error"),
])
def test_answers_that_somebody_else_has_written(start_weir, ssl_postgres, answers, text):
    """Nothing is sent to him but the request and TLS's own first words: no name, no proof, not even a startup message."""
    for mode in ("prefer", "require"):
        tap = Tap(ssl_postgres.port, answers)
        try:
            weir = start_weir(tap.port, target=f'tls_mode = "{mode}"')
            code, said = refusal(weir)
            assert code == "08006" and text in said, said
            assert not [data for data in tap.first if b"app" in data or b"user" in data], tap.first
        finally:
            tap.close()


def test_a_server_that_says_no_where_tls_is_demanded(start_weir, ssl_postgres):
    tap = Tap(ssl_postgres.port, (b"N",))
    try:
        weir = start_weir(tap.port, target='tls_mode = "require"')
        code, said = refusal(weir)
        assert code == "08006" and "the server has no TLS" in said
        assert set(tap.first) == {SSL_REQUEST}, tap.first
    finally:
        tap.close()


def test_much_data_both_ways_inside_of_tls(start_weir, ssl_postgres, authority):
    text, host = target("verify-full", authority)
    weir = start_weir(ssl_postgres.port, target=text + "\n" + authority.options(), target_host=host)
    with weir.connect(sslmode="require") as connection:
        size = 10 << 20
        assert connection.execute(f"select repeat('x', {size})").fetchone()[0] == "x" * size
        assert connection.execute("select length(%s)", ("y" * size,)).fetchone()[0] == size
    assert TlsWire(weir.port, authority.context()).login(password=PASSWORD)[0] == b"Z"


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
