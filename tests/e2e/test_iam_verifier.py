"""Tokens of temporary keys that are in no file: a service of the operator's says what they are worth (iam.verifier)."""

import http.server
import json
import os
import shutil
import socketserver
import tempfile
import threading

import psycopg
import pytest
from aws_services import Service, iso, utc
from certificates import Authority
from iam_tokens import make_token, signing_key
from servers import wait_until
from test_iam import Identities, host_of, log_in, policy


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        verifier = self.server.service
        body = self.rfile.read(int(self.headers["Content-Length"]))
        question = json.loads(body)
        verifier.asked.append(question)
        if verifier.fault == "slow":
            verifier.released.wait(30)
        secret, session, policies = verifier.keys.get(question["access_key_id"], (None, None, None))
        good = question["session_token"] == session and question["service"] == "rds-db" and self.headers["content-type"] == "application/json"
        status, text = 403, ""
        if verifier.fault == "garbage":
            status, text = 200, "no JSON"
        elif verifier.fault == "broken":
            status = 500
        elif secret is not None and good:
            key = signing_key(secret, question["date"], question["region"], question["service"])
            status, text = 200, json.dumps({"signing_key": key.hex(), "policies": [json.dumps(each) for each in policies],
                                            "expires_at": iso(utc(verifier.seconds))})
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            pass   # whoever asked has given up


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("weir", 0)


class Verifier(Service):
    def __init__(self, tls=None):
        self.folder = tempfile.mkdtemp(prefix="weir-verifier-")
        self.keys = {"ASIAONE": ("role/secret+", "session/one+==", [policy()]),
                     "ASIATWO": ("role/secret2", "session/two", [policy(user="reports")]),
                     "ASIANONE": ("role/secret3", "session/three", [])}
        self.asked = []
        self.fault = None
        self.seconds = 3600
        path = os.path.join(self.folder, "socket")
        super().__init__(UnixServer(path, Handler) if tls is None else http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler), tls)
        self.address = f"unix:{path}" if tls is None else f"https://localhost:{self.server.server_port}/verify"

    def close(self):
        super().close()
        shutil.rmtree(self.folder)


@pytest.fixture
def verifier():
    made = Verifier()
    yield made
    made.close()


@pytest.fixture(scope="module")
def identities():
    made = Identities()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def start(start_weir, identities):
    def begin(verifier, more=""):
        toml = identities.toml().replace("[iam]\n", f'[iam]\nverifier = "{verifier.address}"\n').replace("shards = 2", "shards = 1")
        return start_weir(endpoint='host_names = ["127.0.0.1"]', auth='iam_auth = "REQUIRED"', engine=toml + more)
    return begin


def token(weir, key="ASIAONE", secret="role/secret+", session_token="session/one+==", **more):
    return make_token(host_of(weir), "app", key=key, secret=secret, session_token=session_token, **more)


def refused(weir, text, why):
    before = len(weir.find(why))
    with pytest.raises(psycopg.OperationalError, match="The IAM authentication failed for the role app"):
        log_in(weir, text)
    weir.wait_for_log(why, count=before + 1)
    for word in ("X-Amz", "session/", "role/secret"):
        assert not weir.find(word), word


def test_a_key_that_the_verifier_knows(start, verifier):
    weir = start(verifier)
    for _ in range(3):
        with log_in(weir, token(weir)) as connection:
            assert connection.execute("select current_user").fetchone() == ("app",)
    # It has said all that is needed until the key ends.
    assert len(verifier.asked) == 1
    question = verifier.asked[0]
    assert question["access_key_id"] == "ASIAONE" and question["region"] == "us-east-1" and len(question["date"]) == 8


def test_what_it_says_does_not_let_in(start, verifier):
    weir = start(verifier)
    refused(weir, token(weir, secret="another"), "its signature is wrong")
    refused(weir, token(weir, "ASIATWO", "role/secret2", "session/two"), "no policy of its identity .*ASIATWO")
    refused(weir, token(weir, "ASIANONE", "role/secret3", "session/three"), "no policy of its identity .*ASIANONE")
    refused(weir, token(weir, "ASIAUNKNOWN"), "the verifier: it knows no such key")
    log_in(weir, token(weir)).close()   # failures in a row answer later and later
    refused(weir, token(weir, session_token="session/two"), "the verifier: it knows no such key")


def test_what_it_is_not_asked(start, verifier):
    weir = start(verifier)
    refused(weir, token(weir, session_token=None), r"none of an \[\[iam.principal\]\]")
    refused(weir, token(weir, age=910), "it has expired")
    refused(weir, make_token("other:1", "app", key="ASIAONE", secret="role/secret+", session_token="session/one+=="), "host_names")
    log_in(weir, make_token(host_of(weir), "app", key="ASIAFUNCTION", secret="secret/3+", session_token="session+/=")).close()
    refused(weir, make_token(host_of(weir), "app", key="ASIAFUNCTION", secret="secret/3+", session_token="x"), "its session token is not")
    assert not verifier.asked


def test_without_its_answer_nobody_comes_in(start, verifier):
    weir = start(verifier)
    for fault, why in (("broken", "the verifier: status 500"), ("garbage", "the verifier: the answer is not a JSON object")):
        verifier.fault = fault
        refused(weir, token(weir), why)
    verifier.fault = None
    log_in(weir, token(weir)).close()


def test_one_that_does_not_answer_holds_up_nobody_else(start, verifier):
    weir = start(verifier)
    verifier.fault = "slow"
    failure = []

    def come():
        try:
            log_in(weir, token(weir))
        except psycopg.OperationalError as error:
            failure.append(str(error))
    waiting = threading.Thread(target=come)
    waiting.start()
    wait_until(lambda: verifier.asked, what="the verifier to be asked")
    log_in(weir, make_token(host_of(weir), "app")).close()
    assert waiting.is_alive() and not failure
    waiting.join(30)
    assert "The IAM authentication failed" in failure[0]
    weir.wait_for_log("the verifier: no answer within 3000 ms")


def test_one_that_is_not_there(start, verifier):
    verifier.address += "-gone"
    weir = start(verifier)
    refused(weir, token(weir), "the verifier: .*[Cc]onnect")
    log_in(weir, make_token(host_of(weir), "app")).close()


def test_what_it_says_ends(start, verifier):
    verifier.seconds = 0
    weir = start(verifier)
    refused(weir, token(weir), "its temporary key could not be verified")
    verifier.seconds = 3600
    log_in(weir, token(weir)).close()
    assert len(verifier.asked) == 2


def test_by_https(start):
    authority = Authority()
    stranger = Authority("A stranger")
    authority.certify("verifier", "verifier", "DNS:localhost")
    verifier = Verifier((authority.path("verifier.crt"), authority.path("verifier.key")))
    try:
        weir = start(verifier, f'[aws]\nca_file = "{authority.ca}"\n')
        log_in(weir, token(weir)).close()
        asked = len(verifier.asked)
        assert asked == 1
        weir = start(verifier, f'[aws]\nca_file = "{stranger.ca}"\n')
        refused(weir, token(weir), "the verifier: .*certificate")
        assert len(verifier.asked) == asked
    finally:
        verifier.close()
        authority.close()
        stranger.close()
