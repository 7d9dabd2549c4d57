"""A database server that takes tokens of IAM: it asks for a password in clear text, over TLS only, and checks the token as
documented; whoever is good it passes on to a real PostgreSQL, which trusts it.
"""

import datetime
import hashlib
import hmac
import socket
import ssl
import struct
import threading
import urllib.parse

from iam_tokens import encode, signing_key
from wire import message


def token_problem(token, user, names, keys, region):
    """Why it is not good; None: it is. `keys`: id -> (secret, session token or None)."""
    host, question, query = token.partition("/?")
    if not question:
        return "no token"
    pairs = [part.split("=", 1) for part in query.split("&")]
    values = {urllib.parse.unquote(name): urllib.parse.unquote(value) for name, value in pairs}
    if len(values) != len(pairs):
        return "twice"
    signature = values.pop("X-Amz-Signature", "")
    key, date, its_region, service, end = values["X-Amz-Credential"].split("/")
    if host not in names or values["Action"] != "connect" or values["DBUser"] != user:
        return "for something else"
    if (its_region, service, end) != (region, "rds-db", "aws4_request") or key not in keys:
        return "unknown key or region"
    secret, session = keys[key]
    if values.get("X-Amz-Security-Token") != session:
        return "another session"
    time = values["X-Amz-Date"]
    signed = datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    age = (datetime.datetime.now(datetime.timezone.utc) - signed).total_seconds()
    if not -300 <= age <= min(900, int(values["X-Amz-Expires"])) or time[:8] != date:
        return "too old"
    text = "&".join(f"{encode(name)}={encode(values[name])}" for name in sorted(values))
    request = f"GET\n/\n{text}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{time}\n{date}/{region}/rds-db/aws4_request\n{hashlib.sha256(request.encode()).hexdigest()}"
    right = hmac.new(signing_key(secret, date, region, "rds-db"), to_sign.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(right, signature) else "wrong signature"


class TokenServer:
    def __init__(self, postgres_port, certificate, keys, region="us-east-1"):
        self.postgres_port = postgres_port
        self.keys = keys
        self.region = region
        self.tokens = []       # that were shown
        self.problems = []
        self.in_the_clear = False   # it has no TLS
        self.ask_for_scram = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.names = {f"localhost:{self.port}"}
        self.open = set()
        self.lock = threading.Lock()
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.keep(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def keep(self, one):
        with self.lock:
            if self.closed:
                one.close()
            self.open.add(one)

    @staticmethod
    def exactly(source, count):
        data = b""
        while len(data) < count:
            more = source.recv(count - len(data))
            if not more:
                raise OSError("closed")
            data += more
        return data

    def packet(self, source):
        head = self.exactly(source, 4)
        return head + self.exactly(source, struct.unpack("!i", head)[0] - 4)

    def serve(self, client):
        try:
            startup = self.packet(client)
            if startup[4:8] == struct.pack("!i", 80877103):
                client.sendall(b"N" if self.in_the_clear else b"S")
                if not self.in_the_clear:
                    client = self.context.wrap_socket(client, server_side=True)
                    self.keep(client)
                startup = self.packet(client)
            if startup[4:8] != struct.pack("!i", 80877102) and not self.log_in(client, startup):
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self.postgres_port))
            self.keep(server)
            server.sendall(startup)
            threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
            self.pump(client, server)
        except (OSError, ValueError, KeyError) as error:
            self.problems.append(repr(error))
            client.close()

    def log_in(self, client, startup):
        fields = startup[8:].split(b"\0")
        user = dict(zip(fields[0::2], fields[1::2]))[b"user"].decode()
        if self.ask_for_scram:
            client.sendall(message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"))
        else:
            client.sendall(message(b"R", struct.pack("!i", 3)))
        kind = self.exactly(client, 1)
        token = self.packet(client)[4:-1].decode()
        assert kind == b"p"
        self.tokens.append(token)
        problem = token_problem(token, user, self.names, self.keys, self.region)
        if problem is None:
            return True
        self.problems.append(problem)
        client.sendall(message(b"E", b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"" + user.encode() + b"\"\0\0"))
        return False

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.closed = True
        self.listener.close()
        with self.lock:
            for each in self.open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                each.close()
