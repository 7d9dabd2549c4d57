"""Servers for the benchmarks and the demo: a throw-away PostgreSQL, weir, PgBouncer. All on loopback, all stopped at the end.

The canned server is the program `load`: it serves and asks in one thread, on a core of its own, so that neither PostgreSQL nor
pgbench is what is measured.
"""

import base64
import glob
import hashlib
import hmac
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.environ.get("WEIR", os.path.join(ROOT, "build", "pool", "weir"))
PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(WEIR)), "bench")
PGBOUNCER = "/usr/sbin/pgbouncer"
PASSWORD = "bench-password"
BACKENDS = 20
LOAD_SECONDS_MAX = 600


def free_port():
    """Not one that the system would give to a client meanwhile."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(20000, 32000)))
                return probe.getsockname()[1]
            except OSError:
                pass


def wait_for_port(port, seconds=30, process=None):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise ChildProcessError(f"the process for port {port} has ended")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def listens(port):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file)


def pgbouncer_version():
    out = subprocess.run([PGBOUNCER, "--version"], capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", out).groups()))


def verifier(salt=b"a salt of the benchmarks"):
    """What proves that somebody knows the password, as PostgreSQL keeps it."""
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = [base64.b64encode(each).decode() for each in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256$4096:{keys[0]}${keys[1]}:{keys[2]}"


class Servers:
    """with Servers() as servers: ... Everything that was started ends with the block."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weir-bench-")
        os.chmod(self.folder, 0o755)
        self.processes = []
        self.postgres = None
        self.bin = max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))
        self.postgres_port = 0
        self.canned_port = free_port()
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in reversed(self.processes):
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT if process is self.postgres else signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

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

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def start(self, command, cpu=None, log="log", **settings):
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        log = open(self.path(log), "ab")
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **settings))
        log.close()
        return self.processes[-1]

    def start_postgres(self, scale=10, max_connections=500):
        data = self.path("data")
        os.mkdir(data)
        self.give_to_postgres(data)
        self.give_to_postgres(self.write("pw", PASSWORD))
        subprocess.run(self.as_postgres(os.path.join(self.bin, "initdb"), "-D", data, "-U", "app", "--pwfile", self.path("pw"),
                                        "-A", "scram-sha-256", "--no-sync"), check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.postgres_port = free_port()
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(f"port = {self.postgres_port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                       f"max_connections = {max_connections}\nfsync = off\nsynchronous_commit = off\nshared_buffers = 256MB\n")
        process = self.postgres = self.start(self.as_postgres(os.path.join(self.bin, "postgres"), "-D", data))
        wait_for_port(self.postgres_port)
        deadline = time.monotonic() + 30
        while self.psql("select 1", check=False) != "1" and time.monotonic() < deadline:
            time.sleep(0.1)
        if scale:
            self.run("pgbench", self.postgres_port, "-i", "-q", "-s", str(scale), "postgres")
        return process

    def certificate(self):
        """(certificate, key), files of a certificate for nobody in particular."""
        certificate, key = self.path("bench.crt"), self.path("bench.key")
        if not os.path.exists(key):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench",
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)
            os.chmod(key, 0o600)
        return certificate, key

    def start_weir(self, shards=1, cpu=None, pool="", auth="", proxy="", engine="", endpoint='pipelining = "off"', canned=False,
                   backends=BACKENDS, trust=None, tls=False, **settings):
        """weir before PostgreSQL, or before the canned server, where everybody is trusted unless `trust` says otherwise. Reads go one
        by one, as with PgBouncer: what it brings that they need not is measured by bench/pipelining."""
        self.write("app.json", '{"username": "app", "password": "%s"}\n' % PASSWORD)
        # The canned server has room for 20.
        most = BACKENDS if canned else int(self.psql("show max_connections"))
        percent = -(-backends * 100 // most)
        target = self.canned_port if canned else self.postgres_port
        if canned if trust is None else trust:
            auth = 'client_password_auth_type = "TRUST"\n' + auth
        if tls:
            auth += '\n[[certificate]]\ncertificate_file = "%s"\nkey_file = "%s"\n' % self.certificate()
        port = free_port()
        config = self.write(f"weir-{port}.toml", f"""# weir before a PostgreSQL on port {target}.
[proxy]
{proxy}

[connection_pool]
max_connections_percent = {percent}            # of the server's {most}: {most * percent // 100} backends
{pool}

[[endpoint]]
listen = "127.0.0.1:{port}"
{endpoint}

[[target]]
host = "127.0.0.1"
port = {target}

[[auth]]
secret_file = "app.json"
{auth}

[engine]
shards = {shards}
{engine}
""")
        process = self.start([WEIR, "--config", config], cpu, **settings)
        try:
            wait_for_port(port, process=process)
        except ChildProcessError:
            with open(self.path(settings.get("log", "log")), encoding="utf-8", errors="replace") as file:
                raise RuntimeError(f"weir has ended: {file.read()[-1000:]}") from None
        return process, port, config

    def start_pgbouncer(self, cpu=None, canned=False, trust=None, tls=False, **settings):
        port = free_port()
        more = ""
        if tls:
            key = self.write("pgbouncer.key", open(self.certificate()[1], encoding="ascii").read())   # it is another user
            os.chmod(key, 0o600)
            self.give_to_postgres(key)
            more = f"client_tls_sslmode = allow\nclient_tls_cert_file = {self.certificate()[0]}\nclient_tls_key_file = {key}"
        # With the password itself it would derive the keys anew for every login, where it need not prove it to a server.
        users = self.write(f"users-{port}.txt", f'"app" "{verifier() if canned and not trust else PASSWORD}"\n')
        config = self.write(f"pgbouncer-{port}.ini", f"""[databases]
postgres = host=127.0.0.1 port={self.canned_port if canned else self.postgres_port} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
listen_backlog = 4096
unix_socket_dir =
auth_type = {"trust" if (canned if trust is None else trust) else "scram-sha-256"}
auth_file = {users}
pool_mode = transaction
default_pool_size = {BACKENDS}
max_client_conn = 15000
client_login_timeout = 600
ignore_startup_parameters = extra_float_digits
{more}
{"max_prepared_statements = 200" if pgbouncer_version() >= (1, 21) else ""}
""")
        process = self.start(self.as_postgres(PGBOUNCER, "-q", config), cpu, **settings)
        wait_for_port(port)
        return process, port

    def start_rawfwd(self, cpu=None, options=(), **settings):
        """The forwarder between pairs of sockets, before the canned server."""
        port = free_port()
        process = self.start([os.path.join(PROGRAMS, "rawfwd"), *options, f"127.0.0.1:{port}", f"127.0.0.1:{self.canned_port}"],
                             cpu, **settings)
        # A connection would need the server.
        deadline = time.monotonic() + 10
        while not listens(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        return process, port

    def load(self, port, **options):
        """What a run of `load` says, as a dictionary: both roles in one thread, the clients to `port`."""
        command = [os.path.join(PROGRAMS, "load"), "--serve", str(self.canned_port), "--connect", str(port)]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX)
        if result.returncode != 0:
            with open(self.path("log"), encoding="utf-8", errors="replace") as file:
                raise RuntimeError(f"{' '.join(command)}: {result.stderr}{file.read()[-2000:]}")
        return json.loads(result.stdout)

    def environment(self):
        return dict(os.environ, PGPASSWORD=PASSWORD)

    def run(self, program, port, *args, seconds=300, check=True):
        result = subprocess.run([program, "-h", "127.0.0.1", "-p", str(port), "-U", "app", *args], env=self.environment(),
                                capture_output=True, text=True, timeout=seconds, cwd=self.folder)
        if check and result.returncode != 0:
            raise RuntimeError(result.stdout + result.stderr)
        return result.stdout

    def psql(self, sql, check=True):
        return self.run("psql", self.postgres_port, "-Atc", sql, "postgres", check=check).strip()

    def pgbench(self, port, mode, clients, seconds, sampling=0.05, script=("-S",)):
        """{tps, transactions, failed, p50, p99 (milliseconds)} of one run, read-only unless `script` says otherwise."""
        prefix = self.path("pgbench-log")
        # pgbench connects before it measures; with many clients one thread suffices on two cores.
        out = self.run("pgbench", port, *script, "-n", "-M", mode, "-c", str(clients), "-j", "1" if clients < 8 else "2", "-T",
                       str(seconds), "--log", f"--sampling-rate={1.0 if clients == 1 else sampling}", f"--log-prefix={prefix}",
                       "postgres", check=False)
        latencies = []
        for name in glob.glob(prefix + "*"):
            with open(name, encoding="ascii") as file:
                latencies += [int(line.split()[2]) for line in file if len(line.split()) > 2 and line.split()[2].isdigit()]
            os.unlink(name)
        latencies.sort()
        words = {line.split(":")[0].split(" = ")[0]: line for line in out.splitlines()}
        tps = next((float(line.split()[2]) for line in out.splitlines() if line.startswith("tps")), 0.0)
        done = words.get("number of transactions actually processed", ": 0").split(":")[1].split("/")[0]
        failed = words.get("number of failed transactions", ": 0 (").split(":")[1].split("(")[0]
        at = lambda part: latencies[int(len(latencies) * part)] / 1000 if latencies else float("nan")
        return {"tps": tps, "transactions": int(done), "failed": int(failed), "p50": at(0.5), "p99": at(0.99)}


def cpu_seconds(pid):
    """(user, system) of a process, all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def server_cpu_seconds(postmaster):
    """Of all sessions of a PostgreSQL, those that have ended too."""
    tick = os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{postmaster}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    total = (int(fields[13]) + int(fields[14])) / tick
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == postmaster:
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def kernel_workers(pid):
    """Threads that the kernel made for io_uring operations that would block: they cost much, there should be none."""
    count = 0
    for path in glob.glob(f"/proc/{pid}/task/*/comm"):
        with open(path, encoding="ascii") as file:
            count += file.read().startswith("iou-wrk")
    return count
