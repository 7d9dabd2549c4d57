"""Real servers for the end-to-end tests: a PostgreSQL of the distribution, and weir before it."""

import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.environ.get("WEIR", os.path.join(ROOT, "build", "pool", "weir"))
PASSWORD = "app-password"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=10, what="a condition"):
    """Asks again and again, for an event that nobody announces; fails when the deadline has passed."""
    deadline = time.monotonic() + seconds
    turn = threading.Event()
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        turn.wait(0.02)


class Postgres:
    """A server of its own in a temporary directory, with SCRAM passwords."""

    def __init__(self, max_connections=40, more="", prepare=None):
        binaries = glob.glob("/usr/lib/postgresql/*/bin")
        self.bin = max(binaries, key=lambda path: float(path.split("/")[4]))
        self.folder = tempfile.mkdtemp(prefix="weir-pg-")
        self.port = free_port()
        self.process = None
        self.give_to_postgres(self.folder)
        with open(os.path.join(self.folder, "pw"), "w", encoding="ascii") as file:
            file.write(PASSWORD)
        self.give_to_postgres(os.path.join(self.folder, "pw"))
        self.run("initdb", "-D", self.data, "-U", "app", "--pwfile", os.path.join(self.folder, "pw"),
                 "-A", "scram-sha-256", "--no-sync", "--locale=C", "-E", "UTF8")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(f"""
port = {self.port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{self.folder}'
max_connections = {max_connections}
max_prepared_transactions = 4
fsync = off
full_page_writes = off
synchronous_commit = off
{more}
""")
        if prepare is not None:
            prepare(self)   # what it needs in its folder
        self.start()

    @property
    def data(self):
        return os.path.join(self.folder, "data")

    # PostgreSQL refuses to run as root; anybody else runs it under the own name.
    @staticmethod
    def give_to_postgres(path):
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    @staticmethod
    def as_postgres(*command):
        if os.geteuid() != 0:
            return list(command)
        return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command]

    def run(self, program, *args):
        result = subprocess.run(self.as_postgres(os.path.join(self.bin, program), *args),
                                capture_output=True, text=True, timeout=60, cwd="/")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def start(self):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(self.as_postgres(os.path.join(self.bin, "postgres"), "-D", self.data),
                                        stdout=log, stderr=log, cwd="/")
        log.close()
        wait_until(self.answers, 30, "PostgreSQL to start")

    def answers(self):
        try:
            with self.connect():
                return True
        except Exception:
            return False

    def connect(self, **settings):
        import psycopg
        settings.setdefault("dbname", "postgres")
        return psycopg.connect(host="127.0.0.1", port=self.port, user="app", password=PASSWORD, autocommit=True,
                               connect_timeout=5, **settings)

    def query(self, sql):
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def backends(self, where="true"):
        """How many client connections but ours the server has."""
        return self.query("select count(*) from pg_stat_activity where backend_type = 'client backend' and "
                          f"pid <> pg_backend_pid() and {where}")[0][0]

    def stop(self, how=signal.SIGINT):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Weir:
    """The program, with a TOML file of its own."""

    def __init__(self, target_port, *, pool="", proxy="", engine="shards = 2", auth="", password=PASSWORD, mask="",
                 wait=True, limits=None, target="", endpoint="", target_host="127.0.0.1",
                 username=None):
        self.folder = tempfile.mkdtemp(prefix="weir-")
        self.port = free_port()
        self.lines = []
        self.reader = None
        self.changed = threading.Condition()
        self.mask = mask
        self.limits = limits
        self.secret(password)
        self.config = os.path.join(self.folder, "weir.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"""
[proxy]
{proxy}
[connection_pool]
{pool}
[[endpoint]]
listen = "127.0.0.1:{self.port}"
{endpoint}
[[target]]
host = "{target_host}"
port = {target_port}
{target}
[[auth]]
{'secret_file = "app.json"' if username is None else f'username = "{username}"'}
{auth}
[engine]
{engine}
""")
        self.start(wait)

    def secret(self, password):
        with open(os.path.join(self.folder, "app.json"), "w", encoding="utf-8") as file:
            file.write('{"username": "app", "password": "%s"}' % password)

    def start(self, wait=True):
        environment = dict(os.environ, WEIR_MASK=self.mask)
        if self.reader is not None:
            self.reader.join(10)   # or the end of the last run's log would stand in this one's
        self.lines = []
        self.process = subprocess.Popen([WEIR, "--config", self.config], stderr=subprocess.PIPE, text=True,
                                        env=environment, preexec_fn=self.limits)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if wait:
            self.wait_for_log("event=ready")

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(end of log)")
            self.changed.notify_all()

    def find(self, pattern):
        return [line for line in self.lines if re.search(pattern, line)]

    def wait_for_log(self, pattern, seconds=10, count=1):
        with self.changed:
            good = self.changed.wait_for(lambda: len(self.find(pattern)) >= count or "(end of log)" in self.lines, seconds)
            assert good and len(self.find(pattern)) >= count, f"no {pattern!r} in the log:\n" + "\n".join(self.lines[-40:])
            return self.find(pattern)[-1]

    def connect(self, **settings):
        import psycopg
        settings.setdefault("dbname", "postgres")
        settings.setdefault("user", "app")
        settings.setdefault("password", PASSWORD)
        settings.setdefault("autocommit", True)
        settings.setdefault("connect_timeout", 20)
        settings.setdefault("host", "127.0.0.1")
        return psycopg.connect(port=self.port, **settings)

    def signal(self, number):
        self.process.send_signal(number)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.send_signal(signal.SIGTERM)
                    self.process.wait(10)
            self.reader.join(10)
            assert not self.find("CHECK failed"), "\n".join(self.lines[-80:])
            assert self.process.returncode == 0, f"exit status {self.process.returncode}\n" + "\n".join(self.lines[-80:])
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
