"""Bad input and faults: a clear answer, and nothing lost."""

import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from servers import PASSWORD, ROOT, WEIR, Weir, free_port, wait_until
from wire import SYNC, TERMINATE, Wire, bind, error_code, error_text, execute, message, parse, query, startup

ONE = "max_connections_percent = 3\nconnection_borrow_timeout = 20"


def check(folder, text):
    path = os.path.join(folder, "weir.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return subprocess.run([WEIR, "--config", path, "--check"], capture_output=True, text=True, timeout=20)


GOOD = """[[endpoint]]
listen = "127.0.0.1:6432"
[[target]]
host = "127.0.0.1"
[[auth]]
secret_file = "app.json"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.json").write_text('{"username": "app", "password": "x", "more": 1}')
    return str(tmp_path)


@pytest.mark.parametrize("text, expected", [
    (GOOD + "[proxy]\nnam = 'x'\n", r'weir.toml:8:1: unknown key "nam" in [proxy] (did you mean "name"?)'),
    (GOOD + "[proxi]\n", 'unknown section "proxi" (did you mean "proxy"?)'),
    (GOOD + "[proxy]\nidle_client_timeout = 0\n", "weir.toml:8:23: idle_client_timeout: must be 1 to 28800 seconds"),
    (GOOD + "[proxy]\nidle_client_timeout = 'x'\n", "idle_client_timeout: expected a number of seconds"),
    (GOOD + "[connection_pool]\nmax_connections_percent = 101\n", "must be 1 to 100"),
    (GOOD + "[connection_pool]\nmax_connections_percent = 10\nmax_idle_connections_percent = 11\n", "max_connections_percent, which is 10"),
    (GOOD + "[engine]\nbuffer_memory = '1MB'\n", "expected a size"),
    (GOOD + "[engine]\nzero_copy_send = '16KB'\n", 'weir.toml:8:18: zero_copy_send: expected "off" or a size'),
    (GOOD + "[engine]\nzero_copy_send = 0\n", 'must be "off" or 4096 to 1048576 bytes'),
    (GOOD + "x =\n", "weir.toml:7:"),
    (GOOD.replace("app.json", "none.json"), "none.json: cannot be read: No such file or directory"),
    (GOOD + "[[endpoint]]\nname = 'b'\nlisten = '127.0.0.1:6432'\n", "two endpoints on the address 127.0.0.1:6432"),
    (GOOD + "[[endpoint]]\nname = 'b'\nlisten = '[::1:6432'\n", "listen:"),
    (GOOD + "[proxy]\nrequire_tls = true\n", "require_tls: no client could come in: TLS needs a [[certificate]]"),
    (GOOD + "[proxy]\nengine_family = 'MYSQL'\n", "MYSQL is not available"),
    (GOOD + "[connection_pool]\nsession_pinning_filters = ['EXCLUDE_SETS']\n", "unknown filter"),
    (GOOD + "[connection_pool]\nopaque_calls = 'ask'\n", "opaque_calls: must be"),
    (GOOD + "[connection_pool]\ncustom_settings = ['tenant']\n", "custom_settings: \"tenant\" is no name of a setting of your own"),
    (GOOD + "[connection_pool]\npipeline_depth = 0\n", "pipeline_depth"),
    (GOOD.replace("[[endpoint]]\n", "[[endpoint]]\npipelining = \"writes\"\n"), "must be"),
    (GOOD + "[[target]]\nhost = 'b'\n", "a second [[target]] is not available"),
    (GOOD + "[aws]\nregion = 'us east'\n", "weir.toml:8:10: region: must be one such as us-east-1"),
    (GOOD + "[iam]\nregion = 'x'\n", "account_id: must be the 12 digit"),
    (GOOD + "tls_mode = 'require'\n", 'unknown key "tls_mode" in [auth]'),
    (GOOD + "client_password_auth_type = 'TRUST'\n" + "[[endpoint]]\nname = 'b'\nlisten = '0.0.0.0:7000'\n", "TRUST is for endpoints on loopback"),
    (GOOD.replace('host = "127.0.0.1"', "server_auth_methods = ['ldap']"), '"ldap" is unknown'),
    ("", "at least one [[endpoint]] is needed"),
])
def test_configuration_errors(folder, text, expected):
    result = check(folder, text)
    assert result.returncode == 2
    assert expected in result.stderr, result.stderr


def test_a_good_configuration_and_the_command_line(folder):
    assert check(folder, GOOD).returncode == 0
    for args, status in ((["--help"], 0), (["--version"], 0), ([], 2), (["--confg", "x"], 2), (["--config", "/none.toml"], 2)):
        result = subprocess.run([WEIR, *args], capture_output=True, text=True, timeout=20)
        assert result.returncode == status
        assert result.stdout + result.stderr


def test_a_port_in_use(start_weir):
    first = start_weir()
    second = subprocess.run([WEIR, "--config", first.config], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert f"127.0.0.1:{first.port}: Address already in use" in second.stderr


def test_a_successor_waits_for_the_address(start_weir):
    weir = start_weir()
    weir.signal(signal.SIGTERM)
    assert weir.process.wait(10) == 0
    # As after a crash: the kernel has not closed the listener yet.
    with socket.create_server(("127.0.0.1", weir.port)):
        weir.start(wait=False)
        weir.wait_for_log("event=address_in_use")
    weir.wait_for_log("event=ready")
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_start_that_fails_leaves_no_socket_file(start_weir, tmp_path):
    first = start_weir()
    text = open(first.config, encoding="utf-8").read().replace('"app.json"', f'"{first.folder}/app.json"')
    local = f'[[endpoint]]\nname = "local"\nlisten = "unix:{tmp_path}"\n'
    (tmp_path / "weir.toml").write_text(text.replace("[[endpoint]]", local + "[[endpoint]]", 1), encoding="utf-8")
    second = subprocess.run([WEIR, "--config", tmp_path / "weir.toml"], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and "Address already in use" in second.stderr
    assert not (tmp_path / ".s.PGSQL.5432").exists()


def test_names_from_clients_write_no_lines_of_their_own(weir):
    with pytest.raises(psycopg.OperationalError):
        weir.connect(user="nobody\n2026-01-01T00:00:00.000Z [INFO] event=stopped")
    weir.wait_for_log(r'login failed for user "nobody\\n2026-01-01T00:00:00.000Z \[INFO\] event=stopped"')
    with weir.connect() as connection:
        connection.execute("create database \"x\ny\"")
    with weir.connect(dbname="x\ny") as connection:
        connection.execute("select 1")
        weir.signal(signal.SIGUSR1)
        weir.wait_for_log(r"route=[0-9]+ database=x\\ny user=app")


def test_server_not_up_at_start(start_weir):
    weir = start_weir(free_port(), pool="connection_borrow_timeout = 1")
    begin = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="Timed-out waiting to acquire database connection."):
        weir.connect()
    assert 0.9 < time.monotonic() - begin < 5
    weir.wait_for_log("UNAVAILABLE, reason UNREACHABLE")


def test_wrong_client_password_and_unknown_user(weir):
    with weir.connect():
        pass
    for settings in ({"password": "wrong"}, {"user": "nobody"}):
        with pytest.raises(psycopg.OperationalError, match="The password that was provided for the role .* is wrong"):
            weir.connect(**settings)


def test_guessing_passwords_is_slow(weir):
    weir.connect().close()
    def failure():
        wire = Wire(weir.port)
        begin = time.monotonic()
        assert wire.login(password="wrong")[0] == b"E"
        wire.close()
        return time.monotonic() - begin
    times = [failure() for _ in range(10)]
    assert sum(times[-2:]) > 0.2, times
    # The right password is never held up, another user's wrong one starts anew.
    begin = time.monotonic()
    weir.connect().close()
    assert time.monotonic() - begin < sum(times[-2:])


def test_wrong_server_password(start_weir, postgres):
    weir = start_weir(password="wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        weir.connect(password="wrong")
    weir.wait_for_log("cannot open a database connection for user \"app\"")


def test_a_database_that_does_not_exist(weir, postgres):
    with weir.connect() as connection:
        connection.execute("select 1")
        pid = connection.execute("select pg_backend_pid()").fetchone()
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
                weir.connect(dbname="nowhere")
        # No warm backend was lost for it.
        assert connection.execute("select pg_backend_pid()").fetchone() == pid


def test_a_connection_limit_concerns_its_own_clients(start_weir, postgres, tmp_path):
    secret = tmp_path / "few.json"
    secret.write_text(f'{{"username": "few", "password": "{PASSWORD}"}}', encoding="ascii")
    with postgres.connect() as direct:
        direct.execute(f"create role few login connection limit 1 password '{PASSWORD}'")
        direct.execute("create database limited connection limit 1")
    weir = start_weir(pool="max_connections_percent = 50\nconnection_borrow_timeout = 20",
                      auth=f"[[auth]]\nsecret_file = '{secret}'")
    for database, what in (("postgres", "role"), ("limited", "database")):
        with weir.connect(user="few", dbname=database, autocommit=False) as one, \
                weir.connect(user="few", dbname=database) as two:
            one.execute("select 1")
            results = []
            thread = threading.Thread(target=lambda: results.append(two.execute("select 2").fetchone()))
            thread.start()
            weir.wait_for_log(f"too many connections for {what}")
            assert not results
            one.rollback()
            thread.join(20)
            assert results == [(2,)]
        with postgres.connect() as direct:
            direct.execute("alter role few connection limit -1")
    assert not weir.find("PENDING_PROXY_CAPACITY")


def test_who_waits_in_vain_for_a_connection_limit_is_told(start_weir, postgres, tmp_path):
    secret = tmp_path / "single.json"
    secret.write_text(f'{{"username": "single", "password": "{PASSWORD}"}}', encoding="ascii")
    with postgres.connect() as direct:
        direct.execute(f"create role single login connection limit 1 password '{PASSWORD}'")
    weir = start_weir(pool="connection_borrow_timeout = 3", auth=f"[[auth]]\nsecret_file = '{secret}'")
    with weir.connect(user="single", autocommit=False) as one, weir.connect(user="single") as two:
        one.execute("select 1")
        with pytest.raises(psycopg.OperationalError,
                           match="Timed-out waiting .* The last login failed: too many connections for role"):
            two.execute("select 2")
        # Others are none the worse for it.
        with weir.connect() as other:
            assert other.execute("select 3").fetchone() == (3,)
        one.rollback()
        assert two.execute("select 2").fetchone() == (2,)


def test_server_killed_in_mid_transaction(start_weir, own_postgres):
    weir = start_weir(own_postgres.port, pool="max_connections_percent = 50\nconnection_borrow_timeout = 20")
    with weir.connect(autocommit=False) as busy, weir.connect() as idle, weir.connect() as pinned:
        busy.execute("create table t (a int)")
        idle.execute("select 1")
        pinned.execute("set work_mem = '9MB'")
        own_postgres.stop(signal.SIGQUIT)
        with pytest.raises(psycopg.Error) as caught:
            busy.execute("insert into t values (1)")
        assert caught.value.sqlstate in ("57P01", "57P02", "08006")
        with pytest.raises(psycopg.Error):
            pinned.execute("select 1")
            pinned.execute("select 1")
        own_postgres.start()
        # The connections of those that were not pinned stay.
        busy.rollback()
        assert busy.execute("select 1").fetchone() == (1,)
        assert idle.execute("select 1").fetchone() == (1,)


def test_clients_are_held_while_the_server_restarts(start_weir, own_postgres):
    weir = start_weir(own_postgres.port, pool="connection_borrow_timeout = 30")
    with weir.connect() as connection:
        connection.execute("select 1")
        own_postgres.stop()
        results = []
        thread = threading.Thread(target=lambda: results.append(connection.execute("select 2").fetchone()))
        thread.start()
        weir.wait_for_log("UNAVAILABLE")
        own_postgres.start()
        thread.join(25)
        assert results == [(2,)]
        weir.wait_for_log("AVAILABLE again")


def test_a_terminated_backend(weir, postgres):
    with weir.connect() as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select pg_terminate_backend(pg_backend_pid())")
        assert caught.value.sqlstate == "57P01"
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\0", b"\0\0\0\7\0\0\0", b"\x80\0\0\0\0\3\0\0", b"\xff" * 100,
    struct.pack("!ii", 20000, 196608) + b"x" * 100, struct.pack("!ii", 9, 196608) + b"x",
    struct.pack("!ii", 8, 131072), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64,
])
def test_garbage_instead_of_a_startup_packet(weir, data):
    wire = Wire(weir.port)
    wire.send(data)
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) in ("08P01", "0A000")
    assert wire.receive()[0] is None
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("data", [
    b"Q\0\0\0\0", b"Q\0\0\0\3", b"Q\x80\0\0\0", b"Q\x7f\xff\xff\xff", message(b"!", b"x"), message(b"p", b"late password\0"),
    startup(), message(b"P", b"no end"), message(b"B", b"no end"), message(b"D", b""), message(b"C", b"S"),
])
def test_malformed_messages_after_login(weir, data):
    wire = Wire(weir.port)
    assert wire.login()[0] == b"Z"
    wire.send(data)
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) == "08P01", (kind, body)
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_second_startup_message_in_scram(weir):
    wire = Wire(weir.port)
    wire.send(startup())
    assert wire.receive()[0] == b"R"
    wire.send(startup(user="postgres"))
    kind, body = wire.receive()
    assert kind == b"E" and error_code(body) == "08P01"


def test_password_messages_out_of_order(weir):
    for first in (message(b"p", b"SCRAM-SHA-256\0\0\0\0\4n,,x"), message(b"p", b"c=biws"), message(b"p", b"x" * 20000), query("select 1")):
        wire = Wire(weir.port)
        wire.send(startup())
        assert wire.receive()[0] == b"R"
        wire.send(first)
        kind, body = wire.receive()
        assert kind == b"E" and error_code(body) == "08P01"


def test_silent_clients(start_weir):
    weir = start_weir(proxy="client_login_timeout = 1")
    silent, halfway = Wire(weir.port), Wire(weir.port)
    halfway.send(startup())
    assert halfway.receive()[0] == b"R"
    for wire in (silent, halfway):
        kind, body = wire.receive()
        assert kind == b"E" and "client_login_timeout" in error_text(body)
        assert wire.receive()[0] is None


def test_vanishing_clients(start_weir, postgres):
    weir = start_weir(pool="max_connections_percent = 10\nconnection_borrow_timeout = 20")
    for turn in range(60):
        wire = Wire(weir.port)
        if turn % 4 > 0:
            wire.login()
        if turn % 4 > 1:
            wire.send(query("select repeat('x', 1000000)"))
        if turn % 4 > 2:
            wire.receive()
        wire.reset() if turn % 2 else wire.close()
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    wait_until(lambda: postgres.backends("state <> 'idle'") == 0)


def test_half_closed_sockets_get_their_answer(weir):
    wire = Wire(weir.port)
    wire.login()
    wire.send(query("select 'half' from pg_sleep(0.3)"))
    wire.socket.shutdown(socket.SHUT_WR)
    replies = wire.until(None)
    assert [kind for kind, _ in replies] == [b"T", b"D", b"C", b"Z", None]


def test_slow_readers_do_not_disturb_others(start_weir):
    weir = start_weir(pool="max_connections_percent = 30\nconnection_borrow_timeout = 20")
    slow = []
    before = weir.memory()
    for _ in range(8):
        wire = Wire(weir.port)
        wire.login()
        wire.send(query("select repeat('x', 1000) from generate_series(1, 50000)"))
        slow.append(wire)
    with weir.connect() as connection:
        for i in range(200):
            assert connection.execute("select %s", (i,)).fetchone() == (i,)
    assert weir.memory() - before < 32 << 20
    # They get all of it in the end.
    replies = slow[0].ready()
    assert sum(1 for kind, _ in replies if kind == b"D") == 50000
    for wire in slow:
        wire.reset()


def test_an_endless_pipeliner_holds_nobody_up(start_weir):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    stop = threading.Event()

    def pour():
        try:
            while not stop.is_set():
                wire.send(query("select 1") * 100)
        except OSError:
            pass

    def drain():
        try:
            while wire.socket.recv(1 << 16):
                pass
        except OSError:
            pass
    threads = [threading.Thread(target=pour), threading.Thread(target=drain)]
    for each in threads:
        each.start()
    with weir.connect() as other:
        for i in range(50):
            assert other.execute("select %s", (i,)).fetchone() == (i,)
    stop.set()
    wire.reset()
    for each in threads:
        each.join()


def test_what_is_pipelined_behind_a_commit_waits_while_others_do(start_weir):
    weir = start_weir(pool=ONE, engine="shards = 1")
    wire = Wire(weir.port)
    wire.login()
    wire.send(query("begin"))
    wire.ready()
    other = Wire(weir.port)
    other.login()
    other.send(query("select 'served'"))
    # Asked until the query has come: the signal can be faster.
    wait_until(lambda: weir.signal(signal.SIGUSR1) or weir.find("event=describe .* waiting=1"))
    count = 200
    wire.send(query("commit") + query("select pg_sleep(0.02)") * count)
    assert any(b"served" in body for _, body in other.ready())
    # Had all gone at once to the only backend, they would all have been answered by now.
    wire.send(query("select 'last'"))
    answers = 0
    wire.socket.setblocking(False)
    try:
        while data := wire.socket.recv(1 << 20):
            answers += data.count(b"SELECT 1")
    except BlockingIOError:
        pass
    assert answers < count / 2, f"{answers} answers came before the other client's"
    wire.reset()
    other.close()


def test_two_thousand_wait_for_one_backend_behind_stalled_readers(start_weir):
    """With 8 receive buffers a group: back-pressure, never an error, and everyone gets its own row."""
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 60", engine="shards = 1",
                      mask="tiny_rings", proxy="client_write_timeout = 1", auth='client_password_auth_type = "TRUST"')
    stalled = []
    for _ in range(8):
        wire = Wire(weir.port)
        wire.login()
        stalled.append(wire)
    clients = []
    for number in range(2000):
        wire = Wire(weir.port, timeout=60)
        wire.login()
        clients.append(wire)
    for wire in stalled:
        wire.send(query("select repeat('x', 1000) from generate_series(1, 20000)"))
    for number, wire in enumerate(clients):
        wire.send(query(f"select 'row of {number}', '{'y' * (number % 50) * 100}'"))
    for number, wire in enumerate(clients):
        rows = [body for kind, body in wire.ready() if kind == b"D"]
        assert len(rows) == 1 and f"row of {number}".encode() in rows[0], (number, rows)
        wire.close()
    for wire in stalled:
        wire.close()


def test_a_byte_by_byte_uploader_holds_nobody_up(start_weir):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    whole = query("select '" + "x" * 2000 + "'")
    with weir.connect() as other:
        for i, byte in enumerate(whole):
            wire.send(bytes([byte]))
            if i % 200 == 0:
                assert other.execute("select 1").fetchone() == (1,)
    assert [kind for kind, _ in wire.ready()] == [b"T", b"D", b"C", b"Z"]
    wire.close()


def test_an_unfinished_message_is_ended_when_others_wait(start_weir):
    weir = start_weir(pool=ONE)
    wire = Wire(weir.port)
    wire.login()
    wire.send(parse("", "select length($1::text)") + SYNC)
    wire.ready()
    # A Bind whose end never comes: long enough to be forwarded.
    wire.send(b"B" + struct.pack("!i", 1 << 20) + b"\0\0" + b"\0" * 40000)
    with weir.connect() as other:
        assert other.execute("select 1").fetchone() == (1,)
    kind, body = wire.receive()
    assert kind == b"E" and "unfinished" in error_text(body)


def test_descriptor_exhaustion(start_weir):
    weir = start_weir(limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)), engine="shards = 1",
                      auth='client_password_auth_type = "TRUST"')
    sockets = [socket.create_connection(("127.0.0.1", weir.port)) for _ in range(80)]
    weir.wait_for_log("event=accept_paused")
    for each in sockets:
        each.close()
    weir.wait_for_log("event=accept_resumed")
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_client_limits(start_weir):
    weir = start_weir(proxy="max_client_connections = 3")
    clients = [weir.connect() for _ in range(3)]
    with pytest.raises(psycopg.OperationalError, match="The maximum number of client connections to the proxy exceeded 3."):
        weir.connect()
    clients.pop().close()
    wait_until(lambda: can_connect(weir))
    for each in clients:
        each.close()


def can_connect(weir):
    try:
        weir.connect().close()
        return True
    except psycopg.OperationalError:
        return False


def test_borrow_timeout(start_weir):
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 0.3")
    with weir.connect(autocommit=False) as holder, weir.connect() as waiter:
        holder.execute("select 1")
        for prepare in (False, True):
            with pytest.raises(psycopg.errors.ConnectionException, match="Timed-out waiting to acquire database connection.") as caught:
                waiter.execute("select 1 where 1 = %s", (1,), prepare=prepare)
            assert caught.value.sqlstate == "08000"
        holder.commit()
        assert waiter.execute("select 1").fetchone() == (1,)


def test_borrow_timeout_zero(start_weir):
    weir = start_weir(pool="max_connections_percent = 3\nconnection_borrow_timeout = 0")
    with weir.connect(autocommit=False) as holder, weir.connect() as waiter:
        holder.execute("select 1")
        begin = time.monotonic()
        with pytest.raises(psycopg.Error, match="Timed-out"):
            waiter.execute("select 1")
        assert time.monotonic() - begin < 1
        holder.commit()
        assert waiter.execute("select 1").fetchone() == (1,)


def test_two_routes_of_which_one_always_waits(start_weir):
    weir = start_weir(pool=ONE)
    stop = threading.Event()

    def busy():
        with weir.connect() as connection:
            while not stop.is_set():
                connection.execute("select pg_sleep(0.005)")
    threads = [threading.Thread(target=busy) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        begin = time.monotonic()
        with weir.connect(dbname="other") as other:
            assert other.execute("select current_database()").fetchone() == ("other",)
        assert time.monotonic() - begin < 5
    finally:
        stop.set()
        for each in threads:
            each.join()


def test_sigterm_lets_transactions_end(start_weir):
    weir = start_weir(proxy="shutdown_timeout = 20")
    with weir.connect(autocommit=False) as busy, weir.connect() as idle:
        busy.execute("select 1")
        idle.execute("select 1")
        weir.signal(signal.SIGTERM)
        weir.wait_for_log("event=draining")
        assert busy.execute("select 2").fetchone() == (2,)
        busy.commit()
        weir.wait_for_log("event=stopped")
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")
    weir.process.wait(5)


def test_sighup_reloads(start_weir):
    weir = start_weir(proxy="stats_period = 3600")
    text = open(weir.config, encoding="utf-8").read()
    with weir.connect() as connection:
        with open(weir.config, "w", encoding="utf-8") as file:
            file.write(text.replace("[proxy]", '[proxy]\nname = "renamed"\ndebug_logging = true'))
        weir.signal(signal.SIGHUP)
        weir.wait_for_log("proxy.name needs a restart")
        weir.wait_for_log("event=reloaded")
        connection.execute("listen something")
        weir.wait_for_log('Statement: "listen something')
        with open(weir.config, "w", encoding="utf-8") as file:
            file.write("nonsense")
        weir.signal(signal.SIGHUP)
        weir.wait_for_log("event=reload_failed: the old configuration stays")
        assert connection.execute("select 1").fetchone() == (1,)


def test_the_statistics_line(start_weir):
    weir = start_weir(proxy="stats_period = 1")
    with weir.connect() as connection:
        connection.execute("select 1")
        line = weir.wait_for_log("event=statistics shard=all .* transactions=[1-9]")
        for key in ("clients=", "backends=", "borrowed=", "pinned=", "waiting=", "borrow_wait_p50_us=", "borrow_wait_p99_us=",
                    "enobufs=0", "short_sends=0"):
            assert key in line
        assert re.search(r"ticks=[1-9]\d* completions=[1-9]", line)
    assert weir.find("event=statistics shard=1")


def test_a_burst_of_logins(start_weir):
    weir = start_weir()
    count = 400
    failures = []

    def login():
        wire = Wire(weir.port, timeout=60)
        if wire.login()[0] != b"Z":
            failures.append(1)
        wire.close()
    threads = [threading.Thread(target=login) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures


def test_a_unix_socket(start_weir, tmp_path):
    weir = start_weir()
    text = open(weir.config, encoding="utf-8").read()
    weir.signal(signal.SIGTERM)
    weir.process.wait(10)
    with open(weir.config, "w", encoding="utf-8") as file:
        file.write(text + f'[[endpoint]]\nname = "local"\nlisten = "unix:{weir.folder}:7777"\n')
    weir.start()
    with psycopg.connect(host=weir.folder, port=7777, user="app", password=PASSWORD, dbname="postgres") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
