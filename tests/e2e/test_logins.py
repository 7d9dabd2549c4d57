"""How clients log in, how weir does, and how both go on while a secret changes."""

import base64
import hashlib
import hmac
import json
import os
import subprocess

import psycopg
import pytest

from servers import wait_until
from wire import Wire, error_code, error_text, message, startup

SALT = b"a salt of verifiers"
POOL = "connection_borrow_timeout = 20"


def verifier(password, salt=SALT, iterations=4096):
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = [base64.b64encode(each).decode() for each in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256${iterations}:{keys[0]}${keys[1]}:{keys[2]}"


def md5_hash(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


class Login:
    """A role of the server, with the file that holds its secret."""

    def __init__(self, postgres, folder, user):
        self.postgres, self.user, self.file = postgres, user, os.path.join(folder, user + ".json")
        with postgres.connect() as connection:
            connection.execute(f"create role {user} login")

    def on_server(self, password, encryption="scram-sha-256"):
        with self.postgres.connect() as connection:
            connection.execute(f"set password_encryption = '{encryption}'")
            connection.execute(f"alter role {self.user} password '{password}'")

    def in_file(self, password, **more):
        """As a program does that nobody may catch half done."""
        with open(self.file + ".new", "w", encoding="ascii") as file:
            json.dump({"username": self.user, "password": password, **more}, file)
        os.rename(self.file + ".new", self.file)

    def auth(self, more=""):
        return f'[[auth]]\nsecret_file = "{self.file}"\n{more}'

    def drop(self):
        with self.postgres.connect() as connection:
            connection.execute(f"drop role {self.user}")


@pytest.fixture
def login(own_postgres, tmp_path):
    return Login(own_postgres, str(tmp_path), "someone")


@pytest.fixture
def start(start_weir, own_postgres):
    def begin(**settings):
        settings.setdefault("pool", POOL)
        return start_weir(own_postgres.port, **settings)
    return begin


def own_rule(postgres, line):
    """Goes before all other rules of the server."""
    path = os.path.join(postgres.data, "pg_hba.conf")
    with open(path, encoding="ascii") as file:
        rules = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(line + "\n" + rules)
    postgres.query("select pg_reload_conf()")


def refusal(weir, **settings):
    with pytest.raises(psycopg.OperationalError) as caught:
        weir.connect(**settings)
    return str(caught.value)


WRONG = "The password that was provided for the role someone is wrong."


# The shards hear of a change a moment after the log has it.
def enter(weir, password):
    with weir.connect(user="someone", password=password) as connection:
        assert connection.execute("select current_user").fetchone() == ("someone",)


def can_enter(weir, password):
    """The shards hear of a change a moment after the log has it."""
    try:
        enter(weir, password)
        return True
    except psycopg.OperationalError as error:
        assert WRONG in str(error)
        return False


@pytest.mark.parametrize("how", ["text", "hash"])
def test_md5_clients(start, login, own_postgres, how):
    login.on_server("one", encryption="md5" if how == "hash" else "scram-sha-256")
    login.in_file("one" if how == "text" else md5_hash("someone", "one"))
    if how == "hash":
        own_rule(own_postgres, "host all someone 127.0.0.1/32 md5")
    weir = start(auth=login.auth('client_password_auth_type = "POSTGRES_MD5"'))
    salts = set()
    for _ in range(3):
        wire = Wire(weir.port)
        wire.send(startup(user="someone"))
        kind, body = wire.receive()
        assert kind == b"R" and body[:4] == b"\0\0\0\5"
        salts.add(body[4:])
        wire.send(message(b"p", md5_hash("someone", "two").encode() + b"\0"))
        kind, body = wire.receive()
        assert kind == b"E" and error_code(body) == "28P01" and error_text(body) == WRONG
        wire.close()
    assert len(salts) == 3
    enter(weir, "one")
    assert WRONG in refusal(weir, user="someone", password="two")


def test_who_is_unknown_may_be_told_so(start):
    weir = start(proxy="reveal_unknown_roles = true")
    told = "This proxy has no credentials for the role nobody. Check the credentials for this role and try again."
    assert told in refusal(weir, user="nobody", password="one")
    assert "The password that was provided for the role app is wrong." in refusal(weir, user="app", password="two")
    assert told not in refusal(start(), user="nobody", password="one")


def test_a_verifier_is_passed_through(start, login, own_postgres):
    login.on_server(verifier("one"))
    login.in_file(verifier("one"), dbname="postgres")
    weir = start(pool=POOL + "\nmin_idle_connections = 1", auth=login.auth())
    # Nobody has shown the key yet: the server is not even asked.
    weir.wait_for_log("is a SCRAM verifier: no client has shown the key of it yet")
    assert own_postgres.backends("usename = 'someone'") == 0
    assert WRONG in refusal(weir, user="someone", password="two")
    assert own_postgres.backends("usename = 'someone'") == 0
    held = [weir.connect(user="someone", password="one") for _ in range(6)]
    for connection in held:
        connection.execute("begin")
    for connection in held:
        assert connection.execute("select current_user").fetchone() == ("someone",)
        connection.close()


def test_the_server_has_another_verifier(start, login, own_postgres):
    # Of the same password, but of another salt: what the client shows is of no use there.
    login.on_server(verifier("one", salt=b"another salt"))
    login.in_file(verifier("one"))
    weir = start(auth=login.auth())
    assert "another salt or iteration count" in refusal(weir, user="someone", password="one")
    weir.wait_for_log("cannot open a database connection for user \"someone\".*another salt or iteration count")
    # Of the same salt, but of another password: the key is refused, and given up.
    login.on_server(verifier("two"))
    assert "password authentication failed" in refusal(weir, user="someone", password="one")
    login.on_server(verifier("one"))
    enter(weir, "one")


def test_a_secret_in_the_environment(start, login, monkeypatch):
    login.on_server("one")
    monkeypatch.setenv("SOMEONES_SECRET", '{"username": "someone", "password": "one"}')
    weir = start(auth='[[auth]]\nsecret_env = "SOMEONES_SECRET"')
    enter(weir, "one")


def test_a_password_in_clear_text_over_a_unix_socket(start, login, own_postgres):
    login.on_server("one")
    login.in_file("one")
    own_rule(own_postgres, "local all someone password")
    host = "unix:" + own_postgres.folder
    weir = start(target_host=host, auth=login.auth())
    assert "in clear text, which is not allowed" in refusal(weir, user="someone", password="one")
    weir = start(target_host=host, auth=login.auth(), target='server_auth_methods = ["password", "scram-sha-256"]')
    enter(weir, "one")


# New connections are needed all the time.
BUSY = POOL + "\nbackend_lifetime = 1\nmax_connections_percent = 20"


@pytest.mark.parametrize("first", ["server", "file"])
def test_a_rotation_under_load_loses_nobody(start, login, own_postgres, tmp_path, first):
    login.on_server("one")
    login.in_file("one")
    weir = start(pool=BUSY, auth=login.auth())
    script = tmp_path / "script.sql"
    script.write_text("select current_user;\n", encoding="ascii")
    load = subprocess.Popen(
        ["pgbench", "-h", "127.0.0.1", "-p", str(weir.port), "-U", "someone", "-n", "-f", str(script), "-c", "8", "-R", "400",
         "-T", "14", "postgres"],
        env=dict(os.environ, PGPASSWORD="one"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: own_postgres.backends("usename = 'someone' and query = 'select current_user;'"), what="pgbench to run")
        for number, password in enumerate(("two", "three"), 1):
            for place in (first, "file" if first == "server" else "server"):
                if place == "server":
                    login.on_server(password)
                else:
                    login.in_file(password)
                    weir.wait_for_log("event=secret_changed user=\"someone\"", count=number)
            weir.wait_for_log("event=secret_settled user=\"someone\": the server has accepted the new value", count=number)
        out = load.communicate(timeout=60)[0]
    finally:
        if load.poll() is None:
            load.kill()
            load.wait()
    assert load.returncode == 0 and "number of failed transactions: 0" in out and "abort" not in out, out
    enter(weir, "three")
    for password in ("one", "two"):
        wait_until(lambda: not can_enter(weir, password), what="old passwords to be refused")


@pytest.mark.parametrize("method", ["POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5"])
def test_both_passwords_are_good_until_the_server_takes_the_new_one(start, login, method):
    login.on_server("one")
    login.in_file("one")
    weir = start(pool=BUSY, auth=login.auth(f'client_password_auth_type = "{method}"'))
    enter(weir, "one")
    assert WRONG in refusal(weir, user="someone", password="two")
    login.in_file("two")
    weir.wait_for_log("event=secret_changed")
    for password in ("two", "one", "two", "one"):
        wait_until(lambda: can_enter(weir, password), what="both to be good")
    login.on_server("two")
    with weir.connect(user="someone", password="two") as connection:
        def settled():
            connection.execute("select 1")
            return weir.find("event=secret_settled")
        wait_until(settled, what="a login with the new password")
    weir.wait_for_log("event=secret_settled.*the server has accepted the new value")
    wait_until(lambda: not can_enter(weir, "one"), what="the old password to be refused")
    enter(weir, "two")


def test_the_grace_ends(start, login):
    login.on_server("one")
    login.in_file("one")
    weir = start(auth=login.auth("rotation_grace = 1"))
    enter(weir, "one")
    login.in_file("two")
    weir.wait_for_log("event=secret_changed")
    weir.wait_for_log("event=secret_settled.*its time is up")
    wait_until(lambda: not can_enter(weir, "one"), what="the old password to be refused")


def test_what_is_no_secret_changes_nothing(start, login):
    login.on_server("one")
    login.in_file("one")
    weir = start(auth=login.auth())
    for text in ("{}", '{"username": "someone", "password": "tw', '{"username": "other", "password": "two"}',
                 json.dumps({"username": "someone", "password": md5_hash("someone", "two")})):
        with open(login.file, "w", encoding="ascii") as file:
            file.write(text)
        count = len(weir.find("event=secret_unusable"))
        weir.wait_for_log("event=secret_unusable.*someone.json.*the value before stays in force", count=count + 1)
        enter(weir, "one")
    login.on_server("two")
    login.in_file("two")
    weir.wait_for_log("event=secret_changed")
    wait_until(lambda: can_enter(weir, "two"), what="the new password to be good")
    assert not weir.find('two"')
