"""Secrets of AWS Secrets Manager (secret_arn): fetched, renewed, rotated, and what happens when it does not answer."""

import json
import os
import signal
import subprocess

import pytest
from aws_services import AwsServices
from certificates import Authority
from test_logins import refusal

ARN = "arn:aws:secretsmanager:us-east-1:111122223333:secret:orders-AbCdEf"
SECOND = "arn:aws:secretsmanager:us-east-1:111122223333:secret:second-AbCdEf"
KEY = ("AKIAWEIR", "weir/secret+")
ROLE = "orders"


@pytest.fixture
def aws():
    made = AwsServices()
    made.put(ARN, ROLE, "one")
    yield made
    made.close()


@pytest.fixture
def role(postgres):
    """Sets the password of the server's role."""
    def on_server(password):
        with postgres.connect() as connection:
            connection.execute(f"alter role {ROLE} password '{password}'")
    with postgres.connect() as connection:
        connection.execute(f"create role {ROLE} login password 'one'")
    yield on_server
    with postgres.connect() as connection:
        connection.execute(f"drop role {ROLE}")


@pytest.fixture
def start(start_weir, role, aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY[1])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)

    def begin(more="secret_refresh_period = 1\n", auth="", services=aws, **settings):
        engine = f'shards = 2\n[aws]\nsecrets_manager_endpoint = "{services.url}"\nmetadata_endpoint = "{services.url}"\n{more}'
        return start_weir(auth=f'[[auth]]\nsecret_arn = "{ARN}"\n{auth}', engine=engine,
                          pool="connection_borrow_timeout = 20", **settings)
    return begin


def works(weir, password, user=ROLE):
    with weir.connect(user=user, password=password) as connection:
        assert connection.execute("select current_user").fetchone() == (user,)


def quiet(weir):
    for word in ("one\"", "two\"", "weir/secret", "SecretString"):
        assert not weir.find(word), word


def test_the_stand_in_is_one_for_the_aws_client_too(aws, tmp_path):
    """Its signatures, its answers, and the instance's role."""
    client = "/usr/bin/aws"
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1"}
    if not os.path.exists(client) or subprocess.run([client, "--version"], env=base, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("the distribution has no aws client (package awscli)")
    for keys in ({"AWS_ACCESS_KEY_ID": KEY[0], "AWS_SECRET_ACCESS_KEY": KEY[1]}, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.url + "/"}):
        done = subprocess.run([client, "secretsmanager", "get-secret-value", "--secret-id", ARN, "--endpoint-url", aws.url],
                              env={**base, **keys}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(json.loads(done.stdout)["SecretString"])["password"] == "one"
    assert aws.role_keys >= 1 and not aws.problems


def test_a_secret_is_fetched_before_anybody_comes(start, aws):
    weir = start()
    works(weir, "one")
    assert not aws.problems and ("AWSCURRENT", ARN) in aws.asked
    assert weir.find("event=aws_key: AKIAWEIR of environment")
    assert "wrong" in refusal(weir, user=ROLE, password="two")
    quiet(weir)


def test_the_key_may_be_a_roles(start, aws):
    del aws.keys["AKIAWEIR"]
    weir = start(more='credentials = "metadata"\n')
    works(weir, "one")
    assert not aws.problems and aws.role_keys >= 1


def test_another_value_comes_with_the_next_look(start, aws, role):
    weir = start()
    works(weir, "one")
    aws.put(ARN, ROLE, "two")
    weir.wait_for_log(f'event=secret_changed user="{ROLE}"')
    role("two")
    works(weir, "two")
    quiet(weir)


def test_a_rotation_step_by_step(start, aws, role):
    weir = start(more="")   # it would look only after 5 minutes
    held = weir.connect(user=ROLE, password="one", autocommit=False)
    held.execute("select 1")   # the one backend that there is
    # createSecret, setSecret: what the server takes is not current yet.
    aws.put(ARN, ROLE, "two", stage="AWSPENDING", version="v2")
    role("two")
    works(weir, "one")   # needs another backend, which the server lets in with the new value only
    weir.wait_for_log("event=secret_fetched: .*AWSPENDING: a rotation is under way")
    weir.wait_for_log(f'event=secret_settled user="{ROLE}": the server has accepted the new value')
    works(weir, "two")
    # finishSecret
    aws.put(ARN, ROLE, "two", version="v2")
    del aws.secrets[ARN]["AWSPENDING"]
    works(weir, "two")
    held.close()


@pytest.mark.parametrize("fault, reason", [
    ("denied", "status 400, AccessDeniedException: User: weir is not authorized"),
    ("throttled", "status 400, ThrottlingException: Rate exceeded"),
    ("garbage", "the answer is not a JSON object"),
    ("oversize", "an answer of more than 524288 bytes"),
    ("gone", "status 400, ResourceNotFoundException: Secrets Manager can't find"),
    ("slow", "no answer within 5000 ms")])
def test_the_last_good_value_goes_on(start, aws, fault, reason):
    weir = start()
    aws.fault = fault
    weir.wait_for_log(f"event=secret_unavailable: .*{reason}.*; the value before stays in force")
    works(weir, "one")
    weir.signal(signal.SIGHUP)   # which reads all secrets
    weir.wait_for_log("event=reloaded")
    works(weir, "one")
    assert len(weir.find("event=secret_unavailable")) == 1
    quiet(weir)


def test_a_secret_that_is_none_changes_nothing(start, aws):
    weir = start()
    aws.secrets[ARN]["AWSCURRENT"] = ("v2", "hidden text")
    weir.wait_for_log("event=secret_unavailable: .*its text: not a JSON text; the value before stays")
    works(weir, "one")
    aws.put(ARN, "somebody", "one", version="v3")
    weir.wait_for_log("event=secret_unusable: .*it names another user than before")
    works(weir, "one")
    assert not weir.find("hidden")


def test_without_a_first_answer_only_its_user_is_refused(start, aws):
    aws.fault = "denied"
    weir = start()
    weir.wait_for_log("event=secret_unavailable: .*AccessDeniedException.*; its user cannot log in")
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert "wrong" in refusal(weir, user=ROLE, password="one")
    weir.wait_for_log(f"no credentials for the role {ROLE}")
    aws.fault = None
    weir.wait_for_log("event=secret_fetched")
    weir.wait_for_log("event=users_named")
    works(weir, "one")


def test_an_endpoint_that_nobody_listens_on_does_not_hold_up_the_start(start, aws):
    aws.close()
    weir = start(auth=f'[[auth]]\nsecret_arn = "{SECOND}"\n')
    weir.wait_for_log("event=secret_unavailable: .*Connection refused|event=secret_unavailable: .*connect")
    with weir.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_reload_brings_another_secret(start, aws, postgres):
    weir = start()
    with postgres.connect() as connection:
        connection.execute("create role second login password 'three'")
    try:
        aws.put(SECOND, "second", "three")
        with open(weir.config, "a", encoding="utf-8") as file:
            file.write(f'[[auth]]\nsecret_arn = "{SECOND}"\n')
        weir.signal(signal.SIGHUP)
        weir.wait_for_log(f"event=secret_fetched: {SECOND}")
        weir.wait_for_log("event=users_named")
        works(weir, "three", "second")
        works(weir, "one")
    finally:
        weir.close()
        with postgres.connect() as connection:
            connection.execute("drop role second")


def test_a_wrong_key(start, aws, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    weir = start()
    weir.wait_for_log("event=secret_unavailable: .*InvalidSignatureException")
    assert aws.problems and not aws.asked


def test_only_a_service_that_is_certified_is_asked(start):
    authority = Authority()
    stranger = Authority("A stranger")
    authority.certify("aws", "aws", "DNS:localhost")
    services = AwsServices((authority.path("aws.crt"), authority.path("aws.key")))
    services.put(ARN, ROLE, "one")
    try:
        works(start(more=f'ca_file = "{authority.ca}"\n', services=services), "one")
        asked = len(services.asked)
        weir = start(more=f'ca_file = "{stranger.ca}"\n', services=services)
        weir.wait_for_log("event=secret_unavailable: .*certificate")
        assert len(services.asked) == asked
    finally:
        services.close()
        authority.close()
        stranger.close()
