"""Logins with tokens of IAM instead of a password."""

import json
import os
import shutil
import signal
import subprocess
import tempfile

import psycopg
import pytest

from iam_tokens import make_token

ARN = "arn:aws:rds-db:us-east-1:111122223333:dbuser:prx-0abc123def456/"


def policy(effect="Allow", user="app", **more):
    return {"Version": "2012-10-17",
            "Statement": [{"Effect": effect, "Action": "rds-db:connect", "Resource": ARN + user, **more}]}


class Identities:
    """The files of [iam], and a certificate."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weir-iam-")
        self.write("keys", "".join(
            f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n{more}" for name, key, secret, more in (
                ("orders", "AKIAORDERS", "secret/1+", ""),
                ("reports", "AKIAREPORTS", "secret/2+", ""),
                ("function", "ASIAFUNCTION", "secret/3+", "aws_session_token = session+/=\n"))), 0o600)
        self.write("orders.json", json.dumps(policy()))
        self.write("reports.json", json.dumps(policy(user="reports")))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=db.example", "-keyout", self.path("server.key"), "-out", self.path("server.crt")],
                       check=True, capture_output=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def toml(self):
        text = f"""shards = 2
[[certificate]]
certificate_file = "{self.path('server.crt')}"
key_file = "{self.path('server.key')}"
[iam]
account_id = "111122223333"
region = "us-east-1"
resource_id = "prx-0abc123def456"
credentials_file = "{self.path('keys')}"
"""
        for entry, policies in (("orders", "orders.json"), ("reports", "reports.json"), ("function", "orders.json")):
            text += f'[[iam.principal]]\nentry = "{entry}"\npolicy_files = ["{self.path(policies)}"]\n'
        return text


@pytest.fixture(scope="module")
def identities():
    made = Identities()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def iam(start_weir, identities):
    return start_weir(endpoint='host_names = ["127.0.0.1", "db.example:5432"]', auth='iam_auth = "REQUIRED"', engine=identities.toml())


def host_of(weir):
    return f"127.0.0.1:{weir.port}"


def log_in(weir, token, **settings):
    return weir.connect(password=token, **{"sslmode": "require", **settings})


def refused(weir, token, why, **settings):
    """It is told nothing but that it failed; the log says why."""
    log_in(weir, make_token(host_of(weir), "app")).close()   # failures in a row answer later and later
    before = len(weir.find(why))
    with pytest.raises(psycopg.OperationalError) as told:
        log_in(weir, token, **settings)
    user = settings.get("user", "app")
    assert (f"The IAM authentication failed for the role {user}. Check the IAM token for this role and try again."
            in str(told.value)), told.value
    weir.wait_for_log(why, count=before + 1)
    assert not weir.find("X-Amz-Signature="), "a token in the log"


def test_psql_logs_in_with_a_token(iam):
    command = ["psql", "-X", "-A", "-t", "-c", "select current_user, 1 + 1",
               f"host=127.0.0.1 port={iam.port} user=app dbname=postgres sslmode=require"]
    token = make_token(host_of(iam), "app")
    result = subprocess.run(command, env=dict(os.environ, PGPASSWORD=token), capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and result.stdout == "app|2\n", result.stderr
    assert not iam.find("X-Amz-")


def test_the_aws_client_makes_such_tokens(iam):
    aws = "/usr/bin/aws"   # the distribution's
    environment = {"PATH": os.environ["PATH"], "HOME": iam.folder, "AWS_ACCESS_KEY_ID": "AKIAORDERS", "AWS_SECRET_ACCESS_KEY": "secret/1+"}
    if not os.path.exists(aws) or subprocess.run([aws, "--version"], env=environment, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("the distribution has no aws client (package awscli)")
    token = subprocess.run([aws, "rds", "generate-db-auth-token", "--hostname", "127.0.0.1", "--port", str(iam.port), "--username", "app",
                            "--region", "us-east-1"], env=environment, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    log_in(iam, token).close()


def test_what_is_good(iam):
    host = host_of(iam)
    good = make_token(host, "app")
    query = good.split("?", 1)[1].split("&")
    for token in (good, good,   # within its time it may be used again
                  make_token("db.example:5432", "app"), make_token("DB.example:5432", "app"), good.replace("/?", "?"),
                  host + "/?" + "&".join(reversed(query)), make_token(host, "app", age=890), make_token(host, "app", age=-290),
                  make_token(host, "app", age=50, X_Amz_Expires="60"), make_token(host, "app", X_Amz_Expires="100000"),
                  make_token(host, "app", key="ASIAFUNCTION", secret="secret/3+", session_token="session+/=")):
        with log_in(iam, token) as connection:
            assert connection.execute("select current_user").fetchone() == ("app",)


def test_what_was_changed_is_refused(iam):
    good = make_token(host_of(iam), "app")
    refused(iam, good[:-1] + ("0" if good[-1] != "0" else "1"), "its signature is wrong")
    refused(iam, good.replace("X-Amz-Expires=900", "X-Amz-Expires=899"), "its signature is wrong")
    refused(iam, good + "&x=1", "a parameter that a token does not have")
    refused(iam, good + "&X-Amz-Security-Token=x", "its signature is wrong")
    refused(iam, good + "&DBUser=app", "a parameter twice")
    refused(iam, good.replace("Action=connect&", ""), "it lacks a parameter")
    refused(iam, make_token(host_of(iam), "app", X_Amz_Expires="0"), "X-Amz-Expires is 0")
    refused(iam, make_token(host_of(iam), "app", Action="start"), "its Action is not connect")


def test_what_is_for_something_else_is_refused(iam):
    host = host_of(iam)
    refused(iam, make_token("127.0.0.1:1", "app"), "none of the endpoint's host_names")
    refused(iam, make_token(f"other.example:{iam.port}", "app"), "none of the endpoint's host_names")
    refused(iam, make_token(f"db.example:{iam.port}", "app"), "none of the endpoint's host_names")
    refused(iam, make_token(host, "other"), "its DBUser is another user")
    refused(iam, make_token(host, "app", region="eu-west-1"), "another region")
    refused(iam, make_token(host, "app", service="s3"), "another service")
    refused(iam, make_token(host, "app", age=910), "it has expired")
    refused(iam, make_token(host, "app", age=70, X_Amz_Expires="60"), "it has expired")
    refused(iam, make_token(host, "app", age=3 * 86400, X_Amz_Expires="604800"), "it has expired")
    refused(iam, make_token(host, "app", age=-330), "in the future")


def test_who_may_not_is_refused(iam):
    host = host_of(iam)
    refused(iam, make_token(host, "app", key="AKIAUNKNOWN"), r"none of an \[\[iam.principal\]\] \(access key AKIAUNKNOWN\)")
    refused(iam, make_token(host, "app", secret="another"), "its signature is wrong")
    refused(iam, make_token(host, "app", key="AKIAREPORTS", secret="secret/2+"), r"no policy of its identity .*AKIAREPORTS")
    refused(iam, make_token(host, "app", key="ASIAFUNCTION", secret="secret/3+"), "its session token is not that")
    refused(iam, make_token(host, "app", session_token="x"), "its session token is not that")
    refused(iam, "secret", "it is not a token")
    refused(iam, "x" * 8180, "it is not a token")


def test_the_secrets_password_does_not_log_in(iam):
    from servers import PASSWORD
    refused(iam, PASSWORD, "it is not a token")


def test_only_over_tls(iam):
    token = make_token(host_of(iam), "app")
    with pytest.raises(psycopg.OperationalError, match="IAM authentication is allowed only with SSL connections"):
        log_in(iam, token, sslmode="disable")


def test_another_user_is_not_asked_for_a_token(iam):
    with pytest.raises(psycopg.OperationalError, match="The password that was provided for the role nobody is wrong"):
        log_in(iam, make_token(host_of(iam), "nobody"), user="nobody")


def test_a_reload_brings_other_policies(iam, identities):
    token = make_token(host_of(iam), "app")
    try:
        identities.write("orders.json", json.dumps(policy(Condition={})))
        iam.signal(signal.SIGHUP)
        iam.wait_for_log(r"event=reload_failed.*orders.json: Statement 1: Condition: is not evaluated")
        log_in(iam, token).close()
        both = policy()
        both["Statement"].append({"Effect": "Deny", "Action": "RDS-DB:*", "Resource": "*/app"})
        identities.write("orders.json", json.dumps(both))
        iam.signal(signal.SIGHUP)
        iam.wait_for_log("event=reloaded")
        with pytest.raises(psycopg.OperationalError, match="The IAM authentication failed"):
            log_in(iam, token)
        iam.wait_for_log("no policy of its identity")
    finally:
        identities.write("orders.json", json.dumps(policy()))


def test_a_reload_brings_other_names_of_the_endpoint(iam):
    token = make_token("renamed.example:1", "app")
    with pytest.raises(psycopg.OperationalError, match="The IAM authentication failed"):
        log_in(iam, token)
    with open(iam.config, encoding="utf-8") as file:
        text = file.read()
    with open(iam.config, "w", encoding="utf-8") as file:
        file.write(text.replace("db.example:5432", "renamed.example:1"))
    iam.signal(signal.SIGHUP)
    iam.wait_for_log("event=reloaded")
    assert not iam.find("needs a restart")
    log_in(iam, token).close()
    with pytest.raises(psycopg.OperationalError, match="The IAM authentication failed"):
        log_in(iam, make_token("db.example:5432", "app"))


def test_rules_of_access_ask_for_tokens(start_weir, identities):
    endpoint = 'host_names = ["127.0.0.1"]'
    rule = '[[access]]\naddress = "127.0.0.0/8"\nmethod = "iam"\n'
    weir = start_weir(endpoint=endpoint, auth='iam_auth = "REQUIRED"', engine=identities.toml() + rule)
    log_in(weir, make_token(host_of(weir), "app")).close()
    with pytest.raises(psycopg.OperationalError, match="rules of access do not admit .*no encryption"):
        log_in(weir, make_token(host_of(weir), "app"), sslmode="disable")
    weir = start_weir(endpoint=endpoint, auth='iam_auth = "REQUIRED"', engine=identities.toml() + rule.replace('"iam"', '"password"'))
    with pytest.raises(psycopg.OperationalError, match="The password that was provided"):
        log_in(weir, make_token(host_of(weir), "app"))
    weir.wait_for_log("wants the method password")
