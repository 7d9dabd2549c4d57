"""weir logs in to the server with tokens of IAM that it makes itself (server_auth = "iam")."""

import os
import shutil

import psycopg
import pytest
from aws_services import AwsServices
from certificates import Authority
from iam_tokens import make_token
from servers import Postgres
from test_iam import Identities, host_of, log_in
from test_logins import own_rule
from token_server import TokenServer

KEY = ("AKIAWEIR", "weir/secret+")


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    made.certify("server", "server", "DNS:localhost")
    made.certify("other", "other", "DNS:other.example")
    yield made
    made.close()


@pytest.fixture(scope="module")
def trusting():
    """A PostgreSQL behind the token server: whom that lets through is in."""
    server = Postgres()
    own_rule(server, "host all app 127.0.0.1/32 trust")
    yield server
    server.close()


@pytest.fixture
def aws():
    made = AwsServices()
    yield made
    made.close()


@pytest.fixture
def tokens(trusting, authority, aws):
    made = TokenServer(trusting.port, (authority.path("server.crt"), authority.path("server.key")), aws.keys)
    yield made
    made.close()


@pytest.fixture
def start(start_weir, tokens, authority, aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY[1])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)

    def begin(credentials='"environment"', auth="", more="", ca=authority, **settings):
        target = f'server_auth = "iam"\ntls_mode = "verify-full"\ntls_ca_file = "{ca.ca}"\n'
        engine = f"""shards = 2
{more}
[aws]
region = "us-east-1"
credentials = {credentials}
metadata_endpoint = "{aws.url}"
"""
        return start_weir(tokens.port, target_host="localhost", target=target, engine=engine, auth=auth,
                          pool="connection_borrow_timeout = 20", **settings)
    return begin


def works(weir, **settings):
    with weir.connect(**settings) as connection:
        assert connection.execute("select current_user").fetchone() == ("app",)


def refusal(weir):
    with pytest.raises(psycopg.OperationalError) as told:
        weir.connect()
    return str(told.value)


def quiet(weir):
    """Nothing of a token or a key is in the log."""
    for word in ("X-Amz", "Signature", KEY[1], "role/secret", "session/"):
        assert not weir.find(word.replace("+", r"\+")), word


def test_every_login_has_a_token_of_its_own(start, tokens):
    weir = start()
    works(weir)
    assert tokens.tokens and not tokens.problems
    assert all(f"localhost:{tokens.port}/?Action=connect&DBUser=app&" in token for token in tokens.tokens)
    before = len(tokens.tokens)
    connections = [weir.connect() for _ in range(4)]
    for connection in connections:
        connection.autocommit = False
        connection.execute("select 1")   # each holds a backend
    for connection in connections:
        connection.close()
    assert len(tokens.tokens) >= before + 3 and not tokens.problems
    quiet(weir)


def test_a_server_that_is_not_known_sees_no_token(start, tokens, authority):
    stranger = Authority("A stranger")
    try:
        weir = start(ca=stranger)
        assert "TLS with the database server failed" in refusal(weir)
    finally:
        stranger.close()
    tokens.context.load_cert_chain(authority.path("other.crt"), authority.path("other.key"))
    assert "TLS with the database server failed" in refusal(start())
    assert not tokens.tokens


def test_a_server_without_tls_sees_no_token(start, tokens):
    tokens.in_the_clear = True
    assert "the server has no TLS" in refusal(start())
    assert not tokens.tokens


def test_a_server_that_asks_for_something_else_sees_no_token(start, tokens):
    tokens.ask_for_scram = True
    assert "scram-sha-256 in place of a token" in refusal(start())
    assert not tokens.tokens


def test_a_key_that_may_not_is_refused_by_the_server(start, tokens, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    weir = start()
    assert 'PAM authentication failed for user "app"' in refusal(weir)
    assert set(tokens.problems) == {"wrong signature"}
    quiet(weir)


def test_the_instances_role(start, tokens, aws):
    weir = start('["environment-file", "metadata"]')
    works(weir)
    assert not tokens.problems and "ASIAROLE1" in tokens.tokens[-1]
    weir.wait_for_log("event=aws_key: ASIAROLE1 of metadata, role weir-role, until ")
    quiet(weir)


def test_the_roles_key_is_renewed_before_it_ends(start, tokens, aws):
    aws.role_seconds = 303   # 5 minutes before its end is in 3 seconds
    weir = start('"metadata"')
    held = [weir.connect(autocommit=False) for _ in range(2)]
    for connection in held:
        connection.execute("select 1")   # the backends that there are
    aws.role_seconds = 3600
    weir.wait_for_log("event=aws_key: ASIAROLE2 ")
    del aws.keys["ASIAROLE1"]
    works(weir)
    assert "ASIAROLE2" in tokens.tokens[-1] and not tokens.problems
    for connection in held:
        connection.close()


def test_without_a_key_clients_are_told_and_get_in_as_soon_as_there_is_one(start, tokens, aws):
    aws.role, role = None, aws.role
    weir = start('"metadata"')
    weir.wait_for_log("event=aws_key_unavailable: metadata: PUT .*/latest/api/token: status 403")
    assert "there is no key of AWS to make a token with" in refusal(weir)
    assert not tokens.tokens
    aws.role = role
    weir.wait_for_log("event=aws_key: ASIAROLE1 ")
    works(weir)
    assert len(weir.find("event=aws_key_unavailable")) == 1


def test_the_key_from_a_file(start, tokens, tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"[default]\naws_access_key_id = {KEY[0]}\naws_secret_access_key = {KEY[1]}\n")
    os.chmod(path, 0o600)
    works(start(f'"{path}"'))
    assert not tokens.problems


def test_tokens_on_both_sides_and_no_secret(start, tokens, authority):
    identities = Identities()
    try:
        text = identities.toml().replace("shards = 2\n", "", 1)
        weir = start(endpoint='host_names = ["127.0.0.1"]', more=text,
                     auth='iam_auth = "REQUIRED"\n', username="app")
        with log_in(weir, make_token(host_of(weir), "app")) as connection:
            assert connection.execute("select current_user").fetchone() == ("app",)
        with pytest.raises(psycopg.OperationalError, match="The IAM authentication failed"):
            log_in(weir, "app-password")
        assert not tokens.problems
    finally:
        shutil.rmtree(identities.folder)
