"""TLS from clients: psql, drivers, Python's ssl and openssl's own client through weir to a real PostgreSQL."""

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import xml.etree.ElementTree as xml

import pytest
from certificates import Authority
from servers import PASSWORD, Weir, wait_until
from wire import SSL_REQUEST, TlsWire, Wire, cancel_request, error_code, error_text, message, query, startup


@pytest.fixture
def tls_weir(start_weir, authority):
    return start_weir(target=authority.options())


def s_client(port, *args, send=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "postgres", *args],
                          input=send, capture_output=True, timeout=20)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def psql(weir, sql, **settings):
    words = " ".join(f"{name}={value}" for name, value in
                     {"host": "localhost", "port": weir.port, "user": "app", "dbname": "postgres", **settings}.items())
    return subprocess.run(["psql", "-XAtq", words, "-c", sql], capture_output=True, text=True, timeout=30,
                          env=dict(os.environ, PGPASSWORD=PASSWORD))


def test_psql_verifies_everything(tls_weir, authority):
    done = psql(tls_weir, "select 1", sslmode="verify-full", sslrootcert=authority.ca)
    assert done.stdout == "1\n", done.stderr
    done = psql(tls_weir, "select 1", sslmode="require", sslrootcert="/nowhere")
    assert done.stdout == "1\n", done.stderr
    done = psql(tls_weir, "select 1", sslmode="disable")
    assert done.stdout == "1\n", done.stderr
    assert not tls_weir.find(r"\[WARN\].*(certificate|TLS)")


def test_direct_tls_needs_the_protocol_s_name(tls_weir, authority):
    with TlsWire(tls_weir.port, authority.context(), direct=True).socket as connection:
        assert connection.selected_alpn_protocol() == "postgresql"
    wire = TlsWire(tls_weir.port, authority.context(), direct=True)
    assert wire.login()[0] == b"Z"
    wire.send(query("select 'direct'"))
    assert b"direct" in wire.ready()[1][1]
    wire.close()
    for alpn, direct in (("http/1.1", True), (None, True), ("http/1.1", False)):
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol|unknown error"):
            TlsWire(tls_weir.port, authority.context(alpn), direct=direct)
    # Asked for in PostgreSQL's own way, it goes without.
    assert TlsWire(tls_weir.port, authority.context(None)).login()[0] == b"Z"
    tls_weir.wait_for_log("TLS: no application protocol|TLS:.*application", count=3)


def test_require_tls(start_weir, authority):
    weir = start_weir(proxy="require_tls = true", target=authority.options())
    wire = Wire(weir.port)
    kind, body = wire.login()
    assert kind == b"E" and error_code(body) == "28000"
    assert error_text(body) == "This proxy requires TLS connections."
    encrypted = TlsWire(weir.port, authority.context())
    assert encrypted.login()[0] == b"Z"
    # A cancel request in the clear is heard: libpq before 17 sends no other.
    encrypted.send(query("select pg_sleep(60)"))
    wait_until(lambda: b"pg_sleep" in running(weir), what="the query to run")
    cancel = Wire(weir.port)
    cancel.send(cancel_request(encrypted.key))
    assert cancel.receive() == (None, b"")
    replies = encrypted.ready()
    assert [error_code(body) for kind, body in replies if kind == b"E"] == ["57014"]
    # And one inside of TLS.
    encrypted.send(query("select pg_sleep(60)"))
    wait_until(lambda: b"pg_sleep" in running(weir), what="the query to run")
    cancel = TlsWire(weir.port, authority.context())
    cancel.send(cancel_request(encrypted.key))
    replies = encrypted.ready()
    assert [error_code(body) for kind, body in replies if kind == b"E"] == ["57014"]


def running(weir):
    """What the server runs, asked through weir inside of TLS."""
    done = psql(weir, "select query from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'",
                sslmode="require")
    return done.stdout.encode()


def test_require_tls_exempts_unix_sockets(start_weir, authority, tmp_path):
    os.chmod(tmp_path, 0o755)
    more = f'[[endpoint]]\nname = "unix"\nlisten = "unix:{tmp_path}:6000"\n'
    weir = start_weir(proxy="require_tls = true", target=authority.options() + more)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{tmp_path}/.s.PGSQL.6000")
        connection.sendall(SSL_REQUEST)
        assert connection.recv(1) == b"N"
        connection.sendall(startup())
        assert connection.recv(1) == b"R"
    assert not weir.find("requires TLS")


def test_clients_show_certificates(start_weir, authority):
    stranger = Authority("Stranger")
    stranger.certify("app", "app")
    try:
        for mode in ("optional", "required"):
            more = f'[client_tls]\nclient_ca_file = "{authority.ca}"\nclient_certificate = "{mode}"\n'
            weir = start_weir(target=authority.options() + more)
            with_one = authority.context()
            with_one.load_cert_chain(authority.path("app.crt"), authority.path("app.key"))
            assert TlsWire(weir.port, with_one).login()[0] == b"Z"
            if mode == "optional":
                assert TlsWire(weir.port, authority.context()).login()[0] == b"Z"
            else:
                with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
                    assert TlsWire(weir.port, authority.context()).login()[0] == b"Z"
                weir.wait_for_log("TLS: peer did not return a certificate")
            wrong = authority.context()
            wrong.load_cert_chain(stranger.path("app.crt"), stranger.path("app.key"))
            with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
                assert TlsWire(weir.port, wrong).login()[0] == b"Z"
            weir.wait_for_log("TLS: the other side's certificate cannot be verified")
            # No ticket: it would skip all that.
            wire = TlsWire(weir.port, with_one)
            assert wire.login()[0] == b"Z" and not wire.socket.session.has_ticket
    finally:
        stranger.close()


def test_sessions_are_resumed_until_a_reload(tls_weir, authority):
    made = authority.context()
    made.maximum_version = ssl.TLSVersion.TLSv1_2   # Python cannot take up a session of 1.3 that it has got later

    def connect(session):
        raw = Wire(tls_weir.port)
        raw.send(SSL_REQUEST)
        assert raw.socket.recv(1) == b"S"
        raw.socket = made.wrap_socket(raw.socket, server_hostname="db.example", session=session)
        assert raw.login()[0] == b"Z"
        reused, session = raw.socket.session_reused, raw.socket.session
        raw.send(message(b"X"))
        raw.socket.unwrap()
        raw.close()
        return reused, session
    reused, session = connect(None)
    assert not reused and session.has_ticket
    assert connect(session)[0]
    tls_weir.signal(signal.SIGHUP)
    tls_weir.wait_for_log("event=reloaded")
    assert not connect(session)[0]


def test_what_came_in_the_clear_is_not_taken_for_more(tls_weir, authority):
    wire = Wire(tls_weir.port)
    wire.send(SSL_REQUEST + startup())
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) == "08P01"
    # Behind the 'S' it is garbage.
    wire = Wire(tls_weir.port)
    wire.send(SSL_REQUEST)
    assert wire.socket.recv(1) == b"S"
    wire.send(startup())
    while wire.socket.recv(4096):
        pass
    tls_weir.wait_for_log("login failed.*TLS: ")
    # And behind direct TLS: behind no handshake, or behind the first words of a good one.
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="db.example").do_handshake()
    for number, first in enumerate((b"\x16\x03\x01\x00\x05garbage that is no handshake", hello.read()), 2):
        wire = Wire(tls_weir.port)
        wire.send(first + startup())
        answer = b""
        while data := wire.socket.recv(4096):
            answer += data
        assert b"SCRAM" not in answer and b"FATAL" not in answer, answer   # an alert, and nothing in the clear
        tls_weir.wait_for_log("login failed.*TLS: ", count=number)


def test_old_versions_weak_ciphers_and_renegotiation_are_refused(tls_weir):
    low = ["-cipher", "ALL:@SECLEVEL=0"]
    for args in (["-tls1_1", *low], ["-tls1", *low], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
                 ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]):
        status, text = s_client(tls_weir.port, *args)
        assert status != 0 and "alert" in text, (args, text)
    status, text = s_client(tls_weir.port, "-tls1_2")
    assert status == 0 and "ECDHE-ECDSA-AES" in text
    # Groups by which a client could keep a shard busy.
    for group in ("ffdhe2048", "ffdhe8192"):
        status, text = s_client(tls_weir.port, "-tls1_3", "-groups", group)
        assert status != 0 and "alert" in text, (group, text)
    status, text = s_client(tls_weir.port, "-tls1_3")
    assert status == 0 and "TLSv1.3" in text
    status, text = s_client(tls_weir.port, "-tls1_2", send=b"R\n")
    assert "no renegotiation" in text.lower() or "NO_RENEGOTIATION" in text, text


def test_compression_is_not_used(tls_weir, authority):
    """The libraries of today ask for none; so the request of one of them is changed to ask for it."""
    made, hello = authority.context(maximum_version=ssl.TLSVersion.TLSv1_2), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        made.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="db.example").do_handshake()
    body = hello.read()[9:]
    at = 34 + 1 + body[34]                                 # version, random, session
    at += 2 + struct.unpack("!H", body[at:at + 2])[0]      # ciphers
    assert body[at:at + 2] == b"\1\0"
    body = body[:at] + b"\2\1\0" + body[at + 2:]          # DEFLATE, or none
    body = b"\1\0" + struct.pack("!H", len(body)) + body
    wire = Wire(tls_weir.port)
    wire.send(b"\x16\3\1" + struct.pack("!H", len(body)) + body)
    answer = b""
    while len(answer) < 100:
        data = wire.socket.recv(1000)
        assert data, answer
        answer += data
    assert answer[:1] + answer[5:6] == b"\x16\2", answer   # ServerHello
    at = 5 + 4 + 34
    at += 1 + answer[at] + 2
    assert answer[at:at + 1] == b"\0"


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_a_scanner_finds_nothing_weak(start_weir, authority, key):
    """sslscan offers by itself what the library of this machine would no more."""
    authority.certify("scanned", "scanned", "DNS:localhost", key=key)
    weir = start_weir(target=authority.options("scanned"))
    done = subprocess.run(["sslscan", "--starttls-psql", "--no-colour", "--xml=-", f"localhost:{weir.port}"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = xml.fromstring(done.stdout).find("ssltest")
    assert {f"{each.get('type')} {each.get('version')}" for each in found.iter("protocol") if each.get("enabled") == "1"} == {
        "tls 1.2", "tls 1.3"}
    # Forward secrecy and authenticated encryption only; in 1.3 there is nothing else.
    ciphers = {(each.get("sslversion"), each.get("cipher")) for each in found.iter("cipher")}
    signature = "ECDSA" if key == "ec" else "RSA"
    assert ciphers == {("TLSv1.3", "TLS_AES_256_GCM_SHA384"), ("TLSv1.3", "TLS_AES_128_GCM_SHA256"),
                       ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"), ("TLSv1.2", f"ECDHE-{signature}-AES256-GCM-SHA384"),
                       ("TLSv1.2", f"ECDHE-{signature}-AES128-GCM-SHA256"), ("TLSv1.2", f"ECDHE-{signature}-CHACHA20-POLY1305")}
    assert not {each.get("strength") for each in found.iter("cipher")} - {"strong", "acceptable"}
    groups = {each.get("name") for each in found.iter("group")}
    assert groups and not [name for name in groups if "ffdhe" in name or "448" in name], groups
    assert [each.get("supported") for each in found.iter("renegotiation")] == ["0"]
    assert {each.get("vulnerable") for each in found.iter("heartbleed")} == {"0"}
    assert not [each for each in found.iter("compression") if each.get("supported") == "1"]
    # Nobody's attempts have hurt anybody.
    with weir.connect(sslmode="require") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_minimum_version(start_weir, authority):
    weir = start_weir(target=authority.options() + '[client_tls]\nminimum_version = "TLSv1.3"\n')
    assert s_client(weir.port, "-tls1_2")[0] != 0
    assert s_client(weir.port, "-tls1_3")[0] == 0


def subject(port, host):
    return next(line for line in s_client(port, "-servername", host)[1].splitlines() if line.startswith("subject="))


def test_certificates_by_name_and_renewed_by_a_reload(start_weir, authority):
    authority.certify("renewed", "first", "DNS:db.example")
    weir = start_weir(target=authority.options("renewed", "other"))
    assert "first" in subject(weir.port, "db.example")
    assert "first" in subject(weir.port, "unknown.example")
    assert "other" in subject(weir.port, "a.pool.example")
    old = TlsWire(weir.port, authority.context())
    assert old.login()[0] == b"Z"
    authority.certify("renewed", "second", "DNS:db.example")
    weir.signal(signal.SIGHUP)
    weir.wait_for_log("event=reloaded")
    wait_until(lambda: "second" in subject(weir.port, "db.example"), what="the new certificate")
    # Who was here before goes on.
    old.send(query("select 'still here'"))
    assert b"still here" in old.ready()[1][1]
    # What cannot be used changes nothing.
    with open(authority.path("renewed.key"), "w", encoding="ascii") as file:
        file.write("no key")
    weir.signal(signal.SIGHUP)
    weir.wait_for_log(r"event=reload_failed.*renewed.key: there is no private key")
    assert "second" in subject(weir.port, "db.example")


def test_a_big_result_and_a_big_query(tls_weir, authority):
    size = 10 << 20
    with tls_weir.connect(sslmode="require") as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute(f"select repeat('x', {size})").fetchone()[0] == "x" * size
        assert connection.execute("select length(%s)", ("y" * size,)).fetchone()[0] == size
        with connection.cursor() as cursor:
            with cursor.copy("copy (select i, repeat('z', 100) from generate_series(1, 50000) i) to stdout") as copy:
                assert sum(1 for _ in copy.rows()) == 50000


def test_a_slow_reader_inside_of_tls(tls_weir, authority):
    wire = TlsWire(tls_weir.port, authority.context())
    assert wire.login()[0] == b"Z"
    wire.send(query("select repeat('a', 1000) from generate_series(1, 20000)"))
    # Others are served while it reads nothing.
    with tls_weir.connect(sslmode="require") as connection:
        for _ in range(20):
            connection.execute("select 1")
    rows = sum(1 for kind, _ in wire.ready() if kind == b"D")
    assert rows == 20000


def test_every_cut_of_the_bytes(tls_weir, authority):
    """A client whose bytes trickle in: one by one, through a forwarder of the test's own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def forward():
        client = listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", tls_weir.port))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def back():
            while data := server.recv(65536):
                client.sendall(data)
        other = threading.Thread(target=back)
        other.start()
        while data := client.recv(65536):
            for i in range(len(data)):
                server.sendall(data[i:i + 1])
        server.shutdown(socket.SHUT_WR)
        other.join(10)
        client.close()
        server.close()
    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    wire = TlsWire(listener.getsockname()[1], authority.context())
    assert wire.login()[0] == b"Z"
    wire.send(query("select 'cut'"))
    assert b"cut" in wire.ready()[1][1]
    wire.close()
    thread.join(10)
    assert not thread.is_alive()
    listener.close()


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_with_clients_on_both_shards(start_weir, authority, mode):
    weir = start_weir(target=authority.options(), proxy="stats_period = 1\nrequire_tls = true",
                      pool="max_connections_percent = 30")
    environment = dict(os.environ, PGPASSWORD=PASSWORD, PGSSLMODE="verify-full", PGSSLROOTCERT=authority.ca)
    script = os.path.join(weir.folder, "select.sql")
    with open(script, "w", encoding="ascii") as file:
        file.write("select 1;\n")
    done = subprocess.run(["pgbench", "-h", "localhost", "-p", str(weir.port), "-U", "app", "-n", "-c", "24", "-j", "2", "-t", "150",
                           "-M", mode, "-f", script, "postgres"], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0 and "3600/3600" in done.stdout, done.stdout + done.stderr
    # The first packet, inside of TLS, has decided on which shard a client lives; one to whom something is still on its way stays
    # where it came, so that they need not be half and half.
    again = [weir.connect(sslmode="require") for _ in range(8)]
    weir.wait_for_log(r"shard=all clients=8 clients_tls=8 clients_no_tls=0 ")
    for shard in (0, 1):
        assert weir.find(rf"shard={shard} clients=([1-7]) clients_tls=\1 clients_no_tls=0 "), weir.find("event=statistics")[-3:]
    for each in again:
        each.close()


def test_what_is_wrong_is_told(start_weir, authority):
    nothing = '[[certificate]]\ncertificate_file = "/nowhere.crt"\nkey_file = "/nowhere.key"\n'
    for more, proxy, text in (
            ("", "require_tls = true", r"weir.toml:\d+:\d+: require_tls: .*needs a \[\[certificate\]\]"),
            (nothing, "", r"\[\[certificate\]\].*: /nowhere.crt: the certificate cannot be read: No such file"),
            (authority.options() + '[client_tls]\nclient_certificate = "required"\n', "", "required needs client_ca_file"),
            (authority.options() + '[client_tls]\nminimum_version = "TLSv1.1"\n', "", "must be TLSv1.2 or TLSv1.3"),
            ('tls_mode = "verify-ca"\n', "", "verify-ca would take any server"),
            ('tls_mode = "always"\n', "", "tls_mode: must be disable"),
            (f'tls_ca_file = "{authority.ca}"\n', "", "tls_ca_file: is read for"),
            ('tls_mode = "require"\ntls_key_file = "x"\n', "", "go together")):
        weir = Weir(1, target=more, proxy=proxy, wait=False)
        try:
            weir.process.wait(20)
            weir.reader.join(10)
            assert weir.process.returncode == 2 and weir.find(text), (text, weir.lines)
        finally:
            weir.process.kill()
            weir.process.wait()
            shutil.rmtree(weir.folder, ignore_errors=True)
