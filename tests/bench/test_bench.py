"""The benchmark programs run, check what they are told, and count. No figure is looked at beyond being there."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import xml.etree.ElementTree as xml

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
from canned import Csv  # noqa: E402
from harness import PASSWORD, PROGRAMS, Servers, wait_for_port  # noqa: E402
from plot import CPU  # noqa: E402

LOAD = os.path.join(PROGRAMS, "load")


@pytest.fixture
def servers():
    with Servers() as made:
        yield made


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_load_answers_its_own_questions(servers, mode):
    result = servers.load(servers.canned_port, mode=mode, clients=8, seconds=0.05, pid=os.getpid())
    assert result["transactions"] > 0 and result["tps"] > 0 and result["p50"] <= result["p99"] <= result["max"]


def test_load_at_a_rate_with_a_distance_and_slow_readers(servers):
    result = servers.load(servers.canned_port, clients=8, slow=1, rate=2000, distance_us=100, seconds=0.2)
    assert result["transactions"] > 0 and result["slow_answers"] > 0
    assert result["p50"] >= 100, "the distance was not kept"


def test_load_logs_in_and_stays_idle(servers):
    assert servers.load(servers.canned_port, task="logins", clients=50)["logins"] == 50
    assert servers.load(servers.canned_port, task="idle", clients=10, pid=os.getpid())["idle_clients"] == 10


@pytest.mark.parametrize("start", ["start_weir", "start_pgbouncer"])
def test_load_over_tls_and_by_a_password(servers, start):
    process, port = getattr(servers, start)(canned=True, trust=False, tls=True)[:2]
    load = lambda **more: servers.load(port, pid=process.pid, tls=1, password=PASSWORD, **more)
    assert load(task="logins", clients=20)["logins"] == 20
    assert load(mode="extended", clients=4, seconds=0.1)["transactions"] > 0
    assert load(task="handshakes", clients=30)["resumed"] == 0
    assert load(task="handshakes", clients=30, resume=1)["resumed"] == 30
    with pytest.raises(RuntimeError, match="got an error.*(28P01|SASL authentication failed)"):
        servers.load(port, tls=1, password="another", task="logins", clients=1)


def test_what_tls_costs_is_measured():
    result = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "bench", "tls"), "--quick"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    for what in ("full", "resumed", r"simple \| 4", r"extended \| 4"):
        for program in ("pgbouncer", "weir"):
            assert re.search(rf"^\| {what} \| {program} \| [1-9]", result.stdout, re.M), result.stdout
    assert re.search(r"^\| weir \| 100 \| ", result.stdout, re.M), result.stdout
    assert re.search(r"^\| unknown user \| [1-9]", result.stdout, re.M), result.stdout


def serve_once(listener, answer):
    """Lets one client in and says `answer` to what it asks; without one it closes."""
    connection = listener.accept()[0]
    with connection:
        connection.recv(1000)
        if not answer:
            return
        connection.sendall(message(b"R", struct.pack("!i", 0)) + message(b"Z", b"I"))
        connection.recv(1000)
        connection.sendall(answer)
        connection.recv(1000)


@pytest.mark.parametrize("answer, complaint", [
    (message(b"D", struct.pack("!hi", 1, 6) + b"999999") + message(b"Z", b"I"), "WRONG ANSWER"),
    (message(b"C", b"SELECT 0\0") + message(b"Z", b"I"), "an answer of 0 rows"),
    (message(b"E", b"SERROR\0C26000\0Mnot there\0\0"), "not there"),
    (b"", "closed by the peer"),
])
def test_a_wrong_answer_is_a_failure(answer, complaint):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener, answer), daemon=True)
        thread.start()
        result = subprocess.run([LOAD, "--connect", str(listener.getsockname()[1])], capture_output=True, text=True, timeout=60)
        thread.join(60)
    assert result.returncode == 1 and complaint in result.stderr and result.stdout == "", result.stderr


def test_the_canned_server_knows_what_was_prepared(servers):
    process = servers.start([LOAD, "--serve", str(servers.canned_port)])
    bind = message(b"B", b"\0s1\0" + struct.pack("!hhi", 0, 1, 6) + b"123456" + struct.pack("!h", 0))
    row = message(b"D", struct.pack("!hi", 1, 6) + b"123456")
    wait_for_port(servers.canned_port)
    with socket.create_connection(("127.0.0.1", servers.canned_port), 10) as client:
        def ask(*messages):
            client.sendall(b"".join(messages))
            said = b""
            while not said.endswith(message(b"Z", b"I")):
                said += client.recv(10000)
            return said
        ask(struct.pack("!ii", 8, 196608))
        execute, sync = message(b"E", b"\0" + bytes(4)), message(b"S", b"")
        assert b"26000" in ask(bind, execute, sync)
        assert row in ask(message(b"P", b"s1\0select $1\0" + bytes(2)), bind, execute, sync)
        assert b"26000" in ask(message(b"C", b"Ss1\0"), bind, execute, sync)
    assert process.poll() is None


@pytest.mark.parametrize("options", [[], ["--epoll"]])
def test_rawfwd_forwards(servers, options):
    process, port = servers.start_rawfwd(options=options, log="rawfwd")
    assert servers.load(port, mode="extended", clients=8, slow=2, seconds=0.1, pid=process.pid)["transactions"] > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    with open(servers.path("rawfwd"), encoding="ascii") as file:
        counts = json.loads(file.read())
    assert 0 < counts["ticks"] and 0 < counts["completions"]


def test_allocations_are_counted(servers):
    counter = servers.write("counter", "\0" * 8)
    environment = dict(os.environ, LD_PRELOAD=os.path.join(PROGRAMS, "libcount_allocations.so"), COUNT_ALLOCATIONS=counter)
    subprocess.run(["/usr/bin/python3", "-c", "pass"], check=True, env=environment, timeout=60)
    with open(counter, "rb") as file:
        assert struct.unpack("@Q", file.read())[0] > 1000


def test_the_comparison_runs(tmp_path):
    csv, picture = tmp_path / "all.csv", tmp_path / "cpu.svg"
    result = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "bench", "run"), "--quick", "--seconds", "0.1", "--tables", "canned",
                             "--modes", "simple,prepared", "--csv", str(csv), "--plot", str(picture)],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    for mode in ("simple", "prepared"):
        for program in ("rawfwd", "rawfwd --epoll", "weir"):
            assert re.search(rf"^\| {mode} \| \d+ \| closed \| {program} \| [1-9]", result.stdout, re.M), result.stdout
    assert re.search(r"^\| simple \| \d+ \| \d+/s \| pgbouncer \| [1-9]", result.stdout, re.M), result.stdout
    assert len(csv.read_text().splitlines()) > 100
    assert len(xml.parse(picture).getroot()) > 20


def draw(picture, *files):
    return subprocess.run([os.path.join(ROOT, "bench", "plot.py"), *map(str, files), "--out", str(picture)],
                          capture_output=True, text=True, timeout=60)


def test_the_plot_draws_the_medians_of_several_files(tmp_path):
    few, many, picture = tmp_path / "few.csv", tmp_path / "many.csv", tmp_path / "cpu.svg"
    csv = Csv(few)
    for number, cpu in enumerate((10, 90, 20)):
        csv.add("canned", number, "simple", 1, "closed", "weir", {"cpu": cpu, "p50": 1})
        csv.add("canned", number, "simple", 10, "closed", "weir", {"p50": 1, "cpu": 10})
    csv.add("canned", 0, "simple", 64, 15000.0, "weir", {"cpu": 500})
    csv.add("details", 0, "simple", 64, "closed", "weir", {"p50 us, 1 client": 46})
    csv.add("pgbench", 0, "simple", 16, "closed", "weir", {"cpu": 500})
    Csv(many).add("canned", 0, "simple", 100, "closed", "weir", {"cpu": 5})
    result = draw(picture, few, many)
    assert result.returncode == 0, result.stderr
    lines = [each for each in xml.parse(picture).getroot() if each.tag.endswith("polyline")]
    assert [line.get("stroke") for line in lines] == [CPU.programs["weir"][1]]
    (x1, y1), (x10, y10), (x100, y100) = [map(float, point.split(",")) for point in lines[0].get("points").split()]
    assert x100 - x10 == pytest.approx(x10 - x1, abs=0.2) and x10 > x1, "not a log scale"
    assert y10 - y1 == pytest.approx(2 * (y100 - y10), abs=0.3) and y10 > y1, "not the medians 20, 10, 5"


def test_nothing_to_plot_is_an_error_that_names_the_file(tmp_path):
    empty = tmp_path / "empty.csv"
    Csv(empty)
    result = draw(tmp_path / "cpu.svg", empty)
    assert result.returncode == 2 and str(empty) in result.stderr and "--csv" in result.stderr, result.stderr


def test_what_openssl_holds_is_counted(servers):
    result = subprocess.run([os.path.join(PROGRAMS, "tls_memory"), *servers.certificate()], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    first, *pieces = result.stdout.splitlines()
    total, count = map(int, re.search(r"TLSv1.3.*: (\d+) bytes in (\d+) pieces", first).groups())
    sizes = [(int(size), int(times)) for size, times in (re.match(r"\s*(\d+) x (\d+)  \S+:\d+", each).groups() for each in pieces)]
    assert sum(size * times for size, times in sizes) == total > 5000 and sum(times for _, times in sizes) == count
