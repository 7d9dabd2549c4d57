"""Who may connect from where, and how many clients a user may have."""

import os
import shutil
import signal
import tempfile

import psycopg
import pytest

from certificates import Authority


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="weir-access-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def refused(weir, sqlstate, **settings):
    """The text with which a login is refused."""
    with pytest.raises(psycopg.OperationalError) as told:
        weir.connect(**settings)
    text = str(told.value)
    # libpq tells no SQLSTATE of a refused connection: its text stands for it.
    assert {"28000": "rules of access do not admit", "28P01": "The password that was provided for the role",
            "53300": "exceeded"}[sqlstate] in text, text
    return text


def rules(*lines):
    return "shards = 2\n" + "\n".join("[[access]]\n" + line for line in lines)


def test_the_first_rule_that_fits_decides(start_weir, folder):
    weir = start_weir(engine=rules('database = "other"\nmethod = "reject"\ntls = "any"',
                                   'address = "10.0.0.0/8"\nmethod = "password"\ntls = "any"',
                                   'address = "127.0.0.0/8"\nuser = ["x", "app"]\nmethod = "password"\ntls = "any"',
                                   'address = "unix"\nmethod = "reject"'),
                      auth=f'[[endpoint]]\nname = "socket"\nlisten = "unix:{folder}:6000"')
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    text = refused(weir, "28000", dbname="other")
    assert 'do not admit host "127.0.0.1", user "app", database "other", no encryption' in text
    weir.wait_for_log(r'login failed for user "app": \[\[access\]\] 1 rejects host "127.0.0.1"')
    text = refused(weir, "28000", user="stranger")
    weir.wait_for_log(r'login failed for user "stranger": no rule of access admits host "127.0.0.1"')
    assert "no rule" not in text
    with pytest.raises(psycopg.OperationalError, match=r'do not admit host "\[local\]"'):
        psycopg.connect(host=folder, port=6000, user="app", password="x", dbname="postgres")


def test_a_rule_that_wants_encryption(start_weir):
    weir = start_weir(engine=rules('method = "password"'))
    refused(weir, "28000")


@pytest.mark.parametrize("method", ["iam", "certificate", "trust"])
def test_a_method_that_the_user_does_not_have_is_as_an_unknown_user(start_weir, method):
    weir = start_weir(engine=rules(f'method = "{method}"\ntls = "any"'))
    assert refused(weir, "28P01") == refused(weir, "28P01", user="nobody").replace("nobody", "app")
    weir.wait_for_log(rf'user "app": \[\[access\]\] 1 wants the method {method}, and the user\'s \[\[auth\]\] has another')


def test_trust_is_what_both_must_say(start_weir):
    weir = start_weir(auth='client_password_auth_type = "TRUST"', engine=rules('method = "trust"\ntls = "any"'))
    weir.connect(password=None).close()
    weir = start_weir(auth='client_password_auth_type = "TRUST"', engine=rules('method = "password"\ntls = "any"'))
    refused(weir, "28P01")


def test_a_pg_hba_conf_is_read_again_with_the_configuration(start_weir, folder):
    path = os.path.join(folder, "pg_hba.conf")

    def write(text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    write("host postgres app 127.0.0.1/32 md5\n")
    weir = start_weir(proxy=f'access_file = "{path}"')
    weir.connect().close()
    refused(weir, "28000", dbname="other")
    write("# more\nhost all app samenet scram-sha-256\n")
    weir.signal(signal.SIGHUP)
    weir.wait_for_log(r"event=reload_failed.*access_file: .*pg_hba.conf: line 2: samenet cannot be honoured")
    weir.connect().close()
    write("host other app 127.0.0.1/32 scram-sha-256\n")
    weir.signal(signal.SIGHUP)
    weir.wait_for_log("event=reloaded")
    weir.connect(dbname="other").close()
    refused(weir, "28000")
    weir.wait_for_log("no rule of access admits")


def test_encrypted_or_not(start_weir, folder):
    authority = Authority()
    try:
        certificate, key = authority.certify("server", "server")
        path = os.path.join(folder, "pg_hba.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("hostssl postgres app 127.0.0.0 255.0.0.0 scram-sha-256\nhostnossl other all 127.0.0.1/32 md5\n")
        weir = start_weir(proxy=f'access_file = "{path}"',
                          engine=f'shards = 2\n[[certificate]]\ncertificate_file = "{certificate}"\nkey_file = "{key}"')
        weir.connect(sslmode="require").close()
        weir.connect(sslmode="disable", dbname="other").close()
        assert "encrypted" in refused(weir, "28000", sslmode="require", dbname="other")
        assert "no encryption" in refused(weir, "28000", sslmode="disable")
        # As libpq does by itself: the second try is the one that fits.
        weir.connect(sslmode="prefer", dbname="other").close()
        weir.connect(sslmode="allow").close()
    finally:
        authority.close()


def wait_until_connected(weir, sqlstate, **settings):
    """A client that has just gone may still be counted: until it is not."""
    for _ in range(200):
        try:
            return weir.connect(**settings)
        except psycopg.OperationalError as error:
            assert sqlstate in str(error)
    raise AssertionError("refused for ever")


@pytest.mark.parametrize("shards", [1, 2])
def test_a_user_has_so_many_clients(start_weir, shards, folder):
    path = os.path.join(folder, "other.json")
    with open(path, "w", encoding="ascii") as file:
        file.write('{"username": "second", "password": "x"}')
    weir = start_weir(auth=f'max_client_connections = 3\n[[auth]]\nsecret_file = "{path}"', engine=f"shards = {shards}")
    clients = [weir.connect() for _ in range(3)]
    for _ in range(3):
        assert "The maximum number of client connections to the proxy exceeded 3." in refused(weir, "53300")
    # Who does not know the password learns nothing, and uses nothing up.
    refused(weir, "28P01", password="wrong")
    clients.pop().close()
    clients.append(wait_until_connected(weir, "exceeded 3."))
    refused(weir, "53300")
    for each in clients:
        each.close()
    for _ in range(5):
        refused(weir, "28P01", password="wrong")
    clients = [wait_until_connected(weir, "exceeded 3.") for _ in range(3)]
    with open(weir.config, encoding="utf-8") as file:
        text = file.read()
    with open(weir.config, "w", encoding="utf-8") as file:
        file.write(text.replace("max_client_connections = 3", "max_client_connections = 4"))
    weir.signal(signal.SIGHUP)
    weir.wait_for_log("event=reloaded")
    clients.append(wait_until_connected(weir, "exceeded 3."))
    assert "exceeded 4." in refused(weir, "53300")
    for each in clients:
        each.close()


def test_a_user_has_so_many_new_clients_a_second(start_weir):
    weir = start_weir(auth="client_connection_rate = 2", engine="shards = 2")
    text = ""
    for _ in range(500):
        try:
            weir.connect().close()
        except psycopg.OperationalError as error:
            text = str(error)
            break
    assert "Rate of connection to proxy exceeded 2." in text
    weir.wait_for_log(r'user "app": Rate of connection to proxy exceeded 2\. \(of this user\)')
