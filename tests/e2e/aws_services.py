"""Stand-ins for AWS on loopback: the instance metadata service (version 2) and Secrets Manager, as documented.

Signatures are checked here by the documented algorithm over what has arrived.
"""

import datetime
import hashlib
import hmac
import http.server
import json
import ssl
import threading

from iam_tokens import signing_key


def utc(seconds=0):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def signature_problem(method, path, headers, body, keys, service):
    """Why a signed request (Authorization header) is not good; None: it is. `keys`: id -> (secret, session token or None)."""
    try:
        algorithm, rest = headers["Authorization"].split(" ", 1)
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, date, region, its_service, end = fields["Credential"].split("/")
        names = fields["SignedHeaders"].split(";")
    except (AttributeError, KeyError, ValueError):
        return "MissingAuthenticationTokenException"
    if (algorithm, its_service, end) != ("AWS4-HMAC-SHA256", service, "aws4_request") or names != sorted(names):
        return "IncompleteSignatureException"
    if key not in keys:
        return "UnrecognizedClientException"
    secret, session = keys[key]
    if headers.get("x-amz-security-token") != session or (session is not None and "x-amz-security-token" not in names):
        return "UnrecognizedClientException"
    time = headers["x-amz-date"]
    age = (utc() - datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)).total_seconds()
    if abs(age) > 900 or time[:8] != date or not {"host", "x-amz-date", "x-amz-target", "content-type"} <= set(names):
        return "InvalidSignatureException"
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    request = f"{method}\n{path}\n\n{lines}\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"{algorithm}\n{time}\n{date}/{region}/{service}/{end}\n{hashlib.sha256(request.encode()).hexdigest()}"
    right = hmac.new(signing_key(secret, date, region, service), to_sign.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(right, fields["Signature"]) else "InvalidSignatureException"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, text):
        data = text if isinstance(text, bytes) else text.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass   # whoever asked has given up

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self):
        services = self.server.service
        self.body()
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            self.answer(400, "")
        elif services.role is None:
            self.answer(403, "")
        else:
            self.answer(200, services.token)

    def do_GET(self):
        services = self.server.service
        folder = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("X-aws-ec2-metadata-token") != services.token:
            self.answer(401, "")
        elif self.path == folder:
            self.answer(200, services.role)
        elif self.path == folder + services.role:
            key = services.new_role_key()
            secret, session = services.keys[key]
            self.answer(200, json.dumps(
                {"Code": "Success", "LastUpdated": iso(utc()), "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret,
                 "Token": session, "Expiration": iso(utc(services.role_seconds))}))
        else:
            self.answer(404, "")

    def do_POST(self):
        services = self.server.service
        body = self.body()
        problem = signature_problem("POST", self.path, self.headers, body, services.keys, "secretsmanager")
        if problem is not None:
            services.problems.append(problem)
            self.answer(400, json.dumps({"__type": problem, "message": "The signature is not good."}))
        elif self.headers["x-amz-target"] != "secretsmanager.GetSecretValue":
            self.answer(400, json.dumps({"__type": "UnknownOperationException"}))
        else:
            self.secret(json.loads(body))

    def secret(self, question):
        services = self.server.service
        arn, stage = question["SecretId"], question.get("VersionStage", "AWSCURRENT")
        services.asked.append((stage, arn))
        fault = services.fault
        if fault == "denied":
            self.answer(400, json.dumps({"__type": "AccessDeniedException", "Message": "User: weir is not authorized"}))
        elif fault == "throttled":
            self.answer(400, json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}))
        elif fault == "slow":
            services.released.wait(30)
            self.answer(500, "")
        elif fault == "garbage":
            self.answer(200, b"\xff\x00 nonsense {")
        elif fault == "oversize":
            self.answer(200, json.dumps({"SecretString": "x" * 2_000_000, "VersionId": "big"}))
        elif fault == "gone" or stage not in services.secrets.get(arn, {}):
            self.answer(400, json.dumps({"__type": "ResourceNotFoundException",
                                         "Message": "Secrets Manager can't find the specified secret."}))
        else:
            version, text = services.secrets[arn][stage]
            self.answer(200, json.dumps({"ARN": arn, "Name": "orders", "VersionId": version, "SecretString": text,
                                         "VersionStages": [stage], "CreatedDate": 1.7e9}))


class Service:
    """A server with a thread of its own; `released` ends what it answers slowly."""

    def __init__(self, server, tls=None):
        self.released = threading.Event()
        self.server = server
        self.server.service = self
        self.server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


class AwsServices(Service):
    """`fault` is what Secrets Manager does wrong from now on; see Handler.secret."""

    def __init__(self, tls=None):
        self.keys = {"AKIAWEIR": ("weir/secret+", None)}
        self.secrets = {}      # ARN -> stage -> (VersionId, text)
        self.fault = None
        self.role = "weir-role"
        self.role_seconds = 3600
        self.role_keys = 0     # how many have been given out
        self.asked = []        # (stage, ARN), in order
        self.problems = []     # of signatures
        self.token = "metadata/token=="
        super().__init__(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler), tls)
        self.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{self.server.server_port}"

    def put(self, arn, username, password, stage="AWSCURRENT", version=None, **more):
        version = version or f"version-{stage}-{password}"
        self.secrets.setdefault(arn, {})[stage] = (version, json.dumps(
            {"username": username, "password": password, "engine": "postgres", "port": 5432, **more}))

    def new_role_key(self):
        """A key of the instance's role, which is good from now on."""
        self.role_keys += 1
        key = f"ASIAROLE{self.role_keys}"
        self.keys[key] = (f"role/secret{self.role_keys}", f"session/{self.role_keys}+==")
        return key
